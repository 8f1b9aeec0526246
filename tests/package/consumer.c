/* SPDX-License-Identifier: Apache-2.0 */
/* A host as others write it: installed headers and library only. Valid C11 and C++17. */
#include <aios/aios.h>
#include <aios/plugin/plugin.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage usage = AIOS_INIT(aios_mem_usage);
    aios_ctx *ctx = NULL;
    cfg.budget = 64u << 20;
    if (aios_ctx_new(&cfg, &ctx, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int bad = aios_ctx_usage(ctx, &usage) || usage.budget != cfg.budget || !usage.used || usage.used > usage.peak;
    bad |= aios_device_count(ctx) < 1 || !aios_device_at(ctx, 0);
    bad |= aios_plugin_load(ctx, "/nowhere.so", &err) != AIOS_ENOENT || strcmp(aios_code_name(err.code), "ENOENT");
    aios_ctx_free(ctx);
    uint32_t v = aios_version();
    printf("%u.%u.%u\n", (unsigned)(v >> 16), (unsigned)(v >> 8 & 255), (unsigned)(v & 255));
    return bad || v != (uint32_t)AIOS_VERSION;
}

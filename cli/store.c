/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

void cli_pause(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static const char *plugin_dir(void)
{
    const char *dir = getenv("AIOS_PLUGIN_DIR");
    return dir && *dir ? dir : CLI_PLUGIN_DIR;
}

void cli_kinds_there(aios_error *err)
{
    DIR *dir = err->code == AIOS_ENOTSUP && strstr(err->msg, "; there are ") ? opendir(plugin_dir()) : NULL;
    struct dirent *e;
    while (dir && (e = readdir(dir))) {
        size_t n = strlen(err->msg), k = strlen(e->d_name);
        if (k > 9 && !strncmp(e->d_name, "store_", 6) && !strcmp(e->d_name + k - 3, ".so"))
            snprintf(err->msg + n, sizeof err->msg - n, ", %.*s", (int)(k - 9), e->d_name + 6);
    }
    if (dir)
        closedir(dir);
}

int cli_load_kind(aios_ctx *ctx, const char *uri, aios_error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789+.-";
    size_t n = strspn(uri, letters);
    char path[4096];
    if (uri[n] != ':' || n == 0 || n > 32)
        return AIOS_OK;
    int len = snprintf(path, sizeof path, "%s/store_%.*s.so", plugin_dir(), (int)n, uri);
    return len < 0 || (size_t)len >= sizeof path || access(path, F_OK) ? AIOS_OK : aios_plugin_load(ctx, path, err);
}

/* Commands that only look have a store for milliseconds: who comes then waits. */
int cli_store(const cli *c, aios_ctx *ctx, aios_store **st, uint32_t flags)
{
    aios_store_config cfg = AIOS_INIT(aios_store_config);
    aios_error err = AIOS_INIT(aios_error);
    int rc = AIOS_OK;
    cfg.flags = flags;
    *st = NULL;
    if (!c->store)
        return 0;
    rc = cli_load_kind(ctx, c->store, &err);
    for (int i = 0; !rc && i < CLI_RETRIES; i++) {
        rc = aios_store_open(ctx, c->store, &cfg, st, &err);
        if (rc != AIOS_EBUSY)
            break;
        cli_pause(CLI_RETRY_MS);
        rc = i + 1 < CLI_RETRIES ? AIOS_OK : rc;
    }
    if (rc)
        cli_kinds_there(&err);
    return rc ? cli_fail_named(&err) : 0;
}

int cli_memory(const cli *c, aios_ctx *ctx, aios_toolset *ts)
{
    aios_memory_tools tools = AIOS_INIT(aios_memory_tools);
    aios_memory *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    if (!c->memory)
        return 0;
    tools.flags = AIOS_MEMORY_TOOLS_FORGET;
    int rc = aios_memory_open(ctx, c->memory, NULL, &m, &err);
    rc = rc ? rc : aios_toolset_add_memory(ts, m, &tools, &err);
    aios_memory_close(m); /* the tools hold it */
    return rc ? cli_fail_named(&err) : 0;
}

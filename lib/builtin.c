/* SPDX-License-Identifier: Apache-2.0 */
/* The one array of built-in plugins; each makes the same calls as a plugin's init. */
#include "base/base.h"
#include "device/device.h"
#include "kernel/kernel.h"
#include "llm/llm.h"
#include "memory/memory.h"
#include "store/store_priv.h"

typedef int init_fn(aios_ctx *ctx, aios_error *err);

/* The CPU device multiplies by quantized weights through the kernel tier, which it cannot name. */
static int init_matmul(aios_ctx *ctx, aios_error *err)
{
    AIOS__UNUSED(err);
    aios__device_set_dequantize(ctx, aios__dequantize);
    return AIOS_OK;
}

static init_fn *const builtins[] = {
    aios__device_init,
    init_matmul,
    aios__backend_echo_init,
    aios__backend_gguf_init,
    aios__backend_http_init,
    aios__backend_record_init,
    aios__backend_route_init,
    aios__store_memory_init,
    aios__store_sqlite_init,
    aios__memory_init,
    NULL, /* ends the list */
};

int aios__builtin_init(aios_ctx *ctx, aios_error *err)
{
    for (size_t i = 0; builtins[i]; i++) {
        int rc = builtins[i](ctx, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

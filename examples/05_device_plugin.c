/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device as a plugin: build it as a shared module, load it with aios_plugin_load(ctx, "./shadow.so", &err), and "shadow"
 * is one more row of aios_device_at.
 *
 * It stands for a device with memory of its own. Its addresses are scrambled, so that nothing but its own slots can follow
 * them: whatever works here does not rely on addressing device memory from the host.
 */
#include <aios/plugin/device.h>
#include <aios/plugin/plugin.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SCRAMBLE ((uintptr_t)0x5a5a000000000000)

typedef struct shadow {
    _Atomic uint64_t used;     /* bytes */
    _Atomic uint64_t n_events; /* this device does all at once, so an event is only a number */
} shadow;

/* The one place where an address becomes real. */
static char *real(const aios_device_mem *mem, size_t offset)
{
    return (char *)((uintptr_t)mem->ptr ^ SCRAMBLE) + offset;
}

static int shadow_info(void *self, aios_device_info *out, aios_error *err)
{
    shadow *s = self;
    (void)err;
    out->description = "memory with scrambled addresses";
    out->type = AIOS_DEVICE_OTHER;
    out->flags = AIOS_DEVICE_EVENTS | AIOS_DEVICE_KERNELS;
    out->memory_total = (uint64_t)1 << 32;
    out->memory_free = out->memory_total - atomic_load(&s->used);
    out->alignment = 64;
    out->n_units = 1;
    return AIOS_OK;
}

static int shadow_alloc(void *self, const aios_device_alloc_args *args, aios_device_mem *out, aios_error *err)
{
    shadow *s = self;
    size_t n = (args->n_bytes + args->align - 1) & ~(args->align - 1);
    void *p = n >= args->n_bytes ? aligned_alloc(args->align < 64 ? 64 : args->align, n < 64 ? 64 : (n + 63) & ~(size_t)63) : NULL;
    if (!p) {
        if (err)
            err->code = AIOS_ENOMEM;
        return AIOS_ENOMEM;
    }
    if (args->flags & AIOS_BUFFER_ZERO)
        memset(p, 0, args->n_bytes);
    out->ptr = (void *)((uintptr_t)p ^ SCRAMBLE);
    out->n_bytes = n;
    atomic_fetch_add(&s->used, n);
    return AIOS_OK;
}

static void shadow_free(void *self, aios_device_mem *mem)
{
    shadow *s = self;
    atomic_fetch_sub(&s->used, mem->n_bytes);
    free(real(mem, 0));
}

static int shadow_copy(void *self, const aios_device_copy_args *args, aios_error *err)
{
    (void)self;
    (void)err;
    char *dst = args->dst ? real(args->dst, args->dst_offset) : args->dst_host;
    const char *src = args->src ? real(args->src, args->src_offset) : args->src_host;
    memmove(dst, src, args->n_bytes);
    return AIOS_OK;
}

/* The wrapper has checked that the tensors are contiguous and within their memory; shapes are the operation's affair. */
static int shadow_kernel(void *self, const aios_device_kernel_args *args, aios_error *err)
{
    const aios_tensor_desc *a = &args->in_desc[0], *b = &args->in_desc[1], *o = args->out_desc;
    (void)self;
    (void)err;
    if (args->n_in != 2)
        return AIOS_ENOTSUP;
    if (a->dtype != AIOS_DTYPE_F32 || b->dtype != AIOS_DTYPE_F32 || o->dtype != AIOS_DTYPE_F32)
        return AIOS_ENOTSUP;
    const float *x = (const float *)real(args->in[0], args->in_offset[0]), *y = (const float *)real(args->in[1], args->in_offset[1]);
    float *out = (float *)real(args->out, args->out_offset);
    uint64_t k = a->ne[0], m = a->n_dims > 1 ? a->ne[1] : 1, n = b->n_dims > 1 ? b->ne[1] : 1, om = o->n_dims > 1 ? o->ne[1] : 1;
    if (a->n_dims > 2 || b->n_dims > 2 || o->n_dims > 2)
        return AIOS_ENOTSUP;
    if (!strcmp(args->op, "matmul")) {
        if (b->ne[0] != k || o->ne[0] != n || om != m)
            return AIOS_EINVAL;
        for (uint64_t i = 0; i < m * n; i++) {
            out[i] = 0;
            for (uint64_t j = 0; j < k; j++)
                out[i] += x[i / n * k + j] * y[i % n * k + j];
        }
        return AIOS_OK;
    }
    int mul = !strcmp(args->op, "mul");
    if (!mul && strcmp(args->op, "add"))
        return AIOS_ENOTSUP;
    if (b->ne[0] != k || o->ne[0] != k || n != m || om != m)
        return AIOS_EINVAL;
    for (uint64_t i = 0; i < m * k; i++)
        out[i] = mul ? x[i] * y[i] : x[i] + y[i];
    return AIOS_OK;
}

static int shadow_event_record(void *self, uint64_t *event, aios_error *err)
{
    shadow *s = self;
    (void)err;
    *event = atomic_fetch_add(&s->n_events, 1) + 1;
    return AIOS_OK;
}

static int shadow_event_wait(void *self, uint64_t event, int64_t timeout_ns, aios_error *err)
{
    shadow *s = self;
    (void)timeout_ns;
    (void)err;
    return event && event <= atomic_load(&s->n_events) ? AIOS_OK : AIOS_EINVAL;
}

static int shadow_init(aios_ctx *ctx, aios_error *err)
{
    aios_device_ops ops = {.struct_size = sizeof ops, .name = "shadow", .info = shadow_info, .alloc = shadow_alloc, .free = shadow_free,
                           .copy = shadow_copy, .kernel = shadow_kernel, .event_record = shadow_event_record,
                           .event_wait = shadow_event_wait, .close = free};
    shadow *s = calloc(1, sizeof *s);
    int rc = s ? aios_device_register(ctx, &ops, s, err) : AIOS_ENOMEM;
    if (rc)
        free(s);
    return rc;
}

AIOS_API extern const aios_plugin aios_plugin_entry;
const aios_plugin aios_plugin_entry = {.struct_size = sizeof(aios_plugin), .abi = AIOS_PLUGIN_ABI, .name = "shadow", .init = shadow_init};

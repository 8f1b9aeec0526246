/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of devices, and the wrappers: they check, account, and fill in for slots that a device leaves NULL. */
#include <stdio.h>

#include "device/device_priv.h"

enum { FILL_CHUNK = 4096, MAX_INPUTS = 8 };

/** Slot AIOS__SLOT_DEVICES. Entries are only added, so a reader needs no lock. */
typedef struct registry {
    _Atomic uint32_t n;
    aios_device *at[AIOS__MAX_DEVICES];
} registry;

/* ---- registry ------------------------------------------------------------------------------------------------------- */

static void close_device(aios_ctx *ctx, aios_device *dev)
{
    if (dev->ops.close)
        dev->ops.close(dev->self);
    aios__free(aios__ctx_heap(ctx), dev);
}

static void free_registry(aios_ctx *ctx, void *p)
{
    registry *r = p;
    for (uint32_t i = atomic_load(&r->n); i-- > 0;)
        close_device(ctx, r->at[i]);
    aios__free(aios__ctx_heap(ctx), r);
}

static int add_locked(registry *r, aios_device *dev, aios_error *err)
{
    uint32_t n = atomic_load(&r->n);
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(r->at[i]->name, dev->name))
            return aios__fail(err, AIOS_EEXIST, "device \"%s\" is registered already", dev->name);
    if (n == AIOS__MAX_DEVICES)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS__MAX_DEVICES, n + 1, "device \"%s\": a context holds at most %d devices", dev->name,
                               AIOS__MAX_DEVICES);
    r->at[n] = dev;
    atomic_store(&r->n, n + 1);
    return AIOS_OK;
}

static int check_ops(const aios_device_ops *ops, aios_error *err)
{
    size_t n = ops->name ? strlen(ops->name) : 0;
    if (!n || n >= sizeof((aios_device *)0)->name)
        return aios__fail(err, AIOS_EINVAL, "aios_device_register: the device needs a name of 1 to 63 bytes");
    const char *missing = !ops->info ? "info" : !ops->alloc ? "alloc" : !ops->free ? "free" : NULL;
    if (missing)
        return aios__fail(err, AIOS_EINVAL, "aios_device_register: device \"%s\" has no %s slot", ops->name, missing);
    return AIOS_OK;
}

static int call_info(const aios_device *dev, aios_device_info *out, aios_error *err)
{
    *out = (aios_device_info)AIOS_INIT(aios_device_info);
    int rc = dev->ops.info(dev->self, out, err);
    if (rc)
        return rc;
    out->struct_size = sizeof *out;
    out->name = dev->name;
    if (!out->description)
        out->description = "";
    return AIOS_OK;
}

/* What the slots and the facts say must fit together once, at the start. */
static int check_info(aios_device *dev, aios_error *err)
{
    aios_device_info info;
    int rc = call_info(dev, &info, err);
    if (rc)
        return rc;
    dev->flags = info.flags;
    if (!dev->ops.copy && !(info.flags & AIOS_DEVICE_HOST_MEMORY))
        return aios__fail(err, AIOS_EINVAL, "device \"%s\" has no copy slot, and its memory is not the host's", dev->name);
    if (info.alignment && !aios__is_pow2(info.alignment))
        return aios__fail(err, AIOS_EINVAL, "device \"%s\": alignment %u is no power of two", dev->name, info.alignment);
    if (dev->ops.event_record ? !dev->ops.event_wait : !!dev->ops.event_wait)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\" has one of event_record and event_wait: both or none", dev->name);
    return AIOS_OK;
}

/* flags NULL: ask the device. */
static int add_device(aios_ctx *ctx, const aios_device_ops *o, void *self, const uint32_t *flags, aios_error *err)
{
    registry *r = aios__ctx_slot(ctx, AIOS__SLOT_DEVICES);
    if (!r)
        return aios__fail(err, AIOS_ESTATE, "aios_device_register: this context has no device registry");
    aios_error e = AIOS_INIT(aios_error);
    aios_device *dev = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *dev, &e);
    if (!dev)
        return aios__error_copy(err, &e);
    dev->ctx = ctx;
    dev->ops = *o;
    dev->self = self;
    memcpy(dev->name, o->name, strlen(o->name));
    dev->ops.name = dev->name;
    dev->flags = flags ? *flags : 0;
    int rc = flags ? AIOS_OK : check_info(dev, err);
    if (!rc) {
        aios__ctx_lock(ctx);
        rc = add_locked(r, dev, err);
        aios__ctx_unlock(ctx);
    }
    if (rc)
        aios__free(aios__ctx_heap(ctx), dev);
    return rc;
}

int aios_device_register(aios_ctx *ctx, const aios_device_ops *ops, void *self, aios_error *err)
{
    aios_device_ops o;
    if (!ctx || !ops)
        return aios__fail(err, AIOS_EINVAL, "aios_device_register: %s is NULL", ctx ? "ops" : "ctx");
    int rc = aios__struct_in(&o, sizeof o, ops, err);
    if (!rc)
        rc = check_ops(&o, err);
    return rc ? rc : add_device(ctx, &o, self, NULL, err);
}

uint32_t aios_device_count(const aios_ctx *ctx)
{
    registry *r = ctx ? aios__ctx_slot(ctx, AIOS__SLOT_DEVICES) : NULL;
    return r ? atomic_load(&r->n) : 0;
}

aios_device *aios_device_at(aios_ctx *ctx, uint32_t i)
{
    registry *r = ctx ? aios__ctx_slot(ctx, AIOS__SLOT_DEVICES) : NULL;
    return r && i < atomic_load(&r->n) ? r->at[i] : NULL;
}

int aios_device_info_get(const aios_device *dev, aios_device_info *out)
{
    aios_device_info info;
    if (!dev || !out)
        return AIOS_EINVAL;
    int rc = call_info(dev, &info, NULL);
    return rc ? rc : aios__struct_out(out, &info, sizeof info);
}

aios_device *aios__device_cpu(aios_ctx *ctx)
{
    return aios_device_at(ctx, 0);
}

aios_ctx *aios__device_ctx(const aios_device *dev)
{
    return dev->ctx;
}

bool aios__device_is_host(const aios_device *dev)
{
    return dev->flags & AIOS_DEVICE_HOST_MEMORY;
}

const aios_device_ops *aios__device_ops(const aios_device *dev, void **self)
{
    if (self)
        *self = dev->self;
    return &dev->ops;
}

/* ---- memory --------------------------------------------------------------------------------------------------------- */

static int check_alloc(const aios_device *dev, const aios_device_alloc_args *a, aios_error *err)
{
    if (!a->n_bytes || a->n_bytes > PTRDIFF_MAX)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\": a buffer of %zu bytes", dev->name, a->n_bytes);
    if (!aios__is_pow2(a->align) || a->align > (size_t)1 << 30)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\": alignment %zu is no power of two up to 2^30", dev->name, a->align);
    if (a->numa < 0)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\": numa is %d: node + 1, or 0 for any", dev->name, a->numa);
    return AIOS_OK;
}

int aios__device_alloc(aios_device *dev, const aios_device_alloc_args *args, uint32_t kind, aios_device_mem *out, bool *lazy,
                       aios_error *err)
{
    aios__heap *heap = aios__ctx_heap(dev->ctx);
    aios_device_alloc_args a = *args;
    a.struct_size = sizeof a;
    if (!dev->ops.commit || !lazy)
        a.flags &= ~(uint32_t)AIOS_BUFFER_LAZY;
    bool is_lazy = a.flags & AIOS_BUFFER_LAZY;
    if (lazy)
        *lazy = is_lazy;
    int rc = check_alloc(dev, &a, err);
    size_t charged = is_lazy ? 0 : a.n_bytes;
    if (!rc && charged)
        rc = aios__charge(heap, kind, charged, err);
    if (rc)
        return rc;
    *out = (aios_device_mem)AIOS_INIT(aios_device_mem);
    do
        rc = dev->ops.alloc(dev->self, &a, out, err);
    while (rc == AIOS_ENOMEM && aios__reclaim(heap, a.n_bytes));
    if (rc) {
        aios__uncharge(heap, kind, charged);
        return rc;
    }
    if (out->n_bytes < a.n_bytes)
        rc = aios__fail(err, AIOS_EPROTO, "device \"%s\" gave %zu of %zu bytes", dev->name, out->n_bytes, a.n_bytes);
    else if (!is_lazy)
        rc = aios__charge(heap, kind, out->n_bytes - charged, err);
    if (rc) {
        dev->ops.free(dev->self, out);
        aios__uncharge(heap, kind, charged);
    }
    return rc;
}

void aios__device_release(aios_device *dev, aios_device_mem *mem, uint32_t kind, size_t charged)
{
    dev->ops.free(dev->self, mem);
    aios__uncharge(aios__ctx_heap(dev->ctx), kind, charged);
}

/* ---- copies --------------------------------------------------------------------------------------------------------- */

/* One side of a copy: device memory or a host address, as the direction wants. */
static int check_side(const aios_device *dev, const char *what, bool on_device, const aios_device_mem *mem, const void *host, size_t offset,
                      size_t n, aios_error *err)
{
    size_t end;
    if (!on_device)
        return host && !mem ? AIOS_OK : aios__fail(err, AIOS_EINVAL, "device \"%s\": a copy with a host %s needs %s_host alone", dev->name, what, what);
    if (!mem || host)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\": a copy with a device %s needs %s alone", dev->name, what, what);
    if (!aios__add_size(offset, n, &end) || end > mem->n_bytes)
        return aios__fail_need(err, AIOS_EINVAL, mem->n_bytes, aios__add_size(offset, n, &end) ? end : SIZE_MAX,
                               "device \"%s\": a copy of %zu bytes at offset %zu of its %s reaches past %zu bytes", dev->name, n, offset,
                               what, mem->n_bytes);
    return AIOS_OK;
}

static int check_copy(const aios_device *dev, const aios_device_copy_args *a, aios_error *err)
{
    if (a->direction < AIOS_COPY_TO_DEVICE || a->direction > AIOS_COPY_WITHIN)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\": %d is no direction of a copy", dev->name, a->direction);
    int rc = check_side(dev, "dst", a->direction != AIOS_COPY_TO_HOST, a->dst, a->dst_host, a->dst_offset, a->n_bytes, err);
    return rc ? rc : check_side(dev, "src", a->direction != AIOS_COPY_TO_DEVICE, a->src, a->src_host, a->src_offset, a->n_bytes, err);
}

static int copy_host(const aios_device_copy_args *a)
{
    char *dst = a->dst ? (char *)a->dst->ptr + a->dst_offset : a->dst_host;
    const char *src = a->src ? (const char *)a->src->ptr + a->src_offset : a->src_host;
    memmove(dst, src, a->n_bytes);
    return AIOS_OK;
}

static int call_copy(aios_device *dev, const aios_device_copy_args *a, aios_error *err)
{
    if (!a->n_bytes)
        return AIOS_OK;
    return dev->ops.copy ? dev->ops.copy(dev->self, a, err) : copy_host(a);
}

int aios_device_copy(aios_device *dev, const aios_device_copy_args *args, aios_error *err)
{
    aios_device_copy_args a;
    if (!dev || !args)
        return aios__fail(err, AIOS_EINVAL, "aios_device_copy: %s is NULL", dev ? "args" : "dev");
    int rc = aios__struct_in(&a, sizeof a, args, err);
    if (!rc)
        rc = check_copy(dev, &a, err);
    return rc ? rc : call_copy(dev, &a, err);
}

int aios_device_fill(aios_device *dev, const aios_device_mem *mem, size_t offset, size_t n_bytes, uint8_t value, aios_error *err)
{
    unsigned char chunk[FILL_CHUNK];
    if (!dev || !mem)
        return aios__fail(err, AIOS_EINVAL, "aios_device_fill: %s is NULL", dev ? "mem" : "dev");
    int rc = check_side(dev, "dst", true, mem, NULL, offset, n_bytes, err);
    if (rc || !n_bytes)
        return rc;
    if (dev->ops.fill)
        return dev->ops.fill(dev->self, mem, offset, n_bytes, value, err);
    memset(chunk, value, sizeof chunk);
    for (size_t done = 0; !rc && done < n_bytes;) {
        size_t n = n_bytes - done < sizeof chunk ? n_bytes - done : sizeof chunk;
        aios_device_copy_args a = {.struct_size = sizeof a, .direction = AIOS_COPY_TO_DEVICE, .dst = mem, .src_host = chunk,
                                   .dst_offset = offset + done, .n_bytes = n};
        rc = call_copy(dev, &a, err);
        done += n;
    }
    return rc;
}

/* ---- kernels and events ---------------------------------------------------------------------------------------------- */

static int check_operand(const aios_device *dev, const char *op, const char *what, const aios_device_mem *mem, size_t offset,
                         const aios_tensor_desc *d, aios_error *err)
{
    size_t end;
    if (!mem)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\", %s: %s has no memory", dev->name, op, what);
    uint64_t n = aios__desc_bytes(d);
    if (!n)
        return aios__fail(err, AIOS_EINVAL, "device \"%s\", %s: %s is no contiguous tensor of a known type", dev->name, op, what);
    if (n > SIZE_MAX || !aios__add_size(offset, (size_t)n, &end) || end > mem->n_bytes)
        return aios__fail_need(err, AIOS_EINVAL, mem->n_bytes, n, "device \"%s\", %s: %s of %llu bytes at %zu reaches past its memory of %zu",
                               dev->name, op, what, (unsigned long long)n, offset, mem->n_bytes);
    return AIOS_OK;
}

static int check_kernel(const aios_device *dev, const aios_device_kernel_args *a, aios_error *err)
{
    if (!a->op || !a->n_in || a->n_in > MAX_INPUTS || !a->in || !a->in_offset || !a->in_desc || !a->out_desc)
        return aios__fail(err, AIOS_EINVAL, "aios_device_kernel: an operation needs op, 1 to %d inputs, and out", MAX_INPUTS);
    for (uint32_t i = 0; i < a->n_in; i++) {
        char what[24];
        snprintf(what, sizeof what, "input %u", i);
        int rc = check_operand(dev, a->op, what, a->in[i], a->in_offset[i], &a->in_desc[i], err);
        if (rc)
            return rc;
    }
    return check_operand(dev, a->op, "out", a->out, a->out_offset, a->out_desc, err);
}

int aios_device_kernel(aios_device *dev, const aios_device_kernel_args *args, aios_error *err)
{
    aios_device_kernel_args a;
    if (!dev || !args)
        return aios__fail(err, AIOS_EINVAL, "aios_device_kernel: %s is NULL", dev ? "args" : "dev");
    int rc = aios__struct_in(&a, sizeof a, args, err);
    if (!rc)
        rc = check_kernel(dev, &a, err);
    if (rc)
        return rc;
    if (!dev->ops.kernel)
        return aios__fail(err, AIOS_ENOTSUP, "device \"%s\" has no kernels", dev->name);
    return dev->ops.kernel(dev->self, &a, err);
}

int aios_device_event_record(aios_device *dev, uint64_t *event, aios_error *err)
{
    if (!dev || !event)
        return aios__fail(err, AIOS_EINVAL, "aios_device_event_record: %s is NULL", dev ? "event" : "dev");
    *event = 0;
    return dev->ops.event_record ? dev->ops.event_record(dev->self, event, err) : AIOS_OK;
}

int aios_device_event_wait(aios_device *dev, uint64_t event, int64_t timeout_ns, aios_error *err)
{
    if (!dev)
        return aios__fail(err, AIOS_EINVAL, "aios_device_event_wait: dev is NULL");
    return dev->ops.event_wait ? dev->ops.event_wait(dev->self, event, timeout_ns, err) : AIOS_OK;
}

/* ---- start ----------------------------------------------------------------------------------------------------------- */

static void free_cpu(aios_ctx *ctx, void *p)
{
    aios__cpu *cpu = p;
    aios__free(aios__ctx_heap(ctx), cpu->topo);
    pthread_mutex_destroy(&cpu->lock);
    aios__free(aios__ctx_heap(ctx), cpu);
}

static int init_cpu(aios_ctx *ctx, uint32_t cap, aios_error *err)
{
    aios_error e = AIOS_INIT(aios_error);
    aios__cpu *cpu = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *cpu, &e);
    if (!cpu)
        return aios__error_copy(err, &e);
    if (pthread_mutex_init(&cpu->lock, NULL)) {
        aios__free(aios__ctx_heap(ctx), cpu);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    cpu->ctx = ctx;
    cpu->levels = aios__cpu_levels_best() & cap;
    aios__cpu_names(cpu->vendor, cpu->model);
    aios__ctx_slot_set(ctx, AIOS__SLOT_CPU, cpu, free_cpu);
    return AIOS_OK;
}

int aios__device_init(aios_ctx *ctx, aios_error *err)
{
    uint32_t cap;
    int rc = aios__isa_cap(aios__ctx_cpu(ctx), &cap, err);
    if (!rc)
        rc = init_cpu(ctx, cap, err);
    if (rc)
        return rc;
    aios_error e = AIOS_INIT(aios_error);
    registry *r = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *r, &e);
    if (!r)
        return aios__error_copy(err, &e);
    aios__ctx_slot_set(ctx, AIOS__SLOT_DEVICES, r, free_registry);
    /* the CPU's facts need its topology, which waits for someone to ask */
    const uint32_t flags = AIOS__DEVICE_CPU_FLAGS;
    return add_device(ctx, &aios__device_cpu_ops, aios__ctx_cpu_slot(ctx), &flags, err);
}

void aios__device_set_dequantize(aios_ctx *ctx, aios__dequantize_fn *fn)
{
    aios__cpu *cpu = aios__ctx_cpu_slot(ctx);
    if (cpu)
        atomic_store(&cpu->dequantize, fn);
}

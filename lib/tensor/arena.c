/* SPDX-License-Identifier: Apache-2.0 */
/* Bump arena: chunks in a row, kept by reset and used again in the same order. */
#include "tensor/tensor_priv.h"

enum { CHUNK_DEFAULT = 1 << 20, CHUNK_ALIGN = 64, ALIGN_DEFAULT = 16 };

typedef struct chunk {
    struct chunk *next;
    aios_device_mem mem;
    size_t charged;
    size_t used;
} chunk;

struct aios_arena {
    aios_device *dev;
    size_t chunk_bytes;
    uint32_t kind;
    chunk *first, *last;
    chunk *current; /**< where the search for room begins */
};

static aios__heap *heap_of(const aios_arena *arena)
{
    return aios__ctx_heap(aios__device_ctx(arena->dev));
}

int aios_arena_new(aios_device *dev, size_t chunk_bytes, uint32_t kind, aios_arena **out, aios_error *err)
{
    if (!dev || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_arena_new: %s is NULL", dev ? "arena" : "dev");
    *out = NULL;
    if (kind >= AIOS_MEM_COUNT || chunk_bytes > PTRDIFF_MAX)
        return aios__fail(err, AIOS_EINVAL, "aios_arena_new: %s", kind >= AIOS_MEM_COUNT ? "kind is none of AIOS_MEM_x" : "chunk_bytes is too large");
    if (!aios__device_is_host(dev))
        return aios__fail(err, AIOS_ENOTSUP, "aios_arena_new: the memory of device \"%s\" has no host addresses", aios__device_ops(dev, NULL)->name);
    aios_ctx *ctx = aios__device_ctx(dev);
    aios_error e = AIOS_INIT(aios_error);
    aios_arena *arena = aios__alloc(aios__ctx_heap(ctx), kind, sizeof *arena, &e);
    if (!arena)
        return aios__error_copy(err, &e);
    arena->dev = dev;
    arena->chunk_bytes = chunk_bytes ? chunk_bytes : CHUNK_DEFAULT;
    arena->kind = kind;
    aios__ctx_ref(ctx);
    *out = arena;
    return AIOS_OK;
}

/* n bytes at a multiple of align within c, or NULL. */
static void *bump(chunk *c, size_t n, size_t align)
{
    uintptr_t base = (uintptr_t)c->mem.ptr, at = (base + c->used + align - 1) & ~(uintptr_t)(align - 1);
    size_t off = (size_t)(at - base);
    if (off > c->mem.n_bytes || n > c->mem.n_bytes - off)
        return NULL;
    c->used = off + n;
    return (char *)c->mem.ptr + off;
}

static chunk *add_chunk(aios_arena *arena, size_t n, aios_error *err)
{
    aios__heap *heap = heap_of(arena);
    chunk *c = aios__alloc(heap, arena->kind, sizeof *c, err);
    if (!c)
        return NULL;
    aios_device_alloc_args a = {.struct_size = sizeof a, .n_bytes = n, .align = CHUNK_ALIGN, .flags = AIOS_BUFFER_HUGE};
    if (aios__device_alloc(arena->dev, &a, arena->kind, &c->mem, NULL, err)) {
        aios__free(heap, c);
        return NULL;
    }
    c->charged = c->mem.n_bytes;
    *(arena->last ? &arena->last->next : &arena->first) = c;
    arena->last = c;
    return c;
}

void *aios_arena_alloc(aios_arena *arena, size_t n_bytes, size_t align, aios_error *err)
{
    size_t need;
    align = align ? align : ALIGN_DEFAULT;
    if (!arena || !aios__is_pow2(align) || align > (size_t)1 << 30) {
        aios__fail(err, AIOS_EINVAL, "aios_arena_alloc: %s", arena ? "align is no power of two up to 2^30" : "arena is NULL");
        return NULL;
    }
    n_bytes += !n_bytes;
    if (!aios__add_size(n_bytes, align > CHUNK_ALIGN ? align : 0, &need) || need > PTRDIFF_MAX) {
        aios__fail_need(err, AIOS_ENOMEM, 0, n_bytes, "an arena cannot give %zu bytes", n_bytes);
        return NULL;
    }
    /* one that needs a chunk of its own leaves the current one to the small ones */
    bool large = need > arena->chunk_bytes;
    for (chunk *c = arena->current; c; c = c->next) {
        void *p = bump(c, n_bytes, align);
        if (p) {
            arena->current = large ? arena->current : c;
            return p;
        }
    }
    chunk *c = add_chunk(arena, large ? need : arena->chunk_bytes, err);
    if (!c)
        return NULL;
    if (!large || !arena->current)
        arena->current = c;
    return bump(c, n_bytes, align);
}

void aios_arena_reset(aios_arena *arena)
{
    if (!arena)
        return;
    for (chunk *c = arena->first; c; c = c->next)
        c->used = 0;
    arena->current = arena->first;
}

void aios_arena_free(aios_arena *arena)
{
    if (!arena)
        return;
    aios_ctx *ctx = aios__device_ctx(arena->dev);
    for (chunk *c = arena->first, *next; c; c = next) {
        next = c->next;
        aios__device_release(arena->dev, &c->mem, arena->kind, c->charged);
        aios__free(aios__ctx_heap(ctx), c);
    }
    aios__free(aios__ctx_heap(ctx), arena);
    aios_ctx_free(ctx);
}

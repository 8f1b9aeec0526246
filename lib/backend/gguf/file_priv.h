/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the GGUF reader: shared by file.c (sources), file_check.c (the walk) and file_kv.c (getters). */
#ifndef AIOS_LIB_GGUF_FILE_PRIV_H
#define AIOS_LIB_GGUF_FILE_PRIV_H

#include "backend/gguf/file.h"

/* What this reader accepts. Anything above is refused before memory is asked for. */
#define GGUF_MAX_KV 65536u
#define GGUF_MAX_TENSORS 65536u
#define GGUF_MAX_KEY 65535u
#define GGUF_MAX_NAME 127u
#define GGUF_MAX_STRING (64ull << 20)
#define GGUF_MAX_META (1ull << 30)
#define GGUF_MIN_ALIGN 8u
#define GGUF_MAX_ALIGN 65536u
#define GGUF_TEXT 80 /* room of a name in a message */

struct aios__gguf {
    aios_ctx *ctx;
    char *path;
    uint64_t size;        /* of the file, from the one size query */
    aios_file *file;      /* NULL: in memory */
    const uint8_t *bytes; /* whole file in memory or mapped, else NULL */
    void *map;            /* to be unmapped */
    uint8_t *meta;        /* loaded header, metadata and tensor infos */
    uint64_t meta_n;
    uint64_t data_off;    /* where tensor data starts */
    uint32_t version, align;
    uint32_t n_kv, n_tensors;
    aios__gguf_kv *kv;
    aios__gguf_tensor *tensors;
    uint32_t *kv_order, *tensor_order; /* sorted by name */
};

/** Walks the file in a small window; *meta_n is where the tensor infos end. Memory does not depend on the file. */
int aios__gguf_outline(aios__gguf *g, uint64_t *meta_n, aios_error *err);
/** Checks everything in g->bytes or g->meta (n bytes of the file's beginning) and fills the tables of g. */
int aios__gguf_check(aios__gguf *g, const uint8_t *p, uint64_t n, aios_error *err);
/** Reads from the file; EIO if it ends before. */
int aios__gguf_pread(const aios__gguf *g, uint64_t off, void *p, size_t n, aios_error *err);
/** Bytes of a scalar type, 0 for strings, arrays and unknown types. */
uint32_t aios__gguf_type_size(uint32_t type);
/** Name of a value type, or "?". */
const char *aios__gguf_type_name(uint32_t type);
/** Printable form of a name for messages; returns out. */
const char *aios__gguf_show(aios__gstr s, char out[GGUF_TEXT]);
/** Heap sort of n indices (no recursion, no worst case). */
void aios__gguf_sort(uint32_t *idx, uint32_t n, int (*cmp)(const void *u, uint32_t a, uint32_t b), const void *u);
int aios__gstr_cmp(aios__gstr a, aios__gstr b);

static inline uint32_t gguf_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t gguf_u64(const uint8_t *p)
{
    return gguf_u32(p) | (uint64_t)gguf_u32(p + 4) << 32;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tensor.h
 * Memory for tensors: reference-counted buffers on a device, typed views over them, exchange by DLPack.
 */
#ifndef AIOS_TENSOR_H
#define AIOS_TENSOR_H

#include <aios/device.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_buffer aios_buffer;
typedef struct aios_tensor aios_tensor;
typedef struct aios_arena aios_arena;

/** One row a type: name, number (that of GGUF), elements a block, bytes a block. */
#define AIOS_DTYPES(X)                                                                             \
    X(F32, 0, 1, 4)                                                                                \
    X(F16, 1, 1, 2)                                                                                \
    X(Q4_0, 2, 32, 18)                                                                             \
    X(Q4_1, 3, 32, 20)                                                                             \
    X(Q5_0, 6, 32, 22)                                                                             \
    X(Q5_1, 7, 32, 24)                                                                             \
    X(Q8_0, 8, 32, 34)                                                                             \
    X(Q2_K, 10, 256, 84)                                                                           \
    X(Q3_K, 11, 256, 110)                                                                          \
    X(Q4_K, 12, 256, 144)                                                                          \
    X(Q5_K, 13, 256, 176)                                                                          \
    X(Q6_K, 14, 256, 210)                                                                          \
    X(I8, 24, 1, 1)                                                                                \
    X(I16, 25, 1, 2)                                                                               \
    X(I32, 26, 1, 4)                                                                               \
    X(I64, 27, 1, 8)                                                                               \
    X(F64, 28, 1, 8)                                                                               \
    X(BF16, 30, 1, 2)
enum {
#define X(name, number, n, bytes) AIOS_DTYPE_##name = (number),
    AIOS_DTYPES(X)
#undef X
        AIOS_DTYPE_U8 = 1000 /**< not a GGUF type */
};

typedef struct aios_dtype_info {
    size_t struct_size;
    const char *name;       /**< "Q4_K" */
    uint32_t block_elems;   /**< elements a block */
    uint32_t block_bytes;   /**< bytes a block */
    uint32_t quantized;     /**< 1: needs dequantizing */
    uint32_t reserved0;
} aios_dtype_info;

/** Facts of a dtype; ENOTSUP if it is unknown. */
AIOS_API int aios_dtype_info_get(int32_t dtype, aios_dtype_info *out);

enum {
    AIOS_BUFFER_HUGE = 1,      /**< ask for transparent huge pages */
    AIOS_BUFFER_HUGE_TLB = 2,  /**< explicit huge pages; falls back to HUGE where none are reserved */
    AIOS_BUFFER_LAZY = 4,      /**< reserve address space, charge the budget by aios_buffer_commit */
    AIOS_BUFFER_ZERO = 8       /**< zero-filled */
};

/** How to allocate a buffer. */
typedef struct aios_buffer_config {
    size_t struct_size;
    size_t n_bytes;     /**< >= 1 */
    size_t align;       /**< power of two; 0: 64 */
    uint32_t flags;     /**< AIOS_BUFFER_x */
    int32_t numa;       /**< node + 1; 0: where it is first touched */
    uint32_t kind;      /**< AIOS_MEM_x it is counted as; 0: BUFFER */
    uint32_t reserved0;
} aios_buffer_config;

/**
 * Allocates n_bytes on dev, counted against the ctx budget. EINVAL, EBUDGET, ENOMEM. Ownership: the caller has one
 * reference. Thread-safety of the object: reference counting is safe, contents are the caller's affair.
 */
AIOS_API int aios_buffer_alloc(aios_device *dev, const aios_buffer_config *cfg, aios_buffer **buf, aios_error *err);
/** Wraps memory of the host; `fn(user, ptr)` (may be NULL) is called once when the last reference goes. Not counted. */
AIOS_API int aios_buffer_import(aios_device *dev, void *ptr, size_t n_bytes, aios_release_fn *fn, void *user,
                                aios_buffer **buf, aios_error *err);
/** Maps n_bytes of a file at offset, read-only; n_bytes 0: to its end. EIO, ENOENT, EINVAL. */
AIOS_API int aios_buffer_map(aios_device *dev, const char *path, uint64_t offset, size_t n_bytes, aios_buffer **buf,
                             aios_error *err);
/** Commits the first n_bytes of a LAZY buffer (never less than before). EBUDGET, ENOMEM. */
AIOS_API int aios_buffer_commit(aios_buffer *buf, size_t n_bytes, aios_error *err);
/** Takes one more reference; returns buf. NULL gives NULL. */
AIOS_API aios_buffer *aios_buffer_ref(aios_buffer *buf);
/** Drops a reference; the last one frees the memory, or calls release. NULL is fine. */
AIOS_API void aios_buffer_unref(aios_buffer *buf);
/** Host address, or NULL if the device's memory cannot be addressed. */
AIOS_API void *aios_buffer_data(aios_buffer *buf);
/** Bytes of the buffer; 0 for NULL. */
AIOS_API size_t aios_buffer_size(const aios_buffer *buf);

/**
 * Bump arena over growing chunks of a device's memory: many small, one free. Thread-safety: one thread at a time.
 * chunk_bytes 0: 1 MiB.
 */
AIOS_API int aios_arena_new(aios_device *dev, size_t chunk_bytes, uint32_t kind, aios_arena **arena, aios_error *err);
/** n_bytes aligned to `align` (power of two, 0: 16); valid until reset or free. NULL + err on refusal. */
AIOS_API void *aios_arena_alloc(aios_arena *arena, size_t n_bytes, size_t align, aios_error *err);
/** Takes everything back at once; the memory is kept for what comes next. */
AIOS_API void aios_arena_reset(aios_arena *arena);
/** Frees the arena and all that came from it. NULL is fine. */
AIOS_API void aios_arena_free(aios_arena *arena);

#define AIOS_MAX_DIMS 4

/** Shape of a tensor; ne[0] is the dimension that is contiguous in memory, as in GGUF. */
typedef struct aios_tensor_desc {
    size_t struct_size;
    int32_t dtype;
    uint32_t n_dims;             /**< 1 .. 4 */
    uint64_t ne[AIOS_MAX_DIMS];  /**< elements; unused ones 1 or 0 */
    uint64_t nb[AIOS_MAX_DIMS];  /**< bytes from one to the next (nb[0]: a block); all 0: contiguous */
} aios_tensor_desc;

/** A view of buf at offset; holds a reference. EINVAL if it would reach past the buffer. */
AIOS_API int aios_tensor_new(aios_buffer *buf, size_t offset, const aios_tensor_desc *desc, aios_tensor **t, aios_error *err);
/** A view of elements [start, start+count) along dim. Blocks are not split. */
AIOS_API int aios_tensor_slice(const aios_tensor *t, uint32_t dim, uint64_t start, uint64_t count, aios_tensor **out,
                               aios_error *err);
/** Drops the view and its reference on the buffer. NULL is fine. */
AIOS_API void aios_tensor_free(aios_tensor *t);
/** Fills *out; nb is always set. */
AIOS_API int aios_tensor_desc_get(const aios_tensor *t, aios_tensor_desc *out);
/** Host address of the first element, or NULL if the device's memory cannot be addressed. */
AIOS_API void *aios_tensor_data(const aios_tensor *t);
/** Copies the elements, packed, to dst; n_bytes must be the packed size. */
AIOS_API int aios_tensor_read(const aios_tensor *t, void *dst, size_t n_bytes, aios_error *err);
/** Copies packed elements from src; n_bytes must be the packed size. */
AIOS_API int aios_tensor_write(aios_tensor *t, const void *src, size_t n_bytes, aios_error *err);
/**
 * DLPack (DLManagedTensor, ABI of DLPack 0.8): export gives a pointer whose deleter drops the reference it holds; import
 * takes it over, also on failure leaves it to the caller. ENOTSUP for quantized types.
 */
AIOS_API int aios_tensor_to_dlpack(aios_tensor *t, void **dl_managed_tensor, aios_error *err);
/** The other direction of aios_tensor_to_dlpack. */
AIOS_API int aios_tensor_from_dlpack(aios_device *dev, void *dl_managed_tensor, aios_tensor **t, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif

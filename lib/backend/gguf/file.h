/* SPDX-License-Identifier: Apache-2.0 */
/* Hardened GGUF reader (v2, v3, little endian): everything it hands out was checked against the file. */
#ifndef AIOS_LIB_GGUF_FILE_H
#define AIOS_LIB_GGUF_FILE_H

#include "base/cachefile.h"
#include "tensor/tensor.h"

typedef struct aios__gguf aios__gguf;

enum aios__gguf_type { AIOS__GGUF_U8, AIOS__GGUF_I8, AIOS__GGUF_U16, AIOS__GGUF_I16, AIOS__GGUF_U32, AIOS__GGUF_I32, AIOS__GGUF_F32, AIOS__GGUF_BOOL, AIOS__GGUF_STRING, AIOS__GGUF_ARRAY, AIOS__GGUF_U64, AIOS__GGUF_I64, AIOS__GGUF_F64 };

/** Text inside the loaded metadata; not NUL-terminated. */
typedef struct aios__gstr {
    const char *p;
    size_t n;
} aios__gstr;

typedef struct aios__gguf_kv {
    aios__gstr key;
    uint32_t type;       /**< aios__gguf_type */
    uint32_t elem_type;  /**< of an array */
    uint64_t n;          /**< elements of an array, else 1 */
    const uint8_t *data; /**< little-endian values, possibly unaligned; strings as u64 length + bytes */
    uint64_t n_bytes;    /**< of data */
} aios__gguf_kv;

typedef struct aios__gguf_tensor {
    aios__gstr name;
    int32_t dtype;
    uint32_t n_dims;
    uint64_t ne[4];      /**< unused ones 1 */
    uint64_t offset;     /**< from the start of the file; offset + n_bytes <= file size */
    uint64_t n_bytes;
} aios__gguf_tensor;

/** Opens and checks a file. use_mmap: map it all (trusted files). Ownership: aios__gguf_close. Safe for concurrent reads. */
int aios__gguf_open(aios_ctx *ctx, const char *path, bool use_mmap, aios__gguf **out, aios_error *err);
/** The same over bytes in memory (tests, fuzzing); they must outlive it. `name` is used in messages. */
int aios__gguf_open_mem(aios_ctx *ctx, const void *p, size_t n, const char *name, aios__gguf **out, aios_error *err);
void aios__gguf_close(aios__gguf *g);

const char *aios__gguf_path(const aios__gguf *g);
uint64_t aios__gguf_size(const aios__gguf *g); /**< bytes of the file */
uint32_t aios__gguf_version(const aios__gguf *g);
uint32_t aios__gguf_kv_count(const aios__gguf *g);
const aios__gguf_kv *aios__gguf_kv_at(const aios__gguf *g, uint32_t i);
const aios__gguf_kv *aios__gguf_kv_find(const aios__gguf *g, const char *key);
uint32_t aios__gguf_tensor_count(const aios__gguf *g);
const aios__gguf_tensor *aios__gguf_tensor_at(const aios__gguf *g, uint32_t i);
const aios__gguf_tensor *aios__gguf_tensor_find(const aios__gguf *g, const char *name);

/*
 * Typed getters. Integers of every width and sign are accepted where the value fits; floats f32 or f64. AIOS_ENOENT without a
 * message if the key is missing, AIOS_EFORMAT (key, type found, type wanted) if it is of another type or out of range.
 */
int aios__gguf_u32(const aios__gguf *g, const char *key, uint32_t *out, aios_error *err);
int aios__gguf_f32(const aios__gguf *g, const char *key, float *out, aios_error *err);
int aios__gguf_bool(const aios__gguf *g, const char *key, bool *out, aios_error *err);
int aios__gguf_str(const aios__gguf *g, const char *key, aios__gstr *out, aios_error *err);
/** An array whose elements are `elem_type`; iterate strings with aios__gguf_next_str, read numbers from ->data with memcpy. */
int aios__gguf_array(const aios__gguf *g, const char *key, uint32_t elem_type, const aios__gguf_kv **out, aios_error *err);
/** Walks a string array: *pos starts at 0 and is a byte offset. False at the end. */
bool aios__gguf_next_str(const aios__gguf_kv *kv, size_t *pos, aios__gstr *out);

/** Reads n bytes of a tensor at off into p; EIO also if the file shrank. */
int aios__gguf_read(const aios__gguf *g, const aios__gguf_tensor *t, uint64_t off, void *p, size_t n, aios_error *err);
/** What tells this file from others in its place; false if it is not one of this system. */
bool aios__gguf_id(const aios__gguf *g, aios__file_id *out);
/** A number that tells it from other models: sum of everything in front of the tensors' bytes, and of a piece of each tensor. EIO. */
int aios__gguf_sum(const aios__gguf *g, uint64_t *out, aios_error *err);
/** Address of a tensor's bytes if the file is mapped or in memory, else NULL. */
const void *aios__gguf_data(const aios__gguf *g, const aios__gguf_tensor *t);

#endif

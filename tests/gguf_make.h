/* SPDX-License-Identifier: Apache-2.0 */
/* Writes small GGUF files in memory, right or wrong ones. */
#ifndef AIOS_TEST_GGUF_MAKE_H
#define AIOS_TEST_GGUF_MAKE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct gguf_make {
    uint8_t p[1 << 16];
    size_t n;
    size_t fields[256]; /* where the integers are that describe the file ... */
    uint8_t width[256]; /* ... and their bytes */
    uint32_t n_fields;
} gguf_make;

static inline void make_bytes(gguf_make *m, const void *p, size_t n)
{
    if (m->n + n > sizeof m->p)
        abort();
    memcpy(m->p + m->n, p, n);
    m->n += n;
}
static inline void make_int(gguf_make *m, uint64_t v, uint8_t width)
{
    if (m->n_fields < 256) {
        m->fields[m->n_fields] = m->n;
        m->width[m->n_fields++] = width;
    }
    make_bytes(m, &v, width); /* little endian */
}
static inline void make_str(gguf_make *m, const char *s)
{
    make_int(m, strlen(s), 8);
    make_bytes(m, s, strlen(s));
}
static inline void make_head(gguf_make *m, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    m->n = m->n_fields = 0;
    make_bytes(m, "GGUF", 4);
    make_int(m, version, 4);
    make_int(m, n_tensors, 8);
    make_int(m, n_kv, 8);
}
static inline void make_kv(gguf_make *m, const char *key, uint32_t type)
{
    make_str(m, key);
    make_int(m, type, 4);
}
static inline void make_kv_u32(gguf_make *m, const char *key, uint32_t v)
{
    make_kv(m, key, 4);
    make_int(m, v, 4);
}
static inline void make_kv_bool(gguf_make *m, const char *key, uint8_t v)
{
    make_kv(m, key, 7);
    make_bytes(m, &v, 1);
}
static inline void make_kv_str(gguf_make *m, const char *key, const char *s)
{
    make_kv(m, key, 8);
    make_str(m, s);
}
static inline void make_array(gguf_make *m, const char *key, uint32_t type, uint64_t n)
{
    make_kv(m, key, 9);
    make_int(m, type, 4);
    make_int(m, n, 8);
}
static inline void make_strs(gguf_make *m, const char *key, const char *const *s, uint32_t n)
{
    make_array(m, key, 8, n);
    for (uint32_t i = 0; i < n; i++)
        make_str(m, s[i]);
}
static inline void make_tensor(gguf_make *m, const char *name, uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t off)
{
    make_str(m, name);
    make_int(m, n_dims, 4);
    for (uint32_t i = 0; i < n_dims; i++)
        make_int(m, ne[i], 8);
    make_int(m, type, 4);
    make_int(m, off, 8);
}
static inline void make_pad(gguf_make *m, size_t align)
{
    while (m->n % align)
        make_bytes(m, "", 1);
}
static inline void make_data(gguf_make *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        make_bytes(m, &(uint8_t){(uint8_t)i}, 1);
}

/* A right file with a value of every type, arrays and two tensors. */
static inline void make_sample(gguf_make *m)
{
    static const char *const words[] = {"one", "", "three"};
    make_head(m, 3, 2, 8);
    make_kv_str(m, "general.architecture", "llama");
    make_kv_u32(m, "general.alignment", 32);
    make_kv_u32(m, "llama.block_count", 7);
    make_kv_bool(m, "flag", 1);
    make_kv(m, "real", 6);
    make_bytes(m, &(float){1.5f}, 4);
    make_kv(m, "wide", 10);
    make_int(m, 1ull << 40, 8);
    make_strs(m, "words", words, 3);
    make_array(m, "ints", 5, 3);
    make_bytes(m, (int32_t[]){1, -2, 3}, 12);
    make_tensor(m, "a.weight", 2, (uint64_t[]){32, 4}, 8, 0);  /* Q8_0: 136 bytes */
    make_tensor(m, "b.weight", 1, (uint64_t[]){16}, 0, 160);   /* F32: 64 bytes */
    make_pad(m, 32);
    make_data(m, 224);
}

#endif

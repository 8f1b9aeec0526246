/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of a JSON document, shared by the files json*.c. */
#ifndef AIOS_LIB_JSON_PRIV_H
#define AIOS_LIB_JSON_PRIV_H

#include "base/json.h"

typedef struct aios__json_member aios__json_member;

/** What n and the unions hold follows from the type: text of a string or number, elements, members. */
struct aios__json {
    uint8_t type;
    uint32_t n;
    union {
        const char *s;
        const aios__json *items;
        const aios__json_member *members;
    };
    union {
        int64_t i;
        double d;
        const uint32_t *order; /**< members by their keys */
    };
};

struct aios__json_member {
    const char *key; /**< NUL-terminated, none inside */
    uint32_t n_key;
    aios__json v;
};

typedef struct aios__json_block {
    struct aios__json_block *next;
    size_t used, size;
} aios__json_block;

struct aios__json_doc {
    aios__heap *heap;
    aios__json_block *blocks;
    aios__json root;
    char *text; /**< a copy of the source, its strings unescaped in place */
};

static inline int aios__json_key_compare(const aios__json_member *a, const char *key, size_t n)
{
    size_t m = a->n_key < n ? a->n_key : n;
    int c = memcmp(a->key, key, m);
    return c ? c : (a->n_key > n) - (a->n_key < n);
}

#endif

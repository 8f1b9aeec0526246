/* SPDX-License-Identifier: Apache-2.0 */
/* Text of a token to its id: one open-addressing table, seeded so that a file cannot choose its collisions. */
#include "backend/gguf/vocab_priv.h"

__extension__ typedef unsigned __int128 u128;

static uint64_t mix(uint64_t a, uint64_t b)
{
    u128 r = (u128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

uint64_t aios__vocab_hash(uint64_t seed, const char *p, size_t n)
{
    uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15u), w;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&w, p, 8);
        h = mix(h ^ w, 0xa0761d6478bd642fu ^ seed);
    }
    w = 0;
    memcpy(&w, p, n);
    return mix(h ^ w, 0xe7037ed1a0b428dbu ^ seed);
}

static uint64_t entry_of(uint64_t hash, uint32_t id)
{
    return (hash & 0xffffffff00000000u) | (id + 1);
}

/* Slot that holds the text, or the free slot where it belongs. */
static uint32_t slot_of(const aios__vocab *v, const char *s, size_t n, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & v->mask;
    for (;; at = (at + 1) & v->mask) {
        uint64_t e = v->table[at];
        if (!e)
            return at;
        if ((e ^ hash) >> 32)
            continue;
        aios__gstr t = vocab_text(v, (uint32_t)e - 1);
        if (t.n == n && !memcmp(t.p, s, n))
            return at;
    }
}

uint32_t aios__vocab_slots(uint64_t n)
{
    uint32_t size = 16;
    while (size < n + n / 2)
        size *= 2;
    return size;
}

int aios__vocab_index(aios__vocab *v, aios_error *err)
{
    uint32_t size = aios__vocab_slots(v->n);
    uint64_t hash[VOCAB_AHEAD];
    v->table = aios__alloc_large(v->heap, AIOS_MEM_VOCAB, size * sizeof *v->table, err);
    if (!v->table)
        return err->code;
    memset(v->table, 0, size * sizeof *v->table);
    v->mask = size - 1;
    for (uint32_t first = 0; first < v->n; first += VOCAB_AHEAD) {
        uint32_t n = v->n - first < VOCAB_AHEAD ? v->n - first : VOCAB_AHEAD;
        for (uint32_t i = 0; i < n; i++) {
            aios__gstr t = vocab_text(v, first + i);
            hash[i] = aios__vocab_hash(v->seed, t.p, t.n);
            __builtin_prefetch(&v->table[(uint32_t)hash[i] & v->mask], 1);
            v->max_len = t.n > v->max_len ? t.n : v->max_len;
        }
        for (uint32_t i = 0; i < n; i++) {
            aios__gstr t = vocab_text(v, first + i);
            if (t.n)
                v->table[slot_of(v, t.p, t.n, hash[i])] = entry_of(hash[i], first + i); /* of equal texts the last counts */
        }
    }
    return AIOS_OK;
}

int32_t aios__vocab_find(const aios__vocab *v, const char *s, size_t n)
{
    if (!v || !s || !n || n > v->max_len)
        return -1;
    uint64_t e = v->table[slot_of(v, s, n, aios__vocab_hash(v->seed, s, n))];
    return e ? (int32_t)((uint32_t)e - 1) : -1;
}

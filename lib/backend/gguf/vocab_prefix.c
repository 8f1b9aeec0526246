/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens by their first two bytes: whether some token begins with a text and goes on. */
#include "backend/gguf/gguf.h"

enum { PAIRS = 1 << 16 };

struct aios__prefixes {
    aios__heap *heap;
    const aios__vocab *v;
    uint32_t *start; /* PAIRS + 1: where the tokens of a pair of bytes begin in ids */
    int32_t *ids;
};

/* Texts of control tokens are not written, and a token of one byte goes on with nothing. */
static int32_t pair_of(const aios__vocab *v, uint32_t id)
{
    size_t n;
    uint32_t type = aios__vocab_type(v, (int32_t)id);
    const uint8_t *p = (const uint8_t *)aios__vocab_piece(v, (int32_t)id, &n);
    return n < 2 || type == AIOS__TOKEN_CONTROL || type == AIOS__TOKEN_UNUSED ? -1 : p[0] << 8 | p[1];
}

static void fill(aios__prefixes *p)
{
    uint32_t n = aios__vocab_size(p->v);
    for (uint32_t id = 0; id < n; id++)
        if (pair_of(p->v, id) >= 0)
            p->start[pair_of(p->v, id) + 1]++;
    for (uint32_t i = 0; i < PAIRS; i++)
        p->start[i + 1] += p->start[i];
    p->start[PAIRS + 1] = p->start[PAIRS];
    for (uint32_t id = n; id--;) /* each count falls to where its tokens begin */
        if (pair_of(p->v, id) >= 0)
            p->ids[--p->start[pair_of(p->v, id) + 1]] = (int32_t)id;
    memmove(p->start, p->start + 1, (PAIRS + 1) * sizeof *p->start);
}

int aios__prefixes_new(aios__heap *h, const aios__vocab *v, aios__prefixes **out, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__prefixes *p = aios__alloc(h, AIOS_MEM_VOCAB, sizeof *p, err);
    *out = p;
    if (!p)
        return aios__no_memory(err);
    p->heap = h;
    p->v = v;
    p->start = aios__alloc_array(h, AIOS_MEM_VOCAB, PAIRS + 2, sizeof *p->start, err);
    p->ids = p->start ? aios__alloc_array(h, AIOS_MEM_VOCAB, aios__vocab_size(v), sizeof *p->ids, err) : NULL;
    if (!p->ids) {
        aios__prefixes_free(p);
        *out = NULL;
        return aios__no_memory(err);
    }
    fill(p);
    return AIOS_OK;
}

void aios__prefixes_free(aios__prefixes *p)
{
    if (!p)
        return;
    aios__free(p->heap, p->ids);
    aios__free(p->heap, p->start);
    aios__free(p->heap, p);
}

const aios__vocab *aios__prefixes_vocab(const aios__prefixes *p)
{
    return p->v;
}

static bool has(const uint8_t set[32], uint8_t byte)
{
    return set[byte / 8] >> byte % 8 & 1;
}

bool aios__prefixes_extend(const aios__prefixes *p, const char *s, size_t n, const uint8_t next[32])
{
    if (!n)
        return false;
    uint32_t pair = (uint32_t)(uint8_t)s[0] << 8 | (n > 1 ? (uint8_t)s[1] : 0);
    for (uint32_t b = 0; n == 1 && b < 256; b++)
        if (has(next, (uint8_t)b) && p->start[pair + b + 1] > p->start[pair + b])
            return true;
    for (uint32_t i = p->start[pair]; n > 1 && i < p->start[pair + 1]; i++) {
        size_t len;
        const char *t = aios__vocab_piece(p->v, p->ids[i], &len);
        if (len > n && !memcmp(t, s, n) && has(next, (uint8_t)t[n]))
            return true;
    }
    return false;
}

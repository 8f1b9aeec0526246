/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte-level BPE. Symbols are ids, a merge is a look-up of two ids; words come from the pre-tokenizer. Bytes that are no
 * UTF-8 are bytes like any other, so every text survives the round trip.
 */
#include "backend/gguf/vocab_priv.h"

#define SMALL 64u       /* words up to here are merged on the stack by plain search */
#define MAX_MERGE 1024u /* bytes of a merge */

/* ---- bytes as visible characters ------------------------------------------------------------------------------ */

static bool visible(uint32_t b)
{
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

/* Code point that stands for each byte in the texts of tokens: itself if visible, the others from 256 on. */
static void byte_points(uint16_t point[256])
{
    uint16_t next = 256;
    for (uint32_t b = 0; b < 256; b++)
        point[b] = visible(b) ? (uint16_t)b : next++;
}

/* ---- tables --------------------------------------------------------------------------------------------------- */

static uint32_t pair_slot(const aios__vocab *v, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) ^ v->seed;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    uint32_t at = (uint32_t)(h >> 32) & v->pair_mask;
    for (const vocab_pair *p; (p = &v->pairs[at])->rank && (p->left != left || p->right != right);)
        at = (at + 1) & v->pair_mask;
    return at;
}

/* "left right" as ids; false for a merge that no text can reach. */
static bool parse_merge(const aios__vocab *v, aios__gstr m, vocab_pair *out)
{
    char joined[MAX_MERGE];
    const char *blank = m.n > 1 ? memchr(m.p + 1, ' ', m.n - 1) : NULL;
    if (!blank || m.n > MAX_MERGE)
        return false;
    size_t l = (size_t)(blank - m.p), r = m.n - l - 1;
    memcpy(joined, m.p, l);
    memcpy(joined + l, blank + 1, r);
    out->left = aios__vocab_find(v, m.p, l);
    out->right = aios__vocab_find(v, blank + 1, r);
    out->id = out->left < 0 || out->right < 0 ? -1 : aios__vocab_find(v, joined, l + r);
    return out->id >= 0;
}

static int build_pairs(aios__vocab *v, aios_error *err)
{
    const aios__gguf_kv *kv = NULL;
    aios__gstr m;
    int rc = aios__gguf_array(v->file, "tokenizer.ggml.merges", AIOS__GGUF_STRING, &kv, err);
    if (rc == AIOS_ENOENT)
        return aios__fail(err, AIOS_EFORMAT, "%.200s: key \"tokenizer.ggml.merges\" is missing, which a gpt2 tokenizer needs; convert the model again",
                          aios__gguf_path(v->file));
    if (rc)
        return rc;
    uint32_t size = 16, rank = 0;
    while (size < kv->n + kv->n / 2)
        size *= 2;
    v->pairs = aios__alloc_array(v->heap, AIOS_MEM_VOCAB, size, sizeof *v->pairs, err);
    if (!v->pairs)
        return err->code;
    v->pair_mask = size - 1;
    for (size_t pos = 0; aios__gguf_next_str(kv, &pos, &m);) {
        vocab_pair p;
        rank++;
        if (!parse_merge(v, m, &p))
            continue;
        vocab_pair *at = &v->pairs[pair_slot(v, p.left, p.right)];
        if (!at->rank) { /* of equal merges the first counts */
            p.rank = rank;
            *at = p;
        }
    }
    return AIOS_OK;
}

static int find_pretok(aios__vocab *v, aios_error *err)
{
    aios__gstr pre = {"default", 7};
    int rc = aios__gguf_str(v->file, "tokenizer.ggml.pre", &pre, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (rc)
        aios__log(v->ctx, AIOS_LOG_WARN, "%s: key \"tokenizer.ggml.pre\" is missing: \"default\" is used, replies may suffer; convert the model again",
                  aios__gguf_path(v->file));
    v->pre = aios__pretok_find(pre.p, pre.n);
    if (v->pre)
        return AIOS_OK;
    return aios__fail(err, AIOS_ENOTSUP, "%.200s: the pre-tokenizer \"%.*s\" (key \"tokenizer.ggml.pre\") is not known to this version; use another model",
                      aios__gguf_path(v->file), (int)(pre.n < 80 ? pre.n : 80), pre.p);
}

int aios__bpe_build(aios__vocab *v, aios_error *err)
{
    int rc = find_pretok(v, err);
    if (rc)
        return rc;
    byte_points(v->point);
    for (uint32_t b = 0; b < 256; b++) {
        char text[4];
        v->byte_id[b] = aios__vocab_find(v, text, aios__utf8_encode(v->point[b], text));
    }
    v->add_bos = aios__pretok_flags(v->pre) & AIOS__PRETOK_BOS;
    return build_pairs(v, err);
}

/* Bytes that the text of a normal token stands for. */
static size_t decode_piece(aios__gstr t, const int16_t *byte_of, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n;) {
        uint32_t cp = 0;
        size_t len = aios__utf8_decode(t.p + i, t.n - i, &cp);
        if (len && cp < 512 && byte_of[cp] >= 0) {
            out[n++] = (char)byte_of[cp];
        } else {
            len = len ? len : 1;
            memcpy(out + n, t.p + i, len);
            n += len;
        }
        i += len;
    }
    return n;
}

int aios__bpe_pieces(aios__vocab *v, aios_error *err)
{
    AIOS__UNUSED(err);
    int16_t byte_of[512];
    memset(byte_of, 0xff, sizeof byte_of);
    for (int16_t b = 0; b < 256; b++)
        byte_of[v->point[b]] = b;
    uint32_t at = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        aios__gstr t = vocab_text(v, id);
        v->piece_off[id] = at;
        if (v->types[id] == AIOS__TOKEN_NORMAL) {
            at += (uint32_t)decode_piece(t, byte_of, v->piece + at);
        } else {
            memcpy(v->piece + at, t.p, t.n);
            at += (uint32_t)t.n;
        }
    }
    v->piece_off[v->n] = at;
    return AIOS_OK;
}

/* ---- encoding ------------------------------------------------------------------------------------------------- */

static const vocab_pair *find_pair(const aios__vocab *v, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    const vocab_pair *p = &v->pairs[pair_slot(v, left, right)];
    return p->rank ? p : NULL;
}

static int add_all(const int32_t *ids, uint32_t n, aios__ids *out, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < n; i++)
        if (ids[i] >= 0)
            rc = aios__ids_add(out, ids[i], err);
    return rc;
}

/* Short words: the lowest rank by plain search, one array shift a merge. */
static int merge_small(const aios__vocab *v, const char *s, uint32_t n, aios__ids *out, aios_error *err)
{
    int32_t ids[SMALL], into[SMALL];
    uint32_t rank[SMALL];
    for (uint32_t i = 0; i < n; i++)
        ids[i] = v->byte_id[(uint8_t)s[i]];
#define LOOK(i)                                                                                    \
    do {                                                                                           \
        const vocab_pair *p_ = (i) + 1 < n ? find_pair(v, ids[i], ids[(i) + 1]) : NULL;            \
        rank[i] = p_ ? p_->rank : UINT32_MAX;                                                      \
        into[i] = p_ ? p_->id : -1;                                                                \
    } while (0)
    for (uint32_t i = 0; i < n; i++)
        LOOK(i);
    while (n > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == UINT32_MAX)
            break;
        ids[best] = into[best];
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        memmove(rank + best + 1, rank + best + 2, (n - best - 1) * sizeof *rank);
        memmove(into + best + 1, into + best + 2, (n - best - 1) * sizeof *into);
        LOOK(best);
        if (best)
            LOOK(best - 1);
    }
#undef LOOK
    return add_all(ids, n, out, err);
}

static void propose(const aios__vocab *v, vocab_work *w, uint32_t left)
{
    uint32_t right = left == UINT32_MAX ? left : w->sym[left].next;
    if (right == UINT32_MAX)
        return;
    int32_t a = w->sym[left].id, b = w->sym[right].id;
    const vocab_pair *p = find_pair(v, a, b);
    if (p)
        aios__tokwork_push(w, (vocab_merge){p->rank, left, a, b});
}

/* Long words: a heap of candidates, O(n log n). */
static int merge_large(const aios__vocab *v, vocab_work *w, const char *s, uint32_t n, aios__ids *out, aios_error *err)
{
    vocab_merge m;
    int rc = aios__tokwork_grow(w, n, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        w->sym[i] = (vocab_symbol){i ? i - 1 : UINT32_MAX, i + 1 < n ? i + 1 : UINT32_MAX, i, 1, v->byte_id[(uint8_t)s[i]]};
    for (uint32_t i = 0; i + 1 < n; i++)
        propose(v, w, i);
    while (aios__tokwork_pop(w, &m)) {
        vocab_symbol *l = &w->sym[m.left];
        if (!l->n || l->id != m.a || l->next == UINT32_MAX || w->sym[l->next].id != m.b)
            continue; /* what it was about is gone */
        l->id = find_pair(v, m.a, m.b)->id;
        aios__tokwork_join(w, m.left);
        propose(v, w, l->prev);
        propose(v, w, m.left);
    }
    for (uint32_t i = 0; !rc && i != UINT32_MAX; i = w->sym[i].next)
        rc = add_all(&w->sym[i].id, 1, out, err);
    return rc;
}

/* The token that is this whole word, or -1. */
static int32_t whole_word(const aios__vocab *v, const char *s, size_t n)
{
    char text[MAX_MERGE];
    size_t at = 0;
    if (n > v->max_len || n > MAX_MERGE / 2)
        return -1;
    for (size_t i = 0; i < n; i++)
        at += aios__utf8_encode(v->point[(uint8_t)s[i]], text + at);
    return aios__vocab_find(v, text, at);
}

int aios__bpe_encode(const aios__vocab *v, vocab_work *w, const char *s, size_t n, aios__ids *out, aios_error *err)
{
    aios__words words;
    const char *p;
    size_t len;
    int rc = AIOS_OK;
    bool whole = aios__pretok_flags(v->pre) & AIOS__PRETOK_WHOLE;
    aios__words_init(&words, v->pre, s, n);
    while (!rc && aios__words_next(&words, &p, &len)) {
        int32_t id = whole ? whole_word(v, p, len) : -1;
        if (id >= 0) {
            rc = aios__ids_add(out, id, err);
            continue;
        }
        for (size_t at = 0; !rc && at < len;) {
            uint32_t part = len - at < VOCAB_WINDOW ? (uint32_t)(len - at) : VOCAB_WINDOW;
            rc = part <= SMALL ? merge_small(v, p + at, part, out, err) : merge_large(v, w, p + at, part, out, err);
            at += part;
        }
    }
    return rc;
}

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

static uint64_t pair_hash(const aios__vocab *v, const char *l, size_t nl, const char *r, size_t nr)
{
    return aios__vocab_hash(v->seed ^ aios__vocab_hash(v->seed, l, nl), r, nr);
}

/* "left right": cut at the first blank behind the first byte. Bytes of left, 0 if there is none. */
static size_t left_of(aios__gstr m)
{
    const char *blank = m.n > 1 && m.n <= MAX_MERGE ? memchr(m.p + 1, ' ', m.n - 1) : NULL;
    return blank ? (size_t)(blank - m.p) : 0;
}

/* Slot of the line that merges l and r, or the free slot where it belongs. */
static uint32_t pair_slot(const aios__vocab *v, const char *l, size_t nl, const char *r, size_t nr, uint64_t hash)
{
    const vocab_merges *ms = &v->merges;
    uint32_t at = (uint32_t)hash & ms->mask;
    for (uint64_t e; (e = ms->table[at]); at = (at + 1) & ms->mask) {
        if ((e ^ hash) >> 32)
            continue;
        aios__gstr m = vocab_string(ms->texts, ms->off[(uint32_t)e - 1]);
        if (m.n == nl + 1 + nr && left_of(m) == nl && !memcmp(m.p, l, nl) && !memcmp(m.p + nl + 1, r, nr))
            break;
    }
    return at;
}

/* Lines [first, first + n). */
static void add_merges(aios__vocab *v, uint32_t first, uint32_t n)
{
    vocab_merges *ms = &v->merges;
    uint64_t hash[VOCAB_AHEAD];
    size_t left[VOCAB_AHEAD];
    for (uint32_t i = 0; i < n; i++) {
        aios__gstr m = vocab_string(ms->texts, ms->off[first + i]);
        left[i] = left_of(m);
        hash[i] = left[i] ? pair_hash(v, m.p, left[i], m.p + left[i] + 1, m.n - left[i] - 1) : 0;
        __builtin_prefetch(&ms->table[(uint32_t)hash[i] & ms->mask], 1);
    }
    for (uint32_t i = 0; i < n; i++) {
        aios__gstr m = vocab_string(ms->texts, ms->off[first + i]);
        uint64_t *e = left[i] ? &ms->table[pair_slot(v, m.p, left[i], m.p + left[i] + 1, m.n - left[i] - 1, hash[i])] : NULL;
        if (e && !*e) /* of equal merges the first counts */
            *e = (hash[i] & 0xffffffff00000000u) | (first + i + 1);
    }
}

static int build_merges(aios__vocab *v, aios_error *err)
{
    vocab_merges *ms = &v->merges;
    const aios__gguf_kv *kv = NULL;
    aios__gstr m;
    int rc = aios__gguf_array(v->file, "tokenizer.ggml.merges", AIOS__GGUF_STRING, &kv, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (rc || kv->n_bytes > UINT32_MAX)
        return aios__fail(err, AIOS_EFORMAT, "%.200s: key \"tokenizer.ggml.merges\" is %s, which a gpt2 tokenizer needs; convert the model again",
                          aios__gguf_path(v->file), rc ? "missing" : "longer than 4 GiB");
    uint32_t size = aios__vocab_slots(kv->n), n = 0;
    ms->texts = kv->data;
    ms->off = aios__alloc_array(v->heap, AIOS_MEM_VOCAB, (size_t)kv->n, sizeof *ms->off, err);
    ms->table = ms->off ? aios__alloc_array(v->heap, AIOS_MEM_VOCAB, size, sizeof *ms->table, err) : NULL;
    if (!ms->table)
        return err->code;
    ms->mask = size - 1;
    for (size_t pos = 0; n < kv->n && aios__gguf_next_str(kv, &pos, &m);)
        ms->off[n++] = (uint32_t)(m.p - (const char *)ms->texts);
    for (uint32_t i = 0; i < n; i += VOCAB_AHEAD)
        add_merges(v, i, n - i < VOCAB_AHEAD ? n - i : VOCAB_AHEAD);
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
    return build_merges(v, err);
}

/* Bytes that the text of a normal token stands for. */
static size_t decode_piece(aios__gstr t, const int16_t *byte_of, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n;) {
        uint32_t cp = 0;
        if ((uint8_t)t.p[i] < 0x80) { /* visible or not meant */
            out[n++] = t.p[i++];
            continue;
        }
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

/* Line of the merge of two ids + 1 and what they become; 0 and -1 if there is none, or none that is a token. */
static uint32_t look_up_pair(const aios__vocab *v, int32_t left, int32_t right, int32_t *id)
{
    char joined[MAX_MERGE];
    *id = -1;
    aios__gstr l = vocab_text(v, (uint32_t)left), r = vocab_text(v, (uint32_t)right);
    if (l.n >= MAX_MERGE || r.n >= MAX_MERGE - l.n)
        return 0;
    uint64_t e = v->merges.table[pair_slot(v, l.p, l.n, r.p, r.n, pair_hash(v, l.p, l.n, r.p, r.n))];
    if (!e)
        return 0;
    memcpy(joined, l.p, l.n);
    memcpy(joined + l.n, r.p, r.n);
    *id = aios__vocab_find(v, joined, l.n + r.n);
    return *id < 0 ? 0 : (uint32_t)e;
}

/* The same, remembered within a long text. */
static uint32_t find_pair(const aios__vocab *v, const vocab_work *w, int32_t left, int32_t right, int32_t *id)
{
    *id = -1;
    if (left < 0 || right < 0)
        return 0;
    if (!w->seen)
        return look_up_pair(v, left, right, id);
    vocab_pair *p = &w->seen[((uint32_t)left * 0x9e3779b1u ^ (uint32_t)right * 0x85ebca77u) >> 16 & (VOCAB_SEEN - 1)];
    if (p->left != left || p->right != right || !p->id) { /* id 0: perhaps never used */
        *p = (vocab_pair){.left = left, .right = right};
        p->rank = look_up_pair(v, left, right, &p->id);
    }
    *id = p->id;
    return p->rank;
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
static int merge_small(const aios__vocab *v, const vocab_work *w, const char *s, uint32_t n, aios__ids *out, aios_error *err)
{
    int32_t ids[SMALL], into[SMALL];
    uint32_t rank[SMALL];
    for (uint32_t i = 0; i < n; i++)
        ids[i] = v->byte_id[(uint8_t)s[i]];
#define LOOK(i)                                                                                    \
    do {                                                                                           \
        uint32_t rank_ = (i) + 1 < n ? find_pair(v, w, ids[i], ids[(i) + 1], &into[i]) : 0;           \
        rank[i] = rank_ ? rank_ : UINT32_MAX;                                                      \
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
    int32_t id;
    uint32_t rank = find_pair(v, w, a, b, &id);
    if (rank)
        aios__tokwork_push(w, (vocab_merge){rank, left, a, b});
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
        find_pair(v, w, m.a, m.b, &l->id);
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
    if (n >= VOCAB_LONG && !w->seen) {
        w->seen = aios__alloc_array(w->heap, AIOS_MEM_SCRATCH, VOCAB_SEEN, sizeof *w->seen, err);
        if (!w->seen)
            return err->code;
    }
    aios__words_init(&words, v->pre, s, n);
    while (!rc && aios__words_next(&words, &p, &len)) {
        int32_t id = whole ? whole_word(v, p, len) : -1;
        if (id >= 0) {
            rc = aios__ids_add(out, id, err);
            continue;
        }
        for (size_t at = 0; !rc && at < len;) {
            uint32_t part = len - at < VOCAB_WINDOW ? (uint32_t)(len - at) : VOCAB_WINDOW;
            rc = part <= SMALL ? merge_small(v, w, p + at, part, out, err) : merge_large(v, w, p + at, part, out, err);
            at += part;
        }
    }
    return rc;
}

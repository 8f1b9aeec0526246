/* SPDX-License-Identifier: Apache-2.0 */
/* Vocabulary as a trie in preorder, and masks by one pass over it: a branch that the walk refuses is skipped whole. Inside
   a JSON string nearly every token is plain text, so those are kept as a bit set and only the others are walked. */
#include "llm/grammar_priv.h"

typedef struct node {
    uint32_t next;   /* first node after this one's branch */
    uint32_t tokens; /* first of its tokens in ids; they end where the next node's begin */
    uint16_t depth;  /* bytes from the root, from 1 */
    uint8_t byte;
} node;

typedef struct tree {
    node *nodes; /* one more than n: ends the tokens of the last */
    uint32_t n, cap;
    int32_t *ids;
    uint32_t n_ids;
} tree;

struct aios__trie {
    aios__heap *heap;
    uint32_t n_vocab;
    tree all;
    tree rest;            /* tokens that are not plain */
    uint32_t *plain;      /* bit set of tokens that are whole characters that a JSON string holds unescaped */
    uint32_t *plain_ids;  /* the same, longest first */
    uint32_t *plain_len;  /* their code points */
    uint32_t n_plain;
};

#define MAX_TOKEN 4096u

struct piece {
    uint64_t key; /* its first eight bytes as a number, so that few comparisons look at the text */
    const char *s;
    uint32_t n;
    int32_t id;
};

static uint64_t key_of(const char *s, size_t n)
{
    uint64_t key = 0;
    for (size_t i = 0; i < 8; i++)
        key = key << 8 | (i < n ? (uint8_t)s[i] : 0);
    return key;
}

static int compare(const struct piece *a, const struct piece *b)
{
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    uint32_t n = a->n < b->n ? a->n : b->n;
    int r = memcmp(a->s, b->s, n);
    return r ? r : (a->n > b->n) - (a->n < b->n);
}

/* Merge sort, stable: from p to p with buf as the other half. */
static void sort(struct piece *p, struct piece *buf, size_t n)
{
    struct piece *from = p, *to = buf;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t a = i, b = i + width < n ? i + width : n, mid = b, end = i + 2 * width < n ? i + 2 * width : n;
            for (size_t k = i; k < end; k++)
                to[k] = a < mid && (b >= end || compare(&from[a], &from[b]) <= 0) ? from[a++] : from[b++];
        }
        struct piece *t = from;
        from = to;
        to = t;
    }
    if (from != p)
        memcpy(p, from, n * sizeof *p);
}

/* ---- the tree --------------------------------------------------------------------------------------------------- */

static int add_node(aios__heap *h, tree *t, uint8_t byte, uint32_t depth, aios_error *err)
{
    int rc = aios__grow(h, &t->nodes, &t->cap, (size_t)t->n + 2, UINT32_MAX - 1, sizeof *t->nodes, "nodes of the vocabulary", err);
    if (!rc)
        t->nodes[t->n++] = (node){.tokens = t->n_ids, .depth = (uint16_t)depth, .byte = byte};
    return rc;
}

/* Sets each node's end of branch. path[d]: the open node of depth d. */
static void close_from(tree *t, uint32_t *path, uint32_t *depth, uint32_t to)
{
    for (; *depth > to; --*depth)
        t->nodes[path[*depth]].next = t->n;
}

static int build(aios__heap *h, tree *t, const struct piece *p, size_t n, aios_error *err)
{
    uint32_t depth = 0;
    uint32_t *path = aios__alloc_array(h, AIOS_MEM_SCRATCH, MAX_TOKEN + 1, sizeof *path, err);
    t->ids = path ? aios__alloc_array(h, AIOS_MEM_VOCAB, n, sizeof *t->ids, err) : NULL;
    int rc = t->ids ? AIOS_OK : aios__oom(err);
    for (size_t i = 0; !rc && i < n; i++) {
        uint32_t same = 0;
        while (i && same < depth && same < p[i].n && p[i].s[same] == p[i - 1].s[same])
            same++;
        close_from(t, path, &depth, same);
        while (!rc && depth < p[i].n) {
            rc = add_node(h, t, (uint8_t)p[i].s[depth], depth + 1, err);
            path[++depth] = t->n - 1;
        }
        if (!rc)
            t->ids[t->n_ids++] = p[i].id;
    }
    if (!rc) {
        close_from(t, path, &depth, 0);
        if (t->nodes)
            t->nodes[t->n].tokens = t->n_ids;
    }
    aios__free(h, path);
    return rc;
}

/* Code points of a token that a string may hold as it is; 0 if it is not such a token. */
static uint32_t plain_length(const char *s, size_t n)
{
    uint32_t cp, len = 0;
    for (size_t i = 0; i < n; len++) {
        size_t k = aios__utf8_decode(s + i, n - i, &cp);
        if (!k || cp < 0x20 || cp == '"' || cp == '\\')
            return 0;
        i += k;
    }
    return len;
}

/* Takes the plain tokens out of p into the trie's lists, longest first; returns how many are left. */
static size_t take_plain(aios__trie *t, struct piece *p, struct piece *buf, size_t n)
{
    uint32_t first[MAX_TOKEN + 1] = {0}; /* by length: how many, then where those begin */
    size_t left = 0, taken = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t len = plain_length(p[i].s, p[i].n);
        if (len)
            buf[taken++] = (struct piece){.n = len, .id = p[i].id};
        else
            p[left++] = p[i];
        first[len]++;
    }
    for (uint32_t len = MAX_TOKEN, at = 0; len; len--) {
        uint32_t some = first[len];
        first[len] = at;
        at += some;
    }
    for (size_t i = 0; i < taken; i++) {
        uint32_t id = (uint32_t)buf[i].id, at = first[buf[i].n]++;
        t->plain[id / 32] |= 1u << id % 32;
        t->plain_ids[at] = id;
        t->plain_len[at] = buf[i].n;
    }
    t->n_plain = (uint32_t)taken;
    return left;
}

static int fill(aios__trie *t, aios__piece_fn *piece, void *user, aios_error *err)
{
    size_t n = 0;
    t->plain = aios__alloc_array(t->heap, AIOS_MEM_VOCAB, (t->n_vocab + 31) / 32, sizeof *t->plain, err);
    t->plain_ids = aios__alloc_array(t->heap, AIOS_MEM_VOCAB, t->n_vocab, sizeof *t->plain_ids, err);
    t->plain_len = aios__alloc_array(t->heap, AIOS_MEM_VOCAB, t->n_vocab, sizeof *t->plain_len, err);
    struct piece *p = aios__alloc_array(t->heap, AIOS_MEM_SCRATCH, t->n_vocab, 2 * sizeof *p, err), *buf;
    if (!t->plain || !t->plain_ids || !t->plain_len || !p) {
        aios__free(t->heap, p);
        return aios__oom(err);
    }
    buf = p + t->n_vocab;
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        size_t len = 0;
        const char *s = piece(user, (int32_t)i, &len);
        if (s && len && len <= MAX_TOKEN)
            p[n++] = (struct piece){key_of(s, len), s, (uint32_t)len, (int32_t)i};
    }
    sort(p, buf, n);
    int rc = build(t->heap, &t->all, p, n, err);
    if (!rc)
        rc = build(t->heap, &t->rest, p, take_plain(t, p, buf, n), err);
    aios__free(t->heap, p);
    return rc;
}

int aios__trie_new(aios_ctx *ctx, uint32_t n_vocab, aios__piece_fn *piece, void *user, aios__trie **out, aios_error *err)
{
    *out = NULL;
    if (!n_vocab || n_vocab > INT32_MAX)
        return aios__fail(err, AIOS_EINVAL, "a vocabulary of %u tokens cannot be masked", n_vocab);
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    aios__trie *t = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_VOCAB, sizeof *t, err);
    if (!t)
        return aios__oom(err);
    t->heap = aios__ctx_heap(ctx);
    t->n_vocab = n_vocab;
    int rc = fill(t, piece, user, err);
    if (rc) {
        aios__trie_free(t);
        return rc;
    }
    *out = t;
    return AIOS_OK;
}

void aios__trie_free(aios__trie *t)
{
    if (!t)
        return;
    tree *trees[] = {&t->all, &t->rest};
    for (size_t i = 0; i < 2; i++) {
        aios__free(t->heap, trees[i]->nodes);
        aios__free(t->heap, trees[i]->ids);
    }
    aios__free(t->heap, t->plain);
    aios__free(t->heap, t->plain_ids);
    aios__free(t->heap, t->plain_len);
    aios__free(t->heap, t);
}

/* ---- masks ------------------------------------------------------------------------------------------------------ */

/* The set of readings after each byte of the path from the root, one behind the other, and the frames in use then. */
struct level {
    uint32_t at, n, frames;
};

struct pass {
    aios_walk *w;
    const tree *t;
    uint32_t *bits;
    struct level *levels;
};

static int pass_tree(struct pass *p, aios_error *err)
{
    const node *nodes = p->t->nodes;
    for (uint32_t i = 0; i < p->t->n;) {
        const struct level *up = &p->levels[nodes[i].depth - 1];
        struct level *here = &p->levels[nodes[i].depth];
        here->at = up->at + up->n;
        p->w->n_frames = up->frames;
        int rc = aios__walk_step(p->w, up->at, up->n, nodes[i].byte, here->at, &here->n, err);
        if (rc)
            return rc;
        if (!here->n) {
            i = nodes[i].next;
            continue;
        }
        here->frames = p->w->n_frames;
        for (uint32_t k = nodes[i].tokens; k < nodes[i + 1].tokens; k++)
            p->bits[(uint32_t)p->t->ids[k] / 32] |= 1u << (uint32_t)p->t->ids[k] % 32;
        i++;
    }
    return AIOS_OK;
}

/* Plain tokens of at most `room` characters. */
static void add_plain(const aios__trie *t, uint64_t room, uint32_t *bits)
{
    uint32_t i = 0;
    if (!t->n_plain || room < t->plain_len[t->n_plain - 1])
        return;
    if (room >= t->plain_len[0]) {
        for (uint32_t k = 0; k < (t->n_vocab + 31) / 32; k++)
            bits[k] |= t->plain[k];
        return;
    }
    uint32_t lo = 0, hi = t->n_plain; /* first that is short enough */
    while (lo < hi) {
        uint32_t m = lo + (hi - lo) / 2;
        if (t->plain_len[m] > room)
            lo = m + 1;
        else
            hi = m;
    }
    for (i = lo; i < t->n_plain; i++)
        bits[t->plain_ids[i] / 32] |= 1u << t->plain_ids[i] % 32;
}

/* Readings inside a string need only the other tokens walked; those elsewhere need all. Each group is one pass. */
static int pass_groups(aios_walk *w, const aios__trie *t, uint32_t *bits, struct level *levels, aios_error *err)
{
    uint32_t n = w->n_threads, n_plain = 0, frames = w->n_frames;
    uint64_t room;
    int rc = aios__grow(w->g->heap, &w->threads, &w->cap_threads, 2 * (size_t)n, UINT32_MAX, sizeof *w->threads, "readings", err);
    if (rc)
        return rc;
    for (int plain = 1; plain >= 0 && !rc; plain--) {
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++)
            if (aios__walk_plain(w, w->threads[i], &room) == plain) {
                w->threads[n + m++] = w->threads[i];
                if (plain)
                    add_plain(t, room, bits);
            }
        n_plain = m;
        levels[0] = (struct level){n, n_plain, frames};
        struct pass p = {w, plain ? &t->rest : &t->all, bits, levels};
        rc = m ? pass_tree(&p, err) : AIOS_OK;
    }
    w->n_frames = frames;
    return rc;
}

int aios__walk_mask(const aios_walk *cw, const aios__trie *t, uint32_t *bits, uint32_t *n_allowed, int32_t *only, aios_error *err)
{
    aios_walk *w = (aios_walk *)(uintptr_t)cw; /* its scratch ends only */
    uint32_t n_words = (t->n_vocab + 31) / 32, n = 0;
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    memset(bits, 0, n_words * sizeof *bits);
    struct level *levels = aios__alloc_array(w->g->heap, AIOS_MEM_SCRATCH, MAX_TOKEN + 1, sizeof *levels, err);
    int rc = levels ? pass_groups(w, t, bits, levels, err) : aios__oom(err);
    aios__free(w->g->heap, levels);
    *only = -1;
    for (uint32_t i = 0; i < n_words; i++) {
        if (bits[i] && !n)
            *only = (int32_t)(i * 32 + (uint32_t)__builtin_ctz(bits[i]));
        n += (uint32_t)__builtin_popcount(bits[i]);
    }
    *n_allowed = rc ? 0 : n;
    *only = n == 1 ? *only : -1;
    return rc;
}

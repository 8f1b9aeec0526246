/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary as a trie, and what its tokens do inside a JSON string, where nearly every token may stand. */
#include "grammar/trie_priv.h"

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

static int tree_room(aios__heap *h, aios__tree *t, size_t need, aios_error *err)
{
    if (need <= t->cap)
        return AIOS_OK;
    const char *what = "nodes of the vocabulary";
    uint32_t cap[4] = {t->cap, t->cap, t->cap, t->cap};
    int rc = aios__grow(h, &t->byte, &cap[0], need, UINT32_MAX - 1, 1, what, err);
    rc = rc ? rc : aios__grow(h, &t->atoms, &cap[1], need, UINT32_MAX - 1, sizeof *t->atoms, what, err);
    rc = rc ? rc : aios__grow(h, &t->first, &cap[2], need, UINT32_MAX - 1, sizeof *t->first, what, err);
    rc = rc ? rc : aios__grow(h, &t->tokens, &cap[3], need, UINT32_MAX - 1, sizeof *t->tokens, what, err);
    for (int i = 0; i < 4 && !rc; i++)
        t->cap = !i || cap[i] < t->cap ? cap[i] : t->cap;
    return rc;
}

/* Pieces first .. end of a node's branch, sorted; those of its own come first. */
struct branch {
    uint32_t first, end;
};

/* Adds the tokens and the children of node i, whose branch is b and depth d. */
static int add_children(aios__heap *h, aios__tree *t, const struct piece *p, struct branch *branches, uint32_t i, uint32_t d, aios_error *err)
{
    uint32_t k = branches[i].first, end = branches[i].end;
    t->first[i] = t->n;
    t->tokens[i] = i ? t->tokens[i] : 0;
    t->tokens[i + 1] = t->tokens[i];
    for (; k < end && p[k].n == d; k++)
        t->ids[t->tokens[i + 1]++] = p[k].id;
    while (k < end) {
        uint8_t c = (uint8_t)p[k].s[d];
        int rc = tree_room(h, t, (size_t)t->n + 2, err);
        if (rc)
            return rc;
        branches[t->n].first = k;
        while (k < end && (uint8_t)p[k].s[d] == c)
            k++;
        branches[t->n].end = k;
        t->byte[t->n++] = c;
    }
    return AIOS_OK;
}

/* atoms: of tokens, or NULL. */
static int build(aios__heap *h, aios__tree *t, const struct piece *p, size_t n, const uint16_t *atoms, aios_error *err)
{
    size_t most = 2;
    for (size_t i = 0; i < n; i++) {
        most += p[i].n;
        t->depth = p[i].n > t->depth ? p[i].n : t->depth;
    }
    struct branch *branches = aios__alloc_array(h, AIOS_MEM_SCRATCH, most, sizeof *branches, err);
    t->ids = branches ? aios__alloc_array(h, AIOS_MEM_VOCAB, n, sizeof *t->ids, err) : NULL;
    int rc = t->ids ? tree_room(h, t, 2, err) : aios__oom(err);
    if (!rc) {
        branches[0] = (struct branch){0, (uint32_t)n};
        t->byte[0] = 0;
        t->n = 1;
    }
    for (uint32_t i = 0, d = 0, level = 1; !rc && i < t->n; i++) {
        if (i == level) {
            d++;
            level = t->n;
        }
        rc = add_children(h, t, p, branches, i, d, err);
    }
    if (!rc)
        t->first[t->n] = t->n;
    for (uint32_t i = rc ? 0 : t->n; i-- > 0;) {
        t->atoms[i] = 0;
        for (uint32_t k = t->tokens[i]; atoms && k < t->tokens[i + 1]; k++)
            t->atoms[i] |= atoms[t->ids[k]];
        for (uint32_t k = t->first[i]; k < t->first[i + 1]; k++)
            t->atoms[i] |= t->atoms[k];
    }
    aios__free(h, branches);
    return rc;
}

/* ---- tokens inside a string ---------------------------------------------------------------------------------------- */

uint16_t aios__blank_path(uint8_t *path, uint8_t c)
{
    static const uint8_t steps[][3] = {{0, 0xc2, 1}, {0, 0xe1, 2}, {0, 0xe2, 3}, {0, 0xe3, 4}, {0, 0xef, 5}, {2, 0x9a, 6}, {3, 0x80, 7}, {3, 0x81, 8}, {4, 0x80, 9}, {5, 0xbb, 10}};
    static const uint8_t ends[][3] = {{1, 0xa0, 0xa0}, {6, 0x80, 0x80}, {7, 0x80, 0x8a}, {7, 0xaf, 0xaf}, {8, 0x9f, 0x9f}, {9, 0x80, 0x80}, {10, 0xbf, 0xbf}};
    uint8_t from = *path;
    *path = AIOS__NO_BLANK;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i][0] == from && steps[i][1] == c)
            *path = steps[i][2];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends[i][0] == from && c >= ends[i][1] && c <= ends[i][2])
            return AIOS__ATOM_BLANK;
    return from == 7 && (c == 0xa8 || c == 0xa9) ? AIOS__ATOM_OTHER : 0;
}

/* Atoms of n bytes of whole characters. */
static uint16_t atoms_of(const char *s, uint32_t n)
{
    uint16_t all = 0;
    uint32_t cp;
    for (uint32_t i = 0; i < n;) {
        uint32_t k = (uint32_t)aios__utf8_decode(s + i, n - i, &cp);
        uint8_t path = 0;
        uint16_t atom = 0;
        for (uint32_t j = 0; j < k && k > 1; j++)
            atom = aios__blank_path(&path, (uint8_t)s[i + j]);
        all |= atom ? atom : aios__atom_of((uint8_t)s[i]);
        i += k ? k : n;
    }
    return all;
}

/* Reads a token in a string of anything. *end: where the closing quote is. */
static uint8_t classify(const struct piece *p, uint16_t *len, uint16_t *atoms, uint32_t *end, bool *escapes)
{
    const aios__gnode any = {.kind = AIOS__G_STR, .a = AIOS__RX_NOTHING, .max = UINT32_MAX};
    aios__step s = {.rc = AIOS_OK};
    aios__frame f = aios__str_begin(0, AIOS__RX_NOTHING);
    *escapes = false;
    *atoms = AIOS__ATOM_OTHER;
    for (*end = 0; *end < p->n; ++*end) {
        uint8_t c = (uint8_t)p->s[*end];
        if (c == '"' && aios__str_between(&f))
            break;
        if (!aios__str_move(&s, &any, &f, c))
            return AIOS__TOKEN_NOT;
        *escapes |= c == '\\';
    }
    *len = (uint16_t)f.v;
    if (!*escapes && aios__str_between(&f) && f.v <= AIOS__SHORT && *end == p->n)
        *atoms = atoms_of(p->s, p->n);
    return *end < p->n ? AIOS__TOKEN_LEAVES : AIOS__TOKEN_STAYS;
}

static void set_bit(uint32_t *bits, uint32_t id)
{
    bits[id / 32] |= 1u << id % 32;
}

static void note_token(aios__trie *t, uint32_t id, uint16_t atoms, bool escapes)
{
    uint32_t len = t->len[id];
    t->max_len = len > t->max_len ? len : t->max_len;
    for (int i = 0; i < 2 - escapes && t->does[id] == AIOS__TOKEN_STAYS; i++) {
        set_bit(t->stays[i], id);
        t->n_stays[i]++;
    }
    for (uint32_t i = 0; i < AIOS__ATOMS; i++)
        if (!(atoms >> (i + 1)))
            set_bit(t->atom_bits + (size_t)i * t->n_words, id);
    for (uint32_t i = len ? len : 1; i <= AIOS__SHORT; i++)
        set_bit(t->short_bits + (size_t)(i - 1) * t->n_words, id);
}

/* The tokens longer than AIOS__SHORT, longest first. */
static int list_longs(aios__trie *t, const struct piece *p, size_t n, aios_error *err)
{
    uint32_t *first = aios__alloc_array(t->heap, AIOS_MEM_SCRATCH, AIOS__MAX_TOKEN + 1, sizeof *first, err);
    if (!first)
        return aios__oom(err);
    for (size_t i = 0; i < n; i++)
        first[t->len[p[i].id]] += t->len[p[i].id] > AIOS__SHORT;
    for (uint32_t len = AIOS__MAX_TOKEN, at = 0; len; len--) {
        uint32_t some = first[len];
        first[len] = at;
        at += some;
        t->n_longs = at;
    }
    t->longs = aios__alloc_array(t->heap, AIOS_MEM_VOCAB, t->n_longs, sizeof *t->longs, err);
    for (size_t i = 0; t->longs && i < n; i++)
        if (t->len[p[i].id] > AIOS__SHORT)
            t->longs[first[t->len[p[i].id]]++] = (uint32_t)p[i].id;
    aios__free(t->heap, first);
    return t->longs ? AIOS_OK : aios__oom(err);
}

/* The plain tokens by their atoms. */
static int list_plain(aios__trie *t, const struct piece *p, size_t n, const uint16_t *atoms, aios_error *err)
{
    uint32_t at[1u << AIOS__ATOMS];
    for (size_t i = 0; i < n; i++)
        if (!(atoms[p[i].id] >> AIOS__ATOMS))
            t->plain_at[atoms[p[i].id] + 1]++;
    for (uint32_t i = 0; i < 1u << AIOS__ATOMS; i++) {
        t->plain_at[i + 1] += t->plain_at[i];
        at[i] = t->plain_at[i];
    }
    t->plain = aios__alloc_array(t->heap, AIOS_MEM_VOCAB, t->plain_at[1u << AIOS__ATOMS], sizeof *t->plain, err);
    for (size_t i = 0; t->plain && i < n; i++)
        if (!(atoms[p[i].id] >> AIOS__ATOMS))
            t->plain[at[atoms[p[i].id]]++] = (uint32_t)p[i].id;
    return t->plain ? AIOS_OK : aios__oom(err);
}

/* Takes all tokens apart; those that close a string are left in p, as what comes behind the quote. */
static int take_apart(aios__trie *t, struct piece *p, size_t n, uint16_t *atoms, size_t *n_exits, aios_error *err)
{
    uint32_t end;
    bool escapes;
    int rc = AIOS_OK;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = (uint32_t)p[i].id;
        t->does[id] = classify(&p[i], &t->len[id], &atoms[id], &end, &escapes);
        if (t->does[id] == AIOS__TOKEN_NOT)
            t->len[id] = 0;
        else
            note_token(t, id, atoms[id], escapes);
    }
    rc = list_longs(t, p, n, err);
    rc = rc ? rc : list_plain(t, p, n, atoms, err);
    rc = rc ? rc : build(t->heap, &t->all, p, n, atoms, err);
    *n_exits = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        uint16_t len, some;
        if (classify(&p[i], &len, &some, &end, &escapes) != AIOS__TOKEN_LEAVES)
            continue;
        const char *s = p[i].s + end + 1;
        uint32_t left = p[i].n - end - 1;
        p[(*n_exits)++] = (struct piece){key_of(s, left), s, left, p[i].id};
    }
    return rc;
}

/* Texts of the tokens that close a string, for keys, in which that depends on the text. */
static int keep_exits(aios__trie *t, size_t n, aios__piece_fn *piece, void *user, aios_error *err)
{
    size_t bytes = 0, len;
    for (size_t i = 0; i < n; i++) {
        piece(user, t->exits.ids[i], &len);
        bytes += len;
    }
    t->exit = aios__alloc_array(t->heap, AIOS_MEM_VOCAB, n, sizeof *t->exit, err);
    t->texts = t->exit ? aios__alloc_array(t->heap, AIOS_MEM_VOCAB, bytes, 1, err) : NULL;
    if (!t->texts)
        return aios__oom(err);
    bytes = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t chars, some;
        uint32_t end;
        bool escapes;
        struct piece p = {.s = piece(user, t->exits.ids[i], &len), .id = t->exits.ids[i]};
        p.n = (uint32_t)len;
        classify(&p, &chars, &some, &end, &escapes);
        const char *q = memchr(p.s + end + 1, '"', len - end - 1);
        q = q ? memchr(q + 1, '"', (size_t)(p.s + len - q) - 1) : NULL;
        memcpy(t->texts + bytes, p.s, len);
        t->exit[i] = (aios__exit){(uint32_t)bytes, (uint16_t)len, (uint16_t)end, escapes, q != NULL};
        bytes += len;
    }
    return AIOS_OK;
}

static int alloc_sets(aios__trie *t, aios_error *err)
{
    aios__heap *h = t->heap;
    t->does = aios__alloc_array(h, AIOS_MEM_VOCAB, t->n_vocab, sizeof *t->does, err);
    t->len = aios__alloc_array(h, AIOS_MEM_VOCAB, t->n_vocab, sizeof *t->len, err);
    for (int i = 0; i < 2; i++)
        t->stays[i] = aios__alloc_array(h, AIOS_MEM_VOCAB, t->n_words, sizeof *t->stays[i], err);
    t->atom_bits = aios__alloc_array(h, AIOS_MEM_VOCAB, (size_t)t->n_words * AIOS__ATOMS, sizeof *t->atom_bits, err);
    t->short_bits = aios__alloc_array(h, AIOS_MEM_VOCAB, (size_t)t->n_words * AIOS__SHORT, sizeof *t->short_bits, err);
    return t->does && t->len && t->stays[0] && t->stays[1] && t->atom_bits && t->short_bits ? AIOS_OK : aios__oom(err);
}

static int fill(aios__trie *t, aios__piece_fn *piece, void *user, aios_error *err)
{
    size_t n = 0, n_exits;
    int rc = alloc_sets(t, err);
    uint16_t *atoms = rc ? NULL : aios__alloc_array(t->heap, AIOS_MEM_SCRATCH, t->n_vocab, sizeof *atoms, err);
    struct piece *p = atoms ? aios__alloc_array(t->heap, AIOS_MEM_SCRATCH, t->n_vocab, 2 * sizeof *p, err) : NULL;
    rc = p ? AIOS_OK : aios__oom(err);
    for (uint32_t i = 0; i < t->n_vocab && !rc; i++) {
        size_t len = 0;
        const char *s = piece(user, (int32_t)i, &len);
        if (s && len && len <= AIOS__MAX_TOKEN)
            p[n++] = (struct piece){key_of(s, len), s, (uint32_t)len, (int32_t)i};
    }
    if (!rc) {
        sort(p, p + t->n_vocab, n);
        rc = take_apart(t, p, n, atoms, &n_exits, err);
    }
    if (!rc) {
        sort(p, p + t->n_vocab, n_exits);
        rc = build(t->heap, &t->exits, p, n_exits, NULL, err);
    }
    rc = rc ? rc : keep_exits(t, n_exits, piece, user, err);
    aios__free(t->heap, atoms);
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
    t->n_words = (n_vocab + 31) / 32;
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
    aios__tree *trees[] = {&t->all, &t->exits};
    for (size_t i = 0; i < 2; i++) {
        aios__free(t->heap, trees[i]->byte);
        aios__free(t->heap, trees[i]->atoms);
        aios__free(t->heap, trees[i]->first);
        aios__free(t->heap, trees[i]->tokens);
        aios__free(t->heap, trees[i]->ids);
    }
    aios__free(t->heap, t->does);
    aios__free(t->heap, t->len);
    aios__free(t->heap, t->exit);
    aios__free(t->heap, t->texts);
    aios__free(t->heap, t->stays[0]);
    aios__free(t->heap, t->stays[1]);
    aios__free(t->heap, t->atom_bits);
    aios__free(t->heap, t->short_bits);
    aios__free(t->heap, t->longs);
    aios__free(t->heap, t->plain);
    aios__free(t->heap, t);
}

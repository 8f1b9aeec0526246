/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masks inside a string. Which tokens stay in it, and which close it, depends on the expression of its text alone, so those are found once a
 * state of the expression and kept; what may come behind the closing quote is walked in a trie of its own. Where all texts of some kinds of
 * characters go on for as long as tokens are, tokens of these are not walked.
 */
#include "grammar/mask_priv.h"

#define MAX_LOOK 640u

/* ---- characters whose every text goes on ----------------------------------------------------------------------------- */

/* A place in such a text: behind some characters, of one some bytes are there. */
typedef struct spot {
    uint32_t e, range;
    uint8_t more, path, level;
} spot;

typedef struct look {
    aios__rx *rx;
    uint16_t atoms;
    uint32_t n;
    spot spots[MAX_LOOK];
} look;

/* False if there are too many. A spot met again is no further from the start than before. */
static bool add_spot(look *l, spot s)
{
    for (uint32_t i = l->n; i-- > 0;)
        if (l->spots[i].e == s.e && l->spots[i].range == s.range && l->spots[i].more == s.more && l->spots[i].path == s.path)
            return true;
    if (l->n == MAX_LOOK)
        return false;
    l->spots[l->n++] = s;
    return true;
}

/* Moves over byte c, which may begin or go on with a character; *atom: what it is if it ends there, else that it is wide. */
static bool next_spot(spot *s, unsigned c, uint16_t *atom)
{
    uint8_t byte = (uint8_t)c;
    if (s->more ? !aios__walk_utf8_more(byte, &s->more, &s->range) : c >= 0x80 && !aios__walk_utf8_lead(byte, &s->more, &s->range))
        return false;
    uint16_t blank = c >= 0x80 ? aios__blank_path(&s->path, byte) : 0;
    *atom = blank ? blank : aios__atom_of(byte);
    if (!s->more) {
        s->level++;
        s->range = s->path = 0;
    }
    return true;
}

/* Follows every byte of the characters; those that do not go on are taken out. False if any, or if there is too much to follow. */
static bool follow(look *l, spot s)
{
    const uint32_t *row;
    aios_error err = AIOS_INIT(aios_error);
    uint16_t out = 0, atom;
    bool fits = !aios__rx_row(l->rx, s.e, &row, &err);
    for (unsigned c = s.more ? 0x80 : 0x20; fits && c < 256; c++) {
        spot to = s;
        if (c == '"' || c == '\\' || !next_spot(&to, c, &atom) || !(l->atoms & atom))
            continue;
        to.e = row[c];
        if (to.e == AIOS__RX_NOTHING)
            out |= atom == AIOS__ATOM_WIDE ? AIOS__ATOM_WIDE | AIOS__ATOM_BLANK : atom;
        else if (to.level < AIOS__SHORT)
            fits = add_spot(l, to);
    }
    l->atoms = fits ? l->atoms & (uint16_t)~out : 0;
    return fits && !out;
}

/* The atoms of which every text goes on from e, as long as tokens are. */
static uint16_t going_on(look *l, uint32_t e)
{
    bool all = false;
    l->atoms = (1u << AIOS__ATOMS) - 1;
    while (!all && l->atoms) {
        all = true;
        l->n = 0;
        add_spot(l, (spot){.e = e});
        for (uint32_t i = 0; i < l->n && all; i++)
            all = follow(l, l->spots[i]);
    }
    return l->atoms;
}

/* ---- what the state of an expression lets stand ------------------------------------------------------------------------ */

typedef struct scan {
    aios__mask *m;
    aios__step s;
    const aios__gnode *n;
    uint32_t *bits;
    uint16_t atoms;
} scan;

static void set_ids(uint32_t *bits, const aios__tree *t, uint32_t from, uint32_t to)
{
    for (uint32_t k = t->tokens[from]; k < t->tokens[to]; k++)
        bits[(uint32_t)t->ids[k] / 32] |= 1u << (uint32_t)t->ids[k] % 32;
}

/* All tokens of a branch: its nodes of each level lie side by side. */
static void set_branch(uint32_t *bits, const aios__tree *t, uint32_t i)
{
    for (uint32_t from = i, to = i + 1; from < to;) {
        uint32_t next = t->first[from], end = t->first[to];
        set_ids(bits, t, from, to);
        from = next;
        to = end;
    }
}

/* Enters node i, which the byte before has reached with frame f. */
static int enter(scan *x, const aios__tree *t, uint32_t i, const aios__frame *f, aios__chars *to)
{
    set_ids(x->bits, t, i, i + 1);
    *to = (aios__chars){t->first[i], t->first[i + 1], NULL, *f};
    return to->child < to->end ? aios__rx_row(x->s.g->rx, f->a, &to->row, x->m->err) : AIOS_OK;
}

/* Moves f over byte c; false: nothing goes on so. */
static bool move(scan *x, const aios__chars *at, aios__frame *f, uint8_t c)
{
    if (c < 0x80 && c >= 0x20 && c != '\\' && aios__str_between(f)) {
        f->a = at->row[c];
        return f->a != AIOS__RX_NOTHING;
    }
    return aios__str_move(&x->s, x->n, f, c);
}

static int scan_trie(scan *x, const aios__frame *from)
{
    const aios__tree *t = &x->m->t->all;
    aios__chars *v = x->m->w->masks->chars;
    uint32_t depth = 0;
    int rc = enter(x, t, 0, from, &v[0]);
    while (!rc) {
        aios__chars *here = &v[depth];
        if (here->child == here->end) {
            if (!depth--)
                return AIOS_OK;
            continue;
        }
        uint32_t i = here->child++;
        uint8_t c = t->byte[i];
        if (!(t->atoms[i] & ~x->atoms))
            continue;
        if (c == '"' && aios__str_between(&here->f)) {
            if (aios__rx_ends(x->s.g->rx, here->f.a))
                set_branch(x->bits, t, i);
            continue;
        }
        aios__frame f = here->f;
        x->m->work++;
        if (move(x, here, &f, c)) {
            if (t->first[i] == t->first[i + 1])
                set_ids(x->bits, t, i, i + 1);
            else
                rc = enter(x, t, i, &f, &v[++depth]);
        }
        rc = rc ? rc : x->s.rc;
    }
    return rc;
}

/* Not the builtin, so that loops over it become vectors. */
static uint32_t count_word(uint32_t v)
{
    v -= v >> 1 & 0x55555555;
    v = (v & 0x33333333) + (v >> 2 & 0x33333333);
    return ((v + (v >> 4)) & 0x0f0f0f0f) * 0x01010101 >> 24;
}

/* Sets the plain tokens of some atoms: most of them by a set made beforehand. */
static void set_plain(uint32_t *bits, const aios__trie *t, uint16_t atoms)
{
    uint32_t first = 0;
    while (first < AIOS__ATOMS && atoms >> first & 1)
        first++;
    if (first)
        memcpy(bits, t->atom_bits + (size_t)(first - 1) * t->n_words, t->n_words * sizeof *bits);
    for (uint32_t set = 1u << first; set <= atoms; set++)
        for (uint32_t i = t->plain_at[set]; !(set & ~(uint32_t)atoms) && i < t->plain_at[set + 1]; i++)
            bits[t->plain[i] / 32] |= 1u << t->plain[i] % 32;
}

/* What the scan of state e needs; it begins with the tokens of characters that all go on. */
static int begin_scan(scan *x, uint32_t e, aios__kept **k)
{
    aios_walk *w = x->m->w;
    const aios__trie *t = x->m->t;
    int rc = AIOS_OK;
    if (!w->masks->chars) {
        w->masks->chars = aios__alloc_array(w->g->heap, AIOS_MEM_OTHER, (size_t)t->all.depth + 1, sizeof *w->masks->chars, x->m->err);
        rc = w->masks->chars ? AIOS_OK : aios__oom(x->m->err);
    }
    look *l = rc ? NULL : aios__alloc(w->g->heap, AIOS_MEM_SCRATCH, sizeof *l, x->m->err);
    rc = rc || l ? rc : aios__oom(x->m->err);
    rc = rc ? rc : aios__mask_make(x->m, AIOS__KEY_RX | e, k, x->m->err);
    if (!rc) {
        l->rx = w->g->rx;
        x->atoms = going_on(l, e);
        x->bits = (*k)->bits;
        set_plain(x->bits, t, x->atoms);
    }
    aios__free(w->g->heap, l);
    return rc;
}

/* The tokens that stay in a string whose text goes on with e, n of them, and those that close it. */
static int tokens_of(aios__mask *m, const aios__inside *in, aios__kept **out)
{
    const aios__trie *t = m->t;
    aios__kept *k = *out = aios__mask_find(m, AIOS__KEY_RX | in->e);
    if (k)
        return AIOS_OK;
    const aios__gnode any = {.kind = AIOS__G_STR, .a = in->e, .max = UINT64_MAX};
    scan x = {.m = m, .s = {.w = m->w, .g = m->w->g, .err = m->err}, .n = &any};
    aios__frame from = aios__str_begin(in->node, in->e);
    int rc = begin_scan(&x, in->e, &k);
    rc = rc ? rc : scan_trie(&x, &from);
    if (rc) {
        if (k)
            k->key = 0; /* half done */
        return rc;
    }
    for (uint32_t i = 0; i < t->n_words; i++)
        k->n += count_word(k->bits[i] & t->stays[0][i]);
    *out = k;
    return AIOS_OK;
}

/* ---- the mask ------------------------------------------------------------------------------------------------------- */

/* Adds the tokens of a that are in b too and have at most `most` characters. */
static void add_sets(aios__mask *m, const uint32_t *a, const uint32_t *b, uint64_t most)
{
    const aios__trie *t = m->t;
    uint32_t n = t->n_words;
    m->work += n;
    if (most < AIOS__SHORT) {
        const uint32_t *fit = t->short_bits + (size_t)(most ? most - 1 : 0) * n;
        for (uint32_t i = 0; i < n && most; i++)
            m->bits[i] |= a[i] & b[i] & fit[i];
    } else {
        const uint32_t *fit = t->short_bits + (size_t)(AIOS__SHORT - 1) * n;
        for (uint32_t i = 0; i < n; i++)
            m->bits[i] |= a[i] & b[i] & fit[i];
        for (uint32_t i = t->n_longs; i-- > 0 && t->len[t->longs[i]] <= most;) {
            uint32_t id = t->longs[i];
            m->bits[id / 32] |= a[id / 32] & b[id / 32] & 1u << id % 32;
        }
    }
    m->n = 0;
    for (uint32_t i = 0; i < n; i++)
        m->n += count_word(m->bits[i]);
}

struct leaving {
    aios__mask *m;
    const aios__inside *in;
    const uint32_t *may; /* NULL: all */
    uint32_t from;       /* the state of the reading alone, if texts must be looked at as a whole */
    int rc;
};

/* A token that closes a key or a string within an item that differs from others: not every text may stand there. */
static bool text_fits(struct leaving *l, const aios__exit *x)
{
    aios_walk *w = l->m->w;
    const char *s = l->m->t->texts + x->text;
    uint32_t to = l->from;
    if (l->rc || (l->in->key && (x->escapes || !aios__key_ends(w, l->in, s, x->quote))))
        return false;
    if (!x->far && l->in->outer == l->in->frame)
        return true;
    aios__mark mark = aios__walk_mark(w);
    for (uint32_t i = 0; i < x->n && to && !l->rc; i++)
        l->rc = aios__walk_next(w, to, (uint8_t)s[i], &to, l->m->err);
    bool fits = to;
    aios__walk_back(w, mark);
    return fits;
}

/* Tokens whose text behind the quote fits. */
static void add_leaving(void *user, const int32_t *ids, uint32_t n)
{
    struct leaving *l = user;
    const aios__trie *t = l->m->t;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = (uint32_t)ids[i], len = t->len[id];
        if (len < l->in->least || len > l->in->most || (l->may && !(l->may[id / 32] >> id % 32 & 1)))
            continue;
        if (!l->from || text_fits(l, &t->exit[ids + i - t->exits.ids]))
            aios__mask_add(l->m, id);
    }
}

/* Takes the tokens of a branch out again. */
static void clear_branch(aios__mask *m, const aios__tree *t, uint32_t i)
{
    for (uint32_t from = i, to = i + 1; from < to;) {
        uint32_t next = t->first[from], end = t->first[to];
        for (uint32_t k = t->tokens[from]; k < t->tokens[to]; k++) {
            uint32_t id = (uint32_t)t->ids[k], bit = 1u << id % 32;
            m->n -= m->bits[id / 32] & bit ? 1 : 0;
            m->bits[id / 32] &= ~bit;
        }
        from = next;
        to = end;
    }
}

/* Names of an expression may be used up: along those that were said already, the walk itself tells what goes on. */
static int follow_said(aios__mask *m, const aios__inside *in, uint32_t from)
{
    const aios__tree *t = &m->t->all;
    uint32_t list = 0, n;
    int rc = AIOS_OK;
    char *text = aios__alloc_array(m->w->g->heap, AIOS_MEM_SCRATCH, t->depth, 1, m->err);
    if (!text)
        return aios__oom(m->err);
    while (!rc && aios__key_said(m->w, in->frame, &list, text, t->depth, &n)) {
        uint32_t state = from, at = 0;
        for (uint32_t i = 0; i < n && i < t->depth && !rc; i++) {
            uint32_t child = t->first[at], end = t->first[at + 1];
            while (child < end && t->byte[child] != (uint8_t)text[i])
                child++;
            if (child == end)
                break;
            at = child;
            rc = aios__walk_next(m->w, state, t->byte[at], &state, m->err);
            if (!rc && !state) {
                clear_branch(m, t, at);
                break;
            }
        }
    }
    aios__free(m->w->g->heap, text);
    return rc;
}

/* Into bits that hold nothing of other readings. */
static int string_alone(aios__mask *m, const aios__inside *in)
{
    const aios__trie *t = m->t;
    const uint32_t *stays = t->stays[in->key];
    aios__kept *k = NULL;
    uint32_t after, from = 0;
    int rc = in->e == AIOS__RX_NOTHING ? AIOS_OK : tokens_of(m, in, &k);
    if (rc)
        return rc;
    if (!m->n && in->most >= t->max_len && (!k || !in->key)) {
        for (uint32_t i = 0; i < t->n_words; i++)
            m->bits[i] = k ? k->bits[i] & stays[i] : stays[i];
        m->n = k ? k->n : t->n_stays[in->key];
    } else {
        add_sets(m, k ? k->bits : stays, stays, in->most);
    }
    rc = in->key || in->outer != in->frame ? aios__walk_readings(m->w, &in->outer, 1, &from, m->err) : AIOS_OK;
    rc = rc ? rc : aios__walk_outside(m->w, in, &after, m->err);
    struct leaving l = {m, in, k ? k->bits : NULL, from, AIOS_OK};
    rc = rc ? rc : aios__mask_walk(m, &t->exits, after, add_leaving, &l);
    rc = rc ? rc : l.rc;
    return rc || !in->key || !k ? rc : follow_said(m, in, from);
}

int aios__mask_string(aios__mask *m, const aios__inside *in)
{
    if (!in->key || in->e == AIOS__RX_NOTHING || !m->n)
        return string_alone(m, in);
    aios__mask alone = *m;
    alone.bits = aios__alloc_array(m->w->g->heap, AIOS_MEM_SCRATCH, m->t->n_words, sizeof *alone.bits, m->err);
    alone.n = 0;
    if (!alone.bits)
        return aios__oom(m->err);
    int rc = string_alone(&alone, in);
    m->work = alone.work;
    if (!rc)
        add_sets(m, alone.bits, alone.bits, UINT64_MAX);
    aios__free(m->w->g->heap, alone.bits);
    return rc;
}

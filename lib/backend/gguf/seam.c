/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of forced text, such as the tokenizer would have made of the whole reply: the last tokens before it are cut anew with it, and at
 * its end only those are taken that stay the same whatever follows.
 *
 * A tokenization by merges has this property: the tokens in front of any boundary are those of the text in front of it alone. So the
 * tokens of a text that goes on are those of text[0, q) for some q, and then one token that begins with text[q, end) and goes on, or
 * q is the end. The tokens that all such q have in common are sure.
 */
#include "backend/gguf/gguf.h"
#include "backend/gguf/vocab_priv.h"

enum { ALTS_MAX = 12, REACH = 48, PIECE_MAX = 64, TAIL_BYTES = AIOS__SEAM_TAIL * PIECE_MAX };

/* Tokenizations of a text up to each place where a token may begin that goes on behind it; the first is that of all of it. */
typedef struct cuts {
    const aios__vocab *v;
    char text[TAIL_BYTES + AIOS__FORCED_BYTES];
    size_t n, n_old; /**< bytes, and of these, of tokens that are there */
    aios__ids ids;
    uint32_t from[ALTS_MAX + 1], n_alts;
} cuts;

static const int32_t *alt(const cuts *c, uint32_t i)
{
    return c->ids.p + c->from[i];
}

static uint32_t alt_n(const cuts *c, uint32_t i)
{
    return c->from[i + 1] - c->from[i];
}

static uint32_t common(const int32_t *a, uint32_t n_a, const int32_t *b, uint32_t n_b)
{
    uint32_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n])
        n++;
    return n;
}

static size_t bytes_of(const aios__vocab *v, const int32_t *ids, uint32_t n)
{
    size_t sum = 0, len;
    for (uint32_t i = 0; i < n; i++) {
        aios__vocab_piece(v, ids[i], &len);
        sum += len;
    }
    return sum;
}

/* Adds the tokenization of the first q bytes; if its tokens are not those bytes (a blank in front), the text cannot be cut here. */
static int add_cut(cuts *c, size_t q, bool *fits, aios_error *err)
{
    c->from[c->n_alts] = c->ids.n;
    int rc = aios__vocab_encode(c->v, c->text, q, 0, &c->ids, err);
    if (rc)
        return rc;
    c->from[++c->n_alts] = c->ids.n;
    size_t at = 0, len;
    for (uint32_t i = c->from[c->n_alts - 1]; i < c->ids.n; i++) {
        const char *p = aios__vocab_piece(c->v, c->ids.p[i], &len);
        *fits = *fits && len && len <= q - at && !memcmp(p, c->text + at, len);
        if (!*fits)
            return AIOS_OK;
        at += len;
    }
    return AIOS_OK;
}

static int make_cuts(cuts *c, const aios__prefixes *prefixes, const uint8_t next[32], bool *fits, aios_error *err)
{
    c->n_alts = c->ids.n = 0;
    *fits = true;
    int rc = add_cut(c, c->n, fits, err);
    for (size_t len = 1; !rc && *fits && len <= c->n && len <= REACH; len++) {
        if (!aios__prefixes_extend(prefixes, c->text + c->n - len, len, next))
            continue;
        if (c->n_alts == ALTS_MAX)
            *fits = false;
        else
            rc = add_cut(c, c->n - len, fits, err);
    }
    return rc;
}

/* The tokens that are sure, if they go beyond the text that is there. */
static void take_sure(const cuts *c, const int32_t *tail, uint32_t n_tail, uint32_t room, aios__seam *out)
{
    uint32_t sure = alt_n(c, 0), same = common(alt(c, 0), alt_n(c, 0), tail, n_tail);
    for (uint32_t i = 1; i < c->n_alts; i++)
        sure = common(alt(c, 0), sure, alt(c, i), alt_n(c, i));
    sure = sure < same + room ? sure : same + room;
    size_t n = bytes_of(c->v, alt(c, 0), sure);
    if (sure <= same || n <= c->n_old)
        return;
    out->n_drop = n_tail - same;
    out->n = sure - same;
    out->n_bytes = n - c->n_old;
    memcpy(out->ids, alt(c, 0) + same, out->n * sizeof *out->ids);
}

/* Bytes that may follow the forced text. */
static int next_bytes(const aios_walk *w, const aios__seam *out, uint8_t next[32], aios_error *err)
{
    aios_walk *copy;
    int rc = aios_walk_copy(w, &copy, err);
    rc = rc ? rc : aios_walk_accept(copy, out->text, out->n_text, err);
    rc = rc ? rc : aios_walk_next_bytes(copy, next);
    aios_walk_free(copy);
    return rc;
}

/* How many of the last tokens can be cut anew: those of no text, or much, cannot, nor what stands before them. */
static uint32_t count_loose(const aios__vocab *v, const int32_t *tail, uint32_t n_tail)
{
    uint32_t n = 0;
    size_t len;
    for (; n < n_tail; n++) {
        aios__vocab_piece(v, tail[n_tail - 1 - n], &len);
        if (!len || len > PIECE_MAX)
            break;
    }
    return n;
}

static void set_text(cuts *c, const int32_t *tail, uint32_t n_tail, const aios__seam *seam)
{
    c->n = 0;
    for (uint32_t i = 0; i < n_tail; i++) {
        size_t len;
        const char *p = aios__vocab_piece(c->v, tail[i], &len);
        memcpy(c->text + c->n, p, len);
        c->n += len;
    }
    c->n_old = c->n;
    memcpy(c->text + c->n, seam->text, seam->n_text);
    c->n += seam->n_text;
}

int aios__seam_make(const aios__prefixes *prefixes, const aios_walk *w, const aios__tail *last, uint32_t room, aios__seam *out, aios_error *err)
{
    const aios__vocab *v = aios__prefixes_vocab(prefixes);
    cuts c = {.v = v, .ids.heap = v->heap};
    uint8_t next[32];
    bool fits = false;
    out->n = out->n_drop = 0;
    out->n_bytes = 0;
    out->n_text = aios_walk_forced(w, out->text, sizeof out->text);
    if (!out->n_text)
        return AIOS_OK;
    uint32_t n_tail = count_loose(v, last->ids, last->n);
    const int32_t *tail = last->ids + last->n - n_tail;
    int rc = next_bytes(w, out, next, err);
    if (!rc) {
        set_text(&c, tail, n_tail, out);
        rc = make_cuts(&c, prefixes, next, &fits, err);
    }
    bool whole = last->whole && n_tail == last->n;
    if (!rc && n_tail && !whole && !(fits && common(alt(&c, 0), alt_n(&c, 0), tail, n_tail))) {
        n_tail = 0; /* where tokens were cut otherwise before, these tell nothing of the seam */
        set_text(&c, tail, n_tail, out);
        rc = make_cuts(&c, prefixes, next, &fits, err);
    }
    if (!rc && fits)
        take_sure(&c, tail, n_tail, room < AIOS__TODO ? room : AIOS__TODO, out);
    aios__ids_free(&c.ids);
    return rc;
}

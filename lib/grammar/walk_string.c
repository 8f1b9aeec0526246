/* SPDX-License-Identifier: Apache-2.0 */
/* The walker in JSON strings. */
#include "grammar/walk_priv.h"
#include "grammar/hex.h"

enum { STR_OPEN, STR_PLAIN, STR_ESCAPE, STR_HEX, STR_LOW_SLASH, STR_LOW_U, STR_LOW_HEX, STR_MORE };

bool aios__walk_utf8_lead(uint8_t c, uint8_t *more, uint32_t *range)
{
    uint32_t lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint32_t hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    *range = lo | hi << 8;
    *more = c < 0xc2 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 0;
    return *more;
}

bool aios__walk_utf8_more(uint8_t c, uint8_t *more, uint32_t *range)
{
    if (c < (*range & 0xff) || c > *range >> 8)
        return false;
    *range = 0x80 | 0xbf << 8;
    --*more;
    return true;
}


static bool content(aios__step *s, const aios__gnode *n, aios__frame *f, uint8_t c);

/* The character that an escape stands for, in a string that is in an expression. */
static bool spelled(aios__step *s, const aios__gnode *n, aios__frame *f, uint32_t cp)
{
    char bytes[4];
    bool fits = true;
    size_t len = aios__utf8_encode(cp, bytes);
    for (size_t i = 0; fits && i < len; i++)
        fits = content(s, n, f, (uint8_t)bytes[i]);
    return fits;
}

/* A digit of \uXXXX: U+0000 in complete grammars only, never a lone half of a pair; b keeps the first half. */
static bool str_hex(aios__step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    int h = aios__hex(c);
    if (h < 0)
        return false;
    f->c = f->c << 4 | (uint32_t)h;
    f->x++;
    bool low = f->c >> (4 * (f->x > 2 ? f->x - 2 : 0)) >= 0xdc && f->c >> (4 * (f->x > 2 ? f->x - 2 : 0)) <= 0xdf && f->x >= 2;
    if (f->st == STR_LOW_HEX) {
        if ((f->x == 1 && h != 0xd) || (f->x == 2 && !low))
            return false;
    } else if (low || (f->x == 4 && !f->c && !n->c)) {
        return false;
    }
    if (f->x == 4) {
        bool first = f->st == STR_HEX && f->c >= 0xd800 && f->c < 0xdc00;
        uint32_t cp = f->st == STR_HEX ? f->c : 0x10000 + ((f->b - 0xd800) << 10) + (f->c - 0xdc00);
        f->b = first && n->c ? f->c : 0;
        f->st = first ? STR_LOW_SLASH : STR_PLAIN;
        f->c = 0;
        f->x = 0;
        return first || !n->c || spelled(s, n, f, cp);
    }
    return true;
}

/* Escapes of one letter, and what they stand for. */
static const char escapes[] = "\"\\/bfnrt", escaped[] = "\"\\/\b\f\n\r\t";

/* Moves a string's expression over a byte of its content; false: no text goes on so. */
static bool content(aios__step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    const uint32_t *row;
    if (n->a == AIOS__RX_NOTHING || s->rc)
        return !s->rc;
    s->rc = aios__rx_row(s->g->rx, f->a, &row, s->err);
    f->a = s->rc ? AIOS__RX_NOTHING : row[c];
    return f->a != AIOS__RX_NOTHING;
}

/* Some escape may follow. */
static bool any_escape(aios__step *s, const aios__gnode *n, const aios__frame *f)
{
    for (const char *c = escaped; *c; c++) {
        aios__frame to = *f;
        if (content(s, n, &to, (uint8_t)*c))
            return true;
    }
    return false;
}

static bool str_plain(aios__step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    if (c < 0x20 || c == '"' || f->v >= n->max)
        return false;
    f->v += n->max != UINT64_MAX || f->v < n->min; /* what has no end is counted as far as min, so that readings stay equal */
    if (c == '\\') {
        f->st = STR_ESCAPE;
        return n->c || any_escape(s, n, f);
    }
    if (c >= 0x80)
        f->st = STR_MORE;
    return (c < 0x80 || aios__walk_utf8_lead(c, &f->x, &f->c)) && content(s, n, f, c);
}

/* Strings under a pattern have no \u escapes unless the grammar is complete: their digits say only at the end what they stand for. */
static bool str_escape(aios__step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    const char *at = c ? strchr(escapes, c) : NULL;
    f->st = c == 'u' ? STR_HEX : STR_PLAIN;
    return c == 'u' ? n->a == AIOS__RX_NOTHING || n->c : at && content(s, n, f, (uint8_t)escaped[at - escapes]);
}

bool aios__str_move(aios__step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    switch (f->st) {
    case STR_OPEN:
        f->st = STR_PLAIN;
        return c == '"';
    case STR_PLAIN:
        return str_plain(s, n, f, c);
    case STR_ESCAPE:
        return str_escape(s, n, f, c);
    case STR_LOW_SLASH:
        f->st = STR_LOW_U;
        return c == '\\';
    case STR_LOW_U:
        f->st = STR_LOW_HEX;
        return c == 'u';
    case STR_MORE:
        if (!aios__walk_utf8_more(c, &f->x, &f->c) || !content(s, n, f, c))
            return false;
        if (!f->x) {
            f->st = STR_PLAIN;
            f->c = 0;
        }
        return true;
    default:
        return str_hex(s, n, f, c);
    }
}

void aios__step_str(aios__step *s, const aios__frame *f, uint8_t c)
{
    const aios__gnode *n = &s->g->nodes[f->node];
    aios__frame to = *f;
    if (c == '"' && f->st == STR_PLAIN) {
        if (f->v >= n->min && (n->a == AIOS__RX_NOTHING || aios__rx_ends(s->g->rx, f->a)))
            aios__step_done(s, f->up);
    } else if (aios__str_move(s, n, &to, c)) {
        aios__step_emit_frame(s, &to);
    }
}

bool aios__str_begun(const aios__frame *f)
{
    return f->st != STR_OPEN;
}

bool aios__str_between(const aios__frame *f)
{
    return f->st == STR_PLAIN;
}

aios__frame aios__str_begin(uint32_t node, uint32_t e)
{
    return (aios__frame){.node = node, .a = e, .st = STR_PLAIN};
}

bool aios__walk_inside(const aios_walk *w, uint32_t i, aios__inside *in)
{
    const aios__frame *f = &w->frames[i];
    uint32_t outer = i;
    bool apart = true;
    for (; w->g->nodes[f->node].kind == AIOS__G_ARR && f->st == ARR_WRAP; f = &w->frames[i = f->a])
        apart = apart && !f->x;
    const aios__gnode *n = &w->g->nodes[f->node];
    if (n->kind == AIOS__G_STR) {
        *in = (aios__inside){.frame = i, .node = f->node, .e = n->a == AIOS__RX_NOTHING ? AIOS__RX_NOTHING : f->a};
        in->least = f->v < n->min ? n->min - f->v : 0;
        in->most = n->max == UINT64_MAX ? n->max : n->max - f->v;
    }
    if (n->kind == AIOS__G_STR ? f->st != STR_PLAIN : n->kind != AIOS__G_OBJ || !aios__key_inside(w, i, in))
        return false;
    in->outer = outer;
    return apart || (in->e == AIOS__RX_NOTHING && in->most > UINT16_MAX); /* an item must not run into its end as one that is there already */
}

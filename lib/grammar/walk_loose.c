/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of objects in complete grammars: members in any order, names with any escapes. A key's frame: v the frame of the byte before, c
 * bytes of the name, x the last of them, b what an escape says so far and a where in it the text is, or what a character still lacks.
 */
#include "grammar/walk_priv.h"
#include "grammar/hex.h"

enum { PLAIN, SLASH, HEX, PAIR_SLASH = 16, PAIR_U, PAIR_HEX, MORE = 32 };
#define LISTED (1u << 31)

static const aios__gobj *object_of(const aios__step *s, const aios__frame *f)
{
    return &s->g->objs[s->g->nodes[f->node].a];
}

/* The frame that bytes of the name are behind: the first one has none. */
static uint32_t name_end(const aios__frame *f, uint32_t i)
{
    return f->c ? i : 0;
}

/* Adds the bytes of a character and waits for the next one. */
static void add_char(aios__step *s, const aios__frame *f, uint32_t i, const char *bytes, size_t n)
{
    aios__frame to = *f;
    uint32_t at = name_end(f, i);
    for (size_t k = 0; k < n && !s->rc; k++) {
        to.a = to.b = 0;
        to.v = at;
        to.x = (uint8_t)bytes[k];
        to.c++;
        at = aios__step_frame(s, &to);
    }
    if (!s->rc)
        aios__step_emit(s, at);
}

/* Another frame in the place of f, which has added no byte. */
static void move(aios__step *s, const aios__frame *f, uint32_t a, uint32_t b)
{
    aios__frame to = *f;
    to.a = a;
    to.b = b;
    aios__step_emit_frame(s, &to);
}

/* a counts digits from HEX or PAIR_HEX on. */
static void step_hex(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    char bytes[4];
    int h = aios__hex(c);
    uint32_t base = f->a >= PAIR_HEX ? PAIR_HEX : HEX, n = f->a - base + 1, cp = f->b << 4 | (uint32_t)h;
    if (h < 0)
        return;
    if (n < 4) {
        move(s, f, f->a + 1, cp);
        return;
    }
    uint32_t low = cp & 0xffff, high = cp >> 16;
    if (base == HEX && low >= 0xd800 && low < 0xdc00) {
        move(s, f, PAIR_SLASH, low);
        return;
    }
    if (base == PAIR_HEX ? low < 0xdc00 || low > 0xdfff : (low >= 0xdc00 && low <= 0xdfff) || !low)
        return;
    add_char(s, f, i, bytes, aios__utf8_encode(base == PAIR_HEX ? 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00) : low, bytes));
}

static void step_raw(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    uint8_t more = 0;
    uint32_t range = 0;
    if (c < 0x20 || (c >= 0x80 && !aios__walk_utf8_lead(c, &more, &range)))
        return;
    aios__frame to = *f;
    to.v = name_end(f, i);
    to.x = c;
    to.c++;
    to.a = more ? MORE + more : PLAIN;
    to.b = more ? range : 0;
    aios__step_emit_frame(s, &to);
}

static void step_more(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    uint8_t more = (uint8_t)(f->a - MORE);
    uint32_t range = f->b;
    if (!aios__walk_utf8_more(c, &more, &range))
        return;
    aios__frame to = *f;
    to.v = i;
    to.x = c;
    to.c++;
    to.a = more ? MORE + more : PLAIN;
    to.b = more ? range : 0;
    aios__step_emit_frame(s, &to);
}

/* ---- the name is there -------------------------------------------------------------------------------------------- */

static int compare(const aios_grammar *g, const uint32_t *key, const char *s, size_t n)
{
    int r = memcmp(g->bytes + key[0], s, key[1] < n ? key[1] : n);
    return r ? r : (key[1] > n) - (key[1] < n);
}

/* The listed property of the name: NONE if it must not be, `n` if there is none. */
static uint32_t find(const aios_grammar *g, const aios__gobj *o, const char *s, size_t n)
{
    const uint32_t *keys = g->words + o->keys;
    uint32_t lo = 0, hi = o->n_keys;
    while (lo < hi) {
        uint32_t m = lo + (hi - lo) / 2;
        int r = compare(g, keys + 3 * (size_t)m, s, n);
        if (!r)
            return keys[3 * (size_t)m + 2];
        if (r < 0)
            lo = m + 1;
        else
            hi = m;
    }
    return o->n;
}

static void emit_colon(aios__step *s, const aios__frame *f, uint32_t what, uint32_t end)
{
    aios__frame to = {.node = f->node, .up = f->up, .b = what, .depth = f->depth, .st = KEY_COLON, .v = end};
    aios__step_emit_frame(s, &to);
}

static void end_key(aios__step *s, const aios__frame *f, uint32_t i)
{
    const aios__gobj *o = object_of(s, f);
    aios__buf text;
    bool is = false;
    uint32_t end = name_end(f, i);
    if (aios__key_seen(s, s->w->frames[f->up].c, end))
        return;
    aios__buf_init(&text, s->g->heap, AIOS_MEM_SCRATCH, 0);
    s->rc = aios__step_spell(s, end, &text);
    uint32_t j = s->rc ? AIOS__G_NONE : find(s->g, o, text.p, text.n);
    if (j < o->n)
        emit_colon(s, f, j | LISTED, end);
    for (uint32_t k = 0; j == o->n && k < o->n_frees && !s->rc; k++) {
        uint32_t rx = s->g->words[o->frees + AIOS__G_FREE * (size_t)k + 1];
        is = rx == AIOS__RX_NOTHING;
        if (!is)
            s->rc = aios__rx_match(s->g->rx, rx, text.p, text.n, &is, s->err);
        if (is && !s->rc)
            emit_colon(s, f, k, end);
    }
    aios__buf_free(&text);
}

void aios__loose_key(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    static const char escapes[] = "\"\\/bfnrt", escaped[] = "\"\\/\b\f\n\r\t";
    const char *at;
    if (f->a > MORE) {
        step_more(s, f, i, c);
    } else if (f->a == PLAIN && c == '"') {
        end_key(s, f, i);
    } else if (f->a == PLAIN && c == '\\') {
        move(s, f, SLASH, 0);
    } else if (f->a == PLAIN) {
        step_raw(s, f, i, c);
    } else if (f->a == SLASH) {
        at = c ? strchr(escapes, c) : NULL;
        if (c == 'u')
            move(s, f, HEX, 0);
        else if (at)
            add_char(s, f, i, &escaped[at - escapes], 1);
    } else if (f->a == PAIR_SLASH || f->a == PAIR_U) {
        if (c == (f->a == PAIR_SLASH ? '\\' : 'u'))
            move(s, f, f->a + 1, f->b);
    } else {
        step_hex(s, f, i, c);
    }
}

/* The value of the member that the key's frame names. */
void aios__loose_colon(aios__step *s, const aios__frame *f)
{
    const aios__gobj *o = object_of(s, f);
    aios__frame obj = s->w->frames[f->up];
    bool listed = f->b & LISTED;
    const uint32_t *p = s->g->words + (listed ? o->props + 4 * (size_t)(f->b & ~LISTED) : o->frees + AIOS__G_FREE * (size_t)f->b);
    aios__frame list = {.node = f->node, .up = obj.c, .st = KEY_LIST, .v = f->v};
    obj.c = aios__step_frame(s, &list);
    obj.a += listed && p[1];
    obj.v++;
    obj.x |= listed ? 0 : (uint8_t)p[2];
    obj.st = OBJ_AFTER;
    if (aios__step_fits(s, p[0], obj.depth))
        aios__step_plan(s, p[0], aios__step_frame(s, &obj));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The walker in JSON objects and their keys. */
#include "grammar/walk_priv.h"

/*
 * Object frame: a next property, or in a loose object how many required ones are there; v members; x needs that are met; c the last of
 * the keys said already. Key frame of a listed name: a .. b those that begin so, c bytes read. Key frame of another name: v the
 * frame of the byte before, what a character still lacks, and which of the frees; c bytes, x the last of them; a and b as above, or a the
 * state of the frees' expression.
 */
static const uint32_t *prop(const aios__step *s, const aios__gobj *o, uint32_t i)
{
    return s->g->words + o->props + 4 * (size_t)i;
}

static const uint32_t *free_at(const aios__step *s, const aios__gobj *o, uint32_t i)
{
    return s->g->words + o->frees + AIOS__G_FREE * (size_t)i;
}

uint32_t aios__grammar_lacking(const aios_grammar *g, const aios__gobj *o, uint32_t met, uint32_t height)
{
    uint32_t left = o->needs & ~met;
    for (uint32_t i = 0; left && i < o->n_frees; i++) {
        const uint32_t *p = g->words + o->frees + AIOS__G_FREE * (size_t)i;
        if (g->nodes[p[0]].height <= height && !(left & ~p[2]))
            return 1;
    }
    return (uint32_t)__builtin_popcount(left);
}

uint64_t aios__grammar_room(const aios_grammar *g, const aios__gobj *o, uint32_t height)
{
    uint64_t room = 0;
    for (uint32_t i = 0; i < o->n_frees; i++) {
        const uint32_t *p = g->words + o->frees + AIOS__G_FREE * (size_t)i;
        if (!p[2] && g->nodes[p[0]].height <= height) /* what meets a need has names of one that meets none */
            room = p[3] == AIOS__G_NAMES ? UINT64_MAX / 4 : room + p[3];
    }
    return room;
}

/* Containers that a member may nest. */
static uint32_t height_left(const aios__frame *f)
{
    return AIOS__G_DEPTH - f->depth;
}

/* Members that may still come, the first of them property j or one behind it. */
static uint64_t may_come(const aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t j)
{
    uint64_t n = aios__grammar_room(s->g, o, height_left(f));
    if (o->deepest <= height_left(f))
        return n + (o->n - j);
    for (; j < o->n; j++)
        n += aios__step_fits(s, prop(s, o, j)[0], f->depth);
    return n;
}

/* May property j come next in the object's frame f? Those left out may not be required, and the counts must work out. */
static bool prop_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t j)
{
    if (j == AIOS__G_NONE || j < f->a)
        return false;
    const uint32_t *from = prop(s, o, f->a), *p = prop(s, o, j);
    if (j > from[2] || !aios__step_fits(s, p[0], f->depth))
        return false;
    if (!p[1] && f->v + 1 + from[3] + aios__grammar_lacking(s->g, o, f->x, height_left(f)) > o->max)
        return false;
    return f->v >= o->min || f->v + may_come(s, o, f, j) >= o->min;
}

static bool free_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t i)
{
    const uint32_t *p = free_at(s, o, i);
    uint32_t needed = o->needs & ~(uint32_t)f->x;
    bool required = f->a < o->n && prop(s, o, f->a)[3];
    if (required || !aios__step_fits(s, p[0], f->depth) || (needed && !(p[2] & needed)))
        return false;
    if (f->v + 1 + aios__grammar_lacking(s->g, o, f->x | p[2], height_left(f)) > o->max)
        return false;
    return f->v >= o->min || f->v + may_come(s, o, f, o->n) >= o->min;
}

static bool any_prop_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t lo, uint32_t hi)
{
    const uint32_t *keys = s->g->words + o->keys;
    for (uint32_t i = lo; i < hi; i++)
        if (prop_ok(s, o, f, keys[3 * (size_t)i + 2]))
            return true;
    return false;
}

static uint32_t all_required(const aios__step *s, const aios__gobj *o)
{
    return o->n ? prop(s, o, 0)[3] : 0;
}

static bool close_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f)
{
    if (f->v < o->min || f->v > o->max || aios__grammar_lacking(s->g, o, f->x, height_left(f)))
        return false;
    return o->loose ? f->a == all_required(s, o) : !(f->a < o->n && prop(s, o, f->a)[3]);
}

/* ---- keys said already -------------------------------------------------------------------------------------------- */

static bool same_key(const aios__frame *fr, uint32_t a, uint32_t b)
{
    while (a && b && a != b && fr[a].c == fr[b].c && fr[a].x == fr[b].x) {
        a = (uint32_t)fr[a].v;
        b = (uint32_t)fr[b].v;
    }
    return a == b;
}

/* Bytes of a free key hang together by v; its length is c. Is it one that the object had before? */
bool aios__key_seen(const aios__step *s, uint32_t list, uint32_t key)
{
    const aios__frame *fr = s->w->frames;
    for (; list; list = fr[list].up)
        if (same_key(fr, (uint32_t)fr[list].v, key))
            return true;
    return false;
}

/* Frees i and k may have names in common. */
static bool may_share(const aios__step *s, const aios__gobj *o, uint32_t i, uint32_t k)
{
    return i == k || free_at(s, o, i)[2] || free_at(s, o, k)[2];
}

/* How many keys of the list that frees i may have begin with the text of `key`, a frame of n bytes (n 0: any). */
static uint32_t seen_with(const aios__step *s, uint32_t i, uint32_t list, uint32_t key, uint32_t n)
{
    const aios__frame *fr = s->w->frames;
    uint32_t found = 0;
    for (; list; list = fr[list].up) {
        if (!may_share(s, &s->g->objs[s->g->nodes[fr[list].node].a], i, fr[list].b))
            continue;
        uint32_t a = (uint32_t)fr[list].v;
        while (a && fr[a].c > n)
            a = (uint32_t)fr[a].v;
        found += !n || (a && same_key(fr, a, key));
    }
    return found;
}

/* Some name of frees i, in its expression's state behind `key`, is not in the list. */
static bool name_left(aios__step *s, uint32_t i, uint32_t list, uint32_t state, uint32_t key, uint32_t n)
{
    uint32_t seen = seen_with(s, i, list, key, n);
    uint32_t texts = seen + 1;
    if (seen && !s->rc)
        s->rc = aios__rx_count(s->g->rx, state, seen + 1, &texts, s->err);
    return texts > seen;
}

/* ---- objects ------------------------------------------------------------------------------------------------------ */

static void begin_free(aios__step *s, const aios__gobj *o, const aios__frame *f, aios__frame key, uint32_t i)
{
    const uint32_t *p = free_at(s, o, i);
    key.st = KEY_FREE;
    key.c = 0;
    key.v = (uint64_t)i << AIOS__KEY_CLASS;
    if (p[1] != AIOS__RX_NOTHING) {
        key.a = p[1];
        key.b = 0;
        if (!name_left(s, i, f->c, p[1], 0, 0))
            return;
    }
    if (free_ok(s, o, f, i) && !s->rc)
        aios__step_emit_frame(s, &key);
}

/* The key's opening quote, in the object's frame f at index i. */
static void begin_key(aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t i)
{
    aios__frame key = {.node = f->node, .up = i, .b = o->n_keys, .c = 1, .depth = f->depth, .st = KEY_NAME};
    if (o->loose) {
        key.b = key.c = 0;
        key.st = KEY_LOOSE;
        aios__step_emit_frame(s, &key);
        return;
    }
    if (any_prop_ok(s, o, f, 0, o->n_keys))
        aios__step_emit_frame(s, &key);
    for (uint32_t k = 0; k < o->n_frees; k++)
        begin_free(s, o, f, key, k);
}

static bool some_key(aios__step *s, const aios__gobj *o, const aios__frame *f)
{
    if (o->loose)
        return f->v < o->max;
    if (any_prop_ok(s, o, f, 0, o->n_keys))
        return true;
    for (uint32_t i = 0; i < o->n_frees; i++) {
        uint32_t rx = free_at(s, o, i)[1];
        if (free_ok(s, o, f, i) && (rx == AIOS__RX_NOTHING || name_left(s, i, f->c, rx, 0, 0)))
            return true;
    }
    return false;
}

static void step_obj(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    aios__frame to = *f;
    bool first = f->st == OBJ_FIRST;
    if (f->st == OBJ_OPEN && c == '{') {
        to.st = OBJ_FIRST;
        aios__step_emit_frame(s, &to);
    } else if ((first || f->st == OBJ_AFTER) && c == '}') {
        if (close_ok(s, o, f))
            aios__step_done(s, f->up);
    } else if (f->st == OBJ_AFTER && c == ',') {
        to.st = OBJ_NEXT;
        s->blank = s->g->blank;
        if (some_key(s, o, f))
            aios__step_emit_frame(s, &to);
    } else if ((first || f->st == OBJ_NEXT) && c == '"') {
        begin_key(s, o, f, i);
    }
}

/* ---- listed names ------------------------------------------------------------------------------------------------- */

static void step_key_name(aios__step *s, const aios__frame *f, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    const uint32_t *keys = s->g->words + o->keys;
    aios__frame obj = s->w->frames[f->up], to = *f;
    aios__walk_narrow(s->g, keys, &to.a, &to.b, to.c, c);
    to.c++;
    if (!any_prop_ok(s, o, &obj, to.a, to.b))
        return;
    if (keys[3 * (size_t)to.a + 1] != to.c) {
        aios__step_emit_frame(s, &to);
        return;
    }
    uint32_t j = keys[3 * (size_t)to.a + 2]; /* the colon ends a key, so no other one begins with it */
    obj.a = j + 1;
    obj.v++;
    obj.st = OBJ_AFTER;
    s->blank = s->g->blank;
    aios__step_plan(s, prop(s, o, j)[0], aios__step_frame(s, &obj));
}

/* ---- other names -------------------------------------------------------------------------------------------------- */

static void end_free_key(aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t i)
{
    const uint32_t *keys = s->g->words + o->keys;
    uint32_t class = (uint32_t)(f->v >> AIOS__KEY_CLASS), rx = free_at(s, o, class)[1], lo = f->a, hi = f->b;
    if (rx == AIOS__RX_NOTHING)
        aios__walk_narrow(s->g, keys, &lo, &hi, f->c + 1, '"');
    else if (!aios__rx_ends(s->g->rx, f->a))
        return;
    if ((rx == AIOS__RX_NOTHING && lo < hi) || aios__key_seen(s, s->w->frames[f->up].c, i))
        return; /* a property with a schema of its own, or one said already */
    aios__frame to = {.node = f->node, .up = f->up, .b = class, .depth = f->depth, .st = KEY_COLON, .v = i};
    aios__step_emit_frame(s, &to);
}

/* One more byte of the name, of a character that has `more` to come. */
static void add_byte(aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t i, uint8_t c, uint8_t more, uint32_t range)
{
    aios__frame to = *f;
    uint32_t class = (uint32_t)(f->v >> AIOS__KEY_CLASS), rx = free_at(s, o, class)[1];
    const uint32_t *row;
    to.c++;
    to.x = c;
    to.v = i | (uint64_t)(more ? range : 0) << 32 | (uint64_t)more << AIOS__KEY_MORE | (uint64_t)class << AIOS__KEY_CLASS;
    if (rx == AIOS__RX_NOTHING) {
        aios__walk_narrow(s->g, s->g->words + o->keys, &to.a, &to.b, to.c, c);
    } else {
        s->rc = s->rc ? s->rc : aios__rx_row(s->g->rx, f->a, &row, s->err);
        if (s->rc || row[c] == AIOS__RX_NOTHING)
            return;
        to.a = row[c];
        uint32_t list = s->w->frames[f->up].c;
        if (list) { /* a finite rest of names may be used up */
            uint32_t at = aios__step_frame(s, &to);
            if (s->rc || !name_left(s, class, list, to.a, at, to.c))
                return;
        }
    }
    aios__step_emit_frame(s, &to);
}

static void step_key_free(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    uint32_t range = f->v >> 32 & 0xffff;
    uint8_t more = f->v >> AIOS__KEY_MORE & 15;
    if (more) {
        if (!aios__walk_utf8_more(c, &more, &range))
            return;
    } else if (c == '"') {
        end_free_key(s, o, f, f->c ? i : 0);
        return;
    } else if (c < 0x20 || c == '\\' || (c >= 0x80 && !aios__walk_utf8_lead(c, &more, &range))) {
        return;
    }
    add_byte(s, o, f, f->c ? i : 0, c, more, range);
}

static void step_key_colon(aios__step *s, const aios__frame *f, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    aios__frame obj = s->w->frames[f->up];
    if (c != ':')
        return;
    s->blank = s->g->blank;
    if (o->loose) {
        aios__loose_colon(s, f);
        return;
    }
    const uint32_t *p = free_at(s, o, f->b);
    aios__frame list = {.node = f->node, .up = obj.c, .b = f->b, .st = KEY_LIST, .v = f->v};
    obj.c = aios__step_frame(s, &list);
    obj.a = o->n;
    obj.v++;
    obj.x |= (uint8_t)p[2];
    obj.st = OBJ_AFTER;
    aios__step_plan(s, p[0], aios__step_frame(s, &obj));
}

void aios__step_object(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    switch (f->st) {
    case KEY_NAME:
        step_key_name(s, f, c);
        return;
    case KEY_FREE:
        step_key_free(s, f, i, c);
        return;
    case KEY_COLON:
        step_key_colon(s, f, c);
        return;
    case KEY_LOOSE:
        aios__loose_key(s, f, i, c);
        return;
    default:
        step_obj(s, f, i, c);
    }
}

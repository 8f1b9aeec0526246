/* SPDX-License-Identifier: Apache-2.0 */
/* The walker in JSON objects and their keys. */
#include "llm/walk_priv.h"

static const uint32_t *prop(const aios__step *s, const aios__gobj *o, uint32_t i)
{
    return s->g->words + o->props + 4 * (size_t)i;
}

/* May property j come next in the object's frame f? Those left out may not be required, and the counts must work out. */
static bool prop_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t j)
{
    if (j < f->a)
        return false;
    const uint32_t *from = prop(s, o, f->a), *p = prop(s, o, j);
    if (j > from[2] || !aios__step_fits(s, p[0], f->depth))
        return false;
    if (!p[1] && f->v + 1 + from[3] > o->max)
        return false;
    return o->extra != AIOS__G_NONE || f->v + (o->n - j) >= o->min;
}

static bool extra_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f)
{
    bool required = f->a < o->n && prop(s, o, f->a)[3];
    return !required && f->v < o->max && aios__step_fits(s, o->extra, f->depth);
}

static bool any_prop_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t lo, uint32_t hi)
{
    const uint32_t *keys = s->g->words + o->keys;
    for (uint32_t i = lo; i < hi; i++)
        if (prop_ok(s, o, f, keys[3 * (size_t)i + 2]))
            return true;
    return false;
}

static bool close_ok(const aios__step *s, const aios__gobj *o, const aios__frame *f)
{
    return f->v >= o->min && !(f->a < o->n && prop(s, o, f->a)[3]);
}

/* The key's opening quote, in the object's frame f at index i. */
static void begin_key(aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t i)
{
    aios__frame key = {.node = f->node, .up = i, .b = o->n_keys, .c = 1, .depth = f->depth, .st = KEY_NAME};
    if (any_prop_ok(s, o, f, 0, o->n_keys))
        aios__step_emit_frame(s, &key);
    key.st = KEY_FREE;
    if (extra_ok(s, o, f))
        aios__step_emit_frame(s, &key);
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
        if (extra_ok(s, o, f) || any_prop_ok(s, o, f, 0, o->n_keys))
            aios__step_emit_frame(s, &to);
    } else if ((first || f->st == OBJ_NEXT) && c == '"') {
        begin_key(s, o, f, i);
    }
}

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
    aios__step_plan(s, prop(s, o, j)[0], aios__step_frame(s, &obj));
}

/* Bytes of a free key hang together by v; its length is c. Is it one that the object had before? */
static bool key_seen(const aios__step *s, uint32_t list, uint32_t key)
{
    const aios__frame *fr = s->w->frames;
    for (; list; list = fr[list].up) {
        uint32_t a = (uint32_t)fr[list].v, b = key;
        while (a && b && a != b && fr[a].c == fr[b].c && fr[a].x == fr[b].x) {
            a = (uint32_t)fr[a].v;
            b = (uint32_t)fr[b].v;
        }
        if (a == b)
            return true;
    }
    return false;
}

static void end_free_key(aios__step *s, const aios__gobj *o, const aios__frame *f, uint32_t i)
{
    const uint32_t *keys = s->g->words + o->keys;
    uint32_t lo = f->a, hi = f->b;
    aios__walk_narrow(s->g, keys, &lo, &hi, f->c, '"');
    if (lo < hi || key_seen(s, s->w->frames[f->up].c, i))
        return; /* a property with a schema of its own, or one said already */
    aios__frame to = {.node = f->node, .up = f->up, .depth = f->depth, .st = KEY_COLON, .v = i};
    aios__step_emit_frame(s, &to);
}

static void step_key_free(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    aios__frame to = *f;
    uint32_t high = (uint32_t)(f->v >> 32), range = high & 0xffff;
    uint8_t more = (uint8_t)(high >> 16);
    if (more) {
        if (!aios__walk_utf8_more(c, &more, &range))
            return;
    } else if (c == '"') {
        end_free_key(s, o, f, i);
        return;
    } else if (c < 0x20 || c == '\\' || (c >= 0x80 && !aios__walk_utf8_lead(c, &more, &range))) {
        return;
    }
    aios__walk_narrow(s->g, s->g->words + o->keys, &to.a, &to.b, to.c, c);
    to.c++;
    to.x = c;
    to.v = i | (uint64_t)(more ? range | (uint32_t)more << 16 : 0) << 32;
    aios__step_emit_frame(s, &to);
}

static void step_key_colon(aios__step *s, const aios__frame *f, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    aios__frame obj = s->w->frames[f->up];
    if (c != ':')
        return;
    aios__frame list = {.node = f->node, .up = obj.c, .st = KEY_LIST, .v = f->v};
    obj.c = aios__step_frame(s, &list);
    obj.a = o->n;
    obj.v++;
    obj.st = OBJ_AFTER;
    aios__step_plan(s, o->extra, aios__step_frame(s, &obj));
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
    default:
        step_obj(s, f, i, c);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The walker: a set of readings, each a chain of frames that are never changed once made. A byte turns every reading into
   none, one or several new ones; equal ones meet again, so ambiguity does not multiply. */
#include <stdio.h>

#include "llm/grammar_priv.h"

typedef struct aios__todo {
    uint32_t node, up; /* node NONE: what stands on `up` is done */
} todo;

/* One step: where new readings go. */
typedef struct step {
    aios_walk *w;
    const aios_grammar *g;
    uint32_t to, n;
    int rc;
    aios_error *err;
} step;

enum { STR_OPEN, STR_PLAIN, STR_ESCAPE, STR_HEX, STR_LOW_SLASH, STR_LOW_U, STR_LOW_HEX, STR_MORE };
enum { OBJ_OPEN, OBJ_FIRST, OBJ_AFTER, OBJ_NEXT, KEY_NAME, KEY_FREE, KEY_COLON, KEY_LIST };
enum { ARR_OPEN, ARR_FIRST, ARR_ITEM, ARR_AFTER };

static uint32_t add_frame(step *s, const aios__frame *f)
{
    aios_walk *w = s->w;
    for (uint32_t i = w->floor; i < w->n_frames; i++)
        if (!memcmp(&w->frames[i], f, sizeof *f))
            return i;
    if (w->n_frames == w->cap_frames && !s->rc)
        s->rc = aios__grow(s->g->heap, &w->frames, &w->cap_frames, (size_t)w->n_frames + 1, AIOS__G_FRAMES, sizeof *w->frames,
                           "frames of a grammar's walk", s->err);
    if (s->rc)
        return 0;
    w->frames[w->n_frames] = *f;
    return w->n_frames++;
}

static void emit(step *s, uint32_t frame)
{
    aios_walk *w = s->w;
    for (uint32_t i = 0; i < s->n; i++)
        if (w->threads[s->to + i] == frame)
            return;
    if (s->n == AIOS__G_THREADS && !s->rc)
        s->rc = aios__fail_need(s->err, AIOS_ELIMIT, AIOS__G_THREADS, s->n + 1,
                                "a text can be read in more than %u ways at once: make the alternatives of the schema differ earlier",
                                AIOS__G_THREADS);
    if (s->to + s->n == w->cap_threads && !s->rc)
        s->rc = aios__grow(s->g->heap, &w->threads, &w->cap_threads, (size_t)s->to + s->n + 1, UINT32_MAX, sizeof *w->threads,
                           "readings", s->err);
    if (!s->rc)
        w->threads[s->to + s->n++] = frame;
}

static void emit_frame(step *s, const aios__frame *f)
{
    uint32_t i = add_frame(s, f);
    if (!s->rc)
        emit(s, i);
}

static void plan(step *s, uint32_t node, uint32_t up)
{
    aios_walk *w = s->w;
    if (w->n_todo == w->cap_todo && !s->rc)
        s->rc = aios__grow(s->g->heap, &w->todo, &w->cap_todo, (size_t)w->n_todo + 1, AIOS__G_WORDS, sizeof *w->todo, "alternatives", s->err);
    if (!s->rc)
        w->todo[w->n_todo++] = (todo){node, up};
}

static void done(step *s, uint32_t up)
{
    plan(s, AIOS__G_NONE, up);
}

static bool fits(const step *s, uint32_t node, unsigned depth)
{
    return node != AIOS__G_NONE && s->g->nodes[node].height + depth <= AIOS__G_DEPTH;
}

/* ---- entering and leaving nodes --------------------------------------------------------------------------------- */

static void enter(step *s, uint32_t node, uint32_t up)
{
    const aios__gnode *n = &s->g->nodes[node];
    unsigned depth = s->w->frames[up].depth;
    if (!fits(s, node, depth))
        return;
    aios__frame f = {.node = node, .up = up, .depth = (uint16_t)(depth + (n->kind == AIOS__G_OBJ || n->kind == AIOS__G_ARR))};
    switch (n->kind) {
    case AIOS__G_ALT:
        for (uint32_t i = 0; i < n->b; i++)
            plan(s, s->g->words[n->a + i], up);
        return;
    case AIOS__G_SEQ:
        plan(s, s->g->words[n->a], add_frame(s, &f));
        return;
    case AIOS__G_REP:
        plan(s, n->a, add_frame(s, &f));
        return;
    case AIOS__G_LIT:
        if (!n->b)
            done(s, up);
        else
            emit_frame(s, &f);
        return;
    case AIOS__G_SET:
        f.b = n->b;
        emit_frame(s, &f);
        return;
    case AIOS__G_STR:
        f.a = n->a;
        emit_frame(s, &f);
        return;
    case AIOS__G_RX:
        f.a = n->a;
        if (aios__rx_ends(s->g->rx, f.a))
            done(s, up);
        emit_frame(s, &f);
        return;
    default:
        emit_frame(s, &f);
    }
}

/* What stands on `up` is finished. */
static void leave(step *s, uint32_t up)
{
    aios__frame f = s->w->frames[up];
    const aios__gnode *n = &s->g->nodes[f.node];
    switch (n->kind) {
    case AIOS__G_ARR:
        f.st = ARR_AFTER;
        f.v++;
        emit_frame(s, &f);
        return;
    case AIOS__G_SEQ:
        if (++f.a == n->b)
            done(s, f.up);
        else
            plan(s, s->g->words[n->a + f.a], add_frame(s, &f));
        return;
    case AIOS__G_REP:
        done(s, f.up);
        f.v++;
        if (f.v < n->max)
            plan(s, n->b, add_frame(s, &f));
        return;
    default: /* an object waits in the state it was left in; the end is the end */
        emit(s, up);
    }
}

static void settle(step *s)
{
    aios_walk *w = s->w;
    while (w->n_todo && !s->rc) {
        todo t = w->todo[--w->n_todo];
        if (t.node == AIOS__G_NONE)
            leave(s, t.up);
        else
            enter(s, t.node, t.up);
    }
    w->n_todo = 0;
}

/* ---- literals --------------------------------------------------------------------------------------------------- */

static void step_lit(step *s, const aios__frame *f, uint8_t c)
{
    const aios__gnode *n = &s->g->nodes[f->node];
    aios__frame to = *f;
    if ((uint8_t)s->g->bytes[n->a + to.a] != c)
        return;
    if (++to.a == n->b)
        done(s, to.up);
    else
        emit_frame(s, &to);
}

/* Narrows lo .. hi of sorted entries, equal in their first `pos` bytes and all longer, to those with c next. */
static void narrow(const aios_grammar *g, const uint32_t *e, uint32_t *lo, uint32_t *hi, uint32_t pos, uint8_t c)
{
    uint32_t a = *lo, b = *hi;
    while (a < b) { /* first with byte >= c */
        uint32_t m = a + (b - a) / 2;
        if ((uint8_t)g->bytes[e[3 * (size_t)m] + pos] < c)
            a = m + 1;
        else
            b = m;
    }
    *lo = a;
    b = *hi;
    while (a < b) { /* first with byte > c */
        uint32_t m = a + (b - a) / 2;
        if ((uint8_t)g->bytes[e[3 * (size_t)m] + pos] <= c)
            a = m + 1;
        else
            b = m;
    }
    *hi = a;
}

static void step_set(step *s, const aios__frame *f, uint8_t c)
{
    const uint32_t *e = s->g->words + s->g->nodes[f->node].a;
    aios__frame to = *f;
    narrow(s->g, e, &to.a, &to.b, to.c, c);
    to.c++;
    if (to.a < to.b && e[3 * (size_t)to.a + 1] == to.c) { /* the shortest of equal beginnings comes first */
        plan(s, e[3 * (size_t)to.a + 2], to.up);
        to.a++;
    }
    if (to.a < to.b)
        emit_frame(s, &to);
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

/* Begins a multi-byte character: bytes to come and the range of the next. False if c begins none. */
static bool utf8_lead(uint8_t c, uint8_t *more, uint32_t *range)
{
    uint32_t lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint32_t hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    *range = lo | hi << 8;
    *more = c < 0xc2 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 0;
    return *more;
}

static bool utf8_more(uint8_t c, uint8_t *more, uint32_t *range)
{
    if (c < (*range & 0xff) || c > *range >> 8)
        return false;
    *range = 0x80 | 0xbf << 8;
    --*more;
    return true;
}

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* A digit of \uXXXX: never U+0000, never a lone half of a pair. */
static bool str_hex(aios__frame *f, uint8_t c)
{
    int h = hex_value(c);
    if (h < 0)
        return false;
    f->c = f->c << 4 | (uint32_t)h;
    f->x++;
    bool low = f->c >> (4 * (f->x > 2 ? f->x - 2 : 0)) >= 0xdc && f->c >> (4 * (f->x > 2 ? f->x - 2 : 0)) <= 0xdf && f->x >= 2;
    if (f->st == STR_LOW_HEX) {
        if ((f->x == 1 && h != 0xd) || (f->x == 2 && !low))
            return false;
    } else if (low || (f->x == 4 && !f->c)) {
        return false;
    }
    if (f->x == 4) {
        f->st = f->st == STR_HEX && f->c >= 0xd800 && f->c < 0xdc00 ? STR_LOW_SLASH : STR_PLAIN;
        f->c = 0;
        f->x = 0;
    }
    return true;
}

/* Escapes of one letter, and what they stand for. */
static const char escapes[] = "\"\\/bfnrt", escaped[] = "\"\\/\b\f\n\r\t";

/* Moves a string's expression over a byte of its content; false: no text goes on so. */
static bool content(step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    const uint32_t *row;
    if (n->a == AIOS__RX_NOTHING || s->rc)
        return !s->rc;
    s->rc = aios__rx_row(s->g->rx, f->a, &row, s->err);
    f->a = s->rc ? AIOS__RX_NOTHING : row[c];
    return f->a != AIOS__RX_NOTHING;
}

/* Some escape may follow. */
static bool any_escape(step *s, const aios__gnode *n, const aios__frame *f)
{
    for (const char *c = escaped; *c; c++) {
        aios__frame to = *f;
        if (content(s, n, &to, (uint8_t)*c))
            return true;
    }
    return false;
}

static bool str_plain(step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    if (c < 0x20 || c == '"' || f->v >= n->max)
        return false;
    f->v++;
    if (c == '\\') {
        f->st = STR_ESCAPE;
        return any_escape(s, n, f);
    }
    if (c >= 0x80)
        f->st = STR_MORE;
    return (c < 0x80 || utf8_lead(c, &f->x, &f->c)) && content(s, n, f, c);
}

/* Strings under a pattern have no \u escapes, whose digits say only at their end what they stand for. */
static bool str_escape(step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
{
    const char *at = c ? strchr(escapes, c) : NULL;
    f->st = c == 'u' ? STR_HEX : STR_PLAIN;
    return c == 'u' ? n->a == AIOS__RX_NOTHING : at && content(s, n, f, (uint8_t)escaped[at - escapes]);
}

static bool str_inside(step *s, const aios__gnode *n, aios__frame *f, uint8_t c)
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
        if (!utf8_more(c, &f->x, &f->c) || !content(s, n, f, c))
            return false;
        if (!f->x) {
            f->st = STR_PLAIN;
            f->c = 0;
        }
        return true;
    default:
        return str_hex(f, c);
    }
}

static void step_str(step *s, const aios__frame *f, uint8_t c)
{
    const aios__gnode *n = &s->g->nodes[f->node];
    aios__frame to = *f;
    if (c == '"' && f->st == STR_PLAIN) {
        if (f->v >= n->min && (n->a == AIOS__RX_NOTHING || aios__rx_ends(s->g->rx, f->a)))
            done(s, f->up);
    } else if (str_inside(s, n, &to, c)) {
        emit_frame(s, &to);
    }
}

bool aios__walk_plain(const aios_walk *w, uint32_t i, uint64_t *room)
{
    const aios__frame *f = &w->frames[i];
    const aios__gnode *n = &w->g->nodes[f->node];
    if (n->kind == AIOS__G_OBJ && f->st == KEY_FREE && !(f->v >> 48)) {
        *room = UINT64_MAX; /* what a free key may not be shows at its end only */
        return true;
    }
    if (n->kind != AIOS__G_STR || f->st != STR_PLAIN || (n->a != AIOS__RX_NOTHING && f->a != w->g->any_text))
        return false;
    *room = n->max - f->v;
    return true;
}

/* ---- regular expressions ---------------------------------------------------------------------------------------- */

static bool goes_on(const uint32_t *row)
{
    for (uint32_t c = 0; c < 256; c++)
        if (row[c] != AIOS__RX_NOTHING)
            return true;
    return false;
}

static void step_rx(step *s, const aios__frame *f, uint8_t c)
{
    const uint32_t *row;
    aios__frame to = *f;
    s->rc = s->rc ? s->rc : aios__rx_row(s->g->rx, f->a, &row, s->err);
    if (s->rc || row[c] == AIOS__RX_NOTHING)
        return;
    to.a = row[c];
    if (aios__rx_ends(s->g->rx, to.a))
        done(s, to.up);
    s->rc = aios__rx_row(s->g->rx, to.a, &row, s->err);
    if (!s->rc && goes_on(row))
        emit_frame(s, &to);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static void step_num(step *s, const aios__frame *f, uint8_t c)
{
    aios__frame to = *f;
    int r = s->g->nodes[f->node].kind == AIOS__G_INT ? aios__walk_int(s->g, &to, c) : aios__walk_num(s->g, &to, c);
    if (r == 1 || r == 2)
        emit_frame(s, &to);
    if (r >= 2)
        done(s, to.up);
}

/* ---- arrays ----------------------------------------------------------------------------------------------------- */

static uint32_t item_node(const step *s, const aios__gnode *n, const aios__frame *f)
{
    uint32_t node = f->v < n->b ? s->g->words[n->a + f->v] : n->c;
    return f->v < n->max && fits(s, node, f->depth) ? node : AIOS__G_NONE;
}

static void begin_item(step *s, const aios__gnode *n, aios__frame f)
{
    uint32_t node = item_node(s, n, &f);
    f.st = ARR_ITEM;
    if (node != AIOS__G_NONE)
        plan(s, node, add_frame(s, &f));
}

static void step_arr(step *s, const aios__frame *f, uint8_t c)
{
    const aios__gnode *n = &s->g->nodes[f->node];
    if (f->st == ARR_OPEN && c == '[') {
        aios__frame to = *f;
        to.st = ARR_FIRST;
        if (!n->min)
            emit_frame(s, &to);
        begin_item(s, n, to);
    } else if (f->st == ARR_AFTER && c == ',') {
        begin_item(s, n, *f);
    } else if ((f->st == ARR_FIRST || f->st == ARR_AFTER) && c == ']' && f->v >= n->min) {
        done(s, f->up);
    }
}

/* ---- objects ---------------------------------------------------------------------------------------------------- */

static const uint32_t *prop(const step *s, const aios__gobj *o, uint32_t i)
{
    return s->g->words + o->props + 4 * (size_t)i;
}

/* May property j come next in the object's frame f? Those left out may not be required, and the counts must work out. */
static bool prop_ok(const step *s, const aios__gobj *o, const aios__frame *f, uint32_t j)
{
    if (j < f->a)
        return false;
    const uint32_t *from = prop(s, o, f->a), *p = prop(s, o, j);
    if (j > from[2] || !fits(s, p[0], f->depth))
        return false;
    if (!p[1] && f->v + 1 + from[3] > o->max)
        return false;
    return o->extra != AIOS__G_NONE || f->v + (o->n - j) >= o->min;
}

static bool extra_ok(const step *s, const aios__gobj *o, const aios__frame *f)
{
    bool required = f->a < o->n && prop(s, o, f->a)[3];
    return !required && f->v < o->max && fits(s, o->extra, f->depth);
}

static bool any_prop_ok(const step *s, const aios__gobj *o, const aios__frame *f, uint32_t lo, uint32_t hi)
{
    const uint32_t *keys = s->g->words + o->keys;
    for (uint32_t i = lo; i < hi; i++)
        if (prop_ok(s, o, f, keys[3 * (size_t)i + 2]))
            return true;
    return false;
}

static bool close_ok(const step *s, const aios__gobj *o, const aios__frame *f)
{
    return f->v >= o->min && !(f->a < o->n && prop(s, o, f->a)[3]);
}

/* The key's opening quote, in the object's frame f at index i. */
static void begin_key(step *s, const aios__gobj *o, const aios__frame *f, uint32_t i)
{
    aios__frame key = {.node = f->node, .up = i, .b = o->n_keys, .c = 1, .depth = f->depth, .st = KEY_NAME};
    if (any_prop_ok(s, o, f, 0, o->n_keys))
        emit_frame(s, &key);
    key.st = KEY_FREE;
    if (extra_ok(s, o, f))
        emit_frame(s, &key);
}

static void step_obj(step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    aios__frame to = *f;
    bool first = f->st == OBJ_FIRST;
    if (f->st == OBJ_OPEN && c == '{') {
        to.st = OBJ_FIRST;
        emit_frame(s, &to);
    } else if ((first || f->st == OBJ_AFTER) && c == '}') {
        if (close_ok(s, o, f))
            done(s, f->up);
    } else if (f->st == OBJ_AFTER && c == ',') {
        to.st = OBJ_NEXT;
        if (extra_ok(s, o, f) || any_prop_ok(s, o, f, 0, o->n_keys))
            emit_frame(s, &to);
    } else if ((first || f->st == OBJ_NEXT) && c == '"') {
        begin_key(s, o, f, i);
    }
}

static void step_key_name(step *s, const aios__frame *f, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    const uint32_t *keys = s->g->words + o->keys;
    aios__frame obj = s->w->frames[f->up], to = *f;
    narrow(s->g, keys, &to.a, &to.b, to.c, c);
    to.c++;
    if (!any_prop_ok(s, o, &obj, to.a, to.b))
        return;
    if (keys[3 * (size_t)to.a + 1] != to.c) {
        emit_frame(s, &to);
        return;
    }
    uint32_t j = keys[3 * (size_t)to.a + 2]; /* the colon ends a key, so no other one begins with it */
    obj.a = j + 1;
    obj.v++;
    obj.st = OBJ_AFTER;
    plan(s, prop(s, o, j)[0], add_frame(s, &obj));
}

/* Bytes of a free key hang together by v; its length is c. Is it one that the object had before? */
static bool key_seen(const step *s, uint32_t list, uint32_t key)
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

static void end_free_key(step *s, const aios__gobj *o, const aios__frame *f, uint32_t i)
{
    const uint32_t *keys = s->g->words + o->keys;
    uint32_t lo = f->a, hi = f->b;
    narrow(s->g, keys, &lo, &hi, f->c, '"');
    if (lo < hi || key_seen(s, s->w->frames[f->up].c, i))
        return; /* a property with a schema of its own, or one said already */
    aios__frame to = {.node = f->node, .up = f->up, .depth = f->depth, .st = KEY_COLON, .v = i};
    emit_frame(s, &to);
}

static void step_key_free(step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    aios__frame to = *f;
    uint32_t high = (uint32_t)(f->v >> 32), range = high & 0xffff;
    uint8_t more = (uint8_t)(high >> 16);
    if (more) {
        if (!utf8_more(c, &more, &range))
            return;
    } else if (c == '"') {
        end_free_key(s, o, f, i);
        return;
    } else if (c < 0x20 || c == '\\' || (c >= 0x80 && !utf8_lead(c, &more, &range))) {
        return;
    }
    narrow(s->g, s->g->words + o->keys, &to.a, &to.b, to.c, c);
    to.c++;
    to.x = c;
    to.v = i | (uint64_t)(more ? range | (uint32_t)more << 16 : 0) << 32;
    emit_frame(s, &to);
}

static void step_key_colon(step *s, const aios__frame *f, uint8_t c)
{
    const aios__gobj *o = &s->g->objs[s->g->nodes[f->node].a];
    aios__frame obj = s->w->frames[f->up];
    if (c != ':')
        return;
    aios__frame list = {.node = f->node, .up = obj.c, .st = KEY_LIST, .v = f->v};
    obj.c = add_frame(s, &list);
    obj.a = o->n;
    obj.v++;
    obj.st = OBJ_AFTER;
    plan(s, o->extra, add_frame(s, &obj));
}

/* ---- one byte --------------------------------------------------------------------------------------------------- */

static void step_object(step *s, const aios__frame *f, uint32_t i, uint8_t c)
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

static void step_one(step *s, uint32_t i, uint8_t c)
{
    aios__frame f = s->w->frames[i];
    switch (s->g->nodes[f.node].kind) {
    case AIOS__G_LIT:
        step_lit(s, &f, c);
        break;
    case AIOS__G_SET:
        step_set(s, &f, c);
        break;
    case AIOS__G_STR:
        step_str(s, &f, c);
        break;
    case AIOS__G_INT:
    case AIOS__G_NUM:
        step_num(s, &f, c);
        break;
    case AIOS__G_OBJ:
        step_object(s, &f, i, c);
        break;
    case AIOS__G_ARR:
        step_arr(s, &f, c);
        break;
    case AIOS__G_RX:
        step_rx(s, &f, c);
        break;
    default: /* the end reads nothing */
        break;
    }
}

int aios__walk_step(aios_walk *w, uint32_t at, uint32_t n, uint8_t c, uint32_t to, uint32_t *n_out, aios_error *err)
{
    step s = {.w = w, .g = w->g, .to = to, .err = err};
    w->floor = w->n_frames;
    for (uint32_t i = 0; i < n && !s.rc; i++) {
        step_one(&s, w->threads[at + i], c);
        settle(&s);
    }
    *n_out = s.n;
    return s.rc;
}

int aios__walk_begin(aios_walk *w, aios_error *err)
{
    step s = {.w = w, .g = w->g, .err = err};
    aios__frame end = {.node = 0};
    uint32_t base = add_frame(&s, &end);
    w->floor = 1;
    plan(&s, w->g->root, base);
    settle(&s);
    w->n_threads = s.n;
    return s.rc;
}

/* ---- dropping frames that no reading needs ----------------------------------------------------------------------- */

/* A second frame that f refers to, beside up; 0: none. */
static uint32_t second_link(const aios_grammar *g, const aios__frame *f)
{
    if (g->nodes[f->node].kind != AIOS__G_OBJ)
        return 0;
    return f->st == KEY_NAME ? 0 : f->st >= KEY_FREE ? (uint32_t)f->v : f->c;
}

static void relink(const aios_grammar *g, aios__frame *f, const uint32_t *map)
{
    uint32_t link = second_link(g, f);
    f->up = map[f->up];
    if (!link)
        return;
    if (f->st >= KEY_FREE)
        f->v = (f->v & ~(uint64_t)UINT32_MAX) | map[link];
    else
        f->c = map[link];
}

void aios__walk_compact(aios_walk *w)
{
    if (w->n_frames < w->gc_at)
        return;
    uint32_t *map = aios__alloc_array(w->g->heap, AIOS_MEM_SCRATCH, w->n_frames, sizeof *map, NULL);
    if (map) { /* without memory for it, the frames stay until the next time */
        uint32_t n = 0;
        map[0] = 1;
        for (uint32_t i = 0; i < w->n_threads; i++)
            map[w->threads[i]] = 1;
        for (uint32_t i = w->n_frames; i-- > 1;)
            if (map[i])
                map[w->frames[i].up] = map[second_link(w->g, &w->frames[i])] = 1;
        for (uint32_t i = 0; i < w->n_frames; i++) {
            if (!map[i])
                continue;
            map[i] = n;
            aios__frame f = w->frames[i];
            relink(w->g, &f, map);
            w->frames[n++] = f;
        }
        for (uint32_t i = 0; i < w->n_threads; i++)
            w->threads[i] = map[w->threads[i]];
        w->n_frames = n;
        aios__free(w->g->heap, map);
    }
    w->gc_at = w->n_frames * 2 > 1024 ? w->n_frames * 2 : 1024;
}

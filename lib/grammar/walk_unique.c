/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays whose items differ. A reading inside such an array stands wrapped: frame a is the top of the item's own reading, v the last byte
 * of its text, x that the text is how an earlier item begins. The byte that would make the item equal to an earlier one is refused, and
 * so is one after which fewer texts are left than begin so already.
 */
#include "base/json.h"
#include "grammar/walk_priv.h"

/* ---- texts -------------------------------------------------------------------------------------------------------- */

/* Text frames: v the one of the byte before, x the byte, c their number, b that equal values may be written in other ways. */
static uint32_t text_add(aios__step *s, uint32_t node, uint32_t before, uint8_t c)
{
    const aios__frame *p = &s->w->frames[before];
    bool loose = (before && p->b) || c == '.' || c == '-' || (c | 32) == 'e' || c == '\\' || c == '{' ||
                 (c == '[' && s->g->blank); /* blanks of listed values are text, others are not */
    aios__frame f = {.node = node, .st = ARR_TEXT, .x = c, .b = loose, .c = before ? p->c + 1 : 1, .v = before};
    return aios__step_frame(s, &f);
}

static bool same_text(const aios__frame *fr, uint32_t a, uint32_t b)
{
    while (a && b && a != b && fr[a].x == fr[b].x && fr[a].c == fr[b].c) {
        a = (uint32_t)fr[a].v;
        b = (uint32_t)fr[b].v;
    }
    return a == b;
}

/* How many items of the list begin with the text. */
static uint32_t beginning_so(const aios__step *s, uint32_t list, uint32_t text)
{
    const aios__frame *fr = s->w->frames;
    uint32_t n = 0;
    for (; list; list = fr[list].up) {
        uint32_t a = (uint32_t)fr[list].v;
        while (a && text && fr[a].c > fr[text].c)
            a = (uint32_t)fr[a].v;
        n += !text || same_text(fr, a, text);
    }
    return n;
}

int aios__step_spell(aios__step *s, uint32_t text, aios__buf *out)
{
    const aios__frame *fr = s->w->frames;
    static const char blanks[64] = "                                                               ";
    size_t n = fr[text].c;
    int rc = AIOS_OK;
    aios__buf_clear(out);
    for (size_t i = 0; !rc && i < n; i += sizeof blanks)
        rc = aios__buf_add(out, blanks, n - i < sizeof blanks ? n - i : sizeof blanks, s->err);
    for (; !rc && text; text = (uint32_t)fr[text].v)
        out->p[--n] = (char)fr[text].x;
    return rc;
}

/* As JSON they are equal, however they are written. */
static bool same_value(aios__step *s, uint32_t a, uint32_t b)
{
    aios__buf text[2];
    aios__json_doc *doc[2] = {NULL, NULL};
    const uint32_t of[2] = {a, b};
    int rc = AIOS_OK;
    for (int i = 0; i < 2; i++) {
        aios__buf_init(&text[i], s->g->heap, AIOS_MEM_SCRATCH, 0);
        rc = rc ? rc : aios__step_spell(s, of[i], &text[i]);
        rc = rc ? rc : aios__json_parse(s->g->heap, text[i].p, text[i].n, &doc[i], s->err);
    }
    bool same = !rc && aios__json_equal(aios__json_root(doc[0]), aios__json_root(doc[1]));
    for (int i = 0; i < 2; i++) {
        aios__json_free(doc[i]);
        aios__buf_free(&text[i]);
    }
    s->rc = s->rc || rc == AIOS_EFORMAT ? s->rc : rc; /* what has two equal keys is no item yet */
    return same;
}

static bool is_said(aios__step *s, uint32_t list, uint32_t text)
{
    const aios__frame *fr = s->w->frames;
    for (; list && !s->rc; list = s->w->frames[list].up) {
        uint32_t a = (uint32_t)fr[list].v;
        if (same_text(fr, a, text) || ((fr[a].b || fr[text].b) && same_value(s, a, text)))
            return true;
    }
    return false;
}

/* ---- how many texts are left -------------------------------------------------------------------------------------- */

static uint32_t left_string(aios__step *s, const aios__gnode *n, const aios__frame *f)
{
    uint32_t left = 1;
    if (n->a == AIOS__RX_NOTHING)
        return f->v < n->max ? AIOS__G_MANY : 1;
    s->rc = s->rc ? s->rc : aios__rx_count(s->g->rx, f->a, AIOS__G_MANY, &left, s->err);
    return left;
}

/* Whole objects that go on behind the key under way. */
static uint32_t left_key(aios__step *s, const aios__gobj *o, const aios__frame *f)
{
    const aios_grammar *g = s->g;
    uint32_t best = 1;
    if (f->st != KEY_NAME)
        return f->st == KEY_FREE ? AIOS__G_MANY : g->nodes[g->words[o->frees + AIOS__G_FREE * (size_t)f->b]].few;
    for (uint32_t i = f->a; i < f->b; i++) {
        uint32_t j = g->words[o->keys + 3 * (size_t)i + 2];
        if (j == AIOS__G_NONE || j < s->w->frames[f->up].a)
            continue;
        uint32_t some = aios__few_times(g->nodes[g->words[o->props + 4 * (size_t)j]].few, aios__few_obj(g, o, j + 1, s->w->frames[f->up].v + 1));
        best = some > best ? some : best;
    }
    return best;
}

/* One frame's share; *up: the frame below it that is not counted in. */
static uint32_t left_frame(aios__step *s, const aios__frame *f, uint32_t *up)
{
    const aios_grammar *g = s->g;
    const aios__gnode *n = &g->nodes[f->node];
    *up = f->up;
    switch (n->kind) {
    case AIOS__G_SET:
        return f->b > f->a ? f->b - f->a : 1;
    case AIOS__G_STR:
        return left_string(s, n, f);
    case AIOS__G_INT:
        return aios__gint_count(g, &g->ints[n->a], f, AIOS__G_MANY);
    case AIOS__G_NUM:
        return n->few > 1 && f->a < 14 ? AIOS__G_MANY : 1;
    case AIOS__G_OBJ:
        if (f->st < KEY_NAME)
            return aios__few_obj(g, &g->objs[n->a], f->a, f->v);
        *up = s->w->frames[f->up].up;
        return left_key(s, &g->objs[n->a], f);
    case AIOS__G_ARR:
        return aios__few_arr(g, n, f->v + (f->st == ARR_ITEM));
    default:
        return 1;
    }
}

/* Texts that complete the reading from frame i down to the array's, at least. */
static uint32_t left(aios__step *s, uint32_t i, uint32_t array)
{
    uint32_t n = 1, up;
    while (i && i != array && n < AIOS__G_MANY && !s->rc) {
        const aios__frame f = s->w->frames[i];
        if (s->g->nodes[f.node].kind == AIOS__G_ARR && f.st == ARR_WRAP) {
            i = f.a;
            continue;
        }
        n = aios__few_times(n, left_frame(s, &f, &up));
        i = up;
    }
    return n;
}

/* ---- wrapping ----------------------------------------------------------------------------------------------------- */

uint32_t aios__unique_wrap(aios__step *s, uint32_t frame)
{
    for (uint32_t i = s->wrap; i && !s->rc; ) {
        aios__frame u = s->w->frames[i];
        uint32_t list = s->w->frames[u.up].c, text = (uint32_t)u.v;
        i = u.c;
        if (u.x) {
            uint32_t said = beginning_so(s, list, text);
            if (said && left(s, frame, u.up) <= said)
                return 0;
        }
        u.a = frame;
        u.c = 0;
        frame = aios__step_frame(s, &u);
    }
    return frame;
}

void aios__unique_begin(aios__step *s, uint32_t node, uint32_t array)
{
    const aios__frame *f = &s->w->frames[array];
    uint32_t before = s->wrap;
    aios__frame u = {.node = f->node, .up = array, .c = before, .depth = f->depth, .st = ARR_WRAP, .x = f->c != 0 && !s->g->complete};
    s->wrap = aios__step_frame(s, &u);
    aios__step_plan(s, node, array);
    s->wrap = before;
}

/* An exponent could only be of use to write an equal number: nothing would follow it. */
static bool begins_exponent(const aios__step *s, const aios__frame *f, uint8_t c)
{
    return (c | 32) == 'e' && s->w->frames[f->a].node && s->g->nodes[s->w->frames[f->a].node].kind == AIOS__G_NUM;
}

void aios__unique_step(aios__step *s, const aios__frame *f, uint8_t c)
{
    if (begins_exponent(s, f, c))
        return;
    uint32_t text = text_add(s, f->node, (uint32_t)f->v, c);
    if (s->rc)
        return;
    uint32_t list = s->w->frames[f->up].c;
    aios__frame u = {.node = f->node, .up = f->up, .c = s->wrap, .depth = f->depth, .st = ARR_WRAP, .v = text};
    u.x = f->x && beginning_so(s, list, text);
    s->wrap = aios__step_frame(s, &u);
    if (!s->rc)
        aios__step_one(s, f->a, c);
}

/* The item of array frame f is whole: its text joins the list, unless it is there. */
bool aios__unique_end(aios__step *s, aios__frame *f)
{
    const aios__frame u = s->w->frames[s->wrap];
    uint32_t text = (uint32_t)u.v;
    if (is_said(s, f->c, text))
        return false;
    aios__frame list = {.node = f->node, .up = f->c, .st = ARR_LIST, .v = text};
    f->c = aios__step_frame(s, &list);
    s->wrap = u.c;
    return !s->rc;
}

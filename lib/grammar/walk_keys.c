/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that may have any name, or one of an expression, as masks see them: strings whose text is looked at as a whole when they end. */
#include "grammar/walk_priv.h"

/* The frame of the key's last byte; 0: there is none. Bytes hang together by v. */
static uint32_t last_byte(const aios__frame *fr, uint32_t key)
{
    return fr[key].c ? key : 0;
}

static uint32_t class_rx(const aios_walk *w, const aios__frame *f)
{
    const aios__gobj *o = &w->g->objs[w->g->nodes[f->node].a];
    return w->g->words[o->frees + AIOS__G_FREE * (size_t)(f->v >> AIOS__KEY_CLASS) + 1];
}

bool aios__key_inside(const aios_walk *w, uint32_t i, aios__inside *in)
{
    const aios__frame *f = &w->frames[i];
    if (f->st != KEY_FREE || f->v >> AIOS__KEY_MORE & 15 || w->g->objs[w->g->nodes[f->node].a].loose)
        return false;
    *in = (aios__inside){.frame = i, .node = f->node, .most = UINT64_MAX, .key = true};
    in->e = class_rx(w, f) == AIOS__RX_NOTHING ? AIOS__RX_NOTHING : f->a;
    return true;
}

void aios__key_outside(aios__step *s, uint32_t i)
{
    const aios__frame *f = &s->w->frames[i];
    aios__frame to = {.node = f->node, .up = f->up, .b = (uint32_t)(f->v >> AIOS__KEY_CLASS), .depth = f->depth, .st = KEY_COLON};
    to.v = last_byte(s->w->frames, i);
    aios__step_emit_frame(s, &to);
}

static bool same(const aios__frame *fr, uint32_t a, uint32_t b)
{
    while (a && b && a != b && fr[a].c == fr[b].c && fr[a].x == fr[b].x) {
        a = (uint32_t)fr[a].v;
        b = (uint32_t)fr[b].v;
    }
    return a == b;
}

/* The key a is the key b and n bytes more. */
static bool goes_on_as(const aios__frame *fr, uint32_t a, uint32_t b, const char *more, uint32_t n)
{
    if ((a ? fr[a].c : 0) != (b ? fr[b].c : 0) + n)
        return false;
    for (; n; a = (uint32_t)fr[a].v)
        if (fr[a].x != (uint8_t)more[--n])
            return false;
    return same(fr, a, b);
}

static bool is_listed(const aios_walk *w, const aios__frame *f, const char *more, uint32_t n)
{
    const uint32_t *keys = w->g->words + w->g->objs[w->g->nodes[f->node].a].keys;
    uint32_t lo = f->a, hi = f->b, at = f->c + 1; /* behind the quote */
    for (uint32_t i = 0; i < n && lo < hi; i++)
        aios__walk_narrow(w->g, keys, &lo, &hi, at++, (uint8_t)more[i]);
    if (lo < hi)
        aios__walk_narrow(w->g, keys, &lo, &hi, at, '"');
    return lo < hi;
}

bool aios__key_ends(const aios_walk *w, const aios__inside *in, const char *more, uint32_t n)
{
    const aios__frame *fr = w->frames, *f = &fr[in->frame];
    if (in->e == AIOS__RX_NOTHING && is_listed(w, f, more, n))
        return false;
    for (uint32_t list = fr[f->up].c; list; list = fr[list].up)
        if (goes_on_as(fr, (uint32_t)fr[list].v, last_byte(fr, in->frame), more, n))
            return false;
    return true;
}

bool aios__key_said(const aios_walk *w, uint32_t i, uint32_t *list, char *text, uint32_t max, uint32_t *n)
{
    const aios__frame *fr = w->frames;
    uint32_t key = last_byte(fr, i), len = key ? fr[key].c : 0;
    for (uint32_t l = *list ? fr[*list].up : fr[fr[i].up].c; l; l = fr[l].up) {
        uint32_t a = (uint32_t)fr[l].v;
        *list = l;
        *n = a && fr[a].c > len ? fr[a].c - len : 0;
        for (uint32_t k = *n; k; a = (uint32_t)fr[a].v)
            if (--k < max)
                text[k] = (char)fr[a].x;
        if (same(fr, a, key))
            return true;
    }
    return false;
}

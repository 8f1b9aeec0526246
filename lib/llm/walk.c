/* SPDX-License-Identifier: Apache-2.0 */
/* The walker: a set of readings, each a chain of frames that are never changed once made. A byte turns every reading into
   none, one or several new ones; equal ones meet again, so ambiguity does not multiply. */
#include "llm/walk_priv.h"

typedef struct aios__todo {
    uint32_t node, up; /* node NONE: what stands on `up` is done */
    uint32_t wrap;
} todo;

uint32_t aios__step_frame(aios__step *s, const aios__frame *f)
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

void aios__step_emit(aios__step *s, uint32_t frame)
{
    aios_walk *w = s->w;
    if (s->wrap && !(frame = aios__unique_wrap(s, frame)))
        return;
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

void aios__step_emit_frame(aios__step *s, const aios__frame *f)
{
    uint32_t i = aios__step_frame(s, f);
    if (!s->rc)
        aios__step_emit(s, i);
}

void aios__step_plan(aios__step *s, uint32_t node, uint32_t up)
{
    aios_walk *w = s->w;
    if (w->n_todo == w->cap_todo && !s->rc)
        s->rc = aios__grow(s->g->heap, &w->todo, &w->cap_todo, (size_t)w->n_todo + 1, AIOS__G_WORDS, sizeof *w->todo, "alternatives", s->err);
    if (!s->rc)
        w->todo[w->n_todo++] = (todo){node, up, s->wrap};
}

void aios__step_done(aios__step *s, uint32_t up)
{
    aios__step_plan(s, AIOS__G_NONE, up);
}

bool aios__step_fits(const aios__step *s, uint32_t node, unsigned depth)
{
    return node != AIOS__G_NONE && s->g->nodes[node].height + depth <= AIOS__G_DEPTH;
}

/* ---- entering and leaving nodes --------------------------------------------------------------------------------- */

static void enter(aios__step *s, uint32_t node, uint32_t up)
{
    const aios__gnode *n = &s->g->nodes[node];
    unsigned depth = s->w->frames[up].depth;
    if (!aios__step_fits(s, node, depth))
        return;
    aios__frame f = {.node = node, .up = up, .depth = (uint16_t)(depth + (n->kind == AIOS__G_OBJ || n->kind == AIOS__G_ARR))};
    switch (n->kind) {
    case AIOS__G_ALT:
        for (uint32_t i = 0; i < n->b; i++)
            aios__step_plan(s, s->g->words[n->a + i], up);
        return;
    case AIOS__G_SEQ:
        aios__step_plan(s, s->g->words[n->a], n->b > 1 ? aios__step_frame(s, &f) : up);
        return;
    case AIOS__G_REP:
        if (!n->min)
            aios__step_done(s, up);
        aios__step_plan(s, n->a, aios__step_frame(s, &f));
        return;
    case AIOS__G_LIT:
        if (!n->b)
            aios__step_done(s, up);
        else
            aios__step_emit_frame(s, &f);
        return;
    case AIOS__G_SET:
        f.b = n->b;
        aios__step_emit_frame(s, &f);
        return;
    case AIOS__G_STR:
        f.a = n->a;
        aios__step_emit_frame(s, &f);
        return;
    case AIOS__G_RX:
        f.a = n->a;
        if (aios__rx_ends(s->g->rx, f.a))
            aios__step_done(s, up);
        aios__step_emit_frame(s, &f);
        return;
    default:
        aios__step_emit_frame(s, &f);
    }
}

/* One more is there. What has no end is counted as far as min, so that readings stay equal. */
static void leave_rep(aios__step *s, const aios__gnode *n, aios__frame f, uint32_t at)
{
    if (f.v + 1 >= n->min)
        aios__step_done(s, f.up);
    if (f.v + 1 >= n->max)
        return;
    bool counts = n->max != UINT64_MAX || f.v + 1 < n->min;
    f.v += counts;
    aios__step_plan(s, n->b, counts ? aios__step_frame(s, &f) : at);
}

/* What stands on `up` is finished. */
static void leave(aios__step *s, uint32_t up)
{
    aios__frame f = s->w->frames[up];
    const aios__gnode *n = &s->g->nodes[f.node];
    switch (n->kind) {
    case AIOS__G_ARR:
        aios__leave_arr(s, f);
        return;
    case AIOS__G_SEQ:
        f.a++; /* nothing waits for the last one, so recursion at the end takes no frames */
        aios__step_plan(s, s->g->words[n->a + f.a], f.a + 1 < n->b ? aios__step_frame(s, &f) : f.up);
        return;
    case AIOS__G_REP:
        leave_rep(s, n, f, up);
        return;
    default: /* an object waits in the state it was left in; the end is the end */
        aios__step_emit(s, up);
    }
}

static void settle(aios__step *s)
{
    aios_walk *w = s->w;
    while (w->n_todo && !s->rc) {
        todo t = w->todo[--w->n_todo];
        s->wrap = t.wrap;
        if (t.node == AIOS__G_NONE)
            leave(s, t.up);
        else
            enter(s, t.node, t.up);
    }
    w->n_todo = 0;
    s->wrap = 0;
}

/* ---- one byte --------------------------------------------------------------------------------------------------- */

void aios__step_one(aios__step *s, uint32_t i, uint8_t c)
{
    aios__frame f = s->w->frames[i];
    switch (s->g->nodes[f.node].kind) {
    case AIOS__G_LIT:
        aios__step_lit(s, &f, c);
        break;
    case AIOS__G_SET:
        aios__step_set(s, &f, c);
        break;
    case AIOS__G_STR:
        aios__step_str(s, &f, c);
        break;
    case AIOS__G_INT:
    case AIOS__G_NUM:
        aios__step_num(s, &f, c);
        break;
    case AIOS__G_OBJ:
        aios__step_object(s, &f, i, c);
        break;
    case AIOS__G_ARR:
        aios__step_arr(s, &f, c);
        break;
    case AIOS__G_RX:
        aios__step_rx(s, &f, c);
        break;
    default: /* the end reads nothing */
        break;
    }
}

int aios__walk_step(aios_walk *w, uint32_t at, uint32_t n, uint8_t c, uint32_t to, uint32_t *n_out, aios_error *err)
{
    aios__step s = {.w = w, .g = w->g, .to = to, .err = err};
    w->floor = w->n_frames;
    for (uint32_t i = 0; i < n && !s.rc; i++) {
        aios__step_one(&s, w->threads[at + i], c);
        settle(&s);
    }
    *n_out = s.n;
    return s.rc;
}

int aios__walk_begin(aios_walk *w, aios_error *err)
{
    aios__step s = {.w = w, .g = w->g, .err = err};
    aios__frame end = {.node = 0};
    uint32_t base = aios__step_frame(&s, &end);
    w->floor = 1;
    aios__step_plan(&s, w->g->root, base);
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
    if (g->nodes[f->node].kind == AIOS__G_ARR)
        aios__array_relink(g, f, map);
    if (!link)
        return;
    if (f->st >= KEY_FREE)
        f->v = (f->v & ~(uint64_t)UINT32_MAX) | map[link];
    else
        f->c = map[link];
}

static void mark_links(const aios_grammar *g, const aios__frame *f, uint32_t *map)
{
    uint32_t links[2] = {second_link(g, f), 0};
    if (g->nodes[f->node].kind == AIOS__G_ARR)
        aios__array_links(g, f, links);
    map[f->up] = map[links[0]] = map[links[1]] = 1;
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
                mark_links(w->g, &w->frames[i], map);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* The walker: a set of readings, each a chain of frames that are never changed once made. A byte turns every reading into
   none, one or several new ones; equal ones meet again, so ambiguity does not multiply. What a byte does to a set is kept. */
#include "grammar/walk_priv.h"

/* Alternatives looked at for one byte: those that any grammar may need, and all of a walk beyond them. */
enum { FREE = 1024, SPENT_MAX = 8000000 };

typedef struct aios__todo {
    uint32_t node, up; /* node NONE: what stands on `up` is done */
    uint32_t wrap;
} todo;

uint32_t aios__step_frame(aios__step *s, const aios__frame *f)
{
    uint32_t i = 0;
    s->rc = s->rc ? s->rc : aios__walk_frame(s->w, f, &i, s->err);
    return i;
}

/* A text has too many readings: what to do about it, by the kind of grammar. */
static int too_many(const aios__step *s, uint32_t most, uint64_t need)
{
    static const char levels[] = "write it so that each text is read in one way: operators with levels of precedence, lists with * and +";
    static const char *const advice[] = {
        [AIOS_GRAMMAR_REGEX] = "make the expression simpler", [AIOS_GRAMMAR_GBNF] = levels, [AIOS_GRAMMAR_LARK] = levels};
    const char *what = s->g->kind < AIOS__ARRAY_LEN(advice) ? advice[s->g->kind] : NULL;
    const char *how = most > AIOS__G_THREADS ? "in so many ways that they took more steps than" : "in more ways at once than";
    return aios__fail_need(s->err, AIOS_ELIMIT, most, need, "a text can be read %s %u: %s", how, most,
                           what ? what : "make the alternatives of the schema differ earlier");
}

void aios__step_emit(aios__step *s, uint32_t frame)
{
    aios_walk *w = s->w;
    if (s->rc || (s->wrap && !(frame = aios__unique_wrap(s, frame))))
        return;
    if (s->blank)
        frame = aios__step_frame(s, &(aios__frame){.node = s->blank, .up = frame});
    if (s->rc || w->stamps[frame].emitted == w->tick)
        return;
    if (s->n == AIOS__G_THREADS)
        s->rc = too_many(s, AIOS__G_THREADS, s->n + 1);
    if (!s->rc)
        s->rc = aios__grow(s->g->heap, &w->pool, &w->cap_pool, (size_t)w->n_pool + s->n + 1, UINT32_MAX, sizeof *w->pool, "readings", s->err);
    if (s->rc)
        return;
    w->stamps[frame].emitted = w->tick;
    w->pool[w->n_pool + s->n++] = frame;
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
    case AIOS__G_LAZY:
        s->w->missed |= s->w->held;
        if (s->w->held)
            return;
        s->rc = s->rc ? s->rc : s->g->lazy->resolve(s->w, node, s->err);
        s->g = s->w->g;
        if (!s->rc)
            aios__step_plan(s, node, up);
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

/* Readings that meet in a frame leave it once. */
static bool was_left(aios__step *s, const todo *t)
{
    uint32_t *left = &s->w->stamps[t->up].left;
    bool was = !t->wrap && *left == s->w->tick;
    *left = t->wrap ? *left : s->w->tick;
    return was;
}

static void settle(aios__step *s)
{
    aios_walk *w = s->w;
    while (w->n_todo && !s->rc) {
        todo t = w->todo[--w->n_todo];
        s->wrap = t.wrap;
        if (++s->work > FREE && ++w->spent > SPENT_MAX)
            s->rc = too_many(s, SPENT_MAX, w->spent);
        else if (t.node == AIOS__G_NONE && was_left(s, &t))
            continue;
        else if (t.node == AIOS__G_NONE)
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
    case AIOS__G_DEC:
        aios__step_dec(s, &f, i, c);
        break;
    case AIOS__G_RX:
        aios__step_rx(s, &f, c);
        break;
    case AIOS__G_BLANK:
        if (c == ' ')
            aios__step_emit(s, f.up);
        break;
    default: /* the end reads nothing */
        break;
    }
}

static aios__step begin_step(aios_walk *w, aios_error *err)
{
    if (!++w->tick) { /* once in 2^32 steps */
        memset(w->stamps, 0, w->cap_stamps * sizeof *w->stamps);
        w->tick = 1;
    }
    return (aios__step){.w = w, .g = w->g, .err = err};
}

int aios__walk_next(aios_walk *w, uint32_t state, uint8_t c, uint32_t *to, aios_error *err)
{
    uint32_t from = state << 8 | c, n = w->states[state].n;
    const aios__hop *known = aios__walk_hop(w, from);
    if (known) {
        *to = known->to;
        return AIOS_OK;
    }
    *to = 0;
    w->missed = false;
    aios__step s = begin_step(w, err);
    for (uint32_t i = 0; i < n && !s.rc; i++) {
        s.blank = 0;
        aios__step_one(&s, w->pool[w->states[state].at + i], c);
        settle(&s);
    }
    int rc = s.rc ? s.rc : aios__walk_intern(w, s.n, to, err);
    if (!rc && !w->missed && aios__walk_keeps(w))
        aios__walk_keep_hop(w, from, *to);
    return rc;
}

int aios__walk_outside(aios_walk *w, const aios__inside *in, uint32_t *state, aios_error *err)
{
    aios__step s = begin_step(w, err);
    *state = 0;
    if (in->key)
        aios__key_outside(&s, in->frame);
    else
        aios__step_done(&s, w->frames[in->frame].up);
    settle(&s);
    return s.rc ? s.rc : aios__walk_intern(w, s.n, state, err);
}

int aios__walk_begin(aios_walk *w, aios_error *err)
{
    aios__step s = begin_step(w, err);
    aios__frame end = {.node = 0};
    uint32_t base = aios__step_frame(&s, &end);
    w->gc_at = AIOS__G_KEEP;
    if (!s.rc)
        aios__step_plan(&s, w->g->root, base);
    settle(&s);
    return s.rc ? s.rc : aios__walk_intern(w, s.n, &w->at, err);
}

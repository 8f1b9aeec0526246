/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, sets of readings and the ways between them, each once; what is not needed any more is dropped. */
#include "grammar/walk_priv.h"

#define KEEP_STATES 4096u
#define KEEP_HOPS 16384u
#define MIN_SLOTS 64u

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint32_t frame_hash(const aios__frame *f)
{
    uint64_t part[4], h = 1;
    memcpy(part, f, sizeof part);
    for (int i = 0; i < 4; i++)
        h = mix(h, part[i]);
    return (uint32_t)(h >> 32);
}

static uint32_t readings_hash(const uint32_t *p, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++)
        h = mix(h, p[i]);
    return (uint32_t)(h >> 32);
}

/* Puts a number that is not there. */
static void put(aios__table *t, uint32_t hash, uint32_t number)
{
    uint32_t i = hash & (t->n_slots - 1);
    while (t->slots[i])
        i = (i + 1) & (t->n_slots - 1);
    t->slots[i] = number;
}

/* Takes out the number that was put last, so that no other one was put behind it. */
static void take(aios__table *t, uint32_t hash, uint32_t number)
{
    uint32_t i = hash & (t->n_slots - 1);
    while (t->slots[i] != number)
        i = (i + 1) & (t->n_slots - 1);
    t->slots[i] = 0;
}

/* Room for one more than n, twice as much as is needed; *grown: the table is empty and everything must be put anew. */
static int make_room(aios__heap *h, aios__table *t, uint32_t n, bool *grown, aios_error *err)
{
    *grown = 2 * (n + 1) > t->n_slots;
    if (!*grown)
        return AIOS_OK;
    uint32_t size = t->n_slots ? 2 * t->n_slots : MIN_SLOTS, *slots = aios__alloc_array(h, AIOS_MEM_OTHER, size, sizeof *slots, err);
    if (!slots)
        return aios__oom(err);
    aios__free(h, t->slots);
    t->slots = slots;
    t->n_slots = size;
    return AIOS_OK;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static void put_frames(aios_walk *w)
{
    for (uint32_t i = 0; i < w->n_frames; i++)
        put(&w->by_frame, frame_hash(&w->frames[i]), i + 1);
}

int aios__walk_frame(aios_walk *w, const aios__frame *f, uint32_t *out, aios_error *err)
{
    uint32_t hash = frame_hash(f), mask = w->by_frame.n_slots - 1;
    for (uint32_t i = hash & mask, k; w->by_frame.n_slots && (k = w->by_frame.slots[i]) != 0; i = (i + 1) & mask)
        if (!memcmp(&w->frames[k - 1], f, sizeof *f)) {
            *out = k - 1;
            return AIOS_OK;
        }
    const char *what = "frames of a grammar's walk";
    aios__frame copy = *f; /* f may be one of those that move */
    bool grown = false;
    int rc = aios__grow(w->g->heap, &w->frames, &w->cap_frames, (size_t)w->n_frames + 1, AIOS__G_FRAMES, sizeof *w->frames, what, err);
    uint32_t had = w->cap_stamps;
    rc = rc ? rc : aios__grow(w->g->heap, &w->stamps, &w->cap_stamps, w->cap_frames, AIOS__G_FRAMES, sizeof *w->stamps, what, err);
    if (!rc && had < w->cap_stamps)
        memset(w->stamps + had, 0, (w->cap_stamps - had) * sizeof *w->stamps);
    rc = rc ? rc : make_room(w->g->heap, &w->by_frame, w->n_frames, &grown, err);
    if (rc)
        return rc;
    if (grown)
        put_frames(w);
    w->frames[w->n_frames] = copy;
    w->stamps[w->n_frames] = (aios__stamp){0};
    put(&w->by_frame, hash, w->n_frames + 1);
    *out = w->n_frames++;
    return AIOS_OK;
}

/* ---- states ----------------------------------------------------------------------------------------------------- */

static void put_states(aios_walk *w)
{
    for (uint32_t i = 1; i < w->n_states; i++)
        put(&w->by_readings, readings_hash(w->pool + w->states[i].at, w->states[i].n), i);
}

/* Sets are few and short; long ones stay as they come, and equal ones then mostly come in one order. */
static void sort(uint32_t *p, uint32_t n)
{
    for (uint32_t i = 1; i < n && n <= 32; i++)
        for (uint32_t k = i; k && p[k - 1] > p[k]; k--) {
            uint32_t t = p[k];
            p[k] = p[k - 1];
            p[k - 1] = t;
        }
}

int aios__walk_intern(aios_walk *w, uint32_t n, uint32_t *state, aios_error *err)
{
    uint32_t *p = w->pool + w->n_pool;
    bool grown = false;
    *state = 0;
    if (!n)
        return AIOS_OK;
    sort(p, n);
    uint32_t hash = readings_hash(p, n), mask = w->by_readings.n_slots - 1;
    for (uint32_t i = hash & mask, k; w->by_readings.n_slots && (k = w->by_readings.slots[i]) != 0; i = (i + 1) & mask)
        if (w->states[k].n == n && !memcmp(w->pool + w->states[k].at, p, n * sizeof *p)) {
            *state = k;
            return AIOS_OK;
        }
    uint32_t at = w->n_states ? w->n_states : 1;
    int rc = aios__grow(w->g->heap, &w->states, &w->cap_states, (size_t)at + 1, AIOS__G_STATES, sizeof *w->states, "states of a grammar's walk", err);
    rc = rc ? rc : make_room(w->g->heap, &w->by_readings, at, &grown, err);
    if (rc)
        return rc;
    if (grown)
        put_states(w);
    w->states[0] = (aios__state){.has_live = true};
    w->states[at] = (aios__state){.at = w->n_pool, .n = n};
    put(&w->by_readings, hash, at);
    w->n_pool += n;
    w->n_states = at + 1;
    *state = at;
    return AIOS_OK;
}

int aios__walk_readings(aios_walk *w, const uint32_t *frames, uint32_t n, uint32_t *state, aios_error *err)
{
    int rc = aios__grow(w->g->heap, &w->pool, &w->cap_pool, (size_t)w->n_pool + n, UINT32_MAX, sizeof *w->pool, "readings", err);
    if (rc)
        return rc;
    if (n)
        memcpy(w->pool + w->n_pool, frames, n * sizeof *frames);
    return aios__walk_intern(w, n, state, err);
}

const uint32_t *aios__walk_live(aios_walk *w, uint32_t state)
{
    aios__state *s = &w->states[state];
    for (uint32_t i = 0; !s->has_live && i < s->n; i++)
        aios__frame_live(w, &w->frames[w->pool[s->at + i]], s->live);
    s->has_live = true;
    return s->live;
}

bool aios__walk_ended(const aios_walk *w, uint32_t state)
{
    const aios__state *s = &w->states[state];
    for (uint32_t i = 0; i < s->n; i++)
        if (!w->pool[s->at + i])
            return true;
    return false;
}

/* ---- ways between states ------------------------------------------------------------------------------------------ */

static uint32_t hop_slot(const aios_walk *w, uint32_t from)
{
    uint32_t i = (uint32_t)(mix(1, from) >> 32) & (w->n_hop_slots - 1);
    while (w->hops[i].from && w->hops[i].from != from)
        i = (i + 1) & (w->n_hop_slots - 1);
    return i;
}

const aios__hop *aios__walk_hop(const aios_walk *w, uint32_t from)
{
    const aios__hop *h = w->n_hop_slots ? &w->hops[hop_slot(w, from)] : NULL;
    return h && h->from ? h : NULL;
}

static bool more_hops(aios_walk *w)
{
    aios__hop *old = w->hops;
    uint32_t n = w->n_hop_slots, size = n ? 2 * n : MIN_SLOTS;
    aios__hop *hops = aios__alloc_array(w->g->heap, AIOS_MEM_OTHER, size, sizeof *hops, NULL);
    if (!hops)
        return false;
    w->hops = hops;
    w->n_hop_slots = size;
    for (uint32_t i = 0; i < n; i++)
        if (old[i].from)
            hops[hop_slot(w, old[i].from)] = old[i];
    aios__free(w->g->heap, old);
    return true;
}

void aios__walk_keep_hop(aios_walk *w, uint32_t from, uint32_t to)
{
    if (w->n_hops == KEEP_HOPS || (2 * (w->n_hops + 1) > w->n_hop_slots && !more_hops(w)))
        return;
    w->hops[hop_slot(w, from)] = (aios__hop){from, to};
    w->n_hops++;
}

void aios__walk_forget(aios_walk *w)
{
    if (w->n_hop_slots)
        memset(w->hops, 0, w->n_hop_slots * sizeof *w->hops);
    w->n_hops = 0;
    for (uint32_t i = 1; i < w->n_states; i++)
        w->states[i] = (aios__state){.at = w->states[i].at, .n = w->states[i].n};
    aios__masks_outdate(w);
}

/* ---- back to what was --------------------------------------------------------------------------------------------- */

bool aios__walk_keeps(const aios_walk *w)
{
    return w->n_frames < w->gc_at && w->n_states < KEEP_STATES;
}

aios__mark aios__walk_mark(const aios_walk *w)
{
    return (aios__mark){w->n_frames, w->n_states, w->n_pool, !aios__walk_keeps(w)};
}

void aios__walk_back(aios_walk *w, aios__mark m)
{
    if (!m.back)
        return;
    while (w->n_states > m.states) {
        const aios__state *s = &w->states[--w->n_states];
        take(&w->by_readings, readings_hash(w->pool + s->at, s->n), w->n_states);
    }
    while (w->n_frames > m.frames) {
        w->n_frames--;
        take(&w->by_frame, frame_hash(&w->frames[w->n_frames]), w->n_frames + 1);
    }
    w->n_pool = m.pool;
}

/* ---- carrying a position to where there is nothing else ------------------------------------------------------------- */

static bool by_v(const aios_grammar *g, const aios__frame *f)
{
    return g->nodes[f->node].kind == AIOS__G_DEC || f->st >= KEY_FREE;
}

/* The other frame that an object's or a number's frame refers to; 0: none. */
static uint32_t other_link(const aios_grammar *g, const aios__frame *f)
{
    if (g->nodes[f->node].kind != AIOS__G_OBJ)
        return g->nodes[f->node].kind == AIOS__G_DEC ? (uint32_t)f->v : 0;
    return f->st == KEY_NAME ? 0 : f->st >= KEY_FREE ? (uint32_t)f->v : f->c;
}

static void mark_links(const aios_grammar *g, const aios__frame *f, uint32_t *map)
{
    uint32_t links[2] = {other_link(g, f), 0};
    if (g->nodes[f->node].kind == AIOS__G_ARR)
        aios__array_links(g, f, links);
    map[f->up] = map[links[0]] = map[links[1]] = 1;
}

static void relink(const aios_grammar *g, aios__frame *f, const uint32_t *map)
{
    uint32_t link = other_link(g, f);
    f->up = map[f->up];
    if (g->nodes[f->node].kind == AIOS__G_ARR)
        aios__array_relink(g, f, map);
    else if (link && by_v(g, f))
        f->v = (f->v & ~(uint64_t)UINT32_MAX) | map[link];
    else if (link)
        f->c = map[link];
}

/* map: which frames the position of w needs, then their numbers in c; frames only refer to those before them. */
static uint32_t number_frames(const aios_walk *w, uint32_t *map)
{
    const aios__state *roots[] = {&w->states[w->at], &w->states[w->next]};
    uint32_t n = 0;
    map[0] = 1;
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < roots[k]->n; i++)
            map[w->pool[roots[k]->at + i]] = 1;
    for (uint32_t i = w->n_frames; i-- > 1;)
        if (map[i])
            mark_links(w->g, &w->frames[i], map);
    for (uint32_t i = 0; i < w->n_frames; i++)
        n += map[i];
    return n;
}

static void move_frames(const aios_walk *w, aios_walk *c, uint32_t *map)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_frames; i++) {
        if (!map[i])
            continue;
        aios__frame f = w->frames[i];
        map[i] = n;
        relink(w->g, &f, map);
        c->frames[n++] = f;
    }
    c->n_frames = n;
}

static int carry_state(const aios_walk *w, aios_walk *c, uint32_t state, const uint32_t *map, uint32_t *to, aios_error *err)
{
    const aios__state *s = &w->states[state];
    int rc = aios__grow(c->g->heap, &c->pool, &c->cap_pool, (size_t)c->n_pool + s->n, UINT32_MAX, sizeof *c->pool, "readings", err);
    for (uint32_t i = 0; !rc && i < s->n; i++)
        c->pool[c->n_pool + i] = map[w->pool[s->at + i]];
    return rc ? rc : aios__walk_intern(c, s->n, to, err);
}

/* Room for n frames and their numbers. */
static int room_for(aios_walk *c, uint32_t n, aios_error *err)
{
    bool grown;
    int rc = aios__grow(c->g->heap, &c->frames, &c->cap_frames, n, AIOS__G_FRAMES, sizeof *c->frames, "frames", err);
    rc = rc ? rc : aios__grow(c->g->heap, &c->stamps, &c->cap_stamps, c->cap_frames, AIOS__G_FRAMES, sizeof *c->stamps, "frames", err);
    if (!rc)
        memset(c->stamps, 0, c->cap_stamps * sizeof *c->stamps);
    while (!rc && 2 * (n + 1) > c->by_frame.n_slots)
        rc = make_room(c->g->heap, &c->by_frame, n, &grown, err);
    return rc;
}

int aios__walk_carry(const aios_walk *w, aios_walk *c, aios_error *err)
{
    uint32_t *map = aios__alloc_array(w->g->heap, AIOS_MEM_SCRATCH, w->n_frames, sizeof *map, err);
    c->spent = w->spent;
    int rc = map ? room_for(c, number_frames(w, map), err) : aios__oom(err);
    if (!rc) {
        move_frames(w, c, map);
        put_frames(c);
        rc = carry_state(w, c, w->at, map, &c->at, err);
    }
    rc = rc ? rc : carry_state(w, c, w->next, map, &c->next, err);
    aios__free(w->g->heap, map);
    return rc;
}

void aios__walk_compact(aios_walk *w)
{
    if (aios__walk_keeps(w) && w->n_hops < KEEP_HOPS)
        return;
    aios_walk c = {.g = w->g};
    aios_error err = AIOS_INIT(aios_error);
    if (!aios__walk_carry(w, &c, &err)) { /* without memory for it, everything stays until the next time */
        c.masks = w->masks;
        w->masks = NULL;
        aios__walk_drop(w);
        *w = c;
        aios__masks_forget(w);
    } else {
        aios__walk_drop(&c);
    }
    w->gc_at = w->n_frames * 2 > AIOS__G_KEEP ? w->n_frames * 2 : AIOS__G_KEEP;
}

void aios__walk_drop(aios_walk *w)
{
    aios__heap *h = w->g->heap;
    aios__free(h, w->frames);
    aios__free(h, w->stamps);
    aios__free(h, w->states);
    aios__free(h, w->pool);
    aios__free(h, w->by_frame.slots);
    aios__free(h, w->by_readings.slots);
    aios__free(h, w->hops);
    aios__free(h, w->todo);
    aios__masks_free(w);
}

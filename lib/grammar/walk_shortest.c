/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short way to the end of a sentence. Strings, keys, expressions and literals that have begun are ended first, the shortest way
 * (walk_text_end.c); then brackets are closed; where few bytes may come (names, alternatives), each is followed to the end and the
 * shortest wins. Not always the shortest of all, but a sentence whenever one is found.
 */
#include "grammar/walk_priv.h"

enum {
    FEW = 16,
    STEPS_MAX = 20000,
    READINGS = 16,    /* of which the text that ends the soonest is taken */
    REFUSED_MAX = 256, /* texts that turned out to be there already */
    FRAMES = 256      /* that are copied in the time of a step */
};

static const char likely[] = "0aA1.-@:/_ Tz+x";

typedef struct path {
    aios_walk *w;
    char *out;
    size_t n, max;
    uint32_t *steps; /* taken by all paths together */
    uint32_t *refused; /* texts by all of them; REFUSED_MAX: no more are looked for */
} path;

static bool has(const uint8_t set[32], uint8_t c)
{
    return set[c / 8] >> c % 8 & 1;
}

static uint32_t count(const uint8_t set[32])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < 32; i++)
        n += (uint32_t)__builtin_popcount(set[i]);
    return n;
}

static int first_of(const uint8_t set[32], const char *list)
{
    for (; *list; list++)
        if (has(set, (uint8_t)*list))
            return (uint8_t)*list;
    return -1;
}

static int first(const uint8_t set[32])
{
    for (int c = 0; c < 256; c++)
        if (has(set, (uint8_t)c))
            return c;
    return -1;
}

static int step(path *p, uint8_t c, aios_error *err)
{
    if (p->n == p->max || ++*p->steps > STEPS_MAX)
        return aios__fail(err, AIOS_ELIMIT, "no end of the sentence was found within %zu bytes", p->max);
    p->out[p->n++] = (char)c;
    return aios_walk_accept(p->w, (const char *)&c, 1, err);
}

/* A second walk, which takes the longer the more the first one remembers. */
static int copy_of(const path *p, aios_walk **out, aios_error *err)
{
    *p->steps += p->w->n_frames / FRAMES + 1;
    if (*p->steps > STEPS_MAX)
        return aios__fail(err, AIOS_ELIMIT, "no end of the sentence was found in %d steps", (int)STEPS_MAX);
    return aios_walk_copy(p->w, out, err);
}

/* What may come behind c; all zero: the sentence may end there. */
static int peek(const path *p, uint8_t c, uint8_t next[32], aios_error *err)
{
    aios_walk *w;
    memset(next, 0, 32);
    int rc = copy_of(p, &w, err);
    if (rc)
        return rc;
    rc = aios_walk_accept(w, (const char *)&c, 1, err);
    if (!rc && !aios_walk_complete(w))
        rc = aios_walk_next_bytes(w, next);
    aios_walk_free(w);
    return rc;
}

/* Among many bytes: the first of these that lets the text end, else one that changes something. */
static int choose_many(const path *p, const uint8_t set[32], int *c, aios_error *err)
{
    uint8_t next[32];
    int other = -1;
    *c = -1;
    for (const char *l = likely; *l; l++) {
        if (!has(set, (uint8_t)*l))
            continue;
        int rc = peek(p, (uint8_t)*l, next, err);
        if (rc)
            return rc;
        *c = *c < 0 ? *l : *c;
        if (has(next, '"') || !count(next)) {
            *c = *l;
            return AIOS_OK;
        }
        other = other < 0 && memcmp(next, set, 32) ? *l : other;
    }
    *c = other >= 0 ? other : *c >= 0 ? *c : first(set);
    return AIOS_OK;
}

/* The byte that needs no trial; -1: one does. Few bytes with digits and a comma among them: a number may end. */
static int obvious(const uint8_t set[32])
{
    static const char digits[] = "0123456789";
    bool few = count(set) <= FEW;
    int c = count(set) == 1 ? first(set) : first_of(set, few ? "}]" : "\""), digit = first_of(set, digits);
    if (c >= 0 || !few)
        return c;
    if (digit >= 0 && has(set, ','))
        return ',';
    for (int other = 0; other < 256; other++)
        if (has(set, (uint8_t)other) && !(other && strchr(digits, other)))
            return -1;
    return digit;
}

/* Another byte than one that leads to a text that is there already, if there is one. */
static int step_aside(path *p, uint8_t c, aios_error *err)
{
    uint8_t set[32];
    int rc = aios_walk_next_bytes(p->w, set), other = -1;
    if (rc)
        return aios__fail(err, rc, "what may come next was not found out");
    ++*p->refused;
    for (const char *l = likely; *l && other < 0; l++)
        other = has(set, (uint8_t)*l) && (uint8_t)*l != c ? *l : -1;
    for (int b = ' '; b < 256 && other < 0; b++)
        other = has(set, (uint8_t)b) && b != c && b != '"' && b != '\\' ? b : -1;
    return step(p, other < 0 ? c : (uint8_t)other, err);
}

/* Ends the text that some reading is in; only_known: if all readings are in one. */
static int end_text(path *p, bool only_known, bool *ended, aios_error *err)
{
    const aios__state *s = &p->w->states[p->w->at];
    const uint32_t n_readings = s->n, at = s->at;
    uint32_t looks = 0;
    size_t best = 0, n;
    aios_error why = AIOS_INIT(aios_error);
    int rc = AIOS_OK;
    *ended = false;
    for (uint32_t i = 0; !rc && *p->refused < REFUSED_MAX && i < n_readings && i < READINGS && best != 1; i++) {
        rc = aios__walk_text_end(p->w, p->w->pool[at + i], p->out + p->n, best ? best - 1 : p->max - p->n, &n, &looks, &why);
        if (!n && !best && only_known)
            break;
        best = n ? n : best;
    }
    *p->steps += looks + (uint32_t)best;
    *p->refused = rc == AIOS_ELIMIT ? REFUSED_MAX : *p->refused;
    if (rc && rc != AIOS_ELIMIT)
        return aios__error_copy(err, &why);
    if (!best)
        return AIOS_OK;
    rc = aios_walk_accept(p->w, p->out + p->n, best, &why);
    *ended = true;
    if (rc == AIOS_ESCHEMA)
        return step_aside(p, (uint8_t)p->out[p->n], err);
    p->n += best;
    return rc ? aios__error_copy(err, &why) : AIOS_OK;
}

/* To the end without trials. */
static int run(path *p, aios_error *err)
{
    uint8_t set[32];
    while (!aios_walk_complete(p->w)) {
        bool ended;
        int rc = end_text(p, false, &ended, err);
        if (!rc && ended)
            continue;
        rc = rc ? rc : aios_walk_next_bytes(p->w, set);
        int c = rc ? -1 : obvious(set);
        if (!rc && c < 0)
            rc = choose_many(p, set, &c, err);
        rc = rc ? rc : step(p, (uint8_t)c, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

/* Follows each of a few bytes to the end; *best is the first byte of the shortest, -1 if none ends. */
static int try_each(const path *p, const uint8_t set[32], char *room, int *best, aios_error *err)
{
    size_t least = p->max - p->n + 1;
    *best = -1;
    for (int c = 0; c < 256; c++) {
        if (!has(set, (uint8_t)c))
            continue;
        aios_error why = AIOS_INIT(aios_error);
        path q = {.out = room, .max = least - 1, .steps = p->steps, .refused = p->refused};
        int rc = copy_of(p, &q.w, err);
        if (rc)
            return rc;
        rc = step(&q, (uint8_t)c, &why);
        rc = rc ? rc : run(&q, &why);
        aios_walk_free(q.w);
        if (rc && rc != AIOS_ELIMIT)
            return aios__error_copy(err, &why);
        if (!rc) {
            least = q.n;
            *best = c;
        }
    }
    return AIOS_OK;
}

static int find(path *p, char *room, aios_error *err)
{
    uint8_t set[32];
    while (!aios_walk_complete(p->w)) {
        bool ended;
        int rc = end_text(p, true, &ended, err);
        if (!rc && ended)
            continue;
        rc = rc ? rc : aios_walk_next_bytes(p->w, set);
        int c = rc ? -1 : obvious(set);
        if (!rc && c < 0 && count(set) <= FEW)
            rc = try_each(p, set, room, &c, err);
        if (!rc && c < 0)
            rc = choose_many(p, set, &c, err);
        rc = rc ? rc : step(p, (uint8_t)c, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

int aios__walk_shortest(const aios_walk *w, char *out, size_t max, size_t *n, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    uint32_t steps = 0, refused = 0;
    path p = {.out = out, .max = max, .steps = &steps, .refused = &refused};
    *n = 0;
    char *room = aios__alloc(w->g->heap, AIOS_MEM_SCRATCH, max + 1, err);
    int rc = room ? aios_walk_copy(w, &p.w, err) : aios__oom(err);
    if (!rc)
        rc = find(&p, room, err);
    *n = p.n;
    aios_walk_free(p.w);
    aios__free(w->g->heap, room);
    return rc;
}

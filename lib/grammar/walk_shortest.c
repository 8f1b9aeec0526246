/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short way to the end of a sentence. Strings, keys, expressions and literals that have begun are ended first, the shortest way
 * (walk_text_end.c); then brackets are closed; where few bytes may come (names, alternatives), each is followed to the end and the
 * shortest wins, until that has taken most of the steps there are. Not always the shortest of all, but a sentence whenever one is found.
 */
#include "grammar/walk_priv.h"

#include <inttypes.h>

enum {
    FEW = 16,
    STEPS_MAX = 20000,
    TRIAL_STEPS = 10000, /* of these: behind them no byte is tried any more */
    READINGS = 16,    /* of which the text that ends the soonest is taken */
    REFUSED_MAX = 256, /* texts that turned out to be there already */
    FRAMES = 256      /* that are copied in the time of a step */
};

typedef struct path {
    aios_walk *w;
    char *out;
    size_t n, max;
    uint32_t *steps; /* taken by all paths together */
    uint32_t limit; /* of steps */
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
    if (p->n == p->max || ++*p->steps > p->limit)
        return aios__fail(err, AIOS_ELIMIT, "no end of the sentence was found within %zu bytes", p->max);
    p->out[p->n++] = (char)c;
    return aios_walk_accept(p->w, (const char *)&c, 1, err);
}

static int too_long(const path *p, aios_error *err)
{
    return aios__fail(err, AIOS_ELIMIT, "no end of the sentence was found in %" PRIu32 " steps", p->limit);
}

/* A second walk, which takes the longer the more the first one remembers. */
static int copy_of(const path *p, aios_walk **out, aios_error *err)
{
    *p->steps += p->w->n_frames / FRAMES + 1;
    if (*p->steps > p->limit)
        return too_long(p, err);
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
    for (const char *l = AIOS__LIKELY; *l; l++) {
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
    for (const char *l = AIOS__LIKELY; *l && other < 0; l++)
        other = has(set, (uint8_t)*l) && (uint8_t)*l != c ? *l : -1;
    for (int b = ' '; b < 256 && other < 0; b++)
        other = has(set, (uint8_t)b) && b != c && b != '"' && b != '\\' ? b : -1;
    return step(p, other < 0 ? c : (uint8_t)other, err);
}

/* The shortest text that ends what some reading is in, of *n bytes; 0: there is none. *other: some reading may be in no text. */
static int find_text(path *p, size_t *n, bool *other, aios_error *err)
{
    const aios__state *s = &p->w->states[p->w->at];
    const uint32_t n_readings = s->n, at = s->at;
    uint32_t looks = 0;
    aios_error why = AIOS_INIT(aios_error);
    int rc = AIOS_OK;
    *n = 0;
    *other = n_readings > READINGS;
    for (uint32_t i = 0; !rc && *p->refused < REFUSED_MAX && i < n_readings && i < READINGS; i++) {
        bool in_text;
        size_t more, max = *n ? *n - 1 : p->max - p->n;
        rc = aios__walk_text_end(p->w, p->w->pool[at + i], p->out + p->n, max, &more, &in_text, &looks, &why);
        *n = more ? more : *n;
        *other = *other || !in_text;
    }
    *p->steps += looks + (uint32_t)*n;
    *p->refused = rc == AIOS_ELIMIT ? REFUSED_MAX : *p->refused;
    if (rc && rc != AIOS_ELIMIT)
        return aios__error_copy(err, &why);
    return *p->steps > p->limit ? too_long(p, err) : AIOS_OK;
}

static int take_text(path *p, size_t n, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios_walk_accept(p->w, p->out + p->n, n, &why);
    if (rc == AIOS_ESCHEMA)
        return step_aside(p, (uint8_t)p->out[p->n], err);
    p->n += n;
    return rc ? aios__error_copy(err, &why) : AIOS_OK;
}

static bool closes(int c)
{
    return c == ']' || c == '}';
}

/* To the end without trials. */
static int run(path *p, aios_error *err)
{
    uint8_t set[32];
    while (!aios_walk_complete(p->w)) {
        size_t n;
        bool other;
        int rc = find_text(p, &n, &other, err), c = -1;
        if (!rc && (!n || other)) {
            rc = aios_walk_next_bytes(p->w, set);
            c = rc ? -1 : obvious(set);
        }
        if (!rc && n && !closes(c)) {
            rc = take_text(p, n, err);
        } else {
            if (!rc && c < 0)
                rc = choose_many(p, set, &c, err);
            rc = rc ? rc : step(p, (uint8_t)c, err);
        }
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
        if (!has(set, (uint8_t)c) || *p->steps > TRIAL_STEPS)
            continue;
        aios_error why = AIOS_INIT(aios_error);
        path q = {.out = room, .max = least - 1, .steps = p->steps, .limit = TRIAL_STEPS, .refused = p->refused};
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

/* The next byte where some reading is in no text; another is in one whose end begins with text, or -1. */
static int choose(path *p, int text, char *room, int *c, aios_error *err)
{
    uint8_t set[32];
    int rc = aios_walk_next_bytes(p->w, set);
    if (rc)
        return aios__fail(err, rc, "what may come next was not found out");
    *c = obvious(set);
    bool few = count(set) <= FEW;
    if (text >= 0 && *c >= 0 && *c != text && !closes(*c)) {
        memset(set, 0, sizeof set);
        set[*c / 8] |= (uint8_t)(1u << *c % 8);
        set[text / 8] |= (uint8_t)(1u << text % 8);
        *c = -1;
        few = true;
    }
    if (*c < 0 && few)
        rc = try_each(p, set, room, c, err);
    if (rc || *c >= 0)
        return rc;
    *c = text;
    return text < 0 ? choose_many(p, set, c, err) : AIOS_OK;
}

static int find(path *p, char *room, aios_error *err)
{
    while (!aios_walk_complete(p->w)) {
        size_t n;
        bool other;
        if (*p->steps > TRIAL_STEPS)
            return run(p, err);
        int rc = find_text(p, &n, &other, err), c;
        if (!rc && n && !other) {
            rc = take_text(p, n, err);
        } else {
            rc = rc ? rc : choose(p, n ? (uint8_t)p->out[p->n] : -1, room, &c, err);
            rc = rc ? rc : step(p, (uint8_t)c, err);
        }
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
    path p = {.out = out, .max = max, .steps = &steps, .limit = STEPS_MAX, .refused = &refused};
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

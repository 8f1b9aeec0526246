/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile model has seen: marks in texts, whose model has been shown which, and what extractions told. */
#ifndef AIOS_FLOW_H
#define AIOS_FLOW_H

#include <aios/plugin/backend.h>

#include "compose_test.h"

#include "agent/agent_priv.h"

enum { A = 1, B = 2, MARKS = 4096, ENDORSE = 4, MAX_CALLS = 3 };
static const double MAX_EUR = 100;
enum { ASK_BUDGET = 20, MAX_ACTED = 512, MAX_TOLD = 1024, MAX_SEEN = 256, MAX_APPROVED = 64 };

typedef struct taint {
    int integrity;
    unsigned classes;
} taint;

/* What an extraction told, by the number in its question: of what, and how much it could say. */
typedef struct told {
    unsigned classes;
    double bits;
    bool trusted; /* of runs of one life: so much was left in the run and those above it */
} told;

/* What the model of a run has been shown, and what its caller's had when it made the call. */
typedef struct shown {
    char id[AIOS__RUN_ID];
    taint seen;
} shown;

static struct {
    uint64_t rng;
    taint marks[MARKS];      /* what each mark stands for, by what its source is */
    uint32_t n_marks;
    aios_run *root;
    shown shown[MAX_SEEN];   /* the root's, and those of the agents that were called */
    uint32_t n_shown;
    told told[MAX_TOLD];
    uint32_t n_questions;
    double endorsed;         /* of runs of one life */
    uint32_t limited;
    struct {
        char key[49];
        char args[300];
        int32_t effect;
    } acted[MAX_ACTED];      /* effects of this run */
    uint32_t n_acted;
    char asked[64][96];      /* calls that were asked about, in this run */
    uint32_t n_ids;
    bool durable;
    double eur;
    char approved[MAX_APPROVED][1400]; /* calls, each for one time */
    uint64_t n_steps, n_sinks[16], n_denied, n_asked, n_extracts, n_values, n_violations, n_runs, n_deaths, n_away, n_unknown, n_agents, n_deep, n_handoffs, n_wide;
    char violation[512];
} w;

static uint32_t roll(uint32_t n)
{
    w.rng ^= w.rng << 13;
    w.rng ^= w.rng >> 7;
    w.rng ^= w.rng << 17;
    return (uint32_t)(w.rng >> 33) % n;
}

static void violate(const char *what, const char *sink, const char *args)
{
    if (!w.n_violations++)
        snprintf(w.violation, sizeof w.violation, "%s: %s %.300s", what, sink, args);
}

static void join(taint *t, const taint *more)
{
    t->integrity = more->integrity < t->integrity ? more->integrity : t->integrity;
    t->classes |= more->classes;
}

/* Marks that a model can write down. */
typedef struct memory {
    char marks[8][32];
    uint32_t n;
} memory;

/* Joins what the marks in a text stand for. */
static void look_for_marks(const char *s, size_t n, taint *t, memory *m)
{
    for (size_t i = 0; i + 8 <= n; i++) {
        if (s[i] != '<' || s[i + 1] != '#' || s[i + 7] != '>')
            continue;
        uint32_t id = (uint32_t)strtoul(s + i + 2, NULL, 10) % MARKS;
        join(t, &w.marks[id]);
        if (m)
            snprintf(m->marks[m->n++ % 8], sizeof m->marks[0], "<#%05u>", id);
    }
}

static uint32_t new_mark(const taint *t)
{
    uint32_t id = w.n_marks++ % MARKS;
    w.marks[id] = *t;
    return id;
}

/* ---- whose model it is ---------------------------------------------------------------------------------------------- */

/* The run below r, or r, whose next turn has this transcript; NULL: a quarantined turn. */
static aios_run *find_run(aios_run *r, const aios_transcript *t)
{
    aios_run *found = r->t == t || r->profile.view == t ? r : NULL;
    for (uint32_t i = 0; i < r->n_turn_calls && !found; i++)
        found = r->calls[i].sub ? find_run(r->calls[i].sub, t) : NULL;
    return found;
}

static taint *seen_by(const aios_run *r)
{
    for (uint32_t i = 0; i < w.n_shown; i++)
        if (!strcmp(w.shown[i].id, r->id))
            return &w.shown[i].seen;
    shown *s = &w.shown[w.n_shown++];
    assert_true(w.n_shown < MAX_SEEN);
    snprintf(s->id, sizeof s->id, "%s", r->id);
    s->seen = r->parent ? *seen_by(r->parent) : (taint){AIOS_LABEL_USER, 0}; /* the caller's model wrote the prompt */
    w.n_agents += r->parent != NULL;
    w.n_deep += r->depth > 1;
    return &s->seen;
}

#endif

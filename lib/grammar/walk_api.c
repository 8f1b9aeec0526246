/* SPDX-License-Identifier: Apache-2.0 */
/* Walks as the host sees them. */
#include "grammar/walk_priv.h"

#include <stdlib.h>

static aios_walk *new_walk(aios_grammar *g, aios_error *err)
{
    aios_walk *w = aios__alloc(g->heap, AIOS_MEM_OTHER, sizeof *w, err);
    if (!w)
        return NULL;
    __atomic_add_fetch(&g->refs, 1, __ATOMIC_RELAXED);
    w->g = g;
    w->gc_at = AIOS__G_KEEP;
    return w;
}

int aios_walk_new(aios_grammar *g, aios_walk **out, aios_error *err)
{
    if (!g || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_walk_new: g and w must not be NULL");
    *out = NULL;
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    aios_walk *w = new_walk(g, err);
    int rc = w ? aios__walk_begin(w, err) : aios__oom(err);
    if (rc) {
        aios_walk_free(w);
        return rc;
    }
    *out = w;
    return AIOS_OK;
}

void aios_walk_free(aios_walk *w)
{
    if (!w)
        return;
    aios_grammar *g = w->g;
    aios__walk_drop(w);
    aios__free(g->heap, w);
    aios_grammar_free(g);
}

int aios_walk_copy(const aios_walk *w, aios_walk **out, aios_error *err)
{
    if (!w || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_walk_copy: w and out must not be NULL");
    *out = NULL;
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    aios_walk *c = new_walk(w->g, err);
    int rc = c ? aios__walk_carry(w, c, err) : aios__oom(err);
    if (rc) {
        aios_walk_free(c);
        return rc;
    }
    *out = c;
    return AIOS_OK;
}

/* The grammar has changed from g: was gets the position before the text, which may yet be refused, and w keeps what lies behind. */
static int set_aside(aios_walk *w, aios_grammar *g, aios_walk *was, aios_error *err)
{
    aios_walk old = *w;
    old.g = was->g = g; /* the new grammar keeps it */
    old.next = 0;
    int rc = was->frames ? AIOS_OK : aios__walk_carry(&old, was, err);
    if (!rc) {
        w->at = w->next;
    } else {
        aios__walk_drop(was);
        *was = (aios_walk){0};
    }
    return rc;
}

/* The text is refused, and g was the grammar before it. */
static void put_back(aios_walk *w, aios_grammar *g, const aios_walk *was)
{
    aios_grammar *now = w->g;
    if (now == g)
        return;
    __atomic_add_fetch(&g->refs, 1, __ATOMIC_RELAXED);
    if (was->frames) {
        aios__walk_drop(w);
        *w = *was;
        w->gc_at = AIOS__G_KEEP;
    } else {
        w->g = g;
        aios__walk_forget(w);
    }
    aios_grammar_free(now);
}

int aios_walk_accept(aios_walk *w, const char *s, size_t n, aios_error *err)
{
    if (!w || (!s && n))
        return aios__fail(err, AIOS_EINVAL, "aios_walk_accept: w and s must not be NULL");
    n = n == AIOS_CSTR ? strlen(s) : n;
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    int rc = AIOS_OK;
    aios_grammar *g = w->g;
    aios_walk was = {0};
    w->next = w->at;
    for (size_t i = 0; i < n && !rc; i++) {
        uint32_t to;
        rc = aios__walk_next(w, w->next, (uint8_t)s[i], &to, err);
        if (!rc && !to)
            rc = aios__fail_need(err, AIOS_ESCHEMA, i, n, "byte %zu of the text (0x%02x) is outside the grammar", i, (uint8_t)s[i]);
        if (rc)
            break;
        w->next = to;
        rc = w->g != g ? set_aside(w, g, &was, err) : AIOS_OK;
        if (!rc)
            aios__walk_compact(w);
    }
    if (rc) {
        put_back(w, g, &was);
    } else {
        w->at = w->next;
        if (was.frames)
            aios__walk_drop(&was);
    }
    w->next = 0;
    return rc;
}

int aios_walk_complete(const aios_walk *w)
{
    return w && aios__walk_ended(w, w->at);
}

/* What a walk remembers may grow through a const walk: nothing of its position changes. */
static aios_walk *memory_of(const aios_walk *w)
{
    return (aios_walk *)(uintptr_t)w;
}

/* Bytes that may follow the state. */
static int next_bytes(aios_walk *w, uint32_t state, uint8_t mask[32], aios_error *err)
{
    uint32_t live[8], to;
    int rc = AIOS_OK;
    memset(mask, 0, 32);
    memcpy(live, aios__walk_live(w, state), sizeof live);
    for (unsigned c = 0; c < 256 && !rc; c++) {
        if (!(live[c / 32] >> c % 32 & 1))
            continue;
        rc = aios__walk_next(w, state, (uint8_t)c, &to, err);
        if (!rc && to)
            mask[c / 8] |= (uint8_t)(1u << c % 8);
    }
    return rc;
}

int aios_walk_next_bytes(const aios_walk *w, uint8_t mask[32])
{
    aios_error err = AIOS_INIT(aios_error);
    if (!w || !mask)
        return AIOS_EINVAL;
    return next_bytes(memory_of(w), w->at, mask, &err);
}

/* The only bit of a mask, or -1. */
static int only_byte(const uint8_t mask[32])
{
    int found = -1;
    for (int c = 0; c < 256; c++)
        if (mask[c / 8] & 1u << c % 8) {
            if (found >= 0)
                return -1;
            found = c;
        }
    return found;
}

size_t aios_walk_forced(const aios_walk *cw, char *out, size_t n_max)
{
    aios_error err = AIOS_INIT(aios_error);
    if (!cw || (!out && n_max))
        return 0;
    aios_walk *w = memory_of(cw);
    uint32_t at = w->at;
    uint8_t mask[32];
    size_t n = 0;
    while (n < n_max && !aios__walk_ended(w, at) && !next_bytes(w, at, mask, &err)) {
        int c = only_byte(mask);
        if (c < 0 || aios__walk_next(w, at, (uint8_t)c, &at, &err))
            break;
        out[n++] = (char)c;
    }
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to leave out: as little as brings the request down to its mark, the oldest first. Places to cut at are where a turn begins, so that calls go with
 * their results. What stays is a beginning (system entries and tools, which the cache has) and an end.
 */
#include <stdlib.h>

#include "agent/agent_priv.h"

/* One way to cut: entries up to `last` go, but for `keep`. */
typedef struct place {
    uint64_t last, keep;
} place;

typedef struct planning {
    aios_run *r;
    const aios_request *q;
    aios__view v;      /* the plan so far */
    uint64_t first;    /* entry that is no system entry */
    uint32_t target, n; /* tokens wanted, and of v */
    place *places;
    uint32_t n_places;
    uint64_t *results; /* ids of those that may be cut, ascending */
    uint32_t n_results, n_old; /* of these, not of the last turn */
    bool any;          /* something more is left out */
} planning;

static const char left_out[] = "[Earlier parts of this conversation are left out here.]";

/* ---- what there is ------------------------------------------------------------------------------------------------ */

static uint32_t count_entries(const planning *p)
{
    return aios_transcript_count(p->r->t);
}

static aios_entry entry_at(const planning *p, uint32_t i)
{
    aios_entry e = AIOS_INIT(aios_entry);
    aios_transcript_at(p->r->t, i, &e);
    return e;
}

/* Place of the last entry of a role; UINT32_MAX: none. */
static uint32_t find_last(const planning *p, int32_t role)
{
    for (uint32_t i = count_entries(p); i-- > 0;)
        if (entry_at(p, i).role == role)
            return i;
    return UINT32_MAX;
}

/* Where the last turn begins: what the model has said last, or the user behind it. */
static uint32_t find_last_turn(const planning *p)
{
    uint32_t user = find_last(p, AIOS_ROLE_USER), said = find_last(p, AIOS_ROLE_ASSISTANT);
    return said == UINT32_MAX || (user != UINT32_MAX && user > said) ? user : said;
}

static int list_places(planning *p, aios_error *err)
{
    uint32_t n = count_entries(p), user = find_last(p, AIOS_ROLE_USER), n_drop = 0, seen = 0;
    uint64_t before = 0;
    p->places = aios__alloc_array(p->r->heap, AIOS_MEM_SCRATCH, (size_t)n + 1, sizeof *p->places, err);
    if (!p->places)
        return aios__nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        aios_entry e = entry_at(p, i);
        if (e.role == AIOS_ROLE_SYSTEM)
            continue;
        p->first = p->first ? p->first : e.id;
        bool behind = user == UINT32_MAX || i > user;
        bool begins = aios__view_shows(&p->v, &e) && (behind ? e.role == AIOS_ROLE_ASSISTANT : e.role == AIOS_ROLE_USER);
        if (begins && n_drop > seen) {
            p->places[p->n_places++] = (place){before, behind && user != UINT32_MAX ? entry_at(p, user).id : 0};
            seen = n_drop;
        }
        n_drop += aios__view_shows(&p->v, &e) && i != user;
        before = e.id;
    }
    return AIOS_OK;
}

static bool is_large(const planning *p, const aios_entry *e)
{
    for (uint32_t k = 0; k < e->n_parts; k++)
        if (e->parts[k].kind == AIOS_PART_RESULT && e->parts[k].n_text >= p->r->agent->compact.min_offload)
            return true;
    return false;
}

static int list_results(planning *p, aios_error *err)
{
    uint32_t n = count_entries(p), last = find_last_turn(p);
    p->results = aios__alloc_array(p->r->heap, AIOS_MEM_SCRATCH, (size_t)n + 1, sizeof *p->results, err);
    if (!p->results)
        return aios__nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        aios_entry e = entry_at(p, i);
        if (e.role != AIOS_ROLE_TOOL || !aios__view_shows(&p->v, &e) || aios__view_cuts(&p->v, e.id) || !is_large(p, &e))
            continue;
        p->results[p->n_results++] = e.id;
        p->n_old += i < last;
    }
    return AIOS_OK;
}

/* ---- trying ------------------------------------------------------------------------------------------------------- */

static int weigh(planning *p, uint32_t *n, aios_error *err)
{
    return aios__context_weigh(p->r, p->q, &p->v, n, err);
}

typedef int try_fn(planning *p, uint32_t k, aios_error *err);

static int set_note(aios__view *v, const char *s, size_t n, aios_error *err)
{
    char *note = aios__strndup(v->heap, AIOS_MEM_TEXT, s, n, err);
    if (!note)
        return aios__nomem(err);
    aios__free(v->heap, v->note);
    v->note = note;
    v->n_note = n;
    return AIOS_OK;
}

/* What lies before the k-th place goes. A summary that is there stays until another is written. */
static int try_places(planning *p, uint32_t k, aios_error *err)
{
    const place *at = &p->places[k - 1];
    p->v.first = p->first;
    p->v.last = at->last;
    p->v.keep = at->keep;
    return p->v.note ? AIOS_OK : set_note(&p->v, left_out, sizeof left_out - 1, err);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* Of the results that may be, the first k are cut, beside those that were. */
static int try_results(planning *p, uint32_t k, aios_error *err)
{
    aios__view *v = &p->v;
    uint32_t n = 0;
    uint64_t *ids = aios__alloc_array(v->heap, AIOS_MEM_TEXT, (size_t)v->n_cut + p->n_results + 1, sizeof *ids, err);
    if (!ids)
        return aios__nomem(err);
    for (uint32_t i = 0; i < v->n_cut; i++) {
        bool mine = bsearch(&v->cut[i], p->results, p->n_results, sizeof *p->results, compare_ids) != NULL;
        if (!mine)
            ids[n++] = v->cut[i];
    }
    for (uint32_t i = 0; i < k; i++)
        ids[n++] = p->results[i];
    qsort(ids, n, sizeof *ids, compare_ids);
    aios__free(v->heap, v->cut);
    v->cut = ids;
    v->n_cut = n;
    return AIOS_OK;
}

/* The smallest k of 1 .. n that reaches the target, else n. */
static int search(planning *p, try_fn *fn, uint32_t n, aios_error *err)
{
    uint32_t lo = 1, hi = n;
    int rc = AIOS_OK;
    while (lo < hi && !rc) {
        uint32_t mid = lo + (hi - lo) / 2;
        rc = fn(p, mid, err);
        rc = rc ? rc : weigh(p, &p->n, err);
        if (p->n <= p->target)
            hi = mid;
        else
            lo = mid + 1;
    }
    rc = rc ? rc : fn(p, lo, err);
    p->any = true;
    return rc ? rc : weigh(p, &p->n, err);
}

/* ---- plans -------------------------------------------------------------------------------------------------------- */

static int set_tool(planning *p, aios_error *err)
{
    const aios__tool *t = p->r->agent->toolset ? aios__toolset_find(p->r->agent->toolset, AIOS__READ_RESULT) : NULL;
    if (p->v.tool || !t || t->pub.fn != aios__read_result_fn)
        return AIOS_OK;
    p->v.tool = aios__strndup(p->v.heap, AIOS_MEM_TEXT, t->pub.name, strlen(t->pub.name), err);
    return p->v.tool ? AIOS_OK : aios__nomem(err);
}

/* Results that are not shown at all need not be cut. */
static void drop_hidden(aios__view *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_cut; i++)
        if (v->cut[i] > v->last)
            v->cut[n++] = v->cut[i];
    v->n_cut = n;
}

/* Old results first; then turns; the newest results only where the request would not fit otherwise. */
static int plan_offload(planning *p, aios_error *err)
{
    uint32_t n_ctx = p->r->context.n_ctx;
    int rc = set_tool(p, err);
    rc = rc ? rc : list_results(p, err);
    rc = rc ? rc : weigh(p, &p->n, err);
    if (!rc && p->n_old)
        rc = search(p, try_results, p->n_old, err);
    if (!rc && p->n_places && p->n > p->target)
        rc = search(p, try_places, p->n_places, err);
    if (!rc && p->n_results > p->n_old && p->n >= n_ctx) {
        p->target = n_ctx - n_ctx / 8; /* no more than must be */
        rc = search(p, try_results, p->n_results, err);
    }
    drop_hidden(&p->v);
    return rc;
}

static int plan(planning *p, int32_t policy, aios_error *err)
{
    int rc = list_places(p, err);
    if (!rc && policy == AIOS_COMPACT_OFFLOAD)
        rc = plan_offload(p, err);
    else if (!rc && p->n_places)
        rc = search(p, try_places, p->n_places, err);
    return rc || p->any ? rc : AIOS_DONE;
}

int aios__context_plan(aios_run *r, const aios_request *q, int32_t policy, uint32_t target, aios__view *v, uint32_t *n, aios_error *err)
{
    planning p = {.r = r, .q = q, .target = target};
    int rc = aios__view_read(r->t, &p.v, err);
    rc = rc ? rc : plan(&p, policy, err);
    aios__free(r->heap, p.places);
    aios__free(r->heap, p.results);
    if (rc)
        aios__view_free(&p.v);
    *v = p.v;
    *n = p.n;
    return rc;
}

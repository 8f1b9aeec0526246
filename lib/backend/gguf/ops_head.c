/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head: logits of the rows that want them, or only the token with the largest one, for which no row of logits is written and,
 * if the matrix is split into planes, the low plane is read only where the largest may be: what is left out cannot be it.
 */
#include <math.h>

#include "backend/gguf/work.h"

/* Where more than 1 / WORTH_PART of the panels had to be read whole, bounds rest for a pass, and each time in a row for twice as many. */
enum { WORTH_PART = 3, REST_MAX = 64 };

static aios__panels view(const aios__panels *w, uint32_t p0, uint32_t p1)
{
    aios__panels v = *w;
    v.data += p0 * w->panel_bytes;
    v.low = w->low ? w->low + p0 * w->low_bytes : NULL;
    v.rows = (p1 < w->n_panels ? p1 * AIOS__PANEL_ROWS : w->rows) - p0 * AIOS__PANEL_ROWS;
    v.n_panels = p1 - p0;
    return v;
}

/* Panels [p0, p1) against all rows, the first of their outputs at out. */
static void multiply(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1, float *out, size_t ld)
{
    const aios__panels v = view(w, p0, p1);
    (w->low ? x->k->gemm_split : aios__gemm_of(x->k, w->dtype))(&v, 0, v.n_panels, &x->act, out, ld);
}

static void cap(const aios__exec *x, float *row, uint32_t n)
{
    float most = x->net->hp.logit_softcap;
    for (uint32_t i = 0; most > 0 && i < n; i++)
        row[i] = most * tanhf(row[i] / most);
}

static const aios__row *wanted(const aios__exec *x, uint32_t i)
{
    return &x->batch->rows[x->map[i]];
}

/* ---- the largest --------------------------------------------------------------------------------------------------- */

static void forget_best(const aios__exec *x)
{
    for (uint32_t i = 0; i < x->n; i++)
        x->own->best[i] = (aios__best){.value = -INFINITY, .id = -1};
}

static void take(aios__best *best, float value, int32_t id)
{
    if (value < INFINITY && (value > best->value || (value == best->value && id < best->id)))
        *best = (aios__best){.value = value, .id = id};
}

static uint32_t count_bans(const aios__row *row)
{
    return row->bans ? row->bans->n : 0;
}

/* Takes n logits of row i from token `first` on into account; only finite ones can win, of equals the first. */
static void take_best(const aios__exec *x, uint32_t i, float *logits, uint32_t n, uint32_t first)
{
    aios__best *best = &x->own->best[i];
    const aios__row *row = wanted(x, i);
    for (uint32_t b = 0; b < count_bans(row); b++)
        if ((uint32_t)row->bans->ids[b] - first < n)
            logits[(uint32_t)row->bans->ids[b] - first] = -INFINITY;
    uint32_t top = x->k->argmax(logits, n);
    if (logits[top] < INFINITY) {
        take(best, logits[top], (int32_t)(first + top));
        return;
    }
    for (uint32_t r = 0; r < n; r++)
        take(best, logits[r], (int32_t)(first + r));
}

/* Threads have the rows of the head in their order. */
static void tell_best(const aios__exec *x)
{
    aios__pool_barrier(x->pool, x->tid);
    for (uint32_t i = 0; !x->tid && i < x->n; i++) {
        aios__best best = {.value = -INFINITY, .id = -1};
        for (uint32_t t = 0; t < x->n_threads; t++) {
            const aios__best *b = &x->net->work->own[t].best[i];
            best = b->value > best.value ? *b : best;
        }
        if (wanted(x, i)->best)
            *wanted(x, i)->best = best.id < 0 ? 0 : best.id;
    }
}

/* ---- by pieces ----------------------------------------------------------------------------------------------------- */

/* Some rows want their largest: pieces of logits stay in the cache, and go out only to rows that want them. */
static void head_by_pieces(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1)
{
    uint32_t step = AIOS__HEAD_FLOATS / (x->n * AIOS__PANEL_ROWS);
    for (uint32_t p = p0; p < p1; p += step) {
        uint32_t end = p1 - p < step ? p1 : p + step, first = p * AIOS__PANEL_ROWS;
        uint32_t n = view(w, p, end).rows, ld = (end - p) * AIOS__PANEL_ROWS;
        multiply(x, w, p, end, x->own->piece, ld);
        for (uint32_t i = 0; i < x->n; i++) {
            float *row = x->own->piece + (size_t)i * ld;
            cap(x, row, n);
            if (wanted(x, i)->best)
                take_best(x, i, row, n, first);
            else
                memcpy(x->batch->logits + (size_t)i * w->rows + first, row, n * sizeof(float));
        }
    }
}

/* ---- by bounds ----------------------------------------------------------------------------------------------------- */

/* For few rows: of more the union is most of the panels. */
static bool has_bounds(const aios__exec *x, const aios__panels *w)
{
    bool all = w->low && x->k->bound && x->n <= AIOS__BOUND_ROWS && !(x->net->hp.logit_softcap > 0) && !x->net->work->bound_rest;
    for (uint32_t i = 0; i < x->n; i++)
        all = all && wanted(x, i)->best;
    return all && aios__bound_reach(&x->act, x->own->reach);
}

/* Panel p, whole, for all rows: it need not be looked at again. */
static void read_panel(const aios__exec *x, const aios__panels *w, uint32_t p)
{
    uint32_t n = view(w, p, p + 1).rows;
    multiply(x, w, p, p + 1, x->own->piece, AIOS__PANEL_ROWS);
    for (uint32_t i = 0; i < x->n; i++) {
        take_best(x, i, x->own->piece + (size_t)i * AIOS__PANEL_ROWS, n, p * AIOS__PANEL_ROWS);
        x->net->work->upper[(size_t)i * w->n_panels + p] = -INFINITY;
    }
}

static bool has_ban(const aios__row *row, uint32_t p)
{
    bool any = false;
    for (uint32_t b = 0; b < count_bans(row); b++)
        any = any || (uint32_t)row->bans->ids[b] / AIOS__PANEL_ROWS == p;
    return any;
}

/*
 * Each row's panel of the highest bound is read first, and if that may be due to what is banned, the next; *least is the largest logit
 * found by all threads.
 */
static void read_highest(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1, float *least)
{
    for (uint32_t i = 0; i < x->n && p0 < p1; i++) {
        const float *upper = x->net->work->upper + (size_t)i * w->n_panels;
        uint32_t p, n = 0;
        do {
            p = p0 + x->k->argmax(upper + p0, p1 - p0);
            read_panel(x, w, p);
        } while (has_ban(wanted(x, i), p) && n++ < count_bans(wanted(x, i)));
    }
    for (uint32_t i = 0; i < x->n; i++)
        x->own->least[i] = x->own->best[i].value;
    aios__pool_barrier(x->pool, x->tid);
    for (uint32_t i = 0; i < x->n; i++) {
        least[i] = -INFINITY;
        for (uint32_t t = 0; t < x->n_threads; t++)
            least[i] = fmaxf(least[i], x->net->work->own[t].least[i]);
    }
}

static bool may_win(const aios__exec *x, uint32_t n_panels, uint32_t p, const float *least)
{
    bool any = false;
    for (uint32_t i = 0; i < x->n; i++)
        any = any || !(x->net->work->upper[(size_t)i * n_panels + p] < fmaxf(least[i], x->own->best[i].value));
    return any;
}

static void rest(aios__work *w, bool needed)
{
    uint32_t twice = w->bound_patience < REST_MAX / 2 ? 2 * w->bound_patience : REST_MAX;
    w->bound_patience = !needed ? 0 : twice ? twice : 1;
    w->bound_rest = w->bound_patience;
}

static void head_by_bounds(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1)
{
    float least[AIOS__BOUND_ROWS];
    const aios__bound b = {.w = w, .a = &x->act, .reach = x->own->reach, .upper = x->net->work->upper};
    uint32_t n_read = 0;
    x->k->bound(&b, p0, p1);
    read_highest(x, w, p0, p1, least);
    for (uint32_t p = p0; p < p1; p++) {
        if (!may_win(x, w->n_panels, p, least))
            continue;
        n_read++;
        read_panel(x, w, p);
    }
    if (!x->tid)
        rest(x->net->work, n_read > (p1 - p0) / WORTH_PART);
}

void aios__op_logits(aios__exec *x)
{
    const aios__panels *w = &x->net->w.head;
    uint32_t n_best = 0, p0, p1;
    aios__exec_split(x, w->n_panels, &p0, &p1);
    if (x->batch->hidden) {
        size_t n = x->net->hp.n_embd;
        for (uint32_t i = x->tid; i < x->n; i += x->n_threads)
            memcpy(x->batch->hidden + i * n, x->norm + i * n, n * sizeof(float));
        return;
    }
    for (uint32_t i = 0; i < x->n; i++)
        n_best += wanted(x, i)->best != NULL;
    if (!n_best) {
        uint32_t first = p0 * AIOS__PANEL_ROWS, n = view(w, p0, p1).rows;
        multiply(x, w, p0, p1, x->batch->logits + first, w->rows);
        for (uint32_t i = 0; i < x->n; i++)
            cap(x, x->batch->logits + (size_t)i * w->rows + first, n);
        return;
    }
    bool bounds = has_bounds(x, w);
    forget_best(x);
    if (bounds)
        head_by_bounds(x, w, p0, p1);
    else
        head_by_pieces(x, w, p0, p1);
    tell_best(x);
    if (!x->tid && !bounds && x->net->work->bound_rest)
        x->net->work->bound_rest--;
}

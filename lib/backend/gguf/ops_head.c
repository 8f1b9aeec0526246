/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head: logits of the rows that want them, or only the token with the largest one, for which no row of logits is written and,
 * if the matrix is split into planes, the low plane is read only where the largest may be: what is left out cannot be it. Where a grammar
 * allows few tokens, only the panels that hold one of them are read.
 */
#include <math.h>

#include "backend/gguf/work.h"

/* Where more than 1 / WORTH_PART of the panels had to be read whole, bounds rest for a pass, and each time in a row for twice as many. */
enum { WORTH_PART = 3, REST_MAX = 64 };
/* Panels read one after the other until the best of a mask is above what is left; part of the panels from which on bounds are better. */
enum { MASKED_READS = 8, BOUNDS_PART = 2 };

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

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- masks -------------------------------------------------------------------------------------------------------- */

/* Which of the tokens of panel p a row allows. */
static uint32_t allowed_in(const aios__row *row, uint32_t p)
{
    _Static_assert(AIOS__PANEL_ROWS == 16, "half a word of a mask");
    return row->allowed[p / 2] >> p % 2 * 16 & 0xffff;
}

static bool masked(const aios__exec *x)
{
    bool all = true;
    for (uint32_t i = 0; i < x->n; i++)
        all = all && wanted(x, i)->allowed;
    return all;
}

/* Some row allows a token of panel p. */
static bool touches(const aios__exec *x, uint32_t p)
{
    uint32_t any = 0;
    for (uint32_t i = 0; i < x->n; i++)
        any |= allowed_in(wanted(x, i), p);
    return any;
}

/* The panel behind `n` touched ones. */
static uint32_t skip_touched(const aios__exec *x, uint32_t n_panels, uint32_t n)
{
    uint32_t p = 0;
    while (n && p < n_panels)
        n -= touches(x, p++);
    return p;
}

/* How many panels all threads have to read; this one's are in [*p0, *p1). */
static uint32_t share_touched(const aios__exec *x, uint32_t n_panels, uint32_t *p0, uint32_t *p1)
{
    uint32_t n = 0, from, to;
    for (uint32_t p = 0; p < n_panels; p++)
        n += touches(x, p);
    aios__exec_split(x, n, &from, &to);
    *p0 = skip_touched(x, n_panels, from);
    *p1 = to == n ? n_panels : skip_touched(x, n_panels, to);
    return n;
}

/* Takes what a row does not allow out of n of its logits, from panel p on. */
static void leave_allowed(const aios__row *row, float *logits, uint32_t n, uint32_t p)
{
    for (uint32_t at = 0; at < n; at += AIOS__PANEL_ROWS, p++) {
        uint32_t bits = allowed_in(row, p), end = least(n, at + AIOS__PANEL_ROWS);
        for (uint32_t i = at; bits != 0xffff && i < end; i++)
            logits[i] = bits >> (i - at) & 1 ? logits[i] : -INFINITY;
    }
}

/* The first token of a mask: what is chosen if no logit is finite. */
static int32_t first_allowed(const aios__row *row, uint32_t n_panels)
{
    for (uint32_t p = 0; row->allowed && p < n_panels; p++)
        if (allowed_in(row, p))
            return (int32_t)(p * AIOS__PANEL_ROWS + (uint32_t)__builtin_ctz(allowed_in(row, p)));
    return 0;
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
    if (row->allowed)
        leave_allowed(row, logits, n, first / AIOS__PANEL_ROWS);
    uint32_t top = x->k->argmax(logits, n);
    if (logits[top] < INFINITY) {
        take(best, logits[top], (int32_t)(first + top));
        return;
    }
    for (uint32_t r = 0; r < n; r++)
        take(best, logits[r], (int32_t)(first + r));
}

/* Threads have the rows of the head in their order. */
static void tell_best(const aios__exec *x, uint32_t n_panels)
{
    aios__pool_barrier(x->pool, x->tid);
    for (uint32_t i = 0; !x->tid && i < x->n; i++) {
        aios__best best = {.value = -INFINITY, .id = -1};
        for (uint32_t t = 0; t < x->n_threads; t++) {
            const aios__best *b = &x->net->work->own[t].best[i];
            best = b->value > best.value ? *b : best;
        }
        if (wanted(x, i)->best)
            *wanted(x, i)->best = best.id < 0 ? first_allowed(wanted(x, i), n_panels) : best.id;
    }
}

/* ---- by pieces ----------------------------------------------------------------------------------------------------- */

/* Logits of panels [p, end), the rows' one behind the other in `piece`: out to those that want them, and into account for the largest. */
static void hand_out(const aios__exec *x, const aios__panels *w, uint32_t p, uint32_t end)
{
    uint32_t first = p * AIOS__PANEL_ROWS, n = view(w, p, end).rows, ld = (end - p) * AIOS__PANEL_ROWS;
    float *out = x->batch->logits;
    for (uint32_t i = 0; i < x->n; i++) {
        float *row = x->own->piece + (size_t)i * ld;
        cap(x, row, n);
        if (wanted(x, i)->best) {
            take_best(x, i, row, n, first);
        } else {
            memcpy(out + first, row, n * sizeof(float));
            out += w->rows;
        }
    }
}

/* Some rows want their largest, or little is allowed: pieces of logits stay in the cache. */
static void head_by_pieces(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1)
{
    uint32_t step = AIOS__HEAD_FLOATS / (x->n * AIOS__PANEL_ROWS);
    bool few = masked(x);
    for (uint32_t p = p0, end; p < p1; p = end) {
        if (few && !touches(x, p)) {
            end = p + 1;
            continue;
        }
        for (end = p + 1; end < p1 && end - p < step && (!few || touches(x, end));)
            end++;
        multiply(x, w, p, end, x->own->piece, (size_t)(end - p) * AIOS__PANEL_ROWS);
        hand_out(x, w, p, end);
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

/* Panels without a token that a row allows cannot have its largest. */
static void bound_masked(const aios__exec *x, uint32_t n_panels, uint32_t p0, uint32_t p1)
{
    for (uint32_t i = 0; i < x->n; i++) {
        float *upper = x->net->work->upper + (size_t)i * n_panels;
        for (uint32_t p = p0; wanted(x, i)->allowed && p < p1; p++)
            upper[p] = allowed_in(wanted(x, i), p) ? upper[p] : -INFINITY;
    }
}

/*
 * Each row's panel of the highest bound is read first, and if that may be due to what is banned or not allowed, the next; *least is the
 * largest logit found by all threads.
 */
static void read_highest(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1, float *found)
{
    for (uint32_t i = 0; i < x->n && p0 < p1; i++) {
        const float *upper = x->net->work->upper + (size_t)i * w->n_panels;
        uint32_t p, n = 0, n_max = count_bans(wanted(x, i)) + (wanted(x, i)->allowed ? MASKED_READS : 0);
        do {
            p = p0 + x->k->argmax(upper + p0, p1 - p0);
            if (upper[p] < x->own->best[i].value)
                break;
            read_panel(x, w, p);
        } while ((has_ban(wanted(x, i), p) || wanted(x, i)->allowed) && n++ < n_max);
    }
    for (uint32_t i = 0; i < x->n; i++)
        x->own->least[i] = x->own->best[i].value;
    aios__pool_barrier(x->pool, x->tid);
    for (uint32_t i = 0; i < x->n; i++) {
        found[i] = -INFINITY;
        for (uint32_t t = 0; t < x->n_threads; t++)
            found[i] = fmaxf(found[i], x->net->work->own[t].least[i]);
    }
}

static bool may_win(const aios__exec *x, uint32_t n_panels, uint32_t p, const float *found)
{
    bool any = false;
    for (uint32_t i = 0; i < x->n; i++)
        any = any || !(x->net->work->upper[(size_t)i * n_panels + p] < fmaxf(found[i], x->own->best[i].value));
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
    float found[AIOS__BOUND_ROWS];
    const aios__bound b = {.w = w, .a = &x->act, .reach = x->own->reach, .upper = x->net->work->upper};
    uint32_t n_read = 0;
    x->k->bound(&b, p0, p1);
    bound_masked(x, w->n_panels, p0, p1);
    read_highest(x, w, p0, p1, found);
    for (uint32_t p = p0; p < p1; p++) {
        if (!may_win(x, w->n_panels, p, found))
            continue;
        n_read++;
        read_panel(x, w, p);
    }
    if (!x->tid)
        rest(x->net->work, n_read > (p1 - p0) / WORTH_PART);
}

static void copy_hidden(const aios__exec *x)
{
    size_t n = x->net->hp.n_embd;
    for (uint32_t i = x->tid; i < x->n; i += x->n_threads)
        memcpy(x->batch->hidden + i * n, x->norm + i * n, n * sizeof(float));
}

/* All logits of all rows. */
static void head_whole(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1)
{
    uint32_t first = p0 * AIOS__PANEL_ROWS, n = view(w, p0, p1).rows;
    multiply(x, w, p0, p1, x->batch->logits + first, w->rows);
    for (uint32_t i = 0; i < x->n; i++)
        cap(x, x->batch->logits + (size_t)i * w->rows + first, n);
}

void aios__op_logits(aios__exec *x)
{
    const aios__panels *w = &x->net->w.head;
    uint32_t n_best = 0, p0, p1, n_touched = w->n_panels;
    if (x->batch->hidden) {
        copy_hidden(x);
        return;
    }
    for (uint32_t i = 0; i < x->n; i++)
        n_best += wanted(x, i)->best != NULL;
    aios__exec_split(x, w->n_panels, &p0, &p1);
    if (masked(x))
        n_touched = share_touched(x, w->n_panels, &p0, &p1);
    if (!n_best && n_touched == w->n_panels) {
        head_whole(x, w, p0, p1);
        return;
    }
    bool many = n_touched > w->n_panels / BOUNDS_PART, bounds = many && has_bounds(x, w);
    forget_best(x);
    if (bounds)
        head_by_bounds(x, w, p0, p1);
    else
        head_by_pieces(x, w, p0, p1);
    tell_best(x, w->n_panels);
    if (!x->tid && many && !bounds && x->net->work->bound_rest)
        x->net->work->bound_rest--;
}

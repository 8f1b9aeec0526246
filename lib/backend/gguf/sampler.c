/* SPDX-License-Identifier: Apache-2.0 */
/* From logits to a token: penalties, top-k, temperature, top-p, min-p, draw. Nothing sorts the whole vocabulary. */
#include "backend/gguf/sampler.h"

#include <math.h>

typedef aios__candidate candidate;

struct aios__sampler {
    aios__heap *heap;
    const aios__kernels *k;
    aios_sampling p;
    uint32_t n_vocab;
    uint64_t rng[4];
    int32_t *window; /* ring of the last penalty_last_n tokens */
    uint32_t n_window, at_window;
    candidate *cand; /* lent for one pick */
};

#define MAX_WINDOW (1u << 20)

/* ---- random numbers: xoshiro256**, seeded by splitmix64 ----------------------------------------------------------- */

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t random_bits(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* In [0, 1). */
static double random_unit(uint64_t s[4])
{
    return (double)(random_bits(s) >> 11) * 0x1p-53;
}

static int seed(aios__sampler *s, aios_ctx *ctx, aios_error *err)
{
    uint64_t x = s->p.seed;
    const aios_env *env = aios__ctx_env(ctx);
    if (!x) {
        int32_t sys = 0;
        if (env->random(env->user, &x, sizeof x, &sys))
            return aios__fail_sys(err, AIOS_EIO, sys, "the system gave no random seed: set sampling.seed (the command: --seed)");
    }
    for (size_t i = 0; i < 4; i++)
        s->rng[i] = splitmix(&x);
    return AIOS_OK;
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

static int check_params(const aios_sampling *p, aios_error *err)
{
    const struct {
        const char *name;
        float v, lo, hi;
    } rows[] = {
        {"temperature", p->temperature, 0, 100},
        {"top_p", p->top_p, 0, HUGE_VALF},
        {"min_p", p->min_p, 0, 1},
        {"repeat_penalty", p->repeat_penalty, 0, 100},
        {"frequency_penalty", p->frequency_penalty, -100, 100},
        {"presence_penalty", p->presence_penalty, -100, 100},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!(rows[i].v >= rows[i].lo && rows[i].v <= rows[i].hi))
            return aios__fail(err, AIOS_EINVAL, "sampling.%s is %g: it must be from %g to %g", rows[i].name, (double)rows[i].v,
                              (double)rows[i].lo, (double)rows[i].hi);
    if (p->penalty_last_n > MAX_WINDOW)
        return aios__fail(err, AIOS_EINVAL, "sampling.penalty_last_n is %u: it must be from 0 to %u", p->penalty_last_n, MAX_WINDOW);
    return AIOS_OK;
}

static bool has_penalties(const aios_sampling *p)
{
    return (p->repeat_penalty != 0 && p->repeat_penalty != 1) || p->frequency_penalty != 0 || p->presence_penalty != 0;
}

static int init(aios__sampler *s, aios_ctx *ctx, aios_error *err)
{
    if (!s->p.penalty_last_n)
        s->p.penalty_last_n = 64;
    if (s->p.repeat_penalty == 0)
        s->p.repeat_penalty = 1;
    if (has_penalties(&s->p)) {
        s->window = aios__alloc_array(s->heap, AIOS_MEM_SCRATCH, s->p.penalty_last_n, sizeof *s->window, err);
        if (!s->window)
            return err ? err->code : AIOS_ENOMEM;
    }
    return s->p.temperature > 0 ? seed(s, ctx, err) : AIOS_OK;
}

int aios__sampler_new(aios_ctx *ctx, const aios_sampling *p, uint32_t n_vocab, aios__sampler **out, aios_error *err)
{
    aios_sampling sp = AIOS_INIT(aios_sampling);
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    *out = NULL;
    int rc = aios__struct_in(&sp, sizeof sp, p, err);
    if (!rc)
        rc = check_params(&sp, err);
    if (!rc && (!n_vocab || n_vocab > INT32_MAX))
        rc = aios__fail(err, AIOS_EINVAL, "a vocabulary of %u tokens cannot be sampled from", n_vocab);
    const aios__kernels *k = rc ? NULL : aios__ctx_kernels(ctx, err);
    if (!k)
        return rc ? rc : err->code;
    aios__sampler *s = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_SCRATCH, sizeof *s, err);
    if (!s)
        return err->code;
    s->heap = aios__ctx_heap(ctx);
    s->k = k;
    s->p = sp;
    s->n_vocab = n_vocab;
    rc = init(s, ctx, err);
    if (rc) {
        aios__sampler_free(s);
        return rc;
    }
    *out = s;
    return AIOS_OK;
}

void aios__sampler_free(aios__sampler *s)
{
    if (!s)
        return;
    aios__free(s->heap, s->window);
    aios__free(s->heap, s);
}

/* ---- penalties -------------------------------------------------------------------------------------------------- */

void aios__sampler_see(aios__sampler *s, int32_t id)
{
    if (!s->window || id < 0 || (uint32_t)id >= s->n_vocab)
        return;
    s->window[s->at_window] = id;
    s->at_window = (s->at_window + 1) % s->p.penalty_last_n;
    s->n_window += s->n_window < s->p.penalty_last_n;
}

void aios__sampler_forget(aios__sampler *s, uint32_t n)
{
    bool full = s->n_window == s->p.penalty_last_n;
    for (; s->n_window && n; n--) {
        s->at_window = (s->at_window + s->p.penalty_last_n - 1) % s->p.penalty_last_n;
        s->window[s->at_window] = -1;
        s->n_window -= !full;
    }
}

static uint32_t occurrences(const aios__sampler *s, uint32_t i)
{
    uint32_t n = 0;
    for (uint32_t k = i; k < s->n_window; k++)
        n += s->window[k] == s->window[i];
    return n;
}

static bool seen_before(const aios__sampler *s, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (s->window[k] == s->window[i])
            return true;
    return false;
}

static bool allowed(const uint32_t *bits, uint32_t i)
{
    return !bits || (bits[i / 32] >> i % 32 & 1);
}

/* As llama.cpp: a positive logit is divided, a negative one multiplied; then the two additive ones. */
static void penalize(const aios__sampler *s, float *logits, const uint32_t *bits)
{
    for (uint32_t i = 0; i < s->n_window; i++) {
        if (s->window[i] < 0 || seen_before(s, i) || !allowed(bits, (uint32_t)s->window[i]))
            continue;
        float *l = &logits[s->window[i]];
        *l = *l <= 0 ? *l * s->p.repeat_penalty : *l / s->p.repeat_penalty;
        *l -= (float)occurrences(s, i) * s->p.frequency_penalty + s->p.presence_penalty;
    }
}

/* ---- candidates ------------------------------------------------------------------------------------------------- */

int32_t aios__largest_logit(const aios__kernels *k, const float *logits, uint32_t n)
{
    uint32_t top = k->argmax(logits, n);
    return isfinite(logits[top]) ? (int32_t)top : -1;
}

static int pick_greedy(const aios__sampler *s, const float *logits, const uint32_t *bits, int32_t *id, aios_error *err)
{
    int32_t best = -1, any = -1;
    if (!bits && (*id = aios__largest_logit(s->k, logits, s->n_vocab)) >= 0)
        return AIOS_OK;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (bits && !(bits[i / 32] >> i % 32)) {
            i |= 31; /* none of the rest of this word */
            continue;
        }
        if (!allowed(bits, i))
            continue;
        any = any < 0 ? (int32_t)i : any;
        if (isfinite(logits[i]) && (best < 0 || logits[i] > logits[best]))
            best = (int32_t)i;
    }
    *id = best >= 0 ? best : any; /* no finite logit: still a token that is allowed */
    return any >= 0 ? AIOS_OK : aios__fail(err, AIOS_EINTERNAL, "no token is allowed to come next");
}

/* Order of candidates: larger logit first, then smaller id, so that equal ones have one order too. */
static bool before(const candidate *a, const candidate *b)
{
    return a->logit != b->logit ? a->logit > b->logit : a->id < b->id;
}

static void swap(candidate *a, candidate *b)
{
    candidate t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(candidate *c, size_t i, size_t n)
{
    for (size_t k; (k = 2 * i + 1) < n; i = k) { /* the last in order at the top */
        if (k + 1 < n && before(&c[k], &c[k + 1]))
            k++;
        if (!before(&c[i], &c[k]))
            return;
        swap(&c[i], &c[k]);
    }
}

/* The first k of n in order, sorted, at the front: a heap of k holds them while the rest passes by. */
static void select_first(candidate *c, size_t n, size_t k)
{
    if (k > n)
        k = n;
    for (size_t i = k / 2; i--;)
        sift_down(c, i, k);
    for (size_t i = k; i < n && k; i++)
        if (before(&c[i], &c[0])) {
            swap(&c[0], &c[i]);
            sift_down(c, 0, k);
        }
    for (size_t m = k; m > 1; m--) {
        swap(&c[0], &c[m - 1]);
        sift_down(c, 0, m - 1);
    }
}

static size_t gather(aios__sampler *s, const float *logits, const uint32_t *bits)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (bits && !(bits[i / 32] >> i % 32))
            i |= 31; /* none of the rest of this word */
        else if (allowed(bits, i) && isfinite(logits[i]))
            s->cand[n++] = (candidate){logits[i], 0, (int32_t)i};
    }
    return n;
}

/* Unnormalized: the best has 1. Returns the sum. */
static double soften(aios__sampler *s, size_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        max = s->cand[i].logit > max ? s->cand[i].logit : max;
    for (size_t i = 0; i < n; i++) {
        s->cand[i].p = expf((s->cand[i].logit - max) / s->p.temperature);
        sum += (double)s->cand[i].p;
    }
    return sum;
}

/* Shortest run of best candidates with at least top_p of the sum; grows the sorted front until it is reached. */
static size_t cut_top_p(aios__sampler *s, size_t n, double sum, bool sorted)
{
    double need = (double)s->p.top_p * sum;
    for (size_t k = sorted ? n : 64;; k *= 4) {
        double have = 0;
        k = k < n ? k : n;
        if (!sorted)
            select_first(s->cand, n, k);
        for (size_t i = 0; i < k; i++) {
            have += (double)s->cand[i].p;
            if (have >= need)
                return i + 1;
        }
        if (k == n)
            return n;
    }
}

static size_t cut_min_p(aios__sampler *s, size_t n)
{
    float best = 0;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        best = s->cand[i].p > best ? s->cand[i].p : best;
    for (size_t i = 0; i < n; i++)
        if (s->cand[i].p >= s->p.min_p * best)
            s->cand[kept++] = s->cand[i];
    return kept;
}

static int32_t draw(aios__sampler *s, size_t n)
{
    double sum = 0, at;
    for (size_t i = 0; i < n; i++)
        sum += (double)s->cand[i].p;
    at = random_unit(s->rng) * sum;
    for (size_t i = 0; i < n; i++) {
        at -= (double)s->cand[i].p;
        if (at < 0 && s->cand[i].p > 0)
            return s->cand[i].id;
    }
    size_t last = n - 1; /* rounding left a rest */
    while (last && s->cand[last].p <= 0)
        last--;
    return s->cand[last].id;
}

bool aios__sampler_draws(const aios__sampler *s)
{
    return s->p.temperature > 0;
}

bool aios__sampler_is_plain(const aios__sampler *s)
{
    return !aios__sampler_draws(s) && !has_penalties(&s->p);
}

int aios__sampler_pick(aios__sampler *s, float *logits, const uint32_t *bits, aios__candidate *room, int32_t *id, aios_error *err)
{
    s->cand = room;
    penalize(s, logits, bits);
    if (s->p.temperature == 0)
        return pick_greedy(s, logits, bits, id, err);
    size_t n = gather(s, logits, bits);
    if (!n)
        return pick_greedy(s, logits, bits, id, err);
    bool cut = s->p.top_k && s->p.top_k < n;
    if (cut) {
        select_first(s->cand, n, s->p.top_k);
        n = s->p.top_k;
    }
    double sum = soften(s, n);
    if (s->p.top_p > 0 && s->p.top_p < 1)
        n = cut_top_p(s, n, sum, cut);
    if (s->p.min_p > 0)
        n = cut_min_p(s, n);
    *id = draw(s, n);
    return AIOS_OK;
}

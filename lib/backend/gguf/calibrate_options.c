/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates of a choice as a trie of tokens, and their log-probabilities by one pass over forks of a cache. */
#include <math.h>

#include "backend/gguf/calibrate.h"

enum { MAX_WANTS = 32 }; /* rows of logits of a pass */

void aios__options_free(aios__options *o)
{
    aios__ids_free(&o->ids);
}

static const int32_t *tokens(const aios__options *o, uint32_t i)
{
    return o->ids.p + o->at[i];
}

static uint32_t common(const int32_t *a, uint32_t n_a, const int32_t *b, uint32_t n_b)
{
    uint32_t i = 0;
    while (i < n_a && i < n_b && a[i] == b[i])
        i++;
    return i;
}

/* All begin alike up to n_common; behind that each is cut where no other goes the same way. */
static void cut(aios__options *o, uint32_t *all)
{
    o->n_common = all[0];
    for (uint32_t i = 1; i < o->n; i++) {
        uint32_t k = common(tokens(o, 0), all[0], tokens(o, i), all[i]);
        o->n_common = k < o->n_common ? k : o->n_common;
    }
    for (uint32_t i = 0; i < o->n; i++) {
        uint32_t most = o->n_common;
        bool same = all[i] == o->n_common;
        for (uint32_t j = 0; j < o->n && !same; j++) {
            uint32_t k = j == i ? 0 : common(tokens(o, i), all[i], tokens(o, j), all[j]);
            same = j != i && k == all[i];
            most = k > most ? k : most;
        }
        if (same) { /* the end of this one is not among its tokens */
            o->n = 0;
            return;
        }
        o->len[i] = most + 1 - o->n_common;
    }
    for (uint32_t i = 0; i < o->n; i++)
        o->at[i] += o->n_common;
}

int aios__options_make(const aios__vocab *v, const aios__buf *forced, const aios__literals *l, aios__options *o, aios_error *err)
{
    uint32_t all[AIOS__OPTIONS_MAX];
    aios__buf text;
    aios__buf_init(&text, forced->heap, AIOS_MEM_SCRATCH, 0);
    o->ids.heap = forced->heap;
    o->ids.n = 0;
    o->n = l->n <= AIOS__OPTIONS_MAX ? l->n : 0;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < o->n && !rc; i++) {
        size_t n;
        bool goes_on;
        const char *p = aios__literal_at(l, i, &n, &goes_on);
        aios__buf_clear(&text);
        rc = forced->n ? aios__buf_add(&text, forced->p, forced->n, err) : AIOS_OK;
        rc = rc ? rc : aios__buf_add(&text, p, n, err);
        o->at[i] = o->ids.n;
        o->score[i] = 0;
        rc = rc ? rc : aios__vocab_encode(v, text.p, text.n, 0, &o->ids, err);
        all[i] = o->ids.n - o->at[i];
    }
    aios__buf_free(&text);
    if (!rc && o->n)
        cut(o, all);
    return rc;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------- */

/* Candidate j stands below the node that i reaches with its first d tokens. */
static bool below(const aios__options *o, uint32_t i, uint32_t d, uint32_t j)
{
    return o->len[j] > d && !memcmp(tokens(o, i), tokens(o, j), d * sizeof(int32_t));
}

/* j is the first below that node with its token there. */
static bool is_first(const aios__options *o, uint32_t i, uint32_t d, uint32_t j)
{
    for (uint32_t k = 0; k < j; k++)
        if (below(o, i, d, k) && tokens(o, k)[d] == tokens(o, j)[d])
            return false;
    return true;
}

/* Where candidates part, each gets the log-probability of its token among theirs. */
static void add_node(aios__options *o, uint32_t i, uint32_t d, const float *logits)
{
    double max = -INFINITY, sum = 0;
    for (uint32_t j = 0; j < o->n; j++)
        if (below(o, i, d, j) && (double)logits[tokens(o, j)[d]] > max)
            max = (double)logits[tokens(o, j)[d]];
    for (uint32_t j = 0; j < o->n; j++)
        if (below(o, i, d, j) && is_first(o, i, d, j))
            sum += exp((double)logits[tokens(o, j)[d]] - max);
    for (uint32_t j = 0; j < o->n; j++)
        if (below(o, i, d, j))
            o->score[j] += (double)logits[tokens(o, j)[d]] - max - log(sum);
}

static bool parts(const aios__options *o, uint32_t i, uint32_t d)
{
    for (uint32_t j = 0; j < o->n; j++)
        if (below(o, i, d, j) && tokens(o, j)[d] != tokens(o, i)[d])
            return true;
    return false;
}

void aios__options_root(aios__options *o, const float *logits)
{
    add_node(o, 0, 0, logits);
}

/* ---- a pass over forks ------------------------------------------------------------------------------------------------ */

/* The path to i's last node is a new one: no other candidate's leads over it or ends there too. */
static bool is_longest(const aios__options *o, uint32_t i)
{
    uint32_t d = o->len[i] - 1;
    for (uint32_t j = 0; j < o->n && d; j++)
        if (j != i && below(o, i, d, j) && (o->len[j] - 1 > d || j < i))
            return false;
    return d > 0;
}

/* The node that i reaches with d tokens is read on another, earlier path. */
static bool is_read(const aios__options *o, uint32_t i, uint32_t d)
{
    for (uint32_t j = 0; j < i; j++)
        if (below(o, i, d, j) && is_longest(o, j))
            return true;
    return false;
}

typedef struct pass {
    aios__kv *kv[AIOS__CHUNK];
    uint32_t n_kv;
    aios__row rows[AIOS__CHUNK];
    uint32_t n_rows, n_wants;
    struct {
        uint32_t option, depth;
    } want[MAX_WANTS];
    uint32_t *allowed; /* tokens of candidates */
    float *logits;
} pass;

static int add_path(pass *p, const aios__options *o, uint32_t i, aios__kv *kv, aios_error *err)
{
    uint32_t n = o->len[i] - 1;
    aios__kv *fork;
    int rc = aios__kv_fork(kv, &fork, err);
    if (rc)
        return rc;
    fork->unshared = true;
    p->kv[p->n_kv++] = fork;
    rc = aios__kv_reserve(fork, n, err);
    for (uint32_t d = 0; !rc && d < n; d++) {
        aios__row *row = &p->rows[p->n_rows++];
        *aios__kv_id(fork, fork->n + d) = tokens(o, i)[d];
        *row = (aios__row){.kv = fork, .pos = fork->n + d, .id = tokens(o, i)[d], .allowed = p->allowed};
        row->want = parts(o, i, d + 1) && !is_read(o, i, d + 1);
        if (row->want) {
            p->want[p->n_wants].option = i;
            p->want[p->n_wants++].depth = d + 1;
        }
    }
    return rc;
}

static int run(pass *p, aios__options *o, aios__net *net, aios_error *err)
{
    int rc = p->n_rows ? aios__net_eval(net, p->rows, p->n_rows, p->logits, NULL, err) : AIOS_OK;
    for (uint32_t w = 0; !rc && w < p->n_wants; w++)
        add_node(o, p->want[w].option, p->want[w].depth, p->logits + (size_t)w * net->hp.n_vocab);
    while (p->n_kv)
        aios__kv_free(p->kv[--p->n_kv]);
    p->n_rows = p->n_wants = 0;
    return rc;
}

static int score(pass *p, aios__options *o, aios__kv *kv, aios_error *err)
{
    aios__net *net = kv->net;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < o->n; i++)
        for (uint32_t d = 0; d < o->len[i]; d++)
            p->allowed[(uint32_t)tokens(o, i)[d] / 32] |= 1u << ((uint32_t)tokens(o, i)[d] % 32);
    for (uint32_t i = 0; i < o->n && !rc; i++) {
        uint32_t n = o->len[i] - 1;
        if (!is_longest(o, i))
            continue;
        if (n > MAX_WANTS)
            return aios__fail_need(err, AIOS_ELIMIT, MAX_WANTS, n, "names of tools that differ only behind %u tokens", n);
        if (p->n_rows + n > AIOS__CHUNK || p->n_wants + n > MAX_WANTS)
            rc = run(p, o, net, err);
        rc = rc ? rc : add_path(p, o, i, kv, err);
    }
    int last = run(p, o, net, err);
    return rc ? rc : last;
}

int aios__options_score(aios__options *o, aios__kv *kv, aios_error *err)
{
    aios__net *net = kv->net;
    aios__heap *h = net->heap;
    uint32_t n_wants = 0;
    for (uint32_t i = 0; i < o->n; i++)
        n_wants += is_longest(o, i) ? o->len[i] - 1 : 0;
    if (!n_wants)
        return AIOS_OK;
    n_wants = n_wants < MAX_WANTS ? n_wants : MAX_WANTS;
    pass *p = aios__alloc(h, AIOS_MEM_SCRATCH, sizeof *p, err);
    if (!p)
        return aios__no_memory(err);
    p->allowed = aios__alloc_array(h, AIOS_MEM_SCRATCH, net->hp.n_vocab / 32 + 1, sizeof *p->allowed, err);
    p->logits = p->allowed ? aios__alloc_array(h, AIOS_MEM_SCRATCH, (size_t)n_wants * net->hp.n_vocab, sizeof *p->logits, err) : NULL;
    int rc = p->logits ? score(p, o, kv, err) : aios__no_memory(err);
    aios__free(h, p->logits);
    aios__free(h, p->allowed);
    aios__free(h, p);
    return rc;
}

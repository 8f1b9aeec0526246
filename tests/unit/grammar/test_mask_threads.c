/* SPDX-License-Identifier: Apache-2.0 */
/* Masks of many walks of one grammar at once: they share its automata and the vocabulary. */
#include "shared_ctx.h"

#include <pthread.h>

#include "grammar/grammar_mask.h"

enum { N_VOCAB = 256 + 26 * 26, THREADS = 3, RUNS = 10, STEPS = 30 };

/* The bytes, and pairs of letters. */
static const char *piece(void *user, int32_t id, size_t *n)
{
    char *s = (char *)user + 2 * (size_t)id;
    *n = id < 256 ? 1 : 2;
    return s;
}

typedef struct walker {
    aios_grammar *g;
    const aios__trie *t;
    char *pieces;
    uint32_t sum;
} walker;

static void *walk_along(void *user)
{
    walker *x = user;
    aios_error err = AIOS_INIT(aios_error);
    for (uint32_t run = 0, seed = 5; run < RUNS; run++) {
        uint32_t bits[(N_VOCAB + 31) / 32], n;
        int32_t only;
        size_t len;
        aios_walk *w;
        if (aios_walk_new(x->g, &w, &err))
            return NULL;
        for (int step = 0; step < STEPS && !aios__walk_mask(w, x->t, bits, &n, &only, &err) && n; step++) {
            x->sum += n;
            seed = seed * 1664525u + 1013904223u;
            uint32_t id = (seed >> 8) % N_VOCAB;
            while (!(bits[id / 32] >> id % 32 & 1))
                id = (id + 1) % N_VOCAB;
            const char *s = piece(x->pieces, (int32_t)id, &len);
            if (aios_walk_accept(w, s, len, &err))
                x->sum = 0;
        }
        aios_walk_free(w);
    }
    return NULL;
}

static void walks_of_one_grammar_run_side_by_side(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    static char pieces[2 * N_VOCAB];
    aios__trie *t;
    aios_grammar *g;
    const char *schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"^(ab|c.)*[0-9]$\"},\"b\":{\"type\":\"number\"}},\"required\":[\"a\"]}";
    for (uint32_t id = 0; id < N_VOCAB; id++) {
        pieces[2 * id] = (char)(id < 256 ? id : 'a' + (id - 256) / 26);
        pieces[2 * id + 1] = (char)(id < 256 ? 0 : 'a' + (id - 256) % 26);
    }
    assert_int_equal(aios__trie_new(ctx, N_VOCAB, piece, pieces, &t, &err), 0);
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, &err), 0);
    walker all[THREADS + 1];
    pthread_t id[THREADS];
    for (int i = 0; i <= THREADS; i++)
        all[i] = (walker){g, t, pieces, 0};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&id[i], NULL, walk_along, &all[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(id[i], NULL);
    walk_along(&all[THREADS]);
    assert_true(all[THREADS].sum > 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(all[i].sum, all[THREADS].sum);
    aios_grammar_free(g);
    aios__trie_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(walks_of_one_grammar_run_side_by_side)};
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}

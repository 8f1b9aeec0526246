/* SPDX-License-Identifier: Apache-2.0 */
#include "grammar_test.h"

#include <pthread.h>

#include "grammar/grammar_cache.h"
#include "llm/grammar_calls.h"
#include "llm/llm.h"

static aios_ctx *ctx_of(test_heap *heap, uint64_t budget, uint64_t grammar_bytes)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    env.user = heap;
    env.realloc = heap_realloc;
    cfg.env = &env;
    cfg.budget = budget;
    cfg.grammar_bytes = grammar_bytes;
    if (aios_ctx_new(&cfg, &ctx, &err))
        fail_msg("%s", err.msg);
    return ctx;
}

/* The n-th of many schemas. */
static const char *nth(char text[200], int n)
{
    snprintf(text, 200, "{\"type\":\"object\",\"properties\":{\"p%d\":{\"type\":\"string\",\"pattern\":\"^[a-z]{1,%d}$\"}},\"required\":[\"p%d\"]}", n, n + 1, n);
    return text;
}

static uint64_t used(aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return u.used;
}

/* What a grammar says that it takes is what it was given, but for what the heap adds to each piece. */
static void the_size_of_a_grammar_is_all_of_it(void **state)
{
    (void)state;
    static const char *const schemas[] = {"{\"type\":\"integer\",\"not\":{\"enum\":[", "{\"items\":{\"type\":\"number\",\"not\":{\"enum\":["};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(schemas); i++) {
        test_heap heap = {0};
        aios_ctx *ctx = ctx_of(&heap, 0, 0);
        char text[4000];
        size_t n = (size_t)sprintf(text, "%s0", schemas[i]);
        for (int k = 1; k < 400; k++)
            n += (size_t)sprintf(text + n, ",%d", 3 * k);
        strcpy(text + n, i ? "]}}}" : "]}}");
        aios_grammar_free(compiled(ctx, AIOS_GRAMMAR_REGEX, "a")); /* the cache is there from here on */
        uint64_t before = used(ctx);
        aios_grammar *g = compiled(ctx, i ? AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_COMPLETE : AIOS_GRAMMAR_SCHEMA, text);
        uint64_t took = used(ctx) - before, says = aios__grammar_size(g);
        if (says + n + 1500 < took)
            fail_msg("%s...: %llu of %llu bytes", schemas[i], (unsigned long long)says, (unsigned long long)took);
        aios_grammar_free(g);
        aios_ctx_free(ctx);
    }
}

static void equal_texts_of_one_kind_are_compiled_once(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, 0);
    aios_grammar *a = compiled(ctx, AIOS_GRAMMAR_REGEX, "a+"), *b = compiled(ctx, AIOS_GRAMMAR_REGEX, "a+");
    aios_grammar *c = compiled(ctx, AIOS_GRAMMAR_REGEX, "a*"), *d = compiled(ctx, AIOS_GRAMMAR_SCHEMA, "true");
    aios_grammar *e = compiled(ctx, AIOS_GRAMMAR_REGEX, "true");
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(d, e);
    aios_grammar_free(a);
    aios_grammar_free(b);
    a = compiled(ctx, AIOS_GRAMMAR_REGEX, "a+"); /* also when nobody held it meanwhile */
    assert_ptr_equal(a, b);
    long before = heap.n_allocs;
    aios_grammar_free(compiled(ctx, AIOS_GRAMMAR_REGEX, "a+"));
    assert_int_equal(heap.n_allocs, before);
    aios_grammar_free(a);
    aios_grammar_free(c);
    aios_grammar_free(d);
    aios_grammar_free(e);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void a_grammar_outlives_the_context_and_walks_outlive_the_grammar(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, 0);
    aios_walk *w = NULL;
    aios_grammar *g = compiled(ctx, AIOS_GRAMMAR_REGEX, "a+");
    aios_ctx_free(ctx);
    assert_int_equal(aios_walk_new(g, &w, NULL), 0);
    aios_grammar_free(g);
    assert_int_equal(aios_walk_accept(w, "aa", 2, NULL), 0);
    aios_walk_free(w);
    assert_int_equal(heap.live, 0);
}

static void many_texts_do_not_grow_memory(void **state)
{
    (void)state;
    enum { CAP = 1 << 20 };
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, CAP);
    char text[200];
    aios_grammar *held = compiled(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, 0));
    uint64_t before = used(ctx);
    for (int i = 1; i < 10000; i++) {
        aios_grammar_free(compiled(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, i)));
        if (used(ctx) > before + CAP + 65536)
            fail_msg("%llu bytes after %d schemas", (unsigned long long)used(ctx), i);
    }
    assert_true(used(ctx) > before + CAP / 2); /* it is used, too */
    aios_grammar *again = compiled(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, 0)), *last = compiled(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, 9999));
    assert_ptr_equal(again, held); /* what somebody holds is not given up */
    long allocs = heap.n_allocs;
    aios_grammar_free(compiled(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, 9990))); /* among the last ones */
    assert_int_equal(heap.n_allocs, allocs);
    aios_grammar_free(compiled(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, 1)));
    assert_true(heap.n_allocs > allocs);
    aios_grammar_free(again);
    aios_grammar_free(last);
    aios_grammar_free(held);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void what_is_kept_gives_way_before_the_budget_refuses(void **state)
{
    (void)state;
    enum { BUDGET = 8 << 20 };
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, BUDGET, 0);
    char text[200];
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    for (int i = 0; i < 2000; i++)
        aios_grammar_free(compiled(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, i)));
    aios_ctx_usage(ctx, &u);
    assert_int_equal(u.refused, 0);
    assert_true(u.used > BUDGET / 2);
    aios_error err = AIOS_INIT(aios_error);
    void *p = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, BUDGET - (1 << 20), &err);
    assert_non_null(p);
    aios__free(aios__ctx_heap(ctx), p);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void nothing_is_kept_where_the_host_says_so(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, 1);
    aios_grammar *a = compiled(ctx, AIOS_GRAMMAR_REGEX, "a+"), *b = compiled(ctx, AIOS_GRAMMAR_REGEX, "a+");
    assert_ptr_not_equal(a, b);
    aios_grammar_free(a);
    aios_grammar_free(b);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

/* An automaton has a cap on its states: a grammar that has used up half of them is not handed out again. */
static void a_worn_automaton_is_replaced(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, 0);
    static const char pattern[] = "[ab]*a[ab]{14}c";
    aios_grammar *a = compiled(ctx, AIOS_GRAMMAR_REGEX, pattern);
    aios_walk *w = NULL;
    uint32_t random = 1;
    assert_int_equal(aios_walk_new(a, &w, NULL), 0);
    aios_grammar *b = compiled(ctx, AIOS_GRAMMAR_REGEX, pattern);
    assert_ptr_equal(a, b);
    aios_grammar_free(b);
    for (int i = 0; i < 60000; i++) {
        random = random * 1664525 + 1013904223;
        if (aios_walk_accept(w, random >> 31 ? "a" : "b", 1, NULL))
            break;
    }
    b = compiled(ctx, AIOS_GRAMMAR_REGEX, pattern);
    assert_ptr_not_equal(a, b);
    aios_walk_free(w);
    aios_grammar_free(a);
    aios_grammar_free(b);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

/* Tools too many to be compiled at once: each is when it is chosen, in a grammar of its own. */
static void tools_are_compiled_once(void **state)
{
    (void)state;
    enum { N = 600 };
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, 0);
    static char texts[N][200], names[N][16];
    aios_tool_def tools[N];
    const aios__call_format *f = aios__call_format_named("json");
    f = f ? f : aios__call_format_at(0);
    for (int i = 0; i < N; i++) {
        tools[i] = (aios_tool_def)AIOS_INIT(aios_tool_def);
        snprintf(names[i], sizeof names[i], "tool%d", i);
        tools[i].name = names[i];
        tools[i].schema_json = nth(texts[i], i);
    }
    aios_error err = AIOS_INIT(aios_error);
    for (int n = 2; n <= N; n += N - 2) {
        aios_grammar *a = NULL, *b = NULL;
        aios_walk *w = NULL;
        char forced[200];
        for (int k = 0; k < 2; k++) {
            assert_int_equal(aios__grammar_calls(ctx, tools, sizeof *tools, (uint32_t)n, NULL, f, 1, &a, &err), 0);
            assert_int_equal(aios_walk_new(a, &w, &err), 0);
            aios_grammar_free(a);
            size_t len = aios_walk_forced(w, forced, sizeof forced);
            assert_int_equal(aios_walk_accept(w, forced, len, &err), 0);
            aios_walk_free(w);
            if (k)
                assert_ptr_equal(a, b);
            b = a;
        }
        assert_int_equal(aios__grammar_calls(ctx, tools, sizeof *tools, (uint32_t)n, NULL, f, 2, &a, &err), 0);
        assert_ptr_not_equal(a, b);
        aios_grammar_free(a);
        assert_int_equal(aios__grammar_calls(ctx, tools, sizeof *tools, (uint32_t)n - 1, NULL, f, 1, &a, &err), 0);
        assert_ptr_not_equal(a, b);
        aios_grammar_free(a);
    }
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

/* The grammar of a chosen tool keeps the one that it came from alive, also when that is given up meanwhile. */
static void a_chosen_tool_outlives_what_was_kept(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, 0);
    static char big[50000];
    aios_tool_def tools[2] = {AIOS_INIT(aios_tool_def), AIOS_INIT(aios_tool_def)};
    const aios__call_format *f = aios__call_format_named("hermes");
    f = f ? f : aios__call_format_at(0);
    snprintf(big, sizeof big, "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"description\":\"%0*d\"}", 45000, 7);
    tools[0].name = "first";
    tools[1].name = "second";
    tools[0].schema_json = tools[1].schema_json = big;
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    char forced[300];
    assert_int_equal(aios__grammar_calls(ctx, tools, sizeof *tools, 2, NULL, f, 1, &g, &err), 0);
    assert_int_equal(aios_walk_new(g, &w, &err), 0);
    aios_grammar_free(g);
    for (int i = 0; i < 6; i++) { /* opens the call, chooses the first of the tools, goes on into its arguments */
        size_t len = aios_walk_forced(w, forced, sizeof forced);
        assert_int_equal(aios_walk_accept(w, forced, len, &err), 0);
        uint8_t mask[32];
        assert_int_equal(aios_walk_next_bytes(w, mask), 0);
        for (int c = 0; c < 256; c++)
            if (mask[c / 8] >> c % 8 & 1) {
                char byte = (char)c;
                assert_int_equal(aios_walk_accept(w, &byte, 1, &err), 0);
                break;
            }
    }
    aios__reclaim(aios__ctx_heap(ctx), SIZE_MAX);
    aios_walk_free(w);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void *compile_and_walk(void *user)
{
    aios_ctx *ctx = user;
    char text[200];
    uintptr_t bad = 0;
    for (int i = 0; i < 300; i++) {
        aios_grammar *g = NULL;
        aios_walk *w = NULL;
        bad += aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, i * 7 % 40), AIOS_CSTR, &g, NULL) != 0;
        bad += aios_walk_new(g, &w, NULL) != 0;
        aios_grammar_free(g);
        bad += aios_walk_accept(w, "{\"p", 3, NULL) != 0;
        aios_walk_free(w);
    }
    return (void *)bad;
}

static void threads_share_it(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = ctx_of(&heap, 0, 200000); /* some are given up meanwhile */
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, compile_and_walk, ctx), 0);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

/* Whatever fails, a grammar is made or the failure is told; that nothing could be kept is no failure. */
static void every_failed_allocation_leaks_nothing(void **state)
{
    (void)state;
    char text[200];
    for (long at = 1;; at++) {
        test_heap heap = {0};
        aios_ctx *ctx = ctx_of(&heap, 0, 0);
        heap.fail_at = heap.n_allocs + (at + 1) / 2;
        heap.persistent = (int)(at % 2);
        for (int i = 0; i < 3; i++) {
            aios_grammar *g = NULL;
            int rc = aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, nth(text, i % 2), AIOS_CSTR, &g, NULL);
            if (rc)
                assert_int_equal(rc, AIOS_ENOMEM);
            aios_grammar_free(g);
        }
        int reached = heap.n_allocs >= heap.fail_at;
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
        if (!reached)
            break;
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_size_of_a_grammar_is_all_of_it),
        cmocka_unit_test(equal_texts_of_one_kind_are_compiled_once),
        cmocka_unit_test(a_grammar_outlives_the_context_and_walks_outlive_the_grammar),
        cmocka_unit_test(many_texts_do_not_grow_memory),
        cmocka_unit_test(what_is_kept_gives_way_before_the_budget_refuses),
        cmocka_unit_test(nothing_is_kept_where_the_host_says_so),
        cmocka_unit_test(a_worn_automaton_is_replaced),
        cmocka_unit_test(tools_are_compiled_once),
        cmocka_unit_test(a_chosen_tool_outlives_what_was_kept),
        cmocka_unit_test(threads_share_it),
        cmocka_unit_test(every_failed_allocation_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a run costs: each turn by the prices, summed, bound, and kept over its lives. */
#include "agent_test.h"

#include <math.h>

#include "llm/llm.h"

#define SCRIPT "echo:call add {\"a\":1,\"b\":2};turn;call add {\"a\":3,\"b\":4};turn;call add {\"a\":5,\"b\":6};turn;say done"

typedef struct sums {
    uint64_t cost, input, cached, output;
    uint32_t n_turns;
    int code;
    char msg[512];
    uint64_t have, need;
} sums;

/* To the end, or until n turns are over; each is priced by itself. */
static void pull_sums(aios_run *r, sums *s, uint32_t n, const aios_prices *p)
{
    const aios_event *ev;
    while (s->n_turns < n && !aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_ERROR) {
            s->code = ev->error->code;
            s->have = ev->error->have;
            s->need = ev->error->need;
            snprintf(s->msg, sizeof s->msg, "%s", ev->error->msg);
        }
        if (ev->type != AIOS_EVENT_USAGE)
            continue;
        const aios_usage *u = ev->usage;
        if (p)
            assert_true(u->cost_micros == (uint64_t)ceil((u->input - u->cached) * p->input + u->cached * p->cached + u->output * p->output));
        s->cost += u->cost_micros;
        s->input += u->input;
        s->cached += u->cached;
        s->output += u->output;
        s->n_turns++;
    }
}

static aios_prices prices_of(double input, double cached, double output)
{
    aios_prices p = AIOS_INIT(aios_prices);
    p.input = input;
    p.cached = cached;
    p.output = output;
    return p;
}

static void prices_make_costs(void **state)
{
    (void)state;
    const aios_usage u = {.struct_size = sizeof u, .input = 1000, .cached = 400, .output = 100};
    const aios_usage most = {.struct_size = sizeof most, .input = UINT32_MAX, .output = UINT32_MAX}, odd = {.struct_size = sizeof odd, .input = 1, .cached = 9};
    aios_prices p = prices_of(2, 0.5, 10), tiny = prices_of(0.15, 0, 0), large = prices_of(1e9, 1e9, 1e9), none = prices_of(0, 0, 0);
    assert_true(aios__price(&p, &u) == 600 * 2 + 200 + 1000);
    assert_true(aios__price(&tiny, &odd) == 0); /* what was cached is no more than all */
    tiny.cached = 0.15;
    assert_true(aios__price(&tiny, &odd) == 1); /* rounded up */
    assert_true(aios__price(&large, &most) == 8589934590000000000u);
    assert_true(aios__price(&none, &most) == 0);
}

static void a_price_that_is_none_is_refused(void **state)
{
    (void)state;
    static const double wrong[] = {-0.1, 1e10, NAN, INFINITY};
    world w;
    aios_error err = AIOS_INIT(aios_error);
    world_open(&w, NULL, SCRIPT);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int k = 0; k < 3; k++) {
            aios_prices p = prices_of(k == 0 ? wrong[i] : 1, k == 1 ? wrong[i] : 1, k == 2 ? wrong[i] : 1);
            w.cfg.prices = &p;
            assert_int_equal(aios_agent_new(w.ctx, &w.cfg, &w.agent, &err), AIOS_EINVAL);
            assert_non_null(strstr(err.msg, k == 0 ? "prices.input" : k == 1 ? "prices.cached" : "prices.output"));
        }
    world_close(&w);
}

static void a_run_ends_before_the_turn_that_it_cannot_pay(void **state)
{
    (void)state;
    aios_prices p = prices_of(3, 0.3, 15);
    uint64_t first = 0, all = 0;
    for (int k = 0; k < 4; k++) { /* no bound; what the first turn costs; a millionth more; what all cost */
        const uint64_t bounds[] = {0, first, first + 1, all + 1};
        const uint32_t turns[] = {4, 1, 2, 4};
        world w;
        sums one = {0}, rest = {0};
        world_open(&w, NULL, SCRIPT);
        w.cfg.prices = &p;
        w.limits.max_cost = bounds[k];
        world_agent(&w);
        aios_run *r = world_start(&w, NULL, "go");
        pull_sums(r, &one, 1, &p);
        pull_sums(r, &rest, UINT32_MAX, &p);
        assert_int_equal(one.n_turns + rest.n_turns, turns[k]);
        assert_int_equal(rest.code, turns[k] < 4 ? AIOS_ELIMIT : 0);
        if (turns[k] < 4) {
            assert_non_null(strstr(rest.msg, "max_cost"));
            assert_true(rest.have == bounds[k] && rest.need > one.cost + rest.cost);
        }
        if (!k) {
            first = one.cost;
            all = one.cost + rest.cost;
            assert_true(first > 0 && all > first);
        }
        check_whole(aios_run_transcript(r));
        aios_run_free(r);
        world_close(&w);
    }
}

static void costs_are_kept_over_the_lives_of_a_run(void **state)
{
    (void)state;
    aios_prices p = prices_of(3, 0.3, 15);
    world w;
    sums before = {0}, after = {0}, third = {0};
    aios_store *st = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r = NULL;
    world_open(&w, NULL, SCRIPT);
    must(aios_store_open(w.ctx, "memory:ledger", NULL, &st, &err), &err);
    w.cfg.store = st;
    w.cfg.prices = &p;
    world_agent(&w);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "paid";
    must(aios_run_start_with(w.agent, &o, &r, &err), &err);
    pull_sums(r, &before, 2, &p);
    const aios_event *ev;
    while (!aios_run_next(r, -1, &ev) && ev->type != AIOS_EVENT_RESULT)
        ;
    aios_run_free(r);
    must(aios_run_info_get(w.ctx, st, "paid", &info, &err), &err);
    assert_int_equal(info.n_turns, 2);
    assert_true(info.cost_micros == before.cost && info.n_input == before.input && info.n_cached == before.cached);
    aios_agent_free(w.agent);
    w.limits.max_cost = before.cost;
    world_agent(&w);
    must(aios_run_resume(w.agent, "paid", &r, &err), &err);
    pull_sums(r, &after, UINT32_MAX, &p);
    assert_int_equal(after.n_turns, 0); /* it has spent that already */
    assert_int_equal(after.code, AIOS_ELIMIT);
    aios_run_free(r);
    aios_agent_free(w.agent);
    w.limits.max_cost = 0;
    world_agent(&w);
    must(aios_run_resume(w.agent, "paid", &r, &err), &err);
    pull_sums(r, &third, UINT32_MAX, &p);
    assert_int_equal(third.n_turns, 2);
    assert_int_equal(third.code, 0);
    aios_run_free(r);
    must(aios_run_info_get(w.ctx, st, "paid", &info, &err), &err);
    assert_true(info.cost_micros == before.cost + third.cost && info.n_input == before.input + third.input && info.n_cached == before.cached + third.cached);
    assert_int_equal(info.state, AIOS_RUN_DONE);
    aios_store_close(st);
    world_close(&w);
}

static void a_router_tells_what_its_candidates_cost(void **state)
{
    (void)state;
    static const char free_one[] = "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:say one two three\"}]}";
    static const char dear_one[] = "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:say one two three\",\"cost\":{\"input\":2,\"output\":8,\"cached\":1}}]}";
    static const char falls[] = "route:{\"candidates\":[{\"name\":\"b\",\"uri\":\"echo:say lost ;fail EUNAVAIL gone\",\"cost\":{\"input\":100}},"
                                "{\"name\":\"a\",\"uri\":\"echo:say one two three\",\"cost\":{\"input\":2,\"output\":8,\"cached\":1}}]}";
    aios_prices p = prices_of(2, 1, 8), own = prices_of(1000, 1000, 1000);
    uint64_t plain = 0;
    for (int k = 0; k < 4; k++) {
        world w;
        sums s = {0};
        world_open(&w, NULL, k == 0 ? free_one : k == 3 ? falls : dear_one);
        w.cfg.prices = k == 2 ? &own : NULL; /* the agent's count in place of the router's */
        world_agent(&w);
        aios_run *r = world_start(&w, NULL, "go");
        pull_sums(r, &s, UINT32_MAX, k == 1 ? &p : k == 2 ? &own : NULL);
        assert_int_equal(s.n_turns, 1);
        assert_int_equal(s.code, 0);
        plain = k == 1 ? s.cost : plain;
        if (k == 0)
            assert_true(s.cost == 0);
        if (k == 3) /* the prompt that the first one read is paid for too */
            assert_true(s.cost >= plain + 100);
        aios_run_free(r);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_make_costs),
        cmocka_unit_test(a_price_that_is_none_is_refused),
        cmocka_unit_test(a_run_ends_before_the_turn_that_it_cannot_pay),
        cmocka_unit_test(costs_are_kept_over_the_lives_of_a_run),
        cmocka_unit_test(a_router_tells_what_its_candidates_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

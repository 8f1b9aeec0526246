/* SPDX-License-Identifier: Apache-2.0 */
/* The order of turns by itself, in passes that are only counted: nobody starves, deadlines go first, equals are served alike. */
#include "test.h"

#include "backend/gguf/order.h"

enum { MAX = 64, CHUNK = 256 };

static uint64_t seed = 1;

static uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static aios__job prompt(int32_t priority, uint32_t n_rows)
{
    static uint64_t number;
    return (aios__job){.state = AIOS__JOB_READY, .priority = priority, .deadline = AIOS__NO_DEADLINE, .number = ++number, .n_waiting = n_rows, .prompt = true};
}

/* ---- a machine that computes what the order says ------------------------------------------------------------------- */

typedef struct machine {
    aios__job jobs[MAX];
    uint64_t done_at[MAX]; /* number of the pass; 0: not done */
    uint64_t gap[MAX];     /* the longest wait, in passes */
    uint32_t n;
    uint64_t pass;
    uint32_t rows; /* of the last pass */
} machine;

static uint32_t sorted(machine *m, aios__job *order[MAX])
{
    uint32_t n = 0;
    bool aged = aios__order_is_aged(m->pass);
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->jobs[i].state != AIOS__JOB_READY)
            continue;
        uint32_t at = n++;
        for (; at && aios__order_before(&m->jobs[i], order[at - 1], aged); at--)
            order[at] = order[at - 1];
        order[at] = &m->jobs[i];
    }
    return n;
}

static void compute(machine *m, aios__job *j, uint32_t n)
{
    uint32_t i = (uint32_t)(j - m->jobs);
    uint64_t waited = m->pass - j->last;
    if (!n)
        return;
    m->gap[i] = waited > m->gap[i] ? waited : m->gap[i];
    j->last = m->pass + 1;
    j->served += n;
    m->rows += n;
    if (!j->prompt)
        return; /* a reply goes on */
    j->n_waiting -= n;
    if (j->n_waiting)
        return;
    j->state = AIOS__JOB_DONE;
    m->done_at[i] = m->pass + 1;
}

static void step(machine *m)
{
    aios__job *order[MAX];
    uint32_t n = sorted(m, order), n_replies = 0;
    int32_t reply = INT32_MIN;
    bool aged = aios__order_is_aged(m->pass);
    m->rows = 0;
    for (; n_replies < n && !order[n_replies]->prompt; n_replies++) {
        reply = order[n_replies]->priority > reply ? order[n_replies]->priority : reply;
        compute(m, order[n_replies], 1);
    }
    if (n_replies < n) {
        uint32_t left = aios__order_budget(n_replies, reply, order[n_replies]->priority, aged, 0, CHUNK - n_replies);
        aios__order_share(order + n_replies, n - n_replies, left, aged);
        for (uint32_t i = n_replies; i < n; i++)
            compute(m, order[i], order[i]->share);
    }
    m->pass++;
}

/* ---- rules ---------------------------------------------------------------------------------------------------------- */

static void priority_goes_before_deadline_before_service_before_waiting(void **state)
{
    (void)state;
    aios__job a = prompt(0, 1), b = prompt(0, 1);
    assert_true(aios__order_before(&a, &b, false)); /* the earlier turn */
    a.last = 5;
    assert_true(aios__order_before(&b, &a, false));
    b.served = 10;
    assert_true(aios__order_before(&a, &b, false));
    b.deadline = 100;
    assert_true(aios__order_before(&b, &a, false));
    a.deadline = 99;
    assert_true(aios__order_before(&a, &b, false));
    b.priority = 1;
    assert_true(aios__order_before(&b, &a, false));
    a.last = 0;
    b.last = 5;
    assert_true(aios__order_before(&a, &b, true)); /* by waiting alone */
    a.prompt = true;
    b.prompt = false;
    assert_true(aios__order_before(&b, &a, true));
    assert_true(aios__order_before(&b, &a, false));
}

static aios__job any_job(void)
{
    static const int64_t deadlines[] = {AIOS__NO_DEADLINE, INT64_MIN, -1, 0, 1, INT64_MAX - 1};
    static const int32_t priorities[] = {0, 0, 1, -1, INT32_MAX, INT32_MIN};
    static const uint64_t numbers[] = {0, 1, 2, UINT64_MAX, UINT64_MAX - 1, 3};
    aios__job j = prompt(priorities[draw(6)], draw(3));
    j.deadline = deadlines[draw(6)];
    j.served = numbers[draw(6)];
    j.last = numbers[draw(6)];
    j.prompt = draw(2);
    return j;
}

static void the_order_is_one_whatever_the_numbers(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        aios__job a = any_job(), b = any_job(), c = any_job();
        bool aged = draw(2);
        bool ab = aios__order_before(&a, &b, aged), ba = aios__order_before(&b, &a, aged), bc = aios__order_before(&b, &c, aged);
        assert_true(ab != ba); /* numbers differ: one of both is first */
        assert_false(aios__order_before(&a, &a, aged));
        if (ab && bc)
            assert_true(aios__order_before(&a, &c, aged));
        assert_true(aios__order_outranks(&a, &b) != aios__order_outranks(&b, &a));
    }
}

static void shares_use_all_that_is_left_and_no_more(void **state)
{
    (void)state;
    aios__job jobs[MAX], *order[MAX];
    for (int round = 0; round < 20000; round++) {
        uint32_t n = 1 + draw(MAX), left = draw(CHUNK + 1), wanted = 0, given = 0;
        for (uint32_t i = 0; i < n; i++) {
            jobs[i] = prompt(-(int32_t)(i / 5), draw(8) ? 1 + draw(200) : UINT32_MAX);
            jobs[i].share = 77;
            order[i] = &jobs[i];
            wanted = jobs[i].n_waiting > CHUNK - (wanted < CHUNK ? wanted : CHUNK) ? CHUNK : wanted + jobs[i].n_waiting;
        }
        aios__order_share(order, n, left, draw(2));
        for (uint32_t i = 0; i < n; i++) {
            assert_true(jobs[i].share <= jobs[i].n_waiting);
            given += jobs[i].share;
        }
        assert_int_equal(given, wanted < left ? wanted : left);
    }
}

static void prompts_beside_replies_have_what_their_rank_allows(void **state)
{
    (void)state;
    assert_int_equal(aios__order_budget(0, 0, 0, false, 0, CHUNK), CHUNK);
    assert_int_equal(aios__order_budget(3, 0, 0, false, 0, CHUNK), AIOS__ORDER_BESIDE + AIOS__ORDER_TILE - 3); /* to the end of a tile */
    assert_int_equal(aios__order_budget(3, 0, 0, false, 100, CHUNK), 100 + 9);
    assert_int_equal(aios__order_budget(3, 0, 0, false, UINT32_MAX, CHUNK - 3), CHUNK - 3);
    assert_int_equal(aios__order_budget(3, 1, 0, false, 100, CHUNK), AIOS__ORDER_BELOW + AIOS__ORDER_TILE - 3);
    assert_int_equal(aios__order_budget(AIOS__ORDER_TILE, 0, 0, false, 0, CHUNK), AIOS__ORDER_BESIDE);
    assert_int_equal(aios__order_budget(3, 0, 1, false, 0, CHUNK - 3), CHUNK - 3); /* the replies of a lower one wait for it */
    assert_int_equal(aios__order_budget(3, 1, 0, false, 0, CHUNK), AIOS__ORDER_BELOW + AIOS__ORDER_TILE - 3);
    assert_int_equal(aios__order_budget(3, 1, 0, true, 0, CHUNK), AIOS__ORDER_BESIDE + AIOS__ORDER_TILE - 3);
    assert_int_equal(aios__order_budget(3, 1, 0, false, 0, 7), 7);
    assert_int_equal(aios__order_budget(3, INT32_MIN, INT32_MAX, false, 0, 9), 9);
}

/* ---- what follows from them ------------------------------------------------------------------------------------------ */

static void a_higher_priority_interrupts_a_prompt_under_way(void **state)
{
    (void)state;
    machine m = {.n = 1};
    m.jobs[0] = prompt(0, 100000);
    for (int i = 0; i < 5; i++)
        step(&m);
    assert_int_equal(m.jobs[0].served, 5 * CHUNK);
    m.jobs[1] = prompt(1, 2 * CHUNK);
    m.jobs[1].last = m.pass;
    m.n = 2;
    step(&m);
    assert_int_equal(m.jobs[1].served, CHUNK); /* all of the very next pass */
    assert_int_equal(m.jobs[0].served, 5 * CHUNK);
    step(&m);
    assert_int_equal(m.done_at[1], 7);
    step(&m);
    assert_int_equal(m.jobs[0].served, 6 * CHUNK);
}

/* Prompts of all priorities, the high ones without end: each waits at most AGED passes for each turn there is. */
static void nobody_waits_longer_than_the_bound(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        machine m = {.n = 2 + draw(MAX - 2)};
        for (uint32_t i = 0; i < m.n; i++) {
            m.jobs[i] = prompt(draw(3) ? INT32_MAX : (int32_t)draw(5), draw(2) ? UINT32_MAX : 1 + draw(3000));
            m.jobs[i].prompt = draw(4);
            m.jobs[i].deadline = draw(2) ? (int64_t)draw(1000) : AIOS__NO_DEADLINE;
        }
        for (int p = 0; p < 2000; p++)
            step(&m);
        for (uint32_t i = 0; i < m.n; i++) {
            uint64_t waits = m.jobs[i].state == AIOS__JOB_READY ? m.pass - m.jobs[i].last : 0;
            assert_in_range(m.gap[i], 0, AIOS__ORDER_AGED * m.n);
            assert_in_range(waits, 0, AIOS__ORDER_AGED * m.n);
        }
    }
}

/* What can be done by the earliest deadline first in 7 of 8 passes is done in time, whatever comes without one. */
static void deadlines_that_can_be_kept_are_kept(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        machine m = {.n = 2 + draw(MAX / 2)};
        uint64_t rows = 0, deadlines[MAX];
        uint32_t order[MAX];
        for (uint32_t i = 0; i < m.n; i++)
            order[i] = i;
        for (uint32_t i = m.n - 1; i; i--) { /* they arrive in any order */
            uint32_t k = draw(i + 1), was = order[i];
            order[i] = order[k];
            order[k] = was;
        }
        for (uint32_t i = 0; i < m.n; i++) {
            uint32_t n = 1 + draw(1500);
            rows += n;
            deadlines[order[i]] = (rows / CHUNK + 1) * AIOS__ORDER_AGED / (AIOS__ORDER_AGED - 1) + 2;
            m.jobs[order[i]] = prompt(3, n);
            m.jobs[order[i]].deadline = (int64_t)deadlines[order[i]];
        }
        uint32_t n = m.n;
        for (; m.n < MAX; m.n++)
            m.jobs[m.n] = prompt(draw(4), UINT32_MAX);
        for (int p = 0; p < 2000; p++)
            step(&m);
        for (uint32_t i = 0; i < n; i++)
            assert_in_range(m.done_at[i], 1, deadlines[i]);
    }
}

static void of_one_priority_the_earliest_deadline_is_done_first(void **state)
{
    (void)state;
    machine m = {.n = 8};
    for (uint32_t i = 0; i < m.n; i++) {
        m.jobs[i] = prompt(0, 500);
        m.jobs[i].deadline = 1000 - (int64_t)i;
    }
    for (int p = 0; p < 30; p++)
        step(&m);
    for (uint32_t i = 0; i + 1 < m.n; i++)
        assert_true(m.done_at[i + 1] && m.done_at[i + 1] <= m.done_at[i]);
    assert_true(m.done_at[7] <= 3);
}

/* Turns of 20 to 300 rows of prompt and 24 of a reply, then away for a while, over and over: as agents do. */
typedef struct agent {
    uint32_t replies, away;
    uint64_t served;
} agent;

static void go_on(machine *m, agent *a, uint32_t i, uint64_t *floor)
{
    aios__job *j = &m->jobs[i];
    if (j->state == AIOS__JOB_DONE) { /* the prompt is: it replies */
        j->state = AIOS__JOB_READY;
        j->prompt = false;
        j->n_waiting = 1;
        a->replies = 24;
    } else if (j->state == AIOS__JOB_READY && !j->prompt && !--a->replies) {
        j->state = AIOS__JOB_NONE;
        a->served = j->served;
        a->away = draw(3);
    } else if (j->state == AIOS__JOB_NONE && !a->away--) {
        uint64_t least = UINT64_MAX;
        for (uint32_t k = 0; k < m->n; k++)
            if (m->jobs[k].state != AIOS__JOB_NONE && m->jobs[k].served < least)
                least = m->jobs[k].served;
        *floor = least != UINT64_MAX && least > *floor ? least : *floor;
        *j = prompt(0, 20 + draw(281));
        j->served = aios__order_enter(a->served, *floor);
        j->last = m->pass;
    }
}

static void equal_agents_are_served_alike(void **state)
{
    (void)state;
    enum { AGENTS = 16 };
    machine m = {.n = AGENTS};
    agent agents[AGENTS] = {0};
    uint64_t floor = 0, had[AGENTS] = {0}, before[AGENTS] = {0};
    double sum = 0, squares = 0, min = 1e18, max = 0;
    for (int p = 0; p < 4000; p++) {
        for (uint32_t i = 0; i < m.n; i++) {
            go_on(&m, &agents[i], i, &floor);
            before[i] = m.jobs[i].served;
        }
        step(&m);
        for (uint32_t i = 0; i < m.n; i++)
            had[i] += m.jobs[i].served - before[i];
    }
    for (uint32_t i = 0; i < m.n; i++) {
        double x = (double)had[i];
        sum += x;
        squares += x * x;
        min = x < min ? x : min;
        max = x > max ? x : max;
    }
    assert_true(sum > 4000 * 60); /* they kept the machine busy */
    assert_true(max / min < 1.05);
    assert_true(sum * sum / AGENTS / squares > 0.999);
}

static void who_was_away_gets_no_more_than_a_credit_for_it(void **state)
{
    (void)state;
    assert_int_equal(aios__order_enter(0, 0), 0);
    assert_int_equal(aios__order_enter(7, 0), 7);
    assert_int_equal(aios__order_enter(0, AIOS__ORDER_CREDIT), 0);
    assert_int_equal(aios__order_enter(0, 100000), 100000 - AIOS__ORDER_CREDIT);
    assert_int_equal(aios__order_enter(100001, 100000), 100001); /* who has had more waits */
    assert_int_equal(aios__order_enter(0, UINT64_MAX), UINT64_MAX - AIOS__ORDER_CREDIT);
    machine m = {.n = 2};
    m.jobs[0] = prompt(0, UINT32_MAX);
    for (int p = 0; p < 1000; p++)
        step(&m);
    m.jobs[1] = prompt(0, UINT32_MAX);
    m.jobs[1].served = aios__order_enter(0, m.jobs[0].served);
    m.jobs[1].last = m.pass;
    uint64_t was = m.jobs[0].served;
    for (int p = 0; p < 100; p++)
        step(&m);
    assert_true(m.jobs[0].served - was > 100 * CHUNK / 2 - AIOS__ORDER_CREDIT - CHUNK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_goes_before_deadline_before_service_before_waiting),
        cmocka_unit_test(the_order_is_one_whatever_the_numbers),
        cmocka_unit_test(shares_use_all_that_is_left_and_no_more),
        cmocka_unit_test(prompts_beside_replies_have_what_their_rank_allows),
        cmocka_unit_test(a_higher_priority_interrupts_a_prompt_under_way),
        cmocka_unit_test(nobody_waits_longer_than_the_bound),
        cmocka_unit_test(deadlines_that_can_be_kept_are_kept),
        cmocka_unit_test(of_one_priority_the_earliest_deadline_is_done_first),
        cmocka_unit_test(equal_agents_are_served_alike),
        cmocka_unit_test(who_was_away_gets_no_more_than_a_credit_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_ctx.h"

#include <aios/snapshot.h>

#include "base/json.h"
#include "grammar/json_push.h"
#include "llm/llm.h"

static aios_snapshot *fresh(void)
{
    aios_snapshot *s = NULL;
    assert_int_equal(aios_snapshot_new(ctx, &s, NULL), 0);
    return s;
}

static void a_value_is_shown_as_far_as_it_is_sure(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json, *path;
        uint32_t flags;
    } rows[] = {
        {"", NULL, NULL, 0},
        {" \n", NULL, NULL, 0},
        {"{", "{}", "", 0},
        {"{ \"na", "{}", "", AIOS_SNAPSHOT_HELD},
        {"{\"name\"", "{}", "", AIOS_SNAPSHOT_HELD},
        {"{\"name\":", "{}", "", AIOS_SNAPSHOT_HELD},
        {"{\"name\": \"", "{\"name\":\"\"}", "/name", AIOS_SNAPSHOT_IN_TEXT},
        {"{\"name\": \"Ol", "{\"name\":\"Ol\"}", "/name", AIOS_SNAPSHOT_IN_TEXT},
        {"{\"name\": \"Ol\\", "{\"name\":\"Ol\"}", "/name", AIOS_SNAPSHOT_IN_TEXT | AIOS_SNAPSHOT_HELD},
        {"{\"name\": \"Ol\\u00e", "{\"name\":\"Ol\"}", "/name", AIOS_SNAPSHOT_IN_TEXT | AIOS_SNAPSHOT_HELD},
        {"{\"name\": \"\\ud83d\\ude", "{\"name\":\"\"}", "/name", AIOS_SNAPSHOT_IN_TEXT | AIOS_SNAPSHOT_HELD},
        {"{\"name\": \"\\ud83d\\ude00", "{\"name\":\"\\ud83d\\ude00\"}", "/name", AIOS_SNAPSHOT_IN_TEXT},
        {"{\"name\": \"\xf0\x9f\x98", "{\"name\":\"\"}", "/name", AIOS_SNAPSHOT_IN_TEXT | AIOS_SNAPSHOT_HELD},
        {"{\"name\": \"Ola\"", "{\"name\":\"Ola\"}", "", 0},
        {"{\"name\": \"Ola\",", "{\"name\":\"Ola\"}", "", AIOS_SNAPSHOT_HELD},
        {"{\"name\": \"Ola\", \"n\": 1", "{\"name\":\"Ola\"}", "", AIOS_SNAPSHOT_HELD},
        {"{\"name\": \"Ola\", \"n\": 12 ", "{\"name\":\"Ola\",\"n\":12}", "", 0},
        {"{\"name\": \"Ola\", \"n\": 12}", "{\"name\":\"Ola\",\"n\":12}", NULL, AIOS_SNAPSHOT_COMPLETE},
        {"{\"a/b~\": [1, 2, [3", "{\"a/b~\":[1,2,[]]}", "/a~1b~0/2", AIOS_SNAPSHOT_HELD},
        {"{\"a\": [true, fals", "{\"a\":[true]}", "/a", AIOS_SNAPSHOT_HELD},
        {"{\"a\": [true, false], \"b\": {\"c\": [{}, {\"d\": \"x", "{\"a\":[true,false],\"b\":{\"c\":[{},{\"d\":\"x\"}]}}", "/b/c/1/d", AIOS_SNAPSHOT_IN_TEXT},
        {"[1]", "[1]", NULL, AIOS_SNAPSHOT_COMPLETE},
        {"[1.", "[]", "", AIOS_SNAPSHOT_HELD},
        {"42", NULL, NULL, 0},
        {"42 ", "42", NULL, AIOS_SNAPSHOT_COMPLETE},
        {"null", "null", NULL, AIOS_SNAPSHOT_COMPLETE},
        {"\"a", "\"a\"", "", AIOS_SNAPSHOT_IN_TEXT},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        aios_snapshot *s = fresh();
        aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
        for (size_t k = 0; rows[i].text[k]; k++) {
            assert_int_equal(aios_snapshot_add(s, rows[i].text + k, 1, NULL), 0);
            aios_snapshot_get(s, &v, NULL); /* looking changes nothing */
        }
        int rc = aios_snapshot_get(s, &v, NULL);
        if (!rows[i].json) {
            assert_int_equal(rc, AIOS_AGAIN);
        } else if (rc || strcmp(v.json, rows[i].json) || strlen(v.json) != v.n_json || v.flags != rows[i].flags || !v.path != !rows[i].path ||
                   (v.path && strcmp(v.path, rows[i].path))) {
            fail_msg("%s: %s at %s, flags %u", rows[i].text, v.json, v.path ? v.path : "(none)", v.flags);
        }
        aios_snapshot_free(s);
    }
}

/* Every beginning of a document gives JSON, of which the one before is a beginning. */
static void every_beginning_gives_json_that_only_grows(void **state)
{
    (void)state;
    const char *text = "{\"list\": [ {\"id\": -1.5e3, \"tags\": [\"a\", \"b\\n\\u00e9\\\"\"]}, null, [], {} ], \"text\": \"\xc3\xa9\xf0\x9f\x98\x80 end\", \"on\": true}";
    aios_snapshot *s = fresh();
    char last[512] = "";
    for (size_t i = 0; text[i]; i++) {
        aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
        aios__json_doc *doc = NULL;
        assert_int_equal(aios_snapshot_add(s, text + i, 1, NULL), 0);
        assert_int_equal(aios_snapshot_get(s, &v, NULL), 0);
        if (aios__json_parse(aios__ctx_heap(ctx), v.json, v.n_json, &doc, NULL))
            fail_msg("%s", v.json);
        aios__json_free(doc);
        size_t n = strlen(last); /* up to what closed it */
        while (n && strchr("]}\"", last[n - 1]))
            n--;
        assert_memory_equal(v.json, last, n);
        snprintf(last, sizeof last, "%s", v.json);
        assert_int_equal(v.flags & AIOS_SNAPSHOT_COMPLETE, text[i + 1] ? 0 : AIOS_SNAPSHOT_COMPLETE);
    }
    assert_int_equal(aios_snapshot_end(s, NULL), 0);
    aios_snapshot_free(s);
}

static void what_is_no_json_is_refused_where_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t have;
    } rows[] = {{"{\"a\" 1", 5}, {"[1,]", 3}, {"{\"a\":1,}", 7}, {"01", 1}, {"nul1", 3}, {"\"\\x", 2}, {"\"\\u0000", 6}, {"\"\\ude00", 6}, {"\"\\ud83d\\u0041", 12}, {"\"\xff", 1},
                {"\"\n", 1}, {"[1}", 2}, {"1 2", 2}, {"-a", 1}, {"[1e]", 3}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        aios_snapshot *s = fresh();
        aios_error err = AIOS_INIT(aios_error);
        if (aios_snapshot_add(s, rows[i].text, AIOS_CSTR, &err) != AIOS_EFORMAT || err.have != rows[i].have)
            fail_msg("%s: %llu", rows[i].text, (unsigned long long)err.have);
        assert_int_equal(aios_snapshot_add(s, "1", 1, NULL), AIOS_EFORMAT);
        assert_int_equal(aios_snapshot_end(s, NULL), AIOS_EFORMAT);
        aios_snapshot_reset(s);
        assert_int_equal(aios_snapshot_add(s, "[1]", 3, NULL), 0);
        assert_int_equal(aios_snapshot_end(s, NULL), 0);
        aios_snapshot_free(s);
    }
    aios_snapshot *s = fresh();
    for (int i = 0; i < AIOS__PUSH_DEPTH; i++)
        assert_int_equal(aios_snapshot_add(s, "[", 1, NULL), 0);
    aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
    assert_int_equal(aios_snapshot_get(s, &v, NULL), 0);
    assert_int_equal(v.n_json, 2 * AIOS__PUSH_DEPTH);
    assert_int_equal(aios_snapshot_add(s, "[", 1, NULL), AIOS_EFORMAT);
    aios_snapshot_free(s);
}

static void a_number_at_the_root_is_whole_at_the_end(void **state)
{
    (void)state;
    aios_snapshot *s = fresh();
    aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
    assert_int_equal(aios_snapshot_add(s, "-1.5", 4, NULL), 0);
    assert_int_equal(aios_snapshot_get(s, &v, NULL), AIOS_AGAIN);
    assert_int_equal(aios_snapshot_end(s, NULL), 0);
    assert_int_equal(aios_snapshot_get(s, &v, NULL), 0);
    assert_string_equal(v.json, "-1.5");
    assert_int_equal(v.flags, AIOS_SNAPSHOT_COMPLETE);
    assert_int_equal(aios_snapshot_add(s, "2", 1, NULL), AIOS_EINVAL);
    assert_int_equal(aios_snapshot_end(s, NULL), 0);
    assert_int_equal(aios_snapshot_get(s, &v, NULL), 0);
    assert_string_equal(v.json, "-1.5");
    aios_snapshot_reset(s);
    assert_int_equal(aios_snapshot_add(s, "2", 1, NULL), 0);
    aios_snapshot_free(s);
}

/* What a model writes of a call may leave JSON: what was shown of it is not shown once more. */
static void a_piece_that_is_no_json_shows_nothing(void **state)
{
    (void)state;
    static const char *const pieces[] = {"", "{\"a\":1", ",]", "}"};
    static const int shots[] = {0, 1, 0, 0};
    aios__events q;
    aios__events_init(&q, aios__ctx_heap(ctx));
    assert_int_equal(aios__events_snapshots(&q, ctx, false, true, NULL), 0);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(pieces); i++) {
        aios_event ev = AIOS_INIT(aios_event);
        aios__event_node *node = NULL;
        int n = 0;
        ev.type = AIOS_EVENT_CALL_DELTA;
        ev.name = "f";
        ev.text = pieces[i];
        ev.n_text = strlen(pieces[i]);
        assert_int_equal(aios__event_new(q.heap, &ev, aios__events_spare(&q), &node, NULL), 0);
        aios__events_push(&q, node);
        for (const aios_event *got; (got = aios__events_pop(&q));)
            n += got->type == AIOS_EVENT_SNAPSHOT;
        assert_int_equal(n, shots[i]);
    }
    aios__events_clear(&q);
}

/* Looking after every byte of a megabyte. */
static void a_look_costs_the_depth_not_the_length(void **state)
{
    (void)state;
    aios_snapshot *s = fresh();
    aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
    assert_int_equal(aios_snapshot_add(s, "{\"k\":[\"", 7, NULL), 0);
    for (int i = 0; i < 1 << 20; i++) {
        assert_int_equal(aios_snapshot_add(s, "x", 1, NULL), 0);
        assert_int_equal(aios_snapshot_get(s, &v, NULL), 0);
    }
    assert_int_equal(v.n_json, 7 + (1 << 20) + 3);
    aios_snapshot_free(s);
}

static int look_at_a_beginning(aios_ctx *c, aios_error *err)
{
    aios_snapshot *s = NULL;
    aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
    int rc = aios_snapshot_new(c, &s, err);
    rc = rc ? rc : aios_snapshot_add(s, "{\"key\":[\"text", AIOS_CSTR, err);
    rc = rc ? rc : aios_snapshot_get(s, &v, err);
    aios_snapshot_free(s);
    return rc;
}

static void memory_may_be_refused(void **state)
{
    (void)state;
    refuse_every_allocation(look_at_a_beginning, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_shown_as_far_as_it_is_sure),
        cmocka_unit_test(every_beginning_gives_json_that_only_grows),
        cmocka_unit_test(what_is_no_json_is_refused_where_it_stands),
        cmocka_unit_test(a_number_at_the_root_is_whole_at_the_end),
        cmocka_unit_test(a_piece_that_is_no_json_shows_nothing),
        cmocka_unit_test(a_look_costs_the_depth_not_the_length),
        cmocka_unit_test(memory_may_be_refused),
    };
    return cmocka_run_group_tests_name("snapshot", tests, open_ctx, close_ctx);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "llm/llm.h"

typedef struct text {
    char *p;
    size_t n;
} text;

static int collect(void *user, const void *p, size_t n)
{
    text *t = user;
    char *q = realloc(t->p, t->n + n + 1);
    if (!q)
        return AIOS_ENOMEM;
    t->p = q;
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
    return 0;
}

static text json_of(const aios_transcript *t)
{
    text out = {NULL, 0};
    aios_error err = AIOS_INIT(aios_error);
    if (aios_transcript_write_json(t, collect, &out, &err))
        fail_msg("write: %s", err.msg);
    return out;
}

static aios_part part(int32_t kind, const char *s, size_t n, const char *name, const char *id)
{
    aios_part p = AIOS_INIT(aios_part);
    p.kind = kind;
    p.text = s;
    p.n_text = n;
    p.name = name;
    p.call_id = id;
    return p;
}

static int add(aios_transcript *t, int32_t role, const aios_part *p, uint32_t n, aios_error *err)
{
    aios_entry e = AIOS_INIT(aios_entry);
    e.role = role;
    e.parts = p;
    e.n_parts = n;
    e.part_stride = sizeof *p;
    e.label.integrity = AIOS_LABEL_TOOL;
    e.label.confidentiality = 0xdeadbeefcafef00d;
    return aios_transcript_add(t, &e, err);
}

static aios_transcript *full(aios_ctx *ctx)
{
    aios_transcript *t;
    assert_int_equal(aios_transcript_new(ctx, &t, NULL), 0);
    assert_int_equal(aios_transcript_add_text(t, AIOS_ROLE_SYSTEM, "be brief\n\"x\"\\", AIOS_CSTR, NULL), 0);
    assert_int_equal(aios_transcript_add_text(t, AIOS_ROLE_USER, "2+2? \xf0\x9f\x98\x80", AIOS_CSTR, NULL), 0);
    aios_part reply[] = {
        part(AIOS_PART_REASONING, "hm", 2, NULL, NULL),
        part(AIOS_PART_TEXT, "", 0, NULL, NULL),
        part(AIOS_PART_CALL, "{\"a\":2}", AIOS_CSTR, "add", "call_1"),
    };
    assert_int_equal(add(t, AIOS_ROLE_ASSISTANT, reply, 3, NULL), 0);
    aios_part result[] = {
        part(AIOS_PART_RESULT, "4", 1, "add", "call_1"),
        part(AIOS_PART_IMAGE, "\x00\x01\xff\xfe\x80", 5, NULL, NULL),
        part(AIOS_PART_UNKNOWN, "{\"kind\":\"video\",\"frames\":[1,2.5,null],\"z\":{\"a\":true}}", AIOS_CSTR, NULL, NULL),
    };
    result[0].status = AIOS_ETOOL;
    result[1].mime = "image/png";
    assert_int_equal(add(t, AIOS_ROLE_TOOL, result, 3, NULL), 0);
    return t;
}

static void json_is_the_same_after_reading_and_writing(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    aios_transcript *t = full(ctx), *u;
    text a = json_of(t);
    aios_error err = AIOS_INIT(aios_error);
    if (aios_transcript_read_json(ctx, a.p, a.n, &u, &err))
        fail_msg("%s\n%s", err.msg, a.p);
    text b = json_of(u);
    assert_string_equal(a.p, b.p);
    aios_entry e = AIOS_INIT(aios_entry);
    assert_int_equal(aios_transcript_at(u, 3, &e), 0);
    assert_int_equal(e.n_parts, 3);
    assert_int_equal(e.parts[0].status, AIOS_ETOOL);
    assert_int_equal(e.parts[1].n_text, 5);
    assert_memory_equal(e.parts[1].text, "\x00\x01\xff\xfe\x80", 5);
    assert_int_equal(e.parts[2].kind, AIOS_PART_UNKNOWN);
    assert_true(e.label.confidentiality == 0xdeadbeefcafef00d);
    free(a.p);
    free(b.p);
    aios_transcript_free(t);
    aios_transcript_free(u);
    aios_ctx_free(ctx);
    assert_int_equal(h.live, 0);
}

static void what_a_newer_version_wrote_survives(void **state)
{
    (void)state;
    static const char newer[] =
        "{\"aios_transcript\":1,\"entries\":[{\"id\":7,\"role\":\"user\",\"label\":\"user\",\"parts\":["
        "{\"kind\":\"hologram\",\"data\":[1,{\"x\":\"\xc3\xa9\"}]},{\"kind\":\"text\",\"text\":\"hi\",\"tone\":\"warm\",\"n\":3}],\"when\":[1]}],"
        "\"session\":{\"id\":9}}";
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t, *u;
    if (aios_transcript_read_json(ctx, newer, AIOS_CSTR, &t, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(aios_transcript_copy(t, &u, NULL), 0);
    aios_transcript_free(t);
    text out = json_of(u);
    assert_string_equal(out.p, newer);
    assert_int_equal(aios_transcript_add_text(u, AIOS_ROLE_ASSISTANT, "x", 1, NULL), 0);
    aios_entry e = AIOS_INIT(aios_entry);
    aios_transcript_at(u, 1, &e);
    assert_int_equal(e.id, 8);
    free(out.p);
    aios_transcript_free(u);
    aios_ctx_free(ctx);
}

static void hostile_json_is_refused_with_a_reason(void **state)
{
    (void)state;
#define HEAD "{\"aios_transcript\":1,\"entries\":["
#define ENTRY(parts) HEAD "{\"id\":1,\"role\":\"user\",\"label\":\"user\",\"parts\":[" parts "]}]}"
    static const struct {
        const char *json;
        int code;
    } rows[] = {
        {"", AIOS_EFORMAT},
        {"null", AIOS_EFORMAT},
        {"[]", AIOS_EFORMAT},
        {"{}", AIOS_EFORMAT},
        {"{\"aios_transcript\":\"1\",\"entries\":[]}", AIOS_EFORMAT},
        {"{\"aios_transcript\":0,\"entries\":[]}", AIOS_EFORMAT},
        {"{\"aios_transcript\":2,\"entries\":[]}", AIOS_EVERSION},
        {"{\"aios_transcript\":1}", AIOS_EFORMAT},
        {"{\"aios_transcript\":1,\"entries\":{}}", AIOS_EFORMAT},
        {"{\"aios_transcript\":1,\"aios_transcript\":1,\"entries\":[]}", AIOS_EFORMAT},
        {HEAD "1]}", AIOS_EFORMAT},
        {HEAD "{\"id\":0,\"role\":\"user\",\"label\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"\"}]}]}", AIOS_EFORMAT},
        {HEAD "{\"id\":1,\"role\":\"root\",\"label\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"\"}]}]}", AIOS_EFORMAT},
        {HEAD "{\"id\":1,\"role\":\"user\",\"label\":\"god\",\"parts\":[{\"kind\":\"text\",\"text\":\"\"}]}]}", AIOS_EFORMAT},
        {HEAD "{\"id\":1,\"role\":\"user\",\"label\":\"user\",\"confidentiality\":\"XY\",\"parts\":[{\"kind\":\"text\",\"text\":\"\"}]}]}", AIOS_EFORMAT},
        {ENTRY(""), AIOS_EFORMAT},
        {ENTRY("{\"text\":\"x\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"text\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"text\",\"text\":5}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"text\",\"text\":\"a\\u0000b\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"text\",\"text\":\"\xff\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"text\",\"text\":\"\\ud800\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"call\",\"text\":\"{}\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"image\",\"data\":\"a\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"image\",\"data\":\"a=bc\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"image\",\"text\":\"x\"}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"text\",\"text\":\"\",\"status\":99999999999}"), AIOS_EFORMAT},
        {ENTRY("{\"kind\":\"text\",\"text\":\"\",\"status\":\"-21\"}"), AIOS_EFORMAT},
    };
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    long before = h.live;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_transcript *t = (void *)1;
        int rc = aios_transcript_read_json(ctx, rows[i].json, AIOS_CSTR, &t, &err);
        if (rc != rows[i].code || t || !err.msg[0])
            fail_msg("%s: %d %s", rows[i].json, rc, err.msg);
    }
    assert_int_equal(h.live, before);
    aios_ctx_free(ctx);
    assert_int_equal(h.live, 0);
}

static void deep_nesting_and_every_cut_are_survived(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_transcript *t = full(ctx), *u;
    text a = json_of(t);
    for (size_t n = 0; n < a.n; n++) {
        assert_int_equal(aios_transcript_read_json(ctx, a.p, n, &u, NULL), AIOS_EFORMAT);
        assert_null(u);
    }
    for (size_t i = 0; i < a.n; i++) { /* every byte changed once: any answer, no crash */
        char was = a.p[i];
        a.p[i] = (char)(was ^ 0x15);
        if (!aios_transcript_read_json(ctx, a.p, a.n, &u, NULL))
            aios_transcript_free(u);
        a.p[i] = was;
    }
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    assert_int_equal(aios_transcript_read_json(ctx, deep, 200000, &u, NULL), AIOS_EFORMAT);
    free(deep);
    free(a.p);
    aios_transcript_free(t);
    aios_ctx_free(ctx);
}

static void bad_entries_are_refused(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_transcript *t;
    aios_transcript_new(ctx, &t, NULL);
    aios_part p = part(AIOS_PART_TEXT, "x", 1, NULL, NULL);
    assert_int_equal(add(t, 0, &p, 1, NULL), AIOS_EINVAL);
    assert_int_equal(add(t, 5, &p, 1, NULL), AIOS_EINVAL);
    assert_int_equal(add(t, AIOS_ROLE_USER, &p, 0, NULL), AIOS_EINVAL);
    assert_int_equal(add(t, AIOS_ROLE_USER, NULL, 1, NULL), AIOS_EINVAL);
    p = part(AIOS_PART_TEXT, "a\0b", 3, NULL, NULL);
    assert_int_equal(add(t, AIOS_ROLE_USER, &p, 1, NULL), AIOS_EINVAL);
    p = part(AIOS_PART_TEXT, "\xc3", 1, NULL, NULL);
    assert_int_equal(add(t, AIOS_ROLE_USER, &p, 1, NULL), AIOS_EINVAL);
    p = part(AIOS_PART_TEXT, NULL, 4, NULL, NULL);
    assert_int_equal(add(t, AIOS_ROLE_USER, &p, 1, NULL), AIOS_EINVAL);
    p = part(AIOS_PART_CALL, "{}", 2, "add", NULL);
    assert_int_equal(add(t, AIOS_ROLE_ASSISTANT, &p, 1, NULL), AIOS_EINVAL);
    p = part(AIOS_PART_UNKNOWN, "[1]", 3, NULL, NULL);
    assert_int_equal(add(t, AIOS_ROLE_ASSISTANT, &p, 1, NULL), AIOS_EINVAL);
    p = part(99, "x", 1, NULL, NULL);
    assert_int_equal(add(t, AIOS_ROLE_ASSISTANT, &p, 1, NULL), AIOS_EINVAL);
    p = part(AIOS_PART_TEXT, "x", 1, NULL, NULL);
    p.struct_size = sizeof p + 8;
    assert_int_equal(add(t, AIOS_ROLE_USER, &p, 1, NULL), AIOS_EINVAL);
    assert_int_equal(aios_transcript_add(t, NULL, NULL), AIOS_EINVAL);
    assert_int_equal(aios_transcript_add(NULL, NULL, NULL), AIOS_EINVAL);
    assert_int_equal(aios_transcript_add_text(t, AIOS_ROLE_USER, NULL, 0, NULL), AIOS_EINVAL);
    assert_int_equal(aios_transcript_truncate(t, 1, NULL), AIOS_EINVAL);
    assert_int_equal(aios_transcript_count(t), 0);
    assert_int_equal(aios_transcript_count(NULL), 0);
    aios_transcript_free(t);
    aios_transcript_free(NULL);
    aios_ctx_free(ctx);
}

/* A caller of an older header has a shorter part; one of a newer header a longer one with a wider stride. */
static void parts_of_other_sizes_are_read_by_their_stride(void **state)
{
    (void)state;
    struct newer {
        aios_part p;
        uint64_t more;
    } two[2];
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_transcript *t;
    aios_transcript_new(ctx, &t, NULL);
    memset(two, 0, sizeof two);
    for (int i = 0; i < 2; i++) {
        two[i].p = part(AIOS_PART_TEXT, i ? "two" : "one", AIOS_CSTR, NULL, NULL);
        two[i].p.struct_size = sizeof two[i];
    }
    aios_entry e = AIOS_INIT(aios_entry);
    e.role = AIOS_ROLE_USER;
    e.parts = &two[0].p;
    e.n_parts = 2;
    e.part_stride = sizeof two[0];
    assert_int_equal(aios_transcript_add(t, &e, NULL), 0);
    two[1].more = 1;
    assert_int_equal(aios_transcript_add(t, &e, NULL), AIOS_EVERSION);
    aios_entry got = AIOS_INIT(aios_entry);
    aios_transcript_at(t, 0, &got);
    assert_string_equal(got.parts[1].text, "two");
    assert_int_equal(got.part_stride, sizeof(aios_part));
    aios_transcript_free(t);
    aios_ctx_free(ctx);
}

static void a_copy_is_independent_and_outlives_its_source_and_its_ctx(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    aios_transcript *t = full(ctx), *c;
    assert_int_equal(aios_transcript_copy(t, &c, NULL), 0);
    assert_int_equal(aios_transcript_truncate(t, 1, NULL), 0);
    assert_int_equal(aios_transcript_count(c), 4);
    aios_ctx_free(ctx);
    aios_transcript_free(t);
    aios_entry e = AIOS_INIT(aios_entry);
    assert_int_equal(aios_transcript_at(c, 0, &e), 0);
    assert_string_equal(e.parts[0].text, "be brief\n\"x\"\\");
    aios_transcript_free(c);
    assert_int_equal(h.live, 0);
}

static void add_call(aios_transcript *t, const char *id)
{
    aios_part p = AIOS_INIT(aios_part);
    aios_entry e = AIOS_INIT(aios_entry);
    p.kind = AIOS_PART_CALL;
    p.name = "f";
    p.call_id = id;
    p.text = "{}";
    p.n_text = 2;
    e.role = AIOS_ROLE_ASSISTANT;
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    assert_int_equal(aios_transcript_add(t, &e, NULL), 0);
}

/* Ids that are made here count on from the largest there is, whatever came, went or was copied. */
static void the_largest_number_of_a_call_is_known(void **state)
{
    static const struct {
        const char *id;
        uint64_t n; /* largest so far */
    } rows[] = {{"call_3", 3}, {"call_1", 3}, {"call_", 3}, {"toolu_99", 3}, {"call_x7", 3}, {"call_12abc", 3}, {"call_12", 12}, {"xcall_50", 12},
                {"call_013", 12}, {"call_0", 12}, {"call_18446744073709551615", 12}, {"call_1000000000000000000", 12},
                {"call_999999999999999999", UINT64_C(999999999999999999)}};
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_transcript *t, *c;
    size_t n = sizeof rows / sizeof *rows;
    assert_int_equal(aios_transcript_new(ctx, &t, NULL), 0);
    assert_int_equal(aios__transcript_last_call(t), 0);
    assert_int_equal(aios__transcript_last_call(NULL), 0);
    for (size_t i = 0; i < n; i++) {
        add_call(t, rows[i].id);
        assert_int_equal(aios__transcript_last_call(t), rows[i].n);
    }
    assert_int_equal(aios_transcript_copy(t, &c, NULL), 0);
    for (size_t i = n; i-- > 0;) {
        assert_int_equal(aios_transcript_truncate(t, (uint32_t)i, NULL), 0);
        assert_int_equal(aios__transcript_last_call(t), i ? rows[i - 1].n : 0);
    }
    assert_int_equal(aios__transcript_last_call(c), rows[n - 1].n);
    aios_transcript_free(c);
    aios_transcript_free(t);
    aios_ctx_free(ctx);
}

static void labels_join_downwards(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_transcript *t = full(ctx);
    aios_label l = aios__label_of(t);
    assert_int_equal(l.integrity, AIOS_LABEL_TOOL);
    assert_true(l.confidentiality == 0xdeadbeefcafef00d);
    aios_label a = {.integrity = AIOS_LABEL_USER, .confidentiality = 1}, b = {.integrity = AIOS_LABEL_UNTRUSTED, .confidentiality = 6};
    l = aios__label_join(a, b);
    assert_int_equal(l.integrity, AIOS_LABEL_UNTRUSTED);
    assert_int_equal(l.confidentiality, 7);
    aios_transcript_free(t);
    aios_ctx_free(ctx);
}

static int stop_after_one(void *user, const void *p, size_t n)
{
    (void)p;
    (void)n;
    return ++*(int *)user > 1 ? AIOS_EIO : 0;
}

static void a_writer_that_stops_is_heard(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_transcript *t = full(ctx);
    int n = 0;
    assert_int_equal(aios_transcript_write_json(t, stop_after_one, &n, NULL), AIOS_EIO);
    assert_int_equal(n, 2);
    aios_transcript_free(t);
    aios_ctx_free(ctx);
}

/* Every allocation of a round trip fails once, then from there on. */
static void a_round_trip_survives_every_lack_of_memory(void **state)
{
    (void)state;
    for (int persistent = 0; persistent < 2; persistent++) {
        for (long at = 1;; at++) {
            test_heap h = {0};
            aios_ctx *ctx = test_ctx(&h, 0);
            aios_transcript *t = full(ctx), *u = NULL, *c = NULL;
            text a = json_of(t);
            aios_error err = AIOS_INIT(aios_error);
            h.n_allocs = 0;
            h.fail_at = at;
            h.persistent = persistent;
            int rc = aios_transcript_read_json(ctx, a.p, a.n, &u, &err);
            if (!rc)
                rc = aios_transcript_copy(u, &c, &err);
            text b = {NULL, 0};
            if (!rc)
                rc = aios_transcript_write_json(c, collect, &b, &err);
            bool hit = h.n_allocs >= at;
            h.fail_at = 0;
            if (rc)
                assert_int_equal(err.code, rc);
            if (rc && rc != AIOS_ENOMEM)
                fail_msg("allocation %ld: %d %s", at, rc, err.msg);
            if (!rc)
                assert_string_equal(a.p, b.p);
            free(a.p);
            free(b.p);
            aios_transcript_free(t);
            aios_transcript_free(u);
            aios_transcript_free(c);
            aios_ctx_free(ctx);
            assert_int_equal(h.live, 0);
            if (!hit) {
                assert_int_equal(rc, 0);
                break;
            }
            if (persistent || rc) /* a buffer that cannot double may still grow by what it needs */
                assert_int_equal(rc, AIOS_ENOMEM);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_the_same_after_reading_and_writing),
        cmocka_unit_test(what_a_newer_version_wrote_survives),
        cmocka_unit_test(hostile_json_is_refused_with_a_reason),
        cmocka_unit_test(deep_nesting_and_every_cut_are_survived),
        cmocka_unit_test(bad_entries_are_refused),
        cmocka_unit_test(parts_of_other_sizes_are_read_by_their_stride),
        cmocka_unit_test(a_copy_is_independent_and_outlives_its_source_and_its_ctx),
        cmocka_unit_test(the_largest_number_of_a_call_is_known),
        cmocka_unit_test(labels_join_downwards),
        cmocka_unit_test(a_writer_that_stops_is_heard),
        cmocka_unit_test(a_round_trip_survives_every_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

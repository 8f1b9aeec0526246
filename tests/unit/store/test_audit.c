/* SPDX-License-Identifier: Apache-2.0 */
/* Every change of an audit is found. */
#include "test.h"

#include "store/audit_priv.h"

enum { ROWS = 1000, MAX_ROW = 200 };

static const uint8_t key[32] = "a key of thirty-two bytes, or so";
static aios_ctx *ctx;
static aios_store *st;

static int setup(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    ctx = test_ctx(NULL, 0);
    must(aios_store_open(ctx, "memory:", NULL, &st, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_store_close(st);
    aios_ctx_free(ctx);
    return 0;
}

typedef struct anchors {
    aios_audit_head list[ROWS];
    int n;
} anchors;

static void keep_anchor(void *user, const aios_audit_head *h)
{
    anchors *a = user;
    a->list[a->n++] = *h;
}

static aios_audit *open_audit(const uint8_t *k, anchors *to)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_audit_config cfg = AIOS_INIT(aios_audit_config);
    aios_audit *a = NULL;
    cfg.key = k;
    cfg.anchor = to ? keep_anchor : NULL;
    cfg.anchor_user = to;
    cfg.anchor_every = 100;
    must(aios_audit_open(st, "audit/1", &cfg, &a, &err), &err);
    return a;
}

static void write_rows(aios_audit *a, int n)
{
    aios_error err = AIOS_INIT(aios_error);
    char text[64];
    for (int i = 0; i < n; i++) {
        int len = snprintf(text, sizeof text, "{\"tool\":\"t%d\",\"verdict\":\"allow\"}", i);
        must(aios_audit_append(a, (uint32_t)(i % 3), text, (size_t)len, &err), &err);
    }
}

/* ---- the rows in memory, and the chain in front of each --------------------------------------------------------------- */

typedef struct row {
    aios_record r;
    uint8_t data[MAX_ROW];
    aios__chain before;
} row;

typedef struct rows {
    row list[ROWS];
    int n;
    aios__chain chain;
} rows;

static int take_row(void *user, const aios_record *r)
{
    rows *all = user;
    row *to = &all->list[all->n++];
    int32_t bad;
    aios_error err = AIOS_INIT(aios_error);
    assert_true(r->n_data <= MAX_ROW);
    to->r = *r;
    memcpy(to->data, r->data, r->n_data);
    to->r.data = to->data;
    to->before = all->chain;
    must(aios__chain_check(&all->chain, r, &bad, &err), &err);
    assert_int_equal(bad, AIOS_AUDIT_WHOLE);
    return 0;
}

static rows *read_rows(const uint8_t *k)
{
    aios_error err = AIOS_INIT(aios_error);
    rows *all = calloc(1, sizeof *all);
    must(aios__chain_begin(&all->chain, "audit/1", k, 1, &err), &err);
    must(aios_store_read(st, "audit/1", 0, take_row, all, &err), &err);
    assert_int_equal(all->n, ROWS);
    return all;
}

static int32_t check(const aios__chain *before, const aios_record *r)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__chain c = *before;
    int32_t bad;
    must(aios__chain_check(&c, r, &bad, &err), &err);
    return bad;
}

static void find_all(const uint8_t *k)
{
    aios_audit *a = open_audit(k, NULL);
    long n = 0;
    write_rows(a, ROWS);
    rows *all = read_rows(k);
    for (int i = 0; i < ROWS; i++) {
        row *x = &all->list[i];
        for (size_t at = 0; at < x->r.n_data; at++, n++) {
            x->data[at] ^= (uint8_t)(1 << (i + (int)at) % 8);
            if (!check(&x->before, &x->r))
                fail_msg("row %d, byte %zu", i + 1, at);
            x->data[at] ^= (uint8_t)(1 << (i + (int)at) % 8);
        }
        x->r.kind ^= 1;
        assert_int_equal(check(&x->before, &x->r), AIOS_AUDIT_HASHED);
        x->r.kind ^= 1;
        for (int j = 0; j < ROWS; j += i < 100 ? 1 : 37) { /* any other in its place, renumbered: a deletion, or a reorder */
            aios_record other = all->list[j].r;
            other.seq = x->r.seq;
            if (j != i && check(&x->before, &other) != AIOS_AUDIT_HASHED)
                fail_msg("row %d in the place of %d", j + 1, i + 1);
            other.seq = x->r.seq + 1;
            assert_int_equal(check(&x->before, &other), AIOS_AUDIT_MISSING);
        }
        assert_int_equal(check(&x->before, &x->r), AIOS_AUDIT_WHOLE);
    }
    printf("%ld bytes changed\n", n);
    assert_true(n > 100000);
    free(all);
    aios_audit_free(a);
}

static void every_change_of_a_plain_chain_is_found(void **state)
{
    (void)state;
    find_all(NULL);
}

static void every_change_of_a_signed_chain_is_found(void **state)
{
    (void)state;
    find_all(key);
}

/* ---- through the store ------------------------------------------------------------------------------------------------ */

static int verify(const char *stream, const uint8_t *k, const aios_audit_head *anchor, aios_audit_report *r)
{
    aios_error err = AIOS_INIT(aios_error);
    *r = (aios_audit_report)AIOS_INIT(aios_audit_report);
    int rc = aios_audit_verify(st, stream, k, anchor, r, &err);
    assert_true(rc ? rc == AIOS_EFORMAT && r->bad && r->bad_seq && err.msg[0] : !r->bad && !r->bad_seq);
    return rc;
}

static int copy_row(void *user, const aios_record *r)
{
    const uint64_t *most = user;
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = AIOS_INIT(aios_store_write);
    w.stream = "audit/1";
    w.kind = r->kind;
    w.data = r->data;
    w.n_data = r->n_data;
    must(aios_store_commit(st, &w, 1, sizeof w, NULL, &err), &err);
    return r->seq == *most ? AIOS_DONE : 0;
}

/* Leaves the first n rows. */
static void cut(uint64_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store *all = NULL, *kept = st;
    must(aios_store_open(ctx, "memory:", NULL, &all, &err), &err);
    st = all;
    must(aios_store_read(kept, "audit/1", 0, copy_row, &n, &err), &err);
    aios_store_close(kept);
}

static void a_tail_that_was_cut_is_found_by_the_anchor(void **state)
{
    (void)state;
    anchors seen = {.n = 0};
    aios_audit_report r;
    aios_audit_head end = AIOS_INIT(aios_audit_head);
    aios_audit *a = open_audit(key, &seen);
    write_rows(a, 350);
    assert_int_equal(aios_audit_head_get(a, &end), 0);
    aios_audit_free(a);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.list[2].seq, 300);
    assert_int_equal(verify("audit/1", key, &end, &r), 0);
    assert_true(r.n_rows == 350 && r.head.seq == 350 && !memcmp(r.head.hash, end.hash, 32));
    for (int i = 0; i < 3; i++)
        assert_int_equal(verify("audit/1", key, &seen.list[i], &r), 0);
    cut(320);
    assert_int_equal(verify("audit/1", key, NULL, &r), 0); /* nothing else shows it */
    assert_int_equal(verify("audit/1", key, &end, &r), AIOS_EFORMAT);
    assert_true(r.bad == AIOS_AUDIT_MISSING && r.bad_seq == 321 && r.n_rows == 320);
    assert_int_equal(verify("audit/1", key, &seen.list[2], &r), 0);
    seen.list[2].hash[5] ^= 1;
    assert_int_equal(verify("audit/1", key, &seen.list[2], &r), AIOS_EFORMAT);
    assert_true(r.bad == AIOS_AUDIT_ANCHORED && r.bad_seq == 300);
    assert_int_equal(verify("audit/1", (const uint8_t *)"another key of thirty-two bytes.", NULL, &r), AIOS_EFORMAT);
    assert_true(r.bad == AIOS_AUDIT_SIGNED && r.bad_seq == 1);
    assert_int_equal(verify("audit/2", key, &end, &r), AIOS_EFORMAT);
    assert_true(r.bad == AIOS_AUDIT_MISSING && r.bad_seq == 1);
}

static void rows_go_with_the_commit_of_their_effect(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_audit_report r;
    aios_audit *a = open_audit(key, NULL);
    uint64_t seq;
    for (int i = 0; i < 6; i++) {
        aios_store_write w[3] = {AIOS_INIT(aios_store_write)};
        w[0].stream = "run/1";
        w[0].seq = i % 2 ? 77 : 0; /* every other commit fails, whose rows were never there */
        must(aios_audit_append_writes(a, 1, "intent", 6, &w[1], &err), &err);
        must(aios_audit_append_writes(a, 2, "result", 6, &w[2], &err), &err);
        assert_int_equal(aios_audit_append(a, 1, "x", 1, &err), AIOS_ESTATE);
        int rc = aios_store_commit(st, w, 3, sizeof *w, NULL, &err);
        assert_int_equal(rc, i % 2 ? AIOS_ECONFLICT : 0);
        must(aios_audit_committed(a, rc, &err), &err);
        assert_int_equal(aios_audit_committed(a, rc, &err), AIOS_ESTATE);
    }
    must(aios_store_head(st, "audit/1", &seq, &err), &err);
    assert_int_equal(seq, 6);
    assert_int_equal(verify("audit/1", key, NULL, &r), 0);
    aios_audit *other = open_audit(key, NULL);
    must(aios_audit_append(other, 1, "mine", 4, &err), &err);
    assert_int_equal(aios_audit_append(a, 1, "late", 4, &err), AIOS_ECONFLICT);
    aios_audit_free(other);
    aios_audit_free(a);
    assert_int_equal(verify("audit/1", key, NULL, &r), 0);
    assert_int_equal(r.n_rows, 7);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* Rows without a signature behind signed ones would be as if somebody without the key had written them. */
static void a_signed_chain_needs_its_key(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_audit_config cfg = AIOS_INIT(aios_audit_config);
    aios_audit_report rep = AIOS_INIT(aios_audit_report);
    aios_audit *a = open_audit(NULL, NULL), *none = NULL;
    write_rows(a, 2);
    aios_audit_free(a);
    cfg.key = key;
    cfg.key_seq = 3;
    must(aios_audit_open(st, "audit/1", &cfg, &a, &err), &err); /* from here on */
    write_rows(a, 2);
    aios_audit_free(a);
    assert_int_equal(aios_audit_open(st, "audit/1", NULL, &none, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "signed"));
    assert_null(none);
    must(aios_audit_verify(st, "audit/1", NULL, NULL, &rep, &err), &err); /* whoever only looks needs none */
    assert_int_equal(rep.n_rows, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_change_of_a_plain_chain_is_found),
        T(every_change_of_a_signed_chain_is_found),
        T(a_tail_that_was_cut_is_found_by_the_anchor),
        T(rows_go_with_the_commit_of_their_effect),
        T(a_signed_chain_needs_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

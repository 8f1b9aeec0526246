/* SPDX-License-Identifier: Apache-2.0 */
/* What every store must do, through the public headers alone. Usage: conform_store URI [PLUGIN], with a fresh file's path in the place of @. */
#include "test.h"

#include <pthread.h>
#include <unistd.h>

#include "plain_store.h"

static const char *pattern, *plugin;
static char uri[512], file[64];
static test_heap heap;
static aios_ctx *ctx;
static aios_store *st;

/* ---- a world ------------------------------------------------------------------------------------------------------ */

static void remove_file(void)
{
    char path[96];
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", file, ends[i]);
        unlink(path);
    }
}

static void name_store(void)
{
    const char *at = strchr(pattern, '@');
    snprintf(file, sizeof file, "/tmp/aios-store-%ld", (long)getpid());
    remove_file();
    snprintf(uri, sizeof uri, "%.*s%s", at ? (int)(at - pattern) : 400, pattern, at ? file : "");
}

static aios_store *open_store(aios_ctx *c)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store *s = NULL;
    must(aios_store_open(c, uri, NULL, &s, &err), &err);
    return s;
}

static int register_kinds(aios_ctx *c, aios_error *err)
{
    int rc = plain_register(c, err);
    return rc || !plugin ? rc : aios_plugin_load(c, plugin, err);
}

static int remove_one(void *user, const aios_stream *t)
{
    return aios_store_remove(user, t->name, NULL);
}

/* What an earlier test left in a store that is no file. */
static int empty(aios_store *s, aios_error *err)
{
    return aios_store_list(s, NULL, remove_one, s, err);
}

static int setup(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    name_store();
    heap = (test_heap){0};
    ctx = test_ctx(&heap, 0);
    must(register_kinds(ctx, &err), &err);
    st = open_store(ctx);
    must(empty(st, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_store_close(st);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    remove_file();
    return 0;
}

static void reopen(void)
{
    aios_store_close(st);
    st = open_store(ctx);
}

static aios_store_write text(const char *stream, const char *s)
{
    aios_store_write w = AIOS_INIT(aios_store_write);
    w.stream = stream;
    w.data = s;
    w.n_data = strlen(s);
    return w;
}

static uint64_t put(const char *stream, const char *s)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = text(stream, s);
    uint64_t seq = 0;
    must(aios_store_commit(st, &w, 1, sizeof w, &seq, &err), &err);
    return seq;
}

static uint64_t head(const char *stream)
{
    aios_error err = AIOS_INIT(aios_error);
    uint64_t seq = 99;
    must(aios_store_head(st, stream, &seq, &err), &err);
    return seq;
}

/* Records as "1=a 2=b". */
typedef struct shown {
    char text[4096];
    uint32_t n, stop_at;
    int rc;
} shown;

static int show(void *user, const aios_record *r)
{
    shown *s = user;
    size_t at = strlen(s->text);
    assert_true(r->data && r->wall_us > 0);
    snprintf(s->text + at, sizeof s->text - at, "%s%d=%.*s", s->n ? " " : "", (int)r->seq, (int)r->n_data, (const char *)r->data);
    return ++s->n == s->stop_at ? s->rc : 0;
}

static void assert_stream(const char *stream, uint64_t from, const char *want)
{
    aios_error err = AIOS_INIT(aios_error);
    shown s = {.n = 0};
    must(aios_store_read(st, stream, from, show, &s, &err), &err);
    assert_string_equal(s.text, want);
}

static int show_name(void *user, const aios_stream *t)
{
    shown *s = user;
    size_t at = strlen(s->text);
    assert_true(t->written_us > 0 && t->first >= 1 && t->first <= t->head);
    snprintf(s->text + at, sizeof s->text - at, "%s%s:%d-%d", s->n ? " " : "", t->name, (int)t->first, (int)t->head);
    return ++s->n == s->stop_at ? s->rc : 0;
}

static void assert_list(const char *prefix, const char *want)
{
    aios_error err = AIOS_INIT(aios_error);
    shown s = {.n = 0};
    must(aios_store_list(st, prefix, show_name, &s, &err), &err);
    assert_string_equal(s.text, want);
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void records_are_numbered_and_kept(void **state)
{
    (void)state;
    assert_int_equal(head("a"), 0);
    assert_stream("a", 0, "");
    assert_int_equal(put("a", "x"), 1);
    assert_int_equal(put("a", ""), 2);
    assert_int_equal(put("b/1", "z"), 1);
    assert_int_equal(put("a", "y"), 3);
    for (int i = 0; i < 2; i++) {
        assert_stream("a", 0, "1=x 2= 3=y");
        assert_stream("a", 3, "3=y");
        assert_stream("a", 4, "");
        assert_stream("b/1", 1, "1=z");
        assert_int_equal(head("a"), 3);
        aios_error err = AIOS_INIT(aios_error);
        must(aios_store_check(st, &err), &err);
        reopen();
    }
}

static void a_commit_is_all_or_nothing(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    put("a", "1");
    aios_store_write w[4] = {text("b", "1"), text("a", "2"), text("a", "3"), text("c", "1")};
    uint64_t seqs[4] = {0};
    w[2].seq = 4;
    assert_int_equal(aios_store_commit(st, w, 4, sizeof *w, seqs, &err), AIOS_ECONFLICT);
    assert_true(err.have == 3 && err.need == 4 && strstr(err.msg, "stream a"));
    assert_list(NULL, "a:1-1");
    reopen();
    assert_list(NULL, "a:1-1");
    w[2].seq = 3;
    must(aios_store_commit(st, w, 4, sizeof *w, seqs, &err), &err);
    assert_true(seqs[0] == 1 && seqs[1] == 2 && seqs[2] == 3 && seqs[3] == 1);
    reopen();
    assert_list(NULL, "a:1-3 b:1-1 c:1-1");
    assert_stream("a", 0, "1=1 2=2 3=3");
}

static void a_checkpoint_replaces_what_was_before(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    put("a", "1");
    put("a", "2");
    aios_store_write w[3] = {text("a", "3"), text("a", "all"), text("a", "5")};
    w[1].flags = AIOS_WRITE_FORGET;
    must(aios_store_commit(st, w, 3, sizeof *w, NULL, &err), &err);
    for (int i = 0; i < 2; i++) {
        assert_stream("a", 0, "4=all 5=5");
        assert_stream("a", 5, "5=5");
        assert_list("a", "a:4-5");
        reopen();
    }
    assert_int_equal(put("a", "6"), 6);
    w[1].seq = 7;
    must(aios_store_commit(st, &w[1], 1, sizeof *w, NULL, &err), &err);
    assert_stream("a", 0, "7=all");
}

static void streams_are_listed_in_order_and_removed(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    static const char *const names[] = {"run/b", "run/a", "run", "run0", "audit/1"};
    for (size_t i = 0; i < 5; i++)
        put(names[i], "x");
    assert_list(NULL, "audit/1:1-1 run:1-1 run/a:1-1 run/b:1-1 run0:1-1");
    assert_list("run/", "run/a:1-1 run/b:1-1");
    assert_list("z", "");
    shown s = {.stop_at = 2, .rc = AIOS_DONE};
    must(aios_store_list(st, NULL, show_name, &s, &err), &err);
    assert_string_equal(s.text, "audit/1:1-1 run:1-1");
    must(aios_store_remove(st, "run/a", &err), &err);
    assert_int_equal(aios_store_remove(st, "run/a", &err), AIOS_ENOENT);
    assert_int_equal(head("run/a"), 0);
    reopen();
    assert_list("run/", "run/b:1-1");
    assert_int_equal(put("run/a", "y"), 1);
    assert_stream("run/a", 0, "1=y");
}

static void what_a_callback_says_ends_the_reading(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    for (int i = 0; i < 4; i++)
        put("a", "x");
    const int codes[][2] = {{AIOS_DONE, 0}, {AIOS_AGAIN, 0}, {AIOS_EDENIED, AIOS_EDENIED}};
    for (size_t i = 0; i < 3; i++) {
        shown s = {.stop_at = 2, .rc = codes[i][0]};
        assert_int_equal(aios_store_read(st, "a", 0, show, &s, &err), codes[i][1]);
        assert_int_equal(s.n, 2);
    }
}

/* Writes to what it reads. */
static int write_on(void *user, const aios_record *r)
{
    (void)user;
    (void)r;
    put("a", "more");
    return head("a") > 40 ? AIOS_ELIMIT : 0;
}

static void callbacks_may_use_the_store(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    for (int i = 0; i < 5; i++)
        put("a", "x");
    must(aios_store_read(st, "a", 0, write_on, NULL, &err), &err);
    assert_int_equal(head("a"), 10);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    char name[256];
    memset(name, 'n', sizeof name);
    name[201] = 0;
    const char *const names[] = {"", "a b", "a\xc3\xa9", "a\n", NULL, name};
    for (size_t i = 0; i < 6; i++) {
        aios_store_write w = text("a", "x");
        uint64_t seq;
        w.stream = names[i];
        assert_int_equal(aios_store_commit(st, &w, 1, sizeof w, NULL, &err), AIOS_EINVAL);
        assert_int_equal(aios_store_head(st, names[i], &seq, &err), AIOS_EINVAL);
        assert_int_equal(aios_store_read(st, names[i], 0, show, NULL, &err), AIOS_EINVAL);
        assert_int_equal(aios_store_remove(st, names[i], &err), AIOS_EINVAL);
    }
    name[200] = 0;
    assert_int_equal(put(name, "x"), 1);
    aios_store_write w = text("a", "x");
    w.n_data = (size_t)AIOS_STORE_MAX_RECORD + 1;
    assert_int_equal(aios_store_commit(st, &w, 1, sizeof w, NULL, &err), AIOS_ELIMIT);
    assert_int_equal(aios_store_commit(st, &w, AIOS_STORE_MAX_WRITES + 1, sizeof w, NULL, &err), AIOS_ELIMIT);
    w = text("a", "x");
    w.flags = 64;
    assert_int_equal(aios_store_commit(st, &w, 1, sizeof w, NULL, &err), AIOS_EVERSION);
    must(aios_store_commit(st, NULL, 0, 0, NULL, &err), &err);
    assert_int_equal(head("a"), 0);
}

static void large_commits_come_back_whole(void **state)
{
    (void)state;
    enum { MANY = 10000, BIG = 5000000 };
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write *w = calloc(MANY, sizeof *w);
    char *big = malloc(BIG + 1), names[7][8];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i % 7], sizeof *names, "s%d", i % 7);
        w[i] = text(names[i % 7], "payload");
    }
    must(aios_store_commit(st, w, MANY, sizeof *w, NULL, &err), &err);
    memset(big, 'b', BIG);
    big[BIG] = 0;
    put("s1", big);
    reopen();
    assert_int_equal(head("s0"), (MANY + 6) / 7);
    assert_int_equal(head("s1"), (MANY + 5) / 7 + 1);
    must(aios_store_check(st, &err), &err);
    free(big);
    free(w);
}

static void claims_are_one_at_a_time(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_claim *a = NULL, *b = NULL;
    aios_claim_args any = AIOS_INIT(aios_claim_args);
    any.flags = AIOS_CLAIM_ANY;
    must(aios_store_claim(st, "run/1", NULL, &a, &err), &err);
    assert_string_equal(aios_claim_name(a), "run/1");
    assert_int_equal(aios_store_claim(st, "run/1", NULL, &b, &err), AIOS_EBUSY);
    char pid[24];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_non_null(strstr(err.msg, pid));
    must(aios_claim_renew(a, &err), &err);
    uint64_t epoch = aios_claim_epoch(a);
    assert_true(epoch > 0);
    aios_claim_release(a);
    must(aios_store_claim(st, "run/1", NULL, &a, &err), &err);
    assert_true(aios_claim_epoch(a) > epoch);
    assert_int_equal(aios_store_claim(st, "queue/", &any, &b, &err), AIOS_ENOENT);
    put("queue/z", "1");
    put("queue/a", "1");
    must(aios_store_claim(st, "queue/", &any, &b, &err), &err);
    assert_string_equal(aios_claim_name(b), "queue/z");
    aios_claim_release(a);
    must(aios_store_claim(st, "queue/", &any, &a, &err), &err);
    assert_string_equal(aios_claim_name(a), "queue/a");
    aios_claim *c = NULL;
    assert_int_equal(aios_store_claim(st, "queue/", &any, &c, &err), AIOS_ENOENT);
    assert_int_equal(aios_store_claim(st, "queue", &any, &c, &err), AIOS_EINVAL);
    assert_null(c);
    aios_claim_release(b);
    aios_claim_release(a);
}

static void a_claim_keeps_its_store(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_claim *c = NULL;
    must(aios_store_claim(st, "x", NULL, &c, &err), &err);
    aios_store *other = aios_store_ref(st);
    assert_ptr_equal(other, st);
    aios_store_close(other);
    aios_store_close(st);
    st = NULL;
    must(aios_claim_renew(c, &err), &err);
    aios_claim_release(c);
}

enum { THREADS = 8, ROUNDS = 60 };

/* Commits to a stream of its own and to one that all share, whose number it guesses. */
static void *work(void *user)
{
    char own[16];
    snprintf(own, sizeof own, "own/%d", (int)(intptr_t)user);
    for (int i = 0; i < ROUNDS; i++) {
        aios_store_write w[2] = {text(own, "x"), text("shared", own)};
        int rc;
        w[0].seq = (uint64_t)i + 1;
        do {
            aios_error err = AIOS_INIT(aios_error);
            uint64_t at = 0;
            if (aios_store_head(st, "shared", &at, &err))
                return "head";
            w[1].seq = at + 1;
            rc = aios_store_commit(st, w, 2, sizeof *w, NULL, &err);
        } while (rc == AIOS_ECONFLICT);
        if (rc)
            return "commit";
    }
    return NULL;
}

static void threads_commit_side_by_side(void **state)
{
    pthread_t t[THREADS];
    (void)state;
    for (intptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, work, (void *)i), 0);
    for (int i = 0; i < THREADS; i++) {
        void *why;
        pthread_join(t[i], &why);
        assert_null(why);
    }
    reopen();
    assert_int_equal(head("shared"), THREADS * ROUNDS);
    for (int i = 0; i < THREADS; i++) {
        char own[16];
        snprintf(own, sizeof own, "own/%d", i);
        assert_int_equal(head(own), ROUNDS);
    }
}

static void what_was_done_is_counted(void **state)
{
    (void)state;
    aios_store_info i = AIOS_INIT(aios_store_info);
    put("a", "12345");
    assert_int_equal(aios_store_info_get(st, &i), 0);
    assert_true(i.n_commits == 1 && i.n_writes == 1 && i.n_bytes == 5);
    assert_memory_equal(i.name, uri, strlen(i.name));
}

/* Records of many streams, read and claimed; for refusals of memory. */
static int use_all(aios_ctx *c, aios_error *err)
{
    aios_store *s = NULL;
    aios_claim *claim = NULL;
    shown seen = {.n = 0};
    name_store();
    int rc = register_kinds(c, err);
    rc = rc ? rc : aios_store_open(c, uri, NULL, &s, err);
    rc = rc ? rc : empty(s, err);
    for (int i = 0; i < 20 && !rc; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        aios_store_write w[2] = {text(name, "x"), text("all", "y")};
        rc = aios_store_commit(s, w, 2, sizeof *w, NULL, err);
    }
    rc = rc ? rc : aios_store_read(s, "all", 0, show, &seen, err);
    rc = rc ? rc : aios_store_claim(s, "all", NULL, &claim, err);
    if (!rc)
        assert_int_equal(seen.n, 20);
    aios_claim_release(claim);
    aios_store_close(s);
    return rc;
}

static void memory_that_runs_out_is_a_typed_failure(void **state)
{
    (void)state;
    refuse_every_allocation(use_all, 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(records_are_numbered_and_kept),
        T(a_commit_is_all_or_nothing),
        T(a_checkpoint_replaces_what_was_before),
        T(streams_are_listed_in_order_and_removed),
        T(what_a_callback_says_ends_the_reading),
        T(callbacks_may_use_the_store),
        T(bad_arguments_are_refused),
        T(large_commits_come_back_whole),
        T(claims_are_one_at_a_time),
        T(a_claim_keeps_its_store),
        T(threads_commit_side_by_side),
        T(what_was_done_is_counted),
        cmocka_unit_test(memory_that_runs_out_is_a_typed_failure),
    };
    pattern = argc > 1 ? argv[1] : "memory:x";
    plugin = argc > 2 ? argv[2] : NULL;
    int rc = cmocka_run_group_tests_name(pattern, tests, NULL, NULL);
    remove_file();
    return rc;
}

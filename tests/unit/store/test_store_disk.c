/* SPDX-License-Identifier: Apache-2.0 */
/* The store in a file while its disk fails, loses power or rots. Usage: test_store_disk [losses of power, 1000 [all flips, 0]] */
#include "test.h"

#include <unistd.h>

#include "disk_vfs.h"

enum { COMMITS = 24, MOST = 256, PAGES_AT = 7 };

static char uri[80], path[64];
static long n_losses = 1000;
static bool all_flips;

/* What was asked for and what came of it. */
typedef struct story {
    aios_ctx *ctx;
    aios_store *st;
    int said[MOST];         /* of commit i: its code */
    bool unknown[MOST];     /* it may be there or not */
    int n;
    aios_error err;
} story;

static void begin(story *s)
{
    *s = (story){.err = AIOS_INIT(aios_error)};
    s->ctx = test_ctx(NULL, 0);
    unlink(path);
}

static int open_store(story *s)
{
    s->err = (aios_error)AIOS_INIT(aios_error);
    return aios_store_open(s->ctx, uri, NULL, &s->st, &s->err);
}

static void end(story *s)
{
    aios_store_close(s->st);
    aios_ctx_free(s->ctx);
    unlink(path);
}

/* Commit number i: the same text to two streams; some are large, so that the log goes into the file now and then. */
static size_t text_of(int i, char *p, size_t size)
{
    size_t n = i == PAGES_AT ? size : (size_t)(i * 977 % 9000 + 8);
    memset(p, 'a' + i % 26, n);
    snprintf(p, 8, "%06d", i);
    return n;
}

static int commit_next(story *s, size_t size)
{
    static char p[(size_t)5 << 20];
    aios_store_write w[2] = {AIOS_INIT(aios_store_write), AIOS_INIT(aios_store_write)};
    w[0].stream = "a";
    w[1].stream = "b";
    w[0].data = w[1].data = p;
    w[0].n_data = text_of(s->n, p, size);
    w[1].n_data = 6;
    if (s->n % 5 == 4)
        w[1].flags = AIOS_WRITE_FORGET;
    int rc = aios_store_commit(s->st, w, 2, sizeof *w, NULL, &s->err);
    return s->said[s->n++] = rc;
}

/* The commits that are there, in order. */
typedef struct found {
    int list[MOST];
    int n;
} found;

static int note(void *user, const aios_record *r)
{
    static char want[(size_t)5 << 20];
    found *f = user;
    char number[8] = "";
    memcpy(number, r->data, 6);
    int i = atoi(number);
    if (!strcmp(r->stream, "a")) {
        if (r->n_data != text_of(i, want, r->n_data > 65536 ? r->n_data : 65536) || memcmp(want, r->data, r->n_data))
            fail_msg("record %d is another", i);
    }
    f->list[f->n++] = i;
    return 0;
}

/* Every commit that was told to be there is, none is half there, and none is there that was told not to be. */
static void check_what_is_there(story *s, const char *when)
{
    found a = {.n = 0}, b = {.n = 0};
    if (aios_store_check(s->st, &s->err) || aios_store_read(s->st, "a", 0, note, &a, &s->err) || aios_store_read(s->st, "b", 0, note, &b, &s->err))
        fail_msg("%s: %s", when, s->err.msg);
    int at = 0, last_forget = 0;
    for (int i = 0; i < s->n; i++) {
        bool there = at < a.n && a.list[at] == i;
        if (there)
            last_forget = i % 5 == 4 ? at : last_forget;
        if (there ? s->said[i] && !s->unknown[i] : !s->said[i])
            fail_msg("%s: commit %d, told %d, is %sthere; there are %d from %d", when, i, s->said[i], there ? "" : "not ", a.n, a.list[0]);
        at += there;
    }
    assert_int_equal(at, a.n);
    if (b.n != a.n - last_forget || memcmp(b.list, a.list + last_forget, (size_t)b.n * sizeof *b.list))
        fail_msg("%s: half a commit is there", when);
}

/* ---- faults --------------------------------------------------------------------------------------------------------- */

/* Runs a story in which one operation fails. False: there are not that many. */
static bool tell_with_fault(long at, disk_fault fault)
{
    static const char *const names[] = {"EIO", "ENOSPC", "short"};
    char when[64];
    story s;
    snprintf(when, sizeof when, "operation %ld, %s", at, names[fault]);
    disk_clear();
    begin(&s);
    the_disk.fail_at = at;
    the_disk.fault = fault;
    for (int i = 0; i < COMMITS && s.n < MOST; i++) {
        if (!s.st) {
            int opened = open_store(&s);
            if (opened && (opened >= 0 || !s.err.msg[0] || opened == AIOS_EINTERNAL))
                fail_msg("%s: open gave %d %s", when, opened, s.err.msg);
            if (opened)
                continue;
        }
        bool sync_was_fine = !the_disk.failed_a_sync;
        int rc = commit_next(&s, 600000);
        if (!rc)
            continue;
        if (rc != AIOS_EIO || !s.err.sys)
            fail_msg("%s: commit gave %d (%d) %s", when, rc, s.err.sys, s.err.msg);
        s.unknown[s.n - 1] = the_disk.failed_a_sync && sync_was_fine;
        if (the_disk.failed_a_sync) { /* nothing more is written until it is opened anew, but what there is can be read */
            uint64_t head;
            assert_int_equal(commit_next(&s, 600000), AIOS_EIO);
            assert_int_equal(aios_store_head(s.st, "a", &head, &s.err), 0);
            aios_store_close(s.st);
            s.st = NULL;
        }
    }
    bool hit = the_disk.n_ops >= at;
    the_disk.fail_at = 0;
    aios_store_close(s.st);
    s.st = NULL;
    must(open_store(&s), &s.err);
    check_what_is_there(&s, when);
    end(&s);
    return hit;
}

static void any_operation_may_fail(void **state)
{
    (void)state;
    long n = 0;
    for (int fault = DISK_EIO; fault <= DISK_SHORT; fault++)
        for (long at = 1; tell_with_fault(at, (disk_fault)fault); at++)
            n++;
    printf("%ld faults\n", n);
    assert_true(n > 500);
}

/* ---- loss of power -------------------------------------------------------------------------------------------------- */

static void tell_until(long stop_at)
{
    char when[64];
    story s;
    snprintf(when, sizeof when, "change %ld", stop_at);
    disk_clear();
    begin(&s);
    the_disk.stop_at = stop_at;
    while (s.n < COMMITS && !the_disk.stopped) {
        int rc = s.st || s.n ? 0 : open_store(&s);
        if (rc)
            break;
        rc = commit_next(&s, 4200000);
        s.unknown[s.n - 1] = rc != 0;
    }
    aios_store_close(s.st);
    s.st = NULL;
    disk_restart();
    if (open_store(&s))
        fail_msg("%s: %s", when, s.err.msg);
    check_what_is_there(&s, when);
    int rc = commit_next(&s, 600000);
    if (rc)
        fail_msg("%s: then %s", when, s.err.msg);
    check_what_is_there(&s, when);
    end(&s);
}

static void power_may_be_lost_at_any_time(void **state)
{
    (void)state;
    tell_until(0);
    long total = the_disk.n_changes;
    assert_true(total > 1000);
    the_disk.random = 1;
    for (long i = 0; i < n_losses; i++)
        tell_until(1 + (long)(disk_random() % (uint64_t)total));
    printf("%ld losses of power\n", n_losses);
}

/* ---- rot ------------------------------------------------------------------------------------------------------------ */

/* Everything that a store says, as one sum. */
static int digest_record(void *user, const aios_record *r)
{
    uint64_t *h = user;
    const unsigned char *p = r->data;
    *h = *h * 31 + r->seq + (uint64_t)r->wall_us + r->kind;
    for (size_t i = 0; i < r->n_data; i++)
        *h = *h * 31 + p[i];
    return 0;
}

typedef struct digest {
    aios_store *st;
    aios_error *err;
    uint64_t h;
} digest;

static int digest_stream(void *user, const aios_stream *s)
{
    digest *d = user;
    for (const char *p = s->name; *p; p++)
        d->h = d->h * 31 + (unsigned char)*p;
    d->h = d->h * 31 + s->head * 7 + s->first + (uint64_t)s->written_us;
    return aios_store_read(d->st, s->name, 0, digest_record, &d->h, d->err);
}

static int digest_all(aios_ctx *c, uint32_t flags, uint64_t *out, aios_error *err)
{
    aios_store_config cfg = AIOS_INIT(aios_store_config);
    digest d = {.err = err};
    cfg.flags = flags;
    int rc = aios_store_open(c, uri, &cfg, &d.st, err);
    rc = rc ? rc : aios_store_list(d.st, NULL, digest_stream, &d, err);
    aios_store_close(d.st);
    *out = d.h;
    return rc;
}

static void a_flipped_bit_is_told_or_harmless(void **state)
{
    (void)state;
    story s;
    disk_clear();
    begin(&s);
    must(open_store(&s), &s.err);
    for (int i = 0; i < 6; i++)
        assert_int_equal(commit_next(&s, 100), 0);
    aios_store_close(s.st);
    s.st = NULL;
    disk_node *f = disk_find(path);
    size_t n = f->now.n;
    unsigned char *whole = malloc(n);
    memcpy(whole, f->now.p, n);
    uint64_t want, got;
    must(digest_all(s.ctx, AIOS_STORE_READ_ONLY, &want, &s.err), &s.err);
    long told = 0, harmless = 0;
    for (size_t at = 0; at < n; at += all_flips ? 1 : 1 + disk_random() % 3)
        for (int bit = 0; bit < 8; bit++) {
            if (!all_flips && disk_random() % 4)
                continue;
            disk_find(path)->now.exists = true;
            disk_clear();
            f = disk_find(path);
            disk_apply(&f->now, false, 0, whole, n);
            f->now.exists = true;
            f->now.p[at] ^= (unsigned char)(1 << bit);
            s.err = (aios_error)AIOS_INIT(aios_error);
            int rc = digest_all(s.ctx, bit % 2 ? AIOS_STORE_READ_ONLY : 0, &got, &s.err);
            if (rc ? rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_EIO : got != want)
                fail_msg("byte %zu, bit %d: %d %s", at, bit, rc, rc ? s.err.msg : "other data");
            told += rc != 0;
            harmless += !rc;
        }
    printf("%ld flips told, %ld harmless\n", told, harmless);
    assert_true(told > 500);
    free(whole);
    end(&s);
}

static int use_disk(void **state)
{
    (void)state;
    disk_use(true);
    return 0;
}

static int leave_disk(void **state)
{
    (void)state;
    disk_clear();
    disk_use(false);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_operation_may_fail),
        cmocka_unit_test(power_may_be_lost_at_any_time),
        cmocka_unit_test(a_flipped_bit_is_told_or_harmless),
    };
    if (argc > 1)
        n_losses = strtol(argv[1], NULL, 10);
    all_flips = argc > 2 && argv[2][0] == '1';
    snprintf(path, sizeof path, "/tmp/aios-disk-%ld", (long)getpid());
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    return cmocka_run_group_tests(tests, use_disk, leave_disk);
}

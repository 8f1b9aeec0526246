/* SPDX-License-Identifier: Apache-2.0 */
/* The memory in a file while its disk fails, loses power or rots. Usage: test_memory_disk [losses of power, 200 [flips, 4000]] */
#include "test.h"

#include <unistd.h>

#include "unit/store/disk_vfs.h"

enum { STEPS = 10, MOST = 64 };

static char uri[80], path[64];
static long n_losses = 200, n_flips = 4000;

/* What was asked for and what came of it: step i adds two items "step<i>" of which one has a key; every third removes the one before. */
typedef struct story {
    aios_ctx *ctx;
    aios_memory *m;
    int said[MOST];      /* of step i: its code */
    bool unknown[MOST];  /* it may be there or not */
    uint64_t ids[MOST];  /* of its second item */
    int removed[MOST];   /* by which step, 0: none */
    int n;
    aios_error err;
} story;

static void begin(story *s)
{
    *s = (story){.err = AIOS_INIT(aios_error)};
    s->ctx = test_ctx(NULL, 0);
    unlink(path);
}

static int open_memory(story *s)
{
    s->err = (aios_error)AIOS_INIT(aios_error);
    return aios_memory_open(s->ctx, uri, NULL, &s->m, &s->err);
}

static void end(story *s)
{
    aios_memory_close(s->m);
    aios_ctx_free(s->ctx);
    unlink(path);
}

static int add_step(story *s)
{
    static char text[20000];
    char key[16];
    uint64_t ids[2] = {0};
    aios_item it[2] = {AIOS_INIT(aios_item), AIOS_INIT(aios_item)};
    int n = snprintf(text, sizeof text, "step%d ", s->n);
    for (size_t i = (size_t)n; s->n % 4 == 3 && i < sizeof text - 1; i++) /* many words, so that the index is merged and the log moved now and then */
        text[i] = i % 6 ? (char)('a' + disk_random() % 26) : ' ';
    text[s->n % 4 == 3 ? sizeof text - 1 : (size_t)n] = 0;
    snprintf(key, sizeof key, "k%d", s->n);
    for (int k = 0; k < 2; k++) {
        it[k].text = text;
        it[k].n_text = AIOS_CSTR;
        it[k].label = (aios_label){AIOS_LABEL_TOOL, 0, 8};
    }
    it[0].key = key;
    int rc = aios_memory_add(s->m, it, 2, sizeof *it, ids, &s->err);
    s->ids[s->n] = ids[1];
    return s->said[s->n++] = rc;
}

/* Removes the second item of a step that went well. */
static int remove_step(story *s, int at)
{
    if (s->said[at] || s->removed[at])
        return 0;
    s->removed[at] = s->n;
    int rc = aios_memory_remove(s->m, s->ids[at], NULL, &s->err);
    if (rc)
        s->removed[at] = -1; /* perhaps */
    return rc;
}

static int count_hit(void *user, const aios_hit *h)
{
    assert_int_equal(h->item->label.integrity, AIOS_LABEL_TOOL);
    assert_int_equal(h->item->label.confidentiality, 8);
    ++*(int *)user;
    return 0;
}

static int count_words(story *s, int i)
{
    char word[16];
    int n = 0;
    aios_query q = AIOS_INIT(aios_query);
    snprintf(word, sizeof word, "step%d", i);
    q.text = word;
    q.n_text = AIOS_CSTR;
    q.readers = 8;
    must(aios_memory_search(s->m, &q, count_hit, &n, &s->err), &s->err);
    return n;
}

/* Every step that was told to be there is, none is half there, and none is there that was told not to be. */
static void check_what_is_there(story *s, const char *when)
{
    if (aios_memory_check(s->m, &s->err))
        fail_msg("%s: %s", when, s->err.msg);
    for (int i = 0; i < s->n; i++) {
        int n = count_words(s, i), want = s->said[i] ? 0 : s->removed[i] > 0 ? 1 : 2;
        bool fine = n == want || (s->unknown[i] && (n == 0 || n == 2)) || (s->removed[i] < 0 && n == 1);
        if (!fine)
            fail_msg("%s: step %d, told %d, removed %d, is there %d times", when, i, s->said[i], s->removed[i], n);
    }
}

static void tell(story *s)
{
    int rc = open_memory(s);
    while (!rc && s->n < STEPS) {
        add_step(s);
        if (s->n % 3 == 2)
            remove_step(s, s->n - 1);
        if (s->n % 4 == 0)
            count_words(s, s->n - 1);
    }
}

/* ---- faults ------------------------------------------------------------------------------------------------------- */

/* A search that the fault hits may fail; all else is held against what was told. */
static bool tell_with_fault(long at, disk_fault fault)
{
    static const char *const names[] = {"EIO", "ENOSPC", "short"};
    char when[64];
    story s;
    disk_clear();
    begin(&s);
    the_disk.fault = fault;
    the_disk.fail_at = at;
    snprintf(when, sizeof when, "%s at operation %ld", names[fault], at);
    int rc = open_memory(&s);
    if (rc && rc != AIOS_EIO && rc != AIOS_EDENIED && rc != AIOS_ENOENT)
        fail_msg("%s: opened with %d %s", when, rc, s.err.msg);
    while (!rc && s.n < STEPS) {
        int said = add_step(&s);
        if (said && said != AIOS_EIO)
            fail_msg("%s: step %d gave %d %s", when, s.n - 1, said, s.err.msg);
        s.unknown[s.n - 1] = said && the_disk.failed_a_sync;
        if (s.n % 3 == 2)
            remove_step(&s, s.n - 1);
    }
    bool hit = the_disk.n_ops >= at;
    the_disk.fail_at = 0;
    aios_memory_close(s.m);
    s.m = NULL;
    must(open_memory(&s), &s.err);
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
    assert_true(n > 300);
}

/* ---- power -------------------------------------------------------------------------------------------------------- */

static void power_may_be_lost_at_any_time(void **state)
{
    (void)state;
    story s;
    char when[64];
    disk_clear();
    begin(&s);
    tell(&s);
    long total = the_disk.n_changes;
    end(&s);
    the_disk.random = 1;
    for (long i = 0; i < n_losses; i++) {
        disk_clear();
        begin(&s);
        the_disk.stop_at = 1 + (long)(disk_random() % (uint64_t)total);
        snprintf(when, sizeof when, "stopped at change %ld", the_disk.stop_at);
        int rc = open_memory(&s);
        while (!rc && s.n < STEPS && !the_disk.stopped) {
            add_step(&s);
            s.unknown[s.n - 1] = s.said[s.n - 1];
            if (s.n % 3 == 2 && !the_disk.stopped)
                remove_step(&s, s.n - 1);
        }
        aios_memory_close(s.m);
        s.m = NULL;
        disk_restart();
        must(open_memory(&s), &s.err);
        check_what_is_there(&s, when);
        end(&s);
    }
    printf("%ld losses of power\n", n_losses);
}

/* ---- rot ---------------------------------------------------------------------------------------------------------- */

static int digest_hit(void *user, const aios_hit *h)
{
    uint64_t *d = user;
    for (const char *p = h->item->text; *p; p++)
        *d = *d * 31 + (unsigned char)*p;
    *d = *d * 31 + h->item->id + h->item->label.confidentiality * 3 + (uint64_t)h->item->label.integrity;
    for (const char *p = h->item->scope; *p; p++)
        *d = *d * 31 + (unsigned char)*p;
    return 0;
}

/* What there is: its check, then all that it lists. */
static int digest_all(aios_ctx *c, uint64_t *out, aios_error *err)
{
    aios_memory *m = NULL;
    aios_query q = AIOS_INIT(aios_query);
    q.flags = AIOS_QUERY_ANY_SCOPE;
    q.readers = UINT64_MAX;
    *out = 0;
    int rc = aios_memory_open(c, uri, NULL, &m, err);
    rc = rc ? rc : aios_memory_check(m, err);
    rc = rc ? rc : aios_memory_list(m, &q, digest_hit, out, err);
    aios_memory_close(m);
    return rc;
}

static void a_flipped_bit_is_told_or_harmless(void **state)
{
    (void)state;
    story s;
    disk_clear();
    begin(&s);
    must(open_memory(&s), &s.err);
    for (int i = 0; i < 3; i++)
        assert_int_equal(add_step(&s), 0);
    aios_memory_close(s.m);
    s.m = NULL;
    disk_node *f = disk_find(path);
    size_t n = f->now.n;
    unsigned char *whole = malloc(n);
    memcpy(whole, f->now.p, n);
    uint64_t want, got;
    must(digest_all(s.ctx, &want, &s.err), &s.err);
    long told = 0, harmless = 0;
    for (long i = 0; i < n_flips; i++) {
        size_t at = disk_random() % n;
        if (!whole[at] && disk_random() % 8) /* most of it is empty */
            continue;
        disk_clear();
        f = disk_find(path);
        disk_apply(&f->now, false, 0, whole, n);
        f->now.exists = true;
        f->now.p[at] ^= (unsigned char)(1 << disk_random() % 8);
        s.err = (aios_error)AIOS_INIT(aios_error);
        int rc = digest_all(s.ctx, &got, &s.err);
        if (rc ? rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_EIO : got != want)
            fail_msg("byte %zu: %d %s", at, rc, rc ? s.err.msg : "other data");
        told += rc != 0;
        harmless += !rc;
    }
    printf("%ld flips told, %ld harmless\n", told, harmless);
    assert_true(told > 100);
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
    if (argc > 2)
        n_flips = strtol(argv[2], NULL, 10);
    snprintf(path, sizeof path, "/tmp/aios-recall-disk-%ld", (long)getpid());
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    return cmocka_run_group_tests(tests, use_disk, leave_disk);
}

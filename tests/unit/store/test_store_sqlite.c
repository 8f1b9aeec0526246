/* SPDX-License-Identifier: Apache-2.0 */
/* The store in a file among other processes and other programs' files. Usage: test_store_sqlite [kills, 200] */
#include "test.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char uri[80], path[64];
static long n_kills = 200;
static aios_ctx *ctx;

static void remove_file(void)
{
    char wal[80];
    snprintf(wal, sizeof wal, "%s-wal", path);
    unlink(wal);
    unlink(path);
}

static int setup(void **state)
{
    (void)state;
    remove_file();
    ctx = test_ctx(NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_ctx_free(ctx);
    remove_file();
    return 0;
}

static int open_as(uint32_t flags, aios_store **st, aios_error *err)
{
    aios_store_config cfg = AIOS_INIT(aios_store_config);
    cfg.flags = flags;
    *err = (aios_error)AIOS_INIT(aios_error);
    return aios_store_open(ctx, uri, &cfg, st, err);
}

/* Commits i to two streams, whose numbers it must get. */
static int commit_number(aios_store *st, uint64_t i, aios_error *err)
{
    char p[3000];
    aios_store_write w[2] = {AIOS_INIT(aios_store_write), AIOS_INIT(aios_store_write)};
    memset(p, (int)('a' + i % 26), sizeof p);
    w[0].stream = "run/1";
    w[1].stream = "audit/1";
    for (int k = 0; k < 2; k++) {
        w[k].data = p;
        w[k].n_data = 1 + (size_t)(i * 331 % sizeof p);
        w[k].seq = i;
    }
    return aios_store_commit(st, w, 2, sizeof *w, NULL, err);
}

static int check_number(void *user, const aios_record *r)
{
    const char *p = r->data;
    (void)user;
    assert_int_equal(r->n_data, 1 + r->seq * 331 % 3000);
    assert_true(p[0] == (char)('a' + r->seq % 26) && p[r->n_data - 1] == p[0]);
    return 0;
}

/* ---- kill ----------------------------------------------------------------------------------------------------------- */

/* Commits for ever, and tells each commit that is done. Never returns. */
static void child(int fd)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store *st = NULL;
    uint64_t at = 0;
    aios_ctx_new(NULL, &ctx, &err);
    if (open_as(0, &st, &err) || aios_store_head(st, "run/1", &at, &err))
        _exit(3);
    for (;;) {
        if (write(fd, &at, sizeof at) != sizeof at || commit_number(st, ++at, &err))
            _exit(4);
    }
}

/* The last commit that was told when the child was killed after so many microseconds. */
static uint64_t run_and_kill(useconds_t after_us)
{
    int fds[2], status;
    uint64_t told = 0, n;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (!pid) {
        close(fds[0]);
        child(fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &told, sizeof told), sizeof told);
    usleep(after_us);
    kill(pid, SIGKILL);
    while (read(fds[0], &n, sizeof n) == sizeof n)
        told = n;
    waitpid(pid, &status, 0);
    close(fds[0]);
    assert_true(WIFSIGNALED(status));
    return told;
}

static void what_was_told_survives_kill_9(void **state)
{
    (void)state;
    aios_error err;
    aios_store *st = NULL;
    uint64_t lost = 0, a = 0, b = 0;
    srand(7);
    for (long i = 0; i < n_kills; i++) {
        uint64_t told = run_and_kill((useconds_t)(rand() % 20000));
        must(open_as(0, &st, &err), &err);
        must(aios_store_head(st, "run/1", &a, &err), &err);
        must(aios_store_head(st, "audit/1", &b, &err), &err);
        lost += a < told;
        if (a != b || a < told || a > told + 1)
            fail_msg("kill %ld: told %d, there are %d and %d", i, (int)told, (int)a, (int)b);
        if (i % 50 == 49 || i == n_kills - 1)
            must(aios_store_check(st, &err), &err);
        aios_store_close(st);
    }
    must(open_as(AIOS_STORE_READ_ONLY, &st, &err), &err);
    must(aios_store_read(st, "run/1", 0, check_number, NULL, &err), &err);
    aios_store_close(st);
    printf("%ld kills, %d commits, %d lost\n", n_kills, (int)a, (int)lost);
    assert_true(a > (uint64_t)n_kills / 2);
}

/* ---- others --------------------------------------------------------------------------------------------------------- */

static void a_second_process_is_told_who_has_it(void **state)
{
    (void)state;
    int fds[2], status;
    uint64_t told;
    aios_error err;
    aios_store *st = NULL;
    char name[24];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (!pid)
        child(fds[1]);
    assert_int_equal(read(fds[0], &told, sizeof told), sizeof told);
    for (uint32_t flags = 0; flags <= AIOS_STORE_READ_ONLY; flags++) {
        assert_int_equal(open_as(flags, &st, &err), AIOS_EBUSY);
        assert_null(st);
        snprintf(name, sizeof name, "process %ld ", (long)pid);
        if (!strstr(err.msg, name))
            fail_msg("%s", err.msg);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    must(open_as(0, &st, &err), &err);
    aios_store *second = NULL;
    assert_int_equal(open_as(0, &second, &err), AIOS_EBUSY);
    assert_non_null(strstr(err.msg, "this process"));
    uint64_t at;
    must(aios_store_head(st, "run/1", &at, &err), &err);
    must(commit_number(st, at + 1, &err), &err); /* its locks are still its own */
    aios_store_close(st);
    close(fds[0]);
    close(fds[1]);
}

static void fill(int n)
{
    aios_error err;
    aios_store *st = NULL;
    must(open_as(0, &st, &err), &err);
    for (int i = 1; i <= n; i++)
        must(commit_number(st, (uint64_t)i, &err), &err);
    aios_store_close(st);
}

static void a_file_is_its_owners_and_stays_as_it_is_for_readers(void **state)
{
    (void)state;
    struct stat before, after;
    aios_error err;
    aios_store *st = NULL;
    aios_claim *c = NULL;
    mode_t mask = umask(0);
    assert_int_equal(open_as(AIOS_STORE_READ_ONLY, &st, &err), AIOS_ENOENT);
    fill(3);
    umask(mask);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    must(open_as(AIOS_STORE_READ_ONLY, &st, &err), &err);
    must(aios_store_read(st, "run/1", 0, check_number, NULL, &err), &err);
    must(aios_store_check(st, &err), &err);
    assert_int_equal(commit_number(st, 4, &err), AIOS_ESTATE);
    assert_int_equal(aios_store_remove(st, "run/1", &err), AIOS_ESTATE);
    assert_int_equal(aios_store_claim(st, "run/1", NULL, &c, &err), AIOS_ESTATE);
    aios_store_close(st);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_size == after.st_size && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
}

/* As another user, who may only read. */
static void a_file_that_may_not_be_written_is_read(void **state)
{
    (void)state;
    fill(3);
    if (geteuid())
        return;
    chmod(path, 0444);
    pid_t pid = fork();
    int status;
    if (!pid) {
        aios_error err;
        aios_store *st = NULL;
        uint64_t at = 0;
        if (setuid(65534) || open_as(0, &st, &err) >= 0 || open_as(AIOS_STORE_READ_ONLY, &st, &err) || aios_store_head(st, "run/1", &at, &err))
            _exit(1);
        _exit(at == 3 ? 0 : 2);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void run_sql(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why))
        fail_msg("%s: %s", sql, why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void crafted_files_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *sql;
        int code;
    } rows[] = {
        {"CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM stream; END", AIOS_EFORMAT},
        {"CREATE VIEW v AS SELECT 1", AIOS_EFORMAT},
        {"CREATE INDEX i ON record(kind)", AIOS_EFORMAT},
        {"CREATE TABLE t(x)", AIOS_EFORMAT},
        {"ALTER TABLE record ADD COLUMN more INTEGER DEFAULT 0", AIOS_EFORMAT},
        {"DROP TABLE meta", AIOS_EFORMAT},
        {"DROP TABLE stream; CREATE VIEW stream AS SELECT 1 AS id, 'a' AS name, 1 AS first, 1 AS head, 1 AS wall, 1 AS sum", AIOS_EFORMAT},
        {"DELETE FROM stream", AIOS_EFORMAT},
        {"UPDATE stream SET head = head + 1", AIOS_EFORMAT},
        {"UPDATE stream SET name = 'run/2' WHERE name = 'run/1'", AIOS_EFORMAT},
        {"UPDATE meta SET digest = 1", AIOS_EFORMAT},
        {"PRAGMA user_version = 2", AIOS_EVERSION},
        {"PRAGMA user_version = 0", AIOS_EFORMAT},
        {"PRAGMA application_id = 7", AIOS_EFORMAT},
        {"DELETE FROM record WHERE seq = 2", 0},
        {"UPDATE record SET data = x'00' WHERE seq = 2", 0},
        {"UPDATE record SET seq = seq + 10 WHERE seq = 3", 0},
        {"UPDATE record SET kind = 9 WHERE seq = 2", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err;
        aios_store *st = NULL;
        remove_file();
        fill(3);
        run_sql(rows[i].sql);
        int rc = open_as(0, &st, &err);
        if (rc != rows[i].code)
            fail_msg("%s: %d %s", rows[i].sql, rc, err.msg);
        if (!rc) { /* the records are held against their sums when they are read */
            assert_int_equal(aios_store_read(st, "run/1", 0, check_number, NULL, &err), AIOS_EFORMAT);
            assert_non_null(strstr(err.msg, i == 16 ? "record 3 of stream run/1" : "record 2 of stream run/1"));
            assert_int_equal(aios_store_check(st, &err), AIOS_EFORMAT);
        }
        aios_store_close(st);
    }
}

static void what_is_no_store_stays_as_it_is(void **state)
{
    (void)state;
    aios_error err;
    aios_store *st = NULL;
    run_sql("CREATE TABLE their(x); INSERT INTO their VALUES(1)");
    assert_int_equal(open_as(0, &st, &err), AIOS_EFORMAT);
    run_sql("INSERT INTO their VALUES(2)");
    remove_file();
    FILE *f = fopen(path, "w");
    fputs("This is a letter, and no store at all; it is long enough to be one, though.", f);
    for (int i = 0; i < 200; i++)
        fputs(" So much for that, and so on.", f);
    fclose(f);
    assert_int_equal(open_as(0, &st, &err), AIOS_EFORMAT);
    remove_file();
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_as(0, &st, &err), AIOS_EINVAL);
    rmdir(path);
    assert_int_equal(aios_store_open(ctx, "sqlite:", NULL, &st, &err), AIOS_EINVAL);
    assert_int_equal(aios_store_open(ctx, "sqlite:/nowhere/at/all", NULL, &st, &err), AIOS_ENOENT);
    assert_int_equal(aios_store_open(ctx, "nosuch:x", NULL, &st, &err), AIOS_ENOTSUP);
    assert_int_equal(aios_store_open(ctx, "plain", NULL, &st, &err), AIOS_EINVAL);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(what_was_told_survives_kill_9),
        T(a_second_process_is_told_who_has_it),
        T(a_file_is_its_owners_and_stays_as_it_is_for_readers),
        T(a_file_that_may_not_be_written_is_read),
        T(crafted_files_are_refused),
        T(what_is_no_store_stays_as_it_is),
    };
    if (argc > 1)
        n_kills = strtol(argv[1], NULL, 10);
    snprintf(path, sizeof path, "/tmp/aios-sqlite-%ld", (long)getpid());
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The memory in a file among other processes and other programs' files; its limits; texts of many languages. Usage: test_memory_sqlite [kills, 100] */
#include "test.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char uri[80], path[64];
static long n_kills = 100;
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

static int open_as(uint32_t flags, aios_memory **m, aios_error *err)
{
    aios_memory_config cfg = AIOS_INIT(aios_memory_config);
    cfg.flags = flags;
    *err = (aios_error)AIOS_INIT(aios_error);
    return aios_memory_open(ctx, uri, &cfg, m, err);
}

static aios_item item(const char *text)
{
    aios_item it = AIOS_INIT(aios_item);
    it.text = text;
    it.n_text = AIOS_CSTR;
    return it;
}

static int add(aios_memory *m, const char *text, aios_error *err)
{
    aios_item it = item(text);
    return aios_memory_add(m, &it, 1, sizeof it, NULL, err);
}

static int note(void *user, const aios_hit *h)
{
    char *s = user;
    size_t n = strlen(s);
    snprintf(s + n, 1024 - n, "%s%s", n ? "|" : "", h->item->text);
    return 0;
}

static const char *found(aios_memory *m, const char *words)
{
    static char s[1024];
    aios_error err = AIOS_INIT(aios_error);
    aios_query q = AIOS_INIT(aios_query);
    q.text = words;
    q.n_text = AIOS_CSTR;
    *s = 0;
    must(aios_memory_search(m, &q, note, s, &err), &err);
    return s;
}

/* ---- kill --------------------------------------------------------------------------------------------------------- */

/* Adds for ever, each number as two items and with a key, and tells each that is done. Never returns. */
static void child(int fd)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_memory *m = NULL;
    uint64_t at = 0;
    aios_ctx_new(NULL, &ctx, &err);
    if (open_as(0, &m, &err) || aios_memory_count(m, NULL, &at, &err) || at % 2)
        _exit(3);
    for (at /= 2;;) {
        char text[64], key[32];
        if (write(fd, &at, sizeof at) != sizeof at)
            _exit(4);
        snprintf(text, sizeof text, "number n%llu of many", (unsigned long long)++at);
        snprintf(key, sizeof key, "k%llu", (unsigned long long)at);
        aios_item it[2] = {item(text), item(text)};
        it[0].key = key;
        if (aios_memory_add(m, it, 2, sizeof *it, NULL, &err))
            _exit(5);
    }
}

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
    aios_memory *m = NULL;
    uint64_t n = 0, id;
    srand(7);
    for (long i = 0; i < n_kills; i++) {
        char word[32], want[64];
        uint64_t told = run_and_kill((useconds_t)(rand() % 20000));
        must(open_as(0, &m, &err), &err);
        must(aios_memory_count(m, NULL, &n, &err), &err);
        if (n % 2 || n / 2 < told || n / 2 > told + 1)
            fail_msg("kill %ld: told %d, there are %d items", i, (int)told, (int)n);
        if (told) {
            snprintf(word, sizeof word, "n%d", (int)told);
            snprintf(want, sizeof want, "number n%d of many|number n%d of many", (int)told, (int)told);
            assert_string_equal(found(m, word), want);
            snprintf(word, sizeof word, "k%d", (int)told);
            must(aios_memory_find(m, word, &id, &err), &err);
        }
        if (i % 20 == 19 || i == n_kills - 1)
            must(aios_memory_check(m, &err), &err);
        aios_memory_close(m);
    }
    printf("%ld kills, %d items\n", n_kills, (int)n);
    assert_true(n > (uint64_t)n_kills / 2);
}

/* ---- others ------------------------------------------------------------------------------------------------------- */

static void a_second_process_is_told_who_has_it(void **state)
{
    (void)state;
    int fds[2], status;
    uint64_t told;
    aios_error err;
    aios_memory *m = NULL, *second = NULL;
    char name[24];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (!pid)
        child(fds[1]);
    assert_int_equal(read(fds[0], &told, sizeof told), sizeof told);
    snprintf(name, sizeof name, "process %ld ", (long)pid);
    for (uint32_t flags = 0; flags <= AIOS_MEMORY_READ_ONLY; flags++) {
        assert_int_equal(open_as(flags, &m, &err), AIOS_EBUSY);
        assert_non_null(strstr(err.msg, name));
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    must(open_as(0, &m, &err), &err);
    assert_int_equal(open_as(0, &second, &err), AIOS_EBUSY);
    assert_non_null(strstr(err.msg, "this process"));
    aios_memory_close(m);
    close(fds[0]);
    close(fds[1]);
}

static void fill(void)
{
    aios_error err;
    aios_memory *m = NULL;
    must(open_as(0, &m, &err), &err);
    aios_item it[3] = {item("black tea"), item("green tea"), item("cold milk")};
    it[1].scope = "b";
    it[2].label = (aios_label){AIOS_LABEL_USER, 0, 4};
    must(aios_memory_add(m, it, 3, sizeof *it, NULL, &err), &err);
    aios_memory_close(m);
}

static void a_file_is_its_owners_and_stays_as_it_is_for_readers(void **state)
{
    (void)state;
    struct stat before, after;
    aios_error err;
    aios_memory *m = NULL;
    uint64_t n;
    mode_t mask = umask(0);
    assert_int_equal(open_as(AIOS_MEMORY_READ_ONLY, &m, &err), AIOS_ENOENT);
    fill();
    umask(mask);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    must(open_as(AIOS_MEMORY_READ_ONLY, &m, &err), &err);
    assert_string_equal(found(m, "tea"), "black tea");
    must(aios_memory_check(m, &err), &err);
    must(aios_memory_count(m, NULL, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(add(m, "x", &err), AIOS_ESTATE);
    assert_int_equal(aios_memory_remove(m, 5, NULL, &err), AIOS_ESTATE);
    aios_memory_close(m);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_size == after.st_size && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
}

/* As another user, who may only read. */
static void a_file_that_may_not_be_written_is_read(void **state)
{
    (void)state;
    fill();
    if (geteuid())
        return;
    chmod(path, 0444);
    pid_t pid = fork();
    int status;
    if (!pid) {
        aios_error err;
        aios_memory *m = NULL;
        if (setuid(65534) || open_as(0, &m, &err) >= 0 || open_as(AIOS_MEMORY_READ_ONLY, &m, &err))
            _exit(1);
        _exit(strcmp(found(m, "tea"), "black tea") ? 2 : 0);
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

static int pass(void *user, const aios_hit *h)
{
    (void)user;
    (void)h;
    return 0;
}

/* All that can be seen. */
static int list_all(aios_memory *m, aios_error *err)
{
    aios_query q = AIOS_INIT(aios_query);
    q.flags = AIOS_QUERY_ANY_SCOPE;
    q.readers = UINT64_MAX;
    return aios_memory_list(m, &q, pass, NULL, err);
}

static void crafted_files_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *sql;
        int code;       /* of opening */
        bool listed;    /* listing finds it; if not, check does */
    } rows[] = {
        {"CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM stat; END", AIOS_EFORMAT, false},
        {"CREATE VIEW v AS SELECT 1", AIOS_EFORMAT, false},
        {"CREATE INDEX i ON item(kind)", AIOS_EFORMAT, false},
        {"CREATE TABLE t(x)", AIOS_EFORMAT, false},
        {"ALTER TABLE item ADD COLUMN more INTEGER DEFAULT 0", AIOS_EFORMAT, false},
        {"DROP TABLE stat", AIOS_EFORMAT, false},
        {"DROP TABLE fts", AIOS_EFORMAT, false},
        {"DROP TABLE fts; CREATE VIRTUAL TABLE fts USING fts5(text, scope, tokenize=\"porter\", columnsize=0)", AIOS_EFORMAT, false},
        {"DROP TABLE fts; CREATE TABLE fts(text, scope)", AIOS_EFORMAT, false},
        {"PRAGMA user_version = 2", AIOS_EVERSION, false},
        {"PRAGMA user_version = 0", AIOS_EFORMAT, false},
        {"PRAGMA application_id = 7", AIOS_EFORMAT, false},
        {"PRAGMA application_id = 1634299763", AIOS_EFORMAT, false}, /* a store */
        {"UPDATE item SET classes = 0", 0, true},
        {"UPDATE item SET integrity = 3 WHERE id = 1", 0, true},
        {"UPDATE item SET integrity = 4294967298 WHERE id = 1", 0, true},
        {"UPDATE item SET expires = 4000000000000000 WHERE id = 2", 0, true},
        {"UPDATE item SET source = 'nowhere' WHERE id = 2", 0, true},
        {"UPDATE item SET key = 'k' WHERE id = 2", 0, true},
        {"UPDATE scope SET name = 'c' WHERE name = 'b'", 0, true},
        {"DELETE FROM scope WHERE name = 'b'", 0, true},
        {"UPDATE fts_content SET c0 = 'green beer' WHERE id = 2", 0, true},
        {"DELETE FROM fts_content WHERE id = 2", 0, true},
        {"UPDATE fts_content SET c0 = CAST(c0 || x'00' AS TEXT) WHERE id = 2", 0, true},
        {"DELETE FROM item WHERE id = 2", 0, false},
        {"DELETE FROM stat", 0, false},
        {"UPDATE stat SET items = items + 1", 0, false},
        {"INSERT INTO fts(fts, rowid, text, scope) VALUES('delete', 1, 'black tea', '')", 0, false},
        {"DELETE FROM fts_data WHERE id > 10", 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err;
        aios_memory *m = NULL;
        remove_file();
        fill();
        if (i == 27) /* the command is for tables without a content of their own */
            run_sql("DELETE FROM fts WHERE rowid = 1; INSERT INTO fts(rowid, text, scope) VALUES(1, 'other words', 's0000000000000001'); "
                    "UPDATE fts_content SET c0 = 'black tea' WHERE id = 1");
        else
            run_sql(rows[i].sql);
        int rc = open_as(0, &m, &err);
        if (rc != rows[i].code)
            fail_msg("%s: %d %s", rows[i].sql, rc, err.msg);
        if (!rc) {
            rc = list_all(m, &err);
            if (rc != (rows[i].listed ? AIOS_EFORMAT : 0))
                fail_msg("%s: listed, %d %s", rows[i].sql, rc, err.msg);
            rc = aios_memory_check(m, &err);
            if (rc != AIOS_EFORMAT)
                fail_msg("%s: checked, %d %s", rows[i].sql, rc, rc ? err.msg : "");
        }
        aios_memory_close(m);
    }
}

static void what_is_no_memory_stays_as_it_is(void **state)
{
    (void)state;
    aios_error err;
    aios_memory *m = NULL;
    aios_store *st = NULL;
    run_sql("CREATE TABLE their(x); INSERT INTO their VALUES(1)");
    assert_int_equal(open_as(0, &m, &err), AIOS_EFORMAT);
    run_sql("INSERT INTO their VALUES(2)");
    remove_file();
    must(aios_store_open(ctx, uri, NULL, &st, &err), &err);
    aios_store_close(st);
    assert_int_equal(open_as(0, &m, &err), AIOS_EFORMAT);
    must(aios_store_open(ctx, uri, NULL, &st, &err), &err);
    aios_store_close(st);
    remove_file();
    fill();
    assert_int_equal(aios_store_open(ctx, uri, NULL, &st, &err), AIOS_EFORMAT);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 200; i++)
        fputs("This is a letter, and no memory at all.", f);
    fclose(f);
    assert_int_equal(open_as(0, &m, &err), AIOS_EFORMAT);
    remove_file();
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_as(0, &m, &err), AIOS_EINVAL);
    rmdir(path);
    assert_int_equal(aios_memory_open(ctx, "sqlite:", NULL, &m, &err), AIOS_EINVAL);
    assert_int_equal(aios_memory_open(ctx, "sqlite:/nowhere/at/all", NULL, &m, &err), AIOS_ENOENT);
    assert_int_equal(aios_memory_open(ctx, "nosuch:x", NULL, &m, &err), AIOS_ENOTSUP);
    assert_int_equal(aios_memory_open(ctx, "memory:x", NULL, &m, &err), AIOS_EINVAL);
    assert_int_equal(aios_memory_open(ctx, "plain", NULL, &m, &err), AIOS_EINVAL);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

static aios_memory *open_small(uint64_t items, uint64_t bytes, uint32_t flags)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_memory_config cfg = AIOS_INIT(aios_memory_config);
    aios_memory *m = NULL;
    cfg.max_items = items;
    cfg.max_bytes = bytes;
    cfg.flags = flags;
    must(aios_memory_open(ctx, "memory:", &cfg, &m, &err), &err);
    return m;
}

static int add_of(aios_memory *m, const char *text, int32_t integrity, aios_error *err)
{
    aios_item it = item(text);
    it.label.integrity = integrity;
    return aios_memory_add(m, &it, 1, sizeof it, NULL, err);
}

static void limits_refuse_or_make_room_by_integrity(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_memory_info info = AIOS_INIT(aios_memory_info);
    aios_memory *m = open_small(2, 0, 0);
    must(add(m, "one a", &err), &err);
    must(add(m, "two a", &err), &err);
    assert_int_equal(add(m, "three a", &err), AIOS_ELIMIT);
    assert_true(err.have == 2 && err.need == 3);
    aios_memory_close(m);
    m = open_small(0, 10, 0);
    must(add(m, "12345678", &err), &err);
    assert_int_equal(add(m, "123", &err), AIOS_ELIMIT);
    assert_true(err.have == 10 && err.need == 11);
    aios_memory_close(m);
    m = open_small(3, 0, AIOS_MEMORY_EVICT);
    must(add_of(m, "user a", AIOS_LABEL_USER, &err), &err);
    must(add_of(m, "web one a", AIOS_LABEL_UNTRUSTED, &err), &err);
    must(add_of(m, "web two a", AIOS_LABEL_UNTRUSTED, &err), &err);
    for (int i = 0; i < 20; i++)
        must(add_of(m, "flood a", AIOS_LABEL_UNTRUSTED, &err), &err);
    assert_string_equal(found(m, "user"), "user a");
    assert_string_equal(found(m, "web"), "");
    must(add_of(m, "user b", AIOS_LABEL_USER, &err), &err);
    must(add_of(m, "user c", AIOS_LABEL_USER, &err), &err);
    assert_string_equal(found(m, "flood"), "");
    assert_int_equal(add_of(m, "flood", AIOS_LABEL_UNTRUSTED, &err), AIOS_ELIMIT);
    must(add_of(m, "user d", AIOS_LABEL_USER, &err), &err);
    assert_string_equal(found(m, "a"), "");
    must(aios_memory_check(m, &err), &err);
    aios_memory_info_get(m, &info);
    assert_true(info.n_items == 3 && info.n_bytes == 18 && info.n_evicted == 23 && info.tokenizer == AIOS_MEMORY_WORDS && !strcmp(info.name, "memory"));
    aios_memory_close(m);
}

static void a_memory_in_memory_keeps_to_the_budget(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), full = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    char text[4096];
    aios_ctx *c = test_ctx(NULL, (uint64_t)32 << 20);
    aios_memory *m = NULL;
    aios_ctx_usage(c, &before);
    must(aios_memory_open(c, "memory:", NULL, &m, &err), &err);
    int rc = 0, n = 0;
    for (; !rc && n < 100000; n++) {
        for (size_t i = 0; i < sizeof text - 1; i++)
            text[i] = i % 8 == 7 ? ' ' : (char)('a' + (unsigned)rand() % 26);
        text[sizeof text - 1] = 0;
        rc = add(m, text, &err);
    }
    assert_int_equal(rc, AIOS_EBUDGET);
    if (n < 500 || err.need <= err.have)
        fail_msg("%d items, have %llu, need %llu: %s", n, (unsigned long long)err.have, (unsigned long long)err.need, err.msg);
    aios_ctx_usage(c, &full);
    assert_true(full.used > (uint64_t)20 << 20);
    must(aios_memory_check(m, &err), &err);
    aios_memory_close(m);
    aios_ctx_usage(c, &after);
    assert_int_equal(before.used, after.used);
    aios_ctx_free(c);
}

/* ---- languages ---------------------------------------------------------------------------------------------------- */

static void words_are_found_without_case_and_marks(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    const struct {
        const char *text, *words, *no; /* those that find it, and that does not */
    } rows[] = {
        {"Le caf\xc3\xa9 na\xc3\xaf" "f", "CAFE", "caf"},
        {"cafe\xcc\x81 decomposed", "caf\xc3\xa9 ", "decompose"},
        {"\xce\x9f\xce\x94\xce\x9f\xce\xa3 \xce\xbd", "\xce\xbf\xce\xb4\xce\xbf\xcf\x83", "odos"},   /* Greek, with another sigma */
        {"\xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0", "\xd0\xbc\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0", "moskva"},
        {"don\xe2\x80\x99t stop\xe2\x80\x94" "here", "stop", "stophere"},
        {"\xe6\x9d\xb1\xe4\xba\xac\xe3\x82\xbf\xe3\x83\xaf\xe3\x83\xbc\xe3\x81\xab\xe8\xa1\x8c\xe3\x81\x8f", /* a run without blanks is one word */
         "\xe6\x9d\xb1\xe4\xba\xac\xe3\x82\xbf\xe3\x83\xaf\xe3\x83\xbc\xe3\x81\xab\xe8\xa1\x8c\xe3\x81\x8f", "\xe6\x9d\xb1\xe4\xba\xac\xe3\x82\xbf\xe3\x83\xaf\xe3\x83\xbc"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_memory *m = open_small(0, 0, 0);
        must(add(m, rows[i].text, &err), &err);
        must(add(m, "something else", &err), &err);
        assert_string_equal(found(m, rows[i].words), rows[i].text);
        assert_string_equal(found(m, rows[i].no), "");
        aios_memory_close(m);
    }
}

static void trigrams_find_parts_and_languages_without_blanks(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_memory_config cfg = AIOS_INIT(aios_memory_config);
    aios_memory *m = NULL;
    cfg.tokenizer = AIOS_MEMORY_TRIGRAMS;
    must(aios_memory_open(ctx, uri, &cfg, &m, &err), &err);
    const char *tower = "\xe6\x9d\xb1\xe4\xba\xac\xe3\x82\xbf\xe3\x83\xaf\xe3\x83\xbc\xe3\x81\xab\xe8\xa1\x8c\xe3\x81\x8f";
    must(add(m, tower, &err), &err);
    must(add(m, "Donaudampfschiff", &err), &err);
    assert_string_equal(found(m, "\xe3\x82\xbf\xe3\x83\xaf\xe3\x83\xbc"), tower);
    assert_string_equal(found(m, "\xe6\x9d\xb1\xe4\xba\xac"), ""); /* two characters: too short */
    assert_string_equal(found(m, "DAMPF"), "Donaudampfschiff");
    assert_string_equal(found(m, "ab dampf"), "Donaudampfschiff");
    for (int i = 0; i < 40; i++) { /* scopes are no parts of each other */
        char scope[16];
        aios_item it = item("secret of somebody");
        snprintf(scope, sizeof scope, "s%d", i);
        it.scope = scope;
        must(aios_memory_add(m, &it, 1, sizeof it, NULL, &err), &err);
    }
    assert_string_equal(found(m, "secret"), "");
    must(aios_memory_check(m, &err), &err);
    aios_memory_close(m);
    cfg.tokenizer = AIOS_MEMORY_WORDS;
    assert_int_equal(aios_memory_open(ctx, uri, &cfg, &m, &err), AIOS_ESTATE);
    cfg.tokenizer = 0;
    must(aios_memory_open(ctx, uri, &cfg, &m, &err), &err);
    assert_string_equal(found(m, "DAMPF"), "Donaudampfschiff");
    aios_memory_close(m);
}

static int take_snippet(void *user, const aios_hit *h)
{
    snprintf(user, 512, "%.*s", (int)h->n_snippet, h->snippet);
    return 0;
}

static void a_snippet_is_where_the_words_are(void **state)
{
    (void)state;
    char text[8192] = "", snippet[512];
    aios_error err = AIOS_INIT(aios_error);
    aios_memory *m = open_small(0, 0, 0);
    for (int i = 0; i < 1000; i++)
        strcat(text, i == 700 ? "the needle is here " : "hay ");
    must(add(m, text, &err), &err);
    aios_query q = AIOS_INIT(aios_query);
    q.text = "needle";
    q.n_text = AIOS_CSTR;
    must(aios_memory_search(m, &q, take_snippet, snippet, &err), &err);
    assert_non_null(strstr(snippet, "the needle is here"));
    assert_true(strlen(snippet) < 200 && !strncmp(snippet, "\xe2\x80\xa6", 3));
    aios_memory_close(m);
}

static void what_was_removed_is_not_left_in_the_file(void **state)
{
    (void)state;
    aios_error err;
    aios_memory *m = NULL;
    static char whole[1 << 20];
    uint64_t id;
    aios_item it = item("the word xyzzyplugh was here");
    must(open_as(0, &m, &err), &err);
    must(aios_memory_add(m, &it, 1, sizeof it, &id, &err), &err);
    must(aios_memory_remove(m, id, NULL, &err), &err);
    aios_memory_close(m);
    FILE *f = fopen(path, "r");
    size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    assert_true(n > 4096);
    assert_null(memmem(whole, n, "was here", 8));
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
        T(what_is_no_memory_stays_as_it_is),
        T(limits_refuse_or_make_room_by_integrity),
        T(a_memory_in_memory_keeps_to_the_budget),
        T(words_are_found_without_case_and_marks),
        T(trigrams_find_parts_and_languages_without_blanks),
        T(a_snippet_is_where_the_words_are),
        T(what_was_removed_is_not_left_in_the_file),
    };
    if (argc > 1)
        n_kills = strtol(argv[1], NULL, 10);
    snprintf(path, sizeof path, "/tmp/aios-recall-%ld", (long)getpid());
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The audit of a store: a row for each record of a run's journal, in the same commit; and whether both are still what they were. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define STREAM "audit"
#define ROW_OF "{\"run\":\"%s"
enum { ROW_HEAD = 80 }; /* bytes of a row before its data: hashes (aios/audit.h) */

/* ---- key and anchor ----------------------------------------------------------------------------------------------- */

static bool read_hex(const char *s, uint8_t *out)
{
    for (int i = 0; i < AIOS_AUDIT_HASH; i++) {
        unsigned x;
        if (strspn(s + 2 * i, "0123456789abcdefABCDEF") < 2 || sscanf(s + 2 * i, "%2x", &x) != 1)
            return false;
        out[i] = (uint8_t)x;
    }
    return true;
}

static void put_hex(FILE *f, const uint8_t *p)
{
    for (int i = 0; i < AIOS_AUDIT_HASH; i++)
        fprintf(f, "%02x", p[i]);
}

/* 64 hexadecimal digits in a file that nobody else reads. */
static int read_key(const char *path, uint8_t *key)
{
    struct stat st;
    size_t n;
    if (!stat(path, &st) && (st.st_mode & (S_IRWXG | S_IRWXO)))
        return cli_usage("%s: others may read the key: chmod 600", path);
    char *s = cli_read_file(path, &n);
    if (!s)
        return EXIT_USAGE;
    bool good = n >= 2 * AIOS_AUDIT_HASH && strspn(s + 2 * AIOS_AUDIT_HASH, " \r\n") == n - 2 * AIOS_AUDIT_HASH && read_hex(s, key);
    explicit_bzero(s, n);
    free(s);
    return good ? 0 : cli_usage("%s: a key is 64 hexadecimal digits: openssl rand -hex 32", path);
}

/* The last line of a file: number of a row, and its hash. */
static int read_anchor(const char *path, aios_audit_head *head)
{
    size_t n;
    char *s = cli_read_file(path, &n), *end;
    if (!s)
        return EXIT_USAGE;
    while (n && (s[n - 1] == '\n' || s[n - 1] == '\r'))
        s[--n] = 0;
    const char *line = strrchr(s, '\n') ? strrchr(s, '\n') + 1 : s;
    head->seq = strtoull(line, &end, 10);
    bool good = end > line && *end == ' ' && strlen(end) == 1 + 2 * AIOS_AUDIT_HASH && read_hex(end + 1, head->hash);
    free(s);
    return good ? 0 : cli_usage("%s: its last line must be an anchor: the number of a row and its hash", path);
}

static void add_anchor(void *user, const aios_audit_head *head)
{
    int fd = open(user, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "a");
    if (!f) {
        fprintf(stderr, "note: the anchor was not written to %s: %s\n", (const char *)user, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    fprintf(f, "%llu ", (unsigned long long)head->seq);
    put_hex(f, head->hash);
    fputc('\n', f);
    fclose(f);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct cli_auditor {
    aios_audit *audit;
    const char *anchor;
    bool pending; /* rows are on their way */
};

static int make_row(cli_auditor *a, const char *run, const aios_store_write *r, aios_store_write *out)
{
    cli_text t = {0};
    char head[160];
    int n = snprintf(head, sizeof head, ROW_OF "\",\"record\":%llu,\"is\":", run, (unsigned long long)r->seq);
    int rc = cli_gather(&t, head, (size_t)n);
    rc = rc ? rc : cli_gather(&t, r->data, r->n_data);
    rc = rc ? rc : cli_gather(&t, "}", 1);
    rc = rc ? rc : aios_audit_append_writes(a->audit, r->kind, t.p, t.n, out, NULL);
    free(t.p);
    return rc;
}

void cli_audit_settle(cli_auditor *a, int32_t code)
{
    if (a && a->pending) {
        aios_audit_committed(a->audit, code, NULL);
        a->pending = false;
    }
}

int cli_audit_rows(cli_auditor *a, const char *run, const aios_store_write *records, uint32_t n, aios_store_write *out)
{
    int rc = AIOS_OK;
    if (a->pending)
        return AIOS_EBUSY; /* a chain has one end */
    for (uint32_t i = 0; i < n && !rc; i++) {
        rc = make_row(a, run, &records[i], &out[i]);
        a->pending = a->pending || !rc;
    }
    if (rc)
        cli_audit_settle(a, rc);
    return rc;
}

/* Without a key nothing else is wrong with how it was opened. */
static void name_option(const cli *c, aios_error *err)
{
    size_t n = strlen(err->msg);
    if (err->code == AIOS_EINVAL && !c->audit_key)
        snprintf(err->msg + n, sizeof err->msg - n, ": --audit-key FILE");
}

int cli_audit_open(const cli *c, aios_store *st, cli_auditor **out)
{
    aios_audit_config cfg = AIOS_INIT(aios_audit_config);
    aios_error err = AIOS_INIT(aios_error);
    uint8_t key[AIOS_AUDIT_HASH];
    *out = NULL;
    if (!c->audit)
        return 0;
    int rc = c->audit_key ? read_key(c->audit_key, key) : 0;
    cli_auditor *a = rc ? NULL : calloc(1, sizeof *a);
    if (!a)
        return rc ? rc : cli_no_memory();
    cfg.key = c->audit_key ? key : NULL;
    cfg.anchor = c->anchor ? add_anchor : NULL;
    cfg.anchor_user = (void *)(uintptr_t)c->anchor;
    a->anchor = c->anchor;
    rc = aios_audit_open(st, STREAM, &cfg, &a->audit, &err);
    explicit_bzero(key, sizeof key);
    if (rc) {
        free(a);
        name_option(c, &err);
        cli_fail(NULL, &err);
        return EXIT_FAIL;
    }
    *out = a;
    return 0;
}

void cli_audit_close(cli_auditor *a)
{
    aios_audit_head head = AIOS_INIT(aios_audit_head);
    if (!a)
        return;
    if (a->anchor && !aios_audit_head_get(a->audit, &head) && head.seq)
        add_anchor((void *)(uintptr_t)a->anchor, &head);
    aios_audit_free(a->audit);
    free(a);
}

/* ---- which runs have one ------------------------------------------------------------------------------------------ */

typedef struct seeking {
    char head[96]; /* of each row of the run */
    size_t n;
    bool found;
} seeking;

static int seek_row(void *user, const aios_record *r)
{
    seeking *k = user;
    k->found = r->n_data > ROW_HEAD + k->n && !memcmp((const char *)r->data + ROW_HEAD, k->head, k->n);
    return k->found ? AIOS_DONE : AIOS_OK;
}

int cli_audit_has(aios_store *st, const char *run, bool *has, aios_error *err)
{
    seeking k = {.found = false};
    int n = snprintf(k.head, sizeof k.head, ROW_OF "\",", run);
    k.n = (size_t)n;
    *has = false;
    int rc = n < (int)sizeof k.head ? aios_store_read(st, STREAM, 1, seek_row, &k, err) : AIOS_OK; /* longer than an id */
    *has = k.found;
    return rc < 0 && rc != AIOS_ENOENT ? rc : AIOS_OK;
}

/* ---- checking ----------------------------------------------------------------------------------------------------- */

typedef struct checking {
    const cli *c;
    aios_store *st;
    const char *run;
    uint64_t good;   /* rows that the chain vouches for */
    uint64_t row, record;
    uint32_t kind;   /* of the record */
    const char *data; /* of the record as the row has it */
    size_t n_data;
    bool same;
    json_t *last;    /* of each run, the record that its last row is of */
    int rc;
} checking;

static int compare(void *user, const aios_record *r)
{
    checking *k = user;
    k->same = r->seq == k->record && r->kind == k->kind && r->n_data == k->n_data && !memcmp(r->data, k->data, r->n_data);
    return AIOS_DONE;
}

static void print_row(const checking *k, const aios_record *r, json_t *row)
{
    time_t s = (time_t)(r->wall_us / 1000000);
    struct tm tm;
    char at[32];
    if (!gmtime_r(&s, &tm) || !strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm))
        at[0] = 0;
    if (k->c->json) {
        json_object_set_new(row, "row", json_integer((json_int_t)r->seq));
        json_object_set_new(row, "time", json_string(at));
        json_object_set_new(row, "kind", json_string(cli_step_kind((int32_t)r->kind)));
        cli_print_json(json_incref(row));
    } else if (!k->c->quiet) {
        printf("%6llu  %s  %-32s %4lld  %s\n", (unsigned long long)r->seq, at, json_string_value(json_object_get(row, "run")),
               (long long)json_integer_value(json_object_get(row, "record")), cli_step_kind((int32_t)r->kind));
    }
}

static void fail_row(checking *k, const char *what, const char *run)
{
    aios_error err = AIOS_INIT(aios_error);
    err.code = AIOS_EFORMAT;
    snprintf(err.msg, sizeof err.msg, "audit, at row %llu: record %llu of run %.64s %s", (unsigned long long)k->row,
             (unsigned long long)k->record, run, what);
    cli_fail(NULL, &err);
    k->rc = EXIT_FAIL;
}

/* The journal has the record still as the row has it. */
static void check_journal(checking *k, const char *run, const char *text, size_t n)
{
    static const char mark[] = ",\"is\":";
    char stream[128];
    const char *at = memmem(text, n, mark, sizeof mark - 1); /* a run's id has no quotes */
    snprintf(stream, sizeof stream, "run/%.64s", run);
    k->data = at ? at + sizeof mark - 1 : text;
    k->n_data = at ? n - (size_t)(k->data - text) - 1 : 0;
    k->same = false;
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_store_read(k->st, stream, k->record, compare, k, &err);
    if (rc)
        fail_row(k, "cannot be read in its journal", run);
    else if (!k->same)
        fail_row(k, "is another in its journal, or is gone", run);
}

/* Each record has one row, in their order. */
static void check_order(checking *k, const char *run)
{
    uint64_t before = (uint64_t)json_integer_value(json_object_get(k->last, run)), record = k->record;
    if (record > before + 1) {
        k->record = before + 1;
        fail_row(k, "has no row before this one: it was written without the audit, or its row is gone", run);
    } else if (record <= before) {
        fail_row(k, "has its row in another place, or twice", run);
    }
    k->record = record;
}

static int check_row(void *user, const aios_record *r)
{
    checking *k = user;
    if (r->seq > k->good)
        return AIOS_DONE;
    const char *text = (const char *)r->data + ROW_HEAD;
    size_t n = r->n_data - ROW_HEAD;
    json_t *row = json_loadb(text, n, 0, NULL);
    const char *run = json_string_value(json_object_get(row, "run"));
    k->row = r->seq;
    k->record = (uint64_t)json_integer_value(json_object_get(row, "record"));
    k->kind = r->kind;
    if (run && (!k->run || !strcmp(run, k->run))) {
        print_row(k, r, row);
        check_order(k, run);
        check_journal(k, run, text, n);
        json_object_set_new(k->last, run, json_integer((json_int_t)k->record));
    }
    json_decref(row);
    return cli_flush() ? AIOS_OK : AIOS_DONE;
}

/* Records behind the last row were written without the audit. */
static void check_ends(checking *k)
{
    const char *run;
    json_t *last;
    json_object_foreach(k->last, run, last) {
        char stream[128];
        uint64_t head = 0;
        snprintf(stream, sizeof stream, "run/%.64s", run);
        k->record = (uint64_t)json_integer_value(last) + 1;
        if (!aios_store_head(k->st, stream, &head, NULL) && head >= k->record)
            fail_row(k, "has no row: it was written without the audit", run);
    }
}

static int tell(const checking *k, const aios_audit_report *rep, const aios_error *err)
{
    if (rep->bad) {
        cli_fail(NULL, err);
        return EXIT_FAIL;
    }
    if (k->rc)
        return k->rc;
    if (k->c->json) {
        cli_print_json(json_pack("{s:b,s:I,s:b,s:b}", "ok", 1, "rows", (json_int_t)rep->n_rows, "signed", k->c->audit_key != NULL, "anchored",
                                 k->c->anchor != NULL));
        return 0;
    }
    printf("whole: %llu rows, head %llu ", (unsigned long long)rep->n_rows, (unsigned long long)rep->head.seq);
    put_hex(stdout, rep->head.hash);
    printf("%s%s\n", k->c->audit_key ? ", signed" : "", k->c->anchor ? ", anchored" : "");
    return 0;
}

int cli_audit_check(const cli *c, aios_store *st, const char *run)
{
    aios_audit_head anchor = AIOS_INIT(aios_audit_head);
    aios_audit_report rep = AIOS_INIT(aios_audit_report);
    aios_error err = AIOS_INIT(aios_error);
    uint8_t key[AIOS_AUDIT_HASH];
    uint64_t head;
    int rc = c->audit_key ? read_key(c->audit_key, key) : 0;
    rc = rc || !c->anchor ? rc : read_anchor(c->anchor, &anchor);
    if (rc)
        return rc;
    if (!aios_store_head(st, STREAM, &head, &err) && !head && !c->anchor) {
        err.code = AIOS_ENOENT;
        snprintf(err.msg, sizeof err.msg, "the store has no audit: aios agent --audit keeps one");
        cli_fail(NULL, &err);
        return EXIT_FAIL;
    }
    rc = aios_audit_verify(st, STREAM, c->audit_key ? key : NULL, c->anchor ? &anchor : NULL, &rep, &err);
    explicit_bzero(key, sizeof key);
    if (rc && !rep.bad)
        return cli_fail(NULL, &err);
    checking k = {.c = c, .st = st, .run = run, .good = rep.n_rows, .last = json_object()};
    aios_store_read(st, STREAM, 1, check_row, &k, NULL);
    if (!rep.bad)
        check_ends(&k);
    bool none = run && !rep.bad && !json_object_get(k.last, run);
    json_decref(k.last);
    if (none) {
        err.code = AIOS_ENOENT;
        snprintf(err.msg, sizeof err.msg, "the audit has no row of run %.64s: it is not there, or was begun without --audit", run);
        cli_fail(NULL, &err);
        return EXIT_FAIL;
    }
    return tell(&k, &rep, &err);
}

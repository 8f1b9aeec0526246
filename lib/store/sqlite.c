/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes sqlite3.h. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store/sqlite.h"

#define CHECKPOINT_FRAMES 1000
#define ROW_EXTRA 4096
#define SEARCH_VERSION 3027000
#define IN_MEMORY ":memory:"

/* Loaded when a file is first opened. Nothing of its global state is changed: the host may use it too. */
#define SQLITE_FUNCTIONS(X)                                                                                            \
    X(open_v2) X(close_v2) X(exec) X(prepare_v2) X(step) X(reset) X(finalize) X(clear_bindings)                \
    X(bind_int64) X(bind_blob64) X(bind_text) X(bind_pointer) X(column_int64) X(column_text) X(column_blob) X(column_bytes) X(column_type) \
    X(extended_errcode) X(errmsg) X(errstr) X(system_errno) X(get_autocommit) X(db_config) X(limit) X(wal_hook)        \
    X(wal_checkpoint_v2) X(user_data) X(result_blob) X(result_error_code) X(libversion_number) X(libversion)

typedef struct api {
#define X(name) __typeof__(&sqlite3_##name) name;
    SQLITE_FUNCTIONS(X)
#undef X
} api;

enum { OWN_BEGIN, OWN_COMMIT, OWN_ROLLBACK, OWN_COUNT };

struct aios__sql {
    api f;
    aios_ctx *ctx;
    sqlite3 *db;
    const aios__sql_spec *spec;
    sqlite3_stmt **stmt;    /* of spec, then our own */
    uint32_t schema;        /* of spec->schemas */
    uint32_t flags;
    int n_frames;           /* of the log */
    uint64_t n_syncs;
    aios_error dead;        /* code set: a sync failed */
    bool in_memory;
    fts5_api *fts;          /* NULL: no search */
    fts5_tokenizer tokenizer;
    Fts5Tokenizer *tokens;
    char path[];
};

static int load(api *f, aios_error *err)
{
    void *so = dlopen("libsqlite3.so.0", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE), *p = so;
#define X(name)                                                                                                        \
    p = p ? dlsym(so, "sqlite3_" #name) : NULL;                                                                        \
    memcpy(&f->name, &p, sizeof p);
    SQLITE_FUNCTIONS(X)
#undef X
    if (so)
        dlclose(so);
    return p ? AIOS_OK : aios__fail(err, AIOS_EUNAVAIL, "libsqlite3.so.0, which sqlite: needs, is missing or too old");
}

/* ---- failures ------------------------------------------------------------------------------------------------------- */

/* The process that locks the file, of what the kernel lists; 0: not known. A descriptor of our own would drop our own locks. */
static long holder_of(const char *path)
{
    struct stat st;
    char line[256];
    long pid = 0, found = 0;
    unsigned major, minor;
    unsigned long long inode;
    FILE *f = stat(path, &st) ? NULL : fopen("/proc/locks", "re");
    while (f && !found && fgets(line, sizeof line, f))
        if (sscanf(line, "%*d: POSIX ADVISORY WRITE %ld %x:%x:%llu", &pid, &major, &minor, &inode) == 4 && inode == st.st_ino &&
            major == major(st.st_dev) && minor == minor(st.st_dev))
            found = pid;
    if (f)
        fclose(f);
    return found;
}

static int fail_busy(const aios__sql *db, aios_error *err)
{
    long pid = holder_of(db->path);
    if (pid == (long)getpid())
        return aios__fail(err, AIOS_EBUSY, "%s %s: this process (%ld) has it open already: share that handle", db->spec->noun, db->path, pid);
    if (pid > 0)
        return aios__fail(err, AIOS_EBUSY, "%s %s: process %ld has it open: let it end first", db->spec->noun, db->path, pid);
    return aios__fail(err, AIOS_EBUSY, "%s %s: another process has it open: let it end first", db->spec->noun, db->path);
}

static int code_of_errno(int sys)
{
    return sys == ENOENT || sys == ENOTDIR ? AIOS_ENOENT : sys == EACCES || sys == EPERM ? AIOS_EDENIED : AIOS_EIO;
}

static int fail(aios__sql *db, int rc, const char *what, aios_error *err)
{
    static const struct {
        int sqlite, code, sys;
    } rows[] = {
        {SQLITE_NOMEM, AIOS_ENOMEM, 0},      {SQLITE_FULL, AIOS_EIO, ENOSPC},   {SQLITE_READONLY, AIOS_EIO, EROFS}, {SQLITE_CORRUPT, AIOS_EFORMAT, 0},
        {SQLITE_NOTADB, AIOS_EFORMAT, 0},    {SQLITE_TOOBIG, AIOS_EFORMAT, 0},  {SQLITE_PERM, AIOS_EDENIED, EACCES}, {SQLITE_IOERR, AIOS_EIO, EIO},
        {SQLITE_PROTOCOL, AIOS_EBUSY, 0},    {SQLITE_CONSTRAINT, AIOS_EFORMAT, 0}, {SQLITE_ERROR, AIOS_EFORMAT, 0},
        {SQLITE_MISMATCH, AIOS_EFORMAT, 0},  {SQLITE_RANGE, AIOS_EFORMAT, 0},  {SQLITE_NOLFS, AIOS_EIO, EFBIG},
    };
    if (rc == SQLITE_IOERR_NOMEM)
        rc = SQLITE_NOMEM;
    int main_rc = rc & 0xff, sys = db->db ? db->f.system_errno(db->db) : 0;
    if (main_rc == SQLITE_BUSY || main_rc == SQLITE_LOCKED)
        return fail_busy(db, err);
    int code = AIOS_EINTERNAL;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].sqlite == main_rc) {
            code = rows[i].code;
            sys = code == AIOS_EIO && sys ? sys : rows[i].sys;
        }
    if (main_rc == SQLITE_CANTOPEN) {
        sys = sys ? sys : EIO;
        code = code_of_errno(sys);
    }
    code = sys == ENOMEM ? AIOS_ENOMEM : code;
    return aios__fail_sys(err, code, sys, "%s %s: %s: %s", db->spec->noun, db->path, what, db->db && code != AIOS_ENOMEM ? db->f.errmsg(db->db) : db->f.errstr(rc));
}

int aios__sql_damaged(const aios__sql *db, const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_EFORMAT, "%s %s is damaged: %s: restore it from a copy", db->spec->noun, db->path, what);
}

/* A sync that failed is never tried again: what the system still holds of it may be gone. */
static int check_sync(aios__sql *db, int rc, const char *what, aios_error *err)
{
    int code = fail(db, rc, what, err);
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC) {
        db->dead = (aios_error)AIOS_INIT(aios_error);
        fail(db, rc, what, &db->dead);
    }
    return code;
}

static int check_dead(const aios__sql *db, aios_error *err)
{
    if (!db->dead.code)
        return AIOS_OK;
    aios__fail(err, AIOS_EIO, "%s; it was not synced, so that nothing more is written: open the %s anew", db->dead.msg, db->spec->noun);
    if (err)
        err->sys = db->dead.sys;
    return AIOS_EIO;
}

/* ---- statements ----------------------------------------------------------------------------------------------------- */

static int prepare_all(aios__sql *db, aios_error *err)
{
    static const char *const own[OWN_COUNT] = {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"};
    uint32_t n = db->spec->n_statements;
    int rc = SQLITE_OK;
    for (uint32_t i = 0; i < n + OWN_COUNT && !rc; i++)
        rc = db->f.prepare_v2(db->db, i < n ? db->spec->statements[i] : own[i - n], -1, &db->stmt[i], NULL);
    return rc ? fail(db, rc, "it cannot be read", err) : AIOS_OK;
}

void aios__sql_bind(aios__sql *db, uint32_t which, int i, int64_t value)
{
    db->f.bind_int64(db->stmt[which], i, value);
}

void aios__sql_bind_text(aios__sql *db, uint32_t which, int i, const char *s, size_t n)
{
    db->f.bind_text(db->stmt[which], i, s, (int)n, SQLITE_STATIC);
}

void aios__sql_bind_bytes(aios__sql *db, uint32_t which, int i, const void *p, size_t n)
{
    db->f.bind_blob64(db->stmt[which], i, p, n, SQLITE_STATIC);
}

void aios__sql_end(aios__sql *db, uint32_t which)
{
    db->f.reset(db->stmt[which]);
    db->f.clear_bindings(db->stmt[which]);
}

/* SQLITE_ROW, or its end: then it is ready for the next use. */
static int step(aios__sql *db, uint32_t which)
{
    int rc = db->f.step(db->stmt[which]);
    if (rc == SQLITE_ROW)
        return rc;
    int end = db->f.reset(db->stmt[which]);
    db->f.clear_bindings(db->stmt[which]);
    return rc == SQLITE_DONE ? SQLITE_DONE : end ? end : rc;
}

static int next(aios__sql *db, uint32_t which, const char *what, aios_error *err)
{
    int rc = step(db, which);
    return rc == SQLITE_ROW ? AIOS_AGAIN : rc == SQLITE_DONE ? AIOS_OK : fail(db, rc, what, err);
}

int aios__sql_next(aios__sql *db, uint32_t which, aios_error *err)
{
    return next(db, which, "it cannot be read", err);
}

int aios__sql_run(aios__sql *db, uint32_t which, aios_error *err)
{
    return next(db, which, "it cannot be written", err);
}

int64_t aios__sql_int(const aios__sql *db, uint32_t which, int i)
{
    return db->f.column_int64(db->stmt[which], i);
}

const void *aios__sql_bytes(const aios__sql *db, uint32_t which, int i, size_t *n)
{
    sqlite3_stmt *s = db->stmt[which];
    const void *p = db->f.column_type(s, i) == SQLITE_BLOB ? db->f.column_blob(s, i) : db->f.column_text(s, i);
    *n = (size_t)db->f.column_bytes(s, i);
    return p;
}

static int exec(aios__sql *db, const char *sql, const char *what, aios_error *err)
{
    int rc = db->f.exec(db->db, sql, NULL, NULL, NULL);
    return rc ? check_sync(db, rc, what, err) : AIOS_OK;
}

/* First column of the first row of a statement, "" where there is none. */
static int ask(aios__sql *db, const char *sql, char *out, size_t size, aios_error *err)
{
    sqlite3_stmt *s = NULL;
    int rc = db->f.prepare_v2(db->db, sql, -1, &s, NULL);
    *out = 0;
    rc = rc ? rc : db->f.step(s);
    if (rc == SQLITE_ROW) {
        const unsigned char *t = db->f.column_text(s, 0);
        snprintf(out, size, "%s", t ? (const char *)t : "");
        rc = SQLITE_DONE;
    }
    int code = rc == SQLITE_DONE ? AIOS_OK : fail(db, rc, "it cannot be read", err);
    db->f.finalize(s);
    return code;
}

static int ask_number(aios__sql *db, const char *sql, int64_t *out, aios_error *err)
{
    char text[64];
    int rc = ask(db, sql, text, sizeof text, err);
    *out = strtoll(text, NULL, 10);
    return rc;
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

/* A new file is its owner's alone; what is there must be a file. */
static int make_file(aios__sql *db, aios_error *err)
{
    struct stat st;
    bool create = !(db->flags & AIOS__SQL_READ_ONLY);
    int fd = create ? open(db->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd); /* nobody has locked what was not there */
    if (fd >= 0)
        return AIOS_OK;
    if (stat(db->path, &st)) {
        int sys = create && errno == ENOENT ? ENOENT : errno;
        return aios__fail_sys(err, code_of_errno(sys), sys, "%s %s", db->spec->noun, db->path);
    }
    return S_ISREG(st.st_mode) ? AIOS_OK : aios__fail(err, AIOS_EINVAL, "%s %s is no regular file", db->spec->noun, db->path);
}

static void warn_of_others(const aios__sql *db)
{
    struct stat st;
    char dir[4096 + 4];
    const char *slash = strrchr(db->path, '/');
    snprintf(dir, sizeof dir, "%.*s/", (int)(slash ? slash - db->path : 0), db->path);
    if (!stat(dir, &st) && (st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
        aios__log(db->ctx, AIOS_LOG_WARN, "%s %s: others may write to its folder, and so put another store in its place", db->spec->noun, db->path);
    if (!stat(db->path, &st) && (st.st_mode & (S_IWGRP | S_IWOTH | S_IROTH)))
        aios__log(db->ctx, AIOS_LOG_WARN, "%s %s: others may read or write it", db->spec->noun, db->path);
}

static void harden(aios__sql *db)
{
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
                              SQLITE_DBCONFIG_TRUSTED_SCHEMA,        SQLITE_DBCONFIG_DQS_DML,        SQLITE_DBCONFIG_DQS_DDL,
                              SQLITE_DBCONFIG_WRITABLE_SCHEMA,       SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER};
    const int limits[][2] = {
        {SQLITE_LIMIT_LENGTH, (int)db->spec->max_bytes + ROW_EXTRA}, {SQLITE_LIMIT_SQL_LENGTH, 4096}, {SQLITE_LIMIT_COLUMN, 20},
        {SQLITE_LIMIT_EXPR_DEPTH, 16}, {SQLITE_LIMIT_COMPOUND_SELECT, 2}, {SQLITE_LIMIT_FUNCTION_ARG, 8}, {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64}, {SQLITE_LIMIT_VARIABLE_NUMBER, 20}, {SQLITE_LIMIT_TRIGGER_DEPTH, 1}, {SQLITE_LIMIT_WORKER_THREADS, 0}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(off); i++)
        db->f.db_config(db->db, off[i], 0, NULL);
    db->f.db_config(db->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(limits); i++)
        db->f.limit(db->db, limits[i][0], limits[i][1]);
}

static int on_wal(void *user, sqlite3 *s, const char *name, int n_frames)
{
    aios__sql *db = user;
    AIOS__UNUSED(s);
    AIOS__UNUSED(name);
    db->n_frames = n_frames;
    return SQLITE_OK;
}

/* True if there is a log with something in it, which only a writer can take over. */
static bool has_log(const aios__sql *db)
{
    char wal[4096 + 16];
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", db->path);
    return !stat(wal, &st) && st.st_size > 0;
}

/* A file that we may not write, and that nobody writes: as it is, without locks. */
static int open_unchanging(aios__sql *db, aios_error *err)
{
    char uri[3 * 4096 + 32];
    size_t n = (size_t)snprintf(uri, sizeof uri, "file:");
    if (has_log(db))
        return aios__fail_sys(err, AIOS_EIO, EROFS, "%s %s: its writer did not end well, and what it left (%s-wal) can only be read by who may write", db->spec->noun, db->path,
                              db->path);
    for (const char *p = db->path; *p; p++)
        n += (size_t)snprintf(uri + n, sizeof uri - n, strchr("%?#", *p) ? "%%%02X" : "%c", (unsigned char)*p);
    snprintf(uri + n, sizeof uri - n, "?immutable=1");
    int rc = db->f.open_v2(uri, &db->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    return rc ? fail(db, rc, "it cannot be opened", err) : AIOS_OK;
}

static int open_connection(aios__sql *db, aios_error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (db->in_memory ? SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY : 0), rc;
    if (!db->in_memory && (db->flags & AIOS__SQL_READ_ONLY) && access(db->path, W_OK)) {
        rc = open_unchanging(db, err);
    } else {
        rc = db->f.open_v2(db->path, &db->db, flags, NULL);
        rc = rc ? fail(db, rc, "it cannot be opened", err) : AIOS_OK;
    }
    if (!rc)
        harden(db);
    return rc;
}

static int set_up(aios__sql *db, aios_error *err)
{
    char sql[320];
    snprintf(sql, sizeof sql, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY; "
                              "PRAGMA journal_size_limit=67108864; PRAGMA synchronous=%s%s%s", (int)db->spec->cache_kib,
             db->flags & AIOS__SQL_RELAXED ? "NORMAL" : "FULL", db->spec->search ? "; PRAGMA secure_delete=ON" : "",
             db->flags & AIOS__SQL_READ_ONLY ? "; PRAGMA query_only=ON" : "");
    int rc = exec(db, sql, "it cannot be set up", err);
    db->f.wal_hook(db->db, on_wal, db);
    return rc;
}

static int use_log(aios__sql *db, aios_error *err)
{
    char mode[16];
    int rc = db->in_memory ? AIOS_OK : ask(db, "PRAGMA journal_mode=WAL", mode, sizeof mode, err);
    return rc || db->in_memory || !strcmp(mode, "wal") ? rc : aios__fail(err, AIOS_EIO, "%s %s: the file system gives no write-ahead log (mode %s)",
                                                                         db->spec->noun, db->path, mode);
}

/* An empty file becomes ours. */
static int make_schema(aios__sql *db, aios_error *err)
{
    char sql[128];
    const aios__sql_schema *s = &db->spec->schemas[db->spec->new_schema];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", (int)db->spec->application, (int)db->spec->format);
    int rc = use_log(db, err);
    rc = rc ? rc : exec(db, "BEGIN IMMEDIATE", "it cannot be written", err);
    for (uint32_t i = 0; i < s->n_objects && !rc; i++)
        rc = s->objects[i].implied ? AIOS_OK : exec(db, s->objects[i].sql, "it cannot be written", err);
    rc = rc ? rc : exec(db, sql, "it cannot be written", err);
    if (!rc && db->spec->first_rows)
        rc = exec(db, db->spec->first_rows, "it cannot be written", err);
    return rc ? rc : exec(db, "COMMIT", "it cannot be written", err);
}

static int fits_schema(aios__sql *db, const aios__sql_schema *s, int64_t n, bool *fits, aios_error *err)
{
    char text[1024], sql[128];
    int rc = AIOS_OK;
    *fits = n == s->n_objects;
    for (uint32_t i = 0; i < s->n_objects && *fits && !rc; i++) {
        snprintf(sql, sizeof sql, "SELECT sql FROM sqlite_master WHERE name = '%s'", s->objects[i].name);
        rc = ask(db, sql, text, sizeof text, err);
        *fits = !strcmp(text, s->objects[i].sql);
    }
    return rc;
}

/* Exactly our tables and nothing else: what a crafted file brings along never runs. */
static int check_schema(aios__sql *db, aios_error *err)
{
    char text[96];
    int64_t n;
    bool fits = false;
    int rc = ask_number(db, "SELECT count(*) FROM sqlite_master", &n, err);
    for (uint32_t i = 0; i < db->spec->n_schemas && !rc && !fits; i++) {
        db->schema = i;
        rc = fits_schema(db, &db->spec->schemas[i], n, &fits, err);
    }
    snprintf(text, sizeof text, "its tables are not those of a %s", db->spec->noun);
    return rc || fits ? rc : aios__sql_damaged(db, text, err);
}

/* Whose file it is, and of which format; an empty one becomes ours. */
static int identify(aios__sql *db, aios_error *err)
{
    const aios__sql_spec *s = db->spec;
    int64_t application, format, objects;
    int rc = ask_number(db, "PRAGMA application_id", &application, err);
    rc = rc ? rc : ask_number(db, "PRAGMA user_version", &format, err);
    rc = rc ? rc : ask_number(db, "SELECT count(*) FROM sqlite_master", &objects, err);
    if (rc)
        return rc;
    if (!application && !format && !objects && !(db->flags & AIOS__SQL_READ_ONLY)) {
        rc = make_schema(db, err);
        return rc ? rc : check_schema(db, err);
    }
    if (application != s->application)
        return aios__fail(err, AIOS_EFORMAT, "%s is no %s of aios, but a database of another program, or damaged", db->path, s->noun);
    if (format > s->format)
        return aios__fail_need(err, AIOS_EVERSION, (uint64_t)s->format, (uint64_t)format, "%s %s has format %lld, this library knows %d: update libaios", s->noun,
                               db->path, (long long)format, (int)s->format);
    if (format != s->format)
        return aios__sql_damaged(db, "there is no such format", err);
    rc = check_schema(db, err);
    return rc || (db->flags & AIOS__SQL_READ_ONLY) ? rc : use_log(db, err);
}

/* ---- full-text search ----------------------------------------------------------------------------------------------- */

/* How often each phrase of the query is in the first column of the row: a byte each, 255 and more alike. */
static void count_hits(const Fts5ExtensionApi *x, Fts5Context *c, sqlite3_context *out, int n, sqlite3_value **values)
{
    const api *f = x->xUserData(c);
    unsigned char hits[256];
    int n_phrases = x->xPhraseCount(c), rc = SQLITE_OK;
    AIOS__UNUSED(n);
    AIOS__UNUSED(values);
    n_phrases = n_phrases < (int)sizeof hits ? n_phrases : (int)sizeof hits;
    memset(hits, 0, sizeof hits);
    for (int i = 0; i < n_phrases && !rc; i++) {
        Fts5PhraseIter it;
        int column, offset;
        rc = x->xPhraseFirst(c, i, &it, &column, &offset);
        for (; !rc && column == 0 && hits[i] < 255; x->xPhraseNext(c, &it, &column, &offset))
            hits[i]++;
    }
    if (rc)
        f->result_error_code(out, rc);
    else
        f->result_blob(out, hits, n_phrases, SQLITE_TRANSIENT);
}

typedef struct listener {
    aios__sql_token_fn *fn;
    void *user;
} listener;

static int hear_token(void *user, int flags, const char *token, int n, int from, int to)
{
    const listener *l = user;
    bool more = flags & FTS5_TOKEN_COLOCATED || !l->fn(l->user, token, (size_t)n, (size_t)from, (size_t)to);
    return more ? SQLITE_OK : SQLITE_DONE;
}

int aios__sql_tokens(aios__sql *db, const char *s, size_t n, aios__sql_token_fn *fn, void *user, aios_error *err)
{
    listener l = {fn, user};
    int rc = db->tokenizer.xTokenize(db->tokens, &l, FTS5_TOKENIZE_DOCUMENT, s, (int)n, hear_token);
    return rc && rc != SQLITE_DONE ? fail(db, rc, "a text cannot be cut into words", err) : AIOS_OK;
}

/* The one that its schema names. */
static int make_tokenizer(aios__sql *db, aios_error *err)
{
    const aios__sql_schema *s = &db->spec->schemas[db->schema];
    void *user;
    const char *args[8];
    int rc = db->fts->xFindTokenizer(db->fts, s->tokenizer[0], &user, &db->tokenizer);
    for (uint32_t i = 1; i < s->n_tokenizer; i++)
        args[i - 1] = s->tokenizer[i];
    rc = rc ? rc : db->tokenizer.xCreate(user, args, (int)s->n_tokenizer - 1, &db->tokens);
    return rc ? aios__fail(err, AIOS_ENOTSUP, "SQLite %s has no tokenizer \"%s\", which the %s needs", db->f.libversion(), s->tokenizer[0], db->spec->noun) : AIOS_OK;
}

static int add_functions(aios__sql *db, aios_error *err)
{
    fts5_api *fts = NULL;
    sqlite3_stmt *s = NULL;
    if (db->f.libversion_number() < SEARCH_VERSION)
        return aios__fail(err, AIOS_ENOTSUP, "SQLite %s is too old for a %s, which needs 3.27", db->f.libversion(), db->spec->noun);
    int rc = db->f.prepare_v2(db->db, "SELECT fts5(?1)", -1, &s, NULL);
    if (!rc) {
        db->f.bind_pointer(s, 1, &fts, "fts5_api_ptr", NULL);
        db->f.step(s);
    }
    db->f.finalize(s);
    if (!fts || fts->iVersion < 2)
        return aios__fail(err, AIOS_ENOTSUP, "the SQLite of this machine has no full-text search (FTS5), which a %s needs", db->spec->noun);
    rc = fts->xCreateFunction(fts, "aios_hits", &db->f, count_hits, NULL);
    db->fts = fts;
    return rc ? fail(db, rc, "its search cannot be set up", err) : AIOS_OK;
}

/* ---- open and close ------------------------------------------------------------------------------------------------- */

int aios__sql_settle(aios__sql *db, aios_error *err)
{
    int rc = db->in_memory ? SQLITE_OK : db->f.wal_checkpoint_v2(db->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    db->n_frames = rc ? db->n_frames : 0;
    return rc ? check_sync(db, rc, "its log cannot be moved into it", err) : AIOS_OK;
}

static int open_all(aios__sql *db, aios_error *err)
{
    int rc = db->in_memory ? AIOS_OK : make_file(db, err);
    rc = rc ? rc : open_connection(db, err);
    rc = rc ? rc : set_up(db, err);
    rc = rc || !db->spec->search ? rc : add_functions(db, err);
    rc = rc ? rc : identify(db, err);
    rc = rc || !db->spec->search ? rc : make_tokenizer(db, err);
    return rc ? rc : prepare_all(db, err);
}

int aios__sql_open(aios_ctx *ctx, const char *path, uint32_t flags, const aios__sql_spec *spec, aios__sql **out, aios_error *err)
{
    const char *name = path ? path : IN_MEMORY;
    if (!*name || strlen(name) > 4000)
        return aios__fail(err, AIOS_EINVAL, "sqlite:FILE needs the path of a file, of at most 4000 bytes");
    aios__heap *h = aios__ctx_heap(ctx);
    size_t n_stmt = (spec->n_statements + OWN_COUNT) * sizeof(sqlite3_stmt *);
    aios__sql *db = aios__alloc(h, AIOS_MEM_OTHER, sizeof *db + strlen(name) + 3, err);
    sqlite3_stmt **stmt = db ? aios__alloc(h, AIOS_MEM_OTHER, n_stmt, err) : NULL;
    int rc = stmt ? load(&db->f, err) : aios__error_code(err, AIOS_ENOMEM);
    rc = rc ? rc : aios__charge(h, AIOS_MEM_OTHER, spec->memory, err);
    if (rc) {
        aios__free(h, stmt);
        aios__free(h, db);
        return rc;
    }
    sprintf(db->path, "%s%s", *name == '/' || !path ? "" : "./", name); /* never a name that means something else to sqlite */
    db->ctx = ctx;
    db->spec = spec;
    db->stmt = stmt;
    db->flags = flags;
    db->in_memory = !path;
    rc = open_all(db, err);
    if (rc) {
        aios__sql_close(db);
        return rc;
    }
    if (path)
        warn_of_others(db);
    *out = db;
    return AIOS_OK;
}

void aios__sql_close(aios__sql *db)
{
    if (!db)
        return;
    for (uint32_t i = 0; i < db->spec->n_statements + OWN_COUNT; i++)
        db->f.finalize(db->stmt[i]);
    if (db->tokens)
        db->tokenizer.xDelete(db->tokens);
    if (db->db && (db->dead.code || (db->flags & AIOS__SQL_READ_ONLY)))
        db->f.db_config(db->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    db->f.close_v2(db->db);
    aios__heap *h = aios__ctx_heap(db->ctx);
    aios__uncharge(h, AIOS_MEM_OTHER, db->spec->memory);
    aios__free(h, db->stmt);
    aios__free(h, db);
}

const char *aios__sql_path(const aios__sql *db)
{
    return db->path;
}

uint32_t aios__sql_schema_of(const aios__sql *db)
{
    return db->schema;
}

uint64_t aios__sql_syncs(const aios__sql *db)
{
    return db->n_syncs;
}

/* ---- transactions --------------------------------------------------------------------------------------------------- */

int aios__sql_begin(aios__sql *db, aios_error *err)
{
    int rc = check_dead(db, err);
    return rc ? rc : aios__sql_run(db, db->spec->n_statements + OWN_BEGIN, err);
}

void aios__sql_rollback(aios__sql *db)
{
    if (!db->f.get_autocommit(db->db))
        aios__sql_run(db, db->spec->n_statements + OWN_ROLLBACK, NULL);
}

int aios__sql_commit(aios__sql *db, aios_error *err)
{
    int rc = step(db, db->spec->n_statements + OWN_COMMIT);
    if (rc != SQLITE_DONE) {
        int code = check_sync(db, rc, "the commit failed", err);
        aios__sql_rollback(db);
        return code;
    }
    db->n_syncs += !(db->flags & AIOS__SQL_RELAXED) && !db->in_memory;
    if (db->n_frames >= CHECKPOINT_FRAMES) {
        int moved = db->f.wal_checkpoint_v2(db->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        db->n_frames = moved ? db->n_frames : 0;
        if (moved)
            check_sync(db, moved, "its log cannot be moved into it", NULL); /* the log holds it still: later again, or not at all after a failed sync */
    }
    return AIOS_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

int aios__sql_check(aios__sql *db, aios_error *err)
{
    char text[256];
    int rc = ask(db, "PRAGMA quick_check(1)", text, sizeof text, err);
    return rc || !strcmp(text, "ok") ? rc : aios__sql_damaged(db, text, err);
}

static int page_size(aios__sql *db, int64_t *n, aios_error *err)
{
    int rc = ask_number(db, "PRAGMA page_size", n, err);
    return rc || *n > 0 ? rc : aios__sql_damaged(db, "its pages have no size", err);
}

int aios__sql_bytes_used(aios__sql *db, uint64_t *n, aios_error *err)
{
    int64_t pages = 0, size = 0;
    int rc = ask_number(db, "PRAGMA page_count", &pages, err);
    rc = rc ? rc : page_size(db, &size, err);
    *n = (uint64_t)pages * (uint64_t)size;
    return rc;
}

int aios__sql_bytes_max(aios__sql *db, uint64_t n, aios_error *err)
{
    int64_t size = 0;
    char sql[64];
    int rc = page_size(db, &size, err);
    snprintf(sql, sizeof sql, "PRAGMA max_page_count=%llu", rc ? 0 : (unsigned long long)(n / (uint64_t)size));
    return rc ? rc : exec(db, sql, "it cannot be set up", err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes sqlite3.h: a database of streams, whose every row carries a sum. Format 1: docs/store.md. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cachefile.h"
#include "store/sqlite_priv.h"

#define APPLICATION_ID 1634299763 /* "aios" */
#define FORMAT 1
#define CHECKPOINT_FRAMES 1000
#define SQLITE_MEMORY ((size_t)3 << 20) /* cache, statements, schema */
#define ROW_EXTRA 4096

/* Loaded when a store is first opened. Nothing of its global state is changed: the host may use it too. */
#define SQLITE_FUNCTIONS(X)                                                                                            \
    X(open_v2) X(close_v2) X(exec) X(prepare_v2) X(step) X(reset) X(finalize) X(clear_bindings)                \
    X(bind_int64) X(bind_blob64) X(bind_text) X(column_int64) X(column_text) X(column_blob) X(column_bytes)            \
    X(extended_errcode) X(errmsg) X(errstr) X(system_errno) X(get_autocommit) X(db_config) X(limit) X(wal_hook)        \
    X(wal_checkpoint_v2)

/* What the file holds, word for word. */
#define SQL_META "CREATE TABLE meta(id INTEGER PRIMARY KEY, opens INTEGER NOT NULL, streams INTEGER NOT NULL, digest INTEGER NOT NULL, sum INTEGER NOT NULL)"
#define SQL_RECORD                                                                                                     \
    "CREATE TABLE record(stream INTEGER NOT NULL, seq INTEGER NOT NULL, wall INTEGER NOT NULL, kind INTEGER NOT NULL, sum INTEGER NOT NULL, " \
    "data BLOB NOT NULL, PRIMARY KEY(stream, seq)) WITHOUT ROWID"
#define SQL_STREAM                                                                                                     \
    "CREATE TABLE stream(id INTEGER PRIMARY KEY, name TEXT NOT NULL, first INTEGER NOT NULL, head INTEGER NOT NULL, wall INTEGER NOT NULL, " \
    "sum INTEGER NOT NULL)"

#define STATEMENTS(X)                                                                                                  \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                                        \
    X(COMMIT, "COMMIT")                                                                                                \
    X(ROLLBACK, "ROLLBACK")                                                                                            \
    X(ADD, "INSERT INTO record(stream, seq, wall, kind, sum, data) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                    \
    X(FORGET, "DELETE FROM record WHERE stream = ?1 AND seq < ?2")                                                     \
    X(READ, "SELECT seq, wall, kind, sum, data FROM record WHERE stream = ?1 AND seq >= ?2 AND seq <= ?3 ORDER BY seq") \
    X(STREAMS, "SELECT id, name, first, head, wall, sum FROM stream ORDER BY id")                                      \
    X(MAKE, "INSERT INTO stream(id, first, head, wall, sum, name) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                     \
    X(MOVE, "UPDATE stream SET first = ?2, head = ?3, wall = ?4, sum = ?5 WHERE id = ?1")                              \
    X(DROP, "DELETE FROM stream WHERE id = ?1")                                                                        \
    X(META, "SELECT opens, streams, digest, sum FROM meta WHERE id = 1")                                               \
    X(SET_META, "INSERT OR REPLACE INTO meta(id, opens, streams, digest, sum) VALUES(1, ?1, ?2, ?3, ?4)")

enum {
#define X(name, sql) STMT_##name,
    STATEMENTS(X)
#undef X
        STMT_COUNT
};

typedef struct meta {
    uint64_t opens, streams, digest;
} meta;

typedef struct api {
#define X(name) __typeof__(&sqlite3_##name) name;
    SQLITE_FUNCTIONS(X)
#undef X
} api;

struct aios__db {
    api f;
    aios_ctx *ctx;
    sqlite3 *db;
    sqlite3_stmt *stmt[STMT_COUNT];
    meta meta, meta_before; /* in the transaction; as committed */
    uint32_t flags;
    int n_frames;           /* of the log */
    uint64_t n_syncs;
    aios_error dead;        /* code set: a sync failed */
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
    return p ? AIOS_OK : aios__fail(err, AIOS_EUNAVAIL, "libsqlite3.so.0, which sqlite: stores need, is missing or too old");
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

static int fail_busy(const aios__db *db, aios_error *err)
{
    long pid = holder_of(db->path);
    if (pid == (long)getpid())
        return aios__fail(err, AIOS_EBUSY, "store %s: this process (%ld) has it open already: share that handle", db->path, pid);
    if (pid > 0)
        return aios__fail(err, AIOS_EBUSY, "store %s: process %ld has it open: let it end first", db->path, pid);
    return aios__fail(err, AIOS_EBUSY, "store %s: another process has it open: let it end first", db->path);
}

static int code_of_errno(int sys)
{
    return sys == ENOENT || sys == ENOTDIR ? AIOS_ENOENT : sys == EACCES || sys == EPERM ? AIOS_EDENIED : AIOS_EIO;
}

static int fail(aios__db *db, int rc, const char *what, aios_error *err)
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
    return aios__fail_sys(err, code, sys, "store %s: %s: %s", db->path, what, db->db && code != AIOS_ENOMEM ? db->f.errmsg(db->db) : db->f.errstr(rc));
}

static int fail_damaged(const aios__db *db, const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_EFORMAT, "store %s is damaged: %s: restore it from a copy", db->path, what);
}

/* A sync that failed is never tried again: what the system still holds of it may be gone. */
static int check_sync(aios__db *db, int rc, const char *what, aios_error *err)
{
    int code = fail(db, rc, what, err);
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC) {
        db->dead = (aios_error)AIOS_INIT(aios_error);
        fail(db, rc, what, &db->dead);
    }
    return code;
}

static int check_dead(const aios__db *db, aios_error *err)
{
    if (!db->dead.code)
        return AIOS_OK;
    aios__fail(err, AIOS_EIO, "%s; it was not synced, so that nothing more is written: open the store anew", db->dead.msg);
    if (err)
        err->sys = db->dead.sys;
    return AIOS_EIO;
}

/* ---- statements ----------------------------------------------------------------------------------------------------- */

static int prepare(aios__db *db, int which, aios_error *err)
{
    static const char *const sql[] = {
#define X(name, text) text,
        STATEMENTS(X)
#undef X
    };
    if (db->stmt[which])
        return AIOS_OK;
    int rc = db->f.prepare_v2(db->db, sql[which], -1, &db->stmt[which], NULL);
    return rc ? fail(db, rc, "it cannot be read", err) : AIOS_OK;
}

static void bind(aios__db *db, int which, int n, const uint64_t *values)
{
    for (int i = 0; i < n; i++)
        db->f.bind_int64(db->stmt[which], i + 1, (sqlite3_int64)values[i]);
}

/* SQLITE_ROW, or its end: then it is ready for the next use. */
static int step(aios__db *db, int which)
{
    int rc = db->f.step(db->stmt[which]);
    if (rc == SQLITE_ROW)
        return rc;
    int end = db->f.reset(db->stmt[which]);
    db->f.clear_bindings(db->stmt[which]);
    return rc == SQLITE_DONE ? SQLITE_DONE : end ? end : rc;
}

static int run(aios__db *db, int which, const char *what, aios_error *err)
{
    int rc = step(db, which);
    return rc == SQLITE_DONE ? AIOS_OK : fail(db, rc, what, err);
}

static uint64_t column(const aios__db *db, int which, int i)
{
    return (uint64_t)db->f.column_int64(db->stmt[which], i);
}

static int exec(aios__db *db, const char *sql, const char *what, aios_error *err)
{
    int rc = db->f.exec(db->db, sql, NULL, NULL, NULL);
    return rc ? check_sync(db, rc, what, err) : AIOS_OK;
}

/* First column of the first row of a statement, "" where there is none. */
static int ask(aios__db *db, const char *sql, char *out, size_t size, aios_error *err)
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

static int ask_number(aios__db *db, const char *sql, int64_t *out, aios_error *err)
{
    char text[64];
    int rc = ask(db, sql, text, sizeof text, err);
    *out = strtoll(text, NULL, 10);
    return rc;
}

/* ---- sums ----------------------------------------------------------------------------------------------------------- */

static uint64_t record_sum(const aios__db_stream *s, uint64_t seq, int64_t wall_us, uint32_t kind, const void *p, size_t n)
{
    const uint64_t head[] = {s->id, seq, (uint64_t)wall_us, kind, n};
    return aios__sum64(aios__sum64(FORMAT, head, sizeof head), p, n);
}

static uint64_t stream_sum(const aios__db_stream *s)
{
    const uint64_t head[] = {s->id, s->first, s->head, (uint64_t)s->wall_us};
    return aios__sum64(aios__sum64(FORMAT, head, sizeof head), s->name, strlen(s->name));
}

/* Part of a stream in the sum over all: who is there, in any order. */
static uint64_t member_sum(const aios__db_stream *s)
{
    return aios__sum64(s->id, s->name, strlen(s->name));
}

static uint64_t meta_sum(const meta *m)
{
    return aios__sum64(FORMAT, m, sizeof *m);
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

/* A new file is its owner's alone; what is there must be a file. */
static int make_file(aios__db *db, aios_error *err)
{
    struct stat st;
    bool create = !(db->flags & AIOS_STORE_READ_ONLY);
    int fd = create ? open(db->path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd); /* nobody has locked what was not there */
    if (fd >= 0)
        return AIOS_OK;
    if (stat(db->path, &st)) {
        int sys = create && errno == ENOENT ? ENOENT : errno;
        return aios__fail_sys(err, code_of_errno(sys), sys, "store %s", db->path);
    }
    return S_ISREG(st.st_mode) ? AIOS_OK : aios__fail(err, AIOS_EINVAL, "store %s is no regular file", db->path);
}

static void warn_of_others(const aios__db *db)
{
    struct stat st;
    char dir[4096 + 4];
    const char *slash = strrchr(db->path, '/');
    snprintf(dir, sizeof dir, "%.*s/", (int)(slash ? slash - db->path : 0), db->path);
    if (!stat(dir, &st) && (st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
        aios__log(db->ctx, AIOS_LOG_WARN, "store %s: others may write to its folder, and so put another store in its place", db->path);
    if (!stat(db->path, &st) && (st.st_mode & (S_IWGRP | S_IWOTH | S_IROTH)))
        aios__log(db->ctx, AIOS_LOG_WARN, "store %s: others may read or write it", db->path);
}

static void harden(aios__db *db)
{
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
                              SQLITE_DBCONFIG_TRUSTED_SCHEMA,        SQLITE_DBCONFIG_DQS_DML,        SQLITE_DBCONFIG_DQS_DDL,
                              SQLITE_DBCONFIG_WRITABLE_SCHEMA,       SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER};
    static const int limits[][2] = {
        {SQLITE_LIMIT_LENGTH, AIOS_STORE_MAX_RECORD + ROW_EXTRA}, {SQLITE_LIMIT_SQL_LENGTH, 4096}, {SQLITE_LIMIT_COLUMN, 16},
        {SQLITE_LIMIT_EXPR_DEPTH, 16}, {SQLITE_LIMIT_COMPOUND_SELECT, 2}, {SQLITE_LIMIT_FUNCTION_ARG, 8}, {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64}, {SQLITE_LIMIT_VARIABLE_NUMBER, 8}, {SQLITE_LIMIT_TRIGGER_DEPTH, 1}, {SQLITE_LIMIT_WORKER_THREADS, 0}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(off); i++)
        db->f.db_config(db->db, off[i], 0, NULL);
    db->f.db_config(db->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(limits); i++)
        db->f.limit(db->db, limits[i][0], limits[i][1]);
}

static int on_wal(void *user, sqlite3 *s, const char *name, int n_frames)
{
    aios__db *db = user;
    AIOS__UNUSED(s);
    AIOS__UNUSED(name);
    db->n_frames = n_frames;
    return SQLITE_OK;
}

/* True if there is a log with something in it, which only a writer can take over. */
static bool has_log(const aios__db *db)
{
    char wal[4096 + 16];
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", db->path);
    return !stat(wal, &st) && st.st_size > 0;
}

/* A file that we may not write, and that nobody writes: as it is, without locks. */
static int open_unchanging(aios__db *db, aios_error *err)
{
    char uri[3 * 4096 + 32];
    size_t n = (size_t)snprintf(uri, sizeof uri, "file:");
    if (has_log(db))
        return aios__fail_sys(err, AIOS_EIO, EROFS, "store %s: its writer did not end well, and what it left (%s-wal) can only be read by who may write", db->path,
                              db->path);
    for (const char *p = db->path; *p; p++)
        n += (size_t)snprintf(uri + n, sizeof uri - n, strchr("%?#", *p) ? "%%%02X" : "%c", (unsigned char)*p);
    snprintf(uri + n, sizeof uri - n, "?immutable=1");
    int rc = db->f.open_v2(uri, &db->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    return rc ? fail(db, rc, "it cannot be opened", err) : AIOS_OK;
}

static int open_connection(aios__db *db, aios_error *err)
{
    if ((db->flags & AIOS_STORE_READ_ONLY) && access(db->path, W_OK)) {
        int rc = open_unchanging(db, err);
        if (!rc)
            harden(db);
        return rc;
    }
    int rc = db->f.open_v2(db->path, &db->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc)
        return fail(db, rc, "it cannot be opened", err);
    harden(db);
    return AIOS_OK;
}

static int set_up(aios__db *db, aios_error *err)
{
    int rc = exec(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA cache_size=-2000; PRAGMA temp_store=MEMORY; "
                      "PRAGMA journal_size_limit=67108864", "it cannot be set up", err);
    rc = rc ? rc : exec(db, db->flags & AIOS_STORE_RELAXED ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL", "it cannot be set up", err);
    if (!rc && (db->flags & AIOS_STORE_READ_ONLY))
        rc = exec(db, "PRAGMA query_only=ON", "it cannot be set up", err);
    db->f.wal_hook(db->db, on_wal, db);
    return rc;
}

static int use_log(aios__db *db, aios_error *err)
{
    char mode[16];
    int rc = ask(db, "PRAGMA journal_mode=WAL", mode, sizeof mode, err);
    return rc || !strcmp(mode, "wal") ? rc : aios__fail(err, AIOS_EIO, "store %s: the file system gives no write-ahead log (mode %s)", db->path, mode);
}

/* An empty file becomes a store. */
static int make_schema(aios__db *db, aios_error *err)
{
    char sql[128];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID, FORMAT);
    int rc = use_log(db, err);
    rc = rc ? rc : exec(db, "BEGIN IMMEDIATE", "it cannot be written", err);
    rc = rc ? rc : exec(db, SQL_META ";" SQL_RECORD ";" SQL_STREAM, "it cannot be written", err);
    rc = rc ? rc : exec(db, sql, "it cannot be written", err);
    if (!rc) {
        const uint64_t row[] = {0, 0, 0, meta_sum(&db->meta)};
        rc = prepare(db, STMT_SET_META, err);
        if (!rc)
            bind(db, STMT_SET_META, 4, row);
        rc = rc ? rc : run(db, STMT_SET_META, "it cannot be written", err);
    }
    return rc ? rc : exec(db, "COMMIT", "it cannot be written", err);
}

/* Exactly our tables and nothing else: what a crafted file brings along never runs. */
static int check_schema(aios__db *db, aios_error *err)
{
    static const char *const want[] = {SQL_META, SQL_RECORD, SQL_STREAM};
    char text[1024], sql[96];
    int64_t n;
    int rc = ask_number(db, "SELECT count(*) FROM sqlite_master", &n, err);
    if (!rc && n != AIOS__ARRAY_LEN(want))
        return fail_damaged(db, "its tables are not those of a store", err);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(want) && !rc; i++) {
        snprintf(sql, sizeof sql, "SELECT sql FROM sqlite_master WHERE type='table' ORDER BY name LIMIT 1 OFFSET %zu", i);
        rc = ask(db, sql, text, sizeof text, err);
        if (!rc && strcmp(text, want[i]))
            return fail_damaged(db, "its tables are not those of a store", err);
    }
    return rc;
}

/* Whose file it is, and of which format; an empty one becomes ours. */
static int identify(aios__db *db, aios_error *err)
{
    int64_t application, format, objects;
    int rc = ask_number(db, "PRAGMA application_id", &application, err);
    rc = rc ? rc : ask_number(db, "PRAGMA user_version", &format, err);
    rc = rc ? rc : ask_number(db, "SELECT count(*) FROM sqlite_master", &objects, err);
    if (rc)
        return rc;
    if (!application && !format && !objects && !(db->flags & AIOS_STORE_READ_ONLY)) {
        rc = make_schema(db, err);
        return rc ? rc : check_schema(db, err);
    }
    if (application != APPLICATION_ID)
        return aios__fail(err, AIOS_EFORMAT, "%s is no store of aios, but a database of another program, or damaged", db->path);
    if (format > FORMAT)
        return aios__fail_need(err, AIOS_EVERSION, FORMAT, (uint64_t)format, "store %s has format %lld, this library knows %d: update libaios", db->path,
                               (long long)format, FORMAT);
    if (format != FORMAT)
        return fail_damaged(db, "there is no such format", err);
    rc = check_schema(db, err);
    return rc || (db->flags & AIOS_STORE_READ_ONLY) ? rc : use_log(db, err);
}

static int prepare_all(aios__db *db, aios_error *err)
{
    int rc = AIOS_OK;
    for (int i = 0; i < STMT_COUNT && !rc; i++)
        rc = prepare(db, i, err);
    return rc;
}

static int read_meta(aios__db *db, aios_error *err)
{
    int rc = db->f.step(db->stmt[STMT_META]);
    meta m = {column(db, STMT_META, 0), column(db, STMT_META, 1), column(db, STMT_META, 2)};
    bool whole = rc == SQLITE_ROW && column(db, STMT_META, 3) == meta_sum(&m);
    int end = db->f.reset(db->stmt[STMT_META]);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return fail(db, end ? end : rc, "it cannot be read", err);
    if (!whole)
        return fail_damaged(db, "the row that tells of its streams has another sum", err);
    db->meta = db->meta_before = m;
    return AIOS_OK;
}

static int write_meta(aios__db *db, aios_error *err)
{
    const uint64_t row[] = {db->meta.opens, db->meta.streams, db->meta.digest, meta_sum(&db->meta)};
    bind(db, STMT_SET_META, 4, row);
    return run(db, STMT_SET_META, "it cannot be written", err);
}

/* The log goes into the file, by writing it anew, before anything is added: a sync of an earlier process may have failed. */
static int checkpoint(aios__db *db, int mode, aios_error *err)
{
    int rc = db->f.wal_checkpoint_v2(db->db, NULL, mode, NULL, NULL);
    if (rc)
        return check_sync(db, rc, "its log cannot be moved into it", err);
    db->n_frames = 0;
    return AIOS_OK;
}

static int count_open(aios__db *db, aios_error *err)
{
    int rc = checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE, err);
    rc = rc ? rc : aios__db_begin(db, err);
    if (rc)
        return rc;
    db->meta.opens++;
    rc = write_meta(db, err);
    if (rc)
        aios__db_rollback(db);
    return rc ? rc : aios__db_commit(db, err);
}

int aios__db_open(aios_ctx *ctx, const char *path, uint32_t flags, aios__db **out, aios_error *err)
{
    if (!*path || strlen(path) > 4000)
        return aios__fail(err, AIOS_EINVAL, "sqlite:FILE needs the path of a file, of at most 4000 bytes");
    aios__heap *h = aios__ctx_heap(ctx);
    aios__db *db = aios__alloc(h, AIOS_MEM_OTHER, sizeof *db + strlen(path) + 3, err);
    if (!db)
        return aios__error_code(err, AIOS_ENOMEM);
    sprintf(db->path, "%s%s", *path == '/' ? "" : "./", path); /* never a name that means something else to sqlite */
    db->ctx = ctx;
    db->flags = flags;
    int rc = load(&db->f, err);
    rc = rc ? rc : aios__charge(h, AIOS_MEM_OTHER, SQLITE_MEMORY, err);
    if (rc) {
        aios__free(h, db);
        return rc;
    }
    rc = make_file(db, err);
    rc = rc ? rc : open_connection(db, err);
    rc = rc ? rc : set_up(db, err);
    rc = rc ? rc : identify(db, err);
    rc = rc ? rc : prepare_all(db, err);
    rc = rc ? rc : read_meta(db, err);
    if (!rc && !(flags & AIOS_STORE_READ_ONLY))
        rc = count_open(db, err);
    if (rc) {
        aios__db_close(db);
        return rc;
    }
    warn_of_others(db);
    *out = db;
    return AIOS_OK;
}

void aios__db_close(aios__db *db)
{
    for (int i = 0; i < STMT_COUNT; i++)
        db->f.finalize(db->stmt[i]);
    if (db->db && (db->dead.code || (db->flags & AIOS_STORE_READ_ONLY)))
        db->f.db_config(db->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    db->f.close_v2(db->db);
    aios__heap *h = aios__ctx_heap(db->ctx);
    aios__uncharge(h, AIOS_MEM_OTHER, SQLITE_MEMORY);
    aios__free(h, db);
}

uint64_t aios__db_opens(const aios__db *db)
{
    return db->meta.opens;
}

uint64_t aios__db_syncs(const aios__db *db)
{
    return db->n_syncs;
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

/* One row; false: it is not what was written. */
static bool read_stream(aios__db *db, aios__db_stream *s)
{
    sqlite3_stmt *st = db->stmt[STMT_STREAMS];
    const char *name = (const char *)db->f.column_text(st, 1);
    *s = (aios__db_stream){.id = column(db, STMT_STREAMS, 0), .name = name, .first = column(db, STMT_STREAMS, 2), .head = column(db, STMT_STREAMS, 3),
                           .wall_us = db->f.column_int64(st, 4)};
    if (!name || (size_t)db->f.column_bytes(st, 1) != strlen(name) || strlen(name) > AIOS_STORE_MAX_NAME)
        return false;
    return s->first && s->first <= s->head && column(db, STMT_STREAMS, 5) == stream_sum(s);
}

int aios__db_streams(aios__db *db, aios__db_stream_fn *fn, void *user, aios_error *err)
{
    meta seen = {.opens = db->meta.opens};
    aios__db_stream s;
    int rc = SQLITE_DONE, code = AIOS_OK;
    while (!code && (rc = step(db, STMT_STREAMS)) == SQLITE_ROW) {
        if (!read_stream(db, &s)) {
            code = fail_damaged(db, "a row of its streams has another sum", err);
            break;
        }
        seen.streams++;
        seen.digest += member_sum(&s);
        code = fn(user, &s, err);
    }
    db->f.reset(db->stmt[STMT_STREAMS]);
    if (code)
        return code;
    if (rc != SQLITE_DONE)
        return fail(db, rc, "its streams cannot be read", err);
    return memcmp(&seen, &db->meta, sizeof seen) ? fail_damaged(db, "some of its streams are missing", err) : AIOS_OK;
}

int aios__db_put(aios__db *db, const aios__db_stream *s, bool is_new, aios_error *err)
{
    const uint64_t row[] = {s->id, s->first, s->head, (uint64_t)s->wall_us, stream_sum(s)};
    int which = is_new ? STMT_MAKE : STMT_MOVE;
    bind(db, which, 5, row);
    if (is_new) {
        db->f.bind_text(db->stmt[which], 6, s->name, -1, SQLITE_STATIC);
        db->meta.streams++;
        db->meta.digest += member_sum(s);
    }
    int rc = run(db, which, "it cannot be written", err);
    return rc || !is_new ? rc : write_meta(db, err);
}

int aios__db_drop(aios__db *db, const aios__db_stream *s, aios_error *err)
{
    db->meta.streams--;
    db->meta.digest -= member_sum(s);
    bind(db, STMT_DROP, 1, &s->id);
    int rc = run(db, STMT_DROP, "it cannot be written", err);
    return rc ? rc : write_meta(db, err);
}

/* ---- transactions --------------------------------------------------------------------------------------------------- */

int aios__db_begin(aios__db *db, aios_error *err)
{
    int rc = check_dead(db, err);
    return rc ? rc : run(db, STMT_BEGIN, "it cannot be written", err);
}

void aios__db_rollback(aios__db *db)
{
    if (!db->f.get_autocommit(db->db))
        step(db, STMT_ROLLBACK);
    db->meta = db->meta_before;
}

int aios__db_commit(aios__db *db, aios_error *err)
{
    int rc = step(db, STMT_COMMIT);
    if (rc != SQLITE_DONE) {
        int code = check_sync(db, rc, "the commit failed", err);
        aios__db_rollback(db);
        return code;
    }
    db->meta_before = db->meta;
    db->n_syncs += !(db->flags & AIOS_STORE_RELAXED);
    if (db->n_frames >= CHECKPOINT_FRAMES)
        checkpoint(db, SQLITE_CHECKPOINT_PASSIVE, NULL); /* the log holds it still: later again, or not at all after a failed sync */
    return AIOS_OK;
}

int aios__db_add(aios__db *db, uint64_t id, uint64_t seq, int64_t wall_us, const aios_store_write *w, aios_error *err)
{
    const aios__db_stream s = {.id = id};
    const uint64_t row[] = {id, seq, (uint64_t)wall_us, w->kind, record_sum(&s, seq, wall_us, w->kind, w->data, w->n_data)};
    bind(db, STMT_ADD, 5, row);
    db->f.bind_blob64(db->stmt[STMT_ADD], 6, w->data, w->n_data, SQLITE_STATIC);
    return run(db, STMT_ADD, "it cannot be written", err);
}

int aios__db_forget(aios__db *db, uint64_t id, uint64_t below, aios_error *err)
{
    const uint64_t row[] = {id, below};
    bind(db, STMT_FORGET, 2, row);
    return run(db, STMT_FORGET, "it cannot be written", err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static int fail_record(const aios__db *db, const aios__db_stream *s, uint64_t seq, const char *how, aios_error *err)
{
    return aios__fail(err, AIOS_EFORMAT, "store %s is damaged: record %llu of stream %s %s: restore it from a copy", db->path, (unsigned long long)seq, s->name, how);
}

int aios__db_read(aios__db *db, const aios__db_stream *s, uint64_t from, uint64_t to, aios__db_record_fn *fn, void *user, aios_error *err)
{
    const uint64_t range[] = {s->id, from, to};
    sqlite3_stmt *st = db->stmt[STMT_READ];
    int rc = SQLITE_DONE, code = AIOS_OK;
    bind(db, STMT_READ, 3, range);
    while (from <= to && !code && (rc = db->f.step(st)) == SQLITE_ROW) {
        const void *p = db->f.column_blob(st, 4);
        aios_record r = {.struct_size = sizeof r, .seq = column(db, STMT_READ, 0), .wall_us = db->f.column_int64(st, 1), .kind = (uint32_t)column(db, STMT_READ, 2),
                         .data = p ? p : "", .n_data = (size_t)db->f.column_bytes(st, 4)};
        if (r.seq != from)
            break;
        bool whole = column(db, STMT_READ, 2) <= UINT32_MAX && column(db, STMT_READ, 3) == record_sum(s, r.seq, r.wall_us, r.kind, r.data, r.n_data);
        code = whole ? fn(user, &r) : fail_record(db, s, from, "has another sum", err);
        from++;
    }
    int end = db->f.reset(st);
    if (code || from > to)
        return code;
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        code = fail(db, end ? end : rc, "it cannot be read", err);
        return code == AIOS_EFORMAT ? fail_record(db, s, from, "cannot be read", err) : code;
    }
    return fail_record(db, s, from, "is missing", err);
}

int aios__db_check(aios__db *db, aios_error *err)
{
    char text[256];
    int rc = ask(db, "PRAGMA quick_check(1)", text, sizeof text, err);
    return rc || !strcmp(text, "ok") ? rc : fail_damaged(db, text, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, statements and what a server's failures mean. */
#include "pg.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schema.h"

enum { DEFAULT_WAIT_S = 10 };

int pg_fail(aios_error *err, int code, int sys, const char *fmt, ...)
{
    va_list ap;
    if (!err)
        return code;
    err->code = code;
    err->sys = sys;
    err->have = err->need = 0;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    return code;
}

/* The first line of a server's text. */
static int first_line(const char *s)
{
    return (int)strcspn(s, "\n");
}

/* SQLSTATEs, the longest beginning first. */
static const struct {
    const char *state;
    int code, sys;
    const char *hint;
} meanings[] = {
    {"42501", AIOS_EDENIED, 0, ": give the role rights on its tables"},
    {"42P01", AIOS_EFORMAT, 0, ": it has lost a table"},
    {"42883", AIOS_EFORMAT, 0, ": it has lost a function"},
    {"25006", AIOS_EIO, EROFS, ": the server only reads"},
    {"53100", AIOS_EIO, ENOSPC, ""},
    {"55P03", AIOS_EBUSY, 0, ": another transaction holds its rows"},
    {"57014", AIOS_ETIMEDOUT, 0, ""},
    {"53", AIOS_EUNAVAIL, 0, ": the server is short of it"},
    {"57P", AIOS_EUNAVAIL, 0, ": try again when it is up"},
    {"28", AIOS_EAUTH, 0, ""},
    {"XX001", AIOS_EFORMAT, 0, ": the server found damage"},
    {"XX002", AIOS_EFORMAT, 0, ": the server found damage"},
};

int pg_fail_result(aios_error *err, const char *what, const PGconn *c, const PGresult *r)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *said = state ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : PQerrorMessage(c);
    said = said && *said ? said : "no reason given";
    for (size_t i = 0; state && i < sizeof meanings / sizeof *meanings; i++)
        if (!strncmp(state, meanings[i].state, strlen(meanings[i].state)))
            return pg_fail(err, meanings[i].code, meanings[i].sys, "%s: PostgreSQL says: %.*s%s", what, first_line(said), said, meanings[i].hint);
    return pg_fail(err, AIOS_EIO, EIO, "%s: PostgreSQL says: %.*s", what, first_line(said), said);
}

int64_t pg_int(const PGresult *r, int row, int column)
{
    return strtoll(PQgetvalue(r, row, column), NULL, 10);
}

/* ---- connections ---------------------------------------------------------------------------------------------------- */

static void keep_quiet(void *user, const PGresult *r)
{
    (void)user;
    (void)r;
}

/* What every connection needs, whatever the server's defaults are. */
static int prepare(pg_store *s, PGconn *c, aios_error *err)
{
    PQsetNoticeReceiver(c, keep_quiet, NULL);
    const char *sync = s->flags & AIOS_STORE_RELAXED ? "off" : "on";
    char sql[512];
    snprintf(sql, sizeof sql,
             "set lock_timeout = '30s'; set statement_timeout = '120s'; set default_transaction_isolation = 'read committed'; set default_transaction_read_only = %s;"
             " select set_config('synchronous_commit', '%s', false) where current_setting('synchronous_commit') in ('on', 'off', 'local')",
             s->flags & AIOS_STORE_READ_ONLY ? "on" : "off", sync);
    PGresult *r = PQexec(c, sql);
    int rc = PQresultStatus(r) == PGRES_TUPLES_OK ? AIOS_OK : pg_fail_result(err, "opening the store", c, r);
    PQclear(r);
    return rc;
}

static int connect_one(pg_store *s, PGconn **out, aios_error *err)
{
    /* Those before dbname are defaults, which the URI may change; those behind it hold. */
    static const char *const keys[] = {"connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "fallback_application_name",
                                       "dbname", "client_encoding", NULL};
    const char *values[] = {"10", "60000", "10", "5", "3", "libaios", s->conninfo, "UTF8", NULL};
    PGconn *c = PQconnectdbParams(keys, values, 1);
    int rc = AIOS_OK;
    if (!c)
        return pg_fail(err, AIOS_ENOMEM, 0, "postgres: no memory for a connection");
    if (PQstatus(c) != CONNECTION_OK) {
        const char *said = PQerrorMessage(c);
        rc = pg_fail(err, PQconnectionNeedsPassword(c) || PQconnectionUsedPassword(c) ? AIOS_EAUTH : AIOS_EUNAVAIL, 0, "postgres: no connection: %.*s",
                     first_line(said), said);
    }
    rc = rc ? rc : prepare(s, c, err);
    if (rc) {
        PQfinish(c);
        return rc;
    }
    *out = c;
    return AIOS_OK;
}

/* A connection that nobody uses, or NULL: one more may be made. */
static int wait_for_one(pg_store *s, PGconn **out, aios_error *err)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    pthread_mutex_lock(&s->lock);
    until.tv_sec += s->wait_s;
    while (!s->n_idle && s->n_conns == PG_MAX_CONNS && !late)
        late = pthread_cond_timedwait(&s->given_back, &s->lock, &until);
    bool room = s->n_conns < PG_MAX_CONNS;
    *out = s->n_idle ? s->idle[--s->n_idle] : NULL;
    if (!*out && room)
        s->n_conns++;
    pthread_mutex_unlock(&s->lock);
    if (*out || room)
        return AIOS_OK;
    return pg_fail(err, AIOS_ETIMEDOUT, 0,
                   "postgres: all %d connections of this store were in use for %d s (connect_timeout): try again, with fewer at once",
                   PG_MAX_CONNS, s->wait_s);
}

static void give_back(pg_store *s, PGconn *c)
{
    bool good = c && PQstatus(c) == CONNECTION_OK && PQtransactionStatus(c) == PQTRANS_IDLE;
    if (!good)
        PQfinish(c);
    pthread_mutex_lock(&s->lock);
    if (good)
        s->idle[s->n_idle++] = c;
    else
        s->n_conns--;
    pthread_cond_signal(&s->given_back);
    pthread_mutex_unlock(&s->lock);
}

/* False: the server has closed it. What it said before that is read first. */
static bool is_alive(PGconn *c)
{
    struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};
    while (poll(&p, 1, 0) > 0)
        if (!PQconsumeInput(c) || PQstatus(c) != CONNECTION_OK)
            return false;
    return true;
}

/* One that the server has not closed meanwhile. */
static int take(pg_store *s, PGconn **out, aios_error *err)
{
    PGconn *c;
    int rc = wait_for_one(s, &c, err);
    if (rc)
        return rc;
    if (c && !is_alive(c)) {
        PQfinish(c);
        c = NULL;
    }
    rc = c ? AIOS_OK : connect_one(s, &c, err);
    if (rc)
        give_back(s, NULL);
    *out = c;
    return rc;
}

/* ---- statements ----------------------------------------------------------------------------------------------------- */

static PGresult *run(PGconn *c, const char *sql, const pg_param *p, int n)
{
    const char *values[PG_MAX_PARAMS] = {NULL};
    int lengths[PG_MAX_PARAMS] = {0}, formats[PG_MAX_PARAMS] = {0};
    for (int i = 0; i < n; i++) {
        values[i] = p[i].value;
        lengths[i] = p[i].n;
        formats[i] = p[i].binary;
    }
    return PQexecParams(c, sql, n, NULL, values, lengths, formats, 0);
}

/* Deadlocks and the like: the server took nothing of it, and asks for it again. */
static bool is_again(const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    return state && (!strcmp(state, "40001") || !strcmp(state, "40P01"));
}

int pg_query(pg_store *s, const char *what, const char *sql, const pg_param *p, int n, int n_columns, PGresult **out, bool *sent, aios_error *err)
{
    enum { TRIES = 5 };
    PGconn *c;
    PGresult *r = NULL;
    *out = NULL;
    *sent = false;
    int rc = take(s, &c, err);
    if (rc)
        return rc;
    for (int i = 0; i < TRIES; i++) {
        PQclear(r);
        r = run(c, sql, p, n);
        if (!is_again(r))
            break;
    }
    ExecStatusType is = PQresultStatus(r);
    *sent = is == PGRES_TUPLES_OK || is == PGRES_COMMAND_OK || !PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (is != PGRES_TUPLES_OK)
        rc = pg_fail_result(err, what, c, r);
    else if (PQnfields(r) != n_columns)
        rc = pg_fail(err, AIOS_EPROTO, 0, "%s: the server gave %d columns in place of %d", what, PQnfields(r), n_columns);
    *out = r;
    give_back(s, c);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

/* Makes the tables where they are not there. Two who come at once make them one after the other. */
static int make_tables(pg_store *s, PGconn *c, aios_error *err)
{
    static const char begin[] = "begin; select pg_advisory_xact_lock(7593484371886), to_regclass('aios_meta')::text";
    PGresult *r = PQexec(c, begin);
    int rc = PQresultStatus(r) == PGRES_TUPLES_OK ? AIOS_OK : pg_fail_result(err, "opening the store", c, r);
    bool there = !rc && !PQgetisnull(r, 0, 1);
    PQclear(r);
    if (!rc && !there && (s->flags & AIOS_STORE_READ_ONLY))
        rc = pg_fail(err, AIOS_ENOENT, 0, "postgres: this database has no store in its schema: open it without READ_ONLY to make one");
    r = rc || there ? NULL : PQexec(c, pg_schema);
    if (r && PQresultStatus(r) != PGRES_COMMAND_OK)
        rc = pg_fail_result(err, "making the tables of the store", c, r);
    PQclear(r);
    r = PQexec(c, rc ? "rollback" : "commit");
    if (!rc && PQresultStatus(r) != PGRES_COMMAND_OK)
        rc = pg_fail_result(err, "making the tables of the store", c, r);
    PQclear(r);
    return rc;
}

static int check_format(PGconn *c, aios_error *err)
{
    PGresult *r = PQexec(c, "select format from aios_meta");
    int rc = PQresultStatus(r) == PGRES_TUPLES_OK ? AIOS_OK : pg_fail_result(err, "opening the store", c, r);
    if (!rc && (PQntuples(r) != 1 || PQnfields(r) != 1 || pg_int(r, 0, 0) < 1))
        rc = pg_fail(err, AIOS_EFORMAT, 0, "postgres: the table aios_meta is another program's");
    else if (!rc && pg_int(r, 0, 0) > PG_FORMAT)
        rc = pg_fail(err, AIOS_EVERSION, 0, "postgres: the store has format %s, this plugin knows %d: update it", PQgetvalue(r, 0, 0), PG_FORMAT);
    PQclear(r);
    return rc;
}

/* How long a connection may be waited for, as the URI has it. */
static int read_wait(pg_store *s, PGconn *c, aios_error *err)
{
    PQconninfoOption *list = PQconninfo(c);
    if (!list)
        return pg_fail(err, AIOS_ENOMEM, 0, "postgres: no memory for a connection");
    for (const PQconninfoOption *o = list; o->keyword; o++)
        if (!strcmp(o->keyword, "connect_timeout") && o->val && atoi(o->val) > 0)
            s->wait_s = atoi(o->val);
    PQconninfoFree(list);
    return AIOS_OK;
}

int pg_pool_open(pg_store *s, aios_error *err)
{
    PGconn *c;
    s->wait_s = DEFAULT_WAIT_S;
    int rc = take(s, &c, err);
    if (rc)
        return rc;
    rc = read_wait(s, c, err);
    rc = rc ? rc : make_tables(s, c, err);
    rc = rc ? rc : check_format(c, err);
    give_back(s, c);
    return rc;
}

void pg_pool_close(pg_store *s)
{
    while (s->n_idle)
        PQfinish(s->idle[--s->n_idle]);
}

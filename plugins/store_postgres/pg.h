/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this plugin. */
#ifndef AIOS_STORE_POSTGRES_PG_H
#define AIOS_STORE_POSTGRES_PG_H

#include <aios/plugin/store.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { PG_MAX_CONNS = 16 };

/** Connections to one database; each is one caller's at a time. */
typedef struct pg_store {
    char *conninfo;
    uint32_t flags;           /**< AIOS_STORE_x */
    pthread_mutex_t lock;
    pthread_cond_t given_back;
    PGconn *idle[PG_MAX_CONNS];
    uint32_t n_idle, n_conns;
    int wait_s;               /**< for one of them at most */
    _Atomic bool unsure;      /**< nobody knows whether a commit is there: none may follow */
    _Atomic uint64_t n_syncs;
} pg_store;

typedef struct pg_param {
    const void *value;
    int n;      /**< bytes of a binary one */
    bool binary;
} pg_param;
enum { PG_MAX_PARAMS = 6 };

/** Fills *err if there is one, and returns code. */
int pg_fail(aios_error *err, int code, int sys, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/** What the server said, as a failure. Returns its code. */
int pg_fail_result(aios_error *err, const char *what, const PGconn *c, const PGresult *r);

int pg_pool_open(pg_store *s, aios_error *err);
void pg_pool_close(pg_store *s);
/** Runs one statement and takes its rows (to be cleared). What was cut by another transaction is run again; *sent: whether it may have run. */
int pg_query(pg_store *s, const char *what, const char *sql, const pg_param *p, int n, int n_columns, PGresult **out, bool *sent, aios_error *err);

int64_t pg_int(const PGresult *r, int row, int column);

#endif

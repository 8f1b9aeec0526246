/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a file that is only appended to, a write(2) a commit: it survives its process. It dies or fails at the commit it is told to. */
#ifndef AIOS_LOG_STORE_H
#define AIOS_LOG_STORE_H

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <aios/plugin/store.h>

/** What is to happen, and what did; shared by all processes of a test. */
typedef struct log_faults {
    uint32_t commits;     /**< seen */
    uint32_t die_before;  /**< commit, from 1, that does not happen, nor anything after it; 0: none */
    uint32_t die_after;   /**< commit after which nothing happens */
    uint32_t fail_at;     /**< commit that fails */
    uint32_t reads;       /**< and questions for a head, seen */
    uint32_t fail_read_at;
    int32_t fail_code, fail_sys;
    bool failed_joint;    /* the commit that failed was of more than one stream */
} log_faults;

typedef struct log_record {
    char *stream, *data;
    size_t n;
    uint32_t kind;
    uint64_t seq;
    int64_t wall_us;
} log_record;

typedef struct log_store {
    int fd;
    log_record *recs;
    size_t n, cap;
    log_faults *faults;
    pthread_mutex_t lock; /* of recs */
} log_store;

static inline uint64_t log_head(const log_store *s, const char *stream)
{
    uint64_t seq = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->recs[i].stream, stream))
            seq = s->recs[i].seq;
    return seq;
}

static inline void log_take(log_store *s, const char *stream, uint32_t kind, int64_t wall_us, const void *data, size_t n)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 32;
        s->recs = realloc(s->recs, s->cap * sizeof *s->recs);
    }
    log_record *r = &s->recs[s->n];
    *r = (log_record){.stream = strdup(stream), .data = malloc(n + 1), .n = n, .kind = kind, .seq = log_head(s, stream) + 1, .wall_us = wall_us};
    memcpy(r->data, data, n);
    s->n++;
}

typedef struct log_head_bytes {
    uint32_t n_name, kind, n;
    int64_t wall_us;
} log_head_bytes;

static inline void log_load(log_store *s)
{
    uint32_t total;
    while (read(s->fd, &total, sizeof total) == sizeof total) {
        char *p = malloc(total);
        if (read(s->fd, p, total) != (ssize_t)total) {
            free(p);
            break;
        }
        for (size_t at = 0; at < total;) {
            log_head_bytes h;
            char name[256];
            memcpy(&h, p + at, sizeof h);
            memcpy(name, p + at + sizeof h, h.n_name);
            name[h.n_name] = 0;
            log_take(s, name, h.kind, h.wall_us, p + at + sizeof h + h.n_name, h.n);
            at += sizeof h + h.n_name + h.n;
        }
        free(p);
    }
}

static inline int log_open(const aios_store_open_args *args, void **self, aios_error *err)
{
    log_store *s = calloc(1, sizeof *s);
    (void)err;
    s->faults = args->user;
    pthread_mutex_init(&s->lock, NULL);
    s->fd = open(args->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_load(s);
    *self = s;
    return s->fd < 0 ? AIOS_EIO : AIOS_OK;
}

static inline void log_close(void *self)
{
    log_store *s = self;
    for (size_t i = 0; i < s->n; i++) {
        free(s->recs[i].stream);
        free(s->recs[i].data);
    }
    free(s->recs);
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static inline int log_refuse(aios_error *err, int code, int sys)
{
    if (err) {
        err->code = code;
        err->sys = sys;
        snprintf(err->msg, sizeof err->msg, "as the test wants it");
    }
    return code;
}

static inline int log_commit_locked(log_store *s, const aios_store_commit_args *args, aios_error *err)
{
    log_faults *f = s->faults;
    uint32_t number = ++f->commits, total = 0;
    if (number == f->die_before)
        _exit(9);
    if (number == f->fail_at) {
        f->failed_joint = strcmp(args->writes[0].stream, args->writes[args->n_writes - 1].stream) != 0;
        return log_refuse(err, f->fail_code, f->fail_sys);
    }
    for (uint32_t i = 0; i < args->n_writes; i++) {
        const aios_store_write *w = &args->writes[i];
        uint64_t next = log_head(s, w->stream) + 1;
        for (uint32_t k = 0; k < i; k++)
            next += !strcmp(args->writes[k].stream, w->stream);
        if (w->seq && w->seq != next)
            return log_refuse(err, AIOS_ECONFLICT, 0);
        args->seqs[i] = next;
        total += (uint32_t)(sizeof(log_head_bytes) + strlen(w->stream) + w->n_data);
    }
    char *p = malloc(sizeof total + total), *at = p + sizeof total;
    memcpy(p, &total, sizeof total);
    for (uint32_t i = 0; i < args->n_writes; i++) {
        const aios_store_write *w = &args->writes[i];
        log_head_bytes h = {.n_name = (uint32_t)strlen(w->stream), .kind = w->kind, .n = (uint32_t)w->n_data, .wall_us = args->wall_us};
        memcpy(at, &h, sizeof h);
        memcpy(at + sizeof h, w->stream, h.n_name);
        memcpy(at + sizeof h + h.n_name, w->data, w->n_data);
        at += sizeof h + h.n_name + h.n;
    }
    ssize_t put = write(s->fd, p, sizeof total + total);
    free(p);
    if (put != (ssize_t)(sizeof total + total))
        return log_refuse(err, AIOS_EIO, 0);
    if (number == f->die_after)
        _exit(9);
    for (uint32_t i = 0; i < args->n_writes; i++)
        log_take(s, args->writes[i].stream, args->writes[i].kind, args->wall_us, args->writes[i].data, args->writes[i].n_data);
    return AIOS_OK;
}

static inline int log_commit(void *self, const aios_store_commit_args *args, aios_error *err)
{
    log_store *s = self;
    pthread_mutex_lock(&s->lock);
    int rc = log_commit_locked(s, args, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static inline bool log_read_fails(log_store *s)
{
    return ++s->faults->reads == s->faults->fail_read_at;
}

/* Texts of records stay where they are. */
static inline bool log_at(log_store *s, size_t i, log_record *out)
{
    pthread_mutex_lock(&s->lock);
    bool there = i < s->n;
    if (there)
        *out = s->recs[i];
    pthread_mutex_unlock(&s->lock);
    return there;
}

static inline int log_read(void *self, const aios_store_read_args *args, aios_error *err)
{
    log_store *s = self;
    if (log_read_fails(s))
        return log_refuse(err, AIOS_EIO, 5);
    log_record copy, *r = &copy;
    for (size_t i = 0; log_at(s, i, r); i++) {
        if (strcmp(r->stream, args->stream) || r->seq < args->from)
            continue;
        aios_record out = AIOS_INIT(aios_record);
        out.stream = r->stream;
        out.seq = r->seq;
        out.wall_us = r->wall_us;
        out.kind = r->kind;
        out.data = r->data;
        out.n_data = r->n;
        int rc = args->fn(args->user, &out);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

static inline int log_find_head(void *self, const char *stream, uint64_t *seq, aios_error *err)
{
    log_store *s = self;
    if (log_read_fails(s))
        return log_refuse(err, AIOS_EIO, 5);
    pthread_mutex_lock(&s->lock);
    *seq = log_head(s, stream);
    pthread_mutex_unlock(&s->lock);
    return AIOS_OK;
}

/* Names come in the order of their making: enough for runs of one or two. */
static inline int log_list(void *self, const aios_store_list_args *args, aios_error *err)
{
    log_store *s = self;
    (void)err;
    for (size_t i = 0; i < s->n; i++) {
        aios_stream out = AIOS_INIT(aios_stream);
        out.name = s->recs[i].stream;
        out.head = log_head(s, out.name);
        if (s->recs[i].seq != 1 || strncmp(out.name, args->prefix, strlen(args->prefix)))
            continue;
        int rc = args->fn(args->user, &out);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

static inline int log_remove(void *self, const char *stream, aios_error *err)
{
    (void)self;
    (void)stream;
    return log_refuse(err, AIOS_ENOTSUP, 0);
}

static inline aios_store *log_store_open(aios_ctx *ctx, const char *path, log_faults *faults)
{
    static const aios_store_ops ops = {.struct_size = sizeof ops, .name = "log", .open = log_open, .close = log_close, .commit = log_commit,
                                       .read = log_read, .head = log_find_head, .list = log_list, .remove = log_remove,
                                       .flags = AIOS_STORE_OPS_SLOW};
    aios_error err = AIOS_INIT(aios_error);
    aios_store *st = NULL;
    char uri[300];
    snprintf(uri, sizeof uri, "log:%s", path);
    int rc = aios_store_register(ctx, &ops, faults, &err);
    if (rc && rc != AIOS_EEXIST)
        fail_msg("%s", err.msg);
    if (aios_store_open(ctx, uri, NULL, &st, &err))
        fail_msg("%s", err.msg);
    return st;
}

#endif

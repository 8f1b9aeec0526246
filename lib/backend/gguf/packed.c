/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: a header in the first page, the image at DATA_AT. The header names everything that the image depends on and ends in its own
 * sum; the image has a sum over the sums of its chunks, which is checked whole at every opening, by all threads, while its pages come
 * in: the first token reads them all anyway.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "backend/gguf/packed.h"

enum { CHUNK_BYTES = 1 << 20, DATA_AT = 2 << 20, PACKED_VERSION = 1 };

typedef struct header {
    char magic[8];
    uint32_t version, n_bytes; /* of this struct */
    aios__packed_key key;
    uint64_t data_sum;
    uint64_t sum; /* of all before it */
} header;
static const char magic[8] = {'a', 'i', 'o', 's', 'p', 'a', 'c', 'k'};

typedef struct aios__packed_writer {
    aios_ctx *ctx;
    aios__heap *heap;
    aios_buffer *memory;
    aios__packed_key key;
    uint64_t n_max;
    pthread_t thread;
    char name[200];
    char dir[]; /* with its NUL */
} writer;

static uint64_t header_sum(const header *h)
{
    return aios__sum64(PACKED_VERSION, h, offsetof(header, sum));
}

/* ---- what it must agree with ------------------------------------------------------------------------------------------ */

int aios__packed_key_read(const aios__gguf *g, aios__packed_key *key, aios_error *err)
{
    *key = (aios__packed_key){.layout = aios__panel_layout()};
    if (!aios__gguf_id(g, &key->id))
        return aios__fail(err, AIOS_ENOTSUP, "%s: not a file of this system", aios__gguf_path(g));
    return aios__gguf_sum(g, &key->content, err);
}

/* "model.gguf-0123456789abcdef.packed": a file that replaces another in its place replaces its image too. */
static void name_of(const aios__gguf *g, char out[200])
{
    char real[4096];
    const char *path = aios__cachefile_real(aios__gguf_path(g), real, sizeof real), *base = strrchr(path, '/');
    size_t n = 0;
    for (base = base ? base + 1 : path; *base && n < 120; base++) {
        char c = *base;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || (c == '.' && n);
        out[n++] = plain ? c : '_';
    }
    snprintf(out + n, 200 - n, "-%016llx.packed", (unsigned long long)aios__sum64(0, path, strlen(path)));
}

/* A name of that form. */
static bool is_image(const char *name)
{
    static const char end[] = ".packed";
    size_t n = strlen(name), n_end = sizeof end - 1;
    if (n < 17 + n_end || strcmp(name + n - n_end, end) || name[n - n_end - 17] != '-')
        return false;
    return strspn(name + n - n_end - 16, "0123456789abcdef") == 16;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

/* What the threads share while they bring the image in. */
typedef struct bringing {
    const aios__cachefile *f;
    const aios__load_args *args;
    uint8_t *data;
    size_t n_data;
    bool mapped;
    uint64_t *sums;          /* one per chunk */
    aios_error *errors;      /* one per thread */
    uint32_t n_chunks;
    _Atomic uint32_t next, done;
    _Atomic int stop;        /* code of the first failure */
    _Atomic bool final;      /* which is not the image's: packing anew would not help */
} bringing;

static size_t chunk_at(size_t n_data, uint32_t i)
{
    size_t left = n_data - (size_t)i * CHUNK_BYTES;
    return left < CHUNK_BYTES ? left : CHUNK_BYTES;
}

static int bring_chunk(bringing *b, uint32_t i, aios_error *err)
{
    uint8_t *p = b->data + (size_t)i * CHUNK_BYTES;
    size_t n = chunk_at(b->n_data, i);
    int rc = AIOS_OK;
    if (b->mapped)
        aios__cachefile_populate(p, n);
    else
        rc = aios__cachefile_read(b->f, DATA_AT + (uint64_t)i * CHUNK_BYTES, p, n, err);
    b->sums[i] = rc ? 0 : aios__sum64(i, p, n);
    return rc;
}

static void bring_thread(void *user, uint32_t tid, uint32_t n_threads)
{
    bringing *b = user;
    int rc = AIOS_OK, none = 0;
    bool final = b->args->beside && tid == n_threads - 1;
    if (final)
        rc = b->args->beside(b->args->beside_user, &b->errors[tid]);
    while (!rc && !atomic_load(&b->stop)) {
        uint32_t i = atomic_fetch_add(&b->next, 1);
        if (i >= b->n_chunks)
            break;
        rc = bring_chunk(b, i, &b->errors[tid]);
        uint32_t done = atomic_fetch_add(&b->done, 1) + 1;
        final = !rc && !tid && b->args->progress && b->args->progress(b->args->progress_user, (double)done / b->n_chunks);
        if (final)
            rc = aios__fail(&b->errors[tid], AIOS_ECANCELED, "loading was cancelled");
    }
    if (rc && atomic_compare_exchange_strong(&b->stop, &none, rc))
        atomic_store(&b->final, final);
}

static uint64_t whole_sum(const uint64_t *sums, uint32_t n)
{
    return aios__sum64(n, sums, n * sizeof *sums);
}

/* Brings all chunks in and compares their sum. */
static int bring(aios__net *net, bringing *b, uint64_t want, aios_error *err)
{
    b->n_chunks = (uint32_t)((b->n_data + CHUNK_BYTES - 1) / CHUNK_BYTES);
    b->sums = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, b->n_chunks, sizeof *b->sums, err);
    b->errors = b->sums ? aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, net->n_threads, sizeof *b->errors, err) : NULL;
    int rc = b->errors ? AIOS_OK : aios__no_memory(err);
    for (uint32_t t = 0; !rc && t < net->n_threads; t++)
        b->errors[t].struct_size = sizeof(aios_error);
    rc = rc ? rc : aios__pool_spmd(net->pool, bring_thread, b);
    for (uint32_t t = 0; !rc && t < net->n_threads; t++)
        rc = b->errors[t].code ? aios__error_copy(err, &b->errors[t]) : AIOS_OK;
    if (!rc && atomic_load(&b->stop))
        rc = aios__fail(err, atomic_load(&b->stop), "%s could not be read", b->f->name);
    if (!rc && whole_sum(b->sums, b->n_chunks) != want)
        rc = aios__fail(err, AIOS_EFORMAT, "%s is damaged: its bytes are not those that were written", b->f->name);
    aios__free(net->heap, b->sums);
    aios__free(net->heap, b->errors);
    return rc;
}

typedef struct mapping {
    aios__heap *heap;
    void *base;
    size_t n;
} mapping;

static void drop_mapping(void *user, void *ptr)
{
    mapping *m = user;
    AIOS__UNUSED(ptr);
    aios__cachefile_unmap(m->base, m->n);
    aios__uncharge(m->heap, AIOS_MEM_WEIGHTS, m->n);
    aios__free(m->heap, m);
}

static int map_image(aios__net *net, const aios__cachefile *f, size_t n_data, aios_error *err)
{
    mapping *m = aios__alloc(net->heap, AIOS_MEM_WEIGHTS, sizeof *m, err);
    if (!m)
        return aios__no_memory(err);
    *m = (mapping){.heap = net->heap, .n = (size_t)f->n_bytes};
    int rc = aios__charge(net->heap, AIOS_MEM_WEIGHTS, m->n, err);
    if (rc) {
        aios__free(net->heap, m);
        return rc;
    }
    rc = aios__cachefile_map(f, &m->base, err);
    rc = rc ? rc : aios_buffer_import(aios__device_cpu(net->ctx), (uint8_t *)m->base + DATA_AT, n_data, drop_mapping, m, &net->memory, err);
    if (rc) {
        if (m->base)
            aios__cachefile_unmap(m->base, m->n);
        aios__uncharge(net->heap, AIOS_MEM_WEIGHTS, m->n);
        aios__free(net->heap, m);
    }
    return rc;
}

/* Opens the file of g and compares its header with key; the sum of the image goes to *sum. */
static int open_image(const aios__gguf *g, const aios__packed_key *key, const char *dir, aios__cachefile *f, uint64_t *sum, aios_error *err)
{
    char name[200];
    header h;
    name_of(g, name);
    int rc = aios__cachefile_open(dir, name, f, err);
    if (rc)
        return rc;
    if (f->n_bytes != DATA_AT + key->n_data)
        rc = aios__fail_need(err, AIOS_EFORMAT, f->n_bytes, DATA_AT + key->n_data, "%s is not as long as it should be", name);
    rc = rc ? rc : aios__cachefile_read(f, 0, &h, sizeof h, err);
    if (!rc && (memcmp(h.magic, magic, sizeof magic) || h.version != PACKED_VERSION || h.n_bytes != sizeof h))
        rc = aios__fail(err, AIOS_EVERSION, "%s was written by another version", name);
    else if (!rc && h.sum != header_sum(&h))
        rc = aios__fail(err, AIOS_EFORMAT, "%s is damaged in its header", name);
    else if (!rc && memcmp(&h.key, key, sizeof *key))
        rc = aios__fail(err, AIOS_ENOENT, "%s is of another model file or layout", name);
    if (rc)
        aios__cachefile_close(f);
    else
        *sum = h.data_sum;
    return rc;
}

static int own_memory(aios__net *net, size_t n_data, aios_error *err)
{
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    cfg.n_bytes = n_data;
    cfg.flags = AIOS_BUFFER_HUGE;
    cfg.kind = AIOS_MEM_WEIGHTS;
    return aios_buffer_alloc(aios__device_cpu(net->ctx), &cfg, &net->memory, err);
}

int aios__packed_load(aios__net *net, const aios__gguf *g, const aios__packed_key *key, aios__load_args *args, aios_error *err)
{
    aios__cachefile f;
    aios_error why = AIOS_INIT(aios_error);
    bringing b = {.f = &f, .args = args, .n_data = (size_t)key->n_data, .mapped = args->map_packed};
    uint64_t sum = 0;
    int rc = open_image(g, key, args->cache_dir, &f, &sum, &why), level = rc == AIOS_ENOENT ? AIOS_LOG_INFO : AIOS_LOG_WARN;
    if (!rc) {
        rc = b.mapped ? map_image(net, &f, b.n_data, &why) : own_memory(net, b.n_data, &why);
        b.data = rc ? NULL : aios_buffer_data(net->memory);
        aios__cachefile_touch(&f);
        rc = rc ? rc : bring(net, &b, sum, &why);
        aios__cachefile_close(&f);
        if (b.data)
            args->beside = NULL; /* it has run */
    }
    if (!rc)
        return AIOS_OK;
    aios_buffer_unref(net->memory);
    net->memory = NULL;
    if (atomic_load(&b.final))
        return aios__error_copy(err, &why);
    aios__log(net->ctx, level, "the weights are packed: %s", why.msg);
    return AIOS_AGAIN;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

static int write_image(const writer *w, aios__cachefile *f, aios_error *err)
{
    header h = {.version = PACKED_VERSION, .n_bytes = sizeof h, .key = w->key};
    const uint8_t *data = aios_buffer_data(w->memory);
    size_t n = (size_t)w->key.n_data;
    uint32_t n_chunks = (uint32_t)((n + CHUNK_BYTES - 1) / CHUNK_BYTES);
    uint64_t *sums = aios__alloc_array(w->heap, AIOS_MEM_SCRATCH, n_chunks, sizeof *sums, err);
    int rc = sums ? AIOS_OK : aios__no_memory(err);
    for (uint32_t i = 0; !rc && i < n_chunks; i++) {
        const uint8_t *p = data + (size_t)i * CHUNK_BYTES;
        sums[i] = aios__sum64(i, p, chunk_at(n, i));
        rc = aios__cachefile_write(f, DATA_AT + (uint64_t)i * CHUNK_BYTES, p, chunk_at(n, i), err);
    }
    memcpy(h.magic, magic, sizeof magic);
    h.data_sum = rc ? 0 : whole_sum(sums, n_chunks);
    h.sum = header_sum(&h);
    rc = rc ? rc : aios__cachefile_write(f, 0, &h, sizeof h, err);
    aios__free(w->heap, sums);
    return rc;
}

static void *write_thread(void *user)
{
    writer *w = user;
    aios__cachefile f;
    aios_error err = AIOS_INIT(aios_error);
    struct sched_param none = {0};
    sched_setscheduler(0, SCHED_IDLE, &none); /* of this thread */
    const aios__cachefile_bound bound = {.is_ours = is_image, .name = w->name, .n_bytes = DATA_AT + w->key.n_data, .n_max = w->n_max};
    const aios__cachefile_bound all = {.is_ours = is_image, .name = "", .n_max = w->n_max};
    int rc = aios__cachefile_prune(w->dir, &bound, &err);
    rc = rc ? rc : aios__cachefile_create(w->dir, w->name, bound.n_bytes, &f, &err);
    if (!rc) {
        rc = write_image(w, &f, &err);
        rc = rc ? rc : aios__cachefile_commit(&f, &err);
        aios__cachefile_close(&f);
        rc = rc ? rc : aios__cachefile_prune(w->dir, &all, &err); /* others may have written meanwhile */
    }
    if (rc)
        aios__log(w->ctx, rc == AIOS_EBUSY ? AIOS_LOG_INFO : AIOS_LOG_WARN, "packed weights are not kept: %s", err.msg);
    else
        aios__log(w->ctx, AIOS_LOG_INFO, "packed weights are kept in %s/%s", w->dir, w->name);
    return NULL;
}

static void writer_free(writer *w)
{
    aios_ctx *ctx = w->ctx;
    aios_buffer_unref(w->memory);
    aios__free(w->heap, w);
    aios_ctx_free(ctx);
}

void aios__packed_save(aios__net *net, const aios__gguf *g, const aios__packed_key *key, const aios__load_args *args)
{
    sigset_t all, old;
    aios__file_id now;
    size_t n = strlen(args->cache_dir) + 1;
    if (!aios__gguf_id(g, &now) || memcmp(&now, &key->id, sizeof now))
        return; /* it changed while it was read */
    writer *w = aios__alloc(net->heap, AIOS_MEM_OTHER, sizeof *w + n, NULL);
    if (!w)
        return;
    w->ctx = aios__ctx_ref(net->ctx);
    w->heap = net->heap;
    w->memory = aios_buffer_ref(net->memory);
    w->key = *key;
    w->n_max = args->cache_bytes;
    memcpy(w->dir, args->cache_dir, n);
    name_of(g, w->name);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the host's */
    int rc = pthread_create(&w->thread, NULL, write_thread, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        writer_free(w);
    else
        net->packed_writer = w;
}

void aios__packed_wait(aios__net *net)
{
    writer *w = net->packed_writer;
    if (!w)
        return;
    pthread_join(w->thread, NULL);
    writer_free(w);
    net->packed_writer = NULL;
}

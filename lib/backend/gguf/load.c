/* SPDX-License-Identifier: Apache-2.0 */
/* Weights: the tensor tables of an architecture matched with the file, then packed by all threads into one buffer. */
#include <stdio.h>

#include "backend/gguf/packed.h"

enum { READ_BYTES = 256 * 1024, KEEP_FROM = 4 << 20 }; /* smaller images are packed in a millisecond or two */

/* One tensor on its way into the buffer. */
typedef struct item {
    const aios__gguf_tensor *t;
    const aios__tensor_spec *spec;
    uint32_t rows, cols, layer;
    size_t row_bytes;   /* in the file */
    size_t panel_bytes; /* 0: floats */
    bool split;         /* into planes */
    size_t at, n_bytes; /* in the buffer */
    uint32_t n_parts, part_panels;
} item;

typedef struct items {
    item *p;
    uint32_t n, cap;
    size_t n_bytes; /* of the buffer */
    uint64_t n_file;
} items;

static uint32_t dim_of(const aios__hparams *hp, uint8_t dim)
{
    const uint32_t dims[] = {
        [AIOS__DIM_ONE] = 1,           [AIOS__DIM_EMBD] = hp->n_embd,
        [AIOS__DIM_Q] = hp->n_head * hp->head_dim, [AIOS__DIM_KV] = hp->n_head_kv * hp->head_dim,
        [AIOS__DIM_FF] = hp->n_ff,     [AIOS__DIM_HEAD] = hp->head_dim,
        [AIOS__DIM_ROT2] = hp->n_rot / 2, [AIOS__DIM_VOCAB] = hp->n_vocab,
    };
    return dims[dim];
}

static int check_shape(const aios__gguf *g, const item *it, aios_error *err)
{
    const aios__gguf_tensor *t = it->t;
    if (t->ne[0] == it->cols && t->ne[1] == it->rows && t->ne[2] == 1 && t->ne[3] == 1)
        return AIOS_OK;
    return aios__fail(err, AIOS_EFORMAT, "%s: tensor %.*s is [%llu, %llu, %llu, %llu], but the hyper-parameters ask for [%u, %u]",
                      aios__gguf_path(g), (int)t->name.n, t->name.p, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
                      (unsigned long long)t->ne[2], (unsigned long long)t->ne[3], it->cols, it->rows);
}

static int add_size(items *list, item *it, aios_error *err)
{
    size_t end;
    it->at = list->n_bytes;
    if (!aios__add_size(it->at, it->n_bytes, &end) || !aios__align_size(end, 64, &end))
        return aios__fail(err, AIOS_EFORMAT, "tensor %.*s is too large", (int)it->t->name.n, it->t->name.p);
    list->n_bytes = end;
    list->n_file += it->t->n_bytes;
    return AIOS_OK;
}

/*
 * The head, whose largest row alone is often wanted, is the one matrix worth splitting (a tied embedding is the head), if it is large:
 * of 262144 and 151936 rows so few can be the largest that one panel in ten or twenty has one, of 49152 rows most have.
 */
enum { SPLIT_FROM = 65536 };

static bool splits(const aios__net *net, const aios__gguf *g, const item *it)
{
    bool is_head = it->spec->field == offsetof(aios__weights, head) && !(it->spec->flags & AIOS__TENSOR_LAYER);
    bool is_embd = it->spec->field == offsetof(aios__weights, embd) && !(it->spec->flags & AIOS__TENSOR_LAYER);
    return net->k->bound && it->rows >= SPLIT_FROM && it->t->dtype == AIOS_DTYPE_Q8_0 && (is_head || (is_embd && !aios__gguf_tensor_find(g, "output.weight")));
}

/* Sizes a tensor that is there; floats become f32, matrices panels. */
static int size_item(const aios__net *net, const aios__gguf *g, items *list, item *it, aios_error *err)
{
    const aios__gguf_tensor *t = it->t;
    const aios__dtype *type = aios__dtype_of(t->dtype);
    int rc = check_shape(g, it, err);
    uint64_t row_bytes = 0;
    if (rc)
        return rc;
    if (it->spec->flags & AIOS__TENSOR_FLOATS) {
        if (t->dtype != AIOS_DTYPE_F32 && t->dtype != AIOS_DTYPE_F16 && t->dtype != AIOS_DTYPE_BF16)
            return aios__fail(err, AIOS_ENOTSUP, "%s: tensor %.*s has type %s, where only F32, F16 and BF16 are supported", aios__gguf_path(g),
                              (int)t->name.n, t->name.p, type ? type->name : "?");
        it->n_bytes = (size_t)it->cols * sizeof(float);
        it->n_parts = 1;
        return add_size(list, it, err);
    }
    it->panel_bytes = aios__panel_bytes(t->dtype, it->cols);
    if (!it->panel_bytes || !aios__gemm_of(net->k, t->dtype) || !aios__dtype_bytes(t->dtype, it->cols, &row_bytes))
        return aios__fail(err, AIOS_ENOTSUP, "%s: tensor %.*s: weights of type %s with rows of %u are not supported", aios__gguf_path(g),
                          (int)t->name.n, t->name.p, type ? type->name : "?", it->cols);
    it->row_bytes = (size_t)row_bytes;
    uint32_t n_panels = (it->rows + AIOS__PANEL_ROWS - 1) / AIOS__PANEL_ROWS;
    size_t per = READ_BYTES / (it->row_bytes * AIOS__PANEL_ROWS);
    it->part_panels = per < 1 ? 1 : (uint32_t)per;
    it->n_parts = (n_panels + it->part_panels - 1) / it->part_panels;
    it->split = splits(net, g, it);
    if (!aios__mul_size(it->panel_bytes, n_panels, &it->n_bytes))
        return aios__fail(err, AIOS_EFORMAT, "tensor %.*s is too large", (int)t->name.n, t->name.p);
    return add_size(list, it, err);
}

static int add_item(const aios__net *net, const aios__gguf *g, items *list, const aios__tensor_spec *spec, uint32_t layer, aios_error *err)
{
    char name[96];
    if (spec->flags & AIOS__TENSOR_LAYER)
        snprintf(name, sizeof name, "blk.%u.%s", layer, spec->name);
    else
        snprintf(name, sizeof name, "%s", spec->name);
    item it = {.spec = spec, .layer = layer, .t = aios__gguf_tensor_find(g, name)};
    if (!it.t && spec->flags & AIOS__TENSOR_OPTIONAL)
        return AIOS_OK;
    if (!it.t)
        return aios__fail(err, AIOS_EFORMAT, "%s: tensor %s is missing", aios__gguf_path(g), name);
    it.rows = dim_of(&net->hp, spec->rows);
    it.cols = dim_of(&net->hp, spec->cols);
    int rc = size_item(net, g, list, &it, err);
    if (rc)
        return rc;
    if (list->n == list->cap)
        return aios__fail(err, AIOS_EINTERNAL, "more tensors than the file has");
    list->p[list->n++] = it;
    return AIOS_OK;
}

/* The number of tokens is what the embedding has rows. */
static int find_vocab_size(aios__net *net, const aios__gguf *g, aios_error *err)
{
    const aios__gguf_tensor *t = aios__gguf_tensor_find(g, "token_embd.weight");
    if (!t)
        return aios__fail(err, AIOS_EFORMAT, "%s: tensor token_embd.weight is missing", aios__gguf_path(g));
    if (t->ne[1] < 1 || t->ne[1] > 1u << 24)
        return aios__fail(err, AIOS_EFORMAT, "%s: tensor token_embd.weight has %llu rows; 1 .. 16777216 are supported", aios__gguf_path(g),
                          (unsigned long long)t->ne[1]);
    net->hp.n_vocab = (uint32_t)t->ne[1];
    return AIOS_OK;
}

/* A tensor that no table names would be left out of the computation in silence. */
static int check_all_used(const aios__net *net, const aios__gguf *g, const items *list, aios_error *err)
{
    if (list->n == aios__gguf_tensor_count(g))
        return AIOS_OK;
    for (uint32_t i = 0; i < aios__gguf_tensor_count(g); i++) {
        const aios__gguf_tensor *t = aios__gguf_tensor_at(g, i);
        uint32_t j = 0;
        while (j < list->n && list->p[j].t != t)
            j++;
        if (j == list->n)
            return aios__fail(err, AIOS_ENOTSUP, "%s: tensor %.*s is not one that architecture %s is known to have", aios__gguf_path(g),
                              (int)(t->name.n < 96 ? t->name.n : 96), t->name.p, net->arch->name);
    }
    return aios__fail(err, AIOS_EFORMAT, "%s: a tensor is there twice", aios__gguf_path(g));
}

static int list_items(aios__net *net, const aios__gguf *g, items *list, aios_error *err)
{
    int rc = find_vocab_size(net, g, err);
    if (rc)
        return rc;
    list->cap = aios__gguf_tensor_count(g);
    list->p = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, list->cap, sizeof *list->p, err);
    if (!list->p)
        return aios__no_memory(err);
    for (const aios__tensor_spec *const *table = net->arch->tables; *table; table++) {
        for (const aios__tensor_spec *spec = *table; spec->name; spec++) {
            uint32_t n = spec->flags & AIOS__TENSOR_LAYER ? net->hp.n_layer : 1;
            for (uint32_t il = 0; il < n && !rc; il++)
                rc = add_item(net, g, list, spec, il, err);
            if (rc)
                return rc;
        }
    }
    if (!aios__add_size(list->n_bytes, AIOS__PANEL_SLACK, &list->n_bytes))
        return aios__fail(err, AIOS_EFORMAT, "%s: the tensors are too large", aios__gguf_path(g));
    return check_all_used(net, g, list, err);
}

int aios__weights_plan(aios__net *net, const aios__gguf *g, uint64_t *n_bytes, aios_error *err)
{
    items list = {0};
    int rc = list_items(net, g, &list, err);
    *n_bytes = list.n_bytes;
    aios__free(net->heap, list.p);
    return rc;
}

/* What the threads share while they pack. */
typedef struct packing {
    aios__net *net;
    const aios__gguf *g;
    const items *list;
    uint8_t *base;
    uint8_t **room;          /* a read buffer per thread */
    aios_error *errors;      /* one per thread */
    const aios__load_args *args;
    _Atomic uint32_t next;   /* part to take, over all items */
    _Atomic uint64_t done;   /* bytes of the file */
    _Atomic int stop;        /* code of the first failure */
} packing;

static int pack_floats(const packing *p, const item *it, uint8_t *room, aios_error *err)
{
    float *out = (float *)(void *)(p->base + it->at);
    size_t size = it->t->dtype == AIOS_DTYPE_F32 ? 4 : 2, step = READ_BYTES / 4;
    for (size_t i = 0; i < it->cols; i += step) {
        size_t n = it->cols - i < step ? it->cols - i : step;
        int rc = aios__gguf_read(p->g, it->t, i * size, room, n * size, err);
        rc = rc ? rc : aios__dequantize(it->t->dtype, room, n, out + i);
        if (rc)
            return rc;
    }
    for (size_t i = 0; it->spec->flags & AIOS__TENSOR_POSITIVE && i < it->cols; i++) {
        if (!(out[i] > 0))
            return aios__fail(err, AIOS_EFORMAT, "%s: tensor %.*s has the value %g at %zu; it must be positive", aios__gguf_path(p->g),
                              (int)it->t->name.n, it->t->name.p, (double)out[i], i);
    }
    return AIOS_OK;
}

static aios__panels panels_of(const item *it, const uint8_t *base)
{
    aios__panels w = {.dtype = it->t->dtype, .rows = it->rows, .cols = it->cols, .panel_bytes = it->panel_bytes, .data = base + it->at};
    w.n_panels = (it->rows + AIOS__PANEL_ROWS - 1) / AIOS__PANEL_ROWS;
    if (it->split)
        aios__split_set(&w);
    return w;
}

static int pack_part(const packing *p, const item *it, uint32_t part, uint8_t *room, uint64_t *n_read, aios_error *err)
{
    if (!it->panel_bytes) {
        *n_read = it->t->n_bytes;
        return pack_floats(p, it, room, err);
    }
    uint32_t row = part * it->part_panels * AIOS__PANEL_ROWS, n = it->part_panels * AIOS__PANEL_ROWS;
    n = n < it->rows - row ? n : it->rows - row;
    *n_read = (uint64_t)n * it->row_bytes;
    const uint8_t *src = aios__gguf_data(p->g, it->t);
    if (src) {
        src += row * it->row_bytes;
    } else {
        int rc = aios__gguf_read(p->g, it->t, (uint64_t)row * it->row_bytes, room, (size_t)*n_read, err);
        if (rc)
            return rc;
        src = room;
    }
    const aios__panels w = panels_of(it, p->base);
    for (uint32_t i = 0; i < n; i += AIOS__PANEL_ROWS) {
        uint32_t m = n - i < AIOS__PANEL_ROWS ? n - i : AIOS__PANEL_ROWS;
        size_t panel = (row + i) / AIOS__PANEL_ROWS;
        uint8_t *to = p->base + it->at + panel * w.panel_bytes, *whole = it->split ? room + it->row_bytes * AIOS__PANEL_ROWS * it->part_panels : to;
        aios__panel_pack(it->t->dtype, src + i * it->row_bytes, m, it->cols, whole);
        if (it->split)
            aios__panel_split(whole, it->cols, to, p->base + (w.low - p->base) + panel * w.low_bytes);
    }
    return AIOS_OK;
}

/* The first failure stops all. */
static void stop_at(packing *p, int rc)
{
    int none = 0;
    if (rc)
        atomic_compare_exchange_strong(&p->stop, &none, rc);
}

static void pack_thread(void *user, uint32_t tid, uint32_t n_threads)
{
    packing *p = user;
    uint32_t i = 0, first = 0; /* item, and the number of its first part */
    if (p->args->beside && tid == n_threads - 1)
        stop_at(p, p->args->beside(p->args->beside_user, &p->errors[tid]));
    while (!atomic_load(&p->stop)) {
        uint32_t part = atomic_fetch_add(&p->next, 1);
        while (i < p->list->n && part - first >= p->list->p[i].n_parts)
            first += p->list->p[i++].n_parts;
        if (i == p->list->n)
            return;
        uint64_t n = 0;
        int rc = pack_part(p, &p->list->p[i], part - first, p->room[tid], &n, &p->errors[tid]);
        uint64_t done = atomic_fetch_add(&p->done, n) + n;
        if (!rc && tid == 0 && p->args->progress && p->args->progress(p->args->progress_user, (double)done / (double)p->list->n_file))
            rc = aios__fail(&p->errors[tid], AIOS_ECANCELED, "loading %s was cancelled", aios__gguf_path(p->g));
        stop_at(p, rc);
    }
}

static size_t part_bytes(const items *list)
{
    size_t n = READ_BYTES;
    for (uint32_t i = 0; i < list->n; i++) {
        const item *it = &list->p[i];
        size_t one = it->row_bytes * AIOS__PANEL_ROWS * (it->part_panels ? it->part_panels : 1) + (it->split ? it->panel_bytes : 0);
        n = one > n ? one : n;
    }
    return n;
}

static int pack_all(aios__net *net, const aios__gguf *g, const items *list, const aios__load_args *args, aios_error *err)
{
    packing p = {.net = net, .g = g, .list = list, .base = aios_buffer_data(net->memory), .args = args};
    int rc = AIOS_OK;
    p.room = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, net->n_threads, sizeof *p.room, err);
    p.errors = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, net->n_threads, sizeof *p.errors, err);
    if (!p.room || !p.errors)
        rc = aios__no_memory(err);
    for (uint32_t t = 0; !rc && t < net->n_threads; t++) {
        p.errors[t].struct_size = sizeof(aios_error);
        p.room[t] = aios__realloc(net->heap, AIOS_MEM_SCRATCH, NULL, part_bytes(list), err);
        rc = p.room[t] ? AIOS_OK : aios__no_memory(err);
    }
    if (!rc)
        rc = aios__pool_spmd(net->pool, pack_thread, &p);
    for (uint32_t t = 0; !rc && t < net->n_threads; t++)
        rc = p.errors[t].code ? aios__error_copy(err, &p.errors[t]) : AIOS_OK;
    if (!rc && atomic_load(&p.stop)) /* a failure without a text is one all the same */
        rc = aios__fail(err, atomic_load(&p.stop), "%s: the weights could not be packed", aios__gguf_path(g));
    for (uint32_t t = 0; p.room && t < net->n_threads; t++)
        aios__free(net->heap, p.room[t]);
    aios__free(net->heap, p.room);
    aios__free(net->heap, p.errors);
    return rc;
}

static void set_pointers(aios__net *net, const items *list)
{
    uint8_t *base = aios_buffer_data(net->memory);
    uint64_t most = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        const item *it = &list->p[i];
        void *owner = it->spec->flags & AIOS__TENSOR_LAYER ? (void *)&net->w.layers[it->layer] : (void *)&net->w;
        void *field = (char *)owner + it->spec->field;
        net->n_params += (uint64_t)it->rows * it->cols;
        if (!it->panel_bytes) {
            *(const float **)field = (const float *)(const void *)(base + it->at);
            continue;
        }
        *(aios__panels *)field = panels_of(it, base);
        net->quantizes |= aios__gemm_wants_q8(it->t->dtype) != 0;
    }
    for (uint32_t i = 0; i < list->n; i++) {
        uint64_t sum = 0;
        for (uint32_t j = 0; j < list->n; j++)
            sum += list->p[j].panel_bytes && list->p[j].spec->flags & AIOS__TENSOR_LAYER && list->p[j].t->dtype == list->p[i].t->dtype ? list->p[j].t->n_bytes : 0;
        if (sum > most) {
            most = sum;
            net->main_dtype = list->p[i].t->dtype;
        }
    }
    if (!net->w.head.data)
        net->w.head = net->w.embd;
}

/* What lies where in the image. */
static uint64_t plan_sum(const items *list)
{
    uint64_t sum = list->n_bytes;
    for (uint32_t i = 0; i < list->n; i++) {
        const item *it = &list->p[i];
        const uint64_t facts[] = {(uint64_t)it->t->dtype, it->rows, it->cols, it->at, it->n_bytes, it->spec->flags, it->split};
        sum = aios__sum64(aios__sum64(sum, it->t->name.p, it->t->name.n), facts, sizeof facts);
    }
    return sum;
}

static int pack_new(aios__net *net, const aios__gguf *g, const items *list, const aios__load_args *args, aios_error *err)
{
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    cfg.n_bytes = list->n_bytes;
    cfg.flags = AIOS_BUFFER_HUGE;
    cfg.kind = AIOS_MEM_WEIGHTS;
    int rc = aios_buffer_alloc(aios__device_cpu(net->ctx), &cfg, &net->memory, err);
    return rc ? rc : pack_all(net, g, list, args, err);
}

/* From the image of an earlier opening if there is one, else packed, and kept for the next. */
static int bring_weights(aios__net *net, const aios__gguf *g, const items *list, const aios__load_args *given, aios_error *err)
{
    aios__load_args args = *given;
    aios__packed_key key;
    aios_error why = AIOS_INIT(aios_error);
    bool wanted = args.cache_dir && list->n_bytes >= KEEP_FROM, keep = wanted && !aios__packed_key_read(g, &key, &why);
    int rc = AIOS_AGAIN;
    if (wanted && !keep)
        aios__log(net->ctx, AIOS_LOG_WARN, "packed weights are not kept: %s", why.msg);
    if (keep) {
        key.plan = plan_sum(list);
        key.n_data = list->n_bytes;
        rc = aios__packed_load(net, g, &key, &args, err);
    }
    bool fresh = rc == AIOS_AGAIN;
    if (fresh)
        rc = pack_new(net, g, list, &args, err);
    if (!rc && args.progress && args.progress(args.progress_user, 1.0))
        rc = aios__fail(err, AIOS_ECANCELED, "loading %s was cancelled", aios__gguf_path(g));
    if (!rc && fresh && keep)
        aios__packed_save(net, g, &key, &args);
    return rc;
}

int aios__weights_load(aios__net *net, const aios__gguf *g, const aios__load_args *args, aios_error *err)
{
    items list = {0};
    int rc = list_items(net, g, &list, err);
    if (!rc) {
        net->w.layers = aios__alloc_array(net->heap, AIOS_MEM_WEIGHTS, net->hp.n_layer, sizeof *net->w.layers, err);
        rc = net->w.layers ? AIOS_OK : aios__no_memory(err);
    }
    rc = rc ? rc : bring_weights(net, g, &list, args, err);
    if (!rc)
        set_pointers(net, &list);
    aios__free(net->heap, list.p);
    return rc;
}

void aios__weights_free(aios__net *net)
{
    aios_buffer_unref(net->memory);
    aios__free(net->heap, net->w.layers);
    net->memory = NULL;
    net->w.layers = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a GGUF header. It runs over a window of the file (to find the end of the metadata in constant memory) and
 * over the loaded bytes (to check and keep everything); nothing is believed before it was compared with the file's size.
 */
#include <stdio.h>

#include "backend/gguf/file_priv.h"

#define WINDOW (128u << 10) /* more than the longest key */
#define MIN_KV_BYTES 14u    /* key length, a byte of key, type, a byte of value */
#define MIN_TENSOR_BYTES 33u

typedef struct walk {
    aios__gguf *g;
    const uint8_t *p;   /* bytes base .. base + have of the file */
    uint8_t *window;    /* where p is refilled; NULL: p holds all there is */
    uint64_t base, have, pos, end;
    const char *what;   /* what `name` is: "key", "tensor" */
    char name[GGUF_TEXT];
    aios_error *err;
} walk;

static int bad(const walk *w, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(const walk *w, int code, const char *fmt, ...)
{
    char text[360];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *what = w->what ? w->what : "";
    return aios__fail(w->err, code, "%.150s: byte %llu: %s%s%s%s%s", w->g->path, (unsigned long long)w->pos, what,
                      w->what ? " \"" : "", w->what ? w->name : "", w->what ? "\": " : "", text);
}

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

static int need(const walk *w, uint64_t n, const char *thing)
{
    if (n > w->end - w->pos)
        return bad(w, AIOS_EFORMAT, "%s needs %llu bytes, but only %llu follow; the file is truncated or damaged, download it again",
                   thing, (unsigned long long)n, (unsigned long long)(w->end - w->pos));
    if (n > GGUF_MAX_META || w->pos > GGUF_MAX_META - n)
        return bad(w, AIOS_EFORMAT, "the metadata takes more than %llu MiB, which no model needs", GGUF_MAX_META >> 20);
    return AIOS_OK;
}

static int skip(walk *w, uint64_t n, const char *thing)
{
    int rc = need(w, n, thing);
    if (!rc)
        w->pos += n;
    return rc;
}

/* n bytes (at most WINDOW) that stay valid until the next take of a walk with a window. */
static int take(walk *w, uint64_t n, const char *thing, const uint8_t **p)
{
    int rc = need(w, n, thing);
    if (rc)
        return rc;
    if (w->window && (w->pos < w->base || w->pos + n > w->base + w->have)) {
        uint64_t have = w->end - w->pos < WINDOW ? w->end - w->pos : WINDOW;
        rc = aios__gguf_pread(w->g, w->pos, w->window, (size_t)have, w->err);
        if (rc)
            return rc;
        w->base = w->pos;
        w->have = have;
    }
    *p = w->p + (w->pos - w->base);
    w->pos += n;
    return AIOS_OK;
}

static int take_u32(walk *w, const char *thing, uint32_t *v)
{
    const uint8_t *p;
    int rc = take(w, 4, thing, &p);
    if (!rc)
        *v = gguf_u32(p);
    return rc;
}

static int take_u64(walk *w, const char *thing, uint64_t *v)
{
    const uint8_t *p;
    int rc = take(w, 8, thing, &p);
    if (!rc)
        *v = gguf_u64(p);
    return rc;
}

/* A key or a tensor name: 1 .. max bytes without NUL; becomes the context of messages. */
static int take_name(walk *w, const char *what, uint64_t max, aios__gstr *out)
{
    uint64_t n = 0;
    const uint8_t *p;
    w->what = NULL;
    int rc = take_u64(w, what, &n);
    if (rc)
        return rc;
    if (!n || n > max)
        return bad(w, AIOS_EFORMAT, "a %s name of %llu bytes, 1 .. %llu are allowed", what, (unsigned long long)n, (unsigned long long)max);
    rc = take(w, n, what, &p);
    if (rc)
        return rc;
    out->p = (const char *)p;
    out->n = (size_t)n;
    aios__gguf_show(*out, w->name);
    w->what = what;
    if (memchr(p, 0, (size_t)n))
        return bad(w, AIOS_EFORMAT, "the name holds a NUL byte");
    return AIOS_OK;
}

/* ---- header --------------------------------------------------------------------------------------------------- */

static int check_version(const walk *w, uint32_t v)
{
    if (v == 2 || v == 3)
        return AIOS_OK;
    if (v && !(v & 0xffff))
        return bad(w, AIOS_ENOTSUP, "a big-endian GGUF file (version %u); convert it with gguf_convert_endian.py", __builtin_bswap32(v));
    if (v == 1)
        return bad(w, AIOS_EVERSION, "GGUF version 1 is obsolete, versions 2 and 3 are read; convert the model again");
    return bad(w, AIOS_EVERSION, "GGUF version %u is not known, versions 2 and 3 are read", v);
}

static int check_magic(const walk *w, const uint8_t *p)
{
    if (!memcmp(p, "GGUF", 4))
        return AIOS_OK;
    static const char old[][5] = {"lmgg", "tjgg", "fmgg", "algg"}; /* ggml, ggjt, ggmf, ggla as they lie in a file */
    for (size_t i = 0; i < AIOS__ARRAY_LEN(old); i++)
        if (!memcmp(p, old[i], 4))
            return bad(w, AIOS_EVERSION, "a GGML file from before GGUF; convert the model again");
    return bad(w, AIOS_EFORMAT, "not a GGUF file: it begins with %02x %02x %02x %02x instead of \"GGUF\"", p[0], p[1], p[2], p[3]);
}

static int check_count(const walk *w, const char *thing, uint64_t n, uint64_t max, uint64_t min_bytes)
{
    uint64_t left = w->g->size - w->pos; /* the walk is within the file */
    if (n > left / min_bytes)
        return bad(w, AIOS_EFORMAT, "%llu %s cannot lie in the %llu bytes that follow; the file is truncated or damaged",
                   (unsigned long long)n, thing, (unsigned long long)left);
    if (n > max)
        return bad(w, AIOS_EFORMAT, "%llu %s, at most %llu are accepted", (unsigned long long)n, thing, (unsigned long long)max);
    return AIOS_OK;
}

static int walk_header(walk *w)
{
    const uint8_t *p;
    uint64_t n_tensors = 0, n_kv = 0;
    int rc = take(w, 4, "the magic", &p);
    if (!rc)
        rc = check_magic(w, p);
    if (!rc)
        rc = take_u32(w, "the version", &w->g->version);
    if (!rc)
        rc = check_version(w, w->g->version);
    if (!rc)
        rc = take_u64(w, "the tensor count", &n_tensors);
    if (!rc)
        rc = take_u64(w, "the key count", &n_kv);
    if (!rc)
        rc = check_count(w, "metadata keys", n_kv, GGUF_MAX_KV, MIN_KV_BYTES);
    if (!rc)
        rc = check_count(w, "tensors", n_tensors, GGUF_MAX_TENSORS, MIN_TENSOR_BYTES);
    if (!rc && n_kv * MIN_KV_BYTES + n_tensors * MIN_TENSOR_BYTES > w->g->size - w->pos)
        rc = bad(w, AIOS_EFORMAT, "%llu keys and %llu tensors cannot lie in the %llu bytes that follow", (unsigned long long)n_kv,
                 (unsigned long long)n_tensors, (unsigned long long)(w->g->size - w->pos));
    w->g->n_kv = rc ? 0 : (uint32_t)n_kv;
    w->g->n_tensors = rc ? 0 : (uint32_t)n_tensors;
    return rc;
}

/* ---- metadata ------------------------------------------------------------------------------------------------- */

static int walk_string(walk *w)
{
    uint64_t n = 0;
    int rc = take_u64(w, "a string length", &n);
    if (rc)
        return rc;
    if (n > GGUF_MAX_STRING && n <= w->end - w->pos)
        return bad(w, AIOS_EFORMAT, "a string of %llu bytes, at most %llu are accepted", (unsigned long long)n, GGUF_MAX_STRING);
    return skip(w, n, "a string");
}

/* Passes over as many of n strings as lie whole in the bytes at hand; what is odd about the next one is walk_string's to say. */
static uint64_t skip_strings(walk *w, uint64_t n)
{
    if (w->pos < w->base || w->pos >= w->base + w->have)
        return 0;
    uint64_t end = w->base + w->have < GGUF_MAX_META ? w->base + w->have : GGUF_MAX_META, i = 0, pos = w->pos;
    for (; i < n && pos < end && end - pos >= 8; i++) {
        uint64_t bytes = gguf_u64(w->p + (pos - w->base));
        if (bytes > GGUF_MAX_STRING || bytes > end - pos - 8)
            break;
        pos += 8 + bytes;
    }
    w->pos = pos;
    return i;
}

static int walk_array(walk *w, aios__gguf_kv *kv)
{
    uint64_t bytes = 0;
    int rc = take_u32(w, "an array type", &kv->elem_type);
    if (!rc)
        rc = take_u64(w, "an array length", &kv->n);
    if (rc)
        return rc;
    uint32_t size = aios__gguf_type_size(kv->elem_type);
    bool text = kv->elem_type == AIOS__GGUF_STRING;
    if (kv->elem_type == AIOS__GGUF_ARRAY)
        return bad(w, AIOS_EFORMAT, "arrays of arrays are not accepted");
    if (!size && !text)
        return bad(w, AIOS_EFORMAT, "unknown array type %u, 0 .. 12 are known", kv->elem_type);
    if (!aios__mul_u64(kv->n, text ? 8 : size, &bytes))
        return bad(w, AIOS_EFORMAT, "an array of %llu elements is impossible", (unsigned long long)kv->n);
    kv->data = w->window ? NULL : w->p + w->pos;
    uint64_t start = w->pos;
    if (text) {
        rc = need(w, bytes, "an array of strings"); /* before the loop: each string has at least its length */
        for (uint64_t i = 0; !rc && i < kv->n;) {
            uint64_t n = skip_strings(w, kv->n - i);
            rc = n ? AIOS_OK : walk_string(w);
            i += n ? n : 1;
        }
    } else {
        rc = skip(w, bytes, "an array");
    }
    kv->n_bytes = w->pos - start;
    return rc;
}

static int walk_kv(walk *w, aios__gguf_kv *kv)
{
    int rc = take_name(w, "key", GGUF_MAX_KEY, &kv->key);
    if (!rc)
        rc = take_u32(w, "a value type", &kv->type);
    if (rc)
        return rc;
    kv->n = 1;
    kv->elem_type = kv->type;
    if (kv->type == AIOS__GGUF_ARRAY)
        return walk_array(w, kv);
    uint64_t start = w->pos;
    uint32_t size = aios__gguf_type_size(kv->type);
    if (kv->type == AIOS__GGUF_STRING) {
        rc = walk_string(w);
    } else if (size) {
        const uint8_t *p;
        rc = take(w, size, "a value", &p);
        if (!rc && kv->type == AIOS__GGUF_BOOL && *p > 1)
            rc = bad(w, AIOS_EFORMAT, "a bool of value %u, 0 or 1 are allowed", *p);
    } else {
        return bad(w, AIOS_EFORMAT, "unknown value type %u, 0 .. 12 are known", kv->type);
    }
    kv->data = w->window ? NULL : w->p + start;
    kv->n_bytes = w->pos - start;
    return rc;
}

/* ---- tensors -------------------------------------------------------------------------------------------------- */

/* Names for messages only: types of GGUF that have no row in AIOS_DTYPES. */
static const char *foreign_type(uint32_t t)
{
    static const char *const names[] = {
        [9] = "Q8_1",     [15] = "Q8_K",    [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
        [20] = "IQ4_NL",  [21] = "IQ3_S",   [22] = "IQ2_S",   [23] = "IQ4_XS", [29] = "IQ1_M",   [34] = "TQ1_0",
        [35] = "TQ2_0",   [39] = "MXFP4",   [40] = "NVFP4",
    };
    return t < AIOS__ARRAY_LEN(names) && names[t] ? names[t] : "unknown";
}

static int tensor_bytes(const walk *w, aios__gguf_tensor *t, uint32_t type)
{
    const aios__dtype *d = type < AIOS_DTYPE_U8 ? aios__dtype_of((int32_t)type) : NULL;
    if (!d)
        return bad(w, AIOS_ENOTSUP, "tensor type %u (%s) is not supported; use a model quantized as Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or K-quants",
                   type, foreign_type(type));
    if (t->ne[0] % d->block_elems)
        return bad(w, AIOS_EFORMAT, "a row of %llu elements is no whole number of %s blocks of %u", (unsigned long long)t->ne[0],
                   d->name, d->block_elems);
    uint64_t n = t->ne[0];
    for (uint32_t i = 1; i < 4; i++)
        if (!aios__mul_u64(n, t->ne[i], &n))
            n = UINT64_MAX;
    if (n > INT64_MAX || !aios__mul_u64(n / d->block_elems, d->block_bytes, &t->n_bytes))
        return bad(w, AIOS_EFORMAT, "%llu x %llu x %llu x %llu elements are more than a file can hold", (unsigned long long)t->ne[0],
                   (unsigned long long)t->ne[1], (unsigned long long)t->ne[2], (unsigned long long)t->ne[3]);
    t->dtype = d->id;
    return AIOS_OK;
}

static int walk_tensor(walk *w, aios__gguf_tensor *t)
{
    uint32_t type = 0;
    int rc = take_name(w, "tensor", GGUF_MAX_NAME, &t->name);
    if (!rc)
        rc = take_u32(w, "the number of dimensions", &t->n_dims);
    if (rc)
        return rc;
    if (!t->n_dims || t->n_dims > 4)
        return bad(w, AIOS_EFORMAT, "%u dimensions, 1 .. 4 are allowed", t->n_dims);
    for (uint32_t i = 0; i < 4; i++) {
        t->ne[i] = 1;
        rc = i < t->n_dims ? take_u64(w, "a dimension", &t->ne[i]) : AIOS_OK;
        if (rc)
            return rc;
        if (!t->ne[i] || t->ne[i] > INT64_MAX)
            return bad(w, AIOS_EFORMAT, "dimension %u is %llu", i, (unsigned long long)t->ne[i]);
    }
    rc = take_u32(w, "the type", &type);
    if (!rc)
        rc = take_u64(w, "the offset", &t->offset);
    return rc ? rc : tensor_bytes(w, t, type);
}

/* ---- what holds between entries ------------------------------------------------------------------------------- */

static void sift(uint32_t *idx, uint32_t at, uint32_t n, int (*cmp)(const void *, uint32_t, uint32_t), const void *u)
{
    uint32_t v = idx[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && cmp(u, idx[child], idx[child + 1]) < 0)
            child++;
        if (cmp(u, v, idx[child]) >= 0)
            break;
        idx[at] = idx[child];
    }
    idx[at] = v;
}

void aios__gguf_sort(uint32_t *idx, uint32_t n, int (*cmp)(const void *u, uint32_t a, uint32_t b), const void *u)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift(idx, i, n, cmp, u);
    for (uint32_t i = n; i-- > 1;) {
        uint32_t t = idx[0];
        idx[0] = idx[i];
        idx[i] = t;
        sift(idx, 0, i, cmp, u);
    }
}

static int cmp_key(const void *u, uint32_t a, uint32_t b)
{
    const aios__gguf *g = u;
    return aios__gstr_cmp(g->kv[a].key, g->kv[b].key);
}

static int cmp_name(const void *u, uint32_t a, uint32_t b)
{
    const aios__gguf *g = u;
    return aios__gstr_cmp(g->tensors[a].name, g->tensors[b].name);
}

static int cmp_offset(const void *u, uint32_t a, uint32_t b)
{
    const aios__gguf *g = u;
    uint64_t x = g->tensors[a].offset, y = g->tensors[b].offset;
    return (x > y) - (x < y);
}

static void set_context(walk *w, const char *what, aios__gstr name)
{
    w->what = what;
    aios__gguf_show(name, w->name);
}

static int sort_names(walk *w, uint32_t *idx, uint32_t n, int (*cmp)(const void *, uint32_t, uint32_t), bool tensors)
{
    const aios__gguf *g = w->g;
    for (uint32_t i = 0; i < n; i++)
        idx[i] = i;
    aios__gguf_sort(idx, n, cmp, g);
    for (uint32_t i = 1; i < n; i++)
        if (!cmp(g, idx[i - 1], idx[i])) {
            set_context(w, tensors ? "tensor" : "key", tensors ? g->tensors[idx[i]].name : g->kv[idx[i]].key);
            return bad(w, AIOS_EFORMAT, "it occurs twice");
        }
    return AIOS_OK;
}

static int find_align(walk *w)
{
    aios__gguf *g = w->g;
    const aios__gguf_kv *kv = aios__gguf_kv_find(g, "general.alignment");
    g->align = 32;
    if (!kv)
        return AIOS_OK;
    set_context(w, "key", kv->key);
    if (kv->type != AIOS__GGUF_U32)
        return bad(w, AIOS_EFORMAT, "it is of type %s, but must be u32", aios__gguf_type_name(kv->type));
    g->align = gguf_u32(kv->data);
    if (!aios__is_pow2(g->align) || g->align < GGUF_MIN_ALIGN || g->align > GGUF_MAX_ALIGN)
        return bad(w, AIOS_EFORMAT, "an alignment of %u, a power of two in %u .. %u is expected", g->align, GGUF_MIN_ALIGN, GGUF_MAX_ALIGN);
    return AIOS_OK;
}

/* Offsets in the file count from the data section; afterwards from the start of the file. */
static int place_tensor(walk *w, aios__gguf_tensor *t)
{
    const aios__gguf *g = w->g;
    uint64_t end = 0;
    set_context(w, "tensor", t->name);
    if (t->offset & (g->align - 1))
        return bad(w, AIOS_EFORMAT, "offset %llu is no multiple of the alignment %u", (unsigned long long)t->offset, g->align);
    if (!aios__add_u64(g->data_off, t->offset, &t->offset) || !aios__add_u64(t->offset, t->n_bytes, &end) || end > g->size)
        return bad(w, AIOS_EFORMAT, "its %llu bytes at %llu do not lie in the file of %llu bytes; the file is truncated or damaged, download it again",
                   (unsigned long long)t->n_bytes, (unsigned long long)t->offset, (unsigned long long)g->size);
    return AIOS_OK;
}

static int place_tensors(walk *w)
{
    aios__gguf *g = w->g;
    if (!aios__align_u64(w->pos, g->align, &g->data_off))
        return bad(w, AIOS_EFORMAT, "the metadata ends too late");
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        int rc = place_tensor(w, &g->tensors[i]);
        if (rc)
            return rc;
        g->tensor_order[i] = i;
    }
    aios__gguf_sort(g->tensor_order, g->n_tensors, cmp_offset, g);
    for (uint32_t i = 1; i < g->n_tensors; i++) {
        const aios__gguf_tensor *a = &g->tensors[g->tensor_order[i - 1]], *b = &g->tensors[g->tensor_order[i]];
        if (a->offset + a->n_bytes > b->offset) {
            char other[GGUF_TEXT];
            set_context(w, "tensor", b->name);
            return bad(w, AIOS_EFORMAT, "its bytes overlap those of tensor \"%s\"", aios__gguf_show(a->name, other));
        }
    }
    return AIOS_OK;
}

/* ---- the two passes ------------------------------------------------------------------------------------------- */

int aios__gguf_outline(aios__gguf *g, uint64_t *meta_n, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(g->ctx);
    walk w = {.g = g, .end = g->size, .err = err};
    w.window = aios__alloc(h, AIOS_MEM_SCRATCH, WINDOW, err);
    if (!w.window)
        return err && err->code ? err->code : AIOS_ENOMEM;
    w.p = w.window;
    int rc = walk_header(&w);
    for (uint32_t i = 0; !rc && i < g->n_kv; i++)
        rc = walk_kv(&w, &(aios__gguf_kv){.type = 0});
    for (uint32_t i = 0; !rc && i < g->n_tensors; i++)
        rc = walk_tensor(&w, &(aios__gguf_tensor){.n_dims = 0});
    *meta_n = w.pos;
    aios__free(h, w.window);
    return rc;
}

static int alloc_tables(aios__gguf *g, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(g->ctx);
    g->kv = aios__alloc_array(h, AIOS_MEM_VOCAB, g->n_kv, sizeof *g->kv, err);
    if (!g->kv)
        return AIOS_ENOMEM;
    g->kv_order = aios__alloc_array(h, AIOS_MEM_VOCAB, g->n_kv, sizeof *g->kv_order, err);
    if (!g->kv_order)
        return AIOS_ENOMEM;
    g->tensors = aios__alloc_array(h, AIOS_MEM_VOCAB, g->n_tensors, sizeof *g->tensors, err);
    if (!g->tensors)
        return AIOS_ENOMEM;
    g->tensor_order = aios__alloc_array(h, AIOS_MEM_VOCAB, g->n_tensors, sizeof *g->tensor_order, err);
    return g->tensor_order ? AIOS_OK : AIOS_ENOMEM;
}

int aios__gguf_check(aios__gguf *g, const uint8_t *p, uint64_t n, aios_error *err)
{
    walk w = {.g = g, .p = p, .have = n, .end = n, .err = err};
    int rc = walk_header(&w);
    if (!rc && alloc_tables(g, err))
        return err && err->code ? err->code : AIOS_ENOMEM;
    for (uint32_t i = 0; !rc && i < g->n_kv; i++)
        rc = walk_kv(&w, &g->kv[i]);
    for (uint32_t i = 0; !rc && i < g->n_tensors; i++)
        rc = walk_tensor(&w, &g->tensors[i]);
    if (!rc)
        rc = sort_names(&w, g->kv_order, g->n_kv, cmp_key, false);
    if (!rc)
        rc = find_align(&w);
    if (!rc)
        rc = place_tensors(&w);
    if (!rc)
        rc = sort_names(&w, g->tensor_order, g->n_tensors, cmp_name, true);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups and typed getters over the checked tables of a GGUF file. */
#include <math.h>

#include "backend/gguf/file_priv.h"

static const struct {
    const char *name;
    uint32_t size;
} types[] = {
    [AIOS__GGUF_U8] = {"u8", 1},   [AIOS__GGUF_I8] = {"i8", 1},         [AIOS__GGUF_U16] = {"u16", 2},
    [AIOS__GGUF_I16] = {"i16", 2}, [AIOS__GGUF_U32] = {"u32", 4},       [AIOS__GGUF_I32] = {"i32", 4},
    [AIOS__GGUF_F32] = {"f32", 4}, [AIOS__GGUF_BOOL] = {"bool", 1},     [AIOS__GGUF_STRING] = {"string", 0},
    [AIOS__GGUF_U64] = {"u64", 8}, [AIOS__GGUF_ARRAY] = {"array", 0},   [AIOS__GGUF_I64] = {"i64", 8},
    [AIOS__GGUF_F64] = {"f64", 8},
};

uint32_t aios__gguf_type_size(uint32_t type)
{
    return type < AIOS__ARRAY_LEN(types) ? types[type].size : 0;
}

const char *aios__gguf_type_name(uint32_t type)
{
    return type < AIOS__ARRAY_LEN(types) ? types[type].name : "?";
}

const char *aios__gguf_show(aios__gstr s, char out[GGUF_TEXT])
{
    size_t n = 0;
    for (; n < s.n && n < GGUF_TEXT - 4; n++)
        out[n] = s.p[n] >= ' ' && s.p[n] < 0x7f ? s.p[n] : '?';
    memcpy(out + n, n < s.n ? "..." : "", n < s.n ? 4 : 1);
    return out;
}

int aios__gstr_cmp(aios__gstr a, aios__gstr b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;
    return d ? d : (a.n > b.n) - (a.n < b.n);
}

const char *aios__gguf_path(const aios__gguf *g)
{
    return g ? g->path : "";
}

uint64_t aios__gguf_size(const aios__gguf *g)
{
    return g ? g->size : 0;
}

uint32_t aios__gguf_version(const aios__gguf *g)
{
    return g ? g->version : 0;
}

uint32_t aios__gguf_kv_count(const aios__gguf *g)
{
    return g ? g->n_kv : 0;
}

const aios__gguf_kv *aios__gguf_kv_at(const aios__gguf *g, uint32_t i)
{
    return g && i < g->n_kv ? &g->kv[i] : NULL;
}

uint32_t aios__gguf_tensor_count(const aios__gguf *g)
{
    return g ? g->n_tensors : 0;
}

const aios__gguf_tensor *aios__gguf_tensor_at(const aios__gguf *g, uint32_t i)
{
    return g && i < g->n_tensors ? &g->tensors[i] : NULL;
}

const aios__gguf_kv *aios__gguf_kv_find(const aios__gguf *g, const char *key)
{
    if (!g || !key)
        return NULL;
    aios__gstr want = {key, strlen(key)};
    for (uint32_t lo = 0, hi = g->n_kv; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        const aios__gguf_kv *kv = &g->kv[g->kv_order[mid]];
        int d = aios__gstr_cmp(want, kv->key);
        if (!d)
            return kv;
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const aios__gguf_tensor *aios__gguf_tensor_find(const aios__gguf *g, const char *name)
{
    if (!g || !name)
        return NULL;
    aios__gstr want = {name, strlen(name)};
    for (uint32_t lo = 0, hi = g->n_tensors; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        const aios__gguf_tensor *t = &g->tensors[g->tensor_order[mid]];
        int d = aios__gstr_cmp(want, t->name);
        if (!d)
            return t;
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* ---- getters -------------------------------------------------------------------------------------------------- */

static int wrong_type(const aios__gguf *g, const aios__gguf_kv *kv, const char *want, aios_error *err)
{
    char key[GGUF_TEXT];
    bool array = kv->type == AIOS__GGUF_ARRAY;
    return aios__fail(err, AIOS_EFORMAT, "%.200s: key \"%s\" is %s%s, but must be %s; the file was written wrongly, convert the model again",
                      g->path, aios__gguf_show(kv->key, key), array ? "an array of " : "of type ",
                      aios__gguf_type_name(array ? kv->elem_type : kv->type), want);
}

/* Value of an integer key as 64 bits; *neg: to be read as signed. False if it is no integer. */
static bool read_int(const aios__gguf_kv *kv, uint64_t *v, bool *neg)
{
    const uint8_t *p = kv->data;
    int64_t s = 0;
    *neg = false;
    switch (kv->type) {
    case AIOS__GGUF_U8:
        *v = p[0];
        return true;
    case AIOS__GGUF_U16:
        *v = (uint64_t)p[0] | (uint64_t)p[1] << 8;
        return true;
    case AIOS__GGUF_U32:
        *v = gguf_u32(p);
        return true;
    case AIOS__GGUF_U64:
        *v = gguf_u64(p);
        return true;
    case AIOS__GGUF_I8:
        s = (int8_t)p[0];
        break;
    case AIOS__GGUF_I16:
        s = (int16_t)(p[0] | p[1] << 8);
        break;
    case AIOS__GGUF_I32:
        s = (int32_t)gguf_u32(p);
        break;
    case AIOS__GGUF_I64:
        s = (int64_t)gguf_u64(p);
        break;
    default:
        return false;
    }
    *neg = s < 0;
    *v = (uint64_t)s;
    return true;
}

int aios__gguf_u32(const aios__gguf *g, const char *key, uint32_t *out, aios_error *err)
{
    const aios__gguf_kv *kv = aios__gguf_kv_find(g, key);
    uint64_t v = 0;
    bool neg = false;
    if (!kv || !out)
        return AIOS_ENOENT;
    if (!read_int(kv, &v, &neg))
        return wrong_type(g, kv, "an integer", err);
    if (neg || v > UINT32_MAX) {
        char text[GGUF_TEXT];
        return aios__fail(err, AIOS_EFORMAT, "%.200s: key \"%s\" is %s%llu, outside 0 .. 4294967295", g->path,
                          aios__gguf_show(kv->key, text), neg ? "-" : "", (unsigned long long)(neg ? 0 - v : v));
    }
    *out = (uint32_t)v;
    return AIOS_OK;
}

int aios__gguf_f32(const aios__gguf *g, const char *key, float *out, aios_error *err)
{
    const aios__gguf_kv *kv = aios__gguf_kv_find(g, key);
    if (!kv || !out)
        return AIOS_ENOENT;
    if (kv->type == AIOS__GGUF_F32) {
        uint32_t bits = gguf_u32(kv->data);
        memcpy(out, &bits, sizeof bits);
        return AIOS_OK;
    }
    if (kv->type != AIOS__GGUF_F64)
        return wrong_type(g, kv, "a float", err);
    uint64_t bits = gguf_u64(kv->data);
    double d;
    memcpy(&d, &bits, sizeof d);
    if (isfinite(d) && fabs(d) > 3.4028234663852886e38) {
        char text[GGUF_TEXT];
        return aios__fail(err, AIOS_EFORMAT, "%.200s: key \"%s\" is %g, more than a float holds", g->path,
                          aios__gguf_show(kv->key, text), d);
    }
    *out = (float)d;
    return AIOS_OK;
}

int aios__gguf_bool(const aios__gguf *g, const char *key, bool *out, aios_error *err)
{
    const aios__gguf_kv *kv = aios__gguf_kv_find(g, key);
    if (!kv || !out)
        return AIOS_ENOENT;
    if (kv->type != AIOS__GGUF_BOOL)
        return wrong_type(g, kv, "a bool", err);
    *out = kv->data[0] != 0;
    return AIOS_OK;
}

int aios__gguf_str(const aios__gguf *g, const char *key, aios__gstr *out, aios_error *err)
{
    const aios__gguf_kv *kv = aios__gguf_kv_find(g, key);
    if (!kv || !out)
        return AIOS_ENOENT;
    if (kv->type != AIOS__GGUF_STRING)
        return wrong_type(g, kv, "a string", err);
    out->p = (const char *)kv->data + 8;
    out->n = (size_t)(kv->n_bytes - 8);
    return AIOS_OK;
}

int aios__gguf_array(const aios__gguf *g, const char *key, uint32_t elem_type, const aios__gguf_kv **out, aios_error *err)
{
    const aios__gguf_kv *kv = aios__gguf_kv_find(g, key);
    if (!kv || !out)
        return AIOS_ENOENT;
    if (kv->type != AIOS__GGUF_ARRAY || kv->elem_type != elem_type) {
        char want[48] = "an array of ";
        const char *name = aios__gguf_type_name(elem_type);
        memcpy(want + 12, name, strlen(name) + 1);
        return wrong_type(g, kv, want, err);
    }
    *out = kv;
    return AIOS_OK;
}

bool aios__gguf_next_str(const aios__gguf_kv *kv, size_t *pos, aios__gstr *out)
{
    if (!kv || kv->type != AIOS__GGUF_ARRAY || kv->elem_type != AIOS__GGUF_STRING)
        return false;
    /* checked when the file was opened; checked again because a mapped file may change */
    uint64_t left = *pos <= kv->n_bytes ? kv->n_bytes - *pos : 0;
    if (left < 8)
        return false;
    uint64_t n = gguf_u64(kv->data + *pos);
    if (n > left - 8)
        return false;
    out->p = (const char *)kv->data + *pos + 8;
    out->n = (size_t)n;
    *pos += 8 + (size_t)n;
    return true;
}

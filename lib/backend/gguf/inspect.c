/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of a file as JSON. */
#include <math.h>

#include "backend/gguf/gguf.h"

enum { SHOWN = 8 }; /* elements of an array */

static int add_number(const aios__gguf_kv *kv, uint32_t type, uint64_t i, aios__buf *out, aios_error *err)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t u = 0;
    double d;
    float f;
    if (type >= AIOS__ARRAY_LEN(sizes) || !sizes[type])
        return aios__buf_adds(out, "null", err);
    memcpy(&u, kv->data + i * sizes[type], sizes[type]);
    switch (type) {
    case AIOS__GGUF_BOOL:
        return aios__buf_adds(out, u ? "true" : "false", err);
    case AIOS__GGUF_F32:
        memcpy(&f, &u, sizeof f);
        return isfinite(f) ? aios__buf_add_real(out, (double)f, 9, err) : aios__buf_adds(out, "null", err);
    case AIOS__GGUF_F64:
        memcpy(&d, &u, sizeof d);
        return isfinite(d) ? aios__buf_add_real(out, d, 17, err) : aios__buf_adds(out, "null", err);
    case AIOS__GGUF_I8:
        return aios__buf_addf(out, err, "%d", (int)(int8_t)u);
    case AIOS__GGUF_I16:
        return aios__buf_addf(out, err, "%d", (int)(int16_t)u);
    case AIOS__GGUF_I32:
        return aios__buf_addf(out, err, "%d", (int)(int32_t)u);
    case AIOS__GGUF_I64:
        return aios__buf_addf(out, err, "%lld", (long long)u);
    default:
        return aios__buf_addf(out, err, "%llu", (unsigned long long)u);
    }
}

static int add_string(const uint8_t *p, aios__buf *out, aios_error *err)
{
    uint64_t n;
    memcpy(&n, p, sizeof n);
    return aios__buf_add_json(out, (const char *)p + 8, (size_t)n, err);
}

static int add_array(const aios__gguf_kv *kv, aios__buf *out, aios_error *err)
{
    size_t pos = 0;
    int rc = aios__buf_addf(out, err, "{\"count\":%llu,\"first\":[", (unsigned long long)kv->n);
    for (uint64_t i = 0; !rc && i < kv->n && i < SHOWN; i++) {
        aios__gstr s;
        rc = i ? aios__buf_addc(out, ',', err) : AIOS_OK;
        if (rc)
            break;
        if (kv->elem_type != AIOS__GGUF_STRING)
            rc = add_number(kv, kv->elem_type, i, out, err);
        else if (aios__gguf_next_str(kv, &pos, &s))
            rc = aios__buf_add_json(out, s.p, s.n, err);
    }
    return rc ? rc : aios__buf_adds(out, "]}", err);
}

static int add_kv(const aios__gguf_kv *kv, aios__buf *out, aios_error *err)
{
    int rc = aios__buf_add_json(out, kv->key.p, kv->key.n, err);
    rc = rc ? rc : aios__buf_addc(out, ':', err);
    if (rc)
        return rc;
    if (kv->type == AIOS__GGUF_ARRAY)
        return add_array(kv, out, err);
    return kv->type == AIOS__GGUF_STRING ? add_string(kv->data, out, err) : add_number(kv, kv->type, 0, out, err);
}

static int add_tensor(const aios__gguf_tensor *t, aios__buf *out, aios_error *err)
{
    const aios__dtype *type = aios__dtype_of(t->dtype);
    int rc = aios__buf_adds(out, "{\"name\":", err);
    rc = rc ? rc : aios__buf_add_json(out, t->name.p, t->name.n, err);
    rc = rc ? rc : aios__buf_addf(out, err, ",\"type\":\"%s\",\"shape\":[", type ? type->name : "?");
    for (uint32_t i = 0; !rc && i < t->n_dims; i++)
        rc = aios__buf_addf(out, err, "%s%llu", i ? "," : "", (unsigned long long)t->ne[i]);
    return rc ? rc : aios__buf_addf(out, err, "],\"bytes\":%llu}", (unsigned long long)t->n_bytes);
}

/* Hands over what is there, so that the text is never whole in memory. */
static int flush(aios__buf *out, aios_write_fn *fn, void *user)
{
    int rc = out->n ? fn(user, out->p, out->n) : AIOS_OK;
    aios__buf_clear(out);
    return rc;
}

int aios__gguf_inspect(const aios__gguf *g, aios__heap *h, aios_write_fn *fn, void *user, aios_error *err)
{
    aios__buf out;
    aios__buf_init(&out, h, AIOS_MEM_TEXT, 0);
    int rc = aios__buf_addf(&out, err, "{\"version\":%u,\"bytes\":%llu,\"metadata\":{", aios__gguf_version(g), (unsigned long long)aios__gguf_size(g));
    for (uint32_t i = 0; !rc && i < aios__gguf_kv_count(g); i++) {
        rc = i ? aios__buf_addc(&out, ',', err) : AIOS_OK;
        rc = rc ? rc : add_kv(aios__gguf_kv_at(g, i), &out, err);
        rc = rc ? rc : flush(&out, fn, user);
    }
    rc = rc ? rc : aios__buf_adds(&out, "},\"tensors\":[", err);
    for (uint32_t i = 0; !rc && i < aios__gguf_tensor_count(g); i++) {
        rc = i ? aios__buf_addc(&out, ',', err) : AIOS_OK;
        rc = rc ? rc : add_tensor(aios__gguf_tensor_at(g, i), &out, err);
        rc = rc ? rc : flush(&out, fn, user);
    }
    rc = rc ? rc : aios__buf_adds(&out, "]}", err);
    rc = rc ? rc : flush(&out, fn, user);
    aios__buf_free(&out);
    return rc;
}

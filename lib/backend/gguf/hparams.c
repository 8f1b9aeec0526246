/* SPDX-License-Identifier: Apache-2.0 */
/* Hyper-parameters: one table of keys with their ranges, then what must hold between them. */
#include <math.h>
#include <stdio.h>

#include "backend/gguf/arch.h"

enum kind { U32, F32 };
enum { REQUIRED = 1 };

static const struct row {
    const char *key; /* behind "<architecture>." */
    enum kind kind;
    uint32_t flags;
    size_t field;
    double min, max;
} rows[] = {
#define FIELD(f) offsetof(aios__hparams, f)
    {"block_count", U32, REQUIRED, FIELD(n_layer), 1, 1024},
    {"embedding_length", U32, REQUIRED, FIELD(n_embd), 8, 1 << 18},
    {"feed_forward_length", U32, REQUIRED, FIELD(n_ff), 8, 1 << 20},
    {"context_length", U32, REQUIRED, FIELD(n_ctx_train), 1, 1 << 28},
    {"attention.head_count", U32, REQUIRED, FIELD(n_head), 1, 4096},
    {"attention.head_count_kv", U32, 0, FIELD(n_head_kv), 1, 4096},
    {"attention.key_length", U32, 0, FIELD(head_dim), 8, 1024},
    {"rope.dimension_count", U32, 0, FIELD(n_rot), 2, 1024},
    {"attention.layer_norm_rms_epsilon", F32, REQUIRED, FIELD(eps), 1e-12, 0.1},
    {"rope.freq_base", F32, 0, FIELD(rope_base), 1, 1e12},
#undef FIELD
};

static int read_row(const aios__gguf *g, const char *arch, const struct row *r, aios__hparams *hp, aios_error *err)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", arch, r->key);
    void *field = (char *)hp + r->field;
    uint32_t u = 0;
    float f = 0;
    int rc = r->kind == U32 ? aios__gguf_u32(g, key, &u, err) : aios__gguf_f32(g, key, &f, err);
    if (rc == AIOS_ENOENT && !(r->flags & REQUIRED))
        return AIOS_OK;
    if (rc == AIOS_ENOENT)
        return aios__fail(err, AIOS_EFORMAT, "%s: the key %s is missing", aios__gguf_path(g), key);
    if (rc)
        return rc;
    double value = r->kind == U32 ? (double)u : (double)f;
    if (!(value >= r->min && value <= r->max))
        return aios__fail(err, AIOS_EFORMAT, "%s: %s is %g, which is not within %g .. %g", aios__gguf_path(g), key, value, r->min, r->max);
    memcpy(field, r->kind == U32 ? (void *)&u : (void *)&f, 4);
    return AIOS_OK;
}

/* Linear scaling is applied, "none" is none; others would give wrong results in silence. */
static int read_rope_scaling(const aios__gguf *g, const char *arch, aios__hparams *hp, aios_error *err)
{
    char key[128];
    aios__gstr type = {0};
    float factor = 0;
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    int rc = aios__gguf_str(g, key, &type, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    bool none = rc == AIOS_ENOENT || (type.n == 4 && !memcmp(type.p, "none", 4));
    if (!none && !(type.n == 6 && !memcmp(type.p, "linear", 6)))
        return aios__fail(err, AIOS_ENOTSUP, "%s: %s \"%.*s\" is not supported, only \"none\" and \"linear\"", aios__gguf_path(g), key,
                          (int)(type.n < 64 ? type.n : 64), type.p);
    snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
    rc = aios__gguf_f32(g, key, &factor, err);
    if (rc == AIOS_ENOENT)
        return AIOS_OK;
    if (rc)
        return rc;
    if (!(factor >= 0 && factor <= 1e6f))
        return aios__fail(err, AIOS_EFORMAT, "%s: %s is %g, which is not within 0 .. 1e6", aios__gguf_path(g), key, (double)factor);
    if (!none && factor > 0)
        hp->rope_scale = 1.0f / factor;
    return AIOS_OK;
}

/* Keys that repeat a fact must agree with it. */
static int check_value_length(const aios__gguf *g, const char *arch, const aios__hparams *hp, aios_error *err)
{
    char key[128];
    uint32_t v = 0;
    snprintf(key, sizeof key, "%s.attention.value_length", arch);
    int rc = aios__gguf_u32(g, key, &v, err);
    if (rc == AIOS_ENOENT)
        return AIOS_OK;
    if (!rc && v != hp->head_dim)
        return aios__fail(err, AIOS_ENOTSUP, "%s: %s is %u, but only %u, the length of keys, is supported", aios__gguf_path(g), key, v, hp->head_dim);
    return rc;
}

static int check_between(const aios__gguf *g, const char *arch, aios__hparams *hp, aios_error *err)
{
    const char *path = aios__gguf_path(g);
    if (!hp->n_head_kv)
        hp->n_head_kv = hp->n_head;
    if (hp->n_head % hp->n_head_kv)
        return aios__fail(err, AIOS_EFORMAT, "%s: %s.attention.head_count is %u, no multiple of head_count_kv, which is %u", path, arch,
                          hp->n_head, hp->n_head_kv);
    if (!hp->head_dim) {
        hp->head_dim = hp->n_embd / hp->n_head;
        if (hp->n_embd % hp->n_head || hp->head_dim > 1024)
            return aios__fail(err, AIOS_EFORMAT, "%s: %s.embedding_length %u does not divide into %u heads of at most 1024", path, arch,
                              hp->n_embd, hp->n_head);
    }
    if (hp->head_dim % 8 || !hp->head_dim)
        return aios__fail(err, AIOS_ENOTSUP, "%s: %s.attention.key_length %u is no multiple of 8", path, arch, hp->head_dim);
    if (!hp->n_rot)
        hp->n_rot = hp->head_dim;
    if (hp->n_rot > hp->head_dim || hp->n_rot % 2)
        return aios__fail(err, AIOS_EFORMAT, "%s: %s.rope.dimension_count %u must be even and at most the head length, %u", path, arch,
                          hp->n_rot, hp->head_dim);
    if ((uint64_t)hp->n_head * hp->head_dim > 1u << 20)
        return aios__fail(err, AIOS_EFORMAT, "%s: %s.attention.head_count %u with heads of %u is beyond reason", path, arch, hp->n_head,
                          hp->head_dim);
    return AIOS_OK;
}

int aios__hparams_read(const aios__gguf *g, const aios__arch *arch, aios__hparams *hp, aios_error *err)
{
    memset(hp, 0, sizeof *hp);
    hp->rope_base = 10000.0f;
    hp->rope_scale = 1.0f;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        int rc = read_row(g, arch->name, &rows[i], hp, err);
        if (rc)
            return rc;
    }
    int rc = check_between(g, arch->name, hp, err);
    rc = rc ? rc : check_value_length(g, arch->name, hp, err);
    rc = rc ? rc : read_rope_scaling(g, arch->name, hp, err);
    if (rc)
        return rc;
    hp->attn_scale = 1.0f / sqrtf((float)hp->head_dim);
    return arch->hparams ? arch->hparams(g, hp, err) : AIOS_OK;
}

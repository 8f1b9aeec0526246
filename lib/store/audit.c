/* SPDX-License-Identifier: Apache-2.0 */
/* Audits: a hash chain with an evolving key. After Bellare and Yee, "Forward integrity for secure audit logs", 1997. */
#include <stdio.h>

#include "store/audit_priv.h"

#define MAGIC "AUD1"
#define ANCHOR_EVERY 64u

_Static_assert(sizeof(aios__audit_row) == 80, "the public header says so");
_Static_assert((int)AIOS__SHA256 == (int)AIOS_AUDIT_HASH, "one hash");

typedef struct coming {
    struct coming *next;
    aios__audit_row row; /* data stands behind */
} coming;

struct aios_audit {
    aios_store *st;
    aios__heap *heap;
    aios_audit_config cfg;
    aios__chain chain, ahead; /* as committed; behind the rows that are coming */
    coming *list;
    uint64_t anchored;        /* number of the last row that the anchor was told */
    char stream[AIOS_STORE_MAX_NAME + 1];
};

/* ---- the chain ------------------------------------------------------------------------------------------------------ */

int aios__chain_begin(aios__chain *c, const char *stream, const uint8_t *key, uint64_t key_seq, aios_error *err)
{
    static const char what[] = "aios audit 1\n";
    const aios__slice parts[] = {{what, sizeof what - 1}, {stream, strlen(stream)}};
    *c = (aios__chain){.key_seq = !key ? 0 : key_seq ? key_seq : 1};
    if (key)
        memcpy(c->key, key, sizeof c->key);
    int rc = aios__digest_load(&c->digest, err);
    return rc ? rc : aios__sha256(&c->digest, parts, AIOS__ARRAY_LEN(parts), c->hash, err);
}

static int row_hash(const aios__chain *c, const aios__audit_row *row, uint32_t kind, const void *data, size_t n, uint8_t *out, aios_error *err)
{
    const uint64_t numbers[] = {c->seq + 1, kind, row->is_signed, (uint64_t)row->wall_us, n};
    const aios__slice parts[] = {{c->hash, sizeof c->hash}, {numbers, sizeof numbers}, {data, n}};
    return aios__sha256(&c->digest, parts, AIOS__ARRAY_LEN(parts), out, err);
}

static bool has_key(const aios__chain *c)
{
    return c->key_seq && c->key_seq == c->seq + 1;
}

/* Moves behind a row; the key of that row is gone. */
static int move_on(aios__chain *c, const uint8_t *hash, aios_error *err)
{
    uint8_t next[AIOS__SHA256];
    if (has_key(c)) {
        const aios__slice old = {c->key, sizeof c->key};
        int rc = aios__sha256(&c->digest, &old, 1, next, err);
        if (rc)
            return rc;
        memcpy(c->key, next, sizeof c->key);
        explicit_bzero(next, sizeof next);
        c->key_seq++;
    }
    memcpy(c->hash, hash, sizeof c->hash);
    c->seq++;
    return AIOS_OK;
}

/* What is wrong with the signature of a row. */
static int check_mac(const aios__chain *c, const aios__audit_row *row, int32_t *bad, aios_error *err)
{
    static const uint8_t none[AIOS__SHA256];
    uint8_t mac[AIOS__SHA256];
    if (!row->is_signed) {
        *bad = has_key(c) ? AIOS_AUDIT_SIGNED : memcmp(row->mac, none, sizeof none) ? AIOS_AUDIT_FORMAT : AIOS_AUDIT_WHOLE;
        return AIOS_OK;
    }
    if (!has_key(c))
        return AIOS_OK;
    int rc = aios__hmac_sha256(&c->digest, c->key, row->hash, sizeof row->hash, mac, err);
    if (!rc && memcmp(mac, row->mac, sizeof mac))
        *bad = AIOS_AUDIT_SIGNED;
    return rc;
}

int aios__chain_check(aios__chain *c, const aios_record *r, int32_t *bad, aios_error *err)
{
    aios__audit_row row;
    uint8_t hash[AIOS__SHA256];
    *bad = r->seq != c->seq + 1 ? AIOS_AUDIT_MISSING : r->n_data < sizeof row || memcmp(r->data, MAGIC, 4) ? AIOS_AUDIT_FORMAT : AIOS_AUDIT_WHOLE;
    if (*bad)
        return AIOS_OK;
    memcpy(&row, r->data, sizeof row);
    int rc = row_hash(c, &row, r->kind, (const char *)r->data + sizeof row, r->n_data - sizeof row, hash, err);
    if (rc)
        return rc;
    if (memcmp(hash, row.hash, sizeof hash)) {
        *bad = AIOS_AUDIT_HASHED;
        return AIOS_OK;
    }
    rc = check_mac(c, &row, bad, err);
    if (rc || *bad)
        return rc;
    c->is_signed = row.is_signed;
    return move_on(c, hash, err);
}

/* ---- verifying ------------------------------------------------------------------------------------------------------ */

typedef struct verifying {
    aios__chain chain;
    const aios_audit_head *anchor;
    int32_t bad;
    aios_error *err;
} verifying;

static int verify_row(void *user, const aios_record *r)
{
    verifying *v = user;
    int rc = aios__chain_check(&v->chain, r, &v->bad, v->err);
    if (rc || v->bad)
        return rc ? rc : AIOS_DONE;
    if (v->anchor && v->anchor->seq == r->seq && memcmp(v->anchor->hash, v->chain.hash, sizeof v->chain.hash)) {
        v->chain.seq--; /* this one is the first that is bad */
        v->bad = AIOS_AUDIT_ANCHORED;
        return AIOS_DONE;
    }
    return AIOS_OK;
}

static int verify(aios_store *st, const char *stream, verifying *v, aios_error *err)
{
    static const char *const how[] = {"", "is no row of an audit", "has another hash: it was changed, or one before it is missing or elsewhere",
                                      "is not signed with the key", "is missing", "is not the one of the anchor"};
    v->err = err;
    int rc = aios_store_read(st, stream, 1, verify_row, v, err);
    if (rc == AIOS_EFORMAT)
        v->bad = AIOS_AUDIT_FORMAT;
    if (rc)
        return rc;
    if (!v->bad && v->anchor && v->chain.seq < v->anchor->seq)
        v->bad = AIOS_AUDIT_MISSING;
    return v->bad ? aios__fail(err, AIOS_EFORMAT, "audit %s: row %llu %s", stream, (unsigned long long)v->chain.seq + 1, how[v->bad]) : AIOS_OK;
}

int aios_audit_verify(aios_store *st, const char *stream, const uint8_t *key, const aios_audit_head *anchor, aios_audit_report *report, aios_error *err)
{
    aios_audit_head at;
    verifying v = {.anchor = anchor ? &at : NULL};
    if (!st || !stream)
        return aios__fail(err, AIOS_EINVAL, "aios_audit_verify: %s is NULL", st ? "stream" : "st");
    int rc = aios__struct_in(&at, sizeof at, anchor, err);
    rc = rc ? rc : aios__chain_begin(&v.chain, stream, key, 1, err);
    rc = rc ? rc : verify(st, stream, &v, err);
    aios_audit_report r = {.struct_size = sizeof r, .n_rows = v.chain.seq, .bad = v.bad, .bad_seq = v.bad ? v.chain.seq + 1 : 0};
    r.head = (aios_audit_head){.struct_size = sizeof r.head, .seq = v.chain.seq};
    if (v.bad != AIOS_AUDIT_ANCHORED)
        memcpy(r.head.hash, v.chain.hash, sizeof r.head.hash);
    explicit_bzero(&v.chain, sizeof v.chain);
    if (report)
        aios__struct_out(report, &r, sizeof r);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

int aios_audit_open(aios_store *st, const char *stream, const aios_audit_config *cfg, aios_audit **out, aios_error *err)
{
    aios_audit_config c;
    verifying v = {.bad = 0};
    if (!st || !stream || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_audit_open: %s is NULL", !st ? "st" : !stream ? "stream" : "a");
    *out = NULL;
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    rc = rc ? rc : aios__chain_begin(&v.chain, stream, c.key, c.key_seq, err);
    rc = rc ? rc : verify(st, stream, &v, err);
    if (!rc && c.key && !has_key(&v.chain))
        rc = aios__fail_need(err, AIOS_EINVAL, v.chain.seq + 1, c.key_seq, "audit %s: the key is of row %llu, but row %llu comes next", stream,
                             (unsigned long long)c.key_seq, (unsigned long long)v.chain.seq + 1);
    if (!rc && !c.key && v.chain.is_signed)
        rc = aios__fail(err, AIOS_EINVAL, "audit %s: its rows are signed, so the key is needed to add to it", stream);
    aios_audit *a = rc ? NULL : aios__alloc(aios__ctx_heap(aios__store_ctx(st)), AIOS_MEM_OTHER, sizeof *a, err);
    if (a) {
        a->st = aios_store_ref(st);
        a->heap = aios__ctx_heap(aios__store_ctx(st));
        a->cfg = c;
        a->cfg.key = NULL;
        a->cfg.anchor_every = c.anchor_every ? c.anchor_every : ANCHOR_EVERY;
        a->chain = a->ahead = v.chain;
        a->anchored = v.chain.seq;
        memcpy(a->stream, stream, strlen(stream) + 1); /* the store has taken it for a name */
        *out = a;
    } else if (!rc) {
        rc = aios__error_code(err, AIOS_ENOMEM);
    }
    explicit_bzero(&v.chain, sizeof v.chain);
    return rc;
}

static void drop_coming(aios_audit *a)
{
    for (coming *c = a->list, *next; c; c = next) {
        next = c->next;
        aios__free(a->heap, c);
    }
    a->list = NULL;
}

void aios_audit_free(aios_audit *a)
{
    if (!a)
        return;
    aios_store *st = a->st;
    drop_coming(a);
    explicit_bzero(&a->chain, sizeof a->chain);
    explicit_bzero(&a->ahead, sizeof a->ahead);
    aios__free(a->heap, a);
    aios_store_close(st);
}

static int make_row(aios_audit *a, uint32_t kind, const void *data, size_t n, coming *c, aios_error *err)
{
    const aios_env *env = aios__ctx_env(aios__store_ctx(a->st));
    memcpy(c->row.magic, MAGIC, 4);
    c->row.is_signed = has_key(&a->ahead);
    c->row.wall_us = env->wall_us(env->user);
    if (n)
        memcpy(c + 1, data, n);
    int rc = row_hash(&a->ahead, &c->row, kind, c + 1, n, c->row.hash, err);
    if (!rc && c->row.is_signed)
        rc = aios__hmac_sha256(&a->ahead.digest, a->ahead.key, c->row.hash, sizeof c->row.hash, c->row.mac, err);
    return rc ? rc : move_on(&a->ahead, c->row.hash, err);
}

int aios_audit_append_writes(aios_audit *a, uint32_t kind, const void *data, size_t n, aios_store_write *w, aios_error *err)
{
    if (!a || !w || (n && !data))
        return aios__fail(err, AIOS_EINVAL, "aios_audit_append_writes: %s is NULL", !a ? "a" : !w ? "w" : "data");
    if (n > AIOS_STORE_MAX_RECORD - sizeof(aios__audit_row))
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_STORE_MAX_RECORD - sizeof(aios__audit_row), n, "audit %s: a row of %zu bytes is too large", a->stream, n);
    coming *c = aios__alloc(a->heap, AIOS_MEM_OTHER, sizeof *c + n, err);
    if (!c)
        return aios__error_code(err, AIOS_ENOMEM);
    int rc = make_row(a, kind, data, n, c, err);
    if (rc) {
        aios__free(a->heap, c);
        return rc;
    }
    c->next = a->list;
    a->list = c;
    *w = (aios_store_write){.struct_size = sizeof *w, .stream = a->stream, .data = &c->row, .n_data = sizeof c->row + n, .seq = a->ahead.seq, .kind = kind};
    return AIOS_OK;
}

int aios_audit_committed(aios_audit *a, int code, aios_error *err)
{
    if (!a || !a->list)
        return aios__fail(err, a ? AIOS_ESTATE : AIOS_EINVAL, "aios_audit_committed: %s", a ? "no row was made for a commit" : "a is NULL");
    drop_coming(a);
    if (code)
        a->ahead = a->chain;
    else
        a->chain = a->ahead;
    if (!code && a->cfg.anchor && a->chain.seq - a->anchored >= a->cfg.anchor_every) {
        aios_audit_head head = AIOS_INIT(aios_audit_head);
        aios_audit_head_get(a, &head);
        a->anchored = head.seq;
        a->cfg.anchor(a->cfg.anchor_user, &head);
    }
    return AIOS_OK;
}

int aios_audit_append(aios_audit *a, uint32_t kind, const void *data, size_t n, aios_error *err)
{
    aios_store_write w;
    if (a && a->list)
        return aios__fail(err, AIOS_ESTATE, "audit %s: rows are on their way in another commit: tell how it ended first", a->stream);
    int rc = aios_audit_append_writes(a, kind, data, n, &w, err);
    if (rc)
        return rc;
    rc = aios_store_commit(a->st, &w, 1, sizeof w, NULL, err);
    aios_audit_committed(a, rc, NULL);
    return rc;
}

int aios_audit_head_get(const aios_audit *a, aios_audit_head *out)
{
    if (!a || !out)
        return AIOS_EINVAL;
    aios_audit_head h = {.struct_size = sizeof h, .seq = a->chain.seq};
    memcpy(h.hash, a->chain.hash, sizeof h.hash);
    return aios__struct_out(out, &h, sizeof h);
}

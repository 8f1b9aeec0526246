/* SPDX-License-Identifier: Apache-2.0 */
/* Declarative policies: made from a text, from a file that no tool can write, or from two others. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/ruleset.h"
#include "base/cachefile.h"

enum { MAX_DEPTH = 16 };

static int rules_new(aios_ctx *ctx, aios_rules **out, aios_error *err)
{
    aios_rules *r = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *r, err);
    if (!r)
        return aios__error_code(err, AIOS_ENOMEM);
    atomic_init(&r->refs, 1);
    r->ctx = aios__ctx_ref(ctx);
    *out = r;
    return AIOS_OK;
}

aios_rules *aios__ruleset_ref(aios_rules *r)
{
    if (r)
        atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

static void free_cap(aios__heap *h, aios__cap *c)
{
    aios__schema_free(c->args);
    for (uint32_t i = 0; i < c->n_paths; i++)
        aios__free(h, c->paths[i].roots);
    for (uint32_t i = 0; i < c->n_hosts; i++)
        aios__free(h, c->hosts[i].hosts);
    aios__free(h, c->paths);
    aios__free(h, c->hosts);
}

void aios_rules_free(aios_rules *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios_ctx *ctx = r->ctx;
    aios__heap *h = aios__ctx_heap(ctx);
    for (uint32_t i = 0; r->caps && i < r->n_caps; i++)
        free_cap(h, &r->caps[i]);
    for (uint32_t i = 0; i < r->n_leaves; i++)
        aios_rules_free(r->leaves[i]);
    aios__free(h, r->caps);
    aios__json_free(r->doc);
    aios__free(h, r);
    aios_ctx_free(ctx);
}

const char *aios_rules_digest(const aios_rules *r)
{
    return r ? r->digest : "";
}

/* A build without sums keeps an empty digest: what needs one says so. */
static int make_digest(aios_rules *r, aios_error *err)
{
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(r->ctx), AIOS_MEM_TEXT, 0);
    int rc = r->doc ? aios__canon(aios__json_root(r->doc), true, NULL, NULL, &b, err) : AIOS_OK;
    for (uint32_t i = 0; i < r->n_leaves && !rc; i++)
        rc = aios__buf_adds(&b, r->leaves[i]->id, err);
    if (!rc)
        aios__sha256_text(b.p, b.n, r->digest, NULL);
    if (!rc && r->digest[0])
        memcpy(r->id, r->digest, sizeof r->id);
    else if (!rc)
        snprintf(r->id, sizeof r->id, "%016llx", (unsigned long long)aios__sum64(0, b.p, b.n));
    aios__buf_free(&b);
    return rc;
}

static int parse(aios_ctx *ctx, const char *s, size_t n, aios_rules **out, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    if (n > AIOS__RULESET_BYTES)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS__RULESET_BYTES, n, "policy: %zu bytes, at most %d are read", n, AIOS__RULESET_BYTES);
    aios_rules *r = NULL;
    int rc = rules_new(ctx, &r, err);
    if (rc)
        return rc;
    rc = aios__json_parse(aios__ctx_heap(ctx), s, n, &r->doc, &why);
    if (rc)
        aios__fail_need(err, rc, why.have, why.need, "policy: %s", why.msg);
    rc = rc ? rc : aios__ruleset_read(r, err);
    rc = rc ? rc : make_digest(r, err);
    if (rc)
        aios_rules_free(r);
    else
        *out = r;
    return rc;
}

int aios_rules_parse(aios_ctx *ctx, const char *json, size_t n, aios_rules **rules, aios_error *err)
{
    if (!ctx || !json || !rules)
        return aios__fail(err, AIOS_EINVAL, "aios_rules_parse: %s is NULL", !ctx ? "ctx" : !json ? "json" : "rules");
    *rules = NULL;
    int rc = aios__text_in(json, n, &n, "the policy", err);
    return rc ? rc : parse(ctx, json, n, rules, err);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

/* Others must not be able to write it, nor to put something else in its place. */
static int check_owner(const struct stat *st, const char *path, aios_error *err)
{
    bool sticky = S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX;
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return aios__fail(err, AIOS_EDENIED, "policy: %s belongs to another user: keep it where only you or root can write", path);
    if (st->st_mode & (S_IWGRP | S_IWOTH) && !sticky)
        return aios__fail(err, AIOS_EDENIED, "policy: %s can be written by others: chmod go-w %s", path, path);
    return AIOS_OK;
}

static int check_folders(const char *real, aios_error *err)
{
    char path[PATH_MAX];
    struct stat st;
    memcpy(path, real, strlen(real) + 1);
    for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
        slash[slash == path] = 0;
        if (stat(path, &st))
            return aios__fail_sys(err, AIOS_EIO, errno, "policy: %s cannot be looked at", path);
        int rc = check_owner(&st, path, err);
        if (rc || slash == path)
            return rc;
    }
    return AIOS_OK;
}

/* No tool may be let write where the policy lies. */
static int check_roots(const aios_rules *r, aios_error *err)
{
    char root[PATH_MAX];
    const char *rest;
    for (uint32_t i = 0; i < r->n_caps; i++)
        for (uint32_t k = 0; k < r->caps[i].n_paths; k++)
            for (uint32_t j = 0; j < r->caps[i].paths[k].n_roots; j++) {
                const aios__path_rule *p = &r->caps[i].paths[k];
                if (p->write && r->caps[i].verdict != AIOS_DENY && aios__path_real(p->roots[j], root) && aios__path_under(r->path, root, &rest))
                    return aios__fail(err, AIOS_EDENIED, "policy: %s lies under %s, where its /capabilities/%u lets %s write: move it out",
                                      r->path, p->roots[j], i, r->caps[i].tool);
            }
    return AIOS_OK;
}

static int read_all(int fd, aios__buf *b, aios_error *err)
{
    char chunk[4096];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return aios__fail_sys(err, AIOS_EIO, errno, "policy: it cannot be read");
        if (!n)
            return aios__buf_add(b, "", 0, err);
        int rc = aios__buf_add(b, chunk, (size_t)n, err);
        if (rc)
            return rc;
    }
}

static int open_fd(aios_ctx *ctx, int fd, const char *real, aios_rules **out, aios_error *err)
{
    struct stat st;
    aios__buf b;
    if (fstat(fd, &st))
        return aios__fail_sys(err, AIOS_EIO, errno, "policy: %s cannot be looked at", real);
    if (!S_ISREG(st.st_mode))
        return aios__fail(err, AIOS_EINVAL, "policy: %s is no file", real);
    int rc = check_owner(&st, real, err);
    rc = rc ? rc : check_folders(real, err);
    if (rc)
        return rc;
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, AIOS__RULESET_BYTES + 1);
    rc = read_all(fd, &b, err);
    rc = rc ? rc : aios_rules_parse(ctx, b.p, b.n, out, err);
    aios__buf_free(&b);
    if (rc)
        return rc;
    memcpy((*out)->path, real, strlen(real) + 1);
    (*out)->file = st;
    rc = check_roots(*out, err);
    if (rc) {
        aios_rules_free(*out);
        *out = NULL;
    }
    return rc;
}

int aios_rules_open(aios_ctx *ctx, const char *path, aios_rules **rules, aios_error *err)
{
    char real[PATH_MAX];
    if (!ctx || !path || !rules)
        return aios__fail(err, AIOS_EINVAL, "aios_rules_open: %s is NULL", !ctx ? "ctx" : !path ? "path" : "rules");
    *rules = NULL;
    if (!realpath(path, real))
        return aios__fail_sys(err, errno == ENOENT ? AIOS_ENOENT : AIOS_EIO, errno, "policy: %s", path);
    int fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return aios__fail_sys(err, AIOS_EIO, errno, "policy: %s cannot be opened", real);
    int rc = open_fd(ctx, fd, real, rules, err);
    close(fd);
    return rc;
}

/* ---- delegation --------------------------------------------------------------------------------------------------- */

static void add_leaves(aios_rules *out, aios_rules *from)
{
    if (!from->n_leaves)
        out->leaves[out->n_leaves++] = aios__ruleset_ref(from);
    for (uint32_t i = 0; i < from->n_leaves; i++)
        out->leaves[out->n_leaves++] = aios__ruleset_ref(from->leaves[i]);
    out->n_caps += from->n_caps;
    out->local |= from->local;
    out->rule_of_two |= from->rule_of_two;
    out->handles |= from->handles;
    out->ask_budget = from->ask_budget < out->ask_budget ? from->ask_budget : out->ask_budget;
    out->ask_ns = from->ask_ns && (!out->ask_ns || from->ask_ns < out->ask_ns) ? from->ask_ns : out->ask_ns;
    out->endorse_bits = from->endorse_bits < out->endorse_bits ? from->endorse_bits : out->endorse_bits;
}

int aios_rules_narrow(aios_rules *parent, aios_rules *child, aios_rules **rules, aios_error *err)
{
    aios_rules *r = NULL;
    if (!parent || !child || !rules)
        return aios__fail(err, AIOS_EINVAL, "aios_rules_narrow: %s is NULL", !parent ? "parent" : !child ? "child" : "rules");
    *rules = NULL;
    uint32_t depth = (parent->depth > child->depth ? parent->depth : child->depth) + 1;
    uint32_t n = (parent->n_leaves ? parent->n_leaves : 1) + (child->n_leaves ? child->n_leaves : 1);
    if (depth > MAX_DEPTH || n > AIOS__RULESET_LEAVES)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_DEPTH, depth > MAX_DEPTH ? depth : n - 1, "policy: delegated more than %d times", MAX_DEPTH);
    int rc = rules_new(parent->ctx, &r, err);
    if (rc)
        return rc;
    r->depth = depth;
    r->ask_budget = UINT32_MAX;
    r->endorse_bits = parent->endorse_bits;
    add_leaves(r, parent);
    add_leaves(r, child);
    rc = make_digest(r, err);
    if (rc)
        aios_rules_free(r);
    else
        *rules = r;
    return rc;
}

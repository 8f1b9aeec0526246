/* SPDX-License-Identifier: Apache-2.0 */
/* A declarative policy as the gate asks it. */
#ifndef AIOS_LIB_RULESET_H
#define AIOS_LIB_RULESET_H

#include <stdatomic.h>
#include <sys/stat.h>

#include <aios/policy.h>

#include "base/digest.h"
#include "base/json.h"
#include "grammar/schema.h"

enum { AIOS__RULESET_BYTES = 1 << 20, AIOS__RULESET_CAPS = 1024, AIOS__RULESET_LEAVES = 17 };

/* Whether a call meets a condition; UNSURE: it cannot be told, which never allows and always denies. */
enum aios__fit { AIOS__FIT_NO, AIOS__FIT_YES, AIOS__FIT_UNSURE };

typedef struct aios__path_rule {
    const char *pointer, *base;
    const char **roots;
    uint32_t n_roots;
    uint32_t write, optional;
} aios__path_rule;

/* What of a URL decides where it leads to, in one form. */
typedef struct aios__url {
    char host[256]; /**< lower case, without a trailing dot; of an address its canonical text */
    char scheme[16];
    uint32_t port;
    bool address, bare; /**< bare: it came as host[:port] */
} aios__url;

typedef struct aios__host_pattern {
    aios__url url;
    bool below, any_port;
} aios__host_pattern;

typedef struct aios__host_rule {
    const char *pointer;
    aios__host_pattern *hosts;
    uint32_t n_hosts;
} aios__host_rule;

typedef struct aios__cap {
    const char *tool, *cost_pointer, *reason;
    size_t n_tool;
    uint32_t prefix;           /**< "name*" */
    uint32_t effects;          /**< bit per AIOS_EFFECT_x, 0: any */
    aios__schema *args;
    aios__path_rule *paths;
    aios__host_rule *hosts;
    uint32_t n_paths, n_hosts;
    uint64_t max_bytes, max_calls, readers;
    double max_cost, cost;
    int64_t expires_us;        /**< 0: never */
    int32_t integrity, verdict, otherwise, external; /**< otherwise: 0, or the verdict where only labels do not fit; external: -1 by effect */
    uint32_t has_cost, has_readers, handle;
} aios__cap;

/* One file: a leaf of what was narrowed. */
struct aios_rules {
    _Atomic uint32_t refs;
    uint32_t depth;
    aios_ctx *ctx;
    aios__json_doc *doc;       /**< holds all texts; NULL: narrowed */
    aios__cap *caps;
    uint32_t n_caps;           /**< of all leaves */
    aios_rules *leaves[AIOS__RULESET_LEAVES];
    uint32_t n_leaves;         /**< 0: it is one itself */
    int32_t dflt;
    uint32_t rule_of_two, handles;
    uint32_t ask_budget;
    int64_t ask_ns;            /**< 0: no bound */
    uint64_t local;            /**< classes that stay on this machine */
    double endorse_bits;
    char digest[AIOS__SHA256_TEXT];
    char id[AIOS__SHA256_TEXT]; /**< the digest, or in a build without sums a weaker one: what a journal names it by */
    char path[4096];           /**< of its file; "" */
    struct stat file;
};

/* What a call has taken of one capability, or some calls. */
typedef struct aios__taken {
    uint32_t cap;              /**< among those of all leaves */
    uint32_t level;            /**< whose policy: 0 the run's, 1 its caller's, and so on up */
    uint64_t n;                /**< calls */
    double cost;
} aios__taken;

/* What a run has used of its capabilities, a place for each of all leaves. */
typedef struct aios__ruleset_use {
    uint64_t *calls;
    double *cost;
    aios__taken *last;        /**< what the call asked about last was charged; NULL: nobody wants to know */
    uint32_t n_last;
} aios__ruleset_use;

/* A call, as it is asked about. */
typedef struct aios__ruleset_call {
    const char *tool;
    int32_t effect;
    const aios__json *args;
    size_t n_args;
    aios_label label;
    int64_t wall_us;
} aios__ruleset_call;

/* ruleset_parse.c */
int aios__ruleset_read(aios_rules *r, aios_error *err);
/** Microseconds since 1970 of an RFC 3339 time; false if it is none. */
bool aios__rfc3339(const char *s, int64_t *us);

/* ruleset_decide.c: the verdict of all leaves; what is not denied is charged to `use`. *handle: the result stays outside of the context. */
int aios__ruleset_decide(const aios_rules *r, const aios__ruleset_call *c, aios__ruleset_use *use, aios_verdict *out, bool *handle, aios_error *err);

/** Takes what a call was charged; c->cap is one of the policy's. */
void aios__ruleset_charge(aios__ruleset_use *use, const aios__taken *c);

/* ruleset_path.c */
enum aios__fit aios__path_fit(const aios__path_rule *p, const char *s, size_t n, const aios_rules *policy, bool deny);
/** Follows links of the part that exists; false if a file of that name could be elsewhere. out has PATH_MAX bytes. */
bool aios__path_real(const char *path, char *out);
/** True if path is root or lies under it; both are real. *rest: behind the root. */
bool aios__path_under(const char *path, const char *root, const char **rest);

/* ruleset_host.c */
/** Reads a URL, or host[:port]. NULL, or what about it parsers could understand differently. */
const char *aios__url_read(const char *s, size_t n, aios__url *out);
/** As a policy writes it: [scheme://]host[:port], "*." in front for all names below, ":*" for every port. NULL, or what is wrong. */
const char *aios__host_read(const char *s, aios__host_pattern *out);
bool aios__host_fits(const aios__host_pattern *p, const aios__url *u);

/* ruleset.c */
aios_rules *aios__ruleset_ref(aios_rules *r);

/* canon.c */
/** Replaces a string; NULL: it stays. */
typedef const char *aios__replace_fn(void *user, const char *s, size_t n, size_t *n_out);
/** Compact JSON. sorted: keys in order of their bytes and numbers in one form (in the manner of RFC 8785). fn may be NULL. */
int aios__canon(const aios__json *v, bool sorted, aios__replace_fn *fn, void *user, aios__buf *out, aios_error *err);

#endif

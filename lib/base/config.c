/* SPDX-License-Identifier: Apache-2.0 */
/* What this build has, and the options that the environment may set. */
#include <aios/version.h>
#include <stdlib.h>

#include "base/base.h"
#include "config.h"

int aios_has(const char *feature)
{
    static const struct {
        const char *name;
        int has;
    } rows[] = {
        {"curl", AIOS_HAVE_CURL}, {"hwloc", AIOS_HAVE_HWLOC}, {"openblas", AIOS_HAVE_OPENBLAS}, {"sqlite", AIOS_HAVE_SQLITE}, {"crypto", AIOS_HAVE_CRYPTO}, {"gguf", 1}, {"echo", 1},
    };
    for (size_t i = 0; feature && i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].name, feature))
            return rows[i].has;
    return 0;
}

#define MAX_THREADS 4096

/* Decimal digits with an optional K, M or G (powers of 1024) if `suffix`; false on anything else or overflow. */
static bool parse_number(const char *s, bool suffix, uint64_t *out)
{
    uint64_t v = 0;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++)
        if (!aios__mul_u64(v, 10, &v) || !aios__add_u64(v, (uint64_t)(*s - '0'), &v))
            return false;
    static const char units[] = "KMG";
    const char *u = *s && suffix ? strchr(units, *s >= 'a' ? *s - 'a' + 'A' : *s) : NULL;
    if (u) {
        if (!aios__mul_u64(v, (uint64_t)1024 << 10 * (u - units), &v))
            return false;
        s++;
    }
    *out = v;
    return !*s;
}

static int set_cpu(aios_ctx_config *c, const char *s, aios_error *err)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (s[n] || n > 31)
        return aios__fail(err, AIOS_EINVAL, "AIOS_CPU=%.40s is no instruction set level: use scalar; avx2, avx512 or avx512vnni; on ARM neon, dotprod or i8mm", s);
    if (!c->cpu)
        c->cpu = s;
    return AIOS_OK;
}

static int set_threads(aios_ctx_config *c, const char *s, aios_error *err)
{
    uint64_t v;
    if (!parse_number(s, false, &v) || v < 1 || v > MAX_THREADS)
        return aios__fail(err, AIOS_EINVAL, "AIOS_THREADS=%.40s is no number from 1 to %d", s, MAX_THREADS);
    if (!c->n_threads)
        c->n_threads = (uint32_t)v;
    return AIOS_OK;
}

static int set_budget(aios_ctx_config *c, const char *s, aios_error *err)
{
    uint64_t v;
    if (!parse_number(s, true, &v) || !v)
        return aios__fail(err, AIOS_EINVAL, "AIOS_BUDGET=%.40s is no number of bytes: write it as 1500000000, 1500M or 4G", s);
    if (!c->budget)
        c->budget = v;
    return AIOS_OK;
}

static int set_log(aios_ctx_config *c, const char *s, aios_error *err)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(names); i++)
        if (!strcmp(s, names[i]) || (s[0] == (char)('0' + i) && !s[1])) {
            if (!c->log_level)
                c->log_level = (int32_t)i;
            return AIOS_OK;
        }
    return aios__fail(err, AIOS_EINVAL, "AIOS_LOG=%.40s is no level: use error, warn, info or debug", s);
}

int aios_config_from_env(aios_ctx_config *cfg, aios_error *err)
{
    static const struct {
        const char *name;
        int (*set)(aios_ctx_config *c, const char *s, aios_error *err);
    } rows[] = {
        {"AIOS_CPU", set_cpu}, {"AIOS_THREADS", set_threads}, {"AIOS_BUDGET", set_budget}, {"AIOS_LOG", set_log},
    };
    aios_ctx_config c;
    if (!cfg)
        return aios__fail(err, AIOS_EINVAL, "aios_config_from_env: cfg is NULL");
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(rows); i++) {
        const char *s = getenv(rows[i].name);
        if (s && *s)
            rc = rows[i].set(&c, s, err);
    }
    return rc ? rc : aios__struct_out(cfg, &c, sizeof c);
}

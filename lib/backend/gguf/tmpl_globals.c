/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that every template sees. */
#include "backend/gguf/tmpl_priv.h"

#include <inttypes.h>
#include <time.h>

static int g_range(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    const int64_t most = (int64_t)1 << 40;
    int64_t v[3] = {0, 0, 1};
    uint32_t n = c->raw->n;
    if (n < 1 || n > 3 || c->raw->nkw)
        return aios__tp_fail(s, "range takes one to three integers");
    for (uint32_t i = 0; i < n; i++) {
        TP_TRY(aios__tp_int_arg(s, c->raw->v[i], "an argument of range", &v[n == 1 ? 1 : i]));
        if (v[n == 1 ? 1 : i] > most || v[n == 1 ? 1 : i] < -most)
            return aios__tp_limit(s, "range is larger than the %d items allowed", TP_MAX_RANGE);
    }
    if (!v[2])
        return aios__tp_fail(s, "the step of range must not be zero");
    int64_t len = v[2] > 0 ? (v[1] - v[0] + v[2] - 1) / v[2] : (v[0] - v[1] - v[2] - 1) / -v[2];
    if ((v[2] > 0 && v[0] >= v[1]) || (v[2] < 0 && v[0] <= v[1]))
        len = 0;
    if (len > TP_MAX_RANGE)
        return aios__tp_limit(s, "range is larger than the %d items allowed: %" PRId64, TP_MAX_RANGE, len);
    aios__tp_range *r = aios__tp_alloc(s, sizeof *r);
    if (!r)
        return s->rc;
    *r = (aios__tp_range){v[0], v[1], v[2], len};
    *out = (aios__tp_val){.t = T_RANGE, .u.r = r};
    return 0;
}

static int merge_pairs(tp *s, aios__tp_val from, aios__tp_val to)
{
    aios__tp_val *items, *pair;
    uint32_t n, two;
    if (aios__tp_is(from, TBIT(T_DICT) | TBIT(T_NS))) {
        TP_TRY(aios__tp_dict_load(s, from.u.m));
        for (uint32_t i = 0; i < from.u.m->n; i++)
            TP_TRY(aios__tp_dict_set(s, to.u.m, from.u.m->k[i], from.u.m->v[i]));
        return 0;
    }
    TP_TRY(aios__tp_items(s, from, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        TP_TRY(aios__tp_items(s, items[i], &pair, &two));
        if (two != 2)
            return aios__tp_fail(s, "element %u of the sequence has length %u; 2 is required", i, two);
        TP_TRY(aios__tp_dict_set(s, to.u.m, pair[0], pair[1]));
    }
    return 0;
}

/* arg: T_DICT or T_NS */
static int g_dict(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val m;
    TP_TRY(aios__tp_dict_new(s, (uint8_t)c->fn->arg, 0, &m));
    if (c->raw->n > 1)
        return aios__tp_fail(s, "%s takes at most one argument", c->fn->name);
    if (c->raw->n)
        TP_TRY(merge_pairs(s, c->raw->v[0], m));
    for (uint32_t i = 0; i < c->raw->nkw; i++)
        TP_TRY(aios__tp_dict_set(s, m.u.m, c->raw->kw[i].name, c->raw->kw[i].v));
    for (uint32_t i = 0; c->fn->arg == T_NS && i < m.u.m->n; i++)
        if (m.u.m->k[i].t == T_STR && m.u.m->k[i].n && m.u.m->k[i].u.s[0] == '_')
            return aios__tp_fail(s, "a namespace has no names with an underscore in front");
    *out = m;
    return 0;
}

static int g_raise(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val text;
    TP_TRY(aios__tp_to_str(s, c->a[0], &text));
    *out = text;
    return s->rc = aios__fail(s->err, AIOS_ETEMPLATE, "%.*s", (int)text.n, text.u.s);
}

static int g_strftime(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    char text[512], format[256];
    if (c->a[0].t != T_STR || c->a[0].n >= sizeof format)
        return aios__tp_fail(s, "strftime_now takes a format of less than %zu bytes", sizeof format);
    memcpy(format, c->a[0].u.s, c->a[0].n);
    format[c->a[0].n] = 0;
    time_t t = (time_t)(s->now_us / 1000000 - (s->now_us % 1000000 < 0));
    struct tm tm;
    if (!localtime_r(&t, &tm))
        return aios__tp_fail(s, "the time cannot be told");
    return aios__tp_copy(s, text, strftime(text, sizeof text, format, &tm), out);
}

/* arg: T_CYCLER or T_JOINER */
static int g_cycler(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val l;
    bool joiner = c->fn->arg == T_JOINER;
    if (!joiner && (!c->raw->n || c->raw->nkw))
        return aios__tp_fail(s, "at least one item has to be provided");
    TP_TRY(aios__tp_list_new(s, (uint8_t)c->fn->arg, c->raw->n + 1, &l));
    for (uint32_t i = 0; i < c->raw->n; i++)
        TP_TRY(aios__tp_list_add(s, l.u.l, c->raw->v[i]));
    if (joiner)
        TP_TRY(aios__tp_list_add(s, l.u.l, c->raw->nkw ? c->raw->kw[0].v : aios__tp_str(", ", 2)));
    *out = l;
    return 0;
}

static int g_lipsum(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    (void)c;
    (void)out;
    return aios__tp_fail(s, "lipsum is not available in chat templates");
}

static const aios__tp_fn table[] = {
    {"range", g_range, 0, NULL, 0}, {"dict", g_dict, 0, NULL, T_DICT}, {"namespace", g_dict, 0, NULL, T_NS},
    {"raise_exception", g_raise, 1, "message", 0}, {"strftime_now", g_strftime, 1, "format", 0},
    {"cycler", g_cycler, 0, NULL, T_CYCLER}, {"joiner", g_cycler, 0, NULL, T_JOINER}, {"lipsum", g_lipsum, 0, NULL, 0},
};

const aios__tp_fn *aios__tp_global_find(const char *p, size_t n)
{
    return aios__tp_table_find(table, AIOS__ARRAY_LEN(table), p, n);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of dict, list and the other objects. A row without a function exists in Python and is refused here. */
#include "backend/gguf/tmpl_priv.h"

/* arg: 'k' 'v' 'i' */
static int d_view(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_dict *m = c->self.u.m;
    TP_TRY(aios__tp_dict_load(s, m));
    TP_TRY(aios__tp_list_new(s, T_VIEW, m->n, out));
    out->sub = (uint8_t)c->fn->arg;
    for (uint32_t i = 0; i < m->n; i++) {
        aios__tp_val v = c->fn->arg == 'k' ? m->k[i] : m->v[i];
        if (c->fn->arg == 'i') {
            TP_TRY(aios__tp_list_new(s, T_TUPLE, 2, &v));
            TP_TRY(aios__tp_list_add(s, v.u.l, m->k[i]));
            TP_TRY(aios__tp_list_add(s, v.u.l, m->v[i]));
        }
        TP_TRY(aios__tp_list_add(s, out->u.l, v));
    }
    return 0;
}

static int d_get(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *v;
    TP_TRY(aios__tp_dict_find(s, c->self.u.m, c->a[0], &v));
    *out = v ? *v : c->a[1].t == T_ABSENT ? aios__tp_none() : c->a[1];
    return 0;
}

static int d_copy(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_dict *m = c->self.u.m;
    TP_TRY(aios__tp_dict_load(s, m));
    TP_TRY(aios__tp_dict_new(s, T_DICT, m->n, out));
    for (uint32_t i = 0; i < m->n; i++)
        TP_TRY(aios__tp_dict_set(s, out->u.m, m->k[i], m->v[i]));
    return 0;
}

static int d_fromkeys(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items;
    uint32_t n;
    TP_TRY(aios__tp_items(s, c->a[0], &items, &n));
    TP_TRY(aios__tp_dict_new(s, T_DICT, n, out));
    for (uint32_t i = 0; i < n; i++)
        TP_TRY(aios__tp_dict_set(s, out->u.m, items[i], c->a[1].t == T_ABSENT ? aios__tp_none() : c->a[1]));
    return 0;
}

static int l_count(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items;
    uint32_t n;
    int64_t k = 0;
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        bool eq;
        TP_TRY(aios__tp_burn(s, 1));
        TP_TRY(aios__tp_equal(s, items[i], c->a[0], &eq));
        k += eq;
    }
    *out = aios__tp_int(k);
    return 0;
}

static int l_index(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items;
    uint32_t n;
    int64_t from = 0, to = INT64_MAX;
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    if (c->a[1].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[1], "start", &from));
    if (c->a[2].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[2], "stop", &to));
    from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
    to = to < 0 ? to + n : to;
    for (int64_t i = from; i < n && i < to; i++) {
        bool eq;
        TP_TRY(aios__tp_burn(s, 1));
        TP_TRY(aios__tp_equal(s, items[i], c->a[0], &eq));
        if (eq) {
            *out = aios__tp_int(i);
            return 0;
        }
    }
    return aios__tp_fail(s, "the value is not in the list");
}

static int l_copy(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_list *l = c->self.u.l;
    TP_TRY(aios__tp_list_load(s, l));
    TP_TRY(aios__tp_list_new(s, T_LIST, l->n, out));
    for (uint32_t i = 0; i < l->n; i++)
        TP_TRY(aios__tp_list_add(s, out->u.l, l->v[i]));
    return 0;
}

static int cycler_next(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_list *l = c->self.u.l;
    (void)s;
    *out = l->v[l->pos % l->n];
    l->pos = (l->pos + 1) % l->n;
    return 0;
}

static int cycler_reset(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    (void)s;
    c->self.u.l->pos = 0;
    *out = aios__tp_none();
    return 0;
}

static int loop_cycle(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    if (!c->raw->n || c->raw->nkw)
        return aios__tp_fail(s, "no items for cycling given");
    *out = c->raw->v[c->self.u.loop->i % c->raw->n];
    return 0;
}

static int loop_changed(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val now;
    bool same = false;
    aios__tp_loop *l = c->self.u.loop;
    TP_TRY(aios__tp_list_new(s, T_TUPLE, c->raw->n, &now));
    for (uint32_t i = 0; i < c->raw->n; i++)
        TP_TRY(aios__tp_list_add(s, now.u.l, c->raw->v[i]));
    if (l->changed.t != T_ABSENT)
        TP_TRY(aios__tp_equal(s, l->changed, now, &same));
    l->changed = now;
    *out = aios__tp_bool(!same);
    return 0;
}

static const aios__tp_fn dict_methods[] = {
    {"keys", d_view, 0, "", 'k'}, {"values", d_view, 0, "", 'v'}, {"items", d_view, 0, "", 'i'},
    {"get", d_get, 1, "|key,default", 0}, {"copy", d_copy, 0, "", 0}, {"fromkeys", d_fromkeys, 1, "|iterable,value", 0},
    {"clear", NULL, 0, "", 0}, {"pop", NULL, 0, "", 0}, {"popitem", NULL, 0, "", 0}, {"setdefault", NULL, 0, "", 0},
    {"update", NULL, 0, "", 0},
};
static const aios__tp_fn list_methods[] = {
    {"count", l_count, 1, "|value", 0}, {"index", l_index, 1, "|value,start,stop", 0}, {"copy", l_copy, 0, "", 0},
    {"append", NULL, 0, "", 0}, {"clear", NULL, 0, "", 0}, {"pop", NULL, 0, "", 0}, {"reverse", NULL, 0, "", 0},
    {"insert", NULL, 0, "", 0}, {"sort", NULL, 0, "", 0}, {"extend", NULL, 0, "", 0}, {"remove", NULL, 0, "", 0},
};
static const aios__tp_fn cycler_methods[] = {{"next", cycler_next, 0, "", 0}, {"reset", cycler_reset, 0, "", 0}};
static const aios__tp_fn loop_methods[] = {{"cycle", loop_cycle, 0, NULL, 0}, {"changed", loop_changed, 0, NULL, 0}};

const aios__tp_fn *aios__tp_table_find(const aios__tp_fn *t, size_t count, const char *p, size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (t[i].name[0] == p[0] && strlen(t[i].name) == n && !memcmp(t[i].name, p, n))
            return &t[i];
    return NULL;
}

const aios__tp_fn *aios__tp_method_find(aios__tp_val obj, const char *p, size_t n)
{
    if (!n)
        return NULL;
    switch (obj.t) {
    case T_STR:
        return n == 4 && !memcmp(p, "trim", 4) ? NULL : *p == '|' ? NULL : aios__tp_table_find(aios__tp_str_methods, aios__tp_n_str_methods, p, n);
    case T_DICT:
        return aios__tp_table_find(dict_methods, AIOS__ARRAY_LEN(dict_methods), p, n);
    case T_LIST:
        return aios__tp_table_find(list_methods, AIOS__ARRAY_LEN(list_methods), p, n);
    case T_TUPLE: case T_RANGE:
        return aios__tp_table_find(list_methods, 2, p, n);
    case T_CYCLER:
        return aios__tp_table_find(cycler_methods, AIOS__ARRAY_LEN(cycler_methods), p, n);
    case T_LOOP:
        return aios__tp_table_find(loop_methods, AIOS__ARRAY_LEN(loop_methods), p, n);
    case T_FUNC:
        if (!strcmp(obj.u.fn->name, "dict"))
            return aios__tp_table_find(dict_methods + 5, 1, p, n);
        return NULL;
    default:
        return NULL;
    }
}

int aios__tp_loop_attr(tp *s, aios__tp_loop *l, aios__tp_val name, aios__tp_val *out)
{
    static const char *const names[] = {"index", "index0", "first", "last", "length", "revindex", "revindex0", "depth", "depth0", "previtem", "nextitem"};
    (void)s;
    size_t k = 0;
    while (k < AIOS__ARRAY_LEN(names) && (strlen(names[k]) != name.n || memcmp(names[k], name.u.s, name.n)))
        k++;
    const int64_t i = l->i, n = l->n;
    const int64_t ints[] = {i + 1, i, i == 0, i + 1 == n, n, n - i, n - i - 1, (int64_t)l->depth0 + 1, l->depth0};
    if (k < AIOS__ARRAY_LEN(ints))
        *out = k == 2 || k == 3 ? aios__tp_bool(ints[k] != 0) : aios__tp_int(ints[k]);
    else if (k == 9)
        *out = l->i ? l->items[l->i - 1] : aios__tp_undef(UNDEF_HINT, "there is no previous item", 25);
    else if (k == 10)
        *out = l->i + 1 < l->n ? l->items[l->i + 1] : aios__tp_undef(UNDEF_HINT, "there is no next item", 21);
    else
        *out = (aios__tp_val){.t = T_ABSENT};
    return 0;
}

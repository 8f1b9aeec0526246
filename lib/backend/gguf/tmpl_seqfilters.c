/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of sequences. What is a generator in Python is a T_GEN here: always true, without length, read once. */
#include "backend/gguf/tmpl_priv.h"

static int flag(tp *s, aios__tp_val v, bool *out)
{
    return v.t == T_ABSENT ? 0 : aios__tp_truth(s, v, out);
}

static int add(tp *s, aios__tp_val list, aios__tp_val v)
{
    return aios__tp_list_add(s, list.u.l, v);
}

/* Follows "a.b.0", an integer, or nothing. */
int aios__tp_path_get(tp *s, aios__tp_val item, aios__tp_val path, aios__tp_val *out)
{
    *out = item;
    if (path.t == T_ABSENT || path.t == T_NONE)
        return 0;
    if (path.t != T_STR)
        return aios__tp_item(s, item, path, out);
    for (uint32_t i = 0; i <= path.n; i++) {
        uint32_t from = i;
        int64_t at = 0;
        bool number = true;
        while (i < path.n && path.u.s[i] != '.') {
            number &= path.u.s[i] >= '0' && path.u.s[i] <= '9' && i - from < 18;
            at = number ? at * 10 + (path.u.s[i] - '0') : at;
            i++;
        }
        aios__tp_val key = number && i > from ? aios__tp_int(at) : aios__tp_str(path.u.s + from, i - from);
        TP_TRY(aios__tp_item(s, *out, key, out));
    }
    return 0;
}

/* The value that an item is sorted or compared by. */
static int key_of(tp *s, aios__tp_val item, aios__tp_val path, bool case_sensitive, aios__tp_val *key)
{
    aios__tp_args none = {0};
    TP_TRY(aios__tp_path_get(s, item, path, key));
    if (key->t == T_STR && !case_sensitive)
        return aios__tp_call_fn(s, aios__tp_method_find(*key, "lower", 5), *key, &none, key);
    return 0;
}

static int keys_of(tp *s, const aios__tp_val *items, uint32_t n, aios__tp_val path, bool case_sensitive, aios__tp_val **keys)
{
    aios__tp_val *k = aios__tp_alloc(s, n * sizeof *k + 1);
    if (!k)
        return s->rc;
    for (uint32_t i = 0; i < n; i++)
        TP_TRY(key_of(s, items[i], path, case_sensitive, &k[i]));
    *keys = k;
    return 0;
}

static int copy_items(tp *s, aios__tp_val v, aios__tp_val *list)
{
    aios__tp_val *items;
    uint32_t n;
    TP_TRY(aios__tp_items(s, v, &items, &n));
    TP_TRY(aios__tp_list_new(s, T_LIST, n, list));
    for (uint32_t i = 0; i < n; i++)
        TP_TRY(add(s, *list, items[i]));
    return 0;
}

static int f_list(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    return copy_items(s, c->self, out);
}

/* arg: 0 first, 1 last */
static int f_end(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items, v = c->self;
    uint32_t n;
    if (c->fn->arg && v.t == T_GEN)
        return aios__tp_fail(s, "'generator' object is not reversible");
    uint32_t pos = v.t == T_GEN ? v.u.l->pos : 0;
    TP_TRY(aios__tp_items(s, v, &items, &n));
    if (v.t == T_GEN)
        v.u.l->pos = pos + (n != 0);
    if (n)
        *out = items[c->fn->arg ? n - 1 : 0];
    else
        *out = c->fn->arg ? aios__tp_undef(UNDEF_HINT, "No last item, sequence was empty.", 33) : aios__tp_undef(UNDEF_HINT, "No first item, sequence was empty.", 34);
    return 0;
}

static int f_join(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items, d = aios__tp_str("", 0), v;
    uint32_t n;
    if (c->a[0].t != T_ABSENT)
        TP_TRY(aios__tp_to_str(s, c->a[0], &d));
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = 0;
    for (uint32_t i = 0; i < n && !rc; i++) {
        rc = i ? aios__tp_print(s, d, &b) : 0;
        if (!rc)
            rc = aios__tp_path_get(s, items[i], c->a[1], &v);
        if (!rc)
            rc = aios__tp_print(s, v, &b);
        if (!rc)
            rc = aios__tp_burn(s, 1 + (d.n + (v.t == T_STR ? v.n : 0)) / 32);
    }
    if (!rc)
        rc = aios__tp_buf_val(s, &b, out);
    aios__buf_free(&b);
    return rc;
}

static int f_reverse(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items;
    uint32_t n;
    if (c->self.t == T_STR)
        return aios__tp_slice(s, c->self, aios__tp_none(), aios__tp_none(), aios__tp_int(-1), out);
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    TP_TRY(aios__tp_list_new(s, c->self.t == T_GEN ? T_LIST : T_GEN, n, out));
    while (n--)
        TP_TRY(add(s, *out, items[n]));
    return 0;
}

static int f_sort(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool reverse = false, cs = false;
    aios__tp_val *keys, path = c->a[2];
    TP_TRY(flag(s, c->a[0], &reverse));
    TP_TRY(flag(s, c->a[1], &cs));
    TP_TRY(copy_items(s, c->self, out));
    aios__tp_list *l = out->u.l;
    if (path.t != T_STR || !memchr(path.u.s, ',', path.n)) {
        TP_TRY(keys_of(s, l->v, l->n, path, cs, &keys));
        return aios__tp_sort(s, l->v, keys, l->n, reverse);
    }
    /* Several attributes: the stable sort runs from the last to the first. */
    for (uint32_t end = path.n;;) {
        uint32_t from = end;
        while (from && path.u.s[from - 1] != ',')
            from--;
        TP_TRY(keys_of(s, l->v, l->n, aios__tp_str(path.u.s + from, end - from), cs, &keys));
        TP_TRY(aios__tp_sort(s, l->v, keys, l->n, reverse));
        if (!from)
            return 0;
        end = from - 1;
    }
}

static int pairs_of(tp *s, aios__tp_val m, uint8_t t, aios__tp_val *out)
{
    TP_TRY(aios__tp_dict_load(s, m.u.m));
    TP_TRY(aios__tp_list_new(s, t, m.u.m->n, out));
    for (uint32_t i = 0; i < m.u.m->n; i++) {
        aios__tp_val pair;
        TP_TRY(aios__tp_list_new(s, T_TUPLE, 2, &pair));
        TP_TRY(add(s, pair, m.u.m->k[i]));
        TP_TRY(add(s, pair, m.u.m->v[i]));
        TP_TRY(add(s, *out, pair));
    }
    return 0;
}

static int f_items(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    if (c->self.t == T_UNDEF)
        return aios__tp_list_new(s, T_GEN, 0, out);
    if (c->self.t != T_DICT)
        return aios__tp_fail(s, "Can only get item pairs from a mapping.");
    return pairs_of(s, c->self, T_GEN, out);
}

static int f_dictsort(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool cs = false, reverse = false, by_value = false;
    aios__tp_val *keys;
    TP_TRY(flag(s, c->a[0], &cs));
    TP_TRY(flag(s, c->a[2], &reverse));
    if (c->a[1].t == T_STR && c->a[1].n == 5 && !memcmp(c->a[1].u.s, "value", 5))
        by_value = true;
    else if (c->a[1].t != T_ABSENT && !(c->a[1].t == T_STR && c->a[1].n == 3 && !memcmp(c->a[1].u.s, "key", 3)))
        return aios__tp_fail(s, "You can only sort by either \"key\" or \"value\"");
    if (c->self.t != T_DICT)
        return c->self.t == T_UNDEF ? aios__tp_undefined(s, c->self) : aios__tp_fail(s, "'%s' object has no attribute 'items'", aios__tp_type(c->self));
    TP_TRY(pairs_of(s, c->self, T_LIST, out));
    TP_TRY(keys_of(s, out->u.l->v, out->u.l->n, aios__tp_int(by_value), cs, &keys));
    return aios__tp_sort(s, out->u.l->v, keys, out->u.l->n, reverse);
}

static int f_unique(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool cs = false;
    aios__tp_val *items, *keys, seen;
    uint32_t n;
    TP_TRY(flag(s, c->a[0], &cs));
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    TP_TRY(keys_of(s, items, n, c->a[1], cs, &keys));
    TP_TRY(aios__tp_dict_new(s, T_DICT, 0, &seen));
    TP_TRY(aios__tp_list_new(s, T_GEN, 0, out));
    for (uint32_t i = 0; i < n; i++) {
        aios__tp_val *old;
        TP_TRY(aios__tp_dict_find(s, seen.u.m, keys[i], &old));
        if (old)
            continue;
        TP_TRY(aios__tp_dict_set(s, seen.u.m, keys[i], aios__tp_none()));
        TP_TRY(add(s, *out, items[i]));
    }
    return 0;
}

/* arg: -1 min, 1 max */
static int f_extreme(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool cs = false;
    aios__tp_val *items, *keys;
    uint32_t n, best = 0;
    TP_TRY(flag(s, c->a[0], &cs));
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    if (!n) {
        *out = aios__tp_undef(UNDEF_HINT, "No aggregated item, sequence was empty.", 39);
        return 0;
    }
    TP_TRY(keys_of(s, items, n, c->a[1], cs, &keys));
    for (uint32_t i = 1; i < n; i++) {
        int order;
        TP_TRY(aios__tp_order(s, keys[i], keys[best], &order));
        if (order == (c->fn->arg ? 1 : -1))
            best = i;
    }
    *out = items[best];
    return 0;
}

static int f_sum(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items, v, sum = c->a[1].t == T_ABSENT ? aios__tp_int(0) : c->a[1];
    uint32_t n;
    if (sum.t == T_STR)
        return aios__tp_fail(s, "sum() can't sum strings");
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        TP_TRY(aios__tp_path_get(s, items[i], c->a[0], &v));
        TP_TRY(aios__tp_burn(s, 1));
        TP_TRY(aios__tp_math(s, OP_ADD, sum, v, &sum));
    }
    *out = sum;
    return 0;
}

static int f_batch(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t size;
    aios__tp_val *items, row = {.t = T_NONE};
    uint32_t n;
    TP_TRY(aios__tp_int_arg(s, c->a[0], "linecount", &size));
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    TP_TRY(aios__tp_list_new(s, T_GEN, 0, out));
    for (uint32_t i = 0; i < n; i++) {
        if (row.t == T_NONE || row.u.l->n == size) {
            if (row.t != T_NONE)
                TP_TRY(add(s, *out, row));
            TP_TRY(aios__tp_list_new(s, T_LIST, 0, &row));
        }
        TP_TRY(add(s, row, items[i]));
    }
    if (row.t == T_NONE)
        return 0;
    while (c->a[1].t != T_ABSENT && c->a[1].t != T_NONE && row.u.l->n < size)
        TP_TRY(add(s, row, c->a[1]));
    return add(s, *out, row);
}

static int f_slice(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t slices, at = 0;
    aios__tp_val *items;
    uint32_t n;
    TP_TRY(aios__tp_int_arg(s, c->a[0], "slices", &slices));
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    TP_TRY(aios__tp_list_new(s, T_GEN, 0, out));
    if (!slices)
        return aios__tp_fail(s, "division by zero");
    for (int64_t i = 0; i < slices; i++) {
        int64_t size = n / slices + (i < n % slices);
        aios__tp_val row;
        TP_TRY(aios__tp_list_new(s, T_LIST, 0, &row));
        for (int64_t k = 0; k < size; k++)
            TP_TRY(add(s, row, items[at++]));
        if (c->a[1].t != T_ABSENT && c->a[1].t != T_NONE && i >= n % slices)
            TP_TRY(add(s, row, c->a[1]));
        TP_TRY(add(s, *out, row));
    }
    return 0;
}

static int f_groupby(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool cs = false;
    aios__tp_val list, *keys, *again, row = {.t = T_NONE}, members = {.t = T_NONE};
    TP_TRY(flag(s, c->a[2], &cs));
    TP_TRY(copy_items(s, c->self, &list));
    aios__tp_list *l = list.u.l;
    TP_TRY(keys_of(s, l->v, l->n, c->a[0], cs, &keys));
    for (uint32_t i = 0; i < l->n; i++)
        if (keys[i].t == T_UNDEF && c->a[1].t != T_ABSENT)
            keys[i] = c->a[1];
    TP_TRY(aios__tp_sort(s, l->v, keys, l->n, false));
    TP_TRY(keys_of(s, l->v, l->n, c->a[0], cs, &again));
    TP_TRY(aios__tp_list_new(s, T_LIST, 0, out));
    for (uint32_t i = 0; i < l->n; i++) {
        bool same = false;
        if (again[i].t == T_UNDEF && c->a[1].t != T_ABSENT)
            again[i] = c->a[1];
        if (i)
            TP_TRY(aios__tp_equal(s, again[i], again[i - 1], &same));
        if (!same) {
            aios__tp_val real;
            TP_TRY(aios__tp_path_get(s, l->v[i], c->a[0], &real));
            if (real.t == T_UNDEF && c->a[1].t != T_ABSENT)
                real = c->a[1];
            TP_TRY(aios__tp_list_new(s, T_TUPLE, 2, &row));
            row.u.l->group = true;
            TP_TRY(aios__tp_list_new(s, T_LIST, 0, &members));
            TP_TRY(add(s, row, real));
            TP_TRY(add(s, row, members));
            TP_TRY(add(s, *out, row));
        }
        TP_TRY(add(s, members, l->v[i]));
    }
    return 0;
}

static aios__tp_args rest_of(const aios__tp_args *a, uint32_t from)
{
    aios__tp_args r = *a;
    from = from > a->n ? a->n : from;
    r.v += from;
    r.n -= from;
    r.cap = r.n;
    return r;
}

static const aios__tp_val *keyword(const aios__tp_args *a, const char *name)
{
    for (uint32_t i = 0; i < a->nkw; i++)
        if (a->kw[i].name.n == strlen(name) && !memcmp(a->kw[i].name.u.s, name, a->kw[i].name.n))
            return &a->kw[i].v;
    return NULL;
}

static int f_map(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items, v;
    uint32_t n;
    bool any;
    const aios__tp_val *attr = c->raw->n ? NULL : keyword(c->raw, "attribute"), *dflt = keyword(c->raw, "default");
    const aios__tp_fn *fn = NULL;
    aios__tp_args rest = rest_of(c->raw, 1);
    TP_TRY(aios__tp_list_new(s, T_GEN, 0, out));
    TP_TRY(aios__tp_truth(s, c->self, &any));
    if (!any)
        return 0;
    if (!attr) {
        if (!c->raw->n || c->raw->v[0].t != T_STR)
            return aios__tp_fail(s, "map requires a filter argument");
        fn = aios__tp_filter_find(c->raw->v[0].u.s, c->raw->v[0].n);
        if (!fn)
            return aios__tp_fail(s, "no filter named '%.*s'", (int)c->raw->v[0].n, c->raw->v[0].u.s);
    } else if (c->raw->nkw > 1u + (dflt != NULL)) {
        return aios__tp_fail(s, "map: unexpected keyword argument");
    }
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        if (fn)
            TP_TRY(aios__tp_call_fn(s, fn, items[i], &rest, &v));
        else
            TP_TRY(aios__tp_path_get(s, items[i], *attr, &v));
        if (!fn && v.t == T_UNDEF && dflt && dflt->t != T_NONE)
            v = *dflt;
        TP_TRY(add(s, *out, v));
    }
    return 0;
}

/* arg: 1 reject, 2 by attribute */
static int f_select(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items, v;
    uint32_t n, off = c->fn->arg >> 1;
    bool any, yes;
    const aios__tp_fn *fn = NULL;
    TP_TRY(aios__tp_list_new(s, T_GEN, 0, out));
    TP_TRY(aios__tp_truth(s, c->self, &any));
    if (!any)
        return 0;
    if (off && !c->raw->n)
        return aios__tp_fail(s, "missing parameter for attribute name");
    if (c->raw->n > off) {
        const aios__tp_val name = c->raw->v[off];
        fn = name.t == T_STR ? aios__tp_test_find(name.u.s, name.n) : NULL;
        if (!fn)
            return aios__tp_fail(s, "no test named '%.*s'", name.t == T_STR ? (int)name.n : 0, name.t == T_STR ? name.u.s : "");
    }
    aios__tp_args rest = rest_of(c->raw, off + 1);
    TP_TRY(aios__tp_items(s, c->self, &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        v = items[i];
        if (off)
            TP_TRY(aios__tp_path_get(s, v, c->raw->v[0], &v));
        if (fn)
            TP_TRY(aios__tp_call_fn(s, fn, v, &rest, &v));
        TP_TRY(aios__tp_truth(s, v, &yes));
        if (yes != (c->fn->arg & 1))
            TP_TRY(add(s, *out, items[i]));
    }
    return 0;
}

const aios__tp_fn aios__tp_seq_filters[] = {
    {"list", f_list, 0, "", 0}, {"first", f_end, 0, "", 0}, {"last", f_end, 0, "", 1}, {"join", f_join, 0, "d,attribute", 0},
    {"reverse", f_reverse, 0, "", 0}, {"sort", f_sort, 0, "reverse,case_sensitive,attribute", 0}, {"items", f_items, 0, "", 0},
    {"dictsort", f_dictsort, 0, "case_sensitive,by,reverse", 0}, {"unique", f_unique, 0, "case_sensitive,attribute", 0},
    {"min", f_extreme, 0, "case_sensitive,attribute", 0}, {"max", f_extreme, 0, "case_sensitive,attribute", 1},
    {"sum", f_sum, 0, "attribute,start", 0}, {"batch", f_batch, 1, "linecount,fill_with", 0}, {"slice", f_slice, 1, "slices,fill_with", 0},
    {"groupby", f_groupby, 1, "attribute,default,case_sensitive", 0}, {"map", f_map, 0, NULL, 0}, {"select", f_select, 0, NULL, 0},
    {"reject", f_select, 0, NULL, 1}, {"selectattr", f_select, 0, NULL, 2}, {"rejectattr", f_select, 0, NULL, 3},
};
const size_t aios__tp_n_seq_filters = AIOS__ARRAY_LEN(aios__tp_seq_filters);

/* SPDX-License-Identifier: Apache-2.0 */
/* Resources, anchors and references of a schema: every target is found while it compiles, but for those that depend on the way to them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cachefile.h"
#include "grammar/hex.h"
#include "grammar/array.h"
#include "grammar/schema_priv.h"

#define MAX_ANCHORS 400000u
#define MAX_URI 8000u
#define MAX_URIS ((size_t)4 << 20) /* bytes of all: a short $id stores its base anew */
/* The scope of counts of dynamic anchors with the same name. */
#define COUNTS (AIOS__NONE - 1)

/* ---- names -------------------------------------------------------------------------------------------------------- */

static uint32_t slot_of(const aios__schema *s, uint32_t resource, const char *name, size_t n)
{
    uint32_t i = (uint32_t)aios__sum64((uint64_t)(uintptr_t)s ^ resource, name, n) & (s->names_size - 1);
    for (; s->names[i]; i = (i + 1) & (s->names_size - 1)) {
        const aios__anchor *a = &s->anchors[s->names[i] - 1];
        if (a->resource == resource && a->n == n && !memcmp(a->name, name, n))
            break;
    }
    return i;
}

const aios__anchor *aios__schema_anchor(const aios__schema *s, uint32_t resource, const char *name, size_t n)
{
    uint32_t k = s->names_size ? s->names[slot_of(s, resource, name, n)] : 0;
    return k ? &s->anchors[k - 1] : NULL;
}

static int grow_names(aios__schema *s, aios_error *err)
{
    if ((s->n_anchors + 1) * 2 < s->names_size)
        return AIOS_OK;
    uint32_t size = s->names_size ? s->names_size * 2 : 16;
    int rc = aios__schema_fits(s, size * sizeof(uint32_t), err);
    uint32_t *names = rc ? NULL : aios__alloc_array(s->heap, AIOS_MEM_OTHER, size, sizeof *names, err);
    if (!names)
        return aios__oom(err);
    aios__free(s->heap, s->names);
    s->names = names;
    s->names_size = size;
    for (uint32_t i = 0; i < s->n_anchors; i++)
        s->names[slot_of(s, s->anchors[i].resource, s->anchors[i].name, s->anchors[i].n)] = i + 1;
    return AIOS_OK;
}

int aios__schema_name(aios__schema *s, uint32_t resource, const char *name, size_t n, uint32_t sub, aios__anchor **out, aios_error *err)
{
    int rc = grow_names(s, err);
    if (!rc)
        rc = aios__schema_grow(s, &s->anchors, &s->cap_anchors, (size_t)s->n_anchors + 1, MAX_ANCHORS, sizeof *s->anchors, "anchors", err);
    if (rc)
        return rc;
    uint32_t k = slot_of(s, resource, name, n);
    if (!s->names[k]) {
        s->anchors[s->n_anchors++] = (aios__anchor){.name = name, .n = (uint32_t)n, .resource = resource, .sub = sub};
        s->names[k] = s->n_anchors;
    }
    *out = &s->anchors[s->names[k] - 1];
    return AIOS_OK;
}

static int add_anchor(aios__schema *s, uint32_t i, const char *name, bool dynamic, aios_error *err)
{
    aios__anchor *a, *count;
    int rc = aios__schema_name(s, s->subs[i].resource, name, strlen(name), i, &a, err);
    if (rc || !dynamic || a->dynamic || a->sub != i)
        return rc;
    a->dynamic = true;
    rc = aios__schema_name(s, COUNTS, name, strlen(name), 0, &count, err);
    if (!rc)
        count->sub++;
    return rc;
}

/* Counts the URI of one more resource. */
static int count_uri(aios__schema *s, uint32_t i, size_t n, aios_error *err)
{
    char path[200];
    s->n_uris += n;
    return s->n_uris <= MAX_URIS ? AIOS_OK
                                 : aios__fail_need(err, AIOS_ELIMIT, MAX_URIS, s->n_uris,
                                                   "schema %s: with this \"$id\" the URIs of all take more than %zu bytes: shorten the outer $id, or use fewer inside it",
                                                   aios__schema_path(s, i, path, sizeof path), MAX_URIS);
}

static int add_resource(aios__schema *s, uint32_t i, const char *id, aios_error *err)
{
    aios__anchor *a;
    const char *base = s->subs[i].parent == AIOS__NONE ? "" : s->resources[s->subs[i].resource].uri;
    char *uri;
    if (strlen(id) + strlen(base) > MAX_URI)
        return aios__schema_bad(s, i, "$id", "is too long", err);
    int rc = aios__schema_grow(s, &s->resources, &s->cap_resources, (size_t)s->n_resources + 1, MAX_ANCHORS, sizeof *s->resources, "schemas of their own", err);
    if (!rc)
        rc = aios__uri_resolve(s->heap, base, id, strlen(id), &uri, err);
    if (rc)
        return rc;
    rc = count_uri(s, i, strlen(uri) + 1, err);
    if (rc) {
        aios__free(s->heap, uri);
        return rc;
    }
    s->resources[s->n_resources] = (aios__resource){uri, i};
    s->subs[i].resource = s->n_resources++;
    return *uri ? aios__schema_name(s, AIOS__NONE, uri, strlen(uri), s->subs[i].resource, &a, err) : AIOS_OK;
}

/* ---- what a subschema says of itself ------------------------------------------------------------------------------ */

static const struct {
    const char *host_and_path;
    uint8_t draft;
} drafts[] = {
    {"json-schema.org/draft-04/schema", AIOS__DRAFT_4},           {"json-schema.org/draft-06/schema", AIOS__DRAFT_6},
    {"json-schema.org/draft-07/schema", AIOS__DRAFT_7},           {"json-schema.org/draft/2019-09/schema", AIOS__DRAFT_2019},
    {"json-schema.org/draft/2020-12/schema", AIOS__DRAFT_2020},   {"json-schema.org/schema", AIOS__DRAFT_LATEST},
};

static int read_draft(aios__schema *s, uint32_t i, aios_error *err)
{
    const aios__json *v = aios__json_get(s->subs[i].json, "$schema");
    const char *uri = aios__json_str(v, NULL);
    if (!v)
        return AIOS_OK;
    const char *at = uri && !strncmp(uri, "http", 4) ? strstr(uri, "://") : NULL;
    size_t n = at ? strcspn(at + 3, "#") : 0;
    for (size_t k = 0; k < AIOS__ARRAY_LEN(drafts) && n; k++)
        if (!strncmp(at + 3, drafts[k].host_and_path, n) && !drafts[k].host_and_path[n] && (!at[3 + n] || !at[4 + n])) {
            s->subs[i].draft = drafts[k].draft;
            return AIOS_OK;
        }
    return aios__schema_bad(s, i, "$schema", "is none of drafts 4, 6, 7, 2019-09 and 2020-12 of JSON Schema: leave it out for the latest", err);
}

/* Older drafts name a place by an id that is all fragment. */
static int read_id(aios__schema *s, uint32_t i, aios_error *err)
{
    const aios__sub *sub = &s->subs[i];
    bool root = sub->parent == AIOS__NONE;
    const aios__json *v = aios__json_get(sub->json, sub->draft == AIOS__DRAFT_4 ? "id" : "$id");
    const char *id = aios__json_str(v, NULL);
    bool hidden = sub->draft <= AIOS__DRAFT_7 && aios__json_get(sub->json, "$ref");
    if (v && !id && sub->draft != AIOS__DRAFT_4)
        return aios__schema_bad(s, i, "$id", "must be a string", err);
    id = hidden ? NULL : id;
    if (!id || *id == '#') {
        const char *anchor = id && id[1] && id[1] != '/' ? id + 1 : NULL;
        int rc = root ? add_resource(s, i, "", err) : AIOS_OK;
        return rc || !anchor ? rc : add_anchor(s, i, anchor, false, err);
    }
    int rc = add_resource(s, i, id, err);
    const char *fragment = strchr(id, '#');
    return rc || !fragment || !fragment[1] || fragment[1] == '/' ? rc : add_anchor(s, i, fragment + 1, false, err);
}

static int read_anchors(aios__schema *s, uint32_t i, aios_error *err)
{
    const aios__json *json = s->subs[i].json;
    uint8_t draft = s->subs[i].draft;
    const char *plain = aios__json_str(aios__json_get(json, "$anchor"), NULL);
    const char *dynamic = aios__json_str(aios__json_get(json, "$dynamicAnchor"), NULL);
    int rc = AIOS_OK;
    if (draft >= AIOS__DRAFT_2019 && plain)
        rc = add_anchor(s, i, plain, false, err);
    if (!rc && draft >= AIOS__DRAFT_2020 && dynamic)
        rc = add_anchor(s, i, dynamic, true, err);
    bool recursive = s->resources[s->subs[i].resource].sub == i && aios__json_type(aios__json_get(json, "$recursiveAnchor")) == AIOS__JSON_TRUE;
    if (!rc && recursive && (draft == AIOS__DRAFT_2019 || draft == AIOS__DRAFT_LATEST))
        rc = add_anchor(s, i, "", true, err);
    return rc;
}

int aios__schema_enter(aios__schema *s, uint32_t i, aios_error *err)
{
    bool root = s->subs[i].parent == AIOS__NONE;
    if (aios__json_type(s->subs[i].json) != AIOS__JSON_OBJECT)
        return root ? add_resource(s, i, "", err) : AIOS_OK;
    bool own = root || aios__json_get(s->subs[i].json, "$id");
    int rc = own ? read_draft(s, i, err) : AIOS_OK;
    if (!rc)
        rc = read_id(s, i, err);
    return rc ? rc : read_anchors(s, i, err);
}

/* ---- references --------------------------------------------------------------------------------------------------- */

/* A URI fragment without its percent signs, in place. */
static size_t unescape(char *s)
{
    char *out = s;
    for (const char *p = s; *p; p++) {
        bool escaped = *p == '%' && aios__hex((uint8_t)p[1]) >= 0 && aios__hex((uint8_t)p[2]) >= 0;
        *out++ = escaped ? (char)(aios__hex((uint8_t)p[1]) << 4 | aios__hex((uint8_t)p[2])) : *p;
        p += escaped ? 2 : 0;
    }
    *out = 0;
    return (size_t)(out - s);
}

/* Walks a JSON pointer, which is cut up on the way. */
static const aios__json *follow(const aios__json *v, char *p)
{
    while (v && *p == '/') {
        char *token = ++p, *out = token, *end;
        for (; *p && *p != '/'; p++)
            *out++ = *p == '~' && (p[1] == '0' || p[1] == '1') ? (*++p == '0' ? '~' : '/') : *p;
        size_t n = (size_t)(out - token);
        if (aios__json_type(v) == AIOS__JSON_OBJECT) {
            v = aios__json_find(v, token, n);
            continue;
        }
        char number[16] = "";
        if (n < sizeof number)
            memcpy(number, token, n);
        unsigned long k = strtoul(number, &end, 10);
        v = *number >= '0' && *number <= '9' && !*end ? aios__json_at(v, k) : NULL;
    }
    return v;
}

/* A metaschema becomes one more document. */
static int add_metaschema(aios__schema *s, const char *uri, const aios__anchor **found, aios_error *err)
{
    const char *text = aios__metaschema(uri);
    *found = NULL;
    if (!text || s->n_docs == AIOS__SCHEMA_DOCS)
        return AIOS_OK;
    int rc = aios__schema_doc(s, text, strlen(text), err);
    if (rc)
        return rc;
    const aios__json *root = aios__json_root(s->docs[s->n_docs - 1]);
    rc = aios__schema_add(s, root, AIOS__NONE, NULL, NULL, AIOS__NONE, err);
    *found = rc ? NULL : aios__schema_anchor(s, AIOS__NONE, uri, strlen(uri));
    return rc;
}

/* The resource that the part before # names. */
static int find_resource(aios__schema *s, uint32_t i, const char *kw, const char *ref, size_t n, uint32_t *out, aios_error *err)
{
    char *uri;
    *out = s->subs[i].resource;
    if (!n)
        return AIOS_OK;
    int rc = aios__uri_resolve(s->heap, s->resources[*out].uri, ref, n, &uri, err);
    if (rc)
        return rc;
    const aios__anchor *a = aios__schema_anchor(s, AIOS__NONE, uri, strlen(uri));
    if (!a)
        rc = add_metaschema(s, uri, &a, err);
    if (!rc && !a && strcmp(uri, s->resources[*out].uri))
        rc = aios__schema_bad(s, i, kw, "points outside this schema, which is never fetched: put the target under $defs", err);
    *out = a ? a->sub : *out;
    aios__free(s->heap, uri);
    return rc;
}

/* What the part behind # names in a resource; NULL: nothing. *name: it is a dynamic anchor. */
static const aios__json *find_fragment(const aios__schema *s, uint32_t resource, char *fragment, const char **name)
{
    const aios__sub *root = &s->subs[s->resources[resource].sub];
    size_t n = unescape(fragment);
    if (*fragment == '/' || !n)
        return follow(root->json, fragment);
    const aios__anchor *a = aios__schema_anchor(s, resource, fragment, n);
    *name = a && a->dynamic ? a->name : NULL;
    return a ? s->subs[a->sub].json : NULL;
}

/* *name: the target's dynamic anchor, if it was named by one. */
static int find_target(aios__schema *s, uint32_t i, enum aios__kw kw, const char *ref, uint32_t *target, const char **name, aios_error *err)
{
    size_t n = strcspn(ref, "#");
    uint32_t resource;
    *name = NULL;
    int rc = find_resource(s, i, aios__kw_name(kw), ref, n, &resource, err);
    if (rc)
        return rc;
    const char *from = ref[n] ? ref + n + 1 : "";
    char *fragment = aios__strndup(s->heap, AIOS_MEM_OTHER, from, strlen(from), err);
    if (!fragment)
        return aios__oom(err);
    const aios__json *to = find_fragment(s, resource, fragment, name);
    aios__free(s->heap, fragment);
    if (!aios__schema_is(to))
        return aios__schema_bad(s, i, aios__kw_name(kw), "points to no schema", err);
    rc = aios__schema_add(s, to, s->resources[resource].sub, ref, NULL, AIOS__NONE, err);
    *target = aios__schema_sub(s, to);
    if (!rc)
        s->subs[*target].shared = true;
    return rc;
}

int aios__schema_resolve(aios__schema *s, uint32_t i, aios_error *err)
{
    static const enum aios__kw kws[] = {AIOS__KW_REF, AIOS__KW_DYNAMIC_REF, AIOS__KW_RECURSIVE_REF};
    for (size_t k = 0; k < AIOS__ARRAY_LEN(kws); k++) {
        const char *name, *ref = aios__json_str(aios__schema_kw(s, i, kws[k]), NULL);
        uint32_t target = AIOS__NONE;
        int rc = ref ? find_target(s, i, kws[k], ref, &target, &name, err) : AIOS_OK;
        if (rc || !ref) {
            if (rc)
                return rc;
            continue;
        }
        if (kws[k] == AIOS__KW_REF) {
            s->subs[i].ref = target;
            continue;
        }
        s->subs[i].dynamic = target;
        if (kws[k] == AIOS__KW_RECURSIVE_REF) {
            const aios__anchor *a = aios__schema_anchor(s, s->subs[target].resource, "", 0);
            name = a && a->dynamic && a->sub == target ? a->name : NULL;
        }
        s->subs[i].anchor = name;
    }
    return AIOS_OK;
}

/* ---- cycles ------------------------------------------------------------------------------------------------------- */

/* Keywords whose subschemas apply to the same value: one, a list or a map of them. */
static const enum aios__kw same_value[] = {AIOS__KW_REF,    AIOS__KW_DYNAMIC_REF, AIOS__KW_RECURSIVE_REF, AIOS__KW_NOT,    AIOS__KW_IF,
                                           AIOS__KW_THEN,   AIOS__KW_ELSE,        AIOS__KW_ALL_OF,        AIOS__KW_ANY_OF, AIOS__KW_ONE_OF,
                                           AIOS__KW_DEPENDENT_SCHEMAS, AIOS__KW_DEPENDENCIES};

struct visit {
    uint32_t sub, phase; /* index into same_value */
    uint32_t at;         /* of the next in a list */
    void *it;            /* the last in a map */
};

/* What a reference leads to, but for those that depend on the way to them. */
static uint32_t referred(const aios__sub *sub, enum aios__kw kw)
{
    return kw == AIOS__KW_REF ? sub->ref : sub->anchor ? AIOS__NONE : sub->dynamic;
}

/* The next subschema of v's, or NONE: there is none in this step. False: there are no more. */
static bool next_same(const aios__schema *s, struct visit *v, uint32_t *to)
{
    const char *key;
    const aios__json *m;
    *to = AIOS__NONE;
    if (v->phase == AIOS__ARRAY_LEN(same_value))
        return false;
    enum aios__kw kw = same_value[v->phase];
    const aios__json *value = aios__schema_kw(s, v->sub, kw);
    if (aios__json_type(value) == AIOS__JSON_ARRAY && v->at < aios__json_count(value)) {
        *to = aios__schema_sub(s, aios__json_at(value, v->at++));
        return true;
    }
    if (kw == AIOS__KW_DEPENDENT_SCHEMAS || kw == AIOS__KW_DEPENDENCIES) {
        v->it = aios__json_iter(value, v->it, &key, &m);
        if (v->it) {
            *to = aios__schema_is(m) ? aios__schema_sub(s, m) : AIOS__NONE;
            return true;
        }
    } else if (value && aios__json_type(value) != AIOS__JSON_ARRAY) {
        *to = aios__json_type(value) == AIOS__JSON_STRING ? referred(&s->subs[v->sub], kw) : aios__schema_sub(s, value);
    }
    v->phase++;
    v->at = 0;
    v->it = NULL;
    return true;
}

/* Depth-first over edges that consume nothing; mark 1: on the path, 2: done. */
static int search_from(aios__schema *s, struct visit *stack, uint32_t root, aios_error *err)
{
    uint32_t n = 0, to;
    if (s->subs[root].mark)
        return AIOS_OK;
    stack[n++] = (struct visit){.sub = root};
    s->subs[root].mark = 1;
    while (n) {
        struct visit *v = &stack[n - 1];
        if (!next_same(s, v, &to)) {
            s->subs[v->sub].mark = 2;
            n--;
        } else if (to != AIOS__NONE && s->subs[to].mark == 1) {
            return aios__schema_bad(s, v->sub, "$ref", "leads back to itself without going into the value: it means nothing", err);
        } else if (to != AIOS__NONE && !s->subs[to].mark) {
            s->subs[to].mark = 1;
            stack[n++] = (struct visit){.sub = to};
        }
    }
    return AIOS_OK;
}

/* A name that one dynamic anchor alone has leads nowhere else. */
static void settle_anchors(aios__schema *s)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        const char *name = s->subs[i].anchor;
        const aios__anchor *count = name ? aios__schema_anchor(s, COUNTS, name, strlen(name)) : NULL;
        if (count && count->sub < 2)
            s->subs[i].anchor = NULL;
        s->dynamic = s->dynamic || s->subs[i].anchor;
    }
}

int aios__schema_cycles(aios__schema *s, aios_error *err)
{
    settle_anchors(s);
    int rc = aios__schema_fits(s, s->n_subs * sizeof(struct visit), err);
    struct visit *stack = rc ? NULL : aios__alloc_array(s->heap, AIOS_MEM_OTHER, s->n_subs, sizeof *stack, err);
    if (!stack)
        return aios__oom(err);
    for (uint32_t i = 0; !rc && i < s->n_subs; i++)
        rc = search_from(s, stack, i, err);
    aios__free(s->heap, stack);
    return rc;
}

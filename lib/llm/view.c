/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a transcript the model gets. An AIOS_PART_CONTEXT says it: a range of entries that are not shown and the text in their place, and results of
 * which only the beginning is. The transcript itself keeps everything. docs/context.md
 */
#include "llm/transcript_priv.h"

#define VERSION 1
#define HEAD ((size_t)160) /* bytes of a result that is cut */

static const aios_part *part_at(const aios_entry *e, uint32_t i)
{
    return (const aios_part *)(const void *)((const char *)e->parts + (size_t)i * e->part_stride);
}

bool aios__entry_is_context(const aios_entry *e)
{
    return e->role == AIOS_ROLE_SYSTEM && part_at(e, 0)->kind == AIOS_PART_CONTEXT;
}

/* ---- its JSON ----------------------------------------------------------------------------------------------------- */

static int bad(const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_EFORMAT, "a context part's %s", what);
}

static int check_cut(const aios__json *cut, aios_error *err)
{
    int64_t before = 0;
    if (cut && aios__json_type(cut) != AIOS__JSON_ARRAY)
        return bad("\"cut\" must be an array of ids", err);
    for (size_t i = 0; i < aios__json_count(cut); i++) {
        int64_t id = aios__json_int(aios__json_at(cut, i), 0);
        if (id <= before)
            return bad("\"cut\" must be ids in ascending order", err);
        before = id;
    }
    return AIOS_OK;
}

int aios__view_check(const aios__json *root, aios_error *err)
{
    const aios__json *tool = aios__json_get(root, "tool");
    int64_t v = aios__json_int(aios__json_get(root, "v"), -1), keep = aios__json_int(aios__json_get(root, "keep"), 0);
    int64_t first = aios__json_int(aios__json_get(root, "first"), 0), last = aios__json_int(aios__json_get(root, "last"), 0);
    if (aios__json_type(root) != AIOS__JSON_OBJECT || v < 1)
        return bad("text must be a JSON object with \"v\":1", err);
    if (v > VERSION)
        return aios__fail_need(err, AIOS_EVERSION, VERSION, (uint64_t)v, "a context part has version %lld, this library reads up to %d: update libaios", (long long)v,
                               VERSION);
    if (first < 0 || last < first || keep < 0 || (last && !first) || (!last && first))
        return bad("\"first\", \"last\" and \"keep\" must be ids, or left out", err);
    if (tool && !aios__tool_name_ok(aios__json_str(tool, NULL)))
        return bad("\"tool\" must be the name of a tool", err);
    return check_cut(aios__json_get(root, "cut"), err);
}

int aios__view_write(const aios__view *v, aios__buf *out, aios_error *err)
{
    aios__buf_addf(out, err, "{\"v\":%d", VERSION);
    if (v->last)
        aios__buf_addf(out, err, ",\"first\":%llu,\"last\":%llu", (unsigned long long)v->first, (unsigned long long)v->last);
    if (v->keep)
        aios__buf_addf(out, err, ",\"keep\":%llu", (unsigned long long)v->keep);
    for (uint32_t i = 0; i < v->n_cut; i++)
        aios__buf_addf(out, err, "%s%llu", i ? "," : ",\"cut\":[", (unsigned long long)v->cut[i]);
    if (v->n_cut)
        aios__buf_addc(out, ']', err);
    if (v->tool)
        aios__buf_addf(out, err, ",\"tool\":\"%s\"", v->tool);
    return out->failed;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static int set_text(aios__heap *h, char **to, const char *s, size_t n, aios_error *err)
{
    *to = s ? aios__strndup(h, AIOS_MEM_TEXT, s, n, err) : NULL;
    return s && !*to ? aios__nomem(err) : AIOS_OK;
}

static int read_cut(aios__view *v, const aios__json *cut, aios_error *err)
{
    size_t n = aios__json_count(cut);
    v->cut = n ? aios__alloc_array(v->heap, AIOS_MEM_TEXT, n, sizeof *v->cut, err) : NULL;
    if (n && !v->cut)
        return aios__nomem(err);
    for (; v->n_cut < n; v->n_cut++)
        v->cut[v->n_cut] = (uint64_t)aios__json_int(aios__json_at(cut, v->n_cut), 0);
    return AIOS_OK;
}

static int read_part(aios__view *v, const aios_entry *e, aios_error *err)
{
    aios__json_doc *doc;
    int rc = aios__json_parse(v->heap, part_at(e, 0)->text, part_at(e, 0)->n_text, &doc, err);
    if (rc)
        return rc;
    const aios__json *root = aios__json_root(doc);
    v->first = (uint64_t)aios__json_int(aios__json_get(root, "first"), 0);
    v->last = (uint64_t)aios__json_int(aios__json_get(root, "last"), 0);
    v->keep = (uint64_t)aios__json_int(aios__json_get(root, "keep"), 0);
    v->label = e->label;
    size_t n = 0;
    const char *tool = aios__json_str(aios__json_get(root, "tool"), &n);
    rc = set_text(v->heap, &v->tool, tool, n, err);
    rc = rc ? rc : read_cut(v, aios__json_get(root, "cut"), err);
    if (!rc && e->n_parts > 1) {
        rc = set_text(v->heap, &v->note, part_at(e, 1)->text, part_at(e, 1)->n_text, err);
        v->n_note = part_at(e, 1)->n_text;
    }
    aios__json_free(doc);
    return rc;
}

int aios__view_read(const aios_transcript *t, aios__view *v, aios_error *err)
{
    *v = (aios__view){.heap = t->heap, .label = {.integrity = AIOS_LABEL_SYSTEM}};
    uint32_t i = t->n;
    while (i && !aios__entry_is_context(&t->entries[i - 1]->pub))
        i--;
    int rc = i ? read_part(v, &t->entries[i - 1]->pub, err) : AIOS_OK;
    if (rc)
        aios__view_free(v);
    return rc;
}

int aios__view_copy(const aios__view *from, aios__view *to, aios_error *err)
{
    *to = *from;
    to->cut = NULL;
    to->tool = to->note = NULL;
    int rc = set_text(to->heap, &to->tool, from->tool, from->tool ? strlen(from->tool) : 0, err);
    rc = rc ? rc : set_text(to->heap, &to->note, from->note, from->n_note, err);
    to->cut = !rc && from->n_cut ? aios__alloc_array(to->heap, AIOS_MEM_TEXT, from->n_cut, sizeof *to->cut, err) : NULL;
    if (!rc && from->n_cut && !to->cut)
        rc = aios__nomem(err);
    if (to->cut)
        memcpy(to->cut, from->cut, from->n_cut * sizeof *to->cut);
    if (rc)
        aios__view_free(to);
    return rc;
}

void aios__view_free(aios__view *v)
{
    if (!v->heap)
        return;
    aios__free(v->heap, v->cut);
    aios__free(v->heap, v->tool);
    aios__free(v->heap, v->note);
    *v = (aios__view){.heap = v->heap, .label = {.integrity = AIOS_LABEL_SYSTEM}};
}

/* ---- showing ------------------------------------------------------------------------------------------------------ */

bool aios__view_shows(const aios__view *v, const aios_entry *e)
{
    if (aios__entry_is_context(e))
        return false;
    return e->id < v->first || e->id > v->last || e->role == AIOS_ROLE_SYSTEM || (e->id == v->keep && e->role == AIOS_ROLE_USER);
}

bool aios__view_cuts(const aios__view *v, uint64_t id)
{
    uint32_t lo = 0, hi = v->n_cut;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v->cut[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->n_cut && v->cut[lo] == id;
}

/* Where the note is shown: behind the text of the user's entry that was kept, else in front of that of the next one; 0: there is none. */
static uint64_t note_place(const aios_transcript *t, const aios__view *v)
{
    for (uint32_t i = 0; v->note && i < t->n; i++) {
        const aios_entry *e = &t->entries[i]->pub;
        bool kept = e->id == v->keep && v->keep >= v->first && v->keep <= v->last;
        if (e->role == AIOS_ROLE_USER && (kept || (e->id > v->last && aios__view_shows(v, e))))
            return e->id;
    }
    return 0;
}

static void cut_text(const aios__view *v, const aios_part *p, aios__buf *b, aios_error *err)
{
    size_t n = aios__utf8_whole(p->text, HEAD);
    aios__buf_add(b, p->text, n, err);
    aios__buf_addf(b, err, "\n[the first %zu of %zu bytes", n, p->n_text);
    if (v->tool) {
        aios__buf_addf(b, err, "; more by %s {\"call\":", v->tool);
        aios__buf_add_json(b, p->call_id, strlen(p->call_id), err);
        aios__buf_addf(b, err, ",\"offset\":%zu}", n);
    }
    aios__buf_addc(b, ']', err);
}

/* An entry that is shown otherwise than it is; texts of parts lie in the buffer, one behind the other. */
typedef struct changing {
    aios_part *parts;
    size_t *at; /* of the texts that were made; SIZE_MAX: the part's own */
    uint32_t n;
    aios__buf texts;
} changing;

static void add_note(changing *c, const aios__view *v, bool before, aios_error *err)
{
    aios_part *p = &c->parts[c->n];
    *p = (aios_part)AIOS_INIT(aios_part);
    p->kind = AIOS_PART_TEXT;
    c->at[c->n++] = c->texts.n;
    aios__buf_adds(&c->texts, before ? "" : "\n\n", err);
    aios__buf_add(&c->texts, v->note, v->n_note, err);
    aios__buf_adds(&c->texts, before ? "\n\n" : "", err);
}

static void add_parts(changing *c, const aios__view *v, const aios_entry *e, aios_error *err)
{
    bool cuts = e->role == AIOS_ROLE_TOOL && aios__view_cuts(v, e->id);
    for (uint32_t i = 0; i < e->n_parts; i++) {
        const aios_part *p = part_at(e, i);
        c->parts[c->n] = *p;
        c->at[c->n] = SIZE_MAX;
        if (cuts && p->kind == AIOS_PART_RESULT && p->n_text > HEAD) {
            c->at[c->n] = c->texts.n;
            cut_text(v, p, &c->texts, err);
        }
        c->n++;
    }
}

static int place_texts(changing *c)
{
    size_t end = c->texts.n;
    for (uint32_t i = c->n; i-- > 0 && !c->texts.failed;) {
        if (c->at[i] == SIZE_MAX)
            continue;
        c->parts[i].text = c->texts.p + c->at[i];
        c->parts[i].n_text = end - c->at[i];
        end = c->at[i];
    }
    return c->texts.failed;
}

static int change_entry(aios_transcript *t, const aios__view *v, const aios_entry *e, bool noted, aios_error *err)
{
    changing c = {.parts = aios__alloc_array(t->heap, AIOS_MEM_TEXT, (size_t)e->n_parts + 1, sizeof *c.parts, err)};
    c.at = c.parts ? aios__alloc_array(t->heap, AIOS_MEM_TEXT, (size_t)e->n_parts + 1, sizeof *c.at, err) : NULL;
    aios__buf_init(&c.texts, t->heap, AIOS_MEM_TEXT, 0);
    int rc = c.at ? AIOS_OK : aios__nomem(err);
    bool before = e->id != v->keep;
    if (!rc && noted && before)
        add_note(&c, v, true, err);
    if (!rc)
        add_parts(&c, v, e, err);
    if (!rc && noted && !before)
        add_note(&c, v, false, err);
    aios_entry changed = *e;
    changed.parts = c.parts;
    changed.n_parts = c.n;
    changed.part_stride = sizeof *c.parts;
    changed.label = noted ? aios__label_join(e->label, v->label) : e->label;
    rc = rc ? rc : place_texts(&c);
    rc = rc ? rc : aios__transcript_append(t, &changed, NULL, e->id, err);
    aios__buf_free(&c.texts);
    aios__free(t->heap, c.parts);
    aios__free(t->heap, c.at);
    return rc;
}

/* No user's entry is left to show the note in. */
static int note_alone(aios_transcript *t, const aios__view *v, aios_error *err)
{
    aios_part p = AIOS_INIT(aios_part);
    aios_entry e = AIOS_INIT(aios_entry);
    p.kind = AIOS_PART_TEXT;
    p.text = v->note;
    p.n_text = v->n_note;
    e.role = AIOS_ROLE_USER;
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    e.label = v->label;
    return aios__transcript_append(t, &e, NULL, 0, err);
}

static int show_entries(const aios_transcript *t, const aios__view *v, aios_transcript *out, aios_error *err)
{
    uint64_t place = note_place(t, v);
    bool alone = v->note && !place;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < t->n && !rc; i++) {
        const aios_entry *e = &t->entries[i]->pub;
        if (!aios__view_shows(v, e))
            continue;
        if (alone && e->id > v->last && e->role != AIOS_ROLE_SYSTEM) {
            alone = false;
            rc = note_alone(out, v, err);
        }
        bool noted = place && e->id == place, cut = e->role == AIOS_ROLE_TOOL && aios__view_cuts(v, e->id);
        rc = rc ? rc : noted || cut ? change_entry(out, v, e, noted, err) : aios__transcript_share(out, t, i, err);
    }
    return rc || !alone ? rc : note_alone(out, v, err);
}

int aios__view_make(const aios_transcript *t, const aios__view *v, aios_transcript **out, aios_error *err)
{
    *out = NULL;
    aios_transcript *shown;
    int rc = aios_transcript_new(t->ctx, &shown, err);
    if (rc)
        return rc;
    rc = show_entries(t, v, shown, err);
    if (!rc && !shown->n)
        rc = aios__fail(err, AIOS_EINVAL, "the transcript's context part leaves nothing to show the model: drop that entry");
    if (rc) {
        aios_transcript_free(shown);
        return rc;
    }
    *out = shown;
    return AIOS_OK;
}

int aios__view_of(const aios_transcript *t, aios_transcript **out, aios_error *err)
{
    aios__view v;
    *out = NULL;
    uint32_t i = t->n;
    while (i && !aios__entry_is_context(&t->entries[i - 1]->pub))
        i--;
    if (!i)
        return AIOS_OK;
    int rc = aios__view_read(t, &v, err);
    rc = rc ? rc : aios__view_make(t, &v, out, err);
    aios__view_free(&v);
    return rc;
}

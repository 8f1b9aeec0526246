/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reply under a schema, of a backend that cannot hold to it by construction: checked at the end of the turn and, where it does not
 * fit, asked for again with the reason, a bounded number of times. JSON in a fence or between words counts as a reply that only needs to
 * be cut out.
 */
#include "llm/session_priv.h"

#define DEFAULT_REPAIRS 2u
#define MAX_QUOTE ((size_t)64 << 10) /* of a wrong reply that is sent back */

struct aios__promise {
    aios__heap *heap;
    aios__schema *schema;
    uint32_t asked, repairs; /* attempts that were made, and those that are left */
    aios__request_copy copy; /* of the turn's request; the wrong replies go to its transcript */
    aios__buf json;          /* cut out of a reply */
};

int aios__promise_new(aios__heap *h, aios__request *r, aios__promise **out, aios_error *err)
{
    aios__promise *p = aios__alloc(h, AIOS_MEM_TEXT, sizeof *p, err);
    if (!p)
        return aios__nomem(err);
    p->heap = h;
    p->copy.heap = h;
    aios__buf_init(&p->json, h, AIOS_MEM_TEXT, 0);
    uint32_t wanted = r->req.max_repairs;
    p->repairs = r->req.raw || wanted == AIOS_NO_REPAIRS ? 0 : wanted ? wanted : DEFAULT_REPAIRS;
    int rc = p->repairs ? aios__request_copy_make(h, &r->req, &p->copy, err) : AIOS_OK;
    if (rc) {
        aios__promise_free(p);
        return rc;
    }
    p->schema = r->schema;
    r->schema = NULL;
    *out = p;
    return AIOS_OK;
}

void aios__promise_free(aios__promise *p)
{
    if (!p)
        return;
    aios__schema_free(p->schema);
    aios__request_copy_free(&p->copy);
    aios__buf_free(&p->json);
    aios__free(p->heap, p);
}

/* ---- the check ---------------------------------------------------------------------------------------------------- */

static int check(const aios__promise *p, const char *s, size_t n, aios_error *why)
{
    aios__json_doc *doc = NULL;
    int rc = aios__json_parse(p->heap, s, n, &doc, why);
    rc = rc ? rc : aios__schema_check(p->schema, aios__json_root(doc), why);
    aios__json_free(doc);
    return rc;
}

static bool is_wrong(int rc)
{
    return rc == AIOS_ESCHEMA || rc == AIOS_EFORMAT;
}

/* From the first bracket to the last that may close it: what stands between fences or words. */
static bool cut_out(const char *s, size_t n, size_t *from, size_t *len)
{
    size_t a = 0, b = n;
    while (a < n && s[a] != '{' && s[a] != '[')
        a++;
    while (b > a && s[b - 1] != '}' && s[b - 1] != ']')
        b--;
    *from = a;
    *len = b - a;
    return b > a && *len < n;
}

/* ESCHEMA or EFORMAT: the reply is wrong. Else valid JSON is at s + *from, *len bytes. */
static int find_json(const aios__promise *p, const char *s, size_t n, size_t *from, size_t *len, aios_error *err)
{
    aios_error ignored = AIOS_INIT(aios_error);
    *from = 0;
    *len = n;
    int rc = check(p, s, n, err);
    if (!is_wrong(rc) || !cut_out(s, n, from, len))
        return rc;
    int cut = check(p, s + *from, *len, &ignored);
    return is_wrong(cut) ? rc : cut;
}

/* ---- another attempt ---------------------------------------------------------------------------------------------- */

static int add_entry(aios__promise *p, int32_t role, const char *s, size_t n, aios_error *err)
{
    aios_part part = AIOS_INIT(aios_part);
    aios_entry e = AIOS_INIT(aios_entry);
    part.kind = AIOS_PART_TEXT;
    part.text = s;
    part.n_text = n;
    e.role = role;
    e.parts = &part;
    e.n_parts = 1;
    e.part_stride = sizeof part;
    e.label.integrity = AIOS_LABEL_UNTRUSTED; /* the reason quotes the reply */
    return aios_transcript_add(p->copy.transcript, &e, err);
}

/* Tells the model what was wrong: its copy asks again. */
static int repair(aios__promise *p, const char *s, size_t n, const char *why, aios_error *err)
{
    aios__buf ask;
    aios__buf_init(&ask, p->heap, AIOS_MEM_TEXT, 0);
    p->repairs--;
    n = n < MAX_QUOTE ? n : aios__utf8_whole(s, MAX_QUOTE);
    int rc = n ? add_entry(p, AIOS_ROLE_ASSISTANT, s, n, err) : AIOS_OK;
    rc = rc ? rc : aios__buf_addf(&ask, err, "That reply is not valid: %s. Reply again with nothing but JSON that is valid under this JSON schema:\n", why);
    rc = rc ? rc : aios__buf_adds(&ask, p->copy.req.schema_json, err);
    rc = rc ? rc : add_entry(p, AIOS_ROLE_USER, ask.p, ask.n, err);
    aios__buf_free(&ask);
    return rc;
}

int aios__promise_settle(aios__promise *p, const char *backend, const aios__buf *reply, aios__settled *out, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    const char *s = reply->p ? reply->p : "";
    size_t from, n;
    *out = (aios__settled){0};
    p->asked++;
    int rc = find_json(p, s, reply->n, &from, &n, &why);
    if (!rc) {
        out->stands = n == reply->n;
        aios__buf_clear(&p->json);
        rc = out->stands ? AIOS_OK : aios__buf_add(&p->json, s + from, n, err);
        out->json = p->json.p;
        out->n_json = p->json.n;
        return rc;
    }
    if (!is_wrong(rc))
        return aios__error_copy(err, &why);
    if (!p->repairs)
        return aios__fail(err, AIOS_ESCHEMA, "the reply of backend %s does not hold to the schema, asked %u times: %s", backend, p->asked, why.msg);
    out->req = &p->copy.req;
    return repair(p, s, reply->n, why.msg, err);
}

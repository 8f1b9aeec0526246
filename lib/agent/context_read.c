/* SPDX-License-Identifier: Apache-2.0 */
/* The tool that reads results on which the context shows by their beginning alone. The transcript has them whole. */
#include <stdio.h>

#include "agent/agent_priv.h"

#define PIECE ((size_t)2000) /* bytes of one answer */

/* The result of a call, and its label; an id that was used twice: the later one. */
static const aios_part *find_result(const aios_run *r, const char *call_id, aios_label *label)
{
    for (uint32_t i = aios_transcript_count(r->t); i-- > 0;) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(r->t, i, &e);
        for (uint32_t k = 0; k < e.n_parts && e.role == AIOS_ROLE_TOOL; k++)
            if (e.parts[k].kind == AIOS_PART_RESULT && !strcmp(e.parts[k].call_id, call_id)) {
                *label = e.label;
                return &e.parts[k];
            }
    }
    return NULL;
}

static int answer(aios_call *c, const aios_part *p, int64_t offset)
{
    aios__buf b;
    aios_error err = AIOS_INIT(aios_error);
    size_t from = offset < 0 || (uint64_t)offset > p->n_text ? p->n_text : aios__utf8_whole(p->text, (size_t)offset);
    size_t left = p->n_text - from, n = left > PIECE ? aios__utf8_whole(p->text + from, PIECE) : left;
    aios__buf_init(&b, aios__ctx_heap(c->hub->ctx), AIOS_MEM_TEXT, 0);
    aios__buf_add(&b, p->text + from, n, &err);
    if (n < left)
        aios__buf_addf(&b, &err, "\n[bytes %zu to %zu of %zu; go on at offset %zu]", from, from + n, p->n_text, from + n);
    else
        aios__buf_addf(&b, &err, "\n[to the end, %zu bytes]", p->n_text);
    int rc = b.failed;
    aios_call_finish(c, rc, rc ? "there is no memory for it" : b.p, rc ? AIOS_CSTR : b.n);
    aios__buf_free(&b);
    return AIOS_OK;
}

int aios__read_result_fn(void *user, aios_call *c)
{
    AIOS__UNUSED(user);
    aios__json_doc *doc;
    aios_label label;
    char text[160];
    if (!c->run)
        return AIOS_ESTATE;
    int rc = aios__json_parse(aios__ctx_heap(c->hub->ctx), c->args, c->n_args, &doc, NULL);
    if (rc)
        return rc;
    const char *id = aios__json_str(aios__json_get(aios__json_root(doc), "call"), NULL);
    const aios_part *p = id ? find_result(c->run, id, &label) : NULL;
    snprintf(text, sizeof text, "no call \"%.64s\" of this conversation has a result", id ? id : "");
    int64_t offset = aios__json_int(aios__json_get(aios__json_root(doc), "offset"), 0);
    aios__json_free(doc);
    if (!p) {
        aios_call_finish(c, AIOS_ENOENT, text, strlen(text));
        return AIOS_OK;
    }
    c->label = aios__label_join(c->label, label);
    return answer(c, p, offset);
}

int aios_toolset_add_read_result(aios_toolset *ts, aios_error *err)
{
    aios_tool t = AIOS_INIT(aios_tool);
    t.name = AIOS__READ_RESULT;
    t.description = "Reads on in the result of an earlier call of which only the beginning is shown.";
    t.schema_json = "{\"type\":\"object\",\"properties\":{\"call\":{\"type\":\"string\",\"maxLength\":128},\"offset\":{\"type\":\"integer\",\"minimum\":0}},"
                    "\"required\":[\"call\",\"offset\"],\"additionalProperties\":false}";
    t.effect = AIOS_EFFECT_READ;
    t.flags = AIOS_TOOL_TRUSTED; /* its answer is labelled as the result was */
    t.fn = aios__read_result_fn;
    return aios_toolset_add(ts, &t, err);
}

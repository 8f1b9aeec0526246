/* SPDX-License-Identifier: Apache-2.0 */
/* From a transcript to the text of a prompt: the variables of the chat template, or a plain format without one. */
#include <stdio.h>

#include "backend/gguf/gguf.h"

static size_t part_len(const aios_part *p)
{
    return !p->text ? 0 : p->n_text == AIOS_CSTR ? strlen(p->text) : p->n_text;
}

static const aios_part *part_at(const aios_entry *e, uint32_t i)
{
    return (const aios_part *)(const void *)((const char *)e->parts + i * e->part_stride);
}

/* What is being written: the messages so far, and room for texts on their way. */
typedef struct chat {
    const aios__gguf_model *m;
    const aios_request *req;
    aios__buf *out;      /* of the variables, or of the prompt itself */
    aios__buf text, tmp; /* the content of a message; scratch */
    bool tells_tools;    /* the system message must describe the tools */
    uint32_t n;          /* messages written */
} chat;

/* Adds s, guarded, as a JSON string. */
static int add_string(chat *c, const char *s, size_t n, aios_error *err)
{
    aios__buf_clear(&c->tmp);
    int rc = aios__prompt_guard(c->m->vocab, s, n, &c->tmp, err);
    return rc ? rc : aios__buf_add_json(c->out, c->tmp.p ? c->tmp.p : "", c->tmp.n, err);
}

/* Adds a JSON document in canonical form to `to`, so that escapes cannot hide anything from the guard; not JSON: as a string. */
static int add_json(chat *c, const char *s, size_t n, bool guard, aios__buf *to, aios_error *err)
{
    aios__json_doc *doc = NULL;
    aios__buf_clear(&c->tmp);
    int rc = aios__json_parse(c->m->heap, s, n, &doc, NULL);
    if (rc == AIOS_OK)
        rc = aios__json_write(aios__json_root(doc), &c->tmp, err);
    else
        rc = aios__buf_add_json(&c->tmp, s, n, err);
    aios__json_free(doc);
    if (rc)
        return rc;
    return guard ? aios__prompt_guard(c->m->vocab, c->tmp.p, c->tmp.n, to, err) : aios__buf_add(to, c->tmp.p, c->tmp.n, err);
}

/* {"name": ..., "description": ..., "parameters": ...} with the blanks that templates' tojson writes. */
static int add_tool(chat *c, const aios_tool_def *t, bool guard, aios__buf *to, aios_error *err)
{
    const char *schema = t->schema_json ? t->schema_json : "{\"type\":\"object\",\"properties\":{}}";
    int rc = aios__buf_addf(to, err, "{\"name\": \"%s\"", t->name);
    if (!rc && t->description) {
        rc = aios__buf_adds(to, ", \"description\": ", err);
        aios__buf_clear(&c->tmp);
        rc = rc ? rc : guard ? aios__prompt_guard(c->m->vocab, t->description, strlen(t->description), &c->tmp, err)
                             : aios__buf_adds(&c->tmp, t->description, err);
        rc = rc ? rc : aios__buf_add_json(to, c->tmp.p ? c->tmp.p : "", c->tmp.n, err);
    }
    rc = rc ? rc : aios__buf_adds(to, ", \"parameters\": ", err);
    rc = rc ? rc : add_json(c, schema, strlen(schema), guard, to, err);
    return rc ? rc : aios__buf_addc(to, '}', err);
}

static const aios_tool_def *tool_at(const aios_request *req, uint32_t i)
{
    return (const aios_tool_def *)(const void *)((const char *)req->tools + i * req->tool_stride);
}

static bool shows_tools(const aios_request *req)
{
    return req->n_tools > 0;
}

/* The tools as text, for templates that do not know them. */
static int tell_tools(chat *c, aios_error *err)
{
    const aios__call_format *f = c->m->calls;
    int rc = aios__buf_adds(&c->text, c->text.n ? "\n\n# Tools\n\n" : "# Tools\n\n", err);
    rc = rc ? rc : aios__buf_adds(&c->text, "You may call these functions:\n", err);
    for (uint32_t i = 0; !rc && i < c->req->n_tools; i++) {
        rc = add_tool(c, tool_at(c->req, i), false, &c->text, err);
        rc = rc ? rc : aios__buf_addc(&c->text, '\n', err);
    }
    rc = rc ? rc : aios__buf_adds(&c->text, "\nTo call a function, reply with its name and arguments in this form:\n", err);
    rc = rc ? rc : aios__buf_addf(&c->text, err, "%s%s", f->open, f->begin);
    if (f->name_key)
        rc = rc ? rc : aios__buf_addf(&c->text, err, "{\"%s\": \"<function name>\", \"%s\": {<arguments>}}", f->name_key, f->args_key);
    else
        rc = rc ? rc : aios__buf_addf(&c->text, err, "<function name>%s<arguments>", f->mid);
    return rc ? rc : aios__buf_addf(&c->text, err, "%s%s", f->end, f->close);
}

static bool is_json_object(const chat *c, const char *s, size_t n)
{
    aios__json_doc *doc = NULL;
    bool is = !aios__json_parse(c->m->heap, s, n, &doc, NULL) && aios__json_type(aios__json_root(doc)) == AIOS__JSON_OBJECT;
    aios__json_free(doc);
    return is;
}

/* Calls as the model would have written them, for templates that do not know tools. */
static int tell_calls(chat *c, const aios_entry *e, aios_error *err)
{
    aios__call_piece *calls = aios__alloc_array(c->m->heap, AIOS_MEM_SCRATCH, e->n_parts + 1, sizeof *calls, err);
    size_t n = 0;
    if (!calls)
        return aios__no_memory(err);
    for (uint32_t i = 0; i < e->n_parts; i++) {
        const aios_part *p = part_at(e, i);
        size_t len = part_len(p);
        bool is_object = len && is_json_object(c, p->text, len);
        if (p->kind == AIOS_PART_CALL)
            calls[n++] = (aios__call_piece){.name = p->name ? p->name : "", .args = is_object ? p->text : "{}", .n_args = is_object ? len : 2};
    }
    int rc = n && c->text.n ? aios__buf_addc(&c->text, '\n', err) : AIOS_OK;
    rc = rc ? rc : aios__calls_write(c->m->heap, c->m->calls, calls, n, &c->text, err);
    aios__free(c->m->heap, calls);
    return rc;
}

/* Joins the texts of an entry into c->text. */
static int join_text(chat *c, const aios_entry *e, int32_t kind, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = part_at(e, i);
        if (p->kind == kind)
            rc = aios__buf_add(&c->text, p->text, part_len(p), err);
        else if (p->kind >= AIOS_PART_IMAGE && p->kind <= AIOS_PART_DATA)
            rc = aios__fail(err, AIOS_ENOTSUP, "entry %llu has an image, audio or data part, which this model cannot read", (unsigned long long)e->id);
    }
    return rc;
}

/* ---- messages as JSON ------------------------------------------------------------------------------------------- */

static int begin_message(chat *c, const char *role, aios_error *err)
{
    int rc = aios__buf_addf(c->out, err, "%s{\"role\":\"%s\",\"content\":", c->n++ ? "," : "", role);
    return rc ? rc : add_string(c, c->text.p ? c->text.p : "", c->text.n, err);
}

/* A call's number, where the template wants so many letters and digits made to fit: the same one for the same text. */
static int add_id(chat *c, const char *id, aios_error *err)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t want = c->m->calls->id_len, n = strlen(id);
    char made[32];
    if (!want || want >= sizeof made || (n == want && strspn(id, letters) == n))
        return add_string(c, id, n, err);
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)id[i]) * UINT64_C(1099511628211);
    for (size_t i = 0; i < want; i++, h /= 62)
        made[i] = letters[h % 62];
    return add_string(c, made, want, err);
}

static int add_calls(chat *c, const aios_entry *e, aios_error *err)
{
    uint32_t n = 0;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = part_at(e, i);
        if (p->kind != AIOS_PART_CALL)
            continue;
        size_t len = part_len(p);
        rc = aios__buf_adds(c->out, n++ ? ",{\"type\":\"function\",\"id\":" : ",\"tool_calls\":[{\"type\":\"function\",\"id\":", err);
        rc = rc ? rc : add_id(c, p->call_id ? p->call_id : "", err);
        rc = rc ? rc : aios__buf_adds(c->out, ",\"function\":{\"name\":", err);
        rc = rc ? rc : add_string(c, p->name ? p->name : "", p->name ? strlen(p->name) : 0, err);
        rc = rc ? rc : aios__buf_adds(c->out, ",\"arguments\":", err);
        rc = rc ? rc : add_json(c, len ? p->text : "{}", len ? len : 2, true, c->out, err);
        rc = rc ? rc : aios__buf_adds(c->out, "}}", err);
    }
    return rc || !n ? rc : aios__buf_addc(c->out, ']', err);
}

static int add_assistant(chat *c, const aios_entry *e, aios_error *err)
{
    int rc = join_text(c, e, AIOS_PART_TEXT, err);
    if (!c->m->tmpl_tools)
        rc = rc ? rc : tell_calls(c, e, err);
    rc = rc ? rc : begin_message(c, "assistant", err);
    aios__buf_clear(&c->text);
    rc = rc ? rc : join_text(c, e, AIOS_PART_REASONING, err);
    if (!rc && c->text.n) {
        rc = aios__buf_adds(c->out, ",\"reasoning_content\":", err);
        rc = rc ? rc : add_string(c, c->text.p, c->text.n, err);
    }
    rc = rc || !c->m->tmpl_tools ? rc : add_calls(c, e, err);
    return rc ? rc : aios__buf_addc(c->out, '}', err);
}

/* Results: a message each where the template knows tools, else one message of the user's with all of them. */
static int add_results(chat *c, const aios_entry *e, aios_error *err)
{
    const char *open = c->m->calls->result_open, *close = c->m->calls->result_close;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = part_at(e, i);
        if (p->kind != AIOS_PART_RESULT && p->kind != AIOS_PART_TEXT)
            continue;
        if (!c->m->tmpl_tools) {
            rc = aios__buf_adds(&c->text, c->text.n ? "\n" : "", err);
            rc = rc ? rc : aios__buf_adds(&c->text, open ? open : "", err);
            rc = rc ? rc : aios__buf_add(&c->text, p->text, part_len(p), err);
            rc = rc ? rc : aios__buf_adds(&c->text, close ? close : "", err);
            continue;
        }
        aios__buf_clear(&c->text);
        rc = aios__buf_add(&c->text, p->text, part_len(p), err);
        rc = rc ? rc : begin_message(c, "tool", err);
        rc = rc ? rc : aios__buf_adds(c->out, ",\"name\":", err);
        rc = rc ? rc : add_string(c, p->name ? p->name : "", p->name ? strlen(p->name) : 0, err);
        rc = rc ? rc : aios__buf_adds(c->out, ",\"tool_call_id\":", err);
        rc = rc ? rc : add_id(c, p->call_id ? p->call_id : "", err);
        rc = rc ? rc : aios__buf_addc(c->out, '}', err);
    }
    return rc;
}

static int end_results(chat *c, aios_error *err)
{
    int rc = c->text.n ? begin_message(c, "user", err) : AIOS_OK;
    return rc || !c->text.n ? rc : aios__buf_addc(c->out, '}', err);
}

static int add_message(chat *c, const aios_entry *e, aios_error *err)
{
    if (e->role == AIOS_ROLE_ASSISTANT)
        return add_assistant(c, e, err);
    int rc = join_text(c, e, AIOS_PART_TEXT, err);
    if (!rc && c->tells_tools && e->role == AIOS_ROLE_SYSTEM) {
        rc = tell_tools(c, err);
        c->tells_tools = false;
    }
    rc = rc ? rc : begin_message(c, e->role == AIOS_ROLE_SYSTEM ? "system" : "user", err);
    return rc ? rc : aios__buf_addc(c->out, '}', err);
}

static int add_messages(chat *c, aios_error *err)
{
    const aios_transcript *t = c->req->transcript;
    aios_entry e = AIOS_INIT(aios_entry);
    uint32_t n = aios_transcript_count(t);
    int rc = n ? aios_transcript_at(t, 0, &e) : AIOS_OK;
    c->tells_tools = shows_tools(c->req) && !c->m->tmpl_tools;
    if (!rc && c->tells_tools && e.role != AIOS_ROLE_SYSTEM) {
        rc = aios__buf_adds(&c->text, "You are a helpful assistant.", err);
        rc = rc ? rc : tell_tools(c, err);
        rc = rc ? rc : begin_message(c, "system", err);
        rc = rc ? rc : aios__buf_addc(c->out, '}', err);
        c->tells_tools = false;
    }
    for (uint32_t i = 0; !rc && i < n; i++) {
        e = (aios_entry)AIOS_INIT(aios_entry);
        rc = aios_transcript_at(t, i, &e);
        aios__buf_clear(&c->text);
        if (rc || e.role != AIOS_ROLE_TOOL) {
            rc = rc ? rc : add_message(c, &e, err);
            continue;
        }
        /* results that follow each other belong together */
        rc = add_results(c, &e, err);
        while (!rc && i + 1 < n && !aios_transcript_at(t, i + 1, &e) && e.role == AIOS_ROLE_TOOL) {
            rc = add_results(c, &e, err);
            i++;
        }
        if (!rc && !c->m->tmpl_tools)
            rc = end_results(c, err);
    }
    return rc;
}

static int add_tools(chat *c, aios_error *err)
{
    int rc = aios__buf_adds(c->out, "],\"tools\":[", err);
    for (uint32_t i = 0; !rc && i < c->req->n_tools; i++) {
        rc = aios__buf_adds(c->out, i ? ",{\"type\":\"function\",\"function\":" : "{\"type\":\"function\",\"function\":", err);
        rc = rc ? rc : add_tool(c, tool_at(c->req, i), true, c->out, err);
        rc = rc ? rc : aios__buf_addc(c->out, '}', err);
    }
    return rc;
}

static int add_token(chat *c, const char *key, int32_t id, aios_error *err)
{
    size_t n = 0;
    const char *s = id >= 0 ? aios__vocab_piece(c->m->vocab, id, &n) : "";
    int rc = aios__buf_addf(c->out, err, ",\"%s\":", key);
    return rc ? rc : aios__buf_add_json(c->out, s, n, err);
}

static int add_vars(chat *c, bool reply, aios_error *err)
{
    int rc = aios__buf_adds(c->out, "{\"messages\":[", err);
    rc = rc ? rc : add_messages(c, err);
    rc = rc || !(shows_tools(c->req) && c->m->tmpl_tools) ? rc : add_tools(c, err);
    rc = rc ? rc : aios__buf_addf(c->out, err, "],\"add_generation_prompt\":%s", reply ? "true" : "false");
    rc = rc ? rc : add_token(c, "bos_token", aios__vocab_bos(c->m->vocab), err);
    rc = rc ? rc : add_token(c, "eos_token", aios__vocab_eos(c->m->vocab), err);
    return rc ? rc : aios__buf_addc(c->out, '}', err);
}

static int render_template(chat *c, const aios__buf *vars, aios__buf *out, aios_error *err)
{
    const aios_env *env = aios__ctx_env(c->m->ctx);
    aios__json_doc *doc = NULL;
    int rc = aios__json_parse(c->m->heap, vars->p, vars->n, &doc, err);
    rc = rc ? rc : aios__template_render(c->m->tmpl, aios__json_root(doc), NULL, env->wall_us(env->user), out, err);
    aios__json_free(doc);
    return rc;
}

/* ---- without a template ------------------------------------------------------------------------------------------- */

static int plain_text(chat *c, const aios__json *msg, aios_error *err)
{
    size_t n_role = 0, n = 0;
    const char *role = aios__json_str(aios__json_get(msg, "role"), &n_role), *text = aios__json_str(aios__json_get(msg, "content"), &n);
    const char *name = role && role[0] == 's' ? "" : role && role[0] == 'a' ? "Assistant: " : "User: ";
    int rc = aios__buf_adds(c->out, name, err);
    rc = rc || !text ? rc : aios__buf_add(c->out, text, n, err);
    return rc ? rc : aios__buf_adds(c->out, "\n\n", err);
}

/* "User: ... Assistant: ..." for models that were never trained on chats; the texts in vars are guarded already. */
static int render_plain(chat *c, const aios__buf *vars, bool reply, aios__buf *out, aios_error *err)
{
    aios__json_doc *doc = NULL;
    int rc = aios__json_parse(c->m->heap, vars->p, vars->n, &doc, err);
    const aios__json *list = rc ? NULL : aios__json_get(aios__json_root(doc), "messages");
    c->out = out;
    for (size_t i = 0; !rc && i < aios__json_count(list); i++)
        rc = plain_text(c, aios__json_at(list, i), err);
    aios__json_free(doc);
    return rc || !reply ? rc : aios__buf_adds(out, "Assistant:", err);
}

int aios__chat_render(const aios__gguf_model *m, const aios_request *req, bool reply, aios__buf *out, aios_error *err)
{
    aios__buf vars;
    chat c = {.m = m, .req = req, .out = &vars};
    aios__buf_init(&vars, m->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&c.text, m->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&c.tmp, m->heap, AIOS_MEM_TEXT, 0);
    int rc = add_vars(&c, reply, err);
    if (!rc)
        rc = m->tmpl ? render_template(&c, &vars, out, err) : render_plain(&c, &vars, reply, out, err);
    aios__buf_free(&vars);
    aios__buf_free(&c.text);
    aios__buf_free(&c.tmp);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A reply on its way up: llm/callparse.c tells text, reasoning and calls apart; here is when a grammar takes over, or the reply begins anew. */
#include "backend/gguf/gguf.h"
#include "llm/grammar_calls.h"

/* ---- what the parser sends ---------------------------------------------------------------------------------------------- */

static int send_text(void *user, const char *s, size_t n)
{
    const aios_sink *to = ((const aios__reply *)user)->sink;
    return to->text(to->user, s, n);
}

static int send_reasoning(void *user, const char *s, size_t n)
{
    const aios_sink *to = ((const aios__reply *)user)->sink;
    return to->reasoning(to->user, s, n);
}

static int send_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    const aios_sink *to = ((const aios__reply *)user)->sink;
    return to->call(to->user, name, args, n, id);
}

static int begin_call(void *user, const char *name, const char *id)
{
    const aios__reply *r = user;
    return r->sink->call_delta(r->sink->user, name, "", 0, id);
}

static int send_args(void *user, const char *s, size_t n)
{
    const aios__reply *r = user;
    return r->sink->call_delta(r->sink->user, r->parse.name.p, s, n, NULL);
}

/* 1: the argument's strings stand as they are. */
static int is_text(void *user, const char *tool, const char *key)
{
    const aios__buf *b = &((const aios__reply *)user)->texts;
    for (size_t i = 0; i < b->n;) {
        const char *name = b->p + i, *arg = name + strlen(name) + 1;
        if (!strcmp(name, tool) && !strcmp(arg, key))
            return 1;
        i = (size_t)(arg - b->p) + strlen(arg) + 1;
    }
    return 0;
}

void aios__reply_init(aios__reply *r, const aios__gguf_model *m, const aios_sink *sink)
{
    memset(r, 0, sizeof *r);
    r->sink = sink;
    r->up = (aios__call_sink){.user = r, .text = send_text, .reasoning = send_reasoning, .call = send_call};
    aios__callparse_init(&r->parse, m->heap, m->calls, m->think, &r->up);
    r->parse.pause = r->parse.no_bare = true;
    aios__buf_init(&r->held, m->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&r->calls, m->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&r->texts, m->heap, AIOS_MEM_TEXT, 0);
}

void aios__reply_free(aios__reply *r)
{
    aios__callparse_free(&r->parse);
    aios__buf_free(&r->held);
    aios__buf_free(&r->calls);
    aios__buf_free(&r->texts);
}

int aios__reply_add_stop(aios__reply *r, const char *s, aios_error *err)
{
    return aios__buf_add(&r->parse.stops, s, strlen(s) + 1, err);
}

/* Notes which arguments of a tool are written without quotes. */
static int add_texts(aios__reply *r, const aios_tool_def *t, aios_error *err)
{
    aios__json_doc *doc = NULL;
    const char *key;
    const aios__json *v;
    int rc = aios__json_parse(r->texts.heap, t->schema_json, strlen(t->schema_json), &doc, NULL);
    if (rc) /* the grammar says what is wrong with it */
        return rc == AIOS_ENOMEM || rc == AIOS_EBUDGET ? aios__fail(err, rc, "no memory for the schema of tool %.64s", t->name) : AIOS_OK;
    const aios__json *props = aios__json_get(aios__json_root(doc), "properties");
    for (void *it = aios__json_iter(props, NULL, &key, &v); !rc && it; it = aios__json_iter(props, it, &key, &v)) {
        if (!aios__arg_is_text(v))
            continue;
        rc = aios__buf_add(&r->texts, t->name, strlen(t->name) + 1, err);
        rc = rc ? rc : aios__buf_add(&r->texts, key, strlen(key) + 1, err);
    }
    aios__json_free(doc);
    return rc;
}

int aios__reply_watch(aios__reply *r, const aios_request *req, aios_error *err)
{
    int rc = AIOS_OK;
    r->watch = true;
    if (req->flags & AIOS_REQUEST_CALL_DELTAS && r->sink->call_delta) {
        r->up.begin = begin_call;
        r->up.args = send_args;
    }
    for (uint32_t i = 0; !rc && r->parse.f->args == AIOS__ARGS_TAGS && i < req->n_tools; i++) {
        const aios_tool_def *t = (const aios_tool_def *)(const void *)((const char *)req->tools + i * req->tool_stride);
        rc = t->name && t->schema_json ? add_texts(r, t, err) : AIOS_OK;
    }
    r->parse.is_text = is_text;
    r->parse.tools = r;
    return rc;
}

/* ---- a call without its opener ------------------------------------------------------------------------------------------- */

static size_t count_blanks(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && aios__is_blank(s[i]))
        i++;
    return i;
}

/* Moves *i over what; 1: it is there, 0: it is not, -1: the text ends inside it. */
static int match(const char *s, size_t n, size_t *i, const char *what)
{
    for (; *what; what++, (*i)++) {
        if (*i == n)
            return -1;
        if (s[*i] != *what)
            return 0;
    }
    return 1;
}

/*
 * Small models often write a call as bare or fenced JSON: blanks, "```json", {, "name", : and a quote. 1: that is what the text
 * begins with, 0: it is not, -1: it may still become that.
 */
static int match_bare(const aios__reply *r)
{
    enum { MOST = 200 };
    const char *s = r->held.p, *key = r->parse.f->name_key;
    size_t n = r->held.n, i = count_blanks(s, n);
    int rc;
    if (n > MOST)
        return 0;
    if (i < n && s[i] == '`') {
        if ((rc = match(s, n, &i, "```")) < 1)
            return rc;
        if (i < n && !aios__is_blank(s[i]) && s[i] != '{' && (rc = match(s, n, &i, "json")) < 1)
            return rc;
    }
    const char *const parts[] = {"{", "\"", key ? key : "name", "\"", ":", "\""};
    for (size_t k = 0; k < AIOS__ARRAY_LEN(parts); k++) {
        if (k != 2 && k != 3)
            i += count_blanks(s + i, n - i);
        if ((rc = match(s, n, &i, parts[k])) < 1)
            return rc;
    }
    return 1;
}

/* ---- bytes in -------------------------------------------------------------------------------------------------------------- */

/* Calls as far as their text is there. */
static int read_calls(aios__reply *r, aios_error *err)
{
    r->parse.pause = r->parse.no_bare = r->parse.no_calls = r->parse.only_opener = false;
    int rc = r->calls.n ? aios__callparse_add(&r->parse, r->calls.p, r->calls.n, NULL, err) : AIOS_OK;
    aios__buf_clear(&r->calls);
    return rc;
}

/* An opener has come; s is what follows it. */
static int open_calls(aios__reply *r, const char *s, size_t n, aios_error *err)
{
    bool retry = r->cut_calls && !r->parse.any;
    int rc = AIOS_OK;
    if (!r->cut_calls) {
        rc = aios__callparse_pending(&r->parse, &r->calls, err);
        rc = rc ? rc : aios__buf_add(&r->calls, s, n, err);
    }
    aios__callparse_reset(&r->parse, AIOS__PARSE_TEXT);
    r->state = retry ? AIOS__REPLY_RETRY : r->cut_calls ? AIOS__REPLY_OVER : AIOS__REPLY_CALLS;
    return rc;
}

static int read_text(aios__reply *r, const char *s, size_t n, aios_error *err)
{
    size_t used = 0;
    r->parse.no_calls = !r->watch;
    r->parse.only_opener = r->cut_calls;
    int rc = aios__callparse_add(&r->parse, s, n, &used, err);
    if (rc)
        return rc;
    if (r->parse.opened)
        return open_calls(r, s + used, n - used, err);
    r->state = r->parse.state == AIOS__PARSE_OVER ? AIOS__REPLY_OVER : r->parse.state == AIOS__PARSE_THINK ? AIOS__REPLY_THINK : AIOS__REPLY_TEXT;
    return AIOS_OK;
}

/* One byte while nothing but reasoning has come. */
static int read_first(aios__reply *r, char c, aios_error *err)
{
    if (r->state == AIOS__REPLY_THINK)
        return read_text(r, &c, 1, err);
    int rc = aios__buf_addc(&r->held, c, err), bare = rc ? 0 : match_bare(r);
    if (rc || bare < 0)
        return rc;
    if (bare) {
        aios__buf_clear(&r->held);
        aios__callparse_reset(&r->parse, AIOS__PARSE_TEXT);
        r->may_call = false;
        r->state = AIOS__REPLY_RETRY;
        return AIOS_OK;
    }
    rc = read_text(r, r->held.p, r->held.n, err);
    aios__buf_clear(&r->held);
    r->may_call = r->state == AIOS__REPLY_THINK || (r->parse.may_think && r->parse.held.n);
    return rc;
}

int aios__reply_add(aios__reply *r, const char *s, size_t n, aios_error *err)
{
    int rc = AIOS_OK;
    if (r->state == AIOS__REPLY_CALLS) {
        rc = aios__buf_add(&r->calls, s, n, err);
        return rc ? rc : read_calls(r, err);
    }
    if (r->state == AIOS__REPLY_THINK && r->parse.state == AIOS__PARSE_TEXT)
        r->parse.state = AIOS__PARSE_THINK; /* the prompt has opened it */
    for (; !rc && n && r->may_call && r->state <= AIOS__REPLY_THINK; s++, n--)
        rc = read_first(r, *s, err);
    if (rc || !n)
        return rc;
    if (r->state == AIOS__REPLY_CALLS)
        return aios__buf_add(&r->calls, s, n, err);
    return r->state > AIOS__REPLY_CALLS ? AIOS_OK : read_text(r, s, n, err);
}

bool aios__reply_is_blank(const aios__reply *r)
{
    return r->state == AIOS__REPLY_TEXT && !r->parse.any && !r->parse.held.n && count_blanks(r->held.p, r->held.n) == r->held.n;
}

int aios__reply_finish(aios__reply *r, aios_error *err)
{
    int rc = AIOS_OK;
    if (r->state == AIOS__REPLY_CALLS)
        rc = read_calls(r, err);
    else if (r->held.n)
        rc = read_text(r, r->held.p, r->held.n, err);
    aios__buf_clear(&r->held);
    if (rc || r->state == AIOS__REPLY_RETRY)
        return rc;
    rc = aios__callparse_finish(&r->parse, err);
    if (!rc && r->calls.n) /* a schema's value that could also have become a call */
        rc = r->sink->text(r->sink->user, r->calls.p, r->calls.n);
    return rc;
}

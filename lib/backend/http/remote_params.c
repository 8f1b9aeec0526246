/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters that a model takes or not: learnt from its refusals instead of from lists of names, which age. What a turn can do without is
 * left out of the request, which is sent again at once, and stays left out for this model. What keeps a promise, or is what the turn is about, stays in,
 * and the turn fails: a bound of tokens, which costs money, "store", by which a provider is asked to forget, logprobs.
 */
#include <ctype.h>
#include <strings.h>

#include "backend/http/quirks.h"
#include "backend/http/remote_priv.h"

/* Members at the top of requests; the row of `instead` must exist. At most 32, one bit each. */
static const struct {
    const char *name;
    const char *instead; /* says the same to others, and must; NULL: the turn does without */
    bool keep;           /* the turn does not do without: only the promise that a schema is strict goes */
    const char *element; /* of the array that the member is: it alone is left out */
    const char *word;    /* a refusal without it does not mean this row; NULL: each does */
    bool object;         /* the schema is said again as that of a "json_object" */
} rows[] = {
    {.name = "max_tokens", .instead = "max_completion_tokens"}, /* "Use 'max_completion_tokens' instead.": o1 and later */
    {.name = "max_completion_tokens", .instead = "max_tokens"},
    {.name = "temperature"}, /* "Only the default (1) value is supported.": langchaingo#1355 */
    {.name = "top_p"},
    {.name = "top_k"},
    {.name = "min_p"},
    {.name = "repeat_penalty"},
    {.name = "repetition_penalty"},
    {.name = "frequency_penalty"},
    {.name = "presence_penalty"},
    {.name = "seed"},
    {.name = "stream_options"}, /* Mistral's, formerly: openai-agents-python#442 */
    {.name = "parallel_tool_calls"},
    {.name = "include", .element = "reasoning.encrypted_content", .word = "ncrypted"}, /* "Encrypted content is not supported with this model." */
    {.name = "include", .element = "message.output_text.logprobs", .word = "logprobs", .keep = true},
    {.name = "include", .element = "reasoning.encrypted_content"}, /* before "reasoning"; refused by a server that does not know the member */
    {.name = "reasoning_effort"},
    {.name = "reasoning"},
    {.name = "response_format", .word = "'text' or 'json_object'", .object = true}, /* llama-cpp-python: llama_types.py */
    {.name = "response_format"}, /* the reply is checked here too, and asked for again */
    {.name = "text"},            /* likewise, of the Responses API */
    {.name = "nvext"},
    {.name = "tools", .keep = true},
};

/* Words of refusals that mean the parameter, not its value of this turn. */
static const char *const refusals[] = {
    "unsupported", "not support", "unrecognized", "unknown", "unexpected", "extra", "not permitted", "not allowed", "deprecated",
    "missing field", "'literal_error'" /* pydantic: a word that is none of those it knows */,
    "must be 'json_schema' or 'text'", "invalid schema", "invalid_json_schema", "must be verified",
};

static bool is_refusal(const char *s)
{
    for (size_t i = 0; s && i < AIOS__ARRAY_LEN(refusals); i++)
        if (strcasestr(s, refusals[i]))
            return true;
    return false;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* True if the message names the parameter as one: quoted, or behind a colon. */
static bool names(const char *message, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = strstr(message, name); p; p = strstr(p + 1, name)) {
        bool whole = p > message && !is_word(p[-1]) && !is_word(p[n]);
        bool quoted = whole && strchr("'\"`", p[-1]) && strchr("'\"`.[", p[n]);
        if (quoted || (whole && p - message >= 2 && p[-1] == ' ' && p[-2] == ':'))
            return true;
    }
    return false;
}

/* Of several elements that a message names, the one that is refused stands in front. */
static bool first_of(uint32_t row, const char *message)
{
    const char *at = strstr(message, rows[row].word);
    for (uint32_t i = 0; at && i < AIOS__ARRAY_LEN(rows); i++) {
        const char *other = rows[i].word && !strcmp(rows[i].name, rows[row].name) ? strstr(message, rows[i].word) : NULL;
        if (other && other < at)
            return false;
    }
    return at;
}

uint32_t aios__param_refused(const aios__fault *f)
{
    const char *param = f->param && *f->param ? f->param : NULL, *message = f->message ? f->message : "";
    if (!is_refusal(f->code) && !is_refusal(message))
        return 0;
    for (uint32_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].name);
        bool said = param ? !strncmp(param, rows[i].name, n) && !is_word(param[n]) : strcmp(rows[i].name, "text") && names(message, rows[i].name);
        said = said || (rows[i].element && rows[i].word && !param && names(message, rows[i].element));
        if (said && (!rows[i].word || first_of(i, message)))
            return i + 1;
    }
    return 0;
}

const char *aios__param_name(uint32_t param)
{
    return !param || param > AIOS__ARRAY_LEN(rows) ? "?" : rows[param - 1].element ? rows[param - 1].element : rows[param - 1].name;
}

/* ---- editing a request -------------------------------------------------------------------------------------------- */

/* The end of the JSON value, or key, that begins at s; the text is one that an encoder wrote. */
static const char *skip(const char *s, const char *end)
{
    int depth = 0;
    for (bool quoted = false; s < end; s++) {
        if (quoted) {
            quoted = *s != '"';
            s += *s == '\\';
        } else if (*s == '"') {
            quoted = true;
        } else if (*s == '{' || *s == '[') {
            depth++;
        } else if (*s == '}' || *s == ']') {
            if (!depth--)
                return s;
        } else if ((*s == ',' || *s == ':') && !depth) {
            return s;
        }
    }
    return end;
}

typedef struct member {
    char *key, *value, *end; /* of the value */
} member;

/* The member of the object in b, or false. */
static bool find_member(const aios__buf *b, const char *name, member *out)
{
    const char *end = b->p + b->n;
    size_t n = strlen(name);
    for (const char *s = b->p + 1; s < end && *s == '"';) {
        const char *colon = skip(s, end), *after = colon < end ? skip(colon + 1, end) : end;
        if ((size_t)(colon - s) == n + 2 && !memcmp(s + 1, name, n)) {
            *out = (member){b->p + (s - b->p), b->p + (colon + 1 - b->p), b->p + (after - b->p)};
            return true;
        }
        s = after < end ? after + 1 : end;
    }
    return false;
}

static void cut(aios__buf *b, char *from, const char *to)
{
    size_t rest = (size_t)(b->p + b->n - to);
    memmove(from, to, rest + 1);
    b->n = (size_t)(from - b->p) + rest;
}

static void cut_member(aios__buf *b, const member *m)
{
    if (*m->end == ',')
        cut(b, m->key, m->end + 1);
    else
        cut(b, m->key[-1] == ',' ? m->key - 1 : m->key, m->end);
}

/* The string in the array that the member is. False: it is not there. */
static bool cut_element(aios__buf *b, member *m, const char *element)
{
    size_t n = strlen(element);
    for (char *s = m->value + 1; s + n + 2 < m->end; s++)
        if (*s == '"' && !memcmp(s + 1, element, n) && s[n + 1] == '"') {
            char *to = s + n + 2, *from = s[-1] == ',' ? s - 1 : s;
            to += *to == ',' && from == s;
            m->end -= to - from;
            cut(b, from, to);
            return true;
        }
    return false;
}

/* A schema that the provider does not take as strict is taken as one that is only a wish. */
static bool loosen(const aios__buf *b, const member *m)
{
    static const char strict[] = AIOS__STRICT "true", loose[] = AIOS__STRICT "null";
    bool any = false;
    AIOS__UNUSED(b);
    for (char *s = m->value; s + sizeof strict <= m->end; s++)
        if (!memcmp(s, strict, sizeof strict - 1)) {
            memcpy(s, loose, sizeof loose - 1);
            any = true;
        }
    return any;
}

static bool is_refused(const aios__remote *m, const char *name)
{
    uint32_t refused = atomic_load(&m->refused);
    for (uint32_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].name, name))
            return refused >> i & 1;
    return false;
}

/* AIOS_AGAIN if the request is another now. */
static int leave_out(const aios__remote *m, uint32_t i, aios__buf *b, aios_error *err)
{
    member old, other;
    const char *instead = rows[i].instead;
    if (!find_member(b, rows[i].name, &old) || rows[i].keep || (instead && (is_refused(m, instead) || find_member(b, instead, &other))))
        return AIOS_OK;
    if (rows[i].element && !cut_element(b, &old, rows[i].element))
        return AIOS_OK;
    if (!instead) {
        if (!rows[i].element || old.value[1] == ']')
            cut_member(b, &old);
        return AIOS_AGAIN;
    }
    aios__buf value;
    aios__buf_init(&value, b->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__buf_add(&value, old.value, (size_t)(old.end - old.value), err);
    if (!rc) {
        cut_member(b, &old);
        cut(b, b->p + b->n - 1, b->p + b->n); /* the brace at the end */
        aios__put_raw(b, instead, value.p, err);
        rc = aios__buf_addc(b, '}', err);
    }
    aios__buf_free(&value);
    return rc ? rc : AIOS_AGAIN;
}

/* The schema in response_format goes by another name, `head` in front of it, from now on. AIOS_OK: there is none. */
static int restate(aios__remote *m, aios__buf *b, const member *old, const char *name, const char *head, uint32_t quirk, aios_error *err)
{
    aios__buf value = {.p = old->value, .n = (size_t)(old->end - old->value)}, text;
    member form, schema;
    if (!find_member(&value, "json_schema", &form))
        return AIOS_OK;
    value = (aios__buf){.p = form.value, .n = (size_t)(form.end - form.value)};
    if (!find_member(&value, "schema", &schema))
        return AIOS_OK;
    aios__buf_init(&text, b->heap, AIOS_MEM_TEXT, 0);
    aios__buf_adds(&text, head, err);
    aios__buf_add(&text, schema.value, (size_t)(schema.end - schema.value), err);
    int rc = aios__buf_addc(&text, '}', err);
    if (!rc) {
        cut_member(b, old);
        cut(b, b->p + b->n - 1, b->p + b->n); /* the brace at the end */
        aios__put_raw(b, name, text.p, err);
        rc = aios__buf_addc(b, '}', err);
        atomic_fetch_or(&m->server.quirks, quirk);
    }
    aios__buf_free(&text);
    return rc ? rc : AIOS_AGAIN;
}

/* Where response_format is refused, but the server has another name for it: that of a NIM is NVIDIA's own extension. */
static int rename_schema(aios__remote *m, uint32_t row, aios__buf *b, const member *old, aios_error *err)
{
    if (rows[row].object)
        return restate(m, b, old, "response_format", "{\"type\":\"json_object\",\"schema\":", AIOS__QUIRK_FORMAT_SCHEMA, err);
    if (strcmp(rows[row].name, "response_format") != 0 || !(atomic_load(&m->server.quirks) & AIOS__QUIRK_NVEXT))
        return AIOS_OK;
    return restate(m, b, old, "nvext", "{\"guided_json\":", AIOS__QUIRK_GUIDED, err);
}

int aios__params_omit(const aios__remote *m, aios__buf *body, aios_error *err)
{
    uint32_t refused = atomic_load(&m->refused);
    int rc = AIOS_OK;
    for (uint32_t i = 0; rc >= 0 && i < AIOS__ARRAY_LEN(rows); i++)
        if (refused >> i & 1)
            rc = leave_out(m, i, body, err);
    return rc < 0 ? rc : AIOS_OK;
}

int aios__param_refuse(aios__remote *m, uint32_t param, aios__buf *body, aios_error *err)
{
    member old;
    if (!param || !find_member(body, rows[param - 1].name, &old))
        return AIOS_OK;
    if (!rows[param - 1].object && loosen(body, &old)) {
        atomic_fetch_or(&m->server.quirks, AIOS__QUIRK_LOOSE);
        return AIOS_AGAIN;
    }
    int renamed = rename_schema(m, param - 1, body, &old, err);
    if (renamed)
        return renamed;
    int rc = leave_out(m, param - 1, body, err);
    if (rc == AIOS_AGAIN)
        atomic_fetch_or(&m->refused, UINT32_C(1) << (param - 1));
    return rc;
}

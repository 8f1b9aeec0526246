/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters that a model takes or not: learnt from its refusals instead of from lists of names, which age. What a turn can do without is
 * left out of the request, which is sent again at once, and stays left out for this model. What keeps a promise stays in, and the turn fails:
 * a bound of tokens, which costs money, and "store", by which a provider is asked to forget.
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
} rows[] = {
    {"max_tokens", "max_completion_tokens", false}, /* "Use 'max_completion_tokens' instead.": o1 and later */
    {"max_completion_tokens", "max_tokens", false},
    {"temperature", NULL, false}, /* "Only the default (1) value is supported.": langchaingo#1355 */
    {"top_p", NULL, false},
    {"top_k", NULL, false},
    {"min_p", NULL, false},
    {"repeat_penalty", NULL, false},
    {"repetition_penalty", NULL, false},
    {"frequency_penalty", NULL, false},
    {"presence_penalty", NULL, false},
    {"seed", NULL, false},
    {"stream_options", NULL, false}, /* Mistral's, formerly: openai-agents-python#442 */
    {"parallel_tool_calls", NULL, false},
    {"reasoning_effort", NULL, false},
    {"reasoning", NULL, false},
    {"response_format", NULL, false}, /* the reply is checked here too, and asked for again */
    {"text", NULL, false},            /* likewise, of the Responses API */
    {"include", NULL, false},         /* "Encrypted content is not supported with this model." */
    {"tools", NULL, true},
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

uint32_t aios__param_refused(const aios__fault *f)
{
    const char *param = f->param && *f->param ? f->param : NULL, *message = f->message ? f->message : "";
    if (!is_refusal(f->code) && !is_refusal(message))
        return 0;
    for (uint32_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].name);
        if (param ? !strncmp(param, rows[i].name, n) && !is_word(param[n]) : strcmp(rows[i].name, "text") && names(message, rows[i].name))
            return i + 1;
    }
    return 0;
}

const char *aios__param_name(uint32_t param)
{
    return param && param <= AIOS__ARRAY_LEN(rows) ? rows[param - 1].name : "?";
}

/* ---- editing a request -------------------------------------------------------------------------------------------- */

/* The end of the JSON value, or key, that begins at s; the text is one that an encoder wrote. */
static const char *skip(const char *s, const char *end)
{
    int depth = 0;
    for (bool quoted = false; s < end; s++) {
        if (quoted) {
            s += *s == '\\';
            quoted = s < end && *s != '"';
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
    if (!instead) {
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
    if (loosen(body, &old)) {
        atomic_fetch_or(&m->server.quirks, AIOS__QUIRK_LOOSE);
        return AIOS_AGAIN;
    }
    int rc = leave_out(m, param - 1, body, err);
    if (rc == AIOS_AGAIN)
        atomic_fetch_or(&m->refused, UINT32_C(1) << (param - 1));
    return rc;
}

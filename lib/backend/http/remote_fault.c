/* SPDX-License-Identifier: Apache-2.0 */
/* What a failure means: providers' words beside our codes. */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "backend/http/remote_priv.h"

/* Words of `type` and `code` fields; the first row that is part of either counts. */
static const struct {
    const char *word;
    int code;
} words[] = {
    {"context_length_exceeded", AIOS_ECONTEXT},
    {"context_window_exceeded", AIOS_ECONTEXT},
    {"exceed_context_size_error", AIOS_ECONTEXT},
    {"string_above_max_length", AIOS_ECONTEXT},
    {"insufficient_quota", AIOS_EQUOTA},
    {"spend_limit", AIOS_EQUOTA},
    {"billing", AIOS_EQUOTA},
    {"rate_limit", AIOS_ERATE},
    {"RESOURCE_EXHAUSTED", AIOS_ERATE},
    {"overloaded", AIOS_EUNAVAIL},
    {"UNAVAILABLE", AIOS_EUNAVAIL},
    {"content_filter", AIOS_EFILTERED},
    {"content_policy", AIOS_EFILTERED},
    {"policy_violation", AIOS_EFILTERED},
    {"invalid_prompt", AIOS_EFILTERED},
    {"invalid_api_key", AIOS_EAUTH},
    {"API_KEY_INVALID", AIOS_EAUTH},
    {"authentication", AIOS_EAUTH},
    {"permission", AIOS_EAUTH},
    {"UNAUTHENTICATED", AIOS_EAUTH},
    {"model_not_found", AIOS_ENOENT},
    {"not_found", AIOS_ENOENT},
    {"server_error", AIOS_EUNAVAIL},
    {"api_error", AIOS_EUNAVAIL},
    {"timeout", AIOS_ETIMEDOUT},
    {"DEADLINE_EXCEEDED", AIOS_ETIMEDOUT},
};

/* Phrases of messages that speak of a context that is too small, whatever the field of the code says. tests/unit/http has whole messages. */
static const char *const overflow_phrases[] = {
    "maximum context length", "context length",     "context size",      "context window",   "context limit",    "prompt is too long",
    "prompt too long",        "input token count",  "input tokens exceed", "too many tokens", "maximum number of tokens",
    "maximum prompt length",  "model token limit",  "`max_new_tokens` must be", "`inputs` must have", "exceeds the maximum allowed length",
    "n_ctx",                  "input is too long",      "the context holds",
};

/* What stands in front of the size of the context, and of what was asked for; the first that a number follows counts. */
static const char *const have_phrases[] = {
    "maximum context length is", "maximum context length of", "context size", "context length of", "context length (", "too large for model with",
    "configured limit of",       "maximum prompt length is",  "n_ctx: ",      "n_ctx (",          "token limit:",     "must be <= ",
    "must have less than",       "maximum allowed length",    "tokens allowed", "context window of", "> ",              "limit of",         "the context holds",
};
static const char *const need_phrases[] = {
    "for a total of", "requested a total of", "(requested:",  "is too large:", "you requested", "resulted in",  "your request has",
    "prompt contains", "request contains",    "request (",    "input (",       "input length (", "token count", "keep the first",
    "n_keep: ",        "n_keep (",            "context limit: ", "too long: ",  "given: ",        "the prompt has",
};

static bool says(const char *text, const char *word)
{
    return text && strcasestr(text, word);
}

/* The member of the request that a server of FastAPI did not take, told as a failure of its own (500) by llama-cpp-python; not ended by a NUL. NULL: none. */
static const char *misfit(const aios__fault *f)
{
    static const char place[] = "'loc': ('body', '";
    const char *s = f->message ? strstr(f->message, place) : NULL;
    return s ? s + sizeof place - 1 : NULL;
}

static int code_of(const aios__fault *f)
{
    int by_status = f->status ? aios__http_code(f->status) : AIOS_EUNAVAIL;
    bool client = by_status == AIOS_EINVAL || by_status == AIOS_ELIMIT || !f->status || by_status == AIOS_EUNAVAIL;
    for (size_t i = 0; client && i < AIOS__ARRAY_LEN(overflow_phrases); i++)
        if (says(f->message, overflow_phrases[i]))
            return AIOS_ECONTEXT;
    if (f->status == 500 && misfit(f))
        return AIOS_EINVAL;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(words); i++)
        if (says(f->type, words[i].word) || says(f->code, words[i].word))
            return words[i].code;
    return by_status == AIOS_OK ? AIOS_EPROTO : by_status;
}

/* Reads digits, with commas between groups of them; *s behind them. */
static uint64_t read_number(const char **s)
{
    uint64_t v = 0;
    for (; isdigit((unsigned char)**s) || (**s == ',' && isdigit((unsigned char)(*s)[1])); ++*s)
        v = **s == ',' || v > UINT64_MAX / 16 ? v : v * 10 + (uint64_t)(**s - '0');
    return v;
}

/* The number behind a phrase, with words such as "only" or "about" and a bracket between; *s behind it. 0: none is there. */
static uint64_t number_behind(const char **s)
{
    const char *p = *s;
    while (isalpha((unsigned char)*p) || *p == ' ' || *p == '(')
        p++;
    if (!isdigit((unsigned char)*p) || p - *s > 16)
        return 0;
    uint64_t v = read_number(&p);
    *s = p;
    return v;
}

/* "178959 + 64000 > 200000" (Anthropic), "3894 `inputs` tokens and 1000 `max_new_tokens`" (TGI): both parts were asked for. */
static uint64_t number_added(const char *s)
{
    static const char *const joints[] = {" + ", " `inputs` tokens and "};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(joints); i++) {
        size_t n = strlen(joints[i]);
        if (!strncmp(s, joints[i], n)) {
            s += n;
            return isdigit((unsigned char)*s) ? read_number(&s) : 0;
        }
    }
    return 0;
}

static uint64_t find_number(const char *message, const char *const *phrases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *s = strcasestr(message, phrases[i]);
        for (; s; s = strcasestr(s, phrases[i])) {
            s += strlen(phrases[i]);
            uint64_t v = number_behind(&s);
            if (v)
                return v + number_added(s);
        }
    }
    return 0;
}

/* Both numbers of an overflow, as fields of their own say them or the message does. */
static void overflow_numbers(const aios__fault *f, uint64_t *have, uint64_t *need)
{
    const char *message = f->message ? f->message : "";
    *have = f->have ? f->have : find_number(message, have_phrases, AIOS__ARRAY_LEN(have_phrases));
    *need = f->need ? f->need : find_number(message, need_phrases, AIOS__ARRAY_LEN(need_phrases));
    if (*need <= *have)
        *need = 0;
}

/* At most 300 bytes of it, on one line. */
static size_t one_line(char out[301], const char *said)
{
    size_t n = aios__utf8_whole(said, strnlen(said, 300));
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)said[i] < 0x20 ? ' ' : said[i];
    out[n] = 0;
    return n;
}

int aios__fault_fail(const aios__server *s, const aios__fault *f, aios_error *err)
{
    int code = code_of(f);
    uint64_t have = 0, need = 0;
    const char *said = f->message && *f->message ? f->message : f->code && *f->code ? f->code : f->type && *f->type ? f->type : "no reason given";
    char line[301];
    size_t n = one_line(line, said);
    said = line;
    if (code == AIOS_ECONTEXT)
        overflow_numbers(f, &have, &need);
    if (f->status == 404)
        return aios__fail_need(err, code, have, need, "%s answered 404: %.*s (below %.200s: is the path of the API in it, such as /v1, and the model's name right?)", s->host, (int)n,
                               said, s->base_url);
    if (f->status)
        return aios__fail_need(err, code, have, need, "%s answered %d: %.*s", s->host, f->status, (int)n, said);
    return aios__fail_need(err, code, have, need, "%s broke off: %.*s", s->host, (int)n, said);
}

/* A body that no dialect knows: JSON says something, a page of HTML does not. */
static const char *words_of(const aios__buf *body, int status)
{
    const char *p = body->p ? body->p : "";
    return *p == '{' || *p == '[' ? p : aios_strerror(aios__http_code(status));
}

int aios__fault_read(const aios__server *s, int status, const aios__buf *body, uint32_t *param, aios_error *err)
{
    aios__json_doc *doc = NULL;
    aios__fault f = {0};
    bool found = body->n && !aios__json_parse(body->heap, body->p, body->n, &doc, NULL) && s->dialect->fault(aios__json_root(doc), &f);
    if (!found)
        f = (aios__fault){0};
    if (!f.message || !*f.message)
        f.message = words_of(body, status);
    f.status = status;
    if (!f.param || !*f.param)
        f.param = misfit(&f);
    int rc = aios__fault_fail(s, &f, err);
    if (param)
        *param = rc == AIOS_EINVAL ? aios__param_refused(&f) : 0;
    aios__json_free(doc);
    return rc;
}

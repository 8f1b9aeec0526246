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
    {"exceed_context_size_error", AIOS_ECONTEXT},
    {"string_above_max_length", AIOS_ECONTEXT},
    {"insufficient_quota", AIOS_EQUOTA},
    {"billing", AIOS_EQUOTA},
    {"rate_limit", AIOS_ERATE},
    {"RESOURCE_EXHAUSTED", AIOS_ERATE},
    {"overloaded", AIOS_EUNAVAIL},
    {"UNAVAILABLE", AIOS_EUNAVAIL},
    {"content_filter", AIOS_EFILTERED},
    {"content_policy", AIOS_EFILTERED},
    {"invalid_api_key", AIOS_EAUTH},
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

/* Phrases of messages that speak of a context that is too small, whatever the field of the code says. */
static const char *const overflow_phrases[] = {
    "maximum context length", "context length", "context size", "context window", "prompt is too long", "input token count", "too many tokens", "maximum number of tokens",
};

static bool says(const char *text, const char *word)
{
    return text && strcasestr(text, word);
}

static int code_of(const aios__fault *f)
{
    int by_status = f->status ? aios__http_code(f->status) : AIOS_EUNAVAIL;
    bool client = by_status == AIOS_EINVAL || by_status == AIOS_ELIMIT || !f->status || by_status == AIOS_EUNAVAIL;
    for (size_t i = 0; client && i < AIOS__ARRAY_LEN(overflow_phrases); i++)
        if (says(f->message, overflow_phrases[i]))
            return AIOS_ECONTEXT;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(words); i++)
        if (says(f->type, words[i].word) || says(f->code, words[i].word))
            return words[i].code;
    return by_status == AIOS_OK ? AIOS_EPROTO : by_status;
}

/* The numbers of a message, digits with commas between groups: at most `max`, those above 15 in value. */
static size_t numbers_in(const char *s, uint64_t *out, size_t max)
{
    size_t n = 0;
    while (s && *s && n < max) {
        if (!isdigit((unsigned char)*s)) {
            s++;
            continue;
        }
        uint64_t v = 0;
        for (; isdigit((unsigned char)*s) || (*s == ',' && isdigit((unsigned char)s[1])); s++)
            v = *s == ',' || v > UINT64_MAX / 16 ? v : v * 10 + (uint64_t)(*s - '0');
        if (v > 15)
            out[n++] = v;
    }
    return n;
}

/* Both numbers of an overflow: the smallest that the message names is what there is, the largest what was asked for. */
static void overflow_numbers(const char *message, uint64_t *have, uint64_t *need)
{
    uint64_t v[8];
    size_t n = numbers_in(message, v, AIOS__ARRAY_LEN(v));
    *have = *need = 0;
    for (size_t i = 0; i < n; i++) {
        *have = !*have || v[i] < *have ? v[i] : *have;
        *need = v[i] > *need ? v[i] : *need;
    }
    if (*have == *need)
        *need = 0;
}

int aios__fault_fail(const aios__server *s, const aios__fault *f, aios_error *err)
{
    int code = code_of(f);
    uint64_t have = 0, need = 0;
    const char *said = f->message && *f->message ? f->message : f->code && *f->code ? f->code : f->type && *f->type ? f->type : "no reason given";
    size_t n = aios__utf8_whole(said, strnlen(said, 300));
    if (code == AIOS_ECONTEXT)
        overflow_numbers(f->message, &have, &need);
    if (f->status)
        return aios__fail_need(err, code, have, need, "%s answered %d: %.*s", s->host, f->status, (int)n, said);
    return aios__fail_need(err, code, have, need, "%s broke off: %.*s", s->host, (int)n, said);
}

int aios__fault_read(const aios__server *s, int status, const aios__buf *body, aios_error *err)
{
    aios__json_doc *doc = NULL;
    aios__fault f = {0};
    bool found = body->n && !aios__json_parse(body->heap, body->p, body->n, &doc, NULL) && s->dialect->fault(aios__json_root(doc), &f);
    if (!found)
        f = (aios__fault){.message = aios_strerror(aios__http_code(status))};
    f.status = status;
    int rc = aios__fault_fail(s, &f, err);
    aios__json_free(doc);
    return rc;
}

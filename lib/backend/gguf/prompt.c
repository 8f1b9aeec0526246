/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From prompt text to tokens. The template's own special tokens become tokens; the same texts inside a message stay text: a
 * mark is put into them while the prompt is made and taken out when it is cut into tokens.
 */
#include "backend/gguf/gguf.h"
#include "backend/gguf/vocab_priv.h"

/* U+FDD0, a code point that is never text. */
#define MARK "\xef\xb7\x90"
enum { MARK_LEN = 3 };

/* The first control token at or behind `from`; those a user may write are skipped. */
static bool find_control(const aios__vocab *v, const char *s, size_t n, size_t from, size_t *at, int32_t *id)
{
    while (aios__special_find(v, s, n, from, true, at, id)) {
        if (aios__vocab_type(v, *id) != AIOS__TOKEN_USER)
            return true;
        from = *at + vocab_text(v, (uint32_t)*id).n;
    }
    return false;
}

/* Adds text with its marks doubled. */
static int add_doubled(const char *s, size_t n, aios__buf *out, aios_error *err)
{
    int rc = AIOS_OK;
    while (n && !rc) {
        const char *mark = memmem(s, n, MARK, MARK_LEN);
        size_t len = mark ? (size_t)(mark - s) + MARK_LEN : n;
        rc = aios__buf_add(out, s, len, err);
        if (!rc && mark)
            rc = aios__buf_add(out, MARK, MARK_LEN, err);
        s += len;
        n -= len;
    }
    return rc;
}

int aios__prompt_guard(const aios__vocab *v, const char *s, size_t n, aios__buf *out, aios_error *err)
{
    size_t pos = 0, at;
    int32_t id;
    int rc = AIOS_OK;
    while (!rc && find_control(v, s, n, pos, &at, &id)) {
        uint32_t cp;
        size_t first = aios__utf8_decode(s + at, n - at, &cp);
        first = first ? first : 1;
        rc = add_doubled(s + pos, at - pos + first, out, err);
        rc = rc ? rc : aios__buf_add(out, MARK, MARK_LEN, err);
        pos = at + first;
    }
    return rc ? rc : add_doubled(s + pos, n - pos, out, err);
}

int aios__prompt_strip(const char *s, size_t n, aios__buf *out, aios_error *err)
{
    int rc = AIOS_OK;
    while (n && !rc) {
        const char *mark = memmem(s, n, MARK, MARK_LEN);
        size_t len = mark ? (size_t)(mark - s) : n;
        rc = aios__buf_add(out, s, len, err);
        if (!mark)
            break;
        s += len + MARK_LEN;
        n -= len + MARK_LEN;
        if (n >= MARK_LEN && !memcmp(s, MARK, MARK_LEN)) {
            rc = rc ? rc : aios__buf_add(out, MARK, MARK_LEN, err);
            s += MARK_LEN;
            n -= MARK_LEN;
        }
    }
    return rc;
}

int aios__prompt_tokens(const aios__vocab *v, const char *s, size_t n, aios__ids *out, aios_error *err)
{
    aios__buf plain;
    aios__buf_init(&plain, v->heap, AIOS_MEM_TEXT, 0);
    int32_t bos = aios__vocab_bos(v), id = -1;
    size_t pos = 0, at;
    int rc = AIOS_OK;
    bool has_bos = bos >= 0 && find_control(v, s, n, 0, &at, &id) && at == 0 && id == bos;
    if (bos >= 0 && aios__vocab_adds_bos(v) && !has_bos)
        rc = aios__ids_add(out, bos, err);
    while (!rc && pos < n) {
        bool found = find_control(v, s, n, pos, &at, &id);
        at = found ? at : n;
        aios__buf_clear(&plain);
        rc = aios__prompt_strip(s + pos, at - pos, &plain, err);
        if (!rc && plain.n)
            rc = aios__vocab_encode(v, plain.p, plain.n, 0, out, err);
        if (!rc && found)
            rc = aios__ids_add(out, id, err);
        pos = at + (found ? vocab_text(v, (uint32_t)id).n : 0);
    }
    aios__buf_free(&plain);
    return rc;
}

/* The text ends with s, perhaps with a line end behind it. */
static bool ends_with(const aios__buf *b, const char *s)
{
    size_t n = strlen(s), end = b->n && b->p[b->n - 1] == '\n' ? b->n - 1 : b->n;
    return end >= n && !memcmp(b->p + end - n, s, n);
}

/* The reply's first token is under a grammar already. */
static bool is_bound(const aios_request *req)
{
    bool calls = req->n_tools && (req->tool_choice == AIOS_TOOLS_REQUIRED || req->tool_choice == AIOS_TOOLS_NAMED);
    return calls || req->schema_json || req->grammar;
}

int aios__prompt_make(const aios__gguf_model *m, const aios_request *req, bool reply, aios__ids *out, bool *thinks, aios_error *err)
{
    *thinks = false;
    if (req->raw)
        return aios__vocab_encode(m->vocab, req->raw, req->n_raw, AIOS_TOKENIZE_SPECIAL | AIOS_TOKENIZE_BOS, out, err);
    aios__buf text;
    aios__buf_init(&text, m->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__chat_render(m, req, reply, &text, err);
    bool opens = !rc && reply && ends_with(&text, m->think->open);
    if (opens && is_bound(req)) { /* there is no room for reasoning: what the template has opened is closed */
        rc = aios__buf_adds(&text, m->think->finish, err);
        opens = false;
    }
    rc = rc ? rc : aios__prompt_tokens(m->vocab, text.p ? text.p : "", text.n, out, err);
    *thinks = !rc && opens;
    aios__buf_free(&text);
    return rc;
}

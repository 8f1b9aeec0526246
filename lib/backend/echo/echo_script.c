/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "backend/echo/echo_priv.h"
#include "base/json.h"

#define MAX_LINES 100000u
#define MAX_SCRIPT ((size_t)4 << 20)

static const char *const verbs[ECHO_VERBS] = {"say", "think", "echo", "result", "call", "delay", "fail", "stop", "junk", "turn", "loop", "set"};

void aios__echo_script_free(aios__echo_script *s)
{
    aios__buf_free(&s->bytes);
    aios__free(s->heap, s->lines);
    s->lines = NULL;
}

/* Appends n bytes and a NUL to the script's bytes; *at is where. */
static int keep(aios__echo_script *s, const char *p, size_t n, size_t *at, aios_error *err)
{
    *at = s->bytes.n;
    aios__buf_add(&s->bytes, p, n, err);
    return aios__buf_addc(&s->bytes, 0, err);
}

static int add_line(aios__echo_script *s, const aios__echo_line *line, aios_error *err)
{
    if (s->n_lines == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 16;
        if (cap > MAX_LINES)
            return aios__fail(err, AIOS_ELIMIT, "an echo script has at most %u statements", MAX_LINES);
        aios__echo_line *p = aios__realloc(s->heap, AIOS_MEM_TEXT, s->lines, cap * sizeof *p, err);
        if (!p)
            return aios__nomem(err);
        s->lines = p;
        s->cap = cap;
    }
    s->lines[s->n_lines++] = *line;
    if (line->turn >= s->n_turns)
        s->n_turns = line->turn + 1;
    return AIOS_OK;
}

static int find_verb(const char *s, size_t n)
{
    for (int i = 0; i < ECHO_VERBS; i++)
        if (strlen(verbs[i]) == n && !memcmp(verbs[i], s, n))
            return i;
    return -1;
}

static int find_code(const char *s, size_t n)
{
    static const int codes[] = {
#define X(name, number, text) number,
        AIOS_CODES(X)
#undef X
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(codes); i++) {
        const char *name = aios_code_name(codes[i]);
        if (codes[i] < 0 && strlen(name) == n && !memcmp(name, s, n))
            return codes[i];
    }
    return 0;
}

static int read_number(const char *s, size_t n, int64_t max, const char *what, int64_t *out, aios_error *err)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || *out > max)
            return aios__fail(err, AIOS_EINVAL, "echo script: %s needs a number from 0 to %lld", what, (long long)max);
        *out = *out * 10 + (s[i] - '0');
    }
    if (!n || *out > max)
        return aios__fail(err, AIOS_EINVAL, "echo script: %s needs a number from 0 to %lld", what, (long long)max);
    return AIOS_OK;
}

/* ---- statements --------------------------------------------------------------------------------------------------- */

static size_t word_len(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] != ' ' && s[i] != ';')
        i++;
    return i;
}

static size_t skip_blanks(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t'))
        i++;
    return i;
}

/* Bytes up to the ";" that ends a statement: not one that is escaped, nor, in arguments, one inside quotes. */
static size_t statement_len(const char *s, size_t n, bool json)
{
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\')
            i++;
        else if (json && s[i] == '"')
            quoted = !quoted;
        else if (s[i] == ';' && !quoted)
            return i;
    }
    return n;
}

static int keep_unescaped(aios__echo_script *s, const char *p, size_t n, aios__echo_line *line, aios_error *err)
{
    line->text = s->bytes.n;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '\\' && i + 1 < n)
            c = p[++i] == 'n' ? '\n' : p[i];
        aios__buf_addc(&s->bytes, c, err);
    }
    line->n_text = s->bytes.n - line->text;
    return aios__buf_addc(&s->bytes, 0, err);
}

static int set_key(aios__echo_script *s, const char *p, size_t n, aios_error *err)
{
    size_t key = word_len(p, n), gap = skip_blanks(p + key, n - key);
    int64_t v;
    int rc = read_number(p + key + gap, n - key - gap, 1000000000, "set", &v, err);
    if (rc)
        return rc;
    if (key == 5 && !memcmp(p, "n_ctx", 5))
        s->n_ctx = (uint32_t)v;
    else if (key == 4 && !memcmp(p, "slow", 4))
        s->slow_ns = v * 1000000;
    else
        return aios__fail(err, AIOS_EINVAL, "echo script: set knows n_ctx and slow, not \"%.*s\"", (int)(key < 32 ? key : 32), p);
    return AIOS_OK;
}

/* The part of a statement behind its verb, blanks at both ends removed. */
static int read_rest(aios__echo_script *s, aios__echo_line *line, const char *p, size_t n, aios_error *err)
{
    size_t w = word_len(p, n), gap = skip_blanks(p + w, n - w);
    const char *rest = p + w + gap;
    size_t n_rest = n - w - gap;
    int rc = AIOS_OK;
    switch (line->verb) {
    case ECHO_SET:
        return set_key(s, p, n, err);
    case ECHO_DELAY:
        return read_number(p, n, 3600000, "delay", &line->number, err);
    case ECHO_CALL:
        if (!w)
            return aios__fail(err, AIOS_EINVAL, "echo script: call needs a name");
        rc = keep(s, p, w, &line->name, err);
        line->n_text = n_rest ? n_rest : 2;
        return rc ? rc : keep(s, n_rest ? rest : "{}", line->n_text, &line->text, err);
    case ECHO_FAIL:
        line->number = find_code(p, w);
        if (!line->number)
            return aios__fail(err, AIOS_EINVAL, "echo script: fail needs a code like EIO, not \"%.*s\"", (int)(w < 32 ? w : 32), p);
        return keep_unescaped(s, rest, n_rest, line, err);
    default:
        return keep_unescaped(s, p, n, line, err);
    }
}

static int put_line(aios__echo_script *s, aios__echo_line *line, bool *after_call, uint32_t *turn, aios_error *err)
{
    if (line->verb == ECHO_LOOP)
        s->loop = true;
    if (line->verb == ECHO_LOOP || line->verb == ECHO_SET)
        return AIOS_OK;
    if (line->verb == ECHO_TURN) {
        ++*turn;
        *after_call = false;
        return AIOS_OK;
    }
    *turn += *after_call && line->verb != ECHO_CALL;
    *after_call = line->verb == ECHO_CALL;
    line->turn = *turn;
    return add_line(s, line, err);
}

static int read_script(aios__echo_script *s, const char *p, size_t n, aios_error *err)
{
    bool after_call = false;
    uint32_t turn = 0;
    for (size_t i = 0; i < n;) {
        i += skip_blanks(p + i, n - i);
        size_t w = word_len(p + i, n - i);
        if (!w) {
            i++; /* an empty statement */
            continue;
        }
        int verb = find_verb(p + i, w);
        if (verb < 0)
            return aios__fail(err, AIOS_EINVAL,
                              "echo script, byte %zu: \"%.*s\" is no statement: use say, think, echo, result, call, delay, fail, stop, junk, turn, "
                              "loop or set, with \";\" between them",
                              i, (int)(w < 32 ? w : 32), p + i);
        i += w;
        i += skip_blanks(p + i, n - i);
        size_t len = statement_len(p + i, n - i, verb == ECHO_CALL), end = len;
        while (end && p[i + end - 1] == ' ')
            end--;
        aios__echo_line line = {.verb = (enum echo_verb)verb};
        int rc = read_rest(s, &line, p + i, end, err);
        if (!rc)
            rc = put_line(s, &line, &after_call, &turn, err);
        if (rc)
            return rc;
        i += len;
    }
    return AIOS_OK;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static int json_call(aios__echo_script *s, const aios__json *v, aios__echo_line *line, aios_error *err)
{
    const aios__json *args = aios__json_get(v, "arguments");
    const char *text = aios__json_str(args, NULL); /* text: wrong on purpose */
    line->text = s->bytes.n;
    if (text)
        aios__buf_adds(&s->bytes, text, err);
    else if (args)
        aios__json_write(args, &s->bytes, err);
    else
        aios__buf_adds(&s->bytes, "{}", err);
    line->n_text = s->bytes.n - line->text;
    return aios__buf_addc(&s->bytes, 0, err);
}

static int json_line(aios__echo_script *s, uint32_t turn, const aios__json *v, aios_error *err)
{
    const char *key;
    const aios__json *arg;
    if (!aios__json_iter(v, NULL, &key, &arg))
        return aios__fail(err, AIOS_EFORMAT, "echo script: a statement must be an object like {\"say\":\"...\"}");
    int verb = find_verb(key, strlen(key));
    size_t n = 0;
    const char *text = aios__json_str(arg, &n);
    if (verb < 0 || verb == ECHO_TURN || verb == ECHO_LOOP || verb == ECHO_SET)
        return aios__fail(err, AIOS_EFORMAT, "echo script: \"%.32s\" is no statement of a turn", key);
    aios__echo_line line = {.verb = (enum echo_verb)verb, .turn = turn};
    int rc = AIOS_OK;
    if (verb == ECHO_CALL) {
        rc = keep(s, text ? text : "", text ? n : 0, &line.name, err);
        if (!rc)
            rc = json_call(s, v, &line, err);
    } else if (verb == ECHO_DELAY) {
        line.number = aios__json_int(arg, -1);
        if (line.number < 0 || line.number > 3600000)
            return aios__fail(err, AIOS_EFORMAT, "echo script: delay needs a number from 0 to 3600000");
    } else {
        if (verb == ECHO_FAIL) {
            line.number = text ? find_code(text, n) : 0;
            if (!line.number)
                return aios__fail(err, AIOS_EFORMAT, "echo script: fail needs a code like \"EIO\"");
            text = aios__json_str(aios__json_get(v, "text"), &n);
        }
        line.n_text = text ? n : 0;
        rc = keep(s, text ? text : "", line.n_text, &line.text, err);
    }
    return rc ? rc : add_line(s, &line, err);
}

static int read_json(aios__echo_script *s, const char *p, size_t n, aios_error *err)
{
    aios__json_doc *doc;
    int rc = aios__json_parse(s->heap, p, n, &doc, err);
    if (rc)
        return rc;
    const aios__json *root = aios__json_root(doc), *turns = aios__json_get(root, "turns");
    int64_t n_ctx = aios__json_int(aios__json_get(root, "n_ctx"), 0), slow = aios__json_int(aios__json_get(root, "slow"), 0);
    if (aios__json_type(turns) != AIOS__JSON_ARRAY || n_ctx < 0 || n_ctx > 1000000000 || slow < 0 || slow > 1000000)
        rc = aios__fail(err, AIOS_EFORMAT, "echo script: needs {\"turns\":[[...],...]}; n_ctx and slow, if given, are whole numbers from 0");
    s->n_ctx = (uint32_t)n_ctx;
    s->slow_ns = slow * 1000000;
    s->loop = aios__json_type(aios__json_get(root, "loop")) == AIOS__JSON_TRUE;
    for (uint32_t t = 0; !rc && t < aios__json_count(turns); t++) {
        const aios__json *turn = aios__json_at(turns, t);
        for (size_t i = 0; !rc && i < aios__json_count(turn); i++)
            rc = json_line(s, t, aios__json_at(turn, i), err);
    }
    aios__json_free(doc);
    return rc;
}

int aios__echo_script_read(aios_ctx *ctx, const char *path, aios__echo_script *s, aios_error *err)
{
    memset(s, 0, sizeof *s);
    s->heap = aios__ctx_heap(ctx);
    aios__buf_init(&s->bytes, s->heap, AIOS_MEM_TEXT, MAX_SCRIPT);
    int rc;
    if (path[0] == '@') {
        aios__buf file;
        aios__buf_init(&file, s->heap, AIOS_MEM_TEXT, MAX_SCRIPT);
        rc = aios__buf_add_file(&file, aios__ctx_env(ctx), path + 1, "echo script", err);
        if (!rc)
            rc = read_json(s, file.p, file.n, err);
        aios__buf_free(&file);
    } else {
        rc = read_script(s, path, strlen(path), err);
    }
    if (!rc && s->bytes.failed)
        rc = aios__fail(err, s->bytes.failed, "echo script: %s", aios_strerror(s->bytes.failed));
    if (rc)
        aios__echo_script_free(s);
    return rc;
}

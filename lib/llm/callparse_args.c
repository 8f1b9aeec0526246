/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of a call, as they come: JSON is made compact, other syntaxes become JSON. */
#include "llm/callparse.h"

#include <string.h>

enum { FIELD_NONE, FIELD_SKIP, FIELD_NAME, FIELD_ID, FIELD_ARGS, FIELD_ARGS_TEXT };
enum { KEY_MAX = 256 };

static int is_key(const aios__callparse *p, const char *a, const char *const *more)
{
    bool is = a && p->key.n == strlen(a) && !memcmp(p->key.p, a, p->key.n);
    for (; !is && *more; more++)
        is = p->key.n == strlen(*more) && !memcmp(p->key.p, *more, p->key.n);
    return is;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------- */

/* Adds a JSON text without its blanks; 1: it is whole, 0: it is not JSON. */
static int add_compact(const char *s, size_t n, aios__buf *out, aios_error *err)
{
    aios__push push = {0};
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < n; i++) {
        int flags = aios__push_byte(&push, (uint8_t)s[i]);
        if (flags < 0)
            return 0;
        rc = flags & AIOS__PUSH_BLANK ? AIOS_OK : aios__buf_addc(out, s[i], err);
    }
    return rc ? rc : aios__push_whole(&push);
}

int aios__callparse_json(aios__callparse *p, char c, aios_error *err)
{
    if (!p->push.depth && c != '{' && !aios__is_blank(c))
        return aios__callparse_fail(p, err);
    if (!p->begun && p->push.depth == 0) {
        int rc = aios__callparse_begin(p, err);
        if (rc || !p->begun)
            return rc;
    }
    int flags = aios__push_byte(&p->push, (uint8_t)c);
    if (flags < 0)
        return aios__callparse_fail(p, err);
    int rc = flags & AIOS__PUSH_BLANK ? AIOS_OK : aios__buf_addc(&p->args, c, err);
    return rc || !(flags & AIOS__PUSH_END) || p->push.depth ? rc : aios__callparse_done(p, err);
}

/* ---- {"name": ..., "arguments": ...} -------------------------------------------------------------------------------------- */

static const char *const name_keys[] = {"name", "tool_name", "function", NULL}, *const args_keys[] = {"arguments", "parameters", NULL},
    *const id_keys[] = {"id", "call_id", "tool_call_id", NULL}, *const other_keys[] = {"type", "index", NULL};

/* A member's value begins with c: what it is. -1: the object is no call. */
static int choose_field(aios__callparse *p, char c)
{
    if (is_key(p, p->f->name_key, name_keys)) {
        if (c == '{' && is_key(p, "function", other_keys + 2)) {
            p->level = (uint8_t)(p->level + 1);
            return p->level > 2 ? -1 : FIELD_NONE;
        }
        return c == '"' && !p->has_name ? FIELD_NAME : -1;
    }
    if (is_key(p, p->f->args_key, args_keys)) {
        int field = c == '{' ? FIELD_ARGS : c == '"' ? FIELD_ARGS_TEXT : c == 'n' ? FIELD_SKIP : -1;
        bool again = p->has_args;
        p->has_args = true;
        return again ? -1 : field;
    }
    if (is_key(p, p->f->id_key, id_keys))
        return c == '"' && !p->id.n ? FIELD_ID : FIELD_SKIP;
    return p->bare && !is_key(p, NULL, other_keys) ? -1 : FIELD_SKIP;
}

static int end_args_text(aios__callparse *p, aios_error *err)
{
    aios__buf_clear(&p->key);
    int rc = aios__push_unescape(p->val.p, p->val.n, &p->key, err);
    if (!rc && !p->key.n)
        return AIOS_OK;
    int whole = rc ? rc : add_compact(p->key.p, p->key.n, &p->args, err);
    if (whole < 0)
        return whole;
    return whole && p->args.p[0] == '{' ? AIOS_OK : aios__callparse_fail(p, err);
}

/* The value of p->field is there. */
static int end_field(aios__callparse *p, aios_error *err)
{
    uint8_t field = p->field;
    int rc = AIOS_OK;
    p->field = FIELD_NONE;
    if (field == FIELD_ARGS_TEXT)
        return end_args_text(p, err);
    if (field == FIELD_ID) {
        bool outside = p->f->id_len || !p->f->id_key || strcmp(p->f->id_key, id_keys[2]);
        return outside && p->val.n <= 64 && !memchr(p->val.p ? p->val.p : "", '\\', p->val.n) ? aios__buf_add(&p->id, p->val.p, p->val.n, err) : rc;
    }
    if (field != FIELD_NAME)
        return rc;
    p->has_name = true;
    rc = aios__push_unescape(p->val.p, p->val.n, &p->name, err);
    return rc || (p->bare && !p->has_args) ? rc : aios__callparse_begin(p, err);
}

static int end_object(aios__callparse *p, aios_error *err)
{
    if (!p->has_name || (p->bare && !p->has_args))
        return aios__callparse_fail(p, err);
    int rc = p->args.n ? AIOS_OK : aios__buf_adds(&p->args, "{}", err);
    return rc ? rc : aios__callparse_done(p, err);
}

static int begin_member(aios__callparse *p, char c, aios_error *err)
{
    int field = choose_field(p, c);
    if (field < 0)
        return aios__callparse_fail(p, err);
    p->field = (uint8_t)field;
    aios__buf_clear(&p->val);
    if (p->bare && p->has_name && p->has_args && !p->begun)
        return aios__callparse_begin(p, err);
    return AIOS_OK;
}

/* What byte c of the call's own object is part of. */
static int use_byte(aios__callparse *p, char c, int flags, aios_error *err)
{
    bool begin = flags & AIOS__PUSH_BEGIN, end = flags & AIOS__PUSH_END, text = flags & AIOS__PUSH_TEXT;
    unsigned depth = p->push.depth - (begin && !(flags & (AIOS__PUSH_KEY | AIOS__PUSH_TEXT | AIOS__PUSH_PLAIN)));
    int rc = AIOS_OK;
    if (flags & AIOS__PUSH_KEY) {
        if (begin && depth == p->level)
            aios__buf_clear(&p->key);
        else if (!end && depth == p->level && p->key.n < KEY_MAX)
            rc = aios__buf_addc(&p->key, c, err);
    } else if (begin && depth == p->level) {
        rc = begin_member(p, c, err);
        if (rc || p->state != AIOS__PARSE_OBJECT)
            return rc;
    }
    if (p->field == FIELD_ARGS)
        rc = rc || flags & AIOS__PUSH_BLANK ? rc : aios__buf_addc(&p->args, c, err);
    else if (text && !begin && !end && depth == p->level && p->field >= FIELD_NAME)
        rc = aios__buf_addc(&p->val, c, err);
    if (rc || !end || flags & AIOS__PUSH_KEY)
        return rc;
    if (p->push.depth == p->level)
        return end_field(p, err);
    if (p->push.depth < p->level)
        p->level = (uint8_t)p->push.depth;
    return p->level ? AIOS_OK : end_object(p, err);
}

int aios__callparse_object(aios__callparse *p, char c, aios_error *err)
{
    if (!p->push.depth) {
        if (aios__is_blank(c))
            return AIOS_OK;
        if (c == '[' && !p->started) {
            p->started = true;
            return AIOS_OK;
        }
        if (c != '{')
            return aios__callparse_fail(p, err);
        p->level = 0;
    }
    int flags = aios__push_byte(&p->push, (uint8_t)c);
    if (flags < 0)
        return aios__callparse_fail(p, err);
    if (!p->level) {
        p->level = 1;
        return AIOS_OK;
    }
    return use_byte(p, c, flags, err);
}

/* ---- what becomes JSON -------------------------------------------------------------------------------------------------------- */

/* A code as those here have it: 1 goes on. */
static int went_on(int rc)
{
    return rc ? rc : 1;
}

/* Adds a byte of a string's text; 1: done, 0: it is not UTF-8 or NUL. */
static int add_text(aios__callparse *p, char c, aios_error *err)
{
    static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    if (aios__push_utf8(&p->utf8, (uint8_t)c) < 0 || !c)
        return 0;
    const char *hit = memchr(plain, c, sizeof plain - 1);
    int rc = (uint8_t)c < 0x20 && !hit ? aios__buf_addf(&p->args, err, "\\u%04x", (unsigned)c)
             : hit                     ? aios__buf_addf(&p->args, err, "\\%c", names[hit - plain])
                                       : aios__buf_addc(&p->args, c, err);
    return rc ? rc : 1;
}

static int add_texts(aios__callparse *p, const char *s, size_t n, aios_error *err)
{
    int rc = 1;
    for (size_t i = 0; rc == 1 && i < n; i++)
        rc = add_text(p, s[i], err);
    return rc == 1 && p->utf8.more ? 0 : rc;
}

/* Ends on failure of either kind, or goes on. */
static int checked(aios__callparse *p, int rc, aios_error *err)
{
    return rc == 1 ? AIOS_OK : rc < 0 ? rc : aios__callparse_fail(p, err);
}

static int add_string(aios__callparse *p, const char *s, size_t n, aios_error *err)
{
    int rc = aios__buf_addc(&p->args, '"', err);
    rc = rc ? rc : add_texts(p, s, n, err);
    if (rc != 1)
        return rc;
    return went_on(aios__buf_addc(&p->args, '"', err));
}

/* A value without quotes: JSON where it is some (a string only where `strings` may be), else a string. */
static int add_plain(aios__callparse *p, const char *s, size_t n, bool strings, aios_error *err)
{
    size_t was = p->args.n, from = 0;
    while (from < n && aios__is_blank(s[from]))
        from++;
    int rc = from < n && (strings || s[from] != '"') ? add_compact(s + from, n - from, &p->args, err) : 0;
    if (rc)
        return rc;
    if (p->args.n > was)
        p->args.p[p->args.n = was] = 0;
    return add_string(p, s, n, err);
}

int aios__callparse_enter_args(aios__callparse *p, char c, aios_error *err)
{
    int rc = aios__callparse_begin(p, err);
    if (rc || !p->begun)
        return rc;
    p->loose = 0;
    switch (p->f->args) {
    case AIOS__ARGS_TAGS:
        p->state = AIOS__PARSE_TAG;
        return aios__callparse_tag(p, c, err);
    case AIOS__ARGS_JSON:
        p->state = AIOS__PARSE_JSON;
        return aios__callparse_json(p, c, err);
    default:
        p->state = AIOS__PARSE_LOOSE;
        return aios__callparse_loose(p, c, err);
    }
}

/* ---- a tag for each argument -------------------------------------------------------------------------------------------------- */

int aios__callparse_tag(aios__callparse *p, char c, aios_error *err)
{
    int at, rc = p->begun ? AIOS_OK : aios__callparse_begin(p, err);
    if (rc || !p->begun)
        return rc;
    const char *const lits[] = {p->f->p_open, p->head_end};
    rc = aios__callparse_take(p, c, lits, 2, &at, err);
    if (rc || at == 2)
        return rc;
    if (at == 0) {
        p->state = AIOS__PARSE_TAG_KEY;
        aios__buf_clear(&p->key);
        return AIOS_OK;
    }
    rc = aios__buf_adds(&p->args, p->has_args ? "}" : "{}", err);
    return rc ? rc : aios__callparse_done(p, err);
}

int aios__callparse_tag_key(aios__callparse *p, char c, aios_error *err)
{
    if (c == p->f->p_mid[strspn(p->f->p_mid, " \n\r\t")]) {
        p->state = AIOS__PARSE_TAG_MID;
        return p->key.n ? aios__callparse_tag_mid(p, c, err) : aios__callparse_fail(p, err);
    }
    if (p->key.n == KEY_MAX || c == '\n' || c == '<')
        return aios__callparse_fail(p, err);
    return aios__buf_addc(&p->key, c, err);
}

enum { KIND_JSON, KIND_TEXT, KIND_EITHER };

int aios__callparse_tag_mid(aios__callparse *p, char c, aios_error *err)
{
    const char *const lits[] = {p->f->p_mid, p->f->p_mid_json};
    int at, rc = aios__callparse_take(p, c, lits, 2, &at, err);
    if (rc || at == 2)
        return rc;
    aios__buf_clear(&p->val);
    int is = p->f->p_mid_json ? !at : p->is_text ? p->is_text(p->tools, p->name.p, p->key.p) : -1;
    p->kind = is < 0 ? KIND_EITHER : is ? KIND_TEXT : KIND_JSON;
    rc = aios__buf_adds(&p->args, p->has_args ? "," : "{", err);
    p->has_args = true;
    rc = rc ? rc : add_string(p, p->key.p, p->key.n, err);
    if (rc == 1)
        rc = went_on(aios__buf_adds(&p->args, p->kind == KIND_TEXT ? ":\"" : ":", err));
    p->started = false;
    p->state = AIOS__PARSE_TAG_VALUE;
    return checked(p, rc, err);
}

/* The first n bytes of a string's value are sure. */
static int take_value(aios__callparse *p, size_t n, bool last, aios_error *err)
{
    size_t from = !p->started && n && p->val.p[0] == '\n' && strchr(p->f->p_mid, '\n') ? 1 : 0;
    p->started |= n > 0;
    int rc = 1;
    for (size_t i = from; rc == 1 && i < n; i++)
        rc = add_text(p, p->val.p[i], err);
    memmove(p->val.p, p->val.p + n, p->val.n - n);
    p->val.n -= n;
    p->val.p[p->val.n] = 0;
    return rc == 1 && last && p->utf8.more ? 0 : rc;
}

static int end_value(aios__callparse *p, size_t n, aios_error *err)
{
    if (n && p->val.p[n - 1] == '\n' && p->f->p_close[0] == '\n' && (n > 1 || p->started || !strchr(p->f->p_mid, '\n')))
        n--;
    int rc;
    if (p->kind == KIND_TEXT) {
        rc = take_value(p, n, true, err);
        rc = rc == 1 ? went_on(aios__buf_addc(&p->args, '"', err)) : rc;
    } else {
        size_t from = n && p->val.p[0] == '\n' && strchr(p->f->p_mid, '\n') ? 1 : 0;
        rc = add_plain(p, p->val.p + from, n - from, p->kind == KIND_JSON, err);
    }
    aios__buf_clear(&p->val);
    p->state = AIOS__PARSE_TAG;
    return checked(p, rc, err);
}

int aios__callparse_tag_value(aios__callparse *p, char c, aios_error *err)
{
    const char *close = p->f->p_close + strspn(p->f->p_close, " \n\r\t");
    size_t n = strcspn(close, " \n\r\t");
    int rc = aios__buf_addc(&p->val, c, err);
    if (rc)
        return rc;
    if (p->val.n >= n && !memcmp(p->val.p + p->val.n - n, close, n))
        return end_value(p, p->val.n - n, err);
    return p->kind == KIND_TEXT && p->val.n > n + 1 ? checked(p, take_value(p, p->val.n - n - 1, false, err), err) : AIOS_OK;
}

/* ---- {key:value}, key=value ------------------------------------------------------------------------------------------------------ */

enum { LOOSE_OPEN, LOOSE_KEY, LOOSE_KEY_OR_END, LOOSE_SEP, LOOSE_VALUE, LOOSE_VALUE_OR_END, LOOSE_PLAIN, LOOSE_QUOTED, LOOSE_QUOTE, LOOSE_ESCAPE, LOOSE_NEXT };

static int push_loose(aios__callparse *p, char end, char open, aios_error *err)
{
    if (p->depth == AIOS__LOOSE_DEPTH)
        return aios__callparse_fail(p, err);
    p->stack[p->depth++] = (uint8_t)end;
    p->loose = end == ']' ? LOOSE_VALUE_OR_END : LOOSE_KEY_OR_END;
    aios__buf_clear(&p->val);
    return aios__buf_addc(&p->args, open, err);
}

static int pop_loose(aios__callparse *p, char c, aios_error *err)
{
    if (!p->depth || (char)p->stack[p->depth - 1] != c)
        return aios__callparse_fail(p, err);
    p->loose = LOOSE_NEXT;
    int rc = aios__buf_addc(&p->args, c == ']' ? ']' : '}', err);
    return rc || --p->depth ? rc : aios__callparse_done(p, err);
}

/* What follows a key: ":" or "=". */
static char sep_of(const aios__callparse *p)
{
    return p->stack[p->depth - 1] == ')' ? '=' : ':';
}

static int end_key(aios__callparse *p, aios_error *err)
{
    size_t n = p->val.n;
    while (n && aios__is_blank(p->val.p[n - 1]))
        n--;
    int rc = n ? add_string(p, p->val.p, n, err) : 0;
    if (rc == 1)
        rc = went_on(aios__buf_addc(&p->args, ':', err));
    aios__buf_clear(&p->val);
    p->loose = LOOSE_VALUE;
    return checked(p, rc, err);
}

static int loose_key(aios__callparse *p, char c, aios_error *err)
{
    if (p->loose == LOOSE_KEY_OR_END && !p->val.n && (c == '}' || c == ')'))
        return pop_loose(p, c, err);
    if (aios__is_blank(c) && !p->val.n)
        return AIOS_OK;
    if (c == sep_of(p))
        return end_key(p, err);
    bool quoted = p->stack[p->depth - 1] == '}' && !p->val.n && (c == '"' || c == '\'' || (p->f->quote && c == '<'));
    if (quoted) { /* the key of a Python dict, or of a nested object */
        p->loose = c == '<' ? LOOSE_QUOTE : LOOSE_QUOTED;
        p->quote = (uint8_t)c;
        p->kind = 1;
        return c == '<' ? aios__buf_addc(&p->held, c, err) : aios__buf_addc(&p->args, '"', err);
    }
    if (p->val.n == KEY_MAX || strchr("{}[](),\"'<\n", c))
        return aios__callparse_fail(p, err);
    return aios__buf_addc(&p->val, c, err);
}

static int loose_value(aios__callparse *p, char c, aios_error *err)
{
    if (aios__is_blank(c))
        return AIOS_OK;
    if (c == ']' && p->loose == LOOSE_VALUE_OR_END)
        return pop_loose(p, c, err);
    if (c == '{' || c == '[')
        return push_loose(p, c == '{' ? '}' : ']', c, err);
    p->kind = 0;
    p->quote = (uint8_t)c;
    if (p->f->quote && c == p->f->quote[0]) {
        p->loose = LOOSE_QUOTE;
        return aios__buf_addc(&p->held, c, err);
    }
    if (c == '"' || c == '\'') {
        p->loose = LOOSE_QUOTED;
        return aios__buf_addc(&p->args, '"', err);
    }
    if (strchr(",})]:=", c))
        return aios__callparse_fail(p, err);
    p->loose = LOOSE_PLAIN;
    return aios__buf_addc(&p->val, c, err);
}

/* A quote of several characters opens. */
static int loose_quote(aios__callparse *p, char c, aios_error *err)
{
    int rc = aios__buf_addc(&p->held, c, err);
    size_t n = strlen(p->f->quote);
    if (rc)
        return rc;
    if (p->held.n > n || memcmp(p->held.p, p->f->quote, p->held.n))
        return aios__callparse_fail(p, err);
    if (p->held.n < n)
        return AIOS_OK;
    aios__buf_clear(&p->held);
    p->loose = LOOSE_QUOTED;
    return aios__buf_addc(&p->args, '"', err);
}

static int end_quoted(aios__callparse *p, aios_error *err)
{
    if (p->utf8.more)
        return aios__callparse_fail(p, err);
    p->loose = p->kind ? LOOSE_SEP : LOOSE_NEXT;
    return aios__buf_addc(&p->args, '"', err);
}

/* A code point by its number; one half of a pair waits for the other in push.unit, alone it is none. */
static int add_unit(aios__callparse *p, uint32_t cp, aios_error *err)
{
    uint32_t high = p->push.unit;
    char text[4];
    int rc = 1;
    p->push.unit = 0;
    if (high && cp >= 0xdc00 && cp <= 0xdfff)
        cp = 0x10000 + ((high - 0xd800) << 10) + (cp - 0xdc00);
    else if (high)
        rc = add_texts(p, "\xef\xbf\xbd", 3, err);
    if (rc == 1 && cp >= 0xd800 && cp <= 0xdbff) {
        p->push.unit = (uint16_t)cp;
        return rc;
    }
    return rc == 1 && cp ? add_texts(p, text, aios__utf8_encode(cp, text), err) : rc;
}

/* Between quotes; a long closing quote is held while it may still be one. */
static int loose_quoted(aios__callparse *p, char c, aios_error *err)
{
    bool is_long = p->f->quote && p->quote == (uint8_t)p->f->quote[0];
    if (!is_long) {
        int rc = p->push.unit && c != '\\' ? add_unit(p, 0, err) : 1;
        if (rc != 1)
            return checked(p, rc, err);
        if (c == (char)p->quote)
            return end_quoted(p, err);
        if (c != '\\')
            return checked(p, add_text(p, c, err), err);
        p->loose = LOOSE_ESCAPE;
        aios__buf_clear(&p->val);
        return AIOS_OK;
    }
    size_t n = strlen(p->f->quote);
    int rc = aios__buf_addc(&p->held, c, err);
    int ok = 1;
    while (!rc && ok == 1 && p->held.n && memcmp(p->held.p, p->f->quote, p->held.n)) {
        ok = add_text(p, p->held.p[0], err);
        memmove(p->held.p, p->held.p + 1, --p->held.n);
    }
    if (rc || ok != 1)
        return rc ? rc : checked(p, ok, err);
    if (p->held.n < n)
        return AIOS_OK;
    aios__buf_clear(&p->held);
    return end_quoted(p, err);
}

/* Of a Python string, behind the backslash: a letter, x and two digits, u and four. */
static int loose_escape(aios__callparse *p, char c, aios_error *err)
{
    static const char from[] = "ntrbf\\'\"/", to[] = "\n\t\r\b\f\\'\"/";
    if (!p->val.n && c != 'x' && c != 'u') {
        const char *hit = c ? strchr(from, c) : NULL;
        p->loose = LOOSE_QUOTED;
        int rc = p->push.unit ? add_unit(p, 0, err) : 1;
        rc = rc == 1 && !hit ? add_text(p, '\\', err) : rc;
        rc = rc == 1 ? add_text(p, hit ? to[hit - from] : c, err) : rc;
        return checked(p, rc, err);
    }
    int rc = aios__buf_addc(&p->val, c, err);
    if (rc)
        return rc;
    size_t want = p->val.p[0] == 'x' ? 3 : 5;
    bool digit = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
    if (p->val.n > 1 && !digit)
        return aios__callparse_fail(p, err);
    if (p->val.n < want)
        return AIOS_OK;
    uint32_t cp = 0;
    for (size_t k = 1; k < want; k++)
        cp = cp << 4 | (uint32_t)(p->val.p[k] <= '9' ? p->val.p[k] - '0' : (p->val.p[k] | 32) - 'a' + 10);
    aios__buf_clear(&p->val);
    p->loose = LOOSE_QUOTED;
    return checked(p, cp ? add_unit(p, cp, err) : 0, err);
}

static int loose_next(aios__callparse *p, char c, aios_error *err)
{
    if (aios__is_blank(c))
        return AIOS_OK;
    if (c != ',')
        return pop_loose(p, c, err);
    p->loose = p->stack[p->depth - 1] == ']' ? LOOSE_VALUE : LOOSE_KEY;
    return aios__buf_addc(&p->args, ',', err);
}

static int loose_plain(aios__callparse *p, char c, aios_error *err)
{
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"}};
    if (c != ',' && c != '}' && c != ']' && c != ')')
        return c ? aios__buf_addc(&p->val, c, err) : aios__callparse_fail(p, err);
    size_t n = p->val.n;
    while (n && aios__is_blank(p->val.p[n - 1]))
        n--;
    int rc = 0;
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(words); i++)
        if (n == strlen(words[i][0]) && !memcmp(p->val.p, words[i][0], n))
            rc = went_on(aios__buf_adds(&p->args, words[i][1], err));
    rc = rc ? rc : add_plain(p, p->val.p, n, true, err);
    aios__buf_clear(&p->val);
    if (rc != 1)
        return checked(p, rc, err);
    p->loose = LOOSE_NEXT;
    return loose_next(p, c, err);
}

static int loose_sep(aios__callparse *p, char c, aios_error *err)
{
    if (aios__is_blank(c))
        return AIOS_OK;
    p->loose = LOOSE_VALUE;
    return c == ':' ? aios__buf_addc(&p->args, c, err) : aios__callparse_fail(p, err);
}

static int loose_open(aios__callparse *p, char c, aios_error *err)
{
    char open = p->f->args == AIOS__ARGS_PYTHON ? '(' : '{';
    if (aios__is_blank(c))
        return AIOS_OK;
    return c == open ? push_loose(p, open == '(' ? ')' : '}', '{', err) : aios__callparse_fail(p, err);
}

int aios__callparse_loose(aios__callparse *p, char c, aios_error *err)
{
    static int (*const readers[])(aios__callparse *p, char c, aios_error *err) = {
        [LOOSE_OPEN] = loose_open, [LOOSE_KEY] = loose_key, [LOOSE_KEY_OR_END] = loose_key, [LOOSE_SEP] = loose_sep, [LOOSE_VALUE] = loose_value,
        [LOOSE_VALUE_OR_END] = loose_value, [LOOSE_PLAIN] = loose_plain, [LOOSE_QUOTED] = loose_quoted, [LOOSE_QUOTE] = loose_quote,
        [LOOSE_ESCAPE] = loose_escape, [LOOSE_NEXT] = loose_next,
    };
    return readers[p->loose](p, c, err);
}

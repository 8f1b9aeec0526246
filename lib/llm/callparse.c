/* SPDX-License-Identifier: Apache-2.0 */
/* Text, reasoning, heads of messages, and what stands around calls; their arguments are read in callparse_args.c. */
#include "llm/callparse.h"

#include <string.h>

enum { PAT_CALL, PAT_OTHER /* a call that begins in another way */, PAT_THINK, PAT_STOP, PAT_HEAD, PAT_TO, PAT_SKIP };
enum { LIT_SKIP, LIT_OBJECT, LIT_NAME };

/* A call that turns out to be none is read again from its second byte on, unless that would cost too much. */
enum { READ_AGAIN = 1024, HEAD_MAX = 300, ID_MAX = 64 };

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static void add_pat(aios__callparse *p, const char *s, uint8_t kind)
{
    size_t n = strlen(s);
    if (n && n < 256 && p->n_pats < AIOS__PARSE_PATTERNS) {
        p->pats[p->n_pats].s = s;
        p->firsts[(uint8_t)*s / 32] |= 1u << (uint8_t)*s % 32;
        p->pats[p->n_pats].n = (uint8_t)n;
        p->pats[p->n_pats++].kind = kind;
    }
}

static void add_lit(aios__callparse *p, const char *s, uint8_t kind)
{
    if (s && s[strspn(s, " \n\r\t")] && p->n_lits < AIOS__PARSE_LITS) {
        p->lits[p->n_lits] = s;
        p->lit_kind[p->n_lits++] = kind;
    }
}

static void set_start(char to[160], const char *open, const char *begin, bool list)
{
    size_t n_open = strlen(open), n_begin = strlen(begin);
    if (n_open + n_begin >= 160)
        return;
    memcpy(to, open, n_open);
    memcpy(to + n_open, begin, n_begin + 1);
    n_open += n_begin;
    if (list && n_open && to[n_open - 1] == '[')
        to[n_open - 1] = 0;
}

static void set_lits(aios__callparse *p)
{
    const aios__call_format *f = p->f;
    const char *word = f->end + strspn(f->end, " \n\r\t");
    size_t n = strcspn(word, " \n\r\t");
    if (n < sizeof p->head_end)
        memcpy(p->head_end, word, n);
    bool json_list = f->name_key != NULL, bracket = f->close[0] == ']';
    add_lit(p, p->head_end, LIT_SKIP);
    add_lit(p, word + n, LIT_SKIP);
    add_lit(p, bracket ? f->close + 1 : f->close, LIT_SKIP);
    if (json_list || bracket)
        add_lit(p, "]", LIT_SKIP);
    if (f->channels) {
        add_lit(p, "<|call|>", LIT_SKIP);
        add_lit(p, "<|end|>", LIT_SKIP);
    }
    if (f->bare)
        add_lit(p, "```", LIT_SKIP);
    if (json_list)
        add_lit(p, ",", LIT_OBJECT);
    else if (f->open[0])
        add_lit(p, f->begin[0] ? f->begin : f->between, LIT_NAME);
    if (f->bare && json_list)
        add_lit(p, ";", LIT_OBJECT);
}

void aios__callparse_init(aios__callparse *p, aios__heap *h, const aios__call_format *f, const aios__think_format *think, const aios__call_sink *sink)
{
    memset(p, 0, sizeof *p);
    p->heap = h;
    p->f = f;
    p->think = think;
    p->sink = sink;
    p->fresh = true;
    aios__buf *bufs[] = {&p->stops, &p->again, &p->out, &p->held, &p->blanks, &p->raw, &p->name, &p->id, &p->args, &p->key, &p->val};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(bufs); i++)
        aios__buf_init(bufs[i], h, AIOS_MEM_TEXT, 0);
    bool opener_lists = f->opener[0] && f->opener[strlen(f->opener) - 1] == '[';
    set_start(p->start[0], f->open, f->begin, f->list && !opener_lists);
    set_start(p->start[1], "", f->begin, false);
    if (f->channels) {
        add_pat(p, "<|channel|>", PAT_HEAD);
        add_pat(p, "<|start|>", PAT_HEAD);
        add_pat(p, " to=", PAT_TO); /* behind a prompt that ends in <|start|>assistant */
        add_pat(p, "<|end|>", PAT_SKIP);
        add_pat(p, "<|return|>", PAT_SKIP);
        add_pat(p, "<|call|>", PAT_SKIP);
    } else {
        add_pat(p, f->opener, PAT_CALL);
        add_pat(p, think->open, PAT_THINK);
    }
    if (f->bare && f->opener[0] == '{')
        add_pat(p, "<|python_tag|>", PAT_OTHER);
    set_lits(p);
}

void aios__callparse_free(aios__callparse *p)
{
    aios__buf *bufs[] = {&p->stops, &p->again, &p->out, &p->held, &p->blanks, &p->raw, &p->name, &p->id, &p->args, &p->key, &p->val};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(bufs); i++)
        aios__buf_free(bufs[i]);
}

void aios__callparse_reset(aios__callparse *p, enum aios__parse_state state)
{
    aios__buf *bufs[] = {&p->again, &p->held, &p->blanks, &p->raw};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(bufs); i++)
        aios__buf_clear(bufs[i]);
    p->again_at = 0;
    p->opened = false;
    p->state = state;
}

int aios__callparse_pending(const aios__callparse *p, aios__buf *out, aios_error *err)
{
    int rc = p->raw.n ? aios__buf_add(out, p->raw.p, p->raw.n, err) : AIOS_OK;
    size_t left = p->again.n - p->again_at;
    return rc || !left ? rc : aios__buf_add(out, p->again.p + p->again_at, left, err);
}

/* ---- text up -------------------------------------------------------------------------------------------------------- */

static void drop_front(aios__buf *b, size_t n)
{
    if (!n)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = 0;
}

/* Sends valid UTF-8; bytes that are none, and NUL, become U+FFFD. */
static int send_valid(aios__callparse *p, const char *s, size_t n)
{
    int (*fn)(void *, const char *, size_t) = p->out_thinks ? p->sink->reasoning : p->sink->text;
    while (n) {
        size_t good = 0, len = 1;
        uint32_t cp;
        while (good < n && s[good] && (len = aios__utf8_decode(s + good, n - good, &cp)) > 0)
            good += len;
        int rc = good ? fn(p->sink->user, s, good) : AIOS_OK;
        if (!rc && good < n) {
            rc = fn(p->sink->user, "\xef\xbf\xbd", 3);
            good++;
        }
        if (rc)
            return rc;
        s += good;
        n -= good;
    }
    return AIOS_OK;
}

/* all: nothing more follows that could make the last character whole. */
static int flush(aios__callparse *p, bool all)
{
    size_t n = all ? p->out.n : p->out.n ? aios__utf8_whole(p->out.p, p->out.n) : 0;
    int rc = n ? send_valid(p, p->out.p, n) : AIOS_OK;
    drop_front(&p->out, n);
    return rc;
}

static int flush_args(aios__callparse *p)
{
    size_t n = p->begun && p->args.n ? aios__utf8_whole(p->args.p, p->args.n) : 0;
    if (n <= p->n_sent || !p->sink->args)
        return AIOS_OK;
    int rc = p->sink->args(p->sink->user, p->args.p + p->n_sent, n - p->n_sent);
    p->n_sent = n;
    return rc;
}

static int put(aios__callparse *p, bool thinks, const char *s, size_t n, aios_error *err)
{
    int rc = p->out.n && p->out_thinks != thinks ? flush(p, true) : AIOS_OK;
    p->out_thinks = thinks;
    return rc ? rc : aios__buf_add(&p->out, s, n, err);
}

static int put_text(aios__callparse *p, char c, aios_error *err)
{
    if (aios__is_blank(c) && p->trim)
        return AIOS_OK;
    if (aios__is_blank(c) && (!p->no_calls || p->may_think))
        return aios__buf_addc(&p->blanks, c, err);
    int rc = p->blanks.n ? put(p, false, p->blanks.p, p->blanks.n, err) : AIOS_OK;
    aios__buf_clear(&p->blanks);
    rc = rc ? rc : put(p, false, &c, 1, err);
    if (!aios__is_blank(c))
        p->any = true;
    p->trim = p->fresh = p->may_think = false;
    return rc;
}

/* ---- texts of a format ---------------------------------------------------------------------------------------------- */

int aios__callparse_match(const char *lit, const aios__buf *held)
{
    size_t j = 0;
    lit += strspn(lit, " \n\r\t");
    while (*lit) {
        if (aios__is_blank(*lit)) {
            lit += strspn(lit, " \n\r\t");
            while (j < held->n && aios__is_blank(held->p[j]))
                j++;
            continue;
        }
        if (j == held->n)
            return 0;
        if (held->p[j++] != *lit++)
            return -1;
    }
    return j == held->n ? 1 : -1;
}

static int try_lits(const aios__callparse *p, const char *const *lits, int n)
{
    int alive = -1;
    for (int i = 0; i < n; i++) {
        if (!lits[i] || !lits[i][strspn(lits[i], " \n\r\t")])
            continue;
        int m = aios__callparse_match(lits[i], &p->held);
        if (m > 0)
            return i;
        alive = m == 0 ? n : alive;
    }
    return alive;
}

/* Adds c to held and matches n texts (NULL or blank ones: none); *at is the one that is whole, n: not yet, -1: none. */
static int want(aios__callparse *p, char c, const char *const *lits, int n, int *at, aios_error *err)
{
    bool more = aios__is_blank(c) && (!p->held.n || aios__is_blank(p->held.p[p->held.n - 1]));
    int rc = more ? AIOS_OK : aios__buf_addc(&p->held, c, err);
    *at = more || rc ? n : try_lits(p, lits, n);
    return rc;
}

/* ---- a call begins, is over, is none ----------------------------------------------------------------------------------- */

int aios__callparse_begin(aios__callparse *p, aios_error *err)
{
    if (!p->name.n || p->name.n > AIOS__CALL_NAME_MAX || memchr(p->name.p, 0, p->name.n) || !aios__utf8_valid(p->name.p, p->name.n))
        return aios__callparse_fail(p, err);
    p->begun = true;
    int rc = flush(p, true);
    return rc || !p->sink->begin ? rc : p->sink->begin(p->sink->user, p->name.p, p->id.n ? p->id.p : NULL);
}

static void clear_call(aios__callparse *p)
{
    aios__buf *bufs[] = {&p->held, &p->name, &p->id, &p->args, &p->key, &p->val};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(bufs); i++)
        aios__buf_clear(bufs[i]);
    p->n_sent = 0;
    p->begun = p->has_name = p->has_args = p->started = false;
    p->field = p->depth = 0;
    p->utf8 = (aios__push_char){0};
    p->push = (aios__push){0};
}

int aios__callparse_done(aios__callparse *p, aios_error *err)
{
    aios__json_doc *doc = NULL;
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__json_parse(p->heap, p->args.p ? p->args.p : "", p->args.n, &doc, &why);
    aios__json_free(doc);
    if (rc == AIOS_ENOMEM || rc == AIOS_EBUDGET)
        return aios__error_copy(err, &why);
    if (rc)
        return aios__callparse_fail(p, err);
    if (!p->begun) {
        rc = aios__callparse_begin(p, err);
        if (rc || !p->begun)
            return rc;
    }
    rc = flush_args(p);
    rc = rc ? rc : p->sink->call(p->sink->user, p->name.p, p->args.p, p->args.n, p->id.n ? p->id.p : NULL);
    p->n_calls++;
    clear_call(p);
    aios__buf_clear(&p->raw);
    aios__buf_clear(&p->blanks);
    p->trim = p->fresh = true;
    p->may_think = false;
    p->lits_seen = 0;
    p->state = AIOS__PARSE_AFTER;
    return rc;
}

/* Puts s in front of what is to be read again. */
static int read_again(aios__callparse *p, const char *s, size_t n, aios_error *err)
{
    size_t left = p->again.n - p->again_at;
    int rc = aios__buf_reserve(&p->again, n + left, err);
    if (rc || !n)
        return rc;
    if (left)
        memmove(p->again.p + n, p->again.p + p->again_at, left);
    memcpy(p->again.p, s, n);
    p->again.n = n + left;
    p->again.p[p->again.n] = 0;
    p->again_at = 0;
    return AIOS_OK;
}

int aios__callparse_fail(aios__callparse *p, aios_error *err)
{
    bool begun = p->begun;
    clear_call(p);
    p->state = AIOS__PARSE_TEXT;
    p->bare = p->fresh = false;
    int rc = begun && p->sink->drop ? p->sink->drop(p->sink->user) : AIOS_OK;
    bool again = p->raw.n <= READ_AGAIN;
    for (size_t i = 0; !rc && i < (again ? p->raw.n > 0 : p->raw.n); i++)
        rc = put_text(p, p->raw.p[i], err);
    if (!rc && again && p->raw.n > 1)
        rc = read_again(p, p->raw.p + 1, p->raw.n - 1, err);
    aios__buf_clear(&p->raw);
    return rc;
}

int aios__callparse_take(aios__callparse *p, char c, const char *const *lits, int n, int *at, aios_error *err)
{
    int rc = want(p, c, lits, n, at, err);
    if (*at < 0) {
        *at = n;
        return aios__callparse_fail(p, err);
    }
    if (*at < n)
        aios__buf_clear(&p->held);
    return rc;
}

/* ---- text and reasoning ------------------------------------------------------------------------------------------------ */

/* What follows a text that announces calls. */
static int after_start(aios__callparse *p)
{
    p->state = p->f->name_key ? AIOS__PARSE_OBJECT : AIOS__PARSE_NAME;
    aios__buf_clear(&p->held);
    return AIOS_OK;
}

static int take_opener(aios__callparse *p, bool opener, aios_error *err)
{
    aios__buf_clear(&p->raw);
    int rc = aios__buf_add(&p->raw, p->held.p, p->held.n, err);
    if (rc)
        return rc;
    clear_call(p);
    p->opened = opener;
    p->bare = p->raw.p[0] == '{'; /* the opener is a part of the call */
    p->state = AIOS__PARSE_START;
    if (p->bare) {
        rc = read_again(p, p->raw.p, p->raw.n, err);
        aios__buf_clear(&p->raw);
        return rc;
    }
    rc = aios__buf_add(&p->held, p->raw.p, p->raw.n, err);
    const char *const lits[] = {p->start[0], p->start[1], "<|python_tag|>"};
    int at = rc ? -1 : try_lits(p, lits, 3);
    return at < 0 || at == 3 ? rc : after_start(p);
}

static int take_pattern(aios__callparse *p, uint8_t kind, aios_error *err)
{
    int rc = AIOS_OK;
    if (kind == PAT_CALL || kind == PAT_OTHER)
        return take_opener(p, kind == PAT_CALL, err);
    aios__buf_clear(&p->raw);
    if (kind == PAT_THINK) {
        p->state = AIOS__PARSE_THINK;
        p->may_think = false;
        aios__buf_clear(&p->blanks);
    } else if (kind == PAT_STOP) {
        rc = p->blanks.n ? put(p, false, p->blanks.p, p->blanks.n, err) : AIOS_OK;
        aios__buf_clear(&p->blanks);
        p->state = AIOS__PARSE_OVER;
    } else if (kind == PAT_HEAD || kind == PAT_TO) {
        rc = aios__buf_add(&p->raw, p->held.p, p->held.n, err);
        clear_call(p);
        rc = rc ? rc : aios__buf_add(&p->val, p->raw.p, p->raw.n, err);
        p->state = AIOS__PARSE_HEAD;
    }
    aios__buf_clear(&p->held);
    return rc;
}

/* 1: s is held, whole; 0: its beginning is. */
static int compare(const aios__callparse *p, const char *s, size_t n)
{
    size_t m = p->held.n < n ? p->held.n : n;
    return memcmp(p->held.p, s, m) ? -1 : m == n;
}

/* True if what is held is one of the texts that mean something, or may become one; *kind where it is whole, else -1. */
static bool held_means(const aios__callparse *p, int *kind)
{
    bool may = false;
    *kind = -1;
    for (uint32_t i = 0; i < p->n_pats; i++) {
        uint8_t k = p->pats[i].kind;
        if ((k == PAT_CALL && p->no_calls) || (k == PAT_OTHER && (p->no_calls || p->only_opener)) || (k == PAT_THINK && !p->may_think) ||
            (k == PAT_TO && !p->fresh))
            continue;
        int m = compare(p, p->pats[i].s, p->pats[i].n);
        if (m > 0) {
            *kind = k;
            return true;
        }
        may |= m == 0;
    }
    for (size_t i = 0; i < p->stops.n; i += strlen(p->stops.p + i) + 1) {
        int m = compare(p, p->stops.p + i, strlen(p->stops.p + i));
        if (m > 0) {
            *kind = PAT_STOP;
            return true;
        }
        may |= m == 0;
    }
    return may;
}

/* A call that nothing announces: an object, or a list, perhaps fenced. */
static int begin_bare(aios__callparse *p, char c, aios_error *err)
{
    clear_call(p);
    aios__buf_clear(&p->raw);
    p->bare = true;
    p->state = AIOS__PARSE_START;
    return read_again(p, &c, 1, err);
}

/* Some text that means something begins so. */
static bool may_mean(const aios__callparse *p, char c)
{
    bool may = p->firsts[(uint8_t)c / 32] >> (uint8_t)c % 32 & 1;
    for (size_t i = 0; !may && i < p->stops.n; i += strlen(p->stops.p + i) + 1)
        may = p->stops.p[i] == c;
    return may;
}

static int read_text(aios__callparse *p, char c, aios_error *err)
{
    int kind, rc;
    bool may_bare = p->f->bare && p->fresh && !p->no_bare && !p->no_calls && !p->held.n;
    if (may_bare && (c == '[' || (p->f->name_key && (c == '{' || c == '`'))))
        return begin_bare(p, c, err);
    if (!p->held.n && !may_mean(p, c))
        return put_text(p, c, err);
    rc = aios__buf_addc(&p->held, c, err);
    while (!rc && p->held.n && !held_means(p, &kind)) {
        rc = put_text(p, p->held.p[0], err);
        drop_front(&p->held, 1);
    }
    if (rc || !p->held.n)
        return rc;
    return kind >= 0 ? take_pattern(p, (uint8_t)kind, err) : AIOS_OK;
}

static int read_think(aios__callparse *p, char c, aios_error *err)
{
    const char *close = p->think->close;
    size_t n = strlen(close);
    int rc = aios__buf_addc(&p->held, c, err);
    while (!rc && p->held.n && compare(p, close, n) < 0) {
        rc = put(p, true, p->held.p, 1, err);
        drop_front(&p->held, 1);
    }
    if (!rc && p->held.n == n) {
        aios__buf_clear(&p->held);
        p->state = AIOS__PARSE_TEXT;
        p->trim = p->fresh = true;
    }
    return rc;
}

/* ---- heads of messages (harmony) ------------------------------------------------------------------------------------------ */

static const char head_close[] = "<|message|>";

static int use_head(aios__callparse *p, aios_error *err)
{
    size_t n_close = sizeof head_close - 1, n = p->val.n - n_close;
    const char *s = p->val.p, *to = memmem(s, n, " to=", 4);
    if (to) {
        const char *name = to + 4, *end = s + n;
        if ((size_t)(end - name) > 10 && !memcmp(name, "functions.", 10))
            name += 10;
        size_t len = 0;
        while (name + len < end && !aios__is_blank(name[len]) && name[len] != '<')
            len++;
        int rc = aios__buf_add(&p->name, name, len, err);
        aios__buf_clear(&p->val);
        p->has_name = true;
        p->state = AIOS__PARSE_JSON;
        return rc ? rc : aios__callparse_begin(p, err);
    }
    bool analysis = memmem(s, n, "<|channel|>analysis", 19) != NULL;
    p->state = analysis ? AIOS__PARSE_THINK : AIOS__PARSE_TEXT;
    aios__buf_clear(&p->val);
    aios__buf_clear(&p->raw);
    return AIOS_OK;
}

static int read_head(aios__callparse *p, char c, aios_error *err)
{
    int rc = aios__buf_addc(&p->val, c, err);
    if (rc)
        return rc;
    size_t n = sizeof head_close - 1;
    if (p->val.n >= n && !memcmp(p->val.p + p->val.n - n, head_close, n))
        return (p->no_calls || p->only_opener) && memmem(p->val.p, p->val.n, " to=", 4) ? aios__callparse_fail(p, err) : use_head(p, err);
    if (p->val.n > HEAD_MAX || c == '\n' || !c)
        return aios__callparse_fail(p, err);
    if (c == '=' && !p->no_calls && p->val.n == strlen(p->f->opener) && !memcmp(p->val.p, p->f->opener, p->val.n))
        p->opened = true;
    return AIOS_OK;
}

/* ---- around a call ----------------------------------------------------------------------------------------------------------- */

static int read_start(aios__callparse *p, char c, aios_error *err)
{
    bool object = p->f->name_key != NULL;
    if (p->bare && object && !p->held.n && (c == '{' || c == '[')) {
        after_start(p);
        return aios__callparse_object(p, c, err);
    }
    const char *const lits[] = {p->start[0], p->start[1], p->bare && !object ? "[" : NULL, p->bare && object ? "```json" : NULL};
    if (p->bare && object && (c == '{' || c == '[') && p->held.n >= 3 && p->held.n <= 4 && !memcmp(p->held.p, "```", 3)) {
        after_start(p);
        return aios__callparse_object(p, c, err);
    }
    int at, rc = want(p, c, lits, 4, &at, err);
    if (rc)
        return rc;
    bool fence = at < 0 && p->bare && object && p->held.n == 4 && !memcmp(p->held.p, "```", 3) && aios__is_blank(c);
    if (at < 0 && !fence)
        return aios__callparse_fail(p, err);
    return at < 4 && !fence ? after_start(p) : AIOS_OK;
}

static bool names(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-' || c == '/' ||
           (uint8_t)c >= 0x80;
}

static int read_mid(aios__callparse *p, char c, aios_error *err);

static int read_name(aios__callparse *p, char c, aios_error *err)
{
    if (aios__is_blank(c) && !p->name.n)
        return AIOS_OK;
    if (names(c) && p->name.n < AIOS__CALL_NAME_MAX)
        return aios__buf_addc(&p->name, c, err);
    if (!p->name.n)
        return aios__callparse_fail(p, err);
    p->has_name = true;
    if (!p->f->mid[strspn(p->f->mid, " \n\r\t")] && !p->f->id_open)
        return aios__callparse_enter_args(p, c, err);
    p->state = AIOS__PARSE_MID;
    return read_mid(p, c, err);
}

/* Between a name and its arguments. */
static int read_mid(aios__callparse *p, char c, aios_error *err)
{
    const char *const lits[] = {p->f->mid, p->id.n ? NULL : p->f->id_open};
    int at, rc = aios__callparse_take(p, c, lits, 2, &at, err);
    if (rc || at == 2)
        return rc;
    p->state = at == 1 ? AIOS__PARSE_ID : p->f->args == AIOS__ARGS_TAGS ? AIOS__PARSE_TAG : AIOS__PARSE_JSON;
    return AIOS_OK;
}

static int read_id(aios__callparse *p, char c, aios_error *err)
{
    if (names(c) && p->id.n < ID_MAX)
        return aios__buf_addc(&p->id, c, err);
    p->state = AIOS__PARSE_MID;
    if (p->f->id_text && !p->f->id_len && p->id.n) /* a number within the reply, which says nothing outside it */
        p->id.p[p->id.n = 0] = 0;
    return read_mid(p, c, err);
}

static int read_after(aios__callparse *p, char c, aios_error *err)
{
    const char *lits[AIOS__PARSE_LITS];
    int n = (int)p->n_lits;
    for (int i = 0; i < n; i++)
        lits[i] = p->lits_seen >> i & 1 ? NULL : p->lits[i];
    int at, rc = want(p, c, lits, n, &at, err);
    if (at < 0) {
        p->state = AIOS__PARSE_TEXT;
        aios__buf_clear(&p->held);
        rc = read_again(p, p->raw.p, p->raw.n, err);
        aios__buf_clear(&p->raw);
        return rc;
    }
    if (at == n)
        return rc;
    aios__buf_clear(&p->held);
    if (p->lit_kind[at] == LIT_SKIP) {
        p->lits_seen |= 1u << at;
        aios__buf_clear(&p->raw);
        return AIOS_OK;
    }
    p->state = p->lit_kind[at] == LIT_OBJECT ? AIOS__PARSE_OBJECT : AIOS__PARSE_NAME;
    return AIOS_OK;
}

/* ---- bytes in -------------------------------------------------------------------------------------------------------------- */

static int read_over(aios__callparse *p, char c, aios_error *err)
{
    AIOS__UNUSED(p);
    AIOS__UNUSED(c);
    AIOS__UNUSED(err);
    return AIOS_OK;
}

static int (*const readers[])(aios__callparse *p, char c, aios_error *err) = {
    [AIOS__PARSE_TEXT] = read_text, [AIOS__PARSE_THINK] = read_think, [AIOS__PARSE_HEAD] = read_head, [AIOS__PARSE_START] = read_start,
    [AIOS__PARSE_NAME] = read_name, [AIOS__PARSE_MID] = read_mid, [AIOS__PARSE_ID] = read_id, [AIOS__PARSE_OBJECT] = aios__callparse_object,
    [AIOS__PARSE_JSON] = aios__callparse_json, [AIOS__PARSE_TAG] = aios__callparse_tag, [AIOS__PARSE_TAG_KEY] = aios__callparse_tag_key,
    [AIOS__PARSE_TAG_MID] = aios__callparse_tag_mid, [AIOS__PARSE_TAG_VALUE] = aios__callparse_tag_value, [AIOS__PARSE_LOOSE] = aios__callparse_loose,
    [AIOS__PARSE_AFTER] = read_after, [AIOS__PARSE_OVER] = read_over,
};

static int read_byte(aios__callparse *p, char c, aios_error *err)
{
    bool call = p->state >= AIOS__PARSE_HEAD && p->state <= AIOS__PARSE_AFTER;
    int rc = call ? aios__buf_addc(&p->raw, c, err) : AIOS_OK;
    return rc ? rc : readers[p->state](p, c, err);
}

/* Reads what is to be read again, up to an opener where the caller waits for one. */
static int settle(aios__callparse *p, aios_error *err)
{
    int rc = AIOS_OK;
    while (!rc && p->again_at < p->again.n && !(p->pause && p->opened))
        rc = read_byte(p, p->again.p[p->again_at++], err);
    if (p->again_at == p->again.n) {
        aios__buf_clear(&p->again);
        p->again_at = 0;
    }
    return rc;
}

int aios__callparse_add(aios__callparse *p, const char *s, size_t n, size_t *used, aios_error *err)
{
    size_t i = 0;
    int rc = settle(p, err);
    while (!rc && i < n && p->state != AIOS__PARSE_OVER && !(p->pause && p->opened)) {
        rc = read_byte(p, s[i++], err);
        if (!rc && p->again.n)
            rc = settle(p, err);
    }
    if (used)
        *used = i;
    rc = rc ? rc : flush(p, p->state == AIOS__PARSE_OVER);
    return rc ? rc : flush_args(p);
}

int aios__callparse_finish(aios__callparse *p, aios_error *err)
{
    p->pause = false;
    int rc = settle(p, err);
    while (!rc && p->state >= AIOS__PARSE_HEAD && p->state < AIOS__PARSE_AFTER) {
        rc = aios__callparse_fail(p, err);
        rc = rc ? rc : settle(p, err);
    }
    if (!rc && p->state == AIOS__PARSE_AFTER) { /* the beginning of what would have closed it */
        aios__buf_clear(&p->held);
        for (size_t i = 0; !rc && i < p->raw.n; i++)
            rc = put_text(p, p->raw.p[i], err);
    }
    for (size_t i = 0; !rc && i < p->held.n && p->state != AIOS__PARSE_OVER; i++)
        rc = p->state == AIOS__PARSE_THINK ? put(p, true, p->held.p + i, 1, err) : put_text(p, p->held.p[i], err);
    rc = rc || !p->blanks.n ? rc : put(p, false, p->blanks.p, p->blanks.n, err);
    aios__buf_clear(&p->held);
    aios__buf_clear(&p->blanks);
    return rc ? rc : flush(p, true);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrated choice, a turn's side: where a tool's name comes next, all names are scored instead of a token chosen. */
#include "backend/gguf/gguf.h"
#include "backend/gguf/calibrate.h"

/* Found on the development part of bench/data/choice.jsonl with two models; see docs/small-models.md. */
#define PRIOR_WEIGHT 0.75
#define WORDS_WEIGHT 0.75
#define FIT_WEIGHT 0.5
#define CLOSE 1.5 /* margin under which the first few are asked how the request fits them */

struct aios__calibrate {
    aios__prior *prior;
    aios__ids neutral;    /* prompt of the turn that the prior is measured after */
    aios__ids question;   /* words of the last user text */
    double min_margin;
    enum { LOOKS, WAITS, DUE } state;
    aios__options options;
    uint32_t tool[AIOS__OPTIONS_MAX]; /* of each candidate */
    double total[AIOS__OPTIONS_MAX];  /* of each candidate */
    double words[AIOS__OPTIONS_MAX];  /* of each tool */
    double fit[AIOS__OPTIONS_MAX];    /* of each tool that was asked */
    uint32_t first[AIOS__FIT_TOOLS];  /* the best candidates, in order */
    uint32_t n_first;
    bool asked;                       /* how the request fits these */
};

/* ---- start ------------------------------------------------------------------------------------------------------------ */

static bool applies(const aios__gguf_session *s, const aios_request *req)
{
    return req->transcript && req->n_tools > 1 && req->n_tools <= AIOS__OPTIONS_MAX && !(req->flags & AIOS_REQUEST_PLAIN_CHOICE) &&
           s->turn.call_grammar && req->tool_choice != AIOS_TOOLS_NAMED && !aios__sampler_draws(s->turn.sampler);
}

static const aios_part *text_part(const aios_entry *e)
{
    const aios_part *found = NULL;
    for (uint32_t i = 0; i < e->n_parts; i++) {
        const aios_part *p = (const aios_part *)(const void *)((const char *)e->parts + i * e->part_stride);
        found = p->kind == AIOS_PART_TEXT ? p : found;
    }
    return found;
}

static int read_question(aios__calibrate *c, const aios__vocab *v, const aios_transcript *t, aios_error *err)
{
    for (uint32_t i = aios_transcript_count(t); i-- > 0;) {
        aios_entry e = AIOS_INIT(aios_entry);
        const aios_part *p = aios_transcript_at(t, i, &e) || e.role != AIOS_ROLE_USER ? NULL : text_part(&e);
        if (p)
            return aios__words_of_text(v, p->text, p->n_text == AIOS_CSTR ? strlen(p->text) : p->n_text, &c->question, err);
    }
    return AIOS_OK;
}

/* The prompt of the same tools and instructions after an empty user turn. */
static int make_neutral(aios__calibrate *c, const aios__gguf_model *m, const aios_request *req, aios_error *err)
{
    aios_transcript *t = NULL;
    aios_entry e = AIOS_INIT(aios_entry);
    aios_request neutral = *req;
    bool thinks;
    int rc = aios_transcript_new(m->ctx, &t, err);
    for (uint32_t i = 0; !rc && !aios_transcript_at(req->transcript, i, &e) && e.role == AIOS_ROLE_SYSTEM; i++) {
        rc = aios_transcript_add(t, &e, err);
        e = (aios_entry)AIOS_INIT(aios_entry);
    }
    rc = rc ? rc : aios_transcript_add_text(t, AIOS_ROLE_USER, "", 0, err);
    neutral.transcript = t;
    rc = rc ? rc : aios__prompt_make(m, &neutral, true, &c->neutral, &thinks, err);
    aios_transcript_free(t);
    return rc;
}

int aios__calibrate_start(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios__gguf_model *m = s->model;
    if (!applies(s, req))
        return AIOS_OK;
    aios__calibrate *c = aios__alloc(m->heap, AIOS_MEM_SCRATCH, sizeof *c, err);
    if (!c)
        return aios__no_memory(err);
    s->turn.calibrate = c;
    c->neutral.heap = c->question.heap = c->options.ids.heap = m->heap;
    c->min_margin = (double)req->min_margin;
    int rc = aios__prior_get(m, req, &c->prior, err);
    rc = rc ? rc : read_question(c, m->vocab, req->transcript, err);
    return rc || c->prior->measured ? rc : make_neutral(c, m, req, err);
}

void aios__calibrate_free(aios__gguf_session *s)
{
    aios__calibrate *c = s->turn.calibrate;
    if (!c)
        return;
    aios__prior_drop(s->model, c->prior);
    aios__ids_free(&c->neutral);
    aios__ids_free(&c->question);
    aios__options_free(&c->options);
    aios__free(s->model->heap, c);
    s->turn.calibrate = NULL;
}

/* ---- in front of a choice ----------------------------------------------------------------------------------------------- */

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

/* Whose name a literal begins with; prior->n: nobody's. */
static uint32_t tool_of(const aios__prior *p, const char *s, size_t n)
{
    size_t from = 0, to;
    while (from < n && !is_name(s[from]))
        from++;
    for (to = from; to < n && is_name(s[to]);)
        to++;
    return aios__prior_find(p, s + from, to - from);
}

/* The choice that a walk stands in front of, as tokens; o->n 0: none of tools. */
static int read_options(const aios__gguf_session *s, const aios_walk *w, aios__options *o, uint32_t *tool, aios_error *err)
{
    const aios__calibrate *c = s->turn.calibrate;
    aios__literals l;
    aios__buf forced;
    bool known = true;
    aios__buf_init(&forced, s->model->heap, AIOS_MEM_SCRATCH, 0);
    o->n = 0;
    int rc = aios__walk_literals(w, &forced, &l, err);
    for (uint32_t i = 0; !rc && i < l.n && i < AIOS__OPTIONS_MAX && known; i++) {
        size_t n;
        const char *p = aios__literal_at(&l, i, &n, &known);
        tool[i] = known ? tool_of(c->prior, p, n) : 0;
        known = known && tool[i] < c->prior->n;
    }
    if (!rc && known && l.n > 1)
        rc = aios__options_make(s->model->vocab, &forced, &l, o, err);
    aios__buf_free(&forced);
    return rc;
}

static uint32_t longest(const aios__options *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n; i++)
        n = o->len[i] > n ? o->len[i] : n;
    return n;
}

int aios__calibrate_look(aios__gguf_session *s, bool *waits, aios_error *err)
{
    aios__turn *t = &s->turn;
    aios__calibrate *c = t->calibrate;
    *waits = c && c->state != LOOKS;
    if (!c || *waits || t->walks[0] || !t->walks[1])
        return AIOS_AGAIN;
    int rc = read_options(s, t->walks[1], &c->options, c->tool, err);
    uint32_t room = s->n_ctx - s->kv->n - (t->prompt.n - t->at), n = c->options.n_common + longest(&c->options);
    if (rc || !c->options.n || t->n_todo + n >= AIOS__TODO || t->n_todo + n >= room || t->n_out + n >= t->n_max)
        return rc ? rc : AIOS_AGAIN;
    *waits = true;
    c->state = WAITS;
    rc = AIOS_AGAIN;
    for (uint32_t i = 0; i < c->options.n_common && rc == AIOS_AGAIN; i++) {
        t->n_forced++;
        rc = aios__turn_take(s, c->options.ids.p[i], err);
    }
    return rc;
}

bool aios__calibrate_waits(const aios__gguf_session *s)
{
    return s->turn.calibrate && s->turn.calibrate->state == WAITS;
}

int aios__calibrate_root(aios__gguf_session *s, const float *logits)
{
    aios__options_root(&s->turn.calibrate->options, logits);
    s->turn.calibrate->state = DUE;
    return AIOS_AGAIN;
}

bool aios__calibrate_is_due(const aios__gguf_session *s)
{
    return s->turn.calibrate && s->turn.calibrate->state == DUE;
}

/* ---- the prior ------------------------------------------------------------------------------------------------------------ */

/* Scores of the first call of a reply to the neutral turn, from a cache that has what is known of its prompt. */
static int score_neutral(aios__gguf_session *s, aios__options *o, aios__kv *kv, aios_error *err)
{
    aios__ids *ids = &s->turn.calibrate->neutral;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < o->n_common; i++)
        rc = aios__ids_add(ids, o->ids.p[i], err);
    float *logits = rc ? NULL : aios__alloc_array(s->model->heap, AIOS_MEM_SCRATCH, s->model->net->hp.n_vocab, sizeof *logits, err);
    if (!logits)
        return rc ? rc : aios__no_memory(err);
    uint32_t have = aios__kv_resume(kv, ids->p, ids->n - 1);
    rc = aios__kv_eval(kv, ids->p + have, ids->n - have, logits, 1, err);
    if (!rc)
        aios__options_root(o, logits);
    aios__free(s->model->heap, logits);
    return rc ? rc : aios__options_score(o, kv, err);
}

static int measure(aios__gguf_session *s, aios__options *o, aios_error *err)
{
    aios__calibrate *c = s->turn.calibrate;
    uint32_t tool[AIOS__OPTIONS_MAX];
    aios_walk *w = NULL;
    aios__kv *kv = NULL;
    int rc = aios_walk_new(s->turn.call_grammar, &w, err);
    rc = rc ? rc : read_options(s, w, o, tool, err);
    aios_walk_free(w);
    if (rc || !o->n || c->neutral.n + o->n_common + longest(o) > s->n_ctx)
        return rc; /* without room for it every tool has the same prior */
    rc = aios__kv_new(s->model->net, s->n_ctx, &kv, err);
    rc = rc ? rc : score_neutral(s, o, kv, err);
    aios__kv_free(kv);
    for (uint32_t i = 0; !rc && i < o->n; i++)
        c->prior->score[tool[i]] = o->score[i];
    c->prior->measured = !rc;
    if (!rc)
        aios__prior_keep(s->model, c->prior);
    return rc;
}

static int need_prior(aios__gguf_session *s, aios_error *err)
{
    if (s->turn.calibrate->prior->measured)
        return AIOS_OK;
    aios__options *o = aios__alloc(s->model->heap, AIOS_MEM_SCRATCH, sizeof *o, err);
    if (!o)
        return aios__no_memory(err);
    o->ids.heap = s->model->heap;
    int rc = measure(s, o, err);
    aios__options_free(o);
    aios__free(s->model->heap, o);
    return rc;
}

/* ---- the choice ------------------------------------------------------------------------------------------------------------- */

static void add_up(aios__calibrate *c)
{
    for (uint32_t i = 0; i < c->options.n; i++)
        c->total[i] = c->options.score[i] - PRIOR_WEIGHT * c->prior->score[c->tool[i]] + WORDS_WEIGHT * c->words[c->tool[i]];
}

/* The first few of the n candidates that `of` names, by their totals; of equal ones the earlier. */
static void find_first(aios__calibrate *c, const uint32_t *of, uint32_t n)
{
    uint32_t first[AIOS__FIT_TOOLS], k = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t x = of ? of[i] : i, at = k;
        for (; at && c->total[first[at - 1]] < c->total[x]; at--)
            if (at < AIOS__FIT_TOOLS)
                first[at] = first[at - 1];
        if (at < AIOS__FIT_TOOLS)
            first[at] = x;
        k += k < AIOS__FIT_TOOLS;
    }
    memcpy(c->first, first, k * sizeof *first);
    c->n_first = k;
}

static double margin_of(const aios__calibrate *c)
{
    return c->total[c->first[0]] - c->total[c->first[1]];
}

/* A close choice is left to how well the request fits the first few; no other comes before them. */
static int ask_fit(aios__gguf_session *s, aios_error *err)
{
    aios__calibrate *c = s->turn.calibrate;
    uint32_t tools[AIOS__FIT_TOOLS], of[AIOS__FIT_TOOLS];
    for (uint32_t i = 0; i < c->n_first; i++)
        tools[i] = c->tool[of[i] = c->first[i]];
    int rc = aios__fit_score(s->model->net, s->n_ctx, c->prior, &c->question, tools, c->n_first, c->fit, err);
    if (rc)
        return rc;
    double most = c->fit[tools[0]];
    for (uint32_t i = 1; i < c->n_first; i++)
        most = c->fit[tools[i]] > most ? c->fit[tools[i]] : most;
    for (uint32_t i = 0; i < c->n_first; i++)
        c->total[of[i]] += FIT_WEIGHT * (c->fit[tools[i]] - most);
    c->asked = true;
    find_first(c, of, c->n_first);
    return AIOS_OK;
}

static int decide(aios__gguf_session *s, aios_error *err)
{
    aios__calibrate *c = s->turn.calibrate;
    const aios__prior *p = c->prior;
    int rc = aios__options_score(&c->options, s->kv, err);
    rc = rc ? rc : need_prior(s, err);
    rc = rc ? rc : aios__words_score(s->model->net, &c->question, p->ids, p->at, p->n, c->words, err);
    if (rc)
        return rc;
    c->asked = false;
    add_up(c);
    find_first(c, NULL, c->options.n);
    return margin_of(c) < CLOSE && aios__fit_has_room(s->n_ctx) ? ask_fit(s, err) : AIOS_OK;
}

static bool was_asked(const aios__calibrate *c, uint32_t i)
{
    for (uint32_t k = 0; c->asked && k < c->n_first; k++)
        if (c->first[k] == i)
            return true;
    return false;
}

static const char *name_of(const aios__calibrate *c, uint32_t i)
{
    return c->prior->names + c->prior->name_at[c->tool[i]];
}

static int add_number(aios__buf *b, const char *key, double x, aios_error *err)
{
    int rc = aios__buf_adds(b, key, err);
    return rc ? rc : aios__buf_add_real(b, x, 6, err);
}

static int tell(aios__gguf_session *s, aios_error *err)
{
    const aios__calibrate *c = s->turn.calibrate;
    const aios_sink *sink = s->turn.reply.sink;
    aios__buf b;
    aios__buf_init(&b, s->model->heap, AIOS_MEM_TEXT, 0);
    int rc = add_number(&b, "{\"margin\":", margin_of(c), err);
    rc = rc ? rc : aios__buf_addf(&b, err, ",\"kept\":%s,\"candidates\":[", margin_of(c) < c->min_margin ? "false" : "true");
    for (uint32_t i = 0; !rc && i < c->options.n; i++) {
        rc = aios__buf_addf(&b, err, "%s{\"name\":\"%s\"", i ? "," : "", name_of(c, i));
        rc = rc ? rc : add_number(&b, ",\"score\":", c->total[i], err);
        rc = rc ? rc : add_number(&b, ",\"model\":", c->options.score[i], err);
        rc = rc ? rc : add_number(&b, ",\"prior\":", c->prior->score[c->tool[i]], err);
        rc = rc ? rc : add_number(&b, ",\"words\":", c->words[c->tool[i]], err);
        rc = rc || !was_asked(c, i) ? rc : add_number(&b, ",\"fit\":", c->fit[c->tool[i]], err);
        rc = rc ? rc : aios__buf_addc(&b, '}', err);
    }
    rc = rc ? rc : aios__buf_adds(&b, "]}", err);
    rc = rc ? rc : sink->choice(sink->user, name_of(c, c->first[0]), b.p, b.n);
    aios__buf_free(&b);
    return rc;
}

/* Nothing of the call that was begun goes out. */
static int end_unsure(aios__gguf_session *s, aios_error *err)
{
    aios__buf_clear(&s->turn.reply.calls);
    return aios__turn_finish(s, "unsure", err);
}

int aios__calibrate_finish(aios__gguf_session *s, aios_error *err)
{
    aios__calibrate *c = s->turn.calibrate;
    const aios__options *o = &c->options;
    c->state = LOOKS;
    int rc = decide(s, err);
    rc = rc ? rc : tell(s, err);
    if (rc || margin_of(c) < c->min_margin)
        return rc ? rc : end_unsure(s, err);
    uint32_t best = c->first[0];
    rc = AIOS_AGAIN;
    for (uint32_t i = 0; i < o->len[best] && rc == AIOS_AGAIN; i++)
        rc = aios__turn_take(s, o->ids.p[o->at[best] + i], err);
    return rc == AIOS_AGAIN ? aios__turn_look_ahead(s, err) : rc;
}

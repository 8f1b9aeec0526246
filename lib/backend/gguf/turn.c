/* SPDX-License-Identifier: Apache-2.0 */
/* One turn: which rows it has for the next pass, and what becomes of the tokens that are chosen behind them. */
#include "backend/gguf/gguf.h"

enum { MAX_CALLS = 16, HELD_NS = 10000000 };

/* ---- start -------------------------------------------------------------------------------------------------------- */

uint32_t aios__session_reuse(aios__gguf_session *s, const int32_t *ids, uint32_t n)
{
    return aios__kv_resume(s->kv, ids, n ? n - 1 : 0); /* the last one is computed for its logits */
}

static int start_schema(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios_grammar *g = NULL;
    if (req->grammar)
        return aios_walk_new(req->grammar, &s->turn.walks[0], err);
    if (!req->schema_json)
        return AIOS_OK;
    int rc = aios_grammar_compile(s->model->ctx, AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED, req->schema_json, strlen(req->schema_json), &g, err);
    rc = rc ? rc : aios_walk_new(g, &s->turn.walks[0], err);
    aios_grammar_free(g); /* the walk holds it */
    return rc;
}

/* Calls: a grammar from the first token (required, named), or one that waits for an opener (auto). */
static int start_calls(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios__gguf_model *m = s->model;
    if (!req->n_tools)
        return AIOS_OK;
    int rc = aios__reply_watch(&t->reply, req, err);
    if (rc || req->tool_choice == AIOS_TOOLS_NONE) {
        t->reply.cut_calls = t->reply.may_call = true;
        return rc;
    }
    bool forced = req->tool_choice != AIOS_TOOLS_AUTO;
    rc = aios__grammar_calls(m->ctx, req->tools, req->tool_stride, req->n_tools, req->tool_choice == AIOS_TOOLS_NAMED ? req->tool_name : NULL,
                             m->calls, req->flags & AIOS_REQUEST_ONE_CALL ? 1 : MAX_CALLS, &t->call_grammar, err);
    if (!rc && (forced || t->walks[0]))
        rc = aios_walk_new(t->call_grammar, &t->walks[1], err);
    if (!rc && forced) {
        aios_walk_free(t->walks[0]);
        t->walks[0] = NULL;
        t->reply.state = AIOS__REPLY_CALLS;
    }
    t->reply.may_call = !forced && !m->calls->bare;
    return rc ? rc : aios__calibrate_start(s, req, err);
}

static int start_reply(aios__gguf_session *s, const aios_request *req, bool thinks, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios__gguf_model *m = s->model;
    int rc = AIOS_OK;
    t->reply.state = thinks ? AIOS__REPLY_THINK : AIOS__REPLY_TEXT;
    t->reply.parse.may_think = req->transcript && m->tmpl && !req->schema_json && !req->grammar;
    t->reply.parse.trim = req->transcript && !m->tmpl && !req->grammar;
    for (uint32_t i = 0; !rc && req->stop && req->stop[i]; i++)
        rc = aios__reply_add_stop(&t->reply, req->stop[i], err);
    if (!rc && req->transcript && !m->tmpl && !req->grammar)
        rc = aios__reply_add_stop(&t->reply, "\nUser:", err);
    rc = rc ? rc : start_schema(s, req, err);
    rc = rc ? rc : start_calls(s, req, err);
    if (t->walks[0] || t->walks[1]) {
        if (t->reply.state == AIOS__REPLY_THINK)
            t->reply.state = AIOS__REPLY_TEXT;
        t->reply.watch = t->reply.may_call = false;
    }
    return rc;
}

static int check_room(const aios__gguf_session *s, aios_error *err)
{
    const aios__turn *t = &s->turn;
    if (!t->prompt.n)
        return aios__fail(err, AIOS_EINVAL, "the prompt is empty");
    if (t->prompt.n >= s->n_ctx)
        return aios__fail_need(err, AIOS_ECONTEXT, s->n_ctx, (uint64_t)t->prompt.n + 1,
                               "the prompt has %u tokens, and with at least one of the reply %u are needed, but the context holds %u; "
                               "drop entries or open the model with a larger n_ctx",
                               t->prompt.n, t->prompt.n + 1, s->n_ctx);
    return AIOS_OK;
}

/* The prompt, and how much of it the cache has. */
static int start_prompt(aios__gguf_session *s, const aios_request *req, bool reply, bool *thinks, aios_error *err)
{
    aios__turn *t = &s->turn;
    aios__gguf_turn_end(s);
    atomic_store(&s->cancel, 0);
    t->active = true;
    aios__caches_take(&s->model->caches, &s->cached);
    s->cached.priority = req->priority; /* while it is taken nobody else reads it */
    s->cached.fixed = false;
    t->prompt.heap = s->model->heap;
    aios__outbox_init(&t->out, s->model->heap);
    aios__reply_init(&t->reply, s->model, &t->out.sink);
    t->err = (aios_error)AIOS_INIT(aios_error);
    t->rc = AIOS_AGAIN;
    int rc = aios__prompt_make(s->model, req, reply, &t->prompt, thinks, err);
    if (!rc)
        t->n_cached = t->at = aios__session_reuse(s, t->prompt.p, t->prompt.n);
    t->n_input = t->prompt.n;
    return rc;
}

int aios__gguf_turn_start(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__turn *t = &s->turn;
    bool thinks = false;
    int rc = start_prompt(s, req, true, &thinks, err);
    rc = rc ? rc : check_room(s, err);
    rc = rc ? rc : aios__sampler_new(s->model->ctx, req->sampling, s->model->net->hp.n_vocab, &t->sampler, err);
    rc = rc ? rc : aios__logprobs_start(s, req, err);
    rc = rc ? rc : start_reply(s, req, thinks, err);
    for (uint32_t i = 0; !rc && i < t->prompt.n; i++)
        aios__sampler_see(t->sampler, t->prompt.p[i]);
    uint32_t room = s->n_ctx - t->prompt.n;
    t->n_max = req->max_tokens && req->max_tokens < room ? req->max_tokens : room;
    t->max_think = req->max_reasoning;
    t->ignore_end = req->flags & AIOS_REQUEST_IGNORE_EOS;
    aios__turn_set_bans(s);
    t->close_at = UINT32_MAX;
    t->text_at = t->prompt.n;
    rc = rc ? rc : aios__sched_add(s->model->sched, s, req, err);
    if (rc)
        aios__gguf_turn_end(s);
    return rc;
}

int aios__gguf_turn_prewarm(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__turn *t = &s->turn;
    bool thinks;
    int rc = start_prompt(s, req, false, &thinks, err);
    if (!rc && t->prompt.n > s->n_ctx)
        rc = aios__fail_need(err, AIOS_ECONTEXT, s->n_ctx, t->prompt.n, "the prefix has %u tokens, but the context holds %u", t->prompt.n, s->n_ctx);
    t->mute = true;
    if (!rc && t->prompt.n)
        rc = aios__sched_add(s->model->sched, s, req, err);
    if (rc || !t->prompt.n) {
        aios__gguf_turn_end(s);
        return rc;
    }
    while ((rc = aios__gguf_turn_step(s, NULL, err)) == AIOS_AGAIN)
        ;
    return rc == AIOS_DONE ? AIOS_OK : rc;
}

void aios__gguf_turn_end(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    if (!t->active)
        return;
    aios__sched_remove(s->model->sched, s);
    aios__ids_free(&t->prompt);
    aios__sampler_free(t->sampler);
    for (int i = 0; i < AIOS__WALKS; i++)
        aios_walk_free(t->walks[i]);
    aios_grammar_free(t->call_grammar);
    aios__calibrate_free(s);
    aios__reply_free(&t->reply);
    aios__logprobs_free(s);
    aios__outbox_free(&t->out);
    aios__free(s->model->heap, s->bits);
    aios__free(s->model->heap, t->ahead.masks);
    s->bits = NULL;
    memset(t, 0, sizeof *t);
    aios__caches_put(&s->model->caches, &s->cached);
}

/* ---- end ---------------------------------------------------------------------------------------------------------- */

/* The time since the pass began goes to the prompt or to the reply. */
static void count_time(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    int64_t now = aios__now_ns(aios__ctx_env(s->model->ctx));
    *(t->replies ? &t->decode_ns : &t->prefill_ns) += now - t->since;
    t->since = now;
}

int aios__turn_finish(aios__gguf_session *s, const char *reason, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios_sink *sink = t->reply.sink;
    count_time(s);
    int rc = aios__reply_finish(&t->reply, err);
    rc = rc ? rc : aios__logprobs_send(s, true, err);
    if (rc)
        return rc;
    aios_usage usage = AIOS_INIT(aios_usage);
    usage.input = t->n_input;
    usage.cached = t->n_cached;
    usage.output = t->n_out;
    usage.reasoning = t->n_think;
    usage.prefill_ns = t->prefill_ns;
    usage.decode_ns = t->decode_ns;
    usage.drafted = t->draft.n_drafted;
    usage.accepted = t->draft.n_accepted;
    usage.forced = t->n_forced;
    usage.passes = t->n_passes;
    usage.grammar_ns = t->grammar_ns;
    usage.queue_ns = s->job.queue_ns;
    rc = sink->usage(sink->user, &usage);
    rc = rc ? rc : sink->stop(sink->user, t->reply.parse.n_calls && !strcmp(reason, "stop") ? "tool_calls" : reason);
    return rc ? rc : AIOS_DONE;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static uint32_t count_rows(const aios__turn *t)
{
    return t->prompt.n - t->at + t->n_todo;
}

void aios__turn_prepare(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    t->since = aios__now_ns(aios__ctx_env(s->model->ctx));
    t->rc = aios__turn_constrained(t) ? aios__turn_look_ahead(s, &t->err) : AIOS_AGAIN;
    t->rc = t->rc == AIOS_AGAIN ? aios__ahead_make(s, aios__turn_walk(t), &t->err) : t->rc;
    count_time(s);
}

/* The choice that stands between two passes; false: the turn is over. */
static bool score_choice(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    t->since = aios__now_ns(aios__ctx_env(s->model->ctx));
    t->rc = aios__calibrate_finish(s, &t->err);
    if (t->rc == AIOS_AGAIN)
        count_time(s);
    return t->rc == AIOS_AGAIN;
}

/* Of a prompt that is under way: what others have computed meanwhile. */
static void take_over(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    uint32_t had = t->at;
    /* of a reply that is computed again the last token is one of those to come */
    t->at = t->again && t->n_todo ? aios__kv_resume(s->kv, t->prompt.p, t->prompt.n) : aios__session_reuse(s, t->prompt.p, t->prompt.n);
    t->n_cached += t->at > had && !t->again ? t->at - had : 0;
}

bool aios__turn_plan(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    if (aios__calibrate_is_due(s) && !score_choice(s))
        return true;
    if (t->at < t->prompt.n)
        take_over(s);
    uint32_t n = count_rows(t), room = s->n_ctx - s->kv->n, wish = n + AIOS__DRAFT_MAX < AIOS__CHUNK ? n + AIOS__DRAFT_MAX : AIOS__CHUNK;
    t->since = aios__now_ns(aios__ctx_env(s->model->ctx));
    s->job.n_waiting = n;
    s->job.prompt = t->prompt.n - t->at > AIOS__NARROW;
    if (n > room) { /* an opener cut into more tokens than it was chosen as */
        t->rc = aios__turn_finish(s, aios__turn_limit(t), &t->err);
        return true;
    }
    wish = wish < room ? wish : room;
    t->rc = aios__kv_reserve(s->kv, wish, &t->err);
    if (!t->rc)
        t->rc = aios__ids_reserve(&t->prompt, s->kv->n + wish, &t->err); /* to let go of the cache takes no memory */
    t->rc = t->rc ? t->rc : AIOS_AGAIN;
    return t->rc != AIOS_EBUDGET;
}

bool aios__turn_let_go(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    if (aios__calibrate_is_due(s) || s->kv->n > t->prompt.cap)
        return false;
    for (uint32_t i = t->at == t->prompt.n ? 0 : s->kv->n; i < s->kv->n; i++)
        t->prompt.p[i] = *aios__kv_id(s->kv, i);
    if (t->at == t->prompt.n)
        t->prompt.n = s->kv->n;
    t->again = true;
    t->at = 0;
    aios__kv_settle(s->kv);
    aios__kv_truncate(s->kv, 0);
    return true;
}

uint32_t aios__turn_common(const aios__gguf_session *a, const aios__gguf_session *b)
{
    const aios__ids *x = &a->turn.prompt, *y = &b->turn.prompt;
    uint32_t i = 0;
    while (i < x->n && i < y->n && x->p[i] == y->p[i])
        i++;
    return i;
}

/* Writes the first n of the tokens that wait behind those in the cache. */
static void write_ids(aios__gguf_session *s, uint32_t n)
{
    const aios__turn *t = &s->turn;
    uint32_t n_prompt = t->prompt.n - t->at;
    for (uint32_t i = 0; i < n; i++)
        *aios__kv_id(s->kv, s->kv->n + i) = i < n_prompt ? t->prompt.p[t->at + i] : t->todo[i - n_prompt];
}

/* Guesses behind n sure rows, as many as there is room for and the reply may still take. */
static uint32_t count_drafts(aios__gguf_session *s, uint32_t n, uint32_t max)
{
    const aios__turn *t = &s->turn;
    uint32_t room = s->n_ctx - s->kv->n - n, left = t->n_max - t->n_out;
    max = max < room ? max : room;
    max = max < left ? max : left;
    return s->drafts && !t->mute ? aios__draft_length(&s->turn.draft, max < AIOS__DRAFT_MAX ? max : AIOS__DRAFT_MAX) : 0;
}

void aios__turn_guess(aios__gguf_session *s, uint32_t max)
{
    aios__turn *t = &s->turn;
    t->draft.n_ids = 0;
    if (!s->guesser || s->job.prompt || t->rc != AIOS_AGAIN)
        return;
    uint32_t n = count_rows(t);
    write_ids(s, n);
    const aios__guess_args args = {.kv = s->kv, .n = s->kv->n + n, .max = count_drafts(s, n, max), .bans = &t->bans, .cancel = &s->cancel};
    t->draft.n_ids = aios__draft_model_guess(s->guesser, &args, t->draft.ids);
}

/* Guesses behind n sure rows. */
static uint32_t add_drafts(aios__gguf_session *s, uint32_t n, uint32_t max)
{
    aios__draft *d = &s->turn.draft;
    if (!s->guesser)
        return aios__draft_lookup(s->kv, s->kv->n + n, count_drafts(s, n, max));
    max = d->n_ids < max ? d->n_ids : max;
    for (uint32_t i = 0; i < max; i++)
        *aios__kv_id(s->kv, s->kv->n + n + i) = d->ids[i];
    return max;
}

/* Guesses behind `all` rows that are sure: by the grammar, or as without one. */
static uint32_t add_guesses(aios__gguf_session *s, uint32_t all, uint32_t max)
{
    aios__turn *t = &s->turn;
    uint32_t room = s->n_ctx - s->kv->n - all, left = t->n_max - t->n_out, n = 0;
    room = room < left ? room : left;
    t->ahead.n_used = 0;
    if (!max || aios__calibrate_waits(s))
        return 0;
    if (aios__turn_constrained(t))
        n = aios__ahead_use(s, s->kv->n + all, room < max ? room : max);
    return n ? n : add_drafts(s, all, max);
}

/* Which rows behind the sure ones want logits, and of which tokens. */
static void set_wants(aios__gguf_session *s, aios__row *rows, uint32_t all, uint32_t n)
{
    aios__turn *t = &s->turn;
    size_t n_words = (s->model->net->hp.n_vocab + 31) / 32;
    t->largest = aios__turn_wants_largest(s);
    s->job.n_wants = 0;
    for (uint32_t k = 0; all - 1 + k < n; k++) {
        aios__row *row = &rows[all - 1 + k];
        bool chosen = !k || !t->ahead.n_used || t->ahead.mask[k] >= 0;
        t->slot[k] = chosen ? (int8_t)s->job.n_wants++ : -1;
        row->want = chosen;
        if (k && t->ahead.n_used)
            row->allowed = chosen ? t->ahead.masks + (size_t)t->ahead.mask[k] * n_words : NULL;
        else if (!k && aios__turn_constrained(t))
            row->allowed = s->bits;
        row->best = chosen && t->largest ? &t->best[t->slot[k]] : NULL;
        row->bans = &t->bans;
        row->allowed = t->logprobs.on ? NULL : row->allowed; /* how likely a token is depends on all */
    }
    s->job.n_logits = t->largest ? 0 : s->job.n_wants;
}

uint32_t aios__turn_rows(aios__gguf_session *s, aios__row *rows, uint32_t max, uint32_t n_drafts)
{
    aios__turn *t = &s->turn;
    aios__kv *kv = s->kv;
    uint32_t all = count_rows(t), n = all < max ? all : max;
    bool replies = n == all && !t->mute;
    write_ids(s, n);
    s->job.n_sure = n;
    t->ahead.n_used = 0;
    t->draft.n = replies ? add_guesses(s, n, n_drafts) : 0;
    n += t->draft.n;
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (aios__row){.kv = kv, .pos = kv->n + i, .id = *aios__kv_id(kv, kv->n + i)};
    s->job.n_wants = s->job.n_logits = 0;
    t->largest = false;
    if (replies)
        set_wants(s, rows, all, n);
    s->job.n_rows = n;
    return n;
}

/* What was computed is in the cache from here on. */
static void keep_rows(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    uint32_t n = s->job.n_sure, n_prompt = t->prompt.n - t->at;
    n_prompt = n_prompt < n ? n_prompt : n;
    t->at += n_prompt;
    t->n_todo -= n - n_prompt;
    memmove(t->todo, t->todo + (n - n_prompt), t->n_todo * sizeof *t->todo);
    s->kv->n += n;
    if (n_prompt)
        aios__kv_settle(s->kv); /* others may begin with it */
}

/* What was chosen, as far as it was guessed: it has been computed already. */
static uint32_t count_true(const aios__gguf_session *s, uint32_t n_left)
{
    const aios__turn *t = &s->turn;
    uint32_t n = 0;
    while (!t->rewound && n < t->n_todo && n < n_left && t->todo[n] == *aios__kv_id(s->kv, s->kv->n + n))
        n++;
    return n;
}

/* Takes a chosen token, or the end of what a grammar wants while it is still in reach. */
static int take_or_close(aios__gguf_session *s, int32_t id, aios_error *err)
{
    bool closed;
    int rc = aios__turn_close(s, id, &closed, err);
    return rc || closed ? rc : aios__turn_take(s, id, err);
}

/* What was computed behind n guesses tells the next choice: its logits are there, of all that its mask allows. */
static bool tells(const aios__gguf_session *s, uint32_t n)
{
    const aios__turn *t = &s->turn;
    size_t n_words = (s->model->net->hp.n_vocab + 31) / 32;
    bool constrained = aios__turn_constrained(t);
    if (t->slot[n] < 0 || (t->largest && aios__calibrate_waits(s)))
        return false;
    if (t->ahead.n_used)
        return constrained && !memcmp(t->ahead.masks + (size_t)t->ahead.mask[n] * n_words, s->bits, n_words * sizeof *s->bits);
    return !t->largest || !constrained;
}

static void score(aios__turn *t, uint32_t n_true)
{
    if (!t->ahead.n_used) {
        aios__draft_score(&t->draft, n_true);
        return;
    }
    t->draft.n_drafted += t->ahead.n_used;
    t->draft.n_accepted += n_true;
    t->draft.n = 0;
}

/* Chooses token after token as long as their logits are there. */
static int reply(aios__gguf_session *s, float *logits, aios__candidate *room, aios_error *err)
{
    aios__turn *t = &s->turn;
    uint32_t n_true = 0, n;
    int32_t id;
    int rc;
    t->rewound = false;
    do {
        float *row = t->largest ? NULL : logits + (size_t)t->slot[n_true] * s->model->net->hp.n_vocab;
        if (aios__calibrate_waits(s)) {
            score(t, n_true);
            return aios__calibrate_root(s, row);
        }
        id = t->largest ? t->best[t->slot[n_true]] : -1;
        aios__logprobs_look(s, row);
        rc = t->largest ? AIOS_OK : aios__turn_choose(s, row, room, &id, err);
        aios__ahead_learn(s, n_true, id);
        aios__logprobs_chosen(s, id);
        rc = rc ? rc : take_or_close(s, id, err);
        rc = rc == AIOS_AGAIN ? aios__turn_look_ahead(s, err) : rc;
        n = rc == AIOS_AGAIN ? count_true(s, t->draft.n - n_true) : 0;
        s->kv->n += n;
        n_true += n;
        t->n_todo -= n;
        memmove(t->todo, t->todo + n, t->n_todo * sizeof *t->todo);
    } while (n && !t->n_todo && tells(s, n_true));
    if (n && !t->n_todo) /* its logits are not there: the last row is computed again */
        t->todo[t->n_todo++] = *aios__kv_id(s->kv, --s->kv->n);
    score(t, n_true);
    return rc == AIOS_AGAIN ? aios__ahead_make(s, aios__turn_walk(t), err) : rc;
}

static int proceed(aios__gguf_session *s, float *logits, aios__candidate *room, aios_error *err)
{
    const aios__turn *t = &s->turn;
    keep_rows(s);
    if (t->mute && t->at == t->prompt.n)
        return AIOS_DONE;
    return s->job.n_wants ? reply(s, logits, room, err) : AIOS_AGAIN;
}

void aios__turn_computed(aios__gguf_session *s, int64_t since, float *logits, aios__candidate *room)
{
    aios__turn *t = &s->turn;
    t->since = since;
    t->replies = t->at == t->prompt.n;
    t->n_passes += s->job.n_wants > 0;
    t->rc = proceed(s, logits, room, &t->err);
    count_time(s);
}

int aios__gguf_turn_step(aios__gguf_session *s, const aios_sink *sink, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__turn *t = &s->turn;
    if (!t->active)
        return aios__fail(err, AIOS_ESTATE, "no turn was started");
    bool parks = sink && aios__sink_parks(sink), held = false;
    bool ready = !atomic_load(&s->cancel) && aios__sched_wait(s->model->sched, s, parks, &held);
    int rc = AIOS_AGAIN;
    if (atomic_load(&s->cancel)) {
        rc = aios__fail(err, AIOS_ECANCELED, "the turn was cancelled");
    } else if (ready) {
        rc = aios__outbox_flush(&t->out, sink);
        if (!rc && (rc = t->rc) < 0)
            aios__error_copy(err, &t->err);
    }
    if (rc != AIOS_AGAIN)
        aios__gguf_turn_end(s);
    else if (ready)
        aios__sched_go_on(s->model->sched, s);
    else if (held && parks)
        rc = aios__sink_park(sink, aios__now_ns(aios__ctx_env(s->model->ctx)) + HELD_NS);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One turn: the prompt is computed chunk by chunk, then tokens are chosen, sent up and computed, one step at a time. */
#include <math.h>

#include "backend/gguf/gguf.h"
#include "backend/gguf/vocab_priv.h"

enum { MAX_CALLS = 16, FORCED_BYTES = 256 };

/* ---- start -------------------------------------------------------------------------------------------------------- */

uint32_t aios__session_reuse(aios__gguf_session *s, const int32_t *ids, uint32_t n)
{
    return aios__kv_resume(s->kv, ids, n ? n - 1 : 0); /* the last one is computed for its logits */
}

static int make_room(aios__gguf_session *s, aios_error *err)
{
    aios__net *net = s->model->net;
    if (!s->logits)
        s->logits = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, net->hp.n_vocab, sizeof *s->logits, err);
    if (s->logits && !s->bits)
        s->bits = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, ((size_t)net->hp.n_vocab + 31) / 32, sizeof *s->bits, err);
    return s->bits ? AIOS_OK : aios__no_memory(err);
}

static int start_schema(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios_grammar *g = NULL;
    if (!req->schema_json)
        return AIOS_OK;
    int rc = aios_grammar_compile(s->model->ctx, AIOS_GRAMMAR_SCHEMA, req->schema_json, strlen(req->schema_json), &g, err);
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
    t->reply.opener = m->dialect->opener;
    t->reply.name_key = m->dialect->calls.name_key;
    if (req->tool_choice == AIOS_TOOLS_NONE) {
        t->reply.cut_calls = t->reply.may_call = true;
        return AIOS_OK;
    }
    bool forced = req->tool_choice != AIOS_TOOLS_AUTO;
    int rc = aios__grammar_calls(m->ctx, req->tools, req->tool_stride, req->n_tools, req->tool_choice == AIOS_TOOLS_NAMED ? req->tool_name : NULL,
                                 &m->dialect->calls, req->flags & AIOS_REQUEST_ONE_CALL ? 1 : MAX_CALLS, false, &t->call_grammar, err);
    if (!rc && (forced || t->walks[0]))
        rc = aios_walk_new(t->call_grammar, &t->walks[1], err);
    if (!rc && forced) {
        aios_walk_free(t->walks[0]);
        t->walks[0] = NULL;
        t->reply.state = AIOS__REPLY_CALLS;
    }
    t->reply.may_call = !forced && m->dialect->calls.open[0];
    return rc;
}

static int start_reply(aios__gguf_session *s, const aios_request *req, bool thinks, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios__gguf_model *m = s->model;
    int rc = AIOS_OK;
    t->reply.state = thinks ? AIOS__REPLY_THINK : AIOS__REPLY_TEXT;
    t->reply.may_think = req->transcript && m->tmpl && !req->schema_json;
    t->reply.trim = req->transcript && !m->tmpl;
    for (uint32_t i = 0; !rc && req->stop && req->stop[i]; i++)
        rc = aios__reply_add_stop(&t->reply, req->stop[i], err);
    if (!rc && req->transcript && !m->tmpl)
        rc = aios__reply_add_stop(&t->reply, "\nUser:", err);
    rc = rc ? rc : start_schema(s, req, err);
    rc = rc ? rc : start_calls(s, req, err);
    if (t->walks[0] || t->walks[1]) {
        if (t->reply.state == AIOS__REPLY_THINK)
            t->reply.state = AIOS__REPLY_TEXT;
        t->reply.opener = NULL;
        t->reply.may_call = false;
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

int aios__gguf_turn_start(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__gguf_turn_end(s);
    aios__turn *t = &s->turn;
    bool thinks = false;
    atomic_store(&s->cancel, 0);
    t->prompt.heap = s->model->heap;
    aios__reply_init(&t->reply, s->model->heap);
    t->active = true;
    int rc = make_room(s, err);
    rc = rc ? rc : aios__prompt_make(s->model, req, true, &t->prompt, &thinks, err);
    rc = rc ? rc : check_room(s, err);
    rc = rc ? rc : aios__sampler_new(s->model->ctx, req->sampling, s->model->net->hp.n_vocab, &t->sampler, err);
    rc = rc ? rc : start_reply(s, req, thinks, err);
    if (rc) {
        aios__gguf_turn_end(s);
        return rc;
    }
    for (uint32_t i = 0; i < t->prompt.n; i++)
        aios__sampler_see(t->sampler, t->prompt.p[i]);
    uint32_t room = s->n_ctx - t->prompt.n;
    t->n_max = req->max_tokens && req->max_tokens < room ? req->max_tokens : room;
    t->max_think = req->max_reasoning;
    t->ignore_end = req->flags & AIOS_REQUEST_IGNORE_EOS;
    t->text_at = t->prompt.n;
    t->n_cached = aios__session_reuse(s, t->prompt.p, t->prompt.n);
    return AIOS_OK;
}

void aios__gguf_turn_end(aios__gguf_session *s)
{
    aios__turn *t = &s->turn;
    if (!t->active)
        return;
    aios__ids_free(&t->prompt);
    aios__sampler_free(t->sampler);
    for (int i = 0; i < AIOS__WALKS; i++)
        aios_walk_free(t->walks[i]);
    aios_grammar_free(t->call_grammar);
    aios__reply_free(&t->reply);
    memset(t, 0, sizeof *t);
}

/* ---- end ---------------------------------------------------------------------------------------------------------- */

static int finish(aios__gguf_session *s, const aios_sink *sink, const char *reason, aios_error *err)
{
    aios__turn *t = &s->turn;
    uint32_t n_calls = 0;
    int rc = aios__reply_finish(&t->reply, err);
    if (!rc && t->reply.calls.n && t->reply.state == AIOS__REPLY_CALLS)
        rc = aios__calls_send(s->model, t->reply.calls.p, t->reply.calls.n, sink, &n_calls, err);
    else if (!rc && t->reply.calls.n) /* a schema's value that could also have become a call */
        rc = sink->text(sink->user, t->reply.calls.p, t->reply.calls.n);
    if (rc)
        return rc;
    aios_usage usage = AIOS_INIT(aios_usage);
    usage.input = t->prompt.n;
    usage.cached = t->n_cached;
    usage.output = t->n_out;
    usage.reasoning = t->n_think;
    usage.prefill_ns = t->prefill_ns;
    usage.decode_ns = t->decode_ns;
    rc = sink->usage(sink->user, &usage);
    rc = rc ? rc : sink->stop(sink->user, n_calls && !strcmp(reason, "stop") ? "tool_calls" : reason);
    return rc ? rc : AIOS_DONE;
}

/* ---- grammar ------------------------------------------------------------------------------------------------------ */

static bool constrained(const aios__turn *t)
{
    return t->walks[0] || t->walks[1];
}

static bool complete(const aios__turn *t)
{
    return (t->walks[0] && aios_walk_complete(t->walks[0])) || (t->walks[1] && aios_walk_complete(t->walks[1]));
}

/* Fills s->bits with what the walks still alive allow; *only as of aios__walk_mask. */
static int mask(aios__gguf_session *s, uint32_t *n_allowed, int32_t *only, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios__trie *trie;
    uint32_t n_words = (s->model->net->hp.n_vocab + 31) / 32, n = 0;
    int rc = aios__gguf_model_trie(s->model, &trie, err);
    *n_allowed = 0;
    *only = -1;
    if (rc)
        return rc;
    const aios_walk *w = t->walks[0] ? t->walks[0] : t->walks[1];
    rc = aios__walk_mask(w, trie, s->bits, n_allowed, only, err);
    if (rc || !t->walks[0] || !t->walks[1])
        return rc;
    uint32_t *both = aios__alloc_array(s->model->heap, AIOS_MEM_SCRATCH, n_words, sizeof *both, err);
    if (!both)
        return aios__no_memory(err);
    rc = aios__walk_mask(t->walks[1], trie, both, &n, only, err);
    for (uint32_t i = 0; i < n_words; i++)
        s->bits[i] |= both[i];
    aios__free(s->model->heap, both);
    *n_allowed += n;
    *only = -1;
    return rc;
}

/* Moves the walks over the bytes of a token; those that do not accept it end. */
static int advance(aios__turn *t, const char *p, size_t n, aios_error *err)
{
    bool had = constrained(t);
    for (int i = 0; i < AIOS__WALKS; i++) {
        aios_error why = AIOS_INIT(aios_error);
        int rc = t->walks[i] ? aios_walk_accept(t->walks[i], p, n, &why) : AIOS_OK;
        if (rc == AIOS_ESCHEMA) {
            aios_walk_free(t->walks[i]);
            t->walks[i] = NULL;
        } else if (rc) {
            return aios__error_copy(err, &why);
        }
    }
    if (had && !constrained(t))
        return aios__fail(err, AIOS_EINTERNAL, "a token was chosen that the grammar does not allow");
    return AIOS_OK;
}

/* Bytes under a grammar: to the text, to the calls, or kept until it is known which of both. */
static int add_constrained(aios__turn *t, const char *p, size_t n, aios_error *err)
{
    bool was_both = t->walks[0] && t->walks[1];
    int rc = advance(t, p, n, err);
    if (rc)
        return rc;
    if (!was_both)
        return aios__reply_add(&t->reply, p, n, err);
    rc = aios__buf_add(&t->reply.calls, p, n, err);
    if (rc || (t->walks[0] && t->walks[1]))
        return rc;
    if (t->walks[1]) {
        t->reply.state = AIOS__REPLY_CALLS;
        return AIOS_OK;
    }
    rc = aios__reply_add(&t->reply, t->reply.calls.p, t->reply.calls.n, err);
    aios__buf_clear(&t->reply.calls);
    return rc;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

/* The text a token adds: control tokens have none, save those that mark calls and reasoning. */
static const char *text_of(const aios__gguf_model *m, int32_t id, size_t *n)
{
    uint32_t type = aios__vocab_type(m->vocab, id);
    for (size_t i = 0; type == AIOS__TOKEN_CONTROL && i < AIOS__ARRAY_LEN(m->tags); i++)
        type = m->tags[i] == id ? AIOS__TOKEN_USER : type;
    *n = 0;
    if (type == AIOS__TOKEN_CONTROL || type == AIOS__TOKEN_UNUSED)
        return "";
    return aios__vocab_piece(m->vocab, id, n);
}

/* More tokens may be taken before the chosen ones are computed. */
static bool has_room(const aios__turn *t)
{
    return t->n_todo + 16 < AIOS__TODO;
}

static int push(aios__turn *t, int32_t id, aios_error *err)
{
    if (t->n_todo == AIOS__TODO)
        return aios__fail(err, AIOS_EINTERNAL, "too many tokens wait to be computed");
    t->todo[t->n_todo++] = id;
    return AIOS_OK;
}

/*
 * The opener of a call has appeared: from here on the grammar holds. If the token went on behind the opener with something that
 * the grammar does not allow, only the allowed part of it is kept.
 */
static int begin_calls(aios__gguf_session *s, int32_t id, const char *p, size_t n, aios_error *err)
{
    aios__turn *t = &s->turn;
    aios_error why = AIOS_INIT(aios_error);
    aios__buf *calls = &t->reply.calls;
    int rc = aios_walk_new(t->call_grammar, &t->walks[1], err);
    if (rc)
        return rc;
    rc = aios_walk_accept(t->walks[1], calls->p, calls->n, &why);
    if (rc == AIOS_OK)
        return push(t, id, err);
    size_t bad = rc == AIOS_ESCHEMA && why.have <= calls->n ? calls->n - (size_t)why.have : n;
    if (rc != AIOS_ESCHEMA || bad >= n)
        return aios__fail(err, rc == AIOS_ESCHEMA ? AIOS_EINTERNAL : rc, "the opener of a call does not fit its grammar: %s", why.msg);
    calls->n -= bad;
    aios__ids ids = {.heap = s->model->heap};
    rc = aios_walk_accept(t->walks[1], calls->p, calls->n, err);
    rc = rc ? rc : aios__vocab_encode(s->model->vocab, p, n - bad, AIOS_TOKENIZE_SPECIAL, &ids, err);
    for (uint32_t i = 0; !rc && i < ids.n; i++)
        rc = push(t, ids.p[i], err);
    aios__ids_free(&ids);
    return rc;
}

static int take(aios__gguf_session *s, const aios_sink *sink, int32_t id, aios_error *err);

/*
 * A model that would call once more where no call is allowed is led into a sentence; banning what begins a call instead leaves it
 * with tokens that it never meant.
 */
static int begin_answer(aios__gguf_session *s, const aios_sink *sink, aios_error *err)
{
    aios__ids ids = {.heap = s->model->heap};
    int rc = aios__vocab_encode(s->model->vocab, "The", 3, 0, &ids, err);
    for (uint32_t i = 0; !rc && i < ids.n; i++) {
        rc = take(s, sink, ids.p[i], err);
        rc = rc == AIOS_AGAIN ? AIOS_OK : rc;
    }
    aios__ids_free(&ids);
    return rc ? rc : AIOS_AGAIN;
}

/*
 * The reply began as a call, but not in the model's own form, or where no call is allowed, or it is empty there: it begins anew, under
 * the grammar, or as a sentence.
 */
static int retry(aios__gguf_session *s, const aios_sink *sink, aios_error *err)
{
    aios__turn *t = &s->turn;
    if (t->text_at > s->kv->n)
        return aios__fail(err, AIOS_EINTERNAL, "a reply that begins anew at token %u of %u", t->text_at, s->kv->n);
    t->todo[0] = s->kv->ids[t->text_at - 1]; /* computed again for its logits */
    t->n_todo = 1;
    int rc = aios__kv_rewind(s->kv, t->text_at - 1, err);
    if (rc)
        return rc;
    t->reply.state = t->reply.cut_calls ? AIOS__REPLY_TEXT : AIOS__REPLY_CALLS;
    if (t->reply.cut_calls)
        return begin_answer(s, sink, err);
    rc = aios_walk_new(t->call_grammar, &t->walks[1], err);
    return rc ? rc : AIOS_AGAIN;
}

/* A turn that may not call ends before it has said anything: an answer is wanted of it. */
static bool says_nothing(const aios__gguf_session *s)
{
    const aios__turn *t = &s->turn;
    return t->reply.cut_calls && !constrained(t) && aios__reply_is_blank(&t->reply) && s->kv->n >= t->text_at;
}

/* Takes a chosen token. AIOS_AGAIN: go on; else what finish or a failure gave. */
static int take(aios__gguf_session *s, const aios_sink *sink, int32_t id, aios_error *err)
{
    aios__turn *t = &s->turn;
    size_t n;
    const char *p = text_of(s->model, id, &n);
    aios__sampler_see(t->sampler, id);
    t->n_out++;
    t->n_think += t->reply.state == AIOS__REPLY_THINK;
    if (aios__vocab_is_end(s->model->vocab, id) && !t->ignore_end)
        return says_nothing(s) ? retry(s, sink, err) : finish(s, sink, "stop", err);
    enum aios__reply_state before = t->reply.state;
    bool grammar = constrained(t);
    int rc = grammar ? add_constrained(t, p, n, err) : aios__reply_add(&t->reply, p, n, err);
    if (rc)
        return rc;
    if (t->reply.state == AIOS__REPLY_OVER)
        return finish(s, sink, "stop", err);
    if (before == AIOS__REPLY_THINK && t->reply.state == AIOS__REPLY_TEXT)
        t->text_at = s->kv->n + t->n_todo + 1;
    if (t->n_out >= t->n_max)
        return finish(s, sink, "length", err);
    if (t->reply.state == AIOS__REPLY_RETRY)
        return retry(s, sink, err);
    rc = !grammar && before != t->reply.state && t->reply.state == AIOS__REPLY_CALLS ? begin_calls(s, id, p, n, err) : push(t, id, err);
    return rc ? rc : AIOS_AGAIN;
}

/* Takes the tokens of text that has to come, all but the last of them, which may be one token with what follows. */
static int take_forced(aios__gguf_session *s, const aios_sink *sink, bool *any, aios_error *err)
{
    aios__turn *t = &s->turn;
    char text[FORCED_BYTES];
    *any = false;
    if (!t->walks[0] == !t->walks[1] || complete(t))
        return AIOS_AGAIN;
    size_t n = aios_walk_forced(t->walks[0] ? t->walks[0] : t->walks[1], text, sizeof text), at = 0;
    if (n < 2)
        return AIOS_AGAIN;
    aios__ids ids = {.heap = s->model->heap};
    int rc = aios__vocab_encode(s->model->vocab, text, n, 0, &ids, err);
    for (uint32_t i = 0; !rc && i + 1 < ids.n && t->n_todo + 1 < AIOS__TODO; i++) {
        size_t len;
        const char *p = text_of(s->model, ids.p[i], &len);
        if (!len || len > n - at || memcmp(p, text + at, len))
            break;
        at += len;
        *any = true;
        rc = take(s, sink, ids.p[i], err);
        rc = rc == AIOS_AGAIN ? AIOS_OK : rc;
    }
    aios__ids_free(&ids);
    return rc ? rc : AIOS_AGAIN;
}

/* Ends a reasoning block that has used up its tokens. */
static int close_think(aios__gguf_session *s, const aios_sink *sink, aios_error *err)
{
    aios__ids ids = {.heap = s->model->heap};
    int rc = aios__vocab_encode(s->model->vocab, "\n</think>\n\n", 11, AIOS_TOKENIZE_SPECIAL, &ids, err);
    for (uint32_t i = 0; !rc && i < ids.n && has_room(&s->turn); i++) {
        rc = take(s, sink, ids.p[i], err);
        rc = rc == AIOS_AGAIN ? AIOS_OK : rc;
    }
    aios__ids_free(&ids);
    return rc ? rc : AIOS_AGAIN;
}

/*
 * What follows without a choice is taken at once, so that it is computed together: text that the grammar forces, tokens that
 * are the only ones allowed, the end of a complete reply that cannot go on.
 */
static int look_ahead(aios__gguf_session *s, const aios_sink *sink, aios_error *err)
{
    aios__turn *t = &s->turn;
    if (t->reply.state == AIOS__REPLY_THINK && t->max_think && t->n_think >= t->max_think)
        return close_think(s, sink, err);
    while (constrained(t)) {
        uint32_t n_allowed;
        int32_t only;
        bool any;
        int rc = take_forced(s, sink, &any, err);
        if (rc != AIOS_AGAIN)
            return rc;
        if (any && has_room(t))
            continue;
        rc = mask(s, &n_allowed, &only, err);
        if (rc)
            return rc;
        if (complete(t) && !n_allowed)
            return finish(s, sink, "stop", err);
        if (!n_allowed)
            return aios__fail(err, AIOS_EINTERNAL, "no token of the vocabulary continues the grammar");
        if (complete(t) || only < 0 || !has_room(t))
            return AIOS_AGAIN;
        rc = take(s, sink, only, err);
        if (rc != AIOS_AGAIN)
            return rc;
    }
    return AIOS_AGAIN;
}

static void ban(const aios__gguf_session *s, int32_t id)
{
    if (id >= 0 && (uint32_t)id < s->model->net->hp.n_vocab)
        s->logits[id] = -INFINITY;
}

/* Chooses the next token; the mask of a grammar is in s->bits. */
static int choose(aios__gguf_session *s, int32_t *id, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios__vocab *v = s->model->vocab;
    for (uint32_t i = 0; i < v->n_ends; i++) {
        if (t->ignore_end)
            ban(s, v->ends[i]);
        else if (constrained(t) && complete(t))
            s->bits[(uint32_t)v->ends[i] / 32] |= 1u << ((uint32_t)v->ends[i] % 32);
    }
    if (t->reply.cut_calls)
        ban(s, s->model->tags[0]);
    return aios__sampler_pick(t->sampler, s->logits, constrained(t) ? s->bits : NULL, id, err);
}

/* ---- step --------------------------------------------------------------------------------------------------------- */

static int prefill(aios__gguf_session *s, aios_error *err)
{
    aios__turn *t = &s->turn;
    uint32_t before = s->kv->n;
    t->n_cached += aios__session_reuse(s, t->prompt.p, t->prompt.n) - before; /* another session may have computed more since */
    uint32_t n = t->prompt.n - s->kv->n;
    n = n < AIOS__CHUNK ? n : AIOS__CHUNK;
    bool last = s->kv->n + n == t->prompt.n;
    int rc = aios__kv_eval(s->kv, t->prompt.p + s->kv->n, n, last ? s->logits : NULL, last ? 1 : 0, err);
    t->picked = !rc && last;
    aios__kv_settle(s->kv);
    return rc ? rc : AIOS_AGAIN;
}

static int decode(aios__gguf_session *s, const aios_sink *sink, aios_error *err)
{
    aios__turn *t = &s->turn;
    int32_t id = -1;
    int rc = t->n_out ? AIOS_AGAIN : look_ahead(s, sink, err);
    if (rc == AIOS_AGAIN && !t->n_todo) {
        rc = choose(s, &id, err);
        rc = rc ? rc : take(s, sink, id, err);
        rc = rc == AIOS_AGAIN ? look_ahead(s, sink, err) : rc;
    }
    if (rc != AIOS_AGAIN)
        return rc;
    if (t->n_todo > s->n_ctx - s->kv->n) /* an opener cut into more tokens than it was chosen as */
        return finish(s, sink, "length", err);
    rc = aios__kv_eval(s->kv, t->todo, t->n_todo, s->logits, 1, err);
    t->n_todo = 0;
    return rc ? rc : AIOS_AGAIN;
}

int aios__gguf_turn_step(aios__gguf_session *s, const aios_sink *sink, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__turn *t = &s->turn;
    const aios_env *env = aios__ctx_env(s->model->ctx);
    if (!t->active)
        return aios__fail(err, AIOS_ESTATE, "no turn was started");
    int64_t before = aios__now_ns(env);
    int rc;
    t->reply.sink = sink;
    if (atomic_load(&s->cancel))
        rc = aios__fail(err, AIOS_ECANCELED, "the turn was cancelled");
    else if (!t->picked)
        rc = prefill(s, err);
    else
        rc = decode(s, sink, err);
    if (rc != AIOS_AGAIN) {
        aios__gguf_turn_end(s);
        return rc;
    }
    *(t->picked && t->n_out ? &t->decode_ns : &t->prefill_ns) += aios__now_ns(env) - before;
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of the next token, and what follows from it without a choice: text that a grammar forces, calls, the end. */
#include <math.h>

#include "backend/gguf/gguf.h"
#include "backend/gguf/vocab_priv.h"

/* ---- grammar ------------------------------------------------------------------------------------------------------ */

bool aios__turn_constrained(const aios__turn *t)
{
    return t->walks[0] || t->walks[1];
}

static bool complete(const aios__turn *t)
{
    return (t->walks[0] && aios_walk_complete(t->walks[0])) || (t->walks[1] && aios_walk_complete(t->walks[1]));
}

const char *aios__turn_limit(const aios__turn *t)
{
    return complete(t) ? "stop" : "length";
}

/* Room for the masks of both walks, first needed under a grammar. */
static int make_bits(aios__gguf_session *s, size_t n_words, aios_error *err)
{
    if (!s->bits)
        s->bits = aios__alloc_array(s->model->heap, AIOS_MEM_SCRATCH, AIOS__WALKS * n_words, sizeof *s->bits, err);
    return s->bits ? AIOS_OK : aios__no_memory(err);
}

static bool has_bit(const uint32_t *bits, int32_t id)
{
    return bits[(uint32_t)id / 32] >> (uint32_t)id % 32 & 1;
}

/* Few bytes may follow: a mark of the format, or one of few values, but no free text. */
static bool is_narrow(const aios_walk *w)
{
    enum { WAYS = 8 };
    uint8_t next[32];
    int n = 0;
    for (int i = aios_walk_next_bytes(w, next) ? 32 : 0; i < 32; i++)
        n += __builtin_popcount(next[i]);
    return n <= WAYS;
}

/*
 * A token that marks calls or reasoning is no text, though a string may hold its bytes: it goes where free text may follow. Formats whose strings are
 * not JSON end them by such a token.
 */
static void drop_tags(const aios__gguf_model *m, const aios_walk *w, uint32_t *bits, uint32_t *n_allowed, int32_t *only)
{
    bool any = false;
    for (uint32_t i = 0; i < AIOS__TAGS; i++)
        any |= m->tags[i] >= 0 && has_bit(bits, m->tags[i]);
    if (!any || m->calls->args == AIOS__ARGS_TAGS || m->calls->args == AIOS__ARGS_COLON || is_narrow(w))
        return;
    for (uint32_t i = 0; i < AIOS__TAGS; i++)
        if (m->tags[i] >= 0 && has_bit(bits, m->tags[i])) {
            bits[(uint32_t)m->tags[i] / 32] &= ~(1u << (uint32_t)m->tags[i] % 32);
            --*n_allowed;
        }
    *only = -1; /* where free text may follow, more than one token may */
}

int aios__turn_mask(const aios__gguf_session *s, const aios_walk *w, const aios__trie *trie, uint32_t *bits, uint32_t *n_allowed, int32_t *only,
                    aios_error *err)
{
    int rc = aios__walk_mask(w, trie, bits, n_allowed, only, err);
    if (!rc)
        drop_tags(s->model, w, bits, n_allowed, only);
    return rc;
}

/* Fills s->bits with what the walks still alive allow; *only as of aios__walk_mask. */
static int mask(aios__gguf_session *s, uint32_t *n_allowed, int32_t *only, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios__trie *trie;
    uint32_t n_words = (s->model->net->hp.n_vocab + 31) / 32, n = 0;
    *n_allowed = 0;
    *only = -1;
    int rc = make_bits(s, n_words, err);
    rc = rc ? rc : aios__gguf_model_trie(s->model, &trie, err);
    if (rc)
        return rc;
    const aios_walk *w = t->walks[0] ? t->walks[0] : t->walks[1];
    rc = aios__turn_mask(s, w, trie, s->bits, n_allowed, only, err);
    if (rc || !t->walks[0] || !t->walks[1])
        return rc;
    uint32_t *both = s->bits + n_words;
    rc = aios__turn_mask(s, t->walks[1], trie, both, &n, only, err);
    for (uint32_t i = 0; i < n_words; i++)
        s->bits[i] |= both[i];
    *n_allowed += n;
    *only = -1;
    return rc;
}

/* Moves the walks over the bytes of a token; those that do not accept it end. */
static int advance(aios__turn *t, const char *p, size_t n, aios_error *err)
{
    bool had = aios__turn_constrained(t);
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
    if (had && !aios__turn_constrained(t))
        return aios__fail(err, AIOS_EINTERNAL, "a token was chosen that the grammar does not allow");
    return AIOS_OK;
}

int aios__turn_add(aios__turn *t, const char *p, size_t n, aios_error *err)
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

const char *aios__turn_text(const aios__gguf_model *m, int32_t id, size_t *n)
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

/*
 * A model that would call once more where no call is allowed is led into a sentence; banning what begins a call instead leaves it
 * with tokens that it never meant.
 */
static int begin_answer(aios__gguf_session *s, aios_error *err)
{
    aios__ids ids = {.heap = s->model->heap};
    int rc = aios__vocab_encode(s->model->vocab, "The", 3, 0, &ids, err);
    for (uint32_t i = 0; !rc && i < ids.n; i++) {
        rc = aios__turn_take(s, ids.p[i], err);
        rc = rc == AIOS_AGAIN ? AIOS_OK : rc;
    }
    aios__ids_free(&ids);
    return rc ? rc : AIOS_AGAIN;
}

/*
 * The reply began as a call, but not in the model's own form, or where no call is allowed, or it is empty there: it begins anew, under
 * the grammar, or as a sentence.
 */
static int retry(aios__gguf_session *s, aios_error *err)
{
    aios__turn *t = &s->turn;
    if (t->text_at > s->kv->n)
        return aios__fail(err, AIOS_EINTERNAL, "a reply that begins anew at token %u of %u", t->text_at, s->kv->n);
    int rc = AIOS_OK;
    t->prompt.n = t->prompt.n < t->text_at ? t->prompt.n : t->text_at;
    for (uint32_t i = t->prompt.n; !rc && i < t->text_at; i++) /* reasoning: from here on a part of the prompt */
        rc = aios__ids_add(&t->prompt, *aios__kv_id(s->kv, i), err);
    if (rc)
        return rc;
    aios__kv_truncate(s->kv, t->text_at - 1); /* the last one is computed again for its logits */
    t->at = s->kv->n;
    t->n_todo = 0;
    t->n_loose = 0;
    t->rewound = true;
    t->reply.state = t->reply.cut_calls ? AIOS__REPLY_TEXT : AIOS__REPLY_CALLS;
    if (t->reply.cut_calls)
        return begin_answer(s, err);
    rc = aios_walk_new(t->call_grammar, &t->walks[1], err);
    return rc ? rc : AIOS_AGAIN;
}

/* A turn that may not call ends before it has said anything: an answer is wanted of it. */
static bool says_nothing(const aios__gguf_session *s)
{
    const aios__turn *t = &s->turn;
    return t->reply.cut_calls && !aios__turn_constrained(t) && aios__reply_is_blank(&t->reply) && s->kv->n >= t->text_at;
}

int aios__turn_take(aios__gguf_session *s, int32_t id, aios_error *err)
{
    aios__turn *t = &s->turn;
    size_t n;
    const char *p = aios__turn_text(s->model, id, &n);
    aios__sampler_see(t->sampler, id);
    t->n_out++;
    t->n_think += t->reply.state == AIOS__REPLY_THINK;
    if (aios__vocab_is_end(s->model->vocab, id) && !t->ignore_end)
        return says_nothing(s) ? retry(s, err) : aios__turn_finish(s, "stop", err);
    enum aios__reply_state before = t->reply.state;
    bool grammar = aios__turn_constrained(t);
    int rc = aios__logprobs_add(s, id, p, n, err);
    rc = rc ? rc : grammar ? aios__turn_add(t, p, n, err) : aios__reply_add(&t->reply, p, n, err);
    rc = rc ? rc : aios__logprobs_send(s, false, err);
    if (rc)
        return rc;
    if (t->reply.state == AIOS__REPLY_OVER)
        return aios__turn_finish(s, "stop", err);
    if (before == AIOS__REPLY_THINK && t->reply.state == AIOS__REPLY_TEXT)
        t->text_at = s->kv->n + t->n_todo + 1;
    if (t->n_out >= t->n_max)
        return aios__turn_finish(s, aios__turn_limit(t), err);
    if (t->reply.state == AIOS__REPLY_RETRY)
        return retry(s, err);
    rc = !grammar && before != t->reply.state && t->reply.state == AIOS__REPLY_CALLS ? begin_calls(s, id, p, n, err) : push(t, id, err);
    t->n_loose += grammar;
    return rc ? rc : AIOS_AGAIN;
}

/* ---- forced text -------------------------------------------------------------------------------------------------- */

const aios_walk *aios__turn_walk(const aios__turn *t)
{
    return t->walks[0] && t->walks[1] ? NULL : t->walks[0] ? t->walks[0] : t->walks[1];
}

void aios__turn_tail(const aios__gguf_session *s, aios__tail *tail)
{
    const aios__turn *t = &s->turn;
    uint32_t end = s->kv->n + t->n_todo;
    tail->n = t->n_loose < AIOS__SEAM_TAIL ? t->n_loose : AIOS__SEAM_TAIL;
    tail->whole = tail->n == t->n_loose;
    for (uint32_t i = 0; i < tail->n; i++) {
        uint32_t at = end - tail->n + i;
        tail->ids[i] = at < s->kv->n ? *aios__kv_id(s->kv, at) : t->todo[at - s->kv->n];
    }
}

/* Takes the last n tokens back; their text stays. */
static void drop(aios__gguf_session *s, uint32_t n)
{
    aios__turn *t = &s->turn;
    aios__sampler_forget(t->sampler, n);
    t->n_out -= n;
    t->n_loose -= n;
    uint32_t waiting = n < t->n_todo ? n : t->n_todo;
    t->n_todo -= waiting;
    if (n == waiting)
        return;
    aios__kv_truncate(s->kv, s->kv->n - (n - waiting));
    t->rewound = true;
}

static int take_seam(aios__gguf_session *s, const aios__seam *seam, aios_error *err)
{
    aios__turn *t = &s->turn;
    int rc = AIOS_OK;
    drop(s, seam->n_drop);
    t->n_forced += seam->n > seam->n_drop ? seam->n - seam->n_drop : 0;
    t->n_out += seam->n;
    t->n_loose += seam->n;
    for (uint32_t i = 0; !rc && i < seam->n; i++) {
        aios__sampler_see(t->sampler, seam->ids[i]);
        rc = push(t, seam->ids[i], err);
    }
    rc = rc ? rc : aios__logprobs_add(s, -1, seam->text, seam->n_bytes, err);
    rc = rc ? rc : aios__turn_add(t, seam->text, seam->n_bytes, err);
    rc = rc ? rc : aios__logprobs_send(s, false, err);
    if (rc)
        return rc;
    if (t->reply.state == AIOS__REPLY_OVER)
        return aios__turn_finish(s, "stop", err);
    return t->n_out >= t->n_max ? aios__turn_finish(s, aios__turn_limit(t), err) : AIOS_AGAIN;
}

/* Takes the tokens of text that has to come, as far as they are sure. */
static int take_forced(aios__gguf_session *s, aios__seam *seam, aios_error *err)
{
    aios__turn *t = &s->turn;
    const aios__trie *trie;
    aios__tail tail;
    seam->n = 0;
    seam->n_text = 0;
    if (!aios__turn_walk(t) || complete(t) || !has_room(t))
        return AIOS_AGAIN;
    int rc = aios__gguf_model_trie(s->model, &trie, err);
    uint32_t left = t->n_max - t->n_out, room = AIOS__TODO - 1 - t->n_todo;
    aios__turn_tail(s, &tail);
    rc = rc ? rc : aios__seam_make(s->model->prefixes, aios__turn_walk(t), &tail, left < room ? left : room, seam, err);
    return rc ? rc : seam->n ? take_seam(s, seam, err) : AIOS_AGAIN;
}

/* Ends a reasoning block that has used up its tokens. */
static int close_think(aios__gguf_session *s, aios_error *err)
{
    aios__ids ids = {.heap = s->model->heap};
    int rc = aios__vocab_encode(s->model->vocab, s->model->think->finish, strlen(s->model->think->finish), AIOS_TOKENIZE_SPECIAL, &ids, err);
    for (uint32_t i = 0; !rc && i < ids.n && has_room(&s->turn); i++) {
        rc = aios__turn_take(s, ids.p[i], err);
        rc = rc == AIOS_AGAIN ? AIOS_OK : rc;
    }
    aios__ids_free(&ids);
    return rc ? rc : AIOS_AGAIN;
}

void aios__turn_allow_ends(const aios__gguf_session *s, uint32_t *bits)
{
    const aios__vocab *v = s->model->vocab;
    for (uint32_t i = 0; !s->turn.ignore_end && i < v->n_ends; i++)
        bits[(uint32_t)v->ends[i] / 32] |= 1u << ((uint32_t)v->ends[i] % 32);
}

static int follow_grammar(aios__gguf_session *s, aios_error *err)
{
    aios__turn *t = &s->turn;
    aios__seam seam;
    uint32_t n_allowed = 0;
    while (aios__turn_constrained(t)) {
        int32_t only;
        bool waits;
        int rc = aios__calibrate_look(s, &waits, err);
        if (rc == AIOS_AGAIN && waits)
            rc = mask(s, &n_allowed, &only, err);
        if (rc != AIOS_AGAIN)
            return rc ? rc : AIOS_AGAIN;
        rc = take_forced(s, &seam, err);
        if (rc != AIOS_AGAIN)
            return rc;
        if (seam.n)
            continue;
        rc = mask(s, &n_allowed, &only, err);
        if (rc)
            return rc;
        if (complete(t) && !n_allowed)
            return aios__turn_finish(s, "stop", err);
        if (!n_allowed)
            return aios__fail(err, AIOS_EINTERNAL, "no token of the vocabulary continues the grammar");
        if (complete(t))
            aios__turn_allow_ends(s, s->bits);
        if (complete(t) || only < 0 || !has_room(t))
            break;
        t->n_forced++;
        rc = aios__turn_take(s, only, err);
        if (rc != AIOS_AGAIN)
            return rc;
    }
    if (aios__turn_walk(t) && has_room(t))
        aios__ahead_note(s, &seam, n_allowed);
    return AIOS_AGAIN;
}

int aios__turn_look_ahead(aios__gguf_session *s, aios_error *err)
{
    aios__turn *t = &s->turn;
    if (t->reply.state == AIOS__REPLY_THINK && t->max_think && t->n_think >= t->max_think)
        return close_think(s, err);
    t->ahead.due = false;
    t->ahead.place = 0;
    if (!aios__turn_constrained(t))
        return AIOS_AGAIN;
    const aios_env *env = aios__ctx_env(s->model->ctx);
    int64_t begin = aios__now_ns(env);
    int rc = follow_grammar(s, err);
    t->grammar_ns += aios__now_ns(env) - begin;
    return rc;
}

static void ban(aios__gguf_session *s, int32_t id)
{
    aios__bans *bans = &s->turn.bans;
    if (id >= 0 && (uint32_t)id < s->model->net->hp.n_vocab && bans->n < AIOS__BANS_MAX)
        bans->ids[bans->n++] = id;
}

void aios__turn_set_bans(aios__gguf_session *s)
{
    _Static_assert(VOCAB_MAX_ENDS + 1 <= AIOS__BANS_MAX, "all ends and an opener");
    const aios__vocab *v = s->model->vocab;
    s->turn.bans.n = 0;
    for (uint32_t i = 0; s->turn.ignore_end && i < v->n_ends; i++)
        ban(s, v->ends[i]);
    if (s->turn.reply.cut_calls)
        ban(s, s->model->tags[0]);
}

bool aios__turn_wants_largest(const aios__gguf_session *s)
{
    return aios__sampler_is_plain(s->turn.sampler) && !s->turn.logprobs.on && !aios__calibrate_waits(s) && (!aios__turn_constrained(&s->turn) || !s->turn.draft.n || s->turn.ahead.n_used);
}

int aios__turn_choose(aios__gguf_session *s, float *logits, aios__candidate *room, int32_t *id, aios_error *err)
{
    aios__turn *t = &s->turn;
    for (uint32_t i = 0; i < t->bans.n; i++)
        logits[t->bans.ids[i]] = -INFINITY;
    return aios__sampler_pick(t->sampler, logits, aios__turn_constrained(t) ? s->bits : NULL, room, id, err);
}

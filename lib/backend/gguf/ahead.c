/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guesses inside what a grammar holds. Where it leaves a choice of few, the token that was chosen in such a place before is guessed, or
 * the one that leads to the end the soonest; what is forced behind it needs no guess. The masks of the choices that follow are made
 * beforehand, so that their rows of the head are few too, and several choices can come true in one pass.
 */
#include "backend/gguf/gguf.h"

enum { CHOICES = AIOS__AHEAD_MASKS, CLOSE_BYTES = 48, FEW = 512, DECAY = 32, AGAIN = 16 };

/* A place in the text that is guessed. */
typedef struct cursor {
    aios_walk *w;
    aios__tail tail;
    aios__seam seam;
    const uint32_t *bits;
    uint32_t n_allowed;
} cursor;

/* ---- what was chosen before ----------------------------------------------------------------------------------------- */

static uint32_t place(const aios__tail *tail, const aios__seam *seam)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < seam->n_text; i++)
        h = (h ^ (uint8_t)seam->text[i]) * 16777619u;
    for (uint32_t i = 0; !seam->n_text && i < tail->n && i < 2; i++)
        h = (h ^ (uint32_t)tail->ids[tail->n - 1 - i]) * 16777619u;
    return h | 1;
}

static bool is_worth(aios__habits *h, uint8_t kind)
{
    bool good = 10 * (h->n_hit[kind] + 2) >= 4 * (h->n_tried[kind] + 4);
    return good || ++h->n_idle % AGAIN == 0;
}

void aios__ahead_learn(aios__gguf_session *s, uint32_t at, int32_t id)
{
    aios__habits *h = &s->habits;
    aios__ahead *a = &s->turn.ahead;
    aios__habit *mine = &h->last[a->place % AIOS__HABITS];
    if (a->place)
        *mine = (aios__habit){a->place, id};
    if (at >= a->n_used || !a->kind[at])
        return;
    uint8_t kind = a->kind[at] - 1;
    h->n_tried[kind]++;
    h->n_hit[kind] += a->ids[at] == id;
    if (h->n_tried[kind] < DECAY)
        return;
    h->n_tried[kind] /= 2;
    h->n_hit[kind] /= 2;
}

/* ---- a guess -------------------------------------------------------------------------------------------------------- */

/* The first token of a short way to the end. */
static int shortest(const aios__vocab *v, aios__heap *heap, const cursor *c, int32_t *id, aios_error *err)
{
    char text[CLOSE_BYTES];
    size_t n;
    aios_error why = AIOS_INIT(aios_error);
    aios__ids ids = {.heap = heap};
    int rc = aios__walk_shortest(c->w, text, sizeof text, &n, &why);
    if (rc && rc != AIOS_ELIMIT)
        return aios__error_copy(err, &why);
    rc = aios__vocab_encode(v, text, n, 0, &ids, err);
    *id = !rc && ids.n ? ids.p[0] : -1;
    aios__ids_free(&ids);
    return rc;
}

static int guess(aios__gguf_session *s, const cursor *c, int32_t *id, uint8_t *kind, aios_error *err)
{
    uint32_t key = place(&c->tail, &c->seam);
    const aios__habit *was = &s->habits.last[key % AIOS__HABITS];
    int rc = AIOS_OK;
    *id = -1;
    *kind = c->seam.n_text ? AIOS__GUESS_SEAM : AIOS__GUESS_CHOICE;
    if (aios_walk_complete(c->w) || (!c->seam.n_text && c->n_allowed > FEW) || !is_worth(&s->habits, *kind - 1))
        return AIOS_OK;
    if (was->key == key)
        *id = was->id;
    else if (!c->seam.n_text) /* how a model cuts what is forced is not known before it did */
        rc = shortest(s->model->vocab, s->model->heap, c, id, err);
    if (*id >= 0 && !(c->bits[(uint32_t)*id / 32] >> (uint32_t)*id % 32 & 1))
        *id = -1;
    return rc;
}

/* ---- what follows it ------------------------------------------------------------------------------------------------ */

static void add(aios__ahead *a, cursor *c, int32_t id, uint8_t kind)
{
    a->kind[a->n] = kind;
    a->ids[a->n++] = id;
    a->mask[a->n] = -1;
    if (c->tail.n == AIOS__SEAM_TAIL)
        memmove(c->tail.ids, c->tail.ids + 1, --c->tail.n * sizeof *c->tail.ids);
    c->tail.whole = c->tail.whole && a->n + c->tail.n < AIOS__SEAM_TAIL;
    c->tail.ids[c->tail.n++] = id;
}

static int add_chosen(aios__gguf_session *s, cursor *c, int32_t id, uint8_t kind, aios_error *err)
{
    size_t n;
    const char *p = aios__turn_text(s->model, id, &n);
    add(&s->turn.ahead, c, id, kind);
    return aios_walk_accept(c->w, p, n, err);
}

/* Text that is forced now; *stays false where tokens before it would be cut anew. */
static int add_forced(aios__gguf_session *s, cursor *c, bool *stays, aios_error *err)
{
    aios__ahead *a = &s->turn.ahead;
    int rc = AIOS_OK;
    c->seam.n_text = 0;
    while (!rc && !aios_walk_complete(c->w) && a->n < AIOS__AHEAD_MAX) {
        rc = aios__seam_make(s->model->prefixes, c->w, &c->tail, AIOS__AHEAD_MAX - a->n, &c->seam, err);
        *stays = !c->seam.n_drop;
        if (rc || !c->seam.n || !*stays)
            break;
        for (uint32_t i = 0; i < c->seam.n; i++)
            add(a, c, c->seam.ids[i], 0);
        rc = aios_walk_accept(c->w, c->seam.text, c->seam.n_bytes, err);
    }
    return rc;
}

/* To the next choice and its mask; *more false: none was reached. */
static int go_on(aios__gguf_session *s, cursor *c, const aios__trie *trie, bool *more, aios_error *err)
{
    aios__ahead *a = &s->turn.ahead;
    uint32_t n_words = (s->model->net->hp.n_vocab + 31) / 32;
    uint32_t *bits = a->masks + (size_t)a->n_masks * n_words;
    bool stays = true;
    int32_t only = -1;
    int rc;
    *more = false;
    do {
        rc = add_forced(s, c, &stays, err);
        if (rc || !stays || a->n == AIOS__AHEAD_MAX)
            return rc;
        rc = aios__turn_mask(s, c->w, trie, bits, &c->n_allowed, &only, err);
        if (rc || !c->n_allowed)
            return rc;
        if (aios_walk_complete(c->w))
            only = -1;
        rc = only < 0 ? AIOS_OK : add_chosen(s, c, only, 0, err);
    } while (!rc && only >= 0);
    if (!rc && aios_walk_complete(c->w))
        aios__turn_allow_ends(s, bits);
    a->mask[a->n] = (int8_t)a->n_masks++;
    c->bits = bits;
    *more = !rc;
    return rc;
}

static int make(aios__gguf_session *s, cursor *c, aios_error *err)
{
    aios__ahead *a = &s->turn.ahead;
    const aios__trie *trie;
    bool more = true;
    int rc = aios__gguf_model_trie(s->model, &trie, err);
    while (!rc && more && a->n_masks < CHOICES && a->n < AIOS__AHEAD_MAX) {
        int32_t id;
        uint8_t kind;
        rc = guess(s, c, &id, &kind, err);
        if (rc || id < 0)
            break;
        rc = add_chosen(s, c, id, kind, err);
        rc = rc ? rc : go_on(s, c, trie, &more, err);
    }
    while (a->n && a->mask[a->n] < 0)
        a->n--; /* nothing is learnt behind these */
    return rc;
}

void aios__ahead_note(aios__gguf_session *s, const aios__seam *seam, uint32_t n_allowed)
{
    aios__ahead *a = &s->turn.ahead;
    aios__tail tail;
    aios__turn_tail(s, &tail);
    a->due = true;
    a->seam = *seam;
    a->n_allowed = n_allowed;
    a->place = place(&tail, seam);
}

static int prepare(aios__gguf_session *s, const aios_walk *w, aios_error *err)
{
    aios__ahead *a = &s->turn.ahead;
    size_t n_words = (s->model->net->hp.n_vocab + 31) / 32;
    if (!a->masks)
        a->masks = aios__alloc_array(s->model->heap, AIOS_MEM_SCRATCH, CHOICES * n_words, sizeof *a->masks, err);
    if (!a->masks)
        return aios__no_memory(err);
    cursor c = {.seam = a->seam, .bits = s->bits, .n_allowed = a->n_allowed};
    aios__turn_tail(s, &c.tail);
    int rc = aios_walk_copy(w, &c.w, err);
    rc = rc ? rc : make(s, &c, err);
    aios_walk_free(c.w);
    return rc;
}

int aios__ahead_make(aios__gguf_session *s, const aios_walk *w, aios_error *err)
{
    aios__ahead *a = &s->turn.ahead;
    a->n = a->n_masks = 0;
    if (!a->due || !w || !s->drafts || s->guesser)
        return AIOS_AGAIN;
    const aios_env *env = aios__ctx_env(s->model->ctx);
    int64_t begin = aios__now_ns(env);
    int rc = prepare(s, w, err);
    s->turn.grammar_ns += aios__now_ns(env) - begin;
    return rc ? rc : AIOS_AGAIN;
}

uint32_t aios__ahead_use(aios__gguf_session *s, uint32_t at, uint32_t max)
{
    aios__ahead *a = &s->turn.ahead;
    uint32_t n = a->n < max ? a->n : max;
    while (n && a->mask[n] < 0)
        n--;
    for (uint32_t i = 0; i < n; i++)
        *aios__kv_id(s->kv, at + i) = a->ids[i];
    return a->n_used = n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A reply under a grammar ends whole within its tokens: before the last ones are used up, a short way to the end is taken. */
#include "backend/gguf/gguf.h"

/*
 * Bytes of an end that are looked for. Where so many times the tokens that an end takes, and some, are left, it is not looked again; where
 * none was found, or none that fits, which takes long, not before half of those that are left are used up.
 */
enum { END_BYTES = 4096, EASY = 4, EASY_MORE = 64 };

typedef struct ending {
    char text[END_BYTES];
    size_t n;
    aios__ids ids;
    bool found;
} ending;

/* The shortest end behind what a walk has read and n bytes more. */
static int end_of(const aios_walk *w, const char *p, size_t n, ending *e, const aios__vocab *v, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    aios_walk *copy;
    int rc = aios_walk_copy(w, &copy, err);
    if (rc)
        return rc;
    rc = n ? aios_walk_accept(copy, p, n, &why) : AIOS_OK;
    rc = rc ? rc : aios__walk_shortest(copy, e->text, sizeof e->text, &e->n, &why);
    aios_walk_free(copy);
    e->found = !rc;
    e->ids.n = 0;
    if (rc)
        return rc == AIOS_ESCHEMA || rc == AIOS_ELIMIT ? AIOS_OK : aios__error_copy(err, &why);
    return aios__vocab_encode(v, e->text, e->n, 0, &e->ids, err);
}

/* That of the walks that are alive which takes the fewest tokens; NULL: none was found. */
static int find_end(const aios__gguf_session *s, const char *p, size_t n, ending e[AIOS__WALKS], ending **best, aios_error *err)
{
    int rc = AIOS_OK;
    *best = NULL;
    for (int i = 0; !rc && i < AIOS__WALKS && !atomic_load(&s->cancel); i++) {
        if (!s->turn.walks[i])
            continue;
        rc = end_of(s->turn.walks[i], p, n, &e[i], s->model->vocab, err);
        if (!rc && e[i].found && (!*best || e[i].ids.n < (*best)->ids.n))
            *best = &e[i];
    }
    return rc;
}

static int take_end(aios__gguf_session *s, const ending *e, aios_error *err)
{
    aios__turn *t = &s->turn;
    t->n_out += e->ids.n;
    t->n_forced += e->ids.n;
    int rc = aios__turn_add(t, e->text, e->n, err);
    return rc ? rc : aios__turn_finish(s, "stop", err);
}

int aios__turn_close(aios__gguf_session *s, int32_t id, bool *closed, aios_error *err)
{
    aios__turn *t = &s->turn;
    uint32_t left = t->n_max - t->n_out;
    *closed = false;
    if (!aios__turn_constrained(t) || left > t->close_at || aios__vocab_is_end(s->model->vocab, id))
        return AIOS_OK;
    ending e[AIOS__WALKS] = {{.ids.heap = s->model->heap}, {.ids.heap = s->model->heap}}, *best;
    _Static_assert(AIOS__WALKS == 2, "one each");
    size_t n;
    const char *p = aios__turn_text(s->model, id, &n);
    int rc = find_end(s, p, n, e, &best, err);
    if (!rc && best && best->ids.n < left) {
        t->close_at = best->ids.n * EASY + EASY_MORE;
    } else if (!rc && !atomic_load(&s->cancel)) {
        rc = find_end(s, NULL, 0, e, &best, err);
        *closed = !rc && best && best->ids.n <= left;
        if (!rc && !*closed)
            t->close_at = left / 2;
        rc = *closed ? take_end(s, best, err) : rc;
    }
    for (int i = 0; i < AIOS__WALKS; i++)
        aios__ids_free(&e[i].ids);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where a text must go on with one of several literals: what a choice among known strings is made of. */
#include "grammar/walk_priv.h"

enum { MAX_FORCED = 512 };

/* The set that the walk's only reading is about to enter, or NULL. */
static const aios__gnode *set_ahead(const aios_walk *w)
{
    if (w->states[w->at].n != 1)
        return NULL;
    const aios__frame *f = &w->frames[w->pool[w->states[w->at].at]];
    const aios__gnode *n = &w->g->nodes[f->node];
    return n->kind == AIOS__G_SET && !f->a && !f->c && f->b == n->b ? n : NULL;
}

int aios__walk_literals(const aios_walk *w, aios__buf *forced, aios__literals *out, aios_error *err)
{
    aios_walk *ahead = NULL;
    char c;
    out->n = 0;
    if (!set_ahead(w) && aios_walk_forced(w, &c, 1) != 1) /* as almost always: no copy is needed to see that */
        return AIOS_OK;
    int rc = aios_walk_copy(w, &ahead, err);
    const aios__gnode *set = rc ? NULL : set_ahead(ahead);
    for (uint32_t i = 0; !rc && !set && i < MAX_FORCED && aios_walk_forced(ahead, &c, 1) == 1; i++) {
        rc = aios__buf_addc(forced, c, err);
        rc = rc ? rc : aios_walk_accept(ahead, &c, 1, err);
        set = rc ? NULL : set_ahead(ahead);
    }
    if (set && ahead->g == w->g) /* behind a LAZY node its bytes are those of another grammar */
        *out = (aios__literals){.bytes = w->g->bytes, .words = w->g->words + set->a, .n = set->b};
    aios_walk_free(ahead);
    return rc;
}

const char *aios__literal_at(const aios__literals *l, uint32_t i, size_t *n, bool *goes_on)
{
    const uint32_t *e = l->words + 3 * (size_t)i;
    *n = e[1];
    *goes_on = e[2] != AIOS__G_NONE;
    return l->bytes + e[0];
}

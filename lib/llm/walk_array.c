/* SPDX-License-Identifier: Apache-2.0 */
/* The walker in JSON arrays. */
#include "llm/walk_priv.h"

enum { ARR_OPEN, ARR_FIRST, ARR_ITEM, ARR_AFTER };

static uint32_t item_node(const aios__step *s, const aios__gnode *n, const aios__frame *f)
{
    uint32_t node = f->v < n->b ? s->g->words[n->a + f->v] : n->c;
    return f->v < n->max && aios__step_fits(s, node, f->depth) ? node : AIOS__G_NONE;
}

static void begin_item(aios__step *s, const aios__gnode *n, aios__frame f)
{
    uint32_t node = item_node(s, n, &f);
    f.st = ARR_ITEM;
    if (node != AIOS__G_NONE)
        aios__step_plan(s, node, aios__step_frame(s, &f));
}

void aios__step_arr(aios__step *s, const aios__frame *f, uint8_t c)
{
    const aios__gnode *n = &s->g->nodes[f->node];
    if (f->st == ARR_OPEN && c == '[') {
        aios__frame to = *f;
        to.st = ARR_FIRST;
        if (!n->min)
            aios__step_emit_frame(s, &to);
        begin_item(s, n, to);
    } else if (f->st == ARR_AFTER && c == ',') {
        begin_item(s, n, *f);
    } else if ((f->st == ARR_FIRST || f->st == ARR_AFTER) && c == ']' && f->v >= n->min) {
        aios__step_done(s, f->up);
    }
}

void aios__leave_arr(aios__step *s, aios__frame f)
{
    f.st = ARR_AFTER;
    f.v++;
    aios__step_emit_frame(s, &f);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The walker in JSON arrays. A frame's v counts items; a, b and c those of each group. */
#include "grammar/walk_priv.h"

const uint32_t *aios__grammar_item(const aios_grammar *g, const aios__gnode *n, uint64_t i, uint32_t *n_ways)
{
    *n_ways = n->c ? 1u << g->arrs[n->c - 1].n : 1;
    return g->words + n->a + (i < n->b ? i : n->b) * *n_ways;
}

static bool possible(const aios_grammar *g, uint32_t node, uint32_t height)
{
    return g->nodes[node].height <= height;
}

/* With one group the sums of what may count and of what must are exact. */
static bool one_group_ends(const aios_grammar *g, const aios__gnode *n, uint64_t i, uint64_t count, uint32_t height)
{
    const aios__garr *r = &g->arrs[n->c - 1];
    uint64_t most = count, least = count;
    for (;; i++) {
        uint32_t ways;
        const uint32_t *nodes = aios__grammar_item(g, n, i, &ways);
        bool out = possible(g, nodes[0], height), in = possible(g, nodes[1], height);
        if (least > r->hi[0])
            return false;
        if (i >= n->min && most >= r->lo[0])
            return true;
        if (i >= n->max || (!out && !in))
            return false;
        if (i < n->b) {
            most += in;
            least += !out;
            continue;
        }
        uint64_t more = n->min > i ? n->min - i : 0, lacking = most < r->lo[0] ? r->lo[0] - most : 0;
        if (!in)
            return !lacking && more <= n->max - i;
        more = lacking > more ? lacking : more;
        return more <= n->max - i && (out || least + more <= r->hi[0]);
    }
}

/* With more than one, what is lacking comes after the prefix, an item for each. */
static bool groups_end(const aios_grammar *g, const aios__gnode *n, uint64_t i, const uint32_t *counts, uint32_t height)
{
    const aios__garr *r = &g->arrs[n->c - 1];
    uint64_t lacking = 0, from = i > n->b ? i : n->b, last = from;
    uint32_t ways;
    const uint32_t *rest = aios__grammar_item(g, n, n->b, &ways);
    for (uint32_t k = 0; k < r->n; k++) {
        uint64_t some = counts[k] < r->lo[k] ? r->lo[k] - counts[k] : 0;
        if (counts[k] > r->hi[k] || (some && !possible(g, rest[1u << k], height)))
            return false;
        lacking += some;
    }
    last = lacking ? from + lacking : i;
    if (last > n->max)
        return false;
    for (; i < n->b && (lacking || i < n->min); i++)
        if (!possible(g, *aios__grammar_item(g, n, i, &ways), height))
            return false;
    return n->min <= n->max && (n->min <= last || n->min <= n->b || possible(g, rest[0], height));
}

bool aios__grammar_arr_ends(const aios_grammar *g, const aios__gnode *n, uint64_t i, const uint32_t counts[AIOS__G_GROUPS], uint32_t height)
{
    const aios__garr *r = &g->arrs[n->c - 1];
    for (uint32_t k = 0; k < r->n; k++)
        if (r->lo[k] > r->hi[k])
            return false;
    return r->n == 1 ? one_group_ends(g, n, i, counts[0], height) : groups_end(g, n, i, counts, height);
}

static bool groups_ok(const aios__step *s, const aios__gnode *n, const aios__frame *f)
{
    const aios__garr *r = n->c ? &s->g->arrs[n->c - 1] : NULL;
    const uint32_t counts[AIOS__G_GROUPS] = {f->a, f->b, f->c};
    for (uint32_t k = 0; r && k < r->n; k++)
        if (counts[k] < r->lo[k] || counts[k] > r->hi[k])
            return false;
    return true;
}

/* The item, counted in the groups of bits `way`. */
static void begin_way(aios__step *s, const aios__gnode *n, aios__frame f, uint32_t node, uint32_t way)
{
    bool unique = aios__grammar_unique(s->g, n);
    uint32_t counts[AIOS__G_GROUPS] = {f.a + (way & 1), f.b + (way >> 1 & 1), unique ? 0 : f.c + (way >> 2)};
    if (!aios__step_fits(s, node, f.depth) || (n->c && !s->g->complete && !aios__grammar_arr_ends(s->g, n, f.v + 1, counts, AIOS__G_DEPTH - f.depth)))
        return;
    f.st = ARR_ITEM;
    f.a = counts[0];
    f.b = counts[1];
    if (!unique) {
        f.c = counts[2];
        aios__step_plan(s, node, aios__step_frame(s, &f));
    } else if (s->g->complete || s->g->nodes[node].few > f.v) {
        aios__unique_begin(s, node, aios__step_frame(s, &f));
    }
}

static void begin_item(aios__step *s, const aios__gnode *n, const aios__frame *f)
{
    uint32_t ways;
    const uint32_t *nodes = aios__grammar_item(s->g, n, f->v, &ways);
    for (uint32_t i = 0; i < ways && f->v < n->max; i++)
        begin_way(s, n, *f, nodes[i], i);
}

void aios__step_arr(aios__step *s, const aios__frame *f, uint8_t c)
{
    const aios__gnode *n = &s->g->nodes[f->node];
    if (f->st == ARR_WRAP) {
        aios__unique_step(s, f, c);
        return;
    }
    if (f->st == ARR_OPEN && c == '[') {
        aios__frame to = *f;
        to.st = ARR_FIRST;
        if (!n->min && groups_ok(s, n, f))
            aios__step_emit_frame(s, &to);
        begin_item(s, n, &to);
    } else if (f->st == ARR_AFTER && c == ',') {
        s->blank = s->g->blank;
        begin_item(s, n, f);
    } else if ((f->st == ARR_FIRST || f->st == ARR_AFTER) && c == ']' && f->v >= n->min && groups_ok(s, n, f)) {
        aios__step_done(s, f->up);
    }
}

void aios__leave_arr(aios__step *s, aios__frame f)
{
    f.st = ARR_AFTER;
    f.v++;
    if (!aios__grammar_unique(s->g, &s->g->nodes[f.node]) || aios__unique_end(s, &f))
        aios__step_emit_frame(s, &f);
}

void aios__array_links(const aios_grammar *g, const aios__frame *f, uint32_t links[2])
{
    bool has_text = f->st == ARR_WRAP || f->st == ARR_TEXT || f->st == ARR_LIST;
    links[0] = has_text ? (uint32_t)f->v : 0;
    links[1] = f->st == ARR_WRAP ? f->a : !has_text && aios__grammar_unique(g, &g->nodes[f->node]) ? f->c : 0;
}

void aios__array_relink(const aios_grammar *g, aios__frame *f, const uint32_t *map)
{
    uint32_t links[2];
    aios__array_links(g, f, links);
    if (links[0])
        f->v = map[links[0]];
    if (links[1] && f->st == ARR_WRAP)
        f->a = map[links[1]];
    else if (links[1])
        f->c = map[links[1]];
}

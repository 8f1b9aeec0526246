/* SPDX-License-Identifier: Apache-2.0 */
/* The walker in literals, sets of literals and regular expressions. */
#include "grammar/walk_priv.h"

void aios__step_lit(aios__step *s, const aios__frame *f, uint8_t c)
{
    const aios__gnode *n = &s->g->nodes[f->node];
    aios__frame to = *f;
    if ((uint8_t)s->g->bytes[n->a + to.a] != c)
        return;
    if (++to.a == n->b)
        aios__step_done(s, to.up);
    else
        aios__step_emit_frame(s, &to);
}

void aios__walk_narrow(const aios_grammar *g, const uint32_t *e, uint32_t *lo, uint32_t *hi, uint32_t pos, uint8_t c)
{
    uint32_t a = *lo, b = *hi;
    while (a < b) { /* first with byte >= c */
        uint32_t m = a + (b - a) / 2;
        if ((uint8_t)g->bytes[e[3 * (size_t)m] + pos] < c)
            a = m + 1;
        else
            b = m;
    }
    *lo = a;
    b = *hi;
    while (a < b) { /* first with byte > c */
        uint32_t m = a + (b - a) / 2;
        if ((uint8_t)g->bytes[e[3 * (size_t)m] + pos] <= c)
            a = m + 1;
        else
            b = m;
    }
    *hi = a;
}

void aios__step_set(aios__step *s, const aios__frame *f, uint8_t c)
{
    const uint32_t *e = s->g->words + s->g->nodes[f->node].a;
    aios__frame to = *f;
    aios__walk_narrow(s->g, e, &to.a, &to.b, to.c, c);
    to.c++;
    if (to.a < to.b && e[3 * (size_t)to.a + 1] == to.c) { /* the shortest of equal beginnings comes first */
        aios__step_plan(s, e[3 * (size_t)to.a + 2], to.up);
        to.a++;
    }
    if (to.a < to.b)
        aios__step_emit_frame(s, &to);
}


static bool goes_on(const uint32_t *row)
{
    for (uint32_t c = 0; c < 256; c++)
        if (row[c] != AIOS__RX_NOTHING)
            return true;
    return false;
}

void aios__step_rx(aios__step *s, const aios__frame *f, uint8_t c)
{
    const uint32_t *row;
    aios__frame to = *f;
    s->rc = s->rc ? s->rc : aios__rx_row(s->g->rx, f->a, &row, s->err);
    if (s->rc || row[c] == AIOS__RX_NOTHING)
        return;
    to.a = row[c];
    if (aios__rx_ends(s->g->rx, to.a))
        aios__step_done(s, to.up);
    s->rc = aios__rx_row(s->g->rx, to.a, &row, s->err);
    if (!s->rc && goes_on(row))
        aios__step_emit_frame(s, &to);
}

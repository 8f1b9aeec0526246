/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes may go on in a frame, so that masks try no others. Too many cost time, too few would be wrong. */
#include "grammar/walk_priv.h"

static void live_byte(uint32_t live[8], uint8_t c)
{
    live[c / 32] |= 1u << c % 32;
}

static void live_chars(uint32_t live[8], const char *s)
{
    for (; *s; s++)
        live_byte(live, (uint8_t)*s);
}

static void live_all(uint32_t live[8])
{
    memset(live, 0xff, 8 * sizeof *live);
}

/* The byte at pos of entries lo .. hi (3 words each: offset, length). */
static void live_entries(const aios_grammar *g, const uint32_t *e, uint32_t lo, uint32_t hi, uint32_t pos, uint32_t live[8])
{
    for (uint32_t i = lo; i < hi; i++)
        if (pos < e[3 * (size_t)i + 1])
            live_byte(live, (uint8_t)g->bytes[e[3 * (size_t)i] + pos]);
}

static void live_row(const aios_walk *w, uint32_t e, uint32_t live[8])
{
    const uint32_t *row;
    aios_error err = AIOS_INIT(aios_error);
    if (aios__rx_row(w->g->rx, e, &row, &err)) {
        live_all(live); /* the step says what is wrong */
        return;
    }
    for (unsigned c = 0; c < 256; c++)
        live[c / 32] |= (uint32_t)(row[c] != AIOS__RX_NOTHING) << c % 32;
}

static void live_object(const aios_walk *w, const aios__frame *f, uint32_t live[8])
{
    const aios__gobj *o = &w->g->objs[w->g->nodes[f->node].a];
    if (f->st < KEY_NAME) {
        live_chars(live, f->st == OBJ_OPEN ? "{" : "\",}");
    } else if (f->st == KEY_NAME) {
        live_byte(live, '\\');
        live_entries(w->g, w->g->words + o->keys, f->a, f->b, f->c, live);
    } else if (f->st == KEY_COLON) {
        live_byte(live, ':');
    } else {
        live_all(live);
    }
}

void aios__frame_live(const aios_walk *w, const aios__frame *f, uint32_t live[8])
{
    while (w->g->nodes[f->node].kind == AIOS__G_ARR && f->st == ARR_WRAP)
        f = &w->frames[f->a];
    const aios__gnode *n = &w->g->nodes[f->node];
    switch (n->kind) {
    case AIOS__G_END:
        break;
    case AIOS__G_LIT:
        live_byte(live, (uint8_t)w->g->bytes[n->a + f->a]);
        break;
    case AIOS__G_SET:
        live_entries(w->g, w->g->words + n->a, f->a, f->b, f->c, live);
        break;
    case AIOS__G_INT:
    case AIOS__G_NUM:
        live_chars(live, "0123456789-+.eE");
        break;
    case AIOS__G_OBJ:
        live_object(w, f, live);
        break;
    case AIOS__G_ARR:
        live_chars(live, "[,]");
        break;
    case AIOS__G_BLANK:
        live_byte(live, ' ');
        break;
    case AIOS__G_RX:
        live_row(w, f->a, live);
        break;
    case AIOS__G_STR:
        if (!aios__str_between(f) || n->a == AIOS__RX_NOTHING) {
            live_all(live);
        } else {
            live_row(w, f->a, live);
            live_chars(live, "\"\\");
        }
        break;
    default:
        live_all(live);
    }
}

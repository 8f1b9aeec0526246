/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SentencePiece BPE: neighbours whose joined text is a token merge, best score first. A text is cut where no token of the
 * vocabulary could lie across, which changes nothing but keeps the heap small.
 */
#include "backend/gguf/vocab_priv.h"

#define BLANK "\xe2\x96\x81" /* U+2581 stands for a space */
#define NOT_LOOKED (-2)

/* ---- tables --------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of a token "<0xHH>", or -1. */
static int byte_of(aios__gstr t)
{
    if (t.n != 6 || memcmp(t.p, "<0x", 3) || t.p[5] != '>')
        return -1;
    int hi = hex_digit(t.p[3]), lo = hex_digit(t.p[4]);
    return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

static void find_bytes(aios__vocab *v)
{
    static const char hex[] = "0123456789ABCDEF";
    for (uint32_t b = 0; b < 256; b++) {
        char text[6] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
        char alone = (char)b;
        v->byte_id[b] = aios__vocab_find(v, text, 6);
        if (v->byte_id[b] < 0)
            v->byte_id[b] = aios__vocab_find(v, &alone, 1);
    }
}

int aios__spm_build(aios__vocab *v, aios_error *err)
{
    const aios__gguf_kv *kv = NULL;
    int rc = aios__gguf_array(v->file, "tokenizer.ggml.scores", AIOS__GGUF_F32, &kv, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (!rc && kv->n < v->n)
        return aios__fail_need(err, AIOS_EFORMAT, kv->n, v->n, "%.200s: key \"tokenizer.ggml.scores\" has %llu entries for %u tokens; convert the model again",
                               aios__gguf_path(v->file), (unsigned long long)kv->n, v->n);
    v->scores = rc ? NULL : kv->data;
    v->joint = aios__alloc(v->heap, AIOS_MEM_VOCAB, 8192, err);
    if (!v->joint)
        return err->code;
    for (uint32_t id = 0; id < v->n; id++) {
        aios__gstr t = vocab_text(v, id);
        const uint8_t *p = (const uint8_t *)t.p;
        for (size_t i = 1; i < t.n; i++)
            if ((p[i] & 0xc0) != 0x80)
                vocab_set_bit(v->joint, (uint32_t)p[i - 1] << 8 | p[i]);
    }
    find_bytes(v);
    v->add_bos = true;
    v->space_prefix = true;
    return AIOS_OK;
}

/* The text with U+2581 as the space it stands for; returns its bytes. */
static uint32_t show_blanks(aios__gstr t, char *out)
{
    uint32_t n = 0;
    for (size_t i = 0; i < t.n; n++) {
        bool blank = t.p[i] == BLANK[0] && t.n - i >= 3 && t.p[i + 1] == BLANK[1] && t.p[i + 2] == BLANK[2];
        out[n] = blank ? ' ' : t.p[i];
        i += blank ? 3 : 1;
    }
    return n;
}

int aios__spm_pieces(aios__vocab *v, aios_error *err)
{
    AIOS__UNUSED(err);
    uint32_t at = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        aios__gstr t = vocab_text(v, id);
        uint32_t type = v->types[id];
        int byte = type == AIOS__TOKEN_BYTE ? byte_of(t) : -1;
        v->piece_off[id] = at;
        if (byte >= 0) {
            v->piece[at++] = (char)byte;
        } else if (type == AIOS__TOKEN_NORMAL) {
            at += show_blanks(t, v->piece + at);
        } else {
            memcpy(v->piece + at, t.p, t.n);
            at += (uint32_t)t.n;
        }
    }
    v->piece_off[v->n] = at;
    return AIOS_OK;
}

/* ---- merging one cut ------------------------------------------------------------------------------------------ */

/* Orders scores downwards as unsigned numbers. */
static uint32_t score_key(const aios__vocab *v, int32_t id)
{
    float f = 0;
    uint32_t u;
    if (v->scores)
        memcpy(&f, v->scores + 4 * (size_t)id, sizeof f);
    if (f != f)
        return UINT32_MAX; /* NaN never wins */
    f += 0.0f;             /* -0 is 0 */
    memcpy(&u, &f, sizeof u);
    u = u >> 31 ? ~u : u | 0x80000000u;
    return ~u;
}

static void propose(const aios__vocab *v, vocab_work *w, uint32_t left)
{
    uint32_t right = left == UINT32_MAX ? left : w->sym[left].next;
    if (right == UINT32_MAX)
        return;
    uint32_t n = w->sym[left].n + w->sym[right].n;
    int32_t id = aios__vocab_find(v, w->text + w->sym[left].from, n);
    if (id >= 0)
        aios__tokwork_push(w, (vocab_merge){score_key(v, id), left, (int32_t)n, id});
}

static int add_symbol(const aios__vocab *v, const vocab_work *w, const vocab_symbol *sym, aios__ids *out, aios_error *err)
{
    const char *p = w->text + sym->from;
    int32_t id = sym->id == NOT_LOOKED ? aios__vocab_find(v, p, sym->n) : sym->id;
    int rc = AIOS_OK;
    if (id >= 0)
        return aios__ids_add(out, id, err);
    for (uint32_t i = 0; !rc && i < sym->n; i++) {
        id = v->byte_id[(uint8_t)p[i]];
        id = id >= 0 ? id : v->unk;
        rc = id >= 0 ? aios__ids_add(out, id, err) : AIOS_OK;
    }
    return rc;
}

static int merge_cut(const aios__vocab *v, vocab_work *w, uint32_t n, aios__ids *out, aios_error *err)
{
    vocab_merge m;
    int rc = AIOS_OK;
    w->sym[n - 1].next = UINT32_MAX;
    for (uint32_t i = 0; i + 1 < n; i++)
        propose(v, w, i);
    while (aios__tokwork_pop(w, &m)) {
        vocab_symbol *l = &w->sym[m.left];
        if (!l->n || l->next == UINT32_MAX || l->n + w->sym[l->next].n != (uint32_t)m.a)
            continue; /* what it was about is gone */
        l->id = m.b;
        aios__tokwork_join(w, m.left);
        propose(v, w, l->prev);
        propose(v, w, m.left);
    }
    for (uint32_t i = 0; !rc && i != UINT32_MAX; i = w->sym[i].next)
        rc = add_symbol(v, w, &w->sym[i], out, err);
    return rc;
}

/* ---- text to symbols ------------------------------------------------------------------------------------------ */

/* The text with each space as the three bytes of U+2581, one byte at a time. */
typedef struct escaped {
    const char *s;
    size_t n, at;
    uint32_t blank; /* bytes of U+2581 given already */
    bool prefix;    /* a space comes before the text */
} escaped;

static bool at_space(const escaped *e)
{
    return e->prefix || (e->at < e->n && e->s[e->at] == ' ');
}

static int peek_byte(const escaped *e)
{
    if (e->at == e->n && !e->prefix)
        return -1;
    return at_space(e) ? (uint8_t)BLANK[e->blank] : (uint8_t)e->s[e->at];
}

static void next_byte(escaped *e)
{
    if (at_space(e) && ++e->blank < 3)
        return;
    e->blank = 0;
    e->at += e->prefix ? 0 : 1;
    e->prefix = false;
}

/* Moves a symbol to out: as many bytes as its first byte announces, but never part of a space. */
static uint32_t take_symbol(escaped *e, char *out)
{
    static const uint8_t len[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    uint32_t n = 0, want = len[peek_byte(e) >> 4];
    bool space = at_space(e);
    for (int b; n < want && (b = peek_byte(e)) >= 0 && (space || !at_space(e)); n++) {
        out[n] = (char)b;
        next_byte(e);
    }
    return n;
}

/* True if no token holds what is before and behind this place. */
static bool can_cut(const aios__vocab *v, char before, int behind)
{
    return behind < 0 || ((behind & 0xc0) != 0x80 && !vocab_bit(v->joint, (uint32_t)(uint8_t)before << 8 | (uint32_t)behind));
}

int aios__spm_encode(const aios__vocab *v, vocab_work *w, const char *s, size_t n, bool space, aios__ids *out, aios_error *err)
{
    escaped e = {s, n, 0, 0, space};
    uint32_t count = 0, bytes = 0;
    int rc = aios__tokwork_grow(w, n < VOCAB_WINDOW ? (uint32_t)n + 1 : VOCAB_WINDOW, err);
    while (!rc && peek_byte(&e) >= 0) {
        uint32_t len = take_symbol(&e, w->text + bytes);
        w->sym[count] = (vocab_symbol){count ? count - 1 : UINT32_MAX, count + 1, bytes, len, NOT_LOOKED};
        bytes += len;
        count++;
        if (count < VOCAB_WINDOW && !can_cut(v, w->text[bytes - 1], peek_byte(&e)))
            continue;
        rc = merge_cut(v, w, count, out, err);
        count = bytes = 0;
    }
    return rc;
}

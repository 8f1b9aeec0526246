/* SPDX-License-Identifier: Apache-2.0 */
/* The list of symbols and the heap of candidate merges that both tokenizers share. */
#include "backend/gguf/vocab_priv.h"

static void free_lists(vocab_work *w)
{
    aios__free(w->heap, w->sym);
    aios__free(w->heap, w->heap_p);
    aios__free(w->heap, w->text);
    *w = (vocab_work){.heap = w->heap, .seen = w->seen};
}

int aios__tokwork_grow(vocab_work *w, uint32_t symbols, aios_error *err)
{
    if (symbols <= w->cap)
        return AIOS_OK;
    uint32_t cap = symbols < 256 ? 256 : symbols < 4096 ? 4096 : VOCAB_WINDOW;
    free_lists(w);
    w->sym = aios__alloc_array(w->heap, AIOS_MEM_SCRATCH, cap, sizeof *w->sym, err);
    w->heap_p = w->sym ? aios__alloc_array(w->heap, AIOS_MEM_SCRATCH, 2 * (size_t)cap, sizeof *w->heap_p, err) : NULL;
    w->text = w->heap_p ? aios__alloc(w->heap, AIOS_MEM_SCRATCH, 4 * (size_t)cap, err) : NULL;
    if (!w->text) {
        free_lists(w);
        return err->code;
    }
    w->cap = cap;
    return AIOS_OK;
}

void aios__tokwork_free(vocab_work *w)
{
    free_lists(w);
    aios__free(w->heap, w->seen);
    w->seen = NULL;
}

static bool before(const vocab_merge *a, const vocab_merge *b)
{
    return a->key != b->key ? a->key < b->key : a->left < b->left;
}

void aios__tokwork_push(vocab_work *w, vocab_merge m)
{
    uint32_t at = w->n_heap++;
    for (uint32_t up; at && before(&m, &w->heap_p[up = (at - 1) / 2]); at = up)
        w->heap_p[at] = w->heap_p[up];
    w->heap_p[at] = m;
}

bool aios__tokwork_pop(vocab_work *w, vocab_merge *m)
{
    if (!w->n_heap)
        return false;
    *m = w->heap_p[0];
    vocab_merge last = w->heap_p[--w->n_heap];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < w->n_heap; at = child) {
        if (child + 1 < w->n_heap && before(&w->heap_p[child + 1], &w->heap_p[child]))
            child++;
        if (!before(&w->heap_p[child], &last))
            break;
        w->heap_p[at] = w->heap_p[child];
    }
    w->heap_p[at] = last;
    return true;
}

bool aios__tokwork_join(vocab_work *w, uint32_t left)
{
    vocab_symbol *l = &w->sym[left];
    if (l->next == UINT32_MAX)
        return false;
    vocab_symbol *r = &w->sym[l->next];
    l->n += r->n;
    r->n = 0;
    l->next = r->next;
    if (r->next != UINT32_MAX)
        w->sym[r->next].prev = left;
    return true;
}

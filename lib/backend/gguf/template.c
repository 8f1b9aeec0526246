/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling and rendering of chat templates: the door of the tmpl_*.c files. */
#include "backend/gguf/tmpl_priv.h"

#define MAX_SOURCE ((size_t)4 << 20)
#define MAX_COMPILED ((size_t)64 << 20)

static void state_init(tp *s, const aios__template *t, aios_error *err)
{
    *s = (tp){.t = t, .max_depth = TP_MAX_DEPTH};
    s->local_err = (aios_error)AIOS_INIT(aios_error);
    s->err = err ? err : &s->local_err;
}

/* Line ends become \n, and the last one goes. */
static void normalize(aios__template *t, const char *src, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (src[i] == '\r') {
            t->src[k++] = '\n';
            i += i + 1 < n && src[i + 1] == '\n';
        } else {
            t->src[k++] = src[i];
        }
    }
    t->n = k - (k && t->src[k - 1] == '\n');
    t->src[t->n] = 0;
}

int aios__template_new(aios__heap *h, const char *src, size_t n, aios__template **out, aios_error *err)
{
    *out = NULL;
    if (n > MAX_SOURCE)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_SOURCE, n, "a chat template of %zu bytes is larger than the %zu allowed", n, MAX_SOURCE);
    if (n && (memchr(src, 0, n) || !aios__utf8_valid(src, n)))
        return aios__fail(err, AIOS_ETEMPLATE, "the chat template is not UTF-8 text without NUL");
    tp s;
    state_init(&s, NULL, err);
    aios__template *t = aios__alloc(h, AIOS_MEM_TEXT, sizeof *t, s.err);
    if (!t)
        return s.err->code;
    t->arena = (aios__tp_arena){.heap = h, .max = MAX_COMPILED};
    t->src = aios__alloc(h, AIOS_MEM_TEXT, n + 1, s.err);
    int rc = t->src ? 0 : s.err->code;
    if (!rc) {
        normalize(t, src, n);
        s.t = s.made = t;
        s.arena = &t->arena;
        rc = aios__tp_compile(&s);
    }
    if (rc) {
        aios__template_free(t);
        return rc;
    }
    *out = t;
    return AIOS_OK;
}

void aios__template_free(aios__template *t)
{
    if (!t)
        return;
    aios__heap *h = t->arena.heap;
    aios__tp_arena_free(&t->arena);
    aios__free(h, t->nodes);
    aios__free(h, t->syms);
    aios__free(h, t->src);
    aios__free(h, t);
}

bool aios__template_uses(const aios__template *t, const char *name)
{
    for (uint32_t i = 0; t && i < t->n_syms; i++)
        if (t->syms[i].read && t->syms[i].n == strlen(name) && !memcmp(t->syms[i].s, name, t->syms[i].n))
            return true;
    return false;
}

static int render(tp *s)
{
    s->globals = aios__tp_alloc(s, s->t->n_syms * sizeof *s->globals + 1);
    if (!s->globals)
        return s->rc;
    for (uint32_t i = 0; i < s->t->n_syms; i++)
        s->globals[i] = (aios__tp_val){.t = T_ABSENT};
    if (!aios__tp_scope_push(s))
        return s->rc;
    return aios__tp_exec(s, s->t->body);
}

int aios__template_render(const aios__template *t, const aios__json *vars, const aios__template_limits *limits, int64_t now_us, aios__buf *out,
                          aios_error *err)
{
    const aios__template_limits l = limits ? *limits : (aios__template_limits){0};
    tp s;
    state_init(&s, t, err);
    s.own = (aios__tp_arena){.heap = t->arena.heap, .max = l.memory ? l.memory : (size_t)64 << 20};
    s.arena = &s.own;
    s.vars = vars;
    s.fuel = l.fuel ? l.fuel : 5000000;
    s.max_depth = l.depth && l.depth < TP_MAX_DEPTH ? l.depth : TP_MAX_DEPTH;
    s.out = out;
    s.out_base = out->n;
    s.out_max = l.output ? l.output : (size_t)16 << 20;
    s.now_us = now_us;
    aios__buf_init(&s.cap, s.own.heap, AIOS_MEM_TEXT, s.own.max);
    int rc = render(&s);
    aios__buf_free(&s.cap);
    aios__tp_arena_free(&s.own);
    return rc;
}

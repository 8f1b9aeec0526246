/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How well a request fits a tool: its log-probability as an example of it. All tools read the same words, so none is favoured (the
 * noisy channel of Min et al. 2022). It costs a row for each word and tool, so it is asked only where the choice is close.
 */
#include <math.h>

#include "backend/gguf/calibrate.h"

enum { TEXT_MAX = 80, MAX_WORDS = 32, MAX_WANTS = 48 };

int aios__fit_text(const aios__vocab *v, const aios_tool_def *t, aios__ids *out, aios_error *err)
{
    static const char tail[] = "\nExample:";
    aios__ids ids = {.heap = out->heap};
    aios__buf text;
    aios__buf_init(&text, out->heap, AIOS_MEM_SCRATCH, 0);
    int rc = aios__buf_addf(&text, err, "Command: %s\nDescription: ", t->name);
    rc = rc || !t->description ? rc : aios__buf_adds(&text, t->description, err);
    rc = rc ? rc : aios__vocab_encode(v, text.p, text.n, AIOS_TOKENIZE_BOS, &ids, err);
    for (uint32_t i = 0; !rc && i < ids.n && i < TEXT_MAX; i++)
        rc = aios__ids_add(out, ids.p[i], err);
    rc = rc ? rc : aios__vocab_encode(v, tail, sizeof tail - 1, 0, out, err);
    aios__ids_free(&ids);
    aios__buf_free(&text);
    return rc;
}

/* Log of the sum of all exponentials; what is far below the largest adds nothing that a float would show. */
static double log_sum(const float *x, uint32_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (uint32_t i = 0; i < n; i++)
        if (x[i] > max - 20)
            sum += exp((double)(x[i] - max));
    return (double)max + log(sum);
}

typedef struct fit {
    const aios__prior *prior;
    const int32_t *words;
    uint32_t n_words, n_ctx;
    aios__net *net;
    aios__kv *kv[AIOS__FIT_TOOLS];
    uint32_t tool[AIOS__FIT_TOOLS], n_kv;
    aios__row rows[AIOS__CHUNK];
    uint32_t n_rows;
    float *logits;
} fit;

static const int32_t *text_of(const fit *f, uint32_t tool, uint32_t *n)
{
    *n = f->prior->fit_at[tool + 1] - f->prior->fit_at[tool];
    return f->prior->fit_ids + f->prior->fit_at[tool];
}

/* The rows of a tool: what is not known of its text, and all words but the last. */
static int add_tool(fit *f, uint32_t tool, aios_error *err)
{
    uint32_t n_text;
    const int32_t *text = text_of(f, tool, &n_text);
    aios__kv *kv;
    int rc = aios__kv_new(f->net, f->n_ctx, &kv, err);
    if (rc)
        return rc;
    f->tool[f->n_kv] = tool;
    f->kv[f->n_kv++] = kv;
    uint32_t have = aios__kv_resume(kv, text, n_text - 1), end = n_text + f->n_words - 1;
    rc = aios__kv_reserve(kv, end - have, err);
    for (uint32_t i = have; !rc && i < end; i++) {
        *aios__kv_id(kv, i) = i < n_text ? text[i] : f->words[i - n_text];
        f->rows[f->n_rows++] = (aios__row){.kv = kv, .pos = i, .id = *aios__kv_id(kv, i), .want = i + 1 >= n_text};
    }
    return rc;
}

/* Only texts of tools stay in the store. */
static int run(fit *f, double *out, aios_error *err)
{
    uint32_t n_vocab = f->net->hp.n_vocab, n_text;
    int rc = f->n_rows ? aios__net_eval(f->net, f->rows, f->n_rows, f->logits, NULL, err) : AIOS_OK;
    const float *row = f->logits;
    for (uint32_t k = 0; k < f->n_kv; k++) {
        double sum = 0;
        for (uint32_t i = 0; !rc && i < f->n_words; i++, row += n_vocab)
            sum += (double)row[f->words[i]] - log_sum(row, n_vocab);
        out[f->tool[k]] = sum;
        text_of(f, f->tool[k], &n_text);
        f->kv[k]->n = rc ? f->kv[k]->n : n_text;
        aios__kv_free(f->kv[k]);
    }
    f->n_kv = f->n_rows = 0;
    return rc;
}

static int score(fit *f, const uint32_t *tools, uint32_t n, double *out, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n && !rc; i++) {
        uint32_t n_text;
        text_of(f, tools[i], &n_text);
        if (f->n_rows + n_text + f->n_words > AIOS__CHUNK || (f->n_kv + 1) * f->n_words > MAX_WANTS)
            rc = run(f, out, err);
        rc = rc ? rc : add_tool(f, tools[i], err);
    }
    f->n_rows = rc ? 0 : f->n_rows;
    int last = run(f, out, err);
    return rc ? rc : last;
}

bool aios__fit_has_room(uint32_t n_ctx)
{
    return n_ctx >= TEXT_MAX + MAX_WORDS + 32;
}

int aios__fit_score(aios__net *net, uint32_t n_ctx, const aios__prior *p, const aios__ids *question, const uint32_t *tools, uint32_t n,
                    double *out, aios_error *err)
{
    uint32_t n_words = question->n < MAX_WORDS ? question->n : MAX_WORDS;
    uint32_t n_wants = n * n_words < MAX_WANTS ? n * n_words : MAX_WANTS;
    for (uint32_t i = 0; i < n; i++)
        out[tools[i]] = 0;
    if (!n_wants)
        return AIOS_OK;
    fit *f = aios__alloc(net->heap, AIOS_MEM_SCRATCH, sizeof *f, err);
    if (!f)
        return aios__no_memory(err);
    f->prior = p;
    f->net = net;
    f->n_ctx = n_ctx;
    f->words = question->p + (question->n - n_words);
    f->n_words = n_words;
    f->logits = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, (size_t)n_wants * net->hp.n_vocab, sizeof *f->logits, err);
    int rc = f->logits ? score(f, tools, n, out, err) : aios__no_memory(err);
    aios__free(net->heap, f->logits);
    aios__free(net->heap, f);
    return rc;
}

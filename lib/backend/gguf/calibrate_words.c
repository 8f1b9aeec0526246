/* SPDX-License-Identifier: Apache-2.0 */
/* What the words of a request share with those of tools, by the model's own token embeddings. */
#include <math.h>

#include "backend/gguf/calibrate.h"

#define COMMON 4.0 /* log of the place in the vocabulary up to which tokens say nothing: letters, marks, the most frequent syllables */

/* Name parts as words of their own. */
static int add_name(aios__buf *b, const char *s, aios_error *err)
{
    int rc = aios__buf_addc(b, ' ', err);
    for (; *s && !rc; s++)
        rc = aios__buf_addc(b, *s == '_' || *s == '.' || *s == '-' ? ' ' : *s, err);
    return rc;
}

static int add_parameters(aios__buf *b, const char *schema, aios_error *err)
{
    aios__json_doc *doc;
    const char *key;
    const aios__json *v;
    int rc = aios__json_parse(b->heap, schema, strlen(schema), &doc, err);
    if (rc)
        return rc;
    const aios__json *props = aios__json_get(aios__json_root(doc), "properties");
    for (void *it = aios__json_iter(props, NULL, &key, &v); it && !rc; it = aios__json_iter(props, it, &key, &v))
        rc = add_name(b, key, err);
    aios__json_free(doc);
    return rc;
}

/* At most AIOS__WORDS_MAX tokens of a text, the first or the last. */
static int add_words(const aios__vocab *v, const aios__buf *text, bool last, aios__ids *out, aios_error *err)
{
    aios__ids all = {.heap = text->heap};
    int rc = aios__vocab_encode(v, text->p, text->n, 0, &all, err);
    uint32_t skip = last && all.n > AIOS__WORDS_MAX ? all.n - AIOS__WORDS_MAX : 0;
    for (uint32_t i = skip; !rc && i < all.n && i < skip + AIOS__WORDS_MAX; i++)
        rc = aios__ids_add(out, all.p[i], err);
    aios__ids_free(&all);
    return rc;
}

int aios__words_of_tool(const aios__vocab *v, const aios_tool_def *t, aios__ids *out, aios_error *err)
{
    aios__buf text;
    aios__buf_init(&text, out->heap, AIOS_MEM_SCRATCH, 0);
    int rc = add_name(&text, t->name, err);
    rc = rc ? rc : aios__buf_addc(&text, ' ', err);
    rc = rc || !t->description ? rc : aios__buf_adds(&text, t->description, err);
    rc = rc || !t->schema_json ? rc : add_parameters(&text, t->schema_json, err);
    rc = rc ? rc : add_words(v, &text, false, out, err);
    aios__buf_free(&text);
    return rc;
}

int aios__words_of_text(const aios__vocab *v, const char *s, size_t n, aios__ids *out, aios_error *err)
{
    aios__buf text;
    size_t skip = n > 16 * (size_t)AIOS__WORDS_MAX ? n - 16 * (size_t)AIOS__WORDS_MAX : 0;
    aios__buf_init(&text, out->heap, AIOS_MEM_SCRATCH, 0);
    int rc = aios__buf_addc(&text, ' ', err);
    rc = rc ? rc : aios__buf_add(&text, s + skip, n - skip, err);
    rc = rc ? rc : add_words(v, &text, true, out, err);
    aios__buf_free(&text);
    return rc;
}

/* The embedding of a token, of length 1. */
static void direction(const aios__net *net, int32_t id, float *out)
{
    double sum = 0;
    uint32_t n = net->hp.n_embd;
    aios__panel_row(&net->w.embd, (uint32_t)id, out);
    for (uint32_t i = 0; i < n; i++)
        sum += (double)out[i] * (double)out[i];
    float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (uint32_t i = 0; i < n; i++)
        out[i] *= scale;
}

static float dot(const float *a, const float *b, uint32_t n)
{
    float part[16] = {0}, sum = 0;
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (uint32_t k = 0; k < 16; k++)
            part[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        part[0] += a[i] * b[i];
    for (uint32_t k = 0; k < 16; k++)
        sum += part[k];
    return sum;
}

/* near[q]: the cosine of word q of the question to the nearest one of a text. */
static void nearest(const aios__net *net, const float *words, uint32_t n_words, const int32_t *ids, uint32_t n, float *room, float *near)
{
    uint32_t n_embd = net->hp.n_embd;
    for (uint32_t q = 0; q < n_words; q++)
        near[q] = n ? -1 : 0;
    for (uint32_t i = 0; i < n; i++) {
        direction(net, ids[i], room);
        for (uint32_t q = 0; q < n_words; q++) {
            float x = dot(words + (size_t)q * n_embd, room, n_embd);
            near[q] = x > near[q] ? x : near[q];
        }
    }
}

static double weight(int32_t id)
{
    double w = log(1.0 + id) - COMMON;
    return w > 0 ? w : 0;
}

int aios__words_score(const aios__net *net, const aios__ids *question, const int32_t *ids, const uint32_t *at, uint32_t n, double *out, aios_error *err)
{
    uint32_t n_embd = net->hp.n_embd, n_words = question->n;
    size_t n_floats = (size_t)(n_words + 1) * n_embd + (size_t)n * n_words;
    float *words = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, n_floats, sizeof *words, err);
    if (!words)
        return aios__no_memory(err);
    float *room = words + (size_t)n_words * n_embd, *near = room + n_embd;
    for (uint32_t q = 0; q < n_words; q++)
        direction(net, question->p[q], words + (size_t)q * n_embd);
    for (uint32_t i = 0; i < n; i++)
        nearest(net, words, n_words, ids + at[i], at[i + 1] - at[i], room, near + (size_t)i * n_words);
    for (uint32_t i = 0; i < n; i++)
        out[i] = 0;
    for (uint32_t q = 0; q < n_words; q++) {
        double mean = 0;
        for (uint32_t i = 0; i < n; i++)
            mean += (double)near[(size_t)i * n_words + q] / n;
        for (uint32_t i = 0; i < n; i++)
            out[i] += weight(question->p[q]) * ((double)near[(size_t)i * n_words + q] - mean);
    }
    aios__free(net->heap, words);
    return AIOS_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How likely the tokens of a reply were: the logarithm of the softmax of the network's logits, whatever the sampling made of them. */
#include <math.h>

#include "backend/gguf/gguf.h"

enum { TOP_MAX = 20 };

int aios__logprobs_start(aios__gguf_session *s, const aios_request *req, aios_error *err)
{
    aios__logprobs *l = &s->turn.logprobs;
    aios__heap *h = s->model->heap;
    aios__buf_init(&l->tokens, h, AIOS_MEM_TEXT, 0);
    l->id = -1;
    l->n_top = req->n_top < TOP_MAX ? req->n_top : TOP_MAX;
    if (!(req->flags & AIOS_REQUEST_LOGPROBS))
        return AIOS_OK;
    l->raw = aios__alloc_array(h, AIOS_MEM_SCRATCH, s->model->net->hp.n_vocab, sizeof *l->raw, err);
    l->on = l->raw;
    return l->on ? AIOS_OK : aios__no_memory(err);
}

void aios__logprobs_free(aios__gguf_session *s)
{
    aios__logprobs *l = &s->turn.logprobs;
    aios__free(s->model->heap, l->raw);
    aios__buf_free(&l->tokens);
}

void aios__logprobs_look(aios__gguf_session *s, const float *logits)
{
    if (s->turn.logprobs.on)
        memcpy(s->turn.logprobs.raw, logits, s->model->net->hp.n_vocab * sizeof *logits);
}

void aios__logprobs_chosen(aios__gguf_session *s, int32_t id)
{
    s->turn.logprobs.id = id;
}

/* The logarithm of the sum of all exponentials. */
static double scale_of(const float *x, uint32_t n)
{
    double max = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

/* The k largest, the largest first, of equals the first; gives their number. */
static uint32_t find_top(const float *x, uint32_t n, uint32_t k, int32_t top[TOP_MAX])
{
    uint32_t m = 0;
    for (uint32_t i = 0; k && i < n; i++) {
        if (m == k && !(x[i] > x[top[m - 1]]))
            continue;
        uint32_t at = m < k ? m++ : m - 1;
        for (; at && x[i] > x[top[at - 1]]; at--)
            top[at] = top[at - 1];
        top[at] = (int32_t)i;
    }
    return m;
}

static int put_top(const aios__gguf_session *s, double scale, aios__buf *b, aios_error *err)
{
    const aios__logprobs *l = &s->turn.logprobs;
    int32_t top[TOP_MAX];
    uint32_t n = find_top(l->raw, s->model->net->hp.n_vocab, l->n_top, top);
    int rc = b->failed;
    for (uint32_t i = 0; !rc && i < n; i++) {
        size_t n_text;
        const char *text = aios__vocab_piece(s->model->vocab, top[i], &n_text);
        aios__logprob_put(b, text, n_text, (double)l->raw[top[i]] - scale, err);
        rc = aios__buf_addc(b, '}', err);
    }
    return rc;
}

int aios__logprobs_add(aios__gguf_session *s, int32_t id, const char *text, size_t n, aios_error *err)
{
    aios__logprobs *l = &s->turn.logprobs;
    aios__buf *b = &l->tokens;
    bool chosen = l->id >= 0 && l->id == id;
    l->id = -1;
    if (!l->on || s->turn.reply.state != AIOS__REPLY_TEXT || !n)
        return AIOS_OK;
    double scale = chosen ? scale_of(l->raw, s->model->net->hp.n_vocab) : 0;
    if (!b->n)
        aios__buf_addc(b, '[', err);
    aios__logprob_put(b, text, n, chosen ? (double)l->raw[id] - scale : 0, err);
    aios__buf_adds(b, ",\"top\":[", err);
    int rc = chosen ? put_top(s, scale, b, err) : b->failed;
    return rc ? rc : aios__buf_adds(b, chosen ? "]}" : "],\"forced\":true}", err);
}

int aios__logprobs_send(aios__gguf_session *s, bool end, aios_error *err)
{
    aios__turn *t = &s->turn;
    aios__logprobs *l = &t->logprobs;
    bool sent = t->out.n_texts != l->n_texts, kept = t->reply.state == AIOS__REPLY_TEXT && !end;
    int rc = AIOS_OK;
    l->n_texts = t->out.n_texts;
    if (!l->tokens.n || (!sent && kept))
        return AIOS_OK;
    if (sent) {
        rc = aios__buf_addc(&l->tokens, ']', err);
        rc = rc ? rc : t->out.sink.logprobs(t->out.sink.user, l->tokens.p, l->tokens.n);
    }
    aios__buf_clear(&l->tokens);
    return rc;
}

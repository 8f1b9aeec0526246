/* SPDX-License-Identifier: Apache-2.0 */
/* A request that outlives its caller: for turns that may have to be begun again. */
#include "llm/llm.h"

/* Adds a text with its NUL. Its place is an offset until all texts are there, since the buffer moves. */
static int keep(aios__request_copy *c, const char **text, size_t n, aios_error *err)
{
    if (!*text)
        return AIOS_OK;
    size_t at = c->texts.n + 1; /* 0 stays NULL */
    int rc = aios__buf_add(&c->texts, *text, n, err);
    rc = rc ? rc : aios__buf_addc(&c->texts, 0, err);
    *text = (const char *)(uintptr_t)at;
    return rc;
}

typedef int each_text(aios__request_copy *c, const char **text, aios_error *err);

static int keep_text(aios__request_copy *c, const char **text, aios_error *err)
{
    return keep(c, text, *text ? strlen(*text) : 0, err);
}

static int place_text(aios__request_copy *c, const char **text, aios_error *err)
{
    AIOS__UNUSED(err);
    if (*text)
        *text = c->texts.p + ((uintptr_t)*text - 1);
    return AIOS_OK;
}

static int each(aios__request_copy *c, each_text *fn, aios_error *err)
{
    int rc = fn(c, &c->req.tool_name, err);
    rc = rc ? rc : fn(c, &c->req.schema_json, err);
    for (uint32_t i = 0; !rc && i < c->req.n_tools; i++) {
        rc = fn(c, &c->tools[i].name, err);
        rc = rc ? rc : fn(c, &c->tools[i].description, err);
        rc = rc ? rc : fn(c, &c->tools[i].schema_json, err);
    }
    for (uint32_t i = 0; !rc && c->stop && c->stop[i]; i++)
        rc = fn(c, &c->stop[i], err);
    return rc;
}

static int copy_rows(aios__request_copy *c, const aios_request *q, aios_error *err)
{
    uint32_t n_stop = 0;
    for (; q->stop && q->stop[n_stop]; n_stop++)
        ;
    c->tools = aios__alloc_array(c->heap, AIOS_MEM_TEXT, q->n_tools, sizeof *c->tools, err);
    c->stop = aios__alloc_array(c->heap, AIOS_MEM_TEXT, (size_t)n_stop + 1, sizeof *c->stop, err);
    if (!c->tools || !c->stop)
        return aios__nomem(err);
    if (q->n_tools)
        memcpy(c->tools, q->tools, q->n_tools * sizeof *c->tools);
    if (n_stop)
        memcpy(c->stop, q->stop, n_stop * sizeof *c->stop);
    c->req.tools = q->n_tools ? c->tools : NULL;
    c->req.stop = n_stop ? c->stop : NULL;
    return AIOS_OK;
}

int aios__request_copy_make(aios__heap *h, const aios_request *q, aios__request_copy *c, aios_error *err)
{
    *c = (aios__request_copy){.heap = h, .req = *q};
    aios__buf_init(&c->texts, h, AIOS_MEM_TEXT, 0);
    if (q->sampling) {
        c->sampling = *q->sampling;
        c->req.sampling = &c->sampling;
    }
    c->req.transcript = NULL;
    int rc = copy_rows(c, q, err);
    rc = rc ? rc : keep(c, &c->req.raw, q->n_raw, err);
    rc = rc ? rc : each(c, keep_text, err);
    if (!rc) {
        place_text(c, &c->req.raw, err);
        each(c, place_text, err);
    }
    rc = rc || !q->transcript ? rc : aios_transcript_copy(q->transcript, &c->transcript, err);
    rc = rc || !q->grammar ? rc : aios_walk_new(q->grammar, &c->walk, err);
    c->req.transcript = c->transcript;
    if (rc)
        aios__request_copy_free(c);
    return rc;
}

void aios__request_copy_free(aios__request_copy *c)
{
    aios_transcript_free(c->transcript);
    aios_walk_free(c->walk);
    aios__buf_free(&c->texts);
    aios__free(c->heap, c->tools);
    aios__free(c->heap, c->stop);
    *c = (aios__request_copy){.heap = c->heap};
    aios__buf_init(&c->texts, c->heap, AIOS_MEM_TEXT, 0);
}

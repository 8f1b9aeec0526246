/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/llm.h"

struct aios__event_node {
    aios__event_node *next;
    size_t n_bytes;
    aios_event pub;
    aios_usage usage;
    char bytes[];
};

void aios__events_init(aios__events *q, aios__heap *h)
{
    memset(q, 0, sizeof *q);
    q->heap = h;
}

static char *put_bytes(char **at, const char *s, size_t n)
{
    char *p = *at;
    if (!s)
        return NULL;
    memcpy(p, s, n);
    p[n] = 0;
    *at += n + 1;
    return p;
}

int aios__event_new(aios__heap *h, const aios_event *ev, aios__event_node **out, aios_error *err)
{
    size_t n_id = ev->call_id ? strlen(ev->call_id) : 0, n_name = ev->name ? strlen(ev->name) : 0, total;
    if (!aios__add_size(sizeof(aios__event_node) + n_id + n_name + 3, ev->n_text, &total))
        return aios__fail(err, AIOS_ENOMEM, "an event of %zu bytes is impossible", ev->n_text);
    aios__event_node *n = aios__alloc(h, AIOS_MEM_TEXT, total, err);
    if (!n)
        return aios__nomem(err);
    char *at = n->bytes;
    n->n_bytes = total;
    n->pub = *ev;
    n->pub.struct_size = sizeof n->pub;
    n->pub.error = NULL;
    n->pub.call_id = put_bytes(&at, ev->call_id, n_id);
    n->pub.name = put_bytes(&at, ev->name, n_name);
    n->pub.text = put_bytes(&at, ev->text ? ev->text : "", ev->n_text);
    if (ev->usage) {
        n->usage = *ev->usage;
        n->pub.usage = &n->usage;
    }
    *out = n;
    return AIOS_OK;
}

void aios__events_push(aios__events *q, aios__event_node *node)
{
    node->pub.seq = q->seq++;
    if (q->tail)
        q->tail->next = node;
    else
        q->head = node;
    q->tail = node;
    q->n++;
    q->n_bytes += node->n_bytes;
}

void aios__events_finish(aios__events *q, const aios_event *ev)
{
    q->last = *ev;
    q->last.struct_size = sizeof q->last;
    q->last.seq = q->seq++;
    if (!q->last.text)
        q->last.text = "";
    q->last.error = NULL;
    if (ev->error) {
        q->last_error = (aios_error)AIOS_INIT(aios_error);
        aios__error_copy(&q->last_error, ev->error);
        q->last.error = &q->last_error;
        q->last.code = q->last_error.code;
    }
    q->has_last = true;
}

const aios_event *aios__events_pop(aios__events *q)
{
    aios__free(q->heap, q->current);
    q->current = q->head;
    if (q->head) {
        q->head = q->head->next;
        if (!q->head)
            q->tail = NULL;
        q->n--;
        q->n_bytes -= q->current->n_bytes;
        return &q->current->pub;
    }
    if (!q->has_last)
        return NULL;
    q->has_last = false;
    return &q->last;
}

bool aios__events_ready(const aios__events *q)
{
    return q->head || q->has_last;
}

void aios__events_clear(aios__events *q)
{
    while (q->head) {
        aios__event_node *n = q->head;
        q->head = n->next;
        aios__free(q->heap, n);
    }
    aios__free(q->heap, q->current);
    q->current = q->tail = NULL;
    q->n = 0;
    q->n_bytes = 0;
    q->has_last = false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/llm.h"

#define SPARE_MAX 512 /* bytes of a node that is kept */

struct aios__event_node {
    aios__event_node *next;
    size_t n_bytes, cap; /* cap: bytes that it has room for */
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

/* A spare one is of the thread that reads: what that thread would free, this one need not ask for. */
static aios__event_node *node_new(aios__heap *h, size_t total, aios__event_node *spare, aios_error *err)
{
    size_t cap = spare ? spare->cap : 0;
    if (cap < total) {
        aios__free(h, spare);
        cap = total > SPARE_MAX ? total : SPARE_MAX;
        spare = aios__realloc(h, AIOS_MEM_TEXT, NULL, cap, err);
    }
    if (spare) {
        memset(spare, 0, sizeof *spare);
        spare->cap = cap;
    }
    return spare;
}

int aios__event_new(aios__heap *h, const aios_event *ev, aios__event_node *spare, aios__event_node **out, aios_error *err)
{
    size_t n_id = ev->call_id ? strlen(ev->call_id) : 0, n_name = ev->name ? strlen(ev->name) : 0, n_digest = ev->digest ? strlen(ev->digest) : 0, total;
    if (!aios__add_size(sizeof(aios__event_node) + n_id + n_name + n_digest + 4, ev->n_text, &total)) {
        aios__free(h, spare);
        return aios__fail(err, AIOS_ENOMEM, "an event of %zu bytes is impossible", ev->n_text);
    }
    aios__event_node *n = node_new(h, total, spare, err);
    if (!n)
        return aios__nomem(err);
    char *at = n->bytes;
    n->n_bytes = total;
    n->pub = *ev;
    n->pub.struct_size = sizeof n->pub;
    n->pub.error = NULL;
    n->pub.call_id = put_bytes(&at, ev->call_id, n_id);
    n->pub.name = put_bytes(&at, ev->name, n_name);
    n->pub.digest = put_bytes(&at, ev->digest, n_digest);
    n->pub.text = put_bytes(&at, ev->text ? ev->text : "", ev->n_text);
    if (ev->usage) {
        n->usage = *ev->usage;
        n->pub.usage = &n->usage;
    }
    *out = n;
    return AIOS_OK;
}

aios__event_node *aios__events_spare(aios__events *q)
{
    aios__event_node *n = q->spare;
    q->spare = NULL;
    return n;
}

/* Done with: kept if there is none yet. */
static void let_go(aios__events *q, aios__event_node *n)
{
    if (n && !q->spare && n->cap <= SPARE_MAX)
        q->spare = n;
    else
        aios__free(q->heap, n);
}

void aios__events_push(aios__events *q, aios__event_node *node)
{
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

int aios__events_snapshots(aios__events *q, aios_ctx *ctx, bool text, bool calls, aios_error *err)
{
    int rc = text ? aios_snapshot_new(ctx, &q->shots[0], err) : AIOS_OK;
    q->shot_attempt = 0;
    return rc || !calls ? rc : aios_snapshot_new(ctx, &q->shots[1], err);
}

static void drop_shot(aios__events *q, int i)
{
    aios_snapshot_free(q->shots[i]);
    q->shots[i] = NULL;
}

/* A piece of JSON was read: what it has become comes next. */
static void look(aios__events *q, const aios_event *ev)
{
    int i = ev->type == AIOS_EVENT_CALL_DELTA;
    aios_snapshot *s = ev->type == AIOS_EVENT_TEXT || i ? q->shots[i] : NULL;
    aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
    if (!s)
        return;
    if (i ? !ev->n_text : ev->attempt != q->shot_attempt)
        aios_snapshot_reset(s);
    q->shot_attempt = i ? q->shot_attempt : ev->attempt;
    if (aios_snapshot_add(s, ev->text, ev->n_text, NULL)) {
        if (!i)
            drop_shot(q, i); /* a reply in words after all */
        return;
    }
    if (aios_snapshot_get(s, &v, NULL) == AIOS_OK) {
        q->shot = *ev;
        q->shot.type = AIOS_EVENT_SNAPSHOT;
        q->shot.code = (int32_t)v.flags;
        q->shot.text = v.json;
        q->shot.n_text = v.n_json;
        q->shot.path = v.path;
        q->shot_due = true;
    }
}

/* The numbers are given in the order of reading. */
static const aios_event *hand_out(aios__events *q, aios_event *ev)
{
    ev->seq = q->seq++;
    return ev;
}

const aios_event *aios__events_pop(aios__events *q)
{
    if (q->shot_due) { /* its name and number are those of the event in front of it */
        q->shot_due = false;
        return hand_out(q, &q->shot);
    }
    let_go(q, q->current);
    q->current = q->head;
    if (q->head) {
        q->head = q->head->next;
        if (!q->head)
            q->tail = NULL;
        q->n--;
        q->n_bytes -= q->current->n_bytes;
        look(q, &q->current->pub);
        return hand_out(q, &q->current->pub);
    }
    if (!q->has_last)
        return NULL;
    q->has_last = false;
    aios__events_rest(q);
    return hand_out(q, &q->last);
}

void aios__events_rest(aios__events *q)
{
    aios__free(q->heap, aios__events_spare(q));
}

bool aios__events_ready(const aios__events *q)
{
    return q->shot_due || q->head || q->has_last;
}

void aios__events_clear(aios__events *q)
{
    while (q->head) {
        aios__event_node *n = q->head;
        q->head = n->next;
        aios__free(q->heap, n);
    }
    aios__free(q->heap, q->current);
    aios__free(q->heap, aios__events_spare(q));
    q->current = q->tail = NULL;
    q->n = 0;
    q->n_bytes = 0;
    q->has_last = q->shot_due = false;
    drop_shot(q, 0);
    drop_shot(q, 1);
}

int aios__sink_pass(const aios_sink *k, const aios_event *ev)
{
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
        return k->text(k->user, ev->text, ev->n_text);
    case AIOS_EVENT_REASONING:
        if (!ev->call_id)
            return k->reasoning(k->user, ev->text, ev->n_text);
        return AIOS_HAS(k, sign) && k->sign ? k->sign(k->user, ev->call_id) : AIOS_OK;
    case AIOS_EVENT_CALL:
        return k->call(k->user, ev->name, ev->text, ev->n_text, ev->call_id);
    case AIOS_EVENT_CALL_DELTA:
        return k->call_delta ? k->call_delta(k->user, ev->name, ev->text, ev->n_text, ev->call_id) : AIOS_OK;
    case AIOS_EVENT_USAGE:
        return k->usage(k->user, ev->usage);
    case AIOS_EVENT_CHOICE:
        return k->choice ? k->choice(k->user, ev->name, ev->text, ev->n_text) : AIOS_OK;
    case AIOS_EVENT_ROUTE:
        return AIOS_HAS(k, route) && k->route ? k->route(k->user, ev->name, ev->text, ev->n_text) : AIOS_OK;
    case AIOS_EVENT_LOGPROBS:
        return AIOS_HAS(k, logprobs) && k->logprobs ? k->logprobs(k->user, ev->text, ev->n_text) : AIOS_OK;
    default:
        return AIOS_OK; /* of a newer wrapper */
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A turn of the script under what the request demands. */
#include <stdio.h>

#include "backend/echo/echo_priv.h"

#define MAX_PLAN ((size_t)16 << 20)

void aios__echo_plan_free(aios__echo_plan *p)
{
    aios__free(p->bytes.heap, p->items);
    p->items = NULL;
    p->n = p->cap = 0;
    aios__buf_free(&p->bytes);
}

static const aios_part *part_at(const aios_entry *e, uint32_t i)
{
    return (const aios_part *)(const void *)((const char *)e->parts + (size_t)i * e->part_stride);
}

/* Last part of the kind in entries of the role. */
static const aios_part *last_part(const aios_transcript *t, int32_t role, int32_t kind)
{
    for (uint32_t i = aios_transcript_count(t); i-- > 0;) {
        aios_entry e = AIOS_INIT(aios_entry);
        if (aios_transcript_at(t, i, &e) || e.role != role)
            continue;
        for (uint32_t k = e.n_parts; k-- > 0;)
            if (part_at(&e, k)->kind == kind)
                return part_at(&e, k);
    }
    return NULL;
}

static uint32_t turn_of(const aios_request *req, uint32_t raw_turn)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < aios_transcript_count(req->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        n += !aios_transcript_at(req->transcript, i, &e) && e.role == AIOS_ROLE_ASSISTANT;
    }
    return req->transcript ? n : raw_turn;
}

static int add_item(aios__echo_plan *p, enum echo_verb verb, const char *name, const char *text, size_t n, int64_t number, aios_error *err)
{
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : 8;
        aios__echo_item *items = aios__realloc(p->bytes.heap, AIOS_MEM_TEXT, p->items, cap * sizeof *items, err);
        if (!items)
            return aios__nomem(err);
        p->items = items;
        p->cap = cap;
    }
    aios__echo_item it = {.verb = verb, .number = number, .name = p->bytes.n};
    aios__buf_add(&p->bytes, name, strlen(name) + 1, err);
    it.text = p->bytes.n;
    it.n_text = n;
    aios__buf_add(&p->bytes, text, n, err);
    int rc = aios__buf_addc(&p->bytes, 0, err);
    if (!rc)
        p->items[p->n++] = it;
    return rc;
}

static int say_last(aios__echo_plan *p, const aios_request *req, bool result, aios_error *err)
{
    const aios_part *part = result ? last_part(req->transcript, AIOS_ROLE_TOOL, AIOS_PART_RESULT)
                                   : last_part(req->transcript, AIOS_ROLE_USER, AIOS_PART_TEXT);
    if (part)
        return add_item(p, ECHO_SAY, "", part->text, part->n_text, 0, err);
    return add_item(p, ECHO_SAY, "", req->raw ? req->raw : "", req->raw ? req->n_raw : 0, 0, err);
}

static int add_line(aios__echo_plan *p, const aios__echo_script *s, const aios__echo_line *line, const aios_request *req, aios_error *err)
{
    const char *bytes = s->bytes.p;
    switch (line->verb) {
    case ECHO_ECHO:
    case ECHO_RESULT:
        return say_last(p, req, line->verb == ECHO_RESULT, err);
    case ECHO_STOP:
        snprintf(p->reason, sizeof p->reason, "%s", bytes + line->text);
        return AIOS_OK;
    case ECHO_DELAY:
    case ECHO_JUNK:
        return add_item(p, line->verb, "", "", 0, line->number, err);
    case ECHO_CALL:
        return add_item(p, ECHO_CALL, bytes + line->name, bytes + line->text, line->n_text, 0, err);
    default:
        return add_item(p, line->verb, "", bytes + line->text, line->n_text, line->number, err);
    }
}

/* Removes the items that `drop` names. */
static void drop_items(aios__echo_plan *p, enum echo_verb drop)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->n; i++)
        if (p->items[i].verb != drop)
            p->items[kept++] = p->items[i];
    p->n = kept;
}

static uint32_t count_items(const aios__echo_plan *p, enum echo_verb verb)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += p->items[i].verb == verb;
    return n;
}

/* REQUIRED and NAMED: calls only; of the named tool only; one made up if the script has none. */
static int force_call(aios_ctx *ctx, aios__echo_plan *p, const aios_request *req, aios_error *err)
{
    const aios_tool_def *tool = &req->tools[0];
    bool named = req->tool_choice == AIOS_TOOLS_NAMED;
    uint32_t kept = 0;
    for (uint32_t i = 0; named && i < req->n_tools; i++)
        if (!strcmp(req->tools[i].name, req->tool_name))
            tool = &req->tools[i];
    drop_items(p, ECHO_SAY);
    for (uint32_t i = 0; i < p->n; i++)
        if (!named || p->items[i].verb != ECHO_CALL || !strcmp(p->bytes.p + p->items[i].name, tool->name))
            p->items[kept++] = p->items[i];
    p->n = kept;
    if (count_items(p, ECHO_CALL))
        return AIOS_OK;
    aios__buf args;
    aios__buf_init(&args, p->bytes.heap, AIOS_MEM_TEXT, MAX_PLAN);
    int rc = aios__echo_minimal(ctx, tool->schema_json, &args, err);
    if (!rc)
        rc = add_item(p, ECHO_CALL, tool->name, args.p, args.n, 0, err);
    aios__buf_free(&args);
    return rc;
}

static int force_schema(aios_ctx *ctx, aios__echo_plan *p, const aios_request *req, aios_error *err)
{
    aios__buf text;
    aios__buf_init(&text, p->bytes.heap, AIOS_MEM_TEXT, MAX_PLAN);
    for (uint32_t i = 0; i < p->n; i++)
        if (p->items[i].verb == ECHO_SAY)
            aios__buf_add(&text, p->bytes.p + p->items[i].text, p->items[i].n_text, err);
    aios_error ignored = AIOS_INIT(aios_error);
    int rc = text.failed;
    if (!rc) {
        rc = text.n ? aios_schema_check(ctx, req->schema_json, strlen(req->schema_json), text.p, text.n, &ignored) : AIOS_ESCHEMA;
        if (rc == AIOS_ESCHEMA || rc == AIOS_EFORMAT) {
            aios__buf_clear(&text);
            rc = aios__echo_minimal(ctx, req->schema_json, &text, err);
        } else if (rc) {
            aios__error_copy(err, &ignored);
        }
    }
    drop_items(p, ECHO_SAY);
    if (!rc)
        rc = add_item(p, ECHO_SAY, "", text.p, text.n, 0, err);
    aios__buf_free(&text);
    return rc;
}

/* What the script says must be a sentence of the grammar. */
static int check_sentence(const aios__echo_plan *p, aios_grammar *g, aios_error *err)
{
    aios_walk *w = NULL;
    int rc = aios_walk_new(g, &w, err);
    for (uint32_t i = 0; !rc && i < p->n; i++)
        if (p->items[i].verb == ECHO_SAY)
            rc = aios_walk_accept(w, p->bytes.p + p->items[i].text, p->items[i].n_text, err);
    if (!rc && !aios_walk_complete(w))
        rc = aios__fail(err, AIOS_ESCHEMA, "what the echo model would say is only the beginning of a sentence of the grammar: script a whole one");
    aios_walk_free(w);
    return rc;
}

/* Cuts the text at the first stop text, wherever items end. */
static void cut_at_stops(aios__echo_plan *p, const aios_request *req)
{
    for (uint32_t i = 0; i < p->n; i++) {
        aios__echo_item *it = &p->items[i];
        if (it->verb != ECHO_SAY)
            continue;
        const char *first = NULL;
        for (size_t k = 0; req->stop && req->stop[k]; k++) {
            const char *at = memmem(p->bytes.p + it->text, it->n_text, req->stop[k], strlen(req->stop[k]));
            if (at && (!first || at < first))
                first = at;
        }
        if (first) {
            it->n_text = (size_t)(first - (p->bytes.p + it->text));
            p->n = i + 1;
            return;
        }
    }
}

static int apply_request(aios_ctx *ctx, aios__echo_plan *p, const aios_request *req, aios_error *err)
{
    int rc = AIOS_OK;
    bool forced = req->tool_choice == AIOS_TOOLS_REQUIRED || req->tool_choice == AIOS_TOOLS_NAMED;
    if (count_items(p, ECHO_FAIL))
        return AIOS_OK; /* the failure comes before anything could be demanded of the reply */
    if (forced)
        rc = force_call(ctx, p, req, err);
    else if (req->tool_choice == AIOS_TOOLS_NONE)
        drop_items(p, ECHO_CALL);
    if (!rc && req->schema_json && !count_items(p, ECHO_CALL))
        rc = force_schema(ctx, p, req, err);
    else if (!rc && !p->n)
        rc = say_last(p, req, false, err);
    if (!rc && req->grammar && !count_items(p, ECHO_CALL))
        rc = check_sentence(p, req->grammar, err);
    cut_at_stops(p, req);
    if (count_items(p, ECHO_CALL) && !strcmp(p->reason, "stop"))
        memcpy(p->reason, "tool_calls", 11);
    return rc;
}

int aios__echo_plan_make(aios_ctx *ctx, const aios__echo_script *script, const aios_request *req, uint32_t raw_turn, aios__echo_plan *p,
                         aios_error *err)
{
    memset(p, 0, sizeof *p);
    aios__buf_init(&p->bytes, aios__ctx_heap(ctx), AIOS_MEM_TEXT, MAX_PLAN);
    memcpy(p->reason, "stop", 5);
    uint32_t turn = turn_of(req, raw_turn);
    if (script->loop && script->n_turns)
        turn %= script->n_turns;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < script->n_lines && !rc; i++)
        if (script->lines[i].turn == turn)
            rc = add_line(p, script, &script->lines[i], req, err);
    if (!rc && turn >= script->n_turns)
        rc = say_last(p, req, false, err);
    if (!rc)
        rc = apply_request(ctx, p, req, err);
    if (rc)
        aios__echo_plan_free(p);
    return rc;
}

int aios__echo_render(const aios_request *req, aios__buf *out, aios_error *err)
{
    static const char *const roles[] = {"?", "system", "user", "assistant", "tool"};
    if (req->raw)
        return aios__buf_add(out, req->raw, req->n_raw, err);
    for (uint32_t i = 0; i < req->n_tools; i++) {
        const aios_tool_def *t = &req->tools[i];
        aios__buf_addf(out, err, "[tool %s] ", t->name);
        aios__buf_adds(out, t->description ? t->description : "", err);
        aios__buf_addc(out, ' ', err);
        aios__buf_adds(out, t->schema_json ? t->schema_json : "{\"type\":\"object\"}", err);
        aios__buf_addc(out, '\n', err);
    }
    for (uint32_t i = 0; i < aios_transcript_count(req->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, i, &e);
        aios__buf_addf(out, err, "[%s]", roles[e.role]);
        for (uint32_t k = 0; k < e.n_parts; k++) {
            const aios_part *p = part_at(&e, k);
            if (p->name)
                aios__buf_addf(out, err, " %s %s", p->name, p->call_id ? p->call_id : "");
            aios__buf_addc(out, ' ', err);
            aios__buf_add(out, p->text, p->n_text, err);
        }
        aios__buf_addc(out, '\n', err);
    }
    return aios__buf_adds(out, "[assistant]", err);
}

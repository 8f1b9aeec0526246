/* SPDX-License-Identifier: Apache-2.0 */
/* How one model turn is made: what the agent that acts has, and what the hook before_turn changes of it. */
#include "agent/agent_priv.h"

enum { MAX_BENCH = 16, MAX_NAME = 64 };

/* ---- tools -------------------------------------------------------------------------------------------------------- */

/* The names stand as NUL name NUL name NUL. */
static int show(aios__profile *p, const char *name, aios_error *err)
{
    if (!p->shown.n)
        aios__buf_addc(&p->shown, 0, err);
    return aios__buf_add(&p->shown, name, strlen(name) + 1, err);
}

bool aios__profile_shows(const aios_run *r, const char *name)
{
    const aios__profile *p = &r->profile;
    char want[MAX_NAME + 2] = "";
    size_t n = strlen(name);
    if (!p->limited || n > MAX_NAME)
        return !p->limited;
    memcpy(want + 1, name, n + 1);
    return p->shown.n && memmem(p->shown.p, p->shown.n, want, n + 2);
}

static const aios_tool_def *find_def(const aios_run *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_defs; i++)
        if (!strcmp(r->defs[i].name, name))
            return &r->defs[i];
    return NULL;
}

static int pick_tools(aios_run *r, aios_error *err)
{
    aios__profile *p = &r->profile;
    const char *const *names = p->pub.tools;
    aios__free(r->heap, p->defs);
    p->defs = NULL;
    p->n_defs = 0;
    p->limited = names != NULL;
    aios__buf_clear(&p->shown);
    for (size_t i = 0; names && names[i]; i++) {
        const aios_tool_def *d = find_def(r, names[i]);
        aios_tool_def *more = d && i < r->n_defs ? aios__realloc(r->heap, AIOS_MEM_TEXT, p->defs, (i + 1) * sizeof *more, err) : NULL;
        if (!d || i >= r->n_defs)
            return aios__fail(err, AIOS_EINVAL, "before_turn: the profile names %s \"%.64s\"",
                              d ? "more tools than there are, behind" : "a tool that the agent does not have:", names[i]);
        if (!more)
            return aios__nomem(err);
        p->defs = more;
        p->defs[p->n_defs++] = *d;
        int rc = show(p, names[i], err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

void aios__profile_write(const aios_run *r, aios__buf *b, aios_error *err)
{
    const aios__buf *s = &r->profile.shown;
    if (!r->profile.limited)
        return;
    aios__buf_adds(b, ",\"shown\":[", err);
    for (size_t at = 1; at < s->n; at += strlen(s->p + at) + 1) {
        aios__buf_adds(b, at > 1 ? "," : "", err);
        aios__buf_add_json(b, s->p + at, strlen(s->p + at), err);
    }
    aios__buf_addc(b, ']', err);
}

int aios__profile_read(aios_run *r, const aios__json *turn, aios_error *err)
{
    const aios__json *names = aios__json_get(turn, "shown");
    aios__profile *p = &r->profile;
    int rc = AIOS_OK;
    aios__buf_clear(&p->shown);
    p->limited = names != NULL;
    for (size_t i = 0; i < aios__json_count(names) && !rc; i++) {
        const char *name = aios__json_str(aios__json_at(names, i), NULL);
        rc = name ? show(p, name, err) : AIOS_OK;
    }
    return rc;
}

/* ---- models ------------------------------------------------------------------------------------------------------- */

static int add_bench(aios_run *r, aios_model *m, aios__bench **out, aios_error *err)
{
    aios__profile *p = &r->profile;
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    if (p->n_bench == MAX_BENCH)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_BENCH, MAX_BENCH + 1, "before_turn: a run has at most %d models beside its agent's",
                               MAX_BENCH);
    aios__bench *more = aios__realloc(r->heap, AIOS_MEM_OTHER, p->bench, (p->n_bench + 1) * sizeof *more, err);
    if (!more)
        return aios__nomem(err);
    p->bench = more;
    cfg.driver = r->agent->driver;
    int rc = aios_session_new(m, &cfg, &more[p->n_bench].session, err);
    if (rc)
        return rc;
    more[p->n_bench].model = aios__model_ref(m);
    *out = &more[p->n_bench++];
    return AIOS_OK;
}

static int pick_model(aios_run *r, aios_error *err)
{
    aios__profile *p = &r->profile;
    aios__bench *b = NULL;
    p->privacy = r->agent->privacy;
    if (!p->pub.model) {
        aios__run_use_session(r, r->base_session);
        return AIOS_OK;
    }
    for (uint32_t i = 0; i < p->n_bench && !b; i++)
        b = p->bench[i].model == p->pub.model ? &p->bench[i] : NULL;
    int rc = b ? AIOS_OK : add_bench(r, p->pub.model, &b, err);
    if (rc)
        return rc;
    aios_model_info info = AIOS_INIT(aios_model_info);
    p->privacy = aios_model_info_get(b->model, &info) ? AIOS_PRIVACY_REMOTE : info.privacy;
    aios__run_use_session(r, b->session);
    return AIOS_OK;
}

/* ---- the turn ----------------------------------------------------------------------------------------------------- */

static int check_choice(const aios_run *r, aios_error *err)
{
    const aios__profile *p = &r->profile;
    int32_t choice = p->pub.tool_choice;
    const char *name = p->pub.tool_name;
    if (choice < AIOS_TOOLS_AUTO || choice > AIOS_TOOLS_NAMED)
        return aios__fail(err, AIOS_EINVAL, "before_turn: tool_choice %d is none of AIOS_TOOLS_x", choice);
    if (choice == AIOS_TOOLS_NAMED && (!name || !find_def(r, name) || !aios__profile_shows(r, name)))
        return aios__fail(err, AIOS_EINVAL, "before_turn: tool_name \"%.64s\" is none of this turn's tools", name ? name : "");
    if (choice == AIOS_TOOLS_REQUIRED && p->limited && !p->n_defs)
        return aios__fail(err, AIOS_EINVAL, "before_turn: a call is required, and the profile has no tools");
    return AIOS_OK;
}

int aios__profile_begin(aios_run *r, aios_error *err)
{
    aios__profile *p = &r->profile;
    bool none = r->answer_now || !r->n_defs;
    p->pub = (aios_turn_profile)AIOS_INIT(aios_turn_profile);
    p->pub.tool_choice = r->choice;
    p->pub.tool_name = r->agent->tool_name;
    p->pub.max_tokens = r->agent->limits.max_turn_tokens;
    int rc = aios__hook_before_turn(r, &p->pub, err);
    rc = rc ? rc : pick_tools(r, err);
    rc = rc || none ? rc : check_choice(r, err);
    rc = rc ? rc : aios__struct_in(&p->sampling, sizeof p->sampling, p->pub.sampling, err);
    rc = rc ? rc : pick_model(r, err);
    if (!none)
        r->choice = p->limited && !p->n_defs ? AIOS_TOOLS_NONE : p->pub.tool_choice;
    return rc;
}

static int add_system(const aios_run *r, const aios_entry *first, aios__buf *b, aios_error *err)
{
    const aios_agent *home = r->home;
    bool handed = r->agent != home;
    int rc = AIOS_OK;
    if (handed && r->agent->instructions)
        return aios__buf_adds(b, r->agent->instructions, err);
    for (uint32_t i = 0; first && i < first->n_parts && !rc; i++) {
        const aios_part *p = &first->parts[i];
        bool own = handed && home->instructions && p->n_text == strlen(home->instructions) && !memcmp(p->text, home->instructions, p->n_text);
        if (p->kind == AIOS_PART_TEXT && !own)
            rc = aios__buf_add(b, p->text, p->n_text, err);
    }
    return rc;
}

int aios__profile_view(const aios_run *r, aios_transcript *t, aios_transcript **out, aios_error *err)
{
    const aios__profile *p = &r->profile;
    aios_entry e = AIOS_INIT(aios_entry);
    bool system = !aios_transcript_at(t, 0, &e) && e.role == AIOS_ROLE_SYSTEM;
    aios__buf b;
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    int rc = add_system(r, system ? &e : NULL, &b, err);
    if (!rc && p->pub.instructions)
        rc = aios__buf_addf(&b, err, "%s%s", b.n ? "\n\n" : "", p->pub.instructions);
    rc = rc ? rc : aios_transcript_new(r->agent->ctx, out, err);
    if (!rc && b.n)
        rc = aios_transcript_add_text(*out, AIOS_ROLE_SYSTEM, b.p, b.n, err);
    aios__buf_free(&b);
    return rc ? rc : aios__transcript_share_from(*out, t, system, err);
}

int aios__profile_fill(aios_run *r, aios_request *q, aios_error *err)
{
    aios__profile *p = &r->profile;
    uint64_t left = aios__use_tokens_left(r);
    aios_transcript_free(p->view);
    p->view = NULL;
    int rc = p->pub.instructions || r->agent != r->home ? aios__profile_view(r, r->t, &p->view, err) : AIOS_OK;
    q->transcript = p->view ? p->view : r->t;
    q->tools = p->limited ? p->defs : r->defs;
    q->n_tools = p->limited ? p->n_defs : r->n_defs;
    q->tool_stride = sizeof *q->tools;
    q->tool_choice = q->n_tools ? r->choice : AIOS_TOOLS_AUTO;
    q->tool_name = r->choice == AIOS_TOOLS_NAMED ? p->pub.tool_name : NULL;
    q->sampling = aios__journal_sampling(r, p->pub.sampling ? &p->sampling : NULL);
    uint32_t max = r->agent->limits.max_turn_tokens;
    max = p->pub.max_tokens && p->pub.max_tokens < max ? p->pub.max_tokens : max;
    q->max_tokens = left < max ? (uint32_t)left : max;
    return rc;
}

void aios__profile_free(aios_run *r)
{
    aios__profile *p = &r->profile;
    for (uint32_t i = 0; i < p->n_bench; i++) {
        aios_session_free(p->bench[i].session);
        aios_model_close(p->bench[i].model);
    }
    aios__free(r->heap, p->bench);
    aios__free(r->heap, p->defs);
    aios__buf_free(&p->shown);
    aios_transcript_free(p->view);
}

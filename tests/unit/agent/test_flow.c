/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model that calls whatever it likes, and a checker that knows nothing of labels: each source writes marks into what it gives, the checker
 * looks for marks in what the model has really been shown and in what sinks really get. Then the same over many lives of each run: commits fail
 * at random, hosts go away while something is asked. The model also calls agents, which do likewise, and hands the run over, both to agents whose own
 * policy allows everything. Usage: test_flow [STEPS [SEED]]
 */
#include "flow.h"

/* ---- the model ---------------------------------------------------------------------------------------------------- */

typedef struct driver_session {
    bool quarantine, called, handed;
    taint seen;
    memory memory;
    char answer[2048];
} driver_session;

static int driver_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)args, (void)err;
    *model = user;
    return 0;
}

static void driver_close(void *model)
{
    (void)model;
}

static int driver_info(void *model, aios_model_info *out)
{
    (void)model;
    out->name = "driver";
    out->privacy = AIOS_PRIVACY_LOCAL;
    out->flags = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_SCHEMA;
    return 0;
}

static int driver_session_new(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)model, (void)cfg, (void)err;
    *session = calloc(1, sizeof(driver_session));
    return *session ? 0 : AIOS_ENOMEM;
}

/* By the number in its question, which is behind the value. */
static told *told_of(const aios_request *req)
{
    uint32_t number = 0;
    for (uint32_t i = 0; i < aios_transcript_count(req->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, i, &e);
        const char *q = e.parts[0].text ? strstr(e.parts[0].text, "?q") : NULL;
        number = q ? (uint32_t)strtoul(q + 2, NULL, 10) : number;
    }
    return &w.told[number % MAX_TOLD];
}

/* The answer of a quarantined turn: as much of the text as its schema lets through. */
static void answer(driver_session *s, const aios_request *req, const taint *t)
{
    double bits = 1e9;
    w.n_extracts++;
    if (strstr(req->schema_json, "enum")) {
        bits = 2;
        snprintf(s->answer, sizeof s->answer, "\"%c\"", "wxyz"[roll(4)]);
    } else if (strstr(req->schema_json, "boolean")) {
        bits = 1;
        snprintf(s->answer, sizeof s->answer, roll(2) ? "true" : "false");
    } else if (strstr(req->schema_json, "integer")) {
        bits = 3;
        snprintf(s->answer, sizeof s->answer, "%u", roll(8));
    } else {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, 1, &e);
        const char *mark = strstr(e.parts[0].text, "<#");
        snprintf(s->answer, sizeof s->answer, "\"%.8s\"", mark ? mark : "nothing");
    }
    told *k = told_of(req);
    bool enough = w.endorsed + bits <= ENDORSE;
    w.endorsed += enough ? bits : 0;
    *k = (told){.classes = t->classes, .bits = bits, .trusted = enough}; /* whatever it says, it says it of that */
}

/* Numbers of the questions of a transcript, by the ids of their calls. */
typedef struct questions {
    const char *ids[MAX_TOLD];
    uint32_t numbers[MAX_TOLD];
    uint32_t n;
} questions;

static void note_question(questions *q, const aios_part *p)
{
    const char *s = !strcmp(p->name, "extract") ? strstr(p->text, "?q") : NULL;
    if (!s || q->n == MAX_TOLD)
        return;
    q->ids[q->n] = p->call_id;
    q->numbers[q->n++] = (uint32_t)strtoul(s + 2, NULL, 10) % MAX_TOLD;
}

/* What the model is told by an extraction's result; *endorsed: by those before it. Agents that were called endorse nothing over many lives. */
static void look_for_told(const aios_run *r, const questions *q, const aios_part *p, taint *t, double *endorsed)
{
    for (uint32_t i = 0; p->call_id && !p->status && i < q->n; i++) {
        if (strcmp(q->ids[i], p->call_id))
            continue;
        const told *k = &w.told[q->numbers[i]];
        bool enough = w.durable ? !r->parent && *endorsed + k->bits <= ENDORSE : k->trusted;
        t->classes |= k->classes;
        if (enough)
            *endorsed += k->bits;
        else
            t->integrity = AIOS_LABEL_UNTRUSTED;
    }
}

static void look_at(driver_session *s, const aios_run *r, const aios_request *req)
{
    static questions q;
    double endorsed = 0;
    q.n = 0;
    s->memory.n = 0;
    s->called = r->parent != NULL;
    s->handed = r->agent != r->home;
    for (uint32_t i = 0; i < aios_transcript_count(req->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, i, &e);
        bool tells = e.role == AIOS_ROLE_TOOL || (e.role == AIOS_ROLE_USER && s->called);
        for (uint32_t k = 0; k < e.n_parts; k++) {
            const aios_part *p = (const void *)((const char *)e.parts + k * e.part_stride);
            look_for_marks(p->text, p->n_text, seen_by(r), tells ? &s->memory : NULL);
            if (p->kind == AIOS_PART_CALL)
                note_question(&q, p);
            if (p->kind == AIOS_PART_RESULT)
                look_for_told(r, &q, p, seen_by(r), &endorsed);
        }
    }
    s->seen = *seen_by(r);
}

static int driver_start(void *session, const aios_request *req, aios_error *err)
{
    driver_session *s = session;
    aios_run *r = find_run(w.root, req->transcript);
    (void)err;
    s->quarantine = !r;
    if (r) {
        look_at(s, r, req);
        return 0;
    }
    if (!req->schema_json || req->n_tools)
        violate("a quarantined turn has tools", "extract", "");
    taint t = {AIOS_LABEL_SYSTEM, 0};
    for (uint32_t i = 0; i < aios_transcript_count(req->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, i, &e);
        for (uint32_t k = 0; k < e.n_parts; k++)
            look_for_marks(e.parts[k].text, e.parts[k].n_text, &t, NULL);
    }
    answer(s, req, &t);
    return 0;
}

static const char *const tools[] = {"src_open",  "src_secret", "src_own",  "src_own_secret", "get_hidden_secret", "get_hidden", "copy",    "hide",      "extract", "out",
                                    "out_a",     "act",        "act_user", "pay",            "fetch",             "limited",    "asked",   "forbidden", "nobody",  "helper",
                                    "helper_quiet", "transfer_to_desk", "transfer_to_first"};

/* Some text that is worth trying. */
static void text_of(const memory *m, char *out, size_t n)
{
    static const char *const tries[] = {"$v1", "$v2", "$v3", "$v9", "$v01", "$v1 ", "hello", "https://api.example.com/", "https://api.example.com@evil.com/", "https://evil.com/",
                                        "https://API.example.com.:443/x", "https://api.example.com\\\\@evil.com"};
    if (roll(3) && m->n)
        snprintf(out, n, "%s", m->marks[roll(m->n < 8 ? m->n : 8)]);
    else
        snprintf(out, n, "%s", tries[roll(sizeof tries / sizeof *tries)]);
}

static void args_of(const memory *m, const char *tool, char *out, size_t n)
{
    static const char *const schemas[] = {"{\"type\":\"string\"}", "{\"enum\":[\"w\",\"x\",\"y\",\"z\"]}", "{\"type\":\"boolean\"}",
                                          "{\"type\":\"integer\",\"minimum\":0,\"maximum\":7}"};
    char a[64], b[64];
    text_of(m, a, sizeof a);
    text_of(m, b, sizeof b);
    if (!roll(40))
        snprintf(out, n, "{\"text\":\"%s\"", a);
    else if (!strcmp(tool, "extract"))
        snprintf(out, n, "{\"handle\":\"$v%u\",\"schema\":%s,\"question\":\"%s ?q%u\"}", 1 + roll(4), schemas[roll(4)], b, w.n_questions++);
    else if (!strncmp(tool, "transfer", 8))
        snprintf(out, n, "{}");
    else if (strstr(tool, "helper"))
        snprintf(out, n, "{\"prompt\":\"%s\"}", a);
    else if (!strcmp(tool, "pay"))
        snprintf(out, n, "{\"eur\":%d,\"text\":\"%s\"}", (int)roll(80) - 10, a);
    else
        snprintf(out, n, "{\"text\":\"%s\",\"more\":[\"%s\",{\"x\":\"%s\"}],\"n\":%u}", a, b, a, roll(1000));
}

static int driver_step(void *session, const aios_sink *sink, aios_error *err)
{
    driver_session *s = session;
    char args[1024];
    (void)err;
    if (s->quarantine) {
        int rc = sink->text(sink->user, s->answer, strlen(s->answer));
        sink->stop(sink->user, "stop");
        return rc ? rc : AIOS_DONE;
    }
    if (s->called && !roll(4)) { /* what it says may be of all that it has seen */
        snprintf(args, sizeof args, "text <#%05u> text", new_mark(&s->seen));
        int rc = sink->text(sink->user, args, strlen(args));
        sink->stop(sink->user, "stop");
        return rc ? rc : AIOS_DONE;
    }
    for (uint32_t i = 0, n = 1 + roll(3); i < n; i++) {
        const char *tool = tools[roll(sizeof tools / sizeof *tools)];
        args_of(&s->memory, tool, args, sizeof args);
        w.n_steps++;
        int rc = sink->call(sink->user, tool, args, strlen(args), NULL);
        if (rc)
            return rc;
    }
    sink->stop(sink->user, "tool_calls");
    return AIOS_DONE;
}

/* ---- the world ---------------------------------------------------------------------------------------------------- */

typedef struct source {
    const char *name;
    taint truth;
    uint32_t flags;
} source;

static const source sources[] = {
    {"src_open", {AIOS_LABEL_UNTRUSTED, 0}, 0},
    {"src_secret", {AIOS_LABEL_UNTRUSTED, A}, 0},
    {"src_own", {AIOS_LABEL_TOOL, 0}, AIOS_TOOL_TRUSTED},
    {"src_own_secret", {AIOS_LABEL_TOOL, B}, AIOS_TOOL_TRUSTED},
    {"get_hidden_secret", {AIOS_LABEL_UNTRUSTED, A}, AIOS_TOOL_HANDLE},
    {"get_hidden", {AIOS_LABEL_UNTRUSTED, 0}, AIOS_TOOL_HANDLE},
};

static int run_source(void *user, aios_call *c)
{
    const source *s = user;
    char text[64];
    aios_label l;
    uint32_t id = new_mark(&s->truth);
    aios_call_get_label(c, &l);
    aios_label more = l;
    more.integrity = AIOS_LABEL_SYSTEM;
    if (aios_call_set_label(c, &more) != AIOS_EDENIED)
        violate("a tool made its result trusted", s->name, "");
    l.confidentiality |= s->truth.classes;
    if (aios_call_set_label(c, &l))
        violate("a tool could not add classes", s->name, "");
    w.n_values += s->flags & AIOS_TOOL_HANDLE ? 1 : 0;
    snprintf(text, sizeof text, "text <#%05u> text", id);
    return aios_call_finish(c, 0, text, AIOS_CSTR);
}

/* Gives back what it gets: what is in it is as it was. */
static int run_copy(void *user, aios_call *c)
{
    (void)user;
    return aios_call_finish(c, 0, aios_call_args(c), AIOS_CSTR);
}

typedef struct sink_row {
    const char *name;
    int32_t effect;
    int integrity;
    unsigned readers;
    bool external;
} sink_row;

static const sink_row sinks[] = {
    {"out", AIOS_EFFECT_UNSAFE, AIOS_LABEL_UNTRUSTED, 0, true},      {"out_a", AIOS_EFFECT_KEYED, AIOS_LABEL_UNTRUSTED, A, true},
    {"act", AIOS_EFFECT_LOCAL, AIOS_LABEL_TOOL, A | B, false},       {"act_user", AIOS_EFFECT_LOCAL, AIOS_LABEL_USER, A | B, false},
    {"pay", AIOS_EFFECT_UNSAFE, AIOS_LABEL_TOOL, 0, true},           {"fetch", AIOS_EFFECT_READ, AIOS_LABEL_UNTRUSTED, 0, true},
    {"limited", AIOS_EFFECT_LOCAL, AIOS_LABEL_UNTRUSTED, A | B, false}, {"asked", AIOS_EFFECT_UNSAFE, AIOS_LABEL_UNTRUSTED, A | B, true},
    {"forbidden", AIOS_EFFECT_LOCAL, AIOS_LABEL_UNTRUSTED, A | B, false},
};

static void check_rules_of(const sink_row *k, const char *args, bool approved)
{
    const char *eur = strstr(args, "\"eur\":"), *text = strstr(args, "\"text\":\"");
    if (!strcmp(k->name, "forbidden"))
        violate("a call without a capability", k->name, args);
    if (!strcmp(k->name, "asked") && !approved)
        violate("a call that was not approved", k->name, args);
    if (!strcmp(k->name, "limited") && ++w.limited > MAX_CALLS)
        violate("a call too many", k->name, args);
    if (!strcmp(k->name, "fetch") && (!text || (strncmp(text + 8, "https://api.example.com/", 24) && strncmp(text + 8, "https://API.example.com.:443/", 29))))
        violate("a host that is not listed", k->name, args);
    if (!strcmp(k->name, "pay")) {
        double x = eur ? strtod(eur + 6, NULL) : -1;
        w.eur += x;
        if (x < 0 || w.eur > MAX_EUR)
            violate("money that was not there", k->name, args);
    }
}

/* An approval is for one call of just this tool with just these arguments. */
static bool use_approval(const char *tool, const char *args)
{
    char text[1400];
    snprintf(text, sizeof text, "%s %s", tool, args);
    for (int i = 0; i < MAX_APPROVED; i++) {
        if (strcmp(w.approved[i], text))
            continue;
        w.approved[i][0] = 0;
        return true;
    }
    return false;
}

/* True if just this call was made before, as reads and keyed ones may be. A turn that was lost with its reads leaves their keys to another. */
static bool made_before(const sink_row *k, const aios_call *c, const char *args)
{
    uint32_t i = 0, n = w.n_acted < MAX_ACTED ? w.n_acted : MAX_ACTED;
    while (i < n && strcmp(w.acted[i].key, aios_call_key(c)))
        i++;
    bool same = i < n && w.acted[i].effect == k->effect && !strncmp(w.acted[i].args, args, sizeof w.acted[i].args - 1);
    if (i < n && w.acted[i].effect != AIOS_EFFECT_READ && !(same && k->effect == AIOS_EFFECT_KEYED))
        violate("an effect that happened twice", k->name, args);
    if (same)
        return true;
    if (i == n)
        i = w.n_acted++ % MAX_ACTED;
    snprintf(w.acted[i].key, sizeof w.acted[i].key, "%s", aios_call_key(c));
    snprintf(w.acted[i].args, sizeof w.acted[i].args, "%s", args);
    w.acted[i].effect = k->effect;
    return false;
}

static int run_sink(void *user, aios_call *c)
{
    const sink_row *k = user;
    const char *args = aios_call_args(c);
    if (w.durable && made_before(k, c, args))
        return aios_call_finish(c, 0, "done", AIOS_CSTR);
    taint t = *seen_by(c->run);
    bool approved = use_approval(k->name, args);
    w.n_wide += c->run->parent || c->run->agent != c->run->home;
    look_for_marks(args, strlen(args), &t, NULL);
    w.n_sinks[k - sinks]++;
    if (t.integrity < k->integrity)
        violate("untrusted text reached a sink", k->name, args);
    if (t.classes & ~k->readers)
        violate("confidential text reached a sink", k->name, args);
    if (k->external && t.integrity == AIOS_LABEL_UNTRUSTED && t.classes && !approved)
        violate("untrusted and confidential text in an effect nobody approved", k->name, args);
    check_rules_of(k, args, approved);
    return aios_call_finish(c, 0, "done", AIOS_CSTR);
}

static const char strict[] =
    "{\"version\":1,\"classes\":{\"a\":0,\"b\":1},\"endorse_bits\":4,\"ask\":{\"budget\":20},\"capabilities\":["
    "{\"tool\":\"src_*\"},{\"tool\":\"get_hidden*\"},{\"tool\":\"copy\"},{\"tool\":\"hide\"},{\"tool\":\"extract\"},"
    "{\"tool\":\"out\"},{\"tool\":\"out_a\",\"confidentiality\":[\"a\"]},{\"tool\":\"act\",\"integrity\":\"tool\"},{\"tool\":\"act_user\",\"integrity\":\"user\"},"
    "{\"tool\":\"pay\",\"integrity\":\"tool\",\"cost\":\"/eur\",\"max_cost\":100},{\"tool\":\"fetch\",\"hosts\":{\"/text\":[\"api.example.com\"]}},"
    "{\"tool\":\"helper*\",\"confidentiality\":\"any\"},{\"tool\":\"transfer_to_*\"},"
    "{\"tool\":\"limited\",\"max_calls\":3},{\"tool\":\"asked\",\"verdict\":\"ask\",\"confidentiality\":\"any\"}]}";
#define ANYTHING "\"version\":1,\"rule_of_two\":false,\"capabilities\":[{\"tool\":\"*\",\"confidentiality\":\"any\"}]"
static const char loose[] = "{\"endorse_bits\":4," ANYTHING "}", loose_untrusting[] = "{" ANYTHING "}";

static void add_tools(aios_toolset *ts)
{
    aios_error err = AIOS_INIT(aios_error);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        aios_tool t = make_tool(sources[i].name, run_source, (void *)(uintptr_t)&sources[i]);
        t.flags = sources[i].flags;
        must(aios_toolset_add(ts, &t, &err), &err);
    }
    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++) {
        aios_tool t = make_tool(sinks[i].name, run_sink, (void *)(uintptr_t)&sinks[i]);
        t.effect = sinks[i].effect;
        t.flags = AIOS_TOOL_TRUSTED;
        must(aios_toolset_add(ts, &t, &err), &err);
    }
    aios_tool copy = make_tool("copy", run_copy, NULL), hide = make_tool("hide", run_copy, NULL);
    copy.flags = AIOS_TOOL_TRUSTED;
    hide.flags = AIOS_TOOL_HANDLE;
    must(aios_toolset_add(ts, &copy, &err), &err);
    must(aios_toolset_add(ts, &hide, &err), &err);
    must(aios_toolset_add_extract(ts, &err), &err);
}

static void begin_run(void)
{
    w.n_shown = w.limited = w.n_questions = w.n_acted = w.n_ids = 0;
    w.endorsed = 0;
    memset(w.approved, 0, sizeof w.approved);
    w.eur = 0;
    w.n_runs++;
}

static void note_ask(const aios_event *ev)
{
    w.n_asked++;
    for (uint32_t i = 0; i < w.n_ids; i++)
        if (!strcmp(w.asked[i], ev->call_id))
            return;
    snprintf(w.asked[w.n_ids++ % 64], sizeof w.asked[0], "%s", ev->call_id);
    if (w.n_ids > ASK_BUDGET)
        violate("an ask too many", ev->name, ev->text);
}

static void approve(const aios_event *ev)
{
    for (int i = 0; i < MAX_APPROVED; i++) {
        if (w.approved[i][0])
            continue;
        snprintf(w.approved[i], sizeof w.approved[i], "%s %s", ev->name, ev->text);
        return;
    }
    fail_msg("more approvals than can be kept");
}

static void answer_ask(aios_run *r, const aios_event *ev)
{
    aios_error err = AIOS_INIT(aios_error);
    char id[64];
    int32_t verdict = ev->type == AIOS_EVENT_ASK && roll(2) ? AIOS_ALLOW : AIOS_DENY;
    snprintf(id, sizeof id, "%s", ev->call_id);
    if (verdict == AIOS_ALLOW)
        approve(ev);
    must(ev->digest ? aios_run_decide_digest(r, ev->digest, verdict, &err) : aios_run_decide(r, id, verdict, &err), &err);
}

/* One that is asked of somebody who comes when the program is gone. */
typedef struct owed {
    char name[65]; /* digest, or the call's id */
    int32_t verdict;
} owed;

/* Pulls to the end; its code, or AIOS_AGAIN: something is asked, and nobody is here. */
static int live(aios_run *r, owed *away)
{
    const aios_event *ev;
    int rc, code = AIOS_OK;
    while ((rc = aios_run_next(r, -1, &ev)) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_ERROR)
            code = ev->error->code;
        if (ev->type == AIOS_EVENT_RESULT && ev->code == AIOS_EDENIED)
            w.n_denied++;
        w.n_handoffs += ev->type == AIOS_EVENT_STATE && !strcmp(ev->text, "handoff");
        w.n_unknown += ev->type == AIOS_EVENT_UNKNOWN;
        if (ev->type == AIOS_EVENT_UNKNOWN)
            answer_ask(r, ev);
        if (ev->type != AIOS_EVENT_ASK)
            continue;
        note_ask(ev);
        if (!w.durable || roll(3) || away->name[0] || ev->depth) {
            answer_ask(r, ev);
            continue;
        }
        away->verdict = roll(2) ? AIOS_ALLOW : AIOS_DENY;
        snprintf(away->name, sizeof away->name, "%s", ev->digest ? ev->digest : ev->call_id);
        if (away->verdict == AIOS_ALLOW)
            approve(ev);
    }
    if (rc == AIOS_DONE)
        check_whole(aios_run_transcript(r));
    return rc == AIOS_AGAIN ? rc : code;
}

static void run_once(aios_agent *a)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run *r;
    owed none = {.name = ""};
    begin_run();
    must(aios_run_start(a, NULL, "do what you like", AIOS_CSTR, &r, &err), &err);
    w.root = r;
    live(r, &none);
    aios_run_free(r);
}

/* The next life: after what was decided between two. */
static int next_life(aios_ctx *ctx, aios_store *st, aios_agent *a, owed *away, aios_run **r, aios_error *err)
{
    aios_run_options o = AIOS_INIT(aios_run_options);
    o.prompt = "do what you like";
    o.n_prompt = AIOS_CSTR;
    o.id = "r";
    if (away->name[0]) {
        must(aios_run_approve(ctx, st, "r", away->name, away->verdict, err), err);
        w.n_away++;
        away->name[0] = 0;
    }
    int rc = aios_run_resume(a, "r", r, err);
    return rc == AIOS_ENOENT ? aios_run_start_with(a, &o, r, err) : rc;
}

/* Every commit may be the last of a life. */
static int may_fail(void *user, const char *run_id, const aios_store_write *records, uint32_t n, aios_commit_more *more)
{
    (void)user, (void)run_id, (void)records, (void)n, (void)more;
    return roll(12) ? AIOS_OK : AIOS_EIO;
}

typedef struct names {
    char list[MAX_SEEN][80];
    uint32_t n;
} names;

static int note_name(void *user, const aios_stream *s)
{
    names *all = user;
    assert_true(all->n < MAX_SEEN);
    snprintf(all->list[all->n++], sizeof all->list[0], "%s", s->name);
    return 0;
}

static void clear_store(aios_store *st)
{
    static names all;
    aios_error err = AIOS_INIT(aios_error);
    all.n = 0;
    must(aios_store_list(st, "run/", note_name, &all, &err), &err);
    for (uint32_t i = 0; i < all.n; i++)
        must(aios_store_remove(st, all.list[i], &err), &err);
}

/* ---- asks that a journal has ---- */

typedef struct written {
    const char *prefix;  /* of the ids of this run's calls */
    char asks[64][96], calls[64][96], runs[64][80];
    uint32_t n_asks, n_runs;
} written;

static int see_step(void *user, const aios_run_step *s)
{
    written *o = user;
    bool ask = s->kind == AIOS_STEP_ASK, below = s->kind == AIOS_STEP_INTENT && s->run;
    assert_true(o->n_asks < 64 && o->n_runs < 64);
    if (ask)
        snprintf(o->asks[o->n_asks++], sizeof o->asks[0], "%s%s", o->prefix, s->call_id);
    if (below) {
        snprintf(o->calls[o->n_runs], sizeof o->calls[0], "%s%s/", o->prefix, s->call_id);
        snprintf(o->runs[o->n_runs++], sizeof o->runs[0], "%s", s->run);
    }
    return 0;
}

static bool has_ask(const written *o, const char *id)
{
    for (uint32_t i = 0; i < o->n_asks; i++)
        if (!strcmp(o->asks[i], id))
            return true;
    return false;
}

/* Marks those of w.asked that the run, or one that it called, has written. */
static void mark_written(aios_ctx *ctx, aios_store *st, const char *run, const char *prefix, bool *kept)
{
    written *o = calloc(1, sizeof *o);
    assert_non_null(o);
    o->prefix = prefix;
    if (!aios_run_replay(ctx, st, run, see_step, o, NULL)) {
        for (uint32_t i = 0; i < w.n_ids; i++)
            kept[i] = kept[i] || has_ask(o, w.asked[i]);
        for (uint32_t i = 0; i < o->n_runs; i++)
            mark_written(ctx, st, o->runs[i], o->calls[i], kept);
    }
    free(o);
}

/* An ask that was not written is none to the next life, as docs/durable-runs.md says. */
static void forget_unwritten(aios_ctx *ctx, aios_store *st)
{
    bool kept[64] = {false};
    uint32_t n = 0;
    mark_written(ctx, st, "r", "", kept);
    for (uint32_t i = 0; i < w.n_ids; i++)
        if (kept[i])
            memmove(w.asked[n++], w.asked[i], sizeof w.asked[0]);
    w.n_ids = n;
}

static void run_lives(aios_ctx *ctx, aios_store *st, aios_agent *a)
{
    aios_error err = AIOS_INIT(aios_error);
    owed away = {.name = ""};
    int rc = AIOS_EIO;
    begin_run();
    while (rc == AIOS_EIO || rc == AIOS_AGAIN) {
        aios_run *r = NULL;
        rc = next_life(ctx, st, a, &away, &r, &err);
        if (rc && rc != AIOS_EIO)
            fail_msg("%d: %s", rc, err.msg);
        w.root = r;
        rc = rc ? rc : live(r, &away);
        if (rc == AIOS_EIO)
            away.name[0] = 0; /* it may not have been written that it was asked */
        w.n_deaths += rc == AIOS_EIO;
        aios_run_free(r);
        if (rc == AIOS_EIO)
            forget_unwritten(ctx, st);
    }
    clear_store(st);
}

static void register_driver(aios_ctx *ctx)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    ops.name = "driver";
    ops.open = driver_open;
    ops.close = driver_close;
    ops.info = driver_info;
    ops.session_new = driver_session_new;
    ops.session_free = free;
    ops.start = driver_start;
    ops.step = driver_step;
    ops.cancel = driver_close;
    must(aios_backend_register(ctx, &ops, &w, &err), &err);
}

typedef struct stage {
    aios_ctx *ctx;
    aios_agent_config cfg;
    aios_policy policy, desk_policy, helper_policy;
    aios_limits limits;
    aios_commit_hook hook;
    aios_handoff to_desk, to_first;
    aios_agent *agent, *helper, *desk;
} stage;

/* The desk goes on with a run, the helper is called, and may call itself and hand over: what they may by themselves is everything. */
static void make_agents(stage *g)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = g->cfg;
    aios_agent_tool spec = AIOS_INIT(aios_agent_tool);
    cfg.policy = &g->desk_policy;
    cfg.handoff_stride = sizeof(aios_handoff);
    cfg.n_handoffs = 1;
    g->to_first.name = "first";
    cfg.handoffs = &g->to_first;
    must(aios_agent_new(g->ctx, &cfg, &g->desk, &err), &err);
    g->to_desk.name = "desk";
    g->to_desk.agent = g->desk;
    cfg.handoffs = &g->to_desk;
    cfg.policy = &g->helper_policy;
    must(aios_agent_new(g->ctx, &cfg, &g->helper, &err), &err);
    cfg.policy = &g->policy;
    must(aios_agent_new(g->ctx, &cfg, &g->agent, &err), &err);
    spec.name = "helper";
    must(aios_toolset_add_agent(cfg.toolset, g->helper, &spec, &err), &err);
    spec.name = "helper_quiet";
    spec.flags = AIOS_TOOL_HANDLE;
    must(aios_toolset_add_agent(cfg.toolset, g->helper, &spec, &err), &err);
}

static void open_stage(stage *g, const char *policy, bool durable)
{
    aios_error err = AIOS_INIT(aios_error);
    *g = (stage){.cfg = AIOS_INIT(aios_agent_config), .policy = AIOS_INIT(aios_policy), .desk_policy = AIOS_INIT(aios_policy),
                 .helper_policy = AIOS_INIT(aios_policy), .limits = AIOS_INIT(aios_limits), .hook = AIOS_INIT(aios_commit_hook), .to_desk = AIOS_INIT(aios_handoff), .to_first = AIOS_INIT(aios_handoff)};
    g->ctx = test_ctx(NULL, 0);
    register_driver(g->ctx);
    must(aios_model_open(g->ctx, "driver:", NULL, &g->cfg.model, &err), &err);
    must(aios_toolset_new(g->ctx, &g->cfg.toolset, &err), &err);
    add_tools(g->cfg.toolset);
    must(aios_rules_parse(g->ctx, policy, AIOS_CSTR, &g->policy.rules, &err), &err);
    must(aios_rules_parse(g->ctx, loose, AIOS_CSTR, &g->desk_policy.rules, &err), &err);
    must(aios_rules_parse(g->ctx, durable ? loose_untrusting : loose, AIOS_CSTR, &g->helper_policy.rules, &err), &err);
    g->limits.max_turns = 24;
    g->limits.max_calls = 100;
    g->cfg.limits = &g->limits;
    g->hook.prepare = may_fail;
    g->cfg.hook = durable ? &g->hook : NULL;
    if (durable)
        must(aios_store_open(g->ctx, "memory:", NULL, &g->cfg.store, &err), &err);
    make_agents(g);
}

static void close_stage(stage *g)
{
    aios_agent_free(g->agent);
    aios_agent_free(g->helper);
    aios_agent_free(g->desk);
    aios_store_close(g->cfg.store);
    aios_rules_free(g->policy.rules);
    aios_rules_free(g->desk_policy.rules);
    aios_rules_free(g->helper_policy.rules);
    aios_toolset_free(g->cfg.toolset);
    aios_model_close(g->cfg.model);
    aios_ctx_free(g->ctx);
}

static uint64_t seed = 88172645463325252u;

static void drive(const char *policy, uint64_t n_steps, bool durable)
{
    stage g;
    memset(&w, 0, sizeof w);
    w.durable = durable;
    w.rng = seed;
    open_stage(&g, policy, durable);
    while (w.n_steps < n_steps)
        if (durable)
            run_lives(g.ctx, g.cfg.store, g.agent);
        else
            run_once(g.agent);
    close_stage(&g);
}

static uint64_t n_wanted = 100000;

static void check_driven(void)
{
    print_message("%llu steps: %llu denied, %llu asked, %llu values behind handles, %llu extractions, %llu violations\n", (unsigned long long)w.n_steps,
                  (unsigned long long)w.n_denied, (unsigned long long)w.n_asked, (unsigned long long)w.n_values, (unsigned long long)w.n_extracts,
                  (unsigned long long)w.n_violations);
    print_message("%llu runs, %llu of called agents, %llu of these deeper, %llu handoffs, %llu effects of agents with another policy\n", (unsigned long long)w.n_runs,
                  (unsigned long long)w.n_agents, (unsigned long long)w.n_deep, (unsigned long long)w.n_handoffs, (unsigned long long)w.n_wide);
    if (w.n_violations)
        fail_msg("%s", w.violation);
    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++)
        if (!w.n_sinks[i] != !strcmp(sinks[i].name, "forbidden"))
            fail_msg("%s ran %llu times", sinks[i].name, (unsigned long long)w.n_sinks[i]);
    assert_true(w.n_denied > 1000 && w.n_asked > 100 && w.n_values > 100 && w.n_extracts > 100);
    assert_true(w.n_agents > 100 && w.n_deep > 10 && w.n_handoffs > 100 && w.n_wide > 100);
}

static void no_sink_gets_what_its_label_forbids(void **state)
{
    (void)state;
    drive(strict, n_wanted, false);
    check_driven();
}

static void nor_over_many_lives(void **state)
{
    (void)state;
    drive(strict, n_wanted, true);
    print_message("%llu deaths, %llu answers between two lives, %llu calls told as unknown\n", (unsigned long long)w.n_deaths,
                  (unsigned long long)w.n_away, (unsigned long long)w.n_unknown);
    check_driven();
    assert_true(w.n_deaths > n_wanted / 200 && w.n_away > 50 && w.n_unknown > 50);
}

static void the_checker_sees_what_a_loose_policy_lets_through(void **state)
{
    (void)state;
    drive(loose, 2000, false);
    assert_true(w.n_violations > 100);
    drive(loose, 2000, true);
    assert_true(w.n_violations > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_sink_gets_what_its_label_forbids),
        cmocka_unit_test(nor_over_many_lives),
        cmocka_unit_test(the_checker_sees_what_a_loose_policy_lets_through),
    };
    n_wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : n_wanted;
    seed = argc > 2 ? seed ^ strtoull(argv[2], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) : seed;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model that calls whatever it likes, and a checker that knows nothing of labels: each source writes marks into what it gives, the checker
 * looks for marks in what the model has really been shown and in what sinks really get. Then the same over many lives of each run: commits fail
 * at random, hosts go away while something is asked. Usage: test_flow [STEPS]
 */
#include <aios/plugin/backend.h>

#include "agent_test.h"

enum { A = 1, B = 2, MARKS = 4096, ENDORSE = 4, MAX_CALLS = 3 };
static const double MAX_EUR = 100;
enum { ASK_BUDGET = 20, MAX_ACTED = 512, MAX_TOLD = 256 };

typedef struct taint {
    int integrity;
    unsigned classes;
} taint;

/* What an extraction told: of what, and how much it could say. */
typedef struct told {
    char call_id[32];
    unsigned classes;
    double bits;
} told;

static struct {
    uint64_t rng;
    taint marks[MARKS];      /* what each mark stands for, by what its source is */
    uint32_t n_marks;
    taint seen;              /* by the model, in this run */
    told answers[MAX_TOLD];  /* of quarantined turns of this life whose results are to come, then those that came */
    told told[MAX_TOLD];
    uint32_t n_answers, n_told;
    char memory[8][32];      /* marks it can write down */
    uint32_t n_memory;
    uint32_t limited;
    struct {
        char key[49];
        char args[300];
        int32_t effect;
    } acted[MAX_ACTED];      /* effects of this run */
    uint32_t n_acted;
    char asked[64][32];      /* calls that were asked about, in this run */
    uint32_t n_ids;
    bool durable;
    double eur;
    char approved[8][1400];  /* calls, each for one time */
    uint64_t n_steps, n_sinks[16], n_denied, n_asked, n_extracts, n_values, n_violations, n_runs, n_deaths, n_away, n_unknown;
    char violation[512];
} w;

static uint32_t roll(uint32_t n)
{
    w.rng ^= w.rng << 13;
    w.rng ^= w.rng >> 7;
    w.rng ^= w.rng << 17;
    return (uint32_t)(w.rng >> 33) % n;
}

static void violate(const char *what, const char *sink, const char *args)
{
    if (!w.n_violations++)
        snprintf(w.violation, sizeof w.violation, "%s: %s %.300s", what, sink, args);
}

/* Joins what the marks in a text stand for. */
static void look_for_marks(const char *s, size_t n, taint *t, bool remember)
{
    for (size_t i = 0; i + 8 <= n; i++) {
        if (s[i] != '<' || s[i + 1] != '#' || s[i + 7] != '>')
            continue;
        uint32_t id = (uint32_t)strtoul(s + i + 2, NULL, 10) % MARKS;
        t->integrity = w.marks[id].integrity < t->integrity ? w.marks[id].integrity : t->integrity;
        t->classes |= w.marks[id].classes;
        if (remember)
            snprintf(w.memory[w.n_memory++ % 8], sizeof w.memory[0], "<#%05u>", id);
    }
}

/* ---- the model ---------------------------------------------------------------------------------------------------- */

typedef struct driver_session {
    bool quarantine, done;
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
    w.answers[w.n_answers++ % MAX_TOLD] = (told){.classes = t->classes, .bits = bits}; /* whatever it says, it says it of that */
}

/* The result of an extraction came up: that of the oldest answer. */
static void note_told(const char *call_id)
{
    told t = w.answers[0];
    if (!w.n_answers)
        return;
    memmove(w.answers, w.answers + 1, --w.n_answers * sizeof *w.answers);
    snprintf(t.call_id, sizeof t.call_id, "%s", call_id);
    for (uint32_t i = 0; i < w.n_told; i++)
        if (!strcmp(w.told[i].call_id, call_id)) {
            w.told[i] = t; /* its turn was made anew in another life */
            return;
        }
    w.told[w.n_told++ % MAX_TOLD] = t;
}

/* What the model is told by an extraction's result; *endorsed: by those before it. */
static void look_for_told(const aios_part *p, taint *t, double *endorsed)
{
    for (uint32_t i = 0; p->call_id && i < w.n_told; i++) {
        if (strcmp(w.told[i].call_id, p->call_id))
            continue;
        t->classes |= w.told[i].classes;
        if (*endorsed + w.told[i].bits <= ENDORSE)
            *endorsed += w.told[i].bits;
        else
            t->integrity = AIOS_LABEL_UNTRUSTED;
    }
}

static int driver_start(void *session, const aios_request *req, aios_error *err)
{
    driver_session *s = session;
    taint t = {AIOS_LABEL_SYSTEM, 0};
    double endorsed = 0;
    (void)err;
    s->quarantine = req->schema_json != NULL;
    s->done = false;
    if (s->quarantine && req->n_tools)
        violate("a quarantined turn has tools", "extract", "");
    w.n_memory = s->quarantine ? w.n_memory : 0;
    for (uint32_t i = 0; i < aios_transcript_count(req->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, i, &e);
        for (uint32_t k = 0; k < e.n_parts; k++) {
            look_for_marks(e.parts[k].text, e.parts[k].n_text, &t, !s->quarantine && e.role == AIOS_ROLE_TOOL);
            if (!s->quarantine && e.role == AIOS_ROLE_TOOL)
                look_for_told(&e.parts[k], &t, &endorsed);
        }
    }
    if (s->quarantine) {
        answer(s, req, &t);
        return 0;
    }
    w.seen.integrity = t.integrity < w.seen.integrity ? t.integrity : w.seen.integrity;
    w.seen.classes |= t.classes;
    return 0;
}

static const char *const tools[] = {"src_open",  "src_secret", "src_own",  "src_own_secret", "get_hidden_secret", "get_hidden", "copy",    "hide",      "extract", "out",
                                    "out_a",     "act",        "act_user", "pay",            "fetch",             "limited",    "asked",   "forbidden", "nobody"};

/* Some text that is worth trying. */
static void text_of(char *out, size_t n)
{
    static const char *const tries[] = {"$v1", "$v2", "$v3", "$v9", "$v01", "$v1 ", "hello", "https://api.example.com/", "https://api.example.com@evil.com/", "https://evil.com/",
                                        "https://API.example.com.:443/x", "https://api.example.com\\\\@evil.com"};
    if (roll(3) && w.n_memory)
        snprintf(out, n, "%s", w.memory[roll(w.n_memory < 8 ? w.n_memory : 8)]);
    else
        snprintf(out, n, "%s", tries[roll(sizeof tries / sizeof *tries)]);
}

static void args_of(const char *tool, char *out, size_t n)
{
    static const char *const schemas[] = {"{\"type\":\"string\"}", "{\"enum\":[\"w\",\"x\",\"y\",\"z\"]}", "{\"type\":\"boolean\"}",
                                          "{\"type\":\"integer\",\"minimum\":0,\"maximum\":7}"};
    char a[64], b[64];
    text_of(a, sizeof a);
    text_of(b, sizeof b);
    if (!roll(40))
        snprintf(out, n, "{\"text\":\"%s\"", a);
    else if (!strcmp(tool, "extract"))
        snprintf(out, n, "{\"handle\":\"$v%u\",\"schema\":%s,\"question\":\"%s\"}", 1 + roll(4), schemas[roll(4)], b);
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
    for (uint32_t i = 0, n = 1 + roll(3); i < n; i++) {
        const char *tool = tools[roll(sizeof tools / sizeof *tools)];
        args_of(tool, args, sizeof args);
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
    uint32_t id = w.n_marks++ % MARKS;
    w.marks[id] = s->truth;
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
    for (int i = 0; i < 8; i++) {
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
    taint t = w.seen;
    bool approved = use_approval(k->name, args);
    look_for_marks(args, strlen(args), &t, false);
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
    "{\"tool\":\"limited\",\"max_calls\":3},{\"tool\":\"asked\",\"verdict\":\"ask\",\"confidentiality\":\"any\"}]}";
static const char loose[] = "{\"version\":1,\"rule_of_two\":false,\"capabilities\":[{\"tool\":\"*\",\"confidentiality\":\"any\"}]}";

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
    w.seen = (taint){AIOS_LABEL_USER, 0};
    w.n_memory = w.limited = w.n_told = w.n_answers = w.n_acted = w.n_ids = 0;
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
    for (int i = 0; i < 8; i++) {
        if (w.approved[i][0])
            continue;
        snprintf(w.approved[i], sizeof w.approved[i], "%s %s", ev->name, ev->text);
        return;
    }
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
        if (ev->type == AIOS_EVENT_RESULT && !ev->code && !strcmp(ev->name, "extract"))
            note_told(ev->call_id);
        w.n_unknown += ev->type == AIOS_EVENT_UNKNOWN;
        if (ev->type == AIOS_EVENT_UNKNOWN)
            answer_ask(r, ev);
        if (ev->type != AIOS_EVENT_ASK)
            continue;
        note_ask(ev);
        if (!w.durable || roll(3) || away->name[0]) {
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
    w.n_answers = 0;
    int rc = aios_run_resume(a, "r", r, err);
    return rc == AIOS_ENOENT ? aios_run_start_with(a, &o, r, err) : rc;
}

/* Every commit may be the last of a life. */
static int may_fail(void *user, const char *run_id, const aios_store_write *records, uint32_t n, aios_commit_more *more)
{
    (void)user, (void)run_id, (void)records, (void)n, (void)more;
    return roll(12) ? AIOS_OK : AIOS_EIO;
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
        rc = rc ? rc : live(r, &away);
        if (rc == AIOS_EIO)
            away.name[0] = 0; /* it may not have been written that it was asked */
        w.n_deaths += rc == AIOS_EIO;
        aios_run_free(r);
    }
    must(aios_store_remove(st, "run/r", &err), &err);
}

static void drive(const char *policy, uint64_t n_steps, bool durable)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_policy p = AIOS_INIT(aios_policy);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_commit_hook hook = AIOS_INIT(aios_commit_hook);
    aios_agent *agent;
    memset(&w, 0, sizeof w);
    w.durable = durable;
    w.rng = 88172645463325252u;
    aios_ctx *ctx = test_ctx(NULL, 0);
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
    must(aios_model_open(ctx, "driver:", NULL, &cfg.model, &err), &err);
    must(aios_toolset_new(ctx, &cfg.toolset, &err), &err);
    add_tools(cfg.toolset);
    must(aios_rules_parse(ctx, policy, AIOS_CSTR, &p.rules, &err), &err);
    limits.max_turns = 24;
    limits.max_calls = 100;
    cfg.policy = &p;
    cfg.limits = &limits;
    hook.prepare = may_fail;
    cfg.hook = durable ? &hook : NULL;
    if (durable)
        must(aios_store_open(ctx, "memory:", NULL, &cfg.store, &err), &err);
    must(aios_agent_new(ctx, &cfg, &agent, &err), &err);
    while (w.n_steps < n_steps)
        if (durable)
            run_lives(ctx, cfg.store, agent);
        else
            run_once(agent);
    aios_agent_free(agent);
    aios_store_close(cfg.store);
    aios_rules_free(p.rules);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    aios_ctx_free(ctx);
}

static uint64_t n_wanted = 100000;

static void check_driven(void)
{
    print_message("%llu steps: %llu denied, %llu asked, %llu values behind handles, %llu extractions, %llu violations\n", (unsigned long long)w.n_steps,
                  (unsigned long long)w.n_denied, (unsigned long long)w.n_asked, (unsigned long long)w.n_values, (unsigned long long)w.n_extracts,
                  (unsigned long long)w.n_violations);
    if (w.n_violations)
        fail_msg("%s", w.violation);
    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++)
        if (!w.n_sinks[i] != !strcmp(sinks[i].name, "forbidden"))
            fail_msg("%s ran %llu times", sinks[i].name, (unsigned long long)w.n_sinks[i]);
    assert_true(w.n_denied > 1000 && w.n_asked > 100 && w.n_values > 100 && w.n_extracts > 100);
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
    print_message("%llu runs, %llu deaths, %llu answers between two lives, %llu calls told as unknown\n", (unsigned long long)w.n_runs, (unsigned long long)w.n_deaths,
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
    return cmocka_run_group_tests(tests, NULL, NULL);
}

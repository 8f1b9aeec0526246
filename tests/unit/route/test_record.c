/* SPDX-License-Identifier: Apache-2.0 */
#include "route_test.h"

#include "parrot.h"

#include "base/base.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static aios_ctx *ctx;
static char tape[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(tape, sizeof tape, "/tmp/aios-tape-%d.jsonl", (int)getpid());
    remove(tape);
    ctx = test_ctx(NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove(tape);
    aios_ctx_free(ctx);
    return 0;
}

static aios_model *open_model(const char *uri)
{
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    must(aios_model_open(ctx, uri, NULL, &m, &err), &err);
    return m;
}

static aios_model *recorder(const char *inner)
{
    char uri[1024];
    snprintf(uri, sizeof uri, "record:%s|%s", tape, inner);
    return open_model(uri);
}

static aios_model *player(void)
{
    char uri[128];
    snprintf(uri, sizeof uri, "replay:%s", tape);
    return open_model(uri);
}

/* All events of a turn as text, times left out. */
static void hear(aios_session *s, const aios_request *q, char *out, size_t n)
{
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    size_t at = 0;
    int rc = aios_session_start(s, q, &err);
    if (rc) {
        snprintf(out, n, "start:%d:%s:%llu:%llu", rc, err.msg, (unsigned long long)err.have, (unsigned long long)err.need);
        return;
    }
    while (!aios_session_next(s, -1, &ev) && at < n) {
        at += (size_t)snprintf(out + at, n - at, "%d/%u/%s/%s/%s|", ev->type, ev->attempt, ev->name ? ev->name : "", ev->call_id ? ev->call_id : "", ev->text);
        if (ev->usage && at < n)
            at += (size_t)snprintf(out + at, n - at, "%u,%u,%u,%u,%lld|", ev->usage->input, ev->usage->cached, ev->usage->output, ev->usage->reasoning,
                                   (long long)ev->usage->decode_ns);
        if (ev->error && at < n)
            at += (size_t)snprintf(out + at, n - at, "%d:%s|", ev->error->code, ev->error->msg);
    }
}

typedef struct talk {
    aios_transcript *t;
    aios_tool_def tool;
    aios_sampling sampling;
    aios_request q;
} talk;

static void talk_open(talk *k, const char *text)
{
    memset(k, 0, sizeof *k);
    k->q = (aios_request)AIOS_INIT(aios_request);
    k->tool = (aios_tool_def)AIOS_INIT(aios_tool_def);
    k->sampling = (aios_sampling)AIOS_INIT(aios_sampling);
    aios_transcript_new(ctx, &k->t, NULL);
    aios_transcript_add_text(k->t, AIOS_ROLE_SYSTEM, "be brief", AIOS_CSTR, NULL);
    aios_transcript_add_text(k->t, AIOS_ROLE_USER, text, AIOS_CSTR, NULL);
    k->tool.name = "clock";
    k->tool.description = "tells the time";
    k->sampling.temperature = 0.7f;
    k->sampling.seed = 0xfedcba9876543210u;
    k->q.transcript = k->t;
    k->q.tools = &k->tool;
    k->q.n_tools = 1;
    k->q.tool_stride = sizeof k->tool;
    k->q.sampling = &k->sampling;
    k->q.flags = AIOS_REQUEST_CALL_DELTAS;
}

static void hear_model(aios_model *m, const talk *k, char *out, size_t n)
{
    aios_session *s = NULL;
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    hear(s, &k->q, out, n);
    aios_session_free(s);
}

static void what_was_recorded_plays_again_byte_for_byte(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "echo:say a reply of some words, \xc3\xa4\\; and more",
        "echo:think hm hm; say let me see; call clock {\"zone\":\"UTC\"}; call clock {}",
        "echo:say half of it; fail EFILTERED not that",
        "echo:set n_ctx 4",
        "echo:stop length; say cut",
        "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"echo:say lost; fail ERATE\"},{\"name\":\"b\",\"uri\":\"echo:say found\"}]}",
    };
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        char was[8192] = "", is[8192] = "";
        talk k;
        talk_open(&k, "what time is it?");
        remove(tape);
        aios_model *m = recorder(scripts[i]);
        hear_model(m, &k, was, sizeof was);
        aios_model_close(m);
        m = player();
        hear_model(m, &k, is, sizeof is);
        assert_string_equal(is, was);
        assert_true(strlen(is) > 20);
        aios_model_close(m);
        aios_transcript_free(k.t);
    }
}

/* A model that thinks in signed pieces, and talks on both sides of a call. */
static int step_signed(void *session, const aios_sink *k, aios_error *err)
{
    far_session *s = session;
    (void)err;
    switch (s->said++) {
    case 0:
        return k->reasoning(k->user, "hm", 2) ? AIOS_ECANCELED : AIOS_AGAIN;
    case 1:
        return k->sign(k->user, "far/thinking first") ? AIOS_ECANCELED : AIOS_AGAIN;
    case 2:
        return k->reasoning(k->user, "hm hm", 5) ? AIOS_ECANCELED : AIOS_AGAIN;
    case 3:
        return k->sign(k->user, "far/thinking second") ? AIOS_ECANCELED : AIOS_AGAIN;
    case 4:
        return k->text(k->user, "let me see: password=hunter2hunter2", 35) ? AIOS_ECANCELED : AIOS_AGAIN;
    case 5:
        return k->call(k->user, "clock", "{}", 2, "c1") ? AIOS_ECANCELED : AIOS_AGAIN;
    case 6:
        return k->text(k->user, ", and a word behind it", 22) ? AIOS_ECANCELED : AIOS_AGAIN;
    default:
        k->stop(k->user, "tool_calls");
        return AIOS_DONE;
    }
}

static void signatures_and_texts_around_calls_pass_through(void **state)
{
    (void)state;
    static const char inner[] = "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"far:0\"}]}";
    static const char *const uris[] = {"far:0", "far:0", inner};
    static far_host hosts[N_FAR] = {{.flags = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_HAS_TEMPLATE}};
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    far_ops(&ops);
    ops.step = step_signed;
    assert_int_equal(aios_backend_register(ctx, &ops, hosts, NULL), 0);
    char was[4096] = "", is[4096] = "";
    talk k;
    talk_open(&k, "what time is it?");
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++) {
        remove(tape);
        aios_model *m = i ? recorder(uris[i]) : open_model(uris[i]);
        hear_model(m, &k, i ? is : was, sizeof was);
        aios_model_close(m);
        char *heard = strstr(i ? is : was, "2/0//"); /* behind the router's own event */
        assert_non_null(strstr(heard, "|2/0//far/thinking first/|2/0///hm hm|2/0//far/thinking second/|"));
        if (!i)
            continue;
        assert_string_equal(heard, was);
        m = player();
        hear_model(m, &k, is, sizeof is);
        aios_model_close(m);
        assert_non_null(strstr(is, "|2/0//far/thinking first/|2/0///hm hm|2/0//far/thinking second/|1/0///let me see: password=[redacted]|"));
        assert_non_null(strstr(is, "|1/0///, and a word behind it|"));
    }
    aios_transcript_free(k.t);
}

static void a_cassette_is_its_owners_alone_and_is_continued(void **state)
{
    (void)state;
    struct stat st;
    char was[2][4096], is[4096];
    talk k[2];
    umask(0);
    for (int i = 0; i < 2; i++) {
        talk_open(&k[i], i ? "second" : "first");
        aios_model *m = recorder("echo:");
        hear_model(m, &k[i], was[i], sizeof was[i]);
        aios_model_close(m);
    }
    assert_int_equal(stat(tape, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *f = fopen(tape, "a");
    fprintf(f, "{\"hash\":\"cut o");
    fclose(f);
    aios_model_close(player());
    aios_model_close(recorder("echo:")); /* goes on behind it */
    aios_model *m = player();
    for (int i = 1; i >= 0; i--) {
        hear_model(m, &k[i], is, sizeof is);
        assert_string_equal(is, was[i]);
        aios_transcript_free(k[i].t);
    }
    aios_model_close(m);
}

static void equal_requests_are_served_in_order(void **state)
{
    (void)state;
    static const char *const says[] = {"one", "two", "three"};
    talk k;
    char out[4096];
    talk_open(&k, "again");
    for (int i = 0; i < 3; i++) {
        char inner[64];
        snprintf(inner, sizeof inner, "echo:say %s", says[i]);
        aios_model *m = recorder(inner);
        hear_model(m, &k, out, sizeof out);
        aios_model_close(m);
    }
    aios_model *m = player();
    for (int i = 0; i < 5; i++) {
        hear_model(m, &k, out, sizeof out);
        assert_non_null(strstr(out, says[i < 3 ? i : 2]));
    }
    aios_model_close(m);
    aios_transcript_free(k.t);
}

static void an_edited_request_is_told_what_differs(void **state)
{
    (void)state;
    talk k, other;
    char out[4096];
    talk_open(&k, "how warm is it in Oslo?");
    talk_open(&other, "how warm is it in Rome?");
    aios_model *m = recorder("echo:say cold");
    hear_model(m, &k, out, sizeof out);
    aios_model_close(m);
    m = player();
    hear_model(m, &other, out, sizeof out);
    assert_non_null(strstr(out, "start:-5:"));
    assert_non_null(strstr(out, "entries[1].parts[0].text"));
    assert_non_null(strstr(out, "Oslo"));
    assert_non_null(strstr(out, "Rome"));
    k.q.max_tokens = 7;
    hear_model(m, &k, out, sizeof out);
    assert_non_null(strstr(out, "max_tokens: recorded nothing, asked 7"));
    k.q.max_tokens = 0;
    k.tool.description = "tells the hour";
    hear_model(m, &k, out, sizeof out);
    assert_non_null(strstr(out, "tools[0].description"));
    k.tool.description = "tells the time";
    aios_grammar *g = NULL, *h = NULL;
    aios_grammar_compile(ctx, AIOS_GRAMMAR_REGEX, "cold", 4, &g, NULL);
    k.q.grammar = g;
    hear_model(m, &k, out, sizeof out);
    assert_non_null(strstr(out, "grammar"));
    k.q.grammar = NULL;
    hear_model(m, &k, out, sizeof out);
    assert_non_null(strstr(out, "cold"));
    aios_grammar_free(g);
    aios_grammar_free(h);
    aios_model_close(m);
    aios_transcript_free(k.t);
    aios_transcript_free(other.t);
}

static char *slurp(void)
{
    FILE *f = fopen(tape, "r");
    char *s = calloc(1, 1 << 16);
    assert_non_null(f);
    assert_true(fread(s, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return s;
}

static void secrets_do_not_get_into_a_cassette(void **state)
{
    (void)state;
    static const char *const secrets[] = {"sk-abcdefghijklmnop0123", "Zm9vOmJhcmJhejEyMw==", "k3yk3yk3yk3y", "vault.corp.example", "ghp_0123456789abcdefghijABCDEFGHIJ"};
    talk k;
    char uri[512], out[8192], again[8192];
    talk_open(&k, "use sk-abcdefghijklmnop0123 and Authorization: Basic Zm9vOmJhcmJhejEyMw== with api_key=k3yk3yk3yk3y at https://vault.corp.example/x");
    snprintf(uri, sizeof uri,
             "record:{\"file\":\"%s\",\"redact\":[\"*corp.example*\"],\"model\":\"echo:echo; say , password: k3yk3yk3yk3y end; fail EAUTH ghp_0123456789abcdefghijABCDEFGHIJ\"}", tape);
    aios_model *m = open_model(uri);
    hear_model(m, &k, out, sizeof out);
    assert_non_null(strstr(out, secrets[0])); /* the host gets what the model says */
    aios_model_close(m);
    char *file = slurp();
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        if (strstr(file, secrets[i]))
            fail_msg("%s is in %s", secrets[i], file);
    assert_non_null(strstr(file, "[redacted]"));
    assert_non_null(strstr(file, " end")); /* and no more than that */
    free(file);
    m = player();
    hear_model(m, &k, again, sizeof again);
    assert_non_null(strstr(again, "[redacted]")); /* found, though it was recorded without its secrets */
    aios_model_close(m);
    snprintf(uri, sizeof uri, "record:{\"file\":\"%s\",\"redact\":false,\"model\":\"echo:\"}", tape);
    remove(tape);
    m = open_model(uri);
    hear_model(m, &k, out, sizeof out);
    aios_model_close(m);
    m = player();
    hear_model(m, &k, again, sizeof again);
    assert_string_equal(again, out);
    aios_model_close(m);
    aios_transcript_free(k.t);
}

/* A model that says a secret letter by letter. */
static const char *letters;

static int spell_step(void *session, const aios_sink *sink, aios_error *err)
{
    far_session *s = session;
    (void)err;
    if (!letters[s->said]) {
        sink->stop(sink->user, "stop");
        return AIOS_DONE;
    }
    int rc = sink->text(sink->user, letters + s->said++, 1);
    return rc ? rc : AIOS_AGAIN;
}

static void a_secret_in_pieces_is_one_too(void **state)
{
    (void)state;
    static far_host host;
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    talk k;
    reply r;
    letters = "the key is sk-abcdefghijklmnop0123, keep it";
    ops.name = "spell";
    ops.open = far_open;
    ops.close = far_close;
    ops.session_new = far_session_new;
    ops.session_free = far_session_free;
    ops.start = far_start;
    ops.step = spell_step;
    assert_int_equal(aios_backend_register(ctx, &ops, &host, NULL), 0);
    char out[8192];
    talk_open(&k, "spell");
    aios_model *m = recorder("spell:0");
    hear_model(m, &k, out, sizeof out);
    aios_model_close(m);
    m = player();
    aios_session *s = NULL;
    aios_session_new(m, NULL, &s, NULL);
    assert_int_equal(turn_of(s, &k.q, &r), 0);
    assert_string_equal(r.text, "the key is [redacted], keep it");
    aios_session_free(s);
    aios_model_close(m);
    aios_transcript_free(k.t);
}

static void damaged_cassettes_are_told_by_line(void **state)
{
    (void)state;
    static const char *const rows[] = {"{\"aios_cassette\":2}\n", "{\"request\":7}\n", "nothing\n{}\n", "{\"aios_cassette\":1,\"redact\":[7]}\n", "[]\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char uri[128];
        aios_model *m = NULL;
        aios_error err = AIOS_INIT(aios_error);
        FILE *f = fopen(tape, "w");
        fputs(rows[i], f);
        fclose(f);
        snprintf(uri, sizeof uri, "replay:%s", tape);
        int rc = aios_model_open(ctx, uri, NULL, &m, &err);
        assert_true(rc == AIOS_EFORMAT || rc == AIOS_EVERSION);
        assert_non_null(strstr(err.msg, "line 1"));
    }
}

/* A disk that takes `disk_room` bytes more. */
static size_t disk_room;
static aios_env disk;

static int write_little(void *user, aios_file *f, uint64_t off, const void *p, size_t n, int32_t *sys)
{
    size_t part = n < disk_room ? n : disk_room;
    int rc = disk.file_write(user, f, off, p, part, sys);
    disk_room -= part;
    *sys = part < n ? ENOSPC : *sys;
    return part < n ? AIOS_EIO : rc;
}

static int run_once(aios_ctx *c, const char *uri, aios_error *err);
static int play(aios_error *err)
{
    char uri[128];
    aios_model *m = NULL;
    snprintf(uri, sizeof uri, "replay:%s", tape);
    int rc = aios_model_open(ctx, uri, NULL, &m, err);
    aios_model_close(m);
    return rc ? rc : run_once(ctx, uri, err);
}

/* For each number of bytes that still fit: the turn fails, the next one is recorded, and both files play. */
static void a_disk_that_was_full_costs_the_turn_alone(void **state)
{
    (void)state;
    char uri[160];
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *c = NULL;
    disk = *aios__ctx_env(ctx);
    aios_env little = disk;
    little.file_write = write_little;
    cfg.env = &little;
    must(aios_ctx_new(&cfg, &c, &err), &err);
    snprintf(uri, sizeof uri, "record:%s|echo:say hello", tape);
    for (size_t room = 0;; room += room < 40 ? 1 : 37) {
        aios_model *m = NULL;
        aios_session *s = NULL;
        const aios_event *ev;
        aios_request q = AIOS_INIT(aios_request);
        int code[3] = {0};
        q.raw = "hello";
        q.n_raw = AIOS_CSTR;
        remove(tape);
        disk_room = 1 << 20;
        must(aios_model_open(c, uri, NULL, &m, &err), &err);
        must(aios_session_new(m, NULL, &s, &err), &err);
        for (int i = 0; i < 3; i++) {
            disk_room = i == 0 ? room : i == 1 ? room / 3 : 1 << 20; /* the second try may break off in its head */
            must(aios_session_start(s, &q, &err), &err);
            while (!aios_session_next(s, -1, &ev))
                code[i] = ev->error ? ev->error->code : 0;
            int played = i < 2 && code[i] ? play(&err) : AIOS_ENOENT;
            must(played == AIOS_ENOENT ? AIOS_OK : played, &err); /* whole it is, but for that turn */
        }
        aios_session_free(s);
        aios_model_close(m);
        assert_int_equal(code[2], 0);
        must(play(&err), &err);
        if (!code[0])
            break;
        assert_int_equal(code[0], AIOS_EIO);
    }
    aios_ctx_free(c);
}

static void the_environment_gives_the_key_of_the_model_that_is_recorded(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        bool key;
    } rows[] = {
        {"openai:m", true}, {"record:f|openai:m", true}, {"record:f|record:g|openai:m", true}, {"record:{\"file\":\"f\",\"model\":\"openai:m\"}", true},
        {"record:f|record:{\"file\":\"f\",\"model\":\"record:g|openai:m\"}", true}, {"record:f|https://host/v1#m", false},
        {"record:{\"file\":\"f\",\"model\":\"echo:\"}", false}, {"record:f", false}, {"record:{", false}, {"record:{\"model\":7}", false}, {"record:[]", false},
    };
    setenv("OPENAI_API_KEY", "canary-of-the-environment", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_remote_config cfg = AIOS_INIT(aios_remote_config);
        aios_error err = AIOS_INIT(aios_error);
        must(aios_remote_config_from_env(rows[i].uri, &cfg, &err), &err);
        if (!!cfg.api_key != rows[i].key)
            fail_msg("%s", rows[i].uri);
    }
    unsetenv("OPENAI_API_KEY");
}

static void damage_in_the_middle_is_not_passed_over(void **state)
{
    (void)state;
    static const char *const rows[] = {"{\"aios_cassette\":1}\n{\"hash\":\"12\n{\"aios\n{\"request\":{},\"events\":[],\"end\":{}}\n",
                                       "{\"aios_cassette\":1}\n{\"hash\":\"12\n\n{\"request\":{},\"events\":[],\"end\":{}}\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err = AIOS_INIT(aios_error);
        FILE *f = fopen(tape, "w");
        fputs(rows[i], f);
        fclose(f);
        assert_int_equal(play(&err), AIOS_EFORMAT);
        assert_non_null(strstr(err.msg, "line 2"));
    }
}

static int run_once(aios_ctx *c, const char *uri, aios_error *err)
{
    aios_model *m = NULL;
    aios_session *s = NULL;
    const aios_event *ev;
    aios_request q = AIOS_INIT(aios_request);
    q.raw = "hello";
    q.n_raw = AIOS_CSTR;
    int rc = aios_model_open(c, uri, NULL, &m, err);
    rc = rc ? rc : aios_session_new(m, NULL, &s, err);
    rc = rc ? rc : aios_session_start(s, &q, err);
    while (!rc && !aios_session_next(s, -1, &ev))
        if (ev->error) {
            rc = ev->error->code;
            *err = *ev->error;
        }
    aios_session_free(s);
    aios_model_close(m);
    return rc;
}

static int record_once(aios_ctx *c, aios_error *err)
{
    char uri[128];
    snprintf(uri, sizeof uri, "record:%s|echo:say x y", tape);
    return run_once(c, uri, err);
}

static int replay_once(aios_ctx *c, aios_error *err)
{
    char uri[128];
    snprintf(uri, sizeof uri, "replay:%s", tape);
    return run_once(c, uri, err);
}

static void nothing_leaks_when_memory_runs_out(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    refuse_every_allocation(record_once, 1);
    remove(tape);
    must(record_once(ctx, &err), &err);
    refuse_every_allocation(replay_once, 1);
}

/* What a provider wants back with its reasoning goes through routers and cassettes as it is. */
static void signatures_of_reasoning_are_kept(void **state)
{
    (void)state;
    static const char *const lines[] = {PARROT_SIGNED, "x", NULL};
    parrot p = {.lines = lines, .reason = "stop"};
    char straight[512], routed[2048], recorded[512], played[512];
    const char *seal = "2/0//parrot/seal QUJD/|";
    aios_model *bird, *m;
    talk k;
    parrot_model(ctx, &p, &bird);
    talk_open(&k, "hello");
    k.q.n_tools = 0;
    hear_model(bird, &k, straight, sizeof straight);
    assert_non_null(strstr(straight, seal));
    p.at = 0;
    m = open_model("route:{\"candidates\":[{\"uri\":\"parrot:\"}]}");
    hear_model(m, &k, routed, sizeof routed);
    aios_model_close(m);
    assert_non_null(strstr(routed, seal));
    p.at = 0;
    m = recorder("parrot:");
    hear_model(m, &k, recorded, sizeof recorded);
    aios_model_close(m);
    m = player();
    hear_model(m, &k, played, sizeof played);
    aios_model_close(m);
    assert_string_equal(recorded, straight);
    assert_string_equal(played, straight);
    aios_transcript_free(k.t);
    aios_model_close(bird);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(signatures_of_reasoning_are_kept),
        T(what_was_recorded_plays_again_byte_for_byte),
        T(signatures_and_texts_around_calls_pass_through),
        T(a_cassette_is_its_owners_alone_and_is_continued),
        T(equal_requests_are_served_in_order),
        T(an_edited_request_is_told_what_differs),
        T(secrets_do_not_get_into_a_cassette),
        T(a_secret_in_pieces_is_one_too),
        T(damaged_cassettes_are_told_by_line),
        T(a_disk_that_was_full_costs_the_turn_alone),
        T(damage_in_the_middle_is_not_passed_over),
        T(the_environment_gives_the_key_of_the_model_that_is_recorded),
        T(nothing_leaks_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

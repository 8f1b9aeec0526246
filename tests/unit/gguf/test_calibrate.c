/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrated choice over a small random model: scores against logits read one by one, the prior's cache, abstaining, switching off. */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "backend/gguf/gguf.h"
#include "base/json.h"
#include "net_make.h"

static const char *const names[] = {"get_wind", "set", "get_rain", "set_alarm", "get_wine"};
static const char opener[] = "<tool_call>\n{\"name\": ";

enum { N = 5, SEEN = 16384 };

static char uri[64];
static aios_ctx *ctx;
static aios_model *model;
static aios_session *session;
static aios_transcript *chat;
static aios_tool_def tools[AIOS__OPTIONS_MAX + 1];

static void write_model(void)
{
    net_make make = {.arch = "llama", .dtype = 8, .template_text = net_chatml, .tied = 1, .n_ctx = 4096};
    net_file(&make, uri);
}

static void open_model(uint32_t n_threads)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    cfg.n_threads = n_threads;
    must(aios_model_open(ctx, uri, &cfg, &model, &err), &err);
    must(aios_session_new(model, NULL, &session, &err), &err);
}

static void close_model(void)
{
    aios_session_free(session);
    aios_model_close(model);
    session = NULL;
    model = NULL;
}

static int begin(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    ctx = test_ctx(NULL, 0);
    write_model();
    open_model(2);
    must(aios_transcript_new(ctx, &chat, &err), &err);
    must(aios_transcript_add_text(chat, AIOS_ROLE_SYSTEM, "Be brief.", AIOS_CSTR, &err), &err);
    must(aios_transcript_add_text(chat, AIOS_ROLE_USER, "any wine or rain?", AIOS_CSTR, &err), &err);
    for (int i = 0; i < N; i++) {
        tools[i] = (aios_tool_def)AIOS_INIT(aios_tool_def);
        tools[i].name = names[i];
        tools[i].description = i % 2 ? "what the weather brings" : NULL;
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    aios_transcript_free(chat);
    close_model();
    aios_ctx_free(ctx);
    unlink(uri + 5);
    return 0;
}

static aios__gguf_model *engine(void)
{
    return aios__model_self(model, "gguf");
}

static aios_request request(void)
{
    aios_request r = AIOS_INIT(aios_request);
    r.transcript = chat;
    r.tools = tools;
    r.tool_stride = sizeof *tools;
    r.n_tools = N;
    r.tool_choice = AIOS_TOOLS_REQUIRED;
    r.flags = AIOS_REQUEST_ONE_CALL;
    return r;
}

/* What a turn gave. */
typedef struct outcome {
    char scores[SEEN], best[80], call[80], reason[32];
    uint32_t n_choices, n_calls;
    aios_usage usage;
    int code;
} outcome;

static outcome run(aios_session *s, const aios_request *r)
{
    outcome o = {0};
    aios_error err = AIOS_INIT(aios_error);
    const aios_event *ev;
    o.code = aios_session_start(s, r, &err);
    while (!o.code && aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_CHOICE) {
            assert_true(ev->n_text < SEEN);
            memcpy(o.scores, ev->text, ev->n_text + 1);
            snprintf(o.best, sizeof o.best, "%s", ev->name);
            o.n_choices++;
        } else if (ev->type == AIOS_EVENT_CALL) {
            snprintf(o.call, sizeof o.call, "%s", ev->name);
            o.n_calls++;
        } else if (ev->type == AIOS_EVENT_USAGE) {
            o.usage = *ev->usage;
        } else if (ev->type == AIOS_EVENT_DONE) {
            snprintf(o.reason, sizeof o.reason, "%s", ev->name);
        } else if (ev->type == AIOS_EVENT_ERROR) {
            o.code = ev->error->code;
        }
    }
    return o;
}

/* ---- what it should be, by logits of one token after the other --------------------------------------------------------- */

enum { LONG = 4096 };

static uint32_t tokenize(const char *s, uint32_t flags, int32_t *ids)
{
    aios_error err = AIOS_INIT(aios_error);
    uint32_t n = 0;
    must(aios_model_tokenize(model, s, strlen(s), flags, ids, LONG, &n, &err), &err);
    return n;
}

typedef struct text {
    char p[LONG];
    size_t n;
} text;

static int collect(void *user, const void *p, size_t n)
{
    text *t = user;
    assert_true(t->n + n < LONG);
    memcpy(t->p + t->n, p, n);
    t->n += n;
    return 0;
}

/* The logits behind a prompt and n tokens. */
static void logits_behind(const text *prompt, const int32_t *ids, uint32_t n, float *out)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s;
    int32_t all[LONG];
    uint32_t m = tokenize(prompt->p, AIOS_TOKENIZE_SPECIAL, all);
    memcpy(all + m, ids, n * sizeof *ids);
    must(aios_session_new(model, NULL, &s, &err), &err);
    must(aios_session_eval(s, all, m + n, out, 1, &err), &err);
    aios_session_free(s);
}

/* Log-probabilities of names[0 .. N) behind the prompt of a request, wherever they part from each other. */
static void expect_scores(const aios_request *r, double *out)
{
    static int32_t ids[N][LONG];
    aios_error err = AIOS_INIT(aios_error);
    uint32_t n[N];
    text prompt = {.n = 0};
    float logits[512];
    char s[256];
    must(aios_model_render(model, r, collect, &prompt, &err), &err);
    for (int i = 0; i < N; i++) {
        snprintf(s, sizeof s, "%s\"%s\", \"arguments\": ", opener, names[i]);
        n[i] = tokenize(s, 0, ids[i]);
        out[i] = 0;
    }
    for (int i = 0; i < N; i++) {
        for (uint32_t d = 0; d < n[i]; d++) {
            double sum = 0;
            int others = 0;
            logits_behind(&prompt, ids[i], d, logits);
            for (int j = 0; j < N; j++) {
                bool here = n[j] > d && !memcmp(ids[i], ids[j], d * sizeof(int32_t)), first = here;
                for (int k = 0; k < j; k++)
                    first = first && !(n[k] > d && !memcmp(ids[j], ids[k], (d + 1) * sizeof(int32_t)));
                others += here && j != i;
                sum += first ? exp((double)logits[ids[j][d]]) : 0;
            }
            if (!others)
                break;
            out[i] += (double)logits[ids[i][d]] - log(sum);
        }
    }
}

/* Log-probability of the request's words behind the text of tool i. */
static double expect_fit(int i, const char *question)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s;
    int32_t ids[LONG];
    static float logits[256 * 512];
    char head[256];
    double fit = 0;
    snprintf(head, sizeof head, "Command: %s\nDescription: %s", names[i], tools[i].description ? tools[i].description : "");
    uint32_t n = tokenize(head, AIOS_TOKENIZE_BOS, ids);
    n = n < 80 ? n : 80;
    n += tokenize("\nExample:", 0, ids + n);
    snprintf(head, sizeof head, " %s", question);
    uint32_t m = tokenize(head, 0, ids + n), n_vocab = engine()->net->hp.n_vocab;
    assert_true(m < 32);
    must(aios_session_new(model, NULL, &s, &err), &err);
    must(aios_session_eval(s, ids, n + m - 1, logits, m, &err), &err);
    for (uint32_t w = 0; w < m; w++) {
        double sum = 0;
        for (uint32_t k = 0; k < n_vocab; k++)
            sum += exp((double)logits[w * n_vocab + k]);
        fit += (double)logits[w * n_vocab + ids[n + w]] - log(sum);
    }
    aios_session_free(s);
    return fit;
}

static double number(const aios__json *o, const char *key)
{
    const aios__json *v = aios__json_get(o, key);
    assert_non_null(v);
    return aios__json_real(v, NAN);
}

static aios__json_doc *parse(const outcome *o)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__json_doc *doc;
    must(aios__json_parse(aios__ctx_heap(ctx), o->scores, strlen(o->scores), &doc, &err), &err);
    return doc;
}

static const aios__json *candidate(const aios__json_doc *doc, const char *name)
{
    const aios__json *list = aios__json_get(aios__json_root(doc), "candidates");
    assert_int_equal(aios__json_count(list), N);
    for (size_t i = 0; i < N; i++) {
        size_t n;
        const char *s = aios__json_str(aios__json_get(aios__json_at(list, i), "name"), &n);
        if (n == strlen(name) && !memcmp(s, name, n))
            return aios__json_at(list, i);
    }
    fail_msg("%s is no candidate", name);
    return NULL;
}

static void names_are_scored_by_the_logits_where_they_part(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *empty;
    double model_score[N], prior[N], best = -INFINITY, second = -INFINITY, most = -INFINITY;
    int n_asked = 0;
    aios_request r = request();
    outcome o = run(session, &r);
    expect_scores(&r, model_score);
    must(aios_transcript_new(ctx, &empty, &err), &err);
    must(aios_transcript_add_text(empty, AIOS_ROLE_SYSTEM, "Be brief.", AIOS_CSTR, &err), &err);
    must(aios_transcript_add_text(empty, AIOS_ROLE_USER, "", AIOS_CSTR, &err), &err);
    r.transcript = empty;
    expect_scores(&r, prior);
    aios_transcript_free(empty);
    assert_int_equal(o.n_choices, 1);
    assert_string_equal(o.call, o.best);
    aios__json_doc *doc = parse(&o);
    for (int i = 0; i < N; i++)
        if (aios__json_get(candidate(doc, names[i]), "fit"))
            most = fmax(most, number(candidate(doc, names[i]), "fit"));
    for (int i = 0; i < N; i++) {
        const aios__json *c = candidate(doc, names[i]);
        bool asked = aios__json_get(c, "fit") != NULL;
        double words = number(c, "words"), score = number(c, "score");
        assert_true(fabs(number(c, "model") - model_score[i]) < 1e-4);
        assert_true(fabs(number(c, "prior") - prior[i]) < 1e-4);
        double sum = model_score[i] - 0.75 * prior[i] + 0.75 * words;
        if (asked) {
            assert_true(fabs(number(c, "fit") - expect_fit(i, "any wine or rain?")) < 1e-3);
            sum += 0.5 * (number(c, "fit") - most);
            n_asked++;
        }
        assert_true(fabs(score - sum) < 1e-3);
        if (!asked)
            continue;
        second = score > best ? best : score > second ? score : second;
        best = score > best ? score : best;
    }
    assert_int_equal(n_asked, AIOS__FIT_TOOLS); /* a close choice, as a random model makes them */
    assert_true(fabs(number(candidate(doc, o.best), "score") - best) < 1e-9);
    assert_true(fabs(number(aios__json_root(doc), "margin") - (best - second)) < 1e-4);
    aios__json_free(doc);
}

static void a_word_of_the_request_speaks_for_the_tool_that_has_it(void **state)
{
    (void)state;
    const char *const said[] = {"wine wine wine", "rain rain rain"};
    const char *const meant[] = {"get_wine", "get_rain"};
    double words[2][2];
    for (int i = 0; i < 2; i++) {
        aios_error err = AIOS_INIT(aios_error);
        must(aios_transcript_truncate(chat, 1, &err), &err);
        must(aios_transcript_add_text(chat, AIOS_ROLE_USER, said[i], AIOS_CSTR, &err), &err);
        aios_request r = request();
        outcome o = run(session, &r);
        aios__json_doc *doc = parse(&o);
        for (int k = 0; k < 2; k++)
            words[i][k] = number(candidate(doc, meant[k]), "words");
        aios__json_free(doc);
    }
    assert_true(words[0][0] > words[0][1]);
    assert_true(words[1][1] > words[1][0]);
}

/* The name that is chosen token by token: of those still possible always the one with the largest logit. */
static const char *plain_choice(void)
{
    aios_error err = AIOS_INIT(aios_error);
    text prompt = {.n = 0};
    float logits[512];
    char s[256];
    int32_t ids[LONG], most[LONG];
    aios_request r = request();
    int alive[N], n_alive = N, winner = 0;
    must(aios_model_render(model, &r, collect, &prompt, &err), &err);
    for (int i = 0; i < N; i++)
        alive[i] = 1;
    snprintf(s, sizeof s, "%s\"", opener);
    for (size_t at = strlen(s); n_alive > 1; at++) { /* names of single-byte tokens */
        int best = -1;
        uint32_t n = tokenize(s, 0, ids);
        logits_behind(&prompt, ids, n, logits);
        for (int i = 0; i < N; i++) {
            char c[2] = {0};
            c[0] = names[i][at - strlen(opener) - 1];
            c[0] = c[0] ? c[0] : '"';
            if (alive[i] && tokenize(c, 0, most) == 1 && (best < 0 || logits[most[0]] > logits[best])) {
                best = most[0];
                s[at] = c[0];
                s[at + 1] = 0;
            }
        }
        n_alive = 0;
        for (int i = 0; i < N; i++) {
            char c = names[i][at - strlen(opener) - 1];
            alive[i] = alive[i] && (c ? c : '"') == s[at];
            n_alive += alive[i];
            winner = alive[i] ? i : winner;
        }
    }
    return names[winner];
}

static void switched_off_names_are_chosen_token_by_token(void **state)
{
    (void)state;
    aios_request r = request();
    r.flags |= AIOS_REQUEST_PLAIN_CHOICE;
    outcome o = run(session, &r);
    assert_int_equal(o.n_choices, 0);
    assert_string_equal(o.call, plain_choice());
    aios_sampling sampling = AIOS_INIT(aios_sampling);
    sampling.temperature = 1;
    sampling.seed = 7;
    r.flags = AIOS_REQUEST_ONE_CALL;
    r.sampling = &sampling;
    assert_int_equal(run(session, &r).n_choices, 0); /* what is drawn is drawn */
    r = request();
    r.tool_choice = AIOS_TOOLS_NAMED;
    r.tool_name = names[1];
    assert_int_equal(run(session, &r).n_choices, 0);
}

static void scores_do_not_depend_on_threads_batch_or_history(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_request r = request();
    outcome first = run(session, &r), again = run(session, &r);
    assert_string_equal(first.scores, again.scores);
    assert_string_equal(first.reason, "tool_calls");
    aios_session *several[4];
    int over = 0;
    for (int i = 0; i < 4; i++) {
        must(aios_session_new(model, NULL, &several[i], &err), &err);
        must(aios_session_start(several[i], &r, &err), &err);
    }
    for (int i = 0; over < 4; i++) { /* all stand in front of the choice at once */
        const aios_event *ev;
        int rc = aios_session_next(several[i % 4], 0, &ev);
        if (rc == AIOS_OK && ev->type == AIOS_EVENT_CHOICE)
            assert_string_equal(ev->text, first.scores);
        assert_false(rc == AIOS_OK && ev->type == AIOS_EVENT_ERROR);
        over += rc == AIOS_OK && ev->type == AIOS_EVENT_DONE;
    }
    for (int i = 0; i < 4; i++)
        aios_session_free(several[i]);
    close_model();
    open_model(1);
    outcome alone = run(session, &r);
    assert_string_equal(alone.scores, first.scores);
}

static void a_narrow_margin_ends_the_turn_as_unsure(void **state)
{
    (void)state;
    aios_request r = request();
    outcome sure = run(session, &r);
    aios__json_doc *doc = parse(&sure);
    float margin = (float)number(aios__json_root(doc), "margin");
    aios__json_free(doc);
    r.min_margin = margin * 1.01f;
    outcome o = run(session, &r);
    assert_string_equal(o.reason, "unsure");
    assert_int_equal(o.n_calls, 0);
    assert_int_equal(o.n_choices, 1);
    assert_non_null(strstr(o.scores, "\"kept\":false"));
    r.min_margin = margin * 0.99f;
    o = run(session, &r);
    assert_string_equal(o.reason, "tool_calls");
    assert_string_equal(o.call, sure.call);
    r.min_margin = -1;
    assert_int_equal(run(session, &r).code, AIOS_EINVAL);
    r.min_margin = NAN;
    assert_int_equal(run(session, &r).code, AIOS_EINVAL);
}

/* ---- the cache --------------------------------------------------------------------------------------------------------------- */

static void a_prior_is_measured_once_for_all_sessions(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_request r = request();
    assert_null(engine()->priors.newest);
    run(session, &r);
    aios__prior *first = engine()->priors.newest;
    assert_non_null(first);
    aios_session *other;
    must(aios_session_new(model, NULL, &other, &err), &err);
    must(aios_transcript_add_text(chat, AIOS_ROLE_ASSISTANT, "Rain.", AIOS_CSTR, &err), &err);
    must(aios_transcript_add_text(chat, AIOS_ROLE_USER, "and tomorrow?", AIOS_CSTR, &err), &err);
    run(other, &r); /* a longer conversation */
    assert_ptr_equal(engine()->priors.newest, first);
    assert_ptr_equal(engine()->priors.oldest, first);
    tools[0].description = "something else";
    run(other, &r);
    assert_ptr_equal(engine()->priors.oldest, first);
    assert_ptr_not_equal(engine()->priors.newest, first);
    tools[0].description = NULL;
    run(other, &r);
    assert_ptr_equal(engine()->priors.newest, first);
    aios_session_free(other);
}

static void priors_are_kept_up_to_a_bound_of_bytes(void **state)
{
    (void)state;
    static char name[AIOS__OPTIONS_MAX][64], told[16];
    aios_error err = AIOS_INIT(aios_error);
    aios_request r = request();
    aios__prior *last = NULL;
    uint64_t first[2] = {0};
    r.n_tools = AIOS__OPTIONS_MAX;
    for (int i = 0; i < AIOS__OPTIONS_MAX; i++) {
        snprintf(name[i], sizeof name[i], "tool_%d_with_a_name_that_is_rather_long_so_that_it_takes_room", i);
        tools[i] = (aios_tool_def)AIOS_INIT(aios_tool_def);
        tools[i].name = name[i];
        tools[i].description = told;
    }
    for (int i = 0; i < 60; i++) {
        snprintf(told, sizeof told, "%d", i);
        must(aios__prior_get(engine(), &r, &last, &err), &err);
        assert_false(last->measured);
        assert_int_equal(aios__prior_find(last, name[99], strlen(name[99])), 99);
        assert_int_equal(aios__prior_find(last, name[99], strlen(name[99]) - 1), AIOS__OPTIONS_MAX);
        if (!i)
            memcpy(first, last->key, sizeof first);
        last->measured = true;
        aios__prior_keep(engine(), last);
        aios__prior_drop(engine(), last);
        assert_true(engine()->priors.n_bytes <= 1 << 20);
        assert_ptr_equal(engine()->priors.newest, last);
    }
    assert_true(memcmp(engine()->priors.oldest->key, first, sizeof first) != 0);
    size_t sum = 0;
    for (aios__prior *p = engine()->priors.oldest; p; p = p->newer)
        sum += p->n_bytes;
    assert_int_equal(sum, engine()->priors.n_bytes);
    assert_true(sum > 1 << 19);
}

static void every_allocation_of_a_choice_may_fail(void **state)
{
    (void)state;
    test_heap h = {0};
    long n_failed = 0;
    aios_transcript *old = chat;
    aios_ctx *old_ctx = ctx;
    close_model();
    ctx = test_ctx(&h, 0);
    aios_error err = AIOS_INIT(aios_error);
    must(aios_transcript_new(ctx, &chat, &err), &err);
    must(aios_transcript_add_text(chat, AIOS_ROLE_USER, "rain?", AIOS_CSTR, &err), &err);
    open_model(1);
    aios_request r = request();
    for (long i = 1;; i++) {
        long live = h.live;
        h.n_allocs = 0;
        h.fail_at = i;
        outcome o = run(session, &r);
        if (!test_heap_heal(&h))
            break;
        n_failed += o.code < 0;
        assert_true(o.code < 0 || o.n_calls == 1);
        aios__priors_free(engine());
        assert_true(h.live <= live + 400); /* blocks of what was computed stay */
    }
    assert_true(n_failed > 50);
    aios_transcript_free(chat);
    close_model();
    aios_ctx_free(ctx);
    assert_int_equal(h.live, 0);
    chat = old;
    ctx = old_ctx;
    open_model(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CHOICE(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
        CHOICE(names_are_scored_by_the_logits_where_they_part),
        CHOICE(a_word_of_the_request_speaks_for_the_tool_that_has_it),
        CHOICE(switched_off_names_are_chosen_token_by_token),
        CHOICE(scores_do_not_depend_on_threads_batch_or_history),
        CHOICE(a_narrow_margin_ends_the_turn_as_unsure),
        CHOICE(a_prior_is_measured_once_for_all_sessions),
        CHOICE(priors_are_kept_up_to_a_bound_of_bytes),
        CHOICE(every_allocation_of_a_choice_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Probabilities of a reply's tokens over a small random model, against logits read one by one; asking for them changes no reply. */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "backend/gguf/gguf.h"
#include "base/json.h"
#include "net_make.h"

#define SCHEMA "{\"enum\":[\"cat\",\"cow\",\"dog\"]}"

enum { TOP = 4, N_TOKENS = 40 };

static char uri[64];
static aios_ctx *ctx;
static aios_model *model;
static aios_session *session;
static char reply[4096];
static aios__buf tokens; /* arrays of all events, one a line */

static int begin(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    net_make make = {.arch = "llama", .dtype = 8, .template_text = net_chatml, .tied = 1, .n_ctx = 512};
    net_file(&make, uri);
    ctx = test_ctx(NULL, 0);
    cfg.n_threads = 2;
    must(aios_model_open(ctx, uri, &cfg, &model, &err), &err);
    must(aios_session_new(model, NULL, &session, &err), &err);
    aios__buf_init(&tokens, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    aios__buf_free(&tokens);
    aios_session_free(session);
    aios_model_close(model);
    aios_ctx_free(ctx);
    unlink(uri + 5);
    return 0;
}

static void run(uint32_t flags, const char *schema)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = AIOS_INIT(aios_request);
    const aios_event *ev;
    int rc;
    q.raw = "once upon";
    q.n_raw = AIOS_CSTR;
    q.flags = flags;
    q.n_top = flags & AIOS_REQUEST_LOGPROBS ? TOP : 0;
    q.max_tokens = N_TOKENS;
    q.schema_json = schema;
    aios__buf_clear(&tokens);
    must(aios_session_start(session, &q, &err), &err);
    while ((rc = aios_session_next(session, -1, &ev)) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_LOGPROBS)
            must(aios__buf_addf(&tokens, &err, "%s\n", ev->text), &err);
        if (ev->type == AIOS_EVENT_ERROR)
            fail_msg("%s", ev->error->msg);
        if (ev->type == AIOS_EVENT_DONE)
            snprintf(reply, sizeof reply, "%s", ev->text);
    }
    assert_int_equal(rc, AIOS_DONE);
}

/* The likeliest that may be chosen; *scale: the logarithm of the sum of exponentials. */
static int32_t best_of(const aios__vocab *v, const float *row, uint32_t n, double *scale)
{
    int32_t best = -1;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += exp((double)row[i]);
        if (!aios__vocab_is_end(v, (int32_t)i) && (best < 0 || row[i] > row[best]))
            best = (int32_t)i;
    }
    *scale = log(sum);
    return best;
}

/* The k-th largest, from 0. */
static float nth(const float *row, uint32_t n, uint32_t k)
{
    float last = INFINITY;
    for (uint32_t seen = 0; seen <= k;) {
        float most = -INFINITY;
        uint32_t same = 0;
        for (uint32_t i = 0; i < n; i++)
            if (row[i] < last && row[i] >= most) {
                same = row[i] > most ? 1 : same + 1;
                most = row[i];
            }
        seen += same;
        last = most;
    }
    return last;
}

static void check_token(const aios__json *t, const char *piece, size_t n_piece, const float *row, uint32_t n, int32_t id, double scale)
{
    const aios__json *top = aios__json_get(t, "top");
    size_t n_text;
    const char *text = aios__json_str(aios__json_get(t, "token"), &n_text);
    assert_non_null(text);
    if (aios__utf8_valid(piece, n_piece)) {
        assert_int_equal(n_text, n_piece);
        assert_memory_equal(text, piece, n_piece);
    } else {
        assert_int_equal(aios__json_count(aios__json_get(t, "bytes")), n_piece);
    }
    assert_true(fabs(aios__json_real(aios__json_get(t, "logprob"), 9) - ((double)row[id] - scale)) < 1e-4);
    assert_int_equal(aios__json_count(top), TOP);
    for (uint32_t k = 0; k < TOP; k++)
        assert_true(fabs(aios__json_real(aios__json_get(aios__json_at(top, k), "logprob"), 9) - ((double)nth(row, n, k) - scale)) < 1e-4);
}

static void they_are_those_of_the_logits(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    const aios__gguf_model *m = aios__model_self(model, "gguf");
    uint32_t n_vocab = m->net->hp.n_vocab, n_ids, seen = 0;
    float *row = malloc(n_vocab * sizeof *row);
    int32_t ids[64];
    aios_session *s;
    run(AIOS_REQUEST_LOGPROBS | AIOS_REQUEST_IGNORE_EOS, NULL);
    must(aios_model_tokenize(model, "once upon", AIOS_CSTR, AIOS_TOKENIZE_BOS | AIOS_TOKENIZE_SPECIAL, ids, 64, &n_ids, &err), &err);
    must(aios_session_new(model, NULL, &s, &err), &err);
    for (char *line = tokens.p, *eol; (eol = strchr(line, '\n')); line = eol + 1) {
        aios__json_doc *doc;
        must(aios__json_parse_exact(tokens.heap, line, (size_t)(eol - line), &doc, &err), &err);
        for (size_t i = 0; i < aios__json_count(aios__json_root(doc)); i++) {
            size_t n = 0;
            double scale;
            do { /* tokens without a text are none of the reply */
                must(aios_session_eval(s, ids, n_ids, row, 1, &err), &err);
                ids[0] = best_of(m->vocab, row, n_vocab, &scale);
                n_ids = 1;
                aios__turn_text(m, ids[0], &n);
            } while (!n);
            check_token(aios__json_at(aios__json_root(doc), i), aios__turn_text(m, ids[0], &n), n, row, n_vocab, ids[0], scale);
            seen++;
        }
        aios__json_free(doc);
    }
    assert_true(seen >= 8);
    aios_session_free(s);
    free(row);
}

static void asking_changes_no_reply(void **state)
{
    (void)state;
    static const char *const schemas[] = {NULL, SCHEMA};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(schemas); i++) {
        char before[sizeof reply];
        run(0, schemas[i]);
        assert_int_equal(tokens.n, 0);
        memcpy(before, reply, sizeof reply);
        run(AIOS_REQUEST_LOGPROBS, schemas[i]);
        assert_string_equal(reply, before);
    }
}

/* Their texts make up the reply; what had to come is marked. */
static void under_a_schema_forced_text_is_told_apart(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    char said[256] = "";
    uint32_t n_forced = 0, n_chosen = 0;
    run(AIOS_REQUEST_LOGPROBS, SCHEMA);
    for (char *line = tokens.p, *eol; (eol = strchr(line, '\n')); line = eol + 1) {
        aios__json_doc *doc;
        must(aios__json_parse_exact(tokens.heap, line, (size_t)(eol - line), &doc, &err), &err);
        for (size_t i = 0; i < aios__json_count(aios__json_root(doc)); i++) {
            const aios__json *t = aios__json_at(aios__json_root(doc), i);
            bool forced = aios__json_get(t, "forced");
            strncat(said, aios__json_str(aios__json_get(t, "token"), NULL), sizeof said - strlen(said) - 1);
            n_forced += forced;
            n_chosen += !forced;
            assert_int_equal(aios__json_count(aios__json_get(t, "top")), forced ? 0 : TOP);
            assert_true(forced == (aios__json_real(aios__json_get(t, "logprob"), 9) >= 0));
        }
        aios__json_free(doc);
    }
    assert_string_equal(said, reply);
    assert_true(n_forced && n_chosen);
}

static void requests_are_checked(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = AIOS_INIT(aios_request);
    aios_model *echo;
    aios_session *s;
    q.raw = "x";
    q.n_raw = 1;
    q.n_top = 1;
    assert_int_equal(aios_session_start(session, &q, &err), AIOS_EINVAL);
    q.flags = AIOS_REQUEST_LOGPROBS;
    q.n_top = 21;
    assert_int_equal(aios_session_start(session, &q, &err), AIOS_EINVAL);
    q.n_top = 0;
    must(aios_model_open(ctx, "echo:", NULL, &echo, &err), &err);
    must(aios_session_new(echo, NULL, &s, &err), &err);
    assert_int_equal(aios_session_start(s, &q, &err), AIOS_ENOTSUP);
    aios_session_free(s);
    aios_model_close(echo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_those_of_the_logits),
        cmocka_unit_test(asking_changes_no_reply),
        cmocka_unit_test(under_a_schema_forced_text_is_told_apart),
        cmocka_unit_test(requests_are_checked),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "llm/llm.h"

/* A backend whose open fails with the code that its path names. */
static int code_of(const char *name)
{
#define X(n, number, text)                                                                                             \
    if (!strcmp(name, #n))                                                                                             \
        return number;
    AIOS_CODES(X)
#undef X
    return 0;
}

static int open_fails(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)user;
    *model = NULL;
    return aios__fail_need(err, code_of(args->path), 5, 9, "because %s", args->path);
}
static void close_none(void *model)
{
    (void)model;
}
static int session_none(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)model;
    (void)cfg;
    *session = NULL;
    return aios__fail(err, AIOS_ENOTSUP, "none");
}
static int start_none(void *session, const aios_request *req, aios_error *err)
{
    (void)session;
    (void)req;
    return aios__fail(err, AIOS_ENOTSUP, "none");
}
static int step_none(void *session, const aios_sink *sink, aios_error *err)
{
    (void)session;
    (void)sink;
    return aios__fail(err, AIOS_ENOTSUP, "none");
}

static aios_backend_ops failing(const char *name)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    ops.name = name;
    ops.open = open_fails;
    ops.close = close_none;
    ops.session_new = session_none;
    ops.session_free = close_none;
    ops.start = start_none;
    ops.step = step_none;
    return ops;
}

static void every_failure_has_a_typed_state(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int state;
    } rows[] = {
        {"ENOENT", AIOS_MODEL_NO_FILE},      {"EFORMAT", AIOS_MODEL_BAD_FILE},   {"ENOTSUP", AIOS_MODEL_UNSUPPORTED}, {"EVERSION", AIOS_MODEL_UNSUPPORTED},
        {"ENOMEM", AIOS_MODEL_NO_MEMORY},    {"EBUDGET", AIOS_MODEL_NO_MEMORY},  {"EDENIED", AIOS_MODEL_NO_ACCESS},   {"EAUTH", AIOS_MODEL_NO_ACCESS},
        {"EUNAVAIL", AIOS_MODEL_UNREACHABLE}, {"ETIMEDOUT", AIOS_MODEL_UNREACHABLE}, {"EIO", AIOS_MODEL_FAILED},      {"EINTERNAL", AIOS_MODEL_FAILED},
    };
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    aios_backend_ops ops = failing("fail");
    assert_int_equal(aios_backend_register(ctx, &ops, NULL, NULL), 0);
    assert_int_equal(aios_backend_register(ctx, &ops, NULL, NULL), AIOS_EEXIST);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char uri[64];
        aios_model *m;
        aios_error err = AIOS_INIT(aios_error);
        aios_model_status st = AIOS_INIT(aios_model_status);
        snprintf(uri, sizeof uri, "fail:%s", rows[i].code);
        assert_int_equal(aios_model_probe(ctx, uri, NULL, &st), 0);
        assert_int_equal(st.state, rows[i].state);
        assert_int_equal(aios_model_open(ctx, uri, NULL, &m, &err), st.code);
        assert_string_equal(err.msg, st.msg);
        assert_int_equal(st.have, 5);
        assert_int_equal(st.need, 9);
        assert_null(m);
    }
    aios_ctx_free(ctx);
    assert_int_equal(h.live, 0);
}

static void uris_find_their_backend_or_say_why_not(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_model_open(ctx, "nosuch:x", NULL, &m, &err), AIOS_ENOTSUP);
    assert_non_null(strstr(err.msg, "nosuch"));
    assert_int_equal(aios_model_open(ctx, "", NULL, &m, &err), AIOS_EINVAL);
    assert_int_equal(aios_model_open(ctx, "model.bin", NULL, &m, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "gguf:model.bin"));
    assert_int_equal(aios_model_open(ctx, "openia:gpt", NULL, &m, &err), AIOS_ENOTSUP);
    assert_non_null(strstr(err.msg, "did you mean openai:?"));
    assert_int_equal(aios_model_open(ctx, "ollama", NULL, &m, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "did you mean ollama:?"));
    assert_int_equal(aios_model_open(ctx, "echo:\xff", NULL, &m, &err), AIOS_EINVAL);
    assert_int_equal(aios_model_open(ctx, "echo:dance", NULL, &m, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "dance"));
    assert_int_equal(aios_model_open(ctx, "echo:@/no/such/file", NULL, &m, &err), AIOS_ENOENT);
    assert_int_equal(aios_model_open(NULL, "echo:", NULL, &m, &err), AIOS_EINVAL);
    assert_int_equal(aios_model_open(ctx, NULL, NULL, &m, &err), AIOS_EINVAL);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    cfg.use_mmap = 7;
    assert_int_equal(aios_model_open(ctx, "echo:", &cfg, &m, &err), AIOS_EINVAL);
    cfg.use_mmap = 0;
    cfg.kv_bits = 5;
    assert_int_equal(aios_model_open(ctx, "echo:", &cfg, &m, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "kv_bits"));
    aios_backend_ops ops = failing("Bad Name");
    assert_int_equal(aios_backend_register(ctx, &ops, NULL, NULL), AIOS_EINVAL);
    ops = failing("nostep");
    ops.step = NULL;
    assert_int_equal(aios_backend_register(ctx, &ops, NULL, NULL), AIOS_EINVAL);
    aios_model_close(NULL);
    aios_ctx_free(ctx);
}

static int sink(void *user, const void *p, size_t n)
{
    strncat(user, p, n);
    return 0;
}

static void slots_that_are_missing_are_not_supported(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m;
    aios_session *s;
    int32_t id;
    uint32_t n;
    size_t n_bytes;
    float x[32];
    char text[512] = "";
    assert_int_equal(aios_model_open(ctx, "echo:", NULL, &m, NULL), 0);
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    assert_int_equal(aios_model_tokenize(m, "x", 1, 0, &id, 1, &n, NULL), AIOS_ENOTSUP);
    assert_int_equal(aios_model_detokenize(m, &id, 0, NULL, 0, &n_bytes, NULL), AIOS_ENOTSUP);
    assert_int_equal(aios_session_eval(s, &id, 1, x, 1, NULL), AIOS_ENOTSUP);
    assert_int_equal(aios_session_eval_batch(&s, &id, 1, x, NULL), AIOS_ENOTSUP);
    assert_int_equal(aios_model_embed(m, "abc", 3, x, 32, NULL), 0);
    assert_int_equal(aios_model_embed(m, "abc", 3, x, 31, NULL), AIOS_EINVAL);
    assert_int_equal(aios_model_inspect(ctx, "echo:say x", sink, text, NULL), 0);
    assert_non_null(strstr(text, "\"tensors\":[]"));
    aios_model_status st = AIOS_INIT(aios_model_status);
    aios_model_info info = AIOS_INIT(aios_model_info);
    assert_int_equal(aios_model_status_get(m, &st), 0);
    assert_int_equal(st.state, AIOS_MODEL_READY);
    assert_int_equal(aios_model_info_get(m, &info), 0);
    assert_string_equal(info.backend, "echo");
    assert_string_equal(info.quantization, "");
    assert_string_equal(aios_model_state_name(AIOS_MODEL_NO_FILE), "the file is missing");
    assert_string_equal(aios_model_state_name(99), "?");
    aios_model_close(m);
    aios_session_free(s);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_has_a_typed_state),
        cmocka_unit_test(uris_find_their_backend_or_say_why_not),
        cmocka_unit_test(slots_that_are_missing_are_not_supported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

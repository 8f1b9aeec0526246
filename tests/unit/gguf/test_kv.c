/* SPDX-License-Identifier: Apache-2.0 */
/* What caches share: the same bits as without sharing, nothing computed twice, memory that is there for whoever needs it. */
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <unistd.h>

#include "backend/gguf/net.h"
#include "net_make.h"

enum { VOCAB = 262, MOST = 420 };

typedef struct rig {
    aios_ctx *ctx;
    aios__gguf *g;
    aios__net *net;
    net_make make;
} rig;

static void rig_open_as(rig *r, const char *arch, uint32_t n_layer, uint64_t budget, int32_t kv_type)
{
    aios_error err = AIOS_INIT(aios_error);
    memset(r, 0, sizeof *r);
    r->make = (net_make){.arch = arch, .dtype = 8, .n_layer = n_layer, .n_ctx = 1024};
    net_build(&r->make);
    r->ctx = test_ctx(NULL, budget);
    must(aios__gguf_open_mem(r->ctx, r->make.p, r->make.n, "made", &r->g, &err), &err);
    must(aios__net_open(r->ctx, r->g, &(aios__load_args){.n_threads = 2, .kv_type = kv_type}, &r->net, &err), &err);
}

static void rig_open(rig *r, const char *arch, uint32_t n_layer, uint64_t budget)
{
    rig_open_as(r, arch, n_layer, budget, AIOS__KV_I16);
}

static void rig_close(rig *r)
{
    aios__net_free(r->net);
    aios__gguf_close(r->g);
    aios_ctx_free(r->ctx);
    free(r->make.p);
}

static aios__kv *kv_new(rig *r)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__kv *kv = NULL;
    must(aios__kv_new(r->net, 1024, &kv, &err), &err);
    return kv;
}

static void eval(aios__kv *kv, const int32_t *ids, uint32_t n, float *logits)
{
    aios_error err = AIOS_INIT(aios_error);
    must(aios__kv_eval(kv, ids, n, logits, logits ? 1 : 0, &err), &err);
}

/* Logits behind n ids, of a cache that shares nothing. */
static void eval_alone(rig *r, const int32_t *ids, uint32_t n, float *logits)
{
    aios__kv *kv = kv_new(r);
    kv->unshared = true;
    eval(kv, ids, n, logits);
    aios__kv_free(kv);
}

static void assert_same(const float *a, const float *b)
{
    for (int i = 0; i < VOCAB; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("token %d: %.9g is not %.9g", i, (double)a[i], (double)b[i]);
}

static void fill(int32_t *ids, uint32_t n, uint32_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)((seed * 131 + i * 37 + i / 7) % 256);
}

static void read_ids(const aios__kv *kv, int32_t *ids)
{
    for (uint32_t i = 0; i < kv->n; i++)
        ids[i] = *aios__kv_id(kv, i);
}

static uint32_t count_windows(const aios__kv *kv)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < kv->n_blocks; i++)
        n += kv->blocks[i]->part[AIOS__KV_WINDOW].data != NULL;
    return n;
}

static void a_beginning_is_taken_from_another_cache_and_gives_the_same_bits(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        uint32_t n_layer;
    } models[] = {{"llama", 3}, {"gemma3", 3}, {"gemma3", 7}};
    static const uint32_t shared[] = {0, 1, 63, 64, 65, 127, 200, 256, 299};
    for (size_t m = 0; m < AIOS__ARRAY_LEN(models); m++) {
        rig r;
        float got[VOCAB], want[VOCAB];
        int32_t first[300], ids[301];
        rig_open(&r, models[m].arch, models[m].n_layer, 0);
        fill(first, 300, 1);
        aios__kv *a = kv_new(&r);
        eval(a, first, 300, NULL);
        aios__kv_settle(a);
        for (size_t i = 0; i < AIOS__ARRAY_LEN(shared); i++) {
            fill(ids, 301, 2 + (uint32_t)i);
            memcpy(ids, first, shared[i] * sizeof *ids);
            ids[shared[i]] = first[shared[i]] ^ 1;
            aios__kv *b = kv_new(&r);
            assert_int_equal(aios__kv_resume(b, ids, 300), shared[i]);
            eval(b, ids + shared[i], 301 - shared[i], got);
            eval_alone(&r, ids, 301, want);
            assert_same(got, want);
            b->unshared = true; /* so that the next one finds only the first */
            aios__kv_free(b);
        }
        aios__kv_free(a);
        rig_close(&r);
    }
}

static void the_same_tokens_behind_another_beginning_are_no_match(void **state)
{
    (void)state;
    rig r;
    int32_t ids[200];
    rig_open(&r, "llama", 2, 0);
    fill(ids, 200, 1);
    aios__kv *a = kv_new(&r), *b = kv_new(&r);
    eval(a, ids, 200, NULL);
    aios__kv_free(a);
    ids[0] ^= 1;
    assert_int_equal(aios__kv_resume(b, ids, 199), 0);
    ids[0] ^= 1;
    ids[70] ^= 1;
    assert_int_equal(aios__kv_resume(b, ids, 199), 70);
    assert_int_equal(aios__kv_resume(b, ids + 64, 100), 0);
    aios__kv_free(b);
    rig_close(&r);
}

/* Random lives of a few caches: whatever they share, each next token is as if computed alone. */
static void live(rig *r, uint32_t seed, uint32_t n_steps)
{
    enum { CACHES = 5 };
    aios_error err = AIOS_INIT(aios_error);
    aios__kv *kvs[CACHES];
    static int32_t ids[MOST + 1];
    float got[VOCAB], want[VOCAB];
    uint64_t x = seed;
    for (int i = 0; i < CACHES; i++)
        kvs[i] = kv_new(r);
    for (uint32_t step = 0; step < n_steps; step++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint32_t a = (uint32_t)(x >> 33) % CACHES, b = (uint32_t)(x >> 40) % CACHES, n = (uint32_t)(x >> 45) % 100 + 1;
        aios__kv *kv = kvs[a];
        switch ((x >> 55) % 5) {
        case 0: /* on a common path, or off it */
            fill(ids, MOST, (uint32_t)(x >> 60) % 3);
            aios__kv_resume(kv, ids, n * 4 < MOST ? n * 4 : MOST);
            break;
        case 1:
            aios__kv_truncate(kv, kv->n - (n < kv->n ? n : kv->n));
            break;
        case 2: { /* back, and forth again */
            uint32_t back = kv->n - (n / 2 < kv->n ? n / 2 : kv->n);
            read_ids(kv, ids);
            aios__kv_truncate(kv, back);
            if (kv->n < back)
                eval(kv, ids + kv->n, back - kv->n, NULL);
            break;
        }
        case 3:
            if (a == b)
                break;
            aios__kv_free(kvs[b]);
            must(aios__kv_fork(kv, &kvs[b], &err), &err);
            break;
        default:
            n = n < MOST - kv->n ? n : MOST - kv->n;
            fill(ids, MOST, (uint32_t)(x >> 60) % 3);
            if (n)
                eval(kv, ids + kv->n, n, NULL);
        }
        if (kv->n == MOST)
            aios__kv_truncate(kv, (uint32_t)(x >> 50) % 64);
        read_ids(kv, ids);
        ids[kv->n] = (int32_t)(x >> 59);
        uint32_t len = kv->n + 1;
        eval(kv, ids + kv->n, 1, got);
        eval_alone(r, ids, len, want);
        assert_same(got, want);
        assert_true(r->net->kv.idle_bytes <= r->net->kv.idle_max);
    }
    for (int i = 0; i < CACHES; i++)
        aios__kv_free(kvs[i]);
}

static void caches_that_live_together_compute_what_each_would_alone(void **state)
{
    (void)state;
    for (uint32_t m = 0; m < 3; m++) {
        for (uint32_t tight = 0; tight < 3; tight++) {
            rig r;
            rig_open_as(&r, m ? "gemma3" : "qwen3", m == 2 ? 7 : 2, 0, (int32_t)((m + tight) % AIOS__KV_TYPES));
            if (tight) /* a few idle parts, or none */
                r.net->kv.idle_max = tight == 1 ? 6 * (r.net->kv.part_bytes[0] + r.net->kv.part_bytes[1]) : 0;
            live(&r, 7 + m, 150);
            rig_close(&r);
        }
    }
}

static void equal_blocks_become_one(void **state)
{
    (void)state;
    rig r;
    int32_t ids[256];
    rig_open(&r, "gemma3", 7, 0);
    fill(ids, 256, 1);
    aios__kv *a = kv_new(&r), *b = kv_new(&r);
    eval(a, ids, 256, NULL);
    eval(b, ids, 256, NULL);
    aios__kv_settle(a);
    aios__kv_settle(b);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(a->blocks[i], b->blocks[i]);
    aios__kv_free(a);
    assert_int_equal(r.net->kv.idle_bytes, 0);
    aios__kv_free(b);
    assert_int_equal(r.net->kv.idle_bytes, 4 * (r.net->kv.part_bytes[0] + r.net->kv.part_bytes[1]));
    rig_close(&r);
}

static void window_layers_keep_only_their_window(void **state)
{
    (void)state;
    rig r;
    int32_t ids[1000];
    float got[VOCAB], want[VOCAB];
    rig_open(&r, "gemma3", 7, 0);
    r.net->kv.idle_max = 0;
    fill(ids, 1000, 1);
    aios__kv *kv = kv_new(&r);
    for (uint32_t i = 0; i < 999; i += i < 896 ? 64 : 1) {
        eval(kv, ids + i, i < 896 ? 64 : 1, NULL);
        if (i > 200 && count_windows(kv) > 4) /* 40 positions, a page to step back, what was just written */
            fail_msg("%u window parts of %u blocks at %u", count_windows(kv), kv->n_blocks, kv->n);
    }
    assert_int_equal(kv->n_blocks, 16);
    eval(kv, ids + 999, 1, got);
    eval_alone(&r, ids, 1000, want);
    assert_same(got, want);
    aios__kv_truncate(kv, 999 - 64); /* a page back always works */
    assert_int_equal(kv->n, 999 - 64);
    aios__kv_truncate(kv, 500); /* what the window layers would see there is gone */
    assert_int_equal(kv->n, 0);
    eval(kv, ids, 1000, NULL);
    eval(kv, ids, 1, NULL);
    aios__kv_truncate(kv, 600);
    eval(kv, ids + kv->n, 601 - kv->n, got);
    eval_alone(&r, ids, 601, want);
    assert_same(got, want);
    aios__kv_free(kv);
    rig_close(&r);
}

static void fewer_bits_take_less_memory_and_change_little(void **state)
{
    (void)state;
    int32_t ids[200];
    float logits[AIOS__KV_TYPES][VOCAB];
    size_t bytes[AIOS__KV_TYPES];
    fill(ids, 200, 1);
    for (int32_t t = 0; t < AIOS__KV_TYPES; t++) {
        rig r;
        rig_open_as(&r, "llama", 3, 0, t);
        aios__kv *kv = kv_new(&r);
        eval(kv, ids, 200, logits[t]);
        bytes[t] = r.net->kv.part_bytes[0];
        aios__kv_free(kv);
        rig_close(&r);
        float top = 0, off = 0;
        for (int i = 0; i < VOCAB; i++) {
            top = fmaxf(top, fabsf(logits[0][i]));
            off = fmaxf(off, fabsf(logits[t][i] - logits[0][i]));
        }
        if ((t && off == 0) || off > top * (t == AIOS__KV_I4 ? 0.25f : 0.02f))
            fail_msg("type %d: %g of %g", t, (double)off, (double)top);
    }
    assert_true(bytes[1] < bytes[0] * 6 / 10 && bytes[2] < bytes[1] * 6 / 10);
}

static void idle_blocks_are_bounded_and_the_oldest_go_first(void **state)
{
    (void)state;
    rig r;
    int32_t ids[128];
    rig_open(&r, "llama", 2, 0);
    size_t part = r.net->kv.part_bytes[0];
    r.net->kv.idle_max = 4 * part;
    for (uint32_t i = 0; i < 5; i++) {
        aios__kv *kv = kv_new(&r);
        fill(ids, 128, i);
        ids[0] = (int32_t)i;
        eval(kv, ids, 128, NULL);
        aios__kv_free(kv);
        assert_int_equal(r.net->kv.idle_bytes, (i ? 4 : 2) * part);
    }
    for (uint32_t i = 5; i-- > 0;) {
        aios__kv *kv = kv_new(&r);
        fill(ids, 128, i);
        ids[0] = (int32_t)i;
        assert_int_equal(aios__kv_resume(kv, ids, 128), i > 2 ? 128 : 0);
        aios__kv_free(kv);
    }
    rig_close(&r);
}

static void idle_blocks_go_before_an_allocation_fails(void **state)
{
    (void)state;
    rig r;
    int32_t ids[1000];
    rig_open(&r, "gemma3", 7, 64u << 20);
    r.net->kv.idle_max = SIZE_MAX;
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(r.ctx, &before);
    for (uint32_t i = 0; i < 8; i++) {
        aios__kv *kv = kv_new(&r);
        fill(ids, 1000, i);
        ids[0] = (int32_t)i;
        eval(kv, ids, 1000, NULL);
        aios__kv_free(kv);
    }
    aios_ctx_usage(r.ctx, &after);
    assert_true(after.used > before.used + (4u << 20));
    void *p = aios__alloc(aios__ctx_heap(r.ctx), AIOS_MEM_OTHER, (size_t)(after.budget - before.used) - 32768, NULL);
    assert_non_null(p);
    aios__free(aios__ctx_heap(r.ctx), p);
    aios_ctx_usage(r.ctx, &after);
    assert_int_equal(after.refused, 0);
    assert_in_range(after.used, before.used, before.used + 32768); /* lists of pages, of slabs and the parts of a long row have grown */
    assert_int_equal(r.net->kv.idle_bytes, 0);
    eval_alone(&r, ids, 100, (float[VOCAB]){0});
    assert_int_equal(aios_ctx_set_budget(r.ctx, before.used + 32768, NULL), 0);
    rig_close(&r);
}

static void a_fork_of_a_cache_leaves_what_it_shares_alone(void **state)
{
    (void)state;
    rig r;
    aios_error err = AIOS_INIT(aios_error);
    int32_t ids[101];
    float got[VOCAB], want[VOCAB];
    rig_open(&r, "llama", 3, 0);
    fill(ids, 101, 1);
    aios__kv *a = kv_new(&r), *b = NULL;
    eval(a, ids, 70, NULL);
    must(aios__kv_fork(a, &b, &err), &err);
    eval(a, (int32_t[]){1, 2, 3}, 3, NULL);
    eval(b, ids + 70, 30, NULL);
    aios__kv_truncate(b, 68);
    eval(b, ids + 68, 32, NULL);
    eval(b, ids + 100, 1, got);
    eval_alone(&r, ids, 101, want);
    assert_same(got, want);
    aios__kv_free(a);
    aios__kv_free(b);
    rig_close(&r);
}

/* ---- threads ------------------------------------------------------------------------------------------------------ */

typedef struct worker {
    rig *r;
    uint32_t seed;
    int bad;
} worker;

static void *run_worker(void *arg)
{
    worker *w = arg;
    int32_t ids[300];
    float logits[VOCAB];
    for (uint32_t i = 0; i < 12; i++) {
        aios__kv *kv = NULL;
        if (aios__kv_new(w->r->net, 300, &kv, NULL))
            w->bad++;
        fill(ids, 300, 1);
        for (uint32_t k = 90 + (w->seed + i) % 3 * 50; k < 300; k++) /* common beginnings of several lengths */
            ids[k] = (int32_t)((w->seed % 2 + k) % 256);
        for (uint32_t n = aios__kv_resume(kv, ids, 299); n < 300; n = kv->n)
            w->bad += aios__kv_eval(kv, ids + n, 300 - n < 50 ? 300 - n : 50, logits, 1, NULL) != 0;
        aios__kv_free(kv);
    }
    return NULL;
}

static void threads_share_one_store(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    rig r;
    pthread_t th[THREADS];
    worker w[THREADS];
    rig_open(&r, "gemma3", 7, 0);
    r.net->kv.idle_max = 10 * (r.net->kv.part_bytes[0] + r.net->kv.part_bytes[1]);
    for (uint32_t i = 0; i < THREADS; i++) {
        w[i] = (worker){.r = &r, .seed = i};
        assert_int_equal(pthread_create(&th[i], NULL, run_worker, &w[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(th[i], NULL);
        assert_int_equal(w[i].bad, 0);
    }
    live(&r, 3, 40);
    rig_close(&r);
}

/* ---- through the public functions --------------------------------------------------------------------------------- */

typedef struct reply {
    char text[256];
    aios_usage usage;
} reply;

static reply ask(aios_session *s, aios_ctx *ctx, const char *system, const char *user)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t = NULL;
    aios_request q = AIOS_INIT(aios_request);
    const aios_event *ev;
    reply out = {0};
    must(aios_transcript_new(ctx, &t, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_SYSTEM, system, AIOS_CSTR, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, user, AIOS_CSTR, &err), &err);
    q.transcript = t;
    q.max_tokens = 20;
    q.flags = AIOS_REQUEST_IGNORE_EOS;
    must(aios_session_start(s, &q, &err), &err);
    while (aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_USAGE)
            out.usage = *ev->usage;
        if (ev->type == AIOS_EVENT_TEXT)
            strncat(out.text, ev->text, sizeof out.text - strlen(out.text) - 1);
    }
    aios_transcript_free(t);
    return out;
}

static aios_model *open_model(aios_ctx *ctx, const char *uri)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_model *m = NULL;
    cfg.n_threads = 2;
    must(aios_model_open(ctx, uri, &cfg, &m, &err), &err);
    return m;
}

static void sessions_with_one_system_prompt_compute_it_once(void **state)
{
    (void)state;
    enum { SESSIONS = 6 };
    static const char tmpl[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
    static const char *const system = "This beginning is long enough for more than one block of the cache, and it does not end where a block ends: "
                                      "behind it stands what each of the users says, which is of course something else every time.";
    aios_error err = AIOS_INIT(aios_error);
    char uri[64], user[32];
    net_make make = {.arch = "gemma3", .dtype = 8, .n_layer = 7, .template_text = tmpl, .n_ctx = 1024};
    net_file(&make, uri);
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = open_model(ctx, uri);
    aios_session *s[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) {
        must(aios_session_new(m, NULL, &s[i], &err), &err);
        snprintf(user, sizeof user, "%d asks", i);
        reply got = ask(s[i], ctx, system, user);
        aios_model *other = open_model(ctx, uri);
        aios_session *fresh = NULL;
        must(aios_session_new(other, NULL, &fresh, &err), &err);
        reply want = ask(fresh, ctx, system, user);
        assert_string_equal(got.text, want.text);
        assert_int_equal(want.usage.cached, 0);
        assert_int_equal(got.usage.input, want.usage.input);
        /* new are the user's six bytes and what follows them: a control token, a newline, a control token, "assistant" */
        assert_int_equal(got.usage.input - got.usage.cached, i ? 6 + 3 + 9 : want.usage.input);
        aios_session_free(fresh);
        aios_model_close(other);
        if (i % 2)
            aios_session_free(s[i]); /* it makes no difference whether the others are still there */
    }
    for (int i = 0; i < SESSIONS; i += 2)
        aios_session_free(s[i]);
    aios_model_close(m);
    aios_ctx_free(ctx);
    unlink(uri + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_beginning_is_taken_from_another_cache_and_gives_the_same_bits),
        cmocka_unit_test(the_same_tokens_behind_another_beginning_are_no_match),
        cmocka_unit_test(caches_that_live_together_compute_what_each_would_alone),
        cmocka_unit_test(equal_blocks_become_one),
        cmocka_unit_test(window_layers_keep_only_their_window),
        cmocka_unit_test(fewer_bits_take_less_memory_and_change_little),
        cmocka_unit_test(idle_blocks_are_bounded_and_the_oldest_go_first),
        cmocka_unit_test(idle_blocks_go_before_an_allocation_fails),
        cmocka_unit_test(a_fork_of_a_cache_leaves_what_it_shares_alone),
        cmocka_unit_test(threads_share_one_store),
        cmocka_unit_test(sessions_with_one_system_prompt_compute_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

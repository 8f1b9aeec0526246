/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions in files: what was computed goes on elsewhere with the same bits, and no file harms who loads it. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "backend/gguf/net.h"
#include "base/cachefile.h"
#include "net_make.h"

enum { VOCAB = 262, MODEL = 7 };

/* As in kv_file.c. */
typedef struct header {
    char magic[8];
    uint32_t version, n_bytes;
    uint64_t model;
    uint32_t levels, page;
    uint64_t part_bytes[2];
    uint32_t n, first;
    uint64_t body_sum, sum;
} header;

static char dir[64], path[96];

static int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/aios-kvfile-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/session", dir);
    return 0;
}

static uint32_t count_files(void)
{
    uint32_t n = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

typedef struct rig {
    aios_ctx *ctx;
    aios__gguf *g;
    aios__net *net;
    aios__kv *kv;
    net_make make;
} rig;

static void rig_open(rig *r, const char *arch, const aios_env *env)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    memset(r, 0, sizeof *r);
    cfg.env = env;
    must(aios_ctx_new(&cfg, &r->ctx, &err), &err);
    r->make = (net_make){.arch = arch, .dtype = 8, .n_layer = 7, .n_ctx = 1024};
    net_build(&r->make);
    must(aios__gguf_open_mem(r->ctx, r->make.p, r->make.n, "made", &r->g, &err), &err);
    must(aios__net_load(r->ctx, r->g, 2, NULL, NULL, &r->net, &err), &err);
    must(aios__kv_new(r->net, 800, &r->kv, &err), &err);
}

static void rig_close(rig *r)
{
    aios__kv_free(r->kv);
    aios__net_free(r->net);
    aios__gguf_close(r->g);
    aios_ctx_free(r->ctx);
    free(r->make.p);
}

static void eval(rig *r, const int32_t *ids, uint32_t n, float *logits)
{
    aios_error err = AIOS_INIT(aios_error);
    for (uint32_t i = 0; i < n; i += 100)
        must(aios__kv_eval(r->kv, ids + i, n - i < 100 ? n - i : 100, logits, logits ? 1 : 0, &err), &err);
}

static void fill(int32_t *ids, uint32_t n, uint32_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)((seed * 131 + i * 37 + i / 7) % 256);
}

static void assert_same(const float *a, const float *b)
{
    for (int i = 0; i < VOCAB; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("token %d: %.9g is not %.9g", i, (double)a[i], (double)b[i]);
}

static void a_saved_session_goes_on_in_another_process_with_the_same_bits(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "gemma3"};
    static const uint32_t sizes[] = {0, 1, 63, 64, 200, 700};
    int32_t ids[701];
    float want[VOCAB], got[VOCAB];
    fill(ids, 701, 1);
    for (size_t a = 0; a < AIOS__ARRAY_LEN(archs); a++) {
        for (size_t i = 0; i < AIOS__ARRAY_LEN(sizes); i++) {
            aios_error err = AIOS_INIT(aios_error);
            rig first, second;
            uint32_t n = sizes[i];
            rig_open(&first, archs[a], NULL);
            eval(&first, ids, n, NULL);
            must(aios__kv_save(first.kv, MODEL, path, &err), &err);
            eval(&first, ids + n, 1, want);
            rig_close(&first);
            assert_int_equal(count_files(), 1);
            rig_open(&second, archs[a], NULL);
            eval(&second, (int32_t[]){9, 9, 9}, 3, NULL);
            must(aios__kv_load(second.kv, MODEL, path, &err), &err);
            assert_int_equal(second.kv->n, n);
            assert_int_equal(aios__kv_resume(second.kv, ids, n), n);
            eval(&second, ids + n, 1, got);
            assert_same(got, want);
            if (n > 70) {
                aios__kv_truncate(second.kv, n - 60);
                assert_int_equal(second.kv->n, n - 60);
                eval(&second, ids + n - 60, 61, got);
                assert_same(got, want);
            }
            rig_close(&second);
        }
    }
}

static void other_sessions_do_not_find_what_was_loaded(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    rig r;
    int32_t ids[200];
    fill(ids, 200, 1);
    rig_open(&r, "llama", NULL);
    eval(&r, ids, 150, NULL);
    must(aios__kv_save(r.kv, MODEL, path, &err), &err);
    rig_close(&r);
    rig_open(&r, "llama", NULL);
    must(aios__kv_load(r.kv, MODEL, path, &err), &err);
    eval(&r, ids + 150, 50, NULL);
    aios__kv_settle(r.kv);
    aios__kv *other = NULL, *fork = NULL;
    must(aios__kv_new(r.net, 800, &other, &err), &err);
    must(aios__kv_fork(r.kv, &fork, &err), &err);
    assert_int_equal(fork->n, 200);
    assert_int_equal(aios__kv_resume(other, ids, 199), 0);
    aios__kv_truncate(fork, 0);
    must(aios__kv_eval(fork, ids, 100, NULL, 0, &err), &err); /* from here on it is its own work */
    aios__kv_settle(fork);
    assert_int_equal(aios__kv_resume(other, ids, 199), 100);
    assert_int_equal(aios__kv_resume(r.kv, ids, 190), 190);
    aios__kv_free(other);
    aios__kv_free(fork);
    rig_close(&r);
}

/* ---- files that are not what they should be ----------------------------------------------------------------------- */

static uint8_t *read_file(size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*n + 1);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

static void write_file(const uint8_t *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

/* Loads what is there, which must fail and leave the cache alone. */
static int refuse(rig *r, const char *what)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__kv before = *r->kv;
    aios_mem_usage a = AIOS_INIT(aios_mem_usage), b = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(r->ctx, &a);
    int rc = aios__kv_load(r->kv, MODEL, path, &err);
    aios_ctx_usage(r->ctx, &b);
    if (rc >= 0 || rc != err.code || !strstr(err.msg, path) || memcmp(&before, r->kv, sizeof before) || b.by_kind[AIOS_MEM_OTHER] != a.by_kind[AIOS_MEM_OTHER])
        fail_msg("%s: %d: %s", what, rc, err.msg);
    return rc;
}

static void seal(uint8_t *p)
{
    header h;
    memcpy(&h, p, sizeof h);
    h.sum = aios__sum64(1, &h, offsetof(header, sum));
    memcpy(p, &h, sizeof h);
}

static void damaged_files_are_refused_and_leave_the_session_as_it_was(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    rig r;
    int32_t ids[300];
    size_t n;
    char what[64];
    fill(ids, 300, 1);
    rig_open(&r, "gemma3", NULL);
    eval(&r, ids, 300, NULL);
    must(aios__kv_save(r.kv, MODEL, path, &err), &err);
    uint8_t *whole = read_file(&n);
    for (size_t at = 0; at < n; at += at < sizeof(header) + 8 ? 1 : 9973) {
        whole[at] ^= (uint8_t)(1u << at % 8);
        write_file(whole, n);
        snprintf(what, sizeof what, "a bit of byte %zu", at);
        int rc = refuse(&r, what);
        assert_int_equal(rc, at >= 8 && at < 16 ? AIOS_EVERSION : AIOS_EFORMAT);
        whole[at] ^= (uint8_t)(1u << at % 8);
    }
    for (size_t cut = 0; cut < n; cut = cut < sizeof(header) + 8 ? cut + 7 : cut * 2) {
        write_file(whole, cut);
        assert_int_equal(refuse(&r, "cut off"), AIOS_EFORMAT);
    }
    whole[n] = 0;
    write_file(whole, n + 1);
    assert_int_equal(refuse(&r, "added to"), AIOS_EFORMAT);
    write_file(whole, n);
    must(aios__kv_load(r.kv, MODEL, path, &err), &err);
    free(whole);
    unlink(path);
    assert_int_equal(refuse(&r, "missing"), AIOS_ENOENT);
    rig_close(&r);
}

static void hostile_files_with_right_sums_are_refused(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 64, 191, 193, 299, 301, 801, 1u << 20, 1u << 31, UINT32_MAX};
    aios_error err = AIOS_INIT(aios_error);
    rig r;
    int32_t ids[300];
    size_t n;
    fill(ids, 300, 1);
    rig_open(&r, "gemma3", NULL);
    eval(&r, ids, 300, NULL);
    must(aios__kv_save(r.kv, MODEL, path, &err), &err);
    uint8_t *whole = read_file(&n);
    header good, h;
    memcpy(&good, whole, sizeof good);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(counts); i++) {
        for (int field = 0; field < 2; field++) {
            h = good;
            *(field ? &h.first : &h.n) = counts[i];
            if (h.first == good.first && h.n == good.n)
                continue;
            memcpy(whole, &h, sizeof h);
            seal(whole);
            write_file(whole, n);
            int rc = refuse(&r, "a count");
            assert_true(rc == AIOS_EFORMAT || rc == AIOS_ECONTEXT);
        }
    }
    const struct {
        size_t at;
        int code;
    } fields[] = {{offsetof(header, model), AIOS_EINVAL},      {offsetof(header, levels), AIOS_EINVAL},
                  {offsetof(header, page), AIOS_EINVAL},       {offsetof(header, part_bytes), AIOS_EINVAL},
                  {offsetof(header, part_bytes) + 15, AIOS_EINVAL}, {offsetof(header, version), AIOS_EVERSION}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(fields); i++) {
        memcpy(whole, &good, sizeof good);
        whole[fields[i].at] ^= 0x40;
        seal(whole);
        write_file(whole, n);
        assert_int_equal(refuse(&r, "a field"), fields[i].code);
    }
    for (int i = 0; i < 2; i++) { /* the sum of the body runs over what pass() was given: ids, then each part */
        memcpy(whole, &good, sizeof good);
        int32_t bad = i ? -1 : VOCAB;
        memcpy(whole + sizeof good + 40, &bad, 4);
        uint64_t sum = aios__sum64(MODEL, whole + sizeof good, 300 * 4);
        uint8_t *p = whole + sizeof good + 300 * 4;
        for (uint32_t c = 0; c < 2; c++)
            for (uint32_t b = c ? good.first : 0; b < 5; b++, p += good.part_bytes[c])
                sum = aios__sum64(sum, p, (size_t)good.part_bytes[c]);
        assert_ptr_equal(p, whole + n);
        h = good;
        h.body_sum = sum;
        memcpy(whole, &h, sizeof h);
        seal(whole);
        write_file(whole, n);
        assert_int_equal(refuse(&r, "a token"), AIOS_EFORMAT);
    }
    free(whole);
    rig_close(&r);
}

/* ---- disks -------------------------------------------------------------------------------------------------------- */

static aios_env real;
static long writes_left;
static bool sync_fails;

static int write_some(void *user, aios_file *f, uint64_t off, const void *p, size_t n, int32_t *sys)
{
    if (writes_left-- > 0)
        return real.file_write(user, f, off, p, n, sys);
    real.file_write(user, f, off, p, n / 2, sys);
    *sys = ENOSPC;
    return AIOS_EIO;
}

static int sync_maybe(void *user, aios_file *f, int32_t *sys)
{
    if (!sync_fails)
        return real.file_sync(user, f, sys);
    *sys = EIO;
    return AIOS_EIO;
}

static void a_full_disk_leaves_the_file_before_it_and_nothing_else(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    rig r;
    int32_t ids[200];
    size_t n, m;
    fill(ids, 200, 1);
    aios__env_default(&real);
    aios_env env = real;
    env.file_write = write_some;
    env.file_sync = sync_maybe;
    rig_open(&r, "llama", &env);
    eval(&r, ids, 200, NULL);
    for (int before = 0; before < 2; before++) {
        for (long k = 0; k < 6; k++) { /* tokens, four blocks, the header */
            writes_left = k;
            assert_int_equal(aios__kv_save(r.kv, MODEL, path, &err), AIOS_EIO);
            assert_int_equal(err.sys, ENOSPC);
            assert_int_equal(count_files(), before);
        }
        sync_fails = true;
        writes_left = 1000;
        assert_int_equal(aios__kv_save(r.kv, MODEL, path, &err), AIOS_EIO);
        assert_int_equal(count_files(), before);
        sync_fails = false;
        writes_left = 1000;
        must(aios__kv_save(r.kv, MODEL, path, &err), &err);
        assert_int_equal(count_files(), 1);
    }
    uint8_t *a = read_file(&n);
    writes_left = 3;
    assert_int_equal(aios__kv_save(r.kv, MODEL, path, &err), AIOS_EIO);
    uint8_t *b = read_file(&m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    char nowhere[128];
    snprintf(nowhere, sizeof nowhere, "%s/none/session", dir);
    assert_int_equal(aios__kv_save(r.kv, MODEL, nowhere, &err), AIOS_ENOENT);
    assert_int_equal(aios__kv_save(r.kv, MODEL, dir, &err), AIOS_EIO); /* a folder stands there */
    assert_int_equal(aios__kv_load(r.kv, MODEL, dir, &err), AIOS_EINVAL);
    rig_close(&r);
}

/* ---- through the public functions --------------------------------------------------------------------------------- */

static uint32_t complete(aios_session *s, char *text, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = AIOS_INIT(aios_request);
    const aios_event *ev;
    uint32_t cached = 0;
    q.raw = "Whoever reads this text reads a text of some length, to be kept in a file and taken from there.";
    q.n_raw = AIOS_CSTR;
    q.max_tokens = 30;
    q.flags = AIOS_REQUEST_IGNORE_EOS;
    must(aios_session_start(s, &q, &err), &err);
    text[0] = 0;
    while (aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_TEXT)
            strncat(text, ev->text, n - strlen(text) - 1);
        if (ev->type == AIOS_EVENT_USAGE)
            cached = ev->usage->cached;
    }
    return cached;
}

static void sessions_of_one_model_are_kept_and_those_of_others_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    char file[96], uri[112], first[300], again[300];
    for (uint64_t seed = 1; seed <= 3; seed++) { /* the same model twice, then another of the same shape */
        net_make make = {.arch = "qwen2", .dtype = 8, .n_ctx = 512, .seed = seed == 3 ? 2 : 1};
        aios_ctx *ctx = test_ctx(NULL, 0);
        aios_model *m = NULL;
        aios_session *s = NULL;
        net_build(&make);
        snprintf(file, sizeof file, "%s/model.gguf", dir);
        snprintf(uri, sizeof uri, "gguf:%s", file);
        FILE *f = fopen(file, "wb");
        assert_int_equal(fwrite(make.p, 1, make.n, f), make.n);
        fclose(f);
        must(aios_model_open(ctx, uri, NULL, &m, &err), &err);
        must(aios_session_new(m, NULL, &s, &err), &err);
        if (seed == 1) {
            assert_int_equal(complete(s, first, sizeof first), 0);
            must(aios_session_save(s, path, &err), &err);
        } else if (seed == 2) {
            must(aios_session_load(s, path, &err), &err);
            assert_int_equal(complete(s, again, sizeof again), 94);
            assert_string_equal(first, again);
        } else {
            assert_int_equal(aios_session_load(s, path, &err), AIOS_EINVAL);
            assert_non_null(strstr(err.msg, "another model"));
            assert_int_equal(complete(s, again, sizeof again), 0);
        }
        aios_session_free(s);
        aios_model_close(m);
        aios_ctx_free(ctx);
        free(make.p);
        unlink(file);
    }
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_model *m = NULL;
    aios_session *s = NULL;
    must(aios_model_open(ctx, "echo:say hi", NULL, &m, &err), &err);
    must(aios_session_new(m, NULL, &s, &err), &err);
    assert_int_equal(aios_session_save(s, path, &err), AIOS_ENOTSUP);
    assert_int_equal(aios_session_load(s, path, &err), AIOS_ENOTSUP);
    assert_int_equal(aios_session_load(s, "", &err), AIOS_EINVAL);
    assert_int_equal(aios_session_save(NULL, path, NULL), AIOS_EINVAL);
    aios_session_free(s);
    aios_model_close(m);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_saved_session_goes_on_in_another_process_with_the_same_bits, begin, end),
        cmocka_unit_test_setup_teardown(other_sessions_do_not_find_what_was_loaded, begin, end),
        cmocka_unit_test_setup_teardown(damaged_files_are_refused_and_leave_the_session_as_it_was, begin, end),
        cmocka_unit_test_setup_teardown(hostile_files_with_right_sums_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_the_file_before_it_and_nothing_else, begin, end),
        cmocka_unit_test_setup_teardown(sessions_of_one_model_are_kept_and_those_of_others_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

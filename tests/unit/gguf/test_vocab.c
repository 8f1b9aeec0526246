/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "shared_ctx.h"
#include "vocab_make.h"

#include <aios/token.h>

#include "backend/gguf/pretok.h"
#include "backend/gguf/vocab.h"

static gguf_make file;

typedef struct loaded {
    aios__gguf *g;
    aios__vocab *v;
} loaded;

static int load(aios_ctx *c, const gguf_make *m, loaded *l, aios_error *err)
{
    l->v = NULL;
    int rc = aios__gguf_open_mem(c, m->p, m->n, "vocab.gguf", &l->g, err);
    if (rc)
        return rc;
    rc = aios__vocab_new(c, l->g, &l->v, err);
    if (rc) {
        assert_null(l->v);
        aios__gguf_close(l->g);
    }
    return rc;
}

static void unload(loaded *l)
{
    aios__vocab_free(l->v);
    aios__gguf_close(l->g);
}

static loaded must_load(const gguf_make *m)
{
    aios_error err = AIOS_INIT(aios_error);
    loaded l;
    if (load(ctx, m, &l, &err))
        fail_msg("%s", err.msg);
    return l;
}

/* Ids as text, "1 2 3". */
static void expect(const aios__vocab *v, const char *s, size_t n, uint32_t flags, const char *want)
{
    char got[512] = "";
    aios__ids ids = {.heap = aios__ctx_heap(ctx)};
    assert_int_equal(aios__vocab_encode(v, s, n == AIOS_CSTR ? strlen(s) : n, flags, &ids, NULL), 0);
    for (uint32_t i = 0; i < ids.n; i++)
        sprintf(got + strlen(got), i ? " %d" : "%d", ids.p[i]);
    aios__ids_free(&ids);
    assert_string_equal(got, want);
}

/* ---- byte-level BPE ------------------------------------------------------------------------------------------- */

static void bpe_merges_by_rank_and_keeps_every_byte(void **state)
{
    (void)state;
    make_bpe(&file, "gpt-2");
    loaded l = must_load(&file);
    expect(l.v, "hello world", AIOS_CSTR, 0, "259 263");
    expect(l.v, "hell", AIOS_CSTR, 0, "258");
    expect(l.v, "\xc3\xa9", AIOS_CSTR, 0, "267");
    expect(l.v, "", 0, AIOS_TOKENIZE_BOS, "");
    expect(l.v, "\xff\0\x80", 3, 0, "255 0 128");
    expect(l.v, "aaaaaaa", AIOS_CSTR, 0, "266 265 97");
    size_t n = 0;
    assert_memory_equal(aios__vocab_piece(l.v, 263, &n), " world", 6);
    assert_int_equal(n, 6);
    assert_memory_equal(aios__vocab_piece(l.v, 10, &n), "\n", 1);
    assert_int_equal(n, 1);
    aios__vocab_piece(l.v, BPE_TOKENS, &n);
    assert_int_equal(n, 0);
    aios__vocab_piece(l.v, -1, &n);
    assert_int_equal(n, 0);
    unload(&l);
}

static void special_tokens_are_found_longest_first_and_only_if_asked_for(void **state)
{
    (void)state;
    make_bpe(&file, "gpt-2");
    loaded l = must_load(&file);
    expect(l.v, "<|end|>!<|end|>h<user>", AIOS_CSTR, AIOS_TOKENIZE_SPECIAL, "270 269 104 268");
    expect(l.v, "<|end|>", AIOS_CSTR, 0, "60 124 101 110 100 124 62");
    expect(l.v, "h<user>h", AIOS_CSTR, 0, "104 268 104");
    expect(l.v, "<|end|", AIOS_CSTR, AIOS_TOKENIZE_SPECIAL, "60 124 101 110 100 124");
    assert_true(aios__vocab_is_end(l.v, 269));
    assert_false(aios__vocab_is_end(l.v, 268));
    assert_int_equal(aios__vocab_eos(l.v), 269);
    assert_int_equal(aios__vocab_find(l.v, "<user>", 6), 268);
    assert_int_equal(aios__vocab_find(l.v, "<usex>", 6), -1);
    assert_int_equal(aios__vocab_type(l.v, 268), AIOS__TOKEN_USER);
    unload(&l);
}

/* ---- pre-tokenizers ------------------------------------------------------------------------------------------- */

/* Each word ends in |. */
static const struct {
    const char *pre, *text, *words;
} cuts[] = {
    {"gpt-2", "I'll don't WE'LL  x12 \n\n y!?", "I|'ll| don|'t| WE|'|LL| | x|12| \n\n| y|!?|"},
    {"gpt-2", "a\xc3\xa9\xcc\x81 \xe6\x97\xa5 \xc2\xa0z", "a\xc3\xa9|\xcc\x81| \xe6\x97\xa5| |\xc2\xa0|z|"},
    {"llama-bpe", "I'LL 12345 (x)\n\n  y  ", "I|'LL| |123|45| (|x|)\n\n| | y|  |"},
    {"qwen2", "a1234 !\r\n=b\t\tc", "a|1|2|3|4| !\r\n|=b|\t|\tc|"},
    {"qwen35", "e\xcc\x81x \xcc\x81y", "e\xcc\x81x| \xcc\x81y|"},
    {"smollm", "ab12 3", "ab|1|2| |3|"},
    {"gpt-4o", "CamelCase HTTPServer's 1234 a/b//\n", "Camel|Case| HTTPServer's| |123|4| a|/b|//\n|"},
    {"gpt-4o", "\xe6\x97\xa5" "BC aB\xcc\x81", "\xe6\x97\xa5|BC| a|B\xcc\x81|"},
    {"tekken", "It's 12", "It|'s| |1|2|"},
    {"falcon", "a.b, 12345 $x", "a|.|b|,| |123|45| |$|x|"},
    {"deepseek-v3", ".abc 1234 \xe6\x97\xa5\xe3\x81\x82z !?\n", ".abc| |123|4| |\xe6\x97\xa5\xe3\x81\x82|z| !?\n|"},
    {"deepseek-coder", "x+1 \xe4\xb8\x80z\n", "x|+|1| |\xe4\xb8\x80|z|\n|"},
    {"deepseek-llm", "ab, 12  ", "ab|,| |12|  |"},
    {"bloom", "a b.c  d", "a| b|.|c| | d|"},
    {"default", "a.b 1234", "a|.|b| |123|4|"},
    {"laguna", "a\n\nb", "a|\n\n|b|"},
    {"gpt-2", "\xff\xfe" "a\x80", "\xff\xfe|a|\x80|"},
};

static void words_are_cut_as_each_expression_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(cuts); i++) {
        const char *p, *want = cuts[i].words;
        size_t n;
        aios__words w;
        const aios__pretok *pre = aios__pretok_find(cuts[i].pre, strlen(cuts[i].pre));
        assert_non_null(pre);
        char got[256] = "";
        aios__words_init(&w, pre, cuts[i].text, strlen(cuts[i].text));
        while (aios__words_next(&w, &p, &n)) {
            strncat(got, p, n);
            strcat(got, "|");
        }
        if (strcmp(got, want))
            fail_msg("%s: %s\n got      %s\n expected %s", cuts[i].pre, cuts[i].text, got, want);
    }
    assert_null(aios__pretok_find("gpt-3", 5));
}

static void code_points_have_their_classes(void **state)
{
    (void)state;
    static const struct {
        uint32_t cp, cls;
    } rows[] = {{'A', UC_LU},        {'z', UC_LL},        {0x1c5, UC_LT},      {0x3042, UC_LO},    {0x2b0, UC_LO},      {0x301, UC_MARK},
                {'7', UC_NUMBER},    {0x2167, UC_NUMBER}, {'!', UC_PUNCT},     {'$', UC_SYMBOL},   {0x1f600, UC_SYMBOL}, {' ', UC_SPACE},
                {0x85, UC_SPACE},    {0x2028, UC_SPACE},  {0x200b, UC_OTHER},  {0xe000, UC_OTHER}, {0x10ffff, UC_OTHER}, {0x31350, UC_LO},
                {0x110000, UC_OTHER}, {0xe0100, UC_MARK}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (aios__unicode_class_of(rows[i].cp) != rows[i].cls)
            fail_msg("U+%04X is %u", rows[i].cp, aios__unicode_class_of(rows[i].cp));
}

/* ---- SentencePiece -------------------------------------------------------------------------------------------- */

static void spm_merges_by_score_and_falls_back_to_bytes(void **state)
{
    (void)state;
    make_spm(&file);
    loaded l = must_load(&file);
    expect(l.v, "ab", AIOS_CSTR, AIOS_TOKENIZE_BOS, "1 264");
    expect(l.v, "ab ab", AIOS_CSTR, 0, "264 264");
    expect(l.v, "abab", AIOS_CSTR, 0, "264 262");
    expect(l.v, "", 0, AIOS_TOKENIZE_BOS, "1");
    expect(l.v, "\xc3\xa9\xff", AIOS_CSTR, 0, "259 268 258");
    expect(l.v, "<s>a</s>b", AIOS_CSTR, AIOS_TOKENIZE_SPECIAL, "1 263 2 259 261");
    expect(l.v, "z", AIOS_CSTR, 0, "259 125");
    expect(l.v, "\xe2 a", AIOS_CSTR, 0, "259 229 263");
    size_t n = 0;
    assert_memory_equal(aios__vocab_piece(l.v, 264, &n), " ab", 3);
    assert_int_equal(n, 3);
    assert_int_equal(*(const uint8_t *)aios__vocab_piece(l.v, 258, &n), 0xff);
    assert_int_equal(n, 1);
    assert_memory_equal(aios__vocab_piece(l.v, 1, &n), "<s>", 3);
    assert_true(aios__vocab_is_end(l.v, 2));
    assert_true(aios__vocab_adds_bos(l.v));
    unload(&l);
}

/* ---- hostile ones --------------------------------------------------------------------------------------------- */

static void refuse(const gguf_make *m, int code, const char *says)
{
    aios_error err = AIOS_INIT(aios_error);
    loaded l;
    assert_int_equal(load(ctx, m, &l, &err), code);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

static void vocabularies_that_cannot_be_right_are_refused_by_name(void **state)
{
    (void)state;
    make_bpe(&file, "gpt-5000");
    refuse(&file, AIOS_ENOTSUP, "gpt-5000");
    make_head(&file, 3, 0, 0);
    refuse(&file, AIOS_EFORMAT, "tokenizer.ggml.model");
    make_head(&file, 3, 0, 1);
    make_kv_str(&file, "tokenizer.ggml.model", "bert");
    refuse(&file, AIOS_ENOTSUP, "bert");
    make_head(&file, 3, 0, 1);
    make_kv_u32(&file, "tokenizer.ggml.model", 1);
    refuse(&file, AIOS_EFORMAT, "string");
    static const char *const one[] = {"a"};
    make_head(&file, 3, 0, 3);
    make_kv_str(&file, "tokenizer.ggml.model", "gpt2");
    make_kv_str(&file, "tokenizer.ggml.pre", "gpt-2");
    make_strs(&file, "tokenizer.ggml.tokens", one, 1);
    refuse(&file, AIOS_EFORMAT, "merges");
    make_head(&file, 3, 0, 3);
    make_kv_str(&file, "tokenizer.ggml.model", "llama");
    make_strs(&file, "tokenizer.ggml.tokens", one, 1);
    make_array(&file, "tokenizer.ggml.scores", 0, 4);
    make_data(&file, 4);
    refuse(&file, AIOS_EFORMAT, "array of u8");
    make_head(&file, 3, 0, 3);
    make_kv_str(&file, "tokenizer.ggml.model", "llama");
    make_strs(&file, "tokenizer.ggml.tokens", one, 1);
    make_array(&file, "tokenizer.ggml.token_type", 5, 0);
    refuse(&file, AIOS_EFORMAT, "0 entries for 1 tokens");
    make_head(&file, 3, 0, 2);
    make_kv_str(&file, "tokenizer.ggml.model", "llama");
    make_strs(&file, "tokenizer.ggml.tokens", one, 0);
    refuse(&file, AIOS_EFORMAT, "0 tokens");
}

static void ids_out_of_range_are_ignored(void **state)
{
    (void)state;
    static const char *const one[] = {"a"};
    make_head(&file, 3, 0, 4);
    make_kv_str(&file, "tokenizer.ggml.model", "llama");
    make_strs(&file, "tokenizer.ggml.tokens", one, 1);
    make_kv_u32(&file, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    make_kv_u32(&file, "tokenizer.ggml.eos_token_id", 1);
    loaded l = must_load(&file);
    assert_int_equal(aios__vocab_bos(l.v), -1);
    assert_int_equal(aios__vocab_eos(l.v), -1);
    assert_false(aios__vocab_adds_bos(l.v));
    expect(l.v, "ab", AIOS_CSTR, AIOS_TOKENIZE_BOS, "0 0 0 0 0"); /* unknown bytes of the blank and b become <unk>, id 0 */
    unload(&l);
}

static uint64_t rng(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

/* Encodes the text and, if the vocabulary is whole, checks that the pieces give it back. */
static void encode_random(const aios__vocab *v, uint64_t *seed, bool whole)
{
    static const char alphabet[] = "hello world12aab<|end|>!<user></s>\xc3\xa9\xe2\x96\x81\n '";
    char text[200], back[1024];
    size_t n = rng(seed) % sizeof text, at = 0, len;
    for (size_t i = 0; i < n; i++)
        text[i] = rng(seed) % 8 ? alphabet[rng(seed) % (sizeof alphabet - 1)] : (char)rng(seed);
    aios__ids ids = {.heap = aios__ctx_heap(ctx)};
    assert_int_equal(aios__vocab_encode(v, text, n, AIOS_TOKENIZE_SPECIAL, &ids, NULL), 0);
    for (uint32_t i = 0; i < ids.n; i++) {
        assert_in_range(ids.p[i], 0, aios__vocab_size(v) - 1);
        const char *p = aios__vocab_piece(v, ids.p[i], &len);
        for (size_t k = 0; whole && k < len; k++)
            back[at++] = p[k];
    }
    if (whole) {
        assert_int_equal(at, n);
        assert_memory_equal(back, text, n);
    }
    aios__ids_free(&ids);
}

static void random_texts_come_back_and_random_vocabularies_do_no_harm(void **state)
{
    (void)state;
    uint64_t seed = 0x2545f4914f6cdd1du;
    static gguf_make bad;
    make_bpe(&file, "qwen2");
    loaded l = must_load(&file);
    for (int i = 0; i < 5000; i++)
        encode_random(l.v, &seed, true);
    unload(&l);
    for (int i = 0; i < 4000; i++) {
        aios_error err = AIOS_INIT(aios_error);
        if (i & 1)
            make_spm(&file);
        else
            make_bpe(&file, "llama-bpe");
        bad = file;
        for (uint64_t k = rng(&seed) % 40; k; k--)
            bad.p[24 + rng(&seed) % (bad.n - 24)] = (uint8_t)(rng(&seed) >> 11);
        if (load(ctx, &bad, &l, &err))
            continue;
        for (int32_t id = 0; id < (int32_t)aios__vocab_size(l.v); id++) {
            size_t n;
            const char *p = aios__vocab_piece(l.v, id, &n);
            assert_true(n < bad.n && p);
        }
        encode_random(l.v, &seed, false);
        unload(&l);
    }
}

#ifdef __SANITIZE_ADDRESS__
enum { LONG_BYTES = 2 << 20, LONG_STACK = 1 << 20 }; /* frames are larger, everything is slower */
#else
enum { LONG_BYTES = 16 << 20, LONG_STACK = 64 << 10 };
#endif

static void *encode_long(void *arg)
{
    const aios__vocab *v = arg;
    const size_t n = LONG_BYTES;
    char *text = malloc(n);
    if (!text)
        return "no memory";
    for (const char *c = "a h"; *c; c++) { /* one character throughout: mergeable, blank, unmergeable */
        aios__ids ids = {.heap = aios__ctx_heap(ctx)};
        memset(text, *c, n);
        int rc = aios__vocab_encode(v, text, n, AIOS_TOKENIZE_SPECIAL, &ids, NULL);
        bool right = !rc && ids.n >= n / 4 && ids.n <= n + 1;
        aios__ids_free(&ids);
        if (!right) {
            free(text);
            return "wrong ids";
        }
    }
    free(text);
    return NULL;
}

static void sixteen_mebibytes_of_one_character_need_little_stack(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        pthread_attr_t attr;
        pthread_t t;
        void *wrong = NULL;
        if (kind)
            make_spm(&file);
        else
            make_bpe(&file, "qwen2");
        loaded l = must_load(&file);
        pthread_attr_init(&attr);
        assert_int_equal(pthread_attr_setstacksize(&attr, LONG_STACK > PTHREAD_STACK_MIN ? LONG_STACK : PTHREAD_STACK_MIN), 0);
        assert_int_equal(pthread_create(&t, &attr, encode_long, l.v), 0);
        pthread_join(t, &wrong);
        pthread_attr_destroy(&attr);
        if (wrong)
            fail_msg("%s", (const char *)wrong);
        unload(&l);
    }
}

static int load_and_encode(aios_ctx *c, aios_error *err)
{
    loaded l;
    char text[3000];
    memset(text, 'a', sizeof text);
    int rc = load(c, &file, &l, err);
    if (rc)
        return rc;
    aios__ids ids = {.heap = aios__ctx_heap(c)};
    rc = aios__vocab_encode(l.v, text, sizeof text, 0, &ids, err);
    assert_true(!rc || !ids.n);
    aios__ids_free(&ids);
    unload(&l);
    return rc;
}

static void every_failed_allocation_is_an_error_without_a_leak(void **state)
{
    (void)state;
    make_bpe(&file, "gpt-2");
    assert_nothing_leaks_when_memory_runs_out(load_and_encode);
    make_spm(&file);
    assert_nothing_leaks_when_memory_runs_out(load_and_encode);
}

static void null_arguments_are_refused_and_never_followed(void **state)
{
    (void)state;
    aios__vocab *v = NULL;
    assert_int_equal(aios__vocab_new(ctx, NULL, &v, NULL), AIOS_EINVAL);
    assert_int_equal(aios__vocab_new(ctx, NULL, NULL, NULL), AIOS_EINVAL);
    assert_int_equal(aios__vocab_encode(NULL, "x", 1, 0, NULL, NULL), AIOS_EINVAL);
    assert_int_equal(aios__vocab_size(NULL), 0);
    assert_int_equal(aios__vocab_bos(NULL), -1);
    assert_int_equal(aios__vocab_find(NULL, "x", 1), -1);
    aios__vocab_free(NULL);
    aios__ids_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_rank_and_keeps_every_byte),
        cmocka_unit_test(special_tokens_are_found_longest_first_and_only_if_asked_for),
        cmocka_unit_test(words_are_cut_as_each_expression_says),
        cmocka_unit_test(code_points_have_their_classes),
        cmocka_unit_test(spm_merges_by_score_and_falls_back_to_bytes),
        cmocka_unit_test(vocabularies_that_cannot_be_right_are_refused_by_name),
        cmocka_unit_test(ids_out_of_range_are_ignored),
        cmocka_unit_test(random_texts_come_back_and_random_vocabularies_do_no_harm),
        cmocka_unit_test(sixteen_mebibytes_of_one_character_need_little_stack),
        cmocka_unit_test(every_failed_allocation_is_an_error_without_a_leak),
        cmocka_unit_test(null_arguments_are_refused_and_never_followed),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Forced text becomes the tokens that the tokenizer makes of the whole reply. */
#include "test.h"

#include "backend/gguf/gguf.h"
#include "vocab_make.h"

/* JSON's marks alone and together, and pieces of words that run over each other. */
static const char *const merges[][2] = {
    {"\"", ":"},  {"\":", "\""}, {"\"", ","}, {"\",", "\""}, {"{", "\""}, {"\"", "}"}, {"\":\"", "\""}, {"\"", "]"}, {"[", "\""}, {"n", "a"},     {"m", "e"},
    {"na", "me"}, {"t", "i"},    {"ti", "me"}, {"r", "e"},   {"re", "d"}, {"a", "n"},  {"a", "r"},      {"e", "d"},  {"1", "2"},  {"\"}", "}"},   {"}", "}"},
    {"e", "\""},  {"u", "e"},    {"r", "ue"},  {"t", "rue"}, {"]", "}"},  {":", "["},  {"\"", ":["},    {"\":[", "\""}, {",", "\""}, {"name", "d"}, {"i", "me"},
};
enum { N_MERGES = sizeof merges / sizeof *merges };

static const char *const values[] = {"{\"type\":\"string\",\"maxLength\":4}",      "{\"enum\":[\"red\",\"name\",\"named\"]}", "{\"type\":\"boolean\"}",
                                     "{\"type\":\"integer\",\"minimum\":0,\"maximum\":212}", "{\"type\":\"array\",\"items\":{\"enum\":[\"time\",\"ti\"]},\"maxItems\":2}",
                                     "{\"const\":\"name\"}"};
static const char *const names[] = {"name", "named", "time", "red", "a"};

static aios_ctx *ctx;
static gguf_make file;
static aios__gguf *g;
static aios__vocab *v;
static aios__prefixes *prefixes;
static uint64_t state = 7;

static uint32_t below(uint32_t n)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

static void make_vocab(gguf_make *m)
{
    make_head(m, 3, 0, 6);
    make_kv_str(m, "tokenizer.ggml.model", "gpt2");
    make_kv_str(m, "tokenizer.ggml.pre", "gpt-2");
    make_array(m, "tokenizer.ggml.tokens", 8, 256 + N_MERGES);
    for (uint32_t b = 0; b < 256; b++) {
        char text[4];
        make_byte_text(b, text);
        make_str(m, text);
    }
    for (int i = 0; i < N_MERGES; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s%s", merges[i][0], merges[i][1]);
        make_str(m, text);
    }
    make_array(m, "tokenizer.ggml.token_type", 5, 256 + N_MERGES);
    for (int i = 0; i < 256 + N_MERGES; i++)
        make_int(m, 1, 4);
    make_array(m, "tokenizer.ggml.merges", 8, N_MERGES);
    for (int i = 0; i < N_MERGES; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s %s", merges[i][0], merges[i][1]);
        make_str(m, text);
    }
    make_kv_u32(m, "tokenizer.ggml.eos_token_id", 0);
}

static int begin(void **unused)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)unused;
    ctx = test_ctx(NULL, 0);
    make_vocab(&file);
    must(aios__gguf_open_mem(ctx, file.p, file.n, "vocab.gguf", &g, &err), &err);
    must(aios__vocab_new(ctx, g, &v, &err), &err);
    must(aios__prefixes_new(aios__ctx_heap(ctx), v, &prefixes, &err), &err);
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    aios__prefixes_free(prefixes);
    aios__vocab_free(v);
    aios__gguf_close(g);
    aios_ctx_free(ctx);
    return 0;
}

static aios__ids encode(const char *s, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__ids ids = {.heap = aios__ctx_heap(ctx)};
    must(aios__vocab_encode(v, s, n, 0, &ids, &err), &err);
    return ids;
}

static aios_grammar *compile(const char *schema)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *grammar;
    must(aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &grammar, &err), &err);
    return grammar;
}

static void make_schema(char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "{\"type\":\"object\",\"properties\":{");
    uint32_t required = 0, count = 1 + below(4), first = below(5);
    char list[128] = "";
    for (uint32_t i = 0; i < count; i++) {
        const char *name = names[(first + i) % 5];
        n += (size_t)snprintf(out + n, cap - n, "%s\"%s\":%s", i ? "," : "", name, values[below(6)]);
        if (below(3))
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s\"%s\"", required++ ? "," : "", name);
    }
    snprintf(out + n, cap - n, "},\"required\":[%s],\"additionalProperties\":false}", list);
}

/* A sentence of the grammar, byte by byte; strings are made of what words and marks are made of. */
static size_t make_sentence(aios_grammar *grammar, char *out, size_t cap)
{
    aios_error err = AIOS_INIT(aios_error);
    static const char likely[] = "nametired12\"\"\"\"}}],:";
    aios_walk *w;
    size_t n = 0;
    must(aios_walk_new(grammar, &w, &err), &err);
    while (!aios_walk_complete(w) && n < cap) {
        uint8_t mask[32], c;
        aios_walk_next_bytes(w, mask);
        do
            c = below(8) ? (uint8_t)likely[below(sizeof likely - 1)] : (uint8_t)(32 + below(95));
        while (c == '\\' || !(mask[c / 8] >> c % 8 & 1));
        must(aios_walk_accept(w, (const char *)&c, 1, &err), &err);
        out[n++] = (char)c;
    }
    assert_true(n < cap);
    aios_walk_free(w);
    return n;
}

static void find_tail(const aios__ids *ids, aios__tail *tail)
{
    tail->n = ids->n < AIOS__SEAM_TAIL ? ids->n : AIOS__SEAM_TAIL;
    tail->whole = tail->n == ids->n;
    if (tail->n)
        memcpy(tail->ids, ids->p + ids->n - tail->n, tail->n * sizeof *tail->ids);
}

static void accept(aios_walk *w, int32_t id)
{
    aios_error err = AIOS_INIT(aios_error);
    size_t n;
    const char *p = aios__vocab_piece(v, id, &n);
    must(aios_walk_accept(w, p, n, &err), &err);
}

/* A model that writes the tokens of its training is never led off them; returns how many were forced. */
static uint32_t follow(aios_grammar *grammar, const char *s, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__ids want = encode(s, n), got = {.heap = want.heap};
    aios__seam seam;
    aios__tail tail;
    aios_walk *w;
    uint32_t n_forced = 0;
    must(aios_walk_new(grammar, &w, &err), &err);
    while (got.n < want.n) {
        find_tail(&got, &tail);
        seam.n = 0;
        if (!aios_walk_complete(w))
            must(aios__seam_make(prefixes, w, &tail, AIOS__TODO, &seam, &err), &err);
        if (!seam.n) {
            accept(w, want.p[got.n]);
            must(aios__ids_add(&got, want.p[got.n], &err), &err);
            continue;
        }
        if (seam.n_drop || seam.n > want.n - got.n || memcmp(seam.ids, want.p + got.n, seam.n * sizeof *seam.ids))
            fail_msg("%.*s: token %u is another one, forced behind %u", (int)n, s, got.n, tail.n);
        must(aios_walk_accept(w, seam.text, seam.n_bytes, &err), &err);
        for (uint32_t i = 0; i < seam.n; i++)
            must(aios__ids_add(&got, seam.ids[i], &err), &err);
        n_forced += seam.n;
    }
    assert_true(aios_walk_complete(w));
    aios_walk_free(w);
    aios__ids_free(&got);
    aios__ids_free(&want);
    return n_forced;
}

static void forced_tokens_are_those_of_the_whole_text(void **unused)
{
    (void)unused;
    uint32_t n_forced = 0;
    for (int i = 0; i < 300; i++) {
        char schema[1024], text[512];
        make_schema(schema, sizeof schema);
        aios_grammar *grammar = compile(schema);
        for (int k = 0; k < 5; k++)
            n_forced += follow(grammar, text, make_sentence(grammar, text, sizeof text));
        aios_grammar_free(grammar);
    }
    assert_true(n_forced > 3000);
}

/* Tokens `taken`, each one byte, and then what is forced: the tokens that are there afterwards. */
static void expect_healed(const char *schema, const char *taken, const char *want)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *grammar = compile(schema);
    aios__ids ids = {.heap = aios__ctx_heap(ctx)}, canonical = encode(want, strlen(want));
    aios__seam seam;
    aios__tail tail;
    aios_walk *w;
    must(aios_walk_new(grammar, &w, &err), &err);
    for (const char *p = taken; *p; p++) {
        aios__ids one = encode(p, 1);
        must(aios__ids_add(&ids, one.p[0], &err), &err);
        accept(w, one.p[0]);
        aios__ids_free(&one);
    }
    find_tail(&ids, &tail);
    must(aios__seam_make(prefixes, w, &tail, AIOS__TODO, &seam, &err), &err);
    assert_true(seam.n > 0 && seam.n_drop <= tail.n);
    ids.n -= seam.n_drop;
    for (uint32_t i = 0; i < seam.n; i++)
        must(aios__ids_add(&ids, seam.ids[i], &err), &err);
    assert_int_equal(ids.n, canonical.n);
    assert_memory_equal(ids.p, canonical.p, ids.n * sizeof *ids.p);
    aios_walk_free(w);
    aios_grammar_free(grammar);
    aios__ids_free(&ids);
    aios__ids_free(&canonical);
}

static void tokens_in_front_of_forced_text_are_cut_anew_with_it(void **unused)
{
    (void)unused;
    static const char two[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":9,\"minimum\":0},\"name\":{\"type\":\"integer\"}},"
                              "\"required\":[\"a\",\"name\"],\"additionalProperties\":false}";
    expect_healed(two, "{", "{\"a\":");            /* {" is a token */
    expect_healed("{\"enum\":[\"named\"]}", "\"na", "\"named\"");
    expect_healed("{\"enum\":[\"time\",\"tired\"]}", "\"tim", "\"time\"");
}

static void a_token_that_text_may_run_into_is_left_open(void **unused)
{
    (void)unused;
    static const char open[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"],\"additionalProperties\":false}";
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *grammar = compile(open);
    aios__tail tail = {.whole = true};
    aios__ids want = encode("{\"name", 6);
    aios__seam seam;
    aios_walk *w;
    must(aios_walk_new(grammar, &w, &err), &err);
    must(aios__seam_make(prefixes, w, &tail, AIOS__TODO, &seam, &err), &err);
    assert_int_equal(seam.n_text, 9); /* {"name":" */
    assert_int_equal(seam.n, want.n); /* ":"" is a token too, so ":" is not sure */
    assert_memory_equal(seam.ids, want.p, want.n * sizeof *want.p);
    must(aios__seam_make(prefixes, w, &tail, 1, &seam, &err), &err);
    assert_int_equal(seam.n, 1);
    assert_int_equal(seam.n_bytes, 2);
    aios_walk_free(w);
    aios_grammar_free(grammar);
    aios__ids_free(&want);
}

static void tokens_that_go_on_are_found_by_their_beginning(void **unused)
{
    (void)unused;
    uint8_t all[32], only_e[32] = {0};
    memset(all, 0xff, sizeof all);
    only_e['e' / 8] |= 1u << 'e' % 8;
    assert_true(aios__prefixes_extend(prefixes, "nam", 3, all));
    assert_true(aios__prefixes_extend(prefixes, "nam", 3, only_e));
    assert_false(aios__prefixes_extend(prefixes, "name", 4, only_e));
    assert_true(aios__prefixes_extend(prefixes, "m", 1, only_e));
    assert_false(aios__prefixes_extend(prefixes, "n", 1, only_e));
    assert_false(aios__prefixes_extend(prefixes, "named", 5, all));
    assert_false(aios__prefixes_extend(prefixes, "\xff", 1, all));
    assert_false(aios__prefixes_extend(prefixes, "", 0, all));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forced_tokens_are_those_of_the_whole_text),
        cmocka_unit_test(tokens_in_front_of_forced_text_are_cut_anew_with_it),
        cmocka_unit_test(a_token_that_text_may_run_into_is_left_open),
        cmocka_unit_test(tokens_that_go_on_are_found_by_their_beginning),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

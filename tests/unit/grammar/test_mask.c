/* SPDX-License-Identifier: Apache-2.0 */
/* Masks against the walk itself: every token of a vocabulary is tried from a copy, over random schemas and positions. */
#include "grammar_test.h"
#include "shared_ctx.h"

#include "grammar/grammar_mask.h"

enum { MAX_VOCAB = 1400, MAX_TEXT = 1 << 16, SCHEMAS = 36, STEPS = 50 };

typedef struct vocab {
    char text[MAX_VOCAB][40];
    uint8_t n[MAX_VOCAB];
    uint32_t size;
} vocab;

static uint32_t seed;

static uint32_t below(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 10) % n;
}

static const char *piece(void *user, int32_t id, size_t *n)
{
    const vocab *v = user;
    *n = v->n[id];
    return *n ? v->text[id] : NULL;
}

static void add_token(vocab *v, const char *s, size_t n)
{
    memcpy(v->text[v->size], s, n);
    v->n[v->size++] = (uint8_t)n;
}

/* kind 0: the bytes alone; 1: short pieces of JSON; 2: long ones, too. Some tokens are there twice, some are empty. */
static void make_vocab(vocab *v, int kind)
{
    static const char *const parts[] = {"\"", "\",\"", "\":", "{\"", "}", "]", "[", ",", "a", "ab", "abc", "name", "x_y", "1", "23", "-", ".5", "e1", " ", "the", " of", "true",
                                        "null", "\\n", "\\u00", "e9", "\\\"", "\\", "\xc3\xa9", "\xc3", "\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "A", "Z9", "\n", "\xff", "aaaaaaaa", "0000", "@", "k1"};
    memset(v, 0, sizeof *v);
    for (int c = 0; c < 256; c++)
        add_token(v, (char[]){(char)c}, 1);
    for (uint32_t i = 0; kind && i < 1100; i++) {
        char s[64];
        size_t n = 0;
        for (uint32_t k = 1 + below(kind == 1 ? 3 : 6); k; k--) {
            const char *p = parts[below(sizeof parts / sizeof *parts)];
            n += n + strlen(p) < 40 ? (size_t)sprintf(s + n, "%s", p) : 0;
        }
        add_token(v, s, i % 97 ? n : 0);
    }
}

/* ---- random schemas ------------------------------------------------------------------------------------------------ */

static char text[MAX_TEXT];
static size_t n_text;

static void put(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    n_text += (size_t)vsnprintf(text + n_text, sizeof text - n_text, fmt, args);
    va_end(args);
}

static void put_string(void)
{
    static const char *const patterns[] = {"^[a-z]+$", "a.*1", "^[A-Za-z0-9_-]{2,9}$", "^(ab|abc)*$", "^.{1,30}$", "^\\\\d{2}-\\\\d$", "[^a]", "^\\\\w+@\\\\w+$", "^[\\u00e0-\\u00ff]*x?$"};
    put("{\"type\":\"string\"");
    if (below(2))
        put(",\"pattern\":\"%s\"", patterns[below(9)]);
    if (!below(3))
        put(",\"maxLength\":%u", 2 + below(30));
    if (!below(4))
        put(",\"minLength\":%u", below(3));
    put("}");
}

static void put_schema(int depth);

static void put_object(int depth)
{
    static const char *const names[] = {"a", "ab", "abc", "name", "x_y", "k1", "\xc3\xa9"};
    uint32_t n = below(4), first = below(4);
    put("{\"type\":\"object\",\"properties\":{");
    for (uint32_t i = 0; i < n; i++) {
        put("%s\"%s\":", i ? "," : "", names[first + i]);
        put_schema(depth + 1);
    }
    put("}");
    if (n && below(2))
        put(",\"required\":[\"%s\"]", names[first + below(n)]);
    if (below(2)) {
        put(",\"additionalProperties\":");
        put_schema(depth + 1);
    } else if (!below(3)) {
        put(",\"patternProperties\":{\"%s\":", below(2) ? "^[a-c]{1,2}$" : "^k");
        put_schema(depth + 1);
        put("},\"additionalProperties\":false");
    }
    if (!below(4))
        put(",\"minProperties\":1");
    put("}");
}

static void put_schema(int depth)
{
    switch (below(depth > 2 ? 6 : 9)) {
    case 0:
        put("{\"type\":\"integer\",\"minimum\":-3,\"maximum\":%u}", 5 + below(300));
        break;
    case 1:
        put("{\"type\":\"number\"}");
        break;
    case 2:
        put("{\"enum\":[\"a\",\"ab\",1,null,\"\xc3\xa9x\",\"abcabc\"]}");
        break;
    case 3:
        put("{\"type\":\"boolean\"}");
        break;
    case 4:
    case 5:
        put_string();
        break;
    case 6:
        put("{\"type\":\"array\",\"items\":");
        put_schema(depth + 1);
        put(below(2) ? "}" : below(2) ? ",\"uniqueItems\":true}" : ",\"minItems\":1,\"maxItems\":3}");
        break;
    case 7:
        put("{\"anyOf\":[");
        put_schema(depth + 1);
        put(",");
        put_schema(depth + 1);
        put("]}");
        break;
    default:
        put_object(depth);
    }
}

/* ---- what is held against what -------------------------------------------------------------------------------------- */

/* Compares a mask with the walk; returns one of the tokens allowed, or -1. */
static int32_t compare(aios_walk *w, const aios__trie *t, vocab *v, const char *schema)
{
    aios_error err = AIOS_INIT(aios_error);
    uint32_t bits[(MAX_VOCAB + 31) / 32], n, count = 0;
    int32_t only, pick = -1;
    aios_walk *c;
    assert_int_equal(aios__walk_mask(w, t, bits, &n, &only, &err), 0);
    for (uint32_t id = 0; id < v->size; id++) {
        size_t len;
        const char *s = piece(v, (int32_t)id, &len);
        assert_int_equal(aios_walk_copy(w, &c, &err), 0);
        bool ok = s && !aios_walk_accept(c, s, len, &err);
        aios_walk_free(c);
        if (ok != (bits[id / 32] >> id % 32 & 1))
            fail_msg("token %u \"%.*s\": the walk says %d, the mask %d, under %s", id, (int)len, s ? s : "", ok, !ok, schema);
        count += ok;
        if (ok && !below(count))
            pick = (int32_t)id;
    }
    assert_int_equal(count, n);
    assert_int_equal(only, n == 1 ? pick : -1);
    return pick;
}

static void masks_hold_what_the_walk_accepts_over_random_schemas(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    static vocab v;
    uint32_t n_compiled = 0, n_steps = 0;
    for (int kind = 0; kind < 3; kind++) {
        aios__trie *t;
        seed = 11 + (uint32_t)kind;
        make_vocab(&v, kind);
        assert_int_equal(aios__trie_new(ctx, v.size, piece, &v, &t, &err), 0);
        for (int i = 0; i < SCHEMAS; i++) {
            aios_grammar *g;
            aios_walk *w;
            n_text = 0;
            put_schema(0);
            if (aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, text, n_text, &g, &err))
                continue;
            n_compiled++;
            assert_int_equal(aios_walk_new(g, &w, &err), 0);
            for (int step = 0; step < STEPS; step++) {
                int32_t id = compare(w, t, &v, text);
                if (id < 0)
                    break;
                assert_int_equal(aios_walk_accept(w, v.text[id], v.n[id], &err), 0);
                n_steps++;
            }
            aios_walk_free(w);
            aios_grammar_free(g);
        }
        aios__trie_free(t);
    }
    assert_true(n_compiled > 80);
    assert_true(n_steps > 600);
}

/* Keys of maps are the positions in which frames differ with every byte. */
static void a_walk_that_has_forgotten_says_the_same(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    static vocab v;
    aios__trie *t;
    aios_walk *w;
    const char *schema = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}";
    make_vocab(&v, 2);
    must(aios__trie_new(ctx, v.size, piece, &v, &t, &err), &err);
    w = walk_of(ctx, AIOS_GRAMMAR_SCHEMA, schema);
    assert_int_equal(aios_walk_accept(w, "{\"name\":1", 9, &err), 0);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &before);
    for (int i = 0; i < 400; i++) {
        char s[80];
        int n = sprintf(s, ",\"key of number %d\":[\"%d\",\"text %d\"]", i, i, i * i);
        assert_int_equal(aios_walk_accept(w, s, (size_t)n - 3, &err), 0);
        if (i % 20 == 0)
            compare(w, t, &v, schema);
        assert_int_equal(aios_walk_accept(w, s + n - 3, 3, &err), 0);
    }
    assert_int_equal(aios_walk_accept(w, ",\"na", 4, &err), 0);
    compare(w, t, &v, schema);
    aios_ctx_usage(ctx, &after);
    assert_true(after.used < before.used + (8u << 20));
    assert_true(aios_walk_accept(w, "me\"", 3, &err) < 0);
    assert_true(aios_walk_accept(w, "k\":[],\"key of number 7\"", 23, &err) < 0);
    aios_walk_free(w);
    aios__trie_free(t);
}

static void names_that_are_used_up_are_not_begun_again(void **state)
{
    (void)state;
    static const char *const said[] = {"{\"", "ab\":null,\"", "a", "bb\":null,\"", "b\":null,\""};
    aios_error err = AIOS_INIT(aios_error);
    static vocab v;
    aios__trie *t;
    aios_walk *w;
    const char *schema = "{\"type\":\"object\",\"patternProperties\":{\"^(ab|abb|abc|b)$\":{\"type\":\"null\"}},\"additionalProperties\":false}";
    make_vocab(&v, 1);
    add_token(&v, "abb", 3);
    add_token(&v, "bb\":null", 8);
    add_token(&v, "b\":null,\"abb\":", 15);
    assert_int_equal(aios__trie_new(ctx, v.size, piece, &v, &t, &err), 0);
    w = walk_of(ctx, AIOS_GRAMMAR_SCHEMA, schema);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        assert_int_equal(aios_walk_accept(w, said[i], strlen(said[i]), &err), 0);
        compare(w, t, &v, schema);
    }
    aios_walk_free(w);
    aios__trie_free(t);
}

static void a_mask_without_memory_fails_and_the_next_one_is_right(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    static vocab v;
    aios__trie *t;
    aios_walk *w;
    const char *schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\",\"pattern\":\"^[a-z]+1?$\"}}";
    make_vocab(&v, 1);
    assert_int_equal(aios__trie_new(ctx, v.size, piece, &v, &t, &err), 0);
    uint32_t bits[(MAX_VOCAB + 31) / 32], n, failed = 0;
    int32_t only;
    for (uint32_t room = 0; room < 60000; room += 997) {
        aios_ctx *small;
        aios_mem_usage use = AIOS_INIT(aios_mem_usage);
        assert_int_equal(aios_ctx_new(NULL, &small, &err), 0);
        w = walk_of(small, AIOS_GRAMMAR_SCHEMA, schema);
        assert_int_equal(aios_walk_accept(w, "{\"ab\":\"", 7, &err), 0);
        aios_ctx_usage(small, &use);
        assert_int_equal(aios_ctx_set_budget(small, use.used + room, &err), 0);
        int rc = aios__walk_mask(w, t, bits, &n, &only, &err);
        assert_true(!rc || rc == AIOS_EBUDGET);
        failed += rc != 0;
        assert_int_equal(aios_ctx_set_budget(small, 1u << 30, &err), 0);
        compare(w, t, &v, schema);
        aios_walk_free(w);
            aios_ctx_free(small);
    }
    assert_true(failed > 3);
    aios__trie_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_hold_what_the_walk_accepts_over_random_schemas),
        cmocka_unit_test(a_walk_that_has_forgotten_says_the_same),
        cmocka_unit_test(names_that_are_used_up_are_not_begun_again),
        cmocka_unit_test(a_mask_without_memory_fails_and_the_next_one_is_right),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}

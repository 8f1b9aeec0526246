/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random schemas and values, many of them with bytes changed: fuzz_schema [ROUNDS [SEED]]. A refusal has a code and a text; a check agrees with
 * the list of violations, and formats as notes refuse no more; what a mask lets through as a whole is valid; nothing is left over.
 */
#include <aios/aios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { TEXT = 8192 };

typedef struct text {
    char s[TEXT];
    size_t n;
} text;

static void put(text *t, const char *s)
{
    size_t n = strlen(s);
    if (t->n + n < TEXT) {
        memcpy(t->s + t->n, s, n + 1);
        t->n += n;
    }
}

#define PICK(list) (list)[roll(sizeof(list) / sizeof *(list))]

static const char *const names[] = {"\"a\"", "\"b\"", "\"c\"", "\"aa\"", "\"\"", "\"$ref\"", "\"\xc3\xa9\""};
static const char *const scalars[] = {"null", "true",  "false",       "0",     "1",          "-1",       "2.5",  "1.0",      "10",   "1e2",
                                      "0.01", "7",     "9007199254740993", "\"\"", "\"a\"",  "\"abc\"",  "\"\\u0000\"", "\"2024-02-29\"",
                                      "\"a@b.c\"", "\"\\ud83d\\ude00\"", "\"aaaaaaaa\"", "18446744073709551616", "1e300", "-0.0"};
static const char *const counts[] = {"0", "1", "2", "3", "1.0", "100000"};
static const char *const patterns[] = {"\"^a\"", "\"a\"", "\"^[a-c]{1,3}$\"", "\"^(?!b)\"", "\"\\\\d+\"", "\"(\"", "\"^(a|aa)+$\"", "\"\""};
static const char *const formats[] = {"\"date\"", "\"email\"", "\"ipv6\"", "\"uri\"", "\"regex\"", "\"time\"", "\"mine\""};
static const char *const refs[] = {"\"#\"", "\"#/$defs/x\"", "\"#/$defs/y\"", "\"#x\"", "\"u\"", "\"u#x\"", "\"#/properties/a\"", "\"#/items\"",
                                   "\"http://json-schema.org/draft-07/schema#\"", "\"#/$defs/x/not\"", "\"//h/../p?q#%41~1\""};
static const char *const types[] = {"\"null\"", "\"boolean\"", "\"integer\"", "\"number\"", "\"string\"", "\"array\"", "\"object\"", "[\"string\",\"object\"]"};
static const char *const drafts[] = {"\"http://json-schema.org/draft-04/schema#\"", "\"http://json-schema.org/draft-06/schema#\"",
                                     "\"http://json-schema.org/draft-07/schema#\"", "\"https://json-schema.org/draft/2019-09/schema\"",
                                     "\"https://json-schema.org/draft/2020-12/schema\""};

enum shape { SUB, LIST, MAP, PATTERNS, ENUM, ANY, COUNT, NUMBER, REGEX, FORMAT, REF, TYPE, FLAG, NAMES, NAMEMAP };
static const struct {
    const char *kw;
    enum shape shape;
} keywords[] = {
    {"type", TYPE},       {"enum", ENUM},         {"const", ANY},          {"minimum", NUMBER},    {"maximum", NUMBER},     {"exclusiveMinimum", NUMBER},
    {"multipleOf", NUMBER}, {"minLength", COUNT}, {"maxLength", COUNT},    {"pattern", REGEX},     {"format", FORMAT},      {"minItems", COUNT},
    {"maxItems", COUNT},  {"uniqueItems", FLAG},  {"prefixItems", LIST},   {"items", SUB},         {"items", LIST},         {"additionalItems", SUB},
    {"contains", SUB},    {"minContains", COUNT}, {"maxContains", COUNT},  {"unevaluatedItems", SUB}, {"properties", MAP},  {"required", NAMES},
    {"additionalProperties", SUB}, {"patternProperties", PATTERNS}, {"propertyNames", SUB}, {"minProperties", COUNT}, {"maxProperties", COUNT},
    {"dependentRequired", NAMEMAP}, {"dependentSchemas", MAP}, {"dependencies", MAP}, {"unevaluatedProperties", SUB}, {"allOf", LIST}, {"anyOf", LIST},
    {"oneOf", LIST},      {"not", SUB},           {"if", SUB},             {"then", SUB},          {"else", SUB},           {"$ref", REF},
    {"$dynamicRef", REF}, {"$recursiveRef", REF},
};

static void value(text *t, int depth)
{
    uint32_t kind = depth ? roll(4) : 3;
    if (kind > 1) {
        put(t, PICK(scalars));
        return;
    }
    put(t, kind ? "[" : "{");
    for (uint32_t i = 0, n = roll(4); i < n; i++) {
        put(t, i ? "," : "");
        if (!kind) {
            put(t, names[(roll(2) + i * 2) % 7]);
            put(t, ":");
        }
        value(t, depth - 1);
    }
    put(t, kind ? "]" : "}");
}

static void schema(text *t, int depth);

static void map(text *t, const char *const *keys, uint32_t n_keys, int depth)
{
    put(t, "{");
    for (uint32_t i = 0, n = roll(3), k = roll(n_keys); i < n; i++) {
        put(t, i ? "," : "");
        put(t, keys[(k + i) % n_keys]);
        put(t, ":");
        schema(t, depth - 1);
    }
    put(t, "}");
}

static void list(text *t, int depth, void (*item)(text *, int))
{
    put(t, "[");
    for (uint32_t i = 0, n = 1 + roll(3); i < n; i++) {
        put(t, i ? "," : "");
        item(t, depth - 1);
    }
    put(t, "]");
}

static void name(text *t, int depth)
{
    (void)depth;
    put(t, PICK(names));
}

static void operand(text *t, enum shape shape, int depth)
{
    static const char *const numbers[] = {"0", "1", "2.5", "-3", "0.01", "7", "9007199254740992", "1e2", "0.1"};
    switch (shape) {
    case SUB:
        schema(t, depth - 1);
        break;
    case LIST:
        list(t, depth, schema);
        break;
    case MAP:
        map(t, names, 7, depth);
        break;
    case PATTERNS:
        map(t, patterns, 8, depth);
        break;
    case ENUM:
        list(t, depth, value);
        break;
    case ANY:
        value(t, 2);
        break;
    case COUNT:
        put(t, PICK(counts));
        break;
    case NUMBER:
        put(t, PICK(numbers));
        break;
    case REGEX:
        put(t, PICK(patterns));
        break;
    case FORMAT:
        put(t, PICK(formats));
        break;
    case REF:
        put(t, PICK(refs));
        break;
    case TYPE:
        put(t, PICK(types));
        break;
    case FLAG:
        put(t, roll(4) ? "true" : "false");
        break;
    case NAMES:
        list(t, depth, name);
        break;
    case NAMEMAP:
        put(t, "{\"a\":");
        list(t, depth, name);
        put(t, "}");
        break;
    }
}

static void schema(text *t, int depth)
{
    if (depth <= 0 || !roll(8)) {
        put(t, roll(3) ? "{}" : roll(2) ? "true" : "false");
        return;
    }
    put(t, "{\"title\":0");
    uint32_t k = roll(sizeof keywords / sizeof *keywords);
    for (uint32_t n = 1 + roll(4); n; n--, k = (k + 1 + roll(9)) % (uint32_t)(sizeof keywords / sizeof *keywords)) {
        put(t, ",\"");
        put(t, keywords[k].kw);
        put(t, "\":");
        operand(t, keywords[k].shape, depth);
    }
    put(t, "}");
}

static void document(text *t)
{
    t->n = 0;
    schema(t, 4);
    if (t->n < 3 || t->s[0] != '{' || t->s[1] == '}')
        return;
    t->s[--t->n] = 0;
    if (!roll(3)) {
        put(t, ",\"$schema\":");
        put(t, PICK(drafts));
    }
    put(t, roll(2) ? ",\"$defs\":{\"x\":{\"$anchor\":\"x\",\"not\":" : ",\"$defs\":{\"x\":{\"$dynamicAnchor\":\"x\",\"not\":");
    schema(t, 2);
    put(t, "},\"y\":{\"$id\":\"u\",\"$dynamicAnchor\":\"x\",\"anyOf\":[{\"type\":\"string\"},");
    schema(t, 2);
    put(t, "]}}}");
}

static void mutate(text *t)
{
    static const char bytes[] = "{}[]\",:0123456789.-eEtfn\\u$#/~% \x80\xff";
    for (uint32_t k = 1 + roll(3); k && t->n > 2; k--) {
        size_t at = roll((uint32_t)t->n), len = 1 + roll(6);
        switch (roll(3)) {
        case 0:
            t->s[at] = bytes[roll(sizeof bytes - 1)];
            break;
        case 1: /* something goes */
            len = at + len < t->n ? len : t->n - at;
            memmove(t->s + at, t->s + at + len, t->n - at - len + 1);
            t->n -= len;
            break;
        default: /* something comes twice */
            len = at + len < t->n ? len : t->n - at;
            if (t->n + len >= TEXT)
                break;
            memmove(t->s + at + len, t->s + at, t->n - at + 1);
            t->n += len;
        }
    }
}

static int count(void *user, const aios_violation *v)
{
    ++*(uint64_t *)user;
    return !*v->message || !*v->keyword || !v->path || !*v->schema_path ? AIOS_EINTERNAL : 0;
}

static int known(int rc)
{
    return rc == 0 || rc == AIOS_ESCHEMA || rc == AIOS_ELIMIT || rc == AIOS_EFORMAT || rc == AIOS_ENOTSUP;
}

/* 1: the mask lets the whole value through; 0: it does not, or there is no mask; else something is wrong. */
static int walk(aios_ctx *ctx, const text *s, const text *v, aios_error *err)
{
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    int rc = aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, s->s, s->n, &g, err), through = 0;
    if (rc)
        return known(rc) && *err->msg ? 0 : 2;
    rc = aios_walk_new(g, &w, err);
    rc = rc ? rc : aios_walk_accept(w, v->s, v->n, err);
    through = !rc && aios_walk_complete(w);
    aios_walk_free(w);
    aios_grammar_free(g);
    return known(rc) ? through : 2;
}

static const char *try_pair(aios_ctx *ctx, const text *s, const text *v, int *valid)
{
    aios_error err = AIOS_INIT(aios_error), err2 = AIOS_INIT(aios_error), err3 = AIOS_INIT(aios_error);
    uint64_t told = 0;
    int rc = aios_schema_check(ctx, s->s, s->n, v->s, v->n, &err);
    int all = aios_schema_check_as(ctx, 0, s->s, s->n, v->s, v->n, count, &told, &err2);
    int notes = aios_schema_check_as(ctx, AIOS_SCHEMA_FORMAT_NOTE, s->s, s->n, v->s, v->n, NULL, NULL, &err3);
    *valid = !rc;
    if (!known(rc) || !known(all) || !known(notes))
        return "a code of no reason";
    if ((rc && !*err.msg) || (all && !*err2.msg))
        return "a refusal without a text";
    if (rc != AIOS_ELIMIT && all != AIOS_ELIMIT && (rc != all || (told > 0) != (all == AIOS_ESCHEMA && err2.have > 0)))
        return "the list of violations is another judgement";
    aios_error err4 = AIOS_INIT(aios_error);
    int through = walk(ctx, s, v, &err4);
    if (through == 2)
        return "a mask failed";
    return through && rc && rc != AIOS_ELIMIT ? "a mask let through what is not valid" : NULL;
}

int main(int argc, char **argv)
{
    static text s, v;
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 20000, n_valid = 0;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) * 2654435761u + 1 : 88172645463325252u;
    aios_ctx *ctx = NULL;
    aios_error err = AIOS_INIT(aios_error);
    if (aios_ctx_new(NULL, &ctx, &err))
        return 1;
    aios_ctx_set_budget(ctx, 64u << 20, NULL);
    for (long i = 0; i < rounds; i++) {
        document(&s);
        if (!roll(4))
            mutate(&s);
        for (int k = 0; k < 3; k++) {
            v.n = 0;
            value(&v, 3);
            if (!roll(8))
                mutate(&v);
            int valid;
            const char *bad = try_pair(ctx, &s, &v, &valid);
            n_valid += valid;
            if (bad) {
                printf("round %ld: %s\n%s\n%s\n", i, bad, s.s, v.s);
                aios_ctx_free(ctx);
                return 1;
            }
        }
    }
    aios_ctx_free(ctx);
    printf("%ld schemas, 3 values each, %ld valid\n", rounds, n_valid);
    return n_valid == 0;
}

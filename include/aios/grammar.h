/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file grammar.h
 * A language compiled once and walked byte by byte, without a model: what constrained decoding uses.
 */
#ifndef AIOS_GRAMMAR_H
#define AIOS_GRAMMAR_H

#include <aios/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_grammar aios_grammar;
typedef struct aios_walk aios_walk;

enum { AIOS_GRAMMAR_SCHEMA = 1, AIOS_GRAMMAR_REGEX = 2, AIOS_GRAMMAR_GBNF = 3, AIOS_GRAMMAR_LARK = 4 };
/**
 * Added to AIOS_GRAMMAR_SCHEMA: every value that the schema allows, with the same blanks, members in any order and others than those
 * listed where the schema does not forbid them, any escapes and any notation of numbers. Good to check a text while it comes in; numbers
 * and strings under a pattern may be begun so that nothing ends them. Since 0.1.
 */
enum { AIOS_GRAMMAR_COMPLETE = 0x100 };
/** Added to AIOS_GRAMMAR_SCHEMA: keywords that nobody knows are refused, but for those that begin with x-, and the one meant is named. Since 0.1. */
enum { AIOS_GRAMMAR_STRICT = 0x200 };
/** Added to AIOS_GRAMMAR_SCHEMA: a blank stands behind each comma and colon, as Python's json.dumps writes them. Since 0.1. */
enum { AIOS_GRAMMAR_SPACED = 0x400 };

/**
 * Compiles a JSON schema (compact JSON if not said otherwise, properties in schema order), a regular expression of ECMA-262 in Unicode
 * mode, which the whole text matches, or rules: in GBNF as llama.cpp writes them, of which the text is a `root`, or in Lark as llguidance does, where it is a
 * `start` (docs/grammars.md). ESCHEMA names the path and keyword, the byte of the expression, or the line and column that is wrong or
 * cannot be enforced; where no value can satisfy a schema, the innermost path that has none and, where one or two are enough, the keywords.
 * ELIMIT if it is too large; ENOTSUP for what of an expression is not regular, and for tokens in rules. Rules may be recursive in any way.
 * Equal texts are compiled once (aios_ctx_config.grammar_bytes). Thread-safety of the object: safe.
 *
 * What is generated is a subset of what the schema allows: other properties than those listed come only where
 * additionalProperties says so, or where no properties are listed at all; integers are of 64 bits, other numbers have at most 17 digits
 * and an exponent of two, bounded ones 15 digits before the point, 10 or as many as their bounds behind it, and no exponent; strings
 * under a pattern have no \u escapes.
 */
AIOS_API int aios_grammar_compile(aios_ctx *ctx, int32_t kind, const char *s, size_t n, aios_grammar **g, aios_error *err);
/** Drops the caller's reference; walks keep it alive. NULL is fine. */
AIOS_API void aios_grammar_free(aios_grammar *g);

/** A position in the language. Thread-safety: one thread at a time. Holds a reference on g. */
AIOS_API int aios_walk_new(aios_grammar *g, aios_walk **w, aios_error *err);
/** NULL is fine. */
AIOS_API void aios_walk_free(aios_walk *w);
/** A second walk at the same position. ENOMEM, EBUDGET. */
AIOS_API int aios_walk_copy(const aios_walk *w, aios_walk **out, aios_error *err);
/** Moves over n bytes. ESCHEMA (have = bytes accepted) if they leave the language; the position is then unchanged. */
AIOS_API int aios_walk_accept(aios_walk *w, const char *s, size_t n, aios_error *err);
/** 1: what was accepted is a whole sentence. */
AIOS_API int aios_walk_complete(const aios_walk *w);
/**
 * Sets bit b of mask[32] (256 bits) for each byte that may come next. ELIMIT (too many readings, or states of a pattern: simplify the
 * grammar), ENOMEM, EBUDGET; the mask holds nothing to go by then.
 */
AIOS_API int aios_walk_next_bytes(const aios_walk *w, uint8_t mask[32]);
/** Bytes that must come next, at most n_max; returns how many. Where aios_walk_next_bytes would fail, 0, or those found before. */
AIOS_API size_t aios_walk_forced(const aios_walk *w, char *out, size_t n_max);
/** Checks a whole JSON text against a schema; ESCHEMA with the path of the first violation. */
AIOS_API int aios_schema_check(aios_ctx *ctx, const char *schema, size_t n_schema, const char *json, size_t n_json,
                               aios_error *err);
/** One place where a value breaks its schema. Texts last as long as the call that tells of it. */
typedef struct aios_violation {
    size_t struct_size;
    const char *path;        /**< JSON pointer of the value, "" for the whole; long ones are cut */
    const char *schema_path; /**< of the subschema, as messages write it: "#/properties/a" */
    const char *keyword;     /**< of the subschema */
    const char *message;
} aios_violation;
/** Nonzero ends the check, and is what it returns. */
typedef int aios_violation_fn(void *user, const aios_violation *v);
/** Formats are notes, as JSON Schema has them by default: a value of another format is no violation. */
enum { AIOS_SCHEMA_FORMAT_NOTE = 1 };
/**
 * As aios_schema_check, with flags (AIOS_SCHEMA_x), and telling fn of every violation (NULL: as aios_schema_check). Alternatives (anyOf,
 * oneOf, not, contains) count as one. With fn, ESCHEMA: there were err->have of them; have is 0 if the schema itself is wrong.
 */
AIOS_API int aios_schema_check_as(aios_ctx *ctx, uint32_t flags, const char *schema, size_t n_schema, const char *json, size_t n_json, aios_violation_fn *fn,
                                  void *user, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif

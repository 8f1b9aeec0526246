/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compiled schema as its checker and the grammar compiler see it: a flat table of subschemas. What drafts do differently is settled
 * here: a subschema has the keywords that count in its draft, and no others.
 */
#ifndef AIOS_LIB_SCHEMA_PRIV_H
#define AIOS_LIB_SCHEMA_PRIV_H

#include "grammar/rx.h"
#include "grammar/schema.h"

/** Every known keyword: C name, text, shape of its value (schema.c). NOPE: constrains, and cannot be checked here. */
#define AIOS__KEYWORDS(X)                                                                          \
    X(REF, "$ref", REF)                                                                            \
    X(ID, "$id", NOTE)                                                                              \
    X(SCHEMA, "$schema", NOTE)                                                                     \
    X(ANCHOR, "$anchor", NOTE)                                                                     \
    X(COMMENT, "$comment", NOTE)                                                                   \
    X(DEFS, "$defs", MAP)                                                                          \
    X(DEFINITIONS, "definitions", MAP)                                                             \
    X(VOCABULARY, "$vocabulary", NOTE)                                                             \
    X(DYNAMIC_REF, "$dynamicRef", REF)                                                             \
    X(RECURSIVE_REF, "$recursiveRef", REF)                                                         \
    X(DYNAMIC_ANCHOR, "$dynamicAnchor", NOTE)                                                      \
    X(RECURSIVE_ANCHOR, "$recursiveAnchor", NOTE)                                                  \
    X(TYPE, "type", TYPE)                                                                          \
    X(ENUM, "enum", LIST)                                                                          \
    X(CONST, "const", ANY)                                                                         \
    X(MINIMUM, "minimum", NUMBER)                                                                  \
    X(MAXIMUM, "maximum", NUMBER)                                                                  \
    X(EXCLUSIVE_MINIMUM, "exclusiveMinimum", EXCLUSIVE)                                            \
    X(EXCLUSIVE_MAXIMUM, "exclusiveMaximum", EXCLUSIVE)                                            \
    X(MULTIPLE_OF, "multipleOf", POSITIVE)                                                         \
    X(MIN_LENGTH, "minLength", COUNT)                                                              \
    X(MAX_LENGTH, "maxLength", COUNT)                                                              \
    X(PATTERN, "pattern", REGEX)                                                                   \
    X(MIN_ITEMS, "minItems", COUNT)                                                                \
    X(MAX_ITEMS, "maxItems", COUNT)                                                                \
    X(UNIQUE_ITEMS, "uniqueItems", BOOL)                                                           \
    X(PREFIX_ITEMS, "prefixItems", SCHEMAS)                                                        \
    X(ITEMS, "items", ITEMS)                                                                       \
    X(ADDITIONAL_ITEMS, "additionalItems", SUB)                                                    \
    X(CONTAINS, "contains", SUB)                                                                   \
    X(MIN_CONTAINS, "minContains", COUNT)                                                          \
    X(MAX_CONTAINS, "maxContains", COUNT)                                                          \
    X(MIN_PROPERTIES, "minProperties", COUNT)                                                      \
    X(MAX_PROPERTIES, "maxProperties", COUNT)                                                      \
    X(PROPERTIES, "properties", MAP)                                                               \
    X(REQUIRED, "required", NAMES)                                                                 \
    X(ADDITIONAL, "additionalProperties", SUB)                                                     \
    X(PATTERN_PROPERTIES, "patternProperties", RXMAP)                                              \
    X(PROPERTY_NAMES, "propertyNames", SUB)                                                        \
    X(DEPENDENT_REQUIRED, "dependentRequired", NAMEMAP)                                            \
    X(DEPENDENT_SCHEMAS, "dependentSchemas", MAP)                                                  \
    X(DEPENDENCIES, "dependencies", DEPENDENCY)                                                     \
    X(UNEVALUATED_ITEMS, "unevaluatedItems", SUB)                                                  \
    X(UNEVALUATED_PROPERTIES, "unevaluatedProperties", SUB)                                        \
    X(ALL_OF, "allOf", SCHEMAS)                                                                    \
    X(ANY_OF, "anyOf", SCHEMAS)                                                                    \
    X(ONE_OF, "oneOf", SCHEMAS)                                                                    \
    X(NOT, "not", SUB)                                                                             \
    X(IF, "if", SUB)                                                                               \
    X(THEN, "then", SUB)                                                                           \
    X(ELSE, "else", SUB)                                                                           \
    X(NULLABLE, "nullable", NOPE)                                                                  \
    X(FORMAT, "format", FORMAT)                                                                    \
    X(TITLE, "title", NOTE)                                                                        \
    X(DESCRIPTION, "description", NOTE)                                                            \
    X(DEFAULT, "default", NOTE)                                                                    \
    X(EXAMPLES, "examples", NOTE)                                                                  \
    X(DEPRECATED, "deprecated", NOTE)                                                              \
    X(READ_ONLY, "readOnly", NOTE)                                                                 \
    X(WRITE_ONLY, "writeOnly", NOTE)                                                               \
    X(CONTENT_ENCODING, "contentEncoding", NOTE)                                                   \
    X(CONTENT_MEDIA_TYPE, "contentMediaType", NOTE)                                                \
    X(CONTENT_SCHEMA, "contentSchema", NOTE)
enum aios__kw {
#define X(name, text, shape) AIOS__KW_##name,
    AIOS__KEYWORDS(X)
#undef X
        AIOS__KW_COUNT
};

/** Bits of a JSON value's type as schemas name them; an integral number has both INTEGER and NUMBER. */
enum {
    AIOS__T_NULL = 1,
    AIOS__T_BOOLEAN = 2,
    AIOS__T_INTEGER = 4,
    AIOS__T_NUMBER = 8,
    AIOS__T_STRING = 16,
    AIOS__T_ARRAY = 32,
    AIOS__T_OBJECT = 64,
    AIOS__T_ALL = 127
};

#define AIOS__NONE UINT32_MAX

typedef struct aios__kwval {
    enum aios__kw kw;
    const aios__json *v;
    uint32_t rx; /**< texts that a pattern or format allows, in the schema's pool; of a long enum where its table begins, + 1 */
} aios__kwval;

/** Which keywords count; LATEST without $schema: 2020-12, and what older drafts named otherwise. */
enum { AIOS__DRAFT_4, AIOS__DRAFT_6, AIOS__DRAFT_7, AIOS__DRAFT_2019, AIOS__DRAFT_2020, AIOS__DRAFT_LATEST, AIOS__DRAFTS };

typedef struct aios__sub {
    const aios__json *json; /**< object, true or false */
    uint32_t parent;        /**< subschema that holds it, AIOS__NONE at the root of a document */
    const char *kw;         /**< keyword in the parent, NULL for a target found only by $ref */
    const char *key;        /**< member below kw, or NULL */
    uint32_t index;         /**< element below kw, or AIOS__NONE */
    uint32_t first, n;      /**< its keywords in kws, annotations left out, unevaluated ones last */
    uint64_t has;           /**< a bit for each of them */
    uint32_t ref;           /**< target of $ref, or AIOS__NONE */
    uint32_t dynamic;       /**< target of $dynamicRef or $recursiveRef, or AIOS__NONE */
    const char *anchor;     /**< its target is the outermost subschema of this dynamic anchor; NULL: as for $ref */
    uint32_t resource;      /**< that it is part of */
    uint32_t mark;          /**< of the search for cycles */
    uint8_t draft;
    uint8_t types;          /**< that type, enum and const leave */
    bool shared;            /**< target of a reference */
} aios__sub;

/** A subschema with a URI of its own, which starts a scope of anchors. */
typedef struct aios__resource {
    char *uri; /**< absolute if the document says so; "" for a root without $id */
    uint32_t sub;
} aios__resource;

/** A name in a scope: of an anchor, or of a resource itself. */
typedef struct aios__anchor {
    const char *name;
    uint32_t n, resource; /**< bytes; AIOS__NONE: the name is a URI; AIOS__NAMES: a pattern */
    uint32_t sub;         /**< or the number of the resource, of the expression */
    bool dynamic;
} aios__anchor;

/** A value of a long enum: its hash, and its place + 1, 0 if the slot is free. */
typedef struct aios__listed {
    uint64_t hash;
    uint32_t i;
} aios__listed;

enum { AIOS__SCHEMA_DOCS = 4 };

struct aios__schema {
    aios__heap *heap;
    aios__json_doc *docs[AIOS__SCHEMA_DOCS]; /**< the schema, and metaschemas that it refers to */
    uint32_t n_docs;
    aios_ctx *ctx;   /**< borrowed while it compiles */
    bool notes;      /**< format says nothing about validity */
    bool strict;     /**< unknown keywords are refused, but for x-... */
    bool dynamic;    /**< some target is found only while a value is checked */
    aios__rx *own;   /**< pool of its patterns, if it is its own */
    aios__rx **pool; /**< of its patterns; made with the first of them */
    aios__sub *subs; /**< [0] is the root */
    uint32_t n_subs, cap_subs;
    aios__kwval *kws;
    uint32_t n_kws, cap_kws;
    aios__listed *listed; /**< hash tables of long enums */
    uint32_t n_listed, cap_listed;
    uint32_t *map; /**< hash of json pointers to sub index + 1 */
    uint32_t map_size;
    aios__resource *resources;
    uint32_t n_resources, cap_resources;
    size_t n_uris; /**< bytes of all their URIs */
    aios__anchor *anchors;
    uint32_t n_anchors, cap_anchors;
    uint32_t *names, names_size; /**< hash of anchors to index + 1 */
    size_t n_json; /**< bytes of its documents */
};

/** As aios__schema_new; patterns go to the pool at *rx, which is made when needed and stays the caller's. strict: no unknown keywords. */
int aios__schema_new_in(aios_ctx *ctx, aios__rx **rx, bool strict, const char *s, size_t n, aios__schema **out, aios_error *err);
/** As aios__schema_new, with AIOS_SCHEMA_ flags. */
int aios__schema_new_as(aios_ctx *ctx, uint32_t flags, const char *s, size_t n, aios__schema **out, aios_error *err);
/** Bytes that it takes, without its pool. */
size_t aios__schema_size(const aios__schema *s);
/** ELIMIT if with `more` bytes it takes, with its pool, more than compiling may. */
int aios__schema_fits(const aios__schema *s, size_t more, aios_error *err);
/** As aios__grow, and bounded by that. */
int aios__schema_grow(aios__schema *s, void *pp, uint32_t *cap, size_t need, size_t max, size_t size, const char *what, aios_error *err);
/** Puts the path of sub i in front of err where it is ELIMIT and has none; returns rc. */
int aios__schema_place(const aios__schema *s, uint32_t i, int rc, aios_error *err);
/** Parses one more document of it. */
int aios__schema_doc(aios__schema *s, const char *text, size_t n, aios_error *err);
/** Names that a key of some patternProperties speaks of. */
uint32_t aios__schema_names(const aios__schema *s, const char *pattern);
const char *aios__kw_name(enum aios__kw kw);
/** Index of a subschema; AIOS__NONE if json is none. */
uint32_t aios__schema_sub(const aios__schema *s, const aios__json *json);
/** Value of a keyword in sub i, or NULL. */
const aios__json *aios__schema_kw(const aios__schema *s, uint32_t i, enum aios__kw kw);
const aios__kwval *aios__schema_kwval(const aios__schema *s, uint32_t i, enum aios__kw kw);
/** JSON pointer of sub i into out ("#" for the root), cut to n - 1 bytes. */
const char *aios__schema_path(const aios__schema *s, uint32_t i, char *out, size_t n);
/** Bits of the type keyword's value. */
uint32_t aios__schema_types(const aios__json *type);
/** Bits of a value. */
uint32_t aios__value_types(const aios__json *v);
/** Checks v against a subschema, or with `only` not AIOS__KW_COUNT against one keyword of it. */
int aios__schema_check_at(const aios__schema *s, uint32_t sub, enum aios__kw only, const aios__json *v, aios_error *err);

/* ---- schema_ref.c: resources, anchors, references ----------------------------------------------------------------- */

/** Registers what a subschema just added names: its URI, draft and anchors. */
int aios__schema_enter(aios__schema *s, uint32_t i, aios_error *err);
/** Finds the targets of the references in sub i. */
int aios__schema_resolve(aios__schema *s, uint32_t i, aios_error *err);
/** ESCHEMA if references lead in a circle without going into the value. */
int aios__schema_cycles(aios__schema *s, aios_error *err);
#define AIOS__NAMES (AIOS__NONE - 2)
/** Adds a name; the first of its kind stays, and *out is it. */
int aios__schema_name(aios__schema *s, uint32_t resource, const char *name, size_t n, uint32_t sub, aios__anchor **out, aios_error *err);
const aios__anchor *aios__schema_anchor(const aios__schema *s, uint32_t resource, const char *name, size_t n);

/* ---- schema.c ------------------------------------------------------------------------------------------------------ */

/** Adds a subschema unless it is there. */
int aios__schema_add(aios__schema *s, const aios__json *json, uint32_t parent, const char *kw, const char *key, uint32_t index, aios_error *err);
int aios__schema_bad(const aios__schema *s, uint32_t i, const char *kw, const char *why, aios_error *err);
/** True if v is among the values of an enum. */
bool aios__schema_lists(const aios__schema *s, const aios__kwval *kv, const aios__json *v);
bool aios__schema_is(const aios__json *v);

/* ---- schema_uri.c, schema_meta.c ----------------------------------------------------------------------------------- */

/** The URI that ref is, seen from base (RFC 3986, section 5.2), without its fragment. */
int aios__uri_resolve(aios__heap *h, const char *base, const char *ref, size_t n, char **out, aios_error *err);
/** Text of a metaschema, or NULL. */
const char *aios__metaschema(const char *uri);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metaschemas that schemas may refer to, each as one document: what the drafts say of every keyword's value. Newer drafts spread it over
 * vocabularies of their own, which are not here.
 */
#include "grammar/array.h"
#include "grammar/schema_priv.h"

#define STRING "{\"type\":\"string\"}"
#define FLAG "{\"type\":\"boolean\"}"
#define NUMBER "{\"type\":\"number\"}"
#define COUNT "{\"type\":\"integer\",\"minimum\":0}"
#define FORMAT(name) "{\"type\":\"string\",\"format\":\"" name "\"}"
#define NAMES "{\"type\":\"array\",\"items\":" STRING ",\"uniqueItems\":true}"
#define LIST(self) "{\"type\":\"array\",\"minItems\":1,\"items\":" self "}"
#define MAP(self) "{\"type\":\"object\",\"additionalProperties\":" self "}"
#define EITHER(a, b) "{\"anyOf\":[" a "," b "]}"
#define OF(name, value) ",\"" name "\":" value
#define TYPES "{\"enum\":[\"array\",\"boolean\",\"integer\",\"null\",\"number\",\"object\",\"string\"]}"

/* What all drafts have in common, what came with 6, and with 7. */
#define SINCE_4(self) \
    OF("title", STRING) OF("description", STRING) OF("format", STRING) OF("default", "true") OF("enum", "{\"type\":\"array\"}") \
    OF("maximum", NUMBER) OF("minimum", NUMBER) OF("maxLength", COUNT) OF("minLength", COUNT) OF("maxItems", COUNT) \
    OF("minItems", COUNT) OF("maxProperties", COUNT) OF("minProperties", COUNT) OF("pattern", FORMAT("regex")) \
    OF("uniqueItems", FLAG) OF("required", NAMES) OF("not", self) OF("allOf", LIST(self)) OF("anyOf", LIST(self)) \
    OF("oneOf", LIST(self)) OF("definitions", MAP(self)) OF("properties", MAP(self)) OF("dependencies", MAP(EITHER(self, NAMES))) \
    OF("type", EITHER(TYPES, "{\"type\":\"array\",\"minItems\":1,\"uniqueItems\":true,\"items\":" TYPES "}"))
#define SINCE_6(self) \
    SINCE_4(self) \
    OF("$schema", FORMAT("uri")) OF("$ref", FORMAT("uri-reference")) OF("const", "true") OF("examples", "{\"type\":\"array\"}") \
    OF("exclusiveMaximum", NUMBER) OF("exclusiveMinimum", NUMBER) OF("multipleOf", "{\"type\":\"number\",\"exclusiveMinimum\":0}") \
    OF("contains", self) OF("additionalProperties", self) OF("propertyNames", self) \
    OF("patternProperties", "{\"type\":\"object\",\"additionalProperties\":" self ",\"propertyNames\":{\"format\":\"regex\"}}")
#define SINCE_7(self) \
    SINCE_6(self) \
    OF("$comment", STRING) OF("contentMediaType", STRING) OF("contentEncoding", STRING) OF("readOnly", FLAG) OF("writeOnly", FLAG) \
    OF("if", self) OF("then", self) OF("else", self)

/* And later; $id is first, without a comma. */
#define SINCE_2019(self) \
    "\"$id\":{\"type\":\"string\",\"format\":\"uri-reference\",\"pattern\":\"^[^#]*#?$\"}" \
    OF("$defs", MAP(self)) \
    OF("$vocabulary", "{\"type\":\"object\",\"propertyNames\":" FORMAT("uri") ",\"additionalProperties\":" FLAG "}") \
    OF("deprecated", FLAG) OF("maxContains", COUNT) OF("minContains", COUNT) OF("dependentRequired", MAP(NAMES)) \
    OF("dependentSchemas", MAP(self)) OF("unevaluatedItems", self) OF("unevaluatedProperties", self) OF("contentSchema", self)

/* What schemas refer to by its place in the older metaschemas. */
#define DEFINITIONS(count) \
    ",\"definitions\":{\"schemaArray\":" LIST(SELF) OF(count, COUNT) OF(count "Default0", COUNT) OF("simpleTypes", TYPES) OF("stringArray", NAMES) "}"

#define SELF "{\"$ref\":\"#\"}"
#define SELF_2019 "{\"$recursiveRef\":\"#\"}"
#define SELF_2020 "{\"$dynamicRef\":\"#meta\"}"
#define ANCHOR(pattern) "{\"type\":\"string\",\"pattern\":\"" pattern "\"}"

static const struct {
    const char *uri, *text;
} metaschemas[] = {
    {"http://json-schema.org/draft-04/schema",
     "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"id\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"object\","
     "\"properties\":{\"id\":" STRING SINCE_4(SELF) OF("$schema", STRING) OF("multipleOf", "{\"minimum\":0,\"exclusiveMinimum\":true}")
     OF("exclusiveMaximum", FLAG) OF("exclusiveMinimum", FLAG) OF("additionalProperties", EITHER(FLAG, SELF)) OF("patternProperties", MAP(SELF))
     OF("items", EITHER(SELF, LIST(SELF))) OF("additionalItems", EITHER(FLAG, SELF)) "}" DEFINITIONS("positiveInteger")
     ",\"dependencies\":{\"exclusiveMaximum\":[\"maximum\"],\"exclusiveMinimum\":[\"minimum\"]}}"},
    {"http://json-schema.org/draft-06/schema",
     "{\"$schema\":\"http://json-schema.org/draft-06/schema#\",\"$id\":\"http://json-schema.org/draft-06/schema#\",\"type\":[\"object\",\"boolean\"],"
     "\"properties\":{\"$id\":" FORMAT("uri-reference") SINCE_6(SELF) OF("items", EITHER(SELF, LIST(SELF))) OF("additionalItems", SELF) "}"
     DEFINITIONS("nonNegativeInteger") "}"},
    {"http://json-schema.org/draft-07/schema",
     "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"$id\":\"http://json-schema.org/draft-07/schema#\",\"type\":[\"object\",\"boolean\"],"
     "\"properties\":{\"$id\":" FORMAT("uri-reference") SINCE_7(SELF) OF("items", EITHER(SELF, LIST(SELF))) OF("additionalItems", SELF) "}"
     DEFINITIONS("nonNegativeInteger") "}"},
    {"https://json-schema.org/draft/2019-09/schema",
     "{\"$schema\":\"https://json-schema.org/draft/2019-09/schema\",\"$id\":\"https://json-schema.org/draft/2019-09/schema\",\"$recursiveAnchor\":true,"
     "\"type\":[\"object\",\"boolean\"],\"properties\":{" SINCE_2019(SELF_2019) SINCE_7(SELF_2019) OF("items", EITHER(SELF_2019, LIST(SELF_2019)))
     OF("additionalItems", SELF_2019) OF("$anchor", ANCHOR("^[A-Za-z][-A-Za-z0-9.:_]*$")) OF("$recursiveRef", FORMAT("uri-reference"))
     OF("$recursiveAnchor", FLAG) "}}"},
    {"https://json-schema.org/draft/2020-12/schema",
     "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"$id\":\"https://json-schema.org/draft/2020-12/schema\",\"$dynamicAnchor\":\"meta\","
     "\"type\":[\"object\",\"boolean\"],\"properties\":{" SINCE_2019(SELF_2020) SINCE_7(SELF_2020) OF("items", SELF_2020) OF("prefixItems", LIST(SELF_2020))
     OF("$anchor", ANCHOR("^[A-Za-z_][-A-Za-z0-9._]*$")) OF("$dynamicRef", FORMAT("uri-reference"))
     OF("$dynamicAnchor", ANCHOR("^[A-Za-z_][-A-Za-z0-9._]*$")) "}}"},
};

const char *aios__metaschema(const char *uri)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(metaschemas); i++)
        if (!strcmp(metaschemas[i].uri, uri))
            return metaschemas[i].text;
    return NULL;
}

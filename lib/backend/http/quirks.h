/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers that speak OpenAI's protocol, each with an accent. What a stream may look like is read the same for all (dialect_openai.c); here is
 * what must be known before a request is written. A server is recognised by its address, by the header Server of an answer or by its list of
 * models, without a request of its own; what it then still refuses is learnt (remote_params.c).
 */
#ifndef AIOS_LIB_QUIRKS_H
#define AIOS_LIB_QUIRKS_H

#include "backend/http/dialect.h"

enum {
    AIOS__QUIRK_COMPLETION_TOKENS = 1,  /**< max_completion_tokens in place of max_tokens */
    AIOS__QUIRK_STORE = 2,              /**< keeps replies unless store is false */
    AIOS__QUIRK_STRICT_TOOLS = 4,       /**< holds arguments of tools to their schema */
    AIOS__QUIRK_TOP_K = 8,              /**< takes top_k and min_p */
    AIOS__QUIRK_REPETITION = 16,        /**< takes repetition_penalty */
    AIOS__QUIRK_REPEAT = 32,            /**< takes repeat_penalty */
    AIOS__QUIRK_ONLY_NAMED = 64,        /**< a choice that names a tool is not kept: only that tool is shown */
    AIOS__QUIRK_NO_CHOICE = 128,        /**< tool_choice is not read: tools that must not be called are not shown */
    AIOS__QUIRK_FORMAT_VALUE = 256,     /**< response_format is {"type":"json_object","value":SCHEMA} */
    AIOS__QUIRK_REASONING = 512,        /**< reasoning is named "reasoning", also when it is sent back */
    AIOS__QUIRK_REASONING_CONTENT = 1024, /**< likewise "reasoning_content" */
    AIOS__QUIRK_ONE_TOP = 4096,         /**< logprobs come only with top_logprobs of at least one */
    AIOS__QUIRK_LOOSE = 2048,           /**< a schema was refused as strict: none is sent so any more */
    AIOS__QUIRK_NVEXT = 8192,           /**< where it refuses response_format it may take {"nvext":{"guided_json":SCHEMA}} */
    AIOS__QUIRK_GUIDED = 16384,         /**< and did refuse it */
    AIOS__QUIRK_NO_PRESENCE = 32768,    /**< presence_penalty means something else there: none is sent */
    AIOS__QUIRK_TOOLS_ALONE = 65536,    /**< refuses tools beside response_format: the schema of a reply is checked here alone then */
    AIOS__QUIRK_FORMAT_SCHEMA = 131072  /**< response_format is {"type":"json_object","schema":SCHEMA}; learnt from a refusal */
};

/** By host and port of the base URL. */
void aios__quirks_of_host(aios__server *s);
/** By the header Server, n bytes. */
void aios__quirks_of_software(aios__server *s, const char *header, size_t n);
/** By the owner that the list of models names. */
void aios__quirks_of_list(aios__server *s, const aios__json *list);

/** dialect_openai.c: the list of models, the same for both of OpenAI's dialects. */
int aios__list_openai(const aios__json *v, aios__buf *out, aios_error *err);

/* ---- strict.c ------------------------------------------------------------------------------------------------------- */

/** How an encoder begins an object that promises a strict schema; behind it stands true, false or null. */
#define AIOS__STRICT "{\"strict\":"

/** True if OpenAI takes a schema as strict: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas */
bool aios__schema_is_strict(const aios__json *schema);
/** Opens such an object: true if the schema qualifies, false if it does not or the server has refused one. */
int aios__put_strict(const aios__server *s, aios__buf *b, const char *schema, aios_error *err);

#endif

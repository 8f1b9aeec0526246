/* SPDX-License-Identifier: Apache-2.0 */
/* How families of models write tool calls and reasoning: one row each, found by what their chat template says. */
#ifndef AIOS_LIB_CALL_FORMAT_H
#define AIOS_LIB_CALL_FORMAT_H

#include <aios/llm.h>

#include "base/base.h"

/** What stands for the arguments. */
enum aios__call_args {
    AIOS__ARGS_JSON,   /**< a JSON object */
    AIOS__ARGS_TAGS,   /**< a tag for each: p_open KEY p_mid VALUE p_close; strings as they are, else JSON */
    AIOS__ARGS_COLON,  /**< {KEY:VALUE,...}; strings between `quote`, else as in JSON */
    AIOS__ARGS_PYTHON  /**< KEY=VALUE, ... behind "(" and up to ")" */
};

/**
 * A reply with calls is  open call (between call)* close.  A call is
 *   begin {"name": "N", "arguments": A} end      where there is a name_key, else
 *   begin N [id_open ID] mid A end.
 * between NULL: there is never more than one.
 * A blank in these texts stands for any blanks when a reply is read, for itself when one is constrained.
 */
typedef struct aios__call_format {
    const char *name;     /**< of the row */
    const char *opener;   /**< the text that tells calls from text; what comes first of open and begin starts with it */
    const char *open, *begin, *end, *between, *close;
    const char *name_key, *args_key;
    const char *id_key;   /**< of a member with the call's number; NULL: none */
    const char *id_text;  /**< regular expression of such a number */
    const char *id_open, *mid;
    const char *p_open, *p_mid, *p_mid_json, *p_close; /**< of TAGS; p_mid_json: for values that are not strings, NULL: as p_mid */
    const char *quote;    /**< of COLON */
    const char *result_open, *result_close; /**< around a tool's result where the template knows no tools; NULL: nothing */
    uint8_t args;         /**< enum aios__call_args */
    uint8_t id_len;       /**< numbers of calls have so many letters and digits in the prompt; 0: any text */
    bool id_first;        /**< the number comes before the name, else last and may be left out */
    bool list;            /**< objects stand in one JSON array */
    bool bare;            /**< a reply may begin with a call that nothing announces */
    bool compact;         /**< JSON has no blanks; else one stands behind each comma and colon, as templates' tojson writes them */
    bool channels;        /**< each message has a head that says where it goes (harmony) */
} aios__call_format;

/** How reasoning is marked. */
typedef struct aios__think_format {
    const char *open, *close;
    const char *finish; /**< what is written to end it before its time */
} aios__think_format;

/** The row of a chat template. n 0: no template. */
const aios__call_format *aios__call_format_find(const char *tmpl, size_t n);
const aios__think_format *aios__think_format_find(const char *tmpl, size_t n);
/** Row i, NULL behind the last. */
const aios__call_format *aios__call_format_at(uint32_t i);
const aios__call_format *aios__call_format_named(const char *name);

enum { AIOS__CALL_NAME_MAX = 128 };

/** What is at the beginning of a reply with calls, or before a further one. */
typedef struct aios__call_piece {
    const char *name, *id; /**< id NULL: none */
    const char *args;      /**< a JSON object */
    size_t n_args;
} aios__call_piece;

/** Writes n calls as a model of that family would. EFORMAT if arguments are no JSON object. */
int aios__calls_write(aios__heap *h, const aios__call_format *f, const aios__call_piece *calls, size_t n, aios__buf *out, aios_error *err);

/**
 * Grammar of one or more calls (max_calls 0: any number) of the given tools in a format, each with arguments under its schema,
 * spaced as its row says. only_name restricts to one tool. Many schemas are only looked at here and compiled when their tool was chosen (grammar_calls.h).
 */
int aios__grammar_calls(aios_ctx *ctx, const aios_tool_def *tools, size_t stride, uint32_t n_tools, const char *only_name,
                        const aios__call_format *f, uint32_t max_calls, aios_grammar **g, aios_error *err);

#endif

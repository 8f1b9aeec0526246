/* SPDX-License-Identifier: Apache-2.0 */
/* Grammars of tool calls, and the arguments of tools that are compiled when their tool was chosen. */
#ifndef AIOS_LIB_GRAMMAR_CALLS_H
#define AIOS_LIB_GRAMMAR_CALLS_H

#include "base/json.h"
#include "llm/call_format.h"
#include "grammar/program.h"

/** Schemas of more bytes than this in all are compiled one by one, each when its tool was chosen. */
enum { AIOS__CALLS_EAGER = 32 << 10 };

/** The bracket in front of arguments, if the syntax has one: it stands with the name. */
const char *aios__args_open(const aios__call_format *f);
/**
 * Arguments of a tool in the syntax of its format: the nodes of its schema's JSON, or a text of its properties. ENOTSUP names tool
 * and property whose values that syntax cannot be held to.
 */
int aios__grammar_args(aios_grammar *g, const aios__call_format *f, const char *tool, const char *schema, uint32_t *node, aios_error *err);
/** A property's strings stand as they are in a tag of its own, not as JSON. */
bool aios__arg_is_text(const aios__json *property);

#endif

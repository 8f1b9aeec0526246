/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted model. Its replies depend on script and transcript alone, so that every test repeats exactly. */
#ifndef AIOS_LIB_ECHO_PRIV_H
#define AIOS_LIB_ECHO_PRIV_H

#include "llm/llm.h"

/*
 * A script is statements, separated by ";":
 *   say TEXT         text of the reply, streamed word by word; \n, \\ and \; are escapes
 *   think TEXT       reasoning
 *   echo             the text of the last user entry
 *   result           the text of the last tool result
 *   call NAME ARGS   a tool call, as it stands, right or wrong; ARGS is {} if left out
 *   delay MS         waits
 *   fail CODE TEXT   ends the turn with that failure ("fail EIO the cable is cut")
 *   stop REASON      ends the turn with that reason ("length")
 *   junk             sends bytes that are not UTF-8, as a broken backend would
 *   turn             the next statement belongs to the next turn
 *   loop             after the last turn comes the first (else: "echo")
 *   set KEY NUMBER   n_ctx (tokens), slow (ms before each word)
 * A turn ends by itself behind a call that no call follows. The turn played is the number of assistant entries in the
 * transcript (of raw turns in the session, without one).
 * "echo:@FILE" reads the same from JSON:
 *   {"n_ctx":N,"slow":MS,"loop":true,"turns":[[{"say":TEXT},{"call":NAME,"arguments":{...}},{"fail":CODE,"text":TEXT},...],...]}
 *
 * What the request demands comes first: with AIOS_TOOLS_NONE no call is made; with REQUIRED or NAMED no text is, and a call
 * with minimal arguments if the script has none; with a schema the text is the script's if it satisfies the schema, else a
 * minimal value. A token is 4 bytes of prompt (rounded up) or a word of reply.
 */
enum echo_verb { ECHO_SAY, ECHO_THINK, ECHO_ECHO, ECHO_RESULT, ECHO_CALL, ECHO_DELAY, ECHO_FAIL, ECHO_STOP, ECHO_JUNK, ECHO_TURN, ECHO_LOOP, ECHO_SET, ECHO_VERBS };

typedef struct aios__echo_line {
    enum echo_verb verb;
    uint32_t turn;
    int64_t number;  /**< delay in ms, code of a failure */
    size_t name, text, n_text; /**< offsets in the script's bytes */
} aios__echo_line;

typedef struct aios__echo_script {
    aios__heap *heap;
    aios__buf bytes;
    aios__echo_line *lines;
    uint32_t n_lines, cap;
    uint32_t n_turns;
    uint32_t n_ctx;   /**< 0: not set */
    int64_t slow_ns;
    bool loop;
} aios__echo_script;

/** Parses a script, or reads "@FILE". EINVAL, EFORMAT, ENOENT ... */
int aios__echo_script_read(aios_ctx *ctx, const char *path, aios__echo_script *out, aios_error *err);
void aios__echo_script_free(aios__echo_script *s);

/** Appends the smallest value that the schema allows. ENOTSUP if none is found. */
int aios__echo_minimal(aios_ctx *ctx, const char *schema, aios__buf *out, aios_error *err);

/** What a turn will do, one item after the other. */
typedef struct aios__echo_item {
    enum echo_verb verb; /**< SAY THINK CALL DELAY FAIL JUNK */
    int64_t number;
    size_t name, text, n_text; /**< offsets in the plan's bytes */
} aios__echo_item;

typedef struct aios__echo_plan {
    aios__buf bytes;
    aios__echo_item *items;
    uint32_t n, cap;
    char reason[32];
} aios__echo_plan;

/** Plans the turn that req asks for. */
int aios__echo_plan_make(aios_ctx *ctx, const aios__echo_script *script, const aios_request *req, uint32_t raw_turn, aios__echo_plan *out,
                         aios_error *err);
void aios__echo_plan_free(aios__echo_plan *p);

/** The prompt as this model reads it. */
int aios__echo_render(const aios_request *req, aios__buf *out, aios_error *err);

#endif

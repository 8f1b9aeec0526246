/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_TMPL_LEX_H
#define AIOS_LIB_TMPL_LEX_H

#include "backend/gguf/tmpl_priv.h"

enum { K_EOF, K_DATA, K_VAR_BEGIN, K_VAR_END, K_BLOCK_BEGIN, K_BLOCK_END, K_NAME, K_STRING, K_INT, K_REAL, K_OP };

/* op: up to two characters of an operator, first | second << 8. */
typedef struct aios__tp_token { uint8_t k; uint16_t op; uint32_t pos; aios__tp_val v; } aios__tp_token;
#define OP1(a) ((uint16_t)(a))
#define OP2(a, b) ((uint16_t)((a) | (b) << 8))

/* Splits the whole source; *tokens lives in the arena and ends with K_EOF. */
int aios__tp_lex(tp *s, aios__tp_token **tokens, uint32_t *n);

#endif

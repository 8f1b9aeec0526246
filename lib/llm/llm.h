/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/llm for the agent tier and the backends. */
#ifndef AIOS_LIB_LLM_H
#define AIOS_LIB_LLM_H

#include <aios/plugin/backend.h>

#include "base/base.h"
#include "llm/grammar_mask.h"
#include "llm/schema.h"

/** Join of two labels: the smaller integrity, the union of confidentiality. */
aios_label aios__label_join(aios_label a, aios_label b);
aios_ctx *aios__model_ctx(const aios_model *m);
aios_model *aios__model_ref(aios_model *m); /**< dropped by aios_model_close */
/** Called by lib/builtin.c for each built-in backend. */
int aios__backend_echo_init(aios_ctx *ctx, aios_error *err);
int aios__backend_gguf_init(aios_ctx *ctx, aios_error *err);

#endif

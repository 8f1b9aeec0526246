/* SPDX-License-Identifier: Apache-2.0 */
/* Chat templates: a Jinja VM without attribute walks, I/O or host objects, with fuel, depth, output and memory limits. */
#ifndef AIOS_LIB_GGUF_TEMPLATE_H
#define AIOS_LIB_GGUF_TEMPLATE_H

#include "base/json.h"

typedef struct aios__template aios__template;

/** Zero = the default in brackets. */
typedef struct aios__template_limits {
    uint64_t fuel;       /**< steps [5,000,000] */
    size_t output;       /**< bytes [16 MiB] */
    size_t memory;       /**< bytes of values [64 MiB] */
    uint32_t depth;      /**< nesting of calls and expressions [128] */
} aios__template_limits;

/** Compiles; ETEMPLATE with line and column. trim_blocks and lstrip_blocks are on, as transformers has it. */
int aios__template_new(aios__heap *h, const char *src, size_t n, aios__template **out, aios_error *err);
/** Renders with the members of `vars` (a JSON object) as globals. now_us: wall clock for strftime_now. ETEMPLATE (also raise_exception: its text), ELIMIT. Safe for concurrent use. */
int aios__template_render(const aios__template *t, const aios__json *vars, const aios__template_limits *limits, int64_t now_us, aios__buf *out, aios_error *err);
/** True if the template reads the global variable (e.g. "tools") anywhere. */
bool aios__template_uses(const aios__template *t, const char *name);
void aios__template_free(aios__template *t);

#endif

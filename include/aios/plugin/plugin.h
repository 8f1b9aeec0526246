/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file plugin.h
 * The one object that a plugin .so exports.
 */
#ifndef AIOS_PLUGIN_PLUGIN_H
#define AIOS_PLUGIN_PLUGIN_H

#include <aios/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

/** ABI of include/aios/plugin/; a plugin of another one is refused. */
#define AIOS_PLUGIN_ABI 1

/** `const aios_plugin aios_plugin_entry` is what aios_plugin_load looks up. init makes the aios_x_register calls. */
typedef struct aios_plugin {
    size_t struct_size;
    uint32_t abi; /**< AIOS_PLUGIN_ABI */
    uint32_t reserved0;
    const char *name;
    int (*init)(aios_ctx *ctx, aios_error *err);
} aios_plugin;

#define AIOS_PLUGIN_SYMBOL "aios_plugin_entry"

#ifdef __cplusplus
}
#endif
#endif

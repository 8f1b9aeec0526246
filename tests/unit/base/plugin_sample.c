/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins of the loader's tests, one object for each VARIANT. What they do shows in the environment of the process. */
#include <aios/plugin/plugin.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((unused)) static int init(aios_ctx *ctx, aios_error *err)
{
    (void)ctx;
    setenv("AIOS_TEST_PLUGIN", "loaded", 1);
    if (VARIANT == 1 && err)
        snprintf(err->msg, sizeof err->msg, "no such card");
    return VARIANT == 1 ? AIOS_EUNAVAIL : 0;
}

__attribute__((destructor)) static void leave(void)
{
    setenv("AIOS_TEST_PLUGIN", "gone", 1);
}

#if VARIANT != 2
extern AIOS_API const aios_plugin aios_plugin_entry;
const aios_plugin aios_plugin_entry = {
    .struct_size = VARIANT == 3 ? 12 : sizeof(aios_plugin),
    .abi = VARIANT == 4 ? AIOS_PLUGIN_ABI + 1 : AIOS_PLUGIN_ABI,
    .name = "sample",
    .init = VARIANT == 5 ? NULL : init,
};
#endif

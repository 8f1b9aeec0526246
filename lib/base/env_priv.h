/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_ENV_PRIV_H
#define AIOS_LIB_ENV_PRIV_H

#include "base/base.h"

/* spawn.c: the built-in slots of aios_env, as documented there. */
int aios__spawn(void *user, const aios_spawn_args *args, aios_spawn_out *out, aios_child **c, int32_t *sys);
int aios__child_wait(void *user, aios_child *c, int32_t timeout_ms, int32_t *status, int32_t *sys);
void aios__child_close(void *user, aios_child *c);

#endif

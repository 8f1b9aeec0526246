/* SPDX-License-Identifier: Apache-2.0 */
/* The one suite of every backend: as a program, and to be loaded by whoever has a backend that no file holds. */
#ifndef AIOS_CONFORM_BACKEND_H
#define AIOS_CONFORM_BACKEND_H

#include <aios/aios.h>

/** Called for each context before a model is opened in it: registers the backend. 0, or a code that is told in err. */
typedef int conform_prepare_fn(void *user, aios_ctx *ctx, aios_error *err);

/**
 * URI [--plugin FILE.so] [--serve PROGRAM MODEL-URI] [--ctx TOKENS], behind the name of the program. --serve starts a server of a model first
 * and puts its port in the place of % in URI. prepare may be NULL. The number of tests that failed; 2: the arguments are wrong.
 */
AIOS_API int conform_backend(int argc, char **argv, conform_prepare_fn *prepare, void *user);

#endif

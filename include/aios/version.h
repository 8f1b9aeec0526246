/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file version.h
 * Version of the headers and of the library that runs.
 */
#ifndef AIOS_VERSION_H
#define AIOS_VERSION_H

#include <aios/base.h>

#define AIOS_VERSION_MAJOR 0
#define AIOS_VERSION_MINOR 1
#define AIOS_VERSION_PATCH 0
/** major << 16 | minor << 8 | patch */
#define AIOS_VERSION ((AIOS_VERSION_MAJOR << 16) | (AIOS_VERSION_MINOR << 8) | AIOS_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/** AIOS_VERSION of the library that runs. Thread-safety: safe. */
AIOS_API uint32_t aios_version(void);
/**
 * 1 if this build has the feature ("curl", "hwloc", "openblas", "sqlite", "crypto", "gguf", "echo"), else 0.
 * Thread-safety: safe.
 */
AIOS_API int aios_has(const char *feature);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_MEMLIMIT_H
#define AIOS_LIB_MEMLIMIT_H
#include <stdint.h>
/** Bytes that this process may use: the smaller of the machine's memory and its cgroup's limits. Never 0. */
uint64_t aios__memory_limit(void);
/** The same for files under `root` ("" is the real one) and a machine of that many bytes. */
uint64_t aios__memory_limit_in(const char *root, uint64_t machine);
#endif

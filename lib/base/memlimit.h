/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_MEMLIMIT_H
#define AIOS_LIB_MEMLIMIT_H
#include <stdint.h>
/** Bytes that this process may use: the smaller of the machine's memory and its cgroup's limits. Never 0. */
uint64_t aios__memory_limit(void);
#endif

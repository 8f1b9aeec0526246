/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memlimit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : (uint64_t)1 << 30;
}

/* A number in a file, or `none` where there is none ("max"). */
static uint64_t read_number(const char *path, uint64_t none)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return none;
    unsigned long long v;
    uint64_t out = fscanf(f, "%llu", &v) == 1 ? (uint64_t)v : none;
    fclose(f);
    return out;
}

/* The cgroup v2 path of this process, "" for the root. */
static void own_cgroup(char *out, size_t n)
{
    char line[512];
    out[0] = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "0::", 3)) {
            line[strcspn(line, "\n")] = 0;
            snprintf(out, n, "%s", line + 3);
        }
    fclose(f);
}

uint64_t aios__memory_limit(void)
{
    uint64_t limit = machine_memory();
    char group[512], path[640];
    own_cgroup(group, sizeof group);
    /* every ancestor may set a limit */
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", strcmp(group, "/") ? group : "");
        uint64_t v = read_number(path, limit);
        limit = v && v < limit ? v : limit;
        char *slash = strrchr(group, '/');
        if (!slash || !group[0] || !strcmp(group, "/"))
            break;
        *slash = 0;
    }
    uint64_t v1 = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit);
    return v1 && v1 < limit ? v1 : limit;
}

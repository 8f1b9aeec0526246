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

/* The cgroup v2 path of this process, "" for the root or if it is unknown. */
static void own_cgroup(const char *root, char *out, size_t n)
{
    char line[512];
    out[0] = 0;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "0::/", 4)) {
            line[strcspn(line, "\n")] = 0;
            snprintf(out, n, "%s", line + 3);
        }
    fclose(f);
}

static uint64_t smaller(uint64_t limit, uint64_t v)
{
    return v && v < limit ? v : limit;
}

uint64_t aios__memory_limit_in(const char *root, uint64_t machine)
{
    uint64_t limit = machine;
    char group[512], path[1024];
    own_cgroup(root, group, sizeof group);
    if (!strcmp(group, "/"))
        group[0] = 0;
    for (;;) { /* every ancestor may set a limit */
        snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/memory.max", root, group);
        limit = smaller(limit, read_number(path, limit));
        char *slash = strrchr(group, '/');
        if (!slash)
            break;
        *slash = 0;
    }
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/memory/memory.limit_in_bytes", root); /* v1 */
    return smaller(limit, read_number(path, limit));
}

uint64_t aios__memory_limit(void)
{
    return aios__memory_limit_in("", machine_memory());
}

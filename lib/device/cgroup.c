/* SPDX-License-Identifier: Apache-2.0 */
/* CPU and memory limits of control groups: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/. */
#include <stdio.h>

#include "device/device_priv.h"

static void take_quota(aios__cgroup *out, uint64_t quota, uint64_t period)
{
    if (!period || !quota || quota == UINT64_MAX)
        return;
    uint64_t milli;
    if (!aios__mul_u64(quota, 1000, &milli))
        return;
    milli /= period;
    if (!milli)
        milli = 1;
    if (!out->quota_millicpu || milli < out->quota_millicpu)
        out->quota_millicpu = milli;
}

static void take_memory(aios__cgroup *out, uint64_t limit, uint64_t used)
{
    /* v1 says "none" by a number near 2^63 */
    if (!limit || limit >= (uint64_t)1 << 62 || limit >= out->memory_limit)
        return;
    out->memory_limit = limit;
    out->memory_used = used;
}

static uint64_t file_u64(const char *root, const char *dir, const char *name)
{
    char path[768];
    uint64_t v;
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && aios__sys_u64(root, path, &v) ? v : 0;
}

static void read_v2_cpu(const char *root, const char *dir, aios__cgroup *out)
{
    char path[768], text[64];
    unsigned long long quota, period;
    int n = snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (n < 0 || (size_t)n >= sizeof path || aios__sys_text(root, path, text, sizeof text) < 0)
        return;
    if (text[0] >= '0' && text[0] <= '9' && sscanf(text, "%19llu %19llu", &quota, &period) == 2)
        take_quota(out, quota, period);
}

static void read_v2(const char *root, const char *dir, aios__cgroup *out)
{
    read_v2_cpu(root, dir, out);
    take_memory(out, file_u64(root, dir, "memory.max"), file_u64(root, dir, "memory.current"));
}

static void read_v1_cpu(const char *root, const char *dir, aios__cgroup *out)
{
    take_quota(out, file_u64(root, dir, "cpu.cfs_quota_us"), file_u64(root, dir, "cpu.cfs_period_us"));
}

static void read_v1_memory(const char *root, const char *dir, aios__cgroup *out)
{
    take_memory(out, file_u64(root, dir, "memory.limit_in_bytes"), file_u64(root, dir, "memory.usage_in_bytes"));
}

/* A container may not see its own path, so every ancestor is tried and what is missing says nothing. */
static void walk_up(const char *root, const char *mount, const char *group, void (*read)(const char *, const char *, aios__cgroup *),
                    aios__cgroup *out)
{
    char dir[640];
    size_t n_mount = strlen(mount);
    int n = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof dir || strstr(group, "/..")) {
        read(root, mount, out);
        return;
    }
    for (size_t len = (size_t)n; len > n_mount;) {
        if (dir[len - 1] == '/') {
            dir[--len] = 0;
            continue;
        }
        read(root, dir, out);
        while (len > n_mount && dir[len - 1] != '/')
            len--;
        dir[len] = 0;
    }
    read(root, mount, out);
}

static bool has_controller(const char *list, size_t n, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i + len <= n; i++)
        if (!memcmp(list + i, name, len) && (!i || list[i - 1] == ',') && (i + len == n || list[i + len] == ','))
            return true;
    return false;
}

/* One line "id:controllers:path" of /proc/self/cgroup. */
static void read_line(const char *root, char *line, aios__cgroup *out)
{
    char *list = strchr(line, ':');
    char *group = list ? strchr(list + 1, ':') : NULL;
    if (!group)
        return;
    size_t n_list = (size_t)(group - ++list);
    group++;
    if (!n_list)
        walk_up(root, "/sys/fs/cgroup", group, read_v2, out);
    if (has_controller(list, n_list, "cpu")) {
        walk_up(root, "/sys/fs/cgroup/cpu", group, read_v1_cpu, out);
        walk_up(root, "/sys/fs/cgroup/cpu,cpuacct", group, read_v1_cpu, out);
    }
    if (has_controller(list, n_list, "memory"))
        walk_up(root, "/sys/fs/cgroup/memory", group, read_v1_memory, out);
}

void aios__cgroup_read(const char *root, aios__cgroup *out)
{
    char text[4096];
    *out = (aios__cgroup){.memory_limit = UINT64_MAX};
    if (aios__sys_text(root, "/proc/self/cgroup", text, sizeof text) < 0)
        return;
    for (char *line = text; line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = 0;
        read_line(root, line, out);
        line = end;
    }
}

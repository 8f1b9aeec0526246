/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in tools of `aios agent`: time, calculator, system_facts, read_file below a root. All of them only read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <linux/openat2.h>
#include <sys/syscall.h>

#include "cli.h"

#define MAX_FILE 65536

static int finish_text(aios_call *call, const char *s)
{
    return aios_call_finish(call, AIOS_OK, s, AIOS_CSTR);
}

static int fail_text(aios_call *call, const char *what, const char *why)
{
    char msg[512];
    snprintf(msg, sizeof msg, "%s: %s", what, why);
    return aios_call_finish(call, AIOS_ETOOL, msg, AIOS_CSTR);
}

static int tool_time(void *user, aios_call *call)
{
    (void)user;
    char s[96];
    time_t now = time(NULL);
    struct tm tm;
    if (!localtime_r(&now, &tm) || !strftime(s, sizeof s, "%A, %Y-%m-%d %H:%M:%S %Z", &tm))
        return fail_text(call, "time", "the clock cannot be read");
    return finish_text(call, s);
}

static int tool_calculator(void *user, aios_call *call)
{
    (void)user;
    char msg[256];
    double v = 0;
    json_t *args = json_loads(aios_call_args(call), 0, NULL);
    const char *expr = json_string_value(json_object_get(args, "expression"));
    int rc = expr ? calc(expr, &v, msg, sizeof msg) : AIOS_EINVAL;
    rc = rc ? fail_text(call, "calculator", expr ? msg : "expression is missing") : (snprintf(msg, sizeof msg, "%.15g", v), finish_text(call, msg));
    json_decref(args);
    return rc;
}

static int tool_facts(void *user, aios_call *call)
{
    (void)user;
    struct utsname u;
    char s[512];
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE), cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (uname(&u))
        return fail_text(call, "system_facts", strerror(errno));
    snprintf(s, sizeof s, "{\"os\":\"%s %s\",\"machine\":\"%s\",\"host\":\"%s\",\"cpus\":%ld,\"memory_mib\":%lld}", u.sysname, u.release, u.machine,
             u.nodename, cpus, (long long)pages * size / 1048576);
    return finish_text(call, s);
}

/* Opens path below the root folder: no "..", no absolute path, no link that leaves it. */
static int open_below(int root, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int tool_read(void *user, aios_call *call)
{
    int root = *(int *)user;
    json_t *args = json_loads(aios_call_args(call), 0, NULL);
    const char *path = json_string_value(json_object_get(args, "path"));
    int fd = path ? open_below(root, path) : -1, rc;
    struct stat st;
    char *p = NULL;
    if (fd < 0)
        rc = fail_text(call, path ? path : "read_file", path ? (errno == EXDEV ? "outside the folder that may be read" : strerror(errno)) : "path is missing");
    else if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        rc = fail_text(call, path, "not a regular file");
    else if (!(p = malloc(MAX_FILE)))
        rc = fail_text(call, path, "out of memory");
    else {
        ssize_t n = read(fd, p, MAX_FILE);
        rc = n < 0 ? fail_text(call, path, strerror(errno)) : aios_call_finish(call, AIOS_OK, p, memchr(p, 0, (size_t)n) ? 0 : (size_t)n);
    }
    if (fd >= 0)
        close(fd);
    free(p);
    json_decref(args);
    return rc;
}

static void release_root(void *user)
{
    close(*(int *)user);
    free(user);
}

static const struct {
    const char *name, *description, *schema;
    aios_tool_fn *fn;
} tools[] = {
    {"time", "Tells the current date and time.", "{\"type\":\"object\",\"properties\":{}}", tool_time},
    {"calculator", "Computes an arithmetic expression such as (3+4)*12.5.",
     "{\"type\":\"object\",\"properties\":{\"expression\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200,"
     "\"description\":\"the expression\"}},\"required\":[\"expression\"]}",
     tool_calculator},
    {"system_facts", "Tells operating system, host name, CPUs and memory of this computer.", "{\"type\":\"object\",\"properties\":{}}", tool_facts},
};

static int add_read_file(aios_toolset *ts, const char *root, aios_error *err)
{
    aios_tool t = AIOS_INIT(aios_tool);
    int *fd = malloc(sizeof *fd);
    if (!fd)
        return AIOS_ENOMEM;
    *fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) {
        snprintf(err->msg, sizeof err->msg, "--root %.200s: %s", root, strerror(errno));
        err->code = AIOS_ENOENT;
        free(fd);
        return AIOS_ENOENT;
    }
    t.name = "read_file";
    t.description = "Reads a text file.";
    t.schema_json = "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255,"
                    "\"description\":\"path of the file\"}},\"required\":[\"path\"]}";
    t.effect = AIOS_EFFECT_READ;
    t.fn = tool_read;
    t.user = fd;
    t.release = release_root;
    int rc = aios_toolset_add(ts, &t, err);
    if (rc)
        release_root(fd);
    return rc;
}

int cli_tools_builtin(aios_toolset *ts, const char *root, aios_error *err)
{
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        aios_tool t = AIOS_INIT(aios_tool);
        t.name = tools[i].name;
        t.description = tools[i].description;
        t.schema_json = tools[i].schema;
        t.effect = AIOS_EFFECT_READ;
        t.flags = AIOS_TOOL_TRUSTED;
        t.fn = tools[i].fn;
        int rc = aios_toolset_add(ts, &t, err);
        if (rc)
            return rc;
    }
    return add_read_file(ts, root, err);
}

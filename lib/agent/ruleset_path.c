/* SPDX-License-Identifier: Apache-2.0 */
/* Paths in arguments: where they lead to in the file system as it is now. Who opens the file later should do so by openat2 or as this does. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/ruleset.h"

static void drop_slashes(char *s)
{
    size_t n = strlen(s);
    while (n > 1 && s[n - 1] == '/')
        s[--n] = 0;
}

static bool is_dots(const char *s)
{
    return !strcmp(s, ".") || !strcmp(s, "..");
}

bool aios__path_real(const char *path, char *out)
{
    char head[PATH_MAX];
    size_t n = strlen(path), at = n;
    struct stat st;
    if (path[0] != '/' || n >= sizeof head)
        return false;
    memcpy(head, path, n + 1);
    while (!realpath(head, out)) {
        drop_slashes(head);
        char *slash = strrchr(head, '/');
        /* a link that leads nowhere would be followed when its target is made */
        if (errno != ENOENT || !slash || is_dots(slash + 1) || !lstat(head, &st))
            return false;
        at = (size_t)(slash - head);
        head[at ? at : 1] = 0;
        if (!slash[1] && !at)
            return false;
    }
    for (const char *s = path + at; *s;) { /* what is to be made: plain names alone */
        s += strspn(s, "/");
        size_t k = strcspn(s, "/"), have = strlen(out);
        if (!k)
            break;
        if ((k == 1 && *s == '.') || (k == 2 && s[0] == '.' && s[1] == '.') || have + k + 2 > PATH_MAX)
            return false;
        if (have > 1)
            out[have++] = '/';
        memcpy(out + have, s, k);
        out[have + k] = 0;
        s += k;
    }
    return true;
}

bool aios__path_under(const char *path, const char *root, const char **rest)
{
    size_t n = strlen(root);
    if (n == 1)
        n = 0;
    if (strncmp(path, root, n) || (path[n] && path[n] != '/'))
        return false;
    *rest = path + n;
    return true;
}

/* "a/../b" as text alone, the way many programs clean a path before they open it. */
static void clean(const char *path, char *out)
{
    size_t n = 0;
    for (const char *s = path; *s;) {
        s += strspn(s, "/");
        size_t k = strcspn(s, "/");
        if (k == 2 && s[0] == '.' && s[1] == '.') {
            while (n && out[--n] != '/')
                ;
        } else if (k && !(k == 1 && *s == '.')) {
            out[n++] = '/';
            memcpy(out + n, s, k);
            n += k;
        }
        s += k;
    }
    if (!n)
        out[n++] = '/';
    out[n] = 0;
}

static bool in_git(const char *rest)
{
    for (const char *s = rest; *s;) {
        s += strspn(s, "/");
        size_t k = strcspn(s, "/");
        if (k == 4 && !strncasecmp(s, ".git", 4))
            return true;
        s += k;
    }
    return false;
}

static bool is_policy(const char *real, const aios_rules *policy)
{
    struct stat st;
    if (!policy->path[0])
        return false;
    return !strcmp(real, policy->path) || (!stat(real, &st) && st.st_dev == policy->file.st_dev && st.st_ino == policy->file.st_ino);
}

static enum aios__fit fit_one(const aios__path_rule *p, const char *path, const aios_rules *policy, bool deny)
{
    char real[PATH_MAX], root[PATH_MAX];
    const char *rest;
    if (!aios__path_real(path, real))
        return AIOS__FIT_UNSURE;
    for (uint32_t i = 0; i < p->n_roots; i++) {
        if (!realpath(p->roots[i], root) || !aios__path_under(real, root, &rest))
            continue;
        return !deny && (in_git(rest) || is_policy(real, policy)) ? AIOS__FIT_NO : AIOS__FIT_YES;
    }
    return AIOS__FIT_NO;
}

enum aios__fit aios__path_fit(const aios__path_rule *p, const char *s, size_t n, const aios_rules *policy, bool deny)
{
    char full[PATH_MAX], cleaned[PATH_MAX + 1];
    size_t n_base = *s == '/' ? 0 : strlen(p->base) + 1;
    if (!n || memchr(s, 0, n) || n_base + n >= sizeof full)
        return AIOS__FIT_UNSURE;
    if (n_base) {
        memcpy(full, p->base, n_base - 1);
        full[n_base - 1] = '/';
    }
    memcpy(full + n_base, s, n);
    full[n_base + n] = 0;
    clean(full, cleaned);
    enum aios__fit a = fit_one(p, full, policy, deny), b = fit_one(p, cleaned, policy, deny);
    if (a == AIOS__FIT_UNSURE || b == AIOS__FIT_UNSURE)
        return AIOS__FIT_UNSURE;
    return a == b ? a : deny ? AIOS__FIT_YES : AIOS__FIT_NO;
}

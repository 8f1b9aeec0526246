/* SPDX-License-Identifier: Apache-2.0 */
/* A directory that stands in for "/" when /proc and /sys are read. */
#ifndef AIOS_TEST_FAKE_ROOT_H
#define AIOS_TEST_FAKE_ROOT_H

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static char fake_root[64];

static inline int fake_root_new(void **state)
{
    (void)state;
    snprintf(fake_root, sizeof fake_root, "/tmp/aios-root-XXXXXX");
    return mkdtemp(fake_root) ? 0 : -1;
}

static inline int fake_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int fake_root_free(void **state)
{
    (void)state;
    return nftw(fake_root, fake_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes n bytes to root/path, folders included. */
static inline void fake_bytes(const char *path, const void *p, size_t n)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", fake_root, path);
    for (char *s = full + strlen(fake_root) + 1; (s = strchr(s, '/')); *s++ = '/') {
        *s = 0;
        mkdir(full, 0777);
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static inline void fake_file(const char *path, const char *text)
{
    fake_bytes(path, text, strlen(text));
}

#endif

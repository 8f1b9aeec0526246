/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of /proc and /sys. Their text is untrusted: a container may put anything there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "device/device_priv.h"

long aios__sys_text(const char *root, const char *path, char *buf, size_t n)
{
    char full[1024];
    int len = snprintf(full, sizeof full, "%s%s", root, path);
    buf[0] = 0;
    if (len < 0 || (size_t)len >= sizeof full)
        return -1;
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -1;
    size_t got = 0;
    while (got < n - 1) {
        ssize_t r = read(fd, buf + got, n - 1 - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    close(fd);
    buf[got] = 0;
    return got ? (long)got : -1;
}

/* Decimal digits at *s, saturating; false if there are none. */
static bool parse_u64(const char **s, uint64_t *out)
{
    const char *p = *s;
    uint64_t v = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            v = UINT64_MAX;
    *s = p;
    *out = v;
    return true;
}

bool aios__sys_u64(const char *root, const char *path, uint64_t *out)
{
    char buf[64];
    const char *p = buf;
    uint64_t v;
    if (aios__sys_text(root, path, buf, sizeof buf) < 0 || !parse_u64(&p, &v))
        return false;
    uint32_t shift = *p == 'K' ? 10 : *p == 'M' ? 20 : *p == 'G' ? 30 : 0;
    *out = v > UINT64_MAX >> shift ? UINT64_MAX : v << shift;
    return true;
}

uint32_t aios__sys_list(const char *text, uint64_t *bits, uint32_t n_bits)
{
    uint32_t n = 0;
    for (const char *p = text; *p;) {
        uint64_t from, to;
        if (!parse_u64(&p, &from))
            break;
        to = from;
        if (*p == '-') {
            p++;
            if (!parse_u64(&p, &to))
                break;
        }
        for (uint64_t i = from; i <= to && i < n_bits; i++) {
            n += !(bits[i / 64] >> (i % 64) & 1);
            bits[i / 64] |= (uint64_t)1 << (i % 64);
        }
        if (*p != ',')
            break;
        p++;
    }
    return n;
}

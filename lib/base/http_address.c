/* SPDX-License-Identifier: Apache-2.0 */
/* Which kind of place an address leads to: the special-purpose registries of IANA as tables of prefixes, the first that fits counts. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/http.h"

enum { NOWHERE = 0, EMBEDDED = 0x100 }; /* EMBEDDED + i: bytes i to i + 3 are the IPv4 address that is meant */

typedef struct prefix {
    uint8_t bytes[16];
    uint8_t n_bits;
    uint32_t kind;
} prefix;

static const prefix v4[] = {
    {{0, 0, 0, 0}, 32, AIOS__ALLOW_LOOPBACK}, /* as a target it is this machine */
    {{0}, 8, NOWHERE},
    {{10}, 8, AIOS__ALLOW_PRIVATE},
    {{100, 64}, 10, AIOS__ALLOW_PRIVATE}, /* between a provider and its customers */
    {{127}, 8, AIOS__ALLOW_LOOPBACK},
    {{169, 254}, 16, AIOS__ALLOW_LINK_LOCAL}, /* metadata services of clouds too */
    {{172, 16}, 12, AIOS__ALLOW_PRIVATE},
    {{192, 0, 0}, 24, NOWHERE},
    {{192, 0, 2}, 24, NOWHERE},
    {{192, 88, 99}, 24, NOWHERE},
    {{192, 168}, 16, AIOS__ALLOW_PRIVATE},
    {{198, 18}, 15, AIOS__ALLOW_PRIVATE}, /* benchmarks */
    {{198, 51, 100}, 24, NOWHERE},
    {{203, 0, 113}, 24, NOWHERE},
    {{224}, 3, NOWHERE}, /* multicast, reserved, broadcast */
    {{0}, 0, AIOS__ALLOW_PUBLIC},
};

static const prefix v6[] = {
    {{0}, 128, AIOS__ALLOW_LOOPBACK},
    {{[15] = 1}, 128, AIOS__ALLOW_LOOPBACK},
    {{[10] = 0xff, 0xff}, 96, EMBEDDED + 12},                /* ::ffff:a.b.c.d */
    {{[8] = 0xff, 0xff}, 96, EMBEDDED + 12},                 /* ::ffff:0:a.b.c.d */
    {{0}, 96, EMBEDDED + 12},                                /* ::a.b.c.d */
    {{0, 0x64, 0xff, 0x9b}, 96, EMBEDDED + 12},              /* NAT64 */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, AIOS__ALLOW_PRIVATE},  /* NAT64 of a site */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, NOWHERE},
    {{0x20, 0x01}, 23, NOWHERE},                             /* Teredo, ORCHID and other protocols */
    {{0x20, 0x02}, 16, EMBEDDED + 2},                        /* 6to4 */
    {{0x3f, 0xff}, 20, NOWHERE},
    {{0x20}, 3, AIOS__ALLOW_PUBLIC},
    {{0xfc}, 7, AIOS__ALLOW_PRIVATE},
    {{0xfe, 0x80}, 10, AIOS__ALLOW_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, AIOS__ALLOW_PRIVATE},
    {{0}, 0, NOWHERE}, /* multicast and what nobody was given */
};

static uint32_t find(const prefix *rows, const uint8_t *a)
{
    for (;; rows++) { /* the last row fits all */
        size_t n = rows->n_bits / 8, rest = rows->n_bits % 8;
        if (!memcmp(rows->bytes, a, n) && (!rest || (a[n] ^ rows->bytes[n]) >> (8 - rest) == 0))
            return rows->kind;
    }
}

uint32_t aios__address_class(const char *text)
{
    char s[INET6_ADDRSTRLEN + 1];
    uint8_t a[16];
    size_t from = text[0] == '[', n = strcspn(text + from, "%]"); /* a zone says nothing here */
    if (n >= sizeof s)
        return NOWHERE;
    memcpy(s, text + from, n);
    s[n] = 0;
    if (inet_pton(AF_INET, s, a) == 1)
        return find(v4, a);
    if (inet_pton(AF_INET6, s, a) != 1)
        return NOWHERE;
    uint32_t kind = find(v6, a);
    return kind & EMBEDDED ? find(v4, a + (kind & ~(uint32_t)EMBEDDED)) : kind;
}

const char *aios__address_kind(uint32_t kind)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } rows[] = {
        {AIOS__ALLOW_PUBLIC, "public"}, {AIOS__ALLOW_PRIVATE, "private"}, {AIOS__ALLOW_LINK_LOCAL, "link-local"}, {AIOS__ALLOW_LOOPBACK, "loopback"}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].bit == kind)
            return rows[i].name;
    return "special-purpose";
}

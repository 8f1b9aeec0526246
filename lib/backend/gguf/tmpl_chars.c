/* SPDX-License-Identifier: Apache-2.0 */
/* Characters as Python's str sees them. */
#include "backend/gguf/tmpl_priv.h"

bool aios__tp_cp_is(uint32_t cp, int cls)
{
    if (cp < 128 && cls == AIOS__UNI_SPACE)
        return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 31);
    const aios__uni_class *c = &aios__uni_classes[cls];
    size_t lo = 0, hi = c->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > c->r[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->n && cp >= c->r[lo].first;
}

static uint32_t map_ascii(uint32_t cp, int which)
{
    if (which == AIOS__CASE_LOWER)
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return cp >= 'a' && cp <= 'z' ? cp - 32 : cp;
}

size_t aios__tp_cp_case(uint32_t cp, int which, char out[16])
{
    if (cp < 128) {
        out[0] = (char)map_ascii(cp, which);
        return 1;
    }
    const aios__uni_case *c = &aios__uni_cases[which];
    for (size_t i = 0; i < c->ns && c->s[i].cp <= cp; i++)
        if (c->s[i].cp == cp) {
            size_t n = strlen(c->s[i].to);
            memcpy(out, c->s[i].to, n);
            return n;
        }
    size_t lo = 0, hi = c->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > c->m[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    /* Runs of stride two interleave with others, so a few neighbours are looked at. */
    for (size_t i = lo; i < c->n && i < lo + 4; i++) {
        const aios__uni_map *m = &c->m[i];
        if (cp >= m->first && cp <= m->last && (int32_t)(cp - m->first) % m->stride == 0)
            return aios__utf8_encode((uint32_t)((int32_t)cp + m->delta), out);
    }
    return aios__utf8_encode(cp, out);
}

size_t aios__tp_step(const char *p, size_t n, uint32_t *cp)
{
    if ((unsigned char)*p < 128) {
        *cp = (unsigned char)*p;
        return 1;
    }
    size_t k = aios__utf8_decode(p, n, cp);
    if (!k) {
        *cp = 0xfffd;
        return 1;
    }
    return k;
}

size_t aios__tp_utf8_len(const char *p, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += ((unsigned char)p[i] & 0xc0) != 0x80;
    return k;
}

size_t aios__tp_utf8_off(const char *p, size_t n, size_t cps)
{
    size_t i = 0;
    while (i < n && cps) {
        i++;
        while (i < n && ((unsigned char)p[i] & 0xc0) == 0x80)
            i++;
        cps--;
    }
    return i;
}

size_t aios__tp_lspace(const char *p, size_t n)
{
    size_t i = 0;
    uint32_t cp;
    while (i < n) {
        size_t k = aios__tp_step(p + i, n - i, &cp);
        if (!aios__tp_cp_is(cp, AIOS__UNI_SPACE))
            break;
        i += k;
    }
    return i;
}

size_t aios__tp_rspace(const char *p, size_t n)
{
    uint32_t cp;
    while (n) {
        size_t i = n - 1;
        while (i && ((unsigned char)p[i] & 0xc0) == 0x80)
            i--;
        aios__tp_step(p + i, n - i, &cp);
        if (!aios__tp_cp_is(cp, AIOS__UNI_SPACE))
            break;
        n = i;
    }
    return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of code points as ranges of the bytes of their UTF-8. */
#include "grammar/rx_priv.h"

enum { SURROGATES = 0xd800, SURROGATES_END = 0xdfff, LAST = 0x10ffff };

/* Lets range `at` sink in a heap of n, by first. */
static void sink(uint32_t *p, uint32_t n, uint32_t at)
{
    for (uint32_t big; (big = 2 * at + 1) < n; at = big) {
        big += big + 1 < n && p[2 * big + 2] > p[2 * big];
        if (p[2 * at] >= p[2 * big])
            return;
        for (uint32_t k = 0; k < 2; k++) {
            uint32_t t = p[2 * at + k];
            p[2 * at + k] = p[2 * big + k];
            p[2 * big + k] = t;
        }
    }
}

static void sort(uint32_t *p, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sink(p, n, i);
    while (n-- > 1) {
        for (uint32_t k = 0; k < 2; k++) {
            uint32_t t = p[k];
            p[k] = p[2 * n + k];
            p[2 * n + k] = t;
        }
        sink(p, n, 0);
    }
}

uint32_t aios__rx_ranges(uint32_t *p, uint32_t n, bool negated)
{
    uint32_t kept = 0, gaps = 0, at = 0;
    sort(p, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t lo = p[2 * i], hi = p[2 * i + 1] < LAST ? p[2 * i + 1] : LAST;
        if (lo > hi)
            continue;
        if (kept && lo <= p[2 * kept - 1] + 1) {
            p[2 * kept - 1] = hi > p[2 * kept - 1] ? hi : p[2 * kept - 1];
        } else {
            p[2 * kept] = lo;
            p[2 * kept++ + 1] = hi;
        }
    }
    if (!negated)
        return kept;
    for (uint32_t i = 0; i <= kept; i++) { /* the gap before each, and behind the last */
        uint32_t lo = at, end = i < kept ? p[2 * i] : LAST + 1;
        at = i < kept ? p[2 * i + 1] + 1 : at;
        if (end > lo) {
            p[2 * gaps] = lo;
            p[2 * gaps++ + 1] = end - 1;
        }
    }
    return gaps;
}

static void set_bytes(uint32_t set[8], uint32_t lo, uint32_t hi)
{
    for (uint32_t c = lo; c <= hi; c++)
        set[c / 32] |= 1u << c % 32;
}

/* lo .. hi are of one length and differ only in bytes of which all values follow. Pushes the first byte and the rest. */
static int add_sequence(aios__rx *x, uint32_t lo, uint32_t hi, aios_error *err)
{
    char a[4], b[4];
    size_t n = aios__utf8_encode(lo, a);
    uint32_t e = AIOS__RX_EMPTY, byte = 0;
    int rc = AIOS_OK;
    aios__utf8_encode(hi, b);
    while (!rc && n--) {
        uint32_t set[8] = {0};
        set_bytes(set, (uint8_t)a[n], (uint8_t)b[n]);
        rc = aios__rx_bytes(x, set, &byte, err);
        rc = rc || !n ? rc : aios__rx_cat(x, byte, e, &e, err);
    }
    rc = rc ? rc : aios__rx_push(x, byte, err);
    return rc ? rc : aios__rx_push(x, e, err);
}

/* The last code point up to hi so that lo .. it is a sequence. */
static uint32_t piece_end(uint32_t lo, uint32_t hi)
{
    static const uint32_t longest[] = {0x7f, 0x7ff, 0xffff, LAST};
    for (int i = 0; i < 4; i++)
        if (lo <= longest[i] && hi > longest[i])
            hi = longest[i];
    if (hi < 0x80)
        return hi;
    for (uint32_t bits = 6; bits <= 18; bits += 6) {
        uint32_t low = (1u << bits) - 1;
        if ((lo & ~low) == (hi & ~low))
            break;
        if (lo & low)
            return lo | low;
        if ((hi & low) != low)
            hi = (hi & ~low) - 1;
    }
    return hi;
}

static int add_range(aios__rx *x, uint32_t lo, uint32_t hi, aios_error *err)
{
    int rc = AIOS_OK;
    while (!rc && lo <= hi && lo <= LAST) {
        if (lo >= SURROGATES && lo <= SURROGATES_END) {
            lo = SURROGATES_END + 1;
            continue;
        }
        uint32_t end = hi < LAST ? hi : LAST;
        if (lo < SURROGATES && end >= SURROGATES)
            end = SURROGATES - 1;
        end = piece_end(lo, end);
        rc = add_sequence(x, lo, end, err);
        lo = end + 1;
    }
    return rc;
}

/* Neighbours that begin with the same byte share it, so that a step need not look at all of them. */
static int share_first(aios__rx *x, uint32_t from, aios_error *err)
{
    uint32_t end = x->n_scratch, to = from;
    int rc = AIOS_OK;
    for (uint32_t i = from, next; i < end && !rc; i = next) {
        uint32_t first = x->scratch[i], rest = x->scratch[i + 1];
        for (next = i; !rc && next < end && x->scratch[next] == first; next += 2)
            rc = aios__rx_push(x, x->scratch[next + 1], err);
        rc = rc ? rc : aios__rx_list(x, AIOS__RX_OR, end, &rest, err);
        rc = rc ? rc : aios__rx_cat(x, first, rest, &rest, err);
        x->scratch[to++] = rest;
    }
    x->n_scratch = to;
    return rc;
}

int aios__rx_chars(aios__rx *x, const uint32_t *ranges, size_t n, uint32_t *out, aios_error *err)
{
    uint32_t from = x->n_scratch;
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = add_range(x, ranges[2 * i], ranges[2 * i + 1], err);
    rc = rc ? rc : share_first(x, from, err);
    if (!rc)
        return aios__rx_list(x, AIOS__RX_OR, from, out, err);
    x->n_scratch = from;
    return rc;
}

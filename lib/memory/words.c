/* SPDX-License-Identifier: Apache-2.0 */
#include "grammar/rx_unicode.h"
#include "memory/memory_priv.h"

static uint32_t category(uint32_t cp)
{
    uint32_t lo = 0, hi = aios__rx_n_categories;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (aios__rx_categories[mid] >> 5 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return aios__rx_categories[lo] & 31;
}

static bool is_letter(uint32_t cp, uint32_t set)
{
    if (cp < 128)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9');
    return set >> category(cp) & 1;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static bool same(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t i = 0;
    while (i < n_a && i < n_b && lower(a[i]) == lower(b[i]))
        i++;
    return i == n_a && i == n_b;
}

static bool add(aios__words *w, const char *s, size_t n)
{
    for (uint32_t i = 0; i < w->n; i++)
        if (same(w->at[i], w->n_at[i], s, n))
            return true;
    if (w->n == AIOS_MEMORY_MAX_TERMS) {
        w->n++;
        return false;
    }
    w->at[w->n] = s;
    w->n_at[w->n++] = n;
    return true;
}

bool aios__words_cut(const char *s, size_t n, aios__words *out)
{
    uint32_t set = aios__rx_category("L", 1, false) | aios__rx_category("M", 1, false) | aios__rx_category("N", 1, false) | aios__rx_category("Co", 2, false);
    size_t from = 0;
    out->n = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        size_t len = aios__utf8_decode(s + i, n - i, &cp);
        bool letter = len && is_letter(cp, set);
        len = len ? len : 1;
        if (!letter && i > from && !add(out, s + from, i - from))
            return false;
        i += len;
        from = letter ? from : i;
    }
    return n == from || add(out, s + from, n - from);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of Unicode for regular expressions, from the tables of rx_unicode_data.c. */
#include "grammar/rx_unicode.h"

/* As in tools/gen_rx_unicode.py. */
enum { CC, CF, CN, CO, CS, LL, LM, LO, LT, LU, MC, ME, MN, ND, NL, NO, PC, PD, PE, PF, PI, PO, PS, SC, SK, SM, SO, ZL, ZP, ZS };
#define BIT(c) (1u << (c))
#define ALL_C (BIT(CC) | BIT(CF) | BIT(CN) | BIT(CO) | BIT(CS))
#define ALL_LC (BIT(LL) | BIT(LT) | BIT(LU))
#define ALL_L (ALL_LC | BIT(LM) | BIT(LO))
#define ALL_M (BIT(MC) | BIT(ME) | BIT(MN))
#define ALL_N (BIT(ND) | BIT(NL) | BIT(NO))
#define ALL_P (BIT(PC) | BIT(PD) | BIT(PE) | BIT(PF) | BIT(PI) | BIT(PO) | BIT(PS))
#define ALL_S (BIT(SC) | BIT(SK) | BIT(SM) | BIT(SO))
#define ALL_Z (BIT(ZL) | BIT(ZP) | BIT(ZS))

static const struct {
    const char *brief, *full;
    uint32_t set;
} names[] = {
    {"C", "Other", ALL_C}, {"Cc", "Control", BIT(CC)}, {"Cf", "Format", BIT(CF)}, {"Cn", "Unassigned", BIT(CN)}, {"Co", "Private_Use", BIT(CO)},
    {"Cs", "Surrogate", BIT(CS)}, {"L", "Letter", ALL_L}, {"LC", "Cased_Letter", ALL_LC}, {"Ll", "Lowercase_Letter", BIT(LL)},
    {"Lm", "Modifier_Letter", BIT(LM)}, {"Lo", "Other_Letter", BIT(LO)}, {"Lt", "Titlecase_Letter", BIT(LT)}, {"Lu", "Uppercase_Letter", BIT(LU)},
    {"M", "Mark", ALL_M}, {"M", "Combining_Mark", ALL_M}, {"Mc", "Spacing_Mark", BIT(MC)}, {"Me", "Enclosing_Mark", BIT(ME)}, {"Mn", "Nonspacing_Mark", BIT(MN)},
    {"N", "Number", ALL_N}, {"Nd", "Decimal_Number", BIT(ND)}, {"Nd", "digit", BIT(ND)}, {"Nl", "Letter_Number", BIT(NL)}, {"No", "Other_Number", BIT(NO)},
    {"P", "Punctuation", ALL_P}, {"P", "punct", ALL_P}, {"Pc", "Connector_Punctuation", BIT(PC)}, {"Pd", "Dash_Punctuation", BIT(PD)},
    {"Pe", "Close_Punctuation", BIT(PE)}, {"Pf", "Final_Punctuation", BIT(PF)}, {"Pi", "Initial_Punctuation", BIT(PI)}, {"Po", "Other_Punctuation", BIT(PO)},
    {"Ps", "Open_Punctuation", BIT(PS)}, {"S", "Symbol", ALL_S}, {"Sc", "Currency_Symbol", BIT(SC)}, {"Sk", "Modifier_Symbol", BIT(SK)},
    {"Sm", "Math_Symbol", BIT(SM)}, {"So", "Other_Symbol", BIT(SO)}, {"Z", "Separator", ALL_Z}, {"Zl", "Line_Separator", BIT(ZL)},
    {"Zp", "Paragraph_Separator", BIT(ZP)}, {"Zs", "Space_Separator", BIT(ZS)}, {"Any", "Any", BIT(30) - 1}, {"Assigned", "Assigned", (BIT(30) - 1) & ~BIT(CN)}};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same(const char *known, const char *s, size_t n, bool loose)
{
    if (!loose)
        return strlen(known) == n && !memcmp(known, s, n);
    size_t i = 0;
    for (; i < n || *known; known += *known != 0) {
        while (i < n && (s[i] == '_' || s[i] == '-' || s[i] == ' '))
            i++;
        if (*known == '_')
            continue;
        if (i == n || !*known)
            return i == n && !*known;
        if (lower(s[i++]) != lower(*known))
            return false;
    }
    return true;
}

uint32_t aios__rx_category(const char *s, size_t n, bool loose)
{
    const char *is = memchr(s, '=', n);
    if (is) {
        size_t at = (size_t)(is - s);
        if (!same("gc", s, at, loose) && !same("General_Category", s, at, loose))
            return 0;
        s += at + 1;
        n -= at + 1;
    }
    for (size_t i = 0; i < AIOS__ARRAY_LEN(names); i++)
        if (same(names[i].brief, s, n, loose) || same(names[i].full, s, n, loose))
            return names[i].set;
    return 0;
}

int aios__rx_category_ranges(uint32_t set, aios__rx_range_fn *add, void *user)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < aios__rx_n_categories; i++) {
        uint32_t lo = aios__rx_categories[i] >> 5, last = i;
        while (last < aios__rx_n_categories && set >> (aios__rx_categories[last] & 31) & 1)
            last++;
        if (last > i)
            rc = add(user, lo, last < aios__rx_n_categories ? (aios__rx_categories[last] >> 5) - 1 : 0x10ffff);
        i = last;
    }
    return rc;
}

int aios__rx_unicode_class(char letter, aios__rx_range_fn *add, void *user)
{
    /* beside their categories: joiners, letters in circles and squares; White_Space */
    static const uint32_t words[] = {0x200c, 0x200d, 0x24b6, 0x24e9, 0x1f130, 0x1f149, 0x1f150, 0x1f169, 0x1f170, 0x1f189};
    static const uint32_t blanks[] = {9, 13, ' ', ' ', 0x85, 0x85, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000};
    const uint32_t *more = letter == 'w' ? words : blanks;
    size_t n = letter == 'w' ? AIOS__ARRAY_LEN(words) : letter == 's' ? AIOS__ARRAY_LEN(blanks) : 0;
    int rc = aios__rx_category_ranges(letter == 'w' ? ALL_L | ALL_M | BIT(ND) | BIT(NL) | BIT(PC) : letter == 'd' ? BIT(ND) : 0, add, user);
    for (size_t i = 0; !rc && i < n; i += 2)
        rc = add(user, more[i], more[i + 1]);
    return rc;
}

int aios__rx_next_cases(uint32_t lo, uint32_t hi, aios__rx_range_fn *add, void *user)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < aios__rx_n_cases; i++) {
        const aios__rx_case *c = &aios__rx_cases[i];
        if (c->hi < lo || c->lo > hi)
            continue;
        uint32_t from = c->lo, to = c->hi < hi ? c->hi : hi;
        if (from < lo)
            from += (lo - from + c->stride - 1u) / c->stride * c->stride;
        if (c->stride == 1 && from <= to)
            rc = add(user, (uint32_t)((int32_t)from + c->delta), (uint32_t)((int32_t)to + c->delta));
        for (uint32_t cp = from; !rc && c->stride > 1 && cp <= to; cp += c->stride)
            rc = add(user, (uint32_t)((int32_t)cp + c->delta), (uint32_t)((int32_t)cp + c->delta));
    }
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers digit by digit: a byte is accepted exactly if some number within the bounds still begins so. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "grammar/walk_priv.h"

#define MAX_SIGNIFICANT 17u
#define MAX_EXPONENT 2u /* digits: 17 digits and e99 stay far from overflow */
enum { TIGHT_LO = 1, TIGHT_HI = 2, NEGATIVE = 4 };

/* ---- numbers without bounds ------------------------------------------------------------------------------------- */

static int exponent(aios__frame *f, uint8_t c)
{
    if ((c == '+' || c == '-') && f->st == E) {
        f->st = E_SIGN;
        return GOES_ON;
    }
    if (!aios__is_digit(c))
        return NO;
    f->st = EXPONENT;
    return ++f->b == MAX_EXPONENT ? ENDS : MAY_END;
}

static int free_num(aios__frame *f, uint8_t c)
{
    if (f->st >= E)
        return exponent(f, c);
    if (c == '-' && f->st == START) {
        f->st = MINUS;
        return GOES_ON;
    }
    bool whole = f->st == DIGITS || f->st == ZERO;
    if (c == '.' && whole && f->a < MAX_SIGNIFICANT) {
        f->st = POINT;
        return GOES_ON;
    }
    if ((c | 32) == 'e' && (whole || f->st == FRACTION)) {
        f->st = E;
        f->b = 0;
        return GOES_ON;
    }
    if (!aios__is_digit(c) || f->st == ZERO || f->a == MAX_SIGNIFICANT)
        return NO;
    f->a++;
    if (f->st == START || f->st == MINUS)
        f->st = c == '0' ? ZERO : DIGITS;
    else if (f->st == POINT)
        f->st = FRACTION;
    return MAY_END;
}

/* ---- numbers between bounds: plain decimals, no exponent --------------------------------------------------------- */

static unsigned frac_digit(const aios__gbound *b, uint32_t i)
{
    return i < b->n ? b->frac[i] : 0;
}

/* The whole part f->v is finished: is there a fraction (or none) that stays within? */
static bool whole_fits(const aios__gside *s, uint64_t v)
{
    if (v < s->lo.whole || v > s->hi.whole)
        return false;
    if (v == s->hi.whole && s->hi.open && !s->hi.n)
        return false;
    return true; /* lo open at v itself: a fraction follows */
}

/* May the number end with the digits so far, of which f->a are of the fraction? */
static bool may_end(const aios__gside *s, const aios__frame *f)
{
    if ((f->x & TIGHT_LO) && (f->a < s->lo.n || s->lo.open))
        return false;
    return !(f->x & TIGHT_HI) || !s->hi.open || f->a < s->hi.n;
}

/* Largest whole part there can be; whole_fits of it holds whenever the side has any number. */
static uint64_t max_whole(const aios__gside *s)
{
    return s->hi.whole - (s->hi.open && !s->hi.n ? 1 : 0);
}

/* Is one of lo .. hi among the numbers that begin with v (v > 0)? */
static bool reachable(uint64_t v, uint64_t lo, uint64_t hi)
{
    for (uint64_t span = 1, first = v; first <= hi; first *= 10, span *= 10) {
        if (first + (span - 1) >= lo)
            return true;
        if (first > hi / 10)
            return false;
    }
    return false;
}

/* The digits so far are a number that is excluded. */
static bool is_out(const aios_grammar *g, const aios__gnum *r, const aios__frame *f)
{
    uint64_t v = f->v * 10;
    if (!r->frac)
        return false;
    for (unsigned i = 1; i < r->frac; i++)
        v *= 10;
    uint64_t behind = f->b | (uint64_t)f->c << 32;
    for (unsigned i = f->a; i < r->frac; i++)
        behind *= 10;
    return aios__gint_out(g, r->outs, r->n_outs, r->nots, r->n_nots, v + behind, f->x & NEGATIVE);
}

static int whole_result(const aios_grammar *g, const aios__gnum *r, const aios__gside *s, aios__frame *f)
{
    f->x = (uint8_t)(f->x & NEGATIVE);
    if (!whole_fits(s, f->v))
        return GOES_ON;
    f->x = (uint8_t)(f->x | (f->v == s->lo.whole ? TIGHT_LO : 0) | (f->v == s->hi.whole ? TIGHT_HI : 0));
    return may_end(s, f) && !is_out(g, r, f) ? MAY_END : GOES_ON;
}

static int whole_digit(const aios_grammar *g, const aios__gnum *r, const aios__gside *s, aios__frame *f, uint8_t c)
{
    uint64_t top = max_whole(s), digit = c - '0';
    if (f->st == ZERO || f->v > top / 10 || digit > top - f->v * 10)
        return NO;
    f->v = f->v * 10 + digit;
    f->st = f->v ? DIGITS : ZERO;
    if (f->v ? !reachable(f->v, s->lo.whole, top) : s->lo.whole > 0)
        return NO;
    return whole_result(g, r, s, f);
}

static int point(const aios__gside *s, aios__frame *f)
{
    if (!whole_fits(s, f->v))
        return NO;
    /* At a closed upper bound that is whole, only zeros could follow: useless but within. */
    f->st = POINT;
    f->a = 0;
    return s->max_frac ? GOES_ON : NO;
}

static int fraction_digit(const aios_grammar *g, const aios__gnum *r, const aios__gside *s, aios__frame *f, uint8_t c)
{
    unsigned d = c - '0', lo = frac_digit(&s->lo, f->a), hi = frac_digit(&s->hi, f->a);
    if (f->a == s->max_frac || ((f->x & TIGHT_LO) && d < lo) || ((f->x & TIGHT_HI) && d > hi))
        return NO;
    if (d > lo)
        f->x &= (uint8_t)~TIGHT_LO;
    if (d < hi)
        f->x &= (uint8_t)~TIGHT_HI;
    if (r->frac) {
        uint64_t behind = (f->b | (uint64_t)f->c << 32) * 10 + d;
        f->b = (uint32_t)behind;
        f->c = (uint32_t)(behind >> 32);
    }
    f->a++;
    f->st = FRACTION;
    if ((f->x & TIGHT_HI) && s->hi.open && f->a >= s->hi.n)
        return NO;
    if ((f->x & TIGHT_LO) && s->lo.open && f->a == s->max_frac)
        return NO;
    bool end = may_end(s, f) && !is_out(g, r, f);
    if (f->a == s->max_frac)
        return end ? ENDS : NO;
    return end ? MAY_END : GOES_ON;
}

static int bounded(const aios_grammar *g, const aios__gnum *r, aios__frame *f, uint8_t c)
{
    const aios__gside *s = &r->side[(f->x & NEGATIVE) ? 1 : 0];
    if (c == '-' && f->st == START && r->side[1].any) {
        f->st = MINUS;
        f->x |= NEGATIVE;
        return GOES_ON;
    }
    if (!s->any)
        return NO;
    if (c == '.')
        return f->st == DIGITS || f->st == ZERO ? point(s, f) : NO;
    if (!aios__is_digit(c))
        return NO;
    return f->st >= POINT ? fraction_digit(g, r, s, f, c) : whole_digit(g, r, s, f, c);
}

static int walk_num(const aios_grammar *g, aios__frame *f, uint8_t c)
{
    uint32_t i = g->nodes[f->node].a;
    return i == AIOS__G_NONE ? free_num(f, c) : bounded(g, &g->nums[i], f, c);
}

/* ---- bounds ----------------------------------------------------------------------------------------------------- */

#define WHOLE_MAX UINT64_C(999999999999999) /* 15 digits: decimals that long and doubles map one to one */

/* x >= 0 as its shortest decimal. False if that has too many digits behind the point. */
static bool decimal(double x, bool open, aios__gbound *b)
{
    char s[48];
    memset(b, 0, sizeof *b);
    b->open = open;
    for (int digits = 14; digits <= 16; digits++) {
        snprintf(s, sizeof s, "%.*e", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    /* d.ddde-xx, with whatever the locale calls a point at s[1] */
    char *e = strchr(s, 'e');
    int exp = e ? atoi(e + 1) : 0;
    *e = 0;
    size_t n = strlen(s);
    for (int i = -exp > 0 ? exp : 0; i <= 32; i++) {
        int at = i < 0 ? -1 : i; /* digits left of the first one are zeros */
        unsigned d = at < 0 ? 0 : at == 0 ? (unsigned)(s[0] - '0') : (size_t)at + 1 < n ? (unsigned)(s[at + 1] - '0') : 0;
        int place = exp - i; /* power of ten of this digit */
        if (place >= 0)
            b->whole = b->whole * 10 + d;
        else if (-place <= AIOS__G_FRAC - 4)
            b->frac[-place - 1] = (uint8_t)d;
        else if (d)
            return false;
    }
    for (b->n = AIOS__G_FRAC; b->n && !b->frac[b->n - 1];)
        b->n--;
    return true;
}

static bool below(const aios__gbound *a, const aios__gbound *b)
{
    if (a->whole != b->whole)
        return a->whole < b->whole;
    return memcmp(a->frac, b->frac, sizeof a->frac) < 0;
}

static unsigned whole_digits(uint64_t v)
{
    unsigned n = 1;
    for (; v >= 10; v /= 10)
        n++;
    return n;
}

/* Magnitudes from lo to hi (infinite: as far as plain decimals go). */
static bool make_side(double lo, bool lo_open, double hi, bool hi_open, aios__gside *s)
{
    memset(s, 0, sizeof *s);
    if (lo > hi || (lo == hi && (lo_open || hi_open)))
        return true;
    if (hi > (double)WHOLE_MAX) {
        hi = (double)WHOLE_MAX;
        hi_open = false;
    }
    if (lo >= (double)WHOLE_MAX || !decimal(lo, lo_open, &s->lo) || !decimal(hi, hi_open, &s->hi))
        return false;
    if (below(&s->hi, &s->lo))
        return true;
    unsigned n = s->lo.n > s->hi.n ? s->lo.n : s->hi.n, whole = 1;
    if (s->lo.open)
        whole = whole_digits(s->lo.whole);
    if (s->hi.open && whole_digits(s->hi.whole) > whole)
        whole = whole_digits(s->hi.whole);
    unsigned most = 15 - whole;
    if ((s->lo.open || s->hi.open) && n + 1 > most)
        return false; /* digits past the precision of a double could round onto the excluded bound */
    s->max_frac = (uint8_t)(n + 1 > 10 ? n + 1 : most < 10 ? most : 10);
    s->any = true;
    return true;
}

bool aios__gnum_make(double lo, bool lo_open, double hi, bool hi_open, aios__gnum *out)
{
    memset(out, 0, sizeof *out);
    bool ok = true;
    if (hi >= 0)
        ok = make_side(lo > 0 ? lo : 0, lo > 0 || lo == 0 ? lo_open && lo >= 0 : false, hi, hi_open, &out->side[0]);
    if (ok && lo < 0)
        ok = make_side(hi < 0 ? -hi : 0, hi < 0 ? hi_open : true, -lo, lo_open, &out->side[1]);
    return ok;
}

bool aios__gnum_single(const aios__gnum *n)
{
    const aios__gside *p = &n->side[0], *m = &n->side[1];
    const aios__gside *s = p->any ? p : m;
    return !(p->any && m->any) && !below(&s->lo, &s->hi);
}

void aios__step_num(aios__step *s, const aios__frame *f, uint8_t c)
{
    aios__frame to = *f;
    int r = s->g->nodes[f->node].kind == AIOS__G_INT ? aios__walk_int(s->g, &to, c) : walk_num(s->g, &to, c);
    if (r == 1 || r == 2)
        aios__step_emit_frame(s, &to);
    if (r >= 2)
        aios__step_done(s, to.up);
}


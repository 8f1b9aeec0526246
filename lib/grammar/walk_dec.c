/* SPDX-License-Identifier: Apache-2.0 */
/* The walker in numbers of any notation, of complete grammars: the text is kept, and its value is looked at wherever it could end. */
#include "grammar/walk_priv.h"

#define TEXT_MAX 600u
#define EXP_MAX 100000

/* digits (most significant first, none of them a zero in front or behind) * 10^exp. */
typedef struct value {
    bool neg;
    uint8_t digit[TEXT_MAX];
    uint32_t n;
    int64_t exp;
} value;

static void trim(value *v)
{
    uint32_t zeros = 0;
    while (v->n && !v->digit[v->n - 1]) {
        v->n--;
        v->exp++;
    }
    while (zeros < v->n && !v->digit[zeros])
        zeros++;
    memmove(v->digit, v->digit + zeros, v->n - zeros);
    v->n -= zeros;
    v->neg = v->n && v->neg;
    v->exp = v->n ? v->exp : 0;
}

static void read_text(const aios__frame *fr, uint32_t at, value *v)
{
    uint8_t text[TEXT_MAX];
    uint32_t n = fr[at].c;
    int64_t exp = 0;
    int behind = 0, in_exp = 0, minus = 0;
    *v = (value){0};
    for (uint32_t i = n; i && at; at = (uint32_t)fr[at].v)
        text[--i] = fr[at].x;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t c = text[i];
        if (c == '-' && !in_exp)
            v->neg = true;
        else if (c == '-')
            minus = 1;
        else if (c == '.')
            behind = 1;
        else if ((c | 32) == 'e')
            in_exp = 1;
        else if (in_exp && c != '+')
            exp = exp > EXP_MAX ? exp : exp * 10 + (c - '0');
        else if (!in_exp) {
            v->digit[v->n++] = (uint8_t)(c - '0');
            v->exp -= behind;
        }
    }
    v->exp += minus ? -exp : exp;
    trim(v);
}

static void read_dec(const aios__gdec *d, value *v)
{
    uint64_t x = d->digits;
    *v = (value){.neg = d->neg, .exp = d->exp};
    for (uint64_t p = UINT64_C(10000000000000000000); p; p /= 10)
        v->digit[v->n++] = (uint8_t)(x / p % 10);
    trim(v);
}

static int compare_magnitude(const value *a, const value *b)
{
    int64_t x = a->exp + a->n, y = b->exp + b->n; /* places before the point */
    if (!a->n || !b->n)
        return (a->n > 0) - (b->n > 0);
    if (x != y)
        return x < y ? -1 : 1;
    for (uint32_t i = 0; i < a->n || i < b->n; i++) {
        int p = i < a->n ? a->digit[i] : 0, q = i < b->n ? b->digit[i] : 0;
        if (p != q)
            return p < q ? -1 : 1;
    }
    return 0;
}

static int compare(const value *a, const aios__gdec *d)
{
    value b;
    read_dec(d, &b);
    if (a->neg != b.neg)
        return a->neg ? -1 : 1;
    return a->neg ? -compare_magnitude(a, &b) : compare_magnitude(a, &b);
}

/* (10 * rest + digit) % m, for any m. */
static uint64_t shift(uint64_t rest, uint8_t digit, uint64_t m)
{
    uint64_t x = digit % m;
    for (int i = 0; i < 10; i++)
        x = x >= m - rest ? x - (m - rest) : x + rest;
    return x;
}

/* Neither ends in a zero, so a multiple has its last digit no further behind the point. */
static bool is_multiple(const value *v, const aios__gdec *d)
{
    uint64_t rest = 0;
    if (!v->n)
        return true;
    if (v->exp < d->exp || v->exp - d->exp > EXP_MAX || !d->digits)
        return false;
    for (uint32_t i = 0; i < v->n; i++)
        rest = shift(rest, v->digit[i], d->digits);
    for (int64_t i = v->exp; i > d->exp && rest; i--)
        rest = shift(rest, 0, d->digits);
    return !rest;
}

static bool fits(const aios_grammar *g, const aios__gdecs *s, const value *v)
{
    int order = s->has_lo ? compare(v, &s->lo) : 1;
    if (order < 0 || (!order && s->lo_open))
        return false;
    order = s->has_hi ? compare(v, &s->hi) : -1;
    if (order > 0 || (!order && s->hi_open))
        return false;
    for (uint32_t i = 0; i < s->n_of + s->n_not + s->n_out; i++) {
        const aios__gdec *d = &g->decs[s->list + i];
        if (i < s->n_of ? !is_multiple(v, d) : i < s->n_of + s->n_not ? is_multiple(v, d) : !compare(v, d))
            return false;
    }
    return true;
}

/* The syntax of JSON's numbers: state after byte c, or NO. */
static uint32_t after(uint32_t st, uint8_t c)
{
    bool digit = aios__is_digit(c);
    switch (st) {
    case START:
    case MINUS:
        return c == '-' && st == START ? MINUS : c == '0' ? ZERO : digit ? DIGITS : START;
    case ZERO:
    case DIGITS:
        return c == '.' ? POINT : (c | 32) == 'e' ? E : digit && st == DIGITS ? DIGITS : START;
    case POINT:
    case FRACTION:
        return digit ? FRACTION : (c | 32) == 'e' && st == FRACTION ? E : START;
    case E:
        return c == '+' || c == '-' ? E_SIGN : digit ? EXPONENT : START;
    default:
        return digit ? EXPONENT : START;
    }
}

void aios__step_dec(aios__step *s, const aios__frame *f, uint32_t i, uint8_t c)
{
    aios__frame to = *f;
    value v;
    to.a = after(f->a, c);
    if (to.a == START || f->c + 1 == TEXT_MAX)
        return;
    to.x = c;
    to.c++;
    to.v = f->c ? i : 0;
    uint32_t at = aios__step_frame(s, &to);
    if (s->rc)
        return;
    aios__step_emit(s, at);
    if (to.a != ZERO && to.a != DIGITS && to.a != FRACTION && to.a != EXPONENT)
        return;
    read_text(s->w->frames, at, &v);
    if (fits(s->g, &s->g->decsets[s->g->nodes[f->node].a], &v))
        aios__step_done(s, f->up);
}

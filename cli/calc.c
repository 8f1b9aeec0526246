/* SPDX-License-Identifier: Apache-2.0 */
/* A calculator: + - * / % ^, parentheses, a few functions, "12.5% of 840". Shunting-yard, so that depth is bounded by the two stacks. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

#define MAX_STACK 256

static const struct fn {
    const char *name;
    double (*f)(double);
} fns[] = {{"sqrt", sqrt}, {"sin", sin},   {"cos", cos},     {"tan", tan},   {"log", log},     {"ln", log},
           {"exp", exp},   {"abs", fabs},  {"floor", floor}, {"ceil", ceil}, {"round", round}, {"log10", log10}};

typedef struct calculator {
    double nums[MAX_STACK];
    int ops[MAX_STACK]; /* an operator character, 'u' for minus sign, '(' or 1000 + index of a function */
    int n_nums, n_ops;
    const char *error;
} calculator;

static int rank(int op)
{
    return op == '+' || op == '-' ? 1 : op == '*' || op == '/' || op == '%' ? 2 : op == 'u' ? 3 : op == '^' ? 4 : op >= 1000 ? 5 : 0;
}

static void push_num(calculator *c, double v)
{
    if (c->n_nums == MAX_STACK)
        c->error = "the expression is too long";
    else
        c->nums[c->n_nums++] = v;
}

static void push_op(calculator *c, int op)
{
    if (c->n_ops == MAX_STACK)
        c->error = "the expression is nested too deeply";
    else
        c->ops[c->n_ops++] = op;
}

static double apply(calculator *c, int op, double a, double b)
{
    if ((op == '/' || op == '%') && b == 0)
        c->error = "division by zero";
    switch (op) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return a * b;
    case '/':
        return a / b;
    case '%':
        return fmod(a, b);
    default:
        return pow(a, b);
    }
}

static void pop_op(calculator *c)
{
    int op = c->ops[--c->n_ops];
    int need = op == 'u' || op >= 1000 ? 1 : 2;
    if (op == '(')
        c->error = "a parenthesis is not closed";
    else if (c->n_nums < need)
        c->error = "an operand is missing";
    if (c->error)
        return;
    double b = c->nums[--c->n_nums];
    if (op == 'u')
        push_num(c, -b);
    else if (op >= 1000)
        push_num(c, fns[op - 1000].f(b));
    else
        push_num(c, apply(c, op, c->nums[--c->n_nums], b));
}

static const char *read_name(calculator *c, const char *s, bool *operand)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]))
        n++;
    for (size_t i = 0; i < sizeof fns / sizeof *fns; i++)
        if (strlen(fns[i].name) == n && !strncasecmp(s, fns[i].name, n)) {
            push_op(c, 1000 + (int)i);
            return s + n;
        }
    if (n == 2 && !strncasecmp(s, "pi", 2))
        push_num(c, 3.14159265358979323846);
    else if (n == 1 && (*s == 'e' || *s == 'E'))
        push_num(c, 2.71828182845904523536);
    else
        c->error = "unknown name: use numbers, + - * / % ^ ( ), pi, e, sqrt, sin, cos, tan, ln, log10, exp, abs, floor, ceil, round";
    *operand = true;
    return s + n;
}

static void read_operator(calculator *c, char ch, bool *operand)
{
    if (ch == ')') {
        while (c->n_ops && c->ops[c->n_ops - 1] != '(' && !c->error)
            pop_op(c);
        if (!c->n_ops)
            c->error = "a parenthesis closes that was not opened";
        else
            c->n_ops--;
        if (c->n_ops && c->ops[c->n_ops - 1] >= 1000)
            pop_op(c);
        return;
    }
    while (!c->error && c->n_ops && (rank(c->ops[c->n_ops - 1]) > rank(ch) || (rank(c->ops[c->n_ops - 1]) == rank(ch) && ch != '^')))
        pop_op(c);
    push_op(c, ch);
    *operand = false;
}

/* How a multiplication or division may also be written; returns the length, 0 if it is none. */
static size_t spoken_operator(const char *s, char *op)
{
    static const struct {
        const char *text;
        char op;
    } words[] = {{"of ", '*'}, {"x", '*'}, {"\xc3\x97", '*'}, {"times ", '*'}, {"\xc3\xb7", '/'}, {"plus ", '+'}, {"minus ", '-'}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strncasecmp(s, words[i].text, strlen(words[i].text))) {
            *op = words[i].op;
            return strlen(words[i].text);
        }
    return 0;
}

/* A percent sign with no operand behind it is "per hundred", else the remainder. */
static bool is_percent(const char *s)
{
    char op;
    do
        s++;
    while (isspace((unsigned char)*s));
    return !*s || strchr("+-*/^)=", *s) || spoken_operator(s, &op);
}

int calc(const char *s, double *out, char *msg, size_t n_msg)
{
    calculator c = {.n_nums = 0};
    bool operand = false; /* an operand stands before the position */
    while (*s && !c.error) {
        char *end, op;
        size_t n;
        if (isspace((unsigned char)*s) || (*s == ',' && operand)) {
            s++; /* a comma groups thousands */
        } else if (!operand && (isdigit((unsigned char)*s) || *s == '.')) {
            push_num(&c, strtod(s, &end));
            operand = end != s;
            c.error = operand ? c.error : "a number is damaged";
            s = end;
        } else if (operand && (isdigit((unsigned char)*s))) {
            c.error = "an operator is missing between two numbers";
        } else if (!operand && isalpha((unsigned char)*s)) {
            s = read_name(&c, s, &operand);
        } else if (!operand && (*s == '-' || *s == '+')) {
            if (*s++ == '-')
                push_op(&c, 'u');
        } else if (!operand && *s == '(') {
            push_op(&c, *s++);
        } else if (operand && *s == '%' && is_percent(s)) {
            c.nums[c.n_nums - 1] /= 100;
            s++;
        } else if (operand && (n = spoken_operator(s, &op))) {
            read_operator(&c, op, &operand);
            s += n;
        } else if (operand && *s == '=' && !s[1 + strspn(s + 1, " ?")]) {
            break;
        } else if (operand && strchr("+-*/%^)", *s)) {
            read_operator(&c, *s, &operand);
            s++;
        } else {
            c.error = operand ? "an operator is missing or unknown" : "an operand is missing";
        }
    }
    while (!c.error && c.n_ops)
        pop_op(&c);
    if (!c.error && c.n_nums != 1)
        c.error = "the expression is empty or incomplete";
    if (c.error) {
        snprintf(msg, n_msg, "%s", c.error);
        return AIOS_EINVAL;
    }
    *out = c.nums[0];
    return AIOS_OK;
}

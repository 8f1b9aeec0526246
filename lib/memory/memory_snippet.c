/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of a text shows the words of a query: that with most different ones among so many in a row. */
#include "base/cachefile.h"
#include "memory/memory_db.h"

#define WORDS 24u    /* of a part */
#define TRIGRAMS 96u
#define LEAD 5u      /* before the first that is looked for */
#define MAX_PART 128u

static int want_token(void *user, const char *token, size_t n, size_t from, size_t to)
{
    aios__mem_wanted *w = user;
    AIOS__UNUSED(from);
    AIOS__UNUSED(to);
    w->sums[w->n++] = aios__sum64(0, token, n);
    return w->n == AIOS__ARRAY_LEN(w->sums);
}

int aios__mem_want(aios__memdb *m, const char *text, size_t n, aios__mem_wanted *out, aios_error *err)
{
    out->n = 0;
    return aios__sql_tokens(m->sql, text, n, want_token, out, err);
}

/* A walk over the words of a text, of which the last `size` are in sight. */
typedef struct walk {
    const aios__mem_wanted *w;
    uint32_t size;
    uint64_t at;                /* words seen */
    uint16_t sight[MAX_PART];   /* 1 + which of the wanted each is, 0: none */
    uint16_t times[256];
    uint32_t n, best;           /* different ones in sight; and at most */
    uint64_t begin;             /* first word of the best part */
    size_t from, to;            /* of it in the text */
} walk;

static uint16_t find_wanted(const aios__mem_wanted *w, const char *token, size_t n)
{
    uint64_t sum = aios__sum64(0, token, n);
    for (uint32_t i = 0; i < w->n; i++)
        if (w->sums[i] == sum)
            return (uint16_t)(i + 1);
    return 0;
}

/* Where the part begins whose last word is the one seen last: a little before the first that is wanted. */
static uint64_t part_begin(const walk *k)
{
    uint64_t first = k->at > k->size ? k->at - k->size : 0;
    while (first < k->at && !k->sight[first % k->size])
        first++;
    return first > LEAD ? first - LEAD : 0;
}

static int look(void *user, const char *token, size_t n, size_t from, size_t to)
{
    walk *k = user;
    uint16_t *slot = &k->sight[k->at % k->size];
    AIOS__UNUSED(from);
    AIOS__UNUSED(to);
    if (*slot && !--k->times[*slot - 1])
        k->n--;
    *slot = find_wanted(k->w, token, n);
    if (*slot && !k->times[*slot - 1]++)
        k->n++;
    k->at++;
    if (k->n > k->best) {
        k->best = k->n;
        k->begin = part_begin(k);
    }
    return k->best == k->w->n;
}

static int locate(void *user, const char *token, size_t n, size_t from, size_t to)
{
    walk *k = user;
    AIOS__UNUSED(token);
    AIOS__UNUSED(n);
    if (k->at == k->begin)
        k->from = from;
    k->to = to;
    return ++k->at >= k->begin + k->size;
}

int aios__mem_snippet(aios__memdb *m, const aios__mem_wanted *w, const char *text, size_t n, size_t *from, size_t *to, aios_error *err)
{
    walk k = {.w = w, .size = m->tokenizer == AIOS_MEMORY_WORDS ? WORDS : TRIGRAMS};
    int rc = aios__sql_tokens(m->sql, text, n, look, &k, err);
    k.at = 0;
    rc = rc ? rc : aios__sql_tokens(m->sql, text, n, locate, &k, err);
    *from = k.begin ? k.from : 0;
    *to = k.at >= k.begin + k.size ? k.to : n;
    return rc;
}

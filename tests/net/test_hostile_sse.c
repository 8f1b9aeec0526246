/* SPDX-License-Identifier: Apache-2.0 */
/* Event streams, valid ones and such with random mistakes, give the same events however they are cut. */
#include "hostile_client.h"

#include "base/sse.h"

#define MAX_STREAM 16384

typedef struct seen {
    uint64_t hash;
    long n;
} seen;

static void take(seen *s, const char *p, size_t n)
{
    for (size_t i = 0; i <= n; i++) /* with the NUL behind it */
        s->hash = (s->hash ^ (unsigned char)p[i]) * 0x100000001b3u;
}

static int on_event(void *user, const aios__sse_event *ev)
{
    seen *s = user;
    take(s, ev->type, strlen(ev->type));
    take(s, ev->id, strlen(ev->id));
    take(s, ev->data, ev->n);
    s->n++;
    return ev->n > 12 && !memcmp(ev->data, "stop-me-here", 12) ? AIOS_EPROTO : 0;
}

static int read_whole(aios__heap *heap, const char *p, size_t n, uint64_t cuts, seen *out)
{
    aios__sse s;
    aios_error err = AIOS_INIT(aios_error);
    int rc = 0;
    *out = (seen){0};
    aios__sse_init(&s, heap, 4096, on_event, out);
    for (size_t at = 0, k; !rc && at < n; at += k) {
        uint64_t r = hostile_mix(cuts + at);
        k = !cuts ? n : r % 3 ? 1 + r % 7 : 1 + r % 400;
        k = k < n - at ? k : n - at;
        rc = aios__sse_feed(&s, p + at, k, &err);
    }
    if (rc && err.code != rc)
        fail_msg("%s, but the error says %s", aios_code_name(rc), aios_code_name(err.code));
    aios__sse_free(&s);
    return rc;
}

/* The body of a row, as it is sent; 0 if it is none or too large. */
static size_t body_of(const hostile_row *row, char *out)
{
    const char *body = row->head.n ? memmem(row->head.p, row->head.n, "\r\n\r\n", 4) : NULL;
    size_t n = body ? row->head.n - (size_t)(body + 4 - row->head.p) : 0;
    if (!n || n > MAX_STREAM / 2)
        return 0;
    memcpy(out, body + 4, n);
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] == '\'' ? '"' : out[i];
    return n;
}

static void events_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    static char s[MAX_STREAM];
    test_heap th = {0};
    aios_ctx *ctx = test_ctx(&th, 0);
    long n_rounds = rounds(100000), n_events = 0;
    uint32_t row = 0;
    for (long i = 0; i < n_rounds; row++) {
        if (!hostile_at(row))
            row = 0;
        size_t n = body_of(hostile_at(row), s);
        if (!n)
            continue;
        if (i % 4)
            hostile_mutate(s, &n, sizeof s, (uint64_t)i);
        seen whole, cut;
        int rc = read_whole(aios__ctx_heap(ctx), s, n, 0, &whole), rc_cut = read_whole(aios__ctx_heap(ctx), s, n, hostile_mix((uint64_t)i) | 1,
            &cut);
        if (rc != rc_cut || whole.n != cut.n || whole.hash != cut.hash)
            fail_msg("%s, round %ld: %ld events and %s whole, %ld and %s in pieces", hostile_at(row)->name, i, whole.n, aios_code_name(rc),
                cut.n, aios_code_name(rc_cut));
        n_events += whole.n;
        i++;
    }
    assert_true(n_events > n_rounds);
    aios_ctx_free(ctx);
    assert_int_equal(th.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(events_do_not_depend_on_the_cuts)};
    return cmocka_run_group_tests_name("hostile sse", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Models behind HTTP/2: streams, floods, resets. Where libcurl is older than 8.2 each turn has a connection of its own. */
#include "tls_turn.h"

#include <dlfcn.h>
#include <sys/socket.h>

#define PROTO AIOS_EPROTO

enum { DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
#define END_STREAM 1
#define END_HEADERS 4

static const char head[] = "\x88\x0f\x10\x11text/event-stream";
static const char event[] = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"00000042-00 \"}}]}\n\n";
#define FIRST "00000042-00 "

static void begin(tls_conn *c, uint32_t id)
{
    tls_frame(c, HEADERS, END_HEADERS, id, head, sizeof head - 1);
    tls_frame(c, DATA, 0, id, event, sizeof event - 1);
}

static void reset_with(tls_conn *c, uint32_t id, unsigned char code)
{
    const unsigned char why[4] = {0, 0, 0, code};
    tls_frame(c, RST, 0, id, why, 4);
}

static void refused(tls_conn *c, uint32_t id)
{
    reset_with(c, id, 7);
}

static void reset_at_once(tls_conn *c, uint32_t id)
{
    reset_with(c, id, 2);
}

static void reset_within(tls_conn *c, uint32_t id)
{
    begin(c, id);
    reset_with(c, id, 2);
}

static void cancelled_within(tls_conn *c, uint32_t id)
{
    begin(c, id);
    reset_with(c, id, 8);
}

/* NO_ERROR before the end is no end. */
static void reset_without_error(tls_conn *c, uint32_t id)
{
    begin(c, id);
    reset_with(c, id, 0);
}

static void go_away(tls_conn *c, uint32_t last, unsigned char code)
{
    const unsigned char why[8] = {(unsigned char)(last >> 24), (unsigned char)(last >> 16), (unsigned char)(last >> 8), (unsigned char)last,
        0, 0, 0, code};
    tls_frame(c, GOAWAY, 0, 0, why, 8);
}

static void away_before(tls_conn *c, uint32_t id)
{
    (void)id;
    go_away(c, 0, 0);
    c->silent = true;
}

static void away_within(tls_conn *c, uint32_t id)
{
    begin(c, id);
    go_away(c, id, 11);
    c->silent = true;
}

static void reply_whole(tls_conn *c, uint32_t id)
{
    size_t n;
    char *text = tls_reply("ask-00000042", &n);
    tls_frame(c, HEADERS, END_HEADERS, id, head, sizeof head - 1);
    tls_frame(c, DATA, END_STREAM, id, text, n);
    free(text);
}

static void away_but_ends(tls_conn *c, uint32_t id)
{
    go_away(c, id, 0);
    reply_whole(c, id);
}

static void cut_within(tls_conn *c, uint32_t id)
{
    begin(c, id);
    c->broken = true;
}

static void closed_within(tls_conn *c, uint32_t id)
{
    begin(c, id);
    SSL_shutdown(c->ssl);
    c->silent = true;
}

static void silence(tls_conn *c, uint32_t id)
{
    (void)c, (void)id;
}

static void silence_within(tls_conn *c, uint32_t id)
{
    begin(c, id);
}

static void flood(tls_conn *c, uint8_t type, uint8_t flags, uint32_t id, const void *p, size_t n)
{
    for (long i = 0; i < 100000 && !c->broken && !c->server->stop; i++)
        tls_frame(c, type, flags, id, p, n);
    c->silent = true;
}

static void continuations(tls_conn *c, uint32_t id)
{
    tls_frame(c, HEADERS, 0, id, head, 1);
    flood(c, CONTINUATION, 0, id, "\x00\x01x\x01y", 5);
}

static void empty_continuations(tls_conn *c, uint32_t id)
{
    tls_frame(c, HEADERS, 0, id, head, 1);
    flood(c, CONTINUATION, 0, id, NULL, 0);
}

static void settings(tls_conn *c, uint32_t id)
{
    static const unsigned char one[6] = {0, 3, 0, 0, 0, 100};
    (void)id;
    flood(c, SETTINGS, 0, 0, one, sizeof one);
}

static void pings(tls_conn *c, uint32_t id)
{
    (void)id;
    flood(c, PING, 0, 0, "12345678", 8);
}

static void empty_data(tls_conn *c, uint32_t id)
{
    begin(c, id);
    flood(c, DATA, 0, id, NULL, 0);
}

static void interim(tls_conn *c, uint32_t id)
{
    flood(c, HEADERS, END_HEADERS, id, "\x08\x03" "103", 5);
}

/* A header of 900 KiB, by continuations. */
static void huge_headers(tls_conn *c, uint32_t id)
{
    static char part[16000];
    tls_frame(c, HEADERS, 0, id, head, 1);
    for (int i = 0; i < 60; i++) {
        static const char name[] = "\x00\x01x\x7f\x81\x7a"; /* a value of 15744 bytes */
        memset(part, 'y', sizeof part);
        memcpy(part, name, sizeof name - 1);
        tls_frame(c, CONTINUATION, i == 59 ? END_HEADERS : 0, id, part, sizeof name - 1 + 127 + 1 + 0x7a * 128);
    }
    c->silent = true;
}

static void body_beyond_the_limit(tls_conn *c, uint32_t id)
{
    static char part[16000];
    tls_frame(c, HEADERS, END_HEADERS, id, head, sizeof head - 1);
    memset(part, '\n', sizeof part);
    flood(c, DATA, 0, id, part, sizeof part);
}

static void pushes(tls_conn *c, uint32_t id)
{
    tls_frame(c, PUSH, END_HEADERS, id, "\0\0\0\2\x82\x84\x87", 7);
}

static void another_stream(tls_conn *c, uint32_t id)
{
    begin(c, id);
    tls_frame(c, DATA, END_STREAM, id + 2, event, sizeof event - 1);
}

static void data_without_head(tls_conn *c, uint32_t id)
{
    tls_frame(c, DATA, END_STREAM, id, event, sizeof event - 1);
}

static void bad_hpack(tls_conn *c, uint32_t id)
{
    tls_frame(c, HEADERS, END_HEADERS, id, "\xff\xff\xff\xff\xff\xff\xff", 7);
}

static void old_http(tls_conn *c, uint32_t id)
{
    static const char s[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    (void)id;
    tls_say(c, s, sizeof s - 1);
    c->silent = true;
}

static void downgraded(tls_conn *c)
{
    char text[128];
    size_t n;
    char *body = tls_reply(c->request, &n);
    tls_say(c, text, (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %zu\r\n\r\n", n));
    tls_say(c, body, n);
    free(body);
}

#define H2(what, fn) .name = what, .alpn = "h2", .h2 = fn
static const tls_row rows[] = {
    {H2("plain", NULL)},
    {H2("whole-at-once", reply_whole)},
    {.name = "downgraded", .alpn = "http/1.1", .talk = downgraded},
    {.name = "no-alpn", .talk = downgraded},
    {.name = "http-1-behind-alpn", .alpn = "h2", .talk = downgraded, .rc = PROTO},
    {H2("old-http-within", old_http), .rc = PROTO},
    {H2("refused-for-ever", refused), .rc = PROTO},
    {H2("reset-at-once", reset_at_once), .rc = PROTO},
    {H2("reset-within", reset_within), .rc = PROTO, .text = FIRST},
    {H2("cancelled-within", cancelled_within), .rc = PROTO, .text = FIRST},
    {H2("reset-without-error", reset_without_error), .rc = PROTO},
    {H2("away-before", away_before), .rc = PROTO},
    {H2("away-within", away_within), .rc = PROTO},
    {H2("away-but-ends", away_but_ends)},
    {H2("cut-within", cut_within), .rc = PROTO},
    {H2("closed-within", closed_within), .rc = PROTO},
    {H2("silence", silence), .rc = AIOS_ETIMEDOUT, .by_ms = 400},
    {H2("silence-within", silence_within), .rc = AIOS_ETIMEDOUT, .text = FIRST, .by_ms = 400},
    {H2("continuation-flood", continuations), .rc = HOSTILE_ANY},
    {H2("empty-continuation-flood", empty_continuations), .rc = HOSTILE_ANY},
    {H2("settings-flood", settings), .rc = HOSTILE_ANY},
    {H2("ping-flood", pings), .rc = HOSTILE_ANY},
    {H2("empty-data-flood", empty_data), .rc = HOSTILE_ANY},
    {H2("interim-flood", interim), .rc = HOSTILE_ANY},
    {H2("headers-of-900-KiB", huge_headers), .rc = HOSTILE_ANY},
    {H2("body-beyond-the-limit", body_beyond_the_limit), .rc = AIOS_ELIMIT, .text = ""},
    {H2("push", pushes), .rc = PROTO, .text = ""},
    {H2("data-of-another-stream", another_stream), .rc = PROTO},
    {H2("data-without-head", data_without_head), .rc = PROTO, .text = ""},
    {H2("head-that-is-none", bad_hpack), .rc = PROTO, .text = ""},
    {0},
};

static void every_server_gives_its_code_in_time(void **state)
{
    (void)state;
    tls_rows(rows);
}

static _Atomic double flooded_from, flooded_to;

/* Frames that say nothing, for 1.5 s, or until the client has had enough. */
static void long_flood(tls_conn *c, uint32_t id)
{
    begin(c, id);
    flooded_from = flooded_to = now_ms();
    while (flooded_to - flooded_from < 1500 && !c->broken && !c->server->stop) {
        for (int i = 0; i < 1000 && !c->broken; i++)
            tls_frame(c, DATA, 0, id, NULL, 0);
        flooded_to = now_ms();
    }
    c->silent = true;
}

/* libcurl 7.88 looks at nothing else while there is something to read: the turn ends with the flood, at the latest. */
static void a_flood_of_empty_frames_ends_with_it_or_its_deadline(void **state)
{
    (void)state;
    static const tls_row row = {H2("endless-empty-data", long_flood), .rc = AIOS_ETIMEDOUT};
    static turn t;
    aios_remote_config rc = {.ca_file = tls.ca_file, .idle_ns = 300 * MS};
    tls_turn(&row, "127.0.0.1", &rc, &t);
    double flood = flooded_to - flooded_from;
    if (t.rc != AIOS_ETIMEDOUT && t.rc != PROTO)
        fail_msg("gives %s: %s", aios_code_name(t.rc), t.err.msg);
    assert_string_equal(t.text, FIRST);
    if (t.ms < 280 || t.ms > (flood > 300 ? flood : 300) + 2 * LATE_MS)
        fail_msg("ended after %d ms, the flood after %d", (int)t.ms, (int)flood);
}

/* ---- many at once --------------------------------------------------------------------------------------------------- */

static bool multiplexes(void)
{
    void *so = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL);
    void *p = so ? dlsym(so, "curl_version") : NULL;
    char *(*version)(void);
    int major = 0, minor = 0;
    memcpy(&version, &p, sizeof p);
    return p && sscanf(version(), "libcurl/%d.%d", &major, &minor) == 2 && (major > 8 || (major == 8 && minor >= 2));
}

enum { MANY = 100 };

/* Starts MANY turns and goes round them; false and why if one is not its own. */
static bool run_many(aios_ctx *ctx, aios_session **s, uint32_t first, bool may_fail, int slow, long *n_whole, char *why, size_t n_why)
{
    static turn t[MANY];
    bool over[MANY] = {false};
    int n_over = 0;
    double end = now_ms() + 30000;
    for (uint32_t i = 0; i < MANY; i++)
        tls_begin(ctx, s[i], first + i, &t[i]);
    for (int round = 0; n_over < MANY && now_ms() < end; round++) {
        bool any = false;
        for (int i = 0; i < MANY; i++) {
            const aios_event *ev;
            if (over[i] || (i == slow && n_over < MANY - 1 && round))
                continue;
            int rc = aios_session_next(s[i], 0, &ev);
            any = any || rc != AIOS_AGAIN;
            if (rc == AIOS_OK)
                take_event(&t[i], ev);
            over[i] = rc == AIOS_DONE || (rc < 0 && rc != AIOS_AGAIN);
            n_over += over[i];
        }
        if (!any)
            usleep(1000);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        char want[HOSTILE_TOKENS * 12 + 1];
        hostile_text(first + i, want, sizeof want);
        *n_whole += !t[i].rc;
        bool may = may_fail && (t[i].rc == PROTO || t[i].rc == AIOS_EUNAVAIL);
        bool good = t[i].rc ? may && !strncmp(t[i].text, want, t[i].n_text) : !strcmp(t[i].text, want);
        if (!over[i] || t[i].wrong[0] || !good) {
            snprintf(why, n_why, "turn %u: %s %s \"%.60s\" %s", i, over[i] ? "" : "does not end", aios_code_name(t[i].rc), t[i].text,
                t[i].err.msg);
            return false;
        }
    }
    return true;
}

static void with_many(long rounds_of_100, bool may_fail, int slow, long *n_whole)
{
    static const tls_row row = {H2("many", NULL)};
    test_heap heap = {0};
    char why[1024] = "";
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios_remote_config rc = {.ca_file = tls.ca_file};
    aios_model *m = NULL;
    aios_session *s[MANY] = {NULL};
    aios_error err = AIOS_INIT(aios_error);
    tls.row = &row;
    tls.delay_ms = 30;
    must(tls_open(ctx, "127.0.0.1", &rc, &m, &err), &err);
    for (int i = 0; i < MANY; i++)
        must(aios_session_new(m, NULL, &s[i], &err), &err);
    static turn t; /* the connection that others may share is there */
    tls_begin(ctx, s[0], 1, &t);
    end_turn(s[0], &t);
    for (uint32_t k = 0; k < rounds_of_100; k++)
        if (!run_many(ctx, s, 1000 + 100 * k, may_fail, slow, n_whole, why, sizeof why))
            break;
    for (int i = 0; i < MANY; i++)
        aios_session_free(s[i]);
    aios_model_close(m);
    aios_ctx_free(ctx);
    tls.delay_ms = 0;
    if (why[0])
        fail_msg("%s", why);
    assert_int_equal(heap.live, 0);
}

static void a_hundred_turns_at_once_are_each_their_own(void **state)
{
    (void)state;
    long n = 0;
    int before = tls.n_accepted;
    tls.most_streams = 0;
    with_many(3, false, -1, &n);
    assert_int_equal(n, 300);
    assert_true(tls.most_streams >= 50);
    print_message("301 turns over %d connections, %d at once\n", tls.n_accepted - before, tls.most_streams);
    int n_conns = tls.n_accepted - before;
    assert_true(multiplexes() ? n_conns <= 4 : n_conns <= 301);
}

static void one_that_is_not_read_stops_no_other(void **state)
{
    (void)state;
    long n = 0;
    with_many(1, false, 7, &n);
    assert_int_equal(n, 100);
}

static void resets_at_random_bytes_mix_nothing(void **state)
{
    (void)state;
    long n_whole = 0, k = rounds(10);
    tls.cut_seed = 20261129;
    with_many(k, true, -1, &n_whole);
    tls.cut_seed = 0;
    print_message("%ld turns, %ld whole\n", k * MANY, n_whole);
    assert_true(n_whole > 0 && (n_whole < k * MANY || multiplexes())); /* one connection may be lucky */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_server_gives_its_code_in_time),
        cmocka_unit_test(a_flood_of_empty_frames_ends_with_it_or_its_deadline),
        cmocka_unit_test(a_hundred_turns_at_once_are_each_their_own),
        cmocka_unit_test(one_that_is_not_read_stops_no_other),
        cmocka_unit_test(resets_at_random_bytes_mix_nothing),
    };
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("h2", tests, start_tls, stop_tls);
}

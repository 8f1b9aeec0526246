/* SPDX-License-Identifier: Apache-2.0 */
/* Models behind TLS: whom they trust, what breaks off, what a proxy sees. */
#include "tls_turn.h"

#include <sys/socket.h>

#define OK_CLOSE "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define PROTO AIOS_EPROTO

/* ---- what a server says -------------------------------------------------------------------------------------------- */

static void say(tls_conn *c, const char *s)
{
    tls_say(c, s, strlen(s));
}

static void reply(tls_conn *c)
{
    char head[128];
    size_t n;
    char *text = tls_reply(c->request, &n);
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %zu\r\n\r\n", n);
    say(c, head);
    tls_say(c, text, n);
    free(text);
}

/* The end of the body is the end of the connection. */
static void say_until_close(tls_conn *c, size_t part)
{
    size_t n;
    char *text = tls_reply(c->request, &n);
    say(c, OK_CLOSE);
    tls_say(c, text, part ? part : n);
    free(text);
}

static void until_close(tls_conn *c)
{
    say_until_close(c, 0);
    SSL_shutdown(c->ssl);
    c->silent = true;
}

static void cut_without_notify(tls_conn *c)
{
    say_until_close(c, 700);
    c->silent = true;
}

static void broken_record(tls_conn *c)
{
    say_until_close(c, 700);
    (void)!send(c->fd, "\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef", 37, MSG_NOSIGNAL);
    c->silent = true;
}

static void plain_within(tls_conn *c)
{
    say_until_close(c, 700);
    (void)!send(c->fd, "data: {\"choices\":[]}\n\n", 22, MSG_NOSIGNAL);
    c->silent = true;
}

static void key_updates(tls_conn *c)
{
    size_t n;
    char *text = tls_reply(c->request, &n);
    say(c, OK_CLOSE);
    for (size_t at = 0; at < n; at += 100) {
        SSL_key_update(c->ssl, at % 200 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
        tls_say(c, text + at, n - at < 100 ? n - at : 100);
    }
    free(text);
    SSL_shutdown(c->ssl);
    while (SSL_read(c->ssl, c->request, sizeof c->request) > 0) /* its updates come too */
        ;
    c->silent = true;
}

/* TLS 1.2: asks for a new handshake within the stream. */
static void renegotiate(tls_conn *c)
{
    say_until_close(c, 700);
    SSL_renegotiate(c->ssl);
    if (SSL_do_handshake(c->ssl) != 1)
        c->broken = true;
    else
        usleep(100000);
    c->silent = true;
}

static void then_silence(tls_conn *c)
{
    char x;
    say_until_close(c, 700);
    (void)tls_read(c, &x, 1);
    c->silent = true;
}

/* ---- in place of a handshake ---------------------------------------------------------------------------------------- */

static void hear(tls_conn *c)
{
    (void)!recv(c->fd, c->request, sizeof c->request, 0);
}

static void hang(tls_conn *c)
{
    hear(c);
    hear(c); /* until the client goes */
}

static void hang_up(tls_conn *c)
{
    hear(c);
}

static void reset(tls_conn *c)
{
    hear(c);
    c->broken = true;
}

static void garbage(tls_conn *c)
{
    hear(c);
    memset(c->request, 0xa5, sizeof c->request);
    (void)!send(c->fd, c->request, sizeof c->request, MSG_NOSIGNAL);
}

static void plain_http(tls_conn *c)
{
    static const char s[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    hear(c);
    (void)!send(c->fd, s, sizeof s - 1, MSG_NOSIGNAL);
}

static void handshake_cut(tls_conn *c)
{
    static const unsigned char hello[] = {0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3, 1, 2, 3};
    hear(c);
    (void)!send(c->fd, hello, sizeof hello, MSG_NOSIGNAL);
}

static void handshake_hangs_within(tls_conn *c)
{
    handshake_cut(c);
    hear(c);
}

static void alert(tls_conn *c)
{
    hear(c);
    (void)!send(c->fd, "\x15\x03\x03\x00\x02\x02\x28", 7, MSG_NOSIGNAL);
}

static const tls_row rows[] = {
    {.name = "own-authority", .talk = reply},
    {.name = "own-authority-tls-1.2", .talk = reply, .max_version = TLS1_2_VERSION},
    {.name = "tls-1.1", .talk = reply, .max_version = TLS1_1_VERSION, .rc = PROTO},
    {.name = "tls-1.0", .talk = reply, .max_version = TLS1_VERSION, .rc = PROTO},
    {.name = "wrong-host", .talk = reply, .cert = CERT_WRONG_HOST, .rc = PROTO, .says = "certificate"},
    {.name = "expired", .talk = reply, .cert = CERT_EXPIRED, .rc = PROTO, .says = "expired"},
    {.name = "not-yet-valid", .talk = reply, .cert = CERT_NOT_YET, .rc = PROTO, .says = "not yet valid"},
    {.name = "self-signed", .talk = reply, .cert = CERT_SELF, .rc = PROTO, .says = "ca_file"},
    {.name = "for-clients-only", .talk = reply, .cert = CERT_USAGE, .rc = PROTO, .says = "purpose"},
    {.name = "rsa-1024", .talk = reply, .cert = CERT_SMALL_KEY, .rc = PROTO, .says = "key too"},
    {.name = "alpn-http-1.1", .talk = reply, .alpn = "http/1.1"},
    {.name = "handshake-hangs", .raw = hang, .rc = AIOS_ETIMEDOUT, .by_ms = 400},
    {.name = "handshake-hangs-within", .raw = handshake_hangs_within, .rc = AIOS_ETIMEDOUT, .by_ms = 400},
    {.name = "handshake-hang-up", .raw = hang_up, .rc = PROTO},
    {.name = "handshake-reset", .raw = reset, .rc = PROTO},
    {.name = "handshake-cut", .raw = handshake_cut, .rc = PROTO},
    {.name = "handshake-alert", .raw = alert, .rc = PROTO},
    {.name = "garbage", .raw = garbage, .rc = PROTO},
    {.name = "plain-http", .raw = plain_http, .rc = PROTO},
    {.name = "body-until-close", .talk = until_close},
    {.name = "cut-without-notify", .talk = cut_without_notify, .rc = PROTO},
    {.name = "broken-record", .talk = broken_record, .rc = PROTO},
    {.name = "plain-text-within", .talk = plain_within, .rc = PROTO},
    {.name = "silence-within", .talk = then_silence, .rc = AIOS_ETIMEDOUT, .by_ms = 400},
    {.name = "key-updates", .talk = key_updates},
    {.name = "renegotiation", .talk = renegotiate, .max_version = TLS1_2_VERSION, .rc = HOSTILE_ANY},
    {0},
};

static void every_server_gives_its_code_in_time(void **state)
{
    (void)state;
    tls_rows(rows);
}

/* ---- whom to trust ------------------------------------------------------------------------------------------------- */

static void without_its_authority_a_server_is_refused_and_the_option_named(void **state)
{
    (void)state;
    static turn t;
    aios_remote_config rc = {0};
    int before = tls.n_requests;
    tls_turn(&rows[0], "127.0.0.1", &rc, &t);
    assert_int_equal(t.rc, PROTO);
    assert_non_null(strstr(t.err.msg, "ca_file"));
    assert_int_equal(tls.n_requests, before);
}

static void a_file_of_certificates_that_is_none_is_told(void **state)
{
    (void)state;
    char missing[80], none[80], *files[3] = {missing, none, tls.dir};
    snprintf(missing, sizeof missing, "%s/missing.pem", tls.dir);
    snprintf(none, sizeof none, "%s/none.pem", tls.dir);
    FILE *f = fopen(none, "w");
    assert_true(f && fputs("no certificate\n", f) >= 0 && !fclose(f));
    for (int i = 0; i < 3; i++) {
        static turn t;
        aios_remote_config rc = {.ca_file = files[i], .max_retries = 3};
        tls_turn(&rows[0], "127.0.0.1", &rc, &t);
        if (t.rc != AIOS_EIO || !strstr(t.err.msg, files[i]) || !strstr(t.err.msg, "ca_file"))
            fail_msg("%s: %s: %s", files[i], aios_code_name(t.rc), t.err.msg);
    }
    unlink(none);
}

static void a_name_is_held_against_the_certificate_too(void **state)
{
    (void)state;
    static turn t;
    aios_remote_config rc = {.ca_file = tls.ca_file};
    tls_turn(&rows[0], "localhost", &rc, &t);
    assert_int_equal(t.rc, 0);
}

/* ---- sessions, proxies, resets ------------------------------------------------------------------------------------- */

static void connections_that_may_resume_a_session_are_sound(void **state)
{
    (void)state;
    static const tls_row row = {.name = "closing", .talk = until_close};
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios_remote_config rc = {.ca_file = tls.ca_file};
    aios_model *m = NULL;
    aios_session *s = NULL;
    aios_error err = AIOS_INIT(aios_error);
    tls.row = &row;
    int accepted = tls.n_accepted, resumed = tls.n_resumed;
    must(tls_open(ctx, "127.0.0.1", &rc, &m, &err), &err);
    must(aios_session_new(m, NULL, &s, &err), &err);
    for (uint32_t i = 0; i < 4; i++) {
        static turn t;
        char want[HOSTILE_TOKENS * 12 + 1];
        tls_begin(ctx, s, i, &t);
        end_turn(s, &t);
        hostile_text(i, want, sizeof want);
        assert_int_equal(t.rc, 0);
        assert_string_equal(t.text, want);
    }
    assert_int_equal(tls.n_accepted - accepted, 4);
    print_message("%d of 3 sessions resumed\n", tls.n_resumed - resumed);
    aios_session_free(s);
    aios_model_close(m);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void a_proxy_sees_neither_key_nor_prompt(void **state)
{
    (void)state;
    static turn t;
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", tls.proxy_port);
    aios_remote_config rc = {.ca_file = tls.ca_file, .proxy = proxy};
    tls.n_seen = 0;
    tls_turn(&rows[0], "localhost", &rc, &t);
    assert_int_equal(t.rc, 0);
    assert_non_null(memmem(tls.seen, tls.n_seen, "CONNECT localhost:", 18));
    assert_true(tls.n_seen > 500);
    assert_null(memmem(tls.seen, tls.n_seen, "canary", 6));
    assert_null(memmem(tls.seen, tls.n_seen, TLS_PROMPT, 4));
    rc = (aios_remote_config){.proxy = proxy};
    tls_turn(&rows[0], "localhost", &rc, &t); /* through a proxy it is held against the same authorities */
    assert_int_equal(t.rc, PROTO);
}

static void resets_at_random_bytes_end_no_turn_well(void **state)
{
    (void)state;
    long n = rounds(60), n_whole = 0;
    tls.cut_seed = 20261128;
    for (long i = 0; i < n; i++) {
        static const tls_row row = {.name = "cut at random", .talk = until_close, .rc = HOSTILE_ANY};
        static turn t;
        char want[HOSTILE_TOKENS * 12 + 1];
        aios_remote_config rc = {.ca_file = tls.ca_file};
        hostile_text(42, want, sizeof want);
        tls_turn(&row, "127.0.0.1", &rc, &t);
        n_whole += !t.rc;
        if (t.rc ? t.rc != PROTO || strncmp(t.text, want, t.n_text) : strcmp(t.text, want))
            fail_msg("%s: \"%s\", %s", aios_code_name(t.rc), t.text, t.err.msg);
    }
    tls.cut_seed = 0;
    assert_true(n_whole > n / 8 && n_whole < n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_server_gives_its_code_in_time),
        cmocka_unit_test(without_its_authority_a_server_is_refused_and_the_option_named),
        cmocka_unit_test(a_file_of_certificates_that_is_none_is_told),
        cmocka_unit_test(a_name_is_held_against_the_certificate_too),
        cmocka_unit_test(connections_that_may_resume_a_session_are_sound),
        cmocka_unit_test(a_proxy_sees_neither_key_nor_prompt),
        cmocka_unit_test(resets_at_random_bytes_end_no_turn_well),
    };
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("tls", tests, start_tls, stop_tls);
}

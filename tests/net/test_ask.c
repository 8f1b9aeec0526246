/* SPDX-License-Identifier: Apache-2.0 */
/* Whole exchanges with a server that fails, then keeps silent. */
#include <sys/socket.h>

#include "../unit/base/http_server.h"

static void fail_then_hang(server *s, int fd)
{
    char byte;
    if (s->n_connections == 1)
        say(fd, "HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    else
        (void)!recv(fd, &byte, 1, 0); /* until the client has gone */
}

static int drop_list(void *user, const void *s, size_t n)
{
    (void)user, (void)s, (void)n;
    return 0;
}

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void all_attempts_end_with_one_deadline(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    server *s = server_start(fail_then_hang);
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_model *m;
    char uri[64];
    remote.api_key = "k";
    remote.total_ns = INT64_C(1500000000);
    cfg.remote = &remote;
    snprintf(uri, sizeof uri, "http://127.0.0.1:%u/v1#m", s->port);
    must(aios_model_open(ctx, uri, &cfg, &m, &err), &err);
    int64_t from = mono_ms();
    assert_int_equal(aios_model_list(m, drop_list, NULL, &err), AIOS_ETIMEDOUT);
    assert_in_range(mono_ms() - from, 1400, 2200);
    assert_int_equal(s->n_connections, 2);
    aios_model_close(m);
    aios_ctx_free(ctx);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_attempts_end_with_one_deadline)};
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of TLS in this program, loopback only: a row says which certificate it shows and what it says, over HTTP/1.1 or HTTP/2.
 * Certificates are made when it starts.
 */
#ifndef AIOS_TEST_TLS_SERVER_H
#define AIOS_TEST_TLS_SERVER_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { CERT_GOOD, CERT_WRONG_HOST, CERT_EXPIRED, CERT_NOT_YET, CERT_SELF, CERT_USAGE, CERT_SMALL_KEY, N_CERTS };

struct tls_server;

/** One connection. */
typedef struct tls_conn {
    struct tls_server *server;
    const struct tls_row *row;
    SSL *ssl;
    int fd;
    uint64_t sent, cut;    /**< bytes on the wire, and behind how many it is reset; 0: never */
    char request[16384];   /**< of HTTP/1.1 */
    bool broken, silent;   /**< silent: it ends without close_notify */
} tls_conn;

typedef struct tls_row {
    const char *name;
    void (*raw)(tls_conn *c);              /**< in place of TLS */
    void (*talk)(tls_conn *c);             /**< answers a request of HTTP/1.1 */
    void (*h2)(tls_conn *c, uint32_t id);  /**< answers one of HTTP/2; NULL: with the numbered reply */
    const char *alpn;                      /**< "h2", "http/1.1"; NULL: none is chosen */
    int cert, max_version;
    int rc;                                /**< code of the turn */
    const char *text, *says;               /**< of the turn's reply and failure; NULL: not looked at */
    int by_ms;                             /**< the deadline that ends it, 0: none does */
} tls_row;

typedef struct tls_server {
    const tls_row *row;
    SSL_CTX *ctx[N_CERTS];
    char dir[32], ca_file[64];
    int listener, proxy;
    uint16_t port, proxy_port;
    pthread_t threads[2];
    _Atomic int stop, n_conns, n_accepted, n_requests, n_resumed, n_live_streams, most_streams;
    _Atomic int delay_ms;                  /**< before replies over HTTP/2 begin, so that many are under way */
    _Atomic uint64_t cut_seed;             /**< not 0: each connection is reset behind a random byte, or (one in four) is not */
    char seen[65536];                      /**< what the proxy's clients said */
    _Atomic size_t n_seen;
} tls_server;

/** Makes an authority, whose certificate is in s->ca_file, and what s->ctx is shown from; tls_start does so too. */
void tls_make_certs(tls_server *s);
void tls_drop_certs(tls_server *s);
void tls_start(tls_server *s);
void tls_stop(tls_server *s);
void tls_say(tls_conn *c, const void *p, size_t n);
/** The reply to the request that holds "ask-NNNNNNNN": 24 numbered pieces as events; to be freed. */
char *tls_reply(const char *request, size_t *n);
void tls_h2(tls_conn *c);
void tls_frame(tls_conn *c, uint8_t type, uint8_t flags, uint32_t id, const void *p, size_t n);
bool tls_read(tls_conn *c, void *p, size_t n);

#endif

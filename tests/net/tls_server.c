/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostile.h"

#define DAY 86400

/* ---- certificates -------------------------------------------------------------------------------------------------- */

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX v;
    X509V3_set_ctx(&v, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &v, nid, value);
    if (!e || !X509_add_ext(x, e, -1))
        abort();
    X509_EXTENSION_free(e);
}

static X509 *make_cert(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, long from, long to)
{
    static long serial;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), to);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
    if (!issuer && !strcmp(name, "test CA")) {
        extend(x, x, NID_basic_constraints, "critical,CA:TRUE");
        extend(x, x, NID_key_usage, "critical,keyCertSign");
    } else {
        bool wrong = !strcmp(name, "wrong host");
        extend(x, issuer ? issuer : x, NID_subject_alt_name, wrong ? "DNS:elsewhere.example" : "IP:127.0.0.1,DNS:localhost");
        extend(x, issuer ? issuer : x, NID_ext_key_usage, !strcmp(name, "usage") ? "clientAuth" : "serverAuth");
    }
    if (!X509_sign(x, issuer_key, EVP_sha256()))
        abort();
    return x;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *n_out, const unsigned char *in, unsigned n_in, void *user)
{
    const tls_server *s = user;
    const char *want = s->row->alpn;
    (void)ssl;
    for (unsigned i = 0; want && i < n_in; i += in[i] + 1u)
        if (in[i] == strlen(want) && !memcmp(in + i + 1, want, in[i])) {
            *out = in + i + 1;
            *n_out = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

void tls_make_certs(tls_server *s)
{
    static const struct {
        const char *name;
        long from, to;
    } rows[N_CERTS] = {[CERT_GOOD] = {"good", -DAY, DAY},     [CERT_WRONG_HOST] = {"wrong host", -DAY, DAY},
        [CERT_EXPIRED] = {"expired", -9 * DAY, -DAY}, [CERT_NOT_YET] = {"not yet", DAY, 9 * DAY}, [CERT_SELF] = {"self", -DAY, DAY},
        [CERT_USAGE] = {"usage", -DAY, DAY}, [CERT_SMALL_KEY] = {"small key", -DAY, DAY}};
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    X509 *ca = make_cert("test CA", ca_key, NULL, ca_key, -DAY, DAY);
    strcpy(s->dir, "/tmp/aios-tls-XXXXXX");
    if (!mkdtemp(s->dir))
        abort();
    snprintf(s->ca_file, sizeof s->ca_file, "%s/ca.pem", s->dir);
    FILE *f = fopen(s->ca_file, "w");
    if (!f || !PEM_write_X509(f, ca))
        abort();
    fclose(f);
    for (int i = 0; i < N_CERTS; i++) {
        EVP_PKEY *key = i == CERT_SMALL_KEY ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
        X509 *x = make_cert(rows[i].name, key, i == CERT_SELF ? NULL : ca, i == CERT_SELF ? key : ca_key, rows[i].from, rows[i].to);
        SSL_CTX *c = s->ctx[i] = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_security_level(c, 0);
        SSL_CTX_set_min_proto_version(c, TLS1_VERSION);
        SSL_CTX_set_session_id_context(c, (const unsigned char *)"t", 1);
        SSL_CTX_set_alpn_select_cb(c, choose_alpn, s);
        if (SSL_CTX_use_certificate(c, x) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1)
            abort();
        X509_free(x);
        EVP_PKEY_free(key);
    }
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

void tls_drop_certs(tls_server *s)
{
    for (int i = 0; i < N_CERTS; i++)
        SSL_CTX_free(s->ctx[i]);
    unlink(s->ca_file);
    rmdir(s->dir);
}

/* ---- a connection -------------------------------------------------------------------------------------------------- */

/* Counts what goes to the wire, and lets no more of it pass than up to the cut. */
static long on_bio(BIO *b, int op, const char *p, size_t n, int argi, long argl, int ret, size_t *done)
{
    tls_conn *c = (tls_conn *)(void *)BIO_get_callback_arg(b);
    (void)argi, (void)argl, (void)done;
    if (op != BIO_CB_WRITE)
        return ret;
    if (c->broken)
        return -1;
    if (c->cut && c->sent + n > c->cut) {
        (void)!send(c->fd, p, (size_t)(c->cut - c->sent), MSG_NOSIGNAL);
        c->broken = true;
        return -1;
    }
    c->sent += n;
    return ret;
}

void tls_say(tls_conn *c, const void *p, size_t n)
{
    if (!c->broken && n && SSL_write(c->ssl, p, (int)n) <= 0)
        c->broken = true;
}

bool tls_read(tls_conn *c, void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        int r = SSL_read(c->ssl, (char *)p + at, (int)(n - at));
        if (r <= 0)
            return false;
        at += (size_t)r;
    }
    return true;
}

static bool read_request(tls_conn *c)
{
    size_t n = 0;
    for (;;) {
        int r = SSL_read(c->ssl, c->request + n, (int)(sizeof c->request - 1 - n));
        if (r <= 0)
            return false;
        n += (size_t)r;
        c->request[n] = 0;
        const char *end = strstr(c->request, "\r\n\r\n"), *cl = strcasestr(c->request, "content-length:");
        if (end && n >= (size_t)(end + 4 - c->request) + (cl && cl < end ? strtoul(cl + 15, NULL, 10) : 0))
            return true;
    }
}

char *tls_reply(const char *request, size_t *n)
{
    const char *ask = strstr(request, "ask-");
    char text[HOSTILE_TOKENS * 12 + 1], *out = NULL;
    FILE *f = open_memstream(&out, n);
    hostile_text(ask ? (uint32_t)strtoul(ask + 4, NULL, 10) : 0, text, sizeof text);
    for (int i = 0; i < HOSTILE_TOKENS; i++)
        fprintf(f, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%.12s\"}}]}\n\n", text + i * 12);
    fprintf(f, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    fclose(f);
    return out;
}

static void over_tls(tls_conn *c)
{
    tls_server *s = c->server;
    c->ssl = SSL_new(s->ctx[c->row->cert]);
    SSL_set_fd(c->ssl, c->fd);
    BIO_set_callback_ex(SSL_get_wbio(c->ssl), on_bio);
    BIO_set_callback_arg(SSL_get_wbio(c->ssl), (char *)(void *)c);
    if (c->row->max_version)
        SSL_set_max_proto_version(c->ssl, c->row->max_version);
    if (SSL_accept(c->ssl) == 1) {
        const unsigned char *alpn;
        unsigned n;
        s->n_resumed += SSL_session_reused(c->ssl);
        SSL_get0_alpn_selected(c->ssl, &alpn, &n);
        if (n == 2 && !c->row->talk)
            tls_h2(c);
        else
            while (!c->broken && !c->silent && c->row->talk && read_request(c)) {
                s->n_requests++;
                c->row->talk(c);
            }
        if (!c->silent && !c->broken)
            SSL_shutdown(c->ssl);
    }
    SSL_free(c->ssl);
}

static void *serve(void *arg)
{
    tls_conn *c = arg;
    tls_server *s = c->server;
    uint64_t r = hostile_mix(s->cut_seed + (uint64_t)s->n_accepted);
    c->cut = s->cut_seed && r % 4 ? 1 + hostile_mix(r) % 6000 : c->cut;
    if (c->row->raw)
        c->row->raw(c);
    else
        over_tls(c);
    struct linger hard = {1, 0};
    if (c->broken)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(c->fd);
    free(c);
    s->n_conns--;
    return NULL;
}

/* ---- a proxy -------------------------------------------------------------------------------------------------------- */

static bool pass(tls_server *s, int from, int to, bool note)
{
    char buf[16384];
    ssize_t n = recv(from, buf, sizeof buf, 0);
    for (ssize_t i = 0; note && i < n && s->n_seen < sizeof s->seen; i++)
        s->seen[s->n_seen++] = buf[i];
    return n > 0 && send(to, buf, (size_t)n, MSG_NOSIGNAL) == n;
}

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a) ? fd : -1;
}

/* CONNECT, whatever the name: everything leads to the server. */
static void *relay(void *arg)
{
    static const char ok[] = "HTTP/1.1 200 Connected\r\n\r\n";
    tls_conn *c = arg;
    tls_server *s = c->server;
    int to = dial(s->port);
    ssize_t n = recv(c->fd, c->request, sizeof c->request - 1, 0);
    for (ssize_t i = 0; i < n && s->n_seen < sizeof s->seen; i++)
        s->seen[s->n_seen++] = c->request[i];
    bool up = to >= 0 && n > 8 && !memcmp(c->request, "CONNECT ", 8) && send(c->fd, ok, sizeof ok - 1, MSG_NOSIGNAL) > 0;
    while (up && !s->stop) {
        struct pollfd p[2] = {{.fd = c->fd, .events = POLLIN}, {.fd = to, .events = POLLIN}};
        poll(p, 2, 50);
        up = (!p[0].revents || pass(s, c->fd, to, true)) && (!p[1].revents || pass(s, to, c->fd, false));
    }
    close(to);
    close(c->fd);
    free(c);
    s->n_conns--;
    return NULL;
}

/* ---- starting and ending ------------------------------------------------------------------------------------------- */

static void accept_all(tls_server *s, int listener, void *(*fn)(void *))
{
    struct timeval patience = {5, 0};
    while (!s->stop) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        pthread_t th;
        int fd = poll(&p, 1, 20) > 0 ? accept(listener, NULL, NULL) : -1;
        if (fd < 0)
            continue;
        tls_conn *c = calloc(1, sizeof *c);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        c->server = s;
        c->row = s->row;
        c->fd = fd;
        s->n_conns++;
        s->n_accepted += fn == serve;
        if (pthread_create(&th, NULL, fn, c))
            abort();
        pthread_detach(th);
    }
}

static void *run_server(void *arg)
{
    tls_server *s = arg;
    accept_all(s, s->listener, serve);
    return NULL;
}

static void *run_proxy(void *arg)
{
    tls_server *s = arg;
    accept_all(s, s->proxy, relay);
    return NULL;
}

static int listen_at(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 256) || getsockname(fd, (struct sockaddr *)&a, &n))
        abort();
    *port = ntohs(a.sin_port);
    return fd;
}

void tls_start(tls_server *s)
{
    signal(SIGPIPE, SIG_IGN);
    tls_make_certs(s);
    s->listener = listen_at(&s->port);
    s->proxy = listen_at(&s->proxy_port);
    if (pthread_create(&s->threads[0], NULL, run_server, s) || pthread_create(&s->threads[1], NULL, run_proxy, s))
        abort();
}

void tls_stop(tls_server *s)
{
    s->stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(s->threads[i], NULL);
    for (int i = 0; i < 800 && s->n_conns; i++)
        usleep(10000);
    close(s->listener);
    close(s->proxy);
    tls_drop_certs(s);
}

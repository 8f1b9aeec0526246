/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes curl.h: what the transport uses of libcurl. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/http_priv.h"

#define CURL_PIECE 4096L      /* bytes that curl reads at once, its own buffer of a transfer */
#define CURL_UPLOAD 16384L    /* the least that curl takes; made only while a large body is sent */
#define MAX_CONNECT_MS 86400000
#define CURL_CONNECT_NS (INT64_C(300000) * 1000000) /* what curl allows by itself, without a timer */
#define FIRST_IDLE 16 /* kept connections that there is room for from the beginning */

/*
 * What is used of libcurl, which is loaded when it is first asked for: with what it brings it would cost every process 5 ms and 6 MiB
 * at its start.
 */
#define CURL_FUNCTIONS(X)                                                                                              \
    X(global_init) X(global_cleanup) X(version_info) X(free)                                                           \
    X(url) X(url_set) X(url_get) X(url_cleanup) X(url_strerror)                                                        \
    X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_getinfo) X(easy_pause) X(easy_strerror)                         \
    X(multi_init) X(multi_cleanup) X(multi_setopt) X(multi_add_handle) X(multi_remove_handle) X(multi_info_read)       \
    X(multi_socket_action) X(multi_strerror)

_Static_assert(CURL_ERROR_SIZE <= sizeof((aios__transfer *)0)->curl_text, "curl writes that much");

struct aios__curl {
#define X(name) __typeof__(&curl_##name) name;
    CURL_FUNCTIONS(X)
#undef X
    CURLM *multi;
    const curl_version_info_data *version;
    struct pollfd *idle; /* kept connections of HTTP/1 that no transfer uses */
    size_t n_idle, cap_idle;
};

/* Once loaded it stays. */
static int load(aios__curl *c, aios_error *err)
{
    void *so = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE), *p = so;
#define X(name)                                                                                                        \
    p = p ? dlsym(so, "curl_" #name) : NULL;                                                                           \
    memcpy(&c->name, &p, sizeof p);
    CURL_FUNCTIONS(X)
#undef X
    if (so)
        dlclose(so);
    if (!p)
        return aios__fail(err, AIOS_EUNAVAIL, "libcurl.so.4, which HTTP needs, is missing or too old");
    return c->global_init(CURL_GLOBAL_DEFAULT) ? aios__fail(err, AIOS_EUNAVAIL, "libcurl cannot be initialised") : AIOS_OK;
}

/* ---- called by curl, on the thread whose turn it is ----------------------------------------------------------- */

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    return aios__came_header(user, p, size * n) ? size * n : CURL_WRITEFUNC_ERROR;
}

static size_t on_write(char *p, size_t size, size_t n, void *user)
{
    bool full;
    if (!aios__came_body(user, p, size * n, &full))
        return CURL_WRITEFUNC_ERROR;
    return full ? CURL_WRITEFUNC_PAUSE : size * n;
}

/* Text and port of an address; an IPv4 address in IPv6 clothes is shown as what it is. */
static bool show_address(const struct curl_sockaddr *a, char *text, socklen_t n_text, uint16_t *port)
{
    if (a->family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &a->addr, sizeof in);
        *port = ntohs(in.sin_port);
        return inet_ntop(AF_INET, &in.sin_addr, text, n_text) != NULL;
    }
    if (a->family != AF_INET6 || a->addrlen < sizeof(struct sockaddr_in6))
        return false;
    struct sockaddr_in6 in6;
    memcpy(&in6, &a->addr, sizeof in6);
    *port = ntohs(in6.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
        return inet_ntop(AF_INET, (const char *)&in6.sin6_addr + 12, text, n_text) != NULL;
    return inet_ntop(AF_INET6, &in6.sin6_addr, text, n_text) != NULL;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    aios__transfer *t = user;
    char text[INET6_ADDRSTRLEN];
    uint16_t port = 0;
    if (purpose != CURLSOCKTYPE_IPCXN || !show_address(a, text, sizeof text, &port)) {
        t->refused = "it is no internet address";
        return CURL_SOCKET_BAD;
    }
    const aios_env *env = aios__ctx_env(t->ctx);
    const char *host = t->asked.via ? t->asked.via : t->asked.at.host;
    t->refused = aios__asked_refusal(&t->asked, text);
    if (!t->refused && env->net_check(env->user, host, text, port))
        t->refused = "net_check refused them";
    return t->refused ? CURL_SOCKET_BAD : socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void forget_idle(aios__curl *c, int fd)
{
    for (size_t i = 0; i < c->n_idle; i++)
        if (c->idle[i].fd == fd)
            c->idle[i--] = c->idle[--c->n_idle];
}

static int on_close_socket(void *user, curl_socket_t fd)
{
    aios__http *h = user;
    if (h->curl)
        forget_idle(h->curl, fd);
    return close(fd);
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* A connection that is used again was opened for another request, which may have allowed more. */
static int on_connected(void *user, char *address, char *local, int port, int local_port)
{
    aios__transfer *t = user;
    AIOS__UNUSED(local);
    AIOS__UNUSED(port);
    AIOS__UNUSED(local_port);
    pthread_mutex_lock(&t->http->lock);
    t->connected = true;
    pthread_mutex_unlock(&t->http->lock);
    t->refused = aios__asked_refusal(&t->asked, address);
    return t->refused ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}
#endif

static void end(aios__transfer *t)
{
    t->ended = true;
    aios__loop_news(t);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *own)
{
    aios__http *h = user;
    AIOS__UNUSED(own);
    struct epoll_event ev = {.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u), .data.fd = fd};
    if (what == CURL_POLL_REMOVE || !ev.events) {
        (void)epoll_ctl(h->epoll, EPOLL_CTL_DEL, fd, &ev); /* fails where it is closed already */
        return 0;
    }
    forget_idle(h->curl, fd);
    if (!epoll_ctl(h->epoll, EPOLL_CTL_MOD, fd, &ev) || (errno == ENOENT && !epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &ev)))
        return 0;
    char *p = NULL;
    int e = errno;
    if (h->curl->easy_getinfo(easy, CURLINFO_PRIVATE, &p) || !p)
        return 0;
    aios__transfer *t = (aios__transfer *)(void *)p;
    pthread_mutex_lock(&h->lock);
    t->end_code = aios__fail_sys(&t->inner, AIOS_EUNAVAIL, e, "%s: the system watches no more sockets", t->asked.at.host);
    end(t);
    pthread_mutex_unlock(&h->lock);
    return 0; /* a failure here would end all transfers */
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    aios__http *h = user;
    struct timespec t;
    AIOS__UNUSED(multi);
    clock_gettime(CLOCK_MONOTONIC, &t);
    h->curl_at = timeout_ms < 0 ? -1 : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + (int64_t)timeout_ms * 1000000;
    return 0;
}

/* ---- the multi ------------------------------------------------------------------------------------------------ */

/* Before 8.2 one paused stream stops all others of its HTTP/2 connection, so that each has its own. */
static CURLMcode set_multi(aios__curl *c, aios__http *h)
{
    CURLMcode m = c->multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    if (!m)
        m = c->multi_setopt(c->multi, CURLMOPT_SOCKETDATA, h);
    if (!m)
        m = c->multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    if (!m)
        m = c->multi_setopt(c->multi, CURLMOPT_TIMERDATA, h);
    if (!m)
        m = c->multi_setopt(c->multi, CURLMOPT_PIPELINING, c->version->version_num >= 0x080200 ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING);
    return m;
}

aios__curl *aios__curl_new(aios__http *h, aios_error *err)
{
    aios__curl *c = aios__alloc(aios__ctx_heap(h->ctx), AIOS_MEM_OTHER, sizeof *c, err);
    if (!c)
        return NULL;
    if (load(c, err)) {
        aios__free(aios__ctx_heap(h->ctx), c);
        return NULL;
    }
    c->version = c->version_info(CURLVERSION_NOW);
    c->idle = aios__alloc_array(aios__ctx_heap(h->ctx), AIOS_MEM_OTHER, FIRST_IDLE, sizeof *c->idle, err);
    c->cap_idle = c->idle ? FIRST_IDLE : 0;
    c->multi = c->idle ? c->multi_init() : NULL;
    if (c->multi && !set_multi(c, h))
        return c;
    aios__curl_free(c, h);
    aios__fail(err, AIOS_ENOMEM, "libcurl has no memory");
    return NULL;
}

void aios__curl_free(aios__curl *c, aios__http *h)
{
    if (!c)
        return;
    if (c->multi)
        c->multi_cleanup(c->multi);
    c->global_cleanup();
    aios__free(aios__ctx_heap(h->ctx), c->idle);
    aios__free(aios__ctx_heap(h->ctx), c);
}

int aios__curl_work(aios__http *h, int fd, uint32_t bits, aios_error *err)
{
    aios__curl *c = h->curl;
    int running, what = (bits & EPOLLIN ? CURL_CSELECT_IN : 0) | (bits & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (bits & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    CURLMcode m = c->multi_socket_action(c->multi, fd < 0 ? CURL_SOCKET_TIMEOUT : fd, what, &running);
    return m ? aios__fail(err, m == CURLM_OUT_OF_MEMORY ? AIOS_ENOMEM : AIOS_EINTERNAL, "libcurl: %s", c->multi_strerror(m)) : AIOS_OK;
}

#define TOO_LARGE ((CURLcode)100) /* CURLE_TOO_LARGE, since 8.6 */

/* Before 8.6 curl calls it a lack of memory, when bytes of a head have come. */
static bool is_endless_line(const aios__transfer *t, CURLcode code)
{
    curl_off_t us = 0;
    bool came = !t->http->curl->easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &us) && us;
    return !t->came.head_done && (code == TOO_LARGE || (code == CURLE_OUT_OF_MEMORY && came));
}

/* What helps against a failure of TLS; "": nothing that we know of. */
static const char *advice(CURLcode code)
{
    static const struct {
        CURLcode code;
        const char *text;
    } rows[] = {
        {CURLE_PEER_FAILED_VERIFICATION,
         "; nothing was sent. If the server is yours, give the certificate of its authority (PEM) as ca_file (the command: --ca-file), and ask by the "
         "name that stands in its certificate"},
        {CURLE_SSL_CACERT_BADFILE, "; ca_file (the command: --ca-file), or the system's, must be a readable file of certificates in PEM"},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].code == code)
            return rows[i].text;
    return "";
}

/* What curl's outcome is to us; callbacks that ended a transfer have said why. With the lock held. */
static void explain(aios__transfer *t, CURLcode code)
{
    static const struct {
        CURLcode curl;
        int code;
    } rows[] = {
        {CURLE_COULDNT_RESOLVE_HOST, AIOS_EUNAVAIL}, {CURLE_COULDNT_RESOLVE_PROXY, AIOS_EUNAVAIL}, {CURLE_COULDNT_CONNECT, AIOS_EUNAVAIL},
        {CURLE_OPERATION_TIMEDOUT, AIOS_ETIMEDOUT},  {CURLE_OUT_OF_MEMORY, AIOS_ENOMEM},           {CURLE_URL_MALFORMAT, AIOS_EINVAL},
        {CURLE_SSL_CACERT_BADFILE, AIOS_EIO},        {CURLE_READ_ERROR, AIOS_EINTERNAL},           {CURLE_BAD_FUNCTION_ARGUMENT, AIOS_EINTERNAL},
        {TOO_LARGE, AIOS_ELIMIT},
    };
    t->end_code = AIOS_EPROTO;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].curl == code)
            t->end_code = rows[i].code;
    if (t->inner.code)
        t->end_code = t->inner.code;
    else if (is_endless_line(t, code))
        t->end_code = aios__fail(&t->inner, AIOS_ELIMIT, "%s: a line of the head is longer than the 100 KiB that libcurl takes", t->asked.at.host);
    else if (t->refused && (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK))
        t->end_code = aios__fail(&t->inner, AIOS_EDENIED, "%s: no address of this host may be connected to (%s)", t->asked.at.host, t->refused);
    else
        aios__fail(&t->inner, t->end_code, "%s: %s%s", t->asked.at.host, t->curl_text[0] ? t->curl_text : t->http->curl->easy_strerror(code),
                   advice(code));
}

static bool is_watched(const aios__http *h, int fd)
{
    struct epoll_event ev = {.data.fd = fd};
    if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &ev))
        return true;
    (void)epoll_ctl(h->epoll, EPOLL_CTL_DEL, fd, &ev);
    return false;
}

/* The connection that a transfer leaves, if it is kept; one that there is no room to remember is not. */
static void note_idle(aios__http *h, CURL *easy)
{
    aios__curl *c = h->curl;
    curl_socket_t fd = CURL_SOCKET_BAD;
    long version = 0;
    if (c->easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) || fd == CURL_SOCKET_BAD || c->easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version) ||
        version > CURL_HTTP_VERSION_1_1 || is_watched(h, fd))
        return;
    forget_idle(c, fd);
    if (c->n_idle == c->cap_idle) {
        size_t cap = 2 * c->cap_idle;
        struct pollfd *more = aios__realloc_quietly(aios__ctx_heap(h->ctx), AIOS_MEM_OTHER, c->idle, cap * sizeof *more);
        if (!more) {
            shutdown(fd, SHUT_RDWR);
            return;
        }
        c->idle = more;
        c->cap_idle = cap;
    }
    c->idle[c->n_idle++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

/*
 * What comes on a connection that nobody uses answers no request, and would be taken for the answer to the next one (libcurl 7.88, 8.23). Such
 * a connection is shut, so that curl finds it dead.
 */
static void shut_spoken(aios__curl *c)
{
    if (!c->n_idle || poll(c->idle, c->n_idle, 0) <= 0)
        return;
    for (size_t i = 0; i < c->n_idle; i++)
        if (c->idle[i].revents) {
            shutdown(c->idle[i].fd, SHUT_RDWR);
            c->idle[i--] = c->idle[--c->n_idle];
        }
}

void aios__curl_finished(aios__http *h)
{
    const CURLMsg *m;
    int left;
    while ((m = h->curl->multi_info_read(h->curl->multi, &left))) {
        char *p = NULL;
        if (m->msg != CURLMSG_DONE || h->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p) || !p)
            continue;
        aios__transfer *t = (aios__transfer *)(void *)p;
        note_idle(h, m->easy_handle);
        pthread_mutex_lock(&h->lock);
        if (m->data.result)
            explain(t, m->data.result);
        end(t);
        pthread_mutex_unlock(&h->lock);
    }
}

/* ---- URLs ----------------------------------------------------------------------------------------------------- */

/* The URL itself may hold a secret: not shown. */
static int fail_url(aios__curl *c, CURLUcode code, aios_error *err)
{
    int own = code == CURLUE_OUT_OF_MEMORY ? AIOS_ENOMEM : code == CURLUE_UNSUPPORTED_SCHEME ? AIOS_ENOTSUP : AIOS_EINVAL;
    return aios__fail(err, own, "URL: %s", c->url_strerror(code));
}

static int copy_part(aios__http *h, CURLU *u, CURLUPart part, unsigned flags, char **out, aios_error *err)
{
    char *s = NULL;
    CURLUcode code = h->curl->url_get(u, part, &s, flags);
    if (code)
        return fail_url(h->curl, code, err);
    *out = aios__strndup(aios__ctx_heap(h->ctx), AIOS_MEM_TEXT, s, strlen(s), err);
    h->curl->free(s);
    return *out ? AIOS_OK : aios__error_code(err, AIOS_ENOMEM);
}

/* Opens `base` (may be NULL) and goes from there to `url`. */
static int open_url(aios__http *h, const char *base, const char *url, unsigned flags, CURLU **out, aios_error *err)
{
    CURLU *u = h->curl->url();
    CURLUcode code = u ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
    if (!code && base)
        code = h->curl->url_set(u, CURLUPART_URL, base, flags);
    if (!code)
        code = h->curl->url_set(u, CURLUPART_URL, url, flags);
    *out = u;
    return code ? fail_url(h->curl, code, err) : AIOS_OK;
}

int aios__curl_host(aios__http *h, const char *url, char **host, aios_error *err)
{
    CURLU *u;
    int rc = open_url(h, NULL, url, CURLU_NON_SUPPORT_SCHEME, &u, err);
    if (!rc)
        rc = copy_part(h, u, CURLUPART_HOST, 0, host, err);
    h->curl->url_cleanup(u);
    return rc;
}

int aios__curl_url(aios__http *h, const char *base, const char *url, aios__url *out, aios_error *err)
{
    CURLU *u;
    memset(out, 0, sizeof *out);
    int rc = open_url(h, base, url, CURLU_DISALLOW_USER, &u, err);
    if (!rc)
        rc = copy_part(h, u, CURLUPART_SCHEME, 0, &out->scheme, err);
    if (!rc && strcmp(out->scheme, "https") && strcmp(out->scheme, "http"))
        rc = aios__fail(err, AIOS_ENOTSUP, "URL scheme \"%.16s\" is not http or https", out->scheme);
    if (!rc)
        rc = copy_part(h, u, CURLUPART_HOST, 0, &out->host, err);
    if (!rc)
        rc = copy_part(h, u, CURLUPART_PORT, CURLU_DEFAULT_PORT, &out->port, err);
    if (!rc)
        rc = copy_part(h, u, CURLUPART_URL, 0, &out->text, err);
    h->curl->url_cleanup(u);
    return rc;
}

/* ---- a transfer ----------------------------------------------------------------------------------------------- */

static CURLcode set_numbers(aios__transfer *t)
{
    const aios__asked *a = &t->asked;
    const aios__curl *curl = t->http->curl;
    bool http2 = !a->http1 && (curl->version->features & CURL_VERSION_HTTP2);
    const struct {
        CURLoption option;
        long value;
    } rows[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
        {CURLOPT_HTTP_CONTENT_DECODING, 0},
        {CURLOPT_SUPPRESS_CONNECT_HEADERS, 1},
        {CURLOPT_HTTP_VERSION, http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1},
        {CURLOPT_BUFFERSIZE, CURL_PIECE},
        {CURLOPT_UPLOAD_BUFFERSIZE, CURL_UPLOAD},
#if LIBCURL_VERSION_NUM >= 0x075700
        {CURLOPT_QUICK_EXIT, 1}, /* a cancelled look-up of a name is not waited for */
#endif
#if LIBCURL_VERSION_NUM < 0x075500
        {CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS},
#endif
    };
    CURLcode c = CURLE_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows) && !c; i++)
        c = curl->easy_setopt(t->easy, rows[i].option, rows[i].value);
    return c;
}

static CURLcode set_pointers(aios__transfer *t)
{
    const aios__asked *a = &t->asked;
    const struct {
        CURLoption option;
        const void *value;
    } rows[] = {
        {CURLOPT_PRIVATE, t},
        {CURLOPT_ERRORBUFFER, t->curl_text},
        {CURLOPT_HEADERDATA, t},
        {CURLOPT_WRITEDATA, t},
        {CURLOPT_OPENSOCKETDATA, t},
        {CURLOPT_PROXY, a->proxy ? a->proxy : ""},
        {CURLOPT_NOPROXY, ""},
        {CURLOPT_CAINFO, a->ca_file},
#if LIBCURL_VERSION_NUM >= 0x075500
        {CURLOPT_PROTOCOLS_STR, "http,https"},
#endif
    };
    const curl_version_info_data *v = t->http->curl->version;
    CURLcode c = CURLE_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows) && !c; i++)
        if (rows[i].value)
            c = t->http->curl->easy_setopt(t->easy, rows[i].option, rows[i].value);
    /* A folder of certificates would be trusted beside ca_file, and keeps curl from reading the system's file only once. */
    if (!c && (a->ca_file || (v->age >= CURLVERSION_SEVENTH && v->cainfo)))
        c = t->http->curl->easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
    return c;
}

/*
 * Where the connection's address cannot be asked for, one that may be connected to has to be opened. A timer of curl's stays until it is over
 * and makes each piece that comes look for its place among all others: 3 us with 1,000 streams. So the one for connecting is set only where
 * it is divided among several addresses, that is for names.
 */
static CURLcode set_connected(aios__transfer *t)
{
    const aios__curl *curl = t->http->curl;
    const aios__asked *a = &t->asked;
    CURLcode c = CURLE_UNKNOWN_OPTION;
    int64_t connect_ms = a->connect_ns / 1000000;
    connect_ms = connect_ms < 1 ? 1 : connect_ms > MAX_CONNECT_MS ? MAX_CONNECT_MS : connect_ms;
#if LIBCURL_VERSION_NUM >= 0x075000
    if (!a->proxy) {
        c = curl->easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, on_connected);
        c = c ? c : curl->easy_setopt(t->easy, CURLOPT_PREREQDATA, t);
    }
#endif
    pthread_mutex_lock(&t->http->lock);
    t->times_connect = !c && a->connect_ns <= CURL_CONNECT_NS && aios__address_class(a->at.host);
    pthread_mutex_unlock(&t->http->lock);
    if (c == CURLE_UNKNOWN_OPTION)
        c = a->allow && !a->proxy ? curl->easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L) : CURLE_OK;
    return c ? c : curl->easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, t->times_connect ? 0L : (long)connect_ms);
}

static CURLcode set_callbacks(aios__transfer *t)
{
    const aios__curl *curl = t->http->curl;
    CURLcode c = curl->easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_write);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_CLOSESOCKETDATA, t->http);
    return c ? c : set_connected(t);
}

/* A list over our own lines: curl copies neither, so that all can be wiped. */
static void link_lines(aios__transfer *t)
{
    struct curl_slist *list = t->fields;
    char *line = t->asked.lines;
    for (size_t i = 0; i < t->asked.n_lines; i++) {
        list[i] = (struct curl_slist){.data = line, .next = i + 1 < t->asked.n_lines ? &list[i + 1] : NULL};
        line += strlen(line) + 1;
    }
}

/* All that a redirect may change. */
static CURLcode set_request(aios__transfer *t)
{
    const aios__asked *a = &t->asked;
    const aios__curl *curl = t->http->curl;
    link_lines(t);
    CURLcode c = curl->easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_URL, a->at.text);
    if (!c && a->post)
        c = curl->easy_setopt(t->easy, CURLOPT_POST, 1L);
    if (!c && a->post)
        c = curl->easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->n_body);
    if (!c && a->post)
        c = curl->easy_setopt(t->easy, CURLOPT_POSTFIELDS, a->body);
    return c;
}

static int fail_easy(const aios__curl *curl, CURLcode c, aios_error *err)
{
    return aios__fail(err, c == CURLE_OUT_OF_MEMORY ? AIOS_ENOMEM : AIOS_EINTERNAL, "libcurl: %s", curl->easy_strerror(c));
}

int aios__curl_open(aios__transfer *t, aios_error *err)
{
    size_t n = 0;
    if (!aios__mul_size(t->asked.n_lines, sizeof(struct curl_slist), &n))
        return aios__fail(err, AIOS_EINVAL, "an HTTP request has too many headers");
    t->fields = aios__realloc(aios__ctx_heap(t->ctx), AIOS_MEM_TEXT, NULL, n, err);
    if (!t->fields)
        return aios__error_code(err, AIOS_ENOMEM);
    t->easy = t->http->curl->easy_init();
    CURLcode c = t->easy ? set_numbers(t) : CURLE_OUT_OF_MEMORY;
    if (!c)
        c = set_pointers(t);
    if (!c)
        c = set_callbacks(t);
    if (!c)
        c = set_request(t);
    return c ? fail_easy(t->http->curl, c, err) : AIOS_OK;
}

int aios__curl_reopen(aios__transfer *t, aios_error *err)
{
    CURLcode c = set_request(t);
    if (!c)
        c = set_connected(t);
    return c ? fail_easy(t->http->curl, c, err) : AIOS_OK;
}

const char *aios__curl_address(const aios__transfer *t)
{
    char *s = NULL;
    return !t->http->curl->easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &s) && s ? s : "";
}

void aios__curl_close(aios__transfer *t)
{
    if (t->easy)
        t->http->curl->easy_cleanup(t->easy);
    aios__free(aios__ctx_heap(t->ctx), t->fields);
    t->easy = t->fields = NULL;
}

int aios__curl_add(aios__transfer *t, aios_error *err)
{
    aios__curl *c = t->http->curl;
    shut_spoken(c);
    CURLMcode m = c->multi_add_handle(c->multi, t->easy);
    t->added = !m;
    return m ? aios__fail(err, m == CURLM_OUT_OF_MEMORY ? AIOS_ENOMEM : AIOS_EINTERNAL, "libcurl: %s", c->multi_strerror(m)) : AIOS_OK;
}

void aios__curl_remove(aios__transfer *t)
{
    if (t->added)
        t->http->curl->multi_remove_handle(t->http->curl->multi, t->easy);
    t->added = false;
}

void aios__curl_resume(aios__transfer *t)
{
    if (t->added)
        t->http->curl->easy_pause(t->easy, CURLPAUSE_CONT);
}

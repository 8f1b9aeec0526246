/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that includes curl.h. One curl multi per ctx, owned in turns: the thread that steps takes it, lets curl
 * work for one round and gives it back. What curl delivers goes into a fixed ring of each transfer (nothing is allocated
 * inside of curl's callbacks, a full ring pauses the transfer) and is handed on by the transfer's own thread.
 */
#include "base/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#define RING ((size_t)128 << 10)
#define MAX_HEADER ((size_t)256 << 10)
#define MAX_BODY ((uint64_t)64 << 20)
#define CURL_OWN ((size_t)64 << 10) /* charged for curl's own buffers of a transfer */
#define SECOND INT64_C(1000000000)

/*
 * What is used of libcurl, which is loaded when it is first asked for: with what it brings it would cost every process 5 ms and 6 MiB
 * at its start.
 */
#define CURL_FUNCTIONS(X)                                                                                              \
    X(global_init) X(global_cleanup) X(free) X(slist_append) X(slist_free_all)                                         \
    X(url) X(url_set) X(url_get) X(url_cleanup) X(url_strerror)                                                        \
    X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_getinfo) X(easy_pause) X(easy_strerror)                         \
    X(multi_init) X(multi_cleanup) X(multi_add_handle) X(multi_remove_handle) X(multi_info_read) X(multi_perform)      \
    X(multi_poll) X(multi_wakeup) X(multi_strerror)
typedef struct curl_functions {
#define X(name) __typeof__(&curl_##name) name;
    CURL_FUNCTIONS(X)
#undef X
} curl_functions;

/* The transfers of a ctx. */
typedef struct http {
    curl_functions curl;
    CURLM *multi;
    pthread_mutex_t lock; /* guards `driven`, and ring and state of every transfer */
    pthread_cond_t turn;
    bool driven;
    uint32_t wanted; /* threads that need the multi for other things than waiting */
} http;

struct aios__transfer {
    aios_ctx *ctx;
    http *http;
    CURL *easy;
    struct curl_slist *headers;
    char *host;
    char *body;
    char *head;  /* headers of the last response, each ended by LF */
    char *ring;
    size_t n_head, ring_from, n_ring;
    size_t head_seen, max_header; /* bytes of all headers */
    uint64_t body_seen, max_body;
    int64_t started, first_byte_ns, idle_ns, total_ns;
    _Atomic int64_t last_byte; /* when; 0: none came yet */
    int (*on_body)(void *user, const char *s, size_t n);
    void *user;
    int status;
    bool added, paused, ended, done, head_done, refused;
    atomic_bool cancelled;
    CURLcode curl_code; /* once ended */
    aios_error inner;   /* of a callback, on whatever thread; to be read once ended */
    aios_error why;     /* the step's; code 0: has not failed */
    char curl_text[CURL_ERROR_SIZE];
};

/* ---- the multi and its turns --------------------------------------------------------------------------------- */

static void http_free(aios_ctx *ctx, void *p)
{
    http *h = p;
    const curl_functions curl = h->curl;
    if (h->multi)
        h->curl.multi_cleanup(h->multi);
    pthread_cond_destroy(&h->turn);
    pthread_mutex_destroy(&h->lock);
    aios__free(aios__ctx_heap(ctx), h);
    curl.global_cleanup();
}

static int init_locks(http *h)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr))
        return -1;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int e = pthread_cond_init(&h->turn, &attr);
    pthread_condattr_destroy(&attr);
    if (!e && pthread_mutex_init(&h->lock, NULL)) {
        pthread_cond_destroy(&h->turn);
        e = -1;
    }
    return e;
}

/* Once loaded it stays. */
static int load_curl(curl_functions *out, aios_error *err)
{
    void *so = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE), *p = so;
#define X(name)                                                                                                        \
    p = p ? dlsym(so, "curl_" #name) : NULL;                                                                           \
    memcpy(&out->name, &p, sizeof p);
    CURL_FUNCTIONS(X)
#undef X
    if (so)
        dlclose(so);
    if (!p)
        return aios__fail(err, AIOS_EUNAVAIL, "libcurl.so.4, which HTTP needs, is missing or too old");
    return out->global_init(CURL_GLOBAL_DEFAULT) ? aios__fail(err, AIOS_EUNAVAIL, "libcurl cannot be initialised") : AIOS_OK;
}

static http *http_new(aios_ctx *ctx, aios_error *err)
{
    curl_functions curl;
    if (load_curl(&curl, err))
        return NULL;
    http *h = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *h, err);
    if (!h || init_locks(h)) {
        if (h)
            aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
        aios__free(aios__ctx_heap(ctx), h);
        curl.global_cleanup();
        return NULL;
    }
    h->curl = curl;
    h->multi = curl.multi_init();
    if (!h->multi) {
        aios__fail(err, AIOS_ENOMEM, "libcurl has no memory");
        http_free(ctx, h);
        return NULL;
    }
    return h;
}

/* The ctx's one, made by whoever comes first. */
static http *http_of(aios_ctx *ctx, aios_error *err)
{
    http *h = aios__ctx_slot(ctx, AIOS__SLOT_HTTP);
    if (h)
        return h;
    http *mine = http_new(ctx, err);
    if (!mine)
        return NULL;
    aios__ctx_lock(ctx);
    h = aios__ctx_slot(ctx, AIOS__SLOT_HTTP);
    if (!h)
        aios__ctx_slot_set(ctx, AIOS__SLOT_HTTP, mine, http_free);
    aios__ctx_unlock(ctx);
    if (h)
        http_free(ctx, mine);
    return h ? h : mine;
}

/* Takes the multi from whoever waits in it. */
static void take_turn(http *h)
{
    pthread_mutex_lock(&h->lock);
    h->wanted++;
    while (h->driven) {
        h->curl.multi_wakeup(h->multi);
        pthread_cond_wait(&h->turn, &h->lock);
    }
    h->wanted--;
    h->driven = true;
    pthread_mutex_unlock(&h->lock);
}

static void give_turn(http *h)
{
    pthread_mutex_lock(&h->lock);
    h->driven = false;
    pthread_cond_broadcast(&h->turn);
    pthread_mutex_unlock(&h->lock);
}

/* ---- called by curl, on the thread whose turn it is ----------------------------------------------------------- */

static size_t refuse(aios__transfer *t, int code, uint64_t have, uint64_t need, const char *what)
{
    aios__fail_need(&t->inner, code, have, need, "%s: %s", t->host, what);
    return CURL_WRITEFUNC_ERROR;
}

static void mark_byte(aios__transfer *t)
{
    int64_t now = aios__now_ns(aios__ctx_env(t->ctx));
    atomic_store(&t->last_byte, now ? now : 1);
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    aios__transfer *t = user;
    n *= size;
    mark_byte(t);
    if (n > t->max_header - t->head_seen)
        return refuse(t, AIOS_ELIMIT, t->max_header, t->head_seen + n, "the headers of the response are larger than their limit");
    t->head_seen += n;
    if (t->head_done)
        return n; /* trailers: counted, not kept */
    if (n >= 5 && !memcmp(p, "HTTP/", 5))
        t->n_head = 0; /* a response behind an interim one */
    memcpy(t->head + t->n_head, p, n);
    t->n_head += n;
    if ((n == 2 && p[0] == '\r') || (n == 1 && p[0] == '\n')) {
        long status = 0;
        t->http->curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200) {
            pthread_mutex_lock(&t->http->lock);
            t->status = (int)status;
            t->head_done = true;
            pthread_mutex_unlock(&t->http->lock);
        }
    }
    return n;
}

static size_t on_write(char *p, size_t size, size_t n, void *user)
{
    aios__transfer *t = user;
    n *= size;
    mark_byte(t);
    if (n > t->max_body - t->body_seen)
        return refuse(t, AIOS_ELIMIT, t->max_body, t->body_seen + n, "the body of the response is larger than its limit");
    pthread_mutex_lock(&t->http->lock);
    t->paused = n > RING - t->n_ring;
    if (!t->paused) {
        size_t to = (t->ring_from + t->n_ring) % RING, first = n < RING - to ? n : RING - to;
        memcpy(t->ring + to, p, first);
        memcpy(t->ring, p + first, n - first);
        t->n_ring += n;
        t->body_seen += n;
    }
    pthread_mutex_unlock(&t->http->lock);
    if (n > RING)
        return refuse(t, AIOS_EPROTO, RING, n, "a piece of the body is larger than curl should make any");
    return t->paused ? CURL_WRITEFUNC_PAUSE : n;
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
    const aios_env *env = aios__ctx_env(t->ctx);
    char text[INET6_ADDRSTRLEN];
    uint16_t port = 0;
    if (purpose != CURLSOCKTYPE_IPCXN || !show_address(a, text, sizeof text, &port) || env->net_check(env->user, t->host, text, port)) {
        t->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- making a transfer ---------------------------------------------------------------------------------------- */

static bool is_plain(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 && *s != '\t')
            return false;
    return true;
}

static int check_request(const aios__http_request *r, aios_error *err)
{
    if (!r || !r->url || (r->n_body && !r->body))
        return aios__fail(err, AIOS_EINVAL, "an HTTP request needs a URL, and a body where it says so");
    if (r->method && strcmp(r->method, "GET") && strcmp(r->method, "POST"))
        return aios__fail(err, AIOS_EINVAL, "HTTP method \"%.16s\" is not GET or POST", r->method);
    if (r->n_body && r->method && !strcmp(r->method, "GET"))
        return aios__fail(err, AIOS_EINVAL, "a GET request has no body");
    if (r->connect_ns < 0 || r->first_byte_ns < 0 || r->idle_ns < 0 || r->total_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "a deadline of an HTTP request is negative");
    for (size_t i = 0; r->headers && r->headers[i]; i++) {
        const char *colon = strchr(r->headers[i], ':');
        if (!colon || colon == r->headers[i] || !is_plain(r->headers[i]))
            return aios__fail(err, AIOS_EINVAL, "HTTP header %zu is not of the form \"Name: value\" on one line", i);
    }
    return AIOS_OK;
}

static int url_part(const aios__transfer *t, CURLU *u, CURLUPart part, char **out, aios_error *err)
{
    CURLUcode c = t->http->curl.url_get(u, part, out, 0);
    return c ? aios__fail(err, c == CURLUE_OUT_OF_MEMORY ? AIOS_ENOMEM : AIOS_EINVAL, "URL: %s", t->http->curl.url_strerror(c)) : AIOS_OK;
}

/* Takes the host out of the URL, and refuses what is not plain http or https. The URL itself may hold a secret: not shown. */
static int read_url(aios__transfer *t, const aios__http_request *r, aios_error *err)
{
    char *scheme = NULL, *host = NULL;
    CURLU *u = is_plain(r->url) ? t->http->curl.url() : NULL;
    if (!u)
        return is_plain(r->url) ? aios__fail(err, AIOS_ENOMEM, "libcurl has no memory")
                                : aios__fail(err, AIOS_EINVAL, "the URL contains control characters");
    CURLUcode c = t->http->curl.url_set(u, CURLUPART_URL, r->url, CURLU_DISALLOW_USER);
    int rc = AIOS_OK;
    if (c)
        rc = aios__fail(err, c == CURLUE_UNSUPPORTED_SCHEME ? AIOS_ENOTSUP : AIOS_EINVAL, "URL: %s", t->http->curl.url_strerror(c));
    if (!rc)
        rc = url_part(t, u, CURLUPART_SCHEME, &scheme, err);
    if (!rc && strcmp(scheme, "https") && (strcmp(scheme, "http") || r->https_only))
        rc = aios__fail(err, AIOS_ENOTSUP, "URL scheme \"%.16s\" is not %s", scheme, r->https_only ? "https" : "http or https");
    if (!rc)
        rc = url_part(t, u, CURLUPART_HOST, &host, err);
    if (!rc) {
        t->host = aios__strndup(aios__ctx_heap(t->ctx), AIOS_MEM_TEXT, host, strlen(host), err);
        rc = t->host ? AIOS_OK : aios__error_code(err, AIOS_ENOMEM);
    }
    t->http->curl.free(scheme);
    t->http->curl.free(host);
    t->http->curl.url_cleanup(u);
    return rc;
}

static bool add_header(aios__transfer *t, const char *s)
{
    struct curl_slist *l = t->http->curl.slist_append(t->headers, s);
    if (l)
        t->headers = l;
    return l != NULL;
}

static CURLcode set_limits(aios__transfer *t, const aios__http_request *r)
{
    const curl_functions *curl = &t->http->curl;
    int64_t connect_ms = (r->connect_ns ? r->connect_ns : 10 * SECOND) / 1000000;
    CURLcode c = curl->easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms < 1 ? 1L : connect_ms > 86400000 ? 86400000L : (long)connect_ms);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 0L);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_PROXY, "");
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_QUICK_EXIT, 1L); /* a cancelled look-up of a name is not waited for */
#endif
    return c;
}

static CURLcode set_callbacks(aios__transfer *t)
{
    const curl_functions *curl = &t->http->curl;
    CURLcode c = curl->easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->curl_text);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_write);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
    return c;
}

static CURLcode set_request(aios__transfer *t, const aios__http_request *r)
{
    const curl_functions *curl = &t->http->curl;
    bool post = r->method ? !strcmp(r->method, "POST") : r->n_body > 0;
    bool ok = add_header(t, "Expect:"); /* no waiting for 100-continue */
    for (size_t i = 0; ok && r->headers && r->headers[i]; i++)
        ok = add_header(t, r->headers[i]);
    CURLcode c = ok ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    if (!c)
        c = curl->easy_setopt(t->easy, CURLOPT_URL, r->url);
    if (!c && r->ca_file)
        c = curl->easy_setopt(t->easy, CURLOPT_CAINFO, r->ca_file);
    if (!c && post)
        c = curl->easy_setopt(t->easy, CURLOPT_POST, 1L);
    if (!c && post)
        c = curl->easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->n_body);
    if (!c && post)
        c = curl->easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->body);
    return c;
}

/* Memory of a transfer besides itself; what was had is freed by aios__transfer_free. */
static int take_memory(aios__transfer *t, const aios__http_request *r, aios_error *err)
{
    aios__heap *heap = aios__ctx_heap(t->ctx);
    t->head = aios__realloc(heap, AIOS_MEM_TEXT, NULL, t->max_header, err);
    if (t->head)
        t->ring = aios__realloc(heap, AIOS_MEM_TEXT, NULL, RING, err);
    if (t->ring)
        t->body = aios__strndup(heap, AIOS_MEM_TEXT, r->body, r->n_body, err);
    return t->body ? AIOS_OK : aios__error_code(err, AIOS_ENOMEM);
}

static void set_bounds(aios__transfer *t, const aios__http_request *r)
{
    t->max_header = r->max_header && r->max_header < MAX_HEADER ? r->max_header : MAX_HEADER;
    t->max_body = r->max_body ? r->max_body : MAX_BODY;
    t->first_byte_ns = r->first_byte_ns ? r->first_byte_ns : 120 * SECOND;
    t->idle_ns = r->idle_ns ? r->idle_ns : 60 * SECOND;
    t->total_ns = r->total_ns ? r->total_ns : 600 * SECOND;
    t->on_body = r->on_body;
    t->user = r->user;
    t->why = t->inner = (aios_error)AIOS_INIT(aios_error);
}

static int set_up(aios__transfer *t, const aios__http_request *r, aios_error *err)
{
    set_bounds(t, r);
    int rc = read_url(t, r, err);
    if (!rc)
        rc = take_memory(t, r, err);
    if (rc)
        return rc;
    t->easy = t->http->curl.easy_init();
    CURLcode c = t->easy ? set_callbacks(t) : CURLE_OUT_OF_MEMORY;
    if (!c)
        c = set_limits(t, r);
    if (!c)
        c = set_request(t, r);
    if (c)
        return aios__fail(err, c == CURLE_OUT_OF_MEMORY ? AIOS_ENOMEM : AIOS_EINTERNAL, "libcurl: %s", t->http->curl.easy_strerror(c));
    t->started = aios__now_ns(aios__ctx_env(t->ctx));
    take_turn(t->http);
    CURLMcode m = t->http->curl.multi_add_handle(t->http->multi, t->easy);
    t->added = !m;
    give_turn(t->http);
    return m ? aios__fail(err, AIOS_EINTERNAL, "libcurl: %s", t->http->curl.multi_strerror(m)) : AIOS_OK;
}

int aios__http_start(aios_ctx *ctx, const aios__http_request *req, aios__transfer **out, aios_error *err)
{
    *out = NULL;
    int rc = check_request(req, err);
    if (rc)
        return rc;
    http *h = http_of(ctx, err);
    if (!h)
        return aios__error_code(err, AIOS_ENOMEM);
    aios__transfer *t = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_TEXT, sizeof *t, err);
    if (!t)
        return aios__error_code(err, AIOS_ENOMEM);
    rc = aios__charge(aios__ctx_heap(ctx), AIOS_MEM_TEXT, CURL_OWN, err);
    if (rc) {
        aios__free(aios__ctx_heap(ctx), t);
        return rc;
    }
    t->ctx = aios__ctx_ref(ctx);
    t->http = h;
    rc = set_up(t, req, err);
    if (rc) {
        aios__transfer_free(t);
        return rc;
    }
    *out = t;
    return AIOS_OK;
}

static void leave_multi(aios__transfer *t)
{
    if (!t->added)
        return;
    take_turn(t->http);
    t->http->curl.multi_remove_handle(t->http->multi, t->easy);
    give_turn(t->http);
    t->added = false;
}

void aios__transfer_free(aios__transfer *t)
{
    if (!t)
        return;
    aios__heap *heap = aios__ctx_heap(t->ctx);
    leave_multi(t);
    if (t->easy)
        t->http->curl.easy_cleanup(t->easy);
    t->http->curl.slist_free_all(t->headers);
    aios__free(heap, t->host);
    aios__free(heap, t->body);
    aios__free(heap, t->head);
    aios__free(heap, t->ring);
    aios__uncharge(heap, AIOS_MEM_TEXT, CURL_OWN);
    aios_ctx *ctx = t->ctx;
    aios__free(heap, t);
    aios_ctx_free(ctx);
}

static void fail_step(aios__transfer *t, int code, const char *what)
{
    if (!t->why.code)
        aios__fail(&t->why, code, "%s: %s", t->host, what);
}

/* ---- stepping ------------------------------------------------------------------------------------------------- */

static bool has_news(const aios__transfer *t)
{
    return t->n_ring || t->ended || atomic_load(&t->cancelled);
}

/* Notes which transfers curl is done with; the turn is ours. */
static void read_messages(http *h)
{
    const CURLMsg *m;
    int left;
    while ((m = h->curl.multi_info_read(h->multi, &left))) {
        char *p = NULL;
        if (m->msg != CURLMSG_DONE || h->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p) || !p)
            continue;
        aios__transfer *t = (aios__transfer *)(void *)p;
        pthread_mutex_lock(&h->lock);
        t->curl_code = m->data.result;
        t->ended = true;
        pthread_mutex_unlock(&h->lock);
    }
}

/* One round of curl with our turn taken: work, wait for a socket, work. */
static CURLMcode drive(aios__transfer *t, int wait_ms)
{
    http *h = t->http;
    int running;
    pthread_mutex_lock(&h->lock);
    bool resume = t->paused && !t->n_ring;
    pthread_mutex_unlock(&h->lock);
    if (resume) {
        t->paused = false;
        t->http->curl.easy_pause(t->easy, CURLPAUSE_CONT);
    }
    CURLMcode m = h->curl.multi_perform(h->multi, &running);
    read_messages(h);
    pthread_mutex_lock(&h->lock);
    bool wait = !m && !has_news(t) && !h->wanted;
    pthread_mutex_unlock(&h->lock);
    if (wait && wait_ms > 0) {
        m = h->curl.multi_poll(h->multi, NULL, 0, wait_ms, NULL);
        if (!m)
            m = h->curl.multi_perform(h->multi, &running);
        read_messages(h);
    }
    return m;
}

/* Waits for the turn, but at most wait_ms and no longer than until there is news; true if the turn is ours. */
static bool wait_turn(aios__transfer *t, int wait_ms)
{
    http *h = t->http;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += wait_ms / 1000;
    end.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&h->lock);
    int e = 0;
    while ((h->driven || h->wanted) && !has_news(t) && !e)
        e = pthread_cond_timedwait(&h->turn, &h->lock, &end);
    bool ours = !h->driven && !has_news(t);
    if (ours)
        h->driven = true;
    pthread_mutex_unlock(&h->lock);
    return ours;
}

/* Milliseconds until the next deadline of t, at most `ms`; *what names one that has passed, else NULL. */
static int until_deadline(aios__transfer *t, int32_t ms, const char **what)
{
    int64_t now = aios__now_ns(aios__ctx_env(t->ctx)), last = atomic_load(&t->last_byte);
    const struct {
        int64_t left;
        const char *what;
    } rows[] = {
        {t->total_ns - (now - t->started), "the whole response took longer than allowed"},
        {last ? INT64_MAX : t->first_byte_ns - (now - t->started), "no answer came in the time allowed"},
        {last ? t->idle_ns - (now - last) : INT64_MAX, "the response stopped for longer than allowed"},
    };
    int64_t left = (int64_t)(ms < 0 ? 3600000 : ms) * 1000000;
    *what = NULL;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        *what = !*what && rows[i].left <= 0 ? rows[i].what : *what;
        left = rows[i].left < left ? rows[i].left : left;
    }
    return left <= 0 ? 0 : (int)((left + 999999) / 1000000);
}

/* Hands on what lies in the ring (two pieces where it wraps); true if there was something. Only this moves its start. */
static bool deliver(aios__transfer *t)
{
    bool any = false;
    for (int piece = 0; piece < 2; piece++) {
        pthread_mutex_lock(&t->http->lock);
        size_t from = t->ring_from, n = t->n_ring;
        pthread_mutex_unlock(&t->http->lock);
        n = n < RING - from ? n : RING - from;
        if (!n)
            break;
        int rc = t->on_body ? t->on_body(t->user, t->ring + from, n) : 0;
        pthread_mutex_lock(&t->http->lock);
        t->ring_from = (from + n) % RING;
        t->n_ring -= n;
        pthread_mutex_unlock(&t->http->lock);
        any = true;
        if (rc) {
            fail_step(t, rc < 0 ? rc : AIOS_ECANCELED, "the receiver of the response stopped it");
            break;
        }
    }
    return any;
}

static void fail_by_curl(aios__transfer *t)
{
    static const struct {
        CURLcode curl;
        int code;
    } rows[] = {
        {CURLE_COULDNT_RESOLVE_HOST, AIOS_EUNAVAIL}, {CURLE_COULDNT_CONNECT, AIOS_EUNAVAIL}, {CURLE_OPERATION_TIMEDOUT, AIOS_ETIMEDOUT},
        {CURLE_OUT_OF_MEMORY, AIOS_ENOMEM},          {CURLE_URL_MALFORMAT, AIOS_EINVAL},
        {CURLE_SSL_CACERT_BADFILE, AIOS_EIO},        {CURLE_READ_ERROR, AIOS_EINTERNAL},     {CURLE_BAD_FUNCTION_ARGUMENT, AIOS_EINTERNAL},
    };
    int code = AIOS_EPROTO;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].curl == t->curl_code)
            code = rows[i].code;
    if (t->inner.code)
        t->why = t->inner;
    else if (t->refused && t->curl_code == CURLE_COULDNT_CONNECT)
        fail_step(t, AIOS_EDENIED, "no address of this host may be connected to");
    else
        fail_step(t, code, t->curl_text[0] ? t->curl_text : t->http->curl.easy_strerror(t->curl_code));
}

/* What the step gives: the failure, the end, or AIOS_AGAIN. */
static int conclude(aios__transfer *t, aios_error *err)
{
    http *h = t->http;
    pthread_mutex_lock(&h->lock);
    bool over = t->ended && !t->n_ring;
    pthread_mutex_unlock(&h->lock);
    if (!t->why.code && atomic_load(&t->cancelled))
        fail_step(t, AIOS_ECANCELED, "the transfer was cancelled");
    if (!t->why.code && over && t->curl_code)
        fail_by_curl(t);
    if (!t->why.code && over && !t->head_done)
        fail_step(t, AIOS_EPROTO, "the answer is no HTTP response");
    if (t->why.code) {
        leave_multi(t);
        return aios__error_copy(err, &t->why);
    }
    t->done = over;
    return over ? AIOS_DONE : AIOS_AGAIN;
}

int aios__transfer_step(aios__transfer *t, int32_t timeout_ms, aios_error *err)
{
    const char *late;
    if (t->why.code || t->done)
        return t->done ? AIOS_DONE : aios__error_copy(err, &t->why);
    if (deliver(t))
        return conclude(t, err);
    int wait_ms = until_deadline(t, timeout_ms, &late);
    if (wait_turn(t, wait_ms)) {
        CURLMcode m = drive(t, wait_ms);
        give_turn(t->http);
        if (m)
            fail_step(t, m == CURLM_OUT_OF_MEMORY ? AIOS_ENOMEM : AIOS_EINTERNAL, t->http->curl.multi_strerror(m));
    }
    deliver(t);
    int rc = conclude(t, err);
    if (rc != AIOS_AGAIN)
        return rc;
    until_deadline(t, 0, &late); /* only now: what came meanwhile counts */
    if (!late)
        return AIOS_AGAIN;
    fail_step(t, AIOS_ETIMEDOUT, late);
    return conclude(t, err);
}

void aios__transfer_cancel(aios__transfer *t)
{
    int e = errno;
    atomic_store(&t->cancelled, true);
    t->http->curl.multi_wakeup(t->http->multi);
    errno = e;
}

int aios__transfer_status(const aios__transfer *t)
{
    http *h = t->http;
    pthread_mutex_lock(&h->lock);
    int status = t->head_done ? t->status : 0;
    pthread_mutex_unlock(&h->lock);
    return status;
}

const char *aios__transfer_header(const aios__transfer *t, const char *name, size_t *n)
{
    *n = 0;
    if (!aios__transfer_status(t))
        return NULL;
    size_t n_name = strlen(name);
    for (const char *p = t->head, *end = t->head + t->n_head; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p)), *next = eol ? eol + 1 : end;
        if ((size_t)(next - p) > n_name && p[n_name] == ':' && !strncasecmp(p, name, n_name)) {
            const char *v = p + n_name + 1, *last = eol ? eol : end;
            while (v < last && (*v == ' ' || *v == '\t'))
                v++;
            while (last > v && (last[-1] == '\r' || last[-1] == ' ' || last[-1] == '\t'))
                last--;
            *n = (size_t)(last - v);
            return v;
        }
        p = next;
    }
    return NULL;
}

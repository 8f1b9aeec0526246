/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP transport share: http.c (a transfer's life and steps), http_request.c (what is asked), http_response.c
 * (what came), http_loop.c (who drives, who has news, deadlines), http_curl.c (libcurl).
 */
#ifndef AIOS_LIB_HTTP_PRIV_H
#define AIOS_LIB_HTTP_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/http.h"

#define AIOS__HTTP_PIECE ((size_t)128 << 10) /* bytes of a body that wait for their owner; then the transfer pauses */
#define AIOS__HTTP_LANES 32

/** Threads whose ids hash alike, and the transfers that they stepped last. */
typedef struct aios__lane {
    pthread_cond_t wake;
    uint32_t n_waiting;          /* threads that wait inside of a step */
    uint32_t n_transfers;
    uint64_t n_steps;
    uint64_t n_told;             /* news that watches were told */
    aios__transfer *first, *last; /* have news and are in no step, the oldest first */
} aios__lane;

typedef struct aios__curl aios__curl;

/** The transfers of a ctx. */
typedef struct aios__http {
    aios_ctx *ctx;
    aios__curl *curl;
    int epoll, event; /* epoll has curl's sockets and the eventfd that ends its wait */
    pthread_mutex_t lock; /* guards all below, and what transfers say is guarded by it */
    pthread_cond_t idle;  /* nobody drives */
    bool driven;
    uint32_t wanted;      /* threads that need curl for other things than driving */
    int64_t curl_at;      /* CLOCK_MONOTONIC when curl wants to be called, -1: not; whose turn it is */
    aios__lane lanes[AIOS__HTTP_LANES];
    aios__transfer **alarms; /* a heap by alarm_at */
    size_t n_alarms, cap_alarms, n_transfers;
    _Atomic(aios__transfer *) cancelled; /* a stack: cancel takes no lock */
    atomic_bool woken;       /* threads that wait are to look whether they are meant */
} aios__http;

typedef struct aios__url {
    char *scheme, *host, *port, *text;
} aios__url;

/** What is asked; fixed but for redirects, which happen outside of curl. */
typedef struct aios__asked {
    aios__url at;
    char *via;                 /* host of the proxy, NULL: none */
    char *body;
    size_t n_body;
    char *lines;               /* headers, each ended by NUL, the secret ones last */
    size_t n_lines, n_plain, n_plain_bytes, n_line_bytes;

    char *ca_file, *proxy;
    bool post, https_only, http1, moved; /* moved: a redirect led to another origin */
    uint32_t allow, redirects_left, max_redirects;
    int64_t connect_ns, first_byte_ns, idle_ns, total_ns;
} aios__asked;

/** What came. Guarded by http.lock. */
typedef struct aios__came {
    char *head;  /* lines of the last response, each ended by LF */
    char *body;  /* not yet handed on */
    size_t n_head, cap_head, n_body, cap_body;
    size_t head_seen, max_header; /* bytes of all headers */
    uint64_t body_seen, max_body;
    int64_t last_byte;            /* when; 0: none came yet */
    int status;
    bool head_done, head_news;
    bool hop;                     /* a redirect that is to be followed: its body is dropped */
} aios__came;

struct aios__transfer {
    aios_ctx *ctx;
    aios__http *http;
    void *easy;           /* CURL */
    void *fields;         /* struct curl_slist[], over asked.lines */
    aios__asked asked;
    aios__came came;
    int64_t started, hop_started;
    int (*on_body)(void *user, const char *s, size_t n);
    void *user;
    /* guarded by http.lock */
    aios__lane *lane;
    aios__transfer *prev, *next; /* in the lane's list */
    uint64_t ready_at;           /* lane.n_steps */
    int64_t alarm_at;            /* env's clock: no deadline ends before */
    size_t alarm_i;              /* place in http.alarms, from 1; 0: none */
    void (*watch)(void *user);   /* is told news instead of the list, once; NULL: nobody */
    void *watch_user;
    bool told;
    bool listed, in_step, paused, starved, ended, late;
    bool times_connect, connected; /* connect_ns is kept to here, not by curl; it is over */
    /* whose turn it is */
    bool added;
    /* the owner's */
    bool done;
    aios_error why; /* the step's; code 0: has not failed */
    /* any thread */
    atomic_bool cancelled;
    aios__transfer *next_cancelled;
    /* of callbacks, to be read once ended */
    int end_code;   /* what curl's outcome stands for, 0: the response is whole */
    aios_error inner;
    const char *refused; /* why the last address was not connected to */
    char curl_text[256];
};

/* ---- http_request.c ------------------------------------------------------------------------------------------------ */

int aios__asked_init(aios__asked *a, aios__heap *heap, const aios__http_request *r, aios_error *err);
/** Wipes what is secret. */
void aios__asked_free(aios__asked *a, aios__heap *heap);
void aios__url_free(aios__url *u, aios__heap *heap);
/** The one AIOS__ALLOW_x that the host of a URL is by itself; 0: a name. */
uint32_t aios__url_kind(const aios__url *u);
/** ENOTSUP: a scheme that is not to be used; EDENIED: an address, behind a proxy, that is not allowed. */
int aios__asked_check_url(const aios__asked *a, const aios__url *u, aios_error *err);
/** Why the request does not allow this address, NULL: it does. */
const char *aios__asked_refusal(const aios__asked *a, const char *address);

/* ---- http_redirect.c ----------------------------------------------------------------------------------------------- */

/** Is a response of this status one to be followed, if it says where to? */
bool aios__redirect_meant(const aios__asked *a, int status);
/** Asks again where the response, which has ended, leads to. EPROTO, EDENIED, ENOMEM, EBUDGET. */
int aios__redirect_follow(aios__transfer *t, aios_error *err);

/* ---- http_response.c ----------------------------------------------------------------------------------------------- */

/** Called by curl with the turn taken; false: t->inner says why the transfer has to end. */
bool aios__came_header(aios__transfer *t, const char *s, size_t n);
/** As above; *full: nothing was taken, the transfer has to pause. */
bool aios__came_body(aios__transfer *t, const char *s, size_t n, bool *full);
/** Hands on what waits, no lock held; true if there was something. A code of the receiver ends the transfer. */
bool aios__came_deliver(aios__transfer *t);
void aios__came_free(aios__came *c, aios__heap *heap);
/** Value of the first header of that name in what came of the head, or NULL. */
const char *aios__came_find(const aios__came *c, const char *name, size_t *n);

/* ---- http_loop.c --------------------------------------------------------------------------------------------------- */

/** The ctx's one, made by whoever comes first. */
aios__http *aios__http_of(aios_ctx *ctx, aios_error *err);
/** Takes curl from whoever drives it. */
void aios__loop_take(aios__http *h);
void aios__loop_give(aios__http *h);
/** A transfer comes (room for its alarm; ENOMEM, EBUDGET) and goes. */
int aios__loop_add(aios__transfer *t, aios_error *err);
void aios__loop_remove(aios__transfer *t);
/** With the lock held: there is something for the owner of t. */
void aios__loop_news(aios__transfer *t);
void aios__loop_enter(aios__transfer *t);
void aios__loop_leave(aios__transfer *t);
/** What a thread waits for: news of `t`, or of another transfer in its lane's list; or (t NULL) that a watch of its lane is told, or *woken. */
typedef struct aios__await {
    const aios__transfer *t;
    const atomic_uint *woken;
    uint64_t n_told;
} aios__await;
/** Drives until it has come, or wait_ms are over. */
int aios__loop_wait(aios__http *h, aios__await *w, int wait_ms, aios_error *err);
void aios__loop_watch(aios__transfer *t, void (*fn)(void *user), void *user);
/** With the lock held: sets the alarm to the next deadline of t. */
void aios__loop_alarm(aios__transfer *t);
/** Env's time of the next deadline of t; *what (may be NULL) names it. With the lock held. */
int64_t aios__transfer_due(const aios__transfer *t, const char **what);
void aios__loop_cancel(aios__transfer *t);
/** Those who wait look at what they wait for. No lock, async-signal-safe. */
void aios__loop_wake(aios__http *h);

/* ---- http_curl.c --------------------------------------------------------------------------------------------------- */

/** NULL + EUNAVAIL, ENOMEM. */
aios__curl *aios__curl_new(aios__http *h, aios_error *err);
void aios__curl_free(aios__curl *c, aios__http *h);
/** Host of a URL of any scheme. EINVAL, ENOMEM. */
int aios__curl_host(aios__http *h, const char *url, char **host, aios_error *err);
/** The parts of a URL, seen from `base` (may be NULL). EINVAL (user and password too), ENOTSUP, ENOMEM; what was had is to be freed then too. */
int aios__curl_url(aios__http *h, const char *base, const char *url, aios__url *out, aios_error *err);
/** The handle of a transfer, ready to be added. */
int aios__curl_open(aios__transfer *t, aios_error *err);
/** The same handle for what is asked now; it must not be in the multi. */
int aios__curl_reopen(aios__transfer *t, aios_error *err);
void aios__curl_close(aios__transfer *t);
/** The address of the last connection, "" if there was none; curl's. */
const char *aios__curl_address(const aios__transfer *t);
/** These need the turn. */
int aios__curl_add(aios__transfer *t, aios_error *err);
void aios__curl_remove(aios__transfer *t);
void aios__curl_resume(aios__transfer *t);
/** Lets curl work: on a socket with EPOLLx bits, or (-1) on what its timer is for. Then notes which transfers are over. */
int aios__curl_work(aios__http *h, int fd, uint32_t bits, aios_error *err);
void aios__curl_finished(aios__http *h);

#endif

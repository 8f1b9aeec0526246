/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP transfers, over libcurl (http_curl.c alone includes it). All transfers of a ctx share one set of connections and one epoll descriptor;
 * nothing blocks longer than the caller says, and no thread is made: whoever steps a transfer drives those of the others too, and a
 * step costs what is ready, not what is open. env.net_check is asked on that thread and must not use this door.
 * Bodies are not decompressed; proxies of the environment, .netrc and cookies of the user not used.
 */
#ifndef AIOS_LIB_HTTP_H
#define AIOS_LIB_HTTP_H

#include <stdatomic.h>

#include "base/base.h"

/** One request and its response. Thread-safety: one thread at a time, cancel from any. */
typedef struct aios__transfer aios__transfer;

/** Kinds of addresses. What is none of them (multicast, reserved, documentation) is connected to only if everything is. */
enum {
    AIOS__ALLOW_PUBLIC = 1,
    AIOS__ALLOW_PRIVATE = 2,    /**< of a site or a provider: RFC 1918, 100.64/10, fc00::/7 ... */
    AIOS__ALLOW_LINK_LOCAL = 4, /**< 169.254/16, with the metadata services of clouds, fe80::/10 */
    AIOS__ALLOW_LOOPBACK = 8,   /**< 0.0.0.0 and :: too */
    AIOS__ALLOW_ALL = 15
};

/** A request; all is copied. Zero means the default in brackets. */
typedef struct aios__http_request {
    const char *method;         /**< "GET" or "POST" [GET, POST with a body] */
    const char *url;            /**< http:// or https://, without user and password */
    const char *const *headers; /**< NULL-terminated "Name: value", without CR and LF; may be NULL */
    const char *body;
    size_t n_body;
    const char *ca_file;        /**< certificates to trust, PEM [the system's] */
    bool https_only;
    bool http1;                 /**< no HTTP/2 [HTTP/2 where TLS offers it and libcurl has it] */
    size_t max_header;          /**< bytes of all headers, trailers and interim responses [256 KiB, also at most] */
    uint64_t max_body;          /**< bytes of the response's body, those of redirects included [64 MiB] */
    int64_t connect_ns;         /**< until connected, TLS included [10 s] */
    int64_t first_byte_ns;      /**< from the start, or a redirect, until the first byte of the response [120 s] */
    int64_t idle_ns;            /**< between two bytes of the response [60 s] */
    int64_t total_ns;           /**< of the whole transfer [10 min] */
    /** Gets the body piece by piece, on the thread that steps, no lock held; non-zero ends the transfer with that code. */
    int (*on_body)(void *user, const char *s, size_t n);
    void *user;
    /** As headers, but sent to the origin of the URL alone, told in no message, and our copies are wiped in the end; may be NULL. */
    const char *const *secret_headers;
    const char *proxy;          /**< http://, https:// or socks5h:// URL; user and password may be in it [none] */
    /**
     * Redirects that are followed [none: a redirect is a response]. 307 and 308 repeat the request; 301, 302 and 303 do so with GET, and
     * are a response to POST. Each stays with the kind of address (AIOS__ALLOW_x) that the connection before had, else EDENIED.
     */
    uint32_t max_redirects;
    /**
     * AIOS__ALLOW_x: addresses that may be connected to, whatever a name resolves to, on each hop and for connections used again
     * [all]. Behind a proxy it holds for addresses in URLs, since only the proxy knows what names stand for.
     */
    uint32_t allow;
} aios__http_request;

/** Starts a transfer. EINVAL (the request), ENOTSUP (this build has no HTTP, or not this scheme), ENOMEM, EBUDGET. */
int aios__http_start(aios_ctx *ctx, const aios__http_request *req, aios__transfer **t, aios_error *err);
/**
 * Waits at most timeout_ms for something to happen, possibly less, and passes on what came. AIOS_AGAIN: go on;
 * AIOS_DONE: the response is whole. It does not wait while another transfer that this thread stepped last has news (bytes, an end, a
 * deadline, a cancel): who goes round many neither sleeps over one of them, nor finds no rest while there is nothing. News that were passed
 * over for two rounds are taken to be left alone on purpose, and keep nobody awake.
 * Failures: EUNAVAIL (no such host, no connection), EDENIED (allow or env.net_check refused every
 * address, or a redirect from https to http), ETIMEDOUT, ELIMIT (too large; have, need), EPROTO (broken response or TLS, a redirect that
 * leads nowhere or one too many), ECANCELED, ENOMEM, EBUDGET, or on_body's code. An HTTP status is no failure here. A failed transfer gives the same failure again.
 */
int aios__transfer_step(aios__transfer *t, int32_t timeout_ms, aios_error *err);
/** The transfer ends with ECANCELED. Any thread, async-signal-safe. */
void aios__transfer_cancel(aios__transfer *t);
/** Status of the final response, 0 before its headers are complete. */
int aios__transfer_status(const aios__transfer *t);
/** Value of a header of the final response (the first of that name, any case), or NULL. *n: its length. Borrowed. */
const char *aios__transfer_header(const aios__transfer *t, const char *name, size_t *n);
/** Where the response came from if a redirect led to another origin, which got no secret header; NULL: none did. Borrowed. */
const char *aios__transfer_moved(const aios__transfer *t);
void aios__transfer_free(aios__transfer *t);
/**
 * For who has many: from now on until its next step, the next news of t are told to fn instead of keeping the thread of its last step awake;
 * at once if it has some. fn is called on any thread that drives, with the transport's lock held, so that it must not use this door (but
 * aios__http_wake); not any more once t is freed or stepped. What is told is that t should be stepped, with no time to wait.
 */
void aios__transfer_watch(aios__transfer *t, void (*fn)(void *user), void *user);
/**
 * Drives the ctx's transfers until a watch of one that this thread stepped last was told its news, *woken is not 0, or timeout_ms are over.
 * *woken is 0 afterwards. ENOTSUP (this build has no HTTP), EUNAVAIL, ENOMEM, EIO.
 */
int aios__http_wait(aios_ctx *ctx, int32_t timeout_ms, atomic_uint *woken, aios_error *err);
/** Ends the wait that has `woken`, or its next one. Any thread, async-signal-safe, also within a watch. */
void aios__http_wake(aios_ctx *ctx, atomic_uint *woken);

/** The code that an HTTP status stands for: 0 for 2xx, EAUTH, ERATE, ENOENT, EUNAVAIL ... */
int aios__http_code(int status);
/** The one AIOS__ALLOW_x that an IPv4 or IPv6 address in text is; IPv4 in IPv6 (mapped, NAT64, 6to4) is what it means. 0: none, or no address. */
uint32_t aios__address_class(const char *text);
/** Its name: "public", "private", "link-local", "loopback", else "special-purpose". */
const char *aios__address_kind(uint32_t kind);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base.h
 * Codes, errors and the few types that every other header uses.
 */
#ifndef AIOS_BASE_H
#define AIOS_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define AIOS_API __attribute__((visibility("default")))
#else
#define AIOS_API
#endif

#ifdef __cplusplus
#define AIOS_INIT(type) {sizeof(type)}
extern "C" {
#else
/** Initialiser of every public struct: all defaults, size filled in. */
#define AIOS_INIT(type) {.struct_size = sizeof(type)}
#endif

/** True if `p` was made by a caller whose struct holds `field` (receivers of callbacks). */
#define AIOS_HAS(p, field)                                                                         \
    ((p)->struct_size >= (size_t)((const char *)(&(p)->field + 1) - (const char *)(p)))

/** Length argument of a text that ends in NUL. */
#define AIOS_CSTR ((size_t)-1)

/**
 * Every code: name, fixed number, text. Numbers are never reused.
 * Positive: a documented state. Zero: done as asked. Negative: a failure.
 */
#define AIOS_CODES(X)                                                                              \
    X(OK, 0, "ok")                                                                                 \
    X(DONE, 1, "nothing more will come")                                                           \
    X(AGAIN, 2, "nothing yet, call again")                                                         \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "the system has no memory left")                                                 \
    X(EBUDGET, -3, "the memory budget of the context refused it")                                  \
    X(EIO, -4, "input or output failed")                                                           \
    X(ENOENT, -5, "not found")                                                                     \
    X(EFORMAT, -6, "the data is damaged or not of the expected format")                            \
    X(ENOTSUP, -7, "not supported here")                                                           \
    X(EVERSION, -8, "made for a version that this library does not know")                          \
    X(EBUSY, -9, "the object is in use")                                                           \
    X(ECANCELED, -10, "cancelled")                                                                 \
    X(ETIMEDOUT, -11, "the deadline passed")                                                       \
    X(ECONTEXT, -12, "more tokens than the context holds")                                         \
    X(ELIMIT, -13, "a limit was reached")                                                          \
    X(EDENIED, -14, "the policy denied it")                                                        \
    X(EPROTO, -15, "the peer broke the protocol")                                                  \
    X(EAUTH, -16, "the credentials were refused")                                                  \
    X(ERATE, -17, "the peer asks to slow down")                                                    \
    X(EUNAVAIL, -18, "not available now")                                                          \
    X(EEXIST, -19, "exists already")                                                               \
    X(ESTATE, -20, "not possible in this state")                                                   \
    X(ETOOL, -21, "the tool failed")                                                               \
    X(ETEMPLATE, -22, "the chat template failed")                                                  \
    X(ESCHEMA, -23, "the schema or the value under it is not acceptable")                          \
    X(EINTERNAL, -24, "a bug in this library")                                                     \
    X(EREFUSED, -25, "the model refused")                                                          \
    X(EFILTERED, -26, "the provider's filter stopped it")                                          \
    X(EQUOTA, -27, "the account's quota is used up")                                               \
    X(ECONFLICT, -28, "another writer came first")                                                 \
    X(EUNKNOWN, -29, "nobody knows whether it happened")

enum {
#define X(name, number, text) AIOS_##name = (number),
    AIOS_CODES(X)
#undef X
};

/**
 * What went wrong, owned by the caller and filled by the call that fails.
 * Untouched by a call that succeeds. Thread-safety: the caller's.
 */
typedef struct aios_error {
    size_t struct_size;  /**< set by AIOS_INIT; 0 is read as the size of version 0.1 */
    int32_t code;        /**< one of AIOS_CODES */
    int32_t sys;         /**< errno of the system call behind it, or 0 */
    uint64_t have;       /**< what there is: bytes of budget, tokens of context ... or 0 */
    uint64_t need;       /**< what was asked for, in the same unit, or 0 */
    char msg[512];       /**< what was wrong, where, and what to do; UTF-8, ends in NUL */
    uint64_t reserve[4]; /**< zero */
} aios_error;

/** Levels of the log callback. */
enum { AIOS_LOG_ERROR = 0, AIOS_LOG_WARN = 1, AIOS_LOG_INFO = 2, AIOS_LOG_DEBUG = 3 };

/** Log sink: called from any thread, never with a lock held that the library's own calls need. */
typedef void aios_log_fn(void *user, int32_t level, const char *msg);
/** Byte sink: returns 0 or a negative code, which stops the writer and is returned by it. */
typedef int aios_write_fn(void *user, const void *p, size_t n);
/** Called exactly once when the library no longer needs memory that the host lent it. */
typedef void aios_release_fn(void *user, void *ptr);

/** Fixed text of a code, never NULL. Thread-safety: safe. */
AIOS_API const char *aios_strerror(int code);
/** Name of a code without its prefix ("EBUDGET"), or "?" if unknown. Thread-safety: safe. */
AIOS_API const char *aios_code_name(int code);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/base: what every other tier may use. */
#ifndef AIOS_LIB_BASE_H
#define AIOS_LIB_BASE_H

#include <aios/ctx.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/size.h"

#define AIOS__ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define AIOS__UNUSED(x) ((void)(x))

/* ---- error.c ------------------------------------------------------------------------------------------------- */

/** Fills err (may be NULL) and returns code, so that a failure is one line: return aios__fail(err, AIOS_EFORMAT, "..."). */
int aios__fail(aios_error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** As aios__fail, with both numbers of an overflow or refusal. */
int aios__fail_need(aios_error *err, int code, uint64_t have, uint64_t need, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/** As aios__fail, with an errno; its text is appended. */
int aios__fail_sys(aios_error *err, int code, int sys, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/** Copies an error into the caller's, respecting its size. Either may be NULL. Returns src's code. */
int aios__error_copy(aios_error *dst, const aios_error *src);
/** The code that a call which gave NULL left in err; `dflt` if err is NULL or was too small to be filled. Never >= 0. */
int aios__error_code(const aios_error *err, int dflt);

/* ---- abi.c: structs that cross the ABI ------------------------------------------------------------------------- */

/**
 * Copies a caller's struct of unknown size into `dst` of `size` bytes: a shorter one is zero-filled, a longer one must
 * have a zero tail (else EVERSION). src NULL: all zero with struct_size = size. A struct_size that was never set is EINVAL.
 */
int aios__struct_in(void *dst, size_t size, const void *src, aios_error *err);
/** Copies *src (size bytes, struct_size ignored) to the caller's *dst, never past dst->struct_size. */
int aios__struct_out(void *dst, const void *src, size_t size);

/* ---- alloc.c: budgeted heap ----------------------------------------------------------------------------------- */

/** The heap of a ctx: every allocation is counted against one hard budget. Thread-safety: safe. */
typedef struct aios__heap aios__heap;

/** n bytes, zero-filled, 16-aligned; n 0 gives a valid pointer. NULL + err (ENOMEM, EBUDGET with both numbers). */
void *aios__alloc(aios__heap *h, uint32_t kind, size_t n, aios_error *err);
/** As realloc of NULL, for a large block that lives long and is used whole: in huge pages where that costs no memory. */
void *aios__alloc_large(aios__heap *h, uint32_t kind, size_t n, aios_error *err);
/** n * size bytes, zero-filled, product checked. */
void *aios__alloc_array(aios__heap *h, uint32_t kind, size_t n, size_t size, aios_error *err);
/** Grows or shrinks; p NULL allocates with `kind`; on failure p stays valid. New bytes are not cleared. */
void *aios__realloc(aios__heap *h, uint32_t kind, void *p, size_t n, aios_error *err);
/** As aios__realloc, but the host is not asked to free something first: for where it must not call us. NULL: it could not be had. */
void *aios__realloc_quietly(aios__heap *h, uint32_t kind, void *p, size_t n);
void aios__free(aios__heap *h, void *p);
/** Copies n bytes and adds a NUL. */
char *aios__strndup(aios__heap *h, uint32_t kind, const char *s, size_t n, aios_error *err);
/** Counts n bytes that are not from this heap (mappings, other libraries). 0, or EBUDGET. */
int aios__charge(aios__heap *h, uint32_t kind, size_t n, aios_error *err);
void aios__uncharge(aios__heap *h, uint32_t kind, size_t n);

/**
 * Who keeps memory only as long as nobody needs it: asked before a request of `need` bytes is refused, and gives back what it can, up
 * to that; returns how much (0: nothing left). It may free, but not allocate. The locks it takes must never be held over a request.
 */
typedef struct aios__reclaimer {
    size_t (*fn)(void *user, size_t need);
    void *user;
    struct aios__reclaimer *next;
} aios__reclaimer;
void aios__reclaimer_add(aios__heap *h, aios__reclaimer *r);
/** Once it returns, r->fn does not run and will not. */
void aios__reclaimer_remove(aios__heap *h, aios__reclaimer *r);
/** Asks all reclaimers for n bytes; returns what was given back. */
size_t aios__reclaim(aios__heap *h, size_t n);

/* ---- ctx.c ---------------------------------------------------------------------------------------------------- */

aios__heap *aios__ctx_heap(aios_ctx *ctx);
const aios_env *aios__ctx_env(const aios_ctx *ctx); /**< every slot is set */
uint32_t aios__ctx_threads(const aios_ctx *ctx);    /**< as configured; 0: default */
uint64_t aios__ctx_grammar_bytes(const aios_ctx *ctx); /**< as configured; 0: default */
const char *aios__ctx_cpu(const aios_ctx *ctx);     /**< ISA cap, "" for none */
aios_ctx *aios__ctx_ref(aios_ctx *ctx);             /**< dropped by aios_ctx_free */

/**
 * Registries and singletons of upper tiers hang on the ctx, so that base knows none of them. They are freed from the last
 * to the first, so that a slot may use those above it in this list until its own end. Plugins stay mapped to the very end.
 */
enum {
    AIOS__SLOT_PLUGINS,
    AIOS__SLOT_HTTP,
    AIOS__SLOT_CPU,
    AIOS__SLOT_DEVICES,
    AIOS__SLOT_KERNELS,
    AIOS__SLOT_GRAMMARS,
    AIOS__SLOT_BACKENDS,
    AIOS__SLOT_SPACES,
    AIOS__SLOT_STORES,
    AIOS__SLOT_MEMORIES,
    AIOS__SLOT_COUNT
};
/** NULL if it was not set, or is gone already. Thread-safety: safe. */
void *aios__ctx_slot(const aios_ctx *ctx, uint32_t slot);
/** Set once, during ctx creation or under aios__ctx_lock; free_fn runs when ctx goes, last slot first. */
void aios__ctx_slot_set(aios_ctx *ctx, uint32_t slot, void *p, void (*free_fn)(aios_ctx *ctx, void *p));
/** The lock that guards the registries of a ctx; short sections, no callbacks inside. */
void aios__ctx_lock(aios_ctx *ctx);
void aios__ctx_unlock(aios_ctx *ctx);
/** lib/builtin.c: runs the init of every built-in plugin. */
int aios__builtin_init(aios_ctx *ctx, aios_error *err);

/* ---- log (ctx.c) ---------------------------------------------------------------------------------------------------- */

void aios__log(aios_ctx *ctx, int32_t level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- env.c ---------------------------------------------------------------------------------------------------- */

/** The real world. */
void aios__env_default(aios_env *env);
/** Built-in slots where the host (may be NULL) left NULL. EINVAL if it replaced only part of the files' or children's. */
int aios__env_fill(aios_env *env, const aios_env *host, aios_error *err);
static inline int64_t aios__now_ns(const aios_env *e)
{
    return e->mono_ns(e->user);
}

/* ---- buf.c: bounded growable byte buffer ---------------------------------------------------------------------- */

typedef struct aios__buf {
    aios__heap *heap;
    char *p;      /**< always NUL-terminated once something was added */
    size_t n;     /**< bytes used */
    size_t cap;
    size_t max;   /**< refuses to grow past it (ELIMIT); 0, and at most: 1 GiB */
    uint32_t kind;
    int failed;   /**< sticky code of the first failure, so that a chain of adds is checked once */
} aios__buf;

void aios__buf_init(aios__buf *b, aios__heap *h, uint32_t kind, size_t max);
void aios__buf_free(aios__buf *b);
void aios__buf_clear(aios__buf *b);
/** Room for n more bytes; 0 or the sticky code. err may be NULL everywhere. */
int aios__buf_reserve(aios__buf *b, size_t n, aios_error *err);
int aios__buf_add(aios__buf *b, const void *p, size_t n, aios_error *err);
int aios__buf_adds(aios__buf *b, const char *s, aios_error *err);
int aios__buf_addc(aios__buf *b, char c, aios_error *err);
int aios__buf_addf(aios__buf *b, aios_error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/** Adds x with n_digits significant digits, with a point whatever the host's locale prints. */
int aios__buf_add_real(aios__buf *b, double x, int n_digits, aios_error *err);
/** Makes the first comma of a printed number a point. */
void aios__real_point(char *s);
/** As strtod, of text with a point whatever the host's locale reads; may change that point in s. */
double aios__real_parse(char *s, char **end);
/** Adds a whole file, which may have `max` bytes: ELIMIT (have, need), or the failure of the file. `what` names it in messages. */
int aios__buf_add_file(aios__buf *b, const aios_env *env, const char *path, const char *what, aios_error *err);
/** Adds s as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. Only ", \ and controls are escaped. */
int aios__buf_add_json(aios__buf *b, const char *s, size_t n, aios_error *err);

/* ---- utf8.c --------------------------------------------------------------------------------------------------- */

/** Decodes one code point; returns its length 1..4, or 0 if s does not begin with a valid one. n >= 1. */
size_t aios__utf8_decode(const char *s, size_t n, uint32_t *cp);
/** Writes cp as UTF-8 to out[4]; returns its length (3 bytes of U+FFFD for an invalid cp). */
size_t aios__utf8_encode(uint32_t cp, char *out);
/** 1 if all n bytes are valid UTF-8 (no surrogates, no overlong forms). */
int aios__utf8_valid(const char *s, size_t n);
/** Length of the longest prefix that does not end inside an unfinished (but so far valid) sequence. */
size_t aios__utf8_whole(const char *s, size_t n);

/* ---- plugin.c, json.c, http.c have doors of their own: json.h, http.h ------------------------------------------ */

/** Resolves AIOS_CSTR; refuses NULL with n > 0, and NUL inside (EINVAL). `what` names the argument. */
int aios__text_in(const char *s, size_t n, size_t *n_out, const char *what, aios_error *err);

#endif

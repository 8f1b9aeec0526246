/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file store.h
 * Streams of numbered records that are never changed: where runs, audits and checkpoints are kept.
 *
 * A commit writes to any number of streams at once, all or nothing, and is durable once it returns. Names of streams
 * match [A-Za-z0-9_.:/-]{1,200}. Callbacks run on the caller's thread with no lock held: they may call the store.
 */
#ifndef AIOS_STORE_H
#define AIOS_STORE_H

#include <aios/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_store aios_store;
typedef struct aios_claim aios_claim;

/** Bounds of every store: bytes of a name, of a record, of the records of one commit; writes of one commit. */
enum { AIOS_STORE_MAX_NAME = 200, AIOS_STORE_MAX_RECORD = 67108864, AIOS_STORE_MAX_COMMIT = 268435456, AIOS_STORE_MAX_WRITES = 10000 };

/** READ_ONLY: what is there, of a store that nobody holds. RELAXED: a commit survives the process, perhaps not the machine. */
enum { AIOS_STORE_READ_ONLY = 1, AIOS_STORE_RELAXED = 2 };

/** How to open a store; all zero = defaults. */
typedef struct aios_store_config {
    size_t struct_size;
    uint32_t flags;     /**< AIOS_STORE_x */
    uint32_t reserved0;
} aios_store_config;

/** A record of a stream: numbered from 1 without gaps, never changed. Borrowed until the callback returns. */
typedef struct aios_record {
    size_t struct_size;
    const char *stream;
    uint64_t seq;
    int64_t wall_us;    /**< when it was committed: microseconds since 1970 by the clock of the context */
    uint32_t kind;      /**< the writer's tag */
    uint32_t reserved0;
    const void *data;   /**< never NULL */
    size_t n_data;
} aios_record;
/** 0: go on. AIOS_DONE: enough, the reading ends well. Negative: the reading ends with this code. */
typedef int aios_record_fn(void *user, const aios_record *r);

/** A stream. Borrowed until the callback returns. */
typedef struct aios_stream {
    size_t struct_size;
    const char *name;
    uint64_t first;      /**< number of the oldest record kept */
    uint64_t head;       /**< number of the newest */
    uint64_t order;      /**< streams made later have a larger one */
    int64_t written_us;  /**< when the newest record was committed */
} aios_stream;
/** As aios_record_fn. */
typedef int aios_stream_fn(void *user, const aios_stream *s);

/** FORGET: the records before this one go with the commit; for a checkpoint that replaces them. */
enum { AIOS_WRITE_FORGET = 1 };

/** One write of a commit. */
typedef struct aios_store_write {
    size_t struct_size;
    const char *stream;
    const void *data;   /**< copied, or written before the commit returns */
    size_t n_data;      /**< at most AIOS_STORE_MAX_RECORD; 0 is a record too */
    uint64_t seq;       /**< the number that it must get, else the whole commit is ECONFLICT: fences off a second writer; 0: the next */
    uint32_t kind;      /**< the caller's tag */
    uint32_t flags;     /**< AIOS_WRITE_x */
} aios_store_write;

/** ANY: the name is a prefix that ends in '/'; the oldest stream below it that nobody claims is meant. */
enum { AIOS_CLAIM_ANY = 1 };

typedef struct aios_claim_args {
    size_t struct_size;
    uint32_t flags;     /**< AIOS_CLAIM_x */
    uint32_t reserved0;
    int64_t ttl_ns;     /**< in stores of many processes it ends when it was not renewed for so long; 0: 30 seconds */
} aios_claim_args;

/** Facts and counts of an open store. */
typedef struct aios_store_info {
    size_t struct_size;
    const char *name;     /**< of its kind, the scheme of its URI; borrowed from the store */
    uint32_t flags;       /**< AIOS_STORE_x that it was opened with */
    uint32_t reserved0;
    uint64_t n_commits;   /**< that succeeded */
    uint64_t n_writes;    /**< records of these */
    uint64_t n_bytes;     /**< bytes of data of these */
    uint64_t n_syncs;     /**< times that the medium was waited for: fewer than commits where several shared one; 0: it has none */
} aios_store_info;

/**
 * Opens `memory:` (private), `memory:NAME` (one for all who open this name in ctx, kept until ctx goes), `sqlite:FILE` (made if it is
 * not there, readable by its owner alone; in use by one process at a time), or a store of a plugin. cfg may be NULL.
 * ENOTSUP: no such kind in this build. EBUSY: another process holds it (the message names it). EVERSION: written by a newer libaios.
 * EFORMAT: damaged, or no store. ENOENT, EDENIED, EIO (sys): as the file system says.
 * Ownership: aios_store_close. Thread-safety of the object: safe.
 */
AIOS_API int aios_store_open(aios_ctx *ctx, const char *uri, const aios_store_config *cfg, aios_store **st, aios_error *err);
/** One reference more, which aios_store_close drops. NULL gives NULL. */
AIOS_API aios_store *aios_store_ref(aios_store *st);
/** Drops a reference; the store closes with the last one. Claims hold one each. NULL is fine. */
AIOS_API void aios_store_close(aios_store *st);
/** Fills *out. */
AIOS_API int aios_store_info_get(const aios_store *st, aios_store_info *out);
/**
 * Commits n writes, each `stride` bytes behind the one before; all or nothing, durable once it returns 0. Commits of many threads share
 * a sync where they come together. seqs (n, or NULL) gets their numbers. n 0 is nothing.
 * ECONFLICT: a write's seq was not the next (have: the next, need: what was asked for). ESTATE: opened READ_ONLY.
 * ELIMIT: larger than the bounds above. EIO with sys (ENOSPC, EDQUOT, EROFS, EIO ...): nothing was written, or whether it was cannot be
 * known after a failed sync: then each later commit fails until the store is opened anew, which shows what is there.
 */
AIOS_API int aios_store_commit(aios_store *st, const aios_store_write *writes, uint32_t n, size_t stride, uint64_t *seqs, aios_error *err);
/**
 * Calls fn for each record of a stream from number `from` (0: the oldest kept) to that which was the newest when the call began, in
 * order. A stream that is not there has none: 0. EFORMAT names the first damaged record; ECONFLICT: records that were still to come went
 * meanwhile (FORGET, remove), read again. Otherwise what fn gave.
 */
AIOS_API int aios_store_read(aios_store *st, const char *stream, uint64_t from, aios_record_fn *fn, void *user, aios_error *err);
/** Number of the newest record, 0: there is no such stream. */
AIOS_API int aios_store_head(aios_store *st, const char *stream, uint64_t *seq, aios_error *err);
/** Calls fn for each stream whose name begins with prefix (NULL: all), in order of their bytes. */
AIOS_API int aios_store_list(aios_store *st, const char *prefix, aios_stream_fn *fn, void *user, aios_error *err);
/** Removes a stream, durably; one written later under its name begins at 1. ENOENT: there is none. */
AIOS_API int aios_store_remove(aios_store *st, const char *stream, aios_error *err);
/** Reads all there is against its sums. EFORMAT names the first damage. Slow where the store is large. */
AIOS_API int aios_store_check(aios_store *st, aios_error *err);

/**
 * Takes the name of a stream (it need not exist) for one worker. It ends by release, with the process, or as ttl_ns says. args may be NULL.
 * A claim keeps others from claiming, not from writing: that is what a write's seq is for. EBUSY: claimed (the message names by which
 * process and since when). ENOENT: ANY found none. ESTATE: opened READ_ONLY. Ownership: aios_claim_release. Thread-safety: safe.
 */
AIOS_API int aios_store_claim(aios_store *st, const char *name, const aios_claim_args *args, aios_claim **c, aios_error *err);
/** What was claimed; borrowed from the claim. NULL for NULL. */
AIOS_API const char *aios_claim_name(const aios_claim *c);
/** Larger than that of every earlier claim of this name. 0 for NULL. */
AIOS_API uint64_t aios_claim_epoch(const aios_claim *c);
/** Holds on to it for another ttl_ns. ECONFLICT: it ended and is another's now. */
AIOS_API int aios_claim_renew(aios_claim *c, aios_error *err);
/** Ends and frees it. NULL is fine. */
AIOS_API void aios_claim_release(aios_claim *c);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file memory.h
 * Long-term memory: small labelled texts that are found again by their words.
 *
 * Who asks sees only what the query lets it see: items of its scopes, of classes among its readers, of enough integrity, that have not
 * expired. What it does not see is neither returned nor counted, and has no part in scores. Callbacks run on the caller's thread with no lock
 * held: they may call the memory.
 */
#ifndef AIOS_MEMORY_H
#define AIOS_MEMORY_H

#include <aios/ctx.h>
#include <aios/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_memory aios_memory;

/** Bounds of every memory, in bytes where nothing else is said: MAX_ADD items of one add, of MAX_ADD_BYTES together. */
enum {
    AIOS_MEMORY_MAX_TEXT = 65536,
    AIOS_MEMORY_MAX_NAME = 200,    /**< of a scope, a key */
    AIOS_MEMORY_MAX_KIND = 64,
    AIOS_MEMORY_MAX_SOURCE = 1024,
    AIOS_MEMORY_MAX_TAGS = 4096,
    AIOS_MEMORY_MAX_QUERY = 4096,
    AIOS_MEMORY_MAX_TERMS = 64,    /**< different words of a query */
    AIOS_MEMORY_MAX_SCOPES = 16,   /**< of a query */
    AIOS_MEMORY_MAX_HITS = 1000,
    AIOS_MEMORY_MAX_ADD = 10000,
    AIOS_MEMORY_MAX_ADD_BYTES = 67108864
};

/**
 * READ_ONLY: what is there, of a memory that nobody holds. RELAXED: what was added survives the process, perhaps not the machine. EVICT: an
 * item for which there is no room takes that of the oldest of least integrity, but of none whose integrity is above its own.
 */
enum { AIOS_MEMORY_READ_ONLY = 1, AIOS_MEMORY_RELAXED = 2, AIOS_MEMORY_EVICT = 4 };

/**
 * How texts are cut into words; of a file it is what it was made with. WORDS: at what is neither letter nor number, without case and marks (é is e); of
 * languages without blanks (Chinese, Japanese, Thai) a whole run is one word. TRIGRAMS: every three characters, for such languages and
 * for parts of words; words of a query shorter than three find nothing, and the file is larger.
 */
enum { AIOS_MEMORY_WORDS = 1, AIOS_MEMORY_TRIGRAMS = 2 };

/** How to open a memory; all zero = defaults. */
typedef struct aios_memory_config {
    size_t struct_size;
    uint32_t flags;      /**< AIOS_MEMORY_x */
    int32_t tokenizer;   /**< AIOS_MEMORY_WORDS or _TRIGRAMS; 0: that of the file, WORDS for a new one */
    uint64_t max_items;  /**< 0: 1,000,000 */
    uint64_t max_bytes;  /**< of texts; 0: 1 GiB */
} aios_memory_config;

/** REPLACE: what there is under the key goes; without, it stays, and nothing is added. */
enum { AIOS_ITEM_REPLACE = 1 };

/** A text that is remembered. Given to add, and borrowed by callbacks until they return. */
typedef struct aios_item {
    size_t struct_size;
    uint64_t id;            /**< set by the memory: random, below 2^63; tells nothing of other items */
    const char *text;       /**< UTF-8 without NUL, not empty */
    size_t n_text;          /**< or AIOS_CSTR */
    const char *scope;      /**< whose it is: a user, an agent, a session; NULL: "" */
    const char *kind;       /**< the host's; NULL: "" */
    const char *tags_json;  /**< a JSON object of texts, numbers and booleans; NULL: "{}" */
    const char *source;     /**< where it comes from; NULL: "" */
    const char *key;        /**< unique in the memory, for what is added twice, or replaced; NULL: none */
    aios_label label;
    int64_t created_us;     /**< microseconds since 1970: set by the memory */
    int64_t updated_us;     /**< likewise: when it was replaced last */
    int64_t expires_us;     /**< it is not there from then on; 0: never */
    uint32_t flags;         /**< AIOS_ITEM_x, of add */
    uint32_t reserved0;
} aios_item;

/** ANY_SCOPE: of all scopes. */
enum { AIOS_QUERY_ANY_SCOPE = 1 };

/** What is looked for, and what may be seen; all zero: public items of any integrity in the scope "". */
typedef struct aios_query {
    size_t struct_size;
    const char *text;           /**< words, some of which an item has; each is a word, whatever it looks like. NULL for list, count */
    size_t n_text;              /**< or AIOS_CSTR */
    const char *const *scopes;  /**< NULL: the scope "" alone */
    uint32_t n_scopes;
    uint32_t flags;             /**< AIOS_QUERY_x */
    uint64_t readers;           /**< items with a class of confidentiality that is not among these are not seen */
    int32_t min_integrity;      /**< AIOS_LABEL_x: those with less are not seen */
    uint32_t max_hits;          /**< 0: 10 (list: all) */
    const char *kind;           /**< only of this kind; NULL: any */
    const char *tags_json;      /**< only items that have all of these; NULL: any */
    int64_t since_us, until_us; /**< only updated from, and before; 0: any */
} aios_query;

/** An item that was found. Borrowed until the callback returns. */
typedef struct aios_hit {
    size_t struct_size;
    const aios_item *item;
    double score;        /**< BM25, by what the query sees: above 0, best first; list: 0 */
    const char *snippet; /**< the part of the text with most of the words; list: "" */
    size_t n_snippet;
} aios_hit;
/** 0: go on. AIOS_DONE: enough, the call ends well. Negative: it ends with this code. */
typedef int aios_hit_fn(void *user, const aios_hit *hit);

/** Facts of an open memory, whoever may see its items. */
typedef struct aios_memory_info {
    size_t struct_size;
    const char *name;     /**< of its kind, the scheme of its URI; borrowed from the memory */
    uint32_t flags;       /**< AIOS_MEMORY_x that it was opened with */
    int32_t tokenizer;
    uint64_t n_items;     /**< those that expired since the last add included */
    uint64_t n_bytes;     /**< of their texts */
    uint64_t n_evicted;   /**< since it was opened */
    uint64_t n_expired;   /**< removed since it was opened */
} aios_memory_info;

/**
 * Opens `memory:` (gone with its last reference), `sqlite:FILE` (made if it is not there, readable by its owner alone; in use by one process
 * at a time), or a memory of a plugin. cfg may be NULL. ENOTSUP: no such kind in this build, or no full-text search in this SQLite. EBUSY: another
 * process holds it (the message names it). EVERSION: written by a newer libaios. EFORMAT: damaged, or no memory. ESTATE: the file has
 * another tokenizer. ENOENT, EDENIED, EIO (sys): as the file system says.
 * Ownership: aios_memory_close. Thread-safety of the object: safe; one call at a time gets on.
 */
AIOS_API int aios_memory_open(aios_ctx *ctx, const char *uri, const aios_memory_config *cfg, aios_memory **m, aios_error *err);
/** One reference more, which aios_memory_close drops. NULL gives NULL. */
AIOS_API aios_memory *aios_memory_ref(aios_memory *m);
/** Drops a reference; the memory closes with the last one. NULL is fine. */
AIOS_API void aios_memory_close(aios_memory *m);
/** Fills *out. */
AIOS_API int aios_memory_info_get(aios_memory *m, aios_memory_info *out);
/**
 * Adds n items, each `stride` bytes behind the one before; all or nothing, durable once it returns 0. ids (n, or NULL) gets theirs: of an
 * item whose key is there already that of the one there. EINVAL names item and field. ELIMIT (have, need): beyond a bound, or no room is left.
 * ESTATE: opened READ_ONLY. EIO with sys: as aios_store_commit has it.
 */
AIOS_API int aios_memory_add(aios_memory *m, const aios_item *items, uint32_t n, size_t stride, uint64_t *ids, aios_error *err);
/** Calls fn for the best items for q->text, best first. EFORMAT names a damaged item. ELIMIT (have, need): too many words. */
AIOS_API int aios_memory_search(aios_memory *m, const aios_query *q, aios_hit_fn *fn, void *user, aios_error *err);
/** Calls fn for the items that q lets see, the newest first. q may be NULL. */
AIOS_API int aios_memory_list(aios_memory *m, const aios_query *q, aios_hit_fn *fn, void *user, aios_error *err);
/** How many aios_memory_list would tell, but for max_hits. */
AIOS_API int aios_memory_count(aios_memory *m, const aios_query *q, uint64_t *n, aios_error *err);
/** Calls fn for one item. q: what may be seen, of its fields for that; NULL: everything. ENOENT: it is not there, or not to be seen. */
AIOS_API int aios_memory_get(aios_memory *m, uint64_t id, const aios_query *q, aios_hit_fn *fn, void *user, aios_error *err);
/** Id of the item under a key, whoever may see it. ENOENT. */
AIOS_API int aios_memory_find(aios_memory *m, const char *key, uint64_t *id, aios_error *err);
/** Removes one item, durably. As aios_memory_get, with ESTATE: opened READ_ONLY. */
AIOS_API int aios_memory_remove(aios_memory *m, uint64_t id, const aios_query *q, aios_error *err);
/** Reads all there is against its sums, and the index against the texts. EFORMAT names the first damage. */
AIOS_API int aios_memory_check(aios_memory *m, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif

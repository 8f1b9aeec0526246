/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file transcript.h
 * The conversation, the only copy of it: entries of parts, each entry labelled.
 */
#ifndef AIOS_TRANSCRIPT_H
#define AIOS_TRANSCRIPT_H

#include <aios/ctx.h>
#include <aios/event.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_transcript aios_transcript;

enum { AIOS_ROLE_SYSTEM = 1, AIOS_ROLE_USER = 2, AIOS_ROLE_ASSISTANT = 3, AIOS_ROLE_TOOL = 4 };

enum {
    AIOS_PART_TEXT = 1,
    AIOS_PART_REASONING = 2, /**< call_id: of the event that ended it (event.h), or NULL; other backends than its own leave it alone */
    AIOS_PART_CALL = 3,   /**< text = arguments JSON, name, call_id */
    AIOS_PART_RESULT = 4, /**< text = result, name, call_id, status */
    AIOS_PART_IMAGE = 5,  /**< data in `text`, type in `mime` */
    AIOS_PART_AUDIO = 6,
    AIOS_PART_DATA = 7,
    AIOS_PART_UNKNOWN = 8, /**< from a newer version: kept as it was */
    /**
     * Alone in an entry of the system role, or with a TEXT behind it: which entries the model does not get any more, and the text that it gets in their
     * place (docs/context.md). Models never see it; the newest of a transcript holds.
     */
    AIOS_PART_CONTEXT = 9
};

typedef struct aios_part {
    size_t struct_size;
    int32_t kind;        /**< AIOS_PART_x */
    int32_t status;      /**< RESULT: 0 or a negative code */
    const char *text;    /**< UTF-8 (bytes for IMAGE, AUDIO, DATA) */
    size_t n_text;       /**< or AIOS_CSTR */
    const char *name;    /**< of the tool; else NULL */
    const char *call_id; /**< of the call, or of REASONING; else NULL */
    const char *mime;    /**< else NULL */
} aios_part;

typedef struct aios_entry {
    size_t struct_size;
    int32_t role;            /**< AIOS_ROLE_x */
    uint32_t n_parts;
    const aios_part *parts;
    size_t part_stride;      /**< sizeof(aios_part) of the caller */
    aios_label label;
    uint64_t id;             /**< set by the transcript: 1, 2, 3 ... */
} aios_entry;

/** Makes an empty transcript. Thread-safety of the object: one thread at a time. */
AIOS_API int aios_transcript_new(aios_ctx *ctx, aios_transcript **t, aios_error *err);
/** Copies an entry to the end. EINVAL: unknown role, invalid UTF-8 or NUL in a text part, no part. */
AIOS_API int aios_transcript_add(aios_transcript *t, const aios_entry *entry, aios_error *err);
/** The common case: one text part. label: SYSTEM for the system role, USER for user, UNTRUSTED else. */
AIOS_API int aios_transcript_add_text(aios_transcript *t, int32_t role, const char *s, size_t n, aios_error *err);
/** Number of entries; 0 for NULL. */
AIOS_API uint32_t aios_transcript_count(const aios_transcript *t);
/** Fills *out; its pointers are borrowed until the transcript changes. EINVAL past the end. */
AIOS_API int aios_transcript_at(const aios_transcript *t, uint32_t i, aios_entry *out);
/** Drops the entries from i on. */
AIOS_API int aios_transcript_truncate(aios_transcript *t, uint32_t i, aios_error *err);
/** A second transcript with the same entries and ids. ENOMEM, EBUDGET. */
AIOS_API int aios_transcript_copy(const aios_transcript *t, aios_transcript **out, aios_error *err);
/**
 * Writes {"aios_transcript":1,"entries":[...]}, compact; reading it and writing again gives the same bytes, parts of
 * unknown kinds included.
 */
AIOS_API int aios_transcript_write_json(const aios_transcript *t, aios_write_fn *fn, void *user, aios_error *err);
/** EFORMAT (with where), EVERSION. */
AIOS_API int aios_transcript_read_json(aios_ctx *ctx, const char *s, size_t n, aios_transcript **t, aios_error *err);
/** NULL is fine. */
AIOS_API void aios_transcript_free(aios_transcript *t);

#ifdef __cplusplus
}
#endif
#endif

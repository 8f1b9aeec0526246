/* SPDX-License-Identifier: Apache-2.0 */
/* Packed weights kept in a file beside the model's: what one process packed, others map or read. */
#ifndef AIOS_LIB_GGUF_PACKED_H
#define AIOS_LIB_GGUF_PACKED_H

#include "backend/gguf/net.h"
#include "base/cachefile.h"

/** What must be the same for a packed image to be that of this file, to this library. */
typedef struct aios__packed_key {
    aios__file_id id;  /**< of the model file when it was packed */
    uint64_t content;  /**< sum of its header and of a piece of each tensor */
    uint64_t layout;   /**< of panels: aios__panel_layout */
    uint64_t plan;     /**< sum of what lies where */
    uint64_t n_data;   /**< bytes of the image */
} aios__packed_key;

/** Fills all but plan and n_data. ENOTSUP for files in memory and those of a host's own env. */
int aios__packed_key_read(const aios__gguf *g, aios__packed_key *key, aios_error *err);
/**
 * Sets net->memory to the image in args->cache_dir if there is one of this key whose every byte is as it was written. AIOS_AGAIN (and a
 * line in the log): there is none, the weights must be packed; args->beside is NULL then if it was run. Codes: its own, ECANCELED.
 */
int aios__packed_load(aios__net *net, const aios__gguf *g, const aios__packed_key *key, aios__load_args *args, aios_error *err);
/**
 * Writes net->memory to args->cache_dir in a thread of its own, when nothing else wants the CPU, and removes what is too much there; a
 * failure is a line in the log.
 */
void aios__packed_save(aios__net *net, const aios__gguf *g, const aios__packed_key *key, const aios__load_args *args);
/** Waits for that thread. */
void aios__packed_wait(aios__net *net);

#endif

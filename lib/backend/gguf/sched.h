/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Continuous batching: the running turns of all sessions of a model are computed together. There is no thread of its own: of
 * the threads that step a session one leads a pass, which computes what every turn has waiting, also those whose threads are
 * elsewhere; the others sleep until it is over. Results lie in the turn until its own thread comes.
 */
#ifndef AIOS_LIB_GGUF_SCHED_H
#define AIOS_LIB_GGUF_SCHED_H

#include "backend/gguf/net.h"
#include "backend/gguf/order.h"

struct aios__gguf_session;
typedef struct aios__sched aios__sched;

/** caches: of the sessions of the model; it must outlive the scheduler. */
int aios__sched_new(aios__net *net, struct aios__caches *caches, aios__sched **out, aios_error *err);
void aios__sched_free(aios__sched *d);
/** Takes the turn of a request in; its prompt may be computed from here on. */
int aios__sched_add(aios__sched *d, struct aios__gguf_session *s, const aios_request *req, aios_error *err);
/** Returns once no pass touches the turn any more, and none will. */
void aios__sched_remove(aios__sched *d, struct aios__gguf_session *s);
/**
 * Waits for one pass, or leads it. True: the turn is DONE and belongs to the caller until _go_on. A turn that waits for memory returns soon
 * without either, at once if it `parks`, as long as others are at work: *held.
 */
bool aios__sched_wait(aios__sched *d, struct aios__gguf_session *s, bool parks, bool *held);
/** The turn's next rows may be computed. */
void aios__sched_go_on(aios__sched *d, struct aios__gguf_session *s);
/** Passes so far. */
uint64_t aios__sched_passes(aios__sched *d);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A store with none of the optional slots, over memory:NAME: what the wrapper does for such a one. */
#ifndef AIOS_TEST_PLAIN_STORE_H
#define AIOS_TEST_PLAIN_STORE_H

#include <aios/plugin/store.h>

static int plain_open(const aios_store_open_args *args, void **self, aios_error *err)
{
    char uri[256];
    snprintf(uri, sizeof uri, "memory:%s", args->path);
    return aios_store_open(args->ctx, uri, NULL, (aios_store **)self, err);
}

static void plain_close(void *self)
{
    aios_store_close(self);
}

static int plain_commit(void *self, const aios_store_commit_args *a, aios_error *err)
{
    return aios_store_commit(self, a->writes, a->n_writes, sizeof *a->writes, a->seqs, err);
}

static int plain_read(void *self, const aios_store_read_args *a, aios_error *err)
{
    return aios_store_read(self, a->stream, a->from, a->fn, a->user, err);
}

static int plain_head(void *self, const char *stream, uint64_t *seq, aios_error *err)
{
    return aios_store_head(self, stream, seq, err);
}

static int plain_list(void *self, const aios_store_list_args *a, aios_error *err)
{
    return aios_store_list(self, a->prefix, a->fn, a->user, err);
}

static int plain_remove(void *self, const char *stream, aios_error *err)
{
    return aios_store_remove(self, stream, err);
}

static int plain_register(aios_ctx *c, aios_error *err)
{
    aios_store_ops ops = AIOS_INIT(aios_store_ops);
    ops.name = "plain";
    ops.open = plain_open;
    ops.close = plain_close;
    ops.commit = plain_commit;
    ops.read = plain_read;
    ops.head = plain_head;
    ops.list = plain_list;
    ops.remove = plain_remove;
    return aios_store_register(c, &ops, NULL, err);
}

#endif

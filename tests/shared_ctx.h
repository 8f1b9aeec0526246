/* SPDX-License-Identifier: Apache-2.0 */
/* One ctx for a whole suite: the pair opens it before the first test and closes it behind the last. */
#ifndef AIOS_TEST_SHARED_CTX_H
#define AIOS_TEST_SHARED_CTX_H

#include "test.h"

static aios_ctx *ctx;

static int open_ctx(void **state)
{
    (void)state;
    ctx = test_ctx(NULL, 0);
    return 0;
}

static int close_ctx(void **state)
{
    (void)state;
    aios_ctx_free(ctx);
    return 0;
}

#endif

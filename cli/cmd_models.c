/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "cli.h"

static void print_models(json_t *list)
{
    size_t i;
    json_t *m;
    json_array_foreach(list, i, m) {
        long long n = json_integer_value(json_object_get(m, "context"));
        const char *id = json_string_value(json_object_get(m, "id"));
        if (n)
            printf("%-60s %lld tokens\n", id ? id : "?", n);
        else
            puts(id ? id : "?");
    }
}

int cmd_models(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    cli_text t = {0};
    int rc = cli_model(c, &ctx, &m);
    if (rc)
        return rc;
    if (aios_model_list(m, cli_gather, &t, &err))
        rc = cli_model_fail(c, &err);
    else
        cli_show(c, &t, print_models);
    free(t.p);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}

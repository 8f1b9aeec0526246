/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void print_value(const char *key, json_t *v)
{
    char *s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t n = s ? strlen(s) : 0;
    printf("  %-42s %.100s%s\n", key, s ? s : "?", n > 100 ? "..." : "");
    free(s);
}

static void print_tables(json_t *doc)
{
    const char *key;
    size_t i;
    json_t *v;
    puts("metadata");
    json_object_foreach(json_object_get(doc, "metadata"), key, v)
        print_value(key, v);
    puts("tensors");
    json_array_foreach(json_object_get(doc, "tensors"), i, v) {
        char *shape = json_dumps(json_object_get(v, "shape"), JSON_COMPACT);
        printf("  %-42s %-6s %-18s %lld bytes\n", json_string_value(json_object_get(v, "name")), json_string_value(json_object_get(v, "type")),
               shape ? shape : "", (long long)json_integer_value(json_object_get(v, "bytes")));
        free(shape);
    }
}

int cmd_inspect(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_error err = AIOS_INIT(aios_error);
    cli_text t = {0};
    const char *uri = c->n_args ? c->args[0] : cli_model_path(c);
    int rc = cli_ctx(c, &ctx);
    if (rc)
        return rc;
    if (aios_model_inspect(ctx, uri, cli_gather, &t, &err))
        rc = cli_model_fail(c, &err);
    else
        cli_show(c, &t, print_tables);
    free(t.p);
    aios_ctx_free(ctx);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int print_ids(aios_model *m, const char *s, size_t n, uint32_t flags)
{
    aios_error err = AIOS_INIT(aios_error);
    uint32_t n_ids = 0;
    if (aios_model_tokenize(m, s, n, flags, NULL, 0, &n_ids, &err))
        return cli_fail("tokenize", &err);
    int32_t *ids = malloc((n_ids + 1) * sizeof *ids);
    if (!ids)
        return cli_no_memory();
    int rc = aios_model_tokenize(m, s, n, flags, ids, n_ids, &n_ids, &err) ? cli_fail("tokenize", &err) : 0;
    if (!rc) {
        putchar('[');
        for (uint32_t i = 0; i < n_ids; i++)
            printf("%s%d", i ? "," : "", ids[i]);
        puts("]");
    }
    free(ids);
    return rc;
}

int cmd_tokenize(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    size_t n;
    char *s = cli_read_file("-", &n);
    if (!s)
        return EXIT_USAGE;
    int rc = cli_model(c, &ctx, &m);
    if (!rc)
        rc = print_ids(m, s, n, (c->no_special ? 0u : AIOS_TOKENIZE_SPECIAL) | (c->bos ? AIOS_TOKENIZE_BOS : 0u));
    free(s);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}

int32_t *cli_read_ids(uint32_t *n_ids)
{
    json_error_t je;
    json_t *v = json_loadf(stdin, 0, &je);
    if (!json_is_array(v)) {
        cli_usage("standard input must be a JSON array of token ids%s%s", v ? "" : ": ", v ? "" : je.text);
        json_decref(v);
        return NULL;
    }
    *n_ids = (uint32_t)json_array_size(v);
    int32_t *ids = malloc((*n_ids + 1) * sizeof *ids);
    for (uint32_t i = 0; ids && i < *n_ids; i++) {
        json_t *e = json_array_get(v, i);
        json_int_t id = json_integer_value(e);
        if (!json_is_integer(e) || id < 0 || id > INT32_MAX) {
            cli_usage("element %u of the array is no token id", i);
            free(ids);
            ids = NULL;
        } else {
            ids[i] = (int32_t)id;
        }
    }
    json_decref(v);
    return ids;
}

/* As it is, or with --json as {"text": ...}. */
static void put_text(const cli *c, const char *s, size_t n)
{
    if (c->json)
        cli_print_json(json_pack("{s:o}", "text", cli_json_text(s, n)));
    else
        fwrite(s, 1, n, stdout);
}

static int print_text(const cli *c, aios_model *m, const int32_t *ids, uint32_t n_ids)
{
    aios_error err = AIOS_INIT(aios_error);
    size_t n = 0;
    if (aios_model_detokenize(m, ids, n_ids, NULL, 0, &n, &err))
        return cli_fail("detokenize", &err);
    char *s = malloc(n + 1);
    if (!s)
        return cli_no_memory();
    int rc = aios_model_detokenize(m, ids, n_ids, s, n, &n, &err) ? cli_fail("detokenize", &err) : 0;
    if (!rc)
        put_text(c, s, n);
    free(s);
    return rc;
}

int cmd_detokenize(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    uint32_t n_ids;
    int32_t *ids = cli_read_ids(&n_ids);
    if (!ids)
        return EXIT_USAGE;
    int rc = cli_model(c, &ctx, &m);
    if (!rc)
        rc = print_text(c, m, ids, n_ids);
    free(ids);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}

int cmd_template(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_request req = AIOS_INIT(aios_request);
    aios_transcript *t = NULL;
    aios_tool_def *tools = NULL;
    json_t *doc = NULL;
    size_t n;
    cli_text prompt = {0};
    char *s = cli_read_file(c->n_args ? c->args[0] : "-", &n);
    if (!s)
        return EXIT_USAGE;
    int rc = cli_model(c, &ctx, &m);
    if (!rc)
        rc = cli_messages(ctx, s, n, &t, &doc, &tools, &req.n_tools);
    if (!rc) {
        req.transcript = t;
        req.tools = tools;
        req.tool_stride = sizeof *tools;
        if (aios_model_render(m, &req, cli_gather, &prompt, &err))
            rc = cli_fail("template", &err);
        else
            put_text(c, prompt.p, prompt.n);
    }
    free(prompt.p);
    aios_transcript_free(t);
    free(tools);
    json_decref(doc);
    free(s);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}

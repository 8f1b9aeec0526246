/* SPDX-License-Identifier: Apache-2.0 */
/* Renders chat templates for tools/check_templates.py.
   tmpl_dump TEMPLATE VARS   prints the text of one rendering.
   tmpl_dump --batch FILE    FILE is a JSON array of [template, vars, now_us]; prints a line [code, text] for each. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/gguf/template.h"

static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *p = NULL;
    *n = 0;
    if (!f)
        return NULL;
    for (size_t cap = 0, k = 1; k; *n += k) {
        if (*n + 65536 > cap)
            p = realloc(p, cap = 2 * cap + 131072);
        k = fread(p + *n, 1, 65536, f);
    }
    fclose(f);
    return p;
}

static int render(aios__heap *h, const char *src, size_t n, const aios__json *vars, int64_t now, aios__buf *out, aios_error *err)
{
    aios__template *t;
    int rc = aios__template_new(h, src, n, &t, err);
    if (rc)
        return rc;
    rc = aios__template_render(t, vars, NULL, now, out, err);
    aios__template_free(t);
    return rc;
}

static void batch(aios__heap *h, const aios__json *cases)
{
    for (size_t i = 0; i < aios__json_count(cases); i++) {
        const aios__json *c = aios__json_at(cases, i);
        aios_error err = AIOS_INIT(aios_error);
        aios__buf out, line;
        size_t n;
        const char *src = aios__json_str(aios__json_at(c, 0), &n);
        aios__buf_init(&out, h, AIOS_MEM_TEXT, 0);
        aios__buf_init(&line, h, AIOS_MEM_TEXT, 0);
        int rc = render(h, src, n, aios__json_at(c, 1), aios__json_int(aios__json_at(c, 2), 0), &out, &err);
        if (rc)
            aios__buf_add_json(&line, err.msg, strlen(err.msg), NULL);
        else
            aios__buf_add_json(&line, out.p ? out.p : "", out.n, NULL);
        printf("[%d, %s]\n", rc, line.p ? line.p : "\"\"");
        aios__buf_free(&line);
        aios__buf_free(&out);
    }
}

int main(int argc, char **argv)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    aios__json_doc *doc = NULL;
    size_t n, nv;
    if (argc != 3)
        return 2;
    bool many = !strcmp(argv[1], "--batch");
    char *vars = slurp(argv[2], &nv), *src = many ? NULL : slurp(argv[1], &n);
    if (!vars || (!many && !src) || aios_ctx_new(NULL, &ctx, &err))
        return 2;
    aios__heap *h = aios__ctx_heap(ctx);
    int rc = aios__json_parse(h, vars, nv, &doc, &err);
    if (!rc && many) {
        batch(h, aios__json_root(doc));
    } else if (!rc) {
        aios__buf out;
        aios__buf_init(&out, h, AIOS_MEM_TEXT, 0);
        rc = render(h, src, n, aios__json_root(doc), 0, &out, &err);
        if (!rc && out.n)
            fwrite(out.p, 1, out.n, stdout);
        aios__buf_free(&out);
    }
    if (rc)
        fprintf(stderr, "%s\n", err.msg);
    aios__json_free(doc);
    aios_ctx_free(ctx);
    free(vars);
    free(src);
    return rc != 0;
}

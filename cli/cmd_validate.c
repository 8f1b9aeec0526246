/* SPDX-License-Identifier: Apache-2.0 */
/* validate: every place where values break a schema. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct report {
    const cli *c;
    const char *name;
    json_t *violations; /**< for --json */
    bool color;
} report;

/* Names of members may hold anything: no control character reaches the terminal. */
static void print_clean(const char *s)
{
    for (; *s; s++)
        putchar((unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
}

/* Text that is not UTF-8 is null. */
static json_t *text(const char *s)
{
    json_t *v = json_string(s);
    return v ? v : json_null();
}

static int tell(void *user, const aios_violation *v)
{
    report *r = user;
    if (r->violations) {
        json_array_append_new(r->violations, json_pack("{s:o,s:o,s:o,s:o}", "path", text(v->path), "schema_path", text(v->schema_path), "keyword", text(v->keyword),
                                                       "message", text(v->message)));
        return 0;
    }
    printf("%s%s%s: ", r->color ? "\x1b[31m" : "", r->name, r->color ? "\x1b[0m" : "");
    print_clean(*v->path ? v->path : "the value");
    fputs(": ", stdout);
    print_clean(v->message);
    fputs(" (", stdout);
    print_clean(v->keyword);
    fputs(" of ", stdout);
    print_clean(v->schema_path);
    puts(")");
    return 0;
}

static void print_result(const report *r, int rc, const aios_error *err)
{
    bool broken = rc && !json_array_size(r->violations) && !(rc == AIOS_ESCHEMA && err->have);
    if (r->violations)
        cli_print_json(json_pack("{s:o,s:b,s:O,s:o}", "file", text(r->name), "valid", !rc, "violations", r->violations, "error",
                                 broken ? cli_error_json(err) : json_null()));
    else if (broken)
        cli_fail(r->name, err);
    else if (!rc && !r->c->quiet)
        printf("%s: %svalid%s\n", r->name, r->color ? "\x1b[32m" : "", r->color ? "\x1b[0m" : "");
}

static int check_file(const cli *c, aios_ctx *ctx, const char *schema, size_t n_schema, const char *path)
{
    aios_error err = AIOS_INIT(aios_error);
    size_t n = 0;
    report r = {.c = c, .name = strcmp(path, "-") ? path : "standard input", .violations = c->json ? json_array() : NULL, .color = cli_color(stdout)};
    char *json = cli_read_input(path, &n, &err);
    int rc = json ? aios_schema_check_as(ctx, 0, schema, n_schema, json, n, tell, &r, &err) : err.code;
    if (!json && !c->json)
        cli_fail(NULL, &err);
    else
        print_result(&r, rc, &err);
    json_decref(r.violations);
    free(json);
    return !json ? EXIT_USAGE : rc ? EXIT_FAIL : 0;
}

static int ignore(void *user, const aios_violation *v)
{
    (void)user;
    (void)v;
    return 0;
}

/* Whether the schema itself is right, so that its fault is told once and not for each file. */
static int check_schema(aios_ctx *ctx, const char *path, const char *schema, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_schema_check_as(ctx, 0, schema, n, "null", 4, ignore, NULL, &err);
    if (!rc || err.have)
        return 0;
    cli_fail(strcmp(path, "-") ? path : "standard input", &err);
    return EXIT_USAGE;
}

int cmd_validate(cli *c)
{
    aios_ctx *ctx = NULL;
    size_t n_schema = 0;
    if (c->n_args < 1)
        return cli_usage("a schema is needed: aios validate schema.json value.json");
    if (!strcmp(c->args[0], "-") && c->n_args < 2)
        return cli_usage("the schema is standard input: name the files to check");
    char *schema = cli_read_file(c->args[0], &n_schema);
    int rc = schema ? cli_ctx(c, &ctx) : EXIT_USAGE;
    rc = rc ? rc : check_schema(ctx, c->args[0], schema, n_schema);
    int worst = 0;
    for (int i = 1; !rc && cli_flush() && i < (c->n_args < 2 ? 2 : c->n_args); i++) {
        int got = check_file(c, ctx, schema, n_schema, i < c->n_args ? c->args[i] : "-");
        worst = got > worst ? got : worst;
    }
    free(schema);
    aios_ctx_free(ctx);
    return rc ? rc : worst;
}

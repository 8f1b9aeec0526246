/* SPDX-License-Identifier: Apache-2.0 */
/* Which grammar the options name: --schema, --regex, --gbnf, --lark, --grammar, or a file by its extension. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct {
    int32_t kind;
    const char *name, *extensions; /**< a word each */
} kinds[] = {
    {AIOS_GRAMMAR_SCHEMA, "schema", ".json .schema"},
    {AIOS_GRAMMAR_REGEX, "regex", ".re .regex"},
    {AIOS_GRAMMAR_GBNF, "gbnf", ".gbnf"},
    {AIOS_GRAMMAR_LARK, "lark", ".lark"},
};

static int32_t kind_by_extension(const char *path)
{
    const char *dot = strrchr(path, '.');
    size_t n = dot ? strlen(dot) : 0;
    for (size_t i = 0; n && i < sizeof kinds / sizeof *kinds; i++)
        for (const char *e = kinds[i].extensions; e; e = strchr(e, ' ') ? strchr(e, ' ') + 1 : NULL)
            if (!strncmp(e, dot, n) && (e[n] == ' ' || !e[n]))
                return kinds[i].kind;
    return 0;
}

const char *cli_grammar_kind(int32_t kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == kind)
            return kinds[i].name;
    return "?";
}

static int read_source(const char *path, cli_source *src)
{
    src->name = strcmp(path, "-") ? path : "standard input";
    src->text = cli_read_file(path, &src->n);
    if (!src->text)
        return EXIT_USAGE;
    while (src->kind == AIOS_GRAMMAR_REGEX && src->n && (src->text[src->n - 1] == '\n' || src->text[src->n - 1] == '\r'))
        src->n--; /* the end of the line is not part of the expression */
    return 0;
}

int cli_source_read(const cli *c, const char *file, cli_source *src)
{
    memset(src, 0, sizeof *src);
    if (!!c->schema + !!c->regex + !!c->gbnf + !!c->lark + !!file > 1)
        return cli_usage("one grammar at a time: --schema, --regex, --gbnf, --lark or a file");
    if (c->regex) {
        src->name = "the expression";
        src->is_option = true;
        src->kind = AIOS_GRAMMAR_REGEX;
        src->text = strdup(c->regex);
        src->n = strlen(c->regex);
        return src->text ? 0 : cli_no_memory();
    }
    src->kind = c->schema ? AIOS_GRAMMAR_SCHEMA : c->gbnf ? AIOS_GRAMMAR_GBNF : c->lark ? AIOS_GRAMMAR_LARK : file ? kind_by_extension(file) : 0;
    file = c->schema ? c->schema : c->gbnf ? c->gbnf : c->lark ? c->lark : file;
    if (!file)
        return cli_usage("a grammar is needed: a file, --schema FILE, --regex RE, --gbnf FILE or --lark FILE");
    if (!*file)
        return cli_usage("the grammar's file name is empty");
    if (!src->kind)
        return cli_usage("%s: its name does not tell what it is: say --schema %s, --gbnf %s, --lark %s or --regex RE", file, file, file, file);
    return read_source(file, src);
}

void cli_source_free(cli_source *src)
{
    free(src->text);
    src->text = NULL;
}

int cli_source_compile(const cli_source *src, aios_ctx *ctx, aios_grammar **g, aios_error *err)
{
    return aios_grammar_compile(ctx, src->kind | src->flags, src->text, src->n, g, err);
}

static bool is_wrong(int code)
{
    return code == AIOS_ESCHEMA || code == AIOS_ENOTSUP || code == AIOS_EINVAL || code == AIOS_EFORMAT;
}

int cli_source_fail(const cli_source *src, const aios_error *err)
{
    int rc = cli_fail(src->name, err);
    return is_wrong(err->code) ? EXIT_USAGE : rc;
}

int cli_source_check(const cli_source *src, aios_ctx *ctx)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    int rc = cli_source_compile(src, ctx, &g, &err);
    aios_grammar_free(g);
    return !rc || rc == AIOS_ENOTSUP ? 0 : cli_source_fail(src, &err);
}

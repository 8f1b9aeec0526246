/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers questions about schemas, one a line: FLAGS tab KIND tab SCHEMA tab VALUE. To each it prints CHECK tab MASK tab MESSAGE: CHECK is
 * "valid", "invalid", "refused" (the schema) or "failed"; MASK is "accepts", "rejects", "refused", or "-" where KIND, of aios_grammar_compile,
 * is 0. The message is that of a refusal, or of a violation.
 */
#include <aios/aios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static aios_ctx *ctx;

/* Violations begin with the path of the value, refusals do not. */
static const char *check(uint32_t flags, const char *schema, const char *value, aios_error *err)
{
    int rc = aios_schema_check_as(ctx, flags, schema, AIOS_CSTR, value, AIOS_CSTR, NULL, NULL, err);
    if (!rc)
        return "valid";
    return rc != AIOS_ESCHEMA ? "failed" : *err->msg == '$' ? "invalid" : "refused";
}

static const char *mask(int32_t kind, const char *schema, const char *value, aios_error *err)
{
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    const char *answer = "failed";
    int rc = kind ? aios_grammar_compile(ctx, kind, schema, AIOS_CSTR, &g, err) : 0;
    if (!kind || rc)
        return !kind ? "-" : rc == AIOS_ESCHEMA || rc == AIOS_ENOTSUP || rc == AIOS_ELIMIT ? "refused" : "failed";
    rc = aios_walk_new(g, &w, err);
    if (!rc) {
        rc = aios_walk_accept(w, value, strlen(value), err);
        answer = rc == AIOS_ESCHEMA ? "rejects" : rc ? "failed" : aios_walk_complete(w) ? "accepts" : "rejects";
    }
    aios_walk_free(w);
    aios_grammar_free(g);
    return answer;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    aios_error err = AIOS_INIT(aios_error);
    if (aios_ctx_new(NULL, &ctx, &err))
        return 1;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        char *part[4] = {line};
        line[n - (line[n - 1] == '\n')] = 0;
        for (int i = 1; i < 4; i++) {
            char *tab = part[i - 1] ? strchr(part[i - 1], '\t') : NULL;
            part[i] = tab ? tab + 1 : NULL;
            if (tab)
                *tab = 0;
        }
        if (!part[3])
            return 2;
        aios_error checked = AIOS_INIT(aios_error), walked = AIOS_INIT(aios_error);
        const char *c = check((uint32_t)strtoul(part[0], NULL, 10), part[2], part[3], &checked);
        const char *m = mask((int32_t)strtol(part[1], NULL, 10), part[2], part[3], &walked);
        const char *msg = *checked.msg && strcmp(c, "valid") ? checked.msg : strcmp(m, "-") ? walked.msg : "";
        printf("%s\t%s\t", c, m);
        for (; *msg; msg++)
            putchar((unsigned char)*msg < ' ' ? ' ' : *msg);
        putchar('\n');
    }
    free(line);
    aios_ctx_free(ctx);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

bool cli_color(FILE *f)
{
    const char *force = getenv("CLICOLOR_FORCE"), *term = getenv("TERM");
    if (force && strcmp(force, "0"))
        return true;
    return !getenv("NO_COLOR") && isatty(fileno(f)) && term && strcmp(term, "dumb");
}

static const struct {
    int code, exit_code;
} exits[] = {
    {AIOS_ENOENT, EXIT_MODEL},  {AIOS_EFORMAT, EXIT_MODEL},    {AIOS_EVERSION, EXIT_MODEL}, {AIOS_ENOTSUP, EXIT_MODEL},
    {AIOS_EAUTH, EXIT_NETWORK}, {AIOS_EUNAVAIL, EXIT_NETWORK}, {AIOS_EPROTO, EXIT_NETWORK}, {AIOS_ERATE, EXIT_NETWORK},
    {AIOS_ECANCELED, EXIT_INTERRUPT},
};

int cli_fail(const char *what, const aios_error *err)
{
    bool color = cli_color(stderr);
    fprintf(stderr, "%serror%s: %s%s%s", color ? "\x1b[31m" : "", color ? "\x1b[0m" : "", what ? what : "", what ? ": " : "",
            err->msg[0] ? err->msg : aios_strerror(err->code));
    fprintf(stderr, " (%s)\n", aios_code_name(err->code));
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        if (exits[i].code == err->code)
            return exits[i].exit_code;
    return EXIT_FAIL;
}

int cli_usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("aios: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_USAGE;
}

void cli_print_json(json_t *v)
{
    char *s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (s)
        puts(s);
    free(s);
    json_decref(v);
    fflush(stdout);
}

void cli_json_string(FILE *f, const char *s, size_t n)
{
    json_t *v = json_stringn(s ? s : "", s ? n : 0);
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    fputs(text ? text : "\"\"", f);
    free(text);
    json_decref(v);
}

char *cli_read_all(FILE *f, size_t *n)
{
    size_t cap = 65536;
    char *p = malloc(cap);
    *n = 0;
    while (p) {
        size_t got = fread(p + *n, 1, cap - *n - 1, f);
        *n += got;
        if (!got)
            break;
        if (cap - *n < 2) {
            char *q = realloc(p, cap *= 2);
            if (!q)
                free(p);
            p = q;
        }
    }
    if (p && ferror(f)) {
        free(p);
        p = NULL;
    }
    if (p)
        p[*n] = 0;
    else
        fprintf(stderr, "error: reading failed: %s\n", strerror(errno));
    return p;
}

char *cli_read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "error: %s cannot be read: %s\n", path, strerror(errno));
        return NULL;
    }
    char *p = cli_read_all(f, n);
    fclose(f);
    return p;
}

char *cli_prompt(const cli *c, size_t *n)
{
    size_t total = 1, n_in = 0;
    char *in = NULL;
    if (!c->n_args || !isatty(STDIN_FILENO)) {
        bool wanted = !c->n_args || !strcmp(c->args[c->n_args - 1], "-");
        if (wanted && !(in = cli_read_all(stdin, &n_in)))
            return NULL;
    }
    for (int i = 0; i < c->n_args; i++)
        total += strlen(c->args[i]) + 1;
    char *out = malloc(total + n_in + 1);
    *n = 0;
    for (int i = 0; out && i < c->n_args; i++) {
        if (in && i == c->n_args - 1 && !strcmp(c->args[i], "-"))
            break;
        size_t len = strlen(c->args[i]);
        if (*n)
            out[(*n)++] = ' ';
        memcpy(out + *n, c->args[i], len);
        *n += len;
    }
    if (out && in) {
        if (*n)
            out[(*n)++] = '\n';
        memcpy(out + *n, in, n_in);
        *n += n_in;
    }
    if (out)
        out[*n] = 0;
    free(in);
    return out;
}

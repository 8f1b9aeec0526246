/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
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

void cli_print_json(json_t *v)
{
    char *s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (s)
        puts(s);
    free(s);
    json_decref(v);
    cli_flush();
}

json_t *cli_json_text(const char *s, size_t n)
{
    json_t *v = json_stringn(s, n);
    if (v)
        return v;
    char *p = malloc(3 * n + 1);
    size_t k = 0;
    for (size_t i = 0; p && i < n; i++) {
        if ((unsigned char)s[i] < 0x80)
            p[k++] = s[i];
        else
            memcpy(p + k, "\xef\xbf\xbd", 3), k += 3;
    }
    v = p ? json_stringn(p, k) : json_null();
    free(p);
    return v;
}

void cli_json_string(FILE *f, const char *s, size_t n)
{
    json_t *v = json_stringn(s ? s : "", s ? n : 0);
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    fputs(text ? text : "\"\"", f);
    free(text);
    json_decref(v);
}

static int write_errno; /* of the first write to standard output that failed */

bool cli_flush(void)
{
    if ((fflush(stdout) || ferror(stdout)) && !write_errno)
        write_errno = errno ? errno : EIO;
    return !write_errno;
}

int cli_finish(int rc)
{
    if (cli_flush())
        return rc;
    fprintf(stderr, "error: standard output: %s\n", strerror(write_errno));
    return rc ? rc : EXIT_FAIL;
}

int cli_gather(void *user, const void *p, size_t n)
{
    cli_text *t = user;
    if (t->cap - t->n < n + 1) {
        size_t cap = (t->cap + n + 1) * 2;
        char *q = realloc(t->p, cap);
        if (!q)
            return AIOS_ENOMEM;
        t->p = q;
        t->cap = cap;
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
    return AIOS_OK;
}

static char *read_stream(FILE *f, size_t *n)
{
    cli_text t = {0};
    char piece[65536];
    size_t got;
    int rc = cli_gather(&t, "", 0);
    while (!rc && (got = fread(piece, 1, sizeof piece, f)) > 0)
        rc = cli_gather(&t, piece, got);
    if (rc || ferror(f)) {
        errno = rc ? ENOMEM : errno;
        free(t.p);
        return NULL;
    }
    *n = t.n;
    return t.p;
}

char *cli_read_input(const char *path, size_t *n, aios_error *err)
{
    bool std = !strcmp(path, "-");
    FILE *f = std ? stdin : fopen(path, "rb");
    char *p = f ? read_stream(f, n) : NULL;
    if (!p) {
        err->code = errno == ENOENT ? AIOS_ENOENT : errno == EACCES ? AIOS_EDENIED : AIOS_EIO;
        snprintf(err->msg, sizeof err->msg, "%s cannot be read: %s",
                 std ? "standard input" : *path ? path : "a file without a name", strerror(errno));
    }
    if (f && !std)
        fclose(f);
    return p;
}

char *cli_read_file(const char *path, size_t *n)
{
    aios_error err = AIOS_INIT(aios_error);
    char *p = cli_read_input(path, n, &err);
    if (!p)
        cli_fail(NULL, &err);
    return p;
}

char *cli_prompt(const cli *c, size_t *n)
{
    size_t total = 1, n_in = 0;
    char *in = NULL;
    if (!c->n_args || !isatty(STDIN_FILENO)) {
        bool wanted = !c->n_args || !strcmp(c->args[c->n_args - 1], "-");
        if (wanted && !(in = cli_read_file("-", &n_in)))
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

const char *cli_s(long long n)
{
    return n == 1 ? "" : "s";
}

void cli_show(const cli *c, const cli_text *json, void (*print)(json_t *v))
{
    if (c->json) {
        fwrite(json->p, 1, json->n, stdout);
        putchar('\n');
        return;
    }
    json_t *v = json_loadb(json->p, json->n, 0, NULL);
    print(v);
    json_decref(v);
}

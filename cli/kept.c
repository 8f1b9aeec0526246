/* SPDX-License-Identifier: Apache-2.0 */
/* What `aios agent` writes beside a run's journal, in the same commits: the options that it was begun with, and rows of the audit. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { KIND_OPTIONS = 1 };

struct cli_kept {
    const cli *c;
    cli_auditor *auditor; /* NULL: no audit */
    aios_store_write *writes;
    uint32_t cap;
    cli_text options;
    char stream[AIOS_STORE_MAX_NAME + 1]; /* of the options */
};

static int put_options(cli_kept *k, const char *run, aios_store_write *out)
{
    snprintf(k->stream, sizeof k->stream, "options/%.80s", run);
    *out = (aios_store_write)AIOS_INIT(aios_store_write);
    out->stream = k->stream;
    out->data = k->options.p;
    out->n_data = k->options.n;
    out->kind = KIND_OPTIONS;
    return AIOS_OK;
}

static int prepare(void *user, const char *run, const aios_store_write *records, uint32_t n, aios_commit_more *more)
{
    cli_kept *k = user;
    int rc = AIOS_OK;
    if (n + 1 > k->cap) {
        aios_store_write *p = realloc(k->writes, (n + 1) * sizeof *p);
        if (!p)
            return AIOS_ENOMEM;
        k->writes = p;
        k->cap = n + 1;
    }
    more->writes = k->writes;
    more->stride = sizeof *k->writes;
    if (k->auditor) {
        rc = cli_audit_rows(k->auditor, run, records, n, k->writes);
        more->n = n;
    }
    return rc || records->seq != 1 ? rc : put_options(k, run, &k->writes[more->n++]);
}

static void settle(void *user, const char *run, int32_t code)
{
    cli_kept *k = user;
    (void)run;
    cli_audit_settle(k->auditor, code);
}

/* All records of a run have rows, or none has. */
static int check_resumed(const cli *c, aios_store *st)
{
    aios_error err = AIOS_INIT(aios_error);
    char stream[AIOS_STORE_MAX_NAME + 1];
    uint64_t head = 0;
    bool has;
    snprintf(stream, sizeof stream, "run/%.80s", c->resume);
    if (cli_audit_has(st, c->resume, &has, &err))
        return cli_fail(NULL, &err);
    if (has == c->audit || aios_store_head(st, stream, &head, NULL) || !head)
        return 0;
    return has ? cli_usage("run %s has an audit: go on with --audit, and --audit-key FILE where its rows are signed", c->resume)
               : cli_usage("run %s was begun without an audit, and would have one of a part: go on without --audit", c->resume);
}

int cli_kept_open(const cli *c, aios_store *st, aios_commit_hook *hook, cli_kept **out)
{
    cli_kept *k = calloc(1, sizeof *k);
    *out = NULL;
    if (!k)
        return cli_no_memory();
    k->c = c;
    int rc = c->resume ? check_resumed(c, st) : 0;
    rc = rc ? rc : cli_gather(&k->options, "", 0) || cli_options_text(c, &k->options) ? cli_no_memory() : 0;
    rc = rc ? rc : cli_audit_open(c, st, &k->auditor);
    if (rc) {
        cli_kept_close(k);
        return rc;
    }
    *hook = (aios_commit_hook){.struct_size = sizeof *hook, .user = k, .prepare = prepare, .settle = settle};
    *out = k;
    return 0;
}

void cli_kept_close(cli_kept *k)
{
    if (!k)
        return;
    cli_audit_close(k->auditor);
    free(k->options.p);
    free(k->writes);
    free(k);
}

static int take_text(void *user, const aios_record *r)
{
    return cli_gather(user, r->data, r->n_data);
}

/* They are for people to read before they run them: whoever can write the store could have written them. */
bool cli_kept_options(aios_store *st, const char *id, cli_text *out)
{
    char stream[AIOS_STORE_MAX_NAME + 1];
    snprintf(stream, sizeof stream, "options/%.80s", id);
    if (aios_store_read(st, stream, 1, take_text, out, NULL) || !out->n)
        return false;
    for (size_t i = 0; i < out->n; i++)
        out->p[i] = (unsigned char)out->p[i] < 0x20 ? ' ' : out->p[i];
    return true;
}

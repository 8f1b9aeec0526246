/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of confidentiality of a prompt: names to numbers, and no way out for what is labelled. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { PRIVATE = 63 }; /* where the file of a router gives it no other number */

/* What stands behind "route:", also inside of record:; NULL: it is no router. */
static const char *route_of(const char *uri)
{
    const char *at = uri;
    if (!strncmp(uri, "record:", 7) && uri[7] != '{')
        at = strchr(uri, '|') ? strchr(uri, '|') + 1 : uri;
    return strncmp(at, "route:", 6) ? NULL : at + 6;
}

bool cli_is_route(const char *uri)
{
    return route_of(uri) != NULL;
}

/* What is wrong with the file is told when the model is opened. */
json_t *cli_route_doc(const char *uri)
{
    const char *at = route_of(uri);
    aios_error err = AIOS_INIT(aios_error);
    size_t n = 0;
    char *text = !at || *at == '{' ? NULL : cli_read_input(at, &n, &err);
    json_t *doc = text ? json_loadb(text, n, 0, NULL) : at ? json_loads(at, 0, NULL) : NULL;
    free(text);
    return doc;
}

static json_t *read_classes(const char *uri)
{
    json_t *doc = cli_route_doc(uri), *classes = json_incref(json_object_get(doc, "classes"));
    json_decref(doc);
    return classes;
}

static int fail_class(const char *word, json_t *classes)
{
    const char **names = calloc(json_object_size(classes) + 1, sizeof *names), *key;
    char meant[CLI_MEANT];
    json_t *v;
    size_t n = 0;
    if (!names)
        return cli_no_memory();
    names[n++] = "private";
    json_object_foreach(classes, key, v)
        if (strcmp(key, "private"))
            names[n++] = key;
    int rc = cli_usage("--label %s%s: takes private, a number from 0 to 63, or a name of \"classes\" in the file of route:", word,
                       cli_meant(meant, word, names, n, "", ""));
    free(names);
    return rc;
}

static int add_class(const char *word, json_t *classes, uint64_t *out)
{
    char *end = NULL;
    json_t *named = json_object_get(classes, word);
    json_int_t n = json_is_integer(named) ? json_integer_value(named) : strcmp(word, "private") ? -1 : PRIVATE;
    if (!named && *word >= '0' && *word <= '9')
        n = strtol(word, &end, 10);
    if (n < 0 || n > 63 || (end && *end))
        return fail_class(word, classes);
    *out |= UINT64_C(1) << n;
    return 0;
}

int cli_label(const cli *c, uint64_t *classes)
{
    json_t *names = c->labels.n ? read_classes(cli_model_path(c)) : NULL;
    int rc = 0;
    *classes = 0;
    for (int i = 0; i < c->labels.n && !rc; i++)
        rc = add_class(c->labels.at[i], names, classes);
    json_decref(names);
    return rc;
}

int cli_label_check(const aios_model *m, const char *uri, uint64_t classes)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_error err = AIOS_INIT(aios_error);
    if (!classes || route_of(uri) || (!aios_model_info_get(m, &info) && info.privacy == AIOS_PRIVACY_LOCAL))
        return 0;
    err.code = AIOS_EDENIED;
    snprintf(err.msg, sizeof err.msg, "--label: this model is not on this machine, and the prompt may not leave it: "
                                      "take a local model, or route:FILE, which says what may go where");
    return cli_fail(NULL, &err);
}

int cli_add_user(aios_transcript *t, uint64_t classes, const char *s, size_t n, aios_error *err)
{
    aios_entry e = AIOS_INIT(aios_entry);
    aios_part p = AIOS_INIT(aios_part);
    p.kind = AIOS_PART_TEXT;
    p.text = s;
    p.n_text = n;
    e.role = AIOS_ROLE_USER;
    e.label = (aios_label){.integrity = AIOS_LABEL_USER, .confidentiality = classes};
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    return aios_transcript_add(t, &e, err);
}

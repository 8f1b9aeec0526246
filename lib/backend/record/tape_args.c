/* SPDX-License-Identifier: Apache-2.0 */
/* record:FILE|URI, replay:FILE; or as objects: record:{"file":F,"model":URI,"redact":true|false|[GLOB,...]}, replay:{"file":F,"timing":true}. */
#include "backend/record/record_priv.h"

static int keep(aios__heap *h, const char *s, size_t n, char **out, aios_error *err)
{
    *out = aios__strndup(h, AIOS_MEM_TEXT, s, n, err);
    return *out ? AIOS_OK : aios__nomem(err);
}

static int read_member(aios__heap *h, const char *key, const aios__json *v, bool recording, aios__tape_args *a, aios_error *err)
{
    size_t n;
    const char *s = aios__json_str(v, &n), *scheme = recording ? "record" : "replay";
    bool yes = aios__json_type(v) == AIOS__JSON_TRUE, flag = yes || aios__json_type(v) == AIOS__JSON_FALSE;
    if (!strcmp(key, "file") && s)
        return keep(h, s, n, &a->file, err);
    if (!strcmp(key, "model") && s && recording)
        return keep(h, s, n, &a->inner, err);
    if (!strcmp(key, "timing") && flag && !recording)
        return a->timing = yes, AIOS_OK;
    if (!strcmp(key, "redact") && flag)
        return a->redact = yes, AIOS_OK;
    if (strcmp(key, "redact") || aios__json_type(v) != AIOS__JSON_ARRAY)
        return aios__fail(err, AIOS_EINVAL, "%s: $.%.64s is no key that it knows, or of the wrong type", scheme, key);
    for (size_t i = 0; i < aios__json_count(v); i++)
        if (!aios__json_str(aios__json_at(v, i), NULL))
            return aios__fail(err, AIOS_EINVAL, "%s: $.redact[%zu] must be a string", scheme, i);
    a->patterns = v;
    return AIOS_OK;
}

static int read_object(aios__heap *h, const char *text, bool recording, aios__tape_args *a, aios_error *err)
{
    const char *key;
    const aios__json *v;
    int rc = aios__json_parse(h, text, strlen(text), &a->doc, err);
    const aios__json *root = rc ? NULL : aios__json_root(a->doc);
    for (void *it = rc ? NULL : aios__json_iter(root, NULL, &key, &v); it && !rc; it = aios__json_iter(root, it, &key, &v))
        rc = read_member(h, key, v, recording, a, err);
    return rc;
}

int aios__tape_args_read(aios__heap *h, const char *path, bool recording, aios__tape_args *a, aios_error *err)
{
    *a = (aios__tape_args){.redact = true};
    const char *bar = recording ? strchr(path, '|') : NULL;
    int rc;
    if (*path == '{') {
        rc = read_object(h, path, recording, a, err);
    } else {
        rc = keep(h, path, bar ? (size_t)(bar - path) : strlen(path), &a->file, err);
        rc = rc || !bar ? rc : keep(h, bar + 1, strlen(bar + 1), &a->inner, err);
    }
    if (!rc && (!a->file || !*a->file || (recording && (!a->inner || !*a->inner))))
        rc = aios__fail(err, AIOS_EINVAL, recording ? "record: write record:FILE|URI, or record:{\"file\":FILE,\"model\":URI}"
                                                    : "replay: write replay:FILE, or replay:{\"file\":FILE}");
    if (rc)
        aios__tape_args_free(h, a);
    return rc;
}

void aios__tape_args_free(aios__heap *h, aios__tape_args *a)
{
    aios__json_free(a->doc);
    aios__free(h, a->file);
    aios__free(h, a->inner);
    *a = (aios__tape_args){0};
}

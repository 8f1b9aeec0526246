/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins: a list of handles on the ctx. They are unmapped with the last of the ctx, when nothing of theirs can run. */
#include <aios/plugin/plugin.h>
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include "base/base.h"

typedef struct plugin {
    struct plugin *next;
    void *handle;
} plugin;

static void free_plugins(aios_ctx *ctx, void *p)
{
    for (plugin *at = p, *next; at; at = next) {
        next = at->next;
        dlclose(at->handle);
        aios__free(aios__ctx_heap(ctx), at);
    }
}

static int open_object(const char *path, void **handle, aios_error *err)
{
    if (!strchr(path, '/'))
        return aios__fail(err, AIOS_EINVAL, "plugin \"%s\" is a bare name: give a path, as ./%s", path, path);
    if (access(path, F_OK))
        return aios__fail_sys(err, errno == ENOENT || errno == ENOTDIR ? AIOS_ENOENT : AIOS_EIO, errno, "plugin %s", path);
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*handle) {
        const char *why = dlerror();
        return aios__fail(err, AIOS_EIO, "plugin %s cannot be loaded: %s", path, why ? why : "unknown reason");
    }
    return AIOS_OK;
}

/* Copies the entry of a loaded object to *out, if it is one for this library. */
static int check_entry(const char *path, void *handle, aios_plugin *out, aios_error *err)
{
    const aios_plugin *entry = dlsym(handle, AIOS_PLUGIN_SYMBOL);
    if (!entry)
        return aios__fail(err, AIOS_EFORMAT, "%s is no plugin: it exports no object " AIOS_PLUGIN_SYMBOL, path);
    int rc = aios__struct_in(out, sizeof *out, entry, NULL);
    if (rc == AIOS_EVERSION)
        return aios__fail(err, rc, "plugin %s uses fields that this library does not know: update libaios", path);
    if (rc || entry->struct_size < offsetof(aios_plugin, init) + sizeof out->init)
        return aios__fail_need(err, AIOS_EFORMAT, entry->struct_size, sizeof *out,
                               "plugin %s: struct_size is %zu: initialise " AIOS_PLUGIN_SYMBOL " with AIOS_INIT", path,
                               entry->struct_size);
    if (out->abi != AIOS_PLUGIN_ABI)
        return aios__fail_need(err, AIOS_EVERSION, AIOS_PLUGIN_ABI, out->abi,
                               "plugin %s is made for plugin ABI %u, this library has %u: rebuild it", path, out->abi,
                               (unsigned)AIOS_PLUGIN_ABI);
    if (!out->init)
        return aios__fail(err, AIOS_EFORMAT, "plugin %s has no init function", path);
    return AIOS_OK;
}

/* Adds p to the list unless its object is there already. */
static bool link_plugin(aios_ctx *ctx, plugin *p)
{
    aios__ctx_lock(ctx);
    plugin *first = aios__ctx_slot(ctx, AIOS__SLOT_PLUGINS);
    bool known = false;
    for (plugin *at = first; at && !known; at = at->next)
        known = at->handle == p->handle;
    if (!known) {
        p->next = first;
        aios__ctx_slot_set(ctx, AIOS__SLOT_PLUGINS, p, free_plugins);
    }
    aios__ctx_unlock(ctx);
    return !known;
}

int aios_plugin_load(aios_ctx *ctx, const char *path, aios_error *err)
{
    if (!ctx || !path || !*path)
        return aios__fail(err, AIOS_EINVAL, "aios_plugin_load: %s", !ctx ? "ctx is NULL" : "path is NULL or empty");
    aios__heap *heap = aios__ctx_heap(ctx);
    plugin *p = aios__alloc(heap, AIOS_MEM_OTHER, sizeof *p, err);
    if (!p)
        return aios__error_code(err, AIOS_ENOMEM);
    aios_plugin entry;
    int rc = open_object(path, &p->handle, err);
    if (!rc)
        rc = check_entry(path, p->handle, &entry, err);
    if (!rc && !link_plugin(ctx, p))
        rc = aios__fail(err, AIOS_EEXIST, "plugin %s is loaded already", path);
    if (rc) {
        if (p->handle)
            dlclose(p->handle);
        aios__free(heap, p);
        return rc;
    }
    /* From here on it stays mapped, also if init fails: it may have registered something before. */
    aios_error why = AIOS_INIT(aios_error);
    rc = entry.init(ctx, &why);
    if (rc > 0)
        rc = AIOS_EINTERNAL;
    return rc ? aios__fail(err, rc, "plugin %s: %s", path, why.msg[0] ? why.msg : aios_strerror(rc)) : AIOS_OK;
}

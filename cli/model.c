/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli.h"

#define DEFAULT_MODEL "SmolLM2-135M-Instruct.Q4_1.gguf"

const char *cli_model_path(const cli *c)
{
    static char path[4096];
    const char *env = getenv("AIOS_MODEL"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (c->model)
        return c->model;
    if (env && *env)
        return env;
    if (cache && *cache)
        snprintf(path, sizeof path, "%s/aios/models/" DEFAULT_MODEL, cache);
    else
        snprintf(path, sizeof path, "%s/.cache/aios/models/" DEFAULT_MODEL, home ? home : "");
    return path;
}

static _Atomic int bar = -1; /* 24ths of the loading bar that are on the terminal; -1: it is not there */

void cli_bar_erase(void)
{
    if (atomic_exchange(&bar, -1) >= 0)
        fprintf(stderr, "\r%40s\r", "");
}

static void log_line(void *user, int32_t level, const char *msg)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    (void)user;
    cli_bar_erase();
    fprintf(stderr, "%s: %s\n", names[level & 3], msg);
}

static int parse_bytes(const char *option, const char *s, uint64_t *out)
{
    char *end;
    double v = strtod(s, &end);
    static const char units[] = "KMGT";
    const char *u = *end ? strchr(units, *end & ~32) : NULL;
    for (long i = u ? u - units + 1 : 0; i > 0; i--)
        v *= 1024;
    if (end == s || !(v >= 1 && v < 1e18) || (*end && (!u || end[1])))
        return cli_usage("--%s takes bytes such as 512M or 2G, not \"%s\"", option, s);
    *out = (uint64_t)v;
    return 0;
}

/* A setting that means nothing is wrong usage, wherever it was written. */
static int fail_settings(const aios_error *err)
{
    int rc = cli_fail(NULL, err);
    return err->code == AIOS_EINVAL ? EXIT_USAGE : rc;
}

int cli_ctx(const cli *c, aios_ctx **ctx)
{
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    if (aios_config_from_env(&cfg, &err))
        return fail_settings(&err);
    if (c->cpu)
        cfg.cpu = c->cpu;
    if (c->threads)
        cfg.n_threads = (uint32_t)c->threads;
    int rc = c->budget ? parse_bytes("budget", c->budget, &cfg.budget) : 0;
    if (rc)
        return rc;
    if (c->verbose) {
        cfg.log = log_line;
        cfg.log_level = AIOS_LOG_INFO;
    }
    rc = aios_ctx_new(&cfg, ctx, &err);
    return rc ? fail_settings(&err) : 0;
}

static int show_progress(void *user, double part)
{
    int filled = (int)(part * 24);
    (void)user;
    if (part >= 1)
        cli_bar_erase();
    else if (atomic_exchange(&bar, filled) != filled)
        fprintf(stderr, "\rloading [%.*s%.*s] %3d%%", filled, "########################", 24 - filled, "........................",
                (int)(part * 100));
    return cli_interrupted();
}

/* Where packed weights are kept: --cache off, auto (the default) or a folder. */
static const char *cache_dir(const cli *c)
{
    static char path[4096];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (c->cache && !strcmp(c->cache, "off"))
        return NULL;
    if (c->cache && strcmp(c->cache, "auto"))
        return c->cache;
    if (cache && *cache)
        snprintf(path, sizeof path, "%s/aios/packed", cache);
    else if (home && *home)
        snprintf(path, sizeof path, "%s/.cache/aios/packed", home);
    return *path ? path : NULL;
}

int cli_model_fail(const cli *c, const aios_error *err)
{
    int rc = cli_fail(NULL, err);
    if (!c->model && !c->json && err->code == AIOS_ENOENT)
        fputs("hint: scripts/quickstart fetches the default model; or name one with -m FILE or AIOS_MODEL\n", stderr);
    return rc == EXIT_NETWORK || rc == EXIT_TIMEOUT || rc == EXIT_INTERRUPT ? rc : EXIT_MODEL;
}

static void tell_model(const aios_model *m, const aios_ctx *ctx)
{
    aios_model_info i = AIOS_INIT(aios_model_info);
    aios_cpu_info cpu = AIOS_INIT(aios_cpu_info);
    static const char *const where[] = {"on this machine", "on this network", "remote"};
    if (aios_model_info_get(m, &i))
        return;
    const char *name = i.name && *i.name ? i.name : "the server's model", *place = where[i.privacy > 0 && i.privacy < 3 ? i.privacy : 0];
    if (!i.n_params && i.n_ctx)
        fprintf(stderr, "info: %s: backend %s, %s, context %u\n", name, i.backend, place, i.n_ctx);
    else if (!i.n_params)
        fprintf(stderr, "info: %s: backend %s, %s, context not known\n", name, i.backend, place);
    else if (!aios_cpu_info_get(ctx, &cpu))
        fprintf(stderr, "info: %s: %s %s, %.1f M parameters, context %u, %u threads, %s\n", i.name ? i.name : "?",
                i.architecture ? i.architecture : "", i.quantization ? i.quantization : "", (double)i.n_params / 1e6, i.n_ctx, i.n_threads, cpu.isa);
}

/* How a remote model is reached: by options and the standard variables. */
static int remote_config(const cli *c, const char *uri, aios_remote_config *out)
{
    aios_error err = AIOS_INIT(aios_error);
    out->ca_file = c->ca_file;
    out->proxy = c->proxy;
    out->flags = c->plain_http ? AIOS_REMOTE_PLAIN_HTTP : 0;
    if (c->api_key_env && (!(out->api_key = getenv(c->api_key_env)) || !*out->api_key))
        return cli_usage("--api-key-env: the environment has no variable %s, or it is empty", c->api_key_env);
    return aios_remote_config_from_env(uri, out, &err) ? fail_settings(&err) : 0;
}

/* Whoever holds keys leaves no core dump, which would hold libcurl's copies of them too; a router's file may name some. */
static void hide_keys(const char *uri, const aios_remote_config *remote)
{
    if (remote->api_key || remote->proxy || !strncmp(uri, "route:", 6))
        prctl(PR_SET_DUMPABLE, 0);
}

int cli_model(const cli *c, aios_ctx **ctx, aios_model **m)
{
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_error err = AIOS_INIT(aios_error);
    const char *path = cli_model_path(c);
    int rc = c->cache_size ? parse_bytes("cache-size", c->cache_size, &cfg.cache_bytes) : 0;
    rc = rc ? rc : remote_config(c, path, &remote);
    rc = rc || *ctx ? rc : cli_ctx(c, ctx);
    if (rc)
        return rc;
    hide_keys(path, &remote);
    cfg.n_ctx = (uint32_t)c->n_ctx;
    cfg.kv_bits = (uint32_t)c->kv_bits;
    cfg.n_threads = (uint32_t)c->threads;
    cfg.use_mmap = c->mmap;
    cfg.cache_dir = cache_dir(c);
    cfg.remote = &remote;
    if (!c->quiet && isatty(STDERR_FILENO))
        cfg.progress = show_progress;
    rc = aios_model_open(*ctx, path, &cfg, m, &err) ? cli_model_fail(c, &err) : 0;
    cli_bar_erase();
    if (!rc && c->verbose)
        tell_model(*m, *ctx);
    if (rc) {
        aios_ctx_free(*ctx);
        *ctx = NULL;
    }
    return rc;
}

void cli_sampling(const cli *c, aios_sampling *s)
{
    *s = (aios_sampling)AIOS_INIT(aios_sampling);
    s->temperature = (float)c->temp;
    s->top_k = (uint32_t)c->top_k;
    s->top_p = (float)c->top_p;
    s->min_p = (float)c->min_p;
    s->repeat_penalty = (float)c->repeat_penalty;
    s->seed = (uint64_t)c->seed;
    if (c->seed_set && !c->seed)
        s->seed = 0x9e3779b97f4a7c15u; /* 0 would mean a random one */
}

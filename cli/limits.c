/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of the machine beside the work of a model, measured in a process of its own, so that neither memory nor threads of the
 * measured one are touched. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static double macs_of(const json_t *shape)
{
    return (double)json_integer_value(json_array_get(shape, 0)) * (double)json_integer_value(json_array_get(shape, 1));
}

/* Matrices of the layers, and of the head: the embedding where it is tied. */
static void add_tensor(cli_limits *l, const json_t *t, bool *own_head)
{
    const char *name = json_string_value(json_object_get(t, "name"));
    const json_t *shape = json_object_get(t, "shape");
    double bytes = (double)json_integer_value(json_object_get(t, "bytes"));
    if (!name || json_array_size(shape) != 2)
        return;
    if (!strncmp(name, "blk.", 4)) {
        l->layer_macs += macs_of(shape);
        l->layer_bytes += bytes;
    } else if (!strcmp(name, "output.weight") || (!*own_head && !strcmp(name, "token_embd.weight"))) {
        *own_head = !strcmp(name, "output.weight");
        l->head_macs = macs_of(shape);
        l->head_bytes = bytes;
    }
}

static void read_work(const cli *c, aios_ctx *ctx, cli_limits *l)
{
    cli_text t = {0};
    bool own_head = false;
    int rc = aios_model_inspect(ctx, cli_model_path(c), cli_gather, &t, NULL);
    json_t *doc = rc ? NULL : json_loadb(t.p, t.n, 0, NULL), *tensors = json_object_get(doc, "tensors"), *one;
    size_t i;
    json_array_foreach(tensors, i, one)
        add_tensor(l, one, &own_head);
    json_decref(doc);
    free(t.p);
}

/* Probes once for each byte that comes, until the other end is closed. */
static void serve(const cli *c, int in, int out)
{
    aios_ctx *ctx = NULL;
    cli_limits l = {0};
    char go;
    if (cli_ctx(c, &ctx))
        return;
    read_work(c, ctx, &l);
    while (read(in, &go, 1) == 1) {
        l.rates = (aios_cpu_rates)AIOS_INIT(aios_cpu_rates);
        aios_cpu_probe(ctx, &l.rates, NULL);
        if (write(out, &l, sizeof l) != sizeof l)
            break;
    }
    aios_ctx_free(ctx);
}

bool cli_prober_start(const cli *c, cli_prober *p)
{
    int to[2], from[2];
    p->pid = -1;
    if (pipe(to))
        return false;
    if (pipe(from) || (p->pid = fork()) < 0) {
        close(to[0]), close(to[1]);
        return false;
    }
    if (!p->pid) {
        close(to[1]), close(from[0]);
        serve(c, to[0], from[1]);
        _exit(0);
    }
    close(to[0]), close(from[1]);
    p->to = to[1], p->from = from[0];
    return true;
}

bool cli_prober_ask(const cli_prober *p, cli_limits *out)
{
    return p->pid > 0 && write(p->to, "", 1) == 1 && read(p->from, out, sizeof *out) == sizeof *out;
}

void cli_prober_stop(cli_prober *p)
{
    if (p->pid <= 0)
        return;
    close(p->to), close(p->from);
    waitpid(p->pid, NULL, 0);
}

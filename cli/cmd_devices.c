/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

static const char *const types[] = {"?", "cpu", "gpu", "other"};
static const char *const thp[] = {"never", "madvise", "always"};

static json_t *devices_json(aios_ctx *ctx)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < aios_device_count(ctx); i++) {
        aios_device_info d = AIOS_INIT(aios_device_info);
        if (aios_device_info_get(aios_device_at(ctx, i), &d))
            continue;
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:I,s:I,s:i}", "name", d.name, "description", d.description, "type",
                                              types[d.type & 3], "memory_total", (json_int_t)d.memory_total, "memory_free",
                                              (json_int_t)d.memory_free, "units", (int)d.n_units));
    }
    return list;
}

static json_t *cpu_json(const aios_cpu_info *i)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "vendor", i->vendor, "model", i->model, "isa", i->isa,
                     "isa_best", i->isa_best, "source", i->source, "packages", (int)i->n_packages, "cores", (int)i->n_cores, "cpus",
                     (int)i->n_cpus, "allowed", (int)i->n_allowed, "numa_nodes", (int)i->n_numa, "quota_millicpu",
                     (int)i->quota_millicpu, "usable", (int)i->n_usable, "l1d", (json_int_t)i->l1d, "l2", (json_int_t)i->l2, "l3",
                     (json_int_t)i->l3, "memory_total", (json_int_t)i->memory_total, "memory_limit", (json_int_t)i->memory_limit,
                     "memory_free", (json_int_t)i->memory_free, "transparent_huge_pages", thp[i->thp % 3]);
}

static void print_rates(const char *who, double read, double f32, double int8, double bf16)
{
    printf("rates   %s: read %.1f GB/s, f32 %.1f GFLOP/s, int8 %.1f GOP/s", who, read / 1e9, f32 / 1e9, int8 / 1e9);
    if (bf16 > 0)
        printf(", bf16 %.1f GFLOP/s", bf16 / 1e9);
    putchar('\n');
}

static json_t *rates_json(const aios_cpu_rates *r)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "read_bytes_per_s", r->read_bytes_per_s, "f32_flop_per_s", r->f32_flop_per_s,
                     "int8_op_per_s", r->int8_op_per_s, "bf16_flop_per_s", r->bf16_flop_per_s, "read_bytes_per_s_1", r->read_bytes_per_s_1,
                     "f32_flop_per_s_1", r->f32_flop_per_s_1, "int8_op_per_s_1", r->int8_op_per_s_1, "bf16_flop_per_s_1",
                     r->bf16_flop_per_s_1);
}

static void print_text(aios_ctx *ctx, const aios_cpu_info *i, const aios_cpu_rates *r)
{
    printf("cpu     %s (%s)\n", i->model, i->vendor);
    printf("isa     %s%s%s%s\n", i->isa, strcmp(i->isa, i->isa_best) ? " (capped; best: " : "", strcmp(i->isa, i->isa_best) ? i->isa_best : "",
           strcmp(i->isa, i->isa_best) ? ")" : "");
    printf("cores   %u in %u package(s), %u NUMA node(s), %u CPUs, %u usable", i->n_cores, i->n_packages, i->n_numa, i->n_cpus, i->n_usable);
    if (i->quota_millicpu)
        printf(", quota %.2f CPU", i->quota_millicpu / 1000.0);
    printf("\ncaches  L1d %llu KiB, L2 %llu KiB, L3 %llu KiB\n", (unsigned long long)i->l1d >> 10, (unsigned long long)i->l2 >> 10,
           (unsigned long long)i->l3 >> 10);
    printf("memory  %.1f GiB, %.1f usable, %.1f free; transparent huge pages: %s\n", (double)i->memory_total / 1073741824.0,
           (double)i->memory_limit / 1073741824.0, (double)i->memory_free / 1073741824.0, thp[i->thp % 3]);
    for (uint32_t k = 0; k < aios_device_count(ctx); k++) {
        aios_device_info d = AIOS_INIT(aios_device_info);
        aios_device_info_get(aios_device_at(ctx, k), &d);
        printf("device  %u: %s (%s), %u units\n", k, d.name, d.description, d.n_units);
    }
    if (r->read_bytes_per_s > 0) {
        print_rates("all threads", r->read_bytes_per_s, r->f32_flop_per_s, r->int8_op_per_s, r->bf16_flop_per_s);
        print_rates("one thread", r->read_bytes_per_s_1, r->f32_flop_per_s_1, r->int8_op_per_s_1, r->bf16_flop_per_s_1);
    }
}

int cmd_devices(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_cpu_info info = AIOS_INIT(aios_cpu_info);
    aios_cpu_rates rates = AIOS_INIT(aios_cpu_rates);
    int rc = cli_ctx(c, &ctx);
    if (rc)
        return rc;
    aios_cpu_info_get(ctx, &info);
    if (c->probe && aios_cpu_probe(ctx, &rates, &err)) {
        rc = cli_fail("probe", &err);
    } else if (c->json) {
        json_t *o = json_pack("{s:o,s:o}", "cpu", cpu_json(&info), "devices", devices_json(ctx));
        if (c->probe)
            json_object_set_new(o, "rates", rates_json(&rates));
        cli_print_json(o);
    } else {
        print_text(ctx, &info, &rates);
    }
    aios_ctx_free(ctx);
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutates whole models: fuzz_model [ROUNDS [SEED]]. Each is opened, and where that succeeds computes a turn with a template,
 * tools and a grammar. Whatever a file says, calls end with a code and a text.
 */
#include <stdio.h>
#include <unistd.h>

#include <aios/aios.h>

#include "backend/gguf/file.h"
#include "fuzz.h"
#include "net_make.h"

static const char tmpl[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>\n{% endfor %}{% if tools %}{{ tools|tojson }}{% endif %}";
static const char *const archs[] = {"llama", "qwen2", "qwen3", "gemma3"};
static const uint64_t bad_ints[] = {0, 1, 2, 7, 8, 16, 24, 31, 255, 1000, 65536, 0x7fffffff, 0xffffffffu, 1ull << 32, 1ull << 63, UINT64_MAX};
static char path[64];
/* Most changes go where the metadata is: of random weights one bit more or less says nothing. */
static size_t mutate(uint8_t *p, size_t n, size_t n_meta)
{
    for (uint64_t k = 1 + rng() % 3; k; k--) {
        size_t end = rng() % 8 ? n_meta : n, at = rng() % (end - 8);
        uint64_t v = bad_ints[rng() % (sizeof bad_ints / sizeof *bad_ints)];
        switch (rng() % 4) {
        case 0:
            p[at] = (uint8_t)(p[at] ^ 1u << rng() % 8);
            break;
        case 1:
            memcpy(p + at, &v, 4);
            break;
        case 2:
            memcpy(p + at, &v, 1);
            break;
        default:
            if (rng() % 16 == 0)
                n = n_meta + rng() % (n - n_meta);
            else
                p[at] = (uint8_t)rng();
        }
    }
    return n;
}

/* Where the data of the tensors begins. */
static size_t find_data(aios_ctx *ctx, const net_make *m)
{
    aios__gguf *g = NULL;
    uint64_t first = m->n;
    if (aios__gguf_open_mem(ctx, m->p, m->n, "seed", &g, NULL))
        return 0;
    for (uint32_t i = 0; i < aios__gguf_tensor_count(g); i++)
        first = aios__gguf_tensor_at(g, i)->offset < first ? aios__gguf_tensor_at(g, i)->offset : first;
    aios__gguf_close(g);
    return (size_t)first;
}

static int failed_well(int rc, const aios_error *err)
{
    if (rc < 0 && rc == err->code && err->msg[0] && rc != AIOS_EINTERNAL)
        return 0;
    fprintf(stderr, "code %d, error %d: %s\n", rc, err->code, err->msg);
    return 1;
}

/* A turn of a few tokens. */
static int speak(aios_model *m, aios_transcript *t, uint32_t kind)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_tool_def tool = AIOS_INIT(aios_tool_def);
    aios_sampling sampling = AIOS_INIT(aios_sampling);
    aios_request r = AIOS_INIT(aios_request);
    aios_session *s = NULL;
    const aios_event *ev;
    tool.name = "add";
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}";
    sampling.temperature = kind & 1 ? 1.0f : 0;
    sampling.seed = 7;
    r.transcript = t;
    r.tools = &tool;
    r.n_tools = kind & 2 ? 1 : 0;
    r.tool_stride = sizeof tool;
    r.tool_choice = kind & 4 && r.n_tools ? AIOS_TOOLS_REQUIRED : AIOS_TOOLS_AUTO;
    r.max_tokens = 12;
    r.sampling = &sampling;
    int rc = aios_session_new(m, NULL, &s, &err), bad = 0;
    rc = rc ? rc : aios_session_start(s, &r, &err);
    if (rc)
        bad = failed_well(rc, &err);
    while (!rc && aios_session_next(s, -1, &ev) == AIOS_OK)
        if (ev->type == AIOS_EVENT_ERROR && ev->error->code != AIOS_EINTERNAL)
            bad |= failed_well(ev->error->code, ev->error);
    aios_session_free(s);
    return bad;
}

static int try_file(aios_ctx *ctx, aios_transcript *t, const uint8_t *p, size_t n, long *opened)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_model *m = NULL;
    char uri[80];
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f))
        return 2;
    snprintf(uri, sizeof uri, "gguf:%s", path);
    cfg.n_threads = 1;
    int rc = aios_model_open(ctx, uri, &cfg, &m, &err);
    if (rc)
        return failed_well(rc, &err);
    ++*opened;
    rc = speak(m, t, (uint32_t)rng());
    aios_model_close(m);
    return rc;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 300, opened = 0;
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_ctx *ctx = NULL;
    aios_transcript *t = NULL;
    net_make seeds[4];
    size_t n_meta[4];
    int bad = 0;
    state = argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 0x9e3779b97f4a7c15u;
    cfg.budget = 256u << 20;
    snprintf(path, sizeof path, "%s", "aios-fuzz-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) || aios_ctx_new(&cfg, &ctx, NULL) || aios_transcript_new(ctx, &t, NULL) ||
        aios_transcript_add_text(t, AIOS_ROLE_USER, "1 and 2 </s> <|im_end|>", AIOS_CSTR, NULL))
        return 2;
    for (int i = 0; i < 4; i++) {
        seeds[i] = (net_make){.arch = archs[i], .dtype = i % 2 ? 8 : 2, .template_text = tmpl, .tied = i % 2, .n_ctx = 1024};
        net_build(&seeds[i]);
        n_meta[i] = find_data(ctx, &seeds[i]);
        bad |= n_meta[i] < 64 || n_meta[i] >= seeds[i].n;
    }
    uint8_t *copy = malloc(seeds[0].n + seeds[1].n + seeds[2].n + seeds[3].n);
    for (long i = 0; copy && i < rounds && !bad; i++) {
        size_t which = rng() % 4;
        const net_make *m = &seeds[which];
        memcpy(copy, m->p, m->n);
        size_t n = i < 4 ? m->n : mutate(copy, m->n, n_meta[which]);
        bad = try_file(ctx, t, copy, n, &opened);
        if (bad)
            fprintf(stderr, "round %ld\n", i);
    }
    printf("%ld of %ld opened\n", opened, rounds);
    unlink(path);
    free(copy);
    for (int i = 0; i < 4; i++)
        free(seeds[i].p);
    aios_transcript_free(t);
    aios_ctx_free(ctx);
    return bad || opened < 4;
}

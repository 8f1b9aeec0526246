/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tool calls and values under a schema beside free text of the same model behind the same prompt: bench_grammar MODEL.gguf [ROUNDS] [TEMPERATURE].
 * A JSON line a task and one for all. Tokens per second count the whole turn from aios_session_start on, the prompt being cached: that is compiling
 * the grammar, masks, and every pass. Rounds are interleaved: constrained, free with as many tokens, constrained ...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aios/aios.h>

#include "bench.h"

enum { ROUNDS_MAX = 101, MOST_TOKENS = 160 };

#define OBJECT(props, required) "{\"type\":\"object\",\"properties\":{" props "},\"required\":[" required "],\"additionalProperties\":false}"

static const char weather[] = OBJECT("\"location\":{\"type\":\"string\",\"description\":\"City and country\"},"
                                     "\"unit\":{\"type\":\"string\",\"enum\":[\"celsius\",\"fahrenheit\"]},"
                                     "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14}",
                                     "\"location\",\"unit\",\"days\"");
static const char flights[] = OBJECT("\"origin\":{\"type\":\"string\",\"description\":\"City of departure\"},"
                                     "\"destination\":{\"type\":\"string\",\"description\":\"City of arrival\"},"
                                     "\"passengers\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},"
                                     "\"cabin_class\":{\"type\":\"string\",\"enum\":[\"economy\",\"business\",\"first\"]},"
                                     "\"direct_only\":{\"type\":\"boolean\"}",
                                     "\"origin\",\"destination\",\"passengers\",\"cabin_class\",\"direct_only\"");
static const char email[] = OBJECT("\"recipient\":{\"type\":\"string\"},\"subject\":{\"type\":\"string\",\"maxLength\":80},"
                                   "\"body\":{\"type\":\"string\",\"maxLength\":300},\"priority\":{\"type\":\"string\",\"enum\":[\"low\",\"normal\",\"high\"]}",
                                   "\"recipient\",\"subject\",\"body\"");
static const char ticket[] = OBJECT("\"title\":{\"type\":\"string\",\"maxLength\":80},\"severity\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":5},"
                                    "\"labels\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":[\"bug\",\"crash\",\"network\",\"ui\"]},\"minItems\":1,\"maxItems\":3},"
                                    "\"assignee\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":40},\"team\":{\"type\":\"string\",\"maxLength\":40}},"
                                    "\"required\":[\"name\",\"team\"],\"additionalProperties\":false}",
                                    "\"title\",\"severity\",\"labels\",\"assignee\"");

static const struct {
    const char *name, *description, *schema;
} all_tools[] = {
    {"get_weather", "Weather forecast for a city", weather},
    {"search_flights", "Searches flights between two cities", flights},
    {"send_email", "Sends an email", email},
    {"create_ticket", "Files a ticket", ticket},
};
enum { N_TOOLS = sizeof all_tools / sizeof *all_tools };

static const struct {
    const char *name, *prompt;
    const char *schema; /* NULL: a call of one of the tools */
} tasks[] = {
    {"call_weather", "What will the weather be in Paris, France, during the next 3 days? In celsius please.", NULL},
    {"call_flights", "Find direct flights from Berlin to Lisbon for two passengers in economy class.", NULL},
    {"call_email", "Send an email to anna@example.org that says that the meeting is moved to Monday at ten.", NULL},
    {"call_ticket", "File a ticket: the program crashes when the network is down. Severity 4, for Maria of the platform team.", NULL},
    {"json_flights", "Extract as JSON: two passengers want direct flights from Berlin to Lisbon in economy class.", flights},
    {"json_ticket", "Write a ticket as JSON: the program crashes when the network is down. Severity 4, for Maria of the platform team.", ticket},
};
enum { N_TASKS = sizeof tasks / sizeof *tasks };

/* What the rounds of a task gave. */
typedef struct figures {
    double made[ROUNDS_MAX], free[ROUNDS_MAX]; /* tokens a second */
    aios_usage usage, free_usage;
    double grammar_ms, wall_ms;
    char text[4096];
} figures;

static aios_sampling sampling = AIOS_INIT(aios_sampling);

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return v[n / 2];
}

/* A turn of a session of its own, which knows nothing of the rounds before; its milliseconds. */
static double turn(aios_model *m, const aios_request *q, aios_usage *usage, char *text, size_t cap)
{
    aios_error err = AIOS_INIT(aios_error);
    const aios_event *ev;
    aios_session *s = NULL;
    size_t n = 0;
    must(aios_session_new(m, NULL, &s, &err), &err);
    double begin = now_us();
    must(aios_session_start(s, q, &err), &err);
    while (aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_USAGE)
            *usage = *ev->usage;
        if (ev->type == AIOS_EVENT_ERROR)
            must(ev->error->code, ev->error);
        if (text && n < cap && (ev->type == AIOS_EVENT_TEXT || ev->type == AIOS_EVENT_CALL))
            n += (size_t)snprintf(text + n, cap - n, "%s%s", ev->type == AIOS_EVENT_CALL ? ev->name : "", ev->text);
    }
    double ms = (now_us() - begin) / 1e3;
    aios_session_free(s);
    return ms;
}

struct rendered {
    char text[16384];
    size_t n;
};

static int add_text(void *user, const void *p, size_t n)
{
    struct rendered *r = user;
    if (n >= sizeof r->text - r->n)
        return AIOS_ELIMIT;
    memcpy(r->text + r->n, p, n);
    r->text[r->n += n] = 0;
    return AIOS_OK;
}

static void run_task(aios_ctx *ctx, aios_model *m, uint32_t i, uint32_t rounds, figures *f)
{
    static struct rendered prompt;
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *chat = NULL;
    aios_tool_def tools[N_TOOLS];
    aios_request q = AIOS_INIT(aios_request), plain = AIOS_INIT(aios_request);
    for (uint32_t t = 0; t < N_TOOLS; t++) {
        tools[t] = (aios_tool_def)AIOS_INIT(aios_tool_def);
        tools[t].name = all_tools[t].name;
        tools[t].description = all_tools[t].description;
        tools[t].schema_json = all_tools[t].schema;
    }
    must(aios_transcript_new(ctx, &chat, &err), &err);
    must(aios_transcript_add_text(chat, AIOS_ROLE_USER, tasks[i].prompt, AIOS_CSTR, &err), &err);
    q.transcript = chat;
    q.sampling = plain.sampling = &sampling;
    q.max_tokens = MOST_TOKENS;
    q.schema_json = tasks[i].schema;
    if (!tasks[i].schema) {
        q.tools = tools;
        q.tool_stride = sizeof *tools;
        q.n_tools = N_TOOLS;
        q.tool_choice = AIOS_TOOLS_REQUIRED;
        q.flags = AIOS_REQUEST_ONE_CALL;
    }
    prompt.n = 0;
    must(aios_model_render(m, &q, add_text, &prompt, &err), &err);
    plain.raw = prompt.text;
    plain.n_raw = prompt.n;
    plain.flags = AIOS_REQUEST_IGNORE_EOS;
    for (uint32_t r = 0; r <= rounds; r++) {
        double ms = turn(m, &q, &f->usage, f->text, sizeof f->text), free_ms;
        plain.max_tokens = f->usage.output;
        free_ms = turn(m, &plain, &f->free_usage, NULL, 0);
        if (!r) /* the prompt is computed, the trie of the tokens made */
            continue;
        f->made[r - 1] = 1e3 * f->usage.output / ms;
        f->free[r - 1] = 1e3 * f->free_usage.output / free_ms;
        f->grammar_ms += (double)f->usage.grammar_ns / 1e6;
        f->wall_ms += ms;
    }
    aios_transcript_free(chat);
}

static void tell(const char *model, const char *task, const figures *f, double made, double plain, uint32_t rounds)
{
    printf("{\"bench\":\"grammar\",\"model\":\"%s\",\"task\":\"%s\",\"n\":%u,\"temperature\":%.2g,\"tokens\":%u,\"forced\":%u,\"passes\":%u,\"drafted\":%u,\"accepted\":%u,"
           "\"free_passes\":%u,\"grammar_part\":%.4f,\"tokens_per_s\":%.1f,\"free_tokens_per_s\":%.1f,\"ratio\":%.3f}\n",
           model, task, rounds, (double)sampling.temperature, f->usage.output, f->usage.forced, f->usage.passes, f->usage.drafted, f->usage.accepted,
           f->free_usage.passes, f->grammar_ms / f->wall_ms, made, plain, made / plain);
}

static void add_up(figures *sum, const figures *f)
{
    sum->usage.output += f->usage.output;
    sum->usage.forced += f->usage.forced;
    sum->usage.passes += f->usage.passes;
    sum->usage.drafted += f->usage.drafted;
    sum->usage.accepted += f->usage.accepted;
    sum->free_usage.passes += f->free_usage.passes;
    sum->grammar_ms += f->grammar_ms;
    sum->wall_ms += f->wall_ms;
}

int main(int argc, char **argv)
{
    static figures f[N_TASKS], sum;
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_model_info info = AIOS_INIT(aios_model_info);
    const char *path = argc > 1 ? argv[1] : getenv("AIOS_MODEL");
    uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 5;
    double made_s = 0, free_s = 0;
    if (!path) {
        fputs("usage: bench_grammar MODEL.gguf [ROUNDS] [TEMPERATURE]\n", stderr);
        return 77; /* skipped */
    }
    rounds = rounds < 1 ? 1 : rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    sampling.temperature = argc > 3 ? strtof(argv[3], NULL) : 0;
    sampling.top_k = 40;
    sampling.seed = 1;
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    must(aios_model_open(ctx, path, NULL, &m, &err), &err);
    aios_model_info_get(m, &info);
    for (uint32_t i = 0; i < N_TASKS; i++) {
        run_task(ctx, m, i, rounds, &f[i]);
        double made = median(f[i].made, rounds), plain = median(f[i].free, rounds);
        tell(info.name, tasks[i].name, &f[i], made, plain, rounds);
        if (getenv("BENCH_TEXT"))
            fprintf(stderr, "%s\n", f[i].text);
        made_s += f[i].usage.output / made;
        free_s += f[i].usage.output / plain;
        add_up(&sum, &f[i]);
    }
    tell(info.name, "all", &sum, sum.usage.output / made_s, sum.usage.output / free_s, rounds);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Options: one table of all, each command names those it takes. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum kind { FLAG, TEXT, LONG, REAL, SEED, LIST };

static const struct option_row {
    const char *name;
    char letter;
    enum kind kind;
    size_t at;
    double min, max;
    const char *value, *help;
} rows[] = {
    {"model", 'm', TEXT, offsetof(cli, model), 0, 0, "M", "model: a .gguf file, openai:MODEL, http://HOST/v1#MODEL, route:FILE ... (docs/remote.md)"},
    {"threads", 't', LONG, offsetof(cli, threads), 1, 1024, "N", "compute threads (default: usable cores)"},
    {"ctx", 'c', LONG, offsetof(cli, n_ctx), 1, 16777216, "N", "context in tokens (default: the model's, at most 8192)"},
    {"kv-bits", 0, LONG, offsetof(cli, kv_bits), 4, 16, "N", "bits of a cached key or value element: 16 (default), 8, 4"},
    {"cpu", 0, TEXT, offsetof(cli, cpu), 0, 0, "LEVEL", "cap of the instruction set: scalar; avx2, avx512, avx512vnni; neon, dotprod, i8mm"},
    {"budget", 0, TEXT, offsetof(cli, budget), 0, 0, "BYTES", "hard memory budget, with K, M or G"},
    {"mmap", 0, FLAG, offsetof(cli, mmap), 0, 0, NULL, "map weights, shared with other processes (trusted files only)"},
    {"cache", 0, TEXT, offsetof(cli, cache), 0, 0, "DIR", "folder of packed weights; auto: ~/.cache/aios/packed (default), off: none"},
    {"cache-size", 0, TEXT, offsetof(cli, cache_size), 0, 0, "BYTES", "most of it, with K, M or G (default 8G, or a fifth of the disk's room)"},
    {"quiet", 'q', FLAG, offsetof(cli, quiet), 0, 0, NULL, "no progress bar, no statistics"},
    {"json", 0, FLAG, offsetof(cli, json), 0, 0, NULL, "output and failures as lines of JSON"},
    {"verbose", 'v', FLAG, offsetof(cli, verbose), 0, 0, NULL, "log and statistics on standard error, terminal or not"},
    {"predict", 'n', LONG, offsetof(cli, n_predict), 1, 16777216, "N", "tokens to generate at most (default 1024; bench: 128)"},
    {"temp", 0, REAL, offsetof(cli, temp), 0, 100, "T", "temperature; 0: the likeliest token (default)"},
    {"seed", 's', SEED, offsetof(cli, seed), 0, 0, "S", "seed of the sampler"},
    {"top-k", 0, LONG, offsetof(cli, top_k), 0, 16777216, "K", "sample among the K likeliest"},
    {"top-p", 0, REAL, offsetof(cli, top_p), 0, 1, "P", "sample among the likeliest that sum to P"},
    {"min-p", 0, REAL, offsetof(cli, min_p), 0, 1, "P", "drop tokens below P times the likeliest"},
    {"repeat-penalty", 0, REAL, offsetof(cli, repeat_penalty), 0, 10, "R", "penalty on recent tokens; 1: none"},
    {"schema", 0, TEXT, offsetof(cli, schema), 0, 0, "FILE", "JSON under this JSON schema"},
    {"regex", 0, TEXT, offsetof(cli, regex), 0, 0, "RE", "the text matches this regular expression"},
    {"gbnf", 0, TEXT, offsetof(cli, gbnf), 0, 0, "FILE", "a GBNF grammar, whatever its name"},
    {"lark", 0, TEXT, offsetof(cli, lark), 0, 0, "FILE", "a Lark grammar, whatever its name"},
    {"grammar", 0, TEXT, offsetof(cli, grammar), 0, 0, "FILE", "the reply is a sentence of this grammar: .json (schema), .re, .gbnf, .lark"},
    {"count", 'n', LONG, offsetof(cli, count), 1, 1e9, "N", "sentences (default 1)"},
    {"null", '0', FLAG, offsetof(cli, null), 0, 0, NULL, "a NUL byte behind each sentence instead of a line end"},
    {"max-bytes", 0, LONG, offsetof(cli, max_bytes), 1, 1e8, "N", "of a sentence (default 2000)"},
    {"system", 0, TEXT, offsetof(cli, system), 0, 0, "TEXT", "system message"},
    {"load-session", 0, TEXT, offsetof(cli, load_session), 0, 0, "FILE", "begin with what such a file holds of the prompt"},
    {"save-session", 0, TEXT, offsetof(cli, save_session), 0, 0, "FILE", "keep what was computed, prompt and reply, in a file"},
    {"raw", 0, FLAG, offsetof(cli, raw), 0, 0, NULL, "complete the text as it is, without the chat template"},
    {"logprobs", 0, LONG, offsetof(cli, n_top), 1, 20, "N", "with --json: how likely each token was, and the N likeliest in its place"},
    {"ignore-eos", 0, FLAG, offsetof(cli, ignore_eos), 0, 0, NULL, "go on after the end token"},
    {"no-special", 0, FLAG, offsetof(cli, no_special), 0, 0, NULL, "texts of special tokens stay text"},
    {"bos", 0, FLAG, offsetof(cli, bos), 0, 0, NULL, "add what the model adds at the beginning"},
    {"tools", 0, TEXT, offsetof(cli, tools), 0, 0, "FILE", "your own tools, a JSON array of them: see below"},
    {"require", 0, FLAG, offsetof(cli, require), 0, 0, NULL, "the first turn must call a tool"},
    {"allow", 0, LIST, offsetof(cli, allow), 0, 0, "NAME", "run this tool without asking (repeatable); not a call that may have happened already: --wait"},
    {"label", 0, LIST, offsetof(cli, labels), 0, 0, "CLASS", "what the prompt holds: private, a class of the route: file, or 0 to 63 (repeatable)"},
    {"policy", 0, TEXT, offsetof(cli, policy), 0, 0, "FILE", "what tools may do (docs/policy.md): the rest is denied"},
    {"store", 0, TEXT, offsetof(cli, store), 0, 0, "URI", "where runs are kept, sqlite:FILE: they go on after a crash (docs/durable-runs.md)"},
    {"memory", 0, TEXT, offsetof(cli, memory), 0, 0, "URI", "tools recall, remember, forget over this memory, sqlite:FILE (docs/memory.md)"},
    {"run-id", 0, TEXT, offsetof(cli, run_id), 0, 0, "ID", "name of the run in its store (default: a random one)"},
    {"resume", 0, TEXT, offsetof(cli, resume), 0, 0, "ID", "go on with this run of the store, in place of a prompt"},
    {"changed", 0, FLAG, offsetof(cli, changed), 0, 0, NULL, "resume: also with another model, other tools, schema, sampling or policy than it was begun with"},
    {"wait", 0, FLAG, offsetof(cli, wait), 0, 0, NULL, "calls that are asked about wait for `aios runs approve`, terminal or not (--store sqlite:FILE)"},
    {"whole", 0, FLAG, offsetof(cli, whole), 0, 0, NULL, "with --json: texts whole, and nothing that a journal does not keep (what aios replay prints)"},
    {"audit", 0, FLAG, offsetof(cli, audit), 0, 0, NULL, "with --store: a row of an audit for each record of the run (docs/store.md)"},
    {"audit-key", 0, TEXT, offsetof(cli, audit_key), 0, 0, "FILE", "key that signs the audit: 64 hexadecimal digits, the user's alone"},
    {"anchor", 0, TEXT, offsetof(cli, anchor), 0, 0, "FILE", "where the audit's end is noted, a line each time; to be kept elsewhere"},
    {"state", 0, TEXT, offsetof(cli, state), 0, 0, "STATE", "list: only runs that are in it: model, tools, ask, stopped, done, damaged"},
    {"timeline", 0, FLAG, offsetof(cli, timeline), 0, 0, NULL, "show: the run's steps with their times"},
    {"root", 0, TEXT, offsetof(cli, root), 0, 0, "DIR", "read_file reads below this folder (default: the current one)"},
    {"max-turns", 0, LONG, offsetof(cli, max_turns), 1, 100000, "N", "model turns at most (default 16)"},
    {"max-calls", 0, LONG, offsetof(cli, max_calls), 1, 1e9, "N", "tool calls at most (default 64)"},
    {"max-tokens", 0, LONG, offsetof(cli, max_tokens), 1, 1e12, "N", "tokens of all its turns at most (default 16384)"},
    {"max-cost", 0, REAL, offsetof(cli, max_cost), 0, 1e9, "X", "what all its turns may cost, in the currency of the prices (needs --prices, or a route: file with \"cost\")"},
    {"timeout", 0, REAL, offsetof(cli, timeout), 0.001, 1e9, "S", "seconds of all its lives, those in which it waits to be answered too (default 600)"},
    {"prices", 0, TEXT, offsetof(cli, prices), 0, 0, "IN,OUT[,CACHED]", "of a million tokens (default: as a route: file has them)"},
    {"compact", 0, TEXT, offsetof(cli, compact), 0, 0, "HOW", "when the context is full: drop, summarise or offload (docs/context.md; default: the run ends)"},
    {"no-builtin", 0, FLAG, offsetof(cli, no_builtin), 0, 0, NULL, "without the built-in tools"},
    {"top", 0, LONG, offsetof(cli, top), 0, 100000, "K", "how many tokens to list (logits: the likeliest of each position, default 0; mask: default all)"},
    {"chunk", 0, LONG, offsetof(cli, chunk), 1, 65536, "N", "tokens evaluated together (default: many)"},
    {"prompts", 'p', TEXT, offsetof(cli, prompts), 0, 0, "N,N", "prompt lengths (default 16,64,512)"},
    {"repeat", 'r', LONG, offsetof(cli, repeat), 1, 10000, "R", "repetitions (default 5)"},
    {"depth", 'd', LONG, offsetof(cli, depth), 0, 16777216, "N", "tokens in the cache before each test (default 0)"},
    {"batch", 0, LONG, offsetof(cli, batch), 1, 256, "B", "also decode B sequences together"},
    {"api-key-env", 0, TEXT, offsetof(cli, api_key_env), 0, 0, "VAR", "variable of the environment that holds a remote model's key"},
    {"ca-file", 0, TEXT, offsetof(cli, ca_file), 0, 0, "FILE", "certificates (PEM) that remote models are held against, in place of the system's"},
    {"proxy", 0, TEXT, offsetof(cli, proxy), 0, 0, "URL", "proxy for remote models: http://, https:// or socks5h:// (the environment's is not read)"},
    {"plain-http", 0, FLAG, offsetof(cli, plain_http), 0, 0, NULL, "http:// to other machines too: whoever is between reads all"},
    {"strict", 0, FLAG, offsetof(cli, strict), 0, 0, NULL, "keywords of a schema that nobody knows are errors (check: a warning without it)"},
    {"probe", 0, FLAG, offsetof(cli, probe), 0, 0, NULL, "measure rates (half a second)"},
};

static bool takes(const command *cmd, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = cmd->options; (p = strstr(p, name)); p += n)
        if ((p == cmd->options || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

bool cli_option_at(const command *cmd, size_t i, cli_option *out)
{
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (takes(cmd, rows[k].name) && i-- == 0) {
            *out = (cli_option){.name = rows[k].name, .value = rows[k].value, .help = rows[k].help, .letter = rows[k].letter};
            return true;
        }
    return false;
}

void cli_help(const command *cmd)
{
    printf("usage: aios %s [OPTIONS] %s\n\n%s\n\noptions:\n", cmd->name, cmd->args, cmd->help);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char left[64];
        if (!takes(cmd, rows[i].name))
            continue;
        snprintf(left, sizeof left, "%c%c%s --%s %s", rows[i].letter ? '-' : ' ', rows[i].letter ? rows[i].letter : ' ',
                 rows[i].letter ? "," : " ", rows[i].name, rows[i].value ? rows[i].value : "");
        printf("  %-26s %s\n", left, rows[i].help);
    }
    printf("\nexamples:\n%s", cmd->examples);
}

static int set_number(const struct option_row *r, const char *v, cli *c)
{
    char *end;
    errno = 0;
    if (r->kind == SEED) {
        c->seed = strtoll(v, &end, 10);
        c->seed_set = true;
    } else if (r->kind == LONG) {
        long x = strtol(v, &end, 10);
        if ((double)x < r->min || (double)x > r->max)
            errno = ERANGE;
        memcpy((char *)c + r->at, &x, sizeof x);
    } else {
        double x = strtod(v, &end);
        if (!(x >= r->min && x <= r->max))
            errno = ERANGE;
        memcpy((char *)c + r->at, &x, sizeof x);
    }
    if (end == v || *end || errno)
        return r->kind == SEED ? cli_usage("--seed takes a whole number, not \"%s\"", v)
                               : cli_usage("--%s takes a number from %.15g to %.15g, not \"%s\"", r->name, r->min, r->max, v);
    return 0;
}

static int add(const struct option_row *r, cli_list *list, const char *v)
{
    if (list->n == CLI_MAX_LIST)
        return cli_usage("--%s at most %d times", r->name, CLI_MAX_LIST);
    list->at[list->n++] = v;
    return 0;
}

static int set_option(const struct option_row *r, const char *v, cli *c)
{
    if (r->kind == FLAG)
        *(bool *)((char *)c + r->at) = true;
    else if (r->kind == TEXT)
        memcpy((char *)c + r->at, &v, sizeof v);
    else if (r->kind != LIST)
        return set_number(r, v, c);
    else
        return add(r, (cli_list *)(void *)((char *)c + r->at), v);
    return 0;
}

/* What is of one life of a run, or of its prompt, which the store has. */
static bool is_kept(const struct option_row *r)
{
    static const char *const not[] = {"store", "run-id", "resume", "quiet", "json", "verbose", "whole", "wait", "timeline", "state", "system", "label"};
    for (size_t i = 0; i < sizeof not / sizeof *not; i++)
        if (!strcmp(not[i], r->name))
            return false;
    return true;
}

int cli_put_word(cli_text *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,@%+-=";
    bool quoted = !*word || *word == '-' || word[strspn(word, plain)];
    int rc = cli_gather(out, quoted ? " '" : " ", quoted ? 2 : 1);
    for (; *word && !rc; word++)
        rc = *word == '\'' ? cli_gather(out, "'\\''", 4) : cli_gather(out, word, 1);
    return rc || !quoted ? rc : cli_gather(out, "'", 1);
}

int cli_put_option(cli_text *out, const char *name, const char *v)
{
    int rc = cli_gather(out, " --", 3);
    rc = rc ? rc : cli_gather(out, name, strlen(name));
    return rc || !v ? rc : cli_put_word(out, v);
}

static int put_option(cli_text *out, const struct option_row *r, const cli *c)
{
    const char *at = (const char *)c + r->at, *text = NULL;
    const cli_list *list = (const void *)at;
    char number[64] = "";
    int rc = 0;
    if (r->kind == FLAG)
        return *(const bool *)at ? cli_put_option(out, r->name, NULL) : 0;
    if (r->kind == LIST) {
        for (int i = 0; i < list->n && !rc; i++)
            rc = cli_put_option(out, r->name, list->at[i]);
        return rc;
    }
    if (r->kind == TEXT)
        memcpy(&text, at, sizeof text);
    else if (r->kind == REAL && *(const double *)(const void *)at != 0)
        snprintf(number, sizeof number, "%.17g", *(const double *)(const void *)at);
    else if (r->kind == LONG && *(const long *)(const void *)at)
        snprintf(number, sizeof number, "%ld", *(const long *)(const void *)at);
    else if (r->kind == SEED && c->seed_set)
        snprintf(number, sizeof number, "%lld", c->seed);
    text = *number ? number : text;
    return text ? cli_put_option(out, r->name, text) : 0;
}

int cli_options_text(const cli *c, cli_text *out)
{
    int rc = c->model ? 0 : cli_put_option(out, "model", cli_model_path(c));
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !rc; i++)
        rc = is_kept(&rows[i]) ? put_option(out, &rows[i], c) : 0;
    return rc;
}

static const struct option_row *find_name(const command *cmd, const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].name) == n && !strncmp(name, rows[i].name, n) && takes(cmd, rows[i].name))
            return &rows[i];
    return NULL;
}

static const struct option_row *find_letter(const command *cmd, char letter)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].letter == letter && takes(cmd, rows[i].name))
            return &rows[i];
    return NULL;
}

static int unknown_option(const command *cmd, const char *a, int n)
{
    const char *names[sizeof rows / sizeof *rows];
    char word[64], meant[CLI_MEANT];
    size_t n_names = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (takes(cmd, rows[i].name))
            names[n_names++] = rows[i].name;
    snprintf(word, sizeof word, "%.*s", n > 2 ? n - 2 : 0, a + (n > 2 ? 2 : 0));
    return cli_usage("aios %s has no option \"%.*s\"%s; `aios %s --help` lists them", cmd->name, n, a,
                     cli_meant(meant, word, names, n_names, "--", ""), cmd->name);
}

/* The value of r: what stands behind it in its own word, or the next word. */
static int take_value(const struct option_row *r, const char *given, int argc, char **argv, int *i, cli *c)
{
    if (!given && *i + 1 == argc)
        return cli_usage("%s needs a value: --%s %s", argv[*i], r->name, r->value);
    return set_option(r, given ? given : argv[++*i], c);
}

static int parse_name(const command *cmd, int argc, char **argv, int *i, cli *c)
{
    const char *a = argv[*i], *eq = strchr(a, '=');
    size_t n = eq ? (size_t)(eq - a) : strlen(a);
    const struct option_row *r = find_name(cmd, a + 2, n - 2);
    if (!r)
        return unknown_option(cmd, a, (int)n);
    if (r->kind == FLAG)
        return eq ? cli_usage("--%s takes no value", r->name) : set_option(r, NULL, c);
    return take_value(r, eq ? eq + 1 : NULL, argc, argv, i, c);
}

/* -q, -n 3, -n3, -qn3. */
static int parse_letters(const command *cmd, int argc, char **argv, int *i, cli *c)
{
    int rc = 0;
    for (const char *p = argv[*i] + 1; *p && !rc; p++) {
        const struct option_row *r = find_letter(cmd, *p);
        if (!r)
            return cli_usage("aios %s has no option \"-%c\"; `aios %s --help` lists them", cmd->name, *p, cmd->name);
        if (r->kind != FLAG)
            return take_value(r, p[1] ? p + 1 : NULL, argc, argv, i, c);
        rc = set_option(r, NULL, c);
    }
    return rc;
}

static bool is_help(const char *a)
{
    return !strcmp(a, "--help") || !strcmp(a, "-h");
}

int cli_parse(const command *cmd, int argc, char **argv, cli *c)
{
    bool only_args = false;
    int rc = 0;
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        c->json |= !strcmp(argv[i], "--json"); /* so that what is wrong before it is told so too */
    if (c->json)
        cli_report_json();
    for (int i = 0; i < argc && !rc; i++) {
        const char *a = argv[i];
        if (only_args || a[0] != '-' || !a[1]) {
            if (c->n_args == CLI_MAX_ARGS)
                return cli_usage("more than %d arguments: quote the prompt", CLI_MAX_ARGS);
            c->args[c->n_args++] = a;
        } else if (!strcmp(a, "--")) {
            only_args = true;
        } else if (is_help(a)) {
            cli_help(cmd);
            return -1;
        } else {
            rc = a[1] == '-' ? parse_name(cmd, argc, argv, &i, c) : parse_letters(cmd, argc, argv, &i, c);
        }
    }
    return rc;
}

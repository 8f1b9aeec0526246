/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of `aios` share. The command line uses libaios through its public headers only. */
#ifndef AIOS_CLI_H
#define AIOS_CLI_H

#include <aios/aios.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/** Exit codes; the table in report.c says which is whose. 65, 70, 77 are those of sysexits, 124 and 130 the shell's. */
enum { EXIT_OK = 0, EXIT_FAIL = 1, EXIT_USAGE = 2, EXIT_MODEL = 3, EXIT_NETWORK = 4, EXIT_CONTEXT = 65, EXIT_BUG = 70, EXIT_DENIED = 77,
       EXIT_TIMEOUT = 124, EXIT_INTERRUPT = 130 };

#define CLI_MAX_LIST 32
#define CLI_MAX_ARGS 4096
#define CLI_MAX_TOKENS 1024 /**< of a reply, without -n */
#define CLI_MEANT 100       /**< bytes of cli_meant */

/** What an option said that may be given several times. */
typedef struct cli_list {
    const char *at[CLI_MAX_LIST + 1];
    int n;
} cli_list;

/** Every option of every command; each command names the ones it takes. */
typedef struct cli {
    const char *model, *cache, *cache_size, *cpu, *budget, *schema, *regex, *gbnf, *lark, *grammar, *tools, *system, *root, *policy, *compact, *store, *memory, *run_id, *resume, *audit_key, *anchor, *state, *file, *load_session, *save_session, *api_key_env, *ca_file, *proxy;
    cli_list allow, labels;
    const char *prompts; /**< bench -p */
    const char *prices;
    const char *args[CLI_MAX_ARGS + 1];
    int n_args;
    long threads, n_ctx, kv_bits, n_predict, top, repeat, batch, depth, top_k, max_turns, max_calls, max_tokens, chunk, count, max_bytes, n_top;
    long long seed;
    double temp, top_p, min_p, repeat_penalty, max_cost, timeout;
    bool json, quiet, raw, no_special, bos, require, probe, mmap, verbose, no_builtin, ignore_eos, null, strict, plain_http, wait, whole, audit, timeline, changed;
    bool seed_set;
} cli;

typedef struct command {
    const char *name, *args, *help, *options; /**< options: short letters and long names, one a word */
    int (*run)(cli *c);
    const char *examples;
} command;

typedef struct cli_option {
    const char *name, *value, *help; /**< value NULL: it takes none */
    char letter;                     /**< 0: none */
} cli_option;

/* main.c */
const command *cli_commands(size_t *n);
/* opts.c */
bool cli_option_at(const command *cmd, size_t i, cli_option *out); /**< the i-th that cmd takes; false: there are no more */
int cli_parse(const command *cmd, int argc, char **argv, cli *c); /**< c begins zeroed; 0, EXIT_USAGE, or -1 after --help */
void cli_help(const command *cmd);
/* report.c */
void cli_report_json(void);                            /**< from now on failures are JSON lines of standard output */
int cli_fail(const char *what, const aios_error *err); /**< prints, returns the exit code of err->code */
int cli_fail_run(const aios_error *err);               /**< of a run, not of a model: as cli_fail, but what is not there or damaged is EXIT_FAIL */
int cli_fail_named(const aios_error *err);             /**< of what an option names (a store, a memory): EXIT_USAGE if it is not there or none */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int cli_no_memory(void);
int cli_exit_code(int code);
void cli_help_exits(FILE *f); /**< the table of exit codes, for --help */
json_t *cli_error_json(const aios_error *err);
int cli_cut_off(uint32_t n_out, uint32_t limit, bool bound); /**< a reply ended at a limit: a failure if a grammar bound it, else a note */
/* meant.c */
/** " (did you mean X?)" in out, X the word of the list that was meant, between before and after; or "". */
const char *cli_meant(char out[CLI_MEANT], const char *word, const char *const *list, size_t n, const char *before, const char *after);
/* out.c */
typedef struct cli_text {
    char *p; /**< malloc'd, NUL behind */
    size_t n, cap;
} cli_text;
int cli_gather(void *user, const void *p, size_t n);   /**< appends to the cli_text that user is; AIOS_ENOMEM */
const char *cli_s(long long n);                        /**< "s", or "" for one */
void cli_show(const cli *c, const cli_text *json, void (*print)(json_t *v)); /**< as it is under --json, else as print shows it */
bool cli_flush(void);                                  /**< false: standard output takes no more, cli_finish tells why */
int cli_finish(int rc);                                /**< the exit code, once all was written */
void cli_print_json(json_t *v);                        /**< one line to stdout; takes the reference */
void cli_json_string(FILE *f, const char *s, size_t n);
void cli_put_shown(FILE *f, const char *s, size_t n); /**< of a model or a tool: to a terminal, and to standard error, without control characters */
json_t *cli_json_text(const char *s, size_t n);        /**< bytes that are not UTF-8 become \ufffd */
bool cli_color(FILE *f);
char *cli_read_input(const char *path, size_t *n, aios_error *err); /**< a file or "-", malloc'd, NUL behind; NULL: *err tells */
char *cli_read_file(const char *path, size_t *n);      /**< as above; prints what is wrong */
char *cli_prompt(const cli *c, size_t *n);             /**< arguments joined; standard input if there are none or in place of a last - */
/* model.c */
int cli_ctx(const cli *c, aios_ctx **ctx);
int cli_model(const cli *c, aios_ctx **ctx, aios_model **m); /**< makes *ctx if it is NULL */
const char *cli_model_path(const cli *c);              /**< -m, AIOS_MODEL, or the default model in the cache */
void cli_bar_erase(void);                              /**< the loading bar, before anything else is printed */
int cli_model_fail(const cli *c, const aios_error *err); /**< of a model that cannot be used: prints, returns an exit code */
void cli_sampling(const cli *c, aios_sampling *s);
/* store.c */
enum { CLI_RETRY_MS = 25, CLI_RETRIES = 40 }; /**< for a store in use: commands that only look have it for milliseconds */
/** A kind of store that is not built in comes from store_SCHEME.so in the folder of plugins, where it is there. */
int cli_load_kind(aios_ctx *ctx, const char *uri, aios_error *err);
void cli_kinds_there(aios_error *err); /**< adds to ENOTSUP of a kind the kinds that plugins would add */
int cli_store(const cli *c, aios_ctx *ctx, aios_store **st, uint32_t flags); /**< of --store; NULL without; prints what is wrong */
void cli_pause(int ms);
int cli_memory(const cli *c, aios_ctx *ctx, aios_toolset *ts); /**< tools over that of --memory, if there is one; prints what is wrong */
/* label.c */
json_t *cli_route_doc(const char *uri);                 /**< the file of a router; NULL: it is none, or cannot be read */
bool cli_is_route(const char *uri);
int cli_label(const cli *c, uint64_t *classes);         /**< of --label, by the file of a router; prints what is wrong */
int cli_label_check(const aios_model *m, const char *uri, uint64_t classes); /**< EXIT_DENIED: m would send it, and knows no labels */
int cli_add_user(aios_transcript *t, uint64_t classes, const char *s, size_t n, aios_error *err);
/* grammar.c */
typedef struct cli_source {
    int32_t kind;     /**< AIOS_GRAMMAR_x */
    int32_t flags;    /**< AIOS_GRAMMAR_STRICT, or 0 */
    char *text;
    size_t n;
    const char *name; /**< in messages */
    bool is_option;   /**< no file: the option's value */
} cli_source;
int cli_source_read(const cli *c, const char *file, cli_source *src); /**< of --schema, --regex, --gbnf, --lark or the file; prints what is wrong */
void cli_source_free(cli_source *src);
int cli_source_compile(const cli_source *src, aios_ctx *ctx, aios_grammar **g, aios_error *err);
int cli_source_fail(const cli_source *src, const aios_error *err); /**< prints, returns an exit code: EXIT_USAGE if it is wrong */
int cli_source_check(const cli_source *src, aios_ctx *ctx); /**< before a model is loaded for it; prints what is wrong */
const char *cli_grammar_kind(int32_t kind);
/* messages.c */
int cli_messages(aios_ctx *ctx, const char *s, size_t n, aios_transcript **t, json_t **doc, aios_tool_def **tools, uint32_t *n_tools);
/* cmd_token.c */
int32_t *cli_read_ids(uint32_t *n_ids); /**< JSON array on standard input, malloc'd; NULL after printing what is wrong */
/* event.c */
void cli_event_print(const aios_event *ev, bool whole); /**< a line of JSON; whole: without what a journal does not keep */
void cli_stats(const cli *c, const aios_usage *u);     /**< on a terminal, or with -v */
int cli_interrupt_session(aios_session *s);            /**< Ctrl-C cancels s; NULL restores */
int cli_interrupt_run(aios_run *r);
bool cli_interrupted(void);
/* tools_builtin.c, tools_command.c */
int cli_tools_builtin(aios_toolset *ts, const char *root, aios_error *err);
int cli_tools_command(aios_toolset *ts, const char *path);
/* limits.c */
typedef struct cli_limits {
    aios_cpu_rates rates;
    double layer_macs, head_macs;   /**< multiply-adds a token; 0: unknown */
    double layer_bytes, head_bytes; /**< of the weights */
} cli_limits;
typedef struct cli_prober {
    int pid, to, from;
} cli_prober;
bool cli_prober_start(const cli *c, cli_prober *p);    /**< a process that measures the machine when asked; before threads are made */
bool cli_prober_ask(const cli_prober *p, cli_limits *out);
void cli_prober_stop(cli_prober *p);
/* calc.c */
int calc(const char *s, double *out, char *msg, size_t n_msg);

/* whole.c: events of a run as its journal has them */
typedef struct cli_whole {
    cli_text text, reasoning; /**< of the turn */
    uint32_t step, attempt;
    bool open;
} cli_whole;
int cli_whole_event(cli_whole *w, const aios_event *ev); /**< prints it, or what it ends; AIOS_ENOMEM */
void cli_whole_free(cli_whole *w);
/* asks.c */
#define CLI_DIGEST_PREFIX 8u /**< so many digits of a digest are enough to mean it */
typedef struct cli_ask {
    char *call_id, *digest, *name, *args; /**< digest "": there is none */
    bool unknown;
    bool shown; /**< the terminal asks about it now */
} cli_ask;
typedef struct cli_asks {
    cli_ask *at;
    int n, cap;
} cli_asks;
int cli_asks_add(cli_asks *a, const aios_event *ev); /**< AIOS_ENOMEM */
void cli_asks_drop(cli_asks *a, const char *call_id); /**< it waits no more */
int cli_asks_decide(cli_asks *a, aios_run *run, const char *word, int32_t verdict, aios_error *err); /**< word: id, or 8 digits of the digest; NULL: the only one */
json_t *cli_asks_json(const cli_asks *a);
void cli_asks_free(cli_asks *a);
/* control.c, control_client.c: the process that has a store answers for it */
typedef struct cli_control cli_control;
#define CLI_CONTROL_FDS 9
struct pollfd;
int cli_control_open(const cli *c, aios_ctx *ctx, aios_store *st, cli_control **k, aios_error *err); /**< ENOTSUP: the store is in no file */
void cli_control_hook(cli_control *k, const aios_commit_hook *hook); /**< borrowed: what records of other runs are written with that have an audit */
void cli_control_run(cli_control *k, aios_run *run, cli_asks *asks); /**< who is asked about */
void cli_control_serve(cli_control *k, bool inside); /**< what is there, without waiting; inside: the run is in aios_run_next */
void cli_control_inside(void);                       /**< likewise, from a tool */
int cli_control_poll(const cli_control *k, struct pollfd *p, int *timeout_ms); /**< how many of CLI_CONTROL_FDS were filled */
void cli_control_close(cli_control *k);              /**< NULL is fine */
bool cli_control_able(const char *uri);              /**< a store that one process has at a time, and answers for */
int cli_control_ask(const char *uri, const json_t *q, json_t **out, long *pid, aios_error *err); /**< EUNAVAIL: nobody answers */
void cli_control_sweep(const char *uri);             /**< removes a socket that was left behind; the caller has the store */
/* drive.c */
typedef struct cli_shown {
    bool open_line, said; /**< a line is not ended; there was text */
} cli_shown;
void cli_show_event(const cli *c, const aios_event *ev, cli_shown *s);
int cli_drive(const cli *c, aios_run *run, cli_control *control); /**< to the end; an exit code */
/* runs_json.c, timeline.c */
json_t *cli_run_json(const aios_run_info *r);
int cli_run_state(const char *name);                 /**< AIOS_RUN_x, 0: none */
const char *cli_run_state_meant(char out[CLI_MEANT], const char *name);
const char *cli_step_kind(int32_t kind);
void cli_run_meant(aios_store *st, const char *id, aios_error *err); /**< adds to an ENOENT which run was meant */
/** Calls that wait, and calls that were begun and have no receipt, by the journal; NULL after a failure. */
json_t *cli_run_waits(aios_ctx *ctx, aios_store *st, const char *id, json_t **begun, aios_error *err);
typedef struct cli_steps {
    json_t *list, *starts; /**< steps; when what a call does now began */
    int64_t until_ms;      /**< of the monotonic clock, 0: no bound */
    int64_t began_us, base_us, base_ns;
    uint64_t tokens;
    double last_s;
    bool cut;
} cli_steps;
int cli_steps_add(void *user, const aios_run_step *s); /**< aios_step_fn; user: cli_steps, whose starts is the caller's to drop */
void cli_timeline(const json_t *run, const json_t *steps, bool cut);
/* kept.c, audit.c: what `aios agent` writes beside the journal, in its commits */
typedef struct cli_kept cli_kept;
int cli_kept_open(const cli *c, aios_store *st, aios_commit_hook *hook, cli_kept **k);
void cli_kept_close(cli_kept *k);
bool cli_kept_options(aios_store *st, const char *id, cli_text *out); /**< with which the run was begun, as far as others need them */
/* hint.c: command lines for a person to read, and to paste */
int cli_resume_line(const aios_run_info *info, const char *store, const cli_text *options, cli_text *out);
void cli_hint_stopped(const cli *c, aios_ctx *ctx, aios_store *st, const char *id); /**< behind the failure of a run that can go on */
void cli_hint_begun(const cli *c, aios_ctx *ctx, aios_store *st, const char *id);   /**< behind ESTATE */
/* price.c */
int cli_prices(const cli *c, aios_prices *out);      /**< of --prices, and whether --max-cost can count; prints what is wrong */
typedef struct cli_auditor cli_auditor;
int cli_audit_open(const cli *c, aios_store *st, cli_auditor **a); /**< NULL without --audit; prints what is wrong */
int cli_audit_rows(cli_auditor *a, const char *run, const aios_store_write *records, uint32_t n, aios_store_write *out);
void cli_audit_settle(cli_auditor *a, int32_t code);
void cli_audit_close(cli_auditor *a);
int cli_audit_has(aios_store *st, const char *run, bool *has, aios_error *err); /**< rows of the run are there */
int cli_audit_check(const cli *c, aios_store *st, const char *run);
/* opts.c */
int cli_options_text(const cli *c, cli_text *out);   /**< those that make an agent, for a shell */
int cli_put_word(cli_text *out, const char *word);   /**< a blank and the word, quoted for a shell where it has to be */
int cli_put_option(cli_text *out, const char *name, const char *value); /**< value NULL: it has none */
/* offline.c: a run that no process drives. hook: what its record is written with, NULL if the run has no audit */
int cli_run_decide(aios_ctx *ctx, aios_store *st, const char *run, const char *word, int32_t verdict, const aios_commit_hook *hook, aios_error *err); /**< word as in cli_asks_decide */

int cmd_completion(cli *c);
int cmd_devices(cli *c);
int cmd_replay(cli *c);
int cmd_inspect(cli *c);
int cmd_models(cli *c);
int cmd_runs(cli *c);
int cmd_tokenize(cli *c);
int cmd_detokenize(cli *c);
int cmd_template(cli *c);
int cmd_run(cli *c);
int cmd_chat(cli *c);
int cmd_grammar(cli *c);
int cmd_validate(cli *c);
int cmd_agent(cli *c);
int cmd_logits(cli *c);
int cmd_bench(cli *c);

#endif

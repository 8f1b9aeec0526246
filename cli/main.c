/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

#define MODEL_OPTS "model api-key-env ca-file proxy plain-http threads ctx kv-bits cpu budget mmap cache cache-size quiet json verbose "
#define SAMPLE_OPTS "predict temp seed top-k top-p min-p repeat-penalty "

#define AGENT_OPTS MODEL_OPTS SAMPLE_OPTS "tools require allow policy root store memory wait whole audit audit-key anchor max-turns max-calls max-tokens max-cost timeout prices compact no-builtin schema "

static const command commands[] = {
    {"devices", "", "what this machine computes with", "json probe cpu threads budget verbose", cmd_devices,
     "  aios devices --probe        measure bandwidth and peak rates too\n"},
    {"inspect", "[MODEL]", "metadata and tensors of a model file", "model json budget verbose", cmd_inspect,
     "  aios inspect model.gguf --json | jq '.metadata'\n"},
    {"models", "", "models that the server of a remote model offers", MODEL_OPTS, cmd_models,
     "  aios models -m openai:\n  aios models -m http://127.0.0.1:8080/v1 --json\n"},
    {"tokenize", "", "text on standard input to a JSON array of token ids", MODEL_OPTS "no-special bos", cmd_tokenize,
     "  echo -n 'Hello' | aios tokenize -m model.gguf\n"},
    {"detokenize", "", "JSON array of token ids on standard input to text", MODEL_OPTS, cmd_detokenize,
     "  echo '[1,2,3]' | aios detokenize\n"},
    {"template", "[FILE]", "chat messages (JSON, file or standard input) to the prompt text", MODEL_OPTS, cmd_template,
     "  echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | aios template\n"},
    {"run", "PROMPT", "one reply; without PROMPT, or for a last -, standard input", MODEL_OPTS SAMPLE_OPTS "schema regex grammar system label load-session save-session raw logprobs ignore-eos", cmd_run,
     "  aios run 'Why is the sky blue?'\n  cat notes.txt | aios run -n 100 'Summarise:' -\n"
     "  aios run 'A person as JSON' --schema person.json\n"
     "  aios run 'Capital of France, one word' --regex '[A-Z][a-z]{2,12}'\n"
     "  aios run --save-session notes.kv \"$(cat notes.txt) Summarise.\"; aios run --load-session notes.kv \"$(cat notes.txt) Translate.\"\n"
     "  aios run -m route:models.json --label private \"$(cat diary.txt) Summarise.\"\n"},
    {"grammar", "check|sample|mask [FILE] [TEXT]", "tries a grammar: schema (.json), expression (.re), .gbnf or .lark; - is standard input",
     "schema regex gbnf lark strict count seed max-bytes null top model budget threads quiet json verbose", cmd_grammar,
     "  aios grammar check person.json            does it compile, how large is it\n"
     "  aios grammar sample person.json -n 5      random sentences, without a model\n"
     "  aios grammar mask person.json '{\"age\":1'   what may follow this text; -: that of standard input, to its last byte\n"
     "  aios grammar mask --regex '(ab)+' ab -m model.gguf --top 20\n"},
    {"validate", "SCHEMA [JSON...]", "checks values against a JSON schema and tells of every violation; exit code 1 if there is one", "quiet json budget verbose",
     cmd_validate, "  aios validate schema.json a.json b.json\n  aios run 'A person' --schema person.json | aios validate person.json -\n"},
    {"chat", "", "a conversation", MODEL_OPTS SAMPLE_OPTS "system label", cmd_chat, "  aios chat --temp 0.7\n"},
    {"agent", "PROMPT", "a run with tools: time, calculator, system_facts, read_file and your own commands",
     AGENT_OPTS "system label run-id resume changed", cmd_agent,
     "  aios agent --require 'What is 12.5 percent of 840?'\n  aios agent --store sqlite:runs.db --run-id r1 'Deploy the site'; aios agent --store sqlite:runs.db --resume r1\n  aios agent --tools tools.json --allow deploy 'Deploy the site'\n\n"
     "a file of tools (docs/command.md):\n"
     "  [{\"name\": \"deploy\", \"description\": \"Deploys the site.\", \"effect\": \"unsafe\", \"command\": [\"./deploy.sh\", \"--site\"],\n"
     "    \"parameters\": {\"type\": \"object\", \"properties\": {\"branch\": {\"type\": \"string\"}}, \"required\": [\"branch\"]}}]\n"
     "  command     the program and its arguments, started without a shell; what the model gives is one JSON object on its standard\n"
     "              input: {\"branch\": \"main\"}; its standard output is the result, an exit code other than 0 a failure\n"
     "  parameters  JSON schema of that object (default: any object)\n"
     "  effect      read: runs unasked; local, keyed, unsafe (default): asks, or is denied without a terminal, unless --allow NAME\n"},
    {"runs", "[list | show RUN | resume RUN | approve RUN [CALL] | deny RUN [CALL] | cancel RUN | audit [RUN]]",
     "runs that a store keeps: how they stand, and what becomes of them; also while their process runs\n\n"
     "  list      state, turns, calls, tokens, and how many calls wait      approve   lets the call that waits run, named by its id or digest\n"
     "  show      one run, and what waits in it; --timeline: its steps      deny      refuses it\n"
     "  resume    goes on with a run; takes the options of aios agent       cancel    stops it; a run that no process drives is given up\n"
     "  audit     holds the audit, and the journals, against each other: exit code 1 and the row if one is not as it was",
     AGENT_OPTS "changed state timeline", cmd_runs,
     "  aios runs --store sqlite:runs.db --state ask\n  aios runs show r1 --store sqlite:runs.db --timeline\n  aios runs approve r1 --store sqlite:runs.db\n"
     "  aios runs resume r1 --store sqlite:runs.db --tools tools.json\n  aios runs audit --store sqlite:runs.db --audit-key key.hex --anchor anchors.txt --json\n"},
    {"replay", "RUN", "what a run of a store said and did, told again from its journal: no model, no tools, no network", "store json quiet budget verbose", cmd_replay,
     "  aios replay r1 --store sqlite:runs.db\n  aios replay r1 --store sqlite:runs.db --json     the lines of aios agent --json --whole\n"},
    {"logits", "", "token ids (JSON, standard input) to log-probabilities", MODEL_OPTS "top chunk", cmd_logits,
     "  echo '[504, 1927, 282]' | aios logits --top 5\n"},
    {"bench", "", "prefill and decode speed, one JSON line a test", MODEL_OPTS "prompts predict repeat batch depth", cmd_bench,
     "  aios bench -p 16,64,512 -n 128 -t 2 -r 5 --batch 8\n  aios bench -p 512 -d 4096 --cpu avx2\n"},
    {"completion", "bash|zsh|fish", "commands and options, for a shell to complete", "", cmd_completion,
     "  source <(aios completion bash)     in ~/.bashrc; zsh likewise, behind compinit\n  aios completion fish > ~/.config/fish/completions/aios.fish\n"},
};

const command *cli_commands(size_t *n)
{
    *n = sizeof commands / sizeof *commands;
    return commands;
}

static void print_help(FILE *f)
{
    fprintf(f, "aios %d.%d.%d - local models and agents in one C library\n\nusage: aios COMMAND [OPTIONS] [ARGS]\n\n",
            (int)(aios_version() >> 16), (int)(aios_version() >> 8 & 255), (int)(aios_version() & 255));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(f, "  %-11s %.*s\n", commands[i].name, (int)strcspn(commands[i].help, "\n"), commands[i].help);
    fprintf(f, "\n  aios COMMAND --help     its options and examples\n  aios --version\n\n"
               "Without -m the model is $AIOS_MODEL, or the default model that scripts/quickstart fetched.\n"
               "Data goes to standard output, everything else to standard error; with --json failures too are lines of standard\n"
               "output, which have \"error\": {\"code\", \"message\"}.\n\nexit codes:\n");
    cli_help_exits(f);
}

static int no_command(const char *word)
{
    const char *names[sizeof commands / sizeof *commands];
    char meant[CLI_MEANT];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        names[i] = commands[i].name;
    if (*word == '-')
        return cli_usage("no command \"%s\": options stand behind the command, aios COMMAND %s; `aios --help` lists commands", word, word);
    return cli_usage("no command \"%s\"%s; `aios --help` lists them", word,
                     cli_meant(meant, word, names, sizeof names / sizeof *names, "\"", "\""));
}

int main(int argc, char **argv)
{
    bool json = false;
    while (argc > 1 && !strcmp(argv[1], "--json")) { /* the one option that may stand before the command */
        cli_report_json();
        argv[1] = argv[0];
        argc--, argv++;
        json = true;
    }
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : cli_finish(EXIT_OK);
    }
    if (!strcmp(argv[1], "--version")) {
        printf("aios %d.%d.%d\n", (int)(aios_version() >> 16), (int)(aios_version() >> 8 & 255), (int)(aios_version() & 255));
        return cli_finish(EXIT_OK);
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name))
            continue;
        cli c = {.json = json};
        int rc = cli_parse(&commands[i], argc - 2, argv + 2, &c);
        rc = rc < 0 ? EXIT_OK : rc ? rc : commands[i].run(&c);
        return cli_finish(cli_interrupted() ? EXIT_INTERRUPT : rc);
    }
    return no_command(argv[1]);
}

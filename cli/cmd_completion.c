/* SPDX-License-Identifier: Apache-2.0 */
/* Completions for shells, from the tables of commands and options. */
#include <string.h>

#include "cli.h"

/* In single quotes, to the end of its first line. */
static void put_text(const char *s, const char *quote, const char *backslash)
{
    putchar('\'');
    for (; *s && *s != '\n'; s++) {
        if (*s == '\'')
            fputs(quote, stdout);
        else if (*s == '\\')
            fputs(backslash, stdout);
        else
            putchar(*s);
    }
    putchar('\'');
}

static const char lower[] = "abcdefghijklmnopqrstuvwxyz";

/* The next word in lower case of a command's arguments, which are its verbs: "[list | show RUN]". NULL: there is none. */
static const char *next_verb(const char *p, size_t *n)
{
    p += strcspn(p, lower);
    *n = strspn(p, lower);
    return *n ? p : NULL;
}

static void put_verbs(const command *c)
{
    size_t n = 0;
    for (const char *p = next_verb(c->args, &n); p; p = next_verb(p + n, &n))
        printf("%.*s ", (int)n, p);
}

static void bash(const command *list, size_t n)
{
    cli_option o;
    puts("_aios() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words= verbs= values=\n    COMPREPLY=()");
    fputs("    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '", stdout);
    for (size_t i = 0; i < n; i++)
        printf("%s ", list[i].name);
    puts("--help --version' -- \"$cur\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in");
    for (size_t i = 0; i < n; i++) {
        printf("    %s)\n        words='--help", list[i].name);
        for (size_t k = 0; cli_option_at(&list[i], k, &o); k++)
            printf(" --%s", o.name);
        fputs("' values='", stdout);
        for (size_t k = 0; cli_option_at(&list[i], k, &o); k++) {
            if (o.value)
                printf(" --%s", o.name);
            if (o.value && o.letter)
                printf(" -%c", o.letter);
        }
        fputs(" ' verbs='", stdout);
        put_verbs(&list[i]);
        puts("' ;;");
    }
    puts("    esac\n    case \"$values \" in *\" $prev \"*) return ;; esac\n    case $cur in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
         "    *) [ \"$COMP_CWORD\" -gt 2 ] || COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\")) ;;\n    esac\n}\ncomplete -o default -F _aios aios");
}

static void zsh(const command *list, size_t n)
{
    cli_option o;
    char text[256];
    puts("#compdef aios\n_aios() {\n    local -a commands options verbs\n    commands=(");
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s:%s", list[i].name, list[i].help);
        fputs("        ", stdout);
        put_text(text, "'\\''", "\\\\");
        putchar('\n');
    }
    puts("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n    case $words[2] in");
    for (size_t i = 0; i < n; i++) {
        printf("    %s)\n        verbs=(", list[i].name);
        put_verbs(&list[i]);
        puts(")\n        options=(");
        for (size_t k = 0; cli_option_at(&list[i], k, &o); k++) {
            snprintf(text, sizeof text, "--%s:%s", o.name, o.help);
            fputs("            ", stdout);
            put_text(text, "'\\''", "\\\\");
            putchar('\n');
        }
        puts("        ) ;;");
    }
    puts("    esac\n    if [[ $PREFIX == -* ]]; then\n        _describe option options\n    elif (( CURRENT == 3 && $#verbs )); then\n"
         "        _describe verb verbs\n    else\n        _files\n    fi\n}\nif [ \"$funcstack[1]\" = _aios ]; then _aios; else compdef _aios aios; fi");
}

static void fish(const command *list, size_t n)
{
    cli_option o;
    for (size_t i = 0; i < n; i++) {
        printf("complete -c aios -n __fish_use_subcommand -f -a %s -d ", list[i].name);
        put_text(list[i].help, "\\'", "\\\\");
        putchar('\n');
        size_t m = 0;
        for (const char *p = next_verb(list[i].args, &m); p; p = next_verb(p + m, &m))
            printf("complete -c aios -n '__fish_seen_subcommand_from %s' -a %.*s\n", list[i].name, (int)m, p);
        for (size_t k = 0; cli_option_at(&list[i], k, &o); k++) {
            printf("complete -c aios -n '__fish_seen_subcommand_from %s' -l %s%s", list[i].name, o.name, o.value ? " -r" : "");
            if (o.letter)
                printf(" -s %c", o.letter);
            fputs(" -d ", stdout);
            put_text(o.help, "\\'", "\\\\");
            putchar('\n');
        }
    }
}

int cmd_completion(cli *c)
{
    static const struct {
        const char *name;
        void (*print)(const command *list, size_t n);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    static const char *const names[] = {"bash", "zsh", "fish"};
    char meant[CLI_MEANT];
    size_t n;
    const command *list = cli_commands(&n);
    for (size_t i = 0; c->n_args == 1 && i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(shells[i].name, c->args[0])) {
            shells[i].print(list, n);
            return 0;
        }
    return cli_usage("aios completion bash|zsh|fish%s", c->n_args ? cli_meant(meant, c->args[0], names, 3, "", "") : "");
}

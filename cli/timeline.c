/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a run on a terminal: a line each, with a bar that stands where it was in the run's time. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

enum { TIME_WIDTH = 10, LABEL_WIDTH = 9, TOOK_WIDTH = 9, LEAST_WIDTH = 50, BAR_LEAST = 8, BAR_MOST = 32 };

typedef struct drawing {
    int width, bar;
    double total;
    const char *dim, *mark, *bad, *plain;
} drawing;

static int terminal_width(void)
{
    struct winsize w;
    const char *columns = getenv("COLUMNS");
    long n = columns ? strtol(columns, NULL, 10) : 0;
    if (n <= 0 && isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w))
        n = w.ws_col;
    return n <= 0 ? 100 : n < LEAST_WIDTH ? LEAST_WIDTH : n > 400 ? 400 : (int)n;
}

/* Bytes of the next character, and how wide it is. What would move the cursor is a blank. */
static size_t next_char(const char *s, int *wide, bool *shown)
{
    unsigned char c = (unsigned char)*s;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    size_t have = strnlen(s, n);
    *shown = c >= 0x20 && c != 0x7f && !(c == 0xc2 && (unsigned char)s[1] < 0xa0);
    *wide = n == 4 || (n == 3 && c >= 0xe1 && (c > 0xe2 || (unsigned char)s[1] >= 0xba)) ? 2 : 1; /* Hangul, CJK, pictures */
    return have;
}

/* Prints s in exactly n columns. */
static void put(const char *s, int n)
{
    int wide;
    bool shown;
    while (s && *s && n > 0) {
        size_t k = next_char(s, &wide, &shown);
        if (wide > n)
            break;
        if (shown)
            fwrite(s, 1, k, stdout);
        else
            printf("%*s", wide, "");
        s += k;
        n -= wide;
    }
    printf("%*s", n, "");
}

static void put_seconds(double s, int width)
{
    static const struct {
        double below, unit;
        const char *name;
        int digits;
    } units[] = {{1, 1e-3, "ms", 0}, {120, 1, "s", 2}, {7200, 60, "min", 1}, {172800, 3600, "h", 1}, {1e300, 86400, "d", 1}};
    size_t i = 0;
    char text[32];
    while (s >= units[i].below)
        i++;
    snprintf(text, sizeof text, "%.*f %s", units[i].digits, s / units[i].unit, units[i].name);
    printf("%*s", width, text);
}

static void put_bar(const drawing *d, double from, double took)
{
    int at = (int)(from / d->total * d->bar), n = (int)(took / d->total * d->bar + 0.5);
    at = at >= d->bar ? d->bar - 1 : at;
    n = n < 1 ? 1 : n > d->bar - at ? d->bar - at : n;
    printf("%s%*s%.*s%*s%s", d->mark, at, "", n, "################################", d->bar - at - n, "", d->plain);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static long long number_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void detail(char *out, size_t n, const json_t *s, const char *kind)
{
    const char *code = text_of(s, "code"), *text = text_of(s, "text");
    json_int_t tokens = json_integer_value(json_object_get(s, "tokens"));
    if (!strcmp(kind, "turn"))
        snprintf(out, n, "%lld tokens%s%s", (long long)tokens, *text ? "  " : "", text);
    else if (!strcmp(kind, "decision"))
        snprintf(out, n, "%s %s", text_of(s, "verdict"), text_of(s, "name"));
    else if (!strcmp(kind, "result"))
        snprintf(out, n, "%s%s%s  %s", text_of(s, "name"), *code ? " failed: " : "", code, text);
    else if (!strcmp(kind, "end"))
        snprintf(out, n, "%s%s%s", *code ? code : "done", *code ? ": " : "", text);
    else if (!strcmp(kind, "context"))
        snprintf(out, n, "was full: %s, %lld to %lld tokens  %s", text_of(s, "name"), number_of(s, "before"), number_of(s, "after"), text);
    else if (!strcmp(kind, "handoff"))
        snprintf(out, n, "to %s, %s", text_of(s, "name"), text);
    else if (!strcmp(kind, "extract"))
        snprintf(out, n, "%s bits became trusted", text);
    else
        snprintf(out, n, "%s", !strcmp(kind, "begin") ? text : text_of(s, "name"));
}

static void draw_line(const drawing *d, const char *time, const char *label, const char *text, const json_t *s)
{
    const json_t *took = json_object_get(s, "took_s");
    bool failed = json_is_string(json_object_get(s, "code"));
    double at = json_number_value(json_object_get(s, "at_s")), t = json_number_value(took);
    printf("%s%*s%s  %s", d->dim, TIME_WIDTH, time, d->plain, failed ? d->bad : "");
    put(label, LABEL_WIDTH);
    put(text, d->width - TIME_WIDTH - LABEL_WIDTH - TOOK_WIDTH - d->bar - 4);
    fputs(failed ? d->plain : "", stdout);
    if (took) {
        put_seconds(t, TOOK_WIDTH);
        fputs("  ", stdout);
        put_bar(d, at - t, t);
    }
    putchar('\n');
}

/* A line below: the run behind the call of an agent. */
static void draw_run(const drawing *d, const json_t *s)
{
    char text[96];
    snprintf(text, sizeof text, "run %s", text_of(s, "run"));
    if (*text_of(s, "run") && !strcmp(text_of(s, "kind"), "intent"))
        draw_line(d, "", "  agent", text, NULL);
}

static void draw_step(const drawing *d, const json_t *s)
{
    const char *kind = text_of(s, "kind");
    char time[32], text[1024];
    size_t i;
    json_t *call;
    snprintf(time, sizeof time, "%.3f", json_number_value(json_object_get(s, "at_s")));
    detail(text, sizeof text, s, kind);
    draw_line(d, time, kind, text, s);
    draw_run(d, s);
    json_array_foreach(json_object_get(s, "calls"), i, call) {
        snprintf(text, sizeof text, "%s %s", text_of(call, "name"), text_of(call, "arguments"));
        draw_line(d, "", "  call", text, NULL);
    }
}

/* By a key in the plural. */
static void put_count(const json_t *run, const char *key)
{
    long long n = (long long)json_integer_value(json_object_get(run, key));
    printf("  %lld %.*s", n, (int)strlen(key) - (n == 1), key);
}

void cli_timeline(const json_t *run, const json_t *steps, bool cut)
{
    bool color = cli_color(stdout);
    drawing d = {.width = terminal_width(),
                 .total = 1e-6,
                 .dim = color ? "\x1b[2m" : "",
                 .mark = color ? "\x1b[36m" : "",
                 .bad = color ? "\x1b[31m" : "",
                 .plain = color ? "\x1b[0m" : ""};
    size_t i;
    json_t *s;
    d.bar = d.width / 4 < BAR_LEAST ? BAR_LEAST : d.width / 4 > BAR_MOST ? BAR_MOST : d.width / 4;
    json_array_foreach(steps, i, s) {
        double at = json_number_value(json_object_get(s, "at_s"));
        d.total = at > d.total ? at : d.total;
    }
    printf("run %s  %s  %s", text_of(run, "id"), text_of(run, "model"), text_of(run, "state"));
    put_count(run, "turns");
    put_count(run, "calls");
    put_count(run, "tokens");
    putchar('\n');
    json_array_foreach(steps, i, s)
        draw_step(&d, s);
    if (cut)
        puts("cut: the run goes on, and its process told of so much; the rest when it is over");
}

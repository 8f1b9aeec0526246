/* SPDX-License-Identifier: Apache-2.0 */
/* What tests before the hostile server measure alike: time, memory, messages. */
#ifndef AIOS_TEST_HOSTILE_CLIENT_H
#define AIOS_TEST_HOSTILE_CLIENT_H

#include "test.h"

#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "hostile.h"

#define MS INT64_C(1000000)
#define LATE_MS 250  /* how much later than its deadline a thing may end */
#define WORK_MS 6000 /* what reading may take where no deadline counts */

/* The deadlines of behaviours that one of them ends; 50 times as long for the others. */
#define CONNECT_MS 200
#define FIRST_BYTE_MS 260
#define IDLE_MS 150
#define TOTAL_MS 400
#define MAX_BODY ((uint64_t)16 << 20)

static hostile server;

static inline double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/** Of a limit in ms, what a behaviour gets, in ns. */
static inline int64_t limit_ns(const hostile_row *row, int64_t ms)
{
    return (row->by ? ms : ms * 50) * MS;
}

static inline int deadline_ms(uint32_t by)
{
    static const int ms[] = {[AT_ONCE] = 0, [BY_CONNECT] = CONNECT_MS, [BY_FIRST_BYTE] = FIRST_BYTE_MS, [BY_IDLE] = IDLE_MS,
        [BY_TOTAL] = TOTAL_MS};
    return ms[by];
}

/** Long runs by AIOS_TEST_LONG=FACTOR. */
static inline long rounds(long n)
{
    const char *s = getenv("AIOS_TEST_LONG");
    return s && atol(s) > 0 ? n * atol(s) : n;
}

/* ---- resident memory ------------------------------------------------------------------------------------------------- */

static inline long status_kib(const char *key)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)))
            kib = atol(line + strlen(key));
    if (f)
        fclose(f);
    return kib;
}

/** The peak begins anew; KiB in use now. -1: it cannot be measured here (sanitizers keep freed memory). */
static inline long memory_mark(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return -1;
#else
    FILE *f = fopen("/proc/self/clear_refs", "w");
    int ok = f && fputs("5", f) >= 0;
    ok = f && !fclose(f) && ok;
    return ok ? status_kib("VmRSS:") : -1;
#endif
}

/** KiB that the peak lies above the mark; 0 where it is not known. */
static inline long memory_grown(long mark)
{
    return mark < 0 ? 0 : status_kib("VmHWM:") - mark;
}

/** What behaviours took at most: time beyond their deadline, and memory. */
typedef struct worst {
    int n, late_ms;
    long kib;
    const char *late, *large; /* names of rows */
} worst;

static inline void note_worst(worst *w, const hostile_row *row, int late_ms, long kib)
{
    w->n++;
    if (!w->late || late_ms > w->late_ms) {
        w->late = row->name;
        w->late_ms = late_ms;
    }
    if (!w->large || kib > w->kib) {
        w->large = row->name;
        w->kib = kib;
    }
}

static inline void tell_worst(const worst *w)
{
    print_message("%d behaviours: at most %d ms late (%s), %ld KiB of memory (%s)\n", w->n, w->late_ms, w->late ? w->late : "", w->kib,
        w->large ? w->large : "");
}

/* ---- what is told ----------------------------------------------------------------------------------------------------- */

/** NULL if a text is fit to be shown: UTF-8, without control characters; else what is wrong with it. */
static inline const char *unfit(const char *s, size_t n)
{
    if (!aios__utf8_valid(s, n))
        return "no UTF-8";
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 0x20 && s[i] != '\t' && s[i] != '\n') || s[i] == 0x7f || (s[i] == '\xc2' && (unsigned char)s[i + 1] < 0xa0))
            return "a control character";
    return NULL;
}

/** Why an error is none that a user could read, or NULL. */
static inline const char *mute(int rc, const aios_error *err)
{
    size_t n = strnlen(err->msg, sizeof err->msg);
    if (err->code != rc)
        return "the error has another code";
    if (n < 10 || n >= sizeof err->msg)
        return "no message";
    return unfit(err->msg, n);
}

static int __attribute__((unused)) start_server(void **state)
{
    (void)state;
    return hostile_start(&server, getenv("AIOS_TEST_LONG") ? 100000 : 120);
}

static int __attribute__((unused)) stop_server(void **state)
{
    (void)state;
    hostile_stop(&server);
    return 0;
}

#endif

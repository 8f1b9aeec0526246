/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel of the table at one ISA level against the reference, or (--bench) how fast it is, as JSON lines.
 * Usage: checkasm LEVEL [--bench]. Exit 77 (skipped) if this CPU lacks the level. The quantized and float GEMMs and the quantizer
 * must equal the reference to the bit, which also makes them independent of tile and thread split.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "checkasm.h"

static uint64_t rng = 88172645463325252u;
int check_failed;

uint32_t check_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 16);
}
float check_normal(void)
{
    float s = 0;
    for (int i = 0; i < 8; i++)
        s += (float)(check_random() & 0xffff) / 65536.0f;
    return (s - 4.0f) * 1.2247f;
}

void *check_guarded(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n + page - 1) / page * page;
    uint8_t *p = mmap(NULL, body + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p, page, PROT_NONE) || mprotect(p + page + body, page, PROT_NONE)) {
        perror("guard pages");
        exit(1);
    }
    return p + page + (body - n); /* the byte after the last is the guard */
}
void check_unguard(void *ptr, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n + page - 1) / page * page;
    munmap((uint8_t *)ptr - (body - n) - page, body + 2 * page);
}

double check_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void check_fail(const char *kernel, const char *what)
{
    check_failed++;
    printf("FAIL %s: %s\n", kernel, what);
}

/* Families without a check here are checked by files of their own. */
static const struct {
    const char *family;
    void (*check)(const aios__kernels *k, const aios__kernels *ref);
    void (*bench)(const aios__kernels *k, const char *level);
} families[] = {
    {"gemm", check_gemm, bench_gemm},
    {"vec", check_vec, bench_vec},
    {"attn", check_attn, bench_attn},
    {"pack", check_pack, bench_pack},
    {"split", check_split, bench_split},
};

int main(int argc, char **argv)
{
    aios__kernels ref, k;
    uint32_t levels;
    int bench = argc > 2 && !strcmp(argv[2], "--bench"), rc = argc > 1 ? check_level(argv[1], &levels) : 1;
    if (rc) {
        printf("%s\n", rc == 77 ? "this CPU lacks the level" : "usage: checkasm LEVEL [--bench]");
        return rc;
    }
    aios__kernels_init(&ref, 1u << AIOS__ISA_SCALAR);
    check_kernels(&k, levels);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(families); i++) {
        if (bench)
            families[i].bench(&k, argv[1]);
        else
            families[i].check(&k, &ref);
    }
    if (!bench)
        printf("%s: %d failures\n", argv[1], check_failed);
    return check_failed != 0;
}

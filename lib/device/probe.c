/* SPDX-License-Identifier: Apache-2.0 */
/* Measured rates of the CPU: how fast memory is read, and the peaks of multiply-add at the level in use. Each rate is the best of
 * several short phases: neighbours and moods of the memory only ever take away. */
#include <time.h>

#include "device/device_priv.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { READ_MS = 20, COMPUTE_MS = 10, N_ROUNDS = 4, BUFFER_MAX = 512 << 20, BUFFER_MIN = 32 << 20, SLOT = 128, ROUNDS = 2048, MAX_WORKERS = 1023 };

/** Work of one call: reads or computes, returns how many bytes or operations that was. *sink keeps the result alive. */
typedef uint64_t work_fn(const uint8_t *p, size_t n, uint64_t *sink);

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- loops of each level ------------------------------------------------------------------------------------------------- */

static uint64_t read_scalar(const uint8_t *p, size_t n, uint64_t *sink)
{
    uint64_t s[4] = {0};
    for (size_t i = 0; i + 32 <= n; i += 32)
        for (size_t j = 0; j < 4; j++) {
            uint64_t v;
            memcpy(&v, p + i + 8 * j, 8);
            s[j] ^= v;
        }
    *sink += s[0] ^ s[1] ^ s[2] ^ s[3];
    return n / 32 * 32;
}

static uint64_t f32_scalar(const uint8_t *p, size_t n, uint64_t *sink)
{
    float a[16], x = 0.999f + (float)p[0] * 1e-9f;
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 16; j++)
        a[j] = (float)j;
    for (uint32_t i = 0; i < ROUNDS; i++)
        for (uint32_t j = 0; j < 16; j++)
            a[j] = a[j] * x + 1e-3f;
    for (uint32_t j = 0; j < 16; j++)
        *sink += (uint64_t)a[j];
    return (uint64_t)ROUNDS * 16 * 2;
}

static uint64_t int8_scalar(const uint8_t *p, size_t n, uint64_t *sink)
{
    int32_t a[16] = {0};
    AIOS__UNUSED(n);
    for (uint32_t i = 0; i < ROUNDS; i++)
        for (uint32_t j = 0; j < 16; j++)
            a[j] += (int8_t)p[j] * (int8_t)p[(i + j) & 63];
    for (uint32_t j = 0; j < 16; j++)
        *sink += (uint64_t)(uint32_t)a[j];
    return (uint64_t)ROUNDS * 16 * 2;
}

#if defined(__x86_64__)
/* Registers that the compiler must believe to change each round, so that no loop is folded. */
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))

/* n_streams places of memory in turn, a pair of lines of each: more streams keep more reads under way. */
__attribute__((target("avx2,fma"), always_inline)) static inline uint64_t read_streams(const uint8_t *p, size_t n, uint64_t *sink, size_t n_streams)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    size_t part = n / n_streams / 128 * 128;
    for (size_t i = 0; i < part; i += 128)
        for (const uint8_t *q = p + i, *end = q + n_streams * part; q < end; q += part) {
            a = _mm256_xor_si256(a, _mm256_loadu_si256((const void *)q));
            b = _mm256_xor_si256(b, _mm256_loadu_si256((const void *)(q + 32)));
            c = _mm256_xor_si256(c, _mm256_loadu_si256((const void *)(q + 64)));
            d = _mm256_xor_si256(d, _mm256_loadu_si256((const void *)(q + 96)));
        }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    *sink += (uint64_t)_mm256_extract_epi64(a, 0) ^ (uint64_t)_mm256_extract_epi64(a, 2);
    return n_streams * part;
}

__attribute__((target("avx2,fma"))) static uint64_t read_avx2(const uint8_t *p, size_t n, uint64_t *sink)
{
    return read_streams(p, n, sink, 1);
}

__attribute__((target("avx2,fma"))) static uint64_t read_avx2_many(const uint8_t *p, size_t n, uint64_t *sink)
{
    return read_streams(p, n, sink, 2);
}

__attribute__((target("avx2,fma"))) static uint64_t f32_avx2(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m256 a[12], x = _mm256_set1_ps(0.999f + (float)p[0] * 1e-9f), y = _mm256_set1_ps(1e-3f);
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 12; j++)
        a[j] = _mm256_set1_ps((float)j);
    for (uint32_t i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 12
        for (uint32_t j = 0; j < 12; j++)
            a[j] = _mm256_fmadd_ps(a[j], x, y);
    }
    for (uint32_t j = 0; j < 12; j++)
        *sink += (uint64_t)_mm256_cvtss_f32(a[j]);
    return (uint64_t)ROUNDS * 12 * 8 * 2;
}

__attribute__((target("avx2,fma"))) static uint64_t int8_avx2(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m256i a[8], x = _mm256_loadu_si256((const void *)p), w = _mm256_loadu_si256((const void *)(p + 32)), one = _mm256_set1_epi16(1);
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 8; j++)
        a[j] = _mm256_setzero_si256();
    for (uint32_t i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 8
        for (uint32_t j = 0; j < 8; j++) {
            OPAQUE(x);
            a[j] = _mm256_add_epi32(a[j], _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), one));
        }
    }
    for (uint32_t j = 0; j < 8; j++)
        *sink += (uint32_t)_mm256_extract_epi32(a[j], 0);
    return (uint64_t)ROUNDS * 8 * 32 * 2;
}

__attribute__((target("avx512f"))) static uint64_t f32_avx512(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m512 a[24], x = _mm512_set1_ps(0.999f + (float)p[0] * 1e-9f), y = _mm512_set1_ps(1e-3f);
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 24; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (uint32_t i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 24
        for (uint32_t j = 0; j < 24; j++)
            a[j] = _mm512_fmadd_ps(a[j], x, y);
    }
    for (uint32_t j = 0; j < 24; j++)
        *sink += (uint64_t)_mm512_cvtss_f32(a[j]);
    return (uint64_t)ROUNDS * 24 * 16 * 2;
}

__attribute__((target("avx512f,avx512bw"))) static uint64_t int8_avx512(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m512i a[12], x = _mm512_loadu_si512(p), w = x, one = _mm512_set1_epi16(1);
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 12; j++)
        a[j] = _mm512_setzero_si512();
    for (uint32_t i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 12
        for (uint32_t j = 0; j < 12; j++) {
            __asm__ volatile("" : "+v"(x));
            a[j] = _mm512_add_epi32(a[j], _mm512_madd_epi16(_mm512_maddubs_epi16(x, w), one));
        }
    }
    for (uint32_t j = 0; j < 12; j++)
        *sink += (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(a[j]));
    return (uint64_t)ROUNDS * 12 * 64 * 2;
}

__attribute__((target("avx512f,avx512vnni"))) static uint64_t int8_avx512vnni(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m512i a[16], x = _mm512_loadu_si512(p), w = x;
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 16; j++)
        a[j] = _mm512_setzero_si512();
    for (uint32_t i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 16
        for (uint32_t j = 0; j < 16; j++)
            a[j] = _mm512_dpbusd_epi32(a[j], x, w);
    }
    for (uint32_t j = 0; j < 16; j++)
        *sink += (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(a[j]));
    return (uint64_t)ROUNDS * 16 * 64 * 2;
}

__attribute__((target("avx512f,avx512bf16"))) static uint64_t bf16_avx512bf16(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m512 a[16];
    __m512i x = _mm512_loadu_si512(p);
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 16; j++)
        a[j] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 16
        for (uint32_t j = 0; j < 16; j++)
            a[j] = _mm512_dpbf16_ps(a[j], (__m512bh)x, (__m512bh)x);
    }
    for (uint32_t j = 0; j < 16; j++)
        *sink += (uint64_t)_mm512_cvtss_f32(a[j]);
    return (uint64_t)ROUNDS * 16 * 32 * 2;
}

__attribute__((target("avx2,avxvnni"))) static uint64_t int8_avxvnni(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m256i a[12], x = _mm256_loadu_si256((const void *)p), w = x;
    AIOS__UNUSED(n);
    for (uint32_t j = 0; j < 12; j++)
        a[j] = _mm256_setzero_si256();
    for (uint32_t i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 12
        for (uint32_t j = 0; j < 12; j++)
            a[j] = _mm256_dpbusd_avx_epi32(a[j], x, w);
    }
    for (uint32_t j = 0; j < 12; j++)
        *sink += (uint32_t)_mm256_extract_epi32(a[j], 0);
    return (uint64_t)ROUNDS * 12 * 32 * 2;
}
#endif

enum { READ, READ_MANY, F32, INT8, BF16, N_LOOPS };

/* Ascending; a row replaces what it names where its level is there. */
static const struct row {
    uint32_t isa;
    work_fn *loops[N_LOOPS];
} rows[] = {
    {AIOS__ISA_SCALAR, {[READ] = read_scalar, [F32] = f32_scalar, [INT8] = int8_scalar}},
#if defined(__x86_64__)
    {AIOS__ISA_AVX2, {[READ] = read_avx2, [READ_MANY] = read_avx2_many, [F32] = f32_avx2, [INT8] = int8_avx2}},
    {AIOS__ISA_AVXVNNI, {[INT8] = int8_avxvnni}},
    {AIOS__ISA_AVX512, {[F32] = f32_avx512, [INT8] = int8_avx512}},
    {AIOS__ISA_AVX512VNNI, {[INT8] = int8_avx512vnni}},
    {AIOS__ISA_AVX512BF16, {[BF16] = bf16_avx512bf16}},
#endif
};

/* Where the rate of a loop goes, for all threads and for one. */
static const struct rate {
    uint32_t phase_ms;
    size_t at, at_one;
} rates[N_LOOPS] = {
    [READ] = {READ_MS, offsetof(aios_cpu_rates, read_bytes_per_s), offsetof(aios_cpu_rates, read_bytes_per_s_1)},
    [READ_MANY] = {READ_MS, offsetof(aios_cpu_rates, read_bytes_per_s), offsetof(aios_cpu_rates, read_bytes_per_s_1)},
    [F32] = {COMPUTE_MS, offsetof(aios_cpu_rates, f32_flop_per_s), offsetof(aios_cpu_rates, f32_flop_per_s_1)},
    [INT8] = {COMPUTE_MS, offsetof(aios_cpu_rates, int8_op_per_s), offsetof(aios_cpu_rates, int8_op_per_s_1)},
    [BF16] = {COMPUTE_MS, offsetof(aios_cpu_rates, bf16_flop_per_s), offsetof(aios_cpu_rates, bf16_flop_per_s_1)},
};

/* ---- measuring ----------------------------------------------------------------------------------------------------------- */

/* Thread 0, the caller's, only waits: the pool pins its workers alone, and two threads on one CPU would halve the peak. */
struct phase {
    aios_pool *pool;
    work_fn *work;
    const uint8_t *buf;
    size_t n_bytes;
    uint8_t *slots;    /**< SLOT bytes a thread: its rate, its sink */
    uint32_t n_active; /**< workers that work; the others wait */
    uint32_t ms;
};

/* What thread tid reads: its part of the buffer. */
static const uint8_t *part_of(const struct phase *p, uint32_t tid, uint32_t n_threads, size_t *n)
{
    *n = p->n_bytes / (n_threads - 1) / 4096 * 4096;
    return p->buf + (tid - 1) * *n;
}

static void run_phase(void *user, uint32_t tid, uint32_t n_threads)
{
    struct phase *p = user;
    uint64_t done = 0, sink = 0;
    size_t part, step = 1 << 20;
    aios__pool_barrier(p->pool, tid);
    if (!tid || tid > p->n_active)
        return;
    const uint8_t *mine = part_of(p, tid, n_threads, &part);
    int64_t start = clock_ns(), end = start, ms = p->ms;
    for (size_t at = 0; end < start + ms * 1000000; at = at + step < part ? at + step : 0, end = clock_ns())
        done += p->work(mine + at, part - at < step ? part - at : step, &sink);
    double rate = (double)done * 1e9 / (double)(end - start);
    memcpy(p->slots + tid * SLOT, &rate, sizeof rate);
    memcpy(p->slots + tid * SLOT + sizeof rate, &sink, sizeof sink);
}

/* Units a second of one phase. */
static double measure(struct phase *p)
{
    double total = 0, rate;
    memset(p->slots, 0, (size_t)aios_pool_threads(p->pool) * SLOT);
    aios__pool_spmd(p->pool, run_phase, p);
    for (uint32_t i = 1; i <= p->n_active; i++) {
        memcpy(&rate, p->slots + i * SLOT, sizeof rate);
        total += rate;
    }
    return total;
}

/* *out becomes the rate of a phase, if it was not better before. */
static void measure_best(struct phase *p, uint32_t n_active, uint32_t ms, double *out)
{
    p->n_active = n_active;
    p->ms = ms;
    double rate = measure(p);
    *out = rate > *out ? rate : *out;
}

static work_fn *choose_loop(uint32_t levels, uint32_t loop)
{
    work_fn *best = NULL;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (levels >> rows[i].isa & 1 && rows[i].loops[loop])
            best = rows[i].loops[loop];
    return best;
}

/* Each thread writes what it will read, so that the pages are its own. */
static void touch_part(void *user, uint32_t tid, uint32_t n_threads)
{
    struct phase *p = user;
    if (!tid)
        return;
    size_t n;
    const uint8_t *mine = part_of(p, tid, n_threads, &n);
    memset((uint8_t *)(uintptr_t)mine, (int)tid, n);
}

static size_t probe_bytes(const aios_cpu_info *info)
{
    uint64_t n = info->l3 ? info->l3 * 8 : BUFFER_MAX / 2;
    return (size_t)(n < BUFFER_MIN ? BUFFER_MIN : n > BUFFER_MAX ? BUFFER_MAX : n);
}

static void measure_each(aios_ctx *ctx, struct phase *p, aios_cpu_rates *r)
{
    uint32_t n_workers = aios_pool_threads(p->pool) - 1;
    for (uint32_t i = 0; i < N_LOOPS; i++) {
        double *all = (double *)((char *)r + rates[i].at), *one = (double *)((char *)r + rates[i].at_one);
        if (!(p->work = choose_loop(aios__cpu_levels(ctx), i)))
            continue;
        measure_best(p, n_workers, rates[i].phase_ms, all);
        if (n_workers > 1)
            measure_best(p, 1, rates[i].phase_ms, one);
        else
            *one = *all;
    }
}

/* Rounds over all loops, so that a disturbance does not meet every phase of one. */
static void measure_all(aios_ctx *ctx, struct phase *p, aios_cpu_rates *r)
{
    aios__pool_spmd(p->pool, touch_part, p);
    for (uint32_t i = 0; i < N_ROUNDS; i++)
        measure_each(ctx, p, r);
}

/* One thread more than would compute. */
static int make_pool(aios_ctx *ctx, const aios_cpu_info *info, aios_pool **pool, aios_error *err)
{
    uint32_t n = aios__ctx_threads(ctx) ? aios__ctx_threads(ctx) : info->n_usable;
    aios_pool_config cfg = {.struct_size = sizeof cfg, .n_threads = (n < MAX_WORKERS ? n : MAX_WORKERS) + 1, .pin = 1};
    return aios_pool_new(ctx, &cfg, pool, err);
}

int aios_cpu_probe(aios_ctx *ctx, aios_cpu_rates *out, aios_error *err)
{
    aios_cpu_info info;
    aios_cpu_rates r = AIOS_INIT(aios_cpu_rates);
    struct phase p = {0};
    aios_error e = AIOS_INIT(aios_error);
    if (!ctx || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_cpu_probe: %s is NULL", ctx ? "out" : "ctx");
    int rc = aios__cpu_info(ctx, &info, err);
    if (!rc)
        rc = make_pool(ctx, &info, &p.pool, err);
    if (rc)
        return rc;
    aios_device *dev = aios__device_cpu(ctx);
    aios_device_mem mem;
    aios_device_alloc_args a = {.struct_size = sizeof a, .n_bytes = probe_bytes(&info), .align = 4096, .flags = AIOS_BUFFER_HUGE};
    p.slots = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_SCRATCH, (size_t)aios_pool_threads(p.pool) * SLOT, &e);
    rc = p.slots ? aios__device_alloc(dev, &a, AIOS_MEM_SCRATCH, &mem, NULL, err) : aios__error_copy(err, &e);
    if (!rc) {
        p.buf = mem.ptr;
        p.n_bytes = a.n_bytes;
        measure_all(ctx, &p, &r);
        aios__device_release(dev, &mem, AIOS_MEM_SCRATCH, mem.n_bytes);
        rc = aios__struct_out(out, &r, sizeof r);
    }
    aios__free(aios__ctx_heap(ctx), p.slots);
    aios_pool_free(p.pool);
    return rc;
}

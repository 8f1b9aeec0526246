/* SPDX-License-Identifier: Apache-2.0 */
/* Measured rates of the CPU: how fast memory is read, and the peaks of multiply-add at the level in use. */
#include <time.h>

#include "device/device_priv.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { PHASE_MS = 150, BUFFER_MAX = 512 << 20, BUFFER_MIN = 32 << 20, SLOT = 128, ROUNDS = 2048 };

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

__attribute__((target("avx2,fma"))) static uint64_t read_avx2(const uint8_t *p, size_t n, uint64_t *sink)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i + 128 <= n; i += 128) {
        a = _mm256_xor_si256(a, _mm256_loadu_si256((const void *)(p + i)));
        b = _mm256_xor_si256(b, _mm256_loadu_si256((const void *)(p + i + 32)));
        c = _mm256_xor_si256(c, _mm256_loadu_si256((const void *)(p + i + 64)));
        d = _mm256_xor_si256(d, _mm256_loadu_si256((const void *)(p + i + 96)));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    *sink += (uint64_t)_mm256_extract_epi64(a, 0) ^ (uint64_t)_mm256_extract_epi64(a, 2);
    return n / 128 * 128;
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

/* Ascending; a row replaces what it names where its level is there. */
static const struct row {
    uint32_t isa;
    work_fn *read, *f32, *int8;
} rows[] = {
    {AIOS__ISA_SCALAR, read_scalar, f32_scalar, int8_scalar},
#if defined(__x86_64__)
    {AIOS__ISA_AVX2, read_avx2, f32_avx2, int8_avx2},
    {AIOS__ISA_AVXVNNI, NULL, NULL, int8_avxvnni},
    {AIOS__ISA_AVX512, NULL, f32_avx512, int8_avx512},
    {AIOS__ISA_AVX512VNNI, NULL, NULL, int8_avx512vnni},
#endif
};

/* ---- measuring ----------------------------------------------------------------------------------------------------------- */

struct phase {
    aios_pool *pool;
    work_fn *work;
    const uint8_t *buf;
    size_t n_bytes;
    uint8_t *slots; /**< SLOT bytes a thread: work done, sink */
    int64_t start, end;
};

static void run_phase(void *user, uint32_t tid, uint32_t n_threads)
{
    struct phase *p = user;
    uint64_t done = 0, sink = 0;
    size_t part = p->n_bytes / n_threads / 4096 * 4096, step = 1 << 20;
    const uint8_t *mine = p->buf + tid * part;
    aios__pool_barrier(p->pool, tid);
    if (!tid)
        p->start = clock_ns();
    aios__pool_barrier(p->pool, tid);
    int64_t stop = p->start + (int64_t)PHASE_MS * 1000000;
    for (size_t at = 0; clock_ns() < stop; at = at + step < part ? at + step : 0)
        done += p->work(mine + at, part - at < step ? part - at : step, &sink);
    memcpy(p->slots + tid * SLOT, &done, sizeof done);
    memcpy(p->slots + tid * SLOT + sizeof done, &sink, sizeof sink);
    aios__pool_barrier(p->pool, tid);
    if (!tid)
        p->end = clock_ns();
}

/* Units a second. */
static double measure(struct phase *p, work_fn *work, uint32_t n_threads)
{
    p->work = work;
    memset(p->slots, 0, (size_t)n_threads * SLOT);
    aios__pool_spmd(p->pool, run_phase, p);
    double total = 0;
    for (uint32_t i = 0; i < n_threads; i++) {
        uint64_t done;
        memcpy(&done, p->slots + i * SLOT, sizeof done);
        total += (double)done;
    }
    return p->end > p->start ? total * 1e9 / (double)(p->end - p->start) : 0;
}

static void choose_rows(uint32_t levels, struct row *best)
{
    *best = rows[0];
    for (size_t i = 1; i < AIOS__ARRAY_LEN(rows); i++) {
        if (!(levels >> rows[i].isa & 1))
            continue;
        best->read = rows[i].read ? rows[i].read : best->read;
        best->f32 = rows[i].f32 ? rows[i].f32 : best->f32;
        best->int8 = rows[i].int8 ? rows[i].int8 : best->int8;
    }
}

struct touch {
    uint8_t *p;
    size_t n;
};

/* Each thread writes what it will read, so that the pages are its own. */
static void touch_part(void *user, uint32_t tid, uint32_t n_threads)
{
    struct touch *t = user;
    size_t part = t->n / n_threads / 4096 * 4096;
    memset(t->p + tid * part, (int)(tid + 1), part);
}

static size_t probe_bytes(const aios_cpu_info *info)
{
    uint64_t n = info->l3 ? info->l3 * 8 : BUFFER_MAX / 2;
    return (size_t)(n < BUFFER_MIN ? BUFFER_MIN : n > BUFFER_MAX ? BUFFER_MAX : n);
}

static void measure_all(aios_ctx *ctx, struct phase *p, aios_cpu_rates *r)
{
    struct row best;
    struct touch t = {(uint8_t *)(uintptr_t)p->buf, p->n_bytes};
    uint32_t n_threads = aios_pool_threads(p->pool);
    choose_rows(aios__cpu_levels(ctx), &best);
    aios__pool_spmd(p->pool, touch_part, &t);
    r->read_bytes_per_s = measure(p, best.read, n_threads);
    r->f32_flop_per_s = measure(p, best.f32, n_threads);
    r->int8_op_per_s = measure(p, best.int8, n_threads);
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
        rc = aios_pool_new(ctx, NULL, &p.pool, err);
    if (rc)
        return rc;
    uint32_t n_threads = aios_pool_threads(p.pool);
    aios_device *dev = aios__device_cpu(ctx);
    aios_device_mem mem;
    aios_device_alloc_args a = {.struct_size = sizeof a, .n_bytes = probe_bytes(&info), .align = 4096, .flags = AIOS_BUFFER_HUGE};
    p.slots = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_SCRATCH, (size_t)n_threads * SLOT, &e);
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

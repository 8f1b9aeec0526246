/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/tensor.hpp
 * Buffers, tensors, arenas and the thread pool.
 */
#ifndef AIOS_CPP_TENSOR_HPP
#define AIOS_CPP_TENSOR_HPP

#include <aios/cpp/base.hpp>

#include <atomic>

AIOS_CPP_BEGIN

/** One reference on memory of a device, aios::ctx::device. */
class buffer : public owner<aios_buffer, aios_buffer_unref> {
public:
    using owner::owner;
    buffer() noexcept = default;
    /** As aios_buffer_alloc. */
    buffer(aios_device *dev, const init<aios_buffer_config> &cfg, status *st = nullptr) { checked(st, aios_buffer_alloc, dev, &cfg, &p_); }
    /** One reference more. */
    buffer share() const noexcept { return buffer(aios_buffer_ref(p_)); }
    void *data() const noexcept { return aios_buffer_data(p_); }
    size_t size() const noexcept { return aios_buffer_size(p_); }
};

/** A typed view of a buffer, on which it holds a reference. */
class tensor : public owner<aios_tensor, aios_tensor_free> {
public:
    using owner::owner;
    tensor() noexcept = default;
    tensor(aios_buffer *buf, size_t offset, const aios_tensor_desc &shape, status *st = nullptr)
    {
        checked(st, aios_tensor_new, buf, offset, &shape, &p_);
    }
    /** Elements [start, start + count) along dim. */
    tensor slice(uint32_t dim, uint64_t start, uint64_t count, status *st = nullptr) const
    {
        tensor out;
        checked(st, aios_tensor_slice, p_, dim, start, count, &out.p_);
        return out;
    }
    init<aios_tensor_desc> desc() const
    {
        init<aios_tensor_desc> out;
        aios_tensor_desc_get(p_, &out);
        return out;
    }
    void *data() const noexcept { return aios_tensor_data(p_); }
    /** All elements, packed. */
    int read(void *dst, size_t n_bytes, status *st = nullptr) const { return checked(st, aios_tensor_read, p_, dst, n_bytes); }
    int write(const void *src, size_t n_bytes, status *st = nullptr) { return checked(st, aios_tensor_write, p_, src, n_bytes); }
};

/** Many small pieces of memory, freed at once. */
class arena : public owner<aios_arena, aios_arena_free> {
public:
    using owner::owner;
    arena() noexcept = default;
    explicit arena(aios_device *dev, size_t chunk_bytes = 0, uint32_t kind = AIOS_MEM_OTHER, status *st = nullptr)
    {
        checked(st, aios_arena_new, dev, chunk_bytes, kind, &p_);
    }
    /** Valid until reset; NULL if it failed. */
    void *alloc(size_t n_bytes, size_t align = 0, status *st = nullptr)
    {
        void *out = nullptr;
        checked(st, [&](aios_error *err) { return (out = aios_arena_alloc(p_, n_bytes, align, err)) ? 0 : err->code; });
        return out;
    }
    void reset() noexcept { aios_arena_reset(p_); }
};

/** Threads that compute together. */
class pool : public owner<aios_pool, aios_pool_free> {
public:
    using owner::owner;
    pool() noexcept = default;
    explicit pool(aios_ctx *c, const init<aios_pool_config> &cfg = {}, status *st = nullptr) { checked(st, aios_pool_new, c, &cfg, &p_); }
    /** Calls fn(i, n) for i = 0 .. n-1 on all threads; the first exception comes out of here, once all are done. */
    template <class F> int run(uint32_t n, F fn, status *st = nullptr)
    {
        struct shared {
            F &fn;
            std::atomic_flag caught = ATOMIC_FLAG_INIT;
            std::exception_ptr thrown = nullptr;
        } all{fn};
        auto task = [](void *user, uint32_t i, uint32_t of) {
            auto &s = *static_cast<shared *>(user);
#if defined(__cpp_exceptions)
            try {
                s.fn(i, of);
            } catch (...) {
                if (!s.caught.test_and_set())
                    s.thrown = std::current_exception();
            }
#else
            s.fn(i, of);
#endif
        };
        int rc = checked(st, [&](aios_error *) { return aios_pool_run(p_, task, &all, n); });
#if defined(__cpp_exceptions)
        if (all.thrown)
            std::rethrow_exception(all.thrown);
#endif
        return rc;
    }
    uint32_t threads() const noexcept { return aios_pool_threads(p_); }
};

AIOS_CPP_END
#endif

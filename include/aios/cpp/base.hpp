/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/base.hpp
 * Structs with their size, failures, owners, and what lends a callable to C.
 */
#ifndef AIOS_CPP_BASE_HPP
#define AIOS_CPP_BASE_HPP

#include <aios/aios.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// Files with and without exceptions may meet in one program: what they inline differs, so its names do.
#if defined(__cpp_exceptions)
#define AIOS_CPP_BEGIN namespace aios { inline namespace throwing {
#else
#define AIOS_CPP_BEGIN namespace aios { inline namespace quiet {
#endif
#define AIOS_CPP_END } }

AIOS_CPP_BEGIN

/** A public struct of C with its size filled in and all else at its default. Made from such a struct, a copy of it. */
template <class T> struct init : T {
    init() noexcept : T{} { this->struct_size = sizeof(T); }
    init(const T &from) noexcept : T(from) {}
};

/** How a call ended: the fields of aios_error, where code is also a documented state above zero. */
struct status : init<aios_error> {
    /** True unless the call failed. */
    bool ok() const noexcept { return code >= 0; }
    /** What went wrong, where, and what to do; "" if nothing did. */
    std::string_view message() const noexcept { return msg; }
};

/** A failure, thrown where the call had no status to tell. what() is the message of C. */
class error : public std::runtime_error {
public:
    explicit error(const aios_error &e) : std::runtime_error(e.msg), code_(e.code), sys_(e.sys), have_(e.have), need_(e.need) {}
    /** Of a tool or a hook, which the call or the run then ends with. code: a negative one. */
    error(int code, const std::string &what) : std::runtime_error(what), code_(code) {}
    int code() const noexcept { return code_; }                           /**< one of AIOS_CODES */
    const char *name() const noexcept { return aios_code_name(code_); }   /**< "EBUDGET" */
    int sys() const noexcept { return sys_; }                             /**< errno behind it, or 0 */
    uint64_t have() const noexcept { return have_; }                      /**< as aios_error.have */
    uint64_t need() const noexcept { return need_; }                      /**< as aios_error.need */

private:
    int code_;
    int sys_ = 0;
    uint64_t have_ = 0, need_ = 0;
};

namespace detail {

/** Puts the end of a call where it belongs: the caller's status, or an exception. */
inline int settle(int rc, status &now, [[maybe_unused]] bool told)
{
    if (rc < 0 && !now.msg[0])
        std::snprintf(now.msg, sizeof now.msg, "%s", aios_strerror(rc));
    now.code = rc;
#if defined(__cpp_exceptions)
    if (rc < 0 && !told)
        throw error(now);
#endif
    return rc;
}

inline std::string_view view(const char *s) noexcept { return s ? std::string_view(s) : std::string_view(); }

} // namespace detail

/** Calls fn(args..., &err), any function of C whose last argument is the error, and returns its code; st NULL: throws what failed. */
template <class Fn, class... Args> int checked(status *st, Fn fn, Args &&...args)
{
    status own, &now = st ? *st : own;
    now = status();
    int rc = fn(args..., static_cast<aios_error *>(&now));
    return detail::settle(rc, now, st != nullptr);
}

namespace detail {

/** Callables that C may still call for an object, and those of other objects that it reaches. */
struct keeper {
    std::vector<std::shared_ptr<keeper>> others;
    virtual ~keeper() = default;
};

/** True if `from` keeps `to`, by whatever ways. There are no cycles: who adds asks this first. */
inline bool reaches(const keeper *from, const keeper *to)
{
    bool found = from && from == to;
    for (size_t i = 0; from && i < from->others.size() && !found; i++)
        found = reaches(from->others[i].get(), to);
    return found;
}

} // namespace detail

/** Owns an object of C: moved, not copied; empty after a move or a failure. Converts to the pointer, which stays its own. */
template <class T, void (*Free)(T *)> class owner {
public:
    owner() noexcept = default;
    /** Takes over an object that C made. */
    explicit owner(T *p) noexcept : p_(p) {}
    owner(owner &&o) noexcept : keep_(std::move(o.keep_)), p_(std::exchange(o.p_, nullptr)) {}
    owner &operator=(owner &&o) noexcept
    {
        if (this != &o) {
            Free(std::exchange(p_, std::exchange(o.p_, nullptr)));
            keep_ = std::move(o.keep_);
        }
        return *this;
    }
    ~owner() { Free(p_); }
    T *get() const noexcept { return p_; }
    explicit operator bool() const noexcept { return p_ != nullptr; }
    operator T *() const & noexcept { return p_; }
    operator T *() const && = delete;

protected:
    std::shared_ptr<detail::keeper> keep_; // outlives *p_
    T *p_ = nullptr;
};

namespace detail {

/** Calls f, which returns a code; what it throws becomes a code and a text for say(code, text), which returns what C gets. */
template <class F, class Say> int guarded(F &&f, [[maybe_unused]] Say &&say) noexcept
{
#if defined(__cpp_exceptions)
    try {
        return f();
    } catch (const error &e) {
        return say(e.code() < 0 ? e.code() : int(AIOS_ETOOL), e.what());
    } catch (const std::bad_alloc &) {
        return say(int(AIOS_ENOMEM), aios_strerror(AIOS_ENOMEM));
    } catch (const std::exception &e) {
        return say(int(AIOS_ETOOL), e.what());
    } catch (...) {
        return say(int(AIOS_ETOOL), "something was thrown that is no std::exception");
    }
#else
    return f();
#endif
}

/** A callable while C calls it. One that returns false has seen enough; what it throws waits in `thrown` until C is done. */
template <class F> struct lent {
    F &fn;
    std::exception_ptr thrown = nullptr;

    template <class... Args> int operator()(Args &&...args) noexcept
    {
#if defined(__cpp_exceptions)
        try {
            return tell(args...);
        } catch (...) {
            thrown = std::current_exception();
            return AIOS_ECANCELED;
        }
#else
        return tell(args...);
#endif
    }
    template <class... Args> int tell(Args &&...args)
    {
        if constexpr (std::is_void_v<decltype(fn(args...))>)
            return fn(args...), 0;
        else
            return fn(args...) ? 0 : int(AIOS_DONE);
    }
    /** The C function of one item. */
    template <class Item> static int each(void *user, const Item *item) { return (*static_cast<lent *>(user))(*item); }
};

/** checked() of a C function that takes (args..., callback, user, err) and calls fn with each Item. */
template <class Item, class F, class Fn, class... Args> int visit(status *st, F &fn, Fn c_function, Args &&...args)
{
    lent<F> to{fn};
    status own, &now = st ? *st : own;
    now = status();
    int rc = c_function(args..., &lent<F>::template each<Item>, &to, static_cast<aios_error *>(&now));
#if defined(__cpp_exceptions)
    if (to.thrown)
        std::rethrow_exception(to.thrown);
#endif
    return settle(rc, now, st != nullptr);
}

/** aios_write_fn into a std::string. */
inline int append(void *user, const void *p, size_t n) noexcept
{
    return guarded([&] { return static_cast<std::string *>(user)->append(static_cast<const char *>(p), n), 0; },
                   [](int code, const char *) { return code; });
}

} // namespace detail

AIOS_CPP_END
#endif

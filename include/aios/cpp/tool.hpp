/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/tool.hpp
 * Tools from lambdas.
 */
#ifndef AIOS_CPP_TOOL_HPP
#define AIOS_CPP_TOOL_HPP

#include <aios/cpp/base.hpp>

AIOS_CPP_BEGIN

class agent;

/** A call of a tool, to be answered once, from any thread. One that goes unanswered fails, and says so. */
class call {
public:
    explicit call(aios_call *c) noexcept : c_(c) {}
    call(call &&o) noexcept : c_(std::exchange(o.c_, nullptr)) {}
    call &operator=(call &&o) noexcept
    {
        if (this != &o) {
            drop();
            c_ = std::exchange(o.c_, nullptr);
        }
        return *this;
    }
    ~call() { drop(); }
    /** JSON under the tool's schema; these four live until the call is answered, and are empty then. */
    std::string_view args() const noexcept { return c_ ? detail::view(aios_call_args(c_)) : std::string_view(); }
    std::string_view id() const noexcept { return c_ ? detail::view(aios_call_id(c_)) : std::string_view(); }
    std::string_view name() const noexcept { return c_ ? detail::view(aios_call_name(c_)) : std::string_view(); }
    std::string_view key() const noexcept { return c_ ? detail::view(aios_call_key(c_)) : std::string_view(); }
    /** True if nobody waits for it any more: stop soon. */
    bool cancelled() const noexcept { return !c_ || aios_call_cancelled(c_); }
    /** As aios_call_finish; ESTATE if it was answered before. */
    int finish(std::string_view result) noexcept { return end(AIOS_OK, result); }
    int fail(int code, std::string_view why) noexcept { return end(code < 0 ? code : int(AIOS_ETOOL), why); }
    /** NULL once it was answered. */
    aios_call *get() const noexcept { return c_; }

private:
    int end(int code, std::string_view text) noexcept
    {
        aios_call *c = std::exchange(c_, nullptr);
        return c ? aios_call_finish(c, code, text.data() ? text.data() : "", text.size()) : int(AIOS_ESTATE);
    }
    void drop() noexcept { fail(AIOS_ETOOL, "the tool dropped the call without an answer"); }
    aios_call *c_;
};

/** What a tool is to the model and the policy; as aios_tool. */
struct tool {
    std::string name;
    std::string description;
    std::string schema;                    /**< JSON schema of the arguments; "": any object */
    int32_t effect = AIOS_EFFECT_UNSAFE;   /**< AIOS_EFFECT_x */
    uint32_t flags = 0;                    /**< AIOS_TOOL_x */
    int64_t timeout_ns = 0;                /**< 0: the run's */
};

namespace detail {

/** aios_tool.fn of a callable. It has answered, or will: AIOS_AGAIN in both cases. */
template <class F> int run_tool(void *user, aios_call *c) noexcept
{
    F &fn = *static_cast<F *>(user);
    call now(c);
    guarded(
        [&] {
            if constexpr (std::is_invocable_v<F &, std::string_view>)
                now.finish(fn(now.args()));
            else if constexpr (std::is_invocable_v<F &, call &>)
                now.finish(fn(now));
            else
                fn(std::move(now));
            return 0;
        },
        [&](int code, const char *why) { return now.fail(code, why); });
    return AIOS_AGAIN;
}

} // namespace detail

/** Tools that agents may have. It owns their callables, until the last agent is gone that has the set. */
class toolset : public owner<aios_toolset, aios_toolset_free> {
public:
    using owner::owner;
    toolset() noexcept = default;
    explicit toolset(aios_ctx *c, status *st = nullptr)
    {
        checked(st, aios_toolset_new, c, &p_);
        keep_ = std::make_shared<detail::keeper>();
    }
    /**
     * Adds fn, which is one of
     *   std::string fn(std::string_view args)   JSON in, JSON or text out;
     *   std::string fn(aios::call &)            the same, with the call's id, key, label ...;
     *   void fn(aios::call &&)                  moves the call away, to be answered later, from any thread.
     * What it throws is the call's failure, with the code of an aios::error, else ETOOL.
     */
    template <class F> int add(const tool &t, F fn, status *st = nullptr)
    {
        auto owned = std::make_unique<F>(std::move(fn));
        init<aios_tool> c;
        c.name = t.name.c_str();
        c.description = t.description.c_str();
        c.schema_json = t.schema.empty() ? nullptr : t.schema.c_str();
        c.effect = t.effect;
        c.flags = t.flags;
        c.timeout_ns = t.timeout_ns;
        c.fn = detail::run_tool<F>;
        c.user = owned.get();
        c.release = [](void *user) { delete static_cast<F *>(user); };
        int rc = checked(st, aios_toolset_add, p_, &c);
        if (rc >= 0)
            owned.release();
        return rc;
    }
    /** An agent as a tool. One that has this very set itself, by whatever ways, must outlive the others' runs. */
    int add(const agent &a, std::string_view name, std::string_view description, uint32_t flags = 0, status *st = nullptr);
    /** recall, remember, forget. */
    int add(aios_memory *m, const init<aios_memory_tools> &options = {}, status *st = nullptr)
    {
        return checked(st, aios_toolset_add_memory, p_, m, &options);
    }
    uint32_t size() const noexcept { return aios_toolset_count(p_); }

private:
    friend class agent_config;
};

AIOS_CPP_END
#endif

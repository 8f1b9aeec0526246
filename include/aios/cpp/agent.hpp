/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/agent.hpp
 * Agents and their runs.
 */
#ifndef AIOS_CPP_AGENT_HPP
#define AIOS_CPP_AGENT_HPP

#include <aios/cpp/llm.hpp>
#include <aios/cpp/tool.hpp>

#include <functional>

AIOS_CPP_BEGIN

/** A declarative policy (docs/policy.md). */
class rules : public owner<aios_rules, aios_rules_free> {
public:
    using owner::owner;
    rules() noexcept = default;
    rules(aios_ctx *c, std::string_view json, status *st = nullptr) { checked(st, aios_rules_parse, c, json.data(), json.size(), &p_); }
    /** Of a file that no tool can have written. */
    static rules open(aios_ctx *c, std::string_view path, status *st = nullptr)
    {
        rules out;
        checked(st, aios_rules_open, c, std::string(path).c_str(), &out.p_);
        return out;
    }
};

/** aios_hooks as callables, each may be empty. Non-zero refuses, as an exception does: with its code, and its text as the reason. */
struct hooks {
    std::function<int(const aios_moment &, aios_turn_profile &, aios_refusal &)> before_turn;
    std::function<int(const aios_moment &, const aios_turn_said &, aios_refusal &)> after_turn;
    std::function<int(const aios_moment &, const aios_action &, aios_refusal &)> before_call;
    std::function<int(const aios_moment &, event, aios_refusal &)> after_call;
    std::function<int(const aios_moment &, std::string_view from, std::string_view to, aios_refusal &)> on_handoff;
    std::function<void(const aios_moment &, event)> on_stop; /**< what it throws is dropped */
};

namespace detail {

/** What C calls of an agent: lives as long as the agent, its runs, and the sets that have it as a tool. */
struct callbacks : keeper {
    std::function<void(const aios_action &, aios_verdict &)> decide;
    hooks on;
};

template <size_t N> int say(char (&reason)[N], int code, const char *why) noexcept { return std::snprintf(reason, N, "%s", why), code; }

inline int decide(void *user, const aios_action *action, aios_verdict *out) noexcept
{
    return guarded([&] { return static_cast<callbacks *>(user)->decide(*action, *out), 0; },
                   [&](int code, const char *why) { return say(out->reason, code, why); });
}

/** A slot of aios_hooks: calls the callable behind it with what C tells. */
template <auto Hook, class... What> int refused(void *user, const aios_moment *m, aios_refusal *no, What &&...what) noexcept
{
    return guarded([&] { return (static_cast<callbacks *>(user)->on.*Hook)(*m, what..., *no); },
                   [&](int code, const char *why) { return say(no->reason, code, why); });
}

inline void fill(aios_hooks &c, const hooks &on, callbacks *user)
{
    c.user = user;
    if (on.before_turn)
        c.before_turn = [](void *u, const aios_moment *m, aios_turn_profile *p, aios_refusal *no) {
            return refused<&hooks::before_turn>(u, m, no, *p);
        };
    if (on.after_turn)
        c.after_turn = [](void *u, const aios_moment *m, const aios_turn_said *s, aios_refusal *no) {
            return refused<&hooks::after_turn>(u, m, no, *s);
        };
    if (on.before_call)
        c.before_call = [](void *u, const aios_moment *m, const aios_action *a, aios_refusal *no) {
            return refused<&hooks::before_call>(u, m, no, *a);
        };
    if (on.after_call)
        c.after_call = [](void *u, const aios_moment *m, const aios_event *ev, aios_refusal *no) {
            return refused<&hooks::after_call>(u, m, no, event(ev));
        };
    if (on.on_handoff)
        c.on_handoff = [](void *u, const aios_moment *m, const char *from, const char *to, aios_refusal *no) {
            return refused<&hooks::on_handoff>(u, m, no, view(from), view(to));
        };
    if (on.on_stop)
        c.on_stop = [](void *u, const aios_moment *m, const aios_event *last) {
            guarded([&] { return static_cast<callbacks *>(u)->on.on_stop(*m, last), 0; }, [](int code, const char *) { return code; });
        };
}

} // namespace detail

/**
 * What an agent is made of: aios_agent_config, with values in place of pointers to structs. Texts and other pointers are borrowed until the
 * agent is made.
 */
class agent_config : public init<aios_agent_config> {
public:
    init<aios_limits> limits;
    init<aios_sampling> sampling;
    init<aios_compact> compact;
    aios_rules *rules = nullptr;   /**< asked before decide; a reference is held */
    /**
     * The gate: sets verdict (AIOS_ALLOW, AIOS_ASK, AIOS_DENY) and reason; what it throws denies. Empty, and no rules: READ effects are
     * allowed, others asked.
     */
    std::function<void(const aios_action &, aios_verdict &)> decide;
    aios::hooks hooks;             /**< owned by the agent, as decide is */
    /** Its tools, there until the agent is made, which holds a reference. */
    void toolset(const aios::toolset &ts)
    {
        aios_agent_config::toolset = ts.get();
        tools_ = ts.keep_;
    }
    void toolset(const aios::toolset &&) = delete;
    /** To whom it may hand a run, there until the agent is made, which holds a reference; NULL: back to the first. */
    void handoff(std::string_view to_name, std::string_view when, const agent *to = nullptr);

private:
    friend class agent;
    struct named {
        std::string name, description;
        aios_agent *agent;
        std::shared_ptr<detail::keeper> keep;
    };
    std::shared_ptr<detail::keeper> tools_;
    std::vector<named> handoffs_;
    using init<aios_agent_config>::policy;
    using init<aios_agent_config>::handoffs;
    using init<aios_agent_config>::handoff_stride;
    using init<aios_agent_config>::n_handoffs;
};

/** A run of an agent, which it keeps alive with all its callables. `for (aios::event ev : run)` drives it. */
class run : public owner<aios_run, aios_run_free> {
public:
    using owner::owner;
    using all = aios::events<aios_run, aios_run_next>;
    run() noexcept = default;
    all events(status *st) const & noexcept { return all(p_, st); }
    all events(status *st) const && = delete;
    all::iterator begin() const { return all(p_, nullptr).begin(); }
    all::sentinel end() const noexcept { return {}; }
    /** Answers an ASK or an UNKNOWN: AIOS_ALLOW, AIOS_DENY or AIOS_UNASKED. */
    int decide(std::string_view call_id, int32_t verdict, status *st = nullptr)
    {
        return checked(st, aios_run_decide, p_, std::string(call_id).c_str(), verdict);
    }
    /** Any thread, or a signal handler. */
    int cancel() noexcept { return aios_run_cancel(p_); }
    std::string_view id() const noexcept { return detail::view(aios_run_id(p_)); }
    /** Borrowed; it changes while the run is driven. */
    const aios_transcript *transcript() const noexcept { return aios_run_transcript(p_); }
    /** Readable when there is something to do: for aios_run_next with timeout 0. -1 if it cannot be. */
    int fd() noexcept { return aios_run_fd(p_); }

private:
    friend class agent;
};

/** A model with tools, a policy and limits. */
class agent : public owner<aios_agent, aios_agent_free> {
public:
    using owner::owner;
    agent() noexcept = default;
    agent(aios_ctx *c, const agent_config &cfg, status *st = nullptr)
    {
        auto own = std::make_shared<detail::callbacks>();
        own->decide = cfg.decide;
        own->on = cfg.hooks;
        init<aios_agent_config> in(cfg);
        init<aios_policy> policy;
        policy.user = own.get();
        policy.decide = cfg.decide ? detail::decide : nullptr;
        policy.rules = cfg.rules;
        init<aios_hooks> hooks;
        detail::fill(hooks, cfg.hooks, own.get());
        std::vector<init<aios_handoff>> handoffs(cfg.handoffs_.size());
        for (size_t i = 0; i < handoffs.size(); i++) {
            const auto &from = cfg.handoffs_[i];
            handoffs[i].name = from.name.c_str();
            handoffs[i].description = from.description.c_str();
            handoffs[i].agent = from.agent;
            own->others.push_back(from.keep);
        }
        own->others.push_back(cfg.tools_);
        in.policy = cfg.decide || cfg.rules ? &policy : nullptr;
        in.limits = &cfg.limits;
        in.sampling = &cfg.sampling;
        in.compact = &cfg.compact;
        in.hooks = &hooks;
        in.handoffs = handoffs.data();
        in.handoff_stride = sizeof(aios_handoff);
        in.n_handoffs = static_cast<uint32_t>(handoffs.size());
        checked(st, aios_agent_new, c, &in, &p_);
        keep_ = std::move(own);
    }
    /** Begins a run; t, if given, is continued, and must outlive it. */
    run start(std::string_view prompt, aios_transcript *t = nullptr, status *st = nullptr) const
    {
        return made([&](aios_run **out, aios_error *err) { return aios_run_start(p_, t, prompt.data(), prompt.size(), out, err); }, st);
    }
    run start(const aios_run_options &options, status *st = nullptr) const
    {
        return made([&](aios_run **out, aios_error *err) { return aios_run_start_with(p_, &options, out, err); }, st);
    }
    /** Goes on with a run of the agent's store. */
    run resume(std::string_view id, status *st = nullptr) const
    {
        return made([&](aios_run **out, aios_error *err) { return aios_run_resume(p_, std::string(id).c_str(), out, err); }, st);
    }
    /** A whole run: the text of its reply. What would be asked is denied. */
    std::string ask(std::string_view prompt, status *st = nullptr) const
    {
        std::string out;
        auto last = [&](const aios_event &ev) {
            if (ev.type == AIOS_EVENT_DONE)
                out.assign(ev.text, ev.n_text);
        };
        detail::visit<aios_event>(st, last, aios_agent_run, p_, prompt.data(), prompt.size());
        return out;
    }

private:
    friend class agent_config;
    friend class toolset;
    template <class F> run made(F &&make, status *st) const
    {
        run out;
        out.keep_ = keep_;
        checked(st, [&](aios_error *err) { return make(&out.p_, err); });
        return out;
    }
};

inline void agent_config::handoff(std::string_view to_name, std::string_view when, const agent *to)
{
    handoffs_.push_back({std::string(to_name), std::string(when), to ? to->get() : nullptr, to ? to->keep_ : nullptr});
}

inline int toolset::add(const agent &a, std::string_view name, std::string_view description, uint32_t flags, status *st)
{
    std::string n(name), d(description);
    init<aios_agent_tool> spec;
    spec.name = n.c_str();
    spec.description = d.c_str();
    spec.flags = flags;
    if (!keep_) // one that C made
        keep_ = std::make_shared<detail::keeper>();
    int rc = checked(st, aios_toolset_add_agent, p_, a.get(), &spec);
    if (rc >= 0 && !detail::reaches(a.keep_.get(), keep_.get()))
        keep_->others.push_back(a.keep_);
    return rc;
}

AIOS_CPP_END
#endif

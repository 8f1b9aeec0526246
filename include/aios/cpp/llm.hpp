/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/llm.hpp
 * Transcripts, models, sessions, and events by range-for.
 */
#ifndef AIOS_CPP_LLM_HPP
#define AIOS_CPP_LLM_HPP

#include <aios/cpp/base.hpp>

AIOS_CPP_BEGIN

/** An event, its texts as views; `ev->` reaches all fields of aios_event. Good until the next one is asked for. */
class event {
public:
    event(const aios_event *e) noexcept : e_(e) {}
    int32_t type() const noexcept { return e_->type; } /**< AIOS_EVENT_x */
    std::string_view text() const noexcept { return e_->text ? std::string_view(e_->text, e_->n_text) : std::string_view(); }
    std::string_view name() const noexcept { return detail::view(e_->name); }
    std::string_view call_id() const noexcept { return detail::view(e_->call_id); }
    const aios_event *operator->() const noexcept { return e_; }
    operator const aios_event &() const noexcept { return *e_; }

private:
    const aios_event *e_;
};

/**
 * Events of a turn or a run, for one loop; the object must outlive it. After an ERROR event, which the loop has seen, the next step throws
 * the failure, or tells the status. A loop that was left goes on with the next one. It ends early, with AIOS_AGAIN, where all
 * calls of a run wait for run::decide: decide, and loop on.
 */
template <class T, int (*Next)(T *, int32_t, const aios_event **)> class events {
public:
    events(T *from, status *st) noexcept : from_(from), st_(st) {}
    struct sentinel {};
    class iterator {
    public:
        iterator(T *from, status *st) : from_(from), st_(st) { advance(); }
        event operator*() const noexcept { return ev_; }
        iterator &operator++()
        {
            if (ev_->type == AIOS_EVENT_ERROR)
                fail(std::exchange(ev_, nullptr));
            else
                advance();
            return *this;
        }
        bool operator!=(sentinel) const noexcept { return ev_ != nullptr; }
        bool operator==(sentinel) const noexcept { return ev_ == nullptr; }

    private:
        void fail(const aios_event *ev)
        {
            status own, &now = st_ ? *st_ : own;
            now = status();
            if (ev->error)
                static_cast<aios_error &>(now) = *ev->error;
            detail::settle(now.code < 0 ? now.code : int(AIOS_EINTERNAL), now, st_ != nullptr);
        }
        void advance()
        {
            ev_ = nullptr;
            if (from_)
                checked(st_, [this](aios_error *) { return Next(from_, -1, &ev_); });
        }
        T *from_;
        status *st_;
        const aios_event *ev_ = nullptr;
    };
    iterator begin() const { return iterator(from_, st_); }
    sentinel end() const noexcept { return {}; }

private:
    T *from_;
    status *st_;
};

/** A transcript as JSON; also of one that is borrowed, as a run's. */
inline std::string to_json(const aios_transcript *t, status *st = nullptr)
{
    std::string out;
    checked(st, aios_transcript_write_json, t, &detail::append, static_cast<void *>(&out));
    return out;
}

/** A conversation: entries of parts. */
class transcript : public owner<aios_transcript, aios_transcript_free> {
public:
    using owner::owner;
    transcript() noexcept = default;
    explicit transcript(aios_ctx *c, status *st = nullptr) { checked(st, aios_transcript_new, c, &p_); }
    /** Of what to_json wrote. */
    static transcript from_json(aios_ctx *c, std::string_view json, status *st = nullptr)
    {
        transcript out;
        checked(st, aios_transcript_read_json, c, json.data(), json.size(), &out.p_);
        return out;
    }
    /** One text at the end; role: AIOS_ROLE_x. */
    int add(int32_t role, std::string_view text, status *st = nullptr)
    {
        return checked(st, aios_transcript_add_text, p_, role, text.data(), text.size());
    }
    /** An entry with all that C has for it. */
    int add(const aios_entry &e, status *st = nullptr) { return checked(st, aios_transcript_add, p_, &e); }
    uint32_t size() const noexcept { return aios_transcript_count(p_); }
    /** Entry i, borrowed until the transcript changes; EINVAL past the end. */
    init<aios_entry> at(uint32_t i, status *st = nullptr) const
    {
        init<aios_entry> out;
        checked(st, [&](aios_error *) { return aios_transcript_at(p_, i, &out); });
        return out;
    }
    /** Drops the entries from i on. */
    int truncate(uint32_t i, status *st = nullptr) { return checked(st, aios_transcript_truncate, p_, i); }
    transcript copy(status *st = nullptr) const
    {
        transcript out;
        checked(st, aios_transcript_copy, p_, &out.p_);
        return out;
    }
};

/** A model by its URI: "model.gguf", "echo:", "openai:NAME" ... Sessions and agents keep it alive. */
class model : public owner<aios_model, aios_model_close> {
public:
    using owner::owner;
    model() noexcept = default;
    model(aios_ctx *c, std::string_view uri, const init<aios_model_config> &cfg = {}, status *st = nullptr)
    {
        checked(st, aios_model_open, c, std::string(uri).c_str(), &cfg, &p_);
    }
    /** Facts; their texts live as long as the model. */
    init<aios_model_info> info() const
    {
        init<aios_model_info> out;
        aios_model_info_get(p_, &out);
        return out;
    }
    /** As many floats as info().n_embd. */
    std::vector<float> embed(std::string_view text, status *st = nullptr) const
    {
        std::vector<float> out(info().n_embd);
        if (checked(st, aios_model_embed, p_, text.data(), text.size(), out.data(), static_cast<uint32_t>(out.size())) < 0)
            out.clear();
        return out;
    }
    /** flags: AIOS_TOKENIZE_x. */
    std::vector<int32_t> tokenize(std::string_view text, uint32_t flags = 0, status *st = nullptr) const
    {
        uint32_t n = 0;
        int32_t *none = nullptr;
        std::vector<int32_t> out;
        if (checked(st, aios_model_tokenize, p_, text.data(), text.size(), flags, none, 0u, &n) < 0)
            return out;
        out.resize(n);
        if (checked(st, aios_model_tokenize, p_, text.data(), text.size(), flags, out.data(), n, &n) < 0)
            out.clear();
        return out;
    }
    /** The models that its server offers, as aios_model_list has them. */
    std::string list(status *st = nullptr) const
    {
        std::string out;
        checked(st, aios_model_list, p_, &detail::append, static_cast<void *>(&out));
        return out;
    }
};

/** A place where a model computes turns, and what it has computed. */
class session : public owner<aios_session, aios_session_free> {
public:
    using owner::owner;
    session() noexcept = default;
    using turn = events<aios_session, aios_session_next>;
    explicit session(aios_model *m, const init<aios_session_config> &cfg = {}, status *st = nullptr)
    {
        checked(st, aios_session_new, m, &cfg, &p_);
    }
    /** Starts a turn: `for (aios::event ev : session.start(request))`. One that could not start has no events. */
    turn start(const aios_request &req, status *st = nullptr) & { return turn(checked(st, aios_session_start, p_, &req) < 0 ? nullptr : p_, st); }
    /** A whole turn: the text of its reply. */
    std::string reply(const aios_request &req, status *st = nullptr)
    {
        std::string out;
        for (event ev : start(req, st))
            if (ev.type() == AIOS_EVENT_DONE)
                out = ev.text();
        return out;
    }
    /** Tokens that the request would send. */
    uint32_t count(const aios_request &req, status *st = nullptr)
    {
        uint32_t n = 0;
        checked(st, aios_session_count, p_, &req, &n);
        return n;
    }
    /** A second session that shares what was computed. */
    session fork(status *st = nullptr)
    {
        session out;
        checked(st, aios_session_fork, p_, &out.p_);
        return out;
    }
    /** Any thread, or a signal handler. */
    int cancel() noexcept { return aios_session_cancel(p_); }
    int save(std::string_view path, status *st = nullptr) { return checked(st, aios_session_save, p_, std::string(path).c_str()); }
    int load(std::string_view path, status *st = nullptr) { return checked(st, aios_session_load, p_, std::string(path).c_str()); }
};

AIOS_CPP_END
#endif

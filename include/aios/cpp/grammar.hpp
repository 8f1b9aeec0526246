/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/grammar.hpp
 * Languages of text, walks through them, and JSON while it is written.
 */
#ifndef AIOS_CPP_GRAMMAR_HPP
#define AIOS_CPP_GRAMMAR_HPP

#include <aios/cpp/base.hpp>

AIOS_CPP_BEGIN

/** A schema, expression or grammar, compiled once. */
class grammar : public owner<aios_grammar, aios_grammar_free> {
public:
    using owner::owner;
    grammar() noexcept = default;
    /** kind: AIOS_GRAMMAR_x. */
    grammar(aios_ctx *c, int32_t kind, std::string_view text, status *st = nullptr)
    {
        checked(st, aios_grammar_compile, c, kind, text.data(), text.size(), &p_);
    }
};

/** A position in the language of a grammar, which it keeps alive. */
class walk : public owner<aios_walk, aios_walk_free> {
public:
    using owner::owner;
    walk() noexcept = default;
    explicit walk(aios_grammar *g, status *st = nullptr) { checked(st, aios_walk_new, g, &p_); }
    /** Moves over the bytes; ESCHEMA if they leave the language, and then it stays where it was. */
    int accept(std::string_view s, status *st = nullptr) { return checked(st, aios_walk_accept, p_, s.data(), s.size()); }
    /** True where what was accepted is a whole sentence. */
    bool complete() const { return aios_walk_complete(p_) == 1; }
    /** Bytes that must come next, at most n_max. */
    std::string forced(size_t n_max = 256) const
    {
        std::string out(n_max, '\0');
        out.resize(aios_walk_forced(p_, out.data(), out.size()));
        return out;
    }
    /** A second walk at the same position. */
    walk copy(status *st = nullptr) const
    {
        walk out;
        checked(st, aios_walk_copy, p_, &out.p_);
        return out;
    }
};

/** Checks a JSON text against a schema; ESCHEMA with the path of the first violation. */
inline int check_schema(aios_ctx *c, std::string_view schema, std::string_view json, status *st = nullptr)
{
    return checked(st, aios_schema_check, c, schema.data(), schema.size(), json.data(), json.size());
}

/** JSON in pieces, at any time closed into a valid value. */
class snapshot : public owner<aios_snapshot, aios_snapshot_free> {
public:
    using owner::owner;
    snapshot() noexcept = default;
    explicit snapshot(aios_ctx *c, status *st = nullptr) { checked(st, aios_snapshot_new, c, &p_); }
    int add(std::string_view s, status *st = nullptr) { return checked(st, aios_snapshot_add, p_, s.data(), s.size()); }
    /** The text is over; EFORMAT if the value is not. */
    int end(status *st = nullptr) { return checked(st, aios_snapshot_end, p_); }
    /** What is sure so far, "" while no value has begun; lives until the next call. */
    std::string_view json(status *st = nullptr)
    {
        init<aios_snapshot_view> out;
        return checked(st, aios_snapshot_get, p_, &out) ? std::string_view() : std::string_view(out.json, out.n_json);
    }
    void reset() { aios_snapshot_reset(p_); }
};

AIOS_CPP_END
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file cpp/store.hpp
 * Stores, audits and memories.
 */
#ifndef AIOS_CPP_STORE_HPP
#define AIOS_CPP_STORE_HPP

#include <aios/cpp/base.hpp>

AIOS_CPP_BEGIN

/** Bytes of a record. */
inline std::string_view bytes(const aios_record &r) noexcept { return {static_cast<const char *>(r.data), r.n_data}; }

/** Streams of numbered records: "memory:", "sqlite:FILE" ... */
class store : public owner<aios_store, aios_store_close> {
public:
    using owner::owner;
    store() noexcept = default;
    store(aios_ctx *c, std::string_view uri, const init<aios_store_config> &cfg = {}, status *st = nullptr)
    {
        checked(st, aios_store_open, c, std::string(uri).c_str(), &cfg, &p_);
    }
    /** Commits all or nothing; seqs gets their numbers. */
    int commit(const std::vector<init<aios_store_write>> &writes, std::vector<uint64_t> *seqs = nullptr, status *st = nullptr)
    {
        if (seqs)
            seqs->assign(writes.size(), 0);
        uint64_t *numbers = seqs ? seqs->data() : nullptr;
        return checked(st, aios_store_commit, p_, writes.data(), static_cast<uint32_t>(writes.size()), sizeof(aios_store_write), numbers);
    }
    /** One record; its number, 0 if it failed. expect: the number that it must get, or 0. */
    uint64_t append(std::string_view stream, std::string_view data, uint32_t kind = 0, uint64_t expect = 0, status *st = nullptr)
    {
        std::string name(stream);
        std::vector<init<aios_store_write>> one(1);
        std::vector<uint64_t> seqs;
        one[0].stream = name.c_str();
        one[0].data = data.data() ? data.data() : "";
        one[0].n_data = data.size();
        one[0].kind = kind;
        one[0].seq = expect;
        return commit(one, &seqs, st) < 0 ? 0 : seqs[0];
    }
    /** Calls fn(const aios_record &) for each record from number `from` on; fn returns nothing, or false where it has enough. */
    template <class F> int read(std::string_view stream, uint64_t from, F fn, status *st = nullptr) const
    {
        return detail::visit<aios_record>(st, fn, aios_store_read, p_, std::string(stream).c_str(), from);
    }
    /** Calls fn(const aios_stream &) for each stream whose name begins so. */
    template <class F> int list(std::string_view prefix, F fn, status *st = nullptr) const
    {
        return detail::visit<aios_stream>(st, fn, aios_store_list, p_, std::string(prefix).c_str());
    }
    /** Number of the newest record; 0: there is no such stream. */
    uint64_t head(std::string_view stream, status *st = nullptr) const
    {
        uint64_t seq = 0;
        checked(st, aios_store_head, p_, std::string(stream).c_str(), &seq);
        return seq;
    }
    int remove(std::string_view stream, status *st = nullptr) { return checked(st, aios_store_remove, p_, std::string(stream).c_str()); }
    /** Reads all there is against its sums. */
    int check(status *st = nullptr) const { return checked(st, aios_store_check, p_); }
};

/** The name of a stream, taken for one worker. */
class claim : public owner<aios_claim, aios_claim_release> {
public:
    using owner::owner;
    claim() noexcept = default;
    claim(aios_store *s, std::string_view name, const init<aios_claim_args> &args = {}, status *st = nullptr)
    {
        checked(st, aios_store_claim, s, std::string(name).c_str(), &args, &p_);
    }
    std::string_view name() const noexcept { return detail::view(aios_claim_name(p_)); }
    uint64_t epoch() const noexcept { return aios_claim_epoch(p_); }
    int renew(status *st = nullptr) { return checked(st, aios_claim_renew, p_); }
};

/** A log of a store whose rows hold each other by their hashes. */
class audit : public owner<aios_audit, aios_audit_free> {
public:
    using owner::owner;
    audit() noexcept = default;
    audit(aios_store *s, std::string_view stream, const init<aios_audit_config> &cfg = {}, status *st = nullptr)
    {
        checked(st, aios_audit_open, s, std::string(stream).c_str(), &cfg, &p_);
    }
    /** A row in a commit of its own. */
    int append(uint32_t kind, std::string_view data, status *st = nullptr)
    {
        return checked(st, aios_audit_append, p_, kind, data.data(), data.size());
    }
    init<aios_audit_head> head() const
    {
        init<aios_audit_head> out;
        aios_audit_head_get(p_, &out);
        return out;
    }
};

/** Texts that are found again by their words: "memory:", "sqlite:FILE" ... */
class memory : public owner<aios_memory, aios_memory_close> {
public:
    using owner::owner;
    memory() noexcept = default;
    memory(aios_ctx *c, std::string_view uri, const init<aios_memory_config> &cfg = {}, status *st = nullptr)
    {
        checked(st, aios_memory_open, c, std::string(uri).c_str(), &cfg, &p_);
    }
    /** One item; its id, 0 if it failed. */
    uint64_t add(const aios_item &item, status *st = nullptr)
    {
        uint64_t id = 0;
        return checked(st, aios_memory_add, p_, &item, 1u, sizeof item, &id) < 0 ? 0 : id;
    }
    /** Calls fn(const aios_hit &) for the best items, best first. */
    template <class F> int search(const aios_query &q, F fn, status *st = nullptr) const
    {
        return detail::visit<aios_hit>(st, fn, aios_memory_search, p_, &q);
    }
    /** Calls fn(const aios_hit &) for the items that q lets see, the newest first. */
    template <class F> int list(const aios_query &q, F fn, status *st = nullptr) const
    {
        return detail::visit<aios_hit>(st, fn, aios_memory_list, p_, &q);
    }
    /** One item, seen by q. */
    int remove(uint64_t id, const init<aios_query> &q = {}, status *st = nullptr) { return checked(st, aios_memory_remove, p_, id, &q); }
};

AIOS_CPP_END
#endif

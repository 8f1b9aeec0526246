/* SPDX-License-Identifier: Apache-2.0 */
/* Owners, failures, and what is no agent. */
#include "cases.hpp"

#include <atomic>
#include <cstring>

using namespace std::string_literals;

template <class T>
constexpr bool moves_only = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                            std::is_nothrow_destructible_v<T> && !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(moves_only<aios::ctx> && moves_only<aios::model> && moves_only<aios::session> && moves_only<aios::transcript>);
static_assert(moves_only<aios::toolset> && moves_only<aios::agent> && moves_only<aios::run> && moves_only<aios::call>);
static_assert(moves_only<aios::rules>);
static_assert(moves_only<aios::store> && moves_only<aios::claim> && moves_only<aios::audit> && moves_only<aios::memory>);
static_assert(moves_only<aios::grammar> && moves_only<aios::walk> && moves_only<aios::snapshot> && moves_only<aios::telemetry>);
static_assert(moves_only<aios::buffer> && moves_only<aios::tensor> && moves_only<aios::arena> && moves_only<aios::pool>);
static_assert(!std::is_convertible_v<aios::model, aios_model *> && std::is_convertible_v<aios::model &, aios_model *>);
static_assert(std::is_base_of_v<std::runtime_error, aios::error>);
static_assert(sizeof(aios::init<aios_agent_config>) == sizeof(aios_agent_config), "strides count on it");

/* The code that f throws as an aios::error; 0: it throws none. */
template <class F> static int thrown_by(F f)
{
    try {
        f();
    } catch (const aios::error &e) {
        CHECK(e.what()[0] && e.name() == std::string(aios_code_name(e.code())));
        return e.code();
    }
    return 0;
}

static void failed_open_throws_a_typed_error()
{
    aios::ctx ctx;
    CHECK(thrown_by([&] { aios::model(ctx, "/nowhere/at/all.gguf"); }) == AIOS_ENOENT);
    CHECK(thrown_by([&] { aios::model(ctx, "no-such-scheme:x"); }) == AIOS_ENOTSUP);
    CHECK(thrown_by([&] { aios::store(ctx, "no-such-scheme:x"); }) == AIOS_ENOTSUP);
    CHECK(thrown_by([&] { ctx.load_plugin("/nowhere.so"); }) == AIOS_ENOENT);
    CHECK(thrown_by([&] { aios::grammar(ctx, AIOS_GRAMMAR_REGEX, "(("); }) == AIOS_ESCHEMA);
}

static void error_carries_both_numbers()
{
    aios::init<aios_ctx_config> cfg;
    cfg.budget = 64u << 20;
    aios::ctx ctx(cfg);
    CHECK(ctx.usage().budget == cfg.budget);
    try {
        ctx.set_budget(1);
        CHECK(false);
    } catch (const std::runtime_error &e) {
        const auto &own = dynamic_cast<const aios::error &>(e);
        CHECK(own.code() == AIOS_EBUDGET && own.have() == 1 && own.need() == ctx.usage().used);
    }
}

static void status_is_told_instead()
{
    aios::ctx ctx;
    aios::status st;
    aios::model none(ctx, "/nowhere/at/all.gguf", {}, &st);
    CHECK(!none && st.code == AIOS_ENOENT && !st.message().empty());
    aios::model model(ctx, "echo:say yes", {}, &st);
    CHECK(model && st.ok() && st.code == AIOS_OK && st.message().empty());
    CHECK(std::string_view("echo") == model.info().backend);
}

static void any_c_function_is_checked()
{
    aios::ctx ctx;
    CHECK(thrown_by([&] { aios::checked(nullptr, aios_ctx_set_budget, ctx, 1u); }) == AIOS_EBUDGET);
    CHECK(aios::checked(nullptr, aios_ctx_set_budget, ctx.get(), 1u << 30) == AIOS_OK);
}

static void moved_objects_stay_whole()
{
    aios::ctx ctx;
    aios::model a(ctx, "echo:say a"), b(ctx, "echo:say b");
    aios_model *was_a = a;
    aios::model c(std::move(a));
    CHECK(!a && c.get() == was_a);
    b = std::move(c);
    CHECK(!c && b.get() == was_a);
    aios::model &same = b;
    b = std::move(same);
    CHECK(b.get() == was_a);
    std::vector<aios::model> many;
    for (int i = 0; i < 20; i++)
        many.emplace_back(ctx, "echo:say " + std::to_string(i));
    aios::init<aios_request> req;
    req.raw = "x";
    req.n_raw = 1;
    CHECK(aios::session(many[13]).reply(req) == "13");
    aios::ctx moved(std::move(ctx));
    CHECK(!ctx && aios::session(aios::model(moved, "echo:say b").get()).reply(req) == "b");
}

static void children_outlive_their_parents()
{
    aios::session session;
    {
        aios::ctx ctx;
        aios::model model(ctx, "echo:say still here");
        session = aios::session(model);
    }
    aios::init<aios_request> req;
    req.raw = "x";
    req.n_raw = AIOS_CSTR;
    std::string text;
    for (aios::event ev : session.start(req))
        if (ev.type() == AIOS_EVENT_TEXT)
            text += ev.text();
    CHECK(text == "still here");
}

static void session_turn_tells_its_failure()
{
    aios::ctx ctx;
    aios::model model(ctx, "echo:fail EAUTH who are you");
    aios::session session(model);
    aios::transcript t(ctx);
    t.add(AIOS_ROLE_USER, "hello");
    aios::init<aios_request> req;
    req.transcript = t;
    CHECK(session.count(req) > 0);
    CHECK(thrown_by([&] { session.reply(req); }) == AIOS_EAUTH);
    aios::status st;
    CHECK(session.reply(req, &st).empty() && st.code == AIOS_EAUTH);
    CHECK(thrown_by([&] { session.start(aios::init<aios_request>()); }) == AIOS_EINVAL);
    int n = 0;
    for (aios::event ev : session.start(aios::init<aios_request>(), &st))
        n += ev.type();
    CHECK(!n && st.code == AIOS_EINVAL);
}

static void transcript_survives_json()
{
    aios::ctx ctx;
    aios::transcript t(ctx);
    t.add(AIOS_ROLE_SYSTEM, "Be brief.");
    t.add(AIOS_ROLE_USER, std::string_view("hello, world").substr(0, 5));
    std::string json = aios::to_json(t);
    aios::transcript back = aios::transcript::from_json(ctx, json), copy = back.copy();
    CHECK(back.size() == 2 && aios::to_json(back) == json && aios::to_json(copy) == json);
    aios::init<aios_entry> e = back.at(1);
    CHECK(e.role == AIOS_ROLE_USER && std::string_view(e.parts->text, e.parts->n_text) == "hello");
    copy.truncate(1);
    CHECK(copy.size() == 1 && thrown_by([&] { copy.at(1); }) == AIOS_EINVAL);
    CHECK(thrown_by([&] { aios::transcript::from_json(ctx, "{"); }) == AIOS_EFORMAT);
    CHECK(thrown_by([&] { copy.add(77, "x"); }) == AIOS_EINVAL);
}

static void grammars_are_walked()
{
    aios::ctx ctx;
    aios::grammar g(ctx, AIOS_GRAMMAR_REGEX, "ab[0-9]c?");
    aios::walk w(g);
    CHECK(w.forced() == "ab" && !w.complete());
    w.accept("ab7");
    aios::walk copy = w.copy();
    CHECK(w.complete() && thrown_by([&] { w.accept("x"); }) == AIOS_ESCHEMA);
    copy.accept("c");
    CHECK(copy.complete());
    CHECK(aios::check_schema(ctx, R"({"type":"integer"})", "7") == AIOS_OK);
    CHECK(thrown_by([&] { aios::check_schema(ctx, R"({"type":"integer"})", "\"7\""); }) == AIOS_ESCHEMA);
    aios::snapshot s(ctx);
    CHECK(s.json().empty());
    s.add(R"({"a":[1,2)");
    CHECK(s.json() == R"({"a":[1]})");
    CHECK(thrown_by([&] { s.end(); }) == AIOS_EFORMAT);
}

static void stores_are_read_by_lambdas()
{
    aios::ctx ctx;
    aios::store store(ctx, "memory:");
    CHECK(store.append("log", "one", 7) == 1 && store.append("log", "two\0two"s) == 2 && store.append("log", "", 0, 3) == 3);
    std::vector<std::string> seen;
    store.read("log", 0, [&](const aios_record &r) { seen.emplace_back(aios::bytes(r)); });
    CHECK(seen == (std::vector<std::string>{"one", "two\0two"s, ""}));
    int n = 0;
    store.read("log", 2, [&](const aios_record &) { return ++n < 1; });
    CHECK(n == 1 && store.head("log") == 3 && store.head("none") == 0);
    try {
        store.read("log", 0, [](const aios_record &r) {
            if (r.seq == 2)
                throw std::out_of_range("at two");
        });
        CHECK(false);
    } catch (const std::out_of_range &e) {
        CHECK(!std::strcmp(e.what(), "at two"));
    }
    aios::status st;
    CHECK(store.append("log", "x", 0, 9, &st) == 0 && st.code == AIOS_ECONFLICT && st.have == 4 && st.need == 9);
    std::string names;
    store.list("", [&](const aios_stream &s) { names += s.name; });
    CHECK(names == "log" && store.check() == AIOS_OK);
    aios::claim mine(store, "log");
    CHECK(mine.name() == "log" && mine.epoch() > 0 && mine.renew() == AIOS_OK);
    CHECK(thrown_by([&] { aios::claim(store, "log"); }) == AIOS_EBUSY);
    mine = aios::claim();
    CHECK(aios::claim(store, "log").get() != nullptr);
    store.remove("log");
    CHECK(thrown_by([&] { store.remove("log"); }) == AIOS_ENOENT);
}

static void audits_hold_their_rows()
{
    if (!aios_has("crypto"))
        return;
    aios::ctx ctx;
    aios::store store(ctx, "memory:");
    aios::audit audit(store, "audit");
    audit.append(1, "row");
    CHECK(audit.head().seq == 1 && store.head("audit") == 1);
    store.append("audit", "forged");
    CHECK(thrown_by([&] { aios::audit(store, "audit"); }) == AIOS_EFORMAT);
}

static void memories_are_searched()
{
    if (!aios_has("sqlite"))
        return;
    aios::ctx ctx;
    aios::memory memory(ctx, "memory:");
    aios::init<aios_item> item;
    item.text = "Sam drinks green tea";
    item.n_text = AIOS_CSTR;
    uint64_t id = memory.add(item);
    aios::init<aios_query> q;
    q.text = "tea";
    q.n_text = 3;
    int n = 0;
    memory.search(q, [&](const aios_hit &h) { n += h.item->id == id && h.score > 0; });
    CHECK(n == 1);
    memory.list(aios::init<aios_query>(), [&](const aios_hit &) { n++; });
    CHECK(n == 2 && memory.remove(id) == AIOS_OK && thrown_by([&] { memory.remove(id); }) == AIOS_ENOENT);
}

static void tensors_and_pools_compute()
{
    aios::ctx ctx;
    CHECK(!ctx.device(1000));
    aios::init<aios_buffer_config> cfg;
    cfg.n_bytes = 64;
    aios::buffer buf(ctx.device(), cfg);
    aios::init<aios_tensor_desc> desc;
    desc.dtype = AIOS_DTYPE_F32;
    desc.n_dims = 1;
    desc.ne[0] = 16;
    aios::tensor t(buf, 0, desc);
    float in[16], out[4] = {0};
    for (int i = 0; i < 16; i++)
        in[i] = float(i);
    t.write(in, sizeof in);
    buf = buf.share();
    buf = aios::buffer();
    aios::tensor part = t.slice(0, 4, 4);
    t = aios::tensor();
    part.read(out, sizeof out);
    CHECK(out[0] == 4 && out[3] == 7 && part.desc().ne[0] == 4);
    CHECK(thrown_by([&] { part.slice(0, 3, 4); }) == AIOS_EINVAL);
    aios::arena arena(ctx.device());
    CHECK(arena.alloc(100) && thrown_by([&] { arena.alloc(SIZE_MAX - 64); }) < 0);
    aios::pool pool(ctx);
    std::atomic<uint32_t> sum{0};
    pool.run(100, [&](uint32_t i, uint32_t) { sum += i; });
    CHECK(sum == 4950 && pool.threads() >= 1);
    try {
        pool.run(100, [&](uint32_t i, uint32_t) {
            if (i % 10 == 3)
                throw std::length_error("three");
            sum++;
        });
        CHECK(false);
    } catch (const std::length_error &) {
        CHECK(sum == 4950 + 90);
    }
}

static void telemetry_is_flushed()
{
    aios::ctx ctx;
    aios::init<aios_telemetry_config> cfg;
    int n = 0;
    cfg.user = &n;
    cfg.write = [](void *user, const char *, const char *, size_t) { return ++*static_cast<int *>(user), 0; };
    {
        aios::telemetry tm(ctx, cfg);
        CHECK(tm.flush(10000));
        aios::model model(ctx, "echo:say hi");
        aios::agent_config of;
        of.model = model;
        of.telemetry = tm;
        aios::agent(ctx, of).ask("hello");
        CHECK(tm.flush(10000));
    }
    CHECK(n > 0);
}

test_cases object_cases()
{
    static const test_case cases[] = {
        {"failed_open_throws_a_typed_error", failed_open_throws_a_typed_error},
        {"error_carries_both_numbers", error_carries_both_numbers},
        {"status_is_told_instead", status_is_told_instead},
        {"any_c_function_is_checked", any_c_function_is_checked},
        {"moved_objects_stay_whole", moved_objects_stay_whole},
        {"children_outlive_their_parents", children_outlive_their_parents},
        {"session_turn_tells_its_failure", session_turn_tells_its_failure},
        {"transcript_survives_json", transcript_survives_json},
        {"grammars_are_walked", grammars_are_walked},
        {"stores_are_read_by_lambdas", stores_are_read_by_lambdas},
        {"audits_hold_their_rows", audits_hold_their_rows},
        {"memories_are_searched", memories_are_searched},
        {"tensors_and_pools_compute", tensors_and_pools_compute},
        {"telemetry_is_flushed", telemetry_is_flushed},
    };
    return {cases, sizeof cases / sizeof *cases};
}

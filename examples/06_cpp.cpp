// SPDX-License-Identifier: Apache-2.0
// The C API from C++17: handles that free themselves, errors as exceptions, a tool as a lambda. Usage: 06_cpp [MODEL]
#include <aios/aios.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace aios {

// Every public struct with its size filled in and all else at its default.
template <class T> T init()
{
    T t{};
    t.struct_size = sizeof t;
    return t;
}

template <auto Free> struct deleter {
    template <class T> void operator()(T *p) const { Free(p); }
};
template <class T, auto Free> using handle = std::unique_ptr<T, deleter<Free>>;
using ctx = handle<aios_ctx, aios_ctx_free>;
using model = handle<aios_model, aios_model_close>;
using toolset = handle<aios_toolset, aios_toolset_free>;
using agent = handle<aios_agent, aios_agent_free>;

struct error : std::runtime_error {
    int code;
    explicit error(const aios_error &e) : std::runtime_error(e.msg), code(e.code) {}
};

// make<handle>(fn, args...): calls fn(args..., &out, &err) and throws what went wrong.
template <class Handle, class Fn, class... Args> Handle make(Fn fn, Args... args)
{
    auto err = aios::init<aios_error>();
    typename Handle::pointer out = nullptr;
    if (fn(args..., &out, &err) < 0)
        throw error(err);
    return Handle(out);
}

using tool_fn = std::function<std::string(std::string_view args)>;

// The set owns the function; an exception becomes the tool's failure, since it must not cross C.
void add_tool(aios_toolset *ts, const char *name, const char *description, const char *schema, tool_fn fn)
{
    auto owned = std::make_unique<tool_fn>(std::move(fn));
    auto t = aios::init<aios_tool>();
    t.name = name;
    t.description = description;
    t.schema_json = schema;
    t.effect = AIOS_EFFECT_READ;
    t.user = owned.get();
    t.release = [](void *user) { delete static_cast<tool_fn *>(user); };
    t.fn = [](void *user, aios_call *call) -> int {
        try {
            std::string out = (*static_cast<tool_fn *>(user))(aios_call_args(call));
            return aios_call_finish(call, 0, out.data(), out.size());
        } catch (const std::exception &e) {
            return aios_call_finish(call, AIOS_ETOOL, e.what(), AIOS_CSTR);
        }
    };
    auto err = aios::init<aios_error>();
    if (aios_toolset_add(ts, &t, &err) < 0)
        throw error(err);
    owned.release();
}

using on_event = std::function<void(const aios_event &)>;

void run(aios_agent *a, std::string_view prompt, on_event fn)
{
    auto err = aios::init<aios_error>();
    auto forward = [](void *user, const aios_event *ev) -> int {
        try {
            (*static_cast<on_event *>(user))(*ev);
            return 0;
        } catch (...) {
            return 1; // cancels
        }
    };
    if (aios_agent_run(a, prompt.data(), prompt.size(), forward, &fn, &err) < 0)
        throw error(err);
}

} // namespace aios

int main(int argc, char **argv)
try {
    const char *uri = argc > 1 ? argv[1] : R"(echo:call shout {"text":"hello"}; result)";
    auto ctx = aios::make<aios::ctx>(aios_ctx_new, static_cast<const aios_ctx_config *>(nullptr));
    auto model = aios::make<aios::model>(aios_model_open, ctx.get(), uri, static_cast<const aios_model_config *>(nullptr));
    auto tools = aios::make<aios::toolset>(aios_toolset_new, ctx.get());
    int shouts = 0;
    aios::add_tool(tools.get(), "shout", "Writes a text in capital letters.",
                   R"({"type":"object","properties":{"text":{"type":"string"}},"required":["text"]})", [&](std::string_view args) {
                       shouts++;
                       std::string out(args);
                       for (char &c : out)
                           c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
                       return out;
                   });
    auto cfg = aios::init<aios_agent_config>();
    cfg.model = model.get();
    cfg.toolset = tools.get();
    cfg.tool_choice = AIOS_TOOLS_REQUIRED;
    auto agent = aios::make<aios::agent>(aios_agent_new, ctx.get(), static_cast<const aios_agent_config *>(&cfg));
    aios::run(agent.get(), "Shout hello.", [](const aios_event &ev) {
        if (ev.type == AIOS_EVENT_TEXT)
            std::printf("%.*s", static_cast<int>(ev.n_text), ev.text);
    });
    std::printf("\n[%d calls]\n", shouts);
} catch (const aios::error &e) {
    std::fprintf(stderr, "%s (%s)\n", e.what(), aios_code_name(e.code));
    return 1;
}

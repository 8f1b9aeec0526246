// SPDX-License-Identifier: Apache-2.0
// An agent with a tool in C++17. Usage: 06_cpp [MODEL]
#include <aios/aios.hpp>
#include <cstdio>

int main(int argc, char **argv)
try {
    aios::ctx ctx;
    aios::model model(ctx, argc > 1 ? argv[1] : R"(echo:call shout {"text":"hello"}; result)");
    aios::toolset tools(ctx);
    int shouts = 0;
    tools.add({"shout", "Writes a text in capital letters.", // READ effects need nobody's consent by default
               R"({"type":"object","properties":{"text":{"type":"string"}},"required":["text"]})", AIOS_EFFECT_READ},
              [&](std::string_view args) {
                  shouts++;
                  std::string out(args);
                  for (char &c : out)
                      c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
                  return out; // what a tool throws becomes the call's failure, which the model reads
              });
    aios::agent_config cfg;
    cfg.model = model;
    cfg.toolset(tools);
    cfg.tool_choice = AIOS_TOOLS_REQUIRED; // the first turn must call; the default leaves it to the model
    aios::agent agent(ctx, cfg);
    for (aios::event ev : agent.start("Shout hello."))
        if (ev.type() == AIOS_EVENT_TEXT)
            std::printf("%.*s", static_cast<int>(ev.text().size()), ev.text().data());
    std::printf("\n[%d calls]\n", shouts);
} catch (const aios::error &e) {
    std::fprintf(stderr, "%s (%s)\n", e.what(), e.name());
    return 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The table of call formats, and the words of chat templates by which a family is known. */
#include "llm/call_format.h"

#include <string.h>

/* clang-format off */
static const aios__call_format formats[] = {
    {.name = "hermes", .opener = "<tool_call>", .open = "", .begin = "<tool_call>\n", .end = "\n</tool_call>", .between = "\n", .close = "",
     .name_key = "name", .args_key = "arguments", .result_open = "<tool_response>\n", .result_close = "\n</tool_response>"},
    {.name = "json", .opener = "{\"name\": ", .open = "", .begin = "", .end = "", .between = "\n", .close = "",
     .name_key = "name", .args_key = "arguments", .bare = true},
    {.name = "llama3", .opener = "{\"name\": ", .open = "", .begin = "", .end = "", .between = "; ", .close = "",
     .name_key = "name", .args_key = "parameters", .bare = true},
    {.name = "llama4", .opener = "<|python_start|>", .open = "<|python_start|>[", .begin = "", .end = "", .between = ", ", .close = "]<|python_end|>",
     .mid = "", .args = AIOS__ARGS_PYTHON, .bare = true},
    {.name = "lfm2", .opener = "<|tool_call_start|>", .open = "<|tool_call_start|>[", .begin = "", .end = "", .between = ", ", .close = "]<|tool_call_end|>",
     .mid = "", .args = AIOS__ARGS_PYTHON},
    {.name = "mistral-list", .opener = "[TOOL_CALLS]", .open = "[TOOL_CALLS][", .begin = "", .end = "", .between = ", ", .close = "]",
     .name_key = "name", .args_key = "arguments", .id_key = "id", .id_text = "[a-zA-Z0-9]{9}", .id_len = 9, .list = true},
    {.name = "mistral-list-spaced", .opener = "[TOOL_CALLS]", .open = "[TOOL_CALLS] [", .begin = "", .end = "", .between = ", ", .close = "]",
     .name_key = "name", .args_key = "arguments", .id_key = "id", .id_text = "[a-zA-Z0-9]{9}", .id_len = 9, .list = true},
    {.name = "mistral-args", .opener = "[TOOL_CALLS]", .open = "", .begin = "[TOOL_CALLS]", .mid = "[ARGS]", .end = "", .between = "", .close = "",
     .id_len = 9},
    {.name = "mistral-id", .opener = "[TOOL_CALLS]", .open = "", .begin = "[TOOL_CALLS]", .mid = "[ARGS]", .end = "", .between = "", .close = "",
     .id_open = "[CALL_ID]", .id_text = "[a-zA-Z0-9]{9}", .id_len = 9},
    {.name = "granite", .opener = "<|tool_call|>", .open = "<|tool_call|>[", .begin = "", .end = "", .between = ", ", .close = "]",
     .name_key = "name", .args_key = "arguments", .list = true},
    {.name = "phi4", .opener = "<|tool_call|>", .open = "<|tool_call|>[", .begin = "", .end = "", .between = ", ", .close = "]<|/tool_call|>",
     .name_key = "name", .args_key = "arguments", .list = true},
    {.name = "phi-functools", .opener = "functools[", .open = "functools[", .begin = "", .end = "", .between = ", ", .close = "]",
     .name_key = "name", .args_key = "arguments", .list = true},
    {.name = "nemotron", .opener = "<TOOLCALL>", .open = "<TOOLCALL>[", .begin = "", .end = "", .between = ", ", .close = "]</TOOLCALL>",
     .name_key = "name", .args_key = "arguments", .list = true},
    {.name = "apriel", .opener = "<tool_calls>", .open = "<tool_calls>[", .begin = "", .end = "", .between = ", ", .close = "]</tool_calls>",
     .name_key = "name", .args_key = "arguments", .list = true},
    {.name = "command", .opener = "<|START_ACTION|>", .open = "<|START_ACTION|>[", .begin = "", .end = "", .between = ",", .close = "]<|END_ACTION|>",
     .name_key = "tool_name", .args_key = "parameters", .id_key = "tool_call_id", .id_text = "[0-9]{1,2}", .id_first = true, .list = true},
    {.name = "function-gemma", .opener = "<start_function_call>", .open = "", .begin = "<start_function_call>call:", .mid = "", .end = "<end_function_call>",
     .between = "", .close = "", .args = AIOS__ARGS_COLON, .quote = "<escape>", .compact = true},
    {.name = "gemma4", .opener = "<|tool_call>", .open = "", .begin = "<|tool_call>call:", .mid = "", .end = "<tool_call|>", .between = "", .close = "",
     .args = AIOS__ARGS_COLON, .quote = "<|\"|>", .compact = true},
    {.name = "deepseek-r1", .opener = "<｜tool▁calls▁begin｜>", .open = "<｜tool▁calls▁begin｜>", .begin = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
     .mid = "\n```json\n", .end = "\n```<｜tool▁call▁end｜>", .between = "\n", .close = "<｜tool▁calls▁end｜>"},
    {.name = "deepseek-v3.1", .opener = "<｜tool▁calls▁begin｜>", .open = "<｜tool▁calls▁begin｜>", .begin = "<｜tool▁call▁begin｜>", .mid = "<｜tool▁sep｜>",
     .end = "<｜tool▁call▁end｜>", .between = "", .close = "<｜tool▁calls▁end｜>"},
    {.name = "deepseek-dsml", .opener = "<｜DSML｜function_calls>", .open = "<｜DSML｜function_calls>\n", .begin = "<｜DSML｜invoke name=\"", .mid = "\">\n",
     .end = "</｜DSML｜invoke>", .between = "\n", .close = "\n</｜DSML｜function_calls>", .args = AIOS__ARGS_TAGS,
     .p_open = "<｜DSML｜parameter name=\"", .p_mid = "\" string=\"true\">", .p_mid_json = "\" string=\"false\">", .p_close = "</｜DSML｜parameter>\n"},
    {.name = "kimi", .opener = "<|tool_calls_section_begin|>", .open = "<|tool_calls_section_begin|>", .begin = "<|tool_call_begin|>functions.",
     .id_open = ":", .id_text = "[0-9]{1,3}", .mid = "<|tool_call_argument_begin|>", .end = "<|tool_call_end|>", .between = "",
     .close = "<|tool_calls_section_end|>"},
    {.name = "qwen-coder", .opener = "<tool_call>", .open = "", .begin = "<tool_call>\n<function=", .mid = ">\n", .end = "</function>\n</tool_call>",
     .between = "\n", .close = "", .args = AIOS__ARGS_TAGS, .p_open = "<parameter=", .p_mid = ">\n", .p_close = "\n</parameter>\n"},
    {.name = "functionary", .opener = "<function=", .open = "", .begin = "<function=", .mid = ">", .end = "</function>", .between = "", .close = ""},
    {.name = "seed", .opener = "<seed:tool_call>", .open = "", .begin = "<seed:tool_call>\n<function=", .mid = ">\n", .end = "</function>\n</seed:tool_call>",
     .between = "\n", .close = "", .args = AIOS__ARGS_TAGS, .p_open = "<parameter=", .p_mid = ">", .p_close = "</parameter>\n"},
    {.name = "minimax", .opener = "<minimax:tool_call>", .open = "<minimax:tool_call>\n", .begin = "<invoke name=\"", .mid = "\">\n", .end = "</invoke>",
     .between = "\n", .close = "\n</minimax:tool_call>", .args = AIOS__ARGS_TAGS, .p_open = "<parameter name=\"", .p_mid = "\">", .p_close = "</parameter>\n"},
    {.name = "glm", .opener = "<tool_call>", .open = "", .begin = "<tool_call>", .mid = "\n", .end = "</tool_call>", .between = "\n", .close = "",
     .args = AIOS__ARGS_TAGS, .p_open = "<arg_key>", .p_mid = "</arg_key>\n<arg_value>", .p_close = "</arg_value>\n"},
    {.name = "harmony", .opener = "<|channel|>commentary to=", .open = "", .begin = "<|channel|>commentary to=functions.", .mid = " <|constrain|>json<|message|>",
     .end = "", .between = NULL, .close = "", .channels = true, .compact = true},
};

/* Both words stand in the template, and the third does not. The first row that fits; a template without any of these words: the
   form that is told in words. */
static const struct {
    const char *has, *also, *lacks, *format;
} known[] = {
    {"<|channel|>", "<|message|>", NULL, "harmony"},
    {"｜DSML｜", NULL, NULL, "deepseek-dsml"},
    {"<｜tool▁calls▁begin｜>", "```json", NULL, "deepseek-r1"},
    {"<｜tool▁calls▁begin｜>", NULL, NULL, "deepseek-v3.1"},
    {"<｜tool▁call▁begin｜>", NULL, NULL, "deepseek-v3.1"},
    {"<|tool_calls_section_begin|>", NULL, NULL, "kimi"},
    {"<start_function_call>", NULL, NULL, "function-gemma"},
    {"<|tool_call>", "<tool_call|>", NULL, "gemma4"},
    {"[TOOL_CALLS]", "[CALL_ID]", NULL, "mistral-id"},
    {"[TOOL_CALLS]", "[ARGS]", NULL, "mistral-args"},
    {"[TOOL_CALLS] [", NULL, NULL, "mistral-list-spaced"},
    {"[TOOL_CALLS]", NULL, NULL, "mistral-list"},
    {"<|tool_call_start|>", NULL, NULL, "lfm2"},
    {"<|START_ACTION|>", NULL, NULL, "command"},
    {"<TOOLCALL>", NULL, NULL, "nemotron"},
    {"<seed:tool_call>", NULL, NULL, "seed"},
    {"<minimax:tool_call>", NULL, NULL, "minimax"},
    {"functools[", NULL, NULL, "phi-functools"},
    {"<|/tool_call|>", NULL, NULL, "phi4"},
    {"<|tool_call|>", NULL, "<tool_call>", "granite"},
    {"<function=", "<parameter=", NULL, "qwen-coder"},
    {"<function=", "</function>", "<tool_call>", "functionary"},
    {"<arg_key>", NULL, NULL, "glm"},
    {"<tool_calls>", NULL, "<tool_call>", "apriel"},
    {"<tool_call>", NULL, NULL, "hermes"},
    {"<|python_start|>", "(params_name", NULL, "llama4"},
    {"<|python_tag|>", NULL, NULL, "llama3"},
    {"<|header_start|>", "\"parameters\"", NULL, "llama3"},
    {"Environment: ipython", NULL, NULL, "llama3"},
    {"<start_of_turn>", NULL, NULL, "json"},
    {"", NULL, NULL, "hermes"},
};

static const struct {
    const char *has;
    aios__think_format f;
} thinks[] = {
    {"<|channel|>", {"<|channel|>analysis<|message|>", "<|end|>", "<|end|><|start|>assistant<|channel|>final<|message|>"}},
    {"[THINK]", {"[THINK]", "[/THINK]", "[/THINK]"}},
    {"<seed:think>", {"<seed:think>", "</seed:think>", "\n</seed:think>"}},
    {"<|START_THINKING|>", {"<|START_THINKING|>", "<|END_THINKING|>", "<|END_THINKING|>"}},
    {"<start_of_thought>", {"<start_of_thought>", "<end_of_thought>", "<end_of_thought>"}},
    {"<thought>", {"<thought>", "</thought>", "\n</thought>\n\n"}},
    {"◁think▷", {"◁think▷", "◁/think▷", "◁/think▷"}},
    {"<channel|>", {"<|channel>thought", "<channel|>", "\n<channel|>"}},
    {"", {"<think>", "</think>", "\n</think>\n\n"}},
};
/* clang-format on */

static bool has(const char *tmpl, size_t n, const char *word)
{
    return n && memmem(tmpl, n, word, strlen(word));
}

const aios__call_format *aios__call_format_find(const char *tmpl, size_t n)
{
    size_t i = 0;
    for (; i + 1 < AIOS__ARRAY_LEN(known); i++)
        if (has(tmpl, n, known[i].has) && (!known[i].also || has(tmpl, n, known[i].also)) && !(known[i].lacks && has(tmpl, n, known[i].lacks)))
            break;
    return aios__call_format_named(known[i].format);
}

const aios__think_format *aios__think_format_find(const char *tmpl, size_t n)
{
    size_t i = 0;
    while (i + 1 < AIOS__ARRAY_LEN(thinks) && !has(tmpl, n, thinks[i].has))
        i++;
    return &thinks[i].f;
}

const aios__call_format *aios__call_format_at(uint32_t i)
{
    return i < AIOS__ARRAY_LEN(formats) ? &formats[i] : NULL;
}

const aios__call_format *aios__call_format_named(const char *name)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(formats); i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

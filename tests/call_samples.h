/* SPDX-License-Identifier: Apache-2.0 */
/* Replies as models of each family write them, and what they are: T text, R reasoning, C call with its arguments, # its number. */
#ifndef AIOS_CALL_SAMPLES_H
#define AIOS_CALL_SAMPLES_H

static const struct {
    const char *format, *think, *reply, *is;
} call_samples[] = {
    {"hermes", "", "Let me look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 3}}\n</tool_call>",
     "T(Let me look.)C(get_weather{\"city\":\"Oslo\",\"days\":3})"},
    {"hermes", "", "<think>\nRain?\n</think>\n\n<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"b\", \"arguments\": {\"x\": [1, 2.5e3, "
                   "null, true]}}\n</tool_call>\nDone.",
     "R(\nRain?\n)C(a{})C(b{\"x\":[1,2.5e3,null,true]})T(Done.)"},
    {"hermes", "", "<tool_call>[{\"name\": \"a\", \"arguments\": {\"s\": \"</tool_call>\"}}, {\"arguments\": {\"k\": \"v\"}, \"name\": \"b\"}]</tool_call>",
     "C(a{\"s\":\"</tool_call>\"})C(b{\"k\":\"v\"})"},
    {"hermes", "", "<tool_call>{\"type\": \"function\", \"id\": \"x1\", \"function\": {\"name\": \"a\", \"arguments\": \"{\\\"k\\\": \\\"\\\\u00e9\\\"}\"}}</tool_call>",
     "C(a{\"k\":\"\\u00e9\"}#x1)"},
    {"hermes", "", "Write <tool_call> and </tool_call> around it, like <tool_call>\n{\"name\": 3}</tool_call>",
     "T(Write <tool_call> and </tool_call> around it, like <tool_call>\n{\"name\": 3}</tool_call>)"},
    {"hermes", "", "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"k\": \"v", "T(<tool_call>\n{\"name\": \"a\", \"arguments\": {\"k\": \"v)"},
    {"hermes", "", "<tool_call><tool_call>{\"name\": \"a\", \"arguments\": {\"k\": 1}}", "T(<tool_call>)C(a{\"k\":1})"},
    {"hermes", "", "a \xc3\xa9 \xf0\x9f\x98\x80 b \n", "T(a \xc3\xa9 \xf0\x9f\x98\x80 b \n)"},
    {"json", "", "{\"name\": \"get_time\", \"arguments\": {\"zone\": \"UTC\"}}", "C(get_time{\"zone\":\"UTC\"})"},
    {"json", "", "```json\n{\"name\": \"get_time\", \"arguments\": {}}\n```", "C(get_time{})"},
    {"json", "", "{\"name\": \"Bob\", \"age\": 3}", "T({\"name\": \"Bob\", \"age\": 3})"},
    {"json", "", "{\"answer\": 42}", "T({\"answer\": 42})"},
    {"json", "", "```python\nprint(1)\n```", "T(```python\nprint(1)\n```)"},
    {"llama3", "<|python_tag|>", "{\"name\": \"a\", \"parameters\": {\"q\": \"x\"}}; {\"name\": \"b\", \"parameters\": {}}", "C(a{\"q\":\"x\"})C(b{})"},
    {"llama3", "<|python_tag|>", "<|python_tag|>{\"type\": \"function\", \"name\": \"a\", \"parameters\": {\"q\": \"x\"}}", "C(a{\"q\":\"x\"})"},
    {"llama3", "<|python_tag|>", "<|python_tag|>print(1)", "T(<|python_tag|>print(1))"},
    {"llama4", "", "[get_weather(city=\"Oslo\", days=3, deep={\"k\": [True, None, 'it\\'s']}), now()]",
     "C(get_weather{\"city\":\"Oslo\",\"days\":3,\"deep\":{\"k\":[true,null,\"it's\"]}})C(now{})"},
    {"llama4", "", "<|python_start|>[now()]<|python_end|>", "C(now{})"},
    {"llama4", "", "[f(a=\"\\ud83d\\ude00 \\u00e9 \\ud83d.\", b=r)]", "C(f{\"a\":\"\xf0\x9f\x98\x80 \xc3\xa9 \xef\xbf\xbd.\",\"b\":\"r\"})"},
    {"llama4", "", "[1, 2]", "T([1, 2])"},
    {"lfm2", "", "<|tool_call_start|>[f(a='x')]<|tool_call_end|>ok", "C(f{\"a\":\"x\"})T(ok)"},
    {"mistral-list", "", "[TOOL_CALLS][{\"name\": \"a\", \"arguments\": {\"k\": 1}, \"id\": \"VvvODy9mT\"}, {\"name\": \"b\", \"arguments\": {}}]",
     "C(a{\"k\":1}#VvvODy9mT)C(b{})"},
    {"mistral-list-spaced", "", "[TOOL_CALLS] [{\"name\": \"a\", \"arguments\": {\"k\": 1}}]", "C(a{\"k\":1})"},
    {"mistral-args", "[THINK]", "[THINK]hm[/THINK]Sure.[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Oslo\"}[TOOL_CALLS]now[ARGS]{}",
     "R(hm)T(Sure.)C(get_weather{\"city\":\"Oslo\"})C(now{})"},
    {"mistral-id", "", "[TOOL_CALLS]a[CALL_ID]abc123XYZ[ARGS]{\"k\": \"v\"}", "C(a{\"k\":\"v\"}#abc123XYZ)"},
    {"granite", "", "<|tool_call|>[{\"name\": \"a\", \"arguments\": {\"k\": \"v\"}}, {\"name\": \"b\", \"arguments\": {}}]", "C(a{\"k\":\"v\"})C(b{})"},
    {"phi4", "", "<|tool_call|>[{\"name\": \"a\", \"arguments\": {\"k\": \"v\"}}]<|/tool_call|>", "C(a{\"k\":\"v\"})"},
    {"phi-functools", "", "functools[{\"name\": \"a\", \"arguments\": {\"k\": \"v\"}}]", "C(a{\"k\":\"v\"})"},
    {"nemotron", "", "<TOOLCALL>[{\"name\": \"a\", \"arguments\": {\"k\": \"v\"}}]</TOOLCALL>", "C(a{\"k\":\"v\"})"},
    {"apriel", "", "<tool_calls>[{\"name\": \"a\", \"arguments\": {\"k\": \"v\"}}]</tool_calls>", "C(a{\"k\":\"v\"})"},
    {"command", "<|START_THINKING|>",
     "<|START_THINKING|>plan<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"a\", \"parameters\": {\"k\": \"v\"}}\n]<|END_ACTION|>",
     "R(plan)C(a{\"k\":\"v\"})"},
    {"function-gemma", "",
     "<start_function_call>call:get_weather{city:<escape>Oslo, \"N\"<escape>,days:3,deep:{a:[<escape>x<escape>,true]},none:null}<end_function_call>"
     "<start_function_call>call:now{}<end_function_call>",
     "C(get_weather{\"city\":\"Oslo, \\\"N\\\"\",\"days\":3,\"deep\":{\"a\":[\"x\",true]},\"none\":null})C(now{})"},
    {"gemma4", "<channel|>", "<|channel>thought\nhm<channel|><|tool_call>call:a{k:<|\"|>it's <b>\n<|\"|>}<tool_call|>", "R(\nhm)C(a{\"k\":\"it's <b>\\n\"})"},
    {"deepseek-r1", "",
     "<think>hm</think>\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>a\n```json\n{\"k\": \"v\"}\n```<｜tool▁call▁end｜>\n"
     "<｜tool▁call▁begin｜>function<｜tool▁sep｜>b\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "R(hm)C(a{\"k\":\"v\"})C(b{})"},
    {"deepseek-v3.1", "", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>a<｜tool▁sep｜>{\"k\": \"v\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>b<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
                          "<｜tool▁calls▁end｜>",
     "C(a{\"k\":\"v\"})C(b{})"},
    {"deepseek-dsml", "",
     "I look.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"a\">\n<｜DSML｜parameter name=\"k\" string=\"true\">12</｜DSML｜parameter>\n"
     "<｜DSML｜parameter name=\"n\" string=\"false\">[1, 2]</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"b\">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
     "T(I look.)C(a{\"k\":\"12\",\"n\":[1,2]})C(b{})"},
    {"kimi", "◁think▷",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.a:0<|tool_call_argument_begin|>{\"k\": \"v\"}<|tool_call_end|><|tool_call_begin|>functions.b:1"
     "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
     "C(a{\"k\":\"v\"})C(b{})"},
    {"qwen-coder", "",
     "I'll do it.\n<tool_call>\n<function=write>\n<parameter=path>\na.txt\n</parameter>\n<parameter=text>\n\nline \"1\"\nline 2\n\n</parameter>\n<parameter=n>\n3\n</parameter>\n"
     "</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
     "T(I'll do it.)C(write{\"path\":\"a.txt\",\"text\":\"\\nline \\\"1\\\"\\nline 2\\n\",\"n\":3})C(now{})"},
    {"seed", "<seed:think>", "<seed:think>hm</seed:think><seed:tool_call>\n<function=a>\n<parameter=k>v</parameter>\n</function>\n</seed:tool_call>", "R(hm)C(a{\"k\":\"v\"})"},
    {"minimax", "", "<minimax:tool_call>\n<invoke name=\"a\">\n<parameter name=\"k\">v</parameter>\n</invoke>\n<invoke name=\"b\">\n</invoke>\n</minimax:tool_call>", "C(a{\"k\":\"v\"})C(b{})"},
    {"glm", "", "<tool_call>a\n<arg_key>k</arg_key>\n<arg_value>v w</arg_value>\n<arg_key>n</arg_key>\n<arg_value>{\"x\": 1}</arg_value>\n</tool_call>",
     "C(a{\"k\":\"v w\",\"n\":{\"x\":1}})"},
    {"harmony", "<|channel|>",
     "<|channel|>analysis<|message|>Need it.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Oslo\"}<|call|>",
     "R(Need it.)C(get_weather{\"city\":\"Oslo\"})"},
    {"harmony", "<|channel|>", " to=functions.a<|channel|>commentary json<|message|>{\"k\":1}<|call|>", "C(a{\"k\":1})"},
    {"harmony", "<|channel|>", "go to=x <|channel|>final", "T(go to=x <|channel|>final)"},
    {"functionary", "", "<function=a>{\"k\": 1}</function><function=b>{}</function>", "C(a{\"k\":1})C(b{})"},
    {"harmony", "<|channel|>", "<|start|>assistant to=functions.a<|channel|>commentary json<|message|>{\"k\":1}<|call|>", "C(a{\"k\":1})"},
    {"harmony", "<|channel|>", "<|channel|>commentary<|message|>I call.<|end|><|start|>assistant<|channel|>final<|message|>Hello <|x.<|return|>", "T(I call.Hello <|x.)"},
};

#endif

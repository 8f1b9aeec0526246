# SPDX-License-Identifier: Apache-2.0
"""Ollama's API, as https://docs.ollama.com/api describes it: lines of JSON; requests are checked, unknown fields refused."""
import base64
import json

from mock_server import Ask, Fault, Mock, check, check_keys, count_out, openai_likely, pieces, reply_to, words

TOP = {"messages", "tools", "format", "options", "stream", "think", "keep_alive", "truncate", "shift", "logprobs", "top_logprobs"}
OPTIONS = {"num_ctx", "num_predict", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "repeat_penalty", "repeat_last_n", "presence_penalty",
           "frequency_penalty", "num_keep"}
MODELS = ["mock:latest", "mock-thinking:latest"]


def read_messages(body, ask):
    """Checks the messages and fills what the model sees."""
    called = []
    for i, m in enumerate(body.get("messages", [])):
        where = f"messages[{i}]"
        check_keys(m, {"content", "images", "thinking", "tool_calls", "tool_name"}, {"role"}, where)
        check(m["role"] in ("system", "user", "assistant", "tool"), f"invalid role: {m['role']}")
        text = m.get("content") or ""
        if m["role"] == "user":
            ask.say(text)
        else:
            ask.n_in += words(text)
        if m["role"] == "tool":
            check(called and m.get("tool_name") == called[0], f"{where}: a result of {m.get('tool_name')}, not of {called[:1]}")
            ask.results.append((called.pop(0), text))
            continue
        check(not called, f"{where}: calls without results: {called}")
        ask.results, ask.media = [], [("image", base64.b64decode(raw, validate=True)) for raw in m.get("images") or []]
        for c in m.get("tool_calls") or []:
            check(isinstance(c["function"]["arguments"], dict), f"{where}: arguments must be an object")
            called.append(c["function"]["name"])


class Ollama(Mock):
    stream_type = "application/x-ndjson"
    too_long = "the input length exceeds the context length"
    faults = {"invalid": (400, ""), "missing": (404, ""), "rate": (429, ""), "long": (400, ""), "overloaded": (503, "")}

    def check_key(self, headers):
        pass  # none is needed

    def error(self, f):
        return {"error": f.message}

    def answer(self, method, path, body):
        if (method, path) == ("GET", "/api/tags"):
            rest = {"modified_at": "2026-01-01T00:00:00Z", "size": 1, "digest": "d", "details": {"family": "mock"}}
            return {"models": [{"name": m, "model": m, **rest} for m in MODELS]}
        if method != "POST" or path not in ("/api/chat", "/api/embed"):
            raise Fault("missing", "404 page not found")
        name = body["model"] if ":" in body["model"] else body["model"] + ":latest"
        if name not in MODELS:
            raise Fault("missing", f"model '{body['model']}' not found")
        if path == "/api/embed":
            check_keys(body, {"truncate", "options", "keep_alive", "dimensions"}, {"model", "input"}, "body")
            texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
            return {"model": name, "embeddings": [[0.5, words(t), -0.25] for t in texts], "prompt_eval_count": sum(map(words, texts))}
        return self.chat(name, body)

    def chat(self, name, body):
        check_keys(body, TOP, {"model"}, "body")
        check_keys(body.get("options") or {}, OPTIONS, set(), "options")
        ask = Ask()
        ask.think = "thinking" in name and body.get("think") is not False
        ask.schema = body.get("format") or None
        check(0 <= body.get("top_logprobs", 0) <= 20, "top_logprobs must be between 0 and 20")
        check(body.get("logprobs") or "top_logprobs" not in body, "top_logprobs needs logprobs")
        ask.n_top = body.get("top_logprobs", 0) if body.get("logprobs") else None
        for t in body.get("tools") or []:
            check_keys(t, set(), {"type", "function"}, "tools")
            check_keys(t["function"], {"description"}, {"name", "parameters"}, "tools.function")
            ask.tools.append(t["function"]["name"])
        read_messages(body, ask)
        self.fault_on_demand(ask.text)
        lines = self.lines(name, ask, *reply_to(ask))
        if body.get("stream", True):
            return (json.dumps(line, ensure_ascii=False).encode() + b"\n" if line else None for line in lines)
        message = {"role": "assistant", "content": ""}
        for line in lines:
            for key, value in line["message"].items():
                message[key] = value if key == "role" else message.get(key, type(value)()) + value
        return {**line, "message": message}

    def lines(self, name, ask, parts, reason):
        head = {"model": name, "created_at": "2026-01-01T00:00:00.123456Z"}
        for part in parts:
            if part[0] == "call":
                call = {"function": {"name": part[1], "arguments": part[2]}}
                yield {**head, "message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False}
                continue
            for k, p in enumerate(pieces(part[1])):
                if k and "!broken" in ask.text:
                    yield {"error": "an error was encountered while running the model"}
                    return
                if k and "!cut" in ask.text:
                    yield None
                told = {"logprobs": [openai_likely(p, ask.n_top)]} if part[0] == "text" and ask.n_top is not None else {}
                yield {**head, "message": {"role": "assistant", "content": p if part[0] == "text" else "", **({"thinking": p} if part[0] == "think" else {})},
                       "done": False, **told}
        yield {**head, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "length" if reason == "length" else "stop",
               "total_duration": 5, "load_duration": 1, "prompt_eval_count": ask.n_in, "prompt_eval_duration": 2, "eval_count": count_out(parts), "eval_duration": 2}

# SPDX-License-Identifier: Apache-2.0
"""Anthropic's messages, as https://docs.anthropic.com/en/api describes them: requests are checked as there, unknown fields refused."""
import base64
import json

from mock_server import KEY, Ask, Fault, Mock, check, check_keys, count_out, pieces, reply_to, signature_of, words

TOP = {"system", "tools", "tool_choice", "stop_sequences", "temperature", "top_p", "top_k", "thinking", "output_config", "stream", "metadata",
       "cache_control", "service_tier"}
BLOCKS = {"text": ({"text"}, set()), "image": ({"source"}, set()), "document": ({"source"}, {"title", "context", "citations"}),
          "thinking": ({"thinking", "signature"}, set()), "redacted_thinking": ({"data"}, set()),
          "tool_use": ({"id", "name", "input"}, {"caller"}), "tool_result": ({"tool_use_id"}, {"content", "is_error"})}
REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "refusal": "refusal"}
MODELS = [("claude-mock", 200000), ("claude-mock-thinking", 200000), ("claude-mock-small", None)]


class Conversation:
    """Reads and checks the messages of a request."""

    def __init__(self, body):
        self.ask, self.n_cache, self.open = Ask(), 0, {}
        self.ask.think = "thinking" in body["model"] or body.get("thinking", {}).get("type") == "enabled"
        self.ask.tools = [t["name"] for t in body.get("tools", [])]
        self.ask.schema = body.get("output_config", {}).get("format", {}).get("schema")
        system = body.get("system", [])
        for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
            self.block(block, "system", "system", {"text"})
        for tool in body.get("tools", []):
            check_keys(tool, {"description", "cache_control", "type", "strict"}, {"name", "input_schema"}, "tools")
            check(tool["input_schema"].get("type") == "object", "tools.input_schema.type: must be object")
            self.n_cache += "cache_control" in tool
        for i, m in enumerate(body["messages"]):
            self.message(m, f"messages.{i}")
        check(not self.open, f"messages: tool_use ids without tool_result: {', '.join(self.open)}")
        check(self.n_cache <= 4, f"A maximum of 4 blocks with cache_control may be provided. Found {self.n_cache}.")

    def message(self, m, where):
        check_keys(m, set(), {"role", "content"}, where)
        check(m["role"] in ("user", "assistant", "system"), f"{where}.role: unknown")
        content = [{"type": "text", "text": m["content"]}] if isinstance(m["content"], str) else m["content"]
        check(content, f"{where}: all messages must have non-empty content")
        first = {b["tool_use_id"] for b in content if b["type"] == "tool_result"}
        check(set(self.open) == first, f"{where}: tool_result blocks must answer exactly the tool_use blocks of the message before: {set(self.open) ^ first}")
        self.ask.results, self.ask.media = [], []
        if m["role"] == "assistant":
            self.ask.n_cached = 3  # what was there before
            self.check_thinking(content, where)
        for k, block in enumerate(content):
            self.block(block, m["role"], f"{where}.content.{k}", set(BLOCKS))

    def check_thinking(self, content, where):
        if self.ask.think and any(b["type"] == "tool_use" for b in content):
            check(content[0]["type"] in ("thinking", "redacted_thinking"),
                  f"{where}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{content[0]['type']}`")

    def block(self, block, role, where, allowed):
        check(block.get("type") in allowed, f"{where}.type: not one of {allowed}")
        required, optional = BLOCKS[block["type"]]
        marks = set() if "thinking" in block["type"] else {"cache_control"}
        check_keys(block, optional | marks | {"type"}, required, where)
        if "cache_control" in block:
            check(block["cache_control"].get("type") == "ephemeral", f"{where}.cache_control.type: ephemeral")
            self.n_cache += 1
        getattr(self, "on_" + block["type"])(block, role, where)

    def on_text(self, block, role, where):
        check(block["text"].strip(), f"{where}: text content blocks must contain non-whitespace text")
        if role == "user":
            self.ask.say(block["text"])
        else:
            self.ask.n_in += words(block["text"])

    def on_image(self, block, role, where):
        source = block["source"]
        check_keys(source, set(), {"type", "media_type", "data"}, where + ".source")
        check(role == "user" and source["media_type"] in ("image/jpeg", "image/png", "image/gif", "image/webp"), f"{where}.source.media_type")
        self.ask.media.append((source["media_type"], base64.b64decode(source["data"], validate=True)))

    def on_document(self, block, _role, where):
        source = block["source"]
        check_keys(source, set(), {"type", "media_type", "data"}, where + ".source")
        check((source["type"], source["media_type"]) in (("base64", "application/pdf"), ("text", "text/plain")), f"{where}.source.type")
        raw = source["data"].encode() if source["type"] == "text" else base64.b64decode(source["data"], validate=True)
        self.ask.media.append((source["media_type"], raw))

    def on_thinking(self, block, role, where):
        check(role == "assistant" and block["signature"] == signature_of(block["thinking"]), f"{where}: Invalid `signature` in `thinking` block")

    def on_redacted_thinking(self, block, role, where):
        check(role == "assistant" and block["data"] == signature_of("redacted"), f"{where}: Invalid `data` in `redacted_thinking` block")

    def on_tool_use(self, block, role, where):
        check(role == "assistant" and isinstance(block["input"], dict), f"{where}.input: Input should be a valid dictionary")
        self.open[block["id"]] = block["name"]

    def on_tool_result(self, block, role, where):
        content = block.get("content", "")
        text = content if isinstance(content, str) else "".join(b.get("text", "") for b in content)
        check(role == "user", where)
        self.ask.results.append((self.open.pop(block["tool_use_id"]), ("failed: " if block.get("is_error") else "") + text))
        self.ask.n_in += words(text)


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n".encode()


def blocks(parts):
    """(block at its beginning, deltas) for the parts of a reply."""
    n = 0
    for part in parts:
        if part[0] == "think":
            yield ({"type": "thinking", "thinking": "", "signature": ""},
                   [{"type": "thinking_delta", "thinking": p} for p in pieces(part[1])] + [{"type": "signature_delta", "signature": signature_of(part[1])}])
            yield {"type": "redacted_thinking", "data": signature_of("redacted")}, []
        elif part[0] == "text":
            yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": p} for p in pieces(part[1])]
        else:
            n += 1
            raw = json.dumps(part[2], ensure_ascii=False)
            yield ({"type": "tool_use", "id": f"toolu_{n:02}", "name": part[1], "input": {}},
                   [{"type": "input_json_delta", "partial_json": p} for p in ["", *pieces(raw)]])


class Anthropic(Mock):
    stream_type = "text/event-stream; charset=utf-8"
    too_long = "prompt is too long: 210000 tokens > 200000 maximum"
    faults = {"invalid": (400, "invalid_request_error"), "auth": (401, "authentication_error"), "missing": (404, "not_found_error"),
              "rate": (429, "rate_limit_error"), "long": (400, "invalid_request_error"), "overloaded": (529, "overloaded_error")}

    def check_key(self, headers):
        if headers.get("x-api-key", headers.get("authorization", KEY).removeprefix("Bearer ")) != KEY:
            raise Fault("auth", "invalid x-api-key")
        check(headers.get("anthropic-version") in ("2023-06-01", "2026-10-21"), "anthropic-version: header is required")

    def error(self, f):
        return {"type": "error", "error": {"type": self.faults[f.kind][1], "message": f.message}, "request_id": "req_mock"}

    def answer(self, method, path, body):
        path = path.partition("?")[0]
        if (method, path) == ("GET", "/v1/models"):
            rows = [{"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active", "max_input_tokens": n}
                    for name, n in MODELS]
            return {"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
        count = path == "/v1/messages/count_tokens"
        if method != "POST" or not (count or path == "/v1/messages"):
            raise Fault("missing", f"no such endpoint: {method} {path}")
        check_keys(body, TOP, {"model", "messages"} if count else {"model", "messages", "max_tokens"}, "body")
        if body["model"] not in dict(MODELS):
            raise Fault("missing", f"model: {body['model']}")
        choice = body.get("tool_choice", {"type": "auto"})
        check_keys(choice, {"name", "disable_parallel_tool_use"}, {"type"}, "tool_choice")
        check(choice["type"] in ("auto", "any", "none", "tool"), "tool_choice.type")
        ask = Conversation(body).ask
        if count:
            return {"input_tokens": ask.n_in}
        self.fault_on_demand(ask.text)
        return self.stream(body["model"], ask, *reply_to(ask)) if body.get("stream") else self.message(body["model"], ask, *reply_to(ask))

    @staticmethod
    def usage(ask, n_out):
        return {"input_tokens": ask.n_in - ask.n_cached, "cache_creation_input_tokens": ask.n_cached and 1, "cache_read_input_tokens": ask.n_cached and 2,
                "output_tokens": n_out}

    def message(self, model, ask, parts, reason):
        content = []
        for block, deltas in blocks(parts):
            for d in deltas:
                for key in ("text", "thinking", "signature"):
                    if key in d:
                        block[key] += d[key]
            if block["type"] == "tool_use":
                block["input"] = json.loads("".join(d["partial_json"] for d in deltas))
            content.append(block)
        return {"id": "msg_mock", "type": "message", "role": "assistant", "model": model, "content": content, "stop_reason": REASONS[reason],
                "stop_sequence": None, "usage": self.usage(ask, count_out(parts))}

    def stream(self, model, ask, parts, reason):
        start = {"id": "msg_mock", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None, "stop_sequence": None,
                 "usage": self.usage(ask, 1)}
        yield event("message_start", message=start)
        yield event("ping")
        for i, (block, deltas) in enumerate(blocks(parts)):
            yield event("content_block_start", index=i, content_block=block)
            for k, delta in enumerate(deltas):
                if k and "!broken" in ask.text:
                    yield event("error", error={"type": "overloaded_error", "message": "Overloaded in the middle"})
                    return
                if k and "!cut" in ask.text:
                    yield None
                yield event("content_block_delta", index=i, delta=delta)
            yield event("content_block_stop", index=i)
        details = {"type": "refusal", "category": None, "explanation": "That would be too bold."} if reason == "refusal" else None
        yield event("message_delta", delta={"stop_reason": REASONS[reason], "stop_sequence": None, "stop_details": details},
                    usage={"output_tokens": count_out(parts)})
        yield event("message_stop")

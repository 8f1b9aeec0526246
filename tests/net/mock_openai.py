#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server of OpenAI's API without a model: chat completions, responses, models, embeddings, by its published types. Standard library only.

What it does is chosen by words of the model's name, with slashes between: "think" reasons first, "refuse", "filter", "overflow", "cut" (reads no
more than 300 tokens and says nothing), "window" (400, once there are more than 600), "break" (an error inside of the stream), "drop" (the stream
ends early), "lazy" (never calls), "busy" (429 twice, then well), "no-X" refuses the parameter X, "unsealed" encrypts no reasoning, "unsaid" tells no
probabilities, "echo-key" quotes the key it was sent. It is strict where OpenAI is: unknown parameters, calls without results, bad schemas.
Usage: mock_openai.py [PORT [CHUNK]], CHUNK: bytes of a piece of the body; 0: events are whole.
"""
import http.server
import json
import sys
import threading
import time

from mock_server import openai_likely

CHAT = {"model", "messages", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed",
        "stop", "response_format", "max_tokens", "max_completion_tokens", "reasoning_effort", "store", "stream", "stream_options", "n",
        "logprobs", "top_logprobs"}
RESPONSES = {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "max_output_tokens", "text",
             "reasoning", "store", "stream", "include", "truncation", "top_logprobs"}
COUNT = {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning"}
CONTEXT = 4096


class Fault(Exception):
    def __init__(self, status, message, kind="invalid_request_error", param=None, code=None):
        super().__init__(message)
        self.status, self.body = status, {"error": {"message": message, "type": kind, "param": param, "code": code}}


def count(value):
    """Tokens of a value: four bytes each, as of English text."""
    return len(json.dumps(value, ensure_ascii=False).encode()) // 4 + 3


def check_params(body, known, model):
    for name in body:
        if name not in known:
            raise Fault(400, f"Unrecognized request argument supplied: {name}")
        if f"no-{name}" in model.split("/"):
            raise Fault(400, f"Unsupported parameter: '{name}' is not supported with this model.", param=name, code="unsupported_parameter")


def check_strict(schema, where):
    """What strict mode asks of every object."""
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(schema.get("properties", {})):
            raise Fault(400, f"Invalid schema for {where}: every property must be required, and there must be no others", param=where,
                        code="invalid_json_schema")
    for child in list(schema.get("properties", {}).values()) + [schema[k] for k in ("items",) if isinstance(schema.get(k), dict)]:
        check_strict(child, where)


def instance(schema):
    """The least value under a schema of simple keywords."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    kind = schema.get("type", "null")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {k: instance(v) for k, v in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema.get("items", {}))] * schema.get("minItems", 0)
    return {"string": "text", "integer": schema.get("minimum", 1), "number": 0.5, "boolean": True}.get(kind)


class Turn:
    """What the model says: reasoning, text, calls, and why it stopped."""

    def __init__(self, model, messages, tools, choice, schema, limit, parallel):
        last = messages[-1]
        words = model.split("/")
        self.reasoning = "Let me see. " if "think" in words else ""
        self.calls, self.text, self.reason = [], "", "stop"
        self.refused = "refuse" in words
        self.input = count([messages, tools])
        if "overflow" in words or ("cut" not in words and self.input > CONTEXT):
            raise Fault(400, f"This model's maximum context length is {CONTEXT} tokens. However, your messages resulted in {max(self.input, 5000)} tokens. "
                        "Please reduce the length of the messages.", param="messages", code="context_length_exceeded")
        self.input = min(self.input, 300) if "cut" in words else 400 if "window" in words and self.input > 600 else self.input
        names = [choice["name"]] if isinstance(choice, dict) else [t["name"] for t in tools]
        wanted = choice == "required" or isinstance(choice, dict) or (choice == "auto" and "call" in last["text"] and last["role"] == "user")
        if tools and choice != "none" and wanted and "lazy" not in words:
            for i, name in enumerate(names if parallel and "both" in last["text"] else names[:1]):
                tool = next(t for t in tools if t["name"] == name)
                self.calls.append((f"call_{len(messages)}_{i}", name, json.dumps(instance(tool.get("parameters") or {"type": "object"}))))
            self.reason = "tool_calls"
        elif self.refused:
            self.text = "I cannot help with that."
        elif schema is not None:
            self.text = json.dumps(instance(schema))
        elif last["role"] == "tool":
            self.text = "The tools said: " + ", ".join(m["text"] for m in messages if m["role"] == "tool") + "."
        else:
            self.text = f"You said: {last['text']} \u20ac\U0001f600"
        words_of_text = self.text.split(" ")
        if limit and len(words_of_text) > limit:
            self.text, self.reason = " ".join(words_of_text[:limit]), "length"
        if "filter" in words:
            self.reason = "content_filter"
        self.output = count([self.text, self.calls])

    def pieces(self):
        """The text in pieces of three characters."""
        return [self.text[i:i + 3] for i in range(0, len(self.text), 3)]


# ---- chat completions -------------------------------------------------------------------------------------------------

def chat_text(content):
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(p["text"] if p["type"] == "text" else f"<{p['type']}>" for p in content)


def chat_messages(body):
    """Messages with their texts; each call must be answered."""
    open_calls, out = [], []
    for m in body["messages"]:
        if open_calls and m["role"] != "tool":
            raise Fault(400, f"An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id': {open_calls}",
                        param="messages")
        if m["role"] == "tool":
            if m["tool_call_id"] not in open_calls:
                raise Fault(400, f"No call {m['tool_call_id']} waits for a result", param="messages")
            open_calls.remove(m["tool_call_id"])
        for c in m.get("tool_calls", ()):
            json.loads(c["function"]["arguments"])
            open_calls.append(c["id"])
        out.append({"role": m["role"], "text": chat_text(m.get("content"))})
    return out


def chat_turn(body):
    model = body["model"]
    check_params(body, CHAT, model)
    tools = [dict(t["function"]) for t in body.get("tools", ())]
    for i, t in enumerate(tools):
        if t.get("strict"):
            check_strict(t["parameters"], f"tools[{i}].function.parameters")
    choice = body.get("tool_choice", "auto")
    form, schema = body.get("response_format"), None
    if form and form["type"] == "json_schema":
        schema = form["json_schema"]["schema"]
        if form["json_schema"].get("strict"):
            check_strict(schema, "response_format")
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if "top_logprobs" in body and not body.get("logprobs"):
        raise Fault(400, "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs")
    t = Turn(model, chat_messages(body), tools, choice["function"] if isinstance(choice, dict) else choice, schema, limit, body.get("parallel_tool_calls", True))
    t.n_top = body.get("top_logprobs", 0) if body.get("logprobs") else None
    return t


def chat_usage(t):
    return {"prompt_tokens": t.input, "completion_tokens": t.output, "total_tokens": t.input + t.output, "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3 if t.reasoning else 0}}


def chat_logprobs(t, pieces):
    """Of a piece, or all."""
    if t.n_top is None:
        return None
    rows = [openai_likely(p, t.n_top) for p in pieces]
    return {"content": None if t.refused else rows, "refusal": rows if t.refused else None}


def chat_calls(t):
    return [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in t.calls]


def chat_whole(body, t):
    message = {"role": "assistant", "content": None if t.refused or t.calls else t.text, "refusal": t.text if t.refused else None}
    if t.reasoning:
        message["reasoning_content"] = t.reasoning
    if t.calls:
        message["tool_calls"] = chat_calls(t)
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "logprobs": chat_logprobs(t, t.pieces()), "finish_reason": t.reason}], "usage": chat_usage(t)}


def chat_events(body, t):
    usage = (body.get("stream_options") or {}).get("include_usage")

    def chunk(choices, **more):
        return None, {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices,
                      **({"usage": None} if usage else {}), **more}

    def delta(logprobs=None, **fields):
        return chunk([{"index": 0, "delta": fields, "logprobs": logprobs, "finish_reason": None}])

    yield delta(role="assistant", content="" if not t.calls else None)
    if t.reasoning:
        yield delta(reasoning_content=t.reasoning)
    for piece in t.pieces():
        yield delta(chat_logprobs(t, [piece]), **{"refusal" if t.refused else "content": piece})
    for i, (number, name, _) in enumerate(t.calls):
        yield delta(tool_calls=[{"index": i, "id": number, "type": "function", "function": {"name": name, "arguments": ""}}])
    for at in range(0, max((len(a) for _, _, a in t.calls), default=0), 4):  # side by side
        for i, (_, _, arguments) in enumerate(t.calls):
            if arguments[at:at + 4]:
                yield delta(tool_calls=[{"index": i, "function": {"arguments": arguments[at:at + 4]}}])
    if "break" in body["model"].split("/"):
        yield None, {"error": {"message": "The server had an error while processing your request.", "type": "server_error", "param": None, "code": None}}
        return
    if "drop" in body["model"].split("/"):
        return
    yield chunk([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": t.reason}])
    if usage:
        yield chunk([], usage=chat_usage(t))
    yield None, "[DONE]"


# ---- responses --------------------------------------------------------------------------------------------------------

SEAL = "gAAAAABseal+/="  # what only the provider reads


def response_messages(body):
    out, open_calls = [], []
    items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    for at, item in enumerate(items):
        kind = item.get("type", "message")
        if kind == "reasoning":
            if item["id"] != "rs_1" or item["encrypted_content"] != SEAL or not isinstance(item["summary"], list):
                raise Fault(400, "The encrypted content could not be verified.", param="input", code="invalid_encrypted_content")
            if items[at + 1:at + 2] == [] or items[at + 1].get("role", "assistant") != "assistant":
                raise Fault(400, f"Item '{item['id']}' of type 'reasoning' was provided without its required following item.", param="input")
        elif kind == "message":
            content = item["content"]
            text = content if isinstance(content, str) else "".join(p["text"] if p["type"].endswith("_text") else f"<{p['type']}>" for p in content)
            out.append({"role": item["role"], "text": text})
        elif kind == "function_call":
            json.loads(item["arguments"])
            open_calls.append(item["call_id"])
        elif kind == "function_call_output":
            if item["call_id"] not in open_calls:
                raise Fault(400, f"No tool call found for function call output with call_id {item['call_id']}.", param="input")
            open_calls.remove(item["call_id"])
            out.append({"role": "tool", "text": item["output"]})
        else:
            raise Fault(400, f"Invalid value: '{kind}'.", param="input", code="invalid_value")
    if open_calls:
        raise Fault(400, f"No tool output found for function call {open_calls[0]}.", param="input")
    return out


def response_turn(body):
    model = body["model"]
    check_params(body, RESPONSES, model)
    for i, t in enumerate(body.get("tools", ())):
        if t.get("strict"):
            check_strict(t["parameters"], f"tools[{i}].parameters")
    form, schema = (body.get("text") or {}).get("format"), None
    if form and form["type"] == "json_schema":
        schema = form["schema"]
        if form.get("strict"):
            check_strict(schema, "text.format.schema")
    t = Turn(model, response_messages(body), body.get("tools", []), body.get("tool_choice", "auto"), schema, body.get("max_output_tokens"),
             body.get("parallel_tool_calls", True))
    t.sealed = "reasoning.encrypted_content" in body.get("include", ())
    if t.sealed and "unsealed" in model.split("/"):
        raise Fault(400, "Encrypted content is not supported with this model.", param="include")
    t.n_top = body.get("top_logprobs", 0) if "message.output_text.logprobs" in body.get("include", ()) else None
    if t.n_top is not None and "unsaid" in model.split("/"):
        raise Fault(400, "logprobs are not supported with reasoning models.", param="include", code="unsupported_parameter")
    kinds = [i.get("type") for i in body["input"]] if isinstance(body["input"], list) else []
    if t.sealed and "think" in model.split("/") and "function_call" in kinds and "reasoning" not in kinds:
        raise Fault(400, "The reasoning behind the calls is missing.", param="input")
    return t


def response_object(body, t, status, output):
    why = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(t.reason) if status == "completed" else None
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": "incomplete" if why else status, "error": None, "model": body["model"],
            "incomplete_details": {"reason": why} if why else None, "instructions": None, "metadata": {}, "output": output,
            "parallel_tool_calls": body.get("parallel_tool_calls", True), "temperature": body.get("temperature", 1), "top_p": body.get("top_p", 1),
            "tool_choice": body.get("tool_choice", "auto"), "tools": body.get("tools", []),
            "usage": None if status != "completed" else {"input_tokens": t.input, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
                                                         "output_tokens": t.output, "output_tokens_details": {"reasoning_tokens": 3 if t.reasoning else 0},
                                                         "total_tokens": t.input + t.output}}


def response_logprobs(t, pieces):
    return [] if t.n_top is None else [openai_likely(p, t.n_top) for p in pieces]


def response_items(t):
    items = []
    if t.reasoning:
        items.append({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": t.reasoning}],
                      **({"encrypted_content": SEAL} if t.sealed else {})})
    if t.text:
        part = {"type": "refusal", "refusal": t.text} if t.refused else {"type": "output_text", "text": t.text, "annotations": [],
                                                                         "logprobs": response_logprobs(t, t.pieces())}
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
    for i, (number, name, arguments) in enumerate(t.calls):
        items.append({"type": "function_call", "id": f"fc_{i}", "call_id": number, "name": name, "arguments": arguments, "status": "completed"})
    return items


def response_events(body, t):
    number = 0

    def event(kind, **fields):
        nonlocal number
        number += 1
        return kind, {"type": kind, "sequence_number": number - 1, **fields}

    yield event("response.created", response=response_object(body, t, "in_progress", []))
    items = response_items(t)
    for at, item in enumerate(items):
        empty = {"message": {"content": []}, "reasoning": {"summary": []}, "function_call": {"arguments": ""}}[item["type"]]
        yield event("response.output_item.added", output_index=at, item={**item, **empty, "status": "in_progress"})
        where = {"item_id": item["id"], "output_index": at}
        if item["type"] == "reasoning":
            yield event("response.reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""}, **where)
            yield event("response.reasoning_summary_text.delta", summary_index=0, delta=t.reasoning, **where)
            yield event("response.reasoning_summary_text.done", summary_index=0, text=t.reasoning, **where)
        elif item["type"] == "message":
            part = {"type": "refusal", "refusal": ""} if t.refused else {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield event("response.content_part.added", content_index=0, part=part, **where)
            for piece in t.pieces():
                if t.refused:
                    yield event("response.refusal.delta", content_index=0, delta=piece, **where)
                else:
                    yield event("response.output_text.delta", content_index=0, delta=piece, logprobs=response_logprobs(t, [piece]), **where)
            if t.refused:
                yield event("response.refusal.done", content_index=0, refusal=t.text, **where)
            else:
                yield event("response.output_text.done", content_index=0, text=t.text, logprobs=response_logprobs(t, t.pieces()), **where)
            yield event("response.content_part.done", content_index=0, part=item["content"][0], **where)
        else:
            for i in range(0, len(item["arguments"]), 4):
                yield event("response.function_call_arguments.delta", delta=item["arguments"][i:i + 4], **where)
            yield event("response.function_call_arguments.done", arguments=item["arguments"], name=item["name"], **where)
        yield event("response.output_item.done", output_index=at, item=item)
    words = body["model"].split("/")
    if "break" in words:
        failed = {**response_object(body, t, "failed", items), "error": {"code": "server_error", "message": "The server had an error."}}
        yield event("response.failed", response=failed)
    elif "drop" not in words:
        whole = response_object(body, t, "completed", items)
        yield event("response." + whole["status"], response=whole)


# ---- the server -------------------------------------------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def reply(self, status, value, headers=()):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        step = self.server.chunk
        for kind, value in events:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            data = (f"event: {kind}\n" if kind else "").encode() + f"data: {text}\n\n".encode()
            for i in range(0, len(data), step or len(data)):
                piece = data[i:i + (step or len(data))]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, body):
        model = body.get("model", "")
        words = model.split("/")
        if "echo-key" in words:
            raise Fault(401, f"Incorrect API key provided: {self.headers.get('Authorization', '')[7:]}. You can find your API key at the usual place.",
                        code="invalid_api_key")
        if "busy" in words and self.server.busy < 2:
            self.server.busy += 1
            raise Fault(429, "Rate limit reached. Please try again.", "requests", code="rate_limit_exceeded")
        if self.path == "/v1/embeddings":
            text = body["input"] if isinstance(body["input"], str) else body["input"][0]
            vector = [float(len(text)), 0.5, -0.25]
            return self.reply(200, {"object": "list", "model": model, "data": [{"object": "embedding", "index": 0, "embedding": vector}],
                                    "usage": {"prompt_tokens": 1, "total_tokens": 1}})
        if self.path == "/v1/responses/input_tokens":
            check_params(body, COUNT, model)
            return self.reply(200, {"object": "response.input_tokens", "input_tokens": count([response_messages(body), body.get("tools", [])])})
        make = {"/v1/chat/completions": (chat_turn, chat_events, chat_whole),
                "/v1/responses": (response_turn, response_events, lambda b, t: response_object(b, t, "completed", response_items(t)))}.get(self.path)
        if not make:
            raise Fault(404, f"Unknown request URL: POST {self.path}")
        turn = make[0](body)
        if body.get("stream"):
            return self.stream(make[1](body, turn))
        return self.reply(200, make[2](body, turn))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        try:
            self.answer(body)
        except Fault as f:
            self.reply(f.status, f.body, [("Retry-After", "0")] if f.status == 429 else ())

    def do_GET(self):
        if self.path == "/v1/models":
            return self.reply(200, {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "mock"}]})
        return self.reply(404, {"error": {"message": f"Unknown request URL: GET {self.path}", "type": "invalid_request_error", "param": None, "code": None}})


class Mock(http.server.ThreadingHTTPServer):
    """The server on a thread of its own: with Mock() as m: ... m.url; m.requests: (path, body) of all it was sent."""
    daemon_threads = True

    def __init__(self, port=0, chunk=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.chunk, self.requests, self.busy = chunk, [], 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away
            super().handle_error(request, client_address)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


if __name__ == "__main__":
    with Mock(*(int(a) for a in sys.argv[1:3])) as mock:
        print(mock.url, flush=True)
        while True:
            time.sleep(3600)

# SPDX-License-Identifier: Apache-2.0
"""Gemini's generateContent, as https://ai.google.dev/api describes it: requests are checked as there, unknown fields refused."""
import base64
import json
import re

from mock_server import KEY, Ask, Fault, Mock, check, check_keys, count_out, likely, pieces, reply_to, signature_of, words

TOP = {"model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "store", "cachedContent", "labels"}
CONFIG = {"temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "presencePenalty", "frequencyPenalty", "responseMimeType",
          "responseJsonSchema", "responseSchema", "thinkingConfig", "candidateCount", "responseLogprobs", "logprobs"}
REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "refusal": "SAFETY"}
MODELS = [("gemini-mock", 1048576), ("gemini-mock-thinking", 32768), ("embedding-mock", 2048)]


OPEN = {"args", "response", "parametersJsonSchema", "responseJsonSchema"}  # their keys are the caller's


def camel(v):
    """Protocol buffers in JSON take field_name for fieldName, and so does the SDK in places."""
    if isinstance(v, list):
        return [camel(e) for e in v]
    if not isinstance(v, dict):
        return v
    keys = {k: re.sub(r"_(\w)", lambda m: m[1].upper(), k) for k in v}
    return {keys[k]: e if keys[k] in OPEN else camel(e) for k, e in v.items()}


def plain(text):
    """Bytes of base64: either alphabet is taken."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


class Conversation:
    """Reads and checks a GenerateContentRequest."""

    def __init__(self, body, think):
        check_keys(body, TOP, {"contents"}, "body")
        config = body.get("generationConfig", {})
        check_keys(config, CONFIG, set(), "generationConfig")
        self.ask, self.called = Ask(), []
        check(config.get("responseLogprobs") or "logprobs" not in config, "logprobs needs responseLogprobs")
        self.ask.n_top = config.get("logprobs", 0) if config.get("responseLogprobs") else None
        self.ask.think = think
        if "responseJsonSchema" in config:
            check(config.get("responseMimeType") == "application/json", "responseJsonSchema needs responseMimeType application/json")
            self.ask.schema = config["responseJsonSchema"]
        for tool in body.get("tools", []):
            check_keys(tool, set(), {"functionDeclarations"}, "tools")
            for f in tool["functionDeclarations"]:
                check_keys(f, {"description", "parametersJsonSchema", "parameters"}, {"name"}, "functionDeclarations")
                self.ask.tools.append(f["name"])
        calling = body.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
        check(calling["mode"] in ("AUTO", "ANY", "NONE"), "functionCallingConfig.mode")
        for part in body.get("systemInstruction", {"parts": []})["parts"]:
            self.ask.n_in += words(part["text"])
        for i, c in enumerate(body["contents"]):
            self.content(c, f"contents[{i}]")

    def content(self, c, where):
        check_keys(c, {"role"}, {"parts"}, where)
        check(c.get("role", "user") in ("user", "model"), "Please use a valid role: user, model.")
        check(c["parts"], f"{where}.parts: must have at least one part")
        n_results = sum("functionResponse" in p for p in c["parts"])
        check(n_results == len(self.called), "Please ensure that the number of function response parts is equal to the number of function call parts "
              f"of the function call turn. ({where})")
        self.ask.results, self.ask.media = [], []
        if c.get("role") == "model":
            self.check_signatures(c["parts"], where)
        for k, p in enumerate(c["parts"]):
            self.part(p, c.get("role", "user"), f"{where}.parts[{k}]")
        if c.get("role") == "model":
            self.ask.n_cached = 3
            self.ask.n_in += words("".join(p["text"] for p in c["parts"] if "text" in p and not p.get("thought")))  # however it was cut

    def check_signatures(self, parts, where):
        calls = [p for p in parts if "functionCall" in p]
        if self.ask.think and calls:
            check("thoughtSignature" in calls[0], f"Function call is missing a thought_signature in functionCall parts. ({where})")
            check(plain(calls[0]["thoughtSignature"]) == signature_of("call").encode(), "Thought signature is not valid.")

    def part(self, p, role, where):
        kinds = {"text", "inlineData", "functionCall", "functionResponse"} & set(p)
        check(len(kinds) == 1, f"{where}: required oneof field 'data' must have one initialized field")
        check_keys(p, {"thought", "thoughtSignature"}, kinds, where)
        getattr(self, "on_" + kinds.pop())(p, role, where)

    def on_text(self, p, role, _where):
        check(role == "model" or not p.get("thought"), "thought: only the model has them")
        if role == "user":
            self.ask.say(p["text"])

    def on_inlineData(self, p, _role, where):
        check_keys(p["inlineData"], set(), {"mimeType", "data"}, where)
        self.ask.media.append((p["inlineData"]["mimeType"], plain(p["inlineData"]["data"])))

    def on_functionCall(self, p, role, where):
        check_keys(p["functionCall"], {"id"}, {"name", "args"}, where)
        check(role == "model" and isinstance(p["functionCall"]["args"], dict), where)
        self.called.append((p["functionCall"].get("id"), p["functionCall"]["name"]))

    def on_functionResponse(self, p, role, where):
        r = p["functionResponse"]
        check_keys(r, {"id", "parts"}, {"name", "response"}, where)
        check(role == "user" and isinstance(r["response"], dict), where)
        ident, name = self.called.pop(0)
        check((r.get("id"), r["name"]) == (ident, name), f"{where}: not the call's id and name")
        text = r["response"].get("output", r["response"].get("error"))
        self.ask.results.append((name, text if isinstance(text, str) else json.dumps(text)))
        self.ask.n_in += words(str(text))


class Gemini(Mock):
    stream_type = "text/event-stream"
    too_long = "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576)."
    faults = {"invalid": (400, "INVALID_ARGUMENT"), "auth": (401, "UNAUTHENTICATED"), "missing": (404, "NOT_FOUND"), "rate": (429, "RESOURCE_EXHAUSTED"),
              "long": (400, "INVALID_ARGUMENT"), "overloaded": (503, "UNAVAILABLE")}

    def check_key(self, headers):
        if headers.get("x-goog-api-key", KEY) != KEY:
            raise Fault("auth", "API key not valid. Please pass a valid API key.")

    def error(self, f):
        return {"error": {"code": self.faults[f.kind][0], "message": f.message, "status": self.faults[f.kind][1]}}

    def answer(self, method, path, body):
        path, _, query = path.partition("?")
        body = camel(body)
        path = re.sub("^/v1/", "/v1beta/", path)  # what is asked of either here is in both
        if (method, path) == ("GET", "/v1beta/models"):
            return {"models": [{"name": "models/" + m, "version": "1", "displayName": m, "inputTokenLimit": n, "outputTokenLimit": 8192} for m, n in MODELS]}
        match = re.fullmatch(r"/v1beta/models/([^/:]+):(\w+)", path)
        if method != "POST" or not match or match[1] not in dict(MODELS):
            raise Fault("missing", f"models/{match[1] if match else path} is not found for API version v1beta")
        name, verb = match.groups()
        think = "thinking" in name
        if verb in ("embedContent", "batchEmbedContents"):
            return self.embed(verb, body)
        if verb == "countTokens":
            check("generateContentRequest" in body or "contents" in body, "contents is not specified")
            return {"totalTokens": Conversation(body.get("generateContentRequest", body), think).ask.n_in}
        ask = Conversation(body, think).ask
        self.fault_on_demand(ask.text)
        if verb == "generateContent":
            *_, last = responses = list(self.responses(name, ask, *reply_to(ask)))
            parts = [p for r in responses for p in r["candidates"][0]["content"]["parts"]]
            return {**last, "candidates": [{**last["candidates"][0], "content": {"role": "model", "parts": parts}}]}
        check(verb == "streamGenerateContent" and query == "alt=sse", f"no such method: {verb}?{query}")
        return (b"data: " + json.dumps(r, ensure_ascii=False).encode() + b"\r\n\r\n" if r else None for r in self.responses(name, ask, *reply_to(ask)))

    @staticmethod
    def embed(verb, body):
        def values(request):
            check_keys(request, {"model", "taskType", "title", "outputDimensionality"}, {"content"}, "request")
            return {"values": [0.5, words(request["content"]["parts"][0]["text"]), -0.25]}
        if verb == "embedContent":
            return {"embedding": values(body)}
        return {"embeddings": [values(r) for r in body["requests"]]}

    @staticmethod
    def parts(parts):
        """Wire parts, one a response; the first call carries the signature."""
        signature = {"thoughtSignature": base64.b64encode(signature_of("call").encode()).decode()}
        for part in parts:
            if part[0] == "call":
                yield {"functionCall": {"name": part[1], "args": part[2]}, **signature}
                signature = {}
                continue
            for p in pieces(part[1]):
                yield {"text": p, "thought": True} if part[0] == "think" else {"text": p}

    def responses(self, name, ask, parts, reason):
        n_think = sum(words(p[1]) for p in parts if p[0] == "think")
        usage = {"promptTokenCount": ask.n_in, "totalTokenCount": ask.n_in}
        if ask.n_cached:
            usage["cachedContentTokenCount"] = ask.n_cached
        rows = list(self.parts(parts))
        for k, p in enumerate(rows):
            if k and "!broken" in ask.text:
                yield {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
                return
            if k and "!cut" in ask.text:
                yield None
            candidate = {"content": {"parts": [p], "role": "model"}, "index": 0}
            if ask.n_top is not None and "text" in p and not p.get("thought"):
                token, logprob, top = likely(p["text"], ask.n_top)
                candidate["logprobsResult"] = {"chosenCandidates": [{"token": token, "tokenId": 1, "logProbability": logprob}],
                                               "topCandidates": [{"candidates": [{"token": t, "tokenId": 2, "logProbability": x} for t, x in top]}]}
            if k + 1 == len(rows):
                candidate["finishReason"] = REASONS[reason]
                usage = {**usage, "candidatesTokenCount": count_out(parts) - n_think, "totalTokenCount": ask.n_in + count_out(parts)}
                if n_think:
                    usage["thoughtsTokenCount"] = n_think
            yield {"candidates": [candidate], "usageMetadata": usage, "modelVersion": name, "responseId": "mock"}

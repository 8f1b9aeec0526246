# SPDX-License-Identifier: Apache-2.0
"""What mocks of providers have in common: a server that streams in odd pieces, a model of fixed habits, and faults on demand.

Habits of the model, by the last thing it is told:
  results of tools   says what they are
  "weather"          with tools: thinks, says something, calls get_weather for Paris and for Zürich
  a schema           the plainest JSON that fits
  pictures, files    says their sums
  "length", "refuse" ends for that reason
Faults, anywhere in the text: "!overloaded", "!rate", "!long" (before anything is sent), "!broken" (in the middle), "!cut" (the connection ends),
"!once" (overloaded, but only the first time).
"""
import hashlib
import http.server
import itertools
import json
import re
import sys
import threading

SIZES = (1, 2, 3, 5, 7, 11, 64, 13)  # bytes of the pieces that a stream comes in
KEY = "key-of-the-tests"


class Fault(Exception):
    """An answer that is a failure: kind is one of those that the mock has a row for."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind, self.message = kind, message


def check(condition, message):
    """What a server finds wrong with a request."""
    if not condition:
        raise Fault("invalid", message)


def check_keys(obj, allowed, required, where):
    check(isinstance(obj, dict), f"{where}: must be an object")
    for key in obj:
        check(key in allowed or key in required, f"{where}.{key}: unknown field")
    for key in required:
        check(key in obj, f"{where}.{key}: missing")


def sum_of(raw):
    return hashlib.sha256(raw).hexdigest()[:12]


def signature_of(text):
    """What the provider wants to see again beside its own reasoning."""
    return "sig" + hashlib.sha256(b"secret" + text.encode()).hexdigest()


def words(text):
    return len(text.split())


def instance_of(schema):
    """The plainest value under a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {k: instance_of(v) for k, v in schema.get("properties", {}).items()}
    return {"array": [], "string": "Grüße", "integer": 7, "number": 1.5, "boolean": True, "null": None}[kind]


class Ask:
    """What the model sees of a request, whatever the dialect."""

    def __init__(self):
        self.text, self.results, self.tools, self.schema, self.media, self.n_in, self.n_cached, self.think = "", [], [], None, [], 0, 0, False

    def say(self, text):
        self.text = text
        self.n_in += words(text)


def reply_to(ask):
    """([("think", text), ("text", text), ("call", name, arguments)], reason)"""
    if ask.results:
        return [("text", "The tools say: " + "; ".join(f"{name} = {text}" for name, text in ask.results))], "stop"
    if "weather" in ask.text and "get_weather" in ask.tools:
        head = [("think", "I need the weather of Paris and Zürich.")] if ask.think else []
        return head + [("text", "Let me look.")] + [("call", "get_weather", {"location": p}) for p in ("Paris", "Zürich")], "tool_calls"
    if ask.schema is not None:
        return [("text", json.dumps(instance_of(ask.schema), ensure_ascii=False))], "stop"
    if ask.media:
        return [("text", "I see " + " ".join(f"{kind}:{sum_of(raw)}" for kind, raw in ask.media))], "stop"
    if "length" in ask.text:
        return [("text", "It goes on and")], "length"
    if "refuse" in ask.text:
        return [("text", "I would")], "refusal"
    return [("text", "You said: " + ask.text)], "stop"


def pieces(text):
    """A text as models send it: in bits of words."""
    return re.findall(r"\S{1,4}\s*|\s+", text)


def likely(token, n_top):
    """How likely a token was, and n_top in its place, the likeliest first: [token, logprob, [[token, logprob], ...]]."""
    logprob = -len(token.encode()) / 8
    return [token, logprob, [[token + "~" * k, logprob - k] for k in range(n_top)]]


def openai_likely(token, n_top):
    """The same as OpenAI and Ollama have it."""
    def row(text, logprob):
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
    text, logprob, top = likely(token, n_top)
    return {**row(text, logprob), "top_logprobs": [row(*t) for t in top]}


def count_out(parts):
    return sum(words(p[1] if p[0] != "call" else json.dumps(p[2])) for p in parts)


class Mock(http.server.ThreadingHTTPServer):
    """A provider on a port of this machine. requests: (method, path, headers, body) of all that came."""

    daemon_threads = True
    faults = {}     # kind: (status, type of the provider's error)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self._once, self.lock = [], set(), threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (BrokenPipeError, ConnectionResetError)):
            super().handle_error(request, client_address)

    def fault_on_demand(self, text):
        """Fails a request whose text asks for it; True: in the middle."""
        for kind, message in (("overloaded", "Overloaded, come later"), ("rate", "slow down"), ("long", self.too_long)):
            if f"!{kind}" in text:
                raise Fault(kind, message)
        with self.lock:
            if "!once" in text and text not in self._once:
                self._once.add(text)
                raise Fault("overloaded", "Overloaded, come later")

    # What a provider is: check_key(headers), answer(method, path, body) -> an object, or an iterator of bytes to stream; error(fault) -> an object.


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def do_GET(self):
        self._serve(None)

    def do_POST(self):
        self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _serve(self, body):
        mock = self.server
        headers = {k.lower(): v for k, v in self.headers.items()}
        with mock.lock:
            mock.requests.append((self.command, self.path, headers, body))
        try:
            mock.check_key(headers)
            answer = mock.answer(self.command, self.path, body)
            if not isinstance(answer, (dict, list)):
                answer = itertools.chain([next(answer)], answer)  # what is wrong with a request shows before its stream begins
        except Fault as f:
            status = mock.faults[f.kind][0]
            return self._send(status, json.dumps(mock.error(f)).encode(), {"Retry-After": "0"} if f.kind in ("overloaded", "rate") else {})
        if isinstance(answer, (dict, list)):
            return self._send(200, json.dumps(answer, ensure_ascii=False).encode(), {})
        return self._stream(answer)

    def _send(self, status, raw, headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for k, v in headers.items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", self.server.stream_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sizes = itertools.cycle(SIZES)
        for raw in events:
            if raw is None:  # the connection ends here
                self.close_connection = True
                return
            while raw:
                n = next(sizes)
                self.wfile.write(f"{len(raw[:n]):x}\r\n".encode() + raw[:n] + b"\r\n")
                raw = raw[n:]
        self.wfile.write(b"0\r\n\r\n")

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OpenAI's dialects against a mock of its API, which OpenAI's own SDK has proven right: what the SDK gets from it, the command and the binding get
too. The SDK is installed into a folder of its own (AIOS_TEST_VENV); without pip or network those tests are skipped, the others are not."""
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "net"), str(ROOT / "bindings" / "python")]
AIOS = os.environ.get("AIOS_CLI", "build/cli/aios")
VENV = os.environ.get("AIOS_TEST_VENV", "build/openai-sdk")
KEY = "sk-canary-5b1f0c7e9d2a4836"

STRICT = {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}, "required": ["place", "days"], "additionalProperties": False}
LOOSE = {"type": "object", "properties": {"id": {"type": "integer", "minimum": 3}}, "required": ["id"]}
TOOLS = [("weather", "Weather of a place", STRICT), ("look_up", "Finds a thing", LOOSE)]
# name: model, prompt, options
CASES = {
    "text": ("m", "hello", {}),
    "unicode": ("m", "gr\u00fc\u00dfe \U0001f600", {}),
    "reasoning": ("think", "hello", {}),
    "limit": ("m", "one two three four", {"max_tokens": 3}),
    "one call": ("m", "call it", {"tools": True}),
    "two calls": ("m", "call both", {"tools": True}),
    "no call": ("m", "call both", {"tools": True, "tool_choice": "none"}),
    "required": ("m", "hello", {"tools": True, "tool_choice": "required"}),
    "named": ("m", "hello", {"tools": True, "tool_name": "look_up"}),
    "strict schema": ("m", "hello", {"schema": STRICT}),
    "loose schema": ("m", "hello", {"schema": LOOSE}),
    "logprobs": ("m", "gr\u00fc\u00dfe \U0001f600", {"logprobs": 2}),
    "logprobs alone": ("m", "hello", {"logprobs": 0}),
}


def rows_of(tokens):
    """Tokens of the SDK: [[token, logprob, [[token, logprob], ...]], ...]."""
    return [[t.token, t.logprob, [[o.token, o.logprob] for o in t.top_logprobs]] for t in tokens]


def sdk_chat(client, model, prompt, o):
    args = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True, "stream_options": {"include_usage": True}}
    if "max_tokens" in o:
        args["max_tokens"] = o["max_tokens"]
    if "tools" in o:
        args["tools"] = [{"type": "function", "function": {"name": n, "description": d, "parameters": s}} for n, d, s in TOOLS]
        args["tool_choice"] = {"type": "function", "function": {"name": o["tool_name"]}} if "tool_name" in o else o.get("tool_choice", "auto")
    if "schema" in o:
        args["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": o["schema"], "strict": o["schema"] is STRICT}}
    if "logprobs" in o:
        args |= {"logprobs": True, "top_logprobs": o["logprobs"]}
    out = {"text": "", "reasoning": "", "calls": {}, "logprobs": []}
    for chunk in client.chat.completions.create(**args):
        if chunk.usage:
            u = chunk.usage
            out["usage"] = [u.prompt_tokens, u.prompt_tokens_details.cached_tokens, u.completion_tokens, u.completion_tokens_details.reasoning_tokens]
        for choice in chunk.choices:
            out["text"] += choice.delta.content or ""
            out["reasoning"] += (choice.delta.model_extra or {}).get("reasoning_content") or ""
            out["reason"] = choice.finish_reason or out.get("reason")
            out["logprobs"] += rows_of(choice.logprobs.content) if choice.logprobs else []
            for c in choice.delta.tool_calls or ():
                call = out["calls"].setdefault(c.index, [c.id, c.function.name, ""])
                call[2] += c.function.arguments or ""
    out["calls"] = list(out["calls"].values())
    whole = client.chat.completions.create(**{k: v for k, v in args.items() if not k.startswith("stream")}).choices[0]
    assert (whole.message.content or "") == out["text"] and whole.finish_reason == out["reason"]
    assert [[c.id, c.function.name, c.function.arguments] for c in whole.message.tool_calls or ()] == out["calls"]
    assert (rows_of(whole.logprobs.content) if whole.logprobs else []) == out["logprobs"]
    return out


def sdk_responses(client, model, prompt, o):
    args = {"model": model, "input": prompt, "store": False}
    if "max_tokens" in o:
        args["max_output_tokens"] = o["max_tokens"]
    if "tools" in o:
        args["tools"] = [{"type": "function", "name": n, "description": d, "parameters": s, "strict": s is STRICT} for n, d, s in TOOLS]
        args["tool_choice"] = {"type": "function", "name": o["tool_name"]} if "tool_name" in o else o.get("tool_choice", "auto")
    if "schema" in o:
        args["text"] = {"format": {"type": "json_schema", "name": "reply", "schema": o["schema"], "strict": o["schema"] is STRICT}}
    if "logprobs" in o:
        args |= {"include": ["message.output_text.logprobs"], "top_logprobs": o["logprobs"]}
    reasoning, text, logprobs = "", "", []
    for event in client.responses.create(**args, stream=True):
        if event.type == "response.reasoning_summary_text.delta":
            reasoning += event.delta
        if event.type == "response.output_text.delta":
            text += event.delta
            logprobs += rows_of(event.logprobs or ())
        if event.type in ("response.completed", "response.incomplete"):
            r = event.response
    assert text == r.output_text == client.responses.create(**args).output_text
    calls = [[i.call_id, i.name, i.arguments] for i in r.output if i.type == "function_call"]
    u, why = r.usage, r.incomplete_details
    return {"text": r.output_text, "reasoning": reasoning, "calls": calls, "reason": "length" if why else "tool_calls" if calls else "stop", "logprobs": logprobs,
            "usage": [u.input_tokens, u.input_tokens_details.cached_tokens, u.output_tokens, u.output_tokens_details.reasoning_tokens]}


def sdk_sealed(client):
    """A loop without state at the server: the reasoning goes back as it came."""
    asked = [{"role": "user", "content": "call it"}]
    tools = [{"type": "function", "name": n, "description": d, "parameters": s, "strict": s is STRICT} for n, d, s in TOOLS[:1]]
    args = {"model": "think", "tools": tools, "store": False, "include": ["reasoning.encrypted_content"]}
    first = client.responses.create(input=asked, **args)
    asked += [i.model_dump(exclude_none=True) for i in first.output]
    asked += [{"type": "function_call_output", "call_id": i.call_id, "output": "fine"} for i in first.output if i.type == "function_call"]
    return client.responses.create(input=asked, **args).output_text


def sdk_main(url):
    import openai
    client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
    out = {}
    for name, (model, prompt, o) in CASES.items():
        out[name] = {"openai": sdk_chat(client, model, prompt, o), "openai-responses": sdk_responses(client, model, prompt, o)}
    out["sealed"] = sdk_sealed(client)
    out["models"] = [m.id for m in client.models.list()]
    out["embedding"] = client.embeddings.create(model="m", input="four", encoding_format="float").data[0].embedding
    for model, error in (("overflow", openai.BadRequestError), ("echo-key", openai.AuthenticationError), ("busy", openai.RateLimitError)):
        try:
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}])
            raise AssertionError(model)
        except error:
            pass
    json.dump(out, sys.stdout)


def sdk_python():
    """The interpreter that has the SDK, or None."""
    python = pathlib.Path(VENV) / "bin" / "python"
    try:
        if subprocess.run([python, "-c", "import openai"], capture_output=True, timeout=60).returncode == 0:
            return python
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True, capture_output=True, timeout=120)
        subprocess.run([python, "-m", "pip", "install", "-q", "openai"], check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        return None
    return python


class Remote(unittest.TestCase):
    """The same mock, cut into pieces of a size that ends inside of characters and of lines."""

    @classmethod
    def setUpClass(cls):
        from mock_openai import Mock
        import aios
        cls.aios = aios
        cls.mock = cls.enterClassContext(Mock(chunk=7)) if hasattr(cls, "enterClassContext") else Mock(chunk=7).__enter__()
        cls.context = aios.Context()

    def setUp(self):
        self.mock.requests.clear()
        self.mock.busy = 0

    def uri(self, dialect, model):
        return f"{dialect}+{self.mock.url}#{model}"

    def complete(self, dialect, model, prompt, **options):
        with self.aios.Model(self.uri(dialect, model), self.context) as m, m.session() as s:
            return s.complete(prompt, **options)

    def fails(self, dialect, model, prompt="hello", **options):
        with self.assertRaises(self.aios.Error) as caught:
            self.complete(dialect, model, prompt, **options)
        return caught.exception

    def case(self, dialect, name):
        model, prompt, o = CASES[name]
        o = dict(o)
        if "tools" in o:
            o["tools"] = [{"name": n, "description": d, "schema": s} for n, d, s in TOOLS]
        if "tool_name" in o:
            o["tool_choice"] = "named"
        r = self.complete(dialect, model, prompt, **o)
        u = r.usage[-1]
        rows = [[t["token"], t["logprob"], [[o["token"], o["logprob"]] for o in t["top"]]] for t in r.logprobs]
        return {"text": r.text, "reasoning": r.reasoning, "calls": [[c.call_id, c.name, c.text] for c in r.calls], "reason": r.reason, "logprobs": rows,
                "usage": [u.input, u.cached, u.output, u.reasoning]}

    def command(self, *args, env=None):
        p = subprocess.run([AIOS, *args], capture_output=True, timeout=60, env={**os.environ, **(env or {})})
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def test_the_sdk_gets_the_same(self):
        python = sdk_python()
        if not python:
            self.skipTest("OpenAI's SDK cannot be installed here")
        p = subprocess.run([python, __file__, "--sdk", self.mock.url], capture_output=True, timeout=120)
        self.assertEqual(p.returncode, 0, p.stderr.decode())
        want = json.loads(p.stdout)
        self.assertEqual(want["sealed"], "The tools said: fine.")
        for name, (model, prompt, o) in CASES.items():
            for dialect in ("openai", "openai-responses"):
                with self.subTest(case=name, dialect=dialect):
                    got = self.case(dialect, name)
                    if "schema" not in o:  # the SDK was told the same in other words, of which the mock counts other tokens
                        self.assertEqual(got["usage"], want[name][dialect]["usage"])
                    for key in ("text", "reasoning", "calls", "reason", "logprobs"):
                        self.assertEqual(got[key], want[name][dialect][key], key)
            if "tools" not in o and "schema" not in o:
                limit = ["-n", str(o["max_tokens"])] if "max_tokens" in o else []
                code, out, err = self.command("run", "-m", f"{self.mock.url}#{model}", *limit, prompt)
                self.assertEqual((code, out.rstrip("\n")), (0, want[name]["openai"]["text"]), err)

    def test_encrypted_reasoning_goes_back(self):
        name, description, schema = TOOLS[0]
        with self.aios.Model(self.uri("openai-responses", "think"), self.context) as m:
            with self.aios.Toolset(self.context) as tools:
                tools.add(lambda **_: "fine", schema, name=name, description=description, effect="read")
                with self.aios.Agent(m, tools) as agent:
                    reply = agent.run("call it")
        self.assertEqual(reply.text, "The tools said: fine.")
        self.assertEqual([c.name for c in reply.calls], [name])
        (_, first), (_, second) = self.mock.requests
        self.assertEqual((first["store"], first["include"]), (False, ["reasoning.encrypted_content"]))
        kinds = [i.get("type") for i in second["input"]]
        self.assertEqual(kinds, [None, "reasoning", "function_call", "function_call_output"])

    def test_a_model_that_encrypts_nothing(self):
        with self.aios.Model(self.uri("openai-responses", "unsealed"), self.context) as m, m.session() as s:
            for requests in (2, 1):
                self.mock.requests.clear()
                self.assertIn("You said: hello", s.complete("hello").text)
                self.assertEqual(len(self.mock.requests), requests)
                self.assertNotIn("include", self.mock.requests[-1][1])

    def test_what_is_refused_of_include_takes_nothing_else_along(self):
        with self.aios.Model(self.uri("openai-responses", "unsealed"), self.context) as m, m.session() as s:
            for requests in (2, 1):
                self.mock.requests.clear()
                r = s.complete("hello", logprobs=1)
                self.assertEqual("".join(t["token"] for t in r.logprobs), r.text)
                self.assertEqual((len(self.mock.requests), self.mock.requests[-1][1]["include"]), (requests, ["message.output_text.logprobs"]))
        e = self.fails("openai-responses", "unsaid", logprobs=1)
        self.assertEqual(e.name, "EINVAL")
        self.assertIn("logprobs are not supported", e.message)

    def test_the_command_tells_how_likely_tokens_were(self):
        for dialect in ("openai", "openai-responses"):
            code, out, err = self.command("run", "-q", "--json", "--logprobs", "2", "-m", self.uri(dialect, "m"), "hello")
            self.assertEqual(code, 0, err)
            events = [json.loads(line) for line in out.splitlines()]
            tokens = [t for e in events if e["type"] == "logprobs" for t in e["tokens"]]
            self.assertEqual("".join(t["token"] for t in tokens), events[-1]["text"])
            self.assertEqual([len(t["top"]) for t in tokens], [2] * len(tokens))
            self.assertEqual([t["top"][0] for t in tokens], [{k: t[k] for k in ("token", "logprob")} for t in tokens])
        for wrong in ("21", "-1", "x"):
            self.assertEqual(self.command("run", "--json", "--logprobs", wrong, "-m", self.uri("openai", "m"), "hello")[0], 2)

    def test_a_schema_is_strict_only_where_it_qualifies(self):
        for schema, strict in ((STRICT, True), (LOOSE, False)):
            for dialect in ("openai", "openai-responses"):
                self.mock.requests.clear()
                self.assertIn('"', self.complete(dialect, "m", "hello", schema=schema).text)
                _, body = self.mock.requests[-1]
                told = body["response_format"]["json_schema"] if dialect == "openai" else body["text"]["format"]
                self.assertEqual((told["strict"], told["schema"], len(self.mock.requests)), (strict, schema, 1))

    def test_what_a_model_refuses_is_left_out_and_remembered(self):
        model = "no-temperature/no-max_tokens/no-stream_options"
        with self.aios.Model(self.uri("openai", model), self.context) as m:
            for turn, requests in ((1, 4), (2, 1)):
                self.mock.requests.clear()
                with m.session() as s:
                    r = s.complete("one two three four", max_tokens=3, sampling={"temperature": 0.5})
                self.assertEqual((r.text, r.reason), ("You said: one", "length"), turn)
                self.assertEqual(len(self.mock.requests), requests)
                body = self.mock.requests[-1][1]
                self.assertNotIn("temperature", body)
                self.assertEqual(body["max_completion_tokens"], 3)

    def test_an_overflow_has_both_numbers(self):
        for dialect in ("openai", "openai-responses"):
            e = self.fails(dialect, "overflow")
            self.assertEqual((e.name, e.have, e.need), ("ECONTEXT", 4096, 5000))
            self.assertEqual(len(self.mock.requests), 1)
            self.mock.requests.clear()

    def test_a_prompt_that_was_cut_in_silence_is_no_success(self):
        prompt = "The quick brown fox jumps over the lazy dog while the village sleeps. " * 60
        for dialect in ("openai", "openai-responses"):
            e = self.fails(dialect, "cut", prompt)
            self.assertEqual((e.name, e.have), ("ECONTEXT", 300))
            self.assertGreater(e.need, 500)
            self.assertTrue(e.text.startswith("You said: The quick"))

    def test_a_conversation_that_shrinks_was_cut(self):
        with self.aios.Model(self.uri("openai", "window"), self.context) as m, m.session() as s:
            with self.aios.Transcript(self.context, [("user", "Some words of a talk that goes on. " * 60)]) as t:
                before = s.complete(t).usage[0].input
                t.add("assistant", "yes")
                t.add("user", "Some words of a talk that goes on. " * 10)
                with self.assertRaises(self.aios.Error) as caught:
                    s.complete(t)
        self.assertEqual((caught.exception.name, caught.exception.have), ("ECONTEXT", 400))
        self.assertGreater(caught.exception.need, before)

    def test_a_failed_stream_is_no_reply(self):
        for dialect in ("openai", "openai-responses"):
            for model, name in (("break", "EUNAVAIL"), ("drop", "EPROTO"), ("refuse", "EREFUSED"), ("filter", "EFILTERED")):
                with self.subTest(dialect=dialect, model=model):
                    e = self.fails(dialect, model)
                    self.assertEqual(e.name, name)
                    self.assertTrue(e.text)

    def test_a_busy_server_is_asked_again(self):
        self.assertEqual(self.complete("openai", "busy", "hello").text[:9], "You said:")
        self.assertEqual(len(self.mock.requests), 3)

    def test_results_of_calls_go_back(self):
        Part = self.aios.Part
        with self.aios.Transcript(self.context, [("user", "call both")]) as t:
            t.add_entry("assistant", [Part("reasoning", "I think."), Part("call", '{"place":"x","days":1}', "weather", "a1"), Part("call", '{"id":3}', "look_up", "a2")])
            t.add_entry("tool", [Part("result", "rain", "weather", "a1"), Part("result", "a hat", "look_up", "a2")])
            for dialect in ("openai", "openai-responses"):
                self.assertEqual(self.complete(dialect, "m", t).text, "The tools said: rain, a hat.")

    def test_an_agent_runs_to_its_end(self):
        for dialect in ("openai", "openai-responses"):
            asked = []
            with self.aios.Model(self.uri(dialect, "think"), self.context) as m, self.aios.Toolset(self.context) as tools:
                @tools.tool
                def weather(place: str, days: int) -> str:
                    """Weather of a place."""
                    asked.append((place, days))
                    return "rain"
                with self.aios.Agent(m, tools, policy=lambda action: "allow") as agent:
                    self.assertEqual(agent.run("call it").text, "The tools said: rain.")
            self.assertEqual(asked, [("text", 1)])

    def test_the_server_counts(self):
        with self.aios.Model(self.uri("openai-responses", "m"), self.context) as m, m.session() as s:
            n = s.count("hello")
            self.assertEqual(n, s.complete("hello").usage[0].input)
        self.assertEqual(self.mock.requests[0][0], "/v1/responses/input_tokens")

    def test_no_key_in_any_word(self):
        env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.mock.url}
        for dialect in ("openai", "openai-responses"):
            for more in ([], ["--json"], ["-v"]):
                code, out, err = self.command("run", *more, "-m", f"{dialect}:echo-key", "hello", env=env)
                self.assertNotEqual(code, 0)
                self.assertIn("Incorrect API key provided: ***", out + err)
                self.assertNotIn(KEY[:8], out + err)
                self.assertNotIn(KEY[-8:], out + err)

    def ended_by_abort(self, *args, env=None):
        """Whether the command left a core dump when it was aborted in the middle of its work."""
        def allow():
            resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        with tempfile.TemporaryDirectory() as folder:
            p = subprocess.Popen([os.path.abspath(AIOS), "chat", "-q", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, preexec_fn=allow,
                                 env={**os.environ, **(env or {})})
            p.stdin.write(b"hello\n")
            p.stdin.flush()
            said = p.stdout.read(1)  # so that the model is open
            p.send_signal(signal.SIGABRT)
            _, status = os.waitpid(p.pid, 0)
            p.returncode = status
            p.stdin.close()
            p.stdout.close()
        self.assertTrue(said and os.WIFSIGNALED(status), status)
        return os.WCOREDUMP(status)

    def test_who_holds_a_key_leaves_no_core_dump(self):
        uri = self.uri("openai", "m")
        if not self.ended_by_abort("-m", uri):
            self.skipTest("no process leaves a core dump here")
        self.assertFalse(self.ended_by_abort("-m", uri, "--api-key-env", "THE_KEY", env={"THE_KEY": KEY}))
        self.assertFalse(self.ended_by_abort("-m", "openai:m", env={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.mock.url}))
        route = json.dumps({"candidates": [{"uri": uri, "api_key_env": "THE_KEY"}]})
        self.assertFalse(self.ended_by_abort("-m", f"route:{route}", env={"THE_KEY": KEY}))

    def test_a_tool_that_must_be_called_and_is_not(self):
        tools = [{"name": "weather", "schema": STRICT}]
        for dialect in ("openai", "openai-responses"):
            e = self.fails(dialect, "lazy", tools=tools, tool_choice="required")
            self.assertEqual((e.name, e.text[:9]), ("ENOTSUP", "You said:"))

    def test_embeddings(self):
        with self.aios.Model(self.uri("openai", "m"), self.context) as m:
            import ctypes
            from aios._lib import call, lib
            out = (ctypes.c_float * 3)()
            with m._pin() as p:
                call(lib.aios_model_embed, p, b"four", 4, out, 3)
            self.assertEqual(list(out), [4.0, 0.5, -0.25])

    def test_embeddings_and_counts_are_asked_again(self):
        import ctypes
        from aios._lib import call, lib
        out = (ctypes.c_float * 3)()
        with self.aios.Model(self.uri("openai", "busy"), self.context) as m, m._pin() as p:
            call(lib.aios_model_embed, p, b"four", 4, out, 3)
        self.assertEqual((list(out), len(self.mock.requests)), ([4.0, 0.5, -0.25], 3))
        self.mock.busy = 0
        self.mock.requests.clear()
        with self.aios.Model(self.uri("openai-responses", "busy"), self.context) as m, m.session() as s:
            self.assertGreater(s.count("hello there"), 0)
        self.assertEqual(len(self.mock.requests), 3)
        self.mock.busy = -9
        self.mock.requests.clear()
        with self.aios.Model(self.uri("openai", "busy"), self.context) as m, m._pin() as p, self.assertRaises(self.aios.Error) as caught:
            call(lib.aios_model_embed, p, b"four", 4, out, 3)
        self.assertEqual((caught.exception.name, len(self.mock.requests)), ("ERATE", 3))


class Trusted(unittest.TestCase):
    """The same mock behind TLS, whose certificate only those know who are told of it."""

    @classmethod
    def setUpClass(cls):
        from mock_openai import Mock
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.cert, key = os.path.join(folder.name, "cert.pem"), os.path.join(folder.name, "key.pem")
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=mock", "-addext",
                "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cls.cert]
        try:
            subprocess.run(make, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as e:
            raise unittest.SkipTest("needs the program openssl") from e
        mock = Mock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cls.cert, key)
        mock.socket = context.wrap_socket(mock.socket, server_side=True, do_handshake_on_connect=False)
        mock.__enter__()
        cls.addClassCleanup(mock.__exit__)
        cls.model = mock.url.replace("http:", "https:") + "#m"

    def command(self, *args):
        p = subprocess.run([AIOS, "run", "-q", "-m", self.model, *args, "hello"], capture_output=True, text=True, timeout=60)
        return p.returncode, p.stdout.strip(), p.stderr

    def test_the_command_trusts_whom_it_is_told_to(self):
        code, out, err = self.command("--ca-file", self.cert)
        self.assertEqual((code, out), (0, "You said: hello \u20ac\U0001f600"), err)
        code, out, err = self.command()
        self.assertEqual((code, out), (4, ""))
        self.assertIn("--ca-file", err)
        code, out, err = self.command("--ca-file", self.cert + "x")
        self.assertNotEqual(code, 0)
        self.assertIn("--ca-file", err)

    def test_a_proxy_beyond_this_machine_gets_nothing_of_a_server_on_it(self):
        code, out, err = self.command("--ca-file", self.cert, "--proxy", "http://192.0.2.1:3128")
        self.assertEqual((code, out), (0, "You said: hello \u20ac\U0001f600"), err)
        code, out, err = self.command("--ca-file", self.cert, "--proxy", "ftp://127.0.0.1")
        self.assertNotEqual(code, 0)
        self.assertIn("proxy must begin with http://", err)


SERVE = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.n_ctx, p.n_parallel, p.warmup, p.cpuparams.n_threads = sys.argv[1], 1024, 1, False, 1
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
time.sleep(600)
"""


class LlamaServer(unittest.TestCase):
    """The real one, where xllamacpp is installed and AIOS_TEST_MODEL names a model."""

    @classmethod
    def setUpClass(cls):
        model = os.environ.get("AIOS_TEST_MODEL", "")
        if not model or subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True, timeout=60).returncode:
            raise unittest.SkipTest("needs xllamacpp and AIOS_TEST_MODEL")
        import aios
        cls.aios = aios
        cls.server = subprocess.Popen([sys.executable, "-c", SERVE, model], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        cls.context = aios.Context()
        cls.model = aios.Model(f"{cls.server.stdout.readline().strip()}/v1#m", cls.context)

    @classmethod
    def tearDownClass(cls):
        cls.model.close()
        cls.server.kill()
        cls.server.wait()
        cls.server.stdout.close()

    def test_replies(self):
        with self.model.session() as s:
            first, second = (s.complete("Say hello.", max_tokens=12, sampling={"temperature": 0, "top_k": 1}) for _ in range(2))
        self.assertTrue(first.text)
        self.assertEqual((first.text, first.reason), (second.text, second.reason))
        self.assertGreater(first.usage[0].input, 5)
        self.assertGreater(second.usage[0].cached, 5)

    def test_tokens_are_about_as_likely_as_the_engine_says(self):
        """It computes with other roundings: 0.22 apart at most, seen with SmolLM2 in Q4_1 (20 tokens, 4 in the place of each)."""
        def told(model):
            with model.session() as s:
                return s.complete("Tell me of the sea.", max_tokens=20, logprobs=4, sampling={"temperature": 0}).logprobs
        with self.aios.Model(os.environ["AIOS_TEST_MODEL"], self.context) as m:
            here, there = told(m), told(self.model)
        self.assertGreaterEqual(len(there), 15)
        self.assertEqual([t["token"] for t in here[:8]], [t["token"] for t in there[:8]])
        for n, (a, b) in enumerate(zip(here, there)):
            if a["token"] != b["token"]:
                break  # a tie: what follows is another text
            self.assertLess(abs(a["logprob"] - b["logprob"]), 0.5, n)
            tops = [{o["token"]: o["logprob"] for o in t["top"]} for t in (a, b)]
            shared = tops[0].keys() & tops[1].keys()
            self.assertGreaterEqual(len(shared), 2, n)
            self.assertLess(max(abs(tops[0][o] - tops[1][o]) for o in shared), 0.5, n)

    def test_a_schema_is_kept(self):
        with self.model.session() as s:
            reply = s.complete("A place and days, as JSON.", schema=STRICT, max_tokens=60)
        self.assertEqual(set(json.loads(reply.text)), {"place", "days"})

    def test_an_overflow_has_both_numbers(self):
        with self.model.session() as s, self.assertRaises(self.aios.Error) as caught:
            s.complete("word " * 3000)
        self.assertEqual((caught.exception.name, caught.exception.have), ("ECONTEXT", 1024))
        self.assertGreater(caught.exception.need, 3000)


class LlamaCppPython(unittest.TestCase):
    """The server of llama-cpp-python, where its extra `server` is installed and AIOS_TEST_MODEL names a model: it answers 500 to what it cannot read."""

    @classmethod
    def setUpClass(cls):
        model = os.environ.get("AIOS_TEST_MODEL", "")
        if not model or subprocess.run([sys.executable, "-c", "import llama_cpp.server.app"], capture_output=True, timeout=60).returncode:
            raise unittest.SkipTest("needs llama-cpp-python[server] and AIOS_TEST_MODEL")
        import aios
        cls.aios, cls.context = aios, aios.Context()
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        cls.server = subprocess.Popen([sys.executable, "-m", "llama_cpp.server", "--model", model, "--n_ctx", "1024", "--n_threads", "1", "--port", str(port)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.server.wait)
        cls.addClassCleanup(cls.server.kill)
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        cls.uri = f"http://127.0.0.1:{port}/v1#m"
        cls.model = aios.Model(cls.uri, cls.context)
        cls.addClassCleanup(cls.model.close)

    def test_replies(self):
        with self.model.session() as s:
            reply = s.complete("Say hello.", max_tokens=12, sampling={"temperature": 0})
        self.assertTrue(reply.text)

    def test_a_schema_is_kept_after_the_refusal_of_its_first_form(self):
        with self.model.session() as s:
            for _ in range(2):
                reply = s.complete("A place and days, as JSON.", schema=STRICT, max_tokens=60, sampling={"temperature": 0})
                self.assertEqual(set(json.loads(reply.text)), {"place", "days"})

    def test_a_value_that_it_refuses_is_not_asked_again(self):
        with self.model.session() as s, self.assertRaises(self.aios.Error) as caught:
            s.complete("Say hello.", max_tokens=12, sampling={"frequency_penalty": 7})
        self.assertEqual(caught.exception.name, "EINVAL")
        self.assertIn("frequency_penalty", caught.exception.message)

    def test_an_overflow_is_an_empty_stream(self):
        """Its streams begin with 200 and end there: only who tells the size of its context knows beforehand."""
        with self.model.session() as s, self.assertRaises(self.aios.Error) as caught:
            s.complete("word " * 3000)
        self.assertEqual(caught.exception.name, "EPROTO")
        self.assertIn("longer than their context", caught.exception.message)
        with self.aios.Model(self.uri, self.context, n_ctx=1024) as m, m.session() as s, self.assertRaises(self.aios.Error) as caught:
            s.complete("word " * 3000)
        self.assertEqual((caught.exception.name, caught.exception.have), ("ECONTEXT", 1024))
        self.assertGreater(caught.exception.need, 3000)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sdk"]:
        sdk_main(sys.argv[2])
    else:
        unittest.main()

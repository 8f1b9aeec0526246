#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Anthropic, Ollama and Gemini over real sockets: each mock of tests/net is proven right by the provider's own SDK, and libaios, the
command and the binding, makes the same of it.

The SDKs come from PyPI into a folder that goes again; AIOS_TEST_SDKS names a Python that has them. Without either those tests are skipped.
"""
import ctypes as C
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/net"), str(ROOT / "bindings/python")]

import aios  # noqa: E402  pylint: disable=wrong-import-position
from aios import _cdef as c  # noqa: E402  pylint: disable=wrong-import-position
from aios._lib import call, lib, written  # noqa: E402  pylint: disable=wrong-import-position
from mock_anthropic import Anthropic  # noqa: E402  pylint: disable=wrong-import-position
from mock_gemini import Gemini  # noqa: E402  pylint: disable=wrong-import-position
from mock_ollama import Ollama  # noqa: E402  pylint: disable=wrong-import-position
from scenes import KEY, MODELS, PICTURE, SCHEMA, TEXTS, TOOL, get_weather  # noqa: E402  pylint: disable=wrong-import-position

AIOS = os.environ.get("AIOS_CLI", str(ROOT / "build/cli/aios"))
SDKS = ("anthropic", "ollama", "google-genai")
_sdk_python = []


def sdk_python():
    """A Python that has the SDKs, or None; made once."""
    if not _sdk_python:
        named = os.environ.get("AIOS_TEST_SDKS")
        folder = None if named else tempfile.TemporaryDirectory(prefix="aios-sdks-")
        python = named or f"{folder.name}/bin/python"
        try:
            if not named:
                subprocess.run([sys.executable, "-m", "venv", folder.name], check=True, capture_output=True, timeout=120)
                subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *SDKS], check=True, capture_output=True, timeout=400)
            subprocess.run([python, "-c", "import anthropic, ollama; from google import genai"], check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            python = None
        _sdk_python[:] = [python, folder]
    return _sdk_python[0]


def said(reply, calls=None, reason=None, usage=None):
    """A Reply in the words of tests/net/sdk_calls.py."""
    usage = usage or [reply.usage[0].input, reply.usage[0].cached, reply.usage[0].output]
    calls = [[ev.name, ev.arguments] for ev in reply.calls] if calls is None else calls
    return {"text": reply.text, "thinking": reply.reasoning, "calls": calls, "reason": reason or reply.reason, "usage": usage}


class Base:
    """Tests of one dialect; name, mock and codes are the subclass's."""

    codes = {"overloaded": c.AIOS_EUNAVAIL, "rate": c.AIOS_ERATE, "long": c.AIOS_ECONTEXT, "broken": c.AIOS_EUNAVAIL, "missing": c.AIOS_ENOENT}
    says_logprobs = True
    numbers = None  # (have, need) of what is too long

    @classmethod
    def setUpClass(cls):
        cls.server = cls.mock()
        cls.context = aios.Context()
        cls.names = MODELS[cls.name]

    @classmethod
    def tearDownClass(cls):
        cls.context.close()
        cls.server.close()

    def setUp(self):
        self.server.requests.clear()

    def uri(self, model):
        return f"{self.name}+{self.server.url}#{model}"

    def model(self, model):
        m = aios.Model(self.uri(model), self.context)
        self.addCleanup(m.close)
        return m

    def complete(self, prompt, model="plain", **options):
        session = self.model(self.names.get(model, model)).session()
        self.addCleanup(session.close)
        return session.complete(prompt, **options)

    def transcript(self, *entries):
        t = aios.Transcript(self.context, entries)
        self.addCleanup(t.close)
        return t

    def bodies(self):
        return [body for method, _path, _headers, body in self.server.requests if method == "POST"]

    def loop(self, model):
        """The agent with one tool; its reply in the SDKs' words, and its transcript."""
        tools = aios.Toolset(self.context)
        self.addCleanup(tools.close)
        tools.add(get_weather, TOOL["schema"], description=TOOL["description"], effect="read")
        agent = aios.Agent(self.model(self.names[model]), tools)
        self.addCleanup(agent.close)
        t = self.transcript()
        reply = agent.run("What is the weather?", transcript=t)
        calls = [[ev.name, ev.arguments] for ev in reply.calls]
        return said(reply, calls, usage=[[u.input, u.cached, u.output] for u in reply.usage]), t

    def embed(self, text):
        out, raw = (C.c_float * 3)(), text.encode()
        with self.model(self.names["embed"])._pin() as m:
            call(lib.aios_model_embed, m, raw, len(raw), out, 3)
        return list(out)

    def models(self):
        with self.model(self.names["plain"])._pin() as m:
            return [row["id"] for row in json.loads(written(lib.aios_model_list, m))]

    def results(self):
        """{scene: result} as sdk_calls.py prints it."""
        image = self.transcript()
        image.add_entry("user", [aios.Part("text", "See"), aios.Part("image", PICTURE, mime="image/png")])
        out = {scene: said(self.complete(text)) for scene, text in TEXTS.items()}
        out["system"] = said(self.complete(self.transcript(("system", "You are a mock."), ("user", "Hi"))))
        out["loop"], out["plain loop"] = self.loop("thinking")[0], self.loop("plain")[0]
        out["schema"] = said(self.complete("A person", schema=SCHEMA))
        out["picture"] = said(self.complete(image))
        out["models"] = self.models()
        if self.counts:
            session = self.model(self.names["plain"]).session()
            self.addCleanup(session.close)
            out["count"] = session.count("one two three")
        if self.says_logprobs:
            told = self.complete(TEXTS["text"], logprobs=2).logprobs
            out["logprobs"] = [[t["token"], t["logprob"], [[o["token"], o["logprob"]] for o in t["top"]]] for t in told]
        if "embed" in self.names:
            out["embed"] = self.embed("one two three")
        return out

    def test_replies_are_what_the_model_said(self):
        r = self.results()
        self.assertEqual(r["text"]["text"], "You said: " + TEXTS["text"])
        self.assertEqual(r["long text"]["text"], "You said: " + TEXTS["long text"])
        self.assertEqual((r["length"]["text"], r["length"]["reason"]), ("It goes on and", "length"))
        self.assertEqual(r["loop"]["text"], "The tools say: get_weather = Paris: 15 C; get_weather = Zürich: 15 C")
        self.assertEqual(r["loop"]["calls"], [["get_weather", {"location": "Paris"}], ["get_weather", {"location": "Zürich"}]])
        self.assertEqual(r["loop"]["thinking"], "I need the weather of Paris and Zürich.")
        self.assertEqual(r["plain loop"]["thinking"], "")
        self.assertEqual(json.loads(r["schema"]["text"]), {"name": "Grüße", "age": 7, "tags": [], "kind": "cat"})
        self.assertEqual(r["text"]["usage"], [4, 0, 6])
        if self.says_logprobs:
            self.assertEqual("".join(t[0] for t in r["logprobs"]), "You said: " + TEXTS["text"])
        else:
            with self.assertRaises(aios.Error) as got:
                self.complete("Hi", logprobs=2)
            self.assertEqual(got.exception.code, c.AIOS_ENOTSUP)

    def test_the_sdk_makes_the_same_of_the_mock(self):
        python = sdk_python()
        if not python:
            self.skipTest("the SDKs cannot be installed")
        env = {**os.environ, "NO_PROXY": "127.0.0.1"}
        p = subprocess.run([python, str(ROOT / "tests/net/sdk_calls.py"), self.name, self.server.url], capture_output=True, timeout=300, env=env, check=False)
        self.assertEqual(p.returncode, 0, p.stderr.decode())
        sdk, ours = json.loads(p.stdout), self.results()
        for scene, result in ours.items():
            with self.subTest(scene=scene):
                self.assertEqual(sdk[scene], result)
        with self.subTest(scene="whole"):
            self.assertEqual(sdk["whole"], said(self.complete("Hi")))
        for fault, kind in {"overloaded": "overloaded", "rate": "rate", "long": "long", "missing": "missing"}.items():
            with self.subTest(scene=fault):
                self.assertEqual(sdk[fault], {"status": self.mock.faults[kind][0]})
        self.assertIn("status", sdk["broken"])
        self.assertIn("RemoteProtocolError", sdk["cut"]["failed"])

    def test_the_transcript_carries_the_loop_on(self):
        """What the provider signed survives JSON, another session and another model handle: the mock refuses a conversation without."""
        _, t = self.loop("thinking")
        text = t.to_json()
        again = aios.Transcript.from_json(self.context, text)
        self.addCleanup(again.close)
        self.assertEqual(again.to_json(), text)
        again.add("user", "And now?")
        self.assertEqual(self.complete(again, "thinking", tools=[TOOL]).text, "You said: And now?")
        signed = [p for e in t[0:len(t)] for p in e.parts if p.kind == "reasoning" and p.call_id]
        self.assertEqual(len(signed), self.n_signatures)
        if signed:
            bare = self.transcript()
            for e in t[0:len(t)]:
                bare.add_entry(e.role, [p for p in e.parts if p.kind != "reasoning"])
            bare.add("user", "And now?")
            with self.assertRaises(aios.Error) as got:
                self.complete(bare, "thinking", tools=[TOOL])
            self.assertEqual(got.exception.code, c.AIOS_EINVAL)

    def test_what_one_server_signed_goes_to_no_other(self):
        _, t = self.loop("thinking")
        t.add("user", "And now?")
        marks = [p.call_id.split(" ")[0] for e in t[0:len(t)] for p in e.parts if p.kind == "reasoning" and p.call_id]
        self.assertTrue(all(m.startswith(f"{self.name}@{self.server.url}/") for m in marks), marks)
        other = self.mock()
        self.addCleanup(other.close)
        session = aios.Model(f"{self.name}+{other.url}#{self.names['thinking']}", self.context).session()
        self.addCleanup(session.close)
        if self.n_signatures:
            with self.assertRaises(aios.Error):  # it insists on what it does not get
                session.complete(t, tools=[TOOL])
        else:
            session.complete(t, tools=[TOOL])
        sent = json.dumps([body for method, _path, _headers, body in other.requests if method == "POST"])
        for p in [p for e in t[0:len(t)] for p in e.parts if p.kind == "reasoning" and p.call_id]:
            self.assertNotIn(p.call_id.split(" ", 1)[1], sent)

    def test_a_transcript_of_another_provider_is_no_hindrance(self):
        t = self.transcript(("user", "Hi"))
        t.add_entry("assistant", [aios.Part("reasoning", "hm", call_id="other/thinking S"), aios.Part("text", "Hello")])
        t.add("user", "More")
        self.assertEqual(self.complete(t).text, "You said: More")

    def test_failures_have_their_codes(self):
        for fault in ("overloaded", "rate", "long", "broken"):
            with self.subTest(fault=fault):
                with self.assertRaises(aios.Error) as got:
                    self.complete(f"Hello there, !{fault}")
                self.assertEqual(got.exception.code, self.codes[fault])
                if fault == "long" and self.numbers:
                    self.assertEqual((got.exception.have, got.exception.need), self.numbers)
        with self.assertRaises(aios.Error) as got:
            self.complete("Hi", "no-such-model")
        self.assertEqual(got.exception.code, c.AIOS_ENOENT)
        with self.assertRaises(aios.Error) as got:
            self.complete("Hello there, !cut")
        self.assertIn(got.exception.code, (c.AIOS_EUNAVAIL, c.AIOS_EPROTO))

    def test_a_second_attempt_is_the_same_request(self):
        reply = self.complete(f"Hello !once {self.name}")
        self.assertEqual(reply.text, f"You said: Hello !once {self.name}")
        bodies = self.bodies()
        self.assertEqual(len(bodies), 2)
        self.assertEqual(bodies[0], bodies[1])

    def test_the_command_says_the_same(self):
        out = self.aios("run", "-q", "--json", "-m", self.uri(self.names["plain"]), TEXTS["text"])
        self.assertEqual((out["text"], out["reason"]), ("You said: " + TEXTS["text"], "stop"))
        with tempfile.TemporaryDirectory() as folder:
            schema, tools = pathlib.Path(folder, "s.json"), pathlib.Path(folder, "t.json")
            schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
            program = "import json, sys; sys.stdout.write(json.load(sys.stdin)['location'] + ': 15 C')"
            tools.write_text(json.dumps([{"name": TOOL["name"], "description": TOOL["description"], "effect": "read", "parameters": TOOL["schema"],
                                          "command": [sys.executable, "-c", program]}]), encoding="utf-8")
            out = self.aios("run", "-q", "--json", "-m", self.uri(self.names["plain"]), "--schema", str(schema), "A person")
            self.assertEqual(json.loads(out["text"]), {"name": "Grüße", "age": 7, "tags": [], "kind": "cat"})
            for model in ("plain", "thinking"):
                out = self.aios("agent", "-q", "--json", "--no-builtin", "--tools", str(tools), "-m", self.uri(self.names[model]), "What is the weather?")
                self.assertEqual(out["text"], "The tools say: get_weather = Paris: 15 C; get_weather = Zürich: 15 C")

    def aios(self, *args, env=None, code=0):
        """The last event of the command."""
        p = subprocess.run([AIOS, *args], capture_output=True, timeout=120, env={**os.environ, **(env or {})}, check=False)
        self.assertEqual(p.returncode, code, p.stdout.decode() + p.stderr.decode())
        return json.loads(p.stdout.splitlines()[-1])


class AnthropicTest(Base, unittest.TestCase):
    name, mock, counts, n_signatures, numbers, says_logprobs = "anthropic", Anthropic, True, 2, (200000, 210000), False

    def test_the_key_of_the_environment_goes_to_its_address_alone(self):
        env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": self.server.url}
        self.aios("run", "-q", "--json", "-m", "anthropic:claude-mock", "Hi", env=env)
        self.assertEqual(self.server.requests[-1][2]["x-api-key"], KEY)
        self.aios("run", "-q", "--json", "-m", self.uri("claude-mock"), "Hi", env=env)
        self.assertNotIn("x-api-key", self.server.requests[-1][2])
        out = self.aios("run", "-q", "--json", "-m", "anthropic:claude-mock", "Hi", env={**env, "ANTHROPIC_API_KEY": "wrong-key"}, code=4)
        self.assertNotIn("wrong-key", json.dumps(out))

    def test_a_refusal_says_why(self):
        with self.assertRaises(aios.Error) as got:
            self.complete("Please refuse")
        self.assertEqual(got.exception.code, c.AIOS_EREFUSED)
        self.assertIn("too bold", str(got.exception))
        self.assertEqual(got.exception.text, "I would")


class OllamaTest(Base, unittest.TestCase):
    name, mock, counts, n_signatures = "ollama", Ollama, False, 0

    def test_ollama_host_is_read_as_there(self):
        for host in (self.server.url, f"127.0.0.1:{self.server.server_port}", f"0.0.0.0:{self.server.server_port}", f":{self.server.server_port}"):
            with self.subTest(host=host):
                self.assertEqual(self.aios("run", "-q", "--json", "-m", "ollama:mock", "Hi", env={"OLLAMA_HOST": host})["text"], "You said: Hi")

    def test_the_context_is_that_of_the_configuration(self):
        self.aios("run", "-q", "--json", "-c", "4096", "-n", "50", "-m", self.uri("mock"), "Hi")
        self.assertEqual(self.bodies()[-1]["options"], {"num_ctx": 4096, "num_predict": 50, "temperature": 0})


class GeminiTest(Base, unittest.TestCase):
    name, mock, counts, n_signatures, numbers = "gemini", Gemini, True, 1, (1048576, 2000000)

    def test_the_key_of_the_environment_goes_to_its_address_alone(self):
        env = {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": self.server.url}
        self.aios("run", "-q", "--json", "-m", "gemini:gemini-mock", "Hi", env=env)
        self.assertEqual(self.server.requests[-1][2]["x-goog-api-key"], KEY)
        self.aios("run", "-q", "--json", "-m", self.uri("gemini-mock"), "Hi", env=env)
        self.assertNotIn("x-goog-api-key", self.server.requests[-1][2])

    def test_what_a_filter_stopped_is_told(self):
        with self.assertRaises(aios.Error) as got:
            self.complete("Please refuse")
        self.assertEqual(got.exception.code, c.AIOS_EFILTERED)
        self.assertIn("SAFETY", str(got.exception))
        self.assertEqual(got.exception.text, "I would")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments, which are named with what is allowed, and how the library is found."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from support import ADD, HERE, Base, aios, main

TOO_LARGE = (-1, 1 << 32, 1 << 40, 1 << 70)


class Arguments(Base):
    def setUp(self):
        super().setUp()
        self.session = self.model("echo").session()

    def refused(self, kind, words, fn, *args, **options):
        with self.assertRaises(kind) as caught:
            fn(*args, **options)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_one_of_a_few_is_named_with_the_others(self):
        tools = aios.Toolset(self.context)
        for words, fn, args, options in (
                (["kind", "'foo'", "schema", "regex", "gbnf", "lark"], aios.Grammar, (self.context, "x", "foo"), {}),
                (["kind", "257"], aios.Grammar, (self.context, "x", 999), {}),
                (["effect", "'reed'", "unsafe", "read", "local", "keyed"], tools.tool, (), {"effect": "reed"}),
                (["effect", "read"], tools.add, (lambda: 0,), {"name": "f", "effect": []}),
                (["tool_choice", "'foo'", "auto", "required", "none"], aios.Agent, (self.session.model,), {"tool_choice": "foo"}),
                (["tool_choice", "auto"], self.session.complete, ("x",), {"tool_choice": "foo"}),
                (["log_level", "warn"], aios.Context, (), {"log_level": "loud"}),
                (["role", "assistant"], aios.Transcript(self.context).add, ("nobody", "x"), {}),
                (["kind", "text"], aios.Transcript(self.context).add_entry, ("user", [aios.Part("smell")]), {})):
            self.refused(ValueError, words, fn, *args, **options)

    def test_a_verdict_that_is_none_is_a_value_error(self):
        agent = self.agent("call f {}; result", (lambda: 0, {"name": "f"}), policy=lambda action: "maybe")
        self.refused(ValueError, ["verdict", "allow", "deny"], agent.run, "?")

    def test_numbers_that_c_cannot_hold_are_refused(self):
        for n in TOO_LARGE:
            for name in ("max_tokens", "max_reasoning", "max_repairs"):
                self.refused(ValueError, [name, str(n), "0 to 4294967295"], self.session.complete, "x", **{name: n})
            self.refused(ValueError, ["top_k"], self.session.complete, "x", sampling={"top_k": n})
            self.refused(ValueError, ["n_ctx"], self.model, "echo", n_ctx=n)
            self.refused(ValueError, ["n_ctx"], self.session.model.session, n_ctx=n)
            self.refused(ValueError, ["max_turns"], self.agent, "echo", limits={"max_turns": n})
            self.refused(ValueError, ["n_threads"], aios.Context, n_threads=n)
        self.refused(ValueError, ["priority"], self.session.complete, "x", priority=1 << 31)
        for n in (-1, 1 << 64):
            self.refused(ValueError, ["budget"], aios.Context, budget=n)
            self.refused(ValueError, ["n_bytes"], self.context.set_budget, n)
            self.refused(ValueError, ["seed"], self.session.complete, "x", sampling={"seed": n})
        self.refused(ValueError, ["status"], aios.Transcript(self.context).add_entry, "user", [aios.Part(status=1 << 31)])
        self.refused(ValueError, ["integrity"], aios.Transcript(self.context).add_entry, "user", [aios.Part()], integrity=1 << 31)
        self.refused(ValueError, ["token"], self.session.model.detokenize, [1 << 32])
        self.refused(ValueError, ["limit"], aios.Grammar(self.context, "a", "regex").walk().forced, -1)
        self.refused(TypeError, ["max_tokens", "whole number", "str"], self.session.complete, "x", max_tokens="3")
        self.refused(TypeError, ["temperature"], self.session.complete, "x", sampling={"temperature": "hot"})
        self.assertEqual(self.session.complete("x", max_tokens=(1 << 32) - 1).text, "x")

    def test_times_are_seconds_that_there_are(self):
        for t in (-1, float("nan"), float("inf"), 1e12):
            self.refused(ValueError, ["timeout"], self.session.complete, "x", timeout=t)
            self.refused(ValueError, ["tool_timeout"], self.agent, "echo", limits={"tool_timeout": t})
            self.refused(ValueError, ["timeout"], aios.Toolset(self.context).add, lambda: 0, name="f", timeout=t)
        self.refused(TypeError, ["timeout", "str"], self.session.complete, "x", timeout="1")
        self.fails("ETIMEDOUT", self.model("delay 30000; say late").session().complete, "hi", timeout=1e-12)

    def test_objects_of_another_kind_are_type_errors(self):
        model = self.session.model
        for words, fn, args, options in (
                (["grammar", "Grammar", "str"], self.session.complete, ("x",), {"grammar": "x"}),
                (["prompt", "int"], self.session.complete, (5,), {}),
                (["context", "Context", "Model"], aios.Grammar, (model, "x"), {}),
                (["context", "Context"], aios.Snapshot, (model,), {}),
                (["context", "Context"], aios.Transcript, (model,), {}),
                (["context", "Context"], aios.Toolset, (model,), {}),
                (["context", "Context"], aios.Model, ("echo:", model), {}),
                (["grammar", "Grammar"], aios.Walk, (model,), {}),
                (["model", "Model"], aios.Session, (self.context,), {}),
                (["model", "Model"], aios.Agent, (self.session,), {}),
                (["toolset", "Toolset"], aios.Agent, (model, [len]), {}),
                (["policy", "function"], aios.Agent, (model,), {"policy": "allow"}),
                (["transcript", "Transcript"], self.agent("echo").start, ("x", []), {}),
                (["sampling", "dict"], self.session.complete, ("x",), {"sampling": 1}),
                (["limits", "dict"], self.agent, ("echo",), {"limits": 1}),
                (["limits", "max_turns", "tool_timeout"], self.agent, ("echo",), {"limits": {"max_turn": 1}}),
                (["schema", "int"], self.session.complete, ("x",), {"schema": 5}),
                (["schema", "list"], self.session.complete, ("x",), {"schema": []}),
                (["gbnf", "dict"], aios.Grammar, (self.context, {}, "gbnf"), {}),
                (["grammar", "int"], aios.Grammar, (self.context, 5), {}),
                (["a tool", "parameters", "schema"], self.session.complete, ("x",), {"tools": [{"name": "a", "parameters": ADD}]}),
                (["a tool", "dict"], self.session.complete, ("x",), {"tools": ["a"]}),
                (["tool", "function"], aios.Toolset(self.context).add, ("f",), {}),
                (["progress", "function"], self.model, ("echo",), {"progress": 1})):
            self.refused(TypeError, words, fn, *args, **options)
        self.refused(ValueError, ["no name"], self.session.complete, "x", tools=[{"description": "a"}])
        self.assertEqual(self.session.complete("still here").text, "still here")

    def test_one_stop_text_is_one(self):
        session = self.model("say one two three").session()
        self.assertEqual(session.complete("x", stop="two").text, session.complete("x", stop=["two"]).text)


class Finding(unittest.TestCase):
    """A copy of the package that no checkout is around."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        shutil.copytree(HERE.parent / "aios", self.root / "a" / "b" / "c" / "aios", ignore=shutil.ignore_patterns("*.so*", "__pycache__"))

    def load(self, **env):
        clean = {k: v for k, v in os.environ.items() if k not in ("AIOS_LIBRARY", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR")}
        return subprocess.run([sys.executable, "-c", "import aios; print(aios.library_path)"], capture_output=True, text=True, timeout=60,
                              cwd=self.root, env={**clean, "PYTHONPATH": str(self.root / "a" / "b" / "c"), "PKG_CONFIG_LIBDIR": str(self.root), **env})

    def library(self, folder):
        folder.mkdir(exist_ok=True)
        shutil.copy(pathlib.Path(aios.library_path).resolve(), folder / "libaios.so.0")
        return folder

    def test_the_loader_finds_it(self):
        p = self.load(LD_LIBRARY_PATH=str(self.library(self.root / "lib")))
        self.assertEqual((p.stdout, p.returncode), ("libaios.so.0\n", 0), p.stderr)

    @unittest.skipUnless(shutil.which("pkg-config"), "no pkg-config")
    def test_pkg_config_finds_it(self):
        if self.load().returncode == 0:
            self.skipTest("the system has a libaios of its own")
        folder = self.library(self.root / "lib")
        (self.root / "aios.pc").write_text(f"libdir={folder}\nName: aios\nDescription: x\nVersion: 0.1.0\n", encoding="ascii")
        p = self.load()
        self.assertEqual((p.stdout, p.returncode), (f"{folder / 'libaios.so.0'}\n", 0), p.stderr)

    def test_beside_the_package_comes_first(self):
        folder = self.library(self.root / "a" / "b" / "c" / "aios")
        self.assertEqual(self.load().stdout, f"{(folder / 'libaios.so.0').resolve()}\n")

    def test_what_is_not_found_says_what_to_do(self):
        p = self.load(PKG_CONFIG="/nonexistent/pkg-config")
        if p.returncode == 0:
            self.skipTest("the system has a libaios of its own")
        for word in ("ImportError", "libaios.so.0", "AIOS_LIBRARY=", "meson install", "pkg-config"):
            self.assertIn(word, p.stderr)
        p = self.load(AIOS_LIBRARY="/nonexistent/libaios.so")
        for word in ("ImportError", "AIOS_LIBRARY is /nonexistent/libaios.so", "unset it"):
            self.assertIn(word, p.stderr)


if __name__ == "__main__":
    main()

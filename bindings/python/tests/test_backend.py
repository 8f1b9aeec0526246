#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backends in Python: what a turn is asked and gives, how it fails and is given up, what is left of it, the suite of every backend."""
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import weakref

from support import ADD, HERE, TEXT, Base, aios, main, python
from aios import _backend

SUITE = os.environ.get("AIOS_CONFORM_MODULE", "")
USAGE = aios.Usage(input=2, output=3)


class BackendBase(Base):
    def setUp(self):
        super().setUp()
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)

    def python(self, turn, **facts):
        """A model of a function."""
        self.context.register_backend("mine", turn, **facts)
        return aios.Model("mine:", self.context)

    def asked(self, prompt=None, facts=None, **options):
        """The request that a backend gets to see."""
        seen = []
        model = self.python(lambda request: seen.append(request) or "ok", **(facts or {}))
        model.session().complete(prompt, **options)
        return seen[0]


class Turns(BackendBase):
    def test_pieces_come_as_what_they_are(self):
        def turn(request):
            yield aios.Reasoning("let me see")
            yield None
            yield TEXT
            yield " end"
            yield USAGE
            return "length"
        reply = self.python(turn).session().complete("hi")
        self.assertEqual((reply.text, reply.reasoning, reply.reason, reply.usage), (TEXT + " end", "let me see", "length", [USAGE]))

    def test_a_plain_text_and_a_list_are_turns_too(self):
        self.assertEqual(self.python(lambda request: request.text.upper()).session().complete("hi").text, "HI")
        self.context.register_backend("listed", lambda request: ["a", USAGE, "b"])
        self.assertEqual(aios.Model("listed:", self.context).session().complete("hi").text, "ab")

    def test_calls_have_their_deltas_and_a_reason(self):
        def turn(request):
            yield aios.CallDelta("add", id="c1")
            yield aios.CallDelta("add", '{"a":1,"b":2}', "c1")
            yield aios.ToolCall("add", {"a": 1, "b": 2}, "c1")
        model = self.python(turn, tools=True)
        tools = [{"name": "add", "schema": ADD}]
        events = list(model.session().start("hi", tools=tools, call_deltas=True))
        self.assertEqual([(e.kind, e.call_id, e.text) for e in events[:-1]],
                         [("call_delta", "c1", ""), ("call_delta", "c1", '{"a":1,"b":2}'), ("call", "c1", '{"a": 1, "b": 2}')])
        self.assertEqual(events[-1].name, "tool_calls")
        self.assertEqual([e.kind for e in model.session().start("hi", tools=tools)], ["call", "done"])

    def test_calls_of_one_id_are_calls_of_their_own(self):
        seen, paid = [], []

        def turn(request):
            seen.append(request.messages)
            if len(seen) > 1:
                return "over"
            return [aios.ToolCall("pay", {"sum": 1}, "x"), aios.ToolCall("pay", {"sum": 2}, "x"), aios.ToolCall("pay", {"sum": 3}, "x/y")]
        tools = aios.Toolset(self.context)
        tools.add(lambda sum: paid.append(sum), name="pay", schema={"type": "object", "properties": {"sum": {"type": "integer"}}})
        reply = aios.Agent(self.python(turn, tools=True), tools).run("go", on_ask=lambda ev: ev.call_id == "call_1")
        self.assertEqual((reply.text, paid), ("over", [2]))
        self.assertEqual([c["id"] for m in seen[1] for c in m.get("tool_calls", ())], ["x", "call_1", "call_2"])
        self.assertEqual([m["tool_call_id"] for m in seen[1] if m["role"] == "tool"], ["x", "call_1", "call_2"])

    def test_where_nobody_is_asked_nobody_is_said_to_have_answered(self):
        tools = aios.Toolset(self.context)
        tools.add(lambda: self.fail("it was made"), name="pay", effect="unsafe")
        for scheme, ask, word in (("none", None, "nobody could be asked"), ("no", lambda ev: False, "the user denied")):
            seen = []

            def turn(request, seen=seen):
                seen.append(request.messages)
                return "over" if len(seen) > 1 else [aios.ToolCall("pay", {}, "x")]
            self.context.register_backend(scheme, turn, tools=True)
            aios.Agent(aios.Model(scheme + ":", self.context), tools).run("go", on_ask=ask)
            self.assertIn(word, seen[1][-1]["content"])

    def test_what_is_signed_comes_back_to_who_signed_it(self):
        seen = []

        def turn(request):
            seen.append(request.messages)
            yield aios.Reasoning("let me ")
            yield aios.Reasoning("see", "s1\u00e9")
            yield aios.Reasoning("", "s2")
            yield aios.Reasoning(" unsigned")
            if request.messages[-1]["role"] == "tool":
                yield "It is " + request.messages[-1]["content"]
            else:
                yield aios.ToolCall("add", {"a": 2, "b": 3})
        toolset = aios.Toolset(self.context)
        toolset.add(lambda a, b: a + b, schema=ADD, name="add", effect="read")
        self.context.register_backend("other", turn, tools=True)
        agent = aios.Agent(self.python(turn, tools=True), toolset)
        reply = agent.run("2 + 3?")
        self.assertEqual((reply.text, reply.reasoning), ("It is 5", "let me see unsigned" * 2))
        thought = seen[1][1]
        self.assertEqual((thought["reasoning"], thought["signed"]),
                         ("let me see unsigned", [{"text": "let me see", "signature": "s1\u00e9"}, {"text": "", "signature": "s2"}]))
        self.assertNotIn("signed", seen[0][0])
        kept = aios.Transcript.from_json(self.context, reply.transcript.to_json())
        kept.add("user", "and now?")
        for scheme, there in (("mine", True), ("other", False)):
            del seen[:]
            aios.Model(scheme + ":", self.context).session().complete(kept)
            self.assertEqual(["signed" in m for m in seen[0]], [False, there, False, there, False], scheme)
            self.assertEqual(seen[0][1]["reasoning"], "let me see unsigned")

    def test_what_cannot_be_signed_is_a_failure(self):
        for wrong, code in (("a\0b", "EINTERNAL"), ("\ud800", "EINTERNAL"), (7, "EINTERNAL")):
            self.context.register_backend(f"bad{len(str(wrong))}", lambda request, wrong=wrong: iter([aios.Reasoning("x", wrong)]))
            self.fails(code, aios.Model(f"bad{len(str(wrong))}:", self.context).session().complete, "hi")
            self.context = aios.Context()

    def test_how_likely_tokens_were_is_told_where_it_is_asked_for(self):
        asked = []

        def turn(request):
            asked.append(request.logprobs)
            yield "h\u00e9"
            yield aios.Logprobs([{"token": "h", "logprob": -0.25, "top": [{"token": "h", "logprob": -0.25}, {"token": "H", "logprob": -2}]},
                                 {"token": b"\xc3", "logprob": float("-inf")}, {"token": b"\xa9", "logprob": 0}])
        session = self.python(turn, logprobs=True).session()
        self.assertEqual(session.complete("hi", logprobs=2).logprobs, [
            {"token": "h", "logprob": -0.25, "top": [{"token": "h", "logprob": -0.25}, {"token": "H", "logprob": -2}]},
            {"token": "\ufffd", "bytes": [0xc3], "logprob": -9999, "top": []}, {"token": "\ufffd", "bytes": [0xa9], "logprob": 0, "top": []}])
        self.assertEqual(session.complete("hi").logprobs, [])
        self.assertEqual(session.complete("hi", logprobs=0).text, "h\u00e9")
        self.assertEqual(asked, [2, None, 0])

    def test_logprobs_are_refused_of_who_gives_none_and_checked_of_who_does(self):
        self.fails("ENOTSUP", self.python(lambda request: "x").session().complete, "hi", logprobs=1)
        for n, wrong in enumerate(({"token": "x", "logprob": 0.5}, {"token": "x", "logprob": float("nan")}, {"token": "x"}, {"token": 3, "logprob": -1},
                                   {"token": "x", "logprob": -1, "top": [{"token": "y"}]})):
            self.context.register_backend(f"wrong{n}", lambda request, wrong=wrong: iter(["x", aios.Logprobs([wrong])]), logprobs=True)
            self.fails("EINTERNAL", aios.Model(f"wrong{n}:", self.context).session().complete, "hi", logprobs=1)

    def test_a_restart_makes_what_came_void(self):
        def turn(request):
            yield "wrong"
            yield aios.ToolCall("add", "{}")
            yield aios.Restart()
            yield "right"
        turn_events = list(self.python(turn).session().start("hi"))
        self.assertEqual([(e.kind, e.text, e.attempt) for e in turn_events],
                         [("text", "wrong", 0), ("call", "{}", 0), ("text", "right", 1), ("done", "right", 1)])
        self.assertEqual(turn_events[-1].name, "stop")

    def test_an_agent_drives_it(self):
        def turn(request):
            if request.messages[-1]["role"] == "tool":
                yield "It is " + request.messages[-1]["content"]
            else:
                yield aios.ToolCall("add", {"a": 2, "b": 3})
        toolset = aios.Toolset(self.context)
        toolset.add(lambda a, b: a + b, schema=ADD, name="add", effect="read")
        reply = aios.Agent(self.python(turn, tools=True), toolset).run("2 + 3?")
        self.assertEqual(reply.text, "It is 5")

    def test_a_reply_that_breaks_its_schema_is_asked_for_again(self):
        lengths = []

        def turn(request):
            lengths.append(len(request.entries))
            yield "never" if len(lengths) == 1 else '{"a":1,"b":2}'
        reply = self.python(turn).session().complete("hi", schema=ADD)
        self.assertEqual((reply.json, lengths), ({"a": 1, "b": 2}, [1, 3]))

    def test_a_model_in_a_model(self):
        context = self.context

        class Loud(aios.Backend):
            def open(self, path, options):
                self.inner = aios.Model(path, context)

            def turn(self, request):
                for piece in self.inner.session().stream(request.text):
                    yield piece.upper()
        context.register_backend("loud", Loud)
        self.assertEqual(aios.Model("loud:echo:say hello", context).session().complete("hi").text, "HELLO")

    def test_sessions_and_models_have_state_of_their_own(self):
        class Counts(aios.Backend):
            def open(self, path, options):
                self.path, self.sessions = path, 0

            def session(self):
                self.sessions += 1
                return [self.sessions, 0]

            def fork(self, state):
                return list(state)

            def turn(self, request):
                request.state[1] += 1
                yield json.dumps([self.path, *request.state])
        self.context.register_backend("counts", Counts)
        x, y = (aios.Model("counts:" + name, self.context) for name in "xy")
        first, second, other = x.session(), x.session(), y.session()
        rows = [s.complete("hi").json for s in (first, first, second, other)]
        self.assertEqual(rows, [["x", 1, 1], ["x", 1, 2], ["x", 2, 1], ["y", 1, 1]])
        fork = first.fork()
        self.assertEqual([s.complete("hi").json for s in (fork, first)], [["x", 1, 3], ["x", 1, 3]])

    def test_a_thread_of_the_library_drives_it(self):
        threads = []

        def turn(request):
            threads.append(threading.get_ident())
            yield from ("a", "b")
        model = self.python(turn)
        self.assertEqual(model.session(threaded=True).complete("hi").text, "ab")
        self.assertNotEqual(threads, [threading.get_ident()])


class Requests(BackendBase):
    def test_a_request_is_plain_values(self):
        tools = [{"name": "add", "description": "Adds", "schema": ADD}, {"name": "now"}]
        req = self.asked("hi", sampling={"temperature": 0.5, "seed": 7}, tools=tools, tool_choice="required", max_tokens=9, timeout=2,
                         stop=["x", "y"], one_call=True)
        self.assertEqual(req.messages, [{"role": "user", "content": "hi"}])
        self.assertEqual(req.tools, [tools[0], {"name": "now", "description": "", "schema": {"type": "object"}}])
        self.assertEqual((req.tool_choice, req.max_tokens, req.timeout, req.stop, req.one_call, req.schema, req.raw),
                         ("required", 9, 2.0, ["x", "y"], True, None, None))
        self.assertEqual((req.sampling["temperature"], req.sampling["seed"]), (0.5, 7))
        self.assertEqual((req.text, req.cancelled), ("hi", False))

    def test_a_conversation_with_calls_and_results(self):
        t = aios.Transcript(self.context, [("system", "Be brief."), ("user", "2 + 3?")])
        t.add_entry("assistant", [aios.Part("reasoning", "hm"), aios.Part("text", "Wait."), aios.Part("call", '{"a":2,"b":3}', "add", "c1")])
        t.add_entry("tool", [aios.Part("result", "5", "add", "c1")])
        req = self.asked(t)
        self.assertEqual(req.messages, [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 3?"},
            {"role": "assistant", "content": "Wait.", "reasoning": "hm",
             "tool_calls": [{"id": "c1", "name": "add", "arguments": {"a": 2, "b": 3}}]},
            {"role": "tool", "content": "5", "name": "add", "tool_call_id": "c1"}])
        self.assertEqual([e.role for e in req.entries], ["system", "user", "assistant", "tool"])

    def test_a_raw_text(self):
        req = self.asked(raw="once upon")
        self.assertEqual((req.raw, req.text, req.messages), ("once upon", "once upon", []))

    def test_a_schema_is_read(self):
        seen = []
        model = self.python(lambda request: seen.append(request.schema) or '{"a":1,"b":2}')
        model.session().complete("hi", schema=ADD)
        self.assertEqual(seen, [ADD])

    def test_a_context_that_is_full_is_told_before_anything_is_computed(self):
        model = self.python(lambda request: self.fail("it began"), n_ctx=4, count=lambda request: len(request.text.split()))
        e = self.fails("ECONTEXT", model.session().start, "a b c d e")
        self.assertEqual((e.have, e.need), (4, 5))
        self.assertEqual(self.fails("ECONTEXT", model.session, n_ctx=5).need, 5)
        self.assertEqual(model.session().count("a b"), 2)

    def test_facts_and_what_else_a_model_does(self):
        model = self.python(
            lambda request: "x", name="M", n_ctx=8, n_embd=2, privacy="lan", tools=True, embed=lambda text: [len(text), 0.5],
            tokenize=lambda text, special, bos: [1] * bos + [ord(ch) for ch in text], detokenize=lambda ids: "".join(map(chr, ids)),
            render=lambda request: f"<{request.text}>", models=lambda: [{"id": "m", "context": 8}])
        info = model.info
        self.assertEqual((info["name"], info["backend"], info["n_ctx"], info["privacy"]), ("M", "mine", 8, aios.PRIVACY_LAN))
        self.assertEqual(info["flags"], aios.MODEL_CAN_TOOLS | aios.MODEL_HAS_TEMPLATE | aios.MODEL_CAN_EMBED | aios.MODEL_CAN_TOKENIZE)
        self.assertEqual((model.embed("abc"), model.tokenize("a\0é", bos=True), model.render("hi")), ([3.0, 0.5], [1, 97, 0, 233], "<hi>"))
        self.assertEqual((model.detokenize([97, 233]), model.models()), ("aé".encode(), [{"id": "m", "context": 8}]))

    def test_what_is_not_there_is_named(self):
        model = self.python(lambda request: "x")
        self.assertEqual(model.info["privacy"], aios.PRIVACY_REMOTE)
        for fn, *args in ((model.embed, "a"), (model.tokenize, "a"), (model.models,), (model.session().fork,), (model.session().count, "a")):
            self.assertIn("mine", self.fails("ENOTSUP", fn, *args).message)

    def test_what_is_registered_is_checked(self):
        self.context.register_backend("mine", lambda request: "x")
        self.fails("EEXIST", self.context.register_backend, "mine", lambda request: "x")
        self.fails("EINVAL", self.context.register_backend, "No Scheme", lambda request: "x")
        for wrong, facts in ((3, {}), (dict, {}), (aios.Backend, {"n_ctx": 3}), (lambda request: "x", {"n_context": 3}),
                             (lambda request: "x", {"count": 3})):
            with self.assertRaises(TypeError):
                self.context.register_backend("other", wrong, **facts)
        with self.assertRaisesRegex(ValueError, "privacy is 'secret': it may be 'local', 'lan', 'remote'"):
            self.context.register_backend("odd", lambda request: "x", privacy="secret")

        class Odd(aios.Backend):
            privacy = property(lambda self: "secret")

            def turn(self, request):
                return "x"

        self.context.register_backend("odd", Odd)
        self.assertIn("'remote'", self.fails("EINTERNAL", aios.Model, "odd:", self.context).message)
        self.assertEqual(self.context.probe("odd:")["state"], "it failed")


class Failures(BackendBase):
    def raises(self, error):
        def turn(request):
            yield "so far"
            raise error
        if not hasattr(self, "_model"):
            self._turn = None
            self._model = self.python(lambda request: self._turn(request))
        self._turn = turn
        return self._model.session()

    def test_exceptions_are_typed_failures_with_their_message(self):
        for error, name in ((ValueError("no value"), "EINTERNAL"), (TimeoutError("late"), "ETIMEDOUT"), (NotImplementedError("no"), "ENOTSUP"),
                            (ConnectionResetError(104, "gone"), "EUNAVAIL"), (MemoryError("full"), "ENOMEM"),
                            (PermissionError("no"), "EDENIED")):
            e = self.fails(name, self.raises(error).complete, "hi")
            said = f"backend mine: {type(error).__name__}: {error}"
            self.assertEqual((e.message, e.text, e.sys), (said, "so far", getattr(error, "errno", 0) or 0))

    def test_errors_of_the_library_stay_what_they_are(self):
        e = self.fails("EQUOTA", self.raises(aios.Error(aios.EQUOTA, "paid no bill", have=3, need=5, sys=7)).complete, "hi")
        self.assertEqual((e.message, e.have, e.need, e.sys), ("paid no bill", 3, 5, 7))
        self.fails("EINTERNAL", self.raises(aios.Error(0, "no failure")).complete, "hi")

    def test_long_and_odd_messages_are_cut_at_a_character(self):
        e = self.fails("EINTERNAL", self.raises(ValueError("é\0" * 500)).complete, "hi")
        self.assertTrue(e.message.startswith("backend mine: ValueError: é?é?") and "\ufffd" not in e.message)
        self.fails("EINTERNAL", self.raises(ValueError("\ud800")).complete, "hi")

    def test_a_bug_is_logged_and_a_failure_is_not(self):
        logging.disable(logging.NOTSET)
        with self.assertLogs("aios", "ERROR") as caught:
            self.fails("EINTERNAL", self.raises(KeyError("k")).complete, "hi")
        self.assertIn("KeyError", caught.output[0])
        with self.assertNoLogs("aios") if hasattr(self, "assertNoLogs") else self.subTest():
            self.fails("ERATE", self.raises(aios.Error(aios.ERATE, "slowly")).complete, "hi")

    def test_an_interrupt_passes(self):
        class Stop(BaseException):
            pass
        for error in (KeyboardInterrupt(), SystemExit(3), Stop()):
            session = self.raises(error)
            with self.assertRaises(type(error)):
                session.complete("hi")
            self._turn = lambda request: "still there"
            self.assertEqual(session.complete("hi").text, "still there")

    def test_a_signal_is_heard(self):
        def turn(request):
            yield "a"
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                yield None
        with self.assertRaises(KeyboardInterrupt):
            self.python(turn).session().complete("hi")

    def test_an_interrupt_ends_an_agent(self):
        with self.assertRaises(KeyboardInterrupt):
            aios.Agent(self.raises(KeyboardInterrupt()).model).run("hi")

    def test_an_interrupt_in_a_thread_of_the_library_is_a_failure(self):
        session = self.raises(SystemExit(3)).model.session(threaded=True)
        self.assertIn("SystemExit", self.fails("ECANCELED", session.complete, "hi").message)

    def test_what_is_no_piece_is_refused(self):
        for piece in (3, b"bytes", {"text": "x"}):
            self._turn = None
            session = self.raises(None)
            self._turn = lambda request, piece=piece: iter([piece])
            self.assertIn("a turn gives str, Reasoning", self.fails("EINTERNAL", session.complete, "hi").message)
        self._turn = lambda request: iter(["a\0b"])
        self.fails("EPROTO", self._model.session().complete, "hi")
        self._turn = lambda request: None
        self.fails("EINTERNAL", self._model.session().complete, "hi")

    def test_every_place_may_fail(self):
        for method, use in (("open", None), ("session", lambda m: m.session()), ("turn", lambda m: m.session().complete("hi")),
                            ("count", lambda m: m.session().count("hi")), ("fork", lambda m: m.session().fork()),
                            ("prewarm", lambda m: m.session().prewarm("hi")), ("embed", lambda m: m.embed("hi")),
                            ("tokenize", lambda m: m.tokenize("hi")), ("detokenize", lambda m: m.detokenize([1])),
                            ("render", lambda m: m.render("hi")), ("models", lambda m: m.models())):
            def broken(self, *args):
                raise ConnectionError("no way")
            context = aios.Context()
            context.register_backend("broken", type("Broken", (aios.Backend,), {method: broken, "n_embd": 1}))
            if use is None:
                self.assertIn("no way", self.fails("EUNAVAIL", aios.Model, "broken:", context).message)
            else:
                self.assertIn("no way", self.fails("EUNAVAIL", use, aios.Model("broken:", context)).message)

    def test_a_close_that_fails_is_logged(self):
        class Bad(aios.Backend):
            def close(self):
                raise ValueError("cannot close")
        self.context.register_backend("bad", Bad)
        logging.disable(logging.NOTSET)
        with self.assertLogs("aios", "ERROR") as caught:
            aios.Model("bad:", self.context).close()
        self.assertIn("cannot close", caught.output[0])


class Ends(BackendBase):
    def endless(self, **facts):
        ended = []

        def turn(request):
            try:
                for n in range(10 ** 9):
                    yield f"{n} "
            finally:
                ended.append(request.cancelled)
        return self.python(turn, **facts), ended

    def test_a_cancel_closes_the_generator(self):
        model, ended = self.endless()
        session = model.session()
        turn = session.start("hi")
        next(turn)
        session.cancel()
        with self.assertRaises(aios.Error) as caught:
            list(turn)
        self.assertEqual((caught.exception.name, ended), ("ECANCELED", [True]))

    def test_every_way_out_closes_the_generator(self):
        def by_close(session):
            with session.start("hi") as turn:
                next(turn)

        def by_collector(session):
            next(session.start("hi"))

        def by_deadline(session):
            self.fails("ETIMEDOUT", session.complete, "hi", timeout=0.05)

        def by_another_turn(session):
            next(session.start("hi"))
            next(session.start("hi"))

        def by_session(session):
            turn = session.start("hi")
            next(turn)
            session.close()
        model, ended = self.endless()
        for threaded in (False, True):
            for way in (by_close, by_collector, by_deadline, by_another_turn, by_session):
                del ended[:]
                session = model.session(threaded=threaded)
                way(session)
                session.close()
                gc.collect()
                self.assertGreaterEqual(len(ended), 1, (way.__name__, threaded))
        self.assertEqual(len(_backend._sessions), 0)

    def test_a_cancel_from_another_thread_is_quick_and_seen_by_long_work(self):
        seen = []

        def turn(request):
            yield "a"
            while not request.cancelled:
                time.sleep(0.001)
            seen.append(time.monotonic())
        session = self.python(turn).session()
        at = []
        timer = threading.Timer(0.05, lambda: at.append(time.monotonic()) or session.cancel())
        timer.start()
        self.fails("ECANCELED", session.complete, "hi")
        timer.join()
        self.assertLess(seen[0] - at[0], 1)
        self.assertEqual(len(seen), 1)

    def test_a_generator_that_will_not_end_fails_nothing_else(self):
        def turn(request):
            try:
                while True:
                    yield "a"
            except GeneratorExit:
                yield "never"
        session = self.python(turn).session()
        with session.start("hi") as running:
            next(running)
        self.assertEqual(next(session.start("hi")).text, "a")

    def until(self, true):
        end = time.monotonic() + 10
        while not true() and time.monotonic() < end:
            time.sleep(0.005)
        self.assertTrue(true())

    def abandoned(self, drop):
        """The collector runs in the thread that drives what it collects."""
        stop = threading.Event()

        def turn(request):
            while not stop.is_set():
                gc.collect()
                yield "a"
        model = self.python(turn)
        session = model.session(threaded=True)
        running = session.start("hi")
        next(running)
        gc.disable()
        self.addCleanup(gc.enable)
        try:
            left, alive = drop(session, running), weakref.ref(running)
            del running, session
            self.until(lambda: alive() is None)
            if left:
                self.assertEqual(next(left.start("again")).text, "a")
                left.close()
                del left
            self.until(lambda: not _backend._sessions)
        finally:
            stop.set()

    def test_a_session_may_be_collected_by_the_thread_that_drives_it(self):
        def drop(session, running):
            session.itself, running.itself = session, running
        self.abandoned(drop)

    def test_a_turn_may_be_collected_by_the_thread_that_drives_it(self):
        def drop(session, running):
            running.itself = running
            return session
        self.abandoned(drop)

    def test_nothing_is_left(self):
        class Big(aios.Backend):
            alive = weakref.WeakSet()

            def open(self, path, options):
                self.alive.add(self)
                self.context = made[0]()

            def session(self):
                state = type("State", (), {})()
                self.alive.add(state)
                return state

            def turn(self, request):
                yield "a"
                yield "b"
        context = aios.Context()
        made = [weakref.ref(context)]
        context.register_backend("big", Big)
        model = aios.Model("big:", context)
        session, left = model.session(), model.session(threaded=True)
        session.complete("hi")
        running = left.start("hi")
        next(running)
        self.assertEqual(len(Big.alive), 3)
        del context, model, session, left, running
        gc.collect()
        self.assertEqual((len(Big.alive), made[0](), len(_backend._models), len(_backend._sessions)), (0, None, 0, 0))

    def test_a_process_ends_while_turns_run(self):
        code = """
import aios
context = aios.Context()
def turn(request):
    while True:
        yield 'a'
context.register_backend('mine', turn)
model = aios.Model('mine:', context)
turns = [model.session(threaded=t).start('hi') for t in (False, True)]
print([next(t).text for t in turns])
"""
        done = python(code)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "['a', 'a']\n", ""))


@unittest.skipUnless(SUITE, "AIOS_CONFORM_MODULE is not set")
class Suite(unittest.TestCase):
    def suite(self, name):
        """Names of the tests that a backend of conform.py fails."""
        done = subprocess.run([sys.executable, str(HERE / "conform.py"), SUITE, name], capture_output=True, text=True, timeout=120)
        return done.returncode, set(re.findall(r"^\[ +(?:ERROR|FAILED) +\] (\w+)$", done.stdout + done.stderr, re.M))

    def test_one_that_keeps_the_rules_passes(self):
        self.assertEqual(self.suite("parrot"), (0, set()))

    def test_one_that_breaks_a_rule_fails_by_it(self):
        for name, test in (("silent", "a_turn_has_text_usage_and_one_end"), ("fickle", "a_turn_has_text_usage_and_one_end"),
                           ("boundless", "a_prompt_beyond_the_context_is_told_with_both_numbers"), ("deaf", "tools_are_called_and_answered"),
                           ("boastful", "a_reply_under_a_schema_holds_to_it"), ("forgetful", "a_turn_has_text_usage_and_one_end")):
            rc, failed = self.suite(name)
            self.assertEqual(rc, 1, name)
            self.assertIn(test, failed, name)


if __name__ == "__main__":
    main()

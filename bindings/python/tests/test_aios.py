#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The package over the scripted model always, over a real one where AIOS_TEST_MODEL names it."""
import gc
import json
import logging
import os
import pickle
import random
import select
import subprocess
import sys
import threading
import time
import unittest

from support import ADD, HERE, MODEL, TEXT, Base, aios, main, python, script
from aios import _agent, _cdef, _lib


class Library(Base):
    def test_the_version_is_that_of_the_headers(self):
        self.assertEqual(aios.version(), aios.__version__)
        self.assertTrue(aios.has("echo"))
        self.assertFalse(aios.has("no such feature"))

    def test_constants_and_tables_are_those_of_the_library(self):
        for name, number, text in _cdef.CODES:
            self.assertEqual(aios.strerror(number), text)
            self.assertEqual(aios.Error(number).name, name)
            self.assertEqual(getattr(aios, name), number)
        info = _lib.new(_cdef.aios_dtype_info)
        for name, number, elems, size in _cdef.DTYPES:
            self.assertEqual(_lib.lib.aios_dtype_info_get(number, info), 0)
            self.assertEqual((info.name.decode(), info.block_elems, info.block_bytes), (name, elems, size))

    def test_a_missing_library_is_an_import_error_that_says_what_to_do(self):
        p = python("import aios", AIOS_LIBRARY="/nonexistent/libaios.so")
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("ImportError", p.stderr)
        self.assertIn("AIOS_LIBRARY", p.stderr)

    def test_another_library_is_an_import_error(self):
        p = python("import aios", AIOS_LIBRARY="libc.so.6")
        self.assertIn("is not the library of this package", p.stderr)

    def test_usage_sums_up(self):
        u = self.context.usage()
        self.assertEqual(sum(u["by_kind"].values()), u["used"])
        self.assertGreater(u["budget"], u["used"])

    def test_the_first_device_is_the_cpu(self):
        self.assertEqual(self.context.devices()[0]["name"], "cpu")
        self.assertGreaterEqual(self.context.cpu_info()["n_usable"], 1)


class Errors(Base):
    def test_a_missing_file_names_it(self):
        e = self.fails("ENOENT", aios.Model, "/nonexistent/x.gguf", self.context)
        self.assertIn("/nonexistent/x.gguf", e.message)
        self.assertEqual(e.code, aios.ENOENT)

    def test_a_context_overflow_tells_both_numbers(self):
        session = self.model("set n_ctx 16; say x").session()
        e = self.fails("ECONTEXT", session.complete, "word " * 100)
        self.assertEqual(e.have, 16)
        self.assertGreater(e.need, 100)

    def test_a_budget_too_small_tells_both_numbers(self):
        self.model("say x")
        used = self.context.usage()["used"]
        e = self.fails("EBUDGET", self.context.set_budget, 1)
        self.assertEqual(e.have, 1)
        self.assertGreaterEqual(e.need, used)

    def test_an_error_travels_by_pickle(self):
        e = aios.Error(aios.EBUDGET, "too little", 1, 2, 3)
        f = pickle.loads(pickle.dumps(e))
        self.assertEqual((f.code, f.name, f.message, f.have, f.need, f.sys), (aios.EBUDGET, "EBUDGET", "too little", 1, 2, 3))

    def test_a_turn_that_fails_raises_what_the_backend_said(self):
        pieces, e = [], None
        try:
            for piece in self.model("say so far; fail EIO the cable is cut").session().stream("hi"):
                pieces.append(piece)
        except aios.Error as error:
            e = error
        self.assertEqual("".join(pieces), "so far")
        self.assertEqual(e.name, "EIO")
        self.assertIn("the cable is cut", e.message)

    def test_a_probe_says_why_not(self):
        self.assertEqual(self.context.probe("echo:say x")["state"], "ready")
        bad = self.context.probe("/nonexistent/x.gguf")
        self.assertEqual((bad["state"], bad["code"]), ("the file is missing", aios.ENOENT))

    def test_wrong_arguments_are_python_errors(self):
        session = self.model("echo").session()
        self.assertRaises(TypeError, session.start)
        self.assertRaises(TypeError, session.start, "x", sampling={"temprature": 1})
        self.assertRaises(ValueError, aios.Model, "echo:\0", self.context)
        self.assertRaises(TypeError, self.agent, "echo", limits={"max_turn": 1})

    def test_a_closed_object_is_an_error_and_no_crash(self):
        model = self.model("echo")
        session, t = model.session(), aios.Transcript(self.context)
        for h in (session, model, t, self.context):
            h.close()
            h.close()
        self.fails("ESTATE", session.complete, "x")
        self.fails("ESTATE", lambda: model.info)
        self.fails("ESTATE", t.add, "user", "x")
        self.fails("ESTATE", aios.Transcript, self.context)


class Sessions(Base):
    def test_text_streams_in_pieces(self):
        pieces = list(self.model("say one two three").session().stream("hi"))
        self.assertGreater(len(pieces), 1)
        self.assertEqual("".join(pieces), "one two three")

    def test_events_are_numbered_and_end_with_done(self):
        events = list(self.model("think hm; say yes").session().start("hi"))
        self.assertEqual([e.seq for e in events], list(range(len(events))))
        self.assertEqual(events[-1].kind, "done")
        self.assertEqual({"reasoning", "text", "usage"} - {e.kind for e in events}, set())

    def test_a_reply_has_text_reasoning_reason_and_usage(self):
        reply = self.model("think hm; say yes indeed; stop length").session().complete("hi")
        self.assertEqual((reply.text, reply.reasoning, reply.reason), ("yes indeed", "hm", "length"))
        self.assertGreater(reply.usage[0].output, 0)

    def test_unicode_comes_back_as_it_went(self):
        session = self.model("echo").session()
        self.assertEqual(session.complete(TEXT).text, TEXT)
        self.assertEqual("".join(session.stream(TEXT)), TEXT)
        self.assertRaises(UnicodeEncodeError, session.complete, "\ud800")

    def test_a_grammar_binds_the_reply(self):
        model = self.model("say abc")
        with aios.Grammar(model.context, "[a-c]+", "regex") as g:
            self.assertEqual([g.matches(t) for t in ("abc", "", "d")], [True, False, None])
            self.assertEqual(model.session().complete("hi", grammar=g).text, "abc")
        with aios.Grammar(model.context, "[d-f]+", "regex") as g, self.assertRaises(aios.Error):
            model.session().complete("hi", grammar=g)

    def test_a_schema_binds_the_reply(self):
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        for repairs in (None, 0, 3):
            reply = self.model("say no json").session().complete("hi", schema=schema, max_repairs=repairs)
            self.assertIsInstance(reply.json["n"], int)

    def test_a_call_may_be_watched_while_it_is_written(self):
        tools = [{"name": "add", "description": "Adds.", "schema": ADD}]
        events = list(self.model('call add {"a":1,"b":2}').session().start("hi", tools=tools, call_deltas=True, snapshots=True))
        self.assertEqual("".join(e.text for e in events if e.kind == "call_delta"), '{"a":1,"b":2}')
        self.assertEqual([e.value for e in events if e.kind == "snapshot"][-1], {"a": 1, "b": 2})

    def test_a_snapshot_is_json_at_any_time(self):
        with self.model("say x").context as ctx, aios.Snapshot(ctx) as s:
            self.assertIsNone(s.value)
            self.assertEqual(s.add('{"name": "Ol').value, {"name": "Ol"})
            self.assertEqual((s.path, s.complete), ("/name", False))
            self.assertEqual(s.add('a", "n": 1').value, {"name": "Ola"})
            self.assertEqual((s.add("2}").end().value, s.complete), ({"name": "Ola", "n": 12}, True))
            self.assertRaises(aios.Error, s.add, "x")

    def test_tools_of_a_request_are_called_by_name(self):
        tools = [{"name": "add", "description": "Adds.", "schema": ADD}]
        reply = self.model('call add {"a":1,"b":2}').session().complete("hi", tools=tools)
        self.assertEqual((reply.calls[0].name, reply.calls[0].arguments), ("add", {"a": 1, "b": 2}))

    def test_count_is_what_usage_reports(self):
        session = self.model("echo").session()
        n = session.count("how many are these?")
        self.assertEqual(session.complete("how many are these?").usage[0].input, n)

    def test_leaving_a_stream_early_frees_the_session_for_the_next(self):
        session = self.model("set slow 5; say " + "word " * 200).session()
        for _ in range(3):
            for i, piece in enumerate(session.stream("hi")):
                if i == 3:
                    break
        turn = session.start("hi")
        next(turn)
        second = session.start("hi")
        self.fails("ECANCELED", next, turn)
        self.assertIn(next(second).kind, ("text", "usage", "state"))

    def test_cancel_from_another_thread_ends_the_turn(self):
        session = self.model("delay 30000; say late").session()
        timer = threading.Timer(0.1, session.cancel)
        timer.start()
        start = time.monotonic()
        self.fails("ECANCELED", session.complete, "hi")
        self.assertLess(time.monotonic() - start, 10)
        timer.join()

    def test_close_from_another_thread_ends_the_turn(self):
        session = self.model("delay 30000; say late").session()
        timer = threading.Timer(0.1, session.close)
        timer.start()
        with self.assertRaises(aios.Error) as caught:
            session.complete("hi")
        self.assertIn(caught.exception.name, ("ECANCELED", "ESTATE"))
        timer.join()
        self.assertTrue(session.closed)

    def test_a_turn_has_a_time_limit(self):
        self.fails("ETIMEDOUT", self.model("delay 30000; say late").session().complete, "hi", timeout=0.05)

    def test_polling_by_file_descriptor(self):
        session = self.model("set slow 2; say one two three").session()
        fd, turn, text = session.fileno(), session.start("hi"), ""
        while turn.running:
            self.assertTrue(select.select([fd], [], [], 10)[0])
            ev = turn.next(0)
            text += ev.text if ev and ev.kind == "text" else ""
        self.assertEqual(text, "one two three")

    def test_next_keeps_to_its_timeout(self):
        turn = self.model("delay 30000; say late").session().start("hi")
        start = time.monotonic()
        while turn.next(0.12):
            start = time.monotonic()
        self.assertGreater(time.monotonic() - start, 0.1)
        self.assertTrue(turn.running)

    def test_sessions_run_beside_each_other(self):
        model, out = self.model("set slow 1; echo"), {}
        def work(i):
            out[i] = model.session(threaded=bool(i % 2)).complete(f"I am {i} " * 5).text
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual({i: v.split()[2] for i, v in out.items()}, {i: str(i) for i in range(6)})

    def test_an_exception_in_progress_is_raised_by_open(self):
        # The scripted model loads nothing, so the trampoline is called as the engine would call it.
        def progress(_part):
            raise KeyError("stop here")
        cfg, box, _ = aios._context.model_config("echo:", progress=progress)
        self.assertEqual(cfg.progress(cfg.progress_user, 0.5), 1)
        self.assertRaises(KeyError, box.reraise)


class Transcripts(Base):
    def test_a_round_trip_gives_the_same_bytes(self):
        t = aios.Transcript(self.context, [("system", "be brief"), ("user", TEXT), ("assistant", "yes")])
        t.add_entry("assistant", [aios.Part("reasoning", "hm"), aios.Part("call", '{"a":1}', "add", "c1")])
        t.add_entry("tool", [aios.Part("result", "no", "add", "c1", status=aios.ETOOL)])
        t.add_entry("user", [aios.Part("image", b"\x00\x89PNG\xff", mime="image/png"), aios.Part("text", "see")])
        text = t.to_json()
        again = aios.Transcript.from_json(self.context, text)
        self.assertEqual(again.to_json(), text)
        for a, b in zip(t, again):
            self.assertEqual((a.role, a.parts, a.label, a.id), (b.role, b.parts, b.label, b.id))
        self.assertEqual(again[5].parts[0].text, b"\x00\x89PNG\xff")
        self.assertEqual(again[4].parts[0].status, aios.ETOOL)

    def test_it_is_a_sequence(self):
        t = aios.Transcript(self.context, [("user", "a"), ("assistant", "b"), ("user", "c")])
        self.assertEqual([e.text for e in t], ["a", "b", "c"])
        self.assertEqual((t[-1].text, [e.text for e in t[:2]]), ("c", ["a", "b"]))
        self.assertRaises(IndexError, lambda: t[3])
        copy = t.copy()
        t.truncate(1)
        self.assertEqual((len(t), len(copy)), (1, 3))

    def test_damaged_json_is_refused_with_where(self):
        self.fails("EFORMAT", aios.Transcript.from_json, self.context, '{"aios_transcript":1,"entries":[{]}')
        self.fails("EVERSION", aios.Transcript.from_json, self.context, '{"aios_transcript":99,"entries":[]}')

    def test_wrong_entries_are_refused(self):
        t = aios.Transcript(self.context)
        self.assertRaises(ValueError, t.add, "nobody", "x")
        self.fails("EINVAL", t.add, "user", "a\0b")
        self.fails("EINVAL", t.add_entry, "user", [])
        self.assertEqual(len(t), 0)

    def test_a_session_goes_on_with_a_transcript(self):
        t = aios.Transcript(self.context, [("user", "first")])
        session = self.model("say one; turn; say two").session()
        for want in ("one", "two"):
            reply = session.complete(t)
            self.assertEqual(reply.text, want)
            t.add("assistant", reply.text)
            t.add("user", "go on")

    def test_many_threads_add_without_loss(self):
        t = aios.Transcript(self.context)
        threads = [threading.Thread(target=lambda: [t.add("user", "x") for _ in range(200)]) for _ in range(4)]
        for th in threads:
            th.start()
        for th in threads:
            th.join()
        self.assertEqual([e.id for e in t], list(range(1, 801)))


def add(a, b):
    """Adds two whole numbers."""
    return a + b


class Agents(Base):
    CALL = 'call add {"a":19,"b":23}; result'

    def test_a_tool_in_python_is_called(self):
        events = []
        reply = self.agent(self.CALL, (add, {"schema": ADD})).run("sum?", events.append)
        self.assertEqual(reply.text, "42")
        kinds = [e.kind for e in events]
        self.assertLess(kinds.index("call"), kinds.index("result"))
        self.assertEqual([e.role for e in reply.transcript], ["user", "assistant", "tool", "assistant"])

    def test_the_decorator_takes_name_and_docstring(self):
        tools = aios.Toolset(self.context)

        @tools.tool(ADD, effect="read")
        def plus(a, b):
            """Adds."""
            return {"sum": a + b, "of": "ü"}
        self.assertEqual(tools.names(), ["plus"])
        self.assertEqual(plus(1, 2)["sum"], 3)
        reply = aios.Agent(self.model('call plus {"a":1,"b":2}; result'), tools).run("?")
        self.assertEqual(json.loads(reply.text), {"sum": 3, "of": "ü"})

    def test_runs_are_iterators(self):
        run = self.agent(self.CALL, (add, {"schema": ADD})).start("sum?")
        events = list(run)
        self.assertEqual(events[-1].kind, "done")
        self.assertEqual(run.reply.text, "42")
        self.assertFalse(run.running)

    def test_an_exception_in_a_tool_becomes_its_failure_and_is_kept(self):
        def add(a, b):
            raise ZeroDivisionError(f"no {a}, no {b}")
        run = self.agent(self.CALL, (add, {"schema": ADD})).start("sum?")
        with self.assertLogs("aios", logging.ERROR) as logged:
            events = list(run)
        result = next(e for e in events if e.kind == "result")
        self.assertEqual(result.code, aios.ETOOL)
        self.assertIn("ZeroDivisionError: no 19, no 23", result.text)
        self.assertIn("ZeroDivisionError", logged.output[0])
        self.assertEqual([(n, type(e)) for n, _, e in run.tool_errors], [("add", ZeroDivisionError)])

    def test_a_tool_error_is_told_without_a_log(self):
        def add(a, b):
            raise aios.ToolError("numbers are out today")
        with self.assertRaises(AssertionError), self.assertLogs("aios", logging.ERROR):
            reply = self.agent(self.CALL, (add, {"schema": ADD})).run("sum?")
        self.assertIn("numbers are out today", reply.text)

    def test_a_result_that_is_no_json_is_a_failure(self):
        with self.assertLogs("aios", logging.ERROR):
            reply = self.agent("call f {}; result", (lambda: object(), {"name": "f"})).run("?")
        self.assertIn("TypeError", reply.text)

    def test_keyboard_interrupt_in_a_tool_ends_the_run(self):
        def f():
            raise KeyboardInterrupt
        with self.assertLogs("aios", logging.ERROR), self.assertRaises(KeyboardInterrupt):
            self.agent("call f {}; say never", f).run("?")

    def test_an_exception_in_the_event_callback_is_raised(self):
        seen = []

        def on_event(ev):
            seen.append(ev)
            if ev.kind == "text":
                raise LookupError("enough")
        agent = self.agent("say a b c d")
        with self.assertRaisesRegex(LookupError, "enough"):
            agent.run("?", on_event)
        self.assertEqual(sum(e.kind == "text" for e in seen), 1)
        self.assertEqual(agent.run("?").text, "a b c d")

    def test_an_event_callback_that_returns_true_cancels(self):
        self.fails("ECANCELED", self.agent("say a b c d").run, "?", lambda ev: ev.kind == "text")

    def test_an_unsafe_tool_is_asked_for(self):
        done = []
        agent = self.agent('call rm {"path":"x"}; result', (lambda path: done.append(path) or "gone", {"name": "rm", "effect": "unsafe"}))
        self.assertNotIn("gone", agent.run("?").text)
        self.assertEqual(done, [])
        self.assertEqual(agent.run("?", on_ask=lambda ev: ev.arguments == {"path": "x"}).text, "gone")
        self.assertEqual(done, ["x"])

    def test_words_that_answer_are_taken_as_they_are_meant(self):
        done = []
        agent = self.agent('call rm {"path":"x"}; result', (lambda path: done.append(path) or "gone", {"name": "rm", "effect": "unsafe"}))
        for no in (False, None, "deny", aios.DENY):
            self.assertNotIn("gone", agent.run("?", on_ask=lambda ev: no).text)
        for word in ("no", 2, 0.5, object()):
            with self.assertRaises(ValueError):
                agent.run("?", on_ask=lambda ev: word)
        self.assertEqual(done, [])
        for yes in (True, "allow", aios.ALLOW):
            self.assertEqual(agent.run("?", on_ask=lambda ev: yes).text, "gone")

    def test_an_ask_without_an_answer_is_a_no_when_iterating(self):
        agent = self.agent("call rm {}; result", (lambda: "gone", {"name": "rm", "effect": "unsafe"}))
        result = next(e for e in agent.start("?") if e.kind == "result")
        self.assertEqual(result.code, aios.EDENIED)
        run = agent.start("?")
        for ev in run:
            if ev.kind == "ask":
                run.decide(ev.call_id, True)
        self.assertEqual(run.reply.text, "gone")

    def test_a_policy_decides_and_gives_reasons(self):
        seen = []

        def policy(action):
            seen.append((action.tool, action.arguments, action.effect))
            return "deny", "not on Sundays"
        events = list(self.agent(self.CALL, (add, {"schema": ADD}), policy=policy).start("?"))
        result = next(e for e in events if e.kind == "result")
        self.assertEqual(result.code, aios.EDENIED)
        self.assertIn("not on Sundays", result.text)
        self.assertEqual(seen, [("add", {"a": 19, "b": 23}, "read")])

    def test_a_policy_may_be_rules(self):
        def result(most):
            rules = {"version": 1, "capabilities": [{"tool": "add", "args": {"properties": {"a": {"maximum": most}}}}]}
            return next(e for e in self.agent(self.CALL, (add, {"schema": ADD}), policy=rules).start("?") if e.kind == "result")
        self.assertEqual((result(19).code, result(19).text), (0, "42"))
        self.assertEqual(result(18).code, aios.EDENIED)
        self.assertIn("/capabilities/0", result(18).text)
        with self.assertRaisesRegex(aios.Error, 'did you mean "default"'):
            self.agent(self.CALL, (add, {"schema": ADD}), policy={"version": 1, "defualt": "ask"})

    def test_an_exception_in_a_policy_denies_and_is_raised(self):
        ran = []

        def policy(_action):
            raise PermissionError("broken gate")
        agent = self.agent("call f {}; result", (lambda: ran.append(1), {"name": "f"}), policy=policy)
        with self.assertRaisesRegex(PermissionError, "broken gate"):
            agent.run("?")
        self.assertEqual(ran, [])

    def test_runs_go_on_past_their_context(self):
        def talk(compact):
            seen, agent, t = [], self.agent("set n_ctx 300; say hello there; loop", compact=compact), aios.Transcript(self.context)
            for i in range(40):
                agent.run(f"number {i}: " + "x" * 40, transcript=t, on_event=lambda e: seen.append(e.value) if e.kind == "context" else None)
            return seen, t

        self.fails("ECONTEXT", talk, None)
        for compact in ("drop", {"policy": "summarise", "high": 0.7, "low": 0.3}):
            seen, t = talk(compact)
            self.assertTrue(1 < len(seen) < 20, seen)
            self.assertTrue(all(e["after"] < e["before"] for e in seen))
            self.assertEqual(sum(e["role"] == "user" for e in json.loads(t.to_json())["entries"]), 40)
        self.assertRaises(TypeError, self.agent, "echo", compact={"hihg": 1})
        self.assertRaises(ValueError, self.agent, "echo", compact="shrink")
        self.fails("EINVAL", self.agent, "echo", compact={"policy": "drop", "high": 0.2, "low": 0.3})

    def test_limits_end_a_run(self):
        e = self.fails("ELIMIT", self.agent("".join(f'call f {{"i":{i}}}; ' for i in range(5)) + "say never", (lambda i: "", {"name": "f"}), limits={"max_calls": 3}).run, "?")
        self.assertEqual(e.have, 3)
        self.fails("ETIMEDOUT", self.agent("delay 30000", limits={"timeout": 0.05}).run, "?")

    def test_a_tool_knows_when_it_is_cancelled(self):
        seen = []

        def slow(call):
            end = time.monotonic() + 20
            while not call.cancelled and time.monotonic() < end:
                time.sleep(0.01)
            seen.append((call.name, call.cancelled))
            return "over"
        run = self.agent("call slow {}; say x", (slow, {"any_thread": True, "pass_call": True})).start("?")
        timer = threading.Timer(0.2, run.cancel)
        timer.start()
        self.fails("ECANCELED", list, run)
        timer.join()
        run.close()
        end = time.monotonic() + 10
        while not seen and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(seen, [("slow", True)])

    def test_tools_of_any_thread_run_beside_each_other(self):
        both = threading.Barrier(2, timeout=20)
        threads = set()

        def meet(i):
            both.wait()
            threads.add(threading.get_ident())
            return "met"
        agent = self.agent('call meet {"i":1}; call meet {"i":2}; say done', (meet, {"any_thread": True}))
        results = [e.text for e in agent.start("?") if e.kind == "result"]
        self.assertEqual(results, ["met", "met"])
        self.assertEqual(len(threads), 2)

    def test_a_transcript_is_continued_and_busy_meanwhile(self):
        t = aios.Transcript(self.context, [("user", "before"), ("assistant", "yes")])
        agent = self.agent("echo")
        run = agent.start("after", t)
        next(run)
        self.fails("EBUSY", t.add, "user", "x")
        t.close()
        list(run)
        self.assertEqual([e.text for e in run.transcript], ["before", "yes", "after", "after"])
        run.close()
        self.fails("ESTATE", len, t)
        t = aios.Transcript(self.context)
        agent.run("one", transcript=t)
        self.assertEqual(agent.run("two", transcript=t).transcript, t)
        self.assertEqual([e.text for e in t], ["one", "one", "two", "two"])

    def test_a_tool_may_close_its_own_run(self):
        runs = []
        runs.append(self.agent("call f {}; say never", (lambda: runs[0].close(), {"name": "f"})).start("?"))
        with self.assertRaises(aios.Error) as caught:
            list(runs[0])
        self.assertIn(caught.exception.name, ("ECANCELED", "ESTATE"))
        self.assertTrue(runs[0].closed)

    def test_bad_tools_are_refused(self):
        tools = aios.Toolset(self.context)
        before = len(_agent._tools)
        self.fails("EINVAL", tools.add, add, name="no spaces please")
        self.fails("ESCHEMA", tools.add, add, {"type": 7})
        tools.add(add)
        self.fails("EEXIST", tools.add, add)
        self.assertEqual(len(_agent._tools), before + 1)


class Lifetime(Base):
    def test_tools_go_when_the_last_user_of_the_toolset_goes(self):
        gc.collect()
        before = len(_agent._tools)
        agent = self.agent(Agents.CALL, (add, {"schema": ADD}))
        agent.toolset.close()
        gc.collect()
        self.assertEqual(len(_agent._tools), before + 1)
        self.assertEqual(agent.run("?").text, "42")
        del agent
        gc.collect()
        self.assertEqual(len(_agent._tools), before)

    def test_collecting_while_streaming(self):
        def f():
            gc.collect()
            return "collected"
        for name in ("model", "session", "agent"):
            stream = {"model": lambda: self.model("say a b c d").session().stream("x"),
                      "session": lambda: aios.Model(script("say a b c d")).session().stream("x"),
                      "agent": lambda: (e.text for e in self.agent("call f {}; say a b c d", f).start("x") if e.kind == "text")}[name]()
            text = ""
            for piece in stream:
                gc.collect()
                text += piece
            self.assertEqual(text, "a b c d", name)

    def test_dropping_everything_in_the_middle_leaves_no_memory(self):
        gc.collect()
        used = self.context.usage()["used"]
        for _ in range(20):
            run = self.agent("call f {}; say a b c d", (lambda: "x", {"name": "f"})).start("?")
            next(run)
            turn = self.model("set slow 1; say a b c d").session().start("?")
            next(turn)
            del run, turn
        gc.collect()
        self.assertEqual(self.context.usage()["used"], used)

    def test_any_order_of_closing_is_fine(self):
        rng = random.Random(7)
        for _ in range(60):
            context = aios.Context()
            model = aios.Model(script("call f {}; say a b c d"), context)
            tools = aios.Toolset(context)
            tools.add(lambda: "x", name="f", effect="read")
            agent, t = aios.Agent(model, tools), aios.Transcript(context)
            run, session = agent.start("?", t), model.session()
            turn = session.start("hi")
            next(run), next(turn)
            objects = [context, model, tools, agent, t, run, session, turn]
            rng.shuffle(objects)
            for o in objects:
                o.close()
            self.assertTrue(all(o.closed for o in objects if isinstance(o, _lib.Handle)))

    def test_with_closes(self):
        with aios.Context() as context, aios.Model("echo:", context) as model, model.session() as session:
            self.assertEqual(session.complete("x").text, "x")
        self.assertTrue(context.closed and model.closed and session.closed)

    def test_leaving_the_interpreter_in_the_middle_is_quiet(self):
        code = ("import aios\nm = aios.Model('echo:set slow 1; call f {}; say a b c d')\nts = aios.Toolset(m.context)\n"
                "ts.add(lambda: 'x', name='f', effect='read')\nr = aios.Agent(m, ts, policy=lambda a: 'allow').start('?')\nnext(r)\n"
                "t = m.session(threaded=True).start('?')\nnext(t)\nr.cycle = r\n")
        p = python(code)
        self.assertEqual((p.returncode, p.stdout, p.stderr), (0, "", ""))

    def test_ctrl_c_is_heard_while_the_model_computes(self):
        code = ("import aios, os, signal, threading\nm = aios.Model('echo:delay 30000; say late')\n"
                "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
                "try:\n    aios.Agent(m).run('?')\nexcept KeyboardInterrupt:\n    print('heard')\n")
        start = time.monotonic()
        self.assertEqual(python(code).stdout, "heard\n")
        self.assertLess(time.monotonic() - start, 20)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_a_forked_child_leaves_quietly(self):
        p = python("import aios, os\nm = aios.Model('echo:say a b')\ns = m.session(threaded=True)\nt = s.start('?')\nnext(t)\n"
                   "pid = os.fork()\nif pid:\n    print(os.waitpid(pid, 0)[1], t.result().text)\n")
        self.assertEqual((p.stdout, p.stderr), ("0 a b\n", ""))

    def test_the_log_is_heard_and_its_exceptions_are_logged(self):
        def hook(*_):
            raise ValueError("broken hook")
        context = aios.Context(log=hook, log_level="debug")
        with self.assertLogs("aios", logging.ERROR) as logged:
            self.assertEqual(aios._context._log_fn(context._boxes[0].key, 1, b"hello"), None)
        self.assertIn("broken hook", logged.output[0])

    def test_the_example_runs(self):
        p = subprocess.run([sys.executable, str(HERE.parent / "examples" / "agent.py")], capture_output=True, text=True, timeout=60)
        self.assertEqual((p.stdout, p.returncode), ('[add {"a":19,"b":23}]\n[= 42]\nThe answer is\n42\n', 0), p.stderr)


@unittest.skipUnless(MODEL, "AIOS_TEST_MODEL names no model")
class Real(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.parts = []
        cls.model = aios.Model(MODEL, progress=cls.parts.append)

    def test_progress_goes_from_0_to_1(self):
        self.assertTrue(self.parts)
        self.assertEqual(self.parts, sorted(self.parts))
        self.assertLessEqual(self.parts[-1], 1)

    def test_an_exception_in_progress_stops_the_loading(self):
        def progress(_part):
            raise KeyError("stop here")
        with self.assertRaisesRegex(KeyError, "stop here"):
            aios.Model(MODEL, progress=progress)

    def test_tokens_round_trip(self):
        ids = self.model.tokenize(TEXT)
        self.assertEqual(self.model.detokenize(ids).decode("utf-8").strip(), TEXT)

    def test_greedy_streams_are_repeatable(self):
        session = self.model.session()
        first = "".join(session.stream("Say hello.", max_tokens=12))
        self.assertTrue(first)
        self.assertEqual(session.complete("Say hello.", max_tokens=12).text, first)
        self.assertEqual(session.fork().complete("Say hello.", max_tokens=12).text, first)

    def test_count_is_what_usage_reports(self):
        session = self.model.session()
        self.assertEqual(session.count("Say hello."), session.complete("Say hello.", max_tokens=2).usage[0].input)

    def test_a_schema_binds_the_reply(self):
        schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "n": {"type": "integer"}},
                  "required": ["city", "n"], "additionalProperties": False}
        reply = self.model.session().complete("Name a city and a number.", schema=schema, max_tokens=120)
        self.assertEqual(set(reply.json), {"city", "n"})

    def test_a_required_tool_in_python_is_called(self):
        tools, seen = aios.Toolset(self.model.context), []
        tools.add(lambda a, b: seen.append((a, b)) or a + b, ADD, name="add", description="Adds two numbers.", effect="read")
        agent = aios.Agent(self.model, tools, tool_choice="required", one_call=True, limits={"max_turn_tokens": 120})
        with agent.start("What is 2 plus 3?") as run:
            result = next(e for e in run if e.kind == "result")
        self.assertEqual(result.code, 0)
        self.assertEqual(result.text, str(sum(seen[0])))

    def test_a_small_budget_is_refused_with_both_numbers(self):
        with self.assertRaises(aios.Error) as caught:
            aios.Model(MODEL, aios.Context(budget=8 << 20))
        self.assertEqual(caught.exception.name, "EBUDGET")
        self.assertGreater(caught.exception.need, 0)


if __name__ == "__main__":
    main()

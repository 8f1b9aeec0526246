#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stores, runs that go on after a crash, and telemetry, from Python."""
import asyncio
import json
import os
import sys
import tempfile
import textwrap
import unittest

from support import Base, aios, main, python, script

TWO_CALLS = script('call pay {"n":1};turn;call pay {"n":2};turn;say paid')


class Stores(Base):
    def test_records_streams_and_conflicts(self):
        with aios.Store(self.context, "memory:") as store:
            self.assertEqual(store.commit([("a/1", "x"), aios.Write("a/2", b"\0y", kind=7), ("a/1", "z")]), [1, 1, 2])
            rows = store.read("a/1")
            self.assertEqual([(r.seq, r.kind, r.data) for r in rows], [(1, 0, b"x"), (2, 0, b"z")])
            self.assertEqual([r.data for r in store.read("a/1", 2)], [b"z"])
            self.assertEqual(store.read("a/2")[0][:2], (1, 7))
            self.assertEqual(store.read("nothing"), [])
            self.assertEqual([(s.name, s.first, s.head) for s in store.streams("a/")], [("a/1", 1, 2), ("a/2", 1, 1)])
            self.assertEqual((store.head("a/1"), store.head("b")), (2, 0))
            self.assertEqual(self.fails("ECONFLICT", store.commit, [("a/1", "w", 2)]).have, 3)
            store.commit([aios.Write("a/1", "only", forget=True)])
            self.assertEqual([(s.first, s.head) for s in store.streams("a/1")], [(3, 3)])
            store.remove("a/2")
            self.fails("ENOENT", store.remove, "a/2")
            store.check()
            self.assertEqual((store.info()["name"], store.info()["n_commits"]), ("memory", 2))
            for wrong in ([("a b", "x")], [("a", "x", 1 << 63)]):
                self.fails("EINVAL", store.commit, wrong)
            with self.assertRaises(TypeError):
                store.commit([("a", 5)])
            with self.assertRaises(ValueError):
                store.read("a/1", -1)
        self.fails("ESTATE", store.streams)
        self.fails("ENOTSUP", aios.Store, self.context, "nobody:x")

    @unittest.skipUnless(aios.has("sqlite"), "this build has no sqlite")
    def test_a_file_is_kept_and_read_only_is_kept_to(self):
        with tempfile.TemporaryDirectory() as folder:
            uri = f"sqlite:{folder}/s.db"
            with aios.Store(self.context, uri) as store:
                store.commit([("a", "x")])
                self.assertEqual(store.info()["n_syncs"] > 0, True)
                self.fails("EBUSY", aios.Store, self.context, uri)
            with aios.Store(self.context, uri, read_only=True) as store:
                self.assertEqual(store.read("a")[0].data, b"x")
                self.fails("ESTATE", store.commit, [("a", "y")])


class Durable(Base):
    def payer(self, store, acted, reconcile=None, **options):
        tools = aios.Toolset(self.context)

        def pay(call, n: int):
            acted.append((call.key, n))
            return "paid"
        tools.add(pay, effect="unsafe", pass_call=True, reconcile=reconcile)
        return aios.Agent(aios.Model(TWO_CALLS, self.context), tools, policy=lambda action: "allow", store=store, **options)

    def test_a_run_has_a_name_a_state_and_its_records(self):
        store, acted = aios.Store(self.context, "memory:"), []
        agent = self.payer(store, acted, name="payer")
        reply = agent.run("pay", run_id="invoice-17")
        self.assertEqual((reply.text, [n for _, n in acted]), ("paid", [1, 2]))
        info = store.run("invoice-17")
        self.assertEqual((info.state, info.turns, info.calls, info.code, info.model), ("done", 3, 2, 0, "echo"))
        self.assertEqual([r.id for r in store.runs()], ["invoice-17"])
        self.assertGreater(info.changed, 1e9)
        self.assertEqual(info.records, store.head("run/invoice-17"))
        self.assertEqual(self.fails("EEXIST", agent.start, "pay", run_id="invoice-17").name, "EEXIST")
        self.fails("EINVAL", agent.start, "pay", run_id="a b")
        self.fails("ENOENT", store.run, "invoice-18")
        self.fails("ENOENT", agent.resume, "invoice-18")
        self.assertEqual(agent.resume("invoice-17").finish().text, "paid")
        self.assertEqual(len(acted), 2)
        self.assertEqual(len(set(key for key, _ in acted)), 2)
        self.assertRegex(agent.start("pay").id, "^[0-9a-f]{32}$")

    def test_a_run_that_was_left_goes_on_where_it_was(self):
        store, acted = aios.Store(self.context, "memory:"), []
        agent = self.payer(store, acted)
        with agent.start("pay", run_id="r") as run:
            for ev in run:
                if ev.kind == "result":
                    break
            self.fails("EBUSY", agent.resume, "r")
        self.assertEqual((store.run("r").state, len(acted)), ("model", 1))
        with agent.resume("r") as run:
            self.assertEqual(run.id, "r")
            reply = run.finish()
        self.assertEqual((reply.text, [n for _, n in acted]), ("paid", [1, 2]))
        self.assertEqual(len(reply.transcript), 6)

    def test_another_agent_is_refused_unless_it_may(self):
        store, acted = aios.Store(self.context, "memory:"), []
        with self.payer(store, acted).start("pay", run_id="r") as run:
            next(run)
        other = self.payer(store, acted, instructions="be brief")
        self.assertIn("instructions", self.fails("ESTATE", other.resume, "r").message)
        self.assertEqual(self.payer(store, acted, instructions="be brief", changed=True).resume("r").finish().text, "paid")
        self.fails("ESTATE", self.agent("say x").resume, "r")

    def test_a_called_agent_goes_on_with_its_caller_alone(self):
        store, tools = aios.Store(self.context, "memory:"), aios.Toolset(self.context)
        payer = self.payer(store, [])
        tools.add(payer.as_tool("payer", "pays"))
        caller = aios.Agent(aios.Model(script('call payer {"prompt":"x"};result'), self.context), tools, policy=lambda action: "allow", store=store)
        self.assertEqual(caller.run("go", run_id="top").text, "paid")
        below, = [r for r in store.runs() if r.id != "top"]
        self.assertEqual((below.parent, store.run("top").parent), ("top", ""))
        self.assertIn("a call of run top", self.fails("ESTATE", payer.resume, below.id).message)

    def test_what_waits_is_asked_again(self):
        store, acted = aios.Store(self.context, "memory:"), []
        tools = aios.Toolset(self.context)
        tools.add(lambda n: acted.append(n), name="pay", schema={"type": "object"}, effect="unsafe")
        agent = aios.Agent(aios.Model(script('call pay {"n":1};turn;say paid'), self.context), tools, store=store)
        with agent.start("pay", run_id="r") as run:
            while run.next(1).kind != "ask":
                pass
            run.next(0)
        self.assertEqual((store.run("r").state, store.run("r").asks), ("ask", 1))
        self.assertEqual(agent.resume("r").finish(on_ask=lambda ev: ev.arguments == {"n": 1}).text, "paid")
        self.assertEqual(acted, [1])

    KILLED = textwrap.dedent("""
        import os, sys
        sys.path.insert(0, {path!r})
        import aios
        context = aios.Context()
        tools = aios.Toolset(context)
        def pay(call, n: int):
            with open({ledger!r}, "a") as f:
                f.write(call.key + chr(10))
            if not os.path.exists({ledger!r} + ".lived"):
                open({ledger!r} + ".lived", "w").close()
                os.kill(os.getpid(), 9)
            return "paid"
        def broken(call, n: int):
            raise OSError("nobody answers")
        def look(call, n: int):
            return "paid" if call.key in open({ledger!r}).read() else None
        tools.add(pay, effect="unsafe", pass_call=True, reconcile={reconcile})
        store = aios.Store(context, {uri!r})
        agent = aios.Agent(aios.Model({model!r}, context), tools, policy=lambda a: "allow", store=store)
        try:
            run = agent.resume("r")
        except aios.Error as e:
            assert e.name == "ENOENT", e
            run = agent.start("pay", run_id="r")
        seen = []
        reply = run.finish(on_unknown=lambda ev: seen.append(ev.name))
        print(reply.text, seen, [p.text for e in reply.transcript for p in e.parts if p.kind == "result"])
    """)

    @unittest.skipUnless(aios.has("sqlite"), "this build has no sqlite")
    def test_a_killed_program_pays_once(self):
        for reconcile, said in (("look", "paid [] ['paid', 'paid']"), ("None", "paid ['pay'] ['error: "), ("broken", "paid ['pay'] ['error: ")):
            with tempfile.TemporaryDirectory() as folder:
                code = self.KILLED.format(path=sys.path[0], ledger=f"{folder}/ledger", uri=f"sqlite:{folder}/runs.db", model=TWO_CALLS,
                                          reconcile=reconcile)
                first, second = python(code), python(code)
                self.assertEqual(first.returncode, -9, first.stderr)
                self.assertEqual(second.returncode, 0, second.stderr)
                self.assertIn(said, second.stdout)
                with open(f"{folder}/ledger", encoding="ascii") as f:
                    keys = f.read().split()
                self.assertEqual((len(keys), len(set(keys))), (2, 2))

    def test_an_agent_takes_stores_and_telemetry_alone(self):
        with self.assertRaises(TypeError):
            aios.Toolset(self.context).add(lambda: 1, name="t", reconcile=5)
        for wrong in ({"store": "memory:"}, {"telemetry": "x"}, {"store": self.context}):
            with self.assertRaises(TypeError):
                self.agent("say x", **wrong)
        self.fails("EINVAL", self.agent, "say x", cache_dir="/tmp")


class Asynchronous(Base):
    def test_runs_of_one_loop(self):
        def double(n: int):
            return 2 * n

        async def one(agent):
            seen = [ev.kind async for ev in agent.start("go")]
            return seen

        async def several(agent):
            return await asyncio.gather(*(one(agent) for _ in range(3)))
        agent = self.agent('call double {"n":2};delay 20;turn;say four', (double, {"any_thread": True}))
        for kinds in asyncio.run(several(agent)):
            self.assertEqual(kinds[-1], "done")
            self.assertIn("result", kinds)

    def test_a_failure_is_raised_and_asks_are_denied(self):
        acted = []
        tools = aios.Toolset(self.context)
        tools.add(lambda: acted.append(1), name="act", effect="unsafe")
        agent = aios.Agent(self.model("call act {};turn;fail EIO"), tools)

        async def go():
            kinds = []
            async for ev in agent.start("go"):
                kinds.append(ev.kind)
            return kinds
        with self.assertRaises(aios.Error) as caught:
            asyncio.run(go())
        self.assertEqual((caught.exception.name, acted), ("EIO", []))


class Told(Base):
    def test_a_run_is_told_to_a_function_and_a_file(self):
        told = []
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "spans.jsonl")
            telemetry = aios.Telemetry(self.context, file=path, write=lambda signal, text: told.append((signal, text)), service_name="shop",
                                       resource={"deployment.environment": "a b,c"}, interval=60)
            agent = self.agent('call add {"a":1,"b":2};turn;say 3', self.add, telemetry=telemetry, name="adder")
            agent.run("go")
            self.assertTrue(telemetry.flush(10))
            info = telemetry.info()
            self.assertEqual((info["n_spans"], info["n_dropped"]), (info["n_sent"], 0))
            with open(path, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
        resources = [r for signal, text in told if signal == "traces" for r in json.loads(text)["resourceSpans"]]
        spans = [s for r in resources for c in r["scopeSpans"] for s in c["spans"]]
        self.assertEqual(sorted(s["name"] for s in spans), ["chat echo", "chat echo", "execute_tool add", "invoke_agent adder"])
        self.assertEqual(len(spans), info["n_spans"])
        attributes = {a["key"]: a["value"] for r in lines[0].values() for a in r[0]["resource"]["attributes"]}
        self.assertEqual(attributes["service.name"], {"stringValue": "shop"})
        self.assertEqual(attributes["deployment.environment"], {"stringValue": "a b,c"})

    @staticmethod
    def add(a: int, b: int):
        return a + b

    def test_a_tool_and_who_asked_have_one_trace(self):
        told, seen = [], []
        telemetry = aios.Telemetry(self.context, write=lambda signal, text: told.append(text), interval=60)
        tools = aios.Toolset(self.context)
        tools.add(lambda call: seen.append(call.traceparent), name="act", schema={"type": "object"}, effect="read", pass_call=True)
        agent = aios.Agent(self.model("call act {};turn;say x"), tools, telemetry=telemetry)
        trace = "0af7651916cd43dd8448eb211c80319c"
        with agent.start("go", traceparent=f"00-{trace}-b7ad6b7169203331-01") as run:
            run.finish()
        self.assertEqual(seen[0].split("-")[1], trace)

    def test_what_is_wrong_is_said(self):
        self.fails("EINVAL", aios.Telemetry, self.context, endpoint="nonsense")
        with self.assertRaises(TypeError):
            aios.Telemetry(self.context, write=5)
        with self.assertRaises(TypeError):
            aios.Telemetry(self.context, headers=[1])

    def test_a_receiver_that_raises_is_logged(self):
        def refuse(signal, text):
            raise OSError("no")
        telemetry = aios.Telemetry(self.context, write=refuse, interval=60)
        with self.assertLogs("aios", "ERROR"):
            self.agent("say x", telemetry=telemetry).run("go")
            telemetry.flush(10)
        self.assertGreater(telemetry.info()["n_dropped"], 0)
        telemetry.close()


if __name__ == "__main__":
    main()

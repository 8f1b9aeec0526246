#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs of a store from the command line: asked, told and stopped while they run, told again from their journal, drawn, audited."""
import hashlib
import http.server
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import stat
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from test_cli import AIOS, aios, events, main, written

PAY = 'echo:call pay {"sum":1}; turn; say over'


def fold(a, b):
    return (a * b ^ a * b >> 64) & MASK


def sum64(seed, data):
    """The sum by which a store finds accidents (lib/base/cachefile.c): a forger makes it anew."""
    key = (0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3)
    h = [seed ^ k for k in key]
    blocks = [data[i:i + 64] for i in range(0, len(data) // 64 * 64, 64)] + [data[len(data) // 64 * 64:].ljust(64, b"\0")]
    for block in blocks:
        words = struct.unpack("<8Q", block)
        h = [fold(h[i] ^ words[2 * i], words[2 * i + 1] ^ key[i]) for i in range(4)]
    return fold(fold(h[0] ^ key[1], h[1] ^ key[2]) ^ len(data), fold(h[2] ^ key[3], h[3] ^ key[0]) ^ key[2])


MASK = 2**64 - 1


class WithStore(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.mkdir(self.path("run"), 0o700)
        self.env = {"XDG_RUNTIME_DIR": self.path("run")}
        self.store = "sqlite:" + self.path("runs.db")
        self.tools = written(self.folder, "tools.json", [{"name": "pay", "command": ["/bin/sh", "-c", f"echo paid >> {self.path('ledger')}; sleep ${{NAP:-0}}"]},
                                                         {"name": "fail", "effect": "read", "command": ["/bin/sh", "-c", "echo no; exit 3"]}])

    def path(self, name):
        return os.path.join(self.folder, name)

    def aios(self, *args, **more):
        return aios(*args, env={**self.env, **more.pop("env", {})}, **more)

    def runs(self, *args, **more):
        return self.aios("runs", *args, "--store", self.store, **more)

    def agent(self, script, *args, **more):
        return self.aios("agent", "--store", self.store, "-m", script, "--tools", self.tools, *args, **more)

    def start(self, script=PAY, *args, env=None, run="r1"):
        """An agent in the background, whose asks wait."""
        p = subprocess.Popen([AIOS, "agent", "--store", self.store, "--run-id", run, "-m", script, "--tools", self.tools, "--wait", "--json", *args, "go"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **self.env, **(env or {})})
        self.addCleanup(self.stop, p)
        return p

    def stop(self, p):
        if p.poll() is None:
            p.kill()
        p.communicate()

    def until(self, good, what="it"):
        for _ in range(1000):
            got = good()
            if got:
                return got
            time.sleep(0.02)
        self.fail("in 20 seconds there was not " + what)

    def shown(self, run="r1"):
        code, out, _ = self.runs("show", run, "--json")
        return json.loads(out) if code == 0 else {}

    def waiting(self, n=1):
        def look():
            run = self.shown()
            return run if run.get("state") == "ask" and len(run.get("waits", [])) == n else None  # in the journal too
        return self.until(look, f"{n} calls that wait")

    def ended(self, p):
        out, err = p.communicate(timeout=60)
        return p.returncode, out.decode(), err.decode()

    def paste(self, line):
        done = subprocess.run(["/bin/sh", "-c", line.replace("aios", AIOS, 1)], capture_output=True, text=True, input="", env={**os.environ, **self.env}, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def pasted(self, line):
        return self.paste(line)[:2]

    def sockets(self):
        folder = self.path("run/aios")
        return [os.path.join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []

    def paid(self):
        if not os.path.exists(self.path("ledger")):
            return 0
        with open(self.path("ledger")) as f:
            return f.read().count("paid")


class Live(WithStore):
    def test_a_live_run_is_shown_and_approved(self):
        p = self.start()
        run = self.waiting()
        self.assertEqual((run["state"], run["pid"], run["waits"][0]["name"], run["waits"][0]["arguments"]), ("ask", p.pid, "pay", {"sum": 1}))
        self.assertEqual(self.paid(), 0)
        text = self.runs("show", "r1")[1]
        self.assertIn(f"process  {p.pid}\n", text)
        self.assertRegex(text, r'waits    pay \{"sum":1\}')
        self.assertEqual([(r["id"], r["pid"]) for r in events(self.runs("list", "--json")[1])], [("r1", p.pid)])
        self.assertEqual(self.runs("approve", "r1")[:2], (0, "run r1: approved\n"))
        code, out, err = self.ended(p)
        self.assertEqual((code, self.paid(), events(out)[-1]["text"]), (0, 1, "over"), err)
        self.assertEqual(self.sockets(), [])
        self.assertEqual(self.shown()["state"], "done")

    def test_a_call_is_denied_or_meant_by_its_digest(self):
        p = self.start('echo:call pay {"sum":1}; call pay {"sum":2}; turn; say over')
        waits = self.waiting(2)["waits"]
        code, out, err = self.runs("approve", "r1")
        self.assertEqual(code, 1)
        self.assertIn("several calls wait", err)
        code, out, err = self.runs("approve", "r1", "none", "--json")
        self.assertIn("no call that waits", json.loads(out)["error"]["message"])
        word = waits[1].get("digest", waits[1]["call_id"])
        self.assertEqual(self.runs("approve", "r1", word[:12] if len(word) == 64 else word)[0], 0)
        self.assertEqual(self.runs("deny", "r1")[0], 0)
        code, out, err = self.ended(p)
        results = {e["call_id"]: e for e in events(out) if e["type"] == "result"}
        self.assertEqual((code, self.paid()), (0, 1))
        self.assertIn("denied", results[waits[0]["call_id"]]["text"])
        self.assertEqual(results[waits[1]["call_id"]]["code"], 0)

    def test_a_live_run_is_cancelled_and_goes_on_later(self):
        p = self.start()
        self.waiting()
        self.assertEqual(self.runs("cancel", "r1", "--json")[0], 0)
        self.assertEqual(self.ended(p)[0], 130)
        self.assertEqual(self.shown()["error"]["code"], "ECANCELED")
        code, out, err = self.aios("runs", "resume", "r1", "--store", self.store, "-m", PAY, "--tools", self.tools, "--allow", "pay")
        self.assertEqual((code, out, self.paid()), (0, "over\n", 1), err)

    def test_a_run_answers_while_its_tool_runs(self):
        p = self.start(PAY, "--allow", "pay", env={"NAP": "20"})
        self.until(self.paid, "the tool")
        began = time.monotonic()
        run = self.shown()
        self.assertEqual((run["unknown"], run["live"], [c["name"] for c in run["running"]]), (0, True, ["pay"]))
        text = self.runs("show", "r1")[1]
        self.assertRegex(text, r'running  pay \{"sum":1\}')
        self.assertNotIn("unknown", text)
        self.assertRegex(self.runs("list")[1], f"  process {p.pid}\n")
        self.assertEqual(self.runs("cancel", "r1")[0], 0)
        self.assertEqual(self.ended(p)[0], 130)
        self.assertLess(time.monotonic() - began, 10)

    def test_a_decision_waits_until_the_tool_is_over(self):
        p = self.start('echo:call pay {"sum":1}; call pay {"sum":2}; turn; say over', env={"NAP": "1"})
        first, second = (w["call_id"] for w in self.waiting(2)["waits"])
        self.assertEqual(self.runs("approve", "r1", first)[0], 0)
        self.until(self.paid, "the tool")
        self.assertEqual(self.runs("approve", "r1", second)[0], 0)
        self.assertEqual((self.ended(p)[0], self.paid()), (0, 2))

    def test_other_runs_of_a_store_in_use(self):
        self.assertEqual(self.agent("echo:say hi", "--run-id", "old", "go")[0], 0)
        p = self.start()
        self.waiting()
        self.assertEqual(self.shown("old")["state"], "done")
        self.assertIn("did you mean old?", self.runs("show", "odl")[2])
        code, _, err = self.runs("approve", "old")
        self.assertEqual(code, 1)
        self.assertIn("run old: no call waits", err)
        self.assertIn("did you mean old?", self.runs("cancel", "olld")[2])
        self.assertEqual([r["id"] for r in events(self.runs("list", "--state", "done", "--json")[1])], ["old"])
        self.assertIn("turn", self.runs("show", "r1", "--timeline")[1])
        self.runs("deny", "r1")
        self.assertEqual(self.ended(p)[0], 0)


class Held(WithStore):
    def test_a_store_in_use_is_named_with_its_process(self):
        p = self.start()
        self.waiting()
        os.unlink(self.sockets()[0])
        for args in (("show", "r1"), ("approve", "r1"), ("audit",)):
            code, _, err = self.runs(*args)
            self.assertEqual(code, 1)
            self.assertIn(f"process {p.pid} has it open", err)
        code, _, err = self.aios("replay", "r1", "--store", self.store)
        self.assertEqual(code, 1)
        self.assertIn(str(p.pid), err)

    def test_what_a_killed_process_left_is_swept(self):
        p = self.start()
        self.waiting()
        mode = os.stat(self.sockets()[0]).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual((stat.S_IMODE(mode), stat.S_IMODE(os.stat(self.path("run/aios")).st_mode)), (0o600, 0o700))
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.assertEqual(len(self.sockets()), 1)
        run = self.shown()
        self.assertEqual((run["state"], len(run["waits"]), "pid" in run), ("ask", 1, False))
        self.assertEqual(self.sockets(), [])

    def test_a_new_run_takes_the_place_of_a_socket_that_was_left(self):
        p = self.start()
        self.waiting()
        p.send_signal(signal.SIGKILL)
        p.wait()
        q = subprocess.Popen([AIOS, "agent", "--store", self.store, "--resume", "r1", "-m", PAY, "--tools", self.tools, "--wait", "--json"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **self.env})
        self.addCleanup(self.stop, q)
        self.until(lambda: self.shown().get("pid") == q.pid and self.shown()["waits"], "the run of the new process")
        self.assertEqual(self.runs("approve", "r1")[0], 0)
        self.assertEqual((self.ended(q)[0], self.paid()), (0, 1))

    def test_a_folder_that_others_may_enter_is_not_used(self):
        os.mkdir(self.path("run/aios"), 0o755)
        os.chmod(self.path("run/aios"), 0o755)
        p = self.start()
        code, out, err = self.ended(p)
        self.assertEqual(code, 77)
        self.assertIn("user's alone", out)
        code, _, err = self.agent("echo:say hi", "go")
        self.assertEqual(code, 0)
        self.assertIn("note:", err)
        os.rmdir(self.path("run/aios"))
        os.symlink(self.folder, self.path("run/aios"))
        self.assertIn("user's alone", self.agent("echo:say hi", "go")[2])


class Namer(http.server.BaseHTTPRequestHandler):
    """Calls pay for 1 and for 2 by one id, the server's name; then it says over. Its server has what it was asked in `asked`."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        calls = [{"index": i, "id": self.server.call_id, "type": "function", "function": {"name": "pay", "arguments": f'{{"sum":{i + 1}}}'}} for i in range(2)]
        over = body["messages"][-1]["role"] == "tool"
        delta = {"content": "over"} if over else {"tool_calls": calls}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        last = [{"index": 0, "delta": {}, "finish_reason": "stop" if over else "tool_calls"}]
        data = "".join(f"data: {text}\n\n" for text in (json.dumps({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}),
                                                        json.dumps({**chunk, "choices": last}), "[DONE]")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Terminal(WithStore):
    def at_terminal(self, script=PAY, *more, env=None):
        """An agent with a terminal for input and standard error; (process, the terminal's other end)."""
        front, back = pty.openpty()
        p = subprocess.Popen([AIOS, "agent", "--store", self.store, "--run-id", "r1", "-m", script, "--tools", self.tools, *more, "go"], stdin=back,
                             stdout=subprocess.PIPE, stderr=back, env={**os.environ, **self.env, "TERM": "dumb", **(env or {})})
        os.close(back)
        self.addCleanup(os.close, front)
        self.addCleanup(self.stop, p)
        return p, front

    def read_to(self, front, word):
        got = b""
        while word not in got:
            got += os.read(front, 4096)
        return got

    def test_without_a_terminal_nobody_is_said_to_have_answered(self):
        code, out, err = self.agent('echo:call pay {"sum":1}; call pay {"sum":2}; turn; say over', "--json", "go")
        told = [e["text"] for e in events(out) if e["type"] == "result"]
        self.assertEqual((code, self.paid(), len(told), err.count("denied: ")), (0, 0, 2, 1), err)
        self.assertIn("pay may change something, and there is nobody to ask: standard input is no terminal; --allow pay lets it run", err)
        for text in told:
            self.assertIn("nobody could be asked", text)

    def test_nothing_hides_what_is_asked_about(self):
        p, front = self.at_terminal('echo:call pay {"sum":"\u202e9\u0090\u2066"}; turn; say over')
        got = self.read_to(front, b"[y/N]").decode()
        self.assertIn('"\ufffd9\ufffd\ufffd"', got)
        for mark in "\u202e\u0090\u2066\x1b":
            self.assertNotIn(mark, got)
        os.write(front, b"n\n")
        self.assertEqual(p.communicate(timeout=30)[0], b"over\n")

    def test_the_terminal_answers(self):
        p, front = self.at_terminal('echo:call pay {"sum":1}; call pay {"sum":2}; turn; say over')
        self.read_to(front, b'run pay {"sum":1} ? [y/N] ')
        os.write(front, b"yes\n")
        self.read_to(front, b'run pay {"sum":2} ? [y/N] ')
        os.write(front, b"no\n")
        self.assertEqual((p.stdout.read(), p.wait(), self.paid()), (b"over\n", 0, 1))

    def test_somebody_else_answers_first(self):
        p, front = self.at_terminal()
        self.read_to(front, b"? [y/N] ")
        self.assertEqual(self.runs("approve", "r1")[0], 0)
        self.assertEqual((p.stdout.read(), p.wait(), self.paid()), (b"over\n", 0, 1))

    def test_what_was_typed_before_is_no_answer(self):
        p, front = self.at_terminal()
        os.write(front, b"y\ny\ny\n")
        self.read_to(front, b'run pay {"sum":1} ? [y/N] ')
        self.assertEqual(select.select([p.stdout], [], [], 0.5)[0], [])
        os.write(front, b"n\n")
        self.assertEqual((p.stdout.read(), p.wait(), self.paid()), (b"over\n", 0, 0))

    def test_an_answer_to_what_is_over_is_not_one_to_the_next(self):
        path = written(self.folder, "policy.json", {"version": 1, "ask": {"timeout_ms": 700}, "capabilities": [{"tool": "pay", "verdict": "ask"}]})
        p, front = self.at_terminal('echo:call pay {"sum":1}; turn; call pay {"sum":2}; turn; say over', "--policy", path)
        self.read_to(front, b'run pay {"sum":1} ? [y/N] ')
        os.write(front, b"y")
        self.read_to(front, b'run pay {"sum":2} ? [y/N] ')
        os.write(front, b"\n")
        self.assertEqual((p.stdout.read(), p.wait(), self.paid()), (b"over\n", 0, 0))

    def test_ids_of_a_server_may_be_long_and_the_same(self):
        with http.server.HTTPServer(("127.0.0.1", 0), Namer) as server:
            server.asked, server.call_id = [], "x" * 250
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            p, front = self.at_terminal("openai:m", "--plain-http", env={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1"})
            self.read_to(front, b'run pay {"sum":1} ? [y/N] ')
            self.assertEqual([w["call_id"] for w in self.waiting(2)["waits"]], [server.call_id, "call_1"])
            os.write(front, b"n\n")
            self.read_to(front, b'run pay {"sum":2} ? [y/N] ')
            os.write(front, b"y\n")
            self.assertEqual((p.stdout.read(), p.wait(), self.paid()), (b"over\n", 0, 1))
            server.shutdown()
        told = server.asked[-1]["messages"]
        self.assertEqual([c["id"] for m in told for c in m.get("tool_calls", [])], [server.call_id, "call_1"])
        results = {m["tool_call_id"]: m["content"] for m in told if m["role"] == "tool"}
        self.assertIn("denied", results[server.call_id])
        self.assertNotIn("denied", results["call_1"])

    def test_an_answer_that_comes_too_late_is_told(self):
        path = written(self.folder, "policy.json", {"version": 1, "ask": {"timeout_ms": 600}, "capabilities": [{"tool": "pay", "verdict": "ask"}]})
        p, front = self.at_terminal(PAY, "--policy", path)
        self.read_to(front, b'run pay {"sum":1} ? [y/N] ')
        p.send_signal(signal.SIGSTOP)
        os.write(front, b"y\n")
        time.sleep(0.8)
        p.send_signal(signal.SIGCONT)
        said = self.read_to(front, b"nobody allowed this call in time")
        self.assertEqual((p.stdout.read(), p.wait(), self.paid()), (b"over\n", 0, 0))
        self.assertIn(b"not answered: pay (call_1): the time to allow", said)

    def test_who_waits_costs_nothing(self):
        p = self.start()
        self.waiting()

        def ticks():
            with open(f"/proc/{p.pid}/stat") as f:
                return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])

        before = ticks()
        time.sleep(1)
        self.assertLessEqual(ticks() - before, 5)
        self.runs("deny", "r1")
        self.ended(p)


class Offline(WithStore):
    def killed(self, script=PAY, n=1):
        p = self.start(script)
        waits = self.waiting(n)["waits"]
        p.send_signal(signal.SIGKILL)
        p.wait()
        return waits

    def resume(self, script=PAY):
        return self.aios("runs", "resume", "r1", "--store", self.store, "-m", script, "--tools", self.tools)

    def test_a_call_is_approved_while_nobody_has_the_run(self):
        self.killed()
        code, out, _ = self.runs("approve", "r1")
        self.assertEqual((code, out.splitlines()[0]), (0, "run r1: approved; it counts when the run is resumed"))
        self.assertRegex(out.splitlines()[1], "^next     aios runs resume r1 --store ")
        self.assertEqual(self.shown()["asks"], 0)
        self.assertEqual(self.runs("approve", "r1")[0], 1)
        self.assertEqual(self.paid(), 0)
        code, out, err = self.resume()
        self.assertEqual((code, out, self.paid()), (0, "over\n", 1), err)

    def test_a_call_is_denied_while_nobody_has_the_run(self):
        script = 'echo:call pay {"sum":1}; call pay {"sum":2}; turn; say over'
        waits = self.killed(script, 2)
        self.assertIn("several calls wait", self.runs("deny", "r1")[2])
        self.assertEqual(self.runs("deny", "r1", waits[0]["call_id"])[0], 0)
        self.assertEqual(self.runs("approve", "r1")[0], 0)
        code, out, err = self.resume(script)
        self.assertEqual((code, out, self.paid()), (0, "over\n", 1), err)
        decisions = [s["verdict"] for s in json.loads(self.runs("show", "r1", "--timeline", "--json")[1])["steps"] if s["kind"] == "decision"]
        self.assertEqual(decisions, ["deny", "allow"])

    def test_a_run_that_nobody_has_is_given_up(self):
        self.killed()
        self.assertEqual(self.runs("cancel", "r1")[:2], (0, "run r1: given up\n"))
        self.assertEqual(self.shown()["error"]["code"], "ECANCELED")
        self.assertEqual(self.runs("cancel", "r1")[0], 0)
        self.assertEqual(self.resume()[0], 0)  # asks again, and is denied without a terminal
        self.assertEqual(self.paid(), 0)
        code, _, err = self.runs("cancel", "r1")
        self.assertEqual(code, 1)
        self.assertIn("is done", err)

    def test_another_run_is_decided_about_through_the_process_that_has_the_store(self):
        self.killed()
        q = self.start(run="r2")
        self.until(lambda: self.shown("r2").get("state") == "ask", "the second run")
        self.assertEqual(self.runs("approve", "r1")[0], 0)
        self.assertEqual(self.runs("deny", "r2")[0], 0)
        self.assertEqual((self.ended(q)[0], self.paid()), (0, 0))
        self.assertEqual((self.resume()[0], self.paid()), (0, 1))


class Hostile(WithStore):
    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(self.sockets()[0])
        self.addCleanup(s.close)
        return s

    def answer(self, data):
        s = self.connect()
        try:
            s.sendall(data)
            got = b""
            while not got.endswith(b"\n"):
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
        except (BrokenPipeError, ConnectionResetError):
            return None
        return json.loads(got) if got else None

    def test_bad_requests_are_answered_and_the_run_goes_on(self):
        p = self.start()
        self.waiting()
        for data in (b"garbage\n", b"\n", b"[]\n", b'"x"\n', b"\x00\xff\n", b'{"op":1}\n', b'{"op":"none"}\n', b'{"op":"show"}\n', b'{"op":"show","run":"../x"}\n',
                     b'{"op":"show","run":["r1"]}\n', b'{"op":"approve","run":"r1","ask":"' + b"x" * 3000 + b'"}\n', b'{"op":"approve","run":"other"}\n', b'{"op":"cancel","run":"other"}\n',
                     b'{"op":"show","op":"cancel","run":"r1"}\n', b"[" * 4000 + b"\n"):
            got = self.answer(data)
            self.assertEqual((got["ok"], got["error"]["code"][0]), (False, "E"), data[:60])
        got = self.answer(b"x" * 100000)
        self.assertTrue(got is None or got["error"]["code"] == "ELIMIT")
        self.assertEqual(self.paid(), 0)
        self.assertEqual(self.runs("approve", "r1")[0], 0)
        self.assertEqual((self.ended(p)[0], self.paid()), (0, 1))

    def test_clients_that_hang_keep_nobody_out(self):
        p = self.start()
        self.waiting()
        crowd = [self.connect() for _ in range(8)]
        for s in crowd[:4]:
            s.sendall(b'{"op":"sh')
        for s in crowd[4:]:  # asks much and reads nothing
            s.sendall(b'{"op":"list"}\n' * 50)
        for i in range(92):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            try:
                s.connect(self.sockets()[0])
            except BlockingIOError:
                pass
            self.addCleanup(s.close)
        began = time.monotonic()
        self.assertEqual(self.shown()["state"], "ask")
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(self.runs("approve", "r1")[0], 0)
        self.assertEqual((self.ended(p)[0], self.paid()), (0, 1))

    def test_a_flood_of_requests_is_refused_and_idle_clients_go(self):
        p = self.start()
        self.waiting()
        idle = self.connect()
        began = time.monotonic()
        self.assertEqual(idle.recv(1), b"")
        self.assertLess(time.monotonic() - began, 6)
        s = self.connect()
        s.sendall(b'{"op":"none"}\n' * 100)
        got = b""
        try:
            while piece := s.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        codes = [json.loads(line)["error"]["code"] for line in got.splitlines()]
        self.assertEqual(codes[-1], "ERATE")
        self.assertLessEqual(len(codes), 66)
        self.runs("deny", "r1")
        self.assertEqual(self.ended(p)[0], 0)


class Replay(WithStore):
    SCRIPTS = (("echo:say one two three", ()),
               ('echo:say let me see; call calculator {"expression":"1+1"}; turn; say it is; say two', ()),
               ('echo:think first\n this; call calculator {"expression":"1+1"}; call fail {}; call time {"zone":5}; turn; think again; call nothing {}; turn; say done', ()),
               ('echo:call pay {"sum":1}; call pay {"sum":2}; turn; say denied', ()),
               ('echo:call pay {"sum":1}; turn; say paid', ("--allow", "pay")),
               ('echo:say a b; call calculator {"expression":"1+1"}; turn; say never', ("--max-turns", "1")),
               ('echo:say ' + 'long ' * 50, ("-n", "5")),
               ('echo:say {"a":1}', ("--schema",)))

    def test_a_replay_is_what_the_run_told(self):
        schema = written(self.folder, "schema.json", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
        for i, (script, args) in enumerate(self.SCRIPTS):
            args = ("--schema", schema) if args == ("--schema",) else args
            code, live, err = self.agent(script, "--run-id", f"j{i}", "--json", "--whole", *args, "go")
            self.assertIn(code, (0, 1), err)
            got, again, err = self.aios("replay", f"j{i}", "--store", self.store, "--json")
            self.assertEqual((got, err), (0, ""))
            told = [line for line in live.splitlines() if not line.startswith('{"type":"error","ok":false')]
            self.assertEqual(again.splitlines(), told, script)
            self.assertEqual(events(again)[-1]["type"], "done" if code == 0 or i == 6 else "error")
            code, live, live_err = self.agent(script, "--run-id", f"t{i}", *args, "go")
            got, again, err = self.aios("replay", f"t{i}", "--store", self.store)
            self.assertEqual((got, again), (0, live), script)
            lines = re.compile("^(?:call  |result) .*$", re.M)
            self.assertEqual(lines.findall(err), lines.findall(live_err), script)

    def test_a_replay_of_a_run_under_a_policy(self):
        path = written(self.folder, "policy.json", {"version": 1, "capabilities": [{"tool": "calculator"}, {"tool": "pay", "verdict": "ask"}]})
        os.chmod(path, 0o600)
        script = 'echo:call calculator {"expression":"1+1"}; call pay {"sum":1}; call time {}; turn; say over'
        code, live, err = self.agent(script, "--run-id", "r1", "--policy", path, "--json", "--whole", "go")
        self.assertEqual(code, 0, err)
        self.assertIn("digest", next(e for e in events(live) if e["type"] == "ask"))
        self.assertEqual(self.aios("replay", "r1", "--store", self.store, "--json")[:2], (0, live))

    def test_whole_events_are_the_pieces_put_together(self):
        script = 'echo:say one two; call calculator {"expression":"1+1"}; turn; say three four'
        pieces = events(self.agent(script, "--run-id", "a", "--json", "go")[1])
        whole = events(self.agent(script, "--run-id", "b", "--json", "--whole", "go")[1])
        join = lambda evs, step: "".join(e["text"] for e in evs if e["type"] == "text" and e["step"] == step)
        for step in (0, 1):
            self.assertEqual(join(pieces, step), join(whole, step))
        self.assertEqual(len([e for e in whole if e["type"] == "text"]), 2)
        self.assertGreater(len([e for e in pieces if e["type"] == "text"]), 2)
        rest = lambda evs: [(e["type"], e.get("name"), e.get("text")) for e in evs if e["type"] in ("call", "result", "done")]
        self.assertEqual(rest(pieces), rest(whole))

    def test_a_run_of_two_lives_is_told_whole(self):
        script = 'echo:call calculator {"expression":"1+1"}; turn; say done'
        first = self.agent(script, "--run-id", "r1", "--json", "--whole", "--max-turns", "1", "go")[1]
        second = self.agent(script, "--resume", "r1", "--json", "--whole")[1]
        self.assertEqual(self.aios("replay", "r1", "--store", self.store, "--json")[1], first + second)

    def test_a_replay_tells_that_the_context_was_full(self):
        turns = "; turn; ".join(f'call calculator {{"expression":"{i}+{i}"}}' for i in range(40))
        for how in ("drop", "summarise", "offload"):
            script = f"echo:set n_ctx 600; {turns}"
            code, live, err = self.agent(script, "--run-id", how, "--json", "--whole", "--max-turns", "60", "--compact", how, "go")
            told = "".join(line + "\n" for line in live.splitlines() if not line.startswith('{"type":"error","ok":false'))
            self.assertIn("context", [e["type"] for e in events(told)], err)
            for _ in range(2):
                self.assertEqual(self.aios("replay", how, "--store", self.store, "--json")[:2], (0, told))
            code, _, live_err = self.agent(script, "--run-id", how + "2", "--max-turns", "60", "--compact", how, "go")
            _, _, err = self.aios("replay", how + "2", "--store", self.store)
            lines = re.compile("^(?:call  |result|context) .*$", re.M)
            self.assertEqual(lines.findall(err), lines.findall(live_err))
            self.assertIn("context was full: ", err)
            steps = [s for s in json.loads(self.runs("show", how, "--timeline", "--json")[1])["steps"] if s["kind"] == "context"]
            self.assertTrue(steps and steps[0]["after"] < steps[0]["before"] and steps[0]["text"])
            self.assertRegex(self.runs("show", how, "--timeline", env={"COLUMNS": "160"})[1], r"context +was full: \w+, \d+ to \d+ tokens")

    def test_what_is_wrong_is_told(self):
        self.assertEqual(self.aios("replay", "r1")[0], 2)
        self.assertEqual(self.aios("replay", "--store", self.store)[0], 2)
        self.agent("echo:say hi", "--run-id", "first", "go")
        code, out, err = self.aios("replay", "frist", "--store", self.store)
        self.assertEqual((code, out), (1, ""))
        self.assertIn("did you mean first?", err)
        self.assertEqual(self.agent("echo:say hi", "--whole", "go")[0], 2)

    def test_records_before_the_damaged_one_are_told(self):
        self.agent('echo:say a; call calculator {"expression":"1+1"}; turn; say b', "--run-id", "r1", "go")
        with sqlite3.connect(self.path("runs.db")) as db:
            n = db.execute("update record set data = x'7b7d' where seq = 4 and stream = (select id from stream where name = 'run/r1')").rowcount
        db.close()
        self.assertEqual(n, 1)
        code, out, err = self.aios("replay", "r1", "--store", self.store)
        self.assertEqual((code, out), (1, "a\n"))
        self.assertRegex(err, "record 4 of stream run/r1")


class Timeline(WithStore):
    def test_steps_have_times_that_grow(self):
        self.agent('echo:say a b; call pay {"sum":1}; turn; say b', "--allow", "pay", "--run-id", "r1", "go", env={"NAP": "0.3"})
        doc = json.loads(self.runs("show", "r1", "--timeline", "--json")[1])
        kinds = [s["kind"] for s in doc["steps"]]
        self.assertEqual(kinds, ["begin", "turn", "intent", "result", "turn", "end"])
        at = [s["at_s"] for s in doc["steps"]]
        self.assertEqual(at, sorted(at))
        result = doc["steps"][3]
        self.assertTrue(0.3 <= result["took_s"] < 5, result)
        self.assertEqual(sum(s.get("tokens", 0) for s in doc["steps"]), doc["run"]["tokens"])
        self.assertEqual((doc["steps"][0]["text"], doc["steps"][1]["calls"][0]["name"]), ("go", "pay"))

    def test_the_view_fits_its_terminal(self):
        self.agent("echo:say " + "wide 한글 \u0007 " * 40 + "; call fail {}; turn; say b", "--run-id", "r1", "go")
        for width in (50, 80, 200):
            out = self.runs("show", "r1", "--timeline", env={"COLUMNS": str(width)})[1]
            self.assertNotIn("\x1b", out)
            self.assertNotIn("\x07", out)
            for line in out.splitlines()[1:]:
                self.assertLessEqual(len(line) + len(re.findall("[가-힣]", line)), width, line)
        self.assertIn("failed: ETOOL", out)
        self.assertIn("#", out)
        self.assertIn("\x1b[31m", self.runs("show", "r1", "--timeline", env={"CLICOLOR_FORCE": "1"})[1])


class Verbs(WithStore):
    def test_lists_are_narrowed_by_state(self):
        script = 'echo:call calculator {"expression":"1+1"}; turn; say done'
        self.agent(script, "--run-id", "a", "go")
        self.agent(script, "--run-id", "b", "--max-turns", "1", "go")
        ids = lambda *args: [r["id"] for r in events(self.runs("list", "--json", *args)[1])]
        self.assertEqual((ids(), ids("--state", "done"), ids("--state", "stopped"), ids("--state", "ask")), (["a", "b"], ["a"], ["b"], []))
        code, _, err = self.runs("list", "--state", "don")
        self.assertEqual(code, 2)
        self.assertIn("did you mean done?", err)

    def test_wrong_usage_says_what_to_do(self):
        for args in (("sohw", "r1"), ("show",), ("list", "r1"), ("approve",), ("show", "r1", "r2"), ("list", "--timeline"), ("show", "r1", "--state", "done")):
            code, out, err = self.runs(*args)
            self.assertEqual((code, out), (2, ""), args)
        self.assertIn("did you mean show?", self.runs("sohw", "r1")[2])
        self.assertIn("approve", self.aios("runs", "--help")[1])
        self.assertEqual(self.aios("agent", "--wait", "-m", "echo:say hi", "go")[0], 2)
        self.assertEqual(self.aios("agent", "--audit", "-m", "echo:say hi", "go")[0], 2)

    def test_no_store_is_made_by_asking(self):
        for args in (("list",), ("show", "r1"), ("approve", "r1"), ("cancel", "r1"), ("audit",)):
            self.assertNotEqual(self.runs(*args)[0], 0)
        self.assertFalse(os.path.exists(self.path("runs.db")))

    def test_other_options_on_resume_are_told_with_those_of_before(self):
        os.mkdir(self.path("it's"))
        self.agent(PAY, "--run-id", "r1", "--max-turns", "1", "--allow", "pay", "--root", self.path("it's"), "go")
        code, _, err = self.runs("resume", "r1", "-m", PAY)
        self.assertEqual(code, 1)
        self.assertRegex(err, r"^error: .*its tool pay is gone.*--changed\) \(ESTATE\)\nhint: ")
        hint = re.search(r"^hint: it was begun with what this has: (aios runs resume r1 .*)$", err, re.M).group(1)
        self.assertIn(f" --tools {self.tools} ", hint)
        self.assertIn("/it'\\''s'", hint)
        self.assertEqual(self.pasted(hint), (0, "over\n"))
        self.assertEqual(self.paid(), 1)

    def test_what_differs_is_named_and_may_be_allowed(self):
        schema = written(self.folder, "schema.json", {"type": "object"})
        policy = written(self.folder, "policy.json", {"version": 1, "capabilities": [{"tool": "calculator"}]})
        os.chmod(policy, 0o600)
        script = 'echo:call calculator {"expression":"1+1"}; turn; say {"a":1}'
        self.assertEqual(self.agent(script, "--run-id", "r1", "--max-turns", "1", "go")[0], 1)
        for word, args in (("its schema is another", ["--schema", schema]), ("its sampling", ["--temp", "0.5"]), ("its choice of tools", ["--require"]),
                           ("the tool recall is new", ["--memory", "memory:"]), ("its policy is new", ["--policy", policy]), ("its tool time is gone", ["--no-builtin"])):
            code, out, err = self.runs("resume", "r1", "-m", script, "--tools", self.tools, *args)
            self.assertEqual((code, out), (1, ""), word)
            self.assertIn(word, err)
        self.assertEqual(self.runs("resume", "r1", "-m", script, "--tools", self.tools, "--temp", "0.5", "--changed")[:2], (0, '{"a":1}\n'))
        self.assertEqual(self.agent(script, "--changed", "go")[0], 2)
        code, _, err = self.runs("resume", "r1", "--system", "x")
        self.assertEqual(code, 2)
        self.assertIn("--system", err)

    def test_a_limit_that_ended_a_run_is_raised_in_the_line_that_goes_on(self):
        script = 'echo:delay 9; call calculator {"expression":"1+1"}; turn; call time {}; turn; say done'
        prices = ("--prices", "1000,2000")
        for i, (args, word) in enumerate((("--max-turns 1", "--max-turns 2"), ("--max-calls 1", "--max-calls 2"), ("--max-tokens 1", "--max-tokens"),
                                          ("--max-cost 0.000001", "--max-cost"), ("--timeout 0.001", "--timeout"))):
            code, out, err = self.agent(script, "--run-id", f"r{i}", *args.split(), *(prices if "cost" in args else ()), "go")
            self.assertEqual((code, out), (124 if "timeout" in args else 1, ""), err)
            for _ in range(40):  # each life gets further
                error, hint = err.splitlines()[-2:]
                self.assertTrue(error.startswith("error: "), err)
                self.assertEqual(hint.count(args.split()[0]), 1, hint)
                self.assertIn(word, hint)
                word = ""
                code, out, err = self.paste(hint.split(": ", 2)[2])
                if code == 0:
                    break
            self.assertEqual((code, out), (0, "done\n"), err)
        schema = written(self.folder, "schema.json", {"type": "string"})
        code, _, err = self.agent('echo:say "one two three four"', "--schema", schema, "-n", "2", "--run-id", "cut", "go")
        self.assertEqual(code, 1)
        self.assertRegex(err.splitlines()[-1], "^hint: .* --predict 4$")
        self.assertEqual(self.pasted(err.splitlines()[-1].split(": ", 2)[2]), (0, '"one two three four"\n'))
        script = 'echo:call calculator {"expression":"1+1"}; turn; say done'
        self.agent(script, "--run-id", "own", "--max-turns", "1", "go")
        self.assertEqual(self.pasted(self.shown("own")["resume"]), (0, "done\n"))
        self.assertNotIn("resume", self.shown("own"))
        code, out, err = self.agent(script, "--max-turns", "1", "--json", "go")
        self.assertNotIn("hint", out + err)

    def test_a_run_whose_process_was_killed_is_known_and_its_call_is_named(self):
        p = self.start(PAY, "--allow", "pay", env={"NAP": "20"})
        self.until(self.paid, "the tool")
        p.send_signal(signal.SIGKILL)
        p.wait()
        row = self.runs("list")[1]
        self.assertRegex(row, r"^r1 +tools +1 turn    1 call  .* 1 unknown  no process\n$")
        run = self.shown()
        self.assertEqual((run["live"], run["unknown"], run["begun"]), (False, 1, [{"call_id": "call_1", "name": "pay", "arguments": {"sum": 1}}]))
        text = self.runs("show", "r1")[1]
        self.assertRegex(text, r'begun    pay \{"sum":1\}  \(call_1\)  nobody knows')
        line = re.search("^next     (aios runs resume r1 .*)$", text, re.M).group(1)
        self.assertIn("--wait", text)
        q = subprocess.Popen(["/bin/sh", "-c", "exec " + line.replace("aios", AIOS, 1) + " --wait"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env={**os.environ, **self.env})
        self.addCleanup(self.stop, q)
        told = b"".join(iter(lambda: q.stderr.read(1), b"y"))  # to the y of deny
        while b"aios runs deny" not in told + b"y":
            told += b"y" + b"".join(iter(lambda: q.stderr.read(1), b"y"))
        run = self.until(lambda: self.shown() if self.shown().get("waits") else None, "the question")
        self.assertEqual((run["live"], run["unknown"], run["waits"][0]["unknown"], "running" in run), (True, 1, True, False))
        deny = re.search(r"^decide   (aios runs approve .*)    \(or deny\)$", self.runs("show", "r1")[1], re.M).group(1).replace("approve", "deny")
        self.assertEqual(self.paste(deny)[0], 0)
        code, out, err = self.ended(q)
        self.assertEqual((code, out, self.paid()), (0, "over\n", 1), err)

    def test_who_may_not_be_asked_is_told_what_to_do(self):
        code, _, err = self.aios("agent", "--store", "memory:", "--wait", "-m", "echo:", "go")
        self.assertEqual(code, 2)
        self.assertIn("leave --wait out", err)
        p = self.start(PAY, "--allow", "pay", env={"NAP": "20"})
        self.until(self.paid, "the tool")
        p.send_signal(signal.SIGKILL)
        p.wait()
        code, _, err = self.runs("resume", "r1", "-m", PAY, "--tools", self.tools, "--allow", "pay")
        self.assertEqual((code, self.paid()), (0, 1))
        self.assertRegex(err, "not repeated: pay .*--wait")

    def test_what_is_not_there_has_its_exit_code(self):
        self.agent("echo:say hi", "--run-id", "first", "go")
        for verb in (("show", "x"), ("show", "x", "--timeline"), ("resume", "x", "-m", "echo:"), ("approve", "x"), ("deny", "x"), ("cancel", "x")):
            code, _, err = self.runs(*verb)
            self.assertEqual(code, 1, (verb, err))
            self.assertIn("(ENOENT)", err)
        self.assertEqual(self.aios("replay", "x", "--store", self.store)[0], 1)
        broken = written(self.folder, "broken.db", "no database, whatever it is called" * 99)
        for store in ("mysql:x", "sqlite", "", "sqlite:/none/x.db", "sqlite:" + self.path("none.db"), "sqlite:" + broken):
            self.assertEqual(self.aios("runs", "list", "--store", store)[0], 2, store)
            self.assertEqual(self.aios("replay", "x", "--store", store)[0], 2, store)
            if "none.db" not in store:
                self.assertEqual(self.aios("agent", "-m", "echo:", "--store", store, "go")[0], 2, store)
        plugins = self.path("plugins")
        os.mkdir(plugins)
        for name in ("store_postgres.so", "store_x.txt", "other.so"):
            written(plugins, name, "")
        self.assertRegex(self.aios("runs", "--store", "mysql:x", env={"AIOS_PLUGIN_DIR": plugins})[2], r"there are .*sqlite.*, postgres \(ENOTSUP\)")


class Audit(WithStore):
    def key(self, digit="a"):
        path = written(self.folder, f"key-{digit}", digit * 64 + "\n")
        os.chmod(path, 0o600)
        return path

    def run_audited(self, run="r1", *args):
        return self.agent(PAY, "--run-id", run, "--allow", "pay", "--audit", "--audit-key", self.key(), "--anchor", self.path("anchors"), *args, "go")

    def audit(self, *args, key="a", anchor="anchors"):
        return self.runs("audit", *args, "--audit-key", self.key(key), "--anchor", self.path(anchor))

    def test_a_run_without_rows_is_not_whole(self):
        self.run_audited()
        self.agent(PAY, "--run-id", "bare", "--allow", "pay", "go")
        for run in ("bare", "nosuch"):
            code, out, err = self.audit(run)
            self.assertEqual((code, out), (1, ""))
            self.assertIn(f"no row of run {run}", err)

    def test_an_audit_that_is_whole(self):
        code, out, err = self.run_audited()
        self.assertEqual((code, out), (0, "over\n"), err)
        self.run_audited("r2")
        code, out, err = self.audit()
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"whole: 12 rows, head 12 [0-9a-f]{64}, signed, anchored\n$")
        rows = events(self.audit("r2", "--json")[1])
        self.assertEqual([r["kind"] for r in rows[:-1]], ["begin", "turn", "intent", "result", "turn", "end"])
        self.assertEqual((rows[0]["run"], rows[0]["record"], rows[0]["row"], rows[-1]["ok"]), ("r2", 1, 7, True))
        self.assertEqual(rows[2]["is"]["due"][0]["call"], 0)

    def test_what_is_not_as_it_was_is_named(self):
        self.run_audited()
        code, _, err = self.audit(key="b")
        self.assertEqual(code, 1)
        self.assertIn("row 1 is not signed", err)
        with open(self.path("later"), "w") as f:
            f.write("9 " + "0" * 64 + "\n")
        code, _, err = self.audit(anchor="later")
        self.assertEqual(code, 1)
        self.assertIn("row 7 is missing", err)
        db = sqlite3.connect(self.path("runs.db"))
        self.assertEqual(db.execute("update record set data = data || 'x' where seq = 3 and stream = (select id from stream where name = 'audit')").rowcount, 1)
        db.commit()
        db.close()
        code, out, err = self.audit("--json")
        self.assertEqual(code, 1)
        self.assertRegex(events(out)[-1]["error"]["message"], "record 3 of stream audit")

    def forge(self, stream, seq, change):
        """Changes a record as somebody would who knows the format of the file."""
        db = sqlite3.connect(self.path("runs.db"))
        number, = db.execute("select id from stream where name = ?", (stream,)).fetchone()
        wall, kind, data, was = db.execute("select wall, kind, data, sum from record where stream = ? and seq = ?", (number, seq)).fetchone()
        make = lambda d: sum64(sum64(1, struct.pack("<QQqQQ", number, seq, wall, kind, len(d))), d)
        self.assertEqual(make(data), was & MASK)
        new = change(bytes(data))
        self.assertNotEqual(new, data)
        total = make(new)
        db.execute("update record set data = ?, sum = ? where stream = ? and seq = ?", (new, total - (total >> 63 << 64), number, seq))
        db.commit()
        db.close()

    def test_a_forged_record_is_named(self):
        self.run_audited()
        self.run_audited("r2")
        self.assertEqual(self.audit()[0], 0)
        self.forge("run/r2", 4, lambda d: d.replace(b'"status":0', b'"status":-9'))
        self.assertEqual(self.aios("replay", "r2", "--store", self.store)[0], 0)  # a journal like any other
        code, out, err = self.audit("--json")
        self.assertEqual(code, 1)
        self.assertIn("audit, at row 10: record 4 of run r2 is another in its journal", next(e for e in events(out) if "error" in e)["error"]["message"])
        self.forge("audit", 3, lambda d: d.replace(b'"due":', b'"DUE":'))
        self.assertIn("row 3 has another hash", self.audit()[2])

    def records(self, stream, change):
        """Lets change(list of (wall, kind, data)) rewrite a stream, with all sums as they would be."""
        db = sqlite3.connect(self.path("runs.db"))
        number, first, wall = db.execute("select id, first, wall from stream where name = ?", (stream,)).fetchone()
        rows = [(w, k, bytes(d)) for w, k, d in db.execute("select wall, kind, data from record where stream = ? order by seq", (number,))]
        change(rows)
        signed = lambda x: x - (x >> 63 << 64)
        db.execute("delete from record where stream = ?", (number,))
        for seq, (w, k, d) in enumerate(rows, first):
            total = sum64(sum64(1, struct.pack("<QQqQQ", number, seq, w, k, len(d))), d)
            db.execute("insert into record(stream, seq, wall, kind, sum, data) values(?, ?, ?, ?, ?, ?)", (number, seq, w, k, signed(total), d))
        head = first + len(rows) - 1
        total = sum64(sum64(1, struct.pack("<QQQq", number, first, head, wall)), stream.encode())
        db.execute("update stream set head = ?, sum = ? where id = ?", (head, signed(total), number))
        db.commit()
        db.close()

    def rows(self, change):
        """Likewise the rows of a plain chain, whose hashes anybody can make anew: change gets (wall, kind, JSON)."""
        def chained(list_):
            texts = [(w, k, d[80:]) for w, k, d in list_]
            times = [struct.unpack_from("<q", d, 8)[0] for _, _, d in list_] + [0] * 9
            change(texts)
            before = hashlib.sha256(b"aios audit 1\naudit").digest()
            list_.clear()
            for i, (w, k, text) in enumerate(texts):
                before = hashlib.sha256(before + struct.pack("<QQQqQ", i + 1, k, 0, times[i], len(text)) + text).digest()
                list_.append((w, k, b"AUD1" + struct.pack("<Iq", 0, times[i]) + before + bytes(32) + text))
        self.records("audit", chained)

    def changed(self, how, change, expect, *args):
        """One change of a whole audit is found, and nothing else is."""
        self.assertEqual(self.runs("audit", *args)[0], 0)
        shutil.copy(self.path("runs.db"), self.path("whole.db"))
        how(change)
        code, out, err = self.runs("audit", *args)
        self.assertEqual(code, 1, out)
        self.assertRegex(err, expect)
        shutil.copy(self.path("whole.db"), self.path("runs.db"))

    def test_each_record_that_was_put_in_taken_out_or_moved_is_found(self):
        self.agent(PAY, "--run-id", "r1", "--allow", "pay", "--audit", "go")
        self.agent(PAY, "--run-id", "r2", "--allow", "pay", "--audit", "go")
        journal = lambda change: self.records("run/r1", change)
        self.rows(lambda rows: None)  # the chain made anew is the chain
        for i in range(6):
            said = rf"record {i + 1} of run r1 is another in its journal"
            self.changed(journal, lambda rows: rows.insert(i, rows[i - 1]), said)
            self.changed(journal, lambda rows: rows.pop(i), said if i < 5 else "record 6 of run r1 (cannot be read|is another)")
            self.changed(journal, lambda rows: rows.__setitem__(i, (rows[i][0], rows[i][1] + 1, rows[i][2])), said)
            if i:
                self.changed(journal, lambda rows: rows.insert(i - 1, rows.pop(i)), rf"record {i} of run r1 is another in its journal")
        self.changed(journal, lambda rows: rows.append(rows[-1]), "record 7 of run r1 has no row: it was written without the audit")

    def test_each_row_that_was_put_in_taken_out_or_moved_is_found(self):
        self.agent(PAY, "--run-id", "r1", "--allow", "pay", "--audit", "go")
        self.agent(PAY, "--run-id", "r2", "--allow", "pay", "--audit", "go")
        for i in range(12):
            run, record = ("r1", i + 1) if i < 6 else ("r2", i - 5)
            self.changed(self.rows, lambda rows: rows.pop(i), f"record {record} of run {run} has no row")
            self.changed(self.rows, lambda rows: rows.insert(i, rows[i]), f"record {record} of run {run} has its row in another place, or twice")
            if record > 1:
                self.changed(self.rows, lambda rows: rows.insert(i - 1, rows.pop(i)), f"record {record - 1} of run {run} has no row before this one")
            self.changed(self.rows, lambda rows: rows.__setitem__(i, (rows[i][0], rows[i][1] + 1, rows[i][2])), f"record {record} of run {run} is another", run)

    def test_rows_that_are_made_anew_need_the_key(self):
        self.run_audited()
        self.assertEqual(self.audit()[0], 0)
        self.rows(lambda rows: rows.insert(2, rows[1]))
        self.assertIn("row 1 is not signed with the key", self.audit()[2])

    def test_a_run_has_all_rows_or_none(self):
        self.run_audited("r1", "--max-turns", "1")
        self.agent(PAY, "--run-id", "r2", "--allow", "pay", "--max-turns", "1", "go")
        code, _, err = self.agent(PAY, "--resume", "r1", "--allow", "pay")
        self.assertEqual(code, 2)
        self.assertIn("run r1 has an audit: go on with --audit", err)
        code, _, err = self.agent(PAY, "--resume", "r2", "--allow", "pay", "--audit", "--audit-key", self.key())
        self.assertEqual(code, 2)
        self.assertIn("was begun without an audit", err)
        code, _, err = self.agent(PAY, "--resume", "r1", "--allow", "pay", "--audit")
        self.assertEqual(code, 1)
        self.assertIn("--audit-key FILE", err)
        self.assertEqual(self.agent(PAY, "--resume", "r1", "--allow", "pay", "--audit", "--audit-key", self.key())[:2], (0, "over\n"))
        self.assertEqual(self.agent(PAY, "--resume", "r2", "--allow", "pay")[:2], (0, "over\n"))
        self.assertEqual(self.agent(PAY, "--resume", "r3", "--audit", "--audit-key", self.key())[0], 1)
        self.assertEqual(self.audit()[0], 0)

    def killed(self, run="r1", *args):
        p = self.start(PAY, *args, run=run)
        self.until(lambda: self.shown(run).get("state") == "ask" and self.shown(run).get("waits"), "a call that waits")
        p.send_signal(signal.SIGKILL)
        p.wait()

    def test_what_is_decided_away_has_its_rows(self):
        for verb, answer, kinds in (("approve", "over\n", ["begin", "turn", "ask", "decision", "resume", "intent", "result", "turn", "end"]),
                                    ("deny", "over\n", ["begin", "turn", "ask", "decision", "resume", "result", "turn", "end"]),
                                    ("cancel", None, ["begin", "turn", "ask", "end"])):
            for signs in ((), ("--audit-key", self.key())):
                run = verb + str(len(signs))
                store, self.store = self.store, f"sqlite:{self.path(run)}.db"
                self.killed(run, "--audit", *signs)
                if signs:
                    code, out, err = self.runs(verb, run)
                    self.assertEqual((code, out), (1, ""))
                    self.assertRegex(err, "rows are signed.*--audit-key FILE")
                    self.assertEqual(self.shown(run)["records"], 3)
                    code, _, err = self.runs(verb, run, "--audit-key", self.key("b"))
                    self.assertEqual(code, 1)
                    self.assertIn("not signed with the key", err)
                    self.assertEqual(self.shown(run)["records"], 3)
                code, out, err = self.runs(verb, run, *signs, "--anchor", self.path("anchors"))
                self.assertEqual((code, err), (0, ""))
                self.assertEqual(self.runs("audit", *signs, "--anchor", self.path("anchors"))[0], 0)
                if answer:
                    self.assertEqual(self.aios("runs", "resume", run, "--store", self.store, "-m", PAY, "--tools", self.tools, "--audit", *signs)[:2], (0, answer))
                rows = events(self.runs("audit", run, *signs, "--json")[1])
                self.assertEqual([r["kind"] for r in rows[:-1]], kinds)
                self.store = store

    def test_another_process_keeps_the_audit_for_it(self):
        self.killed("r1", "--audit", "--audit-key", self.key())
        p = self.start(run="r2")
        self.until(lambda: self.shown("r2").get("state") == "ask", "the second run")
        for verb in ("approve", "cancel"):
            code, _, err = self.runs(verb, "r1", "--audit-key", self.key())
            self.assertEqual(code, 1)
            self.assertRegex(err, rf"run r1 has an audit, and the process that has the store \({p.pid}\) keeps none.*--audit")
        self.assertEqual(self.runs("deny", "r2")[0], 0)
        self.assertEqual(self.ended(p)[0], 0)
        self.assertEqual(self.runs("audit", "--audit-key", self.key())[0], 0)
        p = self.start(PAY, "--audit", "--audit-key", self.key(), run="r3")
        self.until(lambda: self.shown("r3").get("state") == "ask", "the third run")
        self.assertEqual(self.runs("approve", "r1")[0], 0)
        self.assertEqual(self.runs("deny", "r3")[0], 0)
        self.assertEqual(self.ended(p)[0], 0)
        rows = events(self.runs("audit", "--audit-key", self.key(), "--json")[1])
        self.assertEqual([(r["run"], r["kind"]) for r in rows[3:8]], [("r3", "begin"), ("r3", "turn"), ("r3", "ask"), ("r1", "decision"), ("r3", "decision")])
        self.assertTrue(rows[-1]["ok"])

    def test_a_key_is_the_users_alone(self):
        self.run_audited()
        os.chmod(self.key(), 0o644)
        path = self.path("key-a")
        os.chmod(path, 0o644)
        code, _, err = self.runs("audit", "--audit-key", path)
        self.assertEqual(code, 2)
        self.assertIn("chmod 600", err)
        self.assertEqual(self.runs("audit", "--audit-key", written(self.folder, "short", "ab"))[0], 2)

    def test_a_store_without_an_audit(self):
        self.agent("echo:say hi", "go")
        self.assertIn("aios agent --audit keeps one", self.runs("audit")[2])


if __name__ == "__main__":
    main()

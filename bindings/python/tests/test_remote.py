#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models behind HTTP: a server of the library's own (AIOS_TEST_SERVE, tests/net/serve.c), and one of the standard library that refuses."""
import contextlib
import http.server
import io
import json
import logging
import os
import re
import subprocess
import threading
import time
import unittest
import unittest.mock

from support import ADD, HERE, Base, aios, main, python

SERVE = os.environ.get("AIOS_TEST_SERVE", "")
KEY = "sk-canary-7f3a91c2"
OK = {"id": "c", "choices": [{"index": 0, "delta": {"content": "fine"}, "finish_reason": "stop"}]}


@contextlib.contextmanager
def serve(model):
    """The port of a server of a model; it ends with its input."""
    with subprocess.Popen([SERVE, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


class Seen(http.server.BaseHTTPRequestHandler):
    """Answers each request as the row of its server that is next, and keeps what it was asked."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(dict(self.headers))
        status, body, wait = self.server.rows.pop(0) if self.server.rows else (200, None, 0)
        time.sleep(wait)
        text = json.dumps(body) if body else f"data: {json.dumps(OK)}\n\ndata: [DONE]\n\n"
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if body else "text/event-stream")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, *args):  # pylint: disable=arguments-differ
        pass


@contextlib.contextmanager
def mock(*rows):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Seen) as server:
        server.seen, server.rows = [], list(rows)
        server.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@unittest.skipUnless(aios.has("curl"), "built without curl")
class RemoteBase(Base):
    def remote(self, port_or_url, **options):
        url = f"http://127.0.0.1:{port_or_url}/v1" if isinstance(port_or_url, int) else port_or_url
        return aios.Model(url + "#m", self.context, **options)


@unittest.skipUnless(SERVE, "AIOS_TEST_SERVE is not set")
class Served(RemoteBase):
    def test_a_session_does_not_know_where_its_model_is(self):
        script = "echo:think hm; say Grüße 안녕 \U0001F600 end"
        with serve(script) as port:
            there, here = self.remote(port), aios.Model(script, self.context)
            replies = [m.session().complete("hi", sampling={"temperature": 0}) for m in (there, here)]
            self.assertEqual(*[(r.text, r.reasoning, r.reason, r.usage[0].input, r.usage[0].output) for r in replies])
            self.assertEqual("".join(there.session().stream("hi")), replies[1].text)
            self.assertEqual(there.session(threaded=True).complete("hi").text, replies[1].text)
            self.assertEqual(there.info["privacy"], aios.PRIVACY_LOCAL)

    def test_an_agent_and_its_tools(self):
        with serve('echo:call add {"a":2,"b":3}; turn; say done') as port:
            toolset = aios.Toolset(self.context)
            toolset.add(lambda a, b: a + b, schema=ADD, name="add", effect="read")
            reply = aios.Agent(self.remote(port), toolset).run("2 + 3?")
            self.assertEqual((reply.text, [c.arguments for c in reply.calls]), ("done", [{"a": 2, "b": 3}]))

    def test_the_example_of_the_readme_runs(self):
        block = re.search(r"```py\n(.*?)```", (HERE.parent / "README.md").read_text(encoding="utf-8"), re.S).group(1)
        out = io.StringIO()
        with serve("echo:say because of the air") as port, contextlib.redirect_stdout(out):
            variables = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
            with unittest.mock.patch.dict(os.environ, variables):
                exec(block, {"aios": aios})
        self.assertEqual(out.getvalue(), "because of the air\n['m']\n")

    def test_the_list_of_models(self):
        with serve("echo:say x") as port:
            self.assertEqual([m["id"] for m in self.remote(port).models()], ["m"])
        self.fails("ENOTSUP", self.model("say x").models)

    def test_a_cancel_ends_a_slow_stream(self):
        with serve("echo:set slow 50; say " + "word " * 200) as port:
            session = self.remote(port).session()
            turn = session.start("hi")
            while next(turn).kind != "text":
                pass
            at = time.monotonic()
            turn.close()
            self.assertLess(time.monotonic() - at, 2)

    def test_failures_of_the_model_come_over(self):
        with serve("echo:say so far; fail EIO the cable is cut") as port:
            with self.assertRaises(aios.Error) as caught:
                self.remote(port, max_retries=0).session().complete("hi")
            self.assertIn("the cable is cut", caught.exception.message)
        with serve("echo:set n_ctx 16; say x") as port:
            e = self.fails("ECONTEXT", self.remote(port).session().complete, "word " * 100)
            self.assertEqual((e.have > 0, e.need > e.have), (True, True))


class Rights(RemoteBase):
    def test_a_key_and_headers_are_sent(self):
        with mock() as server:
            model = self.remote(server.url, api_key=KEY, headers={"X-Team": "blue"})
            self.assertEqual(model.session().complete("hi").text, "fine")
            self.assertEqual((server.seen[0]["Authorization"], server.seen[0]["X-Team"]), (f"Bearer {KEY}", "blue"))

    def test_a_credential_is_asked_before_each_attempt(self):
        asked = []

        def credential(origin):
            asked.append(origin)
            return f"{KEY}-{len(asked)}"
        with mock((503, {"error": {"message": "busy"}}, 0)) as server:
            session = self.remote(server.url, credential=credential, max_retries=1).session()
            self.assertEqual(session.complete("hi").text, "fine")
            self.assertEqual([h["Authorization"] for h in server.seen], [f"Bearer {KEY}-1", f"Bearer {KEY}-2"])
            self.assertEqual(asked, [server.url[:-3]] * 2)

    def test_a_credential_outlives_the_handle_of_its_model_and_no_key_is_none(self):
        with mock() as server:
            session = self.remote(server.url, credential=lambda origin: None).session()
            session.model.close()
            session.complete("hi")
            self.assertNotIn("Authorization", server.seen[0])

    def test_what_a_credential_raises_is_raised(self):
        class NoKey(Exception):
            pass

        def credential(origin):
            raise NoKey(KEY)
        with mock() as server:
            with self.assertLogs("aios", "ERROR") as caught:
                model = self.remote(server.url, credential=credential)
                for use in (model.session().complete, lambda prompt: aios.Agent(model).run(prompt), lambda prompt: model.models()):
                    with self.assertRaises(NoKey):
                        use("hi")
                self.fails("EAUTH", model.session(threaded=True).complete, "hi")
            self.assertNotIn(KEY, "".join(caught.output))
            for wrong in (3, "x" * 9000, "a\0b"):
                with self.assertRaises((TypeError, ValueError)), self.assertLogs("aios", "ERROR"):
                    self.remote(server.url, credential=lambda origin, key=wrong: key).session().complete("hi")
            self.assertEqual(server.seen, [])

    def test_an_interrupt_in_a_credential_passes(self):
        def credential(origin):
            raise KeyboardInterrupt
        with mock() as server, self.assertRaises(KeyboardInterrupt), self.assertLogs("aios", "ERROR"):
            self.remote(server.url, credential=credential).session().complete("hi")

    def test_the_environment_is_taken_unless_it_is_said_not_to(self):
        code = """
import aios
for uri, options in (("openai:m", {}), ("openai:m", {"env": False, "base_url": URL}), ("openai:m", {"api_key": "own"}),
                     ("openai:m", {"credential": lambda origin: "asked"}), (URL + "#m", {})):
    print(aios.Model(uri, **options).session().complete("hi").text)
"""
        with mock() as server:
            done = python(code.replace("URL", repr(server.url)), OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.url)
            self.assertEqual((done.stdout.split(), done.stderr), (["fine"] * 5, ""))
            self.assertEqual([h.get("Authorization") for h in server.seen], [f"Bearer {KEY}", None, "Bearer own", "Bearer asked", None])


class Secrets(RemoteBase):
    def test_no_key_is_in_anything_that_can_be_read(self):
        lines = []
        self.context = aios.Context(log=lambda level, message: lines.append(message), log_level="debug")
        options = {"api_key": KEY, "headers": {"X-Secret": KEY + "-header"}, "max_retries": 0}
        refusal = {"error": {"message": "no such key", "code": "invalid_api_key"}}
        with mock((401, refusal, 0)) as server, self.assertLogs("aios", "DEBUG") as caught:
            logging.getLogger("aios").debug("there must be one")
            model = self.remote(server.url, **options)
            session = model.session()
            e = self.fails("EAUTH", session.complete, "hi")
            read = [str(e), repr(e), e.message, str(e.args), repr(model), str(model.info), repr(session), str(vars(model)), str(vars(session))]
        for wrong in ({"headers": {"X": KEY + "\n"}}, {"headers": {"X": 3}}, {"headers": [KEY]}, {"api_key": KEY + " "}, {"api_key": KEY + "\0"},
                      {"proxy": "http://" + KEY + "\0"}, {"no_such": KEY}):
            with self.assertRaises((TypeError, ValueError, aios.Error)) as raised:
                self.remote(server.url, **wrong)
            read.append(str(raised.exception))
        self.assertNotIn(KEY, "\n".join(read + lines + caught.output))


class Limits(RemoteBase):
    def test_failures_are_typed_and_counted(self):
        for status, name in ((401, "EAUTH"), (403, "EAUTH"), (404, "ENOENT"), (429, "ERATE"), (503, "EUNAVAIL")):
            with mock(*[(status, {"error": {"message": "says no"}}, 0)] * 5) as server:
                e = self.fails(name, self.remote(server.url, max_retries=0).session().complete, "hi")
                self.assertIn("says no", e.message)
                self.assertEqual(len(server.seen), 1)

    def test_deadlines_are_in_seconds(self):
        for option in ("first_byte_timeout", "total_timeout"):
            with mock((200, None, 3)) as server:
                at = time.monotonic()
                self.fails("ETIMEDOUT", self.remote(server.url, max_retries=0, **{option: 0.1}).session().complete, "hi")
                self.assertLess(time.monotonic() - at, 2)

    def test_a_body_that_is_too_long_is_not_read(self):
        with mock() as server:
            with self.assertRaises(aios.Error):
                self.remote(server.url, max_body=16, max_retries=0).session().complete("hi")

    def test_nobody_there(self):
        with mock() as server:
            url = server.url
        self.fails("EUNAVAIL", self.remote(url, max_retries=0).session().complete, "hi")

    def test_plain_http_is_for_this_machine_unless_it_is_allowed(self):
        self.assertIn("https://", self.fails("EDENIED", self.remote, "http://192.0.2.1/v1").message)
        self.assertEqual(self.remote("http://192.0.2.1/v1", plain_http=True).info["privacy"], aios.PRIVACY_REMOTE)
        self.assertEqual(self.context.probe("http://192.0.2.1/v1#m")["code"], aios.EDENIED)

    def test_arguments_are_checked(self):
        for wrong in ({"api_key": 3}, {"headers": "X: y"}, {"credential": "key"}, {"api_key": "k", "credential": lambda origin: "k"},
                      {"total_timeout": "1"}, {"max_retries": 1.5}, {"timeout": 3}):
            with self.assertRaises(TypeError):
                self.remote("http://127.0.0.1:1/v1", **wrong)
        for wrong in ({"idle_timeout": -1}, {"max_retries": -1}, {"requests_per_minute": 1 << 32}, {"max_body": -1}):
            with self.assertRaises(ValueError):
                self.remote("http://127.0.0.1:1/v1", **wrong)


if __name__ == "__main__":
    main()

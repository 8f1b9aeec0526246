#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The aios command end to end: on the scripted model always, on the real default model where AIOS_TEST_MODEL names it."""
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

AIOS = os.environ.get("AIOS_CLI", "build/cli/aios")
MODEL = os.environ.get("AIOS_TEST_MODEL", "")
TEXT = "Hello, world!  3.14 f(x) = {\"a\": [1, 2]}\n\t안녕하세요 Grüße 👩‍👩‍👧 café <|im_start|>\n"


def aios(*args, stdin="", env=None, timeout=240):
    """Runs the command; (exit code, stdout, stderr)."""
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    p = subprocess.run([AIOS, *args], input=data, capture_output=True, timeout=timeout, env={**os.environ, **(env or {})})
    return p.returncode, p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace")


def events(out):
    return [json.loads(line) for line in out.splitlines()]


class Command(unittest.TestCase):
    def test_help_names_every_command_and_exit_code(self):
        code, out, _ = aios("--help")
        self.assertEqual(code, 0)
        for word in ("devices", "inspect", "tokenize", "detokenize", "template", "run", "chat", "agent", "grammar", "validate", "logits", "bench", "130"):
            self.assertIn(word, out)
        self.assertIn("--schema", aios("run", "--help")[1])

    def test_wrong_usage_exits_2_and_says_what_to_do(self):
        for args in (["nonsense"], ["run", "--no-such"], ["run", "-n", "x", "hi"], ["run", "--temp", "nan", "hi"], ["bench", "-p"], [],
                     ["grammar"], ["grammar", "chek", "x.json"], ["grammar", "check"], ["grammar", "check", "x.unknown"], ["grammar", "check", "/nonexistent/x.json"],
                     ["grammar", "check", "--regex", "a", "--schema", "x.json"], ["grammar", "sample", "--regex", "a", "more"], ["validate"],
                     ["validate", "/nonexistent/s.json", "-"], ["run", "--regex", "a", "--grammar", "x.gbnf", "hi"]):
            code, out, err = aios(*args)
            self.assertEqual((code, out), (2, ""), args)
            self.assertTrue(err)

    def test_devices_tells_the_cpu(self):
        code, out, _ = aios("devices", "--json")
        self.assertEqual(code, 0)
        info = json.loads(out)
        self.assertGreaterEqual(info["cpu"]["usable"], 1)
        self.assertEqual(info["devices"][0]["name"], "cpu")
        self.assertGreater(info["cpu"]["memory_limit"], 0)

    def test_a_missing_model_exits_3_and_names_the_file(self):
        code, _, err = aios("run", "-m", "/nonexistent/x.gguf", "hi")
        self.assertEqual(code, 3)
        self.assertIn("/nonexistent/x.gguf", err)

    def test_a_damaged_model_exits_3(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as f:
            for content in (b"", b"GGUF", b"GGUF" + b"\xff" * 200, b"not a model at all, whatever its name says" * 10):
                f.seek(0)
                f.truncate()
                f.write(content)
                f.flush()
                code, _, err = aios("run", "-m", f.name, "hi")
                self.assertEqual(code, 3, err)
                self.assertIn(f.name, err)


PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
          "role": {"enum": ["admin", "user"]}}, "required": ["name", "age", "role"], "additionalProperties": False}


DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")


def written(folder, name, content):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(content if isinstance(content, str) else json.dumps(content))
    return path


class Grammar(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.person = written(self.folder.name, "person.json", PERSON)

    def test_a_keyword_that_nobody_knows_is_a_warning_or_an_error(self):
        path = os.path.join(self.folder.name, "typo.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write('{"type":"object","properties":{"a":{"tpye":"string"}}}')
        code, out, err = aios("grammar", "check", path)
        self.assertEqual((code, out[:3]), (0, "ok:"))
        self.assertRegex(err, '^warning: .*"tpye".*did you mean "type"')
        code, out, err = aios("grammar", "check", path, "--json")
        self.assertIn('did you mean "type"', json.loads(out)["warning"])
        code, out, err = aios("grammar", "check", "--strict", path)
        self.assertEqual((code, out), (1, ""))
        self.assertIn('did you mean "type"', err)
        self.assertEqual(aios("grammar", "check", "--strict", "--regex", "a+")[0], 2)

    def test_check_tells_sizes_and_time(self):
        code, out, err = aios("grammar", "check", self.person)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"^ok: .*person.json, schema of \d+ bytes, compiled in [0-9.]+ ms to [0-9.]+ KiB")
        code, out, err = aios("grammar", "check", "--schema", "-", "--json", stdin=json.dumps(PERSON))
        doc = json.loads(out)
        self.assertEqual((code, err, doc["ok"], doc["kind"], doc["bytes"]), (0, "", True, "schema", len(json.dumps(PERSON))))
        self.assertTrue(0 < doc["memory"] <= doc["peak"])

    def test_check_tells_what_is_wrong_and_where(self):
        for args, stdin, words in ((("--regex", "(ab"), "", ("byte 3", "ESCHEMA")),
                                   (("--schema", "-"), '{"properties":{"a":{"pattern":"(^a"}}}', ("#/properties/a", "pattern", "standard input"))):
            code, out, err = aios("grammar", "check", *args, stdin=stdin)
            self.assertEqual((code, out), (1, ""))
            for word in words:
                self.assertIn(word, err)
            code, out, err = aios("grammar", "check", *args, "--json", stdin=stdin)
            self.assertEqual((code, err), (1, ""))
            self.assertFalse(json.loads(out)["ok"])
            self.assertIn(words[0], json.loads(out)["error"]["message"])

    def test_samples_satisfy_their_schema_and_repeat_by_seed(self):
        args = ("grammar", "sample", self.person, "-n", "40", "--seed", "5")
        code, out, err = aios(*args)
        self.assertEqual((code, err), (0, ""))
        values = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(values), 40)
        for v in values:
            self.assertTrue(set(v) == set(PERSON["required"]) and 0 <= v["age"] <= 150 and v["role"] in ("admin", "user") and len(v["name"]) <= 20, v)
        self.assertGreater(len({json.dumps(v) for v in values}), 30)
        self.assertEqual(aios(*args)[1], out)
        self.assertNotEqual(aios(*args[:-1], "6")[1], out)
        for line in aios("grammar", "sample", "--regex", r"\d{3}-[A-Z]{2}", "-n", "10")[1].splitlines():
            self.assertRegex(line, r"^\d{3}-[A-Z]{2}$")

    def test_gbnf_and_lark_by_extension_or_option(self):
        path = written(self.folder.name, "sum.gbnf", 'root ::= num ("+" num)*\nnum ::= [0-9]{1,3} | "(" root ")"\n')
        self.assertEqual(json.loads(aios("grammar", "check", path, "--json")[1])["kind"], "gbnf")
        for line in aios("grammar", "sample", path, "-n", "20", "--seed", "2")[1].splitlines():
            self.assertIsInstance(eval(line.replace("0", "1")), int)  # Python reads no leading zeros
        self.assertEqual(json.loads(aios("grammar", "mask", path, "(1", "--json")[1])["bytes"], [ord(c) for c in ")+0123456789"])
        lark = written(self.folder.name, "list.lark", 'start: word ("," word)*\nword: /[a-z]{2,4}/\n')
        self.assertEqual(json.loads(aios("grammar", "check", lark, "--json")[1])["kind"], "lark")
        for line in aios("grammar", "sample", "--lark", lark, "-n", "10", "--seed", "3")[1].splitlines():
            self.assertRegex(line, r"^[a-z]{2,4}(,[a-z]{2,4})*$")
        code, out, err = aios("grammar", "check", "--gbnf", "-", stdin="root ::= none\n")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("line 1", err)

    def test_samples_without_an_end_in_their_bound_are_told(self):
        code, out, err = aios("grammar", "sample", "--regex", "a{50}", "--max-bytes", "10", "-n", "3")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("--max-bytes 100", err)
        self.assertEqual([e["complete"] for e in events(aios("grammar", "sample", "--regex", "a{50}", "--max-bytes", "10", "-n", "2", "--json")[1])], [False, False])

    def test_mask_tells_what_may_follow(self):
        code, out, err = aios("grammar", "mask", self.person, '{"name":"x","age":1', "--json")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(json.loads(out), {"complete": False, "forced": "", "bytes": [ord(c) for c in ",0123456789"]})
        self.assertEqual(json.loads(aios("grammar", "mask", "--regex", "(ab)+", "ab", "--json")[1]), {"complete": True, "forced": "", "bytes": [ord("a")]})
        self.assertRegex(aios("grammar", "mask", self.person, '{"name":"x","age":1')[1], r"complete +no\nforced +\"\"\nbytes +',' '0'-'9'\n")
        self.assertRegex(aios("grammar", "mask", self.person, '{"na')[1], r'forced +"me\\":\\""')

    def test_mask_tells_where_a_text_leaves_the_grammar(self):
        code, out, err = aios("grammar", "mask", self.person, '{"nome')
        self.assertEqual((code, out), (1, ""))
        self.assertIn("byte 3", err)
        self.assertIn("may come: 'a'", err)

    def test_colours_are_for_terminals(self):
        for force in ("0", "1"):
            out = aios("grammar", "check", self.person, env={"CLICOLOR_FORCE": force})[1]
            self.assertEqual("\x1b[" in out, force == "1")

    def test_validate_tells_every_violation(self):
        good = written(self.folder.name, "good.json", {"name": "A", "age": 3, "role": "user"})
        bad = written(self.folder.name, "bad.json", {"name": 1, "age": 200, "extra": True})
        torn = written(self.folder.name, "torn.json", '{"name":')
        self.assertEqual(aios("validate", self.person, good)[:2], (0, good + ": valid\n"))
        self.assertEqual(aios("validate", self.person, good, "-q")[:2], (0, ""))
        self.assertEqual(aios("validate", self.person, stdin='{"name":"A","age":3,"role":"user"}')[0], 0)
        code, out, err = aios("validate", self.person, good, bad)
        self.assertEqual((code, err), (1, ""))
        self.assertEqual(out.splitlines(), [good + ": valid", bad + ": /name: the type is not the one asked for (type of #/properties/name)",
                                            bad + ": /age: the number is too large (maximum of #/properties/age)",
                                            bad + ": the value: a property is missing: role (required of #)",
                                            bad + ": the value: a property is not allowed: extra (additionalProperties of #)"])
        code, out, err = aios("validate", self.person, "--json", good, bad, torn)
        self.assertEqual((code, err), (1, ""))
        docs = events(out)
        self.assertEqual([d["valid"] for d in docs], [True, False, False])
        self.assertEqual([v["path"] for v in docs[1]["violations"]], ["/name", "/age", "", ""])
        self.assertIsNone(docs[1]["error"])
        long = written(self.folder.name, "long.json", {"x" + "\u20ac" * 400: 1, "name": "A", "age": 3, "role": "user"})
        code, out, err = aios("validate", self.person, "--json", long)
        self.assertRegex(events(out)[0]["violations"][0]["message"], "not allowed: x\u20ac+$")
        self.assertTrue(docs[2]["error"]["message"])

    def test_validate_tells_of_a_wrong_schema_once(self):
        wrong = written(self.folder.name, "wrong.json", '{"type":"strnig"}')
        code, out, err = aios("validate", wrong, self.person, self.person)
        self.assertEqual((code, out), (2, ""))
        self.assertEqual(err.count("\"type\""), 1)


class Collector(http.server.BaseHTTPRequestHandler):
    """A receiver of OTLP over HTTP; the server's `told` gets path and body."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, json.loads(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Scripted(unittest.TestCase):
    def test_a_run_of_a_store_goes_on(self):
        script = 'echo:call calculator {"expression":"1+1"}; turn; say done'
        with tempfile.TemporaryDirectory() as d:
            store = f"sqlite:{d}/runs.db"
            code, _, err = aios("agent", "--store", store, "--run-id", "r1", "-m", script, "--max-turns", "1", "go")
            self.assertEqual(code, 1)
            error, hint = err.splitlines()[-2:]
            self.assertRegex(error, "^error: .*1 model turn \\(")
            self.assertRegex(hint, f"^hint: .*: aios runs resume r1 --store {store} .*--max-turns 2$")
            run = json.loads(aios("runs", "show", "r1", "--store", store, "--json")[1])
            self.assertEqual((run["state"], run["turns"], run["calls"], run["error"]["code"]), ("stopped", 1, 1, "ELIMIT"))
            code, out, err = aios("agent", "--store", store, "--resume", "r1", "-m", script)
            self.assertEqual((code, out), (0, "done\n"), err)
            self.assertNotIn("result", err)  # the call has its receipt
            self.assertEqual(aios("agent", "--store", store, "--resume", "r1", "-m", script)[:2], (0, "done\n"))  # its answer again
            runs = events(aios("runs", "--store", store, "--json")[1])
            self.assertEqual([(x["id"], x["state"], x["resumes"]) for x in runs], [("r1", "done", 1)])
            self.assertIn("r1", aios("runs", "--store", store)[1])
            self.assertEqual(aios("runs", "show", "r2", "--store", store)[0], 1)
        self.assertEqual(aios("runs")[0], 2)
        self.assertEqual(aios("agent", "--resume", "r1")[0], 2)

    def test_a_run_stops_where_its_money_does(self):
        script = 'echo:call calculator {"expression":"1+1"}; turn; say done'
        with tempfile.TemporaryDirectory() as d:
            store = f"sqlite:{d}/runs.db"
            args = ("agent", "--store", store, "-m", script, "--prices", "1000,2000", "--json", "-q")
            code, out, err = aios(*args, "--run-id", "r1", "--max-cost", "0.000001", "go")
            self.assertEqual(code, 1, err)
            rows = events(out)
            self.assertEqual((rows[-1]["error"]["code"], rows[-1]["error"]["have"]), ("ELIMIT", 1))
            self.assertIn("--max-cost", rows[-1]["error"]["message"])
            spent = [r["usage"] for r in rows if r["type"] == "usage"]
            self.assertEqual([u["cost_micros"] for u in spent], [1000 * u["input"] + 2000 * u["output"] for u in spent])
            code, out, err = aios(*args, "--resume", "r1")
            self.assertEqual(code, 0, err)
            spent += [r["usage"] for r in events(out) if r["type"] == "usage"]
            run = json.loads(aios("runs", "show", "r1", "--store", store, "--json")[1])
            self.assertEqual([run["cost_micros"], run["input"], run["cached"], run["tokens"]],
                             [sum(u[k] for u in spent) for k in ("cost_micros", "input", "cached", "output")])
            self.assertIn(f"cost     {run['cost_micros'] / 1e6:.6f}", aios("runs", "show", "r1", "--store", store)[1])
        for wrong in ("", "1", "1,", "1,2,3,4", "1;2", "x,1"):
            self.assertEqual(aios("agent", "-m", "echo:say x", "--prices", wrong, "go")[0], 2, wrong)
        self.assertEqual(aios("agent", "-m", "echo:say x", "--prices", "-1,2", "go")[0], 1)

    def test_money_that_nobody_can_count_is_no_limit(self):
        for model in ("echo:say hi", "record:/tmp/none|echo:say hi", 'route:{"candidates":[{"name":"a","uri":"echo:say hi"}]}'):
            code, out, err = aios("agent", "-m", model, "--max-cost", "1", "go")
            self.assertEqual((code, out), (2, ""), err)
            self.assertIn("--prices IN,OUT", err)
        some = 'route:{"candidates":[{"name":"a","uri":"echo:say hi","cost":{"input":1,"output":2}},{"name":"b","uri":"echo:say ho"}]}'
        code, out, err = aios("agent", "-m", some, "--max-cost", "1", "go")
        self.assertEqual((code, out), (0, "hi\n"), err)
        self.assertIn("note: --max-cost does not count the turns of b", err)
        code, out, err = aios("agent", "-m", 'echo:call calculator {"expression":"1+1"}; turn; say done', "--prices", "1000,2000", "--max-cost", "0.000001", "go")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"the run has cost 0\.\d{6}, and may cost 0\.000001 in the currency of the prices")

    def test_the_scripts_of_the_documentation_run(self):
        with open(os.path.join(DOCS, "echo.md"), encoding="utf-8") as f:
            lines = [line for line in f.read().split("```sh\n")[1].split("```")[0].splitlines() if line.startswith("aios ")]
        got = [subprocess.run(["/bin/sh", "-c", line.replace("aios", AIOS, 1)], capture_output=True, text=True, input="", timeout=60).stdout for line in lines]
        self.assertEqual(got, ["good morning\n", "42\n"])

    def test_an_agent_remembers_for_the_next(self):
        with tempfile.TemporaryDirectory() as d:
            args = ["agent", "--memory", f"sqlite:{d}/memory.db", "--allow", "remember", "go", "-m"]
            code, out, err = aios(*args, 'echo:call remember {"text":"the key is under the mat"}; turn; say noted')
            self.assertEqual((code, out), (0, "noted\n"), err)
            code, out, err = aios(*args, 'echo:call recall {"query":"where is the KEY?"}; turn; say found')
            self.assertEqual((code, out), (0, "found\n"), err)
            self.assertIn("under the mat", err)
            self.assertEqual(aios("agent", "--memory", "nosuch:x", "-m", "echo:say x", "go")[0], 2)

    def test_a_killed_agent_repeats_no_effect(self):
        with tempfile.TemporaryDirectory() as d:
            tools = written(d, "tools.json", [{"name": "pay", "command": ["/bin/sh", "-c", f"echo paid >> {d}/ledger; sleep 5"]}])
            args = [AIOS, "agent", "--store", f"sqlite:{d}/runs.db", "-m", "echo:call pay {}; turn; say over", "--tools", tools, "--allow", "pay"]
            with subprocess.Popen([*args, "--run-id", "r1", "go"], stderr=subprocess.PIPE) as p:
                for _ in range(500):
                    if os.path.exists(f"{d}/ledger"):
                        break
                    time.sleep(0.02)
                p.send_signal(signal.SIGKILL)
            done = subprocess.run([*args, "--resume", "r1"], input=b"", capture_output=True, timeout=60)
            self.assertIn(b"nobody knows whether it happened", done.stderr)
            self.assertEqual((done.returncode, done.stdout), (0, b"over\n"), done.stderr)
            with open(f"{d}/ledger") as f:
                self.assertEqual(f.read(), "paid\n")

    def test_the_agent_is_told_where_the_environment_says(self):
        with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
            server.told = []
            threading.Thread(target=server.serve_forever, daemon=True).start()
            script = 'echo:call calculator {"expression":"1+1"}; turn; say done'
            code, _, err = aios("agent", "-m", script, "go", env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"})
            server.shutdown()
        self.assertEqual(code, 0, err)
        told = dict(server.told)
        names = [s["name"] for s in told["/v1/traces"]["resourceSpans"][0]["scopeSpans"][0]["spans"]]
        self.assertEqual(names[1], "execute_tool calculator")
        self.assertEqual(names[-1], "invoke_agent aios")
        self.assertEqual(len(names), 4)
        self.assertIn("/v1/metrics", told)
        code, _, err = aios("agent", "-m", "echo:say ok", "go", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"})
        self.assertNotEqual(code, 0)
        self.assertIn("http://", err)

    def test_run_streams_events_as_json(self):
        code, out, err = aios("run", "-m", "echo:say hello world", "--json", "hi")
        self.assertEqual(code, 0, err)
        evs = events(out)
        self.assertEqual("".join(e["text"] for e in evs if e["type"] == "text"), "hello world")
        self.assertEqual(evs[-1]["type"], "done")
        self.assertTrue(any(e["type"] == "usage" for e in evs))

    def test_agent_does_what_its_policy_allows(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "policy.json")
            script = 'echo:call calculator {"expression":"1+1"}; turn; call time {}; turn; say done'

            def run(policy, *more):
                with open(path, "w") as f:
                    json.dump(policy, f)
                os.chmod(path, 0o600)
                return aios("agent", "-m", script, "--policy", path, "--json", "go", *more)

            code, out, err = run({"version": 1, "capabilities": [{"tool": "calculator"}]})
            self.assertEqual((code, err), (0, ""))
            results = [e for e in events(out) if e["type"] == "result"]
            self.assertEqual((results[0]["name"], results[0]["text"]), ("calculator", "2"))
            self.assertIn("no capability is for time", results[1]["text"])
            code, out, err = run({"version": 1, "capabilities": [{"tool": "calculator", "verdct": "ask"}]})
            self.assertEqual(code, 2)
            self.assertIn('did you mean \\"verdict\\"', out + err)
            self.assertEqual(run({"version": 1}, "--allow", "time")[0], 2)

    def test_the_policy_of_the_documentation_is_one(self):
        docs = DOCS
        with tempfile.TemporaryDirectory() as d, open(os.path.join(docs, "policy.md"), encoding="utf-8") as f:
            path = os.path.join(d, "policy.json")
            text = f.read().split("```json\n")[1].split("```")[0]
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            os.chmod(path, 0o600)
            self.assertEqual(aios("agent", "-m", "echo:say ok", "--policy", path, "go")[0], 0)
            self.assertEqual(aios("validate", os.path.join(docs, "policy.schema.json"), path)[0], 0)

    def test_agent_goes_on_past_its_context(self):
        turns = "; turn; ".join(f'call calculator {{"expression":"{i}+{i}"}}' for i in range(60))
        script = f"echo:set n_ctx 600; {turns}"
        code, _, err = aios("agent", "-m", script, "--json", "--max-turns", "60", "go")
        self.assertEqual(code, 65, err)
        for how in ("drop", "offload"):
            code, out, err = aios("agent", "-m", script, "--json", "--max-turns", "60", "--compact", how, "go")
            evs = events(out)
            self.assertEqual(evs[-1]["error"]["code"], "ELIMIT", err)
            context = [e for e in evs if e["type"] == "context"]
            self.assertTrue(context, out[-500:])
            self.assertLess(context[0]["context"]["after"], context[0]["context"]["before"])
        code, _, err = aios("agent", "-m", script, "--compact", "summarize", "go")
        self.assertEqual(code, 2)
        self.assertIn("summarise", err)

    def test_agent_runs_a_builtin_tool(self):
        code, out, err = aios("agent", "-m", 'echo:call calculator {"expression":"(3+4)*2.5"}; say done', "--json", "compute")
        self.assertEqual(code, 0, err)
        evs = events(out)
        result = next(e for e in evs if e["type"] == "result")
        self.assertEqual((result["text"], result["code"]), ("17.5", 0))
        self.assertEqual(evs[-1]["type"], "done")

    def tool_file(self, folder, effect="read"):
        path = os.path.join(folder, "tools.json")
        tool = {"name": "shout", "description": "Shouts.", "effect": effect, "command": [sys.executable, "-c",
                "import json,sys; print(json.load(sys.stdin)['text'].upper(), end='')"],
                "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}
        with open(path, "w", encoding="utf-8") as f:
            json.dump([tool], f)
        return path

    def test_command_tools_know_their_calls_key(self):
        with tempfile.TemporaryDirectory() as d:
            tools = written(d, "tools.json", [{"name": "key", "effect": "read", "command": ["/bin/sh", "-c", "echo $AIOS_CALL_KEY"]}])
            code, out, err = aios("agent", "-m", 'echo:call key {"n":1}; call key {"n":2}; say ok', "--tools", tools, "--json", "go")
        self.assertEqual(code, 0, err)
        keys = [e["text"].strip() for e in events(out) if e["type"] == "result"]
        self.assertEqual([len(k) for k in keys], [48, 48])
        self.assertNotEqual(*keys)

    def test_command_tools_get_arguments_on_standard_input(self):
        with tempfile.TemporaryDirectory() as d:
            code, out, err = aios("agent", "-m", 'echo:call shout {"text":"hé \\"x\\""}; say ok', "--tools", self.tool_file(d), "--json", "go")
        self.assertEqual(code, 0, err)
        self.assertEqual(next(e for e in events(out) if e["type"] == "result")["text"], 'HÉ "X"')

    def test_a_tool_with_effects_needs_allow(self):
        script = 'echo:call shout {"text":"a"}; say ok'
        with tempfile.TemporaryDirectory() as d:
            path = self.tool_file(d, "unsafe")
            denied = events(aios("agent", "-m", script, "--tools", path, "--json", "go")[1])
            allowed = events(aios("agent", "-m", script, "--tools", path, "--allow", "shout", "--json", "go")[1])
        self.assertNotEqual(next(e for e in denied if e["type"] == "result")["code"], 0)
        self.assertEqual(next(e for e in allowed if e["type"] == "result")["text"], "A")

    def test_read_file_stays_below_its_root(self):
        with tempfile.TemporaryDirectory() as d:
            os.mkdir(d + "/in")
            with open(d + "/in/a.txt", "w", encoding="utf-8") as f:
                f.write("inside")
            with open(d + "/secret", "w", encoding="utf-8") as f:
                f.write("classified")
            os.symlink("../secret", d + "/in/link")
            for path, good in (("a.txt", True), ("../secret", False), (d + "/secret", False), ("link", False), (".", False)):
                script = "echo:call read_file " + json.dumps({"path": path}) + "; say ok"
                evs = events(aios("agent", "-m", script, "--root", d + "/in", "--json", "go")[1])
                result = next(e for e in evs if e["type"] == "result")
                self.assertEqual(result["code"] == 0, good, (path, result))
                self.assertNotIn("classified", result["text"])

    def test_arguments_outside_the_schema_never_reach_the_tool(self):
        with tempfile.TemporaryDirectory() as d:
            evs = events(aios("agent", "-m", 'echo:call shout {"text":5}; say ok', "--tools", self.tool_file(d), "--json", "go")[1])
        self.assertNotEqual(next(e for e in evs if e["type"] == "result")["code"], 0)


@unittest.skipUnless(MODEL, "AIOS_TEST_MODEL names no model")
class RealModel(unittest.TestCase):
    def test_inspect_lists_metadata_and_tensors(self):
        doc = json.loads(aios("inspect", MODEL, "--json")[1])
        self.assertEqual(doc["metadata"]["general.architecture"], "llama")
        self.assertTrue(any(t["name"] == "token_embd.weight" for t in doc["tensors"]))

    def test_tokens_go_round(self):
        for flags in ([], ["--no-special"]):
            code, out, err = aios("tokenize", "-m", MODEL, *flags, stdin=TEXT)
            self.assertEqual(code, 0, err)
            self.assertEqual(aios("detokenize", "-m", MODEL, stdin=out)[1], TEXT)
        special, plain = (len(json.loads(aios("tokenize", "-m", MODEL, *f, stdin="<|im_start|>")[1])) for f in ([], ["--no-special"]))
        self.assertEqual(special, 1)
        self.assertGreater(plain, 1)

    def test_template_is_the_models_own(self):
        out = aios("template", "-m", MODEL, stdin='[{"role":"system","content":"S"},{"role":"user","content":"U"}]')[1]
        self.assertEqual(out, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n")

    def test_a_reply_is_the_same_at_every_level_and_thread_count(self):
        args = ("run", "-m", MODEL, "-n", "12", "The capital of France is")
        want = aios(*args)[1]
        self.assertTrue(want.strip())
        for extra in (["-t", "1"], ["-t", "3"]):
            self.assertEqual(aios(*args, *extra)[1], want)
        for level in ("scalar", "avx2", "avx512", "avx512vnni"):
            code, out, err = aios("run", "-m", MODEL, "-n", "4", "Hi", env={"AIOS_CPU": level})
            self.assertEqual(code, 0, err)
            self.assertTrue(out.strip())

    def test_a_seed_repeats_a_sampled_reply(self):
        args = ("run", "-m", MODEL, "-n", "16", "--temp", "0.9", "--top-p", "0.95", "Tell a story")
        self.assertEqual(aios(*args, "--seed", "7")[1], aios(*args, "--seed", "7")[1])

    def test_logits_agree_for_any_chunk(self):
        ids = aios("tokenize", "-m", MODEL, stdin=TEXT)[1]
        many = json.loads(aios("logits", "-m", MODEL, "--top", "3", stdin=ids)[1])
        one = json.loads(aios("logits", "-m", MODEL, "--top", "3", "--chunk", "1", stdin=ids)[1])
        n = len(json.loads(ids))
        self.assertEqual((len(many["nll"]), len(many["top"])), (n - 1, n))
        self.assertEqual(many, one)
        self.assertTrue(all(a[1] >= b[1] for row in many["top"] for a, b in zip(row, row[1:])))

    def test_a_session_goes_on_from_a_file(self):
        args = ("run", "-m", MODEL, "-n", "8", "--json", "A question that begins like another: what is the capital of France?")
        usage = lambda out: next(e for e in events(out) if e["type"] == "usage")["usage"]
        with tempfile.TemporaryDirectory() as d:
            path = d + "/session"
            first = aios(*args, "--save-session", path)
            again = aios(*args, "--load-session", path)
            self.assertEqual((first[0], again[0]), (0, 0), first[2] + again[2])
            self.assertEqual(usage(first[1])["cached"], 0)
            self.assertEqual(usage(again[1])["cached"], usage(again[1])["input"] - 1)
            text = lambda out: "".join(e["text"] for e in events(out) if e["type"] == "text")
            self.assertEqual(text(first[1]), text(again[1]))
            with open(path, "r+b") as f:
                f.seek(1000)
                f.write(b"x")
            code, out, err = aios(*args, "--load-session", path)
            self.assertEqual((code, err), (2, ""))
            self.assertIn("EFORMAT", out)
            self.assertEqual(os.listdir(d), ["session"])

    def test_a_schema_is_kept(self):
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
                  "role": {"enum": ["admin", "user"]}}, "required": ["name", "age", "role"]}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(schema, f)
            f.flush()
            for seed in range(1, 5):
                code, out, err = aios("run", "-m", MODEL, "--schema", f.name, "--temp", "1.2", "--seed", str(seed), "-n", "200", "A person")
                self.assertEqual(code, 0, err)
                v = json.loads(out)
                self.assertEqual(set(v), {"name", "age", "role"})
                self.assertTrue(0 <= v["age"] <= 150 and v["role"] in ("admin", "user") and len(v["name"]) <= 20)

    def test_an_expression_and_a_grammar_file_are_kept(self):
        with tempfile.TemporaryDirectory() as d:
            path = written(d, "when.re", "(Mon|Tues|Fri)day at \\d{1,2}:\\d{2}\n")
            for seed in range(1, 4):
                args = ("-m", MODEL, "--temp", "1.5", "--seed", str(seed), "-n", "60", "When do we meet?")
                self.assertRegex(aios("run", "--regex", "(yes|no), [a-z]{1,8}", *args)[1], r"^(yes|no), [a-z]{1,8}\n$")
                code, out, err = aios("run", "--grammar", path, *args)
                self.assertEqual(code, 0, err)
                self.assertRegex(out, r"^(Mon|Tues|Fri)day at \d{1,2}:\d{2}\n$")
            listed = written(d, "list.gbnf", 'root ::= ("- " [a-z]{3,8} "\\n"){2,3} "end"\n')
            self.assertRegex(aios("run", "--grammar", listed, "-m", MODEL, "-n", "80", "Three fruits")[1], r"^(- [a-z]{3,8}\n){2,3}end\n$")

    def test_masks_list_the_tokens_of_a_model(self):
        args = ("grammar", "mask", "--regex", "[a-z]{3} ok", "-m", MODEL)
        doc = json.loads(aios(*args, "abc", "--json")[1])
        self.assertEqual((doc["forced"], doc["n_tokens"], sorted(t[1] for t in doc["tokens"])), (" ok", 3, [" ", " o", " ok"]))
        for token, text in doc["tokens"]:
            self.assertEqual(aios("detokenize", "-m", MODEL, stdin=f"[{token}]")[1], text)
        self.assertIn("tokens    3\n", aios(*args, "abc", "--top", "1")[1])
        inside = json.loads(aios("grammar", "mask", self.any_string(), '"', "-m", MODEL, "--json")[1])
        self.assertNotIn("<|im_end|>", [t[1] for t in inside["tokens"]])
        self.assertGreater(inside["n_tokens"], 40000)

    def any_string(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return written(folder.name, "string.json", {"type": "string"})

    def test_the_agent_calls_a_tool_and_uses_its_result(self):
        code, out, err = aios("agent", "-m", MODEL, "--require", "--json", "What is 12.5 percent of 840? Calculate 840 * 0.125")
        self.assertEqual(code, 0, err)
        evs = events(out)
        kinds = [e["type"] for e in evs]
        self.assertLess(kinds.index("call"), kinds.index("result"))
        self.assertLess(kinds.index("result"), kinds.index("done"))

    def test_a_context_overflow_tells_both_numbers(self):
        code, out, err = aios("run", "-m", MODEL, "-c", "64", "--json", "word " * 200)
        self.assertNotEqual(code, 0)
        self.assertRegex(out + err, r"64")
        self.assertIn("ECONTEXT", out + err)

    def test_a_small_budget_is_refused_with_a_reason(self):
        for budget in ("1M", "50M", "100M"):
            code, _, err = aios("run", "-m", MODEL, "--budget", budget, "-n", "2", "hi")
            self.assertNotEqual(code, 0)
            self.assertIn("EBUDGET", err)

    def test_bench_prints_one_json_line_a_test(self):
        code, out, err = aios("bench", "-m", MODEL, "-p", "16", "-n", "4", "-r", "2", "--batch", "2")
        self.assertEqual(code, 0, err)
        rows = events(out)
        self.assertEqual([r["test"] for r in rows], ["pp16", "tg4", "tg4x2"])
        self.assertTrue(all(r["median"] > 0 and len(r["tok_s"]) == 2 for r in rows))
        self.assertEqual([(r["limit"], r["sequences"], r["depth"]) for r in rows], [("int8", 1, 0), ("read", 1, 0), ("read", 2, 0)])
        for r in rows:
            self.assertAlmostEqual(r["share"], r["median"] * r["work_per_token"] / r["limit_per_s"])

    def test_bench_refuses_a_depth_that_does_not_fit(self):
        code, _, err = aios("bench", "-m", MODEL, "-c", "64", "-d", "64")
        self.assertEqual(code, 2)
        self.assertIn("context of 64", err)


def main():
    """Runs the tests of the script that calls it; the last lines count them as cmocka does."""
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    print(f"[  PASSED  ] {result.testsRun - failed - len(result.skipped)} test(s).")
    if failed:
        print(f"[  FAILED  ] {failed} test(s)")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

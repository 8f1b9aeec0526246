#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The aios command end to end: on the scripted model always, on the real default model where AIOS_TEST_MODEL names it."""
import json
import os
import subprocess
import sys
import tempfile
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
        for word in ("devices", "inspect", "tokenize", "detokenize", "template", "run", "chat", "agent", "logits", "bench", "130"):
            self.assertIn(word, out)
        self.assertIn("--schema", aios("run", "--help")[1])

    def test_wrong_usage_exits_2_and_says_what_to_do(self):
        for args in (["nonsense"], ["run", "--no-such"], ["run", "-n", "x", "hi"], ["run", "--temp", "nan", "hi"], ["bench", "-p"], []):
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


class Scripted(unittest.TestCase):
    def test_run_streams_events_as_json(self):
        code, out, err = aios("run", "-m", "echo:say hello world", "--json", "hi")
        self.assertEqual(code, 0, err)
        evs = events(out)
        self.assertEqual("".join(e["text"] for e in evs if e["type"] == "text"), "hello world")
        self.assertEqual(evs[-1]["type"], "done")
        self.assertTrue(any(e["type"] == "usage" for e in evs))

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
            code, _, err = aios(*args, "--load-session", path)
            self.assertEqual(code, 1)
            self.assertIn("EFORMAT", err)
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


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    print(f"[  PASSED  ] {result.testsRun - failed - len(result.skipped)} test(s).")
    if failed:
        print(f"[  FAILED  ] {failed} test(s)")
    sys.exit(bool(failed))

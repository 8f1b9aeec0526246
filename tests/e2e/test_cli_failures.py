#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the aios command fails: what it prints where, and its exit codes; and what a terminal shows."""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from test_cli import AIOS, MODEL, PERSON, aios, events, main, written

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
TOOL = {"name": "shout", "description": "Shouts.", "effect": "read", "parameters": {"type": "object"}}


def on_terminal(*args, env=None):
    """Runs the command with a terminal for output; (exit code, what the terminal got)."""
    front, back = pty.openpty()
    p = subprocess.Popen([AIOS, *args], stdin=subprocess.DEVNULL, stdout=back, stderr=back, env={**os.environ, "TERM": "dumb", **(env or {})})
    os.close(back)
    out = b""
    try:
        while piece := os.read(front, 65536):
            out += piece
    except OSError:  # the other end is closed
        pass
    os.close(front)
    return p.wait(timeout=240), out.decode("utf-8", "replace")


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.person = written(self.folder, "person.json", PERSON)

    def assertFailsAsJson(self, code, *args, stdin=""):
        """One JSON line with an error comes last, and nothing on standard error."""
        got, out, err = aios(*args, stdin=stdin)
        self.assertEqual((got, err), (code, ""), (args, out))
        error = events(out)[-1]["error"]
        self.assertTrue(error["code"].startswith("E") and error["message"], error)
        return events(out)


class CutOff(WithFolder):
    ECHO = 'echo:say {"name":"hello big world","age":3,"role":"user"}'

    def test_a_value_that_was_cut_off_is_a_failure(self):
        for bound in (["--schema", self.person], ["--regex", '[{].{20,60}[}]']):
            code, out, err = aios("run", "-m", self.ECHO, *bound, "-q", "-n", "2", "A person")
            self.assertEqual(code, 1)
            self.assertTrue(out.startswith('{"name":"hello'), out)
            self.assertEqual(err, "error: cut off after 2 tokens before the value was complete: raise -n (ELIMIT)\n")
        lines = self.assertFailsAsJson(1, "run", "-m", self.ECHO, "--schema", self.person, "--json", "-n", "2", "A person")
        self.assertEqual((lines[-2]["type"], lines[-2]["reason"], lines[-1]["error"]["code"]), ("done", "length", "ELIMIT"))
        self.assertEqual(aios("run", "-m", self.ECHO, "--schema", self.person, "-q", "-n", "400", "A person")[::2], (0, ""))

    def test_a_free_reply_may_be_cut_off(self):
        words = "echo:say " + "word " * 2000
        self.assertEqual(aios("run", "-m", words, "-n", "3", "hi")[::2], (0, ""))
        code, _, err = aios("run", "-m", words, "hi")
        self.assertEqual((code, err), (0, "note: the reply was cut off after 1024 tokens: raise -n\n"))
        code, out, err = aios("agent", "-m", words, "-n", "3", "hi")
        self.assertEqual((code, err), (0, "note: the reply was cut off after 3 tokens: raise -n\n"))
        self.assertTrue(out.startswith("word word"))

    def test_an_agents_value_that_was_cut_off_is_a_failure(self):
        code, _, err = aios("agent", "-m", self.ECHO, "--schema", self.person, "-n", "2", "A person")
        self.assertEqual(code, 1)
        self.assertIn("the command: -n)", err)

    def test_the_default_is_in_the_help(self):
        self.assertIn("(default 1024", aios("run", "--help")[1])


class Writing(WithFolder):
    def test_a_full_disk_is_told(self):
        for args in (["run", "-m", "echo:say hello", "x"], ["chat", "-m", "echo:say hello"], ["run", "-m", "echo:say hello", "--json", "x"], ["agent", "-m", "echo:say hello", "x"],
                     ["grammar", "sample", self.person, "-n", "100000"], ["validate", self.person, self.person], ["devices"], ["--help"], ["run", "--help"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                p = subprocess.run([AIOS, *args], input=b"a\nb\n", stdout=full, stderr=subprocess.PIPE, timeout=240, check=False)
            self.assertEqual((p.returncode, p.stderr.decode()), (1, "error: standard output: No space left on device\n"), args)


class FailuresAsJson(WithFolder):
    def test_every_failure_is_a_line(self):
        wrong = written(self.folder, "wrong.json", '{"type":"strnig"}')
        for code, args in ((2, ["run", "--json", "--schema", wrong, "x"]), (3, ["run", "--json", "-m", "none.gguf", "x"]), (2, ["run", "--json"]),
                           (2, ["run", "--no-such", "--json"]), (2, ["validate", "--json", wrong, self.person]), (2, ["grammar", "check", "--json", "none.json"]),
                           (2, ["agent", "--json", "-m", "echo:", "--tools", wrong, "x"]), (3, ["inspect", "--json", "none.gguf"]), (2, ["--json", "devcies"]),
                           (2, ["--json", "devices", "--no-such"])):
            self.assertFailsAsJson(code, *args)

    def test_validate_tells_of_files_that_are_missing_beside_others(self):
        good = written(self.folder, "good.json", {"name": "A", "age": 3, "role": "user"})
        code, out, err = aios("validate", "--json", self.person, good, "none.json", good)
        self.assertEqual((code, err), (2, ""))
        lines = events(out)
        self.assertEqual([(r["file"], r["valid"]) for r in lines], [(good, True), ("none.json", False), (good, True)])
        self.assertEqual(lines[1]["error"]["code"], "ENOENT")

    def test_json_may_stand_before_the_command(self):
        self.assertIn("cpu", json.loads(aios("--json", "devices")[1]))
        code, _, err = aios("-q", "devices")
        self.assertEqual(code, 2)
        self.assertIn("aios COMMAND -q", err)

    def test_an_expression_is_no_file(self):
        self.assertIsNone(json.loads(aios("grammar", "check", "--regex", "a", "--json")[1])["file"])


class Codes(WithFolder):
    def test_one_failure_has_one_code_and_form(self):
        wrong = written(self.folder, "wrong.json", '{"type":"strnig"}')
        for code, args in ((2, ["run", "-m", "echo:", "--schema", wrong, "x"]), (2, ["agent", "-m", "echo:", "--schema", wrong, "x"]), (2, ["validate", wrong, wrong]),
                           (2, ["grammar", "sample", wrong]), (2, ["grammar", "mask", wrong]), (1, ["grammar", "check", wrong]),
                           (3, ["inspect", self.person]), (3, ["run", "-m", self.person, "x"]),
                           (2, ["run", "--schema", "/none.json", "x"]), (2, ["validate", "/none.json"]), (2, ["agent", "-m", "echo:", "--tools", "/none.json", "x"]),
                           (2, ["template", "-m", "echo:", "/none.json"]), (2, ["run"]), (2, ["grammar", "check", ""]), (2, ["devcies"])):
            got, out, err = aios(*args)
            self.assertEqual((got, out), (code, ""), (args, err))
            self.assertRegex(err, r"^error: [^:]", args)
            self.assertEqual(err.count("\n"), 1, err)
            for name in (a for a in args if a.endswith(".json")):
                self.assertIn(os.path.basename(name), err)
        table = aios("--help")[1]
        for code in ("0", "1", "2", "3", "4", "130"):
            self.assertRegex(table, rf"\n +{code}  [a-z]")

    def test_what_cannot_be_read_is_named(self):
        for path, word in ((self.folder, "directory"), ("/dev/null", "empty")):
            err = aios("run", "-m", "echo:", "--schema", path, "x")[2]
            self.assertIn(path, err)
            self.assertIn(word, err)

    def test_misspelt_words_are_guessed(self):
        self.assertIn('did you mean "devices"?', aios("devcies")[2])
        self.assertIn("did you mean --schema?", aios("run", "--shcema", "x")[2])
        self.assertNotIn("did you mean", aios("zzzzzz")[2])


class Options(WithFolder):
    def test_letters_are_read_as_getopt_does(self):
        want = aios("grammar", "sample", "--regex", "[a-z]{8}", "-s", "7", "-n", "3")[1]
        self.assertEqual(want.count("\n"), 3)
        for form in (["-s7", "-n3"], ["-qs7", "-n", "3"], ["-qn3", "--seed=7"], ["-qs", "7", "-n3"]):
            self.assertEqual(aios("grammar", "sample", "--regex", "[a-z]{8}", *form), (0, want, ""))
        for form in (["-qx"], ["-nq"], ["-q", "-n"], ["--quiet=1"]):
            self.assertEqual(aios("grammar", "sample", "--regex", "a", *form)[0], 2, form)

    def test_a_text_from_standard_input(self):
        masks = [aios("grammar", "mask", self.person, *args, "--json", stdin='{"na') for args in (['{"na'], ["-"])]
        self.assertEqual(masks[0], masks[1])
        self.assertEqual(json.loads(masks[0][1])["bytes"], [ord("m")])
        self.assertEqual(aios("grammar", "mask", "--schema", "-", "-", stdin="{}")[0], 2)

    def test_sentences_with_line_ends_can_be_told_apart(self):
        args = ("grammar", "sample", "--regex", r"(a\n){2}", "-n", "3")
        code, out, err = aios(*args)
        self.assertEqual((code, out), (0, "a\na\n\n" * 3))
        self.assertIn("--null", err)
        self.assertEqual(aios(*args, "--null"), (0, "a\na\n\0" * 3, ""))

    def test_statistics_are_for_terminals_and_verbose(self):
        for command in ("run", "agent"):
            self.assertEqual(aios(command, "-m", "echo:say hello", "x")[2], "")
            self.assertIn("tokens in", aios(command, "-m", "echo:say hello", "-v", "x")[2])
            self.assertIn("tokens in", on_terminal(command, "-m", "echo:say hello", "x")[1])
        self.assertIn("info: echo", aios("run", "-m", "echo:say hello", "-v", "x")[2])


class Tools(WithFolder):
    def run_with(self, tool, *args, script="call shout {}; say ok"):
        return aios("agent", "-m", "echo:" + script, "--tools", written(self.folder, "tools.json", [tool]), *args, "go")

    def test_a_wrong_tool_is_refused_by_what_is_wrong(self):
        good = {**TOOL, "command": ["true"]}
        for wrong, word in (({**good, "descriptoin": "x"}, 'did you mean "description"?'), ({**good, "command": "echo hi"}, "an array of strings"),
                            ({**good, "command": ["echo", 3]}, "an array of strings"), ({**good, "command": []}, "an array of strings"), (TOOL, "an array of strings"),
                            ({**good, "effect": "reed"}, "effect must be"), ({**good, "effect": 1}, "effect must be"), ({**good, "parameters": "x"}, "parameters must be"),
                            ({"command": ["true"]}, "no name"), (3, "not an object")):
            code, out, err = self.run_with(wrong)
            self.assertEqual((code, out), (2, ""), wrong)
            self.assertIn("tools.json: tool 1", err)
            self.assertIn(word, err)
        self.assertEqual(self.run_with(good)[0], 0)

    def test_an_allowed_name_is_that_of_a_tool(self):
        good = {**TOOL, "command": ["true"]}
        code, _, err = self.run_with(good, "--allow", "shuot")
        self.assertEqual(code, 2)
        self.assertIn("--allow shuot names no tool (did you mean shout?)", err)
        self.assertEqual(self.run_with(good, "--allow", "shout", "--allow", "time")[0], 0)

    def test_standard_error_of_a_tool_is_lines_with_its_name(self):
        noisy = "import sys; sys.stdin.read(); sys.stderr.write('one\\ntwo'); print('done')"
        code, out, err = self.run_with({**TOOL, "command": [sys.executable, "-c", noisy]})
        self.assertEqual((code, out), (0, "ok\n"))
        self.assertEqual([e for e in err.splitlines() if e.startswith("shout: ")], ["shout: one", "shout: two"])
        flood = "import sys; sys.stdin.read(); sys.stdout.close(); sys.stderr.write('x' * 300000)"
        code, out, err = self.run_with({**TOOL, "command": [sys.executable, "-c", flood]})
        self.assertEqual((code, out, err.count("x")), (0, "ok\n", 300000))
        left = "sleep 20 & echo done"  # keeps standard error open, but not the result
        start = time.monotonic()
        self.assertEqual(self.run_with({**TOOL, "command": ["sh", "-c", left.replace("&", ">/dev/null &")]})[0], 0)
        self.assertLess(time.monotonic() - start, 10)

    def test_the_help_tells_how_a_file_looks(self):
        out = aios("agent", "--help")[1]
        for word in ('"command": [', "standard", "effect", "docs/command.md"):
            self.assertIn(word, out)


class Table(WithFolder):
    def test_every_code_of_an_exit_code_is_that_of_the_table(self):
        rows = {"ETIMEDOUT": 124, "EQUOTA": 4, "ERATE": 4, "EAUTH": 4, "EUNAVAIL": 4, "EPROTO": 4, "ECONTEXT": 65, "EINTERNAL": 70, "EDENIED": 77,
                "ENOENT": 3, "EFORMAT": 3, "EVERSION": 3, "ENOTSUP": 3, "ECANCELED": 130, "EIO": 1, "EREFUSED": 1, "ESCHEMA": 1}
        for name, want in rows.items():
            code, _, err = aios("run", "-m", f"echo:fail {name}", "hi")
            self.assertEqual(code, want, name)
            self.assertIn(f"({name})", err)

    def test_options_of_the_documents_are_options(self):
        names = re.findall(r"^  ([a-z]+) ", aios("--help")[1].split("exit codes:")[0], re.M)
        self.assertIn("runs", names)
        there = {option for name in names if name != "aios" for option in re.findall(r"--[a-z][a-z-]+", aios(name, "--help")[1])} | {"--version", "--help"}
        for document in ("docs/command.md", "docs/durable-runs.md", "docs/routing.md", "docs/context.md", "docs/echo.md"):
            with open(os.path.join(SCRIPTS, "..", document), encoding="utf-8") as f:
                named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", f.read()))
            self.assertLessEqual(named, there, document)
        with open(os.path.join(SCRIPTS, "..", "docs", "command.md"), encoding="utf-8") as f:
            text = f.read()
        for option in ("--changed", "--wait", "--timeout", "--max-calls", "--run-id", "--whole"):
            self.assertIn(option, text)
        for verb in re.findall(r"(\w+)(?: RUN| \[RUN|\b(?= \|))", aios("runs", "--help")[1].splitlines()[0]):
            self.assertIn(verb, text.split("## Runs that are kept")[1].split("### ")[0])

    def test_help_and_document_have_one_table(self):
        with open(os.path.join(SCRIPTS, "..", "docs", "command.md"), encoding="utf-8") as f:
            written_down = {int(m) for m in re.findall(r"^\| (\d+) \|", f.read(), re.M)}
        told = {int(m) for m in re.findall(r"^ +(\d+)  ", aios("--help")[1].split("exit codes:")[1], re.M)}
        self.assertEqual(told, written_down)
        self.assertIn(124, told)


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = f"source <('{AIOS}' completion bash)\nCOMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))\n_aios; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_bash_completes_commands_verbs_and_options(self):
        self.assertEqual(self.complete("aios", "ag"), ["agent"])
        self.assertEqual(self.complete("aios", "runs", "a"), ["approve", "audit"])
        self.assertEqual(self.complete("aios", "runs", "--st"), ["--store", "--state"])
        self.assertEqual(self.complete("aios", "run", "--max-t"), [])
        self.assertEqual(self.complete("aios", "agent", "--max-t"), ["--max-turns", "--max-tokens"])
        self.assertEqual(self.complete("aios", "agent", "--store", "--"), [])  # a value
        self.assertEqual(self.complete("aios", "runs", "show", "a"), [])

    def test_every_option_is_in_every_script(self):
        names = [n for n in re.findall(r"^  ([a-z]+) ", aios("--help")[1].split("exit codes:")[0], re.M) if n != "aios"]
        there = {name: re.findall(r"^  (?:-.,|   ) --([a-z-]+)", aios(name, "--help")[1], re.M) for name in names}
        self.assertIn("changed", there["agent"])
        fish, zsh = aios("completion", "fish")[1], aios("completion", "zsh")[1]
        for name, options in there.items():
            self.assertIn(f"-a {name} ", fish)
            self.assertIn(f"'{name}:", zsh)
            for option in options:
                self.assertRegex(fish, rf"_from {name}' -l {option} ")
                self.assertIn(f"'--{option}:", zsh.split(f"    {name})")[1].split(";;")[0])
        for shell, text in (("fish", fish), ("zsh", zsh)):
            if shutil.which(shell):
                self.assertEqual(subprocess.run([shell, "-n"], input=text, text=True, capture_output=True, timeout=60).stderr, "")
        code, _, err = aios("completion", "bahs")
        self.assertEqual(code, 2)
        self.assertIn("did you mean bash?", err)


class Labels(WithFolder):
    def setUp(self):
        super().setUp()
        # nobody answers at 192.0.2.1 (RFC 5737)
        far = {"name": "far", "uri": "https://192.0.2.1/v1#m", "connect_ms": 300, "when": {"privacy": ["medical"]}}
        router = {"classes": {"medical": 3}, "candidates": [far, {"name": "here", "uri": "echo:say stays"}]}
        self.route = "route:" + written(self.folder, "models.json", router)

    def skipped(self, *args, stdin=""):
        """Why the first candidate did not get the prompt in the end."""
        code, out, err = aios(*args, "--json", stdin=stdin)
        self.assertEqual(code, 0, out + err)
        routes = [e for e in events(out) if e["type"] == "route"]
        self.assertEqual(routes[-1]["name"], "here")
        return [r["name"] for r in routes], routes[-1]["route"]["skipped"]

    def test_a_private_prompt_stays_on_this_machine(self):
        kept = ["here"], [{"name": "far", "why": "privacy"}]
        for label in ("private", "5", "63"):
            self.assertEqual(self.skipped("run", "-m", self.route, "--label", label, "hi"), kept)
        self.assertEqual(self.skipped("run", "-m", self.route, "--label", "medical", "--label", "private", "hi"), kept)
        self.assertEqual(self.skipped("chat", "-m", self.route, "--label", "private", stdin="hi\n"), kept)
        self.assertEqual(self.skipped("agent", "-m", self.route, "--label", "private", "hi"), kept)

    def test_a_prompt_whose_classes_are_listed_goes(self):
        gone = ["far", "here"], [{"name": "far", "why": "failed"}]
        self.assertEqual(self.skipped("run", "-m", self.route, "--label", "medical", "hi"), gone)
        self.assertEqual(self.skipped("run", "-m", self.route, "--label", "3", "hi"), gone)

    def test_what_knows_no_labels_gets_no_labelled_prompt(self):
        for args in (["run", "hi"], ["agent", "hi"], ["chat"]):
            code, out, err = aios(*args, "-m", "https://192.0.2.1/v1#m", "--label", "private", stdin="hi\n")
            self.assertEqual((code, out), (77, ""), err)
            self.assertIn("--label", err)
        self.assertEqual(aios("run", "-m", "echo:say yes", "--label", "private", "hi")[:2], (0, "yes\n"))

    def test_a_class_that_nobody_knows_is_no_class(self):
        for label in ("medcal", "64", "-1", "3x", "", "any"):
            code, _, err = aios("run", "-m", self.route, f"--label={label}", "hi")
            self.assertEqual(code, 2, err)
            self.assertIn("--label", err)
        self.assertIn("did you mean medical?", aios("run", "-m", self.route, "--label", "medcal", "hi")[2])
        self.assertEqual(aios("run", "-m", self.route, "--raw", "--label", "private", "hi")[0], 2)


class Told(WithFolder):
    def test_verbose_says_where_a_model_is(self):
        self.assertIn("info: echo: backend echo, on this machine, context ", aios("run", "-m", "echo:say x", "-v", "hi")[2])
        err = aios("run", "-m", "https://192.0.2.1/v1#gpt", "-v", "--label", "private", "hi")[2]
        self.assertIn("info: gpt: backend https, remote, context ", err)


class BeforeItIsPaidFor(WithFolder):
    def test_a_session_that_cannot_be_kept_is_refused(self):
        code, out, err = aios("run", "-m", "echo:say dear", "--save-session", os.path.join(self.folder, "s.kv"), "hi")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("--save-session", err)
        self.assertEqual(os.listdir(self.folder), ["person.json"])

    def test_bench_is_of_local_models(self):
        code, out, err = aios("bench", "-m", "https://192.0.2.1/v1#m")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("aios run", err)


class Scripts(unittest.TestCase):
    def test_scripts_print_their_own_help(self):
        for name in ("quickstart", "test", "fetch-model"):
            p = subprocess.run([os.path.join(SCRIPTS, name), "--help"], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertIn("scripts/" + name, p.stdout)
        self.assertEqual(subprocess.run([os.path.join(SCRIPTS, "quickstart"), "--hepl"], capture_output=True, timeout=60, check=False).returncode, 2)

    def test_a_build_shows_its_progress(self):
        lines = "import time; print('[1/9] first', flush=True); time.sleep(11); print('[9/9] last')"
        script = f". scripts/setup.sh; with_progress x {sys.executable} -c \"{lines}\"; with_progress y false; echo not reached"
        p = subprocess.run(["bash", "-c", "set -euo pipefail; " + script], capture_output=True, text=True, timeout=60, cwd=os.path.dirname(SCRIPTS), check=False)
        self.assertEqual((p.returncode, p.stdout), (1, ""))
        self.assertEqual(p.stderr, "[1/9] first\nerror: this failed: false\n")


@unittest.skipUnless(MODEL, "AIOS_TEST_MODEL names no model")
class RealModel(WithFolder):
    def test_the_loading_bar_is_gone_before_the_reply(self):
        cache = os.path.join(self.folder, "cache")
        for _ in range(2):  # packed, and from the image
            code, out = on_terminal("run", "-m", MODEL, "--cache", cache, "-n", "3", "hi")
            self.assertEqual(code, 0, out)
            self.assertIn("loading [", out)
            self.assertEqual(out.rpartition("loading [")[2].count("\r" + " " * 40 + "\r"), 1)
            self.assertNotIn("%", out.rpartition(" " * 40 + "\r")[2])

    def test_what_the_model_does_not_finish_is_a_failure(self):
        code, out, err = aios("run", "-m", MODEL, "--schema", self.person, "-qn4", "A person")
        self.assertEqual((code, out[:9]), (1, '{"name": '))
        self.assertEqual(err.count("\n"), 1)
        self.assertIn("before the value was complete: raise -n", err)

    def test_a_full_context_says_which_option_helps(self):
        err = aios("run", "-m", MODEL, "-c", "64", "word " * 200)[2]
        self.assertIn("-c N sets the context", err)
        code, _, err = aios("run", "-m", MODEL, "-c", "48", "--regex", "[a-z]{900}", "-n", "2000", "hi")
        self.assertEqual(code, 1)
        self.assertIn("raise -c", err)

    def test_an_interrupt_is_no_error(self):
        p = subprocess.Popen([AIOS, "run", "-m", MODEL, "--ignore-eos", "-n", "4000", "A long story"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = p.stdout.read(1)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=240)
        self.assertEqual((p.returncode, err), (130, b""))
        self.assertTrue(first and out.endswith(b"\n"))


if __name__ == "__main__":
    main()

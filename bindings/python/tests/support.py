# SPDX-License-Identifier: Apache-2.0
"""What the tests of the package share: the scripted model, a second interpreter, the runner."""
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import aios  # noqa: E402

MODEL = os.environ.get("AIOS_TEST_MODEL", "")
TEXT = "안녕하세요 Grüße 👩‍👩‍👧 café naïve \U0001F600 end"
ADD = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}


def script(text):
    return "echo:" + text.replace("\\", "\\\\").replace("\n", "\\n")


def python(code, **env):
    return subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(HERE.parent), **env})


class Base(unittest.TestCase):
    def setUp(self):
        self.context = aios.Context()

    def model(self, text, **options):
        return aios.Model(script(text), self.context, **options)

    def agent(self, text, *tools, **options):
        """An agent over a script; tools are functions, or pairs of function and options of add."""
        toolset = aios.Toolset(self.context)
        for t in tools:
            fn, opts = t if isinstance(t, tuple) else (t, {})
            toolset.add(fn, **{"effect": "read", **opts})
        return aios.Agent(self.model(text), toolset, **options)

    def fails(self, code, fn, *args, **options):
        with self.assertRaises(aios.Error) as caught:
            fn(*args, **options)
        self.assertEqual(caught.exception.name, code, caught.exception)
        return caught.exception


class Counted(unittest.TextTestResult):
    """Counts what passed: Python versions differ in whether a skipped test was run."""
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    """Runs the tests of the program, and leaves with how they ended."""
    result = unittest.main(exit=False, testRunner=unittest.TextTestRunner(verbosity=2, resultclass=Counted)).result
    failed = len(result.failures) + len(result.errors)
    print(f"[  PASSED  ] {result.passed} test(s).")
    if failed:
        print(f"[  FAILED  ] {failed} test(s)")
    sys.exit(bool(failed))

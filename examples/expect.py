# SPDX-License-Identifier: Apache-2.0
"""Runs a program and compares its standard output: expect.py STDOUT STDIN PROGRAM [ARG...]; escapes as in Python."""
import subprocess
import sys

want, given = (s.encode().decode("unicode_escape") for s in sys.argv[1:3])
got = subprocess.run(sys.argv[3:], input=given, capture_output=True, text=True, timeout=60)
if got.returncode or got.stdout != want:
    sys.exit(f"status {got.returncode}\n--- expected\n{want}\n--- got\n{got.stdout}\n--- stderr\n{got.stderr}")

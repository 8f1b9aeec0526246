#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the cases in meson's test logs: those a cmocka program reports, else one a program."""
import json
import re
import sys

PASSED = re.compile(r"\[  PASSED  \] (\d+) test\(s\)")
FAILED = re.compile(r"\[  FAILED  \] +(?:tests: +)?(\d+) test\(s\)")


def count(entry):
    """(passed, failed, skipped) of one program."""
    text = (entry.get("stdout") or "") + (entry.get("stderr") or "")
    if entry["result"] == "SKIP":
        return 0, 0, 1
    passed = sum(int(n) for n in PASSED.findall(text))
    failed = sum(int(n) for n in FAILED.findall(text))
    ok = entry["result"] in ("OK", "EXPECTEDFAIL")
    if not passed and not failed:
        passed = int(ok)
    if not ok and not failed:
        failed = 1
    return passed, failed, 0


def main():
    total = [0, 0, 0]
    for path in sys.argv[1:]:
        try:
            lines = open(path, encoding="utf-8").read().splitlines()
        except OSError as e:
            print(f"{path}: {e.strerror}", file=sys.stderr)
            total[1] += 1
            continue
        for line in lines:
            entry = json.loads(line)
            got = count(entry)
            if got[1]:
                print("failed:", path.split("/")[0], entry["name"], file=sys.stderr)
            total = [a + b for a, b in zip(total, got)]
    print(f"{total[0]} passed, {total[1]} failed" + (f", {total[2]} skipped" if total[2] else ""))
    return 1 if total[1] or not total[0] else 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_postgres.py STORE: an agent of the command that is killed, and goes on in another process, with its runs in PostgreSQL."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

AIOS = os.environ["AIOS_CLI"]
STORE = sys.argv.pop(1)


class Postgres(unittest.TestCase):
    def test_a_killed_agent_repeats_no_effect(self):
        with tempfile.TemporaryDirectory() as d:
            with open(f"{d}/tools.json", "w") as f:
                json.dump([{"name": "pay", "command": ["/bin/sh", "-c", f"echo paid >> {d}/ledger; sleep 5"]}], f)
            args = [AIOS, "agent", "--store", STORE, "-m", "echo:call pay {}; turn; say over", "--tools", f"{d}/tools.json", "--allow", "pay"]
            with subprocess.Popen([*args, "--run-id", "r1", "go"], stderr=subprocess.PIPE) as p:
                for _ in range(500):
                    if os.path.exists(f"{d}/ledger"):
                        break
                    time.sleep(0.02)
                p.send_signal(signal.SIGKILL)

            def resume():
                return subprocess.run([*args, "--resume", "r1"], input=b"", capture_output=True, timeout=60)

            done = resume()
            self.assertIn(f"process {p.pid} of ".encode(), done.stderr)
            psql = os.path.join(os.path.dirname(os.environ["AIOS_TEST_PG_CTL"]), "psql")
            subprocess.run([psql, "-qc", "update aios_claim set until = now()", STORE.removeprefix("postgres:")], check=True)  # as two minutes would
            done = resume()
            self.assertIn(b"nobody knows whether it happened", done.stderr)
            self.assertEqual((done.returncode, done.stdout), (0, b"over\n"), done.stderr)
            with open(f"{d}/ledger") as f:
                self.assertEqual(f.read(), "paid\n")
            run = json.loads(subprocess.run([AIOS, "runs", "show", "r1", "--store", STORE, "--json"], capture_output=True, check=True).stdout)
            self.assertEqual((run["state"], run["resumes"]), ("done", 1))


if __name__ == "__main__":
    unittest.main()

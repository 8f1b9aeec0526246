#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""with_postgres.py COMMAND...: runs it beside a PostgreSQL server of its own; @ in an argument is the server's place, as libpq takes it.

Exit 77, a skip, where no server is installed.
"""
import glob
import os
import pwd
import shutil
import subprocess
import sys
import tempfile


def find_server():
    at = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True) + [os.path.dirname(shutil.which("initdb") or "")]
    return next((d for d in at if d and os.access(d + "/initdb", os.X_OK)), None)


def as_nobody_special():
    """PostgreSQL does not run as root."""
    if os.getuid():
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def main():
    bin_dir = find_server()
    if not bin_dir:
        print("skipped: no PostgreSQL server is installed")
        return 77
    who = as_nobody_special()
    with tempfile.TemporaryDirectory(prefix="aios-pg-") as home:
        if who:
            os.chown(home, who["user"], who["group"])

        def run(*args):
            subprocess.run(args, check=True, stdout=subprocess.DEVNULL, cwd=home, **who)

        run(bin_dir + "/initdb", "-D", home + "/db", "-U", "aios", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        with open(home + "/db/postgresql.conf", "a") as f:
            f.write("listen_addresses = ''\nfsync = off\nmax_connections = 100\n")
            f.write("unix_socket_directories = '%s'\n" % home)
        run(bin_dir + "/pg_ctl", "-D", home + "/db", "-w", "-l", home + "/log", "start")
        try:
            place = "host=%s dbname=postgres user=aios" % home
            env = dict(os.environ, AIOS_TEST_PG_CTL=bin_dir + "/pg_ctl", AIOS_TEST_PG_DATA=home + "/db")
            return subprocess.run([a.replace("@", place) for a in sys.argv[1:]], env=env).returncode
        finally:
            run(bin_dir + "/pg_ctl", "-D", home + "/db", "-w", "-m", "immediate", "stop")


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From the start of a process to its first token, and the memory it then holds; JSON lines, medians of interleaved rounds.

  start.py MODEL... [--aios PATH] [--rounds N] [--threads T] [--peer]

Each model is started with n_ctx 512 and 8192 (unused), packed anew, with packed weights read from a cache, and with them mapped. --peer adds
llama.cpp by llama-cpp-python if it is installed; its time begins when the package is imported, its memory is what it adds to that.
The file is in the page cache (one start is thrown away). seconds: to the first byte of the reply; peak_mib: largest resident set;
pss_mib: share of memory by then (pages that several processes map count in parts).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT = "Hello"
PEER = """
import json, sys, time
from llama_cpp import Llama
def kib(key):
    return int(next(l for l in open("/proc/self/status") if l.startswith(key)).split()[1])
base, t = kib("VmRSS:"), time.monotonic()
m = Llama(sys.argv[1], n_ctx=int(sys.argv[2]), n_threads=int(sys.argv[3]), n_threads_batch=int(sys.argv[3]), verbose=False)
for _ in m.create_chat_completion([{"role": "user", "content": sys.argv[4]}], max_tokens=1, temperature=0, stream=True):
    if _["choices"][0]["delta"].get("content"):
        break
print(json.dumps({"seconds": time.monotonic() - t, "peak_mib": (kib("VmHWM:") - base) / 1024, "pss_mib": None}))
"""


def field(pid, name, key):
    with open(f"/proc/{pid}/{name}") as f:
        return int(next(line for line in f if line.startswith(key)).split()[1]) / 1024


def start_aios(args, model, n_ctx, extra):
    cmd = [args.aios, "chat", "-q", "-n", "1", "-m", model, "-c", str(n_ctx), "-t", str(args.threads), *extra]
    t = time.monotonic()
    with subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        p.stdin.write(PROMPT.encode() + b"\n")
        p.stdin.flush()
        if not os.read(p.stdout.fileno(), 1):
            sys.exit(f"{' '.join(cmd)} said nothing")
        row = {"seconds": time.monotonic() - t, "peak_mib": field(p.pid, "status", "VmHWM:"), "pss_mib": field(p.pid, "smaps_rollup", "Pss:")}
        p.stdin.close()
        p.stdout.read()
    return row


def start_peer(args, model, n_ctx):
    out = subprocess.run([sys.executable, "-c", PEER, model, str(n_ctx), str(args.threads), PROMPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(out.stdout) if out.returncode == 0 else None


def measure(args, model, n_ctx, cache):
    engines = {"aios packing": lambda: start_aios(args, model, n_ctx, ["--cache", "off"]),
               "aios cached": lambda: start_aios(args, model, n_ctx, ["--cache", cache]),
               "aios mapped": lambda: start_aios(args, model, n_ctx, ["--cache", cache, "--mmap"])}
    if args.peer:
        engines["llama.cpp"] = lambda: start_peer(args, model, n_ctx)
    rows = {name: [] for name in engines}
    for i in range(args.rounds + 1):
        for name, run in engines.items():
            row = run()
            if i and row:
                rows[name].append(row)
    for name, got in rows.items():
        if got:
            mid = {k: None if got[0][k] is None else round(statistics.median(r[k] for r in got), 4) for k in got[0]}
            print(json.dumps({"engine": name, "model": os.path.basename(model), "n_ctx": n_ctx, "threads": args.threads,
                              "file_mib": round(os.path.getsize(model) / 2**20, 1), **mid}), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("models", nargs="+")
    p.add_argument("--aios", default="build/cli/aios")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--peer", action="store_true")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        for model in args.models:
            for n_ctx in (512, 8192):
                measure(args, model, n_ctx, cache)


if __name__ == "__main__":
    main()

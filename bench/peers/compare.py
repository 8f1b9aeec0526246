#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Paired, interleaved speed of aios and llama.cpp (PyPI llama-cpp-python) on the same file, threads and tokens.

usage: compare.py MODEL [--pairs 10] [--threads 2] [-p 16,64,512] [-n 64] [--flash 0,1]
One JSON line a test: medians, the median of the ratios pair by pair, and its 90% bootstrap interval. The peer runs with and without
flash attention; the better median counts."""
import argparse
import ctypes
import json
import os
import random
import statistics
import subprocess
import time

import llama_cpp

AIOS = os.environ.get("AIOS_CLI", "build/cli/aios")


class Peer:
    """llama.cpp, evaluated as its own bench does: random tokens, logits of the last one only."""

    def __init__(self, path, threads, flash):
        llama_cpp.llama_backend_init()
        self.quiet = llama_cpp.llama_log_callback(lambda *a: None)
        llama_cpp.llama_log_set(self.quiet, None)
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        p = llama_cpp.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch = 2304, 2048, 512
        p.n_threads = p.n_threads_batch = threads
        if hasattr(p, "flash_attn_type"):
            p.flash_attn_type = flash
        self.ctx = llama_cpp.llama_init_from_model(self.model, p)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.rng = random.Random(42)

    def ids(self, n):
        return (ctypes.c_int32 * n)(*(self.rng.randrange(self.vocab) for _ in range(n)))

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.ctx), True)

    def prefill(self, n):
        self.clear()
        ids = self.ids(n)
        t = time.perf_counter()
        assert llama_cpp.llama_decode(self.ctx, llama_cpp.llama_batch_get_one(ids, n)) == 0
        llama_cpp.llama_synchronize(self.ctx)
        return n / (time.perf_counter() - t)

    def decode(self, n):
        self.clear()
        t = time.perf_counter()
        for _ in range(n):
            assert llama_cpp.llama_decode(self.ctx, llama_cpp.llama_batch_get_one(self.ids(1), 1)) == 0
        llama_cpp.llama_synchronize(self.ctx)
        return n / (time.perf_counter() - t)


def ours(args, kind, n):
    """tok/s of one repetition after a warm-up."""
    flags = ["-p", str(n), "-n", "1"] if kind == "pp" else ["-p", "0", "-n", str(n)]
    out = subprocess.run([AIOS, "bench", "-m", args.model, "-t", str(args.threads), "-r", "1", "-q", *flags], capture_output=True, text=True, check=True).stdout
    rows = {r["test"]: r for r in map(json.loads, out.splitlines())}
    return rows[f"{kind}{n}"]["median"]


def interval(ratios):
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(1000))
    return [round(medians[50], 3), round(medians[949], 3)]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model")
    ap.add_argument("--pairs", type=int, default=10)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("-p", default="16,64,512")
    ap.add_argument("-n", type=int, default=64)
    ap.add_argument("--flash", default="0,1")
    args = ap.parse_args()
    tests = [("pp", int(n)) for n in args.p.split(",") if n] + ([("tg", args.n)] if args.n else [])
    peers = {f: Peer(args.model, args.threads, int(f)) for f in args.flash.split(",")}
    for kind, n in tests:
        mine, theirs = [], {f: [] for f in peers}
        for f, p in peers.items():
            (p.prefill if kind == "pp" else p.decode)(n)
        for _ in range(args.pairs):
            mine.append(ours(args, kind, n))
            for f, p in peers.items():
                theirs[f].append((p.prefill if kind == "pp" else p.decode)(n))
        best = max(theirs, key=lambda f: statistics.median(theirs[f]))
        ratios = [a / b for a, b in zip(mine, theirs[best])]
        print(json.dumps({"test": f"{kind}{n}", "model": os.path.basename(args.model), "threads": args.threads, "pairs": args.pairs,
                          "aios": round(statistics.median(mine), 1), "llama.cpp": round(statistics.median(theirs[best]), 1), "flash": best,
                          "ratio": round(statistics.median(ratios), 3), "interval": interval(ratios)}), flush=True)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Paired, interleaved speed of the first engine against each of the others, on the same file, threads and tokens.

usage: compare.py MODEL [ENGINE ...] [--tests pp16,pp64,pp512,tg128,tg128x8] [--pairs 10] [--threads 2] [--llama-bench PATH [--label NAME]]
Engines: aios, llama.cpp, openvino (see engines.py); default: aios llama.cpp. `aios aios@1` gives the scaling by threads. One JSON line a
test: tokens a second of each engine pair by pair, medians, the median of the ratios with its 90% bootstrap interval, the limits that
`aios devices --probe` finds in the same run, and the share of them that is reached. An engine with settings (flash attention, repacking)
runs with the best of them, found before the pairs. report.py makes tables and the plot of such lines; lines of one test add up."""
import argparse
import datetime
import json
import os
import random
import statistics
import time

import engines
import limits

PAUSE_S = 0.05   # until the spinning threads of the engine before sleep
QUIET = 0.08     # part of one CPU that others may take


def interval(ratios):
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(1000))
    return [round(statistics.median(ratios), 3), round(medians[50], 3), round(medians[949], 3)]


def best_variant(engine, test, tries):
    """Warms up too."""
    if len(engine.variants) == 1:
        engine.run(test, engine.variants[0])
        return engine.variants[0]
    return max(engine.variants, key=lambda v: max(engine.run(test, v) for _ in range(tries)))


def cpu_of_others():
    """Seconds of CPU that other processes and other guests have used; those of a child count for us once it is waited for."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    own = os.times()
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - sum(own[:4])


def one_pair(made, names, test, flags):
    """tok/s of each engine, and the part of one CPU that others took meanwhile."""
    row, others, start = {}, cpu_of_others(), time.monotonic()
    for n in names:
        time.sleep(PAUSE_S)
        row[n] = round(made[n].run(test, flags[n]), 2)
    return row, (cpu_of_others() - others) / (time.monotonic() - start)


class Prober:
    """Limits beside each pair: memory has moods. A look between two pairs serves both; peaks of computing hold still, two looks do."""

    def __init__(self, test, threads, level):
        self.often, self.args = test.startswith("tg"), (threads, level)
        self.last = limits.probe(*self.args)

    def after_pair(self):
        before = self.last
        if self.often:
            self.last = limits.probe(*self.args)
        return limits.best(before, self.last)

    def end(self):
        return limits.best(self.last, limits.probe(*self.args))


def measure(made, test, pairs, tries, prober):
    """Pairs that others disturbed are made again, as often as there are pairs; what is left of it is told."""
    names = [n for n in made if made[n].can(test)]
    flags = {n: best_variant(made[n], test, tries) for n in names}
    rows = []
    for i in range(2 * pairs):
        row, others = one_pair(made, names if i % 2 == 0 else names[::-1], test, flags)
        rows.append((others, row, prober.after_pair()))
        if sum(r[0] < QUIET for r in rows) == pairs:
            break
    return flags, sorted(rows, key=lambda r: r[0] >= QUIET)[:pairs]


def shares(work, test, rows, rates):
    """Of the limits beside each pair for decoding, of the run's for a prompt."""
    return {n: round(statistics.median(limits.share(work, test, row[n], beside if test.startswith("tg") else rates) for _, row, beside in rows), 3)
            for n in rows[0][1]}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("model")
    ap.add_argument("engines", nargs="*", default=["aios", "llama.cpp"])
    ap.add_argument("--tests", default="pp16,pp64,pp512,tg128,tg128x8")
    ap.add_argument("--pairs", type=int, default=10)
    ap.add_argument("--tries", type=int, default=1, help="runs of each setting before the best is chosen")
    ap.add_argument("--use", action="append", default=[], metavar="NAME=SETTING", help="this setting of an engine instead of a search")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--llama-bench", metavar="PATH", help="one more engine: a program with the options of llama-bench")
    ap.add_argument("--label", default="llama-bench", help="its name in the output")
    args = ap.parse_args()
    tests = args.tests.split(",")
    for test in tests:
        engines.parse_test(test)
    made = {name: engines.open_engine(name, args.model, args.threads) for name in args.engines}
    if args.llama_bench:
        made[args.label] = engines.open_engine(args.llama_bench, args.model, args.threads)
    for name, setting in (u.split("=", 1) for u in args.use):
        made[name].variants = [setting]
    first = next(iter(made))
    level = getattr(made[first], "level", None)
    work = limits.work_of(args.model)
    for test in tests:
        prober = Prober(test, args.threads, level)
        flags, rows = measure(made, test, args.pairs, args.tries, prober)
        rates = prober.end()
        tok_s = {n: [row[n] for _, row, _ in rows] for n in flags}
        print(json.dumps({
            "test": test, "model": os.path.basename(args.model), "threads": args.threads, "level": level, "cpu": rates["cpu"],
            "date": datetime.date.today().isoformat(), "pairs": args.pairs, "others_cpu": round(max(others for others, _, _ in rows), 3),
            "first": first, "tok_s": tok_s, "median": {n: round(statistics.median(v), 1) for n, v in tok_s.items()},
            "flags": {n: f for n, f in flags.items() if f},
            "ratio": {n: interval([a / b for a, b in zip(tok_s[first], v)]) for n, v in tok_s.items() if n != first},
            "share": shares(work, test, rows, rates), "read_gb_s": [round(r["read_bytes_per_s"] / 1e9, 1) for _, _, r in rows],
            "int8_gop_s": round(rates["int8_op_per_s"] / 1e9, 1)}), flush=True)


if __name__ == "__main__":
    main()

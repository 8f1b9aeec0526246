#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A conversation of 100 tool turns on one session: is each token prefilled once, and does a turn at the end cost what one at the start did?

usage: bench_turns.py MODEL [--turns 100] [--reply 8] [--lines 2] [--threads 2]
A line a turn: tokens of the prompt, how many of them are new and how many were prefilled, milliseconds. The last line is the verdict: `once`,
no turn prefilled more than is new in it (the end of a reply may be read anew with what follows it); `flat`, the median turn of the last tenth
takes at most the time of the first tenth and what attention over the longer context must cost (`--slope` microseconds a token and step)."""
import argparse
import json
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "bindings" / "python"), str(HERE / "peers")]
import aios  # noqa: E402  pylint: disable=wrong-import-position
from scenario import Agent  # noqa: E402  pylint: disable=wrong-import-position


def turns(args):
    model = aios.Model(args.model, n_ctx=args.ctx, n_threads=args.threads)
    session, agent, held = model.session(), Agent(1, args.lines), 0
    for i in range(args.turns):
        t = time.perf_counter()
        reply = session.complete(raw=agent.text, max_tokens=args.reply, ignore_eos=True)
        ms, usage = (time.perf_counter() - t) * 1000, reply.usage[-1]
        yield {"turn": i + 1, "input": usage.input, "new": usage.input - held, "prefilled": usage.input - usage.cached,
               "output": usage.output, "ms": round(ms, 2)}
        held = usage.input + usage.output - 1  # the last token of a reply is not computed before it is needed
        agent.add(reply.text)


def verdict(rows, args):
    tenth = max(1, len(rows) // 10)
    first, last = rows[1:tenth + 1], rows[-tenth:]
    ms = [statistics.median(r["ms"] for r in part) for part in (first, last)]
    longer = statistics.median(r["input"] for r in last) - statistics.median(r["input"] for r in first)
    steps = args.reply + 1
    return {"test": f"turns{len(rows)}", "threads": args.threads, "input": rows[-1]["input"], "new": sum(r["new"] for r in rows),
            "prefilled": sum(r["prefilled"] for r in rows), "once": all(r["prefilled"] <= max(r["new"], 0) + args.reply for r in rows),
            "ms_first": ms[0], "ms_last": ms[1], "us_per_token_and_step": round((ms[1] - ms[0]) * 1000 / longer / steps, 3),
            "flat": ms[1] <= ms[0] + longer * steps * args.slope / 1000}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("model")
    ap.add_argument("--turns", type=int, default=100)
    ap.add_argument("--reply", type=int, default=8)
    ap.add_argument("--lines", type=int, default=2)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--ctx", type=int, default=8192)
    ap.add_argument("--slope", type=float, default=1.5, help="microseconds that a token of context may add to a step")
    args = ap.parse_args()
    rows = []
    for row in turns(args):
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(json.dumps(verdict(rows, args)), flush=True)


main()

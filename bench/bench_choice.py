#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the model choose the right tool, token by token and by calibrated scores?

usage: bench_choice.py MODEL [--split test] [--cases FILE] [--tokens 160] [--threads 2]
Questions of bench/data/choice.jsonl over the tools of choice_tools.json, or of FILE: a JSON list of [tools, question, name]. A call is required
in each, so that only the choice counts; questions that no tool fits are left out. A line a question and way; then for each way how many are
right, the median time of a turn, and for calibrated choice the curve of margins: with the least sure share of the answers left out, how many of
the others are right. The last line compares both: wins and losses question by question, and, of turns in which both made the same call of as many tokens, the times
and how much more the calibrated ones took."""
import argparse
import json
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bindings" / "python"))
import aios  # noqa: E402  pylint: disable=wrong-import-position


def questions(args):
    if args.cases:
        for i, (tools, question, name) in enumerate(json.loads(pathlib.Path(args.cases).read_text("utf-8"))):
            if i % args.every == 0:
                yield {"id": i, "set": i, "question": question, "tool": name}, tools
        return
    sets = json.loads((HERE / "data" / "choice_tools.json").read_text("utf-8"))
    for line in (HERE / "data" / "choice.jsonl").read_text("utf-8").splitlines():
        q = json.loads(line)
        if q["tool"] and args.split in ("all", q["split"]) and q["id"] % args.every == 0:
            yield q, sets[q["set"]]


def ask(session, q, tools, calibrate, args):
    """Which tool was called: in one way, in a session that knows the tools already."""
    t = time.perf_counter()
    reply = session.complete(q["question"], tools=tools, tool_choice="required", one_call=True, max_tokens=args.tokens, calibrate=calibrate)
    ms = (time.perf_counter() - t) * 1000
    usage = reply.usage[-1]
    row = {"way": "calibrated" if calibrate else "plain", "id": q["id"], "set": q["set"], "tool": q["tool"], "n_tools": len(tools),
           "chosen": reply.calls[0].name if reply.calls else None, "ms": round(ms, 1), "output": usage.output, "reason": reply.reason}
    if reply.choices:
        row["margin"] = json.loads(reply.choices[0].text)["margin"]
        row["chosen"] = reply.choices[0].name
    row["right"] = row["chosen"] == q["tool"]
    return row


def run(args):
    model = aios.Model(args.model, n_ctx=args.ctx, n_threads=args.threads)
    sessions = {}
    for q, spec in questions(args):
        tools = [{"name": t["name"], "description": t["description"], "schema": t["parameters"]} for t in spec]
        if q["set"] not in sessions:
            sessions = {q["set"]: model.session()}
            for calibrate in (False, True):  # neither way pays for the first reading of the tools
                ask(sessions[q["set"]], {**q, "question": "Hello."}, tools, calibrate, args)
        for calibrate in (False, True):
            yield ask(sessions[q["set"]], q, tools, calibrate, args)


def curve(rows):
    """Answers by margin, the surest first: how many of those that are kept are right."""
    rows = sorted((r for r in rows if "margin" in r), key=lambda r: -r["margin"])
    out = []
    for kept in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        part = rows[:round(len(rows) * kept)]
        if part:
            out.append({"kept": kept, "margin": round(part[-1]["margin"], 2), "accuracy": round(sum(r["right"] for r in part) / len(part), 3)})
    return out


def summary(rows, way):
    mine = [r for r in rows if r["way"] == way]
    return {"way": way, "n": len(mine), "right": sum(r["right"] for r in mine), "accuracy": round(sum(r["right"] for r in mine) / len(mine), 3),
            "cut": sum(r["chosen"] is None for r in mine), "ms": round(statistics.median(r["ms"] for r in mine), 1), "curve": curve(mine)}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("model")
    ap.add_argument("--split", default="test", choices=["dev", "test", "all"])
    ap.add_argument("--cases")
    ap.add_argument("--every", type=int, default=1, help="only every n-th question")
    ap.add_argument("--tokens", type=int, default=160)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--ctx", type=int, default=4096)
    args = ap.parse_args()
    rows = []
    for row in run(args):
        rows.append(row)
        print(json.dumps(row), flush=True)
    for way in ("plain", "calibrated"):
        print(json.dumps(summary(rows, way)), flush=True)
    pairs = list(zip(rows[0::2], rows[1::2]))
    same = [(a["ms"], b["ms"]) for a, b in pairs if (a["chosen"], a["output"]) == (b["chosen"], b["output"])]
    last = {"model": pathlib.Path(args.model).name, "cases": args.cases or args.split, "n": len(pairs),
            "won": sum(b["right"] and not a["right"] for a, b in pairs), "lost": sum(a["right"] and not b["right"] for a, b in pairs)}
    if same:
        last |= {"same": len(same), "ms": [round(statistics.median(x), 1) for x in zip(*same)],
                 "more": round(sum(b for _, b in same) / sum(a for a, _ in same) - 1, 3)}
    print(json.dumps(last))


if __name__ == "__main__":
    main()

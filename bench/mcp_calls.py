#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls of tools that real MCP servers publish (data/mcp_tools.json): 50 tools in five sets of ten, a question for each tool.

  mcp_calls.py MODEL... [--calls N] [--set S] [--temperature T] [--sessions S] [--threads T] [--verbose]

Each call must name a tool of its set, and its arguments must satisfy the tool's schema, judged by python-jsonschema if it is installed and by
the library otherwise. Sessions run together. Short mode: 50 calls, one for each question; --calls 1000 for the long one. Prints a JSON line
a model: calls, those that are valid, replies that found no end within --tokens (cut), how many chose the tool the question is about
(right_tool), tokens a second. Exit status 1 if a call is wrong.
"""
import argparse
import collections
import concurrent.futures
import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bindings" / "python"))
import aios  # noqa: E402

try:
    import jsonschema
except ImportError:
    jsonschema = None


def judge(schema, arguments, grammar):
    """None, or why the arguments break the schema."""
    if not jsonschema:
        return None if grammar.matches(json.dumps(json.loads(arguments), separators=(",", ":"), ensure_ascii=False)) else "outside the schema's grammar"
    cls = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    errors = list(cls(schema, format_checker=cls.FORMAT_CHECKER).iter_errors(json.loads(arguments)))
    return errors[0].message[:200] if errors else None


def one_call(session, tools, number, seed, args):
    rows = [{"name": t["name"], "description": t["description"], "schema": t["schema"]} for t in tools]
    sampling = {"temperature": args.temperature, "seed": seed} if args.temperature else None
    return session.complete(tools[number]["ask"], tools=rows, tool_choice="required", one_call=True, max_tokens=args.tokens, sampling=sampling)


def measure(path, sets, args):
    model = aios.Model(path, n_ctx=8192, n_threads=args.threads)
    count, tokens, decode_ns = collections.Counter(), 0, 0
    jobs = [(i, s, k) for i in range(args.calls) for s, k in [divmod(i % 50, 10)]]
    jobs = sorted((j for j in jobs if args.set in (0, j[1] + 1)), key=lambda j: j[1])  # sets one after the other: their beginnings are shared
    grammars = {} if jsonschema else {t["name"]: aios.Grammar(model.context, json.dumps(t["schema"]), "schema") for s in sets for t in s["tools"]}
    sessions = [model.session(threaded=True) for _ in range(args.sessions)]
    free = list(sessions)

    def work(job):
        i, s, k = job
        session = free.pop()
        try:
            return job, one_call(session, sets[s]["tools"], k, 1 + i, args)
        finally:
            free.append(session)

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.sessions) as pool:
        for (i, s, k), reply in pool.map(work, jobs):
            tools = {t["name"]: t for t in sets[s]["tools"]}
            tokens += reply.usage[-1].output
            decode_ns += reply.usage[-1].decode_ns
            count["calls"] += len(reply.calls)
            count["cut"] += reply.reason == "length"
            count["none"] += not reply.calls and reply.reason != "length"
            for call in reply.calls:
                why = judge(tools[call.name]["schema"], call.text, grammars.get(call.name)) if call.name in tools else "no such tool"
                count["exists"] += call.name in tools
                count["valid"] += why is None
                count["right_tool"] += call.name == sets[s]["tools"][k]["name"]
                if why or args.verbose:
                    print(f"{i} {sets[s]['tools'][k]['ask']} -> {call.name} {call.text}: {why or 'valid'}", file=sys.stderr)
    seconds = time.monotonic() - begin
    print(json.dumps({"bench": "mcp_calls", "model": pathlib.Path(path).stem, "turns": len(jobs), "tools": 50, "calls": count["calls"], "exists": count["exists"], "valid": count["valid"],
                      "cut": count["cut"], "none": count["none"], "right_tool": count["right_tool"], "temperature": args.temperature, "sessions": args.sessions,
                      "output_tokens": tokens, "tok_s": round(tokens / seconds, 1), "judge": "jsonschema" if jsonschema else "aios"}), flush=True)
    return count["calls"] > 0 and count["valid"] == count["calls"] and not count["none"]


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("models", nargs="+")
    a.add_argument("--calls", type=int, default=50)
    a.add_argument("--set", type=int, default=0, help="only the calls of this one, from 1")
    a.add_argument("--temperature", type=float, default=1.0)
    a.add_argument("--tokens", type=int, default=400)
    a.add_argument("--sessions", type=int, default=8)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--verbose", action="store_true")
    args = a.parse_args()
    sets = json.loads((HERE / "data" / "mcp_tools.json").read_text(encoding="utf-8"))["sets"]
    sys.exit(0 if all([measure(m, sets, args) for m in args.models]) else 1)


if __name__ == "__main__":
    main()

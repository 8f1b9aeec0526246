#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Agents that are killed: a run makes CALLS calls of a tool whose effect is a line in a file; SIGKILL comes at a random instant, the next process goes on
with the run, is killed too ... until it is done. Counted is what the file has twice, what it lacks without a word (lost), what was told to be unknown, and what of that did not happen (missing).

usage: kills.py [ENGINE ...] [--kills 1000] [--calls 10] [--tool-ms 0] [--seed 1]
Engines: langgraph (SqliteSaver, durability "sync"); aios (the tool is "unsafe"; of what nobody knows the host says no), aios-reconcile (as before,
with a reconcile that looks into the file), aios-keyed (the other end knows the key of a call): store sqlite:FILE. --tool-ms: time from the effect to the
tool's answer. One JSON line an engine. Lives are forked from one process that has loaded the engine, and begin with nothing open."""
import argparse
import collections
import importlib.metadata
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bindings" / "python"))


class Ledger:
    """The other end: lines "n key", each written by one call of write(2)."""

    def __init__(self, folder, args):
        self.path, self.wait = os.path.join(folder, "ledger"), args.tool_ms / 1000

    def add(self, n, key="-"):
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, f"{n} {key}\n".encode())
        os.close(fd)
        time.sleep(self.wait)
        return "done"

    def rows(self):
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="ascii") as f:
            return [line.split() for line in f]

    def has(self, key):
        return any(k == key for _, k in self.rows())


class LangGraph:
    def __init__(self, args):
        import langgraph_steps
        self.peer, self.calls = langgraph_steps, args.calls
        self.version = importlib.metadata.version("langgraph") + " / checkpoint-sqlite " + importlib.metadata.version("langgraph-checkpoint-sqlite")

    def live(self, folder, ledger, tell):
        graph, start, count = self.peer.plain_graph(self.calls, ledger.add)
        app = graph.compile(checkpointer=self.peer.open_saver("sqlite", os.path.join(folder, "runs.db")))
        options = self.peer.options("sqlite", self.calls, "r")
        begun = app.get_state(options["config"]).values
        if count(app.invoke(None if begun else start, **options)) != self.calls:
            raise SystemExit("the run did not make all its steps")


class Aios:
    def __init__(self, args, effect="unsafe", reconcile=False):
        import aios
        self.aios, self.effect, self.reconcile, self.version = aios, effect, reconcile, aios.version()
        self.script = "echo:" + ";".join(f'call act {{"n":{n}}};turn' for n in range(args.calls)) + ";say done"
        self.limits = {"max_turns": args.calls + 2, "max_calls": args.calls + 2}

    def live(self, folder, ledger, tell):
        aios, keyed = self.aios, self.effect == "keyed"

        def act(call, n: int):
            return "done" if keyed and ledger.has(call.key) else ledger.add(n, call.key)

        def look(call, n: int):
            return "done" if ledger.has(call.key) else None
        context = aios.Context()
        tools = aios.Toolset(context)
        tools.add(act, effect=self.effect, pass_call=True, reconcile=look if self.reconcile else None)
        store = aios.Store(context, "sqlite:" + os.path.join(folder, "runs.db"))
        agent = aios.Agent(aios.Model(self.script, context, n_ctx=1 << 20), tools, policy=lambda action: "allow", limits=self.limits, store=store)
        try:
            run = agent.resume("r")
        except aios.Error as e:
            if e.name != "ENOENT":
                raise
            run = agent.start("go", run_id="r")
        run.finish(on_unknown=lambda ev: tell(ev.arguments["n"]))


ENGINES = {"langgraph": LangGraph, "aios": Aios, "aios-reconcile": lambda args: Aios(args, reconcile=True), "aios-keyed": lambda args: Aios(args, "keyed")}


def fork_life(engine, folder, args):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with open(os.path.join(folder, "unknown"), "a", encoding="ascii", buffering=1) as told:
            engine.live(folder, Ledger(folder, args), lambda n: told.write(f"{n}\n") and False)
        code = 0
    finally:
        os._exit(code)


def seconds_of_life(engine, args):
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        _, status = os.waitpid(fork_life(engine, folder, args), 0)
        if status:
            raise SystemExit("a run that nobody kills fails")
        return time.monotonic() - begin


def run_once(engine, args, rng, longest, left):
    """One run, killed until it is done; what became of it."""
    kills, got = 0, collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        while True:
            pid = fork_life(engine, folder, args)
            if kills < left:
                time.sleep(rng.random() * longest)
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                kills += 1
                continue
            got["failed"] += status != 0
            break
        times = collections.Counter(int(n) for n, _ in Ledger(folder, args).rows())
        with open(os.path.join(folder, "unknown"), encoding="ascii") as f:
            unknown = {int(line) for line in f}
    missing = set(range(args.calls)) - set(times)
    got.update(runs=1, kills=kills, calls=args.calls, twice=sum(v - 1 for v in times.values()), missing=len(missing), unknown=len(unknown),
               lost=len(missing - unknown))
    return got


def measure(name, args):
    engine, rng, total = ENGINES[name](args), random.Random(args.seed), collections.Counter()
    longest = min(seconds_of_life(engine, args) for _ in range(3))
    begin = time.monotonic()
    while total["kills"] < args.kills:
        total += run_once(engine, args, rng, longest, args.kills - total["kills"])
    row = {k: total[k] for k in ("runs", "kills", "calls", "twice", "lost", "unknown", "missing", "failed")}
    print(json.dumps({"bench": "kills", "engine": name, "version": engine.version, **row, "tool_ms": args.tool_ms, "seed": args.seed,
                      "ms_of_run": round(longest * 1000, 1), "seconds": round(time.monotonic() - begin, 1)}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("engine", nargs="*", default=list(ENGINES))
    p.add_argument("--kills", type=int, default=1000)
    p.add_argument("--calls", type=int, default=10)
    p.add_argument("--tool-ms", type=float, default=0)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    for name in args.engine:
        if name not in ENGINES:
            raise SystemExit(f"{name} is no engine: {', '.join(ENGINES)}")
        measure(name, args)


if __name__ == "__main__":
    main()

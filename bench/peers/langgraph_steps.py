#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Steps of LangGraph: a scripted model that calls a tool N times, then answers; two nodes and an edge that looks for calls.

usage: langgraph_steps.py [--steps 100] [--runs 1 16] [--saver none memory sqlite] [--state plain messages] [--db FILE] [--repeat 3]
state plain: a list that grows by dicts, nodes of a few lines, the least that a loop is; messages: MessagesState and the prebuilt ToolNode. Savers keep every
step (durability "sync"); sqlite is theirs, WAL and synchronous FULL as Python's sqlite3 has it. Several runs: threads that share the saver,
and, with "async", tasks of one event loop. One JSON line a case: the best of --repeat, with commits and syncs of the saver."""
import argparse
import asyncio
import concurrent.futures
import importlib.metadata
import json
import operator
import os
import sqlite3
import tempfile
import time
from typing import Annotated, TypedDict

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

VERSIONS = {name: importlib.metadata.version(name) for name in ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite", "langchain-core")}


class Plain(TypedDict):
    log: Annotated[list, operator.add]


def plain_graph(steps, act=lambda n: "42"):
    def model(state):
        n = len(state["log"]) // 2
        return {"log": [{"call": "act", "n": n} if n < steps else {"say": "done"}]}

    def tools(state):
        n = state["log"][-1]["n"]
        return {"log": [{"result": act(n), "of": n}]}

    graph = StateGraph(Plain)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda s: "tools" if "call" in s["log"][-1] else END)
    graph.add_edge("tools", "model")
    return graph, {"log": [{"user": "go"}]}, lambda out: (len(out["log"]) - 2) // 2


def messages_graph(steps):
    def act(n: int) -> str:
        """Acts."""
        return "42"

    def model(state):
        n = len(state["messages"]) // 2
        call = {"name": "act", "args": {"n": n}, "id": f"call_{n}"}
        return {"messages": [AIMessage("", tool_calls=[call]) if n < steps else AIMessage("done")]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", ToolNode([act]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda s: "tools" if s["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "model")
    return graph, {"messages": [HumanMessage("go")]}, lambda out: (len(out["messages"]) - 2) // 2


GRAPHS = {"plain": plain_graph, "messages": messages_graph}


def options(saver, steps, run):
    config = {"recursion_limit": 2 * steps + 5}
    if saver == "none":
        return {"config": config}
    return {"config": {**config, "configurable": {"thread_id": f"run-{run}"}}, "durability": "sync"}


class Counted(sqlite3.Connection):
    """Counts transactions that are written; with synchronous FULL each is a sync."""

    n_commits = 0

    def commit(self):
        Counted.n_commits += self.in_transaction
        super().commit()


def open_saver(name, path):
    if name != "sqlite":
        return InMemorySaver() if name == "memory" else None
    connection = sqlite3.connect(path, check_same_thread=False, factory=Counted)
    saver = SqliteSaver(connection)
    saver.setup()
    if connection.execute("PRAGMA synchronous").fetchone()[0] != 2:
        raise SystemExit("this sqlite3 does not sync every commit by itself")
    return saver


def run_threads(make, saver, args, n_runs):
    graph, start, count = make(args.steps)
    app = graph.compile(checkpointer=open_saver(saver, args.db))

    def one(run):
        got = count(app.invoke(start, **options(saver, args.steps, run)))
        if got != args.steps:
            raise SystemExit(f"{got} steps where {args.steps} were to be made")

    one("warm")
    Counted.n_commits = 0
    begin = time.perf_counter()
    if n_runs == 1:
        one(0)
    else:
        with concurrent.futures.ThreadPoolExecutor(n_runs) as pool:
            list(pool.map(one, range(n_runs)))
    return time.perf_counter() - begin


async def run_tasks(make, args, n_runs):
    graph, start, count = make(args.steps)
    async with AsyncSqliteSaver.from_conn_string(args.db) as saver:
        app = graph.compile(checkpointer=saver)

        async def one(run):
            if count(await app.ainvoke(start, **options("sqlite", args.steps, run))) != args.steps:
                raise SystemExit("not all steps were made")

        await one("warm")
        begin = time.perf_counter()
        await asyncio.gather(*(one(run) for run in range(n_runs)))
        return time.perf_counter() - begin


def fresh(path):
    for more in ("", "-wal", "-shm"):
        if os.path.exists(path + more):
            os.unlink(path + more)


def measure(state, saver, n_runs, how, args):
    seconds, commits = [], 0
    for _ in range(args.repeat):
        fresh(args.db)
        make = GRAPHS[state]
        seconds.append(asyncio.run(run_tasks(make, args, n_runs)) if how == "async" else run_threads(make, saver, args, n_runs))
        commits = Counted.n_commits
    best = min(seconds)
    n = args.steps * n_runs
    print(json.dumps({"bench": "agent_step", "peer": "langgraph", "state": state, "store": saver, "how": how, "runs": n_runs, "steps": args.steps,
                      "steps_per_s": round(n / best, 1), "us_per_step": round(best / n * 1e6, 1), "all_steps_per_s": [round(n / s, 1) for s in seconds],
                      "commits_per_step": round(commits / n, 2) if saver == "sqlite" and how == "threads" else None, "versions": VERSIONS}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--runs", type=int, nargs="+", default=[1, 16])
    p.add_argument("--saver", nargs="+", default=["none", "memory", "sqlite"], choices=["none", "memory", "sqlite"])
    p.add_argument("--state", nargs="+", default=["plain", "messages"], choices=list(GRAPHS))
    p.add_argument("--db")
    p.add_argument("--repeat", type=int, default=3)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.db = args.db or os.path.join(folder, "steps.db")
        for state in args.state:
            for saver in args.saver:
                for n_runs in args.runs:
                    measure(state, saver, n_runs, "threads", args)
                    if saver == "sqlite" and n_runs > 1:
                        measure(state, saver, n_runs, "async", args)
        fresh(args.db)


if __name__ == "__main__":
    main()

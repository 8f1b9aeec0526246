#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Agents that call tools: each of 16 has 12 turns, a turn is a reply of 24 tokens and a result of 20 log lines. The same texts go through
aios (all agents at once, a session and a host thread each) and through a peer.

usage: agents.py MODEL [ENGINE ...] [--agents 16] [--from 0] [--turns 12] [--reply 24] [--lines 20] [--threads 2] [--think 0] [--ranks no|told|untold]
Engines: aios; aios-serial, one agent after the other; llama.cpp, libllama of PyPI llama-cpp-python with one context that keeps the common
prefix, one agent after the other; llama-server, the server of PyPI xllamacpp with one slot; llama-server@16 with 16 slots, all agents at once.
One JSON line an engine: seconds, tokens prefilled and decoded, and by class of agents how alike they were served up to the end of the first of
them (jain: 1 is alike, spread: most by least), when they were done, and the seconds that turns waited (told by aios) and took. Peers take minutes:
--from and --agents split the work, and the seconds of the parts add up where agents run one after the other.
--think: seconds that each tool takes. --ranks: of each four agents the first is urgent (priority 1), the second has a deadline (DUE, parts of --whole
seconds, which is what all take together), the others have all the time there is; untold: aios is not told so, but the classes are counted alike.
Without --whole they are run untold first, to know it."""
import argparse
import concurrent.futures
import ctypes
import json
import os
import sys
import time

import engines
from scenario import Agent

sys.path.insert(0, str(engines.HERE.parents[1] / "bindings" / "python"))
N_CTX = 4096
DUE = (0.85, 0.7, 0.95, 0.775)  # of the 2nd, 6th, 10th, 14th agent: not the order in which they come; untold, all are done at about 1


class Aios:
    def __init__(self, args, slots):
        import aios
        self.model = aios.Model(args.model, n_ctx=N_CTX, n_threads=args.threads)
        self.reply = args.reply
        self.slots = slots

    def start(self):
        return self.model.session(threaded=True)

    def turn(self, session, text, rank):
        reply = session.complete(raw=text, max_tokens=self.reply, ignore_eos=True, **rank)
        usage = reply.usage[-1]
        return reply.text, usage.input - usage.cached, usage.output, usage.queue_ns / 1e9


class LlamaCpp:
    """Tokens that the context holds already are not computed again; greedy."""

    slots = 1

    def __init__(self, args, _):
        import llama_cpp
        self.api, self.reply = llama_cpp, args.reply
        self.peer = engines.LlamaCpp(args.model, args.threads, "")
        self.vocab = llama_cpp.llama_model_get_vocab(self.peer.model)
        self.ctx = self.peer.context("fa=1", n_ctx=N_CTX)
        self.held = []

    def start(self):
        return None

    def tokens(self, text):
        data, ids = text.encode(), (ctypes.c_int32 * N_CTX)()
        return list(ids[:self.api.llama_tokenize(self.vocab, data, len(data), ids, N_CTX, False, True)])

    def step(self, ids):
        row = (ctypes.c_int32 * len(ids))(*ids)  # the batch only points to it
        self.peer.step(self.ctx, self.api.llama_batch_get_one(row, len(ids)))
        self.held += ids

    def turn(self, _, text, rank):
        ids, same = self.tokens(text), 0
        while same < min(len(self.held), len(ids) - 1) and self.held[same] == ids[same]:
            same += 1
        self.api.llama_memory_seq_rm(self.api.llama_get_memory(self.ctx), 0, same, -1)
        self.held = self.held[:same]
        out, fresh = [], ids[same:]
        for _ in range(self.reply):
            self.step(fresh)
            fresh = [self.api.llama_sampler_sample(self.sampler, self.ctx, -1)]
            out += fresh
        piece, text = ctypes.create_string_buffer(256), b""
        for one in out:
            text += piece.raw[:max(0, self.api.llama_token_to_piece(self.vocab, one, piece, 256, 0, True))]
        return text.decode("utf-8", "replace"), len(ids) - same, self.reply, None

    @property
    def sampler(self):
        if not hasattr(self, "chain"):
            ends = [i for i in range(self.peer.ids.n_vocab) if self.api.llama_vocab_is_eog(self.vocab, i)]
            self.bias = (self.api.llama_logit_bias * len(ends))(*[self.api.llama_logit_bias(i, float("-inf")) for i in ends])
            self.chain = self.api.llama_sampler_chain_init(self.api.llama_sampler_chain_default_params())
            self.api.llama_sampler_chain_add(self.chain, self.api.llama_sampler_init_logit_bias(self.peer.ids.n_vocab, len(ends), self.bias))
            self.api.llama_sampler_chain_add(self.chain, self.api.llama_sampler_init_greedy())
        return self.chain


class LlamaServer:
    def __init__(self, args, slots):
        import xllamacpp
        p = xllamacpp.CommonParams()
        p.model.path, p.n_parallel, p.n_ctx, p.warmup, p.port = args.model, slots, N_CTX * slots, True, 0
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = args.threads
        self.server, self.reply, self.slots = xllamacpp.Server(p), args.reply, slots

    def start(self):
        return None

    def turn(self, _, text, rank):
        done = {}
        self.server.handle_completions({"prompt": text, "n_predict": self.reply, "temperature": 0, "ignore_eos": True, "cache_prompt": True},
                                       done.update)
        if "error" in done:
            raise RuntimeError(done["error"])
        return done["choices"][0]["text"], done["timings"]["prompt_n"], done["timings"]["predicted_n"], None


ENGINES = {"aios": (Aios, 16), "aios-serial": (Aios, 1), "llama.cpp": (LlamaCpp, 1), "llama-server": (LlamaServer, 1),
           "llama-server@16": (LlamaServer, 16)}


def class_of(number, args):
    return "all" if args.ranks == "no" else ("urgent", "deadline", "rest", "rest")[number % 4]


def due_of(number, args):
    return DUE[number // 4 % len(DUE)] * args.whole


def rank_of(number, began, args):
    """What the engine is told of a turn."""
    name = class_of(number, args) if args.ranks == "told" else "all"
    left = max(due_of(number, args) - (time.perf_counter() - began), 1e-9)
    return {"urgent": {"priority": 1}, "deadline": {"deadline": left}}.get(name, {})


def run_agent(engine, number, args, began=None):
    """Turns as (began, ended, tokens prefilled, decoded, seconds waited)."""
    agent, seat, rows = Agent(number, args.lines), engine.start(), []
    began = began or time.perf_counter()
    for i in range(args.turns):
        t = time.perf_counter()
        reply, n_in, n_out, waited = engine.turn(seat, agent.text, rank_of(number, began, args))
        rows.append((t - began, time.perf_counter() - began, n_in, n_out, waited))
        agent.add(reply)
        if i + 1 < args.turns:
            time.sleep(args.think)
    return rows


def served(rows, at):
    """Tokens until then; a turn under way by its time."""
    return sum((r[2] + r[3]) * min(1, max(0, (at - r[0]) / (r[1] - r[0]))) for r in rows)


def quantile(xs, q):
    xs = sorted(xs)
    return round(xs[min(len(xs) - 1, int(q * len(xs)))], 3) if xs else None


def fairness(agents):
    ends = [rows[-1][1] for rows in agents]
    had = [served(rows, min(ends)) for rows in agents]
    return {"jain": round(sum(had) ** 2 / len(had) / sum(x * x for x in had), 4), "spread": round(max(had) / min(had), 3),
            "first_done": round(min(ends), 2), "last_done": round(max(ends), 2)}


def in_time(numbers, agents, args):
    """Of agents with a deadline, by it: [due, done]."""
    rows = sorted((round(due_of(i, args), 2), round(rows[-1][1], 2)) for i, rows in zip(numbers, agents))
    return {"in_time": sum(done <= due for due, done in rows), "due_done": rows}


def by_class(agents, numbers, args, together):
    out = {}
    for name in sorted({class_of(i, args) for i in numbers}):
        mine = [i for i in numbers if class_of(i, args) == name]
        theirs = [rows for i, rows in zip(numbers, agents) if i in mine]
        took, waits = [r[1] - r[0] for rows in theirs for r in rows], [r[4] for rows in theirs for r in rows if r[4] is not None]
        out[name] = {"turn_p50": quantile(took, .5), "turn_p99": quantile(took, .99), "wait_p50": quantile(waits, .5), "wait_p99": quantile(waits, .99),
                     "wait_max": quantile(waits, 1), **(fairness(theirs) if together else {})}
        if name == "deadline" and args.whole:
            out[name].update(in_time(mine, theirs, args))
    return out


def run(name, args):
    made, slots = ENGINES[name]
    engine = made(args, slots)
    numbers = range(args.first, args.first + args.agents)
    run_agent(engine, 999, argparse.Namespace(**{**vars(args), "turns": 1, "ranks": "no"}))  # warm
    t = time.perf_counter()
    if slots == 1:
        agents = [run_agent(engine, i, args, t) for i in numbers]
    else:
        with concurrent.futures.ThreadPoolExecutor(max(slots, args.agents)) as pool:
            agents = list(pool.map(lambda i: run_agent(engine, i, args, t), numbers))
    seconds = time.perf_counter() - t
    out = {"test": f"agents{args.agents}x{args.turns}", "engine": name, "model": os.path.basename(args.model), "from": args.first,
           "agents": args.agents, "turns": args.turns, "threads": args.threads, "think": args.think, "ranks": args.ranks, "seconds": round(seconds, 3),
           "prefilled": sum(r[2] for rows in agents for r in rows), "decoded": sum(r[3] for rows in agents for r in rows)}
    print(json.dumps({**out, "classes": by_class(agents, numbers, args, slots > 1)}), flush=True)
    return seconds


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("model")
    ap.add_argument("engines", nargs="*", default=["aios"])
    ap.add_argument("--agents", type=int, default=16)
    ap.add_argument("--from", dest="first", type=int, default=0)
    ap.add_argument("--turns", type=int, default=12)
    ap.add_argument("--reply", type=int, default=24)
    ap.add_argument("--lines", type=int, default=20)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--think", type=float, default=0)
    ap.add_argument("--ranks", choices=("no", "told", "untold"), default="no")
    ap.add_argument("--whole", type=float, default=0)
    args = ap.parse_args()
    for name in args.engines:
        if name not in ENGINES:
            raise SystemExit(f"{name} is no engine: {', '.join(ENGINES)}")
        if args.ranks == "told" and not args.whole:
            args.whole = run(name, argparse.Namespace(**{**vars(args), "ranks": "untold"}))
        run(name, args)


main()

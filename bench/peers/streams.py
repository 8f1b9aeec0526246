#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The streams of bench_streams through the Python client of PyPI `openai` (asyncio), from the same server.

usage: streams.py BENCH_STREAMS [--streams 1000] [--tokens 20] [--rate 0] [--tls] [--rounds 0]
BENCH_STREAMS: the program, started as `bench_streams serve`. One JSON line, with its names. With --rounds the program's own sessions and this client take
turns, as fast as each of them takes tokens, and the last line has the ratios of their tokens a second."""
import argparse
import asyncio
import json
import resource
import ssl
import statistics
import subprocess
import sys
import time

import openai


def resident_kib():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize() / 1024


class Load:
    def __init__(self, args, url, ca_file=None):
        self.args = args
        http = openai.DefaultAsyncHttpxClient(verify=ssl.create_default_context(cafile=ca_file)) if ca_file else None
        self.client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=300, http_client=http)  # at most 1,000 connections
        self.latencies, self.tokens, self.ready = [], 0, 0
        self.started = self.cpu = self.idle_kib = None

    async def stream(self):
        chunks = await self.client.chat.completions.create(model="mock", stream=True, messages=[{"role": "user", "content": "hi"}])
        self.ready += 1
        if self.ready == self.args.streams:
            self.idle_kib = resident_kib()
        async for chunk in chunks:
            if self.started is None:
                self.started, self.cpu = time.monotonic(), time.process_time()
            self.tokens += chunk.choices[0].delta.content.startswith(" tok")
            self.latencies.append(time.monotonic() * 1e6 - chunk.model_extra["sent_us"])

    async def run(self):
        before = resident_kib()
        await asyncio.gather(*(self.stream() for _ in range(self.args.streams)))
        seconds, cpu = time.monotonic() - self.started, time.process_time() - self.cpu
        await self.client.close()  # which the server waits for
        self.latencies.sort()
        n = len(self.latencies)
        return {"bench": "http", "loop": f"openai {openai.__version__}", "tls": int(self.args.tls), "streams": self.args.streams, "tokens": self.tokens, "rate": self.args.rate,
                "tokens_s": round(self.tokens / seconds), "cpu_us_token": round(cpu / self.tokens * 1e6, 2), "p50_us": round(self.latencies[n // 2], 1),
                "p99_us": round(self.latencies[n * 99 // 100], 1), "rss_kib_stream": round((self.idle_kib - before) / self.args.streams, 1)}


def peer(args):
    """The client's figures."""
    command = [args.program, "serve", str(args.streams), str(args.tokens), str(args.rate)] + ["https"] * args.tls
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            return asyncio.run(Load(args, *server.stdout.readline().split()).run())
        except BaseException:
            server.terminate()
            raise


def pairs(args):
    """Each client in a process of its own; the ratios."""
    own, ratios = [args.program, str(args.streams), str(args.tokens), "0"] + ["https"] * args.tls, []
    other = [sys.executable, __file__, args.program, "--streams", str(args.streams), "--tokens", str(args.tokens)] + ["--tls"] * args.tls
    for _ in range(args.rounds):
        lines = [subprocess.run(c, stdout=subprocess.PIPE, text=True, check=True).stdout for c in (own, other)]
        print("".join(lines), end="", flush=True)
        ratios.append(round(json.loads(lines[0])["tokens_s"] / json.loads(lines[1])["tokens_s"], 1))
    return {"bench": "http", "pairs": args.rounds, "tls": int(args.tls), "ratio": statistics.median(ratios), "ratios": ratios}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("program")
    p.add_argument("--streams", type=int, default=1000)
    p.add_argument("--tokens", type=int, default=20)
    p.add_argument("--rate", type=float, default=0)
    p.add_argument("--tls", action="store_true")
    p.add_argument("--rounds", type=int, default=0)
    args = p.parse_args()
    print(json.dumps(pairs(args) if args.rounds else peer(args)), flush=True)


if __name__ == "__main__":
    main()

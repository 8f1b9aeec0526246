#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The streams of bench_http through the Python client of PyPI `openai` (asyncio), from the same server.

usage: streams.py BENCH_HTTP [--streams 1000] [--tokens 20] [--rate 0]
BENCH_HTTP: the program, started as `bench_http serve`. One JSON line, with the names of bench_http."""
import argparse
import asyncio
import json
import resource
import subprocess
import time

import openai


def resident_kib():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize() / 1024


class Load:
    def __init__(self, args, port):
        self.args = args
        self.client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=300)  # at most 1,000 connections
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
        self.latencies.sort()
        n = len(self.latencies)
        return {"bench": "http", "loop": f"openai {openai.__version__}", "streams": self.args.streams, "tokens": self.tokens, "rate": self.args.rate,
                "tokens_s": round(self.tokens / seconds), "cpu_us_token": round(cpu / self.tokens * 1e6, 2), "p50_us": round(self.latencies[n // 2], 1),
                "p99_us": round(self.latencies[n * 99 // 100], 1), "rss_kib_stream": round((self.idle_kib - before) / self.args.streams, 1)}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("server")
    p.add_argument("--streams", type=int, default=1000)
    p.add_argument("--tokens", type=int, default=20)
    p.add_argument("--rate", type=float, default=0)
    args = p.parse_args()
    server = subprocess.Popen([args.server, "serve", str(args.streams), str(args.tokens), str(args.rate)], stdout=subprocess.PIPE, text=True)
    try:
        print(json.dumps(asyncio.run(Load(args, int(server.stdout.readline())).run())), flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()

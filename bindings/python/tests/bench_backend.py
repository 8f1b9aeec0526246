#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pieces a second of a backend in Python beside "echo:", which is C, both read from Python: median of rounds that take turns."""
import statistics
import sys
import time

from support import aios

WORDS, ROUNDS = 12000, 9


def turn(request):
    for _ in range(WORDS):
        yield "word "
    yield aios.Usage(input=1, output=WORDS)


def rate(model, **options):
    """Pieces a second of one turn."""
    session, n = model.session(**options), 0
    at = time.perf_counter()
    for _ in session.stream("x"):
        n += 1
    return n / (time.perf_counter() - at)


def main():
    context = aios.Context()
    context.register_backend("python", turn, privacy="local")
    echo = aios.Model('echo:say "' + "word " * WORDS + '"', context, n_ctx=100000)
    rows = {"echo": echo, "python": aios.Model("python:", context)}
    for options in ({}, {"threaded": True}):
        rates = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, model in rows.items():
                rates[name].append(rate(model, **options))
        middle = {name: statistics.median(r) for name, r in rates.items()}
        print(options or "caller drives", {name: f"{r:,.0f}/s" for name, r in middle.items()},
              f"{1e6 / middle['python'] - 1e6 / middle['echo']:.1f} us more a piece")


if __name__ == "__main__":
    sys.exit(main())

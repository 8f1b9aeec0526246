#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An agent with a tool in Python, streaming. Usage: agent.py [MODEL [PROMPT]]"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # not needed where aios is installed
import aios  # noqa: E402

URI = sys.argv[1] if len(sys.argv) > 1 else 'echo:call add {"a":19,"b":23}; say The answer is\\n; result'
PROMPT = sys.argv[2] if len(sys.argv) > 2 else "What is 19 plus 23?"

context = aios.Context()
model = aios.Model(URI, context)
tools = aios.Toolset(context)


@tools.tool(effect="read")  # the default policy lets it run; others would be asked for
def add(a: int, b: int):
    """Adds two whole numbers."""
    return a + b


agent = aios.Agent(model, tools, instructions="Use the tools for sums.")
try:
    for event in agent.start(PROMPT):
        if event.kind == "text":
            print(event.text, end="", flush=True)
        elif event.kind == "call":
            print(f"[{event.name} {event.text}]")
        elif event.kind == "result":
            print(f"[= {event.text}]")
    print()
except aios.Error as e:
    sys.exit(f"\n{e}")

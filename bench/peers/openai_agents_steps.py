#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Steps of the OpenAI Agents SDK: a scripted model that calls a tool N times, then answers. Tracing is off.

usage: openai_agents_steps.py [--steps 100] [--runs 1 16] [--repeat 3]
Several runs are tasks of one event loop. One JSON line a case: the best of --repeat."""
import argparse
import asyncio
import importlib.metadata
import json
import sys
import time

sys.path.pop(0)  # its package has the name of a file that stands here
import agents  # noqa: E402
from agents.models.interface import Model  # noqa: E402
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText  # noqa: E402

VERSIONS = {name: importlib.metadata.version(name) for name in ("openai-agents", "openai")}


class Script(Model):
    def __init__(self, steps):
        self.steps, self.n = steps, 0

    async def get_response(self, *_, **__):
        self.n += 1
        if self.n <= self.steps:
            out = ResponseFunctionToolCall(arguments=json.dumps({"n": self.n}), call_id=f"call_{self.n}", name="act", type="function_call")
        else:
            text = ResponseOutputText(annotations=[], text="done", type="output_text")
            out = ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
        return agents.ModelResponse(output=[out], usage=agents.Usage(), response_id=None)

    def stream_response(self, *_, **__):
        raise NotImplementedError


@agents.function_tool
def act(n: int) -> str:
    """Acts."""
    return "42"


async def one(steps):
    agent = agents.Agent(name="bench", tools=[act], model=Script(steps))
    result = await agents.Runner.run(agent, "go", max_turns=steps + 2)
    if result.final_output != "done" or agent.model.n != steps + 1:
        raise SystemExit("not all steps were made")


async def timed(steps, n_runs):
    await one(2)
    begin = time.perf_counter()
    await asyncio.gather(*(one(steps) for _ in range(n_runs)))
    return time.perf_counter() - begin


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--runs", type=int, nargs="+", default=[1, 16])
    p.add_argument("--repeat", type=int, default=3)
    args = p.parse_args()
    agents.set_tracing_disabled(True)
    for n_runs in args.runs:
        seconds = [asyncio.run(timed(args.steps, n_runs)) for _ in range(args.repeat)]
        n, best = args.steps * n_runs, min(seconds)
        print(json.dumps({"bench": "agent_step", "peer": "openai-agents", "store": "none", "how": "async", "runs": n_runs, "steps": args.steps,
                          "steps_per_s": round(n / best, 1), "us_per_step": round(best / n * 1e6, 1), "all_steps_per_s": [round(n / s, 1) for s in seconds],
                          "versions": VERSIONS}), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tool calls on cases of the Berkeley Function Calling Leaderboard: half "simple" (one tool), half "multiple" (two to four), spread evenly.

  bfcl.py MODEL DATA [ENGINE ...] [--cases 200] [--threads 2] [--log FILE]

DATA is the folder bfcl_eval/data of PyPI bfcl-eval (unzip the wheel; nothing of it runs). ENGINE: aios, llama-server (PyPI xllamacpp); default
both. Each gets the question and the tools through the model's own chat template, must call a tool, and answers greedily.
A call is right by the leaderboard's rules for Python, written anew here: the right tool, all required arguments and no unknown ones, each of
the type asked for (an integer may stand for a float) and one of the listed values, texts compared without case, blanks and ,./-_*^.
llama-server writes blank lines behind calls that came as text until its tokens are used up: it is stopped at the third.
One JSON line an engine: right; called (a call came as a call); right_text: right if calls that came as plain text count too.
"""
import argparse
import json
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bindings" / "python"))
JSON_TYPES = {"dict": "object", "float": "number", "double": "number", "tuple": "array", "list": "array", "any": "string", "bool": "boolean"}
PY_TYPES = {"string": str, "integer": int, "float": float, "boolean": bool, "array": list, "tuple": list, "dict": dict, "any": str}
MAX_TOKENS = 200


def schema_of(s):
    """BFCL's types as those of JSON Schema."""
    if isinstance(s, list):
        return [schema_of(v) for v in s]
    if not isinstance(s, dict):
        return s
    out = {k: {n: schema_of(v) for n, v in s[k].items()} if k == "properties" else schema_of(v) for k, v in s.items() if k != "optional"}
    if isinstance(out.get("type"), str):
        out["type"] = JSON_TYPES.get(out["type"], out["type"])
    return out


def load(folder, n):
    cases = []
    for kind in ("simple_python", "multiple"):
        rows = [json.loads(line) for line in open(folder / f"BFCL_v4_{kind}.json", encoding="utf-8")]
        truth = {r["id"]: r["ground_truth"] for r in map(json.loads, open(folder / "possible_answer" / f"BFCL_v4_{kind}.json", encoding="utf-8"))}
        half = n // 2
        for i in range(half):
            r = rows[i * len(rows) // half]
            cases.append({"id": r["id"], "messages": r["question"][0], "functions": r["function"], "truth": truth[r["id"]][0]})
    return cases


# ---- the rules --------------------------------------------------------------------------------------------------------

def plain(v):
    return re.sub(r"[ ,./\-_*^]", "", v).lower().replace("'", '"') if isinstance(v, str) else v


def dict_fits(value, options):
    for want in options:
        if want == "" or any(k not in want for k in value):
            continue
        if all(plain(v) in [plain(o) for o in want[k]] for k, v in value.items()) and all(k in value or "" in v for k, v in want.items()):
            return True
    return False


def value_fits(value, spec, options):
    want = PY_TYPES[spec["type"]]
    nested = PY_TYPES[spec["items"]["type"]] if spec["type"] in ("array", "tuple") else None
    if spec["type"] == "float" and type(value) is int:
        value = float(value)
    known = [o for o in options if o != ""]
    if type(value) is not want:  # a variable stands for a value: of the type of the answers
        return bool(known) and type(value) is type(known[0]) and value in options
    if nested and not all(type(v) is nested for v in value) and not any(isinstance(o, list) and all(type(v) is nested or type(v) in {type(x) for x in o} for v in value) for o in known):
        return False
    if want is dict:
        return dict_fits(value, options)
    if nested is dict:
        return any(isinstance(o, list) and len(o) == len(value) and all(dict_fits(v, [w]) for v, w in zip(value, o)) for o in options)
    if want is list:
        return [plain(v) for v in value] in [[plain(v) for v in o] for o in options if isinstance(o, list)]
    return plain(value) in [plain(o) for o in options]


def is_right(case, calls):
    if len(calls) != 1:
        return False
    name, arguments = calls[0]
    (want, answers), = case["truth"].items()
    if name != want or not isinstance(arguments, dict):
        return False
    params = next(f for f in case["functions"] if f["name"] == want)["parameters"]
    if any(p not in arguments for p in params.get("required", [])) or any(p not in arguments and "" not in o for p, o in answers.items()):
        return False
    return all(p in params["properties"] and p in answers and value_fits(v, params["properties"][p], answers[p]) for p, v in arguments.items())


# ---- engines ----------------------------------------------------------------------------------------------------------

class Aios:
    def __init__(self, args):
        import aios
        self.aios, self.model = aios, aios.Model(args.model, n_ctx=8192, n_threads=args.threads)
        self.session = self.model.session()

    def ask(self, case):
        tools = [{"name": f["name"], "description": f["description"], "schema": schema_of(f["parameters"])} for f in case["functions"]]
        transcript = self.aios.Transcript(self.model.context, [(m["role"], m["content"]) for m in case["messages"]])
        reply = self.session.complete(transcript, tools=tools, tool_choice="required", one_call=True, max_tokens=MAX_TOKENS)
        return [(c.name, json.loads(c.text)) for c in reply.calls], reply.text or "", reply.usage[-1].input, reply.usage[-1].output


class LlamaServer:
    def __init__(self, args):
        import xllamacpp
        p = xllamacpp.CommonParams()
        p.model.path, p.n_parallel, p.n_ctx, p.use_jinja, p.port = args.model, 1, 8192, True, 0
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = args.threads
        self.server = xllamacpp.Server(p)

    def ask(self, case):
        tools = [{"type": "function", "function": {"name": f["name"], "description": f["description"], "parameters": schema_of(f["parameters"])}} for f in case["functions"]]
        done = {}
        self.server.handle_chat_completions({"messages": case["messages"], "tools": tools, "tool_choice": "required", "parallel_tool_calls": False, "temperature": 0,
                                             "max_tokens": MAX_TOKENS, "stop": ["\n\n\n"]}, lambda part: done.update(part if isinstance(part, dict) else json.loads(part)))
        if "choices" not in done:
            raise RuntimeError(json.dumps(done)[:400])
        message, calls = done["choices"][0]["message"], []
        for c in message.get("tool_calls") or []:
            try:
                calls.append((c["function"]["name"], json.loads(c["function"]["arguments"])))
            except ValueError:
                calls.append((c["function"]["name"], None))
        return calls, message.get("content") or "", done["usage"]["prompt_tokens"], done["usage"]["completion_tokens"]


ENGINES = {"aios": Aios, "llama-server": LlamaServer}


def calls_in(text):
    """Calls that stand in plain text: every object with a name and arguments."""
    calls, at, decoder = [], text.find("{"), json.JSONDecoder()
    while at >= 0:
        try:
            v, end = decoder.raw_decode(text, at)
            at = text.find("{", end)
            if isinstance(v, dict) and "name" in v and isinstance(v.get("arguments", v.get("parameters")), dict):
                calls.append((v["name"], v.get("arguments", v.get("parameters"))))
        except ValueError:
            at = text.find("{", at + 1)
    return calls


def measure(name, cases, args, log):
    engine = ENGINES[name](args)
    total = dict.fromkeys(("right", "right_simple", "right_multiple", "called", "right_tool", "right_text", "input", "output"), 0)
    begin = time.monotonic()
    for case in cases:
        calls, text, n_in, n_out = engine.ask(case)
        right, spoken = is_right(case, calls), calls or calls_in(text)
        total["right"] += right
        total["right_" + case["id"].split("_")[0]] += right
        total["called"] += bool(calls)
        total["right_tool"] += len(spoken) == 1 and spoken[0][0] in case["truth"]
        total["right_text"] += right or is_right(case, spoken)
        total["input"] += n_in
        total["output"] += n_out
        if log:
            log.write(json.dumps({"engine": name, "id": case["id"], "right": right, "calls": calls, "text": text[:500], "truth": case["truth"]}) + "\n")
            log.flush()
    print(json.dumps({"bench": "bfcl", "engine": name, "model": pathlib.Path(args.model).stem, "cases": len(cases), **total, "seconds": round(time.monotonic() - begin, 1)}), flush=True)


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("model")
    a.add_argument("data", type=pathlib.Path)
    a.add_argument("engines", nargs="*", default=list(ENGINES))
    a.add_argument("--cases", type=int, default=200)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--log")
    args = a.parse_args()
    cases = load(args.data, args.cases)
    with open(args.log or "/dev/null", "w", encoding="utf-8") as log:
        for name in args.engines:
            measure(name, cases, args, log)


if __name__ == "__main__":
    main()

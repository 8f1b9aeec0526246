#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Token masks beside llguidance (PyPI `llguidance`, `numpy`, `gguf`, `tokenizers`): masks.py MODEL.gguf --data DIR [--bench build/bench/bench_mask] [--every N] [--offset N] [--cpu] [--out FILE]

DIR holds the files of MaskBench (github.com/guidance-ai/jsonschemabench, maskbench/data). Each schema goes to both engines in turn, then each of its
valid instances, compact and with members in the schema's order, as the same tokens of the model's vocabulary, with a mask before each. Times count where both
compile, and of instances that both accept; schemas and instances that one alone takes are counted. llguidance compiles with its default options and, `--compact`,
without blanks; its times contain the call from Python, about 0.2 us (`call_us`)."""
import argparse
import json
import pathlib
import subprocess
import time

import hf_tokenizer
import llguidance
import numpy as np

LIMIT = 20  # seconds for the masks of one schema


def resolve(root, schema, seen=0):
    """The schemas that hold or may hold at a place: follows $ref, allOf, anyOf, oneOf, if/then/else."""
    out, todo = [], [schema]
    while todo and len(out) < 200:
        s = todo.pop(0)
        if not isinstance(s, dict) or any(s is x for x in out):
            continue
        out.append(s)
        ref = s.get("$ref")
        if isinstance(ref, str) and ref.startswith("#"):
            target = root
            for part in ref[1:].split("/")[1:]:
                part = part.replace("~1", "/").replace("~0", "~")
                target = target.get(part) if isinstance(target, dict) else None
            todo.append(target)
        for kw in ("allOf", "anyOf", "oneOf"):
            todo += s.get(kw) if isinstance(s.get(kw), list) else []
        todo += [s.get(kw) for kw in ("if", "then", "else")]
    return out


def normalise(root, schemas, v):
    """The instance with the members of each object in the order in which schemas list them, others behind."""
    if isinstance(v, list):
        return [normalise(root, [s for x in schemas for s in resolve(root, item_schema(x, i))], x) for i, x in enumerate(v)]
    if not isinstance(v, dict):
        return v
    order = {}
    for s in schemas:
        for k in s.get("properties") if isinstance(s.get("properties"), dict) else ():
            order.setdefault(k, len(order))
    for s in schemas:
        for k in s.get("required") if isinstance(s.get("required"), list) else ():
            if isinstance(k, str):
                order.setdefault(k, len(order))
    keys = sorted(v, key=lambda k: order.get(k, len(order)))
    return {k: normalise(root, [s for x in schemas for s in resolve(root, member_schema(x, k))], v[k]) for k in keys}


def member_schema(s, key):
    props = s.get("properties")
    return props[key] if isinstance(props, dict) and key in props else s.get("additionalProperties")


def item_schema(s, i):
    for kw in ("prefixItems", "items"):
        if isinstance(s.get(kw), list):
            return s[kw][i] if i < len(s[kw]) else s.get("additionalItems" if kw == "items" else "items")
    return s.get("items")


class Ours:
    def __init__(self, bench, model, cpu):
        self.p = subprocess.Popen([bench, model, "--raw"] + ["--cpu"] * cpu, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, schema, texts):
        self.p.stdin.write(json.dumps({"schema": schema, "texts": texts}) + "\n")
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())


class Theirs:
    def __init__(self, model, compact, cpu):
        self.now = time.thread_time_ns if cpu else time.perf_counter_ns
        tokenizer, self.n_vocab, eos = hf_tokenizer.load(model)
        self.tokenizer = llguidance.LLTokenizer(tokenizer.to_str(), n_vocab=self.n_vocab, eos_token=eos)
        self.bits = np.zeros((self.n_vocab + 31) // 32, dtype=np.uint32)
        self.options = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"} if compact else {}

    def run(self, schema, token_lists):
        now, bits, ptr, size = self.now, self.bits, self.bits.ctypes.data, self.bits.nbytes
        start = now()
        m = llguidance.LLMatcher(self.tokenizer, llguidance.LLMatcher.grammar_from_json_schema(schema, defaults=self.options), log_level=0)
        out = {"compile_us": (now() - start) / 1e3, "texts": []}
        if m.is_error():
            return {**out, "error": m.get_error()}
        for tokens in token_lists:
            w, mask_ns, step_ns, at = m.deep_copy(), [], [], 0
            stop = time.monotonic() + LIMIT
            for t in tokens:
                a = now()
                w.unsafe_compute_mask_ptr(ptr, size)
                b = now()
                ok = bits[t >> 5] >> np.uint32(t & 31) & 1
                c = now()
                ok = ok and w.consume_token(t)
                d = now()
                mask_ns.append(b - a)
                step_ns.append(d - c)
                if not ok or time.monotonic() > stop:
                    break
                at += 1
            out["texts"].append({"n": len(tokens), "accepted": at, "complete": at == len(tokens) and w.is_accepting(), "mask_ns": mask_ns, "step_ns": step_ns})
        return out

    def call_us(self):
        """A mask that costs nothing: of a matcher that has failed."""
        m = llguidance.LLMatcher(self.tokenizer, llguidance.LLMatcher.grammar_from_regex("a"), log_level=0)
        times = []
        for _ in range(2000):
            a = self.now()
            m.is_stopped()
            times.append(self.now() - a)
        return sorted(times)[1000] / 1e3


def spread(us):
    a = np.sort(np.array(us)) if len(us) else np.zeros(1)
    return {"n": len(us), "mean": round(float(a.mean()), 3), "p50": round(float(a[len(a) // 2]), 3), "p99": round(float(a[int(len(a) * .99)]), 3),
            "p999": round(float(a[int(len(a) * .999)]), 3), "max": round(float(a[-1]), 1)}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model")
    ap.add_argument("--data", required=True)
    ap.add_argument("--bench", default="build/bench/bench_mask")
    ap.add_argument("--every", type=int, default=1)
    ap.add_argument("--offset", type=int, default=0)
    ap.add_argument("--compact", action="store_true")
    ap.add_argument("--cpu", action="store_true", help="time that the threads have run, where the machine has other work")
    ap.add_argument("--out", help="a JSON line a schema, for a closer look")
    a = ap.parse_args()
    ours, theirs = Ours(a.bench, a.model, a.cpu), Theirs(a.model, a.compact, a.cpu)
    count = dict.fromkeys(("schemas", "ours", "theirs", "both", "instances", "ours_accepted", "theirs_accepted", "both_accepted"), 0)
    us = {k: ([], []) for k in ("compile", "mask", "step", "mask_and_step", "first_mask")}
    peak, log = [], open(a.out, "w") if a.out else None
    for path in sorted(pathlib.Path(a.data).glob("*.json"))[a.offset::a.every]:
        case = json.loads(path.read_text())
        root = case["schema"]
        schema = json.dumps(root, separators=(",", ":"))
        texts = [json.dumps(normalise(root, resolve(root, root), t["data"]), separators=(",", ":"), ensure_ascii=False) for t in case.get("tests", []) if t["valid"]]
        x = ours.run(schema, texts)
        if "error" in x and texts:  # the tokens are needed all the same
            lists = [t["tokens"] for t in ours.run("true", texts)["texts"]]
        else:
            lists = [t["tokens"] for t in x.get("texts", [])]
        y = theirs.run(schema, lists)
        count["schemas"] += 1
        count["ours"] += "error" not in x
        count["theirs"] += "error" not in y
        count["instances"] += len(texts)
        count["ours_accepted"] += sum(t["complete"] for t in x.get("texts", []))
        count["theirs_accepted"] += sum(t["complete"] for t in y.get("texts", []))
        line = {"file": path.name, "ours": {k: v for k, v in x.items() if k != "texts"}, "theirs": {k: v for k, v in y.items() if k != "texts"}, "texts": []}
        if "error" not in x and "error" not in y:
            count["both"] += 1
            peak.append(x["peak_bytes"])
            for i, e in enumerate((x, y)):
                us["compile"][i].append(e["compile_us"])
            for p, q in zip(x["texts"], y["texts"]):
                both = p["complete"] and q["complete"]
                line["texts"].append({"n": p["n"], "accepted": [p["accepted"], q["accepted"]], "mask_us": [sum(p["mask_ns"]) / 1e3, sum(q["mask_ns"]) / 1e3],
                                      "max_us": [max(p["mask_ns"], default=0) / 1e3, max(q["mask_ns"], default=0) / 1e3]})
                if not both:
                    continue
                count["both_accepted"] += 1
                for i, t in enumerate((p, q)):
                    us["mask"][i].extend(v / 1e3 for v in t["mask_ns"])
                    us["step"][i].extend(v / 1e3 for v in t["step_ns"])
                    us["mask_and_step"][i].extend((v + s) / 1e3 for v, s in zip(t["mask_ns"], t["step_ns"]))
                    us["first_mask"][i].append(t["mask_ns"][0] / 1e3)
        if log:
            log.write(json.dumps(line) + "\n")
    print(json.dumps({"model": pathlib.Path(a.model).name, "n_vocab": theirs.n_vocab, "llguidance": llguidance.__version__ if hasattr(llguidance, "__version__") else "",
                      "compact": a.compact, "clock": "cpu" if a.cpu else "wall", "call_us": theirs.call_us(), **count}))
    for k, (p, q) in us.items():
        print(json.dumps({"us": k, "ours": spread(p), "llguidance": spread(q)}))
    print(json.dumps({"peak_bytes": spread(peak)}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replies of a model that knows nothing, held against an independent validator (python-jsonschema, numbers as decimals).

  check_samples.py SAMPLE_DUMP [--model MODEL.gguf] [--engine] [--schemas N] [--each K] [--seed S] [--corpus DIR] [--misses FILE]

SAMPLE_DUMP is the built tests/e2e/sample_dump. Random schemas, or those of a folder; of each that compiles K replies: random choices among
the tokens that the mask allows (MODEL's vocabulary), or a network of random weights through the whole engine (--engine). Without options the
short mode: 300 schemas by 5 replies of the engine. A reply must be JSON without doubled names, and valid; one that found no end within its
token limit says so and is counted, as are formats that are not kept, since these are annotations unless asked for. Prints one JSON line;
exit status 1 if a single reply is wrong. Needs jsonschema[format-nongpl].
"""
import argparse
import collections
import concurrent.futures
import decimal
import json
import pathlib
import random
import subprocess
import sys

import jsonschema

import schema_maker


def judge(job):
    """(kind, reply, reason) of each reply to a schema that is wrong; None and why where there is no telling."""
    schema, replies = job
    doc = json.loads(schema, parse_float=decimal.Decimal)
    cls = schema_maker.judge_of(doc)
    validator = cls(doc, format_checker=cls.FORMAT_CHECKER)  # FormatChecker() would be that of all drafts mixed, with draft 3's times
    bad = []
    for raw in replies:
        try:
            validator.validate(schema_maker.exact(raw.decode("utf-8")))
        except (jsonschema.ValidationError, ValueError) as e:
            kind = "format" if getattr(e, "validator", "") == "format" else "miss"
            bad.append((kind, raw.decode("utf-8", "replace"), str(e).split("\n")[0][:300]))
        except (RecursionError, decimal.DecimalException) as e:
            return None, f"{type(e).__name__}: {e}"
        except Exception as e:  # the schema itself: references elsewhere, patterns of another kind
            return None, f"{type(e).__name__}: {e}"
    return bad, None


def corpus(folder):
    for path in sorted(pathlib.Path(folder).rglob("*.json")):
        try:
            doc = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        doc = doc.get("schema", doc) if isinstance(doc, dict) else doc
        yield json.dumps(doc)


def dump(args, seed, schemas):
    p = subprocess.run([args.tool, "engine" if args.engine else args.model, str(seed), str(args.each)], input="\n".join(schemas).encode() + b"\n", capture_output=True, check=False)
    if p.returncode:
        sys.exit(f"sample_dump ended with {p.returncode}: {p.stderr.decode()[-500:]}")
    rows = collections.defaultdict(list)
    for line in p.stdout.split(b"\n")[:-1]:
        i, end, text = line.split(b"\t", 2)
        rows[int(i)].append((end.decode(), text))
    return rows


def main():
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("tool")
    a.add_argument("--model")
    a.add_argument("--engine", action="store_true")
    a.add_argument("--schemas", type=int, default=300)
    a.add_argument("--each", type=int, default=5)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--corpus")
    a.add_argument("--misses")
    args = a.parse_args()
    args.engine = args.engine or not args.model
    maker = schema_maker.Maker(random.Random(args.seed), schema_maker.WIDE)
    schemas = list(corpus(args.corpus)) if args.corpus else [json.dumps(maker.root()) for _ in range(args.schemas)]
    count, refused, skipped, misses, loose = collections.Counter(), collections.Counter(), collections.Counter(), [], []
    chunk = 50
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for at in range(0, len(schemas), chunk):
            part = schemas[at:at + chunk]
            rows = dump(args, args.seed * 1000003 + at, part)
            jobs = [(s, [t for end, t in rows[i] if end == "whole"]) for i, s in enumerate(part)]
            for i, (s, _) in enumerate(jobs):
                for end, text in rows[i]:
                    count[end] += 1
                    if end == "refused":
                        refused[text.decode("utf-8", "replace").split(": ", 1)[-1][:60]] += 1
                    elif end == "failed":
                        misses.append((s, "", text.decode("utf-8", "replace")))
            for (s, replies), (bad, why) in zip(jobs, pool.map(judge, jobs)):
                if bad is None:
                    skipped[why[:80]] += 1
                    count["not judged"] += len(replies)
                    continue
                misses += [(s, text, reason) for kind, text, reason in bad if kind == "miss"]
                loose += [(s, text, reason) for kind, text, reason in bad if kind == "format"]
    seen = set()
    for s, text, reason in misses:
        if s not in seen and len(seen) < 40:
            print(f"MISS {reason}\n  schema {s[:2000]}\n  output {text[:600]}", file=sys.stderr)
        seen.add(s)
    if args.misses:
        with open(args.misses, "w", encoding="utf-8") as f:
            for s, text, reason in misses:
                f.write(json.dumps({"schema": s, "output": text, "reason": reason}) + "\n")
    result = {"bench": "samples", "engine": args.engine, "schemas": len(schemas), "pairs": count["whole"] - count["not judged"], "misses": len(misses), "schemas_missed": len(seen), "formats_not_kept": len(loose),
              "cut": count["cut"], "refused": count["refused"], "not_judged": count["not judged"], "refusals": dict(refused.most_common(12)), "skips": dict(skipped.most_common(5))}
    print(json.dumps(result))
    sys.exit(1 if misses or not result["pairs"] else 0)


if __name__ == "__main__":
    main()

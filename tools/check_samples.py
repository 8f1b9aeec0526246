#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replies of a model that knows nothing, held against an independent validator (python-jsonschema, numbers as decimals).

  check_samples.py SAMPLE_DUMP [--model MODEL.gguf] [--engine] [--schemas N] [--each K] [--seed S] [--corpus DIR] [--misses FILE]

SAMPLE_DUMP is the built tests/e2e/sample_dump. Random schemas, or those of a folder; of each that compiles K replies: random choices among
the tokens that the mask allows (MODEL's vocabulary), or a network of random weights through the whole engine (--engine). Without options the
short mode: 300 schemas by 5 replies of the engine. A reply must be JSON without doubled names, and valid; one that found no end within its
token limit says so and is counted, as are formats that are not kept, since these are annotations unless asked for. Prints one JSON line; exit status 1 if a single reply is wrong. Needs jsonschema[format-nongpl].
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

decimal.getcontext().prec = 3000
WORDS = ["a", "b", "id", "name", "kind", "x-y", "\u00e9t\u00e9", "with \"quote\"", "", "a/b~c"]
PATTERNS = ["^[a-z]{2,4}$", "[0-9]+", "^(ab|cd)*$", "^[^a-f]{1,5}$", "x.y", "^$|^q", "^[A-Z][a-z]+( [A-Z][a-z]+)?$", "^\\d{3}-\\d{4}$", "[\\u4e00-\\u9fff]", "^(a|b(c|d){2}){1,3}$"]
FORMATS = ["date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "uri", "hostname", "json-pointer", "regex", "duration"]


class Maker:
    """Random schemas: most have instances, some have none."""

    def __init__(self, rng):
        self.r = rng
        self.defs = {}

    def some(self, p):
        return self.r.random() < p

    def number(self):
        return self.r.choice([self.r.randint(-20, 120), self.r.randint(-20, 120), self.r.randint(-10**9, 10**9), self.r.randint(-500, 500) / 10, self.r.randint(0, 99999) / 1000])

    def value(self, depth=0):
        kind = self.r.randrange(7 if depth < 2 else 5)
        if kind == 5:
            return [self.value(depth + 1) for _ in range(self.r.randrange(3))]
        if kind == 6:
            return {self.r.choice(WORDS): self.value(depth + 1) for _ in range(self.r.randrange(3))}
        return [None, self.some(0.5), self.number(), self.r.choice(WORDS), self.r.randint(0, 9)][kind]

    def string(self, s):
        if self.some(0.3):
            s["minLength"] = self.r.randrange(5)
        if self.some(0.4):
            s["maxLength"] = s.get("minLength", 0) + self.r.randrange(12)
        if self.some(0.25):
            s["pattern"] = self.r.choice(PATTERNS)
        elif self.some(0.12):
            s["format"] = self.r.choice(FORMATS)

    def numeric(self, s):
        low = self.number()
        if self.some(0.4):
            s[self.r.choice(["minimum", "exclusiveMinimum"])] = low
        if self.some(0.4):
            s[self.r.choice(["maximum", "exclusiveMaximum"])] = low + self.r.choice([0, 1, 2.5, 17, 1000, 10**7])
        if self.some(0.15):
            s["multipleOf"] = self.r.choice([1, 2, 3, 7, 10, 12, 0.5, 0.25, 0.1, 0.01])

    def array(self, s, depth):
        if self.some(0.7):
            s["items"] = self.schema(depth + 1) if self.some(0.93) else self.some(0.5)
        if self.some(0.2):
            s["prefixItems"] = [self.schema(depth + 1) for _ in range(self.r.randint(1, 3))]
        if self.some(0.3):
            s["minItems"] = self.r.randrange(4)
        if self.some(0.4):
            s["maxItems"] = s.get("minItems", 0) + self.r.randrange(4)
        if self.some(0.12):
            s["uniqueItems"] = True
        if self.some(0.1):
            s["contains"] = self.schema(depth + 1)
            if self.some(0.4):
                s["minContains"] = self.r.randrange(3)
            if self.some(0.4):
                s["maxContains"] = s.get("minContains", 1) + self.r.randrange(2)
        if self.some(0.04):
            s["unevaluatedItems"] = False

    def object(self, s, depth):
        names = self.r.sample(WORDS, self.r.randrange(5))
        if names:
            s["properties"] = {n: self.schema(depth + 1) for n in names}
        if self.some(0.6):
            s["required"] = [n for n in names if self.some(0.5)] + ([self.r.choice(WORDS)] if self.some(0.06) else [])
            s["required"] = list(dict.fromkeys(s["required"]))
        if self.some(0.4):
            s["additionalProperties"] = self.schema(depth + 1) if self.some(0.4) else self.some(0.15)
        if self.some(0.12):
            s["patternProperties"] = {p: self.schema(depth + 1) for p in self.r.sample(["^a", "d$", "^x-", "[0-9]", "^[a-c]{1,2}$"], self.r.randint(1, 2))}
        if self.some(0.07):
            s["propertyNames"] = self.r.choice([{"maxLength": 3}, {"pattern": "^[a-z-]*$"}, {"enum": WORDS[:5]}, {"minLength": 1}])
        if self.some(0.12):
            s["minProperties"] = self.r.randrange(3)
        if self.some(0.12):
            s["maxProperties"] = s.get("minProperties", 0) + self.r.randrange(4)
        if self.some(0.06) and names:
            s["dependentRequired"] = {self.r.choice(names): [self.r.choice(names)]}
        if self.some(0.04) and names:
            s["dependentSchemas"] = {self.r.choice(names): self.schema(depth + 1)}
        if self.some(0.03):
            s["unevaluatedProperties"] = False

    def typed(self, depth):
        kinds = ["string", "integer", "number", "boolean", "null"] + (["array", "object", "object"] if depth < 3 else [])
        chosen = self.r.sample(kinds, self.r.choice([1, 1, 1, 1, 1, 2, 3]))
        chosen = list(dict.fromkeys(chosen))
        s = {"type": chosen[0] if len(chosen) == 1 else chosen}
        for k in chosen:
            if k == "string":
                self.string(s)
            elif k in ("integer", "number"):
                self.numeric(s)
            elif k == "array":
                self.array(s, depth)
            elif k == "object":
                self.object(s, depth)
        return s

    def schema(self, depth=0):
        p = self.r.random()
        if p < 0.04 and depth:
            return self.r.choice([True, {}, False]) if self.some(0.9) else {"const": self.value()}
        if p < 0.12:
            values = [self.value() for _ in range(self.r.randint(1, 5))]
            return {"enum": [v for i, v in enumerate(values) if not any(same(v, w) for w in values[:i])]}
        if p < 0.16 and depth:
            name = self.r.choice(["node", "item"])
            if name not in self.defs:
                self.defs[name] = {}
                self.defs[name] = self.typed(2) if name == "item" else {
                    "type": "object", "properties": {"v": self.typed(3), "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}}, "required": ["v"],
                    "additionalProperties": False}
            return {"$ref": "#/$defs/" + name}
        s = self.typed(depth)
        if depth < 2 and self.some(0.16):
            how = self.r.choice(["anyOf", "oneOf", "allOf", "anyOf", "not", "if"])
            if how == "not":
                s["not"] = self.r.choice([{"const": self.value()}, {"enum": [self.value(), self.value()]}, {"type": "null"}, {"required": ["a"]}, {"maximum": 5}, {"minLength": 2}])
            elif how == "if":
                s["if"] = self.r.choice([{"required": ["a"]}, {"properties": {"a": {"const": 1}}}, {"type": "string"}, {"minimum": 10}])
                s[self.r.choice(["then", "else"])] = self.schema(2)
            else:
                s[how] = [self.variant(s, depth) for _ in range(self.r.randint(1, 3))]
        return s

    def variant(self, s, depth):
        """Of the same type, so that it joins with what it stands in."""
        if self.some(0.3):
            return self.schema(depth + 1)
        v = {}
        {"string": self.string, "integer": self.numeric, "number": self.numeric}.get(s["type"] if isinstance(s["type"], str) else "", lambda t: self.object(t, 2))(v)
        return v

    def root(self):
        s = self.schema()
        if self.defs and isinstance(s, dict):
            s["$defs"] = self.defs
        return s


def same(a, b):
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True) or (not isinstance(a, bool) and not isinstance(b, bool) and a == b)


def whole(_, v):
    return isinstance(v, int) and not isinstance(v, bool) or isinstance(v, decimal.Decimal) and v == v.to_integral_value()


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", whole))


def members(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return out


def parse(text):
    return json.loads(text, parse_float=decimal.Decimal, object_pairs_hook=members)


def judge(job):
    """Reasons why replies to one schema are wrong."""
    schema, replies = job
    doc = json.loads(schema, parse_float=decimal.Decimal)
    cls = jsonschema.validators.validator_for(doc, Validator)
    if cls is not Validator:
        cls = jsonschema.validators.extend(cls, type_checker=cls.TYPE_CHECKER.redefine("integer", whole))
    validator = cls(doc, format_checker=jsonschema.FormatChecker())
    bad = []
    for raw in replies:
        try:
            validator.validate(parse(raw.decode("utf-8")))
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
    rng = random.Random(args.seed)
    schemas = list(corpus(args.corpus)) if args.corpus else [json.dumps(Maker(rng).root()) for _ in range(args.schemas)]
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

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the schema engine against other people's work.

  check_schema.py GRAM_DUMP suite DIR     JSON-Schema-Test-Suite folder (Debian: libtest-json-schema-acceptance-perl)
  check_schema.py GRAM_DUMP sample [N]    random sentences of many schemas, each validated by python-jsonschema

GRAM_DUMP is the built tests/e2e/gram_dump. Exit status 1 if anything disagrees.
"""
import collections
import glob
import json
import os
import subprocess
import sys


def dump(tool, args, text):
    p = subprocess.run([tool] + args, input=text.encode(), capture_output=True)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def suite(tool, folder):
    cases = []
    for path in sorted(glob.glob(folder + "/*.json")):
        for group in json.load(open(path)):
            for test in group["tests"]:
                cases.append((os.path.basename(path), group, test))
    lines = "".join(json.dumps(g["schema"]) + "\n" + json.dumps(t["data"]) + "\n" for _, g, t in cases)
    out = dump(tool, ["check"], lines)[1].split("\n")[:-1]
    if len(out) != len(cases):
        sys.exit(f"{len(out)} answers to {len(cases)} questions")
    total, by_file, compiled = collections.Counter(), collections.defaultdict(collections.Counter), collections.Counter()
    for (name, group, test), answer in zip(cases, out):
        code, grammar, msg = answer.split("\t", 2)
        if name == "vocabulary.json":
            verdict = "unsupported"  # metaschemas of one's own, which are never fetched
        elif code == "OK":
            verdict = "pass" if test["valid"] else "FAIL"
        elif code == "ESCHEMA" and not msg.startswith("schema"):
            verdict = "FAIL" if test["valid"] else "pass"
        else:
            verdict = "unsupported"
        total[verdict] += 1
        by_file[name][verdict] += 1
        compiled["OK" if grammar == "OK" else "refused"] += 1
        if verdict == "FAIL":
            print(f"FAIL {name}: {group['description']} / {test['description']}: {json.dumps(group['schema'])[:300]} "
                  f"{json.dumps(test['data'])[:100]} -> {code} {msg}")
    for name, c in sorted(by_file.items()):
        if c["unsupported"] or c["FAIL"]:
            print(f"{name:30} pass {c['pass']:4} fail {c['FAIL']:4} unsupported {c['unsupported']:4}")
    print("suite:", dict(total), "grammars:", dict(compiled))
    return total["FAIL"] == 0


S = {"type": "string"}
I = {"type": "integer"}
N = {"type": "number"}
SCHEMAS = [
    True, {}, S, I, N, {"type": "boolean"}, {"type": "null"}, {"type": ["string", "integer", "null"]},
    {"type": "string", "minLength": 3, "maxLength": 5}, {"type": "string", "maxLength": 0},
    {"type": "integer", "minimum": -7, "maximum": 1234}, {"type": "integer", "exclusiveMinimum": 99.5},
    {"type": "integer", "multipleOf": 12, "minimum": 100, "exclusiveMaximum": 5000}, {"type": "integer", "maximum": -1000},
    {"type": "number", "minimum": 0, "maximum": 1}, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": -0.25, "maximum": 17.125}, {"type": "number", "minimum": 3.14159}, {"type": "number", "maximum": -1e-5},
    {"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": -1.25}, {"type": "number", "multipleOf": 5},
    {"type": "number", "minimum": 2, "maximum": 2}, {"type": "number", "exclusiveMinimum": 1.99, "exclusiveMaximum": 2},
    {"enum": [1, 10, 100, "a", "ab", None, True, [1, 2], {"x": "y"}, 1.5, "\u00e9\n\"\\"]}, {"const": {"a": [1]}},
    {"type": "array", "items": I, "maxItems": 4}, {"type": "array", "items": S, "minItems": 2},
    {"type": "array", "prefixItems": [S, I], "items": {"type": "boolean"}, "minItems": 1, "maxItems": 5},
    {"type": "array", "prefixItems": [S, I], "items": False}, {"type": "array"},
    {"type": "object"}, {"type": "object", "properties": {}}, {"type": "object", "properties": {"a": S, "b": I, "c": N}, "required": ["b"]},
    {"type": "object", "properties": {"a": S, "ab": I, "abc": N}, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "additionalProperties": S, "minProperties": 2, "maxProperties": 3},
    {"type": "object", "properties": {k: I for k in "abcdefg"}, "minProperties": 3, "maxProperties": 4, "required": ["c", "f"]},
    {"type": "object", "properties": {"a": S}, "required": ["z", "a"], "additionalProperties": I},
    {"type": "object", "properties": {"a": False, "b": S}}, {"properties": {"a": I}, "minItems": 1},
    {"anyOf": [S, I, {"type": "array", "items": S}]}, {"anyOf": [{"const": 1}, {"const": 12}, {"enum": [123, "x"]}]},
    {"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}, "v": I}, "required": ["k", "v"]},
               {"type": "object", "properties": {"k": {"const": "b"}, "w": S}, "required": ["k", "w"]}]},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
               {"properties": {"a": {"maximum": 9}, "b": S}, "required": ["a"]}]},
    {"type": "object", "properties": {"a": I, "b": I}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"v": I, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                                                "required": ["v"], "additionalProperties": False}}},
    {"$defs": {"e": {"anyOf": [I, {"type": "object", "properties": {"op": {"enum": ["+", "-"]}, "l": {"$ref": "#/$defs/e"}, "r": {"$ref": "#/$defs/e"}},
                                   "required": ["op", "l", "r"]}]}}, "$ref": "#/$defs/e"},
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
                                      "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 3},
                                      "address": {"type": "object", "properties": {"street": S, "zip": {"type": ["string", "null"]}}, "required": ["street"]}},
     "required": ["name", "age"], "additionalProperties": False},
    {"type": "object", "properties": {"weird \"key\"\n": I, "\u00e9": S, "": N}, "required": ["weird \"key\"\n", ""]},
    {"enum": [1, 2, 3, 4], "not": {"const": 3}, "minimum": 2}, {"type": "string", "maxLength": 1000000000},
    {"items": {"type": "integer"}, "minItems": 3, "type": "array", "uniqueItems": False},
    {"type": ["integer", "number"], "minimum": 5.5}, {"type": "integer", "minimum": 1.5, "maximum": 2.5},
    {"oneOf": [{"type": "integer", "maximum": 5}, {"type": "string"}], "minLength": 2, "minimum": 3},
]


def sample(tool, n):
    import jsonschema
    bad = done = 0
    for k, schema in enumerate(SCHEMAS):
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        code, out, err = dump(tool, ["sample", str(k + 1), str(n)], json.dumps(schema))
        lines = out.split("\n")[:-1]
        if code or len(lines) != n:
            print("FAIL", json.dumps(schema)[:200], err.strip())
            bad += 1
        for text in lines:
            done += 1
            try:
                validator.validate(json.loads(text))
            except Exception as e:
                bad += 1
                print("FAIL", json.dumps(schema)[:200], text[:200], str(e).split("\n")[0])
                break
    print(f"samples: {done} of {len(SCHEMAS)} schemas, {bad} bad")
    return bad == 0


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[2] == "suite":
        ok = suite(sys.argv[1], sys.argv[3])
    elif len(sys.argv) in (3, 4) and sys.argv[2] == "sample":
        ok = sample(sys.argv[1], int(sys.argv[3]) if len(sys.argv) == 4 else 20)
    else:
        sys.exit(__doc__)
    sys.exit(0 if ok else 1)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The validator against JSON-Schema-Test-Suite: every required case of drafts 4 to 2020-12, and the optional ones of formats.

  check_json_schema_suite.py ANSWERS [DIR] [--masks KIND] [-v]

ANSWERS is the built tests/conform/schema_answers; DIR is a checkout of the suite, by default that of Debian's
libtest-json-schema-acceptance-perl (exit status 77, skipped, without it). A schema that is refused counts as such, under the word that
the refusal names; any other answer must be right. Exit status 1 if one is wrong, or if more is refused than UNSUPPORTED says.
"""
import collections
import json
import os
import subprocess
import sys

DEBIAN = "/usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance"
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
FORMAT_NOTE = 1
SERVER = "http://localhost:1234/"
# Files whose schemas may be refused, and the reason that must be given.
UNSUPPORTED = {
    "refRemote.json": ("$ref", "never fetched"),      # documents of a web server
    "vocabulary.json": ("$schema", "none of drafts"),  # metaschemas of one's own
    "pattern.json": ("pattern", "\\p{"),                # classes of Unicode properties
    "patternProperties.json": ("pattern", "\\p{"),
}
# Of newer suites than Debian's: cases that are not claimed (docs/schema.md).
NOT_CLAIMED = {"format/hostname.json": "A-label"}
UNKNOWN_FORMATS = {"format/idn-hostname.json"}  # notes, like any format that is not known


def folder(args):
    for path in args or [DEBIAN]:
        for base in (path, os.path.join(path, "tests")):
            if os.path.isdir(os.path.join(base, "draft2020-12")):
                return base
    print(f"no JSON-Schema-Test-Suite in {args[0] if args else DEBIAN}: install libtest-json-schema-acceptance-perl, or name a checkout")
    sys.exit(77)


def files(base, draft):
    """(name, path, formats): required cases, then those of the formats that are known."""
    top = os.path.join(base, draft)
    for name in sorted(os.listdir(top)):
        if name.endswith(".json"):
            yield name, os.path.join(top, name), False
    formats = os.path.join(top, "optional", "format")
    for name in sorted(os.listdir(formats)) if os.path.isdir(formats) else []:
        if "format/" + name not in UNKNOWN_FORMATS:
            yield "format/" + name, os.path.join(formats, name), True


def remotes(base, draft):
    """The documents that the suite has on a web server, each with its URI as $id."""
    key, top, found = "id" if draft == "draft4" else "$id", os.path.join(base, "..", "remotes"), {}
    others = {*DRAFTS, "draft3", "draft-next", "v1"}
    for path, _, names in os.walk(top):
        for name in names:
            rel = os.path.relpath(os.path.join(path, name), top)
            if not name.endswith(".json") or (rel.split("/")[0] in others and not rel.startswith(draft + "/")):
                continue
            with open(os.path.join(path, name), encoding="utf-8") as f:
                doc = json.load(f)
            if not isinstance(doc, dict) or "$vocabulary" in doc or doc.get("$schema", "").startswith(SERVER):
                continue
            if key in doc:
                found["own " + rel] = doc
            wrap = {"allOf": [{"$ref": SERVER + rel}]} if key in doc and doc[key] != SERVER + rel else {}
            if wrap:
                wrap["allOf"][0]["$ref"] = doc[key]
            found[rel] = {**(wrap or doc), key: SERVER + rel}
    return found


def with_draft(schema, uri, documents):
    """With its draft, and with the documents that it refers to: they cannot be fetched."""
    if not isinstance(schema, dict):
        return schema
    schema = schema if "$schema" in schema else {"$schema": uri, **schema}
    text, needed = json.dumps(schema), {}
    while SERVER in text:
        more = {rel: doc for rel, doc in documents.items() if os.path.basename(rel) in text and rel not in needed}
        if not more:
            return {**schema, "definitions": {**schema.get("definitions", {}), **needed}}
        needed.update(more)
        text += json.dumps(more)
    return schema


def in_order(value, schema):
    """Members of objects in the order of the schema's properties, which masks keep to."""
    if isinstance(value, list):
        return [in_order(v, None) for v in value]
    if not isinstance(value, dict):
        return value
    names = list(schema.get("properties", {})) if isinstance(schema, dict) else []
    keys = [k for k in names if k in value] + [k for k in value if k not in names]
    return {k: in_order(value[k], schema["properties"].get(k) if k in names else None) for k in keys}


def cases(base, draft):
    for name, path, formats in files(base, draft):
        with open(path, encoding="utf-8") as f:
            for group in json.load(f):
                for test in group["tests"]:
                    yield name, formats, group, test


def ask(tool, questions):
    text = "".join("\t".join(q) + "\n" for q in questions)
    out = subprocess.run([tool], input=text.encode("utf-8", "surrogatepass"), capture_output=True, check=True).stdout.decode()
    answers = [line.split("\t", 2) for line in out.split("\n")[:-1]]
    if len(answers) != len(questions):
        sys.exit(f"{len(answers)} answers to {len(questions)} questions")
    return answers


def verdict(case, answer):
    """right, wrong, or refused with or without leave."""
    name, _, _, test = case
    check, _, msg = answer
    if check in ("valid", "invalid"):
        return "right" if (check == "valid") == test["valid"] else "wrong"
    reason = UNSUPPORTED.get(name)
    return "refused" if check == "refused" and reason and all(word in msg for word in reason) else "wrong"


def narrower(name, value):
    """What masks leave out of a format: leap seconds with an offset; in expressions names of groups, look-behind and \\c."""
    return isinstance(value, str) and (":60" in value or name == "format/ecmascript-regex.json")


def mask_verdict(case, answer, kind):
    name, _, _, test = case
    mask = answer[1]
    if mask == "refused":
        return "refused"
    if test["valid"]:
        if mask == "rejects" and narrower(name, test["data"]):
            return "narrower"
        return "right" if mask == "accepts" else "wrong" if kind & 0x100 else "narrower"
    return "right" if mask == "rejects" else "wrong"


def show(draft, case, answer, schema):
    name, _, group, test = case
    print(f"WRONG {draft}/{name}: {group['description']} / {test['description']}: {schema[:400]} {json.dumps(test['data'])[:120]} "
          f"is {'valid' if test['valid'] else 'invalid'}, the answer is {' '.join(answer)}")


def main():
    args = sys.argv[1:]
    verbose = "-v" in args
    args = [a for a in args if a != "-v"]
    kind = 0
    if "--masks" in args:
        at = args.index("--masks")
        kind = int(args[at + 1], 0)
        del args[at:at + 2]
    tool, base, bad = args[0], folder(args[1:]), 0
    for draft, uri in DRAFTS.items():
        if not os.path.isdir(os.path.join(base, draft)):
            continue
        todo = list(cases(base, draft))
        documents = remotes(base, draft)
        schemas = [json.dumps(with_draft(g["schema"], uri, documents)) for _, _, g, _ in todo]
        values = [json.dumps(in_order(t["data"], g["schema"]), separators=(",", ":"), ensure_ascii=False) for _, _, g, t in todo]
        flags = [str(0 if formats else FORMAT_NOTE) for _, formats, _, _ in todo]
        answers = ask(tool, list(zip(flags, [str(kind)] * len(todo), schemas, values)))
        total, by_file, reasons = collections.Counter(), collections.defaultdict(collections.Counter), collections.Counter()
        for case, answer, schema in zip(todo, answers, schemas):
            v = mask_verdict(case, answer, kind) if kind else verdict(case, answer)
            if kind and case[0] == "format.json":
                continue  # masks always keep to formats
            if v == "wrong" and NOT_CLAIMED.get(case[0], "\0") in case[2]["description"]:
                v = "not claimed"
            total[v] += 1
            by_file[case[0]][v] += 1
            if v == "refused":
                reasons[answer[2].split('"')[1] if '"' in answer[2] else answer[2][:40]] += 1
            if v == "wrong":
                bad += 1
                show(draft, case, answer, schema)
        for name, c in sorted(by_file.items()):
            if verbose or set(c) - {"right"}:
                print(f"{draft:13} {name:32}", "  ".join(f"{k} {n}" for k, n in sorted(c.items())))
        print(f"{draft:13} {sum(total.values())} cases:", ", ".join(f"{n} {k}" for k, n in sorted(total.items())),
              "" if not reasons else "refused for " + ", ".join(f"{k} {n}" for k, n in reasons.most_common()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random schemas of all keywords against python-jsonschema (draft 2020-12).

  check_random_schemas.py LIBAIOS [N] [SEED]

Of each of N schemas: what a random walk generates must be valid and must not run into a dead end; a complete grammar must accept exactly
the valid ones of some random values; a schema that is refused as contradictory must have no valid one among them. Exit status 1 if
anything disagrees, 77 (skipped) without jsonschema.
"""
import collections
import ctypes
import decimal
import json
import random
import re
import sys

try:
    import jsonschema
    from jsonschema import _keywords, _utils, validators
except ImportError:
    sys.exit(77)

SCHEMA, COMPLETE = 1, 0x101
NAMES = ["a", "b", "c", "ab", "abc", "x1"]
PATTERNS = ["^a", "b$", "^[a-c]$", "^x[0-9]", "^(a|b)c?$", "^[a-z]{2,3}$"]
PTR = ctypes.c_void_p


class Error(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("code", ctypes.c_int32), ("sys", ctypes.c_int32), ("have", ctypes.c_uint64),
                ("need", ctypes.c_uint64), ("msg", ctypes.c_char * 512), ("reserve", ctypes.c_uint64 * 4)]


class Library:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        for name, args in (("ctx_new", [PTR] * 3), ("grammar_compile", [PTR, ctypes.c_int32, ctypes.c_char_p, ctypes.c_size_t, PTR, PTR]),
                           ("walk_new", [PTR] * 3), ("walk_accept", [PTR, ctypes.c_char_p, ctypes.c_size_t, PTR]), ("walk_complete", [PTR]),
                           ("walk_next_bytes", [PTR] * 2), ("walk_free", [PTR]), ("grammar_free", [PTR])):
            getattr(self.lib, "aios_" + name).argtypes = args
        self.ctx = PTR()
        self.lib.aios_ctx_new(None, ctypes.byref(self.ctx), None)

    def compile(self, schema, kind):
        g, err, text = PTR(), Error(), json.dumps(schema).encode()
        err.struct_size = ctypes.sizeof(Error)
        rc = self.lib.aios_grammar_compile(self.ctx, kind, text, len(text), ctypes.byref(g), ctypes.byref(err))
        return g if not rc else None, err.msg.decode(errors="replace")

    def walk(self, g):
        w = PTR()
        self.lib.aios_walk_new(g, ctypes.byref(w), None)
        return w

    def accepts(self, g, text):
        w = self.walk(g)
        whole = not self.lib.aios_walk_accept(w, text, len(text), None) and self.lib.aios_walk_complete(w) == 1
        self.lib.aios_walk_free(w)
        return whole

    def sample(self, g, rnd, most=3000):
        """A random sentence, or None and what was written if it found no end."""
        w, out, mask = self.walk(g), bytearray(), (ctypes.c_uint8 * 32)()
        dead = False
        while len(out) < most:
            self.lib.aios_walk_next_bytes(w, mask)
            bits = int.from_bytes(bytes(mask), "little")
            may = [c for c in range(256) if bits >> c & 1]
            if self.lib.aios_walk_complete(w) and (not may or rnd.random() < 0.4):
                break
            dead = not may
            if dead:
                break
            close = [c for c in may if c in b'"]}']
            nice = [c for c in may if c in b'abcxyz0123456789"]}[{,:-.tfn']
            pick = close if close and rnd.random() < 0.15 + len(out) / 400 else nice if nice and rnd.random() < 0.95 else may
            c = bytes([rnd.choice(pick)])
            if self.lib.aios_walk_accept(w, c, 1, None):
                dead = True
                break
            out += c
        self.lib.aios_walk_free(w)
        return (None if dead or len(out) >= most else bytes(out)), bytes(out), dead


# ---- the oracle: numbers are decimals, and $ is the end --------------------------------------------------------------


class Search:
    @staticmethod
    def search(pattern, text):
        return re.search(pattern.replace("$", r"\Z"), text)


def is_number(_, v):
    return isinstance(v, (int, float, decimal.Decimal)) and not isinstance(v, bool)


def is_integer(_, v):
    return is_number(_, v) and v == int(v)


def multiple_of(_, divisor, value, __):
    if is_number(None, value) and decimal.Decimal(value) % decimal.Decimal(divisor):
        yield jsonschema.ValidationError("no multiple")


def oracle():
    decimal.getcontext().prec = 600
    _keywords.re = _utils.re = Search
    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer).redefine("number", is_number)
    return validators.extend(jsonschema.Draft202012Validator, {"multipleOf": multiple_of}, type_checker=types)


def exact(text):
    return json.loads(text, parse_float=decimal.Decimal)


# ---- schemas ---------------------------------------------------------------------------------------------------------


class Maker:
    def __init__(self, rnd):
        self.r = rnd

    def value(self, depth=0):
        r = self.r
        k = r.randrange(9 if depth < 2 else 6)
        if k == 6:
            return [self.value(depth + 1) for _ in range(r.randrange(3))]
        if k > 6:
            return {r.choice(NAMES): self.value(depth + 1) for _ in range(r.randrange(3))}
        return [r.choice([0, 1, 2, 3, -1, 10]), r.choice(["a", "b", "ab", "abc", "", "x1"]), r.choice([True, False]), None,
                r.choice([0.5, 1.5, -0.25, 2.75]), r.choice(["a", "b", 1, 2])][k]

    def strings(self, put, sub):
        r = self.r
        put(.3, "minLength", lambda: r.randrange(3))
        put(.3, "maxLength", lambda: r.randrange(1, 5))
        put(.3, "pattern", lambda: r.choice(PATTERNS))

    def numbers(self, put, sub):
        r = self.r
        put(.3, "minimum", lambda: r.choice([-5, 0, 1, 2.5]))
        put(.3, "maximum", lambda: r.choice([3, 10, 7.5]))
        put(.15, "exclusiveMinimum", lambda: r.choice([0, 1]))
        put(.15, "exclusiveMaximum", lambda: r.choice([5, 9]))
        put(.2, "multipleOf", lambda: r.choice([1, 2, 3, 0.5, 0.01, 0.25]))

    def objects(self, put, sub):
        r = self.r
        put(.6, "properties", lambda: {n: sub() for n in r.sample(NAMES, r.randrange(1, 4))})
        put(.4, "required", lambda: r.sample(NAMES, r.randrange(1, 3)))
        put(.25, "additionalProperties", lambda: r.choice([False, True, sub()]))
        put(.2, "patternProperties", lambda: {r.choice(PATTERNS): sub() for _ in range(r.randrange(1, 3))})
        put(.12, "propertyNames", lambda: r.choice([{"pattern": r.choice(PATTERNS)}, {"maxLength": 2}, {"enum": ["a", "b", "x1"]}, sub()]))
        put(.12, "minProperties", lambda: r.randrange(3))
        put(.12, "maxProperties", lambda: r.randrange(1, 4))
        put(.12, "dependentRequired", lambda: {r.choice(NAMES): r.sample(NAMES, 1)})
        put(.12, "dependentSchemas", lambda: {r.choice(NAMES): sub()})
        put(.08, "unevaluatedProperties", lambda: r.choice([False, False, sub()]))

    def arrays(self, put, sub):
        r = self.r
        put(.5, "items", lambda: r.choice([sub(), sub(), False]))
        put(.3, "prefixItems", lambda: [sub() for _ in range(r.randrange(1, 3))])
        put(.25, "minItems", lambda: r.randrange(3))
        put(.25, "maxItems", lambda: r.randrange(1, 4))
        if put(.25, "contains", sub):
            put(.3, "minContains", lambda: r.randrange(3))
            put(.3, "maxContains", lambda: r.randrange(1, 3))
        put(.2, "uniqueItems", lambda: True)
        put(.08, "unevaluatedItems", lambda: r.choice([False, False, sub()]))

    def joined(self, put, sub):
        r = self.r
        put(.05, "enum", lambda: [self.value() for _ in range(r.randrange(1, 4))])
        put(.05, "const", self.value)
        put(.12, "anyOf", lambda: [sub() for _ in range(r.randrange(1, 4))])
        put(.1, "oneOf", lambda: [sub() for _ in range(r.randrange(1, 4))])
        put(.1, "allOf", lambda: [sub() for _ in range(r.randrange(1, 3))])
        put(.12, "not", sub)
        if put(.1, "if", sub):
            put(.8, "then", sub)
            put(.6, "else", sub)

    def schema(self, depth=0):
        r, s = self.r, {}
        if depth > 3 or r.random() < 0.04:
            return r.choice([True, {}, {"type": "string"}, {"type": "integer"}, {"const": r.choice(["a", 1, True])}, False, {"type": "boolean"}])

        def sub():
            return self.schema(depth + 1)

        def put(chance, key, make):
            if r.random() < chance:
                s[key] = make()
            return key in s

        t = r.choice(["string", "integer", "number", "object", "object", "array", "boolean", "mixed", "any"])
        if t == "mixed":
            s["type"] = r.sample(["string", "integer", "null", "object", "array", "boolean", "number"], 2)
        elif t != "any":
            s["type"] = t
        for of, add in (("string", self.strings), ("integer number", self.numbers), ("object mixed", self.objects), ("array mixed", self.arrays)):
            if t in of.split() or t == "any":
                add(put, sub)
        self.joined(put, sub)
        return s


# ---- the comparison --------------------------------------------------------------------------------------------------


def generated(lib, validator, schema, rnd, count):
    g, msg = lib.compile(schema, SCHEMA)
    if not g:
        return ["a refusal without a reason: " + msg] if "schema #" not in msg and "no value can" not in msg else []
    bad = []
    for _ in range(3):
        text, seen, dead = lib.sample(g, rnd)
        count["samples"] += text is not None
        if dead:
            bad.append(f"dead end after {seen!r}")
        elif text is not None and not validator.is_valid(exact(text)):
            bad.append(f"generated, and not valid: {text.decode(errors='replace')}")
    lib.lib.aios_grammar_free(g)
    return bad


def read(lib, validator, schema, values, count):
    g, msg = lib.compile(schema, COMPLETE)
    bad = []
    for v in values:
        text = json.dumps(v, separators=(",", ":"))
        valid = validator.is_valid(exact(text))
        if g and lib.accepts(g, text.encode()) != valid:
            bad.append(f"{text} is {'valid' if valid else 'not valid'}, the mask says otherwise")
        elif not g and "no value can" in msg and valid:
            bad.append(f"refused as contradictory, but {text} is valid")
        count["values"] += bool(g)
    if g:
        lib.lib.aios_grammar_free(g)
    else:
        count["refused: " + ("contradictory" if "no value can" in msg else re.sub(r'.*?("\w+").*', r"\1", msg))] += 1
    return bad


def main():
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    lib, validator, count = Library(sys.argv[1]), oracle(), collections.Counter()
    n, seed = int((sys.argv + [0, 200])[2] if len(sys.argv) > 2 else 200), int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rnd = random.Random(seed)
    maker, bad = Maker(rnd), 0
    for _ in range(n):
        schema = maker.schema()
        of = validator(exact(json.dumps(schema)))
        values = [maker.value() for _ in range(25)]
        for what in generated(lib, of, schema, rnd, count) + read(lib, of, schema, values, count):
            bad += 1
            print("FAIL", json.dumps(schema), what)
    print(f"{n} schemas, seed {seed}:", ", ".join(f"{k} {v}" for k, v in sorted(count.items())), f"- {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

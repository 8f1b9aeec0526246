#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Schemas of all keywords against python-jsonschema (draft 2020-12): some fixed ones, and random ones.

  check_random_schemas.py LIBAIOS [N] [SEED]

Of each of the fixed and of N random schemas: what a random walk generates must be valid and must not run into a dead end; a complete grammar must accept exactly
the valid ones of some random values; a schema that is refused as contradictory must have no valid one among them. Exit status 1 if
anything disagrees, 77 (skipped) without jsonschema.
"""
import collections
import ctypes
import json
import random
import re
import sys

try:
    import schema_maker
    from schema_maker import exact
except ImportError:
    sys.exit(77)

SCHEMA, COMPLETE = 1, 0x101
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
    lib, count = Library(sys.argv[1]), collections.Counter()
    n, seed = int((sys.argv + [0, 200])[2] if len(sys.argv) > 2 else 200), int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rnd = random.Random(seed)
    maker, bad = schema_maker.Maker(rnd), 0
    for schema in schema_maker.FIXED + [maker.root() for _ in range(n)]:
        doc = exact(json.dumps(schema))
        of = schema_maker.judge_of(doc)(doc)
        values = [maker.value() for _ in range(25)]
        for what in generated(lib, of, schema, rnd, count) + read(lib, of, schema, values, count):
            bad += 1
            print("FAIL", json.dumps(schema), what)
    print(f"{n} random schemas, seed {seed}:", ", ".join(f"{k} {v}" for k, v in sorted(count.items())), f"- {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Schemas to check the schema engine with, fixed and random ones, and python-jsonschema as the judge: its numbers are decimals, and $ is the
end of a text. Shared by check_random_schemas.py and check_samples.py."""
import collections
import decimal
import json
import re

import jsonschema
from jsonschema import _keywords, _utils, validators

decimal.getcontext().prec = 3000

# ---- the judge -------------------------------------------------------------------------------------------------------


class Search:
    @staticmethod
    def search(pattern, text):
        return re.search(re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\Z", pattern), text)


_keywords.re = _utils.re = Search


def is_number(_, v):
    return isinstance(v, (int, float, decimal.Decimal)) and not isinstance(v, bool)


def is_integer(_, v):
    return is_number(_, v) and v == v // 1


def multiple_of(_, divisor, value, __):
    if is_number(None, value) and decimal.Decimal(value) % decimal.Decimal(divisor):
        yield jsonschema.ValidationError("no multiple")


def judge_of(doc):
    """The class of validators for a schema, by its $schema."""
    base = validators.validator_for(doc, jsonschema.Draft202012Validator)
    types = base.TYPE_CHECKER.redefine("integer", is_integer).redefine("number", is_number)
    return validators.extend(base, {"multipleOf": multiple_of}, type_checker=types)


def members(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return out


def exact(text):
    return json.loads(text, parse_float=decimal.Decimal, object_pairs_hook=members)


# ---- random schemas --------------------------------------------------------------------------------------------------

# odd: how often keywords are put together that may contradict each other.
World = collections.namedtuple("World", "names texts patterns formats refs odd lengths steps number")
# So little of everything that random values meet random schemas.
SMALL_PATTERNS = ["^a", "b$", "^[a-c]$", "^x[0-9]", "^(a|b)c?$", "^[a-z]{2,3}$"]
SMALL = World(["a", "b", "c", "ab", "abc", "x1"], ["a", "b", "ab", "abc", "", "x1"], SMALL_PATTERNS, [], 0, 1, 4, [-2, 0, 2.5, 7],
              lambda r: r.choice([0, 1, 2, 3, -1, 10, 0.5, 1.5, -0.25, 2.75]))
# As people write them.
WORDS = ["a", "b", "id", "name", "kind", "x-y", "\u00e9t\u00e9", "with \"quote\"", "", "a/b~c"]
WIDE_PATTERNS = ["^[a-z]{2,4}$", "[0-9]+", "^(ab|cd)*$", "^[^a-f]{1,5}$", "x.y", "^$|^q", "^[A-Z][a-z]+( [A-Z][a-z]+)?$", "^\\d{3}-\\d{4}$",
                 "[\\u4e00-\\u9fff]", "^(a|b(c|d){2}){1,3}$"]
FORMATS = ["date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "uri", "hostname", "json-pointer", "regex", "duration"]
WIDE = World(WORDS, WORDS, WIDE_PATTERNS, FORMATS, .06, .25, 12, [0, 1, 2.5, 17, 1000, 10**7],
             lambda r: r.choice([r.randint(-20, 120), r.randint(-20, 120), r.randint(-10**9, 10**9), r.randint(-500, 500) / 10,
                                 r.randint(0, 99999) / 1000]))


class Maker:
    """Random schemas of all keywords: most have instances, some have none."""

    def __init__(self, rnd, world=SMALL):
        self.r, self.w, self.defs = rnd, world, {}

    def value(self, depth=0):
        r, w = self.r, self.w
        k = r.randrange(9 if depth < 2 else 6)
        if k == 6:
            return [self.value(depth + 1) for _ in range(r.randrange(3))]
        if k > 6:
            return {r.choice(w.names): self.value(depth + 1) for _ in range(r.randrange(3))}
        return [w.number(r), r.choice(w.texts), r.choice([True, False]), None, w.number(r), r.choice(["a", "b", 1, 2])][k]

    def strings(self, s, put, sub):
        r, w = self.r, self.w
        put(.3, "minLength", lambda: r.randrange(4))
        put(.3, "maxLength", lambda: s.get("minLength", 1) + r.randrange(w.lengths))
        if not put(.3, "pattern", lambda: r.choice(w.patterns)) and w.formats:
            put(.12, "format", lambda: r.choice(w.formats))

    def numbers(self, s, put, sub):
        r, w = self.r, self.w
        low = w.number(r)
        put(.35, r.choice(["minimum", "minimum", "exclusiveMinimum"]), lambda: low)
        put(.35, r.choice(["maximum", "maximum", "exclusiveMaximum"]), lambda: low + r.choice(w.steps))
        put(.2, "multipleOf", lambda: r.choice([1, 2, 3, 7, 12, 0.5, 0.25, 0.1, 0.01]))

    def objects(self, s, put, sub):
        r, w = self.r, self.w
        put(.7, "properties", lambda: {n: sub() for n in r.sample(w.names, r.randrange(1, 5))})
        of = list(s.get("properties", {}))
        put(.4, "required", lambda: r.sample(of, r.randint(1, len(of))) if of and r.random() > .3 * w.odd else r.sample(w.names, 1))
        put(.3, "additionalProperties", lambda: r.choice([False, False, True, sub()]))
        put(.15, "patternProperties", lambda: {r.choice(SMALL_PATTERNS): sub() for _ in range(r.randrange(1, 3))})
        names = [{"pattern": "^[a-z-]*$"}, {"pattern": r.choice(w.patterns)}, {"maxLength": 2}, {"enum": w.names[:4]}, {"minLength": 1}]
        put(.1 * w.odd, "propertyNames", lambda: r.choice(names + [sub()]))
        put(.12, "minProperties", lambda: r.randrange(3))
        put(.12, "maxProperties", lambda: s.get("minProperties", 1) + r.randrange(3))
        put(.1, "dependentRequired", lambda: {r.choice(w.names): r.sample(w.names, 1)})
        put(.1, "dependentSchemas", lambda: {r.choice(w.names): sub()})
        put(.06, "unevaluatedProperties", lambda: r.choice([False, False, sub()]))

    def arrays(self, s, put, sub):
        r = self.r
        put(.6, "items", lambda: r.choice([sub(), sub(), False]))
        put(.25, "prefixItems", lambda: [sub() for _ in range(r.randrange(1, 3))])
        put(.25, "minItems", lambda: r.randrange(3))
        put(.3, "maxItems", lambda: s.get("minItems", 1) + r.randrange(3))
        if put(.2, "contains", sub):
            put(.3, "minContains", lambda: r.randrange(3))
            put(.3, "maxContains", lambda: s.get("minContains", 1) + r.randrange(2))
        put(.15, "uniqueItems", lambda: True)
        put(.06, "unevaluatedItems", lambda: r.choice([False, False, sub()]))

    def joined(self, s, put, sub):
        r = self.r
        put(.05, "enum", lambda: [self.value() for _ in range(r.randrange(1, 4))])
        put(.05, "const", self.value)
        put(.1, "anyOf", lambda: [sub() for _ in range(r.randrange(1, 4))])
        put(.08, "oneOf", lambda: [sub() for _ in range(r.randrange(1, 4))])
        put(.08, "allOf", lambda: [sub() for _ in range(r.randrange(1, 3))])
        put(.1, "not", sub)
        if put(.08, "if", sub):
            put(.8, "then", sub)
            put(.6, "else", sub)

    def reference(self):
        name = self.r.choice(["node", "item"])
        if name not in self.defs:
            self.defs[name] = {}
            link = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}
            self.defs[name] = self.schema(2) if name == "item" else {
                "type": "object", "properties": {"v": self.schema(3), "next": link}, "required": ["v"], "additionalProperties": False}
        return {"$ref": "#/$defs/" + name}

    def schema(self, depth=0):
        r, s = self.r, {}
        if depth > 3 or r.random() < 0.04:
            return r.choice([True, {}, {"type": "string"}, {"type": "integer"}, {"const": r.choice(["a", 1, True])}, False, {"type": "boolean"}])
        if depth and r.random() < self.w.refs:
            return self.reference()

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
                add(s, put, sub)
        if t == "any" or r.random() < self.w.odd:
            self.joined(s, put, sub)
        return s

    def root(self):
        self.defs = {}
        s = self.schema()
        if self.defs and isinstance(s, dict):
            s["$defs"] = self.defs
        return s


# ---- fixed ones ------------------------------------------------------------------------------------------------------

S = {"type": "string"}
I = {"type": "integer"}
N = {"type": "number"}
FIXED = [
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

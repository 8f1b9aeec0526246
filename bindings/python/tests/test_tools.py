#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tools whose schema is made of annotations and defaults: the schema, and calls that arrive as what is annotated."""
import dataclasses
import enum
import functools
import json
import logging
import unittest
from typing import Annotated, Any, Dict, FrozenSet, List, Literal, NewType, Optional, Set, Tuple, TypedDict, Union

from support import MODEL, Base, aios, main
from aios import _agent, _cdef, _lib


class Unit(enum.Enum):
    CELSIUS = "c"
    KELVIN = "k"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Place:
    name: str
    unit: Unit = Unit.KELVIN
    tags: List[str] = dataclasses.field(default_factory=list)


class Corner(enum.Enum):
    NEAR = (1, 2)
    FAR = (3, 4)
    NONE = None


@dataclasses.dataclass(frozen=True)
class Scaled:
    size: int = dataclasses.field(init=False)
    width: int
    factor: dataclasses.InitVar[int]
    names: List[str] = dataclasses.field(default_factory=list, hash=False)
    offset: dataclasses.InitVar[int] = 1

    def __post_init__(self, factor, offset):
        object.__setattr__(self, "size", self.width * factor + offset)


@dataclasses.dataclass(init=False)
class Own:
    a: int

    def __init__(self, text: str, a: float = 1.5):
        self.a = int(text) + int(a)


class Row(TypedDict, total=False):
    x: int


City = NewType("City", str)


@dataclasses.dataclass
class Node:
    next: Optional["Node"] = None


def every(s: str, i: int, f: float, b: bool, rows: List[int], names: Dict[str, float], maybe: Optional[int], one: Literal["a", 2, None],
          unit: Unit, place: Place, row: Row, pair: Tuple[int, str], some: set, either: Union[int, str], city: City, free: Any,
          note: Annotated[int, "how many", {"minimum": 1}], plain, level: Level = Level.HIGH, n: int = 3, word="w", off: int = None, *ignored):
    """Takes every kind.

    The rest is for people.
    """
    return locals()


ARGUMENTS = {"s": "x", "i": 2.0, "f": 1, "b": True, "rows": [1], "names": {"a": 1}, "maybe": None, "one": 2, "unit": "c",
             "place": {"name": "Ulm", "tags": ["t"]}, "row": {"x": 1}, "pair": [1, "y"], "some": [1, 2], "either": "e", "city": "Bonn",
             "free": [None], "note": 1, "plain": {"any": 1}, "level": 1}


class Signatures(Base):
    def test_every_kind_of_annotation_has_its_schema(self):
        schema = aios.schema_of(every)
        props = schema["properties"]
        place = {"type": "object", "additionalProperties": False, "required": ["name"],
                 "properties": {"name": {"type": "string"}, "unit": {"enum": ["c", "k"], "default": "k"},
                                "tags": {"type": "array", "items": {"type": "string"}}}}
        want = {"s": {"type": "string"}, "i": {"type": "integer"}, "f": {"type": "number"}, "b": {"type": "boolean"},
                "rows": {"type": "array", "items": {"type": "integer"}}, "names": {"type": "object", "additionalProperties": {"type": "number"}},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "one": {"enum": ["a", 2, None]}, "unit": {"enum": ["c", "k"]},
                "place": place,
                "row": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": [], "additionalProperties": False},
                "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 2},
                "some": {"type": "array", "uniqueItems": True}, "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "city": {"type": "string"}, "free": {}, "note": {"type": "integer", "description": "how many", "minimum": 1}, "plain": {},
                "level": {"enum": [1, 2], "default": 2}, "n": {"type": "integer", "default": 3}, "word": {"type": "string", "default": "w"},
                "off": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}}
        for name, form in want.items():
            self.assertEqual(props[name], form, name)
        self.assertEqual(set(props), set(want))
        self.assertEqual(schema["required"], [n for n in want if n not in ("level", "n", "word", "off")])
        self.assertFalse(schema["additionalProperties"])

    def test_the_model_is_offered_schema_and_first_line(self):
        tools = aios.Toolset(self.context)
        tools.add(every)
        row = _lib.new(_cdef.aios_tool)
        with tools._pin() as ts:
            _lib.lib.aios_toolset_at(ts, 0, row)
            self.assertEqual((row.name, row.description), (b"every", b"Takes every kind."))
            self.assertEqual(json.loads(row.schema_json), aios.schema_of(every))

    def test_a_call_arrives_as_what_is_annotated(self):
        seen = []

        @functools.wraps(every)
        def keep(**given):
            seen.append(given)
            return Place("Ulm", Unit.CELSIUS)
        reply = self.agent(f"call every {json.dumps(ARGUMENTS)}; result", (keep, {"name": "every"})).run("?")
        got = seen[0]
        self.assertEqual(json.loads(reply.text), {"name": "Ulm", "unit": "c", "tags": []})
        self.assertEqual((got["unit"], got["place"], got["pair"], got["some"]), (Unit.CELSIUS, Place("Ulm", tags=["t"]), (1, "y"), {1, 2}))
        self.assertIs(got["level"], Level.LOW)
        self.assertEqual([(type(got[n]), got[n]) for n in ("i", "f", "one", "either")], [(int, 2), (float, 1.0), (int, 2), (str, "e")])
        self.assertEqual(every(**got)["n"], 3)

    def test_arguments_that_break_the_schema_do_not_reach_the_tool(self):
        ran = []

        def f(n: int, unit: Unit = Unit.KELVIN):
            ran.append((n, unit))
            return "ran"
        for bad in ({"n": "x"}, {}, {"n": 1, "unit": "f"}, {"n": 1, "more": 1}):
            events = list(self.agent(f"call f {json.dumps(bad)}; result", f).start("?"))
            self.assertNotEqual(next(e for e in events if e.kind == "result").code, 0, bad)
        self.assertEqual(ran, [])
        self.assertEqual(self.agent('call f {"n":1}; result', f).run("?").text, "ran")
        self.assertEqual(ran, [(1, Unit.KELVIN)])

    def test_a_schema_of_ones_own_leaves_arguments_as_they_are(self):
        seen = []

        def f(unit: Unit):
            seen.append(unit)
        self.agent('call f {"unit":"c"}; say x', (f, {"schema": {"type": "object"}})).run("?")
        self.assertEqual(seen, ["c"])

    def test_methods_partials_objects_and_decorators_are_tools(self):
        class Adder:
            """A class."""
            def __call__(self, a: int, b: int = 1):
                """Adds."""
                return a + b

            def plus(self, a: int):
                return a + 1
        tools = aios.Toolset(self.context)
        tools.add(Adder().plus, effect="read")
        tools.add(functools.partial(Adder().__call__, b=5), name="five", effect="read")
        tools.add(Adder(), name="adder", effect="read")

        @tools.tool
        def bare(a: int):
            return a

        @tools.tool(effect="read")
        def called(call, a: int) -> int:
            return a
        self.assertEqual((tools.names(), bare(1)), (["plus", "five", "adder", "bare", "called"], 1))
        for name, want in (("plus", "3"), ("five", "7"), ("adder", "3")):
            self.assertEqual(aios.Agent(self.model(f'call {name} {{"a":2}}; result'), tools).run("?").text, want)

    def test_the_call_itself_is_no_argument(self):
        def f(call: aios.Call, a: int):
            return [call.name, a]
        self.assertEqual(self.agent('call f {"a":2}; result', (f, {"pass_call": True})).run("?").text, '["f", 2]')

    def test_further_arguments_are_those_of_kwargs(self):
        self.assertEqual(aios.schema_of(lambda **more: 0)["additionalProperties"], {})
        self.assertEqual(self.agent('call f {"x":2}; result', (lambda **more: more, {"name": "f"})).run("?").text, '{"x": 2}')

    def test_what_has_no_schema_is_refused_by_its_name(self):
        def strange(a: complex): ...
        def inner(rows: List[complex]): ...
        def keys(rows: Dict[int, str]): ...
        def unknown(a: "NoSuchType"): ...  # noqa: F821
        def circle(node: Node): ...
        tools, before = aios.Toolset(self.context), len(_agent._tools)
        for fn, words in ((strange, "strange.a"), (inner, "inner.rows"), (keys, "keys of a dict"), (unknown, "NoSuchType"),
                          (circle, "holds itself"), (len, "by its name")):
            with self.assertRaisesRegex(TypeError, words):
                tools.add(fn)
        self.assertRaisesRegex(TypeError, "name=", tools.add, functools.partial(strange))
        tools.add(strange, {"type": "object"})
        self.assertEqual((len(tools), len(_agent._tools)), (1, before + 1))

    def test_members_without_a_plain_value_go_by_their_names(self):
        seen = []

        def f(c: Corner, d: Corner = Corner.FAR, e: Corner = Corner.NONE, one: Literal[Corner.NEAR] = Corner.NEAR):
            seen.append((c, d, e, one))
            return c
        names = {"enum": ["NEAR", "FAR", "NONE"]}
        self.assertEqual(aios.schema_of(f)["properties"], {"c": names, "d": {**names, "default": "FAR"}, "e": {**names, "default": "NONE"},
                                                           "one": {"enum": ["NEAR"], "default": "NEAR"}})
        reply = self.agent('call f {"c":"NEAR","e":"FAR","one":"NEAR"}; result', f).run("?")
        self.assertEqual((seen, reply.text), ([(Corner.NEAR, Corner.FAR, Corner.FAR, Corner.NEAR)], '"NEAR"'))

    def test_members_of_one_text_are_refused(self):
        class Twin(enum.Enum):
            R = (1, 2)
            B = "R"

        def enums(a: Twin): ...
        def literal(a: Literal["c", Unit.CELSIUS]): ...
        for fn, words in ((enums, "enums.a: .*Twin.R.*Twin.B.*'R'"), (literal, "literal.a: 'c'.*CELSIUS")):
            self.assertRaisesRegex(TypeError, words, aios.Toolset(self.context).add, fn)

    def test_a_dataclass_has_the_arguments_of_its_making(self):
        seen = []

        def f(s: Scaled, o: Own):
            seen.append((s, o))
        s, o = (aios.schema_of(f)["properties"][n] for n in "so")
        self.assertEqual((list(s["properties"]), s["required"]), (["width", "factor", "names", "offset"], ["width", "factor"]))
        self.assertEqual(s["properties"]["offset"], {"type": "integer", "default": 1})
        self.assertEqual(s["properties"]["names"], {"type": "array", "items": {"type": "string"}})
        self.assertEqual(o["properties"], {"text": {"type": "string"}, "a": {"type": "number", "default": 1.5}})
        self.agent('call f {"s":{"width":2,"factor":5},"o":{"text":"4"}}; say x', f).run("?")
        self.assertEqual((seen[0][0].size, seen[0][0].names, seen[0][1].a), (11, [], 5))
        self.assertEqual(aios.schema_of(Scaled), s)

    def test_sets_of_what_cannot_be_in_one_are_refused(self):
        for inner in (List[int], list, dict, Set[int], Dict[str, int], Tuple[int, List[int]], Tuple[list, ...], Optional[List[int]], Row, Place,
                      Annotated[List[int], "rows"]):
            for outer in (Set[inner], FrozenSet[inner], Optional[Set[inner]]):
                def f(a: outer): ...
                self.assertRaisesRegex(TypeError, "f.a: items of a set are hashable", aios.Toolset(self.context).add, f)
        got = []

        def g(a: Set[Tuple[int, str]], b: Set[FrozenSet[int]], c: Set[Unit], d: Set[Scaled]):
            got.append((a, b, c, len(d)))
        arguments = {"a": [[1, "x"]], "b": [[1, 2]], "c": ["k"], "d": [{"width": 1, "factor": 1}]}
        self.agent(f"call g {json.dumps(arguments)}; say x", g).run("?")
        self.assertEqual(got, [({(1, "x")}, {frozenset((1, 2))}, {Unit.KELVIN}, 1)])

    def test_a_result_may_be_what_json_lacks(self):
        for result, text in ((Unit.CELSIUS, '"c"'), ({1}, "[1]"), (Place("Ulm"), '{"name": "Ulm", "unit": "k", "tags": []}')):
            self.assertEqual(self.agent("call f {}; result", (lambda result=result: result, {"name": "f", "schema": True})).run("?").text, text)


@unittest.skipUnless(MODEL, "AIOS_TEST_MODEL names no model")
class Real(Base):
    def test_a_model_calls_a_tool_made_of_annotations(self):
        tools, seen = aios.Toolset(self.context), []

        @tools.tool(effect="read")
        def weather(city: Annotated[str, "name of the city", {"maxLength": 20}], unit: Unit = Unit.KELVIN, days: Literal[1, 7] = 1,
                    place: Optional[Place] = None):
            """The weather in a city."""
            seen.append((city, unit, days, place))
            return "clear"
        agent = aios.Agent(aios.Model(MODEL, self.context), tools, tool_choice="required", limits={"max_turn_tokens": 150})
        with agent.start("What is the weather in Seoul?") as run:
            self.assertEqual(next(e for e in run if e.kind == "result").text, "clear")
        city, unit, days, place = seen[0]
        self.assertIsInstance(city, str)
        self.assertIsInstance(unit, Unit)
        self.assertIn(days, (1, 7))
        self.assertIsInstance(place, (Place, type(None)))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exact output: replies that were cut, grammars and walks, schema checks, snapshots, and the examples of the README."""
import contextlib
import copy
import doctest
import io
import json
import pickle
import re
import unittest

from support import ADD, HERE, MODEL, Base, aios, main, script

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"],
          "additionalProperties": False}


class Cuts(Base):
    TEXT = '{"name": "Bo", "age": 7}'  # four words, which are the tokens of the scripted model

    def setUp(self):
        super().setUp()
        self.session = self.model(f"say {self.TEXT}").session()

    def test_a_cut_reply_under_a_schema_is_an_error_with_its_text(self):
        e = self.fails("ELIMIT", self.session.complete, "hi", schema=PERSON, max_tokens=3)
        self.assertEqual((e.text, e.have), ('{"name": "Bo", "age":', 3))
        self.assertIn("raise max_tokens (3)", e.message)
        self.assertEqual(self.session.complete("hi", schema=PERSON, max_tokens=4).json, {"name": "Bo", "age": 7})

    def test_a_stream_gives_its_pieces_and_then_the_error(self):
        pieces = []

        def read():
            for piece in self.session.stream("hi", schema=json.dumps(PERSON), max_tokens=3):
                pieces.append(piece)
        self.assertEqual(self.fails("ELIMIT", read).text, "".join(pieces))
        turn, events = self.session.start("hi", schema=PERSON, max_tokens=3), []

        def follow():
            for ev in turn:
                events.append(ev.kind)
        self.fails("ELIMIT", follow)
        self.assertEqual((events[0], turn.running, turn.reply.reason, turn.reply.text), ("text", False, "length", "".join(pieces)))
        self.assertNotIn("done", events)
        self.assertEqual(self.session.complete("hi").text, self.TEXT)

    def test_a_cut_reply_under_a_grammar_is_an_error_also_when_the_grammar_is_closed(self):
        grammar = aios.Grammar(self.context, "a( b){3}", "regex")
        session = self.model("say a b b b").session()
        e = self.fails("ELIMIT", session.complete, "hi", grammar=grammar, max_tokens=2)
        self.assertEqual(e.text, "a b")
        self.assertIn("its grammar", e.message)
        turn = session.start("hi", grammar=grammar, max_tokens=2)
        grammar.close()
        self.fails("ELIMIT", turn.result)

    def test_a_whole_reply_is_whole_also_when_its_grammar_is_closed(self):
        grammar = aios.Grammar(self.context, "a( b)+", "regex")
        turn = self.model("say a b b; stop length").session().start("hi", grammar=grammar)
        grammar.close()
        reply = turn.result()
        self.assertEqual((reply.text, reply.reason), ("a b b", "length"))

    def test_a_reply_that_cannot_be_checked_is_no_cut_one(self):
        turn = self.model(f"say {self.TEXT}; stop length").session().start("hi", schema=PERSON)
        self.context.close()
        self.fails("ESTATE", turn.result)
        self.assertEqual(turn.reply.text, self.TEXT)

    def test_a_full_context_is_told_as_that(self):
        session = self.model(f"set n_ctx 16; say {self.TEXT}").session()
        room = next(n for n in range(20) if self.room_behind(session, n) == 2)
        for max_tokens, words in ((2, "raise max_tokens (2)"), (3, "larger n_ctx"), (4000, "larger n_ctx"), (0, "larger n_ctx")):
            e = self.fails("ELIMIT", session.complete, "w " * room, schema=PERSON, max_tokens=max_tokens)
            self.assertIn(words, e.message)
            self.assertEqual((e.text, e.have), ('{"name": "Bo",', 2 if max_tokens == 2 else 0))

    @staticmethod
    def room_behind(session, n):
        return 16 - session.count("w " * n, schema=PERSON)

    def test_free_replies_and_whole_ones_keep_the_reason(self):
        self.assertEqual(self.session.complete("hi", max_tokens=3).reason, "length")
        reply = self.model(f"say {self.TEXT}; stop length").session().complete("hi", schema=PERSON)
        self.assertEqual((reply.reason, reply.json["age"]), ("length", 7))
        grammar = aios.Grammar(self.context, "a( b)+", "regex")
        self.assertEqual(self.model("say a b b; stop length").session().complete("hi", grammar=grammar).text, "a b b")

    def test_the_text_of_an_error_travels_by_pickle(self):
        e = self.fails("ELIMIT", self.session.complete, "hi", schema=PERSON, max_tokens=1)
        self.assertEqual(pickle.loads(pickle.dumps(e)).text, e.text)
        self.assertTrue(e.text)

    def test_an_agents_cut_reply_has_its_text_too(self):
        agent = self.agent(f"call f {{}}; say {self.TEXT}", (lambda: "x", {"name": "f"}), schema=PERSON, limits={"max_turn_tokens": 3})
        self.assertEqual(self.fails("ELIMIT", agent.run, "hi").text, '{"name": "Bo", "age":')

    def test_a_turn_that_broke_leaves_what_came_in_its_reply(self):
        turn = self.model("say one two; fail EIO x").session().start("hi")
        self.fails("EIO", turn.result)
        self.assertEqual(turn.reply.text, "one two")

    def test_the_text_of_a_turn_that_broke_is_kept_too(self):
        e = self.fails("EIO", self.model("say so far; fail EIO the cable is cut").session().complete, "hi")
        self.assertEqual(e.text, "so far")


class Grammars(Base):
    def test_a_request_that_cannot_begin_lets_the_grammar_go(self):
        grammar, transcript = aios.Grammar(self.context, "a", "regex"), aios.Transcript(self.context, [("user", "x")])
        transcript.close()
        self.fails("ESTATE", self.model("say a").session().complete, transcript, grammar=grammar)
        self.assertEqual(grammar._pins, 0)

    def grammar(self, *args, **options):
        return aios.Grammar(self.context, *args, **options)

    def test_every_kind_is_taken_by_name_and_number(self):
        rows = [("schema", aios.GRAMMAR_SCHEMA, '{"enum":["ab"]}', '"ab"'), ("regex", aios.GRAMMAR_REGEX, "a|b", "a"),
                ("gbnf", aios.GRAMMAR_GBNF, 'root ::= "ab"', "ab"), ("lark", aios.GRAMMAR_LARK, 'start: "ab"', "ab")]
        for name, number, text, sentence in rows:
            for kind in (name, number):
                self.assertTrue(self.grammar(text, kind).matches(sentence), name)
                self.assertTrue(self.grammar(text.encode(), kind=kind).matches(sentence.encode()), name)
        self.assertTrue(self.grammar('root ::= "ab"').matches("ab"))

    def test_dicts_are_schemas_wherever_one_is_taken(self):
        for kind in (None, "schema", aios.GRAMMAR_SCHEMA):
            self.assertTrue(self.grammar(PERSON, kind).matches('{"name":"Bo","age":7}'))
        self.assertTrue(self.grammar(True).matches("[1]"))
        e = self.fails("ESCHEMA", self.grammar, {"type": 7})
        self.assertIn("type", e.message)

    def test_complete_takes_what_the_schema_allows(self):
        text = '{"age":7,"name":"Bo"}'
        self.assertIsNone(self.grammar(PERSON).matches(text))
        self.assertTrue(self.grammar(PERSON, complete=True).matches(text))
        self.assertTrue(self.grammar(json.dumps(PERSON), aios.GRAMMAR_SCHEMA | aios.GRAMMAR_COMPLETE).matches(text))
        self.assertRaises(ValueError, self.grammar, "a", "regex", complete=True)

    def test_strict_refuses_unknown_keywords(self):
        typo, strict, text = {"tpye": "string"}, aios.GRAMMAR_SCHEMA | aios.GRAMMAR_STRICT, '{"age":7,"name":"Bo"}'
        self.assertTrue(self.grammar(typo).matches("1"))
        rows = [(None, {"strict": True}, None), ("schema", {"strict": True, "complete": True}, True), (strict, {}, None),
                (strict, {"complete": True}, True), (strict | aios.GRAMMAR_COMPLETE, {}, True)]
        for kind, options, in_any_order in rows:
            self.assertIn('"type"', self.fails("ESCHEMA", self.grammar, typo, kind, **options).message)
            self.assertEqual(self.grammar({**PERSON, "x-note": 1}, kind, **options).matches(text), in_any_order)
        for kind in ("regex", aios.GRAMMAR_GBNF, aios.GRAMMAR_REGEX | aios.GRAMMAR_STRICT):
            self.assertRaises(ValueError, self.grammar, "a", kind, strict=True)

    def test_spaced_is_what_json_dumps_writes(self):
        value, kind = {"name": "Bo", "age": 7}, aios.GRAMMAR_SCHEMA | aios.GRAMMAR_SPACED
        for grammar in self.grammar(PERSON, spaced=True), self.grammar(PERSON, kind), self.grammar(PERSON, kind | aios.GRAMMAR_COMPLETE):
            self.assertTrue(grammar.matches(json.dumps(value)))
            self.assertIsNone(grammar.matches(json.dumps(value, separators=(",", ":"))))
        self.assertRaises(ValueError, self.grammar, "a", "regex", spaced=True)

    def test_an_error_says_where(self):
        self.assertIn("1", self.fails("ESCHEMA", self.grammar, "root ::= (", "gbnf").message)
        self.fails("ENOTSUP", self.grammar, r"(a)\1", "regex")

    def test_a_walk_follows_the_language(self):
        with self.grammar("(abc|abd)e?", "regex") as g, g.walk() as walk:
            self.assertEqual((walk.forced(), walk.forced(1), walk.forced(0), walk.next_bytes()), (b"ab", b"a", b"", {97}))
            self.assertIs(walk.accept("ab"), walk)
            self.assertEqual((walk.next_bytes(), walk.forced(), walk.complete), (set(b"cd"), b"", False))
            self.assertEqual((walk.accept(b"c").complete, walk.finished, walk.next_bytes()), (True, False, {101}))
            self.assertTrue(walk.accept("e").finished)
            self.assertEqual(walk.next_bytes(), set())

    def test_a_refused_text_leaves_the_walk_where_it_was(self):
        walk = self.grammar("abc", "regex").walk()
        e = self.fails("ESCHEMA", walk.accept, "abx")
        self.assertEqual((e.have, e.need), (2, 3))
        self.assertTrue(walk.accept("abc").complete)

    def test_copies_go_their_own_way_and_keep_the_grammar(self):
        grammar = self.grammar("a+b", "regex")
        one = grammar.walk().accept("a")
        two = copy.copy(one)
        grammar.close()
        self.assertTrue(two.accept("b").finished)
        self.assertEqual((one.complete, one.next_bytes()), (False, set(b"ab")))
        one.close()
        self.fails("ESTATE", one.accept, "a")
        self.assertTrue(two.finished)

    def test_a_walk_writes_a_sentence_that_the_schema_allows(self):
        schema = {"type": "object", "properties": {"kind": {"enum": ["one", "two"]}, "ok": {"const": True}}, "required": ["kind", "ok"]}
        walk, out = self.grammar(schema).walk(), b""
        while not walk.finished:
            step = walk.forced() or bytes([min(walk.next_bytes())])
            walk.accept(step)
            out += step
        self.assertEqual(out, b'{"kind":"one","ok":true}')

    def test_walks_leave_no_memory(self):
        grammar = self.grammar(PERSON)
        with grammar.walk() as walk:
            walk.next_bytes()
        used = self.context.usage()["used"]
        for _ in range(50):
            with grammar.walk() as walk, walk.accept('{"name":"').copy() as other:
                other.next_bytes()
                self.assertIsNone(grammar.matches("x"))
        self.assertEqual(self.context.usage()["used"], used)


class Schemas(Base):
    BAD = {"name": 1, "age": "x", "more": None}

    def test_all_violations_are_listed(self):
        rows = aios.schema_violations(self.context, PERSON, self.BAD)
        self.assertEqual({(v.path, v.keyword) for v in rows}, {("/name", "type"), ("/age", "type"), ("", "additionalProperties")})
        self.assertTrue(all(v.message and v.schema_path.startswith("#") for v in rows))
        self.assertEqual(len(aios.schema_violations(self.context, PERSON, self.BAD, limit=2)), 2)
        self.assertEqual(aios.schema_violations(self.context, PERSON, {"name": "Ü", "age": 7}), [])

    def test_values_are_texts_or_what_json_has(self):
        for value in ('{"name":"Bo","age":7}', b'{"age":7,"name":"Bo"}', {"name": "Bo", "age": 7}):
            for schema in (PERSON, json.dumps(PERSON), json.dumps(PERSON).encode()):
                self.assertIsNone(aios.schema_check(self.context, schema, value))
        aios.schema_check(self.context, True, None)
        aios.schema_check(self.context, {"type": "string"}, json.dumps("text"))
        self.fails("ESCHEMA", aios.schema_check, self.context, False, 1)

    def test_a_check_raises_the_first_with_its_path(self):
        e = self.fails("ESCHEMA", aios.schema_check, self.context, PERSON, {"name": "Bo", "age": "x"})
        self.assertIn("/age", e.message)

    def test_wrong_schemas_and_texts_are_raised_by_both(self):
        for fn in (aios.schema_check, aios.schema_violations):
            self.assertIn("type", self.fails("ESCHEMA", fn, self.context, {"type": 7}, 1).message)
            self.fails("EFORMAT", fn, self.context, PERSON, "no json")
            self.assertRaises(ValueError, fn, self.context, PERSON, float("nan"))
            self.assertRaises(TypeError, fn, self.context, PERSON, object())
            self.assertRaises(TypeError, fn, self.context, None, 1)
            self.assertRaises(TypeError, fn, self.model("echo"), PERSON, 1)
        self.assertRaises(ValueError, aios.schema_violations, self.context, PERSON, 1, limit=0)

    def test_formats_may_be_notes(self):
        schema = {"format": "date"}
        self.assertEqual(aios.schema_violations(self.context, schema, '"soon"')[0].keyword, "format")
        self.assertEqual(aios.schema_violations(self.context, schema, '"soon"', formats=False), [])
        self.assertIsNone(aios.schema_check(self.context, schema, '"soon"', formats=False))


class Snapshots(Base):
    def test_what_is_held_and_what_grows_is_told(self):
        with aios.Snapshot(self.context) as s:
            self.assertEqual((s.json, s.value, s.path, s.complete), (None, None, None, False))
            s.add('["a')
            self.assertEqual((s.in_text, s.held, s.path), (True, False, "/0"))
            s.add('",1')
            self.assertEqual((s.in_text, s.held, s.value), (False, True, ["a"]))
            self.assertTrue(s.add("]").complete)

    def test_an_error_leaves_what_was_sure_and_reset_begins_anew(self):
        s = aios.Snapshot(self.context)
        e = self.fails("EFORMAT", s.add, "[1,2}")
        self.assertEqual((e.have, s.value), (4, [1]))
        self.assertEqual((s.reset().json, s.add(b"{}").value), (None, {}))
        self.fails("EFORMAT", aios.Snapshot(self.context).add("[").end)


class Readme(Base):
    """Each example runs: those with a prompt as doctests, the others over a script of what a model could say."""
    SCRIPTS = {"yes|no": "say yes", "schema=person": 'say {"name": "Bo", "age": 7}', "weather": 'call weather {"city":"Seoul"}; result',
               "stream": "say because of the air"}

    def run_block(self, block, names):
        fake = next(s for marker, s in self.SCRIPTS.items() if marker in block)
        names["model"] = aios.Model(MODEL or script(fake))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(block.replace('"model.gguf"', repr(MODEL or script(fake))), names)
        return out.getvalue()

    def test_the_examples_do_what_they_say(self):
        blocks = re.findall(r"```python\n(.*?)```", (HERE.parent / "README.md").read_text(encoding="utf-8"), re.S)
        names, shown, said = {"aios": aios}, doctest.DocTestRunner(), []
        tests = doctest.DocTestParser()
        walked = {}
        for block in blocks:
            if block.startswith(">>>"):
                test = tests.get_doctest(block, walked, "README.md", None, 0)
                shown.run(test, clear_globs=False)
                walked.update(test.globs)
            else:
                said.append(self.run_block(block, names))
        self.assertEqual(shown.summarize().failed, 0)
        self.assertGreater(shown.summarize().attempted, 15)
        self.assertIn("ELIMIT: the reply was cut before its schema was satisfied: raise max_tokens (3)", said[2])
        if not MODEL:
            self.assertEqual((said[0], said[1]), ("because of the air", "Bo 7\n"))
            self.assertIn('{"sky": "clear", "celsius": 21}', said[4])


@unittest.skipUnless(MODEL, "AIOS_TEST_MODEL names no model")
class Real(Base):
    def test_three_tokens_are_too_few_and_enough_are_whole(self):
        session = aios.Model(MODEL, self.context).session()
        e = self.fails("ELIMIT", session.complete, "Name a person.", schema=PERSON, max_tokens=3)
        self.assertTrue(aios.Grammar(self.context, PERSON).matches(e.text) is False and e.text)
        grammar = aios.Grammar(self.context, "[a-z]{30}", "regex")
        self.assertTrue(self.fails("ELIMIT", lambda: list(session.stream("hi", grammar=grammar, max_tokens=3))).text)
        schema = {**PERSON, "properties": {**PERSON["properties"], "name": {"type": "string", "maxLength": 20}}}
        aios.schema_check(self.context, schema, session.complete("Name a person.", schema=schema, max_tokens=60).text)
        self.assertEqual(session.complete("Tell a story.", max_tokens=3).reason, "length")

    def test_a_reply_of_tools_is_held_to_no_schema(self):
        tools = [{"name": "add", "description": "Adds.", "schema": ADD}]
        reply = aios.Model(MODEL, self.context).session().complete("2 and 3?", tools=tools, tool_choice="required", max_tokens=100)
        self.assertEqual(reply.calls[0].name, "add")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Grammar: a language compiled once, that replies are bound to. Walk: a position in it, byte by byte, without a model."""
from __future__ import annotations

import ctypes as C
from typing import Any, Mapping

from . import _cdef as c
from ._args import choice, data, instance, whole
from ._context import Context
from ._lib import Error, Handle, call, lib
from ._schema import Schema, schema_text

KINDS = {"schema": c.AIOS_GRAMMAR_SCHEMA, "regex": c.AIOS_GRAMMAR_REGEX, "gbnf": c.AIOS_GRAMMAR_GBNF, "lark": c.AIOS_GRAMMAR_LARK}
_FLAGS = {"complete": c.AIOS_GRAMMAR_COMPLETE, "strict": c.AIOS_GRAMMAR_STRICT, "spaced": c.AIOS_GRAMMAR_SPACED}
_ALL_FLAGS = sum(_FLAGS.values())
_FLAGGED = [c.AIOS_GRAMMAR_SCHEMA | f for f in range(1, _ALL_FLAGS + 1) if not f & ~_ALL_FLAGS]
_KINDS = {**KINDS, **{n: n for n in (*KINDS.values(), *_FLAGGED)}}


class Grammar(Handle):
    """A language, for Session.start(..., grammar=) and for walks.

    text: a JSON schema (dict, True, False or text), a regular expression or rules. kind: "schema" (JSON Schema), "regex" (ECMA-262),
    "gbnf" (llama.cpp) or "lark" (llguidance), or a number of the C interface (aios.GRAMMAR_SCHEMA | aios.GRAMMAR_COMPLETE); without
    it a dict is a schema, a text GBNF. complete=True, of schemas: every value that the schema allows, members in any order; to check a
    text while it comes in. Without it the language is the compact one that models write. strict=True (aios.GRAMMAR_STRICT), of schemas:
    keywords that nobody knows are refused, but for x-... spaced=True (aios.GRAMMAR_SPACED), of schemas: a blank stands behind each comma and
    colon, as json.dumps writes them.

    Error ESCHEMA says where the text is wrong; ELIMIT: it is too large; ENOTSUP: what of an expression is not regular.
    """

    _destroy = "aios_grammar_free"

    def __init__(self, context: Context, text: Schema, kind: str | int | None = None, *, complete: bool = False,
                 strict: bool = False, spaced: bool = False):
        is_value = isinstance(text, (Mapping, bool))
        number = choice(_KINDS, kind if kind is not None else "schema" if is_value else "gbnf", "kind")
        is_schema = number & ~_ALL_FLAGS == c.AIOS_GRAMMAR_SCHEMA
        options = [name for name, on in zip(_FLAGS, (complete, strict, spaced)) if on]
        if options and not is_schema:
            raise ValueError(f'{options[0]}=True is for kind "schema" alone')
        if is_value and not is_schema:
            raise TypeError(f"kind {kind!r} takes a text, not {type(text).__name__}")
        raw, out = schema_text(text) if is_value else data(text, "the text of a grammar"), C.c_void_p()
        number |= sum(_FLAGS[name] for name in options)
        with instance(context, Context, "context")._pin() as ctx:
            call(lib.aios_grammar_compile, ctx, number, raw, len(raw), C.byref(out))
        self._own(out.value)

    def walk(self) -> Walk:
        """A position at the beginning of a sentence."""
        return Walk(self)

    def matches(self, text: str | bytes) -> bool | None:
        """True: a whole sentence; False: the beginning of one; None: outside."""
        with self.walk() as walk:
            try:
                return walk.accept(text).complete
            except Error as e:
                if e.code != c.AIOS_ESCHEMA:
                    raise
                return None


class Walk(Handle):
    """A position in a grammar's language, which it keeps alive. One thread at a time."""

    _destroy, _serial = "aios_walk_free", True

    def __init__(self, grammar: Grammar):
        out = C.c_void_p()
        with instance(grammar, Grammar, "grammar")._pin() as g:
            call(lib.aios_walk_new, g, C.byref(out))
        self._own(out.value)

    def accept(self, text: str | bytes) -> Walk:
        """Moves over the text, in any pieces; the walk itself. Error ESCHEMA (have = bytes that fit) if it leaves the language: the
        position is then as before.
        """
        raw = data(text)
        with self._pin() as w:
            call(lib.aios_walk_accept, w, raw, len(raw))
        return self

    def next_bytes(self) -> frozenset[int]:
        """Bytes that may come next: none behind the end. Error ELIMIT: too many readings, simplify the grammar."""
        mask = (C.c_uint8 * 32)()
        with self._pin() as w:
            rc = lib.aios_walk_next_bytes(w, mask)
        if rc < 0:
            raise Error(rc)
        return frozenset(b for b in range(256) if mask[b >> 3] >> (b & 7) & 1)

    def forced(self, limit: int = 4096) -> bytes:
        """Bytes that must come next, at most `limit`; the walk stays where it is. A character may be cut."""
        room = C.create_string_buffer(whole(C.c_uint32, limit, "limit") or 1)
        with self._pin() as w:
            n = lib.aios_walk_forced(w, room, limit)
        return room.raw[:n]

    @property
    def complete(self) -> bool:
        """What was accepted is a whole sentence; longer ones may begin with it."""
        with self._pin() as w:
            return bool(lib.aios_walk_complete(w))

    @property
    def finished(self) -> bool:
        """What was accepted is a whole sentence, and nothing may follow."""
        return self.complete and not self.next_bytes()

    def copy(self) -> Walk:
        """A second walk at the same position."""
        out, other = C.c_void_p(), Walk.__new__(Walk)
        with self._pin() as w:
            call(lib.aios_walk_copy, w, C.byref(out))
        other._own(out.value)
        return other

    __copy__ = copy

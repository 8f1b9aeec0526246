# SPDX-License-Identifier: Apache-2.0
"""Grammar: a language compiled once, that replies are bound to and texts are held against."""
import ctypes as C

from . import _cdef as c
from ._lib import Error, Handle, call, lib

KINDS = {"schema": c.AIOS_GRAMMAR_SCHEMA, "regex": c.AIOS_GRAMMAR_REGEX, "gbnf": c.AIOS_GRAMMAR_GBNF, "lark": c.AIOS_GRAMMAR_LARK}


class Grammar(Handle):
    """kind: "schema" (JSON Schema), "regex" (ECMA-262) "gbnf" (llama.cpp) or "lark" (llguidance). For Session.start(..., grammar=)."""

    _destroy = "aios_grammar_free"

    def __init__(self, context, text, kind="gbnf"):
        data, out = text if isinstance(text, bytes) else text.encode("utf-8"), C.c_void_p()
        with context._pin() as ctx:
            call(lib.aios_grammar_compile, ctx, KINDS[kind], data, len(data), C.byref(out))
        self._own(out.value)

    def matches(self, text):
        """True: a whole sentence; False: the beginning of one; None: outside."""
        data, walk = text if isinstance(text, bytes) else text.encode("utf-8"), C.c_void_p()
        with self._pin() as g:
            call(lib.aios_walk_new, g, C.byref(walk))
            try:
                call(lib.aios_walk_accept, walk, data, len(data))
                return bool(lib.aios_walk_complete(walk))
            except Error as e:
                if e.code != c.AIOS_ESCHEMA:
                    raise
                return None
            finally:
                lib.aios_walk_free(walk)

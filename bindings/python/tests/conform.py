#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds backends in Python to the suite of every backend: conform.py MODULE NAME, where MODULE is tests/conform/conform_backend.c as a
shared library, and NAME one of BACKENDS: "parrot" keeps the rules, the others break one each.
"""
import ctypes as C
import itertools
import json
import sys

from support import aios
from aios import _backend, _cdef


class Parrot(aios.Backend):
    """Says what it is told, a word a piece; a token is a word."""

    n_ctx, privacy, tools = 4096, "local", True

    def count(self, request):
        return max(1, sum(len(m["content"].split()) for m in request.messages))

    def fork(self, state):
        return dict(state)

    def words(self, request):
        if request.schema:
            return ['{"city":', '"Paris"}']
        return [w + " " for w in request.text.split()]

    def called(self, request):
        """What is called, if a call is asked for."""
        wanted = request.tool_name or (request.tools[0]["name"] if request.tool_choice == "required" else None)
        return aios.ToolCall(wanted, {"city": "Paris"}) if wanted else None

    def usage(self, request, n):
        return aios.Usage(input=self.count(request), output=n)

    def turn(self, request):
        call, n, reason = self.called(request), 0, "stop"
        if call:
            yield call
            yield self.usage(request, 1)
            return None
        for word in self.words(request):
            if request.max_tokens and n == request.max_tokens:
                reason = "length"
                break
            n += 1
            yield word
        yield self.usage(request, n)
        return reason


class Silent(Parrot):
    """Tells no usage."""

    def usage(self, request, n):
        return None


class Fickle(Parrot):
    """Never says the same."""

    turns = itertools.count()

    def words(self, request):
        return [f"{next(self.turns)} "] + super().words(request)


class Boundless(Parrot):
    """Takes prompts that its context does not hold."""

    count = aios.Backend.count

    def usage(self, request, n):
        return aios.Usage(input=1, output=n)


class Deaf(Parrot):
    """Calls no tool, whatever is required."""

    def called(self, request):
        return None


class Boastful(Parrot):
    """Says that it holds to schemas, and does not."""

    schema = True

    def words(self, request):
        return ["sunny"]


class Forgetful(Parrot):
    """Fails in its second turn."""

    def turn(self, request):
        request.state["turns"] = request.state.get("turns", 0) + 1
        if request.state["turns"] > 1:
            raise LookupError("who are you?")
        yield from super().turn(request)


BACKENDS = {kind.__name__.lower(): kind for kind in (Parrot, Silent, Fickle, Boundless, Deaf, Boastful, Forgetful)}
PREPARE = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.POINTER(_cdef.aios_error))


def run(module, kind):
    """Number of tests that failed."""
    boxes = []

    @PREPARE
    def prepare(_user, ctx, err):
        try:
            boxes.append(_backend.register(ctx, "mine", kind))
            return 0
        except aios.Error as e:
            return _backend.failed("mine", e, err)
    suite = C.CDLL(module).conform_backend
    suite.argtypes = [C.c_int, C.POINTER(C.c_char_p), PREPARE, C.c_void_p]
    argv = (C.c_char_p * 3)(b"conform_backend", b"mine:", None)
    return suite(2, argv, prepare, None)


if __name__ == "__main__":
    failed = run(sys.argv[1], BACKENDS[sys.argv[2]])
    left = len(_backend._models) + len(_backend._sessions)
    print(json.dumps({"failed": failed, "left": left}), flush=True)
    sys.exit(bool(failed or left))

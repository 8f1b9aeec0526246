# SPDX-License-Identifier: Apache-2.0
"""Events, usage, replies: plain values, copied out of the library."""
from __future__ import annotations

import json
from typing import Any, NamedTuple

from . import _cdef as c
from ._lib import Error, bytes_of, string

EVENTS = {value: name[11:].lower() for name, value in vars(c).items() if name.startswith("AIOS_EVENT_")}


class Label(NamedTuple):
    """Who could have written a text (LABEL_x), and the set of classes that it is confidential to."""

    integrity: int
    confidentiality: int


class Usage(NamedTuple):
    """Tokens and times of one turn; forced: tokens that a grammar left no choice about, grammar_ns: time for it, part of the others;
    queue_ns: time that the turn could have gone on and others were computed; cost_micros: what it cost, in millionths of the currency
    of the prices.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    prefill_ns: int = 0
    decode_ns: int = 0
    forced: int = 0
    grammar_ns: int = 0
    cost_micros: int = 0
    queue_ns: int = 0


class Event:
    """kind is "text", "reasoning", "call", "ask", "unknown" (a call that a crash cut off), "result", "usage", "state", "done", "error",
    "choice", "call_delta" (with call_deltas=True), "snapshot" (with snapshots=True: text is JSON, path what still grows, code SNAPSHOT flags)
    "route" (of a router: text is JSON) or "logprobs" (with logprobs=N: value is a list of tokens).
    depth is 1 for an agent that was called as a tool, 2 for one that it called; parent is the number of the run that called it."""

    __slots__ = ("kind", "code", "seq", "run", "step", "attempt", "call_id", "name", "text", "usage", "error", "label", "path",
                 "digest", "parent", "depth")

    def __init__(self, ev):
        self.kind = EVENTS.get(ev.type, f"event {ev.type}")
        self.code, self.seq, self.run, self.step, self.attempt = ev.code, ev.seq, ev.run, ev.step, ev.attempt
        self.call_id, self.name = string(ev.call_id), string(ev.name)
        self.text = string(bytes_of(ev, "text", ev.n_text))
        self.usage = Usage(*(getattr(ev.usage.contents, f) for f in Usage._fields)) if ev.usage else None
        self.error = Error.of(ev.error.contents, text=self.text) if ev.error else None
        self.path, self.digest = string(ev.path), string(ev.digest)
        self.parent, self.depth = ev.parent, ev.depth
        self.label = Label(ev.label.integrity, ev.label.confidentiality)

    @property
    def value(self) -> Any:
        """What a snapshot or logprobs show, read."""
        return json.loads(self.text)

    @property
    def arguments(self) -> Any:
        """Arguments of a call or an ask, read."""
        return json.loads(self.text)

    def __repr__(self):
        return f"<Event {self.seq} {self.kind} {self.name or ''} {self.text!r}>"


class Reply:
    """What a turn or a run came to: text, reasoning, reason ("stop", "length", "tool_calls" ...), usage (one row a turn), calls."""

    def __init__(self):
        self.text = self.reasoning = ""
        self._turn = None
        self.reason, self.usage, self.calls, self.choices, self.transcript = None, [], [], [], None
        self.logprobs = []

    def add(self, ev):
        """Takes an event: the text is that of the last attempt, as far as it came, until the end says it as a whole. Of agents that were called
        only the results count."""
        if ev.depth:
            return
        if ev.kind == "text":
            if self._turn != (ev.step, ev.attempt):
                self.text, self.logprobs = "", []
            self.text += ev.text
            self._turn = ev.step, ev.attempt
        elif ev.kind == "reasoning":
            self.reasoning += ev.text
        elif ev.kind == "logprobs":
            self.logprobs += ev.value
        elif ev.kind == "usage":
            self.usage.append(ev.usage)
        elif ev.kind == "call":
            self.calls.append(ev)
        elif ev.kind == "choice":
            self.choices.append(ev)
        elif ev.kind == "done":
            self.text, self.reason = ev.text, ev.name

    @property
    def json(self) -> Any:
        """The text read as JSON, for a reply under a schema."""
        return json.loads(self.text)

    def __str__(self):
        return self.text

    def __repr__(self):
        return f"<Reply {self.reason} {self.text!r}>"

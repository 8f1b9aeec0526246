# SPDX-License-Identifier: Apache-2.0
"""The conversation: entries of parts."""
from __future__ import annotations

import ctypes as C
from typing import Iterable, Sequence

from . import _cdef as c
from ._args import choice, cstr, data, fill, instance, new, whole
from ._context import Context
from ._events import Label
from ._lib import Error, Handle, bytes_of, call, lib, string, written

ROLES = {"system": c.AIOS_ROLE_SYSTEM, "user": c.AIOS_ROLE_USER, "assistant": c.AIOS_ROLE_ASSISTANT, "tool": c.AIOS_ROLE_TOOL}
PARTS = {name[10:].lower(): value for name, value in vars(c).items() if name.startswith("AIOS_PART_")}
BINARY = {"image", "audio", "data"}
_ROLE_NAMES = {v: k for k, v in ROLES.items()}
_PART_NAMES = {v: k for k, v in PARTS.items()}


class Part:
    """text is str, or bytes for the kinds "image", "audio" and "data"."""

    __slots__ = ("kind", "text", "name", "call_id", "mime", "status")

    def __init__(self, kind="text", text="", name=None, call_id=None, mime=None, status=0):
        self.kind, self.text, self.name, self.call_id, self.mime, self.status = kind, text, name, call_id, mime, status

    def __eq__(self, other):
        return isinstance(other, Part) and all(getattr(self, f) == getattr(other, f) for f in self.__slots__)

    def __repr__(self):
        return f"Part({self.kind!r}, {self.text!r})"


class Entry:
    """One entry, copied out of the transcript."""

    __slots__ = ("role", "parts", "label", "id")

    def __init__(self, role, parts, label, id):  # pylint: disable=redefined-builtin
        self.role, self.parts, self.label, self.id = role, parts, label, id

    @property
    def text(self):
        """Its text parts, joined."""
        return "".join(p.text for p in self.parts if p.kind == "text")

    def __repr__(self):
        return f"Entry({self.role!r}, {self.parts!r})"


def _part_out(p):
    kind = _PART_NAMES.get(p.kind, "unknown")
    raw = bytes_of(p, "text", p.n_text)
    return Part(kind, raw if kind in BINARY else string(raw), string(p.name), string(p.call_id), string(p.mime), p.status)


def _part_in(p):
    raw = data(instance(p, Part, "a part").text)
    return new(c.aios_part, kind=choice(PARTS, p.kind, "kind"), status=p.status, text=raw, n_text=len(raw), name=cstr(p.name),
               call_id=cstr(p.call_id), mime=cstr(p.mime))


def role_number(role):
    """AIOS_ROLE_x of a name."""
    return choice(ROLES, role, "role")


def entry_at(t, i):
    """A copy of entry i of a transcript of the library."""
    e = new(c.aios_entry)
    lib.aios_transcript_at(t, i, C.byref(e))
    at = C.cast(e.parts, C.c_void_p).value
    parts = [_part_out(c.aios_part.from_address(at + k * e.part_stride)) for k in range(e.n_parts)]
    return Entry(_ROLE_NAMES[e.role], parts, Label(e.label.integrity, e.label.confidentiality), e.id)


class Transcript(Handle):
    """A list of entries that belongs to a context. len, index, iterate, add, truncate, copy, to_json, from_json."""

    _destroy, _serial = "aios_transcript_free", True
    _lent = 0  # runs that write in it

    def __init__(self, context: Context, entries: Iterable[tuple[str, str]] = ()):
        out = C.c_void_p()
        with instance(context, Context, "context")._pin() as ctx:
            call(lib.aios_transcript_new, ctx, C.byref(out))
        self._context = context
        self._own(out.value)
        for role, text in entries:
            self.add(role, text)

    @classmethod
    def _wrap(cls, context, ptr):
        self = cls.__new__(cls)
        self._context = context
        self._own(ptr)
        return self

    def _enter(self):
        with self._lock:
            if self._lent:
                raise Error(c.AIOS_EBUSY, "a run writes in this Transcript: read run.transcript, or close the run first")
            return super()._enter()

    def _lend(self):
        """Gives it to a run; it is not freed before the run is."""
        with self._lock:
            if self._pins:
                raise Error(c.AIOS_EBUSY, "another thread uses this Transcript")
            ptr = self._enter()
            self._lent += 1
        return ptr

    def _returned(self):
        with self._lock:
            self._lent -= 1
        self._leave()

    def add(self, role: str, text: str | bytes) -> None:
        """Appends an entry of one text part."""
        number, raw = role_number(role), data(text)
        with self._pin() as t:
            call(lib.aios_transcript_add_text, t, number, raw, len(raw))

    def add_entry(self, role: str, parts: Sequence[Part], integrity: int | None = None, confidentiality: int = 0) -> None:
        """Appends an entry of Part objects; integrity (AIOS_LABEL_x) is by role unless given."""
        rows = (c.aios_part * len(parts))(*[_part_in(p) for p in parts])
        number = role_number(role)
        if integrity is None:
            integrity = {c.AIOS_ROLE_SYSTEM: c.AIOS_LABEL_SYSTEM, c.AIOS_ROLE_USER: c.AIOS_LABEL_USER}.get(number, c.AIOS_LABEL_UNTRUSTED)
        entry = new(c.aios_entry, role=number, n_parts=len(parts), parts=rows, part_stride=C.sizeof(c.aios_part))
        fill(entry.label, integrity=integrity, confidentiality=confidentiality)
        with self._pin() as t:
            call(lib.aios_transcript_add, t, C.byref(entry))

    def __len__(self):
        with self._pin() as t:
            return lib.aios_transcript_count(t)

    def __getitem__(self, i):
        with self._pin() as t:
            n = lib.aios_transcript_count(t)
            if isinstance(i, slice):
                return [self[k] for k in range(*i.indices(n))]
            if not -n <= i < n:
                raise IndexError(i)
            return entry_at(t, i % n)

    def truncate(self, i: int) -> None:
        """Drops the entries from i on."""
        with self._pin() as t:
            call(lib.aios_transcript_truncate, t, whole(C.c_uint32, i, "i"))

    def copy(self) -> Transcript:
        """A second one with the same entries."""
        out = C.c_void_p()
        with self._pin() as t:
            call(lib.aios_transcript_copy, t, C.byref(out))
        return self._wrap(self._context, out.value)

    def to_json(self) -> str:
        """The same text for the same entries, byte for byte."""
        with self._pin() as t:
            return written(lib.aios_transcript_write_json, t).decode("utf-8")

    @classmethod
    def from_json(cls, context: Context, text: str | bytes) -> Transcript:
        """Reads what to_json wrote. Error EFORMAT, EVERSION."""
        raw, out = data(text), C.c_void_p()
        with instance(context, Context, "context")._pin() as ctx:
            call(lib.aios_transcript_read_json, ctx, raw, len(raw), C.byref(out))
        return cls._wrap(context, out.value)

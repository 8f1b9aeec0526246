# SPDX-License-Identifier: Apache-2.0
"""Snapshot: JSON while it is being written."""
from __future__ import annotations

import ctypes as C
import json
from typing import Any

from . import _cdef as c
from ._args import data, instance, new
from ._context import Context
from ._lib import Handle, call, lib, string


class Snapshot(Handle):
    """Takes JSON in pieces. json: what is sure so far, closed into a valid text, None before anything is; value: the same read.
    path: JSON pointer of what still grows, None if nothing does. One thread at a time.
    """

    _destroy, _serial = "aios_snapshot_free", True

    def __init__(self, context: Context):
        out = C.c_void_p()
        with instance(context, Context, "context")._pin() as ctx:
            call(lib.aios_snapshot_new, ctx, C.byref(out))
        self._own(out.value)
        self._forget()

    def _forget(self):
        self.json: str | None = None
        self.path: str | None = None
        self.flags = 0

    def add(self, text: str | bytes) -> Snapshot:
        """The snapshot itself, so that one may look at it at once. Error EFORMAT (have = bytes taken in all) where the text leaves JSON."""
        raw = data(text)
        with self._pin() as s:
            try:
                call(lib.aios_snapshot_add, s, raw, len(raw))
            finally:
                self._look(s)
        return self

    def end(self) -> Snapshot:
        """The text is over: a number at the root is whole now. Error EFORMAT if the value is not."""
        with self._pin() as s:
            call(lib.aios_snapshot_end, s)
            self._look(s)
        return self

    def reset(self) -> Snapshot:
        """Back to the beginning, for another text."""
        with self._pin() as s:
            lib.aios_snapshot_reset(s)
            self._forget()
        return self

    def _look(self, s):
        view = new(c.aios_snapshot_view)
        if call(lib.aios_snapshot_get, s, C.byref(view)) == c.AIOS_OK:
            self.json, self.path, self.flags = string(C.string_at(view.json, view.n_json)), string(view.path), view.flags

    @property
    def value(self) -> Any:
        """What is sure so far, read; None also while nothing is: see json."""
        return None if self.json is None else json.loads(self.json)

    @property
    def complete(self) -> bool:
        """Nothing but blanks may follow."""
        return bool(self.flags & c.AIOS_SNAPSHOT_COMPLETE)

    @property
    def in_text(self) -> bool:
        """A string is still growing: the one at path."""
        return bool(self.flags & c.AIOS_SNAPSHOT_IN_TEXT)

    @property
    def held(self) -> bool:
        """Bytes have come that are not shown yet: of a key, a number, a word, an escape."""
        return bool(self.flags & c.AIOS_SNAPSHOT_HELD)

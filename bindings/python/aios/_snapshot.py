# SPDX-License-Identifier: Apache-2.0
"""Snapshot: JSON while it is being written."""
import ctypes as C
import json

from . import _cdef as c
from ._lib import Handle, call, lib, new, string


class Snapshot(Handle):
    """Takes JSON in pieces; `json` is what is sure so far, closed into a valid value, `value` the same read, None before anything is sure."""

    _destroy = "aios_snapshot_free"

    def __init__(self, context):
        out = C.c_void_p()
        with context._pin() as ctx:
            call(lib.aios_snapshot_new, ctx, C.byref(out))
        self._own(out.value)
        self.json, self.path, self.flags = None, None, 0

    def add(self, text):
        """The snapshot itself, so that one may look at it at once. Error EFORMAT where the text leaves JSON."""
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        with self._pin() as s:
            call(lib.aios_snapshot_add, s, data, len(data))
            self._look(s)
        return self

    def end(self):
        """The text is over: a number at the root is whole now. Error EFORMAT if the value is not."""
        with self._pin() as s:
            call(lib.aios_snapshot_end, s)
            self._look(s)
        return self

    def _look(self, s):
        view = new(c.aios_snapshot_view)
        if call(lib.aios_snapshot_get, s, C.byref(view)) == c.AIOS_OK:
            self.json, self.path, self.flags = string(C.string_at(view.json, view.n_json)), string(view.path), view.flags

    @property
    def value(self):
        return None if self.json is None else json.loads(self.json)

    @property
    def complete(self):
        """Nothing but blanks may follow."""
        return bool(self.flags & c.AIOS_SNAPSHOT_COMPLETE)

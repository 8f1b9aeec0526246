# SPDX-License-Identifier: Apache-2.0
"""Stores: streams of numbered records, and the runs that are kept in them."""
from __future__ import annotations

import ctypes as C
from typing import Iterable, NamedTuple

from . import _cdef as c
from ._args import cstr, data, fill, instance, new
from ._context import Context
from ._lib import Box, Error, Handle, as_dict, box_call, call, lib, string

RUN_STATES = {value: name[9:].lower() for name, value in vars(c).items() if name.startswith("AIOS_RUN_") and isinstance(value, int)}


class Record(NamedTuple):
    """A record of a stream: its number from 1, the writer's tag, when it was committed (seconds since 1970), its bytes."""

    seq: int
    kind: int
    time: float
    data: bytes


class Stream(NamedTuple):
    """A stream: numbers of the oldest record kept and of the newest, when that was committed (seconds since 1970)."""

    name: str
    first: int
    head: int
    time: float


class Write(NamedTuple):
    """A record to be committed. seq: the number that it must get, else the whole commit is ECONFLICT; 0: the next. forget: the records
    before it go with the commit.
    """

    stream: str
    data: str | bytes
    seq: int = 0
    kind: int = 0
    forget: bool = False


class RunInfo(NamedTuple):
    """How a run stands. state: "model" (it is to go on), "tools" (it has calls that are not over), "ask" (some of them wait for a
    decision), "stopped" (by a failure: code and message; it can be resumed), "done", "damaged" (its journal cannot be read). unknown:
    calls that began and have no receipt. began, changed: seconds since 1970; used: seconds against its timeout.
    """

    id: str
    model: str
    state: str
    code: int
    message: str
    turns: int
    calls: int
    tokens: int
    asks: int
    unknown: int
    resumes: int
    records: int
    began: float
    changed: float
    used: float
    parent: str = ""  # of a call of an agent: the run that made it


def _run_info(i):
    return RunInfo(string(i.id), string(i.model), RUN_STATES.get(i.state, f"state {i.state}"), i.code, string(i.msg), i.n_turns, i.n_calls,
                   i.n_tokens, i.n_asks, i.n_unknown, i.n_resumes, i.n_records, i.began_us / 1e6, i.changed_us / 1e6, i.used_ns / 1e9,
                   string(i.parent))


def _record(r):
    return Record(r.seq, r.kind, r.wall_us / 1e6, C.string_at(r.data, r.n_data))


def _stream(s):
    return Stream(string(s.name), s.first, s.head, s.written_us / 1e6)


@c.aios_record_fn
def _record_fn(user, p):
    return box_call(user, c.AIOS_ECANCELED, p.contents)


@c.aios_stream_fn
def _stream_fn(user, p):
    return box_call(user, c.AIOS_ECANCELED, p.contents)


@c.aios_run_fn
def _run_fn(user, p):
    return box_call(user, c.AIOS_ECANCELED, p.contents)


def _collected(read, fn, *args):
    """Rows that a function of C tells one by one, as a list."""
    out = []
    box = Box(lambda row: out.append(read(row)) or 0)
    try:
        call(*args, fn, box.key)
    finally:
        box.reraise()
    return out


def _write_in(w):
    w = w if isinstance(w, Write) else Write(*w)
    raw = data(w.data, "the data of a write")
    return new(c.aios_store_write, stream=cstr(w.stream), data=C.cast(C.c_char_p(raw), C.c_void_p), n_data=len(raw), seq=w.seq, kind=w.kind,
               flags=c.AIOS_WRITE_FORGET if w.forget else 0), raw


class Store(Handle):
    """Where runs are kept: "memory:" (this object's), "memory:NAME" (the context's), "sqlite:FILE" (in use by one process at a time), or
    what a plugin brings. relaxed: a commit survives the process, perhaps not the machine. Safe from any thread.
    """

    _destroy = "aios_store_close"

    def __init__(self, context: Context, uri: str, read_only: bool = False, relaxed: bool = False):
        cfg = new(c.aios_store_config, flags=(c.AIOS_STORE_READ_ONLY if read_only else 0) | (c.AIOS_STORE_RELAXED if relaxed else 0))
        out = C.c_void_p()
        with instance(context, Context, "context")._pin() as ctx:
            call(lib.aios_store_open, ctx, cstr(uri), C.byref(cfg), C.byref(out))
        self.context = context
        self._own(out.value)

    # ---- runs ----

    def runs(self) -> list[RunInfo]:
        """All runs, in order of their ids."""
        with self.context._pin() as ctx, self._pin() as st:
            return _collected(_run_info, _run_fn, lib.aios_run_list, ctx, st)

    def run(self, run_id: str) -> RunInfo:
        """How one run stands, whoever has it. Error ENOENT."""
        info = new(c.aios_run_info)
        with self.context._pin() as ctx, self._pin() as st:
            call(lib.aios_run_info_get, ctx, st, cstr(run_id), C.byref(info))
        return _run_info(info)

    # ---- streams ----

    def streams(self, prefix: str = "") -> list[Stream]:
        """Streams whose names begin with prefix, in order of their bytes."""
        with self._pin() as st:
            return _collected(_stream, _stream_fn, lib.aios_store_list, st, cstr(prefix))

    def read(self, stream: str, start: int = 0) -> list[Record]:
        """Records of a stream from number start (0: the oldest kept). Error EFORMAT names the first that is damaged."""
        start = fill(new(c.aios_record), seq=start).seq
        with self._pin() as st:
            return _collected(_record, _record_fn, lib.aios_store_read, st, cstr(stream), start)

    def head(self, stream: str) -> int:
        """Number of the newest record; 0: there is no such stream."""
        out = C.c_uint64()
        with self._pin() as st:
            call(lib.aios_store_head, st, cstr(stream), C.byref(out))
        return out.value

    def commit(self, writes: Iterable[Write | tuple]) -> list[int]:
        """Commits all writes or none, durable once it returns; their numbers. Error ECONFLICT: another writer came first."""
        rows = [_write_in(w) for w in writes]
        array, numbers = (c.aios_store_write * len(rows))(*(w for w, _ in rows)), (C.c_uint64 * len(rows))()
        with self._pin() as st:
            call(lib.aios_store_commit, st, array, len(rows), C.sizeof(c.aios_store_write), numbers)
        return list(numbers)

    def remove(self, stream: str) -> None:
        """Removes a stream, durably. Error ENOENT."""
        with self._pin() as st:
            call(lib.aios_store_remove, st, cstr(stream))

    def check(self) -> None:
        """Reads all there is against its sums; Error EFORMAT names the first damage."""
        with self._pin() as st:
            call(lib.aios_store_check, st)

    def info(self) -> dict:
        """name of its kind, flags, n_commits, n_writes, n_bytes, n_syncs."""
        out = new(c.aios_store_info)
        with self._pin() as st:
            rc = lib.aios_store_info_get(st, C.byref(out))
        if rc < 0:
            raise Error(rc)
        return as_dict(out)

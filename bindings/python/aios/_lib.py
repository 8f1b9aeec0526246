# SPDX-License-Identifier: Apache-2.0
"""The library itself: what its failures become, its callbacks, who owns what."""
from __future__ import annotations

import contextlib
import ctypes as C
import itertools
import logging
import os
import threading
import time
import weakref

from . import _cdef as c
from ._args import cstr, new
from ._find import load

log = logging.getLogger("aios")
SLICE_MS = 50  # longest wait inside the library, so that Ctrl-C is heard

lib, library_path = load()


class Error(Exception):
    """A failure of the library: code, name ("EBUDGET"), message, have and need in the same unit (else 0), sys (errno); text is what of
    a reply had come by then.
    """

    __module__ = "aios"

    def __init__(self, code: int, message: str = "", have: int = 0, need: int = 0, sys: int = 0, text: str = ""):
        super().__init__(code, message, have, need, sys, text)
        self.code, self.message, self.have, self.need, self.sys = code, message or strerror(code), have, need, sys
        self.text = text
        self.name = lib.aios_code_name(code).decode()

    def __str__(self):
        return f"{self.name}: {self.message}"

    @classmethod
    def of(cls, err, code=0, text=""):
        return cls(err.code or code, err.msg.decode("utf-8", "replace"), err.have, err.need, err.sys, text)


class ToolError(Exception):
    """Raised by a tool to tell the model that it failed; any other exception does that too, and is logged besides."""

    __module__ = "aios"


def strerror(code: int) -> str:
    """What a code means."""
    return lib.aios_strerror(code).decode()


def version() -> str:
    """Of the loaded library."""
    v = lib.aios_version()
    return f"{v >> 16}.{v >> 8 & 255}.{v & 255}"


def has(feature: str) -> bool:
    """Whether the library was built with "curl", "hwloc", "openblas", "gguf", "echo"."""
    return bool(lib.aios_has(cstr(feature)))


# ---- exceptions of callbacks ------------------------------------------------------------------------------------------
_passed = threading.local()
CODES = ((MemoryError, c.AIOS_ENOMEM), (NotImplementedError, c.AIOS_ENOTSUP), (TimeoutError, c.AIOS_ETIMEDOUT),
         (PermissionError, c.AIOS_EDENIED), (FileNotFoundError, c.AIOS_ENOENT), (ConnectionError, c.AIOS_EUNAVAIL), (OSError, c.AIOS_EIO))


def code_of(error, otherwise):
    """The code of what a callback raised; that means "end" unless it is an Exception."""
    if not isinstance(error, Exception):
        return c.AIOS_ECANCELED
    if isinstance(error, Error):
        return error.code if error.code < 0 else otherwise
    return next((code for kind, code in CODES if isinstance(error, kind)), otherwise)


def pass_up(error):
    """From a callback: the call of the library that is inside on this thread raises it. On a thread of the library nobody does."""
    if getattr(_passed, "error", None) is None:
        _passed.error = error


def passed():
    """Takes what a callback of this thread passed up, or None."""
    error = getattr(_passed, "error", None)
    if error is not None:
        _passed.error = None
    return error


def raise_passed():
    error = passed()
    if error is not None:
        raise error


def call(fn, *args):
    """Calls fn(*args, err); raises what it fails with, or what a callback passed up."""
    err = new(c.aios_error)
    rc = fn(*args, C.byref(err))
    if rc < 0:
        raise_passed()
        raise Error.of(err, rc)
    return rc


def string(data):
    return None if data is None else data.decode("utf-8", "replace")


def bytes_of(struct, field, n):
    """The n bytes that a text field points to, NULs included."""
    at = C.c_void_p.from_address(C.addressof(struct) + getattr(type(struct), field).offset).value
    return C.string_at(at, n) if at else b""


def as_dict(struct):
    """Fields of a struct of facts."""
    out = {}
    for name, *_ in struct._fields_:
        value = getattr(struct, name)
        if name != "struct_size" and not name.startswith("reserve"):
            out[name] = string(value) if isinstance(value, bytes) else value
    return out


def slices(timeout):
    """A wait of timeout seconds (None: for ever) as short ones, in milliseconds."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = SLICE_MS if end is None else max(0, int(min(SLICE_MS + 1, (end - time.monotonic()) * 1000 + 0.999)))
        yield min(SLICE_MS, left)
        if left <= SLICE_MS and end is not None and time.monotonic() >= end:
            return


# ---- callbacks: C gets a number as `user`, so that nothing it holds can dangle ---------------------------------------
_keys = itertools.count(1)
_boxes = weakref.WeakValueDictionary()


class Box:
    """A callable that C knows by number, for as long as somebody in Python holds the box; keeps what it raised."""

    def __init__(self, fn):
        self.fn, self.error, self.key = fn, None, next(_keys)
        _boxes[self.key] = self

    def reraise(self):
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def box_call(key, otherwise, *args):
    """Calls a box; what it raises is kept in the box, and `otherwise` is the answer."""
    box = _boxes.get(key)
    if box is None:
        return otherwise
    try:
        return box.fn(*args)
    except BaseException as e:  # pylint: disable=broad-except
        box.error = box.error or e
        return otherwise


@c.aios_write_fn
def write_fn(user, p, n):
    return box_call(user, c.AIOS_EIO, C.string_at(p, n) if n else b"")


def written(fn, *args):
    """What a function with a byte sink writes."""
    chunks = []
    box = Box(lambda data: chunks.append(data) or 0)
    try:
        call(fn, *args, write_fn, box.key)
    finally:
        box.reraise()
    return b"".join(chunks)


# ---- ownership -------------------------------------------------------------------------------------------------------
def in_library_thread():
    """Whether this thread is not one of Python: where a callback runs there, nothing may wait for what that thread drives."""
    return isinstance(threading.current_thread(), threading._DummyThread)


def _free(fn, ptr, pid, unpin):
    """Once for each object: by close, by the collector, or at exit. Threads of the library do not survive a fork, and are not waited for
    by themselves.
    """
    if os.getpid() == pid and in_library_thread():
        threading.Thread(target=_free, args=(fn, ptr, pid, unpin)).start()
        return
    if os.getpid() == pid:
        fn(ptr)
    if unpin is not None:
        unpin()


class Handle:
    """Owns one object of the library. close() while a call is inside stops that call, which then closes."""

    _destroy = None     # name of the function that frees it
    _serial = False     # calls of one object take turns
    _final = None

    def _own(self, ptr, unpin=None):
        self._ptr, self._pins, self._closing, self._lock = ptr, 0, False, threading.RLock()
        self._final = weakref.finalize(self, _free, getattr(lib, self._destroy), ptr, os.getpid(), unpin)

    def _enter(self):
        with self._lock:
            if self._closing or not self._final.alive:
                raise Error(c.AIOS_ESTATE, f"this {type(self).__name__} is closed")
            self._pins += 1
        return self._ptr

    def _leave(self):
        with self._lock:
            self._pins -= 1
            last = self._closing and not self._pins
        if last:
            self._final()

    @contextlib.contextmanager
    def _pin(self):
        ptr = self._enter()
        try:
            if self._serial:
                with self._lock:
                    yield ptr
            else:
                yield ptr
        finally:
            self._leave()

    def _interrupt(self):
        """Makes a call that is inside return soon."""

    def close(self) -> None:
        """Frees it now instead of when it is collected; any order is fine, twice too."""
        if self._final is None:
            return
        with self._lock:
            self._closing = True
            inside = self._pins > 0
            if inside and self._final.alive:
                self._interrupt()
        if not inside:
            self._final()

    @property
    def closed(self) -> bool:
        return self._final is None or self._closing or not self._final.alive

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

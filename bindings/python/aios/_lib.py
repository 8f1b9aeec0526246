# SPDX-License-Identifier: Apache-2.0
"""The library itself: where it is, whether it fits, what its failures become, who owns what."""
import contextlib
import ctypes as C
import ctypes.util
import itertools
import logging
import os
import pathlib
import threading
import time
import weakref

from . import _cdef as c

log = logging.getLogger("aios")
SLICE_MS = 50  # longest wait inside the library, so that Ctrl-C is heard


def _candidates():
    named = os.environ.get("AIOS_LIBRARY")
    if named:
        yield named
        return
    here = pathlib.Path(__file__).resolve().parent
    for folder in (here, here.parents[2] / "build" / "lib"):
        for name in ("libaios.so.0", "libaios.so"):
            if (folder / name).exists():
                yield str(folder / name)
    found = ctypes.util.find_library("aios")
    if found:
        yield found


def _load():
    tried = []
    for path in _candidates():
        try:
            return c.declare(C.CDLL(path)), path
        except OSError as e:
            tried.append(str(e))
        except AttributeError as e:
            tried.append(f"{path} is not the library of this package: {e}")
    raise ImportError("libaios.so is not found: build it, install it, or set AIOS_LIBRARY to its path"
                      + "".join(f"\n  {t}" for t in tried))


def _check_fit(library, path):
    """The minor number counts while the major one is 0; a struct of ours must come back filled in."""
    have = library.aios_version()
    if have >> 8 != c.AIOS_VERSION >> 8:
        raise ImportError(f"{path} is version {have >> 16}.{have >> 8 & 255}.{have & 255}, this package is for "
                          f"{c.AIOS_VERSION_MAJOR}.{c.AIOS_VERSION_MINOR}.x")
    info = new(c.aios_dtype_info)
    if library.aios_dtype_info_get(c.AIOS_DTYPE_Q4_K, C.byref(info)) or (info.name, info.block_bytes) != (b"Q4_K", 144):
        raise ImportError(f"{path} lays out structs in another way than this package")


def new(struct, **fields):
    """A struct with its size filled in."""
    out = struct(struct_size=C.sizeof(struct))
    for name, value in fields.items():
        setattr(out, name, value)
    return out


lib, library_path = _load()
_check_fit(lib, library_path)


class Error(Exception):
    """A failure of the library: code, name ("EBUDGET"), message, have and need in the same unit (else 0), sys (errno)."""

    def __init__(self, code, message="", have=0, need=0, sys=0):
        super().__init__(code, message, have, need, sys)
        self.code, self.message, self.have, self.need, self.sys = code, message or strerror(code), have, need, sys
        self.name = lib.aios_code_name(code).decode()

    def __str__(self):
        return f"{self.name}: {self.message}"

    @classmethod
    def of(cls, err, code=0):
        return cls(err.code or code, err.msg.decode("utf-8", "replace"), err.have, err.need, err.sys)


class ToolError(Exception):
    """Raised by a tool to tell the model that it failed; any other exception does that too, and is logged besides."""


def strerror(code):
    return lib.aios_strerror(code).decode()


def version():
    v = lib.aios_version()
    return f"{v >> 16}.{v >> 8 & 255}.{v & 255}"


def has(feature):
    """Whether the library was built with "curl", "hwloc", "openblas", "gguf", "echo"."""
    return bool(lib.aios_has(cstr(feature)))


def call(fn, *args):
    """Calls fn(*args, err); raises what it fails with."""
    err = new(c.aios_error)
    rc = fn(*args, C.byref(err))
    if rc < 0:
        raise Error.of(err, rc)
    return rc


def cstr(text):
    """Bytes of a text that C reads up to its NUL; None stays None."""
    if text is None:
        return None
    data = text if isinstance(text, bytes) else os.fspath(text).encode("utf-8")
    if b"\0" in data:
        raise ValueError("a NUL character is not possible here")
    return data


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


def seconds_ns(seconds):
    return int(seconds * 1e9)


def slices(timeout):
    """A wait of timeout seconds (None: for ever) as short ones, in milliseconds."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = SLICE_MS if end is None else max(0, int((end - time.monotonic()) * 1000 + 0.999))
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
def _free(fn, ptr, pid, unpin):
    """Once for each object: by close, by the collector, or at exit. Threads of the library do not survive a fork."""
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

    def close(self):
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
    def closed(self):
        return self._final is None or self._closing or not self._final.alive

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

# SPDX-License-Identifier: Apache-2.0
"""Arguments on their way to C: what does not fit is refused by its name, before ctypes cuts it to size."""
from __future__ import annotations

import ctypes as C
import functools
import numbers
import operator
import os
from typing import Any, Mapping

INTEGERS = (C.c_int8, C.c_int16, C.c_int32, C.c_int64, C.c_uint8, C.c_uint16, C.c_uint32, C.c_uint64)


def _range(ctype):
    bits, signed = 8 * C.sizeof(ctype), ctype(-1).value < 0
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


RANGES = {ctype: _range(ctype) for ctype in INTEGERS}


def whole(ctype, value: Any, what: str) -> int:
    """value, if the integer type of C holds it; ValueError or TypeError."""
    try:
        n = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is a whole number, not {type(value).__name__}") from None
    low, high = RANGES[ctype]
    if not low <= n <= high:
        raise ValueError(f"{what} is {n}: it may be {low} to {high}")
    return n


def choice(table: Mapping, value: Any, what: str) -> Any:
    """What the table has for value; ValueError with all that it may be."""
    try:
        return table[value]
    except (KeyError, TypeError):
        raise ValueError(f"{what} is {value!r}: it may be {', '.join(map(repr, table))}") from None


def known(options: Mapping, names, what: str) -> dict:
    """A dict of options; TypeError with all that there are if one is not among names."""
    if not isinstance(options, Mapping):
        raise TypeError(f"{what} is a dict, not {type(options).__name__}")
    wrong = [str(k) for k in options if k not in names]
    if wrong:
        raise TypeError(f"{what} has no {', '.join(sorted(wrong))}; it has {', '.join(sorted(names))}")
    return dict(options)


def instance(value: Any, kind: type, what: str) -> Any:
    """value, if it is of that class; TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{what} is a {kind.__name__}, not {type(value).__name__}")
    return value


def function(value: Any, what: str) -> Any:
    """value, if it can be called; TypeError."""
    if not callable(value):
        raise TypeError(f"{what} is a function, not {type(value).__name__}")
    return value


def data(text: Any, what: str = "a text") -> bytes:
    """Bytes of a str (UTF-8) or of bytes; TypeError."""
    if isinstance(text, str):
        return text.encode("utf-8")
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    raise TypeError(f"{what} is str or bytes, not {type(text).__name__}")


def cstr(text: Any) -> bytes | None:
    """Bytes of a text or a path that C reads up to its NUL; None stays None."""
    if text is None:
        return None
    out = text if isinstance(text, bytes) else os.fspath(text).encode("utf-8")
    if b"\0" in out:
        raise ValueError("a NUL character is not possible here")
    return out


def seconds_ns(seconds: Any, what: str) -> int:
    """Nanoseconds, at least 1 of what is more than nothing; None is 0."""
    if not isinstance(seconds, (numbers.Real, type(None))):
        raise TypeError(f"{what} is a number of seconds, not {type(seconds).__name__}")
    value = float(seconds or 0)
    if not 0 <= value * 1e9 < 2 ** 63:
        raise ValueError(f"{what} is {seconds} seconds: it may be 0 (no limit) to {2 ** 63 // 10 ** 9}")
    return max(int(value * 1e9), value > 0)


@functools.lru_cache(maxsize=None)
def _types(struct):
    return {name: ctype for name, ctype, *_ in struct._fields_}


def fill(out, **fields):
    """Sets fields of a struct; ValueError or TypeError names the one that does not fit."""
    types = _types(type(out))
    for name, value in fields.items():
        try:
            setattr(out, name, whole(types[name], value, name) if types[name] in RANGES else value)
        except TypeError as e:
            raise e if str(e).startswith(name) else TypeError(f"{name}: {e}") from None
    return out


def new(struct, **fields):
    """A struct with its size filled in."""
    return fill(struct(struct_size=C.sizeof(struct)), **fields)

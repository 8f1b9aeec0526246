# SPDX-License-Identifier: Apache-2.0
"""Where libaios is, and whether it fits this package."""
from __future__ import annotations

import ctypes as C
import os
import pathlib
import shlex
import subprocess

from . import _cdef as c
from ._args import new

NAMES = ("libaios.so.0", "libaios.so")


def _installed() -> pathlib.Path | None:
    """The folder that pkg-config knows, for a prefix that the loader does not search."""
    command = shlex.split(os.environ.get("PKG_CONFIG", "pkg-config")) + ["--variable=libdir", "aios"]
    try:
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    folder = os.fsdecode(out).strip()
    return pathlib.Path(folder) if folder else None


def _within(folder):
    return [str(folder / name) for name in NAMES if (folder / name).exists()] if folder else []


def candidates():
    """Paths to try, the most wanted one first."""
    named = os.environ.get("AIOS_LIBRARY")
    if named:
        yield named
        return
    here = pathlib.Path(__file__).resolve().parent
    yield from _within(here)
    yield from _within(here.parents[2] / "build" / "lib")
    yield NAMES[0]  # the loader's own folders: LD_LIBRARY_PATH, ld.so.conf
    yield from _within(_installed())


def _what_to_do():
    named = os.environ.get("AIOS_LIBRARY")
    if named:
        return (f"AIOS_LIBRARY is {named}, which cannot be used: set it to the path of libaios.so.0 of version "
                f"{c.AIOS_VERSION_MAJOR}.{c.AIOS_VERSION_MINOR}, or unset it to have it searched for")
    return ("libaios.so.0 is not found: build and install it (in its sources: meson setup build && ninja -C build && meson install -C "
            "build, then ldconfig), or set AIOS_LIBRARY to its path (AIOS_LIBRARY=/path/to/build/lib/libaios.so.0). Where pkg-config knows "
            "aios, it is found by that")


def _check_fit(library, path):
    """The minor number counts while the major one is 0; a struct of ours must come back filled in."""
    have = library.aios_version()
    if have >> 8 != c.AIOS_VERSION >> 8:
        raise ImportError(f"{path} is version {have >> 16}.{have >> 8 & 255}.{have & 255}, this package is for "
                          f"{c.AIOS_VERSION_MAJOR}.{c.AIOS_VERSION_MINOR}.x: install that, or set AIOS_LIBRARY to one")
    info = new(c.aios_dtype_info)
    if library.aios_dtype_info_get(c.AIOS_DTYPE_Q4_K, C.byref(info)) or (info.name, info.block_bytes) != (b"Q4_K", 144):
        raise ImportError(f"{path} lays out structs in another way than this package: build it anew, or set AIOS_LIBRARY to one that fits")


def load():
    """The library with its types, and its path; ImportError says what to do."""
    tried = []
    for path in candidates():
        try:
            library = c.declare(C.CDLL(path))
        except OSError as e:
            tried.append(str(e))
        except AttributeError as e:
            tried.append(f"{path} is not the library of this package: {e}")
        else:
            _check_fit(library, path)
            return library, path
    raise ImportError("\n  ".join([_what_to_do()] + tried))

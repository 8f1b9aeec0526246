#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls each public function with NULL and 0 alone, and behind an object of the right type: none may crash.

Usage: check_null.py ROOT LIBRARY
"""
import ctypes
import os
import pathlib
import re
import sys

NULLS = [ctypes.c_void_p(0)] * 9


def functions(root):
    """Name and type of the first argument of each function in the public headers."""
    for header in sorted((root / 'include').rglob('*.h')):
        text = re.sub(r'/\*.*?\*/', '', header.read_text(), flags=re.S)
        for m in re.finditer(r'^AIOS_API [^;(]*?\b(aios_\w+)\(([^;]*?)\);', text, flags=re.S | re.M):
            first = re.match(r'\s*(?:const )?(aios_\w+) \*(?!\*)', m.group(2))
            yield m.group(1), first.group(1) if first else None


def made(lib, f, *args):
    p = ctypes.c_void_p()
    assert f(*args, ctypes.byref(p), None) == 0, f
    return p


def objects(lib):
    ctx = made(lib, lib.aios_ctx_new, None)
    model = made(lib, lib.aios_model_open, ctx, b'echo:say hi', None)
    grammar = made(lib, lib.aios_grammar_compile, ctx, 1, b'{}', ctypes.c_size_t(2))
    return {
        'aios_ctx': ctx, 'aios_model': model, 'aios_grammar': grammar,
        'aios_session': made(lib, lib.aios_session_new, model, None),
        'aios_transcript': made(lib, lib.aios_transcript_new, ctx),
        'aios_toolset': made(lib, lib.aios_toolset_new, ctx),
        'aios_store': made(lib, lib.aios_store_open, ctx, b'memory:', None),
        **({'aios_memory': made(lib, lib.aios_memory_open, ctx, b'memory:', None)} if lib.aios_has(b'sqlite') else {}),
        'aios_walk': made(lib, lib.aios_walk_new, grammar),
    }


def crashes(path, name, kind):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    lib = ctypes.CDLL(path)
    getattr(lib, name)(*([objects(lib)[kind]] if kind else []), *NULLS)
    os._exit(0)


def main():
    root, path = pathlib.Path(sys.argv[1]), sys.argv[2]
    found, bad = list(functions(root)), 0
    assert len(found) > 100, len(found)
    kinds = objects(ctypes.CDLL(path)).keys()
    for name, first in found:
        for kind in [None] + ([first] if first in kinds else []):
            status = crashes(path, name, kind)
            if status:
                print(f'{name}({kind or "NULL"}, NULL ...): status {status}')
                bad += 1
    return bad > 0


if __name__ == '__main__':
    sys.exit(main())

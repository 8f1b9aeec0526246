#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles each public header alone, as C11 and as C++17, without a warning and without implicit padding; those of C++ as C++17 without exceptions and
as C++20 with them.

Usage: check_headers.py INCLUDE_DIR CC [CXX]   (compilers may be command lines)
"""
import pathlib
import shlex
import subprocess
import sys
import tempfile

FLAGS = ['-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic', '-Wundef', '-Wshadow', '-Werror']


def check(include, compiler, options, tmp, kind='h', suffix='.cc'):
    files = []
    for header in sorted(include.rglob('*.' + kind)):
        name = header.relative_to(include).as_posix()
        f = tmp / (name.replace('/', '_') + suffix)
        # twice, as two other headers may do it
        f.write_text(f'#include <{name}>\n#include <{name}>\n')
        files.append(str(f))
    assert len(files) > 5, 'no headers found'
    run = subprocess.run(shlex.split(compiler) + [*options, f'-I{include}', *FLAGS, *files], check=False)
    return run.returncode


def main():
    include = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp)
        rc = check(include, sys.argv[2], ['-std=c11', '-Wpadded'], folder, suffix='.c')
        if len(sys.argv) > 3:
            rc |= check(include, sys.argv[3], ['-std=c++17', '-Wpadded'], folder)
            rc |= check(include, sys.argv[3], ['-std=c++17', '-fno-exceptions'], folder, kind='hpp')
            rc |= check(include, sys.argv[3], ['-std=c++20'], folder, kind='hpp')
    return rc


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles each public header alone, as C11 and as C++17, without a warning and without implicit padding.

Usage: check_headers.py INCLUDE_DIR CC [CXX]   (compilers may be command lines)
"""
import pathlib
import shlex
import subprocess
import sys
import tempfile

FLAGS = ['-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic', '-Wpadded', '-Wundef', '-Werror']


def check(include, compiler, standard, suffix, tmp):
    files = []
    for header in sorted(include.rglob('*.h')):
        name = header.relative_to(include).as_posix()
        f = tmp / (name.replace('/', '_') + suffix)
        # twice, as two other headers may do it
        f.write_text(f'#include <{name}>\n#include <{name}>\n')
        files.append(str(f))
    assert len(files) > 10, 'no headers found'
    run = subprocess.run(shlex.split(compiler) + [standard, f'-I{include}', *FLAGS, *files], check=False)
    return run.returncode


def main():
    include = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as tmp:
        rc = check(include, sys.argv[2], '-std=c11', '.c', pathlib.Path(tmp))
        if len(sys.argv) > 3:
            rc |= check(include, sys.argv[3], '-std=c++17', '.cc', pathlib.Path(tmp))
    return rc


if __name__ == '__main__':
    sys.exit(main())

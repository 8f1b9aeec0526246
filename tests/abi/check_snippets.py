#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds and runs each whole program of the documents: blocks of C with a main. A block of text behind one is what it prints.

Usage: check_snippets.py ROOT LIBRARY CC
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

BLOCK = re.compile(r'^```c\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?', re.M | re.S)


def programs(root):
    """(document, source, what it prints or None)."""
    for f in (root / 'README.md', *sorted((root / 'docs').glob('*.md'))):
        for source, printed in BLOCK.findall(f.read_text(encoding='utf-8')):
            if re.search(r'^int main\(', source, re.M):
                yield f.name, source, printed or None


def run(args, **kw):
    done = subprocess.run(args, check=False, capture_output=True, text=True, timeout=60, **kw)
    if done.returncode:
        sys.exit(f'{shlex.join(args)}\n{done.stdout}{done.stderr}')
    return done.stdout


def main():
    root, library, compiler = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), shlex.split(sys.argv[3])
    folder = library.parent
    found = list(programs(root))
    with tempfile.TemporaryDirectory() as tmp:
        for i, (name, source, printed) in enumerate(found):
            path, program = pathlib.Path(tmp) / f'{i}.c', f'{tmp}/{i}'
            path.write_text(source, encoding='utf-8')
            run([*compiler, '-std=c11', '-Wall', '-Wextra', '-Werror', f'-I{root}/include', str(path), str(library), f'-Wl,-rpath,{folder}', '-o', program])
            got = run([program], env={**os.environ, 'LD_LIBRARY_PATH': str(folder)})
            if printed is not None and got != printed:
                sys.exit(f'{name}: program {i} printed\n{got}--- the document says\n{printed}')
            if not got:
                sys.exit(f'{name}: program {i} printed nothing')
    names = {name for name, _, _ in found}
    if not {'README.md', 'composition.md'} <= names:
        sys.exit(f'whole programs were found in {sorted(names)} only')
    return 0


if __name__ == '__main__':
    sys.exit(main())

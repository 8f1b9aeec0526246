#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the library, moves the tree, and builds and runs hosts against it by pkg-config alone: shared, static, in C and C++.

Usage: check_pkgconfig.py BUILD_DIR PREFIX CONSUMER.C CC [CXX]
"""
import pathlib
import shlex
import shutil
import sys
import tempfile

from installed import Tree, run, same


def build_and_run(compiler, source, tree, flags, language, lib=None):
    """Builds the consumer, and holds what it says against pkg-config's version. Its needed libraries."""
    program = tree.root / 'consumer'
    run([*shlex.split(compiler), '-Wall', '-Wextra', '-Werror', *language, source, '-x', 'none', '-o', program, *flags])
    version = run(['pkg-config', '--modversion', 'aios'], env=tree.env())
    same(run([program], env=tree.env(LD_LIBRARY_PATH=str(lib)) if lib else tree.env()), version, f'{program} {flags}')
    return run(['readelf', '-d', program])


def check_command(tree):
    """The command finds the library beside it, wherever both lie; neither knows where it was built."""
    command = tree.root / 'bin' / 'aios'
    run([command, '--version'], env=tree.env())
    paths = run(['readelf', '-d', command, tree.lib / 'libaios.so'])
    found = [line for line in paths.splitlines() if 'RPATH' in line or 'RUNPATH' in line]
    assert len(found) == 1 and '[$ORIGIN/' in found[0], f'search paths of the command and the library: {found}'
    loaded = [line for line in run(['ldd', command], env=tree.env()).splitlines() if 'libaios' in line]
    assert len(loaded) == 1 and str(tree.lib) in str(pathlib.Path(loaded[0].split('=> ')[1].split(' (')[0]).resolve()), loaded


def check_static(tree, source, compiler):
    """With the static library alone, nothing else of this tree is needed to run."""
    for so in tree.lib.glob('libaios.so*'):
        so.unlink()
    flags = tree.flags('--static', '--cflags', '--libs')
    needed = build_and_run(compiler, source, tree, flags, ['-std=c11'])
    assert 'libaios' not in needed, needed
    if '-lhwloc' not in flags:  # whose own static closure is seldom whole
        needed = build_and_run(compiler, source, tree, [*flags, '-static'], ['-std=c11'])
        assert 'NEEDED' not in needed, needed


def main():
    build, prefix, source, compilers = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4:]
    if not shutil.which('pkg-config') or not shutil.which('readelf'):
        print('pkg-config or readelf is not there')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(build, prefix, folder)
        include = tree.root / 'include' / 'aios'
        for header in ('aios.h', 'plugin/plugin.h', 'aios.hpp', 'cpp/base.hpp'):
            assert (include / header).is_file(), f'{header} is not installed'
        check_command(tree)
        flags = tree.flags('--cflags', '--libs')
        assert '-ljansson' not in flags, f'a host of the shared library is told to link what it does not need: {flags}'
        build_and_run(compilers[0], source, tree, flags, ['-std=c11'], tree.lib)
        same(tree.flags('--define-prefix', '--cflags', '--libs'), flags, 'flags by --define-prefix')
        for compiler in compilers[1:]:
            build_and_run(compiler, source, tree, flags, ['-x', 'c++', '-std=c++17', '-Wno-missing-field-initializers'], tree.lib)
        check_static(tree, source, compilers[0])
    return 0


if __name__ == '__main__':
    sys.exit(main())

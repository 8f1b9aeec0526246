#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the library, moves the tree, and builds and runs the agent examples as a CMake project that finds it.

Usage: check_cmake.py BUILD_DIR PREFIX PROJECT_DIR EXAMPLES_DIR VERSION [CXX]
"""
import pathlib
import shutil
import sys
import tempfile

from installed import Tree, run, same

TOOL = '[add {"a":19,"b":23}]\n[= {"sum":42}]\nThe answer is{"sum":42}\n'
CPP = '{"TEXT":"HELLO"}\n[1 calls]\n'


def main():
    build, prefix, project, examples, version = sys.argv[1:6]
    if not shutil.which('cmake'):
        print('cmake is not there')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(build, prefix, folder)

        def configure(want, good=True):
            out = pathlib.Path(folder) / want
            options = [f'-DCMAKE_PREFIX_PATH={tree.root}', f'-DEXAMPLES={examples}', f'-DWANT={want}', f'-DCXX={len(sys.argv) > 6}']
            return out, run(['cmake', '-S', project, '-B', out, *options], good=good, env=tree.env())

        out, _ = configure(version)
        run(['cmake', '--build', out], env=tree.env())
        same(run([out / 'tool'], env=tree.env()), TOOL, 'tool')
        if len(sys.argv) > 6:
            same(run([out / 'tool_cpp'], env=tree.env()), CPP, 'tool_cpp')
        for want in ('99.0', f'{version}.1'):
            _, said = configure(want, good=False)
            assert version in said and 'requested version' in said, said
        for so in tree.lib.glob('libaios.so*'):
            so.unlink()
        same(run([out / 'tool_static'], env=tree.env()), TOOL, 'tool_static')
        alone, _ = configure('0.1')
        run(['cmake', '--build', alone], env=tree.env())
        same(run([alone / 'tool'], env=tree.env()), TOOL, 'tool, of the static library alone')
    return 0


if __name__ == '__main__':
    sys.exit(main())

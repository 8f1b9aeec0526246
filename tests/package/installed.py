# SPDX-License-Identifier: Apache-2.0
"""An installed tree, moved to where nobody configured it for, and programs built against it. For the checks beside this file."""
import os
import pathlib
import shlex
import subprocess
import sys


def run(args, good=True, **kw):
    """Standard output and error of a command that succeeds (good) or fails; else the end of the test."""
    args = [str(a) for a in args]
    done = subprocess.run(args, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if (done.returncode == 0) != good:
        sys.exit(f'{shlex.join(args)}\nstatus {done.returncode}\n{done.stdout}')
    return done.stdout


def same(got, want, what):
    if got != want:
        sys.exit(f'{what}\n--- expected\n{want}\n--- got\n{got}')


class Tree:
    """What `meson install` writes, without a trace of where it was meant to lie."""

    def __init__(self, build, prefix, folder, name='moved here'):
        stage, self.root = pathlib.Path(folder) / 'stage', pathlib.Path(folder) / name
        run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', stage])
        (stage / prefix.lstrip('/')).rename(self.root)
        self.lib = next(self.root.rglob('libaios.so')).parent
        self.pkgconfig = next(self.root.rglob('aios.pc')).parent

    def env(self, **more):
        """Finds aios.pc alone, and no library by itself."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(('PKG_CONFIG', 'LD_LIBRARY_PATH', 'CMAKE_'))}
        return {**env, 'PKG_CONFIG_LIBDIR': str(self.pkgconfig), **more}

    def flags(self, *options):
        return shlex.split(run(['pkg-config', *options, 'aios'], env=self.env()))

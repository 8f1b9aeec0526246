#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the library into an empty folder and builds and runs a host against it by pkg-config alone.

Usage: check_pkgconfig.py BUILD_DIR PREFIX CONSUMER.C CC [CXX]
"""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile


def run(args, **kw):
    done = subprocess.run(args, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if done.returncode:
        sys.exit(f'{shlex.join(args)}\n{done.stdout}')
    return done.stdout


def build_and_run(compiler, source, tmp, env, libdir, extra):
    flags = shlex.split(run(['pkg-config', '--cflags', '--libs', 'aios'], env=env))
    program = tmp / 'consumer'
    run(shlex.split(compiler) + ['-Wall', '-Wextra', '-Werror', *extra, str(source), '-x', 'none', '-o', str(program), *flags])
    out = run([str(program)], env={**env, 'LD_LIBRARY_PATH': str(libdir)})
    version = run(['pkg-config', '--modversion', 'aios'], env=env).strip()
    assert out == f'{version}\n', f'the program says {out!r}, pkg-config {version!r}'


def main():
    build, prefix, source = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    if not shutil.which('pkg-config'):
        print('pkg-config is not there')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        tmp = pathlib.Path(folder)
        run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', folder])
        pc = next(tmp.rglob('aios.pc'))
        env = {**os.environ, 'PKG_CONFIG_LIBDIR': str(pc.parent), 'PKG_CONFIG_SYSROOT_DIR': folder}
        # what is required privately comes from the system
        system = run(['pkg-config', '--variable', 'pc_path', 'pkg-config']).strip()
        env['PKG_CONFIG_LIBDIR'] += ':' + system
        libdir = next(tmp.rglob('libaios.so')).parent
        headers = tmp / prefix.lstrip('/') / 'include' / 'aios'
        assert (headers / 'aios.h').is_file() and (headers / 'plugin' / 'plugin.h').is_file(), 'headers are not installed'
        build_and_run(sys.argv[4], source, tmp, env, libdir, ['-std=c11'])
        if len(sys.argv) > 5:
            build_and_run(sys.argv[5], source, tmp, env, libdir, ['-x', 'c++', '-std=c++17', '-Wno-missing-field-initializers'])
    return 0


if __name__ == '__main__':
    sys.exit(main())

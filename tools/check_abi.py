#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the headers, lib/libaios.map and the built library name the same functions.

  check_abi.py ROOT              headers against the map
  check_abi.py ROOT LIBAIOS.SO   these two against the library's symbols, and what it imports
  check_abi.py ROOT --write-map  writes the map from the headers
"""
import pathlib
import re
import subprocess
import sys

NODE = 'AIOS_0.1'
# What a library must not do to its host: end it, print, or change signals, locale, directory or environment.
FORBIDDEN = set('''abort exit _exit _Exit quick_exit __assert_fail __assert raise kill_dependency atexit
printf vprintf puts putchar putc putchar_unlocked fputs_unlocked __printf_chk __vprintf_chk perror psignal stdout stderr
signal sigaction bsd_signal sysv_signal __sysv_signal sigset siginterrupt sigaltstack setlocale uselocale chdir fchdir umask
setenv putenv unsetenv clearenv system popen fork vfork daemon srand srandom alarm setitimer'''.split())


# Of libraries that would cost every process a few milliseconds and MiB at its start, whether it uses them or not.
ON_DEMAND = ('curl_', 'cblas_', 'EVP_')


def header_names(root):
    names = set()
    for f in sorted((root / 'include').rglob('*.h')):
        text = re.sub(r'/\*.*?\*/', '', f.read_text(), flags=re.S)
        for prototype in re.findall(r'^AIOS_API\s+([^;{#]*?);', text, re.M):
            names.add(re.search(r'(\w+)\s*\(', prototype).group(1))
    return names


def map_names(root):
    text = re.sub(r'/\*.*?\*/', '', (root / 'lib' / 'libaios.map').read_text(), flags=re.S)
    names = set()
    for block in re.findall(r'global:(.*?)(?:local:|\})', text, re.S):
        names.update(n.strip() for n in block.split(';') if n.strip())
    return names


def write_map(root):
    lines = [f'{NODE} {{', '  global:'] + [f'    {n};' for n in sorted(header_names(root))] + ['  local: *;', '};', '']
    (root / 'lib' / 'libaios.map').write_text('\n'.join(lines))


def nm(library, which):
    out = subprocess.run(['nm', '-D', which, library], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split('@')[0] for line in out.splitlines() if line.strip()}


def difference(a, b, what_a, what_b, report):
    for n in sorted(a - b):
        report(f'{n} is in {what_a}, but not in {what_b}')
    for n in sorted(b - a):
        report(f'{n} is in {what_b}, but not in {what_a}')


def main():
    root, rest, found = pathlib.Path(sys.argv[1]), sys.argv[2:], []
    if rest == ['--write-map']:
        write_map(root)
        return 0
    headers, in_map = header_names(root), map_names(root)
    difference(headers, in_map, 'the headers', 'lib/libaios.map (tools/check_abi.py . --write-map)', found.append)
    if rest:
        symbols = nm(rest[0], '--defined-only') - {NODE}
        difference(in_map, symbols, 'lib/libaios.map', 'the library', found.append)
        imports = nm(rest[0], '--undefined-only')
        found += [f'the library imports {n}' for n in sorted(imports & FORBIDDEN)]
        found += [f'the library imports {n}, though it is to load that library on demand' for n in sorted(imports) if n.startswith(ON_DEMAND)]
        found += [f'{n} is used, but defined nowhere' for n in sorted(imports) if n.startswith('aios_')]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())

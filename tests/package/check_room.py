#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library of an appliance, stripped, within its budget; what takes the most room if it is not. Usage: check_room.py LIBAIOS.SO BYTES"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile


def by_folder(lib):
    """Bytes of code and constants of each part, the largest first, of the archives that the library is made of."""
    out = subprocess.run(['size', *map(str, sorted(lib.parent.glob('libaios-*.a')))], check=True, capture_output=True, text=True).stdout
    room = collections.Counter()
    for text, data, name, archive in re.findall(r'^ *(\d+)\s+(\d+)\s.*?(\S+)\.o \(ex \S*?libaios-(\w+)\.a\)', out, re.M):
        words = name.split('.p/')[-1].split('_')
        part = f'kernels {archive}' if archive != 'core' else '/'.join(words[:2 if words[0] == 'backend' else 1])
        room[part] += int(text) + int(data)
    return room.most_common()


def main():
    lib, budget = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        stripped = pathlib.Path(folder) / 'libaios.so'
        subprocess.run(['strip', '-o', stripped, lib], check=True)
        size = stripped.stat().st_size
    print(f'{size} bytes stripped, {budget} at most')
    for part, n in by_folder(lib):
        print(f'{n:8} {part}')
    return size > budget


if __name__ == '__main__':
    sys.exit(main())

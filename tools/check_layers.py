#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that #include lines respect the layers of docs/architecture.md, section 3. Usage: check_layers.py [ROOT]"""
import pathlib
import re
import sys

# Folder below lib/ -> the other folders whose door headers it may include.
ALLOWED = {
    'base': '',
    'device': 'base',
    'tensor': 'base device',
    'kernel': 'base device tensor',
    'grammar': 'base',
    'llm': 'base grammar',
    'backend/gguf': 'base device tensor kernel grammar llm',
    'backend/echo': 'base grammar llm',
    'backend/http': 'base grammar llm',
    'backend/record': 'base grammar llm',
    'backend/route': 'base grammar llm',
    'observe': 'base llm',
    'memory': 'base grammar llm store',
    'agent': 'base grammar llm memory observe store',
    'mcp': 'base grammar llm',
    'store': 'base grammar llm',
    'data': 'base grammar llm agent mcp store',
    'train': 'base device tensor kernel grammar llm agent mcp store',
}
# Public header -> the folder it belongs to. plugin/device.h needs tensor.h, so that one counts as the device's.
PUBLIC = {
    'base': 'base.h ctx.h env.h remote.h version.h plugin/plugin.h',
    'device': 'device.h tensor.h plugin/device.h',
    'grammar': 'grammar.h snapshot.h',
    'llm': 'llm.h event.h transcript.h token.h plugin/backend.h',
    'store': 'store.h audit.h plugin/store.h',
    'memory': 'memory.h plugin/memory.h',
    'agent': 'agent.h compose.h context.h tool.h policy.h',
    'observe': 'telemetry.h',
}
# Library -> it is included by one file at most, a .c of lib/.
THIRD_PARTY = {'jansson.h', 'curl/curl.h', 'hwloc.h', 'cblas.h', 'sqlite3.h', 'openssl/evp.h', 'openssl/hmac.h'}
# Files of lib/ that need nothing but the C library and are built into others too.
SHARED = {('cli', 'base/nearest.h')}
# Found by a build that asks for it (-I), absent from the tree.
OPTIONAL = {'simde_all.h'}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def folder_of(path):
    """The key of ALLOWED that a path below lib/ belongs to, None for files of lib/ itself."""
    parts = path.split('/')
    two = '/'.join(parts[:2])
    return two if two in ALLOWED else parts[0] if parts[0] in ALLOWED and len(parts) > 1 else None


def check_lib_include(name, own, kind, inc, root, report):
    """One include of a file of lib/: name is its path below lib/, own its folder."""
    if inc.startswith('aios/'):
        header = inc[5:]
        home = next((k for k, v in PUBLIC.items() if header in v.split()), None)
        if home is None:
            report(f'lib/{name} includes <{inc}>: no single public header (list it in tools/check_layers.py)')
        elif own and home != own and home not in ALLOWED[own].split():
            report(f'lib/{name} includes <{inc}>, which belongs to {home}, a layer that {own} does not see')
        return
    if kind == '<' or inc == 'config.h' or inc in OPTIONAL:
        return
    here = '/'.join(name.split('/')[:-1])
    if not (root / 'lib' / inc).exists():
        if not (root / 'lib' / here / inc).exists():
            report(f'lib/{name} includes "{inc}", which does not exist below lib/')
        return
    other = folder_of(inc)
    if other == own or own is None:
        return
    if inc.endswith('_priv.h'):
        report(f'lib/{name} includes "{inc}", which is private to {other}')
    elif other not in ALLOWED[own].split():
        report(f'lib/{name} includes "{inc}": {own} does not see {other}')


def check_lib(root, report):
    users, names = {}, {}
    for f in sorted((root / 'lib').rglob('*.[ch]')):
        name = f.relative_to(root / 'lib').as_posix()
        own = folder_of(name)
        if own is None and name != 'builtin.c':
            report(f'lib/{name} is in no layer that tools/check_layers.py knows')
        if f.name in names:
            report(f'lib/{name} has the same file name as lib/{names[f.name]}')
        names[f.name] = name
        for kind, inc in INCLUDE.findall(f.read_text()):
            if inc in THIRD_PARTY:
                users.setdefault(inc, []).append(name)
            check_lib_include(name, own, kind, inc, root, report)
    for inc, files in users.items():
        if len(files) > 1 or not files[0].endswith('.c'):
            report(f'{inc} is to be included by one .c file, but is by {", ".join(files)}')


def check_outside(root, report):
    """Public headers see only each other and the C library; the command and the examples see only public headers, the command SHARED too."""
    for f in sorted((root / 'include').rglob('*.h')):
        for kind, inc in INCLUDE.findall(f.read_text()):
            if inc not in ('stddef.h', 'stdint.h') and not (kind == '<' and inc.startswith('aios/')):
                report(f'{f.relative_to(root)} includes {inc}')
    for top in ('cli', 'examples'):
        for f in sorted((root / top).rglob('*.[ch]')):
            for kind, inc in INCLUDE.findall(f.read_text()):
                if kind == '"' and (root / 'lib' / inc).exists() and (top, inc) not in SHARED:
                    report(f'{f.relative_to(root)} includes "{inc}" of lib/')


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else '.')
    found = []
    check_lib(root, found.append)
    check_outside(root, found.append)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes bindings/python/aios/_cdef.py from the public headers: constants, structs, callbacks, prototypes for ctypes.

  gen_cdef.py [ROOT]                writes the file
  gen_cdef.py [ROOT] --check        fails if the file is not what the headers give
  gen_cdef.py [ROOT] --layout CC    fails if the compiler CC lays out a struct in another way than ctypes
"""
import ctypes
import difflib
import pathlib
import re
import subprocess
import sys
import tempfile

TARGET = 'bindings/python/aios/_cdef.py'
SCALARS = {'char': 'C.c_char', 'int': 'C.c_int', 'float': 'C.c_float', 'double': 'C.c_double', 'size_t': 'C.c_size_t',
           **{f'{u}int{n}_t': f'C.c_{u}int{n}' for u in ('', 'u') for n in (8, 16, 32, 64)}}
IDENT = r'[A-Za-z_]\w*'


def read_headers(root):
    files = sorted((root / 'include/aios').glob('*.h')) + sorted((root / 'include/aios/plugin').glob('*.h'))
    text = '\n'.join(f.read_text(encoding='utf-8') for f in files)
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    return text.replace('\\\n', ' ')


def number(text):
    text = text.strip().strip('()')
    return int(text.rstrip('uUlL'), 0)


class Headers:
    """What the headers declare, in the order in which they do."""

    def __init__(self, text):
        self.defines, self.tables, self.enums = {}, {}, {}
        self.callbacks, self.functions = {}, {}
        # The names come first: declarations use them in any order.
        self.structs = {n: [] for n in re.findall(r'^typedef struct (aios_\w+) \{', text, re.M)}
        self.opaque = [n for n in re.findall(r'^typedef struct (aios_\w+) \1;', text, re.M) if n not in self.structs]
        self.read_defines(text)
        self.read_enums(text)
        self.read_callbacks(text)
        self.read_structs(text)
        self.read_functions(text)

    def read_defines(self, text):
        for name, body in re.findall(r'^#define (AIOS_\w+)\(X\)(.*)$', text, re.M):
            self.tables[name] = [[c.strip() for c in row.split(',')] if '"' not in row else self.row(row)
                                 for row in re.findall(r'X\(((?:[^()"]|"[^"]*")*)\)', body)]
        for name, body in re.findall(r'^#define (AIOS_\w+)[ \t]+(\S.*)$', text, re.M):
            if re.fullmatch(r'\d+|"[^"]*"', body.strip()):
                self.defines[name] = body.strip()

    @staticmethod
    def row(row):
        head, text, _ = re.fullmatch(r'(.*?),\s*("[^"]*")\s*(.*)', row).groups()
        return [c.strip() for c in head.split(',')] + [text]

    def read_enums(self, text):
        for body in re.findall(r'\benum\s*\{(.*?)\}\s*;', text, re.S):
            table = re.search(r'#define X\([^)]*\)\s*(AIOS_\w*)##.*?\n\s*(AIOS_\w+)\(X\)', body)
            if table:
                prefix, name = table.groups()
                for row in self.tables[name]:
                    self.enums[prefix + row[0]] = number(row[1])
            plain = re.sub(r'^\s*#.*$', '', body, flags=re.M)
            for member, value in re.findall(r'(AIOS_\w+)\s*=\s*(-?\w+)', plain):
                self.enums[member] = number(value)
        # Every member has its number written out: what has none would be lost here without a word.
        for body in re.findall(r'\benum\s*\{(.*?)\}\s*;', text, re.S):
            plain = re.sub(r'^\s*#.*$|\bAIOS_\w+\(X\)', '', body, flags=re.M)
            for member in (m.strip() for m in plain.split(',')):
                if member and '=' not in member:
                    raise SystemExit(f'gen_cdef.py: enum member {member} has no number of its own')

    def read_callbacks(self, text):
        for ret, name, args in re.findall(r'^typedef ([\w ]+?[\s*]+)(aios_\w+_fn)\(([^;]*)\);', text, re.M):
            self.callbacks[name] = (ret.strip(), self.params(args))

    def read_structs(self, text):
        for body, name in re.findall(r'^typedef struct aios_\w+ \{(.*?)\n\} (aios_\w+);', text, re.M | re.S):
            fields = []
            for decl in filter(None, (' '.join(d.split()) for d in body.split(';'))):
                fields += self.declarators(decl, name)
            self.structs[name] = fields

    def declarators(self, decl, struct):
        m = re.fullmatch(rf'(.+?)\(\*({IDENT})\)\s*\((.*)\)', decl)
        if m:
            return [(m.group(2), self.callback_type(m.group(1).strip(), self.params(m.group(3))), None)]
        first, *more = [d.strip() for d in decl.split(',')]
        m = re.fullmatch(rf'(.*?[\s*])({IDENT})((?:\[\w+\])*)', first)
        if not m:
            raise SystemExit(f'gen_cdef.py: cannot read "{decl}" of {struct}')
        base = m.group(1).strip()
        out = []
        for one in [m.group(2) + m.group(3)] + more:
            name, size = re.fullmatch(rf'({IDENT})(?:\[(\w+)\])?', one).groups()
            out.append((name, base, size and int(self.defines.get(size, size))))
        return out

    @staticmethod
    def params(args):
        args = ' '.join(args.split())
        if args in ('', 'void'):
            return []
        out = []
        for a in args.split(','):
            m = re.fullmatch(rf'(.*?[\s*])({IDENT})(\[\w*\])?', a.strip())
            out.append((m.group(1).strip() + ('*' if m.group(3) else ''), m.group(2)))
        return out

    def read_functions(self, text):
        for proto in re.findall(r'^AIOS_API\s+([^;{#]*?);', text, re.M):
            m = re.fullmatch(rf'(.*?[\s*])(aios_\w+)\s*\((.*)\)', ' '.join(proto.split()))
            self.functions[m.group(2)] = (m.group(1).strip(), self.params(m.group(3)))

    def callback_type(self, ret, params):
        return 'C.CFUNCTYPE(' + ', '.join([self.type(ret)] + [self.type(t) for t, _ in params]) + ')'

    def type(self, text):
        """The ctypes expression of a C type."""
        if text.startswith('C.CFUNCTYPE'):
            return text
        const = re.match(r'const\b', text) is not None
        words = re.sub(r'\bconst\b|\bstruct\b', ' ', text).split('*')
        base, stars = words[0].strip(), len(words) - 1
        if base in self.callbacks:
            if stars != 1:
                raise SystemExit(f'gen_cdef.py: {text} is no pointer to a callback')
            return base
        if base == 'void':
            if not stars:
                return 'None'
            out, stars = 'C.c_void_p', stars - 1
        elif base == 'char' and const and stars:
            out, stars = 'C.c_char_p', stars - 1
        elif base in SCALARS:
            out = SCALARS[base]
        elif base in self.structs:
            out = base
        elif base in self.opaque and stars:
            out, stars = 'C.c_void_p', stars - 1
        else:
            raise SystemExit(f'gen_cdef.py: unknown type "{text}"')
        for _ in range(stars):
            out = f'C.POINTER({out})'
        return out

    def struct_order(self):
        """Structs held by value come before those that hold them."""
        done = []

        def visit(name):
            if name in done:
                return
            for _, base, _ in self.structs[name]:
                if base in self.structs:
                    visit(base)
            done.append(name)
        for name in self.structs:
            visit(name)
        return done


def call(head, items, tail):
    one = head + ', '.join(items) + tail
    return one if len(one) <= 120 else head + '\n    ' + ',\n    '.join(items) + tail


def tables(h):
    for name, rows in h.tables.items():
        yield f'{name[5:]} = ('
        for row in rows:
            cells = [f"'{row[0]}'", str(number(row[1]))] + row[2:]
            yield '    (' + ', '.join(cells) + '),'
        yield ')'
    yield ''


def generate(h):
    out = ['# SPDX-License-Identifier: Apache-2.0', '# Generated by tools/gen_cdef.py from include/aios/: do not edit.',
           '"""The C interface: constants, structs, callbacks and prototypes, as the headers declare them."""',
           'import ctypes as C', '']
    out += [f'{k} = {v}' for k, v in h.defines.items()]
    out += ['AIOS_VERSION = AIOS_VERSION_MAJOR << 16 | AIOS_VERSION_MINOR << 8 | AIOS_VERSION_PATCH',
            'AIOS_CSTR = C.c_size_t(-1).value', '']
    out += [f'{k} = {v}' for k, v in h.enums.items()] + ['']
    out += list(tables(h)) + ['']
    for name in h.structs:
        out += [f'class {name}(C.Structure):', '    pass', '', '']
    out += [f'{n} = {h.callback_type(*sig)}' for n, sig in h.callbacks.items()] + ['']
    for name in h.struct_order():
        fields = [f"('{f}', {h.type(t)}{f' * {n}' if n else ''})" for f, t, n in h.structs[name]]
        out.append(f'{name}._fields_ = [\n    ' + ',\n    '.join(fields) + ',\n]')
    out += ['', 'STRUCTS = (' + '\n    ' + ',\n    '.join(h.structs) + ',\n)', '', '# name -> (result, arguments)', 'FUNCTIONS = {']
    for name, (ret, params) in h.functions.items():
        types = [h.type(t) for t, _ in params]
        args = '(' + ', '.join(types) + (',)' if len(types) == 1 else ')')
        line = f"    '{name}': ({h.type(ret)}, {args}),"
        out.append(line)
    out += ['}', '', '', 'def declare(lib):', '    """Gives every function of the library its types; AttributeError if one is missing."""',
            '    for name, (result, arguments) in FUNCTIONS.items():', '        fn = getattr(lib, name)',
            '        fn.restype, fn.argtypes = result, list(arguments)', '    return lib']
    return '\n'.join(out) + '\n'


def layout(root, cc, source):
    """Compiles an assertion for each struct and field."""
    names = {}
    exec(compile(source, TARGET, 'exec'), names)  # pylint: disable=exec-used
    plugin = sorted(h.name for h in (pathlib.Path(root) / 'include/aios/plugin').glob('*.h'))
    lines = ['#include <aios/aios.h>', *(f'#include <aios/plugin/{h}>' for h in plugin)]
    for s in names['STRUCTS']:
        lines.append(f'_Static_assert(sizeof({s.__name__}) == {ctypes.sizeof(s)}, "size of {s.__name__}");')
        for f, *_ in s._fields_:
            at = getattr(s, f)
            lines.append(f'_Static_assert(offsetof({s.__name__}, {f}) == {at.offset}, "offset of {s.__name__}.{f}");')
            lines.append(f'_Static_assert(sizeof((({s.__name__} *)0)->{f}) == {at.size}, "size of {s.__name__}.{f}");')
    for k, v in names.items():
        if k.startswith('AIOS_') and isinstance(v, int) and k != 'AIOS_CSTR':
            lines.append(f'_Static_assert((int64_t)({k}) == {v}, "{k}");')
    with tempfile.TemporaryDirectory() as d:
        src = pathlib.Path(d) / 'layout.c'
        src.write_text('\n'.join(lines) + '\n')
        p = subprocess.run([*cc.split(), '-std=c11', '-fsyntax-only', '-I', str(root / 'include'), str(src)], check=False)
    print(f'{len(lines) - 4} facts of {len(names["STRUCTS"])} structs checked by {cc}')
    return p.returncode


def main(argv):
    argv = argv[1:]
    root = pathlib.Path(argv.pop(0)) if argv and not argv[0].startswith('-') else pathlib.Path(__file__).resolve().parent.parent
    source, path = generate(Headers(read_headers(root))), root / TARGET
    if argv[:1] == ['--layout']:
        return layout(root, argv[1], source)
    if argv == ['--check']:
        old = path.read_text(encoding='utf-8') if path.exists() else ''
        diff = list(difflib.unified_diff(old.splitlines(), source.splitlines(), TARGET, 'the headers', lineterm=''))
        print('\n'.join(diff[:60] + ['run tools/gen_cdef.py'] if diff else [f'{TARGET} is up to date']))
        return bool(diff)
    if argv:
        print(__doc__, file=sys.stderr)
        return 2
    path.write_text(source, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))

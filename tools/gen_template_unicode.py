#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes lib/backend/gguf/tmpl_unicode.c: what Python's str methods know of Unicode, as ranges."""
import sys
import unicodedata

MAX = 0x110000
CHARS = [chr(c) for c in range(MAX)]


def ranges(pred):
    out, start = [], None
    for c in range(MAX + 1):
        on = c < MAX and pred(CHARS[c])
        if on and start is None:
            start = c
        elif not on and start is not None:
            out.append((start, c - 1))
            start = None
    return out


def maps(fn):
    """Runs of single-character mappings with a constant distance and a stride of one or two."""
    pairs = [(c, ord(fn(CHARS[c])) - c) for c in range(128, MAX) if len(fn(CHARS[c])) == 1 and fn(CHARS[c]) != CHARS[c]]
    out = []
    for c, d in pairs:
        if out:
            first, last, stride, delta = out[-1]
            if d == delta and (c - last == stride or (first == last and c - last in (1, 2))):
                out[-1] = (first, c, c - last, delta)
                continue
        out.append((c, c, 1, d))
    return out


def specials(fn):
    return [(c, fn(CHARS[c])) for c in range(MAX) if len(fn(CHARS[c])) > 1]


def wrap(items):
    lines, line = [], "   "
    for it in items:
        if len(line) + len(it) > 116:
            lines.append(line)
            line = "   "
        line += " " + it
    return "\n".join(lines + [line])


def main():
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/* Made by tools/gen_template_unicode.py from Unicode %s; do not edit. */" % unicodedata.unidata_version)
    print('#include "backend/gguf/tmpl_unicode.h"\n')
    kinds = [("alpha", str.isalpha), ("digit", str.isdigit), ("decimal", str.isdecimal), ("numeric", str.isnumeric), ("space", str.isspace),
             ("printable", str.isprintable), ("upper", lambda c: c.isupper()), ("lower", str.islower),
             ("title", lambda c: unicodedata.category(c) == "Lt"),
             ("ignorable", lambda c: unicodedata.category(c) in ("Mn", "Me", "Cf", "Lm", "Sk") or c in "'.:\u00b7\u2019"), ]
    for name, pred in kinds:
        print("static const aios__uni_range %s_ranges[] = {" % name)
        print(wrap("{%d,%d}," % r for r in ranges(pred)))
        print("};")
    for name, fn in [("to_upper", str.upper), ("to_lower", str.lower), ("to_title", str.title)]:
        print("static const aios__uni_map %s_map[] = {" % name)
        print(wrap("{%d,%d,%d,%d}," % m for m in maps(fn)))
        print("};")
        print("static const aios__uni_special %s_special[] = {" % name)
        print(wrap('{%d,"%s"},' % (c, "".join("\\%03o" % b for b in s.encode())) for c, s in specials(fn)))
        print("};")
    print("\n#define COUNT(a) (sizeof(a) / sizeof((a)[0]))")
    print("const aios__uni_class aios__uni_classes[AIOS__UNI_CLASSES] = {")
    for name, _ in kinds:
        print("    [AIOS__UNI_%s] = {%s_ranges, COUNT(%s_ranges)}," % (name.upper(), name, name))
    print("};\nconst aios__uni_case aios__uni_cases[3] = {")
    for name in ("to_upper", "to_lower", "to_title"):
        print("    {%s_map, COUNT(%s_map), %s_special, COUNT(%s_special)}," % (name, name, name, name))
    print("};")


if __name__ == "__main__":
    sys.exit(main())

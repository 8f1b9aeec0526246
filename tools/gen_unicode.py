#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes lib/backend/gguf/unicode_data.c: the class of every code point that the pre-tokenizers tell apart.

usage: tools/gen_unicode.py > lib/backend/gguf/unicode_data.c

Takes the tables of the package `unicodedata2` if it is installed (the committed file: version 15.1.0), else Python's own.
"""
try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

BLOCK = 256
CLASSES = ["OTHER", "LU", "LL", "LT", "LO", "MARK", "NUMBER", "PUNCT", "SYMBOL", "SPACE"]  # as in pretok.h


def class_of(cp):
    cat = unicodedata.category(chr(cp))
    if cat[0] == "Z" or cp in (9, 10, 11, 12, 13, 0x85):
        return "SPACE"
    if cat[0] == "L":
        return {"Lu": "LU", "Ll": "LL", "Lt": "LT"}.get(cat, "LO")
    return {"M": "MARK", "N": "NUMBER", "P": "PUNCT", "S": "SYMBOL"}.get(cat[0], "OTHER")


def rows(items, per_row):
    for i in range(0, len(items), per_row):
        print("    " + " ".join(x + "," for x in items[i : i + per_row]))


def main():
    classes = [CLASSES.index(class_of(cp)) for cp in range(0x110000)]
    blocks, index = {}, []
    for at in range(0, 0x110000, BLOCK):
        index.append(blocks.setdefault(tuple(classes[at : at + BLOCK]), len(blocks)))
    assert len(blocks) <= 256
    words = []
    for block in blocks:
        for i in range(0, BLOCK, 16):
            words.append("0x%x" % sum(c << (4 * k) for k, c in enumerate(block[i : i + 16])))
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/* Made by tools/gen_unicode.py from Unicode %s: do not edit. */" % unicodedata.unidata_version)
    print('#include "backend/gguf/pretok.h"\n')
    print("/* Block of %d code points for each of them; then 4 bits a code point. */" % BLOCK)
    print("const uint8_t aios__unicode_block[%d] = {" % len(index))
    rows([str(i) for i in index], 24)
    print("};\n\nconst uint64_t aios__unicode_class[%d] = {" % len(words))
    rows(words, 6)
    print("};")


if __name__ == "__main__":
    main()

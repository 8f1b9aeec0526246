#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes lib/grammar/rx_unicode_data.c: general categories of code points and which letters are one another's cases.

usage: tools/gen_rx_unicode.py > lib/grammar/rx_unicode_data.c

Takes the tables of the package `unicodedata2` if it is installed (the committed file: version 15.1.0), else Python's own.
"""
try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

CATEGORIES = "Cc Cf Cn Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()  # as in rx_unicode.c


def runs():
    last = None
    for cp in range(0x110000):
        cat = CATEGORIES.index(unicodedata.category(chr(cp)))
        if cat != last:
            yield cp << 5 | cat
        last = cat


def fold(cp):
    """Simple case folding: full folding where that is one character, else the small letter."""
    c = chr(cp)
    if len(c.casefold()) == 1:
        return ord(c.casefold())
    return ord(c.lower()) if len(c.lower()) == 1 else cp


def steps():
    """Each letter with cases goes on to the next one of its orbit, the last to the first: rows of first, last, stride and difference."""
    orbits, rows = {}, []
    for cp in range(0x110000):
        if not 0xD800 <= cp <= 0xDFFF:
            orbits.setdefault(fold(cp), []).append(cp)
    nexts = sorted((o[i], o[(i + 1) % len(o)] - o[i]) for o in orbits.values() if len(o) > 1 for i in range(len(o)))
    open_rows = []
    for cp, delta in nexts:
        for row in open_rows:
            if row[3] == delta and (cp - row[1] == row[2] or (row[0] == row[1] and cp - row[1] in (1, 2))):
                row[1], row[2] = cp, cp - row[1]
                break
        else:
            open_rows.append([cp, cp, 1, delta])
            rows.append(open_rows[-1])
        open_rows = [r for r in open_rows if cp - r[1] < 2]
    return rows


def rows(items, per_row):
    for i in range(0, len(items), per_row):
        print("    " + " ".join(x + "," for x in items[i : i + per_row]))


def main():
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/* Made by tools/gen_rx_unicode.py from Unicode %s: do not edit. */" % unicodedata.unidata_version)
    print('#include "grammar/rx_unicode.h"\n')
    table = ["0x%x" % r for r in runs()]
    print("const uint32_t aios__rx_categories[] = {")
    rows(table, 14)
    print("};\nconst uint32_t aios__rx_n_categories = %d;\n" % len(table))
    table = ["{0x%x, 0x%x, %d, %d}" % tuple(r) for r in steps()]
    print("const aios__rx_case aios__rx_cases[] = {")
    rows(table, 5)
    print("};\nconst uint32_t aios__rx_n_cases = %d;" % len(table))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the inner loops of kernels keep their sums in registers. Usage: check_spills.py [--all] LIBRARY.a ...

Disassembles the static libraries of the instruction set levels and looks at every innermost loop with a multiplication of vectors: a vector
moved to or from the stack there is a spill, which can halve the speed of a kernel without a test that fails. BORNE lists the functions that
are held to a number, BORNE_ARM those of libraries of ARM levels; --all tells of the others too, without failing. OBJDUMP: the program for
another architecture. Exit 77 (skipped) where objdump is missing.
"""
import os
import re
import shutil
import subprocess
import sys

OBJDUMP = os.environ.get('OBJDUMP', 'objdump')
HOT = re.compile(r'\b(vpdpbusds?|vpdpwssds?|vpmaddwd|vpmaddubsw|vfn?madd\d+ps|vdpbf16ps)\b.*[yz]mm|^(u?sdot|usmmla|smlal2?|fmla)\b')
STACK = re.compile(r'[yz]mm.*\(%r[sb]p\)|\(%r[sb]p\).*[yz]mm|\bq\d+,.*\[(sp|x29)\b')
JUMP = re.compile(r'\bj\w+\s+([0-9a-f]+)\b|^(?:b(?:\.\w+)?|cbn?z|tbn?z)\s.*?\b([0-9a-f]+) <')
ARM = re.compile(r'-(neon|dotprod|i8mm)\.a$')
# function (without what the compiler adds behind a dot): spills that its worst loop may have
BORNE = {'step1': 0, 'step2': 1, 'step3': 1, 'step4': 1, 'step5': 0, 'step6': 0, 'soften_whole': 0}
BORNE_ARM = {'step1': 0, 'step2': 0, 'step3': 0, 'step4': 0, 'step5': 0, 'soften_whole': 0, 'gemm_f32': 0, 'gemm_f16': 0, 'gemm_bf16': 0,
             'gemm_q4_0': 0, 'gemm_q4_1': 0, 'gemm_q5_0': 2, 'gemm_q5_1': 0, 'gemm_q8_0': 0, 'gemm_q4_k': 2}


def functions(library):
    """(name, [(address, text)]) of each function of the library."""
    text = subprocess.run([OBJDUMP, '-d', '--no-show-raw-insn', library], check=True, capture_output=True, text=True).stdout
    name, body = None, []
    for line in text.splitlines():
        head = re.match(r'[0-9a-f]+ <(.+)>:$', line)
        step = re.match(r'\s+([0-9a-f]+):\s+(.+)$', line)
        if head:
            if body:
                yield name, body
            name, body = head.group(1), []
        elif step:
            body.append((int(step.group(1), 16), step.group(2)))
    if body:
        yield name, body


def innermost(body):
    """The loops, from the target of a jump back to the jump, that hold no other loop."""
    at = {address: i for i, (address, _) in enumerate(body)}
    loops = []
    for i, (_, text) in enumerate(body):
        jump = JUMP.search(text)
        target = at.get(int(jump.group(1) or jump.group(2), 16)) if jump else None
        if target is not None and target <= i:
            loops.append((target, i))
    return [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]


def worst(body):
    """Most spills in one hot innermost loop, and the number of such loops."""
    most = count = 0
    for first, last in innermost(body):
        texts = [text for _, text in body[first:last + 1]]
        if any(HOT.search(t) for t in texts):
            count += 1
            most = max(most, sum(bool(STACK.search(t)) for t in texts))
    return most, count


def main():
    if not shutil.which(OBJDUMP):
        print('no objdump')
        sys.exit(77)
    failed = held = 0
    for library in [a for a in sys.argv[1:] if a != '--all']:
        for name, body in functions(library):
            spills, n = worst(body)
            borne = (BORNE_ARM if ARM.search(library) else BORNE).get(name.split('.')[0])
            held += borne is not None
            if borne is not None and spills > borne:
                failed += 1
            elif borne is not None or '--all' not in sys.argv or not spills:
                continue
            print(f'{library}: {name}: {spills} vectors on the stack in one of {n} inner loops')
    print(f'{held} functions held to their number, {failed} passed it')
    sys.exit(failed > 0 or not held)


if __name__ == '__main__':
    main()

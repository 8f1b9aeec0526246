#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/kernel/golden.bin: blocks of every GGUF type and the floats they stand for, by the reference package `gguf`.

Record: u32 dtype, u32 elements, u32 bytes, the bytes, the floats (little endian). Run: tools/golden_dequant.py [output]
"""
import struct
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

N = 1024
SIMPLE = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0]
# offsets of the f16 fields of a block: random bytes there would be NaN or infinity
K_TYPES = {T.Q2_K: (84, (80, 82)), T.Q3_K: (110, (108,)), T.Q4_K: (144, (0, 2)), T.Q5_K: (176, (0, 2)), T.Q6_K: (210, (208,))}


def simple_bytes(rng, dtype):
    x = rng.standard_normal(N).astype(np.float32)
    x[:32] = 0
    x[32:64] *= 1e-7  # f16 scales that are denormal
    x[64:96] *= 1000
    return quants.quantize(x, dtype).view(np.uint8).reshape(-1)


def k_bytes(rng, block, f16_at):
    b = rng.integers(0, 256, (N // 256, block), dtype=np.uint8)
    for at in f16_at:
        d = rng.standard_normal(len(b)).astype(np.float16)
        d[-1] = np.float16(3e-7)
        b[:, at:at + 2] = d.view(np.uint8).reshape(-1, 2)
    return b.reshape(-1)


def main():
    rng = np.random.default_rng(7)
    with open(sys.argv[1] if len(sys.argv) > 1 else "tests/kernel/golden.bin", "wb") as f:
        for dtype in SIMPLE + list(K_TYPES):
            raw = k_bytes(rng, *K_TYPES[dtype]) if dtype in K_TYPES else simple_bytes(rng, dtype)
            x = quants.dequantize(raw, dtype).astype("<f4").reshape(-1)
            assert len(x) == N and np.isfinite(x).all()
            f.write(struct.pack("<III", int(dtype), N, len(raw)) + raw.tobytes() + x.tobytes())


main()

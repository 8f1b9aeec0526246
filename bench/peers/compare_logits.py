#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How close the engine's logits are to those of the exact model, beside llama.cpp (PyPI llama-cpp-python, gguf, numpy).

usage: compare_logits.py [--lib build/lib/libaios.so] [--text FILE] [--tokens 96] [--kv-bits 8,4] MODEL.gguf ...
       compare_logits.py [--lib ...] --random

The exact model is the file dequantized to F32 and evaluated by llama.cpp with F32 keys and values. One JSON line a model: mean and
largest Kullback-Leibler divergence and the share of equal top tokens, for aios (the prompt at once and token by token) and for llama.cpp on
the same quantized file. --random does so for small random models of every architecture and tensor type, and fails if aios is
further from the exact model than quantized activations explain."""
import argparse
import ctypes
import json
import os
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

ARCHS = ["llama", "qwen2", "qwen3", "gemma3"]
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
# where the half-precision scales stand in a block: (offset, typical value)
SCALES = {"Q2_K": [(80, 0.02), (82, 0.02)], "Q3_K": [(108, 0.001)], "Q4_K": [(0, 0.0004), (2, 0.003)], "Q5_K": [(0, 0.0002), (2, 0.003)],
          "Q6_K": [(208, 0.0001)]}


class Error(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("code", ctypes.c_int32), ("sys", ctypes.c_int32), ("have", ctypes.c_uint64),
                ("need", ctypes.c_uint64), ("msg", ctypes.c_char * 512), ("reserve", ctypes.c_uint64 * 4)]


class Config(ctypes.Structure):
    """The beginning of aios_model_config; what follows is 0."""
    _fields_ = [("struct_size", ctypes.c_size_t), ("n_threads", ctypes.c_uint32), ("use_mmap", ctypes.c_uint32), ("n_ctx", ctypes.c_uint32),
                ("kv_bits", ctypes.c_uint32)]


class Aios:
    def __init__(self, lib, path, kv_bits=0):
        self.lib, self.err = ctypes.CDLL(lib), Error()
        self.err.struct_size = ctypes.sizeof(Error)
        self.ctx, self.model, self.session = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        e = ctypes.byref(self.err)
        self.check(self.lib.aios_ctx_new(None, ctypes.byref(self.ctx), e))
        self.check(self.lib.aios_model_open(self.ctx, b"gguf:" + path.encode(),
                                            ctypes.byref(Config(ctypes.sizeof(Config), kv_bits=kv_bits)), ctypes.byref(self.model), e))
        self.check(self.lib.aios_session_new(self.model, None, ctypes.byref(self.session), e))

    def check(self, rc):
        if rc:
            raise RuntimeError(f"{rc}: {self.err.msg.decode()}")

    def eval(self, ids, n_vocab, step):
        out = np.empty((len(ids), n_vocab), dtype=np.float32)
        e = ctypes.byref(self.err)
        self.check(self.lib.aios_session_eval(self.session, None, 0, None, 0, e))
        for i in range(0, len(ids), step):
            part = np.ascontiguousarray(ids[i:i + step], dtype=np.int32)
            self.check(self.lib.aios_session_eval(self.session, part.ctypes.data_as(ctypes.c_void_p), len(part),
                                                  out[i:].ctypes.data_as(ctypes.c_void_p), len(part), e))
        return out

    def close(self):
        self.lib.aios_session_free(self.session)
        self.lib.aios_model_close(self.model)
        self.lib.aios_ctx_free(self.ctx)


def peer(path, ids, exact):
    more = {"type_k": 0, "type_v": 0} if exact else {}
    m = llama_cpp.Llama(path, n_ctx=max(512, len(ids)), n_batch=512, logits_all=True, verbose=False, n_threads=2, flash_attn=False, **more)
    m.eval(list(map(int, ids)))
    return np.array(m.scores[:len(ids)], dtype=np.float32)


def tokens_of(path, text, n):
    m = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    return np.array(m.tokenize(text.encode(), add_bos=True)[:n], dtype=np.int32)


def dequantize(src, dst):
    r = gguf.GGUFReader(src)
    w = gguf.GGUFWriter(dst, r.fields["general.architecture"].contents())
    for key, f in r.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if f.types[0] == gguf.GGUFValueType.ARRAY:
            w.add_key_value(key, f.contents(), f.types[0], sub_type=f.types[-1])
        else:
            w.add_key_value(key, 0 if key == "general.file_type" else f.contents(), f.types[0])
    for t in r.tensors:
        w.add_tensor(t.name, np.ascontiguousarray(gguf.dequantize(t.data, t.tensor_type).astype(np.float32)))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def distance(exact, other):
    p, q = log_softmax(exact), log_softmax(other)
    kl = (np.exp(p) * (p - q)).sum(1)
    return {"kl": float(kl.mean()), "kl_max": float(kl.max()), "top1": float((exact.argmax(1) == other.argmax(1)).mean())}


def compare(lib, path, ids, tmp, name, kv_bits=()):
    flat = os.path.join(tmp, "exact.gguf")
    dequantize(path, flat)
    exact = peer(flat, ids, True)
    os.unlink(flat)
    other = peer(path, ids, False)
    a = Aios(lib, path)
    whole, single = a.eval(ids, exact.shape[1], len(ids)), a.eval(ids, exact.shape[1], 1)
    a.close()
    row = {"model": name, "tokens": len(ids), "aios": distance(exact, whole), "same_bits_token_by_token": bool((whole == single).all()),
           "llama.cpp": distance(exact, other)}
    for bits in kv_bits:
        a = Aios(lib, path, bits)
        row[f"aios_kv{bits}"] = distance(exact, a.eval(ids, exact.shape[1], len(ids)))
        a.close()
    print(json.dumps(row), flush=True)
    return row


def random_matrix(rng, kind, rows, cols):
    t = gguf.GGMLQuantizationType[kind]
    if kind in SCALES:
        block, size = gguf.GGML_QUANT_SIZES[t]
        data = rng.integers(0, 256, (rows, cols // block, size), dtype=np.uint8)
        for off, typical in SCALES[kind]:
            d = (typical * rng.uniform(0.5, 1.5, data.shape[:2])).astype(np.float16)
            data[:, :, off:off + 2] = d.view(np.uint8).reshape(*data.shape[:2], 2)
        return data.reshape(rows, -1), t
    w = (rng.standard_normal((rows, cols)) * 0.08).astype(np.float32)
    return (w if kind == "F32" else gguf.quantize(w, t)), t


def random_model(path, arch, kind, seed):
    rng, w = np.random.default_rng(seed), gguf.GGUFWriter(path, arch)
    embd, ff, heads, kv, dim, layers, vocab = 256, 512, 4, 2, 64, 7 if arch == "gemma3" else 3, 320
    for key, v in [("block_count", layers), ("context_length", 512), ("embedding_length", embd), ("feed_forward_length", ff),
                   ("attention.head_count", heads), ("attention.head_count_kv", kv), ("attention.key_length", dim),
                   ("attention.value_length", dim), ("rope.dimension_count", dim)]:
        w.add_uint32(f"{arch}.{key}", v)
    w.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", 1e-6)
    w.add_float32(f"{arch}.rope.freq_base", 10000.0 if arch != "gemma3" else 1e6)
    if arch == "gemma3":
        w.add_uint32("gemma3.attention.sliding_window", 32)
    seen = [b for b in range(256) if 0x21 <= b <= 0x7e or 0xa1 <= b <= 0xac or 0xae <= b]
    rest = iter(range(256, 512))
    tokens = [chr(b) if b in seen else chr(next(rest)) for b in range(256)] + [f"<extra{i}>" for i in range(vocab - 256)]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types([1] * 256 + [3] * (vocab - 256))
    w.add_token_merges(["a b"])
    w.add_eos_token_id(256)

    def matrix(name, rows, cols):
        data, t = random_matrix(rng, kind, rows, cols)
        w.add_tensor(name, data, raw_dtype=t)

    def vector(name, n, mean):
        w.add_tensor(name, (mean + 0.1 * rng.standard_normal(n)).astype(np.float32))

    matrix("token_embd.weight", vocab, embd)
    vector("output_norm.weight", embd, 1)
    if arch != "gemma3":
        matrix("output.weight", vocab, embd)
    for i in range(layers):
        b = f"blk.{i}."
        for name, rows, cols in [("attn_q", heads * dim, embd), ("attn_k", kv * dim, embd), ("attn_v", kv * dim, embd),
                                 ("attn_output", embd, heads * dim), ("ffn_gate", ff, embd), ("ffn_up", ff, embd), ("ffn_down", embd, ff)]:
            matrix(f"{b}{name}.weight", rows, cols)
        for name in ["attn_norm", "ffn_norm"] + (["post_attention_norm", "post_ffw_norm"] if arch == "gemma3" else []):
            vector(f"{b}{name}.weight", embd, 1)
        if arch == "qwen2":
            for name, n in [("q", heads * dim), ("k", kv * dim), ("v", kv * dim)]:
                vector(f"{b}attn_{name}.bias", n, 0)
        if arch in ("qwen3", "gemma3"):
            vector(f"{b}attn_q_norm.weight", dim, 1)
            vector(f"{b}attn_k_norm.weight", dim, 1)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--lib", default="build/lib/libaios.so")
    ap.add_argument("--text", default=os.path.join(os.path.dirname(__file__), "../../docs/architecture.md"))
    ap.add_argument("--tokens", type=int, default=96)
    ap.add_argument("--kv-bits", type=lambda s: [int(x) for x in s.split(",")], default=[], help="also with caches of such elements: 8,4")
    ap.add_argument("--random", action="store_true")
    ap.add_argument("models", nargs="*")
    args = ap.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as tmp:
        for path in args.models:
            ids = tokens_of(path, open(args.text, encoding="utf-8").read(), args.tokens)
            compare(args.lib, path, ids, tmp, os.path.basename(path), args.kv_bits)
        for arch in ARCHS if args.random else []:
            for kind in TYPES:
                path, name = os.path.join(tmp, "random.gguf"), f"{arch} {kind}"
                random_model(path, arch, kind, len(name))
                ids = np.random.default_rng(1).integers(0, 256, 80, dtype=np.int32)
                row = compare(args.lib, path, ids, tmp, name)
                limit = 1e-4 if kind in ("F32", "F16", "BF16") else max(2e-3, 2 * row["llama.cpp"]["kl"])
                if row["aios"]["kl"] > limit or not row["same_bits_token_by_token"]:
                    failed.append(name)
    if failed:
        sys.exit("too far from the exact model: " + ", ".join(failed))


if __name__ == "__main__":
    main()

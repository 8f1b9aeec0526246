# SPDX-License-Identifier: Apache-2.0
"""Engines that can be measured side by side, each with the same three tests: prefill, decode, decode of several sequences together.

Every test returns tokens a second of one repetition, without loading: random tokens, logits of the last token of each step, no sampler
(OpenVINO GenAI has no such door: its own counters of time to first token and time per token, greedy). A name is `aios`, `aios-turn`
(decoding as a turn of a session does), `llama.cpp`,
`openvino` or the path of a llama-bench; `:LEVEL` caps the instruction set of aios, `@N` sets threads: `aios:avx2@1`."""
import ctypes
import itertools
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
N_CTX = 2304          # room for prompts of 2048
N_SEQ_CTX = 512       # of each sequence that decodes with others
PREFIX = 16           # tokens that such a sequence has before it decodes
TEST = re.compile(r"(pp|tg)(\d+)(?:x(\d+))?$")


def parse_test(name):
    m = TEST.match(name)
    if not m:
        raise SystemExit(f"{name} is no test: pp512 prefills 512 tokens, tg128 decodes 128, tg128x8 decodes 128 in each of 8 sequences")
    return m[1], int(m[2]), int(m[3] or 1)


def repeats(n):
    """Runs that make one measurement of a prompt, whose median counts: short ones are noisy."""
    return min(8, max(1, 128 // n))


class Engine:
    variants = [""]   # settings of which the best counts

    def run(self, test, variant=""):
        kind, n, n_seq = parse_test(test)
        if kind == "pp":
            return statistics.median(self.prefill(n, variant) for _ in range(repeats(n)))
        return self.decode(n, variant) if n_seq == 1 else self.decode_batch(n, n_seq, variant)

    def can(self, test):
        return True


class Ids:
    """The same random tokens for each engine that takes some."""

    def __init__(self, n_vocab):
        self.rng, self.n_vocab = random.Random(42), n_vocab

    def take(self, n):
        return (ctypes.c_int32 * n)(*(self.rng.randrange(self.n_vocab) for _ in range(n)))


class Aios(Engine):
    def __init__(self, path, threads, level):
        sys.path.insert(0, str(HERE.parents[1] / "bindings" / "python"))
        import aios
        from aios import _lib
        self.lib, self.call = _lib.lib, _lib.call
        self.context = aios.Context(cpu=level or None, n_threads=threads)
        self.model = aios.Model(path, self.context, n_ctx=N_CTX, n_threads=threads)
        self.info = self.model.info
        self.level = self.context.cpu_info()["isa"]
        self.sessions = [self.model.session()]
        self.ids = Ids(self.info["n_vocab"])
        self.logits = (ctypes.c_float * self.info["n_vocab"])()

    def eval(self, i, ids, n, rows):
        self.call(self.lib.aios_session_eval, self.sessions[i]._ptr, ids, n, self.logits, rows)

    def prefill(self, n, _):
        ids = self.ids.take(n)
        self.eval(0, None, 0, 0)
        t = time.perf_counter()
        self.eval(0, ids, n, 1)
        return n / (time.perf_counter() - t)

    def decode(self, n, _):
        ids = [self.ids.take(1) for _ in range(n)]
        self.eval(0, None, 0, 0)
        t = time.perf_counter()
        for one in ids:
            self.eval(0, one, 1, 1)
        return n / (time.perf_counter() - t)

    def decode_batch(self, n, n_seq, _):
        while len(self.sessions) < n_seq:
            self.sessions.append(self.model.session())
        handles = (ctypes.c_void_p * n_seq)(*(s._ptr for s in self.sessions[:n_seq]))
        logits = (ctypes.c_float * (n_seq * self.info["n_vocab"]))()
        ids = [self.ids.take(n_seq) for _ in range(n)]
        for i in range(n_seq):
            self.eval(i, None, 0, 0)
            self.eval(i, self.ids.take(PREFIX), PREFIX, 1)
        t = time.perf_counter()
        for row in ids:
            self.call(self.lib.aios_session_eval_batch, handles, row, n_seq, logits)
        return n * n_seq / (time.perf_counter() - t)


class AiosTurn(Aios):
    """What a host gets: greedy turns of a session, which need no logits outside; nothing is guessed ahead, so that each token is computed."""

    def __init__(self, path, threads, level):
        super().__init__(path, threads, level)
        from aios import Session, _cdef, _lib
        out = ctypes.c_void_p()
        cfg = _lib.new(_cdef.aios_session_config, speculation=_cdef.AIOS_SPECULATION_OFF)
        self.call(self.lib.aios_session_new, self.model._ptr, ctypes.byref(cfg), ctypes.byref(out))
        self.turns = Session.__new__(Session)
        self.turns.model, self.turns._number, self.turns._running = self.model, 0, False
        self.turns._own(out.value)

    def can(self, test):
        return test.startswith("tg") and parse_test(test)[2] == 1

    def decode(self, n, _):
        prompt = " ".join(f"w{self.ids.rng.randrange(10000)}" for _ in range(4))
        usage = self.turns.complete(raw=prompt, max_tokens=n, ignore_eos=True).usage[-1]
        return (usage.output - 1) * 1e9 / usage.decode_ns


class LlamaCpp(Engine):
    """libllama of PyPI llama-cpp-python, in this process."""

    variants = ["fa=0", "fa=1"]

    def __init__(self, path, threads, _):
        import llama_cpp
        self.api, self.threads, self.contexts = llama_cpp, threads, {}
        llama_cpp.llama_backend_init()
        self.quiet = llama_cpp.llama_log_callback(lambda *a: None)
        llama_cpp.llama_log_set(self.quiet, None)
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        self.ids = Ids(llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model)))

    def context(self, variant, n_seq=1, n_ctx=N_CTX):
        if (variant, n_seq) not in self.contexts:
            p = self.api.llama_context_default_params()
            p.n_ctx, p.n_batch, p.n_ubatch = (n_ctx if n_seq == 1 else N_SEQ_CTX * n_seq), 2048, 512
            p.n_seq_max, p.n_threads, p.n_threads_batch = n_seq, self.threads, self.threads
            p.flash_attn_type = int(variant[-1])
            self.contexts[variant, n_seq] = self.api.llama_init_from_model(self.model, p)
        ctx = self.contexts[variant, n_seq]
        self.api.llama_memory_clear(self.api.llama_get_memory(ctx), True)
        return ctx

    def step(self, ctx, batch):
        if self.api.llama_decode(ctx, batch):
            raise RuntimeError("llama_decode failed")

    def prefill(self, n, variant):
        ctx, ids = self.context(variant), self.ids.take(n)
        t = time.perf_counter()
        self.step(ctx, self.api.llama_batch_get_one(ids, n))
        self.api.llama_synchronize(ctx)
        return n / (time.perf_counter() - t)

    def decode(self, n, variant):
        ctx, ids = self.context(variant), [self.ids.take(1) for _ in range(n)]
        t = time.perf_counter()
        for one in ids:
            self.step(ctx, self.api.llama_batch_get_one(one, 1))
            self.api.llama_synchronize(ctx)
        return n / (time.perf_counter() - t)

    def decode_batch(self, n, n_seq, variant):
        ctx, batch = self.context(variant, n_seq), self.api.llama_batch_init(n_seq, 0, 1)
        ids = [self.ids.take(n_seq) for _ in range(PREFIX + n)]
        for pos, row in enumerate(ids):
            if pos == PREFIX:
                t = time.perf_counter()
            batch.n_tokens = n_seq
            for i in range(n_seq):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = row[i], pos, 1, 1
                batch.seq_id[i][0] = i
            self.step(ctx, batch)
            self.api.llama_synchronize(ctx)
        seconds = time.perf_counter() - t
        self.api.llama_batch_free(batch)
        return n * n_seq / seconds


class OpenVino(Engine):
    """PyPI openvino-genai on the GGUF, in this process."""

    def __init__(self, path, threads, _):
        import numpy
        import openvino
        import openvino_genai
        self.np, self.ov, self.genai = numpy, openvino, openvino_genai
        self.pipe = openvino_genai.LLMPipeline(path, "CPU", INFERENCE_NUM_THREADS=threads)
        self.rng = numpy.random.default_rng(42)

    def can(self, test):
        return parse_test(test)[2] == 1

    def metrics(self, n_prompt, n_new):
        ids = self.ov.Tensor(self.rng.integers(100, 40000, (1, n_prompt), dtype=self.np.int64))
        return self.pipe.generate(ids, self.genai.GenerationConfig(max_new_tokens=n_new, min_new_tokens=n_new, ignore_eos=True)).perf_metrics

    def prefill(self, n, _):
        return n * 1000 / self.metrics(n, 1).get_ttft().mean

    def decode(self, n, _):
        return 1000 / self.metrics(1, n).get_tpot().mean


class LlamaBench(Engine):
    """A program that takes the options of llama-bench, with llama-batched-bench beside it; a process for each measurement, whose
    own clock leaves loading and a warm-up out."""

    variants = [f"fa={fa},rtr={rtr}" for fa, rtr in itertools.product((0, 1), (0, 1))]

    def __init__(self, path, threads, _, program):
        self.path, self.threads, self.program = path, threads, program

    def run(self, test, variant=""):
        kind, n, n_seq = parse_test(test)
        return self.decode_batch(n, n_seq, variant) if n_seq > 1 else self.bench(variant, kind, n)

    def flags(self, variant):
        return dict(f.split("=") for f in variant.split(","))

    def bench(self, variant, kind, n):
        f = self.flags(variant)
        p, g = (n, 0) if kind == "pp" else (0, n)
        cmd = [self.program, "-m", self.path, "-t", self.threads, "-p", p, "-n", g, "-r", repeats(n) if p else 1, "-fa", f["fa"], "-rtr", f["rtr"], "-o", "json"]
        out = subprocess.run([str(x) for x in cmd], capture_output=True, text=True, check=True).stdout
        return statistics.median(json.loads(out[out.index("["):])[0]["samples_ts"])

    def decode_batch(self, n, n_seq, variant):
        f = self.flags(variant)
        cmd = [os.path.join(os.path.dirname(self.program), "llama-batched-bench"), "-m", self.path, "-t", self.threads, "-c", N_SEQ_CTX * n_seq,
               "-b", 2048, "-ub", 512, "-npp", PREFIX, "-ntg", n, "-npl", n_seq, *(["-fa", "on"] if f["fa"] == "1" else ["-fa", "off"]),
               *(["-rtr"] if f["rtr"] == "1" else [])]
        out = subprocess.run([str(x) for x in cmd], capture_output=True, text=True, check=True, cwd=tempfile.gettempdir())  # writes a log
        row = next(line for line in (out.stdout + out.stderr).splitlines() if re.match(rf"\|\s*{PREFIX} \|\s*{n} \|", line))
        return float(row.split("|")[8])


def open_engine(name, path, threads):
    """The engine of a name, and the label that its figures carry."""
    m = re.match(r"(.+?)(?::([a-z0-9]+))?(?:@(\d+))?$", name)
    kind, level, threads = m[1], m[2], int(m[3] or threads)
    made = {"aios": Aios, "aios-turn": AiosTurn, "llama.cpp": LlamaCpp, "openvino": OpenVino}.get(kind)
    return made(path, threads, level) if made else LlamaBench(os.path.abspath(path), threads, level, os.path.abspath(kind))

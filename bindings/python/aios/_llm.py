# SPDX-License-Identifier: Apache-2.0
"""Context, Model, Session: text from a model, as events or as pieces."""
import ctypes as C
import json

from . import _cdef as c
from ._events import Event, Reply
from ._lib import (SLICE_MS, Box, Error, Handle, as_dict, box_call, call, cstr, lib, log, new, seconds_ns, slices, string,
                   written)
from ._transcript import Transcript

LEVELS = {"error": c.AIOS_LOG_ERROR, "warn": c.AIOS_LOG_WARN, "info": c.AIOS_LOG_INFO, "debug": c.AIOS_LOG_DEBUG}
NO_REPAIRS = 0xFFFFFFFF  # AIOS_NO_REPAIRS
CHOICES = {"auto": c.AIOS_TOOLS_AUTO, "required": c.AIOS_TOOLS_REQUIRED, "none": c.AIOS_TOOLS_NONE, "named": c.AIOS_TOOLS_NAMED}


@c.aios_log_fn
def _log_fn(user, level, msg):
    box_call(user, None, level, string(msg))


@c.aios_pressure_fn
def _pressure_fn(user, used, budget, need):
    return 1 if box_call(user, False, used, budget, need) else 0


@dict(c.aios_model_config._fields_)["progress"]
def _progress_fn(user, part):
    return 1 if box_call(user, True, part) else 0


def _hooked(fn):
    """A callback that nobody waits for: what it raises is logged."""
    def run(*args):
        try:
            return fn(*args)
        except Exception:  # pylint: disable=broad-except
            log.error("callback %r failed", fn, exc_info=True)
            return None
    return Box(run)


def schema_text(schema):
    """A schema, given as dict or as JSON text, for C."""
    return cstr(schema if schema is None or isinstance(schema, (str, bytes)) else json.dumps(schema))


def sampling_struct(options):
    """aios_sampling of a dict: temperature, top_p, min_p, top_k, repeat_penalty, seed ..."""
    if not options:
        return None
    known = {f for f, *_ in c.aios_sampling._fields_ if f != "struct_size"}
    wrong = set(options) - known
    if wrong:
        raise TypeError(f"sampling has no {', '.join(sorted(wrong))}; it has {', '.join(sorted(known))}")
    return C.pointer(new(c.aios_sampling, **options))


class Context(Handle):
    """The root: memory under a hard budget (bytes), log(level, message), pressure(used, budget, need) -> retry?"""

    _destroy = "aios_ctx_free"

    def __init__(self, budget=0, n_threads=0, cpu=None, log=None, log_level="warn", pressure=None, env=False):
        cfg = new(c.aios_ctx_config, budget=budget, n_threads=n_threads, cpu=cstr(cpu), log_level=LEVELS[log_level])
        self._boxes = []
        if log:  # shadows the logger in here alone
            self._boxes.append(_hooked(log))
            cfg.log, cfg.log_user = _log_fn, self._boxes[-1].key
        if pressure:
            self._boxes.append(_hooked(pressure))
            cfg.pressure, cfg.pressure_user = _pressure_fn, self._boxes[-1].key
        if env:
            call(lib.aios_config_from_env, C.byref(cfg))
        out = C.c_void_p()
        call(lib.aios_ctx_new, C.byref(cfg), C.byref(out))
        self._own(out.value)

    def usage(self):
        """Bytes: budget, used, peak, refused, by_kind and peak_by_kind as dicts."""
        u = new(c.aios_mem_usage)
        with self._pin() as ctx:
            lib.aios_ctx_usage(ctx, C.byref(u))
        out = as_dict(u)
        for row in ("by_kind", "peak_by_kind"):
            out[row] = {text: out[row][number] for _, number, text in c.MEM_KINDS}
        return out

    def set_budget(self, n_bytes):
        with self._pin() as ctx:
            call(lib.aios_ctx_set_budget, ctx, n_bytes)

    def devices(self):
        """Facts of each device; the CPU is the first."""
        out = []
        with self._pin() as ctx:
            for i in range(lib.aios_device_count(ctx)):
                info = new(c.aios_device_info)
                if lib.aios_device_info_get(lib.aios_device_at(ctx, i), C.byref(info)) == 0:
                    out.append(as_dict(info))
        return out

    def cpu_info(self):
        info = new(c.aios_cpu_info)
        with self._pin() as ctx:
            rc = lib.aios_cpu_info_get(ctx, C.byref(info))
        if rc < 0:
            raise Error(rc)
        return as_dict(info)

    def load_plugin(self, path):
        with self._pin() as ctx:
            call(lib.aios_plugin_load, ctx, cstr(path))

    def probe(self, uri, **options):
        """Whether a model could be opened, and if not why, without loading it: state, code, msg, have, need."""
        out = new(c.aios_model_status)
        cfg, _ = _model_config(**options)
        with self._pin() as ctx:
            rc = lib.aios_model_probe(ctx, cstr(uri), C.byref(cfg), C.byref(out))
        if rc < 0 and not out.code:
            raise Error(rc)
        return {**as_dict(out), "state": lib.aios_model_state_name(out.state).decode()}


def _model_config(n_ctx=0, n_threads=0, use_mmap=False, template=None, progress=None, kv_bits=0, cache_dir=None, cache_bytes=0):
    cfg = new(c.aios_model_config, n_ctx=n_ctx, n_threads=n_threads, use_mmap=int(use_mmap), template_text=cstr(template), kv_bits=kv_bits,
              cache_dir=cstr(cache_dir), cache_bytes=cache_bytes)
    box = Box(progress) if progress else None
    if box:
        cfg.progress, cfg.progress_user = _progress_fn, box.key
    return cfg, box


class Model(Handle):
    """A model by URI: "gguf:FILE", a path that ends in .gguf, "echo:SCRIPT". progress(part) is called while it loads; True cancels."""

    _destroy = "aios_model_close"

    def __init__(self, uri, context=None, **options):
        self.context = context or Context()
        cfg, box = _model_config(**options)
        out = C.c_void_p()
        with self.context._pin() as ctx:
            try:
                call(lib.aios_model_open, ctx, cstr(uri), C.byref(cfg), C.byref(out))
            finally:
                if box:
                    box.reraise()
        self._own(out.value)

    @property
    def info(self):
        """Facts as a dict: name, backend, architecture, n_ctx, n_params ..."""
        info = new(c.aios_model_info)
        with self._pin() as m:
            rc = lib.aios_model_info_get(m, C.byref(info))
            if rc < 0:
                raise Error(rc)
            return as_dict(info)

    def session(self, **options):
        return Session(self, **options)

    def tokenize(self, text, special=False, bos=False):
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        flags = (c.AIOS_TOKENIZE_SPECIAL if special else 0) | (c.AIOS_TOKENIZE_BOS if bos else 0)
        n = C.c_uint32()
        with self._pin() as m:
            call(lib.aios_model_tokenize, m, data, len(data), flags, None, 0, C.byref(n))
            ids = (C.c_int32 * n.value)()
            call(lib.aios_model_tokenize, m, data, len(data), flags, ids, n.value, C.byref(n))
        return list(ids)[:n.value]

    def detokenize(self, ids):
        """Bytes: a token need not end at a character's end."""
        row, n = (C.c_int32 * len(ids))(*ids), C.c_size_t()
        with self._pin() as m:
            call(lib.aios_model_detokenize, m, row, len(ids), None, 0, C.byref(n))
            out = C.create_string_buffer(n.value + 1)
            call(lib.aios_model_detokenize, m, row, len(ids), out, n.value, C.byref(n))
        return out.raw[:n.value]

    def embed(self, text):
        data = text.encode("utf-8")
        out = (C.c_float * self.info["n_embd"])()
        with self._pin() as m:
            call(lib.aios_model_embed, m, data, len(data), out, len(out))
        return list(out)

    def render(self, prompt, **options):
        """The prompt text that the chat template makes of a request."""
        with Request(self.context, prompt, **options) as req, self._pin() as m:
            return written(lib.aios_model_render, m, req).decode("utf-8", "replace")


class Request:
    """aios_request of Python values; holds what it points to while it is entered."""

    def __init__(self, context, prompt=None, *, raw=None, tools=None, tool_choice="auto", tool_name=None, schema=None, sampling=None,
                 max_tokens=0, timeout=None, stop=None, one_call=False, ignore_eos=False, max_reasoning=0, priority=0, grammar=None,
                 max_repairs=None, calibrate=True, min_margin=0, call_deltas=False, snapshots=False):
        if (prompt is None) == (raw is None):
            raise TypeError("give a prompt (a text or a Transcript) or raw=, not both")
        self._own_transcript = isinstance(prompt, str)
        self._transcript = Transcript(context, [("user", prompt)]) if self._own_transcript else prompt
        if tool_name is not None:
            tool_choice = "named"
        flags = (c.AIOS_REQUEST_ONE_CALL if one_call else 0) | (c.AIOS_REQUEST_IGNORE_EOS if ignore_eos else 0)
        flags |= 0 if calibrate else c.AIOS_REQUEST_PLAIN_CHOICE
        flags |= (c.AIOS_REQUEST_CALL_DELTAS if call_deltas else 0) | (c.AIOS_REQUEST_SNAPSHOTS if snapshots else 0)
        self._req = new(c.aios_request, tool_choice=CHOICES[tool_choice], tool_name=cstr(tool_name), schema_json=schema_text(schema),
                        max_tokens=max_tokens, max_reasoning=max_reasoning, priority=priority, flags=flags, min_margin=min_margin,
                        timeout_ns=seconds_ns(timeout or 0),
                        max_repairs=0 if max_repairs is None else max_repairs or NO_REPAIRS)
        if raw is not None:
            data = raw if isinstance(raw, bytes) else raw.encode("utf-8")
            self._req.raw, self._req.n_raw = data, len(data)
        if tools:
            rows = [new(c.aios_tool_def, name=cstr(t["name"]), description=cstr(t.get("description")),
                        schema_json=schema_text(t.get("schema"))) for t in tools]
            self._req.tools = (c.aios_tool_def * len(rows))(*rows)
            self._req.tool_stride, self._req.n_tools = C.sizeof(c.aios_tool_def), len(rows)
            self._rows = rows
        if stop:
            self._req.stop = (C.c_char_p * (len(stop) + 1))(*[cstr(s) for s in stop], None)
        self._grammar = grammar
        sampled = sampling_struct(sampling)
        if sampled:
            self._req.sampling = sampled

    def __enter__(self):
        if self._grammar is not None:
            self._req.grammar = self._grammar._enter()
        if self._transcript is not None:
            self._req.transcript = self._transcript._enter()
        return C.byref(self._req)

    def __exit__(self, *_):
        if self._grammar is not None:
            self._grammar._leave()
        if self._transcript is not None:
            self._transcript._leave()
            if self._own_transcript:
                self._transcript.close()


class Turn:
    """Iterates over the events of one turn. Leaving it early (close, with, the collector) cancels the turn."""

    def __init__(self, session, number):
        self._session, self._number, self._over, self.reply = session, number, False, Reply()

    def __iter__(self):
        return self

    def __next__(self):
        while not self._over:
            ev = self._session._next(self, SLICE_MS)
            if ev:
                return ev
        raise StopIteration

    def next(self, timeout=None):
        """The next event within timeout seconds (0: poll), or None. For loops of one's own, beside Session.fileno."""
        for ms in slices(timeout):
            ev = None if self._over else self._session._next(self, ms)
            if ev or self._over:
                return ev
        return None

    @property
    def running(self):
        return not self._over

    def text(self):
        """Pieces of the reply's text alone."""
        with self:
            for ev in self:
                if ev.kind == "text":
                    yield ev.text

    def result(self):
        """Reads to the end; the Reply."""
        with self:
            for _ in self:
                pass
        return self.reply

    def close(self):
        if not self._over:
            self._over = True
            self._session._abandon(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    __del__ = close


class Session(Handle):
    """One conversation's computed state. One thread at a time; cancel() and close() from any."""

    _destroy = "aios_session_free"

    def __init__(self, model, n_ctx=0, threaded=False):
        cfg = new(c.aios_session_config, n_ctx=n_ctx, driver=c.AIOS_DRIVER_THREAD if threaded else c.AIOS_DRIVER_CALLER)
        out = C.c_void_p()
        with model._pin() as m:
            call(lib.aios_session_new, m, C.byref(cfg), C.byref(out))
        self.model, self._number, self._running = model, 0, False
        self._own(out.value)

    def start(self, prompt=None, **options):
        """Starts a turn and returns its events as an iterator; a turn that runs still is cancelled.

        prompt: a text or a Transcript, or raw=text. Options: tools (dicts of name, description, schema), tool_choice ("auto",
        "required", "none"), tool_name, schema, grammar (a Grammar), sampling (a dict), max_tokens, timeout (seconds), stop (texts), one_call,
        max_repairs (attempts after a reply that breaks its schema, of a model that cannot enforce one; None: two).
        """
        with Request(self.model.context, prompt, **options) as req, self._pin() as s:
            if self._running:
                self._drain(s)
            call(lib.aios_session_start, s, req)
            self._number += 1
            self._running = True
            return Turn(self, self._number)

    def stream(self, prompt=None, **options):
        """Pieces of the reply's text as they come, of all its attempts: start() tells them apart where a schema may be broken."""
        return self.start(prompt, **options).text()

    def complete(self, prompt=None, **options):
        """The whole Reply."""
        return self.start(prompt, **options).result()

    def count(self, prompt=None, **options):
        """Tokens that the request would send."""
        n = C.c_uint32()
        with Request(self.model.context, prompt, **options) as req, self._pin() as s:
            call(lib.aios_session_count, s, req, C.byref(n))
        return n.value

    def prewarm(self, prompt, **options):
        with Request(self.model.context, prompt, **options) as req, self._pin() as s:
            call(lib.aios_session_prewarm, s, req)

    def fork(self):
        """A second session that shares the computed prefix."""
        out = C.c_void_p()
        with self._pin() as s:
            call(lib.aios_session_fork, s, C.byref(out))
        other = Session.__new__(Session)
        other.model, other._number, other._running = self.model, 0, False
        other._own(out.value)
        return other

    def _next(self, turn, timeout_ms):
        ev, out = C.POINTER(c.aios_event)(), None
        try:
            with self._pin() as s:
                if turn._number != self._number:
                    raise Error(c.AIOS_ECANCELED, "the session has gone on to another turn")
                rc = lib.aios_session_next(s, timeout_ms, C.byref(ev))
                if rc == c.AIOS_AGAIN:
                    return None
                if rc == c.AIOS_OK:
                    out = Event(ev.contents)
                if out is None or out.kind in ("done", "error"):
                    turn._over, self._running = True, False
        except Error:
            turn._over = True
            raise
        if rc < 0:
            raise Error(rc)
        if out:
            turn.reply.add(out)
            if out.error:
                raise out.error
        return out

    def _drain(self, s):
        ev = C.POINTER(c.aios_event)()
        lib.aios_session_cancel(s)
        while lib.aios_session_next(s, -1, C.byref(ev)) == c.AIOS_OK:
            if ev.contents.type in (c.AIOS_EVENT_DONE, c.AIOS_EVENT_ERROR):
                break
        self._running = False

    def _abandon(self, turn):
        if turn._number == self._number and self._running and not self.closed:
            with self._pin() as s:
                self._drain(s)

    def cancel(self):
        """Stops the turn; its iterator raises ECANCELED. From any thread."""
        with self._pin() as s:
            lib.aios_session_cancel(s)

    def _interrupt(self):
        lib.aios_session_cancel(self._ptr)

    def fileno(self):
        """Readable when Turn.next(0) has something; for select and asyncio."""
        with self._pin() as s:
            fd = lib.aios_session_fd(s)
        if fd < 0:
            raise Error(c.AIOS_ENOTSUP, "this session has no file descriptor")
        return fd

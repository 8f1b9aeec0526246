# SPDX-License-Identifier: Apache-2.0
"""Model, Session: text from a model, as events or as pieces."""
from __future__ import annotations

import contextlib
import ctypes as C
import json
from typing import Iterator, Sequence

from . import _cdef as c
from ._args import choice, cstr, data, fill, instance, known, new, seconds_ns, whole
from ._context import Context, model_config
from ._events import Event, Reply
from ._grammar import Grammar
from ._lib import SLICE_MS, Error, Handle, as_dict, call, in_library_thread, lib, passed, slices, written
from ._schema import schema_check, schema_text
from ._transcript import Transcript

NO_REPAIRS = 0xFFFFFFFF  # AIOS_NO_REPAIRS
CHOICES = {"auto": c.AIOS_TOOLS_AUTO, "required": c.AIOS_TOOLS_REQUIRED, "none": c.AIOS_TOOLS_NONE, "named": c.AIOS_TOOLS_NAMED}
TOOL_FIELDS = ("name", "description", "schema")


def fields_of(struct):
    """Names that a caller may set."""
    return {f for f, *_ in struct._fields_ if f != "struct_size"}


def sampling_struct(options):
    """aios_sampling of a dict: temperature, top_p, min_p, top_k, repeat_penalty, seed ..."""
    if options is None:
        return None
    return C.pointer(new(c.aios_sampling, **known(options, fields_of(c.aios_sampling), "sampling")))


def tool_choice_of(tool_choice, tool_name):
    """The number of a choice; the name of a tool chooses it."""
    return choice(CHOICES, "named" if tool_name is not None else tool_choice, "tool_choice")


def _tool_def(tool):
    row = known(tool, TOOL_FIELDS, "a tool")
    if not row.get("name"):
        raise ValueError(f"a tool has no name: it has {', '.join(TOOL_FIELDS)}")
    return new(c.aios_tool_def, name=cstr(row["name"]), description=cstr(row.get("description")), schema_json=schema_text(row.get("schema")))


class Model(Handle):
    """A model by URI: "gguf:FILE", a path that ends in .gguf, "echo:SCRIPT", one behind HTTP ("openai:MODEL", "https://HOST/v1#MODEL",
    "DIALECT+https://HOST/PATH#MODEL"), or of a backend that was registered. progress(part) is called while it loads; True cancels.
    Further options: n_ctx, n_threads, use_mmap, template, kv_bits (16, 8, 4), cache_dir, cache_bytes.

    Of models behind HTTP: api_key, or credential(origin), which returns the key before each attempt; base_url; headers (a dict, as secret as
    keys); proxy; ca_file; connect_timeout, first_byte_timeout, idle_timeout, total_timeout (seconds of an attempt); max_retries (None: two);
    max_body (bytes); requests_per_minute, tokens_per_minute; plain_http (http:// also beyond this machine); keep (the provider may store
    the conversation). env: what is not given is taken from the standard variables of the URI's dialect (OPENAI_API_KEY, OPENAI_BASE_URL ...):
    the scheme names the provider, and a URI with a host of its own gets no key from there. What credential raises is raised by the call
    that needed the key.
    """

    _destroy = "aios_model_close"

    def __init__(self, uri: str, context: Context | None = None, **options):
        self.context = Context() if context is None else instance(context, Context, "context")
        cfg, progress, self._credential = model_config(uri, **options)
        out = C.c_void_p()
        with self.context._pin() as ctx:
            try:
                call(lib.aios_model_open, ctx, cstr(uri), C.byref(cfg), C.byref(out))
            finally:
                if progress:
                    progress.reraise()
        self._own(out.value)

    @property
    def info(self) -> dict:
        """Facts as a dict: name, backend, architecture, n_ctx, n_params ..."""
        info = new(c.aios_model_info)
        with self._pin() as m:
            rc = lib.aios_model_info_get(m, C.byref(info))
            if rc < 0:
                raise Error(rc)
            return as_dict(info)

    def models(self) -> list[dict]:
        """What the server of this model offers: dicts of "id", and "context" where it says how many tokens one holds. Error ENOTSUP of
        models that have no list.
        """
        with self._pin() as m:
            return json.loads(written(lib.aios_model_list, m))

    def session(self, **options) -> Session:
        """A Session; options: n_ctx, threaded."""
        return Session(self, **options)

    def tokenize(self, text: str | bytes, special: bool = False, bos: bool = False) -> list[int]:
        """Tokens of a text. special: texts of special tokens are those tokens; bos: the one of the beginning comes first."""
        raw = data(text)
        flags = (c.AIOS_TOKENIZE_SPECIAL if special else 0) | (c.AIOS_TOKENIZE_BOS if bos else 0)
        n = C.c_uint32()
        with self._pin() as m:
            call(lib.aios_model_tokenize, m, raw, len(raw), flags, None, 0, C.byref(n))
            ids = (C.c_int32 * n.value)()
            call(lib.aios_model_tokenize, m, raw, len(raw), flags, ids, n.value, C.byref(n))
        return list(ids)[:n.value]

    def detokenize(self, ids: Sequence[int]) -> bytes:
        """Bytes: a token need not end at a character's end."""
        row, n = (C.c_int32 * len(ids))(*[whole(C.c_int32, i, "a token") for i in ids]), C.c_size_t()
        with self._pin() as m:
            call(lib.aios_model_detokenize, m, row, len(ids), None, 0, C.byref(n))
            out = C.create_string_buffer(n.value + 1)
            call(lib.aios_model_detokenize, m, row, len(ids), out, n.value, C.byref(n))
        return out.raw[:n.value]

    def embed(self, text: str | bytes) -> list[float]:
        """The embedding of a text; Error ENOTSUP of models that have none."""
        raw = data(text)
        out = (C.c_float * self.info["n_embd"])()
        with self._pin() as m:
            call(lib.aios_model_embed, m, raw, len(raw), out, len(out))
        return list(out)

    def render(self, prompt: str | Transcript, **options) -> str:
        """The prompt text that the chat template makes of a request."""
        with Request(self.context, prompt, **options) as req, self._pin() as m:
            return written(lib.aios_model_render, m, req).decode("utf-8", "replace")


class Request:
    """aios_request of Python values; holds what it points to while it is entered."""

    def __init__(self, context, prompt=None, *, raw=None, tools=None, tool_choice="auto", tool_name=None, schema=None, sampling=None,
                 max_tokens=0, timeout=None, stop=None, one_call=False, ignore_eos=False, max_reasoning=0, priority=0, deadline=None, grammar=None,
                 max_repairs=None, calibrate=True, min_margin=0, call_deltas=False, snapshots=False, logprobs=None):
        if (prompt is None) == (raw is None):
            raise TypeError("give a prompt (a text or a Transcript) or raw=, not both")
        if not isinstance(prompt, (str, Transcript, type(None))):
            raise TypeError(f"prompt is a str or a Transcript, not {type(prompt).__name__}")
        self._own_transcript = isinstance(prompt, str)
        self._grammar = None if grammar is None else instance(grammar, Grammar, "grammar")
        flags = (c.AIOS_REQUEST_ONE_CALL if one_call else 0) | (c.AIOS_REQUEST_IGNORE_EOS if ignore_eos else 0)
        flags |= 0 if calibrate else c.AIOS_REQUEST_PLAIN_CHOICE
        flags |= (c.AIOS_REQUEST_CALL_DELTAS if call_deltas else 0) | (c.AIOS_REQUEST_SNAPSHOTS if snapshots else 0)
        flags |= 0 if logprobs is None else c.AIOS_REQUEST_LOGPROBS
        self._req = new(c.aios_request, tool_choice=tool_choice_of(tool_choice, tool_name), tool_name=cstr(tool_name),
                        schema_json=schema_text(schema), flags=flags, min_margin=min_margin, timeout_ns=seconds_ns(timeout, "timeout"),
                        deadline_ns=seconds_ns(deadline, "deadline"))
        fill(self._req, max_tokens=max_tokens, max_reasoning=max_reasoning, priority=priority, n_top=logprobs or 0,
             max_repairs=0 if max_repairs is None else max_repairs or NO_REPAIRS)
        if raw is not None:
            text = data(raw, "raw")
            self._req.raw, self._req.n_raw = text, len(text)
        if tools:
            rows = [_tool_def(t) for t in tools]
            self._req.tools = (c.aios_tool_def * len(rows))(*rows)
            self._req.tool_stride, self._req.n_tools = C.sizeof(c.aios_tool_def), len(rows)
            self._rows = rows
        if stop:
            stop = [stop] if isinstance(stop, (str, bytes)) else list(stop)
            self._req.stop = (C.c_char_p * (len(stop) + 1))(*[cstr(s) for s in stop], None)
        sampled = sampling_struct(sampling)
        if sampled:
            self._req.sampling = sampled
        self._transcript = Transcript(context, [("user", prompt)]) if self._own_transcript else prompt
        self._context = context

    def bound(self) -> Bound:
        """What the reply is held to; a walk keeps its grammar, which may be closed while the turn runs."""
        return Bound(self._context, self._req.schema_json, self._grammar.walk() if self._grammar else None, self._req.max_tokens)

    def __enter__(self):
        with contextlib.ExitStack() as held:
            if self._own_transcript:
                held.callback(self._transcript.close)
            for field, handle in (("grammar", self._grammar), ("transcript", self._transcript)):
                if handle is not None:
                    setattr(self._req, field, handle._enter())
                    held.callback(handle._leave)
            self._held = held.pop_all()
        return C.byref(self._req)

    def __exit__(self, *_):
        self._held.close()


class Bound:
    """What a reply is held to, for the end of its turn: one that was cut before it was whole is a failure, not a reply."""

    def __init__(self, context, schema, walk, max_tokens):
        self._context, self._schema, self._walk, self._max_tokens = context, schema, walk, max_tokens

    def _whole(self, text):
        try:
            if self._schema is not None:
                schema_check(self._context, self._schema, text)
                return True
            return self._walk is None or self._walk.accept(text).complete
        except Error as e:
            if e.code not in (c.AIOS_ESCHEMA, c.AIOS_EFORMAT):
                raise
            return False

    def cut(self, reply) -> Error | None:
        """ELIMIT of a reply that ended for "length" in the middle; replies that call tools are held to nothing."""
        if reply.reason != "length" or reply.calls or self._whole(reply.text):
            return None
        what = "schema" if self._schema is not None else "grammar"
        used_up = self._max_tokens and (not reply.usage or reply.usage[-1].output >= self._max_tokens)
        todo = (f"raise max_tokens ({self._max_tokens})" if used_up
                else "the context is full, so give the session a larger n_ctx or a shorter prompt")
        return Error(c.AIOS_ELIMIT, f"the reply was cut before its {what} was satisfied: {todo}; .text has what came",
                     self._max_tokens if used_up else 0, text=reply.text)


class Turn:
    """Iterates over the events of one turn. Leaving it early (close, with, the collector) cancels the turn. A failure is raised, also in
    place of the "done" of a reply that was cut before its schema or grammar was satisfied; reply has what came.
    """

    def __init__(self, session, number, bound):
        self._session, self._number, self._bound, self._over, self.reply = session, number, bound, False, Reply()

    def __iter__(self):
        return self

    def __next__(self):
        while not self._over:
            ev = self._session._next(self, SLICE_MS)
            if ev:
                return ev
        raise StopIteration

    def next(self, timeout: float | None = None) -> Event | None:
        """The next event within timeout seconds (0: poll), or None. For loops of one's own, beside Session.fileno."""
        for ms in slices(timeout):
            ev = None if self._over else self._session._next(self, ms)
            if ev or self._over:
                return ev
        return None

    @property
    def running(self) -> bool:
        """More events may come."""
        return not self._over

    def text(self) -> Iterator[str]:
        """Pieces of the reply's text alone."""
        with self:
            for ev in self:
                if ev.kind == "text":
                    yield ev.text

    def result(self) -> Reply:
        """Reads to the end; the Reply."""
        with self:
            for _ in self:
                pass
        return self.reply

    def close(self) -> None:
        """Cancels the turn if it runs still."""
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

    def __init__(self, model: Model, n_ctx: int = 0, threaded: bool = False):
        cfg = new(c.aios_session_config, n_ctx=n_ctx, driver=c.AIOS_DRIVER_THREAD if threaded else c.AIOS_DRIVER_CALLER)
        out = C.c_void_p()
        with instance(model, Model, "model")._pin() as m:
            call(lib.aios_session_new, m, C.byref(cfg), C.byref(out))
        self.model, self._number, self._running = model, 0, False
        self._own(out.value)

    def start(self, prompt: str | Transcript | None = None, **options) -> Turn:
        """Starts a turn and returns its events as an iterator; a turn that runs still is cancelled.

        prompt: a text or a Transcript, or raw=text. Options: schema (a dict, True, False or JSON text: the reply is JSON under it),
        grammar (a Grammar: the reply is one of its sentences), max_tokens (0: to the end of the context), stop (a text or several), sampling (a
        dict), timeout (seconds), tools (dicts of name, description, schema), tool_choice ("auto", "required", "none"), tool_name, one_call,
        call_deltas, snapshots, logprobs (0 to 20: events "logprobs" tell how likely each token was, and so many others), max_reasoning, max_repairs (attempts after a reply that breaks its schema, of a model that cannot enforce
        one; None: two). Error ELIMIT, with what came as its text, ends a turn whose tokens were used up before its schema or grammar was
        satisfied; a free reply has the reason "length" then.
        """
        request = Request(self.model.context, prompt, **options)
        with request as req, self._pin() as s:
            if self._running:
                self._drain(s)
            bound = request.bound()
            call(lib.aios_session_start, s, req)
            self._number += 1
            self._running = True
            return Turn(self, self._number, bound)

    def stream(self, prompt: str | Transcript | None = None, **options) -> Iterator[str]:
        """Pieces of the reply's text as they come, of all its attempts: start() tells them apart where a schema may be broken. Fails as
        start.
        """
        return self.start(prompt, **options).text()

    def complete(self, prompt: str | Transcript | None = None, **options) -> Reply:
        """The whole Reply. Fails as start."""
        return self.start(prompt, **options).result()

    def count(self, prompt: str | Transcript | None = None, **options) -> int:
        """Tokens that the request would send."""
        n = C.c_uint32()
        with Request(self.model.context, prompt, **options) as req, self._pin() as s:
            call(lib.aios_session_count, s, req, C.byref(n))
        return n.value

    def prewarm(self, prompt: str | Transcript, **options) -> None:
        """Computes the prefix now, so that a later start with the same beginning is quick."""
        with Request(self.model.context, prompt, **options) as req, self._pin() as s:
            call(lib.aios_session_prewarm, s, req)

    def retain(self, returns: bool = True) -> None:
        """Says whether the session will soon be back: when memory must be freed, what it has computed goes after what idle ones have."""
        with self._pin() as s:
            call(lib.aios_session_retain, s, int(returns))

    def fork(self) -> Session:
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
                error = passed()
                if error is not None:
                    self._drain(s)
                    turn._over = True
                    raise error
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
            error = out.error or (turn._bound.cut(turn.reply) if out.kind == "done" else None)
            if error:
                raise error
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
                if in_library_thread():
                    lib.aios_session_cancel(s)  # the next start reads what is left
                else:
                    self._drain(s)

    def cancel(self) -> None:
        """Stops the turn; its iterator raises ECANCELED. From any thread."""
        with self._pin() as s:
            lib.aios_session_cancel(s)

    def _interrupt(self):
        lib.aios_session_cancel(self._ptr)

    def fileno(self) -> int:
        """Readable when Turn.next(0) has something; for select and asyncio."""
        with self._pin() as s:
            fd = lib.aios_session_fd(s)
        if fd < 0:
            raise Error(c.AIOS_ENOTSUP, "this session has no file descriptor")
        return fd

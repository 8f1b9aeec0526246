# SPDX-License-Identifier: Apache-2.0
"""Backends in Python: what a model of one is, and the slots by which the library reaches it.

The library knows models by a number and sessions by the address of a semaphore, which is all that a cancel from a signal handler may
touch; the tables here hold them until the library lets them go.
"""
from __future__ import annotations

import ctypes as C
import itertools
import json
from typing import Any, Iterable, NamedTuple, Optional, Union

from . import _cdef as c
from ._args import choice, cstr, data, fill, function, known, new, whole
from ._events import Usage
from ._lib import Box, Error, _boxes, bytes_of, call, code_of, lib, log, pass_up, string
from ._transcript import entry_at

PRIVACY = {"local": c.AIOS_PRIVACY_LOCAL, "lan": c.AIOS_PRIVACY_LAN, "remote": c.AIOS_PRIVACY_REMOTE}
TOOL_CHOICES = {c.AIOS_TOOLS_AUTO: "auto", c.AIOS_TOOLS_REQUIRED: "required", c.AIOS_TOOLS_NONE: "none", c.AIOS_TOOLS_NAMED: "named"}


# ---- what a turn gives -----------------------------------------------------------------------------------------------
class Reasoning(NamedTuple):
    """A piece of reasoning. signature: what the backend wants back, as it is, with the reasoning since the last such; text may be "" then. It comes
    back in TurnRequest.messages, to a backend of the same scheme alone.
    """

    text: str
    signature: Optional[str] = None


class ToolCall(NamedTuple):
    """The model calls a tool: arguments are a dict or JSON text. id None: one is made."""

    name: str
    arguments: Union[dict, str]
    id: Optional[str] = None


class CallDelta(NamedTuple):
    """A call is being written: text "" at its beginning, then pieces of its arguments; the whole ToolCall follows. Dropped where
    request.call_deltas is False.
    """

    name: str
    text: str = ""
    id: Optional[str] = None


class Logprobs(NamedTuple):
    """How likely the tokens of the text before were: dicts of token (str or bytes), logprob (natural logarithm, at most 0) and top (a list of such, the
    likeliest first). Dropped where request.logprobs is None.
    """

    tokens: Iterable[dict]


class Restart:
    """What this turn has given so far is void: another attempt begins."""

    __slots__ = ()


Piece = Union[str, Reasoning, ToolCall, CallDelta, Logprobs, Usage, Restart, None]


# ---- what a turn is asked --------------------------------------------------------------------------------------------
def _loads(text):
    return None if text is None else json.loads(text)


def _tool_out(t):
    return {"name": string(t.name), "description": string(t.description) or "", "schema": _loads(t.schema_json) or {"type": "object"}}


def _tools_out(req):
    at = C.cast(req.tools, C.c_void_p).value
    return [_tool_out(c.aios_tool_def.from_address(at + i * req.tool_stride)) for i in range(req.n_tools)]


def _stops_out(req):
    return [string(s) for s in itertools.takewhile(lambda s: s is not None, req.stop)] if req.stop else []


def _sampling_out(req):
    if not req.sampling:
        return {}
    return {f: getattr(req.sampling.contents, f) for f, *_ in c.aios_sampling._fields_ if f != "struct_size"}


def _seal(scheme):
    """What stands in front of a signature, by which its backend knows it again."""
    return f"{scheme}/python "


def _message(entry, seal):
    """An entry without what answers tools."""
    thoughts = [p for p in entry.parts if p.kind == "reasoning"]
    more = {
        "reasoning": "".join(p.text for p in thoughts),
        "signed": [{"text": p.text, "signature": p.call_id[len(seal):]} for p in thoughts if (p.call_id or "").startswith(seal)],
        "tool_calls": [{"id": p.call_id, "name": p.name, "arguments": json.loads(p.text)} for p in entry.parts if p.kind == "call"]}
    return {"role": entry.role, "content": entry.text, **{k: v for k, v in more.items() if v}}


class TurnRequest:
    """What a turn is asked, as values of Python: nothing in it belongs to the library.

    raw: a text to complete, without entries then, else None. entries: the conversation as a list of Entry. tools: dicts of name, description,
    schema. tool_choice: "auto", "required", "none", "named" (then tool_name). schema: the reply is JSON under it, or None. sampling: a dict,
    {} for the model's defaults. max_tokens, max_reasoning: 0 for no bound. stop: texts. timeout: seconds, or None. one_call, call_deltas,
    ignore_eos; priority. logprobs: how many likely tokens are to be told beside each of the reply, 0 to 20, or None: no Logprobs are asked for.
    n_ctx: of the session. state: what Backend.session() made for it.
    """

    def __init__(self, req, session=None, scheme=""):
        self._session, self._scheme = session, session.scheme if session else scheme
        self.state = session.state if session else None
        self.n_ctx = session.n_ctx if session else 0
        self.raw = string(bytes_of(req, "raw", req.n_raw)) if req.raw is not None else None
        count = lib.aios_transcript_count(req.transcript) if req.transcript else 0
        self.entries = [entry_at(req.transcript, i) for i in range(count)]
        self.tools = _tools_out(req)
        self.tool_choice, self.tool_name = TOOL_CHOICES.get(req.tool_choice, "auto"), string(req.tool_name)
        self.schema, self.sampling, self.stop = _loads(req.schema_json), _sampling_out(req), _stops_out(req)
        self.max_tokens, self.max_reasoning, self.priority = req.max_tokens, req.max_reasoning, req.priority
        self.timeout = req.timeout_ns / 1e9 if req.timeout_ns else None
        self.one_call, self.call_deltas, self.ignore_eos = (bool(req.flags & f) for f in (
            c.AIOS_REQUEST_ONE_CALL, c.AIOS_REQUEST_CALL_DELTAS, c.AIOS_REQUEST_IGNORE_EOS))
        self.logprobs = req.n_top if req.flags & c.AIOS_REQUEST_LOGPROBS else None

    @property
    def messages(self) -> list[dict]:
        """The conversation as dicts of role and content (text), with reasoning, signed (those parts of it that this backend has signed: text,
        signature) and tool_calls (id, name, arguments) where there are; each result of a tool is one with role "tool", name, tool_call_id.
        Images and other data are in entries alone.
        """
        out = []
        for entry in self.entries:
            results = [p for p in entry.parts if p.kind == "result"]
            if len(results) < len(entry.parts):
                out.append(_message(entry, _seal(self._scheme)))
            out += [{"role": "tool", "content": p.text, "name": p.name, "tool_call_id": p.call_id} for p in results]
        return out

    @property
    def text(self) -> str:
        """What is to be answered: raw, or the text of the last entry."""
        return self.raw if self.raw is not None else self.entries[-1].text

    @property
    def cancelled(self) -> bool:
        """True: the turn is given up. For work that takes long between two pieces."""
        return self._session is not None and self._session.cancelled()


# ---- what a backend is -----------------------------------------------------------------------------------------------
class Backend:
    """A model in Python: derive from it, and give the class to Context.register_backend. Each opened model is an instance.

    Attributes of the class, or set by open(): name (as the model calls itself), architecture, quantization, n_ctx (tokens of a session; 0:
    nothing is checked), n_ctx_train, n_vocab, n_embd, n_layers, n_params, n_bytes. privacy: where the text goes, "local", "lan" or "remote",
    which is what is assumed of code that does not say. tools: it can call tools; schema: replies hold to a schema as they are written (else they
    are checked at the end, and asked for again); logprobs: it gives Logprobs; chat: it takes conversations.

    Any exception fails the turn or the call: aios.Error as it is, others by what they are (TimeoutError is ETIMEDOUT ...; EINTERNAL for the
    rest, and a line in the log). KeyboardInterrupt and SystemExit are raised by the call that drives the turn.
    """

    name = architecture = quantization = ""
    n_ctx = n_ctx_train = n_vocab = n_embd = n_layers = n_params = n_bytes = 0
    privacy = "remote"
    tools = schema = logprobs = False
    chat = True

    def open(self, path: str, options: dict) -> None:
        """The model is opened: path is the URI behind "name:", options has uri, n_ctx, n_threads as given (0: none)."""

    def close(self) -> None:
        """Nobody uses the model any more."""

    def session(self) -> Any:
        """State of a new session, which requests have as `state`."""
        return {}

    def turn(self, request: TurnRequest) -> Iterable[Piece]:
        """The reply, best as a generator. str: text; Reasoning, ToolCall, CallDelta, Logprobs, Usage (once, before the end), Restart; None: nothing
        yet, but a cancel is heard. What a generator returns is the reason of its end, "stop" ("tool_calls" after a call) if nothing. It is
        closed when the turn is given up. Each piece is one step of the session: let none take long.
        """
        raise NotImplementedError

    def count(self, request: TurnRequest) -> int:
        """Tokens that the request would send. With n_ctx, a turn of more fails with ECONTEXT before it begins."""
        raise NotImplementedError

    def prewarm(self, request: TurnRequest) -> None:
        """Computes the beginning of a request to come."""
        raise NotImplementedError

    def fork(self, state: Any) -> Any:
        """State of a session that goes on from where that of `state` is."""
        raise NotImplementedError

    def embed(self, text: str) -> Iterable[float]:
        """n_embd numbers."""
        raise NotImplementedError

    def tokenize(self, text: str, special: bool, bos: bool) -> Iterable[int]:
        """Tokens of a text."""
        raise NotImplementedError

    def detokenize(self, ids: list[int]) -> Union[str, bytes]:
        """The text of tokens."""
        raise NotImplementedError

    def render(self, request: TurnRequest) -> str:
        """The prompt that a request becomes."""
        raise NotImplementedError

    def models(self) -> list[dict]:
        """The models where this one is: dicts of "id", and "context"."""
        raise NotImplementedError


NUMBERS = ("n_ctx", "n_ctx_train", "n_vocab", "n_embd", "n_layers", "n_params", "n_bytes")
TEXTS = ("name", "architecture", "quantization")
FLAGS = {"tools": c.AIOS_MODEL_CAN_TOOLS, "schema": c.AIOS_MODEL_CAN_SCHEMA, "logprobs": c.AIOS_MODEL_CAN_LOGPROBS,
         "chat": c.AIOS_MODEL_HAS_TEMPLATE}
SKILLS = {"fork": c.AIOS_MODEL_CAN_FORK, "embed": c.AIOS_MODEL_CAN_EMBED, "tokenize": c.AIOS_MODEL_CAN_TOKENIZE}
METHODS = tuple(name for name, value in vars(Backend).items() if callable(value) and name[0] != "_")


def _has(kind, method):
    return getattr(kind, method) is not getattr(Backend, method)


def backend_class(scheme, backend, facts):
    """The class of a backend, made of a function and facts if it is one. Where its texts go is checked before one does."""
    kind = _class_of(scheme, backend, facts)
    if not hasattr(kind.privacy, "__get__"):  # a property is asked when the model opens
        choice(PRIVACY, kind.privacy, "privacy")
    return kind


def _class_of(scheme, backend, facts):
    if isinstance(backend, type) and issubclass(backend, Backend):
        if facts:
            raise TypeError(f"{backend.__name__} says {', '.join(sorted(facts))} as its attributes, not here")
        return backend
    if isinstance(backend, type):
        raise TypeError(f"{backend.__name__} is not derived from aios.Backend")
    known(facts, {*NUMBERS, *TEXTS, *FLAGS, "privacy", *METHODS} - {"turn"}, "a backend")
    rows = {k: staticmethod(function(v, k)) if k in METHODS else v for k, v in {**facts, "turn": function(backend, "a backend")}.items()}
    return type(str(scheme), (Backend,), rows)


# ---- models and sessions ---------------------------------------------------------------------------------------------
_models: dict[int, _Model] = {}      # key -> _Model, until C closes it
_sessions: dict[int, _Session] = {}  # address of the semaphore -> _Session, until C frees it
_model_keys = itertools.count(1)

_libc = C.PyDLL(None)
_sem_init = C.PYFUNCTYPE(C.c_int, C.c_void_p, C.c_int, C.c_uint)(("sem_init", _libc))
_sem_trywait = C.PYFUNCTYPE(C.c_int, C.c_void_p)(("sem_trywait", _libc))
_sem_value = C.PYFUNCTYPE(C.c_int, C.c_void_p, C.POINTER(C.c_int))(("sem_getvalue", _libc))
_slots: list[Any] = []  # callbacks that C has
_slot_types = dict(c.aios_backend_ops._fields_)
_cancel_fn = C.cast(C.CDLL(None).sem_post, _slot_types["cancel"])  # the one call for this that a signal handler may make


class _Model:
    """An opened model: the instance, and the facts that C points into."""

    def __init__(self, scheme, obj):
        self.scheme, self.obj = scheme, obj
        self.info = new(c.aios_model_info, privacy=choice(PRIVACY, obj.privacy, "privacy"),
                        flags=sum(bit for fact, bit in FLAGS.items() if getattr(obj, fact))
                        | sum(bit for method, bit in SKILLS.items() if _has(type(obj), method)))
        fill(self.info, **{f: getattr(obj, f) for f in NUMBERS}, **{f: cstr(getattr(obj, f) or ("" if f != "name" else scheme)) for f in TEXTS})


class _Sink:
    """Functions and target of an aios_sink, read out of its bytes."""

    def __init__(self, raw):
        sink = c.aios_sink.from_buffer_copy(raw)
        self.user = sink.user
        for name, kind, *_ in c.aios_sink._fields_[2:]:
            at = C.c_void_p.from_buffer(sink, getattr(c.aios_sink, name).offset).value
            setattr(self, name, kind(at) if at else None)


def _send_reasoning(session, sink, piece):
    raw = data(piece.text, "reasoning")
    rc = sink.reasoning(sink.user, raw, len(raw)) if raw else 0
    if rc or piece.signature is None or not sink.sign:
        return rc
    return sink.sign(sink.user, cstr(_seal(session.scheme) + piece.signature))


def _token(token, inner=True):
    """A token and its neighbours, as an event has them."""
    raw = data(token["token"], "a token")
    text = raw.decode("utf-8", "replace")
    logprob = float(token["logprob"])
    if not logprob <= 0:
        raise ValueError(f"the logprob of {text!r} is {logprob}: at most 0, the logarithm of a probability")
    return {"token": text, **({} if text.encode("utf-8") == raw else {"bytes": list(raw)}), "logprob": max(logprob, LEAST),
            **({"top": [_token(t, False) for t in token.get("top", ())]} if inner else {})}


def _send_logprobs(session, sink, piece):
    if not sink.logprobs:
        return 0
    raw = json.dumps([_token(t) for t in piece.tokens], ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return sink.logprobs(sink.user, raw, len(raw))


def _send_call(session, sink, piece):
    args = piece.arguments if isinstance(piece.arguments, str) else json.dumps(piece.arguments, ensure_ascii=False, allow_nan=False)
    raw = args.encode("utf-8")
    session.called = True
    return sink.call(sink.user, cstr(piece.name), raw, len(raw), cstr(piece.id))


def _send_delta(session, sink, piece):
    raw = data(piece.text, "a piece of a call")
    return sink.call_delta(sink.user, cstr(piece.name), raw, len(raw), cstr(piece.id)) if sink.call_delta else 0


def _send_usage(session, sink, piece):
    return sink.usage(sink.user, C.byref(new(c.aios_usage, **piece._asdict())))


def _send_restart(session, sink, piece):
    if not sink.restart:
        raise Error(c.AIOS_ENOTSUP, "what drives this turn knows of no second attempt")
    session.called = False
    return sink.restart(sink.user)


def _send_text(session, sink, piece):
    raw = piece.encode("utf-8")
    return sink.text(sink.user, raw, len(raw))


LEAST = -9999.0  # what remote models say of the least likely
SENDERS = {str: _send_text, Reasoning: _send_reasoning, ToolCall: _send_call, CallDelta: _send_delta, Logprobs: _send_logprobs,
           Usage: _send_usage, Restart: _send_restart, type(None): lambda session, sink, piece: 0}
SINK_BYTES = C.sizeof(c.aios_sink)


def _sender(piece):
    for kind, send in SENDERS.items():
        if isinstance(piece, kind):
            return send
    raise TypeError(f"a turn gives {', '.join(k.__name__ for k in SENDERS)}, not {type(piece).__name__}")


class _Session:
    def __init__(self, model, state, n_ctx):
        self.model, self.scheme, self.state, self.n_ctx = model, model.scheme, state, n_ctx
        self._sem, self._value = (C.c_uint64 * 16)(), C.c_int()  # as large as any sem_t is
        self.address, self._value_at = C.addressof(self._sem), C.byref(self._value)
        _sem_init(self.address, 0, 0)
        self._pieces, self._sink, self._sink_bytes, self.called = None, None, None, False

    def cancelled(self):
        _sem_value(self.address, self._value_at)
        return self._value.value > 0

    def start(self, request):
        """A turn begins: nothing of it is computed yet, if it is a generator."""
        self.stop()
        need = self.model.obj.count(request) if self.n_ctx and _has(type(self.model.obj), "count") else 0
        if need > self.n_ctx:
            raise Error(c.AIOS_ECONTEXT, f"the prompt has {need} tokens, the context holds {self.n_ctx}: shorten it", self.n_ctx, need)
        while _sem_trywait(self.address) == 0:
            pass
        self.called = False
        pieces = self.model.obj.turn(request)
        self._pieces = iter((pieces,) if isinstance(pieces, (str, Reasoning, ToolCall)) else pieces)

    def step(self, sink_at):
        """One piece of the turn."""
        raw = C.string_at(sink_at, SINK_BYTES)
        if raw != self._sink_bytes:
            self._sink_bytes, self._sink = raw, _Sink(raw)
        self._heed()
        if self._pieces is None:
            return c.AIOS_DONE
        try:
            piece = next(self._pieces)
        except StopIteration as e:
            return self._end(e.value)
        rc = (SENDERS.get(type(piece)) or _sender(piece))(self, self._sink, piece)
        if rc:
            self.stop()
        return rc or c.AIOS_AGAIN

    def _heed(self):
        _sem_value(self.address, self._value_at)
        if self._value.value > 0:
            raise Error(c.AIOS_ECANCELED, "the turn was cancelled")

    def _end(self, reason):
        self._pieces = None
        self._heed()
        rc = self._sink.stop(self._sink.user, cstr(reason or ("tool_calls" if self.called else "stop")))
        return rc or c.AIOS_DONE

    def stop(self):
        """Closes what is left of a turn."""
        pieces, self._pieces = self._pieces, None
        if hasattr(pieces, "close"):
            pieces.close()


# ---- slots -----------------------------------------------------------------------------------------------------------
def failed(scheme, error, err):
    """What an exception is to C; none is lost."""
    code = code_of(error, c.AIOS_EINTERNAL)
    if not isinstance(error, Exception):
        pass_up(error)
    elif code == c.AIOS_EINTERNAL and not isinstance(error, Error):
        log.error("backend %s failed: %s", scheme, error, exc_info=error)
    if err:
        own = isinstance(error, Error)
        text = error.message if own else f"backend {scheme}: {type(error).__name__}: {error}"
        out = err.contents
        out.code, out.sys = code, error.sys if own else getattr(error, "errno", None) or 0
        out.have, out.need = (error.have, error.need) if own else (0, 0)
        out.msg = text.replace("\0", "?").encode("utf-8", "replace")[:511].decode("utf-8", "ignore").encode("utf-8")
    return code


def _quietly(scheme, fn):
    """Calls what nobody waits for."""
    try:
        fn()
    except BaseException as e:  # pylint: disable=broad-except
        log.error("backend %s failed while it was closed: %s", scheme, e, exc_info=e)
        if not isinstance(e, Exception):
            pass_up(e)


def _slot(name, table):
    """Decorates fn(object, arguments): a slot of that name; what fn raises is the slot's error, its last argument. Texts are addresses,
    since they may hold NULs.
    """
    def make(fn):
        def slot(key, *args):
            scheme = name
            try:
                obj = table[key]
                scheme = obj.scheme
                fn(obj, *args[:-1])
                return 0
            except BaseException as e:  # pylint: disable=broad-except
                return failed(scheme, e, args[-1])
        kind = _slot_types[name]
        _slots.append(C.CFUNCTYPE(kind._restype_, *[C.c_void_p if a is C.c_char_p else a for a in kind._argtypes_])(slot))
        return C.cast(_slots[-1], kind)
    return make


def _add_session(model, state, n_ctx, out):
    session = _Session(model, state, n_ctx)
    _sessions[session.address] = session
    out[0] = session.address


@_slot("open", _boxes)
def _open_fn(box, args, out):
    given = args.contents
    obj = box.fn()
    config = given.config.contents
    obj.open(string(given.path), {"uri": string(given.uri), "n_ctx": config.n_ctx, "n_threads": config.n_threads})
    key = next(_model_keys)
    _models[key] = _Model(box.scheme, obj)
    out[0] = key


@_slot_types["close"]
def _close_fn(key):
    model = _models.pop(key)
    _quietly(model.scheme, model.obj.close)


@_slot_types["info"]
def _info_fn(key, out):
    size = out.contents.struct_size
    C.memmove(out, C.byref(_models[key].info), min(size, C.sizeof(c.aios_model_info)))
    out.contents.struct_size = size
    return 0


@_slot("session_new", _models)
def _session_new_fn(model, cfg, out):
    most, wanted = model.info.n_ctx, cfg.contents.n_ctx
    if most and wanted > most:
        raise Error(c.AIOS_ECONTEXT, f"a session of {wanted} tokens was asked for, the model has {most}", most, wanted)
    _add_session(model, model.obj.session(), wanted or most, out)


@_slot_types["session_free"]
def _session_free_fn(key):
    session = _sessions.pop(key)
    _quietly(session.scheme, session.stop)


@_slot("start", _sessions)
def _start_fn(session, req):
    session.start(TurnRequest(req.contents, session))


@C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.c_void_p)
def _step_fn(key, sink, err):
    session = None
    try:
        session = _sessions[key]
        return session.step(sink)
    except BaseException as e:  # pylint: disable=broad-except
        scheme = "step"
        if session is not None:
            scheme = session.scheme
            _quietly(scheme, session.stop)
        return failed(scheme, e, C.cast(err, C.POINTER(c.aios_error)))


@_slot("fork", _sessions)
def _fork_fn(session, out):
    _add_session(session.model, session.model.obj.fork(session.state), session.n_ctx, out)


@_slot("count", _sessions)
def _count_fn(session, req, out):
    out[0] = whole(C.c_uint32, session.model.obj.count(TurnRequest(req.contents, session)), "what count() returns")


@_slot("prewarm", _sessions)
def _prewarm_fn(session, req):
    session.model.obj.prewarm(TurnRequest(req.contents, session))


def _copy_out(row, given, room, n_out, what):
    """Copies a row of C to where there is room for so many, if there is a place at all, and says how many there are."""
    n_out[0] = len(row)
    if given and len(row) > room:
        raise Error(c.AIOS_ELIMIT, f"the text has {len(row)} {what}, but there is room for {room}", room, len(row))
    if given and len(row):
        C.memmove(given, row, C.sizeof(row))


@_slot("embed", _models)
def _embed_fn(model, text, n, out, n_out):
    numbers = list(model.obj.embed(string(C.string_at(text, n))))
    if len(numbers) != n_out:
        raise Error(c.AIOS_EINVAL, f"the embedding has {len(numbers)} numbers, but {n_out} were asked for", len(numbers), n_out)
    C.memmove(out, (C.c_float * n_out)(*numbers), C.sizeof(C.c_float) * n_out)


@_slot("tokenize", _models)
def _tokenize_fn(model, text, n, flags, ids, room, n_out):
    tokens = list(model.obj.tokenize(string(C.string_at(text, n)), bool(flags & c.AIOS_TOKENIZE_SPECIAL), bool(flags & c.AIOS_TOKENIZE_BOS)))
    _copy_out((C.c_int32 * len(tokens))(*[whole(C.c_int32, i, "a token") for i in tokens]), ids, room, n_out, "tokens")


@_slot("detokenize", _models)
def _detokenize_fn(model, ids, n, out, room, n_out):
    text = data(model.obj.detokenize(ids[:n]), "what detokenize() returns")
    _copy_out((C.c_char * len(text)).from_buffer_copy(text), out, room, n_out, "bytes")


def _write(fn, user, text, what):
    raw = data(text, what)
    rc = fn(user, raw, len(raw))
    if rc:
        raise Error(rc if rc < 0 else c.AIOS_EIO, "the receiver stopped")


@_slot("render", _models)
def _render_fn(model, req, fn, user):
    _write(fn, user, model.obj.render(TurnRequest(req.contents)), "what render() returns")


@_slot("list", _models)
def _list_fn(model, fn, user):
    _write(fn, user, json.dumps(model.obj.models(), ensure_ascii=False, allow_nan=False), "a list of models")


ALWAYS = {"open": _open_fn, "close": _close_fn, "info": _info_fn, "session_new": _session_new_fn, "session_free": _session_free_fn,
          "start": _start_fn, "step": C.cast(_step_fn, _slot_types["step"]), "cancel": _cancel_fn}
IF_THERE = {"fork": _fork_fn, "count": _count_fn, "prewarm": _prewarm_fn, "embed": _embed_fn, "tokenize": _tokenize_fn,
            "detokenize": _detokenize_fn, "render": _render_fn, "models": _list_fn}
SLOT_OF = {"models": "list"}


def register(ctx, scheme, kind):
    """Registers a class with a context of the library; the box must live as long as models may be opened by it."""
    ops = new(c.aios_backend_ops, name=cstr(scheme), **ALWAYS,
              **{SLOT_OF.get(method, method): slot for method, slot in IF_THERE.items() if _has(kind, method)})
    box = Box(kind)
    box.scheme = str(scheme)
    call(lib.aios_backend_register, ctx, C.byref(ops), box.key)
    return box

# SPDX-License-Identifier: Apache-2.0
"""Tools in Python, the agent loop, its runs."""
from __future__ import annotations

import ctypes as C
import itertools
import json
import threading
from contextlib import ExitStack
from typing import Any, Callable, NamedTuple

from . import _cdef as c
from ._args import choice, cstr, data, function, instance, known, new, seconds_ns
from ._context import Context
from ._events import Event, Label, Reply
from ._lib import SLICE_MS, Box, Error, Handle, ToolError, _boxes, call, lib, log, passed, slices, string
from ._llm import Model, fields_of, sampling_struct, tool_choice_of
from ._memory import Memory
from ._schema import Schema, schema_text
from ._signature import arguments_of, plain, summary
from ._store import Store
from ._telemetry import Telemetry
from ._transcript import Transcript

EFFECTS = {"unsafe": c.AIOS_EFFECT_UNSAFE, "read": c.AIOS_EFFECT_READ, "local": c.AIOS_EFFECT_LOCAL, "keyed": c.AIOS_EFFECT_KEYED}
ASKS = ("ask", "unknown")
VERDICTS = {"allow": c.AIOS_ALLOW, "ask": c.AIOS_ASK, "deny": c.AIOS_DENY, True: c.AIOS_ALLOW, False: c.AIOS_DENY}

COMPACTS = {"none": c.AIOS_COMPACT_NONE, "drop": c.AIOS_COMPACT_DROP, "summarise": c.AIOS_COMPACT_SUMMARISE, "offload": c.AIOS_COMPACT_OFFLOAD}

_tools = {}  # key -> _Tool, until the toolset in C lets it go
_tool_keys = itertools.count(1)
_thread = threading.local()


class Call:
    """What a tool may know of its call, if it asks for it by pass_call=True. key names it among all of all runs, and is the same each
    time that it is made or reconciled, also after a crash; traceparent: for those whom the tool calls.
    """

    def __init__(self, ptr):
        self._ptr = ptr
        self.id, self.name, self.key = (string(f(ptr)) for f in (lib.aios_call_id, lib.aios_call_name, lib.aios_call_key))
        self.traceparent = string(lib.aios_call_traceparent(ptr))

    @property
    def cancelled(self) -> bool:
        """True: the run was cancelled or the time of the call is over."""
        return self._ptr is not None and bool(lib.aios_call_cancelled(self._ptr))


def _result_text(value):
    if value is None:
        return ""
    return value if isinstance(value, (str, bytes)) else json.dumps(value, ensure_ascii=False, default=plain)


class _Tool:
    def __init__(self, fn, pass_call, read, reconcile):
        self.fn, self.pass_call, self.read, self.reconcile = fn, pass_call, read, reconcile

    def result(self, ptr, handle):
        arguments = self.read(json.loads(lib.aios_call_args(ptr)))
        return _result_text(self.fn(handle, **arguments) if self.pass_call else self.fn(**arguments))

    def found(self, ptr, handle):
        """What a call that was begun before a crash has come to, or None."""
        value = self.reconcile(handle, **self.read(json.loads(lib.aios_call_args(ptr))))
        return None if value is None else _result_text(value)


def _report(handle, error):
    """No exception of a tool is lost: the run has it, the log has it, and one that means "end" ends the run."""
    run = getattr(_thread, "run", None)
    if run is not None:
        run.tool_errors.append((handle.name, handle.id, error))
        if not isinstance(error, Exception):
            run._fail(error)
    if not isinstance(error, ToolError):
        log.error("tool %s failed: %s", handle.name, error, exc_info=error)


@c.aios_tool_fn
def _tool_fn(user, ptr):
    status, out, handle = 0, b"", None
    try:
        handle = Call(ptr)
        out = _tools[user].result(ptr, handle)
        out = out if isinstance(out, bytes) else out.encode("utf-8", "replace")
    except BaseException as e:  # pylint: disable=broad-except
        try:
            status = c.AIOS_ETOOL
            text = str(e) if isinstance(e, ToolError) else f"{type(e).__name__}: {e}"
            out = text.encode("utf-8", "replace")
            _report(handle, e)
        except BaseException:  # pylint: disable=broad-except
            log.critical("tool failed", exc_info=True)
    if handle is not None:
        handle._ptr = None  # the call is not touched once it is finished
    lib.aios_call_finish(ptr, status, out, len(out))
    return 0


@dict(c.aios_tool._fields_)["reconcile"]
def _reconcile_fn(user, ptr):
    status, out, handle = c.AIOS_EUNKNOWN, b"", None
    try:
        handle = Call(ptr)
        text = _tools[user].found(ptr, handle)
        status = c.AIOS_ENOENT if text is None else 0
        out = text if isinstance(text, bytes) else (text or "").encode("utf-8", "replace")
    except BaseException as e:  # pylint: disable=broad-except
        status = c.AIOS_EUNKNOWN
        _report(handle, e)
    if handle is not None:
        handle._ptr = None
    lib.aios_call_finish(ptr, status, out, len(out))
    return 0


@dict(c.aios_tool._fields_)["release"]
def _release_fn(user):
    _tools.pop(user, None)


class Action:
    """A call about to happen, for a policy: tool, call_id, arguments, effect, label (of all that the model has seen), run, step,
    depth (0: the agent's own, else of one that it called, so many levels below)."""

    def __init__(self, a):
        self.tool, self.call_id, self.arguments = string(a.tool), string(a.call_id), json.loads(a.args_json or b"{}")
        self.effect = next((k for k, v in EFFECTS.items() if v == a.effect), "unsafe")
        self.label = Label(a.context.integrity, a.context.confidentiality)
        self.run, self.step, self.depth = a.run, a.step, a.depth


@dict(c.aios_policy._fields_)["decide"]
def _decide_fn(user, action, out):
    try:
        box = _boxes.get(user)
        answer = box.fn(Action(action.contents))
        verdict, reason = answer if isinstance(answer, tuple) else (answer, "")
        out.contents.reason = data(reason, "a policy's reason")[:255]
        out.contents.verdict = choice(VERDICTS, verdict, "a policy's verdict")
        return 0
    except BaseException as e:  # pylint: disable=broad-except
        run = getattr(_thread, "run", None)
        if run is not None:
            run._fail(e)
        else:
            log.error("the policy failed", exc_info=True)
        return c.AIOS_EDENIED


class AgentTool(NamedTuple):
    """An agent by the name that others call it by (Toolset.add) or hand over to (Agent's handoffs). Made by Agent.as_tool."""
    agent: "Agent"
    name: str
    description: str | None = None
    handle: bool = False


class Toolset(Handle):
    """Python functions, and other agents, that a model may call."""

    _destroy, _serial = "aios_toolset_free", True

    def __init__(self, context: Context):
        out = C.c_void_p()
        with instance(context, Context, "context")._pin() as ctx:
            call(lib.aios_toolset_new, ctx, C.byref(out))
        self._context, self._agents = context, []
        self._own(out.value)

    def _add_agent(self, tool):
        spec = new(c.aios_agent_tool, name=cstr(tool.name), description=cstr(tool.description), flags=c.AIOS_TOOL_HANDLE if tool.handle else 0)
        with self._pin() as ts, instance(tool.agent, Agent, "agent")._pin() as a:
            call(lib.aios_toolset_add_agent, ts, a, C.byref(spec))
        self._agents.append(tool.agent)  # its policy lives in it
        return tool

    def add(self, fn: Callable, schema: Schema | None = None, name: str | None = None, description: str | None = None, effect: str = "unsafe",
            any_thread: bool = False, trusted: bool = False, timeout: float = 0, pass_call: bool = False,
            reconcile: Callable | None = None) -> Callable:
        """Adds fn, and gives it back. Its result goes to the model, as it is if it is text, else as JSON. An agent is
        added as agent.as_tool(name).

        schema: of the arguments, with which fn is called as they are in JSON. Without it the schema is made of fn's annotations and
        defaults (schema_of), and arguments come as what is annotated: members of an Enum, dataclasses, sets. name and description: else
        fn's name, and the first line of its docstring. effect: "read" runs without asking under the default policy; "unsafe", "local",
        "keyed". any_thread: it may run beside others. timeout: seconds, 0: the run's. pass_call: a Call is the first argument.
        reconcile(call, ...): asked about a call that was begun before a crash. It returns the result if that had happened, None if it had
        not (it runs now), and raises if it cannot tell; without it the host is asked ("unknown").
        """
        if isinstance(fn, AgentTool):
            return self._add_agent(fn)
        name = name or getattr(function(fn, "a tool"), "__name__", None)
        if not name:
            raise TypeError(f"{fn!r} has no name of its own: give name=")
        form = arguments_of(fn, name, skip=int(pass_call)) if schema is None else None
        description = summary(fn) if description is None else description
        tool = new(c.aios_tool, name=cstr(name), description=cstr(description), schema_json=schema_text(form.schema if form else schema),
                   effect=choice(EFFECTS, effect, "effect"), timeout_ns=seconds_ns(timeout, "timeout"),
                   flags=(c.AIOS_TOOL_ANY_THREAD if any_thread else 0) | (c.AIOS_TOOL_TRUSTED if trusted else 0),
                   fn=_tool_fn, release=_release_fn, user=next(_tool_keys))
        if reconcile is not None:
            tool.reconcile = _reconcile_fn
        _tools[tool.user] = _Tool(fn, pass_call, form.read if form else dict, reconcile and function(reconcile, "reconcile"))
        try:
            with self._pin() as ts:
                call(lib.aios_toolset_add, ts, C.byref(tool))
        except BaseException:
            _tools.pop(tool.user, None)
            raise
        return fn

    def tool(self, schema: Schema | Callable | None = None, **options) -> Callable:
        """Decorator form of add: @tools.tool, @tools.tool(effect="read"), @tools.tool({...})."""
        if callable(schema):
            return self.add(schema, **options)
        choice(EFFECTS, options.get("effect", "unsafe"), "effect")
        return lambda fn: self.add(fn, schema, **options)

    def add_read_result(self) -> None:
        """Adds "read_result", by which the model reads results that compact="offload" shows by their beginning."""
        with self._pin() as ts:
            call(lib.aios_toolset_add_read_result, ts)

    def add_memory(self, memory: Memory, scope: str = "", scopes: list[str] | None = None, readers: int = 0, min_integrity: int = 0, max_hits: int = 0,
                   ttl: float = 0, read_only: bool = False, forget: bool = False) -> None:
        """Adds "recall", "remember" (but for read_only) and, with forget, "forget" over a Memory. scope: of what is remembered; scopes: others that are
        recalled from; readers: classes that may be recalled though the context has none of them; ttl: seconds that is remembered, 0: for ever.
        """
        also = [cstr(s) for s in scopes or []]
        options = new(c.aios_memory_tools, scope=cstr(scope), n_scopes=len(also), readers=readers, min_integrity=min_integrity, max_hits=max_hits,
                      ttl_us=int(ttl * 1e6), flags=(c.AIOS_MEMORY_TOOLS_READ_ONLY if read_only else 0) | (c.AIOS_MEMORY_TOOLS_FORGET if forget else 0))
        if also:
            options.scopes = (C.c_char_p * len(also))(*also)
        with self._pin() as ts, instance(memory, Memory, "memory")._pin() as m:
            call(lib.aios_toolset_add_memory, ts, m, C.byref(options))

    def __len__(self):
        with self._pin() as ts:
            return lib.aios_toolset_count(ts)

    def names(self) -> list[str]:
        """Names of the tools, in their order."""
        out, tool = [], new(c.aios_tool)
        with self._pin() as ts:
            for i in range(lib.aios_toolset_count(ts)):
                lib.aios_toolset_at(ts, i, C.byref(tool))
                out.append(string(tool.name))
        return out


LIMIT_SECONDS = {"timeout": "timeout_ns", "tool_timeout": "tool_timeout_ns"}


def _limits(options):
    rows = known(options, {*LIMIT_SECONDS, *fields_of(c.aios_limits)} - {*LIMIT_SECONDS.values()}, "limits")
    return new(c.aios_limits, **{LIMIT_SECONDS.get(k, k): seconds_ns(v, k) if k in LIMIT_SECONDS else v for k, v in rows.items()})


async def _readable(fd):
    import asyncio  # pylint: disable=import-outside-toplevel
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _pinned(held, value, kind, what):
    """What the library knows a handle by, for as long as the stack `held`; None stays None."""
    return None if value is None else held.enter_context(instance(value, kind, what)._pin())


def _compact(options):
    rows = known({"policy": options} if isinstance(options, str) else options, fields_of(c.aios_compact), "compact")
    rows = {**rows, "policy": choice(COMPACTS, rows.get("policy", "none"), "compact policy")}
    if "instructions" in rows:
        rows["instructions"] = cstr(rows["instructions"])
    return new(c.aios_compact, **rows)


class Agent(Handle):
    """prompt -> model -> tools -> model ... -> reply.

    policy(action) returns "allow", "ask" or "deny", or a pair of it and the reason; or policy is a dict, the rules of docs/policy.md.
    limits: a dict of max_turns, max_calls, max_tokens, max_turn_tokens, max_result, max_cost (millionths), max_depth, timeout,
    tool_timeout (seconds). schema: the reply is JSON under it. prices: a dict of input, output and cached (input's, if it is not there): of a million tokens, in
    one currency; without it a turn costs what the model says. store: a Store that keeps every run, so that resume goes on with it after
    a crash; cache_dir: folder where it keeps what its session has computed; changed: runs of an agent that was another are resumed all
    the same. telemetry: a Telemetry that is told of every run, name: what it calls the agent. compact: what is done when the context is
    full (docs/context.md): "drop", "summarise", "offload" (with toolset.add_read_result), or a dict of policy, n_ctx, high, low,
    max_summary, min_offload, instructions; without it the run ends with ECONTEXT.
    handoffs: agents, each as agent.as_tool(name), to which a run may be handed: the model sees the tool transfer_to_NAME
    (docs/composition.md).
    """

    _destroy = "aios_agent_free"

    def __init__(self, model: Model, toolset: Toolset | None = None, instructions: str | None = None, schema: Schema | None = None,
                 policy: Callable[[Action], Any] | dict | None = None, limits: dict | None = None, sampling: dict | None = None,
                 tool_choice: str = "auto", tool_name: str | None = None, one_call: bool = False, threaded: bool = False,
                 calibrate: bool = True, min_margin: float = 0, store: Store | None = None, cache_dir: Any = None,
                 telemetry: Telemetry | None = None, name: str | None = None, changed: bool = False, prices: dict | None = None,
                 compact: str | dict | None = None, handoffs: list[AgentTool] | None = None):
        instance(model, Model, "model")
        handoffs = [instance(h, AgentTool, "a handoff") for h in handoffs or []]
        cfg = new(c.aios_agent_config, instructions=cstr(instructions), schema_json=schema_text(schema), tool_name=cstr(tool_name),
                  tool_choice=tool_choice_of(tool_choice, tool_name), min_margin=min_margin, cache_dir=cstr(cache_dir), name=cstr(name),
                  flags=(c.AIOS_AGENT_ONE_CALL if one_call else 0) | (0 if calibrate else c.AIOS_AGENT_PLAIN_CHOICE) |
                  (c.AIOS_AGENT_CHANGED if changed else 0),
                  driver=c.AIOS_DRIVER_THREAD if threaded else c.AIOS_DRIVER_CALLER)
        if limits is not None:
            cfg.limits = C.pointer(_limits(limits))
        if prices is not None:
            rows = known(prices, fields_of(c.aios_prices), "prices")
            cfg.prices = C.pointer(new(c.aios_prices, **{"cached": rows.get("input", 0), **rows}))
        if compact is not None:
            cfg.compact = C.pointer(_compact(compact))
        sampled = sampling_struct(sampling)
        if sampled:
            cfg.sampling = sampled
        self._policy = None if policy is None or isinstance(policy, dict) else Box(function(policy, "policy"))
        if self._policy:
            cfg.policy = C.pointer(new(c.aios_policy, user=self._policy.key, decide=_decide_fn))
        out, rules = C.c_void_p(), C.c_void_p()
        with ExitStack() as held:
            ctx, cfg.model = held.enter_context(model.context._pin()), held.enter_context(model._pin())
            cfg.store, cfg.toolset = _pinned(held, store, Store, "store"), _pinned(held, toolset, Toolset, "toolset")
            cfg.telemetry = _pinned(held, telemetry, Telemetry, "telemetry")
            rows = [new(c.aios_handoff, name=cstr(h.name), description=cstr(h.description), agent=held.enter_context(h.agent._pin()))
                    for h in handoffs]
            cfg.handoffs, cfg.n_handoffs, cfg.handoff_stride = (c.aios_handoff * len(rows))(*rows), len(rows), C.sizeof(c.aios_handoff)
            if isinstance(policy, dict):
                text = json.dumps(policy).encode()
                call(lib.aios_rules_parse, ctx, text, len(text), C.byref(rules))
                cfg.policy = C.pointer(new(c.aios_policy, rules=rules))
            try:
                call(lib.aios_agent_new, ctx, C.byref(cfg), C.byref(out))
            finally:
                lib.aios_rules_free(rules)
        self.model, self.toolset, self.store, self.telemetry = model, toolset, store, telemetry
        self._handoffs = handoffs
        self._own(out.value)

    def as_tool(self, name: str, description: str | None = None, handle: bool = False) -> AgentTool:
        """For Toolset.add: a tool that takes a prompt; each call is a run of this agent, whose events come up with depth 1. handle: an untrusted reply
        stays outside of the context of who calls. For handoffs: to whom a run may be handed.
        """
        return AgentTool(self, name, description, handle)

    def start(self, prompt: str, transcript: Transcript | None = None, run_id: str | None = None, traceparent: str | None = None) -> Run:
        """A Run, to iterate over. transcript is continued if given, and busy until the run is closed. run_id: its name in the store, else
        128 random bits; Error EEXIST: there is a run of that name. traceparent: W3C trace context of who asks for the run.
        """
        return Run(self, prompt, transcript, run_id, traceparent)

    def resume(self, run_id: str) -> Run:
        """The Run of that name goes on where its journal in the store ends: calls whose outcome is known are not made again, those that
        waited for a decision are asked again, and those of which nobody knows whether they happened are "unknown" events. Error ENOENT,
        EBUSY (someone has it), ESTATE (it was begun by another agent).
        """
        return Run._resumed(self, run_id)

    def run(self, prompt: str, on_event: Callable[[Event], Any] | None = None, on_ask: Callable[[Event], Any] | None = None,
            transcript: Transcript | None = None, run_id: str | None = None) -> Reply:
        """Runs to the end; the Reply. on_event(event) returning True cancels; what it raises ends the run and is raised here.
        on_ask(event) answers calls that the policy asks for: True allows, else they are denied.
        """
        with self.start(prompt, transcript, run_id) as run:
            reply = run.finish(on_event, on_ask)
        if transcript is not None:
            reply.transcript = transcript
        return reply


_VERDICTS = {"allow": c.AIOS_ALLOW, "deny": c.AIOS_DENY}


def _verdict(answer):
    """What aios_run_decide takes. A word that is not known allows nothing."""
    if answer is None or isinstance(answer, bool):
        return c.AIOS_UNASKED if answer is None else c.AIOS_ALLOW if answer else c.AIOS_DENY
    verdict = _VERDICTS.get(answer) if isinstance(answer, str) else answer if answer in _VERDICTS.values() else None
    if verdict is None:
        raise ValueError(f'an answer is True or "allow", False or "deny", not {answer!r}')
    return verdict


class Run(Handle):
    """Iterates over the events of a run, by for or async for; a failure of the run is raised. A call that is asked for ("ask", "unknown")
    and not decided when the iteration goes on is denied. tool_errors: (tool, call_id, exception) of tools that raised.
    """

    _destroy = "aios_run_free"

    def __init__(self, agent: Agent, prompt: str, transcript: Transcript | None = None, run_id: str | None = None,
                 traceparent: str | None = None):
        raw, out = data(prompt, "prompt"), C.c_void_p()
        instance(agent, Agent, "agent")
        options = new(c.aios_run_options, prompt=raw, n_prompt=len(raw), id=cstr(run_id), traceparent=cstr(traceparent))
        options.transcript = instance(transcript, Transcript, "transcript")._lend() if transcript is not None else None
        try:
            with agent._pin() as a:
                call(lib.aios_run_start_with, a, C.byref(options), C.byref(out))
        except BaseException:
            if transcript is not None:
                transcript._returned()
            raise
        self._begin(agent, out.value, transcript._returned if transcript is not None else None)

    @classmethod
    def _resumed(cls, agent, run_id):
        self, out = cls.__new__(cls), C.c_void_p()
        with agent._pin() as a:
            call(lib.aios_run_resume, a, cstr(run_id), C.byref(out))
        self._begin(agent, out.value, None)
        return self

    def _begin(self, agent, ptr, unpin):
        self.agent, self.reply, self.tool_errors = agent, Reply(), []
        self._asked, self._error, self._over, self._driver = [], None, False, None
        self._policy = agent._policy
        self.id: str = string(lib.aios_run_id(ptr))
        self._own(ptr, unpin)

    def finish(self, on_event: Callable[[Event], Any] | None = None, on_ask: Callable[[Event], Any] | None = None,
               on_unknown: Callable[[Event], Any] | None = None) -> Reply:
        """Goes on to the end; the Reply, with a copy of the conversation. on_event and on_ask as in Agent.run; on_unknown(event) answers
        for calls that a crash cut off: True makes them again, else the model is told that nobody knows whether they happened.
        """
        answers = {"ask": on_ask, "unknown": on_unknown}
        for ev in self:
            if on_event is not None and on_event(ev):
                self.cancel()
            if ev.kind in answers:
                fn = answers[ev.kind]
                self.decide(ev.call_id, (fn(ev) or False) if fn else None)
        self.reply.transcript = self.transcript
        return self.reply

    def __iter__(self):
        return self

    def _deny_asked(self):
        for call_id in list(self._asked):
            self.decide(call_id, None)

    def __aiter__(self):
        return self

    async def __anext__(self):
        self._deny_asked()
        while not self._over:
            ev = self._next(0)
            if ev:
                return ev
            if not self._over:
                await _readable(self.fileno())
        raise StopAsyncIteration

    def __next__(self):
        self._deny_asked()
        while not self._over:
            ev = self._next(SLICE_MS)
            if ev:
                return ev
        raise StopIteration

    def next(self, timeout: float | None = None) -> Event | None:
        """The next event within timeout seconds (0: poll), or None. Nothing is denied on its own: see decide."""
        for ms in slices(timeout):
            ev = None if self._over else self._next(ms)
            if ev or self._over:
                return ev
        return None

    @property
    def running(self) -> bool:
        """More events may come."""
        return not self._over

    def _next(self, timeout_ms):
        ev, out = C.POINTER(c.aios_event)(), None
        outer = getattr(_thread, "run", None)
        with self._pin() as r:
            with self._lock:
                driver = self._driver
                if driver not in (None, threading.get_ident()):
                    raise Error(c.AIOS_EBUSY, "another thread is inside this run")
                _thread.run, self._driver = self, threading.get_ident()
            try:
                rc = lib.aios_run_next(r, timeout_ms, C.byref(ev))
                out = Event(ev.contents) if rc == c.AIOS_OK else None
            finally:
                _thread.run, self._driver = outer, driver
        if rc < 0 or rc == c.AIOS_DONE or (out and out.kind in ("done", "error")):
            self._over = True
        error, self._error = self._error or passed(), None
        if error is not None:
            self._over = True
            self.close()
            raise error
        if rc < 0:
            raise Error(rc)
        if out:
            self.reply.add(out)
            if out.kind in ASKS:
                self._asked.append(out.call_id)
            if out.error:
                out.error.text = out.error.text or self.reply.text
                raise out.error
        return out

    def _fail(self, error):
        """From a callback: ends the run, and has _next raise the error."""
        self._error = self._error or error
        lib.aios_run_cancel(self._ptr)

    def decide(self, call_id: str, allow: bool | str | None) -> None:
        """Answers an "ask" event, or an "unknown" one: True ("allow") makes that call again, False ("deny") tells the model that nobody
        knows whether it happened. None: as False where there is nobody to ask, and the model is told so. ValueError: it is none of these.
        """
        verdict = _verdict(allow)
        if call_id in self._asked:
            self._asked.remove(call_id)
        with self._pin() as r:
            call(lib.aios_run_decide, r, cstr(call_id), verdict)

    @property
    def transcript(self) -> Transcript:
        """A copy of the conversation so far."""
        with self._lock:
            if self._driver not in (None, threading.get_ident()):
                raise Error(c.AIOS_EBUSY, "another thread is inside this run")
            out = C.c_void_p()
            with self._pin() as r:
                call(lib.aios_transcript_copy, lib.aios_run_transcript(r), C.byref(out))
        return Transcript._wrap(self.agent.model.context, out.value)

    def cancel(self) -> None:
        """Ends the run; its iterator raises ECANCELED. From any thread."""
        with self._pin() as r:
            lib.aios_run_cancel(r)

    def _interrupt(self):
        lib.aios_run_cancel(self._ptr)

    def fileno(self) -> int:
        """Readable when next(0) has something to do; for select and asyncio."""
        with self._pin() as r:
            fd = lib.aios_run_fd(r)
        if fd < 0:
            raise Error(c.AIOS_ENOTSUP, "this run has no file descriptor")
        return fd

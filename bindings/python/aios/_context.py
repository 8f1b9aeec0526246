# SPDX-License-Identifier: Apache-2.0
"""Context: the root of all objects, and what it tells of the machine and of models not yet opened."""
from __future__ import annotations

import ctypes as C
from typing import TYPE_CHECKING, Any, Callable, Iterable

from . import _cdef as c
from ._args import choice, cstr, function, known, new, whole
from ._lib import Box, Error, Handle, as_dict, box_call, call, lib, raise_passed, string
from ._lib import log as logger
from ._remote import REMOTE_OPTIONS, remote_config

if TYPE_CHECKING:
    from ._backend import Backend, Piece, TurnRequest

LEVELS = {"error": c.AIOS_LOG_ERROR, "warn": c.AIOS_LOG_WARN, "info": c.AIOS_LOG_INFO, "debug": c.AIOS_LOG_DEBUG}


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
            logger.error("callback %r failed", fn, exc_info=True)
            return None
    return Box(run)


def model_config(uri: str, n_ctx: int = 0, n_threads: int = 0, use_mmap: bool = False, template: str | None = None,
                 progress: Callable[[float], Any] | None = None, kv_bits: int = 0, cache_dir: Any = None, cache_bytes: int = 0, **remote):
    """aios_model_config of Python values, and the boxes of progress and of credential."""
    cfg = new(c.aios_model_config, n_ctx=n_ctx, n_threads=n_threads, use_mmap=int(use_mmap), template_text=cstr(template), kv_bits=kv_bits,
              cache_dir=cstr(cache_dir), cache_bytes=cache_bytes)
    box = Box(function(progress, "progress")) if progress is not None else None
    if box:
        cfg.progress, cfg.progress_user = _progress_fn, box.key
    config, credential = remote_config(uri, **known(remote, REMOTE_OPTIONS, "a model behind HTTP"))
    cfg.remote = C.pointer(config)
    return cfg, box, credential


class Context(Handle):
    """The root: memory under a hard budget (bytes; 0: what the machine has), log(level, message), pressure(used, budget, need) -> retry?
    grammar_bytes: memory for compiled grammars that nobody holds.
    """

    _destroy = "aios_ctx_free"

    def __init__(self, budget: int = 0, n_threads: int = 0, cpu: str | None = None, log: Callable[[int, str], Any] | None = None,
                 log_level: str = "warn", pressure: Callable[[int, int, int], Any] | None = None, env: bool = False, grammar_bytes: int = 0):
        cfg = new(c.aios_ctx_config, budget=budget, n_threads=n_threads, cpu=cstr(cpu), log_level=choice(LEVELS, log_level, "log_level"),
                  grammar_bytes=grammar_bytes)
        self._boxes = []
        if log is not None:
            self._boxes.append(_hooked(function(log, "log")))
            cfg.log, cfg.log_user = _log_fn, self._boxes[-1].key
        if pressure is not None:
            self._boxes.append(_hooked(function(pressure, "pressure")))
            cfg.pressure, cfg.pressure_user = _pressure_fn, self._boxes[-1].key
        if env:
            call(lib.aios_config_from_env, C.byref(cfg))
        out = C.c_void_p()
        call(lib.aios_ctx_new, C.byref(cfg), C.byref(out))
        self._own(out.value)

    def usage(self) -> dict:
        """Bytes: budget, used, peak, refused, by_kind and peak_by_kind as dicts."""
        u = new(c.aios_mem_usage)
        with self._pin() as ctx:
            lib.aios_ctx_usage(ctx, C.byref(u))
        out = as_dict(u)
        for row in ("by_kind", "peak_by_kind"):
            out[row] = {text: out[row][number] for _, number, text in c.MEM_KINDS}
        return out

    def set_budget(self, n_bytes: int) -> None:
        """Another budget; Error EBUDGET if more is in use."""
        with self._pin() as ctx:
            call(lib.aios_ctx_set_budget, ctx, whole(C.c_uint64, n_bytes, "n_bytes"))

    def devices(self) -> list[dict]:
        """Facts of each device; the CPU is the first."""
        out = []
        with self._pin() as ctx:
            for i in range(lib.aios_device_count(ctx)):
                info = new(c.aios_device_info)
                if lib.aios_device_info_get(lib.aios_device_at(ctx, i), C.byref(info)) == 0:
                    out.append(as_dict(info))
        return out

    def cpu_info(self) -> dict:
        """Facts of the CPU and of how much of it may be used."""
        info = new(c.aios_cpu_info)
        with self._pin() as ctx:
            rc = lib.aios_cpu_info_get(ctx, C.byref(info))
        if rc < 0:
            raise Error(rc)
        return as_dict(info)

    def load_plugin(self, path: Any) -> None:
        """Loads a shared library with backends, devices or tools."""
        with self._pin() as ctx:
            call(lib.aios_plugin_load, ctx, cstr(path))

    def register_backend(self, scheme: str, backend: type[Backend] | Callable[[TurnRequest], Iterable[Piece]], **facts) -> None:
        """Adds a backend in Python: Model("SCHEME:PATH") of this context opens it. backend is a class derived from Backend, or a function
        turn(request) that gives the pieces of a reply; facts of the latter are the attributes and methods of such a class: n_ctx=4096,
        tools=True, count=fn ... Error EEXIST: the scheme is taken.
        """
        from ._backend import backend_class, register  # pylint: disable=import-outside-toplevel,cyclic-import
        kind = backend_class(scheme, backend, facts)
        with self._pin() as ctx:
            self._boxes.append(register(ctx, scheme, kind))

    def probe(self, uri: str, **options) -> dict:
        """Whether a model could be opened, and if not why, without loading it: state, code, msg, have, need."""
        out = new(c.aios_model_status)
        cfg, *_boxes = model_config(uri, **options)
        with self._pin() as ctx:
            rc = lib.aios_model_probe(ctx, cstr(uri), C.byref(cfg), C.byref(out))
        raise_passed()
        if rc < 0 and not out.code:
            raise Error(rc)
        return {**as_dict(out), "state": lib.aios_model_state_name(out.state).decode()}

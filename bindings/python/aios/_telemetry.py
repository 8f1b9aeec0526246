# SPDX-License-Identifier: Apache-2.0
"""Telemetry: runs told to OpenTelemetry."""
from __future__ import annotations

import ctypes as C
from typing import Any, Callable, Mapping
from urllib.parse import quote

from . import _cdef as c
from ._args import cstr, function, instance, new, seconds_ns, whole
from ._context import Context
from ._lib import Box, Error, Handle, _boxes, as_dict, call, lib, log, string


@dict(c.aios_telemetry_config._fields_)["write"]
def _write_fn(user, signal, json_text, n):
    try:
        box = _boxes.get(user)
        if box is not None:
            box.fn(string(signal), json_text[:n])
        return 0 if box is not None else c.AIOS_ECANCELED
    except BaseException:  # pylint: disable=broad-except
        log.error("the receiver of telemetry failed", exc_info=True)
        return c.AIOS_EIO


def _pairs(rows, what):
    """ "key=value,key=value", percent-encoded, of a dict; text goes as it is."""
    if rows is None or isinstance(rows, str):
        return cstr(rows)
    if not isinstance(rows, Mapping):
        raise TypeError(f"{what} is a dict or a text, not {type(rows).__name__}")
    return cstr(",".join(f"{quote(str(k), safe='')}={quote(str(v), safe='')}" for k, v in rows.items()))


class Telemetry(Handle):
    """Tells the runs of agents that have it, as OTLP/JSON: to endpoint (or traces_url and metrics_url) over HTTP, to file, and to
    write(signal, json) on a thread of the library's; signal is "traces" or "metrics". env: what is not given comes from the OTEL_
    variables. content: replies, arguments and results are told too. interval, timeout: seconds, 0: the default.
    """

    _destroy = "aios_telemetry_free"

    def __init__(self, context: Context, endpoint: str | None = None, file: Any = None, write: Callable[[str, bytes], Any] | None = None,
                 traces_url: str | None = None, metrics_url: str | None = None, headers: Mapping[str, str] | str | None = None,
                 ca_file: Any = None, service_name: str | None = None, resource: Mapping[str, str] | str | None = None, content: bool = False,
                 max_spans: int = 0, interval: float = 0, timeout: float = 0, env: bool = False):
        cfg = new(c.aios_telemetry_config, endpoint=cstr(endpoint), traces_url=cstr(traces_url), metrics_url=cstr(metrics_url),
                  headers=_pairs(headers, "headers"), ca_file=cstr(ca_file), file=cstr(file), service_name=cstr(service_name),
                  resource=_pairs(resource, "resource"), flags=c.AIOS_TELEMETRY_CONTENT if content else 0, max_spans=max_spans,
                  interval_ns=seconds_ns(interval, "interval"), timeout_ns=seconds_ns(timeout, "timeout"))
        self._box = Box(function(write, "write")) if write is not None else None
        if self._box:
            cfg.write, cfg.user = _write_fn, self._box.key
        if env:
            call(lib.aios_telemetry_config_from_env, C.byref(cfg))
        out = C.c_void_p()
        with instance(context, Context, "context")._pin() as ctx:
            call(lib.aios_telemetry_new, ctx, C.byref(cfg), C.byref(out))
        self._own(out.value, lambda box=self._box: None)  # the last export is made when it is freed

    def flush(self, timeout: float | None = None) -> bool:
        """Exports what there is, within timeout seconds (None: for ever). False: not all is out yet."""
        ms = -1 if timeout is None else whole(C.c_int32, int(timeout * 1000 + 0.999), "timeout")
        with self._pin() as tm:
            rc = lib.aios_telemetry_flush(tm, ms)
        if rc < 0:
            raise Error(rc)
        return rc == c.AIOS_OK

    def info(self) -> dict:
        """n_spans that ended, n_sent and n_dropped of them."""
        out = new(c.aios_telemetry_info)
        with self._pin() as tm:
            rc = lib.aios_telemetry_info_get(tm, C.byref(out))
        if rc < 0:
            raise Error(rc)
        return as_dict(out)

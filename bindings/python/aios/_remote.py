# SPDX-License-Identifier: Apache-2.0
"""Models behind HTTP: how they are reached, by what right, and within which limits."""
from __future__ import annotations

import ctypes as C
import inspect
from typing import Any, Callable, Mapping

from . import _cdef as c
from ._args import cstr, data, function, new, seconds_ns
from ._lib import Box, call, code_of, lib, log, pass_up, string, _boxes

NO_RETRIES = 0xFFFFFFFF  # AIOS_NO_RETRIES


@c.aios_credential_fn
def _credential_fn(user, origin, out, n):
    try:
        box = _boxes.get(user)
        if box is None:
            return c.AIOS_EAUTH
        key = box.fn(string(origin))
        raw = b"" if key is None else data(key, "what a credential function returns")
        if len(raw) >= n or b"\0" in raw:
            raise ValueError(f"a credential function returned {len(raw)} bytes: a key has at most {n - 1}, and no NUL character")
        C.memmove(out, raw + b"\0", len(raw) + 1)
        return 0
    except BaseException as e:  # pylint: disable=broad-except
        log.error("the credential function failed: %s", type(e).__name__)  # its text could hold a key
        pass_up(e)
        return code_of(e, c.AIOS_EAUTH)


def _headers(rows: Mapping[str, str] | None):
    """Lines "Name: value", NULL-terminated; what is wrong is told without the value."""
    if rows is None:
        return None
    if not isinstance(rows, Mapping):
        raise TypeError(f"headers is a dict, not {type(rows).__name__}")
    lines = []
    for name, value in rows.items():
        line = data(name, "the name of a header") + b": " + data(value, f"the header {name}")
        if any(b < 32 for b in line):
            raise ValueError(f"the header {name} holds a line break or another control character")
        lines.append(line)
    return (C.c_char_p * (len(lines) + 1))(*lines, None)


def remote_config(uri: str, env: bool = True, api_key: str | None = None, base_url: str | None = None,
                  credential: Callable[[str], str | None] | None = None, headers: Mapping[str, str] | None = None, proxy: str | None = None,
                  ca_file: Any = None, plain_http: bool = False, keep: bool = False, max_retries: int | None = None,
                  connect_timeout: float = 0, first_byte_timeout: float = 0, idle_timeout: float = 0, total_timeout: float = 0,
                  max_body: int = 0, requests_per_minute: int = 0, tokens_per_minute: int = 0):
    """aios_remote_config of Python values, and the box of credential."""
    cfg = new(c.aios_remote_config, base_url=cstr(base_url), api_key=cstr(api_key), proxy=cstr(proxy), ca_file=cstr(ca_file),
              flags=(c.AIOS_REMOTE_PLAIN_HTTP if plain_http else 0) | (c.AIOS_REMOTE_KEEP if keep else 0),
              max_retries=0 if max_retries is None else max_retries or NO_RETRIES, connect_ns=seconds_ns(connect_timeout, "connect_timeout"),
              first_byte_ns=seconds_ns(first_byte_timeout, "first_byte_timeout"), idle_ns=seconds_ns(idle_timeout, "idle_timeout"),
              total_ns=seconds_ns(total_timeout, "total_timeout"), max_body=max_body, requests_per_min=requests_per_minute,
              tokens_per_min=tokens_per_minute)
    lines, box = _headers(headers), None
    if lines is not None:
        cfg.headers = lines
    if credential is not None:
        if api_key is not None:
            raise TypeError("give api_key or credential, not both")
        box = Box(function(credential, "credential"))
        cfg.credential, cfg.credential_user = _credential_fn, box.key
    if env:
        call(lib.aios_remote_config_from_env, cstr(uri), C.byref(cfg))
    return cfg, box


REMOTE_OPTIONS = tuple(inspect.signature(remote_config).parameters)[1:]

# SPDX-License-Identifier: Apache-2.0
"""Values held against a JSON schema, without a model."""
from __future__ import annotations

import ctypes as C
import json
from typing import Any, Mapping, NamedTuple, Union

from . import _cdef as c
from ._args import data, instance
from ._context import Context
from ._lib import Box, Error, box_call, call, lib, string

Schema = Union[Mapping[str, Any], bool, str, bytes]


class Violation(NamedTuple):
    """One place where a value breaks its schema: path is a JSON pointer into the value, schema_path one into the schema ("#/properties/a")."""

    path: str
    schema_path: str
    keyword: str
    message: str


def schema_text(schema: Schema | None) -> bytes | None:
    """JSON text of a schema, which is a dict, True, False or text already; None stays None."""
    if schema is None:
        return None
    if isinstance(schema, Mapping):
        schema = json.dumps(dict(schema), allow_nan=False)
    elif isinstance(schema, bool):
        schema = json.dumps(schema)
    text = data(schema, "a schema that is no dict, True or False")
    if b"\0" in text:
        raise ValueError("a NUL character is not possible in a schema")
    return text


def _value_text(value: Any) -> bytes:
    return data(value if isinstance(value, (str, bytes, bytearray)) else json.dumps(value, ensure_ascii=False, allow_nan=False))


@c.aios_violation_fn
def _violation_fn(user, v):
    row = v.contents
    return box_call(user, 1, Violation(*(string(getattr(row, f)) for f in Violation._fields)))


def _judge(context, schema, value, formats, fn):
    """The one place that calls the library's check: the first violation is raised (fn None), or fn is told of each and ends it by a 1."""
    instance(context, Context, "context")
    text, got, box = schema_text(schema), _value_text(value), Box(fn) if fn else None
    if text is None:
        raise TypeError("schema is a dict, True, False or JSON text, not None")
    flags = 0 if formats else c.AIOS_SCHEMA_FORMAT_NOTE
    try:
        with context._pin() as ctx:
            call(lib.aios_schema_check_as, ctx, flags, text, len(text), got, len(got),
                 _violation_fn if box else c.aios_violation_fn(), box.key if box else None)
    finally:
        if box:
            box.reraise()


def schema_check(context: Context, schema: Schema, value: Any, *, formats: bool = True) -> None:
    """Raises Error ESCHEMA, with the path of the first violation, if value breaks its schema or the schema itself is wrong.

    value: JSON text (str or bytes), or anything else that json.dumps takes: a text as a value is json.dumps(text). formats=False makes
    formats notes, as JSON Schema has them by default. EFORMAT: the text is no JSON.
    """
    _judge(context, schema, value, formats, None)


def schema_violations(context: Context, schema: Schema, value: Any, *, formats: bool = True, limit: int | None = None) -> list[Violation]:
    """Every place where value breaks its schema, the first `limit` of them; [] if it holds. Alternatives (anyOf, oneOf, not, contains)
    count as one. Arguments and errors as of schema_check, but that violations are not raised.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: it may be 1 or more, or None")
    rows: list[Violation] = []

    def tell(row):
        rows.append(row)
        return int(len(rows) == limit)
    try:
        _judge(context, schema, value, formats, tell)
    except Error as e:
        if e.code != c.AIOS_ESCHEMA or not e.have:
            raise
    return rows

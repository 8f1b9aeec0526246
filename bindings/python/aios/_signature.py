# SPDX-License-Identifier: Apache-2.0
"""The schema of a function's arguments, from its annotations and defaults, and arguments read as what these say."""
from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import inspect
import json
import types
import typing
from typing import Any, Callable, NamedTuple

EMPTY = inspect.Parameter.empty


class Form(NamedTuple):
    """How values of one type look in JSON, and what reads one back; ValueError if it does not fit. hashable: a set may have them."""

    schema: dict
    read: Callable[[Any], Any]
    hashable: bool = True


def _same(value):
    return value


def _fits(kinds, also=_same):
    def read(value):
        if not isinstance(value, kinds) or isinstance(value, bool) and bool not in kinds:
            raise ValueError(f"{value!r} is not {' or '.join(k.__name__ for k in kinds)}")
        return also(value)
    return read


def _whole(value):
    if value != int(value):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


PLAIN = {
    str: Form({"type": "string"}, _fits((str,))),
    int: Form({"type": "integer"}, _fits((int, float), _whole)),
    float: Form({"type": "number"}, _fits((int, float), float)),
    bool: Form({"type": "boolean"}, _fits((bool,))),
    type(None): Form({"type": "null"}, _fits((type(None),))),
}
ANY = Form({}, _same)


def _item(args, where, inside):
    return form_of(args[0], where, inside) if args else ANY


def _array(item, make, hashable=False, **more):
    schema = {"type": "array", **({"items": item.schema} if item.schema else {}), **more}
    return Form(schema, _fits((list,), lambda v: make(item.read(x) for x in v)), hashable)


def _list(args, where, inside):
    return _array(_item(args, where, inside), list)


def _set(make):
    def form(args, where, inside):
        item = _item(args, where, inside)
        if not item.hashable:
            raise TypeError(f"{where}: items of a set are hashable, which {args[0]!r} is not: annotate a list, or give schema=")
        return _array(item, make, make is frozenset, uniqueItems=True)
    return form


def _tuple(args, where, inside):
    if not args or args[-1] is Ellipsis:
        item = _item(args[:1], where, inside)
        return _array(item, tuple, item.hashable)
    items = [form_of(a, where, inside) for a in args]
    schema = {"type": "array", "prefixItems": [i.schema for i in items], "items": False, "minItems": len(items)}
    return Form(schema, _fits((list,), lambda v: tuple(i.read(x) for i, x in zip(items, v))), all(i.hashable for i in items))


def _dict(args, where, inside):
    if not args:
        return Form({"type": "object"}, _fits((dict,)), False)
    if args[0] not in (str, Any):
        raise TypeError(f"{where}: keys of a dict are str, not {args[0]!r}")
    value = form_of(args[1], where, inside)
    schema = {"type": "object", "additionalProperties": value.schema}
    return Form(schema, _fits((dict,), lambda v: {k: value.read(x) for k, x in v.items()}), False)


def _union(args, where, inside):
    forms = [form_of(a, where, inside) for a in args]

    def read(value):
        for form in forms:
            try:
                return form.read(value)
            except (TypeError, ValueError):
                pass
        raise ValueError(f"{value!r} is none of its alternatives")
    return Form({"anyOf": [f.schema for f in forms]}, read, all(f.hashable for f in forms))


def _member_text(member):
    """What JSON has for a member of an Enum: its value, or its name where the value is no text or number."""
    return member.value if isinstance(member.value, (str, int, float)) else member.name


def _listed(values, where):
    """Of what may be chosen: each is listed as what JSON has for it."""
    rows = [(_member_text(v) if isinstance(v, enum.Enum) else v, v) for v in values]
    seen: dict = {}
    for text, meant in rows:
        if not isinstance(text, (str, int, float, bool, type(None))):
            raise TypeError(f"{where}: {text!r} cannot be written in JSON")
        other = seen.setdefault((text, isinstance(text, bool)), meant)
        if other is not meant:
            raise TypeError(f"{where}: {other!r} and {meant!r} would both be {text!r} in JSON: name one otherwise, or give schema=")

    def read(value):
        for text, meant in rows:
            if text == value and isinstance(text, bool) == isinstance(value, bool):
                return meant
        raise ValueError(f"{value!r} is none of {', '.join(repr(t) for t, _ in rows)}")
    return Form({"enum": [t for t, _ in rows]}, read)


def _literal(args, where, _inside):
    return _listed(args, where)


def _annotated(args, where, inside):
    form, more = form_of(args[0], where, inside), {}
    for note in args[1:]:
        more.update({"description": note} if isinstance(note, str) else note if isinstance(note, dict) else {})
    return form._replace(schema={**form.schema, **more})


def _inner(args, where, inside):
    return form_of(args[0], where, inside)


_SEQUENCES = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_NAMES = ("Required", "NotRequired", "ReadOnly", "Final")
GENERIC = {
    **dict.fromkeys(_SEQUENCES, _list), tuple: _tuple, set: _set(set), frozenset: _set(frozenset), collections.abc.Set: _set(set),
    dict: _dict, collections.abc.Mapping: _dict, collections.abc.MutableMapping: _dict, typing.Union: _union,
    getattr(types, "UnionType", typing.Union): _union, typing.Literal: _literal, typing.Annotated: _annotated,
    **{getattr(typing, n): _inner for n in _NAMES if hasattr(typing, n)},
}


def _default_text(value):
    """A default as JSON has it; EMPTY if it cannot be written."""
    value = plain(value) if isinstance(value, enum.Enum) or _is_dataclass(value) else value
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return EMPTY


def _is_dataclass(value):
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _hint(hint, default):
    """The annotation, or what a default says of a parameter without one. A default of None may be given too."""
    if hint is EMPTY:
        return Any if default in (EMPTY, None) else type(default) if type(default) in (*PLAIN, list, dict) else Any
    return typing.Optional[hint] if default is None and hint not in (Any, object) else hint


def _object(rows, where, inside, make=None, others=None):
    """Of rows of name, annotation, default and whether it is required; others: the form of further members."""
    schema: dict = {"type": "object", "properties": {}, "required": [], "additionalProperties": others.schema if others else False}
    reads = {}
    for name, hint, default, required in rows:
        form = form_of(_hint(hint, default), f"{where}.{name}", inside)
        text = EMPTY if default is EMPTY else _default_text(default)
        schema["properties"][name] = form.schema if text is EMPTY else {**form.schema, "default": text}
        reads[name] = form.read
        if required:
            schema["required"].append(name)

    def read(value):
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is no object")
        out = {}
        for name, member in value.items():
            try:
                out[name] = reads.get(name, others.read if others else _same)(member)
            except ValueError as e:
                raise ValueError(f"{name}: {e}") from None
        return make(**out) if make else out
    return Form(schema, read, bool(make and make.__hash__))


def _called(parameters, hints, where, inside, make=None):
    """The object that holds the arguments of a call."""
    rows, others = [], None
    for p in parameters:
        if p.kind is p.POSITIONAL_ONLY:
            raise TypeError(f"{where}: {p.name} cannot be given by its name, as calls of tools do")
        if p.kind is p.VAR_KEYWORD:
            others = form_of(hints.get(p.name, EMPTY), f"{where}.{p.name}", inside)
        elif p.kind is not p.VAR_POSITIONAL:
            rows.append((p.name, hints.get(p.name, EMPTY), p.default, p.default is EMPTY))
    return _object(rows, where, inside, make, others)


def _dataclass(cls, where, inside):
    fields, parameters = cls.__dataclass_fields__, list(inspect.signature(cls).parameters.values())
    generated = all(p.name in fields and p.annotation == fields[p.name].type for p in parameters)
    # The class knows the modules of inherited annotations, which its __init__ does not.
    return _called(parameters, _hints(cls if generated else cls.__init__, where), where, inside, make=cls)


def _typed_dict(cls, where, inside):
    return _object([(n, h, EMPTY, n in cls.__required_keys__) for n, h in _hints(cls, where).items()], where, inside)


def _enum(cls, where, _inside):
    return _listed(cls, where)


def _class(cls, where, inside):
    if cls in inside:
        raise TypeError(f"{where}: {cls.__name__} holds itself, for which there is no schema here: give schema=")
    within = (*inside, cls)
    if issubclass(cls, enum.Enum):
        return _enum(cls, where, within)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, where, within)
    if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):
        return _typed_dict(cls, where, within)
    return None


def form_of(hint: Any, where: str, inside: tuple = ()) -> Form:
    """The form of a type; TypeError if there is none."""
    hint = getattr(hint, "__supertype__", hint)  # of a NewType
    hint = hint.type if isinstance(hint, dataclasses.InitVar) else hint
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in GENERIC:
        return GENERIC[origin](args, where, inside)
    if hint in (Any, object, EMPTY):
        return ANY
    if isinstance(hint, type):
        form = PLAIN.get(hint) or (GENERIC[hint]((), where, inside) if hint in GENERIC else _class(hint, where, inside))
        if form:
            return form
    raise TypeError(f"{where}: there is no schema for {hint!r}; there is for str, int, float, bool, list, dict, tuple, set, Optional, Union, "
                    "Literal, Enum, dataclasses and TypedDict: annotate it so, or give schema=")


def _hints(owner, where):
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except Exception as e:
        raise TypeError(f"{where}: its annotations cannot be read ({e}): give schema=") from e


def _body(fn):
    """The function that has the annotations."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn.__init__ if isinstance(fn, type) else fn if inspect.isroutine(fn) else type(fn).__call__


def arguments_of(fn: Callable, name: str | None = None, skip: int = 0) -> Form:
    """The form of a function's arguments, without the first `skip`."""
    where = name or getattr(fn, "__name__", type(fn).__name__)
    try:
        parameters = list(inspect.signature(fn).parameters.values())[skip:]
    except ValueError as e:
        raise TypeError(f"{where}: its parameters are not known ({e}): give schema=") from None
    return _called(parameters, _hints(_body(fn), where), where, ())


def schema_of(fn: Callable) -> dict:
    """The schema of fn's arguments that Toolset.add makes of its annotations and defaults; TypeError names what has none."""
    return arguments_of(fn).schema


def summary(fn: Callable) -> str | None:
    """The first line of a docstring; a class's own is not that of its objects."""
    text = inspect.getdoc(fn) if inspect.isroutine(fn) or isinstance(fn, type) else inspect.getdoc(_body(fn))
    return text.strip().splitlines()[0] if text and text.strip() else None


def plain(value: Any) -> Any:
    """For json.dumps: dataclasses as objects, members of an Enum as schemas list them, sets as lists."""
    if isinstance(value, enum.Enum):
        return _member_text(value)
    if _is_dataclass(value):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"a result of type {type(value).__name__} is no JSON")

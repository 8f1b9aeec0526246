# SPDX-License-Identifier: Apache-2.0
"""Long-term memory: labelled texts that are found again by their words."""
from __future__ import annotations

import ctypes as C
import json
from typing import Any, Iterable, NamedTuple

from . import _cdef as c
from ._args import choice, cstr, data, instance, known, new, whole
from ._context import Context
from ._events import Label
from ._lib import Box, Handle, as_dict, box_call, bytes_of, call, lib, string

TOKENIZERS = {None: 0, "words": c.AIOS_MEMORY_WORDS, "trigrams": c.AIOS_MEMORY_TRIGRAMS}
_ITEM = {"text", "scope", "kind", "tags", "source", "key", "label", "expires", "replace"}


class Memory(Handle):
    """Texts in a file (sqlite:FILE) or in this object (memory:). add, search, list, count, get, find, remove, check; `with` closes it.

    tokenizer: "words" (without case and marks), or "trigrams" for parts of words and languages without blanks; of a file that is there it is the file's.
    max_items, max_bytes: 0 for a million, a GiB; evict: what is new takes the room of the oldest of least integrity.
    """

    _destroy = "aios_memory_close"

    def __init__(self, uri: str = "memory:", context: Context | None = None, tokenizer: str | None = None, max_items: int = 0, max_bytes: int = 0,
                 read_only: bool = False, relaxed: bool = False, evict: bool = False):
        self.context = Context() if context is None else instance(context, Context, "context")
        flags = (c.AIOS_MEMORY_READ_ONLY if read_only else 0) | (c.AIOS_MEMORY_RELAXED if relaxed else 0) | (c.AIOS_MEMORY_EVICT if evict else 0)
        cfg = new(c.aios_memory_config, flags=flags, tokenizer=choice(TOKENIZERS, tokenizer, "tokenizer"), max_items=max_items, max_bytes=max_bytes)
        out = C.c_void_p()
        with self.context._pin() as ctx:
            call(lib.aios_memory_open, ctx, cstr(uri), C.byref(cfg), C.byref(out))
        self._own(out.value)

    def add(self, text: str, **fields) -> int:
        """Remembers a text; its id. scope: whose it is; kind; tags: a dict of texts, numbers, booleans; source; key: unique, what is there under it stays
        (replace=True: goes); label: a Label, else untrusted and public; expires: seconds since 1970.
        """
        return self.add_all([{"text": text, **fields}])[0]

    def add_all(self, items: Iterable[dict]) -> list[int]:
        """Remembers all of them, or none; each is a dict of what add takes."""
        structs = [_item(known(i, _ITEM, "an item")) for i in items]
        array, ids = (c.aios_item * len(structs))(*structs), (C.c_uint64 * len(structs))()
        with self._pin() as m:
            call(lib.aios_memory_add, m, array, len(structs), C.sizeof(c.aios_item), ids)
        return list(ids)

    def search(self, text: str, **view) -> list[Hit]:
        """The best items for some of the words, best first. scopes: names, else "" alone; any_scope; readers: set of classes that may be seen;
        min_integrity: LABEL_x; max_hits (10); kind, tags, since, until (seconds since 1970).
        """
        return self._hits(lib.aios_memory_search, _query(data(text, "text"), view))

    def list(self, **view) -> list[Hit]:
        """Items from the newest on; view as in search."""
        return self._hits(lib.aios_memory_list, _query(None, view))

    def count(self, **view) -> int:
        """How many items list would give."""
        n = C.c_uint64()
        with self._pin() as m:
            call(lib.aios_memory_count, m, C.byref(_query(None, view)), C.byref(n))
        return n.value

    def get(self, id: int, **view) -> Hit:  # pylint: disable=redefined-builtin
        """One item; without a view whoever may see it."""
        return self._hits(lambda m, q, *rest: lib.aios_memory_get(m, whole(C.c_uint64, id, "id"), q, *rest), _query(None, view) if view else None)[0]

    def find(self, key: str) -> int:
        """Id of the item under a key."""
        out = C.c_uint64()
        with self._pin() as m:
            call(lib.aios_memory_find, m, cstr(key), C.byref(out))
        return out.value

    def remove(self, id: int, **view) -> None:  # pylint: disable=redefined-builtin
        """Forgets one item."""
        query = _query(None, view) if view else None
        with self._pin() as m:
            call(lib.aios_memory_remove, m, whole(C.c_uint64, id, "id"), C.byref(query) if query is not None else None)

    def check(self) -> None:
        """Reads all of it against its sums; raises what is damaged."""
        with self._pin() as m:
            call(lib.aios_memory_check, m)

    def info(self) -> dict[str, Any]:
        """Name, flags, tokenizer and numbers."""
        out = new(c.aios_memory_info)
        with self._pin() as m:
            lib.aios_memory_info_get(m, C.byref(out))
        return as_dict(out)

    def _hits(self, fn, query):
        hits: list[Hit] = []
        box = Box(lambda h: hits.append(_hit(h.contents)) or 0)
        try:
            with self._pin() as m:
                call(fn, m, C.byref(query) if query is not None else None, _hit_fn, box.key)
        finally:
            box.reraise()
        return hits


class Hit(NamedTuple):
    """An item that was found, copied; times are seconds since 1970, expires None: never."""

    id: int
    text: str
    score: float
    snippet: str
    scope: str
    kind: str
    tags: dict
    source: str
    key: str | None
    label: Label
    created: float
    updated: float
    expires: float | None


@c.aios_hit_fn
def _hit_fn(user, hit):
    return box_call(user, c.AIOS_ECANCELED, hit)


def _hit(h):
    it = h.item.contents
    return Hit(it.id, string(bytes_of(it, "text", it.n_text)), h.score, string(bytes_of(h, "snippet", h.n_snippet)), string(it.scope), string(it.kind),
               json.loads(it.tags_json or b"{}"), string(it.source), string(it.key), Label(it.label.integrity, it.label.confidentiality),
               it.created_us / 1e6, it.updated_us / 1e6, it.expires_us / 1e6 if it.expires_us else None)


def _micros(seconds):
    return int(float(seconds) * 1e6) if seconds else 0


def _tags(tags):
    return None if tags is None else json.dumps(instance(tags, dict, "tags")).encode()


def _item(f):
    raw = data(f.get("text"), "text")
    label = Label(*f.get("label", (c.AIOS_LABEL_UNTRUSTED, 0)))
    item = new(c.aios_item, text=raw, n_text=len(raw), scope=cstr(f.get("scope")), kind=cstr(f.get("kind")), tags_json=_tags(f.get("tags")),
               source=cstr(f.get("source")), key=cstr(f.get("key")), expires_us=_micros(f.get("expires")),
               flags=c.AIOS_ITEM_REPLACE if f.get("replace") else 0)
    item.label.integrity, item.label.confidentiality = whole(C.c_int32, label.integrity, "integrity"), whole(C.c_uint64, label.confidentiality, "confidentiality")
    return item


def _query(text, view):
    f = known(view, {"scopes", "any_scope", "readers", "min_integrity", "max_hits", "kind", "tags", "since", "until"}, "a view")
    scopes = [cstr(s) for s in ([f["scopes"]] if isinstance(f.get("scopes"), str) else f.get("scopes") or [])]
    query = new(c.aios_query, text=text, n_text=len(text or b""), n_scopes=len(scopes), flags=c.AIOS_QUERY_ANY_SCOPE if f.get("any_scope") else 0,
                readers=f.get("readers", 0), min_integrity=f.get("min_integrity", 0), max_hits=f.get("max_hits", 0), kind=cstr(f.get("kind")),
                tags_json=_tags(f.get("tags")), since_us=_micros(f.get("since")), until_us=_micros(f.get("until")))
    if scopes:
        query.scopes = (C.c_char_p * len(scopes))(*scopes)
    return query

"""Canonical bytes of a record: JSON with sorted keys, no spaces, UTF-8, what is None left out.

The same record always gives the same bytes, so a digest of them tells whether two are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from quintet.errors import CorruptStoreError, DataError
from quintet.store.records import KINDS, Record

_LISTS = ("items", "positions", "propensities", "marginals", "candidates")
_FIELDS = {name: tuple(field.name for field in fields(kind)) for name, kind in KINDS.items()}


def encode(record: Record) -> bytes:
    """The canonical bytes of a record, without its kind."""
    values = {name: getattr(record, name) for name in _FIELDS[record.kind]}
    plain = {name: _plain(value) for name, value in values.items() if value is not None}
    text = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def decode(kind: str, body: bytes) -> Record:
    """The record of a kind from its canonical bytes.

    Raises:
        CorruptStoreError: they are not a record of this kind.
    """
    try:
        values = json.loads(body)
        for name in _LISTS:
            if name in values:
                values[name] = tuple(values[name])
        return KINDS[kind](**values)
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise CorruptStoreError(
            f"a record of kind {kind!r} cannot be read back ({type(error).__name__}); "
            "it was altered, or written by a newer version"
        ) from None


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value

"""Canonical bytes of a record: JSON with sorted keys, no spaces, UTF-8, what is None left out.

The same record always gives the same bytes, so a digest of them tells whether two are the same.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

from quintet.errors import CorruptStoreError, DataError, MissingExtraError
from quintet.store.records import KINDS, Record

try:
    import msgspec
except ImportError:
    raise MissingExtraError("the journal", "serve") from None

_LISTS = ("items", "positions", "propensities", "marginals", "candidates")
_FIELDS = {name: sorted(field.name for field in fields(kind)) for name, kind in KINDS.items()}
_GETTERS = {name: attrgetter(*names) for name, names in _FIELDS.items()}
_json = msgspec.json.Encoder(order="sorted", enc_hook=dict).encode  # the hook: of other mappings


def encode(record: Record) -> bytes:
    """The canonical bytes of a record, without its kind."""
    told = zip(_FIELDS[record.kind], _GETTERS[record.kind](record), strict=True)
    return _json({name: value for name, value in told if value is not None})


def decode(kind: str, body: bytes) -> Record:
    """The record of a kind from its canonical bytes.

    Raises:
        CorruptStoreError: they are not a record of this kind.
    """
    try:
        values = msgspec.json.decode(body)
        for name in _LISTS:
            if name in values:
                values[name] = tuple(values[name])
        return KINDS[kind](**values)
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError, DataError) as error:
        raise CorruptStoreError(
            f"a record of kind {kind!r} cannot be read back ({type(error).__name__}); "
            "it was altered, or written by a newer version"
        ) from None

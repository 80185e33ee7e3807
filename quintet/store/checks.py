"""Checks of a record's fields; every message names the field and never repeats the value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from quintet.errors import DataError

LONGEST_ID = 512
LONGEST_TEXT = 4096
LARGEST_DOCUMENT = 64 << 10
DEEPEST = 16
LARGEST_WHOLE = 2**63 - 1
#: on its own it has no bytes in UTF-8
SURROGATE = re.compile("[\ud800-\udfff]")


def text(value: Any, name: str, longest: int = LONGEST_ID) -> None:
    """Text of 1 to ``longest`` characters that every reader takes back as it was."""
    if not isinstance(value, str):
        raise DataError(f"{name}: must be text")
    if not value:
        raise DataError(f"{name}: must not be empty")
    if len(value) > longest:
        raise DataError(f"{name}: longer than {longest} characters")
    _readable(value, name)


def optional_text(value: Any, name: str, longest: int = LONGEST_ID) -> None:
    """None, or what :func:`text` takes."""
    if value is not None:
        text(value, name, longest)


def identifier(value: Any, name: str) -> None:
    """Text, or a whole number of 64 bits; ``True`` is neither."""
    if isinstance(value, str):
        text(value, name)
    else:
        whole(value, name, least=-LARGEST_WHOLE, what="text or a whole number")


def whole(value: Any, name: str, *, least: int, what: str = "a whole number") -> None:
    """A whole number from ``least`` to 2^63 - 1."""
    if type(value) is not int:
        raise DataError(f"{name}: must be {what}")
    if not least <= value <= LARGEST_WHOLE:
        raise DataError(f"{name}: must be from {least} to 2^63 - 1")


def time(value: Any, name: str) -> None:
    """Microseconds since 1970 UTC."""
    whole(value, name, least=-LARGEST_WHOLE, what="whole microseconds since 1970 UTC")


def optional_number(value: Any, name: str) -> None:
    """None, or a finite number that a 64-bit float holds."""
    if value is not None:
        _finite(value, name)


def probability(value: Any, name: str) -> None:
    """A number in (0, 1]."""
    _finite(value, name)
    if not 0 < value <= 1:
        raise DataError(f"{name}: must be above 0 and at most 1")


def probabilities(values: Any, name: str) -> None:
    """Numbers in (0, 1], looked at together; if one is not, each for the reason."""
    sequence(values, name)
    # a NaN passes min and max, but not the sum
    together = set(map(type, values)) == {float} and sum(values) <= len(values)
    if together and min(values) > 0 and max(values) <= 1:
        return
    for value in values:
        probability(value, name)


def flag(value: Any, name: str) -> None:
    """True or False."""
    if type(value) is not bool:
        raise DataError(f"{name}: must be true or false")


def hexadecimal(value: Any, name: str, digits: int) -> None:
    """Lower-case hexadecimal text of so many digits."""
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
        raise DataError(f"{name}: must be {digits} hexadecimal digits")


def owned(user_id: Any, session_id: Any) -> None:
    """A user or a session stands behind a record."""
    if user_id is not None:
        identifier(user_id, "user_id")
    elif session_id is None:
        raise DataError("user_id: give it, or session_id for a session of nobody known")
    optional_text(session_id, "session_id")


def sequence(values: Any, name: str) -> None:
    """A tuple: records are compared and hashed."""
    if not isinstance(values, tuple):
        raise DataError(f"{name}: must be a tuple")


def distinct_ids(values: Any, name: str) -> frozenset[Any]:
    """Ids, none twice; as a set."""
    sequence(values, name)
    if not _plain_texts(values):
        for value in values:
            identifier(value, name)
    distinct = frozenset(values)
    if len(distinct) != len(values):
        raise DataError(f"{name}: an id stands twice")
    return distinct


def _plain_texts(values: tuple[Any, ...]) -> bool:
    """Whether all are good texts, looked at together; if not, each is looked at for the reason."""
    try:
        together = "".join(values)
    except TypeError:  # not all are texts
        return False
    good = "" not in values and (len(together) <= LONGEST_ID or max(map(len, values)) <= LONGEST_ID)
    return good and _unreadable(together) is None


def distinct_positions(values: Any, name: str) -> None:
    """Whole numbers from 1, none twice."""
    sequence(values, name)
    for value in values:
        whole(value, name, least=1)
    if len(set(values)) != len(values):
        raise DataError(f"{name}: a position stands twice")


def same_length(values: Sequence[Any], others: Sequence[Any], name: str, other: str) -> None:
    """Two lists of one length."""
    if len(values) != len(others):
        raise DataError(f"{name}: {len(values)} of them for {len(others)} {other}")


def labels(value: Any, name: str) -> None:
    """Text -> text."""
    if not isinstance(value, Mapping):
        raise DataError(f"{name}: must be an object")
    for key, label in value.items():
        text(key, name)
        text(label, name)


def document(value: Any, name: str) -> None:
    """A JSON object within the limits of size and depth."""
    if not isinstance(value, Mapping):
        raise DataError(f"{name}: must be an object")
    size = _weigh(value, name, 0)
    if size > LARGEST_DOCUMENT:
        raise DataError(f"{name}: larger than {LARGEST_DOCUMENT >> 10} KiB")


def _weigh(value: Any, name: str, depth: int) -> int:
    """Characters of a JSON value, roughly; refuses what JSON has no word for."""
    if depth > DEEPEST:
        raise DataError(f"{name}: nested more than {DEEPEST} deep")
    if value is None or isinstance(value, bool):
        return 5
    if isinstance(value, str):
        _readable(value, name)
        return len(value) + 2
    if isinstance(value, int):
        whole(value, name, least=-LARGEST_WHOLE)
        return 20
    if isinstance(value, float):
        _finite(value, name)
        return 20
    if isinstance(value, Mapping):
        size = 2
        for key, inner in value.items():
            if not isinstance(key, str):
                raise DataError(f"{name}: a key is not text")
            _readable(key, name)
            size += len(key) + 4 + _weigh(inner, name, depth + 1)
        return size
    if isinstance(value, list | tuple):
        return 2 + sum(1 + _weigh(inner, name, depth + 1) for inner in value)
    raise DataError(f"{name}: holds a {type(value).__name__}, which JSON has no word for")


def _readable(value: str, name: str) -> None:
    what = _unreadable(value)
    if what is not None:
        raise DataError(f"{name}: holds {what}")


def _unreadable(value: str) -> str | None:
    """What no reader could take back, if there is any."""
    if "\x00" in value:  # ends a text in many readers
        return "NUL"
    if not value.isascii() and SURROGATE.search(value):
        return "half a surrogate pair"
    return None


def _finite(value: Any, name: str) -> None:
    if type(value) not in (int, float):
        raise DataError(f"{name}: must be a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise DataError(f"{name}: must be a finite number")

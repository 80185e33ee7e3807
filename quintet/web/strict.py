"""JSON as RFC 8259 means it, read without surprises: what two readers could take apart is refused.

Duplicate keys, not-a-number, numbers beyond 64 bits, lone surrogates and NUL pass most parsers, and
come back as errors of the server or as two ids that fall together. Messages say what is wrong and
never repeat what was sent.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote_to_bytes

from quintet.errors import InvalidRequestError

MOST_DIGITS = 19
GREATEST = 2**63 - 1
#: code points that have no character of their own
LONE = re.compile("[\ud800-\udfff\x00]")


def read_json(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        InvalidRequestError: it is not UTF-8 or not JSON, a key stands twice in an object, a number
            is not finite or does not fit in 64 bits, a text holds NUL or half a surrogate pair, or
            it is nested too deep.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError("the body is not UTF-8") from None
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"the body is not JSON (at character {error.pos})") from None
    except RecursionError:
        raise InvalidRequestError("the body is nested too deep") from None
    if "\\u" in text:  # only an escape can say what UTF-8 cannot
        _check_texts(value)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidRequestError("a key stands twice in one object")
    return made


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidRequestError("a number is too large")
    return value


def _int(text: str) -> int:
    if len(text) > MOST_DIGITS + 1 or not -GREATEST - 1 <= (value := int(text)) <= GREATEST:
        raise InvalidRequestError("a whole number does not fit in 64 bits")
    return value


def _constant(name: str) -> NoReturn:
    del name
    raise InvalidRequestError("NaN and Infinity are not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_float, parse_int=_int, parse_constant=_constant
).decode


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        if LONE.search(value):
            raise InvalidRequestError("a text holds NUL or half a surrogate pair")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_texts(key)
            _check_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_texts(inner)


def read_query(query: bytes) -> dict[str, str]:
    """The parameters behind the question mark.

    Raises:
        InvalidRequestError: a parameter stands twice, or is not UTF-8.
    """
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=64
        )
    except (UnicodeDecodeError, ValueError):
        raise InvalidRequestError("the query string cannot be read") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequestError("a query parameter stands twice")
    return found


def check_path(raw_path: bytes) -> None:
    """Refuse a path whose percent escapes are not UTF-8: two such ids would fall together.

    Raises:
        InvalidRequestError: it is not UTF-8.
    """
    if b"%" not in raw_path:
        return
    try:
        unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError("the path is not UTF-8") from None

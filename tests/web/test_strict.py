"""What two readers could take apart is refused, and nothing else is."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.errors import InvalidRequestError
from quintet.web.strict import check_path, read_json, read_query

CLEAN = st.text('aé\n"\\/\U0001f600 \x7f', max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | CLEAN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(CLEAN, inner, max_size=4),
    max_leaves=8,
)
FEW = settings(max_examples=40, deadline=None)


@FEW
@given(VALUES, st.booleans())
def test_what_json_can_say_comes_through(value, escaped) -> None:
    assert read_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a": 1, "a": 1}', "twice"),
        (b'{"a": {"b": 1, "b": 2}}', "twice"),
        (b"NaN", "NaN"),
        (b'{"k": -Infinity}', "NaN"),
        (b"1e400", "too large"),
        (b"-1e999", "too large"),
        (b"9223372036854775808", "64 bits"),
        (b"-9223372036854775809", "64 bits"),
        (b"1" * 5000, "64 bits"),
        (rb'"\ud800"', "surrogate"),
        (rb'{"\udc00x": 1}', "surrogate"),
        (rb'["a\u0000b"]', "NUL"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 100_000, "deep"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"", "not JSON"),
        (b'"a\x01"', "not JSON"),
    ],
)
def test_refused(body, why) -> None:
    with pytest.raises(InvalidRequestError, match=why):
        read_json(body)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read_json(rb'"\ud83d\ude00"') == "\U0001f600"


@FEW
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body) -> None:
    with contextlib.suppress(InvalidRequestError):
        read_json(body)


@FEW
@given(st.text('secrté"', min_size=12, max_size=20))
def test_a_refusal_never_repeats_what_was_sent(secret) -> None:
    body = json.dumps({secret: 1})[:-1].encode() + b", " + json.dumps(secret).encode() + b": 2}"
    with pytest.raises(InvalidRequestError) as error:
        read_json(body)
    assert secret not in str(error.value)


def test_queries() -> None:
    assert read_query(b"a=1&b=%C3%A9&c=") == {"a": "1", "b": "é", "c": ""}
    for wrong in (b"a=1&a=2", b"a=%ff", b"\xff=1", b"&".join(b"k%d=1" % n for n in range(70))):
        with pytest.raises(InvalidRequestError):
            read_query(wrong)


def test_paths_that_would_fall_together_are_refused() -> None:
    check_path(b"/v1/profile/%C3%A9")
    for wrong in (b"/v1/profile/%ff", b"/v1/profile/%fe", b"/v1/profile/%ed%a0%80"):
        with pytest.raises(InvalidRequestError):
            check_path(wrong)

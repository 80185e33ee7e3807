"""Records refuse what some reader could not take back; all others survive the way to disk."""

from __future__ import annotations

import hmac
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.errors import CorruptStoreError, DataError
from quintet.store import Event, Exposure, ItemUpsert, Owner, ProfileEdit, codec
from quintet.store.checks import LARGEST_DOCUMENT, LARGEST_WHOLE, LONGEST_ID
from quintet.store.seal import keyed_hash
from tests.store.conftest import event, exposure

REFUSED_IDS = [
    ("", "must not be empty"),
    ("a\x00b", "holds NUL"),
    ("a\ud800", "half a surrogate pair"),
    ("x" * (LONGEST_ID + 1), "longer than 512"),
    (True, "must be text or a whole number"),
    (1.0, "must be text or a whole number"),
    (LARGEST_WHOLE + 1, "2\\^63 - 1"),
    (b"bytes", "must be text or a whole number"),
    (["a"], "must be text or a whole number"),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED_IDS)
@pytest.mark.parametrize("name", ["user_id", "item_id"])
def test_ids_that_are_refused(name: str, value: Any, reason: str) -> None:
    with pytest.raises(DataError, match=f"{name}: .*{reason}"):
        event(1, **{name: value}) if name == "item_id" else event(1, value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"timestamp": 1.5}, "timestamp: must be whole microseconds"),
        ({"timestamp": True}, "timestamp: must be whole microseconds"),
        ({"value": math.nan}, "value: must be a finite number"),
        ({"value": -math.inf}, "value: must be a finite number"),
        ({"value": "5"}, "value: must be a number"),
        ({"price": 10**400}, "price: must be a finite number"),
        ({"position": 0}, "position: must be from 1"),
        ({"propensity": 0.0}, "propensity: must be above 0"),
        ({"propensity": 1.5}, "propensity: must be above 0"),
        ({"query": "\udfff"}, "query: holds half a surrogate pair"),
        ({"behaviour": ""}, "behaviour: must not be empty"),
        ({"event_id": 7}, "event_id: must be text"),
        ({"session_id": "\x00"}, "session_id: holds NUL"),
    ],
)
def test_events_that_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        event(1, **more)


def test_somebody_stands_behind_an_event() -> None:
    with pytest.raises(DataError, match="user_id: give it, or session_id"):
        event(1, None)
    assert event(1, None, session_id="s").owner == Owner.session("s")
    assert event(1, 7, session_id="s").owner == Owner.user(7)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"items": ("a", "a"), "candidates": None}, "items: an id stands twice"),
        ({"items": ["a", "b"]}, "items: must be a tuple"),
        ({"positions": (1, 1)}, "positions: a position stands twice"),
        ({"positions": (1,)}, "positions: 1 of them for 2 items"),
        ({"propensities": (0.5,)}, "propensities: 1 of them for 2 items"),
        ({"propensities": (0.5, math.nan)}, "propensities: must be a finite number"),
        ({"marginals": (0.5, 0)}, "marginals: must be above 0"),
        ({"candidates": ("item-1",)}, "an item that was shown is not among them"),
        ({"candidates": ("item-1", "item-2", "item-1")}, "candidates: an id stands twice"),
        ({"arms": {"test": ""}}, "arms: must not be empty"),
        ({"delta_offset": -1}, "delta_offset: must be from 0"),
    ],
)
def test_exposures_that_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        exposure(1, **more)


def test_positions_are_counted_where_not_given() -> None:
    assert exposure(1).positions == (1, 2)
    assert exposure(1, positions=(3, 1)).positions == (3, 1)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"a": math.inf}, "changes: must be a finite number"),
        ({"a\x00": 1}, "changes: holds NUL"),
        ({"a": "\ud800"}, "changes: holds half"),
        ({1: 1}, "changes: a key is not text"),
        ({"a": {1, 2}}, "changes: holds a set"),
        ({"a": 2**70}, "changes: must be from"),
        ({"a": "x" * LARGEST_DOCUMENT}, "larger than 64 KiB"),
        ([], "must be an object"),
    ],
)
def test_documents_that_are_refused(document: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ProfileEdit(edit_id="e", user_id=1, timestamp=0, changes=document)


def test_a_document_may_not_be_deep() -> None:
    deep: Any = 1
    for _ in range(5000):  # a reader without a limit would exhaust its stack
        deep = [deep]
    with pytest.raises(DataError, match="nested more than 16 deep"):
        ItemUpsert(upsert_id="u", item_id=1, timestamp=0, attributes={"a": deep})


def test_messages_never_repeat_the_value() -> None:
    for value in ("s3cret\x00", "s3cret" * 200):
        with pytest.raises(DataError) as caught:
            event(1, value)
        assert "s3cret" not in str(caught.value)


letters = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)
ids = st.one_of(
    letters.filter(lambda t: len(t) <= LONGEST_ID), st.integers(-(2**63) + 1, 2**63 - 1)
)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-99, 99)


@given(
    st.builds(
        Event,
        event_id=letters,
        user_id=ids,
        item_id=ids,
        timestamp=st.integers(-(2**62), 2**62),
        value=numbers,
        price=numbers,
        query=st.none() | letters,
    )
)
def test_events_survive_the_way_to_disk(one: Event) -> None:
    body = codec.encode(one)
    again = codec.decode("event", body)
    assert again == one
    assert codec.encode(again) == body
    assert isinstance(again, Event)
    assert type(again.user_id) is type(one.user_id)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | letters | st.floats(-1, 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(letters, json_values, max_size=4))
def test_documents_survive_the_way_to_disk(document: dict[str, Any]) -> None:
    one = ItemUpsert(upsert_id="u", item_id="i", timestamp=0, attributes=document)
    assert codec.decode("item", codec.encode(one)) == one


@given(ids, ids)
def test_no_two_owners_collide(one: str | int, other: str | int) -> None:
    same = type(one) is type(other) and one == other
    assert (Owner.user(one).text == Owner.user(other).text) == same
    assert Owner.user(one).text != Owner.session(str(other)).text


def test_order_of_keys_does_not_change_the_bytes() -> None:
    there = ItemUpsert(upsert_id="u", item_id=1, timestamp=0, attributes={"a": 1, "b": 2})
    back = ItemUpsert(upsert_id="u", item_id=1, timestamp=0, attributes={"b": 2, "a": 1})
    expected = (
        b'{"attributes":{"a":1,"b":2},"item_id":1,"retired":false,"timestamp":0,"upsert_id":"u"}'
    )
    assert codec.encode(there) == codec.encode(back) == expected


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"x":1}', b'{"event_id":"e"}', b"\xff"])
def test_bytes_that_are_no_record(body: bytes) -> None:
    with pytest.raises(CorruptStoreError, match="cannot be read back"):
        codec.decode("event", body)


def test_an_exposure_of_nothing_is_whole() -> None:
    empty = Exposure(request_id="r", user_id=1, timestamp=0, model="m", items=())
    assert codec.decode("exposure", codec.encode(empty)) == empty


def test_an_exposure_of_our_own_is_what_the_constructor_makes() -> None:
    fields = {
        "request_id": "r",
        "timestamp": 5,
        "model": "m",
        "user_id": None,
        "session_id": "s",
        "items": ("a", 2),
        "candidates": ("a", 2, "b"),
    }
    made = Exposure.of_own(**fields)
    assert made == Exposure(**fields)
    assert codec.decode("exposure", codec.encode(made)) == made


@given(st.binary(max_size=200), st.sampled_from([b"owner", b"event"]), st.binary(max_size=3000))
def test_a_keyed_hash_is_the_librarys_hmac(secret: bytes, purpose: bytes, content: bytes) -> None:
    expected = hmac.digest(secret, purpose + b"\x00" + content, "sha256")
    assert keyed_hash(secret, purpose, content) == expected[:16]

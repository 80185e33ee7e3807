"""Online counts: what the journal holds, counted; erasure takes back exactly what was given."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quintet.store import Owner
from quintet.store.deltas import DeltaCounts
from quintet.store.online_counts import OnlineCounts
from tests.store.conftest import Place, event


def test_counts_by_hand() -> None:
    counts = DeltaCounts("m1")
    for number, (user, item) in enumerate([("a", 1), ("b", 1), ("a", 2), ("a", 1), ("b", 2)]):
        counts.add(event(number, user, item_id=item))
    # a: 1, 2, 1; b: 1, 2
    assert counts.items == Counter({(1, None): 3, (2, None): 2})
    assert counts.pairs == Counter({(1, 2): 2, (2, 1): 1})
    assert counts.forget(Owner.user("a")) == 3
    assert counts.items == {(1, None): 1, (2, None): 1}
    assert counts.pairs == {(1, 2): 1}
    assert counts.forget(Owner.user("a")) == 0
    counts.forget(Owner.user("b"))
    assert not counts.items
    assert not counts.pairs


steps = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from("vb")))


@given(steps, st.sampled_from("abc"))
def test_forgetting_equals_never_having_seen(log: list, leaver: str) -> None:
    forgotten, never = DeltaCounts("m"), DeltaCounts("m")
    for number, (user, item, behaviour) in enumerate(log):
        one = event(number, user, item_id=item, behaviour=behaviour)
        forgotten.add(one)
        if user != leaver:
            never.add(one)
    forgotten.forget(Owner.user(leaver))
    assert dict(forgotten.items) == dict(never.items)
    assert dict(forgotten.pairs) == dict(never.pairs)
    assert set(forgotten.owners) == set(never.owners)


def test_counts_follow_the_journal_from_their_base(place: Place) -> None:
    journal = place.open()
    journal.append([event(n, "ann", item_id=n) for n in range(1, 4)])
    online = OnlineCounts(journal)
    online.track("old", 0)
    online.track("new", 2)
    journal.append([event(4, "ann", item_id=4), event(5, "bob", item_id=4)])
    with online.of("new") as (counts, offset):
        assert offset == 5
        assert counts.items == {(3, None): 1, (4, None): 2}
        assert counts.pairs == {(3, 4): 1}
    with online.of("old") as (counts, _):
        assert counts.pairs == {(1, 2): 1, (2, 3): 1, (3, 4): 1}
    online.drop("old")
    with pytest.raises(KeyError), online.of("old"):
        pass


def test_erasure_reaches_the_counts_of_every_process(place: Place) -> None:
    journal = place.open()
    here, there = OnlineCounts(journal), OnlineCounts(journal)
    here.track("m")
    there.track("m")
    journal.append([event(1, "ann", item_id=1), event(2, "bob", item_id=1)])
    there.refresh()
    here.erase(Owner.user("ann"))
    journal.append([event(3, "ann", item_id=9)])  # somebody new under the same id
    late = OnlineCounts(journal)
    late.track("m")
    for online in (here, there, late):
        with online.of("m") as (counts, offset):
            assert offset == 4
            assert counts.items == {(1, None): 1, (9, None): 1}

"""People and groups as items, from edges."""

from __future__ import annotations

import pytest

from quintet.data.dataset import join
from quintet.data.encode import encode
from quintet.data.people import EDGE, MET, SELF, people_dataset
from quintet.errors import DataError

LOG = {"user_id": ["ann", "ann", "bob"], "item_id": [1, 2, 1]}
USERS = {"user_id": ["ann", "bob", "cem"], "age": [30, 40, 50]}
EDGES = {
    "source_id": ["ann", "bob", "cem", "ann"],
    "target_id": ["bob", "cem", "cem", "chess"],
    "kind": ["user-user", "user-user", "user-user", "user-group"],
}


def pairs(dataset, behaviour: str = EDGE) -> set[tuple[str, str]]:
    log = dataset.log.to_arrow()
    rows = zip(*(log[n].to_pylist() for n in ("user_id", "item_id", "behaviour")), strict=True)
    return {(user, item) for user, item, own in rows if own == behaviour}


def test_friendship_holds_both_ways_and_following_does_not() -> None:
    dataset = join(LOG, users=USERS, relations=EDGES)
    friends = people_dataset(dataset)
    both = {("ann", "bob"), ("bob", "ann"), ("bob", "cem"), ("cem", "bob")}
    assert pairs(friends) == both, "nobody is a friend of their own"
    assert pairs(people_dataset(dataset, mutual=False)) == {("ann", "bob"), ("bob", "cem")}


def test_everybody_stands_first_in_their_own_history() -> None:
    friends = people_dataset(join(LOG, users=USERS, relations=EDGES))
    assert pairs(friends, SELF) == {(one, one) for one in USERS["user_id"]}
    events = encode(friends).events
    first = events.offsets[:-1]
    assert (events.item[first] == events.user[first]).all()
    neither = {one.name: one.polarity for one in friends.schema.behaviours}
    assert neither == {EDGE: 1, SELF: 0}, "oneself is no target"


def test_people_are_items_with_what_is_known_of_them() -> None:
    friends = people_dataset(join(LOG, users=USERS, relations=EDGES))
    items = friends.items.to_arrow().to_pydict()
    assert items["item_id"] == ["ann", "bob", "cem"]
    assert items["age"] == [30, 40, 50]
    assert [sorted(own or []) for own in items[MET]] == [["1", "2"], ["1"], []]
    assert friends.users.to_arrow()["user_id"].to_pylist() == ["ann", "bob", "cem"]


def test_groups_are_items() -> None:
    groups = people_dataset(join(LOG, users=USERS, relations=EDGES), "user-group")
    assert pairs(groups) == {("ann", "chess")}
    assert not pairs(groups, SELF)


def test_without_edges_there_is_nobody_to_recommend() -> None:
    with pytest.raises(DataError, match="no 'user-group' edges"):
        people_dataset(join(LOG, users=USERS), "user-group")

"""People and groups as items, from edges."""

from __future__ import annotations

import pytest

from quintet.data.dataset import join
from quintet.data.people import MET, people_dataset
from quintet.errors import DataError

LOG = {"user_id": ["ann", "ann", "bob"], "item_id": [1, 2, 1]}
USERS = {"user_id": ["ann", "bob", "cem"], "age": [30, 40, 50]}
EDGES = {
    "source_id": ["ann", "bob", "cem", "ann"],
    "target_id": ["bob", "cem", "cem", "chess"],
    "kind": ["user-user", "user-user", "user-user", "user-group"],
}


def pairs(dataset) -> set[tuple[str, str]]:
    log = dataset.log.to_arrow()
    return set(zip(log["user_id"].to_pylist(), log["item_id"].to_pylist(), strict=True))


def test_friendship_holds_both_ways_and_following_does_not() -> None:
    dataset = join(LOG, users=USERS, relations=EDGES)
    friends = people_dataset(dataset)
    both = {("ann", "bob"), ("bob", "ann"), ("bob", "cem"), ("cem", "bob")}
    assert pairs(friends) == both, "nobody is a friend of their own"
    assert pairs(people_dataset(dataset, mutual=False)) == {("ann", "bob"), ("bob", "cem")}


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


def test_without_edges_there_is_nobody_to_recommend() -> None:
    with pytest.raises(DataError, match="no 'user-group' edges"):
        people_dataset(join(LOG, users=USERS), "user-group")

import pytest

from quintet.data.columns import (
    CATALOGUE,
    EVENTS,
    RELATIONS,
    USERS,
    check_names,
    resolve,
    split_atomic,
)
from quintet.errors import ColumnError


@pytest.mark.parametrize(
    ("names", "user", "item", "time", "value", "behaviour"),
    [
        (
            ["userId", "movieId", "rating", "timestamp"],
            "userId",
            "movieId",
            "timestamp",
            "rating",
            "",
        ),
        (["user_id", "item_id", "value", "ts"], "user_id", "item_id", "ts", "value", ""),
        (
            ["timestamp", "visitorid", "event", "itemid"],
            "visitorid",
            "itemid",
            "timestamp",
            "",
            "event",
        ),
        (
            ["FeedbackType", "UserId", "ItemId", "Time"],
            "UserId",
            "ItemId",
            "Time",
            "",
            "FeedbackType",
        ),
        (["customer_id", "product_id", "action"], "customer_id", "product_id", "", "", "action"),
        (["userID", "artistID", "weight"], "userID", "artistID", "", "weight", ""),
        (
            ["reviewerID", "asin", "overall", "unixReviewTime"],
            "reviewerID",
            "asin",
            "unixReviewTime",
            "overall",
            "",
        ),
    ],
)
def test_the_fields_own_names_are_recognised(names, user, item, time, value, behaviour):
    found = resolve(names, EVENTS, None, "log")
    expected = {"user_id": user, "item_id": item, "timestamp": time, "value": value}
    expected["behaviour"] = behaviour
    assert found == {name: source for name, source in expected.items() if source}


def test_an_alias_means_one_thing_only():
    for vocabulary in (EVENTS, CATALOGUE, USERS, RELATIONS):
        spelt = [name for column in vocabulary for name in (column.name, *column.aliases)]
        plain = [name.replace("_", "").lower() for name in spelt]
        assert sorted(plain) == sorted(set(plain))


def test_the_canonical_name_wins_over_aliases():
    assert resolve(["asin", "item_id"], CATALOGUE, None, "items") == {"item_id": "item_id"}


def test_what_the_caller_says_comes_first():
    names = ["user", "buyer", "item", "score", "rating"]
    found = resolve(names, EVENTS, {"user_id": "buyer", "value": ""}, "log")
    assert found == {"user_id": "buyer", "item_id": "item"}


def test_a_column_named_for_one_thing_is_not_taken_for_another():
    assert resolve(["id", "item"], CATALOGUE, {"item_id": "id"}, "items") == {"item_id": "id"}
    found = resolve(["user", "item", "date"], EVENTS, {"session_id": "date"}, "log")
    assert found == {"user_id": "user", "item_id": "item", "session_id": "date"}


def test_atomic_headers_are_split():
    assert split_atomic("user_id:token") == ("user_id", "token")
    assert split_atomic("class:token_seq") == ("class", "token_seq")
    assert split_atomic("ratio 3:4") == ("ratio 3:4", None)


def test_names_must_differ():
    check_names(["a", "b"], "t")
    with pytest.raises(ColumnError, match="t: column 'a' stands twice"):
        check_names(["a", "b", "a"], "t")
    with pytest.raises(ColumnError, match="'A' differs from 'a' only in case"):
        check_names(["a", "A"], "t")

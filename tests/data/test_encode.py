import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quintet.data.dataset import Dataset, join
from quintet.data.encode import encode
from quintet.data.frames import Catalogue, EventLog, Users
from quintet.errors import DataError, EmptyDataError

ROWS = {
    "user": ["b", "a", "b", "a"],
    "item": [9, 2, 2, 1],
    "ts": [40, 30, 20, 10],
    "event": ["view", "buy", None, "view"],
    "rating": [4.0, None, 2.0, 1.0],
    "price": [None, 7.5, 2.5, 1.5],
}


def test_events_are_encoded_by_hand():
    items = Catalogue.read({"item": [2, 1, 1, 5], "tag": ["two", "one", "again", "five"]})
    users = Users.read({"user": ["zoe", "a", "a"], "age": [1, 2, 3]})
    encoded = encode(join(EventLog.read(ROWS), items, users, name="shop"))
    assert encoded.users.ids([0, 1, 2]) == ["b", "a", "zoe"]
    assert encoded.items.ids([0, 1, 2, 3]) == [2, 1, 5, 9]
    assert encoded.behaviours == ["view", "buy", "interaction"]
    assert encoded.scenarios == ["default"]
    events = encoded.events
    assert events.offsets.tolist() == [0, 2, 4, 4]
    assert events.item.tolist() == [0, 3, 1, 0]  # b: item 2 then 9; a: item 1 then 2
    assert events.time.tolist() == [20_000_000, 40_000_000, 10_000_000, 30_000_000]
    assert events.behaviour.tolist() == [2, 0, 0, 1]
    np.testing.assert_array_equal(events.value, np.array([2.0, 4.0, 1.0, np.nan], np.float32))
    np.testing.assert_array_equal(encoded.price, np.array([2.5, np.nan, 1.5, 7.5], np.float32))
    assert encoded.log_row.tolist() == [2, 0, 3, 1]
    assert events.n_items == 4
    assert encoded.item_table.to_pydict() == {
        "item_id": [2, 1, 5, 9],
        "tag": ["two", "one", "five", None],
    }
    assert encoded.user_table.to_pydict() == {"user_id": ["b", "a", "zoe"], "age": [None, 2, 1]}
    assert (encoded.repeated_items, encoded.repeated_users) == (1, 1)
    assert (encoded.timed, encoded.name) == (True, "shop")


def test_without_times_the_order_of_the_log_is_kept():
    encoded = encode(join({"user": [1, 2, 1, 1], "item": [3, 3, 2, 1]}))
    assert encoded.events.item.tolist() == [0, 1, 2, 0]
    assert encoded.events.time.tolist() == [0, 0, 0, 0]
    assert not encoded.timed
    assert encoded.price is None
    assert encoded.item_table.to_pydict() == {"item_id": [3, 2, 1]}
    assert np.isnan(encoded.events.value).all()


def test_another_tie_seed_gives_what_encoding_afresh_would():
    item = [*range(40), 0]
    rows = {"user": [1] * 40 + [2], "item": item, "ts": [7] * 40 + [8], "price": item}
    joined = join(rows)
    first, second = encode(joined), encode(joined, tie_seed=5)
    again = first.with_tie_seed(5)
    assert first.events.item.tolist() != second.events.item.tolist()
    assert again.events.item.tolist() == second.events.item.tolist()
    assert again.price.tolist() == second.price.tolist() == again.events.item.tolist()
    assert again.log_row.tolist() == second.log_row.tolist()
    assert again.with_tie_seed(0).events.item.tolist() == first.events.item.tolist()


ROW = st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 3))


@settings(max_examples=8, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=25), st.permutations(range(10)))
def test_renaming_ids_changes_nothing(rows, names):
    def arrays(rename):
        user, item, time = zip(*rows, strict=True)
        renamed = {"user": [rename(u) for u in user], "item": [rename(i) for i in item]}
        items = Catalogue.read({"item": [rename(2), rename(0)], "n": [1, 2]})
        return encode(join({**renamed, "ts": list(time)}, items))

    one, other = arrays(lambda n: n), arrays(lambda n: f"id{names[n]}")
    for name in ("offsets", "user", "item", "time"):
        assert getattr(one.events, name).tolist() == getattr(other.events, name).tolist()
    assert one.item_table.drop(["item_id"]).equals(other.item_table.drop(["item_id"]))


def test_scenarios_and_logs_keep_their_places():
    shop = EventLog.read({"user": [1], "item": [1]}, scenario="shop")
    feed = EventLog.read({"user": [1], "item": [1]}, scenario="feed")
    encoded = encode(join([shop, feed]))
    assert encoded.scenarios == ["shop", "feed"]
    assert encoded.events.scenario.tolist() == [0, 1]


def test_an_unclean_data_set_is_refused():
    with pytest.raises(DataError, match="events: 1 rows have no item_id; clean the data set first"):
        encode(join({"user": [1, 2], "item": [1, None]}))
    with pytest.raises(DataError, match="1 of 2 events have no timestamp"):
        encode(join({"user": [1, 2], "item": [1, 2], "ts": [1, None]}))
    log = EventLog.read({"user": [1], "item": [1]})
    empty = log.with_table(log.table.filter(log.table.user_id > 5))
    with pytest.raises(EmptyDataError, match="the log holds no events"):
        encode(Dataset("none", empty))


@pytest.mark.parametrize("time", [None, 1714550000])
def test_one_time_for_all_leaves_the_order_as_given(time):
    log = {"user_id": ["a"] * 8, "item_id": list("pqrstuvw")}
    if time is not None:
        log["timestamp"] = [time] * 8
    encoded = encode(join(EventLog.read(pa.table(log))))
    assert "".join(encoded.items.ids(encoded.events.item)) == "pqrstuvw"

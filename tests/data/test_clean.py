from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from quintet.data.clean import CleanConfig, clean
from quintet.data.dataset import join
from quintet.data.frames import Catalogue, EventLog, Relations, Users

DAY = 86_400


def log_of(pairs, **columns):
    user, item = zip(*pairs, strict=True)
    return EventLog.read({"user": list(user), "item": list(item), **columns})


def pairs_of(dataset):
    rows = dataset.log.to_arrow()
    return list(zip(rows["user_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True))


def test_a_clean_log_is_left_alone():
    joined = join(log_of([(1, 1), (1, 2)], ts=[1, 2]))
    cleaned, report = clean(joined)
    assert cleaned.log.table.equals(joined.log.table)
    assert report.to_dict() == {"rows_in": {"log": 2}, "rows_out": {"log": 2}, "rejected": {}}


def test_events_that_differ_in_any_column_are_no_duplicates():
    rows = {
        "user": [1] * 4,
        "item": [1] * 4,
        "ts": [5] * 4,
        "event": ["view", "buy", "view", "view"],
    }
    cleaned, report = clean(join(EventLog.read({**rows, "session_id": ["s", "s", "t", "s"]})))
    assert len(cleaned.log) == 3
    assert report.rejects.to_pylist() == [
        {
            "table": "events",
            "row_number": 4,
            "reason": "duplicate event",
            "column": "item_id",
            "value": "1",
        }
    ]
    kept, _ = clean(join(EventLog.read(rows)), CleanConfig(duplicates=False))
    assert len(kept.log) == 4


def test_repeats_in_a_log_without_times_are_kept_unless_their_event_id_says_so():
    rows = {"user": [1] * 3, "item": [1] * 3}
    assert len(clean(join(EventLog.read(rows)))[0].log) == 3
    cleaned, report = clean(join(EventLog.read({**rows, "event_id": ["e", "e", None]})))
    assert len(cleaned.log) == 2
    assert report.counts() == {"events": {"duplicate event_id": 1}}


def test_the_latest_time_can_be_set():
    config = CleanConfig(latest=datetime(1970, 1, 2, tzinfo=UTC))
    cleaned, report = clean(join(log_of([(1, 1), (1, 2)], ts=[DAY, DAY + 1])), config)
    assert pairs_of(cleaned) == [(1, 1)]
    assert report.counts() == {"events": {"time in the future": 1}}


def test_tomorrow_is_in_the_future_and_now_is_not():
    now = datetime.now(UTC).timestamp()
    cleaned, _ = clean(join(log_of([(1, 1), (1, 2)], ts=[now, now + 2 * DAY])))
    assert pairs_of(cleaned) == [(1, 1)]


def test_users_busier_than_a_person_can_be_are_taken_out_whole():
    times = [10, 20, 30, DAY + 10, 10, DAY + 20, 2 * DAY]
    pairs = [("bot", n) for n in range(4)] + [("ann", n) for n in range(3)]
    cleaned, report = clean(join(log_of(pairs, ts=times)), CleanConfig(max_events_per_day=2))
    assert pairs_of(cleaned) == [("ann", 0), ("ann", 1), ("ann", 2)]
    assert report.counts() == {"events": {"bot": 4}}
    assert set(report.rejects["value"].to_pylist()) == {"bot"}


def test_bots_by_total_and_by_deviation():
    pairs = [(user, n) for user in range(20) for n in range(5 + user % 3)]
    pairs += [("99", n) for n in range(300)]
    joined = join(log_of([(str(user), n) for user, n in pairs]))
    for config in (CleanConfig(max_events_per_user=100), CleanConfig(max_deviations=5.0)):
        cleaned, report = clean(joined, config)
        assert report.counts() == {"events": {"bot": 300}}
        assert len(cleaned.log) == len(pairs) - 300
    assert len(clean(joined)[0].log) == len(pairs)


def test_the_core_is_found_by_repeating():
    # z has one event and falls; that leaves c and d, through y, one event each
    pairs = [("a", "x"), ("a", "w"), ("b", "x"), ("b", "w"), ("c", "z"), ("c", "y"), ("d", "y")]
    config = CleanConfig(min_user_events=2, min_item_events=2)
    cleaned, report = clean(join(log_of(pairs)), config)
    assert pairs_of(cleaned) == pairs[:4]
    assert report.counts() == {"events": {"k-core": 3}}


def test_tables_and_relations_are_cleaned_too():
    items = Catalogue.read({"item": [1, 1, None], "tag": ["first", "second", "lost"]})
    users = Users.read({"user": [None, "a"]})
    edges = Relations.read(
        {"source": ["a", "a", "a", None], "target": ["a", "b", "b", "b"]}, kind="user-user"
    )
    cleaned, report = clean(join(log_of([("a", 1)]), items, users, edges))
    assert cleaned.items.to_arrow()["tag"].to_pylist() == ["first"]
    assert report.counts() == {
        "catalogue": {"missing item_id": 1, "duplicate item_id": 1},
        "users": {"missing user_id": 1},
        "relations": {"missing source_id": 1, "edge to itself": 1, "duplicate edge": 1},
    }
    assert report.rows_out == {"log": 1, "items": 1, "users": 1, "relations": 1}


def test_rejects_are_written_with_those_refused_on_reading(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,ts\na,1,5\na\nb,2,-7\n")
    _, report = clean(join(EventLog.read(path)))
    report.write_rejects(tmp_path / "out" / "rejects.parquet")
    assert pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist() == [
        {
            "table": "log.csv",
            "row_number": 2,
            "reason": "too few columns",
            "column": "item_id",
            "value": "a",
        },
        {
            "table": "log.csv",
            "row_number": 3,
            "reason": "time too early",
            "column": "timestamp",
            "value": "-7000000",
        },
    ]


def test_the_report_prints(capsys):
    _, report = clean(join(log_of([(1, 1), (1, 1)], ts=[1, 1])))
    Console(width=100).print(report)
    shown = capsys.readouterr().out
    assert "duplicate event" in shown
    assert "kept: log 1 of 2" in shown


@pytest.mark.parametrize("wrong", [{"max_events_per_day": 0}, {"unknown": 1}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"max_events_per_day|unknown"):
        CleanConfig.model_validate(wrong)

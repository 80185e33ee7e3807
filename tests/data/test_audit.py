"""The audit: every check fires on a planted fault and is silent on a clean log."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from rich.console import Console

from quintet.data.audit import AuditReport, Finding, audit
from quintet.data.audit_quality import gini
from quintet.data.features import FeatureTable, NumberColumn
from quintet.data.interactions import Interactions
from quintet.data.split import Part, Split, global_time, leave_one_out, temporal_tail
from quintet.errors import DataError, EmptyDataError

from .logs import logs, random_log

CLEAN = random_log()


def rebuilt(events: Interactions, **changes: object) -> Interactions:
    """The log built anew with other columns."""
    columns = {
        "time": events.time,
        "behaviour": events.behaviour,
        "value": events.value,
        "user": events.user,
        "item": events.item,
        "n_users": events.n_users,
        "n_items": events.n_items,
        **changes,
    }
    return Interactions.build(**columns)  # type: ignore[arg-type]


def numbers(n_rows: int, **columns: NDArray[np.floating]) -> FeatureTable:
    made = {
        name: NumberColumn(np.zeros(n_rows, np.float32), np.isfinite(raw), raw.astype(np.float32))
        for name, raw in columns.items()
    }
    return FeatureTable(n_rows, numbers=made)


def only(report: AuditReport, name: str) -> Finding:
    (finding,) = report.named(name)
    return finding


def noise(n: int) -> NDArray[np.floating]:
    return np.random.default_rng(7).normal(size=n)


def test_a_clean_log_raises_no_alarm() -> None:
    report = audit(
        CLEAN,
        global_time(CLEAN),
        items=numbers(CLEAN.n_items, price=noise(CLEAN.n_items)),
        users=numbers(CLEAN.n_users, age=noise(CLEAN.n_users)),
        behaviours=["view"],
    )
    assert report.worst == "ok", [f for f in report.findings if f.severity != "ok"]
    assert {finding.name for finding in report.findings} == {
        "constant_time",
        "time_ties",
        "id_order",
        "copies_across_parts",
        "future_in_train",
        "future_of_others",
        "repeat_targets",
        "unseen_items",
        "unseen_users",
        "target_in_features",
        "duplicates",
        "distant_times",
        "popularity",
        "lengths",
        "heavy_users",
        "density",
        "behaviours",
    }


def test_log_without_times() -> None:
    untimed = rebuilt(CLEAN, time=None)
    finding = only(audit(untimed), "constant_time")
    assert finding.severity == "note"
    assert "no times" in finding.message
    stamped = rebuilt(CLEAN, time=np.full(len(CLEAN), 5))
    assert only(audit(stamped), "constant_time").severity == "warning"
    assert not audit(untimed).named("time_ties")
    assert not audit(untimed).named("duplicates")


def test_users_with_one_time_each() -> None:
    report = audit(rebuilt(CLEAN, time=CLEAN.user + 1))
    assert only(report, "constant_time").severity == "warning"
    assert only(report, "constant_time").values["share_of_users"] == 1.0


def test_time_ties() -> None:
    events = Interactions.build(
        np.array([0, 0, 0, 0, 1, 1]),
        np.arange(6),
        n_users=2,
        n_items=6,
        time=np.array([1, 2, 2, 3, 3, 4]),  # users 0 and 1 share the time 3, which is no tie
    )
    finding = only(audit(events, leave_one_out(events)), "time_ties")
    assert finding.values == {"share": 2 / 6, "share_of_targets": 1 / 2}  # items 2 and 3: one tied
    assert finding.severity == "warning"
    assert "coin toss" in finding.message


def test_log_sorted_by_item_within_days() -> None:
    day = CLEAN.time // (1000 * 1_000_000)  # 4 days of 1000 events
    order = np.lexsort((CLEAN.item, day, CLEAN.user))
    columns = {"user": CLEAN.user[order], "item": CLEAN.item[order], "time": day[order]}
    planted = rebuilt(CLEAN, value=None, behaviour=None, keep_order=True, **columns)
    finding = only(audit(planted), "id_order")
    assert finding.severity == "danger"
    assert finding.values["ascending_in_ties"] == 1.0
    hashed = rebuilt(CLEAN, value=None, behaviour=None, **columns)
    assert only(audit(hashed), "id_order").severity == "ok"


def test_untimed_log_sorted_by_item() -> None:
    order = np.lexsort((CLEAN.item, CLEAN.user))
    planted = rebuilt(CLEAN, item=CLEAN.item[order], time=None)
    assert only(audit(planted), "id_order").severity == "danger"


@pytest.mark.parametrize("style", ["{}", "B{:04d}"])
def test_log_sorted_by_ids_that_are_not_the_rows(style: str) -> None:
    place = np.random.default_rng(3).permutation(CLEAN.n_items)
    order = np.lexsort((place[CLEAN.item], CLEAN.user))
    planted = rebuilt(CLEAN, item=CLEAN.item[order], time=None)
    names = [style.format(number) for number in place]
    assert only(audit(planted), "id_order").severity == "ok"
    finding = only(audit(planted, item_names=names), "id_order")
    assert finding.severity == "danger"
    assert "by id in 100.0%" in finding.message
    assert only(audit(CLEAN, item_names=names), "id_order").severity == "ok"


def test_rows_by_first_appearance_are_no_order() -> None:
    """With 2 events an item, most of a history is new items, whose rows ascend by construction."""
    sparse = random_log(n_users=400, n_items=2000, n_events=4000)
    for order in (np.arange(len(sparse)), np.argsort(sparse.time)):
        _, first, rows = np.unique(sparse.item[order], return_index=True, return_inverse=True)
        appearance = np.argsort(np.argsort(first))[rows]
        item = np.empty_like(appearance)
        item[order] = appearance
        assert only(audit(rebuilt(sparse, item=item)), "id_order").severity == "ok"


def test_copies_across_parts() -> None:
    split = leave_one_out(CLEAN)
    first_target = np.flatnonzero(split.part == Part.TEST)[0]
    events = replace(
        CLEAN,
        **{
            column: np.insert(
                getattr(CLEAN, column), first_target, getattr(CLEAN, column)[first_target]
            )
            for column in ("user", "item", "time", "behaviour", "scenario", "value")
        },
        offsets=CLEAN.offsets + (np.arange(CLEAN.n_users + 1) > CLEAN.user[first_target]),
    )
    part = np.insert(split.part, first_target, Part.TRAIN)
    report = audit(events, Split("planted", events, part))
    finding = only(report, "copies_across_parts")
    assert finding.severity == "danger"
    assert finding.values["share"] == pytest.approx(1 / np.sum(split.part != Part.TRAIN))
    assert only(report, "duplicates").severity == "note"


def test_random_split_sees_the_future() -> None:
    part = np.random.default_rng(1).choice([0, 1, 2], size=len(CLEAN), p=[0.8, 0.1, 0.1])
    finding = only(audit(CLEAN, Split("random", CLEAN, part.astype(np.int8))), "future_in_train")
    assert finding.severity == "danger"
    assert finding.values["share"] > 0.5


def test_leave_one_out_sees_the_future_of_others() -> None:
    report = audit(CLEAN, leave_one_out(CLEAN))
    assert only(report, "future_of_others").severity == "note"
    assert only(report, "future_in_train").severity == "ok"


def test_repeat_targets() -> None:
    split = leave_one_out(CLEAN)
    targets = np.flatnonzero(split.part == Part.TEST)

    def with_repeats(n: int) -> Finding:
        item = CLEAN.item.copy()
        item[targets[:n]] = item[targets[:n] - 2]
        events = replace(CLEAN, item=item)
        return only(audit(events, leave_one_out(events)), "repeat_targets")

    assert with_repeats(0).severity == "ok"
    assert with_repeats(2).severity == "warning"
    assert with_repeats(100).severity == "note"
    assert with_repeats(100).values["share"] == pytest.approx(100 / (2 * len(targets)))
    assert "unmasked" in with_repeats(100).message


def test_unseen_items_and_users() -> None:
    split = global_time(CLEAN)
    gone = (CLEAN.item < 30) & (split.part == Part.TRAIN)
    kept = ~gone & ~((CLEAN.user < 50) & (split.part == Part.TRAIN))
    events = CLEAN.select(kept)
    report = audit(events, Split("planted", events, split.part[kept]))
    targets = split.part[kept] != Part.TRAIN
    expected = np.mean(events.item[targets] < 30)
    assert only(report, "unseen_items").values["share"] == pytest.approx(expected)
    assert only(report, "unseen_items").severity == "warning"
    assert only(report, "unseen_users").severity == "warning"


def test_features_that_hold_the_answers() -> None:
    counts = CLEAN.item_counts().astype(np.float64)
    sums = np.bincount(CLEAN.item, weights=CLEAN.value, minlength=CLEAN.n_items)
    n_users = CLEAN.n_users
    user_sums = np.bincount(CLEAN.user, weights=CLEAN.value, minlength=n_users)
    report = audit(
        CLEAN,
        global_time(CLEAN),
        items=numbers(
            CLEAN.n_items,
            n_ratings=np.sqrt(counts),  # any monotone transform of the count
            avg_rating=sums / np.maximum(counts, 1),
            price=noise(CLEAN.n_items),
        ),
        users=numbers(
            n_users, harshness=-user_sums / CLEAN.lengths, activity=CLEAN.lengths + noise(n_users)
        ),
    )
    found = {
        finding.message.split("'")[1]: finding for finding in report.named("target_in_features")
    }
    assert set(found) == {"n_ratings", "avg_rating", "harshness", "activity"}
    assert {finding.severity for finding in found.values()} == {"danger"}
    assert found["n_ratings"].values["correlation_count"] == pytest.approx(1.0)
    assert found["harshness"].values["correlation_mean value"] == pytest.approx(-1.0)
    assert found["n_ratings"].values["correlation_count_train"] < 1.0


def test_features_counted_in_training_alone_are_milder() -> None:
    split = global_time(CLEAN, 0.2, 0.2)
    trained = split.train.item_counts().astype(np.float64)
    report = audit(CLEAN, split, items=numbers(CLEAN.n_items, n=trained))
    assert only(report, "target_in_features").severity == "warning"


def test_duplicates() -> None:
    twice = {
        column: np.concatenate([getattr(CLEAN, column), getattr(CLEAN, column)[:100]])
        for column in ("user", "item", "time", "behaviour", "value")
    }
    finding = only(audit(rebuilt(CLEAN, **twice)), "duplicates")
    assert finding.values["share"] == pytest.approx(100 / (len(CLEAN) + 100))
    assert finding.severity == "warning"
    twice["behaviour"][-100:] = 1  # another behaviour is another event
    assert only(audit(rebuilt(CLEAN, **twice)), "duplicates").severity == "ok"


@pytest.mark.parametrize("factor", [1000, 0.001])
def test_times_of_two_units_are_told(factor: float) -> None:
    seconds = np.int64(1.4e15)  # microseconds: 2014
    time = CLEAN.time % 10**12 + seconds
    assert only(audit(rebuilt(CLEAN, time=time)), "distant_times").severity == "ok"
    time[::10] = (time[::10] * factor).astype(np.int64)
    finding = only(audit(rebuilt(CLEAN, time=time)), "distant_times")
    assert finding.severity == "danger"
    assert finding.values["share"] == pytest.approx(0.1, abs=0.01)
    assert "(2014)" in finding.message
    assert ("46" if factor > 1 else "1970") in finding.message
    time[:] = seconds + np.arange(len(time))
    time[7] = 0
    assert only(audit(rebuilt(CLEAN, time=time)), "distant_times").severity in ("note", "warning")


def test_popularity() -> None:
    item = np.where(np.arange(len(CLEAN)) % 10 < 7, 0, CLEAN.item)
    finding = only(audit(rebuilt(CLEAN, item=item)), "popularity")
    assert finding.severity == "warning"
    assert finding.values["top_1_percent_share"] > 0.7


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5, 5, 5, 5], 0.0),
        ([0, 0, 0, 8], 0.75),  # 1 - 1 / n
        ([1, 3], 2 * (1 * 1 + 2 * 3) / (2 * 4) - 3 / 2),
        ([], 0.0),
    ],
)
def test_gini(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts, np.int64)) == pytest.approx(expected)


def test_lengths() -> None:
    short = CLEAN.tail(2)
    finding = only(audit(short), "lengths")
    assert finding.severity == "warning"
    assert finding.values["shorter_than_3"] == 1.0
    assert finding.values["max"] == 2.0


def test_heavy_users_are_named() -> None:
    user = np.where(np.arange(len(CLEAN)) % 10 == 0, 3, CLEAN.user)
    names = [f"u{row}" for row in range(CLEAN.n_users)]
    finding = only(audit(rebuilt(CLEAN, user=user), user_names=names), "heavy_users")
    assert finding.severity == "warning"
    assert "'u3'" in finding.message


def test_density() -> None:
    events = Interactions.build(
        np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2]), n_users=5, n_items=9
    )
    finding = only(audit(events), "density")
    assert finding.values["density"] == 3 / (2 * 3)
    assert finding.severity == "warning"


def test_behaviours() -> None:
    finding = only(audit(CLEAN, behaviours=["view", "buy"]), "behaviours")
    assert finding.severity == "warning"
    assert "No event of: buy" in finding.message
    assert finding.values == {"view": 1.0, "buy": 0.0}


def test_distributions() -> None:
    events = Interactions.build(
        np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 2]), n_users=3, n_items=4
    )
    found = audit(events).distributions
    # items have 3, 1, 1, 0 events; users 4, 1, 0; bins are [0, 1) [1, 2) [2, 4) [4, 8]
    assert found["popularity_edges"].tolist() == [0, 1, 2, 4]
    assert found["popularity_counts"].tolist() == [1, 2, 1]
    assert found["length_edges"].tolist() == [0, 1, 2, 4, 8]
    assert found["length_counts"].tolist() == [1, 1, 0, 1]
    assert found["popularity_share"][[0, 25, 50, 100]].tolist() == [0.0, 3 / 5, 4 / 5, 1.0]


def test_report_as_json_and_as_table() -> None:
    report = audit(CLEAN.tail(2), leave_one_out(CLEAN.tail(2)))
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["worst"] == report.worst == "warning"
    assert plain["findings"][0]["severity"] == "warning"
    assert plain["counts"]["events"] == len(CLEAN.tail(2))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report)
    text = console.export_text()
    assert "400 events, 200 users" in text
    assert text.index("warning") < text.index("ok")
    assert "id order" in text


def test_what_cannot_be_audited() -> None:
    with pytest.raises(EmptyDataError, match="no events"):
        audit(CLEAN.select(np.zeros(len(CLEAN), np.bool_)))
    with pytest.raises(DataError, match="split labels"):
        audit(CLEAN, leave_one_out(CLEAN.tail(5)))
    with pytest.raises(DataError, match="attributes of 3 items, but the log has 100"):
        audit(CLEAN, items=FeatureTable(3))
    with pytest.raises(DataError, match="no name"):
        audit(CLEAN, behaviours=[])


@given(logs(min_events=1))
def test_any_log_can_be_audited(events: Interactions) -> None:
    report = audit(events, temporal_tail(events))
    json.dumps(report.to_dict(), allow_nan=False)

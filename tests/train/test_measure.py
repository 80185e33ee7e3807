"""What a bundle's results tell: the other tasks by hand, and baselines tuned on equal terms."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from quintet.data.interactions import Interactions
from quintet.data.split import Part, Split, leave_one_out
from quintet.data.states import Moments
from quintet.train import measure_tasks as measure_module
from quintet.train.baselines import BaselineConfig, rank_lists
from quintet.train.evaluate import evaluate_lists
from quintet.train.measure import MODEL, measure
from quintet.train.measure_tasks import measure_tasks, usual_like
from quintet.train.report import render_report


@pytest.fixture(scope="module")
def split(recommender) -> Split:
    return leave_one_out(recommender.trained.events)


@pytest.fixture(scope="module")
def scorer(recommender):
    return recommender.scorer


@pytest.fixture(scope="module")
def found(scorer, split):
    return measure_tasks(scorer, split)


@pytest.fixture(scope="module")
def measured(recommender, split):
    return measure(recommender, split, ks=(10,), baselines=config("last_item", "popularity"))


def config(*names: str) -> BaselineConfig:
    return BaselineConfig(trials=2, names=list(names))


def held_out(split: Split) -> np.ndarray:
    return np.flatnonzero(split.part == Part.TEST)


def answers(scorer, split: Split, rows: np.ndarray):
    return scorer.predict(Moments.before(split.events, rows), split.events.item[rows])


def area(label: np.ndarray, chance: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order; ties count one half."""
    yes, no = chance[label > 0][:, None], chance[label == 0][None, :]
    return float(((yes > no) + 0.5 * (yes == no)).mean())


def surprise(label: np.ndarray, chance: np.ndarray) -> float:
    return float(-np.log(np.where(label > 0, chance, 1 - chance)).mean())


# ------------------------------------------------------------------ the other tasks


def test_ratings_by_hand_at_a_given_threshold(scorer, split) -> None:
    got = measure_tasks(scorer, split, like_at=4)
    rows = held_out(split)
    rows = rows[~np.isnan(split.events.value[rows])]
    answer = answers(scorer, split, rows)
    levels = np.array(scorer.evidence.model.shape.level_values)
    chance = answer.level_NK[:, levels >= 4].sum(1)
    value = split.events.value[rows]
    label = value >= 4
    figures = got.tasks["interaction"]
    assert figures["events"] == len(rows) > 3
    assert figures["like_at"] == 4
    assert figures["auc"] == pytest.approx(area(label, chance), abs=1e-6)
    assert figures["log_loss"] == pytest.approx(surprise(label, chance), rel=1e-4)
    assert figures["accuracy"] == pytest.approx((label == (chance >= 0.5)).mean())
    assert figures["rmse"] == pytest.approx(np.sqrt(((value - answer.value_N) ** 2).mean()), 1e-5)
    assert figures["mae"] == pytest.approx(np.abs(value - answer.value_N).mean(), rel=1e-5)
    assert {"f1", "calibration_error"} <= set(figures)


def test_reliability_tells_of_the_rated_events(found, split, scorer) -> None:
    (name,) = (name for name in found.reliability if "rated" in name)
    at = usual_like(scorer, split)
    assert name == f"rating of {at:g} or more, given that it is rated"
    points = found.reliability[name]
    value = split.events.value[held_out(split)]
    value = value[~np.isnan(value)]
    assert sum(point["count"] for point in points) == len(value)
    likes = sum(point["observed"] * point["count"] for point in points)
    assert likes == pytest.approx((value >= at).sum())


def rated(values: list[float], levels: list[float]):
    """A log of training ratings, and what of a scorer tells its levels."""
    events = Interactions.build(
        np.zeros(len(values), np.int64),
        np.arange(len(values)),
        value=np.array(values, np.float32),
        n_users=1,
        n_items=len(values),
    )
    edges = (np.array(levels[1:]) + np.array(levels[:-1])) / 2
    shape = SimpleNamespace(level_values=levels, level_edges=lambda: edges)
    scorer = SimpleNamespace(evidence=SimpleNamespace(model=SimpleNamespace(shape=shape)))
    return scorer, Split("given", events, np.full(len(events), Part.TRAIN, np.int8))


@pytest.mark.parametrize(
    ("values", "levels", "threshold"),
    [
        ([1, 4, 4, 5, float("nan")], [1.0, 4.0, 5.0], 4.0),
        # the median is the lowest: "at least that" would be no question
        ([0, 0, 0, 1], [0.0, 1.0], 1.0),
        # 5.5 is no value of the level 6: the edge below the median's level cuts both alike
        ([1, 2, 5.5, 6, 9], [2.0, 6.0, 9.0], 4.0),
    ],
)
def test_the_usual_threshold_by_hand(values, levels, threshold) -> None:
    assert usual_like(*rated(values, levels)) == threshold


def followed(task, events: Interactions, row: int) -> np.ndarray:
    """[B] by hand: what the user shows on the item from this event on, within each horizon."""
    own = (events.group() == events.group()[row]) & (events.item == events.item[row])
    later = np.flatnonzero(own & (np.arange(len(events)) >= row))
    within_B = events.time[later][:, None] <= events.time[row] + task.rules.horizons(
        task.config.horizon_days
    )
    return ((task.rules.closure[events.behaviour[later]] > 0) & within_B).any(0)


def test_behaviours_by_hand(scorer, split) -> None:
    task, events = scorer.evidence.model.task("interaction"), split.events
    # the second half of every history: a look there is often followed by more
    late = events.positions() * 2 >= np.repeat(events.lengths, events.lengths)
    halves = replace(split, part=np.where(late, np.int8(Part.TEST), np.int8(Part.TRAIN)))
    found = measure_tasks(scorer, halves)
    rows = held_out(halves)
    rows = rows[task.rules.targets(events)[rows]]
    label = np.stack([followed(task, events, row) for row in rows])
    chance = answers(scorer, halves, rows).behaviour_NB
    varied = 0
    for column, name in enumerate(scorer.evidence.model.shape.behaviours):
        figures = found.tasks[f"interaction: {name}"]
        own = label[:, column]
        assert figures["events"] == len(rows)
        assert figures["positive_rate"] == pytest.approx(own.mean())
        assert figures["log_loss"] == pytest.approx(surprise(own, chance[:, column]), rel=1e-3)
        points = found.reliability[f"{name}, given that an episode opens"]
        assert sum(point["count"] for point in points) == len(rows)
        if 0 < own.mean() < 1:
            varied += 1
            assert figures["auc"] == pytest.approx(area(own, chance[:, column]), abs=1e-6)
        else:
            assert np.isnan(figures["auc"])
    assert varied > 0


def test_scenarios_with_many_events_have_diagrams_of_their_own(scorer, split, monkeypatch) -> None:
    everything = replace(split, part=np.full(len(split.events), Part.TEST, np.int8))
    monkeypatch.setattr(measure_module, "FEWEST", 10)
    found = measure_tasks(scorer, everything, like_at=4)
    targets = scorer.evidence.model.task("interaction").rules.targets(split.events)
    names = scorer.evidence.model.shape.scenarios
    assert len(names) > 1
    counts = np.bincount(split.events.scenario[targets], minlength=len(names))
    for name, count in zip(names, counts, strict=True):
        points = found.reliability.get(f"view in {name}")
        assert (points is not None) == (count >= 10)
        assert points is None or sum(point["count"] for point in points) == count


def test_profile_and_strategy_by_hand(found, recommender, scorer, split) -> None:
    rows = held_out(split)
    histories = Moments.newest(split.events.before(rows))
    task = scorer.evidence.model.task("strategy")
    label = task.labeller.label(split.events, in_training=False)[rows]
    opens = label >= 0
    predicted = scorer.strategy(histories)[opens]
    strategy = found.tasks["strategy"]
    assert strategy["events"] == opens.sum() > 0
    assert strategy["accuracy"] == pytest.approx((predicted.argmax(1) == label[opens]).mean())
    own = predicted[np.arange(opens.sum()), label[opens]]
    assert strategy["log_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-3)
    # nothing follows a test event, so the next window is its own item's categories
    column = recommender.trained.item_features.categories[scorer.evidence.model.shape.interest]
    counts = column.counts()[split.events.item[rows]].astype(float)
    known = counts.sum(1) > 0
    share = counts[known] / counts[known].sum(1, keepdims=True)
    expected = -(share * np.log(scorer.interests(histories)[known])).sum(1).mean()
    assert found.tasks["profile"]["events"] == known.sum()
    assert found.tasks["profile"]["log_loss"] == pytest.approx(expected, rel=1e-3)


def test_without_ratings_nothing_is_said_of_them(scorer, split) -> None:
    none = np.full(len(split.events), np.nan, np.float32)
    got = measure_tasks(scorer, replace(split, events=replace(split.events, value=none)))
    assert "interaction" not in got.tasks
    assert "strategy" in got.tasks
    assert not any("rated" in name for name in got.reliability)


def test_tasks_that_are_off_are_left_out(market) -> None:
    from quintet import Quintet

    off = ["interaction", "profile", "strategy"]
    model = Quintet(model={"width": 8, "off": off}, loop={"epochs": 1}, memories={}).fit(market)
    split = leave_one_out(model.recommender.trained.events)
    assert measure_tasks(model.recommender.scorer, split).tasks == {}


# ------------------------------------------------------------------ the whole


def test_results_hold_the_tasks_and_the_report_shows_them(measured) -> None:
    tasks = measured.results["tasks"]
    assert {"interaction", "interaction: buy", "profile", "strategy"} <= set(tasks)
    page = render_report({"dataset": "market", **measured.results})
    assert 'id="tasks"' in page
    assert 'id="reliability"' in page


def test_every_baseline_has_a_row_and_a_paired_difference(measured) -> None:
    results = measured.results
    assert {"last_item", "popularity", MODEL} <= set(results["models"])
    assert set(results["paired"]) == {"last_item", "popularity"}
    ours = measured.rankings[MODEL].per_user["ndcg@10"]
    for name in results["paired"]:
        theirs = measured.rankings[name].per_user["ndcg@10"]
        got = results["paired"][name]["ndcg@10"]["difference"]
        assert got == pytest.approx(ours.mean() - theirs.mean())
        assert results["baselines"][name]["trials"] == 2


def test_a_baseline_is_counted_on_training_events_at_its_best_settings(measured, split) -> None:
    from quintet.train.baselines import build_memory

    values = measured.results["baselines"]["last_item"]["values"]
    memory = build_memory("last_item", values).fit(split.train, None)
    targets = measured.rankings["last_item"].targets
    target_E = np.isin(np.arange(len(split.events)), targets)
    lists = evaluate_lists(
        lambda h, k: rank_lists(memory, h, max(k, 20)), split, ks=(10,), target_E=target_E
    )
    np.testing.assert_array_equal(lists.lists_NK, measured.rankings["last_item"].lists_NK)


def test_a_baseline_that_cannot_run_is_named_with_the_reason(
    recommender, split, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "implicit", None)
    for name in [name for name in sys.modules if name.startswith("implicit.")]:
        monkeypatch.setitem(sys.modules, name, None)
    told: list[str] = []
    got = measure(recommender, split, baselines=config("als", "last_item"), on_stage=told.append)
    assert "baselines" in got.results["skipped"]["als"]
    assert set(got.results["baselines"]) == {"last_item"}
    assert "als" not in got.results["models"]
    assert any(line.startswith("skipped: als:") for line in told)


def test_without_baselines_popularity_stands_alone(recommender, split) -> None:
    results = measure(recommender, split, ks=(10,)).results
    assert set(results["paired"]) == {"popularity"}
    assert "baselines" not in results


def test_without_an_event_that_a_task_is_asked_of_the_task_is_left_out(scorer, split) -> None:
    task, events = scorer.evidence.model.task("interaction"), split.events
    opens = task.rules.targets(events)
    assert not opens.all()
    never = replace(split, part=np.where(opens, np.int8(Part.TRAIN), np.int8(Part.TEST)))
    found = measure_tasks(scorer, never, like_at=4)
    assert not any(name.startswith("interaction: ") for name in found.tasks)

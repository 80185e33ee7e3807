"""The other tasks at the held-out test events: what the served probabilities are worth.

Everything comes through the serving scorer, each answer from what was known just before its event.
What a test event is followed by is read off the same log: near the log's end fewer events remain
than a window or horizon asks for, and under leave-one-out the event stands alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from quintet.data.interactions import Ints, Mask
from quintet.data.outcomes import level_index
from quintet.data.split import Part, Split
from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.metrics import accuracy, binary_metrics, calibration_bins, mae, rmse
from quintet.nn.tasks.interaction import Interaction
from quintet.serve.scorer import Scorer
from quintet.train.evaluate_tasks import (
    cross_entropy,
    interest_loss,
    interest_targets,
    like_figures,
    strategy_labels,
)

Figures = dict[str, float]
#: what is told of a rating that reaches the threshold, and of a behaviour
LIKE = ("auc", "log_loss", "accuracy", "f1", "calibration_error")
BEHAVIOUR = ("auc", "log_loss", "calibration_error")
#: events from which on a scenario has reliability diagrams of its own
FEWEST = 500


@dataclass
class TaskResults:
    """Figures of the tasks, in the shape of ``results.json``.

    Attributes:
        tasks: by task, each metric's value; NaN where it has no meaning on the events.
        reliability: by prediction, the points of its reliability diagram.
    """

    tasks: dict[str, Figures] = field(default_factory=dict)
    reliability: dict[str, list[dict[str, float]]] = field(default_factory=dict)


def measure_tasks(scorer: Scorer, split: Split, like_at: float | None = None) -> TaskResults:
    """Measure interaction, profile and strategy at the test events.

    A task that the model does not have, or that has no label among the test events, is left out.

    Args:
        scorer: what serves.
        split: with test events.
        like_at: a rating from here on is a like; :func:`usual_like` when absent.
    """
    found = TaskResults()
    rows = np.flatnonzero(split.part == Part.TEST)
    known = scorer.evidence.model.tasks
    if "interaction" in known:
        _ratings(found, scorer, split, rows, like_at)
        _behaviours(found, scorer, split, rows)
    if "profile" in known:
        _profile(found, scorer, split, rows)
    if "strategy" in known and len(rows):
        _strategy(found, scorer, split, rows)
    return found


def usual_like(scorer: Scorer, split: Split) -> float:
    """The level of the median training rating; the second level where the median is the lowest.

    Where ratings take more values than there are levels, the level's lower edge, so that the
    probability of the levels and the events that reach the threshold are about the same thing.
    """
    shape = scorer.evidence.model.shape
    values = np.sort(split.train.value[~np.isnan(split.train.value)])
    level_E = level_index(split.train.value, shape.level_edges())
    median = np.sort(level_E[level_E >= 0])[(len(values) - 1) // 2]
    chosen = max(int(median), 1)
    if np.isin(values, np.asarray(shape.level_values, values.dtype)).all():
        return shape.level_values[chosen]
    return float(shape.level_edges()[chosen - 1])


def _ratings(
    found: TaskResults, scorer: Scorer, split: Split, rows: Ints, like_at: float | None
) -> None:
    """Whether a rating reaches the threshold, and how far the expected one is from it."""
    rated = bool((~np.isnan(split.events.value[rows])).any())
    if not rated or scorer.evidence.model.shape.n_levels == 0:
        return
    threshold = usual_like(scorer, split) if like_at is None else like_at
    likes = like_figures(scorer, split.events, rows, threshold)
    # a sum of float32 probabilities may pass 1 by a rounding
    chance_N = np.clip(likes.probability_N, 0.0, 1.0)
    own = binary_metrics(likes.like_N, chance_N)
    found.tasks["interaction"] = {
        "events": len(likes.like_N),
        "like_at": threshold,
        **{name: own[name] for name in LIKE},
        "rmse": rmse(likes.value_N, likes.expected_N),
        "mae": mae(likes.value_N, likes.expected_N),
    }
    name = f"rating of {threshold:g} or more, given that it is rated"
    found.reliability[name] = _points(likes.like_N, chance_N)


def _points(label_N: ArrayLike, chance_N: ArrayLike) -> list[dict[str, float]]:
    bins = calibration_bins(label_N, chance_N)
    return [{"predicted": b.predicted, "observed": b.observed, "count": b.count} for b in bins]


def _behaviours(found: TaskResults, scorer: Scorer, split: Split, rows: Ints) -> None:
    """Whether each behaviour is reached within its horizon, given that an episode opens."""
    task = scorer.evidence.model.task("interaction")
    assert isinstance(task, Interaction)
    names = scorer.evidence.model.shape.behaviours
    if len(names) < 2 or not len(rows):
        return
    events = split.events
    rows = rows[task.rules.targets(events)[rows]]
    if not len(rows):
        return
    chance_NB = scorer.predict(Moments.before(events, rows), events.item[rows]).behaviour_NB
    reached_NB = task.reached(events)[rows]
    for column, name in enumerate(names):
        own = binary_metrics(reached_NB[:, column], chance_NB[:, column])
        found.tasks[f"interaction: {name}"] = {
            "events": len(rows),
            "positive_rate": own["positive_rate"],
            **{metric: own[metric] for metric in BEHAVIOUR},
        }
        diagram = _points(reached_NB[:, column], chance_NB[:, column])
        found.reliability[f"{name}, given that an episode opens"] = diagram
        for scenario, where in _large(events.scenario[rows], scorer.evidence.model.shape.scenarios):
            diagram = _points(reached_NB[where, column], chance_NB[where, column])
            found.reliability[f"{name} in {scenario}"] = diagram


def _large(scenario_N: Ints, names: Sequence[str]) -> Iterator[tuple[str, Mask]]:
    """The scenarios with enough events for a diagram of their own, if there are several at all."""
    for index, name in enumerate(names):
        where_N = scenario_N == index
        if len(names) > 1 and where_N.sum() >= FEWEST:
            yield name, where_N


def _profile(found: TaskResults, scorer: Scorer, split: Split, rows: Ints) -> None:
    """Interests in the window that begins with the test event."""
    if scorer.evidence.model.shape.interest is None:
        return
    chosen, target_NC = interest_targets(scorer, split.events, rows)
    if len(chosen):
        loss_N = interest_loss(scorer, split.events, chosen, target_NC).loss_N
        found.tasks["profile"] = {"events": len(chosen), "log_loss": float(loss_N.mean())}


def _strategy(found: TaskResults, scorer: Scorer, split: Split, rows: Ints) -> None:
    """The strategy that the test event shows, told before its item is known."""
    events = split.events
    label_E = strategy_labels(scorer, events)
    rows = rows[label_E[rows] >= 0]
    if not len(rows):
        return
    label_N = label_E[rows]
    predicted_NA = scorer.strategy(Moments.before(events, rows))
    label_NA = np.eye(len(STRATEGIES), dtype=np.float32)[label_N]
    loss_N = cross_entropy(predicted_NA, label_NA, events.group()[rows]).loss_N
    found.tasks["strategy"] = {
        "events": len(rows),
        "log_loss": float(loss_N.mean()),
        "accuracy": accuracy(label_N, predicted_NA.argmax(1)),
    }

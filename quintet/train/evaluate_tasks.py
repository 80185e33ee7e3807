"""What the other four tasks are worth, measured through the serving scorer at held-out moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quintet.data.interactions import Floats, Interactions, Ints
from quintet.data.states import (
    Moments,
    interest_shares,
    next_window_shares,
    state_before,
)
from quintet.nn.tasks.profile import Profile
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.scorer import Scorer

TINY = 1e-7


@dataclass(frozen=True)
class LikeFigures:
    """Answers about rated events, for metrics and intervals.

    Attributes:
        user_N: user row of each event.
        value_N: the rating given.
        like_N: whether it reached the threshold.
        expected_N: the rating predicted.
        probability_N: predicted chance of reaching the threshold, given that it is rated.
    """

    user_N: Ints
    value_N: Floats
    like_N: Floats
    expected_N: Floats
    probability_N: Floats


def like_figures(scorer: Scorer, events: Interactions, rows: Ints, like_at: float) -> LikeFigures:
    """Predictions for the rated events among ``rows``, each from what was known just before it."""
    rows = rows[~np.isnan(events.value[rows])]
    answer = scorer.predict(Moments.before(events, rows), events.item[rows])
    liked_K = np.asarray(scorer.evidence.model.shape.level_values) >= like_at
    return LikeFigures(
        user_N=events.group()[rows],
        value_N=events.value[rows],
        like_N=(events.value[rows] >= like_at).astype(np.float32),
        expected_N=answer.value_N,
        probability_N=answer.level_NK[:, liked_K].sum(1),
    )


@dataclass(frozen=True)
class LossByEvent:
    """Log losses of single predictions: ``loss_N`` [N], of the users ``user_N`` [N]."""

    loss_N: Floats
    user_N: Ints


def interest_targets(scorer: Scorer, events: Interactions, rows: Ints) -> tuple[Ints, Floats]:
    """Rows whose next window has categories, with its shares [N, C].

    The window starts with the event of the row itself; the state is the one just before it.
    """
    task = scorer.evidence.model.task("profile")
    assert isinstance(task, Profile)
    assert task.items is not None
    assert task.shape.interest is not None
    share_EC = interest_shares(events, task.items.categories[task.shape.interest])
    window_SC = next_window_shares(events, share_EC, task.config.window)
    target_NC = window_SC[state_before(events)[rows]]
    known = target_NC.sum(1) > 0
    return rows[known], target_NC[known]


def interest_loss(
    scorer: Scorer, events: Interactions, rows: Ints, target_NC: Floats
) -> LossByEvent:
    """Cross-entropy of the predicted interests against the shares of the next window."""
    predicted_NC = scorer.interests(Moments.before(events, rows))
    return cross_entropy(predicted_NC, target_NC, events.group()[rows])


def cross_entropy(predicted_NC: Floats, target_NC: Floats, user_N: Ints) -> LossByEvent:
    """``−Σ_c target_c log predicted_c`` of every row."""
    loss_N = -(target_NC * np.log(np.maximum(predicted_NC, TINY))).sum(1)
    return LossByEvent(loss_N.astype(np.float32), user_N)


def strategy_labels(scorer: Scorer, events: Interactions) -> Ints:
    """[E] the strategy that each event of a log shows, by the labeller of the model."""
    task = scorer.evidence.model.task("strategy")
    assert isinstance(task, Strategy)
    return task.labeller.label(events, in_training=False)


def strategy_loss(scorer: Scorer, events: Interactions, rows: Ints, label_N: Ints) -> LossByEvent:
    """Log loss of the predicted strategy, from the history alone."""
    predicted_NA = scorer.strategy(Moments.before(events, rows))
    chosen_N = predicted_NA[np.arange(len(rows)), label_N]
    loss_N = -np.log(np.maximum(chosen_N, TINY))
    return LossByEvent(loss_N.astype(np.float32), events.group()[rows])

"""Baselines of the profile and strategy tasks: counted shares, smoothed and tuned.

Shapes: E events, S = E + U states (see :mod:`quintet.data.states`), C categories of interest or
labels of strategy. A distribution over C is predicted at every state, before the next event.

The frequency baseline serves both tasks: its shares are an event's interest categories, or its
strategy label one-hot; its target is the shares of the next window, or the next label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from quintet.config import Config, tunable
from quintet.data.interactions import Floats, Interactions, Mask
from quintet.data.states import decayed_sums, state_before
from quintet.errors import DataError, EmptyDataError
from quintet.train.search import Values, search, space_of

Numbers = NDArray[np.float64]

#: a predicted share below this counts as this much
LEAST_SHARE = 1e-12


class FrequencyConfig(Config):
    """Settings of the frequency baseline."""

    decay: Annotated[float, Field(ge=0, le=1)] = tunable(
        0.95, low=0.3, high=1.0, description="weight lost per event back"
    )
    smoothing: PositiveFloat = tunable(
        3.0, low=0.1, high=300.0, log=True, description="events that the prior counts for"
    )


class LastLabelConfig(Config):
    """Settings of the last-label baseline."""

    smoothing: PositiveFloat = tunable(
        5.0, low=0.1, high=1000.0, log=True, description="pairs that the prior counts for"
    )


@dataclass(frozen=True)
class TunedDistribution:
    """A counted distribution at the best of its trials.

    Attributes:
        name: "frequency" or "last_label".
        values: its settings.
        log_loss: mean cross-entropy at the validation states, in nats.
        trials: how many.
    """

    name: str
    values: Values
    log_loss: float
    trials: int


def prior_shares(share_EC: NDArray[np.floating]) -> Floats:
    """[C] everyone's shares, one event added to each so that none is 0."""
    total_C = share_EC.sum(axis=0, dtype=np.float64) + 1.0
    return np.asarray(total_C / total_C.sum(), np.float32)


def one_hot_labels(label_E: NDArray[np.integer], n_labels: int) -> Floats:
    """[E, C] 1 at each event's label."""
    one_hot_EC: Floats = np.eye(n_labels, dtype=np.float32)[label_E]
    return one_hot_EC


def frequency_distribution(
    events: Interactions,
    share_EC: Floats,
    decay: float,
    smoothing: float,
    prior_C: NDArray[np.floating],
) -> Floats:
    """[S, C] ``(Σ decay^age share + smoothing * prior) / (its sum)`` at every state.

    Args:
        events: histories.
        share_EC: [E, C] what each event counts for.
        decay: weight lost per event back; 1 counts all alike.
        smoothing: how many events the prior counts for, above 0.
        prior_C: [C] sums to 1; what is predicted before the first event.
    """
    sums_SC = decayed_sums(events, share_EC, decay)
    mass_SC = sums_SC + np.float32(smoothing) * prior_C.astype(np.float32)
    distribution_SC: Floats = mass_SC / mass_SC.sum(axis=1, keepdims=True)
    return distribution_SC


def cross_entropy(target_SC: NDArray[np.floating], predicted_SC: NDArray[np.floating]) -> Numbers:
    """[S] ``-Σ_c target log predicted`` in nats; of a one-hot target it is the log loss."""
    log_SC = np.log(np.maximum(predicted_SC, LEAST_SHARE, dtype=np.float64))
    return np.asarray(-(target_SC * log_SC).sum(axis=1), np.float64)


def next_label_target(events: Interactions, label_E: NDArray[np.integer], n_labels: int) -> Floats:
    """[S, C] 1 at the label of the event after each state; all 0 at a user's newest state."""
    target_SC = np.zeros((len(events) + events.n_users, n_labels), np.float32)
    target_SC[state_before(events), label_E] = 1.0
    return target_SC


def tune_frequency(
    events: Interactions,
    share_EC: Floats,
    target_SC: Floats,
    valid_S: Mask,
    prior_C: NDArray[np.floating],
    trials: int,
    seed: int,
) -> TunedDistribution:
    """Search decay and smoothing for the least cross-entropy at the validation states.

    Args:
        events: histories that hold the validation states.
        share_EC: [E, C] what each event counts for.
        target_SC: [S, C] what follows each state; rows of 0 are left out.
        valid_S: [S] the states to tune on.
        prior_C: [C] from training events, see :func:`prior_shares`.
        trials: values tried.
        seed: of the draws.

    Raises:
        DataError: the shapes do not fit.
        EmptyDataError: no validation state has a target.
    """
    chosen_S = _with_target(events, target_SC, valid_S)

    def loss(values: Values) -> float:
        decay, smoothing = values["decay"], values["smoothing"]
        predicted_SC = frequency_distribution(events, share_EC, decay, smoothing, prior_C)
        return float(cross_entropy(target_SC[chosen_S], predicted_SC[chosen_S]).mean())

    return _tune("frequency", FrequencyConfig, loss, trials, seed)


@dataclass(frozen=True)
class LabelTransitions:
    """What follows which label, counted in training.

    Attributes:
        first_C: [C] shares of all labels, for users without any event.
        table_CC: [C, C] row: the last label; column: the share of the next one.
    """

    first_C: Floats
    table_CC: Floats

    @classmethod
    def fit(
        cls,
        events: Interactions,
        label_E: NDArray[np.integer],
        n_labels: int,
        smoothing: float,
    ) -> LabelTransitions:
        """``(n(a -> b) + smoothing * prior_b) / (n(a -> any) + smoothing)``.

        Args:
            events: training events.
            label_E: [E] their labels.
            n_labels: C.
            smoothing: how many pairs the prior counts for, above 0.
        """
        prior_C = prior_shares(one_hot_labels(label_E, n_labels))
        later = np.flatnonzero(events.positions() > 0)
        pair = label_E[later - 1] * n_labels + label_E[later]
        count_CC = np.bincount(pair, minlength=n_labels**2).reshape(n_labels, n_labels)
        mass_CC = count_CC + smoothing * prior_C
        table_CC = (mass_CC / mass_CC.sum(axis=1, keepdims=True)).astype(np.float32)
        return cls(prior_C, table_CC)

    def distribution(self, events: Interactions, label_E: NDArray[np.integer]) -> Floats:
        """[S, C] shares of the next label at every state of the events."""
        predicted_SC = np.empty((len(events) + events.n_users, len(self.first_C)), np.float32)
        predicted_SC[:] = self.first_C
        predicted_SC[state_before(events) + 1] = self.table_CC[label_E]
        return predicted_SC


def tune_last_label(
    train: Interactions,
    train_label_E: NDArray[np.integer],
    events: Interactions,
    label_E: NDArray[np.integer],
    valid_S: Mask,
    n_labels: int,
    trials: int,
    seed: int,
) -> TunedDistribution:
    """Search the smoothing of :class:`LabelTransitions` for the least log loss.

    Args:
        train: training events.
        train_label_E: [E] their labels.
        events: histories that hold the validation states.
        label_E: [E] their labels.
        valid_S: [S] the states to tune on.
        n_labels: C.
        trials: values tried.
        seed: of the draws.

    Raises:
        EmptyDataError: no validation state has a next event.
    """
    target_SC = next_label_target(events, label_E, n_labels)
    chosen_S = _with_target(events, target_SC, valid_S)

    def loss(values: Values) -> float:
        model = LabelTransitions.fit(train, train_label_E, n_labels, values["smoothing"])
        predicted_SC = model.distribution(events, label_E)
        return float(cross_entropy(target_SC[chosen_S], predicted_SC[chosen_S]).mean())

    return _tune("last_label", LastLabelConfig, loss, trials, seed)


def _tune(
    name: str, config: type[Config], loss: Callable[[Values], float], trials: int, seed: int
) -> TunedDistribution:
    found = search(space_of(config), lambda values: -loss(values), trials=trials, seed=seed)
    return TunedDistribution(name, found.best_values, -found.best_score, trials)


def _with_target(events: Interactions, target_SC: Floats, valid_S: Mask) -> Mask:
    """[S] the states to tune on that have a target."""
    n_states = len(events) + events.n_users
    if len(target_SC) != n_states or len(valid_S) != n_states:
        raise DataError(
            f"{len(events)} events of {events.n_users} users have {n_states} states, but targets "
            f"have {len(target_SC)} rows and the mask {len(valid_S)}"
        )
    chosen_S: Mask = valid_S & (target_SC.sum(axis=1) > 0)
    if not chosen_S.any():
        raise EmptyDataError("no validation state is followed by an event: nothing to tune on")
    return chosen_S

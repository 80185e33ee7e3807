"""Baselines of the interaction task, tuned on equal terms: ratings, and how likely a high one is.

The models stand in :mod:`quintet.train.rating_models`. Each gets the same number of trials for the
least RMSE on the validation pairs; the chance of a rating of at least a threshold comes from a
logistic curve over the predicted rating, fitted on the same pairs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quintet.data.interactions import Interactions, Ints
from quintet.data.split import Part, Split
from quintet.errors import ConfigError, EmptyDataError
from quintet.metrics import rmse
from quintet.train.rating_models import RATING_BASELINES, Numbers, RatingBaseline
from quintet.train.search import Values, search, space_of

#: a history is read that far back
LONGEST = 500
#: how freely the logistic curve follows its pairs (inverse ridge, on the standardised rating)
FREEDOM = 100.0


@dataclass(frozen=True)
class RatedPairs:
    """Pairs whose rating is known, with what came before each.

    Attributes:
        users: [N] user rows.
        items: [N] item rows.
        values: [N] ratings.
        histories: a batch of N histories: all events of the user before the rating.
    """

    users: Ints
    items: Ints
    values: Numbers
    histories: Interactions

    @classmethod
    def of(cls, split: Split, part: Part) -> RatedPairs:
        """All rated events of a part, each with its user's events of any part before it.

        Raises:
            EmptyDataError: no event of the part has a value.
        """
        events = split.events
        rows = np.flatnonzero((split.part == part) & np.isfinite(events.value))
        if len(rows) == 0:
            raise EmptyDataError(f"no event of part {part.name} has a value: nothing to predict")
        values = events.value[rows].astype(np.float64)
        before = events.before(rows, LONGEST)
        return cls(events.group()[rows], events.item[rows], values, before)


@dataclass(frozen=True)
class LogisticCurve:
    """``p = 1 / (1 + exp(-(slope * rating + intercept)))`` (Platt 1999)."""

    slope: float
    intercept: float

    @classmethod
    def fit(cls, rating_N: NDArray[np.floating], label_N: NDArray[np.bool_]) -> Self:
        """Fit to outcomes; where all are alike, or all ratings are, the smoothed share of them.

        Raises:
            EmptyDataError: there are no pairs.
        """
        if len(label_N) == 0:
            raise EmptyDataError("no pairs to calibrate on")
        centre, spread = float(rating_N.mean()), float(rating_N.std())
        if label_N.all() or not label_N.any() or spread < 1e-9:
            share = (label_N.sum() + 0.5) / (len(label_N) + 1)
            return cls(0.0, float(np.log(share / (1 - share))))
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=FREEDOM).fit((rating_N - centre)[:, None] / spread, label_N)
        slope = float(model.coef_[0, 0]) / spread
        return cls(slope, float(model.intercept_[0]) - slope * centre)

    def probability(self, rating_N: NDArray[np.floating]) -> Numbers:
        """[N] the chance at each predicted rating."""
        odds_N = self.slope * rating_N.astype(np.float64) + self.intercept
        return np.asarray(0.5 * (1 + np.tanh(0.5 * odds_N)))  # does not overflow


@dataclass(frozen=True)
class FittedRating:
    """A fitted rating baseline with the curve that turns its ratings into chances.

    Attributes:
        model: fitted.
        curve: fitted on validation pairs for ``threshold``.
        threshold: least rating that counts as liked.
    """

    model: RatingBaseline
    curve: LogisticCurve
    threshold: float

    def ratings(self, pairs: RatedPairs) -> Numbers:
        """[N] predicted ratings."""
        return self.model.predict(pairs.users, pairs.items, pairs.histories)

    def probabilities(self, pairs: RatedPairs) -> Numbers:
        """[N] the chance that the rating is at least the threshold."""
        return self.curve.probability(self.ratings(pairs))


@dataclass(frozen=True)
class TunedRating:
    """A rating baseline at the best of its trials.

    Attributes:
        name: of the baseline.
        values: the settings that were searched, at their best.
        rmse: on the validation pairs.
        seconds: spent on all trials.
        trials: how many.
    """

    name: str
    values: Values
    rmse: float
    seconds: float
    trials: int

    def model(self) -> RatingBaseline:
        """The baseline with these settings, not fitted."""
        baseline = rating_baseline(self.name)
        return baseline(baseline.Config(**self.values))

    def fit(self, train: Interactions, valid: RatedPairs, threshold: float) -> FittedRating:
        """Fit the model on training events and its curve on validation pairs."""
        model = self.model().fit(train)
        rating_N = model.predict(valid.users, valid.items, valid.histories)
        curve = LogisticCurve.fit(rating_N, valid.values >= threshold)
        return FittedRating(model, curve, threshold)


def tune_rating(
    name: str, train: Interactions, valid: RatedPairs, trials: int, seed: int
) -> TunedRating:
    """Search the declared ranges of a baseline for the least RMSE on the validation pairs.

    Raises:
        ConfigError: there is no such baseline.
        EmptyDataError: no training event has a value.
        MissingExtraError: the baseline's library is not installed.
    """
    started = time.perf_counter()
    baseline = rating_baseline(name)

    def objective(values: Values) -> float:
        model = baseline(baseline.Config(**values)).fit(train)
        return -rmse(valid.values, model.predict(valid.users, valid.items, valid.histories))

    found = search(space_of(baseline.Config), objective, trials=trials, seed=seed)
    seconds = time.perf_counter() - started
    return TunedRating(name, found.best_values, -found.best_score, seconds, trials)


def rating_baseline(name: str) -> type[RatingBaseline]:
    """The rating baseline called ``name``; raises ConfigError if there is none."""
    if name not in RATING_BASELINES:
        valid = ", ".join(RATING_BASELINES)
        raise ConfigError(f"unknown rating baseline {name!r}; choose one of: {valid}")
    return RATING_BASELINES[name]

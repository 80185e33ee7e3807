"""Cross-validation over users: how a model does for people whom it never learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quintet.data.encode import Encoded
from quintet.data.interactions import Floats
from quintet.data.split import kfold
from quintet.metrics import bootstrap_mean
from quintet.train.evaluate import evaluate_ranking
from quintet.train.loop import OnStep
from quintet.train.pipeline import TrainConfig, train


@dataclass(frozen=True)
class CrossValidation:
    """Figures of all folds.

    Attributes:
        folds: by fold, by metric, the mean over the fold's users.
        per_user: by metric, [U'] the figure of every user, each held out once.
        seconds: spent on each fold.
    """

    folds: list[dict[str, float]]
    per_user: dict[str, Floats]
    seconds: list[float]

    def summary(self, seed: int = 0) -> dict[str, dict[str, Any]]:
        """By metric: the mean over all users, its 95% bootstrap interval, the folds' deviation."""
        return {
            name: {
                **vars(bootstrap_mean(values, seed)),
                "fold_deviation": float(np.std([fold[name] for fold in self.folds], ddof=1)),
            }
            for name, values in self.per_user.items()
        }


def cross_validate(
    encoded: Encoded,
    config: TrainConfig,
    k: int,
    *,
    ks: Sequence[int] = (5, 10, 20),
    on_fold: Callable[[int, dict[str, float]], None] | None = None,
    on_step: OnStep | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> CrossValidation:
    """Train ``k`` times, each time without one fold of the users, and measure on those.

    Args:
        encoded: the data set.
        config: settings of every training.
        k: how many folds.
        ks: lengths of the lists that are measured.
        on_fold: told the number (from 0) and the figures of each fold.
        on_step: called after every training step.
        on_stage: called with the name of each stage as it starts.

    Raises:
        ConfigError: ``k`` is not between 2 and the number of users.
        DataError: a fold leaves nothing to learn from.
    """
    folds: list[dict[str, float]] = []
    values: dict[str, list[Floats]] = {}
    seconds: list[float] = []
    for number, split in enumerate(kfold(encoded.events, k, config.seed)):
        if not len(split.test):
            continue  # all users of the fold have too few events
        fitted = train(encoded, split, config, on_step=on_step, on_stage=on_stage)
        masked = bool(fitted.trained.run["mask_history"])
        result = evaluate_ranking(fitted.trained.scorer, split, ks=ks, mask_history=masked)
        folds.append({name: float(value.mean()) for name, value in result.per_user.items()})
        seconds.append(round(fitted.outcome.seconds, 3))
        for name, value in result.per_user.items():
            values.setdefault(name, []).append(value)
        if on_fold is not None:
            on_fold(number, folds[-1])
    per_user = {name: np.concatenate(parts) for name, parts in values.items()}
    return CrossValidation(folds, per_user, seconds)

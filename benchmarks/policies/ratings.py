"""Ratings that people chose to give, judged by ratings of items drawn at random (Coat's format).

``train.ascii``, ``test.ascii`` and ``propensities.ascii`` are tables of users by items; 0 is no
rating. Weighing each rating by 1 / propensity stands for the ratings that nobody gave (Schnabel et
al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from quintet.errors import DataError
from quintet.metrics import cluster_mean

FILES = ("train.ascii", "test.ascii", "propensities.ascii")
WIDTHS, PENALTIES = (0, 4, 16), (1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS, ROUNDS, SEEDS = 4, 15, 5


@dataclass(frozen=True)
class Factors:
    """r = mean + user + item + p·q, fitted by alternating weighted least squares."""

    mean: float
    left_UV: np.ndarray
    right_VI: np.ndarray

    def predict(self) -> np.ndarray:
        """[U, I] ratings."""
        return self.mean + self.left_UV @ self.right_VI


def is_one(folder: Path) -> bool:
    """Whether the folder holds the three tables."""
    return all((folder / name).is_file() for name in FILES)


def measure(folder: Path) -> dict[str, Any]:
    """Naive against propensity-weighted, each tuned by its own validation loss on train alone."""
    train_UI, test_UI, propensity_UI = read(folder)
    seen_UI = train_UI > 0
    weights = {
        "naive": seen_UI.astype(np.float64),
        "weighted": np.where(seen_UI, 1 / propensity_UI, 0.0),
    }
    chosen, error_NS = {}, {}
    asked = test_UI > 0
    for name, raw_UI in weights.items():
        weight_UI = raw_UI / raw_UI[seen_UI].mean()
        chosen[name] = choose(train_UI, weight_UI)
        fits = [fit(train_UI, weight_UI, *chosen[name], seed) for seed in range(SEEDS)]
        error_NS[name] = np.stack([(each.predict() - test_UI)[asked] for each in fits], axis=1)
    user_N = np.nonzero(asked)[0]
    unseen_N = ~seen_UI[asked]
    weight_N = 1 / propensity_UI[seen_UI]
    return {
        "name": folder.name,
        "chosen": {name: {"width": w, "penalty": p} for name, (w, p) in chosen.items()},
        "effective_n": float(weight_N.sum() ** 2 / (weight_N**2).sum()),
        "ratings": int(seen_UI.sum()),
        "errors": {
            "all test ratings": errors(error_NS, user_N),
            "pairs not in train": errors(
                {name: error[unseen_N] for name, error in error_NS.items()}, user_N[unseen_N]
            ),
        },
    }


def errors(error_NS: dict[str, np.ndarray], user_N: np.ndarray) -> dict[str, Any]:
    """MSE and MAE of both, and their difference, with intervals that draw users."""
    found: dict[str, Any] = {"ratings": len(user_N)}
    for metric, of in {"mse": np.square, "mae": np.abs}.items():
        loss = {name: of(error).mean(axis=1) for name, error in error_NS.items()}
        found[metric] = {name: cluster_mean(loss_N, user_N) for name, loss_N in loss.items()}
        found[metric]["difference"] = cluster_mean(loss["weighted"] - loss["naive"], user_N)
    return found


def choose(train_UI: np.ndarray, weight_UI: np.ndarray) -> tuple[int, float]:
    """Width and penalty of the least (weighted) squared error on held-out train ratings."""
    cells = np.flatnonzero(train_UI > 0)
    fold_N = np.random.default_rng(0).permutation(len(cells)) % FOLDS
    losses = {}
    for width, penalty in product(WIDTHS, PENALTIES):
        total = 0.0
        for fold in range(FOLDS):
            kept_UI = weight_UI.copy()
            held = cells[fold_N == fold]
            kept_UI.flat[held] = 0
            error_N = fit(train_UI, kept_UI, width, penalty, 0).predict().flat[held]
            error_N = error_N - train_UI.flat[held]
            total += float(weight_UI.flat[held] @ error_N**2)
        losses[width, penalty] = total
    return min(losses, key=lambda setting: losses[setting])


def fit(
    train_UI: np.ndarray, weight_UI: np.ndarray, width: int, penalty: float, seed: int
) -> Factors:
    """Least Σ w (r - r̂)² + penalty·(squares of all factors and offsets)."""
    users, items = train_UI.shape
    rng = np.random.default_rng(seed)
    mean = float((weight_UI * train_UI).sum() / weight_UI.sum())
    rest_UI = train_UI - mean
    item_IW, item_I = rng.normal(0, 0.1, (items, width)), np.zeros(items)
    for _ in range(ROUNDS):
        user_UW, user_U = _solve(rest_UI - item_I, weight_UI, item_IW, penalty)
        item_IW, item_I = _solve(rest_UI.T - user_U, weight_UI.T, user_UW, penalty)
    left_UV = np.concatenate([user_UW, user_U[:, None], np.ones((users, 1))], axis=1)
    right_VI = np.concatenate([item_IW, np.ones((items, 1)), item_I[:, None]], axis=1).T
    return Factors(mean, left_UV, right_VI)


def _solve(
    rest_RC: np.ndarray, weight_RC: np.ndarray, other_CW: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Factors and offset of each row, with those of the columns held fast."""
    design_CV = np.concatenate([other_CW, np.ones((len(other_CW), 1))], axis=1)
    width = design_CV.shape[1]
    outer_CVV = (design_CV[:, :, None] * design_CV[:, None, :]).reshape(len(design_CV), -1)
    gram_RVV = (weight_RC @ outer_CVV).reshape(-1, width, width) + penalty * np.eye(width)
    side_RV = (weight_RC * rest_RC) @ design_CV
    solved_RV = np.linalg.solve(gram_RVV, side_RV[:, :, None])[:, :, 0]
    return solved_RV[:, :-1], solved_RV[:, -1]


def read(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[U, I] train, test and propensities.

    Raises:
        DataError: shapes differ, or a rating has no propensity in (0, 1].
    """
    train_UI, test_UI, propensity_UI = (np.loadtxt(folder / name) for name in FILES)
    if not train_UI.shape == test_UI.shape == propensity_UI.shape:
        shapes = ", ".join(str(each.shape) for each in (train_UI, test_UI, propensity_UI))
        raise DataError(f"{folder}: tables of different shapes: {shapes}")
    known = propensity_UI[train_UI > 0]
    if not ((known > 0) & (known <= 1)).all():
        raise DataError(f"{folder}: a rating's propensity is not in (0, 1]")
    return train_UI, test_UI, propensity_UI

"""Logged slates of the Open Bandit Dataset's format: one policy's log judges the other policy.

``FOLDER/bts/*.csv`` was logged by Thompson sampling, ``FOLDER/random/*.csv`` by uniform choice,
both at the same time (Saito et al. 2021). Each row is one item at one of the places of a slate,
with its click and the probability of the item at that place; rows name no slate and no user.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import csv
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from quintet.errors import DataError
from quintet.metrics.off_policy import (
    BanditLog,
    PolicyValue,
    direct_method,
    doubly_robust,
    expected_reward,
    ips,
    item_position,
    snips,
    switch_dr,
)

LOGGED, TARGET = "bts", "random"
NEEDED = ("item_id", "position", "click", "propensity_score")
FOLDS = 5


@dataclass(frozen=True)
class Rows:
    """[N] columns of one log; items and places are numbered from 0 over both logs."""

    click_N: np.ndarray
    propensity_N: np.ndarray
    item_N: np.ndarray
    place_N: np.ndarray
    n_items: int
    n_places: int


def is_one(folder: Path) -> bool:
    """Whether the folder holds both logs."""
    return all((folder / policy).is_dir() for policy in (LOGGED, TARGET))


def measure(folder: Path) -> dict[str, Any]:
    """What uniform choice earns: estimated from the Thompson log, counted in its own log."""
    logged, uniform = read(folder)
    chance_N = np.full(len(logged.click_N), 1 / logged.n_items)
    log = BanditLog(logged.click_N, logged.propensity_N, chance_N)
    # the greatest weight as √n: Ionides 2008
    root = float(np.sqrt(len(log)))
    cut = BanditLog(logged.click_N, logged.propensity_N, chance_N, clip=root)
    predicted_NA = predict(logged)
    policy_NA = np.full_like(predicted_NA, 1 / logged.n_items)
    model = (
        predicted_NA[np.arange(len(log)), logged.item_N],
        expected_reward(policy_NA, predicted_NA),
    )
    estimates = {
        "IPS": ips(log),
        "IPS, weights cut to √n": ips(cut),
        "SNIPS": snips(log),
        "direct method": direct_method(log, model[1]),
        "doubly robust": doubly_robust(log, *model),
        "SWITCH-DR at √n": switch_dr(log, *model, root),
    }
    return {
        "name": folder.name,
        "estimates": estimates,
        "truth": on_policy(uniform),
        "logged": on_policy(logged),
        "slate": {
            "estimate": item_position(log, logged.place_N),
            "truth": item_position(_own(uniform), uniform.place_N),
        },
    }


def on_policy(rows: Rows) -> PolicyValue:
    """Clicks a row of the policy that made the log."""
    return ips(_own(rows))


def _own(rows: Rows) -> BanditLog:
    return BanditLog(rows.click_N, rows.propensity_N, rows.propensity_N)


def predict(rows: Rows) -> np.ndarray:
    """[N, A] click probabilities of every item at the row's place, from other folds.

    Logistic in item and place; its penalty is chosen by cross-validated log loss inside the folds.
    """
    pairs = np.indices((rows.n_items, rows.n_places)).reshape(2, -1)
    fold_N = np.random.default_rng(0).permutation(len(rows.click_N)) % FOLDS
    predicted_NA = np.empty((len(rows.click_N), rows.n_items))
    for fold in range(FOLDS):
        own = fold_N != fold
        model = _tuned(_one_hot(rows.item_N[own], rows.place_N[own], rows), rows.click_N[own])
        table_AK = model.predict_proba(_one_hot(*pairs, rows))[:, 1].reshape(rows.n_items, -1)
        predicted_NA[~own] = table_AK.T[rows.place_N[~own]]
    return predicted_NA


def _tuned(design_NF: np.ndarray, click_N: np.ndarray) -> LogisticRegression:
    models = [LogisticRegression(C=strength, max_iter=1000) for strength in np.logspace(-4, 1, 6)]
    scores = [
        cross_val_score(model, design_NF, click_N, cv=FOLDS, scoring="neg_log_loss").mean()
        for model in models
    ]
    return models[int(np.argmax(scores))].fit(design_NF, click_N)


def _one_hot(item_N: np.ndarray, place_N: np.ndarray, rows: Rows) -> np.ndarray:
    return np.concatenate([np.eye(rows.n_items)[item_N], np.eye(rows.n_places)[place_N]], axis=1)


def read(folder: Path) -> tuple[Rows, Rows]:
    """The Thompson log and the uniform one.

    Raises:
        DataError: a policy has no table, or one without the columns of the format.
    """
    tables = [_table(folder / policy) for policy in (LOGGED, TARGET)]
    items = np.unique(np.concatenate([table["item_id"] for table in tables]))
    places = np.unique(np.concatenate([table["position"] for table in tables]))
    logged, uniform = (
        Rows(
            table["click"].astype(np.float64),
            table["propensity_score"],
            np.searchsorted(items, table["item_id"]),
            np.searchsorted(places, table["position"]),
            len(items),
            len(places),
        )
        for table in tables
    )
    return logged, uniform


def _table(folder: Path) -> dict[str, np.ndarray]:
    paths = [path for path in sorted(folder.glob("*.csv")) if path.name != "item_context.csv"]
    if not paths:
        raise DataError(f"{folder}: no log; expected a .csv with {', '.join(NEEDED)}")
    table = csv.read_csv(paths[0])
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise DataError(f"{paths[0]}: no column {', '.join(missing)}")
    return {name: table[name].to_numpy() for name in NEEDED}

"""The best that anybody could score who knew everything but the luck."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quintet.market.settings import STRATEGIES
from quintet.market.world import Reals

BEHAVIOURS = ("like", "cart", "buy", "rating")


def best_possible(truth: pa.Table) -> dict[str, float]:
    """Expected metrics of the Bayes-optimal predictor on the truth of a market.

    It knows every latent quantity: taste, budget, habits and quality. What is learned from a log
    can come near these figures and not pass them but by luck.

    Returns:
        ``strategy/log_loss`` (nats), ``strategy/accuracy`` (the likeliest label),
        ``strategy/balanced_accuracy`` (the label whose probability most exceeds its share; mean
        over the labels that occur), and for each behaviour ``<behaviour>/log_loss`` and
        ``<behaviour>/rate``, over the looks where it is possible at all.
    """
    best: dict[str, float] = {}
    chosen = truth.filter(pc.is_valid(truth["strategy"]))
    if len(chosen):
        columns = [chosen[f"p_{name}"].to_numpy() for name in STRATEGIES]
        best.update(_strategy(np.stack(columns, axis=1)))
    for behaviour in BEHAVIOURS:
        p = truth[f"p_{behaviour}"].to_numpy()
        p = p[p > 0]
        if len(p):
            best[f"{behaviour}/log_loss"] = float(_entropy(np.stack([p, 1 - p], axis=1)))
            best[f"{behaviour}/rate"] = float(p.mean())
    return best


def _strategy(p: Reals) -> dict[str, float]:
    share = p.mean(axis=0)
    occurs = share > 0
    lift = p[:, occurs] / share[occurs]
    says = np.eye(lift.shape[1])[lift.argmax(axis=1)]
    recall = (p[:, occurs] * says).sum(axis=0) / p[:, occurs].sum(axis=0)
    return {
        "strategy/log_loss": _entropy(p),
        "strategy/accuracy": float(p.max(axis=1).mean()),
        "strategy/balanced_accuracy": float(recall.mean()),
    }


def _entropy(p: Reals) -> float:
    """Mean entropy in nats of the rows of ``p`` [N, M]."""
    safe = np.where(p > 0, p, 1.0)
    return float(-(p * np.log(safe)).sum(axis=1).mean())

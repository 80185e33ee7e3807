"""A slate mixed by strategy: as much deepening and exploring as the person is about to do.

Each candidate is labelled with the strategy that meeting it next would show, by the same code that
labels the log; the predicted shares become places in the slate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quintet.data.interactions import Floats, Interactions, Ints
from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.nn.tasks.strategy import Strategy

if TYPE_CHECKING:
    from quintet.serve.trained import Trained


def mixed_slate(
    trained: Trained, history: Interactions, items: Ints, scores: Floats, k: int
) -> tuple[Ints, list[str]]:
    """Choose ``k`` of the candidates by quota, best first within each strategy.

    Args:
        trained: the model.
        history: ONE history.
        items: [C] candidate rows, best first.
        scores: [C] their fused scores.
        k: places in the slate.

    Returns:
        Positions in ``items``, in order of score, and the strategy that each one serves.
    """
    labels = candidate_strategies(trained, history, items)
    quota = places(trained.scorer.strategy(Moments.newest(history))[0], k)
    taken = np.zeros(len(items), np.bool_)
    for strategy, room in enumerate(quota):
        taken[np.flatnonzero(labels == strategy)[:room]] = True
    spare = np.flatnonzero(~taken)[: max(0, k - int(taken.sum()))]
    taken[spare] = True
    chosen = np.flatnonzero(taken)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:k]
    return chosen, [STRATEGIES[labels[position]] for position in chosen]


def candidate_strategies(trained: Trained, history: Interactions, items: Ints) -> Ints:
    """[C] the strategy that each candidate would show as the next event of ONE history."""
    task = trained.model.task("strategy")
    assert isinstance(task, Strategy)
    n, c = len(history), len(items)
    now = history.time[-1] if n else 0

    def column(values: np.ndarray, new: np.ndarray) -> np.ndarray:
        rows = np.concatenate([np.tile(values, (c, 1)), new[:, None]], axis=1)
        return np.asarray(rows.reshape(-1))

    hypothetical = Interactions(
        offsets=np.arange(c + 1, dtype=np.int64) * (n + 1),
        user=np.full(c * (n + 1), -1, np.int64),
        item=column(history.item, items),
        time=column(history.time, np.full(c, now)),
        behaviour=column(history.behaviour, np.zeros(c, np.int64)),
        scenario=column(history.scenario, np.zeros(c, np.int64)),
        value=column(history.value, np.full(c, np.nan, np.float32)),
        n_items=history.n_items,
        owner=np.repeat(history.owners(), c),
    )
    labels = task.labeller.label(hypothetical, in_training=False)
    return np.asarray(labels[hypothetical.offsets[1:] - 1], np.int64)


def places(share: Floats, k: int) -> Ints:
    """[A] whole places that add up to ``k`` in proportion to the shares (largest remainders)."""
    exact = share / max(float(share.sum()), 1e-12) * k
    whole: Ints = np.floor(exact).astype(np.int64)
    left = k - int(whole.sum())
    whole[np.argsort(-(exact - whole), kind="stable")[:left]] += 1
    return whole

"""From what a person is about to do to the mix of a slate and how much of it is left to chance.

Each candidate is labelled with the strategy that meeting it next would show, by the same code that
labels the log. Two ways lead from there to a slate: scores are raised by what is expected to come
of a candidate of its strategy (``lift``), or places are given out by the predicted shares
(``mix``). The share of exploring becomes the temperature of the draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, NonNegativeFloat

from quintet.config import Config, Share, tunable
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.slate.bound import Limit

if TYPE_CHECKING:
    from quintet.serve.trained import Trained

#: what the policy is called in a slate's account
STRATEGY = "strategy"
NO_LIFT = np.zeros(0, np.float32)


class PolicyConfig(Config):
    """How far the predicted strategy rules a slate.

    Attributes:
        lift: how far scores are raised by strategy and what comes of it; 1 is what was fitted.
        worth: of each behaviour that may come of a look, by name; empty: looks count alike.
        mix: share of the places given out by strategy; the rest goes by score.
        temperature: of the draw, in shares of the candidates' range of scores, with diversity or
            calibration in shares of the range of what they are worth at a place; 0 draws nothing.
        exploring: temperature added for each unit of p(explore).
    """

    lift: Share = tunable(0.0, low=0, high=1, description="of scores by strategy")
    worth: dict[str, float] = Field(default_factory=dict)
    mix: Share = tunable(0.0, low=0, high=1, description="share of places given by strategy")
    temperature: NonNegativeFloat = tunable(
        0.0, low=0, high=1, description="of the draw, for everyone"
    )
    exploring: NonNegativeFloat = tunable(0.0, low=0, high=1, description="added times p(explore)")


@dataclass(frozen=True)
class Plan:
    """What the policy asks of one slate.

    Attributes:
        wishes: places for each strategy, kept as far as rules and candidates allow.
        label_C: [C] index of each candidate's strategy; empty where there is none.
        temperature: of the draw.
        lift_C: [C] what is added to the candidates' scores; empty for nothing.
    """

    wishes: list[Limit]
    label_C: Ints
    temperature: float
    lift_C: Floats = field(default_factory=lambda: NO_LIFT)

    def label(self, candidate: int) -> str:
        """The strategy that a candidate serves; empty where none is known."""
        return served(self.label_C[candidate]) if len(self.label_C) else ""


def planned(
    config: PolicyConfig,
    share_A: Floats | None,
    label_C: Ints,
    k: int,
    task: Strategy | None = None,
) -> Plan:
    """The plan for one person.

    Args:
        config: the policy.
        share_A: [A] probability of each strategy for the next event; None where unknown.
        label_C: [C] strategy of each candidate; empty where unknown.
        k: places in the slate.
        task: knows by how much scores are raised; without it they are not.
    """
    if share_A is None or not len(label_C):
        return Plan([], label_C, config.temperature)
    exploring = float(share_A[STRATEGIES.index("explore")])
    quota_A = places(share_A, round(config.mix * k))
    wishes = [
        Limit(f"{STRATEGY}: {STRATEGIES[index]}", label_C == index, int(quota))
        for index, quota in enumerate(quota_A)
        if quota
    ]
    plan = Plan(wishes, label_C, config.temperature + config.exploring * exploring)
    if task is None or config.lift == 0:
        return plan
    return replace(plan, lift_C=config.lift * lifted(task.lifts(share_A, config.worth), label_C))


def lifted(lift_A: Floats, label_C: Ints) -> Floats:
    """[C] the lift of each candidate's strategy; 0 for one that only follows on an episode."""
    return np.where(label_C >= 0, lift_A[label_C], np.float32(0))


def served(label: int) -> str:
    """The strategy of an index; empty for -1, what only follows on an episode."""
    return STRATEGIES[label] if label >= 0 else ""


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
    return chosen, [served(labels[position]) for position in chosen]


def candidate_strategies(trained: Trained, history: Interactions, items: Ints) -> Ints:
    """[C] the strategy that each candidate would show as the next event of ONE history.

    -1 where it would only follow on an episode, as what was looked at just now.
    """
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
        behaviour=column(history.behaviour, np.full(c, trained.model.shape.rules.look)),
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

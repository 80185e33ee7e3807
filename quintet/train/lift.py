"""What a score should be raised by for the strategy that an item serves, fitted on held-out events.

Fused scores are fitted to put the next item before others of its list, whatever it is for; so they
can hold, say, repurchases too low. A conditional logit (McFadden 1974) over the candidates of
held-out events says by how much: its columns are the score, the strategy that an item would serve,
and how much likelier than usual that strategy is for this person now.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quintet.data.interactions import Floats, Ints, seeded_hash
from quintet.data.split import Part, Split
from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.nn.tasks.interaction import Interaction
from quintet.nn.tasks.strategy import TINY, Strategy
from quintet.serve.slate.policy import candidate_strategies
from quintet.serve.trained import Trained

CANDIDATES = 60
#: held-out events that it is fitted on, at most: each has its candidates labelled
MOST_EVENTS = 1000
#: fewer held-out events whose item is among the candidates tell too little
FEWEST_EVENTS = 100
#: weight of the squared weights but the score's, beside the summed log loss
PRIOR = 1.0
#: events of all strategies that the rates of each are drawn towards
SMOOTHING = 5.0


def fit_lift(trained: Trained, split: Split, rows: Ints, seed: int = 0) -> bool:
    """Fit it in place; says whether there was enough to fit it on.

    Args:
        trained: its strategy task is changed.
        split: of the log.
        rows: of held-out targets in ``split.events``.
        seed: of which are taken where there are very many.
    """
    if "strategy" not in trained.model.tasks:
        return False
    task = trained.model.task("strategy")
    assert isinstance(task, Strategy)
    rows = np.sort(rows[np.argsort(seeded_hash(rows, seed))[:MOST_EVENTS]])
    score_NC, label_NC, hit_NC = _candidates(trained, split, rows)
    found_N = hit_NC.any(1)
    if found_N.sum() < FEWEST_EVENTS:
        return False
    moments = replace(Moments.before(split.events, rows), request=None)
    share_NA = trained.scorer.strategy(moments)
    usual_A = np.maximum(share_NA.mean(0), TINY)
    likelier_NA = np.log(np.maximum(share_NA, TINY) / usual_A)
    place_N = hit_NC[found_N].argmax(1)
    by_score, lift_A, by_share = _fitted(
        score_NC[found_N], label_NC[found_N], likelier_NA[found_N], place_N
    )
    if by_score <= 0:
        return False
    task.lift_A.copy_(torch.from_numpy(lift_A / by_score))
    task.lift_by_share.fill_(by_share / by_score)
    task.lift_by_worth.fill_(1 / by_score)
    task.usual_A.copy_(torch.from_numpy(usual_A))
    task.reached_AB.copy_(torch.from_numpy(_reached(trained, split, rows)))
    return True


def _candidates(trained: Trained, split: Split, rows: Ints) -> tuple[Floats, Ints, np.ndarray]:
    """[N, C] scores, strategies, and whether it was the next item, of the best candidates."""
    histories = split.events.before(rows).asking(None)
    mask = bool(trained.run.get("mask_history", True))
    count = min(CANDIDATES, histories.n_items)
    ranked = trained.scorer.rank(histories, count, mask_history=mask)
    label_NC = np.full(ranked.items_BK.shape, -1, np.int64)
    for row, item_C in enumerate(ranked.items_BK):
        there = item_C >= 0
        one = histories.users(np.array([row]))
        label_NC[row, there] = candidate_strategies(trained, one, item_C[there])
    hit_NC = ranked.items_BK == split.events.item[rows][:, None]
    return ranked.scores_BK, label_NC, hit_NC


def _fitted(
    score_NC: Floats, label_NC: Ints, likelier_NA: Floats, place_N: Ints
) -> tuple[float, Floats, float]:
    """Weight of the score, of each strategy (their mean is 0) and of how likely it is."""
    score = torch.from_numpy(score_NC.astype(np.float64))
    label = torch.from_numpy(label_NC).clamp_min(0)
    likelier = torch.from_numpy(likelier_NA.astype(np.float64)).gather(1, label)
    barred = torch.from_numpy(label_NC < 0) | ~torch.isfinite(score)
    score = score.masked_fill(barred, 0.0)
    place = torch.from_numpy(place_N)
    weights = torch.zeros(2 + len(STRATEGIES), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logit_NC = weights[0] * score + weights[1] * likelier + weights[2:][label]
        misses = F.cross_entropy(logit_NC.masked_fill(barred, -torch.inf), place, reduction="sum")
        loss = misses + PRIOR * weights[1:].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    by_score, by_share, *rest = weights.detach().tolist()
    lift_A = np.array(rest, np.float32)
    return by_score, lift_A - lift_A.mean(), by_share


def _reached(trained: Trained, split: Split, rows: Ints) -> Floats:
    """[A, B] how often each behaviour came of a held-out event, by the strategy that it showed."""
    shape, events = trained.model.shape, split.events
    reached_AB = np.zeros((len(STRATEGIES), len(shape.behaviours)), np.float32)
    if "interaction" not in trained.model.tasks:
        return reached_AB
    interaction, strategy = trained.model.task("interaction"), trained.model.task("strategy")
    assert isinstance(interaction, Interaction)
    assert isinstance(strategy, Strategy)
    known_E = split.part != Part.TEST  # what followed is looked up before the test only
    known = events.select(known_E)
    reached_NB = interaction.reached(known)[(np.cumsum(known_E) - 1)[rows]]
    label_N = strategy.labeller.label(events, in_training=False)[rows]
    usual_B = reached_NB.mean(0)
    for strategy_index in range(len(STRATEGIES)):
        own_NB = reached_NB[label_N == strategy_index]
        reached_AB[strategy_index] = (own_NB.sum(0) + SMOOTHING * usual_B) / (
            len(own_NB) + SMOOTHING
        )
    return reached_AB

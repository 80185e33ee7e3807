"""Interaction, p(r | h_u, f_i): what happens when this person meets this item.

Every probability is *given that the item is met next* (the first event of an episode, see
``data/outcomes.py``). The rating is a distribution over its levels, so that its mean (the predicted
rating), the chance of liking it and their calibration come from one head. Each behaviour is a link
of a chain, "within the horizon": the chance that it follows where all that it implies has happened;
links multiply, so that no behaviour is ever likelier than what it implies (Ma et al. 2018, ESMM,
equation 1). Both correct a counted answer: smoothed histograms of the user so far and of the item,
the episode itself left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import Share, tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.data.outcomes import BehaviourRules, item_histogram, level_index, one_hot
from quintet.data.states import decayed_sums, state_lengths
from quintet.nn.dropout import Dropout
from quintet.nn.losses import binary_cross_entropy, hard_cross_entropy
from quintet.nn.shape import DataShape
from quintet.nn.tasks.base import (
    Arrays,
    Step,
    Task,
    Tensors,
    joint_vectors,
    mlp,
    no_loss,
    zero_last,
)

SMOOTHING = 4.0
#: horizons of the user's residual ratings (weight lost a step back), and how many zeros are added
RESIDUAL_DECAYS = (1.0, 0.9, 0.6)
RESIDUAL_SMOOTHING = 3.0
ITEM_SMOOTHING = 5.0
N_CONTEXT = 1 + len(RESIDUAL_DECAYS)


@dataclass(frozen=True)
class PairScores:
    """Answers for N pairs of a state and an item.

    Attributes:
        level_logit_NK: [N, K] over the levels of the rating; K is 0 where there are no ratings.
        behaviour_logit_NB: [N, B] of each behaviour within the horizon, where what it implies
            has happened.
    """

    level_logit_NK: Tensor
    behaviour_logit_NB: Tensor


class Interaction(Task):
    """Levels of the rating and behaviours, from the state and the item."""

    name = "interaction"

    class Config(Task.Config):
        """Settings of the interaction task."""

        weight: float = tunable(0.5, low=0.01, high=2, log=True, description="λ of its loss")
        rank: int = tunable(24, choices=[8, 16, 24, 48], description="of the state-item product")
        horizon_days: float = tunable(30.0, low=1, high=90, description="within which it counts")
        dropout: Share = tunable(0.3, low=0, high=0.6, description="on state and item")

    config: Config
    slope_K: Tensor
    level_K: Tensor
    prior_C: Tensor
    item_log_IC: Tensor
    item_count_I: Tensor
    item_value_2I: Tensor
    mean_value: Tensor

    def __init__(self, shape: DataShape, width: int, config: Config | None = None) -> None:
        super().__init__(shape, width, config)
        K, B, rank = shape.n_levels, len(shape.behaviours), self.config.rank
        self.n_outcomes = K + B
        self.dropout = Dropout(self.config.dropout)
        self.state_side = nn.Linear(width, rank)
        self.item_side = nn.Linear(width, rank)
        self.user_part = zero_last(mlp(width + self.n_outcomes + N_CONTEXT, width, self.n_outcomes))
        self.residual_H = nn.Parameter(torch.tensor([0.5, 0.3, 0.0]))
        self.item_part = zero_last(mlp(width + self.n_outcomes + 1, width, self.n_outcomes))
        self.counted_2C = nn.Parameter(torch.tensor([[0.4], [0.8]]).repeat(1, self.n_outcomes))
        self.behaviour_slope_B = nn.Parameter(torch.ones(B))
        level = torch.tensor(shape.level_values)
        slope = (level - level.mean()) / level.std().clamp_min(1e-6) if K else level
        self.register_buffer("slope_K", slope)
        self.register_buffer("level_K", level)
        self.register_buffer("prior_C", torch.zeros(self.n_outcomes))
        self.register_buffer("item_log_IC", torch.zeros(shape.n_items, self.n_outcomes))
        self.register_buffer("item_count_I", torch.zeros(shape.n_items))
        self.register_buffer("item_value_2I", torch.zeros(2, shape.n_items))
        self.register_buffer("mean_value", torch.tensor(0.0))
        self.rules = shape.rules

    # ---------------------------------------------------------------- counted part

    def _outcomes(self, events: Interactions) -> Floats:
        """[E, K + B] one-hot level, and the behaviours that the event shows first in its episode.

        Known at the event itself, so that a history holds no future.
        """
        level_E = level_index(events.value, self.shape.level_edges())
        shown_EB = self.rules.newly_shown(events)
        return np.concatenate([one_hot(level_E, self.shape.n_levels), shown_EB], axis=1)

    def _log_rates(self, sums: Floats, count: Floats) -> Floats:
        """Smoothed log shares (levels) and log odds (links), less the prior's."""
        K = self.shape.n_levels
        prior = self.prior_C.cpu().numpy()
        levels = sums[:, :K] + SMOOTHING * prior[:K]
        shares = np.log(levels / np.maximum(levels.sum(1, keepdims=True), 1e-9))
        behaviour = sums[:, K:]
        chances = np.maximum(self._chances(behaviour, count), behaviour)
        rate = (behaviour + SMOOTHING * prior[K:]) / (chances + SMOOTHING)
        odds = np.log(rate) - np.log1p(-np.minimum(rate, 1 - 1e-4))
        return (np.concatenate([shares, odds], 1) - self._prior_log()).astype(np.float32)

    def _chances(self, sums_RB: Floats, count_R: Floats) -> Floats:
        """[R, B] how often each behaviour could have followed: the least of what it implies."""
        columns = [
            sums_RB[:, nearest].min(1) if nearest else count_R for nearest in self.rules.parents
        ]
        return np.stack(columns, 1) if columns else sums_RB

    def _prior_log(self) -> Floats:
        K, prior = self.shape.n_levels, self.prior_C.cpu().numpy()
        rate = np.minimum(prior[K:], 1 - 1e-4)
        return np.concatenate([np.log(prior[:K]), np.log(rate) - np.log1p(-rate)])

    def fit(self, events: Interactions, items: FeatureTable, users: FeatureTable) -> None:
        """See :meth:`Task.fit`."""
        del items, users
        K = self.shape.n_levels
        outcome_EC = self._outcomes(events)
        opens_E = self.rules.opens(events)
        total = outcome_EC.sum(0) + 1.0
        chances_B = self._chances(total[None, K:] - 1, opens_E.sum(keepdims=True))[0] + 2.0
        prior = np.concatenate([total[:K] / max(total[:K].sum(), 1), total[K:] / chances_B])
        self.prior_C = torch.from_numpy(prior.astype(np.float32))
        count_I = item_histogram(events.item, opens_E[:, None].astype(np.float32), events.n_items)[
            :, 0
        ]
        sums_IC = item_histogram(events.item, outcome_EC, events.n_items)
        self.item_log_IC = torch.from_numpy(self._log_rates(sums_IC, count_I))
        self.item_count_I = torch.from_numpy(count_I)
        self._sums_IC = sums_IC
        rated = ~np.isnan(events.value)
        if rated.any():
            item, value = events.item[rated], events.value[rated]
            centred = value - value.mean()
            totals = [np.bincount(item, w, minlength=events.n_items) for w in (centred, None)]
            self.mean_value = torch.tensor(float(value.mean()))
            self.item_value_2I = torch.from_numpy(np.stack(totals).astype(np.float32))

    def features(self, events: Interactions, *, in_training: bool = False) -> Arrays:
        """The user's own histogram and residual ratings at every state, smoothed."""
        outcome_EC = self._outcomes(events)
        length = state_lengths(events).astype(np.float32)
        opens_E1 = self.rules.opens(events)[:, None].astype(np.float32)
        episodes = decayed_sums(events, opens_E1, 1.0)[:, 0]
        log_SC = self._log_rates(decayed_sums(events, outcome_EC, 1.0), episodes)
        residual_SH = self._residuals(events, 1.0 if in_training else 0.0)
        log_length_S1 = (np.log1p(length)[:, None] / 5).astype(np.float32)
        return {"user_log": log_SC, "context": np.concatenate([log_length_S1, residual_SH], 1)}

    def _residuals(self, events: Interactions, own: float) -> Floats:
        """[S, H] by how much the user rates above the items' means, at three horizons.

        With ``own`` 1 an event is left out of its item's mean, because it was counted there.
        """
        rated_E = ~np.isnan(events.value)
        centred_E = np.where(rated_E, events.value - float(self.mean_value), 0.0)
        total_I, count_I = self.item_value_2I.cpu().numpy()
        total_E = total_I[events.item] - own * centred_E
        count_E = np.maximum(count_I[events.item] - own, 0)
        residual_E = np.where(rated_E, centred_E - total_E / (count_E + ITEM_SMOOTHING), 0.0)
        pair_E2 = np.stack([residual_E, rated_E], 1).astype(np.float32)
        columns = []
        for decay in RESIDUAL_DECAYS:
            sums_S2 = decayed_sums(events, pair_E2, decay)
            columns.append(sums_S2[:, 0] / (sums_S2[:, 1] + RESIDUAL_SMOOTHING))
        return np.stack(columns, 1).astype(np.float32)

    def labels(self, events: Interactions, users: FeatureTable) -> Arrays:
        """Level, behaviours reached, and the item's histogram without the event's episode."""
        del users
        outcome_EC = self.rules.episode_sums(events, self._outcomes(events))
        count_E = np.maximum(self.item_count_I.cpu().numpy()[events.item] - 1, 0)
        without_EC = np.maximum(self._sums_IC[events.item] - outcome_EC, 0)
        return {
            "level": self.level(events),
            "reached": self.reached(events),
            "item_log": self._log_rates(without_EC, count_E),
            "item_count": count_E,
        }

    def learns(self, labels: Arrays) -> bool:
        """See :meth:`Task.learns`."""
        return len(self.shape.behaviours) > 1 or bool(np.greater_equal(labels["level"], 0).any())

    def reached(self, events: Interactions) -> Floats:
        """[E, B] whether each behaviour is shown on the item within the horizon."""
        return self.rules.reached(events, self.config.horizon_days)

    def level(self, events: Interactions) -> Ints:
        """[E] level of the rating given at the event or within the horizon; -1 without one."""
        value_E = self.rules.later_value(events, self.config.horizon_days)
        return level_index(value_E, self.shape.level_edges())

    # ---------------------------------------------------------------- learned part

    def _user_scores(self, shared_ND: Tensor, features: Tensors) -> Tensor:
        user_log_NC = features["user_log"]
        inputs = torch.cat([shared_ND, user_log_NC, features["context"]], dim=1)
        residual_N = features["context"][:, 1:] @ self.residual_H
        above_NK = residual_N[:, None] * self.slope_K
        counted_NC = F.pad(above_NK, (0, len(self.behaviour_slope_B)))
        out: Tensor = self.counted_2C[0] * user_log_NC + counted_NC + self.user_part(inputs)
        return out

    def _item_scores(self, item_ND: Tensor, item_log_NC: Tensor, count_N: Tensor) -> Tensor:
        inputs = torch.cat([item_ND, item_log_NC, count_N.log1p()[:, None] / 5], dim=1)
        out: Tensor = self.counted_2C[1] * item_log_NC + self.item_part(inputs)
        return out

    def _combine(self, user_NC: Tensor, item_NC: Tensor, product_N: Tensor) -> PairScores:
        prior_C = torch.from_numpy(self._prior_log()).to(user_NC)
        slope_C = torch.cat([self.slope_K, self.behaviour_slope_B])
        logit_NC = prior_C + user_NC + item_NC + product_N[:, None] * slope_C
        K = self.shape.n_levels
        return PairScores(logit_NC[:, :K], logit_NC[:, K:])

    def pair_scores(
        self, shared_ND: Tensor, features: Tensors, item_N: Tensor, item_ID: Tensor
    ) -> PairScores:
        """Scores of N (state, item) pairs; ``item_ID`` [I, D] are the items' joint vectors."""
        item_ND = item_ID[item_N]
        product_N = (self.state_side(shared_ND) * self.item_side(item_ND)).sum(-1)
        item_NC = self._item_scores(item_ND, self.item_log_IC[item_N], self.item_count_I[item_N])
        return self._combine(self._user_scores(shared_ND, features), item_NC, product_N)

    def evidence(self, item_ID: Tensor) -> tuple[Tensor, Tensor]:
        """Item side of the expected value as evidence for ranking: [I, rank] and [I].

        What depends on the user alone does not change an order, so the rating's evidence is one
        inner product: ``state_side(h) · vector_i + bias_i``.
        """
        item_IC = self._item_scores(item_ID, self.item_log_IC, self.item_count_I)
        scale = (self.slope_K**2).sum()
        return self.item_side(item_ID) * scale, item_IC[:, : self.shape.n_levels] @ self.slope_K

    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """See :meth:`Task.loss`."""
        shared_ND = self.dropout(step.shared_ND)
        item_ND = joint_vectors(step.items, step.stand_in, step.target_N)
        item_ND = self.dropout(item_ND)
        product_N = (self.state_side(shared_ND) * self.item_side(item_ND)).sum(-1)
        item_NC = self._item_scores(item_ND, labels["item_log"], labels["item_count"])
        scores = self._combine(self._user_scores(shared_ND, features), item_NC, product_N)
        total = no_loss(step)
        if self.shape.n_levels:
            known_N = labels["level"] >= 0
            total = total + hard_cross_entropy(scores.level_logit_NK, labels["level"], known_N)
        if len(self.shape.behaviours) > 1:
            reached_NB = labels["reached"]
            possible_NB = possible(self.rules, reached_NB)
            total = total + binary_cross_entropy(scores.behaviour_logit_NB, reached_NB, possible_NB)
        return total

    def chances(self, scores: PairScores) -> Tensor:
        """[N, B] probability of each behaviour: never above that of what it implies."""
        return chained(self.rules, scores.behaviour_logit_NB).exp()

    def expected_value(self, scores: PairScores) -> Tensor:
        """[N] mean of the rating's distribution."""
        return scores.level_logit_NK.softmax(-1) @ self.level_K


def possible(rules: BehaviourRules, reached_NB: Tensor) -> Tensor:
    """[N, B] where a behaviour could follow: all that it implies has happened."""
    columns = [
        reached_NB[:, nearest].amin(1) > 0
        if nearest
        else torch.ones_like(reached_NB[:, 0], dtype=torch.bool)
        for nearest in rules.parents
    ]
    return torch.stack(columns, 1)


def chained(rules: BehaviourRules, link_logit_NB: Tensor) -> Tensor:
    """[N, B] log probability of each behaviour, from the logits of its links.

    ``log p(b) = log sigma(link_b) + min over what b implies of log p``. Exact for a chain; where a
    behaviour implies several that do not imply each other, the least of them bounds it.
    """
    log_NB = dict[int, Tensor]()
    for index in rules.order:
        own = F.logsigmoid(link_logit_NB[:, index])
        nearest = rules.parents[index]
        if nearest:
            own = own + torch.stack([log_NB[parent] for parent in nearest], 1).amin(1)
        log_NB[index] = own
    return torch.stack([log_NB[index] for index in range(len(rules.names))], 1)

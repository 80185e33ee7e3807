"""Strategy, p(a | h_u, f_i): what the person is about to do, before the item is known.

``f_i`` is the item on the page (the last one met), never the target. The network corrects a counted
answer: the person's own smoothed frequency of each strategy. How far either is to be trusted, and
what the counts say beyond them, is fitted on held-out events: they are later than what was learned
from, and catalogues, trends and people have moved on since.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions
from quintet.data.outcomes import one_hot
from quintet.data.states import decayed_sums, state_lengths
from quintet.data.strategies import STRATEGIES, StrategyConfig, StrategyLabeller
from quintet.nn.losses import hard_cross_entropy
from quintet.nn.shape import DataShape
from quintet.nn.tasks.base import Arrays, Step, Task, Tensors, mlp, zero_last

DECAYS = (1.0, 0.9, 0.6)
SMOOTHING = 2.0
#: weight of the squared distance of either trust from 1, beside the summed log loss
TRUST_PRIOR = 5.0
#: weight of the squared weights of what is counted (standardised), likewise
LATER_PRIOR = 50.0
#: a column that hardly varies among the held-out events is not stretched to more than its tenfold
LEAST_SPREAD = 0.1
TINY = 1e-6


class Strategy(Task):
    """A softmax over the five strategies."""

    name = "strategy"

    class Config(Task.Config):
        """Settings of the strategy task."""

        weight: float = tunable(2.0, low=0.01, high=5, log=True, description="λ of its loss")
        labels: StrategyConfig = StrategyConfig()

    config: Config
    prior_A: Tensor
    trust_2: Tensor
    later_FA: Tensor
    later_A: Tensor
    lift_A: Tensor
    lift_by_share: Tensor
    lift_by_worth: Tensor
    usual_A: Tensor
    reached_AB: Tensor

    def __init__(self, shape: DataShape, width: int, config: Config | None = None) -> None:
        super().__init__(shape, width, config)
        n = len(STRATEGIES)
        spent = [i for i, name in enumerate(shape.behaviours) if name in shape.worth]
        self.labeller = StrategyLabeller(self.config.labels, shape.rules, spent)
        self.counted = torch.nn.Parameter(torch.tensor([1.0] + [0.0] * (len(DECAYS) - 1)))
        n_counted = n * (len(DECAYS) + 1) + 1
        self.correct = zero_last(mlp(width + n_counted, width, n))
        self.register_buffer("prior_A", torch.full((n,), 1.0 / n))
        self.register_buffer("trust_2", torch.ones(2))
        self.register_buffer("later_FA", torch.zeros(n_counted, n))
        self.register_buffer("later_A", torch.zeros(n))
        # what a fused score should be raised by for the strategy that an item serves: see `lifts`
        self.register_buffer("lift_A", torch.zeros(n))
        self.register_buffer("lift_by_share", torch.zeros(()))
        self.register_buffer("lift_by_worth", torch.zeros(()))
        self.register_buffer("usual_A", torch.full((n,), 1.0 / n))
        self.register_buffer("reached_AB", torch.zeros(n, len(shape.behaviours)))

    def fit(self, events: Interactions, items: FeatureTable, users: FeatureTable) -> None:
        """See :meth:`Task.fit`."""
        del users
        column = items.categories.get(self.shape.interest) if self.shape.interest else None
        self.labeller.fit(events, column)
        label_E = self.labeller.label(events, in_training=True)
        counts_A = np.bincount(label_E[label_E >= 0], minlength=len(STRATEGIES)) + 1.0
        self.prior_A = torch.tensor(counts_A / counts_A.sum(), dtype=torch.float32)

    def features(self, events: Interactions, *, in_training: bool = False) -> Arrays:
        """Smoothed frequencies of the strategies so far, at three horizons, and the last one."""
        label_E = self.labeller.label(events, in_training=in_training)
        one_hot_EA = one_hot(label_E, len(STRATEGIES))
        prior = self.prior_A.cpu().numpy()
        frequencies = []
        for decay in DECAYS:
            sums = decayed_sums(events, one_hot_EA, decay) + SMOOTHING * prior
            frequencies.append(np.log(sums / sums.sum(1, keepdims=True)))
        last = decayed_sums(events, one_hot_EA, 0.0)
        length = np.log1p(state_lengths(events))[:, None] / 5
        return {
            "log_frequency": np.stack(frequencies, 1).astype(np.float32),
            "context": np.concatenate([last, length], 1).astype(np.float32),
        }

    def labels(self, events: Interactions, users: FeatureTable) -> Arrays:
        """The strategy that each event shows."""
        del users
        return {"strategy": self.labeller.label(events, in_training=True)}

    def learns(self, labels: Arrays) -> bool:
        """See :meth:`Task.learns`."""
        return len(np.setdiff1d(labels["strategy"], -1)) > 1

    def logits(self, shared_ND: Tensor, features: Tensors) -> Tensor:
        """[N, 5] log probabilities of the strategies, calibrated but not normalised."""
        parts = self._parts(shared_ND, features)
        return _trusted(self.trust_2, *parts) + _counts(features) @ self.later_FA + self.later_A

    def loss(self, step: Step, features: Tensors, labels: Tensors) -> Tensor:
        """See :meth:`Task.loss`."""
        counted_NA, correction_NA = self._parts(step.shared_ND, features)
        labelled_N = labels["strategy"] >= 0
        return hard_cross_entropy(counted_NA + correction_NA, labels["strategy"], labelled_N)

    def calibrate(self, shared_ND: Tensor, features: Tensors, label_N: Tensor) -> None:
        """Fit on held-out events how far the counted answer and its correction are trusted.

        And what the counts say beyond them: a multinomial logistic regression on what is counted,
        drawn towards nothing.

        Args:
            shared_ND: states just before N held-out events.
            features: of :meth:`features` there.
            label_N: [N] the strategies that the events showed.
        """
        with torch.no_grad():
            parts = self._parts(shared_ND, features)
        counts_NF = _counts(features)
        mean_F, spread_F = counts_NF.mean(0), counts_NF.std(0).clamp_min(LEAST_SPREAD)
        counts_NF = (counts_NF - mean_F) / spread_F
        trust_2 = torch.ones_like(self.trust_2, requires_grad=True)
        weight_FA = torch.zeros_like(self.later_FA, requires_grad=True)
        bias_A = torch.zeros_like(self.later_A, requires_grad=True)
        free = [trust_2, weight_FA, bias_A]
        optimizer = torch.optim.LBFGS(free, max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            logit_NA = _trusted(trust_2, *parts) + counts_NF @ weight_FA + bias_A
            misses = F.cross_entropy(logit_NA, label_N, reduction="sum")
            moved = TRUST_PRIOR * ((trust_2 - 1).square().sum() + bias_A.square().sum())
            loss = misses + moved + LATER_PRIOR * weight_FA.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.trust_2.copy_(trust_2)
            self.later_FA.copy_(weight_FA / spread_F[:, None])
            self.later_A.copy_(bias_A - mean_F @ self.later_FA)

    def lifts(self, share_A: Floats, worth: Mapping[str, float] | None = None) -> Floats:
        """[A] what to add to the fused score of items that serve each strategy.

        With it, ``exp(score)`` goes with the chance that the item is next, times what is expected
        to come of it. Zeros where nothing was fitted (``quintet.train.lift``).

        Args:
            share_A: [A] predicted strategy of the next event.
            worth: of behaviours by name, those not named 0; without it all next events are worth
                the same.
        """
        likelier_A = np.log(np.maximum(share_A, TINY) / self.usual_A.cpu().numpy())
        lift_A = self.lift_A.cpu().numpy() + float(self.lift_by_share) * likelier_A
        if worth and bool(self.reached_AB.any()):
            worth_B = np.array([worth.get(name, 0.0) for name in self.shape.behaviours], np.float32)
            value_A = np.maximum(self.reached_AB.cpu().numpy() @ worth_B, TINY)
            lift_A = lift_A + float(self.lift_by_worth) * np.log(value_A / value_A.mean())
        return np.asarray(lift_A, np.float32)

    def _parts(self, shared_ND: Tensor, features: Tensors) -> tuple[Tensor, Tensor]:
        """[N, 5] what was counted, and the network's correction of it."""
        counted_NA = (features["log_frequency"] * self.counted[None, :, None]).sum(1)
        return counted_NA, self.correct(torch.cat([shared_ND, _counts(features)], dim=1))


def _counts(features: Tensors) -> Tensor:
    """[N, F] all that is counted of a person."""
    return torch.cat([features["log_frequency"].flatten(1), features["context"]], dim=1)


def _trusted(trust_2: Tensor, counted_NA: Tensor, correction_NA: Tensor) -> Tensor:
    return trust_2[0] * counted_NA + trust_2[1] * correction_NA

"""Calibration of probabilities on held-out events: vector scaling and Platt scaling.

Fitted on validation users that neither stopped the training nor fitted the gates. Methods: Guo et
al. 2017, section 4.2 (vector scaling of the rating's levels); Platt 1999 (each behaviour's logit).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.nn.tasks.interaction import PairScores

FEWEST_EVENTS = 50
PRIOR_STRENGTH = 5.0


class Calibration(nn.Module):
    """Scales and shifts of the logits; the identity until fitted.

    ``level' = a · level + b_k`` with one slope for all levels, ``behaviour' = a_b · logit + b_b``.
    """

    def __init__(self, n_levels: int, n_behaviours: int) -> None:
        super().__init__()
        self.level_slope = nn.Parameter(torch.ones(()))
        self.level_shift_K = nn.Parameter(torch.zeros(n_levels))
        self.behaviour_slope_B = nn.Parameter(torch.ones(n_behaviours))
        self.behaviour_shift_B = nn.Parameter(torch.zeros(n_behaviours))

    def forward(self, scores: PairScores) -> PairScores:
        """The same pairs, calibrated."""
        return PairScores(
            scores.level_logit_NK * self.level_slope + self.level_shift_K,
            scores.behaviour_logit_NB * self.behaviour_slope_B + self.behaviour_shift_B,
        )

    def _pull(self) -> Tensor:
        """Distance from doing nothing, so that few events move little."""
        moved = (self.level_slope - 1).square() + self.level_shift_K.square().sum()
        slopes = (self.behaviour_slope_B - 1).square().sum()
        return moved + slopes + self.behaviour_shift_B.square().sum()


def fit_calibration(
    calibration: Calibration, scores: PairScores, level_N: Tensor, reached_NB: Tensor
) -> None:
    """Fit on held-out pairs by log loss; with under 50 of them nothing is changed.

    Args:
        calibration: changed in place.
        scores: uncalibrated scores of N held-out events.
        level_N: [N] level of the rating; -1 where there is none.
        reached_NB: [N, B] behaviours shown.
    """
    if len(level_N) < FEWEST_EVENTS:
        return
    rated_N = level_N >= 0
    optimizer = torch.optim.LBFGS(
        calibration.parameters(), max_iter=50, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = calibration(scores)
        loss = PRIOR_STRENGTH * calibration._pull()
        if scaled.level_logit_NK.shape[1] and bool(rated_N.any()):
            loss = loss + F.cross_entropy(
                scaled.level_logit_NK[rated_N], level_N[rated_N], reduction="sum"
            )
        if reached_NB.shape[1] > 1:
            loss = loss + F.binary_cross_entropy_with_logits(
                scaled.behaviour_logit_NB, reached_NB, reduction="sum"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]

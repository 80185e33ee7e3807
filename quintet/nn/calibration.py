"""Calibration of probabilities on held-out events: vector scaling and Platt scaling.

Fitted on validation users that neither stopped the training nor fitted the gates. Methods: Guo et
al. 2017, section 4.2 (vector scaling of the rating's levels); Platt 1999 (the logit of each
behaviour's link). Every scenario departs from what holds in all of them as far as its events say.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.data.outcomes import BehaviourRules
from quintet.nn.tasks.interaction import PairScores, possible

FEWEST_EVENTS = 50
PRIOR_STRENGTH = 5.0


class Calibration(nn.Module):
    """Scales and shifts of the logits; the identity until fitted.

    ``level' = a · level + b_k`` with one slope for all levels, and for a behaviour's link in
    scenario s ``link' = (a_b + a_sb) · link + b_b + b_sb``. Shapes: S scenarios, K levels, B
    behaviours; the last row of the scenarios stands for an unknown one and stays 0.
    """

    def __init__(self, rules: BehaviourRules, n_levels: int, n_scenarios: int) -> None:
        super().__init__()
        self.rules = rules
        n = len(rules.names)
        self.level_slope = nn.Parameter(torch.ones(()))
        self.level_shift_K = nn.Parameter(torch.zeros(n_levels))
        self.behaviour_slope_B = nn.Parameter(torch.ones(n))
        self.behaviour_shift_B = nn.Parameter(torch.zeros(n))
        self.scenario_slope_SB = nn.Parameter(torch.zeros(n_scenarios + 1, n))
        self.scenario_shift_SB = nn.Parameter(torch.zeros(n_scenarios + 1, n))

    def forward(self, scores: PairScores, scenario_N: Tensor) -> PairScores:
        """The same pairs, calibrated; ``scenario_N`` [N] is -1 where the scenario is unknown."""
        slope_NB = self.behaviour_slope_B + self.scenario_slope_SB[scenario_N]
        shift_NB = self.behaviour_shift_B + self.scenario_shift_SB[scenario_N]
        return PairScores(
            scores.level_logit_NK * self.level_slope + self.level_shift_K,
            scores.behaviour_logit_NB * slope_NB + shift_NB,
        )

    def _pull(self) -> Tensor:
        """Distance from doing nothing, so that few events move little."""
        moved = (self.level_slope - 1).square() + self.level_shift_K.square().sum()
        slopes = (self.behaviour_slope_B - 1).square().sum()
        apart = self.scenario_slope_SB.square().sum() + self.scenario_shift_SB.square().sum()
        return moved + slopes + self.behaviour_shift_B.square().sum() + apart


def fit_calibration(
    calibration: Calibration,
    scores: PairScores,
    level_N: Tensor,
    reached_NB: Tensor,
    scenario_N: Tensor,
) -> None:
    """Fit on held-out pairs by log loss; with under 50 of them nothing is changed.

    Args:
        calibration: changed in place.
        scores: uncalibrated scores of N held-out events.
        level_N: [N] level of the rating; -1 where there is none.
        reached_NB: [N, B] behaviours shown.
        scenario_N: [N] where.
    """
    if len(level_N) < FEWEST_EVENTS:
        return
    rated_N = level_N >= 0
    possible_NB = possible(calibration.rules, reached_NB)
    optimizer = torch.optim.LBFGS(
        calibration.parameters(), max_iter=50, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = calibration(scores, scenario_N)
        loss = PRIOR_STRENGTH * calibration._pull()
        if scaled.level_logit_NK.shape[1] and bool(rated_N.any()):
            loss = loss + F.cross_entropy(
                scaled.level_logit_NK[rated_N], level_N[rated_N], reduction="sum"
            )
        if reached_NB.shape[1] > 1:
            link_NB = F.binary_cross_entropy_with_logits(
                scaled.behaviour_logit_NB, reached_NB, reduction="none"
            )
            loss = loss + link_NB[possible_NB].sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]

"""Calibration of probabilities on held-out events: vector scaling, and monotone maps of the links.

Fitted on validation users that neither stopped the training nor fitted the gates. Methods: Guo et
al. 2017, section 4.2 (vector scaling of the rating's levels); Platt 1999 with a slope for every
quarter of a behaviour's logits in place of one, so that the map bends where the events say so, and
is smooth and rising everywhere where isotonic regression makes steps. Every scenario departs from
what holds in all of them as far as its events say.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.data.outcomes import BehaviourRules
from quintet.nn.tasks.interaction import PairScores, possible

FEWEST_EVENTS = 50
PRIOR_STRENGTH = 5.0
#: where a map may bend: shares of a behaviour's held-out links that lie below
BENDS = (0.25, 0.5, 0.75)
M = len(BENDS) + 1


class Calibration(nn.Module):
    """Scales and shifts of the logits; the identity until fitted.

    ``level' = a · level + b_k`` with one slope for all levels, and for a behaviour's link in
    scenario s ``link' = b_b + b_sb + Σ_m exp(a_bm + a_sbm) · part_m(link)``, where the parts cut a
    link at the behaviour's knots and add up to it. Shapes: S scenarios, K levels, B behaviours, M
    pieces; the last row of the scenarios stands for an unknown one and stays 0.
    """

    knot_BJ: Tensor

    def __init__(self, rules: BehaviourRules, n_levels: int, n_scenarios: int) -> None:
        super().__init__()
        self.rules = rules
        B = len(rules.names)
        self.level_slope = nn.Parameter(torch.ones(()))
        self.level_shift_K = nn.Parameter(torch.zeros(n_levels))
        self.log_slope_BM = nn.Parameter(torch.zeros(B, M))
        self.shift_B = nn.Parameter(torch.zeros(B))
        self.scenario_log_slope_SBM = nn.Parameter(torch.zeros(n_scenarios + 1, B, M))
        self.scenario_shift_SB = nn.Parameter(torch.zeros(n_scenarios + 1, B))
        self.register_buffer("knot_BJ", torch.zeros(B, M - 1))

    def forward(self, scores: PairScores, scenario_N: Tensor) -> PairScores:
        """The same pairs, calibrated; ``scenario_N`` [N] is -1 where the scenario is unknown."""
        log_slope_NBM = self.log_slope_BM + self.scenario_log_slope_SBM[scenario_N]
        shift_NB = self.shift_B + self.scenario_shift_SB[scenario_N]
        part_NBM = _pieces(scores.behaviour_logit_NB, self.knot_BJ)
        return PairScores(
            scores.level_logit_NK * self.level_slope + self.level_shift_K,
            (log_slope_NBM.exp() * part_NBM).sum(-1) + shift_NB,
        )

    def _pull(self) -> Tensor:
        """Distance from doing nothing, so that few events move little."""
        moved = (self.level_slope - 1).square() + self.level_shift_K.square().sum()
        everywhere = self.log_slope_BM.square().sum() + self.shift_B.square().sum()
        apart = self.scenario_log_slope_SBM.square().sum() + self.scenario_shift_SB.square().sum()
        return moved + everywhere + apart


def _pieces(link_NB: Tensor, knot_BJ: Tensor) -> Tensor:
    """[N, B, M] how much of each link lies below the first knot, between two, above the last."""
    first_B1, last_B1 = knot_BJ[:, :1], knot_BJ[:, -1:]
    link_NB1 = link_NB[..., None]
    between = torch.minimum((link_NB1 - knot_BJ[:, :-1]).clamp_min(0), knot_BJ.diff(dim=1))
    below, above = torch.minimum(link_NB1, first_B1), (link_NB1 - last_B1).clamp_min(0)
    return torch.cat([below, between, above], dim=-1)


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
    _place_knots(calibration, scores.behaviour_logit_NB, possible_NB)
    optimizer = torch.optim.LBFGS(
        calibration.parameters(), max_iter=100, line_search_fn="strong_wolfe"
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


def _place_knots(calibration: Calibration, link_NB: Tensor, possible_NB: Tensor) -> None:
    """Bends stand at the quartiles of the links of each behaviour that was possible."""
    for behaviour in range(link_NB.shape[1]):
        link_N = link_NB[possible_NB[:, behaviour], behaviour].sort().values
        if len(link_N):
            places = [int(share * (len(link_N) - 1)) for share in BENDS]
            calibration.knot_BJ[behaviour] = link_N[places]

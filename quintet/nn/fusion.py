"""Attention fusion: from the evidence of every tower, memory and task to one ranking score.

``score(u, i) = Σ_k α_k(u) · s_k · c_k(i) · z_k(u, i)`` over the K kinds of evidence, each brought
to a scale of its own first. ``α(u)``, K times a softmax of the user's query against a key of each
evidence, says whom to trust for this user's state; ``s`` how much in general; ``c`` how much for
items that are new, rare or well known. Where people return to items, what the towers say of an item
of the history has a weight of its own, ``s`` times ``a``, and such an item a level of its own: that
someone comes back, and to what, is another question than what they meet next (Ren et al. 2019,
"RepeatNet", AAAI, part the two likewise). Few parameters, because they are fitted on held-out
positions: the evidence of a position that a tower or a memory was fitted on is in-sample, and
would be trusted too much. Scores are summed late and stay linear in the towers' inner products,
so that an index can retrieve them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from quintet.config import Config, tunable

N_CONTEXT = 3
N_BUCKETS = 3
RARE_BELOW = 5
#: a target competes with so many items, a quarter of which rank highest; with fewer where there are
#: so many targets that all pairs would not be held at once: more targets tell more than more rivals
MOST_RIVALS, LEAST_RIVALS, PAIRS = 400, 100, 1_600_000
#: evidence below this share of the strongest is silenced after the fit
LEAST_STRENGTH = 0.05


class FusionConfig(Config):
    """Settings of the fusion and of its fit."""

    attention: bool = tunable(True, choices=[True, False], description="gates by user state")
    buckets: bool = tunable(True, choices=[True, False], description="weights by item bucket")
    width: PositiveInt = tunable(4, choices=[2, 4, 8], description="of queries and keys")
    penalty: NonNegativeFloat = tunable(
        0.2, low=1e-4, high=1.0, log=True, description="on gates' weights"
    )
    prior_penalty: NonNegativeFloat = tunable(
        5e-3, low=1e-5, high=0.1, log=True, description="towards prior"
    )
    iterations: NonNegativeInt = 80


class Fusion(nn.Module):
    """Gates over K kinds of evidence.

    Shapes: B users, I items, K evidence, F context features.
    """

    prior_K: Tensor
    new_K: Tensor | None
    new_bias: Tensor
    towers_K: Tensor | None

    def __init__(
        self,
        prior_K: Tensor,
        config: FusionConfig | None = None,
        new_K: Tensor | None = None,
        towers_K: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("towers_K", None if towers_K is None else towers_K.clone())
        if towers_K is not None:
            self.again_K = nn.Parameter(torch.ones(len(prior_K)))
            self.again_bias = nn.Parameter(torch.zeros(()))
        self.config = config if config is not None else FusionConfig()
        K = len(prior_K)
        self.register_buffer("prior_K", prior_K.clone())
        self.register_buffer("new_K", None if new_K is None else new_K.clone())
        self.register_buffer("new_bias", torch.zeros(()))
        self.strength_K = nn.Parameter(prior_K.clone())
        self.bucket_SK = nn.Parameter(torch.ones(N_BUCKETS, K))
        generator = torch.Generator().manual_seed(0)
        self.key_KW = nn.Parameter(torch.randn(K, self.config.width, generator=generator) * 0.5)
        self.query = nn.Linear(N_CONTEXT, self.config.width, bias=False)
        nn.init.zeros_(self.query.weight)

    def attention(self, context_BF: Tensor) -> Tensor:
        """[B, K] α, positive with mean 1: how far each evidence is trusted for this user."""
        query_BW = self.query(context_BF)
        alpha_BK: Tensor = (query_BW @ self.key_KW.T).softmax(-1) * len(self.strength_K)
        return alpha_BK

    def weights(self, context_BF: Tensor) -> Tensor:
        """[B, K] the weight of each evidence for each user."""
        return self.attention(context_BF) * self.strength_K

    @property
    def again(self) -> Tensor | None:
        """[K] what is added to the weights of items of the history, in shares of them."""
        return None if self.towers_K is None else (self.again_K - 1) * self.towers_K

    def item_weights(self, weight_BK: Tensor, bucket_I: Tensor) -> Tensor:
        """[B, I, K] the weight of each evidence in the score of every item, given the gates."""
        gated_BIK = weight_BK[:, None] * self.bucket_SK[bucket_I]
        if self.new_K is None:
            return gated_BIK
        return torch.where((bucket_I == 0)[:, None], self.new_K, gated_BIK)

    def forward(
        self,
        evidence_BIK: Tensor,
        context_BF: Tensor,
        bucket_I: Tensor,
        met_BI: Tensor | None = None,
    ) -> Tensor:
        """[B, I] fused scores; ``met_BI`` [B, I] says which items the history holds."""
        bucket_BI = bucket_I.expand(len(context_BF), -1)
        gated_BI = self.gated(evidence_BIK, context_BF, bucket_BI, met_BI)
        if self.new_K is None:
            return gated_BI
        return torch.where(bucket_I == 0, evidence_BIK @ self.new_K + self.new_bias, gated_BI)

    def gated(
        self,
        evidence_BCK: Tensor,
        context_BF: Tensor,
        bucket_BC: Tensor,
        met_BC: Tensor | None = None,
    ) -> Tensor:
        """[B, C] fused scores of items by their buckets, with no regard to what is new.

        The products with every bucket's weights read the evidence once and copy none of it.
        """
        weight_BSK = self.weights(context_BF)[:, None] * self.bucket_SK
        score_BC = _of_bucket(evidence_BCK @ weight_BSK.mT, bucket_BC)
        again_K = self.again
        if again_K is None or met_BC is None:
            return score_BC
        again_BC = _of_bucket(evidence_BCK @ (weight_BSK * again_K).mT, bucket_BC)
        return score_BC + met_BC * (again_BC + self.again_bias)

    def penalty(self) -> Tensor:
        """What holds the fit near the prior: plain weights, no gates, equal buckets."""
        gates = self.query.weight.square().sum() + (self.key_KW.square().sum() * 0.01)
        buckets = (self.bucket_SK - 1).square().sum()
        moved = (self.strength_K - self.prior_K).square().sum()
        if self.towers_K is not None:
            moved = moved + (self.again_K - 1).square().sum() + self.again_bias.square()
        return self.config.penalty * (gates + buckets) + self.config.prior_penalty * moved


@dataclass(frozen=True)
class Rivals:
    """What held-out targets compete with: C items each, the target first.

    Attributes:
        evidence_BCK: scaled evidence of target and rivals.
        bucket_BC: their item buckets.
        context_BF: state of each user.
        correction_BC: added to the scores, for rivals that stand for others too.
        met_BC: whether the history holds them; where it is None, none of them.
    """

    evidence_BCK: Tensor
    bucket_BC: Tensor
    context_BF: Tensor
    correction_BC: Tensor
    met_BC: Tensor | None = None

    @classmethod
    def joined(cls, parts: Sequence[Rivals]) -> Rivals:
        """The targets of several batches that have the same number of rivals."""
        met = [part.met_BC for part in parts if part.met_BC is not None]
        return cls(
            torch.cat([part.evidence_BCK for part in parts]),
            torch.cat([part.bucket_BC for part in parts]),
            torch.cat([part.context_BF for part in parts]),
            torch.cat([part.correction_BC for part in parts]),
            torch.cat(met) if met else None,
        )


@torch.no_grad()
def find_rivals(
    fusion: Fusion,
    evidence_BIK: Tensor,
    context_BF: Tensor,
    bucket_I: Tensor,
    masked_BI: Tensor,
    target_B: Tensor,
    free: int | None = None,
    seed: int = 0,
    most: int = MOST_RIVALS,
    met_BI: Tensor | None = None,
) -> Rivals:
    """The rivals of held-out targets.

    Args:
        fusion: before its fit.
        evidence_BIK: [B, I, K] scaled evidence.
        context_BF: [B, F] state of each user.
        bucket_I: [I] item bucket: 0 new, 1 rare, 2 well known.
        masked_BI: [B, I] items that may not be recommended (the history).
        target_B: [B] the held-out item, in no training count.
        free: rivals that every target has at least; counted here when absent.
        seed: of the sample.
        most: rivals that each target gets; see :func:`rivals_each`.
        met_BI: [B, I] items of the history, where they are rivals.
    """
    score_BI = fusion(evidence_BIK, context_BF, bucket_I)
    rival_BC, correction_BC = _rivals(score_BI, masked_BI, target_B, free, seed, most)
    index_BCK = rival_BC[..., None].expand(-1, -1, evidence_BIK.shape[2])
    return Rivals(
        evidence_BIK.gather(1, index_BCK),
        bucket_I[rival_BC],
        context_BF,
        correction_BC,
        None if met_BI is None else met_BI.gather(1, rival_BC),
    )


def rivals_each(n_targets: int) -> int:
    """How many rivals each of so many targets competes with."""
    return min(max(PAIRS // max(n_targets, 1), LEAST_RIVALS), MOST_RIVALS)


def fit_fusion(fusion: Fusion, rivals: Rivals) -> float:
    """Fit the gates, in place, by the listwise loss of held-out targets; returns the final loss.

    Evidence that hardly counts afterwards is silenced: it costs time in every answer.
    """
    parameters: list[Tensor] = [fusion.strength_K]
    if fusion.config.buckets:
        parameters.append(fusion.bucket_SK)
    if fusion.config.attention:
        parameters += [fusion.key_KW, fusion.query.weight]
    if fusion.towers_K is not None:
        parameters += [fusion.again_K, fusion.again_bias]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=fusion.config.iterations, line_search_fn="strong_wolfe"
    )
    first_B = torch.zeros_like(rivals.bucket_BC[:, 0])

    def closure() -> Tensor:
        optimizer.zero_grad()
        asked = (rivals.evidence_BCK, rivals.context_BF, rivals.bucket_BC, rivals.met_BC)
        score_BC = fusion.gated(*asked)
        loss = F.cross_entropy(score_BC + rivals.correction_BC, first_B) + fusion.penalty()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        size_K = fusion.strength_K.abs()
        fusion.strength_K[size_K < LEAST_STRENGTH * size_K.max()] = 0.0
    return float(closure().detach())  # step() gives back the loss before the fit


def _of_bucket(score_BCS: Tensor, bucket_BC: Tensor) -> Tensor:
    return score_BCS.gather(2, bucket_BC[..., None]).squeeze(2)


def _rivals(
    score_BI: Tensor, masked_BI: Tensor, target_B: Tensor, free: int | None, seed: int, most: int
) -> tuple[Tensor, Tensor]:
    """Whom a target competes with: [B, C] items, the target first, and [B, C] corrections.

    The items that plain weights rank highest, where order is decided, and a uniform sample of the
    others, corrected by the log of the sampling rate so that the loss estimates the full softmax
    (Jean et al. 2015, section 3): with the highest alone, evidence that made them high would look
    worthless.
    """
    score_BI = score_BI.masked_fill(masked_BI, float("-inf"))
    score_BI.scatter_(1, target_B[:, None], float("-inf"))
    free_B = torch.isfinite(score_BI).sum(1)
    free = int(free_B.min()) if free is None else free
    top_BC = score_BI.topk(min(most // 4, free), dim=1).indices
    chance_BI = torch.rand(score_BI.shape, generator=torch.Generator().manual_seed(seed))
    chance_BI = chance_BI.to(score_BI.device).masked_fill(~torch.isfinite(score_BI), -1.0)
    chance_BI.scatter_(1, top_BC, -1.0)
    n_top = top_BC.shape[1]
    other_BC = chance_BI.topk(min(most - most // 4, free - n_top), dim=1).indices
    rival_BC = torch.cat([target_B[:, None], top_BC, other_BC], dim=1)
    correction_BC = score_BI.new_zeros(rival_BC.shape)
    if other_BC.shape[1]:  # who met little has more rivals that the sample stands for
        correction_BC[:, 1 + n_top :] = ((free_B - n_top) / other_BC.shape[1]).log()[:, None]
    return rival_BC, correction_BC


def item_buckets(count_I: Tensor) -> Tensor:
    """[I] 0 for items without training events, 1 for rare ones, 2 for the others."""
    return (count_I > 0).long() + (count_I >= RARE_BELOW).long()

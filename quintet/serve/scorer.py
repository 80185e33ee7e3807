"""From histories to scores, ranks and the answers of every task; rows in, rows out.

The same object serves requests and makes the published numbers. It holds no user state: whoever
calls hands it the histories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quintet.data.interactions import Floats, Interactions, Ints, Mask, seeded_hash
from quintet.data.states import Moments
from quintet.nn.calibration import Calibration
from quintet.nn.fusion import N_BUCKETS, Fusion, item_buckets
from quintet.nn.tasks.interaction import Interaction, PairScores
from quintet.nn.tasks.profile import Profile
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.fused import FusedScores
from quintet.serve.top import Ranked, top_k


@dataclass(frozen=True)
class Predicted:
    """Calibrated answers for N pairs, given that the item is what the user meets next.

    Attributes:
        level_NK: [N, K] probabilities of the rating's levels.
        value_N: [N] expected rating; NaN where the data set has none.
        behaviour_NB: [N, B] probability of each behaviour within the horizon; never above that
            of what it implies.
    """

    level_NK: Floats
    value_N: Floats
    behaviour_NB: Floats


class Scorer:
    """Fused scores and task answers of one trained model."""

    def __init__(
        self, evidence: EvidenceBuilder, fusion: Fusion, calibration: Calibration, seed: int = 0
    ) -> None:
        self.evidence = evidence
        self.fusion = fusion.eval()
        self.calibration = calibration.eval()
        n_items = evidence.model.shape.n_items
        count_I = torch.from_numpy(evidence.count_I).to(evidence.device)
        self.bucket_I = item_buckets(count_I)
        self.tie_I = seeded_hash(np.arange(n_items), seed)
        self.fused = FusedScores(evidence, self.fusion, self.bucket_I)

    # ------------------------------------------------------------------ ranking

    @torch.no_grad()
    def scores(self, histories: Interactions) -> Floats:
        """[B, I] fused score of every item for every history, nothing masked."""
        scores = np.zeros((histories.n_users, len(self.tie_I)), np.float32)
        for rows, block in self.evidence.blocks(histories):
            scores[rows] = self._block_scores(block)
        return scores

    def _block_scores(self, block: Interactions) -> Floats:
        """[B, I] fused scores; without a history, popularity and what attributes tell."""
        scores = self.fused(block)
        empty_B = block.lengths == 0
        if empty_B.any():
            scores[empty_B] = self.fallback_scores(block.users(np.flatnonzero(empty_B)))
        return scores

    @torch.no_grad()
    def fallback_scores(self, strangers: Interactions) -> Floats:
        """[B, I] scores of people without a history."""
        weight_BK = self._fallback(strangers)
        queries = self.evidence.queries(strangers, names=self.evidence.towers)
        popularity_I = torch.from_numpy(self.evidence.popularity_I).to(weight_BK)
        score_BI = popularity_I.repeat(strangers.n_users, 1)
        for place, name in enumerate(self.evidence.names):
            if name in queries and bool(weight_BK[:, place].any()):
                weighted_BX = queries[name] * weight_BK[:, place, None]
                score_BI += weighted_BX @ self.evidence.linear[name].item_IX.T
        scores: Floats = score_BI.cpu().numpy()
        return scores

    @torch.no_grad()
    def weights(self, block: Interactions) -> Tensor:
        """[B, I, K] the weight of each kind of evidence in the score of every item."""
        return self.bucket_weights(block)[:, self.bucket_I]

    @torch.no_grad()
    def bucket_weights(self, block: Interactions, weight_BK: Tensor | None = None) -> Tensor:
        """[B, S, K] the weight of each kind of evidence for new, rare and well-known items.

        Args:
            block: of histories.
            weight_BK: the gates, where the caller has them.
        """
        if weight_BK is None:
            weight_BK = self.fusion.weights(self.evidence.context(block))
        bucket_S = torch.arange(N_BUCKETS, device=self.evidence.device)
        gated_BSK = self.fusion.item_weights(weight_BK, bucket_S)
        return torch.where(
            self._empty(block)[:, None, None], self._fallback(block)[:, None], gated_BSK
        )

    def _fallback(self, block: Interactions) -> Tensor:
        """[B, K] weights without a history: gates were fitted on people who have one."""
        names = self.evidence.names
        towers = [place for place, name in enumerate(names) if name in self.evidence.towers]
        weight_BK = torch.zeros(block.n_users, len(names), device=self.evidence.device)
        known_B1 = torch.from_numpy(block.owners() >= 0).to(weight_BK)[:, None]
        weight_BK[:, towers] = known_B1 / max(len(towers), 1)
        weight_BK[:, -1] = 1.0
        return weight_BK

    def _empty(self, block: Interactions) -> Tensor:
        return torch.from_numpy(block.lengths == 0).to(self.evidence.device)

    @torch.no_grad()
    def rank(
        self,
        histories: Interactions,
        k: int,
        *,
        mask_history: bool = True,
        allowed_I: Mask | None = None,
        shift_I: Floats | None = None,
    ) -> Ranked:
        """The ``k`` best items of every history: pure order, no policy and no rules.

        Args:
            histories: a batch of histories.
            k: how many items.
            mask_history: whether items of the history are left out.
            allowed_I: [I] items that may be recommended; all when absent.
            shift_I: [I] added to the scores, such as the match of a query.
        """
        ranked = Ranked.empty(histories.n_users, k)

        def rank_block(rows: Ints, block: Interactions) -> None:
            score_BI = self._block_scores(block)
            if shift_I is not None:
                score_BI += shift_I
            if mask_history:
                score_BI[block.group(), block.item] = -np.inf
            if allowed_I is not None:
                score_BI[:, ~allowed_I] = -np.inf
            top = top_k(score_BI, k, self.tie_I)
            ranked.items_BK[rows], ranked.scores_BK[rows] = top.items_BK, top.scores_BK

        side_by_side(rank_block, list(self.evidence.blocks(histories)))
        return ranked

    # ------------------------------------------------------------------ the other tasks

    @torch.no_grad()
    def predict(self, moments: Moments, item_B: NDArray[np.integer]) -> Predicted:
        """What happens if the b-th item is met next at the b-th moment."""
        return self.calibrated(self.pair_scores(moments, item_B), scenarios_of(moments))

    @torch.no_grad()
    def calibrated(self, raw: PairScores, scenario_N: Ints) -> Predicted:
        """Probabilities of pairs; ``scenario_N`` [N] is -1 where the scenario is not known."""
        task = self.evidence.model.task("interaction")
        assert isinstance(task, Interaction)
        scaled = self.calibration(raw, torch.from_numpy(scenario_N).to(self.evidence.device))
        level_NK = scaled.level_logit_NK.softmax(-1)
        if level_NK.shape[1]:
            value_N = task.expected_value(scaled)
        else:
            value_N = torch.full((len(level_NK),), float("nan"))
        return Predicted(
            level_NK.cpu().numpy(),
            value_N.cpu().numpy(),
            task.chances(scaled).cpu().numpy(),
        )

    @torch.no_grad()
    def pair_scores(self, moments: Moments, item_B: NDArray[np.integer]) -> PairScores:
        """Uncalibrated logits of pairs."""
        task = self.evidence.model.task("interaction")
        assert isinstance(task, Interaction)
        shared_BD, features = self._state_and_features("interaction", moments)
        rows = torch.from_numpy(np.asarray(item_B, np.int64)).to(self.evidence.device)
        return task.pair_scores(shared_BD, features, rows, self.evidence.tables.joint_ID)

    @torch.no_grad()
    def interests(self, moments: Moments) -> Floats:
        """[B, C] predicted shares of the item categories in the next window of events."""
        task = self.evidence.model.task("profile")
        assert isinstance(task, Profile)
        if self.evidence.model.shape.interest is None:
            return np.zeros((len(moments), 0), np.float32)
        logits = task.interest_logits(*self._state_and_features("profile", moments))
        return np.asarray(logits.softmax(-1).cpu().numpy(), np.float32)

    @torch.no_grad()
    def strategy(self, moments: Moments) -> Floats:
        """[B, 5] probability of each strategy for the next event, before its item is known."""
        task = self.evidence.model.task("strategy")
        assert isinstance(task, Strategy)
        logits = task.logits(*self._state_and_features("strategy", moments))
        return np.asarray(logits.softmax(-1).cpu().numpy(), np.float32)

    def _state_and_features(self, task: str, moments: Moments) -> tuple[Tensor, dict[str, Tensor]]:
        state_BD = self.evidence.states(moments, [task]).of(task)
        return state_BD, self.evidence.task_features(task, moments)


def side_by_side(
    work: Callable[[Ints, Interactions], None], blocks: Sequence[tuple[Ints, Interactions]]
) -> None:
    """Do one thing with every block: each core a block of its own, if there are enough of them.

    Most steps of a block are too small to be shared out among cores.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(blocks) < 2 * threads:
        for rows, block in blocks:
            work(rows, block)
        return

    def alone(one: tuple[Ints, Interactions]) -> None:
        with torch.no_grad():  # which holds for one thread
            work(*one)

    try:
        with ThreadPoolExecutor(threads, "quintet-rank", torch.set_num_threads, (1,)) as pool:
            for _ in pool.map(alone, blocks):
                pass
    finally:
        torch.set_num_threads(threads)


def scenarios_of(moments: Moments) -> Ints:
    """[B] index of the scenario that each moment asks in, -1 where it is not known."""
    unknown_B = np.full(len(moments), -1, np.int64)
    return unknown_B if moments.request is None else moments.request.get("scenario", unknown_B)

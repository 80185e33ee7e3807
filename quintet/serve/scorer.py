"""From histories to scores, ranks and the answers of every task; rows in, rows out.

The same object serves requests and makes the published numbers. It holds no user state: whoever
calls hands it the histories.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quintet.data.interactions import Floats, Interactions, Ints, Mask, seeded_hash
from quintet.data.states import Moments
from quintet.nn.calibration import Calibration
from quintet.nn.fusion import Fusion, item_buckets
from quintet.nn.tasks.interaction import Interaction, PairScores
from quintet.nn.tasks.profile import Profile
from quintet.nn.tasks.strategy import Strategy
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.fused import FusedScores


@dataclass(frozen=True)
class Ranked:
    """Ordered items of B histories.

    Attributes:
        items_BK: [B, K] item rows, best first; -1 where fewer than K may be recommended.
        scores_BK: [B, K] fused scores; -inf where there is no item.
    """

    items_BK: Ints
    scores_BK: Floats


@dataclass(frozen=True)
class Predicted:
    """Calibrated answers for N pairs, given that the item is the user's next event.

    Attributes:
        level_NK: [N, K] probabilities of the rating's levels.
        value_N: [N] expected rating; NaN where the data set has none.
        behaviour_NB: [N, B] probability of each behaviour within the horizon.
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
            strangers = block.users(np.flatnonzero(empty_B))
            evidence_BIK = self.evidence.evidence(strangers)
            fallback_BI = torch.einsum("bik,bk->bi", evidence_BIK, self._fallback(strangers))
            scores[empty_B] = fallback_BI.cpu().numpy()
        return scores

    @torch.no_grad()
    def weights(self, block: Interactions) -> Tensor:
        """[B, I, K] the weight of each kind of evidence in the score of every item."""
        gated_BIK = self.fusion.item_weights(self.evidence.context(block), self.bucket_I)
        return torch.where(
            self._empty(block)[:, None, None], self._fallback(block)[:, None], gated_BIK
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
    ) -> Ranked:
        """The ``k`` best items of every history: pure order, no policy and no rules.

        Args:
            histories: a batch of histories.
            k: how many items.
            mask_history: whether items of the history are left out.
            allowed_I: [I] items that may be recommended; all when absent.
        """
        items = np.full((histories.n_users, k), -1, np.int64)
        scores = np.full((histories.n_users, k), -np.inf, np.float32)
        for rows, block in self.evidence.blocks(histories):
            score_BI = self._block_scores(block)
            if mask_history:
                score_BI[block.group(), block.item] = -np.inf
            if allowed_I is not None:
                score_BI[:, ~allowed_I] = -np.inf
            top = top_k(score_BI, k, self.tie_I)
            items[rows], scores[rows] = top.items_BK, top.scores_BK
        return Ranked(items, scores)

    # ------------------------------------------------------------------ the other tasks

    @torch.no_grad()
    def predict(self, moments: Moments, item_B: NDArray[np.integer]) -> Predicted:
        """What happens if the next event at the b-th moment is on the b-th item."""
        task = self.evidence.model.task("interaction")
        assert isinstance(task, Interaction)
        raw = self.pair_scores(moments, item_B)
        scaled = self.calibration(raw)
        level_NK = scaled.level_logit_NK.softmax(-1)
        if level_NK.shape[1]:
            value_N = task.expected_value(scaled)
        else:
            value_N = torch.full((len(item_B),), float("nan"))
        return Predicted(
            level_NK.cpu().numpy(),
            value_N.cpu().numpy(),
            scaled.behaviour_logit_NB.sigmoid().cpu().numpy(),
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
        shared_BD = self.evidence.states(moments).shared_BD
        return shared_BD, self.evidence.task_features(task, moments)


def top_k(score_BI: Floats, k: int, tie_I: Ints) -> Ranked:
    """The ``k`` largest of every row; equal scores are ordered by a seeded hash of the item row."""
    n_items = score_BI.shape[1]
    take = min(k, n_items)
    items = np.full((len(score_BI), k), -1, np.int64)
    scores = np.full((len(score_BI), k), -np.inf, np.float32)
    row, column = _competing(score_BI, take)
    value = score_BI[row, column]
    order = np.lexsort((tie_I[column], -value, row))
    row, column, value = row[order], column[order], value[order]
    first = np.searchsorted(row, np.arange(len(score_BI)))
    slot = np.arange(len(row)) - first[row]
    kept = slot < take
    items[row[kept], slot[kept]] = column[kept]
    scores[row[kept], slot[kept]] = value[kept]
    return Ranked(items, scores)


def _competing(score_BI: Floats, take: int) -> tuple[Ints, Ints]:
    """Rows and columns of everything at or above the ``take``-th score of its row.

    A tie at the edge is to be broken fairly, so all that share it compete; one score more than
    asked for tells where there is such a tie, and only those rows are read again.
    """
    probed = torch.from_numpy(score_BI).topk(min(take + 1, score_BI.shape[1]), dim=1)
    value_BP, column_BP = probed.values.numpy(), probed.indices.numpy()
    floor_B = value_BP[:, take - 1]
    tied_B = (value_BP[:, -1] == floor_B) & np.isfinite(floor_B) & (value_BP.shape[1] > take)
    clear = np.isfinite(value_BP[:, :take]) & ~tied_B[:, None]
    row, place = np.nonzero(clear)
    again = np.flatnonzero(tied_B)
    block = score_BI[again]
    tied_row, tied_column = np.nonzero((block >= floor_B[again, None]) & np.isfinite(block))
    rows = np.concatenate([row, again[tied_row]])
    return rows, np.concatenate([column_BP[row, place], tied_column])

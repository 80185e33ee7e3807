"""Fused scores without a dense matrix for every kind of evidence.

Towers and everything else that scores by an inner product become one product of concatenated
vectors: the gates scale the history's side, the item's bucket the item's side. Memories add their
neighbours where they have any. The result is that of ``Σ_k weight_k · evidence_k``
(:mod:`quintet.nn.fusion`), which the tests hold it to; the two sides are also what an index over
the catalogue needs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from quintet.data.interactions import Floats, Interactions
from quintet.memory.matrices import Matrix, rows_of
from quintet.nn.fusion import Fusion
from quintet.serve.evidence import EvidenceBuilder


class FusedScores:
    """Scores of one model with its gates.

    Shapes: B histories, I items, N items without training events, K evidence, X coordinates of all
    inner products together.
    """

    @torch.no_grad()
    def __init__(self, evidence: EvidenceBuilder, fusion: Fusion, bucket_I: Tensor) -> None:
        self.evidence = evidence
        self.fusion = fusion
        names = evidence.names
        self.place = {name: index for index, name in enumerate(names)}
        self.scale_IK = fusion.bucket_SK[bucket_I].detach().clone()
        has_new = fusion.new_K is not None
        self.new_I = bucket_I == 0 if has_new else torch.zeros_like(bucket_I, dtype=torch.bool)
        self.new_K = fusion.new_K if fusion.new_K is not None else fusion.strength_K.detach()
        self.scale_IK[self.new_I] = 0.0
        popularity_I = torch.from_numpy(evidence.popularity_I).to(evidence.device)
        sides = {name: side.item_IX for name, side in evidence.linear.items()}
        self.sides = {**sides, "popularity": popularity_I[:, None]}
        self.item_XI = torch.cat(
            [side * self.scale_IK[:, self.place[n], None] for n, side in self.sides.items()], 1
        ).T.contiguous()
        self.new_item_XN = torch.cat(
            [side[self.new_I] * self.new_K[self.place[n]] for n, side in self.sides.items()], 1
        ).T.contiguous()

    @torch.no_grad()
    def __call__(
        self,
        histories: Interactions,
        queries: Mapping[str, Tensor] | None = None,
        recalled: Mapping[str, Matrix | Floats] | None = None,
    ) -> Floats:
        """[B, I] fused scores, nothing masked.

        Args:
            histories: a batch.
            queries: of ``EvidenceBuilder.queries`` for it, where the caller has them.
            recalled: of :meth:`recall` for it, likewise.
        """
        weight_BK = self.fusion.weights(self.evidence.context(histories))
        known = self.evidence.queries(histories) if queries is None else queries
        recalled = self.recall(histories) if recalled is None else recalled
        queries = dict(known)
        queries["popularity"] = weight_BK.new_ones(histories.n_users, 1)
        gated = [queries[name] * weight_BK[:, self.place[name], None] for name in self.sides]
        score_BI = torch.cat(gated, dim=1) @ self.item_XI
        if self.new_item_XN.shape[1]:
            plain = torch.cat([queries[name] for name in self.sides], dim=1)
            score_BI[:, self.new_I] = plain @ self.new_item_XN
        scores: Floats = score_BI.cpu().numpy()
        for name, found in recalled.items():
            self._add(scores, found, self.place[name], weight_BK.cpu().numpy())
        return scores

    def recall(self, histories: Interactions) -> dict[str, Matrix | Floats]:
        """[B, I] what each memory that is no inner product recalls, sparse where it can be."""
        found: dict[str, Matrix | Floats] = {}
        for name, memory in self.evidence.recallable.items():
            if name not in self.sides:
                sparse = self.evidence.recalled_sparse(memory, histories)
                dense = self.evidence.recalled
                found[name] = dense(memory, histories) if sparse is None else sparse
        return found

    def _add(
        self,
        scores: Floats,
        sparse: Matrix | Floats,
        index: int,
        weight_BK: Floats,
    ) -> None:
        """Add what one memory recalls, by the weights of the user and of the item."""
        scale_I = self.scale_IK[:, index].cpu().numpy()
        fixed_I = np.where(self.new_I.cpu().numpy(), float(self.new_K[index]), 0.0)
        if isinstance(sparse, np.ndarray):
            weight_BI = weight_BK[:, index, None] * scale_I + fixed_I
            scores += sparse * weight_BI.astype(np.float32)
            return
        row, column = rows_of(sparse), sparse.indices
        weight = weight_BK[row, index] * scale_I[column] + fixed_I[column]
        place = row * scores.shape[1] + column
        scores.reshape(-1)[place] += sparse.data * weight.astype(np.float32)

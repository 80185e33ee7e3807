"""Fused scores without a dense matrix for every kind of evidence.

Towers and everything else that scores by an inner product become one product of concatenated
vectors: the gates scale the history's side, the item's bucket the item's side. Memories add their
neighbours where they have any. The result is that of ``Σ_k weight_k · evidence_k``
(:mod:`quintet.nn.fusion`), which the tests hold it to; the two sides are also what an index over
the catalogue needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
        self.sides = {name: side.item_IX for name, side in evidence.linear.items()}
        if "popularity" in self.place:
            popularity_I = torch.from_numpy(evidence.popularity_I).to(evidence.device)
            self.sides["popularity"] = popularity_I[:, None]
        counts = (fusion.strength_K != 0).tolist()
        counts_for_new = ((self.new_K != 0) & self.new_I.any()).tolist()
        self.gated = [name for name in self.sides if counts[self.place[name]]]
        self.plain = [name for name in self.sides if counts_for_new[self.place[name]]]
        self.remembered = [
            name
            for name in evidence.recallable
            if name not in self.sides
            and (counts[self.place[name]] or counts_for_new[self.place[name]])
        ]
        scale_IK, new_I = self.scale_IK, self.new_I
        self.item_XI = self._side_by_side(
            [self.sides[name] * scale_IK[:, self.place[name], None] for name in self.gated],
            len(bucket_I),
        )
        self.new_item_XN = self._side_by_side(
            [self.sides[name][new_I] * self.new_K[self.place[name]] for name in self.plain],
            int(new_I.sum()),
        )

    def _side_by_side(self, blocks: Sequence[Tensor], rows: int) -> Tensor:
        """[X, rows] item sides one below the other."""
        nothing = torch.zeros(rows, 0, device=self.evidence.device)
        return torch.cat([nothing, *blocks], dim=1).T.contiguous()

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
        empty_B0 = queries["popularity"][:, :0]
        gated = [queries[name] * weight_BK[:, self.place[name], None] for name in self.gated]
        score_BI = torch.cat([empty_B0, *gated], dim=1) @ self.item_XI
        if self.new_item_XN.shape[1]:
            plain = torch.cat([empty_B0, *(queries[name] for name in self.plain)], dim=1)
            score_BI[:, self.new_I] = plain @ self.new_item_XN
        scores: Floats = score_BI.cpu().numpy()
        for name, found in recalled.items():
            self._add(scores, found, self.place[name], weight_BK.cpu().numpy())
        return scores

    def recall(self, histories: Interactions) -> dict[str, Matrix | Floats]:
        """[B, I] what each memory that is no inner product recalls, sparse where it can be."""
        found: dict[str, Matrix | Floats] = {}
        for name in self.remembered:
            memory = self.evidence.recallable[name]
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
        weight_B = weight_BK[:, index].astype(np.float32)
        weight = weight_B[row] * scale_I[column]
        if self.new_I.any():
            weight += fixed_I.astype(np.float32)[column]
        scores.reshape(-1)[row * scores.shape[1] + column] += sparse.data * weight

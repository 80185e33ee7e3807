"""Fused scores without a dense matrix for every kind of evidence.

Towers and everything else that scores by an inner product become one product of concatenated
vectors: the gates scale the history's side, the item's bucket the item's side. Memories add their
neighbours where they have any. The result is that of ``Σ_k weight_k · evidence_k``
(:mod:`quintet.nn.fusion`), which the tests hold it to; the two sides are also what an index over
the catalogue needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from quintet.data.interactions import Floats, Interactions, Ints
from quintet.memory.entries import Entries
from quintet.memory.walks import Walks
from quintet.nn.fusion import Fusion
from quintet.serve.evidence import EvidenceBuilder, compressed_entries


@dataclass(frozen=True)
class Sides:
    """The history's side of the fused score of B histories: a state, from which scores are made.

    Attributes:
        gated_BX: [B, X] for items with counts, scaled by the gates.
        plain_BX: [B, X] for new items, whose weights are the item's side.
        weight_BK: [B, K] the gates.
    """

    gated_BX: Tensor
    plain_BX: Tensor
    weight_BK: Tensor


@dataclass(frozen=True)
class Recalled:
    """What memories that are no inner products recall for B histories, on the gates' scale.

    Attributes:
        names: of those M that recall few items.
        entries: [M * B, I] what they recall, one memory below the other.
        dense: [B, I] evidence of the others, by name.
    """

    names: tuple[str, ...]
    entries: Entries
    dense: Mapping[str, Floats]


class Met(NamedTuple):
    """N pairs of a history and an item that it holds, in order, and what is added to their scores.

    None where nobody returns to any, and without new items, which are weighed otherwise.
    """

    row_N: Ints
    item_N: Ints
    added_N: Floats


def met_pairs(histories: Interactions) -> Ints:
    """[N] the pairs of a history and an item that it holds, as ``row * I + item``, none twice."""
    return np.unique(histories.group() * np.int64(histories.n_items) + histories.item)


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
        self.sides_of = evidence.item_sides
        counts = (fusion.strength_K != 0).tolist()
        counts_for_new = ((self.new_K != 0) & self.new_I.any()).tolist()
        self.gated = [name for name in self.sides_of if counts[self.place[name]]]
        self.plain = [name for name in self.sides_of if counts_for_new[self.place[name]]]
        #: kinds of evidence that the history is asked for: those that count, and the towers, which
        #: are all there is of people without a history
        self.asked = frozenset([*self.gated, *self.plain, *evidence.towers])
        self.remembered = {
            name: memory
            for name, memory in evidence.recallable.items()
            if name not in self.sides_of
            and (counts[self.place[name]] or counts_for_new[self.place[name]])
        }
        self.walks = Walks(self.remembered)
        scale_IK, new_I = self.scale_IK, self.new_I
        self.item_IX = self._side_by_side(
            [self.sides_of[name] * scale_IK[:, self.place[name], None] for name in self.gated],
            len(bucket_I),
        )
        n_new = int(new_I.sum())
        #: the last coordinate is what sets new items apart from known ones; its partner is 1
        self.new_item_NX = self._side_by_side(
            [
                *(self.sides_of[name][new_I] * self.new_K[self.place[name]] for name in self.plain),
                fusion.new_bias.expand(n_new, 1),
            ],
            n_new,
        )
        self.new_N = torch.nonzero(new_I)[:, 0]
        again_K = None if fusion.again is None else fusion.again.detach()
        #: [X] what is added to the gated side for items of the history, in shares of it; None where
        #: nobody returns to any
        self.again_X = None if again_K is None else self._by_coordinate(again_K)
        self.again_K = np.zeros(0, np.float32) if again_K is None else again_K.cpu().numpy()
        self.again_bias = 0.0 if again_K is None else float(fusion.again_bias)
        self.bucket_I = bucket_I.cpu().numpy().astype(np.int8)
        #: [K, S] weights by bucket: what the gates scale, and what they do not touch
        self.scale_KS = fusion.bucket_SK.detach().cpu().numpy().T.copy()
        self.fixed_KS = np.zeros_like(self.scale_KS)
        if has_new:
            self.scale_KS[:, 0], self.fixed_KS[:, 0] = 0.0, self.new_K.cpu().numpy()

    def _by_coordinate(self, share_K: Tensor) -> Tensor:
        """[X] a number of each kind of evidence, for every coordinate of :attr:`gated`."""
        shares = [share_K[self.place[name]] for name in self.gated]
        widths = [self.sides_of[name].shape[1] for name in self.gated]
        repeated = [share.expand(width) for share, width in zip(shares, widths, strict=True)]
        return torch.cat([share_K[:0], *repeated])

    def _side_by_side(self, blocks: Sequence[Tensor], rows: int) -> Tensor:
        """[rows, X] item sides one beside the other."""
        nothing = torch.zeros(rows, 0, device=self.evidence.device)
        return torch.cat([nothing, *blocks], dim=1)

    @torch.no_grad()
    def sides(self, histories: Interactions, queries: Mapping[str, Tensor] | None = None) -> Sides:
        """The history's side of all inner products.

        Args:
            histories: a batch.
            queries: of ``EvidenceBuilder.queries`` for it, of all that are :attr:`asked`, where
                the caller has them.
        """
        weight_BK = self.fusion.weights(self.evidence.context(histories))
        if queries is None:
            queries = self.evidence.queries(histories, names=self.asked)
        known = dict(queries)
        known["popularity"] = weight_BK.new_ones(histories.n_users, 1)
        empty_B0 = weight_BK[:, :0]
        gated = [known[name] * weight_BK[:, self.place[name], None] for name in self.gated]
        plain = [*(known[name] for name in self.plain), known["popularity"]]
        return Sides(
            torch.cat([empty_B0, *gated], dim=1), torch.cat([empty_B0, *plain], dim=1), weight_BK
        )

    @torch.no_grad()
    def __call__(
        self,
        histories: Interactions,
        sides: Sides | None = None,
        recalled: Recalled | None = None,
        met: Met | None = None,
        out_BI: Tensor | None = None,
    ) -> Floats:
        """[B, I] fused scores, nothing masked.

        Args:
            histories: a batch.
            sides: of :meth:`sides` for it, where the caller has them.
            recalled: of :meth:`recall` for it, likewise.
            met: of :meth:`met` for it, likewise.
            out_BI: where the scores are written, for a caller that keeps memory for them.
        """
        sides = self.sides(histories) if sides is None else sides
        recalled = self.recall(histories) if recalled is None else recalled
        score_BI = torch.matmul(sides.gated_BX, self.item_IX.T, out=out_BI)
        if len(self.new_N):
            score_BI.index_copy_(1, self.new_N, sides.plain_BX @ self.new_item_NX.T)
        scores: Floats = score_BI.cpu().numpy()
        met = self.met(histories, sides) if met is None else met
        scores[met.row_N, met.item_N] += met.added_N
        weight_BK = sides.weight_BK.cpu().numpy()
        weight_RS = self.bucket_weights(recalled.names, weight_BK)
        recalled.entries.add_to(scores, weight_RS, self.bucket_I)
        for name, found_BI in recalled.dense.items():
            scores += found_BI * self.bucket_weights([name], weight_BK)[:, self.bucket_I]
        return scores

    @torch.no_grad()
    def met(self, histories: Interactions, sides: Sides) -> Met:
        """What items of the histories score beside what any item does."""
        if self.again_X is None:
            none = np.zeros(0, np.int64)
            return Met(none, none, np.zeros(0, np.float32))
        row_N, item_N = np.divmod(met_pairs(histories), histories.n_items)
        known = ~self.new_I.cpu().numpy()[item_N]
        row_N, item_N = row_N[known], item_N[known]
        own_NX = self.item_IX[torch.from_numpy(item_N)]
        state_NX = (sides.gated_BX * self.again_X)[torch.from_numpy(row_N)]
        added_N = torch.einsum("nx,nx->n", state_NX, own_NX) + self.again_bias
        return Met(row_N, item_N, added_N.cpu().numpy())

    def as_met(self, part_NK: Floats) -> Floats:
        """[N, K] what evidence adds to the scores of items of a history, from that for any item.

        The level of their own is part of what the copy head tells, where there is one.
        """
        if self.again_X is None:
            return part_NK
        made: Floats = part_NK * (1 + self.again_K)
        made[:, self.place.get("repeat", 0)] += self.again_bias
        return made

    def bucket_weights(self, names: Sequence[str], weight_BK: Floats) -> Floats:
        """[M * B, S] the weights of M kinds of evidence for the items of each bucket, given gates.

        Rows are one kind below the other.
        """
        weight_KBS = weight_BK.T[:, :, None] * self.scale_KS[:, None] + self.fixed_KS[:, None]
        weight_MBS: Floats = weight_KBS[[self.place[name] for name in names]]
        return weight_MBS.reshape(-1, weight_MBS.shape[2])

    def catalogue(self) -> Floats:
        """[I, X] the item's side of all inner products, whose partner is :meth:`history_side`."""
        if not len(self.new_item_NX):
            return np.asarray(self.item_IX.cpu().numpy(), np.float32)
        plain_IX = self.item_IX.new_zeros(len(self.item_IX), self.new_item_NX.shape[1])
        plain_IX[self.new_I] = self.new_item_NX
        return np.asarray(torch.cat([self.item_IX, plain_IX], dim=1).cpu().numpy(), np.float32)

    def history_side(self, sides: Sides) -> Floats:
        """[B, X] the partner of :meth:`catalogue`."""
        parts = [sides.gated_BX] + ([sides.plain_BX] if len(self.new_item_NX) else [])
        return np.asarray(torch.cat(parts, dim=1).cpu().numpy(), np.float32)

    def recall(self, histories: Interactions, weight_ME: Floats | None = None) -> Recalled:
        """What each memory that is no inner product recalls, without zeros where it can be.

        Args:
            histories: a batch.
            weight_ME: of :attr:`walks` for it, where the caller has them.
        """
        weight_ME = self.walks.weights(histories) if weight_ME is None else weight_ME
        found, dense = self.walks.recall(histories, weight_ME), {}
        for name, memory in self.remembered.items():
            if name in found:
                continue
            scores = None if memory.dense else memory.sparse_score(histories)
            if scores is None:
                dense[name] = self.evidence.recalled(memory, histories)
            else:
                found[name] = scores
        entries = Entries.stacked(list(found.values()), histories.n_items)
        full = [self.remembered[name].config.full or 0.0 for name in found]
        full_B = np.repeat(np.array(full, np.float32), histories.n_users)
        return Recalled(tuple(found), compressed_entries(entries, full_B), dense)

"""The best items of a catalogue that is too large to be scored whole.

Fused scores are one inner product of concatenated vectors and what memories add for the neighbours
that they recall. The inner product is searched in an inverted file (Jégou et al. 2011, section V:
items lie in lists, one a centroid, and a search looks into the few lists whose centroids are
nearest); the neighbours are joined to what it finds, and all are scored exactly. So what can be
missed is an item that no memory recalls and whose list was not looked into: how often, is measured
when the index is built.

Shapes: B histories, I items, C candidates, X coordinates, N pairs of a history and an item.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.errors import ConfigError, MissingExtraError
from quintet.serve.fused import FusedScores, Met, Recalled, Sides
from quintet.serve.scorer import Scorer
from quintet.serve.top import Ranked, best_of, top_k

#: items below which scoring all of them takes about a millisecond
LARGE = 100_000
POINTS_A_LIST = 64  # that k-means sees
RECALL = 0.99
DEPTH = 100


class InvertedFile:
    """Approximate largest inner products.

    Args:
        item_IX: [I, X] vectors; kept as they are given, beside the index.
        lists: of the file; about 2√I when absent.

    Raises:
        MissingExtraError: the extra ``ann`` is not installed.
    """

    def __init__(self, item_IX: Floats, lists: int | None = None) -> None:
        faiss = _faiss()
        n_items, width = item_IX.shape
        self.lists = lists if lists is not None else max(1, round(2 * n_items**0.5))
        self.item_IX = item_IX
        # with one coordinate that makes all vectors equally long, the nearest one has the largest
        # inner product (Bachrach et al. 2014), and lists of near vectors are of like sizes
        self._quantizer = faiss.IndexFlatL2(width + 1)
        self.index = faiss.IndexIVFFlat(self._quantizer, width + 1, self.lists, faiss.METRIC_L2)
        self.index.cp.max_points_per_centroid = POINTS_A_LIST
        self.index.cp.niter = 10
        square_I = np.einsum("ix,ix->i", item_IX, item_IX)
        rest_I1 = np.sqrt(np.maximum(square_I.max() - square_I, 0))[:, None]
        equally_long = np.concatenate([item_IX, rest_I1], axis=1).astype(np.float32)
        self.index.train(equally_long)
        self.index.add(equally_long)
        self.index.nprobe = min(8, self.lists)

    def search(self, query_BX: Floats, k: int) -> Ints:
        """[B, C] the items with the ``k`` largest inner products, -1 where fewer were found."""
        # the longer the query, the less its last coordinate says: direction is all that counts
        length_B1 = np.sqrt(np.einsum("bx,bx->b", query_BX, query_BX))[:, None]
        unit_BX = query_BX / np.maximum(length_B1, 1e-12)
        padded = np.concatenate([unit_BX, np.zeros_like(length_B1)], axis=1).astype(np.float32)
        found: Ints = self.index.search(padded, k)[1]
        return found

    def tune(self, query_BX: Floats, k: int, recall: float = RECALL) -> float:
        """Look into as many lists as it takes to find a share of the true best; the share found.

        Args:
            query_BX: [B, X] a sample of what will be asked.
            k: how many are wanted.
            recall: the share to reach.
        """
        tie_I = np.arange(len(self.item_IX))
        exact_BK = top_k(query_BX @ self.item_IX.T, k, tie_I).items_BK
        while True:
            found = self.search(query_BX, k)
            hits = [len(np.intersect1d(*pair)) for pair in zip(exact_BK, found, strict=True)]
            reached = sum(hits) / exact_BK.size
            if reached >= recall or self.index.nprobe >= self.lists:
                return reached
            self.index.nprobe = min(round(self.index.nprobe * 1.5), self.lists)


class Retriever:
    """The best items by fused scores, without scoring all.

    Args:
        fused: of the model as it stands now.
        tie_I: [I] order of equal scores.
        file: over the catalogue, or over the part of it that was there when it was built.
        always: rows that are scored for everybody: what came or changed since.
        recall: the share of the best that ``file`` finds.
    """

    def __init__(
        self,
        fused: FusedScores,
        tie_I: Ints,
        file: InvertedFile,
        always: Ints | None = None,
        recall: float = 1.0,
    ) -> None:
        self.fused, self.tie_I, self.file = fused, tie_I, file
        self.always = np.zeros(0, np.int64) if always is None else always
        self.recall = recall
        self.item_IX = fused.catalogue() if len(self.always) else file.item_IX

    @classmethod
    def build(cls, scorer: Scorer, sample: Interactions, k: int = DEPTH) -> Retriever:
        """An index over a catalogue, tuned on some histories to find the ``k`` best.

        Raises:
            ConfigError: a memory scores every item, which no index can join.
            MissingExtraError: the extra ``ann`` is not installed.
        """
        if not _sparse(scorer, sample):
            raise ConfigError("an index needs memories that recall few items; leave out the others")
        file = InvertedFile(scorer.fused.catalogue())
        recall = file.tune(scorer.fused.history_side(scorer.fused.sides(sample)), k)
        return cls(scorer.fused, scorer.tie_I, file, recall=recall)

    @staticmethod
    def usable(scorer: Scorer, sample: Interactions) -> bool:
        """Whether a catalogue is large, and every memory recalls few items of it."""
        return len(scorer.tie_I) > LARGE and sample.n_users > 0 and _sparse(scorer, sample)

    def grown(self, scorer: Scorer, changed: Ints) -> Retriever:
        """The same index after items were added (behind the others) or changed."""
        new = np.arange(len(self.file.item_IX), len(scorer.tie_I))
        always = np.union1d(changed, new)
        return Retriever(scorer.fused, scorer.tie_I, self.file, always, self.recall)

    def rank(
        self,
        histories: Interactions,
        k: int,
        *,
        sides: Sides | None = None,
        recalled: Recalled | None = None,
        met: Met | None = None,
        mask_history: bool = True,
        allowed_I: Mask | None = None,
    ) -> Ranked:
        """See :meth:`quintet.serve.scorer.Scorer.rank`.

        Args:
            histories: a batch; none of them empty.
            k: how many items.
            sides: of the histories, where the caller has them.
            recalled: of the memories, likewise.
            met: of the histories, likewise.
            mask_history: whether items of the history are left out.
            allowed_I: [I] items that may be recommended; all when absent. Few must be left out:
                what is not allowed takes the places of others among the candidates.
        """
        fused, n_items = self.fused, len(self.tie_I)
        sides = fused.sides(histories) if sides is None else sides
        recalled = fused.recall(histories) if recalled is None else recalled
        cells = recalled.entries.cells(histories.n_users)
        met = fused.met(histories, sides) if met is None else met
        met_cells = met.row_N * n_items + met.item_N
        query_BX = fused.history_side(sides)
        longest = int(histories.lengths.max(initial=0)) if mask_history else 0
        joined = np.concatenate([cells, met_cells])
        key = self._pairs(query_BX, joined, min(2 * k + longest, n_items))
        row, item = np.divmod(key, n_items)
        score = np.einsum("nx,nx->n", query_BX[row], self.item_IX[item])
        weight_RS = fused.bucket_weights(recalled.names, sides.weight_BK.cpu().numpy())
        added_N = recalled.entries.weighted(weight_RS, fused.bucket_I)
        np.add.at(score, np.searchsorted(key, cells), added_N)
        score[np.searchsorted(key, met_cells)] += met.added_N
        kept = np.ones(len(key), np.bool_) if allowed_I is None else allowed_I[item]
        if mask_history:
            kept &= ~np.isin(key, histories.group() * n_items + histories.item)
        return best_of(row[kept], item[kept], score[kept], histories.n_users, k, self.tie_I)

    def _pairs(self, query_BX: Floats, recalled: Ints, depth: int) -> Ints:
        """[N] candidates as ``history * I + item``, in order, none twice."""
        n_items = len(self.tie_I)
        # coordinates of new items come last, and were not there before the first of them
        found = self.file.search(query_BX[:, : self.file.item_IX.shape[1]], depth)
        first_B1 = np.arange(len(found))[:, None] * n_items
        keys = [(first_B1 + found)[found >= 0], (first_B1 + self.always).ravel()]
        return np.unique(np.concatenate([*keys, recalled]))


def _sparse(scorer: Scorer, sample: Interactions) -> bool:
    return not scorer.fused.recall(sample.users([0])).dense


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("an index over a large catalogue", "ann") from None
    return faiss

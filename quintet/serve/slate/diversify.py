"""Lists that are good together, not only item by item: max-sum, MMR, greedy DPP, calibration.

All three are greedy: an item is worth its relevance and what it adds to the items already chosen,
so that they can be mixed, and asked for one place at a time by whoever has rules to keep.

Shapes: C candidates, K places, D width of vectors, G categories of interest.

Sources: Carbonell and Goldstein, "The use of MMR", SIGIR 1998; Gollapudi and Sharma, "An axiomatic
approach for result diversification", WWW 2009 (max-sum); Chen, Zhang and Zhou, "Fast greedy MAP
inference for determinantal point process", NeurIPS 2018; Steck, "Calibrated recommendations",
RecSys 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from quintet.data.features import FeatureTable
from quintet.data.interactions import Ints

Values = NDArray[np.float64]

#: conditional variance below which an item is what is chosen already, seen from another side
LEAST_VARIANCE = 1e-10
#: share of the target mixed into what is shown, so that no divergence is infinite (Steck)
SMOOTHING = 0.01


class Gain(Protocol):
    """What each candidate adds to the items chosen so far."""

    def values(self) -> Values:
        """[C] the gain of each candidate as the next item."""

    def add(self, chosen: int) -> None:
        """Count a candidate as chosen."""


class Dispersion:
    """Max-sum diversification: minus the similarities to all chosen already, for each place.

    ``-Σ_j∈S sim(i, j) / K``. Over a slate of K places the gains add up to what one less the mean
    similarity of its pairs is, but for constants (Gollapudi and Sharma 2009, section 4.1).
    """

    def __init__(self, similarity_CC: Values, places: int) -> None:
        self.similarity_CC = similarity_CC
        self.places = places
        self.sum_C = np.zeros(len(similarity_CC))

    def values(self) -> Values:
        """See :class:`Gain`."""
        return -self.sum_C / self.places

    def add(self, chosen: int) -> None:
        """See :class:`Gain`."""
        self.sum_C = self.sum_C + self.similarity_CC[chosen]


class Dissimilarity:
    """Maximal marginal relevance: minus the greatest similarity to an item chosen already.

    ``-max_j∈S sim(i, j)``; 0 while nothing is chosen.
    """

    def __init__(self, similarity_CC: Values) -> None:
        self.similarity_CC = similarity_CC
        self.nearest_C: Values | None = None

    def values(self) -> Values:
        """See :class:`Gain`."""
        if self.nearest_C is None:
            return np.zeros(len(self.similarity_CC))
        return -self.nearest_C

    def add(self, chosen: int) -> None:
        """See :class:`Gain`."""
        row_C = self.similarity_CC[chosen]
        self.nearest_C = row_C if self.nearest_C is None else np.maximum(self.nearest_C, row_C)


class Volume:
    """The log-determinant that each item adds to a kernel's principal minor.

    ``log det L_{S+i} - log det L_S = log d_i²``, kept up to date in O(C) an item by growing the
    Cholesky factor a row at a time (Chen et al. 2018, algorithm 1).
    """

    def __init__(self, kernel_CC: Values) -> None:
        self.kernel_CC = kernel_CC
        self.variance_C = np.array(np.diagonal(kernel_CC), np.float64)
        self.factor_KC = np.zeros((8, len(kernel_CC)))
        self.size = 0

    def values(self) -> Values:
        """See :class:`Gain`."""
        logs: Values = np.log(np.maximum(self.variance_C, LEAST_VARIANCE))
        return logs

    def add(self, chosen: int) -> None:
        """See :class:`Gain`."""
        if self.size == len(self.factor_KC):
            self.factor_KC = np.concatenate([self.factor_KC, np.zeros_like(self.factor_KC)])
        deviation = np.sqrt(max(float(self.variance_C[chosen]), LEAST_VARIANCE))
        done_KC = self.factor_KC[: self.size]
        row_C = (self.kernel_CC[chosen] - done_KC[:, chosen] @ done_KC) / deviation
        self.factor_KC[self.size] = row_C
        self.size += 1
        self.variance_C -= row_C**2
        self.variance_C[chosen] = 0.0


class Interests:
    """Calibration: minus the divergence of the slate's categories from the person's interests.

    ``-KL(p ‖ q̃)`` with p the interests, q the mean categories of the slate and the candidate, and
    ``q̃ = .99 q + .01 p`` (Steck 2018, equations 4 to 6). Items without a category count as neutral.

    Args:
        share_CG: [C, G] categories of each candidate as shares that sum to 1, or to 0.
        wanted_G: [G] the person's interests; they sum to 1.
    """

    def __init__(self, share_CG: Values, wanted_G: Values) -> None:
        total = float(wanted_G.sum())
        self.wanted_G = wanted_G / total if total > 0 else wanted_G
        known_C = share_CG.sum(1) > 0
        self.share_CG = np.where(known_C[:, None], share_CG, self.wanted_G)
        self.sum_G = np.zeros(len(wanted_G))
        self.size = 0

    def values(self) -> Values:
        """See :class:`Gain`."""
        return -divergence(self.wanted_G, (self.sum_G + self.share_CG) / (self.size + 1))

    def add(self, chosen: int) -> None:
        """See :class:`Gain`."""
        self.sum_G = self.sum_G + self.share_CG[chosen]
        self.size += 1


def divergence(wanted_G: Values, shown_NG: Values) -> Values:
    """[N] ``KL(p ‖ .99 q + .01 p)`` of each distribution q from p, in nats."""
    mixed_NG = (1 - SMOOTHING) * shown_NG + SMOOTHING * wanted_G
    there = wanted_G > 0
    ratio_NG = wanted_G[there] / mixed_NG[..., there]
    result: Values = (wanted_G[there] * np.log(ratio_NG)).sum(-1)
    return result


class Mixture:
    """Relevance and other gains in stated proportions.

    ``(1 - Σ w) relevance_i + Σ w_g gain_g(i)``.

    Raises:
        ValueError: the weights do not lie between 0 and 1, or their sum is above 1.
    """

    def __init__(self, relevance_C: Values, gains: Sequence[tuple[float, Gain]] = ()) -> None:
        total = sum(weight for weight, _ in gains)
        if any(weight < 0 for weight, _ in gains) or total > 1:
            raise ValueError(f"weights must be 0 or more and sum to 1 at most, not to {total:g}")
        self.gains = [(weight, gain) for weight, gain in gains if weight > 0]
        self.relevance_C = (1 - total) * relevance_C

    @property
    def fixed(self) -> bool:
        """Whether gains never change: relevance is all there is."""
        return not self.gains

    def values(self) -> Values:
        """See :class:`Gain`."""
        total_C = self.relevance_C
        for weight, gain in self.gains:
            total_C = total_C + weight * gain.values()
        return total_C

    def add(self, chosen: int) -> None:
        """See :class:`Gain`."""
        for _, gain in self.gains:
            gain.add(chosen)


def greedy(gain: Gain, k: int) -> Ints:
    """[K] the candidates in the order of greatest gain; equal gains in the candidates' order."""
    free_C = np.ones(len(gain.values()), np.bool_)
    order = np.zeros(min(k, len(free_C)), np.int64)
    for place in range(len(order)):
        order[place] = np.where(free_C, gain.values(), -np.inf).argmax()
        free_C[order[place]] = False
        gain.add(int(order[place]))
    return order


def max_sum(relevance_C: Values, similarity_CC: Values, k: int, strength: float) -> Ints:
    """[K] greedy max-sum: ``(1 - s) relevance_i - s Σ_j sim(i, j) / K``."""
    return greedy(Mixture(relevance_C, [(strength, Dispersion(similarity_CC, k))]), k)


def mmr(relevance_C: Values, similarity_CC: Values, k: int, strength: float) -> Ints:
    """[K] maximal marginal relevance: ``(1 - s) relevance_i - s max_j sim(i, j)``."""
    return greedy(Mixture(relevance_C, [(strength, Dissimilarity(similarity_CC))]), k)


def dpp(relevance_C: Values, similarity_CC: Values, k: int, strength: float) -> Ints:
    """[K] greedy MAP of the process with kernel ``q_i sim(i, j) q_j``, ``q = e^{(1-s) r / 2s}``.

    The same order as by ``(1 - s) Σ relevance + s log det sim`` (Chen et al. 2018, section 4.3);
    a strength of 0 is the order of relevance.
    """
    return greedy(Mixture(relevance_C, [(strength, Volume(similarity_CC))]), k)


def cosine(vector_CD: NDArray[np.floating]) -> Values:
    """[C, C] cosines of vectors; positive semi-definite.

    A candidate without a vector (all zero) is like nothing but itself.
    """
    length_C1 = np.linalg.norm(vector_CD, axis=1, keepdims=True)
    unit_CD = np.asarray(vector_CD, np.float64) / np.where(length_C1 > 0, length_C1, 1)
    cosine_CC: Values = unit_CD @ unit_CD.T
    np.fill_diagonal(cosine_CC, 1.0)
    return cosine_CC


def category_vectors(table: FeatureTable) -> csr_array | None:
    """[I, G] the categories of every column, rare ones weighing more, rows of length 1.

    A category weighs ``log(I / n)``, n the items that have it. None where there are no categories.
    """
    columns = [column for column in table.categories.values() if len(column.codes)]
    if not columns:
        return None
    blocks = []
    for column in columns:
        shape = (table.n_rows, len(column.names))
        flags = csr_array((np.ones(len(column.codes)), column.codes, column.offsets), shape=shape)
        weight_G = np.log(
            table.n_rows / np.maximum(np.bincount(column.codes, minlength=shape[1]), 1)
        )
        blocks.append(flags.multiply(weight_G[None]))
    weighted_IG = csr_array(hstack(blocks, format="csr"))
    length_I = np.sqrt(np.asarray(weighted_IG.multiply(weighted_IG).sum(1)).ravel())
    return csr_array(weighted_IG.multiply(1 / np.where(length_I > 0, length_I, 1)[:, None]))


def scaled(score_C: NDArray[np.floating]) -> Values:
    """[..., C] scores on the scale from 0 (the least) to 1 (the greatest); all 1 if they are equal.

    ``-inf`` stays: no item stands there.
    """
    score = np.asarray(score_C, np.float64)
    if not score.size:
        return score
    there = np.isfinite(score)
    least = score.min(-1, keepdims=True, where=there, initial=np.inf)
    most = score.max(-1, keepdims=True, where=there, initial=-np.inf)
    result = np.ones_like(score)
    np.divide(score - least, most - least, out=result, where=there & (most > least))
    return np.where(there, result, -np.inf)

"""Lists for several people at once, by the same evidence and the same gates as offline.

:class:`Ranker` is :meth:`quintet.serve.scorer.Scorer.rank` with a mask and an adjustment of its own
for every person. What is kept of a person from one answer to the next is the state (the history
side of the inner products), never a score.

Shapes: B people, I items, C candidates, P places of a list, K kinds of evidence (L of them inner
products, M memories that recall), S buckets of items, X coordinates of an inner product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.nn.fusion import N_BUCKETS
from quintet.serve.explain import spoken_for
from quintet.serve.fused import Met, Recalled, Sides
from quintet.serve.index import Retriever
from quintet.serve.top import Ranked, top_k
from quintet.serve.trained import Trained
from quintet.web.people import LISTED, Person, batch

LARGEST_SHIFT = 3.0
SMALLEST_SHARE = 0.01
LEAST_ALLOWED = 0.95
#: in a person's state: [Y] the numbers of :class:`States` one behind the other, and [M, E] what
#: each event weighs in the memories that are walks
STATE, STEPS = "state", "steps"
#: items of the history and what is added to their scores
MET = "met"


class Wish(NamedTuple):
    """What one person's list must keep to.

    Attributes:
        depth: how many candidates.
        exclude_seen: leave out the items of the history.
        allowed_I: [I] items that may be recommended.
        shift_I: [I] added to the fused scores: edits of the profile and the match of a query.
    """

    depth: int
    exclude_seen: bool
    allowed_I: Mask
    shift_I: Floats | None = None


@dataclass(frozen=True)
class States:
    """What the model makes of B people, before any item is looked at.

    Attributes:
        gated_BX: see :class:`~quintet.serve.fused.Sides`.
        plain_BX: likewise.
        weight_BK: likewise.
        weight_BKS: the weight of each evidence for new, rare and well-known items.
        mean_BK: mean over the catalogue of what each inner product adds to a score.
        query_BX: the partner of :attr:`~quintet.serve.evidence.EvidenceBuilder.joined_IX`.
    """

    gated_BX: Floats
    plain_BX: Floats
    weight_BK: Floats
    weight_BKS: Floats
    mean_BK: Floats
    query_BX: Floats

    def sides(self) -> Sides:
        """What fused scores are made of."""
        return Sides(*map(torch.from_numpy, (self.gated_BX, self.plain_BX, self.weight_BK)))


@dataclass(frozen=True)
class Candidates:
    """The best items of B people, with what is needed to tell why.

    Attributes:
        items_BC: rows of the catalogue, best first; -1 where there are fewer.
        scores_BC: fused scores; -inf where there is no item.
        states: of the people.
        recalled: of the memories.
        met: of the histories.
    """

    items_BC: Ints
    scores_BC: Floats
    states: States
    recalled: Recalled
    met: Met


class Ranker:
    """Ranks for one model.

    Args:
        trained: the model; never changed while it serves.
        retriever: finds the best of a large catalogue; everything is scored without one, or where
            a list keeps to wishes that would leave few of the candidates.
    """

    def __init__(self, trained: Trained, retriever: Retriever | None = None) -> None:
        self.trained = trained
        self.retriever = retriever
        self.scorer = scorer = trained.scorer
        self.names = scorer.evidence.names
        self.bucket_I = scorer.bucket_I.numpy()
        self._room_BI = torch.empty(0, len(self.bucket_I))
        share_SI = (np.eye(N_BUCKETS, dtype=np.float32)[self.bucket_I] / len(self.bucket_I)).T
        self.share_IS = share_SI.T
        evidence = scorer.evidence
        self._item_IX = evidence.joined_IX.numpy()
        # means over the catalogue, a bucket of items at a time: weights differ by bucket
        self._mean_SX = share_SI @ self._item_IX
        #: of the kinds that are inner products: their places among the evidence, and where each
        #: begins among the coordinates
        self._linear = [self.names.index(name) for name in evidence.item_sides]
        self._widths = {name: side.shape[1] for name, side in evidence.item_sides.items()}
        self._starts = np.cumsum([0, *self._widths.values()])[:-1]

    @cached_property
    def ids(self) -> np.ndarray:
        """[I] the items' ids, as objects."""
        made = np.empty(len(self.trained.items), object)
        made[:] = self.trained.items.values.to_pylist()
        return made

    # ------------------------------------------------------------------ order

    @torch.inference_mode()
    def rank(self, people: Sequence[Person], wishes: Sequence[Wish]) -> Candidates:
        """The best items of every person."""
        histories = batch(people, len(self.trained.items))
        states = self.states(people)
        weight_ME = np.concatenate([one.state[STEPS] for one in people], axis=1)
        for one in people:
            one.state[LISTED] = True
        recalled = self.scorer.fused.recall(histories, weight_ME)
        met = self._met(people)
        if self.retriever is not None and self._plain(histories, wishes):
            ranked = self.retriever.rank(
                histories,
                max(wish.depth for wish in wishes),
                sides=states.sides(),
                recalled=recalled,
                met=met,
                mask_history=wishes[0].exclude_seen,
                allowed_I=wishes[0].allowed_I,
            )
        else:
            ranked = self._rank_all(histories, wishes, states, recalled, met)
        depth_B1 = np.array([wish.depth for wish in wishes])[:, None]
        beyond_BC = np.arange(ranked.items_BK.shape[1]) >= depth_B1
        ranked.items_BK[beyond_BC], ranked.scores_BK[beyond_BC] = -1, -np.inf
        return Candidates(ranked.items_BK, ranked.scores_BK, states, recalled, met)

    def _plain(self, histories: Interactions, wishes: Sequence[Wish]) -> bool:
        """Whether a retriever can answer: all have a history, and wish for nothing of their own."""
        first = wishes[0]
        return (
            bool(histories.lengths.all())
            and all(
                wish.shift_I is None
                and wish.allowed_I is first.allowed_I
                and wish.exclude_seen == first.exclude_seen
                for wish in wishes
            )
            and first.allowed_I.mean() > LEAST_ALLOWED
        )

    def _rank_all(
        self,
        histories: Interactions,
        wishes: Sequence[Wish],
        states: States,
        recalled: Recalled,
        met: Met,
    ) -> Ranked:
        """The best of all items, every one of them scored."""
        if len(self._room_BI) < histories.n_users:  # memory that is new each time costs more
            self._room_BI = torch.empty(histories.n_users, len(self.bucket_I))
        room_BI = self._room_BI[: histories.n_users]
        score_BI = self.scorer.fused(histories, states.sides(), recalled, met, room_BI)
        empty = np.flatnonzero(histories.lengths == 0)
        if len(empty):
            score_BI[empty] = self.scorer.fallback_scores(histories.users(empty))
        self._restrict(score_BI, histories, wishes)
        return top_k(score_BI, max(wish.depth for wish in wishes), self.scorer.tie_I)

    def _restrict(self, score_BI: Floats, histories: Interactions, wishes: Sequence[Wish]) -> None:
        """Shift what was wished for, and leave out what may not be shown."""
        masks: dict[int, tuple[Mask, list[int]]] = {}
        for row, wish in enumerate(wishes):
            if wish.shift_I is not None:
                score_BI[row] += wish.shift_I
            masks.setdefault(id(wish.allowed_I), (wish.allowed_I, []))[1].append(row)
        for allowed_I, rows in masks.values():
            out = np.flatnonzero(~allowed_I)
            if len(out):
                score_BI[np.array(rows)[:, None], out] = -np.inf
        hidden_E = np.repeat([wish.exclude_seen for wish in wishes], histories.lengths)
        score_BI[histories.group()[hidden_E], histories.item[hidden_E]] = -np.inf

    # ------------------------------------------------------------------ states

    def _met(self, people: Sequence[Person]) -> Met:
        """What is kept of everybody's own items, one person after the other."""
        own = [one.state[MET] for one in people]
        row_N = np.repeat(np.arange(len(own)), [len(item) for item, _ in own])
        item_N, added_N = (np.concatenate(parts) for parts in zip(*own, strict=True))
        return Met(row_N, item_N, added_N)

    def states(self, people: Sequence[Person]) -> States:
        """The states of several people, computed for those whose history has changed."""
        new = [one for one in people if not one.state]
        if new:
            self._make_states(new)
        return self._states_of(np.stack([one.state[STATE] for one in people]))

    def _states_of(self, state_BY: Floats) -> States:
        """States from their numbers one behind the other, as a person keeps them."""
        fused, K = self.scorer.fused, len(self.names)
        shapes = {
            "gated_BX": (fused.item_IX.shape[1],),
            "plain_BX": (fused.new_item_NX.shape[1],),
            "weight_BK": (K,),
            "weight_BKS": (K, N_BUCKETS),
            "mean_BK": (K,),
            "query_BX": (self._item_IX.shape[1],),
        }
        parts, start = {}, 0
        for name, shape in shapes.items():
            stop = start + math.prod(shape)
            parts[name] = state_BY[:, start:stop].reshape(-1, *shape)
            start = stop
        return States(**parts)

    @torch.inference_mode()
    def _make_states(self, people: Sequence[Person]) -> None:
        evidence = self.scorer.evidence
        histories = batch(people, len(self.trained.items))
        queries = evidence.queries(histories, names=self.scorer.fused.asked)
        sides = self.scorer.fused.sides(histories, queries)
        weight_BSK = self.scorer.bucket_weights(histories, sides.weight_BK)
        weight_BKS = weight_BSK.numpy().transpose(0, 2, 1)
        queries["popularity"] = sides.weight_BK.new_ones(len(people), 1)
        query_BX = torch.cat(
            [
                queries[name] if name in queries else sides.weight_BK.new_zeros(len(people), width)
                for name, width in self._widths.items()
            ],
            dim=1,
        ).numpy()
        mean_BK = np.zeros((len(people), len(self.names)), np.float32)
        mean_BSL = np.add.reduceat(query_BX[:, None] * self._mean_SX, self._starts, axis=2)
        weight_BLS = weight_BKS[:, self._linear]
        mean_BK[:, self._linear] = (mean_BSL * weight_BLS.transpose(0, 2, 1)).sum(1)
        tensors = (sides.gated_BX, sides.plain_BX, sides.weight_BK)
        parts = (*(tensor.numpy() for tensor in tensors), weight_BKS, mean_BK, query_BX)
        state_BY = np.concatenate([part.reshape(len(people), -1) for part in parts], axis=1)
        step_ME = self.scorer.fused.walks.weights(histories)
        met = self.scorer.fused.met(histories, sides)
        starts = np.searchsorted(met.row_N, np.arange(len(people) + 1))
        for row, one in enumerate(people):
            own = slice(histories.offsets[row], histories.offsets[row + 1])
            kept = slice(starts[row], starts[row + 1])
            one.state.update({STATE: state_BY[row].copy(), STEPS: step_ME[:, own].copy()})
            one.state[MET] = met.item_N[kept], met.added_N[kept]

    # ------------------------------------------------------------------ reasons

    def parts(self, found: Candidates, items_BP: Ints) -> Floats:
        """[B, P, K] what each evidence adds to the scores of some items, above its catalogue mean.

        Only as far as it speaks for the item, see :func:`~quintet.serve.explain.spoken_for`.

        Args:
            found: of :meth:`rank`.
            items_BP: rows of the catalogue; where -1, what comes out means nothing.
        """
        states = found.states
        row_B1 = np.arange(len(items_BP))[:, None]
        value_BPK = np.zeros((*items_BP.shape, len(self.names)), np.float32)
        product_BPX = self._item_IX[items_BP] * states.query_BX[:, None]
        value_BPK[:, :, self._linear] = np.add.reduceat(product_BPX, self._starts, axis=2)
        mean_BK = states.mean_BK.copy()
        places, value_BPM, mean_BMS = self._recalled_at(found.recalled, items_BP)
        value_BPK[:, :, places] = value_BPM
        mean_BK[:, places] = (mean_BMS * states.weight_BKS[:, places]).sum(2)
        weight_BPK = states.weight_BKS.transpose(0, 2, 1)[row_B1, self.bucket_I[items_BP]]
        own_BPK = value_BPK * weight_BPK
        if len(found.met.row_N):
            met_BP = self._are_met(found.met, items_BP)
            own_BPK[met_BP] = self.scorer.fused.as_met(own_BPK[met_BP])
        return spoken_for(own_BPK - mean_BK[:, None], own_BPK)

    def _are_met(self, met: Met, items_BP: Ints) -> Mask:
        """[B, P] items that stand among the pairs."""
        n_items = len(self.bucket_I)
        key_BP = np.arange(len(items_BP))[:, None] * n_items + items_BP
        key_N = met.row_N * n_items + met.item_N  # in order
        place_BP = np.searchsorted(key_N, key_BP).clip(max=len(key_N) - 1)
        met_BP: Mask = (key_N[place_BP] == key_BP) & (items_BP >= 0)
        return met_BP

    def _recalled_at(self, found: Recalled, items_BP: Ints) -> tuple[list[int], Floats, Floats]:
        """What M memories recall: their places, [B, P, M] at some items, and mean by bucket."""
        n_people, n_places = items_BP.shape
        n_sparse, buckets = len(found.names), self.scorer.fused.bucket_I
        value_RP, sum_RS = found.entries.at(np.tile(items_BP, (n_sparse, 1)), buckets, N_BUCKETS)
        values = [value_RP.reshape(n_sparse, n_people, n_places).transpose(1, 2, 0)]
        means = [sum_RS.reshape(n_sparse, n_people, -1).transpose(1, 0, 2) / len(buckets)]
        for found_BI in found.dense.values():
            values.append(np.take_along_axis(found_BI, items_BP, axis=1)[:, :, None])
            means.append((found_BI @ self.share_IS)[:, None])
        places = [self.names.index(name) for name in (*found.names, *found.dense)]
        return places, np.concatenate(values, axis=2), np.concatenate(means, axis=1)


def interest_shift(trained: Trained, one: Person, predicted: Mapping[str, float]) -> Floats | None:
    """[I] what a person's wanted interests add: log(wanted / predicted) of an item's categories.

    Limited to 3 either way, so that a correction moves a list without emptying it. None where
    nothing was corrected, or the catalogue has no interests.
    """
    wanted = {n: w for n, w in (one.edits.get("interests") or {}).items() if w is not None}
    column = trained.model.shape.interest
    if not wanted or column is None:
        return None
    names = trained.model.shape.interest_names
    log_C = np.zeros(len(names), np.float32)
    for index, name in enumerate(names):
        if name in wanted:
            ratio = (wanted[name] + SMALLEST_SHARE) / (predicted.get(name, 0.0) + SMALLEST_SHARE)
            log_C[index] = np.clip(np.log(ratio), -LARGEST_SHIFT, LARGEST_SHIFT)
    categories = trained.item_features.categories[column]
    length = np.maximum(np.diff(categories.offsets), 1)
    rows = np.repeat(np.arange(len(length)), np.diff(categories.offsets))
    total = np.bincount(rows, weights=log_C[categories.codes], minlength=len(length))
    shift_I: Floats = (total / length).astype(np.float32)
    return shift_I

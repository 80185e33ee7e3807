"""Where a slate's candidates come from: several generators, each named in the answer.

A generator is a way to order the catalogue: by the fused score, by any one kind of evidence (a
memory, the content tower, what is trending), or new items alone. Each gives its best; the slate is
chosen from the union, by the fused score.

Shapes: C candidates, I items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.errors import ConfigError
from quintet.serve.slate.facts import Labels
from quintet.serve.top import top_k

if TYPE_CHECKING:
    from quintet.serve.trained import Trained

FUSED, NEW = "fused", "new"


@dataclass(frozen=True)
class Candidates:
    """Items that a slate may be chosen from, best first.

    Attributes:
        item_C: item rows, all different.
        score_C: fused scores.
        sources: the generators that found each, the one that ranked it best first.
        main_C: false for what came in for a rule's sake alone: it does not set the scale.
    """

    item_C: Ints
    score_C: NDArray[np.float64]
    sources: list[list[str]]
    main_C: Mask

    def __len__(self) -> int:
        return len(self.item_C)

    @classmethod
    def ranked(cls, items: Ints, scores: Floats, source: str = FUSED) -> Candidates:
        """From one ranked list [C], best first."""
        return cls(
            np.asarray(items, np.int64),
            np.asarray(scores, np.float64),
            [[source] for _ in items],
            np.ones(len(items), np.bool_),
        )


class Wanted(NamedTuple):
    """Items that a rule needs among the candidates.

    Attributes:
        rule: its name.
        member_I: [I] who will do.
        least: how many of them.
        apart: the values of an attribute of which only the best ``most`` items each will do.
        most: see there.
    """

    rule: str
    member_I: Mask
    least: int
    apart: Labels | None = None
    most: int = 1

    def among(self, score_I: Floats) -> Mask:
        """[I] who will do, given everyone's score."""
        if self.apart is None:
            return self.member_I
        found_I: Mask = self.member_I & (np.diff(self.apart.offsets) == 0)
        own = np.flatnonzero(self.member_I[self.apart.rows()])
        row, code = self.apart.rows()[own], self.apart.codes[own]
        order = np.lexsort((-score_I[row], code))
        start = np.searchsorted(code[order], code[order])
        found_I[row[order[np.arange(len(order)) - start < self.most]]] = True
        return found_I


def gather(
    trained: Trained,
    history: Interactions,
    generators: Mapping[str, int],
    *,
    allowed_I: Mask | None = None,
    eligible_I: Mask | None = None,
    wanted: Sequence[Wanted] = (),
    shift_I: Floats | None = None,
) -> Candidates:
    """The union of what the generators find for ONE history.

    Args:
        trained: the model.
        history: ONE history.
        generators: how many each may give: "fused", "new", or a kind of evidence.
        allowed_I: [I] items that may be candidates at all; all when absent.
        eligible_I: [I] items that the rules let through. Each generator gives its best both with
            and without them, so that rules leave enough, and an answer can tell what they took.
        wanted: items that rules need, from beyond what is allowed where they say so.
        shift_I: [I] added to the fused scores.

    Raises:
        ConfigError: there is no such generator; names the valid ones.
    """
    _refuse_unknown(trained, generators)
    score_I = trained.scorer.scores(history)[0]
    score_I = score_I if shift_I is None else score_I + shift_I
    allowed = np.ones(len(score_I), np.bool_) if allowed_I is None else allowed_I
    masks = [allowed] if eligible_I is None else [allowed, allowed & eligible_I]
    rank_of: dict[int, list[tuple[int, str]]] = {}
    orders = _orders(trained, history, list(generators), score_I)
    for name, depth in generators.items():
        for mask in masks:
            best = _best(np.where(mask, orders[name], -np.inf), depth, trained.scorer.tie_I)
            for rank, row in enumerate(best.tolist()):
                rank_of.setdefault(row, []).append((rank, name))
    main = set(rank_of)
    for one in wanted:
        chosen_I = np.where(one.among(score_I), score_I, -np.inf)
        for rank, row in enumerate(_best(chosen_I, one.least, trained.scorer.tie_I).tolist()):
            rank_of.setdefault(row, []).append((rank, f"rule: {one.rule}"))
    rows = np.array(list(rank_of), np.int64)
    rows = rows[np.lexsort((trained.scorer.tie_I[rows], -score_I[rows]))]
    sources = [list(dict.fromkeys(name for _, name in sorted(rank_of[row]))) for row in rows]
    in_main = np.array([row in main for row in rows], np.bool_)
    return Candidates(rows, score_I[rows].astype(np.float64), sources, in_main)


def _orders(
    trained: Trained, history: Interactions, names: Sequence[str], score_I: Floats
) -> dict[str, Floats]:
    """By generator, [I] what it orders by; -inf where it does not speak of an item."""
    orders = {FUSED: score_I, NEW: np.where(trained.count_I == 0, score_I, -np.inf)}
    evidence = trained.scorer.evidence
    if set(names) - set(orders):
        evidence_IK = evidence.evidence(history)[0].cpu().numpy()
        orders |= {name: evidence_IK[:, index] for index, name in enumerate(evidence.names)}
    return orders


def _best(score_I: Floats, count: int, tie_I: Ints) -> Ints:
    """Up to ``count`` rows of finite score, best first."""
    if not np.isfinite(score_I).any() or count < 1:
        return np.zeros(0, np.int64)
    found = top_k(score_I[None].astype(np.float32), count, tie_I).items_BK[0]
    return np.asarray(found[found >= 0])


def _refuse_unknown(trained: Trained, generators: Mapping[str, int]) -> None:
    valid = [FUSED, NEW, *trained.scorer.evidence.names]
    for name in generators:
        if name not in valid:
            raise ConfigError(f"unknown generator {name!r}; choose from: {', '.join(valid)}")

"""Which candidate may come next, so that a slate that keeps every rule can still be completed.

Limits on overlapping groups make an integer program. Candidates that stand in the same groups are
interchangeable, so it is small: a variable for each *type*. A completion of what was chosen so far
(the witness) is kept; most questions are answered by exchanging one of its members, the rest by the
solver. The answer is exact in either case.

Shapes: C candidates, T types, L limits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from quintet.data.interactions import Ints, Mask
from quintet.serve.slate.bound import Bound, Limit

Values = NDArray[np.float64]


class Program:
    """Slates of ``size`` candidates within limits, chosen one after the other.

    Args:
        eligible_C: [C] candidates that may be shown at all.
        limits: what must hold of the numbers.
        size: places; exactly that many are filled.
    """

    def __init__(self, eligible_C: Mask, limits: Sequence[Limit], size: int) -> None:
        self.size = size
        types = Types.of(eligible_C, limits, size)
        self.types = types
        self.taken_T = np.zeros(types.n, np.int64)
        self.free_C = eligible_C.copy()
        self.dead_T = np.zeros(types.n, np.bool_)
        witness_T = types.solve(self.taken_T, size, size)
        self.possible = witness_T is not None
        self.witness_T = self.taken_T if witness_T is None else witness_T

    def allowed(self) -> Mask:
        """[C] candidates that may come next; none once the slate is full."""
        if int(self.taken_T.sum()) >= self.size:
            return np.zeros_like(self.free_C)
        full_T = self.taken_T >= self.types.count_T
        # what cannot be completed now never can be later
        self.dead_T |= full_T | self.types.exceeding(self.taken_T)
        unsure = np.flatnonzero((self.witness_T <= self.taken_T) & ~self.dead_T)
        unsure = unsure[~self.types.exchangeable(self.witness_T, self.taken_T, unsure).any(1)]
        for kind in unsure.tolist():
            self.dead_T[kind] = self._with(kind) is None
        return np.asarray(self.free_C & ~self.dead_T[self.types.type_C])

    def copy(self) -> Program:
        """The same state, to go on from apart."""
        twin = copy.copy(self)
        twin.taken_T, twin.free_C = self.taken_T.copy(), self.free_C.copy()
        twin.dead_T = self.dead_T.copy()
        return twin

    def take(self, chosen: int) -> None:
        """Choose a candidate that is allowed."""
        kind = int(self.types.type_C[chosen])
        completed = self._with(kind)
        assert completed is not None, "a candidate was taken that may not come next"
        self.witness_T = completed
        self.taken_T[kind] += 1
        self.free_C[chosen] = False

    def _with(self, kind: int) -> Ints | None:
        """[T] a completion of what was taken and one more of this type; None if there is none."""
        if self.witness_T[kind] > self.taken_T[kind]:
            return self.witness_T
        if self.taken_T[kind] >= self.types.count_T[kind]:
            return None
        kinds = np.array([kind])
        given = np.flatnonzero(self.types.exchangeable(self.witness_T, self.taken_T, kinds)[0])
        if len(given):
            exchanged = self.witness_T.copy()
            exchanged[[given[0], kind]] += [-1, 1]
            return exchanged
        least_T = self.taken_T.copy()
        least_T[kind] += 1
        return self.types.solve(least_T, self.size, self.size)


class Types:
    """Candidates by the limits that they stand in.

    Attributes:
        type_C: [C] the type of each candidate.
        count_T: [T] eligible candidates of each type.
        member_LT: [L, T] 1 where a type stands in a limit.
        least_L: [L] of each limit.
        most_L: [L] of each limit.
    """

    def __init__(
        self, type_C: Ints, count_T: Ints, member_LT: Ints, least_L: Ints, most_L: Ints
    ) -> None:
        self.type_C, self.count_T = type_C, count_T
        self.member_LT, self.least_L, self.most_L = member_LT, least_L, most_L
        self.n = len(count_T)

    @classmethod
    def of(cls, eligible_C: Mask, limits: Sequence[Limit], size: int) -> Types:
        """From limits; those that no slate of ``size`` could break are left out."""
        member_LC = np.zeros((len(limits), len(eligible_C)), np.bool_)
        for row, limit in enumerate(limits):
            member_LC[row] = limit.member_C & eligible_C
        least_L = np.array([limit.least for limit in limits], np.int64)
        most_L = np.array([limit.most for limit in limits], np.int64)
        binding_L = (least_L > 0) | (most_L < np.minimum(member_LC.sum(1), size))
        member_LC, least_L, most_L = member_LC[binding_L], least_L[binding_L], most_L[binding_L]
        if not len(eligible_C):
            none = np.zeros(0, np.int64)
            return cls(none, none, np.zeros((len(least_L), 0), np.int64), least_L, most_L)
        packed = np.packbits(np.vstack([eligible_C[None], member_LC]), axis=0).T
        _, first_T, type_C = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        type_C = type_C.reshape(-1).astype(np.int64)
        count_T = np.bincount(type_C[eligible_C], minlength=len(first_T)).astype(np.int64)
        return cls(type_C, count_T, member_LC[:, first_T].astype(np.int64), least_L, most_L)

    def exceeding(self, taken_T: Ints) -> Mask:
        """[T] types of which one more would exceed some limit."""
        with_LT = (self.member_LT @ taken_T)[:, None] + self.member_LT
        return np.asarray(((with_LT > self.most_L[:, None]) & (self.member_LT > 0)).any(0))

    def exchangeable(self, witness_T: Ints, taken_T: Ints, kinds: Ints) -> Mask:
        """[N, T] types of which the witness can give one up for one of N kinds, within limits."""
        spare = np.flatnonzero(witness_T > taken_T)
        gained_LN1 = (self.member_LT @ witness_T)[:, None, None] + self.member_LT[:, kinds, None]
        after_LNS = gained_LN1 - self.member_LT[:, None, spare]
        low, high = self.least_L[:, None, None], self.most_L[:, None, None]
        result = np.zeros((len(kinds), self.n), np.bool_)
        result[:, spare] = ((after_LNS >= low) & (after_LNS <= high)).all(0)
        return result

    def solve(
        self, taken_T: Ints, smallest: int, largest: int, worth_T: Ints | None = None
    ) -> Ints | None:
        """[T] the numbers of greatest worth within all limits; None if there are none.

        Args:
            taken_T: [T] numbers chosen already.
            smallest: least size of the slate.
            largest: greatest size of the slate.
            worth_T: [T] what one of a type is worth; 1 when absent: the longest slate.
        """
        if self.n == 0 or largest == 0:
            return np.zeros(self.n, np.int64) if self._empty_is_fine(smallest) else None
        if (taken_T > self.count_T).any() or taken_T.sum() > largest:
            return None
        if not len(self.least_L):
            return self._filled(taken_T, smallest, largest)
        worth = np.ones(self.n) if worth_T is None else worth_T.astype(np.float64)
        rows = np.vstack([np.ones((1, self.n)), self.member_LT])
        low = np.concatenate([[smallest], self.least_L]).astype(np.float64)
        high = np.concatenate([[largest], np.minimum(self.most_L, largest)]).astype(np.float64)
        if (low > high).any():
            return None
        answer = milp(
            -worth,
            integrality=np.ones(self.n, np.int64),
            bounds=Bounds(taken_T.astype(np.float64), self.count_T.astype(np.float64)),
            constraints=LinearConstraint(rows, low, high),
        )
        return None if answer.x is None else np.rint(answer.x).astype(np.int64)

    def _filled(self, taken_T: Ints, smallest: int, largest: int) -> Ints | None:
        """[T] the longest slate where there are no limits."""
        free_T = self.count_T - taken_T
        before_T = np.cumsum(free_T) - free_T
        more_T = np.clip(largest - int(taken_T.sum()) - before_T, 0, free_T)
        filled_T = np.asarray(taken_T + more_T, np.int64)
        return filled_T if filled_T.sum() >= smallest else None

    def _empty_is_fine(self, smallest: int) -> bool:
        return smallest <= 0 and not (self.least_L > 0).any()


def longest(bound: Bound, k: int) -> int | None:
    """The most places, up to ``k``, that a slate within all rules can fill; None: none does.

    A pin needs a slate that reaches its place, and a place and an item of its own.
    """
    places = [pin.place for pin in bound.pins]
    items = [pin.candidate for pin in bound.pins]
    if len(set(places)) < len(places) or len(set(items)) < len(items):
        return None
    smallest = max(places, default=-1) + 1
    if smallest > k:
        return None
    types = Types.of(bound.eligible_C, bound.limits, k)
    found_T = types.solve(np.zeros(types.n, np.int64), smallest, k)
    return None if found_T is None else int(found_T.sum())


def granted(bound: Bound, wishes: Sequence[Limit], size: int) -> list[Limit]:
    """The wishes as limits: each as far as it can be kept beside the rules and those before it."""
    kept: list[Limit] = []
    for wish in wishes:
        least = min(wish.least, size)
        if least <= 0 or not (wish.member_C & bound.eligible_C).any():
            continue
        probe = Limit(wish.rule, wish.member_C, 0, 0)  # it binds, so that types know the members
        types = Types.of(bound.eligible_C, [*bound.limits, *kept, probe], size)
        worth_T = types.member_LT[-1]
        types.most_L[-1] = size
        found_T = types.solve(np.zeros(types.n, np.int64), size, size, worth_T)
        if found_T is not None:
            reached = int(found_T @ worth_T)
            kept.append(Limit(wish.rule, wish.member_C, min(least, reached)))
    return kept


def clashing(names: Sequence[str], holds: Callable[[Sequence[str]], bool]) -> list[str]:
    """A smallest set of rules that cannot hold together: each one left out would mend it.

    Chinneck and Dravnieks, "Locating minimal infeasible constraint sets in linear programs",
    ORSA Journal on Computing 3 (1991): the deletion filter.

    Args:
        names: rules that do not hold together.
        holds: whether some rules do.
    """
    kept = list(names)
    for name in names:
        rest = [other for other in kept if other != name]
        if not holds(rest):
            kept = rest
    return kept

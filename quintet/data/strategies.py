"""What a person did with a slate, read off the log itself: the labels of the strategy task.

Every event that opens an episode (``data/outcomes.py``) is given one of five strategies, from what
was known just before it:

- ``repurchase``: the item was bought before; where nothing is bought in the log, met before;
- ``complement``: it often follows the item before it, and shares few of its categories; or its
  categories often follow those of what was bought last;
- ``trending``: it is new, or drew far more events lately than in its life so far;
- ``deepen``: its categories are ones that the person prefers more than others do;
- ``explore``: none of these.

The first that applies, in this order, is the label. Counts come from training events only, and an
event's own counts are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from quintet.config import Config, tunable
from quintet.data.features import CategoryColumn
from quintet.data.interactions import MICROSECONDS_PER_DAY, Floats, Interactions, Ints, Mask
from quintet.data.outcomes import BehaviourRules
from quintet.data.states import decayed_sums, interest_shares, seen_before, state_before

STRATEGIES = ["deepen", "explore", "complement", "repurchase", "trending"]
DEEPEN, EXPLORE, COMPLEMENT, REPURCHASE, TRENDING = range(5)
#: looks after a purchase that a pair of categories is given beforehand, at chance
PRIOR_PAIRS = 5.0


class StrategyConfig(Config):
    """Thresholds of the labels."""

    interest_decay: float = tunable(0.95, low=0.8, high=1.0, description="of interests, a step")
    complement_lift: float = tunable(3.0, low=1.5, high=10, description="least lift of the pair")
    complement_overlap: float = tunable(0.34, low=0, high=1, description="most shared categories")
    bought_days: float = tunable(7.0, low=1, high=60, description="a purchase calls for more")
    bought_lift: float = tunable(1.5, low=1.1, high=5, description="least lift after a purchase")
    recent_days: float = tunable(7.0, low=1, high=30, description="what counts as lately")
    trending_ratio: float = tunable(3.0, low=1.5, high=10, description="rate lately over before")
    trending_events: int = tunable(5, low=2, high=50, description="least events lately")


@dataclass(frozen=True)
class _Bought:
    """Of every event [E]: the item bought last before it (-1: none), when; whether its own was."""

    last: Ints
    time: Ints
    again: Mask

    def select(self, keep: Mask) -> _Bought:
        """Some of the events."""
        return _Bought(self.last[keep], self.time[keep], self.again[keep])


class StrategyLabeller:
    """Labels events with the strategy that they show.

    Shapes: E events, I items, C categories, S states.

    Args:
        config: thresholds.
        rules: of the behaviours; without them every event opens an episode.
        spent: indices of the behaviours by which things are bought.
    """

    def __init__(
        self,
        config: StrategyConfig | None = None,
        rules: BehaviourRules | None = None,
        spent: Sequence[int] = (),
    ) -> None:
        self.config = config if config is not None else StrategyConfig()
        self.rules = rules
        self.spent = list(spent)

    def opens(self, events: Interactions) -> Mask:
        """[E] the events that get a label."""
        return np.ones(len(events), np.bool_) if self.rules is None else self.rules.opens(events)

    def fit(self, events: Interactions, categories: CategoryColumn | None) -> Self:
        """Count pairs, times and interests of the training events."""
        bought = self._bought(events)
        opens = self.opens(events)
        events = events.select(opens)
        previous, current = _pairs(events)
        shape = (events.n_items, events.n_items)
        ones = np.ones(len(previous), np.float32)
        self.pair_II = sparse.csr_matrix((ones, (previous, current)), shape=shape)
        self.count_I = events.item_counts().astype(np.float32)
        order = np.lexsort((events.time, events.item))
        self.time_E = events.time[order]
        self.start_I = np.concatenate([[0], np.cumsum(events.item_counts())]).astype(np.int64)
        self.set_categories(categories)
        share_EC = self._shares(events)
        self.base_C = (share_EC.sum(0) + 1) / (share_EC.sum() + share_EC.shape[1])
        self.after_CC = self._after(events, bought.select(opens), share_EC)
        return self

    def _after(self, events: Interactions, bought: _Bought, share_EC: Floats) -> Floats:
        """[C, C] lift of a category (column) at looks after a purchase from another (row).

        Pairs that the log hardly shows are drawn towards no lift.
        """
        near = self._called(events, bought)
        row_CE = sparse.csr_matrix(self._item_shares(bought.last[near])).T
        count_CC = np.asarray((row_CE @ share_EC[near]), np.float64)
        chance_CC = count_CC.sum(1, keepdims=True) * self.base_C
        lift_CC: Floats = ((count_CC + PRIOR_PAIRS) / (chance_CC + PRIOR_PAIRS)).astype(np.float32)
        return lift_CC

    def _called(self, events: Interactions, bought: _Bought) -> Mask:
        """[E] whether something was bought lately."""
        window = int(self.config.bought_days * MICROSECONDS_PER_DAY)
        return (bought.last >= 0) & (events.time - bought.time < window)

    def _bought(self, events: Interactions) -> _Bought:
        """What each event's user had bought just before it."""
        at = np.arange(len(events))
        spent = np.isin(events.behaviour, self.spent)
        latest = np.maximum.accumulate(np.where(spent, at, -1)) if len(at) else at
        latest = np.concatenate([[-1], latest[:-1]]) if len(at) else at
        own = latest >= np.repeat(events.offsets[:-1], events.lengths)
        safe = np.maximum(latest, 0)
        pair = events.group() * np.int64(events.n_items) + events.item
        order = np.lexsort((at, pair))
        first = np.searchsorted(pair[order], pair[order])
        before: Ints = np.cumsum(spent[order]) - spent[order]
        again = np.zeros(len(events), np.bool_)
        again[order] = before > before[first]
        return _Bought(
            np.where(own, events.item[safe], -1) if len(at) else at,
            np.where(own, events.time[safe], 0) if len(at) else at,
            again,
        )

    def set_categories(self, categories: CategoryColumn | None) -> None:
        """Take the categories of a catalogue with the same rows, or a longer one."""
        self.categories = categories

    def _shares(self, events: Interactions) -> Floats:
        if self.categories is None:
            return np.zeros((len(events), 1), np.float32)
        return interest_shares(events, self.categories)

    def label(self, events: Interactions, *, in_training: bool) -> Ints:
        """[E] index into :data:`STRATEGIES`; -1 for what only follows on an episode.

        Args:
            events: histories to label.
            in_training: whether these are the events that were counted, so that their own counts
                must be left out.
        """
        own = 1.0 if in_training else 0.0
        opens, bought = self.opens(events), self._bought(events)
        looks, bought = events.select(opens), bought.select(opens)
        label = np.where(self._prefers(looks), DEEPEN, EXPLORE)
        label[self._trending(looks)] = TRENDING
        complements = self._follows(looks, bought) if self.spent else self._complements(looks, own)
        label[complements] = COMPLEMENT
        label[bought.again if self.spent else seen_before(looks)] = REPURCHASE
        whole = np.full(len(events), -1, np.int64)
        whole[opens] = label
        return whole

    def _follows(self, events: Interactions, bought: _Bought) -> Mask:
        """Whether the item's categories often follow those of what was bought last."""
        result = self._called(events, bought)
        near = np.flatnonzero(result)
        bought_NC, own_NC = self._item_shares(bought.last[near]), self._shares(events)[near]
        lift_N = ((bought_NC @ self.after_CC) * own_NC).sum(1)
        result[near] = (lift_N > self.config.bought_lift) & ((bought_NC * own_NC).sum(1) == 0)
        return result

    def _item_shares(self, item_N: Ints) -> Floats:
        """[N, C] the categories of items as shares."""
        if self.categories is None:
            return np.zeros((len(item_N), 1), np.float32)
        counts_NC = self.categories.counts()[item_N]
        shares_NC: Floats = counts_NC / np.maximum(counts_NC.sum(1, keepdims=True), 1)
        return shares_NC

    def _prefers(self, events: Interactions) -> Mask:
        """Whether the item's categories stand higher in the person's interests than in all's."""
        share_EC = self._shares(events)
        sums_SC = decayed_sums(events, share_EC, self.config.interest_decay)
        before_EC = sums_SC[state_before(events)]
        interest_EC = before_EC / np.maximum(before_EC.sum(1, keepdims=True), 1e-9)
        preferred_E: Floats = (share_EC * interest_EC).sum(1)
        usual_E: Floats = (share_EC * self.base_C).sum(1)
        return preferred_E > usual_E

    def _trending(self, events: Interactions) -> Mask:
        """Whether the item is hotter in the days before the event than in its life so far.

        Events of the very same moment are not "before", so that the event's own never counts.
        """
        window = int(self.config.recent_days * MICROSECONDS_PER_DAY)
        if len(self.time_E) == 0 or self.time_E.min() == self.time_E.max():
            return np.zeros(len(events), np.bool_)
        before = self._events_until(events.item, events.time)
        recent = before - self._events_until(events.item, events.time - window)
        start = self.start_I[np.minimum(events.item, len(self.start_I) - 2)]
        first = self.time_E[np.minimum(start, len(self.time_E) - 1)]
        age = np.maximum(events.time - first, window)
        usual = before * (window / age)
        young = events.time - first < window
        hot = recent > np.maximum(self.config.trending_ratio * usual, self.config.trending_events)
        trending: Mask = hot | (young & (recent >= self.config.trending_events))
        return trending

    def _events_until(self, item: Ints, time: Ints) -> Floats:
        """[E] training events of the item strictly before the time."""
        known = item < len(self.start_I) - 1
        row = np.where(known, item, 0)
        low, high = self.start_I[row].copy(), self.start_I[row + 1].copy()
        first = low.copy()
        while (open_ := low < high).any():  # binary search, all events abreast
            middle = (low + high) // 2
            before = self.time_E[np.minimum(middle, len(self.time_E) - 1)] < time
            low = np.where(open_ & before, middle + 1, low)
            high = np.where(open_ & ~before, middle, high)
        return np.where(known, low - first, 0).astype(np.float32)

    def _complements(self, events: Interactions, own: float) -> Mask:
        """Whether the item follows the one before it far more often than chance would have it."""
        result = np.zeros(len(events), np.bool_)
        index = np.flatnonzero(events.positions() > 0)
        previous, current = events.item[index - 1], events.item[index]
        known = (previous < len(self.count_I)) & (current < len(self.count_I))
        index, previous, current = index[known], previous[known], current[known]
        if len(index) == 0 or self.categories is None:
            return result
        together = np.asarray(self.pair_II[previous, current]).ravel() - own
        expected = self.count_I[previous] * self.count_I[current] / max(self.count_I.sum(), 1)
        lifted = (together >= 2) & (together > self.config.complement_lift * expected)
        multi_IC = self.categories.counts()
        shared = (multi_IC[previous] * multi_IC[current]).sum(1)
        either = np.maximum(multi_IC[previous], multi_IC[current]).sum(1)
        result[index] = lifted & (shared <= self.config.complement_overlap * np.maximum(either, 1))
        return result

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Arrays that restore the labeller."""
        return {
            "pair_data": self.pair_II.data,
            "pair_indices": self.pair_II.indices.astype(np.int64),
            "pair_indptr": self.pair_II.indptr.astype(np.int64),
            "count": self.count_I,
            "time": self.time_E,
            "start": self.start_I,
            "base": self.base_C.astype(np.float32),
            "after": self.after_CC,
        }

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """Restore from :meth:`state`; the categories are set apart."""
        n = len(state["count"])
        parts = (
            state["pair_data"].astype(np.float32),
            state["pair_indices"].astype(np.int64),
            state["pair_indptr"].astype(np.int64),
        )
        self.pair_II = sparse.csr_matrix(parts, shape=(n, n))
        self.count_I = state["count"].astype(np.float32)
        self.time_E = state["time"].astype(np.int64)
        self.start_I = state["start"].astype(np.int64)
        self.base_C = state["base"].astype(np.float32)
        self.after_CC = state["after"].astype(np.float32)
        return self


def _pairs(events: Interactions) -> tuple[Ints, Ints]:
    """Items of neighbouring events of one user: (before, after)."""
    index = np.flatnonzero(events.positions() > 0)
    return events.item[index - 1], events.item[index]

"""How a person chooses the next item: the strategy first, then an item of that strategy.

Given the person's state, the five strategies part the catalogue: an item belongs to exactly one of
them, so the label of a choice follows from the item and ``p(strategy | user, time)`` is exact.
In this order: ``repurchase`` what is used up, ``trending`` what trends today, ``complement`` a
category that goes with the last buy, ``deepen`` a category looked at lately, ``explore`` the rest.

With probability ``predictability`` a choice follows the person's strategy; otherwise it is drawn by
popularity alone from all items of the kind. At 0 nothing depends on history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quintet.market.settings import (
    COMPLEMENT,
    DEEPEN,
    EXPLORE,
    REPURCHASE,
    STRATEGIES,
    TRENDING,
    MarketConfig,
)
from quintet.market.stock import Stock
from quintet.market.vocabulary import complement_matrix
from quintet.market.world import Goods, Ints, Mask, People, Reals, Rng, pick

#: interest fades by this at each look; below KNOWN a category counts as unknown again
FADING, KNOWN = 0.6, 0.6**8
COMPLEMENT_SECONDS = 7 * 86_400
#: a consumable is due from this share of its period until that
DUE_FROM, DUE_UNTIL = 0.6, 4.0
PANTRY = 6
_DAY = 86_400.0
_TRIES = 20


@dataclass(frozen=True)
class Situation:
    """Where N people stand before they choose.

    Attributes:
        user: [N] user rows.
        day: [N] day of the log.
        kind: [N] the kind of item looked for.
        group: [N, C] the strategy that an ordinary item of each category belongs to.
        open: [N, C] whether that category has an ordinary item on offer.
        due: [N, P] consumables to buy again, -1 where none.
    """

    user: Ints
    day: Ints
    kind: Ints
    group: Ints
    open: Mask
    due: Ints

    def __len__(self) -> int:
        return len(self.user)

    def rows(self, chosen: Ints) -> Situation:
        """Some of the people."""
        return Situation(
            self.user[chosen],
            self.day[chosen],
            self.kind[chosen],
            self.group[chosen],
            self.open[chosen],
            self.due[chosen],
        )


@dataclass(frozen=True)
class Choice:
    """[N] items, their strategies, whether chance chose, and [N, A] true p(strategy)."""

    item: Ints
    strategy: Ints
    by_chance: Mask
    probability: Reals


class Walk:
    """The state of all people and the rules by which they choose.

    Shapes: U users, K kinds, C categories, A strategies, P places in the pantry, N choices.
    """

    def __init__(
        self, config: MarketConfig, people: People, goods: Goods, stock: Stock, rng: Rng
    ) -> None:
        self.config, self.people, self.goods = config, people, goods
        self.stock, self.rng = stock, rng
        n, (n_kinds, n_categories) = len(people), stock.shape
        self.sold_kind = config.kinds.index("goods") if "goods" in config.kinds else -1
        self.complements = complement_matrix()
        self.interest: Reals = np.zeros((n, n_categories))
        self.last_item: Ints = np.full((n, n_kinds, n_categories), -1, np.int64)
        self.last_bought: Ints = np.zeros(n, np.int64)  # a category
        self.bought_at: Reals = np.full(n, -np.inf)
        self.pantry: Ints = np.full((n, PANTRY), -1, np.int64)
        self.pantry_since: Reals = np.full((n, PANTRY), -np.inf)

    def situation(self, user: Ints, day: Ints, second: Ints, kind: Ints) -> Situation:
        """Read the state of users [N], each at most once."""
        calls = (self.complements[self.last_bought[user]] > 0) & (
            second - self.bought_at[user] < COMPLEMENT_SECONDS
        )[:, None]
        known = self.interest[user] > KNOWN
        pantry = self.pantry[user]
        period = self.goods.period[pantry] * _DAY
        age = second[:, None] - self.pantry_since[user]
        due = (pantry >= 0) & (age > DUE_FROM * period) & (age < DUE_UNTIL * period)
        due &= (kind == self.sold_kind)[:, None]
        return Situation(
            user=user,
            day=day,
            kind=kind,
            group=np.where(calls, COMPLEMENT, np.where(known, DEEPEN, EXPLORE)),
            open=self.stock.cold_mass[day, kind] > 0,
            due=np.where(due, pantry, -1),
        )

    def label(self, s: Situation, item: Ints) -> Ints:
        """[N] the strategy that each item belongs to."""
        ordinary = np.where(
            self.stock.is_hot[s.day, item],
            TRENDING,
            s.group[np.arange(len(s)), self.goods.category[item]],
        )
        return np.where((s.due == item[:, None]).any(axis=1), REPURCHASE, ordinary)

    def intent(self, s: Situation) -> Reals:
        """[N, A] p(strategy) of a choice that is not left to chance."""
        allowed = np.zeros((len(s), len(STRATEGIES)), bool)
        for strategy in (DEEPEN, EXPLORE, COMPLEMENT):
            allowed[:, strategy] = (s.open & (s.group == strategy)).any(axis=1)
        allowed[:, REPURCHASE] = (s.due >= 0).any(axis=1)
        allowed[:, TRENDING] = self.stock.hot_mass[s.day, s.kind] > 0
        likely = np.where(allowed, np.exp(self.people.strategy[s.user]), 0.0)
        share: Reals = likely / likely.sum(axis=1, keepdims=True)
        return share

    def chance(self, s: Situation) -> Reals:
        """[N, A] p(strategy) of a draw by popularity: the mass of each strategy's items."""
        cold = self.stock.cold_mass[s.day, s.kind]
        mass = np.zeros((len(s), len(STRATEGIES)))
        for strategy in (DEEPEN, EXPLORE, COMPLEMENT):
            mass[:, strategy] = (cold * (s.group == strategy)).sum(axis=1)
        mass[:, TRENDING] = self.stock.hot_mass[s.day, s.kind]
        for place in range(PANTRY):  # what is due counts as repurchase, not as what it else is
            row = np.flatnonzero(s.due[:, place] >= 0)
            item = s.due[row, place]
            weight = self.stock.weight[s.day[row], item]
            hot = self.stock.is_hot[s.day[row], item]
            group = np.where(hot, TRENDING, s.group[row, self.goods.category[item]])
            mass[row, group] -= weight
            mass[row, REPURCHASE] += weight
        mass = np.maximum(mass, 0.0)
        share: Reals = mass / mass.sum(axis=1, keepdims=True)
        return share

    def choose(self, s: Situation) -> Choice:
        """Draw one item for each person."""
        rho = self.config.predictability
        intent = self.intent(s)
        by_chance = self.rng.random(len(s)) >= rho
        item = self.stock.draw_any(s.day, s.kind, self.rng)
        strategy = pick(intent, self.rng)
        open_rows = np.flatnonzero(~by_chance)
        for _ in range(_TRIES):  # what is due or trends belongs to another strategy: draw again
            item[open_rows] = self._follow(s.rows(open_rows), strategy[open_rows])
            wrong = self.label(s.rows(open_rows), item[open_rows]) != strategy[open_rows]
            open_rows = open_rows[wrong]
            if not len(open_rows):
                break
        return Choice(
            item=item,
            strategy=self.label(s, item),
            by_chance=by_chance,
            probability=rho * intent + (1 - rho) * self.chance(s),
        )

    def _follow(self, s: Situation, strategy: Ints) -> Ints:
        """[N] an item of the given strategy for each person."""
        item = np.full(len(s), -1, np.int64)
        rows = np.flatnonzero(strategy == REPURCHASE)
        item[rows] = s.due[rows, pick((s.due[rows] >= 0).astype(float), self.rng)]
        rows = np.flatnonzero(strategy == TRENDING)
        item[rows] = self.stock.draw_hot(s.day[rows], s.kind[rows], self.rng)
        rows = np.flatnonzero(strategy <= COMPLEMENT)
        item[rows] = self._from_category(s.rows(rows), strategy[rows])
        return item

    def _from_category(self, s: Situation, strategy: Ints) -> Ints:
        choices = [
            self.interest[s.user],
            self.people.taste[s.user],
            self.complements[self.last_bought[s.user]],
        ]
        weight = np.choose(strategy[:, None], choices) * (s.open & (s.group == strategy[:, None]))
        category = pick(weight, self.rng)
        item = self.stock.draw_cold(s.day, s.kind, category, self.rng)
        last = self.last_item[s.user, s.kind, category]
        rows = np.flatnonzero((strategy == DEEPEN) & (last >= 0))
        item[rows] = self.stock.draw_next(s.day[rows], last[rows], self.rng)
        return item

    def remember(self, user: Ints, item: Ints, second: Ints, bought: Mask) -> None:
        """Move the state on by one look of users [N], each at most once."""
        category = self.goods.category[item]
        self.interest[user] *= FADING
        self.interest[user, category] += 1.0
        self.last_item[user, self.goods.kind[item], category] = item
        user, item, second = user[bought], item[bought], second[bought]
        self.last_bought[user] = self.goods.category[item]
        self.bought_at[user] = second
        used_up = self.goods.period[item] > 0
        user, item, second = user[used_up], item[used_up], second[used_up]
        same = self.pantry[user] == item[:, None]
        oldest = self.pantry_since[user].argmin(axis=1)
        place = np.where(same.any(axis=1), same.argmax(axis=1), oldest)
        self.pantry[user, place] = item
        self.pantry_since[user, place] = second

"""What follows a look at an item: like, cart, buy and rating, with known probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr, ndtri

from quintet.market.vocabulary import CATEGORIES
from quintet.market.world import Goods, Ints, Mask, People, Reals

#: chance that a buyer (of goods) or a viewer (of a video) rates
RATING_SHARE = {"goods": 0.5, "video": 0.2, "article": 0.0, "person": 0.0}
RATING_NOISE = 0.6


@dataclass(frozen=True)
class Odds:
    """True probabilities given a look. Shape of each: [N].

    ``buy`` and ``rate`` are given the look, not given the cart; ``cart`` and ``buy`` are 0 for what
    is not sold. ``rating`` is the expected number of stars, given that there is a rating.
    """

    like: Reals
    cart: Reals
    buy: Reals
    rate: Reals
    rating: Reals


@dataclass(frozen=True)
class Outcome:
    """What happened after each look [N]; ``stars`` is NaN without a rating."""

    like: Mask
    cart: Mask
    buy: Mask
    stars: Reals


class Funnel:
    """The logistic truth of behaviours: how taste, quality and price move each of them."""

    def __init__(self, people: People, goods: Goods, kinds: tuple[str, ...]) -> None:
        self.people = people
        self.goods = goods
        self._rates = np.array([RATING_SHARE[kind] for kind in kinds])
        self._sold = np.array([kind == "goods" for kind in kinds])

    def match(self, user: Ints, item: Ints) -> Reals:
        """[N] log of how much more than average the user likes the item's category."""
        taste = self.people.taste[user, self.goods.category[item]]
        return np.clip(np.log(taste * len(CATEGORIES)), -3.0, 2.0)

    def attraction(self, user: Ints, item: Ints) -> Reals:
        """[N] probability of a look at an item that was shown and noticed."""
        return _sigmoid(-0.9 + 0.6 * self.match(user, item) + 0.4 * self.goods.quality[item])

    def odds(self, user: Ints, item: Ints) -> Odds:
        """The true probabilities for user rows and item rows [N]."""
        match, quality = self.match(user, item), self.goods.quality[item]
        gap = np.abs(self.goods.price_level[item] - self.people.log_budget[user])
        kind = self.goods.kind[item]
        sold = self._sold[kind]
        cart = sold * _sigmoid(-0.3 + 0.5 * match + 0.4 * quality - 1.0 * gap)
        buy = cart * _sigmoid(0.8 + 0.3 * quality - 1.2 * gap)
        return Odds(
            like=_sigmoid(-1.8 + 0.7 * match + 0.5 * quality),
            cart=cart,
            buy=buy,
            rate=self._rates[kind] * np.where(sold, buy, 1.0),
            rating=expected_stars(_mean_stars(match, quality)),
        )

    def outcome(self, user: Ints, item: Ints, luck: Reals) -> Outcome:
        """What ``luck`` [N, 4], uniform in [0, 1), makes of looks; always the same from the same.

        A buy has its cart and a rating of goods its buy: one number decides on cart and buy.
        """
        odds = self.odds(user, item)
        buy = luck[:, 1] < odds.buy
        rated = np.where(odds.cart > 0, buy, True) & (luck[:, 2] < self._rates[self.kind(item)])
        mean = _mean_stars(self.match(user, item), self.goods.quality[item])
        stars = np.clip(np.round(mean + RATING_NOISE * ndtri(luck[:, 3])), 1, 5)
        return Outcome(
            like=luck[:, 0] < odds.like,
            cart=luck[:, 1] < odds.cart,
            buy=buy,
            stars=np.where(rated, stars, np.nan),
        )

    def kind(self, item: Ints) -> Ints:
        """[N] the kind of each item."""
        return self.goods.kind[item]


def _sigmoid(logit: Reals) -> Reals:
    probability: Reals = expit(logit)
    return probability


def _mean_stars(match: Reals, quality: Reals) -> Reals:
    return 3.4 + 0.4 * match + 0.5 * quality


def expected_stars(mean: Reals) -> Reals:
    """[N] expectation of a normal number rounded and clipped to 1..5.

    E = 5 - sum of P(stars <= k) for k = 1..4, and P(stars <= k) = Phi((k + 1/2 - mean) / noise).
    """
    below = ndtr((np.arange(1, 5) + 0.5 - mean[..., None]) / RATING_NOISE)
    stars: Reals = 5.0 - below.sum(axis=-1)
    return stars

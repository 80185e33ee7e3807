"""Slates of the feed: what was shown, where, with what propensity, and what was looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quintet.market.funnel import Funnel
from quintet.market.settings import SLATE_SIZE
from quintet.market.stock import Stock
from quintet.market.world import Ints, Mask, Reals, Rng, pick

#: probability that a place of the slate is noticed, from the top
EXAMINATION = 1.0 / (1.0 + 0.35 * np.arange(SLATE_SIZE))


@dataclass(frozen=True)
class Slates:
    """N slates of S places.

    Attributes:
        item: [N, S] what was shown, no item twice in a slate.
        propensity: [N, S] the logging policy's probability of that item at that place given the
            places above (Plackett-Luce over the whole offer).
        p_view: [N, S] true probability of a look (noticed and attractive).
        viewed: [N, S] whether it was looked at.
    """

    item: Ints
    propensity: Reals
    p_view: Reals
    viewed: Mask


def show(
    stock: Stock, funnel: Funnel, user: Ints, day: Ints, kind_share: Reals, *, rng: Rng
) -> Slates:
    """Fill a slate for each of users [N] by popularity; ``kind_share`` [K] is the feed's mix."""
    n = len(user)
    item: Ints = np.full((n, SLATE_SIZE), -1, np.int64)
    propensity = np.zeros((n, SLATE_SIZE))
    left = np.ones(n)
    for place in range(SLATE_SIZE):
        open_rows = np.arange(n)
        while len(open_rows):
            kind = pick(np.broadcast_to(kind_share, (len(open_rows), len(kind_share))), rng)
            drawn = stock.draw_any(day[open_rows], kind, rng)
            shown = (item[open_rows] == drawn[:, None]).any(axis=1)
            item[open_rows, place] = np.where(shown, -1, drawn)
            open_rows = open_rows[shown]
        share = _share(stock, day, item[:, place], kind_share)
        propensity[:, place] = share / left
        left -= share
    everyone = np.repeat(user, SLATE_SIZE)
    p_view = funnel.attraction(everyone, item.ravel()).reshape(n, SLATE_SIZE) * EXAMINATION
    return Slates(item, propensity, p_view, rng.random((n, SLATE_SIZE)) < p_view)


def _share(stock: Stock, day: Ints, item: Ints, kind_share: Reals) -> Reals:
    """[N] probability of an item when nothing has been shown yet."""
    kind = stock.goods.kind[item]
    share: Reals = kind_share[kind] * stock.weight[day, item] / stock.mass[day, kind]
    return share

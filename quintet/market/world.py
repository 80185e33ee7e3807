"""Who lives in the marketplace and what it offers: latent truth that the log never shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.market.settings import MarketConfig
from quintet.market.vocabulary import (
    BRANDS,
    CATEGORIES,
    ENGLISH_STYLES,
    SCENARIO_KINDS,
)

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rng = np.random.Generator

#: share of the catalogue and of the feed that each kind has
KIND_SHARE = {"goods": 0.5, "video": 0.2, "article": 0.2, "person": 0.1}
#: how far each scenario is liked on average
SCENARIO_SHARE = {
    "shop": 0.3,
    "feed": 0.25,
    "video": 0.15,
    "news": 0.1,
    "search": 0.15,
    "people": 0.05,
}
#: the mean logit of each strategy, in the order of STRATEGIES
STRATEGY_LOGITS = np.array([1.8, -0.9, 0.3, 1.4, -1.0])


@dataclass(frozen=True)
class Goods:
    """All items, sorted by kind and category so that each (kind, category) is one block.

    Shapes: I items. ``kind`` indexes the settings' kinds, ``shelf`` a category's shelves;
    ``period`` is the days that a pack lasts, 0 for what is not used up; ``log_price`` is NaN for
    what is not sold; ``price_level`` is the log price relative to what is typical of the shelf;
    ``release`` is the first day on offer (0 or less: from the start).
    """

    kind: Ints
    category: Ints
    shelf: Ints
    brand: Ints
    style: Ints
    quality: Reals
    popularity: Reals
    log_price: Reals
    price_level: Reals
    period: Reals
    release: Ints
    chinese: Mask

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True)
class People:
    """All people. Shapes: U users, C categories, A strategies, S scenarios.

    ``taste`` [U, C] sums to 1; ``log_budget`` [U] is the price level they like best;
    ``strategy`` [U, A] logits; ``hour`` [U] the favourite hour; ``scenario`` [U, S] shares.
    """

    taste: Reals
    log_budget: Reals
    strategy: Reals
    hour: Reals
    scenario: Reals
    age: Ints
    gender: Ints
    chinese: Mask

    def __len__(self) -> int:
        return len(self.age)


def make_goods(config: MarketConfig, rng: Rng) -> Goods:
    """Draw the catalogue; every kind has at least one item of each category from day 0."""
    n, n_categories = config.n_items, len(CATEGORIES)
    blocks = len(config.kinds) * n_categories
    share = np.array([KIND_SHARE[kind] for kind in config.kinds])
    kind = np.concatenate(
        [
            np.repeat(np.arange(len(config.kinds)), n_categories),
            rng.choice(len(config.kinds), n - blocks, p=share / share.sum()),
        ]
    )
    category = np.concatenate(
        [
            np.tile(np.arange(n_categories), len(config.kinds)),
            rng.integers(0, n_categories, n - blocks),
        ]
    )
    always = np.arange(n) < blocks
    order = np.lexsort((rng.random(n), category, kind))
    kind, category, always = kind[order], category[order], always[order]
    shelf = rng.integers(0, 3, n)
    sold = np.array([name == "goods" for name in config.kinds])[kind]
    typical = np.log([[shelf.price for shelf in category.shelves] for category in CATEGORIES])
    lasts = np.array([[shelf.period for shelf in category.shelves] for category in CATEGORIES])
    late = (rng.random(n) < 0.25) & ~always
    quality = rng.normal(0, 1, n)
    level = rng.normal(0, 0.4, n)
    return Goods(
        kind=kind,
        category=category,
        shelf=shelf,
        brand=rng.integers(0, len(BRANDS), n),
        style=rng.integers(0, len(ENGLISH_STYLES), n),
        quality=quality,
        popularity=np.exp(0.5 * quality + rng.normal(0, 0.5, n)),
        log_price=np.where(sold, typical[category, shelf] + level, np.nan),
        price_level=level,
        period=np.where(sold, lasts[category, shelf], 0.0),
        release=np.where(late, rng.integers(1, config.days, n), -rng.integers(0, 365, n)),
        chinese=rng.random(n) < 0.5,
    )


def make_people(config: MarketConfig, rng: Rng) -> People:
    """Draw the people: a few strong tastes each, tilted a little by age."""
    n, n_categories = config.n_users, len(CATEGORIES)
    age = rng.integers(16, 75, n)
    tilt = np.cos(
        2 * np.pi * (age[:, None] - 16) / 60 - np.linspace(0, 2 * np.pi, n_categories, False)
    )
    strength = rng.gamma(0.35 * np.exp(0.6 * tilt)) + 1e-3
    liked = np.array([SCENARIO_SHARE[name] for name in config.scenarios])
    scenario = rng.dirichlet(8 * liked / liked.sum() + 0.2, n)
    return People(
        taste=strength / strength.sum(axis=1, keepdims=True),
        log_budget=rng.normal(0, 0.4, n),
        strategy=STRATEGY_LOGITS + rng.normal(0, 0.8, (n, len(STRATEGY_LOGITS))),
        hour=rng.choice([8.0, 12.5, 20.0, 22.5], n, p=[0.2, 0.2, 0.4, 0.2]) + rng.normal(0, 1, n),
        scenario=scenario,
        age=age,
        gender=rng.integers(0, 2, n),
        chinese=rng.random(n) < 0.5,
    )


def make_friends(people: People, rng: Rng, each: int = 4, pool: int = 64) -> Ints:
    """[F, 2] pairs of users (lower row first), more often of similar taste.

    Everybody meets ``pool`` people by chance and befriends the ``each`` whose taste is closest,
    with some luck: memory grows with the number of users, not with its square.
    """
    n = len(people)
    direction = people.taste / np.linalg.norm(people.taste, axis=1, keepdims=True)
    met = rng.integers(0, n, (n, min(pool, 2 * n)))
    likeness = np.einsum("uc,upc->up", direction, direction[met]) + rng.gumbel(0, 0.1, met.shape)
    likeness[met == np.arange(n)[:, None]] = -np.inf
    best = np.argsort(-likeness, axis=1)[:, :each]
    friend = np.take_along_axis(met, best, axis=1)
    ends = np.stack([np.repeat(np.arange(n), best.shape[1]), friend.ravel()])
    ends = ends[:, ends[0] != ends[1]]
    pairs: Ints = np.unique(np.sort(ends, axis=0), axis=1).T
    return pairs


def scenario_kinds(config: MarketConfig) -> Reals:
    """[S, K] probability of each kind of item in each scenario."""
    table = np.zeros((len(config.scenarios), len(config.kinds)))
    for row, scenario in enumerate(config.scenarios):
        for kind in SCENARIO_KINDS[scenario]:
            table[row, config.kinds.index(kind)] = KIND_SHARE[kind]
    share: Reals = table / table.sum(axis=1, keepdims=True)
    return share


def pick(weight: Reals, rng: Rng) -> Ints:
    """[N] one column for each row of ``weight`` [N, M], in proportion to it."""
    edges = np.cumsum(weight, axis=1)
    target = rng.random((len(weight), 1)) * edges[:, -1:]
    picked: Ints = (target >= edges).sum(axis=1)
    last: Ints = np.minimum(picked, weight.shape[1] - 1)  # rounding may pass the last edge
    return last

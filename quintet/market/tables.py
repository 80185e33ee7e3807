"""The marketplace as Arrow tables: what a platform would have logged, and the truth apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

import numpy as np
import pyarrow as pa

from quintet.market.funnel import Funnel
from quintet.market.live import PLACE_SECONDS, Feed, Looks
from quintet.market.schedule import DEVICES, Schedule
from quintet.market.settings import SLATE_SIZE, STRATEGIES, MarketConfig
from quintet.market.vocabulary import BRANDS, CATEGORIES, query, title
from quintet.market.world import Goods, Ints, Mask, People, Reals, Rng

TIME = pa.timestamp("us", tz="UTC")
BEHAVIOURS = ("impression", "view", "like", "cart", "buy", "rating")
#: seconds after the look; a buy is over before the person's next look
DELAY = {"view": 0, "like": 20, "cart": 40, "buy": 120}
GOODS_RATING_DELAY = 3 * 86_400
_LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Names:
    """Public ids, shuffled so that they say nothing: ``user`` [U] and ``item`` [I] texts."""

    user: list[str]
    item: list[str]

    @classmethod
    def draw(cls, config: MarketConfig, rng: Rng) -> Names:
        """Draw ids for all people and items."""
        return cls(
            [f"u{n}" for n in rng.permutation(config.n_users)],
            [f"i{n}" for n in rng.permutation(config.n_items)],
        )


@dataclass(frozen=True)
class World:
    """All that the tables are written from."""

    config: MarketConfig
    goods: Goods
    people: People
    names: Names
    schedule: Schedule
    funnel: Funnel

    def times(self, second: Ints) -> pa.Array:
        """Seconds since the start as UTC timestamps."""
        start = datetime.combine(self.config.start, time(), UTC)
        return pa.array(second * 1_000_000 + round(start.timestamp() * 1e6), TIME)


def _take(names: Iterable[str], rows: Ints, missing: Mask | None = None) -> pa.Array:
    return pa.array(list(names), pa.string()).take(pa.array(rows, pa.int64(), mask=missing))


def _numbered(prefix: str, numbers: Ints, missing: Mask | None = None) -> pa.Array:
    return pa.array(np.char.add(prefix, numbers.astype(str)), pa.string(), mask=missing)


@dataclass(frozen=True)
class _Rows:
    """Log rows before they are written. Shape: E rows; ``look`` is -1 for impressions."""

    look: Ints
    slot: Ints
    item: Ints
    second: Ints
    behaviour: Ints
    place: Ints
    value: Reals


def _behaviour_rows(world: World, looks: Looks) -> list[_Rows]:
    user = world.schedule.user[looks.slot]
    outcome = world.funnel.outcome(user, looks.item, looks.luck)
    second = world.schedule.second[looks.slot] + np.maximum(looks.place, 0) * PLACE_SECONDS
    happened = {
        "view": np.ones(len(user), bool),
        "like": outcome.like,
        "cart": outcome.cart,
        "buy": outcome.buy,
        "rating": ~np.isnan(outcome.stars),
    }
    rows = []
    for behaviour, mask in happened.items():
        look = np.flatnonzero(mask)
        delay = np.full(len(look), DELAY.get(behaviour, 200))
        if behaviour == "rating":
            delay[outcome.buy[look]] = GOODS_RATING_DELAY
        rows.append(
            _Rows(
                look,
                looks.slot[look],
                looks.item[look],
                second[look] + delay,
                np.full(len(look), BEHAVIOURS.index(behaviour)),
                looks.place[look],
                outcome.stars[look] if behaviour == "rating" else np.full(len(look), np.nan),
            )
        )
    return rows


def _impression_rows(world: World, feed: Feed) -> list[_Rows]:
    if feed.slates is None:
        return []
    slot = np.repeat(feed.slot, SLATE_SIZE)
    n = len(slot)
    return [
        _Rows(
            np.full(n, -1),
            slot,
            feed.slates.item.ravel(),
            world.schedule.second[slot],
            np.full(n, BEHAVIOURS.index("impression")),
            np.tile(np.arange(SLATE_SIZE), len(feed.slot)),
            np.full(n, np.nan),
        )
    ]


def log_table(world: World, looks: Looks, feed: Feed) -> tuple[pa.Table, Ints]:
    """The log in time order, and for each look [V] the number of its ``view`` event."""
    parts = _impression_rows(world, feed) + _behaviour_rows(world, looks)
    rows = _Rows(*map(np.concatenate, zip(*(vars(p).values() for p in parts), strict=True)))
    order = np.lexsort((rows.place, rows.behaviour, rows.slot, rows.second))
    rows = _Rows(*(column[order] for column in vars(rows).values()))
    view = np.flatnonzero(rows.behaviour == BEHAVIOURS.index("view"))
    event_of_look = np.empty(len(looks.slot), np.int64)
    event_of_look[rows.look[view]] = view
    return pa.table(_log_columns(world, rows, feed)), event_of_look


def _log_columns(world: World, rows: _Rows, feed: Feed) -> dict[str, pa.Array]:
    schedule, config, goods = world.schedule, world.config, world.goods
    user, scenario = schedule.user[rows.slot], schedule.scenario[rows.slot]
    price = np.round(np.exp(goods.log_price[rows.item]), 2)
    later = rows.second - schedule.second[rows.slot] >= GOODS_RATING_DELAY  # no session any more
    columns = {
        "event_id": _numbered("e", np.arange(len(user))),
        "user_id": _take(world.names.user, user),
        "item_id": _take(world.names.item, rows.item),
        "timestamp": world.times(rows.second),
        "behaviour": _take(BEHAVIOURS, rows.behaviour),
        "scenario": _take(config.scenarios, scenario),
        "value": pa.array(rows.value, mask=np.isnan(rows.value)),
        "price": pa.array(price, mask=np.isnan(price)),
        "query": _queries(world, user, rows.item, scenario),
        "session_id": _numbered("s", schedule.session[rows.slot], later),
        "device": _take(DEVICES, schedule.device[rows.slot]),
    }
    if feed.slates is not None:
        slate, missing = feed.of_slot[rows.slot], rows.place < 0
        propensity = np.zeros(len(slate))
        propensity[~missing] = feed.slates.propensity[slate[~missing], rows.place[~missing]]
        columns["request_id"] = _numbered("r", rows.slot, missing)
        columns["position"] = pa.array(rows.place, pa.int64(), mask=missing)
        columns["propensity"] = pa.array(propensity, mask=missing)
    return columns


def _queries(world: World, user: Ints, item: Ints, scenario: Ints) -> pa.Array:
    """The query of each search event: the shelf looked for, in the person's language."""
    texts = [
        query(category, shelf, chinese=chinese)
        for chinese in (False, True)
        for category in CATEGORIES
        for shelf in category.shelves
    ]
    goods = world.goods
    shelf = goods.category[item] * 3 + goods.shelf[item]
    searches = np.array([name == "search" for name in world.config.scenarios])[scenario]
    return _take(texts, world.people.chinese[user] * len(texts) // 2 + shelf, ~searches)


def item_table(world: World, images: list[str] | None) -> pa.Table:
    """The catalogue in the order of shuffled ids."""
    goods, config = world.goods, world.config
    price = np.round(np.exp(goods.log_price), 2)
    columns: dict[str, Any] = {
        "item_id": world.names.item,
        "title": [
            title(
                config.kinds[goods.kind[i]],
                CATEGORIES[goods.category[i]],
                CATEGORIES[goods.category[i]].shelves[goods.shelf[i]],
                BRANDS[goods.brand[i]],
                int(goods.style[i]),
                chinese=bool(goods.chinese[i]),
            )
            for i in range(len(goods))
        ],
        "kind": _take(config.kinds, goods.kind),
        "category": _take([c.english for c in CATEGORIES], goods.category),
        "subcategory": _take(
            [f"{c.english} {s.english}" for c in CATEGORIES for s in c.shelves],
            goods.category * 3 + goods.shelf,
        ),
        "brand": _take(BRANDS, goods.brand, np.isnan(price)),
        "price": pa.array(price, mask=np.isnan(price)),
        "consumable": pa.array(goods.period > 0),
        "language": _take(_LANGUAGES, goods.chinese.astype(np.int64)),
        "released": world.times(goods.release * 86_400),
    }
    if images is not None:
        columns["image"] = images
    return _by_id(pa.table(columns), "item_id")


def user_table(world: World) -> pa.Table:
    """What people say of themselves."""
    people = world.people
    columns = {
        "user_id": world.names.user,
        "age": pa.array(people.age),
        "gender": _take(("female", "male"), people.gender),
        "language": _take(_LANGUAGES, people.chinese.astype(np.int64)),
    }
    return _by_id(pa.table(columns), "user_id")


def taste_table(world: World) -> pa.Table:
    """True tastes: one row a user, one column a category."""
    columns: dict[str, Any] = {"user_id": world.names.user}
    for index, category in enumerate(CATEGORIES):
        columns[f"taste_{category.english}"] = world.people.taste[:, index]
    return _by_id(pa.table(columns), "user_id")


def relation_table(world: World, friends: Ints) -> pa.Table:
    """Friendships [F, 2], each written once."""
    return pa.table(
        {
            "source_id": _take(world.names.user, friends[:, 0]),
            "target_id": _take(world.names.user, friends[:, 1]),
            "kind": pa.array(["user-user"] * len(friends), pa.string()),
        }
    )


def truth_table(world: World, looks: Looks, event_of_look: Ints) -> pa.Table:
    """One row a look, in the order of the log."""
    order = np.argsort(event_of_look)
    slot, item = looks.slot[order], looks.item[order]
    user = world.schedule.user[slot]
    odds = world.funnel.odds(user, item)
    strategy = looks.strategy[order]
    columns = {
        "event_id": _numbered("e", event_of_look[order]),
        "user_id": _take(world.names.user, user),
        "item_id": _take(world.names.item, item),
        "strategy": _take(STRATEGIES, strategy, strategy < 0),
        "by_chance": pa.array(looks.by_chance[order]),
    }
    for index, name in enumerate(STRATEGIES):
        probability = looks.probability[order, index]
        columns[f"p_{name}"] = pa.array(probability, mask=np.isnan(probability))
    columns["p_like"], columns["p_cart"] = pa.array(odds.like), pa.array(odds.cart)
    columns["p_buy"], columns["p_rating"] = pa.array(odds.buy), pa.array(odds.rate)
    columns["expected_stars"] = pa.array(odds.rating)
    return pa.table(columns)


def exposure_truth_table(world: World, feed: Feed) -> pa.Table:
    """One row an impression: the true probability of a look."""
    slates = feed.slates
    size = 0 if slates is None else SLATE_SIZE
    return pa.table(
        {
            "request_id": _numbered("r", np.repeat(feed.slot, size)),
            "position": pa.array(np.tile(np.arange(size), len(feed.slot)), pa.int64()),
            "item_id": _take(
                world.names.item, np.zeros(0, int) if slates is None else slates.item.ravel()
            ),
            "p_view": pa.array([] if slates is None else slates.p_view.ravel(), pa.float64()),
        }
    )


def _by_id(table: pa.Table, column: str) -> pa.Table:
    """Rows in the order of their shuffled ids, so that not even the row order tells anything."""
    number = np.array([int(text[1:]) for text in table[column].to_pylist()])
    return table.take(pa.array(np.argsort(number)))

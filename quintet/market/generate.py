"""Run the marketplace: people, goods and time in, tables out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from quintet.market import tables
from quintet.market.funnel import Funnel
from quintet.market.images import draw_images
from quintet.market.live import live, show_feed
from quintet.market.schedule import make_schedule
from quintet.market.settings import MarketConfig
from quintet.market.stock import Stock
from quintet.market.walk import Walk
from quintet.market.world import make_friends, make_goods, make_people


@dataclass(frozen=True)
class Market:
    """A log with its catalogue and people, and the truth behind it.

    Attributes:
        log: events in time order: ``event_id, user_id, item_id, timestamp, behaviour, scenario,
            value, price, query, session_id, device`` and, with exposures, ``request_id, position,
            propensity`` (behaviour ``impression`` for what was shown).
        items: ``item_id, title, kind, category, subcategory, brand, price, language,
            released`` and, when drawn, ``image``.
        users: ``user_id, age, gender, language``.
        relations: friendships, ``source_id, target_id, kind``.
        truth: one row a look: the strategy, ``p_<strategy>``, ``p_like``, ``p_cart``, ``p_buy``,
            ``p_rating`` given the look, and the expected stars given a rating.
        exposure_truth: one row an impression: ``p_view``; without exposures, no rows.
        tastes: one row a user, ``taste_<category>``, summing to 1.
        config: the settings that made it.
    """

    log: pa.Table
    items: pa.Table
    users: pa.Table
    relations: pa.Table
    truth: pa.Table
    exposure_truth: pa.Table
    tastes: pa.Table
    config: MarketConfig


def generate(config: MarketConfig | None = None) -> Market:
    """Simulate a marketplace; deterministic in its settings.

    Raises:
        MissingExtraError: images are asked for and pillow is not installed.
    """
    config = config if config is not None else MarketConfig()
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(config.seed).spawn(8)]
    goods, people = make_goods(config, rngs[0]), make_people(config, rngs[1])
    stock = Stock(goods, config, rngs[2])
    schedule = make_schedule(config, people, rngs[3])
    funnel = Funnel(people, goods, config.kinds)
    feed = show_feed(config, schedule, stock, funnel, rngs[4])
    walk = Walk(config, people, goods, stock, rngs[5])
    looks = live(schedule, walk, funnel, feed, rngs[6])
    names = tables.Names.draw(config, rngs[7])
    images = None
    if config.image_folder is not None:
        images = draw_images(config.image_folder, goods, names.item)
    world = tables.World(config, goods, people, names, schedule, funnel)
    log, event_ids = tables.log_table(world, looks, feed)
    return Market(
        log=log,
        items=tables.item_table(world, images),
        users=tables.user_table(world),
        relations=tables.relation_table(world, make_friends(people, rngs[1])),
        truth=tables.truth_table(world, looks, event_ids),
        exposure_truth=tables.exposure_truth_table(world, feed),
        tastes=tables.taste_table(world),
        config=config,
    )

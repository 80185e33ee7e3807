"""Small logs for the memory tests, by hand and at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions

WORDS = ["red", "blue", "lamp", "chair", "soap", "brush", "green", "table"]


def log(*histories: list[int], n_items: int = 0, values: list[list[float]] | None = None):
    """One user a list of item rows, in time order; ``values`` alike."""
    user = np.repeat(np.arange(len(histories)), [len(items) for items in histories])
    item = np.array([item for items in histories for item in items], np.int64)
    given = None if values is None else np.array([v for row in values for v in row], np.float32)
    return Interactions.build(
        user,
        item,
        n_users=len(histories),
        n_items=n_items or int(item.max(initial=-1)) + 1,
        value=given,
    )


def strangers(histories: Interactions) -> Interactions:
    """The same histories of people nobody knows."""
    return replace(histories, user=np.full(len(histories), -1, np.int64))


def random_log(
    seed: int = 0, n_users: int = 30, n_items: int = 20, unseen: int = 2, values: bool = True
) -> Interactions:
    """Histories of 0 to 12 events; the last ``unseen`` items never occur; some values missing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 13, n_users)
    lengths[0], lengths[-1] = 0, 6  # one nobody, one somebody
    n_events = int(lengths.sum())
    value = rng.integers(1, 6, n_events).astype(np.float32)
    value[rng.random(n_events) < (0.2 if values else 1.0)] = np.nan
    item = rng.zipf(1.5, n_events) % (n_items - unseen)
    time = rng.integers(0, 90 * 86_400, n_events) * 1_000_000
    return Interactions.build(
        np.repeat(np.arange(n_users), lengths),
        item,
        n_users=n_users,
        n_items=n_items,
        time=time,
        behaviour=rng.integers(0, 3, n_events),
        value=value,
    )


def random_texts(n_items: int, seed: int = 0) -> FeatureTable:
    """Two or three words an item."""
    rng = np.random.default_rng(seed)
    titles = [" ".join(rng.choice(WORDS, rng.integers(2, 4))) for _ in range(n_items)]
    return FeatureTable(n_rows=n_items, texts={"title": titles})


@st.composite
def logs(draw, n_items: int = 5, values: bool = False):
    """Random logs of up to 5 users with up to 7 events on ``n_items`` items."""
    events = st.lists(st.integers(0, n_items - 1), max_size=7)
    histories = draw(st.lists(events, min_size=1, max_size=5))
    if not values:
        return log(*histories, n_items=n_items)
    value = st.one_of(st.integers(1, 5).map(float), st.just(float("nan")))
    given = [draw(st.lists(value, min_size=len(h), max_size=len(h))) for h in histories]
    return log(*histories, n_items=n_items, values=given)

"""Logs for the tests of this folder: a hypothesis strategy and a seeded random log."""

import numpy as np
from hypothesis import strategies as st

from quintet.data.interactions import Interactions


@st.composite
def logs(draw: st.DrawFn, min_events: int = 0, max_events: int = 40) -> Interactions:
    """Small logs with ties in time and users without events."""
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(2, 8))
    n = draw(st.integers(min_events, max_events))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Interactions.build(
        rng.integers(n_users, size=n),
        rng.integers(n_items, size=n),
        n_users=n_users,
        n_items=n_items,
        time=rng.integers(draw(st.integers(1, 50)), size=n),
        value=rng.random(n),
    )


def random_log(
    n_users: int = 200, n_items: int = 100, n_events: int = 4000, seed: int = 0
) -> Interactions:
    """Distinct times, skewed popularity, no structure at all, no item twice for a user."""
    rng = np.random.default_rng(seed)
    user = rng.integers(n_users, size=3 * n_events)
    item = rng.permutation(n_items)[(n_items * rng.random(3 * n_events) ** 1.5).astype(np.int64)]
    first = np.sort(np.unique(user * n_items + item, return_index=True)[1])[:n_events]
    time = rng.permutation(len(first)) * 1_000_000 + 1_500_000_000_000_000
    return Interactions.build(
        user[first],
        item[first],
        n_users=n_users,
        n_items=n_items,
        time=time,
        value=rng.integers(1, 6, len(first)).astype(np.float64),
    )


def permute_users(events: Interactions, order: list[int]) -> Interactions:
    """The same log with user ``order[row]`` at row ``row``."""
    batch = events.users(order)
    return Interactions.build(
        batch.group(),
        batch.item,
        n_users=batch.n_users,
        n_items=batch.n_items,
        time=batch.time,
        value=batch.value,
        keep_order=True,
    )

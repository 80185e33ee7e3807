"""Memories that are walks recall together what each recalls alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quintet.data.interactions import Interactions
from quintet.memory.channel import evidence_memory
from quintet.memory.walks import Walks

from .logs import log, random_log

EVENTS = random_log()
NAMES = ["view", "cart", "buy"]
WALKED = {
    "transitions": {},
    "last_item": {},
    "item_cosine": {"half_life": 3.0},
    "transitions@cart+buy": {},
}
ALL = {**WALKED, "repeat": {}, "trend": {}, "transitions@view": {"log_scale": 10.0}}
MEMORIES = {name: evidence_memory(name, ALL[name], NAMES).fit(EVENTS) for name in ALL}


def grown() -> Interactions:
    """The same people, who met items that nobody knew when the memories were fitted."""
    later = replace(EVENTS, n_items=EVENTS.n_items + 3)
    item = later.item.copy()
    item[::5] = EVENTS.n_items + np.arange(len(item[::5])) % 3
    return replace(later, item=item)


@pytest.fixture
def walks(compiled_or_not) -> Walks:
    return Walks(MEMORIES)


@pytest.mark.parametrize("histories", [EVENTS, grown(), EVENTS.users([3])])
def test_together_is_each_alone(walks, histories) -> None:
    assert walks.names == list(WALKED)
    found = walks.recall(histories, walks.weights(histories))
    for name, entries in found.items():
        alone = MEMORIES[name].sparse_score(histories)
        assert alone is not None
        assert len(np.unique(entries.cells())) == len(entries)
        np.testing.assert_allclose(entries.toarray(), alone.toarray(), rtol=1e-5, atol=1e-7)


def test_nobody_and_somebody_without_a_history(walks) -> None:
    empty = log([], [], n_items=EVENTS.n_items)
    for histories in (empty, empty.users([])):
        found = walks.recall(histories, walks.weights(histories))
        assert [len(entries) for entries in found.values()] == [0] * len(WALKED)

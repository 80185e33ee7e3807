"""Evidence of some behaviours: what it reads, and how it is named in a model's settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quintet.data.features import FeatureTable
from quintet.errors import ConfigError, NotFittedError
from quintet.memory.channel import Channel, evidence_memory, part_name
from quintet.memory.ease import Ease
from quintet.memory.graph import Graph
from quintet.memory.trend import Trend

from .logs import random_log, random_texts

EVENTS = random_log()
NAMES = ["view", "cart", "buy"]


def test_a_channel_is_the_memory_of_those_events_alone() -> None:
    memory = evidence_memory("ease@cart+buy", {"l2": 10.0}, NAMES).fit(EVENTS)
    own = EVENTS.select(EVENTS.behaviour > 0)
    alone = Ease(Ease.Config(l2=10.0)).fit(own)
    np.testing.assert_array_equal(memory.score(EVENTS), alone.score(own))
    np.testing.assert_array_equal(memory.present(), alone.present())
    user = int(EVENTS.lengths.argmax())
    one = EVENTS.users([user])
    parts = memory.explain(one, 0)
    assert not parts[one.behaviour == 0].any()
    np.testing.assert_allclose(parts.sum(), memory.score(one)[0, 0], rtol=1e-4, atol=1e-6)


def test_without_an_at_sign_every_event_is_read() -> None:
    memory = evidence_memory("ease", {}, NAMES).fit(EVENTS)
    assert isinstance(memory, Ease)
    assert part_name("ease@buy") == part_name("ease") == "ease"


def test_what_is_true_of_the_memory_is_true_of_its_channel() -> None:
    channel = Channel(Trend(), [0])
    assert channel.dense
    channel.fit(EVENTS)
    restored = Channel(Trend(), [0]).load_state(channel.state())
    np.testing.assert_array_equal(restored.score(EVENTS), channel.score(EVENTS))
    np.testing.assert_allclose(
        channel.queries(EVENTS) @ channel.item_vectors().T, channel.score(EVENTS), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ease@bought", r"'ease@bought' reads the unknown behaviour 'bought'.*view, cart, buy"),
        ("eese@buy", "unknown memory 'eese'"),
        ("als", "is a baseline"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evidence_memory(name, {}, NAMES)


def test_a_channel_hands_friendships_on() -> None:
    friends_F2 = np.array([[3, 4], [5, 3]])
    channel = Channel(Graph(), [0, 1, 2]).relate(friends_F2).fit(EVENTS)
    alone = Graph().relate(friends_F2).fit(EVENTS)
    np.testing.assert_array_equal(channel.score(EVENTS), alone.score(EVENTS))
    assert (channel.score(EVENTS) != Graph().fit(EVENTS).score(EVENTS)).any()


def test_a_fresh_one_reads_the_same_behaviours_and_has_counted_nothing() -> None:
    memory = evidence_memory("transitions@view", {"decay": 0.7}, NAMES).fit(EVENTS)
    again = memory.fresh().fit(EVENTS)
    np.testing.assert_array_equal(again.score(EVENTS), memory.score(EVENTS))
    with pytest.raises(NotFittedError):
        memory.fresh().score(EVENTS)


def test_items_added_are_known_to_it_and_not_to_the_one_before() -> None:
    texts = random_texts(EVENTS.n_items)
    memory = evidence_memory("content_neighbours@view", {}, NAMES).fit(EVENTS, texts)
    title = texts.texts["title"]
    more = FeatureTable(n_rows=len(title) + 1, texts={"title": [*title, title[0]]})
    later = replace(EVENTS, n_items=EVENTS.n_items + 1)
    before = memory.score(EVENTS)
    added = memory.add_items(more)
    assert added.score(later)[:, -1].any()
    np.testing.assert_array_equal(memory.score(EVENTS), before)

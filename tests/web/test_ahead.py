"""Histories are read before their list is asked for, where that takes nothing from anybody."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from quintet.store import Event, Owner, open_store
from quintet.web.ahead import MOST_AT_ONCE, Ahead
from quintet.web.asked import asking
from quintet.web.known import Known
from quintet.web.models import RecommendIn
from quintet.web.ranking import STATE, Ranker, Wish
from quintet.web.thinking import Thinker
from tests.web.running import wait_for

FIRST = Owner.user("u1")


class Scene:
    """A journal, people, and what reads them ahead."""

    def __init__(self, journal, recommender) -> None:
        self.journal, self.known = journal, Known(journal)
        trained = recommender.trained
        self.live = SimpleNamespace(trained=trained, base_offset=0, ranker=Ranker(trained))
        self.items = trained.items.values.to_pylist()
        self.idle, self.happened = True, 0

    def shown(self, owner: Owner, scenario: str | None = None):
        """The person, a list of theirs made."""
        one = self.known.of(owner, self.live, self.live.trained.users.row(owner.id))
        asked = asking(self.live, one, RecommendIn(user_id=owner.id, scenario=scenario))
        allowed_I = np.ones(len(self.items), np.bool_)
        self.live.ranker.rank([asked], [Wish(5, True, allowed_I)])
        return asked

    def happens(self, owner: Owner) -> None:
        """Somebody does something, and it is on disk."""
        self.happened += 1
        event = Event(
            event_id=f"e{self.happened}",
            user_id=owner.id,
            item_id=self.items[self.happened],
            timestamp=2**51 + self.happened,
        )
        self.journal.submit([event]).result()

    def read_ahead(self, *calls) -> None:
        """What follows on calls one after the other."""

        async def run() -> None:
            thinker = Thinker()
            ahead = Ahead(SimpleNamespace(live=self.live), self.known, thinker, lambda: self.idle)
            for owners in calls:
                ahead.of(owners)
                while ahead._task is not None and not ahead._task.done():
                    await asyncio.sleep(0.001)
            thinker.close()

        asyncio.run(run())


@pytest.fixture
def scene(tmp_path, recommender):
    journal = open_store(tmp_path / "journal")
    yield Scene(journal, recommender)
    journal.close()


def test_who_was_shown_a_list_is_read_as_soon_as_they_do_something(scene) -> None:
    old = scene.shown(FIRST)
    scene.happens(FIRST)
    scene.read_ahead([FIRST])
    new = scene.known.held(FIRST, scene.live)
    assert len(new) == len(old) + 1
    state = new.state[STATE].copy()
    new.state.clear()
    scene.live.ranker.states([new])
    np.testing.assert_array_equal(state, new.state[STATE])


def test_they_are_read_as_they_were_asked_for(scene) -> None:
    scenario = scene.live.trained.model.shape.scenarios[1]
    scene.shown(FIRST, scenario)
    scene.happens(FIRST)
    scene.read_ahead([FIRST])
    plain = scene.known.held(FIRST, scene.live)
    assert not plain.state
    (turned,) = plain.turned.values()
    assert turned.state
    assert len(turned) == len(plain)
    assert asking(scene.live, plain, RecommendIn(user_id="u1", scenario=scenario)) is turned


def test_they_are_read_once_until_their_next_list(scene) -> None:
    scene.shown(FIRST)
    for has_state in (True, False, False):
        scene.happens(FIRST)
        scene.read_ahead([FIRST])
        one = scene.known.held(FIRST, scene.live)
        assert (one is not None and bool(one.state)) == has_state
    scene.shown(FIRST)
    scene.happens(FIRST)
    scene.read_ahead([FIRST])
    assert scene.known.held(FIRST, scene.live).state


def test_no_more_than_a_few_ways_are_read(scene, monkeypatch) -> None:
    monkeypatch.setattr("quintet.web.ahead.MOST_AT_ONCE", 2)
    scenarios = scene.live.trained.model.shape.scenarios
    assert len(scenarios) > 2
    for scenario in scenarios:
        scene.shown(FIRST, scenario)
    scene.happens(FIRST)
    scene.read_ahead([FIRST])
    turned = scene.known.held(FIRST, scene.live).turned.values()
    assert sum(bool(one.state) for one in turned) == 2


def test_others_are_not_read(scene) -> None:
    scene.happens(FIRST)
    scene.read_ahead([FIRST])
    assert scene.known.held(FIRST, scene.live) is None, "never shown a list"
    scene.shown(FIRST)
    many = [FIRST, *(Owner.user(f"u{n}") for n in range(2, 2 + MOST_AT_ONCE))]
    scene.happens(FIRST)
    scene.read_ahead(many)
    assert scene.journal.last_offset > scene.known.offset, "a log that is handed in"


def test_nobody_has_to_wait_for_it(scene) -> None:
    scene.shown(FIRST)
    scene.happens(FIRST)
    scene.idle = False
    scene.read_ahead([FIRST])
    assert scene.known.offset < scene.journal.last_offset


def test_it_rests_as_long_as_it_worked(scene, monkeypatch) -> None:
    scene.shown(FIRST)
    read = []
    follow = scene.known.follow
    monkeypatch.setattr(scene.known, "follow", lambda: (read.append(1), follow()))
    monkeypatch.setattr(
        "quintet.web.ahead.time", Clock := SimpleNamespace(perf_counter=lambda: 0.0)
    )
    ticks = iter([1.0, 1.0, 5.0, 6.0, 9.0, 9.0, 10.0])
    Clock.perf_counter = lambda: next(ticks)
    scene.read_ahead([FIRST], [FIRST], [FIRST])
    # asked at 1, worked from 1 to 5; asked at 6: it rests until 9; asked at 9, worked from 9 to 10
    assert len(read) == 2


def test_over_http_the_next_list_finds_it_done(running) -> None:
    user = running.ids("users")[2]
    running.post("/v1/recommend", {"user_id": user})
    service = running.service
    owner = Owner.user(user)
    event = {"event_id": "ahead", "user_id": user, "item_id": running.ids("items")[0]}
    offset = running.post("/v1/events", event)["events"][0]["offset"]
    wait_for(lambda: service.known.offset >= offset)
    held = service.known.held
    wait_for(lambda: (one := held(owner, service.holder.live)) is not None and one.state)
    assert running.post("/v1/recommend", {"user_id": user})["delta_offset"] >= offset

"""What all people do today reaches everybody's lists, and leaves with who is erased."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quintet.store import Event, Owner, open_store
from quintet.web.live import Holder
from quintet.web.recounting import Recounter, counted
from quintet.web.service import Settings
from tests.web.running import Running, wait_for


@pytest.fixture
def journal(tmp_path: Path):
    with open_store(tmp_path / "journal") as opened:
        yield opened


@pytest.fixture(scope="module")
def holder(bundle) -> Holder:
    return Holder(bundle)


def walked(people: int, *path: str, first: int = 0) -> list[Event]:
    return [
        Event(
            event_id=f"e{first}-{person}-{step}",
            user_id=f"walker-{first}-{person}",
            item_id=item,
            timestamp=2**51 + step,
        )
        for person in range(people)
        for step, item in enumerate(path)
    ]


def seldom(holder: Holder) -> tuple[str, str]:
    """Two items that nobody has met one after the other."""
    trained = holder.live.base
    order = np.argsort(trained.count_I, kind="stable")
    one, other = trained.items.ids(order[:2])
    return one, other


def test_counts_are_those_of_a_fit_on_everything(holder, journal) -> None:
    one, other = seldom(holder)
    journal.append(walked(5, one, other))
    made = counted(holder.live, journal, journal.last_offset)
    assert made is not None
    trained, base = made.trained, holder.live.base
    rows = base.items.rows([one, other])
    whole = base.events.item_counts()
    assert list(trained.count_I[rows]) == list(whole[rows] + 5)
    memory, former = trained.memories["transitions"], base.memories["transitions"]
    history = base.events.users(np.array([0]))
    assert memory.score(history).shape == former.score(history).shape
    # the bundle's own model is as it was, and so is the version
    assert made.version == holder.live.version
    assert np.array_equal(holder.live.trained.count_I, base.count_I)


def test_the_erased_leave_the_counts(holder, journal) -> None:
    one, other = seldom(holder)
    base = holder.live.base
    known = base.users.values[0].as_py()
    journal.append(walked(3, one, other))
    journal.append([Event(event_id="k", user_id=known, item_id=one, timestamp=2**51)])
    before = counted(holder.live, journal, journal.last_offset)
    for gone in ("walker-0-0", known):
        journal.erase(Owner.user(gone))
    after = counted(holder.live, journal, journal.last_offset)
    own = np.bincount(base.events.users(np.array([0])).item, minlength=len(base.items))
    lost = before.trained.count_I - after.trained.count_I
    rows = base.items.rows([one, other])
    expected = own.astype(np.float32)
    expected[rows[0]] += 2
    expected[rows[1]] += 1
    assert np.array_equal(lost, expected)


def test_it_counts_when_something_is_new_and_rests_in_between(bundle, journal) -> None:
    holder, now = Holder(bundle), [0.0]
    recounter = Recounter(holder, journal, 60.0, clock=lambda: now[0])
    one, other = seldom(holder)
    journal.append(walked(2, one, other))
    assert not recounter.due()
    now[0] = 61.0
    assert recounter.due()
    assert recounter.run()
    assert holder.live.trained.count_I.sum() > holder.live.base.count_I.sum()
    assert not recounter.due()
    now[0] = 200.0
    assert not recounter.due()  # nothing is new
    journal.append(walked(2, one, other, first=9))
    assert recounter.due()
    assert not Recounter(holder, journal, 0.0, clock=lambda: 1e9).due()


def test_a_model_that_was_swapped_meanwhile_keeps_its_place(bundle, journal) -> None:
    holder = Holder(bundle)
    of, made = holder.live, holder.live.with_counts(holder.live.trained)
    holder.swap(holder.candidate(bundle))
    assert not holder.replace_counts(of, made)
    assert holder.live is not made


def test_strangers_are_told_what_many_did(bundle, tmp_path: Path) -> None:
    """Nobody's own history says that the one follows the other: only the others' do."""
    settings = Settings(seed=0, recount_seconds=0.5)
    with Running(bundle, tmp_path / "state", settings=settings) as server:
        one, other = seldom(server.service.holder)

        def rank() -> int:
            asked = {"session_id": "new", "history": [one], "k": 50, "reasons": False}
            found = server.post("/v1/recommend", asked)["items"]
            return [item["item_id"] for item in found].index(other)

        before = rank()
        events = [
            {"event_id": event.event_id, "user_id": event.user_id, "item_id": event.item_id}
            for event in walked(30, one, other)
        ]
        told = server.post("/v1/events", {"events": events})
        newest = told["events"][-1]["offset"]
        wait_for(lambda: server.service.recounter.offset >= newest, 60)
        assert rank() < before
        assert server.post("/v1/recommend", {"user_id": "u1"})["model"]

"""A bundle learns from a journal: new events, people and items, and those who left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quintet.errors import EmptyDataError
from quintet.serve.recommender import Recommender
from quintet.serve.trained import Trained
from quintet.store import Event, ItemUpsert, Journal, Owner, open_store
from quintet.train.update import UpdateConfig, read_news, replayed, updated, without

QUICK = UpdateConfig(epochs=1)


@pytest.fixture(scope="module")
def trained(fitted) -> Trained:
    return fitted.recommender.trained


@pytest.fixture
def journal(tmp_path: Path):
    with open_store(tmp_path / "journal") as opened:
        yield opened


def send(journal: Journal, *pairs: tuple[str, str], first: int = 0) -> None:
    journal.append(
        [
            Event(event_id=f"e{first + n}", user_id=user, item_id=item, timestamp=2**51 + n)
            for n, (user, item) in enumerate(pairs)
        ]
    )


def test_events_people_and_items_are_learned(trained, journal, tmp_path) -> None:
    known = trained.users.values[0].as_py()
    items = trained.items.values.to_pylist()
    attributes = dict.fromkeys(trained.item_table.column_names)
    journal.append(
        [ItemUpsert(upsert_id="n", item_id="brand-new", timestamp=1, attributes=attributes)]
    )
    before = trained.count_I.copy()
    send(journal, *[(f"p{n}", items[1]) for n in range(4)], (known, "brand-new"), ("p0", items[2]))
    made = updated(trained, read_news(journal, trained), QUICK)
    assert made.run["journal_offset"] == journal.last_offset
    assert made.run["update"]["new users"] == 4
    assert made.run["update"]["new items"] == 1
    assert made.users.ids([len(trained.users)]) == ["p0"]
    row = made.events.users(np.array([len(trained.users)]))
    assert made.items.ids(row.item) == [items[1], items[2]]
    whole = trained.events.item_counts()
    assert made.count_I[1] == whole[1] + 4
    assert made.items.ids([len(items)]) == ["brand-new"]
    assert made.count_I[len(items)] == 1
    # the old model is as it was
    assert np.array_equal(trained.count_I, before)
    assert len(trained.items) == len(items)
    # and the new one answers, also when it was saved
    made.save(tmp_path / "next")
    answers = Recommender.load(tmp_path / "next").recommend([known, "p0"], 5)
    assert {one.user_id for one in answers} == {known, "p0"}
    assert all(np.isfinite(one.score) for one in answers)


def test_what_stands_at_the_offset_or_before_is_not_learned_again(trained, journal) -> None:
    items = trained.items.values.to_pylist()
    send(journal, ("p0", items[0]))
    once = updated(trained, read_news(journal, trained), QUICK)
    with pytest.raises(EmptyDataError, match="0 new events"):
        updated(once, read_news(journal, once), QUICK)
    send(journal, ("p0", items[1]), first=5)
    twice = updated(once, read_news(journal, once), QUICK)
    row = int(twice.users.rows(["p0"])[0])
    assert twice.items.ids(twice.events.users(np.array([row])).item) == items[:2]


def test_what_is_held_back_is_not_learned(trained, journal) -> None:
    items = trained.items.values.to_pylist()
    send(journal, ("p0", items[0]), ("p0", items[1]))
    made = updated(trained, read_news(journal, trained, until=1), QUICK)
    assert made.run["journal_offset"] == 1
    row = int(made.users.rows(["p0"])[0])
    assert made.items.ids(made.events.users(np.array([row])).item) == items[:1]


def test_the_erased_leave_ids_and_histories(trained, journal) -> None:
    gone, stays = trained.users.values[1].as_py(), trained.users.values[2].as_py()
    items = trained.items.values.to_pylist()
    send(journal, (gone, items[0]), (stays, items[0]))
    journal.erase(Owner.user(gone))
    made = updated(trained, read_news(journal, trained), QUICK)
    assert gone not in made.users
    assert made.run["update"]["erased users"] == 1
    old = trained.events.users(np.array([2])).item
    new = made.events.users(made.users.rows([stays])).item
    assert list(new[: len(old)]) == list(old)
    assert len(new) == len(old) + 1


def test_nobody_is_left_out_of_whom_nobody_is_erased(trained) -> None:
    assert without(trained, np.zeros(len(trained.users), np.bool_)) is trained


def test_the_same_news_give_the_same_model(trained, journal) -> None:
    items = trained.items.values.to_pylist()
    send(journal, *[(f"p{n}", items[n % 5]) for n in range(10)])
    one, other = (updated(trained, read_news(journal, trained), QUICK) for _ in range(2))
    assert (one.model.embedding_ID == other.model.embedding_ID).all()
    assert not (one.model.embedding_ID == trained.model.embedding_ID).all()


def test_as_many_others_are_replayed_as_is_said() -> None:
    changed = np.arange(50_000) % 10 == 0
    learned = replayed(changed, UpdateConfig(replay=0.2))
    assert learned[changed].all()
    assert learned[~changed].mean() == pytest.approx(0.2, abs=0.01)


def test_who_comes_back_after_an_erasure_stays_with_what_came_since(trained, journal) -> None:
    back, items = trained.users.values[1].as_py(), trained.items.values.to_pylist()
    send(journal, (back, items[0]))
    journal.erase(Owner.user(back))
    send(journal, (back, items[1]), (back, items[2]), first=10)
    first = updated(trained, read_news(journal, trained), QUICK)
    send(journal, ("p0", items[0]), first=20)
    second = updated(first, read_news(journal, first), QUICK)
    for made in (first, second):
        row = made.users.rows([back])
        assert made.items.ids(made.events.users(row).item) == items[1:3]

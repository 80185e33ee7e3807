"""People in memory: as the journal tells of them, no longer than the model they were made for."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest

from quintet.errors import StoreError
from quintet.store import Event, ItemUpsert, Owner, ProfileEdit, open_store, records, seal
from quintet.web import known as known_module
from quintet.web.items import Builder
from quintet.web.known import Known


@pytest.fixture
def journal(tmp_path):
    with_records = open_store(tmp_path / "journal")
    yield with_records
    with_records.close()


def test_people_keep_no_model_alive(journal, recommender) -> None:
    known, owner = Known(journal), Owner.user("u1")
    live = SimpleNamespace(trained=replace(recommender.trained), base_offset=0)
    one = known.of(owner, live, 0)
    assert known.of(owner, live, 0) is one, "made once"
    gone = weakref.ref(live.trained)
    live.trained = replace(recommender.trained)  # another bundle goes live
    gc.collect()
    assert gone() is None
    assert known.of(owner, live, 0) is not one


def test_what_is_new_of_somebody_is_in_the_next_answer(journal, recommender) -> None:
    known, owner = Known(journal), Owner.user("u1")
    live = SimpleNamespace(trained=recommender.trained, base_offset=0)
    before = known.of(owner, live, 0)
    item = recommender.trained.items.values.to_pylist()[3]
    journal.submit([Event(event_id="e", user_id="u1", item_id=item, timestamp=2**60)]).result()
    known.follow()
    after = known.of(owner, live, 0)
    assert len(after) == len(before) + 1
    assert after.item[-1] == 3
    known.forget(owner)
    assert len(known.of(owner, live, 0)) == len(after), "read again"


def events(n: int, item: str) -> list[Event]:
    return [
        Event(event_id=f"e{place}", user_id="u1", item_id=item, timestamp=2**51 + place)
        for place in range(n)
    ]


def test_an_edit_holds_however_many_events_follow_it(journal, monkeypatch) -> None:
    monkeypatch.setattr(known_module, "MOST_RECORDS", 5)
    changes = {"mute_items": {"i9": True}}
    journal.append([ProfileEdit(edit_id="m", user_id="u1", timestamp=1, changes=changes)])
    journal.append(events(12, "i1"))
    kept = Known(journal).kept(Owner.user("u1"))
    assert kept.edits == changes
    assert len(kept.events) == 5


class Torn:
    """A journal that cannot be read to its end once."""

    def __init__(self, journal) -> None:
        self.journal, self.torn = journal, False

    def __getattr__(self, name):
        return getattr(self.journal, name)

    def read(self, **asked):
        for entry in self.journal.read(**asked):
            yield entry
            if not self.torn:
                self.torn = True
                raise StoreError("away")


def test_what_could_not_be_read_at_once_is_neither_doubled_nor_lost(journal) -> None:
    torn, owner = Torn(journal), Owner.user("u1")
    known = Known(torn)
    known.kept(owner)
    journal.append(events(3, "i1"))
    with pytest.raises(StoreError):
        known.follow()
    known.follow()
    assert [event.event_id for _, event in known.kept(owner).events] == ["e0", "e1", "e2"]


def test_items_that_could_not_be_taken_in_are_read_again() -> None:
    class Holder:
        live, taken = None, []

        def replace_items(self, changes) -> None:
            if not self.taken:
                self.taken.append("tried")
                raise StoreError("away")
            self.taken += [one.item_id for one in changes]

    entries = [SimpleNamespace(offset=n, record=item(f"x{n}")) for n in (1, 2)]
    journal = SimpleNamespace(read=lambda after, kinds: [e for e in entries if e.offset > after])
    builder = Builder(Holder(), journal)
    with pytest.raises(StoreError):
        builder.follow()
    assert builder.follow() == 2
    assert Holder.taken == ["tried", "x1", "x2"]


def item(name: str) -> ItemUpsert:
    return ItemUpsert(upsert_id=name, item_id=name, timestamp=1)


def test_after_an_erasure_all_that_can_be_read_counts(journal, recommender) -> None:
    user = recommender.trained.users.values[0].as_py()
    owner, name = Owner.user(user), recommender.trained.items.values[3].as_py()
    one = Event(event_id="a", user_id=user, item_id=name, timestamp=2**51)
    journal.append([one])
    journal.erase(owner)
    journal.append([replace(one, event_id="b")])
    # the next bundle has learned it already, but left the erased user's row out
    live = SimpleNamespace(trained=recommender.trained, base_offset=journal.last_offset)
    assert Known(journal).of(owner, live, 0).item.tolist() == [3]


def kept_of_owners() -> int:
    return seal.owner_hash.cache_info().currsize + records._owner.cache_info().currsize


def test_whom_another_process_erased_leaves_memory_with_the_tombstone(journal) -> None:
    known, owner = Known(journal), Owner.user("u1")
    journal.submit(events(1, "i1")).result()
    journal.erase(owner)
    journal.read_owner(owner)  # as a process would have asked before it heard of that
    assert kept_of_owners()
    known.follow()
    assert kept_of_owners() == 0


def test_who_follows_during_an_erasure_keeps_nothing_of_it(journal, monkeypatch) -> None:
    known = Known(journal)
    journal.submit(events(1, "i1")).result()
    bury = journal._bury
    monkeypatch.setattr(journal, "_bury", lambda key: (known.follow(), bury(key))[1])
    journal.erase(Owner.user("u1"))
    assert known.offset > 0
    assert kept_of_owners() == 0

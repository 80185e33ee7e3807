"""People in memory: as the journal tells of them, no longer than the model they were made for."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest

from quintet.store import Event, Owner, open_store
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

"""Lists for a batch of people are those of the scorer, one at a time; so are their reasons."""

from __future__ import annotations

import numpy as np
import pytest
from serve.test_index import with_sparse_memories

from quintet.serve.explain import contributions, spoken_for
from quintet.serve.index import Retriever
from quintet.store import Event
from quintet.web.people import Person, batch, from_items, person
from quintet.web.ranking import Ranker, Wish
from quintet.web.writing import reasons

pytest.importorskip("faiss")
DEPTH = 12


@pytest.fixture(scope="module")
def trained(recommender):
    return recommender.trained


@pytest.fixture(scope="module")
def ranker(trained) -> Ranker:
    return Ranker(trained)


def everybody(trained) -> list[Person]:
    """Users, somebody of whom nothing is known, and a session."""
    users = [person(trained, row, ()) for row in range(30)]
    return [*users, person(trained, -1, ()), from_items(np.array([3, 1]))]


def wishes(trained, n: int, **more) -> list[Wish]:
    allowed_I = np.ones(len(trained.items), np.bool_)
    return [Wish(**{"depth": DEPTH, "exclude_seen": True, "allowed_I": allowed_I, **more})] * n


def test_a_batch_is_ranked_as_the_scorer_ranks_it(trained, ranker) -> None:
    people = everybody(trained)
    found = ranker.rank(people, wishes(trained, len(people)))
    expected = trained.scorer.rank(batch(people, len(trained.items)), DEPTH)
    np.testing.assert_allclose(found.scores_BC, expected.scores_BK, atol=1e-5)
    same = (found.items_BC == expected.items_BK).mean()
    assert same > 0.99  # rounding may swap two neighbours


def test_where_people_come_back_order_and_parts_are_the_same_too(recommender) -> None:
    trained = with_sparse_memories(recommender.trained)  # whose met items are weighed apart
    ranker, people = Ranker(trained), everybody(trained)
    found = ranker.rank(people, wishes(trained, len(people), exclude_seen=False))
    expected = trained.scorer.rank(batch(people, len(trained.items)), DEPTH, mask_history=False)
    np.testing.assert_allclose(found.scores_BC, expected.scores_BK, atol=1e-4)
    part_BPK = ranker.parts(found, found.items_BC)
    returned = 0
    for row, one in enumerate(people[:30]):
        expected_IK = spoken_for(*contributions(trained, batch([one], len(trained.items))))
        np.testing.assert_allclose(part_BPK[row], expected_IK[found.items_BC[row]], atol=2e-3)
        returned += len(np.intersect1d(found.items_BC[row], one.item))
    assert returned > 30


def test_a_retriever_answers_plain_wishes_alike(recommender) -> None:
    trained = with_sparse_memories(recommender.trained)
    ranker, people = Ranker(trained), everybody(trained)[:30]
    sample = batch(people, len(trained.items))
    retriever = Retriever.build(trained.scorer, sample, DEPTH)
    retriever.file.index.nprobe = retriever.file.lists
    large = Ranker(trained, retriever)
    for some in (people, everybody(trained)):  # strangers are answered without it
        got, expected = (r.rank(some, wishes(trained, len(some))) for r in (large, ranker))
        np.testing.assert_allclose(got.scores_BC, expected.scores_BC, atol=1e-4)
    few = wishes(trained, 30, allowed_I=np.arange(len(trained.items)) < 20)
    got, expected = (r.rank(people, few) for r in (large, ranker))
    np.testing.assert_array_equal(got.items_BC, expected.items_BC)


def test_alone_in_a_batch_and_from_a_kept_state(trained, ranker) -> None:
    people = everybody(trained)
    together = ranker.rank(people, wishes(trained, len(people)))
    again = ranker.rank(people, wishes(trained, len(people)))
    np.testing.assert_array_equal(again.items_BC, together.items_BC)
    for row, one in enumerate(everybody(trained)):
        alone = ranker.rank([one], wishes(trained, 1))
        np.testing.assert_allclose(alone.scores_BC[0], together.scores_BC[row], atol=1e-5)


def test_each_keeps_to_its_own_wish(trained, ranker) -> None:
    people = everybody(trained)[:4]
    some_I = np.arange(len(trained.items)) % 3 == 0
    asked = [
        *wishes(trained, 1),
        *wishes(trained, 1, depth=3),
        *wishes(trained, 1, allowed_I=some_I, exclude_seen=False),
        *wishes(trained, 1, shift_I=np.where(some_I, 100.0, 0.0).astype(np.float32)),
    ]
    found = ranker.rank(people, asked)
    assert (found.items_BC[1, 3:] == -1).all()
    assert (found.items_BC[1, :3] >= 0).all()
    shown = found.items_BC[2][found.items_BC[2] >= 0]
    assert some_I[shown].all()
    met = set(people[3].item.tolist())
    free = [item for item in np.flatnonzero(some_I).tolist() if item not in met]
    assert some_I[found.items_BC[3, : min(len(free), DEPTH)]].all()
    assert not met & set(found.items_BC[3].tolist())


def test_parts_are_what_an_explanation_says(trained, ranker) -> None:
    people = everybody(trained)
    found = ranker.rank(people, wishes(trained, len(people)))
    part_BPK = ranker.parts(found, found.items_BC)
    for row, one in enumerate(people):
        expected_IK = spoken_for(*contributions(trained, batch([one], len(trained.items))))
        items = found.items_BC[row]
        there = items >= 0
        np.testing.assert_allclose(part_BPK[row, there], expected_IK[items[there]], atol=2e-3)


def test_reasons_are_the_strongest_parts_above_the_mean() -> None:
    parts = np.array([[[0.5, -1.0, 2.00004, 0.1], [-1, -1, -1, -1]]], np.float32)
    first, second = reasons(["identity", "x", "content", "trend"], parts)[0]
    assert [one.evidence for one in first] == ["content", "identity", "trend"]
    assert [one.contribution for one in first] == [2.0, 0.5, 0.1]
    assert first[0].text == "its description fits what you chose"
    assert second == []


def test_an_event_makes_a_new_state(trained, ranker) -> None:
    user = trained.users.ids([0])[0]
    event = Event(event_id="e", user_id=user, item_id=trained.items.ids([5])[0], timestamp=2**60)
    before, after = person(trained, 0, ()), person(trained, 0, [event])
    lists = [ranker.rank([one], wishes(trained, 1)).items_BC[0] for one in (before, after)]
    assert not np.array_equal(*lists)
    assert 5 not in lists[1]

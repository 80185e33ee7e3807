"""Content neighbours: against the dense formula, explained, and for items without any event."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from quintet.data.features import CategoryColumn, FeatureTable
from quintet.data.interactions import Interactions
from quintet.errors import DataError, NotFittedError
from quintet.memory import content_neighbours as module
from quintet.memory.content_neighbours import ContentNeighbours, nearest

from .logs import WORDS, log, logs, random_texts

TITLES = ["red lamp", "red lamp shade", "blue chair", "green soap", "soap lamp lamp", "Ärger 東京"]
N = len(TITLES)


def table(titles: list[str]) -> FeatureTable:
    return FeatureTable(n_rows=len(titles), texts={"title": titles})


def fitted(titles: list[str] = TITLES, **settings) -> ContentNeighbours:
    memory = ContentNeighbours(ContentNeighbours.Config(**settings))
    return memory.fit(log([0], n_items=len(titles)), table(titles))


def reference(titles: list[str], histories: Interactions, half_life: float) -> np.ndarray:
    """[B, I] event by event: the cosine to the item, halved every so many steps back."""
    vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit_transform(titles).toarray()
    cosine = vectors @ vectors.T
    scores = np.zeros((histories.n_users, len(titles)))
    for row in range(histories.n_users):
        own = histories.users([row]).item.tolist()
        for place, item in enumerate(own):
            if item in own[place + 1 :]:
                continue  # counts once, by its last event
            weight = 2.0 ** -((len(own) - 1 - place) / half_life)
            for other in range(len(titles)):
                if other != item:
                    scores[row, other] += weight * cosine[item, other]
    return scores


@given(logs(n_items=N))
@settings(max_examples=30, deadline=None)
def test_with_every_neighbour_kept_it_is_the_dense_formula(events: Interactions) -> None:
    scores = fitted(half_life=3.0).score(events)
    np.testing.assert_allclose(scores, reference(TITLES, events, 3.0), atol=1e-5)


@given(st.integers(0, 20), st.integers(20, 40))
@settings(max_examples=10, deadline=None)
def test_only_the_nearest_are_kept(seed: int, k: int) -> None:
    titles = list(random_texts(60, seed).texts["title"])
    kept = fitted(titles, k=k).state()
    everything = fitted(titles, k=1000)
    for item in range(60):
        row = kept["matrix.data"][kept["matrix.indptr"][item] : kept["matrix.indptr"][item + 1]]
        whole = np.sort(everything.score(log([item], n_items=60))[0])[::-1]
        np.testing.assert_allclose(np.sort(row)[::-1], whole[:k][whole[:k] > 0], rtol=1e-6)


def test_a_pair_of_words_counts_beside_the_words() -> None:
    scores = fitted(["red lamp shop", "red lamp", "lamp red", "soap"]).score(log([0], n_items=4))
    assert scores[0, 1] > scores[0, 2] > 0
    assert scores[0, 3] == 0


def test_one_relative_is_not_drowned_by_the_rest() -> None:
    titles = ["red lamp", "red lamp shade", *(f"{word} thing{n}" for n, word in enumerate(WORDS))]
    events = log([0, *range(2, len(titles))], n_items=len(titles))
    scores = fitted(titles, half_life=100.0).score(events)
    assert scores[0].argmax() == 1


def test_categories_are_words_too() -> None:
    kind = CategoryColumn(np.array([0, 1, 2, 3]), np.array([0, 0, 1]), ["acme", "zenith"])
    items = FeatureTable(3, categories={"brand": kind})
    scores = ContentNeighbours().fit(log([0], n_items=3), items).score(log([0], n_items=3))
    np.testing.assert_allclose(scores, [[0, 1, 0]], atol=1e-6)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_rows_in_blocks_are_the_rows_of_one_block(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted().score(log(*([i] for i in range(N)), n_items=N))
    monkeypatch.setattr(module, "BLOCK", step * N)
    blocks = fitted().score(log(*([i] for i in range(N)), n_items=N))
    np.testing.assert_array_equal(blocks, whole)


def test_what_each_event_added_adds_up() -> None:
    memory, events = fitted(), log([0, 4, 3, 0], n_items=N)
    score = memory.score(events)[0]
    for item in range(N):
        parts = memory.explain(events, item)
        assert parts.shape == (4,)
        assert parts[0] == 0, "the item occurs again later"
        assert parts.sum() == pytest.approx(score[item], abs=1e-6)
    assert memory.explain(events, 1)[3] > memory.explain(events, 1)[1] > 0


def test_the_items_events_do_not_matter() -> None:
    one = ContentNeighbours().fit(log([0], n_items=N), table(TITLES))
    other = ContentNeighbours().fit(log([1, 2, 3], [5, 5], n_items=N), table(TITLES))
    histories = log([0, 2], [3], n_items=N)
    np.testing.assert_array_equal(one.score(histories), other.score(histories))


@pytest.mark.parametrize("restored", [False, True])
def test_an_item_added_later_is_ranked_at_once(restored: bool) -> None:
    memory = fitted()
    if restored:
        memory = ContentNeighbours().load_state(memory.state())
    before = memory.score(log([0], n_items=N))
    grown = [*TITLES, "red lamp green", "unheard words"]
    memory.add_items(table(grown))
    scores = memory.score(log([0], n_items=N + 2))
    np.testing.assert_allclose(scores[:, :N], before, atol=1e-6)
    assert scores[0, N] > scores[0, 4] > 0, "a cold item above one that shares less"
    assert scores[0, N + 1] == 0
    assert memory.score(log([N], n_items=N + 2))[0, 0] == scores[0, N], "and it leads to others"
    assert memory.present().tolist() == [True, True, False, True, True, False, True, False]
    with pytest.raises(DataError, match="hand over all"):
        memory.add_items(table(TITLES))


def test_a_changed_title_is_read_anew() -> None:
    memory = fitted().add_items(table(["red lamp", "blue chair", *TITLES[2:]]))
    scores = memory.score(log([1], n_items=N))
    assert scores[0, 2] == pytest.approx(1.0)
    assert scores[0, 0] == 0


def test_words_of_all_alphabets_come_back() -> None:
    memory = fitted()
    again = ContentNeighbours().load_state(memory.state())
    assert "東京" in again._terms
    assert again._terms == memory._terms


def test_catalogues_without_words_are_refused() -> None:
    events = log([0, 1])
    with pytest.raises(DataError, match="got none"):
        ContentNeighbours().fit(events)
    with pytest.raises(DataError, match="got 6"):
        ContentNeighbours().fit(events, table(TITLES))
    with pytest.raises(DataError, match="no words"):
        ContentNeighbours().fit(events, table(["", ""]))
    with pytest.raises(NotFittedError):
        ContentNeighbours().add_items(table(TITLES))


def test_reading_a_few_items_anew_equals_reading_all() -> None:
    titles = [f"{kind} {thing}" for kind in ("red", "blue", "green") for thing in "abcdefgh"]
    events = log([0], n_items=len(titles))
    memory = ContentNeighbours().fit(events, table(titles))
    changed = ["green a", *titles[1:], "blue h", "red"]
    few = copy.copy(memory).add_items(table(changed))
    vectors = few._vectors
    np.testing.assert_allclose(few._matrix.toarray(), nearest(vectors, 300).toarray(), atol=1e-6)
    histories = log([0, 5], n_items=len(changed))
    assert memory.score(histories)[0, -1] == 0, "the memory that was copied stays as it was"

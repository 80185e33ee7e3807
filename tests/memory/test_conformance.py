"""What every memory owes its caller, whichever way it counts."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from quintet.config import build, search_space
from quintet.data.features import FeatureTable
from quintet.errors import ConfigError, CorruptBundleError, DataError, NotFittedError
from quintet.memory.base import MEMORIES, Memory

from .logs import log, random_log, random_texts, strangers

SAME_FOR_ALL = {"popularity", "trend"}  # do not read the history
LIBRARY = {"als", "bpr"}
EVENTS = random_log()
TEXTS = random_texts(EVENTS.n_items)
SEEN = EVENTS.item_counts() > 0

missing = importlib.util.find_spec("implicit") is None
NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(missing and name in LIBRARY, reason="no implicit"))
    for name in MEMORIES.names()
]
every = pytest.mark.parametrize("name", NAMES)
#: those of a library start from random vectors by row
by_no_row = pytest.mark.parametrize("name", [n for n in MEMORIES.names() if n not in LIBRARY])


def fitted(name: str, events=EVENTS, items=TEXTS, **settings) -> Memory:
    part = MEMORIES.get(name)
    return part(part.Config(**settings)).fit(events, items)


@every
def test_scores_are_finite_float32_over_the_catalogue(name: str) -> None:
    scores = fitted(name).score(EVENTS)
    assert scores.dtype == np.float32
    assert scores.shape == (EVENTS.n_users, EVENTS.n_items)
    assert np.isfinite(scores).all()
    assert scores.any()


@every
def test_fitting_twice_gives_the_same(name: str) -> None:
    np.testing.assert_array_equal(fitted(name).score(EVENTS), fitted(name).score(EVENTS))


@every
def test_state_restores_the_same_scores(name: str) -> None:
    memory = fitted(name)
    state = {key: np.array(value) for key, value in memory.state().items()}
    assert all(value.dtype.kind in "biuf" for value in state.values())  # safetensors holds no more
    restored = MEMORIES.get(name)().load_state(state)
    np.testing.assert_array_equal(restored.score(EVENTS), memory.score(EVENTS))
    assert restored.state().keys() == state.keys()
    present, again = memory.present(), restored.present()
    np.testing.assert_array_equal(present, again)


@every
def test_a_state_with_an_array_missing_is_refused(name: str) -> None:
    state = dict(fitted(name).state())
    for key in state:
        rest = {other: value for other, value in state.items() if other != key}
        with pytest.raises(CorruptBundleError, match="no array"):
            MEMORIES.get(name)().load_state(rest)


@every
def test_before_fit_every_question_is_refused(name: str) -> None:
    memory = MEMORIES.get(name)()
    for question in (
        lambda: memory.score(EVENTS),
        lambda: memory.explain(EVENTS.users([1]), 0),
        memory.state,
        memory.present,
    ):
        with pytest.raises(NotFittedError, match="call fit"):
            question()


@every
def test_alone_equals_in_a_batch(name: str) -> None:
    memory = fitted(name)
    batch = memory.score(EVENTS)
    for row in (0, 3, EVENTS.n_users - 1):
        alone = memory.score(EVENTS.users([row]))
        np.testing.assert_allclose(alone[0], batch[row], rtol=1e-4, atol=1e-6)


@every
def test_sparse_scores_and_inner_products_are_the_scores(name: str) -> None:
    memory = fitted(name)
    whole = memory.score(EVENTS)
    sparse, item_IF = memory.sparse_score(EVENTS), memory.item_vectors()
    if sparse is not None:
        np.testing.assert_allclose(sparse.toarray(), whole, rtol=1e-5, atol=1e-7)
    if item_IF is not None:
        np.testing.assert_allclose(memory.queries(EVENTS) @ item_IF.T, whole, rtol=1e-4, atol=1e-5)


@every
def test_an_empty_history_gives_zeros(name: str) -> None:
    scores = fitted(name).score(EVENTS.users([0]))
    assert (not scores.any()) == (name not in SAME_FOR_ALL)
    assert fitted(name).score(EVENTS.users([])).shape == (0, EVENTS.n_items)


@every
def test_an_item_never_seen_gets_nothing(name: str) -> None:
    memory = fitted(name)
    if memory.scores_cold_items:
        return
    assert not memory.score(EVENTS)[:, ~SEEN].any()
    present = memory.present()
    assert present is not None
    assert not present[~SEEN].any()


@every
def test_a_history_of_unseen_items_alone_breaks_nothing(name: str) -> None:
    unseen = int(np.flatnonzero(~SEEN)[0])
    scores = fitted(name).score(log([unseen, unseen], n_items=EVENTS.n_items))
    assert np.isfinite(scores).all()


@every
def test_an_absent_item_scores_0(name: str) -> None:
    memory = fitted(name)
    present = memory.present()
    assert present is None or not memory.score(EVENTS)[:, ~present].any()


@every
def test_strangers_are_scored_from_their_history(name: str) -> None:
    scores = fitted(name).score(strangers(EVENTS))
    assert np.isfinite(scores).all()
    assert scores[-1].any()


@by_no_row
def test_permuting_items_permutes_the_scores(name: str) -> None:
    to = np.random.default_rng(1).permutation(EVENTS.n_items)
    back = np.argsort(to)
    texts = list(np.array(TEXTS.texts["title"], object)[back])
    moved = replace(EVENTS, item=to[EVENTS.item])
    memory = fitted(name, moved, FeatureTable(n_rows=len(texts), texts={"title": texts}))
    expected = fitted(name).score(EVENTS)
    np.testing.assert_allclose(memory.score(moved)[:, to], expected, rtol=1e-4, atol=1e-6)


@by_no_row
def test_permuting_users_changes_nothing(name: str) -> None:
    order = np.random.default_rng(2).permutation(EVENTS.n_users)
    moved = EVENTS.users(order)
    moved = replace(moved, user=moved.group())
    expected = fitted(name).score(EVENTS)[order]
    np.testing.assert_allclose(fitted(name, moved).score(moved), expected, rtol=1e-4, atol=1e-6)


@every
def test_explanations_add_up_to_the_score(name: str) -> None:
    memory = fitted(name)
    scores = memory.score(EVENTS)
    user = EVENTS.n_users - 1
    history = EVENTS.users([user])
    for item in range(EVENTS.n_items):
        parts = memory.explain(history, item)
        if parts is not None:
            assert parts.shape == (len(history),)
            assert parts.sum() == pytest.approx(scores[user, item], rel=1e-4, abs=1e-6)


@every
def test_items_added_after_the_fit_score_0_and_change_nothing(name: str) -> None:
    memory = fitted(name)
    n_items = EVENTS.n_items
    grown = replace(EVENTS, n_items=n_items + 3)
    scores = memory.score(grown)
    assert scores.shape == (EVENTS.n_users, n_items + 3)
    np.testing.assert_array_equal(scores[:, :n_items], memory.score(EVENTS))
    assert not scores[:, n_items:].any()
    history = log([1, n_items + 2, 2], n_items=n_items + 3)
    assert np.isfinite(memory.score(history)).all()
    parts = memory.explain(history, 1)
    if parts is not None:
        assert parts.shape == (3,)
        assert parts[1] == 0
        assert not memory.explain(history, n_items).any()


@every
def test_a_smaller_catalogue_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="it may only grow"):
        fitted(name).score(log([0, 1], n_items=2))


@every
def test_inputs_are_left_as_they_were(name: str) -> None:
    events = random_log()
    fitted(name, events).score(events)
    for column in ("offsets", "user", "item", "time", "value"):
        np.testing.assert_array_equal(getattr(events, column), getattr(EVENTS, column))


@every
def test_scoring_leaves_the_memory_as_it_was(name: str) -> None:
    memory = fitted(name)
    before = {key: np.array(value) for key, value in memory.state().items()}
    first = memory.score(EVENTS)
    np.testing.assert_array_equal(memory.score(EVENTS), first)
    for key, value in memory.state().items():
        np.testing.assert_array_equal(value, before[key])


@every
def test_a_log_without_values_times_or_events_is_no_trouble(name: str) -> None:
    bare = replace(random_log(values=False), time=np.zeros(len(EVENTS), np.int64))
    assert np.isfinite(fitted(name, bare).score(bare)).all()
    nothing = log([], [], n_items=EVENTS.n_items)
    scores = fitted(name, nothing).score(EVENTS)
    assert np.isfinite(scores).all()
    assert MEMORIES.get(name).scores_cold_items or not scores.any()


@every
def test_settings_that_matter_can_be_tuned(name: str) -> None:
    config = MEMORIES.get(name).Config
    space = search_space(config)
    assert space
    for field, search in space.items():
        default = config.model_fields[field].default
        if search["choices"] is not None:
            assert default in search["choices"]
        elif default is not None:
            assert search["low"] <= default <= search["high"], field
        edges = search["choices"] or [search["low"], search["high"]]
        for edge in edges:
            build(config, {field: edge})  # every value tried is a valid one
        assert config.model_fields[field].description
    with pytest.raises(ConfigError, match="unknown setting 'nonsense'"):
        build(config, {"nonsense": 1})

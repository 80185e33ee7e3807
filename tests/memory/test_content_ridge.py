from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.feature_extraction.text import TfidfVectorizer

from quintet.data.features import CategoryColumn, FeatureTable, NumberColumn
from quintet.errors import CorruptBundleError, DataError, NotFittedError
from quintet.memory.content_ridge import ContentRidge, gaussian, leading_right

from .logs import log, random_log

TITLES = ["red lamp", "red chair", "blue chair", "green soap", "soap lamp lamp", "blue table"]
KINDS = [[0], [0, 1], [1], [2], [2, 0], [1]]
PRICES = [-1.0, -0.5, 0.0, 0.5, 1.0, 0.1]


def table(rows=range(6), *, titles=TITLES, kinds=KINDS, prices=PRICES) -> FeatureTable:
    rows = list(rows)
    codes = [kinds[row] for row in rows]
    value = np.array([prices[row] for row in rows], np.float32)
    kind = CategoryColumn(
        np.concatenate([[0], np.cumsum([len(c) for c in codes])]).astype(np.int64),
        np.array([code for c in codes for code in c], np.int64),
        ["seat", "wood", "bath"],
    )
    return FeatureTable(
        len(rows),
        categories={"kind": kind},
        numbers={"price": NumberColumn(value, ~np.isnan(value), value)},
        texts={"title": [titles[row] for row in rows]},
    )


EVENTS = log([0, 1], [2, 1, 3], [4], n_items=6)  # the last item is cold


def fitted(events=EVENTS, items=None, **settings) -> ContentRidge:
    return ContentRidge(ContentRidge.Config(**settings)).fit(events, items or table())


def test_score_is_kernel_ridge_regression_in_its_dual_form() -> None:
    z = np.zeros((6, 5))
    for row, kinds in enumerate(KINDS):
        z[row, kinds] = 0.5
    z[:, 3], z[:, 4] = 2.0 * np.array(PRICES), np.log1p([len(kinds) for kinds in KINDS])
    words = TfidfVectorizer(sublinear_tf=True)
    text = words.fit(table(range(5)).joined_text()).transform(table().joined_text()).toarray()
    kernel = np.exp(-cdist(z, z, "sqeuclidean") / 2) + 0.7 * text @ text.T
    met = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1]])
    expected = (kernel[:, :5] @ np.linalg.solve(kernel[:5, :5] + 3.0 * np.eye(5), met.T)).T
    memory = fitted(l2=3.0, text_weight=0.7, category_weight=0.5, number_weight=2.0)
    # the text of the cold item has a part that no warm item shares: it adds to no kernel with them
    np.testing.assert_allclose(memory.score(EVENTS), expected, atol=1e-5)


def test_recent_items_weigh_more() -> None:
    memory = fitted(half_life=1.0)
    parts = [memory.score(log([item], n_items=6))[0] for item in (0, 2)]
    got = memory.score(log([0, 2], n_items=6))[0]
    np.testing.assert_allclose(got, 0.5 * parts[0] + parts[1], atol=1e-6)


def test_a_cold_item_is_found_by_its_attributes() -> None:
    rng = np.random.default_rng(0)
    kinds = [[row % 2] for row in range(40)]
    likes = [rng.choice(np.arange(side, 36, 2), 6, replace=False).tolist() for side in (0, 1) * 10]
    items = table(range(40), titles=[""] * 40, kinds=kinds, prices=[0.0] * 40)
    scores = fitted(log(*likes, n_items=40), items).score(log(likes[0], likes[1], n_items=40))
    cold = scores[:, 36:]
    assert cold[0, [0, 2]].min() > cold[0, [1, 3]].max()
    assert cold[1, [1, 3]].min() > cold[1, [0, 2]].max()


@pytest.mark.parametrize("restored", [False, True])
def test_an_item_added_later_scores_as_if_it_had_been_there(restored: bool) -> None:
    before = fitted(replace(EVENTS, n_items=5), table(range(5)))
    whole = fitted()
    if restored:
        before = ContentRidge().load_state(before.state())
    old = before.score(replace(EVENTS, n_items=5))
    before.add_items(table())
    np.testing.assert_array_equal(before.score(EVENTS)[:, :5], old)
    np.testing.assert_allclose(before.score(EVENTS), whole.score(EVENTS), atol=1e-6)
    assert before.score(EVENTS)[:, 5].any()
    parts = before.explain(EVENTS.users([1]), 5)
    assert parts.sum() == pytest.approx(before.score(EVENTS)[1, 5], rel=1e-4)
    with pytest.raises(DataError, match="hand over all"):
        before.add_items(table(range(5)))


def test_few_landmarks_and_dimensions_come_near_the_whole_kernel() -> None:
    rng = np.random.default_rng(1)
    events = random_log(n_items=60, n_users=80)
    items = table(
        range(60),
        titles=[" ".join(rng.choice(list("abcdefghij"), 3)) + " ab cd" for _ in range(60)],
        kinds=[[int(code)] for code in rng.integers(0, 3, 60)],
        prices=rng.uniform(-1, 1, 60),
    )
    exact, few = fitted(events, items), fitted(events, items, landmarks=30, text_dimensions=2)
    assert few.state()["features"].shape[1] <= 32
    people = events.lengths > 0
    one, other = exact.score(events)[people], few.score(events)[people]
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


def test_items_alike_in_every_attribute_break_nothing() -> None:
    items = table(range(6), titles=["lamp"] * 6, kinds=[[0]] * 6, prices=[0.0] * 6)
    scores = fitted(items=items).score(EVENTS)
    np.testing.assert_allclose(scores, scores[:, :1].repeat(6, axis=1), atol=1e-6)


def test_an_item_of_which_nothing_is_known_is_absent() -> None:
    nan = float("nan")
    items = table(titles=[*TITLES[:5], ""], kinds=[*KINDS[:5], []], prices=[*PRICES[:5], nan])
    items.numbers["price"].values[5] = 0.0
    memory = fitted(items=items)
    assert memory.present().tolist() == [True] * 5 + [False]
    assert not memory.score(EVENTS)[:, 5].any()


def test_attributes_alone_and_texts_alone_are_enough() -> None:
    whole = table()
    for items in (replace(whole, texts={}), FeatureTable(6, texts=whole.texts)):
        memory = fitted(items=items)
        assert memory.score(EVENTS).any(axis=1).all()
        again = ContentRidge(memory.config).load_state(memory.state())
        np.testing.assert_array_equal(again.score(EVENTS), memory.score(EVENTS))


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(DataError, match="got none"):
        ContentRidge().fit(EVENTS)
    with pytest.raises(DataError, match="got 5"):
        ContentRidge().fit(EVENTS, table(range(5)))
    with pytest.raises(DataError, match="no words, categories or numbers"):
        ContentRidge().fit(EVENTS, FeatureTable(6))
    with pytest.raises(NotFittedError):
        ContentRidge().add_items(table())
    with pytest.raises(DataError, match="encoder of the fit"):
        fitted().add_items(replace(table(), numbers={}))
    with pytest.raises(CorruptBundleError):
        ContentRidge().load_state({})


def test_gaussian_by_hand() -> None:
    from scipy.sparse import csr_array

    got = gaussian(csr_array(np.array([[0.0, 1.0]])), np.array([[0.0, 1.0], [3.0, 0.0]]))
    np.testing.assert_allclose(got, [[1.0, np.exp(-5.0)]])


def test_leading_directions_of_a_large_matrix_do_not_depend_on_the_order_of_rows() -> None:
    from scipy.sparse import csr_array

    dense = np.random.default_rng(0).random((60, 30)) < 0.1
    matrix = dense.astype(float) * np.linspace(1, 3, 30)
    order = np.random.default_rng(1).permutation(60)
    one = leading_right(csr_array(matrix), 5, 0)
    other = leading_right(csr_array(matrix[order]), 5, 0)
    np.testing.assert_allclose(one.T @ one, other.T @ other, atol=1e-8)

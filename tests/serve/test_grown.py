"""A catalogue that grows: old answers stay, new items stand in by content, the base is whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from quintet.data.vocab import Vocabulary
from quintet.errors import DataError
from quintet.serve.grown import grown, prepared
from quintet.serve.recommender import Recommender


@pytest.fixture(scope="module")
def base(recommender):
    return recommender.trained, prepared(recommender.trained)


def test_old_items_keep_their_scores(base, recommender) -> None:
    trained, features = base
    rows = np.arange(20)
    before = trained.scorer.scores(trained.events.users(rows))
    made, new = grown(trained, features, {"new": {"title": "a tea cup", "price": 3.0}})
    after = made.scorer.scores(made.events.users(rows))
    assert new == ["new"]
    assert after.shape == (20, before.shape[1] + 1)
    assert after[:, :-1] == pytest.approx(before, abs=1e-4)
    assert np.isfinite(after[:, -1]).all()
    assert trained.scorer.scores(trained.events.users(rows)) == pytest.approx(before)
    assert "new" not in trained.items


def test_what_is_said_of_a_new_item_decides_its_score(base) -> None:
    trained, features = base
    like = trained.item_table.slice(3, 1).to_pylist()[0]
    made, _ = grown(trained, features, {"a": like, "twin": like, "bare": {}})
    scores = made.scorer.scores(made.events.users(np.arange(20)))
    a, twin, bare = (int(made.items.rows([one])[0]) for one in ("a", "twin", "bare"))
    assert scores[:, a] == pytest.approx(scores[:, twin], abs=1e-4)
    assert np.abs(scores[:, a] - scores[:, bare]).max() > 1e-3
    near = Recommender(made).similar("a", k=1)
    assert near[0]["item_id"] == "twin"


def test_a_changed_item_stays_in_its_row(base) -> None:
    trained, features = base
    item = trained.items.ids([5])[0]
    made, new = grown(trained, features, {item: {"title": "renamed", "price": 1.0}})
    assert new == []
    assert len(made.items) == len(trained.items)
    assert made.item_table["title"][5].as_py() == "renamed"
    assert made.item_table["title"][4] == trained.item_table["title"][4]


def test_events_on_new_items_are_read(base) -> None:
    trained, features = base
    made, _ = grown(trained, features, {"new": {"title": "a tea cup"}})
    with_new = Recommender(made)
    history = with_new.history_of(["new", trained.items.ids([0])[0]])
    ranked = with_new.rank(history, 5)
    assert "new" not in made.items.ids(ranked.items_BK[0])
    assert with_new.predict([(trained.users.ids([0])[0], "new")])["p_view"][0].as_py() > 0


def test_what_does_not_fit_is_refused_by_its_column(base) -> None:
    trained, features = base
    with pytest.raises(DataError, match="price"):
        grown(trained, features, {"x": {"price": "dear"}})
    with pytest.raises(DataError, match="released"):
        grown(trained, features, {"x": {"released": "some day"}})
    grown(trained, features, {"x": {"released": "2024-05-01T00:00:00Z"}})


@pytest.mark.parametrize("item", ["05", "+7", "7.0", "nine", 2**80])
def test_a_number_that_is_not_written_plainly_is_no_id_of_numbers(base, item) -> None:
    trained, features = base
    numbers = Vocabulary.from_arrow(pa.array(np.arange(len(trained.items))))
    with pytest.raises(DataError, match="plainly"):
        grown(replace(trained, items=numbers), features, {item: {"title": "a tea cup"}})

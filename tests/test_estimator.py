"""``Quintet``: one object that fits, answers, measures, saves and loads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone

from quintet import Quintet, load, open_dataset
from quintet.errors import ConfigError, EmptyDataError, NotFittedError, QuintetError
from quintet.train.evaluate import evaluate_ranking

TINY = {"model": {"width": 16}, "loop": {"epochs": 1}}


@pytest.fixture(scope="module")
def users(fitted) -> list[str]:
    return fitted.recommender.trained.users.values.to_pylist()


@pytest.fixture(scope="module")
def items(fitted) -> list[str]:
    return fitted.recommender.trained.items.values.to_pylist()


# ---------------------------------------------------------------- answers


def test_every_answer_is_the_recommenders(fitted, users, items) -> None:
    behind = fitted.recommender
    assert fitted.recommend(users[:2], k=3) == behind.recommend(users[:2], k=3)
    slates = [one.recommend(users[:2], 3, slate=True) for one in (fitted, behind)]
    assert slates[0] == slates[1]
    pairs = [(users[0], items[0]), (users[1], items[5])]
    assert fitted.predict(pairs).equals(behind.predict(pairs))
    assert fitted.profile(users[3]) == behind.profile(users[3])
    assert fitted.similar(items[3], k=4) == behind.similar(items[3], k=4)
    assert len(fitted.similar(items[3], k=4)) == 4


def test_evaluation_is_of_the_held_out_newest_events(fitted) -> None:
    figures = fitted.evaluate(ks=(3, 10))
    trained = fitted.recommender.trained
    assert {"ndcg@3", "ndcg@10", "hr@3", "hr@10", "coverage@10"} <= set(figures)
    assert "ndcg@5" not in figures
    held_out = trained.events.lengths >= 3
    opens_E = trained.model.shape.rules.targets(trained.events)
    newest_U = np.maximum(trained.events.offsets[1:] - 1, 0)
    assert figures["ndcg@10"]["n"] == (held_out & opens_E[newest_U]).sum()
    low, mean, high = (figures["ndcg@10"][name] for name in ("low", "mean", "high"))
    assert 0 <= low <= mean <= high <= 1
    masked = fitted.recommender.masks(None)  # as lists are served
    asked = {"ks": (3, 10), "mask_history": masked}
    again = evaluate_ranking(fitted.recommender.scorer, fitted._split, **asked)
    assert again.summary() == figures


def test_held_out_events_are_learned_from_by_nothing_counted(fitted) -> None:
    trained = fitted.recommender.trained
    held_out = 2 * (trained.events.lengths >= 3).sum()
    assert trained.count_I.sum() == len(trained.events) - held_out


def test_save_and_load_agree(fitted, users, items, tmp_path) -> None:
    again = load(fitted.save(tmp_path / "bundle"))
    assert repr(again) == "Quintet(fitted, seed=0)"
    one, other = (model.recommend(users[:5], k=6) for model in (fitted, again))
    assert [a.item_id for a in one] == [a.item_id for a in other]
    assert [a.score for a in one] == pytest.approx([a.score for a in other], abs=1e-5)
    assert again.profile(users[2]) == fitted.profile(users[2])
    assert again.similar(items[2]) == fitted.similar(items[2])
    with pytest.raises(NotFittedError, match=r"held-out events of fit\(\)"):
        again.evaluate()


def test_the_same_settings_give_the_same_model(fitted, renamed) -> None:
    """Two fits, alike but for the ids, end in the same weights."""
    one, other = (m.recommender.trained.model.state_dict() for m in (fitted, renamed.model))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        np.testing.assert_allclose(tensor.numpy(), other[name].numpy(), rtol=0, atol=1e-5)


# ---------------------------------------------------------------- logs of other kinds


def rows(n_users: int = 12, n_items: int = 9, seed: int = 0) -> dict[str, list]:
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), 6)
    item = np.concatenate([rng.choice(n_items, 6, replace=False) for _ in range(n_users)])
    return {"user_id": user.tolist(), "item_id": [f"thing {one}" for one in item]}


@pytest.fixture(scope="module")
def bare() -> Quintet:
    """Fitted on two columns: no times, no ratings, no attributes."""
    return Quintet(**TINY).fit(pa.table(rows()))


def test_two_columns_are_enough(bare, tmp_path) -> None:
    answers = bare.recommend([3, "3", 99], k=3)
    assert [one.basis for one in answers] == ["personal"] * 6 + ["popular"] * 3
    assert answers[0].item_id.startswith("thing ")
    assert [one.item_id for one in answers[:3]] == [one.item_id for one in answers[3:6]]
    profile = bare.profile(3)
    assert profile["events"] == 6
    assert "interests" not in profile
    assert len(bare.similar("thing 2", k=3)) == 3
    assert bare.recommender.describe(["thing 2"]) == [{"item_id": "thing 2"}]
    assert "value" not in bare.predict([(3, "thing 1")]).column_names
    assert 0 <= bare.evaluate()["hr@5"]["mean"] <= 1


def test_a_model_without_attributes_can_be_saved_loaded_and_saved(bare, tmp_path) -> None:
    once = load(bare.save(tmp_path / "once"))
    twice = load(once.save(tmp_path / "twice"))
    for again in (once, twice):
        assert again.recommend([3], k=3) == bare.recommend([3], k=3)
        assert again.recommender.describe(["thing 2"]) == [{"item_id": "thing 2"}]


def test_fitting_again_replaces_the_model(bare) -> None:
    other = Quintet(**TINY).fit(pa.table(rows()))
    before = other.recommender
    other.fit(pa.table(rows(n_items=7, seed=1)))
    assert other.recommender is not before
    assert len(other.recommender.trained.items) == 7


def test_a_log_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(QuintetError):
        Quintet(**TINY).fit("nowhere.csv")
    with pytest.raises(EmptyDataError):
        Quintet(**TINY).fit(pa.table({"user_id": pa.array([], "int64"), "item_id": []}))


# ---------------------------------------------------------------- manners


def test_asked_before_the_fit(tmp_path) -> None:
    model = Quintet()
    assert repr(model) == "Quintet(not fitted, seed=0)"
    for ask in (
        lambda: model.recommend(["u1"]),
        lambda: model.predict([("u1", "i1")]),
        lambda: model.profile("u1"),
        lambda: model.similar("i1"),
        model.evaluate,
        lambda: model.save(tmp_path / "bundle"),
    ):
        with pytest.raises(NotFittedError, match="fit"):
            ask()
    assert not (tmp_path / "bundle").exists()


def test_settings_are_given_back_as_they_were_given() -> None:
    model = Quintet(seed=4, loop={"epochs": 3}, model={"width": 24})
    settings = model.get_params()
    assert (settings["seed"], settings["loop"]["epochs"], settings["model"]["width"]) == (4, 3, 24)
    assert Quintet(**settings).get_params() == settings
    assert model.set_params(seed=5) is model
    assert model.get_params() == {**settings, "seed": 5}


def test_unknown_settings_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'epochs'; valid here: .*loop"):
        Quintet(epochs=3)
    with pytest.raises(ConfigError, match=r"unknown setting 'loop\.epoch'"):
        Quintet(loop={"epoch": 3})
    model = Quintet(seed=1)
    with pytest.raises(ConfigError, match="unknown setting 'sede'"):
        model.set_params(sede=2)
    assert model.get_params()["seed"] == 1


def test_scikit_learn_can_clone_it(fitted) -> None:
    for model in (Quintet(seed=3, loop={"epochs": 2}), fitted):
        copy = clone(model)
        assert copy is not model
        assert copy.get_params() == model.get_params()
        with pytest.raises(NotFittedError):
            copy.recommend(["u1"])


@pytest.mark.parametrize("table", ["items", "users", "relations", "schema"])
def test_tables_beside_a_data_set_are_refused(table):
    data = open_dataset("market", ["n_users=20", "n_items=48"])
    with pytest.raises(ConfigError, match=f"joined already: give {table}"):
        Quintet().fit(data, **{table: [{"item_id": "a"}]})

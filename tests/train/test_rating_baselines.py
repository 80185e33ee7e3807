from __future__ import annotations

import sys

import numpy as np
import pytest
from memory.logs import log

from quintet.data.interactions import Interactions
from quintet.data.split import Part, leave_one_out
from quintet.errors import ConfigError, DataError, EmptyDataError, MissingExtraError, NotFittedError
from quintet.metrics import log_loss, rmse
from quintet.train.rating_baselines import LogisticCurve, RatedPairs, rating_baseline, tune_rating
from quintet.train.rating_models import BiasModel, LibraryFactorisation, OnlineBiasModel

NAN = float("nan")
#: two users, two items; the second user did not rate item 1, nor anyone item 2
RATED = log([0, 1], [0, 1], n_items=3, values=[[5, 3], [1, NAN]])


def ratings(seed: int = 0, n_users: int = 60, n_items: int = 30) -> Interactions:
    """Ratings of 1 to 5 that follow biases of users and items, with noise."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), 12)
    item = np.concatenate([rng.permutation(n_items)[:12] for _ in range(n_users)])
    taste, quality = rng.normal(0, 0.8, n_users), rng.normal(0, 0.8, n_items)
    value = np.clip(np.round(3 + taste[user] + quality[item] + rng.normal(0, 0.4, len(user))), 1, 5)
    return Interactions.build(
        user, item, n_users=n_users, n_items=n_items, time=rng.permutation(len(user)), value=value
    )


EVENTS = ratings()
SPLIT = leave_one_out(EVENTS)
VALID, TEST = RatedPairs.of(SPLIT, Part.VALID), RatedPairs.of(SPLIT, Part.TEST)


class TestRatedPairs:
    def test_each_pair_has_all_that_came_before_it(self) -> None:
        events = log([0, 1, 2, 0], [1, 2, 0], n_items=3, values=[[1, 2, 3, 4], [5, NAN, 2]])
        split = leave_one_out(events)
        valid, test = RatedPairs.of(split, Part.VALID), RatedPairs.of(split, Part.TEST)
        np.testing.assert_array_equal(valid.users, [0])  # the second user's has no value
        np.testing.assert_array_equal(valid.items, [2])
        np.testing.assert_array_equal(valid.histories.item, [0, 1])
        np.testing.assert_array_equal(test.values, [4, 2])
        np.testing.assert_array_equal(test.histories.item, [0, 1, 2, 1, 2])
        np.testing.assert_array_equal(test.histories.lengths, [3, 2])

    def test_a_part_without_values_is_refused(self) -> None:
        with pytest.raises(EmptyDataError, match="VALID"):
            RatedPairs.of(leave_one_out(log([0, 1, 2])), Part.VALID)


class TestBiasModel:
    def test_the_biases_solve_the_normal_equations(self) -> None:
        model = BiasModel(BiasModel.Config(user_shrinkage=2.0, item_shrinkage=0.5)).fit(EVENTS)
        rest = EVENTS.value - model.mean
        user, item = EVENTS.group(), EVENTS.item
        error = rest - model.user_bias[user] - model.item_bias[item]
        np.testing.assert_allclose(np.bincount(user, error), 2.0 * model.user_bias, atol=1e-5)
        np.testing.assert_allclose(np.bincount(item, error), 0.5 * model.item_bias, atol=1e-5)

    def test_by_hand(self) -> None:
        # mean 3; ratings less the mean: user 0: +2, 0; user 1: -2. With shrinkage 1 everywhere
        #   3 u0 + i0 + i1 = 2, 2 u1 + i0 = -2, 3 i0 + u0 + u1 = 0, 2 i1 + u0 = 0
        # (user 0 and item 0 have two ratings, user 1 and item 1 one)
        u0, u1, i0, i1 = np.linalg.solve(
            [[3, 0, 1, 1], [0, 2, 1, 0], [1, 1, 3, 0], [1, 0, 0, 2]], [2, -2, 0, 0]
        )
        model = BiasModel(BiasModel.Config(user_shrinkage=1.0, item_shrinkage=1.0)).fit(RATED)
        predicted = model.predict(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 2]))
        np.testing.assert_allclose(predicted, [3 + u0 + i0, 3 + u0 + i1, 3 + u1 + i0, 3 + u1])

    def test_the_unknown_are_answered_by_the_mean(self) -> None:
        model = BiasModel().fit(RATED)
        np.testing.assert_allclose(model.predict(np.array([-1, 7]), np.array([2, 9])), [3, 3])

    def test_predictions_stay_in_the_range_of_the_values(self) -> None:
        model = BiasModel(BiasModel.Config(user_shrinkage=0.1, item_shrinkage=0.1)).fit(EVENTS)
        users, items = (a.ravel() for a in np.indices((EVENTS.n_users, EVENTS.n_items)))
        predicted = model.predict(users, items)
        assert predicted.min() == 1.0
        assert predicted.max() == 5.0


class TestOnlineBias:
    def test_by_hand(self) -> None:
        config = OnlineBiasModel.Config(user_shrinkage=2.0, item_shrinkage=1.0, decay=0.5)
        model = OnlineBiasModel(config).fit(RATED)
        # a stranger gave item 2 (bias 0) a 5, item 0 no value, then item 1 a 4
        history = log([2, 0, 1], [], n_items=3, values=[[5, NAN, 4], []])
        weighted = 0.5 * (5 - 3) + 1.0 * (4 - 3 - model.item_bias[1])
        expected = [3 + weighted / (1.5 + 2.0), 3]
        predicted = model.predict(np.array([-1, -1]), np.array([2, 2]), history)
        np.testing.assert_allclose(predicted, expected, rtol=1e-6)

    def test_without_histories_the_trained_bias_stands(self) -> None:
        online, plain = OnlineBiasModel().fit(EVENTS), BiasModel().fit(EVENTS)
        users, items = EVENTS.group()[:9], EVENTS.item[:9]
        np.testing.assert_array_equal(online.predict(users, items), plain.predict(users, items))

    def test_histories_must_fit_the_pairs(self) -> None:
        with pytest.raises(DataError, match="2 histories for 1 pairs"):
            OnlineBiasModel().fit(RATED).predict(np.array([0]), np.array([0]), RATED)


class TestLibraryFactorisation:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("surprise")

    def test_it_learns_what_the_library_learns_from_its_own_reader(self) -> None:
        from surprise import SVD, Dataset, Reader

        pandas = pytest.importorskip("pandas")
        train = SPLIT.train
        frame = pandas.DataFrame({"u": train.user, "i": train.item, "r": train.value.astype(float)})
        data = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset()
        theirs = SVD(n_factors=8, n_epochs=5, reg_all=0.1, random_state=0).fit(data)
        config = LibraryFactorisation.Config(factors=8, epochs=5, regularization=0.1)
        ours = LibraryFactorisation(config).fit(train)
        # the library numbers items by first appearance, so its random vectors fall on other items
        expected = [theirs.predict(u, i).est for u, i in zip(train.user, train.item, strict=True)]
        gap = ours.predict(train.user, train.item) - expected
        assert np.abs(gap).mean() < 0.05

    def test_the_unknown_are_answered_by_the_librarys_rule(self) -> None:
        ours = LibraryFactorisation(LibraryFactorisation.Config(factors=8, epochs=5)).fit(EVENTS)
        theirs = ours._model
        theirs.trainset._raw2inner_id_users = {u: u for u in range(EVENTS.n_users)}
        theirs.trainset._raw2inner_id_items = {i: i for i in range(EVENTS.n_items)}
        pairs = [(3, 4), (3, 999), (999, 4), (999, 999)]
        expected = [theirs.predict(user, item).est for user, item in pairs]
        predicted = ours.predict(*np.array(pairs).T)
        np.testing.assert_allclose(predicted, expected, rtol=1e-9)

    def test_the_seed_decides(self) -> None:
        first, again, other = (
            LibraryFactorisation(LibraryFactorisation.Config(factors=4, epochs=3, seed=seed))
            .fit(EVENTS)
            .predict(VALID.users, VALID.items)
            for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_users_without_ratings_count_for_nothing(self) -> None:
        model = LibraryFactorisation().fit(RATED.select(RATED.group() == 0))
        assert model.predict(np.array([1]), np.array([2]))[0] == pytest.approx(4.0)

    def test_without_the_library_the_extra_is_named(self, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "surprise", None)
        with pytest.raises(MissingExtraError, match=r"quintet\[baselines\]"):
            LibraryFactorisation().fit(EVENTS)


class TestLogisticCurve:
    def test_it_recovers_a_known_curve(self) -> None:
        rng = np.random.default_rng(0)
        rating = rng.uniform(1, 5, 20_000)
        label = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * rating - 5)))
        curve = LogisticCurve.fit(rating, label)
        assert curve.slope == pytest.approx(1.5, abs=0.1)
        assert curve.intercept == pytest.approx(-5, abs=0.3)
        expected = 1 / (1 + np.exp(-(curve.slope * 3 + curve.intercept)))
        np.testing.assert_allclose(curve.probability(np.array([3.0])), expected)

    def test_it_is_calibrated_in_the_large(self) -> None:
        rating, label = np.array([1.0, 2, 3, 4]), np.array([False, True, False, True])
        assert LogisticCurve.fit(rating, label).probability(rating).mean() == pytest.approx(0.5)

    @pytest.mark.parametrize(
        ("rating", "label", "share"),
        [
            ([1.0, 2.0], [True, True], 2.5 / 3),
            ([1.0, 2.0], [False, False], 0.5 / 3),
            ([2.0, 2.0, 2.0], [True, False, False], 1.5 / 4),
        ],
    )
    def test_where_nothing_can_be_told_apart_the_share_stands(self, rating, label, share) -> None:
        curve = LogisticCurve.fit(np.array(rating), np.array(label))
        np.testing.assert_allclose(curve.probability(np.array([1.0, 5.0])), [share, share])

    def test_far_ratings_do_not_overflow(self) -> None:
        probability = LogisticCurve(1e4, 0.0).probability(np.array([-1e3, 1e3]))
        np.testing.assert_array_equal(probability, [0, 1])

    def test_no_pairs_no_curve(self) -> None:
        with pytest.raises(EmptyDataError):
            LogisticCurve.fit(np.empty(0), np.empty(0, bool))


class TestTuning:
    @pytest.mark.parametrize("name", ["bias", "bias_online", "svd"])
    def test_tuned_models_beat_the_mean_and_know_what_is_liked(self, name) -> None:
        if name == "svd":
            pytest.importorskip("surprise")
        tuned = tune_rating(name, SPLIT.train, VALID, trials=4, seed=0)
        default = rating_baseline(name)().fit(SPLIT.train)
        plain = rmse(VALID.values, default.predict(VALID.users, VALID.items, VALID.histories))
        assert tuned.rmse <= plain
        fitted = tuned.fit(SPLIT.train, VALID, threshold=4.0)
        mean = np.full(len(TEST.values), SPLIT.train.value.mean())
        assert rmse(TEST.values, fitted.ratings(TEST)) < rmse(TEST.values, mean)
        liked = TEST.values >= 4
        share = np.full(len(liked), (VALID.values >= 4).mean())
        assert log_loss(liked, fitted.probabilities(TEST)) < log_loss(liked, share)

    def test_the_reported_error_is_that_of_the_values(self) -> None:
        tuned = tune_rating("bias_online", SPLIT.train, VALID, trials=5, seed=1)
        model = tuned.model().fit(SPLIT.train)
        again = rmse(VALID.values, model.predict(VALID.users, VALID.items, VALID.histories))
        assert again == tuned.rmse
        assert tuned.trials == 5

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="choose one of: bias, bias_online, svd"):
            tune_rating("nothing", SPLIT.train, VALID, trials=1, seed=0)

    def test_logs_without_values_are_refused(self) -> None:
        with pytest.raises(EmptyDataError, match="no training event has a value"):
            tune_rating("bias", log([0, 1]), VALID, trials=1, seed=0)

    def test_before_fit_there_is_no_answer(self) -> None:
        with pytest.raises(NotFittedError, match="'bias'"):
            BiasModel().predict(np.array([0]), np.array([0]))

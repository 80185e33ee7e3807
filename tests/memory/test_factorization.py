from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from quintet.errors import MissingExtraError
from quintet.memory.factorization import Als, Bpr
from quintet.memory.matrices import event_matrix

from .logs import log, random_log, strangers

EVENTS = random_log()


@pytest.mark.parametrize(("part", "module"), [(Als, "implicit.als"), (Bpr, "implicit.bpr")])
def test_without_the_library_the_extra_is_named(part, module, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"quintet\[baselines\]"):
        part().fit(EVENTS)


class TestWithLibrary:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("implicit")

    def test_folding_in_equals_the_librarys_recalculation(self) -> None:
        memory = Als(Als.Config(factors=8, alpha=3.0, regularization=0.5)).fit(EVENTS)
        model = memory._model()
        model.item_factors = memory._items
        users = np.arange(EVENTS.n_users)
        expected = model.recalculate_user(users, csr_matrix(event_matrix(EVENTS)))
        np.testing.assert_allclose(memory.fold_in(EVENTS), expected, rtol=1e-3, atol=1e-5)

    def test_histories_fold_in_alike_in_small_blocks(self, monkeypatch) -> None:
        memory = Als(Als.Config(factors=4)).fit(EVENTS)
        whole = memory.fold_in(EVENTS)
        monkeypatch.setattr("quintet.memory.factorization.BLOCK", 1)
        np.testing.assert_allclose(memory.fold_in(EVENTS), whole, rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("part", [Als, Bpr])
    def test_two_separate_tastes_are_told_apart(self, part) -> None:
        left, right = [0, 1, 2, 3], [4, 5, 6, 7]
        people = [list(np.delete(taste, k)) for taste in (left, right) for k in range(4)] * 3
        memory = part(part.Config(factors=2)).fit(log(*people, n_items=8))
        scores = memory.score(strangers(log([0, 1], [4, 5], n_items=8)))
        assert scores[0, [2, 3]].min() > scores[0, 4:].max()
        assert scores[1, [6, 7]].min() > scores[1, :4].max()

    def test_bpr_scores_those_it_trained_by_their_vector(self) -> None:
        memory = Bpr(Bpr.Config(factors=4)).fit(EVENTS)
        known = EVENTS.users([EVENTS.n_users - 1])
        expected = memory._users[-1] @ memory._items.T
        np.testing.assert_allclose(memory.score(known)[0], expected, rtol=1e-5, atol=1e-6)
        mean = memory._items[np.unique(known.item)].mean(axis=0)
        mean[-1] = 1
        stranger = memory.score(strangers(known))[0]
        np.testing.assert_allclose(stranger, memory._items @ mean, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("part", [Als, Bpr])
    def test_the_seed_decides(self, part) -> None:
        first, again, other = (
            part(part.Config(factors=4, seed=seed)).fit(EVENTS).score(EVENTS) for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    @pytest.mark.parametrize("part", [Als, Bpr])
    def test_fitting_is_silent(self, part, capfd) -> None:
        import implicit.utils

        implicit.utils._checked_blas_config = False
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            part().fit(EVENTS)
        printed = capfd.readouterr()
        assert not printed.out
        assert not printed.err

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from quintet.memory.similarity import cosine, pearson, phi

A = csr_array([[1.0, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]])


def test_cosine_by_hand() -> None:
    similar = cosine(A, A.T.tocsr()).toarray()
    assert similar[0, 1] == pytest.approx(2 / (2 * 3) ** 0.5)
    assert similar[0, 2] == 0
    shrunk = cosine(A, A.T.tocsr(), shrinkage=10.0).toarray()
    assert shrunk[0, 1] == pytest.approx(2 / ((2 * 3) ** 0.5 + 10))


def test_phi_is_the_correlation_of_whole_vectors() -> None:
    similar = phi(A, A.T.tocsr()).toarray()
    dense = A.toarray()
    assert similar[0, 1] == pytest.approx(np.corrcoef(dense[0], dense[1])[0, 1])
    assert similar[0, 1] == pytest.approx(
        (2 - 2 * 3 / 4) / ((2 - 2**2 / 4) * (3 - 3**2 / 4)) ** 0.5
    )
    assert phi(A, A.T.tocsr(), shrinkage=6.0).toarray()[0, 1] == pytest.approx(
        similar[0, 1] * 2 / (2 + 6)
    )


def test_a_vector_of_all_features_correlates_with_nothing() -> None:
    everything = csr_array([[1.0, 1, 1], [1, 0, 0]])
    assert not phi(everything, everything.T.tocsr()).toarray()[0].any()


def test_pearson_reads_shared_features_alone() -> None:
    left = csr_array([[1.0, 2, 1.5, 2]])
    right = csr_array([[1.2, 1.9, 1.1, 0]]).T.tocsr()
    expected = np.corrcoef([1, 2, 1.5], [1.2, 1.9, 1.1])[0, 1]
    assert pearson(left, right).toarray()[0, 0] == pytest.approx(expected)
    shrunk = pearson(left, right, shrinkage=2.0).toarray()[0, 0]
    assert shrunk == pytest.approx(expected * 3 / (3 + 2))


def test_pearson_without_variance_is_0() -> None:
    left = csr_array([[1.5, 1.5, 1.5], [1, 2, 0]])
    right = csr_array([[1.0, 2, 1.5], [1.5, 1.5, 0]]).T.tocsr()
    assert not np.delete(pearson(left, right).toarray().ravel(), 2).any()
    assert pearson(left, right).toarray()[1, 0] == pytest.approx(1)


def test_a_feature_of_weight_2_counts_as_two_features() -> None:
    weights = csr_array([[2.0, 1, 1]])
    left = csr_array([[1.0, 2, 1.5]])
    right = csr_array([[1.2, 1.9, 1.1]])
    twice_left, twice_right = csr_array([[1.0, 1, 2, 1.5]]), csr_array([[1.2, 1.2, 1.9, 1.1]])
    weighted = pearson(left, right.T.tocsr(), 3.0, weights).toarray()
    plain = pearson(twice_left, twice_right.T.tocsr(), 3.0).toarray()
    np.testing.assert_allclose(weighted, plain)


def test_a_weight_decayed_to_nothing_breaks_nothing() -> None:
    weights = csr_array((np.array([0.0, 1, 1]), [0, 1, 2], [0, 3]), shape=(1, 3))
    values = csr_array([[1.0, 2, 1.5]])
    assert pearson(values, values.T.tocsr(), 0.0, weights).toarray()[0, 0] == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 1.25, 1.5, 2]), min_size=6, max_size=6),
        min_size=2,
        max_size=4,
    ),
    st.sampled_from([0.0, 5.0]),
)
def test_pearson_equals_pair_by_pair(rows, shrinkage) -> None:
    values = csr_array(np.array(rows, float))
    similar = pearson(values, values.T.tocsr(), shrinkage).toarray()
    for i, x in enumerate(np.array(rows, float)):
        for j, y in enumerate(np.array(rows, float)):
            both = (x > 0) & (y > 0)
            expected = 0.0
            if both.sum() > 1 and x[both].std() > 0 and y[both].std() > 0:
                expected = np.corrcoef(x[both], y[both])[0, 1]
            if both.any():
                expected *= both.sum() / (both.sum() + shrinkage)
            assert similar[i, j] == pytest.approx(expected, abs=1e-7)

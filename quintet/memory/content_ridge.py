"""Ridge regression of what a person met on the items' attributes: it finds items nobody met yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_array, hstack

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Mask, seeded_hash
from quintet.data.words import TERMS
from quintet.errors import DataError
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import Matrix, State, array, event_matrix, recency

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Doubles = NDArray[np.float64]

LEAST_EIGENVALUE = 1e-6  # of a kernel among landmarks, relative to its greatest


class ContentRidge(Counted):
    """Each person's kernel ridge regression over the items, in closed form.

    With a the person's indicator of items met, W the warm items (those with training events) and
    k the kernel, the score of an item is ``k(item, W) (k(W, W) + l2·1)⁻¹ a_W``: items whose
    attributes resemble those of many items met, and not of the many passed over. The kernel is
    ``exp(-d²/2)`` of the distance between categories, numbers and the count of categories, plus
    ``text_weight`` times the cosine of the TF-IDF texts. Items without events score like any
    other (kernel ridge: Saunders et al., ICML 1998).

    Only an F x F matrix is inverted: the first kernel stands on up to ``landmarks`` warm items
    (Nystrom method: Williams & Seeger, NIPS 2000), the second on the leading singular vectors of
    the texts. All statistics come from warm items, so an item given at the fit and one added later
    score alike.
    """

    name = "content_ridge"
    scores_cold_items: ClassVar[bool] = True
    reads_attributes: ClassVar[bool] = True
    dense = True

    class Config(Memory.Config):
        """Settings of :class:`ContentRidge`."""

        l2: PositiveFloat = tunable(30.0, low=0.1, high=1000.0, log=True, description="ridge")
        category_weight: NonNegativeFloat = tunable(
            0.4, low=0.1, high=2.0, log=True, description="distance made by one category"
        )
        number_weight: NonNegativeFloat = tunable(
            3.0, low=0.3, high=10.0, log=True, description="distance made by half a number's range"
        )
        text_weight: PositiveFloat = tunable(
            0.3, low=0.01, high=10.0, log=True, description="weight of the cosine of the texts"
        )
        half_life: PositiveFloat | None = tunable(
            None, low=0.5, high=100.0, log=True, description="steps back that halve a weight"
        )
        landmarks: PositiveInt = 256
        text_dimensions: PositiveInt = 256
        max_terms: PositiveInt = 20_000
        seed: int = 0

    config: Config
    _feature_IF: Floats  # of every item; 0 where nothing is known of it
    _dual_IF: Floats  # what meeting an item adds to a person's weights; 0 where cold
    _landmark_LZ: Floats  # attributes of the landmarks
    _from_landmarks_LG: Floats  # from kernels with the landmarks to features
    _from_terms_TH: Floats  # from TF-IDF to features
    _terms: list[str]
    _idf: Doubles

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Solve for all people at once; see :meth:`Memory.fit`.

        Raises:
            DataError: there is no item table, it does not fit the catalogue, or it tells nothing.
        """
        if items is None or items.n_rows != events.n_items:
            rows = "none" if items is None else str(items.n_rows)
            raise DataError(
                f"memory {self.name!r} needs one row of attributes for each of {events.n_items} "
                f"items (got {rows}): give the catalogue with the log, or leave it out"
            )
        warm_I = events.item_counts() > 0
        learned_I = warm_I if warm_I.any() else np.ones(events.n_items, np.bool_)
        self._learn_attributes(items, np.flatnonzero(learned_I))
        self._learn_texts(items, np.flatnonzero(learned_I))
        if not len(self._terms) and not len(self._landmark_LZ):
            raise DataError(
                f"memory {self.name!r}: the items have no words, categories or numbers: "
                "give a title or a category, or leave it out"
            )
        self._keep(self._features(items))
        warm_WF = self._feature_IF[warm_I].astype(np.float64)
        gram_FF = warm_WF.T @ warm_WF
        gram_FF[np.diag_indices_from(gram_FF)] += self.config.l2
        self._dual_IF = np.zeros_like(self._feature_IF)
        self._dual_IF[warm_I] = np.linalg.solve(gram_FF, warm_WF.T).T
        return self

    def add_items(self, items: FeatureTable) -> Self:
        """Read a catalogue that has grown or changed; what was learned of tastes stays.

        Args:
            items: all items, old rows first, in catalogue order, encoded as those of the fit.

        Raises:
            NotFittedError: neither ``fit`` nor ``load_state`` was called.
            DataError: there are fewer items than before, or other columns.
        """
        if items.n_rows < self.n_items:
            raise DataError(
                f"memory {self.name!r} holds {self.n_items} items but was handed {items.n_rows}: "
                "hand over all of them, old rows first"
            )
        self._keep(self._features(items))
        new = items.n_rows - len(self._dual_IF)
        self._dual_IF = np.pad(self._dual_IF, ((0, new), (0, 0)))
        return self

    def _keep(self, feature_IF: Floats) -> None:
        self._feature_IF = feature_IF
        self._n_items = len(feature_IF)

    # ------------------------------------------------------------------ features

    def _features(self, items: FeatureTable) -> Floats:
        """[I, F] vectors whose inner products are the kernel."""
        text_IH = self._tfidf(items) @ self._from_terms_TH
        kernel_IL = gaussian(self._attributes(items), self._landmark_LZ)
        own_IF = np.concatenate([kernel_IL @ self._from_landmarks_LG, text_IH], axis=1)
        known = described(items) | text_IH.any(axis=1)
        feature_IF: Floats = (own_IF * known[:, None]).astype(np.float32)
        return feature_IF

    def _learn_attributes(self, items: FeatureTable, rows: NDArray[np.int64]) -> None:
        distinct = self._attributes(items)[rows]
        if not items.categories and not items.numbers:
            distinct = distinct[:0]
        order = np.argsort(seeded_hash(rows[: distinct.shape[0]], self.config.seed), kind="stable")
        dense_NZ = distinct[order[: 8 * self.config.landmarks]].toarray()
        _, first = np.unique(dense_NZ, axis=0, return_index=True)
        self._landmark_LZ = dense_NZ[np.sort(first)[: self.config.landmarks]].astype(np.float32)
        kernel_LL = gaussian(csr_array(self._landmark_LZ), self._landmark_LZ)
        values_L, vectors_LL = np.linalg.eigh(kernel_LL)
        kept = values_L > LEAST_EIGENVALUE * values_L.max(initial=0.0)
        scaled_LG = vectors_LL[:, kept] / np.sqrt(values_L[kept])
        self._from_landmarks_LG = scaled_LG.astype(np.float32)

    def _attributes(self, items: FeatureTable) -> Matrix:
        """[I, Z] scaled categories and numbers, and how many categories there are."""
        blocks: list[Any] = []
        count_I = np.zeros(items.n_rows)
        for column in items.categories.values():
            data = np.full(len(column.codes), self.config.category_weight)
            shape = (items.n_rows, len(column.names))
            blocks.append(csr_array((data, column.codes, column.offsets), shape=shape))
            count_I += np.diff(column.offsets)
        for number in items.numbers.values():
            blocks.append(csr_array(self.config.number_weight * number.values[:, None]))
        blocks.append(csr_array(np.log1p(count_I)[:, None]))
        return csr_array(hstack(blocks, format="csr"))

    def _learn_texts(self, items: FeatureTable, rows: NDArray[np.int64]) -> None:
        vectorizer = self._vectorizer()
        try:
            tfidf_WT = vectorizer.fit_transform(items.joined_text()[rows])
        except ValueError:  # no word at all
            self._terms, self._idf = [], np.zeros(0)
            self._from_terms_TH = np.zeros((0, 0), np.float32)
            return
        self._terms, self._idf = list(vectorizer.get_feature_names_out()), vectorizer.idf_
        right_HT = leading_right(tfidf_WT, self.config.text_dimensions, self.config.seed)
        self._from_terms_TH = (np.sqrt(self.config.text_weight) * right_HT.T).astype(np.float32)

    def _tfidf(self, items: FeatureTable) -> Any:
        """[I, T] TF-IDF vectors of length 1."""
        if not self._terms:
            return np.zeros((items.n_rows, 0))
        vectorizer = self._vectorizer(vocabulary=self._terms)
        vectorizer.idf_ = self._idf
        return vectorizer.transform(items.joined_text())

    def _vectorizer(self, vocabulary: list[str] | None = None) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer

        most = None if vocabulary is not None else self.config.max_terms
        return TfidfVectorizer(
            vocabulary=vocabulary, max_features=most, sublinear_tf=True, token_pattern=TERMS
        )

    # ------------------------------------------------------------------ answers

    def _score(self, histories: Interactions) -> Floats:
        scores: Floats = (self.queries(histories) @ self._feature_IF.T).astype(np.float32)
        return scores

    def item_vectors(self) -> Floats:
        """[I, F] the items' features; see :meth:`Memory.item_vectors`."""
        self.require_fitted()
        return self._feature_IF

    def queries(self, histories: Interactions) -> Floats:
        """[B, F] tastes; see :meth:`Memory.queries`."""
        known = histories if histories.n_items == self.n_items else self._known(histories)
        taste_BF = event_matrix(known, self._weights(known)) @ self._dual_IF
        return np.asarray(taste_BF, np.float32)

    def _explain(self, history: Interactions, item: int) -> Floats:
        parts: Floats = self._dual_IF[history.item] @ self._feature_IF[item]
        return parts * self._weights(history)

    def _weights(self, histories: Interactions) -> Floats:
        return recency(histories, self.config.half_life, distinct=True)

    def present(self) -> Mask:
        """[I] items with at least one known word, category or number."""
        self.require_fitted()
        return np.asarray(self._feature_IF.any(axis=1))

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Features, dual weights and what encodes later items; see :meth:`Memory.state`."""
        self.require_fitted()
        return {
            "features": self._feature_IF,
            "dual": self._dual_IF,
            "landmarks": self._landmark_LZ,
            "from_landmarks": self._from_landmarks_LG,
            "from_terms": self._from_terms_TH,
            "terms": np.frombuffer("\n".join(self._terms).encode(), np.uint8),
            "idf": self._idf,
        }

    def load_state(self, state: State) -> Self:
        """Restore; see :meth:`Memory.load_state`."""

        def floats(name: str) -> Floats:
            return array(state, name).astype(np.float32)

        self._dual_IF, self._landmark_LZ = floats("dual"), floats("landmarks")
        self._from_landmarks_LG = floats("from_landmarks")
        self._from_terms_TH = floats("from_terms")
        self._terms = array(state, "terms").astype(np.uint8).tobytes().decode().splitlines()
        self._idf = array(state, "idf").astype(np.float64)
        self._keep(floats("features"))
        return self


def gaussian(one: Matrix, other: Floats) -> Doubles:
    """[N, L] ``exp(-d²/2)`` of the distances between sparse rows [N, Z] and dense ones [L, Z].

    Raises:
        DataError: they have different columns.
    """
    if len(other) == 0:
        return np.zeros((one.shape[0], 0))
    if one.shape[1] != other.shape[1]:
        raise DataError(
            f"items with {one.shape[1]} columns and categories, learned with {other.shape[1]}: "
            "encode them with the encoder of the fit"
        )
    square_N = np.asarray(one.power(2).sum(axis=1)).ravel()
    square_L = (other.astype(np.float64) ** 2).sum(axis=1)
    distance_NL = square_N[:, None] + square_L - 2 * (one @ other.T)
    kernel_NL: Doubles = np.exp(-np.maximum(distance_NL, 0) / 2)
    return kernel_NL


def described(items: FeatureTable) -> Mask:
    """[I] items with a category or a number."""
    known = np.zeros(items.n_rows, np.bool_)
    for column in items.categories.values():
        known |= np.diff(column.offsets) > 0
    for number in items.numbers.values():
        known |= number.present
    return known


def leading_right(matrix: Any, most: int, seed: int) -> Doubles:
    """[H, T] up to ``most`` leading right singular vectors of a sparse matrix [W, T].

    Exact where small. Else by random projection (Halko et al., 2011) drawn on the terms' side, so
    that the order of the rows makes no difference.
    """
    if min(matrix.shape) <= most:
        return np.asarray(np.linalg.svd(matrix.toarray(), full_matrices=False)[2])
    from sklearn.utils.extmath import randomized_svd

    options = {"random_state": seed, "n_iter": 2, "transpose": False}
    return np.asarray(randomized_svd(matrix, most, **options)[2])

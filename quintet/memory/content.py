"""Content: items whose texts and categories read like those of the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Mask
from quintet.data.words import TERMS
from quintet.errors import DataError
from quintet.memory.base import Memory
from quintet.memory.counted import Counted
from quintet.memory.matrices import Matrix, State, array, event_matrix, pack, recency, unpack

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer


class Content(Counted):
    """Cosine between an item's TF-IDF vector and the history's mean vector.

    Vectors have length 1; the mean is recency-weighted and each distinct item counts once. Needs no
    events: an item ranks as soon as its text is known (:meth:`add_items`). Terms and their document
    frequencies come from all items given to :meth:`fit`, so also from those without training
    events (transductive in the text, never in the events).
    """

    name = "content"
    scores_cold_items: ClassVar[bool] = True
    reads_attributes: ClassVar[bool] = True

    class Config(Memory.Config):
        """Settings of :class:`Content`."""

        half_life: PositiveFloat | None = tunable(
            None, low=0.5, high=100.0, log=True, description="steps back that halve a weight"
        )
        sublinear: bool = tunable(
            True, choices=[True, False], description="1 + log(term count) in place of the count"
        )
        max_terms: PositiveInt = 50_000

    config: Config
    _vectors: Matrix  # [I, T]
    _terms: list[str]
    _idf: NDArray[np.float64]

    def fit(self, events: Interactions, items: FeatureTable | None = None) -> Self:
        """Read the items' texts and categories; see :meth:`Memory.fit`.

        Raises:
            DataError: there is no item table, it does not fit the catalogue, or it has no words.
        """
        if items is None or items.n_rows != events.n_items:
            rows = "none" if items is None else str(items.n_rows)
            raise DataError(
                f"memory 'content' needs one row of attributes for each of {events.n_items} items "
                f"(got {rows}): give the catalogue with the log, or leave 'content' out"
            )
        vectorizer = self._vectorizer()
        try:
            vectors = vectorizer.fit_transform(items.joined_text())
        except ValueError as error:
            raise DataError(
                f"memory 'content': no words in the items' text and category columns ({error}): "
                "give a title or a category, or leave 'content' out"
            ) from None
        self._terms = list(vectorizer.get_feature_names_out())
        self._idf = vectorizer.idf_
        return self._keep(csr_array(vectors))

    def add_items(self, items: FeatureTable) -> Self:
        """Read a catalogue that has grown or changed, with the terms and weights of the fit.

        Args:
            items: all items, old rows first, in catalogue order.

        Raises:
            NotFittedError: neither ``fit`` nor ``load_state`` was called.
            DataError: there are fewer items than before.
        """
        if items.n_rows < self.n_items:
            raise DataError(
                f"memory 'content' holds {self.n_items} items but was handed {items.n_rows}: "
                "hand over all of them, old rows first"
            )
        vectorizer = self._vectorizer(vocabulary=self._terms)
        vectorizer.idf_ = self._idf
        return self._keep(csr_array(vectorizer.transform(items.joined_text())))

    def _vectorizer(self, vocabulary: list[str] | None = None) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer

        options: dict[str, Any] = {
            "sublinear_tf": self.config.sublinear,
            "token_pattern": TERMS,
            "dtype": np.float64,
        }
        if vocabulary is not None:
            return TfidfVectorizer(vocabulary=vocabulary, **options)
        return TfidfVectorizer(max_features=self.config.max_terms, **options)

    def _keep(self, vectors: Matrix) -> Self:
        self._vectors = vectors.astype(np.float32)
        self._vectors.sort_indices()
        self._by_term = self._vectors.T.tocsr()
        self._n_items = vectors.shape[0]
        return self

    def _score(self, histories: Interactions) -> Floats:
        query = event_matrix(histories, self._weights(histories)) @ self._vectors
        lengths = np.sqrt(query.power(2).sum(axis=1))
        lengths[lengths == 0] = 1.0
        scores: Floats = (query @ self._by_term).toarray() / lengths[:, None]
        return scores.astype(np.float32)

    def _explain(self, history: Interactions, item: int) -> Floats:
        weights = self._weights(history)
        vectors = self._vectors[history.item]
        query = weights @ vectors
        length = np.sqrt(np.sum(query**2)) or 1.0
        parts: Floats = weights * (vectors @ self._vectors[[item]].toarray()[0]) / length
        return parts

    def _weights(self, histories: Interactions) -> Floats:
        return recency(histories, self.config.half_life, distinct=True)

    def present(self) -> Mask:
        """[I] items with at least one known term."""
        self.require_fitted()
        return np.diff(self._vectors.indptr) > 0

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Vectors, terms (UTF-8, one a line) and their weights; see :meth:`Memory.state`."""
        self.require_fitted()
        terms = np.frombuffer("\n".join(self._terms).encode(), np.uint8)
        return {**pack(self._vectors, "vectors"), "terms": terms, "idf": self._idf}

    def load_state(self, state: State) -> Self:
        """Restore vectors and terms; see :meth:`Memory.load_state`."""
        self._terms = array(state, "terms").astype(np.uint8).tobytes().decode().split("\n")
        self._idf = array(state, "idf").astype(np.float64)
        return self._keep(unpack(state, "vectors"))

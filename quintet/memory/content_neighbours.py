"""Content neighbours: items whose words are nearest to those of the history's items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from scipy.sparse import csr_array, vstack

from quintet.config import tunable
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions
from quintet.data.words import TERMS
from quintet.errors import DataError
from quintet.memory.base import Memory
from quintet.memory.item_to_item import ItemToItem
from quintet.memory.matrices import (
    BLOCK,
    Matrix,
    State,
    array,
    keep_top,
    pack,
    recency,
    rows_of,
    summed,
    unpack,
)

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer


#: share of the items up to which only those that changed are read anew
FEW = 0.25


class ContentNeighbours(ItemToItem):
    """Sum over the history of the TF-IDF cosine to each of its items' nearest neighbours.

    Words and pairs of neighbouring words, so that a brand or a line of products counts. Only the
    ``k`` nearest of each item of the history are kept: unlike the mean of a history's vectors
    (memory ``content``), one close relative is not drowned by the rest. Needs no events: an item
    ranks as soon as its text is known (:meth:`add_items`). Terms and their document frequencies
    come from all items given to :meth:`fit` (transductive in the text, never in the events).
    """

    name = "content_neighbours"
    scores_cold_items: ClassVar[bool] = True
    reads_attributes: ClassVar[bool] = True

    class Config(Memory.Config):
        """Settings of :class:`ContentNeighbours`."""

        k: PositiveInt = tunable(
            300, low=20, high=1000, log=True, description="neighbours kept of each item"
        )
        half_life: PositiveFloat | None = tunable(
            2.0, low=0.5, high=100.0, log=True, description="steps back that halve a weight"
        )
        max_terms: PositiveInt = 100_000

    config: Config
    _vectors: Matrix  # [I, T], rows of length 1
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
                f"memory {self.name!r} needs one row of attributes for each of {events.n_items} "
                f"items (got {rows}): give the catalogue with the log, or leave it out"
            )
        vectorizer = self._vectorizer()
        try:
            vectors = vectorizer.fit_transform(items.joined_text())
        except ValueError as error:
            raise DataError(
                f"memory {self.name!r}: no words in the items' text and category columns "
                f"({error}): give a title or a category, or leave it out"
            ) from None
        self._terms, self._idf = list(vectorizer.get_feature_names_out()), vectorizer.idf_
        return self._read(csr_array(vectors))

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
                f"memory {self.name!r} holds {self.n_items} items but was handed {items.n_rows}: "
                "hand over all of them, old rows first"
            )
        vectorizer = self._vectorizer(vocabulary=self._terms)
        vectorizer.idf_ = self._idf
        vectors = csr_array(vectorizer.transform(items.joined_text()))
        vectors.sort_indices()
        changed = changed_rows(self._vectors, vectors)
        if len(changed) > FEW * items.n_rows:
            return self._read(vectors)
        self._vectors = vectors
        assert not isinstance(self._matrix, np.ndarray)
        return self._keep(renewed(self._matrix, vectors, changed, self.config.k))

    def _vectorizer(self, vocabulary: list[str] | None = None) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer

        options: dict[str, Any] = {
            "sublinear_tf": True,
            "token_pattern": TERMS,
            "ngram_range": (1, 2),
            "dtype": np.float32,
        }
        if vocabulary is not None:
            return TfidfVectorizer(vocabulary=vocabulary, **options)
        return TfidfVectorizer(max_features=self.config.max_terms, **options)

    def _read(self, vectors: Matrix) -> Self:
        vectors.sort_indices()
        self._vectors = vectors
        return self._keep(nearest(vectors, self.config.k))

    def _weights(self, histories: Interactions) -> Floats:
        return recency(histories, self.config.half_life, distinct=True)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Neighbours, vectors, terms (UTF-8, one a line), weights; see :meth:`Memory.state`."""
        neighbours = super().state()
        terms = np.frombuffer("\n".join(self._terms).encode(), np.uint8)
        vectors = pack(self._vectors, "vectors")
        return {**neighbours, **vectors, "terms": terms, "idf": self._idf}

    def load_state(self, state: State) -> Self:
        """Restore; see :meth:`Memory.load_state`."""
        self._terms = array(state, "terms").astype(np.uint8).tobytes().decode().split("\n")
        self._idf = array(state, "idf").astype(np.float64)
        self._vectors = unpack(state, "vectors")
        return super().load_state(state)


def changed_rows(old: Matrix, new: Matrix) -> NDArray[np.int64]:
    """Rows of ``new`` that are not those of ``old``, or stand below its end."""
    same = csr_array((old.data, old.indices, grown_pointers(old, new.shape[0])), shape=new.shape)
    differs = abs(new - same).max(axis=1).toarray().ravel() > 0
    differs[old.shape[0] :] = True
    return np.flatnonzero(differs)


def grown_pointers(matrix: Matrix, rows: int) -> NDArray[np.int64]:
    """Row pointers of the matrix with empty rows added below."""
    more = rows - matrix.shape[0]
    return np.concatenate([matrix.indptr, np.full(more, matrix.indptr[-1])]).astype(np.int64)


def renewed(near: Matrix, vector_IT: Matrix, changed: NDArray[np.int64], k: int) -> Matrix:
    """[I, I] neighbours with some items read anew: their own ``k``, and they in others' rows.

    Rows of other items keep what they had, so that they may hold more than ``k``: a new item that
    is among an old one's relatives must not wait until it is fitted again.
    """
    n_items = vector_IT.shape[0]
    stays = np.ones(n_items, np.bool_)
    stays[changed] = False
    row, column = rows_of(near), near.indices
    kept = stays[row] & stays[column]
    own = csr_array(vector_IT[changed] @ vector_IT.T.tocsr())
    own.data[changed[rows_of(own)] == own.indices] = 0
    mine = keep_top(own, k)
    place = rows_of(mine)
    back = stays[mine.indices]
    return summed(
        np.concatenate([row[kept], changed[place], mine.indices[back]]).astype(np.int64),
        np.concatenate([column[kept], mine.indices, changed[place[back]]]).astype(np.int64),
        np.concatenate([near.data[kept], mine.data, mine.data[back]]),
        (n_items, n_items),
    )


def nearest(vector_IT: Matrix, k: int) -> Matrix:
    """[I, I] cosines of each row's ``k`` nearest others; rows of ``vector_IT`` have length 1."""
    by_term = vector_IT.T.tocsr()
    n_items = vector_IT.shape[0]
    step = max(1, BLOCK // max(1, n_items))
    blocks = []
    for start in range(0, n_items, step):
        cosine = csr_array(vector_IT[start : start + step] @ by_term)
        cosine.data[rows_of(cosine) + start == cosine.indices] = 0
        blocks.append(keep_top(cosine, k))
    return csr_array(vstack(blocks, format="csr"))

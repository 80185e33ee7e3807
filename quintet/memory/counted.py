"""What all counted memories share: refusal before fit, and catalogues that grow after it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np

from quintet.data.interactions import Floats, Interactions
from quintet.errors import DataError, NotFittedError
from quintet.memory.base import Memory
from quintet.memory.entries import Entries


class Counted(Memory):
    """A memory fitted for ``n_items``; items added to the catalogue later score 0.

    Subclasses set ``_n_items`` in ``fit`` and ``load_state`` and give ``_score``, and ``_explain``
    where their score is a sum over the history's events.
    """

    _n_items: int | None = None

    @property
    def n_items(self) -> int:
        """Size of the catalogue at fit time; raises NotFittedError before."""
        return self.require_fitted()

    def require_fitted(self) -> int:
        """The size of the fitted catalogue.

        Raises:
            NotFittedError: neither ``fit`` nor ``load_state`` was called.
        """
        if self._n_items is None:
            raise NotFittedError(f"memory {self.name!r}: call fit() or load_state() first")
        return self._n_items

    def score(self, histories: Interactions) -> Floats:
        """[B, I] evidence; see :meth:`Memory.score`.

        Raises:
            NotFittedError: neither ``fit`` nor ``load_state`` was called.
            DataError: the histories' catalogue is smaller than the fitted one.
        """
        fitted = self.n_items
        self._check(histories)
        if histories.n_items == fitted:
            return self._score(histories)
        scores = np.zeros((histories.n_users, histories.n_items), np.float32)
        scores[:, :fitted] = self._score(self._known(histories))
        return scores

    def sparse_score(self, histories: Interactions) -> Entries | None:
        """[B, I] scores where most are 0; see :meth:`Memory.sparse_score`."""
        fitted = self.n_items
        self._check(histories)
        grown = histories.n_items != fitted
        scores = self._sparse_score(self._known(histories) if grown else histories)
        if scores is None or not grown:
            return scores
        return replace(scores, n_items=histories.n_items)

    def explain(self, history: Interactions, item: int) -> Floats | None:
        """[N] how much each event of one history added; see :meth:`Memory.explain`."""
        fitted = self.n_items
        self._check(history)
        parts = np.zeros(len(history), np.float32)
        if item >= fitted:
            return parts
        known_parts = self._explain(self._known(history), item)
        if known_parts is None:
            return None
        parts[history.item < fitted] = known_parts
        return parts

    @abstractmethod
    def _score(self, histories: Interactions) -> Floats:
        """[B, n_items] scores of histories over the fitted catalogue."""

    def _sparse_score(self, histories: Interactions) -> Entries | None:
        """[B, n_items] the same without its zeros, where most scores are 0."""
        del histories
        return None

    def _explain(self, history: Interactions, item: int) -> Floats | None:
        """[N] parts of the score of an item of the fitted catalogue; None: not a sum."""
        del history, item
        return None

    def _check(self, histories: Interactions) -> None:
        if histories.n_items < self.n_items:
            raise DataError(
                f"memory {self.name!r} was fitted on {self.n_items} items but these histories know "
                f"{histories.n_items}: encode them with the catalogue of the fit (it may only grow)"
            )

    def _known(self, histories: Interactions) -> Interactions:
        known = histories.select(histories.item < self.n_items)
        return replace(known, n_items=self.n_items)

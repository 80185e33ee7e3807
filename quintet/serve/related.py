"""Related tasks: anonymous sessions, what is bought together, and the next basket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quintet.errors import ConfigError
from quintet.serve.baskets import Baskets, chosen, filling

if TYPE_CHECKING:
    from quintet.serve.recommender import Id, Recommendation, Recommender


class Related:
    """Lists of one recommender that are not about a person with an id alone."""

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender
        self._baskets: dict[tuple[str | None, float], Baskets] = {}

    def session(
        self, items: Sequence[Id], k: int = 10, *, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """The best ``k`` items for somebody without an id, from what the session met so far.

        Args:
            items: met in the session, oldest first; none at all gets what is popular.
            k: how many items.
            exclude_seen: leave out ``items``; absent: as :meth:`Recommender.recommend`.

        Raises:
            ConfigError: ``k`` is not positive.
            UnknownIdError: an item is not in the catalogue.
        """
        from quintet.serve.recommender import PERSONAL, POPULAR, Recommendation

        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}")
        recommender = self.recommender
        masked = recommender.masks(exclude_seen)
        ranked = recommender.rank(recommender.history_of(items), k, mask_history=masked)
        found = ranked.items_BK[0] >= 0
        ids = recommender.trained.items.ids(ranked.items_BK[0][found])
        scores = ranked.scores_BK[0][found].tolist()
        basis = PERSONAL if len(items) else POPULAR
        return [
            Recommendation(None, item, score, rank, basis)
            for rank, (item, score) in enumerate(zip(ids, scores, strict=True), 1)
        ]

    def baskets(self, behaviour: str | None = None, hours: float = 24.0) -> Baskets:
        """What people did in one go: events of one behaviour without a longer pause.

        Args:
            behaviour: that fills a basket; purchases where the data set has them, else any event.
            hours: the pause that ends a basket; without times a history is one basket.

        Raises:
            ConfigError: there is no such behaviour, or ``hours`` is not positive.
        """
        asked = (behaviour, hours)
        if asked not in self._baskets:
            own = filling(list(self.recommender.trained.model.shape.behaviours), behaviour)
            self._baskets[asked] = Baskets.of(chosen(self.recommender.trained.events, own), hours)
        return self._baskets[asked]

    def bought_together(
        self, item: Id, k: int = 10, *, behaviour: str | None = None, hours: float = 24.0
    ) -> list[dict[str, Any]]:
        """What is bought together with one item.

        Args:
            item: an id of the catalogue.
            k: at most so many items.
            behaviour: see :meth:`baskets`.
            hours: see :meth:`baskets`.

        Returns:
            By rank: ``item_id``, ``rank``, ``baskets`` with both, their ``share`` of the item's
            baskets, and ``lift``, how many times as often as by chance. Fewer than ``k`` where
            fewer items ever shared a basket with it.

        Raises:
            ConfigError: there is no such behaviour, or ``hours`` is not positive.
            UnknownIdError: the item is not in the catalogue.
        """
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}")
        row = int(self.recommender.item_rows([item])[0])
        found = self.baskets(behaviour, hours).together(row)
        ids = self.recommender.trained.items.ids(found.item[:k])
        return [
            {
                "item_id": other,
                "rank": place + 1,
                "baskets": int(found.count[place]),
                "share": round(float(found.share[place]), 4),
                "lift": round(float(found.lift[place]), 2),
            }
            for place, other in enumerate(ids)
        ]

    def next_basket(
        self,
        user: Id,
        k: int | None = None,
        *,
        behaviour: str | None = None,
        hours: float = 24.0,
    ) -> list[dict[str, Any]]:
        """What a user's next basket holds: things bought before and new ones in one order.

        Only items that have ever been in a basket are candidates.

        Args:
            user: an id; an unknown one gets what is popular.
            k: places; as many as the user's baskets usually hold when absent.
            behaviour: see :meth:`baskets`.
            hours: see :meth:`baskets`.

        Returns:
            By rank: ``item_id``, ``rank``, ``score`` and ``times`` the user had it in a basket.

        Raises:
            ConfigError: ``k`` or ``hours`` is not positive, or there is no such behaviour.
        """
        if k is not None and k < 1:
            raise ConfigError(f"k must be at least 1, not {k}")
        baskets = self.baskets(behaviour, hours)
        owner = int(self.recommender.trained.users.rows([user])[0])
        size = baskets.size(owner) if k is None else k
        times_I = baskets.times(owner)
        sold = self.recommender.trained.items.ids(np.flatnonzero(baskets.count_I))
        answers = self.recommender.recommend([user], size, exclude_seen=False, candidates=sold)
        rows = self.recommender.item_rows([one.item_id for one in answers])
        return [
            {
                "item_id": one.item_id,
                "rank": one.rank,
                "score": one.score,
                "times": int(times_I[row]),
            }
            for one, row in zip(answers, rows, strict=True)
        ]

"""The Recommender: ids in, ids out. The same object serves people and makes the published numbers.

``rank()`` is pure order; ``recommend()`` answers a person, falls back by name where little is
known, and gives its reasons when asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from quintet.data.interactions import Floats, Interactions, Ints, Mask
from quintet.data.states import Moments
from quintet.data.strategies import STRATEGIES
from quintet.errors import ConfigError, DataError, UnknownIdError
from quintet.serve.alike import nearest
from quintet.serve.asking import asking, expected_value, offered
from quintet.serve.explain import Reason, explain
from quintet.serve.search import QUERY_WEIGHT, matched
from quintet.serve.slate import mixed_slate
from quintet.serve.top import Ranked
from quintet.serve.trained import Trained

if TYPE_CHECKING:
    from quintet.serve.related import Related
    from quintet.serve.slate.answer import SlateAnswer, Slates
    from quintet.serve.slate.rules import RuleSet
    from quintet.serve.slate.settings import SlateConfig

Id = Any

#: how an answer was made, from the most to the least that is known of the person
PERSONAL, ATTRIBUTES, POPULAR = "personal", "attributes", "popular"


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        user_id: as the caller gave it.
        item_id: the catalogue's own id.
        score: the fused score; comparable within one user only.
        rank: from 1.
        basis: "personal", "attributes" (no history, but known attributes) or "popular".
        strategy: what the item serves, in a slate; empty in a plain ranking.
        reasons: why, if asked for.
    """

    user_id: Id
    item_id: Id
    score: float
    rank: int
    basis: str
    strategy: str = ""
    reasons: list[Reason] = field(default_factory=list)


class Recommender:
    """Answers of a trained model, by id."""

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self.scorer = trained.scorer

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Recommender:
        """The recommender of a bundle.

        Raises:
            BundleError: there is none, it is damaged, or of a version that is not read.
        """
        return cls(Trained.load(folder, device))

    # ------------------------------------------------------------------ histories

    def histories(self, users: Sequence[Id]) -> Interactions:
        """What is known of the given users; an unknown one has an empty history."""
        rows = self.trained.users.rows(users)
        empty = self.trained.events.n_users
        return _with_empty_row(self.trained.events).users(np.where(rows < 0, empty, rows))

    def history_of(self, items: Sequence[Id]) -> Interactions:
        """The history of a person without an id, from the items met, oldest first.

        Raises:
            UnknownIdError: an item is not in the catalogue.
        """
        rows = self.item_rows(items)
        batch = Interactions.build(
            np.zeros(len(rows), np.int64), rows, n_users=1, n_items=len(self.trained.items)
        )
        nobody = np.full(1, -1, np.int64)
        return replace(batch, user=nobody.repeat(len(rows)), owner=nobody)

    def item_rows(self, items: Sequence[Id]) -> Ints:
        """Rows of item ids.

        Raises:
            UnknownIdError: one is not in the catalogue; names it.
        """
        rows = self.trained.items.rows(items)
        if (rows < 0).any():
            unknown = items[int(np.flatnonzero(rows < 0)[0])]
            raise UnknownIdError(
                f"item {unknown!r} is not in the catalogue of {len(self.trained.items):,} items"
            )
        return rows

    # ------------------------------------------------------------------ ranking

    def rank(self, histories: Interactions, k: int, *, mask_history: bool = True) -> Ranked:
        """Pure order: the ``k`` best item rows of every history."""
        return self.scorer.rank(histories, k, mask_history=mask_history)

    def recommend(
        self,
        users: Sequence[Id],
        k: int = 10,
        *,
        scenario: str | None = None,
        query: str | None = None,
        context: Mapping[str, Any] | None = None,
        exclude_seen: bool | None = None,
        candidates: Sequence[Id] | None = None,
        slate: bool = False,
        reasons: bool = False,
    ) -> list[Recommendation]:
        """The best ``k`` items for each user.

        Args:
            users: ids; unknown ones get what is popular, and the answer says so.
            k: how many items a user.
            scenario: where the list will stand: only what is on offer there, as it is liked there.
            query: words searched for; in a catalogue with texts, of items that share one with it.
            context: ``time``, ``device``, ``page_item``; see :func:`quintet.serve.asking.asking`.
            exclude_seen: leave out what the user met before; absent: where people of the training
                log hardly ever returned to an item.
            candidates: only these items.
            slate: mix the list by the predicted strategy instead of pure order.
            reasons: say why, for every item.

        Raises:
            ConfigError: ``k`` is not positive, or the scenario or a part of the context is unknown.
            UnknownIdError: a candidate or the page's item is not in the catalogue.
        """
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}")
        match_I = matched(self.trained, query)
        allowed_I = self._allowed(scenario, candidates, match_I)
        histories = asking(self.trained, self.histories(users), scenario, query, context)
        depth = max(10 * k, 50) if slate else k
        ranked = self.scorer.rank(
            histories,
            depth,
            mask_history=self.masks(exclude_seen),
            allowed_I=allowed_I,
            shift_I=None if match_I is None else QUERY_WEIGHT * match_I,
        )
        basis = self._basis(users, histories)
        answers: list[Recommendation] = []
        for row, user in enumerate(users):
            one = histories.users([row])
            items, scores, labels = self._choose(one, ranked, row, k, slate)
            ids = self.trained.items.ids(items)
            for rank, (item, item_id, score, label) in enumerate(
                zip(items, ids, scores, labels, strict=True), 1
            ):
                why = explain(self.trained, one, int(item)) if reasons else []
                answers.append(
                    Recommendation(user, item_id, float(score), rank, basis[row], label, why)
                )
        return answers

    def with_items(self, items: Mapping[Id, Mapping[str, Any]]) -> Recommender:
        """The same model with items added or changed, nothing refitted; see :func:`grown`.

        Args:
            items: attributes by item id; columns that are not named are missing in that item.

        Raises:
            DataError: an attribute is no column of the catalogue, or does not fit it.
        """
        from quintet.serve.grown import grown, prepared

        columns = self.trained.item_table.column_names
        for item, attributes in items.items():
            unknown = sorted(set(attributes) - set(columns))
            if unknown:
                raise DataError(
                    f"item {item!r}: no column {unknown[0]!r}; columns: {', '.join(columns)}"
                )
        return Recommender(grown(self.trained, prepared(self.trained), items)[0])

    @cached_property
    def related(self) -> Related:
        """Lists for anonymous sessions, of things bought together, and for the next basket."""
        from quintet.serve.related import Related

        return Related(self)

    @cached_property
    def slates(self) -> Slates:
        """What composes slates, with the catalogue's facts that rules ask for."""
        from quintet.serve.slate.answer import Slates

        return Slates(self.trained)

    def slate(
        self,
        users: Sequence[Id],
        k: int = 10,
        *,
        rules: RuleSet | None = None,
        config: SlateConfig | None = None,
        scenario: str | None = None,
        query: str | None = None,
        context: Mapping[str, Any] | None = None,
        exclude_seen: bool | None = None,
        account: bool = False,
        seed: int | None = None,
        now: int | None = None,
    ) -> list[SlateAnswer]:
        """A slate for each user: candidates, diversity, policy, hard rules and the draw.

        Args:
            users: ids; unknown ones are welcome.
            k: places.
            rules: of the product owner; those of the scenario are kept, or the request is refused.
            config: how slates are put together.
            scenario: where the slate will stand: what is on offer there, and its rules.
            query: the words searched for.
            context: as for :meth:`recommend`.
            exclude_seen: leave out what the user met, where no ``seen`` rule says for how long;
                absent: as in :meth:`recommend`.
            account: say which rule moved which item.
            seed: of the draws; fresh ones when absent.
            now: moment of the request in microseconds since 1970; the log's newest event if absent.

        Raises:
            ConfigError: ``k`` is not positive, the scenario is unknown, or a rule or setting names
                what does not exist.
            RuleConflictError: no slate keeps all the rules; names those that clash.
        """
        from quintet.serve.slate.answer import slates_for
        from quintet.serve.slate.rules import RuleSet
        from quintet.serve.slate.settings import SlateConfig

        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}")
        match_I = matched(self.trained, query)
        return slates_for(
            self.slates.at(now),
            users,
            asking(self.trained, self.histories(users), scenario, query, context),
            k,
            (rules if rules is not None else RuleSet()).at(scenario, context),
            config if config is not None else SlateConfig(),
            allowed_I=self._allowed(scenario, match_I=match_I),
            exclude_seen=self.masks(exclude_seen),
            shift_I=None if match_I is None else QUERY_WEIGHT * match_I,
            account=account,
            seed=seed,
        )

    def masks(self, exclude_seen: bool | None) -> bool:
        """Whether items of the history are left out: as asked, else as the training log tells."""
        if exclude_seen is not None:
            return exclude_seen
        return bool(self.trained.run.get("mask_history", True))

    def _choose(
        self, one: Interactions, ranked: Ranked, row: int, k: int, slate: bool
    ) -> tuple[Ints, Floats, list[str]]:
        found = ranked.items_BK[row] >= 0
        items, scores = ranked.items_BK[row][found], ranked.scores_BK[row][found]
        if not slate or "strategy" not in self.trained.model.tasks:
            return items[:k], scores[:k], [""] * len(items[:k])
        chosen, labels = mixed_slate(self.trained, one, items, scores, k)
        return items[chosen], scores[chosen], labels

    def _basis(self, users: Sequence[Id], histories: Interactions) -> list[str]:
        known = self.trained.users.rows(users) >= 0
        attributed = known & (self.trained.model.user_encoder is not None)
        return [
            PERSONAL if length else (ATTRIBUTES if has else POPULAR)
            for length, has in zip(histories.lengths, attributed, strict=True)
        ]

    def _allowed(
        self, scenario: str | None, candidates: Sequence[Id] | None = None, match_I: Any = None
    ) -> Mask | None:
        masks = [] if scenario is None else [offered(self.trained, scenario)]
        if candidates is not None:
            masks.append(np.zeros(len(self.trained.items), np.bool_))
            masks[-1][self.item_rows(candidates)] = True
        if match_I is not None:
            masks.append(match_I > 0)
        return np.logical_and.reduce(masks) if masks else None

    # ------------------------------------------------------------------ the other parts

    def predict(
        self,
        pairs: Sequence[tuple[Id, Id]],
        *,
        scenario: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> pa.Table:
        """Calibrated answers for (user, item) pairs, given that the item is met next.

        Args:
            pairs: user and item ids.
            scenario: where it is met; answers are calibrated for it.
            context: as for :meth:`recommend`.

        Returns:
            Columns ``user_id, item_id``, ``value`` (expected rating, if there are ratings),
            ``p_value_<level>`` for each level, ``p_<behaviour>`` for each behaviour, and
            ``expected_value`` where the data set's TOML says what a behaviour is worth: the sum of
            chance times worth.

        Raises:
            ConfigError: the scenario or a part of the context is unknown.
            UnknownIdError: an item is not in the catalogue.
        """
        users, items = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        histories = asking(self.trained, self.histories(users), scenario, None, context)
        rows = self.item_rows(items)
        answer = self.scorer.predict(Moments.newest(histories), rows)
        shape = self.trained.model.shape
        columns: dict[str, Any] = {"user_id": users, "item_id": items}
        if shape.n_levels:
            columns["value"] = answer.value_N
            for index, level in enumerate(shape.level_values):
                columns[f"p_value_{level:g}"] = answer.level_NK[:, index]
        for index, behaviour in enumerate(shape.behaviours):
            columns[f"p_{behaviour}"] = answer.behaviour_NB[:, index]
        if shape.worth:
            columns["expected_value"] = expected_value(self.trained, rows, answer.behaviour_NB)
        return pa.table(columns)

    def profile(self, user: Id) -> dict[str, Any]:
        """What the model makes of a user: interests, next strategy, habits.

        Raises:
            UnknownIdError: the user has neither events nor attributes.
        """
        if user not in self.trained.users:
            raise UnknownIdError(f"user {user!r} is not known; known are {len(self.trained.users)}")
        one = self.histories([user])
        now = Moments.newest(one)
        shape, tasks = self.trained.model.shape, self.trained.model.tasks
        profile: dict[str, Any] = {"user_id": user, "events": len(one)}
        if "profile" in tasks and shape.interest is not None:
            profile["interests"] = _weights(shape.interest_names, self.scorer.interests(now)[0])
        if "strategy" in tasks:
            profile["strategy"] = _weights(STRATEGIES, self.scorer.strategy(now)[0])
        value = one.value[~np.isnan(one.value)]
        if len(value):
            profile["mean_value"] = round(float(value.mean()), 3)
        counts = np.bincount(one.behaviour, minlength=len(shape.behaviours))
        profile["behaviours"] = dict(zip(shape.behaviours, counts.tolist(), strict=True))
        return profile

    def similar(self, item: Id, k: int = 10) -> list[dict[str, Any]]:
        """The items nearest to one: cosine of the joint vectors of identity and content.

        Each has ``item_id, similarity, rank`` and ``shared``: by column of the catalogue, the
        categories, rare words and near numbers that both have.

        Raises:
            UnknownIdError: the item is not in the catalogue.
        """
        return nearest(self.trained, int(self.item_rows([item])[0]), k)

    def describe(self, items: Sequence[Id]) -> list[Mapping[str, Any]]:
        """The catalogue's own columns of the given items."""
        table, rows = self.trained.item_table, self.item_rows(items).tolist()
        return [
            {"item_id": item, **table.slice(row, 1).to_pylist()[0]}
            for item, row in zip(items, rows, strict=True)
        ]


def _with_empty_row(events: Interactions) -> Interactions:
    """The same histories and one more, empty: what an unknown user has."""
    offsets = np.append(events.offsets, events.offsets[-1])
    return replace(events, offsets=offsets, owner=np.append(events.owners(), -1))


def _weights(names: Sequence[str], share: Floats) -> list[dict[str, Any]]:
    order = np.argsort(-share, kind="stable")
    return [{"name": names[index], "weight": round(float(share[index]), 4)} for index in order]

"""The model that answers now: a bundle, the items added since, and how both are swapped.

A :class:`Live` is never changed once it answers; a new item or a new bundle makes a new one, and
one assignment puts it in place. Whoever is in the middle of an answer ends it with the one that it
began with.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from quintet.bundle import MANIFEST
from quintet.data.interactions import Mask
from quintet.errors import (
    BundleError,
    ConfigError,
    CorruptBundleError,
    DataError,
    MissingExtraError,
    QuintetError,
)
from quintet.serve.grown import Prepared, grown, prepared
from quintet.serve.index import Retriever
from quintet.serve.recommender import Recommender
from quintet.serve.trained import Trained
from quintet.store import ItemUpsert, checks
from quintet.web.people import person
from quintet.web.ranking import Ranker, Wish
from quintet.web.readable import all_readable

Id = str | int
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LEAST_SHARED = 0.5
PROBED_USERS = 16
SAMPLED_USERS = 200


@dataclass(frozen=True, eq=False)
class Live:
    """A model ready to answer.

    Attributes:
        version: the first digits of the sha256 of the bundle's manifest.
        folder: of the bundle.
        base: as the bundle holds it.
        prepared: features of its catalogue.
        recommender: over the catalogue as it stands now.
        offered_I: [I] items that may be recommended; retired ones may not.
        base_offset: last journal offset that the bundle was trained on.
        upserts: attributes of items added or changed since, by id.
        retired: ids that may not be recommended.
        masks: made for filters, kept while the catalogue stands.
        retriever: finds the best of a large catalogue; None where all items are scored.
    """

    version: str
    folder: Path
    base: Trained
    prepared: Prepared
    recommender: Recommender
    offered_I: Mask
    base_offset: int
    upserts: Mapping[Id, Mapping[str, Any]] = field(default_factory=dict)
    retired: frozenset[Id] = frozenset()
    masks: dict[Any, Any] = field(default_factory=dict)
    retriever: Retriever | None = None

    @property
    def trained(self) -> Trained:
        """The model over the catalogue as it stands now."""
        return self.recommender.trained

    @functools.cached_property
    def ranker(self) -> Ranker:
        """What makes its lists."""
        return Ranker(self.trained, self.retriever)

    def with_items(self, changes: Iterable[ItemUpsert]) -> Live:
        """The same model after items were added, changed or retired.

        Raises:
            DataError: an attribute does not fit its column.
        """
        upserts, retired = dict(self.upserts), set(self.retired)
        for change in changes:
            item = change.item_id
            if change.retired:
                retired.add(item)
            else:
                retired.discard(item)
                upserts[item] = change.attributes
        same = upserts == self.upserts
        trained = (
            self.trained if same else grown(self.base, self.prepared, upserts, self.trained)[0]
        )
        return Live(
            self.version,
            self.folder,
            self.base,
            self.prepared,
            self.recommender if same else Recommender(trained),
            _offered(trained, retired),
            self.base_offset,
            upserts,
            frozenset(retired),
            retriever=self.retriever if same else self._regrown(trained, upserts),
        )

    def with_counts(self, trained: Trained) -> Live:
        """The same model over other counts, ready to answer."""
        made = replace(self, recommender=Recommender(trained))
        _ = made.ranker  # made here, not in the first answer
        return made

    def _regrown(self, trained: Trained, changed: Iterable[Id]) -> Retriever | None:
        if self.retriever is None:
            return None
        return self.retriever.grown(trained.scorer, trained.items.rows(list(changed)))


def _offered(trained: Trained, retired: Iterable[Id]) -> Mask:
    offered_I = np.ones(len(trained.items), np.bool_)
    rows = trained.items.rows(list(retired))
    offered_I[rows[rows >= 0]] = False
    return offered_I


def load_live(folder: Path) -> Live:
    """Load and probe a bundle.

    Raises:
        BundleError: there is none, it is damaged, or its answers are not numbers.
    """
    manifest = folder / MANIFEST
    version = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12] if manifest.is_file() else ""
    trained = Trained.load(folder)
    _check_finite(trained, folder)
    _check_ids(trained, folder)
    live = Live(
        version,
        folder,
        trained,
        prepared(trained),
        Recommender(trained),
        _offered(trained, ()),
        int(trained.run.get("journal_offset", 0)),
        retriever=_retriever(trained),
    )
    _probe(live)
    return live


def _retriever(trained: Trained) -> Retriever | None:
    """An index, where the catalogue is large and the extra ``ann`` is installed."""
    known = np.flatnonzero(trained.events.lengths > 0)[:SAMPLED_USERS]
    sample = trained.events.users(known)
    if not Retriever.usable(trained.scorer, sample):
        return None
    with contextlib.suppress(MissingExtraError):
        return Retriever.build(trained.scorer, sample)
    return None


def _check_ids(trained: Trained, folder: Path) -> None:
    """The journal holds every list that is shown: it must be able to hold the ids."""
    if trained.items.is_integer:
        return
    for item in trained.items.values.to_pylist():
        try:
            checks.identifier(item, "item_id")
        except DataError as error:
            shown = f"{item[:40]!r}"
            raise BundleError(f"{folder}: cannot be served: item {shown}: {error}") from None


def _check_finite(trained: Trained, folder: Path) -> None:
    for name, memory in trained.memories.items():
        for key, values in memory.state().items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise CorruptBundleError(f"{folder}: memory {name}: {key} is not finite")
    if len(trained.count_I) != len(trained.items) or not np.isfinite(trained.count_I).all():
        raise CorruptBundleError(f"{folder}: the counts do not fit the catalogue")


def _probe(live: Live) -> None:
    """Ask for some known and an unknown person: what comes back must be numbers."""
    trained = live.trained
    try:
        rows = np.arange(min(PROBED_USERS, len(trained.users)))
        histories = trained.events.users(rows)
        scores = trained.scorer.scores(histories) if len(rows) else np.zeros((0, 0))
        nobody = live.recommender.histories([None])
        unknown = trained.scorer.scores(nobody)
        # the way of an answer, so that what has to be compiled is so before the first one
        wish = Wish(1, exclude_seen=True, allowed_I=live.offered_I)
        found = live.ranker.rank([person(trained, len(trained.users) - 1, ())], [wish])
        live.ranker.parts(found, found.items_BC)
    except QuintetError:
        raise
    except Exception as error:
        raise CorruptBundleError(
            f"{live.folder}: its parts do not fit together ({type(error).__name__})"
        ) from error
    if not (np.isfinite(scores).all() and np.isfinite(unknown).all()):
        raise CorruptBundleError(f"{live.folder}: its scores are not finite")


class Holder:
    """Holds the live model, the one before, and bundles of experiments beside them.

    Args:
        folder: of the first bundle; others are looked for beside it.

    Raises:
        BundleError: it cannot be served.
    """

    def __init__(self, folder: Path) -> None:
        self.shelf = folder.absolute().parent
        self._lock = threading.Lock()
        self._live = load_live(folder.absolute())
        self._previous: Live | None = None
        self._beside: dict[str, Live] = {}

    @property
    def live(self) -> Live:
        """What answers now."""
        return self._live

    @property
    def previous(self) -> Live | None:
        """What answered before; kept whole, so that a rollback takes no time."""
        return self._previous

    def beside(self, name: str | None) -> Live | None:
        """The model of an experiment's arm, if it is loaded."""
        return self._beside.get(name) if name is not None else None

    def all_live(self) -> list[Live]:
        """Every model that may answer."""
        return [self._live, *self._beside.values()]

    def find(self, name: str) -> Path:
        """The bundle of this name on the shelf.

        Raises:
            ConfigError: it is no name, or leads elsewhere.
            BundleError: there is none.
        """
        if not NAME.fullmatch(name) or ".." in name:
            raise ConfigError("a bundle is named by letters, digits, '.', '_' and '-'")
        folder = self.shelf / name
        if folder.is_symlink() or folder.resolve().parent != self.shelf.resolve():
            raise ConfigError("a bundle must lie in the folder of the first one")
        if not folder.is_dir():
            raise BundleError("there is no bundle of this name")
        return folder

    def candidate(self, folder: Path) -> Live:
        """Load a bundle that might follow the live one, with the same items added.

        Raises:
            BundleError: it is damaged, or its catalogue is another one.
        """
        made = load_live(folder)
        live = self._live
        mine = set(live.base.items.values.to_pylist())
        shared = len(mine & set(made.base.items.values.to_pylist()))
        if shared < LEAST_SHARED * len(mine):
            raise BundleError(
                f"it knows {shared:,} of the {len(mine):,} items served now: another catalogue"
            )
        return carried(live, made)

    def swap(self, made: Live) -> Live:
        """Put a model in place; gives the one before."""
        with self._lock:
            former, self._live = self._live, made
            self._previous = former
            return former

    def replace_items(self, changes: list[ItemUpsert]) -> None:
        """Add, change and retire items in every model that may answer, as far as each reads them.

        All are made before one of them answers: models may differ in columns and types.
        """
        with self._lock:
            live = _changed(self._live, changes)
            beside = {name: _changed(one, changes) for name, one in self._beside.items()}
            previous = None if self._previous is None else _changed(self._previous, changes)
            self._live, self._beside, self._previous = live, beside, previous

    def replace_counts(self, of: Live, made: Live) -> bool:
        """Put the same model with other counts in place, unless another stands there by now."""
        with self._lock:
            if self._live is not of:
                return False
            self._live = made
            return True

    def keep_beside(self, names: Iterable[str]) -> None:
        """Load the bundles of experiments and drop those that none needs."""
        wanted = {name: self._beside.get(name) for name in names}
        loaded = {name: one or self.candidate(self.find(name)) for name, one in wanted.items()}
        with self._lock:
            self._beside = loaded


def carried(live: Live, made: Live) -> Live:
    """A new model with the items that were added to, changed in or retired from the live one."""
    changes = [
        ItemUpsert(upsert_id="carried", item_id=item, timestamp=0, attributes=attributes)
        for item, attributes in live.upserts.items()
    ]
    changes += [
        ItemUpsert(upsert_id="carried", item_id=item, timestamp=0, retired=True)
        for item in live.retired
    ]
    return _changed(made, changes)


def _changed(live: Live, changes: Sequence[ItemUpsert]) -> Live:
    own = all_readable(live, changes)
    return live.with_items(own) if own else live

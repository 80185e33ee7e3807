"""A trained model against the held-out events: everything that ``results.json`` tells of it.

Figures come through the serving scorer; popularity is measured beside it by the same code, because
a figure without a baseline says little.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from quintet.data.encode import Encoded
from quintet.data.features import FeatureTable
from quintet.data.interactions import Interactions, Ints, Mask
from quintet.data.split import Part, Split
from quintet.data.vocab import Vocabulary
from quintet.errors import DataError, EmptyDataError
from quintet.files import write_text_atomic
from quintet.memory.base import Memory
from quintet.memory.popularity import Popularity
from quintet.metrics import paired_bootstrap
from quintet.serve.recommender import Recommender
from quintet.serve.trained import Trained
from quintet.train.baselines import (
    BaselineConfig,
    TunedBaseline,
    TunedBaselines,
    rank_lists,
    tune_baselines,
)
from quintet.train.evaluate import RankingResult, evaluate_lists, sliced
from quintet.train.measure_tasks import measure_tasks

MODEL, REPEATS, BASELINE = "quintet", "quintet, history allowed", "popularity"
DECISIVE = "ndcg@10"
LISTED = 20
PACKAGES = ("quintet", "torch", "numpy", "scipy", "scikit-learn", "pyarrow", "duckdb")


@dataclass(frozen=True)
class Measured:
    """Ranking results by model, and the figures as ``results.json`` holds them."""

    rankings: dict[str, RankingResult]
    results: dict[str, Any]


def check_same_data(trained: Trained, encoded: Encoded) -> None:
    """Rows mean the same here and in the bundle, and the log is the one that was split.

    Raises:
        DataError: the catalogue, the users or the events are not those of the bundle; names where.
    """
    for what, mine, theirs in (
        ("items", trained.items, encoded.items),
        ("users", trained.users, encoded.users),
    ):
        if not mine.values.equals(theirs.values):
            raise DataError(_difference(what, mine, theirs))
    known, given = trained.events, encoded.events
    same = np.array_equal(known.offsets, given.offsets) and np.array_equal(known.item, given.item)
    if not same:
        raise DataError(
            f"the bundle knows {len(known):,} events and the data has {len(given):,}, or in "
            "another order: measured on other events, a test target may have been learned from; "
            "give the data that the bundle was trained on"
        )


def _difference(what: str, mine: Vocabulary, theirs: Vocabulary) -> str:
    known, given = mine.values.to_pylist(), theirs.values.to_pylist()
    row = next(
        (r for r, (a, b) in enumerate(zip(known, given, strict=False)) if a != b),
        min(len(known), len(given)),
    )
    one, other = (ids[row] if row < len(ids) else None for ids in (known, given))
    return (
        f"the bundle's {what} are not those of the data: {len(known):,} and {len(given):,}; first "
        f"difference in row {row}: {one!r} and {other!r}; give the data it was trained on"
    )


def measure(
    recommender: Recommender,
    split: Split,
    *,
    ks: Sequence[int] = (5, 10, 20),
    seed: int = 0,
    like_at: float | None = None,
    baselines: BaselineConfig | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Measured:
    """Rank the full catalogue for every test event, ask the other tasks there, take the figures.

    Where people come back to items that they know, a second row ranks with their history allowed.

    Args:
        recommender: what serves.
        split: of the log that the model was trained on.
        ks: lengths of the lists measured.
        seed: of the intervals and of the baselines' search.
        like_at: a rating from here on is a like; see :func:`quintet.train.measure_tasks.usual_like`
            for the default.
        baselines: which counted baselines are tuned on validation events and measured beside the
            model; without it popularity alone, as it is.
        on_stage: called with the name of each stage as it starts.

    Raises:
        EmptyDataError: no event was held out for the test, or none to tune baselines on.
        ConfigError: a baseline's name is no memory's.
    """
    say = on_stage or (lambda _: None)
    if not len(split.test):
        raise EmptyDataError("no event was held out for the test: users need 3 events or more")
    items = recommender.trained.item_features
    target_E = recommender.trained.model.shape.rules.targets(split.events)
    tuned = TunedBaselines()
    if baselines:
        tuned = _tuned(baselines, split, target_E, items, seed, say)
    memories: dict[str, Memory] = {BASELINE: Popularity(Popularity.Config())}
    memories |= {one.name: one.memory() for one in tuned.tuned}
    rankers: dict[str, Callable[[Interactions, int], Ints]] = {
        MODEL: lambda histories, k: recommender.rank(histories, k).items_BK,
    }
    if _repeats(split, target_E):
        rankers[REPEATS] = lambda histories, k: (
            recommender.rank(histories, k, mask_history=False).items_BK
        )
    rankers |= {name: _counted(memory, split, items) for name, memory in memories.items()}
    rankings: dict[str, RankingResult] = {}
    seconds = {f"tuning: {one.name}": round(one.seconds, 3) for one in tuned.tuned}
    for name, ranker in rankers.items():
        say(f"ranking: {name}")
        started = time.perf_counter()
        rankings[name] = evaluate_lists(_deep(ranker), split, ks=ks, items=items, target_E=target_E)
        seconds[f"ranking: {name}"] = round(time.perf_counter() - started, 3)
    say("asking the other tasks")
    started = time.perf_counter()
    others = measure_tasks(recommender.scorer, split, like_at)
    seconds["other tasks"] = round(time.perf_counter() - started, 3)
    results = {
        "models": {name: result.summary(seed) for name, result in rankings.items()},
        "tasks": others.tasks,
        "reliability": others.reliability,
        "paired": {name: _paired(rankings, name, seed) for name in memories},
        "seconds": seconds,
        **_told(tuned),
    }
    if DECISIVE in rankings[MODEL].per_user:
        results["slices"] = sliced(rankings, split)
    return Measured(rankings, results)


def _tuned(
    config: BaselineConfig,
    split: Split,
    target_E: Mask,
    items: FeatureTable,
    seed: int,
    say: Callable[[str], None],
) -> TunedBaselines:
    """The baselines at their best on the validation events, searched on training events alone."""

    def tell(name: str, outcome: TunedBaseline | str) -> None:
        if isinstance(outcome, TunedBaseline):
            say(f"tuned: {name}: validation {DECISIVE} {outcome.score:.4f}")
        else:
            say(f"skipped: {name}: {outcome}")

    targets = np.flatnonzero((split.part == Part.VALID) & target_E)
    histories = split.events.before(targets)
    wanted = split.events.item[targets]
    return tune_baselines(config, split.train, histories, wanted, items, seed, tell)


def _counted(
    memory: Memory, split: Split, items: FeatureTable
) -> Callable[[Interactions, int], Ints]:
    """Lists of a memory counted on training events; counted once, when the first are asked for."""
    fitted: list[Memory] = []

    def rank(histories: Interactions, k: int) -> Ints:
        if not fitted:
            fitted.append(memory.fit(split.train, items))
        return rank_lists(fitted[0], histories, k)

    return rank


def _told(tuned: TunedBaselines) -> dict[str, Any]:
    """What was searched and what could not run, where there was a search."""
    found: dict[str, Any] = {}
    if tuned.tuned:
        found["baselines"] = {
            one.name: {
                "values": one.values,
                f"validation {DECISIVE}": one.score,
                "trials": one.trials,
            }
            for one in tuned.tuned
        }
    if tuned.skipped:
        found["skipped"] = tuned.skipped
    return found


def _deep(ranker: Callable[[Interactions, int], Ints]) -> Callable[[Interactions, int], Ints]:
    """Lists long enough to be published, whatever the metrics read of them."""
    return lambda histories, k: ranker(histories, max(k, LISTED))


def _repeats(split: Split, target_E: Mask) -> bool:
    """Whether some test target was met before by its user."""
    targets = np.flatnonzero((split.part == Part.TEST) & target_E)
    histories = split.events.before(targets)
    return bool((histories.item == split.events.item[targets][histories.group()]).any())


def _paired(rankings: dict[str, RankingResult], baseline: str, seed: int) -> dict[str, Any]:
    ours, theirs = rankings[MODEL].per_user, rankings[baseline].per_user
    return {
        name: vars(paired_bootstrap(ours[name], theirs[name], seed))
        for name in ours
        if name.partition("@")[0] in ("ndcg", "hr", "hit_rate", "recall", "mrr")
    }


def environment() -> dict[str, Any]:
    """Versions and the greatest resident memory so far, as ``results.json`` tells them."""
    versions = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "peak_memory_mb": _peak_memory_mb()}


def _peak_memory_mb() -> float | None:
    try:
        import resource
    except ImportError:  # there is none on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def write_predictions(
    path: Path, encoded: Encoded, split: Split, result: RankingResult, k: int = LISTED
) -> Path:
    """One line a test target: user, tab, the ``k`` best items, best first, between spaces.

    White space and percent signs inside an id are written as in addresses (``%20``).
    """
    users = encoded.users.ids(split.events.group()[result.targets])
    names = np.array([_one_word(one) for one in encoded.items.values.to_pylist()], object)
    lines = [
        f"{_one_word(user)}\t{' '.join(names[row_K[row_K >= 0]])}\n"
        for user, row_K in zip(users, result.lists_NK[:, :k], strict=True)
    ]
    return write_text_atomic(path, "".join(lines))


def _one_word(one: Any) -> str:
    return re.sub(r"[\s%]", lambda found: quote(found.group()), str(one))

"""Jobs of the ranking table: quintet on one tie seed, and one baseline on all of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.demo import setting
from quintet.data.interactions import Floats, Interactions, Ints
from quintet.data.split import Split, global_time, leave_one_out
from quintet.memory.base import Memory
from quintet.train.baselines import rank_lists, tune_baseline
from quintet.train.evaluate import RankingResult, evaluate_lists, evaluate_ranking, slices
from quintet.train.pipeline import train, training_tables


@dataclass(frozen=True)
class Ranking:
    """What one model reached on one split.

    Attributes:
        per_user: by metric, [U] figures.
        beyond: figures of the lists as a whole.
        slices: [U] members by name.
        seconds: spent.
        facts: what else is worth keeping.
    """

    per_user: dict[str, Floats]
    beyond: dict[str, float]
    slices: dict[str, np.ndarray]
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, result: RankingResult, split: Split, started: float, **facts: Any) -> Ranking:
        """From an evaluation."""
        seconds = time.perf_counter() - started
        return cls(result.per_user, result.beyond, slices(split, result), seconds, facts)


def quintet_on(tie_seed: int, out: Path) -> Ranking:
    """Train on one order of ties and measure its test events; the first one's model is kept."""
    started = time.perf_counter()
    encoded = setting.encoded(tie_seed)
    split = leave_one_out(encoded.events)
    fitted = train(encoded, split, setting.config(tie_seed))
    trained = fitted.trained
    result = evaluate_ranking(trained.scorer, split, ks=setting.KS, items=trained.item_features)
    if tie_seed == setting.TIE_SEEDS[0]:
        trained.save(out / "bundle")
    write_predictions(out / f"predictions-seed{tie_seed}.tsv", encoded.users.ids, result)
    write_sequences(out / f"sequences-seed{tie_seed}.txt", encoded, split.events)
    return Ranking.of(result, split, started, curves=fitted.outcome.curves)


def baseline_on_all(name: str) -> tuple[dict[str, Any], dict[int, Ranking], Ranking]:
    """Tune on the first tie seed's validation, then measure every tie seed and the global split.

    Returns:
        Settings and validation score; results by tie seed; the result on the global-time split.
    """
    encoded = setting.encoded(setting.TIE_SEEDS[0])
    split = leave_one_out(encoded.events)
    items = training_tables(encoded, split)[0].items
    tuned = tune_baseline(
        name,
        split.train,
        split.valid_histories(),
        split.valid.item,
        items,
        trials=setting.TRIALS,
        seed=0,
    )
    by_seed = {}
    for tie_seed in setting.TIE_SEEDS:
        one = leave_one_out(setting.encoded(tie_seed).events)
        by_seed[tie_seed] = _measure(tuned.memory(), one, items)
    overall = _measure(tuned.memory(), global_time(encoded.events), items)
    chosen = {"values": tuned.values, "validation": tuned.score, "seconds": tuned.seconds}
    return chosen, by_seed, overall


def _measure(memory: Memory, split: Split, items: Any) -> Ranking:
    started = time.perf_counter()
    fitted = memory.fit(split.train, items)

    def lists(histories: Interactions, k: int) -> Ints:
        return rank_lists(fitted, histories, k)

    result = evaluate_lists(lists, split, ks=setting.KS, items=items)
    return Ranking.of(result, split, started)


def write_predictions(path: Path, ids: Any, result: RankingResult) -> None:
    """One user a line: ``user<TAB>item item ...``, best first, by ids of the catalogue's rows."""
    from quintet.files import write_text_atomic

    users = ids(result.user_of_target)
    lines = [
        f"{user}\t{' '.join(str(item) for item in items if item >= 0)}"
        for user, items in zip(users, result.lists_NK, strict=True)
    ]
    write_text_atomic(path, "\n".join(lines) + "\n")


def write_sequences(path: Path, encoded: Any, events: Interactions) -> None:
    """The same users' events in the order that was used: ``user item item ...``, by item row."""
    from quintet.files import write_text_atomic

    rows = [
        " ".join(map(str, events.item[events.offsets[u] : events.offsets[u + 1]]))
        for u in range(events.n_users)
    ]
    users = encoded.users.ids(np.arange(events.n_users))
    pairs = zip(users, rows, strict=True)
    write_text_atomic(path, "".join(f"{user} {row}\n" for user, row in pairs))

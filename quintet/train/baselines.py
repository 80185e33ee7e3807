"""Counted memories as baselines of their own, each tuned on equal terms.

Every baseline gets the same number of trials over the ranges that it declares. A trial fits it on
training events alone and measures NDCG@10 on the validation targets: the full catalogue is ranked,
the history masked, ties broken by a seeded hash of the item row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from quintet.config import Config
from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats, Interactions, Ints, seeded_hash
from quintet.errors import ConfigError, DataError, EmptyDataError, MissingExtraError
from quintet.memory.base import MEMORIES, Memory
from quintet.metrics import metrics_of_ranks, rank_of_target
from quintet.train.search import Tried, Values, search, space_of

#: scores held at once
BLOCK_CELLS = 1 << 24
#: what stops one baseline without stopping the others
CANNOT_RUN = (ConfigError, DataError, MissingExtraError)


class BaselineConfig(Config):
    """Which baselines are tuned, and how long."""

    trials: Annotated[int, Field(ge=1, description="values tried for each baseline")] = 20
    names: list[str] | None = Field(None, description="memories by name; None: all of them")
    mask: bool = Field(True, description="leave the items of the history out of the list")


@dataclass(frozen=True)
class TunedBaseline:
    """A baseline at the best of its trials.

    Attributes:
        name: of the memory.
        values: the settings that were searched, at their best.
        score: NDCG@10 on the validation targets.
        seconds: spent on all trials.
        trials: how many.
    """

    name: str
    values: Values
    score: float
    seconds: float
    trials: int

    def memory(self) -> Memory:
        """The memory with these settings, not fitted."""
        return build_memory(self.name, self.values)


@dataclass(frozen=True)
class TunedBaselines:
    """All baselines of one data set.

    Attributes:
        tuned: those that ran, in the order asked for.
        skipped: why the others could not, by name.
    """

    tuned: list[TunedBaseline] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> TunedBaseline:
        """The one with the highest validation score; the first of equals.

        Raises:
            EmptyDataError: none could run; the message says why.
        """
        if not self.tuned:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped.items())
            raise EmptyDataError(f"no baseline could run on this data ({reasons})")
        return max(self.tuned, key=lambda baseline: baseline.score)


def build_memory(name: str, values: Values) -> Memory:
    """The memory called ``name`` with these settings; raises ConfigError if there is none."""
    memory = MEMORIES.get(name)
    return memory(memory.Config(**values))


def tune_baselines(
    config: BaselineConfig,
    train: Interactions,
    valid_histories: Interactions,
    valid_targets: NDArray[np.integer],
    items: FeatureTable | None,
    seed: int,
    on_baseline: Callable[[str, TunedBaseline | str], None] | None = None,
) -> TunedBaselines:
    """Tune every baseline of ``config``; those that cannot run on this data are named, with why.

    Args:
        config: which ones, and how many trials each.
        train: the events to count.
        valid_histories: a batch of Q histories.
        valid_targets: [Q] the item row that followed each.
        items: attributes of the catalogue, for those that read them.
        seed: of the search and of the ties.
        on_baseline: told the name, and the outcome or the reason for skipping it.

    Raises:
        ConfigError: a name is no memory's.
        EmptyDataError: there are no validation targets.
    """
    names = MEMORIES.names() if config.names is None else config.names
    for name in names:
        MEMORIES.get(name)
    _check(valid_histories, valid_targets)
    result = TunedBaselines()
    for name in names:
        outcome: TunedBaseline | str
        try:
            outcome = tune_baseline(
                name,
                train,
                valid_histories,
                valid_targets,
                items,
                config.trials,
                seed,
                mask=config.mask,
            )
            result.tuned.append(outcome)
        except CANNOT_RUN as error:
            outcome = result.skipped[name] = str(error)
        if on_baseline is not None:
            on_baseline(name, outcome)
    return result


def tune_baseline(
    name: str,
    train: Interactions,
    valid_histories: Interactions,
    valid_targets: NDArray[np.integer],
    items: FeatureTable | None,
    trials: int,
    seed: int,
    *,
    mask: bool = True,
    on_trial: Callable[[int, Tried], None] | None = None,
) -> TunedBaseline:
    """Search the declared ranges of one memory for the best NDCG@10; see :func:`tune_baselines`.

    Raises:
        ConfigError: there is no such memory, or the catalogue is too large for it.
        DataError: the memory lacks what it reads, such as the items' text.
        EmptyDataError: there are no validation targets.
        MissingExtraError: the memory's library is not installed.
    """
    _check(valid_histories, valid_targets)
    started = time.perf_counter()

    def objective(values: Values) -> float:
        memory = build_memory(name, values).fit(train, items)
        rank_Q = target_ranks(memory, valid_histories, valid_targets, mask=mask, tie_seed=seed)
        # a target that was masked is never a hit, however small the catalogue
        gain_Q = metrics_of_ranks(rank_Q, (10,))["ndcg@10"] * (rank_Q <= valid_histories.n_items)
        return float(gain_Q.mean())

    space = space_of(MEMORIES.get(name).Config)
    found = search(space, objective, trials=trials, seed=seed, on_trial=on_trial)
    seconds = time.perf_counter() - started
    return TunedBaseline(name, found.best_values, found.best_score, seconds, trials)


def target_ranks(
    memory: Memory,
    histories: Interactions,
    targets: NDArray[np.integer],
    *,
    mask: bool = True,
    tie_seed: int = 0,
) -> Ints:
    """[B] position of each history's target in the whole catalogue, from 1.

    A target that is masked itself stands behind the catalogue, at I + 1.

    Args:
        memory: fitted.
        histories: a batch of B histories.
        targets: [B] item rows.
        mask: leave the items of the history out.
        tie_seed: of the hash that orders equal scores.
    """
    tie_key_I = seeded_hash(np.arange(histories.n_items), tie_seed)
    parts = [np.empty(0, np.int64)]
    for rows, scores_BI in _scored(memory, histories, mask):
        parts.append(rank_of_target(scores_BI, targets[rows], tie_key_I=tie_key_I))
    return np.concatenate(parts)


def rank_lists(
    memory: Memory, histories: Interactions, k: int, mask: bool = True, tie_seed: int = 0
) -> Ints:
    """[B, k] the k best item rows of each history, best first; -1 where no item is left.

    Args:
        memory: fitted.
        histories: a batch of B histories.
        k: length of the lists.
        mask: leave the items of the history out.
        tie_seed: of the hash that orders equal scores.

    Raises:
        ConfigError: ``k`` is below 1.
        DataError: the memory scored an item NaN.
    """
    parts = [np.empty((0, k), np.int64)]
    for _, scores_BI in _scored(memory, histories, mask):
        parts.append(top_items(scores_BI, k, tie_seed))
    return np.concatenate(parts)


def top_items(scores_BI: NDArray[np.floating], k: int, tie_seed: int = 0) -> Ints:
    """[B, k] the items of the k greatest scores, greatest first; -1 in place of those at -inf.

    Equal scores stand in the order of a seeded hash of the item row.

    Raises:
        ConfigError: ``k`` is below 1.
        DataError: a score is NaN.
    """
    if k < 1:
        raise ConfigError(f"k={k}: lists hold at least 1 item")
    if np.isnan(scores_BI).any():
        raise DataError(f"row {int(np.isnan(scores_BI).any(1).argmax())} of the scores holds NaN")
    n_rows, n_items = scores_BI.shape
    width = min(k, n_items)
    by_hash_I = np.argsort(seeded_hash(np.arange(n_items), tie_seed))
    hashed_BI = scores_BI[:, by_hash_I]
    chosen_BI = _greatest(hashed_BI, width)
    column_Bk = np.nonzero(chosen_BI)[1].reshape(n_rows, width)
    score_Bk = np.take_along_axis(hashed_BI, column_Bk, axis=1)
    # stable, so that equal scores stay in the order of the hash
    order_Bk = np.argsort(-score_Bk, axis=1, kind="stable")
    lists_Bk = np.full((n_rows, k), -1, np.int64)
    lists_Bk[:, :width] = by_hash_I[np.take_along_axis(column_Bk, order_Bk, axis=1)]
    score_Bk = np.take_along_axis(score_Bk, order_Bk, axis=1)
    lists_Bk[:, :width][np.isneginf(score_Bk)] = -1
    return lists_Bk


def _greatest(scores_BI: NDArray[np.floating], k: int) -> NDArray[np.bool_]:
    """[B, I] true at the k greatest of each row; of equals the first are taken."""
    n_items = scores_BI.shape[1]
    if k == n_items:
        return np.ones(scores_BI.shape, np.bool_)
    floor_B1 = np.partition(scores_BI, n_items - k, axis=1)[:, n_items - k, None]
    chosen_BI: NDArray[np.bool_] = scores_BI > floor_B1
    tied_BI = scores_BI == floor_B1
    free_B = k - chosen_BI.sum(axis=1)
    contested = np.flatnonzero(tied_BI.sum(axis=1) > free_B)
    tied_RI = tied_BI[contested]
    late_RI = np.cumsum(tied_RI, axis=1, dtype=np.int32) > free_B[contested, None]
    tied_BI[contested] = tied_RI & ~late_RI
    return np.asarray(chosen_BI | tied_BI)


def _scored(memory: Memory, histories: Interactions, mask: bool) -> Iterator[tuple[slice, Floats]]:
    """Blocks of rows with their scores [B, I], -inf at the items of the history if masked."""
    step = max(1, BLOCK_CELLS // max(1, histories.n_items))
    for start in range(0, histories.n_users, step):
        rows = slice(start, min(start + step, histories.n_users))
        block = histories.users(np.arange(rows.start, rows.stop))
        scores_BI = memory.score(block)
        if mask:
            scores_BI[block.group(), block.item] = -np.inf
        yield rows, scores_BI


def _check(histories: Interactions, targets: Sequence[int] | NDArray[np.integer]) -> None:
    if len(targets) == 0:
        raise EmptyDataError("no validation targets to tune on: split the log with a larger share")
    if len(targets) != histories.n_users:
        raise DataError(f"{len(targets)} targets for {histories.n_users} histories: give one each")

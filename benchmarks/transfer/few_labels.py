"""One cell of the table: one share of users, one draw of them, every mode of fine-tuning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.pool import workers
from quintet.data.encode import Encoded
from quintet.data.interactions import Floats
from quintet.data.split import Split, few_labels
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.train.evaluate import evaluate_ranking
from quintet.train.finetune import (
    FinetuneConfig,
    Mode,
    finetune,
    held_out_values,
    judged,
    reached_after,
)
from quintet.train.pipeline import Fitted, TrainConfig
from quintet.train.pretrained import Pretrained

METRIC = "ndcg@10"
REACHED = "seconds to scratch's best"
REACHED_DRAWS = "draws that reached scratch's best"
MOVED: tuple[Mode, ...] = ("frozen", "adapter", "full")
#: learning rates that every mode may choose from, on draws that are not published
RATES = (1e-3, 3e-3)
TUNING_DRAW = 100
SCRATCH = "scratch"


@dataclass
class Cell:
    """What was measured at one share: by row and draw.

    Attributes:
        values: by row, for each draw NDCG@10 of every test user.
        guard: for each draw and source, what the guard said and what its choice is worth.
        seconds: by row, for each draw the seconds of training.
        reached: by row, for each draw the seconds of training to the validation of scratch's best;
            NaN where it was never reached.
        rates: by row, the learning rate that was chosen.
    """

    values: dict[str, list[Floats]] = field(default_factory=dict)
    guard: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    reached: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    def add(self, row: str, value_U: Floats, fitted: Fitted, goal: float) -> None:
        """Keep one draw of a row."""
        reached = reached_after(fitted, goal)
        self.values.setdefault(row, []).append(value_U)
        self.seconds.setdefault(row, []).append(fitted.outcome.seconds)
        self.reached.setdefault(row, []).append(float("nan") if reached is None else reached)

    def merge(self, other: Cell) -> None:
        """Take over the draws of another."""
        self.guard.extend(other.guard)
        for mine, theirs in (
            (self.values, other.values),
            (self.seconds, other.seconds),
            (self.reached, other.reached),
        ):
            for row, draws in theirs.items():
                mine.setdefault(row, []).extend(draws)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Rows with means over the draws; gains are paired by user, draws averaged first."""
        base = np.mean(self.values[SCRATCH], axis=0)
        rows: dict[str, dict[str, Any]] = {}
        for row, draws in self.values.items():
            mean_U = np.mean(draws, axis=0)
            reached = np.array(self.reached[row])
            rows[row] = {
                METRIC: vars(bootstrap_mean(mean_U)),
                "draws": [float(one.mean()) for one in draws],
                "over scratch": vars(paired_bootstrap(mean_U, base)),
                "draws better than scratch": int(
                    sum(
                        a.mean() > b.mean()
                        for a, b in zip(draws, self.values[SCRATCH], strict=True)
                    )
                ),
                "training seconds": float(np.mean(self.seconds[row])),
                REACHED: _mean(reached),
                REACHED_DRAWS: int(np.isfinite(reached).sum()),
                "learning rate": self.rates.get(row),
            }
        return rows


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def settings(base: TrainConfig, rate: float, seed: int) -> FinetuneConfig:
    """The same for every mode but the rate, which each mode chose for itself."""
    loop = base.loop.model_copy(update={"learning_rate": rate})
    train = base.model_copy(update={"loop": loop, "seed": seed})
    return FinetuneConfig(train=train, rates={})


def tuned_rates(
    encoded: Encoded,
    split: Split,
    share: float,
    base: TrainConfig,
    sources: dict[str, Pretrained],
    jobs: int = 1,
) -> dict[str, float]:
    """By row, the rate that does best on the validation targets of a draw kept for it."""
    few = few_labels(split, share, TUNING_DRAW)
    chosen, pending = {}, {}
    with workers(jobs) as pool:
        for row, pretrained, mode in rows_of(sources):
            if mode == "frozen":  # a rate has little to move there
                chosen[row] = RATES[0]
                continue
            pending[row] = {
                rate: pool.submit(
                    validated, pretrained, encoded, few, settings(base, rate, TUNING_DRAW), mode
                )
                for rate in RATES
            }
        for row, tried in pending.items():
            found = {rate: one.result() for rate, one in tried.items()}
            chosen[row] = max(found, key=lambda rate: found[rate])
            print(f"{share:.0%}, {row}: {found}", flush=True)
    return chosen


def validated(
    pretrained: Pretrained, encoded: Encoded, few: Split, config: FinetuneConfig, mode: Mode
) -> float:
    """What a training reaches on its validation targets."""
    fitted = finetune(pretrained, encoded, few, config, mode)
    return float(held_out_values(fitted, few, config.train).mean())


def rows_of(sources: dict[str, Pretrained]) -> list[tuple[str, Pretrained, Mode]]:
    """Scratch, then every mode of every source."""
    first = next(iter(sources.values()))
    moved = [
        (f"{mode}, from {name}", pretrained, mode)
        for name, pretrained in sources.items()
        for mode in MOVED
    ]
    return [(SCRATCH, first, SCRATCH), *moved]


def measure(
    encoded: Encoded,
    split: Split,
    share: float,
    draws: Sequence[int],
    base: TrainConfig,
    sources: dict[str, Pretrained],
    rates: dict[str, float],
    jobs: int = 1,
) -> Cell:
    """Every mode on every draw, measured on the same test users; ``jobs`` draws side by side."""
    cell = Cell(rates=rates)
    with workers(jobs) as pool:
        asked = (encoded, split, share, base, sources, rates)
        for own in pool.map(measure_draw, *([one] * len(draws) for one in asked), draws):
            cell.merge(own)
    return cell


def measure_draw(
    encoded: Encoded,
    split: Split,
    share: float,
    base: TrainConfig,
    sources: dict[str, Pretrained],
    rates: dict[str, float],
    draw: int,
) -> Cell:
    """Every mode on one draw."""
    cell = Cell(rates=rates)
    few = few_labels(split, share, draw)
    held: dict[str, Floats] = {}
    fitted: dict[str, Fitted] = {}
    spent: dict[str, float] = {}
    for row, pretrained, mode in rows_of(sources):
        started = time.perf_counter()
        config = settings(base, rates[row], draw)
        fitted[row] = finetune(pretrained, encoded, few, config, mode)
        spent[row] = time.perf_counter() - started
        held[row] = held_out_values(fitted[row], few, config.train)
        value_U = evaluate_ranking(fitted[row].trained.scorer, few, ks=(10,)).per_user[METRIC]
        cell.add(row, value_U, fitted[row], fitted[SCRATCH].outcome.best_score)
        print(
            f"{share:.0%} draw {draw} {row}: test {value_U.mean():.4f}, validation "
            f"{held[row].mean():.4f}, {fitted[row].outcome.seconds:.0f} s of {spent[row]:.0f}",
            flush=True,
        )
    for name in sources:
        own = {SCRATCH: SCRATCH} | {mode: f"{mode}, from {name}" for mode in MOVED}
        verdict = judged(
            {mode: held[row] for mode, row in own.items()},
            {mode: fitted[row] for mode, row in own.items()},
            {mode: spent[row] for mode, row in own.items()},
            certain=False,
        )
        cell.guard.append(
            {"draw": draw, "source": name, "kept": verdict.kept} | {"says": verdict.message}
        )
        row = f"guard, from {name}"
        kept = own[verdict.kept]
        cell.add(row, cell.values[kept][-1], fitted[kept], fitted[SCRATCH].outcome.best_score)
    return cell

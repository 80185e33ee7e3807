"""Rows of the table: quintet as trained, refitted, without a part; and the baselines."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quintet.data.encode import Encoded
from quintet.data.interactions import Interactions, Ints
from quintet.data.split import Part, Split
from quintet.errors import QuintetError
from quintet.serve.evidence import EvidenceBuilder
from quintet.serve.scorer import Scorer
from quintet.serve.trained import Trained
from quintet.train.baselines import rank_lists, tune_baseline
from quintet.train.evaluate import RankingResult, evaluate_lists, evaluate_ranking
from quintet.train.gates import fitted_fusion, validation_targets
from quintet.train.measure import write_predictions
from quintet.train.pipeline import (
    Fitted,
    TrainConfig,
    masks_history,
    train,
    training_tables,
)
from quintet.train.refit import refit, with_validation

KS = (5, 10, 20)
LISTED = 20
#: kinds of evidence by the part of the model that an ablation leaves out
PARTS: dict[str, tuple[str, ...]] = {
    "without memory": (
        "transitions",
        "ease",
        "item_cosine",
        "user_cosine",
        "last_item",
        "trend",
        "repeat",
        "content_neighbours",
        "content_ridge",
    ),
    "without text": ("content", "stand_in", "content_neighbours", "content_ridge"),
    "without identity": ("identity", "stand_in"),
}
PLAIN = "plain sum for the gates"
UNVARIED = "without augmentation"
STRICT = "quintet, strict"
BASELINES = ("popularity", "last_item", "transitions", "item_cosine")
#: and where people return to items
SESSION_BASELINES = ("repeat", "session_neighbours", "stan")


@dataclass
class Measured:
    """What was measured, by row: a result for each seed; and where the time went."""

    runs: dict[str, list[RankingResult]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)

    def add(self, row: str, result: RankingResult) -> None:
        """Keep one more result of a row."""
        self.runs.setdefault(row, []).append(result)

    def spent(self, stage: str, seconds: float) -> None:
        """Keep the time of a stage."""
        self.seconds.setdefault(stage, []).append(seconds)

    def merge(self, other: Measured) -> None:
        """Take in what another process measured."""
        for row, results in other.runs.items():
            self.runs.setdefault(row, []).extend(results)
        for stage, seconds in other.seconds.items():
            self.seconds.setdefault(stage, []).extend(seconds)
        self.chosen |= other.chosen
        self.curves |= other.curves


@dataclass(frozen=True)
class Job:
    """What is measured.

    Attributes:
        encoded: the data set.
        split: its parts.
        config: settings of quintet, but for the seed.
        refitted: whether rows refitted on training and validation events are wanted.
        ablate: whether rows without a part are wanted.
        masked: whether items of the history are left out of the lists.
        out: where predictions and bundles are left.
    """

    encoded: Encoded
    split: Split
    config: TrainConfig
    refitted: bool
    ablate: bool
    masked: bool
    out: Path

    def evaluate(self, scorer: Scorer, split: Split | None = None) -> RankingResult:
        """Test figures of one model."""
        own = self.split if split is None else split
        return evaluate_ranking(scorer, own, ks=KS, mask_history=self.masked)


def measure_quintet(job: Job, seed: int, hooks: dict[str, Any]) -> Measured:
    """Train with one seed and measure every row that is asked for."""
    measured = Measured()
    config = job.config.model_copy(update={"seed": seed})
    started = time.perf_counter()
    fitted = train(job.encoded, job.split, config, **hooks)
    measured.spent("training, strict", time.perf_counter() - started)
    for stage, seconds in fitted.trained.run["seconds"].items():
        measured.spent(f"  {stage}", seconds)
    measured.curves[f"validation, seed {seed}"] = fitted.outcome.curves.get("validation", [])
    started = time.perf_counter()
    strict = job.evaluate(fitted.trained.scorer)
    measured.spent("ranking the test", time.perf_counter() - started)
    measured.add(STRICT if job.refitted else "quintet", strict)
    if not job.masked:
        unlike = evaluate_ranking(fitted.trained.scorer, job.split, ks=KS, mask_history=True)
        measured.add("quintet, strict, history masked", unlike)
    final, result = fitted.trained, strict
    if job.ablate:
        rows = [*ablated(job, fitted, config), (UNVARIED, unvaried(job, config))]
        for row, own in rows:
            measured.add(f"{row}, strict" if job.refitted else row, own)
    if job.refitted:
        final, result = _refits(job, fitted, config, measured)
    final.save(job.out / f"bundle-seed{seed}")
    path = job.out / f"predictions-seed{seed}.tsv"
    write_predictions(path, job.encoded, job.split, result, LISTED)
    return measured


def measure_alone(job: Job, seed: int) -> Measured:
    """The same in a process of its own, on one thread: two of those beat one with two."""
    torch.set_num_threads(1)
    return measure_quintet(job, seed, {})


def _refits(
    job: Job, fitted: Fitted, config: TrainConfig, measured: Measured
) -> tuple[Trained, RankingResult]:
    known = with_validation(job.split)
    counts = refit(fitted, job.encoded, job.split, config, "counts").trained
    measured.add("quintet, counts-only refit", job.evaluate(counts.scorer, known))
    started = time.perf_counter()
    full = refit(fitted, job.encoded, job.split, config, "full").trained
    measured.spent("full refit", time.perf_counter() - started)
    result = job.evaluate(full.scorer, known)
    measured.add("quintet", result)
    return full, result


def ablated(job: Job, fitted: Fitted, config: TrainConfig) -> list[tuple[str, RankingResult]]:
    """The same towers and memories with a part left out and the gates fitted anew.

    Towers and memories learn apart and are summed late, so that leaving one out changes no other.
    """
    rows = []
    for row, left_out in PARTS.items():
        if set(left_out) & set(fitted.trained.run["evidence"]):
            rows.append((row, job.evaluate(regated(fitted, job.split, config, left_out))))
    plain = config.fusion.model_copy(update={"attention": False, "buckets": False})
    plain_sum = config.model_copy(update={"fusion": plain})
    rows.append((PLAIN, job.evaluate(regated(fitted, job.split, plain_sum))))
    return rows


def unvaried(job: Job, config: TrainConfig) -> RankingResult:
    """Trained anew on the log as it stands: nothing cut at random, reordered or withheld."""
    off = {"identity_dropout": 0.0, "attribute_dropout": 0.0, "modality_dropout": 0.0}
    plain = config.model_copy(
        update={
            "model": config.model.model_copy(update=off),
            "loop": config.loop.model_copy(update={"random_windows": False, "tie_orders": 1}),
        }
    )
    return job.evaluate(train(job.encoded, job.split, plain).trained.scorer)


def regated(
    fitted: Fitted, split: Split, config: TrainConfig, left_out: Collection[str] = ()
) -> Scorer:
    """A scorer with gates fitted on what is left."""
    whole, trained = fitted.trained.scorer.evidence, fitted.trained
    evidence = EvidenceBuilder(
        trained.model,
        trained.memories,
        whole.item_inputs,
        whole.user_inputs,
        trained.count_I,
        left_out=frozenset(left_out),
    )
    rows, _ = validation_targets(
        split, config.calibration_share, config.fusion_targets, config.seed
    )
    masked = masks_history(split.train)
    fusion = fitted_fusion(evidence, split.events, rows, config.fusion, mask_history=masked)
    return Scorer(evidence, fusion, trained.calibration)


def measure_baselines(job: Job, trials: int, targets: int, measured: Measured) -> None:
    """Tune every baseline on validation targets, then measure it; refitted too if asked for."""
    tables, _, _ = training_tables(job.encoded, job.split)
    rows = np.flatnonzero(job.split.part == Part.VALID)
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:targets]]
    histories, target = job.split.events.before(rows), job.split.events.item[rows]
    for name in BASELINES if job.masked else BASELINES + SESSION_BASELINES:
        started = time.perf_counter()
        try:
            tuned = tune_baseline(
                name,
                job.split.train,
                histories,
                target,
                tables.items,
                trials=trials,
                seed=0,
                mask=job.masked,
            )
        except QuintetError as error:
            measured.chosen[name] = {"left out": str(error)}
            continue
        measured.chosen[name] = {"values": tuned.values, "validation": tuned.score}
        splits = {"refit": with_validation(job.split)} if job.refitted else {}
        for protocol, split in {"strict": job.split, **splits}.items():
            memory = tuned.memory().fit(split.train, tables.items)

            def lists(histories: Interactions, k: int, memory: Any = memory) -> Ints:
                return rank_lists(memory, histories, k, mask=job.masked)

            suffix = f", {protocol}" if job.refitted else ""
            measured.add(f"{name}{suffix}", evaluate_lists(lists, split, ks=KS))
        measured.spent(f"baseline {name}", time.perf_counter() - started)

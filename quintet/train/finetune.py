"""Fine-tuning of what was pre-trained, and the guard that refuses a transfer that hurts.

``scratch`` is an ordinary training. The guard trains every mode on the same events, measures each
on the same validation targets with gates that did not see them, and keeps the best. Where nothing
beats scratch, scratch is what it gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from quintet.config import Config, tunable
from quintet.data.encode import Encoded
from quintet.data.interactions import Floats, seeded_hash
from quintet.data.split import Split
from quintet.errors import ConfigError, DataError
from quintet.metrics import RankingMetrics, bootstrap_mean, paired_bootstrap
from quintet.serve.scorer import Scorer
from quintet.train.gates import fitted_fusion, validation_targets
from quintet.train.loop import OnStep
from quintet.train.pipeline import Fitted, TrainConfig, train, training_tables
from quintet.train.pretrained import Pretrained
from quintet.train.start import Start

Mode = Literal["scratch", "frozen", "adapter", "full"]
MODES: tuple[Mode, ...] = ("scratch", "frozen", "adapter", "full")
AUTO = "auto"
#: a tower that knows something should not forget it in the first steps
DEFAULT_RATES: dict[Mode, float] = {"full": 0.5}
METRIC = "ndcg@10"
#: settings of the network that what was pre-trained decides
DECIDED = ("width", "longest", "backbone", "backbone_settings", "tower_settings")


class FinetuneConfig(Config):
    """Settings of fine-tuning.

    Attributes:
        train: of the training in every mode.
        rank: of the adapters.
        rates: by mode, what the learning rate is multiplied with; 1 where nothing is said.
        certain: whether the guard keeps a transfer only if the interval of its gain lies above 0.
    """

    train: TrainConfig = TrainConfig()
    rank: int = tunable(8, choices=[4, 8, 16], description="of the adapters")
    rates: dict[Mode, float] = DEFAULT_RATES
    certain: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the guard found.

    Attributes:
        kept: the mode whose model is given.
        message: why, for people.
        modes: by mode: the metric with its interval, the gain over scratch with its interval, the
            epochs and seconds of training, and the seconds to the best validation of scratch.
        targets: validation targets that the modes were compared on.
    """

    kept: Mode
    message: str
    modes: dict[Mode, dict[str, Any]]
    targets: int


@dataclass(frozen=True)
class Guarded:
    """The model that the guard kept, all that were trained, and the verdict."""

    fitted: Fitted
    trained: dict[Mode, Fitted]
    verdict: Verdict


def finetune(
    pretrained: Pretrained,
    encoded: Encoded,
    split: Split,
    config: FinetuneConfig | None = None,
    mode: Mode = "full",
    *,
    on_step: OnStep | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Fitted:
    """Train on a data set, starting from what was pre-trained.

    Args:
        pretrained: encoder and tower.
        encoded: the data set.
        split: of ``encoded.events``.
        config: settings.
        mode: ``frozen`` learns what stands on the tower and leaves the tower; ``adapter`` learns
            low-rank changes of it; ``full`` all of it; ``scratch`` starts from nothing.
        on_step: called after every training step.
        on_stage: called with the name of each stage as it starts.

    Raises:
        DataError: the catalogue has nothing that the pre-trained encoder reads.
    """
    config = config if config is not None else FinetuneConfig()
    settings = config.train
    rate = settings.loop.learning_rate * config.rates.get(mode, 1.0)
    loop = settings.loop.model_copy(update={"learning_rate": rate})
    decided = {name: getattr(pretrained.config, name) for name in DECIDED}
    model = settings.model.model_copy(update=decided if mode != "scratch" else {})
    settings = settings.model_copy(update={"loop": loop, "model": model})
    start = None if mode == "scratch" else Start(pretrained, mode, config.rank)
    fitted = train(encoded, split, settings, start=start, on_step=on_step, on_stage=on_stage)
    fitted.trained.run |= {"finetuned": {"mode": mode, "from": pretrained.run}}
    return fitted


def guarded(
    pretrained: Pretrained,
    encoded: Encoded,
    split: Split,
    config: FinetuneConfig | None = None,
    modes: Sequence[Mode] = MODES,
    *,
    on_step: OnStep | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Guarded:
    """Fine-tune in every mode and keep what validation finds best; scratch where nothing beats it.

    Raises:
        DataError: the split has no validation targets, or the catalogue nothing to read.
    """
    config = config if config is not None else FinetuneConfig()
    say = on_stage if on_stage is not None else (lambda _: None)
    # what cannot be carried over is told before a model from scratch is trained for nothing
    Start(pretrained, "frozen").check(training_tables(encoded, split)[0].items)
    trained: dict[Mode, Fitted] = {}
    values: dict[Mode, Floats] = {}
    seconds: dict[Mode, float] = {}
    for mode in dict.fromkeys(("scratch", *modes)):
        say(f"mode {mode}")
        started = time.perf_counter()
        trained[mode] = finetune(
            pretrained, encoded, split, config, mode, on_step=on_step, on_stage=on_stage
        )
        seconds[mode] = time.perf_counter() - started
        values[mode] = held_out_values(trained[mode], split, config.train)
    verdict = judged(values, trained, seconds, certain=config.certain)
    fitted = trained[verdict.kept]
    fitted.trained.run |= {"guard": {"message": verdict.message, "modes": verdict.modes}}
    return Guarded(fitted, trained, verdict)


def by_mode(
    pretrained: Pretrained,
    encoded: Encoded,
    split: Split,
    config: FinetuneConfig,
    mode: str,
    *,
    on_step: OnStep | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> tuple[Fitted, Verdict | None]:
    """The model of one mode, or of ``auto`` with the guard's verdict.

    Raises:
        ConfigError: there is no such mode.
        DataError: as :func:`finetune` and :func:`guarded`.
    """
    if mode == AUTO:
        found = guarded(pretrained, encoded, split, config, on_step=on_step, on_stage=on_stage)
        return found.fitted, found.verdict
    if mode not in MODES:
        raise ConfigError(f"unknown mode {mode!r}; choose one of: {', '.join(MODES)}, {AUTO}")
    chosen = MODES[MODES.index(mode)]
    fitted = finetune(
        pretrained, encoded, split, config, chosen, on_step=on_step, on_stage=on_stage
    )
    return fitted, None


def held_out_values(fitted: Fitted, split: Split, config: TrainConfig) -> Floats:
    """[N] NDCG@10 of every validation target, by gates fitted on the other half of the targets.

    Raises:
        DataError: there are fewer than two targets.
    """
    rows, _ = validation_targets(
        split,
        config.calibration_share,
        config.fusion_targets,
        config.seed,
        fitted.trained.model.shape.rules.targets(split.events),
    )
    if len(rows) < 2:
        raise DataError(
            f"{len(rows)} validation target(s): the modes cannot be compared; "
            "give more labelled users, or name one mode"
        )
    scorer, events = fitted.trained.scorer, split.events
    masked = bool(fitted.trained.run["mask_history"])
    half = np.argsort(np.argsort(seeded_hash(rows, config.seed + 2), kind="stable")) % 2
    value_N = np.zeros(len(rows), np.float32)
    for fold in (0, 1):
        fusion = fitted_fusion(
            scorer.evidence, events, rows[half != fold], config.fusion, mask_history=masked
        )
        own = np.flatnonzero(half == fold)
        ranked = Scorer(scorer.evidence, fusion, scorer.calibration).rank(
            events.before(rows[own]), 10, mask_history=masked
        )
        metrics = RankingMetrics(ks=(10,)).compute(ranked.items_BK, events.item[rows[own]])
        value_N[own] = metrics[METRIC]
    return value_N


def judged(
    values: dict[Mode, Floats],
    trained: dict[Mode, Fitted],
    seconds: dict[Mode, float],
    *,
    certain: bool,
) -> Verdict:
    """The verdict on values [N] of the same targets by mode."""
    modes: dict[Mode, dict[str, Any]] = {}
    goal = trained["scratch"].outcome.best_score
    for mode, value_N in values.items():
        pair = paired_bootstrap(value_N, values["scratch"])
        modes[mode] = {
            METRIC: vars(bootstrap_mean(value_N)),
            "gain": vars(pair),
            "epochs": len(trained[mode].outcome.curves.get("loss", [])),
            "seconds": seconds[mode],
            "training seconds": trained[mode].outcome.seconds,
            "seconds to scratch's best": reached_after(trained[mode], goal),
        }
    kept, message = _decided(modes, certain)
    return Verdict(kept, message, modes, len(values["scratch"]))


def _decided(modes: Mapping[Mode, Mapping[str, Any]], certain: bool) -> tuple[Mode, str]:
    """Which mode is kept, and why, in words."""
    best = max(modes, key=lambda mode: float(modes[mode][METRIC]["mean"]))
    gain = modes[best]["gain"]
    if best == "scratch":
        others = "; ".join(
            f"{mode} {_percent(own['gain']['relative'])}"
            for mode, own in modes.items()
            if mode != best
        )
        said = f"transfer hurts here ({others} against scratch): trained from scratch instead"
        return "scratch", said
    low, middle, high = (_percent(gain[f"relative{end}"]) for end in ("_low", "", "_high"))
    if gain["low"] > 0:
        return best, f"{best} gains {middle} [{low}, {high}] over scratch"
    if certain:
        said = f"the gain of {best}, {middle} [{low}, {high}], is not certain"
        return "scratch", f"{said}: trained from scratch instead"
    chance = "the interval holds 0, so that it may be chance"
    return best, f"{best} gains {middle} [{low}, {high}] over scratch; {chance}"


def reached_after(fitted: Fitted, goal: float) -> float | None:
    """Seconds of training after which the towers' validation was at ``goal``; None: never."""
    outcome = fitted.outcome
    epochs = max(len(outcome.curves.get("loss", [])), 1)
    for epoch, value in outcome.curves.get("validation", []):
        if value >= goal:
            return outcome.seconds * epoch / epochs
    return None


def _percent(share: float) -> str:
    return "n/a" if math.isnan(share) else f"{share:+.1%}"

"""The training loop: batches by length, one weighted loss, early stopping, resumable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from quintet.allocator import hand_back, reusing_memory
from quintet.config import Config, tunable
from quintet.data.batch import Windows, length_bucketed, training_windows
from quintet.nn.model import QuintetModel
from quintet.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from quintet.train.prepare import PreparedEvents

Curves = dict[str, list[list[float]]]


#: steps after which freed memory is given back: a heap that is kept grows by megabytes a step
HAND_BACK_EVERY = 16


class LoopConfig(Config):
    """Settings of the training loop."""

    epochs: NonNegativeInt = tunable(
        16, choices=[8, 16, 32], description="passes over the events, at most"
    )
    most_steps: PositiveInt | None = tunable(
        2400,
        choices=[1200, 2400, 4800],
        description="steps, about: a long log is passed over fewer times",
    )
    tokens_per_batch: PositiveInt = tunable(
        1600, choices=[800, 1600, 3200], description="events a step"
    )
    learning_rate: PositiveFloat = tunable(
        2e-3, low=3e-4, high=1e-2, log=True, description="AdamW's"
    )
    weight_decay: NonNegativeFloat = tunable(
        0.01, low=1e-4, high=0.3, log=True, description="AdamW's"
    )
    warmup_steps: NonNegativeInt = 50
    validate_every: PositiveInt = 2
    patience: PositiveInt = 3
    clip: PositiveFloat = 5.0
    tie_orders: PositiveInt = 4
    random_windows: bool = True
    low_precision: bool | None = None


@dataclass
class Outcome:
    """What a run left behind: curves by name, the best epoch, and the wall time."""

    curves: Curves = field(default_factory=dict)
    best_score: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0


#: called after every step with (step, all steps, loss)
OnStep = Callable[[int, int, float], None]
#: measures the model on validation; higher is better
Validate = Callable[[QuintetModel], float]


def passes(config: LoopConfig, steps_each: int) -> int:
    """How often the events are passed over, with so many steps each time.

    The rate falls to the end of the last pass. A long log that is stopped early instead keeps
    weights of a high rate, and gates that were fitted to them misjudge what a refit makes of them.
    """
    if config.most_steps is None:
        return config.epochs
    return min(config.epochs, max(1, round(config.most_steps / max(steps_each, 1))))


def learning_rate(config: LoopConfig, step: int, total: int) -> float:
    """The rate of a step: a linear rise, then a linear fall to a twentieth."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return config.learning_rate * warm * (1 - 0.95 * min(step / max(total, 1), 1.0))


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On the CPU, add scattered gradients in one order: several threads add in any.

    Torch then also overwrites all memory that it takes, to show who reads before writing; that is
    a tenth of a step, and nothing here does.
    """
    before = torch.are_deterministic_algorithms_enabled()
    switches: Any = torch.utils.deterministic
    filled = switches.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    switches.fill_uninitialized_memory = before and filled
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        switches.fill_uninitialized_memory = filled


class Trainer:
    """Trains a model on prepared events.

    Everything random is drawn from ``(seed, epoch)`` or ``(seed, step)``, so a run that was killed
    and resumed ends in the same weights, bit for bit, on the same machine and thread count.
    """

    def __init__(
        self,
        model: QuintetModel,
        orders: Sequence[PreparedEvents],
        config: LoopConfig,
        seed: int,
        *,
        validate: Validate | None = None,
        checkpoints: Path | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        self.model = model
        self.orders = orders
        self.config = config
        self.seed = seed
        self.validate = validate
        self.checkpoints = checkpoints
        self.on_step = on_step
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.best: dict[str, Tensor] = {}
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Train to the end, or until validation stops improving; leaves the best weights in place.

        Raises:
            CheckpointError: the checkpoint folder holds a damaged file or another run's.
        """
        with deterministic(self.model.bias_I.device), reusing_memory():
            return self._run()

    def _run(self) -> Outcome:
        started = time.perf_counter()
        epoch, step = self._resume()
        total = self._epochs * self._steps_per_epoch
        stale = self._stale_validations()
        while epoch < self._epochs and stale < self.config.patience:
            losses = []
            data = self._data(epoch)
            for windows in self._batches(epoch):
                losses.append(self._step(data, windows, step, total))
                step += 1
                if step % HAND_BACK_EVERY == 0:
                    hand_back()
                if self.on_step is not None:
                    self.on_step(step, total, losses[-1])
            epoch += 1
            self._record("loss", epoch, float(np.mean(losses)))
            if self._due(epoch):
                self._validate(epoch)
                stale = self._stale_validations()
            self._save(epoch, step)
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        self.outcome.seconds = time.perf_counter() - started
        return self.outcome

    # ------------------------------------------------------------------ one step

    def _batches(self, epoch: int) -> Iterator[Windows]:
        rng = np.random.default_rng([self.seed, epoch])
        # the last event of a window is only a target: its state has `longest` events behind it
        cut = rng if self.config.random_windows else None
        windows = training_windows(self._data(epoch).events, self.model.config.longest + 1, cut)
        for index in length_bucketed(windows, self.config.tokens_per_batch, rng):
            yield windows.take(index)

    @cached_property
    def _steps_per_epoch(self) -> int:
        return max(1, sum(1 for _ in self._batches(0)))

    @cached_property
    def _epochs(self) -> int:
        return passes(self.config, self._steps_per_epoch)

    def _data(self, epoch: int) -> PreparedEvents:
        """The order of simultaneous events that an epoch sees."""
        return self.orders[epoch % len(self.orders)]

    def _step(self, data: PreparedEvents, windows: Windows, step: int, total: int) -> float:
        torch.manual_seed((self.seed * 1_000_003 + step) % (1 << 62))
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, step, total)
        chosen = data.batch(windows)
        losses = self.model.losses(
            chosen.batch,
            chosen.positions,
            data.item_inputs,
            data.user_inputs,
            chosen.features,
            chosen.labels,
            chosen.request,
            low_precision=self._low_precision(),
        )
        if not losses:
            return 0.0  # every task rests
        loss: Tensor = self.model.balance(losses)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        return float(loss.detach())

    def _low_precision(self) -> bool:
        """bfloat16 for products over the catalogue, where they are large enough to pay."""
        if self.config.low_precision is not None:
            return self.config.low_precision
        return self.model.shape.n_items >= 4096

    # ------------------------------------------------------------------ validation

    def _due(self, epoch: int) -> bool:
        every = self.config.validate_every
        last = epoch == self._epochs
        return self.validate is not None and (epoch % every == 0 or last)

    def _validate(self, epoch: int) -> None:
        assert self.validate is not None
        self.model.eval()
        with torch.no_grad():
            score = self.validate(self.model)
        self._record("validation", epoch, score)
        if score > self.outcome.best_score:
            self.outcome.best_score, self.outcome.best_epoch = score, epoch
            self.best = {name: t.detach().clone() for name, t in self.model.state_dict().items()}

    def _stale_validations(self) -> int:
        """Validations since the best one."""
        seen = self.outcome.curves.get("validation", [])
        return sum(1 for epoch, _ in seen if epoch > self.outcome.best_epoch)

    def _record(self, curve: str, epoch: int, value: float) -> None:
        self.outcome.curves.setdefault(curve, []).append([epoch, value])

    # ------------------------------------------------------------------ checkpoints

    def _run_name(self) -> str:
        """Tells runs apart: another seed, data or setting is another run."""
        shapes = {name: tuple(value.shape) for name, value in self.model.state_dict().items()}
        digest = hashlib.sha256(repr(shapes).encode())
        digest.update(f"{self.seed} {self.config!r} {self.model.config!r}".encode())
        events = self.orders[0].events
        for column in (events.offsets, events.item, events.time, events.behaviour, events.value):
            digest.update(column.tobytes())
        return digest.hexdigest()

    def _resume(self) -> tuple[int, int]:
        if self.checkpoints is None:
            return 0, 0
        found = load_checkpoint(self.checkpoints, self._run_name(), self.model, self.optimizer)
        if found is None:
            return 0, 0
        progress, self.best = found
        self.outcome = Outcome(progress.curves, progress.best_score, progress.best_epoch)
        return progress.epoch, progress.step

    def _save(self, epoch: int, step: int) -> None:
        if self.checkpoints is None:
            return
        progress = Progress(
            run=self._run_name(),
            epoch=epoch,
            step=step,
            curves=self.outcome.curves,
            best_score=self.outcome.best_score,
            best_epoch=self.outcome.best_epoch,
        )
        save_checkpoint(self.checkpoints, progress, self.model, self.optimizer, self.best)

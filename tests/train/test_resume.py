"""Killed at any moment and started again, a run ends in the same bits; and it starts as it did."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from nn.worlds import losses_at, model_of, tables
from safetensors.torch import load_file
from torch import Tensor

from quintet.errors import CheckpointError
from quintet.nn.model import QuintetModel
from quintet.train.checkpoint import FILE_NAME
from quintet.train.loop import Trainer
from quintet.train.prepare import PreparedEvents

from .resume_run import CONFIG, main, trainer, validate

KILLS = 5
#: the first losses of the run; a change of the network or of its batches changes them knowingly
GOLDEN = [16.996364, 17.734793, 16.438103]


@pytest.fixture(scope="module")
def processes():
    """Processes that start quickly: a server imports once, and children fork from it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train.resume_run"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the server starts with a bare path
        yield context


def attempt(processes, folder: Path, kill_after: int | None, delay: float = 0.0) -> list[int]:
    """Run in a process of its own; kill it after so many steps. Returns the steps it told."""
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=main, args=(folder, folder / "final.safetensors", sender))
    process.start()
    sender.close()
    told: list[int] = []
    while kill_after is None or len(told) < kill_after:
        try:
            told.append(receiver.recv()[0])
        except EOFError:
            break
    if kill_after is not None and len(told) == kill_after:
        time.sleep(delay)
        process.kill()
    process.join(timeout=60)
    assert process.exitcode in {0, -signal.SIGKILL}
    return told


def test_a_run_that_is_killed_ends_in_the_same_bits(processes, tmp_path: Path) -> None:
    moments = random.Random(7)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    steps = attempt(processes, whole, None)
    assert steps == list(range(1, len(steps) + 1))
    per_epoch = len(steps) / CONFIG.epochs
    assert per_epoch > 3, "a kill should fall within an epoch"
    begun = []
    for _ in range(KILLS):
        # sometimes before the first checkpoint, mostly within an epoch, sometimes while it is saved
        told = attempt(processes, broken, moments.randint(2, 14), moments.random() * 0.03)
        begun.append(told[0])
    assert len(set(begun)) > 2, "later attempts went on where earlier ones had saved"
    assert begun == sorted(begun)
    assert not (broken / "final.safetensors").exists()
    rest = attempt(processes, broken, None)
    assert rest == list(range(rest[0], len(steps) + 1))
    one, other = (load_file(folder / "final.safetensors") for folder in (whole, broken))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_the_first_losses_are_golden() -> None:
    told: list[float] = []
    run = trainer(None, on_step=lambda step, steps, loss: told.append(loss))
    assert run.run().curves["loss"][-1][0] == CONFIG.epochs
    assert told[: len(GOLDEN)] == pytest.approx(GOLDEN, abs=1e-4)
    assert sum(told[-6:]) < sum(told[:6]), "and it learns"


def test_a_run_that_ended_is_not_run_again(tmp_path: Path) -> None:
    first = trainer(tmp_path, validate=validate)
    first.run()
    told: list[int] = []
    again = trainer(tmp_path, validate=validate, on_step=lambda step, *_: told.append(step))
    outcome = again.run()
    assert told == []
    assert (outcome.best_epoch, outcome.best_score) == (
        first.outcome.best_epoch,
        first.outcome.best_score,
    )
    for name, value in first.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_the_best_epochs_weights_are_left_in_place() -> None:
    seen: list[tuple[float, Tensor]] = []

    def watch(model: QuintetModel) -> float:
        seen.append((validate(model), model.embedding_ID.detach().clone()))
        return seen[-1][0]

    run = trainer(None, validate=watch)
    outcome = run.run()
    best = max(range(len(seen)), key=lambda index: seen[index][0])
    assert outcome.best_score == seen[best][0]
    assert outcome.best_epoch == CONFIG.validate_every * (best + 1)
    assert torch.equal(run.model.embedding_ID, seen[best][1])
    assert not run.model.training


def test_training_stops_when_validation_no_longer_improves() -> None:
    run = trainer(None, validate=lambda model: 0.0)
    run.config = CONFIG.model_copy(update={"patience": 2})
    assert run.run().curves["validation"] == [[2, 0.0], [4, 0.0], [6, 0.0]]


@pytest.mark.parametrize("other", ["seed", "data", "settings"])
def test_another_runs_checkpoint_is_refused(tmp_path: Path, other: str) -> None:
    trainer(tmp_path)._save(1, 6)
    assert (tmp_path / FILE_NAME).exists()
    run = trainer(tmp_path, seed=4 if other == "seed" else 3)
    if other == "data":
        run.orders[0].events.behaviour[0] ^= 1
    if other == "settings":
        run.config = CONFIG.model_copy(update={"clip": 1.0})
    with pytest.raises(CheckpointError, match="belongs to a run with other data or settings"):
        run.run()


def losses_and_gradients(device: torch.device) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The losses of the first batch without anything random, and every gradient of their sum."""
    data = tables()
    model = model_of(data, attribute_dropout=0.0, off=["item"]).to(device).eval()
    events = PreparedEvents(data, model, device)
    first = next(Trainer(model, [events], CONFIG, seed=3)._batches(0))
    losses = losses_at(model, events, first)
    model.balance(losses).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return losses, found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_losses_and_gradients() -> None:
    one, other = (losses_and_gradients(torch.device(name)) for name in ("cpu", "cuda"))
    for ours, theirs in zip(one, other, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert theirs[name].device.type == "cuda"
            torch.testing.assert_close(theirs[name].cpu(), value, rtol=1e-3, atol=1e-4)


def test_training_adds_in_one_order_and_leaves_torch_as_it_was() -> None:
    seen: list[bool] = []
    run = trainer(
        None, on_step=lambda *_: seen.append(torch.are_deterministic_algorithms_enabled())
    )
    run.run()
    assert seen
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()

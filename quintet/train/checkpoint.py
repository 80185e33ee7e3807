"""Checkpoints of a training run: one file, replaced atomically, free of code.

A run is a function of its seed and its step number: batches and dropout are drawn from
``(seed, step)``, so that the weights, the optimiser's moments and the step are all that must be
kept for a resumed run to end in the same bits.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from quintet.errors import CheckpointError
from quintet.files import write_bytes_atomic

FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Progress:
    """Where a run stands: what JSON holds of it."""

    run: str
    epoch: int
    step: int
    curves: dict[str, list[list[float]]]
    best_score: float
    best_epoch: int


def save_checkpoint(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
) -> None:
    """Write the run's state; a crash at any moment leaves the former or the new file, whole."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    words = json.dumps(vars(progress))
    payload = save(contiguous, {"progress": words, "digest": _digest(words, contiguous)})
    write_bytes_atomic(folder / FILE_NAME, payload)


def load_checkpoint(
    folder: Path, run: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Restore the run that stands in the folder; None where there is none.

    Raises:
        CheckpointError: the file is damaged, or belongs to a run with other data or settings.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            words, digest = file.metadata()["progress"], file.metadata()["digest"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        progress = Progress(**json.loads(words))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); delete it to start over") from None
    if _digest(words, tensors) != digest:
        raise CheckpointError(f"{path}: damaged (its digest differs); delete it to start over")
    if progress.run != run:
        raise CheckpointError(
            f"{path}: belongs to a run with other data or settings; "
            "use another checkpoint folder, or delete it to start over"
        )
    model.load_state_dict(_under(tensors, "model."))
    state: dict[int, dict[str, Any]] = {}
    for name, value in _under(tensors, "optimizer.").items():
        index, _, moment = name.partition(".")
        state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress, _under(tensors, "best.")


def _digest(words: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of everything that is restored, because safetensors itself carries no checksum."""
    digest = hashlib.sha256(words.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)
    }

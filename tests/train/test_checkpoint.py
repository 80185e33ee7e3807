"""Checkpoints: everything comes back, and what is damaged or foreign is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from quintet.errors import CheckpointError
from quintet.train.checkpoint import FILE_NAME, Progress, load_checkpoint, save_checkpoint

PROGRESS = Progress(
    run="a-run",
    epoch=3,
    step=40,
    curves={"loss": [[1, 2.5], [2, 1.25]], "validation": [[2, 0.1]]},
    best_score=0.1,
    best_epoch=2,
)


def network(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A small network with a buffer, two steps into its training."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01 * (seed + 1))
    for _ in range(2):
        step(module, optimizer, seed)
    return module, optimizer


def step(module: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    optimizer.zero_grad()
    given = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
    module(given).square().sum().backward()
    optimizer.step()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    module, optimizer = network(0)
    best = {name: value + 1 for name, value in module.state_dict().items()}
    save_checkpoint(tmp_path, PROGRESS, module, optimizer, best)
    return tmp_path


def test_round_trip(saved: Path) -> None:
    written, optimizer = network(0)
    other, its_optimizer = network(7)
    found = load_checkpoint(saved, "a-run", other, its_optimizer)
    assert found is not None
    progress, best = found
    assert progress == PROGRESS
    for name, value in written.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
        assert torch.equal(best[name], value + 1), name
    # the moments came back too, at the other's learning rate: set it alike and both step alike
    assert its_optimizer.param_groups[0]["lr"] == pytest.approx(0.08)
    its_optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
    for module, own in ((written, optimizer), (other, its_optimizer)):
        step(module, own, 3)
    for one, two in zip(written.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_without_a_file_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, "a-run", *network(0)) is None
    assert load_checkpoint(tmp_path / "no" / "such", "a-run", *network(0)) is None


def test_before_a_first_validation_there_is_no_best(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new" / "folder", PROGRESS, *network(0), {})
    found = load_checkpoint(tmp_path / "new" / "folder", "a-run", *network(1))
    assert found is not None
    assert found[1] == {}


def test_saving_again_replaces_the_file_and_leaves_no_other(saved: Path) -> None:
    later = Progress(**{**vars(PROGRESS), "epoch": 4})
    save_checkpoint(saved, later, *network(0), {})
    assert [path.name for path in saved.iterdir()] == [FILE_NAME]
    found = load_checkpoint(saved, "a-run", *network(1))
    assert found is not None
    assert found[0].epoch == 4


def refused(folder: Path, why: str, run: str = "a-run") -> None:
    module, optimizer = network(5)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=why) as error:
        load_checkpoint(folder, run, module, optimizer)
    assert str(folder / FILE_NAME) in str(error.value)
    assert "delete it" in str(error.value)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), "nothing was loaded"


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved: Path, share: float) -> None:
    path = saved / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(saved, "damaged")


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_flipped_bit_is_refused_wherever_it_is(saved: Path, place: int) -> None:
    path = saved / FILE_NAME
    content = bytearray(path.read_bytes())
    at = place * (len(content) - 1) // 99
    content[at] ^= 0b100
    path.write_bytes(content)
    refused(saved, "damaged|belongs to a run")


def test_no_safetensors_file_at_all(saved: Path) -> None:
    (saved / FILE_NAME).write_text("epoch 3, step 40")
    refused(saved, "damaged")


@pytest.mark.parametrize(
    "metadata", [None, {}, {"progress": "{}"}, {"progress": "[]", "digest": ""}]
)
def test_a_file_of_another_kind_is_refused(saved: Path, metadata: dict[str, str] | None) -> None:
    path = saved / FILE_NAME
    save_file(load_file(path), path, metadata)
    refused(saved, "damaged")


def test_altered_progress_is_refused(saved: Path) -> None:
    path = saved / FILE_NAME
    content = path.read_bytes()
    assert content.count(b'\\"step\\": 40') == 1
    path.write_bytes(content.replace(b'\\"step\\": 40', b'\\"step\\": 41'))
    refused(saved, "digest")


def test_another_runs_checkpoint_is_refused(saved: Path) -> None:
    refused(saved, "belongs to a run with other data or settings", run="another-run")


def test_the_file_holds_no_code(saved: Path) -> None:
    content = (saved / FILE_NAME).read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert json.loads(header["__metadata__"]["progress"])["step"] == 40
    assert b"pickle" not in content

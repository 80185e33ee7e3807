"""The README's tables say what the measured files say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from quintet.errors import DataError

ROOT = Path(__file__).parent.parent
PAGE = (
    "before\n<!-- results:tiny -->\nold\n<!-- /results:tiny -->\n"
    "<!-- results:none -->\nkept\n<!-- /results:none -->\n"
)
TINY = {
    "dataset": "tiny",
    "protocol": "leave-one-out",
    "seeds": [0, 1],
    "models": {
        "popularity": {"ndcg@10": 0.01},
        "quintet": {"ndcg@10": {"mean": 0.25, "low": 0.2, "high": 0.3}, "hr@10": 0.5},
    },
    "tasks": {"interaction": {"rmse": 0.9}},
    "command": "make tiny",
}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "tools" / "readme_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_stand_between_their_markers(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    lines = script().filled(PAGE, tmp_path).splitlines()
    assert lines[:2] == ["before", "<!-- results:tiny -->"]
    assert lines[2:6] == [
        "| model | NDCG@10 | HR@10 |",
        "| --- | ---: | ---: |",
        "| **quintet** | 0.2500 [0.2000, 0.3000] | 0.5000 |",
        "| popularity | 0.0100 |  |",
    ]
    assert "| interaction | RMSE 0.9000 |" in lines
    assert "old" not in lines
    assert "kept" in lines
    assert any("make tiny" in line and "docs/results/tiny.json" in line for line in lines)


def test_filling_twice_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    once = script().filled(PAGE, tmp_path)
    assert script().filled(once, tmp_path) == once


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text("{}")
    with pytest.raises(DataError):
        script().filled(PAGE, tmp_path)


def test_the_readme_is_up_to_date() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf8")
    assert script().filled(text, ROOT / "docs" / "results") == text

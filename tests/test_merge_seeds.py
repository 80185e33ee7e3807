"""Result files that differ in a seed alone become one that says what each said."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def one(seed: int, mean: float, n: int) -> dict:
    figure = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": n}
    return {
        "dataset": "tiny",
        "protocol": "leave-one-out",
        "seeds": [seed],
        "models": {"quintet": {"ndcg@10": figure}},
        "paired": {},
        "seconds": {"everything": 10.0 * seed},
        "peak_memory_mb": 100.0 + seed,
        "curves": {"loss": [[1, 2.0]]},
        "command": f"python -m benchmarks.accuracy tiny --first-seed {seed} --out somewhere/{seed}",
    }


def test_means_by_hand(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("merge", ROOT / "tools" / "merge_seeds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    paths = []
    for seed, (mean, n) in enumerate([(0.2, 10), (0.4, 13)]):
        paths.append(str(tmp_path / f"{seed}.json"))
        Path(paths[-1]).write_text(json.dumps(one(seed, mean, n)))
    out = tmp_path / "merged.json"
    assert module.main([str(out), *paths]) == 0
    merged = json.loads(out.read_text())
    figure = merged["models"]["quintet"]["ndcg@10"]
    assert figure["mean"] == pytest.approx(0.3)
    assert figure["low"] == pytest.approx(0.2)  # of one training, not of the mean
    assert figure["n"] == 12  # 11.5, a whole number
    assert merged["seeds"] == [0, 1]
    assert merged["peak_memory_mb"] == 101.0
    assert [own["quintet"]["ndcg@10"] for own in merged["slices"].values()] == [0.2, 0.4]
    assert "somewhere" not in merged["command"]
    assert "curves" not in merged

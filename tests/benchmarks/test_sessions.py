"""The sessions benchmark as a command: targets inside and outside the prefix told apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.rows import BASELINES, SESSION_BASELINES
from quintet.train.results import Results, read_results

ROOT = Path(__file__).parents[2]
SMALL = ["loop.epochs=1", "refit_epochs=1", "model.modalities=[]", "model.width=16"]
N_TESTS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions walk up a ring of items, and now and then back to where they began."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("sessions")

    def session() -> list[str]:
        start, length = rng.integers(20), rng.integers(3, 6)
        items = [f"i{(start + step) % 20}" for step in range(length)]
        return [*items, items[0]] if rng.random() < 0.4 else items

    train = [" ".join(session()) for _ in range(200)]
    tests = [session() for _ in range(N_TESTS)]
    (folder / "train.txt").write_text("\n".join(train) + "\n")
    lines = [f"{' '.join(items[:-1])}\t{items[-1]}" for items in tests]
    (folder / "test.txt").write_text("\n".join(lines) + "\n")
    sets = [word for one in SMALL for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sessions", folder / "train.txt", folder / "test.txt",
         "--trials", "1", *sets, "--out", folder / "out"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return read_results(folder / "out" / "results.json")


def test_every_row_is_measured_on_every_target(results: Results) -> None:
    baselines = (*BASELINES, *SESSION_BASELINES)
    tuned = {f"{name}, {protocol}" for name in baselines for protocol in ("strict", "refit")}
    assert tuned | {"quintet", "quintet, strict"} <= set(results.models)
    assert {own["ndcg@10"].n for own in results.models.values()} == {N_TESTS}
    assert results.protocol["history"] == "not masked"
    assert results.command.startswith("python -m benchmarks.sessions ")


def test_targets_in_the_prefix_are_told_apart(folder: Path, results: Results) -> None:
    lines = [line.split("\t") for line in (folder / "test.txt").read_text().splitlines()]
    met = [label in prefix.split() for prefix, label in lines]
    both = {
        inside: results.slices[f"target {name} before ({met.count(inside)} users)"]
        for inside, name in ((True, "met"), (False, "not met"))
    }
    copied = {inside: rows["repeat, strict"]["hr@20"].mean for inside, rows in both.items()}
    assert copied == {True: 1.0, False: pytest.approx(copied[False])}, "a copy head finds all met"
    overall = results.models["quintet"]["ndcg@10"].mean
    parts = sum(
        met.count(inside) * rows["quintet"]["ndcg@10"].mean for inside, rows in both.items()
    )
    assert parts / N_TESTS == pytest.approx(overall)


def test_the_lists_and_the_plot_are_left(folder: Path) -> None:
    assert (folder / "out" / "ndcg.svg").exists()
    lists = (folder / "out" / "predictions-seed0.tsv").read_text().splitlines()
    assert len(lists) == N_TESTS

"""The accuracy benchmark as a command: every row, and figures that its own lists give again."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.__main__ import beside
from benchmarks.accuracy.rows import BASELINES, KS, PARTS, PLAIN, UNVARIED
from quintet.bundle import read_bundle
from quintet.train.results import Results, read_results

ROOT = Path(__file__).parents[2]
N_USERS = 60
SMALL = ["loop.epochs=1", "refit_epochs=1", "model.modalities=[]", "model.width=16"]


@pytest.fixture(scope="module")
def histories() -> dict[str, list[str]]:
    """Everybody keeps to ten items of one kind."""
    rng = np.random.default_rng(0)
    return {
        f"u{user}": [f"i{item + 10 * (user % 3)}" for item in rng.permutation(10)[: 4 + user % 5]]
        for user in range(N_USERS)
    }


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, histories) -> Path:
    folder = tmp_path_factory.mktemp("accuracy")
    lines = [" ".join([user, *own]) for user, own in histories.items()]
    (folder / "small.txt").write_text("\n".join(lines) + "\n")
    titles = [
        f"i{item}\t{('lamp', 'chair', 'soap')[item // 10]} number{item}" for item in range(30)
    ]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle", *titles]) + "\n")
    asked = ["--items", folder / "items.tsv", "--protocol", "refit", "--ablate", "--trials", "1"]
    sets = [word for one in SMALL for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accuracy", folder / "small.txt", *asked, *sets,
         "--out", folder / "out"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "quintet, strict" in done.stdout
    assert "%" in done.stdout
    return folder / "out"


@pytest.fixture(scope="module")
def results(out: Path) -> Results:
    return read_results(out / "results.json")


def test_the_plot_shows_every_row(out: Path, results: Results) -> None:
    drawn = (out / "ndcg.svg").read_text(encoding="utf8")
    # a line for its interval and a mark for its mean
    assert drawn.count('<g id="line2d_') >= 2 * len(results.models)


def test_every_row_is_measured_and_compared(results: Results) -> None:
    refits = {"quintet", "quintet, strict", "quintet, counts-only refit"}
    tuned = {f"{name}, {protocol}" for name in BASELINES for protocol in ("strict", "refit")}
    ablations = {f"{row}, strict" for row in (*PARTS, PLAIN, UNVARIED)}
    assert set(results.models) == refits | tuned | ablations
    assert set(results.paired) == set(results.models) - {"quintet"}
    assert results.main_model == "quintet"
    for row, own in results.models.items():
        assert own["ndcg@10"].n == N_USERS
        assert 0 <= own["ndcg@10"].low <= own["ndcg@10"].mean <= own["ndcg@10"].high <= 1, row
        if row != "quintet":
            other = results.models[beside(row)]["ndcg@10"].mean
            gain = other - own["ndcg@10"].mean
            assert results.paired[row]["ndcg@10"].difference == pytest.approx(gain, abs=1e-9)
    assert results.protocol["history"] == "masked"
    assert results.protocol["settings"]["loop"]["epochs"] == 1
    assert results.models["quintet"]["hr@20"].mean > 0.5, "kinds are easily told"


def test_the_lists_give_the_figures_again(out: Path, results: Results, histories) -> None:
    ranks = []
    for line in (out / "predictions-seed0.tsv").read_text().splitlines():
        user, listed = line.split("\t")
        ranked, own = listed.split(" "), histories[user]
        assert len(ranked) == len(set(ranked)) == 20
        assert not set(ranked) & set(own[:-1]), "what was known is not recommended"
        ranks.append(ranked.index(own[-1]) + 1 if own[-1] in ranked else math.inf)
    assert len(ranks) == N_USERS
    figures = results.models["quintet"]
    for k in KS:
        gains = [1 / math.log2(rank + 1) if rank <= k else 0.0 for rank in ranks]
        assert figures[f"ndcg@{k}"].mean == pytest.approx(np.mean(gains), abs=1e-9)
        assert figures[f"hr@{k}"].mean == pytest.approx(np.mean([r <= k for r in ranks]), abs=1e-9)


def test_the_bundle_is_that_of_the_row_quintet(out: Path) -> None:
    assert read_bundle(out / "bundle-seed0").run["run"]["refit"] == "full"

"""The benchmark's readers and fits on small logs of the same formats, whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.off_policy import folders_of, gap
from benchmarks.policies import open_bandit, ratings
from quintet.errors import DataError
from quintet.metrics.off_policy import BanditLog, PolicyValue, ips

CLICK = np.array([0.05, 0.1, 0.2, 0.3])
THOMPSON = np.array([0.1, 0.2, 0.3, 0.4])


def write_log(folder: Path, chance_A: np.ndarray, seed: int, rows: int = 3000) -> None:
    """One policy's log in the Open Bandit Dataset's columns."""
    rng = np.random.default_rng(seed)
    item_N, place_N = rng.choice(4, rows, p=chance_A), rng.integers(1, 3, rows)
    click_N = (rng.random(rows) < CLICK[item_N] / place_N).astype(int)
    lines = ["item_id,position,click,propensity_score"]
    for row in zip(item_N, place_N, click_N, chance_A[item_N], strict=True):
        lines.append(",".join(map(str, row)))
    folder.mkdir(parents=True)
    (folder / "shop.csv").write_text("\n".join(lines) + "\n")
    (folder / "item_context.csv").write_text("item_id\n0\n")


def test_a_thompson_log_judges_uniform_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_bandit, "FOLDS", 2)
    write_log(tmp_path / "shop" / "bts", THOMPSON, 0)
    write_log(tmp_path / "shop" / "random", np.full(4, 0.25), 1)
    assert [open_bandit.is_one(folder) for folder in folders_of(tmp_path)] == [False, True]
    found = open_bandit.measure(tmp_path / "shop")
    # the mean of CLICK, half of the rows at half the rate
    truth = CLICK.mean() * 0.75

    def near(estimate: PolicyValue, value: float) -> bool:
        return abs(estimate.value - value) < 1.5 * (estimate.high - estimate.value)  # 3 errors

    assert near(found["truth"], truth)
    for name, estimate in found["estimates"].items():
        assert name == "direct method" or near(estimate, truth), name
    # one item at each of two places
    assert near(found["slate"]["estimate"], 2 * truth)
    assert found["logged"].value > found["truth"].value


def test_the_gap_adds_the_errors_of_independent_logs() -> None:
    one = ips(BanditLog([1, 0, 1, 0], [0.5] * 4, [0.5] * 4))
    low, high = gap(one, one)
    assert high == pytest.approx(2**0.5 * (one.high - one.value))
    assert low == -high


def test_weights_mend_what_people_chose_to_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    taste_UI = 3 + rng.normal(0, 1, (80, 1)) + rng.normal(0, 0.7, (80, 40))
    rating_UI = np.clip(np.round(taste_UI), 1, 5)
    chance_UI = np.where(rating_UI >= 4, 0.6, 0.06)  # people rate what they like
    train_UI = np.where(rng.random((80, 40)) < chance_UI, rating_UI, 0)
    test_UI = np.where(rng.random((80, 40)) < 0.3, rating_UI, 0)
    for name, table in zip(ratings.FILES, (train_UI, test_UI, chance_UI), strict=True):
        np.savetxt(tmp_path / name, table)
    monkeypatch.setattr(ratings, "WIDTHS", (0, 2))
    monkeypatch.setattr(ratings, "PENALTIES", (3.0, 10.0))
    assert ratings.is_one(tmp_path)
    found = ratings.measure(tmp_path)
    unseen = found["errors"]["pairs not in train"]
    assert unseen["mse"]["difference"].high < 0
    assert unseen["ratings"] == ((test_UI > 0) & (train_UI == 0)).sum()
    assert found["effective_n"] < found["ratings"]


def test_a_fit_without_noise_is_exact() -> None:
    rng = np.random.default_rng(1)
    rating_UI = 3 + rng.normal(0, 1, (20, 1)) + rng.normal(0, 1, 15)
    rating_UI = rating_UI + rng.normal(0, 1, (20, 2)) @ rng.normal(0, 1, (2, 15))
    weight_UI = rng.uniform(0.5, 2, (20, 15))
    fitted = ratings.fit(rating_UI, weight_UI, 2, 1e-6, 0).predict()
    assert np.abs(fitted - rating_UI).max() < 0.05


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bts").mkdir()
    (tmp_path / "random").mkdir()
    with pytest.raises(DataError, match=r"no log; expected a .* with item_id"):
        open_bandit.read(tmp_path)
    (tmp_path / "bts" / "a.csv").write_text("item_id,click\n1,0\n")
    with pytest.raises(DataError, match=r"a.csv: no column position, propensity_score"):
        open_bandit.read(tmp_path)
    for name, size in zip(ratings.FILES, (2, 2, 3), strict=True):
        np.savetxt(tmp_path / name, np.ones((size, size)))
    with pytest.raises(DataError, match="different shapes"):
        ratings.read(tmp_path)
    np.savetxt(tmp_path / ratings.FILES[2], np.zeros((2, 2)))
    with pytest.raises(DataError, match="propensity is not in"):
        ratings.read(tmp_path)

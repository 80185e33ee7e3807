"""The format of results.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from quintet.errors import DataError
from quintet.metrics import bootstrap_mean, calibration_bins, paired_bootstrap
from quintet.train.results import parse_results, read_results, write_results


def test_figures_from_the_metrics_fit_as_they_are(tmp_path: Path) -> None:
    values = np.array([0.0, 1.0, 1.0])
    written = write_results(
        tmp_path / "results.json",
        {
            "dataset": "tiny",
            "seeds": np.array([1, 2]),
            "models": {"quintet": {"ndcg@10": bootstrap_mean(values), "coverage@10": 0.5}},
            "paired": {"popular": {"ndcg@10": paired_bootstrap(values, 0 * values)}},
            "reliability": {"like": calibration_bins([0, 1], [0.2, 0.7], n_bins=2)},
            "tasks": {"interaction": {"auc": float("nan")}},
            "curves": {"loss": [(0, 1.0), (1, float("nan"))]},
        },
    )
    assert read_results(tmp_path / "results.json") == written
    quintet = written.models["quintet"]
    assert quintet["ndcg@10"].mean == pytest.approx(2 / 3)
    assert quintet["ndcg@10"].n == 3
    assert (quintet["coverage@10"].mean, quintet["coverage@10"].low) == (0.5, None)
    # the baseline's mean is 0: an absolute difference, no relative one
    assert written.paired["popular"]["ndcg@10"].difference == pytest.approx(2 / 3)
    assert written.paired["popular"]["ndcg@10"].relative is None
    assert written.tasks["interaction"]["auc"] is None


def test_the_file_has_the_published_keys(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    figure = {"mean": 0.1, "low": 0.0, "high": 0.2}
    data = {
        "dataset": "d",
        "protocol": "leave-one-out",
        "seeds": [1],
        "models": {"quintet": {"hr@10": figure}},
        "tasks": {"ranking": {"hr@10": 0.1}},
        "seconds": {"train": 1.5},
        "peak_memory_mb": 10.0,
        "command": "quintet demo",
        "versions": {"quintet": "0"},
    }
    write_results(path, data)
    assert json.loads(path.read_text()) == data


def test_keys_of_later_versions_are_kept(tmp_path: Path) -> None:
    write_results(tmp_path / "r.json", {"dataset": "d", "later": {"x": 1}})
    assert json.loads((tmp_path / "r.json").read_text())["later"] == {"x": 1}


def test_the_model_and_metric_that_matter() -> None:
    models = {"popular": {"hr@5": 0.1}, "quintet refit": {"hr@5": 0.2, "ndcg@10": 0.1}}
    results = parse_results({"dataset": "d", "models": models})
    assert (results.main_model, results.main_metric) == ("quintet refit", "ndcg@10")
    assert (
        parse_results({"dataset": "d", "models": models | {"quintet": {}}}).main_model == "quintet"
    )
    other = parse_results({"dataset": "d", "models": {"a": {"rmse": 1.0}}})
    assert (other.main_model, other.main_metric) == ("a", "rmse")
    assert parse_results({"dataset": "d"}).main_model == ""


def test_a_wrong_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"models\.quintet\.hr@10\.mean"):
        parse_results({"dataset": "d", "models": {"quintet": {"hr@10": {"mean": "high"}}}})
    with pytest.raises(DataError, match="results: dataset: Field required"):
        parse_results({})
    with pytest.raises(DataError, match="no such file"):
        read_results(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match="not a JSON file"):
        read_results(tmp_path / "broken.json")

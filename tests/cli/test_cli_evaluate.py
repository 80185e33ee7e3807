"""What ``quintet evaluate`` tells beyond the ranking: tasks, curves, baselines."""

import csv
import io
import json

import pytest

from quintet.market.tables import BEHAVIOURS
from tests.cli.running import SMALL, TINY, done, quintet


@pytest.fixture(scope="module")
def asked(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("asked")
    more = ["--k", "10", "--like-at", "4", "--baselines", "1", "--out", out]
    return done("evaluate", bundle, "market", *SMALL, *more), out


def test_the_report_draws_the_curves_of_the_training(asked, bundle):
    out = asked[1]
    trained = json.loads((bundle / "run.json").read_text())["run"]["curves"]
    results = json.loads((out / "results.json").read_text())
    assert results["curves"] == trained
    page = (out / "report.html").read_text()
    section = page.partition('id="curves"')[2].partition("</section>")[0]
    assert section.count("<svg") == len(trained) > 0


def test_the_tasks_are_told_with_the_threshold_asked_for(asked):
    run, out = asked
    results = json.loads((out / "results.json").read_text())
    assert results["tasks"]["interaction"]["like_at"] == 4
    assert list(results["reliability"]) == [
        "rating of 4 or more, given that it is rated",
        *(f"{name}, given that an episode opens" for name in BEHAVIOURS[1:]),
    ]
    assert "the other tasks" in run.out
    assert f"accuracy {results['tasks']['strategy']['accuracy']:.4g}" in run.out


def test_every_memory_is_a_baseline_or_named_with_the_reason(asked):
    from quintet.memory.base import MEMORIES

    run, out = asked
    results = json.loads((out / "results.json").read_text())
    assert set(results["baselines"]) | set(results.get("skipped", {})) == set(MEMORIES.names())
    for name in results["baselines"]:
        assert (
            results["paired"][name]["ndcg@10"]["low"]
            <= results["models"]["quintet"]["ndcg@10"]["mean"]
            - results["models"][name]["ndcg@10"]["mean"]
        )
        assert name in run.out
        assert f"tuned: {name}:" in run.err
    assert "Baselines, tuned on validation events" in (out / "report.html").read_text()


def test_csv_names_the_task_of_each_figure(bundle):
    text = done("evaluate", bundle, "market", *SMALL, "--k", "10", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    tasks = {row["task"] for row in rows}
    assert {"", "interaction", "profile", "strategy"} <= tasks
    assert all(row["metric"] for row in rows)


@pytest.mark.parametrize(
    ("option", "value"), [("--baselines", 3), ("--like-at", 3), ("--protocol", "global-time")]
)
def test_folds_take_no_option_of_a_bundle(option, value):
    run = quintet("evaluate", "--folds", 2, "market", *SMALL, *TINY, option, value)
    assert run.code == 2
    assert option in run.err

"""The whole path: train, evaluate, recommend, profile, similar, predict; and what each says."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from tests.cli.running import SMALL, TINY, done, quintet


def test_training_says_what_it_made_and_where(trained):
    bundle, summary = trained
    assert summary["users"] == 60
    assert summary["items"] == 50
    assert summary["split"] == "leave_one_out"
    assert (bundle / "card.md").is_file()
    run = json.loads((bundle / "run.json").read_text())["run"]
    assert run["config"]["model"]["width"] == 16
    assert run["command"].startswith("quintet train market")
    assert len(run["curves"]["loss"]) == 1


def test_a_memory_setting_leaves_the_other_memories_alone(tmp_path):
    out = tmp_path / "bundle"
    done("train", "market", *SMALL, *TINY, "--set", "memories.ease.half_life=3.0", "--out", out)
    memories = json.loads((out / "run.json").read_text())["run"]["config"]["memories"]
    assert memories["ease"]["half_life"] == 3.0
    assert {"transitions", "last_item"} <= set(memories)


@pytest.fixture(scope="module")
def measured(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return done("evaluate", bundle, "market", *SMALL, "--out", out, "--format", "json").json, out


def test_evaluation_writes_results_report_and_predictions(measured):
    printed, out = measured
    results = json.loads((out / "results.json").read_text())
    figure = results["models"]["quintet"]["ndcg@10"]
    assert figure["low"] <= figure["mean"] <= figure["high"]
    assert figure["mean"] == pytest.approx(printed["models"]["quintet"]["ndcg@10"]["mean"])
    assert results["seeds"] == [0]
    assert results["command"].startswith("quintet evaluate")
    assert {"popularity", "quintet"} <= set(results["models"])
    assert results["versions"]["quintet"]
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_predictions_hold_twenty_different_items_a_user(measured, bundle):
    lines = (measured[1] / "predictions.tsv").read_text().splitlines()
    n = measured[0]["models"]["quintet"]["ndcg@10"]["n"]
    assert len(lines) == n
    assert len({line.split("\t")[0] for line in lines}) == n
    for line in lines:
        _, items = line.split("\t")
        assert len(set(items.split(" "))) == len(items.split(" ")) <= 20


def test_the_figures_follow_from_the_predictions(measured, bundle):
    """NDCG@10 by hand from the written lists and the targets: 1 / log2(rank + 1) within 10."""
    import numpy as np

    from quintet.bundle import read_bundle

    files = read_bundle(bundle)
    events = files.tables["events"].to_pydict()
    users = files.tables["users"]["__id"].to_pylist()
    items = files.tables["items"]["__id"].to_pylist()
    last = {users[u]: items[i] for u, i in zip(events["user"], events["item"], strict=True)}
    gains = []
    for line in (measured[1] / "predictions.tsv").read_text().splitlines():
        user, listed = line.split("\t")
        ten = listed.split(" ")[:10]
        hit = last[user] in ten
        gains.append(1 / np.log2(ten.index(last[user]) + 2) if hit else 0.0)
    assert np.mean(gains) == pytest.approx(measured[0]["models"]["quintet"]["ndcg@10"]["mean"])


def test_evaluation_as_a_table_and_as_csv(bundle):
    table = done("evaluate", bundle, "market", *SMALL, "--k", "10").out
    assert "ndcg@10" in table
    assert "popularity" in table
    assert "quintet less popularity" in table
    text = done("evaluate", bundle, "market", *SMALL, "--k", "3", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {"ndcg@3", "hr@3"} <= {row["metric"] for row in rows}


def test_evaluation_refuses_other_data_and_another_protocol(bundle):
    other = quintet("evaluate", bundle, "market", *SMALL, "--data", "n_items=51")
    assert other.code == 3
    assert "50 and 51" in other.err
    fewer = quintet("evaluate", bundle, "market", *SMALL, "--data", "seed=1")
    assert fewer.code == 3
    cut = quintet("evaluate", bundle, "market", *SMALL, "--protocol", "global-time")
    assert cut.code == 3
    assert "leave-one-out" in cut.err


def test_a_bundle_is_measured_with_the_protocol_that_it_was_trained_with(tmp_path):
    out = tmp_path / "bundle"
    done("train", "market", *SMALL, *TINY, "--protocol", "global-time", "--out", out)
    results = done("evaluate", out, "market", *SMALL, "--format", "json").json
    assert results["protocol"].startswith("global-time")


def test_cross_validation_measures_every_user_once():
    run = done("evaluate", "--folds", 2, "market", *SMALL, *TINY, "--format", "json")
    figure = run.json["models"]["quintet"]["ndcg@10"]
    assert len(run.json["folds"]) == 2
    assert figure["low"] <= figure["mean"] <= figure["high"]
    assert 30 <= figure["n"] <= 60  # whose newest event opens an episode
    assert figure["fold_deviation"] >= 0


def test_recommend_prints_lists(bundle):
    rows = done("recommend", bundle, "u1", "u2", "--k", 3, "--format", "json").json
    assert [(row["user_id"], row["rank"]) for row in rows] == [
        (user, rank) for user in ("u1", "u2") for rank in (1, 2, 3)
    ]
    assert rows[0]["score"] >= rows[1]["score"] >= rows[2]["score"]
    why = done("recommend", bundle, "u1", "--k", 1, "--reasons", "--format", "json").json
    assert why[0]["reasons"][0]["text"]
    table = done("recommend", bundle, "u1", "--k", 2, "--slate", "--reasons").out
    assert "title" in table
    assert "strategy" in table
    assert "why" in table


def test_recommend_all_writes_every_user_and_agrees_with_one_by_one(bundle, tmp_path):
    path = tmp_path / "lists.parquet"
    done("recommend", bundle, "--all", "--k", 4, "--out", path)
    table = pq.read_table(path)
    assert table.column_names == ["user_id", "item_id", "score", "rank", "basis", "strategy"]
    assert len(set(table["user_id"].to_pylist())) == 60
    assert table.num_rows == 240
    mine = [row["item_id"] for row in table.to_pylist() if row["user_id"] == "u7"]
    alone = done("recommend", bundle, "u7", "--k", 4, "--format", "json").json
    assert mine == [row["item_id"] for row in alone]


def test_recommend_takes_users_from_a_file(bundle, tmp_path):
    (tmp_path / "users.txt").write_text("u3\n\nu4\n")
    out = tmp_path / "some.parquet"
    path = tmp_path / "users.txt"
    done("recommend", bundle, "--users-file", path, "--k", 2, "--reasons", "--out", out)
    rows = pq.read_table(out).to_pylist()
    assert [row["user_id"] for row in rows] == ["u3", "u3", "u4", "u4"]
    assert rows[0]["reasons"][0]["text"]


def test_blocks_do_not_change_the_lists(bundle, tmp_path, monkeypatch):
    from quintet.cli import export

    done("recommend", bundle, "--all", "--k", 2, "--out", tmp_path / "whole.parquet")
    monkeypatch.setattr(export, "BLOCK", 7)
    done("recommend", bundle, "--all", "--k", 2, "--out", tmp_path / "blocks.parquet")
    whole, blocks = (pq.read_table(tmp_path / f"{n}.parquet") for n in ("whole", "blocks"))
    assert blocks.drop_columns("score").equals(whole.drop_columns("score"))


def test_an_unknown_user_gets_what_is_popular_and_is_told(bundle):
    run = done("recommend", bundle, "stranger", "--k", 2, "--format", "json")
    assert {row["basis"] for row in run.json} == {"popular"}
    assert "stranger" in run.err
    assert "popular" in run.err


def test_profile_similar_and_predict(bundle):
    profile = done("profile", bundle, "u1", "--format", "json").json
    assert profile["user_id"] == "u1"
    assert sum(one["weight"] for one in profile["strategy"]) == pytest.approx(1, abs=1e-3)
    assert "what comes next" in done("profile", bundle, "u1").out
    near = done("similar", bundle, "i3", "--k", 3, "--format", "csv").out
    assert [row["rank"] for row in csv.DictReader(io.StringIO(near))] == ["1", "2", "3"]
    pairs = done("predict", bundle, "u1", "i3", "i4", "--format", "json").json
    assert [pair["item_id"] for pair in pairs] == ["i3", "i4"]
    assert all(0 <= pair["p_buy"] <= 1 for pair in pairs)


def test_tune_writes_settings_that_train_accepts(tmp_path):
    best = tmp_path / "best.toml"
    run = done("tune", "market", *SMALL, *TINY, "--trials", 2, "--out", best, "--format", "json")
    assert len(run.json["trials"]) == 2
    assert run.json["trials"][0]["model.width"] == 16  # the settings given are tried first
    assert run.json["score"] == max(trial["ndcg@10"] for trial in run.json["trials"])
    assert "2 trial(s)" in best.read_text()
    done("train", "market", *SMALL, "--config", best, "--out", tmp_path / "bundle")


def test_a_resumed_training_ends_as_an_unbroken_one(tmp_path):
    short = [*SMALL, *TINY]
    first = tmp_path / "first"
    done("train", "market", *short, "--out", first, "--resume")
    assert (tmp_path / "first.checkpoints").is_dir()
    again = done("train", "market", *short, "--out", first, "--resume", "--format", "json")
    assert again.json["epochs"] == 1
    taken = tmp_path / "first.checkpoints"
    fresh = quintet("train", "market", *short, "--out", first, "--checkpoints", taken)
    assert fresh.code == 7
    assert "--resume" in fresh.err


def test_a_refit_learns_from_the_validation_events_too(trained, tmp_path):
    bundle, _ = trained
    again = ["train", "market", *SMALL, *TINY, "--refit", "counts", "--format", "json"]
    summary = done(*again, "--out", tmp_path / "refitted").json
    assert summary["refit"] == "counts"
    counts = [load_file(one / "features.safetensors") for one in (bundle, tmp_path / "refitted")]
    assert counts[1]["count"].sum() > counts[0]["count"].sum()

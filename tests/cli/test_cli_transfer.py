"""From unlabelled logs to a start, and from the start to a bundle; what the guard says."""

import json

import pytest

from tests.cli.running import SMALL, TINY, done, quintet

#: one training a mode: no more than each needs to be one
LIGHT = [*TINY, "--set", 'model.off=["profile","strategy"]', "--set", "memories={transitions={}}"]
FEW = ["--set", "model.width=16", "--set", "loop.epochs=1", "--set", "loop.tokens_per_batch=400"]


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """A data set's file, as pretrain takes several."""
    path = tmp_path_factory.mktemp("market") / "shop.csv"
    users = ["a", "b", "c", "d"] * 10
    rows = [f"{user}{n % 10},i{n * 7 % 12},{n}" for n, user in enumerate(users * 4)]
    path.write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    words = ["red lamp", "blue chair", "green soap", "black brush"]
    items = [f"i{n},{words[n % 4]} {n}" for n in range(12)]
    catalogue = path.with_name("items.csv")
    catalogue.write_text("item_id,title\n" + "\n".join(items) + "\n")
    described = path.with_name("shop.toml")
    described.write_text('logs = ["shop.csv"]\nitems = "items.csv"\n')
    return described


@pytest.fixture(scope="module")
def start(market, tmp_path_factory):
    out = tmp_path_factory.mktemp("start") / "start"
    printed = done("pretrain", market, *FEW, "--out", out, "--format", "json").json
    return out, printed


def test_pretraining_says_what_it_learned(start):
    out, printed = start
    assert printed["objectives"] == "causal, contrast, alignment"
    assert printed["reads"] == "text"
    assert printed["held-out causal"] > 0
    run = json.loads((out / "run.json").read_text())
    assert run["kind"] == "pretrained"
    assert run["run"]["command"].startswith("quintet pretrain")
    assert "quintet finetune" in (out / "card.md").read_text()


def test_objectives_are_named_with_their_weights(market, tmp_path):
    chosen = ["--objective", "causal", "--objective", "contrast=0.3"]
    done("pretrain", market, *FEW, *chosen, "--out", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "run.json").read_text())["run"]["config"]
    assert config["objectives"] == {"causal": {}, "contrast": {"weight": 0.3}}


def test_the_guard_compares_all_modes_and_writes_a_bundle(start, tmp_path):
    out = tmp_path / "bundle"
    arguments = ["finetune", start[0], "market", *SMALL, *LIGHT, "--out", out, "--format", "json"]
    printed = done(*arguments).json
    assert printed["mode"] in ("scratch", "frozen", "adapter", "full")
    assert {f"ndcg@10, {mode}" for mode in ("scratch", "frozen", "adapter", "full")} <= set(printed)
    assert printed["verdict"]
    guard = json.loads((out / "run.json").read_text())["run"]["guard"]
    assert guard["message"] == printed["verdict"]
    assert done("recommend", out, "u1", "--format", "json").json


def test_one_mode_on_few_labels(start, tmp_path):
    arguments = ["--mode", "frozen", "--label-share", "0.5", "--format", "json"]
    run = done("finetune", start[0], "market", *SMALL, *LIGHT, *arguments, "--out", tmp_path / "b")
    assert run.json["mode"] == "frozen"
    assert run.json["split"] == "leave_one_out, 50% of users"
    assert "verdict" not in run.json
    measured = done("evaluate", tmp_path / "b", "market", *SMALL, "--format", "json").json
    assert measured["models"]["quintet"]["ndcg@10"]["n"] > 20


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["--objective", "next"], "unknown objective 'next'", 2),
        (["--objective", "causal=much"], "is no number", 2),
        (["--objective", "masked"], "--backbone bidirectional", 2),
    ],
)
def test_what_pretraining_cannot_do_is_refused(market, tmp_path, arguments, said, code):
    run = quintet("pretrain", market, *FEW, *arguments, "--out", tmp_path / "out")
    assert run.code == code
    assert said in run.err


def test_a_start_answers_nothing(start):
    run = quintet("recommend", start[0], "u1")
    assert run.code == 6
    assert "quintet finetune" in run.err

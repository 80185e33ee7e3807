"""What a mistake looks like: one clear line, the exit code of its kind, never a traceback."""

import shutil

import pytest

from tests.cli.running import SMALL, TINY, quintet


def refused(code: int, *arguments: object) -> str:
    run = quintet(*arguments)
    assert run.code == code, (run.out, run.err)
    assert "Traceback" not in run.err
    assert run.out == ""
    return run.err


def test_a_missing_file_is_named_with_what_there_is(tmp_path):
    told = refused(2, "train", tmp_path / "nothing.csv", "--out", tmp_path / "b")
    assert "nothing.csv" in told
    assert "market" in told


def test_a_missing_table_is_named(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id\na,x\n")
    told = refused(3, "data", "describe", tmp_path / "log.csv", "--items", tmp_path / "no.csv")
    assert "no.csv" in told


def test_a_log_without_items_names_the_column(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,colour\na,red\n")
    assert "item_id" in refused(3, "train", tmp_path / "log.csv", "--out", tmp_path / "b")


def test_an_unknown_setting_lists_the_valid_ones(tmp_path):
    told = refused(2, "train", "market", "--set", "loop.epoch=3", "--out", tmp_path / "b")
    assert "loop.epoch" in told
    assert "learning_rate" in told


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backbone", "gru9"], "transformer"),
        (["--set", "loop.epochs=many"], "loop.epochs"),
        (["--set", "epochs"], "key=value"),
        (["--data", "users=5"], "n_users"),
        (["--config", "no.toml"], "no.toml"),
    ],
)
def test_bad_settings_exit_2(tmp_path, arguments, word):
    assert word in refused(2, "train", "market", *arguments, "--out", tmp_path / "b")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["reccomend"],
        ["train", "market"],
        ["train", "market", "--out", "b", "--device", "tpu"],
        ["recommend", "b"],
        ["recommend", "b", "u1", "--all", "--out", "x.parquet"],
        ["recommend", "b", "--all"],
        ["recommend", "b", "u1", "--out", "x.csv"],
        ["recommend", "b", "u1", "--k", "0"],
        ["evaluate", "b"],
        ["evaluate", "--folds", "3", "b", "market"],
        ["evaluate", "b", "market", "--k", "5,x"],
        ["evaluate", "b", "market", "--set", "loop.epochs=3"],
        ["tune", "market", "--trials", "0", "--out", "x"],
    ],
)
def test_usage_errors_exit_2(arguments):
    refused(2, *arguments)


def test_unknown_ids_exit_4(bundle):
    assert "nobody" in refused(4, "profile", bundle, "nobody")
    assert "no-item" in refused(4, "similar", bundle, "no-item")
    assert "no-item" in refused(4, "predict", bundle, "u1", "no-item")


def test_an_unknown_scenario_lists_those_that_there_are(bundle):
    assert "shop" in refused(2, "recommend", bundle, "u1", "--scenario", "moon")


def test_no_bundle_and_a_damaged_one_exit_6(bundle, tmp_path):
    assert "quintet train" in refused(6, "recommend", tmp_path / "none", "u1")
    damaged = shutil.copytree(bundle, tmp_path / "damaged")
    weights = damaged / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    for command in (["recommend", damaged, "u1"], ["evaluate", damaged, "market", *SMALL]):
        assert "weights.safetensors" in refused(6, *command)


def test_a_folder_with_other_files_is_refused_before_training(tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    assert "other files" in refused(6, "train", "market", *SMALL, *TINY, "--out", tmp_path)


def test_debug_raises(bundle, monkeypatch):
    from quintet.errors import UnknownIdError

    monkeypatch.setenv("QUINTET_DEBUG", "1")
    with pytest.raises(UnknownIdError):
        quintet("similar", bundle, "no-item")


def test_an_unexpected_error_says_how_to_see_more(bundle, monkeypatch):
    from quintet.serve.recommender import Recommender

    def broken(*_):
        raise RuntimeError("the cat sat on the keyboard")

    monkeypatch.setattr(Recommender, "similar", broken)
    told = refused(70, "similar", bundle, "i1")
    assert "the cat sat" in told
    assert "QUINTET_DEBUG" in told


def test_titles_cannot_steer_the_terminal():
    from quintet.cli.console import plain

    assert plain("red\x1b[31m\x07lamp\n") == "red [31m lamp "

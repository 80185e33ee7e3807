"""What a slip of the pen may cost: nothing that stood there, and no hour of waiting."""

from __future__ import annotations

import json

import pytest

from quintet.store import Event, open_store
from tests.cli.running import SMALL, TINY, done, quintet
from tests.cli.test_cli_errors import refused


@pytest.mark.parametrize("manifest", ['{"name": "my web app"}', '["x"]', "not JSON"])
def test_a_folder_of_something_else_is_left_as_it_is(tmp_path, manifest):
    """It holds a ``manifest.json``, as many folders do."""
    (tmp_path / "manifest.json").write_text(manifest)
    (tmp_path / "thesis.txt").write_text("precious")
    assert "other files" in refused(6, "train", "market", *SMALL, *TINY, "--out", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "manifest.json").read_text() == manifest


def test_what_was_laid_beside_a_bundle_is_not_deleted_with_it(bundle, tmp_path):
    import shutil

    copy = shutil.copytree(bundle, tmp_path / "b")
    (copy / "notes.txt").write_text("mine")
    assert "notes.txt" in refused(6, "train", "market", *SMALL, *TINY, "--out", copy)
    assert (copy / "notes.txt").read_text() == "mine"


@pytest.fixture
def journal(tmp_path):
    """A journal of two events."""
    with open_store(tmp_path / "state" / "journal") as store:
        for item in ("i1", "i2"):
            event = {"event_id": f"e{item}", "item_id": item, "user_id": "u1"}
            store.append([Event(**event, timestamp=1_700_000_000_000_000)])
    return tmp_path / "state" / "journal"


def test_a_backup_does_not_write_over_a_bundle(bundle, journal):
    before = (bundle / "manifest.json").read_text()
    told = quintet("journal", "backup", journal, "--folder", bundle)
    assert told.code != 0
    assert "other files" in told.err
    assert (bundle / "manifest.json").read_text() == before
    assert not list(bundle.glob("records-*"))


@pytest.mark.parametrize(
    "command",
    [
        ["journal", "verify", "{typo}"],
        ["journal", "backup", "{typo}", "--folder", "{typo}-backup"],
        ["journal", "restore", "{typo}", "--folder", "{typo}-no-backup"],
        ["train", "market", "--from-journal", "{typo}", "--out", "{typo}-bundle"],
        ["update", "{bundle}", "{typo}-new", "--store", "{typo}"],
    ],
)
def test_reading_makes_no_journal_where_none_is(command, bundle, tmp_path):
    typo = tmp_path / "typo"
    run = quintet(*(part.format(typo=typo, bundle=bundle) for part in command))
    assert run.code != 0
    assert "Traceback" not in run.err
    assert not typo.exists()


def test_tables_of_the_command_line_go_with_the_journal(journal, tmp_path):
    log = "".join(f"u{n % 7},i{n % 5},{1_600_000_000 + n}\n" for n in range(60))
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\n" + log)
    items = "".join(f"i{n},thing {n}\n" for n in range(5))
    (tmp_path / "items.csv").write_text("item_id,title\n" + items)
    out, tables = tmp_path / "b", ["--items", tmp_path / "items.csv"]
    train = ["train", tmp_path / "events.csv", *tables, "--from-journal", journal, *TINY]
    done(*train, "--out", out)
    assert "thing 3" in done("recommend", out, "u1", "--k", "4").out
    assert json.loads((out / "run.json").read_text())["run"]["journal_offset"] == 2


@pytest.mark.parametrize(
    "setting",
    [
        "model.width=0",
        "loop.learning_rate=-1",
        "loop.learning_rate=nan",
        "loop.validate_every=0",
        "loop.epochs=-1",
        "loop.clip=-1",
        "calibration_share=2",
        "model.identity_dropout=5",
        "model.longest=0",
        "fusion_targets=-5",
        "seed=-1",
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting, tmp_path):
    told = refused(2, "train", "market", "--set", setting, "--out", tmp_path / "b")
    assert setting.partition("=")[0] in told


def test_a_width_that_heads_cannot_share_is_refused(tmp_path):
    given = [*SMALL, *TINY, "--set", "model.backbone_settings.heads=3"]
    told = refused(2, "train", "market", *given, "--out", tmp_path / "b")
    assert "a width of 16 cannot be shared by 3 heads evenly" in told


def test_refused_rows_are_shown_by_an_example(tmp_path):
    rows = "".join(f"u{n % 9},i{n % 4},{'good' if n == 2 else 3}\n" for n in range(40))
    (tmp_path / "log.csv").write_text("user_id,item_id,rating\n" + rows)
    for command in (
        ["train", tmp_path / "log.csv", *TINY, "--out", tmp_path / "b"],
        ["data", "convert", tmp_path / "log.csv", tmp_path / "folder"],
    ):
        told = done(*command).err
        assert "1 unreadable value (row 3, column value: 'good')" in told


def test_a_device_that_is_not_there_is_refused_everywhere(bundle, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # here there may be one
    assert "sees no GPU" in refused(2, "recommend", bundle, "u1", "--device", "cuda")


def test_where_results_cannot_go_is_told_first(bundle, tmp_path):
    (tmp_path / "file").write_text("x")
    told = refused(2, "tune", "market", *SMALL, "--trials", "2", "--out", tmp_path)
    assert "is a folder" in told
    told = refused(2, "evaluate", bundle, "market", *SMALL, "--out", tmp_path / "file")
    assert "is a file" in told


def test_nothing_held_out_is_said_and_no_evaluation_is_proposed(tmp_path):
    rows = "".join(f"u{n},i{n % 4}\n" for n in range(40))
    (tmp_path / "log.csv").write_text("user_id,item_id\n" + rows)
    run = done("train", tmp_path / "log.csv", *TINY, "--out", tmp_path / "b")
    assert "nothing was held out" in run.out
    assert "quintet evaluate" not in run.err


def test_ids_are_never_cut_in_a_table(monkeypatch, tmp_path):
    from quintet.cli.console import grid, out

    name = "cdbd47d3-64be-8049-a372-db8f2c4b9a11"
    row = {"user_id": name, "item_id": name[::-1], "title": "a long title " * 4, "score": 12.345678}
    for width in (80, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        console = out()
        with console.capture() as captured:
            console.print(grid("", [row]))
        text = captured.get()
        assert "12.3457" in text
        assert "…" not in text
        columns = [line.split()[:2] for line in text.splitlines()[2:]]
        firsts = "".join(parts[0] for parts in columns if parts)
        assert firsts.startswith(name if width == 100 else name[:20])
    assert name in text
    assert name[::-1] in text


def test_tuples_are_lists_in_csv(capsys):
    from quintet.cli.console import Format, emit

    emit(Format.CSV, [{"name": "k", "scopes": ("read", "write")}])
    assert capsys.readouterr().out == 'name,scopes\nk,"[""read"", ""write""]"\n'


@pytest.mark.parametrize("width", [60, 80, 160])
def test_headings_and_numbers_are_whole_in_any_width(monkeypatch, width):
    import io

    from rich.console import Console

    from quintet.cli import console

    drawn = Console(file=io.StringIO(), width=width)
    monkeypatch.setattr(console, "out", lambda: drawn)
    row = {"trial": 1, "ndcg@10": 0.1234, "loop.learning_rate": 0.0023, "width": 64, "layers": 2}
    drawn.print(console.grid("", [row | {"model.tasks.strategy.weight": 0.25}]))
    text = drawn.file.getvalue()
    for whole in ("trial", "ndcg@10", "width", "layers", "0.1234", "0.0023", "64", "0.2500"):
        assert whole in text

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.data import Asked, read
from benchmarks.peers.assemble import assemble
from benchmarks.peers.picture import Curve
from benchmarks.peers.protocol import Record, Sequences, ranking, target_ranks
from benchmarks.peers.roofline import epoch_flops
from benchmarks.peers.sessions import Sessions
from benchmarks.peers.sides import alternate, command, epochs_of, medians, read_lines
from benchmarks.peers.summary import cost_per_event, reach
from benchmarks.peers.write_sequences import lines
from benchmarks.session_data import read_sessions
from quintet.data.split import Part
from quintet.errors import ConfigError, DataError

FILE = "ann x y z\nbob y w\ncid z x w y\n"
ROWS = {"x": 0, "y": 1, "z": 2, "w": 3}


def sequences(folder: Path, text: str = FILE) -> Path:
    path = folder / "sequences.txt"
    path.write_text(text, encoding="utf8")
    return path


def test_the_last_two_events_are_held_out_of_users_who_have_three(tmp_path: Path) -> None:
    data = Sequences.read(sequences(tmp_path))

    assert data.items == ["x", "y", "z", "w"]
    assert [own.tolist() for own in data.train] == [[0], [1, 3], [2, 0]]
    histories, targets = data.held_out(2)
    assert [own.tolist() for own in histories] == [[0], [2, 0]]
    assert targets.tolist() == [ROWS["y"], ROWS["w"]]
    histories, targets = data.held_out(1)
    assert [own.tolist() for own in histories] == [[0, 1], [2, 0, 3]]
    assert targets.tolist() == [ROWS["z"], ROWS["y"]]


def test_ranks_skip_the_history_and_break_ties_by_the_order() -> None:
    order_I = np.array([3, 0, 2, 1])
    scores_BI = np.array([[9, 5, 7, 1], [4, 4, 4, 4]], np.float32)

    # row 0: item 0 is history, so only 2 (7) stands before 1 (5)
    # row 1: all tie; of 0, 2, 3 (orders 3, 2, 1), item 0 is history: 3 stands before 2
    ranks = target_ranks(scores_BI, [np.array([0]), np.array([0, 1])], np.array([1, 2]), order_I)

    assert ranks.tolist() == [1, 1]


def test_a_target_in_the_masked_history_is_missed() -> None:
    asked = lambda _: np.arange(20, dtype=np.float32)[None], [np.array([19, 18])], np.array([19])

    assert ranking(*asked) == {"ndcg@10": 0.0, "hr@10": 0.0}
    assert ranking(*asked, masked=False) == {"ndcg@10": 1.0, "hr@10": 1.0}


def test_peers_split_sessions_as_quintet_does(tmp_path: Path) -> None:
    train = sequences(tmp_path, "".join(f"a{n} b{n} c c{n}\nx y\n" for n in range(10)))
    tests = tmp_path / "tests.txt"
    tests.write_text("a1 b1\tc\nx\tq\n", encoding="utf8")
    data = Sessions.read_files(train, tests)
    encoded, split = read_sessions(train, tests)

    ids = np.array(encoded.items.values.to_pylist())
    assert sorted(data.items) == sorted(ids)
    named = [[data.items[row] for row in own] for own in data.train]
    own = [list(ids[items]) for items in np.split(split.train.item, split.train.offsets[1:-1])]
    assert named == own[: len(named)]
    for back, part in ((2, Part.VALID), (1, Part.TEST)):
        histories, targets = data.held_out(back)
        rows = np.flatnonzero(split.part == part)
        assert [data.items[row] for row in targets] == list(ids[split.events.item[rows]])
        before = split.events.before(rows)
        known = np.split(before.item, before.offsets[1:-1])
        for history, items in zip(histories, known, strict=True):
            assert [data.items[row] for row in history] == list(ids[items])


def test_metrics_are_those_of_one_relevant_item() -> None:
    scores_BI = np.array([np.arange(20), np.arange(20)], np.float32)
    histories = [np.array([19]), np.array([0])]

    # after its history: target 18 is first (gain 1); target 17 is third (gain 1 / log2(4))
    figures = ranking(lambda _: scores_BI, histories, np.array([18, 17]))

    assert figures == {"ndcg@10": pytest.approx((1 + 1 / 2) / 2), "hr@10": 1.0}


def test_a_run_leaves_its_lines_and_stops_when_validation_stays_away(tmp_path: Path) -> None:
    data = Sequences.read(sequences(tmp_path, "u " + " ".join(f"i{n}" for n in range(14)) + "\n"))
    record = Record(tmp_path / "lines.jsonl", data, patience=2)
    # behind i0 ... i11, i12 is the target: second by the first order, first by the other
    worse_I, better_I = np.arange(14), -np.arange(14)
    goes_on = []
    for epoch in range(4):
        record.begin()
        scores_I = better_I if epoch == 1 else worse_I
        goes_on.append(record.end(lambda own, s=scores_I: np.tile(s, (len(own), 1)), loss=1.0))

    lines = read_lines(tmp_path / "lines.jsonl")
    assert goes_on == [True, True, True, False]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert ["test" in line for line in lines] == [True, True, False, False]
    assert all(line["seconds"] >= 0 and line["cpu_seconds"] >= 0 for line in lines)


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"event": "epoch", "epoch": 1}\n{"event": "epo', encoding="utf8")

    assert read_lines(path) == [{"event": "epoch", "epoch": 1}]

    path.write_text('{"event": "start"}\n', encoding="utf8")
    with pytest.raises(DataError, match="no epoch"):
        read_lines(path)


def test_work_is_counted_from_the_architecture() -> None:
    # D = 2, one layer, expansion 4, one window of 3 events, 10 items; multiply-adds count twice
    dense = 3 * (2 * 3 * (4 + 2 * 4) * 2**2)
    attention = 3 * (4 * 2 * (3 * 4 / 2))
    softmax = 3 * (2 * 3 * 10 * 2)

    work = epoch_flops([np.arange(3)], 10, width=2, layers=1, expansion=4, longest=50)

    assert work["targets"] == 3
    assert work["encoder_gflop"] == pytest.approx((dense + attention) / 1e9)
    assert work["softmax_gflop"] == pytest.approx(softmax / 1e9)


def test_long_histories_are_counted_in_windows() -> None:
    parts = {"width": 2, "layers": 1, "expansion": 4, "longest": 2}

    whole = epoch_flops([np.arange(7)], 10, **parts)
    pieces = epoch_flops([np.arange(3), np.arange(3), np.arange(1)], 10, **parts)

    assert whole == pieces


def test_times_to_a_peers_best_are_first_epochs_at_least_as_good() -> None:
    ours = Curve("quintet", [5.0, 10.0, 15.0], [0.02, 0.04, 0.05])
    slow = Curve("slow", [100.0, 200.0, 300.0], [0.03, 0.04, 0.035])
    strong = Curve("strong", [100.0], [0.06])

    ended = {"checkpoint": (40.0, 0.055), "neural_towers": (50.0, 0.07)}
    table = reach(ours, [slow, strong], ended)

    assert table["slow"]["its_seconds"] == 200.0
    assert table["slow"]["tower_seconds"] == 10.0
    assert table["slow"]["tower_times_sooner"] == 20.0
    assert table["slow"]["checkpoint_times_sooner"] == 5.0
    assert table["strong"]["tower_seconds"] is None
    assert table["strong"]["checkpoint_reaches"] is False
    assert table["strong"]["neural_towers_times_sooner"] == 2.0


def test_the_cost_of_an_event_is_set_against_all_users() -> None:
    def run(events: int, *cpu: float) -> list[dict]:
        epochs = [{"event": "epoch", "cpu_seconds": one} for one in cpu]
        return [{"event": "prepared", "n_examples": events}, *epochs]

    table = cost_per_event({0.5: run(100, 1.2, 9.9, 1.1), 1.0: run(200, 2.0, 2.0, 2.0)})

    assert table["by_share"]["0.5"]["cpu_us_per_event"] == pytest.approx(1.2e6 / 100)
    assert table["by_share"]["0.5"]["relative"] == pytest.approx(1.2)
    assert table["greatest_departure"] == pytest.approx(0.2)


def test_sides_that_cannot_run_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown side 'surprise'; choose among: quintet"):
        command("surprise", tmp_path, tmp_path / "f", [])
    with pytest.raises(ConfigError, match=r"build it with `benchmarks/peers/install\.sh"):
        command("recbole:256", tmp_path, tmp_path / "f", [])


def test_quintet_takes_its_turns_in_a_process_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = "".join(
        f"u{u} " + " ".join(f"i{i}" for i in rng.permutation(80)[: rng.integers(4, 9)]) + "\n"
        for u in range(60)
    )
    path = sequences(tmp_path, text)
    line = command("quintet:200", tmp_path, path, ["--threads", "1", "--validate"])

    told = alternate({"quintet": line}, epochs=2, threads=1)
    (tmp_path / "epochs.json").write_text(json.dumps(told), encoding="utf8")
    results = assemble(tmp_path, "tiny", "a command")

    data = Sequences.read(path)
    epochs = epochs_of(told["quintet"])
    prepared = next(one for one in told["quintet"] if one["event"] == "prepared")
    assert [one["epoch"] for one in epochs] == [1, 2]
    assert prepared["n_examples"] == sum(len(own) for own in data.train)
    assert all(0 <= one["valid"]["ndcg@10"] <= one["valid"]["hr@10"] <= 1 for one in epochs)
    assert results["seconds"]["epoch: quintet"] == medians(told["quintet"])["seconds"]
    assert json.loads((tmp_path / "results.json").read_text())["dataset"] == "tiny"


def test_what_is_written_for_the_peers_is_what_was_read(tmp_path: Path) -> None:
    encoded, _ = read(Asked(str(sequences(tmp_path))))
    assert "".join(f"{line}\n" for line in lines(encoded)) == FILE

"""The benchmark's data: files of sequences, what is refused, and runs that may be one day."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.data import Asked, read, read_sequences, shuffle_runs
from quintet.data.split import Part
from quintet.errors import DataError

SEQUENCES = "ann x y z\nbob y w x y\ncid z\n"
ITEMS = "item_id\ttitle\tkind\tasin\nx\tred lamp\ta\tB1\ny\tchair\tb\tB2\nz\tsoap\ta\tB3\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set called small."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "sequences.txt").write_text(SEQUENCES)
    (tmp_path / "small" / "items.tsv").write_text(ITEMS)
    return tmp_path


def test_a_name_is_a_folder(folder: Path) -> None:
    encoded, split = read(Asked("small", folder=folder))
    assert encoded.name == "small"
    assert encoded.users.values.to_pylist() == ["ann", "bob", "cid"]
    histories = [encoded.items.ids(split.events.users([user]).item) for user in range(3)]
    assert histories == [["x", "y", "z"], ["y", "w", "x", "y"], ["z"]]
    # the last is the test, the one before it validation; one event is training alone
    train, valid, test = Part.TRAIN, Part.VALID, Part.TEST
    assert split.part.tolist() == [train, valid, test, train, train, valid, test, train]
    assert {"title", "kind", "asin"} <= set(encoded.item_table.column_names)


def test_a_file_is_named_by_its_stem_and_needs_no_catalogue(folder: Path) -> None:
    encoded, _ = read(Asked(str(folder / "small" / "sequences.txt")))
    assert encoded.name == "sequences"
    assert set(encoded.item_table.column_names) <= {"item_id"}


def test_columns_may_be_left_out(folder: Path) -> None:
    whole, _ = read(Asked("small", folder=folder))
    encoded, split = read(Asked("small", folder=folder, leave_out=("title", "asin")))
    gone = set(whole.item_table.column_names) - set(encoded.item_table.column_names)
    assert gone == {"title", "asin"}
    assert len(split.events) == 8


def test_what_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no data set 'nope': .*QUINTET_DATA") as told:
        read(Asked("nope", folder=folder))
    assert str(folder) in str(told.value)
    with pytest.raises(DataError, match=r"nope\.tsv"):
        read(Asked("small", folder / "nope.tsv", folder))


@pytest.mark.parametrize("line", ["ann", "", "  "])
def test_a_line_without_items_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.txt"
    path.write_text(f"bob x y\n{line}\ncid z\n")
    with pytest.raises(DataError, match=r"broken\.txt:2: .*give `user item"):
        read_sequences(path)


# ---------------------------------------------------------------- runs that may be one day


def test_runs_by_hand() -> None:
    # keys rise over a, b, c (a tie is no fall), fall to d, rise to e: two runs
    found = {
        tuple(shuffle_runs(list("abcde"), list("12203"), np.random.default_rng(seed)))
        for seed in range(300)
    }
    firsts, seconds = {own[:3] for own in found}, {own[3:] for own in found}
    assert all(set(own) == set("abc") for own in firsts)
    assert seconds == {("d", "e"), ("e", "d")}
    assert len(found) == 6 * 2, "every order of each run"


def test_falling_keys_leave_everything_in_place() -> None:
    for seed in range(5):
        assert shuffle_runs(list("abc"), list("321"), np.random.default_rng(seed)) == list("abc")
    assert shuffle_runs([], [], np.random.default_rng(0)) == []


@given(st.lists(st.integers(0, 4), max_size=20), st.integers(0, 100))
def test_items_stay_within_their_run(values: list[int], seed: int) -> None:
    items = [f"i{place}" for place in range(len(values))]
    out = shuffle_runs(items, [str(value) for value in values], np.random.default_rng(seed))
    run = np.cumsum([0, *(int(b < a) for a, b in pairwise(values))])
    assert sorted(out) == sorted(items)
    assert [run[int(item[1:])] for item in out] == list(run[: len(items)])


def test_ties_are_shuffled_by_the_catalogues_column(folder: Path) -> None:
    encoded, split = read(Asked("small", folder=folder, tie_seed=3))
    histories = [encoded.items.ids(split.events.users([user]).item) for user in range(3)]
    rng = np.random.default_rng(3)
    keys = {"x": "B1", "y": "B2", "z": "B3", "w": ""}  # the last is in no catalogue
    given = [line.split()[1:] for line in SEQUENCES.splitlines()]
    assert histories == [shuffle_runs(own, [keys[item] for item in own], rng) for own in given]
    assert histories != given
    with pytest.raises(DataError, match=r"no column 'day'; columns: .*asin"):
        read(Asked("small", folder=folder, tie_column="day", tie_seed=0))
    with pytest.raises(DataError, match="give --items"):
        read(Asked(str(folder / "small" / "sequences.txt"), tie_seed=0))

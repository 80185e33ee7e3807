"""Folders of domains as one log with scenarios."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.two_domains import read_domains, read_pairs, turns, without_twins
from quintet.data.split import Part
from quintet.errors import DataError


def folder(tmp_path: Path) -> Path:
    files = {
        "cloth/train.txt": "0 5 1\n0 6 1\n0 7 1\n1 9 1\n",
        "cloth/test.txt": "0 8 1\n",
        "sport/train.txt": "0\t5\t1\n0\t9\t1\n1\t5\t1\n1\t6\t1\n1\t7\t1\n",
        "sport/test.txt": "1 8 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_domains_are_scenarios_and_their_items_are_their_own(tmp_path: Path) -> None:
    encoded, split = read_domains(folder(tmp_path), 10, 0)
    assert encoded.scenarios == ["cloth", "sport"]
    assert len(encoded.events) == 11
    assert {"cloth 5", "sport 5"} <= set(encoded.items.values.to_pylist())
    test = np.flatnonzero(split.part == Part.TEST)
    assert {encoded.items.ids([i])[0] for i in split.events.item[test]} == {"cloth 8", "sport 8"}
    valid = np.flatnonzero(split.part == Part.VALID)
    # the newest training line of a user and domain, where there are more than two
    assert {encoded.items.ids([i])[0] for i in split.events.item[valid]} == {"cloth 7", "sport 7"}
    last = split.events.offsets[1:] - 1
    assert (split.part[last] == Part.TEST).all()


def test_a_purchase_under_two_numbers_does_not_tell_its_own_answer() -> None:
    # users 0, 1 and 2 bought one item, cloth 3 and sport 9; sport tests user 0's purchase of it, so
    # cloth may not tell it, nor sport that of user 2, which validates in cloth; user 1's is old
    others = [[user, 4] for user in range(3, 9)] + [[user, 5] for user in range(3, 9)]
    rows = {
        ("cloth", "train"): np.array([[0, 3], [0, 4], [0, 5], [1, 3], [1, 4], [2, 3], *others]),
        ("cloth", "test"): np.array([[2, 4]]),
        ("sport", "train"): np.array([[0, 7], [0, 8], [1, 9], [1, 7], [2, 9], [2, 8], [5, 8]]),
        ("sport", "test"): np.array([[0, 9], [4, 7], [3, 7]]),
    }
    left = without_twins(rows, ["cloth", "sport"])
    assert left["cloth", "train"].tolist() == rows["cloth", "train"].tolist()[1:]
    assert left["sport", "train"].tolist() == np.delete(rows["sport", "train"], 4, 0).tolist()
    for untouched in (("cloth", "test"), ("sport", "test")):
        assert left[untouched].tolist() == rows[untouched].tolist()


def test_turns_spread_lines_over_their_user() -> None:
    pairs = np.array([[1, 5], [0, 5], [1, 6]])
    assert turns(pairs).tolist() == [0.25, 0.5, 0.75]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two folders or more"):
        read_domains(tmp_path, 10, 0)
    with pytest.raises(DataError, match="no such file"):
        read_pairs(tmp_path / "gone.txt")
    (tmp_path / "bad.txt").write_text("0 1 1\nzero one\n")
    with pytest.raises(DataError, match=r"bad.txt, line 2: expected 'user item', found 'zero one'"):
        read_pairs(tmp_path / "bad.txt")

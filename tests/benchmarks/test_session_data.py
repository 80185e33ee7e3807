from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.session_data import read_sessions
from quintet.data.split import Part
from quintet.errors import DataError
from quintet.train.refit import with_validation

TRAIN = "a b a\nc d\n\nb c d e\na c b\n"
TEST = "b a\ta\nb\ta\n"


def files(folder: Path, train: str = TRAIN, test: str = TEST) -> tuple[Path, Path]:
    paths = folder / "train.txt", folder / "test.txt"
    for path, text in zip(paths, (train, test), strict=True):
        path.write_text(text, encoding="utf8")
    return paths


def labels(split) -> list[str]:
    """The parts of each user's events, a letter an event."""
    letters = np.array([Part(part).name[0] for part in split.part])
    return ["".join(letters[a:b]) for a, b in pairwise(split.events.offsets)]


def test_the_newest_sessions_are_held_out_whole(tmp_path: Path) -> None:
    encoded, split = read_sessions(*files(tmp_path), valid=0.7)
    # of three sessions long enough the last two; test lines are history and one target
    assert labels(split) == ["TTT", "TT", "HHVV", "HHV", "HHT", "HT"]
    assert encoded.items.ids(encoded.events.users([2, 4]).item) == [*"bcde", *"baa"]
    assert encoded.users.ids([0, 5]) == ["session 1", "test 2"]


def test_of_drawn_sessions_the_last_event_is_held_out(tmp_path: Path) -> None:
    paths = files(tmp_path)
    drawn = {
        tuple(labels(read_sessions(*paths, held_out="random", valid=0.34, seed=seed)[1]))
        for seed in range(20)
    }
    rest = ("HHT", "HT")
    assert drawn == {
        ("TTV", "TT", "TTTT", "TTT", *rest),
        ("TTT", "TT", "TTTV", "TTT", *rest),
        ("TTT", "TT", "TTTT", "TTV", *rest),
    }


def test_a_refit_learns_the_training_file_and_nothing_else(tmp_path: Path) -> None:
    _, split = read_sessions(*files(tmp_path), valid=0.7)
    assert with_validation(split).train.lengths.tolist() == [3, 2, 4, 3, 0, 0]
    assert split.train.lengths.tolist() == [3, 2, 0, 0, 0, 0]


@pytest.mark.parametrize("broken", ["a b", "a\tb c", "\tb", "a b\t"])
def test_a_broken_test_line_is_named(tmp_path: Path, broken: str) -> None:
    paths = files(tmp_path, test=f"a b\tc\n\n{broken}\n")
    with pytest.raises(DataError, match=r"test\.txt:3: give"):
        read_sessions(*paths)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no lines"):
        read_sessions(*files(tmp_path, train="\n"))

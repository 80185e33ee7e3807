"""The friends benchmark on circles of friends who listen to the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import friends, lightgcn
from benchmarks.friends import AUC, FILES, QUINTET, RECALL, Friends, Hidden
from quintet.data.people import SELF
from quintet.data.split import Part
from quintet.errors import DataError
from quintet.train.results import Results, read_results

N_PEOPLE, CIRCLES = 60, 5
SMALL = {
    "model": {"off": ["profile", "strategy", "interaction"], "width": 16},
    "loop": {"epochs": 1},
    "refit_epochs": 1,
    "memories": {"user_cosine": {}, f"content_neighbours@{SELF}": {"k": 20}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People of a circle are friends half of the time, and listen to two artists of their own."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("friends")
    edges, listens = ["userID\tfriendID"], ["userID\tartistID\tweight"]
    for one in range(N_PEOPLE):
        circle = one % CIRCLES
        listens += [f"{one + 7}\t{artist}\t3" for artist in (10 * circle, 10 * circle + 1)]
        for other in range(one + 1, N_PEOPLE):
            if other % CIRCLES == circle and rng.random() < 0.5:
                edges += [f"{one + 7}\t{other + 7}", f"{other + 7}\t{one + 7}"]
    for name, lines in zip(FILES, (edges, listens), strict=True):
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    fast = [replace(one, epochs=20) for one in list(lightgcn.grid())[::4]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(friends, "SETTINGS", SMALL)
        patch.setattr(lightgcn, "grid", lambda: fast)
        out = str(folder / "out")
        patch.setattr("sys.argv", ["friends", str(folder), "--draws", "1", "--out", out])
        friends.main()
    return read_results(folder / "out" / "results.json")


def test_both_directions_of_a_pair_are_hidden_together(folder: Path) -> None:
    read = Friends.read(folder)
    assert read.n_people == N_PEOPLE
    hidden = Hidden.of(read.pairs_P2, 0)
    parts = [read.known(own) for own in (hidden.train_P2, hidden.valid_P2, hidden.test_P2)]
    assert (np.sum(parts, axis=0) == read.known(read.pairs_P2)).all(), "each pair is in one part"
    assert all((own == own.T).all() for own in parts)
    assert len(hidden.test_P2) == len(hidden.valid_P2) == round(0.1 * len(read.pairs_P2))


def test_what_is_held_out_is_in_no_history_and_no_friendship(folder: Path) -> None:
    read = Friends.read(folder)
    hidden = Hidden.of(read.pairs_P2, 0)
    encoded, split = friends.as_events(read, hidden, hidden.train_P2)
    people, them = (np.array(v.values.to_pylist()) for v in (encoded.users, encoded.items))
    events = split.events
    met = np.zeros((N_PEOPLE, N_PEOPLE), bool)
    for part, pairs in ((Part.TRAIN, hidden.train_P2), (Part.VALID, hidden.valid_P2)):
        own = split.part == part
        met[:] = False
        met[people[events.group()[own]], them[events.item[own]]] = True
        if part == Part.TRAIN:
            assert met.diagonal().all(), "everybody begins with themselves"
            np.fill_diagonal(met, False)
        assert (met == read.known(pairs)).all()
    related = read.known(people[encoded.friends])
    assert (related == read.known(hidden.train_P2)).all()


def test_figures_by_hand() -> None:
    known, hidden = np.zeros((2, 30, 30), bool)
    hidden[0, 1] = hidden[0, 2] = True
    scores = np.zeros((30, 30), np.float32)
    scores[0, 1], scores[0, 0], scores[0, 2] = 1, 9, -1
    # 27 strangers tie at 0: one hidden friend stands above them all, the other below
    assert friends.recalled(scores, known, hidden).tolist() == [0.5]
    assert friends.above_strangers(scores, known, hidden).tolist() == [0.5]
    scores[0, 2] = 0
    assert friends.above_strangers(scores, known, hidden).tolist() == [0.75]


def test_strangers_have_as_many_friends() -> None:
    known, hidden = np.zeros((2, 200, 200), bool)
    known[100:150, 150:] = known[150:, 100:150] = True  # 50 friends each, the others none
    hidden[0, 100] = True
    scores = np.tile(known.sum(1).astype(np.float32), (200, 1))
    assert friends.above_strangers(scores, known, hidden).tolist() == [0.5], "popularity is no help"


def test_adamic_adar_by_hand() -> None:
    known = np.zeros((5, 5), bool)
    for one, other in ((0, 1), (1, 2), (0, 3), (3, 2), (3, 4)):
        known[one, other] = known[other, one] = True
    expected = 1 / np.log(2) + 1 / np.log(3)
    assert friends.adamic_adar(known)[0, 2] == pytest.approx(expected)
    assert friends.common_neighbours(known)[0, 2] == 2


def test_every_row_is_measured_and_compared(folder: Path, results: Results) -> None:
    names = {"common neighbours", "Adamic-Adar", "LightGCN"}
    assert set(results.models) == names | {QUINTET}
    assert set(results.paired) == names
    for own in results.models.values():
        assert own[RECALL].mean > 0.7, "ten people of one's circle are not known yet"
        assert own[AUC].mean > 0.7
    assert (folder / "out" / "friends.svg").exists()


def test_a_broken_line_and_a_missing_file_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no .*user_friends\.dat"):
        Friends.read(tmp_path)
    for name in FILES:
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "user_friends.dat").write_text("userID\tfriendID\n1\tx\n")
    with pytest.raises(DataError, match=r"user_friends\.dat:2: give 2 whole numbers"):
        Friends.read(tmp_path)

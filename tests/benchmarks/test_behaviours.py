"""The behaviours benchmark on edges that tell the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import behaviours
from benchmarks.behaviours import ALL, AUXILIARY, BUYS, FILES, NEW, Edges
from quintet.errors import DataError
from quintet.train.results import Results, read_results

N_USERS, N_ITEMS, N_KINDS = 60, 40, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everybody keeps to one kind of item, and clicks on most of what is bought."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("edges")
    edges: dict[str, list[str]] = {name: [] for name in FILES}
    for user in range(N_USERS):
        own = rng.permutation(N_ITEMS // N_KINDS) * N_KINDS + user % N_KINDS
        for name, some in (
            ("train", own[:2]),
            ("validation", own[2:3]),
            ("test", own[3:5]),
            ("click", own[1:7]),
            ("collect", own[3:4]),
            ("cart", own[8:9]),
        ):
            edges[name] += [f"{user} {item}" for item in some]
    for name, lines in edges.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv",
            ["behaviours", str(folder), "--epochs", "1", "--out", str(folder / "out")],
        )
        behaviours.main()
    return read_results(folder / "out" / "results.json")


def test_the_answers_are_dropped_from_the_other_behaviours(folder: Path) -> None:
    edges = Edges.read(folder)
    bare = edges.without_answers()
    held = {tuple(pair) for name in ("validation", "test") for pair in edges.pairs[name].tolist()}
    for name in AUXILIARY:
        left = {tuple(pair) for pair in bare.pairs[name].tolist()}
        assert left == {tuple(pair) for pair in edges.pairs[name].tolist()} - held
    assert not (bare.any_edge() & (edges.flags("test") | edges.flags("validation"))).any()
    assert sum(len(edges.only_buys().pairs[name]) for name in AUXILIARY) == 0


def test_the_split_keeps_rows_and_hides_what_is_held_out(folder: Path) -> None:
    edges = Edges.read(folder)
    encoded, split = edges.split(0)
    assert encoded.users.ids(range(N_USERS)) == list(range(N_USERS))
    assert encoded.items.ids(range(N_ITEMS)) == list(range(N_ITEMS))
    known = set(zip(split.train.group().tolist(), split.train.item.tolist(), strict=True))
    assert known == {tuple(pair) for pair in np.argwhere(edges.any_edge()).tolist()}
    assert len(split.test) == len(edges.pairs["test"])


def test_every_row_is_measured_and_compared(folder: Path, results: Results) -> None:
    assert {ALL, NEW, BUYS} < set(results.models)
    assert {own["ndcg@10"].n for own in results.models.values()} == {N_USERS}
    assert set(results.paired) == set(results.models) - {ALL, NEW}
    gain = results.models[NEW]["ndcg@10"].mean - results.models[BUYS]["ndcg@10"].mean
    assert results.paired[BUYS]["ndcg@10"].difference == pytest.approx(gain)
    assert results.models[ALL]["recall@10"].mean > 0.9, "nearly all test buys were clicked"
    assert (folder / "out" / "behaviours.svg").exists()


def test_a_broken_line_and_a_missing_file_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match=r"no .*click\.txt"):
        Edges.read(tmp_path)
    for name in FILES:
        (tmp_path / f"{name}.txt").write_text((folder / f"{name}.txt").read_text())
    (tmp_path / "cart.txt").write_text("1 2\n1 2 3\n")
    with pytest.raises(DataError, match=r"cart\.txt:2: give `user item`"):
        Edges.read(tmp_path)

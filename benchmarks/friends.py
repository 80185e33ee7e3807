"""``python -m benchmarks.friends [FOLDER]``: people you may know.

FOLDER holds ``user_friends.dat`` and ``user_artists.dat`` as HetRec Last.fm does: a header, then
``user friend`` and ``user artist count`` between tabs. A friendship stands there in both
directions, so that hiding one of them would leave the answer in the other: a tenth of the
*undirected* pairs is hidden for the test, another tenth for validation.

- *recall@20*: of a person's hidden friends, how many are among the first 20 of all people but
  oneself and the friends known.
- *auc*: how often a hidden friend stands above a stranger with as many known friends (the 50
  nearest in that number), a tie counting half. Being popular does not help.

Quintet learns from :func:`people_dataset`: edges as events, listening as an attribute, gates fitted
on the validation pairs. LightGCN's settings are chosen on the same pairs. Then everything counts
and learns training and validation pairs, and the test is measured once for each draw of the hidden
pairs. ``--develop`` leaves the test pairs out for good and measures on another tenth of what is
left: for choosing settings. Leaves ``results.json`` and a plot in ``--out``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from benchmarks import lightgcn
from benchmarks.accuracy.data import FOLDER, Asked
from benchmarks.accuracy.picture import draw
from quintet.config import build
from quintet.data.dataset import Dataset, join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import EventLog, Relations, Users
from quintet.data.interactions import Floats, Ints, Mask, seeded_hash
from quintet.data.people import SELF, people_dataset
from quintet.data.split import Part, Split
from quintet.errors import DataError
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.train.baselines import top_items
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train
from quintet.train.refit import refit, with_validation
from quintet.train.results import write_results

K, STRANGERS = 20, 50
HIDDEN = 0.1
QUINTET = "quintet"
RECALL, AUC = f"recall@{K}", "auc"
FILES = {"user_friends.dat": 2, "user_artists.dat": 3}

#: chosen with ``--develop``
SETTINGS: dict[str, Any] = {
    "model": {"off": ["profile", "strategy", "interaction"]},
    "loop": {"epochs": 6},
    "memories": {
        "ease": {"l2": 50.0},
        "user_cosine": {},
        "item_cosine": {},
        "graph": {"dimensions": 256},
        f"content_neighbours@{SELF}": {"k": 1000},
    },
}


@dataclass(frozen=True)
class Friends:
    """Who is whose friend, and who listened to what.

    Attributes:
        pairs_P2: [P, 2] rows of people, each friendship once.
        person_N: [N] who listened.
        artist_N: [N] to what.
        n_people: rows of people.
    """

    pairs_P2: Ints
    person_N: Ints
    artist_N: Ints
    n_people: int

    @classmethod
    def read(cls, folder: Path) -> Friends:
        """The files of a folder.

        Raises:
            DataError: a file is missing, or a line does not have its numbers.
        """
        edges, listens = (_numbers(folder / name, width) for name, width in FILES.items())
        people = np.unique(np.concatenate([edges.ravel(), listens[:, 0]]))
        pairs = np.unique(np.sort(np.searchsorted(people, edges), axis=1), axis=0)
        _, artist = np.unique(listens[:, 1], return_inverse=True)
        return cls(
            pairs[pairs[:, 0] != pairs[:, 1]],
            np.searchsorted(people, listens[:, 0]),
            artist,
            len(people),
        )

    def known(self, pairs_P2: Ints) -> Mask:
        """[U, U] pairs as a matrix, both ways."""
        found = np.zeros((self.n_people, self.n_people), np.bool_)
        found[tuple(pairs_P2.T)] = found[tuple(pairs_P2.T[::-1])] = True
        return found


def _numbers(path: Path, width: int) -> Ints:
    if not path.is_file():
        raise DataError(f"no {path}: give a folder with {' and '.join(FILES)}")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf8").splitlines()[1:], 2):
        words = line.split()
        if len(words) != width or not all(word.isdigit() for word in words):
            raise DataError(f"{path}:{number}: give {width} whole numbers, not {line!r}")
        rows.append([int(word) for word in words])
    return np.array(rows, np.int64).reshape(-1, width)


@dataclass(frozen=True)
class Hidden:
    """One draw of the pairs: what is learned, what settings are chosen on, what is measured."""

    train_P2: Ints
    valid_P2: Ints
    test_P2: Ints

    @classmethod
    def of(cls, pairs_P2: Ints, seed: int) -> Hidden:
        """A tenth for the test, a tenth for validation."""
        order = np.argsort(seeded_hash(np.arange(len(pairs_P2)), seed), kind="stable")
        n = max(1, round(HIDDEN * len(pairs_P2)))
        return cls(pairs_P2[order[2 * n :]], pairs_P2[order[n : 2 * n]], pairs_P2[order[:n]])

    @property
    def known(self) -> Ints:
        """Training and validation pairs."""
        return np.concatenate([self.train_P2, self.valid_P2])


Rows = dict[str, dict[str, Floats]]


def main() -> None:
    """Learn, rank and write."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.friends",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="lastfm-friends in --data when absent")
    parser.add_argument(
        "--data", type=Path, default=Asked.folder, help=f"folder of data sets ({FOLDER})"
    )
    parser.add_argument("--draws", type=int, default=3, help="of the hidden pairs")
    parser.add_argument("--develop", action="store_true", help="never look at the test pairs")
    parser.add_argument("--out", type=Path, default=Path("reports/friends"))
    arguments = parser.parse_args()
    console, started = Console(width=110), time.perf_counter()
    friends = Friends.read(arguments.folder or arguments.data / "lastfm-friends")
    draws, chosen = [], []
    for seed in range(arguments.draws):
        hidden = Hidden.of(friends.pairs_P2, seed)
        if arguments.develop:
            hidden = Hidden.of(hidden.known, 1000 + seed)
        rows, settings = one_draw(friends, hidden, seed, console)
        draws.append(rows)
        chosen.append(settings)
    results = summary(joined(draws), friends, chosen, arguments, time.perf_counter() - started)
    write_results(arguments.out / "results.json", results)
    draw(results, arguments.out / "friends.svg", metric=RECALL)
    show(console, results)


def one_draw(
    friends: Friends, hidden: Hidden, seed: int, console: Console
) -> tuple[Rows, dict[str, Any]]:
    """Figures of every person with hidden friends, and the settings that were chosen."""
    known_UU = friends.known(hidden.known)
    answers: dict[str, Callable[[], tuple[Floats, Any]]] = {
        "common neighbours": lambda: (common_neighbours(known_UU), None),
        "Adamic-Adar": lambda: (adamic_adar(known_UU), None),
        "LightGCN": lambda: tuned_lightgcn(friends, hidden, seed),
        QUINTET: lambda: quintet_scores(friends, hidden, seed),
    }
    rows, chosen = {}, {}
    for name, answer in answers.items():
        started = time.perf_counter()
        score_UU, settings = answer()
        rows[name] = measured(score_UU, known_UU, friends.known(hidden.test_P2))
        chosen |= {} if settings is None else {name: settings}
        figures = (f"{metric} {np.nanmean(values):.4f}" for metric, values in rows[name].items())
        console.print(f"draw {seed}, {name}:", *figures, f"{time.perf_counter() - started:.0f} s")
    return rows, chosen


# ---------------------------------------------------------------- who answers


def common_neighbours(known_UU: Mask) -> Floats:
    """[U, U] friends in common."""
    edges = known_UU.astype(np.float32)
    return edges @ edges


def adamic_adar(known_UU: Mask) -> Floats:
    """[U, U] friends in common, each over the log of its own friends (Adamic, Adar 2003)."""
    edges = known_UU.astype(np.float32)
    weight = 1 / np.log(np.maximum(edges.sum(0), 2))
    return (edges * weight) @ edges


def tuned_lightgcn(friends: Friends, hidden: Hidden, seed: int) -> tuple[Floats, Any]:
    """[U, U] scores with the settings and epochs of the best validation recall."""
    train_UU, valid_UU = friends.known(hidden.train_P2), friends.known(hidden.valid_P2)
    listens = (friends.person_N, friends.artist_N)

    def recall(score_UU: Floats) -> float:
        return float(recalled(score_UU, train_UU, valid_UU).mean())

    tried = []
    for settings in lightgcn.grid():
        _, epochs, figure = lightgcn.fit(
            hidden.train_P2, listens, friends.n_people, settings, seed, recall
        )
        tried.append((figure, replace(settings, epochs=epochs)))
    figure, best = max(tried, key=lambda one: one[0])
    scores, _, _ = lightgcn.fit(hidden.known, listens, friends.n_people, best, seed)
    return scores, vars(best) | {"validation": figure, "tried": len(tried)}


def quintet_scores(friends: Friends, hidden: Hidden, seed: int) -> tuple[Floats, Any]:
    """[U, U] scores of the model that learned training and validation pairs."""
    encoded, split = as_events(friends, hidden, hidden.train_P2)
    config = build(TrainConfig, SETTINGS | {"seed": seed}, "benchmarks.friends")
    fitted = train(encoded, split, config)
    whole, _ = as_events(friends, hidden, hidden.known)
    scorer = refit(fitted, whole, split, config).trained.scorer
    histories = with_validation(split).train
    owner = encoded.users.rows(pa.array(range(friends.n_people)))
    column = encoded.items.rows(pa.array(range(friends.n_people)))
    scores = scorer.scores(histories.users(owner))[:, column]
    strength = scorer.fusion.strength_K.detach().tolist()
    return scores, {"weights": dict(zip(scorer.evidence.names, strength, strict=True))}


def as_events(friends: Friends, hidden: Hidden, related_P2: Ints) -> tuple[Encoded, Split]:
    """All pairs as events of both people; friendships that memories may walk along are given."""
    parts = {Part.TRAIN: hidden.train_P2, Part.VALID: hidden.valid_P2, Part.TEST: hidden.test_P2}
    people = range(friends.n_people)
    dataset = join(
        EventLog.read({"user_id": friends.person_N, "item_id": friends.artist_N}),
        users=Users.read({"user_id": list(people)}),
        relations=_relations(np.concatenate(list(parts.values()))),
        name="friends",
    )
    dataset = replace(people_dataset(dataset), relations=_relations(related_P2))
    part_UU = np.full((friends.n_people, friends.n_people), int(Part.TRAIN), np.int8)
    for part, pairs in parts.items():
        part_UU[friends.known(pairs)] = int(part)
    dataset, part_E = _in_order(dataset, part_UU)
    encoded = encode(dataset)
    return encoded, Split("pairs", encoded.events, part_E[encoded.log_row])


def _in_order(dataset: Dataset, part_UU: np.ndarray) -> tuple[Dataset, np.ndarray]:
    """What is held out at the end of every history; the rest in a drawn order, oneself first."""
    log = dataset.log.to_arrow()
    user, item = (log[name].to_numpy() for name in ("user_id", "item_id"))
    part = part_UU[user, item]
    order = np.lexsort((seeded_hash(np.arange(len(part)), 0), user != item, part, user))
    return replace(dataset, log=EventLog.read(log.take(pa.array(order)))), part[order]


def _relations(pairs_P2: Ints) -> Relations:
    ends = {"source_id": pairs_P2[:, 0], "target_id": pairs_P2[:, 1]}
    return Relations.read(ends | {"kind": ["user-user"] * len(pairs_P2)})


# ---------------------------------------------------------------- what is measured


def measured(score_UU: Floats, known_UU: Mask, hidden_UU: Mask) -> dict[str, Floats]:
    """By metric, [U] the figure of every person; NaN without hidden friends."""
    asked_U = hidden_UU.any(1)
    figures = {RECALL: recalled, AUC: above_strangers}
    found = {metric: np.full(len(asked_U), np.nan, np.float32) for metric in figures}
    for metric, figure in figures.items():
        found[metric][asked_U] = figure(score_UU, known_UU, hidden_UU)
    return found


def recalled(score_UU: Floats, known_UU: Mask, hidden_UU: Mask) -> Floats:
    """[U'] share of the hidden friends among the first 20 of those not known."""
    person_H = np.flatnonzero(hidden_UU.any(1))
    score_HU = np.where(known_UU[person_H], -np.inf, score_UU[person_H])
    score_HU[np.arange(len(person_H)), person_H] = -np.inf
    first_HK = top_items(score_HU, K, tie_seed=0)
    hit_HK = np.take_along_axis(hidden_UU[person_H], np.maximum(first_HK, 0), 1) & (first_HK >= 0)
    return np.asarray(hit_HK.sum(1) / hidden_UU[person_H].sum(1), np.float32)


def above_strangers(score_UU: Floats, known_UU: Mask, hidden_UU: Mask) -> Floats:
    """[U'] how often hidden friends score above strangers with as many known friends."""
    degree_U = known_UU.sum(1)
    by_chance_U = seeded_hash(np.arange(len(degree_U)), 1)
    means = []
    for person in np.flatnonzero(hidden_UU.any(1)):
        free = ~known_UU[person] & ~hidden_UU[person]
        free[person] = False
        stranger = np.flatnonzero(free)
        shares = []
        for friend in np.flatnonzero(hidden_UU[person]):
            apart = np.abs(degree_U[stranger] - degree_U[friend])
            near = stranger[np.lexsort((by_chance_U[stranger], apart))[:STRANGERS]]
            gap = score_UU[person, friend] - score_UU[person, near]
            shares.append(((gap > 0) + 0.5 * (gap == 0)).mean())
        means.append(np.mean(shares))
    return np.asarray(means, np.float32)


def joined(draws: list[Rows]) -> Rows:
    """By metric, each person's mean over the draws in which a friend of theirs was hidden."""
    rows: Rows = {}
    for name, own in draws[0].items():
        rows[name] = {}
        for metric in own:
            by_draw = np.stack([one[name][metric] for one in draws])
            rows[name][metric] = np.nanmean(by_draw[:, ~np.isnan(by_draw).all(0)], axis=0)
    return rows


def summary(
    rows: Rows, friends: Friends, chosen: list[Any], arguments: Any, seconds: float
) -> dict[str, Any]:
    """What is written."""
    return {
        "dataset": "lastfm-friends" if arguments.folder is None else arguments.folder.name,
        "protocol": {
            "split": "a tenth of the undirected pairs for the test, a tenth for validation",
            "learned": "training and validation pairs, settings from validation",
            "people": friends.n_people,
            "pairs": len(friends.pairs_P2),
            "strangers": f"the {STRANGERS} nearest in the number of known friends",
            "develop": arguments.develop,
        },
        "seeds": list(range(arguments.draws)),
        "models": {
            name: {metric: vars(bootstrap_mean(values)) for metric, values in own.items()}
            for name, own in rows.items()
        },
        "paired": {
            name: {
                metric: vars(paired_bootstrap(rows[QUINTET][metric], values))
                for metric, values in own.items()
            }
            for name, own in rows.items()
            if name != QUINTET
        },
        "settings": chosen,
        "seconds": {"everything": seconds},
        **environment(),
        "command": f"python -m benchmarks.friends {' '.join(sys.argv[1:])}".strip(),
    }


def show(console: Console, results: dict[str, Any]) -> None:
    """A line a model, and what quintet is ahead by."""
    for name, own in results["models"].items():
        console.print(f"{name}: ", *(f"{m} {one['mean']:.4f}" for m, one in own.items()))
    for name, pair in results["paired"].items():
        for metric, one in pair.items():
            console.print(
                f"over {name}, {metric}: {one['relative']:+.1%} "
                f"[{one['relative_low']:+.1%}, {one['relative_high']:+.1%}]"
            )


if __name__ == "__main__":
    main()

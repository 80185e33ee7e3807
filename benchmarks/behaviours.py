"""``python -m benchmarks.behaviours [FOLDER]``: what clicks, collections and carts add to buys.

FOLDER holds one file a behaviour, one edge a line, ``user item``: ``click.txt``, ``collect.txt``,
``cart.txt``, ``train.txt`` (buys), and the buys to predict, ``validation.txt`` and ``test.txt``.
Edges have no times, so the order of a history is drawn. The full catalogue is ranked for every
user with test buys. Two questions:

- *all edges*: every edge but the held-out buys is known, most of which are clicks as well. Bought
  items are masked. Baselines: clicked items by popularity, and logistic regression on the edges
  between user and item, alone and with popularity.
- *new items*: every click, collection and cart that equals a held-out buy is dropped. What is left
  of a user's clicks can then be no target, which is no merit: so all models rank only items that
  the user has no edge with. The gain of quintet with all behaviours over quintet with buys alone
  is what the other behaviours tell of taste.

Settings and gates are fitted on validation buys. Leaves ``results.json`` and a plot in ``--out``.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from benchmarks.accuracy.data import FOLDER, Asked
from benchmarks.accuracy.picture import draw
from quintet.config import build
from quintet.data.dataset import join
from quintet.data.encode import Encoded, encode
from quintet.data.frames import EventLog
from quintet.data.interactions import Floats, Ints, Mask
from quintet.data.split import Part, Split
from quintet.data.vocab import Vocabulary
from quintet.errors import DataError
from quintet.metrics import RankingMetrics, bootstrap_mean, paired_bootstrap
from quintet.serve.scorer import Scorer
from quintet.train.baselines import top_items
from quintet.train.gates import fitted_fusion, validation_targets
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, train
from quintet.train.results import write_results

AUXILIARY = ("click", "collect", "cart")
BUY = "buy"
FILES = (*AUXILIARY, "train", "validation", "test")
KS = (10, 20)
#: memories of buys, and those that read every behaviour
OF_BUYS: dict[str, dict[str, Any]] = {
    "ease@buy": {},
    "user_cosine@buy": {},
    "popularity@buy": {},
}
OF_ALL: dict[str, dict[str, Any]] = {"ease": {}, "user_cosine": {}}
CONVERSION = "conversion"
#: looser than usual, as one evidence tells nearly all where every edge is known; chosen with the
#: gates fitted on half of the validation users and measured on the others
FUSION = {"prior_penalty": 1e-4, "penalty": 0.02}


@dataclass(frozen=True)
class Edges:
    """User and item rows of every file.

    Attributes:
        pairs: by file, [N, 2] user and item.
        n_users: user rows.
        n_items: item rows.
    """

    pairs: dict[str, Ints]
    n_users: int
    n_items: int

    @classmethod
    def read(cls, folder: Path) -> Edges:
        """The files of a folder.

        Raises:
            DataError: a file is missing, or a line is not ``user item``.
        """
        ids: dict[str, list[list[str]]] = {}
        for name in FILES:
            path = folder / f"{name}.txt"
            if not path.is_file():
                raise DataError(f"no {path}: give a folder with {', '.join(FILES)}.txt")
            ids[name] = []
            for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), 1):
                words = line.split()
                if words and len(words) != 2:
                    raise DataError(f"{path}:{number}: give `user item`, not {line!r}")
                if words:
                    ids[name].append(words)
        flat = np.array([pair for own in ids.values() for pair in own])
        users, user = np.unique(flat[:, 0], return_inverse=True)
        items, item = np.unique(flat[:, 1], return_inverse=True)
        cuts = np.cumsum([len(own) for own in ids.values()])[:-1]
        parts = np.split(np.stack([user, item], 1).astype(np.int64), cuts)
        pairs = {name: np.unique(own, axis=0) for name, own in zip(FILES, parts, strict=True)}
        return cls(pairs, len(users), len(items))

    def without_answers(self) -> Edges:
        """The same without the auxiliary edges that equal a held-out buy."""
        held = np.concatenate([self.keys(self.pairs["validation"]), self.keys(self.pairs["test"])])
        fewer = {n: own[~np.isin(self.keys(own), held)] for n, own in self._auxiliary().items()}
        return Edges(self.pairs | fewer, self.n_users, self.n_items)

    def only_buys(self) -> Edges:
        """The same without any auxiliary edge."""
        return Edges(
            self.pairs | {name: own[:0] for name, own in self._auxiliary().items()},
            self.n_users,
            self.n_items,
        )

    def _auxiliary(self) -> dict[str, Ints]:
        return {name: self.pairs[name] for name in AUXILIARY}

    def keys(self, pairs: Ints) -> Ints:
        """[N] one number a pair."""
        return pairs[:, 0] * self.n_items + pairs[:, 1]

    def flags(self, name: str) -> Mask:
        """[U, I] the pairs of a file."""
        found = np.zeros((self.n_users, self.n_items), np.bool_)
        found[tuple(self.pairs[name].T)] = True
        return found

    def any_edge(self) -> Mask:
        """[U, I] pairs with any edge that is known."""
        return np.asarray(sum(self.flags(name) for name in (*AUXILIARY, "train")) > 0)

    def split(self, seed: int) -> tuple[Encoded, Split]:
        """As a data set: known edges in a drawn order, then validation, then test buys."""
        rng = np.random.default_rng(seed)
        rows, behaviours, parts = [], [], []
        part_of = {"validation": Part.VALID, "test": Part.TEST}
        for name in FILES:
            own = self.pairs[name]
            rows.append(own)
            behaviours += [name if name in AUXILIARY else BUY] * len(own)
            parts.append(np.full(len(own), part_of.get(name, Part.TRAIN), np.int8))
        pairs, part = np.concatenate(rows), np.concatenate(parts)
        order = np.lexsort((rng.random(len(pairs)), part, pairs[:, 0]))
        log = pa.table(
            {
                "user_id": pairs[order, 0],
                "item_id": pairs[order, 1],
                "behaviour": pa.array(behaviours).take(pa.array(order)),
            }
        )
        catalogue = pa.table({"item_id": np.arange(self.n_items)})
        people = pa.table({"user_id": np.arange(self.n_users)})
        encoded = encode(join(EventLog.read(log), catalogue, people, name="behaviours"))
        return encoded, Split("edges", encoded.events, part[order])


def main() -> None:
    """Train, rank and write."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.behaviours",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="tmall in --data when absent")
    parser.add_argument(
        "--data", type=Path, default=Asked.folder, help=f"folder of data sets ({FOLDER})"
    )
    parser.add_argument("--epochs", type=int, default=4, help="of the sequence tower")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reports/behaviours"))
    arguments = parser.parse_args()
    console, started = Console(), time.perf_counter()
    edges = Edges.read(arguments.folder or arguments.data / "tmall")
    rows = all_edges(edges, arguments) | new_items(edges.without_answers(), arguments)
    results = summary(rows, edges, arguments, time.perf_counter() - started)
    write_results(arguments.out / "results.json", results)
    draw(results, arguments.out / "behaviours.svg")
    for name, own in results["models"].items():
        console.print(f"{name}: ", *(f"{m} {one['mean']:.4f}" for m, one in own.items()))
    for name, pair in results["paired"].items():
        console.print(f"over {name}:", {m: round(one["relative"], 3) for m, one in pair.items()})


Rows = dict[str, dict[str, Floats]]
ALL, NEW, BUYS = "quintet, all edges", "quintet, new items", "quintet, new items, buys alone"


def all_edges(edges: Edges, arguments: Any) -> Rows:
    """Every edge is known but the held-out buys; bought items are masked."""
    masked_UI = edges.flags("train")
    answer = trained(edges, OF_BUYS | OF_ALL | {CONVERSION: {}}, arguments, masked=False)
    popularity_I = edges.flags("train").sum(0).astype(np.float64)
    met_UI = edges.any_edge()
    rows = {ALL: measured(edges, ranked(*answer, edges), masked_UI)}
    by_popularity = met_UI * 1e6 + popularity_I
    rows["clicked and not bought, by popularity"] = measured(edges, by_popularity, masked_UI)
    for name, popular in {"edge flags": False, "edge flags and popularity": True}.items():
        score_UI = regression(edges, popular)
        rows[f"logistic regression on {name}"] = measured(edges, score_UI, masked_UI)
    return rows


def new_items(edges: Edges, arguments: Any) -> Rows:
    """Items with no edge alone may be recommended; with all behaviours, and with buys alone."""
    masked_UI = edges.any_edge()
    rows = {}
    for name, own, memories in (
        (NEW, edges, OF_BUYS | OF_ALL),
        (BUYS, edges.only_buys(), OF_BUYS),
    ):
        answer = trained(own, memories, arguments, masked=True)
        rows[name] = measured(edges, ranked(*answer, edges), masked_UI)
    popularity_I = edges.flags("train").sum(0).astype(np.float64)
    rows["popularity, new items"] = measured(
        edges, np.tile(popularity_I, (edges.n_users, 1)), masked_UI
    )
    return rows


def trained(
    edges: Edges, memories: dict[str, dict[str, Any]], arguments: Any, *, masked: bool
) -> tuple[Scorer, Split, Vocabulary]:
    """Quintet with an identity tower and these memories, its gates fitted on validation buys."""
    encoded, split = edges.split(arguments.seed)
    if CONVERSION in memories:
        memories = memories | {CONVERSION: {"target": encoded.behaviours.index(BUY)}}
    settings = {
        "seed": arguments.seed,
        "memories": memories,
        "model": {"off": ["profile", "strategy"]},
        "loop": {"epochs": arguments.epochs},
        "fusion": FUSION,
    }
    config = build(TrainConfig, settings, "benchmarks.behaviours")
    fitted = train(encoded, split, config).trained
    evidence = fitted.scorer.evidence
    rows, _ = validation_targets(
        split, config.calibration_share, config.fusion_targets, config.seed
    )
    fusion = fitted_fusion(evidence, split.events, rows, config.fusion, mask_history=masked)
    return Scorer(evidence, fusion, fitted.calibration), split, encoded.users


def ranked(scorer: Scorer, split: Split, people: Vocabulary, edges: Edges) -> Floats:
    """[U, I] scores of the users with test buys, from what is known before validation."""
    score_UI = np.zeros((edges.n_users, edges.n_items), np.float32)
    users = np.unique(edges.pairs["test"][:, 0])
    # whoever has no edge left stands behind the others there
    score_UI[users] = scorer.scores(split.train.users(people.rows(pa.array(users))))
    return score_UI


def regression(edges: Edges, popular: bool) -> Floats:
    """[U, I] log odds of a held-out buy from the edges of a pair, fitted on validation buys."""
    from sklearn.linear_model import LogisticRegression

    columns = [edges.flags(name).astype(np.float32) for name in AUXILIARY]
    if popular:
        counts = [edges.flags(name).sum(0) for name in ("train", *AUXILIARY)]
        columns += [np.broadcast_to(np.log1p(c), columns[0].shape) for c in counts]
    users = np.unique(edges.pairs["validation"][:, 0])
    free = ~edges.flags("train")[users]
    features = np.stack([column[users][free] for column in columns], 1)
    model = LogisticRegression(max_iter=200).fit(features, edges.flags("validation")[users][free])
    return np.asarray(
        sum(w * column for w, column in zip(model.coef_[0], columns, strict=True)), np.float32
    )


def measured(edges: Edges, score_UI: Floats, masked_UI: Mask) -> dict[str, Floats]:
    """By metric, the figure of each user with test buys."""
    test = edges.pairs["test"]
    users, size = np.unique(test[:, 0], return_counts=True)
    scores = np.where(masked_UI[users], -np.inf, score_UI[users])
    lists = top_items(scores, max(KS), tie_seed=0)
    offsets = np.concatenate([[0], np.cumsum(size)])
    metrics = RankingMetrics(ks=KS, names=("ndcg", "recall", "hr"))
    return metrics.compute(lists, (offsets, test[:, 1]))


def summary(rows: Rows, edges: Edges, arguments: Any, seconds: float) -> dict[str, Any]:
    """What is written."""
    beside = {name: NEW if "new items" in name else ALL for name in rows}
    return {
        "dataset": "tmall" if arguments.folder is None else arguments.folder.name,
        "protocol": {
            "split": "validation and test buys as given",
            "learned": "edges without held-out buys",
            "edges": {name: len(own) for name, own in edges.pairs.items()},
            "masked": {"all edges": "bought items", "new items": "every item with an edge"},
        },
        "seeds": [arguments.seed],
        "models": {
            name: {metric: vars(bootstrap_mean(values)) for metric, values in own.items()}
            for name, own in rows.items()
        },
        "paired": {
            name: {
                metric: vars(paired_bootstrap(rows[beside[name]][metric], values))
                for metric, values in own.items()
            }
            for name, own in rows.items()
            if name != beside[name]
        },
        "seconds": {"everything": seconds},
        **environment(),
        "command": f"python -m benchmarks.behaviours {' '.join(sys.argv[1:])}".strip(),
    }


if __name__ == "__main__":
    main()

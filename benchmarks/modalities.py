"""``python -m benchmarks.modalities``: what content adds, what pictures add, what the cache saves.

*text*: the whole model on a named data set with its item attributes and without, the same settings
and seeds, gates fitted anew for each. *pictures*: MovieLens-100K with posters (``--posters``, a
folder of images named by item id) and without, over all test events and over those whose film has a
poster. Leave-one-out, strict, full catalogue, history masked; differences paired by user. *cache*:
seconds to encode the titles and the pictures when nothing is kept, and again. Parts whose data are
not given are left out. Leaves ``results.json`` and a plot in ``--out``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console

from benchmarks.accuracy.data import FOLDER, Asked, read
from benchmarks.accuracy.picture import draw
from quintet.config import apply_overrides
from quintet.data.encode import Encoded
from quintet.data.features import FeatureTable
from quintet.data.split import Part, Split
from quintet.metrics import bootstrap_mean, paired_bootstrap
from quintet.nn.modalities.base import MODALITIES
from quintet.train.evaluate import RankingResult, evaluate_ranking
from quintet.train.measure import environment
from quintet.train.pipeline import TrainConfig, masks_history, train
from quintet.train.results import write_results

CONFIG = Path(__file__).parent / "config.toml"
CACHE = "QUINTET_CACHE"
SHOWN = ("ndcg@10", "hr@10")
Row = dict[str, Any]  # [U] figures by metric


def main() -> None:
    """Measure the parts that are asked for."""
    arguments = parser().parse_args()
    torch.set_num_threads(1)
    console = Console(width=120)
    results: dict[str, Any] = {
        "dataset": "modalities",
        "protocol": {
            "split": "leave-one-out, newest event of each user; full catalogue, history masked",
            "learned": "strict; with and without a modality",
            "settings": arguments.set,
        },
        "seeds": list(range(arguments.seeds)),
        "models": {},
        "gains": {},
        "command": "python -m benchmarks.modalities " + " ".join(sys.argv[1:]),
    }
    parts: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "cache": cache,
        "text": text,
        "pictures": pictures,
    }
    for name in arguments.parts:
        found = parts[name](arguments)
        for key, value in found.items():
            results.setdefault(key, {}).update(value)
        # what is done is on disk, should the rest be cut off
        write_results(arguments.out / "results.json", {**results, **environment()})
        console.print(f"{name}:", found.get("gains") or found)
    if results["models"]:
        draw(results, arguments.out / "ndcg.svg")
    console.print(f"figures: {arguments.out / 'results.json'}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.modalities")
    parser.add_argument(
        "--parts", nargs="*", default=["cache", "text", "pictures"],
        choices=["cache", "text", "pictures"],
    )  # fmt: skip
    parser.add_argument("--dataset", default="beauty", help="for text: a name or a file")
    parser.add_argument("--items", type=Path, help="table with item_id and content columns")
    parser.add_argument(
        "--data", type=Path, default=Asked.folder, help=f"folder of names ({FOLDER})"
    )
    parser.add_argument(
        "--encoders", nargs="*", default=["sentence", "minilm"], help="of titles, for cache"
    )
    parser.add_argument("--posters", type=Path, help="folder of pictures named by film id")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("reports/modalities"))
    return parser


# ---------------------------------------------------------------- gains


def text(arguments: argparse.Namespace) -> dict[str, Any]:
    """The data set with its attributes, and with item ids alone."""
    encoded, split = read(Asked(arguments.dataset, arguments.items, arguments.data))
    bare = replace(encoded, item_table=encoded.item_table.select(["item_id"]))
    rows = {
        f"{encoded.name}, with content": trained(encoded, split, arguments, "config"),
        f"{encoded.name}, without": trained(bare, split, arguments, "config"),
    }
    return compared(f"content on {encoded.name}", rows)


def pictures(arguments: argparse.Namespace) -> dict[str, Any]:
    """The films with their posters and without; also the targets that have one alone."""
    if arguments.posters is None:
        return {"left_out": {"pictures": "no folder: give --posters"}}
    encoded, split = read(Asked("ml-100k"))
    with_posters, has_I = illustrated(encoded, arguments.posters)
    runs = {
        "ml-100k, with posters": trained(with_posters, split, arguments),
        "ml-100k, without": trained(encoded, split, arguments),
    }
    targets = np.flatnonzero(split.part == Part.TEST)
    owners = np.unique(split.events.group()[targets])
    last_I = split.events.item[targets]
    shown_U = np.zeros(len(owners), bool)
    shown_U[np.searchsorted(owners, split.events.group()[targets])] = has_I[last_I]
    found = compared("posters on ml-100k", runs)
    own = {
        f"{name}, of films that have one": {m: v[shown_U] for m, v in row.items()}
        for name, row in runs.items()
    }
    some = compared("posters on ml-100k, of films that have one", own)
    merged = {key: found[key] | some[key] for key in found}
    return merged | {
        "films_with_a_poster": {"films": int(has_I.sum()), "users": int(shown_U.sum())}
    }


def illustrated(encoded: Encoded, folder: Path) -> tuple[Encoded, Any]:
    """The films with a column of pictures, and [I] which have one."""
    found = {path.stem: str(path) for path in sorted(folder.iterdir())}
    ids = [str(one) for one in encoded.items.values.to_pylist()]
    paths = [found.get(one) for one in ids]
    table = encoded.item_table.append_column("poster", pa.array(paths, pa.string()))
    types = {**encoded.schema.items, "poster": "image"}
    schema = encoded.schema.model_copy(update={"items": types})
    return replace(encoded, item_table=table, schema=schema), np.array(
        [p is not None for p in paths]
    )


def trained(encoded: Encoded, split: Split, arguments: argparse.Namespace, base: str = "") -> Row:
    """By metric, [U] figures averaged over the trainings."""
    settings = tomllib.loads(CONFIG.read_text(encoding="utf8")) if base else {}
    runs: list[RankingResult] = []
    for seed in range(arguments.seeds):
        values = apply_overrides(settings, [*arguments.set, f"seed={seed}"])
        fitted = train(encoded, split, TrainConfig.model_validate(values))
        masked = masks_history(split.train)
        runs.append(evaluate_ranking(fitted.trained.scorer, split, ks=(10,), mask_history=masked))
    return {metric: np.mean([run.per_user[metric] for run in runs], axis=0) for metric in SHOWN}


def compared(what: str, rows: dict[str, Row]) -> dict[str, Any]:
    """Figures of two rows, and the first less the second on the same users."""
    one, other = rows.values()
    return {
        "models": {
            name: {metric: vars(bootstrap_mean(values)) for metric, values in row.items()}
            for name, row in rows.items()
        },
        "gains": {
            what: {metric: vars(paired_bootstrap(one[metric], other[metric])) for metric in SHOWN}
        },
    }


# ---------------------------------------------------------------- the cache


def cache(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the first and of the second encoding, in a cache of its own."""
    kept, before = Path(tempfile.mkdtemp()), os.environ.get(CACHE)
    os.environ[CACHE] = str(kept)
    try:
        return {"seconds": _encodings(arguments)}
    finally:
        shutil.rmtree(kept)
        os.environ.pop(CACHE)
        if before is not None:
            os.environ[CACHE] = before


def _encodings(arguments: argparse.Namespace) -> dict[str, float]:
    seconds: dict[str, float] = {}
    named = arguments.data / arguments.dataset / "items.tsv"
    items = arguments.items or (named if named.is_file() else None)
    if items is not None:
        titles = _titles(items)
        table = FeatureTable(len(titles), texts={"title": titles})
        for name in arguments.encoders:
            seconds |= _twice(name, table, f"{len(titles):,} titles, {name}")
    if arguments.posters is not None:
        paths = [str(path) for path in sorted(arguments.posters.iterdir())]
        table = FeatureTable(len(paths), images={"poster": paths})
        seconds |= _twice("image", table, f"{len(paths):,} pictures")
    return seconds


def _titles(path: Path) -> list[str]:
    from quintet.data.frames import Catalogue

    table = Catalogue.read(path).to_arrow()
    column = "title" if "title" in table.column_names else table.column_names[1]
    return [str(text or "") for text in table[column].to_pylist()]


def _twice(name: str, table: FeatureTable, what: str) -> dict[str, float]:
    """A modality fitted and its inputs prepared, by a new object each time."""
    taken = {}
    for turn in ("first", "second"):
        started = time.perf_counter()
        modality = MODALITIES.get(name)(64)
        modality.fit(table)
        modality.prepare(table)
        taken[f"{what}, {turn} time"] = round(time.perf_counter() - started, 3)
    return taken


if __name__ == "__main__":
    main()

"""``quintet evaluate``: measure a bundle on held-out events, or cross-validate."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, emit, grid, interactive, say, warn
from quintet.cli.figures import baseline_rows, figure_rows, figure_tables
from quintet.cli.opening import build_config, encode_clean, open_data, setting_values, split_by
from quintet.cli.options import (
    ConfigFile,
    DataSettings,
    Device,
    Items,
    OnDevice,
    Output,
    Protocol,
    RelationsFile,
    Seed,
    Settings,
    Users,
    examples,
)
from quintet.cli.train import progress

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset
    from quintet.serve.recommender import Recommender

EXAMPLES = examples(
    "quintet evaluate bundle events.csv --items products.csv --out report",
    "quintet evaluate bundle ml-100k --k 10 --format json",
    "quintet evaluate bundle ml-100k --baselines 20 --like-at 4 --out report",
    "quintet evaluate --folds 5 ml-100k --set loop.epochs=8",
)


def evaluate(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="[BUNDLE] DATA",
            help="The bundle and the data that it was trained on; with --folds the data alone.",
        ),
    ],
    items: Items = None,
    users: Users = None,
    relations: RelationsFile = None,
    settings: DataSettings = None,
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            metavar="NAME",
            help="leave-one-out or global-time; must be what the bundle was trained with.",
        ),
    ] = None,
    k: Annotated[
        str, typer.Option("--k", metavar="K,K,...", help="Lengths of the lists measured.")
    ] = "5,10,20",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write results.json, report.html and predictions.tsv there."
        ),
    ] = None,
    baselines: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Tune every counted baseline on validation events, N settings each, and measure "
            "it beside the model.",
        ),
    ] = None,
    like_at: Annotated[
        float | None,
        typer.Option(
            metavar="VALUE",
            help="A rating from here on is a like; the level of the median rating if not said.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, metavar="K", help="Cross-validate over users: train that many times, on DATA."
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Settings = None,
    device: OnDevice = Device.CPU,
    seed: Seed = None,
    output: Output = Format.TABLE,
) -> None:
    """Measure a bundle on the events held out from it, through the recommender that serves people.

    The model is not trained again. The data must be what it was trained on, so that the same events
    are held out again. With --folds there is no bundle: the model is trained once for each fold.
    """
    from quintet.errors import ConfigError

    ks = _lengths(k)
    wanted = 1 if folds else 2
    if len(paths) != wanted:
        raise typer.BadParameter(
            "with --folds give DATA alone" if folds else "give BUNDLE and DATA", param_hint="paths"
        )
    if out is not None and out.is_file():
        raise ConfigError(f"--out {out}: is a file; name a folder")
    dataset = open_data(paths[-1], settings, items=items, users=users, relations=relations)
    command = shlex.join(["quintet", *(context.find_root().obj or [])])
    if folds:
        if baselines is not None or like_at is not None or protocol is not None:
            raise typer.BadParameter(
                "--baselines, --like-at and --protocol need a bundle: leave --folds out"
            )
        values = setting_values(config, overrides, device=device, seed=seed)
        _cross_validate(dataset, values, folds, ks, out, command, output)
        return
    if config is not None or overrides or seed is not None:
        raise typer.BadParameter("--config, --set and --seed need --folds: a bundle has its own")
    from quintet.serve.recommender import Recommender

    recommender = Recommender.load(Path(paths[0]), device)
    asked: dict[str, Any] = {"ks": ks, "like_at": like_at, "baselines": baselines}
    _evaluate_bundle(recommender, dataset, protocol, asked, out, command, output)


def _lengths(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"{text!r}: whole numbers from 1, between commas", param_hint="--k"
        )
    return sorted({int(part) for part in parts})


def _evaluate_bundle(
    recommender: Recommender,
    dataset: Dataset,
    protocol: Protocol | None,
    asked: dict[str, Any],
    out: Path | None,
    command: str,
    output: Format,
) -> None:
    from quintet.data.split import few_labels
    from quintet.train.baselines import BaselineConfig
    from quintet.train.catalogue_map import catalogue_map
    from quintet.train.measure import (
        MODEL,
        check_same_data,
        environment,
        measure,
        write_predictions,
    )

    run = recommender.trained.run
    held_out = _protocol(run, protocol)
    seed = int(run.get("seed", 0))
    encoded = encode_clean(dataset, seed)
    check_same_data(recommender.trained, encoded)
    split = split_by(encoded, held_out)
    share = float(run.get("label_share", 1.0))
    if share < 1:  # baselines learn from the same users
        split = few_labels(split, share, seed)
    trials = asked.pop("baselines")
    config = BaselineConfig.model_validate({"trials": trials}) if trials else None
    measured = measure(recommender, split, seed=seed, baselines=config, on_stage=say, **asked)
    results = {
        "dataset": encoded.name,
        "protocol": f"{held_out}, full catalogue, history masked, users drawn for the intervals",
        "seeds": [seed],
        "command": command,
        "curves": run.get("curves", {}),
        **measured.results,
        **({"catalogue": catalogue_map(recommender.trained)} if out is not None else {}),
        **environment(),
    }
    _write(out, results)
    if out is not None:
        path = out / "predictions.tsv"
        write_predictions(path, encoded, split, measured.rankings[MODEL])
        say(f"written: {path}")
    title = f"{encoded.name}: {held_out}, {len(split.test):,} test events"
    emit(output, figure_rows(results), table=figure_tables(title, results), data=results)


def _protocol(run: dict[str, Any], asked: Protocol | None) -> Protocol:
    """The bundle's own protocol.

    Raises:
        DataError: the bundle was trained with another one, or with none of the two.
    """
    from quintet.errors import DataError

    # a share of the users may have been learned from: the test is the same
    trained_with = str(run.get("split", "")).partition(", ")[0].replace("_", "-")
    if trained_with not in list(Protocol) or asked not in (None, trained_with):
        raise DataError(
            f"the bundle was trained with the split {trained_with or 'of an unknown kind'}: "
            f"measured with {asked or 'another'}, its test events may have been learned from; "
            "train again with --protocol"
        )
    return Protocol(trained_with)


def _write(out: Path | None, results: dict[str, Any]) -> None:
    """``results.json`` and, where it can be drawn, ``report.html``."""
    from quintet.errors import MissingExtraError
    from quintet.train.report import write_report
    from quintet.train.results import write_results

    if out is None:
        return
    write_results(out / "results.json", results)
    say(f"written: {out / 'results.json'}")
    tables = {"Baselines, tuned on validation events": baseline_rows(results)}
    skipped = [{"baseline": n, "reason": why} for n, why in results.get("skipped", {}).items()]
    tables["Baselines that could not run"] = skipped
    filled = {title: rows for title, rows in tables.items() if rows}
    try:
        say(f"written: {write_report(results, out / 'report.html', tables=filled)}")
    except MissingExtraError as error:
        warn(f"no report.html: {error}")


def _cross_validate(
    dataset: Dataset,
    values: dict[str, Any],
    folds: int,
    ks: list[int],
    out: Path | None,
    command: str,
    output: Format,
) -> None:
    from quintet.train.crossval import cross_validate
    from quintet.train.measure import MODEL, environment

    config = build_config(values)
    encoded = encode_clean(dataset, config.seed)

    def tell(number: int, figures: dict[str, float]) -> None:
        shown = ", ".join(f"{n} {v:.4f}" for n, v in figures.items() if n.startswith("ndcg"))
        say(f"fold {number + 1} of {folds}: {shown}")

    with progress() as (on_step, on_stage):
        found = cross_validate(
            encoded,
            config,
            folds,
            ks=ks,
            on_fold=None if interactive() else tell,
            on_step=on_step,
            on_stage=on_stage if interactive() else None,
        )
    summary = found.summary(config.seed)
    results = {
        "dataset": encoded.name,
        "protocol": f"{folds}-fold over users: last event of users never learned from",
        "seeds": [config.seed],
        "models": {MODEL: summary},
        "folds": found.folds,
        "seconds": {f"fold {n}": value for n, value in enumerate(found.seconds, 1)},
        "command": command,
        **environment(),
    }
    _write(out, results)
    rows = [{"metric": name, **figure} for name, figure in summary.items()]
    shown = [
        {
            "metric": name,
            "mean": one["mean"],
            "± 95 %": (one["high"] - one["low"]) / 2,
            "interval": f"{one['low']:.4f} to {one['high']:.4f}",
            "folds deviate by": one["fold_deviation"],
        }
        for name, one in summary.items()
    ]
    users = len(next(iter(found.per_user.values()), []))
    title = f"{encoded.name}: {folds} folds, {users:,} users, each held out once"
    emit(output, rows, table=grid(title, shown), data=results)

"""``quintet tune``: search for better settings on validation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.cli.console import Format, emit, grid, say
from quintet.cli.opening import (
    build_config,
    data_words,
    encode_clean,
    open_data,
    setting_values,
    split_by,
)
from quintet.cli.options import (
    Backbone,
    ConfigFile,
    Data,
    DataSettings,
    DeviceIfSaid,
    HowHeldOut,
    Items,
    Output,
    Protocol,
    RelationsFile,
    Seed,
    Settings,
    Users,
    examples,
)

if TYPE_CHECKING:
    from quintet.train.search import Tried

EXAMPLES = examples(
    "quintet tune ml-100k --trials 20 --out best.toml",
    "quintet train ml-100k --config best.toml --out bundle",
)


def tune(
    data: Data,
    trials: Annotated[
        int, typer.Option("--trials", min=1, metavar="N", help="How many settings are tried.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="TOML file for the best.")],
    items: Items = None,
    users: Users = None,
    relations: RelationsFile = None,
    settings: DataSettings = None,
    config: ConfigFile = None,
    overrides: Settings = None,
    backbone: Backbone = None,
    protocol: HowHeldOut = Protocol.LEAVE_ONE_OUT,
    device: DeviceIfSaid = None,
    seed: Seed = None,
    output: Output = Format.TABLE,
) -> None:
    """Search learning rate, width, layers, dropout and task weights on validation events.

    The settings given are tried first; the test events are never looked at.
    """
    from quintet.errors import ConfigError
    from quintet.files import write_text_atomic
    from quintet.train.tune import as_toml
    from quintet.train.tune import tune as run_tuning

    if out.is_dir():
        raise ConfigError(f"--out {out}: is a folder; name a TOML file")
    values = setting_values(config, overrides, backbone=backbone, device=device, seed=seed)
    chosen = build_config(values)
    dataset = open_data(data, settings, items=items, users=users, relations=relations)
    encoded = encode_clean(dataset, chosen.seed)
    split = split_by(encoded, protocol)

    def tell(number: int, tried: Tried) -> None:
        say(f"trial {number + 1} of {trials}: validation ndcg@10 {tried.score:.4f}")

    tuned = run_tuning(encoded, split, values, trials=trials, on_trial=tell)
    note = (
        f"the best of {trials} trial(s) on {encoded.name} ({split.name}, seed {chosen.seed}):\n"
        f"validation ndcg@10 {tuned.score:.4f}; the settings given: {tuned.history[0].score:.4f}"
    )
    write_text_atomic(out, as_toml(tuned.values, note))
    rows = [
        {"trial": number, "ndcg@10": tried.score, **tried.values}
        for number, tried in enumerate(tuned.history, 1)
    ]
    best = sorted(rows, key=lambda row: -float(row["ndcg@10"]))[:5]
    shown = [{n.rpartition("model.")[2]: v for n, v in row.items()} for row in best]
    summary = {"best": tuned.searched, "score": tuned.score, "trials": rows, "written": str(out)}
    emit(output, rows, table=grid(f"the best of {trials} trials", shown), data=summary)
    if output is Format.TABLE:
        words = data_words(data, settings, items=items, users=users, relations=relations)
        say(f"written: {out}   next: quintet train {words} --config {out} --out BUNDLE")

"""From what was typed to a data set, a split and settings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quintet.cli.console import say
from quintet.cli.options import Protocol

if TYPE_CHECKING:
    from quintet.data.dataset import Dataset
    from quintet.data.encode import Encoded
    from quintet.data.split import Split
    from quintet.train.pipeline import TrainConfig


def open_data(
    data: str,
    settings: Sequence[str] | None = None,
    *,
    items: Path | None = None,
    users: Path | None = None,
    relations: Path | None = None,
) -> Dataset:
    """The data set that was asked for.

    Raises:
        ConfigError: there is no such file or source, or a setting is unknown.
        DataError: a file cannot be read.
    """
    from quintet.data.sources.base import open_dataset

    return open_dataset(data, overriding(settings, items=items, users=users, relations=relations))


def overriding(
    settings: Sequence[str] | None = None,
    *,
    items: Path | None = None,
    users: Path | None = None,
    relations: Path | None = None,
) -> list[str]:
    """Tables and settings of the command line as settings of a data set, ``NAME=VALUE``."""
    overrides = list(settings or [])
    for name, path in (("items", items), ("users", users)):
        if path is not None:
            overrides.append(f"{name}={_toml_text(path)}")
    if relations is not None:
        overrides.append(f"relations=[{_toml_text(relations)}]")
    return overrides


def data_words(
    data: str,
    settings: Sequence[str] | None = None,
    *,
    items: Path | None = None,
    users: Path | None = None,
    relations: Path | None = None,
) -> str:
    """What :func:`open_data` was given, as it is typed: for a command that comes next."""
    words = [data]
    for name, path in (("--items", items), ("--users", users), ("--relations", relations)):
        words += [name, str(path)] if path is not None else []
    for setting in settings or []:
        words += ["--data", setting]
    return shlex.join(words)


def _toml_text(path: Path) -> str:
    """An absolute path as a TOML string: a data set's own paths start from its folder."""
    return json.dumps(str(path.expanduser().absolute()), ensure_ascii=False)


def encode_clean(dataset: Dataset, seed: int) -> Encoded:
    """The cleaned data set as arrays; says what cleaning took out.

    Raises:
        EmptyDataError: no event is left.
    """
    from quintet.data.clean import clean
    from quintet.data.encode import encode

    cleaned, report = clean(dataset)
    for table, refused in report.described().items():
        say(f"left out of {table}: {refused}")
    return encode(cleaned, tie_seed=seed)


def split_by(encoded: Encoded, protocol: Protocol) -> Split:
    """Hold events out.

    Raises:
        EmptyDataError: the log's times do not allow a cut by time.
    """
    from quintet.data.split import global_time, leave_one_out

    if protocol is Protocol.GLOBAL_TIME:
        return global_time(encoded.events)
    return leave_one_out(encoded.events)


def setting_values(
    file: Path | None,
    overrides: Sequence[str] | None = None,
    *,
    backbone: str | None = None,
    device: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Settings as nested values: the file, over it ``--set``, over it the short options.

    Raises:
        ConfigError: the file is missing or is not TOML, or an override has no ``=``.
    """
    from quintet.train.pipeline import DEFAULT_MEMORIES

    memories = {"memories": dict(DEFAULT_MEMORIES)}  # so that one of them can be changed
    return plain_values(file, overrides, memories, backbone=backbone, device=device, seed=seed)


def plain_values(
    file: Path | None,
    overrides: Sequence[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    *,
    backbone: str | None = None,
    device: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The same, of anything that has settings: over ``defaults`` whole groups of the file.

    Raises:
        ConfigError: the file is missing or is not TOML, or an override has no ``=``.
    """
    from quintet.config import apply_overrides, read_toml

    values = {**(defaults or {}), **(read_toml(file) if file is not None else {})}
    values = apply_overrides(values, overrides or [])
    if backbone is not None:
        values = apply_overrides(values, [f"model.backbone={json.dumps(backbone)}"])
    given = {"device": device, "seed": seed}
    return values | {name: value for name, value in given.items() if value is not None}


def build_config(values: dict[str, Any]) -> TrainConfig:
    """Settings, checked as far as they can be without data.

    Raises:
        ConfigError: a setting is unknown or out of range, or names a part that does not exist.
    """
    from quintet.config import build
    from quintet.nn.backbones.base import BACKBONES
    from quintet.nn.device import pick_device
    from quintet.train.pipeline import TrainConfig

    config = build(TrainConfig, values, "settings")
    BACKBONES.get(config.model.backbone)
    pick_device(config.device)
    return config


def check_target(out: Path) -> None:
    """Refuse before training, not after it.

    Raises:
        BundleError: something that is no bundle stands at ``out``.
    """
    from quintet.bundle import check_replaceable

    if check_replaceable(out):
        say(f"{out}: the bundle that stands there will be replaced")

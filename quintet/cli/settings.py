"""``quintet settings``: everything that ``--set`` and a settings file can change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.cli.console import Format, emit
from quintet.cli.options import Output, examples

if TYPE_CHECKING:
    from quintet.config import Config

EXAMPLES = examples("quintet settings", "quintet settings loop", "quintet settings --format json")


def settings(
    group: Annotated[
        str | None,
        typer.Argument(metavar="[GROUP]", help="Only settings below this one, such as loop."),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the settings of training with their defaults."""
    from quintet.errors import ConfigError

    rows = list(all_settings())
    if group is not None:
        chosen = [r for r in rows if r["setting"] == group or r["setting"].startswith(f"{group}.")]
        if not chosen:
            groups = dict.fromkeys(row["setting"].partition(".")[0] for row in rows)
            raise ConfigError(f"no settings below {group!r}; there are: {', '.join(groups)}")
        rows = chosen
    emit(output, rows)


def all_settings() -> Iterator[dict[str, Any]]:
    """Every setting of a training, those of parts found by name included."""
    from quintet.memory.base import MEMORIES
    from quintet.nn.backbones.base import BACKBONES
    from quintet.nn.tasks.base import TASKS
    from quintet.train.pipeline import DEFAULT_MEMORIES, TrainConfig

    for row in _fields(TrainConfig, ""):
        if row["setting"] == "model.backbone_settings":
            for part in BACKBONES.parts.values():
                for one in _fields(part.Config, "model.backbone_settings."):
                    yield one | {"what": _of(f"backbone {part.name}", one["what"])}
        elif row["setting"] == "model.tasks":
            for name, task in TASKS.parts.items():
                yield from _fields(task.Config, f"model.tasks.{name}.")
        elif row["setting"] == "memories":
            for name, memory in MEMORIES.parts.items():
                if memory.evidence:
                    yield from _of_memory(name, memory.Config, DEFAULT_MEMORIES.get(name))
        else:
            yield row


def _of_memory(
    name: str, config: type[Config], usual: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """Settings of a memory; it counts only where it is named, unless it is one of the ``usual``."""
    for row in _fields(config, f"memories.{name}."):
        own = row["setting"].rpartition(".")[2]
        default = (usual or {}).get(own, row["default"])
        yield row | {"default": default, "what": row["what"] if usual is not None else _off(row)}


def _off(row: dict[str, Any]) -> str:
    return f"{row['what']} (off unless named)".strip()


def _of(owner: str, what: str) -> str:
    return f"{owner}: {what}" if what else owner


def _fields(config: type[Config], prefix: str) -> Iterator[dict[str, Any]]:
    from quintet.config import Config

    for name, field in config.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Config):
            yield from _fields(type(default), f"{prefix}{name}.")
        else:
            shown = "none" if default is None else default
            what = field.description or ""
            yield {"setting": f"{prefix}{name}", "default": shown, "what": what}

"""The command line that the peers' scripts share."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(description: str | None, batch: int) -> argparse.ArgumentParser:
    """The options; ``batch`` is the library's own default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--validate", action="store_true", help="measure after every epoch")
    parser.add_argument("--patience", type=int, default=0, help="epochs without a new best; 0: all")
    parser.add_argument("--batch", type=int, default=batch, help="rows a step")
    parser.add_argument(
        "--skip-padding",
        action="store_true",
        help="same loss, without the library's work on padding: for quality curves, never to time",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--in-step", action="store_true", help="await a line before every epoch")
    parser.add_argument("--out", type=Path, help="file of JSON lines, written as it runs")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; paths become absolute, for libraries that change the folder."""
    options = parser.parse_args()
    options.sequences = options.sequences.resolve()
    options.out = options.out and options.out.resolve()
    return options

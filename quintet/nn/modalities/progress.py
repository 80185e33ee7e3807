"""A bar for encoders that take a while, where somebody watches standard error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeVar

from rich.console import Console

One = TypeVar("One")


@cache
def console() -> Console:
    """Standard error; one for all bars, so that one can stand below another."""
    return Console(stderr=True)


def watched(items: Sequence[One], what: str) -> Iterator[One]:
    """The items one by one, with a bar that says what is done with them."""
    from rich.progress import track

    quiet = not console().is_terminal
    yield from track(items, what, console=console(), transient=True, disable=quiet)

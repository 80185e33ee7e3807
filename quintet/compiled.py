"""Loops over numbers that are compiled where the extra ``fast`` is installed.

What is compiled runs beside other threads, and takes one pass where whole arrays take many. Whoever
has such a loop keeps an answer in NumPy too, for machines without the extra and for the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Generic, ParamSpec, TypeVar

Asked = ParamSpec("Asked")
Given = TypeVar("Given")

_there = find_spec("numba") is not None


class Compiled(Generic[Asked, Given]):
    """A function that numba compiles when it is first called; used as decorator.

    Every process compiles anew, in half a second: numba would keep what it made as pickles. Those
    that are forked from one that has compiled need not.
    """

    def __init__(self, function: Callable[Asked, Given]) -> None:
        self.function = function
        self._ready: Callable[Asked, Given] | None = None

    def __call__(self, *asked: Asked.args, **named: Asked.kwargs) -> Given:
        """What the function gives."""
        if self._ready is None:
            self._ready = _compiled(self.function)
        return self._ready(*asked, **named)

    @property
    def n_signatures(self) -> int:
        """For how many combinations of number types it has been compiled."""
        return len(getattr(self._ready, "signatures", ()))


def can_compile() -> bool:
    """Whether the extra ``fast`` is installed."""
    return _there


def _compiled(function: Callable[Asked, Given]) -> Callable[Asked, Given]:
    import numba

    made: Callable[Asked, Given] = numba.njit(nogil=True)(function)
    return made

"""What rules may ask: attributes of the catalogue, and what one person did, as arrays.

Shapes: I items, N events of one history.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from quintet.data.feature_codecs import parted
from quintet.data.interactions import Interactions, Ints, Mask
from quintet.data.vocab import Vocabulary
from quintet.errors import ConfigError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """Values of an attribute, none, one or several an item, as compressed rows.

    Attributes:
        offsets: [I + 1] where each item's codes start.
        codes: [M] indices into ``names``.
        names: the values as text, as rules name them.
    """

    offsets: Ints
    codes: Ints
    names: list[str]

    def carrying(self, wanted: Sequence[object]) -> Mask:
        """[I] items with any of the values."""
        texts = {text_of(one) for one in wanted}
        chosen = np.array([name in texts for name in self.names], np.bool_)
        carried = np.zeros(len(self.offsets) - 1, np.bool_)
        if len(self.codes):
            carried[self.rows()[chosen[self.codes]]] = True
        return carried

    def rows(self) -> Ints:
        """[M] the item of each code."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class Person:
    """One history, as far as rules look at it.

    Attributes:
        item: [N] item rows.
        behaviour: [N] indices into the data set's behaviours.
        time: [N] microseconds; all 0 where the log has no times.
        now: the moment of the request in microseconds.
    """

    item: Ints
    behaviour: Ints
    time: Ints
    now: int

    @classmethod
    def of(cls, history: Interactions, now: int) -> Person:
        """The person behind ONE history."""
        return cls(history.item, history.behaviour, history.time, now)

    @classmethod
    def nobody(cls, now: int = 0) -> Person:
        """Someone of whom nothing is known."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, now)


@dataclass(frozen=True)
class Facts:
    """The catalogue behind the rules.

    Attributes:
        items: ids of the catalogue.
        table: its columns, in row order.
        behaviours: names of the data set's behaviours.
        first_I: [I] the time of each item's first event in microseconds, -1 where there is none.
        separators: by column of texts, what stands between several categories of one item.
    """

    items: Vocabulary
    table: pa.Table
    behaviours: Sequence[str] = ()
    first_I: Ints | None = None
    separators: Mapping[str, str] = field(default_factory=dict)
    _labels: dict[str, Labels] = field(default_factory=dict, repr=False)
    _numbers: dict[str, Values] = field(default_factory=dict, repr=False)

    @cached_property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.items)

    def row(self, item: Any, rule: str) -> int:
        """The row of an id.

        Raises:
            ConfigError: it is not in the catalogue; names the rule.
        """
        row = int(self.items.rows([item])[0])
        if row < 0:
            raise ConfigError(
                f"rule {rule!r}: item {item!r} is not in the catalogue of {self.n_items:,} items"
            )
        return row

    def labels(self, attribute: str, rule: str) -> Labels:
        """The values of an attribute.

        Raises:
            ConfigError: the catalogue has no such attribute; names the rule and the valid ones.
        """
        column = self._column(attribute, rule)
        if attribute not in self._labels:
            self._labels[attribute] = _labels(column, self.separators.get(attribute))
        return self._labels[attribute]

    def numbers(self, attribute: str, rule: str) -> Values:
        """[I] an attribute as numbers, NaN where missing; a moment in microseconds since 1970.

        Raises:
            ConfigError: there is no such attribute, or it holds no numbers; names the rule.
        """
        column = self._column(attribute, rule)
        if attribute not in self._numbers:
            kind = column.type
            if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
                column = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)))
                column = column.cast(pa.int64())
            elif pa.types.is_float32(kind):
                column = column.cast(pa.string())  # 1.1 is 1.1, not the double next to it
            elif not _are_numbers(kind):
                raise ConfigError(
                    f"rule {rule!r}: attribute {attribute!r} holds {kind}, no numbers or times; "
                    "compare it by any_of or none_of"
                )
            values = pc.fill_null(column.cast(pa.float64()), float("nan"))
            self._numbers[attribute] = np.asarray(values.to_numpy(zero_copy_only=False))
        return self._numbers[attribute]

    def moments(self, attribute: str, rule: str) -> Values:
        """[I] an attribute's dates in microseconds since 1970, NaN where missing.

        Raises:
            ConfigError: there is no such attribute, or it holds no dates; names the rule.
        """
        kind = self._column(attribute, rule).type
        if not pa.types.is_timestamp(kind) and not pa.types.is_date(kind):
            raise ConfigError(
                f"rule {rule!r}: attribute {attribute!r} holds {kind}, no dates; name a column of "
                "dates, or leave the attribute out to count from the item's first event"
            )
        return self.numbers(attribute, rule)

    def behaviour(self, name: str, rule: str) -> int:
        """The index of a behaviour.

        Raises:
            ConfigError: the data set has no such behaviour; names the rule and the valid ones.
        """
        if name not in self.behaviours:
            raise ConfigError(
                f"rule {rule!r}: unknown behaviour {name!r}{_near(name, self.behaviours)}"
            )
        return list(self.behaviours).index(name)

    def _column(self, attribute: str, rule: str) -> pa.Array:
        if attribute not in self.table.column_names:
            raise ConfigError(
                f"rule {rule!r}: the catalogue has no attribute {attribute!r}"
                f"{_near(attribute, self.table.column_names)}"
            )
        column = self.table.column(attribute).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column


def text_of(value: object) -> str:
    """A value as rules and catalogue are compared: 5, 5.0 and "5.00" of a decimal are one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _are_numbers(kind: pa.DataType) -> bool:
    numbers = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal)
    return any(of_that_kind(kind) for of_that_kind in numbers)


def _labels(column: pa.Array, separator: str | None) -> Labels:
    if pa.types.is_float32(column.type):
        column = column.cast(pa.string()).cast(pa.float64())  # as people write it
    code_of: dict[str, int] = {}
    lengths, codes = [], []
    for one in column.to_pylist() if separator is None else _cells(column, separator):
        found = one if isinstance(one, list) else [one]
        own = dict.fromkeys(text_of(value) for value in found if value is not None)
        lengths.append(len(own))
        codes += [code_of.setdefault(text, len(code_of)) for text in own]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Labels(offsets, np.array(codes, np.int64), list(code_of))


def _cells(column: pa.Array, separator: str) -> list[list[str]]:
    """The categories of every row, parted as the model parts them."""
    cells: list[list[str]] = [[] for _ in range(len(column))]
    values, rows = parted(column, separator)
    for value, row in zip(values.to_pylist(), rows.tolist(), strict=True):
        cells[row].append(value)
    return cells


def _near(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{hint} (it has: {', '.join(known) or 'none'})"

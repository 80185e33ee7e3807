"""Ids to rows and back, in order of first appearance; ids come back in the caller's own type."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from quintet.data.interactions import Ints
from quintet.errors import ColumnError, DataError, UnknownIdError

#: a whole number as it would be printed: "5", never "05" or "+5", so that no two ids fall together
CANONICAL = "^(0|-?[1-9][0-9]{0,18})$"
GREATEST = 2**63 - 1
SMALL = 256


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Ids and their rows; row ``r`` belongs to the ``r``-th id.

    An id asked for in the other type is matched by its usual decimal form: ``"5"`` finds the
    integer 5 and 5 finds the text ``"5"``, but ``"05"`` finds only the text ``"05"``. That relation
    is one to one, so two different ids of a vocabulary never collide.

    Attributes:
        values: [N] the ids, ``string`` or ``int64``, all different.
    """

    values: pa.Array

    @classmethod
    def from_arrow(cls, ids: pa.Array | pa.ChunkedArray | Sequence[Any]) -> Vocabulary:
        """The distinct ids in order of first appearance.

        Raises:
            ColumnError: ids are neither text nor whole numbers.
            DataError: an id is missing.
        """
        column = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids)
        if pa.types.is_integer(column.type):
            column = column.cast(pa.int64())
        elif pa.types.is_null(column.type) and not len(column):
            column = column.cast(pa.string())
        elif not _is_text(column.type):
            raise ColumnError(f"ids must be text or whole numbers, not {column.type}")
        else:
            column = column.cast(pa.string())
        if column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            raise DataError(f"row {row}: the id is missing; clean the table first")
        return cls(_flat(pc.unique(column)))

    @property
    def is_integer(self) -> bool:
        """Whether the ids are integers."""
        return bool(pa.types.is_integer(self.values.type))

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, one: object) -> bool:
        return self._canonical(one) in self._index

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.values.type} ids)"

    def rows(self, ids: Iterable[Any] | pa.Array | pa.ChunkedArray | NDArray[Any]) -> Ints:
        """[K] row of each id, -1 where it is unknown."""
        if isinstance(ids, pa.Array | pa.ChunkedArray | np.ndarray):
            return self._bulk(ids)
        listed = list(ids)
        if len(listed) > SMALL and len({type(one) for one in listed}) == 1:
            return self._bulk(pa.array(listed))
        found = [self._index.get(self._canonical(one), -1) for one in listed]
        return np.array(found, np.int64)

    def row(self, one: object) -> int:
        """Row of one id, -1 where it is unknown."""
        return self._index.get(self._canonical(one), -1)

    def ids(self, rows: Sequence[int] | NDArray[np.integer]) -> list[Any]:
        """[K] the ids of ``rows``, in the caller's own type.

        Raises:
            UnknownIdError: a row lies outside the vocabulary.
        """
        chosen = np.asarray(rows, np.int64)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            wrong = int(chosen[(chosen < 0) | (chosen >= len(self))][0])
            raise UnknownIdError(f"row {wrong} is outside the vocabulary of {len(self)} ids")
        return list(self.values.take(pa.array(chosen)).to_pylist())

    def extended(self, ids: pa.Array | Sequence[Any]) -> Vocabulary:
        """A vocabulary with the unknown ones of ``ids`` added at its end; rows stay as they are."""
        column = ids if isinstance(ids, pa.Array) else pa.array(ids)
        new = column.filter(pa.array(self.rows(column) < 0))
        if not len(new):
            return self
        text = not self.is_integer
        try:
            return Vocabulary.from_arrow(
                pa.concat_arrays([self.values, new.cast(pa.string() if text else pa.int64())])
            )
        except pa.ArrowInvalid:
            raise DataError(f"new ids are {new.type}, the vocabulary's are int64") from None

    def to_arrow(self) -> pa.Table:
        """One column ``id``, in row order."""
        return pa.table({"id": self.values})

    @classmethod
    def from_arrow_table(cls, table: pa.Table) -> Vocabulary:
        """What :meth:`to_arrow` gave.

        Raises:
            DataError: an id stands twice, or there is no column ``id``.
        """
        if "id" not in table.column_names:
            raise DataError("a vocabulary needs a column 'id'")
        found = cls.from_arrow(table["id"])
        if len(found) != len(table):
            raise DataError("a vocabulary holds an id twice")
        return found

    @functools.cached_property
    def _index(self) -> dict[Any, int]:
        return {one: row for row, one in enumerate(self.values.to_pylist())}

    def _canonical(self, one: object) -> Any:
        """``one`` as an id of this vocabulary's type, or None where it cannot be one."""
        if isinstance(one, bool | np.bool_):
            return None
        if isinstance(one, float | np.floating):
            return int(one) if self.is_integer and float(one).is_integer() else None
        if isinstance(one, int | np.integer):
            return int(one) if self.is_integer else str(int(one))
        if isinstance(one, str):
            if not self.is_integer:
                return str(one)
            return int(one) if re.fullmatch(CANONICAL, one) else None
        return None

    def _bulk(self, ids: pa.Array | pa.ChunkedArray | NDArray[Any]) -> Ints:
        column = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else _from_numpy(ids)
        if column is None:
            return self.rows(np.asarray(ids).tolist())
        usable = self._cast(column)
        if usable is None:
            return np.full(len(column), -1, np.int64)
        found = pc.fill_null(pc.index_in(usable, value_set=self.values, skip_nulls=True), -1)
        return np.asarray(_flat(found).to_numpy(zero_copy_only=False), np.int64)

    def _cast(self, column: pa.Array | pa.ChunkedArray) -> pa.Array | None:
        kind = column.type
        if pa.types.is_dictionary(kind):
            return self._cast(column.cast(kind.value_type))
        if pa.types.is_uint64(kind) and self.is_integer:
            return pc.if_else(
                pc.less_equal(column, pa.scalar(GREATEST, pa.uint64())), column, None
            ).cast(pa.int64())
        if pa.types.is_integer(kind):
            return pc.cast(column, self.values.type)
        if _is_text(kind) and not self.is_integer:
            return column.cast(pa.string())
        if _is_text(kind):
            return pc.if_else(_is_whole(column), column, None).cast(pa.int64())
        if pa.types.is_floating(kind) and self.is_integer:
            within = pc.less(pc.abs(column), 2.0**63)
            whole = pc.and_(within, pc.equal(pc.floor(column), column))
            return pc.if_else(whole, column, None).cast(pa.int64(), safe=False)
        return None


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_whole(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """[K] whether each text is a 64-bit integer as it is printed."""
    length = pc.binary_length(texts)
    # of the longest, text order is number order
    positive = pc.or_(pc.less(length, 19), pc.less_equal(texts, str(GREATEST)))
    negative = pc.or_(pc.less(length, 20), pc.less_equal(texts, str(-GREATEST - 1)))
    within = pc.if_else(pc.starts_with(texts, "-"), negative, positive)
    return pc.and_(pc.match_substring_regex(texts, CANONICAL), within)


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _from_numpy(ids: NDArray[Any]) -> pa.Array | None:
    """Typed numpy ids as Arrow; None for arrays of mixed objects."""
    try:
        return pa.array(ids)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None

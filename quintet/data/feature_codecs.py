"""One codec a kind of attribute: what is learned from a column, and how a column is encoded.

A codec is fitted on the training rows of one column and encodes any later rows the same way. It
keeps only names and small arrays, so that it can stand in a bundle without pickle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from quintet.config import Config, tunable
from quintet.data.features import CategoryColumn, NumberColumn, VectorColumn
from quintet.data.interactions import MICROSECONDS_PER_DAY, Ints
from quintet.errors import ColumnError

Doubles = NDArray[np.float64]
Encoded = CategoryColumn | NumberColumn | VectorColumn | list[str]
Arrays = dict[str, NDArray[np.generic]]

#: numbers below this are zero
DUST = 1e-290
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
MISSING_WORDS = pa.array(["", "-", "?", "na", "n/a", "nan", "none", "null"], pa.large_string())


class EncoderConfig(Config):
    """How attributes are encoded."""

    #: a category on fewer training rows is dropped: it would name a row, not describe it
    min_count: int = tunable(2, low=1, high=20, description="training rows a category needs")
    max_categories: int = 10_000
    #: share of the training values clipped at either end of a numeric column
    clip: float = 0.005
    #: quantiles kept of a numeric column
    knots: int = 65
    #: separator of several categories in one text, by column; chosen from the data where not said
    separators: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Codec(ABC):
    """Learns one column and encodes it; ``kind`` is the column type that it serves."""

    kind: ClassVar[str]
    name: str

    @classmethod
    @abstractmethod
    def fit(cls, name: str, column: pa.Array, config: EncoderConfig) -> Self:
        """Learn from the training rows [N] of the column called ``name``."""

    @abstractmethod
    def encode(self, column: pa.Array) -> tuple[Encoded, dict[str, Any]]:
        """Encode rows [N]; the second part counts what was missing or could not be used."""

    def meta(self) -> dict[str, Any]:
        """What to keep as JSON."""
        return {}

    def arrays(self) -> Arrays:
        """What to keep as arrays."""
        return {}

    @classmethod
    def restore(cls, name: str, meta: dict[str, Any], arrays: Arrays) -> Self:
        """The codec that gave ``meta`` and ``arrays``."""
        return cls(name=name, **meta, **arrays)


@dataclass(frozen=True)
class TextCodec(Codec):
    """Free text: NFC, one space between words; lists are joined."""

    name: str
    kind = "text"

    @classmethod
    def fit(cls, name: str, column: pa.Array, config: EncoderConfig) -> Self:
        """Nothing is learned."""
        del column, config
        return cls(name)

    def encode(self, column: pa.Array) -> tuple[list[str], dict[str, Any]]:
        """[N] texts, "" where missing."""
        if is_list(column.type):
            words = column.cast(pa.large_list(pa.large_string())).to_pylist()
            column = pa.array([" ".join(filter(None, row or ())) for row in words], pa.string())
        texts = pc.fill_null(normalise(as_text(column)), "").to_pylist()
        return texts, {"missing": texts.count("")}


@dataclass(frozen=True)
class ImageCodec(Codec):
    """Paths of images, as given: a file's name must not be normalised."""

    name: str
    kind = "image"

    @classmethod
    def fit(cls, name: str, column: pa.Array, config: EncoderConfig) -> Self:
        """Nothing is learned."""
        del column, config
        return cls(name)

    def encode(self, column: pa.Array) -> tuple[list[str], dict[str, Any]]:
        """[N] paths, "" where missing."""
        paths = pc.fill_null(pc.utf8_trim_whitespace(as_text(column)), "").to_pylist()
        return paths, {"missing": paths.count("")}


@dataclass(frozen=True)
class CategoryCodec(Codec):
    """Zero, one or several categories a row; those rare in training or unseen are dropped."""

    name: str
    names: list[str]
    separator: str | None = None
    kind = "category"

    @classmethod
    def fit(cls, name: str, column: pa.Array, config: EncoderConfig) -> Self:
        """Learn the separator and the categories, numbered in order of first appearance."""
        separator = config.separators.get(name) or _find_separator(column)
        values, rows = parted(column, separator)
        coded = pc.dictionary_encode(values)
        names = coded.dictionary.to_pylist()
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        counts = np.bincount(codes[_first_in_row(rows, codes, len(names))], minlength=len(names))
        frequent_first = np.argsort(-counts, kind="stable")[: config.max_categories]
        kept = np.sort(frequent_first[counts[frequent_first] >= config.min_count])
        return cls(name, [names[code] for code in kept], separator)

    def encode(self, column: pa.Array) -> tuple[CategoryColumn, dict[str, Any]]:
        """The categories of every row, each once, in the order given."""
        values, rows = parted(column, self.separator)
        found = pc.index_in(values, value_set=pa.array(self.names, values.type))
        codes = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        known = codes >= 0
        codes, rows = codes[known], rows[known]
        first = _first_in_row(rows, codes, len(self.names))
        offsets = np.zeros(len(column) + 1, np.int64)
        np.cumsum(np.bincount(rows[first], minlength=len(column)), out=offsets[1:])
        counts = {
            "missing": int(np.count_nonzero(np.diff(offsets) == 0)),
            "categories": len(self.names),
            "dropped": int(np.count_nonzero(~known)),
            "separator": self.separator,
        }
        return CategoryColumn(offsets, codes[first], self.names), counts

    def meta(self) -> dict[str, Any]:
        """The categories by code, and the separator."""
        return {"names": self.names, "separator": self.separator}


def _without_dust(values: Doubles) -> Doubles:
    """Zero for what lies so near to it that a slope between two of them would be infinite."""
    return np.where(np.abs(values) < DUST, 0.0, values)


@dataclass(frozen=True)
class NumberCodec(Codec):
    """A number by its place among the training values: -1 the least, 1 the greatest.

    Attributes:
        name: the column.
        knots: [K] distinct training quantiles, ascending; empty where there were no numbers.
        places: [K] the place of each knot in [-1, 1]; a value that fills several quantiles
            stands in their middle.
    """

    name: str
    knots: Doubles
    places: Doubles
    kind = "number"

    @classmethod
    def fit(cls, name: str, column: pa.Array, config: EncoderConfig) -> Self:
        """Learn the quantiles."""
        values, _ = _as_numbers(name, column)
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(name, np.zeros(0), np.zeros(0))
        levels = np.linspace(config.clip, 1.0 - config.clip, config.knots)
        knots, group = np.unique(_without_dust(np.quantile(values, levels)), return_inverse=True)
        places = np.linspace(-1.0, 1.0, config.knots)
        middles = np.bincount(group, weights=places) / np.bincount(group)
        return cls(name, knots, np.round(middles, 9))

    def encode(self, column: pa.Array) -> tuple[NumberColumn, dict[str, Any]]:
        """Clip, then interpolate between the quantiles."""
        raw, uncastable = _as_numbers(self.name, column)
        present = np.isfinite(raw) & (len(self.knots) > 0)
        values = np.zeros(len(raw), np.float32)
        if present.any():
            values[present] = np.interp(_without_dust(raw[present]), self.knots, self.places)
        counts = {"missing": int(np.count_nonzero(~present)), "uncastable": uncastable}
        return NumberColumn(values, present, raw.astype(np.float32)), counts

    def arrays(self) -> Arrays:
        """The quantiles and their places."""
        return {"knots": self.knots, "places": self.places}


@dataclass(frozen=True)
class VectorCodec(Codec):
    """Precomputed vectors of one length, as lists or as text such as ``[0.1, 0.2]``."""

    name: str
    size: int
    kind = "vector"

    @classmethod
    def fit(cls, name: str, column: pa.Array, config: EncoderConfig) -> Self:
        """Learn the length from the first vector; 0 where there is none."""
        del config
        lengths = pc.list_value_length(_as_vectors(name, column))
        filled = lengths.filter(pc.greater(lengths, 0))
        return cls(name, filled[0].as_py() if len(filled) else 0)

    def encode(self, column: pa.Array) -> tuple[VectorColumn, dict[str, Any]]:
        """Stack the vectors; missing, empty and non-finite ones are zero and not present.

        Raises:
            ColumnError: a vector has another length than those learned from; names its row.
        """
        vectors = _as_vectors(self.name, column)
        lengths = pc.fill_null(pc.list_value_length(vectors), 0).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(lengths) if self.size else np.zeros(0, np.int64)
        wrong = rows[lengths[rows] != self.size]
        if len(wrong):
            raise ColumnError(
                f"column {self.name!r}, row {wrong[0]}: vector of length {lengths[wrong[0]]}, "
                f"expected {self.size}; give every row the same length, or leave it empty"
            )
        filled = pc.list_flatten(vectors.take(pa.array(rows))).to_numpy(zero_copy_only=False)
        dense = filled.astype(np.float32).reshape(len(rows), self.size)
        finite = np.isfinite(dense).all(axis=1)
        values = np.zeros((len(column), self.size), np.float32)
        values[rows[finite]] = dense[finite]
        present = np.zeros(len(column), np.bool_)
        present[rows[finite]] = True
        counts = {
            "missing": int(np.count_nonzero(~present)),
            "uncastable": int(np.count_nonzero(~finite)),
            "size": self.size,
        }
        return VectorColumn(values, present), counts

    def meta(self) -> dict[str, Any]:
        """The length."""
        return {"size": self.size}


CODECS: dict[str, type[Codec]] = {
    codec.kind: codec for codec in (TextCodec, ImageCodec, CategoryCodec, NumberCodec, VectorCodec)
}


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds a list a row."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def as_text(column: pa.Array) -> pa.Array:
    """Cast a flat column to text; whole numbers lose their ".0", NaN becomes null."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column.cast(pa.large_string())


def normalise(texts: pa.Array) -> pa.Array:
    """NFC, and one plain space for any run of white space."""
    single = pc.replace_substring_regex(texts, r"[\s\v\p{Z}]+", " ")
    return pc.utf8_normalize(pc.utf8_trim_whitespace(single), form="NFC")


def _find_separator(column: pa.Array) -> str | None:
    """The separator of a text column's lists: "|", ";", white space, or none.

    White space separates where the values are made of few words: at least twice as many distinct
    values as words, as in lists of genres. Names of brands or cities have about a word a value.
    """
    if is_list(column.type):
        return None
    values = pc.unique(normalise(as_text(column)))
    for separator in ("|", ";"):
        if pc.any(pc.match_substring(values, separator)).as_py():
            return separator
    words = pc.unique(pc.list_flatten(pc.split_pattern(values, " ")))
    return " " if len(values) >= 2 * len(words) > 2 else None


def parted(column: pa.Array, separator: str | None) -> tuple[pa.Array, Ints]:
    """[M] the categories of all rows and [M] the row of each; empty ones are left out."""
    if is_list(column.type):
        lists = column
    else:
        texts = as_text(column)
        if separator == " ":
            texts = normalise(texts)
        lists = (
            pc.split_pattern(texts, separator)
            if separator is not None
            else pa.LargeListArray.from_arrays(np.arange(len(texts) + 1), texts)
        )
    rows = pc.list_parent_indices(lists)
    values = normalise(as_text(pc.list_flatten(lists)))
    filled = pc.fill_null(pc.greater(pc.binary_length(values), 0), False)
    kept = rows.filter(filled).to_numpy(zero_copy_only=False).astype(np.int64)
    return values.filter(filled), kept


def _first_in_row(rows: Ints, codes: Ints, n_codes: int) -> Ints:
    """Indices, ascending, of the first of each distinct (row, code)."""
    return np.sort(np.unique(rows * max(n_codes, 1) + codes, return_index=True)[1])


def _parse(texts: pa.Array) -> tuple[Doubles, NDArray[np.bool_]]:
    """[N] the numbers that texts hold, NaN where none, and [N] whether it was no number at all."""
    texts = pc.utf8_trim_whitespace(texts.cast(pa.large_string()))
    numeric = pc.match_substring_regex(texts, NUMBER)
    numbers = pc.if_else(numeric, texts, None).cast(pa.float64())
    missing = pc.or_(pc.is_null(texts), pc.is_in(pc.utf8_lower(texts), value_set=MISSING_WORDS))
    values = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
    wrong = ~np.isfinite(values) & ~missing.to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan), wrong


def _as_numbers(name: str, column: pa.Array) -> tuple[Doubles, int]:
    """[N] numbers, NaN where missing, and how many values were no numbers; dates are in days."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        values, wrong = _parse(column)
        return values, int(np.count_nonzero(wrong))
    try:
        if pa.types.is_temporal(kind):
            micros = column.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.float64(), safe=False)
            numbers = pc.divide(micros, float(MICROSECONDS_PER_DAY))
        elif pa.types.is_boolean(kind):
            numbers = column.cast(pa.int8()).cast(pa.float64())
        else:
            numbers = column.cast(pa.float64(), safe=False)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise ColumnError(
            f"column {name!r}: values of type {kind} are no numbers; "
            "declare another type for it, such as category, text, vector or ignore"
        ) from None
    values = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values), int(np.count_nonzero(infinite))


def _as_vectors(name: str, column: pa.Array) -> pa.Array:
    """[N] lists of float32, null where missing."""
    if pa.types.is_null(column.type):
        return column.cast(pa.large_list(pa.float32()))
    if is_list(column.type):
        try:
            return column.cast(pa.large_list(pa.float32()), safe=False)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise ColumnError(
                f"column {name!r}: lists of {column.type.value_type} are no vectors of numbers"
            ) from None
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise ColumnError(f"column {name!r}: values of type {column.type} are no vectors")
    bare = pc.replace_substring_regex(column.cast(pa.large_string()), r"[\[\](),;\s]+", " ")
    bare = pc.utf8_trim_whitespace(bare)
    empty = pc.is_in(pc.utf8_lower(bare), value_set=MISSING_WORDS)
    words = pc.split_pattern(pc.if_else(empty, None, bare), " ")
    flat, wrong = _parse(pc.list_flatten(words))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        row = pc.list_parent_indices(words)[first]
        raise ColumnError(
            f"column {name!r}, row {row}: {pc.list_flatten(words)[first].as_py()!r} is no number; "
            "give vectors as lists, or as numbers separated by spaces or commas"
        )
    return pa.LargeListArray.from_arrays(words.offsets, pa.array(flat.astype(np.float32)))

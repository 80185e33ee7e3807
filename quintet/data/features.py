"""Attributes as arrays: what item and user towers read.

A :class:`FeatureTable` has one row an entity (item or user row) and typed columns. It is made
from a frame by ``FeatureEncoder`` (``feature_encoder.py``), fitted once and kept in the bundle, so
that an item added later is encoded by the same code as in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quintet.data.interactions import Floats, Ints, Mask


@dataclass(frozen=True)
class CategoryColumn:
    """A column with zero, one or several categories a row.

    Attributes:
        offsets: [N + 1] where each row's codes start.
        codes: [M] indices into ``names``; an empty row means "missing".
        names: [C] the categories as given, by code; code order is order of first appearance.
    """

    offsets: Ints
    codes: Ints
    names: list[str]

    def counts(self) -> Floats:
        """[N, C] multi-hot matrix."""
        dense = np.zeros((len(self.offsets) - 1, len(self.names)), np.float32)
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        dense[rows, self.codes] = 1.0
        return dense


@dataclass(frozen=True)
class NumberColumn:
    """A numeric column, clipped and normalised by the training quantiles.

    Attributes:
        values: [N] in [-1, 1] (the quantile scaled), 0 where missing.
        present: [N] false where the value is missing.
        raw: [N] the value as given, NaN where missing.
    """

    values: Floats
    present: Mask
    raw: Floats


@dataclass(frozen=True)
class VectorColumn:
    """Precomputed vectors: ``values`` [N, D] (0 where missing), ``present`` [N]."""

    values: Floats
    present: Mask


@dataclass(frozen=True)
class FeatureTable:
    """Typed attributes of N entities; row order is vocabulary order.

    Attributes:
        n_rows: how many entities.
        categories: category columns by name.
        numbers: numeric columns by name.
        texts: free text by column name, [N], "" where missing.
        images: image paths by column name, [N], "" where missing.
        vectors: precomputed vectors by column name.
    """

    n_rows: int
    categories: dict[str, CategoryColumn] = field(default_factory=dict)
    numbers: dict[str, NumberColumn] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, list[str]] = field(default_factory=dict)
    vectors: dict[str, VectorColumn] = field(default_factory=dict)

    def joined_text(self) -> NDArray[np.object_]:
        """[N] all text columns and category names of a row in one string, for text encoders."""
        parts: list[list[str]] = [[] for _ in range(self.n_rows)]
        for column in self.texts.values():
            for row, text in enumerate(column):
                if text:
                    parts[row].append(text)
        for category in self.categories.values():
            for row in range(self.n_rows):
                codes = category.codes[category.offsets[row] : category.offsets[row + 1]]
                parts[row].extend(category.names[code] for code in codes)
        return np.array([" ".join(words) for words in parts], dtype=object)

"""From a table of attributes to a :class:`FeatureTable`, the same way in training and in service.

The encoder is fitted once, on training rows if told so, and kept in the bundle. An item added
later, with some or all of its attributes, goes through the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quintet.config import build
from quintet.data.feature_codecs import CODECS, Arrays, Codec, Encoded, EncoderConfig
from quintet.data.features import FeatureTable
from quintet.errors import (
    ColumnError,
    ConfigError,
    CorruptBundleError,
    NotFittedError,
    SchemaVersionError,
)

FORMAT = 1
IGNORE = "ignore"
#: the field of FeatureTable that holds the columns of each kind
FIELDS = {
    "category": "categories",
    "number": "numbers",
    "text": "texts",
    "image": "images",
    "vector": "vectors",
}


class FeatureEncoder:
    """Encodes the attributes of items or users.

    Categories rare in training or unseen are dropped (the row has that category missing); numbers
    are placed by the training quantiles; texts are normalised. Nothing depends on ids: categories
    are numbered in order of first appearance.
    """

    Config = EncoderConfig

    def __init__(self, config: EncoderConfig | None = None) -> None:
        self.config = config if config is not None else EncoderConfig()
        self._codecs: dict[str, Codec] | None = None
        self._report: dict[str, dict[str, Any]] = {}

    @property
    def codecs(self) -> dict[str, Codec]:
        """The fitted codec of every column.

        Raises:
            NotFittedError: before :meth:`fit`.
        """
        if self._codecs is None:
            raise NotFittedError("the feature encoder is not fitted: call fit(table, types) first")
        return self._codecs

    @property
    def separators(self) -> dict[str, str]:
        """By column of texts, what stands between several categories of one row."""
        found = {name: getattr(codec, "separator", None) for name, codec in self.codecs.items()}
        return {name: separator for name, separator in found.items() if separator is not None}

    def fit(
        self,
        table: pa.Table,
        types: Mapping[str, str],
        *,
        fit_rows: NDArray[np.generic] | None = None,
    ) -> Self:
        """Learn categories, quantiles and vector lengths.

        Args:
            table: one row an entity (N rows), in the order of the vocabulary.
            types: column -> "text", "category", "number", "image", "vector" or "ignore"; columns
                that are not named are ignored.
            fit_rows: rows, or a mask [N], that statistics may be taken from; all rows if not said.

        Raises:
            ConfigError: a type is unknown.
            ColumnError: a column is not in the table or does not hold what its type says.
        """
        wanted = _wanted(table, types)
        rows = None if fit_rows is None else pa.array(_as_rows(fit_rows))
        codecs: dict[str, Codec] = {}
        for name, kind in wanted.items():
            column = _column(table, name)
            seen = column if rows is None else column.take(rows)
            codecs[name] = CODECS[kind].fit(name, seen, self.config)
        self._codecs = codecs
        self._report = self.report(table)
        return self

    def transform(self, table: pa.Table) -> FeatureTable:
        """Encode a table [N]; a column that it lacks is missing in all rows.

        Raises:
            NotFittedError: before :meth:`fit`.
            ColumnError: a column does not hold what its type says; names column and row.
        """
        return self._encode(table)[0]

    def report(self, table: pa.Table | None = None) -> dict[str, dict[str, Any]]:
        """What was found in each column of ``table``, or of the table fitted on.

        ``missing`` counts rows without a usable value, ``uncastable`` values that are no numbers,
        ``dropped`` mentions of categories that are rare in training or unseen.
        """
        return self._report if table is None else self._encode(table)[1]

    def _encode(self, table: pa.Table) -> tuple[FeatureTable, dict[str, dict[str, Any]]]:
        columns: dict[str, dict[str, Encoded]] = {field: {} for field in FIELDS.values()}
        report: dict[str, dict[str, Any]] = {}
        for name, codec in self.codecs.items():
            encoded, counts = codec.encode(_column(table, name))
            columns[FIELDS[codec.kind]][name] = encoded
            report[name] = {"type": codec.kind, **counts}
        return FeatureTable(n_rows=table.num_rows, **columns), report  # type: ignore[arg-type]

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays by name, and the rest as JSON values; :meth:`from_state` takes both back."""
        arrays: Arrays = {}
        columns = []
        for name, codec in self.codecs.items():
            arrays |= {f"{name}/{key}": array for key, array in codec.arrays().items()}
            columns.append({"name": name, "kind": codec.kind, **codec.meta()})
        config = self.config.model_dump(mode="json")
        return arrays, {
            "format": FORMAT,
            "config": config,
            "columns": columns,
            "report": self._report,
        }

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> Self:
        """The fitted encoder that gave this :meth:`state`.

        Raises:
            SchemaVersionError: written in another format.
            CorruptBundleError: a part is missing.
        """
        if meta.get("format") != FORMAT:
            raise SchemaVersionError(
                f"feature encoder of format {meta.get('format')!r}; this version reads {FORMAT}"
            )
        encoder = cls(build(EncoderConfig, meta["config"], "feature encoder"))
        encoder._codecs = {}
        for column in meta["columns"]:
            rest = dict(column)
            name, kind = rest.pop("name"), rest.pop("kind")
            own = {
                key.removeprefix(f"{name}/"): np.asarray(array)
                for key, array in arrays.items()
                if key.rpartition("/")[0] == name
            }
            try:
                encoder._codecs[name] = CODECS[kind].restore(name, rest, own)
            except (KeyError, TypeError) as error:
                raise CorruptBundleError(f"feature encoder, column {name!r}: {error}") from None
        encoder._report = dict(meta["report"])
        return encoder


def _wanted(table: pa.Table, types: Mapping[str, str]) -> dict[str, str]:
    """The columns to encode, with their types; refuses what cannot be."""
    valid = [*CODECS, IGNORE]
    for name, kind in types.items():
        if kind not in valid:
            raise ConfigError(
                f"column {name!r}: unknown type {kind!r}; choose one of: {', '.join(valid)}"
            )
        if kind != IGNORE and table.column_names.count(name) != 1:
            state = "stands twice" if name in table.column_names else "is missing"
            raise ColumnError(
                f"column {name!r} {state}; the table has: {', '.join(table.column_names)}"
            )
    return {name: kind for name, kind in types.items() if kind != IGNORE}


def _as_rows(fit_rows: NDArray[np.generic]) -> NDArray[np.generic]:
    """Ascending row numbers, so that the order asked in cannot number the categories."""
    rows = np.asarray(fit_rows)
    return np.flatnonzero(rows) if rows.dtype == np.bool_ else np.unique(rows)


def _column(table: pa.Table, name: str) -> pa.Array:
    """One column in one piece and in a plain type; nulls where the table lacks it."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows)
    column = table.column(name).combine_chunks()
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif pa.types.is_string_view(kind):
        column = column.cast(pa.large_string())
    elif pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        column = column.cast(pa.large_list(kind.value_type))
    return column

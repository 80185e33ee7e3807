"""Items as vectors: which are near, what they share, and a table of them for other systems."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from quintet.data.features import CategoryColumn, FeatureTable
from quintet.data.interactions import Ints, Mask
from quintet.errors import ConfigError
from quintet.serve.trained import Trained

Kind = Literal["joint", "identity", "content"]
KINDS: tuple[Kind, ...] = ("joint", "identity", "content")

#: two numbers are alike that stand so near in the order of the catalogue's
NEAR = 0.1
#: words of a text that are named, the rarest first; those in more than this share of texts are not
MOST_WORDS, COMMON = 3, 0.2
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+|[^\W_\u3040-\u30ff\u3400-\u9fff]{2,}")


def item_vectors(trained: Trained, kind: str = "joint") -> Tensor:
    """[I, D] the items as the model sees them.

    Args:
        trained: the model.
        kind: ``joint`` (identity and content, what :func:`nearest` compares), ``identity`` (how an
            item is used; content where it never was) or ``content``.

    Raises:
        ConfigError: there is no such kind, or the model has none of that kind.
    """
    tables = trained.scorer.evidence.tables
    if kind == "joint":
        return tables.joint_ID
    if kind in tables.items:
        return tables.items[kind].vector_ID
    there = ", ".join(["joint", *tables.items])
    raise ConfigError(f"this model has no item vectors of kind {kind!r}; it has: {there}")


def vector_table(trained: Trained, kind: str = "joint") -> pa.Table:
    """One row an item: ``item_id``, ``events`` in training, ``vector`` [D] of single precision.

    Items that are alike have a cosine near 1.

    Raises:
        ConfigError: see :func:`item_vectors`.
    """
    vector_ID = item_vectors(trained, kind).detach().cpu().numpy().astype(np.float32)
    flat = pa.array(np.ascontiguousarray(vector_ID).reshape(-1))
    return pa.table(
        {
            "item_id": trained.items.values,
            "events": trained.count_I.astype(np.int64),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vector_ID.shape[1]),
        }
    )


@torch.no_grad()
def nearest(
    trained: Trained, row: int, k: int, offered_I: Mask | None = None
) -> list[dict[str, Any]]:
    """The items nearest to one by cosine of the joint vectors, with what they share named.

    Args:
        trained: the model.
        row: of the item.
        k: how many at most.
        offered_I: [I] items that may be named; all when absent.
    """
    if k < 1:
        raise ConfigError(f"k must be at least 1, not {k}")
    joint_ID = torch.nn.functional.normalize(item_vectors(trained), dim=1)
    similarity_I = joint_ID @ joint_ID[row]
    similarity_I[row] = -torch.inf
    if offered_I is not None:
        similarity_I[torch.from_numpy(~offered_I)] = -torch.inf
    best = similarity_I.topk(min(k, len(similarity_I) - 1))
    found = best.indices[best.values.isfinite()].cpu().numpy()
    attributes = Attributes(trained.item_features)
    ids = trained.items.ids(found)
    return [
        {
            "item_id": item,
            "similarity": round(float(value), 4),
            "rank": rank,
            "shared": attributes.shared(row, int(other)),
        }
        for rank, (item, value, other) in enumerate(
            zip(ids, best.values[: len(found)], found, strict=True), 1
        )
    ]


class Attributes:
    """What two items of a catalogue have in common, in the catalogue's own words."""

    def __init__(self, table: FeatureTable) -> None:
        self.table = table

    def shared(self, one: int, other: int) -> dict[str, list[str]]:
        """By column, the categories and rare words of both, or two numbers that are near."""
        found: dict[str, list[str]] = {}
        for name, column in self.table.categories.items():
            found[name] = [column.names[code] for code in _both(column, one, other)]
        for name, numbers in self.table.numbers.items():
            pair = [one, other]
            if numbers.present[pair].all() and abs(np.diff(numbers.values[pair])[0]) <= 2 * NEAR:
                values = dict.fromkeys(f"{value:g}" for value in numbers.raw[pair])
                found[name] = [" and ".join(values)]
        for name, texts in self.table.texts.items():
            found[name] = self._words(name, texts[one], texts[other])
        return {name: values for name, values in found.items() if values}

    def _words(self, column: str, one: str, other: str) -> list[str]:
        count = self._texts_with[column]
        most = max(COMMON * self.table.n_rows, 2)
        both = words(one) & words(other)
        rare = sorted((word for word in both if count[word] <= most), key=lambda w: (count[w], w))
        return rare[:MOST_WORDS]

    @cached_property
    def _texts_with(self) -> dict[str, dict[str, int]]:
        """By column and word, in how many texts it stands."""
        counts: dict[str, dict[str, int]] = {}
        for name, texts in self.table.texts.items():
            own: dict[str, int] = {}
            for text in texts:
                for word in words(text):
                    own[word] = own.get(word, 0) + 1
            counts[name] = own
        return counts


def words(text: str) -> set[str]:
    """The words of a text; a run of Chinese or Japanese characters is one."""
    return set(WORD.findall(text.lower()))


def _both(column: CategoryColumn, one: int, other: int) -> Ints:
    """Codes that two rows share, in order."""
    first, second = (
        column.codes[column.offsets[row] : column.offsets[row + 1]] for row in (one, other)
    )
    return np.intersect1d(first, second)

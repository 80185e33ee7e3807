"""A map of the catalogue: items as the model sees them, brought to two dimensions.

t-SNE (van der Maaten & Hinton 2008) of the joint vectors of the items that are met most, started
from their principal components. It shows who is near whom; distances between far groups mean
nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quintet.data.interactions import Floats, Ints
from quintet.serve.alike import item_vectors
from quintet.serve.trained import Trained

MOST_ITEMS = 800
FEWEST_ITEMS = 10
#: groups that get a colour of their own; the rest share one
MOST_GROUPS = 7
OTHER = "other"


def catalogue_map(trained: Trained, most: int = MOST_ITEMS, seed: int = 0) -> list[dict[str, Any]]:
    """One point an item: ``x`` and ``y`` in [0, 1], ``title``, ``group``, ``events``.

    The group is the item's first category in the column that people's interests are told by. None
    where the catalogue is too small for a map.
    """
    met = np.flatnonzero(trained.count_I > 0)
    rows = met[np.argsort(-trained.count_I[met], kind="stable")][:most]
    if len(rows) < FEWEST_ITEMS:
        return []
    place_N2 = _flattened(item_vectors(trained)[rows].detach().cpu().numpy(), seed)
    titles = _titles(trained, rows)
    groups = _groups(trained, rows)
    return [
        {
            "x": round(float(x), 4),
            "y": round(float(y), 4),
            "title": title,
            "group": group,
            "events": int(trained.count_I[row]),
        }
        for (x, y), title, group, row in zip(place_N2, titles, groups, rows, strict=True)
    ]


def _flattened(vector_ND: Floats, seed: int) -> Floats:
    """[N, 2] places in the unit square."""
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import normalize

    perplexity = min(30.0, (len(vector_ND) - 1) / 4)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    place_N2 = flat.fit_transform(normalize(vector_ND))
    low, high = place_N2.min(0), place_N2.max(0)
    scaled: Floats = (place_N2 - low) / np.maximum(high - low, 1e-9)
    return scaled


def _titles(trained: Trained, rows: Ints) -> list[str]:
    named = [name for name in ("title", "name") if name in trained.item_table.column_names]
    ids = [str(one) for one in trained.items.ids(rows)]
    if not named:
        return ids
    given = trained.item_table[named[0]].take(rows).to_pylist()
    return [str(title or item) for title, item in zip(given, ids, strict=True)]


def _groups(trained: Trained, rows: Ints) -> list[str]:
    interest = trained.model.shape.interest
    if interest is None:
        return [OTHER] * len(rows)
    column = trained.item_features.categories[interest]
    empty = np.diff(column.offsets)[rows] == 0
    first = column.codes[np.minimum(column.offsets[rows], max(len(column.codes) - 1, 0))]
    count = np.bincount(first[~empty], minlength=len(column.names))
    largest = set(np.argsort(-count, kind="stable")[:MOST_GROUPS].tolist())
    return [
        OTHER if bare or int(code) not in largest else column.names[code]
        for code, bare in zip(first, empty, strict=True)
    ]

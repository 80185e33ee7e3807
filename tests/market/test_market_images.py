"""Pictures show what an item is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quintet.market import MarketConfig, generate
from quintet.market.images import picture
from quintet.market.vocabulary import CATEGORIES


def test_categories_look_different_and_one_category_alike() -> None:
    pictures = np.stack([picture(category, 0, 0) for category in range(len(CATEGORIES))])
    again = picture(3, 0, 99)
    distance = np.abs(pictures.astype(float) - again).mean(axis=(1, 2, 3))
    assert distance.argmin() == 3
    assert np.sort(distance)[1] > 2 * distance[3]


def test_every_item_has_its_file(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    market = generate(MarketConfig(n_users=5, n_items=60, image_folder=tmp_path / "images"))
    paths = market.items["image"].to_pylist()
    assert len(set(paths)) == 60
    item = market.items["item_id"].to_pylist()[7]
    assert Path(paths[7]).name == f"{item}.png"
    with image_module.open(paths[7]) as image:
        assert image.size == (32, 32)

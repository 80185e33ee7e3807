"""Small pictures of the items: the category shows in shape and colour, the shelf in the ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.errors import MissingExtraError
from quintet.market.world import Goods, Mask

SIZE = 32
_SHAPES = 4
_GROUNDS = np.array([235, 200, 160], np.uint8)
_HUES = np.array([[200, 40, 40], [40, 140, 60], [40, 70, 200]], np.uint8)


def shapes() -> Mask:
    """[4, 32, 32] disc, square, diamond and cross."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    far = np.maximum(np.abs(x), np.abs(y))
    return np.stack(
        [
            x**2 + y**2 < 11**2,
            far < 9,
            np.abs(x) + np.abs(y) < 13,
            (np.minimum(np.abs(x), np.abs(y)) < 4) & (far < 12),
        ]
    )


def picture(category: int, shelf: int, number: int) -> NDArray[np.uint8]:
    """[32, 32, 3] the picture of one item; ``number`` seeds its grain."""
    mask = shapes()[category % _SHAPES]
    image = np.full((SIZE, SIZE, 3), _GROUNDS[shelf], np.uint8)
    image[mask] = _HUES[category // _SHAPES]
    grain = np.random.default_rng(number).integers(-12, 13, image.shape)
    grainy: NDArray[np.uint8] = np.clip(image + grain, 0, 255).astype(np.uint8)
    return grainy


def draw_images(folder: Path, goods: Goods, names: list[str]) -> list[str]:
    """Write one PNG for each item into ``folder``; returns their paths in the order of ``names``.

    Raises:
        MissingExtraError: pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("drawing item images", "image") from None
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for row, name in enumerate(names):
        path = folder / f"{name}.png"
        image = picture(int(goods.category[row]), int(goods.shelf[row]), row)
        Image.fromarray(image).save(path)
        paths.append(str(path))
    return paths

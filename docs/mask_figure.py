"""Draw docs/figures/masks.jpg: photos that scikit-image ships, boxes drawn by hand, and the masks made from them.

    pip install scikit-image
    python docs/mask_figure.py

The astronaut (NASA) and the coins (Brooklyn Museum) are in the public domain.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw
from skimage import data

import boxseg

OUT = Path(__file__).parent / "figures" / "masks.jpg"
HEIGHT = 380

ASTRONAUT = [[20, 12, 365, 512], [272, 342, 512, 512], [357, 0, 463, 292]]
COINS = [
    [304, 14, 367, 74], [130, 28, 181, 76], [191, 29, 242, 75], [254, 32, 299, 73], [21, 34, 68, 75],
    [79, 38, 123, 75], [243, 94, 298, 146], [22, 102, 69, 147], [183, 103, 229, 146], [315, 104, 359, 147],
    [82, 106, 124, 146], [131, 108, 176, 147], [313, 154, 382, 219], [187, 169, 239, 218], [249, 170, 299, 219],
    [78, 173, 126, 219], [23, 177, 65, 218], [133, 177, 176, 219], [16, 231, 77, 289], [140, 235, 203, 289],
    [217, 238, 275, 290], [273, 238, 331, 290], [90, 244, 140, 289], [333, 245, 382, 294],
]  # fmt: skip


def boxed(picture: Image.Image, boxes: list[list[int]]) -> Image.Image:
    """The picture with its boxes, resized."""
    pen = ImageDraw.Draw(picture)
    for box in boxes:
        pen.rectangle(tuple(box), outline="white", width=2)
    return picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS)


def main() -> None:
    """Draw photo and masks of both, side by side."""
    masker = boxseg.Masker()
    tiles = []
    for photo, boxes in ((data.astronaut(), ASTRONAUT), (data.coins(), COINS)):
        found = masker(photo, boxes)
        tiles += [boxed(Image.fromarray(found.image), boxes), boxed(found.overlay(0.65), boxes)]
    sheet = Image.new("RGB", (sum(tile.width for tile in tiles) + 8 * (len(tiles) - 1), HEIGHT), "white")
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width + 8
    sheet.save(OUT, quality=88, optimize=True)


if __name__ == "__main__":
    main()

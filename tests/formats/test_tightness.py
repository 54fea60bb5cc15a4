"""How tight boxes are: measured on outlines of known size in boxes of known size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.formats.object_counts import count_classes, count_sizes
from boxseg.formats.tightness import SIDES, measure_tightness

Corners = tuple[float, float, float, float]


def star(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A polygon that touches all sides of its bounds, and fills half of them."""
    middle, centre = (left + right) / 2, (top + bottom) / 2
    return [middle, top, right, centre, middle, bottom, left, centre]


@pytest.fixture
def read(tmp_path: Path):
    """A COCO set of one photo of 400 x 300, with objects given as box, outline and further fields."""
    Image.new("RGB", (400, 300)).save(tmp_path / "a.png")

    def load(*objects: tuple[Corners, Any, dict[str, Any]]) -> BoxDataset:
        annotations = [
            {
                "id": n,
                "image_id": 1,
                "category_id": 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "segmentation": outline,
            }
            | more
            for n, ((x1, y1, x2, y2), outline, more) in enumerate(objects, start=1)
        ]
        content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": annotations}
        content["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
        (tmp_path / "train.json").write_text(json.dumps(content))
        return formats.load(Data(root=tmp_path))

    return load


def grown(bounds: Corners, left: float, top: float, right: float, bottom: float) -> Corners:
    return bounds[0] - left, bounds[1] - top, bounds[2] + right, bounds[3] + bottom


BOUNDS: list[Corners] = [(50, 40, 150, 90), (160, 100, 260, 150), (20, 150, 120, 200), (220, 200, 320, 250)]


def test_distances_from_each_side(read) -> None:
    """Against numbers computed by hand: 100 x 50 pixels in boxes that are larger by known amounts."""
    by = [(2, 1, 4, 0), (4, 1, 8, 0), (6, 1, 12, 0), (8, 1, 16, 0)]
    found = measure_tightness(
        read(*((grown(b, *d), [star(*b)], {}) for b, d in zip(BOUNDS, by, strict=True))).samples
    )
    assert found is not None
    assert found.objects == 4
    assert [found.sides[side].pixels for side in SIDES] == [5, 1, 10, 0]
    assert [found.sides[side].pixels_90 for side in SIDES] == [
        pytest.approx(float(np.quantile(column, 0.9))) for column in zip(*by, strict=True)
    ]
    shares = [left / (100 + left + right) for left, _, right, _ in by]
    assert found.sides["left"].share == pytest.approx(np.median(shares), abs=1e-6)
    assert found.sides["top"].share == pytest.approx(1 / 51, abs=1e-6)
    assert (found.wider, found.pixels_wider) == (pytest.approx(0.15), 15)
    assert (found.higher, found.pixels_higher) == (pytest.approx(0.02), 1)
    assert found.sticking_out == 0


@pytest.mark.parametrize(
    ("by", "verdict", "loose"),
    [
        ((0, 0, 0, 0), "boxes are exactly the bounds of the outlines", False),
        (
            (0.5, 0.5, 0.5, 0.5),
            "boxes are tight: the objects are 0.5 pixels from their sides, or nearer",
            False,
        ),
        ((3, 0, 3, 0), "boxes are about 6 % wider than the objects", True),
        ((5, 2.5, 5, 2.5), "boxes are about 10 % wider and 10 % higher than the objects", True),
        ((-5, 0, -5, 0), "boxes are about 10 % narrower than the objects", False),
        ((0, -5, 0, 0), "boxes are about 10 % lower than the objects", False),
    ],
)
def test_verdicts(read, by: Corners, verdict: str, loose: bool) -> None:
    found = measure_tightness(read(*((grown(b, *by), [star(*b)], {}) for b in BOUNDS)).samples)
    assert found is not None
    assert (found.verdict, found.is_loose) == (verdict, loose)
    assert found.sticking_out == (1.0 if min(by) < -1 else 0.0)


def test_crowds_and_what_is_outside_of_the_photo_do_not_count(read) -> None:
    """Boxes are clipped to the photo; so are outlines, or they would seem to stick out."""
    edge: Corners = (-10, 240, 90, 320)
    found = measure_tightness(
        read(
            (edge, [star(*edge)], {}),
            ((100, 100, 200, 150), [star(100, 100, 200, 150)], {}),
            ((0, 0, 300, 200), {"size": [300, 400], "counts": [0, 3000, 117000]}, {"iscrowd": 1}),
        ).samples
    )
    assert found is not None
    assert found.objects == 2
    assert found.sides["left"].pixels == found.sides["bottom"].pixels == found.sticking_out == 0


def test_without_outlines_there_is_nothing_to_measure(read) -> None:
    assert measure_tightness(read(((10, 10, 60, 60), [], {})).samples) is None
    assert measure_tightness(read(((10, 10, 60, 60), [[10, 10, 60, 10, 60, 60, 10, 60]], {})).samples) is None


def test_counts_by_class_and_size(read) -> None:
    """32² and 96² pixels are medium, as COCO has it."""
    sizes = [(31, 33), (32, 32), (96, 96), (97, 96), (10, 10)]
    data = read(*(((0, 0, w, h), [], {"category_id": 1 + (w == 10)}) for w, h in sizes))
    assert [(each.name, each.images, each.boxes) for each in count_sizes(data)] == [
        ("small", 1, 2),
        ("medium", 1, 2),
        ("large", 1, 1),
    ]
    cat, dog = count_classes(data)
    assert (cat.boxes, cat.small, cat.share_small) == (4, 1, 0.25)
    assert (dog.boxes, dog.small, dog.share_small) == (1, 1, 1.0)

"""How many masks are made by a rule, tiny or full, from masks drawn by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.labelling.objects import ObjectMask, write_objects
from boxseg.runs.layout import piece_path
from boxseg.scoring.mask_counts import MaskCounts, count_masks, count_table

# Width and height of a box, pixels of its mask, and what made it.
Drawn = tuple[int, int, int, str]
SMALL: list[Drawn] = [
    (20, 10, 19, "network"),  # tiny
    (20, 10, 20, "network"),  # a tenth is not
    (20, 10, 190, "network"),  # 95 % is not full
    (20, 10, 191, "network"),  # full
    (1, 1, 1, "network"),  # full
    (31, 33, 700, "fallback"),  # 1,023 pixels
]
MEDIUM: list[Drawn] = [(32, 32, 500, "network"), (96, 96, 9216, "fallback"), (30, 90, 0, "network")]
LARGE: list[Drawn] = [(97, 96, 900, "network"), (120, 100, 6000, "fallback"), (120, 100, 6000, "sam")]


def written(folder: Path, name: str, drawn: list[Drawn]) -> Sample:
    """A photo of boxes one below the other, with its masks."""
    tops = np.cumsum([0, *(height for _, height, _, _ in drawn)])
    boxes = [(3, top, 3 + width, top + height) for (width, height, _, _), top in zip(drawn, tops, strict=False)]
    sample = Sample(
        id=name,
        image=Path(f"{name}.jpg"),
        width=130,
        height=int(tops[-1]) + 5,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=np.ones(len(drawn), dtype=np.int64),
        difficult=np.zeros(len(drawn), dtype=bool),
    )
    masks = [
        ObjectMask(mask=(np.arange(w * h) < pixels).reshape(h, w), score=0.5, source=source)
        for w, h, pixels, source in drawn
    ]
    write_objects(folder, sample, masks)
    return sample


def test_boxes_are_counted_by_size(tmp_path: Path) -> None:
    samples = [
        written(tmp_path, "a", SMALL),
        written(tmp_path, "sub/b", [*MEDIUM, *LARGE]),
        written(tmp_path, "none", []),
    ]
    samples.append(replace(samples[0], id="unreadable"))  # has no masks
    expected = {
        "all": MaskCounts(boxes=12, fallback=3, tiny=3, full=3),
        "small": MaskCounts(boxes=6, fallback=1, tiny=1, full=2),
        "medium": MaskCounts(boxes=3, fallback=1, tiny=1, full=1),
        "large": MaskCounts(boxes=3, fallback=1, tiny=1, full=0),
    }
    found = count_masks(tmp_path, samples)
    assert found == expected
    table = count_table("masks", found)
    assert table.rows[0] == ("all", 12, 3, 3, 3)
    assert len(table.rows) == 4
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_without_masks_all_is_none(tmp_path: Path) -> None:
    assert count_masks(tmp_path, []) == dict.fromkeys(("all", "small", "medium", "large"), MaskCounts())


def test_a_damaged_piece_is_named(tmp_path: Path) -> None:
    sample = written(tmp_path, "a", SMALL)
    with pytest.raises(DataError, match="does not hold a mask for each of the 5 boxes of a"):
        count_masks(tmp_path, [replace(sample, boxes=sample.boxes[:5])])
    piece_path(tmp_path, sample).write_text("[", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json"):
        count_masks(tmp_path, [sample])

"""Which masks may be wrong, counted here from their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.box_masks import box_mask, write_box_masks
from boxseg.runs.layout import piece_path
from boxseg.scoring.mask_counts import count_masks, count_table

# Side of a square box, share of it that its mask fills, from the left, and what made it.
BOXES = (
    (10, 1.0, "network"), (31, 0.5, "fallback"), (32, 0.0625, "network"), (96, 0.96875, "network"),
    (96, 0.9375, "network"), (96, 0.125, "fallback"), (100, 0.09, "network"), (120, 1.0, "fallback"),
)  # fmt: skip


def sample_of(name: str, sides: list[int]) -> Sample:
    corners = np.array([[3.0, 2, 3 + side, 2 + side] for side in sides]).reshape(-1, 4)
    return Sample(
        id=name, image=Path(f"{name}.jpg"), width=140, height=130, boxes=corners,
        labels=np.ones(len(sides), np.int64), difficult=np.zeros(len(sides), bool),
    )  # fmt: skip


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """The boxes on two photos, a photo without boxes, and one that could not be read and has no masks."""
    found = [sample_of("a", [box[0] for box in BOXES[:3]]), sample_of("b", [box[0] for box in BOXES[3:]])]
    for sample, boxes in zip(found, (BOXES[:3], BOXES[3:]), strict=True):
        entries = []
        for side, share, source in boxes:
            window = np.zeros((side, side), bool)
            window[:, : round(share * side)] = True
            entries.append(box_mask(window, (3, 2), sample, score=0.5, source=source))
        write_box_masks(piece_path(tmp_path, sample), entries)
    write_box_masks(piece_path(tmp_path, sample_of("none", [])), [])
    return [*found, sample_of("none", []), sample_of("unread", [50])]


def test_counts_are_those_of_the_pixels_by_size(samples: list[Sample], tmp_path: Path) -> None:
    counts = count_masks(tmp_path, samples)
    chosen = {
        "all": list(BOXES),
        "small": [box for box in BOXES if box[0] ** 2 < 32**2],
        "medium": [box for box in BOXES if 32**2 <= box[0] ** 2 <= 96**2],
        "large": [box for box in BOXES if box[0] ** 2 > 96**2],
    }
    assert {size: part.as_dict() for size, part in counts.items()} == {
        size: {
            "boxes": len(boxes),
            "fallback": sum(source == "fallback" for _, _, source in boxes),
            "tiny": sum(share < 0.1 for _, share, _ in boxes),
            "full": sum(share > 0.95 for _, share, _ in boxes),
        }
        for size, boxes in chosen.items()
    }
    assert counts["all"].as_dict() == {"boxes": 8, "fallback": 3, "tiny": 2, "full": 3}
    table = count_table("masks", counts)
    assert table.rows[0] == ("all", 8, 3, 2, 3)
    assert [row[0] for row in table.rows] == ["all", "small", "medium", "large"]


def test_no_photo_at_all(tmp_path: Path) -> None:
    assert {part.boxes for part in count_masks(tmp_path, []).values()} == {0}


def test_masks_of_other_boxes_are_an_error(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not hold a mask for each of the 1 boxes of a"):
        count_masks(tmp_path, [sample_of("a", [10])])

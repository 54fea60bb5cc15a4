"""How many masks are made by a rule, tiny or full, from masks drawn by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boxseg.atomic import write_json
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.labelling.objects import ObjectMask
from boxseg.scoring.mask_counts import MaskCounts, count_masks, count_table, read_counts
from boxseg.shards.home import FileHome
from label_results import piece_path, write_objects

# Width and height of a box, pixels of its mask, what made it, and its score, which is 0.7 if not given.
Drawn = tuple[int, int, int, str] | tuple[int, int, int, str, float]
SMALL: list[Drawn] = [
    (20, 10, 19, "network"),  # tiny
    (20, 10, 20, "network"),  # a tenth is not
    (20, 10, 190, "network"),  # 95 % is not full
    (20, 10, 191, "network"),  # full
    (1, 1, 1, "network"),  # full
    (31, 33, 700, "fallback"),  # 1,023 pixels
    (20, 10, 100, "network", 0.6999),  # unsure
]
MEDIUM: list[Drawn] = [(32, 32, 500, "network"), (96, 96, 9216, "fallback"), (30, 90, 0, "network")]
LARGE: list[Drawn] = [(97, 96, 900, "network"), (120, 100, 6000, "fallback"), (120, 100, 6000, "sam", 0.1)]


def written(folder: Path, name: str, drawn: list[Drawn]) -> Sample:
    """A photo of boxes one below the other, with its masks."""
    tops = np.cumsum([0, *(height for _, height, *_ in drawn)])
    boxes = [(3, top, 3 + width, top + height) for (width, height, *_), top in zip(drawn, tops, strict=False)]
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
        ObjectMask(
            mask=(np.arange(w * h) < pixels).reshape(h, w), score=score[0] if score else 0.7, source=source
        )
        for w, h, pixels, source, *score in drawn
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
        "all": MaskCounts(boxes=13, fallback=3, tiny=3, full=3, unsure=1, doubtful=9),
        "small": MaskCounts(boxes=7, fallback=1, tiny=1, full=2, unsure=1, doubtful=5),
        "medium": MaskCounts(boxes=3, fallback=1, tiny=1, full=1, doubtful=2),
        "large": MaskCounts(boxes=3, fallback=1, tiny=1, full=0, doubtful=2),
    }
    found = count_masks(FileHome(tmp_path), samples)
    assert found == expected
    table = count_table("masks", found)
    assert table.columns[-2:] == ("score below 0.7", "to look at")
    assert table.rows[0] == ("all", 13, 3, 3, 3, 1, 9)
    assert len(table.rows) == 4
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_what_somebody_chose_is_not_to_be_looked_at(tmp_path: Path) -> None:
    sample = written(tmp_path, "a", SMALL)
    before = count_masks(FileHome(tmp_path), [sample])["all"]
    piece = piece_path(tmp_path, sample)
    entries = json.loads(piece.read_text())
    # Tiny, full, the fallback, and one that is fine, but is to be redrawn.
    for place, done in ((0, "ellipse"), (3, "box"), (5, "leave-out"), (1, "redraw")):
        entries[place]["corrected"] = done
    write_json(piece, entries)
    after = MaskCounts(boxes=6, fallback=0, tiny=0, full=1, unsure=1, doubtful=3)
    assert (before.boxes, before.doubtful) == (7, 5)
    assert count_masks(FileHome(tmp_path), [sample])["all"] == after


def test_without_masks_all_is_none(tmp_path: Path) -> None:
    assert count_masks(FileHome(tmp_path), []) == dict.fromkeys(
        ("all", "small", "medium", "large"), MaskCounts()
    )


def test_a_damaged_piece_is_named(tmp_path: Path) -> None:
    sample = written(tmp_path, "a", SMALL)
    with pytest.raises(DataError, match="does not hold a mask for each of the 5 boxes of a"):
        count_masks(FileHome(tmp_path), [replace(sample, boxes=sample.boxes[:5])])
    piece = piece_path(tmp_path, sample)
    entries = json.loads(piece.read_text(encoding="utf-8"))
    entries[2]["segmentation"]["counts"] = "é"
    for damaged in (json.dumps(entries), "["):
        piece.write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match=r"a\.json"):
            count_masks(FileHome(tmp_path), [sample])


def test_counts_come_back_from_their_file(tmp_path: Path) -> None:
    found = count_masks(FileHome(tmp_path), [written(tmp_path, "a", SMALL)])
    file = tmp_path / "mask-counts.json"
    write_json(file, {size: part.as_dict() for size, part in found.items()})
    assert read_counts(file) == found
    for damaged in ('{"all": {"boxes": 3}}', '{"all": 3}', "[1]", "{"):
        file.write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match=r"mask-counts\.json"):
            read_counts(file)

"""Picture sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from boxseg.palette import overlay, picture_palette
from boxseg.reporting.sheet import draw_boxes, label_picture, lost_objects, write_sheet


def test_overlay_paints_objects_only() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    labels = np.array([[0, 1, 255], [0, 0, 2]], np.uint8)
    painted = overlay(image, labels, opacity=0.5)
    assert (painted[labels == 0] == 100).all()
    assert (painted[labels == 255] == 100).all()
    assert painted[0, 1].tolist() == [round(50 + colour / 2) for colour in picture_palette()[1].tolist()]
    assert (image == 100).all()


def test_boxes_are_drawn_inside_their_edges_in_the_colour_of_their_class() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    drawn = draw_boxes(image, np.array([[10.0, 5.0, 30.0, 25.0]]), np.array([2]))
    rows, columns = np.nonzero(drawn.any(2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 24, 10, 29)
    assert tuple(drawn[5, 10]) == tuple(picture_palette()[2])
    assert not image.any()


def test_a_sheet_holds_a_row_a_photo(tmp_path: Path) -> None:
    photos = [np.full((h, w, 3), 50 * i, np.uint8) for i, (h, w) in enumerate([(30, 60), (80, 20), (1, 300)])]
    rows = [[photo, label_picture(photo, np.full(photo.shape[:2], 255, np.uint8)), None] for photo in photos]
    write_sheet(tmp_path / "sheet.png", ("photo", "void", "none"), rows, cell=50)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 56 + 6, 24 + 25 + 50 + 1 + 4 * 6)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]


def test_small_photos_are_not_enlarged(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    write_sheet(tmp_path / "sheet.png", ("photo",), [[photo]], cell=50)
    with Image.open(tmp_path / "sheet.png") as sheet:
        left = 6 + (50 - 9) // 2
        assert np.array_equal(np.asarray(sheet.convert("RGB"))[24:31, left : left + 9], photo)


def test_objects_whose_class_is_missing_in_their_box_are_lost() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0], [0.0, 10.0, 10.0, 20.0]])
    labels = np.zeros((20, 20), np.uint8)
    labels[:1, :10] = 1  # a tenth
    labels[:1, 10:19] = 2  # less
    labels[10:, :10] = 1  # another class
    assert lost_objects(boxes, np.array([1, 2, 3]), labels).tolist() == [False, True, True]
    assert lost_objects(boxes[:0], np.array([], np.int64), labels).tolist() == []

"""`boxseg background-masks`: the file of the original code, one a photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg.cli import execute
from boxseg.data.toy import write_toy


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    write_toy(tmp_path / "data", train=3, val=2, size=48, seed=1)
    return tmp_path / "data"


def test_one_outside_every_box_and_zero_inside(toy: Path, tmp_path: Path, capsys) -> None:
    assert execute(["background-masks", f"data={toy}", f"out={tmp_path}/o"]) == 0
    assert "3 written, 0 there already" in capsys.readouterr().out
    folder = tmp_path / "o" / "BgMaskfromBoxes"
    assert {path.name for path in folder.iterdir()} == {f"train_000{number}.png" for number in range(3)}
    for sample in boxseg.doctor(data=toy).dataset.samples:
        with Image.open(folder / f"{sample.id}.png") as image:
            assert (image.mode, image.size, image.format) == ("L", (sample.width, sample.height), "PNG")
            mask = np.asarray(image)
        for (y, x), value in np.ndenumerate(mask):
            inside = any(x1 <= x + 0.5 < x2 and y1 <= y + 0.5 < y2 for x1, y1, x2, y2 in sample.boxes)
            assert value == (0 if inside else 1)


def test_only_what_is_missing_is_written(toy: Path, tmp_path: Path) -> None:
    options = {"data": toy, "out": tmp_path / "o"}
    boxseg.background_masks(**options)
    first, second, _ = sorted((tmp_path / "o" / "BgMaskfromBoxes").iterdir())
    first.unlink()
    second.write_bytes(b"kept")
    done = boxseg.background_masks(**options)
    assert (done.written, done.present) == (1, 2)
    assert second.read_bytes() == b"kept"
    assert Image.open(first).mode == "L"
    assert boxseg.background_masks(**options, overwrite=True).written == 3
    assert Image.open(second).mode == "L"
    assert boxseg.background_masks(**options | {"data": {"root": toy, "split": "val"}}).written == 2


def test_crowds_are_no_background(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "train" / "a.png")
    common = {"image_id": 1, "category_id": 1}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {**common, "id": 1, "bbox": [0, 0, 2, 2], "iscrowd": 0},
            {**common, "id": 2, "bbox": [4, 2, 4, 4], "iscrowd": 1},
        ],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    done = boxseg.background_masks(data=tmp_path, out=tmp_path / "o")
    expected = np.ones((6, 8), np.uint8)
    expected[:2, :2] = 0
    expected[2:, 4:] = 0
    assert np.array_equal(np.asarray(Image.open(done.folder / "a.png")), expected)


@pytest.mark.parametrize("words", [["background", "data=data", "out=o"], ["--help"], []])
def test_the_earlier_name_says_the_new_one(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(["masks", *words]) == 2
    line = capsys.readouterr().err
    assert "background-masks" in line
    assert "boxseg.masks makes masks of boxes" in line
    assert len(line.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_earlier_name_is_free_in_python() -> None:
    # It is masks of boxes now, and no verb.
    assert boxseg.masks.__module__ == "boxseg.labelling.masker"

"""Names of classes that mean something else to a program: the number of each stays what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg import formats
from boxseg.config import Data
from boxseg.errors import DataError
from boxseg.formats.label_map import read_label_map, write_label_map
from boxseg.formats.masks import read_mask
from boxseg.scoring.confusion import ConfusionMatrix

BY_BOX = {"label": {"method": "box", "crf": {"enabled": False}}}


def write_yolo(root: Path, names: str, count: int) -> Path:
    """A photo with a box of each of `count` classes, side by side."""
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    Image.new("RGB", (40, 20), (9, 99, 199)).save(root / "images" / "a.png")
    lines = [f"{number} {(number + 0.5) / count} 0.5 {0.8 / count} 0.5\n" for number in range(count)]
    (root / "labels" / "a.txt").write_text("".join(lines))
    (root / "data.yaml").write_text(f"train: images\nval: images\nnames: {names}\n")
    return root


@pytest.mark.parametrize(
    "names", [["zebra", "cat", "ignored"], ["ignored"], ["background", "dog"], ["ignored", "b"]]
)
@pytest.mark.parametrize("with_ignored_pixels", [False, True])
def test_a_round_trip_keeps_every_name_at_its_number(tmp_path: Path, names, with_ignored_pixels: bool) -> None:
    root = write_yolo(tmp_path / "data", f"[{', '.join(names)}]", len(names))
    boxseg.label(data=root, out=tmp_path / "out", **BY_BOX)
    mask = read_mask(tmp_path / "out" / "labels" / "a.png")
    width = 40 // len(names)
    assert [int(mask[10, width * place + width // 2]) for place in range(len(names))] == [
        *range(1, len(names) + 1)
    ]
    if with_ignored_pixels:
        mask[0] = 255
        Image.fromarray(mask).save(tmp_path / "out" / "labels" / "a.png")
    boxseg.convert(source=tmp_path / "out", out=tmp_path / "voc", format="voc")
    assert read_label_map(tmp_path / "voc" / "labelmap.txt") == tuple(names)
    back = formats.load(Data(root=tmp_path / "voc"))
    assert back.classes == tuple(names)
    assert back.samples[0].labels.tolist() == [*range(1, len(names) + 1)]
    scores = boxseg.evaluate(data=tmp_path / "voc", labels=tmp_path / "out").scores
    shown = [f"{name} (1)" if name == "background" else name for name in names]
    assert scores.labels["labels"].iou == dict.fromkeys(["background", *shown], 1.0)


def test_an_entry_of_255_is_no_class(tmp_path: Path) -> None:
    for classes in (("cat",), ("cat", "ignored"), ()):
        for ignored in (False, True):
            write_label_map(tmp_path / "labelmap.txt", classes, ignored=ignored)
            assert read_label_map(tmp_path / "labelmap.txt") == classes


@pytest.mark.parametrize("name", ["background", "Background", " BACKGROUND"])
def test_a_class_called_background_is_listed(tmp_path: Path, name: str) -> None:
    dataset = formats.load(Data(root=write_yolo(tmp_path, f"['{name}', dog]", 2)))
    (problem,) = dataset.problems
    assert problem.what == f"class has the name of the background: {name!r}, number 1"
    assert problem.action == "kept as a class of objects"
    assert len(set(ConfusionMatrix(dataset.classes).names)) == 3


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("[no, yes]", ("no", "yes")),
        ("[on, 1.10]", ("on", "1.10")),
        ("{0: off, 1: 2024-01-01}", ("off", "2024-01-01")),
        ("{'0': cat, 1: ~}", ("cat", "~")),
        ("\n  - y\n  - 'no'", ("y", "no")),
    ],
)
def test_names_are_as_written(tmp_path: Path, written: str, names: tuple[str, ...]) -> None:
    assert formats.load(Data(root=write_yolo(tmp_path, written, 2))).classes == names


def test_labels_of_other_classes_are_not_scored(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "data", "[zebra, cat]", 2)
    boxseg.label(data=root, out=tmp_path / "out", **BY_BOX)
    (root / "data.yaml").write_text("train: images\nval: images\nnames: [cat, zebra]\n")
    (root / "masks").mkdir()
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(root / "masks" / "a.png")
    for labels in (tmp_path / "out", tmp_path / "out" / "labels"):
        with pytest.raises(DataError, match=r"have other classes than .*: zebra, cat, not cat"):
            boxseg.evaluate(data={"root": root, "masks": "masks"}, labels=labels)

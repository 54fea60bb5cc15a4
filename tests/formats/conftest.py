from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.formats import coco_rows, samples
from coco_files import annotation
from yolo_files import YAML

MakePhoto = Callable[..., Path]

# Data sets in these tests are small: of the modules that are most about samples, all tests are run a second
# time with samples and COCO's annotations in columns, as those of large ones.
_IN_COLUMNS = (
    *("test_coco_format", "test_coco_as_written", "test_coco_places", "test_masks_json_file"),
    *("test_class_choice", "test_frames", "test_assemble_parts", "test_corrections_file"),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in _IN_COLUMNS:
        metafunc.parametrize("in_columns", [False, True], ids=["objects", "columns"], indirect=True)


@pytest.fixture(autouse=True)
def in_columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if getattr(request, "param", False):
        monkeypatch.setattr(samples, "FEW", 0)
        monkeypatch.setattr(coco_rows, "SMALL", -1)


@pytest.fixture
def make_photo(tmp_path: Path) -> MakePhoto:
    """Writes a small photo below tmp_path and returns its path."""

    def make(name: str, width: int = 40, height: int = 30, turn: int | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if turn is not None:
            exif[0x0112] = turn
        Image.new("RGB", (width, height), (90, 120, 150)).save(path, exif=exif)
        return path

    return make


@pytest.fixture
def add_voc(tmp_path: Path, make_photo: MakePhoto) -> Callable[..., None]:
    """Adds an ID to the split `train` of a VOC: annotation and photo, or what is given instead."""
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)

    def one(name: str, text: str | bytes | None, line: str | None = None, **photo: Any) -> None:
        if text is not None:
            content = text if isinstance(text, bytes) else text.encode()
            (tmp_path / "Annotations" / f"{name}.xml").write_bytes(content)
        if photo.pop("photo", True):
            make_photo(f"JPEGImages/{name}{photo.pop('suffix', '.jpg')}", **photo)
        with (tmp_path / "ImageSets" / "Segmentation" / "train.txt").open("a") as file:
            file.write(f"{line or name}\n")

    return one


@pytest.fixture
def add_yolo(tmp_path: Path, make_photo: MakePhoto) -> Callable[..., None]:
    """Adds a photo to a split of a YOLO data set, and its labels, if any."""
    (tmp_path / "data.yaml").write_text(YAML)

    def one(name: str, text: str | None, folder: str = "train") -> None:
        make_photo(f"images/{folder}/{name}.jpg", width=40, height=20)
        path = tmp_path / "labels" / folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)

    return one


@pytest.fixture
def coco_content(make_photo: MakePhoto) -> dict[str, Any]:
    """A COCO file of two photos, one of them with an object."""
    for name in ("a", "b"):
        make_photo(f"train/{name}.jpg")
    return {
        "images": [
            {"id": i, "file_name": f"{n}.jpg", "width": 40, "height": 30} for i, n in enumerate("ab", start=1)
        ],
        "annotations": [annotation(1)],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 7, "name": "couch"}],
    }


@pytest.fixture
def read_coco(tmp_path: Path) -> Callable[..., BoxDataset]:
    """Writes such a file and reads it."""

    def load(content: Any, name: str = "annotations/instances_train.json", **options: Any) -> BoxDataset:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return formats.load(Data(root=tmp_path, **options))

    return load

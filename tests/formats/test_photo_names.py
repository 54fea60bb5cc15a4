"""The photo that a name in an annotation file means: the same rule for COCO, CVAT and Label Studio."""

from __future__ import annotations

import base64
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError
from boxseg.formats.photo_names import PhotoIndex, find_files


def write_coco(root: Path, names: list[str]) -> None:
    images = [{"id": place, "file_name": name, "width": 40, "height": 30} for place, name in enumerate(names)]
    boxes = [
        {"id": place, "image_id": place, "category_id": 1, "bbox": [place, 2, 3, 4]}
        for place in range(len(names))
    ]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "dog"}]}
    (root / "result.json").write_text(json.dumps(content))


def write_cvat(root: Path, names: list[str]) -> None:
    images = "".join(
        f'<image id="{place}" name={quoteattr(name)} width="40" height="30">'
        f'<box label="dog" xtl="{place}" ytl="2" xbr="{place + 3}" ybr="6"/></image>'
        for place, name in enumerate(names)
    )
    text = f"<annotations><version>1.1</version>{images}</annotations>"
    (root / "annotations.xml").write_text(text, encoding="utf-8")


def write_label_studio(root: Path, names: list[str]) -> None:
    tasks = []
    for place, name in enumerate(names):
        value = {"x": place * 2.5, "y": 20 / 3, "width": 7.5, "height": 40 / 3, "rectanglelabels": ["dog"]}
        size = {"original_width": 40, "original_height": 30}
        result = [{"id": "x", "type": "rectanglelabels", "value": value, **size}]
        tasks.append({"id": place, "data": {"image": name}, "annotations": [{"result": result}]})
    (root / "project.json").write_text(json.dumps(tasks))


Write = Callable[[Path, list[str]], None]
every_reader = pytest.mark.parametrize("write", [write_coco, write_cvat, write_label_studio])


def load(root: Path, write: Write, *names: str, **options: object) -> BoxDataset:
    write(root, list(names))
    return formats.load(Data(root=root, **options))


@every_reader
@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("a.jpg", "images/a.jpg"),
        ("images\\a.jpg", "images/a.jpg"),
        ("dir\\sub\\a.jpg", "images/dir/sub/a.jpg"),
        ("/home/user/images/a.jpg", "images/a.jpg"),
        ("C:\\Users\\me\\images\\a.jpg", "images/a.jpg"),
        ("\\\\server\\share\\a.jpg", "images/a.jpg"),
        ("../images/a.jpg", "images/a.jpg"),
        ("..\\..\\label-studio\\media\\upload\\4\\cb0618f6-a.jpg", "images/cb0618f6-a.jpg"),
        ("../../label-studio/data/media/upload/4/cb0618f6-a.jpg", "a.jpg"),
        ("images/1/942a5a02-a.jpg", "images/942a5a02-a.jpg"),
        ("mount/share/a.jpg", "images/a.jpg"),
        ("https://storage.example.com/o/abc%2Fa.jpg?alt=media&token=1", "images/a.jpg"),
        ("https://example.com/photos/my%20photo.jpg#top", "images/my photo.jpg"),
        ("s3://bucket/some/a.jpg", "images/a.jpg"),
        ("file:///C:/photos/a.jpg", "images/a.jpg"),
        ("my%20photo.jpg", "images/my photo.jpg"),
        ("100%.jpg", "images/100%.jpg"),
        ("a#1?.jpg", "images/a#1?.jpg"),
        ("/data/local-files/?d=dir/a.jpg", "images/a.jpg"),
        (f"/tasks/12/presign/?fileuri={base64.b64encode(b's3://bucket/a.jpg').decode()}", "a.jpg"),
        (
            f"/tasks/7/resolve/?fileuri={base64.urlsafe_b64encode(b'gs://b/x/a b.jpg').decode().rstrip('=')}",
            "a b.jpg",
        ),
        ("a.jpg", "images/A.JPG"),
        ("Straße/A.jpg", "images/straße/a.jpeg"),
        ("a.jpg", "images/a.png"),
        ("a.tiff", "images/a.tif"),
        ("a", "images/a.webp"),
        (unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "images/é.jpg")),
        (unicodedata.normalize("NFD", "dir/É.jpg"), unicodedata.normalize("NFC", "images/dir/é.jpg")),
    ],
)
def test_a_name_from_elsewhere(tmp_path: Path, make_photo, write: Write, name: str, there: str) -> None:
    make_photo(there)
    make_photo("images/other.jpg")
    dataset = load(tmp_path, write, name)
    (sample,) = dataset.samples
    assert sample.image == tmp_path / there
    assert [round(value, 6) for value in sample.boxes[0].tolist()] == [0, 2, 3, 6]
    assert dataset.problems == ()


@every_reader
def test_a_name_in_one_folder_is_not_looked_for_in_others(tmp_path: Path, make_photo, write: Write) -> None:
    make_photo("data/images/a.jpg")
    make_photo("secret.jpg")
    names = ("a.jpg", "../secret.jpg", "../../secret.jpg", str(tmp_path / "secret.jpg"), "%2e%2e/secret.jpg")
    dataset = load(tmp_path / "data", write, *names)
    assert [sample.image.name for sample in dataset.samples] == ["a.jpg"]
    assert [(problem.kind, problem.detail) for problem in dataset.problems] == [
        ("photo not found", name) for name in names[1:]
    ]


@every_reader
def test_several_photos_of_one_name(tmp_path: Path, make_photo, write: Write) -> None:
    for place in ("one/a.jpg", "two/a.jpg", "one/b.jpg"):
        make_photo(place)
    dataset = load(tmp_path, write, "/x/a.jpg", "/x/one/b.jpg")
    assert [sample.image.name for sample in dataset.samples] == ["b.jpg"]
    (problem,) = dataset.problems
    assert problem.what == (
        "several photos of one name: /x/a.jpg may be any of 2 photos (one/a.jpg, two/a.jpg): "
        "give the folder of the right ones by data.images"
    )
    chosen = load(tmp_path, write, "/x/a.jpg", "/x/One/a.jpg".replace("a.jpg", "b.jpg"), images=Path("one"))
    assert [sample.image for sample in chosen.samples] == [tmp_path / "one/a.jpg", tmp_path / "one/b.jpg"]
    # Folders in the name tell them apart, in any case.
    told = load(tmp_path, write, "D:\\x\\Two\\a.jpg", "/x/one/a.jpg")
    assert [sample.image for sample in told.samples] == [tmp_path / "two/a.jpg", tmp_path / "one/a.jpg"]


@every_reader
def test_two_names_do_not_share_a_photo(tmp_path: Path, make_photo, write: Write) -> None:
    make_photo("images/a.jpg")
    make_photo("images/b.jpg")
    dataset = load(tmp_path, write, "C:\\x\\a.jpg", "/y/a.jpg", "b.jpg", "b.png")
    assert [sample.image.name for sample in dataset.samples] == ["b.jpg"]
    assert [(problem.kind, problem.detail.split()[0]) for problem in dataset.problems] == [
        ("one photo for several names", "C:\\x\\a.jpg"),
        ("one photo for several names", "/y/a.jpg"),
        ("photo not found", "b.png"),
    ]


@every_reader
def test_masks_and_hidden_files_are_no_photos(tmp_path: Path, make_photo, write: Write) -> None:
    make_photo("images/a.png")
    for place in (
        "SegmentationClass/b.png",
        "masks/b.png",
        "train_masks/b.png",
        "labels/b.png",
        ".cache/b.png",
    ):
        make_photo(place)
    make_photo("with_mask/c.png")
    (tmp_path / "images" / "._d.png").write_bytes(b"\0\5\x16\7")
    dataset = load(tmp_path, write, *(f"/x/{name}.jpg" for name in "abcd"))
    assert [sample.id for sample in dataset.samples] == ["images/a", "with_mask/c"]
    assert [problem.detail for problem in dataset.problems] == ["/x/b.jpg", "/x/d.jpg"]


def test_a_photo_of_another_folder_is_not_taken_for_a_missing_one(tmp_path: Path, make_photo) -> None:
    """Where names say where photos are, `val/b.jpg` is another photo than `train/b.jpg`."""
    make_photo("train/a.jpg")
    make_photo("val/b.jpg")
    dataset = load(tmp_path, write_coco, "a.jpg", "b.jpg")
    assert [sample.image for sample in dataset.samples] == [tmp_path / "train/a.jpg"]
    assert [problem.what for problem in dataset.problems] == ["photo not found: b.jpg"]


def test_no_photo_at_all(tmp_path: Path, make_photo) -> None:
    make_photo("images/other.jpg")
    with pytest.raises(
        DataError, match=r"no photo found \(a\.jpg and others .*or name their folder by data\.images"
    ):
        load(tmp_path, write_coco, "a.jpg")


def test_ids_do_not_depend_on_the_limit(tmp_path: Path, make_photo) -> None:
    for place in ("x/one/a.jpg", "x/two/b.jpg"):
        make_photo(place)
    names = ("C:\\one\\a.jpg", "C:\\two\\b.jpg")
    assert [sample.id for sample in load(tmp_path, write_coco, *names).samples] == ["one/a", "two/b"]
    assert [sample.id for sample in load(tmp_path, write_coco, *names, limit=1).samples] == ["one/a"]


def test_folders_are_walked_only_for_photos_that_are_not_in_place(
    tmp_path: Path, make_photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo("a.jpg")
    monkeypatch.setattr(os, "walk", lambda top: pytest.fail("walked"))
    assert find_files(["a.jpg", ".\\a.jpg"], tmp_path, tmp_path) == [tmp_path / "a.jpg"] * 2
    assert PhotoIndex(tmp_path) is not None


@pytest.mark.parametrize("name", ["", ".", "/", "\0.jpg", "a" * 5000, "https://[", "?", "%", "\\", "?d="])
def test_names_that_no_file_can_have(tmp_path: Path, make_photo, name: str) -> None:
    make_photo("a.jpg")
    (problem,) = find_files([name], tmp_path, tmp_path / "x.json")
    assert (problem.kind, problem.detail) == ("photo not found", name)

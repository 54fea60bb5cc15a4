from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.errors import DataError
from boxseg.formats.masks import write_mask


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    write_toy(root, train=4, val=2, size=64)
    return root


def test_missing_folder_suggests_a_sibling(toy: Path) -> None:
    with pytest.raises(DataError, match=rf"no such folder, did you mean '{toy.name}'"):
        formats.load(Data(root=toy.with_name(toy.name + "x")))
    with pytest.raises(DataError, match="no such folder"):
        formats.load(Data(root=toy / "no" / "where"))


def test_file_instead_of_folder(toy: Path) -> None:
    with pytest.raises(DataError, match="is a file, expected the folder of a data set"):
        formats.load(Data(root=toy / "ImageSets" / "Segmentation" / "train.txt"))


@pytest.mark.parametrize("content", ['{"categories": []}', "{}", '{"name": "package"}', ""])
def test_any_json_is_no_coco(tmp_path: Path, content: str) -> None:
    (tmp_path / "notes.json").write_text(content)
    with pytest.raises(DataError, match="format not recognised"):
        formats.load(Data(root=tmp_path))


def test_a_file_stands_for_its_data_set(tmp_path: Path) -> None:
    image = {"file_name": "a.jpg", "width": 40, "height": 30}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    content = {"images": [{"id": 1, **image}], "annotations": [box], "categories": [{"id": 1, "name": "dog"}]}
    for name in ("coco/mine.json", "tree/annotations/instances_x.json", "cvat/x.xml", "yolo/pets.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(tmp_path / "coco/a.jpg")
    for name in ("tree/images", "cvat/images", "yolo/images"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 30)).save(tmp_path / name / "a.jpg")
    (tmp_path / "coco/mine.json").write_text(json.dumps(content))
    (tmp_path / "tree/annotations/instances_x.json").write_text(json.dumps(content))
    shape = '<box label="dog" xtl="1" ytl="2" xbr="4" ybr="6"/>'
    (tmp_path / "cvat/x.xml").write_text(f'<annotations><image name="a.jpg">{shape}</image></annotations>')
    (tmp_path / "yolo/pets.yaml").write_text("names: [dog]\ntrain: images\nval: images\n")
    (tmp_path / "yolo/other.yaml").write_text("names: [cat]\ntrain: nowhere\n")
    (tmp_path / "yolo/labels").mkdir()
    (tmp_path / "yolo/labels/a.txt").write_text(f"0 {2.5 / 40} {4 / 30} {3 / 40} {4 / 30}")
    for name, kind in (
        ("coco/mine.json", "coco"),
        ("tree/annotations/instances_x.json", "coco"),
        ("cvat/x.xml", "cvat"),
        ("yolo/pets.yaml", "yolo"),
    ):
        data = Data(root=tmp_path / name)
        dataset = formats.load(data)
        assert (dataset.format, dataset.classes) == (kind, ("dog",))
        assert np.allclose(dataset.samples[0].boxes, [[1, 2, 4, 6]])
        # A file of one split does not stand for another one.
        if kind == "yolo":
            assert len(formats.load(data.with_split("val"))) == 1
        else:
            with pytest.raises(DataError, match=r"no (COCO split|file of split) 'val'"):
                formats.load(data.with_split("val"))


def test_unknown_format_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"JPEGImages/ with Annotations/ or .* \(voc\); data\.yaml, .* \(yolo\); annotations/inst",
    ):
        formats.load(Data(root=tmp_path))


@pytest.mark.parametrize("name", ["yolo", "coco"])
def test_named_format_is_not_guessed(toy: Path, name) -> None:
    with pytest.raises(DataError, match=r"no data\.yaml|no COCO split"):
        formats.load(Data(root=toy, format=name))
    with pytest.raises(DataError, match="is not a VOC folder"):
        formats.load(Data(root=toy / "ImageSets", format="voc"))


def test_home_folder_is_expanded(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(toy.parent))
    assert len(formats.load(Data(root=Path("~") / toy.name))) == 4


def test_limit_takes_the_first(toy: Path) -> None:
    everything = formats.load(Data(root=toy))
    some = formats.load(Data(root=toy, limit=2))
    assert [sample.id for sample in some.samples] == [sample.id for sample in everything.samples[:2]]
    assert len(formats.load(Data(root=toy, limit=99))) == 4


def test_masks_of_another_folder(toy: Path, tmp_path: Path) -> None:
    samples = formats.load(Data(root=toy)).samples
    other = np.zeros((samples[1].height, samples[1].width), dtype=np.uint8)
    write_mask(tmp_path / f"{samples[1].id}.png", other)
    changed = formats.load(Data(root=toy, masks=tmp_path)).samples
    assert changed[0].ground_truth is None
    assert np.array_equal(changed[1].ground_truth(), other)
    with pytest.raises(DataError, match="no such folder of masks"):
        formats.load(Data(root=toy, masks=Path("nowhere")))
    with pytest.raises(DataError, match=r"no mask for any of 2 images, expected val_0000\.png"):
        formats.load(Data(root=toy, split="val", masks=tmp_path))


def test_empty_split_and_split_without_a_usable_image(toy: Path) -> None:
    lists = toy / "ImageSets" / "Segmentation"
    (lists / "empty.txt").write_text("\n")
    (lists / "gone.txt").write_text("gone\n")
    with pytest.raises(DataError, match=r"split 'empty' .* has no usable image: it lists none"):
        formats.load(Data(root=toy, split="empty"))
    with pytest.raises(
        DataError,
        match=r"split 'gone' .* has no usable image: the first problem is .*gone\.xml: neither photo nor",
    ):
        formats.load(Data(root=toy, split="gone"))


def test_the_named_annotations_count_in_a_folder_of_another_format(tmp_path: Path, toy: Path) -> None:
    photo = next((toy / "JPEGImages").glob("train*"))
    with Image.open(photo) as opened:
        image = {"id": 1, "file_name": photo.name, "width": opened.width, "height": opened.height}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "emu"}]}
    for root in (toy, tmp_path / "yolo"):
        root.mkdir(exist_ok=True)
        (root / "mine.json").write_text(json.dumps(content))
    (tmp_path / "yolo/data.yaml").write_text("names: [cat]\ntrain: images\n")
    (tmp_path / "yolo/images").mkdir()
    (tmp_path / "yolo/images" / photo.name).write_bytes(photo.read_bytes())
    for root, own in ((toy, "voc"), (tmp_path / "yolo", "yolo")):
        assert formats.detect(Data(root=root)) == own
        for data in (Data(root=root, annotations=Path("mine.json")), Data(root=root / "mine.json")):
            dataset = formats.load(data)
            assert (dataset.format, dataset.classes) == ("coco", ("emu",))


def test_importing_formats_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'cv2', 'faster_coco_eval'}"
    code = f"import sys, boxseg.formats, boxseg.data.toy; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_classes_that_people_read_as_one_are_told(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    names = ("Dog ", "dog", "DOG", "traffic  light", "traffic light", "cat")
    objects = "".join(f"<object><name>{name}</name>{box}</object>" for name in names)
    (tmp_path / "a.xml").write_text(f"<annotation>{objects}</annotation>")
    dataset = formats.load(Data(root=tmp_path))
    assert len(dataset.classes) == 6
    assert [(problem.detail, problem.action) for problem in dataset.problems] == [
        ("'DOG', 'Dog', 'dog'", "kept as different classes"),
        ("'traffic  light', 'traffic light'", "kept as different classes"),
    ]

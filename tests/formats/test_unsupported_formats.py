"""Data sets in formats that boxseg does not read: the error names the format, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from boxseg.cli import execute
from boxseg.config import Data
from boxseg.errors import DataError
from boxseg.formats import load
from coco_files import annotation

VIA = {
    "a.jpg1": {
        "filename": "a.jpg",
        "regions": [{"shape_attributes": {"name": "rect", "x": 1}, "region_attributes": {"class": "cat"}}],
    }
}
CREATE_ML = [{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 4, "y": 3, "width": 2}}]}]
BDD = [{"name": "a.jpg", "labels": [{"category": "car", "box2d": {"x1": 1, "y1": 1, "x2": 3, "y2": 3}}]}]
SUPERVISELY = {"size": {"height": 6}, "objects": [{"classTitle": "cat", "points": {"exterior": [[1, 1]]}}]}
VOTT = {"asset": {"name": "a.jpg"}, "regions": [{"tags": ["cat"], "boundingBox": {"left": 1}}]}
WHOLE_PHOTOS = "filename,class\na.jpg,cat\n"
KITTI = "Car 0.00 0 -1.58 1.0 1.0 3.0 3.0 1.5 1.6 3.9 1.0 1.7 20.0 -1.5\n"
SAGEMAKER = {"source-ref": "s3://b/a.jpg", "bb": {"annotations": [{"class_id": 0, "width": 2}]}}
LABELBOX = {"data_row": {"external_id": "a.jpg"}, "projects": {}}
HUGGING_FACE = {"file_name": "a.jpg", "objects": {"bbox": [[1, 1, 2, 2]], "categories": [0]}}


@pytest.mark.parametrize(
    ("file", "content", "name", "advice"),
    [
        ("via_region_data.json", VIA, "VGG Image Annotator", "COCO"),
        ("train/_annotations.createml.json", CREATE_ML, "CreateML", "COCO"),
        ("bdd100k_labels_images_train.json", BDD, "BDD100K", "FiftyOne"),
        ("ds0/ann/a.jpg.json", SUPERVISELY, "Supervisely", "Pascal VOC"),
        ("0123-asset.json", VOTT, "VoTT", "Pascal VOC"),
        ("export.ndjson", LABELBOX, "Labelbox", "COCO"),
        ("output.manifest", SAGEMAKER, "SageMaker", "docs/extending.md"),
        ("train/metadata.jsonl", HUGGING_FACE, "an image folder of Hugging Face", "docs/extending.md"),
        ("via.csv", "filename,region_shape_attributes\na.jpg,{}\n", "VGG Image Annotator's own CSV", "COCO"),
        ("project-1.csv", "image,id,label,annotation_id,lead_time\n", "Label Studio's CSV", "JSON"),
        ("train/labels.csv", WHOLE_PHOTOS, "a table with other columns", "name these filename, xmin"),
        ("training/label_2/a.txt", KITTI, "KITTI", "FiftyOne"),
        ("labelTxt/a.txt", "1 1 2 2 3 3 4 4 ship 0\n", "DOTA", "docs/extending.md"),
        ("cats.tfrecord", "", "TFRecords", "Pascal VOC"),
    ],
)
def test_the_format_is_named(file: str, content: Any, name: str, advice: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    Image.new("RGB", (8, 6)).save(path.parent / "a.jpg")
    with pytest.raises(DataError, match="format not recognised") as error:
        load(Data(root=tmp_path))
    assert f"{file} looks like {name}" in str(error.value)
    assert advice in str(error.value).partition("boxseg does not read: ")[2]


def test_a_file_is_named_as_its_folder_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cats.json"
    file.write_text(json.dumps(CREATE_ML))
    for words in ([str(file)], [str(tmp_path), "data.annotations=cats.json"]):
        assert execute(["doctor", *words]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line == (
            f"boxseg: format not recognised: {file} looks like CreateML, which boxseg does not read: "
            "export it as COCO instead"
        )


def test_coco_with_keys_of_others_is_coco(tmp_path: Path) -> None:
    Image.new("RGB", (80, 60)).save(tmp_path / "a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60, "image": "a", "coordinates": [1]}
    content = {
        "categories": [{"id": 1, "name": "cat"}],
        "images": [image],
        "annotations": [annotation(1, category_id=1, box2d={}, category="cat")],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    dataset = load(Data(root=tmp_path))
    assert (dataset.format, len(dataset)) == ("coco", 1)


def test_tasks_of_label_studio_may_have_any_keys(tmp_path: Path) -> None:
    Image.new("RGB", (80, 60)).save(tmp_path / "a.jpg")
    sides = {"x": 10, "y": 10, "width": 20, "height": 30, "rotation": 0, "rectanglelabels": ["cat"]}
    result = {"type": "rectanglelabels", "value": sides, "original_width": 80, "original_height": 60}
    data = {"image": "a.jpg", "coordinates": [1, 2], "asset": 7, "regions": [], "data_row": 1, "box2d": 1}
    task = {"id": 1, "data": data | {"category": "x"}, "annotations": [{"result": [result]}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    for root in (tmp_path, tmp_path / "export.json"):
        dataset = load(Data(root=root))
        assert (dataset.format, dataset.samples[0].labels.tolist()) == ("label-studio", [1])


def test_files_that_tell_nothing_lead_to_the_list_of_formats(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "asset"}')
    (tmp_path / "readme.txt").write_text("label_2")
    with pytest.raises(DataError, match="looked for JPEGImages/"):
        load(Data(root=tmp_path))

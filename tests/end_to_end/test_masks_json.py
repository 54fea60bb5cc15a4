"""A mask for every box without a checkpoint, as users ask for it, and what they do with the folder then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_writers import write_coco
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.formats.masks import read_mask

coco_mask = pytest.importorskip("pycocotools.mask")

FILLED = ("segmentation", "area", "score", "source")
SHORT = ("iterations=2", "batch=2", "crop=33", "model.weights=none", "data.val_split=", "workers=0")


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("voc")
    write_toy(root, train=4, val=1, size=64, seed=4)
    return root


@pytest.fixture(scope="module")
def coco(voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos as COCO: ids of its own, fields of the user's own, diamonds for masks, and a crowd."""
    root = tmp_path_factory.mktemp("coco")
    write_coco(formats.load(Data(root=voc)), root)
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["info"] = {"contributor": "me"}
    for category in content["categories"]:
        category |= {"id": 10 * category["id"], "supercategory": "thing"}
    for number, entry in enumerate(content["annotations"]):
        x, y, width, height = entry["bbox"]
        middle = [x + width / 2, y + height / 2]
        corners = [[middle[0], y], [x + width, middle[1]], [middle[0], y + height], [x, middle[1]]]
        entry |= {"id": 1000 - 7 * number, "category_id": 10 * entry["category_id"], "by": f"hand {number}"}
        entry["segmentation"] = [[value for corner in corners for value in corner]]
        entry["area"] = width * height / 2
    image = content["images"][1]
    crowd = {"size": [image["height"], image["width"]], "counts": [0, 4, image["height"] - 4, 4]}
    crowd["counts"].append(image["height"] * image["width"] - sum(crowd["counts"]))
    content["annotations"].append(
        {"id": 7, "image_id": image["id"], "category_id": 10, "bbox": [0, 0, 2, 4], "iscrowd": 1, "area": 8,
         "segmentation": crowd}
    )  # fmt: skip
    content["annotations"].reverse()
    file.write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module", params=["voc", "coco"])
def labelled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set, and what `boxseg label` made of it."""
    root, out = request.getfixturevalue(request.param), tmp_path_factory.mktemp("labels")
    assert execute(["label", f"data.root={root}", f"out={out}", "workers=0"]) == 0
    return root, out


def read(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "masks.json").read_text())
    return content


def inside(box: list[float], height: int, width: int) -> np.ndarray:
    """Pixels (height, width) bool whose centre is in a box x, y, w, h."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    x, y, w, h = box
    return (columns >= x) & (columns < x + w) & (rows >= y) & (rows < y + h)


def test_every_box_has_a_mask_inside_it_and_every_photo_its_labels(labelled: tuple[Path, Path]) -> None:
    root, out = labelled
    dataset, content = formats.load(Data(root=root)), read(out)
    found = [entry for entry in content["annotations"] if not entry["iscrowd"]]
    assert len(found) == sum(len(sample.boxes) for sample in dataset.samples) > 4
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    for entry in found:
        code = entry["segmentation"]
        mask = coco_mask.decode({**code, "counts": code["counts"].encode()}).astype(bool)
        assert mask.shape == sizes[entry["image_id"]]
        assert entry["area"] == mask.sum() > 0
        assert not mask[~inside(entry["bbox"], *mask.shape)].any()
        assert (entry["source"], entry["score"] > 0) in (("network", True), ("fallback", False))
        assert entry["score"] <= 1
    assert any(entry["source"] == "network" for entry in found)
    counts = json.loads((out / "mask-counts.json").read_text())
    fallback = sum(entry["source"] == "fallback" for entry in found)
    assert (counts["all"]["boxes"], counts["all"]["fallback"]) == (len(found), fallback)
    assert sorted(path.stem for path in (out / "labels").iterdir()) == [s.id for s in dataset.samples]
    for sample in dataset.samples:
        with Image.open(out / "labels" / f"{sample.id}.png") as image:
            assert (image.mode, image.size) == ("P", (sample.width, sample.height))
        labels = read_mask(out / "labels" / f"{sample.id}.png", len(dataset.classes))
        assert set(np.unique(labels).tolist()) <= {0, 255, *sample.labels.tolist()}
    assert not (out / "y_crf").exists()


def test_a_second_call_writes_nothing_anew(
    labelled: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = labelled
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    times = {file: file.stat().st_mtime_ns for file in before if file.suffix == ".png"}
    assert execute(["label", f"data.root={root}", f"out={out}", "workers=0"]) == 0
    assert "0 written, 4 there already" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_a_lost_file_is_made_again_as_it_was(labelled: tuple[Path, Path]) -> None:
    root, out = labelled
    names = [formats.load(Data(root=root)).samples[place].id for place in (0, 2)]
    lost = [out / "masks.json", out / "masks" / f"{names[0]}.json", out / "reliable" / f"{names[1]}.png"]
    before = [file.read_bytes() for file in lost]
    for file in lost:
        file.unlink()
    assert execute(["label", f"data.root={root}", f"out={out}", "workers=0"]) == 0
    assert [file.read_bytes() for file in lost] == before


def test_the_folder_is_scored_shown_converted_and_trained_on(
    labelled: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = labelled
    data = f"data.root={root}"
    assert execute(["evaluate", f"labels={out}", data, "data.split=train", f"out={tmp_path}/e"]) == 0
    scores, recorded = (json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "e", out))
    assert scores["labels"] == recorded["labels"]
    assert scores["reliable_region_only"] == recorded["reliable_region_only"]
    for labels in ("labels", "agreed"):
        words = [f"{tmp_path}/{labels}", "format=coco", f"which={labels}", "maps=true"]
        assert execute(["convert", str(out), *words]) == 0
        assert "maps: 4 reliable regions, 4 confidence maps" in capsys.readouterr().out
        assert len(formats.load(Data(root=tmp_path / labels))) == 4
    assert execute(["report", str(out), f"out={tmp_path}/report.html"]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{100 * recorded['labels']['miou']:.1f}" in text
    assert execute(["segment", f"labels={out}", data, f"out={tmp_path}/s", *SHORT]) == 0
    assert (tmp_path / "s" / "model.safetensors").is_file()
    assert execute(["report", f"{tmp_path}/s"]) == 0


def test_a_coco_file_comes_back_with_its_own_ids_and_fields(coco: Path, tmp_path: Path) -> None:
    """Whatever the method; polygons if asked for, also when all photos have their labels."""
    before = json.loads((coco / "annotations" / "instances_train.json").read_text())
    words = ["label", f"data.root={coco}", "method=ellipse", "crf=false", "workers=0"]
    for more in ((), ("masks.simplify=1",)):
        out = tmp_path / "out"
        assert execute([*words, *more, f"out={out}"]) == 0
        after = read(out)
        assert {key: after[key] for key in ("info", "images", "categories")} == {
            key: before[key] for key in ("info", "images", "categories")
        }
        for own, entry in zip(before["annotations"], after["annotations"], strict=True):
            if own["iscrowd"]:
                assert entry == own
                continue
            assert {key: value for key, value in entry.items() if key not in FILLED} == {
                key: value for key, value in own.items() if key not in FILLED
            }
            assert isinstance(entry["segmentation"], list) == bool(more)
            assert entry["source"] == "ellipse"
        images = f"data.images={coco}/train"
        assert execute(["doctor", f"data.root={out}", f"data.annotations={out}/masks.json", images]) == 0


def test_masks_are_scored_on_the_objects_of_the_data(
    coco: Path, voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ellipses and whole boxes against diamonds: the masks of the folder are masks, and the IoU is geometry."""
    for method in ("ellipse", "box"):
        words = [f"method={method}", "crf=false", "workers=0"]
        assert execute(["label", f"data.root={coco}", f"out={tmp_path}/{method}", *words]) == 0
    scores = {}
    for name in ("ellipse", "ellipse/masks.json", "box"):
        out = tmp_path / "scores" / name
        words = [f"data.root={coco}", "data.split=train", f"out={out}"]
        assert execute(["evaluate", f"instances={tmp_path}/{name}", *words]) == 0
        scores[name] = json.loads((out / "metrics.json").read_text())
    recorded = json.loads((tmp_path / "ellipse" / "metrics.json").read_text())["instances"]
    assert scores["ellipse"]["masks"] == scores["ellipse/masks.json"]["masks"] == recorded["masks"]
    assert scores["box"]["masks"]["mean_iou"] == scores["box"]["whole_box"]["mean_iou"]
    # A diamond fills half of its box, and 2 / π of the ellipse in it.
    assert scores["box"]["masks"]["mean_iou"] == pytest.approx(0.5, abs=0.06)
    assert scores["ellipse"]["masks"]["mean_iou"] == pytest.approx(2 / np.pi, abs=0.06)
    capsys.readouterr()
    words = [f"data.root={voc}", "data.split=train", f"instances={tmp_path}/ellipse", f"out={tmp_path}/v"]
    assert execute(["evaluate", *words]) == 2
    assert "AP needs COCO annotations" in capsys.readouterr().err

"""masks.json from any format, against pycocotools and a second reading by boxseg."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from annotation_writers import write_voc, write_yolo
from boxseg import formats
from boxseg.config import Data, Masks
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import ConfigError, DataError
from boxseg.formats.box_masks import box_mask, write_box_masks
from boxseg.formats.boxes import pixel_ranges
from boxseg.formats.masks_json import write_masks

FILLED = ("segmentation", "area", "score", "source")
AS_THEY_ARE = Masks(min_component=0, fill_holes=0)


def ellipse(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return (2 * rows / height - 1) ** 2 + (2 * columns / width - 1) ** 2 <= 1


Shape = Callable[[int, int], np.ndarray]


def write_pieces(folder: Path, dataset: BoxDataset, shape: Shape = ellipse) -> Callable[[Sample], Path]:
    """The file of each photo, with a mask of that shape in the window of each of its boxes."""
    for sample in dataset.samples:
        masks = []
        ranges = pixel_ranges(sample.boxes, sample.height, sample.width).tolist()
        for number, (left, top, right, bottom) in enumerate(ranges):
            source = "fallback" if number % 3 == 2 else "network"
            window = shape(bottom - top, right - left)
            masks.append(box_mask(window, (left, top), sample, score=1 / (number + 1), source=source))
        write_box_masks(folder / f"{sample.id}.json", masks)
    return lambda sample: folder / f"{sample.id}.json"


def in_photo(sample: Sample, number: int, shape: Shape = ellipse) -> np.ndarray:
    """The mask (H, W) that `write_pieces` makes for a box."""
    left, top, right, bottom = pixel_ranges(sample.boxes, sample.height, sample.width).tolist()[number]
    mask = np.zeros((sample.height, sample.width), dtype=bool)
    mask[top:bottom, left:right] = shape(bottom - top, right - left)
    return mask


def without(content: dict[str, Any]) -> dict[str, Any]:
    """A COCO file without what is filled in for objects."""
    rest = [
        {key: value for key, value in entry.items() if key not in FILLED} if not entry["iscrowd"] else entry
        for entry in content["annotations"]
    ]
    return {**content, "annotations": rest}


@pytest.fixture(scope="module")
def real(shared_data: Path) -> tuple[dict[str, Any], BoxDataset]:
    path = shared_data / "coco" / "annotations" / "instances_train2017.json"
    return json.loads(path.read_text()), formats.load(Data(root=shared_data / "coco"))


@pytest.mark.parametrize("simplify", [0.0, 1.0])
def test_a_coco_file_comes_back_whole(real, simplify: float, shared_data: Path, tmp_path: Path) -> None:
    before, dataset = real
    pieces = write_pieces(tmp_path / "pieces", dataset)
    path = tmp_path / "masks.json"
    done = write_masks(path, dataset, pieces, Masks(min_component=0, fill_holes=0, simplify=simplify))
    after = json.loads(path.read_text())
    assert (done.photos, done.missing, sum(done.sources.values())) == (60, 0, 500)
    assert len(after["annotations"]) == 505
    assert sum(entry["iscrowd"] for entry in after["annotations"]) == 5
    # Equal and in the same order, also the keys.
    assert json.dumps(without(after)) == json.dumps(without(before))
    assert len(path.read_text().splitlines()) > 505 + 60

    theirs = COCO(path)
    assert len(theirs.getAnnIds()) == 505
    read = formats.load(
        Data(root=tmp_path, annotations=Path("masks.json"), images=shared_data / "coco" / "train2017")
    )
    assert read.problems == ()
    checked = 0
    for sample, again in zip(dataset.samples, read.samples, strict=True):
        assert np.array_equal(sample.boxes, again.boxes)
        assert np.array_equal(sample.labels, again.labels)
        assert sample.annotation_ids == again.annotation_ids
        for number, own_id in enumerate(sample.annotation_ids):
            (entry,) = theirs.loadAnns(own_id)
            mask, expected = theirs.annToMask(entry).astype(bool), in_photo(sample, number)
            assert isinstance(entry["segmentation"], list) == bool(simplify and expected.any())
            if simplify == 0:
                assert np.array_equal(mask, expected)
            elif expected.sum() > 400:
                assert (mask & expected).sum() / (mask | expected).sum() > 0.85
            assert entry["area"] == mask.sum()
            assert entry["score"] == round(1 / (number + 1), 6)
            assert entry["source"] == ("fallback" if number % 3 == 2 else "network")
            checked += 1
    assert checked == 500
    # What was written can be written again.
    again = tmp_path / "again.json"
    write_masks(again, read, pieces, Masks(min_component=0, fill_holes=0, simplify=simplify))
    assert again.read_text() == path.read_text()


@pytest.fixture
def odd(make_photo, tmp_path: Path) -> dict[str, Any]:
    """A COCO file with everything that is not used, and fields that boxseg does not know."""
    for name in ("a", "b", "c"):
        make_photo(f"train/{name}.jpg")

    def entry(**changes: Any) -> dict[str, Any]:
        return {"id": 1, "image_id": 1, "bbox": [5, 5, 10, 10], "category_id": 7, "iscrowd": 0, **changes}

    content = {
        "annotations": [
            entry(image_id=2, attributes={"occluded": True}, segmentation=[[1, 1, 9, 1, 9, 9]]),
            entry(bbox=[30, 20, 20, 5]),  # clipped
            entry(bbox=[1, 2, 0, 4], segmentation=[[1, 1, 9, 1, 9, 9]]),  # dropped, of the same id
            entry(id="seven", iscrowd=1, segmentation={"size": [30, 40], "counts": [0, 60, 1140]}, score="x"),
            entry(id=8, category_id=99),
            "no annotation",
            entry(id=9, image_id=1234),
            entry(id=10, image_id=3, segmentation=[]),  # of a photo without masks
            entry(id=11, bbox=[float("nan"), 0, 5, 5], image_id=4),  # of a photo that is not there
            {"image_id": 1, "bbox": [0.25, 0.5, 8.75, 9], "category_id": 7},  # without id
            entry(id=12, image_id=2, name="größe"),
        ],
        "licenses": None,
        "images": [
            {"id": n, "file_name": f"{name}.jpg", "width": 40, "height": 30, "more": [n]}
            for n, name in ((2, "b"), (1, "a"), (3, "c"), (4, "missing"))
        ],
        "own": {"nested": [1, {"deep": None}]},
        "categories": [{"id": 90, "name": "zebra"}, {"id": 7, "name": "couch", "supercategory": "furniture"}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return content


def test_what_could_not_be_used_stays_as_it_was(odd, tmp_path: Path) -> None:
    dataset = formats.load(Data(root=tmp_path))
    pieces = write_pieces(tmp_path / "pieces", dataset)
    pieces(next(sample for sample in dataset.samples if sample.id == "c")).unlink()
    done = write_masks(tmp_path / "masks.json", dataset, pieces)
    assert (done.photos, done.missing, done.sources) == (2, 1, {"network": 4})
    after = json.loads((tmp_path / "masks.json").read_text())
    assert list(after) == list(odd)
    filled = (0, 1, 9, 10)
    expected = copy.deepcopy(odd)
    for place in filled:
        entry = after["annotations"][place]
        assert entry["area"] > 0
        assert entry["segmentation"]["size"] == [30, 40]
        expected["annotations"][place] |= {key: entry[key] for key in FILLED}
    assert json.dumps(after) == json.dumps(expected)  # NaN is not equal to itself


def leave_out(piece: Path, sample: Sample, *places: int) -> None:
    """What `label` writes of boxes that corrections leave out."""
    entries = json.loads(piece.read_text())
    for place in places:
        entries[place] |= {"score": 1.0, "source": "left-out", "corrected": "leave-out"}
        entries[place]["segmentation"] = box_mask(np.zeros((1, 1), bool), (0, 0), sample, score=0, source="")[
            "segmentation"
        ]
    piece.write_text(json.dumps(entries))


def test_boxes_that_are_left_out_are_not_in_it(odd, tmp_path: Path) -> None:
    """All else of a COCO file stays, in its order; in a new file, annotations are numbered on."""
    dataset = formats.load(Data(root=tmp_path))
    pieces = write_pieces(tmp_path / "pieces", dataset)
    write_masks(tmp_path / "all.json", dataset, pieces)
    sample = next(sample for sample in dataset.samples if sample.id == "a")
    leave_out(pieces(sample), sample, 0)
    done = write_masks(tmp_path / "masks.json", dataset, pieces)
    assert sum(done.sources.values()) == 4
    every, rest = (json.loads((tmp_path / name).read_text()) for name in ("all.json", "masks.json"))
    gone = every["annotations"].pop(1)  # clipped
    assert gone["bbox"] == [30, 20, 20, 5]
    assert json.dumps(rest) == json.dumps(every)
    plain = replace(dataset, annotations=None)
    write_masks(tmp_path / "plain.json", plain, pieces)
    made = json.loads((tmp_path / "plain.json").read_text())["annotations"]
    assert [entry["id"] for entry in made] == list(range(1, len(made) + 1))
    assert len(made) == sum(len(sample.labels) for sample in dataset.samples) - 1


def test_a_file_that_has_changed_since_is_refused(odd, tmp_path: Path) -> None:
    dataset = formats.load(Data(root=tmp_path))
    pieces = write_pieces(tmp_path / "pieces", dataset)
    odd["annotations"][1]["bbox"][0] += 1
    dataset.annotations.write_text(json.dumps(odd))
    with pytest.raises(DataError, match="the boxes of a have changed since it was read"):
        write_masks(tmp_path / "out" / "masks.json", dataset, pieces)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not valid JSON"),
        ("{}", "does not hold a mask for each of the 2 boxes of b: remove it and run the command again"),
        ("[]", "a mask for each of the 2 boxes"),
        ('[{"segmentation": {"size": [3, 4], "counts": ""}, "score": 1, "source": "x"}, 3]', "a mask for each"),
        (
            json.dumps([{"segmentation": {"size": [30, 40], "counts": "11"}, "score": 1, "source": "x"}] * 2),
            r"b\.json does not hold a mask for each of the 2 boxes of b: remove it",
        ),
    ],
)
def test_damaged_masks_leave_the_old_file(odd, text: str, message: str, tmp_path: Path) -> None:
    dataset = formats.load(Data(root=tmp_path))
    pieces = write_pieces(tmp_path / "pieces", dataset)
    path = tmp_path / "out" / "masks.json"
    write_masks(path, dataset, pieces)
    before = path.read_text()
    (tmp_path / "pieces" / "b.json").write_text(text)
    with pytest.raises(DataError, match=message):
        write_masks(path, dataset, pieces)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["voc", "yolo"])
def test_other_formats_become_a_coco_data_set(kind: str, tmp_path: Path) -> None:
    write_toy(tmp_path / "toy", train=8, val=0, size=48)
    toy = formats.load(Data(root=tmp_path / "toy"))
    root = tmp_path / "data"
    toy = replace(toy, samples=tuple(replace(sample, ground_truth=None) for sample in toy.samples))
    (write_voc if kind == "voc" else write_yolo)(toy, root)
    dataset = formats.load(Data(root=root))
    assert dataset.annotations is None
    pieces = write_pieces(tmp_path / "pieces", dataset)
    pieces(dataset.samples[1]).unlink()
    path = tmp_path / "masks.json"
    done = write_masks(path, dataset, pieces, AS_THEY_ARE)
    assert (done.photos, done.missing) == (7, 1)
    content = json.loads(path.read_text())
    folder = root / content["info"]["photos"]
    assert content["info"]["photos"] == ("JPEGImages" if kind == "voc" else "images/train")
    left = [sample for number, sample in enumerate(dataset.samples) if number != 1]
    assert [image["id"] for image in content["images"]] == [1, 3, 4, 5, 6, 7, 8]
    for image, sample in zip(content["images"], left, strict=True):
        assert (folder / image["file_name"]).samefile(sample.image)
        assert (image["width"], image["height"]) == (sample.width, sample.height)
    classes = list(enumerate(dataset.classes, start=1))
    assert [(category["id"], category["name"]) for category in content["categories"]] == classes
    assert [entry["id"] for entry in content["annotations"]] == list(range(1, sum(done.sources.values()) + 1))

    theirs = COCO(path)
    read = formats.load(Data(root=tmp_path, format="coco", annotations=Path("masks.json"), images=folder))
    assert read.problems == ()
    for sample, again, image in zip(left, read.samples, content["images"], strict=True):
        assert np.allclose(again.boxes, sample.boxes, rtol=0, atol=1e-9)
        assert np.array_equal(again.labels, sample.labels)
        entries = theirs.loadAnns(theirs.getAnnIds(image["id"]))
        for number, entry in enumerate(entries):
            assert np.array_equal(theirs.annToMask(entry), in_photo(sample, number))
            assert (entry["iscrowd"], entry["area"]) == (0, in_photo(sample, number).sum())


def spotted(height: int, width: int) -> np.ndarray:
    """A block with a pinhole and a large hole, and a speck beside it."""
    mask = np.zeros((height, width), dtype=bool)
    mask[: height - 4, : width - 4] = True
    mask[2, 2] = False
    mask[8:14, 8:14] = False
    mask[height - 1, width - 1] = True
    return mask


@pytest.mark.parametrize("simplify", [0.0, 1.0])
def test_specks_go_and_large_holes_stay(simplify: float, make_photo, tmp_path: Path) -> None:
    make_photo("train/a.jpg", width=40, height=30)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 2, 30, 25]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    dataset = formats.load(Data(root=tmp_path))
    pieces = write_pieces(tmp_path / "pieces", dataset, spotted)
    path = tmp_path / "out" / "masks.json"
    write_masks(path, dataset, pieces, Masks(simplify=simplify))
    theirs = COCO(path)
    (entry,) = theirs.loadAnns([1])
    expected = in_photo(dataset.samples[0], 0, spotted)
    expected[4, 7] = True
    expected[26, 34] = False
    assert np.array_equal(theirs.annToMask(entry), expected)
    assert entry["area"] == expected.sum()


@pytest.mark.parametrize("options", [{"min_component": 2}, {"fill_holes": -1}, {"simplify": float("inf")}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"masks.{next(iter(options))}"):
        Masks(**options)

"""COCO files as tools write them: read where they are unambiguous, and nothing that is there is background."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError
from boxseg.formats.box_masks import box_mask, write_box_masks
from boxseg.formats.loose_numbers import ById, as_id, is_set, number, whole_number
from boxseg.formats.masks_json import write_masks
from boxseg.scoring.coco_masks import found_masks, true_objects

L_SHAPE = [[10.0, 5.0, 30.0, 5.0, 30.0, 25.0, 20.0, 25.0, 20.0, 15.0, 10.0, 15.0]]  # of the box below
BOX = [10, 5, 20, 20]
CORNERS = [10, 5, 30, 25]


def annotation(own_id: Any, **changes: Any) -> dict[str, Any]:
    return {"id": own_id, "image_id": 1, "category_id": 2, "bbox": BOX, "iscrowd": 0, **changes}


def runs(mask: np.ndarray) -> dict[str, Any]:
    """The run-length code of a mask, its counts as a list."""
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
    edges = np.flatnonzero(np.diff(flat)).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, mask.size]).tolist()}


@pytest.fixture
def read(make_photo, tmp_path: Path):
    """Writes a COCO file of the photos a.jpg and b.jpg and reads it."""
    for name in ("a", "b"):
        make_photo(f"train/{name}.jpg")

    def load(*annotations: Any, **changes: Any) -> BoxDataset:
        content = {
            "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
            "annotations": list(annotations),
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            **changes,
        }
        (tmp_path / "train.json").write_text(json.dumps(content))
        return formats.load(Data(root=tmp_path))

    return load


def kinds(dataset: BoxDataset) -> list[tuple[str, str]]:
    return [(problem.kind, problem.action) for problem in dataset.problems]


def left_out(dataset: BoxDataset, photo: int = 0) -> list[list[int]]:
    """Where a photo is neither object nor sure background: the box around its pixels of 255."""
    mask = dataset.samples[photo].ignored()
    assert set(np.unique(mask)) <= {0, 255}
    rows, columns = np.nonzero(mask)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_numbers_in_other_notations() -> None:
    assert [whole_number(value) for value in (3, 3.0, "3", " 3.0 ", "007")] == [3, 3, 3, 3, 7]
    assert [whole_number(value) for value in (True, 1.5, "a", None, [1], "nan", "1e999", 10**400)][:-1] == [
        None
    ] * 7
    assert [number(value) for value in ("2.5", -1, "x", float("inf"), True)] == [2.5, -1, None, None, None]
    assert [as_id(value) for value in (1.0, "1", "a.jpg", "", None, True)] == [
        1,
        "1",
        "a.jpg",
        None,
        None,
        None,
    ]
    assert [is_set(flag) for flag in (1, True, "1", "true", 0, "0", " False", None, "")] == [True] * 4 + [
        False
    ] * 5


def test_an_id_is_found_in_any_notation_that_is_unambiguous() -> None:
    entries = ById({1: "one", "2": "two", "03": "three", 3: "exactly three", "a": "letter"})
    assert [entries.find(key) for key in (1, "1", 1.0, 2, "2.0", "a")] == ["one"] * 3 + ["two"] * 2 + ["letter"]
    assert (entries.find(3), entries.find("03"), entries.find("3")) == ("exactly three", "three", None)
    assert [entries.find(key) for key in (True, None, [1], {}, 9)] == [None] * 5


@pytest.mark.parametrize("images", [("1", "2"), (1.0, 2.0), ("001", "002"), (1, 2)])
@pytest.mark.parametrize("of_objects", [(1, 2), ("1", "2"), (1.0, 2.0)])
def test_ids_as_text_or_with_a_point(read, images, of_objects) -> None:
    entries = [{"id": own_id, "file_name": f"{name}.jpg"} for own_id, name in zip(images, "ab", strict=True)]
    categories = [{"id": own_id, "name": name} for own_id, name in zip(images, ("cat", "dog"), strict=True)]
    found = [annotation(1, image_id=own_id, category_id=own_id) for own_id in of_objects]
    dataset = read(*found, images=entries, categories=categories)
    assert (dataset.problems, dataset.classes, dataset.category_ids) == ((), ("cat", "dog"), (1, 2)) or kinds(
        dataset
    ) == [("annotation ID used several times", "kept")]
    assert [sample.boxes.tolist() for sample in dataset.samples] == [[CORNERS], [CORNERS]]
    assert [sample.labels.tolist() for sample in dataset.samples] == [[1], [2]]


def test_numbers_as_text(read) -> None:
    images = [{"id": 1, "file_name": "a.jpg", "width": "40", "height": "30"}]
    dataset = read(annotation(1, bbox=["10", "5", "20", " 20.0"], iscrowd="0"), images=images)
    assert (dataset.samples[0].boxes.tolist(), dataset.problems) == ([CORNERS], ())
    images[0]["width"] = "50"
    with pytest.raises(DataError, match="annotated size is not the photo's"):
        read(annotation(1), images=images)


@pytest.mark.parametrize(
    "box", [None, [], [0, 0, 0, 0], ["a", 1, 2, 3], [float("nan"), 1, 2, 3], [10**400, 1, 2, 3], {"x": 1}]
)
@pytest.mark.parametrize("outline", ["polygon", "code"])
def test_a_missing_box_is_that_around_the_outline(read, box, outline: str) -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:15, 10:30] = mask[15:25, 20:30] = True
    dataset = read(annotation(1, bbox=box, segmentation=L_SHAPE if outline == "polygon" else runs(mask)))
    sample = dataset.samples[0]
    assert (sample.boxes.tolist(), dataset.problems) == ([CORNERS], ())
    assert np.array_equal(sample.ground_truth() == 2, mask)


@pytest.mark.parametrize("outline", [None, [], [[1, 2]], "abc", [[1, 2, "x", 4, 5, 6]], {"size": [30, 40]}])
def test_an_object_without_a_place_costs_the_photo(read, outline) -> None:
    dataset = read(
        annotation(1, bbox=[1, 2, 3], segmentation=outline), annotation(2, image_id=2, segmentation=L_SHAPE)
    )
    assert [sample.id for sample in dataset.samples] == ["b"]
    assert kinds(dataset) == [("box without four numbers", "skipped")]
    assert dataset.problems[0].detail == "annotation 1 of a.jpg"


def test_an_unknown_class_leaves_its_region_out(read) -> None:
    dataset = read(
        annotation(1, category_id=9, segmentation=L_SHAPE),
        annotation(2, category_id="bird", image_id=2, bbox=[1.5, 2.5, 3, 4]),
        annotation(3, image_id=2),
    )
    first, second = dataset.samples
    assert [len(sample.boxes) for sample in (first, second)] == [0, 1]
    assert kinds(dataset) == [("class unknown", "dropped")] * 2
    assert dataset.problems[1].detail == "category_id 'bird', annotation 2 of b.jpg"
    assert (first.ignored() == 255).sum() == 300  # the outline, not the box of 400 pixels
    assert first.crowds.tolist() == [CORNERS]
    # Every pixel that the box touches.
    assert left_out(dataset, 1) == [1, 2, 5, 7]
    assert second.crowds.tolist() == [[1, 2, 5, 7]]


def test_a_dropped_box_leaves_its_pixels_out(read) -> None:
    dataset = read(annotation(1), annotation(2, bbox=[35, 25, -4, -6]), annotation(3, bbox=[100, 100, 5, 5]))
    assert kinds(dataset) == [("box is empty or inverted", "dropped"), ("box is outside the photo", "dropped")]
    assert dataset.samples[0].boxes.tolist() == [CORNERS]
    assert left_out(dataset) == [31, 19, 35, 25]
    # What lies outside the photo leaves nothing out.
    outside = read(annotation(1), annotation(3, bbox=[100, 100, 5, 5]))
    assert outside.samples[0].ignored is None


def test_a_crowd_whose_region_cannot_be_read_is_its_box(read) -> None:
    dataset = read(annotation(1), annotation(2, iscrowd=1, bbox=[1, 2, 3, 4], segmentation={"size": [3, 3]}))
    assert left_out(dataset) == [1, 2, 4, 6]


@pytest.mark.parametrize("flag", [1, "1", True, 1.0])
def test_a_set_of_crowds_is_a_set_of_objects(read, flag, tmp_path: Path) -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:15, 10:30] = mask[15:25, 20:30] = True
    drawn = [annotation(own_id, image_id=own_id, iscrowd=flag, segmentation=runs(mask)) for own_id in (1, 2)]
    dataset = read(*drawn)
    assert [sample.boxes.tolist() for sample in dataset.samples] == [[CORNERS]] * 2
    assert [len(sample.crowds) for sample in dataset.samples] == [0, 0]
    assert np.array_equal(dataset.samples[0].ground_truth(), np.where(mask, 2, 0))
    assert kinds(dataset) == [("most annotations are iscrowd", "read as objects")]
    # Its masks come back as objects.
    for sample in dataset.samples:
        piece = box_mask(np.ones((4, 4), bool), (12, 7), sample, score=1, source="network")
        write_box_masks(tmp_path / f"{sample.id}.piece", [piece])
    write_masks(tmp_path / "masks.json", dataset, lambda sample: tmp_path / f"{sample.id}.piece")
    content = json.loads((tmp_path / "masks.json").read_text())
    assert [entry["iscrowd"] for entry in content["annotations"]] == [0, 0]


@pytest.mark.parametrize(("flag", "crowds"), [("0", 0), ("false", 0), (None, 0), ("1", 1), (1, 1)])
def test_a_flag_as_text(read, flag, crowds: int) -> None:
    dataset = read(annotation(1), annotation(2, iscrowd=flag, bbox=[1, 1, 5, 5]))
    assert (len(dataset.samples[0].boxes), len(dataset.samples[0].crowds)) == (2 - crowds, crowds)
    assert dataset.problems == ()


def test_entries_of_one_photo_are_joined(read, tmp_path: Path) -> None:
    images = [{"id": own_id, "file_name": "a.jpg"} for own_id in (1, 2, 3)]
    objects = [
        annotation(1),
        annotation(2, image_id=2, category_id=1, bbox=[1, 2, 3, 4]),
        annotation(3, image_id=2),  # as the first entry has it
        annotation(4, image_id=3, category_id=77, bbox=[30, 20, 5, 5]),
    ]
    dataset = read(*objects, images=images)
    (sample,) = dataset.samples
    assert (sample.id, sample.boxes.tolist(), sample.labels.tolist()) == ("a", [CORNERS, [1, 2, 4, 6]], [2, 1])
    assert (sample.image_id, sample.more_image_ids, sample.annotation_ids) == (1, (2, 3), (1, 2))
    assert left_out(dataset) == [30, 20, 35, 25]
    assert ("several entries of one photo", "objects joined") in kinds(dataset)
    piece = [box_mask(np.ones((2, 2), bool), (12, 7), sample, score=1, source=f"{n}") for n in range(2)]
    write_box_masks(tmp_path / "piece", piece)
    write_masks(tmp_path / "masks.json", dataset, lambda _: tmp_path / "piece")
    content = json.loads((tmp_path / "masks.json").read_text())
    assert [entry.get("source") for entry in content["annotations"]] == ["0", "1", None, None]


def test_entries_of_one_photo_with_outlines(read) -> None:
    images = [{"id": own_id, "file_name": "a.jpg"} for own_id in (1, 2)]
    small = [[1, 2, 8, 2, 8, 4]]
    second = annotation(2, image_id=2, category_id=1, bbox=[1, 2, 7, 2], segmentation=small)
    dataset = read(annotation(1, segmentation=L_SHAPE), second, images=images)
    mask = dataset.samples[0].ground_truth()
    # Results may name the photo by any of its ids.
    results = [
        {"image_id": own_id, "category_id": label, "segmentation": region, "score": 1.0}
        for own_id, label, region in ((1, 2, L_SHAPE), (2, 1, small))
    ]
    truth = true_objects(dataset, dataset.samples)
    assert found_masks(results, truth, Path("results.json")).elsewhere == 0
    assert ((mask == 2).sum(), mask[2, 5], len(dataset.samples[0].instances)) == (300, 1, 2)
    # With an outline missing in one of them, the photo is not scored.
    second["segmentation"] = []
    assert read(annotation(1, segmentation=L_SHAPE), second, images=images).samples[0].ground_truth is None


def test_entries_of_one_photo_of_two_sizes_or_one_without_a_place_are_refused(read) -> None:
    images = [{"id": own_id, "file_name": "a.jpg", "width": 20 * own_id, "height": 30} for own_id in (1, 2)]
    images.append({"id": 3, "file_name": "b.jpg"})
    dataset = read(annotation(1), annotation(2, image_id=3), images=images)
    assert [sample.id for sample in dataset.samples] == ["b"]
    assert dataset.problems[0].what == "several entries of one photo: a.jpg, of sizes 20 x 30 and 40 x 30"
    images[0]["width"] = 40
    dataset = read(annotation(1), annotation(2, image_id=3), annotation(3, image_id=2, bbox=[]), images=images)
    assert [sample.id for sample in dataset.samples] == ["b"]


def test_the_limit_counts_photos_not_entries(read, tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{name}.jpg"} for n, name in enumerate("aba", start=1)]
    read(annotation(1), annotation(2, image_id=3, bbox=[1, 2, 3, 4]), images=images)
    (sample,) = formats.load(Data(root=tmp_path, limit=1)).samples
    assert sample.boxes.tolist() == [CORNERS, [1, 2, 4, 6]]


def test_an_image_listed_twice_is_read_once(read) -> None:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 1.0, "file_name": "a.jpg"}]
    dataset = read(annotation(1), images=images)
    assert [sample.boxes.tolist() for sample in dataset.samples] == [[CORNERS]]
    assert kinds(dataset) == [("image listed twice", "read once")]


def test_a_category_without_objects_that_has_the_name_of_another(read) -> None:
    group = {"id": 0, "name": "dog", "supercategory": "none"}
    others = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog", "supercategory": "dog"}]
    dataset = read(annotation(1), annotation(2, category_id="1", image_id=2), categories=[group, *others])
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog"), (1, 2))
    assert [sample.labels.tolist() for sample in dataset.samples] == [[2], [1]]
    assert kinds(dataset) == [("category without annotations has the name of another", "left out")]
    # In a split without dogs, the classes are the same.
    assert read(annotation(2, category_id=1), categories=[group, *others]).category_ids == (1, 2)
    # The same category twice is one.
    assert read(annotation(1), categories=[*others, others[0]]).problems == ()


# As Roboflow writes them: the project is category 0, and the group of all others.
PROJECT = [
    {"id": 0, "name": "animals", "supercategory": "none"},
    {"id": 1, "name": "cat", "supercategory": "animals"},
    {"id": 2, "name": "dog", "supercategory": "animals"},
]


def test_a_category_without_objects_that_is_the_group_of_all_others(read) -> None:
    dataset = read(annotation(1), annotation(2, category_id=1, image_id=2), categories=PROJECT)
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog"), (1, 2))
    assert [sample.labels.tolist() for sample in dataset.samples] == [[2], [1]]
    assert kinds(dataset) == [("category without annotations is the group of all others", "left out")]
    assert dataset.problems[0].detail == "id 0, 'animals'"


@pytest.mark.parametrize(
    "categories",
    [
        [*PROJECT, {"id": 3, "name": "car", "supercategory": "things"}],  # not the group of all
        [{**category, "supercategory": "none"} for category in PROJECT],
        [{"id": 2, "name": "dog", "supercategory": "dog"}],  # of itself alone
    ],
)
def test_other_categories_without_objects_are_classes(read, categories: list[dict[str, Any]]) -> None:
    dataset = read(annotation(1), categories=categories)
    assert len(dataset.classes) == len(categories)
    assert dataset.problems == ()


@pytest.mark.parametrize("used", [False, True])
def test_a_group_is_a_class_in_all_splits_or_in_none(read, used: bool, tmp_path: Path, make_photo) -> None:
    """A group that has objects in one split is a class in the others, too."""
    content = {
        "images": [{"id": 1, "file_name": "c.jpg"}],
        "annotations": [annotation(1, category_id=0 if used else 1)],
        "categories": PROJECT,
    }
    make_photo("val/c.jpg")
    (tmp_path / "val.json").write_text(json.dumps(content))
    train = read(annotation(1), categories=PROJECT)
    val = formats.load(Data(root=tmp_path, split="val"))
    assert train.classes == val.classes == (("animals",) if used else ()) + ("cat", "dog")
    assert train.samples[0].labels.tolist() == [2 + used]


def test_crowds_drawn_as_polygons_are_listed_with_their_number(read) -> None:
    """Real crowds are run-length codes: these may be objects that a tool has marked."""
    crowd = {"iscrowd": 1, "bbox": [1, 1, 5, 5], "segmentation": [[1, 1, 6, 1, 6, 6]]}
    dataset = read(
        *(annotation(n, segmentation=L_SHAPE) for n in range(1, 5)),
        annotation(5, **crowd),
        annotation(6, **crowd),
    )
    assert kinds(dataset) == [
        ("iscrowd on polygons, not on run-length codes", "read as crowds: no boxes, 255 in labels and scores")
    ]
    assert dataset.problems[0].detail.startswith("2 of 6 annotations")
    assert (len(dataset.samples[0].boxes), len(dataset.samples[0].crowds)) == (4, 2)
    code = {**crowd, "segmentation": runs(np.ones((30, 40), bool))}
    assert read(annotation(1, segmentation=L_SHAPE), annotation(2, **code)).problems == ()


def test_annotations_of_photos_that_are_not_there_name_them(read) -> None:
    dataset = read(annotation(1), annotation(2, image_id="7"))
    assert dataset.problems[0].what == "annotation without photo: image_id '7', annotation 2"


RECTANGLE = [[10, 5, 30, 5, 30, 25, 10, 25]]


@pytest.mark.parametrize("outline", ["polygon", "closed", "other corner", "every pixel", "cut corners", "code"])
def test_outlines_that_are_their_boxes_are_no_ground_truth(read, outline: str) -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:25, 10:30] = True
    edge = [(x, 5) for x in range(10, 30)] + [(29, y) for y in range(6, 25)]
    edge += [(x, 24) for x in range(28, 9, -1)] + [(10, y) for y in range(23, 5, -1)]
    region = {
        "polygon": RECTANGLE,
        "closed": [[*RECTANGLE[0], 10, 5]],
        "other corner": [[10, 25, 10, 5, 30, 5, 30, 25]],
        "every pixel": [[side for point in edge for side in point]],
        "cut corners": [[10.5, 5, 29.5, 5, 30, 5.5, 30, 24.5, 29.5, 25, 10.5, 25, 10, 24.5, 10, 5.5]],
        "code": runs(mask),
    }[outline]
    dataset = read(annotation(1, segmentation=region))
    assert [sample.ground_truth for sample in dataset.samples] == [None, None]
    assert [sample.instances for sample in dataset.samples] == [None, None]
    assert dataset.samples[0].boxes.tolist() == [CORNERS]
    assert kinds(dataset) == [("outlines that are only boxes", "their images kept without ground truth")]
    assert dataset.problems[0].detail == "1 of 1, the first in a.jpg"


def test_true_outlines_beside_boxes_are_ground_truth(read) -> None:
    dataset = read(
        annotation(1, segmentation=RECTANGLE),
        annotation(2, segmentation=L_SHAPE),
        annotation(3, image_id=2, segmentation=L_SHAPE),
    )
    first, second = dataset.samples
    assert (first.ground_truth, (second.ground_truth() == 2).sum()) == (None, 300)
    # A rectangle among many outlines is an object of that form.
    many = [annotation(own_id, image_id=2, segmentation=L_SHAPE) for own_id in range(2, 30)]
    dataset = read(annotation(1, segmentation=RECTANGLE), *many)
    assert (dataset.samples[0].ground_truth() == 2).sum() == 400
    assert dataset.problems == ()

from __future__ import annotations

import copy
import json
import pickle
from array import array
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import Instance
from boxseg.errors import DataError
from coco_files import SQUARE, annotation, kinds


@pytest.fixture
def content(coco_content):
    return coco_content


@pytest.fixture
def read(read_coco):
    return read_coco


def test_categories_by_ascending_id_and_boxes_from_xywh(content, read) -> None:
    content["annotations"] = [
        annotation(1, category_id=90, bbox=[0, 0, 40, 30]),
        annotation(2, bbox=[1.5, 2, 3, 4.25]),
    ]
    dataset = read(content)
    assert dataset.format == "coco"
    assert dataset.classes == ("couch", "zebra")
    a, b = dataset.samples
    assert (a.id, a.labels.tolist()) == ("a", [2, 1])
    assert a.boxes.tolist() == [[0, 0, 40, 30], [1.5, 2, 4.5, 6.25]]
    # Listed without annotation: an image without objects, in COCO.
    assert b.boxes.shape == (0, 4)
    assert dataset.problems == ()


def test_smaller_objects_on_top_in_any_order(content, read) -> None:
    large = [[0.0, 0.0, 30.0, 0.0, 30.0, 30.0, 0.0, 30.0]]
    both = [
        annotation(1, category_id=90, segmentation=large, bbox=[0, 0, 40, 30]),
        annotation(2, segmentation=SQUARE),
    ]
    expected = np.zeros((30, 40), dtype=np.uint8)
    expected[:, :30] = 2
    expected[12:18, 12:18] = 1
    for order in (both, both[::-1]):
        content["annotations"] = order
        assert np.array_equal(read(content).samples[0].ground_truth(), expected)


def test_crowds_give_no_box_and_are_ignored_below_objects(content, read) -> None:
    counts = [0, 30 * 40]  # the whole photo
    crowd = annotation(1, iscrowd=1, segmentation={"size": [30, 40], "counts": counts}, bbox=[0, 0, 40, 30])
    content["annotations"] = [annotation(2), crowd]
    sample = read(content).samples[0]
    assert sample.boxes.tolist() == [[10, 10, 20, 20]]
    assert sample.crowds.tolist() == [[0, 0, 40, 30]]
    expected = np.full((30, 40), 255, dtype=np.uint8)
    expected[12:18, 12:18] = 1
    assert np.array_equal(sample.ground_truth(), expected)
    # Also a crowd smaller than an object: what is known of a pixel counts.
    content["annotations"] = [
        annotation(1),
        annotation(2, iscrowd=1, segmentation=[[13, 13, 15, 13, 15, 15, 13, 15]]),
    ]
    assert np.array_equal(read(content).samples[0].ground_truth(), np.where(expected == 1, 1, 0))


def test_crowds_are_masked_for_labels_whatever_the_objects_have(content, read) -> None:
    crowd = annotation(1, iscrowd=1, segmentation={"size": [30, 40], "counts": [0, 60, 1140]})
    content["annotations"] = [crowd, annotation(2, segmentation=[])]
    sample = pickle.loads(pickle.dumps(read(content).samples[0]))
    assert sample.ground_truth is None
    expected = np.zeros((30, 40), dtype=np.uint8)
    expected[:, :2] = 255  # run-length codes go down the columns
    assert np.array_equal(sample.ignored(), expected)
    # Without a segmentation, its box.
    content["annotations"] = [annotation(1, iscrowd=1, segmentation=[], bbox=[4, 5, 6, 7]), annotation(2)]
    expected = np.zeros((30, 40), dtype=np.uint8)
    expected[5:12, 4:10] = 255
    assert np.array_equal(read(content).samples[0].ignored(), expected)
    content["annotations"] = [annotation(1)]
    assert read(content).samples[0].ignored is None


def test_objects_and_ids_as_annotated(content, read) -> None:
    content["annotations"] = [annotation(1, area=77.5), annotation(2, category_id=90, iscrowd=1, image_id=2)]
    dataset = read(content)
    assert dataset.category_ids == (7, 90)
    assert [sample.image_id for sample in dataset.samples] == [1, 2]
    first, second = (sample.instances for sample in dataset.samples)
    square = [array("d", SQUARE[0])]
    assert first == (Instance(label=1, region=square, crowd=False, area=77.5, annotation_id=1),)
    assert second == (Instance(label=2, region=square, crowd=True, area=None, annotation_id=2),)
    # As with the mask, one object without a segmentation leaves the image unscored.
    content["annotations"].append(annotation(3, segmentation=[]))
    assert [sample.instances is None for sample in read(content).samples] == [True, False]


def test_boxes_keep_the_ids_of_their_annotations(content, read) -> None:
    content["annotations"] = [
        annotation(30, bbox=[1, 2, 3, 4]),
        annotation(4, iscrowd=1),
        annotation(5, bbox=[1, 2, 0, 4]),  # dropped
        annotation(6, category_id=3),  # dropped
        annotation("seven", bbox=[30, 20, 20, 5]),  # clipped
        annotation(8, image_id=2, bbox=[100, 100, 5, 5]),  # dropped: outside
    ]
    dataset = read(content)
    assert dataset.annotations.name == "instances_train.json"
    assert [sample.annotation_ids for sample in dataset.samples] == [(30, "seven"), ()]
    assert [len(sample.boxes) for sample in dataset.samples] == [2, 0]
    # With one of them missing, they cannot be told apart by their ids.
    del content["annotations"][0]["id"]
    assert [sample.annotation_ids for sample in read(content).samples] == [None, ()]


@pytest.mark.parametrize("kind", ["list", "bytes as text", "polygons"])
def test_kinds_of_segmentation(content, read, kind: str) -> None:
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[3:9, 4:15] = 1
    code = coco_mask.encode(np.asfortranarray(mask))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel(), [0]])))  # column by column
    segmentation = {
        "list": {"size": [30, 40], "counts": np.diff([0, *edges.tolist(), 1200]).tolist()},
        "bytes as text": {"size": [30, 40], "counts": code["counts"].decode()},
        "polygons": [[4, 3, 9, 3, 9, 9, 4, 9], [9, 3, 15, 3, 15, 9, 9, 9], [1, 1]],
    }[kind]
    content["annotations"] = [annotation(1, segmentation=segmentation)]
    sample = pickle.loads(pickle.dumps(read(content).samples[0]))
    assert np.array_equal(sample.ground_truth(), mask)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [40, 30], "counts": [0, 1200]},
        {"size": [30, 40], "counts": [5000]},
        {"size": [30, 40], "counts": [10, 10]},
        {"counts": "zzz"},
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 1e9, 6]],
        [[1, 2, 3, 4, 10**400, 6]],
        [[1, 2, 3, 4, float("nan"), 6]],
        ["abc"],
        7,
    ],
)
def test_broken_segmentation_costs_its_photo_the_ground_truth(content, read, segmentation) -> None:
    content["annotations"] = [annotation(1, segmentation=segmentation), annotation(2, image_id=2)]
    dataset = read(content)
    first, second = dataset.samples
    assert (first.boxes.tolist(), first.ground_truth, first.instances) == ([[10, 10, 20, 20]], None, None)
    assert kinds(dataset) == [("outline that cannot be read", "image kept without ground truth")]
    assert dataset.problems[0].what.endswith("a.jpg")
    assert (second.ground_truth() == 1).sum() == 36


def test_a_code_that_shows_its_damage_when_painted_names_file_and_photo(content, read) -> None:
    content["annotations"] = [annotation(1, segmentation={"size": [30, 40], "counts": "zzz"})]
    sample = read(content).samples[0]
    with pytest.raises(DataError, match=r"instances_train\.json: a\.jpg: segmentation cannot be read"):
        sample.ground_truth()


@pytest.mark.parametrize(
    "segmentation",
    [
        [[]],
        [[1, 2, 3, 4], [5, 6]],
        {"size": [30, 40], "counts": [1200]},
        {"size": [30, 40], "counts": [600, 0, 600]},
        {
            "size": [30, 40],
            "counts": coco_mask.encode(np.zeros((30, 40), np.uint8, order="F"))["counts"].decode(),
        },
    ],
)
def test_a_segmentation_without_a_pixel_is_none(content, read, segmentation) -> None:
    """Painted, its object would be background in the ground truth."""
    content["annotations"] = [annotation(1), annotation(2, segmentation=segmentation)]
    dataset = read(content)
    assert dataset.samples[0].ground_truth is None
    assert kinds(dataset) == [("object without segmentation", "image kept without ground truth")]


@pytest.mark.parametrize(("classes", "fits"), [(254, True), (255, False)])
def test_classes_that_a_mask_of_8_bits_cannot_hold(content, read, classes: int, fits: bool) -> None:
    content["categories"] = [{"id": i, "name": f"class {i}"} for i in range(1, classes + 1)]
    if fits:
        assert len(read(content).classes) == 254
    else:
        with pytest.raises(DataError, match="has 255 classes, but a label mask of 8 bits holds at most 254"):
            read(content)


def test_ground_truth_only_where_every_object_has_one(content, read) -> None:
    content["annotations"] = [annotation(1), annotation(2, segmentation=[]), annotation(3, segmentation=None)]
    dataset = read(content)
    a, b = dataset.samples
    assert a.ground_truth is None
    assert kinds(dataset) == [("object without segmentation", "image kept without ground truth")]
    assert dataset.problems[0].what.endswith("annotation 2 of a.jpg and 1 more")
    assert not b.ground_truth().any()
    content["annotations"] = [annotation(1, segmentation=[])]
    assert not read(content).has_ground_truth
    # An object that cannot be painted would be called background.
    content["annotations"] = [annotation(1), annotation(2, category_id=3)]
    assert read(content).samples[0].ground_truth is None


def test_single_bad_items_are_listed_and_the_rest_is_read(content, read, tmp_path: Path) -> None:
    content["images"] += [
        {"id": 3, "file_name": "../train/a.jpg"},
        {"id": 4, "file_name": str(tmp_path / "train" / "a.jpg")},
        {"id": 5, "file_name": "C:\\a.jpg"},
        {"id": 6, "file_name": "x\\..\\..\\a.jpg"},
        {"id": 7, "file_name": "missing.jpg"},
        {"id": 8, "file_name": "a.png", "width": 40, "height": 30},
        *({"id": number, "file_name": f"{number}.jpg"} for number in range(9, 13)),
    ]
    for number in range(9, 13):
        (tmp_path / "train" / f"{number}.jpg").write_bytes((tmp_path / "train" / "a.jpg").read_bytes())
    content["images"][1]["width"] = 50
    (tmp_path / "train" / "a.png").write_bytes((tmp_path / "train" / "a.jpg").read_bytes())
    content["annotations"] += [
        annotation(2, category_id=3),
        annotation(3, category_id=None),
        annotation(4, image_id=99),
        annotation(5, bbox=[1, 2, 3], image_id=9, segmentation=[]),
        annotation(6, bbox=None, image_id=10, segmentation=[]),
        annotation(7, bbox=[1, 2, "3 px", 4], image_id=11, segmentation=[]),
        annotation(8, bbox=[30, 20, 20, 5]),
        annotation(9, bbox=[30, 20, -20, 5]),
        annotation(10, bbox=[float("nan"), 20, 20, 5], image_id=12, segmentation=[]),
        annotation(11, image_id=[1]),
        "no annotation",
    ]
    dataset = read(content)
    assert [sample.id for sample in dataset.samples] == ["a"]
    assert dataset.samples[0].boxes.tolist() == [[10, 10, 20, 20], [30, 20, 40, 25]]
    assert sorted(kinds(dataset)) == sorted(
        [("photo not found", "skipped")] * 5
        + [("second image of ID", "skipped")]
        + [("annotated size is not the photo's", "skipped")]
        + [("annotation without photo", "skipped")] * 3
        + [("class unknown", "dropped")] * 2
        + [("box without four numbers", "skipped")] * 4
        + [("box sticks out of the photo", "clipped"), ("box is empty or inverted", "dropped")]
    )
    named = next(problem for problem in dataset.problems if problem.what.startswith("box sticks out"))
    assert named.file.name == "instances_train.json"
    assert named.what.endswith("annotation 8 of a.jpg")


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("image_id", ("annotation without photo", "skipped")),
        ("category_id", ("class unknown", "dropped")),
        # The box is that around the segmentation, a square.
        ("bbox", ("outlines that are only boxes", "their images kept without ground truth")),
        ("segmentation", ("object without segmentation", "image kept without ground truth")),
        ("id", None),
        ("iscrowd", None),
    ],
)
def test_annotations_that_lack_a_key(content, read, key: str, problem: tuple[str, str] | None) -> None:
    lacking = {name: value for name, value in annotation(2).items() if name != key}
    content["annotations"].append(lacking)
    dataset = read(content)
    assert kinds(dataset) == ([problem] if problem else [])
    assert len(dataset.samples[0].boxes) == (1 if key in ("image_id", "category_id") else 2)


@pytest.mark.parametrize("key", ["width", "height"])
def test_images_need_not_state_their_size(content, read, key: str) -> None:
    del content["images"][0][key]
    assert read(content).samples[0].width == 40


@pytest.mark.parametrize("box", [[10, 10, 0, 5], [10, 10, 5, 0], [10, 10, 0, 0], [10.2, 3, 0.4, 5]])
def test_boxes_of_no_area(content, read, box: list[float]) -> None:
    content["annotations"] = [annotation(1), annotation(2, bbox=box)]
    dataset = read(content)
    assert dataset.samples[0].boxes.tolist() == [[10, 10, 20, 20]]
    assert kinds(dataset) in (
        [("box is empty or inverted", "dropped")],
        [("box is narrower than 1 pixel", "dropped")],
    )


def test_ids_of_several_annotations_are_listed(content, read) -> None:
    content["annotations"] += [annotation(1, bbox=[0, 0, 5, 5]), annotation(2)]
    dataset = read(content)
    assert len(dataset.samples[0].boxes) == 3
    assert kinds(dataset) == [("annotation ID used several times", "kept")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), "no list 'images'"),
        (lambda c: c.pop("annotations"), "no list 'annotations'"),
        (lambda c: c.pop("categories"), "no list 'categories'"),
        (lambda c: c.update(categories=[]), "the list 'categories' is empty"),
        (lambda c: c["categories"].append({"id": 7, "name": "x"}), "2 categories of id 7"),
        (
            lambda c: [
                c["categories"].append({"id": 8, "name": "couch"}),
                c["annotations"].append(annotation(2, category_id=8)),
            ],
            r"2 categories of name 'couch', both with annotations \(ids 7 and 8\)",
        ),
        (
            lambda c: c["categories"].append({"id": "x", "name": "x"}),
            "id of category number 2 is no whole number",
        ),
        (
            lambda c: c["categories"].append({"id": 1.5, "name": "x"}),
            "id of category number 2 is no whole number",
        ),
        (lambda c: c["categories"].append({"id": 8, "name": ""}), "category number 2 has no name"),
        (lambda c: c["categories"].append({"id": 8}), "category number 2 has no name"),
        (lambda c: c["images"].append({"id": 1, "file_name": "b.jpg"}), "2 images of id 1"),
        (lambda c: c["images"].append({"id": 3}), "image number 2 has no file_name"),
        (lambda c: c["images"].append({"id": [3], "file_name": "b.jpg"}), "image number 2 has no id"),
        (lambda c: c.update(images=[]), "the list 'images' is empty"),
    ],
)
def test_broken_files_are_errors_that_name_the_fault(content, read, change, message: str) -> None:
    change(content)
    with pytest.raises(DataError, match=message):
        read(content)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 200_000])
def test_no_json_or_other_json(content, read, text: str) -> None:
    with pytest.raises(DataError, match=r"instances_train\.json( is not valid JSON|: no list 'images')"):
        read(text)


def test_limit_and_order(content, read) -> None:
    content["images"].reverse()
    assert [sample.id for sample in read(content, limit=1).samples] == ["b"]
    before = copy.deepcopy(content)
    assert [sample.id for sample in read(content).samples] == ["b", "a"]
    assert content == before


def test_real_data_set(shared_data: Path) -> None:
    dataset = formats.load(Data(root=shared_data / "coco"))
    assert len(dataset) == 60
    assert len(dataset.classes) == 80
    assert dataset.classes[0] == "person"
    assert dataset.classes[-1] == "toothbrush"
    assert dataset.problems == ()
    assert sum(len(sample.boxes) for sample in dataset.samples) == 500
    assert sum(len(sample.crowds) for sample in dataset.samples) == 5
    assert formats.inspect(dataset) == []
    raw = json.loads((shared_data / "coco" / "annotations" / "instances_train2017.json").read_text())
    for sample in dataset.samples[::10]:
        mask = sample.ground_truth()
        own = [a for a in raw["annotations"] if a["image_id"] == int(sample.id)]
        assert set(np.unique(mask)) - {0, 255} <= set(sample.labels.tolist())
        # The file's own areas are those of its polygons; what is painted is no more than their sum.
        assert (mask != 0).sum() <= 1.02 * sum(a["area"] for a in own) + 20

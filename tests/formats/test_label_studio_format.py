"""Label Studio's JSON export, by files written as its documentation describes them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxseg.errors import DataError
from label_studio_files import HEIGHT, WIDTH, brush_code, kinds, load, rectangle, region, task


def test_boxes_keep_the_ids_of_their_regions(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    corners = [[10, 10], [50, 10], [50, 50], [30, 50], [30, 30], [10, 30]]
    drawn = [
        rectangle("cat", 10, 10, 40, 40, id="r1"),
        region("polygonlabels", "cat", {"points": corners}, id="p2"),  # the outline of r1
        region("polygonlabels", "dog", {"points": [[x + 40, y] for x, y in corners]}, id="p3"),
    ]
    (sample,) = load(tmp_path, task("a.jpg", *drawn)).samples
    assert sample.annotation_ids == ("r1", "p3")
    assert [instance.annotation_id for instance in sample.instances] == ["r1", "p3"]
    drawn.append({**rectangle("cat", 60, 60, 20, 20), "id": 4})
    assert load(tmp_path, task("a.jpg", *drawn)).samples[0].annotation_ids is None


def test_boxes_are_percent_of_the_photo(tmp_path: Path, make_photo) -> None:
    make_photo("photos/a.jpg")
    make_photo("photos/b.jpg")
    dataset = load(
        tmp_path,
        task("photos/a.jpg", rectangle("dog", 0, 0, 100, 100), rectangle("cat", 25, 10, 50, 40)),
        task("photos/b.jpg"),
    )
    assert (dataset.format, dataset.classes, dataset.problems) == ("label-studio", ("cat", "dog"), ())
    first, second = dataset.samples
    assert (first.id, second.id) == ("a", "b")
    assert np.allclose(first.boxes, [[0, 0, 40, 30], [10, 3, 30, 15]])
    assert first.labels.tolist() == [2, 1]
    assert (first.ground_truth, second.ground_truth, len(second.boxes)) == (None, None, 0)


def test_a_rotated_rectangle_turns_about_its_corner(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    dataset = load(
        tmp_path,
        task("a.jpg", rectangle("dog", 50, 50, 25, 20, rotation=90), rectangle("dog", 50, 20, 25, 20, 30)),
    )
    # (20, 15) is the corner; 10 across becomes 10 down, and 6 down becomes 6 to the left.
    assert np.allclose(dataset.samples[0].boxes[0], [14, 15, 20, 25])
    sine, cosine = math.sin(math.pi / 6), math.cos(math.pi / 6)
    corners = [(20 + x * cosine - y * sine, 6 + x * sine + y * cosine) for x in (0, 10) for y in (0, 6)]
    xs, ys = zip(*corners, strict=True)
    assert np.allclose(dataset.samples[0].boxes[1], [min(xs), min(ys), max(xs), max(ys)])
    assert {action for _, action in kinds(dataset)} == {"kept, as the upright box around it"}


def test_polygons_and_brushes_are_ground_truth(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    corners = [[25, 10], [75, 10], [75, 50], [50, 50], [50, 30], [25, 30]]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:28, 1:9] = 255
    mask[20:22, 1:3] = 0
    rgba = np.repeat(mask[..., None], 4, axis=2).ravel().tolist()
    dataset = load(
        tmp_path,
        task(
            "a.jpg",
            rectangle("cat", 24, 9, 52, 42),
            region("polygonlabels", "cat", {"points": corners, "closed": True}),
            region("brushlabels", "dog", {"format": "rle", "rle": brush_code(rgba, [False])}),
        ),
    )
    sample = dataset.samples[0]
    assert dataset.problems == ()
    assert np.allclose(sample.boxes, [[9.6, 2.7, 30.4, 15.3], [1, 20, 9, 28]])
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[3:9, 10:30] = expected[9:15, 20:30] = 1
    expected[mask > 0] = 2
    assert np.array_equal(sample.ground_truth(), expected)
    assert [instance.label for instance in sample.instances] == [1, 2]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/data/upload/1/3fa85f64-photo.jpg", "photo.jpg"),
        ("/data/upload/1/3fa85f64-photo.jpg", "media/upload/1/3fa85f64-photo.jpg"),
        ("/data/upload/1/3fa85f64-my_photo_1.jpg", "my photo 1.jpg"),
        ("/data/local-files/?d=shots/day%201/photo.jpg", "shots/day 1/photo.jpg"),
        ("/data/local-files/?d=shots/photo.jpg", "elsewhere/photo.jpg"),
        ("https://example.com/opensource/gr%C3%B6%C3%9Fe.jpg?x=1", "größe.jpg"),
        ("/data/local-files/?d=gr%C3%B6%C3%9Fe/%E7%8C%AB.jpg", "größe/猫.jpg"),
        ("s3://bucket/key/photo.jpg", "photo.jpg"),
        ("/home/somebody/photos/photo.jpg", "photos/photo.jpg"),
        ("C:\\photos\\photo.jpg", "photo.jpg"),
        ("photo.jpg", "a/b/c/photo.jpg"),
    ],
)
def test_photos_are_found_by_name(tmp_path: Path, make_photo, address: str, place: str) -> None:
    make_photo(place)
    dataset = load(tmp_path, task(address, rectangle("dog", 0, 0, 50, 50)))
    assert dataset.samples[0].image == tmp_path / place
    assert dataset.samples[0].id == Path(place).stem


def test_a_name_of_several_photos_is_an_error_unless_its_folders_tell(tmp_path: Path, make_photo) -> None:
    make_photo("one/a.jpg")
    make_photo("two/a.jpg")
    told = load(tmp_path, task("/data/local-files/?d=x/two/a.jpg"), task("one/a.jpg"))
    assert [sample.id for sample in told.samples] == ["two/a", "one/a"]
    with pytest.raises(DataError, match=r"may be any of 2 photos \(one/a\.jpg, two/a\.jpg\).*data\.images"):
        load(tmp_path, task("/data/upload/1/3fa85f64-a.jpg"))
    assert len(load(tmp_path, task("/data/upload/1/3fa85f64-a.jpg"), images=Path("one"))) == 1


def test_names_that_lead_out_and_photos_that_are_not_there(tmp_path: Path, make_photo) -> None:
    make_photo("data/a.jpg")
    make_photo("secret.jpg")
    root = tmp_path / "data"
    addresses = (
        "../secret.jpg",
        "/data/local-files/?d=..%2F..%2Fsecret.jpg",
        "%2e%2e/secret.jpg",
        "secret.jpg",
        "a.jpg",
    )
    dataset = load(root, *(task(address, rectangle("dog", 0, 0, 50, 50)) for address in addresses))
    assert [sample.id for sample in dataset.samples] == ["a"]
    assert [what for what, _ in kinds(dataset)] == ["photo not found"] * 4


def test_which_annotation_counts(tmp_path: Path, make_photo) -> None:
    for name in "abcd":
        make_photo(f"{name}.jpg")

    def made(label: str, **more: Any) -> dict[str, Any]:
        return {"result": [rectangle(label, 0, 0, 50, 50)], **more}

    dataset = load(
        tmp_path,
        task("a.jpg") | {"annotations": [made("new", updated_at="2024-02"), made("old", updated_at="2024-01")]},
        task("b.jpg") | {"annotations": [made("true", ground_truth=True), made("new", updated_at="2024-02")]},
        task("c.jpg") | {"annotations": [made("new", was_cancelled=True)]},
        task("d.jpg") | {"annotations": [], "predictions": [made("guess")]},
    )
    assert dataset.classes == ("new", "true")
    assert [(sample.id, sample.labels.tolist()) for sample in dataset.samples] == [("a", [1]), ("b", [2])]
    assert [what for what, _ in kinds(dataset)] == [
        *["several annotations of one photo"] * 2,
        *["task not annotated"] * 2,
    ]


def test_labels_apart_from_their_regions(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    drawn = rectangle("", 0, 0, 50, 50, id="r1", type="rectangle")
    named = {"id": "r1", "type": "labels", "value": {"labels": ["dog"]}}
    dataset = load(tmp_path, task("a.jpg", drawn, named, {"type": "choices", "value": {"choices": ["good"]}}))
    assert (dataset.classes, dataset.samples[0].labels.tolist(), dataset.problems) == (("dog",), [1], ())


def place_left_out(sample) -> list[int]:
    rows, columns = np.nonzero(sample.ignored() == 255)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


@pytest.mark.parametrize(
    ("broken", "kind", "place"),
    [
        (rectangle("", 50, 50, 25, 20), "class missing", [20, 15, 30, 21]),
        (
            region("polygonlabels", "", {"points": [[50, 50], [75, 50], [50, 70]]}),
            "class missing",
            [20, 15, 29, 21],  # of the triangle
        ),
        (
            region("polygonlabels", "dog", {"points": [[50, 50], [75, 70]]}),
            "polygon of fewer than three points",
            [20, 15, 30, 21],
        ),
        (
            region("ellipselabels", "ant", {"x": 50, "y": 50, "radiusX": 25, "radiusY": 20}),
            "neither rectangle, polygon nor brush",
            [10, 9, 30, 21],
        ),
        (
            region("vectorlabels", "ant", {"vertices": [{"x": 50, "y": 50}, {"x": 75, "y": 70}]}),
            "neither rectangle, polygon nor brush",
            [20, 15, 30, 21],
        ),
        (
            region("keypointlabels", "ant", {"x": 50.1, "y": 50.1, "width": 0.1}),
            "neither rectangle, polygon nor brush",
            [20, 15, 21, 16],
        ),
    ],
)
def test_a_region_that_cannot_be_read_is_no_background(tmp_path: Path, make_photo, broken, kind, place) -> None:
    make_photo("a.jpg")
    dataset = load(tmp_path, task("a.jpg", rectangle("dog", 0, 0, 50, 50), broken))
    assert dataset.classes == ("dog",)
    (sample,) = dataset.samples
    assert sample.boxes.tolist() == [[0, 0, 20, 15]]
    assert kinds(dataset) == [(kind, "dropped")]
    assert place_left_out(sample) == place
    assert sample.ground_truth is None


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (rectangle("dog", 0, 0, "wide", 50), "not all numbers"),
        (rectangle("dog", 0, 0, float("nan"), 50), "not all numbers"),
        (rectangle("dog", 0, 0, 50, 50, image_rotation=90), "drawn on a photo that was turned in the editor"),
        (
            region("polygonlabels", "dog", {"points": [[1, 2], [3, 4], 5]}),
            "polygon without pairs of numbers",
        ),
        (region("polygonlabels", "dog", {}), "polygon of fewer than three points"),
        (region("brushlabels", "dog", {"format": "rle", "rle": [1, 2, 3]}), "brushed mask that ends too early"),
        (region("bitmasklabels", "dog", {"imageDataURL": "data:"}), "neither rectangle, polygon nor brush"),
    ],
)
def test_a_region_of_unknown_place_costs_the_photo(tmp_path: Path, make_photo, broken, kind) -> None:
    for name in "ab":
        make_photo(f"{name}.jpg")
    good = rectangle("dog", 0, 0, 50, 50)
    dataset = load(tmp_path, task("a.jpg", good, broken), task("b.jpg", good))
    assert [sample.id for sample in dataset.samples] == ["b"]
    assert kinds(dataset) == [(kind, "skipped")]
    assert "of a.jpg" in dataset.problems[0].what


def test_numbers_as_text_are_read(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    (sample,) = load(tmp_path, task("a.jpg", rectangle("dog", "50", "50", "25", "20"))).samples
    assert sample.boxes.tolist() == [[20, 15, 30, 21]]


def test_a_region_with_several_labels_keeps_the_first_and_names_all(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    several = rectangle("dog", 0, 0, 50, 50)
    several["value"]["rectanglelabels"] = ["dog", "small"]
    bare = rectangle("", 50, 50, 50, 50, id="r1", type="rectangle")
    named = [{"id": "r1", "type": "labels", "value": {"labels": [name]}} for name in ("cat", "large")]
    dataset = load(tmp_path, task("a.jpg", several, bare, *named))
    assert (dataset.classes, dataset.samples[0].labels.tolist()) == (("cat", "dog"), [2, 1])
    assert kinds(dataset) == [
        ("region with several labels", "kept as dog"),
        ("region with several labels", "kept as cat"),
    ]
    assert dataset.problems[0].detail == "rectanglelabels 1 (dog, small) of a.jpg"


def test_tasks_of_one_photo_are_joined(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    first, second = rectangle("dog", 0, 0, 50, 50), rectangle("cat", 50, 50, 50, 50)
    tasks = [
        task("/data/upload/1/3fa85f64-a.jpg", first),
        task("b.jpg", first),
        task("/data/upload/1/3fa85f64-a.jpg", second, first, rectangle("", 0, 50, 25, 50)),
    ]
    dataset = load(tmp_path, *tasks)
    a, b = dataset.samples
    assert (a.boxes.tolist(), a.labels.tolist()) == ([[0, 0, 20, 15], [20, 15, 40, 30]], [2, 1])
    assert (b.boxes.tolist(), place_left_out(a)) == ([[0, 0, 20, 15]], [0, 15, 10, 30])
    assert kinds(dataset) == [("class missing", "dropped"), ("several entries of one photo", "objects joined")]
    # The limit counts photos.
    assert load(tmp_path, *tasks, limit=1).samples[0].labels.tolist() == [2, 1]


def test_the_size_is_the_photos_where_none_is_stated(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg", width=20)
    bare = rectangle("dog", 50, 50, 50, 50)
    del bare["original_width"]
    dataset = load(tmp_path, task("a.jpg", bare), task("b.jpg", rectangle("dog", 0, 0, 50, 50)))
    assert dataset.samples[0].boxes.tolist() == [[20, 15, 40, 30]]
    assert kinds(dataset) == [("annotated size is not the photo's", "skipped")]


@pytest.mark.parametrize("names", [("a.jpg", "3fa85f64-a.jpg"), ("/data/upload/1/3fa85f64-a.jpg", "x/a.jpg")])
def test_a_photo_that_was_uploaded_once_more_is_joined(tmp_path: Path, make_photo, names) -> None:
    make_photo("a.jpg")
    boxes = [rectangle("cat", 0, 0, 50, 50), rectangle("cat", 50, 50, 50, 50)]
    dataset = load(tmp_path, *(task(name, box) for name, box in zip(names, boxes, strict=True)))
    (sample,) = dataset.samples
    assert sorted(sample.boxes.tolist()) == [[0, 0, 20, 15], [20, 15, 40, 30]]
    assert kinds(dataset) == [("several entries of one photo", "objects joined")]


def test_two_uploads_of_one_name_are_not(tmp_path: Path, make_photo) -> None:
    for name in ("a.jpg", "b.jpg"):
        make_photo(name)
    names = ("3fa85f64-a.jpg", "11111111-a.jpg", "b.jpg")
    dataset = load(tmp_path, *(task(name, rectangle("cat", 0, 0, 50, 50)) for name in names))
    assert [sample.id for sample in dataset.samples] == ["b"]
    assert [what for what, _ in kinds(dataset)] == ["one photo for several names"] * 2


def test_children_of_a_box_are_its_outlines(tmp_path: Path, make_photo) -> None:
    """Even where they fit another box of the class better."""
    make_photo("a.jpg")
    corners = [[10, 10], [30, 10], [30, 30], [20, 30], [20, 20], [10, 20]]
    drawn = [
        rectangle("cat", 0, 0, 90, 90, id="large"),
        rectangle("cat", 10, 10, 20, 20, id="small"),
        region("polygonlabels", "cat", {"points": corners}, id="p", parentID="large"),
        region("polygonlabels", "cat", {"points": [[x + 2, y] for x, y in corners]}, id="q", parentID="small"),
        region("polygonlabels", "dog", {"points": [[x + 50, y] for x, y in corners]}, id="r", parentID="large"),
    ]
    (sample,) = load(tmp_path, task("a.jpg", *drawn)).samples
    assert sample.annotation_ids == ("large", "small", "r")
    left = [min(instance.region[0][::2]) for instance in sample.instances]
    assert np.allclose(left, [4, 4.8, 24])

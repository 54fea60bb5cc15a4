"""Label Studio's JSON export, by files written as its documentation describes them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxseg import formats
from boxseg.config import Data
from boxseg.errors import DataError
from boxseg.formats.label_studio_brush import decode_brush, encode_brush

WIDTH, HEIGHT = 40, 30


def region(kind: str, label: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {
        **{"id": "x", "from_name": "tag", "to_name": "img", "type": kind, **sizes},
        "value": {**value, kind: [label]},
        **more,
    }


def rectangle(label: str, x: float, y: float, width: float, height: float, rotation: float = 0, **more: Any):
    sides = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return region("rectanglelabels", label, sides, **more)


def task(photo: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = {
        "id": 1,
        "was_cancelled": False,
        "ground_truth": False,
        "updated_at": "2024-01-01",
        "result": results,
    }
    return {"id": 7, "annotations": [made], "data": {"image": photo}, "predictions": [], **more}


def load(root: Path, *tasks: dict[str, Any], **options: Any):
    (root / "project-1-at-2024-01-01-00-00.json").write_text(json.dumps(tasks))
    return formats.load(Data(root=root, **options))


def kinds(dataset) -> list[tuple[str, str]]:
    return [(problem.kind, problem.action) for problem in dataset.problems]


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


class Bits:
    """A stream of bits, written."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, number: int, width: int) -> None:
        assert 0 <= number < 1 << width
        self.text += format(number, f"0{width}b")

    def bytes(self) -> list[int]:
        text = self.text + "0" * (-len(self.text) % 8)
        return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def brush_code(values: list[int], cuts: list[bool]) -> list[int]:
    """Values as runs, or one by one where `cuts` says so: both forms of the code."""
    stream, widths = Bits(), (3, 4, 8, 16)
    stream.put(len(values), 32)
    stream.put(8 - 1, 5)
    for width in widths:
        stream.put(width - 1, 4)
    place = number = 0
    while place < len(values):
        length = 1
        while place + length < len(values) and values[place + length] == values[place] and length < 1 << 16:
            length += 1
        single = cuts[number % len(cuts)]
        stream.put(int(not single), 1)
        choice = next(i for i, width in enumerate(widths) if length - 1 < 1 << width)
        stream.put(choice, 2)
        stream.put(length - 1, widths[choice])
        for _ in range(length if single else 1):
            stream.put(values[place], 8)
        place, number = place + length, number + 1
    return stream.bytes()


@settings(max_examples=60)
@given(st.data())
def test_brushed_masks_are_decoded(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    alpha = data.draw(
        st.lists(st.sampled_from([0, 0, 0, 255, 7]), min_size=width * height, max_size=width * height)
    )
    rgba = [value for pixel in alpha for value in ((190, 20, 3, pixel) if pixel else (0, 0, 0, 0))]
    code = brush_code(rgba, data.draw(st.lists(st.booleans(), min_size=1, max_size=4)))
    expected = np.array(alpha).reshape(height, width) > 0
    assert np.array_equal(decode_brush(code, width, height), expected)
    with pytest.raises(ValueError, match="another size"):
        decode_brush(code, width + 1, height)
    with pytest.raises(ValueError, match="ends too early"):
        decode_brush(code[:-4], width, height)


@settings(max_examples=40)
@given(st.data())
def test_brushed_masks_are_coded_as_the_editor_does(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height)))
    assert encode_brush(mask.reshape(height, width)) == brush_code((mask.repeat(4) * 255).tolist(), [False])


def test_long_runs_of_a_brushed_mask() -> None:
    """More than fit into one block of the code."""
    mask = np.zeros((300, 400), bool)
    mask[100:250] = True
    code = encode_brush(mask)
    assert code == brush_code((mask.ravel().repeat(4) * 255).tolist(), [False])
    assert np.array_equal(decode_brush(code, 400, 300), mask)


@pytest.mark.parametrize("code", [None, 5, "abc", [300], [-1], ["a"]])
def test_what_is_no_brush_code(code: Any) -> None:
    with pytest.raises(ValueError, match="without run-length code"):
        decode_brush(code, 4, 3)


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"data": ', "is not valid JSON"),
        ('[{"annotations": []}]', "task number 1 has no data.*not JSON-MIN"),
        ('["data"]', "task number 1 has no data"),
        ('[{"image": "/data/a.jpg", "id": 1, "label": [{"x": 1}]}]', "task number 1 has no data.*not JSON-MIN"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(DataError, match=message):
        formats.load(Data(root=tmp_path))


def test_splits_are_files(tmp_path: Path, make_photo) -> None:
    for name, label in (("train", "cat"), ("val", "ant")):
        make_photo(f"{name}/p.jpg")
        (tmp_path / f"{name}.json").write_text(
            json.dumps([task(f"{name}/p.jpg", rectangle(label, 0, 0, 9, 9))])
        )
    for split, label in (("train", 2), ("val", 1)):
        dataset = formats.load(Data(root=tmp_path, split=split))
        assert (dataset.format, dataset.classes) == ("label-studio", ("ant", "cat"))
        assert dataset.samples[0].labels.tolist() == [label]
        assert dataset.samples[0].image.parent.name == split


def test_coco_is_still_taken_for_coco(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps([{"image_id": 1, "category_id": 1, "score": 1}]))
    assert formats.load(Data(root=tmp_path)).format == "coco"


def test_files_of_single_annotations(tmp_path: Path, make_photo) -> None:
    """As target storages hold them, each with its task; the classes are those of all folders."""

    def put(name: str, photo: str, *results: dict[str, Any], **more: Any) -> None:
        owner = {"id": more.pop("task", 1), "data": {"image": photo}}
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"id": 1, "result": results, "was_cancelled": False, "task": owner, **more}))

    for name in "abc":
        make_photo(f"photos/{name}.jpg")
    put("train/1.json", "a.jpg", rectangle("dog", 0, 0, 50, 50), updated_at="2024")
    put("train/2.json", "a.jpg", rectangle("cat", 50, 50, 50, 50), updated_at="2025")
    put("train/3.json", "s3://bucket/b.jpg", rectangle("dog", 0, 0, 50, 50), task=2)
    put("val/4.json", "c.jpg", rectangle("emu", 0, 0, 50, 50), task=3)
    dataset = formats.load(Data(root=tmp_path))
    assert (dataset.format, dataset.classes) == ("label-studio", ("cat", "dog", "emu"))
    a, b = dataset.samples
    assert (a.labels.tolist(), a.boxes.tolist()) == ([1], [[20, 15, 40, 30]])  # the latest annotation
    assert (b.id, b.labels.tolist()) == ("b", [2])
    assert [sample.id for sample in formats.load(Data(root=tmp_path, split="val")).samples] == ["c"]
    with pytest.raises(DataError, match=r"no folder of split 'test' .*there are: train, val"):
        formats.load(Data(root=tmp_path, split="test"))
    for folder, name in (("train", "1"), ("train", "2"), ("val", "4")):
        (tmp_path / folder / f"{name}.json").unlink()
    assert [sample.id for sample in formats.load(Data(root=tmp_path)).samples] == ["b"]
    chosen = formats.load(Data(root=tmp_path, split="val", annotations=Path("train/3.json")))
    assert [sample.id for sample in chosen.samples] == ["b"]
    (tmp_path / "train" / "3.json").write_text('{"id": 1, "result": [], "task": 5}')
    with pytest.raises(DataError, match="an annotation without its task"):
        formats.load(Data(root=tmp_path))


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


def test_annotations_of_a_storage_without_a_suffix(tmp_path: Path, make_photo) -> None:
    for number, name in enumerate("ab", start=1):
        make_photo(f"{name}.jpg")
        result = [rectangle("cat", 0, 0, 50, 50)]
        own = {"id": number, "result": result, "task": {"id": number, "data": {"image": f"{name}.jpg"}}}
        (tmp_path / "out" / str(number)).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / str(number)).write_text(json.dumps(own))
    (tmp_path / "out" / "README").write_text("notes")
    dataset = formats.load(Data(root=tmp_path))
    assert (dataset.format, [sample.id for sample in dataset.samples]) == ("label-studio", ["a", "b"])
    assert dataset.problems == ()

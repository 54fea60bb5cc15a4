from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from boxseg.errors import DataError
from yolo_files import YAML, kinds, load

NEITHER = "neither a box (class cx cy w h) nor a polygon (class x0 y0 x1 y1 x2 y2 …)"


@pytest.fixture
def add(add_yolo):
    return add_yolo


def test_shares_become_pixels(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 1 1\n1 0.25 0.5 0.25 0.5\n\n")
    dataset = load(tmp_path)
    assert dataset.format == "yolo"
    assert dataset.classes == ("cat", "dog")
    sample = dataset.samples[0]
    assert sample.id == "a"
    assert sample.boxes.tolist() == [[0, 0, 40, 20], [5, 5, 15, 15]]
    assert sample.labels.tolist() == [1, 2]
    assert sample.ground_truth is None
    assert dataset.problems == ()


def test_polygons_give_boxes_and_ground_truth(tmp_path: Path, add) -> None:
    add("a", "1 0.25 0.25 0.75 0.25 0.75 0.75 0.5 0.75 0.5 0.5 0.25 0.5\n")
    add("empty", "")
    add("mixed", "1 0.25 0.25 0.75 0.25 0.75 0.75\n0 0.5 0.5 1 1\n")
    add("unlabelled", None)
    a, empty, mixed, unlabelled = load(tmp_path).samples
    assert a.boxes.tolist() == [[10, 5, 30, 15]]
    expected = np.zeros((20, 40), dtype=np.uint8)
    expected[5:10, 10:30] = expected[10:15, 20:30] = 2
    assert np.array_equal(a.ground_truth(), expected)
    assert not empty.ground_truth().any()
    assert mixed.ground_truth is None
    assert len(mixed.boxes) == 2
    assert unlabelled.ground_truth is None


def test_single_bad_items_are_listed_and_the_rest_is_read(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 0.5 0.5\n0 1 .5 .5 .5\n0 1.3 .5 .5 .5\n0 .5 .5 0 .5")
    for name, line in (
        ("short", "0 .5 .5"),
        ("odd", "0 .1 .1 .2 .2 .3 .3 .4"),
        ("words", "0 x .5 .5 .5"),
        ("pixels", "0 60 60 80 60"),
        ("nan", "0 nan .5 .5 .5"),
        ("fifth", "0 .5 .5 .5 .5 -3.5"),
    ):
        add(name, f"0 0.5 0.5 0.5 0.5\n{line}")
    add("no_labels", None)
    add("binary", "")
    (tmp_path / "labels" / "train" / "binary.txt").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "labels" / "train" / "alone.txt").write_text("")
    (tmp_path / "labels" / "train" / "classes.txt").write_text("cat\ndog\n")
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["a", "no_labels"]
    assert dataset.samples[0].boxes.tolist() == [[10, 5, 30, 15], [30, 5, 40, 15]]
    assert sorted(kinds(dataset)) == [
        ("a.txt", "box is empty or inverted", "dropped"),
        ("a.txt", "box is outside the photo", "dropped"),
        ("a.txt", "box sticks out of the photo", "clipped"),
        ("alone.txt", "annotation without photo", "skipped"),
        ("binary.txt", "label file cannot be read", "skipped"),
        ("fifth.txt", NEITHER, "skipped"),
        ("nan.txt", "not all numbers are finite", "skipped"),
        ("no_labels.txt", "image without label file", "kept as background"),
        ("odd.txt", NEITHER, "skipped"),
        ("pixels.txt", "numbers beyond 1, expected shares of the photo's width and height", "skipped"),
        ("short.txt", NEITHER, "skipped"),
        ("words.txt", "not all numbers", "skipped"),
    ]
    assert {problem.detail for problem in dataset.problems if problem.file.name == "odd.txt"} == {"line 2"}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("names: [cat, dog]\ntrain: images/train\n", ["a"]),
        ("names: {0: cat, 1: dog}\ntrain: images/train/\n", ["a"]),
        ("names: {'0': cat, '1': dog}\ntrain: ./images/train\n", ["a"]),
        ("names: [cat, dog]\npath: images\ntrain: train\n", ["a"]),
        ("names: [cat, dog]\npath: /another/machine\ntrain: images/train\n", ["a"]),
        ("names: [cat, dog]\ntrain: ../images/train\n", ["a"]),
        ("names: [cat, dog]\ntrain: [images/train, images/val]\n", ["train/a", "val/b"]),
        ("names: [cat, dog]\ntrain: images\n", ["train/a", "val/b"]),
        ("names: [cat, dog]\ntrain: list.txt\n", ["val/b", "train/a"]),
        ("names: [cat, dog]\ntrain: lists/list.txt\n", ["val/b", "train/a"]),
    ],
)
def test_ways_to_name_photos(tmp_path: Path, add, text: str, ids: list[str]) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    add("b", "0 0.5 0.5 0.5 0.5", folder="val")
    (tmp_path / "data.yaml").write_text(text)
    (tmp_path / "list.txt").write_text("./images/val/b.jpg\nimages/train/a.jpg\n\nimages/val/b.jpg\n")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text(f"./../images/val/b.jpg\n{tmp_path}/images/train/a.jpg\n")
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ids
    assert all(len(sample.boxes) == 1 for sample in dataset.samples)


def test_labels_may_lie_beside_photos(tmp_path: Path, make_photo) -> None:
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: photos\n")
    make_photo("photos/a.jpg").with_suffix(".txt").write_text("0 .5 .5 .5 .5")
    dataset = load(tmp_path)
    assert len(dataset.samples[0].boxes) == 1
    assert dataset.problems == ()


def test_names_with_gaps(tmp_path: Path, add) -> None:
    add("a", "7 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").write_text("names: {7: dog, 0: cat}\ntrain: images/train\n")
    dataset = load(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.samples[0].labels.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected keys names, train, val"),
        ("{", "cannot be read as YAML"),
        ("train: images/train", "expected names as a list"),
        ("names: cat\ntrain: images/train", "expected names as a list"),
        ("names: {a: cat}\ntrain: images/train", "expected names as a list"),
        ("names: [cat, cat]\ntrain: images/train", "two classes share a name"),
        ("names: [cat]\nval: images/val", r"no split 'train' \(there are: val\)"),
        (
            "names: [cat]\ntrain: images/trian",
            r"names images/trian, which is neither a folder nor a \.txt list",
        ),
        ("names: [cat]\ntrain: empty", "has no usable image: it lists none"),
    ],
)
def test_broken_descriptions_are_errors_that_name_the_fault(
    tmp_path: Path, add, text: str, message: str
) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_labels_elsewhere_are_not_a_data_set_of_empty_photos(tmp_path: Path, add) -> None:
    add("a", None)
    with pytest.raises(DataError, match="none of 1 photo of 'train' has labels"):
        load(tmp_path)


def test_split_is_suggested(tmp_path: Path, add) -> None:
    add("a", "")
    with pytest.raises(DataError, match="no split 'vall', did you mean 'val'"):
        load(tmp_path, split="vall")


def test_any_single_description_serves(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").rename(tmp_path / "pets.yaml")
    (tmp_path / "other.yaml").write_text("something: else\n")
    assert len(load(tmp_path)) == 1


@pytest.mark.parametrize("key", ["2", "0.5", "-1", "horse", "nan"])
def test_an_object_of_unknown_class_is_ignored_with_its_box(tmp_path: Path, add, key: str) -> None:
    add("a", f"{key} 0.25 0.5 0.25 0.5\n1 0.75 0.5 0.25 0.5")
    dataset = load(tmp_path)
    (sample,) = dataset.samples
    assert (sample.boxes.tolist(), sample.labels.tolist()) == ([[25, 5, 35, 15]], [2])
    assert sample.crowds.tolist() == [[5, 5, 15, 15]]
    expected = np.zeros((20, 40), np.uint8)
    expected[5:15, 5:15] = 255
    assert np.array_equal(pickle.loads(pickle.dumps(sample)).ignored(), expected)
    assert kinds(dataset) == [("a.txt", "class unknown", "ignored with its box")]


def test_a_polygon_of_unknown_class_leaves_no_ground_truth(tmp_path: Path, add) -> None:
    add("a", "1 0.25 0.25 0.75 0.25 0.75 0.75\n7 0.25 0.25 0.5 0.25 0.5 0.5")
    (sample,) = load(tmp_path).samples
    assert (len(sample.boxes), sample.ground_truth, sample.crowds.tolist()) == (1, None, [[10, 5, 20, 10]])


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("0 0.5 0.5 0.5 0.5 0.83", [10, 5, 30, 15]),
        ("0 0.5 0.5 0.5 0.5 1", [10, 5, 30, 15]),
        ("0 0.5 0.5 0.5 0.5 12", [10, 5, 30, 15]),  # the number of a track
        ("0 0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75 0.9", [10, 5, 20, 15]),  # a rotated box with a confidence
    ],
)
def test_a_confidence_is_not_read(tmp_path: Path, add, line: str, box: list[int]) -> None:
    add("a", f"{line}\n{line}")
    dataset = load(tmp_path)
    assert dataset.samples[0].boxes.tolist() == [box, box]
    assert kinds(dataset)[0] == ("a.txt", "a number more, as of a confidence", "kept without it")


@pytest.mark.parametrize(
    "line",
    ["0,0.5,0.5,0.5,0.5", "0, 0.5, 0.5, 0.5, 0.5", "0 0,5 0,5 0,5 0,5", "0, .5 , .5 ,.5, .5", "0\t,5 ,5 ,5 ,5"],
)
def test_commas_between_numbers_and_in_them(tmp_path: Path, add, line: str) -> None:
    add("a", line)
    dataset = load(tmp_path)
    assert dataset.samples[0].boxes.tolist() == [[10, 5, 30, 15]]
    assert kinds(dataset) == [("a.txt", "commas in numbers", "kept")]


def test_rotated_boxes_are_no_masks(tmp_path: Path, add) -> None:
    add("a", "0 0.2 0.2 0.5 0.3 0.45 0.7 0.15 0.6\n1 0.5 0.5 0.5 0.5")
    add("b", "1 0.25 0.25 0.75 0.3 0.7 0.75 0.3 0.7")
    add("empty", "")
    dataset = load(tmp_path)
    assert np.allclose(dataset.samples[0].boxes, [[6, 4, 20, 14], [10, 5, 30, 15]])
    assert dataset.samples[1].boxes.tolist() == [[10, 5, 30, 15]]
    assert not dataset.has_ground_truth
    action = "kept, as the upright boxes around them; no ground truth"
    assert kinds(dataset) == [("data.yaml", "rotated boxes", action)]  # one line a split
    assert dataset.problems[0].detail.startswith("2 of four corners in 2 label files")
    assert dataset.problems[0].detail.endswith("the first in a.txt")
    # Other polygons in the split say that four corners are an outline, too.
    add("c", "0 0.25 0.25 0.75 0.25 0.75 0.75")
    dataset = load(tmp_path)
    assert [sample.ground_truth is not None for sample in dataset.samples] == [False, True, True, True]
    assert dataset.problems == ()


def test_key_points_are_not_read(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 0.5 0.5 0.4 0.4 2 0.6 0.6 1")
    (tmp_path / "data.yaml").write_text(YAML + "kpt_shape: [2, 3]\n")
    dataset = load(tmp_path)
    assert (dataset.samples[0].boxes.tolist(), dataset.problems) == ([[10, 5, 30, 15]], ())
    assert not dataset.has_ground_truth


def test_hidden_files_are_ignored(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    for name in ("images/train/._a.jpg", "labels/train/._a.txt", "._data.yaml", "images/train/.cache/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    dataset = load(tmp_path)
    assert ([sample.id for sample in dataset.samples], dataset.problems) == (["a"], ())


@pytest.mark.parametrize("suffix", [".gif", ".mpo", ".webp", ".JPE", ".tif"])
def test_photos_of_other_suffixes(tmp_path: Path, add, suffix: str) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    photo = tmp_path / "images/train/a.jpg"
    photo.rename(photo.with_suffix(suffix))
    dataset = load(tmp_path)
    assert (dataset.samples[0].image.suffix, dataset.problems) == (suffix, ())


@pytest.mark.parametrize(
    "entry",
    [
        "/content/ds/images/train",
        "C:\\data\\images\\train",
        "../other/images/train/",
        "[/content/images/train]",
        "lists/train.txt",
    ],
)
@pytest.mark.parametrize(
    "line", ["/home/me/images/train/a.jpg", "D:\\x\\images\\train\\a.jpg", "data/train/A.JPG"]
)
def test_paths_of_another_machine(tmp_path: Path, add, entry: str, line: str) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    add("a", "1 0.5 0.5 0.5 0.5", folder="val")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train.txt").write_text(line)
    (tmp_path / "data.yaml").write_text(f"names: [cat, dog]\ntrain: {entry}\n")
    dataset = load(tmp_path)
    assert [(sample.id, sample.labels.tolist()) for sample in dataset.samples] == [("a", [1])]
    assert dataset.problems == ()


def test_the_folder_of_another_split_is_not_taken(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\ntrain: images/train\nval: ../valid/images\n")
    with pytest.raises(DataError, match=r"val names \.\./valid/images, which is neither a folder"):
        load(tmp_path, split="val")


def test_photos_that_are_not_there_are_what_is_missing(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\ntrain: train.txt\n")
    (tmp_path / "train.txt").write_text("/x/gone.jpg\nimages/train/lost.jpg\n")
    with pytest.raises(
        DataError, match=r"none of 2 photos of 'train' is there \(train\.txt names /x/gone\.jpg"
    ):
        load(tmp_path)
    (tmp_path / "train.txt").write_text("images/train/a.jpg\n/x/gone.jpg\n")
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["a"]
    assert kinds(dataset) == [("train.txt", "photo not found", "skipped")]


def test_labels_beside_photos_below_a_folder_called_images(tmp_path: Path, make_photo) -> None:
    root = tmp_path / "images" / "mine"
    make_photo("images/mine/photos/a.jpg").with_suffix(".txt").write_text("0 .5 .5 .5 .5")
    (root / "data.yaml").write_text("names: [cat]\ntrain: photos\n")
    assert len(load(root).samples[0].boxes) == 1

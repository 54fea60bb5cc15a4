from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError

YAML = "names: [cat, dog]\ntrain: images/train\nval: images/val\n"


@pytest.fixture
def add(tmp_path: Path, make_photo):
    (tmp_path / "data.yaml").write_text(YAML)

    def one(name: str, text: str | None, folder: str = "train") -> None:
        make_photo(f"images/{folder}/{name}.jpg", width=40, height=20)
        path = tmp_path / "labels" / folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)

    return one


def load(root: Path, **options) -> BoxDataset:
    return formats.load(Data(root=root, **options))


def kinds(dataset: BoxDataset) -> list[tuple[str, str, str]]:
    return [(problem.file.name, problem.kind, problem.action) for problem in dataset.problems]


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
    lines = [
        "0 0.5 0.5 0.5 0.5",
        "2 .5 .5 .5 .5",
        "0 .5 .5",
        "0 x .5 .5 .5",
        "0 .5 .5 .5 .5 .9",
        "0 1 .5 .5 .5",
    ]
    lines += ["0 2 .5 .5 .5", "0 .5 .5 0 .5", "0.5 .5 .5 .5 .5"]
    add("a", "\n".join(lines))
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
        ("a.txt", "class unknown", "dropped"),
        ("a.txt", "class unknown", "dropped"),
        ("a.txt", "neither a box (class cx cy w h) nor a polygon (class x0 y0 x1 y1 x2 y2 …)", "dropped"),
        ("a.txt", "neither a box (class cx cy w h) nor a polygon (class x0 y0 x1 y1 x2 y2 …)", "dropped"),
        ("a.txt", "not all numbers", "dropped"),
        ("alone.txt", "annotation without photo", "skipped"),
        ("binary.txt", "label file cannot be read", "skipped"),
        ("no_labels.txt", "image without label file", "kept as background"),
    ]


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
    with pytest.raises(DataError, match="none of 1 photos of 'train' has labels"):
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

"""Photos that EXIF turns: boxes, outlines and the photo itself are in one frame, whatever the format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.dataset import BoxDataset, Sample, Turned
from boxseg.formats.images import sample_image
from boxseg.formats.masks import read_mask
from turned_photos import frame_size, is_red, outline, save_turned

Points = list[tuple[float, float]]
Entry = tuple[str, Points, tuple[int, int] | None]  # photo, outline, stated size
Writer = Callable[[Path, Iterable[Entry]], None]

SIDEWAYS, SAME_SIZE = (5, 6, 7, 8), (2, 3, 4)


def bounds(points: Points) -> tuple[float, float, float, float]:
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def write_coco(root: Path, entries: Iterable[Entry], **more: Any) -> None:
    images, annotations = [], []
    for number, (name, points, size) in enumerate(entries, start=1):
        stated = {"width": size[0], "height": size[1]} if size else {}
        images.append({"id": number, "file_name": name, **stated})
        x1, y1, x2, y2 = bounds(points)
        found = {"bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": [[v for point in points for v in point]]}
        annotations.append({"id": number, "image_id": number, "category_id": 1, **found})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}], **more}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))


def write_voc(root: Path, entries: Iterable[Entry]) -> None:
    for name, points, size in entries:
        stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
        x1, y1, x2, y2 = bounds(points)
        box = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        text = f"<annotation>{stated}<object><name>dog</name><bndbox>{box}</bndbox></object></annotation>"
        (root / name).with_suffix(".xml").write_text(text)


def write_cvat(root: Path, entries: Iterable[Entry]) -> None:
    nodes = []
    for name, points, size in entries:
        corners = ";".join(f"{x},{y}" for x, y in points)
        stated = f'width="{size[0]}" height="{size[1]}"' if size else ""
        nodes.append(f'<image name="{name}" {stated}><polygon label="dog" points="{corners}"/></image>')
    (root / "annotations.xml").write_text(f"<annotations>{''.join(nodes)}</annotations>")


def write_label_studio(root: Path, entries: Iterable[Entry]) -> None:
    tasks = []
    for name, points, size in entries:
        assert size is not None
        stated = {"original_width": size[0], "original_height": size[1]}
        shares = [[100 * x / size[0], 100 * y / size[1]] for x, y in points]
        value = {"points": shares, "polygonlabels": ["dog"]}
        result = {"type": "polygonlabels", "value": value, **stated}
        tasks.append({"data": {"image": name}, "annotations": [{"result": [result]}]})
    (root / "train.json").write_text(json.dumps(tasks))


def write_labelme(root: Path, entries: Iterable[Entry]) -> None:
    for name, points, size in entries:
        stated = {"imageWidth": size[0], "imageHeight": size[1]} if size else {}
        shape = {"label": "dog", "points": points, "shape_type": "polygon"}
        content = {"imagePath": name, "shapes": [shape], **stated}
        (root / name).with_suffix(".json").write_text(json.dumps(content))


def write_yolo(root: Path, entries: Iterable[Entry]) -> None:
    (root / "data.yaml").write_text("names: [dog]\ntrain: .\n")
    for name, points, size in entries:
        assert size is not None
        shares = " ".join(f"{x / size[0]} {y / size[1]}" for x, y in points)
        (root / name).with_suffix(".txt").write_text(f"0 {shares}\n")


WRITERS: dict[str, Writer] = {
    "coco": write_coco,
    "voc": write_voc,
    "cvat": write_cvat,
    "label-studio": write_label_studio,
    "labelme": write_labelme,
    "yolo": write_yolo,
}
TELLING = sorted(WRITERS.keys() - {"yolo"})  # formats that state sizes


def write(name: str, root: Path, turn: int, *, as_stored: bool) -> None:
    save_turned(root / "a.jpg", turn)
    entry = ("a.jpg", outline(turn, as_stored=as_stored), frame_size(turn, as_stored=as_stored))
    WRITERS[name](root, [entry])


def load(root: Path, **options: Any) -> BoxDataset:
    return formats.load(Data(root=root, **options))


def check(sample: Sample, turn: int, *, as_stored: bool) -> None:
    """The box is around the object that the photo shows, and the outline is that object."""
    size = frame_size(turn, as_stored=as_stored)
    assert (sample.width, sample.height) == size
    assert sample.as_stored == (as_stored and turn != 1)
    np.testing.assert_allclose(sample.boxes, [bounds(outline(turn, as_stored=as_stored))], atol=1e-9)
    photo = sample_image(sample)
    assert photo.shape == (size[1], size[0], 3)
    x1, y1, x2, y2 = sample.boxes[0].round().astype(int)
    rows, columns = np.nonzero(is_red(photo))
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x1, y1, x2, y2)
    if sample.ground_truth is not None:
        np.testing.assert_array_equal(sample.ground_truth(), is_red(photo))


@pytest.mark.parametrize("as_stored", [False, True])
@pytest.mark.parametrize("turn", [1, *SIDEWAYS])
@pytest.mark.parametrize("name", TELLING)
def test_the_stated_size_tells_the_frame(tmp_path: Path, name: str, turn: int, as_stored: bool) -> None:
    write(name, tmp_path, turn, as_stored=as_stored)
    dataset = load(tmp_path)
    assert dataset.format == name
    check(dataset.samples[0], turn, as_stored=as_stored)
    assert (dataset.samples[0].ground_truth is None) == (name == "voc")
    assert dataset.problems == ()
    assert dataset.turned == ((Turned(as_stored, "size", 1),) if turn != 1 else ())


@pytest.mark.parametrize("as_stored", [False, True])
@pytest.mark.parametrize("turn", [*SAME_SIZE, *SIDEWAYS])
@pytest.mark.parametrize("name", WRITERS)
def test_the_option_tells_the_frame(tmp_path: Path, name: str, turn: int, as_stored: bool) -> None:
    write(name, tmp_path, turn, as_stored=as_stored)
    dataset = load(tmp_path, exif="ignore" if as_stored else "apply")
    check(dataset.samples[0], turn, as_stored=as_stored)
    assert dataset.turned == (Turned(as_stored, "option", 1),)
    assert dataset.problems == ()


@pytest.mark.parametrize("turn", [*SAME_SIZE, 6])
@pytest.mark.parametrize("name", WRITERS)
def test_upright_where_nothing_tells(tmp_path: Path, name: str, turn: int) -> None:
    save_turned(tmp_path / "a.jpg", turn)
    size = None if turn == 6 and name in ("coco", "voc", "cvat", "labelme") else (48, 30)
    WRITERS[name](tmp_path, [("a.jpg", outline(turn, as_stored=False), size)])
    dataset = load(tmp_path)
    check(dataset.samples[0], turn, as_stored=False)
    told = name == "label-studio" and turn == 6  # its size is stated
    assert dataset.turned == (Turned(False, "size" if told else "nothing", 1),)


@pytest.mark.parametrize("as_stored", [False, True])
def test_boxes_tell_where_only_one_frame_holds_them(tmp_path: Path, as_stored: bool) -> None:
    """Without stated sizes, and where the object reaches beyond the shorter side."""
    save_turned(tmp_path / "a.jpg", 6, (30, 70))
    points = [(5.0, 40.0), (20.0, 40.0), (20.0, 69.0), (5.0, 69.0)]
    stored = [(y, 30 - x) for x, y in points]
    write_voc(tmp_path, [("a.jpg", stored if as_stored else points, None)])
    dataset = load(tmp_path)
    assert dataset.samples[0].boxes.tolist() == [[40, 10, 69, 25] if as_stored else [5, 40, 20, 69]]
    assert dataset.turned == (Turned(as_stored, "boxes", 1),)
    assert dataset.problems == ()


@pytest.mark.parametrize("as_stored", [False, True])
@pytest.mark.parametrize("size", [(48, 30), (36, 36)])
def test_most_others_tell_the_frame_of_photos_of_one_size(tmp_path: Path, as_stored: bool, size) -> None:
    """Of square ones and those upside down; the minority of those that tell keeps its own frame."""
    turns = {"a": (6, as_stored), "b": (8, as_stored), "c": (6, not as_stored)}
    entries: list[Entry] = []
    for name, (turn, own) in turns.items():
        save_turned(tmp_path / f"{name}.jpg", turn)
        entries.append((f"{name}.jpg", outline(turn, as_stored=own), frame_size(turn, as_stored=own)))
    turn = 3 if size == (48, 30) else 6
    save_turned(tmp_path / "d.jpg", turn, size)
    entries.append(("d.jpg", outline(turn, as_stored=as_stored, size=size), size))
    write_coco(tmp_path, entries)
    dataset = load(tmp_path)
    for sample, (turned, own) in zip(dataset.samples, turns.values(), strict=False):
        check(sample, turned, as_stored=own)
    other = dataset.samples[3]
    assert other.as_stored == as_stored
    assert other.ground_truth is not None
    np.testing.assert_array_equal(other.ground_truth(), is_red(sample_image(other)))
    assert set(dataset.turned) == {
        Turned(as_stored, "size", 2),
        Turned(not as_stored, "size", 1),
        Turned(as_stored, "others", 1),
    }
    (problem,) = dataset.problems
    assert problem.kind == "photos that EXIF turns were annotated in two frames"
    stored = 2 if as_stored else 1
    assert problem.detail == f"{stored} on the stored pixels, {3 - stored} on the upright photo"


def as_label_studio_exports(root: Path, count: int, **more: Any) -> None:
    """The stored size of photos that were annotated upright; only the first has a box that tells."""
    entries: list[Entry] = []
    for place in range(count):
        save_turned(root / f"{place}.jpg", 6, (30, 60))
        lower = 55.0 if place == 0 else 25.0
        points = [(6.0, 4.0), (14.0, 4.0), (14.0, lower), (6.0, lower)]
        entries.append((f"{place}.jpg", points, (60, 30)))
    write_coco(root, entries, **more)


def test_boxes_refute_stated_sizes(tmp_path: Path) -> None:
    """https://github.com/HumanSignal/label-studio/issues/6608"""
    as_label_studio_exports(tmp_path, 3)
    dataset = load(tmp_path)
    assert [(sample.width, sample.height) for sample in dataset.samples] == [(30, 60)] * 3
    assert [sample.boxes.tolist() for sample in dataset.samples] == [[[6, 4, 14, 55]], *[[[6, 4, 14, 25]]] * 2]
    assert set(dataset.turned) == {Turned(False, "boxes", 1), Turned(False, "others", 2)}
    refuted, *rest = dataset.problems
    assert refuted.kind == "stated size is not that of the boxes' frame"
    assert "60 x 30 for 0.jpg" in refuted.detail
    assert all("outline" in problem.kind for problem in rest)  # these are the corners of their boxes


def test_sizes_of_label_studio_say_nothing(tmp_path: Path) -> None:
    as_label_studio_exports(tmp_path, 2, info={"contributor": "Label Studio"})
    content = json.loads((tmp_path / "annotations" / "instances_train.json").read_text())
    content["annotations"], content["images"] = content["annotations"][1:], content["images"][1:]
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(content))
    dataset = load(tmp_path)
    assert dataset.samples[0].boxes.tolist() == [[6, 4, 14, 25]]
    assert (dataset.samples[0].width, dataset.turned) == (30, (Turned(False, "nothing", 1),))


def test_sizes_of_neither_frame_are_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        save_turned(tmp_path / name, 6)
    points = outline(6, as_stored=True)
    write_voc(tmp_path, [("a.jpg", points, (48, 31)), ("b.jpg", points, (30, 48))])
    for exif in ("auto", "apply", "ignore"):
        dataset = load(tmp_path, exif=exif)
        assert [sample.id for sample in dataset.samples] == ["b"]
        assert ("annotated size is not the photo's", "skipped") in {
            (p.kind, p.action) for p in dataset.problems
        }


@pytest.mark.parametrize("exif", ["auto", "apply", "ignore"])
def test_regions_of_label_studio_without_sizes_are_shares_of_the_frame(tmp_path: Path, exif: str) -> None:
    save_turned(tmp_path / "a.jpg", 6)
    value = {"x": 10, "y": 20, "width": 50, "height": 40, "rectanglelabels": ["dog"]}
    task = {
        "data": {"image": "a.jpg"},
        "annotations": [{"result": [{"type": "rectanglelabels", "value": value}]}],
    }
    (tmp_path / "train.json").write_text(json.dumps([task]))
    (sample,) = load(tmp_path, exif=exif).samples
    width, height = (30, 48) if exif == "ignore" else (48, 30)
    assert (sample.width, sample.height) == (width, height)
    np.testing.assert_allclose(sample.boxes, [[0.1 * width, 0.2 * height, 0.6 * width, 0.6 * height]])


def test_coco_comes_back_in_the_frame_of_its_boxes(tmp_path: Path) -> None:
    save_turned(tmp_path / "data" / "a.jpg", 6)
    points = outline(6, as_stored=True)
    write_coco(tmp_path / "data", [("a.jpg", points, (30, 48))])
    assert execute(["label", f"data={tmp_path}/data", f"out={tmp_path}/out", "method=box", "crf=false"]) == 0
    content = json.loads((tmp_path / "out" / "masks.json").read_text())
    (image,), (annotation,) = content["images"], content["annotations"]
    assert (image["width"], image["height"]) == (30, 48)
    assert annotation["segmentation"]["size"] == [48, 30]
    x1, y1, x2, y2 = map(int, bounds(points))
    expected = np.zeros((48, 30), np.uint8)
    expected[y1:y2, x1:x2] = 1
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "labels" / "a.png"), expected)


def test_yolo_boxes_on_stored_pixels_need_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`doctor` counts the photo and says how it is read; the option gives the labels of the stored pixels."""
    write("yolo", tmp_path / "data", 6, as_stored=True)
    words = [f"data={tmp_path}/data", "data.split=train"]
    assert execute(["doctor", *words]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "images turned by exif 1" in said.replace("│", "").replace("  ", " ")
    assert "Turned by EXIF: 1 photo, read upright, as most tools show them" in said
    assert "data.exif=ignore" in said
    assert execute(["doctor", *words, "exif=ignore"]) == 0
    assert "Turned by EXIF: 1 photo, read as their pixels are stored, by data.exif" in " ".join(
        capsys.readouterr().out.split()
    )
    options = [*words, f"out={tmp_path}/out", "method=box", "crf=false", "exif=ignore"]
    assert execute(["label", *options]) == 0
    made = read_mask(tmp_path / "out" / "labels" / "a.png")
    assert made.shape == (48, 30)
    assert {tuple(place) for place in np.argwhere(made)} >= {
        (int(y), int(x))
        for y, x in np.argwhere(is_red(sample_image(load(tmp_path / "data", exif="ignore").samples[0])))
    }
    capsys.readouterr()
    assert execute(["convert", f"{tmp_path}/out", f"{tmp_path}/coco", "format=coco"]) == 0
    assert "boxes and labels are of the stored pixels" in " ".join(capsys.readouterr().out.split())

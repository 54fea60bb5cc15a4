"""Corrections from the report, as files of its page: label, correct, label again, segment, convert."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.end_to_end.conftest import Command

from boxseg import formats
from boxseg.config import Data
from boxseg.data.box_masks import ellipse_mask, object_windows
from boxseg.dataset import IGNORE, BoxDataset, Correction, Sample
from boxseg.formats.coco_results import decode_window
from boxseg.formats.masks import read_mask
from correction_files import save_corrections

FEW = ("scores=false", "label.crf.iterations=2", "workers=0")
APPLIED = "applied-corrections.json"


@pytest.fixture(scope="module")
def dataset(toy: Path) -> BoxDataset:
    return formats.load(Data(root=toy))


@pytest.fixture(scope="module")
def several(dataset: BoxDataset) -> list[Sample]:
    """Three photos of two boxes and more."""
    return [sample for sample in dataset.samples if len(sample.labels) > 1][:3]


def contents(folder: Path, *patterns: str) -> dict[str, bytes]:
    files = [file for pattern in patterns for file in folder.glob(pattern)]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def of_photos(folder: Path) -> dict[str, bytes]:
    return contents(folder, "*/*.png", "masks/*.json")


def masks_of(folder: Path, sample: Sample) -> list[dict[str, Any]]:
    content = json.loads((folder / "masks.json").read_text())
    numbers = {image["file_name"]: image["id"] for image in content["images"]}
    own = numbers[sample.image.name]
    return [entry for entry in content["annotations"] if entry["image_id"] == own]


@dataclass(frozen=True, kw_only=True)
class Trip:
    """Labels before and after corrections: an ellipse, a box left out, one to be redrawn, a wrong photo.

    Attributes:
        out: The folder of the labels.
        words: The command with the corrections, and `plain` without.
        before: The files of the photos before, and `masks` was masks.json.
        times: When the labels of each photo were written.
        said: What the command with the corrections said.
    """

    out: Path
    words: tuple[str, ...]
    plain: tuple[str, ...]
    before: dict[str, bytes]
    masks: dict[str, Any]
    times: dict[str, int]
    said: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def trip(
    toy: Path,
    dataset: BoxDataset,
    several: list[Sample],
    boxseg: Command,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trip:
    folder, (one, two, three) = tmp_path_factory.mktemp("trip"), several
    out = folder / "l"
    plain = ("label", f"data={toy}", f"out={out}", *FEW)
    boxseg(*plain)
    before, masks = of_photos(out), json.loads((out / "masks.json").read_text())
    times = {file.stem: file.stat().st_mtime_ns for file in out.glob("labels/*.png")}
    boxes: dict[str, dict[int, Correction]] = {one.id: {0: "ellipse", 1: "leave-out"}, two.id: {1: "redraw"}}
    file = save_corrections(folder / "corrections.json", dataset, boxes, three.id)
    words = (*plain, f"corrections={file}")
    planned = boxseg(*words, "dry_run=true")
    assert "2 photos, about" in planned.stdout
    assert of_photos(out) == before
    said = boxseg(*words)
    return Trip(out=out, words=words, plain=plain, before=before, masks=masks, times=times, said=said)


def test_only_the_touched_photos_are_labelled_again(trip: Trip, several: list[Sample], boxseg: Command) -> None:
    touched = {several[0].id, several[1].id}
    assert "2 photos with other content, boxes or corrections than" in trip.said.stderr
    assert "labels of 8 of 10 photos are there already" in trip.said.stderr
    after = of_photos(trip.out)
    assert {Path(name).stem for name in after if after[name] != trip.before[name]} == touched
    times = {file.stem: file.stat().st_mtime_ns for file in trip.out.glob("labels/*.png")}
    assert {name for name, time in times.items() if time != trip.times[name]} == touched
    again = boxseg(*trip.words)
    assert "labels of 10 of 10 photos are there already" in again.stderr
    assert of_photos(trip.out) == after


def test_labels_and_masks_are_the_corrected_ones(
    trip: Trip, dataset: BoxDataset, several: list[Sample]
) -> None:
    """masks.json has the ellipse, not the box left out, and the mask that is to be redrawn as it was."""
    one, two, _ = several
    check_labels(trip.out, one, two)
    boxes = sum(len(sample.labels) for sample in dataset.samples)
    text = " ".join(trip.said.stdout.split())
    assert f"({boxes - 1} for {boxes} boxes; 1 box left out by corrections)" in text
    assert "(1 mask by ellipse, 1 box left out, 1 mask to be redrawn, 1 photo that segment leaves out)" in text
    kept = masks_of(trip.out, one)
    assert len(kept) == len(one.labels) - 1
    assert (kept[0]["source"], kept[0]["score"]) == ("ellipse", 1.0)
    counts = json.loads((trip.out / "mask-counts.json").read_text())
    content = json.loads((trip.out / "masks.json").read_text())
    assert counts["all"]["boxes"] == boxes - 1 == len(content["annotations"])
    number = masks_of(trip.out, two)[0]["image_id"]
    old = [entry["segmentation"] for entry in trip.masks["annotations"] if entry["image_id"] == number]
    assert [entry["segmentation"] for entry in masks_of(trip.out, two)] == old


def test_a_training_and_what_is_to_be_redrawn(
    trip: Trip, toy: Path, several: list[Sample], miniature: tuple[str, ...], boxseg: Command, tmp_path: Path
) -> None:
    """What is left to do by hand comes back as true masks, also of the photo that is wrong."""
    _, two, three = several
    boxseg("report", trip.out, f"out={tmp_path}/page.html")
    small = [word for word in miniature if not word.startswith(("adapt", "classify", "label"))]
    words = ("segment", *small, f"labels={trip.out}", f"data={toy}", "scores=false")
    trained = boxseg(*words, f"out={tmp_path}/s")
    assert "segment: left out: 1 image, wrong by corrections" in trained.stderr
    assert "segment: 9 images" in trained.stderr
    names = [json.loads(line)["id"] for line in (tmp_path / "s" / "provenance.jsonl").read_text().splitlines()]
    assert three.id not in names
    assert len(names) == 9
    boxseg("convert", trip.out, tmp_path / "cvat", "format=cvat", "redraw=true")
    sent = {path.stem for path in (tmp_path / "cvat" / "images" / "train").iterdir()}
    assert sent == {two.id, three.id}
    mixed = boxseg(*words, f"strong={tmp_path}/cvat/train.xml", f"out={tmp_path}/t")
    assert "2 images with true masks, 8 with labels" in mixed.stderr
    assert "call wrong" not in mixed.stderr


def test_without_the_file_all_is_as_it_was(trip: Trip, boxseg: Command) -> None:
    corrected = of_photos(trip.out)
    assert (trip.out / APPLIED).is_file()
    back = boxseg(*trip.plain)
    assert "there are no corrections now: those that were made before are taken back" in back.stderr
    assert "2 photos with other content, boxes or corrections than" in back.stderr
    assert of_photos(trip.out) == trip.before
    assert json.loads((trip.out / "masks.json").read_text()) == trip.masks
    assert not (trip.out / APPLIED).exists()
    boxseg(*trip.words)
    assert of_photos(trip.out) == corrected


def check_labels(out: Path, one: Sample, two: Sample) -> None:
    """The ellipse counts wherever no smaller mask lies on it; both labels agree; the others are unknown."""
    windows = object_windows(one.boxes, one.height, one.width)
    labels, reliable, sure = (
        read_mask(out / part / f"{one.id}.png") for part in ("labels", "reliable", "confidence")
    )
    pieces = json.loads((out / "masks" / f"{one.id}.json").read_text())
    assert [piece.get("corrected") for piece in pieces[:2]] == ["ellipse", "leave-out"]
    (left, top, right, bottom), others = windows[0], np.zeros((one.height, one.width), bool)
    for window, piece in zip(windows[1:], pieces[1:], strict=True):
        mask, x, y = decode_window(piece["segmentation"])
        others[y : y + mask.shape[0], x : x + mask.shape[1]] |= mask
        others[window[1] : window[3], window[0] : window[2]] |= piece.get("corrected") == "leave-out"
    chosen = np.zeros_like(others)
    chosen[top:bottom, left:right] = ellipse_mask(one.boxes[0], windows[0])
    chosen &= ~others
    assert chosen.sum() > 20
    assert (labels[chosen] == one.labels[0]).all()
    assert (reliable[chosen] == 255).all()
    assert (sure[chosen] == 255).all()
    for sample, place in ((one, 1), (two, 1)):
        left, top, right, bottom = object_windows(sample.boxes, sample.height, sample.width)[place]
        area = read_mask(out / "labels" / f"{sample.id}.png")[top:bottom, left:right]
        assert (area == IGNORE).mean() > 0.3
        assert ((area == IGNORE) | (area != sample.labels[place])).all() or len(
            set(sample.labels.tolist())
        ) == 1


@pytest.mark.parametrize("devices", [1, 2])
def test_several_processes_make_the_same(
    devices: int, toy: Path, dataset: BoxDataset, several: list[Sample], boxseg: Command, tmp_path: Path
) -> None:
    every = {sample.id: dict.fromkeys(range(len(sample.labels)), "ellipse") for sample in several}
    file = save_corrections(tmp_path / "c.json", dataset, every)
    words = ("label", f"data={toy}", "method=box", "crf=false", "scores=false")
    boxseg(*words, f"out={tmp_path}/n", f"corrections={file}", f"devices={devices}", "accelerator=cpu")
    boxseg("label", f"data={toy}", "method=ellipse", "crf=false", "scores=false", f"out={tmp_path}/e")
    # With the ellipse for every box, labels and masks are those of that method; only people are surer.
    for sample in several:
        for part in ("labels", "reliable"):
            name = f"{part}/{sample.id}.png"
            assert (tmp_path / "n" / name).read_bytes() == (tmp_path / "e" / name).read_bytes()
        theirs = masks_of(tmp_path / "e", sample)
        assert masks_of(tmp_path / "n", sample) == theirs


def test_a_mask_that_somebody_chose_need_not_be_looked_at(
    toy: Path, dataset: BoxDataset, several: list[Sample], boxseg: Command, tmp_path: Path
) -> None:
    one = several[0]
    words = ("label", f"data={toy}", f"out={tmp_path}/l", "method=box", "crf=false", "scores=false")
    boxseg(*words)
    counts = json.loads((tmp_path / "l" / "mask-counts.json").read_text())["all"]
    assert counts["full"] == counts["doubtful"] == counts["boxes"]
    dos = {0: "box", 1: "redraw"}
    boxseg(*words, f"corrections={save_corrections(tmp_path / 'c.json', dataset, {one.id: dos})}")
    after = json.loads((tmp_path / "l" / "mask-counts.json").read_text())["all"]
    assert after == {**counts, "full": counts["full"] - 1, "doubtful": counts["doubtful"] - 1}
    page = boxseg("report", tmp_path / "l")
    assert page.returncode == 0
    assert "to be redrawn, fills box" in (tmp_path / "l" / "report.html").read_text()


def test_overwrite_a_copy_and_a_whole_photo_at_once(
    toy: Path, dataset: BoxDataset, several: list[Sample], boxseg: Command, tmp_path: Path
) -> None:
    """Also from the copy in the run folder, which overwrite=true removes."""
    out = tmp_path / "l"
    words = ("label", f"data={toy}", f"out={out}", "method=ellipse", "crf=false", "scores=false")
    file = save_corrections(tmp_path / "c.json", dataset, {several[0].id: {0: "leave-out"}}, several[1].id)
    boxseg(*words, f"corrections={file}")
    first = contents(out, "*/*.png", "*.json")
    boxseg(*words, f"corrections={out / APPLIED}", "overwrite=true")
    second = contents(out, "*/*.png", "*.json")
    assert first == second


def test_all_photos_wrong_is_refused(
    toy: Path,
    dataset: BoxDataset,
    miniature: tuple[str, ...],
    boxseg: Command,
    tmp_path: Path,
) -> None:
    words = ("label", f"data={toy}", f"out={tmp_path}/l", "method=ellipse", "crf=false", "scores=false")
    every = [sample.id for sample in dataset.samples]
    boxseg(*words, f"corrections={save_corrections(tmp_path / 'c.json', dataset, {}, *every)}")
    segment = [word for word in miniature if not word.startswith(("adapt", "classify", "label"))]
    for labels in (tmp_path / "l", tmp_path / "l" / "labels"):
        refused = boxseg(
            "segment", *segment, f"labels={labels}", f"data={toy}", f"out={tmp_path}/s", check=False
        )
        assert refused.returncode == 2
        assert "corrections call 10 of 10 images of split train wrong" in refused.stderr


def test_a_photo_of_the_other_split_is_left_aside(
    toy: Path, dataset: BoxDataset, boxseg: Command, tmp_path: Path
) -> None:
    words = ("label", f"data={toy}", "method=ellipse", "crf=false", "scores=false")
    file = save_corrections(tmp_path / "c.json", dataset, {}, "val_0000", "train_0000")
    done = boxseg(*words, f"out={tmp_path}/l", f"corrections={file}")
    assert "corrections of 1 photo of split val left aside" in done.stderr
    done = boxseg(*words, f"out={tmp_path}/v", "data.split=val", f"corrections={file}")
    assert "corrections of 1 photo of split train left aside" in done.stderr
    gone = save_corrections(tmp_path / "c.json", dataset, {}, "test_0000")
    done = boxseg(*words, f"out={tmp_path}/l", f"corrections={gone}", check=False)
    assert done.returncode == 2
    assert "photo 'test_0000' is not in split train or val of" in done.stderr


def test_run_passes_corrections_on(
    toy: Path,
    dataset: BoxDataset,
    several: list[Sample],
    miniature: tuple[str, ...],
    boxseg: Command,
    tmp_path: Path,
) -> None:
    """Where the network was trained with other labels before, the labels are corrected, but not the network."""
    file = save_corrections(tmp_path / "c.json", dataset, {several[0].id: {0: "leave-out"}}, several[1].id)
    words = ("run", f"data={toy}", *miniature, "adapt=false", "label.method=ellipse", "scores=false")
    corrected = (*words, f"label.corrections={file}")
    planned = boxseg(*corrected, f"out={tmp_path}/r", "dry_run=true")
    assert "10 photos, about" in planned.stdout
    done = boxseg(*corrected, f"out={tmp_path}/r")
    assert "left out: 1 image, wrong by corrections" in done.stderr
    assert (tmp_path / "r" / "label" / APPLIED).is_file()
    boxseg(*words, f"out={tmp_path}/b")
    refused = boxseg(*corrected, f"out={tmp_path}/b", check=False)
    assert refused.returncode == 2
    assert f"{tmp_path}/b/segment holds a training on other photos, boxes or labels" in refused.stderr
    assert of_photos(tmp_path / "b" / "label") == of_photos(tmp_path / "r" / "label")

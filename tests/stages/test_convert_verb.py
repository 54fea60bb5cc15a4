"""`boxseg convert` as users type it, on the demo set with its ground truth as labels."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import boxseg
from boxseg import formats
from boxseg.atomic import atomic_path
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.data.box_masks import object_windows
from boxseg.data.toy import write_toy
from boxseg.formats.box_masks import box_mask, write_box_masks
from boxseg.formats.masks import read_mask, write_grey, write_mask
from boxseg.formats.writers import OVERLAPPING
from boxseg.jobs import LabelJob
from boxseg.options import to_yaml
from boxseg.runs import dataset_folder
from boxseg.runs.dataset_folder import default_split, write_formats
from boxseg.runs.label_records import record_classes, record_photos

FORMATS = ("palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    write_toy(root, train=3, val=2, size=64, seed=1)
    return root


@pytest.fixture
def labels(toy: Path, tmp_path: Path) -> Path:
    """A folder as `boxseg label` leaves it with a classifier.

    The labels, which are Y_crf, are the ground truth, and Y_ret differs at one pixel.
    """
    folder = tmp_path / "label"
    data = Data(root=toy)
    for sample in formats.load(data).samples:
        mask = sample.ground_truth()
        other = mask.copy()
        other[0, 0] = 1 - min(mask[0, 0], 1)
        for name, content in (("labels", mask), ("y_crf", mask), ("y_ret", other)):
            write_mask(folder / name / f"{sample.id}.png", content)
        agree = (mask == other) & (mask != 255)
        write_grey(folder / "reliable" / f"{sample.id}.png", (agree * 255).astype(np.uint8))
    (folder / "config.yaml").write_text(to_yaml(LabelJob(checkpoint=Path("c"), data=data, out=folder)))
    return folder


def write_pieces(folder: Path, data: Data) -> None:
    """The masks of the boxes: a column of each, so that none is what the labels say."""
    for sample in formats.load(data).samples:
        entries = []
        for left, top, right, bottom in object_windows(sample.boxes, sample.height, sample.width):
            mask = np.zeros((bottom - top, right - left), bool)
            mask[:, 0] = True
            entries.append(box_mask(mask, (left, top), sample, score=0.25, source="network"))
        write_box_masks(folder / "masks" / f"{sample.id}.json", entries)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert execute(["convert", *map(str, words)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", FORMATS)
def test_a_label_folder_in_every_format(name: str, labels: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert execute(["convert", str(labels), str(out), f"format={name}"]) == 0
    printed = capsys.readouterr().out
    assert f"{name}: {out}, split train: 3 photos" in printed
    assert "(boxes)" in printed
    record = yaml.safe_load((out / "convert.yaml").read_text())
    assert (record["format"], record["splits"]["train"]["complete"]) == (name, True)
    assert "already has split 'train'" in refused(capsys, labels, out, f"format={name}", "min_area=2")
    assert execute(["convert", str(labels), str(out), f"format={name}", "overwrite=true"]) == 0
    other = next(one for one in FORMATS if one != name)
    assert f"holds a data set in the format {name}" in refused(capsys, labels, out, f"format={other}")


def test_objects_are_the_masks_of_the_boxes_where_there_are_any(
    labels: Path, toy: Path, tmp_path: Path, capsys
) -> None:
    """For formats whose objects may overlap; others take them from the labels."""
    write_pieces(labels, Data(root=toy))
    samples = formats.load(Data(root=toy)).samples
    for name in FORMATS:
        assert execute(["convert", str(labels), f"{tmp_path}/{name}", f"format={name}"]) == 0
        what = "masks of boxes" if name in OVERLAPPING else "boxes"
        assert f"({what})" in capsys.readouterr().out
    content = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert len(content["annotations"]) == sum(len(sample.boxes) for sample in samples)
    rows = iter(content["annotations"])
    for sample in samples:
        for _, top, _, bottom in object_windows(sample.boxes, sample.height, sample.width):
            entry = next(rows)
            assert (entry["area"], entry["score"], entry["source"]) == (bottom - top, 0.25, "network")
    assert execute(["convert", str(labels), f"{tmp_path}/cut", "format=coco", "objects=boxes"]) == 0
    cut = json.loads((tmp_path / "cut/annotations/instances_train.json").read_text())["annotations"]
    assert "score" not in cut[0]
    assert cut[0]["area"] > content["annotations"][0]["area"]
    assert execute(["convert", str(labels), f"{tmp_path}/ret", "format=coco", "which=y_ret"]) == 0
    assert "(boxes)" in capsys.readouterr().out
    (labels / "masks" / f"{samples[1].id}.json").unlink()
    said = refused(capsys, labels, tmp_path / "lost", "format=coco")
    assert f"masks/{samples[1].id}.json is missing: run `boxseg label` again, or give objects=boxes" in said
    shutil.rmtree(labels / "masks")
    assert "has no masks of boxes" in refused(capsys, labels, tmp_path / "no", "format=coco", "objects=masks")


def test_what_is_there_is_never_touched(labels: Path, toy: Path, tmp_path: Path, capsys) -> None:
    before = {path: path.read_bytes() for path in toy.rglob("*") if path.is_file()}
    assert "was not made by `boxseg convert`" in refused(capsys, labels, toy, "format=voc", "overwrite=true")
    assert "was not made by `boxseg convert`" in refused(capsys, labels, labels, "format=coco")
    (tmp_path / "file").write_text("")
    assert "is a file; give a folder" in refused(capsys, labels, tmp_path / "file", "format=coco")
    for split in ("../x", "a/b", "..", "c:"):
        assert "cannot be used as" in refused(capsys, labels, tmp_path / "o", "format=coco", f"split={split}")
    assert not (tmp_path / "o").exists()
    assert {path: path.read_bytes() for path in toy.rglob("*") if path.is_file()} == before


def test_writing_again_removes_what_no_longer_belongs(labels: Path, tmp_path: Path) -> None:
    options = {"source": labels, "out": tmp_path / "o", "format": "yolo-seg", "photos": "link"}
    boxseg.convert(**options)
    originals = [path.resolve() for path in (tmp_path / "o" / "images" / "train").iterdir()]
    next((labels / "labels").iterdir()).unlink()
    done = boxseg.convert(**options, overwrite=True)
    assert (done.written.photos, done.missing) == (2, 1)
    assert len(list((tmp_path / "o" / "images" / "train").iterdir())) == 2
    assert len(list((tmp_path / "o" / "labels" / "train").iterdir())) == 2
    assert len(originals) == 3
    assert all(path.is_file() for path in originals)


@pytest.mark.parametrize("photos", ["copy", "link"])
def test_photos_that_are_to_be_written_are_not_removed(
    labels: Path, tmp_path: Path, photos: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A data set written over itself, and over the one that its photos are linked from."""
    first, second = tmp_path / "first", tmp_path / "second"
    boxseg.convert(source=labels, out=first, format="coco")
    boxseg.convert(source=first, out=second, format="coco", which="ground-truth", photos=photos)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = ("format=coco", "which=ground-truth", "overwrite=true")
    for source, out in ((first, first), (second, second), *([(second, first)] if photos == "link" else [])):
        said = refused(capsys, source, out, *words)
        assert f"split 'train' of {out} would be replaced, and the photos to write, such as" in said
    assert {path: path.read_bytes() for path in before} == before


def two_splits(root: Path, *, same: bool) -> Path:
    """A YOLO data set whose splits both have a photo called 0001, which is the same or another one."""
    for number, split in enumerate(("train", "val")):
        photo, label = root / f"images/{split}/0001.png", root / f"labels/{split}/0001.txt"
        for file in (photo, label):
            file.parent.mkdir(parents=True)
        Image.new("RGB", (40, 30), ["red", "red" if same else "blue"][number]).save(photo)
        label.write_text(f"0 0.5 0.5 {0.5 if same or not number else 0.25} 0.5\n")
    (root / "data.yaml").write_text("names: [cat]\ntrain: images/train\nval: images/val\n")
    return root


@pytest.mark.parametrize("name", ["voc", "palette"])
@pytest.mark.parametrize("same", [True, False])
def test_a_photo_of_another_split_is_not_replaced_by_one_of_its_name(
    name: str, same: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = two_splits(tmp_path / "data", same=same)
    for split in ("train", "val"):
        words = [f"data={root}", f"data.split={split}", "method=box", "crf=false", "--quiet"]
        assert execute(["label", *words, f"out={tmp_path}/{split}"]) == 0
    out = tmp_path / "out"
    assert execute(["convert", f"{tmp_path}/train", str(out), f"format={name}"]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.suffix in (".png", ".xml")}
    capsys.readouterr()
    status = execute(["convert", f"{tmp_path}/val", str(out), f"format={name}"])
    said = capsys.readouterr().err
    if same:
        assert status == 0
    else:
        assert status != 0
        assert f"split 'train' in {out} has another photo called 0001" in said
    assert {path: path.read_bytes() for path in before} == before


def test_the_name_of_255_stays_for_the_masks_of_another_split(labels: Path, tmp_path: Path) -> None:
    mask = sorted((labels / "labels").glob("*.png"))[0]
    whole = mask.read_bytes()
    ignored = np.array(Image.open(mask))
    ignored[:2] = 255
    write_mask(mask, ignored)
    boxseg.convert(source=labels, out=tmp_path / "o", format="palette")
    assert "ignored:224,224,192::" in (tmp_path / "o/labelmap.txt").read_text()
    mask.write_bytes(whole)
    for other in ("one", "two"):
        (tmp_path / "o/SegmentationClass" / mask.name).unlink()
        boxseg.convert(source=labels, out=tmp_path / "o", format="palette", split=other)
        assert "ignored:224,224,192::" in (tmp_path / "o/labelmap.txt").read_text()


def test_an_interrupted_conversion_is_written_again(labels: Path, tmp_path: Path, monkeypatch) -> None:
    options = {"source": labels, "out": tmp_path / "o", "format": "coco"}

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("boxseg.formats.writers.coco_instances.encode_window", fail)
        with pytest.raises(KeyboardInterrupt):
            boxseg.convert(**options)
    assert not (tmp_path / "o" / "annotations").exists()
    assert boxseg.convert(**options).written.photos == 3


def test_which_labels_of_a_label_folder(labels: Path, tmp_path: Path, capsys) -> None:
    run = labels.parent  # the folder of `boxseg run`
    for path in (labels / "y_crf").iterdir():  # so that no two of the labels are equal
        write_mask(path, np.full_like(read_mask(path), 2))
    for source, which, folder in (
        (labels, "labels", "labels"), (labels, "y_crf", "y_crf"), (labels, "y_ret", "y_ret"),
        (labels / "y_ret", "labels", "y_ret"), (run, "agreed", "labels"),
    ):  # fmt: skip
        out = tmp_path / f"out-{source.name}-{which}"
        boxseg.convert(source=source, out=out, format="masks", which=which)
        for path in (labels / folder).iterdir():
            expected = read_mask(path)
            if which == "agreed":
                sure = np.asarray(Image.open(labels / "reliable" / path.name)) == 255
                expected = np.where(sure, expected, 255)
                assert expected[0, 0] == 255
            assert np.array_equal(np.asarray(Image.open(out / "masks" / "train" / path.name)), expected)
    for name in ("y_crf", "y_ret"):  # as other methods leave the folder
        shutil.rmtree(labels / name)
    words = (labels, tmp_path / "x", "format=masks", "which=y_ret")
    assert "has no y_ret/; only label.method=bap and gap write" in refused(capsys, *words)
    done = boxseg.convert(source=labels, out=tmp_path / "y", format="masks", which="agreed")
    assert done.written.photos == 3
    (tmp_path / "masks").mkdir()
    write_mask(tmp_path / "masks" / "a.png", np.zeros((4, 4), np.uint8))
    error = refused(capsys, tmp_path / "masks", tmp_path / "x", "format=masks", "which=y_ret")
    assert "which=y_ret is for folders made by label" in error


def test_how_sure_the_labels_are_goes_along(labels: Path, toy: Path, tmp_path: Path, capsys) -> None:
    first, *others = sorted(path.name for path in (labels / "labels").iterdir())
    write_grey(labels / "confidence" / first, np.full((3, 5), 77, np.uint8))
    words = ["convert", str(labels), str(tmp_path / "o"), "format=palette", "maps=true"]
    assert execute(words) == 0
    assert "maps: 3 reliable regions, 1 confidence map" in capsys.readouterr().out
    for name in (first, *others):
        reliable = tmp_path / "o" / "reliable" / name
        assert reliable.read_bytes() == (labels / "reliable" / name).read_bytes()
        assert np.asarray(Image.open(reliable))[0, 0] == 0
    (sure,) = (tmp_path / "o" / "confidence").iterdir()
    assert sure.read_bytes() == (labels / "confidence" / first).read_bytes()
    write_mask(tmp_path / "masks" / "a.png", np.zeros((4, 4), np.uint8))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    own = [tmp_path / "masks", tmp_path / "q", "format=voc", f"images={tmp_path}", "classes=[cat]"]
    assert "has no confidence/ and no reliable/" in refused(capsys, *own, "maps=true")
    assert not (tmp_path / "q").exists()


def test_a_data_set_that_has_moved(labels: Path, toy: Path, tmp_path: Path, capsys) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(toy, moved)
    text = (labels / "config.yaml").read_text()
    (labels / "config.yaml").write_text(text.replace(str(toy), str(tmp_path / "gone")))
    assert "gone: no such folder" in refused(capsys, labels, tmp_path / "o", "format=coco")
    assert boxseg.convert(source=labels, out=tmp_path / "o", format="coco", data=moved).written.photos == 3


def test_masks_with_a_data_set_and_two_splits(toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    masks = toy / "SegmentationClass"
    for split in ("train", "val"):
        done = boxseg.convert(source=masks, out=out, format="voc", data={"root": toy, "split": split})
        assert (done.objects, done.split) == ("boxes", split)
    for split in ("train", "val"):
        ours, theirs = (formats.load(Data(root=root, split=split)) for root in (out, toy))
        assert ours.classes == theirs.classes
        for one, other in zip(ours.samples, theirs.samples, strict=True):
            assert one.id == other.id
            assert np.array_equal(one.boxes, other.boxes)
            assert np.array_equal(one.ground_truth(), other.ground_truth())


def test_predictions_know_their_photos_and_classes(toy: Path, tmp_path: Path, capsys) -> None:
    dataset = formats.load(Data(root=toy, split="val"))
    folder = tmp_path / "predictions"
    for sample in dataset.samples:
        write_mask(folder / "labels" / f"{sample.id}.png", sample.ground_truth())
    record_classes(folder, dataset.classes)
    record_photos(folder, dataset.samples[:1])
    record_photos(folder, dataset.samples[1:])
    done = boxseg.convert(source=folder, out=tmp_path / "o", format="coco")
    assert (done.objects, done.split, done.written.photos) == ("regions", "train", 2)
    after = formats.load(Data(root=tmp_path / "o"))
    assert after.classes == dataset.classes
    for sample, read in zip(dataset.samples, after.samples, strict=True):
        mask = sample.ground_truth()
        assert np.array_equal(read.ground_truth(), np.where(mask == 255, 0, mask))
    (folder / "labelmap.json").write_text('["background", {"value": "1", "name": "cat"}]')
    assert "the classes of" in refused(capsys, folder, tmp_path / "p", "format=coco")


def test_masks_of_other_tools_need_names_and_photos(toy: Path, tmp_path: Path, capsys) -> None:
    masks, out = toy / "SegmentationClass", tmp_path / "o"
    assert "give classes=[NAME,…]" in refused(capsys, masks, out, "format=coco")
    names = f"classes=[{','.join(formats.load(Data(root=toy)).classes)}]"
    assert "give images=DIR" in refused(capsys, masks, out, "format=coco", names)
    assert "no photo" in refused(capsys, masks, out, "format=coco", names, f"images={toy}/Annotations")
    assert execute(["convert", str(masks), str(out), "format=coco", names, f"images={toy}/JPEGImages"]) == 0
    assert "5 photos" in capsys.readouterr().out
    content = json.loads((out / "annotations" / "instances_train.json").read_text())
    assert len(content["images"]) == 5
    (tmp_path / "twice" / "a").mkdir(parents=True)
    (tmp_path / "twice" / "b").mkdir()
    for place in "ab":
        shutil.copy(toy / "JPEGImages" / "train_0000.jpg", tmp_path / "twice" / place)
    error = refused(capsys, masks, tmp_path / "p", "format=coco", names, f"images={tmp_path}/twice")
    assert "train_0000 may be any of 2 photos" in error


def test_labels_outside_the_boxes_are_counted(toy: Path, tmp_path: Path) -> None:
    dataset = formats.load(Data(root=toy))
    for sample in dataset.samples:
        write_mask(tmp_path / "m" / f"{sample.id}.png", np.full((sample.height, sample.width), 1, np.uint8))
    options = {"source": tmp_path / "m", "format": "coco", "data": toy}
    done = boxseg.convert(**options, out=tmp_path / "o")
    assert done.written.stray == 3
    assert "labels outside the boxes are left out, in 3 photos" in "\n".join(done.notes())
    assert boxseg.convert(**options, out=tmp_path / "p", objects="regions").written.stray == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "o", "format=coco"], "nowhere: no such folder"),
        (["{empty}", "o", "format=coco"], "holds no labels: expected labels/ or masks ID.png"),
        (["{empty}", "o"], "missing option format="),
        (["{empty}", "o", "format=cocoo"], "cocoo"),
        (["{empty}", "o", "format=coco", "min_area=0"], "min_area must be at least 1"),
        (["{empty}", "o", "format=coco", "simplify=-1"], "simplify must be 0 pixels"),
    ],
)
def test_wrong_words(words: list[str], message: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    error = refused(capsys, *(word.format(empty=tmp_path / "empty") for word in words))
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", "train"),
        ("train2017", "train"),
        ("trainval", "train"),
        ("minival", "val"),
        ("test", "test"),
        ("all", "train"),
    ],
)
def test_splits_have_the_names_that_formats_know(split: str, expected: str) -> None:
    assert default_split("yolo-seg", split) == default_split("masks", split) == expected
    assert default_split("coco", split) == split


def test_the_same_command_again_finds_its_split_until_labels_or_boxes_change(
    labels: Path, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was killed after its last write can be repeated; nothing made from other labels counts as done."""
    data = tmp_path / "data"
    shutil.copytree(toy, data)
    command = ["convert", str(labels), f"{tmp_path}/out", "format=voc", "maps=true", f"data={data}"]
    assert execute(command) == 0
    first = capsys.readouterr().out
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert execute(command) == 0
    again = capsys.readouterr().out
    assert again.replace(": there already, from the same labels; overwrite=true writes it again", "") == first
    assert {file: file.stat().st_mtime_ns for file in written} == written
    label = next((labels / "labels").iterdir())
    before = label.read_bytes()
    write_mask(label, np.zeros_like(read_mask(label)))
    assert "already has split 'train'" in refused(capsys, *command[1:])
    label.write_bytes(before)
    assert execute(command) == 0
    annotation = data / "Annotations" / f"{label.stem}.xml"
    annotation.write_text(re.sub("<xmin>[^<]*</xmin>", "<xmin>3</xmin>", annotation.read_text()))
    assert "already has split 'train'" in refused(capsys, *command[1:])


def test_what_a_command_left_that_was_killed_at_its_start_is_not_in_the_way(
    labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name in (".lock", ".in-use"):
        with atomic_path(out / name) as temporary:
            temporary.write_text("half")
        shutil.copy(out / name, temporary)
    (out / ".lock").unlink()
    assert execute(["convert", str(labels), str(out), "format=coco"]) == 0
    assert not list(out.glob(".*"))


def test_maps_are_written_before_a_split_is_complete(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["convert", str(labels), f"{tmp_path}/out", "format=masks", "maps=true"]

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(dataset_folder, "copy_maps", killed)
        assert execute(command) == 130
    assert execute(command) == 0
    assert len(list((tmp_path / "out" / "reliable").iterdir())) == 3
    assert "there already" not in capsys.readouterr().out


def test_formats_of_label_are_written_when_labels_change(labels: Path, toy: Path) -> None:
    write_pieces(labels, Data(root=toy))
    dataset = replace(formats.load(Data(root=toy)), split="train_aug")
    names = ("coco", "yolo-seg")
    lines = write_formats(names, labels, dataset)
    assert [line.partition(" ")[0] for line in lines] == ["coco:", "yolo-seg:"]
    assert "there already" not in "".join(lines)
    file = labels / "yolo-seg" / "data.yaml"
    assert yaml.safe_load(file.read_text())["train"] == "images/train"
    assert next((labels / "yolo-seg" / "images" / "train").iterdir()).is_symlink()
    before = file.stat().st_mtime_ns
    assert all("there already" in line for line in write_formats(names, labels, dataset))
    assert file.stat().st_mtime_ns == before
    piece = next((labels / "masks").iterdir())
    piece.write_text(piece.read_text().replace("0.25", "0.5"))
    assert "there already" not in "".join(write_formats(names, labels, dataset))
    assert file.stat().st_mtime_ns != before

"""What was made from other photos, boxes or labels does not count as done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from boxseg.atomic import write_text
from boxseg.cli import execute
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import ConfigError
from boxseg.formats.masks import read_mask, truth_digest, write_mask
from boxseg.runs.provenance import (
    Standing,
    boxes_digest,
    check_origins,
    origins_of,
    read_provenance,
    recording,
    standing,
    write_provenance,
)
from boxseg.runs.stage_files import StageFiles
from simulated_disk import SimulatedDisk

CLASSES = ("cat", "dog")
SMALL = ("classify.iterations=2", "classify.batch=2", "crop=33", "model.weights=none", "workers=0")


def make(folder: Path, name: str, content: bytes = b"photo") -> Sample:
    image = folder / f"{name}.jpg"
    image.write_bytes(content)
    return Sample(
        id=name,
        image=image,
        width=9,
        height=8,
        boxes=np.array([[1.0, 1, 5, 5], [2, 2, 8, 7]]),
        labels=np.array([1, 2]),
        difficult=np.array([False, False]),
    )


def data(*samples: Sample, classes: tuple[str, ...] = CLASSES) -> BoxDataset:
    return BoxDataset(root=Path("root"), format="voc", split="train", classes=classes, samples=samples)


def files_of(out: Path) -> StageFiles:
    return StageFiles(of=lambda sample: [out / f"{sample.id}.png", out / "deep" / f"{sample.id}.json"])


def work(out: Path, dataset: BoxDataset) -> None:
    """Make the files of all photos."""
    files = files_of(out).of
    out.mkdir(exist_ok=True)
    with recording(out, dataset.classes, files) as recorder:
        for sample in dataset.samples:
            for file in files(sample):
                write_text(file, "result", sync=False)
            recorder.made(sample)
            recorder.kept([sample.id])


def judge(out: Path, dataset: BoxDataset) -> Standing:
    return standing(out, dataset, replace(files_of(out), samples=dataset.samples))


def names(samples: Iterable[Sample]) -> list[str]:
    return [sample.id for sample in samples]


def test_what_a_digest_of_boxes_depends_on(tmp_path: Path) -> None:
    sample = make(tmp_path, "a")
    others = [
        (sample, CLASSES),
        (sample, ("cat", "cow")),
        (replace(sample, labels=np.array([2, 1])), CLASSES),
        (replace(sample, boxes=sample.boxes + np.array([0, 0, 0, 0.5])), CLASSES),
        (replace(sample, boxes=sample.boxes[::-1].copy()), CLASSES),
        (replace(sample, boxes=sample.boxes[:1], labels=np.array([1])), CLASSES),
        (replace(sample, width=10), CLASSES),
        (replace(sample, crowds=np.array([[0.0, 0, 3, 3]])), CLASSES),
        (replace(sample, corrections={0: "ellipse"}), CLASSES),
        (replace(sample, corrections={1: "ellipse"}), CLASSES),
        (replace(sample, corrections={1: "redraw"}), CLASSES),
    ]
    digests = [boxes_digest(item, classes) for item, classes in others]
    assert len(set(digests)) == len(digests)
    same = replace(sample, id="b", image=Path("elsewhere.jpg"), difficult=np.array([True, False]))
    assert boxes_digest(same, ("cat", "dog", "more")) == digests[0]
    both = [dict(items) for items in (((0, "box"), (1, "redraw")), ((1, "redraw"), (0, "box")))]
    assert len({boxes_digest(replace(sample, corrections=done), CLASSES) for done in both}) == 1


def test_photos_are_done_until_they_or_their_boxes_change(tmp_path: Path) -> None:
    samples = [make(tmp_path, name) for name in "abcdef"]
    out = tmp_path / "out"
    assert names(judge(out, data(*samples)).missing) == list("abcdef")
    work(out, data(*samples))
    there = judge(out, data(*samples))
    assert ([*there.missing], there.changed, list(there.kept)) == ([], 0, list("abcdef"))
    os.utime(samples[0].image, (1, 1))  # copied: the same content at another time
    samples[1].image.write_bytes(b"phot0")  # as long as before
    os.utime(samples[1].image, (1, 1))
    samples[2] = replace(samples[2], boxes=samples[2].boxes / 2)
    (out / "d.png").unlink()
    (out / "e.png").write_bytes(b"")
    there = judge(out, data(*samples))
    assert names(there.missing) == ["b", "c", "d", "e"]
    assert there.changed == 2
    assert list(there.kept) == ["a", "f"]
    write_provenance(out, there.kept)
    work(out, data(*there.missing))
    assert [*judge(out, data(*samples)).missing] == []


def test_without_a_record_a_photo_is_done_again(tmp_path: Path) -> None:
    """So is one whose line was cut; the next line counts."""
    samples = [make(tmp_path, name) for name in "abc"]
    work(tmp_path / "out", data(*samples))
    record = tmp_path / "out" / "provenance.jsonl"
    lines = record.read_text().splitlines()
    record.write_text("\n".join(['{"id": 3}', "[1]", "null", "", lines[0][:40], *lines[1:2], lines[2][:-3]]))
    assert names(judge(tmp_path / "out", data(*samples)).missing) == ["a", "c"]
    record.unlink()
    there = judge(tmp_path / "out", data(*samples))
    assert (names(there.missing), there.changed) == (["a", "b", "c"], 0)


def test_a_folder_of_other_photos_is_refused(tmp_path: Path) -> None:
    work(tmp_path / "out", data(make(tmp_path, "a"), make(tmp_path, "b")))
    with pytest.raises(
        ConfigError, match=r"out holds results of other photos, such as a: choose another out=…"
    ):
        judge(tmp_path / "out", data(make(tmp_path, "c")))


def test_a_photo_is_recorded_when_its_files_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, write, seen = SimulatedDisk(tmp_path), os.write, []

    def watched(handle: int, content: bytes) -> int:
        safe = disk.left(names=False)
        for name in read_names(content):
            seen.append(name)
            for file in files_of(tmp_path / "out").of(make(tmp_path, name)):
                assert safe[file] == b"result"
        return write(handle, content)

    disk.install(monkeypatch)
    monkeypatch.setattr(os, "write", watched)
    work(tmp_path / "out", data(*(make(tmp_path, f"{number}") for number in range(70))))
    assert seen == [f"{number}" for number in range(70)]


def read_names(content: bytes) -> list[str]:
    return [line.split('"')[3] for line in content.decode().splitlines()]


def test_what_is_done_when_work_fails_is_recorded(tmp_path: Path) -> None:
    out, sample = tmp_path / "out", make(tmp_path, "a")

    def fail() -> None:
        with recording(out, CLASSES, files_of(out).of) as recorder:
            for file in files_of(out).of(sample):
                write_text(file, "result")
            recorder.made(sample)
            recorder.kept([sample.id])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(read_provenance(out)) == ["a"]


def test_a_training_goes_on_with_the_same_data_only(tmp_path: Path) -> None:
    samples = [make(tmp_path, name) for name in "abcde"]
    write_provenance(tmp_path, origins_of(data(*samples), lambda _: "labels"))
    os.utime(samples[0].image, (1, 1))
    check_origins(tmp_path, origins_of(data(*samples), lambda _: "labels"))
    check_origins(tmp_path / "empty", origins_of(data(*samples)))
    changed = [*samples[1:4], make(tmp_path, "new")]
    changed[0] = replace(changed[0], labels=np.array([2, 2]))
    changed[1].image.write_bytes(b"another photo")
    message = r"\(2 photos \(b, c\) changed; 1 photo \(new\) new; 2 photos \(a, e\) gone\)"
    with pytest.raises(ConfigError, match=message):
        check_origins(tmp_path, origins_of(data(*changed), lambda _: "labels"))
    with pytest.raises(ConfigError, match=r"5 photos \(a, b, c, …\) changed"):
        check_origins(tmp_path, origins_of(data(*samples), lambda _: "other"))


def halve_a_box(root: Path) -> str:
    """Make a box of the first photo narrower; returns its name."""
    name = (root / "ImageSets/Segmentation/train.txt").read_text().split()[0]
    file = root / "Annotations" / f"{name}.xml"
    text = file.read_text()
    left, right = (int(text.split(f"<{side}>")[1].split("<")[0]) for side in ("xmin", "xmax"))
    file.write_text(text.replace(f"<xmax>{right}</xmax>", f"<xmax>{(left + right) // 2}</xmax>", 1))
    return name


def content(folder: Path) -> dict[str, bytes]:
    return {f"{file.relative_to(folder)}": file.read_bytes() for file in sorted(folder.rglob("*.png"))}


def test_labels_of_a_changed_box_are_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "data", train=4, val=1, size=64)
    words = ["label", f"data={tmp_path}/data", "method=ellipse"]
    assert execute([*words, f"out={tmp_path}/out"]) == 0
    before = content(tmp_path / "out")
    name = halve_a_box(tmp_path / "data")
    capsys.readouterr()
    assert execute([*words, f"out={tmp_path}/out"]) == 0
    said = capsys.readouterr()
    assert "1 photo with other content, boxes or corrections than" in said.err
    assert "1 written, 3 there already" in said.out
    assert execute([*words, f"out={tmp_path}/fresh"]) == 0
    after = content(tmp_path / "out")
    assert after == content(tmp_path / "fresh")
    assert {file for file in after if after[file] != before[file]} >= {f"labels/{name}.png"}
    assert all(name in file for file in after if after[file] != before[file])
    # Scores of the labels before do not stay beside new ones.
    assert (tmp_path / "out/metrics.json").is_file()
    assert execute([*words, f"out={tmp_path}/out", "scores=false"]) == 0
    assert (tmp_path / "out/metrics.json").is_file()
    (tmp_path / "out/labels" / f"{name}.png").unlink()
    assert execute([*words, f"out={tmp_path}/out", "scores=false"]) == 0
    assert not {"metrics.json", "confusion.json"} & {file.name for file in (tmp_path / "out").iterdir()}


def test_labels_of_another_data_set_are_not_mixed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toy(tmp_path / "a", train=2, val=1, size=64)
    write_toy(tmp_path / "b", train=2, val=1, size=64, seed=1)
    for number, name in enumerate((tmp_path / "b/ImageSets/Segmentation/train.txt").read_text().split()):
        for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml"), ("SegmentationClass", "png")):
            file = tmp_path / "b" / folder / f"{name}.{suffix}"
            file.rename(file.with_stem(f"other{number}"))
    (tmp_path / "b/ImageSets/Segmentation/train.txt").write_text("other0\nother1\n")
    assert execute(["label", f"data={tmp_path}/a", "method=ellipse", f"out={tmp_path}/out"]) == 0
    recorded = (tmp_path / "out/config.yaml").read_text()
    assert execute(["label", f"data={tmp_path}/b", "method=ellipse", f"out={tmp_path}/out"]) == 2
    assert "out holds results of other photos" in capsys.readouterr().err
    assert (tmp_path / "out/config.yaml").read_text() == recorded
    assert (
        execute(["label", f"data={tmp_path}/b", "method=ellipse", f"out={tmp_path}/out", "overwrite=true"]) == 0
    )
    assert {file.stem for file in (tmp_path / "out/labels").iterdir()} == {"other0", "other1"}


def test_trainings_refuse_changed_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "data", train=3, val=1, size=64)
    shared = [f"data={tmp_path}/data", "val_split="]
    classify = ["classify", *shared, *SMALL, f"out={tmp_path}/c"]
    label = ["label", *shared, "method=ellipse", f"out={tmp_path}/l"]
    segment = [
        "segment",
        *shared,
        *(word.replace("classify", "segment") for word in SMALL),
        f"out={tmp_path}/s",
    ]
    segment.append(f"labels={tmp_path}/l")
    assert [execute(words) for words in (classify, label, segment)] == [0, 0, 0]
    assert [execute(words) for words in (classify, segment)] == [0, 0]
    name = halve_a_box(tmp_path / "data")
    capsys.readouterr()
    assert execute(classify) == 2
    line = f"c holds a training on other photos, boxes or labels (1 photo ({name}) changed): choose another "
    assert line in capsys.readouterr().err
    assert execute([*classify, "dry_run=true"]) == 2
    assert execute([*classify, "overwrite=true"]) == 0
    assert execute(label) == 0
    assert execute(segment) == 2  # the labels, too, are others
    assert execute([*segment, "overwrite=true"]) == 0
    (tmp_path / "l").rename(tmp_path / "away")
    assert execute(segment) == 0  # a finished training does not need them


def test_ground_truth_by_content(tmp_path: Path) -> None:
    """A mask file by what is in it, wherever it is; outlines by their points."""
    (tmp_path / "deep").mkdir()
    for folder in (tmp_path, tmp_path / "deep"):
        write_mask(folder / "a.png", np.eye(3, dtype=np.uint8))
    here, there = partial(read_mask, tmp_path / "a.png", 2), partial(read_mask, tmp_path / "deep" / "a.png", 2)
    assert truth_digest(None) == ""
    assert truth_digest(here) == truth_digest(there) != truth_digest(partial(read_mask, tmp_path / "a.png", 3))
    write_mask(tmp_path / "a.png", np.zeros((3, 3), np.uint8))
    assert truth_digest(here) != truth_digest(there)


def test_scores_follow_the_ground_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "data", train=2, val=2, size=64)
    words = ["segment", f"data={tmp_path}/data", *(word.replace("classify", "segment") for word in SMALL)]
    words += [f"out={tmp_path}/s", "labels=ground-truth", "tta=false"]
    assert execute(words) == 0
    metrics = tmp_path / "s" / "metrics.json"
    first = metrics.read_text()
    capsys.readouterr()
    assert execute(words) == 0
    assert "scored anew" not in capsys.readouterr().err
    masks = tmp_path / "data" / "SegmentationClass"
    one, two = (tmp_path / "data/ImageSets/Segmentation/val.txt").read_text().split()
    (masks / f"{one}.png").write_bytes((masks / f"{two}.png").read_bytes())
    assert execute(words) == 0
    assert "val or its ground truth has changed, and is scored anew" in capsys.readouterr().err
    assert metrics.read_text() != first

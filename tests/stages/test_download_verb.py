"""`boxseg download` as users type it, against a server with a VOC and a COCO of a few photos."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg.cli import execute
from boxseg.downloads.archives import ARCHIVES, Archive
from boxseg.errors import ConfigError
from boxseg.stages.download import DownloadResult
from faulty_server import FaultyServer
from voc_archives import TAR, ZIP, files, md5, states


def test_from_nothing_to_a_data_set_that_doctor_accepts(served: FaultyServer, tmp_path: Path, capsys) -> None:
    served.cuts = [1000, 4000]
    out = tmp_path / "my data"
    assert execute(["download", "voc", f"out={out}"]) == 0
    text = capsys.readouterr().out
    root = out / "VOCdevkit" / "VOC2012"
    assert f"Data: 'data={root}' data.split=train_aug" in text
    assert "done: 4 photos, usually 10582" in text
    assert (root / "ImageSets/Segmentation/train_aug.txt").read_text().split() == [
        f"train_000{number}" for number in range(4)
    ]
    assert [path.name for path in out.iterdir()] == ["VOCdevkit"]
    assert not [name for name in files(out) if "MACOSX" in name or "/." in name]
    for split, photos in (("train", 2), ("train_aug", 4), ("val", 2), ("trainval", 4)):
        assert execute(["doctor", f"data={out}", f"data.split={split}"]) == 0
        dataset = boxseg.doctor(data={"root": out, "split": split}).dataset
        assert len(dataset) == sum(s.ground_truth is not None for s in dataset.samples) == photos


def test_a_second_call_finds_everything_there(served: FaultyServer, tmp_path: Path) -> None:
    assert set(states(boxseg.download(dataset="voc", out=tmp_path)).values()) == {
        "done",
        "done: 4 photos, usually 10582",
        "needs test_archive=",
    }
    served.seen.clear()
    before = files(tmp_path)
    again = states(boxseg.download(dataset="voc", out=tmp_path))
    assert again == {
        "trainval": "there already",
        "augmented": "there already",
        "test": "needs test_archive=",
        "train_aug": "there already",
    }
    assert (served.seen, files(tmp_path)) == ([], before)


def test_only_what_is_missing_is_done(served: FaultyServer, tmp_path: Path) -> None:
    boxseg.download(dataset="voc", out=tmp_path)
    root = tmp_path / "VOCdevkit" / "VOC2012"
    (root / "JPEGImages" / "val_0000.jpg").unlink()
    own = root / "ImageSets" / "Segmentation" / "train_aug.txt"
    own.write_text("train_0001\n")
    assert states(boxseg.download(dataset="voc", out=tmp_path))["trainval"] == "done"
    assert (root / "JPEGImages" / "val_0000.jpg").is_file()
    assert own.read_text() == "train_0001\n"


def test_steps_can_be_chosen_and_added_to_a_devkit_that_is_there(served: FaultyServer, tmp_path: Path) -> None:
    devkit = tmp_path / "VOC2012"
    with tarfile.open(fileobj=io.BytesIO(served.files[TAR])) as archive:
        archive.extractall(tmp_path / "x")
    shutil.move(tmp_path / "x" / "VOCdevkit" / "VOC2012", devkit)
    for out in (tmp_path, devkit):
        done = boxseg.download(dataset="voc", out=out, only=["augmented", "train_aug"])
        assert done.root == devkit
        assert len(done.steps) == 2
    assert len(files(devkit / "SegmentationClassAug")) == 6
    assert (devkit / "ImageSets" / "Segmentation" / "train_aug.txt").is_file()
    assert len(served.seen) == 1


def test_train_aug_alone_needs_what_it_is_made_from(served: FaultyServer, tmp_path: Path) -> None:
    root = boxseg.download(dataset="voc", out=tmp_path).root
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").unlink()
    assert "done" in states(boxseg.download(dataset="voc", out=tmp_path, only="train_aug"))["train_aug"]
    (lists / "train_aug.txt").unlink()
    (lists / "val.txt").rename(lists / "own.txt")  # as many lists as the archive brings
    assert states(boxseg.download(dataset="voc", out=tmp_path))["train_aug"] == "needs trainval"
    with pytest.raises(
        ConfigError, match=r"'train_aug' needs trainval, which .*VOC2012 does not have; also fetch"
    ):
        boxseg.download(dataset="voc", out=tmp_path, only="train_aug")


def test_nothing_is_said_of_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    done = DownloadResult(dataset="voc", root=tmp_path / "VOC2012", steps=(), dry_run=False)
    assert done.notes() == []
    assert f"data={tmp_path}" in replace(done, root=tmp_path).notes()[0]


@pytest.mark.parametrize("only", ["augmented,train_aug", "[augmented, train_aug]", "augmented, train_aug"])
def test_steps_as_they_are_typed(served: FaultyServer, tmp_path: Path, capsys, only: str) -> None:
    for folder in ("JPEGImages", "ImageSets/Segmentation"):  # what train_aug needs beside the masks
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("")
    assert execute(["download", "voc", f"out={tmp_path}", f"only={only}", "dry_run=true"]) == 0
    text = capsys.readouterr().out
    assert "augmented" in text
    assert "train_aug" in text
    assert "trainval" not in text


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_a_mirror(served: FaultyServer, contents, tmp_path: Path, monkeypatch, kind: str) -> None:
    archives = ARCHIVES["voc"]
    monkeypatch.setitem(
        ARCHIVES, "voc", tuple(replace(a, url=a.url.replace(served.address, "http://x")) for a in archives)
    )
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name, content in contents.items():
        (mirror / name).write_bytes(content)
    place = str(mirror) if kind == "folder" else f"{served.address}/"
    done = boxseg.download(dataset="voc", out=tmp_path / "out", mirror=place)
    assert states(done)["augmented"] == "done"
    assert len(files(mirror)) == 3
    assert len(served.seen) == (0 if kind == "folder" else 2)


def test_archives_can_be_kept_and_are_used_again(served: FaultyServer, tmp_path: Path) -> None:
    boxseg.download(dataset="voc", out=tmp_path, keep_archives=True)
    assert files(tmp_path / "downloads") == [ZIP, TAR]
    shutil.rmtree(tmp_path / "VOCdevkit")
    served.seen.clear()
    boxseg.download(dataset="voc", out=tmp_path)
    assert served.seen == []
    assert not (tmp_path / "downloads").exists()


def test_dry_run_lists_and_does_nothing(served: FaultyServer, tmp_path: Path, capsys) -> None:
    assert execute(["download", "voc", f"out={tmp_path}/new", "dry_run=true"]) == 0
    text = capsys.readouterr().out
    assert "to do" in text
    assert "md5" in text
    assert "none published" in text
    assert "Nothing was done" in text
    assert not (tmp_path / "new").exists()
    assert served.seen == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["imagenet"], "expected one of voc, coco"),
        ([], "missing option dataset="),
        (["voc", "only=[trainvla]"], "only=trainvla: no such step, did you mean 'trainval'?"),
        (["voc", "only=[test]"], "test_archive=FILE"),
        (["voc", "only=train_aug"], "needs trainval and augmented, which"),
        (["voc", "only=train_aug", "dry_run=true"], "missing: only=trainval,augmented,train_aug"),
        (["voc", "only=augmented,train_aug"], "needs trainval, which"),
        (["coco", "test_archive=x.tar"], "test_archive is for voc"),
        (["voc", "only=[trainval]", "mirror=/nowhere"], "is neither a file nor a web address"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path, capsys, words: list[str], message: str) -> None:
    assert execute(["download", *words, f"out={tmp_path}/o"]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not (tmp_path / "o" / "VOCdevkit").exists()


def test_out_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "o").write_text("")
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        boxseg.download(dataset="coco", out=tmp_path / "o")


def test_coco(server: FaultyServer, tmp_path: Path, monkeypatch) -> None:
    photo = tmp_path / "a.jpg"
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(photo)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 30, "height": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    archives: list[Archive] = []
    for archive in ARCHIVES["coco"]:
        with zipfile.ZipFile(tmp_path / archive.file, "w") as made:
            for split in ("train2017", "val2017"):
                if archive.name == "annotations":
                    made.writestr(f"annotations/instances_{split}.json", json.dumps(content))
                    made.writestr(f"annotations/captions_{split}.json", "{}")
                elif split.startswith(archive.name):
                    made.write(photo, f"{split}/a.jpg")
        server.files[archive.file] = data = (tmp_path / archive.file).read_bytes()
        small = {"size": len(data), "checksum": md5(data), "unpacked": 1000}
        small |= {"result": dict.fromkeys(archive.result, 1), "url": server.url(archive.file)}
        archives.append(replace(archive, **small))
    monkeypatch.setitem(ARCHIVES, "coco", tuple(archives))
    out = tmp_path / "coco"
    assert execute(["download", "coco", f"out={out}"]) == 0
    assert files(out) == [
        "annotations/instances_train2017.json",
        "annotations/instances_val2017.json",
        "train2017/a.jpg",
        "val2017/a.jpg",
    ]
    for split in ("train", "val"):
        assert execute(["doctor", f"data={out}", f"data.split={split}"]) == 0


def test_the_published_table() -> None:
    for archives in ARCHIVES.values():
        for archive in archives:
            if archive.name != "test":
                assert archive.url.startswith("http")
                assert archive.file.endswith((".tar", ".zip"))
            if archive.checksum:
                algorithm, _, digest = archive.checksum.partition(":")
                assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size

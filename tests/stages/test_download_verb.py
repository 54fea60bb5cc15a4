"""`boxseg download` as users type it, against a server with a VOC and a COCO of a few photos."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg.cli import execute
from boxseg.data.toy import write_toy
from boxseg.downloads.archives import ARCHIVES, Archive
from boxseg.errors import ConfigError, DownloadError
from boxseg.formats.voc import split_ids
from boxseg.stages.download import DownloadResult
from faulty_server import FaultyServer

TAR, ZIP = "VOCtrainval_11-May-2012.tar", "SegmentationClassAug.zip"


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A VOC of six photos: train 2, val 2, and two more with augmented masks only; and one test photo."""
    top = tmp_path_factory.mktemp("voc")
    root = top / "VOCdevkit" / "VOC2012"
    write_toy(root, train=4, val=2, size=48, seed=3)
    masks, lists = root / "SegmentationClass", root / "ImageSets" / "Segmentation"
    shutil.copytree(masks, top / "SegmentationClassAug")
    for name in ("train_0002", "train_0003"):
        (masks / f"{name}.png").unlink()
    (lists / "train.txt").write_text("train_0000\ntrain_0001\n")
    (lists / "trainval.txt").write_text("train_0000\ntrain_0001\nval_0000\nval_0001\n")
    with tarfile.open(top / TAR, "w") as archive:
        archive.add(top / "VOCdevkit", "VOCdevkit")
    with zipfile.ZipFile(top / ZIP, "w") as archive:
        for path in (top / "SegmentationClassAug").iterdir():
            archive.write(path, f"SegmentationClassAug/{path.name}")
            archive.writestr(f"__MACOSX/SegmentationClassAug/._{path.name}", b"")
    extra = top / "test" / "VOCdevkit" / "VOC2012"
    (extra / "JPEGImages").mkdir(parents=True)
    (extra / "ImageSets" / "Segmentation").mkdir(parents=True)
    shutil.copy(root / "JPEGImages" / "val_0000.jpg", extra / "JPEGImages" / "test_0000.jpg")
    (extra / "ImageSets" / "Segmentation" / "test.txt").write_text("test_0000\n")
    with tarfile.open(top / "VOC2012test.tar", "w") as archive:
        archive.add(top / "test" / "VOCdevkit", "VOCdevkit")
    return {name: (top / name).read_bytes() for name in (TAR, ZIP, "VOC2012test.tar")}


@pytest.fixture
def served(server: FaultyServer, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """The server with the small VOC, and the table of archives with its lengths and checksums."""
    server.files.update(contents)
    trainval, augmented, test = ARCHIVES["voc"]
    counts = {"Annotations": 6, "ImageSets/Segmentation": 3, "JPEGImages": 6, "SegmentationClass": 4}
    small = (
        replace(
            trainval,
            url=server.url(TAR),
            result=counts,
            unpacked=10_000,
            size=len(contents[TAR]),
            checksum=md5(contents[TAR]),
        ),
        replace(augmented, url=server.url(f"{ZIP}?dl=1"), result={"SegmentationClassAug": 6}, unpacked=10_000),
        replace(test, unpacked=10_000),
    )
    monkeypatch.setitem(ARCHIVES, "voc", small)
    monkeypatch.setattr("boxseg.downloads.fetch.time.sleep", lambda _: None)
    return server


def as_published(contents: dict[str, bytes]) -> tuple[Archive, ...]:
    """The table of archives with the lengths and checksums of these, where any are published."""
    return tuple(
        replace(archive, size=len(contents[archive.file]), checksum=md5(contents[archive.file]))
        if archive.checksum
        else archive
        for archive in ARCHIVES["voc"]
    )


def states(done) -> dict[str, str]:
    return {step.name: step.state for step in done.steps}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


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


def test_the_test_archive_of_the_user(served: FaultyServer, contents, tmp_path: Path) -> None:
    own = tmp_path / "own.tar"
    own.write_bytes(contents["VOC2012test.tar"])
    done = boxseg.download(dataset="voc", out=tmp_path, test_archive=str(own))
    assert states(done)["test"] == "done"
    assert own.is_file()
    assert len(files(done.root / "JPEGImages")) == 7
    address = served.url("VOC2012test.tar")
    fetched = boxseg.download(dataset="voc", out=tmp_path / "b", only=["test"], test_archive=address)
    assert files(fetched.root) == ["ImageSets/Segmentation/test.txt", "JPEGImages/test_0000.jpg"]


LISTED = [f"test_{number:04}" for number in range(20)]


def write_test_tar(path: Path, photos: list[str], listed: str = "\n".join(LISTED)) -> str:
    """An archive of the test step, as the option names it: first the list, as in order of names."""
    top = "VOCdevkit/VOC2012"
    with tarfile.open(path, "w") as archive:
        for name, content in [
            (f"{top}/ImageSets/Segmentation/test.txt", listed.encode(errors="surrogateescape")),
            *((f"{top}/JPEGImages/{photo}.jpg", b"photo") for photo in photos),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


@pytest.mark.parametrize(
    ("photos", "listed", "message"),
    [
        (LISTED[:5], "\n".join(LISTED), "contains 5 photos of the 20 in ImageSets/Segmentation/test.txt"),
        ([], "\n".join(LISTED), "contains 0 photos of the 20 in"),
        (LISTED, "\n", "contains 0 photos of the 0 in"),
        (LISTED, "\udcff", "contains a list ImageSets/Segmentation/test.txt that cannot be read"),
    ],
)
def test_a_test_archive_without_the_photos_it_lists(
    served: FaultyServer, tmp_path: Path, photos: list[str], listed: str, message: str
) -> None:
    half = write_test_tar(tmp_path / "half.tar", photos, listed)
    out = tmp_path / "out"
    with pytest.raises(DownloadError, match=rf"half.tar {message}.*: it was cut short, or is another archive"):
        boxseg.download(dataset="voc", out=out, only=["test"], test_archive=half)
    assert files(out) == []
    whole = write_test_tar(tmp_path / "full.tar", LISTED)
    assert states(boxseg.download(dataset="voc", out=out, only=["test"], test_archive=whole))["test"] == "done"


@pytest.mark.parametrize("cut", [KeyboardInterrupt(), OSError(28, "full")])
@pytest.mark.parametrize("moves", [0, 4, 20])
def test_moving_the_test_photos_is_cut_off(
    served: FaultyServer, tmp_path: Path, monkeypatch, cut: BaseException, moves: int
) -> None:
    root = boxseg.download(dataset="voc", out=tmp_path).root
    # One photo is in no list of segmentation, and comes last: the devkit's test photos serve other tasks, too.
    own = write_test_tar(tmp_path / "own.tar", [*LISTED, "test_other"])
    move, left = Path.replace, iter(range(moves))

    def replace_until_cut(source: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise cut
        return move(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", replace_until_cut)
        with pytest.raises((KeyboardInterrupt, DownloadError)):
            boxseg.download(dataset="voc", out=tmp_path, test_archive=own)
    assert len(list((root / "JPEGImages").glob("test_*"))) == moves
    assert states(boxseg.download(dataset="voc", out=tmp_path, test_archive=own))["test"] == "done"
    assert len(list((root / "JPEGImages").glob("test_*"))) == 21
    assert len(split_ids(root, "test")) == 20
    assert states(boxseg.download(dataset="voc", out=tmp_path))["test"] == "there already"


def test_test_photos_that_are_lost_are_brought_again(served: FaultyServer, tmp_path: Path) -> None:
    own = write_test_tar(tmp_path / "own.tar", LISTED)
    root = boxseg.download(dataset="voc", out=tmp_path, test_archive=own).root
    (root / "JPEGImages" / "test_0007.jpg").unlink()
    assert states(boxseg.download(dataset="voc", out=tmp_path))["test"] == "needs test_archive="
    assert states(boxseg.download(dataset="voc", out=tmp_path, test_archive=own))["test"] == "done"
    assert (root / "JPEGImages" / "test_0007.jpg").is_file()


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


def leading_out(name: str, content: bytes) -> bytes:
    """An archive with one more file, which from where it is unpacked would come to lie in `out`."""
    file = io.BytesIO(content)
    if name == TAR:
        with tarfile.open(fileobj=file, mode="a") as archive:
            archive.addfile(tarfile.TarInfo("VOCdevkit/VOC2012/../../../evil"))
    else:
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("SegmentationClassAug/../../../../evil.png", b"")
    return file.getvalue()


@pytest.mark.parametrize("step", ["trainval", "augmented"])
@pytest.mark.parametrize("fault", ["other", "short", "page", "gone", "leads out"])
def test_a_wrong_archive_leaves_no_half_data_set(
    served: FaultyServer, tmp_path: Path, monkeypatch, capsys, step: str, fault: str
) -> None:
    name = TAR if step == "trainval" else ZIP
    content = served.files[name]
    served.files[name] = {
        "other": content[:600] + bytes([content[600] ^ 1]) + content[601:],
        "short": content[: len(content) // 2],
        "page": b"<html>log in</html>",
        "gone": b"",
        "leads out": leading_out(name, content),
    }[fault]
    if fault == "gone":
        del served.files[name]
    if fault == "leads out":  # as published: nothing but a look at the names can tell
        monkeypatch.setitem(ARCHIVES, "voc", as_published(served.files))
    assert execute(["download", "voc", f"out={tmp_path}", f"only=[{step}]"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("boxseg: ")]
    assert len(lines) == 1
    assert name in lines[0]
    assert ("a file outside the folder" in lines[0]) == (fault == "leads out")
    assert files(tmp_path) == []
    assert not (tmp_path / "VOCdevkit").exists()
    served.files[name] = content
    if fault != "leads out":
        assert execute(["download", "voc", f"out={tmp_path}", f"only=[{step}]"]) == 0


@pytest.mark.parametrize("content", [b"PK cut short", b"<html>log in</html>"])
def test_a_useless_archive_is_not_taken_again(served: FaultyServer, tmp_path: Path, content: bytes) -> None:
    served.files[ZIP], whole = content, served.files[ZIP]
    call = {"dataset": "voc", "out": tmp_path, "only": ["augmented"], "keep_archives": True}
    with pytest.raises(DownloadError, match=r"; it was removed, and the same command fetches it again$"):
        boxseg.download(**call)
    # What lies there already may be the user's: it is named, and left to them.
    kept = tmp_path / "downloads" / ZIP
    kept.parent.mkdir()
    kept.write_bytes(content)
    for _ in range(2):
        with pytest.raises(
            DownloadError, match=rf"{ZIP} is not a tar .*; remove it, and the same command fetches"
        ):
            boxseg.download(**call)
    served.files[ZIP] = whole
    kept.unlink()
    assert states(boxseg.download(**call)) == {"augmented": "done"}


@pytest.mark.parametrize("option", ["mirror", "test_archive"])
def test_a_useless_archive_of_the_user_stays(served: FaultyServer, tmp_path: Path, option: str) -> None:
    own = tmp_path / "out" / "downloads" / (ZIP if option == "mirror" else "own.tar")
    own.parent.mkdir(parents=True)
    own.write_bytes(b"cut short")
    step, place = ("augmented", own.parent) if option == "mirror" else ("test", own)
    with pytest.raises(DownloadError, match=r"cut short, or a different file$"):
        boxseg.download(dataset="voc", out=tmp_path / "out", only=[step], **{option: str(place)})
    assert own.is_file()


def test_an_archive_stays_where_the_disk_is_at_fault(
    served: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(shutil, "copyfileobj", refuse)
    with pytest.raises(DownloadError, match="no space left"):
        boxseg.download(dataset="voc", out=tmp_path)
    assert files(tmp_path) == [f"downloads/{TAR}"]


def test_an_archive_with_too_few_files(served: FaultyServer, tmp_path: Path, monkeypatch) -> None:
    trainval, augmented, test = ARCHIVES["voc"]
    more = replace(augmented, result={"SegmentationClassAug": 7})
    monkeypatch.setitem(ARCHIVES, "voc", (trainval, more, test))
    with pytest.raises(DownloadError, match=r"contains 6 files SegmentationClassAug, expected 7"):
        boxseg.download(dataset="voc", out=tmp_path)
    assert not (tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationClassAug").exists()


def test_a_kept_archive_that_is_damaged_is_named(served: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / TAR).write_bytes(bytes(len(served.files[TAR])))
    with pytest.raises(DownloadError, match=rf"downloads/{TAR}: md5 .* expected .*; remove it, and the same"):
        boxseg.download(dataset="voc", out=tmp_path)


def test_space_is_looked_at_first(served: FaultyServer, contents, tmp_path: Path, monkeypatch) -> None:
    free = len(contents[TAR]) + 10_000 + 10_000 + 10_000
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(9_999))
    with pytest.raises(DownloadError, match=r"about 1 MB are needed, 0 MB are free; make room, or .*only="):
        boxseg.download(dataset="voc", out=tmp_path / "new")
    assert served.seen == []
    assert not (tmp_path / "new").exists()
    # Removed archives make room for the next; kept ones do not.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free - 1))
    with pytest.raises(DownloadError, match="are needed"):
        boxseg.download(dataset="voc", out=tmp_path / "new", keep_archives=True)
    boxseg.download(dataset="voc", out=tmp_path / "new")


def test_a_call_that_was_killed_while_unpacking(served: FaultyServer, tmp_path: Path, monkeypatch) -> None:
    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            boxseg.download(dataset="voc", out=tmp_path)
    assert files(tmp_path) == [f"downloads/{TAR}"]
    stale = tmp_path / "downloads" / "unpacked" / "trainval" / "JPEGImages" / "stale.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_text("of a process that could not tidy up")
    served.seen.clear()
    done = boxseg.download(dataset="voc", out=tmp_path)
    assert not any("stale" in name for name in files(tmp_path))
    assert len(served.seen) == 1
    assert len(boxseg.doctor(data=done.root).dataset) == 2


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


def test_a_place_that_cannot_be_written_to(served: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "downloads").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="cannot write there"):
        boxseg.download(dataset="voc", out=tmp_path)


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

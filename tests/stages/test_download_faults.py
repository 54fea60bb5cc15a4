"""`boxseg download` with archives that are wrong, useless or cut off, and with full disks."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

import boxseg
from boxseg.cli import execute
from boxseg.downloads.archives import ARCHIVES
from boxseg.errors import DownloadError
from faulty_server import FaultyServer
from voc_archives import TAR, ZIP, as_published, files, states


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


def test_a_place_that_cannot_be_written_to(served: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "downloads").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="cannot write there"):
        boxseg.download(dataset="voc", out=tmp_path)

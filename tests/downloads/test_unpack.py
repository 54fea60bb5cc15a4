"""Archives as they should be, and as somebody with bad intent or a bad disk made them."""

from __future__ import annotations

import errno
import io
import shutil
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from boxseg.downloads.unpack import merge, unpack
from boxseg.errors import DownloadError

FILES = {
    "kit/VOC/a.txt": b"a" * 5000,
    "kit/VOC/sub/b.txt": b"b",
    "kit/c.txt": b"c",
    "__MACOSX/kit/._a": b"d",
}


def make(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("kit/empty/", b"")
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        folder = tarfile.TarInfo("./kit/empty")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o4777
            archive.addfile(info, io.BytesIO(content))
    return path


def found(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
def test_files_below_top_that_match(tmp_path: Path, name: str) -> None:
    archive, out = make(tmp_path / name, FILES), tmp_path / "out"
    assert unpack(archive, out) == 4
    assert found(out) == FILES
    assert unpack(archive, out / "top", top="kit/VOC") == 2
    assert found(out / "top") == {"a.txt": FILES["kit/VOC/a.txt"], "sub/b.txt": b"b"}
    assert unpack(archive, out / "some", members="kit/*b.txt") == 1
    assert found(out / "some") == {"kit/VOC/sub/b.txt": b"b"}
    with pytest.raises(DownloadError, match=r"contains no file kit/VOC/\*\.jpg: it is not the archive"):
        unpack(archive, out / "none", top="kit/VOC", members="*.jpg")
    assert not (out / "none").exists()


def test_no_rights_come_from_an_archive(tmp_path: Path) -> None:
    unpack(make(tmp_path / "a.tar", FILES), tmp_path / "out")
    assert (tmp_path / "out" / "kit" / "c.txt").stat().st_mode & 0o7111 == 0


OUT = [
    "../evil",
    "kit/../../evil",
    "/evil",
    "/../evil",
    "..",
    "C:\\evil",
    "kit\\..\\..\\evil",
    "\\\\host\\evil",
]


@pytest.mark.parametrize("suffix", ["tar", "zip"])
@pytest.mark.parametrize("name", OUT)
def test_names_that_lead_out(tmp_path: Path, suffix: str, name: str) -> None:
    archive = make(tmp_path / f"a.{suffix}", {**FILES, name: b"evil"})
    with pytest.raises(DownloadError, match=r"file outside the folder, .*not unpacked"):
        unpack(archive, tmp_path / "in" / "out", members="kit/VOC/*")
    assert {path.name for path in tmp_path.iterdir()} == {archive.name}
    assert not Path("/evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("kit")
        link.type, link.linkname = kind, str(tmp_path / "elsewhere")
        archive.addfile(link)
        inside = tarfile.TarInfo("kit/a.txt")
        inside.size = 4
        archive.addfile(inside, io.BytesIO(b"evil"))
    with pytest.raises(DownloadError, match="contains a link or device, kit: it was not unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_links_in_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("kit")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, str(tmp_path / "elsewhere"))
        archive.writestr("kit/a.txt", "evil")
    with pytest.raises(DownloadError, match="contains a link, kit: it was not unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_archives_cut_short(tmp_path: Path, name: str, share: float) -> None:
    whole = make(tmp_path / name, {f"kit/{n}": bytes(range(256)) * 40 for n in range(9)}).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * (len(whole) - 10240 * (name == "a.tar")))])
    with pytest.raises(DownloadError, match=r"is damaged or cut short|cut short, or a different file"):
        unpack(tmp_path / name, tmp_path / "out")


def test_damage_inside(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", {"kit/a": b"a" * 5000})
    content = bytearray(archive.read_bytes())
    place = content.index(b"kit/a") + 8
    content[place] ^= 255
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match="is damaged or cut short"):
        unpack(archive, tmp_path / "out")


def test_a_web_page_instead_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("\n<!DOCTYPE html><title>Please log in</title>")
    with pytest.raises(DownloadError, match=r"a\.tar is not a tar or zip archive: it looks like a web page"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_too_large_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(tmp_path / "a.zip", {"kit/a": bytes(3_000_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(2_900_000))
    with pytest.raises(DownloadError, match=r"a\.zip unpacks to 3 MB, 2 MB are free"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "cannot write there")]
)
def test_a_disk_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(*_) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(shutil, "copyfileobj", refuse)
    with pytest.raises(DownloadError, match=message):
        unpack(make(tmp_path / "a.zip", FILES), tmp_path / "out")


def test_merge_adds_and_replaces(tmp_path: Path) -> None:
    for name, content in {
        "new/a/x": "1",
        "new/a/b/y": "2",
        "new/z": "3",
        "old/a/x": "0",
        "old/a/w": "4",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    merge(tmp_path / "new", tmp_path / "old")
    assert not (tmp_path / "new").exists()
    assert found(tmp_path / "old") == {"a/x": b"1", "a/b/y": b"2", "a/w": b"4", "z": b"3"}
    merge(tmp_path / "old", tmp_path / "deep" / "down")
    assert len(found(tmp_path / "deep" / "down")) == 4


def test_merge_keeps_back_what_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("new/a/x", "new/b/y", "new/c/z", "old/a/w", "old/b/w"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    moved, move = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: [moved.append(path.name), move(path, target)])
    merge(tmp_path / "new", tmp_path / "old", last=["a", "none"])
    assert moved == ["y", "c", "x"]
    assert sorted(found(tmp_path / "old")) == ["a/w", "a/x", "b/w", "b/y", "c/z"]

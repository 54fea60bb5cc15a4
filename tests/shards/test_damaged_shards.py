"""Shards that are damaged, hostile or of others: their photos are not there, and nothing is unpacked."""

from __future__ import annotations

import errno
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from boxseg.documents import Readable
from boxseg.errors import DataError
from boxseg.shards import shard_file
from boxseg.shards.find import home_of
from boxseg.shards.shards import ShardHome
from shard_files import NAMES, assert_holds, results_of, rows, tars, write_shards

pytest.importorskip("pyarrow.parquet", reason="the extra `arrow` is not installed")


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b""),
    "a few bytes": lambda path: path.write_bytes(b"x" * 100),
    "cut in the middle": lambda path: cut(path, 0.5),
    "its last byte is lost": lambda path: cut(path, 1 - 1e-9),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "its index": lambda path: flip(path, path.stat().st_size - 4 * 512 - 500),
    "its end": lambda path: flip(path, path.stat().st_size - 3 * 512 + 20),
    "the header of its end": lambda path: flip(path, path.stat().st_size - 4 * 512 + 3),
    "more behind it": lambda path: path.write_bytes(path.read_bytes() + b"more"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_photos_of_a_damaged_shard_are_not_there(
    what: str, home: ShardHome, caplog: pytest.LogCaptureFixture
) -> None:
    write_shards(home, NAMES)
    damaged = tars(home.folder)[1]
    DAMAGE[what](damaged)
    found = home_of(home.folder)
    assert [name for name in NAMES if found.has(name, ["labels"])] == NAMES[:3] + NAMES[6:]
    [line] = caplog.messages
    assert str(damaged) in line
    assert "`boxseg label`, given again, makes them anew" in line
    assert_holds(home.folder, NAMES[:3] + NAMES[6:])
    anew = home_of(home.folder).begin()
    assert not damaged.exists()
    write_shards(anew, NAMES[3:6])
    assert_holds(home.folder, NAMES)
    assert len(rows(home.folder)) == 2 * len(NAMES)
    assert len(caplog.messages) == 1


def test_a_shard_that_cannot_be_read_just_now_stays(home: ShardHome, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(home, NAMES[:3])
    [path] = tars(home.folder)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(shard_file, "_check", fail)
        with pytest.raises(OSError, match="Input/output error"):
            home_of(home.folder).begin()
    assert path.is_file()
    assert_holds(home.folder, NAMES[:3])


def test_a_shard_of_a_later_layout_stays(home: ShardHome, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shard_file, "_VERSION", 2)
        write_shards(home, NAMES[:3])
    [path] = tars(home.folder)
    with pytest.raises(DataError, match="a shard of layout 2, expected 1: upgrade boxseg"):
        home_of(home.folder).begin()
    assert path.is_file()


def test_every_length_of_a_cut_shard_is_seen(home: ShardHome) -> None:
    write_shards(home, NAMES[:1])
    [path] = tars(home.folder)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(shard_file.ShardDamage):
            shard_file.read_shard(path)
    path.write_bytes(content)
    assert len(shard_file.read_shard(path).places) == 1


def read_or_refused(item: Readable) -> bytes | str:
    try:
        return item.read_bytes()
    except DataError as error:
        return str(error)


def test_any_byte_of_a_photo_may_be_damaged(home: ShardHome) -> None:
    """What is read is the content, perhaps with that byte, or an error that names the file."""
    write_shards(home, NAMES[:1])
    [path] = tars(home.folder)
    content, results = path.read_bytes(), results_of("a")[0]
    found = home_of(home.folder)
    refused = 0
    for place in range(0, len(content) - 5 * 512, 23):
        flip(path, place)
        for kind in results:
            read = read_or_refused(found.item(kind, "a"))
            if isinstance(read, str):
                assert str(path) in read
                refused += 1
            else:
                assert len(read) == len(results[kind])
                assert sum(one != other for one, other in zip(read, results[kind], strict=True)) <= 1
        path.write_bytes(content)
    assert refused > 20


def test_shards_of_others_are_left_aside(home: ShardHome, caplog: pytest.LogCaptureFixture) -> None:
    write_shards(home, ["a"])
    other = ShardHome(home.folder.parent / f"{home.folder.name}-other").begin()
    write_shards(other, ["a", "b"], version=1)
    copied = home.place / "0009-aaaaaaaaaaaa-00000.tar"
    copied.write_bytes(tars(other.folder)[0].read_bytes())
    with tarfile.open(home.place / "mine.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
    (home.place / "0009-bbbbbbbbbbbb-00000.tar").symlink_to(tars(other.folder)[0])
    assert_holds(home.folder, ["a"])
    found = home_of(home.folder)
    assert not found.has("b", ["labels"])
    lines = "\n".join(caplog.messages)
    assert len(caplog.messages) == 3
    assert f"{copied}: it is of another run folder: it is left aside" in lines
    assert f"{home.place / 'mine.tar'}: it was not written by boxseg: it is left aside" in lines
    home_of(home.folder).begin()
    assert copied.is_file()  # they are not ours to remove


HOSTILE = {
    "leads out": ("../../a.png", tarfile.REGTYPE),
    "absolute": ("/etc/passwd", tarfile.REGTYPE),
    "link": ("a.png", tarfile.SYMTYPE),
    "hard link": ("a.png", tarfile.LNKTYPE),
    "device": ("a.png", tarfile.CHRTYPE),
    "pipe": ("a.png", tarfile.FIFOTYPE),
    "folder": ("a.png", tarfile.DIRTYPE),
    "another photo's": ("b.png", tarfile.REGTYPE),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_members_that_are_not_the_photos_plain_files_are_refused(what: str, home: ShardHome) -> None:
    """A shard that ends as one of ours, with another header in its middle. Nothing is written to the disk."""
    write_shards(home, ["a"])
    [path] = tars(home.folder)
    header = tarfile.TarInfo(HOSTILE[what][0])
    header.type, header.linkname = HOSTILE[what][1], "/etc/passwd"
    header.size = len(results_of("a")[0]["labels"])
    content = path.read_bytes()
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + content[512:])
    before = sorted(home.folder.parent.rglob("*"))
    found = home_of(home.folder)
    for kind in ("labels", "masks"):
        with pytest.raises(DataError, match=r"damaged at photo a .*: remove it and label again"):
            found.item(kind, "a").read_bytes()
    with pytest.raises(DataError, match="damaged"):
        list(shard_file.read_photos(found.index.shards[0], found.index.shards[0].places))  # type: ignore[attr-defined]
    assert sorted(home.folder.parent.rglob("*")) == before


def test_an_index_that_points_elsewhere_is_refused(home: ShardHome) -> None:
    """One with a digest that fits, made by somebody who knows the layout."""
    path = home.place / "0001-cccccccccccc-00000.tar"
    for offset, whole in ((0, True), (1 << 40, False), (2**64 - 1024, False), (512 * 4, False)):
        file = shard_file.ShardFile(path, home.run)
        file.add("a", {"png": b"x", "json": b"{}"})
        file._places = [(*place[:2], offset, place[3]) for place in file._places]
        file.close()
        if whole:
            assert len(shard_file.read_shard(path).places) == 1
        else:
            with pytest.raises(shard_file.ShardDamage):
                shard_file.read_shard(path)

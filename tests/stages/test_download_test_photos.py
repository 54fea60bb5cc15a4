"""The archive of VOC's test photos, which users fetch themselves."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

import boxseg
from boxseg.errors import DownloadError
from boxseg.formats.voc import split_ids
from faulty_server import FaultyServer
from voc_archives import files, states

LISTED = [f"test_{number:04}" for number in range(20)]


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

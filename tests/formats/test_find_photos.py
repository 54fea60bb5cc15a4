"""Which photos `predict` is given by names, folders and patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxseg.errors import DataError
from boxseg.formats.photo_files import find_photos

NAMES = ("a1.jpg", "a2.JPG", "b[1].jpg", "b1.jpg", "deep/er/c.png", "deep/d.jpg", "notes.txt")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["a?.*"], ["a1.jpg", "a2.JPG"]),
        (["[ab]1.jpg"], ["a1.jpg", "b1.jpg"]),
        (["b[1].jpg"], ["b[1].jpg"]),  # a file of this very name
        (["deep/*.jpg"], ["deep/d.jpg"]),
        (["**/*.png"], ["deep/er/c.png"]),
        (["d*"], ["deep/d.jpg", "deep/er/c.png"]),  # a folder, searched to any depth
        (["deep/d.jpg", "a1.jpg"], ["deep/d.jpg", "a1.jpg"]),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_patterns_stand_for_photos(given: list[str], expected: list[str], absolute: bool, photos: Path) -> None:
    start = f"{photos.as_posix()}/" if absolute else ""
    found = find_photos([start + text for text in given])
    assert found == [Path(start + name) for name in expected]


def test_a_folder_holds_all_its_photos(photos: Path) -> None:
    assert sorted(find_photos(["."])) == [Path(name) for name in sorted(NAMES) if name != "notes.txt"]


@pytest.mark.parametrize("given", ["c*.jpg", "nowhere/*.jpg", "nowhere"])
def test_what_stands_for_nothing_is_an_error(given: str, photos: Path) -> None:
    with pytest.raises(DataError, match=r"no (such )?file or folder"):
        find_photos([given])

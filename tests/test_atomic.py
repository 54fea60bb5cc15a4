from __future__ import annotations

import errno
from pathlib import Path

import pytest

from boxseg.atomic import atomic_path


def test_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def stopped_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_system_names_the_file_that_was_wanted(tmp_path: Path) -> None:
    """Not the temporary one; and a full disk, of which the system says no path, names it too."""
    path = tmp_path / "file.txt"

    def fails(error: OSError) -> OSError:
        with pytest.raises(OSError) as caught, atomic_path(path):  # noqa: PT011  which one is what is tested
            raise error
        return caught.value

    assert fails(OSError(errno.ENOSPC, "No space left on device")).filename == str(path)
    assert fails(OSError(errno.ECONNRESET, "Connection reset by peer")).filename is None
    assert fails(OSError(errno.EACCES, "Permission denied", "other")).filename == "other"
    path.mkdir()
    with pytest.raises(OSError, match="file") as caught, atomic_path(path) as temporary:
        temporary.write_text("half")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]

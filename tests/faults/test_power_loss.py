"""After a loss of power a file is whole, and a training has a checkpoint to go on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from boxseg.atomic import atomic_path, write_text
from boxseg.runs.layout import LAST
from boxseg.training.checkpoints import WholeCheckpoints, last_checkpoint
from simulated_disk import SimulatedDisk, lose_power_everywhere


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[bytes | None] = set()

    def work(folder: Path) -> None:
        for text in ("first", "second, longer"):
            write_text(folder / "sub" / "file.txt", text)

    def check(files: dict[Path, bytes]) -> None:
        assert set(files) <= {Path("sub/file.txt")}
        seen.add(files.get(Path("sub/file.txt")))

    losses = lose_power_everywhere(work, check, tmp_path, monkeypatch)
    assert losses == 6  # file, name, folder; twice
    assert seen == {None, b"first", b"second, longer"}


def test_when_the_block_ends_the_new_file_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk(tmp_path)
    disk.install(monkeypatch)
    write_text(tmp_path / "file.txt", "new")
    assert disk.left(names=False) == {tmp_path / "file.txt": b"new"}


def test_the_simulated_disk_loses_what_is_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk(tmp_path)
    disk.install(monkeypatch)
    (tmp_path / "a").write_text("content")
    (tmp_path / "a").replace(tmp_path / "b")
    assert disk.left(names=False) == {}
    assert disk.left(names=True) == {tmp_path / "b": b""}


def test_a_training_keeps_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every loss, the last or the one before can be read, once the first was written."""
    reached: list[int] = []

    def work(folder: Path) -> None:
        reached.append(0)
        for step in (1, 2, 3):
            content = {"global_step": step, "epoch": step - 1, "boxseg": {"stage": "classify"}}
            WholeCheckpoints().save_checkpoint(content | {"w": torch.ones(40)}, folder / LAST)
            reached[-1] = step

    def check(files: dict[Path, bytes]) -> None:
        after = tmp_path / "after"
        for path, content in files.items():
            (after / path).parent.mkdir(parents=True, exist_ok=True)
            (after / path).write_bytes(content)
        found = last_checkpoint(after, "classify")
        assert (found.step if found else 0) in (reached[-1], reached[-1] + 1)
        for path in files:
            (after / path).unlink()

    assert lose_power_everywhere(work, check, tmp_path, monkeypatch) >= 10


def test_temporary_files_are_on_the_disk_of_the_result(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"")
        assert temporary.parent == tmp_path

"""`doctor` with a folder goes on where it was stopped, and says what it would have said."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.dataset import Problem
from boxseg.errors import ConfigError
from boxseg.jobs import DoctorJob
from boxseg.stages import doctor


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Twelve photos, the last one cut short."""
    root = tmp_path / "data"
    write_toy(root, train=12, val=1, size=48)
    photos = sorted((root / "JPEGImages").glob("train*"))
    photos[-1].write_bytes(photos[-1].read_bytes()[:-200])
    return Data(root=root)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the photos that are decoded; the photo in front of `stop` stops the command."""
    found: list[str] = []
    look = doctor.inspect_photos

    def looking(samples: Any, *rest: Any, **more: Any) -> list[Problem]:
        if "stop" in found and any(sample.id > "train_0005" for sample in samples):
            raise KeyboardInterrupt
        found.extend(sample.id for sample in samples)
        return look(samples, *rest, **more)

    monkeypatch.setattr(doctor, "inspect_photos", looking)
    monkeypatch.setattr(doctor, "TOGETHER", 2)
    return found


def said(result: Any) -> dict[str, Any]:
    return dict(result.to_dict())


def test_a_stopped_check_goes_on(data: Data, tmp_path: Path, decoded: list[str]) -> None:
    job = DoctorJob(data=data, out=tmp_path / "out")
    decoded.append("stop")
    with pytest.raises(KeyboardInterrupt):
        doctor.run(job)
    before = [name for name in decoded if name != "stop"]
    assert 4 <= len(before) < 12
    decoded.clear()
    resumed = said(doctor.run(job))
    assert {*before} | {*decoded} == {f"train_{n:04}" for n in range(12)}
    assert not {*before} & {*decoded}
    decoded.clear()
    assert said(doctor.run(job)) == resumed
    assert decoded == []
    assert said(doctor.run(dataclasses.replace(job, out=None))) == resumed
    assert [problem["kind"] for problem in resumed["problems"]] == ["damaged photo"]


def test_of_changed_photos_nothing_counts(data: Data, tmp_path: Path, decoded: list[str]) -> None:
    job = DoctorJob(data=data, out=tmp_path / "out")
    doctor.run(job)
    os.utime(next(data.root.rglob("*.jpg")), (1, 1))
    decoded.clear()
    doctor.run(job)
    assert len(decoded) == 12


def test_photos_outside_of_the_data_set_count_too(data: Data, tmp_path: Path, decoded: list[str]) -> None:
    (data.root / "JPEGImages").rename(tmp_path / "elsewhere")
    (data.root / "JPEGImages").symlink_to(tmp_path / "elsewhere")
    job = DoctorJob(data=data, out=tmp_path / "out")
    assert [problem["kind"] for problem in said(doctor.run(job))["problems"]] == ["damaged photo"]
    photos = sorted((tmp_path / "elsewhere").glob("train*"))
    shutil.copyfile(photos[0], photos[-1])
    os.utime(photos[-1], (1, 1))
    decoded.clear()
    assert said(doctor.run(job))["problems"] == []
    assert len(decoded) == 12


def test_splits_and_a_half_written_line_do_no_harm(data: Data, tmp_path: Path, decoded: list[str]) -> None:
    job = DoctorJob(data=data, out=tmp_path / "out")
    first = said(doctor.run(job))
    (file,) = job.out.glob(".decoded-*") if job.out else []
    with file.open("a") as lines:
        lines.write('{"of": "')
    doctor.run(dataclasses.replace(job, data=dataclasses.replace(data, split="val")))
    decoded.clear()
    assert said(doctor.run(job)) == first
    assert decoded == []


def test_the_folder_is_checked_before_anything_is_read(data: Data, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        doctor.run(DoctorJob(data=data, out=tmp_path / "file"))


def test_nothing_is_written_without_a_folder(data: Data) -> None:
    def files() -> set[Path]:
        return set(data.root.rglob("*"))

    before = files()
    doctor.run(DoctorJob(data=data))
    assert files() == before

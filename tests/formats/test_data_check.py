from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.dataset import Problem
from boxseg.formats.masks import read_mask, write_mask
from boxseg.formats.problems import problem_table


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    write_toy(tmp_path, train=7, val=0, size=64)
    return tmp_path


def mask(root: Path, number: int) -> Path:
    return root / "SegmentationClass" / f"train_{number:04d}.png"


def test_what_only_decoding_finds(toy: Path) -> None:
    photo = toy / "JPEGImages" / "train_0001.jpg"
    photo.write_bytes(photo.read_bytes()[:-800])
    write_mask(mask(toy, 2), np.zeros((5, 5), dtype=np.uint8))
    write_mask(mask(toy, 3), read_mask(mask(toy, 3)) + 6)
    mask(toy, 4).write_bytes(b"rubbish")
    mask(toy, 5).unlink()
    write_mask(mask(toy, 6), np.zeros_like(read_mask(mask(toy, 6))))

    dataset = formats.load(Data(root=toy))
    assert dataset.problems == ()
    seen: list[tuple[int, int]] = []
    problems = formats.inspect(dataset, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 7) for done in range(1, 8)]
    found = [(problem.file.stem, problem.kind) for problem in problems]
    absent = "box without a pixel of its class in the mask"
    assert found == [
        ("train_0001", "damaged photo"),
        ("train_0002", "mask of other size"),
        ("train_0003", "damaged mask"),
        ("train_0004", "damaged mask"),
        *[("train_0006", absent)] * len(dataset.samples[6].boxes),
    ]
    assert "value 6 in" in problems[2].what
    assert problems[0].what.startswith("damaged photo: unreadable image (")  # the path stands beside it


def test_photos_of_16_bits_that_use_fewer(toy: Path) -> None:
    first, second = sorted((toy / "JPEGImages").iterdir())[:2]
    deep = np.full((12, 16), 3000, np.uint16)
    Image.fromarray(deep).save(first.with_suffix(".png"))
    dataset = formats.load(Data(root=toy))
    shallow = replace(dataset.samples[0], image=first.with_suffix(".png"), ground_truth=None)
    full = replace(shallow, image=second.with_suffix(".png"))
    Image.fromarray(deep * 16).save(full.image)
    (problem,) = formats.inspect(replace(dataset, samples=(shallow, full)))
    assert (problem.file, problem.what) == (shallow.image, "photo of 16 bits that uses fewer: 12")
    assert problem.action == "read as one of 12 bits"


def test_nothing_found_in_a_sound_data_set(toy: Path, shared_data: Path) -> None:
    assert formats.inspect(formats.load(Data(root=toy))) == []
    assert formats.inspect(formats.load(Data(root=shared_data / "voc2012", limit=40))) == []


def test_a_table_shows_the_first_problems_of_each_kind() -> None:
    file = Path("a.txt")
    found = [
        Problem(file=file, kind="class unknown", detail=f"{n}, line 1", action="dropped") for n in range(4)
    ]
    found.insert(1, Problem(file=file, kind="missing", action="to be added"))
    assert problem_table(found, shown=2).rows == (
        ("a.txt", "class unknown: 0, line 1", "dropped"),
        ("a.txt", "class unknown: 1, line 1", "dropped"),
        ("… and 2 more", "class unknown", "dropped"),
        ("a.txt", "missing", "to be added"),
    )

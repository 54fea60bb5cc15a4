"""Photos of any sizes, a few at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from boxseg.config import Trainer
from boxseg.dataset import Sample
from boxseg.stages import grouping


def photo(folder: Path, number: int, width: int, height: int) -> Sample:
    path = folder / f"{number}.png"
    Image.fromarray(np.full((height, width, 3), number, np.uint8)).save(path)
    none = np.zeros(0, dtype=np.int64)
    return Sample(
        id=str(number),
        image=path,
        width=width,
        height=height,
        boxes=np.zeros((0, 4)),
        labels=none,
        difficult=none.astype(bool),
    )


def test_large_photos_go_alone_and_small_ones_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "PIXELS", 100)
    sides = [3] * 10 + [7, 7, 7] + [20] + [10] + [1] * 3
    samples = [photo(tmp_path, number, side, side) for number, side in enumerate(sides)]
    (tmp_path / "4.png").write_bytes(b"no photo")
    skipped: dict[str, str] = {}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    device = torch.device("cpu")
    groups = list(
        grouping.photo_groups(samples, skipped, description="", trainer=Trainer(workers=0), device=device)
    )
    assert list(skipped) == ["4"]
    found = [(sample.id, int(image[0, 0, 0])) for group in groups for sample, image in group]
    assert found == [(str(number), number) for number in range(len(sides)) if number != 4]
    for group in groups:
        assert len(group) <= 8
        assert len(group) == 1 or sum(image.shape[0] * image.shape[1] for _, image in group) <= 100
    assert [len(group) for group in groups] == [8, 2, 2, 1, 1, 3]

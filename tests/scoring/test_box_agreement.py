"""What boxes tell of a mask network, from a network that draws known masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from boxseg.config import TrainerOptions
from boxseg.dataset import Sample
from boxseg.inference.mask_networks import LoadedMaskNetwork
from boxseg.nn.mask_network import GRID
from boxseg.scoring.box_agreement import BoxAgreement, agreement_table, box_agreement

TRAINER = TrainerOptions(accelerator="cpu", workers=0)


class Inner:
    """A network that takes the middle of each box, by its share of the sides, for the object."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, crops: Tensor, guides: Tensor) -> Tensor:
        left, right, top, bottom = guides[:, :4].unbind(1)
        away = torch.maximum((left - right).abs(), (top - bottom).abs())  # 0 in the middle, 1 at the sides
        return 400 * (self.share - away)


class Nothing:
    """A network that never sees an object."""

    def __call__(self, crops: Tensor, guides: Tensor) -> Tensor:
        return torch.full((len(crops), GRID, GRID), -20.0)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    found = []
    for name, boxes in (("a", [(10, 10, 90, 110)]), ("b", [(0, 0, 120, 60), (40, 50, 100, 120)]), ("none", [])):
        Image.new("RGB", (120, 120), (90, 90, 90)).save(tmp_path / f"{name}.png")
        found.append(
            Sample(
                id=name,
                image=tmp_path / f"{name}.png",
                width=120,
                height=120,
                boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
                labels=np.ones(len(boxes), dtype=np.int64),
                difficult=np.zeros(len(boxes), dtype=bool),
            )
        )
    return found


def agreement(network: object, samples: list[Sample]) -> BoxAgreement:
    loaded = LoadedMaskNetwork(network=network, device=torch.device("cpu"), file=Path("x"))  # type: ignore[arg-type]
    return box_agreement(loaded, samples, TRAINER)


@pytest.mark.parametrize("share", [0.5, 0.8, 1.1])
def test_the_bounds_of_a_mask_are_compared_with_its_box(share: float, samples: list[Sample]) -> None:
    found = agreement(Inner(share), samples)
    assert (found.boxes, found.empty) == (3, 0)
    assert found.projection == pytest.approx(min(share, 1) ** 2, abs=0.04)
    assert found.views > 0.97  # rounding of cells at the edge


def test_a_box_without_a_mask_fills_nothing(samples: list[Sample]) -> None:
    assert agreement(Nothing(), samples) == BoxAgreement(boxes=3, projection=0.0, views=1.0, empty=3)


def test_photos_that_cannot_be_read_are_left_out(samples: list[Sample]) -> None:
    samples[0].image.write_bytes(b"no photo")
    assert agreement(Inner(1.1), samples).boxes == 2
    assert agreement(Inner(1.1), []) == BoxAgreement(boxes=0, projection=0.0, views=0.0, empty=0)


def test_a_row_for_each_network() -> None:
    before, after = (BoxAgreement(boxes=9, projection=p, views=0.9, empty=1) for p in (0.7, 0.8))
    table = agreement_table("title", {"before": before, "after": after})
    assert table.rows == (("before", 9, 0.7, 0.9, 1), ("after", 9, 0.8, 0.9, 1))
    assert after.as_dict() == {"boxes": 9, "projection": 0.8, "views": 0.9, "empty": 1}

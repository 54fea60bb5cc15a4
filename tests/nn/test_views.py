"""The mean over views against views that are made one by one, at their full sizes."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn import upsample as module
from boxseg.nn.upsample import upsample_aligned
from boxseg.nn.views import Views


def cells_for(size: int, stride: int) -> int:
    return -(-(size - 1) // stride) + 1


def along_columns(maps: Tensor, width: int) -> Tensor:
    shrinks = maps.shape[3] > width
    goal = (maps.shape[2], width)
    return F.interpolate(maps.contiguous(), goal, mode="bilinear", antialias=shrinks)


def one_by_one(views: list[tuple[Tensor, tuple[int, int], bool]], size: tuple[int, int], stride: int) -> Tensor:
    total = torch.zeros(views[0][0].shape[0], *size, dtype=torch.float64)
    for maps, view_size, mirrored in views:
        full = upsample_aligned(maps[None], view_size, stride)
        full = full.flip(3) if mirrored else full
        if view_size != size:
            # Along one side at a time: an image may shrink along one and not along the other. Rows are resized
            # as columns, for torch resizes a single column with antialiasing wrongly.
            full = along_columns(along_columns(full, size[1]).mT, size[0]).mT
        total += full[0]
    return total / len(views)


@settings(max_examples=60)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 70),
    stride=st.sampled_from([4, 8, 16]),
    scales=st.lists(st.floats(0.3, 2.2), min_size=1, max_size=4),
    flip=st.booleans(),
    block=st.sampled_from([7, 32, 256]),
)
def test_mean_of_views(
    height: int, width: int, stride: int, scales: list[float], flip: bool, block: int
) -> None:
    generator = torch.Generator().manual_seed(height * 100 + width)
    added = []
    seen = Views((height, width), stride)
    for scale in scales:
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        for mirrored in (False, True)[: 1 + flip]:
            h, w = (cells_for(side, stride) for side in size)
            maps = torch.rand(3, h, w, dtype=torch.float64, generator=generator)
            added.append((maps, size, mirrored))
            seen.add(maps, size, mirrored=mirrored)
    before, module.BLOCK = module.BLOCK, block
    try:
        mean = seen.mean()
    finally:
        module.BLOCK = before
    torch.testing.assert_close(mean, one_by_one(added, (height, width), stride))


def test_a_mirrored_view_of_a_mirrored_image_says_the_same() -> None:
    maps = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0))
    plain, mirrored = Views((17, 33), 8), Views((17, 33), 8)
    plain.add(maps, (17, 33))
    mirrored.add(maps.flip(2), (17, 33), mirrored=True)
    torch.testing.assert_close(mirrored.mean(), plain.mean())


def test_a_single_view_is_its_upsampling() -> None:
    maps = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
    view = Views((25, 14), 8)
    view.add(maps, (25, 14))
    torch.testing.assert_close(view.mean(), upsample_aligned(maps[None], (25, 14), 8)[0])

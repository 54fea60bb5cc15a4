from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from boxseg.nn.pooling import (
    Pooled,
    PoolingOptions,
    background_aware_pooling,
    background_share,
    bin_sides,
    pooling_loss,
)
from boxseg.nn.upsample import cell_edges
from measure import MEGABYTE, allocated

STRIDE, SIZE, CELLS = 4, (15, 19), (5, 6)
Pooling = Literal["bap", "gap"]

# Per image: boxes. Ordinary, overlapping, smaller than a cell, almost all box, all box, and no box.
IMAGES = [
    [(2.0, 1.5, 11.0, 9.25), (9.0, 4.0, 18.0, 14.0)],
    [(6.2, 6.3, 6.9, 7.1), (0.0, 0.0, 19.0, 5.0), (3.0, 3.0, 12.0, 15.0)],
    [(0.0, 0.0, 19.0, 14.0)],
    [(0.0, 0.0, 19.0, 15.0), (5.0, 5.0, 9.0, 9.0)],
    [],
]


def background_map(boxes: list[tuple[float, float, float, float]], size: tuple[int, int] = SIZE) -> Tensor:
    background = torch.ones(size, dtype=torch.bool)
    for y in range(size[0]):
        for x in range(size[1]):
            if any(x1 <= x + 0.5 < x2 and y1 <= y + 0.5 < y2 for x1, y1, x2, y2 in boxes):
                background[y, x] = False
    return background


def batch(seed: int, channels: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.tensor([box for image in IMAGES for box in image], dtype=torch.float64)
    index = torch.tensor([b for b, image in enumerate(IMAGES) for _ in image])
    order = torch.randperm(len(boxes), generator=generator)
    return {
        "features": torch.randn(len(IMAGES), channels, *CELLS, dtype=torch.float64, generator=generator),
        "boxes": boxes[order],
        "batch_index": index[order],
        "background": torch.stack([background_map(image) for image in IMAGES]),
    }


def pool(inputs: dict[str, Tensor], pooling: Pooling = "bap", grid: int = 2, bins: int = 2) -> Pooled:
    """With a classifier of one class a channel, unless told otherwise: its scores are the pooled features."""
    weight = torch.eye(inputs["features"].shape[1], dtype=inputs["features"].dtype)
    return background_aware_pooling(
        **{"weight": weight, **inputs},
        options=PoolingOptions(stride=STRIDE, grid=grid, roi_bins=bins, min_background=0.125, pooling=pooling),
    )


def footprint(cell: int, size: int) -> tuple[float, float]:
    """A cell over the middle of pixel s * i reaches half a stride to either side, inside the image."""
    middle = STRIDE * cell + 0.5
    return max(middle - STRIDE / 2, 0.0), min(middle + STRIDE / 2, float(size))


def common(a: tuple[float, float], b: tuple[float, float]) -> float:
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0]))


def reference(
    inputs: dict[str, Tensor], pooling: str, grid: int, bins: int, valid: Tensor | None = None
) -> tuple[list[Tensor], list[tuple[int, Tensor]]]:
    """Section 3.1, literally: loops over images, cells, pixels, boxes, bins."""
    features, background = inputs["features"], inputs["background"]
    positions = [(i, j) for i in range(CELLS[0]) for j in range(CELLS[1])]
    queries: list[tuple[int, Tensor]] = []
    attention: list[dict[tuple[int, int], float]] = []
    for b in range(len(features)):
        inside = torch.ones(SIZE, dtype=torch.bool) if valid is None else valid[b]
        share = {}
        for i, j in positions:
            total = outside = 0.0
            for y in range(SIZE[0]):
                for x in range(SIZE[1]):
                    area = common(footprint(i, SIZE[0]), (y, y + 1)) * common(footprint(j, SIZE[1]), (x, x + 1))
                    total += area * bool(inside[y, x])
                    outside += area * bool(background[b, y, x])
            share[i, j] = outside / total if total > 0 else 0.0
        own: list[Tensor] = []
        for m in range(grid):
            for n in range(grid):
                block = [(i, j) for i, j in positions if (i * grid // CELLS[0], j * grid // CELLS[1]) == (m, n)]
                mass = sum(share[p] for p in block)
                if mass > 0:
                    own.append(sum(share[i, j] * features[b, :, i, j] for i, j in block) / mass)
        queries += [(b, q) for q in own]
        aware = pooling == "bap" and own and float(background[b].sum()) > 0.125 * float(inside.sum())
        attention.append(
            {
                (i, j): sum(
                    max(float(torch.cosine_similarity(features[b, :, i, j], q, dim=0)), 0.0) for q in own
                )
                / len(own)
                if aware
                else 0.0
                for i, j in positions
            }
        )
    rois = []
    for (x1, y1, x2, y2), b in zip(inputs["boxes"].tolist(), inputs["batch_index"].tolist(), strict=True):
        for m in range(bins):
            for n in range(bins):
                high = (y1 + (y2 - y1) * m / bins, y1 + (y2 - y1) * (m + 1) / bins)
                wide = (x1 + (x2 - x1) * n / bins, x1 + (x2 - x1) * (n + 1) / bins)
                above = torch.zeros(features.shape[1], dtype=torch.float64)
                below = 0.0
                for i, j in positions:
                    area = common(footprint(i, SIZE[0]), high) * common(footprint(j, SIZE[1]), wide)
                    above = above + area * (1 - attention[b][i, j]) * features[b, :, i, j]
                    below += area * (1 - attention[b][i, j])
                rois.append(above / below)
    return rois, queries


@pytest.mark.parametrize("pooling", ["bap", "gap"])
@pytest.mark.parametrize(("grid", "bins"), [(1, 1), (2, 2), (4, 3), (9, 2)])
def test_equals_the_equations(pooling: Pooling, grid: int, bins: int) -> None:
    inputs = batch(seed=grid)
    pooled = pool(inputs, pooling, grid, bins)
    rois, queries = reference(inputs, pooling, grid, bins)
    torch.testing.assert_close(pooled.roi, torch.stack(rois), rtol=0, atol=1e-10)
    torch.testing.assert_close(pooled.query, torch.stack([q for _, q in queries]), rtol=0, atol=1e-10)
    assert pooled.query_image.tolist() == [b for b, _ in queries]
    assert pooled.roi_box.tolist() == [box for box in range(len(inputs["boxes"])) for _ in range(bins * bins)]
    assert 3 not in pooled.query_image  # all box: nothing to ask


def test_padding_is_neither_background_nor_object() -> None:
    inputs = batch(seed=3)
    valid = torch.zeros(len(IMAGES), *SIZE, dtype=torch.bool)
    valid[:, :10, :13] = True
    inputs["background"] = inputs["background"] & valid
    rois, queries = reference(inputs, "bap", 2, 2, valid)
    pooled = pool(inputs | {"valid": valid})
    torch.testing.assert_close(pooled.roi, torch.stack(rois), rtol=0, atol=1e-10)
    torch.testing.assert_close(pooled.query, torch.stack([q for _, q in queries]), rtol=0, atol=1e-10)


def test_the_loss_is_the_mean_over_bins_and_queries() -> None:
    inputs = batch(seed=1)
    weight = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pooled = pool(inputs | {"weight": weight})
    labels = torch.tensor([1 + i % 3 for i in range(len(inputs["boxes"]))])
    rois, queries = reference(inputs, "bap", 2, 2)
    terms = []
    for r, box in zip(rois, pooled.roi_box, strict=True):
        terms.append(-math.log(float((weight @ r).softmax(0)[labels[box]])))
    terms += [-math.log(float((weight @ q).softmax(0)[0])) for _, q in queries]
    assert float(pooling_loss(pooled, labels)) == pytest.approx(sum(terms) / len(terms), abs=1e-10)


@pytest.mark.parametrize("pooling", ["bap", "gap"])
def test_gradients(pooling: Pooling) -> None:
    inputs = batch(seed=2, channels=3)
    labels = torch.tensor([1 + i % 2 for i in range(len(inputs["boxes"]))])
    weight = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    features = inputs.pop("features")

    def loss(features: Tensor, weight: Tensor) -> Tensor:
        return pooling_loss(pool({"features": features, "weight": weight, **inputs}, pooling), labels)

    assert torch.autograd.gradcheck(loss, (features.requires_grad_(), weight.requires_grad_()))


def test_background_inside_a_box_is_left_out() -> None:
    """Object and background are orthogonal: BAP answers the object alone, GAP a mixture."""
    features = torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    features[:, 0] = 1
    features[:, :, 1:3, 1:3] = torch.tensor([0.0, 3.0], dtype=torch.float64)[:, None, None]
    box = (2.0, 2.0, 15.0, 15.0)
    inputs = {
        "features": features,
        "boxes": torch.tensor([box]),
        "batch_index": torch.tensor([0]),
        "background": background_map([box], (17, 17))[None],
    }
    for pooling, expected in (("bap", [0.0, 3.0]), ("gap", None)):
        roi = pool(inputs, pooling, grid=1, bins=1).roi[0]
        if expected:
            torch.testing.assert_close(roi, torch.tensor(expected, dtype=torch.float64))
        else:
            assert 0.1 < roi[0] < 0.9


@pytest.mark.parametrize("pooling", ["bap", "gap"])
def test_a_mirrored_photo_has_mirrored_bins(pooling: Pooling) -> None:
    size, cells = (13, 17), (4, 5)
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(1, 4, *cells, dtype=torch.float64, generator=generator)
    boxes = torch.tensor([[1.5, 2.0, 9.0, 11.0], [8.0, 0.0, 17.0, 6.5]], dtype=torch.float64)
    background = background_map([tuple(box) for box in boxes.tolist()], size)[None]
    index = torch.zeros(2, dtype=torch.int64)
    mirrored = torch.stack([17 - boxes[:, 2], boxes[:, 1], 17 - boxes[:, 0], boxes[:, 3]], 1)
    one = pool(
        {"features": features, "boxes": boxes, "batch_index": index, "background": background}, pooling, 1
    )
    two = pool(
        {
            "features": features.flip(3),
            "boxes": mirrored,
            "batch_index": index,
            "background": background.flip(2),
        },
        pooling,
        1,
    )
    torch.testing.assert_close(two.query, one.query)
    torch.testing.assert_close(two.roi.view(2, 2, 2, 4).flip(2), one.roi.view(2, 2, 2, 4))


@settings(max_examples=60)
@given(
    corners=st.tuples(st.floats(-5, 40), st.floats(-5, 40), st.floats(-5, 40), st.floats(-5, 40)),
    stride=st.sampled_from([2, 4, 8, 16]),
    bins=st.integers(1, 4),
)
def test_areas_add_up_to_the_box(corners: tuple[float, ...], stride: int, bins: int) -> None:
    size = (33, 27)
    cells = [-(-(n - 1) // stride) + 1 for n in size]
    rows, columns = (cell_edges(n, c, stride) for n, c in zip(size, cells, strict=True))
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    high, wide = bin_sides(torch.tensor([[x1, y1, x2, y2]], dtype=torch.float64), rows, columns, bins)
    assert (high.shape, wide.shape) == ((1, bins, cells[0]), (1, bins, cells[1]))
    areas = (high[:, :, None, :, None] * wide[:, None, :, None, :]).flatten(1, 2)
    area = common((x1, x2), (0, size[1])) * common((y1, y2), (0, size[0]))
    assert float(areas.sum()) == pytest.approx(area, abs=1e-8)
    # A cell's footprint bounds what any bin can hold of it.
    footprints = rows.diff()[:, None] * columns.diff()
    assert torch.all(areas.sum(1)[0] <= footprints + 1e-9)


def test_shares_are_those_of_the_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    background = torch.rand(2, *SIZE, generator=generator) < 0.4
    rows, columns = (cell_edges(n, c, STRIDE) for n, c in zip(SIZE, CELLS, strict=True))
    share = background_share(background, torch.ones_like(background), rows, columns)
    footprints = rows.diff()[:, None] * columns.diff()
    torch.testing.assert_close((share * footprints).sum((1, 2)), background.sum((1, 2)).double())
    assert torch.all((share >= 0) & (share <= 1))


def finite_with_gradients(inputs: dict[str, Tensor], pooling: Pooling = "bap") -> Tensor:
    features = inputs["features"].clone().requires_grad_()
    weight = torch.full((3, features.shape[1]), 0.1, dtype=features.dtype).requires_grad_()
    pooled = pool(inputs | {"features": features, "weight": weight}, pooling)
    loss = pooling_loss(pooled, torch.ones(len(inputs["boxes"]), dtype=torch.int64))
    loss.backward()
    assert loss.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    return loss


NO_BOXES = {"boxes": torch.zeros(0, 4, dtype=torch.float64), "batch_index": torch.zeros(0, dtype=torch.int64)}


@pytest.mark.parametrize("pooling", ["bap", "gap"])
def test_empty_and_degenerate_batches_stay_finite(pooling: Pooling) -> None:
    inputs = batch(seed=0)
    nothing = torch.zeros_like(inputs["background"])
    assert finite_with_gradients(inputs | NO_BOXES | {"background": nothing}, pooling) == 0
    finite_with_gradients(inputs | NO_BOXES, pooling)
    finite_with_gradients(inputs | {"background": nothing}, pooling)
    finite_with_gradients(inputs | {"valid": nothing, "background": nothing}, pooling)
    finite_with_gradients(inputs | {"features": torch.zeros_like(inputs["features"])}, pooling)
    constant = finite_with_gradients(inputs | {"features": torch.ones_like(inputs["features"])}, pooling)
    assert constant > 0
    outside = inputs["boxes"] + 1000
    pooled = pool(inputs | {"boxes": outside}, pooling)
    assert torch.all(pooled.roi == 0)
    finite_with_gradients(inputs | {"boxes": outside}, pooling)


def test_a_bin_of_pure_background_is_pooled_as_a_whole() -> None:
    inputs = batch(seed=0)
    pure = torch.zeros_like(inputs["features"])
    pure[:, 0] = 1  # cosines of exactly 1: the weighted mean would be 0 / 0
    inputs["features"] = pure
    assert torch.equal(pool(inputs, "gap").roi[:, 0].round(decimals=9), torch.ones(32, dtype=torch.float64))
    torch.testing.assert_close(pool(inputs, "bap").roi, pool(inputs, "gap").roi)


@pytest.mark.parametrize("seed", [2, 5])
def test_rounding_errors_of_a_vanishing_foreground_weigh_nothing(seed: int) -> None:
    """All features nearly alike: 1 - A is rounding error of either sign, a mean weighted by it anything."""
    inputs = batch(seed)
    like = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    features = (like[:, None, None] + 1e-4 * inputs["features"]).float()
    roi = pool(inputs | {"features": features}, "bap").roi
    slack = 1e-6
    assert torch.all(roi.amax(0) <= features.amax((0, 2, 3)) + slack)
    assert torch.all(roi.amin(0) >= features.amin((0, 2, 3)) - slack)


def test_little_background_means_gap() -> None:
    inputs = batch(seed=6)
    bap, gap = pool(inputs, "bap"), pool(inputs, "gap")
    same = (bap.roi == gap.roi).all(1)
    images = inputs["batch_index"][bap.roi_box]
    assert same[(images == 2) | (images == 3)].all()
    assert not same[images == 0].any()
    assert torch.equal(bap.query, gap.query)
    assert 2 in bap.query_image  # its background still serves as an example of class 0


def test_one_image_does_not_see_another() -> None:
    inputs = batch(seed=7)
    together = pool(inputs)
    for b in range(len(IMAGES)):
        own = inputs["batch_index"] == b
        alone = pool(
            {
                "features": inputs["features"][b : b + 1],
                "boxes": inputs["boxes"][own],
                "batch_index": torch.zeros(int(own.sum()), dtype=torch.int64),
                "background": inputs["background"][b : b + 1],
            }
        )
        torch.testing.assert_close(together.roi[own[together.roi_box]], alone.roi)
        torch.testing.assert_close(together.query[together.query_image == b], alone.query)


def test_half_precision_and_autocast_pool_in_float32() -> None:
    inputs = batch(seed=8)
    exact = pool(inputs)
    inputs["features"] = inputs["features"].float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pool(inputs)
    torch.testing.assert_close(pooled.roi.double(), exact.roi, rtol=1e-4, atol=1e-4)
    assert pool(inputs | {"features": inputs["features"].bfloat16()}).roi.dtype == torch.float32


def test_what_a_box_keeps_grows_neither_with_channels_nor_with_cells() -> None:
    """Three hundred boxes more take no more memory than a few kilobytes each, in both directions."""
    channels, cells, size = 64, (33, 33), (129, 129)
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(1, channels, *cells, generator=generator).requires_grad_()
    weight = torch.rand(3, channels, generator=generator).requires_grad_()
    peaks = []
    for count in (10, 310):
        corners = torch.rand(count, 2, generator=generator) * 80
        inputs = {
            "features": features,
            "weight": weight,
            "boxes": torch.cat([corners, corners + 40], 1),
            "batch_index": torch.zeros(count, dtype=torch.int64),
            "background": torch.ones(1, *size, dtype=torch.bool),
        }

        def work(inputs: dict[str, Tensor] = inputs) -> None:
            loss = pooling_loss(pool(inputs), torch.ones(len(inputs["boxes"]), dtype=torch.int64))
            torch.autograd.grad(loss, (features, weight))

        peaks.append(allocated(work) * MEGABYTE / 1024)
    assert (peaks[1] - peaks[0]) / 300 < 8  # kilobytes; the weights of its bins, 4 x 33 x 33, would have 17

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from boxseg.formats.images import read_image
from boxseg.nn import field as field_module
from boxseg.nn import upsample
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.field import EVERYWHERE, UpsampledFeatures
from boxseg.nn.upsample import upsample_aligned
from boxseg.nn.weights.loading import load_weights


def full_size(features: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """f↑ (C, H, W) in float64, pixel by pixel from the definition of bilinear interpolation."""
    channels, h, w = features.shape
    full = torch.zeros(channels, *size, dtype=torch.float64)
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = row / stride, column / stride
            top, left = int(y), int(x)
            for i, share_y in ((top, 1 - (y - top)), (min(top + 1, h - 1), y - top)):
                for j, share_x in ((left, 1 - (x - left)), (min(left + 1, w - 1), x - left)):
                    full[:, row, column] += share_y * share_x * features[:, i, j].double()
    return full


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40)
@given(
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    stride=st.sampled_from([1, 2, 4, 8, 16]),
    band=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_equals_the_full_size_form(height: int, width: int, stride: int, band: int, seed: int) -> None:
    cells = [-(-(n - 1) // stride) + 1 for n in (height, width)]
    features = random(5, *cells, seed=seed)
    vectors, masks = random(3, 5, seed=seed + 1), random(4, height, width, seed=seed + 2) > 0
    masks[0, 0, 0] = True
    full = full_size(features, (height, width), stride)
    field = UpsampledFeatures(features, (height, width), stride)

    def close(actual: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)

    def check() -> None:
        dot, norm = torch.einsum("kc,cyx->kyx", vectors, full), full.pow(2).sum(0).sqrt()
        cosine = torch.cosine_similarity(full[None], vectors[:, :, None, None], dim=1)
        inner = (slice(height // 3, height), slice(width // 4, width // 2 + 1))
        for window in (EVERYWHERE, *field.bands(), *field.bands(inner)):
            rows, columns = window
            close(field.dot(vectors, window), dot[:, rows, columns])
            close(field.norm(window), norm[window])
            close(field.cosine(vectors, window), cosine[:, rows, columns])
        for mask, mean in zip(masks, field.mean(masks), strict=True):
            close(mean, full[:, mask].mean(1) if mask.any() else torch.zeros(5, dtype=torch.float64))
        weights = random(4, height, width, seed=seed + 3).abs()
        expected = torch.einsum("kyx,cyx->kc", weights, full) / weights.sum((1, 2))[:, None]
        close(field.mean(weights), expected)
        labels = masks.sum(0)
        means, present = field.means(labels, torch.arange(6))
        for label, mean, there in zip(range(6), means, present, strict=True):
            assert bool(there) == bool((labels == label).any())
            close(mean, full[:, labels == label].mean(1) if there else torch.zeros(5, dtype=torch.float64))
        within = torch.full_like(labels, -1)
        within[inner] = labels[inner]
        close(field.means(labels, torch.arange(6), inner)[0], field.means(within, torch.arange(6))[0])

    check()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field_module, "FULL_SIZE_PIXELS", band)
        patch.setattr(upsample, "BLOCK", 1 + band % 7)
        check()


def test_float32_features_after_a_relu_keep_five_digits() -> None:
    features, vectors = random(256, 9, 7).relu(), random(4, 256, seed=1)
    full = full_size(features, (65, 49), 8)
    field = UpsampledFeatures(features.float(), (65, 49), 8)
    norm = full.pow(2).sum(0).sqrt()
    torch.testing.assert_close(field.norm().double(), norm, rtol=1e-5, atol=0)
    expected = torch.cosine_similarity(full[None], vectors[:, :, None, None], dim=1)
    torch.testing.assert_close(field.cosine(vectors.float()).double(), expected, rtol=0, atol=1e-5)
    everything = torch.ones(1, 65, 49)
    torch.testing.assert_close(field.mean(everything)[0].double(), full.mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_zero_features_and_zero_vectors_give_zero_cosines() -> None:
    features = random(4, 3, 3)
    features[:, :2] = 0
    field = UpsampledFeatures(features, (9, 9), 4)
    vectors = torch.cat([torch.zeros(1, 4, dtype=torch.float64), random(1, 4, seed=1)])
    cosine = field.cosine(vectors)
    assert torch.all(cosine[0] == 0)
    assert torch.all(cosine[1, :5] == 0)
    assert torch.all(cosine[1, 5:].abs() > 0)


def test_features_that_cancel_stay_in_range() -> None:
    features = torch.tensor([[[1.0, -1.0]], [[1e-3, -1e-3]]])
    cosine = UpsampledFeatures(features, (1, 3), 2).cosine(torch.tensor([[1.0, 0.3]]))
    assert torch.all(cosine.isfinite())
    assert torch.all(cosine.abs() <= 1)


def test_no_vectors_and_empty_masks() -> None:
    field = UpsampledFeatures(random(4, 2, 2), (5, 5), 4)
    assert field.dot(torch.zeros(0, 4)).shape == (0, 5, 5)
    assert field.cosine(torch.zeros(0, 4)).shape == (0, 5, 5)
    assert field.mean(torch.zeros(0, 5, 5)).shape == (0, 4)
    assert torch.equal(
        field.mean(torch.zeros(2, 5, 5, dtype=torch.bool)), torch.zeros(2, 4, dtype=torch.float64)
    )


def test_half_precision_is_widened() -> None:
    field = UpsampledFeatures(random(4, 2, 2).bfloat16(), (5, 5), 4)
    assert field.cosine(random(1, 4)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 3), (1, 4, 2, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(C, h, w\)"):
        UpsampledFeatures(torch.zeros(*shape), (5, 5), 4)


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_never_makes_the_full_size_features() -> None:
    channels, size = 64, (49, 65)
    features, vectors = random(channels, 4, 5), random(3, channels, seed=1)
    masks = torch.ones(3, *size)
    with LargestTensor() as largest:
        field = UpsampledFeatures(features, size, 16)
        field.cosine(vectors)
        field.mean(masks)
    assert largest.elements <= 3 * size[0] * size[1]


def test_a_real_photo_has_the_same_answers_in_both_forms(shared_data: Path) -> None:
    """Pretrained features of a photo: signed, of very different lengths, in float32."""
    photo = min((shared_data / "voc2012/VOCdevkit/VOC2012/JPEGImages").iterdir())
    image = torch.from_numpy(read_image(photo)[:141, :110].copy()).movedim(2, 0)[None]
    backbone = build_backbone("efficientnet_lite0").eval()
    load_weights(backbone, "default")
    with torch.inference_mode():
        features = backbone(image)[0]
    size = (141, 110)
    full = upsample_aligned(features[None].double(), size, backbone.stride)[0]
    field = UpsampledFeatures(features, size, backbone.stride)
    right = torch.zeros(1, *size, dtype=torch.bool)
    right[:, :, 55:] = True
    query = full[:, right[0]].mean(1)
    torch.testing.assert_close(
        field.mean(right)[0].double(), query, rtol=0, atol=1e-5 * float(query.abs().max())
    )
    torch.testing.assert_close(field.norm().double(), full.norm(dim=0), rtol=1e-4, atol=0)
    cosine = torch.cosine_similarity(full, query[:, None, None], dim=0)
    torch.testing.assert_close(field.cosine(field.mean(right))[0].double(), cosine, rtol=0, atol=1e-4)

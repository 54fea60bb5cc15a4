"""A large photo in bands of rows: the same features, in bounded memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from boxseg.nn import row_bands as module
from boxseg.nn.backbones import efficientnet_lite, resnet, vgg
from boxseg.nn.backbones.base import fold_batch_norm
from boxseg.nn.backbones.layers import ReLU6
from boxseg.nn.backbones.registry import Backbone, build_backbone
from boxseg.nn.row_bands import bands, in_bands

KINDS = {
    "lite0-8": ("efficientnet_lite0", {"stride": 8}),
    "lite0-16": ("efficientnet_lite0", {}),
    "vgg16": ("vgg16", {"fc_dilation": 12}),
    "resnet50-8": ("resnet50", {}),
    "resnet50-16-caffe": ("resnet50", {"stride": 16, "style": "caffe"}),
}
each_kind = pytest.mark.parametrize(("name", "options"), KINDS.values(), ids=KINDS.keys())


def random_backbone(name: str, options: dict[str, object]) -> Backbone:
    """In double precision, whose rounding hides no error; the last norm of a ResNet's block lets it speak."""
    torch.manual_seed(0)
    backbone = build_backbone(name, **options).double().eval()  # type: ignore[arg-type]
    for norm in backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.0)
            nn.init.uniform_(norm.bias, -0.3, 0.3)
    return backbone


def photo(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(height))


def fine_layers(backbone: Backbone) -> tuple[nn.Module, int]:
    """What `extract` runs in bands, and the reach it claims."""
    seen: list[tuple[nn.Module, int]] = []
    kind = {"EfficientNetLite0": efficientnet_lite, "VGG16": vgg}.get(type(backbone).__name__, resnet)

    def spy(layers, x, *, stride, reach):  # type: ignore[no-untyped-def]
        assert stride == 8
        seen.append((layers, reach))
        return layers(x)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(kind, "in_bands", spy)
        backbone(photo(17, 17).double())
    return seen[0]


@each_kind
def test_the_reach_of_the_first_layers_is_that_of_their_gradient(name: str, options: dict[str, object]) -> None:
    """Weights of one and no ReLU let every path through; a max pooling in their midst becomes a mean."""
    backbone = random_backbone(name, options)
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "relu", lambda x, inplace=False: x)
        patch.setattr(ReLU6, "forward", lambda self, x: x)
        patch.setattr(
            torch.nn.functional,
            "max_pool2d",
            lambda x, kernel, stride=1, padding=0, *a, **k: torch.nn.functional.avg_pool2d(x, 3, stride, 1),
        )
        layers, claimed = fine_layers(backbone)
        x = torch.zeros(1, 3, 241, 17, dtype=torch.float64, requires_grad=True)
        layers(x)[0, :, 15].sum().backward()  # type: ignore[operator]
    assert x.grad is not None
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    reach = max(120 - int(rows.min()), int(rows.max()) - 120)
    assert reach <= claimed
    if options.get("style") == "caffe" or not name.startswith("resnet"):
        assert reach == claimed  # a larger claim would only cost time


@each_kind
@pytest.mark.parametrize("size", [(203, 43), (300, 1)])
def test_features_of_bands_are_those_of_the_whole_photo(
    name: str, options: dict[str, object], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, images = random_backbone(name, options), photo(*size).expand(2, -1, -1, -1)
    with torch.no_grad():
        whole = backbone(images)
        calls: list[int] = []
        first = next(layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d))
        convolve = first._conv_forward
        monkeypatch.setattr(first, "_conv_forward", lambda *given: calls.append(1) or convolve(*given))
        monkeypatch.setattr(module, "LAYER_PIXELS", 2 * 64 * size[1])
        parts = backbone(images)
    assert len(calls) > 1 or size[0] == 1
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12 * float(whole.abs().max()))
    assert whole.std() > 0


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from([1, 8]), st.integers(1, 5000))
def test_bands_tile_the_image(rows: int, width: int, step: int, pixels: int) -> None:
    found = list(bands(rows, width, pixels=pixels, step=step))
    assert [row for first, last in found for row in range(first, last)] == list(range(rows))
    for first, last in found:
        assert last > first
        assert (last - first) * step * width <= pixels or last == first + 1


def test_memory_is_that_of_a_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layers of a photo eight times as high allocate little more at a time than those of one band."""
    sizes: list[int] = []

    def layers(x: Tensor) -> Tensor:
        sizes.append(x.shape[2] * x.shape[3])
        return nn.functional.avg_pool2d(x, 1, 8)

    monkeypatch.setattr(module, "LAYER_PIXELS", 64 * 129)
    with torch.no_grad():
        x = torch.randn(1, 3, 8 * 64 + 1, 129)
        found = in_bands(layers, x, stride=8, reach=20)
    assert torch.equal(found, x[:, :, ::8, ::8])
    assert len(sizes) >= 9
    assert max(sizes) <= (64 + 2 * 24) * 129


def test_trainings_see_the_whole_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build_backbone("efficientnet_lite0").double().eval()
    monkeypatch.setattr(module, "LAYER_PIXELS", 1000)
    features = backbone(photo(97, 97))
    features.sum().backward()
    assert backbone.conv_stem.weight.grad is not None  # type: ignore[union-attr]


def test_folded_networks_in_their_layout_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build_backbone("efficientnet_lite0").eval()
    fold_batch_norm(backbone)
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = photo(257, 97).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        whole = backbone(images)
        monkeypatch.setattr(module, "LAYER_PIXELS", 64 * 97)
        parts = backbone(images)
    assert parts.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-4 * float(whole.abs().max()))

from __future__ import annotations

import math
from functools import cache
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from boxseg.errors import ConfigError
from boxseg.nn.backbones.base import CAFFE, TORCHVISION, Preprocessing, fold_batch_norm
from boxseg.nn.backbones.registry import Backbone, build_backbone

AS_IT_IS = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
VARIANTS = {
    "lite0-8": ("efficientnet_lite0", {"stride": 8}),
    "lite0-16": ("efficientnet_lite0", {}),
    "lite0-32-head": ("efficientnet_lite0", {"stride": 32, "features": "head"}),
    "vgg16": ("vgg16", {}),
    "vgg16-dilated": ("vgg16", {"fc_dilation": 12}),
    "vgg16-pool5": ("vgg16", {"features": "pool5"}),
    "resnet50-8": ("resnet50", {}),
    "resnet50-16": ("resnet50", {"stride": 16}),
    "resnet50-caffe": ("resnet50", {"style": "caffe"}),
}
each_variant = pytest.mark.parametrize(("name", "options"), VARIANTS.values(), ids=VARIANTS.keys())
one_of_each = pytest.mark.parametrize(
    ("name", "options"),
    [VARIANTS[k] for k in ("lite0-8", "lite0-32-head", "vgg16-dilated", "resnet50-8", "resnet50-caffe")],
)


def random_backbone(name: str, options: dict[str, object], *, shift: bool = True) -> Backbone:
    """Random weights whose signal reaches the end; without shifts, zero stays zero in every layer."""
    torch.manual_seed(0)
    backbone = build_backbone(name, **options)  # type: ignore[arg-type]
    backbone.set_preprocessing(AS_IT_IS)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        backbone(normal(1, 3, 65, 65))
    if not shift:
        for norm in norms:
            nn.init.zeros_(norm.bias)
            nn.init.zeros_(norm.running_mean)
    return backbone.eval()


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- geometry ---


@pytest.mark.parametrize(
    ("stride", "image", "cells", "padded"),
    [
        (8, (321, 321), (41, 41), (321, 321)),
        (16, (321, 321), (21, 21), (321, 321)),
        (16, (375, 500), (25, 33), (385, 513)),
        (8, (1, 2), (1, 2), (1, 9)),
    ],
)
def test_cells_over_known_sizes(
    stride: int, image: tuple[int, int], cells: tuple[int, int], padded: tuple[int, int]
) -> None:
    backbone = build_backbone("efficientnet_lite0", stride=stride)
    assert backbone.feature_size(*image) == cells
    assert backbone.padded_size(*image) == padded


@given(height=st.integers(1, 2000), width=st.integers(1, 2000), stride=st.sampled_from([8, 16, 32]))
def test_padding_reaches_the_next_size_and_no_further(height: int, width: int, stride: int) -> None:
    class Plain(Backbone):
        pass

    backbone = Plain(channels=1, stride=stride, preprocessing=AS_IT_IS)
    sides = zip((height, width), backbone.padded_size(height, width), strict=True)
    for side, padded in sides:
        assert padded % stride == 1
        assert side <= padded < side + stride


@each_variant
def test_features_have_the_promised_shape(name: str, options: dict[str, object]) -> None:
    backbone = random_backbone(name, options)
    for size in ((1, 1), (40, 49)):
        with torch.no_grad():
            features = backbone(normal(2, 3, *size))
        assert features.shape == (2, backbone.channels, *backbone.feature_size(*size))


@cache
def lite0_of_torchvision() -> Backbone:
    backbone = random_backbone("efficientnet_lite0", {})
    backbone.set_preprocessing(TORCHVISION)
    return backbone


@settings(max_examples=15)
@given(height=st.integers(1, 80), width=st.integers(1, 80))
def test_padding_is_the_mean_colour(height: int, width: int) -> None:
    backbone = lite0_of_torchvision()
    image = normal(1, 3, height, width) * 50 + 128
    rows, columns = backbone.padded_size(height, width)
    padded = torch.tensor(TORCHVISION.mean)[None, :, None, None].expand(1, 3, rows, columns).clone()
    padded[..., :height, :width] = image
    with torch.no_grad():
        features = backbone(image)
        assert torch.allclose(features, backbone(padded), atol=1e-5 * float(features.abs().max()))


@one_of_each
def test_cells_lie_symmetrically_over_the_image(name: str, options: dict[str, object]) -> None:
    """With mirror-symmetric kernels the features of a mirrored image are the mirrored features."""
    backbone = random_backbone(name, options).double()
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.weight.data
            module.weight.data = (kernel + kernel.flip(-1) + kernel.flip(-2) + kernel.flip(-1, -2)) / 4
    image = normal(1, 3, 2 * backbone.stride + 1, 4 * backbone.stride + 1, dtype=torch.float64)
    with torch.no_grad():
        features = backbone(image)
        scale = float(features.abs().max())
        assert features.std(dim=(2, 3)).mean() > 1e-2 * scale
        for side in (-1, -2):
            assert torch.allclose(backbone(image.flip(side)), features.flip(side), atol=1e-9 * scale)


@pytest.mark.parametrize(
    ("name", "options", "cells"),
    [
        ("efficientnet_lite0", {"stride": 16}, 30),
        ("vgg16", {}, 20),
        ("resnet50", {}, 32),
    ],
)
def test_a_shift_by_one_stride_is_a_shift_by_one_cell(
    name: str, options: dict[str, object], cells: int
) -> None:
    """The border is too far to be seen from the middle: no path leads there and back.

    One reaches 425 pixels in EfficientNet-Lite0 at stride 16, 121 in VGG-16 and 213 in ResNet-50.
    """
    backbone = random_backbone(name, options, shift=False)
    stride, middle = backbone.stride, cells // 2
    image = torch.zeros(1, 3, stride * cells + 1, stride * cells + 1)
    patch = slice(stride * middle - 9, stride * middle + 8)
    image[..., patch, patch] = normal(1, 3, 17, 17)
    moved = image.roll((stride, -stride), dims=(2, 3))
    near = slice(middle - 2, middle + 3)
    with torch.no_grad():
        before, after = backbone(image), backbone(moved).roll((-1, 1), dims=(2, 3))
    seen = before[..., near, near]
    assert seen.std(dim=(2, 3)).mean() > 1e-2 * seen.abs().max()
    assert (after[..., near, near] - seen).abs().max() < 1e-4 * seen.abs().max()


# --- dilation ---


@pytest.mark.parametrize(
    ("name", "options"),
    [("efficientnet_lite0", {}), ("resnet50", {"style": "torchvision"}), ("resnet50", {"style": "caffe"})],
)
def test_dilated_networks_agree_with_the_strided_one_at_its_cells(
    name: str, options: dict[str, object]
) -> None:
    image = normal(1, 3, 97, 129)
    strided = random_backbone(name, {**options, "stride": 32})
    for stride in (8, 16):
        dilated = build_backbone(name, **{**options, "stride": stride}).eval()  # type: ignore[arg-type]
        dilated.load_state_dict(strided.state_dict())
        step = 32 // stride
        with torch.no_grad():
            expected, features = strided(image), dilated(image)
        assert expected.std(dim=(2, 3)).mean() > 1e-2 * expected.abs().max()
        assert (features[..., ::step, ::step] - expected).abs().max() < 1e-4 * expected.abs().max()


def test_fc6_sees_further_when_dilated() -> None:
    """fc6 of a single cell of input spreads over 3 x 3 cells, `fc_dilation` apart."""
    for dilation in (1, 12):
        fc6 = build_backbone("vgg16", fc_dilation=dilation).fc6
        assert isinstance(fc6, nn.Conv2d)
        impulse = torch.zeros(1, 512, 31, 31)
        impulse[..., 15, 15] = 1
        with torch.no_grad():
            rows = F.conv2d(impulse, torch.ones_like(fc6.weight[:1]), None, 1, fc6.padding, fc6.dilation)
        assert rows[0, 0, 15].nonzero().flatten().tolist() == [15 - dilation, 15, 15 + dilation]


# --- layers, against references written from the papers ---


def reference_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scale = state[f"{name}.weight"] / torch.sqrt(var + 1e-5)
    return x * scale[:, None, None] + (state[f"{name}.bias"] - mean * scale)[:, None, None]


def reference_resnet50(x: Tensor, state: dict[str, Tensor], *, stride_on: int) -> Tensor:
    """ResNet-50 at its own stride 32. Table 1 of the paper; a block strides on its conv `stride_on`."""
    x = F.relu(reference_norm(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), state, "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, depth in enumerate((3, 4, 6, 3), start=1):
        for block in range(depth):
            at = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = x
            for conv in (1, 2, 3):
                step = stride if conv == stride_on else 1
                y = F.conv2d(y, state[f"{at}.conv{conv}.weight"], stride=step, padding=int(conv == 2))
                y = reference_norm(y, state, f"{at}.bn{conv}")
                y = F.relu(y) if conv < 3 else y
            if block == 0:
                x = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
                x = reference_norm(x, state, f"{at}.downsample.1")
            x = F.relu(x + y)
    return x


@pytest.mark.parametrize(("style", "stride_on"), [("torchvision", 2), ("caffe", 1)])
def test_resnet50_is_that_of_the_paper(style: str, stride_on: int) -> None:
    backbone = random_backbone("resnet50", {"stride": 32, "style": style}).double()
    image = normal(1, 3, 65, 97, dtype=torch.float64)
    with torch.no_grad():
        expected = reference_resnet50(image, backbone.state_dict(), stride_on=stride_on)
        assert torch.allclose(backbone(image), expected, atol=1e-9 * float(expected.abs().max()))


def test_resnet101_has_the_layers_of_the_paper() -> None:
    state = build_backbone("resnet101").state_dict()
    depths = [len({n.split(".")[1] for n in state if n.startswith(f"layer{k}.")}) for k in (1, 2, 3, 4)]
    assert depths == [3, 4, 23, 3]
    # torchvision's resnet101 has 44,549,160 parameters, 2,049,000 of them in its classifier.
    assert sum(p.numel() for p in build_backbone("resnet101").parameters()) == 44_549_160 - 2_049_000


def test_vgg16_is_that_of_deeplab() -> None:
    backbone = random_backbone("vgg16", {"fc_dilation": 12}).double()
    for name, parameter in backbone.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    image = normal(1, 3, 25, 41, dtype=torch.float64)
    state = backbone.state_dict()

    def conv(x: Tensor, name: str, dilation: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        padding = dilation * (weight.shape[-1] // 2)
        return F.relu(F.conv2d(x, weight, state[f"{name}.bias"], 1, padding, dilation))

    x = F.max_pool2d(conv(conv(image, "conv1_1"), "conv1_2"), 3, 2, 1)
    x = F.max_pool2d(conv(conv(x, "conv2_1"), "conv2_2"), 3, 2, 1)
    x = F.max_pool2d(conv(conv(conv(x, "conv3_1"), "conv3_2"), "conv3_3"), 3, 2, 1)
    x = F.max_pool2d(conv(conv(conv(x, "conv4_1"), "conv4_2"), "conv4_3"), 3, 1, 1)
    x = F.max_pool2d(conv(conv(conv(x, "conv5_1", 2), "conv5_2", 2), "conv5_3", 2), 3, 1, 1)
    expected = conv(conv(x, "fc6", 12), "fc7")
    with torch.no_grad():
        assert torch.allclose(backbone(image), expected, atol=1e-9 * float(expected.abs().max()))


def test_dropout_of_vgg16_drops_channels_in_training_only() -> None:
    backbone = random_backbone("vgg16", {})
    image = normal(1, 3, 17, 17).abs()
    with torch.no_grad():
        assert torch.equal(backbone(image), backbone(image))
        torch.manual_seed(0)
        features = backbone.train()(image)
    dead = (features == 0).all(dim=(2, 3)).float().mean()
    alive = (backbone.eval()(image) == 0).all(dim=(2, 3)).float().mean()
    assert dead > alive + 0.2


# --- normalisation ---


def test_caffe_weights_see_bgr_minus_the_mean() -> None:
    backbone = build_backbone("vgg16")
    backbone.set_preprocessing(CAFFE)
    red = torch.zeros(1, 3, 9, 9, dtype=torch.uint8)
    red[:, 0] = 255
    seen = backbone.normalise(red)[0, :, 0, 0]
    assert torch.allclose(seen, torch.tensor([-104.008, -116.669, 255 - 122.675]))


def test_torchvision_weights_see_standardised_rgb() -> None:
    backbone = build_backbone("resnet50")
    image = torch.randint(0, 256, (1, 3, 9, 9), generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (image / 255 - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(backbone.normalise(image), expected, atol=1e-5)


@one_of_each
def test_bytes_and_floats_are_the_same_photo(name: str, options: dict[str, object]) -> None:
    backbone = random_backbone(name, options)
    image = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    before = image.clone()
    with torch.no_grad():
        assert torch.equal(backbone(image), backbone(image.float()))
    assert torch.equal(image, before)


def test_normalisation_and_style_travel_with_the_state_dict() -> None:
    source = random_backbone("resnet50", {"style": "caffe"})
    source.set_preprocessing(CAFFE)
    target = build_backbone("resnet50").eval()
    target.load_state_dict(source.state_dict())
    image = torch.randint(0, 256, (1, 3, 33, 33), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(target(image), source(image))
        target.set_style("torchvision")  # type: ignore[operator]
        assert not torch.allclose(target(image), source(image))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 8, 8, 3)])
def test_another_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        build_backbone("vgg16")(torch.zeros(shape))


# --- batch norm and random weights ---


@pytest.mark.parametrize(
    ("name", "mode"), list(product(["efficientnet_lite0", "resnet50"], ["frozen", "train"]))
)
def test_frozen_batch_norm_keeps_its_statistics_and_learns_its_scale(name: str, mode: str) -> None:
    backbone = build_backbone(name, batch_norm=mode)  # type: ignore[arg-type]
    network = nn.Sequential(backbone).eval().train()
    statistics = {k: v.clone() for k, v in backbone.state_dict().items() if "running" in k}
    network(normal(2, 3, 33, 33) * 50 + 128).square().mean().backward()
    changed = [k for k, v in statistics.items() if not torch.equal(backbone.state_dict()[k], v)]
    assert changed == ([] if mode == "frozen" else list(statistics))
    scale = backbone.bn0.weight if name == "efficientnet_lite0" else backbone.layer4[2].bn3.weight  # type: ignore[union-attr,index]
    assert scale.grad is not None  # type: ignore[union-attr]
    assert scale.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert backbone.training


@each_variant
def test_folded_batch_norm_computes_the_same(name: str, options: dict[str, object]) -> None:
    backbone = random_backbone(name, options).double()  # depth magnifies what single precision rounds
    photo = normal(2, 3, 49, 70, dtype=torch.float64)
    with torch.no_grad():
        expected = backbone(photo)
        fold_batch_norm(backbone)
        features = backbone(photo)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    torch.testing.assert_close(features, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "vgg16", "resnet50", "resnet101"])
def test_random_networks_keep_their_scale(name: str) -> None:
    """Neither vanishing nor exploding without batch statistics: random frozen networks can be trained."""
    torch.manual_seed(0)
    backbone = build_backbone(name).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        spread = backbone(torch.randint(0, 256, (1, 3, 65, 65))).std()
    assert 1e-2 < float(spread) < 1e2
    assert math.isfinite(float(spread))


# --- bad options ---


def test_unknown_backbones_and_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown backbone=vgg19, did you mean 'vgg16'\? \(one of effi"):
        build_backbone("vgg19")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"'vgg16' has no such option.*stride"):
        build_backbone("vgg16", stride=16)
    for name in ("efficientnet_lite0", "resnet50"):
        with pytest.raises(ConfigError, match=r"stride 12 of .*: expected 8, 16 or 32"):
            build_backbone(name, stride=12)  # type: ignore[arg-type]

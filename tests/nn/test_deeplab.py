from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxseg.config import Model
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.deeplab import (
    ASPP,
    BoxClassifier,
    CosineClassifier,
    LargeFOV,
    NoHead,
    build_classifier,
    build_segmenter,
)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def reach(module: nn.Module, channels: int) -> list[int]:
    """Offsets, in columns, from which an output cell is computed: where its gradient is not zero."""
    x = torch.full((1, channels, 1, 101), 1.0, requires_grad=True)
    module(x)[..., 50].sum().backward()
    assert x.grad is not None
    return [int(column) - 50 for column in x.grad[0].abs().sum((0, 1)).nonzero()]


@pytest.mark.parametrize(("stride", "dilation"), [(8, 12), (16, 6), (32, 3)])
def test_largefov_spans_the_same_pixels_at_any_stride(stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    head = LargeFOV(4, stride=stride, width=16).eval()
    assert reach(head, 4) == [-dilation, 0, dilation]
    assert dilation * stride == 96


@pytest.mark.parametrize(("stride", "rates"), [(8, (6, 12, 18, 24)), (16, (3, 6, 9, 12))])
def test_aspp_spans_the_same_pixels_at_any_stride(stride: int, rates: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    head = ASPP(4, stride=stride, width=16).eval()
    assert reach(head, 4) == sorted({0, *rates, *(-rate for rate in rates)})


def test_aspp_is_the_rectified_sum_of_its_branches() -> None:
    head = ASPP(4, stride=8, width=5, rates=(1, 2))
    x = normal(2, 4, 7, 9)
    expected = torch.zeros(2, 5, 7, 9)
    for branch, rate in zip(head.branches, (1, 2), strict=True):
        assert isinstance(branch, nn.Conv2d)
        nn.init.normal_(branch.bias)  # type: ignore[arg-type]
        expected += F.conv2d(x, branch.weight, branch.bias, padding=rate, dilation=rate)
    assert torch.allclose(head(x), expected.clamp(min=0), atol=1e-6)


def test_largefov_drops_whole_channels_in_training() -> None:
    torch.manual_seed(0)
    head = LargeFOV(8, stride=8, width=200)
    x = normal(1, 8, 5, 5)
    evaluated = head.eval()(x)
    dead = (head.train()(x) == 0).all(dim=(2, 3)).float().mean()
    assert dead > (evaluated == 0).all(dim=(2, 3)).float().mean() + 0.3


# --- cosine classifier ---


def test_cosines_against_loops() -> None:
    classifier = CosineClassifier(5, 3, temperature=7.0)
    features = normal(2, 5, 3, 4)
    cosine = classifier(features).detach()
    assert cosine.shape == (2, 4, 3, 4)
    for b in range(2):
        for k in range(4):
            for y in range(3):
                for x in range(4):
                    f, w = features[b, :, y, x].tolist(), classifier.weight[k].tolist()
                    dot = sum(i * j for i, j in zip(f, w, strict=True))
                    lengths = math.hypot(*f) * math.hypot(*w)
                    assert float(cosine[b, k, y, x]) == pytest.approx(dot / lengths, abs=1e-5)
    assert torch.equal(classifier.logits(cosine), 7.0 * cosine)


def test_cosine_gradients() -> None:
    classifier = CosineClassifier(4, 2).double()
    features = normal(1, 4, 2, 3, dtype=torch.float64).requires_grad_()
    weight = classifier.weight.detach().clone().requires_grad_()

    def cosine(features: Tensor, weight: Tensor) -> Any:
        return torch.func.functional_call(classifier, {"weight": weight}, (features,))

    assert torch.autograd.gradcheck(cosine, (features, weight))


def test_a_zero_feature_has_cosine_zero_and_finite_gradients() -> None:
    classifier = CosineClassifier(4, 2)
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    cosine = classifier(features)
    assert torch.equal(cosine, torch.zeros(1, 3, 2, 2))
    cosine.sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert classifier.weight.grad is not None
    assert classifier.weight.grad.isfinite().all()


def test_cosines_are_not_rounded_to_half_precision() -> None:
    classifier = CosineClassifier(64, 2)
    features = normal(1, 64, 3, 3).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cosine = classifier(features)
    assert cosine.dtype == torch.float32
    assert torch.allclose(cosine, classifier(features.float()), atol=1e-6)


# --- networks ---


@pytest.mark.parametrize(
    ("backbone", "head", "kind", "phi"),
    [
        ("efficientnet_lite0", "auto", LargeFOV, 256),
        ("efficientnet_lite0", "aspp", ASPP, 256),
        ("vgg16", "auto", NoHead, 1024),
        ("vgg16", "aspp", ASPP, 256),
        ("resnet50", "auto", ASPP, 256),
        ("resnet50", "largefov", LargeFOV, 256),
    ],
)
def test_every_segmenter_maps_photos_to_cosines(backbone: Any, head: Any, kind: type, phi: int) -> None:
    torch.manual_seed(0)
    model = Model(backbone=backbone, head=head, temperature=3.0)
    segmenter = build_segmenter(model, 5).eval()
    assert type(segmenter.head) is kind
    photos = torch.randint(0, 256, (2, 3, 34, 49), dtype=torch.uint8)
    with torch.no_grad():
        features, cosine = segmenter.features(photos), segmenter(photos)
    h, w = segmenter.backbone.feature_size(34, 49)
    assert features.shape == (2, phi, h, w)
    assert cosine.shape == (2, 6, h, w)
    assert cosine.abs().max() <= 1 + 1e-6
    assert cosine.std() > 0
    full = segmenter.upsample(cosine, (34, 49))
    assert full.shape == (2, 6, 34, 49)
    rows, columns = full[..., :: segmenter.stride, :: segmenter.stride].shape[-2:]
    assert torch.allclose(
        full[..., :: segmenter.stride, :: segmenter.stride], cosine[..., :rows, :columns], atol=1e-6
    )
    assert torch.allclose(segmenter.logits(cosine), 3.0 * cosine)


def test_vgg16_has_one_field_of_view_in_each_stage() -> None:
    """DeepLab-LargeFOV dilates fc6 by 12; the box classifier does not."""
    segmenter = build_segmenter(Model(backbone="vgg16"), 1)
    classifier = build_classifier(Model(backbone="vgg16"), 1)
    assert segmenter.backbone.fc6.dilation == (12, 12)  # type: ignore[union-attr]
    assert classifier.backbone.fc6.dilation == (1, 1)  # type: ignore[union-attr]
    under_aspp = build_segmenter(Model(backbone="vgg16", head="aspp"), 1)
    assert not any(name.startswith("backbone.fc") for name in under_aspp.state_dict())


def test_options_of_the_backbone_reach_it() -> None:
    model = Model(batch_norm="train")
    segmenter = build_segmenter(model, 2, stride=8, features="head")
    assert (segmenter.stride, segmenter.backbone.channels) == (8, 1280)
    assert segmenter.backbone.batch_norm == "train"
    assert build_classifier(model, 2, stride=8).stride == 8


def test_box_classifier_holds_a_small_random_weight_per_class() -> None:
    torch.manual_seed(0)
    classifier = BoxClassifier(build_backbone("efficientnet_lite0"), 20)
    assert classifier.weight.shape == (21, 1280)
    assert float(classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    photos = torch.randint(0, 256, (1, 3, 33, 20), dtype=torch.uint8)
    classifier.eval()
    with torch.no_grad():
        assert torch.equal(classifier.features(photos), classifier.backbone(photos))
        assert torch.equal(classifier(photos), classifier.backbone(photos))


def test_every_parameter_of_a_segmenter_learns() -> None:
    torch.manual_seed(0)
    segmenter = build_segmenter(Model(), 3).train()
    photos = torch.randint(0, 256, (2, 3, 65, 65), dtype=torch.uint8)
    logits = segmenter.logits(segmenter.upsample(segmenter(photos), (65, 65)))
    F.cross_entropy(logits, torch.randint(0, 4, (2, 65, 65))).backward()
    still = [n for n, p in segmenter.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []

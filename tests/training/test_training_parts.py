"""A batch computed in parts, or by several processes, gives the step of the whole batch."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from boxseg.config import Classify, Model
from boxseg.data.loading import split_batch
from boxseg.nn.backbones.base import TENSORFLOW_LITE
from boxseg.nn.backbones.registry import Backbone
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.losses import LOSSES, LossOptions, count_pixels
from boxseg.plugins import LossName
from boxseg.training.box_classifier import BoxClassifierModule


class Tiny(Backbone):
    """One convolution of stride 4."""

    def __init__(self) -> None:
        super().__init__(channels=6, stride=4, preprocessing=TENSORFLOW_LITE)
        self.layer = nn.Conv2d(3, 6, 5, stride=4, padding=2)

    def extract(self, x: Tensor) -> Tensor:
        return self.layer(x).relu()


def box_batch(images: int) -> dict[str, Tensor]:
    """Images with 0, 1, 2 … boxes, padding, and one without any background."""
    generator = torch.Generator().manual_seed(1)
    size = 25
    owner = torch.tensor([place for place in range(images) for _ in range(place)])
    corner = torch.rand(len(owner), 2, generator=generator) * 10
    boxes = torch.cat([corner, corner + 3 + torch.rand(len(owner), 2, generator=generator) * 10], 1)
    background = torch.rand(images, size, size, generator=generator) > 0.4
    background[-1] = False
    valid = torch.ones(images, size, size, dtype=torch.bool)
    valid[1, :, 15:] = False
    return {
        "images": torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8, generator=generator),
        "boxes": boxes,
        "batch_index": owner,
        "labels": torch.randint(1, 4, (len(owner),), generator=generator),
        "background": background & valid,
        "valid": valid,
    }


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_make_up_the_batch(parts: int) -> None:
    batch = box_batch(5)
    pieces = split_batch(batch, parts)
    assert len(pieces) == parts
    assert all(len(piece["images"]) >= 1 for piece in pieces)
    first = 0
    for piece in pieces:
        piece["batch_index"] = piece["batch_index"] + first
        first += len(piece["images"])
    for name, whole in batch.items():
        assert torch.equal(torch.cat([piece[name] for piece in pieces]), whole)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_crops_of_one_box_each_keep_it(parts: int) -> None:
    batch = {
        "images": torch.arange(5),
        "boxes": torch.arange(20).view(5, 4),
        "others": torch.arange(10).view(5, 2),
    }
    pieces = split_batch(batch, parts)
    assert len(pieces) == parts
    for name, whole in batch.items():
        assert torch.equal(torch.cat([piece[name] for piece in pieces]), whole)
        assert all(len(piece[name]) == len(piece["images"]) for piece in pieces)


def gradients(module: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(module.parameters())))


@pytest.mark.parametrize("pooling", ["bap", "gap"])
@pytest.mark.parametrize("parts", [2, 3, 6])
def test_the_classifiers_step_is_that_of_the_whole_batch(parts: int, pooling: Any) -> None:
    torch.manual_seed(0)
    network = BoxClassifier(Tiny(), 3)
    options = Classify(pooling=pooling, grid=3)
    module = BoxClassifierModule(classes=3, iterations=1, model=Model(weights="none"), classify=options)
    module.network = network
    batch = box_batch(6)
    whole = module.loss(batch)
    totals = module.counts(batch)
    assert torch.equal(sum(module.counts(part) for part in split_batch(batch, parts)), totals)
    pieces = [module.loss(part, totals.float()) for part in split_batch(batch, parts)]
    torch.testing.assert_close(sum(pieces), whole)
    plain = sum(module.loss(part) for part in split_batch(batch, parts)) / parts
    assert not torch.allclose(plain, whole)  # a mean of means is another number
    for one, other in zip(gradients(network, sum(pieces)), gradients(network, whole), strict=True):  # type: ignore[arg-type]
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def label_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Logits and labels of four images, with more doubt in some than in others, and one all ignored."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(4, 4, 3, 3, generator=generator, dtype=torch.float64).clamp(-2, 2) * 5
    y_crf = torch.randint(0, 4, (4, 9, 9), generator=generator)
    other = torch.randint(0, 4, (4, 9, 9), generator=generator)
    doubt = torch.rand(4, 9, 9, generator=generator) < torch.tensor([0.1, 0.5, 0.9, 0.3])[:, None, None]
    y_ret = torch.where(doubt, other, y_crf)
    y_ret[0, :2] = 255
    y_crf[1, 4:] = 255
    y_crf[3] = 255
    return logits.requires_grad_(), y_crf, y_ret


def in_parts(name: LossName, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The gradient of a loss on the logits of a whole batch, and the sum of those of its three parts."""
    logits, y_crf, y_ret = label_batch()
    told = LossOptions(
        stride=4, temperature=20, weight=0.3, progress=0.4, detach_confidence=False, **{"gamma": 7, **options}
    )
    (whole,) = torch.autograd.grad(LOSSES[name](logits, y_crf, y_ret, told), logits)
    totals = count_pixels(name, y_crf, y_ret).double()
    pieces = []
    for part in (slice(0, 1), slice(1, 3), slice(3, 4)):
        options_of_part = LossOptions(**{**vars(told), "totals": totals})
        pieces.append(LOSSES[name](logits[part], y_crf[part], y_ret[part], options_of_part))
    (summed,) = torch.autograd.grad(sum(pieces), logits)  # type: ignore[arg-type]
    return whole, summed


@pytest.mark.parametrize("name", get_args(LossName))
def test_a_losss_parts_add_up_to_the_whole(name: LossName) -> None:
    """All but the noisy part of NAL, whose weights are shares of a sum that only the network knows."""
    whole, summed = in_parts(name, {"gamma": 0} if name == "nal" else {})
    assert whole.abs().sum() > 0
    torch.testing.assert_close(summed, whole)


def test_the_noisy_part_of_nal_is_shared_out_by_pixels() -> None:
    """With γ > 0 a part's σ are set against those of the part alone: near, but not the same."""
    whole, summed = in_parts("nal", {})
    assert not torch.allclose(summed, whole)
    torch.testing.assert_close(summed, whole, atol=0.3 * float(whole.abs().max()), rtol=0)

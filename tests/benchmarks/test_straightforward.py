"""The plain transcription of the method, which the benchmarks compare with, gives boxseg's answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from boxseg import formats
from boxseg.config import Data, TrainerOptions
from boxseg.data.geometry import background_map
from boxseg.dataset import Sample
from boxseg.formats.images import read_image
from boxseg.formats.masks import read_mask
from boxseg.labelling.labeller import label_photos
from boxseg.nn.losses import LOSSES, LossOptions
from boxseg.nn.pooling import PoolingOptions, background_aware_pooling, pooling_loss
from label import make_labeller, network_of
from label_results import pair_paths
from straightforward import losses, pooling
from straightforward.labels import label_photo

SIZE = 65


def shrunk(sample: Sample, factor: int, folder: Path) -> Sample:
    """The photo, and its boxes, a few times smaller: full-size features of a whole one are a gigabyte."""
    photo = Image.open(sample.image).convert("RGB").reduce(factor)
    path = folder / f"{sample.id}.png"
    photo.save(path)
    limits = (photo.width, photo.height, photo.width, photo.height)
    boxes = np.minimum(sample.boxes / factor, limits)
    return dataclasses.replace(sample, image=path, width=photo.width, height=photo.height, boxes=boxes)


@pytest.mark.parametrize("factor", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_labels_of_real_photos(shared_data: Path, tmp_path: Path, factor: int) -> None:
    """The same on every pixel but ties.

    Sums over cells and sums over pixels round differently, so a pixel whose attention is on the threshold of
    u_0, or whose two best scores are equal to six digits, may differ: none or a few of a photo's 187,500.
    """
    dataset = formats.load(Data(root=shared_data / "voc2012", limit=3))
    samples = [shrunk(sample, factor, tmp_path) for sample in dataset.samples]
    labeller = make_labeller("efficientnet_lite0", None, dataset.classes, tmp_path)
    assert label_photos(labeller, samples, TrainerOptions(workers=0)) == {}
    found: set[int] = set()
    for sample in samples:
        expected = label_photo(network_of(labeller), read_image(sample.image), sample.boxes, sample.labels)
        for file, theirs in zip(pair_paths(tmp_path, sample), expected, strict=True):
            ours = read_mask(file)
            found |= set(np.unique(ours))
            assert np.count_nonzero(ours != theirs) <= 5, file
    assert len(found) > 1, "nothing but background was compared"


def training_batch(photos: int, boxes: int, stride: int) -> dict[str, Tensor]:
    """Random features and boxes; the first photo is all box, the last has padding."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, SIZE, (photos * boxes, 2, 2))
    xyxy = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    xyxy[:, 2:] = np.minimum(xyxy[:, 2:] + 3, SIZE)  # no bin without area
    xyxy[0] = (0, 0, SIZE, SIZE)
    index = np.repeat(np.arange(photos), boxes)
    valid = np.ones((photos, SIZE, SIZE), bool)
    valid[-1, 40:] = False
    background = np.stack([background_map(xyxy[index == b], SIZE, SIZE) for b in range(photos)])
    cells = SIZE // stride + 1
    features = rng.normal(size=(photos, 6, cells, cells))
    return {
        "features": torch.from_numpy(features),
        "boxes": torch.from_numpy(xyxy),
        "batch_index": torch.from_numpy(index),
        "background": torch.from_numpy(background & valid),
        "valid": torch.from_numpy(valid),
    }


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("grid", [1, 3, 4])
def test_pooled_features_and_their_loss(stride: int, grid: int) -> None:
    inputs = training_batch(photos=5, boxes=2, stride=stride)
    told = PoolingOptions(stride=stride, grid=grid, roi_bins=2, min_background=0.125, pooling="bap")
    ours = background_aware_pooling(**inputs, weight=torch.eye(6, dtype=torch.float64), options=told)
    roi, query = pooling.bap(**inputs, stride=stride, grid=grid)
    torch.testing.assert_close(ours.roi, roi, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.query, query, atol=1e-5, rtol=0)
    weight = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(inputs["boxes"])) % 4 + 1
    loss = pooling.bap_loss(roi, query, weight, labels)
    scores = background_aware_pooling(**inputs, weight=weight, options=told)
    torch.testing.assert_close(pooling_loss(scores, labels), loss, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_gradients(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    cosines = 2 * torch.rand(2, 4, 9, 11, generator=generator) - 1
    y_crf, y_ret = (torch.randint(0, 5, (2, 9, 11), generator=generator).to(torch.uint8) for _ in range(2))
    y_crf[y_crf == 4] = 255
    y_ret[y_ret == 4] = 255
    plain = losses.losses(temperature=20, weight=0.1, gamma=7, progress=0.3)[name]
    told = LossOptions(stride=1, temperature=20, weight=0.1, gamma=7, progress=0.3, detach_confidence=False)
    values, slopes = [], []
    for loss in (lambda *args: LOSSES[name](*args, told), plain):
        logits = (20 * cosines).requires_grad_()
        values.append(loss(logits, y_crf, y_ret))
        slopes.append(*torch.autograd.grad(values[-1], logits))
    torch.testing.assert_close(*values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*slopes, atol=1e-5, rtol=0)

"""The same bits from any number of threads, and the numbers that torch gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boxseg.nn.reproducible import project, settle_convolutions, softmax

SCORES = torch.randn(5, 203, 301, generator=torch.Generator().manual_seed(0)) * 20
FEATURES = torch.randn(1, 160, 23, 31, generator=torch.Generator().manual_seed(1))
FEATURES = FEATURES.to(memory_format=torch.channels_last)
VECTORS = torch.randn(21, 160, generator=torch.Generator().manual_seed(2))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def layer() -> nn.Module:
    convolution = nn.Conv2d(160, 96, 1)
    with torch.no_grad():
        convolution.weight.copy_(torch.randn(96, 160, 1, 1, generator=torch.Generator().manual_seed(3)))
    network = nn.Sequential(convolution).to(memory_format=torch.channels_last)
    settle_convolutions(network, cpu=True)
    return network


@pytest.mark.parametrize(
    ("function", "plain"),
    [
        (lambda: softmax(SCORES), lambda: SCORES.softmax(0)),
        (lambda: project(FEATURES, VECTORS), lambda: F.conv2d(FEATURES, VECTORS[:, :, None, None])),
    ],
    ids=["softmax", "project"],
)
@torch.inference_mode()
def test_one_result(function: Callable[[], Tensor], plain: Callable[[], Tensor]) -> None:
    found = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        found.append(function())
    assert all(torch.equal(found[0], other) for other in found[1:])
    torch.testing.assert_close(found[0], plain(), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_settled_convolutions_compute_the_same_on_one_thread_as_on_several() -> None:
    network = layer()
    found = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        found.append(network(FEATURES))
    assert all(torch.equal(found[0], other) for other in found[1:])
    weight = network[0].weight[:, :, 0, 0]  # type: ignore[index]
    expected = torch.einsum("bchw,kc->bkhw", FEATURES.double(), weight.double()).float()
    torch.testing.assert_close(found[0], expected + network[0].bias[:, None, None], rtol=1e-4, atol=1e-3)  # type: ignore[index]


def test_gpus_are_left_alone() -> None:
    network = layer()
    settle_convolutions(network, cpu=False)
    assert network[0].dilation == (1, 1)  # type: ignore[index]


def test_probabilities_of_large_scores_are_finite() -> None:
    torch.testing.assert_close(softmax(torch.tensor([1000.0, 0.0, -1000.0])), torch.tensor([1.0, 0.0, 0.0]))

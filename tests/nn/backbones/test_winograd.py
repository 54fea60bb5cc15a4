from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from boxseg.nn.backbones import winograd
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.backbones.winograd import Conv3x3, convolve_tiles
from measure import MEGABYTE, allocated


def random_layer(
    images: int, channels: int, out: int, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Input, filters and bias with which outputs have a variance of 1 and a mean of their own."""
    generator = torch.Generator().manual_seed(images + height + width)
    x = torch.randn(images, channels, height, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(out, channels, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(out, generator=generator, dtype=torch.float64)
    return x, weight / (9 * channels) ** 0.5, bias


@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    dilation=st.integers(1, 6),
    images=st.integers(1, 3),
    block=st.sampled_from([1, 7, 256]),
    filters=st.sampled_from([1, 2, 256]),
)
def test_is_the_convolution(
    size: tuple[int, int], dilation: int, images: int, block: int, filters: int
) -> None:
    x, weight, bias = random_layer(images, 2, 3, *size)
    with patch.object(winograd, "BLOCK", block), patch.object(winograd, "FILTERS", filters):
        y = convolve_tiles(x, weight, bias, dilation=dilation)
        without = convolve_tiles(x, weight, dilation=dilation)
    expected = F.conv2d(x, weight, None, padding=dilation, dilation=dilation)
    torch.testing.assert_close(without, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(y, expected + bias[:, None, None], rtol=0, atol=1e-12)
    assert y.is_contiguous()


def test_memory_laid_out_by_channels_is_read_as_it_is() -> None:
    x, weight, bias = random_layer(2, 5, 4, 13, 9)
    laid_out = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(convolve_tiles(laid_out, weight, bias), convolve_tiles(x, weight, bias))


@pytest.mark.parametrize("dilation", [1, 2])
def test_rounding(dilation: int) -> None:
    """Of many channels in single precision, with inputs as after a ReLU."""
    x, weight, bias = random_layer(1, 512, 256, 48, 64)
    exact = F.conv2d(x.relu(), weight, bias, padding=dilation, dilation=dilation)
    y = convolve_tiles(x.relu().float(), weight.float(), bias.float(), dilation=dilation)
    assert float((y - exact).abs().max()) < 5e-5


def test_the_number_of_threads_changes_no_bit() -> None:
    x, weight, bias = (part.float() for part in random_layer(1, 128, 256, 37, 41))
    before, several = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        several.append(convolve_tiles(x, weight, bias))
    torch.set_num_threads(before)
    assert torch.equal(several[0], several[1])
    assert torch.equal(several[0], several[2])


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many layers are computed by tiles within the block."""
    calls: list[int] = []

    def convolve(*arguments: object, **options: object) -> Tensor:
        calls.append(1)
        return convolve_tiles(*arguments, **options)  # type: ignore[arg-type]

    with patch.object(winograd, "convolve_tiles", convolve):
        yield calls


def test_is_used_where_it_is_worth_it() -> None:
    wide, narrow = Conv3x3(128, 256), Conv3x3(64, 256)
    with counted() as calls, torch.no_grad():
        wide(torch.zeros(1, 128, 32, 32))
        assert len(calls) == 1
        wide(torch.zeros(1, 128, 31, 32))  # few cells
        narrow(torch.zeros(1, 64, 64, 64))
        Conv3x3(128, 256, dilation=16)(torch.zeros(1, 128, 32, 32))  # tiles nearly empty
        wide.double()(torch.zeros(1, 128, 32, 32, dtype=torch.float64))
        assert len(calls) == 1


def test_gradients_autocast_and_graphs_are_left_to_torch() -> None:
    layer, x = Conv3x3(128, 256), torch.zeros(1, 128, 32, 32)
    with counted() as calls:
        layer(x).sum().backward()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        with torch.no_grad():
            torch.compile(layer, backend="eager", fullgraph=True)(x)
        layer.stride = (2, 2)
        with torch.no_grad():
            assert layer(x).shape[2:] == (16, 16)
    assert not calls


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_features_of_networks_are_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name).eval()
    images = torch.randint(0, 256, (1, 3, 257, 289), dtype=torch.uint8)
    with torch.no_grad(), counted() as calls:
        features = network(images)
    assert calls
    with torch.no_grad(), patch.object(Conv3x3, "_conv_forward", nn.Conv2d._conv_forward):
        expected = network(images)
    assert float((features - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_takes_little_memory_beside_its_input() -> None:
    """Of a large map, a copy with its border; tiles only of a block."""
    x, weight, bias = (part.float() for part in random_layer(1, 128, 256, 300, 300))
    output = 256 * 300 * 300 * 4 / MEGABYTE
    assert allocated(lambda: convolve_tiles(x, weight, bias)) < output + 0.6 * output + 50

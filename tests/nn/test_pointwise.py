from __future__ import annotations

import torch
from torch import nn

from boxseg.nn.backbones.base import hurry_pointwise


def test_only_plain_1x1_convolutions_are_dilated_and_compute_the_same() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 6, 1), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 4, 1, stride=2))
    images = torch.randn(1, 8, 9, 11)
    with torch.no_grad():
        expected = network(images)
        hurry_pointwise(network, cpu=True)
        assert [layer.dilation for layer in network] == [(2, 2), (1, 1), (1, 1)]
        torch.testing.assert_close(network(images), expected)
    hurry_pointwise(network, cpu=False)
    assert [layer.dilation for layer in network] == [(1, 1)] * 3


def test_a_dilated_convolution_runs_in_the_fast_kernel_on_one_thread() -> None:
    """Fails when torch no longer needs it, and `hurry_pointwise` can go."""
    network = nn.Sequential(nn.Conv2d(32, 6, 1))

    def kernels() -> set[str]:
        with torch.no_grad(), torch.profiler.profile() as seen:
            network(torch.zeros(1, 32, 40, 40))
        return {event.key for event in seen.key_averages()}

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert "aten::mkldnn_convolution" not in kernels()
        hurry_pointwise(network, cpu=True)
        assert "aten::mkldnn_convolution" in kernels()
    finally:
        torch.set_num_threads(before)

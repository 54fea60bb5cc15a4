"""Which parameters learn at which rate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from boxseg.config import Model, Optimiser
from boxseg.nn.deeplab import build_classifier, build_segmenter
from boxseg.nn.weights.loading import parameter_groups

# --- parameter groups ---


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "vgg16", "resnet50"])
def test_every_trainable_parameter_is_in_one_group_at_its_rate(backbone: Any) -> None:
    network = build_segmenter(Model(backbone=backbone), 4)
    frozen = next(iter(network.parameters()))
    frozen.requires_grad_(False)
    new = {name for name, _ in network.named_parameters() if not name.startswith("backbone.")}
    if backbone == "vgg16":
        new |= {"backbone.fc6.weight", "backbone.fc6.bias"}
    optimiser = Optimiser(lr=0.5, weight_decay=0.25, new_lr=8.0, bias_lr=4.0)
    groups = parameter_groups(network, new, optimiser)
    found = [parameter for group in groups for parameter in group["params"]]
    assert len({id(p) for p in found}) == len(found)
    assert {id(p) for p in found} == {id(p) for p in network.parameters() if p.requires_grad}
    assert id(frozen) not in {id(p) for p in found}
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        owner = network.get_submodule(name.rpartition(".")[0])
        times = 8 if name in new else 1
        if isinstance(owner, nn.BatchNorm2d):
            expected = (0.5 * times, 0.0)
        elif name.endswith(".bias"):
            expected = (0.5 * times * 4, 0.0)
        else:
            expected = (0.5 * times, 0.25)
        assert rates[id(parameter)] == expected, name
    assert all(group["params"] for group in groups)
    torch.optim.SGD(groups, lr=optimiser.lr)


def test_papers_multipliers_are_the_default() -> None:
    network = build_segmenter(Model(backbone="vgg16"), 4)
    new = {"classifier.weight", "backbone.fc7.weight", "backbone.fc7.bias"}
    groups = {group["name"]: group for group in parameter_groups(network, new, Optimiser())}
    rates = {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()}
    assert rates == {
        "weights": pytest.approx((1e-3, 5e-4)),
        "biases": pytest.approx((2e-3, 0.0)),
        "new weights": pytest.approx((1e-2, 5e-4)),
        "new biases": pytest.approx((2e-2, 0.0)),
    }


def test_groups_follow_the_order_of_the_network() -> None:
    """A resumed optimiser finds its state by position."""
    network = build_classifier(Model(), 4)
    place = {id(parameter): k for k, parameter in enumerate(network.parameters())}
    groups = parameter_groups(network, {"weight"}, Optimiser())
    assert [group["name"] for group in groups] == ["weights", "norms", "new weights"]
    for group in groups:
        places = [place[id(parameter)] for parameter in group["params"]]
        assert places == sorted(places)

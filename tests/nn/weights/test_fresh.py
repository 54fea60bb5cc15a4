"""VGG-16 with fresh fc6 and fc7: where the loss starts, and that it falls at the recipe's rate."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from boxseg.config import Classify, Model, Optimiser
from boxseg.inference.networks import start_classifier
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.backbones.vgg import VGG16
from boxseg.nn.weights.fresh import photo_like, settle_fresh
from boxseg.nn.weights.loading import load_weights, parameter_groups
from boxseg.training.box_classifier import BoxClassifierModule

CLASSES = 20
# The first loss may be this many times ln(L + 1), the loss of scores that say nothing.
NEAR = 1.15


@pytest.fixture(scope="module")
def random_convolutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the 13 convolutions of a VGG-16 under Caffe's names, as random as they start."""
    torch.manual_seed(0)
    state = build_backbone("vgg16", features="pool5").state_dict()
    file = tmp_path_factory.mktemp("weights") / "convolutions.safetensors"
    save_file({name: tensor for name, tensor in state.items() if name.startswith("conv")}, file)
    return file


@pytest.fixture(params=["random", "real"])
def convolutions(request: pytest.FixtureRequest, random_convolutions: Path) -> Path:
    if request.param == "random":
        return random_convolutions
    data: Path = request.getfixturevalue("shared_data")
    file = data / "weights" / "vgg16_hed_fp16.safetensors"
    if not file.is_file():
        pytest.skip(f"no real weights: {file}")
    return file


def inputs_and_answers(backbone: VGG16, pictures: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """What fc6 and fc7 get and give, without dropout, layer by layer."""
    x = (pictures[:, backbone.order] - backbone.mean[:, None, None]) / backbone.std[:, None, None]
    for block, count in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)):
        for index in range(1, count + 1):
            x = backbone.get_submodule(f"conv{block}_{index}")(x).relu()
        x = F.max_pool2d(x, 3, stride=2 if block <= 3 else 1, padding=1)
    fc6 = F.conv2d(x, backbone.fc6.weight, backbone.fc6.bias, padding=1)
    fc7 = F.conv2d(fc6.relu(), backbone.fc7.weight, backbone.fc7.bias)
    return {"fc6": (x, fc6), "fc7": (fc6.relu(), fc7)}


def mean_square(x: Tensor) -> float:
    return float(x.double().square().mean())


def test_fresh_layers_answer_with_mean_square_one_in_the_direction_they_had(convolutions: Path) -> None:
    torch.manual_seed(1)
    backbone = build_backbone("vgg16")
    assert isinstance(backbone, VGG16)
    before = backbone.fc6.weight.detach().clone()
    backbone.train()
    report = load_weights(backbone, str(convolutions))
    assert backbone.training
    assert report.new == ("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias")
    with torch.no_grad():
        layers = inputs_and_answers(backbone, photo_like(2, 161))
    for name, (given, answer) in layers.items():
        assert mean_square(answer) == pytest.approx(1, rel=1e-3), name
        assert report.rates[f"{name}.weight"] == pytest.approx(0.1 / max(1, mean_square(given)), rel=1e-3)
        assert report.rates[f"{name}.bias"] == 0.1
    assert report.rates["fc6.weight"] < 0.01
    assert report.as_dict()["rates"] == report.rates
    ratio = backbone.fc6.weight.detach() / before
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio.mean())), rtol=1e-4, atol=0)


def test_pretrained_layers_stay_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(2)
    trained = build_backbone("vgg16")
    state = {name: tensor for name, tensor in trained.state_dict().items() if name.startswith(("conv", "fc"))}
    save_file(state, tmp_path / "all.safetensors")
    backbone = build_backbone("vgg16")
    report = load_weights(backbone, str(tmp_path / "all.safetensors"))
    assert (report.new, dict(report.rates)) == ((), {})
    assert "rates" not in report.as_dict()
    for name in ("fc6.weight", "fc7.weight"):
        assert torch.equal(backbone.state_dict()[name], trained.state_dict()[name])
    lite = load_weights(build_backbone("efficientnet_lite0"), "default")
    assert not lite.rates


def test_layers_whose_answer_says_nothing_stay_as_they_are() -> None:
    backbone = build_backbone("vgg16")
    assert isinstance(backbone, VGG16)
    nn.init.zeros_(backbone.conv5_3.weight)
    before = backbone.fc6.weight.detach().clone()
    assert settle_fresh(backbone, ["fc6", "fc7"]) == {}
    assert torch.equal(backbone.fc6.weight, before)


def test_the_rate_is_that_of_normalised_features() -> None:
    """SGD on x with weights W / s and the rate of `parameter_groups` is SGD on x / s with W, step by step."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(64, 6, generator=generator)
    target = torch.randn(64, 2, generator=generator)
    scale, optimiser = 26.0, Optimiser(lr=0.01, new_lr=2.0, weight_decay=0.1)
    answers = []
    for s in (1.0, scale):
        network = nn.Sequential(nn.Linear(6, 2))
        with torch.no_grad():
            network[0].weight.copy_(torch.linspace(-1, 1, 12).reshape(2, 6) / s)
            network[0].bias.zero_()
        groups = parameter_groups(network, {"0.weight", "0.bias"}, optimiser, {"0.weight": 1 / s**2})
        sgd = torch.optim.SGD(groups, lr=optimiser.lr, momentum=0.9)
        for _ in range(20):
            sgd.zero_grad()
            F.mse_loss(network(s * x), target).backward()
            sgd.step()
        answers.append(network(s * x))
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def batch_of(pictures: Tensor) -> dict[str, Tensor]:
    """Two boxes a picture, of all kinds of classes."""
    count, size = len(pictures), pictures.shape[-1]
    boxes = torch.tensor([[4.0, 6.0, 40.0, 60.0], [44.0, 30.0, 80.0, 76.0]]).repeat(count, 1)
    background = torch.ones(count, size, size, dtype=torch.bool)
    background[:, 6:60, 4:40] = background[:, 30:76, 44:80] = False
    return {
        "images": pictures,
        "boxes": boxes,
        "batch_index": torch.arange(count).repeat_interleave(2),
        "labels": torch.arange(2 * count) % CLASSES + 1,
        "background": background,
        "valid": torch.ones_like(background),
    }


def test_the_loss_starts_at_chance_and_falls_at_the_recipes_rate(convolutions: Path) -> None:
    model = Model(backbone="vgg16", weights=str(convolutions), preprocessing="caffe", fully_connected="fresh")
    options = Classify(iterations=8000, optimiser=Optimiser(lr=1e-3, new_lr=10))  # of voc_vgg16
    module = BoxClassifierModule(classes=CLASSES, iterations=8000, model=model, classify=options)
    module.train()
    sgd = module.configure_optimizers()["optimizer"]
    batch = batch_of(photo_like(4, 97))
    losses = []
    for step in range(10):
        torch.manual_seed(step)  # dropout
        loss = module.loss(batch)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    chance = math.log(CLASSES + 1)
    assert chance / NEAR < losses[0] < NEAR * chance
    assert all(map(math.isfinite, losses))
    assert max(losses) < 1.5 * chance
    assert sum(losses[-3:]) / 3 < 0.9 * losses[0]


def test_a_classifier_on_fresh_layers_is_the_same_each_time(random_convolutions: Path) -> None:
    model = Model(backbone="vgg16", weights=str(random_convolutions))
    first, second = (start_classifier(model, 3, seed=5) for _ in range(2))
    assert first[1] == second[1]
    assert torch.equal(first[0].backbone.fc7.weight, second[0].backbone.fc7.weight)

"""How a stage starts its network: what it says of the weights, and what it leaves in the run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from boxseg.cli import execute
from boxseg.config import Model, Segment
from boxseg.data.toy import write_toy
from boxseg.inference.networks import load_segmenter, save_network, start_classifier, start_segmenter
from boxseg.nn.backbones.base import hurry_pointwise


def full_vgg16(path: Path) -> Path:
    """A file of torchvision's VGG-16 in its true shapes; every tensor is one stored number."""
    widths = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
    layers = zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), widths + 5 * [(512, 512)], strict=True)
    shapes = {f"features.{k}": (out, channels, 3, 3) for k, (channels, out) in layers}
    shapes |= {"classifier.0": (4096, 25088), "classifier.3": (4096, 4096), "classifier.6": (1000, 4096)}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.tensor(0.01).expand(shape)
        state[f"{name}.bias"] = torch.tensor(0.5).expand(shape[0])
    torch.save(state, path)
    return path


@pytest.mark.parametrize("start", [start_classifier, start_segmenter])
@pytest.mark.parametrize("fully_connected", ["subsample", "fresh"])
def test_options_reach_the_weights_and_every_name_is_reported(
    start: object, fully_connected: str, tmp_path: Path
) -> None:
    file = full_vgg16(tmp_path / "vgg16.pth")
    model = Model(backbone="vgg16", weights=str(file), fully_connected=fully_connected, preprocessing="caffe")  # type: ignore[arg-type]
    network, report = start(model, 3, 0)  # type: ignore[operator]
    fresh = {"backbone.fc6.weight", "backbone.fc6.bias", "backbone.fc7.weight", "backbone.fc7.bias"}
    own = {name for name, _ in network.named_parameters() if not name.startswith("backbone.")}
    assert set(report.new) == own | (fresh if fully_connected == "fresh" else set())
    told = report.as_dict()
    assert sorted(told["loaded"] + told["new"] + told["own"]) == sorted(network.state_dict())
    ignored = {"classifier.6.bias", "classifier.6.weight"}
    if fully_connected == "fresh":
        ignored |= {f"classifier.{k}.{part}" for k in (0, 3) for part in ("weight", "bias")}
    assert set(told["ignored"]) == ignored
    assert told["names"] == "torchvision VGG-16"
    assert f"{len(told['loaded'])} tensors loaded" in report.summary()
    assert "input: BGR - (104.008, 116.669, 122.675)" in report.summary()


def test_a_file_of_another_shape_is_an_error_that_names_both_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(full_vgg16(tmp_path / "vgg16.pth"), weights_only=True)
    state["features.5.weight"] = torch.zeros(128, 64, 5, 5)
    torch.save(state, tmp_path / "vgg16.pth")
    write_toy(tmp_path / "toy", train=1, val=1, size=96, seed=0)
    words = [
        "classify",
        f"data={tmp_path}/toy",
        f"out={tmp_path}/out",
        "backbone=vgg16",
        f"weights={tmp_path}/vgg16.pth",
    ]
    assert execute(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "conv2_1.weight (128, 64, 5, 5) instead of (128, 64, 3, 3)" in line


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet50"])
def test_a_loaded_network_computes_what_the_saved_one_did(backbone: str, tmp_path: Path) -> None:
    model = Model(backbone=backbone, weights="none")  # type: ignore[arg-type]
    network, _ = start_segmenter(model, 3, 0)
    network.eval()
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
    file = tmp_path / "model.safetensors"
    save_network(file, network, classes=("a", "b", "c"), model=model, options=Segment())
    photo = torch.randint(0, 256, (1, 3, 40, 50), dtype=torch.uint8, generator=generator)
    loaded = load_segmenter(file, torch.device("cpu")).network
    with torch.no_grad():
        torch.testing.assert_close(loaded(photo), network(photo), atol=1e-4, rtol=0)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in loaded.modules())


def test_a_network_that_came_from_another_process_is_hurried_again(tmp_path: Path) -> None:
    """Of one of another library, what is done to its layers gets lost on the way."""
    model = Model(backbone="efficientnet_lite0", weights="none")
    network, _ = start_segmenter(model, 3, 0)
    save_network(tmp_path / "s.safetensors", network, classes=("a", "b", "c"), model=model, options=Segment())
    loaded = load_segmenter(tmp_path / "s.safetensors", torch.device("cpu"))
    assert loaded.network.head.fc7.dilation == (2, 2)  # type: ignore[union-attr]
    hurry_pointwise(loaded.network, cpu=False)
    assert loaded.on(torch.device("cpu")).network.head.fc7.dilation == (2, 2)  # type: ignore[union-attr]

"""Weight files as users have them: wrapped, of other networks, damaged, or to be downloaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from boxseg.config import Model
from boxseg.errors import CheckpointError
from boxseg.nn import checkpoint
from boxseg.nn.backbones.base import CAFFE, TORCHVISION
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.deeplab import build_classifier, build_segmenter
from boxseg.nn.weights import files
from boxseg.nn.weights.loading import load_weights
from boxseg.plugins import BackboneName
from faulty_server import FaultyServer
from weight_files import caffe_resnet, caffe_vgg16, check_preprocessing, filled, resnet, torchvision_vgg16


def test_the_preprocessing_of_weights_may_be_said(tmp_path: Path) -> None:
    """Caffe's weights also come under torchvision's names, which the names cannot tell."""
    torch.save(torchvision_vgg16(), tmp_path / "vgg.pth")
    backbone = build_backbone("vgg16")
    report = load_weights(backbone, str(tmp_path / "vgg.pth"), preprocessing="caffe")
    check_preprocessing(backbone, CAFFE)
    assert report.summary().endswith("input: BGR - (104.008, 116.669, 122.675)")
    white = backbone.normalise(torch.full((1, 3, 9, 9), 255))
    assert white[0, :, 0, 0].tolist() == pytest.approx([150.992, 138.331, 132.325], abs=1e-3)
    load_weights(backbone, str(tmp_path / "vgg.pth"))
    check_preprocessing(backbone, TORCHVISION)
    load_weights(backbone, "none", preprocessing="caffe")
    check_preprocessing(backbone, CAFFE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {f"base.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.backbone.{n}": nn.Parameter(t) for n, t in state.items()}},
    ],
)
def test_wrapped_files_are_unwrapped(tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(resnet((3, 4, 6, 3), "caffe")[0]), tmp_path / "wrapped.pth")
    assert load_weights(build_backbone("resnet50"), str(tmp_path / "wrapped.pth")).new == ()


def test_a_network_of_ours_is_a_weight_file(tmp_path: Path) -> None:
    """The classifier's backbone can start the segmentation network; its normalisation and stride come along."""
    classifier = build_classifier(Model(backbone="resnet50"), 3)
    backbone = classifier.backbone
    backbone.set_preprocessing(CAFFE)
    backbone.set_style("caffe")  # type: ignore[operator]
    checkpoint.save(tmp_path / "m.safetensors", classifier.state_dict(), {"kind": "box-classifier"})
    segmenter = build_segmenter(Model(backbone="resnet50"), 5)
    report = load_weights(segmenter, str(tmp_path / "m.safetensors"))
    assert report.scheme == "boxseg"
    assert report.ignored == ("weight",)
    assert {name.split(".")[0] for name in report.new} == {"head", "classifier"}
    assert segmenter.backbone.style == "caffe"
    check_preprocessing(segmenter.backbone, CAFFE)


# --- files that do not fit ---


def test_missing_tensors_and_shapes_are_named_and_nothing_changes(tmp_path: Path) -> None:
    state = caffe_vgg16()
    del state["conv3_2.bias"]
    state["conv1_1.weight"] = torch.zeros(64, 1, 3, 3)
    safetensors.torch.save_file({k: v.clone() for k, v in state.items()}, tmp_path / "v.safetensors")
    backbone = build_backbone("vgg16")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(backbone, str(tmp_path / "v.safetensors"))
    message = str(caught.value)
    assert "does not fit vgg16: missing 1 (conv3_2.bias);" in message
    assert "of another shape 1 (conv1_1.weight (64, 1, 3, 3) instead of (64, 3, 3, 3))" in message
    assert "\n" not in message
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_another_network_is_named(tmp_path: Path) -> None:
    state, _ = resnet((3, 4, 23, 3), "torchvision")
    torch.save(state, tmp_path / "r101.pth")
    with pytest.raises(
        CheckpointError, match=r"r101\.pth has no weights of vgg16 .*torchvision VGG-16, Caffe VGG"
    ):
        load_weights(build_backbone("vgg16"), str(tmp_path / "r101.pth"))
    state50, _ = resnet((3, 4, 6, 3), "torchvision")
    torch.save(state50, tmp_path / "r50.pth")
    with pytest.raises(
        CheckpointError, match=r"r50\.pth .*does not fit resnet101: missing 255 \(layer3\.6.* …\)"
    ):
        load_weights(build_backbone("resnet101"), str(tmp_path / "r50.pth"))


def vgg19() -> dict[str, Tensor]:
    """A fourth convolution in the last three blocks."""
    deeper = {}
    for block, width in ((3, 256), (4, 512), (5, 512)):
        deeper[f"conv{block}_4.weight"] = filled(width, width, 3, 3, seed=60 + block)
        deeper[f"conv{block}_4.bias"] = filled(width, seed=-60 - block)
    return {**caffe_vgg16(), **deeper}


def efficientnet_b0() -> dict[str, Tensor]:
    """The widths and depths of Lite0 with a squeeze of channels in every block."""
    squeezed = {f"_blocks.{block}._se_reduce.weight": torch.zeros(8, 32, 1, 1) for block in range(16)}
    return {**files.read_state(files.embedded_lite0()), **squeezed}


DEEPER: dict[str, tuple[BackboneName, Callable[[], dict[str, Tensor]], str]] = {
    "torchvision ResNet-101": (
        "resnet50",
        lambda: resnet((3, 4, 23, 3), "torchvision")[0],
        "255 (layer3.6.conv1.weight, ",
    ),
    "deeplab-pytorch ResNet-101": (
        "resnet50",
        lambda: resnet((3, 4, 23, 3), "caffe")[0],
        "255 (layer3.6.conv1.weight, ",
    ),
    "Caffe ResNet-101": ("resnet50", lambda: caffe_resnet((3, 4, 23, 3))[0], "255 (layer3.6.conv1.weight, "),
    "torchvision ResNet-152": (
        "resnet101",
        lambda: resnet((3, 8, 36, 3), "torchvision")[0],
        "255 (layer2.4.conv1.weight, ",
    ),
    "Caffe VGG-19": ("vgg16", vgg19, "6 (conv3_4.weight, conv3_4.bias, conv4_4.weight, "),
    "EfficientNet-B0": ("efficientnet_lite0", efficientnet_b0, "16 (blocks.0.se_reduce.weight, "),
}


@pytest.mark.parametrize("deeper", DEEPER)
def test_the_layers_that_a_deeper_network_has_more_are_named_and_nothing_changes(
    tmp_path: Path, deeper: str
) -> None:
    name, make, layers = DEEPER[deeper]
    torch.save(make(), tmp_path / "deeper.pth")
    backbone = build_backbone(name)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(backbone, str(tmp_path / "deeper.pth"))
    message = str(caught.value)
    assert f"does not fit {name}: of layers that it lacks {layers}" in message
    assert message.endswith("choose the model.backbone that it was made for")
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_a_deeper_network_of_ours_is_refused_too(tmp_path: Path) -> None:
    state = build_classifier(Model(backbone="resnet101"), 3).state_dict()
    checkpoint.save(tmp_path / "m.safetensors", state, {"kind": "box-classifier"})
    with pytest.raises(
        CheckpointError, match=r"does not fit resnet50: of layers that it lacks \d+ \(layer3\.1"
    ):
        load_weights(build_segmenter(Model(backbone="resnet50"), 5), str(tmp_path / "m.safetensors"))


@pytest.mark.parametrize("lacking", ["classifier.0.weight", "classifier.0.bias", "classifier.3.weight"])
def test_half_a_fully_connected_layer_is_refused(tmp_path: Path, lacking: str) -> None:
    state = torchvision_vgg16()
    del state[lacking]
    torch.save(state, tmp_path / "vgg.pth")
    ours = lacking.replace("classifier.0", "fc6").replace("classifier.3", "fc7")
    with pytest.raises(CheckpointError, match=rf"does not fit vgg16: missing 1 \({ours}\): choose"):
        load_weights(build_backbone("vgg16"), str(tmp_path / "vgg.pth"))
    report = load_weights(build_backbone("vgg16"), str(tmp_path / "vgg.pth"), fully_connected="fresh")
    assert report.new == ("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias")


def test_a_whole_fully_connected_layer_may_be_missing(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in torchvision_vgg16().items() if "classifier.0" not in name}
    torch.save(state, tmp_path / "vgg.pth")
    report = load_weights(build_backbone("vgg16"), str(tmp_path / "vgg.pth"))
    assert report.new == ("fc6.weight", "fc6.bias")


def test_heads_of_other_networks_stay_without_use(tmp_path: Path) -> None:
    heads = ("fc8_voc12.weight", "fc8-SEC.weight", "conv6_1.weight", "conv4_3_norm.weight")
    torch.save(caffe_vgg16() | {name: torch.zeros(2) for name in heads}, tmp_path / "vgg.pth")
    report = load_weights(build_backbone("vgg16"), str(tmp_path / "vgg.pth"))
    assert report.ignored == tuple(sorted(heads))
    heads = ("aux_classifier.0.weight", "classifier.4.bias", "fc.bias", "layer5.conv2d_list.0.weight")
    state = resnet((3, 4, 6, 3), "torchvision")[0] | {name: torch.zeros(2) for name in heads}
    torch.save(state, tmp_path / "resnet.pth")
    report = load_weights(build_backbone("resnet50"), str(tmp_path / "resnet.pth"))
    assert report.ignored == tuple(sorted([*heads, "fc.weight"]))


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.victim),))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 broken"])
def test_damaged_files_are_a_clear_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\..* is not a weight file") as caught:
        load_weights(build_backbone("efficientnet_lite0"), str(path))
    assert "\n" not in str(caught.value)


def test_files_with_code_or_without_tensors_are_refused(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"w": torch.zeros(2)}, "evil": Malicious(tmp_path / "victim")}, tmp_path / "evil.pth"
    )
    with pytest.raises(CheckpointError, match="is not a weight file"):
        load_weights(build_backbone("efficientnet_lite0"), str(tmp_path / "evil.pth"))
    assert not (tmp_path / "victim").exists()
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_weights(build_backbone("efficientnet_lite0"), str(tmp_path / "none.pth"))
    with pytest.raises(CheckpointError, match=r"no weight file imagnet: model\.weights is default, imagenet"):
        load_weights(build_backbone("efficientnet_lite0"), "imagnet")


# --- downloads, from a server of our own ---


@pytest.fixture
def torchvision(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """The server of torchvision's files has one, which belongs to ResNet-50, and the cache is empty."""
    torch.save(resnet((3, 4, 6, 3), "torchvision")[0], tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    name = f"resnet50-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.files[name] = content
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "TORCHVISION_URL", server.url(""))
    monkeypatch.setattr(files, "TORCHVISION_FILES", {"resnet50": name})
    monkeypatch.setattr("boxseg.downloads.fetch.time.sleep", lambda _: None)
    return server


def test_weights_are_downloaded_once_and_gone_on_with_after_a_cut(
    torchvision: FaultyServer, tmp_path: Path
) -> None:
    torchvision.cuts = [1000]
    for _ in range(2):
        assert load_weights(build_backbone("resnet50"), "imagenet").new == ()
    assert [asked for asked, _ in torchvision.seen] == [None, "bytes=1000-"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == list(torchvision.files)


@pytest.mark.parametrize("fault", ["absent", "damaged"])
def test_a_failed_download_names_file_address_and_option_and_leaves_nothing(
    torchvision: FaultyServer, tmp_path: Path, fault: str
) -> None:
    (name,) = torchvision.files
    torchvision.files = {name: b"another file"} if fault == "damaged" else {}
    with pytest.raises(CheckpointError) as caught:
        load_weights(build_backbone("resnet50"), "imagenet")
    message = str(caught.value)
    assert message.startswith(f"cannot download {name}: {torchvision.url(name)}: ")
    assert ("404 Not Found" if fault == "absent" else "damaged in transfer, or a different file") in message
    assert f"fetch {torchvision.url(name)} elsewhere" in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_offline_names_file_address_and_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(files, "TORCHVISION_URL", "http://127.0.0.1:9/models/")
    monkeypatch.setattr("boxseg.downloads.fetch.time.sleep", lambda _: None)
    for name, file in (("vgg16", "vgg16-397923af.pth"), ("resnet101", "resnet101-63fe2227.pth")):
        with pytest.raises(CheckpointError) as caught:
            load_weights(build_backbone(name), "default")  # type: ignore[arg-type]
        message = str(caught.value)
        assert f"cannot download {file}" in message
        assert f"http://127.0.0.1:9/models/{file}" in message
        assert "model.weights=FILE" in message
        assert str(tmp_path / file) in message
    assert list(tmp_path.iterdir()) == []


def test_imagenet_weights_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(files, "TORCHVISION_URL", "http://127.0.0.1:9/models/")
    torch.save(resnet((3, 4, 6, 3), "torchvision")[0], tmp_path / "resnet50-0676ba61.pth")
    report = load_weights(build_backbone("resnet50"), "imagenet")
    assert report.source == "resnet50-0676ba61.pth"
    assert report.new == ()

"""Models of transformers as backbones: tiny random ones, saved to a folder as their users have them."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import timm_stand_in
from boxseg.config import Model, Optimiser
from boxseg.errors import CheckpointError, ConfigError, MissingExtraError
from boxseg.nn.backbones.base import TORCHVISION
from boxseg.nn.backbones.other_libraries import LibraryBackbone, measure
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.deeplab import build_classifier, build_segmenter
from boxseg.nn.weights.loading import load_weights, parameter_groups

transformers = pytest.importorskip("transformers")

TINY: dict[str, dict[str, Any]] = {
    "dinov2": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 56},
    "convnext": {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]},
    "swin": {"depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "embed_dim": 8, "window_size": 4},
    "resnet": {
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 16, 24, 32],
        "embedding_size": 8,
        "layer_type": "basic",
    },
}
# Channels, stride, whether cells are tiles: from the papers and the sizes above.
EXPECTED = {
    "dinov2": (32, 14, True),
    "convnext": (32, 32, True),
    "swin": (64, 32, True),
    "resnet": (32, 32, False),
}
each_kind = pytest.mark.parametrize("kind", TINY)


def saved(kind: str, folder: Path, **options: Any) -> Path:
    """A model with random weights and its processor's configuration, as on the hub."""
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[kind](**TINY[kind], **options)
    transformers.AutoBackbone.from_config(config).save_pretrained(folder)
    told = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps({**told, "do_normalize": True}))
    return folder


def started(kind: str, folder: Path, **options: Any) -> LibraryBackbone:
    """A backbone with the saved weights, in evaluation mode."""
    backbone = build_backbone(f"hf:{saved(kind, folder)}", **options).eval()
    assert isinstance(backbone, LibraryBackbone)
    load_weights(backbone, "default")
    return backbone


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 50 + 128


@each_kind
def test_the_geometry_is_found_by_looking(kind: str, tmp_path: Path) -> None:
    backbone = started(kind, tmp_path)
    assert (backbone.channels, backbone.stride, backbone.geometry.patches) == EXPECTED[kind]
    for size in ((1, 1), (33, 64), (65, 100)):
        with torch.no_grad():
            features = backbone(normal(2, 3, *size))
        assert features.shape == (2, backbone.channels, *backbone.feature_size(*size))


@each_kind
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 3), (1, 4)])
def test_a_mark_changes_the_cell_that_lies_over_it_most(
    kind: str, row: int, column: int, tmp_path: Path
) -> None:
    """A small mark within half a stride of (stride · row, stride · column), on either side of it.

    Windows overlap, so theirs must be nearer.
    """
    backbone = started(kind, tmp_path)
    s = backbone.stride
    photo = normal(1, 3, 4 * s + 1, 5 * s + 1)
    reach = s // 2 - 2 if backbone.geometry.patches else s // 8
    for down, right in ((0, 0), (reach, -reach), (-reach, reach)):
        y, x = max(0, s * row + down), max(0, s * column + right)
        marked = photo.clone()
        marked[..., y : y + 2, x : x + 2] += 500
        with torch.no_grad():
            change = (backbone(marked) - backbone(photo)).abs().sum(1)[0]
        assert divmod(int(change.argmax()), change.shape[1]) == (row, column)


@pytest.mark.parametrize("kind", ["convnext", "swin", "dinov2"])
def test_a_networks_tiles_are_centred_where_the_grid_has_its_cells(kind: str, tmp_path: Path) -> None:
    """What it sees is the photo moved by half a tile: its own output for that, computed here by hand."""
    backbone = started(kind, tmp_path)
    s = backbone.stride
    photo = normal(1, 3, 2 * s + 5, s + 1)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))
    canvas = torch.zeros(1, 3, 4 * s, 2 * s)
    canvas[..., s // 2 : s // 2 + 2 * s + 5, s // 2 : s // 2 + s + 1] = (photo / 255 - mean) / std
    original = transformers.AutoBackbone.from_config(backbone.network.config).eval()  # type: ignore[union-attr]
    original.load_state_dict(backbone.network.state_dict())  # type: ignore[union-attr]
    with torch.no_grad():
        torch.testing.assert_close(backbone(photo), original(canvas).feature_maps[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "stage", "channels", "stride"),
    [("convnext", 2, 16, 8), ("swin", 3, 32, 16), ("resnet", 2, 16, 8), ("dinov2", 1, 32, 14)],
)
def test_an_earlier_stage_is_finer(kind: str, stage: int, channels: int, stride: int, tmp_path: Path) -> None:
    backbone = started(kind, tmp_path, stage=stage)
    assert (backbone.channels, backbone.stride) == (channels, stride)
    for size in ((1, 1), (70, 45)):
        with torch.no_grad():
            assert backbone(normal(1, 3, *size)).shape[-2:] == backbone.feature_size(*size)
    photo = normal(1, 3, 64, 64)
    marked = photo.clone()
    marked[..., 3 * stride, 2 * stride] += 500
    with torch.no_grad():
        change = (backbone(marked) - backbone(photo)).abs().sum(1)[0]
    assert divmod(int(change.argmax()), change.shape[1]) == (3, 2)


def test_the_models_own_mean_and_deviation_are_taken_else_imagenets(tmp_path: Path) -> None:
    backbone = started("convnext", tmp_path)
    assert backbone.preprocessing.mean == pytest.approx((127.5, 102, 76.5), rel=1e-5)
    assert backbone.preprocessing.std == pytest.approx((51, 63.75, 76.5), rel=1e-5)
    (tmp_path / "preprocessor_config.json").unlink()
    assert build_backbone(f"hf:{tmp_path}").preprocessing.mean == pytest.approx(TORCHVISION.mean)


@each_kind
def test_a_checkpoint_needs_neither_the_folder_nor_the_hub(kind: str, tmp_path: Path) -> None:
    folder = saved(kind, tmp_path / "model")
    model = Model(backbone=f"hf:{folder}")
    network = build_classifier(model, 3).eval()
    load_weights(network, "default")
    description = json.loads(json.dumps(network.backbone.architecture))
    folder.rename(tmp_path / "elsewhere")
    again = build_classifier(model, 3, description).eval()
    again.load_state_dict(network.state_dict())
    photo = normal(1, 3, 70, 50)
    with torch.no_grad():
        assert torch.equal(again(photo), network(photo))
    assert again.backbone.preprocessing == network.backbone.preprocessing


@each_kind
def test_it_can_be_sent_to_another_process_and_copied(kind: str, tmp_path: Path) -> None:
    backbone = started(kind, tmp_path / "model")
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbone.freeze()
    (tmp_path / "model").rename(tmp_path / "gone")
    photo = normal(1, 3, 40, 50)
    for again in (pickle.loads(pickle.dumps(backbone)), copy.deepcopy(backbone)):
        with torch.no_grad():
            assert torch.equal(again(photo), backbone(photo))
        assert again.frozen
        assert not any(parameter.requires_grad for parameter in again.parameters())
        pairs = zip(again.parameters(), backbone.parameters(), strict=True)
        assert all(one.stride() == other.stride() and one is not other for one, other in pairs)
        assert not any(module.training for module in again.modules())


def test_every_tensor_of_the_weights_is_accounted_for(tmp_path: Path) -> None:
    backbone = build_backbone(f"hf:{saved('convnext', tmp_path)}")
    report = load_weights(backbone, "default")
    theirs = {f"network.{name}" for name in backbone.network.state_dict()}  # type: ignore[union-attr]
    assert set(report.loaded) == theirs
    assert (report.new, set(report.own), report.ignored) == ((), {"mean", "std", "order"}, ())
    random = load_weights(build_backbone(f"hf:{tmp_path}"), "none")
    assert set(random.new) == {f"network.{name}" for name, _ in backbone.network.named_parameters()}  # type: ignore[union-attr]


def test_scales_of_norms_and_channels_do_not_decay(tmp_path: Path) -> None:
    network = build_classifier(Model(backbone=f"hf:{saved('convnext', tmp_path)}"), 2)
    groups = parameter_groups(network, {"weight"}, Optimiser())
    decayed = {id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]}
    for name, parameter in network.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1), name


@pytest.mark.parametrize("name", ["efficientnet_lite0", "hf:"])
def test_a_frozen_backbone_learns_nothing(name: str, tmp_path: Path) -> None:
    name = name if name != "hf:" else f"hf:{saved('resnet', tmp_path)}"
    network = build_segmenter(Model(backbone=name, weights="none", freeze=True, batch_norm="train"), 2).train()
    assert not any(module.training for module in network.backbone.modules())
    assert network.head.training
    before = {key: value.clone() for key, value in network.backbone.state_dict().items()}
    groups = parameter_groups(network, set(), Optimiser())
    learning = {id(parameter) for group in groups for parameter in group["params"]}
    assert learning == {id(p) for n, p in network.named_parameters() if n.startswith(("head.", "classifier."))}
    network(normal(2, 3, 65, 65)).square().sum().backward()
    assert all(parameter.grad is None for parameter in network.backbone.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.backbone.state_dict().items())


def test_what_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved("convnext", tmp_path / "model")
    with pytest.raises(ConfigError, match=r"model\.stage=9: .* has 4 stages"):
        build_backbone(f"hf:{folder}", stage=9)
    with pytest.raises(ConfigError, match=r"cannot find hf:.*nowhere"):
        build_backbone(f"hf:{tmp_path}/nowhere")
    transformers.BertConfig(hidden_size=8).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match=r"model_type bert\) cannot be a backbone"):
        build_backbone(f"hf:{tmp_path}/bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot load the weights of hf:"):
        load_weights(build_backbone(f"hf:{folder}"), "default")
    with pytest.raises(CheckpointError, match="default takes its own"):
        load_weights(build_backbone(f"hf:{folder}"), "imagenet")
    for name in ("hf:", "tf:resnet", "vgg19"):
        with pytest.raises(ConfigError, match="one of efficientnet_lite0, vgg16"):
            Model(backbone=name)
    with pytest.raises(ConfigError, match=r"model\.stage is for hf: and timm: backbones"):
        Model(backbone="vgg16", stage=2)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'boxseg\[hf\]'"):
        build_backbone(f"hf:{folder}")


def test_a_network_of_fixed_size_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    transformers.HieraConfig(depths=[1, 1, 1, 1], embed_dim=8).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="does not take photos of every size") as caught:
        build_backbone(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)


# --- timm: it cannot be imported without torchvision, so what we ask of it is played by a stand-in ---


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    return timm_stand_in.install(monkeypatch, "tiles")


def test_what_is_asked_of_timm(timm: types.ModuleType) -> None:
    backbone = build_backbone("timm:tiles.some_weights".replace(".some_weights", "")).eval()
    assert isinstance(backbone, LibraryBackbone)
    assert (backbone.channels, backbone.stride, backbone.geometry.patches) == (7, 8, True)
    assert backbone.preprocessing.mean == (127.5, 127.5, 127.5)
    before = backbone.network.second.weight.clone()  # type: ignore[union-attr]
    report = load_weights(backbone, "default")
    assert not torch.equal(backbone.network.second.weight, before)  # type: ignore[union-attr]
    assert len(report.loaded) == 4
    again = build_backbone("timm:tiles", architecture=json.loads(json.dumps(backbone.architecture))).eval()
    again.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        photo = normal(1, 3, 30, 21)
        assert torch.equal(again(photo), backbone(photo))
        assert backbone(photo).shape == (1, 7, 5, 4)
    first = build_backbone("timm:tiles", stage=1)
    assert (first.channels, first.stride) == (5, 4)
    assert first(normal(1, 3, 30, 21)).shape[-2:] == first.feature_size(30, 21)
    with pytest.raises(ConfigError, match="timm has no model 'tile', did you mean 'tiles'"):
        build_backbone("timm:tile")
    with pytest.raises(ConfigError, match=r"model\.stage=3: timm:tiles has 2 stages"):
        build_backbone("timm:tiles", stage=3)


def test_a_model_of_timm_itself() -> None:
    pytest.importorskip("timm", exc_type=ImportError)  # it is there, and lacks torchvision: not usable either
    backbone = build_backbone("timm:resnet18").eval()
    assert isinstance(backbone, LibraryBackbone)
    assert (backbone.channels, backbone.stride, backbone.geometry.patches) == (512, 32, False)


def test_strides_and_centres_of_plain_convolutions_are_measured() -> None:
    torch.manual_seed(0)
    tiles, windows = nn.Conv2d(3, 4, 16, 16), nn.Conv2d(3, 4, 17, 16, padding=8)
    assert (measure(tiles).stride, measure(tiles).patches) == (16, True)
    assert (measure(windows).stride, measure(windows).patches) == (16, False)

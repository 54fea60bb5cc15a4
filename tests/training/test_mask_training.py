"""One step of the mask network's training, taken apart; what it starts from, and what it refuses."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from boxseg.config import Adapt, TrainerOptions
from boxseg.data.object_training import ObjectTraining
from boxseg.errors import BoxsegError, CheckpointError, ConfigError
from boxseg.inference.mask_networks import load_mask_network, shipped_weights, start_mask_network
from boxseg.nn import checkpoint
from boxseg.nn.mask_losses import agreement_loss, outside_loss, pairwise_loss, projection_loss
from boxseg.nn.mask_network import FROZEN_BLOCKS, GRID, SIDE, guide_maps, inside_box
from boxseg.nn.mask_targets import grid_colours
from boxseg.options import build_job, parse_words
from boxseg.training import mask_network, step_time
from boxseg.training.mask_network import MaskNetworkModule

CPU = torch.device("cpu")
FROZEN = (
    "backbone.conv_stem.",
    "backbone.bn0.",
    *(f"backbone.blocks.{place}." for place in range(FROZEN_BLOCKS)),
)
STEP = Adapt(lr=1e-3, warm_up=0, average=0.9)


def batch_of(count: int) -> dict[str, Tensor]:
    """Crops of a square on noise, seen clean and darker."""
    generator = torch.Generator().manual_seed(3)
    clean = torch.randint(60, 140, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    boxes = torch.tensor([[40.0, 40.0, 210.0, 200.0], [60.0, 37.0, 180.0, 220.0], [30.0, 90.0, 227.0, 170.0]])[
        :count
    ]
    for crop, (left, top, right, bottom) in zip(clean, boxes.int().tolist(), strict=True):
        crop[0, top + 20 : bottom, left : right - 10] += 90
    others = torch.randint(0, 3, (count, GRID, GRID), dtype=torch.uint8, generator=generator)
    known = torch.zeros(count, GRID, GRID, dtype=torch.uint8)
    return {"images": clean // 2, "clean": clean, "boxes": boxes, "others": others, "known": known}


class Watched(MaskNetworkModule):
    """Keeps what a step's gradients were before they are shortened."""

    def before_step(self) -> None:
        self.seen = {
            name: parameter.grad.clone()
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None
        }
        super().before_step()
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        self.length = float(torch.stack([parameter.grad.norm() for parameter in parameters]).norm())  # type: ignore[union-attr]


def step(
    folder: Path, batch: dict[str, Tensor], adapt: Adapt, accumulate: int = 1
) -> tuple[Watched, dict[str, Tensor]]:
    """The module after one step of a plain Trainer, and its network's tensors before."""
    module = Watched(iterations=100, adapt=adapt, accumulate=accumulate)
    before = {name: tensor.clone() for name, tensor in module.network.state_dict().items()}
    trainer = L.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    with torch.random.fork_rng():
        trainer.fit(module, torch.utils.data.DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
    assert trainer.global_step == 1
    return module, before


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Watched, dict[str, Tensor]]:
    return step(tmp_path_factory.mktemp("step"), batch_of(3), STEP)


@pytest.fixture(scope="module")
def fresh() -> MaskNetworkModule:
    """From ImageNet, before its first step."""
    return MaskNetworkModule(iterations=100, adapt=Adapt(weights="imagenet", prior=0.1), seed=1)


# ---- one step ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_scaled_gradients_are_shortened_as_much(
    scale: float, fresh: MaskNetworkModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 16-mixed has them before the step of the optimiser."""
    scaler = SimpleNamespace(get_scale=lambda: scale) if scale > 1 else None
    trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler))
    monkeypatch.setattr(MaskNetworkModule, "trainer", trainer)
    learning = [parameter for parameter in fresh.network.parameters() if parameter.requires_grad]
    try:
        for wanted, given in ((5.0, 50.0), (2.0, 2.0)):
            for parameter in learning:
                parameter.grad = torch.zeros_like(parameter)
            learning[0].grad.view(-1)[0] = given * scale  # type: ignore[union-attr]
            fresh.before_step()
            assert learning[0].grad.norm().item() / scale == pytest.approx(wanted, rel=1e-5)  # type: ignore[union-attr]
    finally:
        fresh.network.zero_grad(set_to_none=True)


def test_only_networks_compute_in_half_precision(
    fresh: MaskNetworkModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(2)
    logits = torch.randn(2, GRID, GRID, generator=torch.Generator().manual_seed(0))
    seen: list[bool] = []

    def answer(images: Tensor, guides: Tensor) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return logits.bfloat16().float()

    monkeypatch.setattr(fresh.network, "forward", answer)
    monkeypatch.setattr(MaskNetworkModule, "progress", 0.0)
    plain = fresh.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = fresh.loss(batch)
    assert seen == [False, True]
    assert torch.equal(plain, half)


def test_a_step_changes_decoder_and_encoder_but_no_frozen_block(
    stepped: tuple[Watched, dict[str, Tensor]],
) -> None:
    module, before = stepped
    for name, parameter in module.network.named_parameters():
        frozen = name.startswith(FROZEN)
        assert parameter.isfinite().all(), name
        assert torch.equal(parameter, before[name]) == frozen, name
    for name, buffer in module.network.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_the_decoder_learns_faster_than_the_encoder(stepped: tuple[Watched, dict[str, Tensor]]) -> None:
    """AdamW's first step is as long as the learning rate, where there is a gradient."""
    module, before = stepped
    change = {
        name: float((parameter.detach() - before[name]).abs().median())
        for name, parameter in module.network.named_parameters()
        if parameter.dim() == 4
    }
    assert change["backbone.blocks.15.project_conv.weight"] == pytest.approx(1e-3, rel=0.05)
    assert change["at_8.0.weight"] == pytest.approx(7e-3, rel=0.05)


def test_the_teacher_is_the_running_average(stepped: tuple[Watched, dict[str, Tensor]]) -> None:
    module, before = stepped
    for name, mine in module.teacher.named_parameters():
        expected = 0.9 * before[name] + 0.1 * module.network.get_parameter(name)
        torch.testing.assert_close(mine, expected, atol=1e-6, rtol=1e-5)
        assert not mine.requires_grad
    assert not module.teacher.training
    assert module.network.training


def test_a_new_teacher_follows_faster_at_first(
    fresh: MaskNetworkModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After n steps it keeps (1 + n) / (10 + n), until that is more than `average`."""
    teacher, state = fresh.teacher.logit.weight, copy.deepcopy(fresh.state_dict())
    for done, kept in ((1, 2 / 11), (8, 0.5), (10_000, 0.995)):
        monkeypatch.setattr(type(fresh), "global_step", done)
        before = teacher.clone()
        with torch.no_grad():
            fresh.network.logit.weight.add_(1)
        fresh.after_step()
        torch.testing.assert_close(teacher, kept * before + (1 - kept) * fresh.network.logit.weight.detach())
    fresh.load_state_dict(state)


def test_a_batch_in_parts_has_the_gradients_of_the_whole(
    stepped: tuple[Watched, dict[str, Tensor]], tmp_path: Path
) -> None:
    whole = stepped[0].seen
    parts = step(tmp_path, batch_of(3), STEP, accumulate=2)[0].seen
    assert parts.keys() == whole.keys()
    largest = max(float(slope.abs().max()) for slope in whole.values())
    for name, slope in whole.items():
        torch.testing.assert_close(parts[name], slope, atol=1e-5 * max(1.0, largest), rtol=1e-3, msg=name)


def test_long_gradients_are_shortened(stepped: tuple[Watched, dict[str, Tensor]]) -> None:
    module, _ = stepped
    length = float(torch.stack([slope.norm() for slope in module.seen.values()]).norm())
    assert module.length == pytest.approx(min(length, 5.0), rel=1e-3)


class OneCrop:
    """Training crops that are all the same one."""

    collate = staticmethod(ObjectTraining.collate)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        crop = {name: tensor[0] for name, tensor in batch_of(1).items()}
        return {"image": crop.pop("images"), **crop}


def test_a_timed_step_has_the_teacher_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's device without numbers stands for a GPU: mixed with the CPU, it is an error, too."""
    module = MaskNetworkModule(iterations=10)
    monkeypatch.setattr(step_time, "torch_device", lambda trainer: torch.device("meta"))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which it does not know
    trainer = TrainerOptions(devices=1, workers=0, accumulate=2)
    assert step_time.seconds_per_step(module, OneCrop(), 2, trainer) > 0  # type: ignore[arg-type]
    assert {tensor.device.type for tensor in module.parameters()} == {"meta"}


def test_a_loss_that_is_no_number_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = MaskNetworkModule.loss
    monkeypatch.setattr(MaskNetworkModule, "loss", lambda *given: loss(*given) * math.nan)
    with pytest.raises(BoxsegError, match="the loss is nan at iteration 0: nothing was learned yet"):
        step(tmp_path, batch_of(1), STEP)


def test_a_few_steps_lower_the_loss() -> None:
    module = MaskNetworkModule(iterations=100, adapt=Adapt(weights="imagenet", prior=1.0, pairwise=0), seed=1)
    batch = {name: tensor[:1] for name, tensor in batch_of(1).items()}
    adam = torch.optim.AdamW([p for p in module.network.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(4):
        loss = module.loss(batch)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


# ---- the loss ------------------------------------------------------------------------------------------------


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    """The student sees `images`, the teacher and the colours are of `clean`."""
    options = Adapt(outside=0.5, projection=2.0, pairwise=0.25, agreement=3.0)
    module, batch = MaskNetworkModule(iterations=10, adapt=options), batch_of(2)
    guides, inside = guide_maps(batch["boxes"], batch["others"]), inside_box(batch["boxes"])
    colours = grid_colours(batch["clean"])
    with torch.no_grad():
        targets = module.targets(batch["clean"], batch["boxes"], guides, colours)
        logits = module.network(batch["images"], guides)
        each = 0.5 * outside_loss(logits, inside) + 2 * projection_loss(logits, inside)
        each += 0.25 * pairwise_loss(logits, colours, inside)
        each += 3 * agreement_loss(logits, targets, (2 * targets - 1).abs() * inside)
        torch.testing.assert_close(module.loss(batch), each.mean(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            module.loss(batch, torch.tensor([5.0])), each.sum() / 5, atol=1e-5, rtol=1e-4
        )
    assert module.counts(batch).tolist() == [2]


def test_labels_are_learned_from_where_they_say_something() -> None:
    options = Adapt(outside=0, projection=0, pairwise=0, agreement=0, labelled=0.5)
    module, batch = MaskNetworkModule(iterations=10, adapt=options), batch_of(2)
    with torch.no_grad():
        assert float(module.loss(batch)) == 0
        generator = torch.Generator().manual_seed(4)
        batch["known"] = torch.randint(0, 3, (2, GRID, GRID), dtype=torch.uint8, generator=generator)
        inside = inside_box(batch["boxes"])
        logits = module.network(batch["images"], guide_maps(batch["boxes"], batch["others"]))
        known = (batch["known"] > 0) * inside
        expected = 0.5 * agreement_loss(logits, (batch["known"] == 2).float(), known)
        torch.testing.assert_close(module.loss(batch), expected.mean(), atol=1e-5, rtol=1e-4)


def test_pairs_count_from_a_fifth_of_a_new_training_on(
    fresh: MaskNetworkModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(1)
    monkeypatch.setattr(
        fresh, "options", Adapt(weights="imagenet", outside=0, projection=0, agreement=0, pairwise=1)
    )
    losses = []
    for done in (0, 10, 20, 90):
        monkeypatch.setattr(type(fresh), "global_step", done)
        with torch.no_grad():
            losses.append(float(fresh.loss(batch)))
    assert losses[3] > 0
    assert losses == pytest.approx([0, losses[3] / 2, losses[3], losses[3]], rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "steps"),
    [("imagenet", {0: True, 9: True, 10: False, 99: False}), ("shipped", {0: False, 9: False})],
)
def test_a_new_network_learns_from_ellipses_first(
    weights: str, steps: dict[int, bool], fresh: MaskNetworkModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fresh if weights == "imagenet" else MaskNetworkModule(iterations=100, adapt=Adapt(prior=0.1))
    calls: list[Tensor] = []
    original = mask_network.ellipse_prior
    monkeypatch.setattr(mask_network, "ellipse_prior", lambda boxes: calls.append(boxes) or original(boxes))
    batch = batch_of(1)
    guides, colours = guide_maps(batch["boxes"], batch["others"]), grid_colours(batch["clean"])
    for done, asked in steps.items():
        calls.clear()
        monkeypatch.setattr(type(module), "global_step", done)
        found = module.targets(batch["clean"], batch["boxes"], guides, colours)
        assert bool(calls) == asked
        assert found.shape == (1, GRID, GRID)
        assert not found.requires_grad
        assert (found[inside_box(batch["boxes"]) == 0] == 0).all()


# ---- what it starts from, and what it writes -----------------------------------------------------------------


def test_a_new_decoder_depends_on_the_seed_and_the_encoder_is_imagenets(fresh: MaskNetworkModule) -> None:
    state = torch.get_rng_state()
    same, other = (start_mask_network("imagenet", seed)[0].state_dict() for seed in (1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in fresh.network.state_dict().items():
        assert torch.equal(same[name], tensor), name
        if name.startswith("backbone."):
            assert torch.equal(other[name], tensor), name
    assert not torch.equal(other["logit.weight"], same["logit.weight"])
    assert all(not name.startswith("backbone.") for name in fresh.weights.new)
    assert "logit.weight" in fresh.weights.new


def test_the_teacher_is_what_is_saved(stepped: tuple[Watched, dict[str, Tensor]], tmp_path: Path) -> None:
    module, _ = stepped
    module.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size < 9e6  # half precision
    loaded, batch = load_mask_network(tmp_path, CPU), batch_of(1)
    guides = guide_maps(batch["boxes"], batch["others"])
    with torch.no_grad():
        expected = copy.deepcopy(module.teacher)(batch["clean"], guides)
        found = loaded.network(batch["clean"], guides)
        student = module.network(batch["clean"], guides)
    error = float((found - expected).abs().mean())
    assert error < 0.02
    assert float((student - expected).abs().mean()) > 5 * error
    # A training may go on from it.
    again, report = start_mask_network(str(tmp_path), 0)
    assert report.source == str(tmp_path / "model.safetensors")
    torch.testing.assert_close(again.logit.weight, module.teacher.logit.weight, atol=1e-3, rtol=1e-3)
    assert again.logit.weight.dtype == torch.float32


def test_a_checkpoint_that_does_not_fit_is_named(tmp_path: Path) -> None:
    _, state = checkpoint.load(shipped_weights())
    del state["logit.weight"]
    state["narrow.weight"] = torch.zeros(1)
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, state, {"kind": "mask-network", "options": {}})
    with pytest.raises(CheckpointError, match=r"does not fit the mask network: .*logit\.weight"):
        MaskNetworkModule(iterations=1, adapt=Adapt(weights=str(file)))
    with pytest.raises(CheckpointError, match=r"does not fit the mask network: .*logit\.weight"):
        load_mask_network(file, CPU)
    with pytest.raises(CheckpointError, match="no mask network at"):
        MaskNetworkModule(iterations=1, adapt=Adapt(weights=str(tmp_path / "none.safetensors")))


# ---- options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("batch=0", r"adapt\.batch must be at least 1, got 0"),
        ("epochs=0", r"adapt\.epochs must be positive, got 0"),
        ("iterations=0", r"adapt\.iterations must be at least 1, got 0"),
        ("lr=0", r"adapt\.lr must be positive, got 0"),
        ("lr=nan", r"adapt\.lr must be positive, got nan"),
        ("decoder_lr=-1", r"adapt\.decoder_lr must be 0 or more, got -1"),
        ("weight_decay=inf", r"adapt\.weight_decay must be 0 or more, got inf"),
        ("warm_up=1.5", r"adapt\.warm_up must be in 0\.\.1, got 1\.5"),
        ("prior=-0.1", r"adapt\.prior must be in 0\.\.1, got -0\.1"),
        ("average=2", r"adapt\.average must be in 0\.\.1, got 2"),
        ("flip=nan", r"adapt\.flip must be in 0\.\.1, got nan"),
        ("small=-1", r"adapt\.small must be in 0\.\.1, got -1"),
        ("outside=-1", r"adapt\.outside must be 0 or more, got -1"),
        ("projection=nan", r"adapt\.projection must be 0 or more, got nan"),
        ("pairwise=-1", r"adapt\.pairwise must be 0 or more, got -1"),
        ("max_iterations=0", r"adapt\.max_iterations must be at least 1, got 0"),
        ("labelled=-1", r"adapt\.labelled must be 0 or more, got -1"),
        ("agreement=inf", r"adapt\.agreement must be 0 or more, got inf"),
        ("colour=-1", r"adapt\.colour must be 0 or more, got -1"),
        ("smooth=-1", r"adapt\.smooth must be 0 or more, got -1"),
        ("min_side=-1", r"adapt\.min_side must be 0 or more, got -1"),
        ("margins=[0.3, 0.1]", r"adapt\.margins must be \[smallest, largest\], got \[0\.3, 0\.1\]"),
        ("margins=[-0.1, 0.1]", r"adapt\.margins must be \[smallest, largest\], got"),
        ("margins=[0.1, .inf]", r"adapt\.margins must be \[smallest, largest\], got"),
        ("margins=[.nan, 0.1]", r"adapt\.margins must be \[smallest, largest\], got"),
        ("jitter=1", r"adapt\.jitter must be from 0 to below 1, got 1"),
        ("smallest=3", r"adapt\.smallest must be 4 to 160 pixels, got 3"),
        ("smallest=161", r"adapt\.smallest must be 4 to 160 pixels, got 161"),
    ],
)
def test_a_bad_option_is_named(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_job("adapt", parse_words(["data=d", "out=o", f"adapt.{word}"], "adapt"))


def test_the_ends_of_the_ranges_are_allowed() -> None:
    zero: dict[str, Any] = dict.fromkeys(
        ("warm_up", "prior", "average", "flip", "small", "jitter", "min_side"), 0
    )
    Adapt(**zero, margins=(0, 0), smallest=4, outside=0, projection=0, pairwise=0, agreement=0)
    one: dict[str, Any] = dict.fromkeys(("warm_up", "prior", "average", "flip", "small"), 1)
    Adapt(**one, margins=(0.2, 0.2), smallest=160)

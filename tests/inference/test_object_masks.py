"""Answers of a mask network on the photo's own pixels: a stand-in says what must be there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.data.box_masks import ellipse_mask, object_windows
from boxseg.data.object_crops import Window, window_around
from boxseg.data.toy import paint_scene
from boxseg.errors import CheckpointError
from boxseg.inference import object_masks
from boxseg.inference.mask_networks import LoadedMaskNetwork, load_mask_network, shipped_weights
from boxseg.inference.object_masks import BATCH, ObjectAnswer, object_answers
from boxseg.nn import checkpoint
from boxseg.nn.mask_network import GRID, SIDE

CPU = torch.device("cpu")
Boxes = NDArray[np.float64]


@dataclass
class Ellipses:
    """A network that draws the ellipse in each box from its guides, and counts what it is asked."""

    asked: list[int] = field(default_factory=list)

    def __call__(self, crops: Tensor, guides: Tensor) -> Tensor:
        assert crops.shape == (len(guides), 3, SIDE, SIDE)
        assert crops.dtype == torch.uint8
        self.asked.append(len(crops))
        left, right, top, bottom = guides[:, :4].unbind(1)
        return 40 * (1 - torch.hypot(left - right, top - bottom))


class Corner:
    """A network that takes the right half of every crop, as it is shown, for the object."""

    def __call__(self, crops: Tensor, guides: Tensor) -> Tensor:
        found = torch.full((len(crops), GRID, GRID), -20.0)
        found[..., GRID // 2 :] = 20.0
        return found


def loaded(network: Any) -> LoadedMaskNetwork:
    return LoadedMaskNetwork(network=network, device=CPU, file=Path("stand-in"))


@pytest.fixture(scope="module")
def shipped() -> LoadedMaskNetwork:
    return load_mask_network("shipped", CPU)


@pytest.fixture(scope="module")
def scene() -> tuple[NDArray[np.uint8], Boxes]:
    painted = paint_scene(np.random.default_rng(3), 160)
    height, width = painted.image.shape[:2]
    more = np.array([[0, 0, width, height], [3, 4, 4, 5], [20.5, 30.2, 77.7, 60.9], [0, 50, width, 62]])
    return painted.image, np.concatenate([painted.boxes, more.astype(np.float64)])


# ---- where answers lie ---------------------------------------------------------------------------------------


def test_masks_lie_on_the_pixels_of_their_objects() -> None:
    photo = np.zeros((300, 400, 3), np.uint8)
    boxes = np.array(
        [
            [10, 20, 90, 120],
            [200.5, 33.3, 391.2, 80.7],
            [0, 0, 400, 300],
            [350, 0, 400, 300],
            [5, 290, 300, 300],
        ]
    )
    answers = object_answers(loaded(Ellipses()), photo, boxes)
    assert len(answers) == len(boxes)
    for answer, box, window in zip(answers, boxes, object_windows(boxes, 300, 400), strict=True):
        left, top, right, bottom = answer.rectangle
        assert answer.rectangle == window
        assert answer.probability.shape == (bottom - top, right - left)
        x = (np.arange(left, right) + 0.5 - (box[0] + box[2]) / 2) / (box[2] - box[0]) * 2
        y = (np.arange(top, bottom) + 0.5 - (box[1] + box[3]) / 2) / (box[3] - box[1]) * 2
        radius = np.hypot(x[None], y[:, None])
        # Within a cell of the edge, the mask may be another.
        seen = window_around(box)
        cell = (seen.right - seen.left) / (box[2] - box[0]), (seen.bottom - seen.top) / (box[3] - box[1])
        clear = np.abs(radius - 1) > 2 * max(cell) / GRID
        assert clear.mean() > 0.3
        np.testing.assert_array_equal(answer.mask.numpy()[clear], (radius < 1)[clear])
        assert answer.mask.dtype == torch.bool


def test_boxes_between_pixels_and_of_one_pixel() -> None:
    photo = np.zeros((50, 60, 3), np.uint8)
    boxes = np.array(
        [[7, 9, 8, 10], [0, 0, 1, 1], [59, 49, 60, 50], [10.6, 20, 11.4, 30], [59.2, 3, 60, 4]], float
    )
    answers = object_answers(loaded(Ellipses()), photo, boxes)
    assert [answer.rectangle for answer in answers] == object_windows(boxes, 50, 60)
    for answer, box in zip(answers, boxes, strict=True):
        assert answer.probability.isfinite().all()
        left, top, right, bottom = answer.rectangle
        assert answer.mask.shape == (bottom - top, right - left)
        holds_centres = box[0] < left + 0.5 < box[2]
        assert bool(answer.mask.any()) == holds_centres
    assert answers[0].mask.tolist() == [[True]]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_a_box_as_large_as_a_small_photo(size: tuple[int, int]) -> None:
    height, width = size
    answers = object_answers(
        loaded(Ellipses()), np.zeros((*size, 3), np.uint8), np.array([[0, 0, width, height]], float)
    )
    assert answers[0].probability.shape == size
    assert answers[0].mask.any()


def test_a_photo_without_boxes_has_no_answers() -> None:
    network = Ellipses()
    assert object_answers(loaded(network), np.zeros((20, 30, 3), np.uint8), np.zeros((0, 4))) == []
    assert network.asked == []


def test_many_boxes_are_seen_a_few_at_a_time() -> None:
    network, generator = Ellipses(), np.random.default_rng(0)
    corner, side = generator.uniform(0, 60, (500, 2)), generator.uniform(3, 20, (500, 2))
    boxes = np.concatenate([corner, corner + side], axis=1)
    answers = object_answers(loaded(network), np.zeros((80, 80, 3), np.uint8), boxes)
    assert len(answers) == 500
    assert sum(network.asked) == 2 * 500
    assert max(network.asked) == BATCH
    assert [answer.rectangle for answer in answers] == object_windows(boxes, 80, 80)
    assert all(answer.mask.any() for answer in answers)


# ---- views, agreement and score ------------------------------------------------------------------------------


def test_the_mirrored_view_is_turned_back() -> None:
    """A network that always sees the object at the right says two things, whose mean is none."""
    photo, boxes = np.zeros((60, 60, 3), np.uint8), np.array([[10.0, 10.0, 50.0, 50.0]])
    both = object_answers(loaded(Corner()), photo, boxes)[0]
    assert both.agreement == pytest.approx(1 / GRID, abs=0.05)  # they share the middle column
    away = torch.arange(40) - 19.5
    torch.testing.assert_close(both.probability[:, away.abs() > 1.5], torch.full((40, 36), 0.5))
    assert not both.mask[:, :18].any()


def test_crowding_is_the_share_that_others_cover() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 10, 5], [30, 30, 40, 40], [0, 0, 40, 40]], float)
    answers = object_answers(loaded(Ellipses()), np.zeros((40, 40, 3), np.uint8), boxes)
    expected = [
        (50 + 50 + 100) / 100,
        (50 + 25 + 100) / 100,
        (50 + 25 + 50) / 50,
        1,
        (100 + 100 + 50 + 100) / 1600,
    ]
    assert [answer.crowding for answer in answers] == pytest.approx(expected)
    for answer, crowding in zip(answers, expected, strict=True):
        assert answer.score == pytest.approx(1 / (1 + min(crowding, 2) / 2))


def test_the_score_is_the_agreement_less_in_a_crowd() -> None:
    def score(agreement: float, crowding: float) -> float:
        nothing = torch.zeros(GRID, GRID), Window(0, 0, 2, 2)
        return ObjectAnswer(
            rectangle=(0, 0, 2, 2), views=(nothing, nothing), agreement=agreement, crowding=crowding
        ).score

    assert score(0.8, 0) == pytest.approx(0.8)
    assert score(0.8, 1) == pytest.approx(0.8 / 1.5)
    assert score(0.8, 2) == score(0.8, 50) == pytest.approx(0.4)


@pytest.mark.parametrize(("side", "margin"), [(47, 0.2), (48, 0.1), (300, 0.1)])
def test_all_but_small_boxes_are_also_seen_closely(
    side: int, margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def cut(photo: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        seen.append(window)
        return np.zeros((SIDE, SIDE, 3), np.uint8)

    monkeypatch.setattr(object_masks, "cut_crop", cut)
    box = np.array([10.0, 10.0, 10.0 + side, 10.0 + side])
    object_answers(loaded(Ellipses()), np.zeros((400, 400, 3), np.uint8), box[None])
    assert seen == [window_around(box), window_around(box, (margin,) * 4)]


# ---- the network that comes with boxseg ----------------------------------------------------------------------


def test_boxes_together_are_boxes_one_at_a_time(
    shipped: LoadedMaskNetwork, scene: tuple[NDArray[np.uint8], Boxes], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, boxes = scene
    boxes = np.concatenate([boxes, boxes * 0.9])[: BATCH + 2]
    assert len(boxes) > BATCH
    together = object_answers(shipped, photo, boxes)
    monkeypatch.setattr(object_masks, "BATCH", 1)
    for one, other in zip(object_answers(shipped, photo, boxes), together, strict=True):
        torch.testing.assert_close(one.probability, other.probability, atol=1e-4, rtol=1e-3)
        assert one.crowding == other.crowding


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of torch's threads is as before after a test."""
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


@pytest.mark.usefixtures("threads")
def test_masks_do_not_depend_on_the_number_of_threads(
    shipped: LoadedMaskNetwork, scene: tuple[NDArray[np.uint8], Boxes]
) -> None:
    photo, boxes = scene
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(object_answers(shipped, photo, boxes[:2]))
    for one, two in zip(*found, strict=True):
        assert torch.equal(one.mask, two.mask)
        assert one.agreement == pytest.approx(two.agreement, abs=1e-3)


def test_a_mirrored_photo_has_mirrored_masks(
    shipped: LoadedMaskNetwork, scene: tuple[NDArray[np.uint8], Boxes]
) -> None:
    photo, boxes = scene[0], np.array([[60.0, 40, 100, 85], [20, 30, 66, 75]])  # small: one margin
    width = photo.shape[1]
    flipped = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
    plain = object_answers(shipped, photo, boxes)
    mirrored = object_answers(shipped, np.ascontiguousarray(photo[:, ::-1]), flipped)
    for one, other in zip(plain, mirrored, strict=True):
        torch.testing.assert_close(other.probability.flip(-1), one.probability, atol=0.05, rtol=0)
        assert float((other.mask.flip(-1) ^ one.mask).float().mean()) < 0.005


def test_the_shipped_network_finds_what_is_painted(shipped: LoadedMaskNetwork) -> None:
    """Better than boxes and ellipses on average, on photos that it has not seen."""
    overlaps: list[list[float]] = []
    for seed in (11, 12, 13):
        painted = paint_scene(np.random.default_rng(seed), 160)
        for answer, box, label in zip(
            object_answers(shipped, painted.image, painted.boxes), painted.boxes, painted.labels, strict=True
        ):
            left, top, right, bottom = answer.rectangle
            truth = painted.mask[top:bottom, left:right] == label
            masks = (answer.mask.numpy(), ellipse_mask(box, answer.rectangle), np.ones_like(truth))
            overlaps.append([float((mask & truth).sum() / (mask | truth).sum()) for mask in masks])
    network, ellipse, whole = np.mean(overlaps, axis=0)
    assert network > ellipse + 0.05
    assert network > whole + 0.05


# ---- checkpoints ---------------------------------------------------------------------------------------------


def test_a_checkpoint_of_another_kind_says_what_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, {"weight": torch.zeros(3)}, {"kind": "segmenter"})
    with pytest.raises(CheckpointError, match="holds a segmentation network; a mask network is needed"):
        load_mask_network(file, CPU)
    with pytest.raises(CheckpointError, match="holds a segmentation network; a mask network is needed"):
        load_mask_network(tmp_path, CPU)  # the folder of a run


def test_a_run_folder_holds_the_mask_network_of_adapt(tmp_path: Path) -> None:
    (tmp_path / "adapt").mkdir()
    file = tmp_path / "adapt" / "model.safetensors"
    file.write_bytes(shipped_weights().read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    assert load_mask_network(tmp_path, CPU).file == file


def test_what_is_loaded_only_answers(shipped: LoadedMaskNetwork) -> None:
    network = shipped.network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())
    assert shipped.on(CPU).network is network
    assert math.isfinite(sum(float(parameter.abs().sum()) for parameter in network.parameters()))

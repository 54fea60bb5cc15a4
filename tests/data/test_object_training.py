"""Training crops of the mask network: reproducible, mirrored with their boxes, and clean beside changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from boxseg.config import Adapt
from boxseg.data.object_crops import cut_crop, others_map, to_crop, window_around
from boxseg.data.object_training import ObjectTraining
from boxseg.data.workers import LoadingError
from boxseg.dataset import IGNORE, BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.masks import MaskFolder
from boxseg.nn.mask_network import GRID, SIDE

PLAIN = Adapt(margins=(0.2, 0.2), flip=0, small=0, jitter=0)
BOXES = (
    ((10, 20, 60, 70), (5, 5, 30, 14)),  # the second is nine pixels high
    ((40, 8, 100, 60), (30, 30, 90, 80), (0, 0, 20, 16)),
)


def photo(number: int) -> NDArray[np.uint8]:
    """Noise, with a red left and a blue right half of every box."""
    image = np.random.default_rng(number).integers(60, 90, (90, 120, 3), np.uint8)
    for left, top, right, bottom in BOXES[number]:
        image[top:bottom, left : (left + right) // 2] = (220, 10, 10)
        image[top:bottom, (left + right) // 2 : right] = (10, 10, 220)
    return image


@pytest.fixture
def dataset(tmp_path: Path) -> BoxDataset:
    samples = []
    for number, boxes in enumerate(BOXES):
        path = tmp_path / f"{number}.png"
        Image.fromarray(photo(number)).save(path)
        samples.append(sample_of(path, boxes))
    return BoxDataset(root=tmp_path, format="voc", split="train", classes=("thing",), samples=tuple(samples))


def sample_of(path: Path, boxes: tuple[tuple[int, int, int, int], ...]) -> Sample:
    return Sample(
        id=path.stem,
        image=path,
        width=120,
        height=90,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=np.ones(len(boxes), dtype=np.int64),
        difficult=np.zeros(len(boxes), dtype=bool),
    )


def test_an_item_is_the_crop_around_one_box(dataset: BoxDataset) -> None:
    crops = ObjectTraining(dataset, PLAIN, 0)
    assert len(crops) == 4  # all but the low one
    places = [(0, 0), (1, 0), (1, 1), (1, 2)]
    for index, (number, box) in enumerate(places):
        boxes = np.array(BOXES[number], dtype=np.float64)
        window = window_around(boxes[box])
        item = crops[index, 7]
        expected = cut_crop(photo(number), window)
        np.testing.assert_array_equal(item["clean"].numpy(), expected.transpose(2, 0, 1))
        np.testing.assert_array_equal(item["image"].numpy(), expected.transpose(2, 0, 1))
        np.testing.assert_allclose(item["boxes"].numpy(), to_crop(boxes, window)[box], rtol=1e-6)
        rest = to_crop(np.delete(boxes, box, axis=0), window)
        np.testing.assert_array_equal(item["others"].numpy(), others_map(rest))


def test_margins_are_drawn_between_their_limits(dataset: BoxDataset) -> None:
    crops = ObjectTraining(dataset, replace(PLAIN, margins=(0.1, 0.3)), 3)
    margins = []
    for position in range(40):
        left, top, right, bottom = crops[0, position]["boxes"].tolist()
        width, height = right - left, bottom - top
        margins += [left / width, top / height, (SIDE - right) / width, (SIDE - bottom) / height]
    assert min(margins) > 0.1 - 1e-4
    assert max(margins) < 0.3 + 1e-4
    assert min(margins) < 0.13
    assert max(margins) > 0.27


def test_the_seed_and_the_position_give_the_same_bytes(dataset: BoxDataset) -> None:
    one, other = ObjectTraining(dataset, Adapt(), 5), ObjectTraining(dataset, Adapt(), 5)
    for key in ((0, 0), (2, 11), (3, 999)):
        first, second = one[key], other[key]
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
    assert not torch.equal(one[0, 0]["image"], one[0, 1]["image"])
    assert not torch.equal(one[0, 0]["image"], ObjectTraining(dataset, Adapt(), 6)[0, 0]["image"])


def test_half_of_the_crops_are_mirrored_and_boxes_with_them(dataset: BoxDataset) -> None:
    crops = ObjectTraining(dataset, replace(PLAIN, flip=0.5, margins=(0.1, 0.3)), 1)
    mirrored = 0
    for position in range(60):
        item = crops[1, position]
        left, top, right, bottom = item["boxes"].tolist()
        middle_y, quarter = int((top + bottom) / 2), (right - left) / 4
        # What is red at the left of the photo's box is red at the right of a mirrored one.
        first, second = (item["clean"][:, middle_y - 40, int(left + share * quarter)] for share in (0.4, 3.6))
        assert {int(first.argmax()), int(second.argmax())} == {0, 2}
        mirrored += int(first.argmax()) == 2
    assert 18 <= mirrored <= 42
    never, always = (ObjectTraining(dataset, replace(PLAIN, flip=flip), 1)[2, 0] for flip in (0, 1))
    assert torch.equal(always["clean"], never["clean"].flip(-1))
    assert torch.equal(always["others"], never["others"].flip(-1))
    left, top, right, bottom = never["boxes"].tolist()
    assert always["boxes"].tolist() == pytest.approx([SIDE - right, top, SIDE - left, bottom], abs=1e-4)


def test_clean_keeps_the_photos_colours_and_image_does_not(dataset: BoxDataset) -> None:
    crops = ObjectTraining(dataset, replace(PLAIN, jitter=0.3), 2)
    clean = cut_crop(photo(0), window_around(np.array(BOXES[0][0], dtype=np.float64))).transpose(2, 0, 1)
    for position in range(3):
        item = crops[0, position]
        np.testing.assert_array_equal(item["clean"].numpy(), clean)
        assert not torch.equal(item["image"], item["clean"])


def test_some_crops_have_few_pixels(dataset: BoxDataset) -> None:
    """The finest detail, differences of neighbours in noise, is gone from them."""

    def detail(crop: torch.Tensor) -> float:
        return float(crop.float().diff(dim=-1).abs()[:, 1:].mean())

    few = ObjectTraining(dataset, replace(PLAIN, small=1, smallest=20), 4)
    for position in range(10):
        item = few[0, position]
        assert item["image"].shape == (3, SIDE, SIDE)
        assert detail(item["image"]) < 0.9 * detail(item["clean"])
        # It is the same place: far less differs than between any two crops.
        assert float((item["image"].float() - item["clean"].float()).abs().mean()) < 15
    half = ObjectTraining(dataset, replace(PLAIN, small=0.5), 4)
    changed = sum(
        not torch.equal(half[0, position]["image"], half[0, position]["clean"]) for position in range(40)
    )
    assert 10 <= changed <= 30


@pytest.mark.parametrize(("least", "count"), [(0, 5), (9, 5), (9.5, 4), (16, 4), (17, 3), (50, 3), (51, 1)])
def test_small_boxes_are_left_out(dataset: BoxDataset, least: float, count: int) -> None:
    """By their shorter side: 50, 9, 52, 50 and 16 pixels."""
    assert len(ObjectTraining(dataset, replace(PLAIN, min_side=least), 0)) == count


def test_only_small_boxes_are_an_error_that_names_the_option(dataset: BoxDataset) -> None:
    with pytest.raises(DataError, match=r"no box of at least 200 pixels .* adapt\.min_side="):
        ObjectTraining(dataset, replace(PLAIN, min_side=200), 0)
    with pytest.raises(DataError, match="no photos to train on"):
        ObjectTraining(replace(dataset, samples=()), PLAIN, 0)


def test_an_unreadable_photo_is_replaced_by_the_next(dataset: BoxDataset) -> None:
    dataset.samples[1].image.write_bytes(b"no photo")
    crops = ObjectTraining(dataset, PLAIN, 0)
    with pytest.warns(UserWarning, match="uses the next photo"):
        item = crops[2, 3]
    assert torch.equal(item["clean"], crops[0, 3]["clean"])
    assert crops.unreadable == ("1",)
    dataset.samples[0].image.unlink()
    with (
        pytest.warns(UserWarning, match="uses the next photo"),
        pytest.raises(LoadingError, match="none of the"),
    ):
        ObjectTraining(dataset, PLAIN, 0)[0, 0]


def test_a_photo_without_a_box_to_train_on_replaces_none(dataset: BoxDataset) -> None:
    """Nor does a box that is too small."""
    first, second = dataset.samples
    empty = sample_of(first.image.with_name("empty.png"), ())
    tiny = replace(second, id="tiny", boxes=np.array([[0, 0, 8.0, 8], [40, 8, 100, 60]]))
    Image.fromarray(photo(0)).save(empty.image)
    first.image.write_bytes(b"no photo")
    crops = ObjectTraining(replace(dataset, samples=(first, empty, tiny)), PLAIN, 0)
    assert len(crops) == 2
    with pytest.warns(UserWarning, match="uses the next photo"):
        item = crops[0, 3]
    assert torch.equal(item["clean"], crops[1, 3]["clean"])
    assert crops.unreadable == ("0",)


def test_crops_are_put_into_a_batch(dataset: BoxDataset) -> None:
    crops = ObjectTraining(dataset, Adapt(), 0)
    items = [crops[0, 0], crops[3, 1], crops[1, 2]]
    batch = ObjectTraining.collate(items)
    assert batch["images"].shape == batch["clean"].shape == (3, 3, SIDE, SIDE)
    assert batch["boxes"].shape == (3, 4)
    assert batch["boxes"].dtype == torch.float32
    assert batch["others"].shape == (3, GRID, GRID)
    for place, item in enumerate(items):
        assert torch.equal(batch["images"][place], item["image"])
        assert torch.equal(batch["clean"][place], item["clean"])
        assert torch.equal(batch["boxes"][place], item["boxes"])
        assert torch.equal(batch["others"][place], item["others"])
        assert torch.equal(batch["known"][place], item["known"])


# ---- labels by class -----------------------------------------------------------------------------------------


def write_labels(folder: Path, name: str, labels: NDArray[np.uint8]) -> MaskFolder:
    folder.mkdir(exist_ok=True)
    Image.fromarray(labels).save(folder / f"{name}.png")
    return MaskFolder(folder)


def test_labels_say_what_is_object_where_they_agree(dataset: BoxDataset, tmp_path: Path) -> None:
    """Pixel by pixel: unknown 0, something else 1, the object 2."""
    rng = np.random.default_rng(5)
    both = rng.integers(0, 3, (2, 90, 120), np.uint8)
    both[0, :10] = IGNORE
    both[1, :10] = IGNORE
    sources = [write_labels(tmp_path / name, "1", labels) for name, labels in zip("ab", both, strict=True)]
    samples = tuple(replace(sample, labels=np.ones(len(sample.boxes), np.int64)) for sample in dataset.samples)
    two = replace(dataset, classes=("thing", "other"), samples=samples)
    crops = ObjectTraining(two, PLAIN, 0, sources)
    boxes = np.array(BOXES[1], dtype=np.float64)
    for index, box in ((1, 0), (2, 1), (3, 2)):
        window, found = window_around(boxes[box]), crops[index, 0]["known"].numpy()
        scale = window.scale
        for row, column in rng.integers(0, GRID, (400, 2)).tolist():
            x = int(np.floor(window.left + (2 * column + 0.5) / scale[0]))
            y = int(np.floor(window.top + (2 * row + 0.5) / scale[1]))
            expected = 0
            if 0 <= x < 120 and 0 <= y < 90 and both[0, y, x] == both[1, y, x] != IGNORE:
                rivals = [b for place, b in enumerate(BOXES[1]) if place != box]
                rival = any(left <= x < right and top <= y < bottom for left, top, right, bottom in rivals)
                expected = 1 if both[0, y, x] != 1 else 0 if rival else 2
            assert found[row, column] == expected
        assert set(np.unique(found)) == {0, 1, 2}
    always = ObjectTraining(two, replace(PLAIN, flip=1), 0, sources)
    assert torch.equal(always[2, 0]["known"], crops[2, 0]["known"].flip(-1))


def test_a_photo_without_labels_says_nothing(dataset: BoxDataset, tmp_path: Path) -> None:
    source = write_labels(tmp_path / "a", "1", np.ones((90, 120), np.uint8))
    crops = ObjectTraining(dataset, PLAIN, 0, [source])
    assert not crops[0, 0]["known"].any()
    assert crops[1, 0]["known"].any()
    assert not ObjectTraining(dataset, PLAIN, 0)[1, 0]["known"].any()


def test_labels_of_another_size_are_an_error_that_names_them(dataset: BoxDataset, tmp_path: Path) -> None:
    source = write_labels(tmp_path / "a", "1", np.ones((9, 12), np.uint8))
    with pytest.raises(LoadingError, match=r"1\.png: mask of 12 x 9 pixels"):
        ObjectTraining(dataset, PLAIN, 0, [source])[1, 0]

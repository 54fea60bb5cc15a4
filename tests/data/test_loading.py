"""Batches for the trainings: right, the same for any number of workers, and untroubled by a broken photo."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from boxseg.config import Augment, Data
from boxseg.data import workers as workers_module
from boxseg.data.labels import GROUND_TRUTH
from boxseg.data.loading import BoxTraining, LabelTraining, make_loader, photos
from boxseg.data.sampler import StreamSampler
from boxseg.data.workers import choose_workers
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats import load
from boxseg.formats.images import read_image
from boxseg.formats.masks import MaskFolder, read_mask, write_mask

CROP = 32


def make_dataset(root: Path, count: int = 10) -> BoxDataset:
    """Photos whose red is the label of the pixel: box k is painted k + 1. The last photo has no box."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(count):
        height, width = (int(side) for side in rng.integers(20, 50, 2))
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        mask = np.zeros((height, width), np.uint8)
        boxes = []
        for k in range(0 if number == count - 1 else 1 + number % 3):
            x1, y1 = int(rng.integers(0, width - 6)), int(rng.integers(0, height - 6))
            x2, y2 = int(rng.integers(x1 + 5, width)), int(rng.integers(y1 + 5, height))
            boxes.append((x1, y1, x2, y2))
            mask[y1:y2, x1:x2] = k + 1
        image[..., 0] = mask
        photo = root / "photos" / f"p{number}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(photo)
        write_mask(root / "y_crf" / f"p{number}.png", mask)
        write_mask(root / "y_ret" / f"p{number}.png", np.where(mask == 2, 255, mask).astype(np.uint8))
        samples.append(
            Sample(
                id=f"p{number}",
                image=photo,
                width=width,
                height=height,
                boxes=np.array(boxes, float).reshape(-1, 4),
                labels=np.arange(1, len(boxes) + 1),
                difficult=np.arange(len(boxes)) % 2 == 0,
                ground_truth=partial(read_mask, root / "y_crf" / f"p{number}.png", 3),
            )
        )
    return BoxDataset(root=root, format="voc", split="train", classes=("a", "b", "c"), samples=tuple(samples))


@pytest.fixture
def dataset(tmp_path: Path) -> BoxDataset:
    return make_dataset(tmp_path)


def folders(dataset: BoxDataset) -> tuple[MaskFolder, MaskFolder]:
    return MaskFolder(dataset.root / "y_crf"), MaskFolder(dataset.root / "y_ret")


def stream(dataset: BoxDataset, chunk: int | None = None) -> StreamSampler:
    return StreamSampler(len(dataset), batch=4, iterations=7, seed=5, chunk=chunk)


def batches(loader: Any, epochs: int = 1) -> list[dict[str, torch.Tensor]]:
    found = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        found += list(loader)
    return found


def assert_equal(one: list[dict[str, torch.Tensor]], two: list[dict[str, torch.Tensor]]) -> None:
    assert len(one) == len(two) > 0
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            assert torch.equal(a[name], b[name]), name


def trainings(dataset: BoxDataset) -> list[BoxTraining | LabelTraining]:
    options = Augment(crop=CROP)
    return [BoxTraining(dataset, options, 5), LabelTraining(dataset, options, 5, folders(dataset))]


def test_workers_and_chunks_do_not_change_the_batches(dataset: BoxDataset) -> None:
    for training in trainings(dataset):
        plain = batches(make_loader(training, stream(dataset), workers=0))
        assert len(plain) == 7
        assert_equal(batches(make_loader(training, stream(dataset, chunk=3), workers=2), epochs=3), plain)


def test_a_resumed_loader_goes_on_with_the_same_batches(dataset: BoxDataset) -> None:
    for training in trainings(dataset):
        plain = batches(make_loader(training, stream(dataset), workers=0))
        sampler = stream(dataset, chunk=3)
        sampler.set_epoch(1)
        assert_equal(list(make_loader(training, sampler, workers=0)), plain[3:6])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_epoch_may_be_set_after_iterating_has_begun(dataset: BoxDataset, workers: int) -> None:
    """As Lightning does when it resumes."""
    training = trainings(dataset)[0]
    plain = batches(make_loader(training, stream(dataset), workers=0))
    loader = make_loader(training, stream(dataset, chunk=3), workers=workers)
    iterator = iter(loader)
    loader.sampler.set_epoch(1)
    assert_equal(list(iterator), plain[3:6])


def test_ranks_load_parts_of_the_same_batches(dataset: BoxDataset) -> None:
    training = BoxTraining(dataset, Augment(crop=CROP), 5)
    plain = batches(make_loader(training, stream(dataset), workers=0))
    ranks = [batches(make_loader(training, stream(dataset).shard(rank, 2), workers=0)) for rank in range(2)]
    for step, whole in enumerate(plain):
        for rank in range(2):
            assert torch.equal(ranks[rank][step]["images"], whole["images"][rank::2])


def test_the_seed_changes_the_augmentation(dataset: BoxDataset) -> None:
    one, same, other = (BoxTraining(dataset, Augment(crop=CROP), seed)[3, 8]["image"] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_draws_nothing_from_the_generator_of_dropout(dataset: BoxDataset, workers: int) -> None:
    loader = make_loader(trainings(dataset)[0], stream(dataset), workers=workers)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_background_is_what_is_left_of_the_photo_outside_all_boxes(dataset: BoxDataset) -> None:
    """Red holds the label: background is where it is 0 in the photo, also beside boxes dropped as slivers."""
    training = BoxTraining(dataset, Augment(crop=CROP, scale=(1.0, 1.0), jitter=0.0), 0)
    fewer = 0
    for index in range(len(dataset)):
        for position in range(12):
            item = training[index, position]
            valid = item["valid"].numpy()
            red = item["image"][0].numpy()
            np.testing.assert_array_equal(item["background"].numpy(), valid & (red == 0))
            assert (red[~valid] == 124).all()
            assert item["boxes"].dtype == torch.float32
            sides = item["boxes"][:, 2:] - item["boxes"][:, :2]
            assert (sides >= 4).all()
            fewer += len(item["boxes"]) < len(np.unique(red[valid & (red > 0)]))
    assert fewer > 0  # some crops did show a sliver


def test_difficult_boxes_are_used(dataset: BoxDataset) -> None:
    """A crop as large as any photo, at scale one, keeps every box."""
    training = BoxTraining(dataset, Augment(crop=64, scale=(1.0, 1.0), flip=0.0), 0)
    for index, sample in enumerate(dataset.samples):
        item = training[index, 0]
        np.testing.assert_array_equal(item["boxes"].numpy(), sample.boxes)
        np.testing.assert_array_equal(item["labels"].numpy(), sample.labels)


def test_a_crowd_is_no_example_and_no_background(dataset: BoxDataset) -> None:
    crowded = [replace(s, boxes=s.boxes[:0], labels=s.labels[:0], crowds=s.boxes) for s in dataset.samples]
    training = BoxTraining(replace(dataset, samples=tuple(crowded)), Augment(crop=64, scale=(1.0, 1.0)), 0)
    usual = BoxTraining(dataset, Augment(crop=64, scale=(1.0, 1.0)), 0)
    for index in range(len(dataset)):
        item = training[index, 0]
        assert len(item["boxes"]) == len(item["labels"]) == 0
        assert torch.equal(item["background"], usual[index, 0]["background"])


def test_a_batch_says_which_image_a_box_is_of(dataset: BoxDataset) -> None:
    training = BoxTraining(dataset, Augment(crop=64, scale=(1.0, 1.0), flip=0.0), 0)
    last = len(dataset) - 1  # without boxes
    items = [training[index, 0] for index in (2, last, 0, 1)]
    batch = BoxTraining.collate(items)
    assert batch["batch_index"].tolist() == [0, 0, 0, 2, 3, 3]
    for place, item in enumerate(items):
        mine = batch["batch_index"] == place
        assert torch.equal(batch["boxes"][mine], item["boxes"])
        assert torch.equal(batch["labels"][mine], item["labels"])
        assert torch.equal(batch["images"][place], item["image"])
        assert torch.equal(batch["background"][place], item["background"])
        assert torch.equal(batch["valid"][place], item["valid"])
    assert {name: tensor.dtype for name, tensor in batch.items()} == {
        "images": torch.uint8,
        "boxes": torch.float32,
        "batch_index": torch.int64,
        "labels": torch.int64,
        "background": torch.bool,
        "valid": torch.bool,
    }


def test_a_batch_without_any_box(dataset: BoxDataset) -> None:
    training = BoxTraining(dataset, Augment(crop=CROP), 0)
    last = len(dataset) - 1
    batch = BoxTraining.collate([training[last, position] for position in range(3)])
    assert batch["boxes"].shape == (0, 4)
    assert batch["batch_index"].shape == batch["labels"].shape == (0,)
    assert batch["batch_index"].dtype == batch["labels"].dtype == torch.int64


def test_labels_lie_on_the_photo_and_padding_is_ignored(dataset: BoxDataset) -> None:
    options = Augment(crop=CROP, scale=(1.0, 1.0), jitter=0.0)
    both = LabelTraining(dataset, options, 0, folders(dataset))
    first = LabelTraining(dataset, options, 0, folders(dataset)[:1] * 2)
    truth = LabelTraining(dataset, options, 0, [GROUND_TRUTH])
    padded = 0
    for index in range(len(dataset)):
        for position in range(6):
            item = both[index, position]
            red, y_crf, y_ret = item["image"][0], item["y_crf"], item["y_ret"]
            padding = y_crf == 255
            padded += int(padding.sum())
            assert torch.equal(y_crf[~padding], red[~padding])
            assert torch.equal(y_ret, torch.where(y_crf == 2, 255, y_crf))
            for one in (first[index, position], truth[index, position]):
                assert torch.equal(one["y_crf"], y_crf)
                assert torch.equal(one["y_ret"], y_crf)
    assert padded > 0


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_photo_takes_the_place_of_a_broken_one(
    dataset: BoxDataset, workers: int, recwarn: pytest.WarningsRecorder
) -> None:
    options = Augment(crop=CROP)
    whole = BoxTraining(dataset, options, 5)
    broken = (3, 4, 9)
    expected = {index: index for index in range(10)} | {3: 5, 4: 5, 9: 0}
    pairs = list(stream(dataset))
    assert set(broken) <= {index for index, _ in pairs}
    images = torch.stack([whole[expected[index], position]["image"] for index, position in pairs])
    for index in broken:
        cut_short(dataset.samples[index].image)
    training = BoxTraining(dataset, options, 5)
    assert training.unreadable == ()
    found = batches(make_loader(training, stream(dataset), workers=workers))
    assert torch.equal(torch.cat([batch["images"] for batch in found]), images)
    assert training.unreadable == ("p3", "p4", "p9")
    if workers == 0:  # others warn on their own stderr
        told = [str(warning.message) for warning in recwarn]
        assert sorted(text.split(":")[0] for text in told) == [str(dataset.samples[k].image) for k in broken]


@pytest.mark.filterwarnings("ignore:.*the next photo instead")
def test_no_photo_to_train_on_is_an_error(dataset: BoxDataset) -> None:
    with pytest.raises(DataError, match="no photos"):
        BoxTraining(replace(dataset, samples=()), Augment(crop=CROP), 0)
    for sample in dataset.samples:
        sample.image.unlink()
    training = BoxTraining(dataset, Augment(crop=CROP), 0)
    with pytest.raises(DataError, match="none of the 10 photos"):
        training[0, 0]


def spoil(dataset: BoxDataset, what: str) -> None:
    for sample in dataset.samples:
        mask = dataset.root / "y_ret" / f"{sample.id}.png"
        if what == "missing":
            mask.unlink()
        elif what == "other size":
            write_mask(mask, np.zeros((sample.height, sample.width + 1), np.uint8))
        elif what == "value":
            write_mask(mask, np.full((sample.height, sample.width), 4, np.uint8))
        else:
            cut_short(mask)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "no such label mask"),
        ("other size", "as its photo"),
        ("value", r"expected 0\.\.3"),
        ("cut", "p[0-9].png: "),
    ],
)
def test_a_wrong_mask_is_an_error_of_one_line(
    dataset: BoxDataset, what: str, message: str, workers: int
) -> None:
    spoil(dataset, what)
    loader = make_loader(trainings(dataset)[1], stream(dataset), workers=workers)
    with pytest.raises(DataError, match=message) as caught:
        list(loader)
    if workers:  # collecting what an error leaves behind takes PyTorch 5 s
        loader._iterator._shutdown_workers()
    assert str(caught.value).startswith(str(dataset.root / "y_ret"))
    assert "\n" not in str(caught.value)


def test_ground_truth_that_is_not_there_is_an_error(dataset: BoxDataset) -> None:
    dataset = replace(dataset, samples=tuple(replace(one, ground_truth=None) for one in dataset.samples))
    with pytest.raises(DataError, match="p2: no ground-truth mask"):
        LabelTraining(dataset, Augment(crop=CROP), 0, [GROUND_TRUTH])[2, 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_whole_photos_come_in_order_and_broken_ones_with_their_error(dataset: BoxDataset, workers: int) -> None:
    cut_short(dataset.samples[2].image)
    Image.new("RGB", (7, 7)).save(dataset.samples[6].image)
    seen = list(photos(dataset.samples, workers=workers))
    assert [photo.sample for photo in seen] == list(dataset.samples)
    for number, photo in enumerate(seen):
        if number in (2, 6):
            assert photo.image is None
            assert photo.error is not None
            assert photo.error.startswith(str(photo.sample.image))
        else:
            assert photo.error is None
            np.testing.assert_array_equal(photo.image, read_image(photo.sample.image))
    assert "7 x 7" in str(seen[6].error)


def test_no_photos_are_no_photos() -> None:
    assert list(photos([])) == []


def test_everything_a_worker_needs_can_be_sent_to_it(dataset: BoxDataset) -> None:
    """Where processes are spawned instead of forked, as on macOS and Windows."""
    for training in trainings(dataset):
        loader = make_loader(training, stream(dataset), workers=2)
        copy = pickle.loads(pickle.dumps(training))
        assert_equal([copy[3, 4]], [training[3, 4]])
        for function in (loader.collate_fn, loader.worker_init_fn):
            assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize(
    ("cores", "gpu", "images", "expected"),
    [
        (1, False, 5000, 0),
        (1, True, 5000, 0),
        (2, False, 5000, 0),
        (2, True, 5000, 2),
        (4, False, 5000, 3),
        (64, False, 5000, 4),
        (64, True, 5000, 8),
        (64, True, 20, 0),
    ],
)
def test_the_number_of_workers_goes_by_cores_and_gpu(
    monkeypatch: pytest.MonkeyPatch, cores: int, gpu: bool, images: int, expected: int
) -> None:
    monkeypatch.setattr(workers_module, "cores", lambda: cores)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert choose_workers(images) == expected


def test_on_real_photos_objects_stay_in_their_boxes(shared_data: Path) -> None:
    """The same position draws the same crop in both trainings: no object may lie on the background map."""
    dataset = load(Data(root=shared_data / "voc2012/VOCdevkit/VOC2012", format="voc", split="val", limit=24))
    options = Augment()
    boxes, truth = BoxTraining(dataset, options, 0), LabelTraining(dataset, options, 0, [GROUND_TRUTH])
    astray = objects = 0
    for index in range(len(dataset)):
        one, two = boxes[index, index], truth[index, index]
        assert torch.equal(one["image"], two["image"])
        assert one["image"].shape == (3, 321, 321)
        foreground = (two["y_crf"] > 0) & (two["y_crf"] < 255)
        objects += int(foreground.sum())
        astray += int((foreground & one["background"]).sum())
        assert (two["y_crf"][~one["valid"]] == 255).all()
    assert objects > 200_000
    assert astray < 0.005 * objects

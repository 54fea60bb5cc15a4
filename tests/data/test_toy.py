from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.data.geometry import whole_box_labels
from boxseg.data.toy import CLASSES, paint_scene, write_toy

TRAIN, VAL = 40, 20


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    seen: list[tuple[int, int]] = []
    write_toy(root, train=TRAIN, val=VAL, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, TRAIN + VAL) for done in range(1, TRAIN + VAL + 1)]
    return root


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_read_back_without_a_problem(toy: Path) -> None:
    for split, count in (("train", TRAIN), ("val", VAL)):
        dataset = formats.load(Data(root=toy, split=split))
        assert dataset.format == "voc"
        assert dataset.classes == CLASSES
        assert len(dataset) == count
        assert dataset.problems == ()
        assert formats.inspect(dataset) == []


def test_splits_share_no_photo(toy: Path) -> None:
    photos = digest(toy / "JPEGImages")
    assert len(photos) == len(set(photos.values())) == TRAIN + VAL


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_toy(tmp_path / name, train=3, val=1, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a").keys() == digest(tmp_path / "c").keys()
    photo = "JPEGImages/train_0000.jpg"
    assert digest(tmp_path / "a")[photo] != digest(tmp_path / "c")[photo]


def test_first_photos_do_not_depend_on_how_many(toy: Path, tmp_path: Path) -> None:
    write_toy(tmp_path, train=2, val=1)
    few, many = digest(tmp_path), digest(toy)
    assert all(many[name] == few[name] for name in few if not name.startswith("ImageSets"))


def test_boxes_bound_what_the_mask_shows(toy: Path) -> None:
    for sample in formats.load(Data(root=toy)).samples:
        mask = sample.ground_truth()
        covered = np.zeros(mask.shape, dtype=bool)
        for (x1, y1, x2, y2), label in zip(sample.boxes.astype(int), sample.labels, strict=True):
            inside = mask[y1:y2, x1:x2] == label
            # Tight: the class touches all four sides.
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()
            assert min(x2 - x1, y2 - y1) >= 24
            covered[y1:y2, x1:x2] = True
        assert not mask[~covered].any()


def test_whole_boxes_are_poor_labels_and_classes_are_balanced(toy: Path) -> None:
    confusion = np.zeros((6, 6))
    count = np.zeros(6)
    with_several = 0
    for split in ("train", "val"):
        for sample in formats.load(Data(root=toy, split=split)).samples:
            labels = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width)
            np.add.at(confusion, (sample.ground_truth().ravel(), labels.ravel()), 1)
            np.add.at(count, sample.labels, 1)
            with_several += len(sample.labels) > 1
    hit = np.diag(confusion)
    miou = (hit / (confusion.sum(0) + confusion.sum(1) - hit)).mean()
    assert 0.5 < miou < 0.68
    assert count[1:].min() > 0.4 * count[1:].mean()
    assert with_several > (TRAIN + VAL) / 2


def test_objects_differ_from_the_ground_around_them(toy: Path) -> None:
    differences = []
    for sample in formats.load(Data(root=toy)).samples:
        image = np.asarray(Image.open(sample.image)).astype(float)
        mask = sample.ground_truth()
        ground = image[mask == 0].mean(axis=0)
        objects = [image[mask == label].mean(axis=0) for label in np.unique(sample.labels)]
        differences += [float(np.linalg.norm(colour - ground)) for colour in objects]
    assert np.quantile(differences, 0.05) > 30


def test_sizes_and_orientation_vary() -> None:
    shapes = {paint_scene(np.random.default_rng(seed)).mask.shape for seed in range(12)}
    assert len(shapes) > 6
    assert any(height > width for height, width in shapes)
    assert any(width > height for height, width in shapes)


def test_size_scales_the_photos() -> None:
    scene = paint_scene(np.random.default_rng(0), size=320)
    assert 0.94 * 320 <= max(scene.mask.shape) <= 1.06 * 320
    assert len(scene.labels) >= 1

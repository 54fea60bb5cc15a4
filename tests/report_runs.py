"""Run folders for the tests of the report, made without training anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boxseg import formats
from boxseg.atomic import write_json, write_text
from boxseg.config import Data
from boxseg.data.box_masks import object_windows
from boxseg.dataset import BoxDataset
from boxseg.formats.masks import write_grey, write_mask
from boxseg.jobs import LabelJob, RunJob
from boxseg.labelling.objects import ObjectMask
from boxseg.options import to_yaml
from boxseg.scoring.label_scores import score_labels, write_confusion
from boxseg.scoring.mask_counts import count_masks
from boxseg.shards.home import FileHome
from label_results import write_objects

Labels = NDArray[np.uint8]


def spoilt(labels: Labels, by: int, seed: int) -> Labels:
    """Labels moved to the right, with a rectangle of another class, and a few pixels of none."""
    rng = np.random.default_rng(seed)
    result = np.roll(np.where(labels == 255, 0, labels), by, axis=1).astype(np.uint8)
    y, x = rng.integers(0, min(labels.shape) // 2, 2)
    result[y : y + 6, x : x + 9] = rng.integers(0, 3)
    result[0, :2] = 255
    return result


def write_labels(
    folder: Path, root: Path, split: str = "train", scored: bool = True, pair: bool = True
) -> BoxDataset:
    """A folder as `boxseg label` leaves it; the labels are spoilt ground truth, or none.

    With `pair` there are Y_crf and Y_ret, too, as of a classifier.
    """
    data = Data(root=root, split=split)
    dataset = formats.load(data)
    for number, sample in enumerate(dataset.samples):
        truth = (
            sample.ground_truth() if sample.ground_truth else np.zeros((sample.height, sample.width), np.uint8)
        )
        y_crf, y_ret = spoilt(truth, number % 4, number), spoilt(truth, number % 7, number + 1000)
        for name, labels in (("labels", y_crf), ("y_crf", y_crf), ("y_ret", y_ret)):
            if pair or name == "labels":
                write_mask(folder / name / f"{sample.id}.png", labels)
        agree = (y_crf == y_ret) & (y_crf != 255)
        write_grey(folder / "reliable" / f"{sample.id}.png", (agree * 255).astype(np.uint8))
    write_text(folder / "config.yaml", to_yaml(LabelJob(checkpoint=Path("c"), data=data, out=folder)))
    if scored:
        scores = score_labels(folder, dataset)
        write_json(folder / "metrics.json", scores.as_dict())
        write_confusion(folder, {"whole_box": scores.whole_box, **scores.labels})
    return dataset


# A mask to draw: share of its box that it fills from above, its score, and what made it.
Drawn = tuple[float, float, str]
FINE: Drawn = (0.5, 0.9, "network")


def write_box_masks(folder: Path, dataset: BoxDataset, drawn: dict[str, list[Drawn]]) -> None:
    """The masks of the boxes as `boxseg label` leaves them: those drawn by the photo's id, else fine ones."""
    for sample in dataset.samples:
        masks = []
        for (left, top, right, bottom), (filled, score, source) in zip(
            object_windows(sample.boxes, sample.height, sample.width),
            drawn.get(sample.id, [FINE] * len(sample.boxes)),
            strict=True,
        ):
            mask = np.arange((right - left) * (bottom - top)) < filled * (right - left) * (bottom - top)
            shaped = mask.reshape(bottom - top, right - left)
            masks.append(ObjectMask(mask=shaped, score=score, source=source))
        write_objects(folder, sample, masks)
    counts = count_masks(FileHome(folder), dataset.samples)
    write_json(folder / "mask-counts.json", {size: part.as_dict() for size, part in counts.items()})


def write_run(folder: Path, root: Path) -> None:
    """A folder as `boxseg run` leaves it, without its networks."""
    write_labels(folder / "label", root)
    for stage in ("classify", "segment"):
        write_text(folder / stage / "config.yaml", "{}\n")
        rows = "".join(f"{step},{3 / step},{0.1 / step}\n" for step in range(1, 60))
        write_text(folder / stage / "history.csv", "iteration,loss,lr\n" + rows)
    validation = formats.load(Data(root=root, split="val"))
    for number, sample in enumerate(validation.samples):
        assert sample.ground_truth
        file = folder / "segment" / "predictions" / "val" / f"{sample.id}.png"
        write_mask(file, spoilt(sample.ground_truth(), 1 + number, number))
    scores = {"miou": 0.5, "mean_accuracy": 0.6, "pixel_accuracy": 0.7, "iou": {"background": 0.9}}
    network = {"split": "val", "images": 6, "skipped": {}, "before_crf": scores, "after_crf": scores}
    write_json(folder / "segment" / "metrics.json", network)
    write_text(folder / "config.yaml", to_yaml(RunJob(data=Data(root=root), out=folder)))


def write_boxes(root: Path, counts: list[int]) -> None:
    """Photos with so many boxes each and no masks: photo_00, photo_01 … in YOLO's format."""
    write_text(root / "data.yaml", "train: images/train\nval: images/train\nnames: [cat, dog]\n")
    for number, count in enumerate(counts):
        path = root / "images" / "train" / f"photo_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((60, 60 * max(count, 1), 3), 20 * number, dtype=np.uint8)).save(path)
        width = 1 / max(count, 1)
        rows = "".join(f"{place % 2} {(place + 0.5) * width} 0.5 {width / 2} 0.5\n" for place in range(count))
        write_text(root / "labels" / "train" / f"photo_{number:02d}.txt", rows)


def write_doubted(folder: Path) -> None:
    """FOLDER/run, labelled photos of 21, 21, 1, 0, 2 and 2 boxes, some with a mask that is worth a look."""
    write_boxes(folder / "data", [21, 21, 1, 0, 2, 2])
    dataset = write_labels(folder / "run", folder / "data", scored=False, pair=False)
    fallback, tiny, full = (0.8, 0.0, "fallback"), (0.05, 0.9, "network"), (1.0, 0.8, "network")
    drawn: dict[str, list[Drawn]] = {
        "photo_00": [(0.5, 0.25, "network"), *[FINE] * 20],  # unsure
        "photo_01": [*[fallback] * 16, *[FINE] * 4, tiny],
        "photo_04": [FINE, full],
        "photo_05": [FINE, (0.3, 0.1, "sam")],  # the score of another method
    }
    write_box_masks(folder / "run", dataset, drawn)


def write_yolo(root: Path, names: tuple[str, str]) -> None:
    """Three photos with boxes and no masks, one of them without a box."""
    write_text(root / "data.yaml", f"train: images/train\nval: images/train\nnames: {list(names)!r}\n")
    for number, rows in enumerate(("0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.2 0.2\n", "1 0.5 0.5 1 1\n", "")):
        image = np.full((20, 30 + number, 3), 60 * (number + 1), dtype=np.uint8)
        path = root / "images" / "train" / f"photo {number} #1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        write_text(root / "labels" / "train" / f"photo {number} #1.txt", rows)

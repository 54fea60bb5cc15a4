"""Mean IoU of the masks of single objects, by size, where the truth is labels by class (VOC).

    python benchmarks/object_masks.py --data DIR --split val              # DIR: VOCdevkit/VOC2012
    python benchmarks/object_masks.py --data DIR --checkpoint RUN --every 4

The mask network beside the ellipse in the box and the box itself. An object is what the truth has of a box's
class inside it; boxes that another of their class touches are left out, for nobody knows whose a pixel is. Of
data whose objects have masks of their own (COCO), `boxseg label` and `evaluate instances=` print the same.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg import formats
from boxseg.config import Data
from boxseg.data.box_masks import Window, ellipse_mask, object_windows, whole_mask
from boxseg.dataset import IGNORE, BoxDataset, Sample
from boxseg.formats.images import read_image
from boxseg.inference.mask_networks import SHIPPED, LoadedMaskNetwork, load_mask_network
from boxseg.inference.object_masks import object_answers
from boxseg.progress import track
from measure import parser, photos, settings, table

# Areas of the true mask, in pixels, from which objects are medium and above which they are large: COCO's.
MEDIUM, LARGE = 32**2, 96**2
POOR = 0.25


def lone_boxes(sample: Sample) -> list[int]:
    """Places of the boxes that no other box of their class touches."""
    boxes, labels = sample.boxes, sample.labels
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    touch = (low < high).all(axis=2) & (labels[:, None] == labels)
    return [int(place) for place in np.flatnonzero(touch.sum(axis=1) == 1)]


def scores(loaded: LoadedMaskNetwork, sample: Sample) -> Iterator[tuple[int, dict[str, float]]]:
    """The area of each object, and the IoU of its masks by name."""
    assert sample.ground_truth is not None
    truth, places = sample.ground_truth(), lone_boxes(sample)
    windows = object_windows(sample.boxes, sample.height, sample.width)
    answers = object_answers(loaded, read_image(sample.image), sample.boxes)
    for place in places:
        left, top, right, bottom = window = windows[place]
        part = truth[top:bottom, left:right]
        own, known = part == sample.labels[place], part != IGNORE
        if own.any():
            found = {"mask network": answers[place].mask.numpy(), **_drawn(sample.boxes[place], window)}
            yield int(own.sum()), {name: _iou(mask & known, own) for name, mask in found.items()}


def _drawn(box: NDArray[np.float64], window: Window) -> dict[str, NDArray[np.bool_]]:
    return {"ellipse in the box": ellipse_mask(box, window), "whole box": whole_mask(box, window)}


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def rows(loaded: LoadedMaskNetwork, dataset: BoxDataset) -> list[tuple[object, ...]]:
    """A row for each kind of mask."""
    areas: list[int] = []
    ious: dict[str, list[float]] = defaultdict(list)
    for sample in track(dataset.samples, "masks"):
        for area, found in scores(loaded, sample) if sample.ground_truth else ():
            areas.append(area)
            for name, value in found.items():
                ious[name].append(100 * value)
    size: NDArray[np.int64] = np.array(areas, dtype=np.int64)
    parts = (size >= 0, size < MEDIUM, (size >= MEDIUM) & (size <= LARGE), size > LARGE)
    made = []
    for name, values in ious.items():
        iou: NDArray[np.float64] = np.array(values)
        means = (f"{iou[part].mean():.1f} ({part.sum()})" if part.any() else "–" for part in parts)
        made.append((name, *means, int((iou < 100 * POOR).sum())))
    return made


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the table."""
    command = parser(__doc__)
    command.add_argument("--split", default="val")
    command.add_argument("--every", type=int, default=1, help="only every n-th photo, by id")
    command.add_argument("--checkpoint", default=SHIPPED, help="mask network; otherwise the one in the package")
    options = command.parse_args(words)
    with settings(options), tempfile.TemporaryDirectory() as name, torch.inference_mode():
        if options.data is None:
            dataset = photos(None, 4 if options.smoke else 60, Path(name), options.smoke)
        else:
            dataset = formats.load(Data(root=options.data, split=options.split))
        chosen = sorted(dataset.samples, key=lambda sample: sample.id)[:: options.every]
        loaded = load_mask_network(options.checkpoint, torch.device("cpu"))
        found = rows(loaded, replace(dataset, samples=tuple(chosen)))
    print(f"Mean IoU an object (objects), percent, {len(chosen)} photos:\n")
    print(table(("masks", "all", "small", "medium", "large", "IoU below 25 %"), found))


if __name__ == "__main__":
    main()

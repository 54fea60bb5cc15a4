"""Photos with drawn labels and boxes, and the objects in them by a slow and simple way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

from boxseg.dataset import BoxDataset, Sample
from slow_regions import filled, flood

# Neither sorted nor VOC's: their order has to be kept.
CLASSES = ("zebra", "ant & bee", "Größe")


class Labels:
    """A mask that is there already."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def __call__(self) -> np.ndarray:
        return self.mask


@st.composite
def label_masks(draw: st.DrawFn) -> np.ndarray:
    """Blocks of classes painted over one another, some with holes, some of 255."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    mask = np.zeros((height, width), dtype=np.uint8)
    for value in draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 255]), max_size=6)):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[top : draw(st.integers(top + 1, height)), left : draw(st.integers(left + 1, width))] = value
    return mask


@st.composite
def photos(draw: st.DrawFn, number: int, root: Path) -> Sample:
    mask = draw(label_masks())
    height, width = mask.shape
    boxes, labels = [], []
    for _ in range(draw(st.integers(0, 4))):
        x1, y1 = draw(st.integers(0, 2 * width - 2)), draw(st.integers(0, 2 * height - 2))
        x2, y2 = draw(st.integers(x1 + 2, 2 * width)), draw(st.integers(y1 + 2, 2 * height))
        boxes.append([x1 / 2, y1 / 2, x2 / 2, y2 / 2])
        labels.append(draw(st.integers(1, len(CLASSES))))
    name = draw(st.sampled_from(["img", "sub/img", "a.b", "with space", "größe"])) + str(number)
    path = root / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    return Sample(
        id=name,
        image=path,
        width=width,
        height=height,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
        difficult=np.zeros(len(boxes), dtype=bool),
        ground_truth=Labels(mask),
    )


def objects(sample: Sample, how: str) -> list[tuple[int, np.ndarray]]:
    """Class and mask of every object with a pixel, by loops."""
    mask = sample.ground_truth()
    found = []
    if how == "boxes":
        for (x1, y1, x2, y2), label in zip(sample.boxes, sample.labels, strict=True):
            inside = np.zeros(mask.shape, dtype=bool)
            for row, column in np.ndindex(mask.shape):
                inside[row, column] = x1 <= column + 0.5 < x2 and y1 <= row + 0.5 < y2
            found.append((int(label), inside & (mask == label)))
    else:
        for label in (1, 2, 3):
            regions = flood(mask == label, corners=True)
            found += [(label, regions == number) for number in range(1, regions.max(initial=0) + 1)]
    return [(label, one) for label, one in found if one.any()]


def painted(sample: Sample, how: str, *, holes: bool) -> np.ndarray:
    """What objects say of the classes of pixels: smaller ones on top."""
    found = [(label, mask if holes else filled(mask)) for label, mask in objects(sample, how)]
    labels = np.zeros((sample.height, sample.width), np.uint8)
    for label, mask in sorted(found, key=lambda item: (-item[1].sum(), item[0])):
        labels[mask] = label
    return labels


def dataset_of(samples: list[Sample], root: Path) -> BoxDataset:
    return BoxDataset(root=root, format="voc", split="train", classes=CLASSES, samples=tuple(samples))


written = settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])


def outlined(dataset: BoxDataset) -> bool:
    """Whether outlines count as ground truth, which rectangles do not."""
    kinds = {problem.kind for problem in dataset.problems}
    return not kinds & {"outlines that are only boxes", "rotated boxes"}


def window(box: list[float]) -> tuple[slice, slice]:
    x1, y1, x2, y2 = (int(np.ceil(edge - 0.5)) for edge in box)
    return slice(y1, y2), slice(x1, x2)

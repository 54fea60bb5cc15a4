"""What writers of labels share: their options, the objects of a label mask, and what they report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import BACKGROUND, IGNORE, LEAVE_OUT, REDRAW, BoxDataset, Correction, Sample
from boxseg.documents import Readable
from boxseg.errors import DataError
from boxseg.formats.box_masks import read_box_masks
from boxseg.formats.boxes import mask_bounds, pixel_ranges
from boxseg.formats.coco_results import decode_window
from boxseg.formats.components import split_regions
from boxseg.formats.contours import Ring, outlines
from boxseg.formats.masks import MaskFolder
from boxseg.formats.object_outlines import object_regions
from boxseg.formats.regions import UNREADABLE_REGION, encode_region
from boxseg.formats.simplify import simplify_rings
from boxseg.progress import track
from boxseg.remote.hooks import ahead

T = TypeVar("T")

# Gives a photo's masks, as of `box_masks_json`.
Pieces = Callable[[Sample], Readable]


class Spread(Protocol):
    """Has work done on chunks of photos; returns what it returns for each, in the order of the photos."""

    def __call__(
        self, work: Callable[[Sequence[Sample]], T], samples: Sequence[Sample], description: str, /
    ) -> list[T]:
        """The results of `work`; the bar shows the description."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How labels are written."""

    # What an object is: a box's own mask, its outline in the annotations, the pixels of its class inside it, or
    # connected pixels of one class.
    objects: Literal["masks", "outlines", "boxes", "regions"] = "boxes"
    masks: Pieces | None = None  # the file of a photo's own masks, for objects="masks"
    corrected: bool = False  # whether these files say that some were corrected, which counts for all objects
    segmentation: Literal["rle", "polygons"] = "rle"  # of COCO, CVAT and Label Studio; codes keep holes
    photos: Literal["copy", "link", "none"] = "copy"
    tighten: bool = False  # the bounds of an object's mask in place of its box
    min_area: int = 1  # pixels; smaller objects are left out, but stay in masks
    simplify: float = 0.0  # of polygons: pixels that a corner that is left out may be away from the new outline
    # Of Label Studio: what stands before the paths of photos, and whether objects are predictions.
    prefix: str | None = None
    predictions: bool = False
    spread: Spread | None = None  # has the photos written elsewhere; None: all in this process


@dataclass(frozen=True, kw_only=True)
class Written:
    """How much was written; `+` adds up photos."""

    photos: int = 0
    objects: int = 0
    empty: int = 0  # objects left out: boxes without a pixel of their class, and those that are too small
    ignored: int = 0  # photos with pixels of 255
    as_stored: int = 0  # photos whose labels are not those of the upright photo
    stray: int = 0  # photos with a pixel of a class that is in no object
    left_out: int = 0  # boxes left out by corrections
    unplaced: int = 0  # photos left out as they do not say where they lie on the ground

    def __add__(self, other: Written) -> Written:
        names = (entry.name for entry in fields(self))
        return Written(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelObject:
    """One object of a label mask."""

    place: int  # of its box in `Sample.boxes`
    label: int  # class 1..L
    box: NDArray[np.float64]  # (4,) x1 y1 x2 y2 in pixels: the annotated box, or the bounds of the region
    mask: NDArray[np.bool_]  # (h, w), its pixels, cut to a window
    corner: tuple[int, int]  # left and top of that window
    origin: dict[str, Any] = field(default_factory=dict)  # score and source of a box's own mask

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the window in the photo."""
        left, top = self.corner
        height, width = self.mask.shape
        return slice(top, top + height), slice(left, left + width)

    def rings(self, tolerance: float) -> list[Ring]:
        """Its outlines in the photo, holes filled, simplified as by `simplify_rings`."""
        return [ring + np.array(self.corner) for ring in simplify_rings(outlines(self.mask), tolerance)]


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoLabels:
    """A photo with the labels to write."""

    sample: Sample  # with the boxes of its objects, some maybe without a pixel
    labels: NDArray[np.uint8]  # (H, W)
    objects: list[LabelObject]  # those that are written
    counts: Written  # of this photo


def write_photos(
    work: Callable[[PhotoLabels], T], dataset: BoxDataset, writing: Writing
) -> tuple[list[T], Written]:
    """What `work` returns for each photo of a data set whose ground truth is the labels, and how much it is.

    `work` writes the photo's own files, and returns what a file of all photos says of it; it can be pickled.
    """
    chunk = partial(_write_chunk, work, replace(writing, spread=None))
    if writing.spread is None:
        parts = [chunk(dataset.samples)]
    else:
        parts = writing.spread(chunk, dataset.samples, "convert")
    said = [own for part, _ in parts for own in part]
    return said, sum((counts for _, counts in parts), start=Written())


def _write_chunk(
    work: Callable[[PhotoLabels], T], writing: Writing, samples: Sequence[Sample]
) -> tuple[list[T], Written]:
    said, written = [], Written()
    for photo in labelled_photos(samples, writing):
        said.append(work(photo))
        written += photo.counts
    return said, written


def labelled_photos(samples: Sequence[Sample], writing: Writing) -> Iterator[PhotoLabels]:
    """Photos whose ground truth is the labels, one by one, with progress."""
    for sample in track(ahead(samples, partial(_read_of, writing)), "convert", total=len(samples)):
        assert sample.ground_truth is not None
        labels = sample.ground_truth()
        if labels.shape != (sample.height, sample.width):
            size = f"{labels.shape[1]} x {labels.shape[0]}"
            raise DataError(
                f"mask of {sample.id}: {size} pixels, expected {sample.width} x {sample.height} as its photo"
            )
        corrected = _corrections(sample, writing)
        every = list(_objects(sample, labels, writing, corrected))
        dropped = [place for place, do in corrected.items() if do == LEAVE_OUT]
        if dropped:
            sample, every = _without(sample, every, dropped)
        found = [item for item in every if item.mask.sum() >= writing.min_area]
        if writing.objects == "regions":
            found = [replace(item, place=place) for place, item in enumerate(found)]
            sample = _with_boxes(sample, found)
        elif writing.tighten:
            found = [_tightened(item) for item in found]
            sample = _with_tight_boxes(sample, found)
        counts = Written(
            photos=1,
            objects=len(found),
            empty=len(every) - len(found),
            ignored=int((labels == IGNORE).any()),
            as_stored=int(sample.as_stored),
            # Masks are made without the CRF, whose labels may reach beyond them.
            stray=int(writing.objects not in ("masks", "outlines") and _strays(labels, every)),
            left_out=len(dropped),
        )
        yield PhotoLabels(sample=sample, labels=labels, objects=found, counts=counts)


def _read_of(writing: Writing, sample: Sample) -> list[Path]:
    """The files of a photo that are read, each from its folder."""
    masks = writing.masks(sample) if writing.masks else None
    photo = sample.image if writing.photos == "copy" else None
    reader = getattr(getattr(sample.ground_truth, "func", None), "__self__", None)
    label = reader.file(sample.id) if isinstance(reader, MaskFolder) else None
    return [file for file in (photo, label, masks) if isinstance(file, Path)]


def _corrections(sample: Sample, writing: Writing) -> dict[int, Correction]:
    """What was corrected about the boxes of a photo when it was labelled, by their places."""
    of_boxes = writing.corrected and writing.objects in ("masks", "boxes")
    path = writing.masks(sample) if of_boxes and writing.masks else None
    if path is None or not path.is_file():
        return {}
    entries = enumerate(read_box_masks(path, sample))
    return {place: entry["corrected"] for place, entry in entries if "corrected" in entry}


def _without(
    sample: Sample, every: list[LabelObject], dropped: Sequence[int]
) -> tuple[Sample, list[LabelObject]]:
    """A photo and its objects, one for each box, without the boxes at some places."""
    keep = np.array([place not in dropped for place in range(len(sample.boxes))], dtype=bool)
    kept = [item for item, stays in zip(every, keep.tolist(), strict=True) if stays]
    rest = replace(
        sample, boxes=sample.boxes[keep], labels=sample.labels[keep], difficult=sample.difficult[keep]
    )
    return rest, [replace(item, place=place) for place, item in enumerate(kept)]


def _objects(
    sample: Sample, labels: NDArray[np.uint8], writing: Writing, corrected: Mapping[int, Correction]
) -> Iterator[LabelObject]:
    if writing.objects == "masks":
        assert writing.masks is not None
        return _masked(sample, writing.masks(sample))
    if writing.objects == "outlines":
        return _outlined(sample)
    return _boxed(sample, labels, corrected) if writing.objects == "boxes" else _regions(labels)


def _masked(sample: Sample, path: Readable) -> Iterator[LabelObject]:
    """The masks of the boxes, as they are in masks.json before it is cleaned up."""
    if not path.is_file():
        raise DataError(f"{path} is missing: run `boxseg label` again, or give objects=boxes")
    entries = read_box_masks(path, sample)
    for place, (entry, box, label) in enumerate(
        zip(entries, sample.boxes, sample.labels.tolist(), strict=True)
    ):
        mask, left, top = decode_window(entry["segmentation"])
        origin = {"score": entry["score"], "source": entry["source"]}
        yield LabelObject(place=place, label=label, box=box, mask=mask, corner=(left, top), origin=origin)


def _outlined(sample: Sample) -> Iterator[LabelObject]:
    """The outlines of the objects in the annotations."""
    regions = object_regions(sample)
    assert regions is not None
    for place, (region, box, label) in enumerate(
        zip(regions, sample.boxes, sample.labels.tolist(), strict=True)
    ):
        try:
            mask, left, top = decode_window(encode_region(region, sample.width, sample.height))
        except UNREADABLE_REGION as error:
            raise DataError(
                f"{sample.image}: the outline of box {place + 1} cannot be read ({error})"
            ) from error
        yield LabelObject(place=place, label=label, box=box, mask=mask, corner=(left, top))


def _boxed(
    sample: Sample, labels: NDArray[np.uint8], corrected: Mapping[int, Correction]
) -> Iterator[LabelObject]:
    """{Y = c} inside each box of class c, like the masks of single boxes in `boxseg label`.

    Nothing for a box that corrections took out of the labels: there, c is another's.
    """
    ranges = pixel_ranges(sample.boxes, sample.height, sample.width).tolist()
    for place, ((left, top, right, bottom), label) in enumerate(
        zip(ranges, sample.labels.tolist(), strict=True)
    ):
        mask = labels[top:bottom, left:right] == label
        if corrected.get(place) in (LEAVE_OUT, REDRAW):
            mask = np.zeros_like(mask)
        yield LabelObject(place=place, label=label, box=sample.boxes[place], mask=mask, corner=(left, top))


def _regions(labels: NDArray[np.uint8]) -> Iterator[LabelObject]:
    """Connected pixels of one class, in the order of the classes."""
    place = 0
    for label in np.unique(labels):
        if label in (BACKGROUND, IGNORE):
            continue
        for mask, left, top in split_regions(labels == label):
            height, width = mask.shape
            box = np.array([left, top, left + width, top + height], dtype=np.float64)
            yield LabelObject(place=place, label=int(label), box=box, mask=mask, corner=(left, top))
            place += 1


def _strays(labels: NDArray[np.uint8], objects: list[LabelObject]) -> bool:
    left_over = (labels != BACKGROUND) & (labels != IGNORE)
    for item in objects:
        left_over[item.window][item.mask] = False
    return bool(left_over.any())


def _tightened(item: LabelObject) -> LabelObject:
    """An object with the bounds of its mask as its box."""
    left, top, right, bottom = mask_bounds(item.mask)
    across, down = item.corner
    box = np.array([left + across, top + down, right + across, bottom + down], dtype=np.float64)
    return replace(item, box=box)


def _with_tight_boxes(sample: Sample, found: list[LabelObject]) -> Sample:
    """The sample with the boxes of its objects; those without an object stay."""
    boxes = sample.boxes.copy()
    for item in found:
        boxes[item.place] = item.box
    return replace(sample, boxes=boxes)


def _with_boxes(sample: Sample, found: list[LabelObject]) -> Sample:
    return replace(
        sample,
        boxes=np.array([item.box for item in found], dtype=np.float64).reshape(-1, 4),
        labels=np.array([item.label for item in found], dtype=np.int64),
        difficult=np.zeros(len(found), dtype=bool),
    )

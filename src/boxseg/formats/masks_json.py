"""masks.json: a COCO data set with a mask for every box.

Data in COCO's format comes back as its own file. `segmentation`, `area`, `score` and `source` are filled in for
every annotation with a box that was used, and all else stays as it is: also annotations that could not be
used, crowds, and annotations of photos without masks. From any other format such a file is made. Boxes that
corrections leave out are not in it.

Labelling writes the masks of each photo as of `box_masks.box_masks_json`. When all are done:

    write_masks(folder / "masks.json", dataset, lambda sample: home.item("masks", sample.id), job.label.masks)
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import atomic_path
from boxseg.collector import collector_paused
from boxseg.config import Masks
from boxseg.dataset import LEAVE_OUT, BoxDataset, Sample
from boxseg.documents import Readable, read_json
from boxseg.formats import coco
from boxseg.formats.box_masks import BoxMask, read_box_masks
from boxseg.formats.coco_results import (
    CocoResult,
    decode_window,
    encode_window,
    image_id,
    image_numbers,
)
from boxseg.formats.coco_rows import STREAMED, read_content
from boxseg.formats.components import clean_mask
from boxseg.formats.json_lists import object_entries
from boxseg.formats.regions import encode_region
from boxseg.formats.samples import chosen
from boxseg.formats.simplify import mask_polygons
from boxseg.progress import track
from boxseg.remote.address import commonpath

Pieces = Callable[[Sample], Readable]  # the file with a photo's masks, which need not exist
Fields = dict[str, Any]  # of an annotation

# In place of an offset: the annotation has no mask, or somebody left its box out.
_AS_IT_IS, _LEFT_OUT = -1, -2


@dataclass(frozen=True, kw_only=True)
class MasksWritten:
    """How much was written.

    Attributes:
        photos: Photos with masks.
        missing: Photos of the data set without.
        sources: Number of masks by what made them.
    """

    photos: int
    missing: int
    sources: dict[str, int]


@dataclass
class _Filled:
    """What is filled in for each box of each photo, None for one that is left out.

    At the end, also how many masks were of what source.
    """

    samples: Sequence[Sample]
    pieces: Pieces
    options: Masks
    sources: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[list[Fields | None]]:
        for sample in track(self.samples, "masks"):
            fields = [
                None if entry.get("corrected") == LEAVE_OUT else _fields(entry, sample, self.options)
                for entry in read_box_masks(self.pieces(sample), sample)
            ]
            self.sources.update(entry["source"] for entry in fields if entry is not None)
            yield fields


def write_masks(path: Path, dataset: BoxDataset, pieces: Pieces, options: Masks | None = None) -> MasksWritten:
    """Write the masks of all boxes as a COCO data set, whole or not at all, one annotation a line.

    The masks are read photo by photo, so that memory holds no more of them than those of one photo; of data in
    COCO's format it also holds the annotations in columns, as when they were read.

    Args:
        path: The file to write.
        dataset: The data set.
        pieces: The path of a photo's masks, as `write_box_masks` wrote them; a photo without such a file could
            not be read: it is left out, or, in COCO's format, as it was.
        options: Clean-up of the masks, and codes or polygons.

    Raises:
        DataError: A photo's masks are damaged, or the annotation file is no longer the one that was read.
    """
    there = chosen(dataset.samples, (pieces(sample).is_file() for sample in dataset.samples))
    filled = _Filled(there, pieces, options or Masks())
    if dataset.annotations is None:
        _write_lines(path, _made(dataset, there, filled).items())
    else:
        _write_filled(path, dataset, there, filled)
    return MasksWritten(photos=len(there), missing=len(dataset) - len(there), sources=dict(filled.sources))


def mask_results(
    dataset: BoxDataset, samples: Iterable[Sample], pieces: Pieces, options: Masks
) -> Iterator[CocoResult]:
    """The masks of some photos' boxes as COCO results: those that `write_masks` writes, photo by photo.

    Raises:
        DataError: A photo's masks are damaged.
    """
    ids = dataset.category_ids or tuple(range(1, len(dataset.classes) + 1))
    for sample in samples:
        entries = read_box_masks(pieces(sample), sample)
        for entry, label in zip(entries, sample.labels.tolist(), strict=True):
            if entry.get("corrected") != LEAVE_OUT:
                known = {"image_id": image_id(sample), "category_id": ids[label - 1]}
                yield {**known, **_fields(entry, sample, options)}


def _write_filled(
    path: Path, dataset: BoxDataset, samples: Sequence[Sample], filled: Iterable[list[Fields | None]]
) -> None:
    """Write an annotation file again, with the annotations of the samples' boxes filled in."""
    assert dataset.annotations is not None
    repeated: set[str] = set()
    with collector_paused():
        content = read_content(dataset.annotations, repeated=repeated)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Annotations may be in any order, and masks come photo by photo: they wait in a file.
    with tempfile.TemporaryFile(dir=path.parent) as waiting:
        offsets = np.full(len(content["annotations"]), _AS_IT_IS, dtype=np.int64)
        places = coco.places_of_boxes(content, dataset, samples)
        for sample, own, fields in zip(samples, places, filled, strict=True):
            for place, entry, box in zip(own, fields, sample.boxes.tolist(), strict=True):
                if entry is None:
                    offsets[place] = _LEFT_OUT
                    continue
                if not coco.states_box(content["annotations"][place]):
                    entry |= {"bbox": [*box[:2], box[2] - box[0], box[3] - box[1]]}
                offsets[place] = waiting.tell()
                waiting.write(json.dumps(entry).encode("ascii") + b"\n")
        if isinstance(content["annotations"], list):
            entries: Iterable[tuple[str, Any]] = content.items()
        elif repeated:
            entries = read_json(dataset.annotations).items()
        else:
            entries = object_entries(dataset.annotations, STREAMED)
        completed = (
            (key, _completed(value, offsets, waiting) if key == "annotations" else value)
            for key, value in entries
        )
        _write_lines(path, completed)


def _completed(annotations: Iterable[Any], offsets: NDArray[np.int64], waiting: IO[bytes]) -> Iterator[Any]:
    """The annotations in their order, with what waits for them at an offset, and without what is left out."""
    for annotation, offset in zip(annotations, offsets.tolist(), strict=True):
        if offset == _AS_IT_IS:
            yield annotation
        elif offset != _LEFT_OUT:
            waiting.seek(offset)
            # What was read as an object is one, whatever the file calls it.
            unlike = {"iscrowd": 0} if annotation.get("iscrowd") else {}
            yield {**annotation, **unlike, **json.loads(waiting.readline())}


def _made(
    dataset: BoxDataset, samples: Sequence[Sample], filled: Iterable[list[Fields | None]]
) -> dict[str, Any]:
    """The content of a COCO file; lists that are long are iterators, for one use in the order of the keys."""
    numbers = image_numbers(dataset)
    ids = dataset.category_ids or tuple(range(1, len(dataset.classes) + 1))
    folder = _photo_folder(dataset.samples)
    root = dataset.root.absolute()
    inside = folder.is_relative_to(root)

    def annotations() -> Iterator[Fields]:
        count = 0
        for sample, fields in zip(samples, filled, strict=True):
            boxes = zip(sample.boxes.tolist(), sample.labels.tolist(), fields, strict=True)
            for (x1, y1, x2, y2), label, entry in boxes:
                if entry is None:
                    continue
                count += 1
                known = {"id": count, "image_id": numbers[sample.id], "category_id": ids[label - 1]}
                yield {**known, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0, **entry}

    images = (
        {
            "id": numbers[sample.id],
            "file_name": sample.image.absolute().relative_to(folder).as_posix(),
            "width": sample.width,
            "height": sample.height,
        }
        for sample in samples
    )
    return {
        "info": {
            "description": "object masks made by boxseg",
            "photos": (folder.relative_to(root) if inside else folder).as_posix(),
        },
        "images": images,
        "annotations": annotations(),
        "categories": [{"id": number, "name": name} for number, name in zip(ids, dataset.classes, strict=True)],
    }


def _photo_folder(samples: Iterable[Sample]) -> Path:
    """The folder that the ids of photos are relative to, or if they are not, the one around all photos."""
    homes: set[Path | None] = set()
    folders: set[Path] = set()
    for sample in samples:
        photo, end = sample.image.absolute(), Path(f"{sample.id}{sample.image.suffix}").parts
        homes.add(type(photo)(*photo.parts[: -len(end)]) if photo.parts[-len(end) :] == end else None)
        folders.add(photo.parent)
    home = homes.pop() if len(homes) == 1 else None
    return home or commonpath(list(folders))


def _fields(entry: BoxMask, sample: Sample, options: Masks) -> Fields:
    window, left, top = decode_window(entry["segmentation"])
    mask = clean_mask(window, options.min_component, options.fill_holes)
    size = (sample.height, sample.width)
    code = encode_window(mask, left, top, size)
    segmentation: Any = code
    area = int(mask.sum())
    if options.simplify and area:
        corner = np.array([left, top])
        for tolerance in (options.simplify, 0.0):  # a few pixels may have none of their centres inside
            segmentation = [(ring + corner).ravel().tolist() for ring in mask_polygons(mask, tolerance)]
            painted = encode_region(segmentation, sample.width, sample.height)
            area = int(decode_window(painted)[0].sum())
            if area:
                break
    more = {"score": entry["score"], "source": entry["source"]}
    return {"segmentation": segmentation, "area": area, **more}


def _write_lines(path: Path, content: Iterable[tuple[str, Any]]) -> None:
    """Write a JSON object, whole or not at all; lists and iterators in it one item a line."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        for number, (key, value) in enumerate(content):
            file.write(f"{',' if number else '{'}\n{json.dumps(key)}: ")
            if isinstance(value, (list, Iterator)):
                _write_list(file, value)
            else:
                file.write(json.dumps(value))
        file.write("\n}\n")


def _write_list(file: IO[str], items: Iterable[Any]) -> None:
    file.write("[")
    for number, item in enumerate(items):
        file.write(f"{',' if number else ''}\n{json.dumps(item)}")
    file.write("\n]")

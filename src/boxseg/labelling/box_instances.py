"""One mask per annotated box, from pseudo labels: COCO results.

Each photo's masks are written beside its labels and gathered when all photos are done: labelling can be
interrupted, and holds only a few photos' masks at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from boxseg.atomic import write_text
from boxseg.dataset import LEAVE_OUT, REDRAW, Sample
from boxseg.documents import read_record
from boxseg.errors import DataError
from boxseg.formats.coco_results import CocoResult, encode_window, image_id, write_results
from boxseg.labelling.objects import objects_of_labels
from boxseg.nn.pseudo import BoxMasks
from boxseg.runs.layout import FINAL, PAIR, pair_piece_path, results_path


def box_instances(
    sample: Sample, labels: Tensor, probabilities: Tensor, boxes: BoxMasks, category_ids: Sequence[int]
) -> list[CocoResult]:
    """A mask for each box, {Y = c} inside it, in the order of the boxes; none for a box without such a pixel.

    Boxes that corrections take out of the labels have none, either.

    The score is the mean probability of c over the mask, after the CRF, for Y_crf and Y_ret alike. `labels` are
    Y, (H, W) uint8, the probabilities (K + 1, H, W), background first, then `boxes.classes`. Without
    `category_ids`, COCO's ids, classes are 1..L.
    """
    objects = objects_of_labels(labels, probabilities, boxes, boxes.rectangles, FINAL)
    classes = boxes.classes.tolist()
    return [
        {
            "image_id": image_id(sample),
            "category_id": category_ids[classes[owner] - 1] if category_ids else classes[owner],
            "segmentation": encode_window(item.mask, left, top, (labels.shape[0], labels.shape[1])),
            "score": round(item.score, 6),
        }
        for place, (item, (left, top, _, _), owner) in enumerate(
            zip(objects, boxes.rectangles, boxes.owners, strict=True)
        )
        if item.mask.any() and sample.corrections.get(place) not in (LEAVE_OUT, REDRAW)
    ]


def write_piece(folder: Path, sample: Sample, results: Mapping[str, list[CocoResult]]) -> None:
    """Write the masks of one photo, by label; not synced."""
    text = json.dumps(results, separators=(",", ":")) + "\n"
    write_text(pair_piece_path(folder, sample), text, sync=False)


def gather(folder: Path, samples: Sequence[Sample]) -> dict[str, int]:
    """Write instances_y_crf.json and instances_y_ret.json from the photos' files, in the order of the photos.

    Returns:
        The number of masks by label.

    Raises:
        DataError: A photo's file is damaged.
    """
    return {
        source: write_results(results_path(folder, source), _pieces(folder, samples, source)) for source in PAIR
    }


def _pieces(folder: Path, samples: Sequence[Sample], source: str) -> Iterator[CocoResult]:
    for sample in samples:
        path = pair_piece_path(folder, sample)
        if not path.is_file():  # the photo could not be read
            continue
        what = "masks of boxes: remove it and run the command again"
        content = read_record(dict[str, list[dict[str, Any]]], path, what)
        if source not in content:
            raise DataError(f"{path} has no {source}: remove it and run the command again")
        yield from content[source]

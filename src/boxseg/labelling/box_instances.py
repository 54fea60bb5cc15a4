"""One mask per annotated box, from pseudo labels: COCO results.

Each photo's masks are written beside its labels and gathered when all photos are done: labelling can be
interrupted, and holds only a few photos' masks at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from torch import Tensor

from boxseg.dataset import LEAVE_OUT, REDRAW, Sample
from boxseg.formats.coco_results import CocoResult, encode_window, image_id, write_results
from boxseg.labelling.objects import objects_of_labels
from boxseg.nn.pseudo import BoxMasks
from boxseg.runs.box_results import pair_results
from boxseg.runs.layout import FINAL, PAIR, results_path
from boxseg.shards.home import Home


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


def instances_json(results: Mapping[str, list[CocoResult]]) -> bytes:
    """The content of the file of one photo's masks, by label."""
    return (json.dumps(results, separators=(",", ":")) + "\n").encode("ascii")


def gather(home: Home, samples: Sequence[Sample]) -> dict[str, int]:
    """Write instances_y_crf.json and instances_y_ret.json from the photos' files, in the order of the photos.

    Returns:
        The number of masks by label.

    Raises:
        DataError: A photo's file is damaged.
    """
    return {
        source: write_results(results_path(home.folder, source), pair_results(home, samples, source))
        for source in PAIR
    }

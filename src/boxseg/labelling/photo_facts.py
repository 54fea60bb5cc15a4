"""What stands in a shard beside a photo's labels: what the photo is, and its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from boxseg.dataset import Sample
from boxseg.formats.coco_results import image_id
from boxseg.labelling.objects import ObjectMask


def photo_facts(sample: Sample, objects: Sequence[ObjectMask], classes: Sequence[str]) -> dict[str, Any]:
    """The photo's size and names, and its boxes with what is known of their masks, as JSON types.

    `objects` are the masks of its boxes, in their order, `classes` the names of classes 1..L.
    """
    annotations = sample.annotation_ids or (None,) * len(sample.boxes)
    boxes = zip(sample.boxes.tolist(), sample.labels.tolist(), annotations, objects, strict=True)
    return {
        "image_id": image_id(sample),
        "file_name": sample.image.name,
        "height": sample.height,
        "width": sample.width,
        "boxes": [
            {
                "box": box,
                "class": label,
                "name": classes[label - 1],
                "annotation_id": annotation,
                "area": int(item.mask.sum()),
                "score": round(float(item.score), 6),
                "source": item.source,
            }
            for box, label, annotation, item in boxes
        ],
    }

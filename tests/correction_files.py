"""Files of corrections, as the report's page saves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxseg.dataset import BoxDataset, Correction


def save_corrections(
    file: Path, dataset: BoxDataset, boxes: Mapping[str, Mapping[int, Correction]], *wrong: str
) -> Path:
    """Write what is to be done with boxes, by photo and place, and photos that are wrong; boxes to a tenth."""
    samples = {sample.id: sample for sample in dataset.samples}
    photos: dict[str, dict[str, Any]] = {}
    for name, done in boxes.items():
        sample = samples[name]
        entries = [
            {
                "box": [round(edge, 1) for edge in sample.boxes[place].tolist()],
                "class": dataset.classes[sample.labels[place] - 1],
                "do": do,
            }
            for place, do in done.items()
        ]
        photos[name] = {"boxes": entries}
    for name in wrong:
        photos.setdefault(name, {})["wrong"] = True
    file.write_text(json.dumps({"boxseg": "corrections", "version": 1, "photos": photos}))
    return file

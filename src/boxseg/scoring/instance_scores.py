"""Average precision of instance masks against the data's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.boxes import pixel_ranges
from boxseg.formats.coco_results import CocoResult, image_id, read_results
from boxseg.progress import track
from boxseg.runs.layout import LABELS, results_path
from boxseg.scoring.average_precision import Precision, average_precision
from boxseg.scoring.label_scores import LABEL_TITLES
from boxseg.tables import Table


@dataclass(frozen=True, kw_only=True)
class InstanceScores:
    """Average precision of one or more results files on the same images.

    Attributes:
        images: Images scored.
        whole_box: The baseline: every box is its object's mask.
        parts: By source: `y_crf` and `y_ret`, or the name of a results file.
    """

    images: int
    whole_box: Precision
    parts: dict[str, Precision]

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {name: part.as_dict() for name, part in {"whole_box": self.whole_box, **self.parts}.items()}


def result_files(path: Path) -> dict[str, Path]:
    """Results files by source: both from a folder made by `label`, or the file itself.

    Raises:
        DataError: The folder does not have them.
    """
    if not path.is_dir():
        return {path.stem: path}
    pair = {source: results_path(path, source) for source in LABELS}
    if not all(file.is_file() for file in pair.values()):
        raise DataError(
            f"{path} has no instances_y_crf.json and instances_y_ret.json: write them with `boxseg label "
            "… label.instances=true`, or give a COCO results file"
        )
    return pair


def score_instances(
    files: Mapping[str, Path], dataset: BoxDataset, samples: Sequence[Sample]
) -> InstanceScores:
    """AP of results files on the images whose objects all have masks.

    Raises:
        DataError: There is no such image, or a file cannot be used.
    """
    scored = [sample for sample in samples if sample.instances is not None]
    if not scored:
        raise DataError(
            f"{dataset.root}, split {dataset.split} ({dataset.format}) has no masks of single objects: AP "
            "needs COCO annotations with a segmentation of every object (label masks are scored by labels=…)"
        )
    parts = {}
    for name, file in track(files.items(), "score instances", total=len(files)):
        parts[name] = average_precision(read_results(file), dataset, scored, file)
        if not parts[name].results and parts[name].elsewhere:
            raise DataError(
                f"{file}: none of the results is for an image of split {dataset.split} in {dataset.root}"
            )
    boxes = whole_boxes(scored, dataset.category_ids)
    whole_box = average_precision(boxes, dataset, scored, dataset.root)
    return InstanceScores(images=len(scored), whole_box=whole_box, parts=parts)


def precision_table(title: str, scores: InstanceScores) -> Table:
    """AP, AP50, AP75 and AP by object size, beside the whole-box baseline."""
    parts = {"whole box": scores.whole_box} | _titled(scores)
    rows = tuple((name, *astuple(part.mean)) for name, part in parts.items())
    return Table(title=title, columns=("masks", "AP", "AP50", "AP75", "APS", "APM", "APL"), rows=rows)


def class_precision_table(scores: InstanceScores) -> Table:
    """AP and AP50 of every class in the images."""
    parts = {title: part.classes for title, part in _titled(scores).items()}
    names = [name for name, part in next(iter(parts.values())).items() if part.ap is not None]
    columns = [column for source in parts for column in (f"{source} AP", f"{source} AP50")]
    rows = [(name, *(cell for p in parts.values() for cell in (p[name].ap, p[name].ap50))) for name in names]
    return Table(title="AP per class", columns=("class", *columns), rows=tuple(rows))


def _titled(scores: InstanceScores) -> dict[str, Precision]:
    return {LABEL_TITLES.get(name, name): part for name, part in scores.parts.items()}


def whole_boxes(samples: Sequence[Sample], category_ids: Sequence[int]) -> list[CocoResult]:
    """The whole-box baseline: every box is its object's mask, with score 1.

    Args:
        samples: Photos with boxes.
        category_ids: COCO's ids of classes 1..L; empty for 1..L.
    """
    results: list[CocoResult] = []
    for sample in samples:
        ranges = pixel_ranges(sample.boxes, sample.height, sample.width).tolist()
        for (left, top, right, bottom), label in zip(ranges, sample.labels.tolist(), strict=True):
            if left < right and top < bottom:
                corners = (left, top, right, top, right, bottom, left, bottom)
                results.append(
                    {
                        "image_id": image_id(sample),
                        "category_id": category_ids[label - 1] if category_ids else label,
                        "segmentation": [list(map(float, corners))],
                        "score": 1.0,
                    }
                )
    return results

"""The files of a photo's results, as `boxseg label` names them; and its masks of boxes, written as it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxseg.dataset import Sample
from boxseg.formats.box_masks import write_box_masks
from boxseg.labelling.objects import ObjectMask, box_masks_of


def label_path(folder: Path, sample: Sample) -> Path:
    return folder / "labels" / f"{sample.id}.png"


def pair_paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    return folder / "y_crf" / f"{sample.id}.png", folder / "y_ret" / f"{sample.id}.png"


def map_paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    return folder / "confidence" / f"{sample.id}.png", folder / "reliable" / f"{sample.id}.png"


def piece_path(folder: Path, sample: Sample) -> Path:
    return folder / "masks" / f"{sample.id}.json"


def pair_piece_path(folder: Path, sample: Sample) -> Path:
    return folder / "instances" / f"{sample.id}.json"


def write_objects(folder: Path, sample: Sample, objects: Sequence[ObjectMask]) -> None:
    write_box_masks(piece_path(folder, sample), box_masks_of(sample, objects))

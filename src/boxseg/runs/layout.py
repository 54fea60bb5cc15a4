"""Names of the files and folders that a run writes and reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from boxseg.dataset import Sample

CheckpointKind = Literal["box-classifier", "segmenter"]

# The two labels of a photo, as files and scores name them.
LABELS = ("y_crf", "y_ret")


def label_paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    """Files of Y_crf and Y_ret."""
    return folder / LABELS[0] / f"{sample.id}.png", folder / LABELS[1] / f"{sample.id}.png"


def map_paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    """Files of the confidence and of the reliable region."""
    return folder / "confidence" / f"{sample.id}.png", folder / "reliable" / f"{sample.id}.png"


def piece_path(folder: Path, sample: Sample) -> Path:
    """File of one photo's masks."""
    return folder / "instances" / f"{sample.id}.json"


def results_path(folder: Path, source: str) -> Path:
    """File of all photos' masks."""
    return folder / f"instances_{source}.json"


def predictions(folder: Path, split: str) -> Path:
    """Folder of the network's predictions ID.png for a split."""
    return folder / "predictions" / split


def checkpoint_file(path: Path, kind: CheckpointKind) -> Path:
    """The file of a checkpoint that is given as a file, as its run folder or as that of all stages."""
    if not path.is_dir():
        return path
    stage = path / ("segment" if kind == "segmenter" else "classify") / "model.safetensors"
    return stage if stage.is_file() else path / "model.safetensors"

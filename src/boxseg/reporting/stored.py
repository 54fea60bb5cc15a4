"""Scores, confusions and curves that stages left in files, checked; what is damaged is left out, and said."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.documents import as_record, read_record
from boxseg.errors import DataError
from boxseg.runs.history import read_history
from boxseg.runs.layout import CONFUSION, METRICS, Y_CRF, Y_RET, evaluation
from boxseg.scoring.box_agreement import BoxAgreement
from boxseg.scoring.confusion import StoredScores
from boxseg.scoring.label_scores import LABEL_TITLES

log = logging.getLogger("boxseg")

# Scores as metrics.json names them, in the order of the tables.
SCORED = {
    "whole_box": "whole box (baseline)",
    **LABEL_TITLES,
    Y_CRF: "labels by CRF (Y_crf)",
    Y_RET: "labels by retrieval (Y_ret)",
    "reliable_region_only": "reliable region only",
    "before_crf": "network",
    "after_crf": "network + CRF",
}
PRECISIONS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
PRECISIONS |= {"ap_small": "APS", "ap_medium": "APM", "ap_large": "APL", "mean_iou": "mean IoU"}


@dataclass(frozen=True, kw_only=True)
class StageScores:
    """What metrics.json of a stage says, as far as the page shows it.

    Attributes:
        split: The split that was scored; None if it is that of the stage.
        images: How many of its photos.
        reliable_fraction: Share of reliable pixels.
        parts: Scores by their name in the file.
        instances: AP and mean IoU of masks of single boxes, by what made them and by the name of the score.
        agreements: Of `adapt`: agreement with held-out boxes, before and after.
    """

    split: str | None = None
    images: int | None = None
    reliable_fraction: float | None = None
    parts: dict[str, StoredScores]
    instances: dict[str, dict[str, float | None]]
    agreements: dict[str, BoxAgreement]


def read_scores(folder: Path | None) -> StageScores:
    """Content of a stage's metrics.json; empty if missing or unreadable."""
    file = (folder or Path()) / METRICS
    content = _read_json(file) if folder else {}
    try:
        return _scores(content, file)
    except DataError as error:
        log.warning(f"report: left out: {error}")
        return _scores({}, file)


def _scores(content: dict[str, Any], file: Path) -> StageScores:
    what = "scores: give the command that made them again"
    facts = {name: content.get(name) for name in ("split", "images", "reliable_fraction")}
    masks = as_record(dict[str, dict[str, Any]], content.get("instances") or {}, file, what)
    precisions = {
        name: scores.get("mean") or {key: scores.get(key) for key in PRECISIONS}
        for name, scores in masks.items()
    }
    record = {
        **facts,
        "parts": {name: content[name] for name in SCORED if content.get(name) is not None},
        "instances": precisions,
        "agreements": {name: content[name] for name in ("before", "after") if name in content},
    }
    return as_record(StageScores, record, file, what)


def evaluations(folder: Path | None) -> list[Path]:
    """Folders of `boxseg evaluate` in a stage's folder, one for each split."""
    pattern = str(evaluation(Path(), "*") / METRICS)
    return sorted(path.parent for path in folder.glob(pattern)) if folder else []


@dataclass(frozen=True)
class _Confusion:
    classes: tuple[str, ...] = ()
    counts: dict[str, list[list[int]]] = field(default_factory=dict)


def read_confusion(folder: Path | None) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """Class names 0..L and counts (L + 1, L + 2) by name of scores; empty if none were stored."""
    file = (folder or Path()) / CONFUSION
    try:
        stored = as_record(_Confusion, _read_json(file) if folder else {}, file, "counts of pixels")
        shape = len(stored.classes), len(stored.classes) + 1
        counts = {name: np.array(rows, dtype=np.int64).reshape(shape) for name, rows in stored.counts.items()}
    except (DataError, ValueError, OverflowError) as error:
        log.warning(f"report: {file} left out: {error}")
        return (), {}
    return stored.classes, counts


def _read_json(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return read_record(dict[str, Any], file, "what a stage writes")
    except DataError as error:
        log.warning(f"report: left out: {error}")
        return {}


def stored_history(folder: Path) -> list[tuple[int, float, float]]:
    """(iteration, loss, learning rate) of a training; empty without one, or where it is damaged."""
    try:
        return read_history(folder)
    except DataError as error:
        log.warning(f"report: left out: {error}")
        return []

"""Names of the files and folders that a run writes and reads, defined only here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from boxseg.dataset import Sample
from boxseg.documents import Readable
from boxseg.jobs.job import Stage
from boxseg.remote.names import Names
from boxseg.shards.home import MAIN, Home

CheckpointKind = Literal["box-classifier", "mask-network", "segmenter"]
_MADE_BY: dict[CheckpointKind, Stage] = {
    "box-classifier": "classify",
    "mask-network": "adapt",
    "segmenter": "segment",
}

# The stages of `run`, in order.
STAGES: tuple[Stage, ...] = ("adapt", "classify", "label", "segment")

# Options and versions; in the folder of every stage.
CONFIG = "config.yaml"
VERSIONS = "versions.json"
LOCK = ".lock"
HOLDER = ".in-use"  # which process works in the folder
PROVENANCE = "provenance.jsonl"  # what the results of each photo were made from
INDEX = ".index"  # what was read of large data sets
DECODED = ".decoded-{split}.jsonl"  # photos that `doctor` has decoded

# A training.
MODEL = "model.safetensors"
LAST = "checkpoints/last.ckpt"
BEFORE_LAST = "checkpoints/before-last.ckpt"  # the one before, for when the last is damaged
HISTORY = "history.csv"
WEIGHTS = "weights.json"  # how each pretrained tensor was loaded
LOGGED_AS = "logged-as.txt"  # id of the training in W&B and MLflow
TENSORBOARD = "tensorboard"
MLFLOW = "mlflow.db"

# Scores.
METRICS = "metrics.json"
CONFUSION = "confusion.json"
PREDICTIONS = "predictions"
EVALUATION = "evaluate-{split}"

# Labels of photos.
FINAL = MAIN  # what a method says in the end
Y_CRF, Y_RET = PAIR = ("y_crf", "y_ret")  # the two labels of a classifier, as files and scores name them
AGREED = "agreed"  # labels without what is not reliable, a name in scores and reports
CONFIDENCE = "confidence"
RELIABLE = "reliable"
INSTANCES = "instances"
INSTANCE_RESULTS = "instances_{source}.json"
MASKS = "masks.json"  # a mask for every box, as a COCO data set
PIECES = "masks"  # its parts, one a photo
MASK_COUNTS = "mask-counts.json"
LABEL_MAP = "labelmap.json"
CORRECTIONS = (
    "applied-corrections.json"  # of these labels; named unlike the report's file, which may lie beside it
)

# Predictions for photos, with the label map.
OVERLAYS = "overlays"
PHOTOS = "photos.json"
GEOTIFFS = "geotiff"
FRAMES = "frames"  # of videos

# Masks of boxes: the authors' code looks for this name beside JPEGImages.
BACKGROUND_MASKS = "BgMaskfromBoxes"

# Record of the splits in a data set written by `convert` or label.formats.
RECORD = "convert.yaml"

# Predictions packed for VOC's server.
ARCHIVE = "voc2012_{name}.tgz"

# What is special about results at an address.
AT_ADDRESS = Names(record=PROVENANCE, first=(CONFIG, VERSIONS, LABEL_MAP, CORRECTIONS), naming=(CONFIG, PHOTOS))

# Made from a whole run.
SHEET = "sheet.png"
REPORT = "report.html"


def stage_folder(folder: Path, stage: Stage) -> Path:
    """Folder of a stage in that of `run`."""
    return folder / stage


def label_kinds(*, pair: bool, instances: bool = False) -> tuple[str, ...]:
    """The results of a photo that `label` writes: with `pair` also Y_crf and Y_ret.

    With `instances` also the masks of boxes in these two.
    """
    both = (*PAIR, INSTANCES) if instances else PAIR
    return (FINAL, PIECES, CONFIDENCE, RELIABLE, *(both if pair else ()))


def masks_of_boxes(home: Home, sample: Sample) -> Readable:
    """The masks of one photo's boxes."""
    return home.item(PIECES, sample.id)


def results_path(folder: Path, source: str) -> Path:
    """File of all photos' masks in Y_crf or in Y_ret."""
    return folder / INSTANCE_RESULTS.format(source=source)


def predictions(folder: Path, split: str) -> Path:
    """Folder of the network's predictions ID.png for a split."""
    return folder / PREDICTIONS / split


def evaluation(folder: Path, split: str) -> Path:
    """Folder of the scores of `evaluate`; those of the stages may be of another split."""
    return folder / EVALUATION.format(split=split)


def report_originals(page: Path) -> Path:
    """Folder of the full-size photos and labels, and of further pages, beside a report."""
    return page.with_name(f"{page.stem}-files")


def report_page(page: Path, number: int) -> Path:
    """The page of a report with this number, from 1."""
    return page if number == 1 else report_originals(page) / f"page-{number:04d}.html"


def checkpoint_file(path: Path, kind: CheckpointKind) -> Path:
    """The file of a checkpoint, given as that file, as its stage's folder or as the folder of `run`."""
    if not path.is_dir():
        return path
    stage = stage_folder(path, _MADE_BY[kind]) / MODEL
    return stage if stage.is_file() else path / MODEL

"""Names of the files and folders that a run writes and reads, defined only here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from boxseg.dataset import Sample
from boxseg.jobs.job import Stage
from boxseg.storage.names import Names

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
FINAL = "labels"  # what a method says in the end
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


def label_path(folder: Path, sample: Sample) -> Path:
    """File of the labels."""
    return folder / FINAL / f"{sample.id}.png"


def pair_paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    """Files of Y_crf and Y_ret, which labels from a classifier have."""
    return folder / Y_CRF / f"{sample.id}.png", folder / Y_RET / f"{sample.id}.png"


def map_paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    """Files of the confidence and of the reliable region."""
    return folder / CONFIDENCE / f"{sample.id}.png", folder / RELIABLE / f"{sample.id}.png"


def piece_path(folder: Path, sample: Sample) -> Path:
    """File of the masks of one photo's boxes."""
    return folder / PIECES / f"{sample.id}.json"


def pair_piece_path(folder: Path, sample: Sample) -> Path:
    """File of the masks of one photo's boxes in Y_crf and in Y_ret."""
    return folder / INSTANCES / f"{sample.id}.json"


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
    """Folder of the full-size photos and labels beside a report."""
    return page.with_name(f"{page.stem}-files")


def checkpoint_file(path: Path, kind: CheckpointKind) -> Path:
    """The file of a checkpoint, given as that file, as its stage's folder or as the folder of `run`."""
    if not path.is_dir():
        return path
    stage = stage_folder(path, _MADE_BY[kind]) / MODEL
    return stage if stage.is_file() else path / MODEL

"""Label new photos, without boxes, with a segmentation network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg import formats
from boxseg.atomic import atomic_path
from boxseg.dataset import Sample
from boxseg.errors import ConfigError, DataError
from boxseg.formats.images import image_size
from boxseg.jobs import PredictJob
from boxseg.nn.deeplab import Segmenter
from boxseg.report.tables import Table
from boxseg.stages import submission
from boxseg.stages.devices import torch_device, torch_devices
from boxseg.stages.folder import check_folder
from boxseg.stages.inference import predict_photos
from boxseg.stages.label_source import record_photos
from boxseg.stages.networks import Loaded, load_segmenter
from boxseg.stages.spread import in_order, spread
from boxseg.stages.submission import Submitted

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Predictions for photos.

    Attributes:
        folder: Holds labels/NAME.png, overlays/NAME.jpg and confidence/NAME.png.
        images: Photos labelled.
        skipped: Photos that could not be read, with the reason.
        classes: Names of classes 1..L.
        shares: Share of all pixels that each class took, background first.
    """

    folder: Path
    images: int
    skipped: dict[str, str]
    classes: tuple[str, ...]
    shares: tuple[float, ...]

    def tables(self) -> list[Table]:
        """How many pixels each class took."""
        names = ("background", *self.classes)
        found = [(name, share) for name, share in zip(names, self.shares, strict=True) if share > 0]
        return [Table(title="Predicted", columns=("class", "% of pixels"), rows=tuple(found))]

    def notes(self) -> list[str]:
        """Where the predictions are."""
        lines = [f"Predictions: {self.folder} ({self.images} photos, {len(self.skipped)} skipped)"]
        return lines + [f"  skipped {name}: {reason}" for name, reason in self.skipped.items()]


def run(job: PredictJob) -> Predicted | Submitted:
    """Write labels and overlays of all photos, or a submission.

    Raises:
        CheckpointError: The checkpoint is no segmentation network.
        ConfigError: Neither or both of images and data were given, an option of a submission without one, or
            `out` cannot be written.
        DataError: There is no such photo, or none at all.
    """
    if job.submission is not None:
        return submission.run(job)
    if job.comp != "comp6" or job.overwrite:
        raise ConfigError("comp and overwrite are for submissions: give submission=voc2012, too")
    if (job.images is None) == (job.data is None):
        raise ConfigError("give either images=… (photos) or data.root=… (the photos of a split)")
    check_folder(job.out)
    loaded = load_segmenter(job.checkpoint, torch_device(job.trainer))
    skipped: dict[str, str] = {}
    samples = _photos(job, skipped)
    parts = spread(partial(_predict_share, job=job), loaded, samples, torch_devices(job.trainer), "predict")
    skipped |= in_order(samples, [missed for _, missed in parts])
    counts = np.sum([part for part, _ in parts], axis=0)
    done = len(samples) - sum(len(missed) for _, missed in parts)
    if not done:
        raise DataError(f"none of {len(skipped)} photos could be read: {next(iter(skipped.values()))}")
    record_photos(job.out, loaded.classes, [sample for sample in samples if sample.id not in skipped])
    shares = tuple(float(count) for count in counts / max(1, counts.sum()))
    return Predicted(folder=job.out, images=done, skipped=skipped, classes=loaded.classes, shares=shares)


def _predict_share(
    loaded: Loaded[Segmenter], samples: Sequence[Sample], job: PredictJob
) -> tuple[NDArray[np.int64], dict[str, str]]:
    """Write labels and overlays of a share of the photos: pixels by class, and photos that cannot be read."""
    counts = np.zeros(len(loaded.classes) + 1, dtype=np.int64)
    skipped: dict[str, str] = {}
    for sample, prediction in predict_photos(loaded, samples, skipped, job.evaluate, job.trainer):
        prediction.save(job.out / "labels" / f"{sample.id}.png")
        with atomic_path(job.out / "overlays" / f"{sample.id}.jpg") as temporary:
            prediction.overlay().save(temporary, quality=90)
        if job.confidence:
            prediction.save_confidence(job.out / "confidence" / f"{sample.id}.png")
        counts += np.bincount(prediction.labels.ravel(), minlength=len(counts))
    return counts, skipped


def _photos(job: PredictJob, skipped: dict[str, str]) -> Sequence[Sample]:
    """The photos that were asked for; those that cannot be read go into `skipped`, with the reason."""
    if job.data is not None:
        dataset = formats.load(job.data, boxes=False)
        skipped |= {str(p.file): p.what for p in dataset.problems if p.action == "skipped"}
        return dataset.samples
    assert job.images is not None
    files = find_photos([job.images] if isinstance(job.images, str) else job.images)
    return [sample for name, file in names_of(files).items() if (sample := _sample(name, file, skipped))]


def find_photos(given: list[str]) -> list[Path]:
    """The photos among files, folders and patterns, in order; folders are searched to any depth.

    Patterns are those of shells: `*`, `?`, `[ab]`, and `**` for folders of any depth; they may name folders.

    Raises:
        DataError: Something given is not there, or holds no photo.
    """
    files: list[Path] = []
    for path in (path for text in given for path in _expand(text)):
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            if not found:
                raise DataError(f"images={path}: no photo in this folder ({', '.join(sorted(SUFFIXES))})")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"images={path}: no such file or folder")
    return files


def _expand(text: str) -> list[Path]:
    """What a pattern stands for; any other text, and a file of the pattern's very name, stands for itself."""
    path = Path(text).expanduser()
    if path.exists() or not has_magic(text):
        return [path]
    found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
    if not found:
        raise DataError(f"images={text}: no file or folder has such a name")
    return found


def names_of(files: list[Path]) -> dict[str, Path]:
    """A name for the results of each photo: its own, with its folder or suffix where two are alike."""
    names: dict[str, Path] = {}
    for file in dict.fromkeys(files):
        for name in (file.stem, f"{file.parent.name}_{file.stem}", f"{file.stem}_{file.suffix[1:]}"):
            if name not in names:
                names[name] = file
                break
        else:
            number = next(n for n in range(2, len(files) + 2) if f"{file.stem}_{n}" not in names)
            names[f"{file.stem}_{number}"] = file
    return names


def _sample(name: str, file: Path, skipped: dict[str, str]) -> Sample | None:
    try:
        width, height = image_size(file)
    except DataError as error:
        skipped[str(file)] = str(error)
        return None
    return Sample(
        id=name,
        image=file,
        width=width,
        height=height,
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, dtype=np.int64),
        difficult=np.zeros(0, dtype=np.bool_),
    )

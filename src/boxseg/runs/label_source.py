"""Labels in a folder, with their photos, classes and boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from boxseg import formats
from boxseg.atomic import write_json
from boxseg.config import Data
from boxseg.dataset import BACKGROUND_NAME, IGNORE, BoxDataset, Sample
from boxseg.errors import ConfigError, DataError
from boxseg.formats.files import is_file
from boxseg.formats.images import SUFFIXES
from boxseg.formats.masks import read_mask
from boxseg.formats.photo_files import photo_sample
from boxseg.jobs import ConvertJob, LabelJob
from boxseg.options import build_job, flatten, load_mapping
from boxseg.runs.layout import CONFIG, LABEL_MAP, LABELS, PHOTOS, PREDICTED, Y_CRF, Y_RET, stage_folder


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Labels to write.

    Attributes:
        dataset: Photos with the labels as their ground truth.
        objects: What one object is: `boxes` if they are known and no network predicted the labels.
        missing: Photos of the data that have no label.
        home: Folder made by `label` or `predict`, with its other results.
    """

    dataset: BoxDataset
    objects: Literal["boxes", "regions"]
    missing: int
    home: Path


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A folder of masks ID.png.

    Attributes:
        other: Masks that have to agree, if any.
        home: Where labelmap.json and the like are.
        data: Data set that `label` made them for.
        predicted: Whether a segmentation network made them, which uses no boxes.
    """

    masks: Path
    other: Path | None = None
    home: Path
    data: Data | None = None
    predicted: bool = False


def read_source(job: ConvertJob) -> LabelSource:
    """Labels with their photos.

    Raises:
        DataError: There are no labels, or their photos or classes are not known.
        ConfigError: An option does not fit the labels.
    """
    found = _find(job)
    data = _merge(job.data, found.data)
    if data is None:
        dataset = _from_photos(job, found)
    else:
        dataset = formats.load(data)
        names = job.classes or _class_names(found.home)
        if names and names != dataset.classes:
            raise ConfigError(
                f"the labels in {job.source} have other classes than {data.root}: "
                f"{', '.join(names)}, not {', '.join(dataset.classes)}"
            )
    labelled = with_labels(dataset, found.masks, found.other)
    return LabelSource(
        dataset=labelled,
        objects="boxes" if data is not None and not found.predicted else "regions",
        missing=len(dataset) - len(labelled),
        home=found.home,
    )


def with_labels(dataset: BoxDataset, masks: Path, other: Path | None = None) -> BoxDataset:
    """A data set with the labels MASKS/ID.png as its ground truth; photos without labels are left out.

    Pixels whose label differs from that in the folder `other` are 255.

    Raises:
        DataError: No photo has a label.
    """
    classes = len(dataset.classes)
    samples = []
    for sample in dataset.samples:
        path = masks / f"{sample.id}.png"
        if is_file(path):
            reader = (
                partial(read_agreed, path, other / path.relative_to(masks), classes)
                if other
                else partial(read_mask, path, classes)
            )
            samples.append(replace(sample, ground_truth=reader))
    if not samples:
        raise DataError(f"{masks} has no label for any of {len(dataset)} photos of {dataset.root}")
    return replace(dataset, samples=tuple(samples))


def record_photos(folder: Path, classes: Sequence[str], samples: Sequence[Sample]) -> None:
    """Write labelmap.json, and add to photos.json, for labels without a data set."""
    named = [{"value": value, "name": name} for value, name in enumerate((BACKGROUND_NAME, *classes))]
    write_json(folder / LABEL_MAP, named)
    before = {name: str(path) for name, path in _recorded_photos(folder).items()}
    write_json(folder / PHOTOS, before | {sample.id: str(sample.image.absolute()) for sample in samples})


def _find(job: ConvertJob) -> _Found:
    folder = job.source
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; expected one made by label, run or predict, or a folder of masks ID.png"
        )
    if (stage_folder(folder, "label") / Y_CRF).is_dir():
        folder = stage_folder(folder, "label")
    if folder.name in LABELS and is_file(folder.parent / CONFIG):
        return _Found(masks=folder, home=folder.parent, data=_data_of(folder.parent))
    if (folder / Y_CRF).is_dir():
        pair = folder / Y_CRF, folder / Y_RET
        masks = pair[1] if job.labels == Y_RET else pair[0]
        other = pair[1] if job.labels == "agreed" else None
        return _Found(masks=masks, other=other, home=folder, data=_data_of(folder))
    if job.labels != Y_CRF:
        raise ConfigError(f"labels={job.labels} is for folders made by label only; {folder} is not one")
    if (folder / PREDICTED).is_dir():
        return _Found(masks=folder / PREDICTED, home=folder, predicted=True)
    if any(folder.rglob("*.png")):
        return _Found(masks=folder, home=folder)
    raise DataError(f"{folder} holds no labels: expected y_crf/, labels/ or masks ID.png")


def _data_of(folder: Path) -> Data | None:
    file = folder / CONFIG
    if not file.is_file():
        return None
    job = build_job("label", flatten(load_mapping(file)))
    assert isinstance(job, LabelJob)
    return job.data


def _merge(given: Data | None, known: Data | None) -> Data | None:
    """The data set recorded with the labels, with the options given now in place of its own."""
    if given is None or known is None:
        return given or known
    usual = vars(Data)  # a dataclass keeps its defaults as class attributes
    return replace(known, **{name: value for name, value in vars(given).items() if value != usual.get(name)})


def read_agreed(path: Path, other: Path, classes: int) -> NDArray[np.uint8]:
    """Labels (H, W) uint8 of a mask, 255 where another differs.

    Raises:
        DataError: One cannot be read, or they are of different sizes.
    """
    labels, others = read_mask(path, classes), read_mask(other, classes)
    if labels.shape != others.shape:
        raise DataError(f"{path} and {other} are of different sizes")
    return np.where(labels == others, labels, np.uint8(IGNORE))


def _from_photos(job: ConvertJob, found: _Found) -> BoxDataset:
    names = job.classes or _class_names(found.home)
    if not names:
        raise ConfigError(
            f"the classes of {job.source} are not known: give classes=[NAME,…] for 1..L, or data=DIR, the data "
            "set of the labels"
        )
    masks = sorted(found.masks.rglob("*.png"))
    ids = [path.relative_to(found.masks).with_suffix("").as_posix() for path in masks]
    photos = _photos_in(job.images, ids) if job.images else _recorded_photos(found.home)
    if not photos and job.images is None:
        raise ConfigError(
            f"the photos of {job.source} are not known: give images=DIR, or data=DIR, their data set"
        )
    lost = [name for name in ids if name not in photos]
    if lost:
        raise DataError(
            f"{len(lost)} of {len(ids)} labels in {found.masks} have no photo, the first {lost[0]}.png"
        )
    samples = tuple(photo_sample(name, photos[name]) for name in ids)
    root = job.images or found.home
    return BoxDataset(root=root, format="photos", split="train", classes=names, samples=samples)


def _photos_in(folder: Path, ids: list[str]) -> dict[str, Path]:
    """Photos by label ID: found by path below the folder, else by file name if that is unique."""
    if not folder.is_dir():
        raise DataError(f"images={folder}: no such folder")
    paths: dict[str, Path] = {}
    names: dict[str, list[Path]] = {}
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        paths.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
        names.setdefault(file.stem, []).append(file)
    found = {}
    for name in ids:
        alike = names.get(Path(name).name, [])
        if name in paths or len(alike) == 1:
            found[name] = paths.get(name) or alike[0]
        elif alike:
            raise DataError(
                f"images={folder}: {name} may be any of {len(alike)} photos ({alike[0]}, {alike[1]}): "
                "put the labels into the same subfolders as the photos"
            )
    return found


def _recorded_photos(home: Path) -> dict[str, Path]:
    content = _read_json(home / PHOTOS)
    known = content if isinstance(content, Mapping) else {}
    return {str(name): Path(str(path)) for name, path in known.items()}


def _class_names(home: Path) -> tuple[str, ...]:
    """Names of classes 1..L from labelmap.json; empty without it."""
    content = _read_json(home / LABEL_MAP)
    named = {
        entry["value"]: str(entry["name"])
        for entry in (content if isinstance(content, list) else [])
        if isinstance(entry, Mapping) and isinstance(entry.get("value"), int) and "name" in entry
    }
    return tuple(named[value] for value in sorted(named) if value > 0)


def _read_json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error})") from error


def label_sources(folder: Path) -> dict[str, Path]:
    """Folders of masks in a label folder: y_crf and y_ret, or the folder itself.

    Raises:
        DataError: There are no masks.
    """
    pair = {name: folder / name for name in LABELS}
    if all(path.is_dir() for path in pair.values()):
        return pair
    if folder.is_dir() and next(folder.rglob("*.png"), None):
        return {"labels": folder}
    raise DataError(
        f"no labels in {folder}: expected y_crf/ and y_ret/ made by `boxseg label`, or masks ID.png"
    )

"""Labels in a folder, with their photos, classes and boxes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import REDRAW, BoxDataset
from boxseg.errors import ConfigError, DataError
from boxseg.formats.corrections import read_corrections
from boxseg.formats.files import is_file, listed
from boxseg.formats.images import SUFFIXES
from boxseg.formats.masks import MaskFolder
from boxseg.formats.object_outlines import object_regions
from boxseg.formats.photo_files import photo_sample
from boxseg.formats.samples import chosen, held
from boxseg.jobs import ConvertJob, LabelJob
from boxseg.options import build_job, flatten, load_mapping
from boxseg.remote.hooks import list_once
from boxseg.runs.label_records import class_names, recorded_photos
from boxseg.runs.layout import (
    AGREED,
    CONFIG,
    CORRECTIONS,
    FINAL,
    PAIR,
    PIECES,
    RELIABLE,
    Y_CRF,
    Y_RET,
    stage_folder,
)
from boxseg.shards.find import home_of
from boxseg.shards.home import Home
from boxseg.wording import counted, counted_of


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """Labels to write.

    Attributes:
        dataset: Photos with the labels as their ground truth.
        masks: The labels; None for the outlines of a data set.
        objects: What one object is: `boxes` if they are known and no network predicted the labels, `masks` if
            there is one for every box, or `outlines` in the annotations.
        missing: Photos of the data that have no label.
        home: Folder made by `label` or `predict`, with its other results.
        corrected: Whether `label` made them with corrections of masks.
    """

    dataset: BoxDataset
    masks: MaskFolder | None
    objects: Literal["masks", "outlines", "boxes", "regions"]
    missing: int
    home: Path
    corrected: bool = False

    @property
    def results(self) -> Home:
        """The other results in that folder."""
        return home_of(self.home)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A folder of masks ID.png.

    Attributes:
        home: Where labelmap.json and the like are.
        data: Data set that `label` made them for.
        predicted: Whether a segmentation network made them, which uses no boxes.
    """

    masks: MaskFolder
    home: Path
    data: Data | None = None
    predicted: bool = False


def read_source(job: ConvertJob) -> LabelSource:
    """Labels with their photos.

    Raises:
        DataError: There are no labels, or their photos or classes are not known.
        ConfigError: An option does not fit the labels.
    """
    if job.which == "ground-truth":
        return _ground_truth(job)
    found = _find(job)
    data = _merge(job.data, found.data)
    if data is None:
        dataset = _from_photos(job, found)
    else:
        dataset = formats.load(data)
        names = job.classes or class_names(found.home)
        if names and names != dataset.classes:
            raise ConfigError(
                f"the labels in {job.source} have other classes than {data.root}: "
                f"{', '.join(names)}, not {', '.join(dataset.classes)}"
            )
    labelled = with_labels(dataset, found.masks)
    boxed = data is not None and not found.predicted
    own = found.masks.path.name == FINAL and home_of(found.home).has_kind(PIECES)
    return LabelSource(
        dataset=labelled,
        masks=found.masks,
        objects="masks" if boxed and own else "boxes" if boxed else "regions",
        missing=len(dataset) - len(labelled),
        home=found.home,
        corrected=found.data is not None and (found.home / CORRECTIONS).is_file(),
    )


def to_be_redrawn(source: LabelSource) -> LabelSource:
    """Only the photos that corrections of the labels call wrong, or of which they want a mask redrawn.

    Raises:
        ConfigError: The labels were made without corrections, or there is no such photo.
        DataError: The file of the corrections is damaged.
    """
    file = source.home / CORRECTIONS
    if not source.corrected:
        raise ConfigError(
            f"redraw=true: the labels in {source.home} were made without corrections: give them to `boxseg "
            "label corrections=FILE` first"
        )
    corrections = read_corrections(file)
    redrawn = {name for name, photo in corrections.photos.items() if any(b.do == REDRAW for b in photo.boxes)}
    wanted = corrections.wrong | redrawn
    every = source.dataset.samples
    samples = chosen(every, (sample.id in wanted for sample in every))
    if not samples:
        raise ConfigError(f"redraw=true: {file} calls no photo wrong, and wants no mask redrawn")
    return replace(source, dataset=replace(source.dataset, samples=samples))


def _ground_truth(job: ConvertJob) -> LabelSource:
    """The outlines of single objects in a data set."""
    dataset = formats.load(job.data or Data(root=job.source))
    outlined = (s.ground_truth is not None and object_regions(s) is not None for s in dataset.samples)
    samples = chosen(dataset.samples, outlined)
    if not samples:
        raise DataError(
            f"which=ground-truth: no image of split {dataset.split} in {dataset.root} has an outline for each "
            "of its boxes"
        )
    return LabelSource(
        dataset=replace(dataset, samples=samples),
        masks=None,
        objects="outlines",
        missing=len(dataset) - len(samples),
        home=job.source,
    )


def check_classes(folder: Path, dataset: BoxDataset) -> None:
    """Refuse labels whose labelmap.json names other classes than the data set, or the same in another order.

    Raises:
        DataError: They do.
    """
    names = class_names(_home(folder))
    if names and names != dataset.classes:
        raise DataError(
            f"the labels in {folder} have other classes than {dataset.root}: {', '.join(names)}, not "
            f"{', '.join(dataset.classes)}: give the data they were made for, or label anew"
        )


def wrong_photos(folder: Path) -> frozenset[str]:
    """Ids of the photos that the corrections of the labels in a folder call wrong.

    Raises:
        DataError: The file of the corrections is damaged.
    """
    file = _home(folder) / CORRECTIONS
    return read_corrections(file).wrong if file.is_file() else frozenset()


def _home(folder: Path) -> Path:
    """The folder with the rest of what belongs to labels."""
    return folder.parent if folder.name in (FINAL, *PAIR) else folder


def with_labels(dataset: BoxDataset, masks: MaskFolder) -> BoxDataset:
    """A data set with these labels as its ground truth; photos without labels are left out.

    Raises:
        DataError: No photo has a label.
    """
    classes = len(dataset.classes)
    samples = held(
        replace(sample, ground_truth=partial(masks.read, sample.id, classes))
        for sample in dataset.samples
        if masks.has(sample.id)
    )
    if not samples:
        raise DataError(
            f"{masks.path} has no label for any of {counted(len(dataset), 'photo')} of {dataset.root}"
        )
    return replace(dataset, samples=samples)


def _find(job: ConvertJob) -> _Found:
    folder = job.source
    list_once(folder)
    if not mask_folder(folder).exists:
        raise DataError(
            f"{folder}: no such folder; expected one made by label, run or predict, or a folder of masks ID.png"
        )
    if home_of(stage_folder(folder, "label")).has_kind(FINAL):
        folder = stage_folder(folder, "label")
    if folder.name in (FINAL, *PAIR) and is_file(folder.parent / CONFIG):
        return _Found(masks=mask_folder(folder), home=folder.parent, data=_data_of(folder.parent))
    if home_of(folder).has_kind(FINAL) and is_file(folder / CONFIG):
        return _Found(masks=_chosen(home_of(folder), job.which), home=folder, data=_data_of(folder))
    if job.which != FINAL:
        raise ConfigError(f"which={job.which} is for folders made by label only; {folder} is not one")
    if (folder / FINAL).is_dir():
        return _Found(masks=MaskFolder(folder / FINAL), home=folder, predicted=True)
    if home_of(folder).gathers and any(listed(folder, "**/*.png")):
        return _Found(masks=MaskFolder(folder), home=folder)
    raise DataError(f"{folder} holds no labels: expected labels/ or masks ID.png")


def _chosen(home: Home, which: str) -> MaskFolder:
    """The labels of a folder made by `label` that an option names."""
    if which == AGREED:
        return MaskFolder.of(home, FINAL, RELIABLE)
    if not home.has_kind(which):
        raise ConfigError(
            f"which={which}: {home.folder} has no {which}/; only label.method=bap and gap write {Y_CRF}/ and "
            f"{Y_RET}/"
        )
    return MaskFolder.of(home, which)


def mask_folder(path: Path) -> MaskFolder:
    """Masks in a folder ID.png; or in shards, named as if it were one: OUT/labels."""
    home = home_of(path.parent)
    in_shards = not home.gathers and home.has_kind(path.name)
    return MaskFolder.of(home, path.name) if in_shards else MaskFolder(path)


def _data_of(folder: Path) -> Data | None:
    return label_job(folder).data if (folder / CONFIG).is_file() else None


def label_job(folder: Path) -> LabelJob:
    """The options by which `label` made a folder.

    Raises:
        ConfigError: Its config.yaml is not one of `label`.
    """
    job = build_job("label", flatten(load_mapping(folder / CONFIG)))
    assert isinstance(job, LabelJob)
    return job


def _merge(given: Data | None, known: Data | None) -> Data | None:
    """The data set recorded with the labels, with the options given now in place of its own."""
    if given is None or known is None:
        return given or known
    usual = vars(Data)  # a dataclass keeps its defaults as class attributes
    return replace(known, **{name: value for name, value in vars(given).items() if value != usual.get(name)})


def _from_photos(job: ConvertJob, found: _Found) -> BoxDataset:
    names = job.classes or class_names(found.home)
    if not names:
        raise ConfigError(
            f"the classes of {job.source} are not known: give classes=[NAME,…] for 1..L, or data=DIR, the data "
            "set of the labels"
        )
    masks = sorted(listed(found.masks.path, "**/*.png"))
    ids = [path.relative_to(found.masks.path).with_suffix("").as_posix() for path in masks]
    photos = _photos_in(job.images, ids) if job.images else recorded_photos(found.home)
    if not photos and job.images is None:
        raise ConfigError(
            f"the photos of {job.source} are not known: give images=DIR, or data=DIR, their data set"
        )
    lost = [name for name in ids if name not in photos]
    if lost:
        raise DataError(
            f"no photo for {counted_of(len(lost), len(ids), 'label')} in {found.masks.path}, the first of "
            f"which is {lost[0]}.png"
        )
    # The photos are not decoded here.
    samples = tuple(photo_sample(name, photos[name], max_pixels=sys.maxsize) for name in ids)
    root = job.images or found.home
    return BoxDataset(root=root, format="photos", split="train", classes=names, samples=samples)


def _photos_in(folder: Path, ids: list[str]) -> dict[str, Path]:
    """Photos by label ID: found by path below the folder, else by file name if that is unique."""
    if not folder.is_dir():
        raise DataError(f"images={folder}: no such folder")
    paths: dict[str, Path] = {}
    names: dict[str, list[Path]] = {}
    for file in sorted(path for path in listed(folder, "**/*") if path.suffix.lower() in SUFFIXES):
        paths.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
        names.setdefault(file.stem, []).append(file)
    found = {}
    for name in ids:
        alike = names.get(Path(name).name, [])
        if name in paths or len(alike) == 1:
            found[name] = paths.get(name) or alike[0]
        elif alike:
            raise DataError(
                f"images={folder}: {name} may be any of {counted(len(alike), 'photo')} "
                f"({alike[0]}, {alike[1]}): "
                "put the labels into the same subfolders as the photos"
            )
    return found


def label_sources(folder: Path) -> dict[str, MaskFolder]:
    """Masks in a label folder, by name.

    Y_crf and Y_ret where a classifier made them; else the labels, and the same labels without what is not
    reliable; else the folder itself.

    Raises:
        DataError: There are no masks.
    """
    list_once(folder)
    home = home_of(folder)
    if all(map(home.has_kind, PAIR)):
        return {name: MaskFolder.of(home, name) for name in PAIR}
    if home.has_kind(FINAL):
        agreed = {AGREED: MaskFolder.of(home, FINAL, RELIABLE)} if home.has_kind(RELIABLE) else {}
        return {FINAL: MaskFolder.of(home, FINAL), **agreed}
    own = mask_folder(folder)
    if own.home is not None or (home.gathers and folder.is_dir() and next(listed(folder, "**/*.png"), None)):
        return {FINAL: own}
    raise DataError(f"no labels in {folder}: expected labels/ made by `boxseg label`, or masks ID.png")

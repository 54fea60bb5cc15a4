"""Set up VOC 2012 or COCO 2017: fetch, check and unpack the archives to where `data=` finds them."""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from boxseg.atomic import write_text
from boxseg.downloads.archives import ARCHIVES, Archive
from boxseg.downloads.fetch import MEGABYTE, free_space, full_disk, part_of
from boxseg.downloads.install import DOWNLOADS, install
from boxseg.errors import ConfigError, DownloadError, did_you_mean
from boxseg.formats.voc import split_ids
from boxseg.jobs import DownloadJob
from boxseg.results import Result
from boxseg.tables import Table
from boxseg.wording import counted

log = logging.getLogger("boxseg")

# VOC's photos that have a mask and are not in val: a list made here, not fetched.
TRAIN_AUG_LIST = "train_aug"
_TRAIN_AUG_FILE = f"ImageSets/Segmentation/{TRAIN_AUG_LIST}.txt"
_TRAIN_AUG_PHOTOS = 10_582


@dataclass(frozen=True, kw_only=True)
class DownloadStep:
    """One step and what became of it.

    Attributes:
        holds: What it fetches, in a few words.
        size: Bytes to fetch; None if unknown.
        checksum: Kind of the published checksum; None for a step that fetches nothing.
        state: `there already`, `done`, `to do`, or why it was left out.
    """

    name: str
    holds: str
    size: int | None
    checksum: str | None
    state: str


@dataclass(frozen=True, kw_only=True)
class DownloadResult(Result):
    """A data set as `download` leaves it.

    Attributes:
        dataset: Its name.
        root: Its folder, for `data=`.
        steps: What was done.
        dry_run: Whether nothing was done.
    """

    dataset: str
    root: Path
    steps: tuple[DownloadStep, ...]
    dry_run: bool

    def tables(self) -> list[Table]:
        """The steps."""
        sizes = [None if step.size is None else -(-step.size // MEGABYTE) for step in self.steps]
        rows = tuple(
            (s.name, s.holds, size, s.checksum, s.state) for s, size in zip(self.steps, sizes, strict=True)
        )
        title = f"{self.dataset}: {self.root}"
        return [Table(title=title, columns=("step", "brings", "MB", "checksum", "state"), rows=rows)]

    def notes(self) -> list[str]:
        """Where the data is, and what to do next; empty if there is none."""
        if self.dry_run:
            return ["Nothing was done: dry_run."]
        if not self.root.is_dir():
            return []
        where = shlex.quote(f"data={self.root}")
        aug = " data.split=train_aug" if (self.root / _TRAIN_AUG_FILE).is_file() else ""
        return [
            f"Data: {where}{aug}",
            f"Next: boxseg doctor {where}{aug}",
            f"      boxseg run -c voc_efficientnet_lite0 {where}{aug} out=runs/{self.dataset}",
        ]


def run(job: DownloadJob) -> DownloadResult:
    """Do the steps whose results are not there yet."""
    if job.out.exists() and not job.out.is_dir():
        raise ConfigError(f"out={job.out} is a file; give a folder")
    words = job.only.split(",") if isinstance(job.only, str) else job.only or []
    only = [word.strip() for word in words]
    archives = _chosen(job, only)
    root = _root(job)
    _check_train_aug(root, only)
    _check_space([archive for archive in archives if archive.url and not archive.is_done(root)], job)
    try:
        steps = [_archive_step(archive, root, job) for archive in archives]
        if job.dataset == "voc" and TRAIN_AUG_LIST in (only or [TRAIN_AUG_LIST]):
            steps.append(_train_aug_step(root, job.dry_run))
    except OSError as error:
        raise full_disk(error, job.out) from error
    return DownloadResult(dataset=job.dataset, root=root, steps=tuple(steps), dry_run=job.dry_run)


def _chosen(job: DownloadJob, only: list[str]) -> list[Archive]:
    """Archives of the chosen steps (all by default), each with its path or address."""
    archives = ARCHIVES[job.dataset]
    names = [archive.name for archive in archives] + ([TRAIN_AUG_LIST] if job.dataset == "voc" else [])
    for name in only:
        if name not in names:
            hint = f"{did_you_mean(name, names)} (one of {', '.join(names)})"
            raise ConfigError(f"only={name}: no such step{hint}")
    if job.test_archive and "test" not in names:
        raise ConfigError(f"test_archive is for voc; {job.dataset} has the steps {', '.join(names)}")
    placed = [replace(a, url=_place(a, job)) for a in archives if a.name in (only or names)]
    lacking = [archive.name for archive in placed if not archive.url]
    if lacking and only:
        raise ConfigError(f"step {lacking[0]!r} needs test_archive=FILE: only users of the test server have it")
    return placed


def _place(archive: Archive, job: DownloadJob) -> str:
    if not archive.url:
        return job.test_archive or ""
    return archive.url if job.mirror is None else f"{job.mirror.rstrip('/')}/{archive.file}"


def _root(job: DownloadJob) -> Path:
    """Folder of the data set: for VOC an existing devkit, or where the archive will unpack."""
    if job.dataset == "coco":
        return job.out
    places = (job.out, job.out / "VOC2012", job.out / "VOCdevkit" / "VOC2012")
    return next((path for path in places if (path / "JPEGImages").is_dir()), places[-1])


def _check_space(todo: list[Archive], job: DownloadJob) -> None:
    """Raise if the disk is too small. Archives are removed one by one unless kept: the peak counts."""
    held = peak = 0
    for archive in todo:
        path = job.out / DOWNLOADS / archive.file
        present = sum(file.stat().st_size for file in (path, part_of(path)) if file.is_file())
        local = Path(archive.url).is_file()
        size = 0 if local else max((archive.size or archive.unpacked) - present, 0)
        peak = max(peak, held + size + archive.unpacked)
        held += archive.unpacked + (size if job.keep_archives else 0)
    free = free_space(job.out)
    if peak > free and not job.dry_run:
        raise DownloadError(
            f"{job.out}: about {-(-peak // MEGABYTE)} MB are needed, {free // MEGABYTE} MB are free; "
            "make room, or choose steps by only= (dry_run=true lists them)"
        )


def _archive_step(archive: Archive, root: Path, job: DownloadJob) -> DownloadStep:
    state = "there already" if archive.is_done(root) else "to do" if archive.url else "needs test_archive="
    if not job.dry_run:
        log.info(f"{archive.name}: {state}")
        if state == "to do":
            install(archive, root, job.out / DOWNLOADS, keep=job.keep_archives)
            state = "done"
    kind = archive.checksum.partition(":")[0] if archive.checksum else "none published"
    return DownloadStep(name=archive.name, holds=archive.holds, size=archive.size, checksum=kind, state=state)


def _check_train_aug(root: Path, only: list[str]) -> None:
    """Raise if train_aug is requested, but not the missing steps that it needs."""
    if TRAIN_AUG_LIST not in only or (root / _TRAIN_AUG_FILE).is_file():
        return
    missing = [name for name in _lacking_for_train_aug(root) if name not in only]
    if missing:
        raise ConfigError(
            f"step {TRAIN_AUG_LIST!r} needs {' and '.join(missing)}, which {root} does not have; "
            f"also fetch what is missing: only={','.join([*missing, *only])}"
        )


def _lacking_for_train_aug(root: Path) -> list[str]:
    val = (root / _TRAIN_AUG_FILE).with_name("val.txt")
    brought = {
        "trainval": val.is_file() and (root / "JPEGImages").is_dir(),
        "augmented": (root / "SegmentationClassAug").is_dir(),
    }
    return [name for name, there in brought.items() if not there]


def _train_aug_step(root: Path, dry_run: bool) -> DownloadStep:
    """Write VOC's list train_aug: every photo with a mask that is not in the list val."""
    file = root / _TRAIN_AUG_FILE
    step = DownloadStep(name=TRAIN_AUG_LIST, holds="list of photos", size=None, checksum=None, state="to do")
    if file.is_file():
        return replace(step, state="there already")
    if dry_run:
        return step
    if lacking := _lacking_for_train_aug(root):
        return replace(step, state=f"needs {' and '.join(lacking)}")
    photos = {path.stem for path in (root / "JPEGImages").iterdir()}
    masked = {path.stem for path in (root / "SegmentationClassAug").glob("*.png")}
    names = sorted((photos & masked) - set(split_ids(root, "val")))
    write_text(file, "".join(f"{name}\n" for name in names))
    usual = "" if len(names) == _TRAIN_AUG_PHOTOS else f", usually {_TRAIN_AUG_PHOTOS}"
    return replace(step, state=f"done: {counted(len(names), 'photo')}{usual}")

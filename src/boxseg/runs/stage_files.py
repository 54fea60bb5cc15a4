"""The files of each stage: when it is done, what is missing, and what overwrite=true removes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from boxseg.atomic import remove_temporaries
from boxseg.config import LabelFormat
from boxseg.dataset import Sample
from boxseg.errors import ConfigError
from boxseg.formats.sample_counts import truth_flags
from boxseg.formats.samples import chosen
from boxseg.formats.voc_server import TREE, results_folder
from boxseg.options import load_mapping
from boxseg.runs import layout
from boxseg.shards.home import RUN, SHARDS, TABLES, Home, has_content

_TRAINING = (
    layout.MODEL,
    layout.LAST,
    layout.BEFORE_LAST,
    layout.HISTORY,
    layout.WEIGHTS,
    layout.LOGGED_AS,
    layout.PROVENANCE,
    f"{layout.TENSORBOARD}/events.out.tfevents.*",
    f"{layout.TENSORBOARD}/hparams.yaml",
)
_SCORES = (layout.METRICS, layout.CONFUSION)

# What verbs write beside config.yaml and versions.json. Only such files are ever removed: the user's own stay,
# and so does what W&B and MLflow keep of earlier trainings.
WRITTEN: dict[str, tuple[str, ...]] = {
    "adapt": (*_TRAINING, layout.METRICS),
    "classify": _TRAINING,
    "label": (
        *_SCORES,
        *(f"{name}/**/*.png" for name in (layout.FINAL, *layout.PAIR, layout.CONFIDENCE, layout.RELIABLE)),
        f"{layout.INSTANCES}/**/*.json",
        f"{layout.PIECES}/**/*.json",
        f"{SHARDS}/*.tar",
        f"{TABLES}/*.parquet",
        f"{SHARDS}/{RUN}",
        layout.MASKS,
        layout.MASK_COUNTS,
        *(layout.INSTANCE_RESULTS.format(source=source) for source in layout.PAIR),
        layout.LABEL_MAP,
        layout.CORRECTIONS,
        layout.PROVENANCE,
    ),
    "segment": (*_TRAINING, *_SCORES, f"{layout.PREDICTIONS}/**/*.png"),
    "evaluate": (f"{layout.EVALUATION.format(split='*')}/{layout.METRICS}",),
    "predict": (f"{TREE}/*_cls/*.png", layout.ARCHIVE.format(name="*"), layout.PROVENANCE),
    "run": (layout.METRICS, layout.SHEET),
    "report": (
        layout.REPORT,
        *(f"{layout.report_originals(Path(layout.REPORT))}/{name}" for name in ("[0-9]*-*.*", "page-*.html")),
    ),
}

# The results among them: another job may not continue in a folder that has any.
RESULTS = (
    layout.MODEL,
    layout.LAST,
    layout.BEFORE_LAST,
    layout.METRICS,
    f"{layout.FINAL}/**/*.png",
    f"{SHARDS}/*.tar",
    f"{TREE}/*_cls/*.png",
)


@dataclass(frozen=True, kw_only=True)
class StageFiles:
    """The files of a stage.

    Attributes:
        whole: Files about all photos together. They are written last: if any are listed, they decide `done`.
        samples: Photos with files of their own, so that a stage can resume.
        of: The files of a photo.
        has: Whether the results of a photo are there; by default, whether it has files and none is empty.
    """

    whole: tuple[Path, ...] = ()
    samples: Sequence[Sample] = ()
    of: Callable[[Sample], Iterable[Path]] = lambda _: ()
    has: Callable[[Sample], bool] | None = None

    @property
    def done(self) -> bool:
        """Whether the stage is done. A photo that could not be read has no files, so `whole` decides."""
        return all(file.is_file() for file in self.whole) if self.whole else not self.missing()

    def missing(self) -> Sequence[Sample]:
        """The photos that lack a file, or have an empty one."""
        return chosen(self.samples, map(self.lacks, self.samples))

    def lacks(self, sample: Sample) -> bool:
        """Whether a photo lacks a file, or has an empty one."""
        return not (self.has(sample) if self.has else all(map(has_content, self.of(sample))))


def training_files(folder: Path) -> StageFiles:
    """A training, of `classify` or `segment`."""
    return StageFiles(whole=(folder / layout.MODEL,))


def score_files(folder: Path) -> StageFiles:
    """Scores of a network, made by `segment` or `evaluate`."""
    return StageFiles(whole=(folder / layout.METRICS,))


def label_files(home: Home, samples: Sequence[Sample], *, pair: bool, instances: bool = False) -> StageFiles:
    """Labels, maps and masks of boxes; scores if there is ground truth.

    `pair` and `instances` are those of `label_kinds`.
    """
    kinds = layout.label_kinds(pair=pair, instances=instances)
    scored = truth_flags(samples).any()
    last = layout.MASKS if home.gathers else layout.MASK_COUNTS
    whole = (home.folder / last, *((home.folder / layout.METRICS,) if scored else ()))
    return StageFiles(
        whole=whole,
        samples=samples,
        of=lambda sample: home.own_files(sample.id, kinds),
        has=lambda sample: home.has(sample.id, kinds),
    )


def submission_files(out: Path, competition: str, split: str, samples: Sequence[Sample]) -> StageFiles:
    """Predictions for VOC's server, and their archive."""
    folder = results_folder(out, competition, split)
    archive = out / layout.ARCHIVE.format(name=folder.name)
    return StageFiles(whole=(archive,), samples=samples, of=lambda sample: [folder / f"{sample.id}.png"])


def background_mask_files(out: Path, samples: Sequence[Sample]) -> StageFiles:
    """Background masks, made from the boxes alone."""
    folder = out / layout.BACKGROUND_MASKS
    return StageFiles(samples=samples, of=lambda sample: [folder / f"{sample.id}.png"])


def has_results(folder: Path) -> bool:
    """Whether a folder, or that of a stage in it, holds results of a job."""
    homes = [folder, *(layout.stage_folder(folder, stage) for stage in layout.STAGES)]
    return any(next(home.glob(pattern), None) for home in homes for pattern in RESULTS)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed commands left half written in a folder of a stage."""
    patterns = [pattern for patterns in WRITTEN.values() for pattern in patterns if "/" in pattern]
    inside = {
        layout.OVERLAYS,
        layout.GEOTIFFS,
        layout.FRAMES,
        layout.BACKGROUND_MASKS,
        *(pattern.partition("/")[0] for pattern in patterns),
    }
    found = [*folder.glob(".*"), *(file for name in sorted(inside) for file in folder.glob(f"{name}/**/.*"))]
    remove_temporaries(found)


def _label_formats(folder: Path) -> list[str]:
    """The formats in which `label` wrote data sets to a folder; others there were made by `convert`."""
    options = None
    with suppress(ConfigError):  # without options, or with damaged ones, nothing says that `label` made them
        options = load_mapping(folder / layout.CONFIG).get("label")
    found = options.get("formats") if isinstance(options, dict) else None
    return list(map(str, found)) if isinstance(found, list) else []


def clear_folder(folder: Path) -> None:
    """Remove what stages wrote to a folder, and nothing else."""
    for pattern in {pattern for patterns in WRITTEN.values() for pattern in patterns}:
        for file in list(folder.glob(pattern)):
            if not file.is_dir():
                file.unlink()
    for name in _label_formats(folder):
        if name in get_args(LabelFormat) and (folder / name / layout.RECORD).is_file():
            shutil.rmtree(folder / name)

"""Write labels as a data set for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from boxseg.errors import ConfigError
from boxseg.formats.writers import OVERLAPPING, Writing
from boxseg.jobs import ConvertJob
from boxseg.results import Result
from boxseg.runs.dataset_folder import WrittenDataset, write_dataset
from boxseg.runs.dataset_maps import check_maps
from boxseg.runs.label_source import LabelSource, read_source, to_be_redrawn
from boxseg.runs.layout import masks_of_boxes
from boxseg.spreading.place import Needs, place_of


@dataclass(frozen=True, kw_only=True)
class ConvertResult(WrittenDataset, Result):
    """Labels in another format.

    Attributes:
        folder: Holds the data set.
        format: Its format.
        split: Name of the split written.
        objects: What an object is: `masks`, `outlines`, `boxes` or `regions`.
        written: Counts of photos and objects.
        missing: Photos of the data that have no label.
        outside: One line about copied photos that are not in the folder of the data set, if there are any.
        maps: One line about the confidence maps and reliable regions, if requested.
        there: Whether it was there already, made from the same labels with the same options.
    """

    def notes(self) -> list[str]:
        """What was written, where, and what was left out."""
        return self.lines()


def run(job: ConvertJob) -> ConvertResult:
    """Write the labels of a folder as a data set."""
    place = place_of(job.cluster)
    source = read_source(job)
    if job.redraw:
        source = to_be_redrawn(source)
    if job.maps:
        check_maps(source.home)
    writing = Writing(
        objects=_objects(job, source),
        masks=partial(masks_of_boxes, source.results),
        corrected=source.corrected,
        segmentation=job.segmentation,
        photos=job.photos,
        tighten=job.tighten,
        min_area=job.min_area,
        simplify=job.simplify,
        prefix=job.prefix,
        predictions=job.predictions,
        spread=None if place.here else partial(place.share, needs=Needs(writes=job.out, truth=True)),
    )
    done = write_dataset(
        source, job.out, job.format, writing, split=job.split, overwrite=job.overwrite, maps=job.maps
    )
    return ConvertResult(**vars(done))


def _objects(job: ConvertJob, source: LabelSource) -> Literal["masks", "outlines", "boxes", "regions"]:
    """What an object is; formats that give each pixel to one object take it from the labels."""
    if job.objects == "masks" and source.objects != "masks":
        raise ConfigError(f"objects=masks: {job.source} has no masks of boxes, as `boxseg label` writes them")
    if job.objects != "auto":
        return job.objects
    # The bounds of an object are those of its own mask, whatever lies in front of it.
    exclusive = job.format not in OVERLAPPING and not job.tighten
    return "boxes" if source.objects in ("masks", "outlines") and exclusive else source.objects

"""Write labels as a data set for other programs."""

from __future__ import annotations

from dataclasses import dataclass

from boxseg.formats.writers import Writing
from boxseg.jobs import ConvertJob
from boxseg.results import Result
from boxseg.runs.dataset_folder import WrittenDataset, default_split, write_dataset
from boxseg.runs.dataset_maps import copy_maps, find_maps
from boxseg.runs.label_source import read_source


@dataclass(frozen=True, kw_only=True)
class ConvertResult(WrittenDataset, Result):
    """Labels in another format.

    Attributes:
        folder: Holds the data set.
        format: Its format.
        split: What was written.
        objects: What an object is: `boxes` or `regions`.
        written: How much was written.
        missing: Photos of the data that have no label.
        maps: A line on the maps of how sure they are, where these were asked for.
    """

    maps: str = ""

    def notes(self) -> list[str]:
        """What was written, where, and what was left out."""
        lines = self.lines()
        return [*lines, self.maps] if self.maps else lines


def run(job: ConvertJob) -> ConvertResult:
    """Write the labels of a folder as a data set.

    Raises:
        DataError: There are no labels, or their photos or classes are not known.
        ConfigError: The output folder holds something else, or the split already; or nothing is known of how
            sure the labels are.
    """
    source = read_source(job)
    known = find_maps(source.home) if job.maps else None
    objects = source.objects if job.objects == "auto" else job.objects
    writing = Writing(objects=objects, segmentation=job.segmentation, photos=job.photos, min_area=job.min_area)
    written = write_dataset(
        source.dataset, job.out, job.format, writing, split=job.split, overwrite=job.overwrite
    )
    samples, classes = source.dataset.samples, len(source.dataset.classes)
    return ConvertResult(
        folder=job.out,
        format=job.format,
        split=job.split or default_split(job.format, source.dataset.split),
        objects=objects,
        written=written,
        missing=source.missing,
        maps=copy_maps(known, job.out, samples, classes) if known else "",
    )

"""Write labels as a data set for other programs."""

from __future__ import annotations

from dataclasses import dataclass

from boxseg.formats.writers import Writing
from boxseg.jobs import ConvertJob
from boxseg.results import Result
from boxseg.runs.dataset_folder import WrittenDataset, write_dataset
from boxseg.runs.dataset_maps import check_maps, copy_maps
from boxseg.runs.label_source import read_source


@dataclass(frozen=True, kw_only=True)
class ConvertResult(WrittenDataset, Result):
    """Labels in another format.

    Attributes:
        folder: Holds the data set.
        format: Its format.
        split: Name of the split written.
        objects: What an object is: `boxes` or `regions`.
        written: Counts of photos and objects.
        missing: Photos of the data that have no label.
        maps: One line about the confidence maps and reliable regions, if requested.
    """

    maps: str = ""

    def notes(self) -> list[str]:
        """What was written, where, and what was left out."""
        lines = self.lines()
        return [*lines, self.maps] if self.maps else lines


def run(job: ConvertJob) -> ConvertResult:
    """Write the labels of a folder as a data set."""
    source = read_source(job)
    if job.maps:
        check_maps(source.home)
    objects = source.objects if job.objects == "auto" else job.objects
    writing = Writing(
        objects=objects,
        segmentation=job.segmentation,
        photos=job.photos,
        min_area=job.min_area,
        simplify=job.simplify,
    )
    dataset = source.dataset
    done = write_dataset(
        dataset,
        job.out,
        job.format,
        writing,
        missing=source.missing,
        split=job.split,
        overwrite=job.overwrite,
    )
    maps = copy_maps(source.home, job.out, dataset.samples) if job.maps else ""
    return ConvertResult(**vars(done), maps=maps)

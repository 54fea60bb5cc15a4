"""Masks of boxes as COCO results, from what `label` wrote of each photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from boxseg.dataset import BoxDataset, Sample
from boxseg.documents import read_record
from boxseg.errors import DataError
from boxseg.formats.coco_results import CocoResult
from boxseg.formats.masks_json import mask_results
from boxseg.runs.label_source import label_job
from boxseg.runs.layout import CONFIG, INSTANCES, PAIR, PIECES, masks_of_boxes
from boxseg.shards.home import Home


def pair_results(home: Home, samples: Sequence[Sample], source: str) -> Iterator[CocoResult]:
    """The masks of photos' boxes in Y_crf or in Y_ret, in the order of the photos.

    Raises:
        DataError: What is there of a photo is damaged.
    """
    for sample in samples:
        item = home.item(INSTANCES, sample.id)
        if not item.is_file():  # the photo could not be read
            continue
        what = "masks of boxes: remove it and run the command again"
        content = read_record(dict[str, list[dict[str, Any]]], item, what)
        if source not in content:
            raise DataError(f"{item} has no {source}: remove it and run the command again")
        yield from content[source]


@dataclass(frozen=True, kw_only=True)
class OwnResults:
    """Masks that lie with the photos, where no file has those of all.

    Attributes:
        home: All results of the photos.
        source: `masks`, as masks.json would have them, or Y_crf or Y_ret.
    """

    home: Home
    source: str

    def of(self, dataset: BoxDataset, samples: Sequence[Sample]) -> list[CocoResult]:
        """The masks of some photos of a data set.

        Raises:
            DataError: There are none, or they are damaged.
        """
        kind = PIECES if self.source == PIECES else INSTANCES
        there = [sample for sample in samples if self.home.has(sample.id, [kind])]
        if not there:
            raise DataError(
                f"{self}: none of the masks is of an image of split {dataset.split} in {dataset.root}"
            )
        if kind == INSTANCES:
            return list(pair_results(self.home, there, self.source))
        pieces = partial(masks_of_boxes, self.home)
        return list(mask_results(dataset, there, pieces, label_job(self.home.folder).label.masks))

    def __str__(self) -> str:
        """The folder, and which masks of it."""
        return f"{self.home.folder}, {self.source}"


def own_results(home: Home) -> dict[str, OwnResults]:
    """All masks that a home has, by source; none where files have those of all photos."""
    if home.gathers or not home.has_kind(PIECES) or not (home.folder / CONFIG).is_file():
        return {}
    sources = (PIECES, *(PAIR if home.has_kind(INSTANCES) else ()))
    return {source: OwnResults(home=home, source=source) for source in sources}

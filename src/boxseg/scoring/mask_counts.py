"""How many boxes have a mask that may be wrong, by the rule of `doubtful_masks`, and by size of the box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from boxseg.dataset import LEAVE_OUT, Sample
from boxseg.documents import read_record
from boxseg.errors import DataError
from boxseg.formats.object_counts import LARGE, MEDIUM
from boxseg.runs.layout import masks_of_boxes
from boxseg.scoring.doubtful_masks import FULL, TINY, UNSURE, JudgedMask, judge_masks
from boxseg.shards.home import Home
from boxseg.tables import Table


@dataclass(frozen=True, kw_only=True)
class MaskCounts:
    """Numbers of boxes.

    Attributes:
        boxes: All of the photos that could be read and that are not left out by corrections; each has a mask.
        fallback: Boxes in which the method found nothing: their mask is the ellipse in the box.
        tiny: Boxes whose mask fills less than a tenth of them.
        full: Boxes whose mask fills more than 95 %.
        unsure: Boxes whose mask got a score below 0.7 from the mask network.
        doubtful: Boxes of which any of these holds, or whose mask is to be redrawn: those whose masks are worth
            a look. Masks that somebody chose are none of all these.
    """

    boxes: int = 0
    fallback: int = 0
    tiny: int = 0
    full: int = 0
    unsure: int = 0
    doubtful: int = 0

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


_NAMES = tuple(item.name for item in fields(MaskCounts))


def count_masks(home: Home, samples: Iterable[Sample]) -> dict[str, MaskCounts]:
    """Counts for `all` boxes, and for `small`, `medium` and `large` ones, of what `label` made.

    Raises:
        DataError: A photo's masks are damaged.
    """
    counts = {size: Counter[str]() for size in ("all", "small", "medium", "large")}
    for mask in _masks(home, samples):
        size = "small" if mask.box < MEDIUM else "medium" if mask.box <= LARGE else "large"
        for name in _said(mask):
            counts["all"][name] += 1
            counts[size][name] += 1
    return {size: MaskCounts(**found) for size, found in counts.items()}


def _said(mask: JudgedMask) -> Iterator[str]:
    """What a mask counts as."""
    if mask.corrected != LEAVE_OUT:
        yield "boxes"
    if not mask.settled:
        yield from (name for name in ("fallback", "tiny", "full", "unsure") if getattr(mask, name))
        if mask.reasons:
            yield "doubtful"


def _masks(home: Home, samples: Iterable[Sample]) -> Iterator[JudgedMask]:
    for sample in samples:
        item = masks_of_boxes(home, sample)
        if item.is_file():
            yield from judge_masks(item, sample)


def read_counts(file: Path) -> dict[str, MaskCounts]:
    """What `count_masks` returned, from the file that `label` wrote it to.

    Raises:
        DataError: It holds no such counts.
    """
    what = "counts of masks: run label again to write it"
    stored = read_record(dict[str, dict[str, int]], file, what)
    if any(part.keys() != set(_NAMES) for part in stored.values()):
        raise DataError(f"{file} does not hold {what}")
    return {size: MaskCounts(**part) for size, part in stored.items()}


def count_table(title: str, counts: dict[str, MaskCounts]) -> Table:
    """A row for each size of boxes."""
    marks = ("fallback", f"below {100 * TINY:g} %", f"above {100 * FULL:g} %", f"score below {UNSURE}")
    return Table(
        title=title,
        columns=("boxes", "masks", *marks, "to look at"),
        rows=tuple((size, *asdict(part).values()) for size, part in counts.items()),
    )

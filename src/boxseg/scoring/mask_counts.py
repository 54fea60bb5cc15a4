"""How many boxes have a mask that may be wrong: made by a rule, tiny, or as large as the box; by size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faster_coco_eval.core import mask as coco_mask

from boxseg.dataset import Sample
from boxseg.formats.box_masks import read_box_masks
from boxseg.formats.boxes import box_areas
from boxseg.runs.layout import piece_path
from boxseg.tables import Table

# Shares of its box below and above which a mask is worth a look.
TINY, FULL = 0.1, 0.95
# Areas of boxes, in pixels, from which they are medium and above which they are large: those of COCO's objects.
_MEDIUM, _LARGE = 32**2, 96**2
FALLBACK = "fallback"


@dataclass(frozen=True, kw_only=True)
class MaskCounts:
    """Numbers of boxes.

    Attributes:
        boxes: All of the photos that could be read; each has a mask.
        fallback: Boxes in which the method found nothing: their mask is the ellipse in the box.
        tiny: Boxes whose mask fills less than a tenth of them.
        full: Boxes whose mask fills more than 95 %.
    """

    boxes: int = 0
    fallback: int = 0
    tiny: int = 0
    full: int = 0

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


def count_masks(folder: Path, samples: Sequence[Sample]) -> dict[str, MaskCounts]:
    """Counts for `all` boxes, and for `small`, `medium` and `large` ones, of a folder made by `label`.

    Raises:
        DataError: A photo's masks are damaged.
    """
    found = list(_masks(folder, samples))
    sizes = {
        "all": found,
        "small": [item for item in found if item[0] < _MEDIUM],
        "medium": [item for item in found if _MEDIUM <= item[0] <= _LARGE],
        "large": [item for item in found if item[0] > _LARGE],
    }
    return {
        size: MaskCounts(
            boxes=len(items),
            fallback=sum(source == FALLBACK for _, _, source in items),
            tiny=sum(share < TINY for _, share, _ in items),
            full=sum(share > FULL for _, share, _ in items),
        )
        for size, items in sizes.items()
    }


def _masks(folder: Path, samples: Sequence[Sample]) -> Iterator[tuple[float, float, str]]:
    """Area of each box, share of it that its mask fills, and source of the mask."""
    for sample in samples:
        path = piece_path(folder, sample)
        if path.is_file():
            entries: list[Any] = read_box_masks(path, sample)
            areas = coco_mask.area([entry["segmentation"] for entry in entries]) if entries else []
            for entry, area, box in zip(entries, areas, box_areas(sample.boxes).tolist(), strict=True):
                yield box, float(area) / box, entry["source"]


def count_table(title: str, counts: dict[str, MaskCounts]) -> Table:
    """A row for each size of boxes."""
    return Table(
        title=title,
        columns=("boxes", "number", "fallback", "mask below 10 %", "mask above 95 %"),
        rows=tuple((size, *asdict(part).values()) for size, part in counts.items()),
    )

"""Which masks are worth a look: one rule, for the counts that `label` writes and for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from boxseg.dataset import REDRAW, Correction, Sample
from boxseg.documents import Readable
from boxseg.formats import run_lengths
from boxseg.formats.box_masks import FALLBACK, NETWORK, read_box_masks
from boxseg.formats.boxes import box_areas

# Shares of its box below and above which a mask is worth a look.
TINY, FULL = 0.1, 0.95
# Score of the mask network below which its mask is worth a look: of the steps of 0.05 the one that best finds
# masks of an IoU below ½ (highest F1), on half of our photos of COCO and on half of those of VOC alike. The
# scores of other methods mean something else.
UNSURE = 0.7
RULE = (
    "A mask is worth a look if it is a fallback (the ellipse in the box: the method found nothing), fills "
    f"less than {100 * TINY:g} % of its box (tiny) or more than {100 * FULL:g} % (fills box), or if the "
    f"mask network gave it a score below {UNSURE} (unsure). Of masks that somebody corrected, only those to be "
    "redrawn are."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedMask:
    """The mask of one box, and what speaks against it.

    Attributes:
        box: Area of the box, pixels.
        filled: Share of it that the mask fills.
        score: How sure the mask is, 0..1.
        source: What made it: `network`, `fallback`, or the name of another method.
        corrected: What somebody wanted in place of it, in the report.
    """

    box: float
    filled: float
    score: float
    source: str
    corrected: Correction | None = None

    @property
    def settled(self) -> bool:
        """Whether somebody looked at it, and it is now what they chose, or left out."""
        return self.corrected not in (None, REDRAW)

    @property
    def fallback(self) -> bool:
        """Whether the method found nothing, and the mask is the ellipse in the box."""
        return self.source == FALLBACK

    @property
    def tiny(self) -> bool:
        """Whether it fills less than a tenth of the box."""
        return self.filled < TINY

    @property
    def full(self) -> bool:
        """Whether it fills more than 95 % of the box."""
        return self.filled > FULL

    @property
    def unsure(self) -> bool:
        """Whether the mask network gave it a low score."""
        return self.source == NETWORK and self.score < UNSURE

    @property
    def reasons(self) -> tuple[str, ...]:
        """Which of these speak against it, in a word or two each; none if it need not be looked at."""
        if self.settled:
            return ()
        named = {"fallback": self.fallback, "tiny": self.tiny, "fills box": self.full, "unsure": self.unsure}
        found = tuple(reason for reason, holds in named.items() if holds)
        return ("to be redrawn", *found) if self.corrected == REDRAW else found


def judge_masks(path: Readable, sample: Sample) -> list[JudgedMask]:
    """What speaks against each mask of a photo, in the order of its boxes, as of `box_masks_json`.

    Raises:
        DataError: The file is damaged, or of other boxes.
    """
    masks: list[Any] = read_box_masks(path, sample)
    areas = [run_lengths.area(entry["segmentation"]) for entry in masks]
    return [
        JudgedMask(
            box=box,
            filled=float(area) / box,
            score=float(entry["score"]),
            source=entry["source"],
            corrected=entry.get("corrected"),
        )
        for entry, area, box in zip(masks, areas, box_areas(sample.boxes).tolist(), strict=True)
    ]

"""Masks of single objects, as they are handed to other programs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boxseg.errors import require


@dataclass(frozen=True, kw_only=True)
class Masks:
    """How the mask of each box is written to masks.json.

    Args:
        min_component: Leave out parts of an object that are smaller than this share of its area; the largest
            part always stays. 0 keeps all.
        fill_holes: Fill holes of up to this share of the object's area; 0 for none, `inf` for all.
        simplify: 0 writes run-length codes. Otherwise polygons: corners are left out as long as they stay
            within this many pixels of the outline; holes stay, cut open by a line of no width.
    """

    min_component: float = 0.02
    fill_holes: float = 0.005
    simplify: float = 0.0

    def __post_init__(self) -> None:
        require(
            0 <= self.min_component <= 1,
            f"masks.min_component is a share of the object's area from 0 to 1, got {self.min_component}",
        )
        require(
            self.fill_holes >= 0,
            f"masks.fill_holes is a share of the object's area, 0 or more, got {self.fill_holes}",
        )
        require(
            0 <= self.simplify < math.inf,
            f"masks.simplify must be 0 (run-length codes) or a number of pixels, got {self.simplify}",
        )

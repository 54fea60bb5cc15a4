"""How tight the boxes are: how far the outlines of objects are from the sides of their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import Sample
from boxseg.formats.boxes import clip_boxes
from boxseg.formats.object_outlines import object_regions
from boxseg.formats.regions import region_bounds

SIDES = ("left", "top", "right", "bottom")

# So many photos, evenly drawn, tell how tight the boxes of a set are.
_LOOKED_AT = 2000
# Boxes are loose, or cut objects off, from this share of a side on, and from so many pixels on.
_SHARE = 0.03
_PIXELS = 2.0
# A pixel of rounding is no part of an object outside of its box.
_ROUNDING = 1.0
# Pixels within which boxes are the bounds of the outlines themselves.
_SAME = 0.01


@dataclass(frozen=True, kw_only=True)
class SideDistance:
    """Distance between one side of the boxes and the objects, whichever is farther out.

    Attributes:
        pixels: Median, in pixels.
        pixels_90: 90th percentile, in pixels.
        share: Median, as a share of the box's width (left, right) or height (top, bottom).
        share_90: 90th percentile, as such a share.
    """

    pixels: float
    pixels_90: float
    share: float
    share_90: float


@dataclass(frozen=True, kw_only=True)
class Tightness:
    """How the boxes of a split fit the outlines of their objects.

    Attributes:
        objects: Boxes that were measured.
        sides: By `left`, `top`, `right`, `bottom`.
        wider: By which share of the object's width the boxes are wider: median; negative where narrower.
        higher: The same of the heights.
        pixels_wider: Width of the box less that of the object: median, pixels.
        pixels_higher: The same of the heights.
        sticking_out: Share of objects that reach out of their box by more than a pixel.
    """

    objects: int
    sides: dict[str, SideDistance]
    wider: float
    higher: float
    pixels_wider: float
    pixels_higher: float
    sticking_out: float

    @property
    def is_loose(self) -> bool:
        """Whether boxes are larger than their objects."""
        return any(share > 0 for share in self._telling)

    @property
    def _telling(self) -> tuple[float, float]:
        """By how much boxes are wider and higher, where it is more than rounding; else 0."""
        pairs = ((self.wider, self.pixels_wider), (self.higher, self.pixels_higher))
        wide, high = (
            share if abs(share) >= _SHARE and abs(pixels) >= _PIXELS else 0.0 for share, pixels in pairs
        )
        return wide, high

    @property
    def verdict(self) -> str:
        """One sentence."""
        wide, high = self._telling
        words = [f"{100 * abs(wide):.0f} % {'wider' if wide > 0 else 'narrower'}"] if wide else []
        words += [f"{100 * abs(high):.0f} % {'higher' if high > 0 else 'lower'}"] if high else []
        if words:
            return f"boxes are about {' and '.join(words)} than the objects"
        if all(side.pixels_90 <= _SAME for side in self.sides.values()):
            return "boxes are exactly the bounds of the outlines"
        farthest = max(side.pixels for side in self.sides.values())
        return f"boxes are tight: the objects are {farthest:.1f} pixels from their sides, or nearer"


def measure_tightness(samples: Sequence[Sample]) -> Tightness | None:
    """How tight the boxes of photos are; None if no object has an outline of its own."""
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), _LOOKED_AT)).astype(int).tolist()
    pairs = [pair for place in chosen for pair in _pairs(samples[place])]
    if not pairs:
        return None
    boxes, objects = (np.array(corners, dtype=np.float64) for corners in zip(*pairs, strict=True))
    inward = (objects - boxes) * [1, 1, -1, -1]  # how far each side of the box is outside of the object
    own, others = _lengths(boxes), _lengths(objects)
    distances = np.abs(inward)
    shares = distances / np.tile(own, 2)
    growth, pixels = np.median(own / others - 1, axis=0), np.median(own - others, axis=0)
    return Tightness(
        objects=len(boxes),
        sides={
            side: SideDistance(
                pixels=_rounded(np.median(distances[:, place])),
                pixels_90=_rounded(np.quantile(distances[:, place], 0.9)),
                share=_rounded(np.median(shares[:, place])),
                share_90=_rounded(np.quantile(shares[:, place], 0.9)),
            )
            for place, side in enumerate(SIDES)
        },
        wider=_rounded(growth[0]),
        higher=_rounded(growth[1]),
        pixels_wider=_rounded(pixels[0]),
        pixels_higher=_rounded(pixels[1]),
        sticking_out=_rounded((inward < -_ROUNDING).any(axis=1).mean()),
    )


def _rounded(value: Any) -> float:
    """A measure without the noise of floating point."""
    return round(float(value), 6)


def _lengths(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Widths and heights (n, 2) of boxes (n, 4), pixels."""
    return boxes[:, 2:] - boxes[:, :2]


def _pairs(sample: Sample) -> Iterator[tuple[Any, Any]]:
    """The box of each object, and the box around its outline inside the photo."""
    for box, region in zip(sample.boxes.tolist(), object_regions(sample) or [], strict=False):
        bounds = region_bounds(region)
        if bounds is None:
            continue
        inside = clip_boxes(np.array([bounds]), sample.width, sample.height)
        if (_lengths(inside) > 0).all():
            yield box, inside[0].tolist()

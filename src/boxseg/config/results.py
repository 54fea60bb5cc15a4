"""How results are predicted, scored and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from boxseg.config.crf import Crf
from boxseg.errors import require


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """How a network sees photos when it is scored or predicts.

    Args:
        scales: Scales at which each photo is seen; the logits are averaged.
        flip: Also see each photo mirrored.
        tta: Use scales and flip; `false` sees each photo once, as it is, in a tenth of the time.
        tile: Photos longer than this, in pixels (64 or more), are seen in windows of this side, which overlap
            by an eighth and are blended; 0 for never. `auto` sees photos whole up to 34 megapixels with 15
            classes (2 GB of probabilities; fewer pixels with more classes), and larger ones in windows of 2048.
        crf: Dense CRF after the network.
    """

    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.5)
    flip: bool = True
    tta: bool = True
    tile: int | Literal["auto"] = "auto"
    crf: Crf = Crf(sigma_xy=121.0, sigma_rgb=5.0)

    def __post_init__(self) -> None:
        require(min(self.scales, default=0) > 0, f"evaluate.scales must be positive, got {list(self.scales)}")
        require(
            self.tile == "auto" or self.tile == 0 or self.tile >= 64,
            f"evaluate.tile must be 64 pixels or more, 0 (never) or auto, got {self.tile}",
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report page of a run.

    Args:
        max_photos: Most photos in the gallery, evenly drawn, half of them from the validation split; 0 for
            none.
        per_page: Photos on a page; further ones are on pages of their own, in NAME-files/ beside NAME.html,
            written one after another. 0 shows all on one page.
        size: Longer side of a photo on the page, in pixels.
        originals: Also write these photos and their labels at full size, to NAME-files/ beside NAME.html; the
            detail view then shows them.
        predict: Let the network predict the photos in the gallery that it has not predicted yet.
    """

    max_photos: int = 200
    per_page: int = 0
    size: int = 480
    originals: bool = False
    predict: bool = True

    def __post_init__(self) -> None:
        require(self.max_photos >= 0, f"report.max_photos must be 0 or more, got {self.max_photos}")
        require(self.per_page >= 0, f"report.per_page must be 0 or more, got {self.per_page}")
        require(self.size >= 16, f"report.size must be at least 16 pixels, got {self.size}")

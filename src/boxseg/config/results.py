"""How results are predicted, scored and shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from boxseg.config.crf import Crf
from boxseg.errors import require


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Test-time options, for scoring and for prediction.

    Args:
        scales: The image is seen at each of these scales; logits are averaged.
        flip: Also see it mirrored.
        tta: Whether to do either; `false` sees the image once, as it is, in a tenth of the time.
        tile: Photos longer than so many pixels are seen in windows of that side, which overlap by an eighth and
            are blended, 64 or more; 0 for never. `auto` sees photos whole, up to 34 megapixels with 15 classes
            and fewer with more (2 GB of probabilities), and larger ones in windows of 2048.
        crf: Dense CRF after the network.
    """

    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.5)
    flip: bool = True
    tta: bool = True
    tile: int | Literal["auto"] = "auto"
    crf: Crf = field(default_factory=lambda: Crf(sigma_xy=121.0, sigma_rgb=5.0))

    def __post_init__(self) -> None:
        require(
            bool(self.scales) and min(self.scales) > 0,
            f"evaluate.scales must be positive, got {list(self.scales)}",
        )
        require(
            self.tile == "auto" or self.tile == 0 or self.tile >= 64,
            f"evaluate.tile must be 64 pixels or more, 0 (never) or auto, got {self.tile}",
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """The page that shows a run.

    Args:
        photos: Photos in its gallery, half of them of the validation split, evenly drawn; 0 for none.
        size: Longer side of a photo in the page, pixels.
        originals: Also write the shown photos and labels in their own size, into NAME-files/ beside the page
            NAME.html; its detail view then shows these.
        predict: Let the network predict the shown photos that it has not predicted yet.
    """

    photos: int = 200
    size: int = 480
    originals: bool = False
    predict: bool = True

    def __post_init__(self) -> None:
        require(self.photos >= 0, f"report.photos must be 0 or more, got {self.photos}")
        require(self.size >= 16, f"report.size must be at least 16 pixels, got {self.size}")

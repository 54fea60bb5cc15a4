"""COCO's run-length codes of masks, by faster-coco-eval.

A code is {"size": [H, W], "counts": bytes, text or a list}: lengths of runs down the columns, outside and
inside alternating. The library is imported at first use: OpenCV comes with it where that is installed, and
takes a quarter of a second and 16 MB, which a photo labelled in memory has no need of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Code = dict[str, Any]


@cache
def _library() -> Any:
    from faster_coco_eval.core import mask

    return mask


def encode(mask: NDArray[Any]) -> Code:
    """The code of a mask (H, W)."""
    return dict(_library().encode(np.asfortranarray(mask, dtype=np.uint8)))


def from_counts(code: Code, height: int, width: int) -> Code:
    """The code whose counts are compressed, from one whose counts are a list."""
    return dict(_library().frPyObjects(code, height, width))


def from_polygons(polygons: Sequence[NDArray[np.float64]], height: int, width: int) -> Code:
    """The code of pixels inside any of the polygons, each a list x1, y1, x2, y2 and so on."""
    return merge(_library().frPyObjects(polygons, height, width))


def merge(codes: Sequence[Code]) -> Code:
    """The code of pixels in any of some masks."""
    return dict(_library().merge(codes))


def runs(code: Code) -> NDArray[np.int64]:
    """Lengths of the runs of a compressed code."""
    from faster_coco_eval.mask_api_new_cpp import toUncompressedRLE

    return np.array(toUncompressedRLE([code])[0]["counts"], dtype=np.int64)


def area(code: Code) -> int:
    """Number of pixels."""
    return int(_library().area(code))


def bounds(code: Code) -> tuple[float, float, float, float]:
    """The box around the pixels: left, top, width, height."""
    left, top, width, height = map(float, _library().toBbox(code))
    return left, top, width, height


def ious(found: Sequence[Code], true: Sequence[Code]) -> NDArray[np.float64]:
    """(n, m) IoU of each of n masks with each of m."""
    return np.asarray(_library().iou(list(found), list(true), [0] * len(true)), dtype=np.float64)

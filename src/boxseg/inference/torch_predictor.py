"""Segmentation networks from checkpoints, called with photos in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg.config import Crf, Evaluate, TrainerOptions
from boxseg.config.data import MOST_PIXELS
from boxseg.inference.devices import torch_device
from boxseg.inference.multiscale import most_pixels, predict_group
from boxseg.inference.networks import Loaded, load_segmenter
from boxseg.inference.prediction import BasePredictor
from boxseg.inference.windows import Tile
from boxseg.nn.deeplab import Segmenter


class TorchPredictor(BasePredictor):
    """A segmentation network, called with photos; `options` has scales, flip, windows and CRF."""

    def __init__(self, loaded: Loaded[Segmenter], options: Evaluate, max_pixels: int = MOST_PIXELS) -> None:
        super().__init__(loaded.classes, options.tile, most_pixels(len(loaded.classes)), max_pixels)
        self.network = loaded.network
        self.options = options
        self._loaded = loaded

    def _probabilities(self, photos: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        return [refined.cpu().numpy() for _, refined in predict_group(self._loaded, photos, self.options)]


def load(
    path: Path | str, *, device: str, tta: bool, crf: bool | Crf, tile: Tile, max_pixels: int
) -> TorchPredictor:
    """A network from a checkpoint or run folder; arguments and errors as for `boxseg.load`."""
    loaded = load_segmenter(Path(path), torch_device(TrainerOptions(accelerator=device)))
    kernels = crf if isinstance(crf, Crf) else replace(Evaluate().crf, enabled=crf)
    return TorchPredictor(loaded, Evaluate(tta=tta, crf=kernels, tile=tile), max_pixels)

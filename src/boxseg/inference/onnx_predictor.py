"""Segmentation networks that `boxseg export` wrote as ONNX, run by onnxruntime: without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg.config import data
from boxseg.documents import as_record
from boxseg.errors import CheckpointError
from boxseg.extras import import_extra
from boxseg.inference.prediction import BasePredictor
from boxseg.inference.windows import Tile

# Most pixels that the graph computes at once: they take some gigabytes.
MOST_PIXELS = 6_000_000


class OnnxPredictor(BasePredictor):
    """Label photos with a network from an ONNX file.

        model = boxseg.OnnxPredictor("model.onnx")
        model("photo.jpg").overlay().save("overlay.png")

    A photo goes through the network once, at its own size, without a CRF: the labels are those of
    `boxseg.load(checkpoint)`.

    Args:
        path: File made by `boxseg export format=onnx`.
        providers: onnxruntime's execution providers, such as `["CUDAExecutionProvider"]`; by default all that
            are installed.
        tile: Photos with a longer side are predicted in windows of this side, pixels, which overlap and are
            blended; 0 for never; `auto`: windows of 2048 for photos of more than 6 megapixels.
        max_pixels: Photo files of more pixels are refused: decoded, a small file may be of any size.

    Raises:
        ConfigError: `tile` is not a possible side.
        CheckpointError: The file is missing, damaged, or was not exported by boxseg.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(
        self,
        path: Path | str,
        providers: Sequence[str] | None = None,
        tile: Tile = "auto",
        max_pixels: int = data.MOST_PIXELS,
    ) -> None:
        if not Path(path).is_file():
            raise CheckpointError(f"{path}: no such file, expected one made by `boxseg export format=onnx`")
        runtime = import_extra("onnxruntime", extra="onnx", purpose="OnnxPredictor")
        try:
            self._session = runtime.InferenceSession(
                str(path), providers=list(providers or runtime.get_available_providers())
            )
        except Exception as error:  # its exceptions share no base class
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: onnxruntime cannot load it ({reason})") from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if "boxseg" not in self.metadata:
            raise CheckpointError(f"{path} was not written by `boxseg export`: it does not name its classes")
        try:
            said = json.loads(self.metadata.get("classes", ""))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} does not name its classes ({error}): export it again") from error
        classes = as_record(list[str], said, Path(path), "the names of its classes", CheckpointError)
        super().__init__(classes[1:], tile, MOST_PIXELS, max_pixels)

    def _probabilities(self, photos: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        results: list[NDArray[np.float32]] = []
        for _, alike in groupby(photos, key=lambda photo: photo.shape):
            results += list(self._session.run(None, {"photos": np.stack(list(alike))})[0])
        return results

"""Splits of data sets, each read once for all stages of a command."""

from __future__ import annotations

from dataclasses import replace

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset


class Splits:
    """The splits read so far, shared by the stages of one command."""

    def __init__(self) -> None:
        self._read: dict[tuple[Data, bool], BoxDataset] = {}

    def load(self, data: Data, *, boxes: bool = True) -> BoxDataset:
        """A split, read only the first time; arguments and errors as for `formats.load`."""
        key = (replace(data, val_split=""), boxes)  # val_split does not affect this split
        if key not in self._read:
            self._read[key] = formats.load(data, boxes=boxes)
        return self._read[key]

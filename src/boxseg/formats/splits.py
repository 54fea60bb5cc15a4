"""Splits of data sets, each read once by a command whose stages all need them."""

from __future__ import annotations

from dataclasses import replace

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset


class Splits:
    """Splits that were read: made for one command and shared by its stages, then discarded."""

    def __init__(self) -> None:
        self._read: dict[tuple[Data, bool], BoxDataset] = {}

    def load(self, data: Data, *, boxes: bool = True) -> BoxDataset:
        """A split, read only the first time it is asked for; arguments and errors as for `formats.load`."""
        key = (replace(data, val_split=""), boxes)  # which split is for scoring changes nothing of this one
        if key not in self._read:
            self._read[key] = formats.load(data, boxes=boxes)
        return self._read[key]

"""Splits of data sets, each read once by a command whose stages all need them."""

from __future__ import annotations

from dataclasses import replace

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset


class Splits:
    """Splits that were read. Made for one command, handed to its stages, and gone with it."""

    def __init__(self) -> None:
        self._read: dict[tuple[Data, bool], BoxDataset] = {}

    def load(self, data: Data, *, boxes: bool = True) -> BoxDataset:
        """A split, read where it was not asked for before; arguments and errors as for `formats.load`."""
        key = (replace(data, val_split=""), boxes)  # which split is for scoring changes nothing of this one
        if key not in self._read:
            self._read[key] = formats.load(data, boxes=boxes)
        return self._read[key]

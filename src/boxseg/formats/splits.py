"""Splits of data sets, each read once for all stages of a command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset


class Splits:
    """The splits read so far, shared by the stages of one command."""

    def __init__(self) -> None:
        self._read: dict[tuple[Data, bool], BoxDataset] = {}

    def load(self, data: Data, *, boxes: bool = True) -> BoxDataset:
        """A split, read only the first time; arguments and errors as for `formats.load`."""
        key = self.key(data, boxes)
        if key not in self._read:
            self._read[key] = self.read(data, boxes)
        return self._read[key]

    @staticmethod
    def key(data: Data, boxes: bool) -> tuple[Data, bool]:
        """What tells splits apart."""
        return replace(data, val_split=""), boxes  # val_split does not affect this split

    def read(self, data: Data, boxes: bool) -> BoxDataset:
        """Read a split."""
        return formats.load(data, boxes=boxes)

    def keep(self, folder: Path) -> None:
        """Keep what was read for the next command, beside its results; here nothing is kept."""
